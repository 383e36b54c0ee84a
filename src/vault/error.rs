//! Why the vault gives no secret, in words for a person.

use std::path::PathBuf;
use std::time::Duration;

use ostler_mail::account::Account;
use ostler_mail::account::issuer::Issuer;

use super::LOCAL_ENTRY;
use super::command::CommandTrouble;
use super::file::{EnvTrouble, FileTrouble};
use super::worker::Trouble;

/// Which of an account's passwords a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one that mail programs give to ostler.
    Local,
    /// One that ostler gives to a provider.
    Providers,
}

impl Kind {
    /// By the user part of its entry in the keyring.
    fn of(entry: &str) -> Self {
        if entry.ends_with(LOCAL_ENTRY) { Self::Local } else { Self::Providers }
    }

    fn spoken(self) -> &'static str {
        match self {
            Self::Local => "local password",
            Self::Providers => "password",
        }
    }

    /// The key that names its source in the settings.
    fn key(self) -> &'static str {
        match self {
            Self::Local => "local_password",
            Self::Providers => "password",
        }
    }
}

/// Why there is no secret. Every variant names the account and where the vault looked; none contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The settings say that the mail program gives it.
    #[error("the password of account \"{account}\" is the one its mail program gives")]
    FromClient {
        /// The account's name.
        account: String,
    },
    /// ostler does not sign in at this server.
    #[error("account \"{account}\" has no password for {server}, because it does not sign in there")]
    NotWanted {
        /// The account's name.
        account: String,
        /// The server's address.
        server: String,
    },
    /// Only secrets in the keyring can be changed.
    #[error("the {} of account \"{account}\" comes from {place}, not from the keyring", what.spoken())]
    Elsewhere {
        /// The account's name.
        account: String,
        /// Which of the account's passwords it is.
        what: Kind,
        /// Its source, for a person.
        place: String,
    },
    /// The keyring has no such entry; a keyring that exists for this session only answers the same.
    #[error("the keyring has no password for account \"{account}\" (ostler, {entry}): run `ostler password {account}`")]
    NoEntry {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
    },
    /// The keyring is locked, or the user dismissed its prompt.
    #[error(
        "the keyring is locked, so the {} of account \"{account}\" cannot be read ({reason}): unlock the keyring",
        Kind::of(entry).spoken()
    )]
    Locked {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// This system, or this session, has no keyring.
    #[error(
        "there is no keyring to read the {} of account \"{account}\" from ({reason}): log in to a desktop, or set \
         `{}` to a command, a file or a variable, as in {} = {{ file = \"/path\" }}",
        Kind::of(entry).spoken(), Kind::of(entry).key(), Kind::of(entry).key()
    )]
    NoKeyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// The keyring did not answer in time; it may be showing a prompt.
    #[error(
        "the keyring did not answer within {} s when asked for account \"{account}\": it may be waiting to be unlocked",
        limit.as_secs()
    )]
    TimedOut {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The time limit.
        limit: Duration,
    },
    /// The keyring failed in another way.
    #[error("the keyring failed to read or write the {} of account \"{account}\" (ostler, {entry}): {reason}", Kind::of(entry).spoken())]
    Keyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
    },
    /// The command printed none.
    #[error("the password command of account \"{account}\" {why}")]
    Command {
        /// The account's name.
        account: String,
        /// The reason.
        why: CommandTrouble,
    },
    /// The file has none.
    #[error("the password file of account \"{account}\", {}, {why}", path.display())]
    File {
        /// The account's name.
        account: String,
        /// The file.
        path: PathBuf,
        /// The reason.
        why: FileTrouble,
    },
    /// The variable has none.
    #[error("the environment variable {variable}, for the password of account \"{account}\", {why}")]
    Env {
        /// The account's name.
        account: String,
        /// The variable's name.
        variable: String,
        /// The reason.
        why: EnvTrouble,
    },
    /// The keyring has trouble with what proves who ostler is at a company that gives out OAuth2 tokens.
    #[error("the secret of ostler's registration at {issuer} {why}")]
    Registration {
        /// The account that is to sign in; empty if it is for none.
        account: String,
        /// The company.
        issuer: String,
        /// What the keyring does.
        why: String,
    },
    /// No local password could be made.
    #[error("no local password could be made for account \"{account}\": the system provides no random numbers")]
    NoRandom {
        /// The account's name.
        account: String,
    },
}

impl VaultError {
    /// The name of the account that the secret was wanted for.
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
            | Self::Registration { account, .. }
            | Self::NoRandom { account } => account,
        }
    }

    pub(super) fn registration(account: &str, issuer: &Issuer, trouble: Trouble) -> Self {
        let why = match trouble {
            Trouble::NoEntry => format!("is not in the keyring: run `ostler password --oauth2 {}`", issuer.name),
            Trouble::Locked(reason) => format!("is in a keyring that is locked ({reason}): unlock the keyring"),
            Trouble::NoKeyring(reason) => format!(
                "cannot be in a keyring, because there is none ({reason}): log in to a desktop, or set `client_secret` to a \
                 command, a file or a variable"
            ),
            Trouble::TimedOut(limit) => format!(
                "is in a keyring that did not answer within {} s: it may be waiting to be unlocked",
                limit.as_secs()
            ),
            Trouble::Other(reason) => format!("could not be read from or written to the keyring: {reason}"),
        };
        Self::Registration { account: account.to_owned(), issuer: issuer.title.clone(), why }
    }

    pub(super) fn keyring(account: &Account, entry: &str, trouble: Trouble) -> Self {
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
