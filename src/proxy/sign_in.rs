//! The second act on a socket: drives a [`Login`] over a connection. The one loop that signs in anywhere: for a client's
//! session, for the login before a gated send, for `ostler check`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::proxy::Engine;
use crate::proxy::net::conn::Read;
use crate::proxy::net::dial::{Dialer, Family, Route, Upstream};
use ostler_mail::account::{Account, Folder, Maildrop, Protocol, Server, Timeouts};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::imap;
use ostler_mail::machine::{Login, Outgoing, Step};
use ostler_mail::maildrop::login::MaildropLogin;
use ostler_mail::pop3;
use ostler_mail::secret::Secret;
use ostler_mail::smtp;
use ostler_mail::wire::{Line, MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINES};

/// A sign-in that has gone as far as it can without the secret.
pub enum Prepared<L: Login> {
    /// The secret is next.
    WantsSecret(Upstream, L),
    /// The server wants no sign-in.
    Done(Upstream, L::Ready),
}

/// Hears the greeting, starts TLS if the settings say so, and goes on until the secret is wanted.
pub async fn prepare<L: Login>(
    dialer: &Dialer,
    server: &Server,
    upstream: Upstream,
    mut login: L,
    timeouts: &Timeouts,
) -> Result<Prepared<L>, Failure> {
    let (upstream, ready) = drive(dialer, server, upstream, &mut login, Step::Wait, timeouts).await?;
    Ok(match ready {
        None => Prepared::WantsSecret(upstream, login),
        Some(ready) => Prepared::Done(upstream, ready),
    })
}

impl<L: Login> Prepared<L> {
    /// The connection of the sign-in.
    pub fn upstream(&self) -> &Upstream {
        let (Self::WantsSecret(upstream, _) | Self::Done(upstream, _)) = self;
        upstream
    }

    /// Whether the server has hung up meanwhile, or said something that it may not say unasked.
    pub async fn is_stale(&mut self) -> bool {
        match self {
            Self::WantsSecret(upstream, login) => {
                hear_unasked(upstream, login).await.is_err() || has_wrong_news(upstream).await
            }
            Self::Done(upstream, _) => upstream.conn.has_news().await,
        }
    }

    /// Gives the secret and goes on until the sign-in is done or refused.
    pub async fn finish(
        self,
        dialer: &Dialer,
        server: &Server,
        secret: Option<Arc<Secret>>,
        timeouts: &Timeouts,
    ) -> Result<(Upstream, L::Ready), Failure> {
        match (self, secret) {
            (Self::Done(upstream, ready), _) => Ok((upstream, ready)),
            (Self::WantsSecret(upstream, mut login), Some(secret)) => {
                let step = login.on_secret(secret);
                let done = drive(dialer, server, upstream, &mut login, step, timeouts).await?;
                signed_in(login, done)
            }
            // The caller fetches a secret wherever the settings have credentials.
            (Self::WantsSecret(..), None) => Err(Failure::Internal),
        }
    }

    /// As [`Self::finish`], for a server of an account: an access token that the server refuses is renewed, where ostler keeps
    /// it, and given once more.
    pub(crate) async fn finish_for(
        self,
        engine: &Engine,
        account: &Account,
        server: &Server,
        secret: Option<Arc<Secret>>,
        timeouts: &Timeouts,
    ) -> Result<(Upstream, L::Ready), Failure> {
        let dialer = &engine.dialer;
        let (upstream, mut login, secret) = match (self, secret) {
            (Self::WantsSecret(upstream, login), Some(secret))
                if engine.renews_for(server) && engine.tokens.can_renew() =>
            {
                (upstream, login, secret)
            }
            (other, secret) => return other.finish(dialer, server, secret, timeouts).await,
        };
        login.server_mut().let_renew();
        let step = login.on_secret(Arc::clone(&secret));
        let done = match drive(dialer, server, upstream, &mut login, step, timeouts).await? {
            (upstream, None) => {
                let fresh = engine.renewed_token(account, server, &secret).await?;
                let step = login.on_secret(fresh);
                drive(dialer, server, upstream, &mut login, step, timeouts).await?
            }
            done => done,
        };
        signed_in(login, done)
    }
}

