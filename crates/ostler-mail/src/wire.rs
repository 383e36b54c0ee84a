//! Octets on the wire, for every protocol: lines, the end of a dot-terminated text, the body of an outgoing message. Each
//! machine gives the same result however its input is cut into pieces.
//!
//! Not here: the words of a protocol.

pub(crate) mod cut;
pub(crate) mod dots;

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2, memchr3};
use wide::u8x16;

/// The longest command line taken from a client, without its line end. RFC 5321 says 512 and RFC 1939 says 255, but old
/// clients send longer ones; AUTH has a limit of its own.
pub const MAX_COMMAND_LINE_OCTETS: usize = 4096;
/// The longest line of an authentication exchange (RFC 4954, section 4).
pub(crate) const MAX_AUTH_LINE_OCTETS: usize = 12_288;
/// The longest reply line taken from a provider. RFC 5321 says 512; real servers exceed it in refusals.
pub const MAX_REPLY_LINE_OCTETS: usize = 4096;
/// The most lines of one reply. Real replies have about twenty; the limit bounds a hostile server.
pub const MAX_REPLY_LINES: usize = 200;
/// The longest reply line, CR LF included, that every client of the 1990s can take (RFC 5321, 4.5.3.1.5).
pub const MAX_CLIENT_REPLY_OCTETS: usize = 512;

/// A line without its line end. It holds no LF and is no longer than the limit it was read with. Octets, not text, because
/// mail may be 8-bit.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Vec<u8>);

impl Line {
    /// Makes a line of octets that did not come from a connection, such as a transcript's. LFs are left out.
    pub fn new(text: &[u8]) -> Self {
        Self(text.iter().copied().filter(|b| *b != b'\n').collect())
    }

    /// The octets without the line end.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is free of NUL and CR, which no command and no status line may hold.
    pub fn is_clean(&self) -> bool {
        memchr2(0, b'\r', &self.0).is_none()
    }

    /// The line as [`printable`] text, for people and for replies.
    pub fn printable(&self) -> String {
        printable(&self.0)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.printable())
    }
}

/// Appends octets as they stand in a form or in the query of a URL: everything but the unreserved characters of RFC 3986, 2.3,
/// is encoded, which makes of an octet three at most.
pub fn percent_encode(octets: &[u8], out: &mut String) {
    for octet in octets {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(octet) {
            out.push(char::from(*octet));
        } else {
            out.push('%');
            out.push_str(&hex(&[*octet]).to_uppercase());
        }
    }
}

/// Octets as printable ASCII: a tab becomes a blank, everything else that is not printable a question mark.
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

/// Octets as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A line is longer than its limit, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line longer than {0} octets")]
pub struct TooLong(pub usize);

/// Takes the first line off the front of `buffer`, or returns `None` while it is incomplete. LF ends a line, and a CR before
/// it belongs to the line end. A buffer without LF that is already longer than `limit` is an error at once.
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
        // Drop the allocation: an idle connection holds no buffer.
        *buffer = Vec::new();
    } else {
        buffer.drain(..=end);
    }
    Ok(Some(line))
}

/// Finds the end (CR LF `.` CR LF, RFC 1939 section 3) of a dot-terminated text that passes unchanged. A bare LF is content.
/// The text begins right after a line end, so `.` CR LF alone is an empty text.
#[derive(Debug, Clone)]
pub struct DotScanner {
    /// The number of octets of [`END`] with which the input so far ends.
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
    /// Scans the next octets. Returns the offset just behind the end of the text if these octets hold it.
    pub fn scan(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        // The end may have begun in octets that are gone, so the first ones are taken one by one.
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
        // The end may begin in the last octets and go on in the next ones.
        let keep = (1..END.len()).rev().find(|&n| input[at..].ends_with(&END[..n]));
        if at < input.len() {
            self.matched = keep.unwrap_or(0);
        }
        None
    }

    /// Knuth-Morris-Pratt for this one pattern: after a mismatch only a CR can begin it anew.
    fn step(&mut self, octet: u8) {
        self.matched = if END[self.matched] == octet { self.matched + 1 } else { usize::from(octet == b'\r') };
    }
}

/// The body of an outgoing message on its way from a client to a provider. It is unstuffed, bare CR and LF become CR LF,
/// NUL is taken out, and it is stuffed again, in this order, so that no server on the way can see an end of data that the
/// client did not mean (SMTP smuggling, CVE-2023-51764 and others; mail has no NUL, RFC 5322, 4, and some servers drop it).
/// Nothing else changes: a body without bare CR, bare LF or NUL comes out as it went in.
#[derive(Debug, Clone, Default)]
pub struct Body {
    state: BodyState,
    /// How many NUL octets were taken out.
    nuls: u64,
    /// The number of octets ahead that are read line by line, because the block check has already failed on them. Repeating
    /// the check after each line would read a whole block for every line.
    by_lines: usize,
}

/// The size of the blocks that are checked in one go, in octets. Reading line by line costs four times as much.
const BLOCK: usize = 1024;

