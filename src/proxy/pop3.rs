//! A POP3 session: hears the client, connects to its provider meanwhile, signs in, and passes what both say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::events::event::Event;
use crate::proxy::early::{EarlyConnect, EarlyResult};
use crate::proxy::gate_login::gate_families;
use crate::proxy::hear::{After, ClientInput, Dialogue, hear_out, next_line};
use crate::proxy::net::conn::ClientConn;
use crate::proxy::net::dial::{Route, Upstream};
use crate::proxy::relay::{Ended, Limits, relay};
use crate::proxy::session::{Session, say_goodbye, unless_stopped};
use crate::proxy::sign_in::{Prepared, note_pop3, note_refusal, prepare_maildrop};
use crate::proxy::turns::Turn;
use crate::proxy::{Engine, GateCell, imap, now};
use ostler_mail::account::{Account, Maildrop, Protocol, SecretSource, Server, Timeouts};
use ostler_mail::failure::{Failure, Waiting, one_line};
use ostler_mail::machine::{Clock, Filter, ProtocolViolation};
use ostler_mail::maildrop::filter::MaildropFilter;
use ostler_mail::maildrop::login::{MaildropLogin, Ready};
use ostler_mail::pop3::filter::Pop3Filter;
use ostler_mail::pop3::front::{Pop3Front, Wants};
use ostler_mail::pop3::login::CachedCapabilities;
use ostler_mail::pop3::words::Pop3Words;
use ostler_mail::sasl::Attempt;
use ostler_mail::secret::Secret;
use ostler_mail::wire::{Line, MAX_COMMAND_LINE_OCTETS};
use ostler_mail::words::Words;

/// How long closing the connection to a provider may take: TLS says goodbye first.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves a client until its connection ends.
pub(super) async fn serve(session: &mut Session, client: &mut ClientConn) {
    let front = Pop3Front::new(Arc::clone(&session.settings), session.door_account.clone(), session.stamp());
    // Boxed, so that a session that passes mail does not hold the memory of the sign-in.
    let heard = Box::pin(async { hear_out(session, client, &mut Pop3Dialogue { front, early: None }).await });
    let Some((signed_in, account)) = heard.await else { return };
    let SignedIn { upstream, ready, open } = signed_in;
    if !session.say(client, &format!("{}\r\n", welcome(&ready))).await {
        return;
    }
    let progress = Arc::clone(&session.progress);
    match ready {
        Ready::Pop3(ready) => {
            let CachedCapabilities { pipelining, deletes_fetched, .. } = ready.capabilities;
            let trips = account.pop3.as_ref().is_some_and(|at| session.engine.learned(at).trips_over_pipelining());
            let may_read_ahead = account.read_ahead && pipelining && !deletes_fetched && !trips;
            let mut filter = Pop3Filter::new(progress, may_read_ahead).reading(account.readable);
            Box::pin(pass(session, client, upstream, open, &account, &mut filter)).await;
        }
        Ready::Imap(mut opened, _) => {
            let validity = opened.messages.validity();
            if let Some(Maildrop::Imap(server, folder)) = account.maildrop() {
                opened.left_marks = session.engine.left_marks.of(server, folder, validity);
            }
            let found = opened.left_marks.clone();
            let mut filter = MaildropFilter::new(*opened, progress).reading(account.readable);
            Box::pin(pass(session, client, upstream, open, &account, &mut filter)).await;
            if let (Some(Maildrop::Imap(server, folder)), Some(left)) = (account.maildrop(), filter.left_marks()) {
                session.engine.left_marks.change(server, folder, validity, &found, &left);
            }
        }
    }
}

/// What a client reads when it is signed in: the words of a POP3 server, or how much mail there is.
fn welcome(ready: &Ready) -> String {
    match ready {
        Ready::Pop3(ready) => one_line(&ready.welcome.printable()),
        Ready::Imap(opened, _) => opened.welcome(),
    }
}

/// The first two acts of a POP3 session.
struct Pop3Dialogue {
    front: Pop3Front,
    early: Option<Early>,
}

/// A connection that is made before the client has given its password.
struct Early {
    connect: EarlyConnect<MaildropLogin>,
    /// One of the connections that the account may have at an IMAP server.
    turn: Turn,
}

impl Dialogue for Pop3Dialogue {
    type Front = Pop3Front;
    type SignedIn = (SignedIn, Arc<Account>);

    fn front(&mut self) -> &mut Pop3Front {
        &mut self.front
    }

    async fn prepare(&mut self) {
        match &mut self.early {
            Some(early) => early.connect.drive().await,
            None => std::future::pending().await,
        }
    }

