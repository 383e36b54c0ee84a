//! An SMTP session: hear the client, carry each message to the provider of its account. A message is a script (MAIL, the
//! accepted RCPTs, DATA) that can be said again on another connection as long as no body has been sent; that is how a
//! shut gate is healed. After the end of data nothing is ever said twice.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::account::{Access, Account, Server};
use crate::conn::Conn;
use crate::dial::{Route, Upstream};
use crate::engine::{Engine, now};
use crate::event::Event;
use crate::failure::{Failure, Place, Waiting, one_line};
use crate::gate::verdict::{Stage, Verdict, verdict};
use crate::gate::{Healing, Try};
use crate::protocol::{Breach, Clock, Misuse, Outgoing, Party};
use crate::relay::{Ended, Limits, Nowhere, relay};
use crate::secret::Secret;
use crate::serve::gate::Wish;
use crate::serve::{Heard, Session, goodbye, has_early_input, secret_of, unless_stopped};
use crate::sign_in::{Prepared, hear, say, supported};
use crate::smtp::data::Data;
use crate::smtp::front::{Answer, Front, Transaction, misused};
use crate::smtp::login::Login;
use crate::smtp::{Extensions, Mail, Reply, ReplyParser};
use crate::wire::{AUTH_LINE, COMMAND_LINE};

/// How long a provider's goodbye is waited for.
const GOODBYE: Duration = Duration::from_secs(2);

/// A failure to reach a provider early is the answer to a MAIL that comes so soon after it; later it is tried again.
const STALE: Duration = Duration::from_secs(10);

/// One command of a message.
#[derive(Debug, Clone)]
enum Say {
    Mail(Mail),
    Rcpt(String),
    Data,
}

