//! What happened since the start, in order and in words for the user: the last few hundred entries. `ostler guide CLIENT
//! --watch` follows it, and the settings page shows it.
//!
//! Not here: the state of things now (`status.rs`), the log (`log_lines.rs`). The journal holds no secret and nothing from
//! a message, because no event does.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::events::event::{
    Event, SessionId, count, fetched, gate_opened_late, mended, not_sent, recipient_refused, timestamp,
};
use ostler_mail::account::{Door, Protocol};
use ostler_mail::failure::{spoken, without_control};

/// How many entries are kept: some hours of an old program that looks for mail every few minutes.
const MAX_ENTRIES: usize = 500;
/// The longest text of an entry. Longer answers of providers are cut.
pub(crate) const MAX_TEXT_CHARS: usize = 600;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// Counts from 1 at the start of the program.
    pub(crate) seq: u64,
    /// RFC 3339 in UTC.
    pub(crate) time: String,
    pub(crate) session: Option<SessionId>,
    pub(crate) account: Option<String>,
    /// `pop3`, `imap` or `smtp`.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) kind: EntryKind,
    /// What happened and, if something went wrong, what to do; one line.
    pub(crate) text: String,
}

/// What an entry is about; in documents its name in small letters with hyphens, like `not-sent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EntryKind {
    /// ostler has started, or changed settings are in force.
    Settings,
    /// A change of the settings was not taken.
    SettingsWrong,
    /// A door is open.
    Door,
    /// A door cannot be opened.
    DoorShut,
    /// A mail program connected.
    Connected,
    /// A mail program signed in at ostler.
    SignedIn,
    /// A program was not let in.
    TurnedAway,
    /// Something is set wrongly in the mail program.
    Mistake,
    /// No mail program does that; the connection was ended.
    Misuse,
    /// A POP login before a send.
    Gate,
    Fetched,
    /// What ostler corrects in messages.
    Mended,
    Sent,
    NotSent,
    /// A session with a provider failed.
    Failed,
    /// The account was tried, by `ostler check` or on the page.
    Checked,
    /// The user signed in at a company, for OAuth2.
    SignedInAtProvider,
    SignedOutAtProvider,
    /// A warning that no account is the cause of.
    Remark,
    Paused,
    Resumed,
    /// Load balancers are told that ostler is ending.
    Leaving,
    Stopping,
    /// One that the running ostler knows and this one does not.
    #[serde(other)]
    Unknown,
}

impl EntryKind {
    /// The kind of an entry as the running ostler told it.
    pub(crate) fn of(entry: &Value) -> Self {
        Self::deserialize(&entry["kind"]).unwrap_or(Self::Unknown)
    }

    /// Whether something went wrong.
    pub(crate) fn is_trouble(self) -> bool {
        match self {
            Self::SettingsWrong
            | Self::DoorShut
            | Self::TurnedAway
            | Self::Mistake
            | Self::Misuse
            | Self::NotSent
            | Self::Failed => true,
            Self::Settings
            | Self::Door
            | Self::Connected
            | Self::SignedIn
            | Self::Gate
            | Self::Fetched
            | Self::Mended
            | Self::Sent
            | Self::Checked
            | Self::SignedInAtProvider
            | Self::SignedOutAtProvider
            | Self::Remark
            | Self::Paused
            | Self::Resumed
            | Self::Leaving
            | Self::Stopping
            | Self::Unknown => false,
        }
    }
}

/// The last [`MAX_ENTRIES`] entries.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    last_seq: u64,
    entries: VecDeque<Entry>,
}

/// What is known of a session: its protocol and, once it is known, its account.
pub(crate) type SessionInfo = (Protocol, Option<String>);

impl Journal {
    /// Adds an event and returns its entry; `None` if the event is not worth one. `about` looks up a session.
    pub(crate) fn record(&mut self, event: &Event, about: impl Fn(SessionId) -> Option<SessionInfo>) -> Option<&Entry> {
        let draft = draft_entry(event)?;
        let (protocol, account) = draft.session.and_then(about).map_or((None, None), |(p, a)| (Some(p), a));
        self.last_seq += 1;
        self.entries.push_back(Entry {
            seq: self.last_seq,
            time: timestamp(),
            session: draft.session,
            account: draft.account.or(account),
            protocol: draft.protocol.or(protocol).map(Protocol::name),
            kind: draft.kind,
            // A provider's answer may be in it, and control characters would reach the terminal that follows the
            // journal.
            text: without_control(&draft.text).chars().take(MAX_TEXT_CHARS).collect(),
        });
        if self.entries.len() > MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.back()
    }

