//! POP-before-SMTP: the provider relays mail only for addresses from which someone has lately logged in by POP3. The gate is
//! what a login opens. Decided here: which login still counts, and when a command that a shut gate refused is tried again.
//!
//! Not here: the login itself (the program's `proxy/gate_login.rs`), and which refusals mean a shut gate
//! (`smtp/verdict.rs`).

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;

/// The longest wait in advance for a permission that comes late. Providers that read their POP log from time to time need up
/// to ten seconds; the client waits no more than 25.
const MAX_LEARNED_DELAY: Duration = Duration::from_secs(10);
/// How long a client may wait for the answer to one command. Outlook Express 4 gives up after 30 s.
const COMMAND_BUDGET: Duration = Duration::from_secs(25);
/// How long a client may wait for all the commands of one message, so that the waits for its recipients do not add up.
const MESSAGE_BUDGET: Duration = Duration::from_secs(40);
/// The waits before the next tries, each on a new connection. Providers that read their POP log do so every 5 s, some every
/// 10 s.
const RETRY_WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(6),
    Duration::from_secs(8),
];
/// The wait (an index of [`RETRY_WAITS`]) after which ostler logs in once more: the provider may have missed the first
/// login.
const LOGIN_AGAIN_AT_WAIT: usize = 3;
/// How often a refusal without a reason may be taken for a shut gate. Most of them mean the message.
const UNCLEAR_REFUSAL_INTERVAL: Duration = Duration::from_secs(600);
/// The age up to which a login counts while a refused command is tried again. The provider may be slow to register it, and
/// then a second login would not help.
const RECENT_LOGIN: Duration = Duration::from_secs(60);

/// The gate that one login opens (one user at one POP3 server).
#[derive(Debug, Clone, Default)]
pub struct Gate {
    last: Option<LastLogin>,
    /// The client's own POP3 sessions that are open now.
    open_sessions: usize,
    /// The provider wants at least this long between two logins (LOGIN-DELAY, RFC 2449, section 6.5).
    login_delay: Duration,
    /// How long after a login the permission was seen to come.
    learned_delay: Duration,
    unclear_refusal_tried: Option<Moment>,
}

#[derive(Debug, Clone, Copy)]
struct LastLogin {
    /// When the provider accepted it.
    at: Moment,
    /// The start of its age: the login, or the end of the client's session that began with it.
    counts_from: Moment,
    /// The address of this computer that the provider saw.
    local: Option<IpAddr>,
}

/// Which login a send may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginPolicy {
    /// A login as young as the settings ask for.
    Fresh,
    /// A login accepted after this moment, when the provider refused, no matter which send or fetch made it. An older one
    /// did not help: the provider refused in spite of it.
    NewerThan(Moment),
    /// Any login of the last minute: the provider may need time to register it, and a second login would not help.
    Recent,
}

/// Whether a send has to log in before its SMTP connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginNeed {
    /// A login still counts. The provider usually notices it after this wait.
    Holds(Duration),
    /// Log in.
    LogIn,
}

impl Gate {
    /// Whether a send has to log in first. `local` is the address this computer would use now: after a change of network the
    /// provider knows only the old one.
    pub fn needs_login(&self, now: Moment, policy: LoginPolicy, fresh: Duration, local: Option<IpAddr>) -> LoginNeed {
        let Some(last) = self.last else { return LoginNeed::LogIn };
        // The client's session counts as the login, and a second one beside it does harm: most servers answer it with
        // IN-USE after some ten seconds, some end the first.
        if self.open_sessions > 0 {
            return LoginNeed::Holds(self.permission_wait(now));
        }
        let moved = matches!((last.local, local), (Some(then), Some(now)) if then != now);
        let age = now.saturating_duration_since(last.counts_from);
        let holds = match policy {
            // A login sooner than LOGIN-DELAY would be refused, so the last one has to do.
            LoginPolicy::Fresh => age < fresh.max(self.login_delay),
            LoginPolicy::Recent => age < fresh.max(self.login_delay).max(RECENT_LOGIN),
            // By the moment of the login: that a session ended after the refusal proves nothing.
            LoginPolicy::NewerThan(refused) => last.at > refused,
        };
        if holds && !moved { LoginNeed::Holds(self.permission_wait(now)) } else { LoginNeed::LogIn }
    }

