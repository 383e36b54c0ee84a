//! A password or token as a value that cannot be printed, copied, or written to a file by accident.
//!
//! Not here: where secrets come from (the program's `vault`), and how they are sent (`sasl`).

use std::borrow::Cow;
use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest secret accepted. Passwords have tens of octets, OAuth2 access tokens a few thousand; anything longer is
/// the wrong file.
pub const LIMIT: usize = 8192;

/// A password or token.
///
/// Invariant: no CR, LF or NUL (POP3 sends passwords unencoded, so CR LF in one would start a new command), not empty, at
/// most [`LIMIT`] octets. It is UTF-8, unless a client gave it. It has no `Display`, `Clone` or `Serialize`; its `Debug`
/// prints stars in every build; its memory is wiped when it is dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a text cannot be a secret. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotASecret {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// It holds a line end or another ASCII control character.
    #[error("it holds a line end or another control character")]
    ControlCharacter,
    /// Longer than [`LIMIT`].
    #[error("it is longer than {LIMIT} characters")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
}

impl Secret {
    /// Takes over a text as a secret. The memory of `text` is wiped also when it is refused.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self, NotASecret> {
        let text = text.into();
        Self::without(|octet| octet.is_ascii_control(), text.as_bytes())
    }

    /// Takes over octets that came from a file, a pipe or a keyring.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, NotASecret> {
        let text = std::str::from_utf8(&bytes).map_err(|_| NotASecret::NotText)?;
        Self::new(Zeroizing::new(text.to_owned()))
    }

    /// Takes what a client gave as its password, to be passed on as it is: in which character set the client wrote it, only
    /// the provider knows.
    pub fn from_client(given: &[u8]) -> Result<Self, NotASecret> {
        Self::without(|octet| matches!(octet, 0 | b'\r' | b'\n'), given)
    }

    fn without(is_forbidden: fn(&u8) -> bool, octets: &[u8]) -> Result<Self, NotASecret> {
        if octets.is_empty() {
            Err(NotASecret::Empty)
        } else if octets.len() > LIMIT {
            Err(NotASecret::TooLong)
        } else if octets.iter().any(is_forbidden) {
            Err(NotASecret::ControlCharacter)
        } else {
            Ok(Self(Zeroizing::new(octets.to_vec())))
        }
    }

    /// The secret in clear. It may go to a verified connection and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret in clear as text, to show to its owner or to give to a program of theirs.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Compares in constant time, so that the time taken does not tell where two secrets differ.
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Secret, NotASecret> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_secret_cannot_be_a_command() {
        assert_eq!(secret("x\r\nDELE 1").err(), Some(NotASecret::ControlCharacter));
        assert_eq!(secret("x\0").err(), Some(NotASecret::ControlCharacter));
        assert_eq!(secret("").err(), Some(NotASecret::Empty));
        assert_eq!(secret(&"x".repeat(LIMIT + 1)).err(), Some(NotASecret::TooLong));
        assert!(secret("pass word \u{e4}").is_ok());
    }

    #[test]
    fn what_a_client_gives_may_be_anything_but_a_line_end() {
        for given in [&b"p\xc4ss"[..], b"\x80", b"a\tb\x1b", b" "] {
            assert_eq!(Secret::from_client(given).unwrap().expose(), given);
        }
        for given in [&b"a\rb"[..], b"a\nb", b"a\0b"] {
            assert_eq!(Secret::from_client(given).err(), Some(NotASecret::ControlCharacter));
        }
        assert_eq!(Secret::from_client(b"").err(), Some(NotASecret::Empty));
        assert_eq!(Secret::from_bytes(b"p\xc4ss".to_vec().into()).err(), Some(NotASecret::NotText));
        assert_eq!(secret("p\u{c4}ss").unwrap().text(), "p\u{c4}ss");
    }

    #[test]
    fn debug_output_shows_stars() {
        assert_eq!(format!("{:?}", secret("hunter2").unwrap()), "Secret(***)");
    }

    #[test]
    fn comparing_needs_the_whole_secret() {
        let s = secret("hunter2").unwrap();
        assert!(s.is(b"hunter2"));
        assert!(!s.is(b"hunter"));
        assert!(!s.is(b""));
    }
}
