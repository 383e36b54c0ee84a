//! Signing in at a provider that says anything, and echoes the secret in every form it can think of.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ostler_mail::account::{Credentials, PasswordCharset, Protocol, SecretSource, Security, Server, SignIn, Trust};
use ostler_mail::failure::Failure;
use ostler_mail::imap::login as imap;
use ostler_mail::machine::{Login, Outgoing, Step};
use ostler_mail::pop3::login as pop3;
use ostler_mail::secret::Secret;
use ostler_mail::smtp::login as smtp;
use ostler_mail::wire::{Line, MAX_REPLY_LINE_OCTETS, hex, printable};

use super::{assert_reply_line, octets, parts};

const USER: &str = "ann@optonline.net";

/// Secrets that are hard to star: blanks at the ends, padding, letters beyond ASCII.
const SECRETS: [&str; 6] = [
    "hunter2-SECRET",
    " hunter2-SECRET ",
    "hunter2-SECRET==",
    "h\u{fc}nter2 S\u{c9}CRET",
    "{\"hunter2\":\"SECRET\"}",
    "hunter2-SECRET/+hunter2-SECRET-that-goes-on-and-on-as-tokens-do-and-on-and-on-and-on-and-on-and-on-and-on-and",
];

/// A secret, and what of it must never be seen.
pub(super) struct Planted {
    pub(super) secret: Arc<Secret>,
    echoes: Vec<String>,
    traces: Vec<String>,
}

impl Planted {
    pub(super) fn choose(choice: u8) -> Self {
        let raw = SECRETS[usize::from(choice) % SECRETS.len()];
        let echoes = vec![
            raw.to_owned(),
            BASE64.encode(raw),
            BASE64.encode(format!("\0{USER}\0{raw}")),
            hex(raw.as_bytes()),
            hex(raw.as_bytes()).to_uppercase(),
            raw.trim().to_owned(),
        ];
        // A part of it is enough to be a leak: a cut through the middle of an echo leaves the front of it.
        let length = |n: usize| [8, 12, BASE64.encode(format!("\0{USER}\0")).len() + 8, 16, 16, 8][n];
        let trace = |(n, echo): (usize, &String)| {
            let shown = printable(echo.as_bytes()).trim().to_owned();
            shown[..length(n).min(shown.len())].to_owned()
        };
        let traces = echoes.iter().enumerate().map(trace).collect();
        let secret = Arc::new(Secret::new(raw.to_owned()).expect("a secret"));
        Self { secret, echoes, traces }
    }

    /// Puts echoes where the fuzzer has an octet below 8, and what makes lines long where it has an 8. An echo is whole:
    /// of one that the server cuts itself, nothing can be known.
    pub(super) fn expand(&self, line: &[u8]) -> Line {
        let mut text = Vec::new();
        for octet in line {
            let next = match octet {
                1..=6 => self.echoes[usize::from(octet - 1)].as_bytes(),
                8 => &[b'x'; 240],
                _ => std::slice::from_ref(octet),
            };
            if text.len() + next.len() <= MAX_REPLY_LINE_OCTETS {
                text.extend_from_slice(next);
            }
        }
        Line::new(&text)
    }

    /// Whether the fuzzer has made up a part of the secret by itself.
    pub(super) fn is_in(&self, data: &[u8]) -> bool {
        let data = printable(data);
        self.traces.iter().any(|trace| data.contains(trace.as_str()))
    }

    pub(super) fn assert_not_in(&self, shown: &str) {
        for trace in &self.traces {
            assert!(!shown.contains(trace.as_str()), "{trace:?} is in {shown:?}");
        }
    }
}

/// A server as the fuzzer wants it.
pub(super) fn server(protocol: Protocol, security: Security) -> Server {
    let credentials =
        Credentials { username: USER.into(), secret: SecretSource::Keyring, charset: PasswordCharset::Utf8 };
    Server {
        protocol,
        host: "mail.optonline.net".into(),
        port: protocol.default_port(security),
        security,
        trust: Trust::default(),
        sign_in: SignIn::Password(credentials),
        chunking: true,
    }
}

