//! Everything given beforehand.

use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::{free_port, mail, private_file, require};
use crate::{ANN, BOB, Newcomer};

fn add(newcomer: &Newcomer, more: &[&str], input: &str) -> std::process::Output {
    let (pop3, smtp) = (newcomer.pop3(), newcomer.smtp());
    let ca = newcomer.home.ca_file();
    let mut words = vec!["--password-stdin"];
    words.extend(more);
    newcomer.home.ostler(&newcomer.words(&pop3, &smtp, ca.to_str().unwrap(), &words), input)
}

#[test]
fn an_account_given_by_flags_is_tried_kept_and_works() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let before = newcomer.home.settings();
    let added = add(&newcomer, &["--name", "home"], &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    let page = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(page.contains("works and is saved"), "{page}");
    for (word, port) in [("POP3", newcomer.home.pop3), ("SMTP", newcomer.home.smtp)] {
        let line = page.lines().find(|line| line.contains(word) && line.contains("127.0.0.1"));
        assert!(line.is_some_and(|line| line.ends_with(&port.to_string())), "{page}");
    }
    assert!(page.contains("user name              home\n"), "{page}");
    let after = newcomer.home.settings();
    assert!(after.starts_with(&before), "comments and order are the user's:\n{after}");
    assert!(after.contains("[[account]]\nname = \"home\"\naddress = \"ann@example.org\""), "{after}");
    let message = mail::tricky("added");
    newcomer.dovecot.deliver(ANN, &message);
    let Newcomer { home, postfix, dovecot: _dovecot, _keyring, .. } = newcomer;
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(postfix.deliveries().len(), 1);
}

#[test]
fn a_running_ostler_has_the_new_account_at_once() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let (pop3, smtp) = (newcomer.pop3(), newcomer.smtp());
    let message = mail::tricky("at-once");
    newcomer.dovecot.deliver(ANN, &message);
    let Newcomer { home, password, dovecot: _dovecot, postfix: _postfix, _keyring, .. } = newcomer;
    let ostler = home.run();
    let ca = ostler.home.ca_file();
    let words = ["add", ANN, "--pop3", &pop3, "--smtp", &smtp, "--ca", ca.to_str().unwrap(), "--password-stdin"];
    let added = ostler.home.ostler(&words, &format!("{password}\n"));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("The running ostler has the account already"), "{}", said(&added));
    assert_eq!(client::fetch(ostler.pop3, ANN, "x"), [message]);
}

#[test]
fn a_wrong_password_leaves_nothing() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let before = newcomer.home.settings();
    let added = add(&newcomer, &[], "not-the-password\n");
    assert_eq!(added.status.code(), Some(1), "{}", said(&added));
    assert!(said(&added).contains("FAIL"), "{}", said(&added));
    assert_eq!(newcomer.home.settings(), before);
    let listed = newcomer.home.ostler(&["password", ANN, "--stdin"], "x\n");
    assert_eq!(listed.status.code(), Some(1), "no account, and no password of it: {}", said(&listed));
}

#[test]
fn an_address_that_is_there_already_is_refused_before_anything_is_asked() {
    require!("keyring");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let account = Account::new("home", ANN, "unused-password").pop3(Server::new("tls", 1));
    let home = Home::new(&ca, &[account]).with_keyring(&keyring);
    let before = home.settings();
    for words in [["add", "ANN@example.org"].as_slice(), &["add", "x@example.org", "--name", "HOME"]] {
        let refused = home.ostler(words, "");
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("ostler remove home"), "{}", said(&refused));
    }
    assert_eq!(home.settings(), before);
}

#[test]
fn no_check_keeps_what_was_said_and_tries_nothing() {
    require!("keyring");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let home = Home::new(&ca, &[]).with_keyring(&keyring);
    let nobody = format!("tls://localhost:{}", free_port());
    let words = ["add", ANN, "--pop3", &nobody, "--no-check", "--password-stdin"];
    let kept = home.ostler(&words, "word-1234\n");
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(said(&kept).contains("has not been seen to work"), "{}", said(&kept));
    assert!(home.settings().contains("[account.pop3]"));
    assert!(!home.settings().contains("word-1234"));
}

