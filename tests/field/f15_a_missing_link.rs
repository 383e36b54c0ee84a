//! F15: the certificates that a server shows end before an authority.

use serde_json::Value;

use crate::support::ca::{ServerCert, TestCa};
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::unique;

/// An authority that is trusted, two below it of which the lower signs servers, and one elsewhere.
struct Authorities {
    root: TestCa,
    upper: TestCa,
    lower: TestCa,
    foreign: TestCa,
}

impl Authorities {
    fn new() -> Self {
        let root = TestCa::new();
        let upper = root.below("upper authority");
        let lower = upper.below("lower authority");
        Self { root, upper, lower, foreign: TestCa::new().below("elsewhere") }
    }

    fn server(&self) -> ServerCert {
        self.lower.localhost()
    }
}

/// A server that lets everyone in by POP3.
fn pop3(cert: &ServerCert) -> Provider {
    let parts = [say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), expect("QUIT"), say("+OK bye")];
    Provider::always_tls(cert, true, parts.to_vec())
}

/// The account at this server; `ca` has these certificates.
fn home(trusted: &[&TestCa], port: u16) -> Home {
    let account = Account::new("home", "ann@example.org", &unique("pw"));
    let account = account.pop3(Server::new("tls", port)).smtp(Server::new("tls", port));
    let home = Home::new(trusted[0], &[account]);
    let all: String = trusted.iter().map(|one| one.pem()).collect();
    std::fs::write(home.ca_file(), all).unwrap();
    home
}

/// The first step that fails: what happened, its cause and its advice.
fn failed(home: &Home) -> (String, String, String) {
    let output = home.ostler(&["check", "--json"], "");
    let check: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    let steps = check["accounts"][0]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["ok"] == false).unwrap_or_else(|| panic!("nothing failed: {check:#}"));
    let text = |key: &str| step[key].as_str().unwrap_or_else(|| panic!("no {key}: {step:#}")).to_owned();
    (text("detail"), text("cause"), text("advice"))
}

fn assert_link_is_missing(home: &Home, issuer: &str) {
    let (detail, cause, advice) = failed(home);
    assert!(detail.contains("did not send the certificate of its issuer") && detail.contains(issuer), "{detail}");
    assert!(advice.contains("tell the provider") && advice.contains("certificate between"), "{advice}");
    assert!(advice.contains("ca"), "{advice}");
    for wrong in ["virus scanner", "hotel", "private server"] {
        assert!(!cause.contains(wrong) && !advice.contains(wrong), "{wrong}: {cause}; {advice}");
    }
    // Back from the words.
    let explained = said(&home.ostler(&["check", "--explain", &detail], ""));
    assert!(explained.contains("did not send the certificate between"), "{explained}");
}

#[test]
fn f15_a_link_that_the_server_does_not_send_is_named_and_nothing_else_is_blamed() {
    let all = Authorities::new();
    for (shown, issuer) in [
        (&[][..], "lower authority"),
        (&[&all.lower], "upper authority"),
        (&[&all.upper], "lower authority"),
        (&[&all.root], "lower authority"),
        (&[&all.root, &all.foreign, &all.lower], "upper authority"),
        (&[&all.foreign], "lower authority"),
    ] {
        let server = pop3(&all.server().showing(shown));
        assert_link_is_missing(&home(&[&all.root], server.port), issuer);
        assert!(server.sessions().iter().all(|session| session.received.is_empty()), "nothing is said inside");
    }
}

#[test]
fn f15_the_mail_program_is_told_the_same() {
    let all = Authorities::new();
    let server = pop3(&all.server().showing(&[]));
    let ostler = home(&[&all.root], server.port).run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let at_pass = pop.ask("PASS x", "-ERR [SYS/TEMP] ");
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    let at_mail = smtp.ask("MAIL FROM:<ann@example.org>", "454 4.7.5 ");
    for line in [at_pass, at_mail] {
        assert!(line.contains("localhost did not send the certificate of its issuer"), "{line}");
        assert!(line.contains("lower authority") && line.contains("tell the provider"), "{line}");
        assert!(line.len() <= 512 && !line.contains("virus"), "{line}");
    }
}

#[test]
fn f15_the_missing_certificate_in_the_ca_file_helps_meanwhile() {
    let all = Authorities::new();
    for (shown, trusted) in [
        (&[][..], &[&all.lower][..]),
        (&[], &[&all.root, &all.upper, &all.lower]),
        (&[&all.lower], &[&all.root, &all.upper]),
        // Complete, in any order, with a foreign one among them.
        (&[&all.foreign, &all.upper, &all.lower], &[&all.root]),
        (&[&all.root, &all.upper, &all.lower, &all.foreign], &[&all.root]),
    ] {
        let server = pop3(&all.server().showing(shown));
        let ostler = home(trusted, server.port).run();
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.ask("PASS x", "+OK");
        client.ask("QUIT", "+OK");
    }
}

#[test]
fn f15_scanners_private_authorities_and_servers_of_their_own_are_told_apart() {
    let (known, private) = (TestCa::new(), TestCa::new());
    let scanner = TestCa::new().below("Avast Web/Mail Shield Root");
    for (cert, sentence, cause) in [
        (private.localhost(), "an issuer this computer does not know", "virus scanner"),
        (private.below("office").localhost().showing(&[&private]), "did not send the certificate", "web browsers"),
        (scanner.localhost().showing(&[]), "an issuer this computer does not know", "virus scanner"),
        (TestCa::self_signed(), "nobody but itself", "small or private server"),
    ] {
        let server = Provider::always_tls(&cert, true, vec![Step::Stall]);
        let (detail, found, _) = failed(&home(&[&known], server.port));
        assert!(detail.contains(sentence) && found.contains(cause), "{detail}: {found}");
    }
}
