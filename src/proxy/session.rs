//! Serves one client from the moment it connects: who may come in, then the dialogue of its door's protocol. The
//! dialogues themselves are in `serve/`; what they have in common is here.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::events::event::{Event, SessionId};
use crate::os::peer::{PeerOwner, owner_of};
use crate::proxy::Engine;
use crate::proxy::net::conn::Conn;
use ostler_mail::account::{Access, Account, Door, Protocol, Settings};
use ostler_mail::client_fault::{ClientMisconfiguration, Misuse};
use ostler_mail::command::{Command, is_http, is_tls_hello};
use ostler_mail::failure::{Failure, one_line};
use ostler_mail::progress::Progress;
use ostler_mail::sasl::{Attempt, Proof};
use ostler_mail::secret::Secret;
use ostler_mail::wire::{COMMAND_LINE, Line, printable, take_line};

/// Clients served at once. A thousand that do nothing must leave room for those that do something (`docs/promises.md`,
/// section 4). `os::allow_connections` has to fit.
pub const SESSIONS: usize = 1500;
/// Wrong local passwords before a connection ends.
pub(super) const WRONG_PASSWORDS: u32 = 3;
/// How long a client that is sent away may take to read why.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// A client's connection and what it belongs to.
pub struct Session {
    /// The shared state.
    pub engine: Arc<Engine>,
    /// The settings this session keeps to its end.
    pub settings: Arc<Settings>,
    /// Its name in the log.
    pub id: SessionId,
    /// The account its door leads to, if only to one.
    pub own: Option<Arc<Account>>,
    /// Becomes true when ostler ends.
    pub stopping: watch::Receiver<bool>,
    /// How far it is, for the status.
    pub progress: Arc<Progress>,
    /// Messages the client has begun to send.
    pub(super) sent: u64,
    pub(super) wrong_passwords: u32,
}

/// What a client said, or why it says nothing more.
pub enum Heard {
    /// A line.
    Line(Line),
    /// It has closed; what it left unfinished.
    End(Vec<u8>),
    /// It has to go.
    Misused(Misuse),
    /// It took too long.
    TimedOut,
    /// ostler ends.
    Stopping,
}

/// Serves a client to its end. Whatever happens in it stays in it.
pub async fn serve(engine: Arc<Engine>, tcp: TcpStream, client: SocketAddr, door: Arc<Door>) {
    let counted = engine.count_in();
    crate::proxy::net::conn::tune(&tcp);
    let settings = engine.settings();
    let local = tcp.local_addr().unwrap_or(door.address);
    let mut conn = Conn::new(tcp);
    if let Err(why) = admit(&engine, &settings, client, local) {
        if let NotAdmitted::Stranger(who) = &why {
            engine.events.publish(Event::ClientRejected(door.protocol, client, who.clone()));
        }
        let line = why.reply(door.protocol);
        goodbye(&mut conn, &line).await;
        return;
    }
    let own = door.account.as_ref().and_then(|name| settings.accounts.iter().find(|a| a.name == *name)).cloned();
    let id = engine.next_session();
    let progress = Arc::new(Progress::default());
    let began = Began::new(&engine, id, door.protocol, client, &progress);
    let stopping = engine.stopping();
    let mut session =
        Session { engine: Arc::clone(&engine), settings, id, own, stopping, progress, sent: 0, wrong_passwords: 0 };
    match door.protocol {
        _ if has_spoken(&conn) => spoke_first(&mut session, &mut conn, door.protocol).await,
        Protocol::Pop3 => super::pop3::serve(&mut session, &mut conn).await,
        Protocol::Smtp => super::smtp::serve(&mut session, &mut conn).await,
        // No IMAP door is ever opened by this version.
        Protocol::Imap => {}
    }
    drop(began);
    drop(counted);
}

/// Whether a client has said something already. Asked of the system itself: the runtime has not looked yet.
pub(super) fn has_spoken(client: &Conn<TcpStream>) -> bool {
    let mut one = [MaybeUninit::uninit()];
    matches!(SockRef::from(&client.stream).peek(&mut one), Ok(1..))
}

/// Ends the connection of a client that did not wait for its greeting, and says what it is: a mail program does not know
/// yet whether anybody is there.
pub(super) async fn spoke_first(session: &mut Session, client: &mut Conn<TcpStream>, protocol: Protocol) {
    let misuse = match session.hear(client, COMMAND_LINE, Instant::now() + GOODBYE).await {
        Heard::Misused(misuse) => misuse,
        Heard::Line(line) if is_http(line.bytes()) => Misuse::Http,
        _ => Misuse::EarlyGreeting,
    };
    let text = match protocol {
        Protocol::Pop3 => ostler_mail::pop3::front::misuse_reply(&misuse),
        _ => ostler_mail::smtp::front::misuse_reply(&misuse),
    };
    session.misused(misuse);
    goodbye(client, &text).await;
}