#[test]
fn the_mail_program_is_kept_and_an_unknown_one_is_refused_with_those_that_are_known() {
    let ca = TestCa::new();
    let home = Home::new(&ca, &[]);
    let nobody = format!("tls://localhost:{}", free_port());
    let words = ["add", ANN, "--pop3", &nobody, "--fetch-only", "--no-check", "--password-client", "--readable"];
    let before = home.settings();
    let refused = home.ostler(&[&words[..], &["eudora-99"]].concat(), "");
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("eudora-windows, eudora-3, eudora-mac, netscape-4"), "{}", said(&refused));
    assert_eq!(home.settings(), before);
    let kept = home.ostler(&[&words[..], &["eudora-windows"]].concat(), "");
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(home.settings().contains("\nreadable = \"eudora-windows\"\n"), "{}", home.settings());
}

#[cfg(target_os = "linux")]
#[test]
fn the_dialogue_asks_which_mail_program_with_an_example() {
    let home = Home::new(&TestCa::new(), &[]);
    let nobody = format!("tls://localhost:{}", free_port());
    let words = ["add", ANN, "--pop3", &nobody, "--fetch-only", "--no-check", "--password-client"];
    let mut terminal = crate::support::terminal::Terminal::start(&home.command(&words));
    for (typed, told) in [
        ("p", "don\u{e2}\u{20ac}\u{2122}t for don't"),
        ("99", "1  Eudora for Windows, 4 to 7"),
        ("p", "neither a number of the list nor a charset"),
        ("6", "6  Claris Emailer"),
        ("", "letters   rewritten for Claris Emailer"),
    ] {
        terminal.wait_for(told);
        terminal.wait_for(if typed == "99" || typed == "6" { "as it is): " } else { "> " });
        terminal.line(typed);
    }
    terminal.wait_for("is saved");
    assert!(terminal.end().success());
    assert!(home.settings().contains("\nreadable = \"claris-emailer\"\n"), "{}", home.settings());
}

#[test]
fn without_a_keyring_the_password_can_stay_in_a_file() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), crate::unique("pw"));
    let cert = ca.localhost();
    let dovecot = crate::Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
    let postfix = crate::Postfix::builder().cert(cert).sasl(&dovecot).start();
    let mut home = Home::new(&ca, &[]);
    home.keep_secret(&password);
    let (pop3, smtp) = (format!("tls://localhost:{}", dovecot.pop3s), format!("tls://localhost:{}", postfix.smtps));
    let authority = home.ca_file();
    let words = ["add", ANN, "--pop3", &pop3, "--smtp", &smtp, "--ca", authority.to_str().unwrap()];
    let before = home.settings();
    let refused = home.ostler(&[&words[..], &["--password-stdin"]].concat(), &format!("{password}\n"));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("--password-file"), "says what to do instead: {}", said(&refused));
    assert_eq!(home.settings(), before);
    let file = home.path().join("word");
    private_file(&file, &format!("{password}\n"));
    let kept = home.ostler(&[&words[..], &["--password-file", file.to_str().unwrap()]].concat(), "");
    assert!(kept.status.success(), "{}", said(&kept));
    let listed = home.ostler(&["check"], "");
    assert!(listed.status.success(), "{}", said(&listed));
}

