//! What is known at this moment, from all events so far: doors, sessions, the state of each account.
//!
//! Not here: the past (`history.rs`, `journal.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::events::event::{Event, SessionId, not_sent, recipient_refused, rfc3339, timestamp};
use crate::events::history::History;
use crate::events::journal::Journal;
use crate::events::notice::Notices;
use ostler_mail::account::{Door, Protocol};
use ostler_mail::client_fault::ClientMisconfiguration;
use ostler_mail::clock::UnixTime;
use ostler_mail::failure::{Blame, Failure, as_word};
use ostler_mail::progress::Progress;

/// How an account is doing, as far as this run of ostler has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AccountState {
    /// Neither fetched nor sent since ostler started.
    #[default]
    Unused,
    /// The last fetch, send or check worked.
    Ok,
    /// The last one failed, for a reason that may pass by itself.
    Trouble,
    /// The last one failed, and only the user can change that.
    NeedsYou,
    /// The user has to sign in, again or for the first time, at the company that gives out access tokens.
    NeedsSignIn,
}

impl AccountState {
    /// The name in the JSON of `ostler status`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Ok => "ok",
            Self::Trouble => "trouble",
            Self::NeedsYou => "needs you",
            Self::NeedsSignIn => "needs-sign-in",
        }
    }
}

impl Serialize for AccountState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl AccountState {
    /// After this failure.
    fn after(failure: &Failure) -> Self {
        match (failure, failure.blame()) {
            (Failure::NeedsSignIn { .. }, _) => Self::NeedsSignIn,
            (_, Blame::User) => Self::NeedsYou,
            (_, Blame::Passing) => Self::Trouble,
        }
    }

    /// Whether only the user can change it.
    pub(crate) fn needs_user(self) -> bool {
        matches!(self, Self::NeedsYou | Self::NeedsSignIn)
    }
}

/// What is known of one account; its JSON is part of `ostler status`. Times are RFC 3339.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct AccountStatus {
    pub(crate) state: AccountState,
    pub(crate) last_fetch: Option<String>,
    pub(crate) last_send: Option<String>,
    /// What went wrong last, in words.
    pub(crate) last_failure: Option<String>,
    pub(crate) last_failure_at: Option<String>,
}

/// What is true of an account at this moment, and is no event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AccountNow {
    /// How old the POP login is that opens the gate, in seconds. `None`: no gate, or no login yet.
    pub(crate) gate_age_s: Option<u64>,
    /// The sessions at its SMTP servers that wait for the next send.
    pub(crate) kept_sessions: usize,
    /// Until when the OAuth2 token is good that was used last. `None`: there is none, or it is not known.
    pub(crate) signed_in_until: Option<UnixTime>,
}

#[derive(Debug, Clone)]
struct DoorStatus {
    door: Door,
    address: SocketAddr,
    /// Why it is shut; `None`: it is open.
    trouble: Option<String>,
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

/// Everything that is known, changed by each event.
#[derive(Debug, Default)]
pub(crate) struct Status {
    doors: Vec<DoorStatus>,
    accounts: Vec<(String, AccountStatus)>,
    sessions: BTreeMap<SessionId, SessionStatus>,
    pub(super) paused: bool,
    stopping: bool,
    /// Whether the last attempt to reach a provider failed for want of a network, a name service or an answer.
    out_of_reach: bool,
    /// The first mistake in a changed settings file; `None`: the file is in force.
    settings_mistake: Option<String>,
    totals: Totals,
    pub(super) journal: Journal,
    pub(super) history: History,
    pub(super) notices: Notices,
}

/// What the tray shows, taken at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overview {
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    pub(crate) sessions: usize,
    /// As in [`Status`].
    pub(crate) out_of_reach: bool,
    /// Protocol, address and why the door cannot be opened.
    pub(crate) shut_doors: Vec<(Protocol, SocketAddr, String)>,
    pub(crate) settings_mistake: Option<String>,
    /// By name, in the order of the settings file.
    pub(crate) accounts: Vec<(String, AccountStatus)>,
}

/// What has happened since ostler started, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// The clients that were let in, in the order of [`Protocol::ALL`].
    pub(crate) clients: [u64; 3],
    /// The clients that signed in at their door, in the same order.
    pub(crate) sign_ins: [u64; 3],
    pub(crate) refusals: Refusals,
    /// Logins by POP to open a gate.
    pub(crate) gate_logins: u64,
    /// OAuth2 tokens that a company has given for old ones.
    pub(crate) token_renewals: u64,
    /// Messages, as for the next ones.
    pub(crate) fetched: u64,
    pub(crate) fetched_octets: u64,
    pub(crate) sent: u64,
    pub(crate) sent_octets: u64,
    pub(crate) failures: u64,
}

