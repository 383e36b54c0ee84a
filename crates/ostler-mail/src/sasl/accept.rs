//! Hears a client out: what it claims to be, and how it proves that.

use base64::Engine;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::charset::{self, spellings};
use crate::sasl::{BASE64, LENIENT, Mechanism, apop_digest, cram_digest};
use crate::secret::Secret;

/// A client's claim to be an account.
pub struct Attempt {
    /// The name the client gave. It holds no control characters, but may be anything else.
    pub name: String,
    /// What the client gave to prove it.
    pub proof: Proof,
}

impl Attempt {
    /// The password itself, for accounts that pass it on to the provider. `None` if the client gave only a digest.
    pub fn password(&self) -> Option<&[u8]> {
        match &self.proof {
            Proof::Password(given) => Some(given),
            Proof::Cram { .. } | Proof::Apop { .. } => None,
        }
    }
}

/// What a client offers as proof.
pub enum Proof {
    /// A password as typed. It may be empty, and need not be UTF-8.
    Password(Zeroizing<Vec<u8>>),
    /// HMAC-MD5 of the challenge (RFC 2195).
    Cram {
        /// The challenge ostler gave the client.
        challenge: String,
        /// The client's digest in hex.
        digest: String,
    },
    /// MD5 of the greeting's timestamp and the password (RFC 1939, section 7).
    Apop {
        /// The timestamp, brackets and all.
        stamp: String,
        /// The client's digest in hex.
        digest: String,
    },
}

impl Proof {
    /// Whether the client knows `secret`, in any of the spellings that old systems write. Compares in constant time, and with
    /// every spelling, so that the time taken does not tell where they differ.
    pub fn proves(&self, secret: &Secret) -> bool {
        let any = spellings(secret.expose()).iter().fold(Choice::from(0), |any, spelling| any | self.is_of(spelling));
        any.into()
    }

    /// Whether the client knows a secret that is spelled like this.
    fn is_of(&self, secret: &[u8]) -> Choice {
        let same = |digest: &str, wanted: String| digest.to_ascii_lowercase().as_bytes().ct_eq(wanted.as_bytes());
        match self {
            Self::Password(given) => secret.ct_eq(given),
            Self::Cram { challenge, digest } => same(digest, cram_digest(secret, challenge.as_bytes())),
            Self::Apop { stamp, digest } => same(digest, apop_digest(secret, stamp)),
        }
    }
}

/// What follows from a client's response.
pub enum AuthStep {
    /// Send this challenge, which is in base64 already.
    Challenge(String),
    /// The client has said everything. Whether its claim holds is for the caller to decide.
    Attempt(Attempt),
    /// The client cancelled the exchange with `*` (RFC 4954, section 4).
    Cancelled,
    /// The response is not base64, or not what the mechanism asks for, or has control characters in it.
    Malformed,
}

/// ostler's side of an exchange with a client, where ostler is the server. Each variant is what the client owes.
pub enum Acceptor {
    /// The one response of PLAIN.
    Plain,
    /// The answer to the first prompt of LOGIN.
    LoginName,
    /// The answer to the second prompt of LOGIN; the first was answered with this name.
    LoginPassword(String),
    /// The response to this challenge of CRAM-MD5.
    Cram(String),
}

/// `Username:` in base64. MS-XLOGIN lets clients check the exact text of both prompts.
const LOGIN_NAME_PROMPT: &str = "VXNlcm5hbWU6";
/// `Password:` in base64.
const LOGIN_PASSWORD_PROMPT: &str = "UGFzc3dvcmQ6";

impl Acceptor {
    /// The client named a mechanism, perhaps with an initial response. `stamp` is unique; it serves as the challenge.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>, stamp: &str) -> (Self, AuthStep) {
        let (mut acceptor, challenge) = match mechanism {
            Mechanism::Plain => (Self::Plain, String::new()),
            Mechanism::Login => (Self::LoginName, LOGIN_NAME_PROMPT.into()),
            Mechanism::CramMd5 => (Self::Cram(stamp.to_owned()), BASE64.encode(stamp)),
            // Clients have no token; none is offered these.
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => return (Self::Plain, AuthStep::Malformed),
        };
        let step = match initial {
            // A digest that came before its challenge cannot be an answer to it.
            Some(initial) if mechanism != Mechanism::CramMd5 => acceptor.on_response(initial),
            _ => AuthStep::Challenge(challenge),
        };
        (acceptor, step)
    }

    /// The client sent a response, or `*`.
    pub fn on_response(&mut self, response: &[u8]) -> AuthStep {
        let response = response.trim_ascii();
        if response == b"*" {
            return AuthStep::Cancelled;
        }
        // "=" is an empty initial response (RFC 4954, section 4).
        let decoded = if response == b"=" { Ok(Vec::new()) } else { LENIENT.decode(response) };
        let Ok(decoded) = decoded.map(Zeroizing::new) else { return AuthStep::Malformed };
        match self {
            Self::Plain => parse_plain(&decoded),
            Self::LoginName => {
                let Some(name) = parse_name(&decoded) else { return AuthStep::Malformed };
                *self = Self::LoginPassword(name);
                AuthStep::Challenge(LOGIN_PASSWORD_PROMPT.into())
            }
            Self::LoginPassword(name) => password_attempt(name.clone(), &decoded),
            Self::Cram(challenge) => {
                // The name may have blanks in it; the digest is the last word.
                let Some((name, digest)) =
                    parse_name(&decoded).and_then(|t| t.rsplit_once(' ').map(|(n, d)| (n.to_owned(), d.to_owned())))
                else {
                    return AuthStep::Malformed;
                };
                AuthStep::Attempt(Attempt { name, proof: Proof::Cram { challenge: std::mem::take(challenge), digest } })
            }
        }
    }
}

/// Reads the message of PLAIN: an identity to act as, the user name, and the password (RFC 4616). Which account the client
/// may act as is decided by the user name alone.
fn parse_plain(message: &[u8]) -> AuthStep {
    let mut parts = message.splitn(3, |b| *b == 0);
    let (Some(_authzid), Some(name), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return AuthStep::Malformed;
    };
    parse_name(name).map_or(AuthStep::Malformed, |name| password_attempt(name, password))
}

fn password_attempt(name: String, password: &[u8]) -> AuthStep {
    // POP3 sends a password unencoded, so a line end in one would start a new command at the provider.
    if password.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return AuthStep::Malformed;
    }
    AuthStep::Attempt(Attempt { name, proof: Proof::Password(Zeroizing::new(password.to_vec())) })
}

/// A name as text; `None` if it holds control characters, which could become commands at the provider.
fn parse_name(name: &[u8]) -> Option<String> {
    Some(charset::text(name).into_owned()).filter(|name| !name.contains(char::is_control))
}
