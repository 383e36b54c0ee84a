//! What a password may lose on its way from a person to the provider. The same rule holds however the password comes: typed, pasted,
//! piped, in a form, from a file, a command, a variable or a keyring.
//!
//! A password loses its line end and nothing else, because a blank may be a part of it. There is one exception. Google,
//! Yahoo and others show an app password as `abcd efgh ijkl mnop` and take it without the blanks (Google does not say so on
//! the page that shows it; support.google.com/accounts/answer/185833). A password of this form, at a provider that makes app
//! passwords, loses its blanks. People do not choose such passwords, so ostler need not try both forms.
//!
//! Not here: which providers make app passwords (the program's presets).

use zeroize::Zeroizing;

use super::{NotASecret, Secret};
use crate::account::PasswordCharset;
use crate::charset::Charset;

/// Said to a person whose app password has lost its blanks.
pub const BLANKS_LEFT_OUT: &str =
    "the blanks were left out of this app password: the provider shows it in four groups and takes it without them";

/// How many groups a provider shows an app password in.
const APP_PASSWORD_GROUPS: usize = 4;
/// How many letters each of them has.
const APP_PASSWORD_GROUP_LETTERS: usize = 4;

/// A password as the provider takes it.
#[derive(Debug)]
pub struct Given {
    /// The password.
    pub secret: Secret,
    /// Whether it was an app password in groups, and has lost the blanks.
    pub has_lost_blanks: bool,
}

impl Given {
    /// Takes a password as it was given, perhaps with a line end. `makes_app_passwords`: the provider does.
    pub fn new(octets: &[u8], makes_app_passwords: bool) -> Result<Self, NotASecret> {
        let octets = without_line_end(octets);
        let joined = makes_app_passwords.then(|| join_groups(octets)).flatten();
        let has_lost_blanks = joined.is_some();
        let octets = joined.unwrap_or_else(|| Zeroizing::new(octets.to_vec()));
        Ok(Self { secret: Secret::from_bytes(octets)?, has_lost_blanks })
    }
}

/// The secret in another charset than UTF-8; `None` if that is the same, or does not have its letters.
pub fn spelled(secret: &Secret, charset: PasswordCharset) -> Option<Secret> {
    let text = std::str::from_utf8(secret.expose()).ok().filter(|text| !text.is_ascii())?;
    match charset {
        PasswordCharset::Utf8 => None,
        PasswordCharset::Windows1252 => Secret::from_client(&Charset::Windows1252.encode(text)?).ok(),
    }
}

/// The text without its line end, LF or CR LF.
pub fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    // Also without LF: a text of one line may have come from a program that took only that off. No password ends in CR.
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// The first line of a text, without its line end, and without the byte order mark that Windows editors put before UTF-8.
pub fn first_line(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    without_line_end(memchr::memchr(b'\n', text).map_or(text, |end| &text[..end]))
}

/// The letters of an app password that is shown in groups; `None` for any other text. Blanks of every kind count, also
/// around the groups: web pages put U+00A0 between them, and what is copied from one may end in a blank.
pub fn join_groups(octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(octets).ok()?;
    let mut letters = Zeroizing::new(Vec::with_capacity(APP_PASSWORD_GROUPS * APP_PASSWORD_GROUP_LETTERS));
    let mut groups = 0;
    for group in text.split_whitespace() {
        groups += 1;
        let has_the_form = group.len() == APP_PASSWORD_GROUP_LETTERS && group.bytes().all(|b| b.is_ascii_alphabetic());
        if !has_the_form || groups > APP_PASSWORD_GROUPS {
            return None;
        }
        letters.extend_from_slice(group.as_bytes());
    }
    (groups == APP_PASSWORD_GROUPS).then_some(letters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(text: &str, makes_app_passwords: bool) -> (String, bool) {
        let given = Given::new(text.as_bytes(), makes_app_passwords).unwrap();
        assert!(given.secret.is(given.secret.text().as_bytes()));
        (given.secret.text().into_owned(), given.has_lost_blanks)
    }

    #[test]
    fn f10_an_app_password_loses_its_blanks_where_there_are_such() {
        for shown in [
            "abcd efgh ijkl mnop",
            "abcd efgh ijkl mnop ",
            "  abcd efgh ijkl mnop\r\n",
            "abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop\u{a0}\n",
            "\tabcd  efgh\u{202f}ijkl \u{a0} mnop",
        ] {
            assert_eq!(given(shown, true), ("abcdefghijklmnop".into(), true), "{shown:?}");
        }
        assert_eq!(given("ABCD efgh Ijkl MNOP", true), ("ABCDefghIjklMNOP".into(), true));
        assert_eq!(given("abcd efgh ijkl mnop \n", false), ("abcd efgh ijkl mnop ".into(), false));
    }

    #[test]
    fn f10_every_other_password_is_what_was_given() {
        for text in [
            "secret ",
            " secret",
            " ",
            "correct horse battery staple",
            "abcd-efgh-ijkl-mnop",
            "abcdefghijklmnop ",
            "abcd efgh ijkl",
            "abcd efgh ijkl mnop qrst",
            "abcd efgh ijkl mno1",
            "abc defg hijk lmno",
            "\u{e4}bcd efgh ijkl mnop",
            "abcdefgh ijklmnop",
            "p\u{a0}ss",
        ] {
            for line_end in ["", "\n", "\r\n"] {
                assert_eq!(given(&format!("{text}{line_end}"), true), (text.into(), false), "{text:?}");
            }
        }
    }

    #[test]
    fn f10_one_line_end_is_no_part_of_a_password_and_a_second_one_is_refused() {
        for refused in ["secret\n\n", "secret\nmore", "a\rb"] {
            assert_eq!(Given::new(refused.as_bytes(), true).err(), Some(NotASecret::ControlCharacter), "{refused:?}");
        }
        for empty in ["", "\n", "\r\n"] {
            assert_eq!(Given::new(empty.as_bytes(), true).err(), Some(NotASecret::Empty));
        }
        for text in ["secret \nmore\n", "\u{feff}secret \r\n", "secret "] {
            assert_eq!(first_line(text.as_bytes()), b"secret ");
        }
    }

    #[test]
    fn f11_letters_are_spelled_as_old_windows_programs_spelled_them() {
        let windows = |text: &str| {
            let secret = Secret::new(text.to_owned()).unwrap();
            assert!(spelled(&secret, PasswordCharset::Utf8).is_none());
            spelled(&secret, PasswordCharset::Windows1252).map(|secret| secret.expose().to_vec())
        };
        assert_eq!(windows("p\u{c4}ss").unwrap(), b"p\xc4ss");
        assert_eq!(windows("5\u{20ac} f\u{fc}r Stra\u{df}e\u{2019}s").unwrap(), b"5\x80 f\xfcr Stra\xdfe\x92s");
        for same_or_none in ["plain", "\u{43f}\u{430}\u{440}", "p\u{c4}ss\u{142}"] {
            assert_eq!(windows(same_or_none), None, "{same_or_none}");
        }
    }

    proptest! {
        #[test]
        fn f10_only_blanks_are_ever_lost_and_only_once(text in "\\PC{1,30}|([a-z]{4}[ \u{a0}]{1,2}){3}[a-z]{4}[ \u{a0}]?") {
            let Ok(first) = Given::new(text.as_bytes(), true) else { return Ok(()) };
            let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(without_blanks(&first.secret.text()), without_blanks(&text));
            let again = Given::new(first.secret.text().as_bytes(), true).unwrap();
            prop_assert!(!again.has_lost_blanks && again.secret.is(first.secret.text().as_bytes()));
        }
    }
}
