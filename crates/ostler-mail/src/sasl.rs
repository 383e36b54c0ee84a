//! Authentication exchanges, without sockets and without protocol framing: [`Exchange`] signs in at a provider,
//! [`Acceptor`] hears a client out. PLAIN (RFC 4616), LOGIN (MS-XLOGIN), CRAM-MD5 (RFC 2195), and APOP (RFC 1939).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::wire::Line;

/// Old clients leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A SASL mechanism ostler has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The two prompts every server of the 1990s knew.
    Login,
    /// RFC 2195; proves the password without sending it.
    CramMd5,
}

impl Mechanism {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }

    /// Whatever the letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::CramMd5].into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// The best of those a server offers. Inside TLS the simplest is the most reliable; in clear the one that does not
    /// show the password comes first.
    pub fn choose(offered: &[String], protected: bool) -> Option<Self> {
        let order = if protected {
            [Self::Plain, Self::Login, Self::CramMd5]
        } else {
            [Self::CramMd5, Self::Plain, Self::Login]
        };
        order.into_iter().find(|m| offered.iter().any(|o| o.eq_ignore_ascii_case(m.name())))
    }
}

/// Why an exchange with a provider cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// More challenges than the mechanism has.
    #[error("it asks for more than the sign-in has")]
    TooManyChallenges,
    /// A challenge that is not base64.
    #[error("its challenge is not base64")]
    NotBase64,
}

/// ostler's side of a sign-in at a provider.
pub struct Exchange {
    mechanism: Mechanism,
    user: String,
    secret: Arc<Secret>,
    round: usize,
}

impl Exchange {
    /// Begins one.
    pub fn new(mechanism: Mechanism, user: &str, secret: Arc<Secret>) -> Self {
        Self { mechanism, user: user.to_owned(), secret, round: 0 }
    }

    /// What may go along with the command that names the mechanism, as base64.
    pub fn initial(&mut self) -> Option<Zeroizing<String>> {
        (self.mechanism == Mechanism::Plain).then(|| {
            self.round = 1;
            self.plain()
        })
    }

    /// The answer to a challenge (base64 as the server sent it), as base64.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Zeroizing<String>, ExchangeError> {
        self.round += 1;
        match (self.mechanism, self.round) {
            (Mechanism::Plain, 1) => Ok(self.plain()),
            // The wording of the prompts differs between servers; their order does not.
            (Mechanism::Login, 1) => Ok(Zeroizing::new(BASE64.encode(&self.user))),
            (Mechanism::Login, 2) => Ok(Zeroizing::new(BASE64.encode(self.secret.expose()))),
            (Mechanism::CramMd5, 1) => {
                let challenge = LENIENT.decode(challenge.trim_ascii()).map_err(|_| ExchangeError::NotBase64)?;
                Ok(Zeroizing::new(BASE64.encode(format!(
                    "{} {}",
                    self.user,
                    cram_digest(self.secret.expose(), &challenge)
                ))))
            }
            _ => Err(ExchangeError::TooManyChallenges),
        }
    }

    /// True for CRAM-MD5: the response is not the password, but with its challenge it lets others test guesses, so it is starred
    /// too.
    pub fn proves(&self) -> bool {
        self.mechanism == Mechanism::CramMd5
    }

    fn plain(&self) -> Zeroizing<String> {
        let message = Zeroizing::new(format!("\0{}\0{}", self.user, self.secret.expose()));
        Zeroizing::new(BASE64.encode(message.as_bytes()))
    }
}

/// Every form in which a server could echo a secret.
#[derive(Clone)]
pub struct Echo(Vec<Zeroizing<String>>);