impl Say {
    fn stage(&self) -> Stage {
        match self {
            Self::Mail(_) => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }

    fn line(&self, offered: &Extensions) -> String {
        match self {
            Self::Mail(mail) => mail.command(offered),
            Self::Rcpt(recipient) => format!("RCPT TO:<{recipient}>"),
            Self::Data => "DATA".into(),
        }
    }

    fn is_accepted(&self, reply: &Reply) -> bool {
        if let Self::Data = self { reply.code == 354 } else { reply.is_ok() }
    }
}

/// A provider that is signed in.
struct Provider {
    account: Arc<Account>,
    upstream: Upstream,
    offered: Extensions,
    /// How many commands of the script it has accepted.
    done: usize,
    /// It has served a message before, so it may have hung up since.
    used: bool,
}

/// What became of a script.
enum Outcome {
    /// Its last command was accepted.
    Accepted(Reply),
    /// A command was refused; whether it was the last.
    Refused(Stage, Reply, bool),
}

type Reached = Result<Prepared<Login>, Failure>;

/// A provider being reached for while the client still talks.
struct Reach {
    account: Arc<Account>,
    future: Pin<Box<dyn Future<Output = Reached> + Send>>,
    reached: Option<(Instant, Reached)>,
}

/// The provider's side of a session.
struct Carrier {
    engine: Arc<Engine>,
    settings: Arc<crate::account::Settings>,
    provider: Option<Provider>,
    reach: Option<Reach>,
    /// What the client gave at AUTH, for accounts that pass it on.
    given: Option<Arc<Secret>>,
    /// What healing this message has cost so far.
    spent: Duration,
    /// The last connection was preceded by a login of its own.
    login_is_new: bool,
    /// A new login was wanted and had to wait for the client's own session to end.
    login_owed: bool,
}

/// Serves a client to its end.
pub async fn serve(session: &mut Session, client: &mut Conn<TcpStream>) {
    let size =
        session.settings.accounts.first().filter(|_| session.own.is_some() || session.settings.accounts.len() == 1);
    let size = session.own.as_ref().or(size).and_then(|a| a.smtp.first()).and_then(|s| session.engine.learned(s).size);
    let front = Front::new(Arc::clone(&session.settings), session.own.clone(), session.stamp(), size);
    let carrier = Carrier::new(Arc::clone(&session.engine), Arc::clone(&session.settings));
    // Boxed, so that what is rare does not make every session big.
    Box::pin(converse(session, client, front, carrier)).await;
}

async fn converse(session: &mut Session, client: &mut Conn<TcpStream>, mut front: Front, mut carrier: Carrier) {
    if !session.say(client, &front.greeting()).await {
        return;
    }
    let mut deadline = Instant::now() + session.settings.timeouts.login;
    loop {
        let heard = next(session, client, &front, &mut carrier, deadline).await;
        let answer = match heard {
            Heard::Line(line) => {
                session.log_line(&line, front.in_exchange());
                front.on_line(&line)
            }
            Heard::Misused(misuse) => misused(misuse),
            Heard::End(rest) if front.on_end(&rest) => Answer::Bye("221 2.0.0 bye\r\n".into()),
            Heard::End(_) => break,
            Heard::TimedOut => Answer::Bye("421 4.4.2 nothing was said for too long\r\n".into()),
            Heard::Stopping => Answer::Bye("421 4.3.2 ostler is about to end\r\n".into()),
        };
        let text = match answer {
            Answer::Say(text) => text,
            Answer::Refused(failure) => {
                session.report(None, &failure);
                format!("{}\r\n", failure.smtp_reply())
            }
            Answer::Authenticate(account, attempt) => {
                match authenticate(session, &mut front, &mut carrier, account, &attempt).await {
                    Some(text) => text,
                    None => {
                        let Answer::Misused(misuse, text) = misused(Misuse::TooManyPasswords) else { break };
                        session.misused(misuse);
                        goodbye(client, &text).await;
                        break;
                    }
                }
            }
            Answer::Mail(account, mail) => {
                session.named(&account);
                session.doing("beginning a message");
                carrier.spent = Duration::ZERO;
                let reply = carrier.carry(session, &account, &mail, &[], Say::Mail(mail.clone())).await;
                front.mail_answered(&reply)
            }
            Answer::Rcpt(recipient) => match front.transaction().cloned() {
                Some(Transaction { account, mail, accepted }) => {
                    let reply = carrier.carry(session, &account, &mail, &accepted, Say::Rcpt(recipient)).await;
                    front.rcpt_answered(&reply)
                }
                None => front.rcpt_answered(&Reply::new(451, "4.3.0 ostler lost track of this message")),
            },
            Answer::Data => match message(session, client, &mut front, &mut carrier).await {
                Some(text) => text,
                None => break,
            },
            Answer::Bye(text) => {
                goodbye(client, &text).await;
                break;
            }
            Answer::Misused(misuse, text) => {
                session.misused(misuse);
                goodbye(client, &text).await;
                break;
            }
        };
        if text.starts_with("421 ") {
            // Whoever says 421 closes (RFC 5321, 3.8), and what the provider said is passed on whole.
            goodbye(client, &text).await;
            break;
        }
        if !session.say(client, &text).await {
            break;
        }
        let timeouts = &session.settings.timeouts;
        if front.is_at_work() {
            deadline = Instant::now() + timeouts.idle;
        }
        carrier.reach_early(&front);
    }
    carrier.leave().await;
}

/// The client's next line, while the provider is being reached.
async fn next(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    front: &Front,
    carrier: &mut Carrier,
    deadline: Instant,
) -> Heard {
    let limit = if front.in_exchange() { AUTH_LINE } else { COMMAND_LINE };
    loop {
        let Some(reach) = carrier.reach.as_mut().filter(|r| r.reached.is_none()) else {
            return session.hear(client, limit, deadline).await;
        };
        tokio::select! {
            biased;
            heard = session.hear(client, limit, deadline) => return heard,
            reached = &mut reach.future => reach.reached = Some((Instant::now(), reached)),
        }
    }
}

/// Decides on a client's AUTH; `None`: it has guessed often enough.
async fn authenticate(
    session: &mut Session,
    front: &mut Front,
    carrier: &mut Carrier,
    account: Option<Arc<Account>>,
    attempt: &crate::sasl::Attempt,
) -> Option<String> {
    if session.settings.access != Access::Password {
        carrier.given = secret_of(attempt);
        return Some(front.authenticated(account, true));
    }
    let known = match &account {
        Some(account) => session.knows_password(account, &attempt.proof).await,
        None => {
            // A name that is nobody takes as long as a wrong password.
            session.wrong_passwords += 1;
            sleep(Duration::from_secs(session.wrong_passwords.into())).await;
            Ok(false)
        }
    };
    match known {
        Ok(false) if session.has_guessed_enough() => None,
        Ok(holds) => Some(front.authenticated(account, holds)),
        Err(failure) => {
            session.report(account.as_deref(), &failure);
            Some(format!("{}\r\n", failure.smtp_reply()))
        }
    }
}

/// DATA and the body; `None` when the connection is over.
async fn message(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    front: &mut Front,
    carrier: &mut Carrier,
) -> Option<String> {
    let Transaction { account, mail, accepted } = front.transaction()?.clone();
    let reply = carrier.carry(session, &account, &mail, &accepted, Say::Data).await;
    if reply.code != 354 {
        session.engine.events.publish(Event::NotSent { account: account.name.clone(), why: reply.one_line() });
        return Some(front.message_answered(&reply));
    }
    if has_early_input(client).await {
        carrier.provider = None;
        let Answer::Misused(misuse, text) = misused(Misuse::EarlyData) else { return None };
        session.misused(misuse);
        goodbye(client, &text).await;
        return None;
    }
    session.doing("sending a message");
    if !session.say(client, &format!("{}\r\n", reply.one_line())).await {
        return None;
    }
    let (reply, octets) = carrier.body(session, client).await?;
    if reply.is_ok() {
        let sent = Event::Sent { account: account.name.clone(), recipients: accepted.len(), octets };
        session.engine.events.publish(sent);
    } else {
        session.engine.events.publish(Event::NotSent { account: account.name.clone(), why: reply.one_line() });
    }
    session.doing("signed in");
    Some(front.message_answered(&reply))
}

/// Tries what a send would do up to RCPT, healing a shut gate, and takes it back: for the check.
pub(crate) async fn rehearse(engine: &Arc<Engine>, account: &Arc<Account>, recipient: &str) -> Result<Reply, Failure> {
    let mut carrier = Carrier::new(Arc::clone(engine), engine.settings());
    let mail = Mail { sender: account.address.clone(), size: None, eight_bit: false };
    let script = [Say::Mail(mail.clone()), Say::Rcpt(recipient.to_owned())];
    let reply = Box::pin(carrier.heal(account, &mail, &script)).await?;
    if let Some(provider) = &mut carrier.provider {
        let _ = ask(&mut provider.upstream, "RSET", Waiting::Answer, GOODBYE).await;
    }
    carrier.leave().await;
    Ok(reply)
}

impl Carrier {
    fn new(engine: Arc<Engine>, settings: Arc<crate::account::Settings>) -> Self {
        Self {
            engine,
            settings,
            provider: None,
            reach: None,
            given: None,
            spent: Duration::ZERO,
            login_is_new: false,
            login_owed: false,
        }
    }

