//! `ostler add --import`: from another program's file to an account that works.

use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::terminal::Terminal;
use crate::support::{free_port, mail, require};
use crate::{ANN, BOB, Newcomer};

fn file(home: &Home, name: &str, octets: impl AsRef<[u8]>) -> String {
    let at = home.path().join(name);
    std::fs::write(&at, octets).unwrap();
    at.to_str().unwrap().to_owned()
}

/// A test provider is on this computer, with TLS; a helper in between would be without.
fn stunnel_conf(newcomer: &Newcomer) -> String {
    format!(
        "; tunnels\nclient = yes\n\n[provider-pop3]\naccept = 127.0.0.1:1109\nconnect = localhost:{}\n\n\
         [provider-smtp]\naccept = 127.0.0.1:1259\nconnect = localhost:{}\nprotocol = smtp\n\n\
         [provider-news]\naccept = 127.0.0.1:1199\nconnect = localhost:563\n",
        newcomer.dovecot.pop3s, newcomer.postfix.submission
    )
}

fn account_reg(newcomer: &Newcomer) -> String {
    format!(
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account \
         Manager\\Accounts\\00000001]\r\n\"Account Name\"=\"Home\"\r\n\"POP3 Server\"=\"localhost\"\r\n\"POP3 User \
         Name\"=\"{ANN}\"\r\n\"POP3 Password2\"=hex:01,00,00,00,\\\r\n  d0,8c\r\n\"POP3 Port\"=dword:{:08x}\r\n\"POP3 Secure \
         Connection\"=dword:00000001\r\n\"SMTP Server\"=\"localhost\"\r\n\"SMTP Port\"=dword:{:08x}\r\n\"SMTP Secure \
         Connection\"=dword:00000001\r\n\"SMTP Use Sicily\"=dword:00000002\r\n\"SMTP Email Address\"=\"{ANN}\"\r\n",
        newcomer.dovecot.pop3s, newcomer.postfix.smtps
    )
}

/// Two accounts at the one provider; the second has no mailbox there.
fn prefs_js(newcomer: &Newcomer, second: &str) -> String {
    let (pop3, smtp) = (newcomer.dovecot.pop3s, newcomer.postfix.submission);
    let mut text =
        "# Mozilla User Preferences\nuser_pref(\"mail.accountmanager.accounts\", \"account1,account2\");\n".to_owned();
    for (number, address) in [(1, ANN), (2, second)] {
        text += &format!(
            "user_pref(\"mail.account.account{number}.server\", \"server{number}\");\n\
             user_pref(\"mail.account.account{number}.identities\", \"id{number}\");\n\
             user_pref(\"mail.server.server{number}.type\", \"pop3\");\n\
             user_pref(\"mail.server.server{number}.hostname\", \"localhost\");\n\
             user_pref(\"mail.server.server{number}.port\", {pop3});\n\
             user_pref(\"mail.server.server{number}.socketType\", 3);\n\
             user_pref(\"mail.server.server{number}.userName\", \"{address}\");\n\
             user_pref(\"mail.identity.id{number}.useremail\", \"{address}\");\n\
             user_pref(\"mail.identity.id{number}.smtpServer\", \"smtp1\");\n"
        );
    }
    text + &format!(
        "user_pref(\"mail.smtpserver.smtp1.hostname\", \"localhost\");\nuser_pref(\"mail.smtpserver.smtp1.port\", {smtp});\n\
         user_pref(\"mail.smtpserver.smtp1.try_ssl\", 2);\n"
    )
}

/// Mail comes and goes with it.
fn works(newcomer: Newcomer) {
    let message = mail::tricky("imported");
    newcomer.dovecot.deliver(ANN, &message);
    let Newcomer { home, postfix, dovecot: _dovecot, _keyring, .. } = newcomer;
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, ANN, "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(postfix.deliveries().len(), 1);
}

