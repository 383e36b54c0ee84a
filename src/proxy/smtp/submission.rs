//! The provider's side of an SMTP session: connections, sign-ins, waits. A message is a [`Script`] that can be said again
//! on another connection as long as no body has been sent; what its answers mean is decided there. After the end of data
//! nothing is ever said twice.

mod body;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::events::event::Event;
use crate::proxy::gate_login::Wish;
use crate::proxy::net::dial::{Route, Upstream};
use crate::proxy::session::{Session, unless_stopped};
use crate::proxy::sign_in::{Prepared, hear, say, supported};
use crate::proxy::{Engine, now};
use ostler_mail::account::{Account, AfterPop, Server};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::machine::Outgoing;
use ostler_mail::pop_before_smtp::{Entry, Gate, Try};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::envelope::{Heard, Next, Refusal, Say, Script, Way};
use ostler_mail::smtp::front::SmtpFront;
use ostler_mail::smtp::login::SmtpLogin;
use ostler_mail::smtp::{Extensions, Mail, Reply, ReplyParser, words};

/// How long a provider's goodbye is waited for.
const GOODBYE: Duration = Duration::from_secs(2);

/// A failure to reach a provider early is the answer to a MAIL that comes so soon after it; later it is tried again.
const STALE: Duration = Duration::from_secs(10);

/// A provider that is signed in.
struct Provider {
    account: Arc<Account>,
    /// Which of the account's servers it is.
    number: usize,
    upstream: Upstream,
    offered: Extensions,
    /// How many commands of the script it has accepted.
    done: usize,
    /// When it answered the end of the message it has served before; it may have hung up since.
    rested: Option<Moment>,
}

/// What became of a script on one connection.
enum Outcome {
    /// Its last command was accepted.
    Accepted(Reply),
    Refused(Refusal),
}

type Reached = Result<Prepared<SmtpLogin>, Failure>;

/// A provider being reached for while the client still talks.
struct Reach {
    account: Arc<Account>,
    future: Pin<Box<dyn Future<Output = Reached> + Send>>,
    reached: Option<(Instant, Reached)>,
}

/// The provider's side of a session.
pub(super) struct Carrier {
    engine: Arc<Engine>,
    settings: Arc<ostler_mail::account::Settings>,
    provider: Option<Provider>,
    reach: Option<Reach>,
    /// What the client gave at AUTH, for accounts that pass it on.
    given: Option<Arc<Secret>>,
    /// The sign-in that was refused on this connection of the client's: a queue of messages must not try the same password
    /// once for each, for providers lock accounts.
    refused: Option<(Arc<Account>, Failure)>,
    /// What healing this message has cost so far.
    spent: Duration,
    /// The last connection was preceded by a login of its own.
    login_is_new: bool,
    /// Which of the account's servers accepted MAIL: no other one may go on with this message.
    bound: usize,
    /// Which of the account's servers was tried last.
    tried: usize,
    /// A new login was wanted and had to wait for the client's own session to end.
    login_owed: bool,
}

/// Tries what a send would do up to RCPT, healing a shut gate, and takes it back: for the check.
pub(crate) async fn rehearse(engine: &Arc<Engine>, account: &Arc<Account>, recipient: &str) -> Result<Reply, Failure> {
    let mut carrier = Carrier::new(Arc::clone(engine), engine.settings());
    let mail = Mail { sender: account.address.clone(), size: None, eight_bit: false };
    let script = Script::new(&mail, &[], Say::Rcpt(recipient.to_owned()), now());
    let reply = Box::pin(carrier.heal(account, script)).await?;
    if let Some(provider) = &mut carrier.provider {
        let _ = ask(&mut provider.upstream, "RSET", Waiting::Answer, GOODBYE).await;
    }
    carrier.leave().await;
    Ok(reply)
}

impl Carrier {
    /// No provider yet.
    pub(super) fn new(engine: Arc<Engine>, settings: Arc<ostler_mail::account::Settings>) -> Self {
        Self {
            engine,
            settings,
            provider: None,
            reach: None,
            given: None,
            refused: None,
            spent: Duration::ZERO,
            login_is_new: false,
            bound: 0,
            tried: 0,
            login_owed: false,
        }
    }

