//! Why the vault gives no secret, in words for a person.

use std::path::PathBuf;
use std::time::Duration;

use ostler_mail::account::Account;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::failure::as_word;

use super::LOCAL_ENTRY;
use super::command::CommandTrouble;
use super::file::{EnvTrouble, FileTrouble};
use super::secret_store::SecretStore;
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
    #[error("the {} of account \"{account}\" comes from {place}, not from {kept_in}", what.spoken())]
    Elsewhere {
        /// The account's name.
        account: String,
        /// Which of the account's passwords it is.
        what: Kind,
        /// Its source, for a person.
        place: String,
        /// Where ostler would keep it.
        kept_in: SecretStore,
    },
    /// The place has no such entry; a keyring that exists for this session only answers the same.
    #[error("{place} has no password for account \"{account}\" (ostler, {entry}): run `ostler password {word}`", word = as_word(account))]
    NoEntry {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// Where ostler looked.
        place: SecretStore,
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
    /// This system, or this session, has no keyring, or the folder in its place cannot be used.
    #[error("{}", no_place(place, account, Kind::of(entry), reason))]
    NoKeyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
        /// Where ostler would look.
        place: SecretStore,
    },
    /// The place did not answer in time; a keyring may be showing a prompt.
    #[error("{place} {} when asked for account \"{account}\"{}", no_answer(*limit), hint_at_prompt(place))]
    TimedOut {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The time limit.
        limit: Duration,
        /// Where ostler looked.
        place: SecretStore,
    },
    /// The place failed in another way.
    #[error("{place} failed to give or take the {} of account \"{account}\" (ostler, {entry}): {reason}", Kind::of(entry).spoken())]
    Keyring {
        /// The account's name.
        account: String,
        /// The user part of the keyring entry.
        entry: String,
        /// The system's words.
        reason: String,
        /// Where ostler looked.
        place: SecretStore,
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
    /// The place has trouble with what proves who ostler is at a company that gives out OAuth2 tokens.
    #[error("the secret of ostler's registration at {issuer} {why}")]
    Registration {
        /// The account that is to sign in; empty if it is for none.
        account: String,
        /// The company.
        issuer: String,
        /// What the trouble is.
        why: String,
        /// Where ostler looked.
        place: SecretStore,
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
        let place = SecretStore::of_this_ostler();
        let why = match trouble {
            Trouble::NoEntry => format!("is not in {place}: run `ostler password --oauth2 {}`", issuer.name),
            Trouble::Locked(reason) => format!("is in a keyring that is locked ({reason}): unlock the keyring"),
            Trouble::NoKeyring(reason) => match place {
                SecretStore::Keyring => format!(
                    "cannot be in a keyring, because there is none ({reason}): log in to a desktop, or set `client_secret` to a \
                     command, a file or a variable"
                ),
                SecretStore::Folder(_) => format!("cannot be read, because {reason}"),
            },
            Trouble::TimedOut(limit) => {
                format!("cannot be read, because {place} {}{}", no_answer(limit), hint_at_prompt(&place))
            }
            Trouble::Other(reason) => format!("could not be read from or written to {place}: {reason}"),
        };
        Self::Registration { account: account.to_owned(), issuer: issuer.title.clone(), why, place }
    }

    pub(super) fn keyring(account: &Account, entry: &str, trouble: Trouble) -> Self {
        let (account, entry, place) = (account.name.clone(), entry.to_owned(), SecretStore::of_this_ostler());
        match trouble {
            Trouble::NoEntry => Self::NoEntry { account, entry, place },
            Trouble::Locked(reason) => Self::Locked { account, entry, reason },
            Trouble::NoKeyring(reason) => Self::NoKeyring { account, entry, reason, place },
            Trouble::TimedOut(limit) => Self::TimedOut { account, entry, limit, place },
            Trouble::Other(reason) => Self::Keyring { account, entry, reason, place },
        }
    }
}

fn no_place(place: &SecretStore, account: &str, kind: Kind, reason: &str) -> String {
    let (what, key) = (kind.spoken(), kind.key());
    match place {
        SecretStore::Keyring => format!(
            "there is no keyring to read the {what} of account \"{account}\" from ({reason}): log in to a desktop, or set \
             `{key}` to a command, a file or a variable, as in {key} = {{ file = \"/path\" }}"
        ),
        SecretStore::Folder(_) => format!(
            "the {what} of account \"{account}\" cannot be read, because {reason}: the folder has to belong to the user that \
             ostler runs as"
        ),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("did not answer within {} s", limit.as_secs())
}

fn hint_at_prompt(place: &SecretStore) -> &'static str {
    match place {
        SecretStore::Keyring => ": it may be waiting to be unlocked",
        SecretStore::Folder(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_folder_stands_in_for_the_keyring_no_error_speaks_of_one() {
        let place = SecretStore::Folder("/var/lib/ostler/secrets".into());
        let (account, entry) = ("home".to_owned(), "home pop3 tls mail.example.net:995 ann".to_owned());
        let reason = "the folder for secrets, /var/lib/ostler/secrets, cannot be used: it is a file".to_owned();
        let elsewhere = ("the file /path".to_owned(), Kind::Providers);
        let errors = [
            VaultError::Elsewhere {
                account: account.clone(),
                what: elsewhere.1,
                place: elsewhere.0,
                kept_in: place.clone(),
            },
            VaultError::NoEntry { account: account.clone(), entry: entry.clone(), place: place.clone() },
            VaultError::NoKeyring { account: account.clone(), entry: entry.clone(), reason, place: place.clone() },
            VaultError::TimedOut {
                account: account.clone(),
                entry: entry.clone(),
                limit: Duration::from_secs(20),
                place: place.clone(),
            },
            VaultError::Keyring { account, entry, reason: "it is full".into(), place },
        ];
        for error in errors {
            let told = error.to_string();
            assert!(told.contains("/var/lib/ostler/secrets") && !told.contains("keyring"), "{told}");
            assert!(!told.contains("unlock"), "{told}");
        }
    }
}
