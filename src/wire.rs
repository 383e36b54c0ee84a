//! Octets on the wire, for every protocol: lines, the end of a dot-terminated text, the body of an outgoing
//! message. No sockets and no protocol words; each machine gives the same result however its input was cut.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

/// The longest command line taken from a client, in octets without its end. RFC 5321 says 512 and RFC 1939 says
/// 255, but old clients pass long folder names and header words; AUTH has its own limit.
pub const COMMAND_LINE: usize = 4096;
/// The longest line of an authentication exchange (RFC 4954, section 4: 12288 octets).
pub const AUTH_LINE: usize = 12_288;
/// The longest reply line taken from a provider; RFC 5321 says 512, real servers exceed it in refusals.
pub const REPLY_LINE: usize = 4096;
/// The most lines one reply may have. Only bounds a hostile server.
pub const REPLY_LINES: usize = 200;
/// What a client of the 1990s surely takes as one reply line, its CR LF included (RFC 5321, 4.5.3.1.5).
pub const CLIENT_REPLY: usize = 512;

/// A line without its end: no LF, and at most as long as its limit. Octets, because mail is 8-bit.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Vec<u8>);

impl Line {
    /// A line made here, for instance of a transcript.
    pub fn new(text: &[u8]) -> Self {
        Self(text.iter().copied().filter(|b| *b != b'\n').collect())
    }

    /// The octets.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it holds a NUL or a CR inside: nothing a command or a status line may hold.
    pub fn is_clean(&self) -> bool {
        memchr2(0, b'\r', &self.0).is_none()
    }

    /// The line for people and for replies: printable ASCII, everything else a question mark.
    pub fn printable(&self) -> String {
        printable(&self.0)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.printable())
    }
}

/// Octets as printable ASCII; everything else becomes a question mark, a tab a blank.
pub fn printable(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&b| match b {
            b'\t' => ' ',
            b' '..=b'~' => b as char,
            _ => '?',
        })
        .collect()
}

/// A line longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line longer than {0} octets")]
pub struct TooLong(pub usize);

/// Takes the first line off the front of `buffer`: `None` while it is incomplete. LF ends a line and a CR before it
/// belongs to the end; a buffer without LF that is longer than `limit` is an error now, not later.
pub fn take_line(buffer: &mut Vec<u8>, limit: usize) -> Result<Option<Line>, TooLong> {
    let Some(end) = memchr(b'\n', buffer) else {
        return if buffer.len() > limit + 1 { Err(TooLong(limit)) } else { Ok(None) };
    };
    let text = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
    if text.len() > limit {
        return Err(TooLong(limit));
    }
    let line = Line(text.to_vec());
    if end + 1 == buffer.len() {
        // An idle connection owns no buffer.
        *buffer = Vec::new();
    } else {
        buffer.drain(..=end);
    }
    Ok(Some(line))
}

/// Finds the end of a dot-terminated text (CR LF `.` CR LF, RFC 1939 section 3) that passes by unchanged. A lone LF
/// is content. The text begins right after a line, so `.` CR LF alone is the empty text.
#[derive(Debug, Clone)]
pub struct DotScanner {
    /// How many octets of [`END`] the input so far ends with.
    matched: usize,
}

const END: &[u8] = b"\r\n.\r\n";

static END_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

impl Default for DotScanner {
    fn default() -> Self {
        Self { matched: 2 }
    }
}

impl DotScanner {
    /// Looks at the next octets; the offset just behind the end of the text, if it is in them.
    pub fn scan(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while self.matched > 0 && at < input.len() {
            self.step(input[at]);
            at += 1;
            if self.matched == END.len() {
                return Some(at);
            }
        }
        if let Some(found) = END_FINDER.find(&input[at..]) {
            return Some(at + found + END.len());
        }
        let keep = (1..END.len()).rev().find(|&n| input[at..].ends_with(&END[..n]));
        if at < input.len() {
            self.matched = keep.unwrap_or(0);
        }
        None
    }

    /// Knuth, Morris and Pratt for the one pattern: after a mismatch, a CR may begin it anew, and CR LF `.` CR is
    /// also CR.
    fn step(&mut self, octet: u8) {
        self.matched = if END[self.matched] == octet { self.matched + 1 } else { usize::from(octet == b'\r') };
    }
}