    /// How much longer the provider usually takes to notice the last login.
    pub fn permission_wait(&self, now: Moment) -> Duration {
        let age = |last: LastLogin| now.saturating_duration_since(last.counts_from);
        self.last.map_or(Duration::ZERO, |last| self.learned_delay.saturating_sub(age(last)))
    }

    /// Whether a login was accepted after this moment. The end of a session is not a login.
    pub fn has_login_since(&self, then: Moment) -> bool {
        self.last.is_some_and(|last| last.at > then)
    }

    /// The provider accepted a login, ostler's own or the client's, from this local address.
    pub fn on_login(&mut self, now: Moment, local: Option<IpAddr>, login_delay: Option<u32>) {
        self.last = Some(LastLogin { at: now, counts_from: now, local });
        if let Some(seconds) = login_delay {
            self.login_delay = Duration::from_secs(seconds.into());
        }
    }

    /// The client's own POP3 session has begun. While it lasts it counts as the login, and ostler makes no other.
    pub fn on_session_start(&mut self) {
        self.open_sessions += 1;
    }

    /// The client's own session has ended. Some providers count from the logout.
    pub fn on_session_end(&mut self, now: Moment) {
        self.open_sessions = self.open_sessions.saturating_sub(1);
        if let Some(last) = &mut self.last {
            last.counts_from = now;
        }
    }

    /// The age of the last login, for people and for the status.
    pub fn login_age(&self, now: Moment) -> Option<Duration> {
        self.last.map(|last| now.saturating_duration_since(last.counts_from))
    }

    /// The address of this computer that the provider saw at the last login.
    pub fn login_address(&self) -> Option<IpAddr> {
        self.last.and_then(|last| last.local)
    }

    /// The provider accepted what it had refused before, this long after the last login. From now on a send waits as long
    /// before it connects.
    pub fn learn_delay(&mut self, after_login: Duration) {
        self.learned_delay = self.learned_delay.max(after_login.min(MAX_LEARNED_DELAY));
    }

    /// Whether a refusal without a reason may be taken for a shut gate now. If so, the next one may not for some minutes.
    pub(crate) fn may_try_unclear_refusal(&mut self, now: Moment) -> bool {
        let may = self
            .unclear_refusal_tried
            .is_none_or(|then| now.saturating_duration_since(then) >= UNCLEAR_REFUSAL_INTERVAL);
        if may {
            self.unclear_refusal_tried = Some(now);
        }
        may
    }
}

/// The last login, seen from a connection on which a command was refused. It decides what comes before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginState {
    /// It is older than the connection and was not made for it: log in first.
    Old,
    /// It was made for this very connection: the provider may need time, and another login at once would change nothing.
    New,
    /// It was accepted after the connection was opened. Many servers decide when a connection opens, so a new connection
    /// comes first, and a login only if that is refused too.
    Untried,
}

/// The retries of one command that a shut gate refused: when to try again, and when to log in again.
#[derive(Debug, Clone)]
pub(crate) struct GateRetry {
    /// When the client sent the command.
    began: Moment,
    /// How long the client waits for the answer.
    budget: Duration,
    /// The next try is a new connection, at once and without a login.
    reconnect_first: bool,
    /// The next try comes at once, after a login.
    login_first: bool,
    /// How many of [`RETRY_WAITS`] were used.
    waits_used: usize,
}

/// One try, on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Try {
    /// The wait before anything else.
    pub wait: Duration,
    /// Whether the try needs a login that is newer than the refusal.
    pub login: bool,
}

impl GateRetry {
    /// The retries of a command that the client sent at `began` and that was refused just now. `spent` is the time that the
    /// retries of the same message have taken before.
    pub(crate) fn new(began: Moment, login: LoginState, spent: Duration) -> Self {
        let budget = COMMAND_BUDGET.min(MESSAGE_BUDGET.saturating_sub(spent));
        let (reconnect_first, login_first) = (login == LoginState::Untried, login != LoginState::New);
        Self { began, budget, reconnect_first, login_first, waits_used: 0 }
    }