/// What was refused, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    /// Clients that were not let in.
    pub(crate) clients: u64,
    /// Connections ended for what no mail program does.
    pub(crate) misuse: u64,
    /// Wrong local passwords.
    pub(crate) local_passwords: u64,
    /// Names and senders that belong to no account.
    pub(crate) accounts: u64,
    /// Sign-ins that a provider refused.
    pub(crate) sign_ins: u64,
    /// Messages that no provider took.
    pub(crate) messages: u64,
}

impl Refusals {
    fn count(&mut self, event: &Event) {
        let refused = match event {
            Event::ClientRejected(..) => &mut self.clients,
            Event::ClientMisbehaved(..) => &mut self.misuse,
            Event::ClientMisconfigured(_, _, ClientMisconfiguration::WrongPassword) => &mut self.local_passwords,
            Event::Failed(_, Failure::UnknownAccount { .. } | Failure::UnknownSender { .. }) => &mut self.accounts,
            Event::Failed(_, failure) if failure.is_refused_sign_in() => &mut self.sign_ins,
            Event::NotSent { .. } => &mut self.messages,
            _ => return,
        };
        *refused += 1;
    }
}

/// Counts one more of a protocol, in the order of [`Protocol::ALL`].
fn count_one(counts: &mut [u64; 3], protocol: Protocol) {
    let at = Protocol::ALL.iter().position(|known| *known == protocol);
    at.and_then(|at| counts.get_mut(at)).into_iter().for_each(|count| *count += 1);
}

impl Totals {
    /// Counts an event. `protocol` is that of its session, where it is known already.
    fn count(&mut self, event: &Event, protocol: Option<Protocol>) {
        self.refusals.count(event);
        match event {
            Event::SessionStarted(_, protocol, _) => count_one(&mut self.clients, *protocol),
            Event::ClientSignedIn(_) => protocol.into_iter().for_each(|known| count_one(&mut self.sign_ins, known)),
            Event::GateLoginMade { .. } => self.gate_logins += 1,
            Event::TokensRenewed(_) => self.token_renewals += 1,
            Event::Fetched { messages, octets, .. } => {
                self.fetched += messages;
                self.fetched_octets += octets;
            }
            Event::Sent { octets, .. } => {
                self.sent += 1;
                self.sent_octets += octets;
            }
            Event::Failed(..) => self.failures += 1,
            _ => {}
        }
    }
}

/// What monitoring wants to know, taken at one moment.
#[cfg(feature = "web")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    pub(crate) open_doors: u64,
    pub(crate) accounts: u64,
    /// The accounts whose user has to act.
    pub(crate) accounts_in_need: u64,
    /// The clients that are connected, in the order of [`Protocol::ALL`].
    pub(crate) sessions: [u64; 3],
    pub(crate) totals: Totals,
}

impl Status {
    #[cfg(feature = "web")]
    pub(super) fn figures(&self) -> Figures {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let of = |protocol: Protocol| number(self.sessions.values().filter(|s| s.protocol == protocol).count());
        let in_need = |(_, status): &&(String, AccountStatus)| status.state.needs_user();
        Figures {
            paused: self.paused,
            stopping: self.stopping,
            open_doors: number(self.doors.iter().filter(|door| door.trouble.is_none()).count()),
            accounts: number(self.accounts.len()),
            accounts_in_need: number(self.accounts.iter().filter(in_need).count()),
            sessions: Protocol::ALL.map(of),
            totals: self.totals,
        }
    }

    pub(super) fn overview(&self) -> Overview {
        // A shut companion on ::1 is no trouble: mail programs then connect to the door on 127.0.0.1.
        let shown = self.doors.iter().filter(|door| !door.door.is_companion);
        Overview {
            paused: self.paused,
            stopping: self.stopping,
            sessions: self.sessions.len(),
            out_of_reach: self.out_of_reach,
            shut_doors: shown.filter_map(|d| Some((d.door.protocol, d.address, d.trouble.clone()?))).collect(),
            settings_mistake: self.settings_mistake.clone(),
            accounts: self.accounts.clone(),
        }
    }