    /// What follows belongs to a new message.
    pub(super) fn begin_message(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// For accounts that sign in with what the client gives.
    pub(super) fn sign_in_with(&mut self, given: Option<Arc<Secret>>) {
        self.given = given;
        self.refused = None;
    }

    /// Breaks with the provider, without a goodbye: what it has heard must not go on.
    pub(super) fn drop_provider(&mut self) {
        self.provider = None;
    }

    /// Goes on reaching for a provider; never completes when there is nothing to do.
    pub(super) async fn go_on_reaching(&mut self) {
        match self.reach.as_mut().filter(|reach| reach.reached.is_none()) {
            Some(reach) => {
                let reached = (&mut reach.future).await;
                reach.reached = Some((Instant::now(), reached));
            }
            None => std::future::pending().await,
        }
    }

    /// Says the script up to `last`, healing a shut gate; the reply for the client.
    pub(super) async fn carry(
        &mut self,
        session: &Session,
        account: &Arc<Account>,
        mail: &Mail,
        accepted: &[String],
        last: Say,
    ) -> Reply {
        let script = Script::new(mail, accepted, last, now());
        let known = self.refused.as_ref().filter(|(whose, _)| Arc::ptr_eq(whose, account)).map(|(_, why)| why.clone());
        let done = match known {
            Some(failure) => Err(failure),
            None => unless_stopped(session.stopping.clone(), Box::pin(self.heal(account, script))).await,
        };
        match done {
            Ok(reply) => reply,
            Err(failure) => {
                self.provider = None;
                if let Failure::SignInRefused { .. } = failure {
                    self.refused = Some((Arc::clone(account), failure.clone()));
                }
                session.report(Some(account), &failure);
                Reply::from_line(&words::failure(&failure))
            }
        }
    }

    /// Tries the script until it is accepted, refused for a reason of its own, or the client's patience ends.
    async fn heal(&mut self, account: &Arc<Account>, mut script: Script) -> Result<Reply, Failure> {
        let mut wish = Wish::AsSet;
        let done = loop {
            let was_used = self.provider.as_ref().is_some_and(|p| p.rested.is_some() && p.done == 0);
            let attempted = match script.patience(now()) {
                None => self.attempt(account, &script, wish).await,
                Some(left) => match timeout(left, self.attempt(account, &script, wish)).await {
                    Ok(attempted) => attempted,
                    // The client's patience ends before a slow server answers.
                    Err(_) => {
                        self.provider = None;
                        break Ok(self.at_the_gate(account, |gate| {
                            script.given_up(gate.map(|(gate, state)| (gate, &*state)), now())
                        }));
                    }
                },
            };
            let (login_is_new, spent) = (self.login_is_new, self.spent);
            let next = match attempted {
                Ok(Outcome::Accepted(reply)) => {
                    if let Some((tries, spent)) = script.healing(now()) {
                        self.healed(account, tries, spent);
                    }
                    break Ok(reply);
                }
                Ok(Outcome::Refused(refusal)) => self.at_the_gate(account, |gate| {
                    script.refused(refusal, Way { gate, login_is_new, spent, was_used }, now())
                }),
                Err(failure) => self.at_the_gate(account, |gate| {
                    script.failed(failure, Way { gate, login_is_new, spent, was_used }, now())
                }),
            };
            match next {
                Next::Answer(reply) => break Ok(reply),
                Next::Fail(failure) => break Err(failure),
                Next::Reopen => self.provider = None,
                Next::Again(Try { wait, login }) => {
                    wish = if login || self.login_owed { Wish::Anew } else { Wish::Keep };
                    self.leave().await;
                    sleep(wait).await;
                }
            }
        };
        self.spent += script.healing(now()).map(|(_, spent)| spent).unwrap_or_default();
        done
    }

    /// Says what of the script the provider has not accepted yet, on a new connection if there is none.
    async fn attempt(&mut self, account: &Arc<Account>, script: &Script, wish: Wish) -> Result<Outcome, Failure> {
        self.open(account, script.begins(), wish).await?;
        let limit = self.settings.timeouts.reply;
        let Some(provider) = &mut self.provider else { return Err(Failure::Internal) };
        if let Some((size, limit)) = script.too_big(&provider.offered) {
            return Err(Failure::TooBig { at: provider.upstream.at.clone(), size, limit });
        }
        while let Some(line) = script.line(provider.done, &provider.offered) {
            let reply = ask(&mut provider.upstream, &line, Waiting::Answer, limit).await?;
            match script.heard(provider.done, reply) {
                Heard::Next => {}
                Heard::Accepted(reply) => {
                    provider.done += 1;
                    self.bound = provider.number;
                    return Ok(Outcome::Accepted(reply));
                }
                Heard::Refused(refusal) => {
                    if refusal.leaves() {
                        self.provider = None;
                    }
                    return Ok(Outcome::Refused(refusal));
                }
                Heard::Nonsense(what) => {
                    return Err(Failure::ProtocolViolation { at: provider.upstream.at.clone(), what });
                }
            }
            provider.done += 1;
            self.bound = provider.number;
        }
        Err(Failure::Internal)
    }

    /// Sees to it that there is a provider for this account, at the beginning of a message or in the middle of it.
    async fn open(&mut self, account: &Arc<Account>, at_mail: bool, wish: Wish) -> Result<(), Failure> {
        if let Some(provider) = &mut self.provider {
            let gate = account.smtp.get(provider.number).and_then(Server::gate).filter(|_| at_mail);
            let holds = gate.is_none_or(|gate| {
                matches!(self.engine.gate(&gate.login).lock().enter(now(), gate.fresh, None), Entry::Open(_))
            });
            // One that has been idle as long as an answer may take can have died without a word, as after this computer's
            // sleep; the client would wait for it as long again.
            let idle = provider.rested.filter(|_| at_mail).map(|then| now().saturating_duration_since(then));
            let fresh = idle.is_none_or(|idle| idle < self.settings.timeouts.reply);
            let same = Arc::ptr_eq(&provider.account, account) && holds && fresh;
            if same && !(at_mail && provider.done > 0) && !provider.upstream.conn.has_news().await {
                return Ok(());
            }
            // What it says unasked in the middle of a message puts its earlier answers in doubt; 421 is a goodbye.
            let said = provider.upstream.conn.unused();
            if same && !at_mail && !said.is_empty() && !said.starts_with(b"421") {
                return Err(Failure::ProtocolViolation {
                    at: provider.upstream.at.clone(),
                    what: "it spoke unasked".into(),
                });
            }
            let timeouts = &self.settings.timeouts;
            if same && at_mail && provider.done > 0 {
                // The client gave the last message up.
                let reset = ask(&mut provider.upstream, "RSET", Waiting::Answer, timeouts.reply).await;
                if reset.is_ok_and(|reply| reply.is_ok()) {
                    provider.done = 0;
                    return Ok(());
                }
            }
            self.leave().await;
        }
        self.provider = Some(self.connect(account, at_mail, wish).await?);
        Ok(())
    }

    /// The first of the account's servers that can be reached; in the middle of a message, the one that has begun it.
    async fn connect(&mut self, account: &Arc<Account>, at_mail: bool, mut wish: Wish) -> Result<Provider, Failure> {
        let early = self.reach.take().filter(|reach| Arc::ptr_eq(&reach.account, account));
        let mut early = match early {
            // Whatever was in the way a while ago need not be now.
            Some(Reach { reached: Some((when, Err(_))), .. }) if when.elapsed() > STALE => None,
            Some(Reach { reached: Some((_, reached)), .. }) => Some(reached),
            Some(Reach { future, .. }) => Some(future.await),
            None => None,
        };
        if let Some(Ok(prepared)) = &mut early
            && prepared.is_stale().await
        {
            early = None;
        }
        let numbers = if at_mail { 0..account.smtp.len() } else { self.bound..self.bound + 1 };
        let mut logged_in = None;
        for number in numbers.clone() {
            let Some(server) = account.smtp.get(number) else { break };
            let login = server.gate().map(|gate| gate.login.id());
            if login.is_some() && login == logged_in {
                // Made for the server before this one a moment ago.
                wish = Wish::Keep;
            }
            let early = early.take().filter(|_| number == 0);
            // Boxed, for it is a part of what every command makes anew.
            match Box::pin(self.sign_in(account, number, server, early, wish)).await {
                Err(failure) if failure.is_unreachable() && number + 1 < numbers.end => {
                    logged_in = login.filter(|_| self.login_is_new);
                    self.engine.events.publish(Event::Failed(Some(account.name.clone()), failure));
                }
                done => return done,
            }
        }
        Err(Failure::NoServer { account: account.name.clone(), protocol: ostler_mail::account::Protocol::Smtp })
    }

    async fn sign_in(
        &mut self,
        account: &Arc<Account>,
        number: usize,
        server: &Server,
        early: Option<Reached>,
        wish: Wish,
    ) -> Result<Provider, Failure> {
        self.tried = number;
        supported(server)?;
        let settings = Arc::clone(&self.settings);
        let (engine, timeouts) = (Arc::clone(&self.engine), &settings.timeouts);
        let given = self.given.clone();
        let mut route = Route::default();
        self.login_is_new = false;
        if let Some(gate) = server.gate() {
            let passed = engine.enter_gate(account, server, gate, given.as_ref(), wish, timeouts).await?;
            route = passed.route;
            self.login_is_new = passed.login_is_new;
            self.login_owed = wish == Wish::Anew && !passed.login_is_new;
        }
        let prepared = match early {
            Some(early) => early?,
            None => engine.prepare_smtp(server, timeouts, route).await?,
        };
        let secret = match (&prepared, server.credentials()) {
            (Prepared::WantsSecret(..), Some(_)) => Some(engine.secret(account, server, given.as_ref()).await?),
            _ => None,
        };
        let finished = prepared.finish(&engine.dialer, secret, timeouts).await;
        let (upstream, offered) = finished.inspect_err(|failure| engine.note_refusal(account, server, failure))?;
        engine.learn(server, |learned| learned.size = offered.size.flatten());
        Ok(Provider { account: Arc::clone(account), number, upstream, offered, done: 0, rested: None })
    }

    /// Reaches for the provider before the client needs it, where it is clear which one that will be. Not through a gate:
    /// its login comes first, and only a send is worth one.
    pub(super) fn reach_early(&mut self, front: &SmtpFront) {
        let Some(account) = front.likely_account() else { return };
        if front.has_begun() {
            return;
        }
        let known = self.reach.as_ref().is_some_and(|reach| Arc::ptr_eq(&reach.account, &account));
        let Some(server) = account.smtp.first().filter(|s| s.gate().is_none() && supported(s).is_ok()).cloned() else {
            return;
        };
        if known || self.provider.is_some() || front.transaction().is_some() {
            return;
        }
        let (engine, timeouts) = (Arc::clone(&self.engine), self.settings.timeouts.clone());
        let future = Box::pin(async move { engine.prepare_smtp(&server, &timeouts, Route::default()).await });
        self.reach = Some(Reach { account, future, reached: None });
    }

    /// The gate before the server that was tried last, if it has one.
    fn gate<'a>(&self, account: &'a Account) -> Option<&'a Arc<AfterPop>> {
        account.smtp.get(self.tried).and_then(Server::gate)
    }

    /// Asks something about that gate, with what is known of its login.
    fn at_the_gate<T>(&self, account: &Account, ask: impl FnOnce(Option<(&AfterPop, &mut Gate)>) -> T) -> T {
        match self.gate(account) {
            Some(gate) => ask(Some((gate, &mut self.engine.gate(&gate.login).lock()))),
            None => ask(None),
        }
    }

    fn healed(&self, account: &Account, tries: usize, spent: Duration) {
        if let Some(gate) = self.gate(account) {
            let cell = self.engine.gate(&gate.login);
            let mut state = cell.lock();
            let after: Duration = state.age(now()).unwrap_or(spent);
            state.healed(after);
        }
        self.engine.events.publish(Event::GateHealed { account: account.name.clone(), tries });
    }

    /// Says goodbye to the provider.
    pub(super) async fn leave(&mut self) {
        let Some(mut provider) = self.provider.take() else { return };
        let goodbye = async {
            let _ = ask(&mut provider.upstream, "QUIT", Waiting::Answer, GOODBYE).await;
            provider.upstream.conn.close().await;
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// One command, one reply.
pub(crate) async fn ask(
    upstream: &mut Upstream,
    command: &str,
    waiting: Waiting,
    limit: Duration,
) -> Result<Reply, Failure> {
    say(upstream, &Outgoing::line(command), waiting, limit).await?;
    read_reply(upstream, waiting, limit, Instant::now() + limit).await
}

async fn read_reply(
    upstream: &mut Upstream,
    waiting: Waiting,
    limit: Duration,
    deadline: Instant,
) -> Result<Reply, Failure> {
    let mut parser = ReplyParser::default();
    loop {
        let line = hear(upstream, waiting, limit, deadline).await?;
        match parser.push(&line) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(wrong) => return Err(Failure::ProtocolViolation { at: upstream.at.clone(), what: wrong.to_string() }),
        }
    }
}
