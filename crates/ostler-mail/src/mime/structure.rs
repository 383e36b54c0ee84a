//! The parts of a message, found while it arrives, line by line. Only the beginning of a message is looked at: a text part
//! counts if it begins in the first [`WINDOW_OCTETS`] and is not longer than [`MAX_PART_OCTETS`]. So memory is bounded, and
//! how a message is cut into pieces on its way changes nothing.

use std::ops::Range;

use memchr::memchr;

use super::field::{Field, fields, single};
use super::parameters::Parsed;
use super::transfer::Encoding;

/// A part that begins further back than this is not looked at.
pub(crate) const WINDOW_OCTETS: usize = 64 * 1024;
/// A text longer than this is not looked at. Most newsletters are shorter, most logs and tables are not.
pub(crate) const MAX_PART_OCTETS: usize = 256 * 1024;
/// A line longer than this ends the search. Mail has lines of at most 998 octets (RFC 5322, 2.1.1); some programs put a whole
/// text on one.
const MAX_LINE_OCTETS: usize = 64 * 1024;
/// Parts inside parts, no deeper than this.
const MAX_DEPTH: usize = 20;

/// What a text part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextPart {
    pub(crate) is_html: bool,
    /// The label of its charset, lower case; `None` if it has none.
    pub(crate) charset: Option<String>,
    pub(crate) encoding: Encoding,
}

/// What a header says of the body behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entity {
    /// Parts between lines with this boundary.
    Multipart {
        boundary: Vec<u8>,
        is_digest: bool,
    },
    Text(TextPart),
    /// Everything else, and everything that may not be touched: files, signed and encrypted parts, messages in messages, and what
    /// does not read cleanly.
    Opaque,
}

/// A part of a message, the message itself among them. The ranges are places in the octets so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The header, without the empty line behind it.
    pub(crate) header: Range<usize>,
    /// The text that may be changed, without the line end that belongs to the boundary behind it. Only of a text that is there
    /// as a whole.
    pub(crate) text: Option<(TextPart, Range<usize>)>,
}

/// Whether there is more to find.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// The next octets may matter.
    GoesOn,
    /// Whatever follows is passed on as it is.
    IsOver,
}

#[derive(Debug)]
enum State {
    /// In a header that begins here; whether a part without a type is a message there.
    Header {
        start: usize,
        in_digest: bool,
    },
    /// In the text of the last part found, whose body begins here.
    Text {
        part: TextPart,
        start: usize,
    },
    /// In a body that is not looked at, or between parts.
    Passing,
    Over,
}

/// The search for parts in one message.
#[derive(Debug)]
pub(crate) struct Structure {
    state: State,
    /// The boundaries of the multiparts around this place, the innermost last.
    around: Vec<(Vec<u8>, bool)>,
    /// In the order in which they begin.
    parts: Vec<Part>,
    /// Where the line begins that has not ended yet.
    line_start: usize,
    /// Up to here no line end was found behind it.
    searched: usize,
}

impl Default for Structure {
    fn default() -> Self {
        Self {
            state: State::Header { start: 0, in_digest: false },
            around: Vec::new(),
            parts: Vec::new(),
            line_start: 0,
            searched: 0,
        }
    }
}

impl Structure {
    /// The parts found, in the order of the message. The first is the message itself, if its header is there and clean.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Looks at what has arrived: `octets` are all of the message so far.
    pub(crate) fn look(&mut self, octets: &[u8]) -> Search {
        // The end of a text on the wire was perhaps looked at, and is no part of the message.
        self.searched = self.searched.min(octets.len());
        while let Some(found) = memchr(b'\n', &octets[self.searched..]) {
            let end = self.searched + found + 1;
            if self.is_far_enough() || end - self.line_start > MAX_LINE_OCTETS {
                self.state = State::Over;
                return Search::IsOver;
            }
            self.line(octets, self.line_start..end);
            (self.line_start, self.searched) = (end, end);
            if matches!(self.state, State::Over) {
                return Search::IsOver;
            }
        }
        self.searched = octets.len();
        // A line without an end, too: memory is bounded whatever comes.
        if self.is_far_enough() || self.searched - self.line_start > MAX_LINE_OCTETS {
            self.state = State::Over;
            return Search::IsOver;
        }
        Search::GoesOn
    }

    /// The message has ended: `octets` are all of it.
    pub(crate) fn finish(&mut self, octets: &[u8]) {
        if self.line_start < octets.len() && !matches!(self.state, State::Over) && !self.is_far_enough() {
            self.line(octets, self.line_start..octets.len());
        }
        match std::mem::replace(&mut self.state, State::Over) {
            // A header without a body.
            State::Header { start: 0, .. } => drop(self.end_header(octets, 0, octets.len(), false)),
            // The end of the message ends a text that is in no multipart. In a multipart the boundary is missing.
            State::Text { part, start } if self.around.is_empty() => self.end_text(part, start..octets.len()),
            State::Header { .. } | State::Text { .. } | State::Passing | State::Over => {}
        }
    }