    /// Says the script up to `last`, healing a shut gate; the reply for the client.
    async fn carry(
        &mut self,
        session: &Session,
        account: &Arc<Account>,
        mail: &Mail,
        accepted: &[String],
        last: Say,
    ) -> Reply {
        let mut script = Vec::with_capacity(accepted.len() + 2);
        if !matches!(last, Say::Mail(_)) {
            script.push(Say::Mail(mail.clone()));
            script.extend(accepted.iter().cloned().map(Say::Rcpt));
        }
        script.push(last);
        match unless_stopped(session.stopping.clone(), Box::pin(self.heal(account, mail, &script))).await {
            Ok(reply) => reply,
            Err(failure) => {
                self.provider = None;
                session.report(Some(account), &failure);
                Reply::from_line(&failure.smtp_reply())
            }
        }
    }

    /// Tries the script until it is accepted, refused for a reason of its own, or the client's patience ends.
    async fn heal(&mut self, account: &Arc<Account>, mail: &Mail, script: &[Say]) -> Result<Reply, Failure> {
        let began = now();
        let (mut healing, mut tries, mut reopened): (Option<Healing>, usize, bool) = (None, 0, false);
        let mut wish = Wish::AsSet;
        loop {
            let was_used = self.provider.as_ref().is_some_and(|p| p.used && p.done == 0);
            let (stage, reply, is_last) = match self.attempt(account, mail, script, wish).await {
                Ok(Outcome::Accepted(reply)) => {
                    if let Some(healing) = healing {
                        self.healed(account, tries, healing.spent(now()));
                    }
                    return Ok(reply);
                }
                // It hung up between two messages; nothing of this one has been taken yet.
                Ok(Outcome::Refused(Stage::Mail, Reply { code: 421, .. }, _))
                | Err(Failure::Lost { .. } | Failure::Nonsense { .. })
                    if was_used && !reopened =>
                {
                    (reopened, self.provider) = (true, None);
                    continue;
                }
                Ok(Outcome::Refused(stage, reply, is_last)) => (stage, reply, is_last),
                Err(Failure::TurnedAway { said, .. }) if gate_of(account).is_some() => {
                    (Stage::Connect, Reply::from_line(&said), false)
                }
                Err(failure) => return Err(failure),
            };
            if !self.is_gate_shut(account, stage, &reply, healing.is_some()) {
                return Ok(if is_last || stage == Stage::Connect { reply } else { replay_refused(&reply) });
            }
            let plan = healing.get_or_insert_with(|| Healing::new(began, self.login_is_new, self.spent));
            let Some(Try { wait, login }) = plan.next(now()) else {
                self.spent += plan.spent(now());
                return Ok(self.explain(account, &reply, tries, plan.spent(now())));
            };
            tries += 1;
            wish = if login || self.login_owed { Wish::Anew } else { Wish::Keep };
            self.leave().await;
            sleep(wait).await;
        }
    }

