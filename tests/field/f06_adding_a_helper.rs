//! F06: `ostler add` with a helper on this computer, by the file that it exports or by its fingerprint.

use std::process::Output;

use crate::f06_a_helpers_own_certificate::bridge;
use crate::support::ca::{ServerCert, TestCa};
use crate::support::client;
use crate::support::dovecot::Dovecot;
use crate::support::mail;
use crate::support::ostler::Home;
use crate::support::postfix::Postfix;
use crate::support::process::said;
#[cfg(target_os = "linux")]
use crate::support::terminal::Terminal;
use crate::support::{private_file, require, unique};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

/// A helper for sending, a company for fetching, and a person who has no keyring.
struct Newcomer {
    dovecot: Dovecot,
    postfix: Postfix,
    home: Home,
    bridge: ServerCert,
}

impl Newcomer {
    fn start() -> Self {
        let (company, password, bridge) = (TestCa::new(), unique("pw"), bridge());
        let dovecot = Dovecot::builder().user(ANN, &password).cert(company.localhost()).start();
        let postfix = Postfix::builder().cert(bridge.clone()).sasl(&dovecot).start();
        let mut home = Home::new(&company, &[]);
        home.keep_secret(&password);
        let file = home.path().join("password");
        private_file(&file, &format!("{password}\n"));
        std::fs::write(home.path().join("bridge.pem"), &bridge.chain_pem).unwrap();
        Self { dovecot, postfix, home, bridge }
    }

    fn smtp(&self) -> String {
        format!("starttls://127.0.0.1:{}", self.postfix.submission)
    }

    /// `ostler add` with these options, after the address or before it.
    fn add(&self, before: &[&str], after: &[&str]) -> Output {
        let password = self.home.path().join("password");
        let mut words = [&["add"], before, &[ANN], after].concat();
        words.extend(["--password-file", password.to_str().unwrap()]);
        self.home.ostler(&words, "")
    }

    /// The account's table of this protocol in the settings.
    fn table(&self, protocol: &str) -> String {
        let settings = self.home.settings();
        let start = settings.find(&format!("[account.{protocol}]")).unwrap_or_else(|| panic!("{settings}"));
        let rest = &settings[start..];
        rest[1..].find("\n[").map_or(rest, |end| &rest[..=end]).to_owned()
    }

    fn assert_sends(self) {
        let Self { home, postfix, dovecot: _dovecot, .. } = self;
        let ostler = home.run();
        client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("helper"));
        assert_eq!(postfix.deliveries().len(), 1);
    }
}

#[test]
fn f06_add_takes_the_file_that_the_helper_exports() {
    require!("dovecot", "postfix", "openssl");
    let newcomer = Newcomer::start();
    let file = newcomer.home.path().join("bridge.pem");
    let added = newcomer.add(&[], &["--send-only", "--smtp", &newcomer.smtp(), "--ca", file.to_str().unwrap()]);
    assert!(added.status.success(), "{}", said(&added));
    assert!(newcomer.table("smtp").contains("bridge.pem"));
    newcomer.assert_sends();
}

#[test]
fn f06_add_pins_the_certificate_that_is_shown_or_named() {
    require!("dovecot", "postfix", "openssl");
    let cert = bridge();
    for before in [true, false] {
        let newcomer = Newcomer::start();
        let (smtp, pin) = (newcomer.smtp(), newcomer.bridge.pin());
        assert_ne!(pin, cert.pin());
        let words = ["--send-only", "--smtp", &smtp];
        let added = if before {
            // The address stands where a fingerprint could.
            newcomer.add(&["--send-only", "--smtp", &smtp, "--pin"], &[])
        } else {
            newcomer.add(&[], &[&words[..], &["--pin", &pin]].concat())
        };
        assert!(added.status.success(), "{}", said(&added));
        if before {
            let shown = said(&added);
            assert!(
                shown.contains(&pin) && shown.contains("127.0.0.1") && shown.contains("Trust this certificate"),
                "{shown}"
            );
        }
        assert!(newcomer.table("smtp").contains(&format!("pin = \"{pin}\"")), "{}", newcomer.home.settings());
        newcomer.assert_sends();
    }
}