#[test]
fn an_stunnel_file_and_an_address_make_an_account_that_works() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let conf = file(&newcomer.home, "stunnel.conf", stunnel_conf(&newcomer));
    let ca = newcomer.home.ca_file();
    let before = newcomer.home.settings();
    let nameless = newcomer.home.ostler(&["add", "--import", &conf, "--yes"], "");
    assert_eq!(nameless.status.code(), Some(1), "{}", said(&nameless));
    assert!(said(&nameless).contains("ostler add ADDRESS --import FILE"), "{}", said(&nameless));
    assert_eq!(newcomer.home.settings(), before);
    let words = ["add", ANN, "--import", &conf, "--ca", ca.to_str().unwrap(), "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    let screen = said(&added);
    assert!(screen.contains("settings of stunnel"), "{screen}");
    assert!(screen.contains("[provider-smtp] (line 8): sending through localhost"), "{screen}");
    assert!(screen.contains("stunnel did not check this server's certificate"), "{screen}");
    assert!(screen.contains("[provider-news] (line 13): neither its port"), "{screen}");
    works(newcomer);
}

#[test]
fn of_two_servers_of_a_tunnel_the_first_is_tried_and_the_second_kept_behind_it() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let (pop3, smtp, other) = (newcomer.dovecot.pop3s, newcomer.postfix.smtps, free_port());
    let conf = format!(
        "client = yes\n[in-pop3]\naccept = 1109\nconnect = localhost:{pop3}\n\
         [out-smtp]\naccept = 1259\nconnect = localhost:{smtp}\nconnect = localhost:{other}\n"
    );
    let conf = file(&newcomer.home, "stunnel.conf", conf);
    let ca = newcomer.home.ca_file();
    let words = ["add", ANN, "--import", &conf, "--ca", ca.to_str().unwrap(), "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains(&format!("sending through localhost port {other}, TLS if the server before it")));
    let settings = newcomer.home.settings();
    let places: Vec<_> = [smtp, other].iter().map(|port| settings.find(&format!("port = {port}"))).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{settings}");
    works(newcomer);
}

#[test]
fn an_account_that_is_saved_although_sending_fails_keeps_the_second_server_too() {
    require!("setsid");
    let home = Home::new(&TestCa::new(), &[]);
    let ports = [free_port(), free_port()];
    let [first, second] = ports;
    let conf =
        format!("client = yes\n[out-smtp]\naccept = 1259\nconnect = localhost:{first}\nconnect = localhost:{second}\n");
    let (conf, ca) = (file(&home, "stunnel.conf", conf), home.ca_file());
    let words = ["add", ANN, "--import", &conf, "--send-only", "--ca", ca.to_str().unwrap(), "--password-env", "W"];
    let mut terminal = Terminal::start(home.command(&words).env("W", "secret"));
    for answer in ["", "k"] {
        terminal.wait_for("\r\n> ");
        terminal.line(answer);
    }
    terminal.wait_for("has not been seen to work");
    assert!(terminal.end().success(), "{}", terminal.all());
    let settings = home.settings();
    let places = ports.map(|port| settings.find(&format!("port = {port}")));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{settings}");
}

#[test]
fn an_account_of_outlook_express_in_utf_16_makes_one_that_works() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let wide = account_reg(&newcomer).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let reg = file(&newcomer.home, "accounts.reg", [&[0xff, 0xfe], wide.as_slice()].concat());
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &reg, "--ca", ca.to_str().unwrap(), "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("the saved password: type it when ostler asks"), "{}", said(&added));
    works(newcomer);
}

#[test]
fn an_account_that_reads_by_imap_where_only_starttls_is_offered_works() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let imap = format!("\"IMAP Port\"=dword:{:08x}", newcomer.dovecot.imap);
    let text = account_reg(&newcomer).replace("\"POP3 ", "\"IMAP ");
    let text: Vec<&str> =
        text.split("\r\n").map(|line| if line.starts_with("\"IMAP Port\"") { imap.as_str() } else { line }).collect();
    let reg = file(&newcomer.home, "account.reg", text.join("\r\n"));
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &reg, "--ca", ca.to_str().unwrap(), "--yes", "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains(&format!("Trying localhost port {}, STARTTLS ...", newcomer.dovecot.imap)));
    works(newcomer);
}

