//! A POP3 session: hears the client, connects to its provider meanwhile, signs in, and passes what both say.

use std::sync::Arc;

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
use crate::proxy::slots::Slot;
use crate::proxy::{Engine, GateCell, imap, now};
use ostler_mail::account::{Account, Maildrop, Protocol, SecretSource, Server, Timeouts};
use ostler_mail::client_fault::Misuse;
use ostler_mail::failure::{Failure, ServerAddr, Waiting, one_line};
use ostler_mail::machine::{Clock, Filter, ProtocolViolation};
use ostler_mail::maildrop::filter::MaildropFilter;
use ostler_mail::maildrop::login::{MaildropLogin, Opened, Ready};
use ostler_mail::pop3::filter::Pop3Filter;
use ostler_mail::pop3::front::{Pop3Front, Wants};
use ostler_mail::pop3::login::CachedCapabilities;
use ostler_mail::pop3::words::Pop3Words;
use ostler_mail::sasl::Attempt;
use ostler_mail::secret::Secret;
use ostler_mail::wire::{Line, MAX_COMMAND_LINE_OCTETS};
use ostler_mail::words::Words;

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
    match ready {
        Ready::Pop3(ready) => {
            let progress = Arc::clone(&session.progress);
            let may_read_ahead = may_read_ahead(session, &account, &ready.capabilities);
            let mut filter = Pop3Filter::new(progress, may_read_ahead).reading(account.readable);
            Box::pin(pass(session, client, upstream, open, &account, &mut filter)).await;
        }
        Ready::Imap(opened, _) => Box::pin(pass_folder(session, client, upstream, open, &account, *opened)).await,
    }
}

