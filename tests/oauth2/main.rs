//! The built program at a provider that takes no password: a real issuer of tokens (panva's oidc-provider), Dovecot that asks it
//! about every token, Postfix that asks Dovecot, a real keyring.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod adding;
mod attacks;
mod clocks;
mod elsewhere;
mod flows;
#[cfg(target_os = "linux")]
mod registration;
mod renewing;
#[cfg(target_os = "linux")]
mod several;
mod too_late;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use support::ca::TestCa;
use support::clock::Clock;
use support::dovecot::Dovecot;
use support::issuer::{Builder, Issuer};
use support::keyring::Keyring;
use support::ostler::{Account, Home, Server};
use support::postfix::Postfix;
use support::process::out;
use support::secrets::{Watch, watch_of};

const ANN: &str = "ann@example.net";
const BOB: &str = "bob@example.net";

/// A provider that takes access tokens only, with ann's mailbox.
struct Site {
    ca: TestCa,
    issuer: Issuer,
    dovecot: Dovecot,
    postfix: Postfix,
    keyring: Keyring,
}

impl Site {
    fn start() -> Self {
        Self::with(Issuer::builder())
    }

    fn with(issuer: Builder) -> Self {
        let ca = TestCa::new();
        let issuer = issuer.start(&ca);
        let cert = ca.localhost();
        let dovecot = issuer.dovecot().user(ANN, "no-password-is-taken").cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        Self { ca, issuer, dovecot, postfix, keyring: Keyring::start() }
    }

    /// A provider at which ann has signed in, and her home.
    fn signed_in() -> (Self, Home) {
        Self::signed_in_at(Issuer::builder())
    }

    fn signed_in_at(issuer: Builder) -> (Self, Home) {
        let site = Self::with(issuer);
        let mut home = site.home();
        site.sign_in(&mut home);
        (site, home)
    }

    /// ann's account: fetches, sends and reads with tokens of the issuer.
    fn account(&self) -> Account {
        Account::new("home", ANN, "")
            .keyring()
            .line("oauth2 = \"test\"")
            .pop3(Server::new("tls", self.dovecot.pop3s).auth("oauth2"))
            .smtp(Server::new("starttls", self.postfix.submission).auth("oauth2"))
            .imap(Server::new("tls", self.dovecot.imaps).auth("oauth2"))
    }

    fn home(&self) -> Home {
        self.home_with("")
    }

    fn home_with(&self, more: &str) -> Home {
        let tables = self.issuer.settings(more);
        Home::with_settings(&self.ca, &[self.account()], "", &tables).with_keyring(&self.keyring)
    }

    /// What the keyring has of ann's sign-in.
    fn tokens(&self) -> serde_json::Value {
        let asked = self.keyring.secret_tool(&["lookup", "service", "ostler", "username", "home oauth2"], "");
        serde_json::from_str(&out(&asked)).unwrap_or_default()
    }

    /// Puts that into the keyring, changed.
    fn put_tokens(&self, tokens: &serde_json::Value) {
        let store = ["store", "--label=x", "service", "ostler", "username", "home oauth2"];
        assert!(self.keyring.secret_tool(&store, &tokens.to_string()).status.success());
    }

    /// By the clock, the tokens in the keyring have ended. What a renewal brings lasts as long as the issuer says, so that a busy
    /// machine may take its time over a sign-in.
    fn let_tokens_end(&self) {
        let mut tokens = self.tokens();
        tokens["expires"] = 1.into();
        self.put_tokens(&tokens);
    }

    /// Signs in as ann, and has the tokens searched for from then on.
    fn sign_in(&self, home: &mut Home) {
        let sign_in = SignIn::start(home, &["sign-in", "--no-browser", "-vv"]);
        let page = self.issuer.sign_in(&sign_in.address, "ann");
        assert!(page.contains("You can close this page"), "{page}");
        let said = sign_in.succeeds();
        assert!(said.contains("account home is signed in at test as ann@example.net"), "{said}");
        self.keep_secret(home);
    }

    /// What a sign-in has brought, and what it was made of, shows nowhere.
    fn keep_secret(&self, home: &mut Home) {
        self.issuer.secrets().iter().for_each(|secret| home.keep_secret(secret));
        let tokens = self.tokens();
        for name in ["access", "refresh"] {
            home.keep_secret(tokens[name].as_str().unwrap());
        }
    }
}

/// `ostler sign-in` that waits for a person.
struct SignIn {
    process: Child,
    /// The address to open, or the page for the code.
    address: String,
    watch: Arc<Watch>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// What time it is for the process, if that is not the real one.
    clock: Option<Clock>,
}

impl SignIn {
    fn start(home: &Home, words: &[&str]) -> Self {
        Self::of(home.command(words))
    }

    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let watch = watch_of(&command).unwrap();
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let Some(Ok(address)) = lines.next() else {
            let output = process.wait_with_output().unwrap();
            panic!("no address: {}", String::from_utf8_lossy(&output.stderr));
        };
        assert!(address.starts_with("https://"), "{address}");
        // What ties the answer to this sign-in is in the address, and nowhere else.
        if let Some((_, state)) = address.split_once("&state=") {
            watch.add(state.split('&').next().unwrap());
        }
        Self { process, address, watch, lines, clock: None }
    }

    /// The process goes by this clock.
    fn keeping(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    fn next_line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// The rest of what it says, and whether it has done it.
    fn ends(self) -> (bool, String) {
        let Self { mut process, lines, watch, clock: _clock, .. } = self;
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        let mut complaints = String::new();
        std::io::Read::read_to_string(&mut process.stderr.take().unwrap(), &mut complaints).unwrap();
        let status = process.wait().unwrap();
        assert!(status.code().is_some(), "{status}");
        let said = format!("{}\n{complaints}", said.join("\n"));
        watch.search("a sign-in", said.as_bytes());
        (status.success(), said)
    }

    fn succeeds(self) -> String {
        let (is_done, said) = self.ends();
        assert!(is_done, "{said}");
        said
    }

    fn fails(self) -> String {
        let (is_done, said) = self.ends();
        assert!(!is_done, "{said}");
        said
    }
}
