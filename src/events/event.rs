//! One thing that happened, as a value: [`Event`]. Every part of the program reports through it.
//!
//! Not here: who is told ([`crate::events`]), and the words of a log line, an entry of the journal or a notice.

use std::net::SocketAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use ostler_mail::account::{Access, Door, Protocol};
use ostler_mail::client_fault::{ClientMisconfiguration, Misuse};
use ostler_mail::failure::Failure;

/// Names a client's connection while it lasts.
pub type SessionId = u64;

/// One thing that happened. Never holds a secret or the content of a message.
#[derive(Debug)]
pub enum Event {
    /// The settings were read, at start or later.
    Settings {
        /// The accounts' names.
        accounts: Vec<String>,
        /// Who may come in.
        access: Access,
        /// Whether others were in force before.
        again: bool,
    },
    /// A changed settings file is wrong; the last good one stays in force.
    SettingsWrong(Vec<String>),
    /// Something in the settings to think about.
    Warning(String),
    /// A door is open.
    DoorOpen(Door, SocketAddr),
    /// A door cannot be opened now; why.
    DoorShut(Door, String),
    /// A door is gone from the settings.
    DoorRemoved(Door),
    /// A client came.
    Began(SessionId, Protocol, SocketAddr),
    /// It is known whose session it is.
    Named(SessionId, String),
    /// The client has signed in.
    SignedIn(SessionId),
    /// The client's settings are wrong somewhere; it may go on.
    Slipped(SessionId, ClientMisconfiguration),
    /// What the session is doing now.
    Doing(SessionId, &'static str),
    /// The client has gone.
    Ended(SessionId),
    /// A client was not let in; why.
    ClientRejected(Protocol, SocketAddr, String),
    /// A client did something no mail program does.
    Misused(SessionId, Misuse),
    /// ostler logged in to open the gate.
    GateOpened {
        /// The account's name.
        account: String,
        /// Where.
        server: String,
        /// What became of it.
        how: &'static str,
    },
    /// The gate was shut at first and a message went through all the same.
    GateHealed {
        /// The account's name.
        account: String,
        /// How many new connections it took.
        tries: usize,
    },
    /// A client's session at the provider is over.
    Fetched {
        /// The account's name.
        account: String,
        /// Messages fetched whole.
        messages: u64,
        /// Octets of all texts.
        octets: u64,
    },
    /// The provider took a message.
    Sent {
        /// The account's name.
        account: String,
        /// Recipients it took it for.
        recipients: usize,
        /// Octets of the body.
        octets: u64,
    },
    /// The provider did not take it, or nobody knows.
    NotSent {
        /// The account's name.
        account: String,
        /// The provider's words, or ostler's.
        why: String,
    },
    /// Something went wrong for an account, or before it was known whose.
    Failed(Option<String>, Failure),
    /// All servers of an account were tried because the user wanted it.
    Checked {
        /// The account's name.
        account: String,
        /// What does not work, in words, with what to do about it; `None`: everything works.
        trouble: Option<(String, Failure)>,
    },
    /// No new sessions until resumed.
    Paused,
    /// New sessions again.
    Resumed,
    /// ostler ends; so many sessions are in the middle of a message.
    Stopping(usize),
}

/// The words for a provider's refusal of a message.
pub(crate) fn not_sent(why: &str) -> String {
    format!("a message was not sent: {why}")
}

/// The time now in UTC, as JSON documents have it.
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
