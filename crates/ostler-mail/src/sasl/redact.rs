//! Keeps secrets out of the log and out of what people read: some servers repeat them in a refusal.

use std::fmt;

use base64::Engine;
use zeroize::Zeroizing;

use crate::sasl::{BASE64, plain_message};
use crate::secret::Secret;
use crate::wire::{Line, hex};

/// Replaces a secret by stars, in every form in which a server could echo it. The longest form comes first, so that a short
/// one is not replaced inside a longer one, whose rest would show.
#[derive(Clone)]
pub struct Redaction(Vec<Zeroizing<String>>);

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction(***)")
    }
}

impl Redaction {
    /// Knows every form of the secret of `user`.
    pub fn new(user: &str, secret: &Secret) -> Self {
        let raw = secret.expose();
        let plain = plain_message(user, raw);
        let encoded = Zeroizing::new(BASE64.encode(raw));
        let digits = Zeroizing::new(hex(raw));
        let upper_digits = Zeroizing::new(digits.to_uppercase());
        let forms: Vec<Zeroizing<String>> = [&plain, &encoded, &digits, &upper_digits]
            .map(|form| form.as_bytes())
            .into_iter()
            .chain([raw, trim(raw)])
            // A printable reply has question marks where the secret has 8-bit characters.
            .map(|form| Zeroizing::new(crate::wire::printable(form)))
            // A server that quotes a form may leave out its padding or the blanks around it.
            .flat_map(|form| {
                let short = [form.trim_end_matches('='), form.trim()].map(|form| Zeroizing::new(form.to_owned()));
                [form].into_iter().chain(short)
            })
            .filter(|form| !form.is_empty())
            .collect();
        Self(forms).longest_first()
    }

    /// Knows what the other one knows, too.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.longest_first()
    }

    /// Knows the response to a challenge too, as it was sent. With the challenge beside it, a reader of the log could try
    /// passwords at leisure.
    #[must_use]
    pub fn with_response(mut self, response: &str) -> Self {
        self.0.push(Zeroizing::new(response.to_owned()));
        self.0.push(Zeroizing::new(response.trim_end_matches('=').to_owned()));
        let decoded = BASE64.decode(response).ok().and_then(|octets| String::from_utf8(octets).ok());
        if let Some((_, digest)) = decoded.as_deref().and_then(|text| text.trim_end_matches('\u{1}').rsplit_once(' ')) {
            self.0.push(Zeroizing::new(digest.to_owned()));
            self.0.push(Zeroizing::new(digest.to_uppercase()));
        }
        self.longest_first()
    }

    fn longest_first(mut self) -> Self {
        // The answer to a refused token of XOAUTH2 is empty, and would be found everywhere.
        self.0.retain(|form| !form.is_empty());
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
        self.0.dedup();
        self
    }

    /// The line without the secret; `None` if the secret is not in it, as in nearly every line.
    pub fn redact_line(&self, line: &Line) -> Option<Line> {
        let said = line.printable();
        let is_in = |form: &Zeroizing<String>| memchr::memmem::find(said.as_bytes(), form.as_bytes()).is_some();
        self.0.iter().any(is_in).then(|| Line::new(self.redact(&said).as_bytes()))
    }

    /// The text with stars in place of the secret.
    pub fn redact(&self, said: &str) -> String {
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

/// The octets without blanks around them, of any script if they are UTF-8.
fn trim(raw: &[u8]) -> &[u8] {
    std::str::from_utf8(raw).map_or_else(|_| raw.trim_ascii(), |text| text.trim().as_bytes())
}

/// What a server said, with stars in place of the secret of `user`.
pub fn redact(said: &str, user: &str, secret: &Secret) -> String {
    Redaction::new(user, secret).redact(said)
}
