//! Where secrets come from: the system's keyring, a command, a file, a variable, and the local passwords ostler
//! makes itself. What a secret is, is `secret.rs`; what is done with it is `sasl.rs`; what a mail program is told
//! when there is none is `failure.rs`.
//!
//! A secret lies in the keyring under service `ostler` and user `NAME SERVER-ID`. The id holds host, port, security
//! and user name, so a secret is never found for a server it was not stored for; a changed server asks again.

mod command;
mod file;
#[cfg(feature = "keyring")]
mod keyring;
mod worker;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use ostler_mail::account::{Account, SecretSource, Server, SignIn};
use ostler_mail::secret::Secret;

pub use command::CommandTrouble;
pub use file::{EnvTrouble, FileTrouble};
use worker::{Request, Trouble, Worker};

/// For a read, which a mail program waits for: old ones give up after 30 s at the earliest. The system may be asking
/// a person to unlock the keyring meanwhile; an answer given later serves the next try.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// For a change, behind which sits the person who asked for it and who may have to type the keyring's password first.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// How much of another program's words is shown.
const MAX_MESSAGE_CHARS: usize = 200;

/// Hands out secrets. Cheap to clone; clones share the keyring's thread and what was read from it.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    keyring: Worker,
    cache: Mutex<Cache>,
    /// Held while a local password is made, so that two clients at once do not make two.
    making: tokio::sync::Mutex<()>,
}

/// What was read from the keyring. The other sources are read anew each time: they are the user's own, cheap, and
/// may change behind our back.
#[derive(Default)]
struct Cache {
    secrets: HashMap<String, Arc<Secret>>,
    /// Counts changes, so that a read begun before one does not put its old answer in afterwards.
    epoch: u64,
}

/// Why there is no secret. Every variant knows the account and where the vault looked; none holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The client gives it; the vault has nothing to say.
    #[error("the password of account \"{account}\" is the one its mail program gives")]
    FromClient {
        /// The account's name.
        account: String,
    },
    /// The server is used without a secret of its own.
    #[error("account \"{account}\" has no password for {server}: it signs in there without one")]
    NotWanted {
        /// The account's name.
        account: String,
        /// The server's address.
        server: String,
    },
    /// Only secrets in the keyring can be changed.
    #[error("the password of account \"{account}\" comes from {place}, not from the keyring")]
    Elsewhere {
        /// The account's name.
        account: String,
        /// Where it comes from, for a person.
        place: String,
    },
    /// The keyring has none; also the answer of a keyring that was made for this session only.
    #[error(
        "the keyring holds no password of account \"{account}\" (ostler, {entry}): run `ostler password {account}`"
    )]
    NoEntry {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
    },
    /// The keyring did not let us in.
    #[error(
        "the keyring is locked, the password of account \"{account}\" is out of reach ({reason}): unlock the keyring"
    )]
    Locked {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// There is no keyring here.
    #[error(
        "there is no keyring with the password of account \"{account}\" ({reason}): log in to a desktop, or let \
         `password` name a command, a file or a variable"
    )]
    NoKeyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// The keyring did not answer in time; perhaps it is asking a person.
    #[error(
        "the keyring did not answer within {} s when asked for account \"{account}\": it may be waiting to be unlocked",
        limit.as_secs()
    )]
    TimedOut {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// How long it had.
        limit: Duration,
    },
    /// The keyring failed in another way.
    #[error("the keyring failed at the password of account \"{account}\" (ostler, {entry}): {reason}")]
    Keyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// The command gave none.
    #[error("the password command of account \"{account}\" {why}")]
    Command {
        /// The account's name.
        account: String,
        /// What went wrong.
        why: CommandTrouble,
    },
    /// The file gave none.
    #[error("the password file of account \"{account}\", {}, {why}", path.display())]
    File {
        /// The account's name.
        account: String,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: FileTrouble,
    },
    /// The variable gave none.
    #[error("the environment variable {variable}, for the password of account \"{account}\", {why}")]
    Env {
        /// The account's name.
        account: String,
        /// Which variable.
        variable: String,
        /// What is wrong with it.
        why: EnvTrouble,
    },
    /// No local password could be made.
    #[error("no local password could be made for account \"{account}\": the system gives no random numbers")]
    NoRandom {
        /// The account's name.
        account: String,
    },
}