#[test]
fn fetching_here_and_sending_there_have_passwords_of_their_own() {
    require!("dovecot", "postfix", "keyring");
    let (here, there) = (Newcomer::start(), Newcomer::with_user("a.lee"));
    let ca_both = here.home.path().join("both.pem");
    let both = [here.home.ca_file(), there.home.ca_file()].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&ca_both, both.concat()).unwrap();
    let (pop3, smtp) = (here.pop3(), there.smtp());
    let words = here.words(&pop3, &smtp, ca_both.to_str().unwrap(), &["--smtp-username", "a.lee", "--password-stdin"]);
    let added = here.home.ostler(&words, &format!("{}\n{}\r\n", here.password, there.password));
    assert!(added.status.success(), "{}", said(&added));
    let Newcomer { home, dovecot: _dovecot, _keyring, .. } = here;
    let ostler = home.run();
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("there"));
    assert_eq!(there.postfix.deliveries().len(), 1);
    assert!(client::fetch(ostler.pop3, ANN, "x").is_empty());
}

#[test]
fn the_form_of_the_user_name_is_found_out() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::with_user("ann");
    let added = add(&newcomer, &[], &format!("{}\n", newcomer.password));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("some providers want \"ann\""), "{}", said(&added));
    assert_eq!(newcomer.home.settings().matches("username = \"ann\"").count(), 2);
}

#[test]
fn another_server_that_answers_is_offered_and_taken_with_yes() {
    require!("dovecot", "postfix", "keyring");
    let newcomer = Newcomer::start();
    let (pop3, dead, smtp) = (newcomer.pop3(), format!("tls://localhost:{}", free_port()), newcomer.smtp());
    let ca = newcomer.home.ca_file();
    let mut words = newcomer.words(&pop3, &dead, ca.to_str().unwrap(), &["--smtp", &smtp, "--password-stdin"]);
    let before = newcomer.home.settings();
    let input = format!("{}\n", newcomer.password);
    let refused = newcomer.home.ostler(&words, &input);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains(&format!("--smtp {smtp}")), "names the one that answers: {}", said(&refused));
    assert_eq!(newcomer.home.settings(), before);
    words.push("--yes");
    let added = newcomer.home.ostler(&words, &input);
    assert!(added.status.success(), "{}", said(&added));
    assert!(newcomer.home.settings().contains(&format!("port = {}", newcomer.postfix.submission)));
}

#[test]
fn what_cannot_be_meant_is_told_with_what_is_allowed() {
    let home = Home::new(&TestCa::new(), &[]);
    let cases: [(&[&str], &str); 7] = [
        (&["add", "ann"], "ann@example.net"),
        (&["add", ANN, "--pop3", "pop.example.org"], "tls://HOST"),
        (&["add", ANN, "--smtp", "ssl://x"], "tls://HOST"),
        (&["add", ANN, "--ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (&["add", ANN, "--provider", "nobody-knows"], "ostler providers"),
        (&["add", ANN, "--fetch-only", "--send-only"], "cannot be used with"),
        (&["add"], "ADDRESS"),
    ];
    for (words, hint) in cases {
        let wrong = home.ostler(words, "");
        assert_eq!(wrong.status.code(), Some(2), "{words:?}: {}", said(&wrong));
        assert!(said(&wrong).contains(hint), "{words:?}: {}", said(&wrong));
    }
}

/// Two at the same moment saved one account: each had read the settings before the other one wrote them.
#[test]
fn accounts_added_at_the_same_moment_are_all_there() {
    let home = Home::new(&TestCa::new(), &[]);
    let secret = home.path().join("secret");
    private_file(&secret, "unused-password\n");
    let addresses: Vec<_> = (0..6).map(|number| format!("ann{number}@example.org")).collect();
    std::thread::scope(|scope| {
        for address in &addresses {
            let (home, secret) = (&home, secret.to_str().unwrap());
            scope.spawn(move || {
                let words = ["add", address, "--pop3", "tls://pop.example.org", "--fetch-only", "--no-check", "--yes"];
                let added = home.ostler(&[&words[..], &["--password-file", secret]].concat(), "");
                assert!(added.status.success(), "{}", said(&added));
            });
        }
    });
    let settings = home.settings();
    assert!(addresses.iter().all(|address| settings.contains(address)), "{settings}");
}
