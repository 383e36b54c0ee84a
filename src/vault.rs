//! Gets secrets from where the settings say: the system's keyring, a command, a file or a variable. It also makes and
//! keeps the local passwords. Not here: the type that cannot be printed (`ostler_mail::secret`), its use
//! (`ostler_mail::sasl`), and what a mail program is told if there is none (`ostler_mail::failure`).
//!
//! A keyring entry has the service `ostler` and the user `NAME SERVER-ID`. The id contains host, port, security and
//! user name, so a secret is never used for another server than the one it was stored for: after a change of the
//! server, the user has to give the password again.

mod cache;
mod command;
mod error;
mod file;
#[cfg(unix)]
mod folder;
#[cfg(feature = "keyring")]
mod keyring;
mod secret_store;
mod worker;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::os::turn::{self, Turn};
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Account, Protocol, SecretSource, Security, Server, SignIn};
use ostler_mail::secret::Secret;
use ostler_mail::secret::given;

use cache::Cache;
pub use command::CommandTrouble;
pub use error::{Kind, VaultError};
pub use file::{EnvTrouble, FileTrouble};
pub use secret_store::SecretStore;
use worker::{Request, Trouble, Worker};

/// For a read, while a mail program waits: the most impatient of the old ones gives up after 30 s. The system may be
/// asking the user to unlock the keyring meanwhile; if that takes longer, the next read finds it unlocked.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// For a write or a removal. The user who asked for it is there, and may have to type the keyring's password first.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// The end of the user part of a local password's keyring entry, behind the account's name.
const LOCAL_ENTRY: &str = " local-password";

/// The longest part of another program's message that is shown.
const MAX_MESSAGE_CHARS: usize = 200;

/// How long to wait for another process that renews the same tokens: a whole request, and the keyring.
const TOKENS_TURN_TIMEOUT: Duration = Duration::from_secs(45);

/// Whether an account is one of the settings' still, so that a local password may be made for it.
type IsThere = Arc<dyn Fn(&Account) -> bool + Send + Sync>;

/// Whether the provider of a server makes app passwords, which it may show in groups.
type AppPasswords = Arc<dyn Fn(&Account, &Server) -> bool + Send + Sync>;

/// Hands out secrets. Cheap to clone; clones share the keyring's thread and the cache.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    keyring: Worker,
    app_passwords: Mutex<AppPasswords>,
    is_there: Mutex<IsThere>,
    cache: Cache,
    /// Its keyring is in memory, for a trial or the demo.
    is_in_memory: bool,
    /// Held while a local password is made, so that two clients at once do not make two. Against other processes there is
    /// [`Vault::wait_to_change`].
    local_password_lock: tokio::sync::Mutex<()>,
}

impl Default for Vault {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault over the system's keyring, or the folder that stands in for it. Nothing is opened or started before the first use.
    pub fn new() -> Self {
        #[cfg(unix)]
        if let SecretStore::Folder(folder) = SecretStore::of_this_ostler() {
            return Self::over(Worker::new(Arc::new(move |request: &Request| folder::serve(&folder, request))), false);
        }
        Self::over(Worker::new(Arc::new(keyring::serve)), false)
    }

    /// The vault, with the rule that says which providers make app passwords. Before that it takes none for one.
    #[must_use]
    pub fn knowing(self, app_passwords: impl Fn(&Account, &Server) -> bool + Send + Sync + 'static) -> Self {
        self.learn(app_passwords);
        self
    }

    /// As [`Self::knowing`], for every clone of the vault.
    pub(crate) fn learn(&self, app_passwords: impl Fn(&Account, &Server) -> bool + Send + Sync + 'static) {
        *self.0.app_passwords.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(app_passwords);
    }

    /// From now on no local password is made for an account that is gone from the settings: sessions that began before would leave
    /// one in the keyring for ever.
    pub(crate) fn make_only_for(&self, is_there: impl Fn(&Account) -> bool + Send + Sync + 'static) {
        *self.0.is_there.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(is_there);
    }

    /// A vault whose keyring answers every question with this secret, and that never opens the system's keyring: for
    /// the demo.
    pub fn of_one(secret: &Secret) -> Self {
        let secret = Zeroizing::new(secret.expose().to_vec());
        Self::in_memory(Worker::new(Arc::new(move |_: &Request| Ok(secret.clone()))))
    }

