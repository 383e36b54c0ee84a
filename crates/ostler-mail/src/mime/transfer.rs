//! The transfer encodings of a body (RFC 2045, section 6): read strictly, since a text that does not read cleanly stays as it
//! is; written as quoted-printable alone.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr2};

/// The longest line of quoted-printable text, without its line end (RFC 2045, 6.7, rule 5).
const MAX_LINE_OCTETS: usize = 76;

/// How the octets of a body are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `7bit`, `8bit`, `binary`, or nothing said: as they are.
    Identity,
    QuotedPrintable,
    Base64,
}

impl Encoding {
    /// What a Content-Transfer-Encoding says; `None` for one that ostler does not know.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match value.trim_ascii().to_ascii_lowercase().as_slice() {
            b"7bit" | b"8bit" | b"binary" => Some(Self::Identity),
            b"quoted-printable" => Some(Self::QuotedPrintable),
            b"base64" => Some(Self::Base64),
            _ => None,
        }
    }

    /// The octets that a body means. `None`: it is not cleanly written. `is_cut`: only the beginning of it is there, and may end
    /// anywhere.
    pub(crate) fn decode(self, body: &[u8], is_cut: bool) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Identity => Some(Cow::Borrowed(body)),
            Self::QuotedPrintable => decode_quoted_printable(body).map(Cow::Owned),
            Self::Base64 => decode_base64(body, is_cut).map(Cow::Owned),
        }
    }
}

fn decode_base64(body: &[u8], is_cut: bool) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = Vec::with_capacity(body.len());
    body.split(|octet| matches!(octet, b'\r' | b'\n' | b' ' | b'\t')).for_each(|word| digits.extend_from_slice(word));
    if is_cut {
        digits.truncate(digits.len() / 4 * 4);
    }
    STANDARD.decode(digits).ok()
}

fn decode_quoted_printable(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, behind) = rest.split_at(end);
        decode_line(line, &mut out)?;
        rest = behind;
    }
    Some(out)
}

/// Decodes one line. Blanks at its end were put there on the way (RFC 2045, 6.7, rule 3).
fn decode_line(line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = line.trim_ascii_end();
    let line_end = if line.ends_with(b"\r\n") {
        &line[line.len() - 2..]
    } else {
        &line[line.len() - usize::from(line.ends_with(b"\n"))..]
    };
    let mut rest = text;
    while let Some(at) = memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at + 1..] {
            // A soft line break.
            [] => return Some(()),
            [high, low, ..] => out.push(hex_digit(high)? << 4 | hex_digit(low)?),
            [_] => return None,
        }
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(line_end);
    Some(())
}

pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// What stands for an octet that is not written as itself.
pub(super) fn hex_pair(octet: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]
}

/// Whether an octet of a text is written as itself in the middle of a line.
const LITERAL: [bool; 256] = {
    let mut literal = [false; 256];
    let mut octet = b' ';
    while octet <= b'~' {
        literal[octet as usize] = octet != b'=';
        octet += 1;
    }
    literal[b'\t' as usize] = true;
    literal
};

/// Appends a text as quoted-printable, in lines of at most 76 octets. LF and CR LF end a line.
pub(crate) fn encode_quoted_printable(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(end) = memchr(b'\n', rest) {
        encode_line(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]), out);
        out.extend_from_slice(b"\r\n");
        rest = &rest[end + 1..];
    }
    encode_line(rest, out);
}

fn encode_line(line: &[u8], out: &mut Vec<u8>) {
    let (mut at, mut column) = (0, 0);
    while at < line.len() {
        let room = MAX_LINE_OCTETS - 1 - column;
        let run = line[at..].iter().take(room).take_while(|octet| LITERAL[usize::from(**octet)]).count();
        // A blank at the end of a line would be lost on the way.
        let is_last = at + run == line.len();
        let run = if is_last && matches!(line.last(), Some(b' ' | b'\t')) { run.saturating_sub(1) } else { run };
        out.extend_from_slice(&line[at..at + run]);
        (at, column) = (at + run, column + run);
        let Some(&octet) = line.get(at) else { break };
        let must_be_coded = !LITERAL[usize::from(octet)] || at + 1 == line.len() && matches!(octet, b' ' | b'\t');
        if must_be_coded && column + 3 < MAX_LINE_OCTETS {
            let [high, low] = hex_pair(octet);
            out.extend_from_slice(&[b'=', high, low]);
            (at, column) = (at + 1, column + 3);
        } else {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
    }
}

/// Whether a text has a CR that ends no line, or a NUL: then it is no text.
pub(crate) fn has_stray_octet(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr2(0, b'\r', &text[at..]) {
        at += found;
        if text.get(at + 1) != Some(&b'\n') || text[at] == 0 {
            return true;
        }
        at += 2;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(text: &[u8]) -> String {
        let mut out = Vec::new();
        encode_quoted_printable(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_cleanly_written_is_not_read() {
        for (body, means) in [
            (&b"a=E9=\r\nb \r\n"[..], Some(&b"a\xe9b\r\n"[..])),
            (b"a=e9", Some(b"a\xe9")),
            (b"a=\r\n", Some(b"a")),
            (b"a= \t\r\nb\n", Some(b"ab\n")),
            (b"\xe9", Some(b"\xe9")),
            (b"1=2\r\n", None),
            (b"=G1", None),
            (b"=A", None),
        ] {
            assert_eq!(Encoding::QuotedPrintable.decode(body, false).as_deref(), means, "{body:?}");
        }
        for (body, means) in [
            (&b"YWJj\r\nZA==\r\n"[..], Some(&b"abcd"[..])),
            (b"", Some(b"")),
            (b"YWJ", None),
            (b"YWJj\r\n-- \r\na list\r\n", None),
            (b"YQ==YQ==", None),
        ] {
            assert_eq!(Encoding::Base64.decode(body, false).as_deref(), means, "{body:?}");
        }
        assert_eq!(Encoding::Base64.decode(b"YWJjZGV", true).as_deref(), Some(&b"abc"[..]));
        assert_eq!(Encoding::parse(b" Quoted-Printable "), Some(Encoding::QuotedPrintable));
        assert_eq!(Encoding::parse(b"x-uuencode"), None);
    }

    #[test]
    fn lines_are_short_and_keep_the_blanks_at_their_ends() {
        assert_eq!(encoded(b"a \r\nb\t\n=\xe9"), "a=20\r\nb=09\r\n=3D=E9");
        assert_eq!(encoded(&[b'x'; 80]), format!("{}=\r\n{}", "x".repeat(75), "x".repeat(5)));
        assert_eq!(encoded(b"a\rb"), "a=0Db");
        assert_eq!(encoded(&[b' '; 77]).lines().map(str::len).collect::<Vec<_>>(), [76, 4]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in prop::collection::vec(prop_oneof![Just(b' '), Just(b'x'), Just(b'='), any::<u8>()], 0..600)) {
            // A CR before a line end is a part of the line end.
            prop_assume!(!text.windows(2).any(|pair| pair == b"\r\n"));
            let written = encoded(&text);
            prop_assert!(written.lines().all(|line| line.len() <= MAX_LINE_OCTETS), "{written}");
            let read = decode_quoted_printable(written.as_bytes()).unwrap();
            let expected: Vec<u8> = text.iter().flat_map(|o| if *o == b'\n' { b"\r\n".to_vec() } else { vec![*o] }).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
