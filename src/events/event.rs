//! One thing that happened, as a value: [`Event`]. Every part of the program reports through it.
//!
//! Not here: where events go ([`crate::events`]), and the words of a log line, a journal entry or a notice.

use std::net::SocketAddr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use ostler_mail::account::mend::Repair;
use ostler_mail::account::{Access, Door, Protocol};
use ostler_mail::client_fault::{ClientMisconfiguration, Misuse};
use ostler_mail::clock::UnixTime;
use ostler_mail::failure::Failure;
use ostler_mail::readable::Changes;

/// The number of a client's connection.
pub(crate) type SessionId = u64;

/// One thing that happened. Never holds a secret or the content of a message: events reach the log, the history file and
/// the report that users send to strangers.
#[derive(Debug)]
pub(crate) enum Event {
    /// The settings are in force, from the start or in place of earlier ones.
    SettingsApplied {
        accounts: Vec<String>,
        access: Access,
        /// False at the start.
        is_reload: bool,
    },
    /// A changed settings file is wrong, with one line per mistake; the last good settings stay in force.
    SettingsRejected(Vec<String>),
    /// Something the user should know and can do without: a risky setting, a history that cannot be saved.
    Warning(String),
    /// A door was opened; the address is the one it is bound to, also where the settings say port 0.
    DoorOpened(Door, SocketAddr),
    /// A door cannot be opened, and why. It is tried again.
    DoorUnavailable(Door, String),
    /// A door was closed, because it is no longer in the settings.
    DoorRemoved(Door),
    /// A client was let in.
    SessionStarted(SessionId, Protocol, SocketAddr),
    /// It is known which account a session is for.
    AccountChosen(SessionId, String),
    /// The client has signed in at its door.
    ClientSignedIn(SessionId),
    /// Something is set wrongly in the mail program at this address; the session goes on.
    ClientMisconfigured(SessionId, SocketAddr, ClientMisconfiguration),
    /// A session does something else now, in words for the status.
    SessionStateChanged(SessionId, &'static str),
    /// The session is over.
    SessionEnded(SessionId),
    /// A client was not let in, and why.
    ClientRejected(Protocol, SocketAddr, String),
    /// The client at this address did something no mail program does, and was disconnected.
    ClientMisbehaved(SessionId, SocketAddr, Misuse),
    /// ostler logged in by POP to open the gate; `how` says in words what came of it.
    GateLoginMade {
        account: String,
        server: String,
        how: &'static str,
    },
    /// The provider refused a message at first because the gate was shut, and took it after `tries` new connections.
    GateOpenedLate {
        account: String,
        tries: usize,
    },
    /// A client's POP session at the provider is over. `octets` counts the text of all messages, also of partly fetched ones.
    Fetched {
        account: String,
        messages: u64,
        octets: u64,
        /// What was changed to make them readable.
        changes: Changes,
    },
    /// The provider took a message for this many recipients.
    Sent {
        account: String,
        recipients: usize,
        octets: u64,
    },
    /// A message was mended on its way to the provider.
    Mended {
        account: String,
        repairs: Vec<Repair>,
    },
    /// The provider refused a message, or the connection broke before it answered. `why` is its words, or ostler's.
    NotSent {
        account: String,
        why: String,
    },
    /// The provider refused one recipient of a message, which may still go to others. `why` is its words.
    RecipientRefused {
        account: String,
        why: String,
    },
    /// Something went wrong for an account, or before the account was known.
    Failed(Option<String>, Failure),
    /// Every server of an account was tried, because the user asked for it. `trouble` is what does not work, with what to do about it; `None`:
    /// everything works.
    AccountChecked {
        account: String,
        trouble: Option<(String, Failure)>,
    },
    /// The user has signed in at the company that gives out the account's tokens.
    SignedIn(String),
    /// That company has given new tokens for old ones.
    TokensRenewed(String),
    /// The user has signed out there.
    SignedOut(String),
    /// New clients are turned away until [`Resumed`](Self::Resumed).
    Paused,
    Resumed,
    /// ostler is about to end. Load balancers are told so, and the doors stay open for this long, until their clients go elsewhere.
    Leaving(Duration),
    /// ostler ends. `busy` sessions are in the middle of a message and may take `limit` to finish it.
    Stopping {
        busy: usize,
        limit: Duration,
    },
}

/// The words for a message that was not sent.
pub(crate) fn not_sent(why: &str) -> String {
    format!("a message was not sent: {why}")
}

/// The words for a recipient that was refused.
pub(crate) fn recipient_refused(why: &str) -> String {
    format!("a recipient was refused: {why}")
}

/// The words for a message that a provider took only after new connections.
pub(crate) fn gate_opened_late(tries: usize) -> String {
    let tries = if tries == 1 { "another try".to_owned() } else { format!("{tries} more tries") };
    format!("the provider let the message through only after {tries}")
}

/// The words for messages that were fetched, and for what was changed in them.
pub(crate) fn fetched(messages: u64, changes: Changes) -> String {
    let fetched = format!("{} fetched", count(messages, "message"));
    if changes.messages == 0 {
        return fetched;
    }
    let which = if changes.messages == messages { String::new() } else { format!("{} ", changes.messages) };
    format!("{fetched}, {which}made readable: {} approximated", count(changes.approximated, "character"))
}

/// The words for what was mended in a message.
pub(crate) fn mended(repairs: &[Repair]) -> String {
    let word = |repair: &Repair| match repair {
        Repair::MessageId => "Message-ID added",
        Repair::Date => "date added",
        Repair::FromDomain => "domain of the sender added",
        Repair::Charset => "charset named",
    };
    format!("a message was mended: {}", repairs.iter().map(word).collect::<Vec<_>>().join(", "))
}

/// `1 message`, `2 messages`.
pub(crate) fn count<N: std::fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The time now, in UTC, RFC 3339 without fractions of a second.
pub(crate) fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

/// A time in the same form; `None` if it is too far away to have one.
pub(crate) fn rfc3339(time: UnixTime) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(time.seconds()).ok()?).ok()?;
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_said_in_words() {
        let said = |messages, changed, approximated| fetched(messages, Changes { messages: changed, approximated });
        assert_eq!(said(2, 0, 0), "2 messages fetched");
        assert_eq!(said(1, 1, 3), "1 message fetched, made readable: 3 characters approximated");
        assert_eq!(said(40, 7, 1), "40 messages fetched, 7 made readable: 1 character approximated");
        let all = "a message was mended: Message-ID added, date added, domain of the sender added, charset named";
        assert_eq!(mended(&Repair::ALL), all);
    }
}
