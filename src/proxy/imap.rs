//! An IMAP session: hears the client, signs in at its provider, and passes what both say. Each connection of a client is one
//! at the provider.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::events::event::Event;
use crate::proxy::hear::{After, Dialogue, hear_out};
use crate::proxy::net::conn::ClientConn;
use crate::proxy::net::dial::{Route, Upstream};
use crate::proxy::relay::{Ended, Limits, relay};
use crate::proxy::session::{Session, say_goodbye, unless_stopped};
use crate::proxy::sign_in::{connect_and_prepare, note_refusal};
use crate::proxy::slots::Slot;
use ostler_mail::account::{Account, Protocol, Server};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::imap::filter::ImapFilter;
use ostler_mail::imap::front::{ImapFront, Wants};
use ostler_mail::imap::login::ImapLogin;
use ostler_mail::imap::words::{ImapWords, SILENT_TOO_LONG, unavailable};
use ostler_mail::imap::{self, Alerts};
use ostler_mail::machine::ProtocolViolation;
use ostler_mail::readable::Changes;
use ostler_mail::sasl::Attempt;
use ostler_mail::words::Words;

/// How long a client may wait for the answer to LOGIN. Programs give up after 30 seconds or more, and then forget their
/// password; the answer to the next command has to come within that time too.
const LOGIN_PATIENCE: Duration = Duration::from_secs(24);
/// How long a client may be silent at least: RFC 3501, section 5.4, grants it 30 minutes, and programs use 29.
const MIN_IDLE: Duration = Duration::from_secs(31 * 60);
/// How long a client may wait for news (IDLE) before ostler gives the command again. RFC 2177 wants that within 29 minutes.
const RENEW_IDLE_AFTER: Duration = Duration::from_secs(25 * 60);

/// Serves a client until its connection ends.
pub(super) async fn serve(session: &mut Session, client: &mut ClientConn) {
    let front = ImapFront::new(Arc::clone(&session.settings), session.door_account.clone(), session.stamp());
    let mut dialogue = ImapDialogue { front };
    // Boxed, so that a session that passes mail does not hold the memory of the sign-in.
    let Some(signed_in) = Box::pin(hear_out(session, client, &mut dialogue)).await else { return };
    let filter = ImapFilter::new(&signed_in.capabilities, Arc::clone(&session.progress));
    let welcome = dialogue.front.signed_in(&filter.visible_capabilities(), signed_in.alerts.texts());
    drop(dialogue);
    if session.say(client, &welcome).await {
        Box::pin(pass(session, client, signed_in, filter)).await;
    }
}

/// The first two acts of an IMAP session.
struct ImapDialogue {
    front: ImapFront,
}

/// A provider's session, signed in for a client.
struct SignedIn {
    account: Arc<Account>,
    /// Boxed, because it is handed on, and a session would hold the memory of each place it has been in.
    upstream: Box<Upstream>,
    capabilities: Vec<u8>,
    /// What the provider wants people to read.
    alerts: Alerts,
    /// One of the connections that the account may have.
    _slot: Slot,
}

impl Dialogue for ImapDialogue {
    type Front = ImapFront;
    type SignedIn = SignedIn;

    fn front(&mut self) -> &mut ImapFront {
        &mut self.front
    }

    /// Nothing: only LOGIN names the account, and so the provider.
    async fn prepare(&mut self) {
        std::future::pending().await
    }

    async fn handle(&mut self, session: &mut Session, _: &mut ClientConn, wants: Wants) -> After<SignedIn> {
        let Wants::SignIn(account, attempt) = wants;
        if session.engine.events.is_paused() {
            return After::Retry(self.front.on_failure(&Failure::Paused));
        }
        let stopping = session.stopping.clone();
        match unless_stopped(stopping, sign_in_at_provider(session, &account, &attempt)).await {
            Ok(Some(signed_in)) => After::SignedIn(signed_in),
            Ok(None) if session.has_guessed_enough() => After::Misused(session.guessing_misuse()),
            Ok(None) => After::Retry(self.front.wrong_password()),
            Err(failure) => {
                session.report(Some(&account), &failure);
                After::Retry(self.front.on_failure(&failure))
            }
        }
    }
}

/// Signs a client in at its provider. `None`: it gave a wrong local password.
async fn sign_in_at_provider(
    session: &mut Session,
    account: &Arc<Account>,
    attempt: &Attempt,
) -> Result<Option<SignedIn>, Failure> {
    session.report_account(account);
    if !session.may_sign_in(account, &attempt.proof).await? {
        return Ok(None);
    }
    let no_server = || Failure::NoServer { account: account.name.clone(), protocol: Protocol::Imap };
    let server = account.imap.as_ref().ok_or_else(no_server)?;
    let patience_ends = Instant::now() + LOGIN_PATIENCE;
    let slot = timeout_at(patience_ends, wait_for_slot(session, account, server));
    let none_left = |_| Failure::NoConnectionLeft { at: server.into(), most: account.imap_connections };
    let slot = slot.await.map_err(none_left)?;
    session.report_activity("signing in at the provider");
    let connected = timeout_at(patience_ends, connect(session, account, server, attempt, slot));
    let late = |_| Failure::TimedOut { at: server.into(), waiting: Waiting::SignIn, after: LOGIN_PATIENCE };
    connected.await.map_err(late)?.map(Some)
}

