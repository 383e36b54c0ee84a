//! The three acts of a mail connection on sockets: hear the client, sign in at the provider, pass octets. [`Engine`] is
//! what all sessions share: the current settings, the dialer, secrets, gates, and what was learned about servers.
//!
//! Not here: what is said in each act (the crate `ostler_mail`), and everything a person sees.

mod admit;
pub(crate) mod early;
pub(crate) mod gate_login;
mod hear;
mod imap;
mod left_marks;
pub mod listeners;
pub mod net;
mod pop3;
pub mod relay;
mod session;
pub mod sign_in;
mod slots;
pub(crate) mod smtp;
pub(crate) mod tokens;
mod tripping;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::events::event::{Event, SessionId};
use crate::events::{AccountNow, Events};
use crate::os;
use crate::proxy::left_marks::LeftMarks;
use crate::proxy::net::dial::Dialer;
use crate::proxy::slots::Slots;
use crate::proxy::smtp::kept::KeptSessions;
use crate::proxy::tokens::TokenKeeper;
use crate::proxy::tripping::Tripping;
use crate::vault::{Found, SecretStore, Vault, VaultError};
use ostler_mail::account::{Account, SecretSource, Server, ServerId, Settings};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, SecretTrouble, ServerAddr};
use ostler_mail::neighbours::Neighbours;
use ostler_mail::oauth2::tokens::is_kept_for;
use ostler_mail::pop_before_smtp::Gate;
use ostler_mail::pop3::login::CachedCapabilities;
use ostler_mail::sasl::Way;
use ostler_mail::secret::Secret;
use ostler_mail::smtp::data::Chunking;

/// The gate of one login, with the lock that lets one login at a time through, ostler's own or a client's.
#[derive(Default)]
pub struct GateCell {
    gate: Mutex<Gate>,
    /// Held during a login.
    pub turn: tokio::sync::Mutex<()>,
}

impl GateCell {
    /// Locks the state. Never hold the guard across an await.
    pub fn lock(&self) -> MutexGuard<'_, Gate> {
        // A panic in one session must not stop all others, so a poisoned lock is taken as it is; so are the locks
        // below.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was observed of one server. Lost when the program ends: only speed depends on it.
#[derive(Debug, Clone, Default)]
pub struct ServerCache {
    /// The capabilities at the last POP3 sign-in.
    pub pop3: Option<CachedCapabilities>,
    /// The way of signing in that the server took at the last sign-in. It may offer others and refuse them.
    pub way: Option<Way>,
    /// The largest message that the SMTP server takes, in octets (RFC 1870).
    pub size: Option<u64>,
    /// What the SMTP server makes of BDAT (RFC 3030), which some offer and do not understand.
    pub chunking: Chunking,
    tripping: Tripping,
}

impl ServerCache {
    /// Whether commands must not leave together, whatever the server offers.
    pub fn trips_over_pipelining(&self) -> bool {
        self.tripping.is_likely(now())
    }
}

/// What all sessions share.
pub struct Engine {
    settings: Mutex<Arc<Settings>>,
    /// Takes everything that happens.
    pub(crate) events: Events,
    /// Hands out secrets.
    pub vault: Vault,
    /// Connects to providers.
    pub dialer: Arc<Dialer>,
    /// Hands out OAuth2 access tokens.
    pub(crate) tokens: TokenKeeper,
    gates: Mutex<HashMap<ServerId, Arc<GateCell>>>,
    learned: Mutex<HashMap<ServerId, ServerCache>>,
    /// The connections at each IMAP server.
    imap_slots: Mutex<HashMap<ServerId, Arc<Slots>>>,
    left_marks: LeftMarks,
    /// Sessions at SMTP servers that wait for the next send.
    kept: KeptSessions,
    /// What other computers' programs do at the doors.
    neighbours: Mutex<Neighbours>,
    stopping: watch::Sender<bool>,
    busy: watch::Sender<usize>,
    sessions: AtomicU64,
}

impl Engine {
    /// Starts with these settings.
    pub(crate) fn new(settings: Settings, vault: Vault, events: Events) -> Self {
        let dialer: Arc<Dialer> = Arc::default();
        let engine = Self {
            tokens: TokenKeeper::new(vault.clone(), Arc::clone(&dialer), events.clone()),
            settings: Mutex::new(Arc::new(settings)),
            events,
            vault,
            dialer,
            gates: Mutex::default(),
            learned: Mutex::default(),
            imap_slots: Mutex::default(),
            left_marks: LeftMarks::default(),
            kept: KeptSessions::default(),
            neighbours: Mutex::default(),
            stopping: watch::Sender::new(false),
            busy: watch::Sender::new(0),
            sessions: AtomicU64::new(0),
        };
        engine.publish_settings(false);
        engine
    }

