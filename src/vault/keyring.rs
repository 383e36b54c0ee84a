//! The system's keyring: Secret Service, Windows Credential Manager or macOS Keychain. Everything here blocks, and runs
//! on the one thread of `worker.rs` only.
//!
//! The `keyring` crate chooses and starts the store, but if its first try fails, it never tries again. A program that
//! starts at login is often there before the keyring, and outlives the bus it talks over. So every start but the first
//! calls the store crate itself, and a call that fails is tried once more over a new connection.

use std::collections::HashMap;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyring::{Entry, Error};
use keyring_core::CredentialStore;
use zeroize::Zeroizing;

use super::worker::{Request, Trouble};
use super::{is_entry_of, to_plain_line};

/// The service of all of ostler's entries.
const SERVICE: &str = "ostler";

/// The largest secret in one entry. The Windows Credential Manager takes 2560 octets (CRED_MAX_CREDENTIAL_BLOB_SIZE),
/// and OAuth2 tokens are longer. The other keyrings take any secret.
const MAX_ENTRY_OCTETS: usize = if cfg!(windows) { 2560 } else { usize::MAX };

/// The first octet of an entry that continues in others. No secret contains it, because it is a control character.
const MULTIPART_MARK: u8 = 1;

/// Carries out one request.
pub(super) fn serve(request: &Request) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    if keyring_core::get_default_store().is_none() {
        start()?;
    }
    let done = guarded(request);
    let done = match done {
        // The bus has ended, or the keyring was restarted and has forgotten our session, or the like.
        Err(Error::PlatformFailure(_) | Error::NoDefaultStore) => {
            start()?;
            guarded(request)
        }
        done => done,
    };
    done.map_err(|e| trouble(&e))
}

/// Connects to the keyring, or reconnects.
fn start() -> Result<(), Trouble> {
    static FIRST: AtomicBool = AtomicBool::new(true);
    keyring_core::unset_default_store();
    if FIRST.swap(false, Ordering::Relaxed) && Entry::store_status().is_ok() {
        return Ok(());
    }
    let store =
        catch_unwind(new_store).unwrap_or_else(|_| Err(panicked())).map_err(|e| Trouble::NoKeyring(words(&e)))?;
    keyring_core::set_default_store(store);
    Ok(())
}