/// Whether a block that begins inside a line has only CR LF line ends, no dot after one, and no NUL. In vectors of its own:
/// packages are built for size, where the compiler makes none, and octet by octet a body costs three times the processor time.
fn is_plain(block: &[u8]) -> bool {
    looked_at(block.len());
    let (firsts, _) = block.as_chunks();
    let (seconds, rest) = block[1..].as_chunks();
    let odd = firsts.iter().zip(seconds).fold(u8x16::ZERO, |odd, (&first, &second)| {
        let (first, second) = (u8x16::new(first), u8x16::new(second));
        let are = |octets: u8x16, octet| octets.simd_eq(u8x16::splat(octet));
        odd | (are(first, b'\r') ^ are(second, b'\n')) | are(first, b'\n') & are(second, b'.') | are(second, 0)
    });
    // The pairs that fill no vector; the first one begins with the last octet of the last vector.
    let mut pairs = block[block.len() - rest.len() - 1..].windows(2);
    odd == u8x16::ZERO
        && !matches!(block[0], 0 | b'\n')
        && pairs.all(|pair| (pair[0] == b'\r') == (pair[1] == b'\n') && pair != b"\n." && pair[1] != 0)
}

#[cfg(test)]
thread_local! {
    /// What [`looked_at`] has counted on this thread.
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the octets that were read, in tests only: a hostile client must not be able to make the same octets cost a
/// thousand times the work.
fn looked_at(octets: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get() + octets);
    #[cfg(not(test))]
    let _ = octets;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum BodyState {
    /// After the client's CR LF, or at the beginning: a dot is the client's stuffing or the end.
    #[default]
    LineStart,
    /// After a CR LF that was made of a bare CR or LF, or after a NUL at a line start: a dot is content.
    MadeLineStart,
    /// Inside a line.
    Inside,
    /// Inside a line, after a CR that is held back.
    Cr,
    /// After the client's CR LF and a dot that is held back.
    Dot,
    /// After the client's CR LF and a dot and a CR that are held back.
    DotCr,
    /// After CR LF `.` CR LF, which has been passed on.
    End,
}

impl Body {
    /// Whether the client has ended the body.
    pub fn is_complete(&self) -> bool {
        self.state == BodyState::End
    }

    /// How many NUL octets were taken out so far.
    pub fn nuls(&self) -> u64 {
        self.nuls
    }

    /// Consumes the octets at the front of `input` that pass unchanged and returns their number.
    pub fn take_unchanged(&mut self, input: &[u8]) -> usize {
        let (mut at, mut state) = (0, self.state);
        let mut by_lines = self.by_lines;
        loop {
            match state {
                BodyState::LineStart => match &input[at..] {
                    [b'.', b'\r', b'\n', ..] => (at, state) = (at + 3, BodyState::End),
                    [b'.', b'.', ..] => (at, state) = (at + 2, BodyState::Inside),
                    [] | [b'.' | 0, ..] => break,
                    _ => state = BodyState::Inside,
                },
                BodyState::MadeLineStart => match input.get(at) {
                    None | Some(b'.' | 0) => break,
                    Some(_) => state = BodyState::Inside,
                },
                BodyState::Inside => {
                    if let Some(block) = input[at..].get(..BLOCK).filter(|_| at >= by_lines) {
                        if is_plain(block) {
                            match block.last() {
                                Some(b'\n') => (at, state) = (at + BLOCK, BodyState::LineStart),
                                // Looked at again, together with the LF that may follow.
                                Some(b'\r') => at += BLOCK - 1,
                                _ => at += BLOCK,
                            }
                            continue;
                        }
                        by_lines = at + BLOCK;
                    }
                    let Some(end) = memchr3(b'\r', b'\n', 0, &input[at..]) else {
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

    /// Consumes octets one by one until the rest can pass unchanged again, or the body or the input ends. Appends what
    /// leaves to `out` and returns the number of octets consumed.
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
            // The CR held back was a bare one, so a dot before it was the client's stuffing.
            (Cr | DotCr, _) => {
                out.extend_from_slice(b"\r\n");
                self.state = MadeLineStart;
                return self.step(octet, out);
            }
            // Left out. Before it the dot held back was the client's stuffing; a dot after it was not at a line start for the
            // client, and is at one now.
            (LineStart | MadeLineStart | Dot, 0) => {
                self.nuls += 1;
                MadeLineStart
            }
            (Inside, 0) => {
                self.nuls += 1;
                Inside
            }
            (_, b'\r') => Cr,
            (_, b'\n') => {
                out.extend_from_slice(b"\r\n");
                MadeLineStart
            }
            // After a line end that the client did not mean, a dot is stuffed; after one that it meant, it is stuffed
            // already.
            (MadeLineStart | Dot, b'.') => {
                out.extend_from_slice(b"..");
                Inside
            }
            // After `Dot`, the dot held back is left out, as every server would do (RFC 5321, 4.5.2).
            (LineStart | MadeLineStart | Dot | Inside, _) => {
                out.push(octet);
                Inside
            }
        };
    }
}

#[cfg(test)]
mod tests;