/// The end of a sign-in that has been given its secret.
fn signed_in<L: Login>(
    login: L,
    (mut upstream, ready): (Upstream, Option<L::Ready>),
) -> Result<(Upstream, L::Ready), Failure> {
    // A server may repeat the secret in a later answer, in an error message or a welcome, and the log must not have it.
    upstream.redaction = login.redaction();
    let asked_twice = || upstream.at.violation("it wants a second sign-in");
    let ready = ready.ok_or_else(asked_twice)?;
    Ok((upstream, ready))
}

/// Takes steps until the login is done (`Some`) or wants the secret (`None`), on another connection if the server hangs up
/// over a way of signing in that it has just refused.
async fn drive<L: Login>(
    dialer: &Dialer,
    server: &Server,
    mut upstream: Upstream,
    login: &mut L,
    mut step: Step<L::Ready>,
    timeouts: &Timeouts,
) -> Result<(Upstream, Option<L::Ready>), Failure> {
    loop {
        // A gate goes by the address of this computer, so the next connection has the same one.
        let route = Route { family: upstream.local.map(Family::of), from: upstream.local };
        match take_steps(dialer, upstream, login, step, timeouts).await {
            Err(failure) if login.begin_again(&failure) => {
                debug!("{failure}; the sign-in goes on on a new connection");
                upstream = dialer.connect(server, timeouts, route).await?;
                step = Step::Wait;
            }
            done => return done,
        }
    }
}

/// Takes steps on one connection. The time limit is for a whole answer of many lines: a server that sends an octet now and
/// then cannot stretch it.
async fn take_steps<L: Login>(
    dialer: &Dialer,
    mut upstream: Upstream,
    login: &mut L,
    mut step: Step<L::Ready>,
    timeouts: &Timeouts,
) -> Result<(Upstream, Option<L::Ready>), Failure> {
    let mut limit = limit(login.waiting(), timeouts);
    let mut deadline = Instant::now() + limit;
    loop {
        match step {
            Step::Done(ready) => return Ok((upstream, Some(ready))),
            Step::WantSecret => return Ok((upstream, None)),
            Step::StartTls => {
                upstream = dialer.start_tls(upstream, timeouts).await?;
                // After the handshake the client speaks first (RFC 3207, section 4.2; RFC 2595, section 4), so no line
                // is waited for.
                step = login.on_tls();
                continue;
            }
            Step::Send(outgoing) => {
                hear_unasked(&mut upstream, login).await?;
                // Each command has a new limit; the lines of one answer share theirs.
                limit = self::limit(login.waiting(), timeouts);
                deadline = Instant::now() + limit;
                say(&mut upstream, &outgoing, login.waiting(), limit).await?;
            }
            Step::Wait => {}
        }
        let line = hear_up_to(&mut upstream, login.waiting(), login.line_limit(), limit, deadline).await?;
        if login.waiting() == Waiting::SignIn {
            debug!("{}: S: {}", upstream.at.host, login.shown(&line));
        }
        step = login.on_line(&line)?;
    }
}

fn limit(waiting: Waiting, timeouts: &Timeouts) -> Duration {
    if waiting == Waiting::Greeting { timeouts.greeting } else { timeouts.reply }
}

/// Sends a command. Unread input is an error, because it would be taken for the answer.
pub async fn say(
    upstream: &mut Upstream,
    outgoing: &Outgoing,
    waiting: Waiting,
    limit: Duration,
) -> Result<(), Failure> {
    debug!("{}: C: {}", upstream.at.host, outgoing.shown());
    let is_spoilt = has_wrong_news(upstream).await;
    let at = || upstream.at.clone();
    if is_spoilt {
        // News without octets is the end of the connection.
        return Err(if upstream.conn.unused().is_empty() {
            Failure::Lost { at: at(), waiting }
        } else {
            upstream.at.violation("it spoke unasked")
        });
    }
    let sent = timeout_at(Instant::now() + limit, upstream.conn.send(outgoing.bytes())).await;
    match sent {
        Err(_) => Err(Failure::TimedOut { at: at(), waiting, after: limit }),
        Ok(Err(_)) => Err(Failure::Lost { at: at(), waiting }),
        Ok(Ok(())) => Ok(()),
    }
}

