//! From an address to mail in an old program, at a provider that takes no password.

use crate::support::client;
use crate::support::ostler::Home;
use crate::support::process::{document, said};
use crate::support::{mail, require};
use crate::{ANN, BOB, SignIn, Site};

/// A home without an account that knows the issuer.
fn home(site: &Site) -> Home {
    Home::with_settings(&site.ca, &[], "", &site.issuer.settings("")).with_keyring(&site.keyring)
}

pub(crate) fn servers(site: &Site) -> [String; 4] {
    let (pop3, smtp) = (site.dovecot.pop3s, site.postfix.submission);
    ["--pop3".into(), format!("tls://localhost:{pop3}"), "--smtp".into(), format!("starttls://localhost:{smtp}")]
}

#[test]
fn an_account_is_added_with_a_sign_in_and_works_at_once() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = home(&site);
    let ca = home.ca_file().display().to_string();
    let servers = servers(&site);
    let mut words = vec!["add", ANN, "--name", "home", "--oauth2", "test", "--no-browser", "--ca", &ca];
    words.extend(servers.iter().map(String::as_str));
    let sign_in = SignIn::start(&home, &words);
    site.issuer.sign_in(&sign_in.address, "ann");
    let text = sign_in.succeeds();
    assert!(text.contains("incoming mail (POP3)"), "{text}");
    site.keep_secret(&mut home);
    let settings = home.settings();
    assert!(settings.contains("oauth2 = \"test\"") && settings.contains("auth = \"oauth2\""), "{settings}");
    let list = document(&home.ostler(&["list", "--json"], ""));
    assert_eq!(list["accounts"][0]["pop3"]["auth"], "oauth2");
    let message = mail::tricky("added");
    site.dovecot.deliver(ANN, &message);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(site.issuer.count("refresh_token"), 0, "{:?}", site.issuer.requests());
}

#[test]
fn an_account_is_added_with_a_code_typed_on_another_device() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = home(&site);
    let ca = home.ca_file().display().to_string();
    let servers = servers(&site);
    let mut words = vec!["add", ANN, "--name", "home", "--oauth2", "test", "--device", "--ca", &ca];
    words.extend(servers.iter().map(String::as_str));
    let mut sign_in = SignIn::start(&home, &words);
    let code = sign_in.next_line();
    site.issuer.type_code(&sign_in.address, &code, "ann");
    sign_in.succeeds();
    site.keep_secret(&mut home);
    let ostler = home.run();
    assert!(client::fetch(ostler.pop3, "home", "x").is_empty());
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("device"));
    assert_eq!(site.issuer.count("device_code 200"), 1, "{:?}", site.issuer.requests());
}

#[test]
fn a_code_that_another_person_types_or_refuses_adds_nothing() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let home = home(&site);
    let before = home.settings();
    let ca = home.ca_file().display().to_string();
    let servers = servers(&site);
    let mut words = vec!["add", ANN, "--oauth2", "test", "--device", "--ca", &ca];
    words.extend(servers.iter().map(String::as_str));
    let mut sign_in = SignIn::start(&home, &words);
    let code = sign_in.next_line();
    site.issuer.type_code(&sign_in.address, &code, "bob");
    let told = sign_in.fails();
    assert!(told.contains("you signed in as bob@example.net"), "{told}");
    assert_eq!(home.settings(), before);
    assert!(site.issuer.count("revocation 200") > 0, "{:?}", site.issuer.requests());
}

#[test]
fn an_account_of_the_proxy_for_oauth2_comes_with_its_registration() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = Home::with_settings(&site.ca, &[], "", "").with_keyring(&site.keyring);
    let at = format!("https://localhost:{}", site.issuer.port);
    let config = home.path().join("emailproxy.config");
    let text = format!(
        "[POP-1995]\nserver_address = localhost\nserver_port = {}\n[SMTP-1587]\nserver_address = localhost\nserver_port = {}\n\
         starttls = True\n[{ANN}]\npermission_url = {at}/auth\ntoken_url = {at}/token\noauth2_scope = openid offline_access\n\
         \temail mail\nredirect_uri = http://localhost\nclient_id = ostler\naccess_token = gAAAAAB-not-for-ostler\n\
         refresh_token = gAAAAAB-not-for-ostler\n",
        site.dovecot.pop3s, site.postfix.submission
    );
    std::fs::write(&config, text).unwrap();
    home.keep_secret("gAAAAAB-not-for-ostler");
    let ca = home.ca_file();
    let (config, ca_file) = (config.to_str().unwrap(), ca.to_str().unwrap());
    let words = ["add", "--import", config, "--name", "home", "--no-browser", "--yes", "--ca", ca_file];
    let mut command = home.command(&words);
    command.env("SSL_CERT_FILE", &ca);
    let sign_in = SignIn::of(command);
    site.issuer.sign_in(&sign_in.address, "ann");
    let told = sign_in.succeeds();
    assert!(told.contains("its registration at localhost (client_id)"), "{told}");
    assert!(told.contains("its tokens, which are encrypted there"), "{told}");
    site.keep_secret(&mut home);
    let settings = home.settings();
    assert!(settings.contains("[oauth2.localhost]\nclient_id = \"ostler\"\n"), "{settings}");
    assert!(settings.contains("redirect = \"localhost\"") && settings.contains("oauth2 = \"localhost\""), "{settings}");
    let message = mail::tricky("imported");
    site.dovecot.deliver(ANN, &message);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
}

