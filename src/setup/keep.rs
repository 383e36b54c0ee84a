//! Saves an account: its passwords in the keyring, then the account in the settings file; both or neither.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Secrets;
use crate::config::presets::Presets;
use crate::config::{self, EditError, LoadError, NotEdited};
use crate::os::turn::{self, Turn};
use crate::vault::{SecretStore, Vault, VaultError};
use ostler_mail::account::{Account, Alias, Settings};
use ostler_mail::failure::as_word;

/// How long to wait for another process that saves an account: as long as its user may look at the keyring's prompt.
const ACCOUNTS_TURN_TIMEOUT: Duration = Duration::from_secs(120);

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// An account has this name or address already.
    #[error("there is an account {0} already; `ostler remove {word}` removes it", word = as_word(.0))]
    Exists(String),
    /// The settings file has mistakes, so nothing can be added to it.
    #[error("nothing was saved, because the settings file has to be corrected first")]
    Settings(#[source] Box<LoadError>),
    /// The account cannot be added to the file.
    #[error("nothing was saved: the account cannot be added to {}", file.display())]
    Edit { file: PathBuf, source: EditError },
    /// The file cannot be written.
    #[error("nothing was saved: {} cannot be written", file.display())]
    Write { file: PathBuf, source: std::io::Error },
    /// The keyring did not accept a password.
    #[error("nothing was saved, because the password could not be stored in {}", SecretStore::of_this_ostler())]
    Keyring(#[source] VaultError),
}

/// The account that has this name or address already, perhaps as one of its further addresses.
pub(crate) fn existing<'a>(settings: &'a Settings, name: &str, address: &str) -> Option<&'a Account> {
    existing_sender(settings, name).or_else(|| existing_sender(settings, address))
}

/// The account that has this name, or sends for this address.
pub(crate) fn existing_sender<'a>(settings: &'a Settings, given: &str) -> Option<&'a Account> {
    let is_it = |a: &&std::sync::Arc<Account>| {
        let aliases = a.aliases.iter().map(Alias::to_string);
        aliases.chain([a.name.clone(), a.address.clone()]).any(|own| own.eq_ignore_ascii_case(given))
    };
    settings.accounts.iter().find(is_it).map(AsRef::as_ref)
}

/// Saves an account. The file is read again for this, because the user may have changed it meanwhile. Two processes that save an
/// account take turns: otherwise the one that comes too late would undo the passwords of the one that was saved.
pub(crate) async fn keep(file: &Path, account: &Account, secrets: &Secrets) -> Result<(), KeepError> {
    let _turn = wait_for_accounts(file).await;
    let parsed = config::load(file).map_err(|error| KeepError::Settings(Box::new(error)))?;
    let presets = Presets::load(file).map_err(|error| KeepError::Settings(Box::new(error)))?;
    if let Some(known) = existing(&parsed.settings, &account.name, &account.address) {
        return Err(KeepError::Exists(known.name.clone()));
    }
    // An account that lacks a server of its preset (it only fetches, say) would get that server back when the file is
    // read. Then it is saved without the preset.
    let without_preset = Account { provider: None, ..account.clone() };
    let add = |text: &str| {
        config::add_account(text, account, file, &presets)
            .or_else(|_| config::add_account(text, &without_preset, file, &presets))
    };
    let not_kept = |why| match why {
        NotEdited::Refused(source) => KeepError::Edit { file: file.to_owned(), source },
        NotEdited::Unreadable(source) | NotEdited::Unwritable(source) => {
            KeepError::Write { file: file.to_owned(), source }
        }
    };
    // Before a password is stored: the user may be asked to unlock the keyring for it.
    let text = config::text_to_edit(file).map_err(NotEdited::Unreadable).map_err(not_kept)?;
    add(&text).map_err(NotEdited::Refused).map_err(not_kept)?;
    let vault = Vault::new().knowing(presets.app_passwords());
    // The keyring first: a running ostler sees the changed file at once, and a fetch may follow.
    let written = match store(&vault, account, secrets).await {
        Ok(()) => config::edit_file_in_task(file, add).await.map_err(not_kept),
        Err(error) => Err(KeepError::Keyring(error)),
    };
    if written.is_err() && (!secrets.by_server(account).is_empty() || secrets.tokens.is_some()) {
        // Removes the passwords again. If that fails too, the first error is still the one to report.
        let _ = vault.forget_account(account).await;
    }
    written
}

/// Waits until no other process adds, renames or removes an account: the passwords of an account that is removed would go after
/// those of an account that is added under its name have been stored.
pub(crate) async fn wait_for_accounts(file: &Path) -> Option<Turn> {
    turn::wait_for(&format!("accounts of {}", config::turn_name(file)), ACCOUNTS_TURN_TIMEOUT).await
}

async fn store(vault: &Vault, account: &Account, secrets: &Secrets) -> Result<(), VaultError> {
    vault.store_all(account, secrets.by_server(account)).await?;
    if let Some(tokens) = secrets.tokens_for(account) {
        let _turn = vault.wait_for_tokens(account).await;
        vault.store_tokens(account, tokens).await?;
    }
    Ok(())
}
