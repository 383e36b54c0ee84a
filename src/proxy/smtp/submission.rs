//! The provider's side of a client's SMTP session: connections, sign-ins, waits. What is kept of a message and what to do
//! next is decided by a [`Submission`] of `ostler_mail`, and done here. Until the body leaves, the envelope can be said
//! again on another connection; after the end of data nothing is ever said twice.

mod body;
pub(super) mod provider_session;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::kept;
use crate::events::event::Event;
use crate::proxy::early::{EarlyConnect, EarlyResult};
use crate::proxy::gate_login::GatedSend;
use crate::proxy::net::dial::Route;
use crate::proxy::session::{Session, unless_stopped};
use crate::proxy::sign_in::{Prepared, connect_and_prepare, note_refusal};
use crate::proxy::{Engine, now};
use ostler_mail::account::{Account, Protocol, SecretSource, Server, Settings};
use ostler_mail::failure::Failure;
use ostler_mail::pop_before_smtp::LoginPolicy;
use ostler_mail::secret::Secret;
use ostler_mail::smtp::data::Chunking;
use ostler_mail::smtp::envelope::{EnvelopeCommand, Refusal, ReplyMeaning, Upcoming};
use ostler_mail::smtp::front::SmtpFront;
use ostler_mail::smtp::login::{Ready, SmtpLogin};
use ostler_mail::smtp::submission::{Attempt, Next, Reuse, Submission, reuse};
use ostler_mail::smtp::{Extensions, Mail, Reply, words};
use provider_session::ProviderSession;

/// If the early connection failed less than this long ago, MAIL reports that failure; otherwise ostler connects again.
const EARLY_FAILURE_LIFETIME: Duration = Duration::from_secs(10);
/// How long a kept session may take to show that it still works. After that ostler makes a new connection.
const KEPT_RESET_TIMEOUT: Duration = Duration::from_secs(5);

/// What lasts as long as the client's connection. Each message has a [`Submission`] of its own.
pub(super) struct ProviderSide {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
    session: Option<ProviderSession>,
    submission: Option<Submission>,
    early: Option<EarlyConnect<SmtpLogin>>,
    /// The password the client gave at AUTH, for accounts that pass it on.
    client_secret: Option<Arc<Secret>>,
    /// The sign-in that the provider refused, or ended by hanging up, during this connection of the client. A queue of messages
    /// must not give the same password once for each message: providers lock accounts for that.
    refused_sign_in: Option<(Arc<Account>, Failure)>,
}

/// The provider's answer to the client's command on one connection.
enum Outcome {
    Accepted(Reply),
    Refused(Refusal),
}