    /// Says what of the script the provider has not accepted yet, on a new connection if there is none.
    async fn attempt(
        &mut self,
        account: &Arc<Account>,
        mail: &Mail,
        script: &[Say],
        wish: Wish,
    ) -> Result<Outcome, Failure> {
        self.open(account, script.len() == 1, wish).await?;
        let timeouts = self.settings.timeouts.clone();
        let Some(provider) = &mut self.provider else { return Err(Failure::Internal) };
        if let (Some(size), Some(Some(limit))) = (mail.size, provider.offered.size)
            && size > limit
        {
            return Err(Failure::TooBig { at: provider.upstream.at.clone(), size, limit });
        }
        while let Some(command) = script.get(provider.done) {
            let is_last = provider.done + 1 == script.len();
            let reply =
                ask(&mut provider.upstream, &command.line(&provider.offered), Waiting::Answer, timeouts.reply).await?;
            if reply.code == 421 {
                // It closes the connection now (RFC 5321, 3.8).
                self.provider = None;
                return Ok(Outcome::Refused(command.stage(), reply, is_last));
            }
            if !command.is_accepted(&reply) {
                if reply.code < 400 {
                    let what = format!("\"{}\" is no answer to {}", reply.one_line(), command.line(&provider.offered));
                    return Err(Failure::Nonsense { at: provider.upstream.at.clone(), what });
                }
                return Ok(Outcome::Refused(command.stage(), reply, is_last));
            }
            provider.done += 1;
            if is_last {
                return Ok(Outcome::Accepted(reply));
            }
        }
        Err(Failure::Internal)
    }