/// Whether the server has hung up, or said something that would be taken for the answer to the next command. What an IMAP
/// server says without a tag is no answer, whenever it comes (RFC 3501, section 7).
async fn has_wrong_news(upstream: &mut Upstream) -> bool {
    let has_news = upstream.conn.has_news().await;
    let is_untagged = upstream.at.protocol == Protocol::Imap && upstream.conn.unused().starts_with(b"*");
    has_news && !is_untagged
}

/// Hears what the server has said before a command. The rest of a line that has begun is waited for by nobody.
async fn hear_unasked<L: Login>(upstream: &mut Upstream, login: &mut L) -> Result<(), Failure> {
    for _ in 0..MAX_REPLY_LINES {
        if !upstream.conn.has_news().await {
            return Ok(());
        }
        match upstream.conn.take_line(MAX_REPLY_LINE_OCTETS) {
            Ok(Some(line)) => {
                debug!("{}: S: {}, unasked", upstream.at.host, login.shown(&line));
                login.on_unasked(&line)?;
            }
            Ok(None) => return Ok(()),
            Err(too_long) => return Err(upstream.at.violation(too_long.to_string())),
        }
    }
    Err(upstream.at.violation("it does not stop speaking unasked"))
}

/// Waits for a line of the usual length.
pub async fn hear(
    upstream: &mut Upstream,
    waiting: Waiting,
    limit: Duration,
    deadline: Instant,
) -> Result<Line, Failure> {
    hear_up_to(upstream, waiting, MAX_REPLY_LINE_OCTETS, limit, deadline).await
}

/// Waits for a line of at most `longest` octets.
async fn hear_up_to(
    upstream: &mut Upstream,
    waiting: Waiting,
    longest: usize,
    limit: Duration,
    deadline: Instant,
) -> Result<Line, Failure> {
    let read = upstream.conn.read_line_until(longest, deadline).await;
    let at = || upstream.at.clone();
    match read {
        None => Err(Failure::TimedOut { at: at(), waiting, after: limit }),
        // What it left of a line is dropped: half a reply cut off by the network may read like a whole one.
        Some(Err(_) | Ok(Read::End(_))) => Err(Failure::Lost { at: at(), waiting }),
        Some(Ok(Read::TooLong(too_long))) => Err(upstream.at.violation(too_long.to_string())),
        Some(Ok(Read::Line(line))) => {
            let line = upstream.redaction.as_ref().and_then(|redaction| redaction.redact_line(&line)).unwrap_or(line);
            // An answer to a sign-in may repeat the secret. `drive` logs it without.
            if waiting != Waiting::SignIn {
                debug!("{}: S: {}", upstream.at.host, line.printable());
            }
            Ok(line)
        }
    }
}

/// Says a command and waits for the line that answers it.
pub async fn ask(upstream: &mut Upstream, command: &str, waiting: Waiting, limit: Duration) -> Result<Line, Failure> {
    say(upstream, &Outgoing::line(command), waiting, limit).await?;
    hear(upstream, waiting, limit, Instant::now() + limit).await
}

/// Says goodbye and closes, without waiting for an answer.
pub async fn leave(upstream: &mut Upstream, limit: Duration) {
    let goodbye = match upstream.at.protocol {
        Protocol::Pop3 | Protocol::Smtp => "QUIT",
        Protocol::Imap => "bye LOGOUT",
    };
    let _ = say(upstream, &Outgoing::line(goodbye), Waiting::Answer, limit).await;
    upstream.conn.close().await;
}

/// A [`Login`] that can begin at any server of its protocol.
pub(crate) trait BeginLogin: Login + Sized {
    const PROTOCOL: Protocol;

    fn begin(engine: &Engine, server: &Server, upstream: &Upstream) -> Self;
}

impl BeginLogin for pop3::login::Pop3Login {
    const PROTOCOL: Protocol = Protocol::Pop3;

    fn begin(engine: &Engine, server: &Server, _: &Upstream) -> Self {
        let learned = engine.learned(server);
        Self::new(server, learned.pop3).beginning_with(learned.way)
    }
}

impl BeginLogin for smtp::login::SmtpLogin {
    const PROTOCOL: Protocol = Protocol::Smtp;

