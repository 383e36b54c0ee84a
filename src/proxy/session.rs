//! One client's connection: the account and settings it belongs to, and what every protocol reports and says on it.
//!
//! Not here: who may come in (`admit`), and the loop that hears the client (`hear`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::events::event::{Event, SessionId};
use crate::proxy::Engine;
use crate::proxy::admit::{Announced, admit, announced, has_room, has_too_many, spoke_first};
use crate::proxy::net::conn::ClientConn;
use ostler_mail::account::{Account, Door, Protocol, Settings};
use ostler_mail::client_fault::{ClientMisconfiguration, Misuse};
use ostler_mail::failure::Failure;
use ostler_mail::imap::words::ImapWords;
use ostler_mail::neighbours::{Entry, MAX_CONNECTIONS};
use ostler_mail::pop3::words::Pop3Words;
use ostler_mail::progress::Progress;
use ostler_mail::sasl::{Attempt, Proof};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::words::SmtpWords;
use ostler_mail::wire::printable;
use ostler_mail::words::{NotAdmitted, Words};

/// The most wrong local passwords on one connection.
const MAX_WRONG_PASSWORDS: u32 = 3;
/// How long a client may take to read the last line and close.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What belongs to one client's connection.
pub(crate) struct Session {
    pub(super) engine: Arc<Engine>,
    /// The settings at the time the client connected. They hold for the whole connection.
    pub(super) settings: Arc<Settings>,
    /// The number of the session in the log.
    pub(super) id: SessionId,
    /// The address of the client, also behind a load balancer.
    client: SocketAddr,
    /// The address of this computer to which the client came.
    pub(super) came_to: IpAddr,
    /// The account this door leads to, if it is a door of one account.
    pub(super) door_account: Option<Arc<Account>>,
    /// Turns true when ostler shuts down.
    pub(super) stopping: watch::Receiver<bool>,
    /// The message under way, for the status.
    pub(super) progress: Arc<Progress>,
    /// How many messages the client has begun to send.
    pub(super) messages_begun: u64,
    wrong_passwords: u32,
    /// A password was not looked at, because its computer has given too many wrong ones.
    is_from_guesser: bool,
}

/// Serves a client until its connection ends. Nothing that happens here, not even a panic, affects another client.
pub(super) async fn serve(engine: Arc<Engine>, mut client: ClientConn, peer: SocketAddr, door: Arc<Door>) {
    let words: &dyn Words = match door.protocol {
        Protocol::Pop3 => &Pop3Words,
        Protocol::Smtp => &SmtpWords,
        Protocol::Imap => &ImapWords,
    };
    // Before `admit` looks whether ostler is stopping: a stop between the two would not wait for this client.
    let counted = engine.count_in();
    if has_too_many(&engine) {
        return;
    }
    let settings = engine.settings();
    // A door may listen on every address. The owner of the socket is found by the one that the client came to.
    let local = client.local_addr().unwrap_or(door.address);
    let on_socket = match announced(&engine, &settings, &mut client, peer, door.address).await {
        Ok(Announced::Client(address)) => address,
        Ok(Announced::Nobody) => {
            // Boxed, so that a session does not hold the memory of what few connections are.
            return Box::pin(check_health(&engine, &mut client, peer, local.ip(), &door, words)).await;
        }
        Err(why) => return engine.events.publish(Event::ClientRejected(door.protocol, unmap(peer), why)),
    };
    let address = unmap(on_socket);
    if let Err(why) = admit(&engine, &settings, door.protocol, (on_socket, peer), local).await {
        if let NotAdmitted::Stranger(why) = &why {
            engine.events.publish(Event::ClientRejected(door.protocol, address, why.clone()));
        }
        say_goodbye(&mut client, &words.not_admitted(&why)).await;
        return;
    }
    let _seat = match Seat::take(&engine, address.ip()) {
        Ok(seat) => seat,
        Err(is_news) => {
            if is_news {
                let why = format!("{MAX_CONNECTIONS} programs of its computer are connected already");
                engine.events.publish(Event::ClientRejected(door.protocol, address, why));
            }
            return say_goodbye(&mut client, &words.not_admitted(&NotAdmitted::Crowded(MAX_CONNECTIONS))).await;
        }
    };
    let mut session = Session::new(&engine, settings, &door, address, local.ip());
    let lifetime = Lifetime::begin(&session, door.protocol, address);
    // Before any greeting; no mail program speaks first.
    if client.has_spoken() || !client.unused().is_empty() {
        spoke_first(&mut session, &mut client, words).await;
    } else {
        serve_protocol(&mut session, &mut client, door.protocol).await;
    }
    // Published before the session is counted out: ostler may exit right after that.
    drop(lifetime);
    drop(counted);
}

