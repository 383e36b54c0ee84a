//! Presets as a user meets them: `ostler providers`, an account that names one, and a file of one's own beside the
//! settings.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::ca::TestCa;
use support::client::{Client, send};
use support::dovecot::Dovecot;
use support::gate::{Gate, Rules};
use support::ostler::{Account, Home};
use support::postfix::Postfix;
use support::process::{document, err, out, said};
use support::{free_port, require, unique, wait_for};

const ANN: &str = "ann@example.org";

fn home(accounts: &[Account], tables: &str) -> Home {
    Home::with_settings(&TestCa::new(), accounts, "", tables)
}

fn providers(home: &Home, words: &[&str]) -> Value {
    let output = home.ostler(&[&["providers", "--json"], words].concat(), "");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
    document(&output)["providers"].clone()
}

#[test]
fn providers_are_one_json_document_with_these_fields() {
    let home = home(&[], "");
    let all = providers(&home, &[]);
    let all = all.as_array().unwrap();
    assert!(all.len() > 100, "{}", all.len());
    for provider in all {
        let name = &provider["name"];
        assert!(name.is_string() && provider["title"].is_string(), "{provider:#}");
        for key in ["domains", "auth", "source", "legacy_hosts", "mx"] {
            assert!(provider[key].as_array().is_some_and(|list| list.iter().all(Value::is_string)), "{name}: {key}");
        }
        for key in ["login", "confidence", "pop", "checked"] {
            assert!(provider[key].is_string(), "{name}: {key}");
        }
        for key in ["enable", "note", "closed", "app_password"] {
            assert!(provider[key].is_string() || provider[key].is_null(), "{name}: {key}");
        }
        for server in ["pop3", "smtp", "imap"].iter().flat_map(|key| provider[key].as_array().unwrap()) {
            assert!(server["host"].is_string() && server["port"].is_u64() && server["auth"].is_string(), "{name}");
            assert!(["tls", "starttls"].contains(&server["security"].as_str().unwrap()), "{name}");
        }
    }
    let names: Vec<_> = all.iter().map(|provider| provider["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn a_word_narrows_the_list() {
    let home = home(&[], "");
    let name = |word: &str| providers(&home, &[word])[0]["name"].clone();
    assert_eq!(name("OPTONLINE"), "optonline");
    assert_eq!(name("ann@hawaii.rr.com"), "spectrum-twc");
    assert_eq!(name("pop-server.cfl.rr.com"), "spectrum-twc");
    let optonline = &providers(&home, &["optonline.net"])[0];
    assert_eq!(
        optonline["pop3"],
        json!([{"host": "mail.optonline.net", "port": 995, "security": "tls", "auth": "password", "login": "ask"}])
    );
    assert_eq!(providers(&home, &["small-host"])[0]["smtp"][0]["auth"], "pop-before-smtp");
    assert_eq!(providers(&home, &["oceanic-external"])[0]["smtp"], json!([]));
    // For a person: many are a line each, few are told in full.
    let all = home.ostler(&["providers"], "");
    assert!(out(&all).lines().count() > 100 && out(&all).contains("\nicloud  "), "{}", said(&all));
    let one = home.ostler(&["providers", "optonline"], "");
    for words in ["mail.optonline.net port 995, TLS", "not confirmed", "old servers"] {
        assert!(out(&one).contains(words), "{}", said(&one));
    }
    assert!(!(out(&one) + &out(&all)).contains('\u{1b}'));
}

#[test]
fn no_provider_of_that_word_is_1_with_a_sentence() {
    let home = home(&[], "");
    for (more, stdout) in [(&[][..], ""), (&["--json"], "{\n  \"providers\": []\n}\n")] {
        let output = home.ostler(&[&["providers", "no such company"], more].concat(), "");
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), stdout), "{}", said(&output));
        assert!(err(&output).contains("ostler knows no provider that matches no such company"), "{}", said(&output));
        let hint = format!("`ostler providers {}` lists all", home.option());
        assert!(err(&output).contains(&hint), "{}", said(&output));
    }
}

