//! F11 (a): a provider has the letters of a password in Windows-1252, because old mail programs sent them so. Who adds the
//! account, or checks a new password, is asked, and the other form is tried once; a running ostler tries one.

use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::answering::{given, pop3, smtp_login, smtp_plain};
use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{document, run, said};
use crate::support::provider::Provider;
use crate::support::require;
use crate::support::terminal::Terminal;

const TYPED: &str = "p\u{c4}ss-of-ann";
const WINDOWS: &[u8] = b"p\xc4ss-of-ann";
const REMEMBERED: &str = "password_charset = \"windows-1252\"";

/// `ostler add` for a user `ann`, with the password in a variable.
fn add(home: &Home, pop3: Option<&Provider>, smtp: Option<&Provider>, more: &[&str], password: &str) -> Output {
    let address = |provider: &Provider| format!("tls://localhost:{}", provider.port);
    let (pop3, smtp) = (pop3.map(address), smtp.map(address));
    let ca = home.ca_file();
    let mut words = vec!["add", "ann@plover.example", "--username", "ann", "--ca", ca.to_str().unwrap()];
    match &pop3 {
        Some(pop3) => words.extend(["--pop3", pop3]),
        None => words.push("--send-only"),
    }
    match &smtp {
        Some(smtp) => words.extend(["--smtp", smtp]),
        None => words.push("--fetch-only"),
    }
    words.extend(["--password-env", "W"]);
    words.extend(more);
    run(home.command(&words).env("W", password), "")
}

/// The messages of AUTH PLAIN that were sent.
fn plain(provider: &Provider) -> Vec<Vec<u8>> {
    given(provider, "AUTH PLAIN ").iter().map(|response| BASE64.decode(response).unwrap()).collect()
}

#[test]
fn f11_what_the_user_agrees_to_is_tried_once_and_remembered() {
    let ca = TestCa::new();
    for (typed, windows) in [
        (TYPED, WINDOWS),
        ("5\u{20ac}-for-ann", &b"5\x80-for-ann"[..]),
        ("Stra\u{df}e \u{2019}s", b"Stra\xdfe \x92s"),
        ("\u{e5}\u{e6}\u{f8}\u{fe}\u{ff}\u{17d}", b"\xe5\xe6\xf8\xfe\xff\x8e"),
    ] {
        let (fetching, sending) = (pop3(&ca, windows), smtp_plain(&ca, "ann", windows));
        let home = Home::new(&ca, &[]);
        let added = add(&home, Some(&fetching), Some(&sending), &["--yes"], typed);
        assert!(added.status.success(), "{}", said(&added));
        assert!(
            said(&added).contains("remembers that this provider wants the password as windows-1252"),
            "{}",
            said(&added)
        );
        assert_eq!(given(&fetching, "PASS "), [typed.as_bytes(), windows]);
        // What worked for fetching comes first, here for the sign-in and for a rehearsed send.
        let right = [b"\0ann\0", windows].concat();
        assert!(plain(&sending).iter().all(|message| *message == right), "{:?}", plain(&sending));
        assert_eq!(home.settings().matches(REMEMBERED).count(), 2, "{}", home.settings());
        // A running ostler tries the one that worked.
        let ostler = home.run_changed(&["run"], |_, command| {
            command.env("W", typed);
        });
        assert!(client::fetch(ostler.pop3, "ann@plover.example", "x").is_empty());
        let mut client = Client::greeted(ostler.smtp, "220");
        client.ask("HELO old", "250");
        client.ask("MAIL FROM:<ann@plover.example>", "250");
        client.ask("QUIT", "221");
        assert_eq!(given(&fetching, "PASS ")[2..], [windows]);
        assert!(plain(&sending).iter().all(|message| message.ends_with(windows)));
    }
}

