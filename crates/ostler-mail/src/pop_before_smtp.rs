//! The gate of a POP-before-SMTP provider: who logged in when, what counts as a login, and how a shut gate is healed.
//! Pure: time comes in, decisions come out; who logs in and connects is `serve/gate.rs`.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;

/// A permission that comes later than this after the login is not waited for in advance: log tailers need up to ten
/// seconds, and a client's patience is 25.
const LATEST: Duration = Duration::from_secs(10);
/// How long a client may be kept waiting for the answer to one command: Outlook Express 4 gives up after 30 s.
pub const COMMAND_BUDGET: Duration = Duration::from_secs(25);
/// And for all the commands of one message, so that a list of recipients does not add up.
pub const MESSAGE_BUDGET: Duration = Duration::from_secs(40);
/// The waits before the tries on a new connection. A log tailer looks every 5 s, some every 10.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(6),
    Duration::from_secs(8),
];
/// Before this try one more login is made: the first may not have been counted.
const LOGIN_AGAIN: usize = 3;
/// A bare refusal is taken for a shut gate only so often: it is probably a refusal.
const PERHAPS_EVERY: Duration = Duration::from_secs(600);

/// What ostler knows of one login (one user at one server).
#[derive(Debug, Clone, Default)]
pub struct Gate {
    last: Option<Login>,
    open_sessions: usize,
    login_delay: Duration,
    /// How long after a login the permission was seen to come.
    learned: Duration,
    perhaps_healed: Option<Moment>,
}

#[derive(Debug, Clone, Copy)]
struct Login {
    at: Moment,
    local: Option<IpAddr>,
}

/// What a send has to do before its SMTP connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing but wait this long: a login holds.
    Open(Duration),
    /// Log in.
    LogIn,
}

impl Gate {
    /// Whether a login holds. `local` is the address this computer would use now: after a change of network the
    /// provider knows the old one only.
    pub fn enter(&self, now: Moment, fresh: Duration, local: Option<IpAddr>) -> Entry {
        let Some(last) = self.last else { return Entry::LogIn };
        if self.open_sessions > 0 {
            return Entry::Open(self.still_late(now, last));
        }
        let moved = matches!((last.local, local), (Some(then), Some(now)) if then != now);
        let age = now.saturating_duration_since(last.at);
        if !moved && age < fresh.max(self.login_delay) { Entry::Open(self.still_late(now, last)) } else { Entry::LogIn }
    }

    /// What is left of the time the provider usually takes to notice a login.
    fn still_late(&self, now: Moment, last: Login) -> Duration {
        self.learned.saturating_sub(now.saturating_duration_since(last.at))
    }

    /// A login was accepted, ostler's own or the client's, from this local address.
    pub fn logged_in(&mut self, now: Moment, local: Option<IpAddr>, login_delay: Option<u32>) {
        self.last = Some(Login { at: now, local });
        if let Some(seconds) = login_delay {
            self.login_delay = Duration::from_secs(seconds.into());
        }
    }

    /// The client's own POP session has begun: while it lasts it is the login, and no second one is made beside it.
    pub fn session_opened(&mut self) {
        self.open_sessions += 1;
    }

    /// It has ended. Some servers count from here.
    pub fn session_closed(&mut self, now: Moment) {
        self.open_sessions = self.open_sessions.saturating_sub(1);
        if let Some(last) = &mut self.last {
            last.at = now;
        }
    }

    /// Nothing is known of the provider's mind any more: after sleep, or a change of network.
    pub fn shut(&mut self) {
        self.last = None;
    }

    /// How old the last login is, for people and for status.
    pub fn age(&self, now: Moment) -> Option<Duration> {
        self.last.map(|last| now.saturating_duration_since(last.at))
    }

    /// The address of this computer the provider knows from the last login.
    pub fn known_as(&self) -> Option<IpAddr> {
        self.last.and_then(|last| last.local)
    }

    /// Whether the client has a session of its own open.
    pub fn has_session(&self) -> bool {
        self.open_sessions > 0
    }

    /// A shut gate was healed `after` the last login.
    pub fn healed(&mut self, after: Duration) {
        self.learned = self.learned.max(after.min(LATEST));
    }

    /// Whether a bare refusal may be taken for a shut gate now; says yes once in a while only.
    pub fn may_heal_perhaps(&mut self, now: Moment) -> bool {
        let may = self.perhaps_healed.is_none_or(|then| now.saturating_duration_since(then) >= PERHAPS_EVERY);
        if may {
            self.perhaps_healed = Some(now);
        }
        may
    }
}

/// The healing of one refused command: when to try again, and when to log in again.
#[derive(Debug, Clone)]
pub struct Healing {
    began: Moment,
    budget: Duration,
    login_first: bool,
    tries: usize,
}

/// One try: on a new connection, after this wait, with a login before it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// To be waited before anything else.
    pub wait: Duration,
    /// Whether to log in after the wait.
    pub login: bool,
}

impl Healing {
    /// Begins when a command was refused that the client said at `began`. `login_is_new`: a login was made for this very
    /// send, so that making another at once would change nothing; `spent`: what this message has cost already.
    pub fn new(began: Moment, login_is_new: bool, spent: Duration) -> Self {
        let budget = COMMAND_BUDGET.min(MESSAGE_BUDGET.saturating_sub(spent));
        Self { began, budget, login_first: !login_is_new, tries: 0 }
    }

