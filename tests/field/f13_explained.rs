//! F13: `ostler check --explain` names the right cause first, and what a mail program is told at the same refusal speaks of
//! the same. The whole table, `wordings.tsv`, is tried beside the code (`src/diagnose/explain/tests.rs`).

use serde_json::Value;

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{out, said};
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::unique;

const ANN: &str = "ann@example.org";

/// The lines of the case: the text, words of the cause that is told first, words of what to do, and what is not blamed.
const CASE: [(&str, &str, &str, &str); 20] = [
    ("454 4.7.0 Too many login attempts, please try again later", "counts sign-ins", "less often", "out of order"),
    (
        "553 5.7.1 <ann@plover.example>: Sender address rejected: not owned by user ann@example.org",
        "does not belong to the mailbox",
        "alias",
        "read those words",
    ),
    ("452 4.5.3 Too many recipients", "more people at once", "fewer people", "makes senders"),
    ("550 maximum allowed line length is 998 octets, got 1003", "line", "new message", "read those words"),
    ("500 5.0.0 Line too long", "line", "new message", "read those words"),
    ("550 5.4.5 Daily user sending limit exceeded", "hour or a day", "a day", "read those words"),
    ("MAIL FROM:<> 501 5.1.7 bad sender", "without a sender", "read receipts", "read those words"),
    ("553 5.1.7 <>: Sender address rejected: not permitted", "without a sender", "read receipts", "alias"),
    ("-ERR Logon failure: unknown user name or bad password.", "Exchange", "web page", "recipient"),
    ("-ERR Message 31 expunged.", "no longer there", "fetch again", "password"),
    ("503 AUTH command used when not advertised", "no sign-in on this port", "465", "read those words"),
    ("504 5.7.4 Unrecognized authentication type", "way of signing in", "not looked at", "was changed"),
    (
        "535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
        "way of signing in",
        "not looked at",
        "was changed",
    ),
    ("SMTPUTF8 is required, but was not offered by host", "beyond plain ASCII", "plain letters", "does not know"),
    ("received fatal alert: HandshakeFailure", "too old", "127.0.0.1", "does not know"),
    ("invalid peer certificate: UnknownIssuer", "authority", "ca", "expired"),
    ("No SNI provided; please fix your client.", "told the name", "127.0.0.1", "does not know"),
    (
        "The POP3 server sent an invalid response. please contact your system administrator. Server response '6' (Account 'home' POP3 Server: '127.0.0.1' Error Number: 0x800ccc93)",
        "without its lasting id",
        "web mail",
        "mixed up",
    ),
    ("0x800ccc93 Server response '6'", "without its lasting id", "web mail", "virus"),
    (
        "The POP3 mail server (127.0.0.1) does not support UIDL or XTND XLST, which are required to implement the ``Leave on Server'' option",
        "UIDL",
        "restart the mail program",
        "does not know",
    ),
];