#[test]
fn a_file_of_ones_own_is_laid_over_and_its_mistakes_are_told() {
    let home = home(&[], "");
    let before = providers(&home, &[]).as_array().unwrap().len();
    home.write_providers(
        "schema = 1\n[provider.optonline]\npop3 = [{ host = \"mine.example.org\" }]\n\
         [provider.mine]\ndomains = [\"example.org\"]\nsmtp = [{ host = \"s.example.org\" }]\n",
    );
    assert_eq!(providers(&home, &[]).as_array().unwrap().len(), before + 1);
    let optonline = &providers(&home, &["mine.example.org"])[0];
    assert_eq!(
        (&optonline["name"], &optonline["own"], &optonline["note"]),
        (&json!("optonline"), &json!(true), &Value::Null)
    );
    assert_eq!(providers(&home, &["ann@example.org"])[0]["name"], "mine");
    home.write_providers("schema = 1\n[provider.mine]\nsmtp = [{ host = \"s\", security = \"none\" }]\n");
    for command in ["providers", "list", "check", "run"] {
        let output = home.ostler(&[command], "");
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""), "{}", said(&output));
        let line = "providers.toml:3:34: provider.mine.smtp.security: lets anyone along the way read mail and password; \
                    allowed is \"tls\", \"starttls\"";
        assert!(err(&output).contains(line), "{}", said(&output));
    }
}

#[test]
fn a_file_of_ones_own_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = home(&[], "");
    home.write_providers("schema = 1\n");
    let file = home.providers_file();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let output = home.ostler(&["providers"], "");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(err(&output).contains("chmod go-w") && err(&output).contains("providers.toml"), "{}", said(&output));
}

#[test]
fn an_account_is_its_preset_and_a_password() {
    let home = home(&[], "[[account]]\naddress = \"ann@optonline.net\"\nprovider = \"optonline\"\n");
    let output = home.ostler(&["list", "--json"], "");
    let account = &document(&output)["accounts"][0];
    let server = |port: u16, security: &str| json!({"host": "mail.optonline.net", "port": port, "security": security, "auth": "password"});
    assert_eq!(account["pop3"], server(995, "tls"), "{}", said(&output));
    assert_eq!(account["smtp"], json!([server(587, "starttls"), server(465, "tls")]));
    assert_eq!(account["imap"], server(993, "tls"));
    assert_eq!(account["username"], "ann@optonline.net");
}

#[test]
fn a_preset_leads_to_real_servers() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user("ann", &secret).cert(ca.localhost()).start();
    let postfix = Postfix::builder().cert(ca.localhost()).sasl(&dovecot).start();
    let account = Account::new("home", ANN, &secret).line("provider = \"rig\"");
    // The tables add who vouches for the certificates; everything else is the preset's.
    let tables = "\n[account.pop3]\nca = \"../ca.pem\"\n[account.smtp]\nca = \"../ca.pem\"\n";
    let home = Home::with_settings(&ca, &[account], "", tables);
    home.write_providers(&format!(
        "schema = 1\n[provider.rig]\nlogin = \"local-part\"\npop3 = [{{ host = \"localhost\", port = {} }}]\n\
             smtp = [{{ host = \"localhost\", port = {}, security = \"starttls\" }}]\n",
        dovecot.pop3s, postfix.submission
    ));
    let output = home.ostler(&["check", "--json"], "");
    let check = document(&output);
    assert_eq!((output.status.code(), &check["ok"]), (Some(0), &json!(true)), "{check:#}");
}

#[test]
fn a_preset_of_a_small_host_opens_its_gate() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &secret)]);
    let account = Account::new("home", ANN, &secret).line("provider = \"rig\"");
    let tables = "\n[account.pop3]\nca = \"../ca.pem\"\n[account.smtp]\nca = \"../ca.pem\"\n";
    let home = Home::with_settings(&ca, &[account], "", tables);
    home.write_providers(&format!(
        "schema = 1\n[provider.rig]\nauth = [\"pop-before-smtp\", \"password\"]\nwindow = 15\n\
             pop3 = [{{ host = \"localhost\", port = {} }}]\n\
             smtp = [{{ host = \"localhost\", port = {}, security = \"starttls\" }}]\n",
        gate.dovecot.pop3s,
        gate.smtp()
    ));
    let ostler = home.run();
    send(ostler.smtp, ANN, &["lee@example.net"], b"Subject: x\r\n\r\nx\r\n");
    wait_for("the message", || (!gate.deliveries().is_empty()).then_some(()));
}

#[test]
fn a_running_ostler_sees_a_changed_preset() {
    require!("dovecot");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let preset =
        |port: u16| format!("schema = 1\n[provider.rig]\npop3 = [{{ host = \"localhost\", port = {port} }}]\n");
    let account = Account::new("home", ANN, &secret).line("provider = \"rig\"");
    let home = Home::with_settings(&ca, &[account], "", "\n[account.pop3]\nca = \"../ca.pem\"\n");
    home.write_providers(&preset(free_port()));
    let file = home.providers_file();
    let ostler = home.run();
    let signs_in = || {
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.try_ask("PASS x").is_some_and(|answer| answer.starts_with("+OK"))
    };
    assert!(!signs_in());
    std::fs::write(&file, preset(dovecot.pop3s)).unwrap();
    wait_for("the changed preset", || signs_in().then_some(()));
}
