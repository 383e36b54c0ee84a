//! What happened, once, for everybody who wants to know: each [`Event`] becomes a line in the log and is folded into
//! the [`Status`] that `ostler status`, the tray and later the page read. Nobody calls them; they read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::account::{Access, Door, Protocol};
use crate::failure::{Blame, Failure};
use crate::history::{History, Past};
use crate::journal::Journal;
use crate::notice::{Notice, Notices};
use crate::progress::Progress;
use crate::protocol::{Misuse, Slip};

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
    Remark(String),
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
    Slipped(SessionId, Slip),
    /// What the session is doing now.
    Doing(SessionId, &'static str),
    /// The client has gone.
    Ended(SessionId),
    /// A client was not let in; why.
    TurnedAway(Protocol, SocketAddr, String),
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

/// An account as others see it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AccountStatus {
    /// `unused`, `ok`, `trouble` (passing) or `needs you`.
    pub state: &'static str,
    /// RFC 3339.
    pub last_fetch: Option<String>,
    /// RFC 3339.
    pub last_send: Option<String>,
    /// What went wrong last, in words.
    pub last_failure: Option<String>,
    /// When, RFC 3339.
    pub last_failure_at: Option<String>,
}

#[derive(Debug, Clone)]
struct DoorStatus {
    door: Door,
    address: SocketAddr,
    state: String,
}

#[derive(Debug, Clone)]
struct SessionStatus {
    protocol: Protocol,
    client: SocketAddr,
    account: Option<String>,
    since: String,
    state: &'static str,
    progress: Arc<Progress>,
}

/// Everything that is known, folded from events.
#[derive(Debug, Default)]
pub struct Status {
    doors: Vec<DoorStatus>,
    accounts: Vec<(String, AccountStatus)>,
    sessions: BTreeMap<SessionId, SessionStatus>,
    paused: bool,
    stopping: bool,
    /// Whether the last thing that was heard of any provider is that there is no way to it.
    out_of_reach: bool,
    /// The first mistake of a changed settings file that is not in force.
    mistake: Option<String>,
    journal: Journal,
    history: History,
    notices: Notices,
}

/// What the tray shows, all of it from one moment.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Whether new clients are sent away.
    pub paused: bool,
    /// Whether ostler ends as soon as messages under way are through.
    pub stopping: bool,
    /// How many sessions there are.
    pub sessions: usize,
    /// Whether the last thing that was heard of any provider is that there is no way to it.
    pub out_of_reach: bool,
    /// Doors that cannot be opened: protocol, address, why.
    pub shut: Vec<(Protocol, SocketAddr, String)>,
    /// The first mistake of a changed settings file that is not in force.
    pub mistake: Option<String>,
    /// By name, in the order of the settings.
    pub accounts: Vec<(String, AccountStatus)>,
}

/// Takes events from everywhere; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Events {
    status: Arc<Mutex<Status>>,
    /// The number of the journal's last entry, for those who wait for the next.
    told: watch::Sender<u64>,
    /// How many events there were, for those who show the state of things.
    count: watch::Sender<u64>,
    /// How often the history has got something to keep.
    kept: watch::Sender<u64>,
    /// Who shows notices, if anybody does.
    notified: Arc<Mutex<Option<mpsc::UnboundedSender<Notice>>>>,
}

impl Events {
    /// Tells everybody.
    pub fn publish(&self, event: Event) {
        crate::log::write(&event);
        let (last, kept, notice) = {
            let mut status = self.lock();
            status.note(&event);
            let notice = status.notices.of(&event);
            status.fold(event);
            (status.journal.last(), status.history.changes(), notice)
        };
        self.kept.send_if_modified(|known| std::mem::replace(known, kept.max(*known)) < kept);
        self.told.send_if_modified(|told| std::mem::replace(told, last.max(*told)) < last);
        self.count.send_modify(|count| *count = count.wrapping_add(1));
        if let Some(notice) = notice
            && let Some(shown) = &*self.notified.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = shown.send(notice);
        }
    }

    /// Where a session that has begun says how far it is; read when the status is asked for.
    pub fn follow(&self, session: SessionId, progress: Arc<Progress>) {
        if let Some(session) = self.lock().sessions.get_mut(&session) {
            session.progress = progress;
        }
    }

    /// Wakes whoever shows the state of things at every event.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// The notices from now on; whoever took them before gets no more.
    pub fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (shown, notices) = mpsc::unbounded_channel();
        *self.notified.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        notices
    }

    /// What the tray shows.
    pub fn overview(&self) -> Overview {
        let status = self.lock();
        // A program finds the door on 127.0.0.1 where its companion on ::1 is shut.
        let shut = status.doors.iter().filter(|d| d.state != OPEN && !d.door.is_companion);
        Overview {
            paused: status.paused,
            stopping: status.stopping,
            sessions: status.sessions.len(),
            out_of_reach: status.out_of_reach,
            shut: shut.map(|d| (d.door.protocol, d.address, d.state.clone())).collect(),
            mistake: status.mistake.clone(),
            accounts: status.accounts.clone(),
        }
    }

    /// What happened after `seq` (see [`Journal::since`]). Waits up to `patience` for the first thing, unless there is
    /// one already or `seq` is `None`.
    pub async fn since(&self, seq: Option<u64>, patience: Duration) -> Value {
        let mut told = self.told.subscribe();
        if let Some(seq) = seq {
            let _ = timeout(patience, told.wait_for(|last| *last != seq)).await;
        }
        self.lock().journal.since(seq)
    }

    /// The document of `ostler status`; `gate_age` tells how many seconds old an account's POP login is.
    pub fn document(&self, gate_age: impl Fn(&str) -> Option<u64>) -> Value {
        self.lock().document(gate_age)
    }

    /// Whether new clients are sent away.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// What was kept of earlier runs; before the first settings are told.
    pub fn remember(&self, history: History) {
        self.lock().history = history;
    }

    /// Wakes whoever keeps the history.
    pub fn history_changes(&self) -> watch::Receiver<u64> {
        self.kept.subscribe()
    }

    /// The history to be kept (see [`History::text`]).
    pub fn history_text(&self) -> Option<String> {
        self.lock().history.text()
    }

    /// What is known of an account's fetches and sends.
    pub fn past(&self, account: &str) -> Option<Past> {
        self.lock().history.of(account).cloned()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a door that is open.
const OPEN: &str = "open";

/// The words for a provider's refusal of a message.
pub(crate) fn not_sent(why: &str) -> String {
    format!("a message was not sent: {why}")
}

fn state_of(blame: Blame) -> &'static str {
    if blame == Blame::User { "needs you" } else { "trouble" }
}