pub(super) fn security(choice: u8) -> Security {
    [Security::Tls, Security::StartTls, Security::None][usize::from(choice & 3) % 3]
}

/// How a sign-in ended.
pub(super) enum Outcome<Ready> {
    Ready(Ready),
    Failed(Failure),
    /// The server has nothing more to say.
    Open,
}

/// A sign-in under way, and what it may not do.
pub(super) struct Play<'a, L> {
    pub(super) login: L,
    pub(super) planted: &'a Planted,
    /// The secret comes only after one more line of the server's.
    pub(super) late: bool,
    pub(super) in_clear: bool,
    pub(super) given: bool,
    pub(super) sent: Vec<u8>,
    proofs: usize,
    /// Lines of the server that refuse something.
    refusals: usize,
    waiting: bool,
}

impl<'a, L: Login> Play<'a, L> {
    pub(super) fn new(login: L, planted: &'a Planted, security: Security, late: bool) -> Self {
        let in_clear = security == Security::StartTls;
        Self { login, planted, late, in_clear, given: false, sent: Vec::new(), proofs: 0, refusals: 0, waiting: false }
    }

    /// The server says a line.
    pub(super) fn hear(&mut self, raw: &[u8]) -> Outcome<L::Ready> {
        let line = if self.given { self.planted.expand(raw) } else { Line::new(raw) };
        let _ = self.login.waiting();
        let is_no =
            line.printable().to_ascii_uppercase().split(' ').nth(1).is_some_and(|word| matches!(word, "NO" | "BAD"));
        self.refusals += usize::from(is_no || line.bytes().starts_with(b"5") || line.bytes().starts_with(b"-ERR"));
        self.planted.assert_not_in(&self.login.shown(&line));
        let mut step = match self.login.on_line(&line) {
            Ok(step) => step,
            Err(failure) => {
                assert_failure(&failure, self.planted);
                return Outcome::Failed(failure);
            }
        };
        if self.waiting {
            // An IMAP server may speak unasked, for what it says has no tag of ostler's: it is dropped.
            assert!(matches!(step, Step::Wait), "a server that speaks unasked is heard");
            return Outcome::Open;
        }
        loop {
            step = match step {
                Step::Send(outgoing) => {
                    self.send(&outgoing);
                    return Outcome::Open;
                }
                Step::Wait => return Outcome::Open,
                Step::StartTls => {
                    assert!(self.in_clear, "TLS inside TLS");
                    self.in_clear = false;
                    self.login.on_tls()
                }
                Step::WantSecret if self.late => {
                    self.waiting = true;
                    return Outcome::Open;
                }
                Step::WantSecret => {
                    assert!(!self.given, "the secret is wanted twice");
                    self.given = true;
                    self.login.on_secret(Arc::clone(&self.planted.secret))
                }
                Step::Done(ready) => return Outcome::Ready(ready),
            };
        }
    }

    /// Hears the server's lines up to the end of the sign-in, if it is a good one.
    fn hear_all(&mut self, said: &[u8]) -> Option<L::Ready> {
        for line in server_lines(said) {
            match self.hear(line) {
                Outcome::Open => {}
                Outcome::Failed(_) => return None,
                Outcome::Ready(ready) => return Some(ready),
            }
        }
        None
    }

    fn send(&mut self, outgoing: &Outgoing) {
        let bytes = outgoing.bytes();
        let line = bytes.strip_suffix(b"\r\n").expect("a whole line");
        // USER and PASS may leave together.
        let text = String::from_utf8_lossy(line);
        let alone = if line.starts_with(b"USER ") { text.replacen("\r\nPASS ", "", 1) } else { text.into_owned() };
        assert!(!alone.bytes().any(|b| b.is_ascii_control()), "{}", line.escape_ascii());
        self.planted.assert_not_in(&outgoing.shown());
        if matches!(outgoing, Outgoing::Plain(_)) {
            self.planted.assert_not_in(&printable(bytes));
        }
        if self.in_clear {
            let may = [&b"STLS"[..], b"STARTTLS", b"EHLO", b"HELO", b"o1 STARTTLS"];
            assert!(may.iter().any(|word| line.starts_with(word)), "in clear: {}", line.escape_ascii());
        }
        let raw = self.planted.secret.text();
        let forms = [BASE64.encode(&*raw), BASE64.encode(format!("\0{USER}\0{raw}")), raw.into_owned()];
        self.proofs += usize::from(forms.iter().any(|form| bytes.windows(form.len()).any(|w| w == form.as_bytes())));
        // Again only in another way, after a refusal of the last one; there are four that show the secret.
        assert!(self.proofs <= (1 + self.refusals).min(4), "the secret is sent twice");
        assert!(self.given || self.proofs == 0, "the secret is sent before its time");
        self.sent.extend_from_slice(bytes);
        assert!(self.sent.iter().filter(|b| **b == b'\n').count() <= 16, "no end of it");
    }
}