pub(super) async fn wait_for_slot(session: &Session, account: &Account, server: &Server) -> Slot {
    let slots = session.engine.imap_slots(server);
    if let Some(slot) = slots.try_take(account.imap_connections) {
        return slot;
    }
    session.report_activity("waiting for a connection to be free");
    slots.take(account.imap_connections).await
}

async fn connect(
    session: &Session,
    account: &Arc<Account>,
    server: &Server,
    attempt: &Attempt,
    slot: Slot,
) -> Result<SignedIn, Failure> {
    let (engine, timeouts) = (&session.engine, &session.settings.timeouts);
    let given = session.secret_to_pass_on(attempt);
    let prepared = connect_and_prepare::<ImapLogin>(engine, server, timeouts, Route::default());
    // At once: a keyring that has to be unlocked may take longer than the network.
    let (prepared, secret) = tokio::try_join!(prepared, engine.secret(account, server, given.as_ref()))?;
    let finished = prepared.finish_for(engine, account, server, Some(secret), timeouts).await;
    let (upstream, ready) = finished.inspect_err(|failure| note_refusal(engine, account, server, failure))?;
    engine.learn(server, |learned| learned.way = ready.way);
    let imap::login::Ready { capabilities, alerts, .. } = ready;
    let upstream = Box::new(upstream);
    Ok(SignedIn { account: Arc::clone(account), upstream, capabilities, alerts, _slot: slot })
}

/// The third act: passes what client and provider say until the session ends.
async fn pass(session: &mut Session, client: &mut ClientConn, signed_in: SignedIn, mut filter: ImapFilter) {
    let SignedIn { account, mut upstream, _slot, .. } = signed_in;
    session.report_activity("signed in");
    session.report_sign_in();
    let timeouts = &session.settings.timeouts;
    // A search in a large mailbox takes longer than any answer of POP3 or SMTP.
    let limits = Limits {
        idle: timeouts.idle.max(MIN_IDLE),
        reply: timeouts.data.max(timeouts.reply),
        data: timeouts.data,
        agreed: RENEW_IDLE_AFTER,
    };
    let ended = relay(client, &mut upstream.conn, &mut filter, limits, &mut session.stopping).await;
    let waiting = if filter.is_inside_answer() { Waiting::Message } else { Waiting::Answer };
    let (messages, octets) = filter.totals();
    session.engine.events.publish(Event::Fetched {
        account: account.name.clone(),
        messages,
        octets,
        changes: Changes::default(),
    });
    let last_words =
        last_words(session, &account, &filter, &ended, ended.server_failure(&upstream.at, waiting, limits));
    // In the middle of an answer the client would take a line for a part of it, so its connection just breaks.
    if filter.is_inside_answer() || last_words.is_empty() {
        client.close().await;
    } else {
        say_goodbye(client, &last_words).await;
    }
    upstream.conn.close().await;
}

/// What the client reads last, and reports why; empty if there is nothing to tell it.
fn last_words(
    session: &Session,
    account: &Account,
    filter: &ImapFilter,
    ended: &Ended,
    failure: Option<Failure>,
) -> String {
    match (ended, failure) {
        // A client that leaves need not hear that the provider has left first, or says nothing.
        (Ended::ServerGone | Ended::TimedOut(..), Some(_)) if filter.leaving().is_some() => filter.farewell(),
        // It has said goodbye, and the client has read why. The user has not, and a command is without its answer.
        (Ended::ServerGone, Some(failure)) if filter.has_said_bye() => {
            if filter.waiting().is_some() {
                session.report(Some(account), &failure.leaving_open(filter.undecided()));
            }
            String::new()
        }
        (_, Some(failure)) => {
            let waiting = filter.waiting().map(|(tag, what)| (tag, failure.clone().leaving_open(what)));
            let failure = failure.leaving_open(filter.undecided());
            session.report(Some(account), &failure);
            unavailable(waiting.as_ref().map(|(tag, failure)| (*tag, failure)), &failure)
        }
        (Ended::Violation(ProtocolViolation::Client(misuse)), None) => {
            session.report_misuse(misuse.clone());
            ImapWords.misuse(misuse)
        }
        (Ended::Stopping, None) => ImapWords.stopping(),
        (Ended::TimedOut(..), None) => SILENT_TOO_LONG.to_owned(),
        (
            Ended::Over | Ended::ClientGone | Ended::ServerGone | Ended::Violation(ProtocolViolation::Server(_)),
            None,
        ) => String::new(),
    }
}