#[test]
fn imap_beside_pop3_is_saved_in_the_way_that_answers() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let imap = newcomer.dovecot.imap;
    let more = format!(
        "\"IMAP Server\"=\"localhost\"\r\n\"IMAP Port\"=dword:{imap:08x}\r\n\"IMAP Secure Connection\"=dword:00000001\r\n"
    );
    let reg = file(&newcomer.home, "account.reg", account_reg(&newcomer) + &more);
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &reg, "--ca", ca.to_str().unwrap(), "--yes", "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("mail programs can read by IMAP, too"), "{}", said(&added));
    let settings = newcomer.home.settings();
    let saved = settings.split_once("[account.imap]").map(|(_, saved)| saved.split("\n[").next().unwrap());
    let is_starttls = |saved: &str| saved.contains(&format!("port = {imap}")) && saved.contains("starttls");
    assert!(saved.is_some_and(is_starttls), "{settings}");
    works(newcomer);
}

#[test]
fn the_old_servers_of_a_known_provider_become_those_of_today() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let preset = format!(
        "schema = 1\n[provider.cable]\nname = \"Cable Company\"\ndomains = [\"example.org\"]\n\
         legacy_hosts = [\"pop-server.*.example.org\", \"smtp-server.*.example.org\"]\n\
         pop3 = [{{ host = \"localhost\", port = {}, security = \"tls\" }}]\n\
         smtp = [{{ host = \"localhost\", port = {}, security = \"starttls\" }}]\n\
         login = \"address\"\nauth = [\"password\"]\npop = \"yes\"\nconfidence = \"high\"\n",
        newcomer.dovecot.pop3s, newcomer.postfix.submission
    );
    newcomer.home.write_providers(&preset);
    let ini = "[Settings]\r\nPOPAccount=ann@pop-server.hawaii.example.org\r\nSMTPServer=smtp-server.hawaii.example.org\r\n\
               ReturnAddress=ann@example.org\r\nSavePasswordText=c2VjcmV0\r\n";
    let eudora = file(&newcomer.home, "eudora.ini", ini);
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &eudora, "--ca", ca.to_str().unwrap(), "--password-stdin"];
    let added = newcomer.home.ostler(&words, &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("pop-server.hawaii.example.org belongs to Cable Company"), "{}", said(&added));
    assert!(newcomer.home.settings().contains("provider = \"cable\""), "{}", newcomer.home.settings());
    works(newcomer);
}

#[test]
fn of_two_accounts_the_one_that_is_named_is_taken_and_both_with_yes() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let prefs = file(&newcomer.home, "prefs.js", prefs_js(&newcomer, BOB));
    let ca = newcomer.home.ca_file();
    let words = |more: &[&'static str]| {
        let mut words = vec!["add", "--import", &prefs, "--ca", ca.to_str().unwrap(), "--password-stdin"];
        words.extend(more);
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |more: &[&'static str], input: &str| {
        let words = words(more);
        newcomer.home.ostler(&words.iter().map(String::as_str).collect::<Vec<_>>(), input)
    };
    let before = newcomer.home.settings();
    let refused = run(&[], "x\ny\n");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("ann@example.org, bob@example.com") && said(&refused).contains("--yes"));
    let nobody = run(&["carol@example.org"], "x\n");
    assert_eq!(nobody.status.code(), Some(1), "{}", said(&nobody));
    assert!(said(&nobody).contains("has no account of carol@example.org"), "{}", said(&nobody));
    let one_name = run(&["--yes", "--name", "home"], "x\n");
    assert_eq!(one_name.status.code(), Some(2), "{}", said(&one_name));
    assert_eq!(newcomer.home.settings(), before);
    // The second account's password is wrong: the first stays, and the end says so.
    let half = run(&["--yes"], &format!("{}\nnot-the-password\n", newcomer.password));
    assert_eq!(half.status.code(), Some(1), "{}", said(&half));
    assert!(said(&half).contains("1 added, 1 not"), "{}", said(&half));
    let settings = newcomer.home.settings();
    assert!(settings.contains(ANN) && !settings.contains(BOB), "{settings}");
    let again = run(&["--yes", "--fetch-only"], "not-the-password\n");
    assert!(said(&again).contains("ann@example.org is skipped"), "{}", said(&again));
    let kept = run(&["bob@example.com", "--no-check"], "word-1234\n");
    assert!(kept.status.success(), "{}", said(&kept));
    works(newcomer);
}