/// The address of a client as people write it. An IPv4 client is ::ffff:a.b.c.d on a socket for both families, and a load
/// balancer may name it so.
fn unmap(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Greets a load balancer that looks whether the door works, and hears it out. It finds no account, so it leads to no
/// provider; it is no client, so nothing of it is told.
async fn check_health(
    engine: &Arc<Engine>,
    client: &mut ClientConn,
    address: SocketAddr,
    came_to: IpAddr,
    door: &Door,
    words: &dyn Words,
) {
    if let Err(why) = has_room(engine, door.protocol) {
        return say_goodbye(client, &words.not_admitted(&why)).await;
    }
    let settings = Settings { accounts: Vec::new(), ..(*engine.settings()).clone() };
    let door = Door { account: None, ..door.clone() };
    let mut session = Session::new(engine, Arc::new(settings), &door, address, came_to);
    serve_protocol(&mut session, client, door.protocol).await;
}

/// Greets the client and serves it, in the protocol of its door.
async fn serve_protocol(session: &mut Session, client: &mut ClientConn, protocol: Protocol) {
    match protocol {
        Protocol::Pop3 => super::pop3::serve(session, client).await,
        Protocol::Smtp => super::smtp::serve(session, client).await,
        Protocol::Imap => super::imap::serve(session, client).await,
    }
}

/// A client's place among those of its computer, until it is dropped.
struct Seat(Arc<Engine>, IpAddr);

impl Seat {
    /// If there is none left, the error says whether that is news.
    fn take(engine: &Arc<Engine>, address: IpAddr) -> Result<Self, bool> {
        match engine.neighbours().enter(address) {
            Entry::Entered => Ok(Self(Arc::clone(engine), address)),
            Entry::Crowded { is_news } => Err(is_news),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.neighbours().leave(self.1);
    }
}

/// Publishes that a session started and, when it is dropped, that it ended, even after a panic.
struct Lifetime(Arc<Engine>, SessionId);

impl Lifetime {
    fn begin(session: &Session, protocol: Protocol, address: SocketAddr) -> Self {
        let events = &session.engine.events;
        events.publish(Event::SessionStarted(session.id, protocol, address));
        events.follow(session.id, Arc::clone(&session.progress));
        Self(Arc::clone(&session.engine), session.id)
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.0.events.publish(Event::SessionEnded(self.1));
    }
}

impl Session {
    fn new(engine: &Arc<Engine>, settings: Arc<Settings>, door: &Door, client: SocketAddr, came_to: IpAddr) -> Self {
        let find = |name: &String| settings.accounts.iter().find(|account| account.name == *name);
        Self {
            engine: Arc::clone(engine),
            id: engine.next_session(),
            client,
            came_to,
            door_account: door.account.as_ref().and_then(find).cloned(),
            settings,
            stopping: engine.stopping(),
            progress: Arc::default(),
            messages_begun: 0,
            wrong_passwords: 0,
            is_from_guesser: false,
        }
    }

    /// A unique message identifier, the challenge of APOP (RFC 1939, section 7) and CRAM-MD5.
    pub(super) fn stamp(&self) -> String {
        let mut random = [0u8; 12];
        // If the system gives no random numbers, session and process still make it unique.
        let _ = crate::os::random(&mut random);
        format!("<{}.{}.{}@ostler>", self.id, std::process::id(), ostler_mail::wire::hex(&random))
    }

    /// Sends a reply. Returns `false` if the client is gone.
    pub(super) async fn say(&self, client: &mut ClientConn, text: &str) -> bool {
        debug!("[{}] S: {}", self.id, printable(text.trim_end().as_bytes()));
        // A client that reads nothing fills its socket, and would hold the session for ever.
        matches!(timeout(self.settings.timeouts.data, client.send(text.as_bytes())).await, Ok(Ok(())))
    }

    /// Whether the client knows the account's local password. An unknown account takes as long as a wrong password, so that
    /// the time does not tell which names exist.
    pub(super) async fn knows_password(&mut self, account: Option<&Account>, proof: &Proof) -> Result<bool, Failure> {
        let client = self.client.ip();
        let Some(wait) = self.engine.neighbours().wait_for_check(client, crate::proxy::now()) else {
            self.is_from_guesser = true;
            return Ok(false);
        };
        self.pause(wait).await?;
        if let Some(account) = account {
            let wanted = self.engine.vault.local_password(account).await.map_err(crate::proxy::secret_failure)?;
            if proof.proves(&wanted) {
                self.engine.neighbours().add_right_password(client, crate::proxy::now());
                return Ok(true);
            }
        }
        self.wrong_passwords += 1;
        self.engine.neighbours().add_wrong_password(client, crate::proxy::now());
        // Guessing gets slower: one second after the first, two after the second.
        let wait = Duration::from_secs(self.wrong_passwords.into());
        // No longer than that, so that the time still does not tell which names exist.
        let (changed, paused) = tokio::join!(timeout(wait, self.is_changed_password(account, proof)), self.pause(wait));
        paused?;
        let is_right = changed.unwrap_or(false);
        if is_right {
            self.engine.neighbours().add_right_password(client, crate::proxy::now());
        }
        Ok(is_right)
    }

    /// Whether it is a local password that another process has made since it was read.
    async fn is_changed_password(&self, account: Option<&Account>, proof: &Proof) -> bool {
        let Some(account) = account else { return false };
        self.engine.vault.changed_local_password(account).await.is_some_and(|changed| proof.proves(&changed))
    }

    /// Lets time pass, unless ostler shuts down first.
    async fn pause(&self, time: Duration) -> Result<(), Failure> {
        unless_stopped(self.stopping.clone(), async {
            sleep(time).await;
            Ok(())
        })
        .await
    }

    /// Whether the client may sign in to this account: it has given the local password, if the settings want one.
    pub(super) async fn may_sign_in(&mut self, account: &Account, proof: &Proof) -> Result<bool, Failure> {
        Ok(!self.settings.wants_password() || self.knows_password(Some(account), proof).await?)
    }

    /// The client's password, for accounts that pass it on. A local password is ostler's own, and no provider may hear it.
    pub(super) fn secret_to_pass_on(&self, attempt: &Attempt) -> Option<Arc<Secret>> {
        password_as_secret(attempt).filter(|_| !self.settings.wants_password())
    }

    pub(super) fn has_guessed_enough(&self) -> bool {
        self.wrong_passwords >= MAX_WRONG_PASSWORDS || self.is_from_guesser
    }

    /// Why a client that has guessed enough is sent away.
    pub(super) fn guessing_misuse(&self) -> Misuse {
        if self.is_from_guesser { Misuse::Guessing } else { Misuse::TooManyPasswords }
    }

    /// Publishes a failure, for the account if it is known.
    pub(super) fn report(&self, account: Option<&Account>, failure: &Failure) {
        self.engine.events.publish(Event::Failed(account.map(|a| a.name.clone()), failure.clone()));
    }

    pub(super) fn report_activity(&self, what: &'static str) {
        self.engine.events.publish(Event::SessionStateChanged(self.id, what));
    }

    pub(super) fn report_account(&self, account: &Account) {
        self.engine.events.publish(Event::AccountChosen(self.id, account.name.clone()));
    }

    pub(super) fn report_sign_in(&self) {
        self.engine.events.publish(Event::ClientSignedIn(self.id));
    }

    pub(super) fn report_misconfiguration(&self, misconfiguration: ClientMisconfiguration) {
        self.engine.events.publish(Event::ClientMisconfigured(self.id, self.client, misconfiguration));
    }

    /// Reports the misuse, tells the client, and closes.
    pub(super) async fn send_away(&self, client: &mut ClientConn, words: &dyn Words, misuse: Misuse) {
        let text = words.misuse(&misuse);
        self.report_misuse(misuse);
        say_goodbye(client, &text).await;
    }

    pub(super) fn report_misuse(&self, misuse: Misuse) {
        self.engine.events.publish(Event::ClientMisbehaved(self.id, self.client, misuse));
    }
}

/// The client's password as a secret, for accounts that pass it on. `None` if it gave a digest, or nothing.
pub(super) fn password_as_secret(attempt: &Attempt) -> Option<Arc<Secret>> {
    let given = attempt.password()?;
    // A password with a line end counts as none: at a provider the rest of it would be a command.
    Secret::from_client(given).ok().map(Arc::new)
}

/// Completes when ostler shuts down.
pub(super) async fn wait_for_stop(stopping: &mut watch::Receiver<bool>) {
    // An error means that the engine is gone, and no stop will come.
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Does work that can be abandoned without loss, unless ostler shuts down first.
pub(super) async fn unless_stopped<T>(
    mut stopping: watch::Receiver<bool>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        // The work first: a reply that the provider has given is passed on, even while ostler stops.
        biased;
        done = work => done,
        () = wait_for_stop(&mut stopping) => Err(Failure::Stopping),
    }
}

/// Sends a last line and gives the client time to read it. Closing a socket with unread input resets the connection, and the
/// client might lose the line, so its input is read until it closes.
pub(super) async fn say_goodbye(client: &mut ClientConn, line: &str) {
    let last = async {
        if client.send(line.as_bytes()).await.is_ok() {
            client.close().await;
            while matches!(client.fill().await, Ok(true)) {
                client.take_unused();
            }
        }
    };
    let _ = timeout(GOODBYE_TIMEOUT, last).await;
}

/// Whether the client has sent more than it was asked for. Does not wait.
pub(super) async fn has_early_input(client: &mut ClientConn) -> bool {
    client.has_news().await && !client.unused().is_empty()
}