#[test]
fn a_provider_known_to_take_no_password_leads_to_its_company() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = home(&site);
    home.write_providers(&format!(
        "schema = 1\n[provider.quiet]\nname = \"Quiet Mail\"\ndomains = [\"example.net\"]\nauth = [\"oauth2:test\"]\n\
         pop = \"yes\"\npop3 = [{{ host = \"localhost\", port = {}, security = \"tls\" }}]\n\
         smtp = [{{ host = \"localhost\", port = {}, security = \"starttls\" }}]\n\
         source = [\"a test\"]\nchecked = 2026-11-29\nconfidence = \"high\"\n",
        site.dovecot.pop3s, site.postfix.submission
    ));
    let ca = home.ca_file().display().to_string();
    let sign_in = SignIn::start(&home, &["add", ANN, "--name", "home", "--no-browser", "--ca", &ca]);
    site.issuer.sign_in(&sign_in.address, "ann");
    let text = sign_in.succeeds();
    assert!(text.contains("takes no password from mail programs: you sign in at test"), "{text}");
    site.keep_secret(&mut home);
    let checked = document(&home.ostler(&["check", "--json"], ""));
    assert_eq!(checked["ok"], true, "{checked}");
    let steps = checked["accounts"][0]["steps"].as_array().unwrap();
    let token = steps.iter().find(|step| step["step"] == "token").unwrap();
    let detail = token["detail"].as_str().unwrap();
    assert!(detail.contains("signed in at test as ann@example.net") && detail.contains("good until"), "{detail}");
    assert!(detail.contains("mail"), "{detail}");
}

#[test]
fn a_sign_in_that_no_account_comes_of_is_taken_back() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = home(&site);
    let before = home.settings();
    let ca = home.ca_file().display().to_string();
    let nobody = format!("starttls://localhost:{}", crate::support::free_port());
    let pop3 = format!("tls://localhost:{}", site.dovecot.pop3s);
    let words = ["add", ANN, "--oauth2", "test", "--no-browser", "--ca", &ca, "--pop3", &pop3, "--smtp", &nobody];
    let sign_in = SignIn::start(&home, &words);
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("You can close this page"), "{page}");
    let text = sign_in.fails();
    assert!(text.contains("was not saved") && text.contains("The sign-in at test was taken back."), "{text}");
    assert_eq!(site.issuer.count("revocation 200"), 2, "{:?}", site.issuer.requests());
    assert_eq!(home.settings(), before);
    let kept = site.keyring.secret_tool(&["search", "--all", "service", "ostler"], "");
    assert!(kept.stdout.is_empty(), "{kept:?}");
    site.issuer.secrets().iter().for_each(|secret| home.keep_secret(secret));
}

#[test]
fn the_wrong_person_adds_nothing() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let home = home(&site);
    let before = home.settings();
    let servers = servers(&site);
    let ca = home.ca_file().display().to_string();
    let mut words = vec!["add", ANN, "--oauth2", "test", "--no-browser", "--ca", &ca];
    words.extend(servers.iter().map(String::as_str));
    let sign_in = SignIn::start(&home, &words);
    site.issuer.sign_in(&sign_in.address, "bob");
    let text = sign_in.fails();
    assert!(text.contains("you signed in as bob@example.net"), "{text}");
    assert_eq!(home.settings(), before);
}

#[test]
fn without_a_registration_the_way_to_one_is_told() {
    require!("keyring");
    let ca = crate::support::ca::TestCa::new();
    let keyring = crate::support::keyring::Keyring::start();
    let home = Home::with_settings(&ca, &[], "", "").with_keyring(&keyring);
    let added = home.ostler(&["add", "bob@hotmail.com", "--yes", "--no-browser"], "");
    assert_eq!(added.status.code(), Some(1));
    assert!(said(&added).contains("`ostler guide oauth2-microsoft"), "{}", said(&added));
}