impl VaultError {
    /// The account's name.
    pub fn account(&self) -> &str {
        match self {
            Self::FromClient { account }
            | Self::NotWanted { account, .. }
            | Self::Elsewhere { account, .. }
            | Self::NoEntry { account, .. }
            | Self::Locked { account, .. }
            | Self::NoKeyring { account, .. }
            | Self::TimedOut { account, .. }
            | Self::Keyring { account, .. }
            | Self::Command { account, .. }
            | Self::File { account, .. }
            | Self::Env { account, .. }
            | Self::NoRandom { account } => account,
        }
    }

    fn keyring(account: &Account, entry: &str, trouble: Trouble) -> Self {
        let account = account.name.clone();
        let entry = entry.to_owned();
        match trouble {
            Trouble::NoEntry => Self::NoEntry { account, entry },
            Trouble::Locked(reason) => Self::Locked { account, entry, reason },
            Trouble::NoKeyring(reason) => Self::NoKeyring { account, entry, reason },
            Trouble::TimedOut(limit) => Self::TimedOut { account, entry, limit },
            Trouble::Other(reason) => Self::Keyring { account, entry, reason },
        }
    }
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
    /// A vault over the system's keyring. Nothing is opened or started before the first use.
    pub fn new() -> Self {
        Self::over(Worker::new(Arc::new(keyring::serve)))
    }

    /// A vault that has this secret for every server whose source is the keyring, and never touches the system's: for
    /// the demo.
    pub fn of_one(secret: &Secret) -> Self {
        let secret = Zeroizing::new(secret.expose().as_bytes().to_vec());
        Self::over(Worker::new(Arc::new(move |_: &Request| Ok(secret.clone()))))
    }

    /// A vault that holds these secrets of an account in memory only, in place of the system's keyring: for an account
    /// that is being tried before anything is kept.
    pub fn holding(account: &Account, secrets: &[(&Server, Arc<Secret>)]) -> Self {
        let held: HashMap<String, Arc<Secret>> =
            secrets.iter().map(|(server, secret)| (entry_of(account, server), Arc::clone(secret))).collect();
        Self::over(Worker::new(Arc::new(move |request: &Request| {
            let Request::Read { entry } = request else { return Err(Trouble::NoEntry) };
            let secret = held.get(entry).ok_or(Trouble::NoEntry)?;
            Ok(Zeroizing::new(secret.expose().as_bytes().to_vec()))
        })))
    }

    fn over(keyring: Worker) -> Self {
        Self(Arc::new(Inner { keyring, cache: Mutex::default(), making: tokio::sync::Mutex::new(()) }))
    }

    /// The secret with which `server` is signed in.
    pub async fn secret(&self, account: &Account, server: &Server) -> Result<Arc<Secret>, VaultError> {
        let Some(credentials) = server.credentials() else {
            return Err(VaultError::NotWanted { account: account.name.clone(), server: server.address() });
        };
        self.read(account, &credentials.secret, &entry_of(account, server)).await
    }

    /// The password a mail program gives to ostler; made and kept on first use unless the settings name a source.
    pub async fn local_password(&self, account: &Account) -> Result<Arc<Secret>, VaultError> {
        let entry = local_entry_of(account);
        let source = account.local_password.as_ref().unwrap_or(&SecretSource::Keyring);
        match self.read(account, source, &entry).await {
            Err(VaultError::NoEntry { .. }) => {}
            other => return other,
        }
        let _making = self.0.making.lock().await;
        match self.read(account, source, &entry).await {
            Err(VaultError::NoEntry { .. }) => self.write(account, &entry, new_password(account)?, READ_TIMEOUT).await,
            other => other,
        }
    }