    /// The number of the last entry; 0: there is none yet.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Every kept entry after `seq`, as the control socket answers: `{"seq": N, "entries": [..]}`, where N is the `seq` for
    /// the next call. `None` asks for N alone. A `seq` beyond the last entry is from before a restart, so everything kept
    /// comes after it.
    pub(crate) fn since(&self, seq: Option<u64>) -> Value {
        let entries: Vec<&Entry> = match seq {
            None => Vec::new(),
            Some(seq) if seq > self.last_seq => self.entries.iter().collect(),
            Some(seq) => self.entries.iter().filter(|e| e.seq > seq).collect(),
        };
        json!({"seq": self.last_seq, "entries": entries})
    }
}

struct Draft {
    kind: EntryKind,
    text: String,
    session: Option<SessionId>,
    account: Option<String>,
    protocol: Option<Protocol>,
}

fn plain(kind: EntryKind, text: String) -> Draft {
    Draft { kind, text, session: None, account: None, protocol: None }
}

fn in_session(session: &SessionId, kind: EntryKind, text: String) -> Draft {
    Draft { session: Some(*session), ..plain(kind, text) }
}

fn for_door(door: &Door, kind: EntryKind, text: String) -> Draft {
    Draft { protocol: Some(door.protocol), account: door.account.clone(), ..plain(kind, text) }
}

fn for_account(account: &str, protocol: Protocol, kind: EntryKind, text: String) -> Draft {
    Draft { account: Some(account.to_owned()), protocol: Some(protocol), ..plain(kind, text) }
}

/// Names the computer of a client, unless it is this one.
fn on_another_computer(client: SocketAddr) -> String {
    let address = client.ip().to_canonical();
    if address.is_loopback() { String::new() } else { format!("on the computer {address}: ") }
}

