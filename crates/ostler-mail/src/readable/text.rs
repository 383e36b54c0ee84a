//! The text of a part: read in the charset it is in, written in the charset of the mail program.

use encoding_rs::{DecoderResult, Encoding, UTF_8};
use memchr::memmem;

use super::charset::Written;
use super::html;
use super::profile::Readable;
use crate::mime::has_pgp_block;
use crate::mime::structure::TextPart;
use crate::mime::transfer::{encode_quoted_printable, has_stray_octet};

/// A text that was written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewText {
    /// As quoted-printable.
    pub(super) body: Vec<u8>,
    /// The label for the new charset; `None` if the charset stays.
    pub(super) label: Option<&'static str>,
    /// Whether HTML became plain text.
    pub(super) is_flattened: bool,
    /// The charset it was in, if it is in another now.
    pub(super) source: Option<String>,
    pub(super) approximated: u64,
}

/// Writes a text for the mail program. `None`: it is fine as it is, or is not cleanly written and so is left alone. `is_cut`:
/// the text may go on behind the end of `body`.
pub(super) fn convert(
    part: &TextPart,
    body: &[u8],
    readable: &Readable,
    is_alone: bool,
    is_cut: bool,
) -> Option<NewText> {
    let charset = source_charset(part, readable);
    let wants_plain = part.is_html && is_alone && readable.profile.flattens_html;
    let guards = readable.profile.guards_begin_lines && !part.is_html;
    if charset == Source::Fine && !wants_plain && !guards {
        return None;
    }
    let octets = part.encoding.decode(body, is_cut)?;
    if charset == Source::Fine && guards {
        return guarded(&octets);
    }
    let (encoding, source) = encoding_of(part, charset, &octets)?;
    if source.is_none() && !wants_plain {
        return None;
    }
    let text = decode(encoding, &octets, is_cut)?;
    if has_stray_octet(text.as_bytes()) || has_pgp_block(text.as_bytes()) {
        return None;
    }
    write(&text, part, readable, source, wants_plain)
}

/// How to read a text, and the label of its charset if that one changes. `None`: ostler cannot read it.
fn encoding_of(part: &TextPart, charset: Source, octets: &[u8]) -> Option<(&'static Encoding, Option<String>)> {
    match charset {
        Source::Other(encoding, label) => Some((encoding, Some(label))),
        Source::Guess if octets.is_ascii() => Some((UTF_8, None)),
        Source::Guess => Some((UTF_8, Some("utf-8".to_owned()))),
        Source::Fine => {
            let label = part.charset.as_ref()?;
            Encoding::for_label_no_replacement(label.as_bytes()).map(|encoding| (encoding, None))
        }
        Source::Unknown => None,
    }
}

/// Writes the letters of a text in the charset of the mail program. `None`: it stays as it is.
fn write(
    text: &str,
    part: &TextPart,
    readable: &Readable,
    source: Option<String>,
    wants_plain: bool,
) -> Option<NewText> {
    // A document of which too much would be lost in plain text stays a document.
    let flat = if wants_plain { readable.charset.write_plain(&html::to_plain(text)) } else { None };
    if source.is_none() && flat.is_none() {
        return None;
    }
    let is_flattened = flat.is_some();
    let Written { octets, label, approximated, .. } = match flat {
        Some(flat) => flat,
        None if part.is_html => {
            let written = readable.charset.write_html(text);
            Written { octets: html::relabel(written.octets, written.label), ..written }
        }
        None => readable.charset.write_plain(text)?,
    };
    Some(NewText { body: quoted_printable(&octets), label: Some(label), is_flattened, source, approximated })
}

/// What is known of the charset of a text.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// The mail program reads it.
    Fine,
    /// Another one, with its label.
    Other(&'static Encoding, String),
    /// No charset is named, or ASCII. A text with other letters is taken for UTF-8, if it reads as that.
    Guess,
    /// ostler does not know the label.
    Unknown,
}

fn source_charset(part: &TextPart, readable: &Readable) -> Source {
    if readable.profile.reads_all_charsets {
        return Source::Fine;
    }
    match part.charset.as_deref() {
        None | Some("us-ascii" | "ascii" | "ansi_x3.4-1968") => Source::Guess,
        Some(label) if readable.charset.reads(label) => Source::Fine,
        Some(label) => match Encoding::for_label_no_replacement(label.as_bytes()) {
            Some(encoding) => Source::Other(encoding, label.trim().to_owned()),
            None => Source::Unknown,
        },
    }
}

/// The letters of a text; `None` if some octets mean none.
fn decode(encoding: &'static Encoding, octets: &[u8], is_cut: bool) -> Option<String> {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length_without_replacement(octets.len())?);
    let (result, _) = decoder.decode_to_string_without_replacement(octets, &mut text, !is_cut);
    (result == DecoderResult::InputEmpty).then_some(text)
}

fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    encode_quoted_printable(text, &mut body);
    body
}

/// A text in which no line looks like the beginning of a uuencoded file; `None` if none does.
fn guarded(text: &[u8]) -> Option<NewText> {
    const MARK: &[u8] = b"begin  ";
    let places: Vec<usize> = memmem::find_iter(text, MARK).filter(|at| *at == 0 || text[at - 1] == b'\n').collect();
    if places.is_empty() || has_pgp_block(text) || has_stray_octet(text) {
        return None;
    }
    let mut moved = Vec::with_capacity(text.len() + places.len());
    let mut at = 0;
    for place in places {
        moved.extend_from_slice(&text[at..place]);
        moved.push(b' ');
        at = place;
    }
    moved.extend_from_slice(&text[at..]);
    Some(NewText { body: quoted_printable(&moved), label: None, is_flattened: false, source: None, approximated: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::transfer::Encoding as Transfer;

    fn part(charset: Option<&str>, encoding: Transfer, is_html: bool) -> TextPart {
        TextPart { is_html, charset: charset.map(str::to_owned), encoding }
    }

    fn converted(readable: &str, part: &TextPart, body: &[u8]) -> Option<(String, Option<&'static str>, u64)> {
        let new = convert(part, body, &Readable::find(readable).unwrap(), true, false)?;
        Some((String::from_utf8(new.body).unwrap(), new.label, new.approximated))
    }

    #[test]
    fn a_text_in_another_charset_is_written_in_this_one() {
        let base64 = part(Some("utf-8"), Transfer::Base64, false);
        let quoted = part(Some("utf-8"), Transfer::QuotedPrintable, false);
        let raw = part(Some("utf-8"), Transfer::Identity, false);
        let none = part(None, Transfer::Identity, false);
        for (part, body, expected) in [
            (&base64, &b"ZG9u4oCZdAo="[..], Some("don=92t\r\n")),
            (&quoted, b"=E2=86=92=\r\n x\r\n", Some("-> x\r\n")),
            (&raw, "\u{feff}\u{e9}".as_bytes(), Some("=E9")),
            (&raw, b"plain ", Some("plain=20")),
            (&raw, b"\xe9", None),
            (&raw, "\u{e9}\0".as_bytes(), None),
            (&raw, "\u{e9}\rx".as_bytes(), None),
            (&raw, "-----BEGIN PGP SIGNED MESSAGE-----\r\n\u{e9}".as_bytes(), None),
            (&base64, b"5Lit5paH", None),
            (&base64, b"!!!!", None),
            (&none, "\u{e9}".as_bytes(), Some("=E9")),
            (&none, b"plain", None),
            (&none, b"\xe9", None),
        ] {
            assert_eq!(converted("windows-1252", part, body).map(|(text, ..)| text).as_deref(), expected, "{body:?}");
        }
        for charset in ["windows-1252", "iso-8859-1", "utf-7", "x-unknown"] {
            assert_eq!(
                converted("windows-1252", &part(Some(charset), Transfer::Identity, false), b"\xe9"),
                None,
                "{charset}"
            );
        }
    }

    #[test]
    fn html_keeps_every_letter_and_says_its_new_charset() {
        let html = part(Some("utf-8"), Transfer::Identity, true);
        let body = "<meta charset=utf-8>\u{e9}\u{4e2d}".as_bytes();
        let (text, label, approximated) = converted("eudora-windows", &html, body).unwrap();
        assert_eq!(text, "<meta charset=3Diso-8859-1>=E9&#20013;");
        assert_eq!((label, approximated), (Some("iso-8859-1"), 0));
        let (text, label, _) = converted("eudora-3", &html, "<p>a&eacute;<br>\u{2019}</p>".as_bytes()).unwrap();
        assert_eq!((text.as_str(), label), ("a=E9\r\n=92\r\n", Some("windows-1252")));
    }

    #[test]
    fn a_text_that_is_cut_off_may_end_anywhere() {
        let readable = Readable::find("windows-1252").unwrap();
        let raw = part(Some("utf-8"), Transfer::Identity, false);
        assert!(convert(&raw, b"\xc3\xa9\xc3", &readable, true, false).is_none());
        assert_eq!(convert(&raw, b"\xc3\xa9\xc3", &readable, true, true).unwrap().body, b"=E9");
    }

    #[test]
    fn a_line_that_hides_the_rest_is_moved() {
        let ascii = part(None, Transfer::Identity, false);
        let (text, label, _) = converted("outlook-express", &ascii, b"begin  a\r\nxbegin  b\r\nbegin  c").unwrap();
        assert_eq!((text.as_str(), label), (" begin  a\r\nxbegin  b\r\n begin  c", None));
        assert_eq!(converted("outlook-express", &ascii, b"begin a\r\n"), None);
        assert_eq!(converted("windows-1252", &ascii, b"begin  a\r\n"), None);
    }
}
