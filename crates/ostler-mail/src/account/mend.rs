//! What is mended in the messages that clients send.

/// One thing that old mail programs forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repair {
    /// A Message-ID, where there is none.
    MessageId,
    /// A Date, where there is none.
    Date,
    /// The account's domain, in a From without one.
    FromDomain,
    /// The charset of text in other letters than ASCII, where none or a wrong one is named.
    Charset,
}

impl Repair {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::MessageId, Self::Date, Self::FromDomain, Self::Charset];
    /// The repairs that are made unless the settings say otherwise.
    pub const USUAL: [Self; 2] = [Self::MessageId, Self::Date];

    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageId => "message-id",
            Self::Date => "date",
            Self::FromDomain => "from-domain",
            Self::Charset => "charset",
        }
    }
}