/// Tells that a session began, and when dropped, even by a panic, that it ended.
pub(super) struct Began(Arc<Engine>, SessionId);

impl Began {
    pub(super) fn new(
        engine: &Arc<Engine>,
        id: SessionId,
        protocol: Protocol,
        client: SocketAddr,
        progress: &Arc<Progress>,
    ) -> Self {
        engine.events.publish(Event::Began(id, protocol, client));
        engine.events.follow(id, Arc::clone(progress));
        Self(Arc::clone(engine), id)
    }
}

impl Drop for Began {
    fn drop(&mut self) {
        self.0.events.publish(Event::Ended(self.1));
    }
}

/// Why a client is not served.
pub(super) enum NotAdmitted {
    Paused,
    Full,
    Stopping,
    Stranger(String),
}

impl NotAdmitted {
    pub(super) fn reply(&self, protocol: Protocol) -> String {
        let pop3 = protocol == Protocol::Pop3;
        let text = match self {
            Self::Paused if pop3 => "-ERR [SYS/TEMP] ostler is paused".into(),
            Self::Paused => "421 4.3.2 ostler is paused".into(),
            Self::Full if pop3 => format!("-ERR [SYS/TEMP] ostler serves {SESSIONS} clients already (timeout)"),
            Self::Full => format!("421 4.3.2 ostler serves {SESSIONS} clients already"),
            Self::Stopping if pop3 => "-ERR [SYS/TEMP] ostler is about to end (timeout)".into(),
            Self::Stopping => "421 4.3.2 ostler is about to end".into(),
            Self::Stranger(why) if pop3 => format!("-ERR [SYS/PERM] ostler does not let this program in: {why}"),
            Self::Stranger(why) => format!("554 5.7.1 ostler does not let this program in: {why}"),
        };
        format!("{}\r\n", one_line(&text))
    }
}

pub(super) fn admit(
    engine: &Engine,
    settings: &Settings,
    client: SocketAddr,
    local: SocketAddr,
) -> Result<(), NotAdmitted> {
    let address = client.ip().to_canonical();
    if !address.is_loopback() && !settings.allow.iter().any(|network| network.contains(address)) {
        return Err(NotAdmitted::Stranger(format!("{address} is in none of the networks allowed by the settings")));
    }
    if settings.access == Access::SameUser {
        let why = match owner_of(client, local) {
            PeerOwner::Me => None,
            PeerOwner::Other(process) if cfg!(windows) => {
                Some(format!("process {process} belongs to another user than ostler, or has more rights"))
            }
            PeerOwner::Other(uid) => Some(format!("it belongs to another user (number {uid}) than ostler")),
            PeerOwner::NotMe => Some("no program of the user who runs ostler holds the other end".into()),
            PeerOwner::Gone => Some("it has gone already, or belongs to nobody".into()),
            PeerOwner::Unknown(reason) => {
                Some(format!("{reason}, so ostler cannot tell whose it is; set access = \"password\" in the settings"))
            }
        };
        if let Some(why) = why {
            return Err(NotAdmitted::Stranger(why));
        }
    }
    if *engine.stopping().borrow() {
        Err(NotAdmitted::Stopping)
    } else if engine.events.is_paused() {
        Err(NotAdmitted::Paused)
    } else if engine.events.session_count() >= SESSIONS {
        Err(NotAdmitted::Full)
    } else {
        Ok(())
    }
}

impl Session {
    /// A stamp no other greeting ever had, for APOP and CRAM-MD5 (RFC 1939, section 7).
    pub(super) fn stamp(&self) -> String {
        let mut random = [0u8; 12];
        // Without randomness the counter and the clock remain; they do not repeat either.
        let _ = crate::os::random(&mut random);
        format!("<{}.{}.{}@ostler>", self.id, std::process::id(), ostler_mail::sasl::hex(&random))
    }

    /// The next line of the client, until `deadline`.
    pub(super) async fn hear(&mut self, client: &mut Conn<TcpStream>, limit: usize, deadline: Instant) -> Heard {
        loop {
            if is_tls_hello(client.unused()) {
                return Heard::Misused(Misuse::Tls);
            }
            match take_line(&mut client.input, limit) {
                Ok(Some(line)) => return Heard::Line(line),
                Err(_) if is_http(client.unused()) => return Heard::Misused(Misuse::Http),
                Err(too_long) => return Heard::Misused(Misuse::LineTooLong(too_long.0)),
                Ok(None) => {}
            }
            tokio::select! {
                biased;
                more = client.fill_until(deadline) => match more {
                    None => return Heard::TimedOut,
                    Some(Ok(true)) => {}
                    Some(Ok(false) | Err(_)) => return Heard::End(std::mem::take(&mut client.input)),
                },
                () = stopped(&mut self.stopping) => return Heard::Stopping,
            }
        }
    }

