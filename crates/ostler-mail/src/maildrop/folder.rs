//! Names of folders as IMAP has them on the wire: modified UTF-7 (RFC 3501, section 5.1.3).

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::imap::command::quote;

/// BASE64 with a comma for the slash, because the slash separates folders, and without padding.
const MODIFIED: GeneralPurpose =
    GeneralPurpose::new(&alphabet::IMAP_MUTF7, GeneralPurposeConfig::new().with_encode_padding(false));

/// The name for the wire, in quotes. It was written as a person does: `Entwürfe`.
pub(crate) fn quoted(name: &str) -> String {
    let encoded = encode(name);
    // What is encoded is printable ASCII, which can always be quoted.
    let quoted = quote(encoded.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&quoted).into_owned()
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
        }
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
