//! A message as a POP3 text (RFC 1939, section 3): dots at the beginning of a line are doubled, and a line end and a dot stand
//! at its end. Nothing else changes. TOP ends it after its header and some lines.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

/// What is doubled.
static DOT_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

/// The place in a line where the octets so far end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Right behind CR LF, or at the beginning of the text.
    #[default]
    LineStart,
    /// Behind a CR.
    Cr,
    Inside,
}

/// The octets of a message on their way into a text.
#[derive(Debug, Default)]
pub(super) struct Stuffing {
    place: Place,
}

impl Stuffing {
    /// Whether these octets pass as they are.
    pub(super) fn is_plain(&self, octets: &[u8]) -> bool {
        let begins_with_dot = match self.place {
            Place::LineStart => octets.starts_with(b"."),
            Place::Cr => octets.starts_with(b"\n."),
            Place::Inside => false,
        };
        !begins_with_dot && DOT_FINDER.find(octets).is_none()
    }

    /// These octets have passed as they are.
    pub(super) fn pass(&mut self, octets: &[u8]) {
        self.place = match octets {
            [] => self.place,
            [.., b'\r', b'\n'] => Place::LineStart,
            [b'\n'] if self.place == Place::Cr => Place::LineStart,
            [.., b'\r'] => Place::Cr,
            _ => Place::Inside,
        };
    }

    /// Puts these octets, with dots doubled, behind `out`.
    pub(super) fn stuff(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while let Some(octet) = rest.first() {
            if self.place == Place::LineStart && *octet == b'.' {
                out.push(b'.');
            }
            // Up to the next line.
            let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            out.extend_from_slice(&rest[..end]);
            self.pass(&rest[..end]);
            rest = &rest[end..];
        }
    }

    /// What stands behind the last octet of the message: its line end, if it has none, and the final dot.
    pub(super) fn end(&self) -> &'static str {
        match self.place {
            Place::LineStart => ".\r\n",
            Place::Cr | Place::Inside => "\r\n.\r\n",
        }
    }
}

/// Finds where the answer to TOP ends: behind the header, the empty line and so many lines.
#[derive(Debug)]
pub(super) struct Cut {
    /// Lines of the body that are left; `None` in the header.
    left: Option<u64>,
    lines: u64,
    line: LineSoFar,
}

/// What the line holds so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LineSoFar {
    #[default]
    Nothing,
    /// A CR, which may belong to its end.
    Cr,
    More,
}

impl Cut {
    /// The header and so many lines.
    pub(super) fn after(lines: u64) -> Self {
        Self { left: None, lines, line: LineSoFar::Nothing }
    }

    /// The cut has been reached.
    pub(super) fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// How many of these octets belong to the answer.
    pub(super) fn take(&mut self, octets: &[u8]) -> usize {
        let mut at = 0;
        while at < octets.len() && !self.is_reached() {
            let line = memchr(b'\n', &octets[at..]).map_or(&octets[at..], |end| &octets[at..=at + end]);
            at += line.len();
            self.line = match (self.line, line.strip_suffix(b"\n").unwrap_or(line)) {
                (so_far, b"") => so_far,
                (LineSoFar::Nothing, b"\r") => LineSoFar::Cr,
                _ => LineSoFar::More,
            };
            if line.ends_with(b"\n") {
                let is_empty = std::mem::take(&mut self.line) != LineSoFar::More;
                self.left = match self.left {
                    None => is_empty.then_some(self.lines),
                    Some(left) => Some(left - 1),
                };
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The message as a text, handed over in chunks of this size.
    fn stuffed(message: &[u8], size: usize) -> Vec<u8> {
        let (mut stuffing, mut out) = (Stuffing::default(), Vec::new());
        for chunk in message.chunks(size.max(1)) {
            if stuffing.is_plain(chunk) {
                out.extend_from_slice(chunk);
                stuffing.pass(chunk);
            } else {
                stuffing.stuff(chunk, &mut out);
            }
        }
        out.extend_from_slice(stuffing.end().as_bytes());
        out
    }

    #[test]
    fn only_dots_at_the_beginning_of_a_line_are_doubled() {
        for (message, text) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".a\r\n..b\r\n.\r\n", b"..a\r\n...b\r\n..\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
            // A bare LF ends no line.
            (b"a\n.b\r\n", b"a\n.b\r\n.\r\n"),
            (b"\n.", b"\n.\r\n.\r\n"),
        ] {
            for size in 1..=message.len().max(1) {
                let said = stuffed(message, size);
                assert_eq!(said.escape_ascii().to_string(), text.escape_ascii().to_string(), "{size}");
            }
        }
    }

    #[test]
    fn top_ends_behind_the_lines_that_are_asked_for() {
        let message = b"A: b\r\nC: d\r\n\r\none\r\n\r\nthree\r\nfour";
        for (lines, end) in [(0, 14), (1, 19), (2, 21), (3, 28), (4, message.len()), (u64::MAX, message.len())] {
            for size in 1..=message.len() {
                let mut cut = Cut::after(lines);
                let taken: usize = message.chunks(size).map(|chunk| cut.take(chunk)).sum();
                assert_eq!((taken, cut.is_reached()), (end, lines < 4), "{lines} {size}");
            }
        }
        let mut header_only = Cut::after(0);
        assert_eq!(header_only.take(b"A: b\r\nC: d\r\n"), 12);
        assert!(!header_only.is_reached());
        let mut headless = Cut::after(1);
        assert_eq!(headless.take(b"\r\nx\r\ny"), 5);
    }

    proptest! {
        #[test]
        fn the_client_reads_the_message_whatever_is_in_it(
            message in proptest::collection::vec(proptest::sample::select(b"ab.\r\n\0".to_vec()), 0..60),
            size in 1usize..20,
        ) {
            let text = stuffed(&message, size);
            prop_assert_eq!(&text, &stuffed(&message, message.len()));
            let mut scanner = crate::wire::DotScanner::default();
            prop_assert_eq!(scanner.scan(&text), Some(text.len()), "one end, at the end");
            // As RFC 1939 has it: lines, of which a dot at the beginning is taken off.
            let body = &text[..text.len() - 3];
            let mut read = Vec::new();
            let mut stuffing = Stuffing::default();
            for octet in body {
                if stuffing.place == Place::LineStart && *octet == b'.' {
                    stuffing.place = Place::Inside;
                } else {
                    read.push(*octet);
                    stuffing.pass(&[*octet]);
                }
            }
            let has_end = message.is_empty() || message.ends_with(b"\r\n");
            let wanted = if has_end { message.clone() } else { [&message[..], b"\r\n"].concat() };
            prop_assert_eq!(read, wanted);
        }
    }
}