fn new_store() -> keyring::Result<Arc<CredentialStore>> {
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new()?;
    #[cfg(windows)]
    let store = windows_native_keyring_store::Store::new()?;
    #[cfg(all(unix, not(target_os = "macos")))]
    let store = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

/// A panic in a store crate fails this request; without the guard it would end the thread.
fn guarded(request: &Request) -> keyring::Result<Zeroizing<Vec<u8>>> {
    catch_unwind(AssertUnwindSafe(|| attempt(request))).unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> Error {
    Error::PlatformFailure("the keyring library failed".into())
}

fn attempt(request: &Request) -> keyring::Result<Zeroizing<Vec<u8>>> {
    match request {
        Request::Read { entry } => read(entry),
        Request::Write { entry, secret } => write(entry, secret).map(|()| Zeroizing::default()),
        Request::Forget { account, entries } => forget(account.as_deref(), entries).map(|()| Zeroizing::default()),
    }
}

/// An entry in the store in use, whichever way that was started.
fn open(user: &str) -> keyring::Result<Entry> {
    Ok(Entry { inner: keyring_core::Entry::new(SERVICE, user)? })
}

fn read(user: &str) -> keyring::Result<Zeroizing<Vec<u8>>> {
    let head = Zeroizing::new(open(user)?.get_secret()?);
    let mut secret = Zeroizing::new(Vec::new());
    let Some(count) = parts(&head) else { return Ok(head) };
    secret.extend_from_slice(&head[2..]);
    for n in 1..count {
        secret.extend_from_slice(&Zeroizing::new(open(&part_name(user, n))?.get_secret()?));
    }
    Ok(secret)
}

fn write(user: &str, secret: &[u8]) -> keyring::Result<()> {
    let parts = split(secret, MAX_ENTRY_OCTETS);
    // The first entry comes last, because it says how many others count.
    for (n, part) in parts.iter().enumerate().rev() {
        put(&part_name(user, n), part)?;
    }
    remove_parts(user, parts.len())
}

fn put(user: &str, part: &[u8]) -> keyring::Result<()> {
    match open(user)?.set_secret(part) {
        // Another program has made an entry of the same name. Both are replaced by the new one.
        Err(Error::Ambiguous(entries)) => {
            entries.iter().try_for_each(keyring_core::Entry::delete_credential)?;
            open(user)?.set_secret(part)
        }
        done => done,
    }
}

fn forget(account: Option<&str>, entries: &[String]) -> keyring::Result<()> {
    for user in entries {
        remove(user)?;
        remove_parts(user, 1)?;
    }
    let Some(account) = account else { return Ok(()) };
    // The Credential Manager searches the names of its entries, which contain the service, by a pattern.
    let key = if cfg!(windows) { "pattern" } else { "service" };
    let others = match keyring_core::Entry::search(&HashMap::from([(key, SERVICE)])) {
        Err(Error::NotSupportedByStore(_) | Error::NoEntry) => Vec::new(),
        found => found?,
    };
    for entry in others {
        if entry.get_specifiers().is_some_and(|(service, user)| service == SERVICE && is_entry_of(&user, account)) {
            delete(&entry)?;
        }
    }
    Ok(())
}

fn remove(user: &str) -> keyring::Result<()> {
    match delete(&open(user)?.inner) {
        Err(Error::Ambiguous(entries)) => entries.iter().try_for_each(delete),
        done => done,
    }
}

fn delete(entry: &keyring_core::Entry) -> keyring::Result<()> {
    match entry.delete_credential() {
        Err(Error::NoEntry) => Ok(()),
        done => done,
    }
}

/// Removes the further entries of a longer secret that was stored before.
fn remove_parts(user: &str, from: usize) -> keyring::Result<()> {
    if MAX_ENTRY_OCTETS == usize::MAX {
        return Ok(());
    }
    for n in from.max(1).. {
        match open(&part_name(user, n))?.delete_credential() {
            Err(Error::NoEntry) => break,
            done => done?,
        }
    }
    Ok(())
}

fn part_name(user: &str, n: usize) -> String {
    if n == 0 { user.to_owned() } else { format!("{user} part {n}") }
}

/// Splits a secret into entries of at most `size` octets. If there are several, the first begins with the mark and
/// their number.
fn split(secret: &[u8], size: usize) -> Vec<Zeroizing<Vec<u8>>> {
    if secret.len() <= size {
        return vec![Zeroizing::new(secret.to_vec())];
    }
    let (head, rest) = secret.split_at(size - 2);
    let rest = rest.chunks(size);
    let mut marked = Zeroizing::new(Vec::with_capacity(size));
    marked.extend_from_slice(&[MULTIPART_MARK, u8::try_from(rest.len() + 1).unwrap_or(u8::MAX)]);
    marked.extend_from_slice(head);
    std::iter::once(marked).chain(rest.map(|part| Zeroizing::new(part.to_vec()))).collect()
}

/// The number of entries of a secret whose first entry is `head`; `None` if there is only this one.
fn parts(head: &[u8]) -> Option<usize> {
    match head {
        [MULTIPART_MARK, count, ..] => Some(usize::from(*count)),
        _ => None,
    }
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::NoEntry => Trouble::NoEntry,
        // There is no collection to store in, which the store crate reports as a lock. Its error type is not a
        // dependency of ours, so only the text tells.
        Error::NoStorageAccess(cause) if cause.to_string().contains("result not returned") => {
            Trouble::NoKeyring("the keyring service is there but has no default keyring yet".to_owned())
        }
        Error::NoStorageAccess(cause) => Trouble::Locked(to_plain_line(&cause.to_string())),
        Error::NoDefaultStore => Trouble::NoKeyring("it could not be started".to_owned()),
        // These errors contain what was read, which may be the secret: they are not shown.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => Trouble::Other("the entry is damaged".to_owned()),
        Error::Ambiguous(_) => Trouble::Other("there is more than one such entry".to_owned()),
        other => Trouble::Other(words(other)),
    }
}

/// The error's text with those of its causes.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = deeper.source();
    }
    to_plain_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_too_long_for_windows_is_kept_in_parts() {
        for length in [0, 1, 2559, 2560, 2561, 5118, 5119, 8192] {
            let secret: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
            let entries = split(&secret, 2560);
            assert!(entries.iter().all(|e| e.len() <= 2560));
            let mut joined = entries[0].to_vec();
            if let Some(count) = parts(&entries[0]) {
                assert_eq!(count, entries.len());
                joined = entries.concat_after_mark();
            } else {
                assert_eq!(entries.len(), 1);
            }
            assert_eq!(joined, secret);
        }
    }

    trait Joined {
        fn concat_after_mark(&self) -> Vec<u8>;
    }

    impl Joined for Vec<Zeroizing<Vec<u8>>> {
        fn concat_after_mark(&self) -> Vec<u8> {
            self.iter().flat_map(|e| e.iter().copied()).skip(2).collect()
        }
    }
}