/// A failure is words for people and clients, without the secret.
pub(super) fn assert_failure(failure: &Failure, planted: &Planted) {
    let pop3 = ostler_mail::pop3::words::failure(failure);
    let smtp = ostler_mail::smtp::words::failure(failure);
    assert_reply_line(&pop3);
    assert_reply_line(&smtp);
    assert!(pop3.starts_with("-ERR [") && !smtp.starts_with("535"), "{pop3} {smtp}");
    assert!(failure.to_string().bytes().all(|b| matches!(b, b' '..=b'~')), "{failure}");
    for shown in [pop3, smtp, failure.to_string(), format!("{failure:?}")] {
        planted.assert_not_in(&shown);
    }
}

fn server_lines(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    said.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// A choice of server, secret and what is known, then the server's lines: the secret is sent at most once, never in
/// clear where TLS was to come, and is in no failure, no log line and no answer that is passed on.
pub fn pop3_login(data: &[u8]) {
    let [choice, said] = parts(data);
    let choice: [u8; 3] = octets(choice);
    let (planted, security) = (Planted::choose(choice[1]), security(choice[0]));
    if planted.is_in(said) {
        return;
    }
    let known = match choice[2] & 3 {
        0 => None,
        1 => Some(pop3::CachedCapabilities::default()),
        _ => Some(pop3::CachedCapabilities {
            takes_user: true,
            login_delay: Some(60),
            pipelining: choice[2] & 8 != 0,
            deletes_fetched: false,
        }),
    };
    let login = pop3::Pop3Login::new(&server(Protocol::Pop3, security), known);
    let mut play = Play::new(login, &planted, security, choice[2] & 4 != 0);
    if let Some(ready) = play.hear_all(said) {
        assert!(play.given, "signed in without the secret");
        assert!(ready.welcome.bytes().starts_with(b"+OK"));
        planted.assert_not_in(&ready.welcome.printable());
    }
}

/// The same for SMTP, with PLAIN, LOGIN and CRAM-MD5.
pub fn smtp_login(data: &[u8]) {
    let [choice, said] = parts(data);
    let choice: [u8; 3] = octets(choice);
    let (planted, security) = (Planted::choose(choice[1]), security(choice[0]));
    if planted.is_in(said) {
        return;
    }
    let mut at = server(Protocol::Smtp, security);
    if choice[2] & 1 != 0 {
        at.sign_in = SignIn::None;
    }
    let login = smtp::SmtpLogin::new(&at, "[127.0.0.1]".into());
    let mut play = Play::new(login, &planted, security, choice[2] & 4 != 0);
    if play.hear_all(said).is_some() {
        assert!(play.given != (choice[2] & 1 != 0), "the secret was not asked for, or without need");
        assert!(!play.in_clear, "signed in without TLS");
    }
}

/// The same for IMAP, with LOGIN and the mechanisms of AUTHENTICATE.
pub fn imap_login(data: &[u8]) {
    let [choice, said] = parts(data);
    let choice: [u8; 3] = octets(choice);
    let (planted, security) = (Planted::choose(choice[1]), security(choice[0]));
    if planted.is_in(said) {
        return;
    }
    let login = imap::ImapLogin::new(&server(Protocol::Imap, security));
    let mut play = Play::new(login, &planted, security, choice[2] & 4 != 0);
    if play.hear_all(said).is_some() {
        assert!(play.given && !play.in_clear, "signed in without the secret, or without TLS");
    }
}
