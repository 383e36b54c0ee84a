//! A multi-line answer on its way from a server to its client (RFC 1939, section 3): a message, or a list. This is the one
//! place that sees the octets of a fetched message, and they pass unchanged.

use super::ahead::Sizes;
use crate::progress::{Listing, Mailbox};
use crate::wire::DotScanner;

/// What a text is, for the progress and the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The message of this number; 0 if the number is unreadable.
    Message(u64),
    /// LIST: the size of each message.
    Sizes,
    /// UIDL: the unique identifier of each message.
    Identifiers,
    /// TOP, which is a part of a message, and lists that say nothing about the mailbox.
    Other,
}

#[derive(Debug)]
pub(super) struct Text {
    kind: Kind,
    scanner: DotScanner,
    /// The totals of a list so far.
    listing: Listing,
    /// The sizes in a list so far, if anybody wants to know them.
    sizes: Option<Sizes>,
}

impl Text {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, scanner: DotScanner::default(), listing: Listing::default(), sizes: None }
    }

    /// LIST, of which the sizes are kept too.
    pub(super) fn with_sizes() -> Self {
        Self { sizes: Some(Sizes::default()), ..Self::new(Kind::Sizes) }
    }

    /// Looks at what the server sent next. Returns how many octets of it belong to the text, and whether they end it.
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        let end = self.scanner.scan(input);
        let octets = end.unwrap_or(input.len());
        match self.kind {
            Kind::Sizes | Kind::Identifiers => {
                let sizes = &mut self.sizes;
                self.listing.count(&input[..octets], |number, size| {
                    if let Some(sizes) = sizes {
                        sizes.set(number, size);
                    }
                });
            }
            Kind::Message(_) | Kind::Other => {}
        }
        (octets, end.is_some())
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message(_))
    }

    /// The sizes in a list that has ended.
    pub(super) fn into_sizes(self) -> Option<Sizes> {
        self.sizes
    }

    /// What a list that has ended says about the mailbox.
    pub(super) fn mailbox(&self) -> Option<Mailbox> {
        match self.kind {
            Kind::Sizes => Some(self.listing.mailbox(true)),
            Kind::Identifiers => Some(self.listing.mailbox(false)),
            Kind::Message(_) | Kind::Other => None,
        }
    }
}
