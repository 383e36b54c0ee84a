//! Whether programs on other computers can sign in at all. Their doors may be open while the keyring is missing, as on a
//! computer without a desktop. Every sign-in would then be refused, and the user would look for the fault on the other computer.

use crate::events::event::Event;
use crate::proxy::Engine;
use crate::vault::{VaultError, keyring_servers};
use ostler_mail::account::Account;
use ostler_mail::oauth2::tokens::is_kept_for;

/// Warns of each account that no program on another computer can sign in to. The error: this holds for all accounts; it says why
/// for the first one.
pub(super) async fn check_sign_ins(engine: &Engine) -> Result<(), String> {
    let settings = engine.settings();
    if !settings.serves_other_computers() || settings.accounts.is_empty() {
        return Ok(());
    }
    let mut first = None;
    let mut has_usable = false;
    for account in &settings.accounts {
        match find_passwords(engine, account).await {
            Ok(()) => has_usable = true,
            // The user can unlock the keyring at any time. The other accounts would only wait for the same prompt again.
            Err(VaultError::Locked { .. } | VaultError::TimedOut { .. }) => return Ok(()),
            Err(why) => {
                engine
                    .events
                    .publish(Event::Warning(format!("no program can sign in to account {}: {why}", account.name)));
                first.get_or_insert_with(|| why.to_string());
            }
        }
    }
    if has_usable { Ok(()) } else { first.map_or(Ok(()), Err) }
}

/// Whether ostler can read the passwords of an account: the local one, which it makes if there is none, and those for the
/// provider that are in the keyring.
async fn find_passwords(engine: &Engine, account: &Account) -> Result<(), VaultError> {
    engine.vault.local_password(account).await?;
    for server in keyring_servers(account) {
        if let Err(why @ VaultError::NoKeyring { .. }) = engine.vault.secret(account, server).await {
            return Err(why);
        }
    }
    if account.servers().any(is_kept_for)
        && let Err(why @ VaultError::NoKeyring { .. }) = engine.vault.tokens(account).await
    {
        return Err(why);
    }
    Ok(())
}