/// The body of an outgoing message on its way from a client to a provider: takes the client's dot stuffing out, turns
/// bare CR and LF into CR LF, and stuffs again, in this order, so that no server on the way can see an end of data
/// that the client did not mean (SMTP smuggling, CVE-2023-51764 and its kin). Nothing else is changed, and a body
/// without bare CR or LF comes out as it went in.
#[derive(Debug, Clone, Default)]
pub struct Body {
    state: BodyState,
    /// So many octets ahead are gone through by lines, for they were looked at as a block that is not plain: to do so again
    /// behind each line of it would cost a block for every line.
    by_lines: usize,
}

/// How much of a body is looked at in one go: line by line costs four times as much.
const BLOCK: usize = 1024;

/// Whether a block from the inside of a line on has whole line ends only, and no dot behind one. Without a branch, so
/// that the compiler makes vector instructions of it.
fn is_plain(block: &[u8]) -> bool {
    looked_at(block.len());
    let pairs = block.iter().zip(&block[1..]);
    let odd = pairs.fold(0, |odd, (&first, &second)| {
        odd | (u8::from(first == b'\r') ^ u8::from(second == b'\n'))
            | u8::from(first == b'\n') & u8::from(second == b'.')
    });
    odd == 0 && block[0] != b'\n'
}