    /// Whether nothing that begins at this line is looked at.
    fn is_far_enough(&self) -> bool {
        match &self.state {
            State::Text { start, .. } => self.line_start - start > MAX_PART_OCTETS,
            State::Header { .. } | State::Passing => self.line_start >= WINDOW_OCTETS,
            State::Over => true,
        }
    }

    fn line(&mut self, octets: &[u8], line: Range<usize>) {
        if self.is_boundary(octets, &line) {
            return;
        }
        let State::Header { start, in_digest } = self.state else { return };
        let text = octets[line.clone()].strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        if text == Some(b"") {
            self.state = match self.end_header(octets, start, line.start, in_digest) {
                // With the same boundary as a multipart around it, it would be unclear whose parts follow.
                Entity::Multipart { boundary, is_digest }
                    if self.around.len() < MAX_DEPTH && !self.around.iter().any(|(around, _)| *around == boundary) =>
                {
                    self.around.push((boundary, is_digest));
                    State::Passing
                }
                Entity::Text(part) => State::Text { part, start: line.end },
                Entity::Multipart { .. } | Entity::Opaque => State::Passing,
            };
            if matches!(self.state, State::Passing) && self.around.is_empty() {
                self.state = State::Over;
            }
        }
    }

    /// Keeps a header as a part without a text, and says what its body is.
    fn end_header(&mut self, octets: &[u8], start: usize, end: usize, in_digest: bool) -> Entity {
        let Some(fields) = fields(&octets[start..end]) else { return Entity::Opaque };
        self.parts.push(Part { header: start..end, text: None });
        classify(&fields, in_digest).unwrap_or(Entity::Opaque)
    }

    fn end_text(&mut self, part: TextPart, body: Range<usize>) {
        if let Some(last) = self.parts.last_mut() {
            last.text = Some((part, body));
        }
    }