impl Echo {
    /// The forms of the secret of `user`.
    pub fn new(user: &str, secret: &Secret) -> Self {
        let raw = secret.expose();
        let whole = Zeroizing::new(BASE64.encode(format!("\0{user}\0{raw}")));
        let alone = Zeroizing::new(BASE64.encode(raw));
        let digits = Zeroizing::new(hex(raw.as_bytes()));
        let capitals = Zeroizing::new(digits.to_uppercase());
        let forms: Vec<Zeroizing<String>> = [&whole, &alone, &digits, &capitals]
            .map(|form| form.as_str())
            .into_iter()
            .chain([raw])
            // A server that quotes a form may leave out its padding or the blanks around it.
            .flat_map(|form| [form, form.trim_end_matches('='), form.trim()])
            // What a reply shows of a secret with 8-bit characters has question marks in it.
            .map(|form| Zeroizing::new(crate::wire::printable(form.as_bytes())))
            .filter(|form| !form.is_empty())
            .collect();
        Self(forms).longest_first()
    }

    /// Adds the answer to a challenge, as it was sent. With the challenge beside it, a reader of the log could try passwords
    /// at leisure.
    #[must_use]
    pub fn and_proof(mut self, answer: &str) -> Self {
        self.0.push(Zeroizing::new(answer.to_owned()));
        self.0.push(Zeroizing::new(answer.trim_end_matches('=').to_owned()));
        let said = BASE64.decode(answer).ok().and_then(|said| String::from_utf8(said).ok());
        if let Some((_, digest)) = said.as_deref().and_then(|said| said.rsplit_once(' ')) {
            self.0.push(Zeroizing::new(digest.to_owned()));
            self.0.push(Zeroizing::new(digest.to_uppercase()));
        }
        self.longest_first()
    }

    /// So that a short form is not starred inside a longer one, whose rest would show.
    fn longest_first(mut self) -> Self {
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
        self.0.dedup();
        self
    }

    /// The line with stars for all of them; `None` if none is in it, as in nearly every line.
    pub fn taken_out(&self, line: &Line) -> Option<Line> {
        let said = line.printable();
        let is_in = |form: &Zeroizing<String>| memchr::memmem::find(said.as_bytes(), form.as_bytes()).is_some();
        self.0.iter().any(is_in).then(|| Line::new(self.starred(&said).as_bytes()))
    }

