//! A session at a provider: one connection, signed in, that serves message after message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::proxy::net::dial::Upstream;
use crate::proxy::sign_in::{hear, say};
use crate::proxy::{Engine, now};
use ostler_mail::account::{Account, Server};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::machine::Outgoing;
use ostler_mail::oauth2::tokens::is_kept_for;
use ostler_mail::pop_before_smtp::{LoginNeed, LoginPolicy};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::data::Chunking;
use ostler_mail::smtp::submission::{News, SessionState};
use ostler_mail::smtp::{Extensions, Reply, ReplyParser};

/// How long a provider may take to answer QUIT. The client waits for its next message meanwhile.
const QUIT_REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a provider may take to answer everything that left together with a refused command. The client waits for the
/// refusal meanwhile, and a new connection serves its next message just as well.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(5);

/// A session at one of an account's servers.
pub(in crate::proxy::smtp) struct ProviderSession {
    pub(in crate::proxy::smtp) account: Arc<Account>,
    /// What it was signed in with; `None` where no sign-in is wanted.
    pub(super) secret: Option<Arc<Secret>>,
    /// The server's index among the account's servers.
    pub(super) server_index: usize,
    pub(super) upstream: Upstream,
    /// The number of sign-outs when it was signed in.
    pub(super) sign_outs: u64,
    pub(super) offered: Extensions,
    /// When the connection was opened. Many gates decide then.
    pub(super) opened_at: Moment,
    /// How many commands of the message under way the provider has accepted.
    pub(super) accepted: usize,
    /// How many of the next commands have left already, together with the last one, and wait for their answers.
    pub(super) in_flight: usize,
    /// When the provider answered the end of the last message.
    pub(super) idle_since: Option<Moment>,
}

impl ProviderSession {
    /// The server that it is at.
    pub(super) fn server(&self) -> Option<&Server> {
        self.account.smtp.get(self.server_index)
    }

    /// Whether it has served a message, and nothing of the next one. The provider may have hung up since.
    pub(super) fn is_between_messages(&self) -> bool {
        self.idle_since.is_some() && self.accepted == 0
    }

    /// Whether it may serve the next client's message: it has served one to its end, and there is no gate.
    pub(in crate::proxy::smtp) fn may_be_kept(&self) -> bool {
        let server = self.server();
        self.is_between_messages() && server.is_some_and(|server| server.gate().is_none())
    }

