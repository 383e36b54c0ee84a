//! Authentication exchanges, without sockets and without the framing of a protocol: a client's claim is heard in `accept`,
//! a provider's challenges are answered in `respond`, and `redact` keeps secrets out of the log. PLAIN (RFC 4616), LOGIN
//! (MS-XLOGIN), CRAM-MD5 (RFC 2195), APOP (RFC 1939); with an OAuth2 access token XOAUTH2 (Google) and OAUTHBEARER (RFC 7628),
//! whose messages are made in `bearer`. `way` says which of them comes next when a provider refuses one, `refusal` whether it
//! did, and `meaning` what else a refusal without a code means.

mod accept;
mod bearer;
mod meaning;
mod redact;
mod refusal;
mod respond;
mod way;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::wire::hex;

pub use accept::{Acceptor, Attempt, AuthStep, Proof};
pub use bearer::reason_of;
pub(crate) use meaning::{Refusal, refusal};
pub use redact::{Redaction, redact};
pub(crate) use refusal::{RefusalOf, refusal_of};
pub(crate) use respond::Given;
pub use respond::{Exchange, ExchangeError};
pub use way::Way;
pub(crate) use way::Ways;

/// Base64 whose padding may be missing: Netscape and other old clients leave it out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A SASL mechanism ostler has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two prompts, for name and password, which every server of the 1990s knew (MS-XLOGIN).
    Login,
    /// RFC 2195; proves the password without sending it.
    CramMd5,
    /// A user name and an OAuth2 access token, as Google defined it before there was a standard.
    XOAuth2,
    /// The standard for the same (RFC 7628).
    OAuthBearer,
}

impl Mechanism {
    /// Those that give a password or prove it, the simplest first.
    const WITH_PASSWORD: [Self; 3] = [Self::Plain, Self::Login, Self::CramMd5];
    /// Those that give an access token. XOAUTH2 comes first, because every provider with OAuth2 has it.
    const WITH_TOKEN: [Self; 2] = [Self::XOAuth2, Self::OAuthBearer];

    /// The name in the IANA registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// The mechanism of this name, in any letter case, of those that give a password.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::WITH_PASSWORD.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// Those for a password that a server offers, the best first. Inside TLS the simplest is the most reliable; in clear the one that does not
    /// send the password comes first.
    pub fn offered(offered: &[String], is_in_tls: bool) -> impl Iterator<Item = Self> {
        let order = if is_in_tls { Self::WITH_PASSWORD } else { [Self::CramMd5, Self::Plain, Self::Login] };
        order.into_iter().filter(|m| m.is_in(offered))
    }

    /// Those for an access token that a server offers, the best first; XOAUTH2 where it lists none, because some servers leave
    /// it out of their list and take it all the same. The token leaves only once the server has asked for it.
    pub fn offered_for_token(offered: &[String]) -> Vec<Self> {
        let listed: Vec<Self> = Self::WITH_TOKEN.into_iter().filter(|m| m.is_in(offered)).collect();
        if listed.is_empty() { vec![Self::XOAuth2] } else { listed }
    }

    /// Whether it gives an access token.
    pub fn takes_token(self) -> bool {
        Self::WITH_TOKEN.contains(&self)
    }

    fn is_in(self, offered: &[String]) -> bool {
        offered.iter().any(|name| name.eq_ignore_ascii_case(self.name()))
    }
}

/// The message of PLAIN (RFC 4616) in base64. No identity to act as: the user acts for itself.
fn plain_message(user: &str, secret: &[u8]) -> Zeroizing<String> {
    let message = Zeroizing::new([b"\0", user.as_bytes(), b"\0", secret].concat());
    Zeroizing::new(BASE64.encode(message.as_slice()))
}

/// The digest of CRAM-MD5: HMAC-MD5 of the challenge with the password as key, in hex.
fn cram_digest(secret: &[u8], challenge: &[u8]) -> String {
    Hmac::<Md5>::new_from_slice(secret).map_or_else(
        |_| unreachable!("HMAC takes keys of any length"),
        |mut mac| {
            mac.update(challenge);
            hex(&mac.finalize().into_bytes())
        },
    )
}

/// The digest of APOP: MD5 of the greeting's timestamp and the password, in hex.
fn apop_digest(secret: &[u8], stamp: &str) -> String {
    let mut hash = Md5::new();
    hash.update(stamp.as_bytes());
    hash.update(secret);
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests;
