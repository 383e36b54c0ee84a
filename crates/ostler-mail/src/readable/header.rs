//! The header of a message or a part, field by field.

use super::Tally;
use super::profile::Readable;
use super::text::NewText;
use super::{names, words};
use crate::mime::field::{Field, fields};
use crate::mime::parameters::{Parsed, with_charset};

/// Fields that machines compare or sign; a person reads none of them.
const UNTOUCHED: [&str; 17] = [
    "arc-authentication-results",
    "arc-message-signature",
    "arc-seal",
    "authentication-results",
    "content-id",
    "content-transfer-encoding",
    "date",
    "dkim-signature",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "received-spf",
    "references",
    "return-path",
    "x-original-dkim-signature",
    "x-ostler-readable",
];

/// Fields with names and addresses, in which not every word is text (RFC 5322, 3.6; RFC 2369; RFC 2919; RFC 8098). Fields that begin
/// with `resent-` or `list-` are structured too.
const STRUCTURED: [&str; 12] = [
    "bcc",
    "cc",
    "delivered-to",
    "disposition-notification-to",
    "errors-to",
    "from",
    "mail-followup-to",
    "reply-to",
    "return-receipt-to",
    "sender",
    "to",
    "x-original-to",
];

/// Fields that describe octets which are others now.
const OUTDATED: [&str; 3] = ["content-length", "content-md5", "lines"];

