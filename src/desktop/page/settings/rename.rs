//! An account gets another name: its passwords in the keyring and its history go along. The copies are made before the file
//! changes, so that no fetch in between finds nothing.

use std::sync::Arc;

use super::{Scope, Sent, Shared, Wrong, read_changes, read_file, sent_value};
use crate::config::presets::Presets;
use crate::config::{self, ShownFile};
use crate::os::turn::Turn;
use crate::setup::keep::wait_for_accounts;
use crate::vault::SecretStore;
use ostler_mail::account::Account;
use ostler_mail::failure::error_chain;

/// An account whose name changes.
pub(super) struct Renamed {
    old: Arc<Account>,
    pub(super) new: Arc<Account>,
    /// Nobody adds an account of the new name meanwhile, whose passwords [`undo`] would remove.
    _turn: Option<Turn>,
}

/// Copies what is stored for the account to its new name, if a form gives it one. A form with mistakes changes nothing here:
/// they are told when it is applied.
pub(super) async fn prepare(shared: &Shared, scope: &Scope, sent: &Sent) -> Result<Option<Renamed>, Wrong> {
    if find(shared, scope, sent).is_none() {
        return Ok(None);
    }
    let _turn = wait_for_accounts(&shared.file).await;
    let Some((old, new)) = find(shared, scope, sent) else { return Ok(None) };
    let renamed = Renamed { old, new, _turn };
    if let Err(error) = shared.engine.vault.copy_account(&renamed.old, &renamed.new).await {
        let why = format!(
            "Nothing was changed, because the passwords cannot be moved to the new name: {}. {}",
            error_chain(&error),
            SecretStore::of_this_ostler().remedy()
        );
        return Err(vec![(String::new(), why)]);
    }
    shared.engine.events.rename_account(&renamed.old.name, &renamed.new.name);
    Ok(Some(renamed))
}

/// The account as it is and as the form wants it, if the two have different names. A name that the file does not have is the
/// address, so a new address can be a new name.
fn find(shared: &Shared, scope: &Scope, sent: &Sent) -> Option<(Arc<Account>, Arc<Account>)> {
    let Scope::Account(name) = scope else { return None };
    let text = std::fs::read_to_string(&shared.file).ok()?;
    let file = read_file(shared).ok()?;
    let changes = read_changes(&file, scope, sent).ok()?;
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let changed = config::change_keys(&text, &changes, &shared.file, &presets).ok()?;
    let at = file.settings.accounts.iter().position(|account| account.name == *name)?;
    let (old, new) = (Arc::clone(&file.settings.accounts[at]), Arc::clone(&changed.settings.accounts[at]));
    (old.name != new.name).then_some((old, new))
}

/// Takes everything back, after the file could not be changed.
pub(super) async fn undo(shared: &Shared, renamed: Option<Renamed>) {
    let Some(Renamed { old, new, _turn }) = renamed else { return };
    shared.engine.events.rename_account(&new.name, &old.name);
    if let Err(error) = shared.engine.vault.forget_account(&new).await {
        tracing::debug!("{error}");
    }
}

/// Removes what is stored under the old name.
pub(super) async fn finish(shared: &Shared, renamed: &Renamed) {
    // A failure is harmless: no account has this name any more.
    if let Err(error) = shared.engine.vault.forget_account(&renamed.old).await {
        tracing::debug!("{error}");
    }
}

/// What is wrong with a new name or address: another account has it.
pub(super) fn check(file: &ShownFile, account: &str, sent: &Sent) -> Wrong {
    let is_taken = |typed: &str| {
        let others = file.settings.accounts.iter().filter(|other| other.name != account);
        others.flat_map(|other| [&other.name, &other.address]).any(|own| own.eq_ignore_ascii_case(typed.trim()))
    };
    let one = |field: &str| {
        let (was, typed) = (sent_value(sent, &format!("was.{field}"))?, sent_value(sent, field)?);
        let why = "Another account has this name or address already.";
        (typed != was && is_taken(typed)).then(|| (field.to_owned(), why.to_owned()))
    };
    ["account.name", "account.address"].into_iter().filter_map(one).collect()
}