#[test]
fn at_a_terminal_each_account_is_asked_for() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let prefs = file(&newcomer.home, "prefs.js", prefs_js(&newcomer, BOB));
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &prefs, "--ca", ca.to_str().unwrap()];
    let mut terminal = Terminal::start(&newcomer.home.command(&words));
    let shown = terminal.wait_for("Add this account? [Y/n] ");
    assert!(shown.contains("Taken:") && shown.contains(ANN), "{shown}");
    terminal.line("");
    terminal.wait_for("\r\n> ");
    terminal.line("");
    terminal.wait_for("(it does not show while you type): ");
    terminal.password(&newcomer.password);
    terminal.wait_for("works and is saved");
    let shown = terminal.wait_for("Add this account? [Y/n] ");
    assert!(shown.contains(BOB), "{shown}");
    terminal.line("n");
    assert!(terminal.end().success(), "{}", terminal.all());
    let settings = newcomer.home.settings();
    assert!(settings.contains(ANN) && !settings.contains(BOB), "{settings}");
    works(newcomer);
}

#[test]
fn ctrl_c_at_the_second_account_keeps_the_first_and_ends() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let prefs = file(&newcomer.home, "prefs.js", prefs_js(&newcomer, BOB));
    let ca = newcomer.home.ca_file();
    let words = ["add", "--import", &prefs, "--ca", ca.to_str().unwrap()];
    let mut terminal = Terminal::start(&newcomer.home.command(&words));
    terminal.wait_for("Add this account? [Y/n] ");
    terminal.line("y");
    terminal.wait_for("\r\n> ");
    terminal.line("");
    terminal.wait_for("(it does not show while you type): ");
    terminal.password(&newcomer.password);
    terminal.wait_for("works and is saved");
    terminal.wait_for("Add this account? [Y/n] ");
    terminal.keys("\x03");
    assert_eq!(terminal.end().code(), Some(1), "{}", terminal.all());
    assert!(terminal.all().contains("the account added before stays"), "{}", terminal.all());
    assert!(newcomer.home.settings().contains(ANN));
}

#[test]
fn flags_win_and_an_account_that_is_there_is_passed_over() {
    require!("keyring");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let known = Account::new("home", ANN, "unused-password").pop3(Server::new("tls", 1));
    let home = Home::new(&ca, &[known]).with_keyring(&keyring);
    let ini = "[Settings]\nPOPAccount=bob@pop.small.example\nReturnAddress=bob@small.example\nSMTPServer=smtp.small.example\n\
               [Persona-Ann]\nPOPAccount=ann@pop.small.example\nReturnAddress=ann@example.org\n";
    let eudora = file(&home, "eudora.ini", ini);
    let words = ["add", "--import", &eudora, "--pop3", "tls://pop.new.example", "--no-check", "--password-stdin"];
    let added = home.ostler(&words, "word-1234\n");
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("ann@example.org is skipped: the account home exists already"), "{}", said(&added));
    let settings = home.settings();
    assert!(settings.contains("pop.new.example") && !settings.contains("pop.small.example"), "{settings}");
    assert!(settings.contains("smtp.small.example"), "{settings}");
    let named = home.ostler(&["add", ANN, "--import", &eudora], "");
    assert_eq!(named.status.code(), Some(1), "{}", said(&named));
    assert!(said(&named).contains("ostler remove home"), "{}", said(&named));
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_those_that_can() {
    let home = Home::new(&TestCa::new(), &[]);
    let letter = file(&home, "letter.txt", "Dear Ann,\n");
    let refused = home.ostler(&["add", "--import", &letter], "");
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("prefs.js") && said(&refused).contains("Internet Account Manager"),
        "{}",
        said(&refused)
    );
    let nothing = home.ostler(&["add", "--import", "/nowhere/prefs.js"], "");
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    assert!(said(&nothing).contains("/nowhere/prefs.js"), "{}", said(&nothing));
}
