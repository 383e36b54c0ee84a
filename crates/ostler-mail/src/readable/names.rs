//! The parameters of Content-Type and Content-Disposition, above all the names of files: in the form of RFC 2231, in raw
//! UTF-8, or as encoded-words that the mail program does not read, they become plain ones.

use std::ops::Range;

use encoding_rs::{Encoding, UTF_8};

use super::Tally;
use super::charset::{is_lost, letters_of};
use super::profile::Readable;
use super::words::{is_plain, text_of};
use crate::mime::edited;
use crate::mime::encoded_word::{self, Lines};
use crate::mime::parameters::{Parameter, Parsed, base};

/// The parameters that people read. The others say what a part is, and another value would make it another part.
const NAMES: [&str; 2] = ["name", "filename"];

/// The value of a field with plain parameters. `None`: it stays as it is.
pub(super) fn convert(value: &[u8], readable: &Readable) -> Option<(Vec<u8>, Tally)> {
    let parsed = Parsed::parse(value)?;
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    let mut tally = Tally::default();
    let mut done: Vec<&str> = Vec::new();
    for parameter in &parsed.parameters {
        let name = base(&parameter.name);
        if !NAMES.contains(&name) || done.contains(&name) {
            continue;
        }
        done.push(name);
        let Some((text, mut found)) = text(&parsed, name, readable) else { continue };
        let Some((plain, approximated)) = written(&text, readable) else { continue };
        found.approximated += approximated;
        tally.add(&found);
        // All forms of the parameter give way to one, where the first stood.
        for (at, same) in parsed.parameters.iter().filter(|other| base(&other.name) == name).enumerate() {
            let plain = if at == 0 { in_place(value, same, name, &plain) } else { Vec::new() };
            edits.push((same.place.clone(), plain));
        }
    }
    edits.sort_by_key(|(place, _)| place.start);
    (!edits.is_empty()).then(|| (edited(value, &edits), tally))
}

/// The text of a parameter that must change.
fn text(parsed: &Parsed, name: &str, readable: &Readable) -> Option<(String, Tally)> {
    let mut tally = Tally::default();
    if parsed.extended_names().contains(&name) {
        let extended = parsed.extended(name)?;
        let label = extended.charset.filter(|label| !label.is_empty()).unwrap_or_else(|| b"utf-8".to_vec());
        let charset = Encoding::for_label_no_replacement(&label)?;
        let text = charset.decode_without_bom_handling_and_without_replacement(&extended.octets)?;
        tally.add_source(&String::from_utf8_lossy(&label).to_ascii_lowercase());
        return Some((text.into_owned(), tally));
    }
    let mut same = parsed.parameters.iter().filter(|parameter| parameter.name == name);
    let (Some(parameter), None) = (same.next(), same.next()) else { return None };
    if !parameter.value.is_ascii() {
        let text = UTF_8.decode_without_bom_handling_and_without_replacement(&parameter.value)?;
        tally.add_source("utf-8");
        return Some((text.into_owned(), tally));
    }
    text_of(&parameter.value, readable.rewriting())
}

/// The value between the quotes, and how many of its letters are approximated.
fn written(text: &str, readable: &Readable) -> Option<(Vec<u8>, u64)> {
    let written = readable.charset.write_words(text);
    if is_lost(written.unlike, letters_of(text)) {
        return None;
    }
    let plain = if is_plain(&written.octets) {
        written
            .octets
            .iter()
            .flat_map(|octet| if matches!(octet, b'"' | b'\\') { vec![b'\\', *octet] } else { vec![*octet] })
            .collect()
    } else {
        // Eudora loses what is on the next line.
        encoded_word::write(written.label, &written.octets, &written.letters, Lines::One)
    };
    Some((plain, written.approximated))
}

/// A parameter with another value, folded as it was.
fn in_place(value: &[u8], parameter: &Parameter, name: &str, plain: &[u8]) -> Vec<u8> {
    let old = &value[parameter.place.clone()];
    let blanks = old.iter().skip(1).take_while(|octet| octet.is_ascii_whitespace()).count();
    [&old[..=blanks], name.as_bytes(), b"=\"", plain, b"\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(value: &str) -> String {
        let readable = Readable::find("windows-1252").unwrap();
        convert(value.as_bytes(), &readable)
            .map_or_else(|| "-".into(), |(octets, _)| String::from_utf8(octets).unwrap())
    }

    #[test]
    fn names_become_plain() {
        for (value, expected) in [
            (
                " attachment; filename*=UTF-8''na%C3%AFve%20%E2%86%92.txt",
                " attachment; filename=\"=?windows-1252?Q?na=EFve_-=3E=2Etxt?=\"",
            ),
            (
                " attachment;\r\n filename*0*=utf-8''a%20;\r\n filename*1=b.txt; size=3",
                " attachment;\r\n filename=\"a b.txt\"; size=3",
            ),
            (
                " attachment; filename=\"x.txt\"; filename*=utf-8''%E2%80%9Cx%22",
                " attachment; filename=\"=?windows-1252?B?k3gi?=\"",
            ),
            (
                " text/plain; name=\"=?utf-8?B?w6k=?= =?utf-8?B?w6k=?=.txt\"; charset=utf-8",
                " text/plain; name=\"=?windows-1252?Q?=E9=E9=2Etxt?=\"; charset=utf-8",
            ),
            (" text/plain; name=\u{e9}.txt", " text/plain; name=\"=?windows-1252?Q?=E9=2Etxt?=\""),
            (" attachment; filename*0=\"a\\\"b\"; filename*1=c", " attachment; filename=\"a\\\"bc\""),
        ] {
            assert_eq!(converted(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_plain_or_makes_no_sense_stays() {
        for value in [
            " attachment; filename=a.txt",
            " attachment; filename*=utf-7''a",
            " attachment; filename*=utf-8''%ff",
            " attachment; filename*1=a",
            " attachment; filename*=utf-8''%E4%B8%AD",
            " attachment; filename=\"",
            "",
            " attachment; filename=\"=?iso-8859-1?Q?=E9?=\"",
            " a; name=\u{e9}; name=\u{e9}",
            " text/plain; charset=\"g\u{35b}b18030\"",
            " multipart/mixed; boundary*=utf-8''%C3%A9",
        ] {
            assert_eq!(converted(value), "-", "{value}");
        }
    }
}
