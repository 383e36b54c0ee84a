//! The Message-ID for a message that has none. It is made from the message itself: a message that is sent again after an unknown
//! outcome gets the same one, so its recipients can recognise the second copy.

use md5::{Digest as _, Md5};

use super::value_of;
use crate::mime::field::{Field, fields};
use crate::wire::hex;

/// A Message-ID with its angle brackets. `domain` is used where the sender has none.
pub(super) fn make(header: &[u8], body: &[u8], domain: &str) -> String {
    let mut digest = Md5::new();
    digest.update(header);
    digest.update(body);
    let digest: [u8; 16] = digest.finalize().into();
    let fields = readable_fields(header);
    let domain = value_of(&fields, "from").and_then(domain_of).unwrap_or_else(|| domain.to_owned());
    let domain = if domain.is_empty() { "localhost".to_owned() } else { domain };
    match eudora(&fields, digest) {
        Some(local) => format!("<{local}@{domain}>"),
        None => format!("<{}.ostler@{domain}>", hex(&digest)),
    }
}

/// The fields of a header; those before the first line that is none, if it has such a line.
fn readable_fields(header: &[u8]) -> Vec<Field<'_>> {
    let lines = header.strip_suffix(b"\r\n\r\n").map_or(header, |lines| &header[..lines.len() + 2]);
    fields(lines).unwrap_or_default()
}

/// The domain of the last address in a field.
fn domain_of(value: &[u8]) -> Option<String> {
    let at = memchr::memrchr(b'@', value)?;
    let is_domain = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-');
    let domain: Vec<u8> = value[at + 1..].iter().take_while(is_domain).copied().collect();
    String::from_utf8(domain).ok().filter(|domain| !domain.is_empty())
}

/// Eudora's own form: its version, the time, eight hexadecimal digits. Eudora 7.1 leaves the field out, and spam filters know
/// that a message of Eudora's has this form (SpamAssassin, FORGED_MUA_EUDORA).
fn eudora(fields: &[Field<'_>], digest: [u8; 16]) -> Option<String> {
    let mailer = String::from_utf8_lossy(value_of(fields, "x-mailer")?).into_owned();
    let version = mailer.split_once("Windows Eudora")?.1.split_once("Version ")?.1;
    let numbers: Vec<&str> = version
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|number| (1..=2).contains(&number.len()))
        .take(MAX_VERSION_NUMBERS)
        .collect();
    let time = value_of(fields, "date").and_then(timestamp).unwrap_or_else(|| made_up_time(digest));
    // Its own versions have at least two numbers; the zero is the kind of sending.
    (numbers.len() >= 2).then(|| format!("{}.0.{time}.{}", numbers.join("."), hex(&digest[..4])))
}

/// Eudora 7.1.0.9 has the longest version.
const MAX_VERSION_NUMBERS: usize = 4;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `20261129200703` of `Sun, 29 Nov 2026 20:07:03 +0100`.
fn timestamp(date: &[u8]) -> Option<String> {
    let date = std::str::from_utf8(date).ok()?;
    let date = date.split_once(',').map_or(date, |(_, date)| date);
    let mut words = date.split_ascii_whitespace();
    let day: u8 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))? + 1;
    let year: u16 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let time: Vec<u8> =
        words.next()?.split(':').map(|part| part.parse().ok().filter(|n| *n < 61)).collect::<Option<_>>()?;
    let [hour, minute] = *time.get(..2)? else { return None };
    let second = time.get(2).copied().unwrap_or(0);
    Some(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}"))
}

/// Digits of the same form for a message without a time: the present would give another name when it is sent again.
fn made_up_time(digest: [u8; 16]) -> String {
    let n = |at: usize, of: u8| digest[at] % of;
    format!("20{:02}{:02}{:02}{:02}{:02}{:02}", n(4, 26), n(5, 12) + 1, n(6, 28) + 1, n(7, 24), n(8, 60), n(9, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eudora_gets_its_own_form() {
        let header = |mailer: &str| {
            format!("X-Mailer: {mailer}\r\nDate: Sun, 9 Nov 2026 20:07:03 +0100\r\nFrom: \"A\" <a@x.net>\r\n\r\n")
        };
        for (mailer, begins) in [
            ("QUALCOMM Windows Eudora Version 7.1.0.9", "<7.1.0.9.0.20261109200703."),
            ("QUALCOMM Windows Eudora Pro Version 4.1", "<4.1.0.20261109200703."),
            ("QUALCOMM Windows Eudora Light Version 3.0.6 (32)", "<3.0.6.32.0.20261109200703."),
        ] {
            let id = make(header(mailer).as_bytes(), b"", "y.net");
            let digits = id.strip_prefix(begins).and_then(|rest| rest.strip_suffix("@x.net>"));
            assert!(
                digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|d| d.is_ascii_hexdigit())),
                "{id}"
            );
        }
        for mailer in ["Microsoft Outlook Express 6.00", "Windows Eudora Version", "Windows Eudora", "Eudora F1.5.4"] {
            assert!(make(header(mailer).as_bytes(), b"", "y.net").ends_with(".ostler@x.net>"), "{mailer}");
        }
        let undated = b"X-Mailer: QUALCOMM Windows Eudora Version 7.1.0.9\r\n\r\n";
        assert_eq!(make(undated, b"a", "y.net"), make(undated, b"a", "y.net"));
        assert!(make(undated, b"a", "y.net").starts_with("<7.1.0.9.0.20"));
    }

    #[test]
    fn a_time_is_read_as_mail_has_it() {
        for (date, expected) in [
            (" Sun, 29 Nov 2026 20:07:03 +0100", Some("20261129200703")),
            ("1 jan 1999 1:02", Some("19990101010200")),
            ("29 Nov 26 20:07:03", None),
            ("", None),
            ("a b c d", None),
            ("1 Jan 1999 1", None),
            ("1 Jan 1999 99:99", None),
        ] {
            assert_eq!(timestamp(date.as_bytes()).as_deref(), expected, "{date}");
        }
    }

    #[test]
    fn the_domain_is_the_senders() {
        for (from, expected) in [
            (" a@x.net", Some("x.net")),
            (" \"a@b\" <a@x.net> (c)", Some("x.net")),
            (" a", None),
            (" a@", None),
            (" a@b\u{fc}.de", Some("b")),
        ] {
            assert_eq!(domain_of(from.as_bytes()).as_deref(), expected, "{from}");
        }
        assert!(make(b"", b"", "y.net").ends_with("@y.net>") && make(b"", b"", "").ends_with("@localhost>"));
    }
}