    /// A vault that has these secrets in memory in place of the system's keyring: to try an account before it is saved.
    pub fn holding(account: &Account, secrets: &[(&Server, Arc<Secret>)]) -> Self {
        Self::holding_tokens(account, secrets, None)
    }

    /// As [`Self::holding`], with the tokens of a sign-in that is not stored yet.
    pub(crate) fn holding_tokens(
        account: &Account,
        secrets: &[(&Server, Arc<Secret>)],
        tokens: Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let octets = |secret: &Arc<Secret>| Zeroizing::new(secret.expose().to_vec());
        let entries = secrets.iter().map(|(server, secret)| (entry_of(account, server), octets(secret)));
        let tokens = tokens.map(|tokens| (tokens_entry_of(account), tokens));
        let entries: HashMap<String, Zeroizing<Vec<u8>>> = entries.chain(tokens).collect();
        let entries = Mutex::new(entries);
        Self::in_memory(Worker::new(Arc::new(move |request: &Request| {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            match request {
                Request::Read { entry } => entries.get(entry).cloned().ok_or(Trouble::NoEntry),
                Request::Write { entry, secret } => {
                    entries.insert(entry.clone(), secret.clone());
                    Ok(Zeroizing::default())
                }
                Request::Forget { .. } => Err(Trouble::NoEntry),
            }
        })))
    }

    fn in_memory(keyring: Worker) -> Self {
        Self::over(keyring, true)
    }