    /// Locks what is remembered of other computers. Never hold the guard across an await.
    pub(crate) fn neighbours(&self) -> MutexGuard<'_, Neighbours> {
        self.neighbours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current settings. A session keeps those it began with.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the current settings have an account of this name.
    pub(crate) fn serves(&self, account: &Account) -> bool {
        self.settings().accounts.iter().any(|known| known.name == account.name)
    }

    /// Replaces the settings for future sessions.
    pub fn replace_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.dialer.tls.forget();
        self.publish_settings(true);
    }

    fn publish_settings(&self, is_reload: bool) {
        let settings = self.settings();
        let accounts = ostler_mail::choose::names(&settings.accounts);
        self.events.publish(Event::SettingsApplied { accounts, access: settings.access, is_reload });
    }

    /// The id for a new session.
    pub fn next_session(&self) -> SessionId {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The gate of a login server.
    pub fn gate(&self, login: &Server) -> Arc<GateCell> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(login.id()).or_default())
    }

    /// The slots at an IMAP server. A session needs one before it connects there.
    pub(crate) fn imap_slots(&self, server: &Server) -> Arc<Slots> {
        let mut slots = self.imap_slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(server.id()).or_default())
    }

    /// What `status` says of an account and no event has told.
    pub(crate) fn account_now(&self, name: &str, now: Moment) -> AccountNow {
        AccountNow {
            gate_age_s: self.gate_age(name, now),
            kept_sessions: self.kept.count(name),
            signed_in_until: self.tokens.good_until(name),
        }
    }

    /// The age in seconds of the last login at an account's gate. `None`: no gate, or no login yet.
    fn gate_age(&self, name: &str, now: Moment) -> Option<u64> {
        let settings = self.settings();
        let account = settings.accounts.iter().find(|a| a.name == name)?;
        let login = account.smtp.iter().find_map(|s| s.gate())?;
        self.gate(&login.login).lock().login_age(now).map(|age| age.as_secs())
    }

    /// What was learned about a server.
    pub fn learned(&self, server: &Server) -> ServerCache {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.get(&server.id()).cloned().unwrap_or_default()
    }

    /// Changes what is remembered about a server.
    pub fn learn<T>(&self, server: &Server, change: impl FnOnce(&mut ServerCache) -> T) -> T {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        change(learned.entry(server.id()).or_default())
    }

    /// A server that offers PIPELINING has left unanswered what came to it together.
    fn note_tripped(&self, account: &Account, server: &Server) {
        let news = self.learn(server, |learned| {
            // With them, USER and PASS would leave together.
            learned.pop3 = None;
            learned.tripping.note(now())
        });
        let Some(lifetime) = news else { return };
        self.events.publish(Event::Warning(format!(
            "account {}: {} offers PIPELINING and did not answer what came to it together, unless the network has failed; for {lifetime} it gets \
             one command at a time",
            account.name, server.host
        )));
    }

    /// Gets the secret for a server: from its source, or `given`, the client's own, where `password = "client"`.
    pub async fn secret(
        &self,
        account: &Account,
        server: &Server,
        given: Option<&Arc<Secret>>,
    ) -> Result<Arc<Secret>, Failure> {
        self.find_secret(account, server, given).await.map(|found| found.secret)
    }

    /// As [`Self::secret`], with what there is to say about it.
    pub(crate) async fn find_secret(
        &self,
        account: &Account,
        server: &Server,
        given: Option<&Arc<Secret>>,
    ) -> Result<Found, Failure> {
        let from_client = server.credentials().is_some_and(|c| c.secret == SecretSource::Client);
        if from_client {
            let none = || Failure::Secret {
                account: account.name.clone(),
                at: Some(server.into()),
                trouble: SecretTrouble::ClientGaveNone,
            };
            let secret = given.cloned().ok_or_else(none)?;
            return Ok(Found { secret, has_lost_blanks: false });
        }
        if self.renews_for(server) {
            let tokens =
                self.tokens.tokens(account, None).await.map_err(|trouble| trouble.at(account, server.into()))?;
            return Ok(Found { secret: Arc::clone(tokens.access()), has_lost_blanks: false });
        }
        self.vault.find(account, server).await.map_err(|error| failure_of(&error, Some(server.into())))
    }

    /// Whether ostler keeps and renews what it signs in with at this server.
    pub(crate) fn renews_for(&self, server: &Server) -> bool {
        is_kept_for(server)
    }

    /// Another access token than the one that a mail server has refused.
    pub(crate) async fn renewed_token(
        &self,
        account: &Account,
        server: &Server,
        refused: &Arc<Secret>,
    ) -> Result<Arc<Secret>, Failure> {
        let renewed = self.tokens.tokens(account, Some(refused)).await;
        let tokens = renewed.map_err(|trouble| trouble.at(account, server.into()))?;
        Ok(Arc::clone(tokens.access()))
    }

    /// Turns true when no session and no message may begin any more.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Asks every session to end once its current message is through.
    pub fn stop(&self) {
        // Not `send`, which changes nothing while no session listens; the next one has to find it.
        self.stopping.send_replace(true);
    }

    /// The number of sessions under way.
    pub fn busy(&self) -> watch::Receiver<usize> {
        self.busy.subscribe()
    }

    /// Counts a session as under way until the guard is dropped.
    pub fn count_in(self: &Arc<Self>) -> Counted {
        self.busy.send_modify(|n| *n += 1);
        Counted(Arc::clone(self))
    }
}