/// The entry of an event, without number and time; `None` for events that a user would not miss.
fn draft_entry(event: &Event) -> Option<Draft> {
    Some(match event {
        Event::SettingsApplied { is_reload: true, .. } => {
            plain(EntryKind::Settings, "changed settings are in force".into())
        }
        Event::SettingsApplied { .. } => plain(EntryKind::Settings, "ostler has started".into()),
        Event::SettingsRejected(mistakes) => {
            let first = mistakes.first().map_or("", String::as_str);
            let text = format!("the changed settings file is wrong; the last good settings stay in force: {first}");
            plain(EntryKind::SettingsWrong, text)
        }
        Event::Warning(text) => plain(EntryKind::Remark, text.clone()),
        Event::DoorOpened(door, address) => {
            for_door(door, EntryKind::Door, format!("the {} door on {address} is open", spoken(door.protocol)))
        }
        Event::DoorUnavailable(door, why) => {
            let (kind, address) = (spoken(door.protocol), door.address);
            for_door(door, EntryKind::DoorShut, format!("the {kind} door on {address} cannot be opened: {why}"))
        }
        Event::DoorRemoved(door) => {
            let (kind, address) = (spoken(door.protocol), door.address);
            for_door(door, EntryKind::Settings, format!("the {kind} door on {address} was removed from the settings"))
        }
        Event::SessionStarted(session, protocol, _) => {
            let what = if protocol.is_outgoing() { "to send" } else { "to fetch" };
            in_session(
                session,
                EntryKind::Connected,
                format!("a mail program connected {what} ({})", spoken(*protocol)),
            )
        }
        Event::ClientSignedIn(session) => in_session(session, EntryKind::SignedIn, "the mail program signed in".into()),
        Event::ClientRejected(protocol, _, why) => Draft {
            protocol: Some(*protocol),
            ..plain(EntryKind::TurnedAway, format!("a program was not let in: {why}"))
        },
        Event::ClientMisconfigured(session, client, slip) => {
            in_session(session, EntryKind::Mistake, format!("{}{slip}", on_another_computer(*client)))
        }
        Event::ClientMisbehaved(session, client, misuse) => {
            let whose = on_another_computer(*client);
            in_session(session, EntryKind::Misuse, format!("{whose}ostler ended the connection of a program: {misuse}"))
        }
        Event::GateLoginMade { account, server, how } => {
            for_account(account, Protocol::Pop3, EntryKind::Gate, format!("login at {server} before sending: {how}"))
        }
        Event::GateOpenedLate { account, tries } => {
            for_account(account, Protocol::Smtp, EntryKind::Gate, gate_opened_late(*tries))
        }
        Event::Fetched { account, messages, changes, .. } => {
            for_account(account, Protocol::Pop3, EntryKind::Fetched, fetched(*messages, *changes))
        }
        Event::Mended { account, repairs } => for_account(account, Protocol::Smtp, EntryKind::Mended, mended(repairs)),
        Event::Sent { account, recipients, .. } => {
            let text = format!("a message sent to {}", count(*recipients, "recipient"));
            for_account(account, Protocol::Smtp, EntryKind::Sent, text)
        }
        Event::NotSent { account, why } => for_account(account, Protocol::Smtp, EntryKind::NotSent, not_sent(why)),
        Event::RecipientRefused { account, why } => {
            for_account(account, Protocol::Smtp, EntryKind::NotSent, recipient_refused(why))
        }
        Event::Failed(account, failure) => {
            Draft { account: account.clone(), ..plain(EntryKind::Failed, failure.to_string()) }
        }
        Event::AccountChecked { account, trouble } => {
            let text = match trouble {
                None => "checked: everything works".to_owned(),
                Some((why, _)) => format!("checked: {why}"),
            };
            Draft { account: Some(account.clone()), ..plain(EntryKind::Checked, text) }
        }
        Event::SignedIn(account) => Draft {
            account: Some(account.clone()),
            ..plain(EntryKind::SignedInAtProvider, "you have signed in at the provider in the web browser".into())
        },
        Event::SignedOut(account) => Draft {
            account: Some(account.clone()),
            ..plain(EntryKind::SignedOutAtProvider, "you have signed out at the provider".into())
        },
        Event::Paused => {
            plain(EntryKind::Paused, "ostler is paused: new connections are asked to come back later".into())
        }
        Event::Resumed => plain(EntryKind::Resumed, "ostler is serving mail programs again".into()),
        Event::Leaving(_) => plain(EntryKind::Leaving, "load balancers are told that ostler is ending".into()),
        Event::Stopping { .. } => plain(EntryKind::Stopping, "ostler is ending".into()),
        Event::AccountChosen(..)
        | Event::SessionStateChanged(..)
        | Event::SessionEnded(_)
        | Event::TokensRenewed(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_mail::failure::Failure;

    fn sent(n: usize) -> Event {
        Event::Sent { account: "home".into(), recipients: n, octets: 1 }
    }

    #[test]
    fn the_last_ones_are_kept_and_told_from_a_number_on() {
        let mut journal = Journal::default();
        assert_eq!(journal.since(Some(0)), json!({"seq": 0, "entries": []}));
        for n in 0..MAX_ENTRIES + 10 {
            journal.record(&sent(n), |_| None);
        }
        assert_eq!(journal.last_seq(), 510);
        assert_eq!(journal.since(None), json!({"seq": 510, "entries": []}));
        let all = journal.since(Some(0));
        assert_eq!(all["entries"].as_array().unwrap().len(), MAX_ENTRIES);
        assert_eq!(all["entries"][0]["seq"], 11);
        let new = journal.since(Some(509));
        assert_eq!(new["entries"].as_array().unwrap().len(), 1);
        assert_eq!(new["entries"][0]["text"], "a message sent to 509 recipients");
        assert_eq!(new["entries"][0]["kind"], "sent");
        assert!(new["entries"][0]["time"].as_str().unwrap().ends_with('Z'));
        // A number from before a restart.
        assert_eq!(journal.since(Some(9999)), all);
    }

    #[test]
    fn a_session_gives_its_things_account_and_protocol() {
        let mut journal = Journal::default();
        let about = |id| (id == 7).then(|| (Protocol::Pop3, Some("home".to_owned())));
        journal.record(&Event::ClientSignedIn(7), about);
        journal.record(&Event::ClientSignedIn(8), about);
        journal.record(&Event::SessionStateChanged(7, "x"), about);
        let entries = &journal.since(Some(0))["entries"];
        assert_eq!((&entries[0]["account"], &entries[0]["protocol"]), (&json!("home"), &json!("pop3")));
        assert!(entries[1]["account"].is_null() && entries[2].is_null());
    }

    #[test]
    fn texts_are_short_and_cannot_steer_a_terminal() {
        let mut journal = Journal::default();
        let failure = Failure::UnknownAccount { given: "\u{1b}[2J".into(), known: vec!["home".into()] };
        journal.record(&Event::Failed(None, failure), |_| None);
        journal.record(&Event::NotSent { account: "home".into(), why: "\u{1b}x\n".repeat(1000) }, |_| None);
        for entry in journal.since(Some(0))["entries"].as_array().unwrap() {
            let text = entry["text"].as_str().unwrap();
            assert!(text.chars().count() <= MAX_TEXT_CHARS && !text.contains(char::is_control), "{text:?}");
        }
    }
}