    /// Waits until the user signs out: a session that was signed in with a token that ostler keeps must not be used after that.
    /// Never completes for any other session, or in the middle of a message.
    pub(in crate::proxy::smtp) fn until_sign_out(&self, engine: &Engine) -> impl Future<Output = ()> + use<> {
        let server = self.server();
        let ends = self.is_between_messages() && server.is_some_and(is_kept_for);
        let (mut sign_outs, signed_in_at) = (engine.tokens.sign_outs(), self.sign_outs);
        async move {
            if !ends || sign_outs.wait_for(|count| *count != signed_in_at).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// What is known of the server's BDAT.
    pub(super) fn chunking(&self, engine: &Engine) -> Chunking {
        let server = self.server();
        server.map(|server| engine.learned(server).chunking).unwrap_or_default()
    }

    /// A reply without the secret, which a server may repeat.
    pub(super) fn redacted(&self, mut reply: Reply) -> Reply {
        if let Some(redaction) = &self.upstream.redaction {
            reply.lines.iter_mut().for_each(|line| *line = redaction.redact(line));
        }
        reply
    }

    /// Everything that decides whether it can serve a message of this account.
    pub(super) async fn state(&mut self, engine: &Engine, account: &Arc<Account>) -> SessionState<'_> {
        let gate = self.server().and_then(Server::gate);
        // Without a local address: this connection has the one it was made from.
        let needs_login = gate.is_some_and(|gate| {
            let need = engine.gate(&gate.login).lock().needs_login(now(), LoginPolicy::Fresh, gate.fresh, None);
            need == LoginNeed::LogIn
        });
        // An answer that it owes is not news.
        let has_news = self.in_flight == 0 && self.upstream.conn.has_news().await;
        let news = match self.upstream.conn.unused() {
            _ if !has_news => News::None,
            [] => News::Closed,
            said => News::Said(said),
        };
        SessionState {
            is_same_account: Arc::ptr_eq(&self.account, account),
            accepted: self.accepted,
            idle_since: self.idle_since,
            needs_login,
            news,
        }
    }

    /// Sends a command and waits for its reply.
    pub(super) async fn ask(&mut self, command: &str, limit: Duration) -> Result<Reply, Failure> {
        self.ask_with(command, &[], limit).await
    }

    /// As [`ask`](Self::ask), with commands behind it in the same flight. The next calls, with those commands, wait for
    /// their replies alone.
    pub(super) async fn ask_with(&mut self, first: &str, behind: &[String], limit: Duration) -> Result<Reply, Failure> {
        if self.in_flight > 0 {
            self.in_flight -= 1;
        } else {
            say(&mut self.upstream, &Outgoing::lines(first, behind), Waiting::Answer, limit).await?;
            self.in_flight = behind.len();
        }
        self.hear_reply(limit).await
    }

    /// Hears the answers to the commands that left together with a refused one, all of them in one short time. Returns whether
    /// they were all refused, too.
    pub(super) async fn forget_flight(&mut self, limit: Duration) -> Result<bool, Failure> {
        let limit = limit.min(FLIGHT_TIMEOUT);
        let deadline = Instant::now() + limit;
        while self.in_flight > 0 {
            self.in_flight -= 1;
            let reply = read_reply(&mut self.upstream, Waiting::Answer, limit, deadline).await?;
            if reply.code < 400 || reply.code == 421 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hears the answer to a DATA that left together with the recipients, none of which was accepted. A server that says 354
    /// nevertheless gets an empty message (RFC 2920, 3.1). Returns whether the session can go on.
    pub(super) async fn end_data(&mut self, limit: Duration) -> bool {
        if std::mem::take(&mut self.in_flight) == 0 {
            return true;
        }
        let limit = limit.min(FLIGHT_TIMEOUT);
        let reply = match self.hear_reply(limit).await {
            Ok(reply) if reply.code == 354 => self.ask(".", limit).await,
            heard => heard,
        };
        reply.is_ok_and(|reply| reply.code >= 400 && reply.code != 421)
    }

    async fn hear_reply(&mut self, limit: Duration) -> Result<Reply, Failure> {
        read_reply(&mut self.upstream, Waiting::Answer, limit, Instant::now() + limit).await
    }

    /// Takes back with RSET what the provider has accepted of a message that the client gave up. Returns whether the
    /// provider agreed.
    pub(super) async fn reset(&mut self, limit: Duration) -> bool {
        let is_done = self.ask("RSET", limit).await.is_ok_and(|reply| reply.is_ok());
        if is_done {
            self.accepted = 0;
        }
        is_done
    }

    /// The provider has answered the end of data, and the next message may follow.
    pub(super) fn rest(&mut self) {
        (self.accepted, self.idle_since) = (0, Some(now()));
    }

    /// Says QUIT and closes, as long as that does not take long.
    pub(in crate::proxy::smtp) async fn leave(mut self) {
        if self.in_flight > 0 {
            // DATA may be among them; then QUIT would be the beginning of a body.
            return;
        }
        let quit = async {
            // The last message has its answer, so neither a refusal nor silence matters.
            let _ = self.ask("QUIT", QUIT_REPLY_TIMEOUT).await;
            self.upstream.conn.close().await;
        };
        let _ = timeout(QUIT_REPLY_TIMEOUT, quit).await;
    }

    /// Takes back a rehearsed message.
    pub(super) async fn take_back(&mut self) {
        // If it refuses RSET, the QUIT that follows ends the message just as well.
        let _ = self.reset(QUIT_REPLY_TIMEOUT).await;
    }
}

/// Reads a whole reply until the deadline, which a server cannot stretch by sending line after line.
pub(super) async fn read_reply(
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
            Err(wrong) => return Err(upstream.at.violation(wrong.to_string())),
        }
    }
}