    /// The next try; `None` if the client would not wait for it.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Try> {
        let next = if self.reconnect_first {
            Try { wait: Duration::ZERO, login: false }
        } else if self.login_first {
            Try { wait: Duration::ZERO, login: true }
        } else {
            Try { wait: *RETRY_WAITS.get(self.waits_used)?, login: self.waits_used == LOGIN_AGAIN_AT_WAIT }
        };
        // A wait that ends after the client has given up would be for nothing.
        if now.checked_add(next.wait)? >= self.ends()? {
            return None;
        }
        // `&&` clears only the flag that made this try: a reconnect leaves the login for the next one.
        if !std::mem::take(&mut self.reconnect_first) && !std::mem::take(&mut self.login_first) {
            self.waits_used += 1;
        }
        Some(next)
    }

    /// When the client stops waiting.
    pub(crate) fn ends(&self) -> Option<Moment> {
        self.began.checked_add(self.budget)
    }

    /// How long the client has waited so far.
    pub(crate) fn spent(&self, now: Moment) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::LoginPolicy::{Fresh, NewerThan, Recent};
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
        assert_eq!(gate.needs_login(at(0), Fresh, secs(60), home()), LoginNeed::LogIn);
        gate.on_login(at(0), home(), None);
        assert_eq!(gate.needs_login(at(59), Fresh, secs(60), home()), LoginNeed::Holds(secs(0)));
        assert_eq!(gate.needs_login(at(60), Fresh, secs(60), home()), LoginNeed::LogIn);
        assert_eq!(gate.needs_login(at(1), Fresh, secs(0), home()), LoginNeed::LogIn);
    }

    #[test]
    fn the_last_login_can_be_told() {
        let mut gate = Gate::default();
        assert_eq!((gate.login_age(at(5)), gate.login_address()), (None, None));
        gate.on_login(at(0), home(), None);
        assert_eq!((gate.login_age(at(5)), gate.login_address()), (Some(secs(5)), home()));
    }

    #[test]
    fn a_servers_wish_for_time_between_logins_is_kept() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), Some(120));
        assert_eq!(gate.needs_login(at(100), Fresh, secs(0), home()), LoginNeed::Holds(secs(0)));
        assert_eq!(gate.needs_login(at(121), Fresh, secs(0), home()), LoginNeed::LogIn);
    }

    #[test]
    fn the_clients_own_session_is_the_login() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), None);
        assert!(gate.open_sessions == 0);
        gate.on_session_start();
        assert!(gate.open_sessions > 0);
        assert_eq!(gate.needs_login(at(9000), Fresh, secs(0), home()), LoginNeed::Holds(secs(0)));
        gate.on_session_end(at(9000));
        assert!(gate.open_sessions == 0);
        assert_eq!(gate.needs_login(at(9030), Fresh, secs(60), home()), LoginNeed::Holds(secs(0)));
        assert_eq!(gate.needs_login(at(9061), Fresh, secs(60), home()), LoginNeed::LogIn);
    }

    #[test]
    fn another_network_shuts_the_gate() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), None);
        assert_eq!(gate.needs_login(at(1), Fresh, secs(60), "10.0.0.1".parse().ok()), LoginNeed::LogIn);
        assert_eq!(gate.needs_login(at(1), Fresh, secs(60), None), LoginNeed::Holds(secs(0)));
    }

    #[test]
    fn late_permission_is_learned_and_waited_for() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), None);
        gate.learn_delay(secs(4));
        assert_eq!(gate.needs_login(at(1), Fresh, secs(60), home()), LoginNeed::Holds(secs(3)));
        assert_eq!(gate.needs_login(at(5), Fresh, secs(60), home()), LoginNeed::Holds(secs(0)));
        gate.learn_delay(secs(300));
        gate.on_login(at(400), home(), None);
        assert_eq!(gate.needs_login(at(400), Fresh, secs(60), home()), LoginNeed::Holds(MAX_LEARNED_DELAY));
    }

    #[test]
    fn retries_stay_inside_the_clients_patience() {
        let mut retry = GateRetry::new(at(0), LoginState::Old, secs(0));
        let mut now = at(0);
        let mut tries = Vec::new();
        while let Some(next) = retry.next(now) {
            now = now.checked_add(next.wait).unwrap();
            tries.push((next.wait.as_secs(), next.login));
        }
        assert_eq!(tries, [(0, true), (1, false), (2, false), (4, false), (6, true), (8, false)]);
        assert_eq!(retry.spent(now), secs(21));
        assert_eq!(retry.ends(), now.checked_add(COMMAND_BUDGET - secs(21)));
        let mut slow = GateRetry::new(at(0), LoginState::New, secs(0));
        assert_eq!(slow.next(at(24)), None);
        let mut rest = GateRetry::new(at(0), LoginState::New, secs(38));
        assert_eq!(rest.next(at(0)).map(|t| t.wait), Some(secs(1)));
        assert_eq!(rest.next(at(1)), None);
    }

    #[test]
    fn what_comes_first_depends_on_the_login_the_refused_connection_had() {
        let tries = |login| {
            let mut retry = GateRetry::new(at(0), login, secs(0));
            [(); 3].map(|()| retry.next(at(0)).map(|t| (t.wait.as_secs(), t.login)).unwrap())
        };
        assert_eq!(tries(LoginState::Old), [(0, true), (1, false), (2, false)]);
        assert_eq!(tries(LoginState::New), [(1, false), (2, false), (4, false)]);
        assert_eq!(tries(LoginState::Untried), [(0, false), (0, true), (1, false)]);
        // A try that comes too late is not counted as made.
        let mut late = GateRetry::new(at(0), LoginState::Untried, secs(0));
        assert_eq!((late.next(at(25)), late.next(at(24)).map(|t| t.login)), (None, Some(false)));
    }

    #[test]
    fn after_a_refusal_only_a_login_accepted_since_counts_whoever_made_it() {
        let mut gate = Gate::default();
        let need = |gate: &Gate, refused| gate.needs_login(at(20), NewerThan(at(refused)), secs(60), home());
        assert_eq!(need(&gate, 10), LoginNeed::LogIn);
        // However fresh: the provider refused in spite of it. In the moment of the refusal counts as before it.
        for before in [9, 10] {
            gate.on_login(at(before), home(), None);
            assert_eq!(need(&gate, 10), LoginNeed::LogIn);
            assert!(!gate.has_login_since(at(10)));
        }
        gate.on_login(at(11), home(), None);
        assert_eq!(need(&gate, 10), LoginNeed::Holds(secs(0)));
        assert!(gate.has_login_since(at(10)));
        // The next refusal is newer than that login.
        assert_eq!(need(&gate, 12), LoginNeed::LogIn);
    }

    #[test]
    fn another_sends_login_brings_its_age_and_the_learned_delay() {
        let mut gate = Gate::default();
        gate.learn_delay(secs(5));
        gate.on_login(at(11), home(), None);
        let need = |now, local| gate.needs_login(at(now), NewerThan(at(10)), secs(0), local);
        assert_eq!(need(12, home()), LoginNeed::Holds(secs(4)));
        assert_eq!(need(100, home()), LoginNeed::Holds(secs(0)), "neither fresh nor LOGIN-DELAY limits it");
        assert_eq!(need(12, "10.0.0.1".parse().ok()), LoginNeed::LogIn, "made from another address");
    }

    #[test]
    fn after_a_refusal_the_clients_login_counts_and_the_end_of_its_session_does_not() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), None);
        gate.on_session_start();
        let need = |gate: &Gate, refused| gate.needs_login(at(30), NewerThan(at(refused)), secs(60), home());
        assert_eq!(need(&gate, 10), LoginNeed::Holds(secs(0)), "never beside the client's own session");
        gate.on_session_end(at(20));
        assert_eq!(need(&gate, 10), LoginNeed::LogIn, "the session ended since, but it began before");
        assert_eq!(gate.needs_login(at(30), Fresh, secs(60), home()), LoginNeed::Holds(secs(0)));
        gate.on_login(at(21), home(), None);
        gate.on_session_start();
        gate.on_session_end(at(22));
        assert_eq!(need(&gate, 20), LoginNeed::Holds(secs(0)));
    }

    #[test]
    fn while_a_command_is_tried_again_a_login_of_the_last_minute_is_kept() {
        let mut gate = Gate::default();
        gate.on_login(at(0), home(), None);
        let need = |now, fresh| gate.needs_login(at(now), Recent, secs(fresh), home());
        assert_eq!(need(59, 0), LoginNeed::Holds(secs(0)));
        assert_eq!(need(60, 0), LoginNeed::LogIn);
        assert_eq!(need(60, 300), LoginNeed::Holds(secs(0)));
    }

    #[test]
    fn a_bare_refusal_is_given_the_benefit_once_in_ten_minutes() {
        let mut gate = Gate::default();
        assert!(gate.may_try_unclear_refusal(at(0)));
        assert!(!gate.may_try_unclear_refusal(at(599)));
        assert!(gate.may_try_unclear_refusal(at(601)));
    }
}