/// A session under way.
pub struct Counted(Arc<Engine>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.busy.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// Turns a missing local password into a failure with words for the client.
pub fn secret_failure(error: VaultError) -> Failure {
    failure_of(&error, None)
}

fn failure_of(error: &VaultError, at: Option<ServerAddr>) -> Failure {
    let trouble = match error {
        VaultError::NoEntry { place, .. } => SecretTrouble::Missing(place.to_string()),
        VaultError::Locked { .. } | VaultError::TimedOut { place: SecretStore::Keyring, .. } => {
            SecretTrouble::KeyringLocked
        }
        VaultError::NoKeyring { place: SecretStore::Keyring, .. } => SecretTrouble::NoKeyring,
        VaultError::NoKeyring { place: SecretStore::Folder(_), reason, .. } => SecretTrouble::NoFolder(reason.clone()),
        VaultError::FromClient { .. } => SecretTrouble::ClientGaveNone,
        VaultError::Registration { issuer, place, .. } => {
            SecretTrouble::Source(format!("{place} does not give the secret of ostler's registration at {issuer}"))
        }
        // Eudora looks for the word "password" in a refusal and throws its own away.
        other => SecretTrouble::Source(other.to_string().replace("password", "secret")),
    };
    Failure::Secret { account: error.account().to_owned(), at, trouble }
}

/// The current time. Machines take it as an argument.
pub fn now() -> Moment {
    os::now()
}