    /// Sends a reply; `false` when the client has gone.
    pub(super) async fn say(&self, client: &mut Conn<TcpStream>, text: &str) -> bool {
        debug!("[{}] S: {}", self.id, printable(text.trim_end().as_bytes()));
        matches!(timeout(self.settings.timeouts.data, client.send(text.as_bytes())).await, Ok(Ok(())))
    }

    /// Shows a client's line in the log, without what may be secret.
    pub(super) fn log_line(&self, line: &Line, in_exchange: bool) {
        debug!("[{}] C: {}", self.id, shown(line, in_exchange));
    }

    /// Whether what the client gave is the account's local password.
    pub(super) async fn knows_password(&mut self, account: &Account, proof: &Proof) -> Result<bool, Failure> {
        let wanted = self.engine.vault.local_password(account).await.map_err(crate::proxy::secret_failure)?;
        if proof.proves(&wanted) {
            return Ok(true);
        }
        self.wrong_passwords += 1;
        // Each a little later than the last: a second, then two, then the end.
        sleep(Duration::from_secs(self.wrong_passwords.into())).await;
        Ok(false)
    }

    pub(super) fn has_guessed_enough(&self) -> bool {
        self.wrong_passwords >= WRONG_PASSWORDS
    }

    /// Tells what went wrong for an account.
    pub(super) fn report(&self, account: Option<&Account>, failure: &Failure) {
        self.engine.events.publish(Event::Failed(account.map(|a| a.name.clone()), failure.clone()));
    }

    pub(super) fn doing(&self, what: &'static str) {
        self.engine.events.publish(Event::Doing(self.id, what));
    }

    pub(super) fn named(&self, account: &Account) {
        self.engine.events.publish(Event::Named(self.id, account.name.clone()));
    }

    pub(super) fn signed_in(&self) {
        self.engine.events.publish(Event::SignedIn(self.id));
    }

    pub(super) fn report_misconfiguration(&self, slip: ClientMisconfiguration) {
        self.engine.events.publish(Event::Slipped(self.id, slip));
    }

    pub(super) fn misused(&self, misuse: Misuse) {
        self.engine.events.publish(Event::Misused(self.id, misuse));
    }
}

/// The client's password as a secret, for accounts that pass it on.
pub(super) fn secret_of(attempt: &Attempt) -> Option<Arc<Secret>> {
    let given = ostler_mail::smtp::front::given_password(attempt)?;
    Secret::from_bytes(zeroize::Zeroizing::new(given.to_vec())).ok().map(Arc::new)
}

/// Completes when ostler ends.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What comes of work for which nothing is lost when it is given up, unless ostler ends first.
pub(super) async fn unless_stopped<T>(
    mut stopping: watch::Receiver<bool>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = work => done,
        () = stopped(&mut stopping) => Err(Failure::Stopping),
    }
}

/// A last line, and the time to read it: closing with unread input would take the line away again.
pub(super) async fn goodbye(client: &mut Conn<TcpStream>, line: &str) {
    let last = async {
        if client.send(line.as_bytes()).await.is_ok() {
            client.close().await;
            while matches!(client.fill().await, Ok(true)) {
                client.input = Vec::new();
            }
        }
    };
    let _ = timeout(GOODBYE, last).await;
}

/// Reads whatever is there without waiting, to know whether there is anything.
pub(super) async fn has_early_input(client: &mut Conn<TcpStream>) -> bool {
    client.has_news().await && !client.unused().is_empty()
}

/// Commands that the log shows with all that follows them. Whatever else a client says may be a password: in a command
/// that carries one, or in a line that comes where ostler does not expect it.
pub(super) const SHOWN: [&str; 24] = [
    "CAPA", "DATA", "DELE", "EHLO", "HELO", "HELP", "LANG", "LAST", "LIST", "MAIL", "NOOP", "QUIT", "RCPT", "RETR",
    "RSET", "STARTTLS", "STAT", "STLS", "TOP", "UIDL", "USER", "UTF8", "VRFY", "XTND",
];

/// A client's line for the log.
pub(super) fn shown(line: &Line, in_exchange: bool) -> String {
    let verb = Command::parse(line.bytes()).verb;
    if in_exchange {
        "***".into()
    } else if SHOWN.contains(&verb.as_str()) {
        line.printable()
    } else if matches!(verb.as_str(), "PASS" | "AUTH" | "APOP") {
        format!("{verb} ***")
    } else {
        "*** (not a command of a mail program)".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_no_password_however_it_is_said() {
        for said in
            [" PASS hunter2", "\tpass\thunter2", "AUTH PLAIN hunter2", "APOP ann hunter2", "hunter2", "PASS\0hunter2"]
        {
            let shown = shown(&Line::new(said.as_bytes()), false);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(shown(&Line::new(b"RETR 1"), true), "***");
        assert_eq!(shown(&Line::new(b" mail from:<a@b>"), false), " mail from:<a@b>");
    }
}