    /// Sees to it that there is a provider for this account, at the beginning of a message or in the middle of it.
    async fn open(&mut self, account: &Arc<Account>, at_mail: bool, wish: Wish) -> Result<(), Failure> {
        if let Some(provider) = &mut self.provider {
            let same = Arc::ptr_eq(&provider.account, account);
            if same && !(at_mail && provider.done > 0) && !provider.upstream.conn.has_news().await {
                return Ok(());
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
        self.provider = Some(self.connect(account, wish).await?);
        Ok(())
    }

    /// The first of the account's servers that can be reached.
    async fn connect(&mut self, account: &Arc<Account>, wish: Wish) -> Result<Provider, Failure> {
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
        let mut left = account.smtp.iter();
        while let Some(server) = left.next() {
            match self.sign_in(account, server, early.take(), wish).await {
                Err(failure) if failure.is_unreachable() && left.len() > 0 => {
                    self.engine.events.publish(Event::Failed(Some(account.name.clone()), failure));
                }
                done => return done,
            }
        }
        Err(Failure::NoServer { account: account.name.clone(), protocol: crate::account::Protocol::Smtp })
    }

    async fn sign_in(
        &mut self,
        account: &Arc<Account>,
        server: &Server,
        early: Option<Reached>,
        wish: Wish,
    ) -> Result<Provider, Failure> {
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
        Ok(Provider { account: Arc::clone(account), upstream, offered, done: 0, used: false })
    }

    /// Reaches for the provider before the client needs it, where it is clear which one that will be. Not through a gate:
    /// its login comes first, and only a send is worth one.
    fn reach_early(&mut self, front: &Front) {
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

    /// Whether a refusal is worth healing.
    fn is_gate_shut(&self, account: &Account, stage: Stage, reply: &Reply, is_healing: bool) -> bool {
        let Some(gate) = gate_of(account) else { return false };
        match verdict(stage, reply) {
            Verdict::Shut => true,
            Verdict::NotTheGate => false,
            // It was taken for a shut gate once; the same words again are no news.
            Verdict::Perhaps if is_healing => true,
            Verdict::Perhaps => {
                let cell = self.engine.gate(&gate.login);
                let mut state = cell.lock();
                let old = state.age(now()).is_none_or(|age| age >= gate.fresh) || stage == Stage::Connect;
                old && state.may_heal_perhaps(now())
            }
        }
    }

    fn healed(&self, account: &Account, tries: usize, spent: Duration) {
        if let Some(gate) = gate_of(account) {
            let cell = self.engine.gate(&gate.login);
            let mut state = cell.lock();
            let after: Duration = state.age(now()).unwrap_or(spent);
            state.healed(after);
        }
        self.engine.events.publish(Event::GateHealed { account: account.name.clone(), tries });
    }

    /// A refusal that survived everything: the provider's words, then what was tried, in one line.
    fn explain(&self, account: &Account, reply: &Reply, tries: usize, spent: Duration) -> Reply {
        let Some(gate) = gate_of(account) else { return reply.clone() };
        let age = self.engine.gate(&gate.login).lock().age(now());
        let login = age.map_or_else(
            || "has no POP login".to_owned(),
            |age| {
                let user = gate.login.credentials().map_or("", |c| c.username.as_str());
                format!("logged in to the POP server {} as {user} {} s ago", gate.login.host, age.as_secs())
            },
        );
        let hint = if gate.login.security == crate::account::Security::Tls {
            "; some hosts count only logins over STLS on port 110 (login = { security = \"starttls\" })"
        } else {
            ""
        };
        let tried = format!("; ostler {login} and tried {tries} times in {} s: still refused{hint}", spent.as_secs());
        let space = crate::wire::CLIENT_REPLY.saturating_sub(6 + tried.len());
        let words: String = reply.text().chars().take(space).collect();
        Reply::new(reply.code, &one_line(&format!("{words}{tried}")))
    }

    /// The body and the provider's answer to its end, with the octets sent; `None` when the client is gone.
    async fn body(&mut self, session: &mut Session, client: &mut Conn<TcpStream>) -> Option<(Reply, u64)> {
        let timeouts = self.settings.timeouts.clone();
        let limits = Limits { idle: timeouts.data, reply: timeouts.data, data: timeouts.data };
        let mut provider = self.provider.take()?;
        let mut data = Data::default();
        let at = provider.upstream.at.clone();
        let ended = relay(client, &mut provider.upstream.conn, &mut data, limits, &mut session.stopping).await;
        let octets = data.octets();
        let refusal = match ended {
            Ended::Over if data.is_complete() => {
                let reply = self.last_answer(provider, &timeouts).await;
                return Some((reply, octets));
            }
            Ended::Over => early_answer(&at, data.early()),
            // The end of data may have been among the last octets that left.
            Ended::ServerGone if data.is_complete() => {
                return Some((outcome_unknown(&at, "it closed the connection"), octets));
            }
            Ended::TimedOut(..) if data.is_complete() => {
                return Some((outcome_unknown(&at, "it did not take the end of the message"), octets));
            }
            Ended::ServerGone => broken(Failure::Lost { at, waiting: Waiting::Message }, session, &provider.account),
            Ended::TimedOut(Clock::Message | Clock::Reply, Party::Server) => broken(
                Failure::TimedOut { at, waiting: Waiting::Message, after: timeouts.data },
                session,
                &provider.account,
            ),
            Ended::Breach(Breach::Server(what)) => broken(Failure::Nonsense { at, what }, session, &provider.account),
            Ended::TimedOut(..) => {
                goodbye(client, "421 4.4.2 the message did not go on for too long; nothing was sent\r\n").await;
                return None;
            }
            Ended::ClientGone | Ended::Stopping | Ended::Breach(Breach::Client(_)) => return None,
        };
        drop(provider);
        swallow(client, data, limits, session).await.then_some((refusal, octets))
    }

    /// Waits for the answer to the end of data.
    async fn last_answer(&mut self, mut provider: Provider, timeouts: &crate::account::Timeouts) -> Reply {
        let at = provider.upstream.at.clone();
        let deadline = Instant::now() + timeouts.last;
        match read_reply(&mut provider.upstream, Waiting::FinalDot, timeouts.last, deadline).await {
            Ok(reply) if reply.code == 421 => reply,
            Ok(reply) if reply.is_ok() || reply.code >= 400 => {
                provider.done = 0;
                provider.used = true;
                self.provider = Some(provider);
                reply
            }
            Ok(reply) => outcome_unknown(&at, &format!("it said \"{}\"", reply.one_line())),
            Err(Failure::TimedOut { .. }) => outcome_unknown(&at, "it did not answer in time"),
            Err(Failure::Nonsense { what, .. }) => outcome_unknown(&at, &what),
            Err(_) => outcome_unknown(&at, "it closed the connection"),
        }
    }

    /// Says goodbye to the provider.
    async fn leave(&mut self) {
        let Some(mut provider) = self.provider.take() else { return };
        let goodbye = async {
            let _ = ask(&mut provider.upstream, "QUIT", Waiting::Answer, GOODBYE).await;
            provider.upstream.conn.close().await;
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// The gate an account sends through.
fn gate_of(account: &Account) -> Option<&Arc<crate::account::AfterPop>> {
    account.smtp.iter().find_map(Server::gate)
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
            Err(wrong) => return Err(Failure::Nonsense { at: upstream.at.clone(), what: wrong.to_string() }),
        }
    }
}

/// A recipient that was accepted before is refused on the new connection: the message cannot go on as it was.
fn replay_refused(reply: &Reply) -> Reply {
    Reply::new(
        451,
        &one_line(&format!("4.3.0 the provider had to be asked anew and changed its mind: {}", reply.one_line())),
    )
}

/// The one thing nobody can know. Never sent again by itself.
fn outcome_unknown(at: &Place, why: &str) -> Reply {
    let text = format!(
        "4.4.2 the outcome is unknown: {} had the whole message, then {why}; it may have been sent, so ask a recipient before you send it again",
        at.host
    );
    Reply::new(451, &one_line(&text))
}

/// The provider spoke before the end of data: a refusal is one, anything else is nothing.
fn early_answer(at: &Place, early: Option<&Reply>) -> Reply {
    match early {
        Some(reply) if reply.code >= 400 => reply.clone(),
        _ => Reply::new(451, &format!("4.5.0 {} answered before the message was complete; it was not sent", at.host)),
    }
}

/// The connection broke in the middle: the end of data was never sent, so nothing was.
fn broken(failure: Failure, session: &Session, account: &Account) -> Reply {
    session.report(Some(account), &failure);
    Reply::from_line(&failure.smtp_reply())
}

/// Hears the rest of a body that nobody takes any more, for a client only listens behind its dot.
async fn swallow(client: &mut Conn<TcpStream>, data: Data, limits: Limits, session: &mut Session) -> bool {
    let mut data = data.swallow();
    if !data.is_complete() {
        relay(client, &mut Conn::new(Nowhere), &mut data, limits, &mut session.stopping).await;
    }
    data.is_complete()
}