    /// Replaces the local password ostler made; mail programs with the old one are refused from now on.
    pub async fn new_local_password(&self, account: &Account) -> Result<Arc<Secret>, VaultError> {
        let source = account.local_password.as_ref().unwrap_or(&SecretSource::Keyring);
        require_keyring(account, source)?;
        let _making = self.0.making.lock().await;
        self.write(account, &local_entry_of(account), new_password(account)?, WRITE_TIMEOUT).await
    }

    /// Keeps a secret for `server` in the keyring, in place of what was there.
    pub async fn store(&self, account: &Account, server: &Server, secret: Secret) -> Result<(), VaultError> {
        let Some(credentials) = server.credentials() else {
            return Err(VaultError::NotWanted { account: account.name.clone(), server: server.address() });
        };
        require_keyring(account, &credentials.secret)?;
        self.write(account, &entry_of(account, server), secret, WRITE_TIMEOUT).await.map(drop)
    }

    /// Takes everything kept for the account out of the keyring, entries of servers it had formerly too. That
    /// there is nothing is as good.
    pub async fn forget_account(&self, account: &Account) -> Result<(), VaultError> {
        let local = local_entry_of(account);
        let mut entries: Vec<_> = servers_with_secret(account).into_iter().map(|s| entry_of(account, s)).collect();
        entries.push(local.clone());
        let forget = Request::Forget { account: Some(account.name.clone()), entries };
        let done = self.0.keyring.ask(forget, WRITE_TIMEOUT).await;
        self.update_cache(|secrets| secrets.retain(|entry, _| !is_entry_of(entry, &account.name)));
        match done {
            Ok(_) | Err(Trouble::NoEntry) => Ok(()),
            Err(trouble) => Err(VaultError::keyring(account, &local, trouble)),
        }
    }

    /// Takes what is kept for one server of the account out of the keyring: the account has another one now. That there is
    /// nothing is as good.
    pub async fn forget_server(&self, account: &Account, server: &Server) -> Result<(), VaultError> {
        let entry = entry_of(account, server);
        let forget = Request::Forget { account: None, entries: vec![entry.clone()] };
        let done = self.0.keyring.ask(forget, WRITE_TIMEOUT).await;
        self.update_cache(|secrets| drop(secrets.remove(&entry)));
        match done {
            Ok(_) | Err(Trouble::NoEntry) => Ok(()),
            Err(trouble) => Err(VaultError::keyring(account, &entry, trouble)),
        }
    }

    /// Makes the next use read the keyring again: the secret was refused, or another process has changed it.
    pub fn drop_cached(&self, account: &Account, server: &Server) {
        let entry = entry_of(account, server);
        self.update_cache(|secrets| drop(secrets.remove(&entry)));
    }

    /// The same for everything kept for the account, its local password included.
    pub fn drop_cached_account(&self, account: &Account) {
        self.update_cache(|secrets| secrets.retain(|entry, _| !is_entry_of(entry, &account.name)));
    }