    /// The text with stars for all of them.
    pub fn starred(&self, said: &str) -> String {
        let mut shown = String::with_capacity(said.len());
        let mut rest = said;
        while let Some(next) = rest.chars().next() {
            match self.0.iter().find(|form| rest.starts_with(form.as_str())) {
                Some(form) => {
                    shown += "***";
                    rest = &rest[form.len()..];
                }
                None => {
                    shown.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        shown
    }
}

/// Takes a secret, in every form a server could echo it, out of what the server said.
pub fn starred(said: &str, user: &str, secret: &Secret) -> String {
    Echo::new(user, secret).starred(said)
}

/// A client's claim to be an account.
pub struct Attempt {
    /// The name it gave; printable or not, but without control characters.
    pub name: String,
    /// How it proves it.
    pub proof: Proof,
}

impl Attempt {
    /// The password the client gave, if it gave one and not a proof of it: an account may be signed in with it.
    pub fn password(&self) -> Option<&[u8]> {
        match &self.proof {
            Proof::Password(given) => Some(given),
            Proof::Cram { .. } | Proof::Apop { .. } => None,
        }
    }
}

/// What a client offers as proof.
pub enum Proof {
    /// A password as typed; may be empty, and need not be UTF-8.
    Password(Zeroizing<Vec<u8>>),
    /// HMAC-MD5 of the challenge.
    Cram {
        /// What it was given.
        challenge: String,
        /// Hex.
        digest: String,
    },
    /// MD5 over the greeting's timestamp and the password.
    Apop {
        /// The timestamp, brackets and all.
        stamp: String,
        /// Hex.
        digest: String,
    },
}

impl Proof {
    /// Whether it proves knowledge of `secret`; takes the same time wherever they differ.
    pub fn proves(&self, secret: &Secret) -> bool {
        let same = |digest: &str, wanted: String| -> bool {
            digest.to_ascii_lowercase().as_bytes().ct_eq(wanted.as_bytes()).into()
        };
        match self {
            Self::Password(given) => secret.is(given),
            Self::Cram { challenge, digest } => same(digest, cram_digest(secret.expose(), challenge.as_bytes())),
            Self::Apop { stamp, digest } => same(digest, apop_digest(secret.expose(), stamp)),
        }
    }
}

/// What an [`Acceptor`] makes of a client's answer.
pub enum AuthStep {
    /// Send this challenge, already base64.
    Challenge(String),
    /// The client has said all. Whether its claim holds is not decided here.
    Attempt(Attempt),
    /// The client broke it off with `*`.
    Cancelled,
    /// What it sent is not an answer: not base64, or with control characters in it.
    Malformed,
}

/// The server's side of an exchange with a client.
pub enum Acceptor {
    /// The one message of PLAIN is missing.
    Plain,
    /// LOGIN, first prompt.
    LoginName,
    /// LOGIN, second prompt, for this name.
    LoginPassword(String),
    /// The answer to this challenge is missing.
    Cram(String),
}

/// `Username:`. MS-XLOGIN lets clients check the exact text of both prompts.
const LOGIN_NAME: &str = "VXNlcm5hbWU6";
/// `Password:`.
const LOGIN_PASSWORD: &str = "UGFzc3dvcmQ6";

impl Acceptor {
    /// The client named a mechanism, perhaps with its first answer; `stamp` is unique, for challenges.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>, stamp: &str) -> (Self, AuthStep) {
        let (mut acceptor, challenge) = match mechanism {
            Mechanism::Plain => (Self::Plain, String::new()),
            Mechanism::Login => (Self::LoginName, LOGIN_NAME.into()),
            Mechanism::CramMd5 => (Self::Cram(stamp.to_owned()), BASE64.encode(stamp)),
        };
        let heard = match initial {
            Some(initial) if mechanism != Mechanism::CramMd5 => acceptor.hear(initial),
            _ => AuthStep::Challenge(challenge),
        };
        (acceptor, heard)
    }

    /// The client answered.
    pub fn hear(&mut self, answer: &[u8]) -> AuthStep {
        let answer = answer.trim_ascii();
        if answer == b"*" {
            return AuthStep::Cancelled;
        }
        // "=" is an empty initial response (RFC 4954, section 4).
        let decoded = if answer == b"=" { Ok(Vec::new()) } else { LENIENT.decode(answer) };
        let Ok(decoded) = decoded.map(Zeroizing::new) else { return AuthStep::Malformed };
        match self {
            Self::Plain => plain_attempt(&decoded),
            Self::LoginName => {
                let Some(name) = clean(&decoded) else { return AuthStep::Malformed };
                *self = Self::LoginPassword(name);
                AuthStep::Challenge(LOGIN_PASSWORD.into())
            }
            Self::LoginPassword(name) => attempt(name.clone(), &decoded),
            Self::Cram(challenge) => {
                let Some((name, digest)) =
                    clean(&decoded).and_then(|t| t.rsplit_once(' ').map(|(n, d)| (n.to_owned(), d.to_owned())))
                else {
                    return AuthStep::Malformed;
                };
                AuthStep::Attempt(Attempt { name, proof: Proof::Cram { challenge: std::mem::take(challenge), digest } })
            }
        }
    }
}

fn plain_attempt(message: &[u8]) -> AuthStep {
    let mut parts = message.splitn(3, |b| *b == 0);
    let (Some(_authzid), Some(name), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return AuthStep::Malformed;
    };
    clean(name).map_or(AuthStep::Malformed, |name| attempt(name, password))
}

fn attempt(name: String, password: &[u8]) -> AuthStep {
    if password.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return AuthStep::Malformed;
    }
    AuthStep::Attempt(Attempt { name, proof: Proof::Password(Zeroizing::new(password.to_vec())) })
}

/// A name as text, or nothing if it holds control characters: they could become commands at the provider.
fn clean(name: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(name).into_owned()).filter(|name| !name.contains(char::is_control))
}

fn cram_digest(secret: &str, challenge: &[u8]) -> String {
    Hmac::<Md5>::new_from_slice(secret.as_bytes()).map_or_else(
        |_| unreachable!("HMAC takes keys of any length"),
        |mut mac| {
            mac.update(challenge);
            hex(&mac.finalize().into_bytes())
        },
    )
}

