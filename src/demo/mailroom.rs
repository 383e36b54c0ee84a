//! What the demo provider's connections share: the gate, the mailbox with its lock, and the mailbox at another company.
//! All of it is in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use ostler_mail::secret::Secret;

/// The user name at the demo provider.
pub(crate) const USER: &str = "ann";
/// The mailbox at the demo provider.
pub(crate) const ADDRESS: &str = "ann@provider.example";
/// The mailbox at another company; mail to it has to pass the gate.
pub(crate) const FOREIGN: &str = "bob@elsewhere.example";
/// Messages in one mailbox; a full mailbox refuses mail.
const MAX_MESSAGES: usize = 200;
/// Octets in one mailbox.
const MAX_MAILBOX_OCTETS: usize = 64 * 1024 * 1024;
/// Addresses whose logins are remembered. All of them are on loopback.
const MAX_GATE_ADDRESSES: usize = 256;

/// A message that has been delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Unique in all runs, as UIDL requires (RFC 1939, section 7).
    pub id: String,
    /// The message, with the trace header that the provider has added.
    pub octets: Vec<u8>,
}

/// One of the two mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mailbox {
    /// [`ADDRESS`].
    Own,
    /// [`FOREIGN`].
    Foreign,
}

impl Mailbox {
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::Own => ADDRESS,
            Self::Foreign => FOREIGN,
        }
    }
}

/// Shared by every connection of the provider.
pub(super) struct Mailroom {
    password: Arc<Secret>,
    run_id: String,
    state: Mutex<State>,
    visits: watch::Sender<usize>,
}

struct State {
    gate: Gate,
    own: Vec<Arc<Delivered>>,
    foreign: Vec<Arc<Delivered>>,
    is_locked: bool,
    next: usize,
    counts: Counts,
}

/// What has happened since the provider was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// POP logins with the right password; each opens the gate.
    pub logins: usize,
    /// Logins refused.
    pub wrong_passwords: usize,
    /// Recipients refused because the gate was shut.
    pub gate_refusals: usize,
    /// Messages taken.
    pub messages: usize,
    /// TLS connections.
    pub connections: usize,
}

/// The addresses that may send, because they have logged in recently.
struct Gate {
    window: Duration,
    logins: HashMap<IpAddr, Instant>,
}

impl Gate {
    fn logged_in(&mut self, from: IpAddr, now: Instant) {
        let window = self.window;
        self.logins.retain(|_, when| now.duration_since(*when) < window);
        if self.logins.len() < MAX_GATE_ADDRESSES {
            self.logins.insert(from.to_canonical(), now);
        }
    }

    fn is_open(&self, from: IpAddr, now: Instant) -> bool {
        self.logins.get(&from.to_canonical()).is_some_and(|when| now.duration_since(*when) < self.window)
    }
}

/// The result of a login.
pub(super) enum Login {
    /// The session has the mailbox to itself.
    In(LockedMaildrop),
    /// The password was right, but another session has the mailbox.
    InUse,
    /// The password or the user name was wrong.
    Wrong,
}

/// A message was refused because a mailbox is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MailboxFull;

impl Mailroom {
    /// `run_id` makes this run's message ids differ from those of other runs.
    pub(super) fn new(password: Arc<Secret>, run_id: String, window: Duration) -> Self {
        let state = State {
            gate: Gate { window, logins: HashMap::new() },
            own: Vec::new(),
            foreign: Vec::new(),
            is_locked: false,
            next: 1,
            counts: Counts::default(),
        };
        Self { password, run_id, state: Mutex::new(state), visits: watch::Sender::new(0) }
    }

    /// Logs in by POP. The right password opens the gate even if another session has the mailbox.
    pub(super) fn log_in(self: &Arc<Self>, user: &str, password: &[u8], from: IpAddr) -> Login {
        let is_right = self.password.is(password) && user == USER;
        let mut state = self.state();
        if !is_right {
            state.counts.wrong_passwords += 1;
            return Login::Wrong;
        }
        state.counts.logins += 1;
        state.gate.logged_in(from, Instant::now());
        if std::mem::replace(&mut state.is_locked, true) {
            return Login::InUse;
        }
        let messages = state.own.iter().map(|m| (Arc::clone(m), false)).collect();
        Login::In(LockedMaildrop { room: Arc::clone(self), messages })
    }

    /// Whether these are right. Signing in by IMAP opens no gate.
    pub(super) fn knows(&self, user: &str, password: &[u8]) -> bool {
        let is_right = self.password.is(password) && user == USER;
        self.state().counts.wrong_passwords += usize::from(!is_right);
        is_right
    }

    /// Whether mail from this address may go to another company now.
    pub(super) fn may_relay(&self, from: IpAddr) -> bool {
        let mut state = self.state();
        let is_open = state.gate.is_open(from, Instant::now());
        state.counts.gate_refusals += usize::from(!is_open);
        is_open
    }

