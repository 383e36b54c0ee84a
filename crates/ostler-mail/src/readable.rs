//! Mail of today for a program of yesterday: texts and header fields in the charset that it reads. The original stays at the
//! provider; what is changed here is what the client sees of it.
//!
//! [`Converter`] takes the octets of one message as they arrive and gives the octets for the client. It works on the beginning
//! of a message, which it holds back (at most 64 KiB and one text); what follows passes as it is. How the message is cut into
//! pieces changes nothing, and what does not read cleanly stays as it is, so no fetch fails for it.
//!
//! Not here: dots and the end of a text on the wire, which are POP3's.

pub(crate) mod charset;
pub(crate) mod header;
mod html;
mod likeness;
mod names;
mod profile;
mod text;
pub(crate) mod words;

use std::ops::Range;

use memchr::memchr_iter;

use crate::mime::edited;
use crate::mime::structure::{Part, Search, Structure};
use crate::wire::cut::Cut;
pub use profile::{PROFILES, Profile, Readable};

/// What was changed in one message, or in a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The charsets that something was in, in the order in which they were found.
    sources: Vec<String>,
    /// How many letters are there only in likeness.
    pub(crate) approximated: u64,
}

impl Tally {
    fn add_source(&mut self, label: &str) {
        if !self.sources.iter().any(|known| known == label) {
            self.sources.push(label.to_owned());
        }
    }

    fn add(&mut self, other: &Self) {
        other.sources.iter().for_each(|label| self.add_source(label));
        self.approximated += other.approximated;
    }
}

/// How many messages were made readable, and how many of their letters are there only in likeness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages in which anything was changed.
    pub messages: u64,
    /// Letters that the charset does not have.
    pub approximated: u64,
}

impl Changes {
    /// Adds what was changed in more messages.
    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.approximated += other.approximated;
    }
}

/// How much of a message the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The header and at most so many lines of the body (TOP, RFC 1939, section 7). The client gets the beginning of what it
    /// would get of the whole message.
    Lines(u64),
}

/// What becomes of a header depends on the texts behind it, so at least so many lines of a body are looked at. In the usual
/// lines of 76 octets this is the part of a message in which anything is changed.
const LINES_LOOKED_AT: u64 = 4096;

impl Extent {
    /// How many lines of the body the server is asked for; `None`: all.
    pub fn lines_to_ask(self) -> Option<u64> {
        match self {
            Self::Whole => None,
            Self::Lines(lines) => Some(lines.max(LINES_LOOKED_AT)),
        }
    }
}

/// Makes one message readable while it passes.
#[derive(Debug)]
pub struct Converter {
    readable: Readable,
    extent: Extent,
    structure: Structure,
    /// What has arrived and not left.
    held: Vec<u8>,
    /// The beginning has left, and with it all that is changed.
    has_left: bool,
    /// Where the client's part of the message ends, if that is before its end.
    cut: Option<Cut>,
    changes: Changes,
}

impl Converter {
    /// The message begins.
    pub fn new(readable: Readable, extent: Extent) -> Self {
        Self {
            readable,
            extent,
            structure: Structure::default(),
            held: Vec::new(),
            has_left: false,
            cut: match extent {
                Extent::Whole => None,
                Extent::Lines(lines) => Some(Cut::after(lines)),
            },
            changes: Changes::default(),
        }
    }

    /// Whether everything that follows passes as it is, and nothing is held back.
    pub fn is_passing(&self) -> bool {
        self.has_left && self.cut.is_none()
    }

    /// What was changed so far. A message is counted when its beginning leaves.
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// Takes the next octets, and appends those for the client to `out`.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if self.has_left {
            out.extend_from_slice(&octets[..self.wanted(octets)]);
            return;
        }
        self.held.extend_from_slice(octets);
        if self.structure.look(&self.held) == Search::IsOver {
            self.release(false, out);
        }
    }

    /// The message has ended. What is held back leaves.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.has_left {
            self.structure.finish(&self.held);
            let goes_on = self.extent.lines_to_ask().is_some_and(|lines| self.body_lines() >= lines);
            self.release(goes_on, out);
        }
        self.cut = None;
    }

    /// How many of the next octets are the client's.
    fn wanted(&mut self, octets: &[u8]) -> usize {
        self.cut.as_mut().map_or(octets.len(), |cut| cut.take(octets))
    }

    /// How many lines of the body are there.
    fn body_lines(&self) -> u64 {
        let body = self.structure.parts().first().map_or(0, |message| message.header.end);
        let lines = memchr_iter(b'\n', &self.held[body..]).count() as u64;
        // The empty line behind the header.
        lines.saturating_sub(1)
    }

    /// `goes_on`: the message may go on behind what has arrived, and will not come.
    fn release(&mut self, goes_on: bool, out: &mut Vec<u8>) {
        self.has_left = true;
        let held = std::mem::take(&mut self.held);
        let structure = std::mem::take(&mut self.structure);
        let wanted = self.wanted(&held);
        match Message::new(&held, structure.parts(), &self.readable).converted(goes_on) {
            Some((edits, approximated)) => {
                self.changes = Changes { messages: 1, approximated };
                out.extend_from_slice(&edited(&held[..wanted], &cut_off(&held, wanted, edits)));
            }
            None => out.extend_from_slice(&held[..wanted]),
        }
    }
}