fn apop_digest(secret: &str, stamp: &str) -> String {
    let mut hash = Md5::new();
    hash.update(stamp.as_bytes());
    hash.update(secret.as_bytes());
    hex(&hash.finalize())
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Arc<Secret> {
        Arc::new(Secret::new(text.to_owned()).unwrap())
    }

    fn attempt_of(heard: AuthStep) -> Attempt {
        match heard {
            AuthStep::Attempt(attempt) => attempt,
            AuthStep::Challenge(c) => panic!("challenge {c}"),
            AuthStep::Cancelled | AuthStep::Malformed => panic!("refused"),
        }
    }

    #[test]
    fn cram_md5_matches_the_example_of_rfc_2195() {
        let challenge = BASE64.encode("<1896.697170952@postoffice.reston.mci.net>");
        let answer =
            Exchange::new(Mechanism::CramMd5, "tim", secret("tanstaaftanstaaf")).respond(challenge.as_bytes()).unwrap();
        assert_eq!(BASE64.decode(answer.as_bytes()).unwrap(), b"tim b913a602c7eda7a495b4e6e7334d3890");
    }

    #[test]
    fn apop_matches_the_example_of_rfc_1939() {
        let proof = Proof::Apop {
            stamp: "<1896.697170952@dbc.mtview.ca.us>".into(),
            digest: "C4C9334BAC560ECC979E58001B3E22FB".into(),
        };
        assert!(proof.proves(&secret("tanstaaf")));
        assert!(!proof.proves(&secret("tanstaax")));
    }

    #[test]
    fn each_mechanism_meets_its_own_other_side() {
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5] {
            for with_initial in [true, false] {
                let secret = secret("p\u{e4}ss word");
                let mut client = Exchange::new(mechanism, "ann@example.net", Arc::clone(&secret));
                let initial = if with_initial { client.initial() } else { None };
                let (mut server, mut heard) =
                    Acceptor::begin(mechanism, initial.as_ref().map(|i| i.as_bytes()), "<1.2@ostler>");
                while let AuthStep::Challenge(challenge) = heard {
                    heard = server.hear(client.respond(challenge.as_bytes()).unwrap().as_bytes());
                }
                let attempt = attempt_of(heard);
                assert_eq!(attempt.name, "ann@example.net");
                assert!(attempt.proof.proves(&secret));
            }
        }
    }

    #[test]
    fn only_plain_says_everything_along_with_its_name() {
        let initial = |mechanism| Exchange::new(mechanism, "ann", secret("x")).initial().map(|text| text.to_string());
        assert_eq!(initial(Mechanism::Plain), Some("AGFubgB4".into()));
        assert_eq!((initial(Mechanism::Login), initial(Mechanism::CramMd5)), (None, None));
        let mut client = Exchange::new(Mechanism::Plain, "ann", secret("x"));
        assert!(client.initial().is_some() && client.respond(b"").is_err(), "it has no more to say");
    }

    #[test]
    fn a_mechanism_is_known_whatever_its_letter_case() {
        assert_eq!(Mechanism::from_name("plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::from_name("Cram-MD5"), Some(Mechanism::CramMd5));
        assert_eq!(Mechanism::from_name("CRAM"), None);
    }

    #[test]
    fn a_server_that_never_stops_asking_is_stopped() {
        let mut client = Exchange::new(Mechanism::Login, "ann", secret("x"));
        assert!(client.respond(b"").is_ok() && client.respond(b"").is_ok());
        assert_eq!(client.respond(b"").err(), Some(ExchangeError::TooManyChallenges));
    }

    #[test]
    fn a_name_with_a_line_end_in_it_is_no_name() {
        let (_, heard) = Acceptor::begin(Mechanism::Plain, Some(BASE64.encode("\0ann\r\nDELE 1\0x").as_bytes()), "");
        assert!(matches!(heard, AuthStep::Malformed));
        let (_, heard) = Acceptor::begin(Mechanism::Plain, Some(BASE64.encode("\0a\u{9b}2J\0x").as_bytes()), "");
        assert!(matches!(heard, AuthStep::Malformed), "C1 controls steer terminals too");
        let (_, heard) = Acceptor::begin(Mechanism::Plain, Some(b"!!!"), "");
        assert!(matches!(heard, AuthStep::Malformed));
    }

    #[test]
    fn netscape_sends_no_padding_and_some_send_an_empty_password() {
        let (mut server, _) = Acceptor::begin(Mechanism::Login, Some(b"YW5u"), "");
        assert_eq!(attempt_of(server.hear(b"")).name, "ann");
        let (mut server, _) = Acceptor::begin(Mechanism::Login, Some(b"am9l"), "");
        assert!(attempt_of(server.hear(b"aGk")).proof.proves(&secret("hi")));
    }

    #[test]
    fn an_echoed_proof_is_starred_as_its_secret_is() {
        let mut exchange = Exchange::new(Mechanism::CramMd5, "tim", secret("tanstaaftanstaaf"));
        let answer = exchange.respond(BASE64.encode("<1896.697170952@postoffice.reston.mci.net>").as_bytes()).unwrap();
        let echo = Echo::new("tim", &secret("tanstaaftanstaaf")).and_proof(&answer);
        let digest = "b913a602c7eda7a495b4e6e7334d3890";
        let said = format!("no {}, {}, tim {digest}, {}", *answer, answer.trim_end_matches('='), digest.to_uppercase());
        assert_eq!(echo.starred(&said), "no ***, ***, tim ***, ***");
        assert_eq!(echo.starred("tim tanstaaftanstaaf"), "tim ***");
    }

    #[test]
    fn an_echoed_secret_is_starred_in_every_form() {
        let s = secret("hunter2");
        let said = format!(
            "no hunter2, no {}, no {}, no {}",
            BASE64.encode("hunter2"),
            BASE64.encode("\0ann\0hunter2"),
            hex(b"hunter2")
        );
        assert_eq!(starred(&said, "ann", &s), "no ***, no ***, no ***, no ***");
    }

    #[test]
    fn only_a_line_with_an_echo_in_it_is_changed() {
        let echo = Echo::new("ann", &secret("hunter2"));
        assert_eq!(echo.taken_out(&Line::new(b"+OK hunter2\t8")), Some(Line::new(b"+OK *** 8")));
        assert_eq!(echo.taken_out(&Line::new(b"+OK hunter\t2")), None);
    }

    #[test]
    fn a_digest_given_before_the_challenge_is_not_heard() {
        let digest = BASE64.encode(format!("ann {}", cram_digest("x", b"<1.2@ostler>")));
        let (_, heard) = Acceptor::begin(Mechanism::CramMd5, Some(digest.as_bytes()), "<1.2@ostler>");
        assert!(matches!(heard, AuthStep::Challenge(challenge) if challenge == BASE64.encode("<1.2@ostler>")));
    }

    #[test]
    fn an_echo_is_starred_whole_and_a_strange_secret_stars_nothing_else() {
        let star = |said: &str, raw: &str| starred(said, "ann", &secret(raw));
        assert_eq!(star("no hunter2, no more", " hunter2 "), "no ***, no more");
        assert_eq!(star(&BASE64.encode("\0ann\0QU"), "QU"), "***");
        assert_eq!(star("a=b", "="), "a***b");
        assert_eq!(star("** *", "*"), "****** ***");
        assert_eq!(star("p?ss", "p\u{e4}ss"), "p?ss");
        assert_eq!(star("p??ss", "p\u{e4}ss"), "***");
    }

    #[test]
    fn in_clear_the_password_is_shown_last() {
        let all = ["PLAIN", "login", "CRAM-MD5"].map(String::from);
        assert_eq!(Mechanism::choose(&all, true), Some(Mechanism::Plain));
        assert_eq!(Mechanism::choose(&all, false), Some(Mechanism::CramMd5));
        assert_eq!(Mechanism::choose(&["GSSAPI".into()], true), None);
    }
}
