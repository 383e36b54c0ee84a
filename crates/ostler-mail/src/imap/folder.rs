//! Names of folders as IMAP has them on the wire: modified UTF-7 (RFC 3501, section 5.1.3).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::command::quote;
use crate::wire::printable;

/// BASE64 with a comma for the slash, because the slash separates folders, and without padding.
const MODIFIED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::IMAP_MUTF7,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The name for the wire, in quotes. It was written as a person does: `Entwürfe`.
pub(crate) fn quoted(name: &str) -> String {
    let encoded = encode(name);
    // What is encoded is printable ASCII, which can always be quoted.
    let quoted = quote(encoded.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&quoted).into_owned()
}

/// The name as a person writes it, of an argument that is an atom or in quotes.
pub(crate) fn shown(argument: &[u8]) -> String {
    let name = match argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        None => argument.to_vec(),
        Some(quoted) => unescaped(quoted),
    };
    let name = printable(&name);
    // What is not spelled as the standard has it is shown as it is.
    decode(&name).unwrap_or(name)
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut octets = quoted.iter();
    std::iter::from_fn(|| match octets.next() {
        Some(b'\\') => octets.next().copied(),
        octet => octet.copied(),
    })
    .collect()
}

/// `None`: a shift without an end, octets that are no UTF-16, or characters that would disturb the line they are shown on.
fn decode(encoded: &str) -> Option<String> {
    let mut pieces = encoded.split('&');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (coded, plain) = piece.split_once('-')?;
        if coded.is_empty() {
            name.push('&');
        }
        let octets = MODIFIED.decode(coded).ok()?;
        let units: Vec<u16> =
            octets.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?))).collect::<Option<_>>()?;
        name += &String::from_utf16(&units).ok()?;
        name += plain;
    }
    (!name.chars().any(char::is_control)).then_some(name)
}

fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| is_plain(c) != is_plain(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        if is_plain(first) {
            encoded += &run.replace('&', "&-");
        } else {
            let octets: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            encoded += &format!("&{}-", MODIFIED.encode(octets));
        }
        rest = behind;
    }
    encoded
}

fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_spelled_as_the_standard_has_it() {
        for (name, spelled) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Tom & Ann", "Tom &- Ann"),
            // The example of RFC 3501, section 5.1.3.
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("&ü&", "&-&APw-&-"),
            ("\u{1f4e7}", "&2D3c5w-"),
            ("", ""),
        ] {
            assert_eq!(encode(name), spelled);
            assert_eq!(shown(spelled.as_bytes()), name);
        }
        assert_eq!(shown(br#""a\"b\\c""#), r#"a"b\c"#);
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }

    #[test]
    fn a_name_that_is_not_spelled_so_is_shown_as_it_is() {
        for name in ["Tom & Ann", "&APw", "&AP-x", "&2D0-", "&AAo-", "&*-"] {
            assert_eq!(shown(name.as_bytes()), name);
        }
        assert_eq!(shown(b"caf\xc3\xa9\x07"), "caf???");
        assert_eq!(shown(b"\""), "\"");
    }
}