    async fn read(&self, account: &Account, source: &SecretSource, entry: &str) -> Result<Arc<Secret>, VaultError> {
        let name = || account.name.clone();
        match source {
            SecretSource::Keyring => self.read_keyring(account, entry).await,
            SecretSource::Command(line) => {
                // Boxed: rare and big, and a part of every sign-in.
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
        let epoch = {
            let cache = self.cache();
            if let Some(secret) = cache.secrets.get(entry) {
                return Ok(Arc::clone(secret));
            }
            cache.epoch
        };
        let found = self.0.keyring.ask(Request::Read { entry: entry.to_owned() }, READ_TIMEOUT).await;
        let secret = found
            .and_then(|bytes| Secret::from_bytes(bytes).map_err(|why| Trouble::Other(format!("its entry: {why}"))))
            .map_err(|trouble| VaultError::keyring(account, entry, trouble))?;
        let secret = Arc::new(secret);
        let mut cache = self.cache();
        if cache.epoch == epoch {
            cache.secrets.insert(entry.to_owned(), Arc::clone(&secret));
        }
        Ok(secret)
    }

    async fn write(
        &self,
        account: &Account,
        entry: &str,
        secret: Secret,
        limit: Duration,
    ) -> Result<Arc<Secret>, VaultError> {
        let bytes = Zeroizing::new(secret.expose().as_bytes().to_vec());
        let done = self.0.keyring.ask(Request::Write { entry: entry.to_owned(), secret: bytes }, limit).await;
        let secret = Arc::new(secret);
        // After a failure nobody knows what the keyring holds now.
        self.update_cache(|secrets| match done {
            Ok(_) => drop(secrets.insert(entry.to_owned(), Arc::clone(&secret))),
            Err(_) => drop(secrets.remove(entry)),
        });
        done.map(|_| secret).map_err(|trouble| VaultError::keyring(account, entry, trouble))
    }

    fn update_cache(&self, update: impl FnOnce(&mut HashMap<String, Arc<Secret>>)) {
        let mut cache = self.cache();
        cache.epoch += 1;
        update(&mut cache.secrets);
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every server of the account that has a secret, the gate's login servers included, each once: what `store` and
/// `secret` can be asked for.
pub fn servers_with_secret(account: &Account) -> Vec<&Server> {
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

/// Where a secret comes from, for a person. A command is not quoted: it may hold a secret itself.
pub fn describe_source(source: &SecretSource) -> String {
    match source {
        SecretSource::Keyring => "the keyring".to_owned(),
        SecretSource::Command(_) => "a command".to_owned(),
        SecretSource::File(path) => format!("the file {}", path.display()),
        SecretSource::Env(variable) => format!("the environment variable {variable}"),
        SecretSource::Client => "the mail program".to_owned(),
    }
}

fn require_keyring(account: &Account, source: &SecretSource) -> Result<(), VaultError> {
    if *source == SecretSource::Keyring {
        return Ok(());
    }
    Err(VaultError::Elsewhere { account: account.name.clone(), place: describe_source(source) })
}

fn entry_of(account: &Account, server: &Server) -> String {
    format!("{} {}", account.name, server.id())
}

fn local_entry_of(account: &Account) -> String {
    format!("{} local-password", account.name)
}

/// Whether a keyring entry is one of the account's. A name may hold blanks, so `home` must not take the entries of
/// `home office`.
fn is_entry_of(entry: &str, account: &str) -> bool {
    let Some(rest) = entry.strip_prefix(account).and_then(|rest| rest.strip_prefix(' ')) else {
        return false;
    };
    let mut words = rest.splitn(3, ' ');
    let protocol = words.next().is_some_and(|word| matches!(word, "pop3" | "smtp" | "imap"));
    let security = words.next().is_some_and(|word| matches!(word, "tls" | "starttls" | "none"));
    rest == "local-password" || (protocol && security && words.next().is_some())
}

/// 128 random bits as base32, which has no 0, 1, 8 or 9 to take for a letter; in groups, because people copy it by
/// hand into programs of the 1990s, and shorter than the 32 characters some of those take.
fn new_password(account: &Account) -> Result<Secret, VaultError> {
    let no_random = || VaultError::NoRandom { account: account.name.clone() };
    let mut bits = Zeroizing::new([0; 16]);
    if !crate::os::random(&mut *bits) {
        return Err(no_random());
    }
    Secret::new(spell(u128::from_be_bytes(*bits))).map_err(|_| no_random())
}

fn spell(bits: u128) -> Zeroizing<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = Zeroizing::new(String::with_capacity(32));
    for place in 0..26 {
        if place > 0 && place % 7 == 0 {
            text.push('-');
        }
        let letter = (bits >> (5 * place)) & 31;
        text.push(char::from(LETTERS[letter as usize]));
    }
    text
}

/// Another program's words in one short line of printable ASCII.
fn to_plain_line(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_MESSAGE_CHARS).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The first line of what a file or a command holds, without its line end and without the mark Windows editors put
/// at the beginning of UTF-8 text.
fn first_line(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
    Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
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
mod tests {
    use super::*;
    use ostler_mail::account::{AfterPop, Credentials, Protocol, Security, Trust};

    fn server(protocol: Protocol, host: &str, sign_in: SignIn) -> Server {
        let security = Security::Tls;
        Server { protocol, host: host.into(), port: 995, security, trust: Trust::default(), sign_in }
    }

    fn password(source: SecretSource) -> SignIn {
        SignIn::Password(Credentials { username: "ann".into(), secret: source })
    }

    fn account(name: &str) -> Account {
        Account {
            name: name.into(),
            address: "ann@example.net".into(),
            aliases: vec![],
            provider: None,
            is_default: false,
            offer_auth: true,
            local_password: None,
            pop3: Some(server(Protocol::Pop3, "pop.example.net", password(SecretSource::Keyring))),
            smtp: vec![],
            imap: None,
        }
    }

    type Entries = Arc<Mutex<HashMap<String, Vec<u8>>>>;

    /// A vault over a keyring in memory, with the entries and a record of what was read.
    fn vault() -> (Vault, Entries, Arc<Mutex<Vec<String>>>) {
        let (entries, reads) = (Entries::default(), Arc::new(Mutex::new(vec![])));
        let (kept, log) = (Arc::clone(&entries), Arc::clone(&reads));
        let serve = move |request: &Request| {
            let mut kept = kept.lock().unwrap();
            match request {
                Request::Read { entry } => {
                    log.lock().unwrap().push(entry.clone());
                    return kept.get(entry).cloned().map(Zeroizing::new).ok_or(Trouble::NoEntry);
                }
                Request::Write { entry, secret } => drop(kept.insert(entry.clone(), secret.to_vec())),
                Request::Forget { account, entries } => kept.retain(|entry, _| {
                    !entries.contains(entry) && account.as_ref().is_none_or(|account| !is_entry_of(entry, account))
                }),
            }
            Ok(Zeroizing::default())
        };
        (Vault::over(Worker::new(Arc::new(serve))), entries, reads)
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_secret_is_read_once_until_it_is_dropped() {
        let (vault, entries, reads) = vault();
        let home = account("home");
        let pop3 = home.pop3.as_ref().unwrap();
        let entry = "home pop3 tls ann@pop.example.net:995".to_owned();
        let missing = vault.secret(&home, pop3).await.unwrap_err();
        assert_eq!(missing, VaultError::NoEntry { account: "home".into(), entry: entry.clone() });
        entries.lock().unwrap().insert(entry.clone(), b"hunter2".to_vec());
        for _ in 0..3 {
            assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));
        }
        entries.lock().unwrap().insert(entry.clone(), b"hunter3".to_vec());
        vault.drop_cached(&home, pop3);
        assert!(vault.clone().secret(&home, pop3).await.unwrap().is(b"hunter3"));
        assert_eq!(*reads.lock().unwrap(), vec![entry; 3]);
    }

    #[tokio::test]
    async fn a_secret_does_not_follow_its_account_to_another_server() {
        let (vault, ..) = vault();
        let mut home = account("home");
        let stored_for = home.pop3.clone().unwrap();
        vault.store(&home, &stored_for, secret("hunter2")).await.unwrap();
        assert!(vault.secret(&home, &stored_for).await.is_ok());
        let elsewhere = [
            Server { host: "pop.example.org".into(), ..stored_for.clone() },
            Server { port: 110, ..stored_for.clone() },
            Server { security: Security::None, ..stored_for.clone() },
        ];
        for server in elsewhere {
            home.pop3 = Some(server.clone());
            assert!(matches!(vault.secret(&home, &server).await, Err(VaultError::NoEntry { .. })));
        }
    }

    #[tokio::test]
    async fn one_server_is_forgotten_and_the_others_are_not() {
        let (vault, ..) = vault();
        let mut home = account("home");
        home.smtp = vec![server(Protocol::Smtp, "smtp.example.net", password(SecretSource::Keyring))];
        let servers = servers_with_secret(&home);
        let [first, second, ..] = servers.as_slice() else { panic!("{servers:?}") };
        for server in [first, second] {
            vault.store(&home, server, secret("x")).await.unwrap();
        }
        vault.forget_server(&home, first).await.unwrap();
        assert!(matches!(vault.secret(&home, first).await, Err(VaultError::NoEntry { .. })));
        assert!(vault.secret(&home, second).await.is_ok());
        vault.forget_server(&home, first).await.unwrap();
    }

    #[tokio::test]
    async fn a_local_password_is_made_once_and_replaced_only_when_asked() {
        let (vault, entries, _) = vault();
        let home = account("home");
        let (first, second) = tokio::join!(vault.local_password(&home), vault.local_password(&home));
        let first = first.unwrap();
        assert_eq!(first.expose(), second.unwrap().expose());
        assert_eq!(entries.lock().unwrap()["home local-password"], first.expose().as_bytes());
        let new = vault.new_local_password(&home).await.unwrap();
        assert_ne!(new.expose(), first.expose());
        assert_eq!(vault.local_password(&home).await.unwrap().expose(), new.expose());
    }

    #[test]
    fn a_local_password_has_128_bits_and_fits_into_old_programs() {
        assert_eq!(*spell(0), "aaaaaaa-aaaaaaa-aaaaaaa-aaaaa");
        assert_eq!(*spell(u128::MAX), "7777777-7777777-7777777-7777h");
        assert_ne!(*spell(1), *spell(1 << 127));
    }

    #[tokio::test]
    async fn forgetting_an_account_leaves_the_others_alone() {
        let (vault, entries, _) = vault();
        for name in ["home", "home office"] {
            let account = account(name);
            vault.store(&account, account.pop3.as_ref().unwrap(), secret("hunter2")).await.unwrap();
            vault.local_password(&account).await.unwrap();
        }
        vault.forget_account(&account("home")).await.unwrap();
        assert!(entries.lock().unwrap().keys().all(|entry| entry.starts_with("home office ")));
        assert_eq!(entries.lock().unwrap().len(), 2);
        let home = account("home");
        assert!(matches!(vault.secret(&home, home.pop3.as_ref().unwrap()).await, Err(VaultError::NoEntry { .. })));
    }

    #[tokio::test]
    async fn only_what_is_in_the_keyring_can_be_changed() {
        let (vault, ..) = vault();
        let mut home = account("home");
        let server = server(Protocol::Pop3, "h", password(SecretSource::File("/run/pw".into())));
        let told = vault.store(&home, &server, secret("hunter2")).await.unwrap_err().to_string();
        assert_eq!(told, "the password of account \"home\" comes from the file /run/pw, not from the keyring");
        home.local_password = Some(SecretSource::Env("PW".into()));
        assert!(matches!(vault.new_local_password(&home).await, Err(VaultError::Elsewhere { .. })));
    }

    #[test]
    fn the_gates_login_server_has_a_secret_too() {
        let mut home = account("home");
        let gate =
            |login: &Server| SignIn::AfterPop(Arc::new(AfterPop { login: login.clone(), fresh: Duration::ZERO }));
        let pop3 = home.pop3.clone().unwrap();
        home.smtp.push(server(Protocol::Smtp, "smtp.example.net", gate(&pop3)));
        assert_eq!(servers_with_secret(&home), [&pop3]);
        home.pop3 = None;
        assert_eq!(servers_with_secret(&home), [&pop3]);
        home.smtp.push(server(Protocol::Smtp, "open.example.net", SignIn::None));
        assert_eq!(servers_with_secret(&home), [&pop3]);
    }

    #[test]
    fn another_programs_words_become_one_plain_line() {
        assert_eq!(to_plain_line("  a\r\nb\u{1b}[31m \u{e4}\t"), "a b?[31m ?");
        assert_eq!(to_plain_line(&"x".repeat(500)).len(), MAX_MESSAGE_CHARS);
    }
}
