//! The dots of a dot-terminated text (RFC 1939, section 3; RFC 5321, 4.5.2): taken off where a machine looks into the text,
//! and put on again.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// What is doubled.
static DOT_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));
/// What is doubled or mended.
static BARE_DOT_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n."));

/// Takes the dots off a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unstuff {
    place: Place,
}

/// The place where the octets so far end. A text that is only stuffed is never in the last three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// After CR LF, or at the beginning.
    #[default]
    LineStart,
    Inside,
    /// Inside a line, after a CR.
    Cr,
    /// After a dot at a line start, which is held back.
    Dot,
    /// After that dot and a CR, which are held back.
    DotCr,
    /// After the end of the text.
    End,
}

impl Place {
    /// Whether no line of these octets begins with a dot.
    fn is_plain(self, octets: &[u8]) -> bool {
        let begins_with_dot = match self {
            Self::LineStart => octets.starts_with(b"."),
            Self::Cr => octets.starts_with(b"\n."),
            Self::Inside | Self::Dot | Self::DotCr | Self::End => false,
        };
        !begins_with_dot && DOT_FINDER.find(octets).is_none()
    }

    /// The place behind some octets.
    fn behind(self, octets: &[u8]) -> Self {
        match octets {
            [] => self,
            [.., b'\r', b'\n'] => Self::LineStart,
            [b'\n'] if self == Self::Cr => Self::LineStart,
            [.., b'\r'] => Self::Cr,
            _ => Self::Inside,
        }
    }
}

/// The octets before the next dot at a line start, if the first of them is not one.
fn before_dot(place: Place, rest: &[u8]) -> &[u8] {
    match rest {
        [b'\n', b'.', ..] if place == Place::Cr => &rest[..1],
        _ => DOT_FINDER.find(rest).map_or(rest, |end| &rest[..end + 2]),
    }
}

/// The octets before the next dot behind an LF, if the first of them is not one.
fn before_bare_dot(rest: &[u8]) -> &[u8] {
    BARE_DOT_FINDER.find(rest).map_or(rest, |end| &rest[..=end])
}

impl Unstuff {
    /// Takes the next octets, and appends what they mean. Nothing comes after the end of the text.
    pub(crate) fn take(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(&octet) = rest.first() {
            self.place = match (self.place, octet) {
                (Place::End, _) => return,
                (Place::LineStart, b'.') => Place::Dot,
                (Place::Dot, b'\r') => Place::DotCr,
                (Place::DotCr, b'\n') => Place::End,
                (Place::DotCr, _) => {
                    out.push(b'\r');
                    self.place = Place::Cr;
                    continue;
                }
                (Place::LineStart | Place::Inside | Place::Cr | Place::Dot, _) => {
                    let plain = before_dot(self.place, rest);
                    out.extend_from_slice(plain);
                    rest = &rest[plain.len()..];
                    self.place = self.place.behind(plain);
                    continue;
                }
            };
            rest = &rest[1..];
        }
    }

    /// Whether these octets mean what they are.
    pub(crate) fn is_plain(&self, octets: &[u8]) -> bool {
        let is_inside = matches!(self.place, Place::LineStart | Place::Inside | Place::Cr);
        is_inside && self.place.is_plain(octets)
    }

    /// These octets have passed as they are.
    pub(crate) fn pass(&mut self, octets: &[u8]) {
        self.place = self.place.behind(octets);
    }

    /// The octets that were taken and have not been given, as they were.
    pub(crate) fn held(&self) -> &'static [u8] {
        match self.place {
            Place::Dot => b".",
            Place::DotCr => b".\r",
            Place::LineStart | Place::Inside | Place::Cr | Place::End => b"",
        }
    }
}

/// Puts the dots on a text, or finds that none are missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stuff {
    place: Place,
    /// A bare LF before a dot becomes CR LF.
    mends: bool,
    /// The last octet was a bare LF, which is held back.
    holds_lf: bool,
}

impl Stuff {
    /// For a message that does not come from a POP3 server. A bare LF before a dot gets the CR that it lacks (Dovecot and Courier
    /// give one to every bare LF). Programs that end lines at LF would take the dot for the end of the message; other programs
    /// would keep the second dot.
    pub(crate) fn mending() -> Self {
        Self { mends: true, ..Self::default() }
    }

