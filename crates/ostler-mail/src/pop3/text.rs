//! A multi-line answer on its way from a server to its client (RFC 1939, section 3): a message, or a list. This is the one
//! place that sees the octets of a fetched message. They pass unchanged, unless the account says what its client can read.

use super::ahead::Sizes;
use crate::progress::{Listing, Mailbox};
use crate::readable::{Changes, Converter, Extent, Readable};
use crate::wire::DotScanner;
use crate::wire::dots::{Stuff, Unstuff};

/// What a text is, for the progress and the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The message of this number; 0 if the number is unreadable.
    Message(u64),
    /// TOP: the header of a message and so many lines of its body; `None` if the number is unreadable.
    Top(Option<u64>),
    /// LIST: the size of each message.
    Sizes,
    /// UIDL: the unique identifier of each message.
    Identifiers,
    /// Lists that say nothing about the mailbox.
    Other,
}

impl Kind {
    /// How much of a message it is; `None`: of none.
    fn extent(self) -> Option<Extent> {
        match self {
            Self::Message(_) => Some(Extent::Whole),
            Self::Top(lines) => Some(lines.map_or(Extent::Whole, Extent::Lines)),
            Self::Sizes | Self::Identifiers | Self::Other => None,
        }
    }

    /// How many lines of a message the server is asked for, where it is made readable and the client asks for some.
    pub(super) fn lines_to_ask(self) -> Option<u64> {
        self.extent()?.lines_to_ask()
    }
}

#[derive(Debug)]
pub(super) struct Text {
    kind: Kind,
    scanner: DotScanner,
    /// The totals of a list so far.
    listing: Listing,
    /// The sizes in a list so far, if anybody wants to know them.
    sizes: Option<Sizes>,
    /// What makes it readable, as long as that is not done.
    reading: Option<Box<Reading>>,
    changes: Changes,
}

/// What was done with octets of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many belong to the text, counted from the front.
    pub(super) octets: usize,
    /// Whether they end it.
    pub(super) is_end: bool,
}

impl Text {
    pub(super) fn new(kind: Kind, readable: Option<Readable>) -> Self {
        let reading = readable.zip(kind.extent()).map(|(readable, extent)| Box::new(Reading::new(readable, extent)));
        Self {
            kind,
            scanner: DotScanner::default(),
            listing: Listing::default(),
            sizes: None,
            reading,
            changes: Changes::default(),
        }
    }

    /// LIST, of which the sizes are kept too.
    pub(super) fn with_sizes() -> Self {
        Self { sizes: Some(Sizes::default()), ..Self::new(Kind::Sizes, None) }
    }

    /// Whether the next octets do not pass as they are.
    pub(super) fn is_held(&self) -> bool {
        self.reading.is_some()
    }

    /// Takes what the server sent next. Where the text [is held](Self::is_held), `client` gets what leaves in its place.
    pub(super) fn take(&mut self, input: &[u8], client: &mut Vec<u8>) -> Taken {
        let end = self.scanner.scan(input);
        let octets = end.unwrap_or(input.len());
        let text = input.get(..octets).unwrap_or(input);
        match self.kind {
            Kind::Sizes | Kind::Identifiers => {
                let sizes = &mut self.sizes;
                self.listing.count(text, |number, size| {
                    if let Some(sizes) = sizes {
                        sizes.set(number, size);
                    }
                });
            }
            Kind::Message(_) | Kind::Top(_) | Kind::Other => {}
        }
        if let Some(mut reading) = self.reading.take() {
            reading.take(text, client);
            match end {
                Some(_) => self.changes = reading.finish(client),
                None if reading.converter.is_passing() => self.changes = reading.pass(client),
                None => self.reading = Some(reading),
            }
        }
        Taken { octets, is_end: end.is_some() }
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message(_))
    }

    /// The sizes in a list that has ended.
    pub(super) fn into_sizes(self) -> Option<Sizes> {
        self.sizes
    }

    /// What was changed to make it readable, once nothing of it is held.
    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    /// What a list that has ended says about the mailbox.
    pub(super) fn mailbox(&self) -> Option<Mailbox> {
        match self.kind {
            Kind::Sizes => Some(self.listing.mailbox(true)),
            Kind::Identifiers => Some(self.listing.mailbox(false)),
            Kind::Message(_) | Kind::Top(_) | Kind::Other => None,
        }
    }
}

/// Makes a text readable: without its dots, and with them again.
#[derive(Debug)]
struct Reading {
    unstuff: Unstuff,
    converter: Converter,
    stuff: Stuff,
}

impl Reading {
    fn new(readable: Readable, extent: Extent) -> Self {
        Self { unstuff: Unstuff::default(), converter: Converter::new(readable, extent), stuff: Stuff::default() }
    }

    fn take(&mut self, input: &[u8], client: &mut Vec<u8>) {
        let (mut text, mut out) = (Vec::with_capacity(input.len()), Vec::new());
        self.unstuff.take(input, &mut text);
        self.converter.push(&text, &mut out);
        self.stuff.put(&out, client);
    }

    /// The rest passes as it is. A dot that was held back leaves as it came.
    fn pass(self, client: &mut Vec<u8>) -> Changes {
        client.extend_from_slice(self.unstuff.held());
        self.converter.changes()
    }

    fn finish(mut self, client: &mut Vec<u8>) -> Changes {
        let mut out = Vec::new();
        self.converter.finish(&mut out);
        self.stuff.put(&out, client);
        client.extend_from_slice(self.stuff.end().as_bytes());
        self.converter.changes()
    }
}