/// Whether messages may be asked for before the client asks: the provider reads on while it answers, has not tripped over that
/// lately, and a fetch deletes nothing there.
fn may_read_ahead(session: &Session, account: &Account, offered: &CachedCapabilities) -> bool {
    let trips = account.pop3.as_ref().is_some_and(|server| session.engine.learned(server).trips_over_pipelining());
    account.read_ahead && offered.pipelining && !offered.deletes_fetched && !trips
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
    slot: Slot,
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
            // Without a free slot nothing is done early; the client's sign-in waits for one.
            let slot = free_slot(session, account, maildrop.server());
            self.early = slot.map(|slot| Early { connect: connect_early(session, account, maildrop), slot });
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

/// Begins to connect to the provider when the client has said USER. Often only the password is missing when PASS comes.
fn connect_early(session: &Session, account: &Arc<Account>, maildrop: Maildrop<'_>) -> EarlyConnect<MaildropLogin> {
    let engine = Arc::clone(&session.engine);
    let timeouts = session.settings.timeouts.clone();
    let (owner, server) = (Arc::clone(account), maildrop.server().clone());
    EarlyConnect::new(Arc::clone(account), async move {
        let from_client = server.credentials().is_some_and(|c| c.secret == SecretSource::Client);
        // With `password = "client"` the secret comes with PASS.
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
    /// Boxed, because it is handed on, and a session would hold the memory of each place it has been in.
    upstream: Box<Upstream>,
    ready: Ready,
    open: OpenSession,
}

/// What a session at a provider holds.
struct OpenSession {
    login: OpenLogin,
    slot: Slot,
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
            let slot = wait_for_slot(session, account, server).await?;
            Early { connect: connect_early(session, account, maildrop), slot }
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
    finish(session, account, server, prepared, secret, early.slot).await.map(Some)
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
    slot: Slot,
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
    let open = OpenSession { login: OpenLogin(gate), slot };
    Ok(SignedIn { upstream: Box::new(upstream), ready, open })
}

/// A slot at the server, if one is free. Only IMAP servers have a limit.
fn free_slot(session: &Session, account: &Account, server: &Server) -> Option<Slot> {
    match server.protocol {
        Protocol::Imap => session.engine.imap_slots(server).try_take(account.imap_connections),
        Protocol::Pop3 | Protocol::Smtp => Some(Slot::unlimited()),
    }
}

/// Waits until the account may have another connection at the server.
async fn wait_for_slot(session: &Session, account: &Account, server: &Server) -> Result<Slot, Failure> {
    if let Some(slot) = free_slot(session, account, server) {
        return Ok(slot);
    }
    let none_left = |_| Failure::NoConnectionLeft { at: server.into(), most: account.imap_connections };
    let slot = timeout(session.settings.timeouts.reply, imap::wait_for_slot(session, account, server)).await;
    slot.map_err(none_left)
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

/// The third act where the mail is in a folder of an IMAP server. Takes the marks of deletion that an earlier session left
/// there, and leaves its own.
async fn pass_folder(
    session: &mut Session,
    client: &mut ClientConn,
    upstream: Box<Upstream>,
    open: OpenSession,
    account: &Account,
    mut opened: Opened,
) {
    let (folder, validity) = (account.maildrop().and_then(Maildrop::folder), opened.messages.validity());
    if let Some((server, folder)) = folder {
        opened.left_marks = session.engine.left_marks.of(server, folder, validity);
    }
    let found = opened.left_marks.clone();
    let mut filter = MaildropFilter::new(opened, Arc::clone(&session.progress)).reading(account.readable);
    pass(session, client, upstream, open, account, &mut filter).await;
    if let (Some((server, folder)), Some(left)) = (folder, filter.left_marks()) {
        session.engine.left_marks.change(server, folder, validity, &found, &left);
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
    mut upstream: Box<Upstream>,
    open: OpenSession,
    account: &Account,
    filter: &mut F,
) {
    session.report_activity("signed in");
    session.report_sign_in();
    let timeouts = &session.settings.timeouts;
    let limits = Limits { idle: timeouts.idle, reply: timeouts.reply, data: timeouts.data, agreed: timeouts.idle };
    let ended = relay(client, &mut upstream.conn, filter, limits, &mut session.stopping).await;
    let OpenSession { login, slot } = open;
    // From now on the session no longer counts as a login, and the gate's clock runs. The slot is free once the connection is
    // closed.
    drop(login);
    report_heard(session, account, &upstream.at, filter);
    // However it ended, ostler never says QUIT by itself: QUIT commits the deletions (RFC 1939, section 6), and that is
    // the client's to say.
    let waiting = filter.waiting();
    if let Some(failure) = ended.server_failure(&upstream.at, waiting, limits) {
        let failure = judge(failure, waiting, filter.bye().map(str::to_owned));
        upstream.conn.close().await;
        drop(slot);
        end_failed(session, client, account, (*filter).as_ref(), &ended, &failure).await;
    } else if let Ended::Violation(ProtocolViolation::Client(misuse)) = ended {
        upstream.conn.close().await;
        end_misused(session, client, (*filter).as_ref(), misuse).await;
    } else {
        publish_fetched(session, account, (*filter).as_ref());
        // The client first: it may wait for the end of the connection.
        client.close().await;
        upstream.conn.close().await;
    }
}

/// Reports what the provider wants people to read, and what went wrong at QUIT.
fn report_heard<F: PopFilter>(session: &Session, account: &Account, at: &ServerAddr, filter: &mut F) {
    for text in filter.take_alerts() {
        warn!("[{}] {} says: {text}", session.id, at.host);
    }
    if let Some(failure) = filter.take_failure() {
        session.report(Some(account), &failure);
    }
}

/// Ends a session whose provider has failed.
async fn end_failed(
    session: &mut Session,
    client: &mut ClientConn,
    account: &Account,
    filter: &Pop3Filter,
    ended: &Ended,
    failure: &Failure,
) {
    session.report(Some(account), failure);
    note_silence(session, account, filter, ended);
    tell_client(session, client, filter, failure, matches!(ended, Ended::ServerGone)).await;
}

/// Ends a session whose client has done something that no mail program does.
async fn end_misused(session: &Session, client: &mut ClientConn, filter: &Pop3Filter, misuse: Misuse) {
    // In the middle of an answer the client would take the line for a part of it.
    let text = if filter.is_inside_text() { String::new() } else { Pop3Words.misuse(&misuse) };
    session.report_misuse(misuse);
    say_goodbye(client, &text).await;
}

fn publish_fetched(session: &Session, account: &Account, filter: &Pop3Filter) {
    let (messages, octets) = filter.totals();
    let (account, changes) = (account.name.clone(), filter.changes());
    session.engine.events.publish(Event::Fetched { account, messages, octets, changes });
}

/// Makes the failure more exact, by what was waited for and what the provider has said before it hung up. If it owed a
/// deletion, that matters more than its words.
fn judge(failure: Failure, waiting: Waiting, bye: Option<String>) -> Failure {
    match (failure, bye) {
        (Failure::TimedOut { at, after, .. }, _) if waiting == Waiting::Deletion => {
            Failure::TimedOut { at, waiting, after }
        }
        (Failure::Lost { at, .. }, Some(said)) if waiting != Waiting::Deletion => Failure::ServiceRefused { at, said },
        (failure, _) => failure,
    }
}

/// If the provider left something unanswered, and that may be because commands came together, remembers it.
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
