//! What ostler says when something fails or it ends a client's connection. Each protocol has words of its own for it:
//! `pop3/words.rs`, `smtp/words.rs`.

use crate::client_fault::Misuse;
use crate::failure::Failure;

/// Why a client is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The user has paused ostler.
    Paused,
    /// ostler serves this many clients already, and no more.
    Full(usize),
    /// The client's computer has this many connections already, and gets no more.
    Crowded(usize),
    /// ostler is shutting down.
    Stopping,
    /// The settings do not let this client in; the text says why.
    Stranger(String),
}

/// Replies in one protocol, CR LF included. After all but that to a failure, ostler closes the connection.
pub trait Words: Sync {
    /// What the client wanted of its provider has failed.
    fn failure(&self, failure: &Failure) -> String;
    /// The client did something that no mail program does.
    fn misuse(&self, misuse: &Misuse) -> String;
    /// The client is not admitted.
    fn not_admitted(&self, why: &NotAdmitted) -> String;
    /// The client was silent for too long.
    fn timed_out(&self) -> String;
    /// ostler is shutting down.
    fn stopping(&self) -> String;
}