    fn begin(engine: &Engine, server: &Server, upstream: &Upstream) -> Self {
        Self::new(server, smtp::login::ehlo_name(upstream.local)).beginning_with(engine.learned(server).way)
    }
}

impl BeginLogin for imap::login::ImapLogin {
    const PROTOCOL: Protocol = Protocol::Imap;

    fn begin(engine: &Engine, server: &Server, _: &Upstream) -> Self {
        Self::new(server).beginning_with(engine.learned(server).way)
    }
}

/// Connects to a server of an account and prepares the sign-in there.
pub(crate) async fn connect_and_prepare<L: BeginLogin>(
    engine: &Engine,
    server: &Server,
    timeouts: &Timeouts,
    route: Route,
) -> Result<Prepared<L>, Failure> {
    debug_assert_eq!(server.protocol, L::PROTOCOL);
    let upstream = engine.dialer.connect(server, timeouts, route).await?;
    prepare_on(engine, upstream, server, timeouts).await
}

/// Connects to where POP3 clients fetch the mail of an account, and prepares the sign-in there.
pub(crate) async fn prepare_maildrop(
    engine: &Engine,
    account: &Account,
    timeouts: &Timeouts,
    route: Route,
) -> Result<Prepared<MaildropLogin>, Failure> {
    let no_server = || Failure::NoServer { account: account.name.clone(), protocol: Protocol::Pop3 };
    let maildrop = account.maildrop().ok_or_else(no_server)?;
    let server = maildrop.server();
    let upstream = engine.dialer.connect(server, timeouts, route).await?;
    match maildrop {
        Maildrop::Pop3(server) => {
            let login = MaildropLogin::at_pop3(BeginLogin::begin(engine, server, &upstream));
            prepare(&engine.dialer, server, upstream, login, timeouts).await
        }
        Maildrop::Imap(server, folder) => prepare_folder_on(engine, upstream, server, folder, timeouts).await,
    }
}

/// Prepares, on a connection that exists already, the sign-in at an IMAP server whose folder POP3 clients fetch.
pub(crate) async fn prepare_folder_on(
    engine: &Engine,
    upstream: Upstream,
    server: &Server,
    folder: &Folder,
    timeouts: &Timeouts,
) -> Result<Prepared<MaildropLogin>, Failure> {
    let login = MaildropLogin::at_imap(BeginLogin::begin(engine, server, &upstream), folder.clone());
    prepare(&engine.dialer, server, upstream, login, timeouts).await
}

/// Prepares the sign-in on a connection that exists already.
pub(crate) async fn prepare_on<L: BeginLogin>(
    engine: &Engine,
    upstream: Upstream,
    server: &Server,
    timeouts: &Timeouts,
) -> Result<Prepared<L>, Failure> {
    let login = L::begin(engine, server, &upstream);
    prepare(&engine.dialer, server, upstream, login, timeouts).await
}

/// Remembers for the next sign-in what this one has found out of a POP3 server. Where the capabilities are known, USER and PASS
/// leave together.
pub(crate) fn note_pop3(engine: &Engine, server: &Server, ready: &pop3::login::Ready) {
    engine.learn(server, |learned| {
        learned.pop3 = Some(ready.capabilities.clone()).filter(|_| !learned.trips_over_pipelining());
        learned.way = ready.way;
    });
}

/// Forgets what a failed sign-in has put in doubt. A refused secret is read again the next time: the user may have changed
/// it.
pub(crate) fn note_refusal(engine: &Engine, account: &Account, server: &Server, failure: &Failure) {
    let may_be_the_password = failure.may_be_the_password();
    if may_be_the_password {
        engine.vault.drop_cached(account, server);
    }
    let known = engine.learn(server, |learned| {
        // It is not certain any more that this is the way in which the server takes the right password.
        learned.way = learned.way.filter(|_| !may_be_the_password);
        // The capabilities remembered from the last sign-in may be what went wrong.
        learned.pop3.take()
    });
    let was_together = known.is_some_and(|known| known.pipelining);
    if was_together && matches!(failure, Failure::TimedOut { waiting: Waiting::SignIn, .. }) {
        engine.note_tripped(account, server);
    }
}