/// So many octets of a body were looked at for the next that is not plain. Only the tests count: a client must not be able
/// to make this work a thousand times as hard with the same octets.
fn looked_at(octets: usize) {
    #[cfg(test)]
    tests::LOOKED_AT.set(tests::LOOKED_AT.get() + octets);
    #[cfg(not(test))]
    let _ = octets;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum BodyState {
    /// After the client's CR LF (or at the beginning): a dot is the client's stuffing or the end.
    #[default]
    LineStart,
    /// After a line end that only exists since bare CR or LF became CR LF: a dot is content.
    MadeLineStart,
    /// Inside a line.
    Inside,
    /// A CR not passed on yet, inside a line.
    Cr,
    /// A dot after the client's CR LF, not passed on yet.
    Dot,
    /// A dot and a CR after the client's CR LF, neither passed on yet.
    DotCr,
    /// CR LF . CR LF has been seen and passed on.
    End,
}

impl Body {
    /// Whether the client has ended the body.
    pub fn is_complete(&self) -> bool {
        self.state == BodyState::End
    }

    /// How many octets at the front of `input` pass unchanged. They count as seen.
    pub fn take_unchanged(&mut self, input: &[u8]) -> usize {
        let (mut at, mut state) = (0, self.state);
        let mut by_lines = self.by_lines;
        loop {
            match state {
                BodyState::LineStart => match &input[at..] {
                    [b'.', b'\r', b'\n', ..] => (at, state) = (at + 3, BodyState::End),
                    [b'.', b'.', ..] => (at, state) = (at + 2, BodyState::Inside),
                    [] | [b'.', ..] => break,
                    _ => state = BodyState::Inside,
                },
                BodyState::MadeLineStart => match input.get(at) {
                    None | Some(b'.') => break,
                    Some(_) => state = BodyState::Inside,
                },
                BodyState::Inside => {
                    if let Some(block) = input[at..].get(..BLOCK).filter(|_| at >= by_lines) {
                        if is_plain(block) {
                            match block.last() {
                                Some(b'\n') => (at, state) = (at + BLOCK, BodyState::LineStart),
                                Some(b'\r') => at += BLOCK - 1,
                                _ => at += BLOCK,
                            }
                            continue;
                        }
                        by_lines = at + BLOCK;
                    }
                    let Some(end) = memchr2(b'\r', b'\n', &input[at..]) else {
                        looked_at(input.len() - at);
                        at = input.len();
                        break;
                    };
                    looked_at(end);
                    at += end;
                    if !input[at..].starts_with(b"\r\n") {
                        break;
                    }
                    (at, state) = (at + 2, BodyState::LineStart);
                }
                BodyState::Cr | BodyState::Dot | BodyState::DotCr | BodyState::End => break,
            }
        }
        self.state = state;
        self.by_lines = by_lines.saturating_sub(at);
        at
    }

    /// Takes octets one by one until the rest can pass unchanged again, the body ends or the input does; how many
    /// were taken. What leaves is appended to `out`.
    pub fn take_changed(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        for (at, &octet) in input.iter().enumerate() {
            if self.state == BodyState::End || (at > 0 && self.state == BodyState::Inside) {
                self.by_lines = self.by_lines.saturating_sub(at);
                return at;
            }
            self.step(octet, out);
        }
        self.by_lines = self.by_lines.saturating_sub(input.len());
        input.len()
    }

    fn step(&mut self, octet: u8, out: &mut Vec<u8>) {
        use BodyState::{Cr, Dot, DotCr, End, Inside, LineStart, MadeLineStart};
        self.state = match (self.state, octet) {
            (End, _) => End,
            (LineStart, b'.') => Dot,
            (Dot, b'\r') => DotCr,
            (Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                LineStart
            }
            (DotCr, b'\n') => {
                out.extend_from_slice(b".\r\n");
                End
            }
            // The CR held back was a bare one, and with it the dot before it was stuffing.
            (Cr | DotCr, _) => {
                out.extend_from_slice(b"\r\n");
                self.state = MadeLineStart;
                return self.step(octet, out);
            }
            (_, b'\r') => Cr,
            (_, b'\n') => {
                out.extend_from_slice(b"\r\n");
                MadeLineStart
            }
            (MadeLineStart | Dot, b'.') => {
                out.extend_from_slice(b"..");
                Inside
            }
            (LineStart | MadeLineStart | Dot | Inside, _) => {
                out.push(octet);
                Inside
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// What [`looked_at`] has counted on this thread.
        pub(super) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn a_body_of_dots_is_no_more_work_than_any_other() {
        // Each octet is looked at once in its block, and once more behind it by lines where that is not plain.
        const TIMES: usize = 2;
        let plain = [&[b'x'; 70][..], b"\r\n"].concat();
        // At the end of a block, so that all of it was looked at before it is known not to be plain.
        let late = [plain.repeat(14), b"..\r\n".to_vec(), b"x\n".to_vec()].concat();
        let kinds: [&[u8]; 9] = [b"..\r\n", b"x\n", b"\r", b"\n", b".\n", b"\r\n", b"x\r.\r\n..\n", &plain, &late];
        for kind in kinds {
            for size in [50_000, 100_000, 200_000] {
                let text = kind.repeat(size / kind.len());
                // As the octets come: in one piece, as the relay reads them, and a few at a time.
                for chunk in [text.len(), 16 * 1024, 1500, 7] {
                    LOOKED_AT.set(0);
                    let (_, _, taken) = body(&text.chunks(chunk).collect::<Vec<_>>());
                    assert_eq!(taken, text.len());
                    let looked_at = LOOKED_AT.get();
                    assert!(looked_at <= TIMES * text.len() + BLOCK, "{looked_at} of {size}: {kind:?} by {chunk}");
                }
            }
        }
        assert!(LOOKED_AT.get() > 0, "nobody counts");
    }

    fn lines(chunks: &[&[u8]], limit: usize) -> Result<Vec<Line>, TooLong> {
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = take_line(&mut buffer, limit)? {
                found.push(line);
            }
        }
        Ok(found)
    }

    fn body(chunks: &[&[u8]]) -> (Vec<u8>, bool, usize) {
        let (mut machine, mut out, mut taken) = (Body::default(), Vec::new(), 0);
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() && !machine.is_complete() {
                let same = machine.take_unchanged(rest);
                out.extend_from_slice(&rest[..same]);
                let changed = machine.take_changed(&rest[same..], &mut out);
                assert!(same + changed > 0, "no progress");
                taken += same + changed;
                rest = &rest[same + changed..];
            }
        }
        (out, machine.is_complete(), taken)
    }

    /// Counts ends of data under every reading any server is known to have: a dot between two line ends, where CR, LF
    /// and CR LF are all line ends.
    fn ends(bytes: &[u8]) -> usize {
        let is_end = |b: u8| b == b'\r' || b == b'\n';
        bytes.windows(3).filter(|w| is_end(w[0]) && w[1] == b'.' && is_end(w[2])).count()
    }

    #[test]
    fn a_bare_lf_ends_a_line_and_a_bare_cr_does_not() {
        let found = lines(&[b"QUIT\nNO", b"OP\r\na\rb\r\n"], 10).unwrap();
        assert_eq!(found, [Line::new(b"QUIT"), Line::new(b"NOOP"), Line::new(b"a\rb")]);
        assert!(!found[2].is_clean());
    }

    #[test]
    fn a_line_over_its_limit_is_an_error_before_its_end_arrives() {
        assert_eq!(lines(&[b"123456789012"], 10), Err(TooLong(10)));
        assert_eq!(lines(&[b"12345678901\r\n"], 10), Err(TooLong(10)));
        assert_eq!(lines(&[b"1234567890\r\n"], 10).unwrap().len(), 1);
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_text() {
        assert_eq!(DotScanner::default().scan(b".\r\n"), Some(3));
        assert_eq!(DotScanner::default().scan(b"a\n.\nb\r\n..\r\n.\r\n+OK"), Some(14));
        assert_eq!(DotScanner::default().scan(b"a\n.\r\nb\r.\r\n"), None);
    }

    #[test]
    fn a_tidy_body_passes_unchanged() {
        for tidy in [&b".\r\n"[..], b"a\r\n.\r\n", b"..\r\n...x\r\nFrom me \r\n\r\n\r\n.\r\n", b"\xe4\0\xff\r\n.\r\n"] {
            let (out, complete, taken) = body(&[tidy]);
            assert_eq!((out.as_slice(), complete, taken), (tidy, true, tidy.len()));
        }
    }

    #[test]
    fn what_follows_the_end_is_not_taken() {
        assert_eq!(body(&[b"a\r\n.\r\nQUIT\r\n"]), (b"a\r\n.\r\n".to_vec(), true, 6));
    }

    #[test]
    fn smuggled_ends_become_content() {
        for (sent, wanted) in [
            (&b"a\n.\nb\r\n.\r\n"[..], &b"a\r\n..\r\nb\r\n.\r\n"[..]),
            (b"a\n.\r\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n"),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n"),
            (b"a\r.\rb\r\n.\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\n\r\n.\r\n"),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\n\r\n.\r\n"),
            (b".x\r\n.\r\n", b"x\r\n.\r\n"),
        ] {
            assert_eq!(body(&[sent]).0, wanted, "{}", printable(sent));
        }
    }

    /// Octets in which line ends and dots are common.
    fn dotty() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"\r\n.a\0\xff".to_vec()), 0..80)
    }

    /// Octets in which there is much between line ends and dots.
    fn long() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec!["\r\n", "\r\n.", "\r\n..", "\r", "\n", "."]);
        prop::collection::vec((0usize..BLOCK, piece), 0..12).prop_map(|pieces| {
            pieces.into_iter().map(|(n, piece)| "x".repeat(n) + piece).collect::<String>().into_bytes()
        })
    }

    fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut chunks = Vec::new();
        for cut in cuts {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = after;
        }
        chunks.push(rest.to_vec());
        chunks
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_cuts(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
            let chunks = cut(&bytes, &cuts);
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(lines(&chunks, 200), lines(&[&bytes], 200));
        }

        #[test]
        fn the_end_of_a_text_does_not_depend_on_the_cuts(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
            let whole = DotScanner::default().scan(&bytes);
            let plain = [b"\r\n".as_slice(), &bytes].concat().windows(END.len()).position(|w| w == END).map(|p| p + 3);
            prop_assert_eq!(whole, plain);
            let (mut scanner, mut before, mut found) = (DotScanner::default(), 0, None);
            for chunk in cut(&bytes, &cuts) {
                if let Some(end) = scanner.scan(&chunk) {
                    found = Some(before + end);
                    break;
                }
                before += chunk.len();
            }
            prop_assert_eq!(found, whole);
        }

        #[test]
        fn a_body_has_one_end_under_every_reading(bytes in dotty(), cuts in prop::collection::vec(0usize..9, 0..20)) {
            let sent = [&bytes, b"\r\n.\r\n".as_slice()].concat();
            let (out, complete, taken) = body(&[&sent]);
            prop_assert!(complete);
            prop_assert_eq!(ends(&[b"\r\n".as_slice(), &out].concat()), 1);
            prop_assert_eq!(&body(&[&out]).0, &out, "normalising twice changes nothing");
            let chunks = cut(&sent, &cuts);
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(body(&chunks), (out, complete, taken));
        }

        #[test]
        fn a_body_is_the_same_in_blocks_and_in_small_pieces(bytes in long()) {
            let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
            prop_assert_eq!(body(&[&bytes]), body(&pieces));
        }
    }
}