fn home() -> Home {
    Home::new(&TestCa::new(), &[Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", 1))])
}

#[test]
fn f13_each_text_of_the_case_has_its_cause_and_nothing_else_is_blamed() {
    let home = home();
    for (text, cause, advice, blamed) in CASE {
        let output = home.ostler(&["check", "--json", "--explain", text], "");
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
        let first = &document["causes"][0];
        let told = format!("{} {}", first["means"].as_str().unwrap(), first["likely"].as_str().unwrap());
        let next = first["next"].as_str().unwrap();
        assert!(told.contains(cause), "{cause:?} is not told of {text}: {first:#}");
        assert!(next.contains(advice) && !next.contains("--explain"), "{advice:?} is not advised at {text}: {first:#}");
        assert!(!told.contains(blamed) && !next.contains(blamed), "{blamed:?} is told of {text}: {first:#}");
    }
}

#[test]
fn f13_a_returned_mail_and_a_dialog_on_several_lines_are_read_from_standard_input() {
    let home = home();
    for (text, cause) in [
        (
            "<bob@example.net>: host mx.example.net[192.0.2.7] said: 452-4.2.2 The recipient's inbox is out\r\n    of storage space. Please direct the recipient to\r\n    452 4.2.2 https://support.example (in reply to RCPT TO command)",
            "the recipient's mailbox is full",
        ),
        (
            "There has been an error transferring your mail.\nI said:\n   PASS <shhhh! Don't tell anyone.>\nand then the POP server (ann@127.0.0.1) said:\n   ERR [LOGIN-DELAY] minimum time between logins is 300 seconds",
            "more time between two logins",
        ),
    ] {
        let output = home.ostler(&["check", "--explain", "-"], text);
        let words = out(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.starts_with(&format!("what it means: {cause}")) || words.contains(cause), "{words}");
        assert!(!words.contains(" or: "), "one cause is enough: {words}");
    }
}

#[test]
fn f13_what_nobody_knows_is_said_to_be_unknown_and_where_to_send_it() {
    let home = home();
    for text in
        ["550 5.9.9 the flux capacitor is misaligned", "-ERR my horse is lame", "450 4.9.9 the tea is not ready"]
    {
        let output = home.ostler(&["check", "--explain", text], "");
        let words = out(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["in words that ostler does not know", "help desk of the provider", "makers of ostler"] {
            assert!(words.contains(part), "{part:?}: {words}");
        }
        assert!(!words.contains("--explain") && !words.contains("password") && !words.contains(" or: "), "{words}");
    }
    let output = home.ostler(&["check", "--explain", "my horse is lame"], "");
    let words = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("does not know this error") && words.contains("makers of ostler"), "{words}");
    assert!(words.contains("help desk") && !words.contains("--explain"), "{words}");
}

/// What a refused sign-in says, and words of the advice that both the mail program and `ostler check` give.
const REFUSED: [(&str, &str); 6] = [
    ("-ERR [AUTH] Too many failed logins", "look for mail less often"),
    ("-ERR [AUTH] NEOBHODIM parol prilozheniya https://help.mail.ru/mail/security/protection/external", "app password"),
    (
        "-ERR [IN-USE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        "close the other mail programs",
    ),
    ("-ERR [SYS/PERM] Your account is not enabled for POP access.", "Enable POP"),
    ("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "starttls"),
    ("-ERR Logon failure: unknown user name or bad password.", "quarter of an hour"),
];

#[test]
fn f13_the_mail_program_is_told_what_the_doctor_says() {
    for (refusal, advice) in REFUSED {
        let provider =
            Provider::always(vec![say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say(refusal), Step::Stall]);
        let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", provider.port));
        let ostler = Home::new(&TestCa::new(), &[account]).run();
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.say("PASS typed");
        let told = client.line().unwrap();
        assert!(told.contains(advice) && told.len() <= 510, "{advice:?} is not in {told:?}");
        let checked = ostler.home.ostler(&["check", "--json"], "");
        let document: Value = serde_json::from_slice(&checked.stdout).unwrap();
        let steps = document["accounts"][0]["steps"].as_array().unwrap();
        let failed = steps.iter().find(|step| step["ok"] == false).unwrap();
        assert!(failed["advice"].as_str().unwrap().contains(advice), "{failed:#}");
        let explained = ostler.home.ostler(&["check", "--json", "--explain", &told], "");
        let document: Value = serde_json::from_slice(&explained.stdout).unwrap();
        assert!(document["causes"][0]["next"].as_str().unwrap().contains(advice), "{document:#}");
    }
}

/// What a server says instead of a greeting, and what only the right advice says.
const TURNED_AWAY: [(&str, &str); 3] = [
    ("-ERR [SYS/TEMP] Too many connections from your IP address", "fetch less often"),
    ("-ERR [SYS/TEMP] Server is closed for maintenance", "half an hour"),
    ("-ERR Your IP address is blocked", "another network"),
];

#[test]
fn f13_a_greeting_that_refuses_is_told_alike_by_the_door_and_the_doctor() {
    for (greeting, advice) in TURNED_AWAY {
        let provider = Provider::always(vec![say(greeting), Step::Stall]);
        let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", provider.port));
        let ostler = Home::new(&TestCa::new(), &[account]).run();
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        let told = client.ask("PASS typed", "-ERR [SYS/TEMP]");
        let checked = ostler.home.ostler(&["check", "--json"], "");
        let document: Value = serde_json::from_slice(&checked.stdout).unwrap();
        let steps = document["accounts"][0]["steps"].as_array().unwrap();
        let failed = steps.iter().find(|step| step["ok"] == false).unwrap();
        let explained = ostler.home.ostler(&["check", "--json", "--explain", &told], "");
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
        let cause = &explained["causes"][0];
        assert!(told.contains(advice), "{advice:?} is not in {told:?}");
        assert!(failed["advice"].as_str().unwrap().contains(advice), "{failed:#}");
        assert!(cause["next"].as_str().unwrap().contains(advice), "{cause:#}");
    }
}