    /// Delivers a message to all these mailboxes or to none; returns its number.
    pub(super) fn deliver(&self, to: &[Mailbox], trace: &str, text: &[u8]) -> Result<usize, MailboxFull> {
        let mut state = self.state();
        let octets = [trace.as_bytes(), text].concat();
        let fits = |held: &[Arc<Delivered>]| {
            held.len() < MAX_MESSAGES
                && held.iter().map(|m| m.octets.len()).sum::<usize>() + octets.len() <= MAX_MAILBOX_OCTETS
        };
        if !to.iter().all(|mailbox| fits(state.mailbox(*mailbox))) {
            return Err(MailboxFull);
        }
        let number = state.next;
        state.next += 1;
        state.counts.messages += 1;
        let message = Arc::new(Delivered { id: format!("{}-{number}", self.run_id), octets });
        for mailbox in to {
            state.mailbox(*mailbox).push(Arc::clone(&message));
        }
        Ok(number)
    }

    pub(super) fn messages(&self, mailbox: Mailbox) -> Vec<Arc<Delivered>> {
        self.state().mailbox(mailbox).clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn visit(self: &Arc<Self>) -> Visit {
        self.visits.send_modify(|now| *now += 1);
        Visit(Arc::clone(self))
    }

    pub(super) fn count_connection(&self) {
        self.state().counts.connections += 1;
    }

    /// Waits until no connection is left.
    pub(super) async fn wait_until_empty(&self) {
        // Cannot fail: the sender is a field of `self`.
        let _ = self.visits.subscribe().wait_for(|now| *now == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mailbox(&mut self, which: Mailbox) -> &mut Vec<Arc<Delivered>> {
        match which {
            Mailbox::Own => &mut self.own,
            Mailbox::Foreign => &mut self.foreign,
        }
    }
}

/// Guard for one connection.
pub(super) struct Visit(Arc<Mailroom>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.visits.send_modify(|now| *now -= 1);
    }
}

/// The mailbox as one POP3 session sees it, and the lock on it.
pub(super) struct LockedMaildrop {
    room: Arc<Mailroom>,
    /// Each message, and whether it is marked as deleted.
    messages: Vec<(Arc<Delivered>, bool)>,
}

impl LockedMaildrop {
    /// The messages that are not marked, with their numbers.
    pub(super) fn listed(&self) -> impl Iterator<Item = (usize, &Delivered)> {
        self.messages.iter().enumerate().filter(|(_, (_, gone))| !gone).map(|(at, (m, _))| (at + 1, &**m))
    }

    /// A message by its number, unless it is marked.
    pub(super) fn get(&self, number: usize) -> Option<&Arc<Delivered>> {
        let (message, is_deleted) = self.messages.get(number.checked_sub(1)?)?;
        (!is_deleted).then_some(message)
    }

    /// Marks a message as deleted; `false` if there is no such message.
    pub(super) fn delete(&mut self, number: usize) -> bool {
        let Some(at) = number.checked_sub(1).filter(|_| self.get(number).is_some()) else { return false };
        self.messages[at].1 = true;
        true
    }

    /// Removes all marks.
    pub(super) fn reset(&mut self) {
        self.messages.iter_mut().for_each(|(_, gone)| *gone = false);
    }

    /// Deletes the marked messages, at QUIT.
    pub(super) fn commit(self) {
        let gone: Vec<&str> = self.messages.iter().filter(|(_, gone)| *gone).map(|(m, _)| m.id.as_str()).collect();
        self.room.state().own.retain(|m| !gone.contains(&m.id.as_str()));
    }
}

impl Drop for LockedMaildrop {
    fn drop(&mut self) {
        self.room.state().is_locked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn room() -> Arc<Mailroom> {
        let password = Arc::new(Secret::new("hunter2".to_owned()).unwrap());
        Arc::new(Mailroom::new(password, "run".into(), Duration::from_secs(120)))
    }

    #[test]
    fn the_gate_is_open_for_its_window_and_that_address_only() {
        let mut gate = Gate { window: Duration::from_secs(120), logins: HashMap::new() };
        let then = Instant::now();
        assert!(!gate.is_open(HERE, then));
        gate.logged_in(HERE, then);
        assert!(gate.is_open(HERE, then + Duration::from_secs(119)));
        assert!(gate.is_open("::ffff:127.0.0.1".parse().unwrap(), then));
        assert!(!gate.is_open("::1".parse().unwrap(), then));
        assert!(!gate.is_open(HERE, then + Duration::from_secs(120)));
    }

    #[test]
    fn only_the_right_password_opens_the_gate() {
        let room = room();
        assert!(matches!(room.log_in(USER, b"hunter3", HERE), Login::Wrong));
        assert!(matches!(room.log_in("bob", b"hunter2", HERE), Login::Wrong));
        assert!(!room.may_relay(HERE));
        let first = room.log_in(USER, b"hunter2", HERE);
        assert!(matches!(first, Login::In(_)) && room.may_relay(HERE));
        assert!(matches!(room.log_in(USER, b"hunter2", HERE), Login::InUse));
        drop(first);
        assert!(matches!(room.log_in(USER, b"hunter2", HERE), Login::In(_)));
        let counts = Counts { logins: 3, wrong_passwords: 2, gate_refusals: 1, ..Counts::default() };
        assert_eq!(room.counts(), counts);
    }

    #[test]
    fn a_full_mailbox_takes_nothing_for_the_others_either() {
        let room = room();
        for _ in 0..MAX_MESSAGES {
            room.deliver(&[Mailbox::Own], "", b"x\r\n").unwrap();
        }
        assert_eq!(room.deliver(&[Mailbox::Foreign, Mailbox::Own], "", b"x\r\n"), Err(MailboxFull));
        assert!(room.messages(Mailbox::Foreign).is_empty());
    }
}