#[test]
fn f06_a_pin_is_only_for_servers_that_show_it() {
    require!("dovecot", "postfix", "openssl");
    let newcomer = Newcomer::start();
    let (pop3, smtp) = (format!("tls://localhost:{}", newcomer.dovecot.pop3s), newcomer.smtp());
    let (company, pin) = (newcomer.home.ca_file(), newcomer.bridge.pin());
    let servers = ["--pop3", &pop3, "--smtp", &smtp, "--ca", company.to_str().unwrap()];
    let added = newcomer.add(&[], &[&servers[..], &["--pin", &pin]].concat());
    assert!(added.status.success(), "{}", said(&added));
    let (fetching, sending) = (newcomer.table("pop3"), newcomer.table("smtp"));
    assert!(fetching.contains("ca =") && !fetching.contains("pin ="), "{fetching}");
    assert!(sending.contains(&format!("pin = \"{pin}\"")) && !sending.contains("ca ="), "{sending}");
    newcomer.assert_sends();
}

#[test]
fn f06_a_pin_that_no_server_shows_is_refused_with_what_is_shown() {
    require!("dovecot", "postfix", "openssl");
    let newcomer = Newcomer::start();
    let before = newcomer.home.settings();
    let (smtp, wrong) = (newcomer.smtp(), bridge().pin());
    let refused = newcomer.add(&[], &["--send-only", "--smtp", &smtp, "--pin", &wrong]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    for word in [&wrong, &newcomer.bridge.pin(), "127.0.0.1"] {
        assert!(said(&refused).contains(word), "{}", said(&refused));
    }
    let nonsense = newcomer.add(&[], &["--send-only", "--smtp", &smtp, "--pin", "sha256:12"]);
    assert_eq!(nonsense.status.code(), Some(2), "{}", said(&nonsense));
    assert!(said(&nonsense).contains("64 hexadecimal digits"), "{}", said(&nonsense));
    assert_eq!(newcomer.home.settings(), before);
}

#[test]
fn f06_add_says_that_a_helper_has_a_certificate_of_its_own() {
    require!("dovecot", "postfix", "openssl");
    let newcomer = Newcomer::start();
    let refused = newcomer.add(&[], &["--send-only", "--smtp", &newcomer.smtp()]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let text = said(&refused);
    for word in ["is a helper on this computer", "--ca FILE", "--pin", &newcomer.bridge.pin()] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    // Untried, the pin goes where the helper is.
    let (pop3, smtp, pin) = ("tls://pop.example.org", newcomer.smtp(), newcomer.bridge.pin());
    let kept = newcomer.add(&[], &["--pop3", pop3, "--smtp", &smtp, "--pin", &pin, "--no-check"]);
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(newcomer.table("smtp").contains(&pin) && !newcomer.table("pop3").contains("pin"));
}

#[cfg(target_os = "linux")]
#[test]
fn f06_at_a_terminal_the_certificate_is_shown_and_asked_about() {
    require!("dovecot", "postfix", "openssl", "setsid");
    let newcomer = Newcomer::start();
    let (before, password, smtp) = (newcomer.home.settings(), newcomer.home.path().join("password"), newcomer.smtp());
    let words = ["add", ANN, "--send-only", "--smtp", &smtp, "--pin", "--password-file", password.to_str().unwrap()];
    let asked = || {
        let mut terminal = Terminal::start(&newcomer.home.command(&words));
        terminal.wait_for("\n> ");
        terminal.line("");
        let shown = terminal.wait_for("and no other? [y/N]");
        assert!(shown.contains(&newcomer.bridge.pin()) && shown.contains("O=Helper"), "{shown}");
        terminal
    };
    // Enter alone trusts nothing.
    let mut terminal = asked();
    terminal.line("");
    assert!(terminal.wait_for("\n> ").contains("nobody but itself"));
    terminal.line("q");
    assert_eq!(terminal.end().code(), Some(1));
    assert_eq!(newcomer.home.settings(), before);
    let mut terminal = asked();
    terminal.line("y");
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
    assert!(newcomer.table("smtp").contains(&newcomer.bridge.pin()));
}