/// The header for the client. `new` is the text behind it, if that was written anew. `None`: it stays as it is.
pub(super) fn convert(
    header: &[u8],
    new: Option<&NewText>,
    is_top: bool,
    readable: &Readable,
) -> Option<(Vec<u8>, Tally)> {
    let fields = fields(header)?;
    let mut out = Vec::with_capacity(header.len());
    let mut tally = Tally::default();
    let mut is_changed = false;
    for field in &fields {
        let lower = field.name.to_ascii_lowercase();
        if new.is_some() && OUTDATED.contains(&lower.as_str()) {
            continue;
        }
        match value(field, &lower, new, readable) {
            Some((value, found)) => {
                tally.add(&found);
                is_changed = true;
                out.extend_from_slice(&field.with_value(&value));
            }
            None => out.extend_from_slice(field.raw),
        }
    }
    if let Some(new) = new {
        is_changed = true;
        let missing = |name: &str| !fields.iter().any(|field| field.is(name));
        if is_top && missing("mime-version") {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if let Some(label) = new.label.filter(|_| missing("content-type")) {
            out.extend_from_slice(format!("Content-Type: text/plain; charset={label}\r\n").as_bytes());
        }
        if missing("content-transfer-encoding") {
            out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n");
        }
    }
    is_changed.then_some((out, tally))
}

/// The new value of a field; `None` if it stays.
fn value(field: &Field<'_>, lower: &str, new: Option<&NewText>, readable: &Readable) -> Option<(Vec<u8>, Tally)> {
    match (lower, new) {
        ("content-transfer-encoding", Some(_)) => Some((b" quoted-printable".to_vec(), Tally::default())),
        ("content-type", Some(new)) => {
            let value = labelled(field.value, new)?;
            Some(names::convert(&value, readable).unwrap_or((value, Tally::default())))
        }
        ("content-type" | "content-disposition", _) => names::convert(field.value, readable),
        (name, _) if UNTOUCHED.contains(&name) => None,
        (name, _) => words::convert(field.value, is_structured(name), field.name.len() + 1, readable.rewriting()),
    }
}

/// Whether a field, named in lower case, has names and addresses.
pub(crate) fn is_structured(name: &str) -> bool {
    STRUCTURED.contains(&name) || name.starts_with("resent-") || name.starts_with("list-")
}

/// The value of a Content-Type for the text as it is now.
fn labelled(value: &[u8], new: &NewText) -> Option<Vec<u8>> {
    let mut value = match new.label {
        Some(label) => with_charset(value, label)?,
        None => value.to_vec(),
    };
    if new.is_flattened {
        let head = Parsed::parse(&value)?.word_end;
        let html = value[..head].to_ascii_lowercase().windows(4).position(|word| word == b"html")?;
        // A comment may have the same word.
        let (place, word) =
            if value[..head].contains(&b'(') { (0..head, " text/plain") } else { (html..html + 4, "plain") };
        value.splice(place, word.bytes());
    }
    Some(value)
}

/// The header of a changed message: its signature, which no longer fits, under another name, and a note at its end.
pub(super) fn marked(header: &[u8], note: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + note.len() + 64);
    match fields(header) {
        Some(fields) => {
            for field in fields {
                if field.is("dkim-signature") {
                    out.extend_from_slice(b"X-Original-");
                }
                out.extend_from_slice(field.raw);
            }
        }
        None => out.extend_from_slice(header),
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("X-Ostler-Readable: {note}\r\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(header: &str, new: Option<&NewText>) -> String {
        let readable = Readable::find("windows-1252").unwrap();
        let found = convert(header.as_bytes(), new, true, &readable);
        found.map_or_else(|| "-".into(), |(octets, _)| String::from_utf8(octets).unwrap())
    }

    fn new_text(is_flattened: bool) -> NewText {
        NewText {
            body: Vec::new(),
            label: Some("windows-1252"),
            is_flattened,
            source: Some("utf-8".into()),
            approximated: 0,
        }
    }

    #[test]
    fn the_fields_of_a_changed_text_say_what_it_is_now() {
        let new = new_text(false);
        for (header, expected) in [
            (
                "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=\"utf-8\"; format=flowed\r\nContent-Transfer-Encoding: base64\r\nContent-MD5: x\r\n",
                "MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=windows-1252; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            ),
            (
                "Subject: a\r\n",
                "Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            ),
            (
                "mime-version: 1.0\r\nContent-type: text/html;\r\ncontent-transfer-encoding: 8bit\r\n",
                "mime-version: 1.0\r\nContent-type: text/html; charset=windows-1252;\r\ncontent-transfer-encoding: quoted-printable\r\n",
            ),
            (
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset*0=ut; charset*1=f-8 (x)\r\nContent-Transfer-Encoding: 7bit\r\n",
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=windows-1252 (x)\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            ),
        ] {
            assert_eq!(converted(header, Some(&new)), expected);
        }
        let flat = converted(
            "MIME-Version: 1.0\r\nContent-Type: TEXT/HTML; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
            Some(&new_text(true)),
        );
        assert!(flat.contains("Content-Type: TEXT/plain; charset=windows-1252\r\n"), "{flat}");
        let flat = converted("Content-Type: text/html (;html)\r\n", Some(&new_text(true)));
        assert!(flat.starts_with("Content-Type: text/plain; charset=windows-1252\r\n"), "{flat}");
    }

    #[test]
    fn fields_that_nobody_reads_stay() {
        for name in UNTOUCHED {
            assert_eq!(converted(&format!("{name}: =?utf-8?Q?=C3=A9?= \u{e9}\r\n"), None), "-", "{name}");
        }
        assert_eq!(
            converted("X-Any: =?utf-8?Q?=C3=A9?=\r\nDate: x\r\n", None),
            "X-Any: =?windows-1252?Q?=E9?=\r\nDate: x\r\n"
        );
        assert_eq!(
            converted("Resent-From: \"\u{e9}\" <a@x>\r\n", None),
            "Resent-From: =?windows-1252?Q?=E9?= <a@x>\r\n"
        );
    }

    #[test]
    fn a_changed_message_is_marked() {
        let marked = marked(b"DKIM-Signature: v=1;\r\n b=x\r\nSubject: a", "note");
        assert_eq!(
            String::from_utf8(marked).unwrap(),
            "X-Original-DKIM-Signature: v=1;\r\n b=x\r\nSubject: a\r\nX-Ostler-Readable: note\r\n"
        );
    }
}
