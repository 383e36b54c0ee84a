//! The first act on a socket: hears a client, line after line, until it is signed in or gone. One loop serves every
//! protocol; a [`Dialogue`] has the protocol's [`Front`], and does what the client wants of its provider.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use crate::proxy::net::conn::ClientConn;
use crate::proxy::session::{Session, say_goodbye, wait_for_stop};
use ostler_mail::account::Account;
use ostler_mail::client_fault::Misuse;
use ostler_mail::command::{is_http, is_tls_hello};
use ostler_mail::failure::Failure;
use ostler_mail::machine::{Answer, Front};
use ostler_mail::wire::Line;

/// What came from a client, or why nothing more comes.
pub(super) enum ClientInput {
    Line(Line),
    /// The client has closed and left this unfinished.
    End(Vec<u8>),
    /// The client did something that no mail program does.
    Misused(Misuse),
    TimedOut,
    /// ostler is shutting down.
    Stopping,
}

/// What to do after a client's line.
pub(super) enum After<SignedIn> {
    /// Send this and hear the next line.
    GoOn(String),
    /// Send this and hear the next line. The client has as much time as at first, for another sign-in.
    Retry(String),
    /// Report the failure, for this account if it is known, send the words for it, and go on as after `Retry`.
    Refused(Option<Arc<Account>>, Failure),
    /// Send this and close.
    Close(String),
    /// Report the misuse, send the words for it, and close.
    Misused(Misuse),
    /// The client is gone.
    Gone,
    /// The provider has signed the client in.
    SignedIn(SignedIn),
}

/// What is different for each protocol in [`hear_out`].
pub(super) trait Dialogue: Send {
    /// The machine that hears the client.
    type Front: Front<Wants: Send> + Send;
    /// What [`hear_out`] returns when the client is signed in.
    type SignedIn: Send;
    fn front(&mut self) -> &mut Self::Front;
    /// Prepares what the client is likely to want next. Completes when a step is done and never if there is nothing to do.
    /// May be dropped at any time.
    fn prepare(&mut self) -> impl Future<Output = ()> + Send;
    /// Does what the client wants of its provider.
    fn handle(
        &mut self,
        session: &mut Session,
        client: &mut ClientConn,
        wants: <Self::Front as Front>::Wants,
    ) -> impl Future<Output = After<Self::SignedIn>> + Send;
}

/// Greets a client and hears it until it is signed in. `None`: its connection is over.
pub(super) async fn hear_out<D: Dialogue>(
    session: &mut Session,
    client: &mut ClientConn,
    dialogue: &mut D,
) -> Option<D::SignedIn> {
    dialogue.front().client_mut().has_come_to(session.came_to);
    let greeting = dialogue.front().greeting();
    if !session.say(client, &greeting).await {
        return None;
    }
    let mut deadline = Instant::now() + session.settings.timeouts.login;
    // A client that has said nothing may only be testing whether the door is open. No provider hears of it.
    let mut has_said = false;
    loop {
        let input = next_input(session, client, dialogue, has_said, deadline).await;
        has_said = true;
        let after = answer(session, client, dialogue, input).await;
        if let Some(misconfiguration) = dialogue.front().take_misconfiguration() {
            session.report_misconfiguration(misconfiguration);
        }
        let (text, may_retry) = match after {
            After::GoOn(text) => (text, false),
            After::Retry(text) => (text, true),
            After::Refused(account, failure) => {
                session.report(account.as_deref(), &failure);
                (dialogue.front().refusal(&failure), true)
            }
            After::Close(text) => {
                say_goodbye(client, &text).await;
                return None;
            }
            After::Misused(misuse) => {
                session.send_away(client, dialogue.front().words(), misuse).await;
                return None;
            }
            After::Gone => return None,
            After::SignedIn(signed_in) => return Some(signed_in),
        };
        if !session.say(client, &text).await {
            return None;
        }
        let timeouts = &session.settings.timeouts;
        // A client at work may pause between two messages. One that has not signed in gets more time only for another try:
        // commands that lead nowhere do not stretch it.
        if dialogue.front().is_at_work() {
            deadline = Instant::now() + timeouts.idle;
        } else if may_retry {
            deadline = Instant::now() + timeouts.login;
        }
    }
}

/// Waits for the client's next line while the dialogue prepares.
async fn next_input<D: Dialogue>(
    session: &mut Session,
    client: &mut ClientConn,
    dialogue: &mut D,
    may_prepare: bool,
    deadline: Instant,
) -> ClientInput {
    let limit = dialogue.front().line_limit();
    loop {
        tokio::select! {
            // The client first: while it sends, the provider can wait.
            biased;
            input = next_line(session, client, limit, deadline) => return input,
            () = dialogue.prepare(), if may_prepare => {}
        }
    }
}

/// Answers what came from the client.
async fn answer<D: Dialogue>(
    session: &mut Session,
    client: &mut ClientConn,
    dialogue: &mut D,
    input: ClientInput,
) -> After<D::SignedIn> {
    let front = dialogue.front();
    let line = match input {
        ClientInput::Line(line) => line,
        ClientInput::Misused(misuse) => return After::Misused(misuse),
        ClientInput::End(rest) => return front.on_end(&rest).map_or(After::Gone, After::Close),
        ClientInput::TimedOut => return After::Close(front.too_late()),
        ClientInput::Stopping => return After::Close(front.words().stopping()),
    };
    debug!("[{}] C: {}", session.id, front.shown(&line));
    match front.on_line(&line) {
        Answer::Say(text) => After::GoOn(text),
        Answer::Bye(text) => After::Close(text),
        Answer::Refused(failure) => After::Refused(None, failure),
        Answer::Misused(misuse) => After::Misused(misuse),
        Answer::Wants(wants) => dialogue.handle(session, client, wants).await,
    }
}

/// The next line of a client, until `deadline`.
pub(super) async fn next_line(
    session: &mut Session,
    client: &mut ClientConn,
    limit: usize,
    deadline: Instant,
) -> ClientInput {
    loop {
        // Before the line is complete: a client that waits for a TLS handshake sends no line end.
        if is_tls_hello(client.unused()) {
            return ClientInput::Misused(Misuse::Tls);
        }
        match client.take_line(limit) {
            Ok(Some(line)) => return ClientInput::Line(line),
            // A browser's request line may be longer than any command.
            Err(_) if is_http(client.unused()) => return ClientInput::Misused(Misuse::Http),
            Err(too_long) => return ClientInput::Misused(Misuse::LineTooLong(too_long.0)),
            Ok(None) => {}
        }
        tokio::select! {
            biased;
            more = client.fill_until(deadline) => match more {
                None => return ClientInput::TimedOut,
                Some(Ok(true)) => {}
                // A reset is an end like any other: Eudora for Mac closes without reading the reply to its QUIT.
                Some(Ok(false) | Err(_)) => return ClientInput::End(client.take_unused()),
            },
            () = wait_for_stop(&mut session.stopping) => return ClientInput::Stopping,
        }
    }
}