    pub(super) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn follow(&mut self, session: SessionId, progress: Arc<Progress>) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.progress = progress;
        }
    }

    /// Adds an event to the journal and the history. To be called before [`apply`](Self::apply): the event may end the
    /// session whose account and protocol the entry names.
    pub(super) fn record(&mut self, event: &Event) {
        let sessions = &self.sessions;
        // The session of `SessionStarted` is not among `sessions` yet.
        let own = if let Event::SessionStarted(id, protocol, _) = event { Some((*id, *protocol)) } else { None };
        let entry = self.journal.record(event, |id| {
            let known = sessions.get(&id).map(|s| (s.protocol, s.account.clone()));
            known.or_else(|| own.filter(|(new, _)| *new == id).map(|(_, protocol)| (protocol, None)))
        });
        if let Some(entry) = entry {
            self.history.record(event, entry, OffsetDateTime::now_utc());
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        let signed_in = if let Event::ClientSignedIn(id) = &event { self.sessions.get(id) } else { None };
        let protocol = signed_in.map(|session| session.protocol);
        self.totals.count(&event, protocol);
        match event {
            Event::SettingsApplied { accounts, .. } => {
                self.settings_mistake = None;
                self.replace_accounts(accounts);
            }
            Event::DoorOpened(door, address) => self.set_door(door, address, None),
            Event::DoorUnavailable(door, why) => {
                let address = door.address;
                self.set_door(door, address, Some(why));
            }
            Event::DoorRemoved(door) => self.doors.retain(|d| d.door != door),
            Event::SessionStarted(id, protocol, client) => {
                let (since, progress) = (timestamp(), Arc::default());
                let status = SessionStatus { protocol, client, account: None, since, state: "signing in", progress };
                self.sessions.insert(id, status);
            }
            Event::AccountChosen(id, account) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.account = Some(account);
                }
            }
            Event::SessionStateChanged(id, state) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.state = state;
                }
            }
            Event::SessionEnded(id) => drop(self.sessions.remove(&id)),
            Event::Fetched { account, .. } => {
                self.record_success(&account, |status| status.last_fetch = Some(timestamp()))
            }
            Event::Sent { account, .. } => self.record_success(&account, |status| status.last_send = Some(timestamp())),
            Event::AccountChecked { account, trouble: None } => self.record_success(&account, |_| ()),
            Event::AccountChecked { account, trouble: Some((why, failure)) } => {
                self.out_of_reach = failure.is_unreachable();
                self.record_failure(&account, why, AccountState::after(&failure));
            }
            // Passing trouble, whatever the code: the refusal may mean this one message.
            Event::NotSent { account, why } => self.record_failure(&account, not_sent(&why), AccountState::Trouble),
            Event::RecipientRefused { account, why } => {
                self.record_failure(&account, recipient_refused(&why), AccountState::Trouble);
            }
            Event::Failed(Some(account), failure) => {
                self.out_of_reach = failure.is_unreachable();
                self.record_failure(&account, failure.to_string(), AccountState::after(&failure));
            }
            // What was wrong is mended; whether all of it works, the next session shows.
            Event::SignedIn(account) => self.update_account(&account, |status| {
                status.last_failure = None;
                status.last_failure_at = None;
                status.state = AccountState::Unused;
            }),
            Event::SignedOut(account) => {
                self.record_failure(
                    &account,
                    format!("you have signed out; to sign in again: ostler sign-in {}", as_word(&account)),
                    AccountState::NeedsSignIn,
                );
            }
            Event::Paused => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::SettingsRejected(mistakes) => self.settings_mistake = mistakes.into_iter().next(),
            Event::Warning(_)
            | Event::ClientRejected(..)
            | Event::ClientSignedIn(_)
            | Event::ClientMisconfigured(..)
            | Event::ClientMisbehaved(..)
            | Event::GateLoginMade { .. }
            | Event::GateOpenedLate { .. }
            | Event::Mended { .. }
            | Event::TokensRenewed(_)
            | Event::Failed(None, _) => {}
            Event::Leaving(_) | Event::Stopping { .. } => self.stopping = true,
        }
    }

    /// An account that is to have another name keeps its state and its history.
    #[cfg(feature = "web")]
    pub(super) fn rename_account(&mut self, old: &str, new: &str) {
        for (name, _) in self.accounts.iter_mut().filter(|(name, _)| name == old) {
            new.clone_into(name);
        }
        self.history.rename(old, new, OffsetDateTime::now_utc());
    }

    /// Accounts that stay keep their state; new ones get their last fetch and send from the history.
    fn replace_accounts(&mut self, names: Vec<String>) {
        let old = std::mem::take(&mut self.accounts);
        let status_of = |name: &String| {
            let known = old.iter().find(|(n, _)| n == name).map(|(_, status)| status.clone());
            known.unwrap_or_else(|| {
                let past = self.history.account(name);
                AccountStatus {
                    last_fetch: past.and_then(|past| past.last_fetch.clone()),
                    last_send: past.and_then(|past| past.last_send.clone()),
                    ..AccountStatus::default()
                }
            })
        };
        self.accounts = names.into_iter().map(|name| (name.clone(), status_of(&name))).collect();
    }

    fn set_door(&mut self, door: Door, address: SocketAddr, trouble: Option<String>) {
        match self.doors.iter_mut().find(|d| d.door == door) {
            Some(known) => {
                known.address = address;
                known.trouble = trouble;
            }
            None => self.doors.push(DoorStatus { door, address, trouble }),
        }
    }

    fn update_account(&mut self, name: &str, change: impl FnOnce(&mut AccountStatus)) {
        if let Some((_, status)) = self.accounts.iter_mut().find(|(n, _)| n == name) {
            change(status);
        }
    }

    fn record_success(&mut self, account: &str, note: impl FnOnce(&mut AccountStatus)) {
        self.out_of_reach = false;
        self.update_account(account, |status| {
            note(status);
            status.state = AccountState::Ok;
        });
    }

    fn record_failure(&mut self, account: &str, why: String, state: AccountState) {
        self.update_account(account, |status| {
            status.last_failure = Some(why);
            status.last_failure_at = Some(timestamp());
            status.state = state;
        });
    }

    pub(super) fn document(&self, account_now: impl Fn(&str) -> AccountNow) -> Value {
        let doors: Vec<Value> = self
            .doors
            .iter()
            .map(|d| {
                json!({"protocol": d.door.protocol.name(), "address": d.address.to_string(), "account": d.door.account, "state": d.trouble.as_deref().unwrap_or("open")})
            })
            .collect();
        let accounts: Vec<Value> = self
            .accounts
            .iter()
            .map(|(name, status)| {
                let mut document = json!(status);
                document["name"] = json!(name);
                let now = account_now(name);
                document["gate_age_s"] = json!(now.gate_age_s);
                document["kept_sessions"] = json!(now.kept_sessions);
                document["signed_in_until"] = json!(now.signed_in_until.and_then(rfc3339));
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
    use crate::events::Events;
    use ostler_mail::account::Access;
    use ostler_mail::failure::Failure;
    use ostler_mail::readable::Changes;

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
        events.publish(Event::SettingsApplied {
            accounts: vec!["home".into()],
            access: Access::SameUser,
            is_reload: false,
        });
        events.publish(Event::DoorOpened(door, "127.0.0.1:2110".parse().unwrap()));
        events.publish(Event::SessionStarted(1, Protocol::Pop3, client));
        events.publish(Event::AccountChosen(1, "home".into()));
        events.publish(Event::Fetched { account: "home".into(), messages: 2, octets: 10, changes: Changes::default() });
        let document = events.document(|_| AccountNow { gate_age_s: Some(7), kept_sessions: 1, signed_in_until: None });
        assert_eq!(document["doors"][0]["address"], "127.0.0.1:2110");
        assert_eq!(document["sessions"][0]["account"], "home");
        assert_eq!(document["accounts"][0]["state"], "ok");
        assert_eq!(document["accounts"][0]["gate_age_s"], 7);
        assert!(document["accounts"][0]["last_send"].is_null());
        assert!(document["accounts"][0]["last_fetch"].as_str().unwrap().ends_with('Z'));
        let failure = Failure::UnknownAccount { given: "x".into(), known: vec![] };
        events.publish(Event::Failed(Some("home".into()), failure));
        events.publish(Event::SessionEnded(1));
        events.publish(Event::Paused);
        let document = events.document(|_| AccountNow::default());
        assert_eq!(document["accounts"][0]["state"], "needs you");
        assert_eq!(document["sessions"], json!([]));
        assert_eq!(document["paused"], true);
        events.publish(Event::SettingsApplied {
            accounts: vec!["work".into()],
            access: Access::SameUser,
            is_reload: true,
        });
        assert_eq!(events.document(|_| AccountNow::default())["accounts"][0]["state"], "unused");
    }
}
