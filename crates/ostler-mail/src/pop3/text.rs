//! A text under way from a server to its client (RFC 1939, section 3): a message, or an answer of many lines. This is the
//! one place that sees the octets of a message on its way in, and they pass unchanged.

use crate::progress::{Listing, Mailbox};
use crate::wire::DotScanner;

/// What a text is, for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The message of this number; 0 where the number cannot be read.
    Message(u64),
    /// A line for each message, with its size.
    Sizes,
    /// A line for each message, with its unique identifier.
    Identifiers,
    /// TOP, and lists that say nothing about the mailbox.
    Other,
}

#[derive(Debug)]
pub(super) struct Text {
    kind: Kind,
    scanner: DotScanner,
    /// What a list has said so far.
    listing: Listing,
}

impl Text {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, scanner: DotScanner::default(), listing: Listing::default() }
    }

    /// Looks at what the server sent next: how many octets of it belong to the text, and whether they end it.
    pub(super) fn take(&mut self, input: &[u8]) -> (usize, bool) {
        let end = self.scanner.scan(input);
        let octets = end.unwrap_or(input.len());
        match self.kind {
            Kind::Sizes | Kind::Identifiers => self.listing.pass(input.get(..octets).unwrap_or(input)),
            Kind::Message(_) | Kind::Other => {}
        }
        (octets, end.is_some())
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message(_))
    }

    /// What a list has told about the mailbox, once it has ended.
    pub(super) fn mailbox(&self) -> Option<Mailbox> {
        match self.kind {
            Kind::Sizes => Some(self.listing.mailbox(true)),
            Kind::Identifiers => Some(self.listing.mailbox(false)),
            Kind::Message(_) | Kind::Other => None,
        }
    }
}
