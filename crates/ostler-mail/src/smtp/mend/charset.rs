//! Text in other letters than ASCII, whose charset old programs do not name, or name wrongly: Eudora calls the octets of
//! windows-1252 ISO 8859-1. The octets of a text stay; raw octets in a header become encoded-words for the same letters.

use std::ops::Range;

use encoding_rs::{Encoding, UTF_8};

use crate::mime::field::{Field, fields};
use crate::mime::parameters::with_charset;
use crate::mime::structure::{Part, Search, Structure, TextPart};
use crate::mime::transfer::Encoding as Transfer;
use crate::mime::{edited, has_pgp_block};
use crate::readable::charset::Charset;
use crate::readable::header::is_structured;
use crate::readable::words::{self, Rewriting};

/// The beginning of a message with its charsets named. `None`: nothing has to be named. `is_whole`: nothing comes behind it.
pub(super) fn mended(message: &[u8], is_whole: bool, charset: Option<Charset>) -> Option<Vec<u8>> {
    let charset = charset?;
    let mut structure = Structure::default();
    if structure.look(message) == Search::GoesOn && is_whole {
        structure.finish(message);
    }
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for part in structure.parts() {
        let header = header(message, part, charset);
        edits.extend(header.map(|header| (part.header.clone(), header)));
    }
    (!edits.is_empty()).then(|| edited(message, &edits))
}

/// The header of a part with the charset named; `None` if it stays.
fn header(message: &[u8], part: &Part, charset: Charset) -> Option<Vec<u8>> {
    let fields = fields(&message[part.header.clone()])?;
    let label = part.text.as_ref().and_then(|(text, body)| label(text, &message[body.clone()], charset));
    let is_raw = |body: &Range<usize>| label.is_some() && !message[body.clone()].is_ascii();
    let is_eight_bit =
        part.text.as_ref().is_some_and(|(text, body)| text.encoding == Transfer::Identity && is_raw(body));
    let is_top = part.header.start == 0;
    let mut out = Vec::new();
    let mut is_changed = label.is_some();
    for field in &fields {
        let value = match (field.name.to_ascii_lowercase().as_str(), label) {
            ("content-type", Some(label)) => Some(with_charset(field.value, label)?),
            ("content-transfer-encoding", _) if is_eight_bit => Some(b" 8bit".to_vec()),
            ("content-type" | "content-disposition", _) => None,
            (name, _) => raw_words(field, is_structured(name), charset),
        };
        is_changed |= value.is_some();
        out.extend_from_slice(&value.map_or_else(|| field.raw.to_vec(), |value| field.with_value(&value)));
    }
    let is_missing = |name: &str| !fields.iter().any(|field| field.is(name));
    if let Some(label) = label {
        if is_top && is_missing("mime-version") {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if is_missing("content-type") {
            out.extend_from_slice(format!("Content-Type: text/plain; charset={label}\r\n").as_bytes());
        }
        if is_eight_bit && is_missing("content-transfer-encoding") {
            out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
    }
    is_changed.then_some(out)
}

/// The charset that a text is in, if another one or none is named.
fn label(text: &TextPart, body: &[u8], charset: Charset) -> Option<&'static str> {
    let octets = text.encoding.decode(body, false)?;
    if octets.is_ascii() || has_pgp_block(&octets) {
        return None;
    }
    if !is_wrong(text.charset.as_deref(), &octets, charset) {
        return None;
    }
    // Under the account's label its reader would see rubbish.
    if std::str::from_utf8(&octets).is_ok() {
        return Some("utf-8");
    }
    charset.reads_cleanly(&octets).then_some(charset.label)
}

/// Labels that stand for "unknown".
const NO_CHARSETS: [&str; 4] = ["", "unknown", "unknown-8bit", "x-unknown"];

/// Whether a text with octets beyond ASCII has no label, or one that cannot be right.
fn is_wrong(label: Option<&str>, octets: &[u8], charset: Charset) -> bool {
    match label {
        None | Some("us-ascii" | "ascii" | "ansi_x3.4-1968") => true,
        // 0x80 to 0x9F are control characters there, and no text has those. Eudora calls everything ISO 8859-1.
        Some("iso-8859-1" | "latin1") => {
            octets.iter().any(|octet| matches!(octet, 0x80..=0x9f))
                || !charset.is_latin() && is_mostly_beyond_ascii(octets)
        }
        Some(label) if NO_CHARSETS.contains(&label) => true,
        // One that is not known here may be known to the reader.
        Some(label) => Encoding::for_label_no_replacement(label.as_bytes())
            .is_some_and(|encoding| encoding.decode_without_bom_handling_and_without_replacement(octets).is_none()),
    }
}

/// Whether most letters are beyond ASCII, as in no language that is written in Latin letters.
fn is_mostly_beyond_ascii(octets: &[u8]) -> bool {
    let beyond = octets.iter().filter(|octet| **octet >= 0xc0).count();
    beyond > octets.iter().filter(|octet| octet.is_ascii_alphabetic()).count()
}

/// The value of a field with its raw octets as encoded-words; `None` if it has none.
fn raw_words(field: &Field<'_>, is_structured: bool, charset: Charset) -> Option<Vec<u8>> {
    if field.value.is_ascii() {
        return None;
    }
    let is_utf8 = std::str::from_utf8(field.value).is_ok();
    let charset = if is_utf8 { Charset::from_label("utf-8")? } else { charset };
    let raw = Some(if is_utf8 { UTF_8 } else { charset.encoding });
    let rewriting = Rewriting { charset, raw, is_for_foreign: false, is_for_long: false };
    let (value, tally) = words::convert(field.value, is_structured, field.name.len() + 1, rewriting)?;
    // Written anew, and in no other words.
    (tally.approximated == 0).then_some(value)
}