    /// Whether these octets pass as they are.
    pub(crate) fn is_plain(&self, octets: &[u8]) -> bool {
        if !self.mends {
            return self.place.is_plain(octets);
        }
        let begins_with_dot = self.place == Place::LineStart && octets.starts_with(b".");
        !begins_with_dot && !self.holds_lf && !self.ends_bare(octets) && BARE_DOT_FINDER.find(octets).is_none()
    }

    /// Whether the octets end with a bare LF that may have to be mended.
    fn ends_bare(&self, octets: &[u8]) -> bool {
        let has_cr = octets.ends_with(b"\r\n") || octets == b"\n" && self.place == Place::Cr;
        self.mends && octets.ends_with(b"\n") && !has_cr
    }

    /// These octets have passed as they are.
    pub(crate) fn pass(&mut self, octets: &[u8]) {
        self.place = self.place.behind(octets);
    }

    /// Appends the next octets of a text.
    pub(crate) fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            if std::mem::take(&mut self.holds_lf) {
                let is_mended = rest.starts_with(b".");
                out.extend_from_slice(if is_mended { b"\r\n" } else { b"\n" });
                self.place = if is_mended { Place::LineStart } else { Place::Inside };
            }
            if self.place == Place::LineStart && rest.starts_with(b".") {
                out.push(b'.');
            }
            let plain = if self.mends { before_bare_dot(rest) } else { before_dot(self.place, rest) };
            self.holds_lf = self.ends_bare(plain);
            let said = &plain[..plain.len() - usize::from(self.holds_lf)];
            out.extend_from_slice(said);
            self.pass(said);
            rest = &rest[plain.len()..];
        }
    }

    /// What stands behind the last octet: a line end, if there is none, and the final dot. A bare LF before it is mended, too.
    pub(crate) fn end(&self) -> &'static str {
        if self.place == Place::LineStart && !self.holds_lf { ".\r\n" } else { "\r\n.\r\n" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unstuffed(text: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut unstuff, mut out) = (Unstuff::default(), Vec::new());
        text.chunks(size).for_each(|piece| unstuff.take(piece, &mut out));
        (out, unstuff.held().to_vec())
    }

    fn stuffed(text: &[u8], size: usize) -> Vec<u8> {
        let (mut stuff, mut out) = (Stuff::default(), Vec::new());
        text.chunks(size).for_each(|piece| stuff.put(piece, &mut out));
        out.extend_from_slice(stuff.end().as_bytes());
        out
    }

    /// The same in this way, with what is plain passed as it is.
    fn passed_or_put(mut stuff: Stuff, message: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in message.chunks(size.max(1)) {
            if stuff.is_plain(chunk) {
                out.extend_from_slice(chunk);
                stuff.pass(chunk);
            } else {
                stuff.put(chunk, &mut out);
            }
        }
        out.extend_from_slice(stuff.end().as_bytes());
        out
    }

    fn passed_or_stuffed(message: &[u8], size: usize) -> Vec<u8> {
        let out = passed_or_put(Stuff::default(), message, size);
        assert_eq!(out, stuffed(message, size.max(1)));
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
                let said = passed_or_stuffed(message, size);
                assert_eq!(said.escape_ascii().to_string(), text.escape_ascii().to_string(), "{size}");
            }
        }
    }

    /// The same for a message of an IMAP server.
    fn mended(message: &[u8], size: usize) -> Vec<u8> {
        passed_or_put(Stuff::mending(), message, size)
    }

    #[test]
    fn a_bare_lf_before_a_dot_becomes_a_line_end() {
        for (message, text) in [
            (&b"a\n.\r\nb\r\n"[..], &b"a\r\n..\r\nb\r\n.\r\n"[..]),
            (b"a\n.", b"a\r\n..\r\n.\r\n"),
            (b"\n.", b"\r\n..\r\n.\r\n"),
            (b"a\n\n.b\nc\r\n", b"a\n\r\n..b\nc\r\n.\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b"a\r\n.b\r\r\n.", b"a\r\n..b\r\r\n..\r\n.\r\n"),
            (b".\n.\n", b"..\r\n..\r\n.\r\n"),
            (b"a\nb\n\r\n", b"a\nb\n\r\n.\r\n"),
            (b"\r\n", b"\r\n.\r\n"),
            (b"", b".\r\n"),
        ] {
            for size in 1..=message.len().max(1) {
                assert_eq!(mended(message, size).escape_ascii().to_string(), text.escape_ascii().to_string(), "{size}");
            }
        }
    }

    /// A text as a program reads it that ends lines at this.
    fn read_by_lines(text: &[u8], line_end: &str) -> String {
        let text = text.iter().map(|octet| char::from(*octet)).collect::<String>();
        let (mut message, mut ended) = (String::new(), false);
        for line in text.split_inclusive(line_end) {
            assert!(!ended, "{line:?} is behind the end of {text:?}");
            let bare = line.trim_end_matches(['\r', '\n']);
            ended = bare == "." && line.len() <= 3;
            if !ended {
                message += line.strip_prefix('.').unwrap_or(line);
            }
        }
        assert!(ended, "{text:?}");
        message
    }

    #[test]
    fn dots_go_and_come_where_lines_begin() {
        for (wire, text) in [
            (&b"..a\r\n...\r\n.\r\n"[..], &b".a\r\n..\r\n"[..]),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
            (b".\r\n", b""),
            (b"a\r\n.\r\nbehind", b"a\r\n"),
        ] {
            for size in 1..wire.len() {
                assert_eq!(unstuffed(wire, size), (text.to_vec(), vec![]), "{wire:?}");
                assert!(wire.starts_with(&stuffed(text, size)), "{wire:?}");
            }
        }
        assert_eq!(unstuffed(b".\rx", 1).0, b"\rx");
        assert_eq!(unstuffed(b"a\r\n.", 1), (b"a\r\n".to_vec(), b".".to_vec()));
        assert_eq!(unstuffed(b".\r", 2), (vec![], b".\r".to_vec()));
        assert_eq!(stuffed(b"a", 1), b"a\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn what_was_stuffed_is_unstuffed(text in "[.\r\nx]{0,40}", size in 1..9_usize) {
            let wire = stuffed(text.as_bytes(), size);
            let (out, held) = unstuffed(&wire, size);
            prop_assert!(held.is_empty());
            let end = if text.is_empty() || text.ends_with("\r\n") { "" } else { "\r\n" };
            prop_assert_eq!(out, [text.as_bytes(), end.as_bytes()].concat());
        }

        #[test]
        fn programs_agree_on_a_message_with_bare_line_feeds(
            message in proptest::collection::vec(proptest::sample::select(b"ab..\r\n\n".to_vec()), 0..60),
            size in 1usize..20,
        ) {
            let text = mended(&message, size);
            prop_assert_eq!(&text, &mended(&message, 60));
            prop_assert_eq!(&text, &{
                let (mut stuff, mut out) = (Stuff::mending(), Vec::new());
                stuff.put(&message, &mut out);
                out.extend_from_slice(stuff.end().as_bytes());
                out
            });
            let (strict, lenient) = (read_by_lines(&text, "\r\n"), read_by_lines(&text, "\n"));
            prop_assert_eq!(&strict, &lenient);
            let without_ends = |text: &str| text.replace(['\r', '\n'], "");
            let message: String = message.iter().map(|octet| char::from(*octet)).collect();
            prop_assert_eq!(without_ends(&strict), without_ends(&message), "nothing but line ends is changed");
        }

        #[test]
        fn the_client_reads_the_message_whatever_is_in_it(
            message in proptest::collection::vec(proptest::sample::select(b"ab.\r\n\0".to_vec()), 0..60),
            size in 1usize..20,
        ) {
            let text = passed_or_stuffed(&message, size);
            prop_assert_eq!(&text, &passed_or_stuffed(&message, message.len()));
            let mut scanner = crate::wire::DotScanner::default();
            prop_assert_eq!(scanner.scan(&text), Some(text.len()), "one end, at the end");
            // As RFC 1939 has it: lines, of which a dot at the beginning is taken off.
            let body = &text[..text.len() - 3];
            let mut read = Vec::new();
            let mut stuff = Stuff::default();
            for octet in body {
                if stuff.place == Place::LineStart && *octet == b'.' {
                    stuff.place = Place::Inside;
                } else {
                    read.push(*octet);
                    stuff.pass(&[*octet]);
                }
            }
            let has_end = message.is_empty() || message.ends_with(b"\r\n");
            let wanted = if has_end { message.clone() } else { [&message[..], b"\r\n"].concat() };
            prop_assert_eq!(read, wanted);
        }
    }
}
