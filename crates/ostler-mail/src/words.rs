//! What ostler says to a client it sends away. Each protocol has its own words for it: `pop3/words.rs`, `smtp/words.rs`.

use crate::client_fault::Misuse;

/// Why a client is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The user has paused ostler.
    Paused,
    /// This many clients are served already.
    Full(usize),
    /// ostler is about to end.
    Stopping,
    /// The settings do not let it in; why.
    Stranger(String),
}

/// The last line a client of one protocol reads, CR LF included, where ostler ends the connection.
pub trait Words: Sync {
    /// The client did something that no mail program does.
    fn misuse(&self, misuse: &Misuse) -> String;
    /// The client may not come in.
    fn not_admitted(&self, why: &NotAdmitted) -> String;
    /// The client said nothing for too long.
    fn timed_out(&self) -> String;
    /// ostler is about to end.
    fn stopping(&self) -> String;
}