    async fn handle(&mut self, session: &mut Session, _: &mut ClientConn, wants: Wants) -> After<Self::SignedIn> {
        match wants {
            Wants::Connect(account, reply) => {
                self.connect_early(session, &account);
                After::GoOn(reply)
            }
            Wants::SignIn(account, attempt) => self.sign_in(session, account, &attempt).await,
        }
    }
}

impl Pop3Dialogue {
    fn connect_early(&mut self, session: &Session, account: &Arc<Account>) {
        session.report_account(account);
        let is_new = self.early.as_ref().is_none_or(|early| !early.connect.is_for(account));
        // Where a local password is wanted, no provider hears of a client that has not given it.
        let may_connect = !session.settings.wants_password();
        if let Some(maildrop) = account.maildrop().filter(|_| is_new && may_connect) {
            // Without a turn the connection would be one too many; it is waited for once the client signs in.
            let turn = free_turn(session, account, maildrop.server());
            self.early = turn.map(|turn| Early { connect: connect_early(session, account, maildrop), turn });
        }
    }

    async fn sign_in(
        &mut self,
        session: &mut Session,
        account: Arc<Account>,
        attempt: &Attempt,
    ) -> After<(SignedIn, Arc<Account>)> {
        let stopping = session.stopping.clone();
        let early = self.early.take();
        match unless_stopped(stopping, sign_in_at_provider(session, &account, attempt, early)).await {
            Ok(Some(signed_in)) => After::SignedIn((signed_in, account)),
            Ok(None) if session.has_guessed_enough() => After::Misused(session.guessing_misuse()),
            Ok(None) => After::Retry(self.front.wrong_password()),
            Err(failure) => After::Refused(Some(account), failure),
        }
    }
}

/// Begins to connect to the provider when the client has said USER. When PASS comes, often everything but the password has
/// been said.
fn connect_early(session: &Session, account: &Arc<Account>, maildrop: Maildrop<'_>) -> EarlyConnect<MaildropLogin> {
    let engine = Arc::clone(&session.engine);
    let timeouts = session.settings.timeouts.clone();
    let (owner, server) = (Arc::clone(account), maildrop.server().clone());
    EarlyConnect::new(Arc::clone(account), async move {
        let from_client = server.credentials().is_some_and(|c| c.secret == SecretSource::Client);
        // With `password = "client"` it comes only with PASS.
        let secret =
            async { if from_client { Ok(None) } else { engine.secret(&owner, &server, None).await.map(Some) } };
        let prepared = async {
            let route = route(&engine, &owner, &server, &timeouts).await;
            prepare_maildrop(&engine, &owner, &timeouts, route)
                .await
                .inspect_err(|f| note_refusal(&engine, &owner, &server, f))
        };
        // At once: a keyring that has to be unlocked may take longer than the network.
        let (prepared, secret) = tokio::join!(prepared, secret);
        Ok((prepared?, secret?))
    })
}

/// The route to a POP3 server. If a login there opens a gate, both connections need the same address family.
async fn route(engine: &Engine, account: &Account, server: &Server, timeouts: &Timeouts) -> Route {
    let gated = account.smtp.iter().find(|s| s.gate().is_some_and(|g| g.login.id() == server.id()));
    let family = match gated {
        // A name that cannot be looked up is reported by the connection itself.
        Some(gated) => gate_families(engine, gated, server, timeouts).await.ok().and_then(|f| f.first().copied()),
        None => None,
    };
    Route { family, from: None }
}

/// The gate that a login at this server opens, if any.
fn gate_of(engine: &Engine, account: &Account, server: &Server) -> Option<Arc<GateCell>> {
    account.smtp.iter().find_map(|s| s.gate().filter(|g| g.login.id() == server.id())).map(|g| engine.gate(&g.login))
}

/// A provider's session, signed in for a client.
struct SignedIn {
    upstream: Upstream,
    ready: Ready,
    open: OpenSession,
}

/// What a session at a provider holds.
struct OpenSession {
    login: OpenLogin,
    turn: Turn,
}

/// Signs a client in at its provider. `None`: it gave a wrong local password.
async fn sign_in_at_provider(
    session: &mut Session,
    account: &Arc<Account>,
    attempt: &Attempt,
    early: Option<Early>,
) -> Result<Option<SignedIn>, Failure> {
    session.report_account(account);
    if !session.may_sign_in(account, &attempt.proof).await? {
        return Ok(None);
    }
    let no_server = || Failure::NoServer { account: account.name.clone(), protocol: Protocol::Pop3 };
    let maildrop = account.maildrop().ok_or_else(no_server)?;
    let server = maildrop.server();
    let early = match early.filter(|early| early.connect.is_for(account)) {
        Some(early) => early,
        None => {
            let turn = wait_for_turn(session, account, server).await?;
            Early { connect: connect_early(session, account, maildrop), turn }
        }
    };
    session.report_activity("signing in at the provider");
    let (prepared, secret) = ensure_connected(session, account, maildrop, early.connect).await?;
    let secret = match secret {
        Some(secret) => secret,
        None => {
            let given = session.secret_to_pass_on(attempt);
            session.engine.secret(account, server, given.as_ref()).await?
        }
    };
    finish(session, account, server, prepared, secret, early.turn).await.map(Some)
}

