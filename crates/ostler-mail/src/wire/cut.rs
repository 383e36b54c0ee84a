//! Where TOP ends a message (RFC 1939, section 7): behind its header and some lines.

use memchr::memchr;

/// Finds where the answer to TOP ends: behind the header, the empty line and the lines that the client asks for.
#[derive(Debug)]
pub(crate) struct Cut {
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
    /// Cuts behind the header and this many lines.
    pub(crate) fn after(lines: u64) -> Self {
        Self { left: None, lines, line: LineSoFar::Nothing }
    }

    /// The cut has been reached.
    pub(crate) fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// How many of these octets belong to the answer.
    pub(crate) fn take(&mut self, octets: &[u8]) -> usize {
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
    use super::*;

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
}
