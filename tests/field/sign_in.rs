//! A provider that is played inside TLS, ostler before it, and what a client is told at the sign-in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::unique;

pub(crate) const ANN: &str = "ann@example.org";
pub(crate) const BOB: &str = "bob@example.com";

/// What serves both protocols: a provider for each connection's part, and an ostler that knows it.
pub(crate) struct Desk {
    pub(crate) provider: Provider,
    pub(crate) ostler: Ostler,
}

impl Desk {
    /// Sending, over TLS.
    pub(crate) fn to_send(secret: &str, parts: Vec<Part>) -> Self {
        Self::start(parts, "tls", |server| Self::account(secret).smtp(server))
    }

    /// Sending, without TLS, where CRAM-MD5 comes first.
    pub(crate) fn to_send_in_clear(secret: &str, parts: Vec<Part>) -> Self {
        Self::start(parts, "none", |server| Self::account(secret).smtp(server))
    }

    /// Fetching, without TLS.
    pub(crate) fn to_fetch_in_clear(secret: &str, parts: Vec<Part>) -> Self {
        Self::start(parts, "none", |server| Self::account(secret).pop3(server))
    }

    /// Fetching, over TLS.
    pub(crate) fn to_fetch(secret: &str, parts: Vec<Part>) -> Self {
        Self::start(parts, "tls", |server| Self::account(secret).pop3(server))
    }

    fn account(secret: &str) -> Account {
        Account::new("home", ANN, secret)
    }

    fn start(parts: Vec<Part>, security: &str, account: impl Fn(Server) -> Account) -> Self {
        let ca = TestCa::new();
        let provider = match security {
            "tls" => Provider::start_tls(&ca.localhost(), parts),
            _ => Provider::start(parts),
        };
        let home = Home::new(&ca, &[account(Server::new(security, provider.port))]);
        Self { ostler: home.run(), provider }
    }

    /// Sends a message and leaves.
    pub(crate) fn send(&self) {
        let mut client = self.writer();
        send_on(&mut client);
        client.ask_reply("QUIT", "221 ");
    }

    pub(crate) fn writer(&self) -> Client {
        let mut client = Client::greeted(self.ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        client
    }

    /// The answer to PASS.
    pub(crate) fn fetch(&self) -> String {
        let mut client = Client::greeted(self.ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.say("PASS typed");
        client.line().unwrap()
    }

    /// The commands of all connections that begin like this.
    pub(crate) fn heard(&self, start: &str) -> Vec<String> {
        let sessions = self.provider.sessions();
        let lines = sessions.iter().flat_map(|session| session.received.split(|octet| *octet == b'\n'));
        let lines = lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
        lines.filter(|line| line.starts_with(start)).collect()
    }

    /// `ostler check --json`, and the step that failed first.
    pub(crate) fn checked(&self) -> serde_json::Value {
        let output = self.ostler.home.ostler(&["check", "--json"], "");
        let check: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let steps = check["accounts"][0]["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| step["ok"] == false).unwrap_or_else(|| panic!("nothing failed: {check:#}"))
    }
}

/// Sends one message on a connection that has said EHLO.
pub(crate) fn send_on(client: &mut Client) {
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
    client.send("Subject: x\r\n\r\nx\r\n.\r\n");
    client.expect_reply("250 2.0.0 queued");
}

/// A line of at most 512 octets that blames no password: Eudora looks for the word.
pub(crate) fn assert_blames_no_password(line: &str) {
    assert!(line.len() <= 510 && line.is_ascii(), "{line}");
    assert!(!line.to_lowercase().contains("password") && !line.contains("[AUTH]"), "{line}");
    assert!(!line.starts_with("550 5.7.8") && !line.starts_with("535"), "{line}");
}

pub(crate) fn b64(octets: impl AsRef<[u8]>) -> String {
    STANDARD.encode(octets)
}

/// The whole command of PLAIN.
pub(crate) fn plain(secret: &str) -> String {
    format!("AUTH PLAIN {}", b64(format!("\0{ANN}\0{secret}")))
}

pub(crate) fn secret() -> String {
    unique("pw")
}

/// Greeting and EHLO with this list of mechanisms.
pub(crate) fn greet(offer: &str) -> Part {
    vec![say("220 mx"), expect("EHLO"), say(&format!("250-mx\r\n250 AUTH {offer}"))]
}

/// PLAIN in one line, and the answer to it.
pub(crate) fn plain_said(secret: &str, answer: &str) -> Part {
    vec![expect(&plain(secret)), say(answer)]
}

/// PLAIN in two lines.
pub(crate) fn plain_in_two_lines(secret: &str, answer: &str) -> Part {
    vec![expect("AUTH PLAIN"), say("334 "), expect(&b64(format!("\0{ANN}\0{secret}"))), say(answer)]
}

/// LOGIN up to its end.
pub(crate) fn login(secret: &str, answer: &str) -> Part {
    let (name, password) = (b64(ANN), b64(secret));
    let begin = vec![expect("AUTH LOGIN"), say("334 VXNlcm5hbWU6"), expect(&name), say("334 UGFzc3dvcmQ6")];
    [begin, vec![expect(&password), say(answer)]].concat()
}

/// One message, and the goodbye.
pub(crate) fn takes_a_message() -> Part {
    let mut part = vec![expect("MAIL"), say("250 ok"), expect("RCPT"), say("250 ok"), expect("DATA"), say("354 go on")];
    part.extend([Step::ExpectMessage, say("250 2.0.0 queued"), expect("QUIT"), say("221 bye")]);
    part
}

/// A session in which anyone may send a message.
pub(crate) fn takes_mail_of_anyone() -> Part {
    [greet("PLAIN"), vec![expect("AUTH PLAIN "), say("235 in")], takes_a_message()].concat()
}