    /// Whether nothing that is stored here lasts.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.0.is_in_memory
    }

    fn over(keyring: Worker, is_in_memory: bool) -> Self {
        let app_passwords: AppPasswords = Arc::new(|_, _| false);
        let local_password_lock = tokio::sync::Mutex::new(());
        let app_passwords = Mutex::new(app_passwords);
        let is_there: IsThere = Arc::new(|_| true);
        let (is_there, cache) = (Mutex::new(is_there), Cache::default());
        Self(Arc::new(Inner { keyring, app_passwords, is_there, cache, is_in_memory, local_password_lock }))
    }

    /// The secret for signing in at `server`.
    pub async fn secret(&self, account: &Account, server: &Server) -> Result<Arc<Secret>, VaultError> {
        self.find(account, server).await.map(|found| found.secret)
    }

    /// As [`Self::secret`], with what there is to say about it.
    pub(crate) async fn find(&self, account: &Account, server: &Server) -> Result<Found, VaultError> {
        let Some(credentials) = server.credentials() else {
            return Err(VaultError::NotWanted { account: account.name.clone(), server: server.address() });
        };
        let secret = self.read(account, &credentials.secret, &entry_of(account, server)).await?;
        let joined = self.join_groups(account, server, &secret);
        let has_lost_blanks = joined.is_some();
        let spelled = given::spelled(&secret, credentials.charset);
        Ok(Found { secret: joined.or(spelled).map_or(secret, Arc::new), has_lost_blanks })
    }

    /// The secret without its blanks, if it is an app password as the provider shows it.
    fn join_groups(&self, account: &Account, server: &Server, secret: &Secret) -> Option<Secret> {
        // The form first, because the presets are read when they are first asked.
        let joined = given::join_groups(secret.expose())?;
        let app_passwords = Arc::clone(&self.0.app_passwords.lock().unwrap_or_else(PoisonError::into_inner));
        Secret::from_bytes(joined).ok().filter(|_| app_passwords(account, server))
    }

    /// The password that mail programs give to ostler. It is made and stored on first use, unless the settings name a
    /// source.
    pub async fn local_password(&self, account: &Account) -> Result<Arc<Secret>, VaultError> {
        let entry = local_entry_of(account);
        let source = account.local_password.as_ref().unwrap_or(&SecretSource::Keyring);
        match self.read(account, source, &entry).await {
            Err(VaultError::NoEntry { .. }) => {}
            other => return other,
        }
        let _guard = self.0.local_password_lock.lock().await;
        let _turn = self.wait_to_change(account, READ_TIMEOUT).await;
        // Another client, or `ostler add` beside the running ostler, may have made it while this one waited.
        match self.read(account, source, &entry).await {
            // The limit of a read, because a mail program waits.
            Err(VaultError::NoEntry { .. }) if self.is_there(account) => {
                self.write(account, &entry, new_password(account)?, READ_TIMEOUT).await
            }
            other => other,
        }
    }

    /// Replaces the local password that ostler made. Mail programs with the old one are refused from then on.
    pub async fn new_local_password(&self, account: &Account) -> Result<Arc<Secret>, VaultError> {
        let source = account.local_password.as_ref().unwrap_or(&SecretSource::Keyring);
        require_keyring(account, source, Kind::Local)?;
        let _guard = self.0.local_password_lock.lock().await;
        let _turn = self.wait_to_change(account, WRITE_TIMEOUT).await;
        self.write(account, &local_entry_of(account), new_password(account)?, WRITE_TIMEOUT).await
    }

    fn is_there(&self, account: &Account) -> bool {
        let is_there = Arc::clone(&self.0.is_there.lock().unwrap_or_else(PoisonError::into_inner));
        is_there(account)
    }

    /// The local password as the keyring has it now, if it is another one than the one in memory: another process may have made it,
    /// perhaps on another computer.
    pub(crate) async fn changed_local_password(&self, account: &Account) -> Option<Arc<Secret>> {
        let entry = local_entry_of(account);
        let known = self.0.cache.get(&entry).ok()?;
        let found = self.0.keyring.ask(Request::Read { entry: entry.clone() }, READ_TIMEOUT).await.ok()?;
        let found = secret_of_entry(&found).ok().filter(|found| !found.is(known.expose()))?;
        self.0.cache.remove(&entry);
        Some(Arc::new(found))
    }

    /// Waits until no other process changes the account's passwords. Otherwise the local password that `ostler add` shows may be
    /// replaced by one that the running ostler has made at the same moment, and of two passwords that are stored for several
    /// servers each may be at one.
    pub(crate) async fn wait_to_change(&self, account: &Account, limit: Duration) -> Option<Turn> {
        self.wait("passwords", account, limit).await
    }

    /// Waits until no other process works on the account's tokens.
    pub(crate) async fn wait_for_tokens(&self, account: &Account) -> Option<Turn> {
        self.wait("tokens", account, TOKENS_TURN_TIMEOUT).await
    }

    async fn wait(&self, what: &str, account: &Account, limit: Duration) -> Option<Turn> {
        if self.is_in_memory() {
            return None;
        }
        turn::wait_for(&format!("{what} of {}", account.name), limit).await
    }

    /// Stores a secret in place of an older one for each of these servers.
    pub(crate) async fn store_all(
        &self,
        account: &Account,
        secrets: impl IntoIterator<Item = (&Server, Arc<Secret>)>,
    ) -> Result<(), VaultError> {
        let _turn = self.wait_to_change(account, WRITE_TIMEOUT).await;
        for (server, secret) in secrets {
            self.store(account, server, secret).await?;
        }
        Ok(())
    }

    /// Stores a secret for `server` in the keyring, in place of an older one.
    pub async fn store(
        &self,
        account: &Account,
        server: &Server,
        secret: impl Into<Arc<Secret>>,
    ) -> Result<(), VaultError> {
        let Some(credentials) = server.credentials() else {
            return Err(VaultError::NotWanted { account: account.name.clone(), server: server.address() });
        };
        require_keyring(account, &credentials.secret, Kind::Providers)?;
        let secret = secret.into();
        let secret = self.join_groups(account, server, &secret).map_or(secret, Arc::new);
        self.write(account, &entry_of(account, server), secret, WRITE_TIMEOUT).await.map(drop)
    }

    /// Removes everything stored for the account from the keyring, including entries of its former servers. If there is
    /// nothing, or no keyring, that is fine too.
    pub async fn forget_account(&self, account: &Account) -> Result<(), VaultError> {
        let local = local_entry_of(account);
        let mut entries: Vec<_> = servers_with_secret(account).into_iter().map(|s| entry_of(account, s)).collect();
        entries.extend([local.clone(), tokens_entry_of(account)]);
        let forget = Request::Forget { account: Some(account.name.clone()), entries };
        // Whatever is being made or renewed would be stored afterwards, and stay for ever.
        let _turns = (self.wait_to_change(account, READ_TIMEOUT).await, self.wait_for_tokens(account).await);
        let done = self.0.keyring.ask(forget, WRITE_TIMEOUT).await;
        self.0.cache.remove_all(|entry| is_entry_of(entry, &account.name));
        match done {
            Ok(_) | Err(Trouble::NoEntry | Trouble::NoKeyring(_)) => Ok(()),
            Err(trouble) => Err(VaultError::keyring(account, &local, trouble)),
        }
    }

    /// Removes what is stored for one server, after the account has got another one. If there is nothing, that is fine
    /// too.
    pub async fn forget_server(&self, account: &Account, server: &Server) -> Result<(), VaultError> {
        let entry = entry_of(account, server);
        let done = self.forget(&entry).await;
        self.0.cache.remove(&entry);
        done.map_err(|trouble| VaultError::keyring(account, &entry, trouble))
    }

    /// Copies what the keyring has for an account to the same account under another name, for every server that both have.
    #[cfg(feature = "web")]
    pub(crate) async fn copy_account(&self, from: &Account, to: &Account) -> Result<(), VaultError> {
        let kept: Vec<_> = keyring_servers(to).into_iter().map(Server::id).collect();
        let servers = keyring_servers(from).into_iter().filter(|server| kept.contains(&server.id()));
        let mut entries: Vec<_> = servers.map(|server| (entry_of(from, server), entry_of(to, server))).collect();
        if from.local_password.as_ref().is_none_or(|source| *source == SecretSource::Keyring) {
            entries.push((local_entry_of(from), local_entry_of(to)));
        }
        for (old, new) in entries {
            match self.read_keyring(from, &old).await {
                Ok(secret) => drop(self.write(to, &new, secret, WRITE_TIMEOUT).await?),
                // Without a keyring there is nothing to lose.
                Err(VaultError::NoEntry { .. } | VaultError::NoKeyring { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match self.tokens(from).await {
            Ok(Some(tokens)) => self.store_tokens(to, tokens).await,
            Ok(None) | Err(VaultError::NoKeyring { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The tokens of an account as they were stored, read from the keyring each time: another process may have renewed them.
    pub(crate) async fn tokens(&self, account: &Account) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let entry = tokens_entry_of(account);
        match self.0.keyring.ask(Request::Read { entry: entry.clone() }, READ_TIMEOUT).await {
            Ok(tokens) => Ok(Some(tokens)),
            Err(Trouble::NoEntry) => Ok(None),
            Err(trouble) => Err(VaultError::keyring(account, &entry, trouble)),
        }
    }

    /// Stores the tokens of an account in place of older ones. With the limit of a read, because the user may not be there to
    /// unlock the keyring.
    pub(crate) async fn store_tokens(&self, account: &Account, tokens: Zeroizing<Vec<u8>>) -> Result<(), VaultError> {
        let entry = tokens_entry_of(account);
        let done = self.0.keyring.ask(Request::Write { entry: entry.clone(), secret: tokens }, READ_TIMEOUT).await;
        done.map(drop).map_err(|trouble| VaultError::keyring(account, &entry, trouble))
    }

    /// Removes the tokens of an account. If there are none, that is fine too.
    pub(crate) async fn forget_tokens(&self, account: &Account) -> Result<(), VaultError> {
        let entry = tokens_entry_of(account);
        self.forget(&entry).await.map_err(|trouble| VaultError::keyring(account, &entry, trouble))
    }

    /// What proves who ostler is at a company that gives out tokens. It is needed once an hour, and not kept in memory.
    pub(crate) async fn client_secret(
        &self,
        account: &Account,
        issuer: &Issuer,
        source: &SecretSource,
    ) -> Result<Arc<Secret>, VaultError> {
        let entry = registration_entry_of(issuer);
        if *source != SecretSource::Keyring {
            return self.read(account, source, &entry).await;
        }
        let found = self.0.keyring.ask(Request::Read { entry }, READ_TIMEOUT).await;
        let secret = found.and_then(|bytes| secret_of_entry(&bytes));
        secret.map(Arc::new).map_err(|trouble| VaultError::registration(&account.name, issuer, trouble))
    }

    /// Stores what proves who ostler is at a company, in place of an older one.
    pub(crate) async fn store_client_secret(&self, issuer: &Issuer, secret: &Secret) -> Result<(), VaultError> {
        let secret = Zeroizing::new(secret.expose().to_vec());
        let write = Request::Write { entry: registration_entry_of(issuer), secret };
        let done = self.0.keyring.ask(write, WRITE_TIMEOUT).await;
        done.map(drop).map_err(|trouble| VaultError::registration("", issuer, trouble))
    }

    /// Removes what proves who ostler is at a company, if the keyring has it.
    #[cfg(feature = "web")]
    pub(crate) async fn forget_client_secret(&self, issuer: &Issuer) -> Result<(), VaultError> {
        let done = self.forget(&registration_entry_of(issuer)).await;
        done.map_err(|trouble| VaultError::registration("", issuer, trouble))
    }

    /// Removes an entry. If there is none, that is fine too.
    async fn forget(&self, entry: &str) -> Result<(), Trouble> {
        let forget = Request::Forget { account: None, entries: vec![entry.to_owned()] };
        match self.0.keyring.ask(forget, WRITE_TIMEOUT).await {
            Ok(_) | Err(Trouble::NoEntry) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes the next use read the keyring again, because the secret was refused or another process has changed it.
    pub fn drop_cached(&self, account: &Account, server: &Server) {
        let entry = entry_of(account, server);
        self.0.cache.remove(&entry);
    }

    /// As [`Self::drop_cached`], for every secret of the account of this name, its local password included. The settings need not
    /// have that account.
    pub fn drop_cached_account(&self, name: &str) {
        self.0.cache.remove_all(|entry| is_entry_of(entry, name));
    }

    async fn read(&self, account: &Account, source: &SecretSource, entry: &str) -> Result<Arc<Secret>, VaultError> {
        let name = || account.name.clone();
        match source {
            SecretSource::Keyring => self.read_keyring(account, entry).await,
            SecretSource::Command(line) => {
                // Boxed: this future is large and rarely used, and every sign-in would carry its size.
                Box::pin(command::secret(line))
                    .await
                    .map(Arc::new)
                    .map_err(|why| VaultError::Command { account: name(), why })
            }
            SecretSource::File(path) => file::secret(path.clone())
                .await
                .map(Arc::new)
                .map_err(|(path, why)| VaultError::File { account: name(), path, why }),
            SecretSource::Env(variable) => file::from_env(variable).map(Arc::new).map_err(|why| VaultError::Env {
                account: name(),
                variable: variable.clone(),
                why,
            }),
            SecretSource::Client => Err(VaultError::FromClient { account: name() }),
        }
    }

    async fn read_keyring(&self, account: &Account, entry: &str) -> Result<Arc<Secret>, VaultError> {
        let began = match self.0.cache.get(entry) {
            Ok(secret) => return Ok(secret),
            Err(epoch) => epoch,
        };
        let found = self.0.keyring.ask(Request::Read { entry: entry.to_owned() }, READ_TIMEOUT).await;
        let secret = found
            .and_then(|bytes| secret_of_entry(&bytes))
            // A failure is not remembered: the user may unlock the keyring at any moment.
            .map_err(|trouble| VaultError::keyring(account, entry, trouble))?;
        let secret = Arc::new(secret);
        self.0.cache.insert_read(entry, &secret, began);
        Ok(secret)
    }

    async fn write(
        &self,
        account: &Account,
        entry: &str,
        secret: Arc<Secret>,
        limit: Duration,
    ) -> Result<Arc<Secret>, VaultError> {
        let bytes = Zeroizing::new(secret.expose().to_vec());
        let done = self.0.keyring.ask(Request::Write { entry: entry.to_owned(), secret: bytes }, limit).await;
        match done {
            Ok(_) => self.0.cache.insert_written(entry, &secret),
            // After a failure, a time limit say, the keyring may hold the old secret or the new one.
            Err(_) => self.0.cache.remove(entry),
        }
        done.map(|_| secret).map_err(|trouble| VaultError::keyring(account, entry, trouble))
    }
}

/// A secret, and what there is to say about it.
pub(crate) struct Found {
    pub(crate) secret: Arc<Secret>,
    /// It is an app password that was stored as the provider shows it, and its blanks were left out.
    pub(crate) has_lost_blanks: bool,
}

/// Every server of the account that has a secret, each once, including the login servers of gates: the servers that
/// [`Vault::store`] and [`Vault::secret`] accept.
pub(crate) fn servers_with_secret(account: &Account) -> Vec<&Server> {
    let mut servers: Vec<&Server> = Vec::new();
    for server in account.servers() {
        let keyed = match &server.sign_in {
            SignIn::AfterPop(gate) => &gate.login,
            SignIn::Password(_) | SignIn::OAuth2(_) | SignIn::None => server,
        };
        if keyed.credentials().is_some() && !servers.iter().any(|s| s.id() == keyed.id()) {
            servers.push(keyed);
        }
    }
    servers
}

/// Those of [`servers_with_secret`] whose secret is in the keyring.
pub(crate) fn keyring_servers(account: &Account) -> Vec<&Server> {
    let is_in_keyring = |server: &&Server| match &server.sign_in {
        SignIn::Password(credentials) => credentials.secret == SecretSource::Keyring,
        // Tokens are of the account and not of a server.
        SignIn::OAuth2(_) | SignIn::AfterPop(_) | SignIn::None => false,
    };
    servers_with_secret(account).into_iter().filter(is_in_keyring).collect()
}

/// Where a secret comes from, for a person. A command is not shown: it may contain a secret itself.
pub(crate) fn describe_source(source: &SecretSource) -> String {
    match source {
        SecretSource::Keyring => SecretStore::of_this_ostler().to_string(),
        SecretSource::Command(_) => "a command".to_owned(),
        SecretSource::File(path) => format!("the file {}", path.display()),
        SecretSource::Env(variable) => format!("the environment variable {variable}"),
        SecretSource::Client => "the mail program".to_owned(),
    }
}

fn require_keyring(account: &Account, source: &SecretSource, what: Kind) -> Result<(), VaultError> {
    if *source == SecretSource::Keyring {
        return Ok(());
    }
    let (account, place) = (account.name.clone(), describe_source(source));
    Err(VaultError::Elsewhere { account, what, place, kept_in: SecretStore::of_this_ostler() })
}

fn entry_of(account: &Account, server: &Server) -> String {
    format!("{} {}", account.name, server.id())
}

fn local_entry_of(account: &Account) -> String {
    format!("{}{LOCAL_ENTRY}", account.name)
}

fn tokens_entry_of(account: &Account) -> String {
    format!("{} oauth2", account.name)
}

/// A secret belongs to the host to which it may be sent.
fn registration_entry_of(issuer: &Issuer) -> String {
    format!("registration {} {}", issuer.name, issuer.token.authority())
}

/// What an entry of the keyring holds.
fn secret_of_entry(bytes: &[u8]) -> Result<Secret, Trouble> {
    // Other programs may have stored it with a line end.
    let secret = given::without_line_end(bytes).to_vec();
    Secret::from_bytes(secret.into()).map_err(|why| Trouble::Other(format!("its entry: {why}")))
}

/// Whether a keyring entry belongs to the account. Names may contain blanks, so a prefix is not enough: the entries of
/// `home office` do not belong to `home`.
fn is_entry_of(entry: &str, account: &str) -> bool {
    let Some(rest) = entry.strip_prefix(account).and_then(|rest| rest.strip_prefix(' ')) else {
        return false;
    };
    // Three words: the user name at the end of a server's id may hold blanks.
    let mut words = rest.splitn(3, ' ');
    let has_protocol = words.next().and_then(Protocol::from_name).is_some();
    let has_security = words.next().and_then(Security::from_name).is_some();
    matches!(rest, "local-password" | "oauth2") || (has_protocol && has_security && words.next().is_some())
}

/// 128 random bits in base32, which has none of the digits 0, 1, 8 and 9 that look like letters. People copy it by hand
/// into programs of the 1990s, so it comes in groups, and stays below the 32 characters that some of those accept.
fn new_password(account: &Account) -> Result<Arc<Secret>, VaultError> {
    let no_random = || VaultError::NoRandom { account: account.name.clone() };
    let mut bits = Zeroizing::new([0; 16]);
    if !crate::os::random(&mut *bits) {
        return Err(no_random());
    }
    Secret::new(spell(u128::from_be_bytes(*bits))).map(Arc::new).map_err(|_| no_random())
}

fn spell(bits: u128) -> Zeroizing<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = Zeroizing::new(String::with_capacity(32));
    for digit in 0..26 {
        if digit > 0 && digit % 7 == 0 {
            text.push('-');
        }
        let letter = (bits >> (5 * digit)) & 31;
        text.push(char::from(LETTERS[letter as usize]));
    }
    text
}

/// Another program's message as one short line of printable ASCII.
fn to_plain_line(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_MESSAGE_CHARS).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The first line of a file's or a command's text.
fn first_line(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(given::first_line(bytes).to_vec())
}

#[cfg(not(feature = "keyring"))]
mod keyring {
    use zeroize::Zeroizing;

    use super::worker::{Request, Trouble};

    pub(super) fn serve(_: &Request) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        Err(Trouble::NoKeyring("this ostler was built without keyring support".to_owned()))
    }
}

#[cfg(test)]
mod tests;