#[test]
fn f11_an_account_that_only_sends_is_found_out_too_with_each_mechanism() {
    let ca = TestCa::new();
    for sending in [smtp_plain(&ca, "ann", WINDOWS), smtp_login(&ca, "ann", WINDOWS)] {
        let home = Home::new(&ca, &[]);
        let added = add(&home, None, Some(&sending), &["--yes"], TYPED);
        assert!(added.status.success(), "{}", said(&added));
        assert!(home.settings().contains(REMEMBERED), "{}", home.settings());
        let messages: Vec<Vec<u8>> = given(&sending, "").iter().filter_map(|line| BASE64.decode(line).ok()).collect();
        let tries = |password: &[u8]| {
            let by_login = messages.iter().filter(|message| message.as_slice() == password).count();
            by_login + plain(&sending).iter().filter(|message| message.ends_with(password)).count()
        };
        // The second time with the right one is a rehearsed send.
        assert_eq!((tries(TYPED.as_bytes()), tries(WINDOWS)), (1, 2));
        let checked = run(home.command(&["check"]).env("W", TYPED), "");
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

#[test]
fn f11_nothing_more_is_tried_without_a_yes() {
    let ca = TestCa::new();
    let provider = pop3(&ca, WINDOWS);
    let home = Home::new(&ca, &[]);
    let before = home.settings();
    let refused = add(&home, Some(&provider), None, &[], TYPED);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let text = said(&refused);
    assert!(text.contains("has letters beyond ASCII") && text.contains("--yes"), "{text}");
    assert!(text.contains("old mail programs sent them as Windows-1252"), "the likely cause: {text}");
    assert_eq!(given(&provider, "PASS "), [TYPED.as_bytes()]);
    assert_eq!(home.settings(), before);
}

#[test]
fn f11_two_tries_are_the_most_and_one_where_there_is_no_other_form() {
    let ca = TestCa::new();
    for (password, tries) in [(TYPED, 2), ("plain-password", 1), ("\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}", 1)] {
        let provider = pop3(&ca, b"another-one");
        let home = Home::new(&ca, &[]);
        let refused = add(&home, Some(&provider), None, &["--yes"], password);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert_eq!(given(&provider, "PASS ").len(), tries, "{password}: {}", said(&refused));
        assert_eq!(said(&refused).contains("letters beyond ASCII"), !password.is_ascii(), "{}", said(&refused));
    }
    // What UTF-8 opens is not asked about.
    let provider = pop3(&ca, TYPED.as_bytes());
    let home = Home::new(&ca, &[]);
    let added = add(&home, Some(&provider), None, &["--yes"], TYPED);
    assert!(added.status.success() && !said(&added).contains("beyond ASCII"), "{}", said(&added));
    assert_eq!(given(&provider, "PASS "), [TYPED.as_bytes()]);
    assert!(!home.settings().contains("password_charset"));
}

#[test]
fn f11_a_running_ostler_tries_one_form_and_names_the_cause() {
    let ca = TestCa::new();
    let (fetching, sending) = (pop3(&ca, WINDOWS), smtp_plain(&ca, "ann@plover.example", WINDOWS));
    let account = Account::new("home", "ann@plover.example", TYPED).pop3(Server::new("tls", fetching.port));
    let home = Home::new(&ca, &[account.smtp(Server::new("tls", sending.port))]);
    let ostler = home.run();
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    let said = client.ask("PASS x", "-ERR [AUTH]");
    assert!(said.contains("letters beyond ASCII"), "{said}");
    let mut client = Client::greeted(ostler.smtp, "220");
    client.ask("HELO old", "250");
    let said = client.ask("MAIL FROM:<ann@plover.example>", "550 5.7.8");
    assert!(said.contains("letters beyond ASCII"), "{said}");
    assert_eq!((given(&fetching, "PASS ").len(), plain(&sending).len()), (1, 1));
    let explained = document(&ostler.home.ostler(&["check", "--explain", &said, "--json"], ""));
    assert_eq!(explained["causes"][0]["cause"], "password-letters", "{explained}");
    assert!(explained["causes"][0]["next"].as_str().unwrap().contains("ostler password home --check"), "{explained}");
}

#[test]
fn f11_a_new_password_is_checked_in_both_forms_and_the_settings_remember() {
    require!("keyring");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let (fetching, sending) = (pop3(&ca, WINDOWS), smtp_login(&ca, "ann", WINDOWS));
    let account = Account::new("home", "ann@plover.example", "")
        .keyring()
        .line("username = \"ann\" # hers")
        .pop3(Server::new("tls", fetching.port))
        .smtp(Server::new("tls", sending.port));
    let home = Home::new(&ca, &[account]).with_keyring(&keyring);
    let before = home.settings();
    let input = format!("{TYPED}\n");
    let refused = home.ostler(&["password", "home", "--stdin", "--check"], &input);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("--yes") && said(&refused).contains("was not stored"), "{}", said(&refused));
    assert_eq!(given(&fetching, "PASS ").len(), 1);
    assert_eq!(home.settings(), before);
    let stored = home.ostler(&["password", "home", "--stdin", "--check", "--yes"], &input);
    assert!(stored.status.success(), "{}", said(&stored));
    assert_eq!(given(&fetching, "PASS ")[1..], [TYPED.as_bytes(), WINDOWS]);
    let windows = BASE64.encode(WINDOWS).into_bytes();
    let tries = given(&sending, "").into_iter().filter(|line| BASE64.decode(line).is_ok_and(|said| said.len() > 8));
    assert_eq!(tries.collect::<Vec<_>>(), [windows], "what worked for fetching comes first");
    assert_eq!(home.settings(), before.replace("mend = []\n", &format!("mend = []\n{REMEMBERED}\n")));
    let checked = home.ostler(&["check"], "");
    assert!(checked.status.success(), "{}", said(&checked));
    // Known by now: one try, without a question.
    let again = home.ostler(&["password", "home", "--stdin", "--check"], &input);
    assert!(again.status.success() && !said(&again).contains("Try it once more"), "{}", said(&again));
    assert_eq!(given(&fetching, "PASS ")[3..], [WINDOWS, WINDOWS]);
}

#[test]
fn f11_at_a_terminal_the_user_is_asked() {
    require!("keyring", "setsid");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    for (answer, tries) in [("", 2), ("n", 1)] {
        let provider = pop3(&ca, WINDOWS);
        let home = Home::new(&ca, &[]).with_keyring(&keyring);
        let (server, authority) = (format!("tls://localhost:{}", provider.port), home.ca_file());
        let words = ["add", "ann@plover.example", "--username", "ann", "--pop3", &server, "--fetch-only"];
        let words = [&words[..], &["--ca", authority.to_str().unwrap()]].concat();
        let mut terminal = Terminal::start(&home.command(&words));
        terminal.wait_for("\n> ");
        terminal.line("");
        terminal.wait_for("(it does not show while you type): ");
        terminal.password(TYPED);
        terminal.wait_for("Try it once more like that?");
        terminal.wait_for("] ");
        terminal.line(answer);
        if answer.is_empty() {
            terminal.wait_for("works and is saved");
        } else {
            terminal.wait_for("\n> ");
            terminal.line("q");
        }
        assert_eq!(terminal.end().success(), answer.is_empty());
        assert_eq!(given(&provider, "PASS ").len(), tries);
    }
}