/// The edits of the first `wanted` octets. A text that goes on behind them gives as many lines of the new one as they have of
/// the old one.
fn cut_off(octets: &[u8], wanted: usize, edits: Vec<Edit>) -> Vec<Edit> {
    let cut = |(place, mut new): Edit| {
        if place.end > wanted {
            let lines = memchr_iter(b'\n', &octets[place.start..wanted]).count();
            let end = memchr_iter(b'\n', &new).nth(lines.saturating_sub(1)).map_or(new.len(), |end| end + 1);
            new.truncate(if lines == 0 { 0 } else { end });
        }
        (place.start..place.end.min(wanted), new)
    };
    edits.into_iter().take_while(|(place, _)| place.start < wanted).map(cut).collect()
}

/// The place of octets, and what stands there in the end.
type Edit = (Range<usize>, Vec<u8>);

/// The beginning of a message with its parts.
struct Message<'a> {
    octets: &'a [u8],
    parts: &'a [Part],
    readable: &'a Readable,
    /// What stands in the place of which octets, in order.
    edits: Vec<Edit>,
    tally: Tally,
}

impl<'a> Message<'a> {
    fn new(octets: &'a [u8], parts: &'a [Part], readable: &'a Readable) -> Self {
        Self { octets, parts, readable, edits: Vec::new(), tally: Tally::default() }
    }

    /// What changes, and how many letters are approximated. `None`: nothing has to change, or the message has no clean header.
    fn converted(mut self, is_cut: bool) -> Option<(Vec<Edit>, u64)> {
        let top = self.parts.first().filter(|part| part.header.start == 0)?;
        let texts = || self.parts.iter().filter_map(|part| part.text.as_ref());
        let is_alone = !texts().any(|(text, _)| !text.is_html);
        let mut first = None;
        for part in self.parts {
            let new = part.text.as_ref().and_then(|(text, body)| {
                text::convert(text, &self.octets[body.clone()], self.readable, is_alone, is_cut)
            });
            let is_top = part.header.start == 0;
            let header = header::convert(&self.octets[part.header.clone()], new.as_ref(), is_top, self.readable);
            if let Some((header, tally)) = header {
                self.tally.add(&tally);
                if is_top { first = Some(header) } else { self.edits.push((part.header.clone(), header)) }
            }
            if let (Some(new), Some((_, body))) = (new, &part.text) {
                self.tally.approximated += new.approximated;
                new.source.iter().for_each(|source| self.tally.add_source(source));
                self.edits.push((body.clone(), self.with_line_end(new.body, body)));
            }
        }
        if first.is_none() && self.edits.is_empty() {
            return None;
        }
        let header = first.unwrap_or_else(|| self.octets[top.header.clone()].to_vec());
        let header = header::marked(&header, &self.note());
        self.edits.insert(0, (top.header.clone(), header));
        Some((self.edits, self.tally.approximated))
    }

    /// The text with a line end behind it where it has one now: a message on its own ends a line, whatever its encoding.
    fn with_line_end(&self, mut text: Vec<u8>, place: &Range<usize>) -> Vec<u8> {
        if self.octets[place.clone()].ends_with(b"\n") && !text.is_empty() && !text.ends_with(b"\n") {
            text.extend_from_slice(b"\r\n");
        }
        text
    }

    /// What the message says of the change.
    fn note(&self) -> String {
        let what = if self.tally.sources.is_empty() {
            format!("for {}", self.readable.name)
        } else {
            format!("{} to {}", self.tally.sources.join(", "), self.readable.charset())
        };
        let plural = if self.tally.approximated == 1 { "" } else { "s" };
        format!("{what}; {} character{plural} approximated", self.tally.approximated)
    }
}

#[cfg(test)]
mod tests;