    /// The next try; `None` when the client's patience is used up.
    pub fn next(&mut self, now: Moment) -> Option<Try> {
        let next = if self.login_first {
            Try { wait: Duration::ZERO, login: true }
        } else {
            let wait = *WAITS.get(self.tries)?;
            let login = self.tries == LOGIN_AGAIN;
            self.tries += 1;
            Try { wait, login }
        };
        let end = self.began.checked_add(self.budget)?;
        if now.checked_add(next.wait)? >= end {
            return None;
        }
        self.login_first = false;
        Some(next)
    }

    /// When the client's patience ends.
    pub fn ends(&self) -> Option<Moment> {
        self.began.checked_add(self.budget)
    }

    /// How long it has taken so far.
    pub fn spent(&self, now: Moment) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(1000 + seconds))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn home() -> Option<IpAddr> {
        "192.0.2.7".parse().ok()
    }

    #[test]
    fn a_login_holds_as_long_as_the_settings_say() {
        let mut gate = Gate::default();
        assert_eq!(gate.enter(at(0), secs(60), home()), Entry::LogIn);
        gate.logged_in(at(0), home(), None);
        assert_eq!(gate.enter(at(59), secs(60), home()), Entry::Open(secs(0)));
        assert_eq!(gate.enter(at(60), secs(60), home()), Entry::LogIn);
        assert_eq!(gate.enter(at(1), secs(0), home()), Entry::LogIn);
    }

    #[test]
    fn the_last_login_can_be_told() {
        let mut gate = Gate::default();
        assert_eq!((gate.age(at(5)), gate.known_as()), (None, None));
        gate.logged_in(at(0), home(), None);
        assert_eq!((gate.age(at(5)), gate.known_as()), (Some(secs(5)), home()));
    }

    #[test]
    fn a_servers_wish_for_time_between_logins_is_kept() {
        let mut gate = Gate::default();
        gate.logged_in(at(0), home(), Some(120));
        assert_eq!(gate.enter(at(100), secs(0), home()), Entry::Open(secs(0)));
        assert_eq!(gate.enter(at(121), secs(0), home()), Entry::LogIn);
    }

    #[test]
    fn the_clients_own_session_is_the_login() {
        let mut gate = Gate::default();
        gate.logged_in(at(0), home(), None);
        assert!(!gate.has_session());
        gate.session_opened();
        assert!(gate.has_session());
        assert_eq!(gate.enter(at(9000), secs(0), home()), Entry::Open(secs(0)));
        gate.session_closed(at(9000));
        assert!(!gate.has_session());
        assert_eq!(gate.enter(at(9030), secs(60), home()), Entry::Open(secs(0)));
        assert_eq!(gate.enter(at(9061), secs(60), home()), Entry::LogIn);
    }

    #[test]
    fn another_network_shuts_the_gate() {
        let mut gate = Gate::default();
        gate.logged_in(at(0), home(), None);
        assert_eq!(gate.enter(at(1), secs(60), "10.0.0.1".parse().ok()), Entry::LogIn);
        assert_eq!(gate.enter(at(1), secs(60), None), Entry::Open(secs(0)));
        gate.shut();
        assert_eq!(gate.enter(at(1), secs(60), home()), Entry::LogIn);
    }

    #[test]
    fn late_permission_is_learned_and_waited_for() {
        let mut gate = Gate::default();
        gate.logged_in(at(0), home(), None);
        gate.healed(secs(4));
        assert_eq!(gate.enter(at(1), secs(60), home()), Entry::Open(secs(3)));
        assert_eq!(gate.enter(at(5), secs(60), home()), Entry::Open(secs(0)));
        gate.healed(secs(300));
        gate.logged_in(at(400), home(), None);
        assert_eq!(gate.enter(at(400), secs(60), home()), Entry::Open(LATEST));
    }

    #[test]
    fn healing_stays_inside_the_clients_patience() {
        let mut healing = Healing::new(at(0), false, secs(0));
        let mut now = at(0);
        let mut tries = Vec::new();
        while let Some(next) = healing.next(now) {
            now = now.checked_add(next.wait).unwrap();
            tries.push((next.wait.as_secs(), next.login));
        }
        assert_eq!(tries, [(0, true), (1, false), (2, false), (4, false), (6, true), (8, false)]);
        assert_eq!(healing.spent(now), secs(21));
        assert_eq!(healing.ends(), now.checked_add(COMMAND_BUDGET - secs(21)));
        let mut slow = Healing::new(at(0), true, secs(0));
        assert_eq!(slow.next(at(24)), None);
        let mut rest = Healing::new(at(0), true, secs(38));
        assert_eq!(rest.next(at(0)).map(|t| t.wait), Some(secs(1)));
        assert_eq!(rest.next(at(1)), None);
    }

    #[test]
    fn a_bare_refusal_is_given_the_benefit_once_in_ten_minutes() {
        let mut gate = Gate::default();
        assert!(gate.may_heal_perhaps(at(0)));
        assert!(!gate.may_heal_perhaps(at(599)));
        assert!(gate.may_heal_perhaps(at(601)));
    }
}
