//! F14: a mail program stops at a message without an id (Outlook: 0x800CCC93). The list passes as it is; `ostler check` looks
//! at it and says which message it is.

use serde_json::Value;

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{out, said};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{private_file, unique};

const ANN: &str = "ann@example.org";

/// A mailbox with so many messages that answers UIDL like this.
fn mailbox(count: u32, uidl: &str) -> Part {
    vec![
        say("+OK"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK welcome"),
        expect("STAT"),
        say(&format!("+OK {count} 1000")),
        expect("UIDL"),
        say(uidl),
        expect("QUIT"),
        say("+OK bye"),
        Step::Close,
    ]
}

fn home(port: u16) -> Home {
    Home::new(&TestCa::new(), &[Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", port))])
}

/// The step about the ids in the JSON of `ostler check`, and whether the account is said to work.
fn checked(home: &Home) -> (Value, bool) {
    let output = home.ostler(&["check", "--json"], "");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    let steps = document["accounts"][0]["steps"].as_array().unwrap();
    let step =
        steps.iter().find(|step| step["step"] == "message-ids").unwrap_or_else(|| panic!("{document:#}")).clone();
    (step, document["ok"] == true && output.status.success())
}

#[test]
fn f14_check_names_the_message_without_an_id_and_what_to_do() {
    let provider = Provider::always(mailbox(3, "+OK\r\n1 a\r\n2\r\n3 c\r\n."));
    let home = home(provider.port);
    let output = home.ostler(&["check"], "");
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in ["message 2 has no id", "web mail", "delete or fetch", "needs your attention", "3 messages are there"]
    {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(!text.contains("everything works"), "{text}");
}

#[test]
fn f14_every_fault_of_the_list_is_named() {
    let long = format!("+OK\r\n1 {}\r\n2 b\r\n.", "x".repeat(71));
    for (count, uidl, words, advice) in [
        (2, "+OK\r\n1 a\r\n2 \r\n.", "message 2 has no id", "message 2"),
        (3, "+OK\r\n1 a\r\n2 b\r\n3 a\r\n.", "messages 1 and 3 have the same id", "messages 1 and 3"),
        (2, &long, "of 71 characters", "message 1"),
        (2, "+OK\r\n1 a b\r\n2 c\r\n.", "message 1 has an id (UIDL) with a blank", "message 1"),
        (2, "+OK\r\n1 a\r\n2 b\u{e4}\r\n.", "strange character", "message 2"),
        (3, "+OK\r\n1 a\r\n3 c\r\n.", "message 2 has no id", "message 2"),
        (2, "+OK\r\n1 a\r\n1 b\r\n.", "twice", "message 1"),
        (2, "-ERR unknown command", "refuses the list of ids (UIDL): unknown command", "leave messages on server"),
        (2, "-ERR [SYS/TEMP] not just now", "refuses the list of ids", "for a moment only"),
        (1, "+OK\r\n1 a\r\n2 b\r\n3 c\r\n.", "more messages than the 1", "tell the provider"),
        (4, "+OK\r\n1\r\n2\r\n3 c\r\n4 c\r\n.", "2 more mistakes", "message 1"),
    ] {
        let provider = Provider::always(mailbox(count, uidl));
        let (step, is_ok) = checked(&home(provider.port));
        assert_eq!((&step["ok"], is_ok), (&Value::Bool(false), false), "{uidl}: {step:#}");
        assert!(step["detail"].as_str().unwrap().contains(words), "{words:?}: {step:#}");
        assert!(step["advice"].as_str().unwrap().contains(advice), "{advice:?}: {step:#}");
        assert!(step["cause"].is_string(), "{step:#}");
    }
}

#[test]
fn f14_a_good_list_and_an_empty_mailbox_are_content() {
    for (count, uidl) in [(0, "+OK\r\n."), (2, "+OK 2 messages\r\n1 a\r\n2 b\r\n."), (1, "+OK\r\n1 ~!x\r\n.")] {
        let provider = Provider::always(mailbox(count, uidl));
        let (step, is_ok) = checked(&home(provider.port));
        assert_eq!((&step["ok"], is_ok), (&Value::Bool(true), true), "{uidl}: {step:#}");
    }
}

#[test]
fn f14_a_server_that_hangs_up_or_goes_on_for_ever_does_not_hold_the_check() {
    let mut hangs_up = mailbox(2, "+OK\r\n1 a");
    hangs_up.truncate(9);
    hangs_up.push(Step::Close);
    let (step, _) = checked(&home(Provider::always(hangs_up).port));
    assert!(step["detail"].as_str().unwrap().contains("closed the connection"), "{step:#}");
    // More lines than there are messages: the rest is not waited for.
    let mut endless = mailbox(2, "+OK\r\n1 a\r\n2 b\r\n3 c\r\n4 d");
    endless.truncate(9);
    endless.push(Step::Stall);
    let (step, _) = checked(&home(Provider::always(endless).port));
    assert!(step["detail"].as_str().unwrap().contains("more messages than the 2"), "{step:#}");
}

#[test]
fn f14_the_list_passes_to_the_mail_program_as_it_is() {
    let part = vec![
        say("+OK"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK"),
        expect("UIDL"),
        say("+OK\r\n1 a\r\n2\r\n3 c\r\n."),
        expect("QUIT"),
        say("+OK"),
    ];
    let ostler = home(Provider::always(part).port).run();
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS typed", "+OK");
    client.say("UIDL");
    assert_eq!(client.expect_body(), b"1 a\r\n2\r\n3 c\r\n");
    client.ask("QUIT", "+OK");
}

#[test]
fn f14_a_damaged_message_does_not_keep_an_account_from_being_added() {
    let ca = TestCa::new();
    let provider = Provider::always_tls(&ca.localhost(), true, mailbox(2, "+OK\r\n1 a\r\n2\r\n."));
    let home = Home::new(&ca, &[]);
    let file = home.path().join("word");
    private_file(&file, "word-1234\n");
    let (pop3, authority) = (format!("tls://localhost:{}", provider.port), home.ca_file());
    let words = ["add", ANN, "--pop3", &pop3, "--fetch-only", "--ca", authority.to_str().unwrap()];
    let added = home.ostler(&[&words[..], &["--password-file", file.to_str().unwrap(), "--yes"]].concat(), "");
    let screen = said(&added);
    assert!(added.status.success(), "{screen}");
    assert!(screen.contains("message 2 has no id"), "{screen}");
    assert!(home.settings().contains("[account.pop3]"), "{}", home.settings());
}