    /// Takes a line that ends parts of a multipart, and perhaps begins the next one.
    fn is_boundary(&mut self, octets: &[u8], line: &Range<usize>) -> bool {
        let Some(rest) = octets[line.clone()].strip_prefix(b"--") else { return false };
        let ends = |(boundary, _): &(Vec<u8>, bool)| {
            let rest = rest.strip_prefix(boundary.as_slice())?;
            let (rest, is_last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
            rest.trim_ascii().is_empty().then_some(is_last)
        };
        let found = self.around.iter().enumerate().rev().find_map(|(at, around)| Some((at, ends(around)?)));
        let Some((at, is_last)) = found else { return false };
        let is_own = at + 1 == self.around.len();
        match std::mem::replace(&mut self.state, State::Passing) {
            // Only the boundary of the part's own multipart ends it cleanly.
            State::Text { part, start } if is_own => {
                let before = &octets[start..line.start];
                let text = before.strip_suffix(b"\n").map_or(before, |text| text.strip_suffix(b"\r").unwrap_or(text));
                self.end_text(part, start..start + text.len());
            }
            State::Header { .. } | State::Text { .. } | State::Passing | State::Over => {}
        }
        self.around.truncate(at + usize::from(!is_last));
        self.state = match self.around.last() {
            None => State::Over,
            Some(_) if is_last => State::Passing,
            Some((_, in_digest)) => State::Header { start: line.end, in_digest: *in_digest },
        };
        true
    }
}

/// What the fields of a header say of its body; `None` if they say nothing that makes sense.
fn classify(fields: &[Field<'_>], in_digest: bool) -> Option<Entity> {
    let kind = single(fields, "content-type").ok()?;
    let encoding = match single(fields, "content-transfer-encoding").ok()? {
        Some(field) => Encoding::parse(field.value)?,
        None => Encoding::Identity,
    };
    let Some(kind) = kind else {
        let plain = TextPart { is_html: false, charset: None, encoding };
        return Some(if in_digest || is_file(fields, None)? { Entity::Opaque } else { Entity::Text(plain) });
    };
    let kind = Parsed::parse(kind.value)?;
    let is_html = match kind.word.as_str() {
        "multipart/signed" | "multipart/encrypted" => return Some(Entity::Opaque),
        word if word.starts_with("multipart/") => {
            let boundary =
                kind.get("boundary").filter(|boundary| !boundary.is_empty() && encoding == Encoding::Identity)?;
            return Some(Entity::Multipart { boundary, is_digest: word == "multipart/digest" });
        }
        "text/plain" => false,
        "text/html" => true,
        _ => return Some(Entity::Opaque),
    };
    let charset = if kind.has("charset") {
        Some(String::from_utf8(kind.get("charset")?).ok()?.to_ascii_lowercase())
    } else {
        None
    };
    let is_file = is_file(fields, Some(&kind))?;
    Some(if is_file { Entity::Opaque } else { Entity::Text(TextPart { is_html, charset, encoding }) })
}

/// Whether a part is a file, and no text to be shown. Apple Mail calls text files inline, so a name is enough.
fn is_file(fields: &[Field<'_>], kind: Option<&Parsed>) -> Option<bool> {
    let has_name = kind.is_some_and(|kind| kind.has("name"));
    let Some(field) = single(fields, "content-disposition").ok()? else { return Some(has_name) };
    let disposition = Parsed::parse(field.value)?;
    Some(has_name || disposition.word != "inline" || disposition.has("filename"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The texts of the parts that may be changed, and how many headers there are.
    fn texts(message: &[u8], size: usize) -> (Vec<String>, usize) {
        let mut structure = Structure::default();
        let mut at = 0;
        while at < message.len() {
            at = message.len().min(at + size);
            if structure.look(&message[..at]) == Search::IsOver {
                break;
            }
        }
        if at == message.len() {
            structure.finish(message);
        }
        let texts = structure.parts().iter().filter_map(|part| part.text.as_ref());
        let texts = texts.map(|(_, body)| String::from_utf8_lossy(&message[body.clone()]).into_owned());
        (texts.collect(), structure.parts().len())
    }

    fn of(message: &str) -> Vec<String> {
        texts(message.as_bytes(), usize::MAX / 2).0
    }

    const ALTERNATIVE: &str = "Content-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n--out\r\n\
        Content-Type: multipart/alternative; boundary=\"in\"\r\n\r\n--in\r\n\r\nplain\r\n--in \r\nContent-Type: text/html\r\n\r\n<p>\r\n\r\n\
        --in--\r\nepilogue\r\n--out\r\nContent-Type: text/plain; name=a.txt\r\n\r\nfile\r\n--out\r\nContent-Disposition: inline\r\n\r\n\
        --out--\r\n--out\r\n\r\nno part\r\n";

    #[test]
    fn texts_are_found_in_parts_inside_parts() {
        assert_eq!(texts(ALTERNATIVE.as_bytes(), 7), (vec!["plain".into(), "<p>\r\n".into(), String::new()], 6));
        assert_eq!(of("Subject: a\r\n\r\nbody\r\n"), ["body\r\n"]);
        assert_eq!(of("Subject: a\r\n\r\n"), [""]);
        assert_eq!(texts(b"Subject: a\r\n", 3), (vec![], 1));
    }

    #[test]
    fn what_may_not_be_touched_is_no_text() {
        for header in [
            "Content-Type: image/png",
            "Content-Type: text/plain; name=x",
            "Content-Disposition: attachment",
            "Content-Type: text/plain\r\nContent-Disposition: inline; filename*=x''y",
            "Content-Type: multipart/mixed",
            "Content-Transfer-Encoding: x-uuencode",
            "Content-Type: text/plain\r\nContent-Type: text/plain",
            "Content-Type: message/rfc822",
            "Content-Type: text/calendar",
            "Content-Type: text/plain; charset=a; charset=b",
            "no field",
        ] {
            assert_eq!(of(&format!("{header}\r\n\r\nbody\r\n")), [""; 0], "{header}");
        }
        let signed = "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\ntext\r\n--s\r\nContent-Type: x/y\r\n\r\n--s--\r\n";
        assert_eq!(of(signed), [""; 0]);
        let digest = "Content-Type: multipart/digest; boundary=s\r\n\r\n--s\r\n\r\nSubject: a\r\n\r\nb\r\n--s--\r\n";
        assert_eq!(of(digest), [""; 0]);
    }

    #[test]
    fn a_part_that_its_own_boundary_does_not_end_is_not_whole() {
        let inner_open = "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\na\r\n--o\r\n\r\nb\r\n";
        assert_eq!(of(inner_open), [""; 0]);
        assert_eq!(of(&format!("{inner_open}--o--\r\n")), ["b"]);
    }

    #[test]
    fn what_begins_late_or_is_long_is_passed_on() {
        let long = |octets: usize| "x\r\n".repeat(octets / 3);
        let message = |before: usize, text: usize| {
            format!(
                "Content-Type: multipart/mixed; boundary=o\r\n\r\n{}--o\r\n\r\n{}\r\n--o--\r\n",
                long(before),
                long(text)
            )
        };
        assert_eq!(of(&message(60_000, 200_000)).len(), 1);
        assert_eq!(of(&message(66_000, 10)).len(), 0);
        assert_eq!(of(&message(0, 300_000)).len(), 0);
        assert_eq!(of(&format!("a: b\r\n\r\n{}", "x".repeat(70_000))).len(), 0);
        assert_eq!(of(&format!("{}\r\n\r\ntext", "a: b\r\n".repeat(12_000))).len(), 0);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(size in 1..40_usize, cuts in prop::collection::vec((0..ALTERNATIVE.len(), any::<char>()), 0..6)) {
            let mut message = ALTERNATIVE.to_owned();
            for (at, letter) in cuts {
                if message.is_char_boundary(at) {
                    message.insert(at, letter);
                }
            }
            prop_assert_eq!(texts(message.as_bytes(), size), texts(message.as_bytes(), usize::MAX / 2));
        }
    }
}