/// Whether a sign-in would give the same secret now as the one with which this session was signed in.
async fn has_same_secret(engine: &Engine, client_secret: Option<&Arc<Secret>>, kept: &ProviderSession) -> bool {
    let secret = match kept.server().filter(|server| server.credentials().is_some()) {
        Some(server) => engine.secret(&kept.account, server, client_secret).await.ok(),
        None => None,
    };
    match (&secret, &kept.secret) {
        (Some(now), Some(then)) => now.is(then.expose()),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Asks the provider the next command of the message, with those that may leave in the same flight.
async fn ask_next(
    engine: &Engine,
    session: &mut ProviderSession,
    submission: &Submission,
    limit: Duration,
) -> Result<Reply, Failure> {
    let Some(line) = submission.line(session.accepted, &session.offered) else { return Err(Failure::Internal) };
    let behind = submission.lines_behind(session.accepted, &session.offered);
    let has_left_behind_another = session.in_flight > 0;
    let heard = session.ask_with(&line, &behind, limit).await;
    if has_left_behind_another {
        note_unanswered(engine, session, heard.as_ref().err());
    }
    heard
}

/// Hears what left together with a refused command. Returns whether the session can go on.
async fn forget_flight(engine: &Engine, session: &mut ProviderSession, limit: Duration) -> bool {
    let heard = session.forget_flight(limit).await;
    // One that hangs up behind a refusal has tripped over nothing: it wants no more of this client.
    let is_silent = |failure: &&Failure| matches!(failure, Failure::TimedOut { .. });
    note_unanswered(engine, session, heard.as_ref().err().filter(is_silent));
    heard.unwrap_or(false)
}

/// Remembers of a server that it did not answer a command that left behind another one.
fn note_unanswered(engine: &Engine, session: &ProviderSession, failure: Option<&Failure>) {
    if let Some(Failure::TimedOut { .. } | Failure::Lost { .. }) = failure
        && let Some(server) = session.server()
    {
        engine.note_tripped(&session.account, server);
    }
}

/// Remembers what a sign-in has shown of a server. Returns what ostler uses of its offer.
fn note_offered(engine: &Engine, server: &Server, ready: Ready) -> Extensions {
    let mut offered = ready.offered;
    offered.chunking &= server.chunking;
    engine.learn(server, |learned| {
        offered.pipelining &= !learned.trips_over_pipelining();
        learned.size = offered.size.flatten();
        learned.way = ready.way;
    });
    offered
}

/// Does what a send does up to RCPT, retries at a shut gate included, and takes it back with RSET. For `ostler check`.
pub(crate) async fn rehearse(engine: &Arc<Engine>, account: &Arc<Account>, recipient: &str) -> Result<Reply, Failure> {
    let mut provider = ProviderSide::new(Arc::clone(engine), engine.settings());
    let mail = Mail { sender: account.address.clone(), size: None, eight_bit: false };
    let mut submission = Submission::new(Arc::clone(account), mail, now());
    // From RCPT on, as if MAIL were being repeated on a new connection: the envelope says it by itself.
    submission.begin_command(EnvelopeCommand::Rcpt(recipient.to_owned()), now());
    let reply = Box::pin(provider.submit_with_retry(&mut submission)).await?;
    if let Some(session) = &mut provider.session {
        session.take_back().await;
    }
    provider.leave().await;
    Ok(reply)
}

/// What is told of a provider's refusal, before the body.
fn refused(submission: &Submission, reply: &Reply) -> Event {
    let (account, why) = (submission.account().name.clone(), reply.one_line());
    if submission.is_at_mail() || submission.mail_was_refused() {
        Event::NotSent { account, why }
    } else {
        Event::RecipientRefused { account, why }
    }
}

impl ProviderSide {
    /// No provider is connected yet.
    pub(super) fn new(engine: Arc<Engine>, settings: Arc<Settings>) -> Self {
        Self {
            engine,
            settings,
            session: None,
            submission: None,
            early: None,
            client_secret: None,
            refused_sign_in: None,
        }
    }

    /// A message of this account begins.
    pub(super) fn begin_message(&mut self, account: &Arc<Account>, mail: Mail) {
        self.submission = Some(Submission::new(Arc::clone(account), mail, now()));
    }

    /// The client gave this at AUTH, for accounts that pass it on. A session that was signed in with another one ends: only the
    /// provider can say whether the new one is right.
    pub(super) async fn sign_in_with(&mut self, given: Option<Arc<Secret>>) {
        self.client_secret = given;
        self.refused_sign_in = None;
        if let Some(session) = &self.session
            && session.server().and_then(Server::credentials).is_some_and(|own| own.secret == SecretSource::Client)
            && !has_same_secret(&self.engine, self.client_secret.as_ref(), session).await
        {
            self.leave().await;
        }
    }

    /// Whether the last reply to RCPT was the refusal of the MAIL before it.
    pub(super) fn mail_was_refused(&self) -> bool {
        self.submission.as_ref().is_some_and(Submission::mail_was_refused)
    }

    /// Closes the provider's connection without QUIT: what it has heard must not go on.
    pub(super) fn drop_session(&mut self) {
        self.session = None;
    }

    /// The client has left. The next one may find the provider's session.
    pub(super) async fn end(&mut self) {
        if let Some(session) = self.session.take() {
            kept::keep_or_leave(&self.engine, session).await;
        }
    }

    /// Goes on with a session that an earlier client left behind, if it is still good and the secret is still the same.
    async fn take_kept(&mut self, account: &Arc<Account>) {
        while self.session.is_none()
            && let Some(mut kept) = self.engine.kept.take(account)
        {
            let is_same = has_same_secret(&self.engine, self.client_secret.as_ref(), &kept).await;
            // RSET also shows whether the connection still works.
            if is_same && !kept.upstream.conn.has_news().await && kept.reset(KEPT_RESET_TIMEOUT).await {
                self.early = None;
                self.session = Some(kept);
            } else {
                // The client does not wait for a goodbye that may never be answered.
                tokio::spawn(kept.leave());
            }
        }
    }

    /// If the user signs out, ends the session that waits for the next message. Never completes.
    pub(super) async fn end_after_sign_out(&mut self) {
        if let Some(session) = &self.session {
            session.until_sign_out(&self.engine).await;
            self.leave().await;
        }
        std::future::pending().await
    }

    /// Says QUIT to the provider.
    pub(super) async fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
    }

    /// Whether the commands that the client has sent behind its RCPT can leave with it: no other command is on its way.
    pub(super) fn can_look_ahead(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.in_flight == 0)
    }

    /// DATA was refused without asking the provider, which may have heard it with the recipients.
    pub(super) async fn end_refused_data(&mut self) {
        let limit = self.settings.timeouts.reply;
        if let Some(session) = &mut self.session
            && !session.end_data(limit).await
        {
            self.session = None;
        }
    }

    /// Says the client's command, after those of the message that the provider has not heard yet. Returns the reply for the
    /// client.
    pub(super) async fn submit(&mut self, session: &Session, command: EnvelopeCommand) -> Reply {
        self.submit_with(session, command, Upcoming::default()).await
    }

    /// As [`submit`](Self::submit), with what the client has sent behind the command.
    pub(super) async fn submit_with(
        &mut self,
        session: &Session,
        command: EnvelopeCommand,
        upcoming: Upcoming,
    ) -> Reply {
        let Some(mut submission) = self.submission.take() else {
            return Reply::new(451, "4.3.0 ostler lost track of this message");
        };
        let is_data = command == EnvelopeCommand::Data;
        submission.begin_command(command, now());
        submission.expect_next(upcoming);
        let account = Arc::clone(submission.account());
        let answer = match self.known_refusal(&account) {
            Some(failure) => Err(failure),
            None => unless_stopped(session.stopping.clone(), Box::pin(self.submit_with_retry(&mut submission))).await,
        };
        // Whoever asks for the body tells what became of it.
        if let Ok(reply) = &answer
            && !(reply.is_ok() || is_data)
        {
            self.engine.events.publish(refused(&submission, reply));
        }
        self.submission = Some(submission);
        answer.unwrap_or_else(|failure| self.give_up(session, &account, &failure))
    }

    /// The refusal of this account's sign-in, if there was one. A wrong password is tried once for each connection of the
    /// client's; see [`Self::refused_sign_in`].
    fn known_refusal(&self, account: &Arc<Account>) -> Option<Failure> {
        let known = self.refused_sign_in.as_ref().filter(|(whose, _)| Arc::ptr_eq(whose, account));
        known.map(|(_, failure)| failure.clone())
    }

    fn give_up(&mut self, session: &Session, account: &Arc<Account>, failure: &Failure) -> Reply {
        // The provider may be in the middle of an answer, so its connection is of no further use.
        self.session = None;
        let is_no_way_left = matches!(failure, Failure::MechanismRefused { .. } | Failure::SignInDisabled { .. });
        if failure.may_be_the_password() || is_no_way_left {
            self.refused_sign_in = Some((Arc::clone(account), failure.clone()));
        }
        session.report(Some(account), failure);
        Reply::from_line(&words::failure(failure))
    }

    /// Tries until the command is accepted, or refused for another reason than a shut gate, or until the client would not
    /// wait longer. Every retry on another connection is decided here; [`Self::connect`] only goes on to the account's next
    /// server.
    async fn submit_with_retry(&mut self, submission: &mut Submission) -> Result<Reply, Failure> {
        let mut policy = LoginPolicy::Fresh;
        if submission.is_at_mail() {
            self.take_kept(submission.account()).await;
        }
        let answer = loop {
            let Some((attempted, was_used)) = self.attempt_in_time(submission, policy).await else {
                // A slow server: the client would not wait for the answer.
                self.session = None;
                break Ok(self.final_refusal(submission));
            };
            match self.next(submission, attempted, was_used) {
                Next::Answer(reply) => break Ok(reply),
                Next::Fail(failure) => break Err(failure),
                Next::Reopen => {
                    // The client does not wait for a goodbye that may never be answered.
                    if let Some(session) = self.session.take() {
                        tokio::spawn(session.leave());
                    }
                }
                Next::Retry(wait, login) => {
                    policy = login;
                    // Many servers decide when a connection opens, and a later login does not change that.
                    self.leave().await;
                    sleep(wait).await;
                }
            }
        };
        submission.end_command(now());
        answer
    }

    /// One attempt. `None` if it takes longer than the client waits.
    async fn attempt_in_time(
        &mut self,
        submission: &mut Submission,
        policy: LoginPolicy,
    ) -> Option<(Result<Outcome, Failure>, bool)> {
        match submission.patience(now()) {
            None => Some(self.attempt(submission, policy).await),
            Some(left) => timeout(left, self.attempt(submission, policy)).await.ok(),
        }
    }

    /// Says what the provider has not accepted of the message yet, on a new connection if the old one cannot be used. Returns
    /// with the outcome whether the connection had served another message before ([`Attempt::was_used`]).
    async fn attempt(&mut self, submission: &mut Submission, policy: LoginPolicy) -> (Result<Outcome, Failure>, bool) {
        let kept = self.keep_or_leave(submission).await;
        // Only now: a connection that is made in place of the old one has served nothing, so its refusal means this message.
        let was_used = self.session.as_ref().is_some_and(ProviderSession::is_between_messages);
        let outcome = match kept {
            Ok(()) => self.connect_and_say(submission, policy).await,
            Err(broken) => Err(broken),
        };
        (outcome, was_used)
    }

    async fn connect_and_say(&mut self, submission: &mut Submission, policy: LoginPolicy) -> Result<Outcome, Failure> {
        if self.session.is_none() {
            // Boxed, because every command creates this future, and few commands connect.
            self.session = Some(Box::pin(self.connect(submission, policy)).await?);
        }
        self.say_envelope(submission).await
    }

    async fn say_envelope(&mut self, submission: &mut Submission) -> Result<Outcome, Failure> {
        let limit = self.settings.timeouts.reply;
        let Some(session) = &mut self.session else { return Err(Failure::Internal) };
        // RFC 1870: a server that announces a limit would refuse MAIL or, worse, the whole body.
        if let Some((size, limit)) = submission.too_big(&session.offered) {
            return Err(Failure::TooBig { at: session.upstream.at.clone(), size, limit });
        }
        if submission.is_at_data() {
            // Another session may have found out meanwhile.
            session.offered.chunking &= session.chunking(&self.engine) != Chunking::Fails;
        }
        loop {
            if let Some(reply) = submission.defer(session.accepted, &session.offered) {
                return Ok(Outcome::Accepted(reply));
            }
            let reply = ask_next(&self.engine, session, submission, limit).await?;
            match submission.on_reply(session.accepted, reply, session.server_index) {
                ReplyMeaning::Next => session.accepted += 1,
                ReplyMeaning::Accepted(reply) => {
                    session.accepted += 1;
                    return Ok(Outcome::Accepted(reply));
                }
                ReplyMeaning::Refused(refusal) => {
                    // A server that says it closes has nothing more to say.
                    let is_left = refusal.closes_connection()
                        || refusal.ends_flight() && !forget_flight(&self.engine, session, limit).await;
                    if is_left {
                        self.session = None;
                    }
                    return Ok(Outcome::Refused(refusal));
                }
                ReplyMeaning::NotAnAnswer(what) => {
                    return Err(session.upstream.at.violation(what));
                }
            }
        }
    }

    /// What to do after an attempt, with what is known of the gate's login.
    fn next(&self, submission: &mut Submission, attempted: Result<Outcome, Failure>, was_used: bool) -> Next {
        let gate = submission.gate().cloned();
        let cell = gate.as_ref().map(|gate| self.engine.gate(&gate.login));
        let mut state = cell.as_ref().map(|cell| cell.lock());
        let attempt = Attempt { gate: gate.as_deref().zip(state.as_deref_mut()), was_used };
        match attempted {
            Ok(Outcome::Refused(refusal)) => submission.on_refusal(refusal, attempt, now()),
            Err(failure) => submission.on_failure(failure, attempt, now()),
            Ok(Outcome::Accepted(reply)) => {
                drop(state);
                self.note_retries(submission);
                Next::Answer(reply)
            }
        }
    }

    /// If the command was accepted only after retries, publishes that and remembers how late the gate opened.
    fn note_retries(&self, submission: &Submission) {
        let Some((tries, spent)) = submission.retries(now()) else { return };
        if let Some(gate) = submission.gate() {
            let cell = self.engine.gate(&gate.login);
            let mut state = cell.lock();
            let after_login = state.login_age(now()).unwrap_or(spent);
            state.learn_delay(after_login);
        }
        // Outside the lock of the gate: a reader of events may take its time.
        self.engine.events.publish(Event::GateOpenedLate { account: submission.account().name.clone(), tries });
    }

    fn final_refusal(&self, submission: &Submission) -> Reply {
        match submission.gate() {
            Some(gate) => submission.final_refusal(Some((gate, &self.engine.gate(&gate.login).lock())), now()),
            None => submission.final_refusal(None, now()),
        }
    }

    /// Prepares the session that is open for the next command, or leaves it.
    async fn keep_or_leave(&mut self, submission: &mut Submission) -> Result<(), Failure> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let (at_mail, limit) = (submission.is_at_mail(), self.settings.timeouts.reply);
        let kept = match reuse(session.state(&self.engine, submission.account()).await, at_mail, limit, now()) {
            Reuse::AsItIs => true,
            Reuse::AfterReset => session.reset(limit).await,
            Reuse::Broken(what) => return Err(session.upstream.at.violation(what)),
            Reuse::No => false,
        };
        if !kept {
            self.leave().await;
        } else if at_mail {
            submission.on_kept_session(session.server_index, session.opened_at);
        }
        Ok(())
    }

    /// Connects to the first of the account's servers that can be reached or, in the middle of a message, to the one that
    /// has accepted its MAIL.
    async fn connect(
        &mut self,
        submission: &mut Submission,
        mut policy: LoginPolicy,
    ) -> Result<ProviderSession, Failure> {
        let account = Arc::clone(submission.account());
        let mut early = self.take_early(&account).await;
        let mut logged_in = None;
        let servers = submission.servers();
        for index in servers.clone() {
            let Some(server) = account.smtp.get(index) else { break };
            let login = server.gate().map(|gate| gate.login.id());
            if login.is_some() && login == logged_in {
                // The login made for the server before this one, a moment ago, is good for this one too.
                policy = LoginPolicy::Recent;
            }
            // Early connections are made to the first server.
            let early = early.take().filter(|_| index == 0);
            match self.sign_in(submission, index, server, early, policy).await {
                // Reported although the next server may take the message: the user should know that one is down.
                Err(failure) if failure.is_unreachable() && index + 1 < servers.end => {
                    logged_in = login.filter(|_| submission.login_is_new());
                    self.engine.events.publish(Event::Failed(Some(account.name.clone()), failure));
                }
                done => return done,
            }
        }
        Err(Failure::NoServer { account: account.name.clone(), protocol: Protocol::Smtp })
    }

    /// Signs in at one of the account's servers, after a POP3 login if there is a gate.
    async fn sign_in(
        &mut self,
        submission: &mut Submission,
        index: usize,
        server: &Server,
        early: Option<EarlyResult<SmtpLogin>>,
        policy: LoginPolicy,
    ) -> Result<ProviderSession, Failure> {
        submission.on_server(index, now());
        let (engine, timeouts) = (&*self.engine, &self.settings.timeouts);
        let account = Arc::clone(submission.account());
        let client_secret = self.client_secret.as_ref();
        // The login comes first: a connection opened before it may carry the old verdict for its whole life.
        let route = match server.gate() {
            None => Route::default(),
            Some(gate) => {
                let send = GatedSend { engine, account: &account, server, gate, client_secret, timeouts };
                let open = send.ensure_login(policy).await?;
                submission.on_login(open.login_is_new, policy, now());
                open.route
            }
        };
        // Before the connection exists: a login that comes while it is being made may be too late for it.
        let opened_at = now();
        let prepared = match early {
            Some(early) => early?.0,
            None => connect_and_prepare(engine, server, timeouts, route).await?,
        };
        // Only if the server wants it: the keyring may ask the user to unlock it.
        let secret = match (&prepared, server.credentials()) {
            (Prepared::WantsSecret(..), Some(_)) => Some(engine.secret(&account, server, client_secret).await?),
            _ => None,
        };
        let sign_outs = *engine.tokens.sign_outs().borrow();
        let finished = prepared.finish_for(engine, &account, server, secret.clone(), timeouts).await;
        let (upstream, ready) = finished.inspect_err(|failure| note_refusal(engine, &account, server, failure))?;
        let offered = note_offered(engine, server, ready);
        Ok(ProviderSession {
            account,
            secret,
            server_index: index,
            sign_outs,
            upstream,
            offered,
            opened_at,
            accepted: 0,
            in_flight: 0,
            idle_since: None,
        })
    }

    /// The early connection for this account, or its failure, if it is recent.
    async fn take_early(&mut self, account: &Arc<Account>) -> Option<EarlyResult<SmtpLogin>> {
        let early = self.early.take().filter(|early| early.is_for(account))?;
        // The network may work again.
        if early.failed_at().is_some_and(|when| when.elapsed() > EARLY_FAILURE_LIFETIME) {
            return None;
        }
        let mut result = early.result().await;
        if let Ok((prepared, _)) = &mut result
            && prepared.is_stale().await
        {
            return None;
        }
        Some(result)
    }

    /// Whether there is an early connection, made or being made.
    pub(super) fn has_early(&self) -> bool {
        self.early.is_some()
    }

    /// Goes on with the early connection. Never completes if there is nothing to do.
    pub(super) async fn drive_early(&mut self) {
        match &mut self.early {
            Some(early) => early.drive().await,
            None => std::future::pending().await,
        }
    }

    /// Begins to connect to the provider before the client needs it, if it is clear which provider that will be. Never
    /// through a gate: its login has to come first, and is only worth making for a send.
    pub(super) fn connect_early(&mut self, front: &SmtpFront) {
        let Some(account) = front.likely_account() else { return };
        let known = self.early.as_ref().is_some_and(|early| early.is_for(&account));
        if known
            || self.session.is_some()
            || self.engine.kept.has(&account)
            || front.has_begun()
            || front.transaction().is_some()
        {
            return;
        }
        let server = account.smtp.first().filter(|server| server.gate().is_none()).cloned();
        let Some(server) = server else { return };
        let (engine, timeouts) = (Arc::clone(&self.engine), self.settings.timeouts.clone());
        self.early = Some(EarlyConnect::new(account, async move {
            Ok((connect_and_prepare(&engine, &server, &timeouts, Route::default()).await?, None))
        }));
    }
}