/// A connection on which only the secret is missing: the early one, if it is still alive, else a new one.
async fn ensure_connected(
    session: &Session,
    account: &Arc<Account>,
    maildrop: Maildrop<'_>,
    early: EarlyConnect<MaildropLogin>,
) -> EarlyResult<MaildropLogin> {
    let (mut prepared, secret) = early.result().await?;
    if prepared.is_stale().await {
        drop(prepared);
        // The provider hung up meanwhile. No password has been said yet, so a second try does no harm.
        return connect_early(session, account, maildrop).result().await;
    }
    Ok((prepared, secret))
}

/// Gives the secret. If a login at this server opens a gate, it waits its turn, and it counts for the gate.
async fn finish(
    session: &Session,
    account: &Account,
    server: &Server,
    prepared: Prepared<MaildropLogin>,
    secret: Arc<Secret>,
    at_imap: Turn,
) -> Result<SignedIn, Failure> {
    let engine = Arc::clone(&session.engine);
    let gate = gate_of(&engine, account, server);
    // A second login beside this one would be refused as IN-USE, and gated sends that wait here will share this one.
    let turn = match &gate {
        Some(cell) => Some(cell.turn.lock().await),
        None => None,
    };
    let finished = prepared.finish_for(&engine, account, server, Some(secret), &session.settings.timeouts).await;
    let (upstream, ready) = finished.inspect_err(|failure| note_refusal(&engine, account, server, failure))?;
    match &ready {
        Ready::Pop3(ready) => note_pop3(&engine, server, ready),
        Ready::Imap(_, way) => engine.learn(server, |learned| learned.way = *way),
    }
    if let (Some(cell), Ready::Pop3(ready)) = (&gate, &ready) {
        let mut gate = cell.lock();
        gate.on_login(now(), upstream.local, ready.capabilities.login_delay);
        gate.on_session_start();
    }
    drop(turn);
    // Made here, because the client may be gone before it hears of the sign-in.
    let open = OpenSession { login: OpenLogin(gate), turn: at_imap };
    Ok(SignedIn { upstream, ready, open })
}

/// One of the connections that the account may have at an IMAP server, if one is free.
fn free_turn(session: &Session, account: &Account, server: &Server) -> Option<Turn> {
    if server.protocol != Protocol::Imap {
        return Some(Turn::unlimited());
    }
    session.engine.imap_turns(server).try_take(account.imap_connections)
}

/// Waits until the account may have another connection at an IMAP server.
async fn wait_for_turn(session: &Session, account: &Account, server: &Server) -> Result<Turn, Failure> {
    if let Some(turn) = free_turn(session, account, server) {
        return Ok(turn);
    }
    let none_left = |_| Failure::NoConnectionLeft { at: server.into(), most: account.imap_connections };
    let turn = timeout(session.settings.timeouts.reply, imap::wait_for_turn(session, account, server)).await;
    turn.map_err(none_left)
}

/// While this exists, the client's session at the provider counts as the login that opens the gate.
struct OpenLogin(Option<Arc<GateCell>>);

impl Drop for OpenLogin {
    fn drop(&mut self) {
        if let Some(cell) = &self.0 {
            cell.lock().on_session_end(now());
        }
    }
}

/// What the third act wants to know of its filter.
trait PopFilter: Filter + AsRef<Pop3Filter> {
    /// What the provider owes, for the words if it fails.
    fn waiting(&self) -> Waiting {
        if self.as_ref().is_inside_text() { Waiting::Message } else { Waiting::Answer }
    }
    /// Why the provider closes the connection, if it has said so.
    fn bye(&self) -> Option<&str> {
        None
    }
    /// Why messages were not deleted that should be, if so.
    fn take_failure(&mut self) -> Option<Failure> {
        None
    }
    /// What the provider wants people to read.
    fn take_alerts(&mut self) -> Vec<String> {
        Vec::new()
    }
}

impl PopFilter for Pop3Filter {}

impl PopFilter for MaildropFilter {
    fn waiting(&self) -> Waiting {
        match self.as_ref().is_inside_text() {
            true => Waiting::Message,
            false if self.is_committing() => Waiting::Deletion,
            false => Waiting::Answer,
        }
    }

    fn bye(&self) -> Option<&str> {
        self.bye()
    }

    fn take_failure(&mut self) -> Option<Failure> {
        self.take_failure()
    }

