//! The dots of a dot-terminated text (RFC 1939, section 3; RFC 5321, 4.5.2): taken off where a machine looks into the text,
//! and put on again.

use memchr::memchr;

/// Takes the dots off a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unstuff {
    place: Place,
}

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
                    let (line, place) = self.line(rest);
                    out.extend_from_slice(line);
                    rest = &rest[line.len()..];
                    self.place = place;
                    continue;
                }
            };
            rest = &rest[1..];
        }
    }

    /// The octets up to the end of the line, and the place behind them.
    fn line<'a>(&self, rest: &'a [u8]) -> (&'a [u8], Place) {
        match memchr(b'\n', rest) {
            Some(0) => (&rest[..1], if self.place == Place::Cr { Place::LineStart } else { Place::Inside }),
            Some(end) => (&rest[..=end], if rest[end - 1] == b'\r' { Place::LineStart } else { Place::Inside }),
            None => (rest, if rest.ends_with(b"\r") { Place::Cr } else { Place::Inside }),
        }
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

/// Puts the dots on a text.
#[derive(Debug, Clone)]
pub(crate) struct Stuff {
    is_line_start: bool,
    is_behind_cr: bool,
}

impl Default for Stuff {
    fn default() -> Self {
        Self { is_line_start: true, is_behind_cr: false }
    }
}

impl Stuff {
    /// Appends the next octets of a text.
    pub(crate) fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            if self.is_line_start && rest[0] == b'.' {
                out.push(b'.');
            }
            let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = &rest[..end];
            out.extend_from_slice(line);
            self.is_line_start = line.ends_with(b"\r\n") || (line == b"\n" && self.is_behind_cr);
            self.is_behind_cr = line.ends_with(b"\r");
            rest = &rest[end..];
        }
    }

    /// Appends the end of the text.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_line_start { b".\r\n" } else { b"\r\n.\r\n" });
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
        stuff.end(&mut out);
        out
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
    }
}
