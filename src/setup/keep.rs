//! Keeping an account: its passwords into the keyring, then the account into the settings file; both or neither.

use std::path::{Path, PathBuf};

use super::Secrets;
use crate::config::presets::Presets;
use crate::config::{self, EditError, LoadError};
use crate::vault::{Vault, VaultError};
use ostler_mail::account::{Account, Settings};

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is one already.
    #[error("there is an account {0} already; `ostler remove {0}` takes it away")]
    Exists(String),
    /// The settings file is wrong, so nothing can be added to it.
    #[error("nothing was kept, because the settings file has to be put right first")]
    Settings(#[source] Box<LoadError>),
    /// It cannot be added to.
    #[error("nothing was kept: {} cannot be added to", file.display())]
    Edit {
        /// The settings file.
        file: PathBuf,
        /// Why.
        source: EditError,
    },
    /// It cannot be written.
    #[error("nothing was kept: {} cannot be written", file.display())]
    Write {
        /// The settings file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The keyring did not take a password.
    #[error("nothing was kept, because the password could not be put into the keyring")]
    Keyring(#[source] VaultError),
}

/// The account that has this name or address already, if any.
pub fn existing<'a>(settings: &'a Settings, name: &str, address: &str) -> Option<&'a Account> {
    let is_it = |a: &&std::sync::Arc<Account>| {
        [name, address].iter().any(|given| a.name.eq_ignore_ascii_case(given) || a.address.eq_ignore_ascii_case(given))
    };
    settings.accounts.iter().find(is_it).map(AsRef::as_ref)
}

/// Keeps it. The file is read again for this: a person may have changed it meanwhile.
pub async fn keep(file: &Path, account: &Account, secrets: &Secrets) -> Result<(), KeepError> {
    let parsed = config::load(file).map_err(|error| KeepError::Settings(Box::new(error)))?;
    let presets = Presets::load(file).map_err(|error| KeepError::Settings(Box::new(error)))?;
    if let Some(known) = existing(&parsed.settings, &account.name, &account.address) {
        return Err(KeepError::Exists(known.name.clone()));
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && parsed.is_missing => String::new(),
        Err(source) => return Err(KeepError::Write { file: file.to_owned(), source }),
    };
    // An account that leaves out what its preset has (it only fetches, say) has to stand on its own.
    let alone = Account { provider: None, ..account.clone() };
    let changed = config::add_account(&text, account, file, &presets)
        .or_else(|_| config::add_account(&text, &alone, file, &presets))
        .map_err(|source| KeepError::Edit { file: file.to_owned(), source })?;
    let vault = Vault::new();
    let kept = store(&vault, account, secrets).await;
    let written = match kept {
        Ok(()) => config::write_atomically(file, &changed)
            .map_err(|source| KeepError::Write { file: file.to_owned(), source }),
        Err(error) => Err(KeepError::Keyring(error)),
    };
    if written.is_err() && !secrets.by_server(account).is_empty() {
        // What went in goes out again; that it cannot is less to say than why.
        let _ = vault.forget_account(account).await;
    }
    written
}

async fn store(vault: &Vault, account: &Account, secrets: &Secrets) -> Result<(), VaultError> {
    for (server, secret) in secrets.by_server(account) {
        let Ok(copy) = ostler_mail::secret::Secret::new(secret.expose().to_owned()) else { continue };
        vault.store(account, server, copy).await?;
    }
    Ok(())
}