    fn take_alerts(&mut self) -> Vec<String> {
        self.take_alerts()
    }
}

/// The third act: passes what client and provider say until the session ends.
async fn pass<F: PopFilter>(
    session: &mut Session,
    client: &mut ClientConn,
    upstream: Upstream,
    open: OpenSession,
    account: &Account,
    filter: &mut F,
) {
    session.report_activity("signed in");
    session.report_sign_in();
    let Upstream { mut conn, at, .. } = upstream;
    let timeouts = &session.settings.timeouts;
    let limits = Limits { idle: timeouts.idle, reply: timeouts.reply, data: timeouts.data, agreed: timeouts.idle };
    let ended = relay(client, &mut conn, filter, limits, &mut session.stopping).await;
    // The session counts as a login no longer; the gate's clock starts now. The connection is still one of those that the
    // account may have, until it is closed.
    let OpenSession { login, turn } = open;
    drop(login);
    for text in filter.take_alerts() {
        warn!("[{}] {} says: {text}", session.id, at.host);
    }
    if let Some(failure) = filter.take_failure() {
        session.report(Some(account), &failure);
    }
    let waiting = filter.waiting();
    let bye = filter.bye().map(str::to_owned);
    let filter = (*filter).as_ref();
    // However it ended, ostler never says QUIT by itself: QUIT commits the deletions (RFC 1939, section 6), and that is
    // the client's to say.
    if let Some(failure) = ended.server_failure(&at, waiting, limits) {
        let failure = judge(failure, waiting, bye);
        let _ = timeout(CLOSE_TIMEOUT, conn.close()).await;
        drop(turn);
        session.report(Some(account), &failure);
        let hung_up = matches!(ended, Ended::ServerGone);
        note_silence(session, account, filter, &ended);
        tell_client(session, client, filter, &failure, hung_up).await;
    } else if let Ended::Violation(ProtocolViolation::Client(misuse)) = ended {
        let _ = timeout(CLOSE_TIMEOUT, conn.close()).await;
        // In the middle of an answer the client would take the line for a part of it.
        let text = if filter.is_inside_text() { String::new() } else { Pop3Words.misuse(&misuse) };
        session.report_misuse(misuse);
        say_goodbye(client, &text).await;
    } else {
        let (messages, octets) = filter.totals();
        session.engine.events.publish(Event::Fetched {
            account: account.name.clone(),
            messages,
            octets,
            changes: filter.changes(),
        });
        // The client first: it may wait for the end of the connection.
        client.close().await;
        let _ = timeout(CLOSE_TIMEOUT, conn.close()).await;
    }
}

/// What has failed, by what was waited for, and by what the provider has said before it hung up. Whether it has deleted what it
/// was to delete matters more than its words.
fn judge(failure: Failure, waiting: Waiting, bye: Option<String>) -> Failure {
    match (failure, bye) {
        (Failure::TimedOut { at, after, .. }, _) if waiting == Waiting::Deletion => {
            Failure::TimedOut { at, waiting, after }
        }
        (Failure::Lost { at, .. }, Some(said)) if waiting != Waiting::Deletion => Failure::ServiceRefused { at, said },
        (failure, _) => failure,
    }
}

/// Remembers of a provider that left something unanswered, if it may be because commands came together.
fn note_silence(session: &Session, account: &Account, filter: &Pop3Filter, ended: &Ended) {
    let has_hung_up = matches!(ended, Ended::ServerGone);
    let is_silent = has_hung_up || matches!(ended, Ended::TimedOut(Clock::Reply, _));
    if let Some(server) = account.pop3.as_ref().filter(|_| is_silent && filter.may_have_tripped(has_hung_up)) {
        session.engine.note_tripped(account, server);
    }
}

/// Tells the client what happened to its provider, where a line can be heard as an answer. In the middle of a message it
/// would look like a part of the message, or like its end, so the connection just breaks. Otherwise the line answers the
/// command that has no answer yet or, if the provider hung up between two commands, the next one.
async fn tell_client(
    session: &mut Session,
    client: &mut ClientConn,
    filter: &Pop3Filter,
    failure: &Failure,
    hung_up: bool,
) {
    if filter.is_inside_text() || !(filter.owes_answer() || hung_up || filter.is_failure_ahead()) {
        return;
    }
    let mut next = None;
    if !filter.owes_answer() {
        let deadline = Instant::now() + session.settings.timeouts.reply;
        let ClientInput::Line(line) = next_line(session, client, MAX_COMMAND_LINE_OCTETS, deadline).await else {
            return;
        };
        next = Some(line);
    }
    let bye = filter.bye_without_server(next.as_ref().map(Line::bytes));
    say_goodbye(client, &bye.unwrap_or_else(|| Pop3Words.failure(failure))).await;
}
