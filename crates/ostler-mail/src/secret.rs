//! A password or token as a value that cannot be printed, copied, or written to a file by accident.
//!
//! Not here: where secrets come from (the program's `vault`), and how they are sent (`sasl`).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The longest secret accepted. Passwords have tens of octets, OAuth2 access tokens a few thousand; anything longer is
/// the wrong file.
pub const LIMIT: usize = 8192;

/// A password or token.
///
/// Invariant: no ASCII control character (POP3 sends passwords unencoded, so CR LF in one would start a new command),
/// not empty, at most [`LIMIT`] octets. It has no `Display`, `Clone` or
/// `Serialize`; its `Debug` prints stars in every build; its memory is wiped when it is dropped.
pub struct Secret(Zeroizing<String>);

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
        if text.is_empty() {
            Err(NotASecret::Empty)
        } else if text.len() > LIMIT {
            Err(NotASecret::TooLong)
        } else if text.bytes().any(|b| b.is_ascii_control()) {
            Err(NotASecret::ControlCharacter)
        } else {
            Ok(Self(text))
        }
    }

    /// Takes over octets that came from a file, a pipe or a keyring.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, NotASecret> {
        let text = std::str::from_utf8(&bytes).map_err(|_| NotASecret::NotText)?;
        Self::new(Zeroizing::new(text.to_owned()))
    }

    /// The secret in clear. It may go to a verified connection and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time, so that the time taken does not tell where two secrets differ.
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
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