/// The time now in UTC, as JSON documents have it.
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

impl Status {
    /// Before the event changes what is known.
    fn note(&mut self, event: &Event) {
        let sessions = &self.sessions;
        let own = if let Event::Began(id, protocol, _) = event { Some((*id, *protocol)) } else { None };
        let entry = self.journal.note(event, |id| {
            let known = sessions.get(&id).map(|s| (s.protocol, s.account.clone()));
            known.or_else(|| own.filter(|(new, _)| *new == id).map(|(_, protocol)| (protocol, None)))
        });
        if let Some(entry) = entry {
            self.history.note(event, entry, OffsetDateTime::now_utc());
        }
    }

    fn fold(&mut self, event: Event) {
        match event {
            Event::Settings { accounts, .. } => {
                self.mistake = None;
                let old = std::mem::take(&mut self.accounts);
                self.accounts = accounts
                    .into_iter()
                    .map(|name| {
                        let known = old.iter().find(|(n, _)| *n == name).map(|(_, status)| status.clone());
                        let status = known.unwrap_or_else(|| {
                            let (last_fetch, last_send) = self
                                .history
                                .of(&name)
                                .map_or((None, None), |p| (p.last_fetch.clone(), p.last_send.clone()));
                            AccountStatus { state: "unused", last_fetch, last_send, ..AccountStatus::default() }
                        });
                        (name, status)
                    })
                    .collect();
            }
            Event::DoorOpen(door, address) => self.door(door, address, OPEN.into()),
            Event::DoorShut(door, why) => {
                let address = door.address;
                self.door(door, address, why);
            }
            Event::DoorRemoved(door) => self.doors.retain(|d| d.door != door),
            Event::Began(id, protocol, client) => {
                let (since, progress) = (timestamp(), Arc::default());
                let status = SessionStatus { protocol, client, account: None, since, state: "signing in", progress };
                self.sessions.insert(id, status);
            }
            Event::Named(id, account) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.account = Some(account);
                }
            }
            Event::Doing(id, state) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.state = state;
                }
            }
            Event::Ended(id) => drop(self.sessions.remove(&id)),
            Event::Fetched { account, .. } => self.worked(&account, |status| status.last_fetch = Some(timestamp())),
            Event::Sent { account, .. } => self.worked(&account, |status| status.last_send = Some(timestamp())),
            Event::Checked { account, trouble: None } => self.worked(&account, |_| ()),
            Event::Checked { account, trouble: Some((why, failure)) } => {
                self.out_of_reach = failure.is_unreachable();
                self.failed(&account, why, state_of(failure.blame()));
            }
            Event::NotSent { account, why } => self.failed(&account, not_sent(&why), "trouble"),
            Event::Failed(Some(account), failure) => {
                self.out_of_reach = failure.is_unreachable();
                self.failed(&account, failure.to_string(), state_of(failure.blame()));
            }
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::SettingsWrong(mistakes) => self.mistake = mistakes.into_iter().next(),
            Event::Remark(_)
            | Event::TurnedAway(..)
            | Event::SignedIn(_)
            | Event::Slipped(..)
            | Event::Misused(..)
            | Event::GateOpened { .. }
            | Event::GateHealed { .. }
            | Event::Failed(None, _) => {}
            Event::Stopping(_) => self.stopping = true,
        }
    }

    fn door(&mut self, door: Door, address: SocketAddr, state: String) {
        match self.doors.iter_mut().find(|d| d.door == door) {
            Some(known) => {
                known.address = address;
                known.state = state;
            }
            None => self.doors.push(DoorStatus { door, address, state }),
        }
    }

    fn account(&mut self, name: &str, change: impl FnOnce(&mut AccountStatus)) {
        if let Some((_, status)) = self.accounts.iter_mut().find(|(n, _)| n == name) {
            change(status);
        }
    }

    fn worked(&mut self, account: &str, note: impl FnOnce(&mut AccountStatus)) {
        self.out_of_reach = false;
        self.account(account, |status| {
            note(status);
            status.state = "ok";
        });
    }

    fn failed(&mut self, account: &str, why: String, state: &'static str) {
        self.account(account, |status| {
            status.last_failure = Some(why);
            status.last_failure_at = Some(timestamp());
            status.state = state;
        });
    }

    fn document(&self, gate_age: impl Fn(&str) -> Option<u64>) -> Value {
        let doors: Vec<Value> = self
            .doors
            .iter()
            .map(|d| {
                json!({"protocol": d.door.protocol.name(), "address": d.address.to_string(), "account": d.door.account, "state": d.state})
            })
            .collect();
        let accounts: Vec<Value> = self
            .accounts
            .iter()
            .map(|(name, status)| {
                let mut document = json!(status);
                document["name"] = json!(name);
                document["gate_age_s"] = json!(gate_age(name));
                document
            })
            .collect();
        let sessions: Vec<Value> = self
            .sessions
            .values()
            .map(|s| {
                let mut document = s.progress.document();
                document["protocol"] = json!(s.protocol.name());
                document["account"] = json!(s.account);
                document["client"] = json!(s.client.to_string());
                document["since"] = json!(s.since);
                document["state"] = json!(s.state);
                document
            })
            .collect();
        json!({
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "paused": self.paused,
            "page": Value::Null,
            "doors": doors,
            "accounts": accounts,
            "sessions": sessions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn news_come_at_once_or_when_patience_ends() {
        let events = Events::default();
        let patience = Duration::from_secs(3);
        let start = tokio::time::Instant::now();
        assert_eq!(events.since(None, patience).await, json!({"seq": 0, "entries": []}));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(events.since(Some(0), patience).await["seq"], 0);
        assert_eq!(start.elapsed(), patience);
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            events.publish(Event::Began(1, Protocol::Pop3, "127.0.0.1:5".parse().unwrap()));
            // Nothing a person would miss wakes nobody.
            events.publish(Event::Doing(1, "x"));
        };
        let (news, ()) = tokio::join!(events.since(Some(0), patience), later);
        assert_eq!(start.elapsed(), Duration::from_secs(4));
        assert_eq!(news["seq"], 1);
        assert_eq!(
            (&news["entries"][0]["protocol"], &news["entries"][0]["kind"]),
            (&json!("pop3"), &json!("connected"))
        );
        events.publish(Event::Named(1, "home".into()));
        events.publish(Event::SignedIn(1));
        assert_eq!(events.since(Some(1), patience).await["entries"][0]["account"], "home");
        // From before a new start: at once, and everything.
        assert_eq!(events.since(Some(99), patience).await["entries"].as_array().map(Vec::len), Some(2));
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }

    #[test]
    fn status_is_what_happened() {
        let events = Events::default();
        let client: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let door = Door {
            protocol: Protocol::Pop3,
            address: "127.0.0.1:0".parse().unwrap(),
            is_companion: false,
            account: None,
        };
        events.publish(Event::Settings { accounts: vec!["home".into()], access: Access::SameUser, again: false });
        events.publish(Event::DoorOpen(door, "127.0.0.1:2110".parse().unwrap()));
        events.publish(Event::Began(1, Protocol::Pop3, client));
        events.publish(Event::Named(1, "home".into()));
        events.publish(Event::Fetched { account: "home".into(), messages: 2, octets: 10 });
        let document = events.document(|_| Some(7));
        assert_eq!(document["doors"][0]["address"], "127.0.0.1:2110");
        assert_eq!(document["sessions"][0]["account"], "home");
        assert_eq!(document["accounts"][0]["state"], "ok");
        assert_eq!(document["accounts"][0]["gate_age_s"], 7);
        assert!(document["accounts"][0]["last_send"].is_null());
        assert!(document["accounts"][0]["last_fetch"].as_str().unwrap().ends_with('Z'));
        let failure = Failure::UnknownAccount { given: "x".into(), known: vec![] };
        events.publish(Event::Failed(Some("home".into()), failure));
        events.publish(Event::Ended(1));
        events.publish(Event::Paused);
        let document = events.document(|_| None);
        assert_eq!(document["accounts"][0]["state"], "needs you");
        assert_eq!(document["sessions"], json!([]));
        assert_eq!(document["paused"], true);
        events.publish(Event::Settings { accounts: vec!["work".into()], access: Access::SameUser, again: true });
        assert_eq!(events.document(|_| None)["accounts"][0]["state"], "unused");
    }
}
