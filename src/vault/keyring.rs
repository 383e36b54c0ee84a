//! The system's keyring: Secret Service, Windows Credential Manager or macOS Keychain. Everything here blocks and is
//! called on the one thread of `worker.rs` only.
//!
//! The `keyring` crate chooses and starts the store, but remembers for ever when its first try failed. A program that
//! starts at login is often there before the keyring, and outlives the bus it talks over; so every start but the
//! first goes to the store crate itself, and a call that failed is tried once more over a new connection.

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

/// The service under which all entries lie.
const SERVICE: &str = "ostler";

/// How much one entry holds: the Windows Credential Manager takes 2560 octets (CRED_MAX_CREDENTIAL_BLOB_SIZE), which
/// OAuth2 tokens exceed. The others take any secret.
const MAX_ENTRY_OCTETS: usize = if cfg!(windows) { 2560 } else { usize::MAX };

/// Begins an entry that goes on in others; no secret holds it.
const MULTIPART_MARK: u8 = 1;

/// Does one request.
pub(super) fn serve(request: &Request) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    if keyring_core::get_default_store().is_none() {
        start()?;
    }
    let done = guarded(request);
    let done = match done {
        // The bus died, the keyring was restarted and knows our session no more, or the like.
        Err(Error::PlatformFailure(_) | Error::NoDefaultStore) => {
            start()?;
            guarded(request)
        }
        done => done,
    };
    done.map_err(|e| trouble(&e))
}

/// Connects to the keyring, anew if need be.
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

/// A panic in a store crate costs this request and the connection, not the thread.
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

/// An entry of the store that is in use now, whichever way it was started.
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
    for (n, part) in parts.iter().enumerate().rev() {
        put(&part_name(user, n), part)?;
    }
    remove_parts(user, parts.len())
}

fn put(user: &str, part: &[u8]) -> keyring::Result<()> {
    match open(user)?.set_secret(part) {
        // Somebody else made another of the same name; the one stored now is the one that is meant.
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
    // The Credential Manager looks for a pattern in its entries' names, which hold the service.
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

/// Removes what a longer secret has left behind.
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

/// A secret as entries of at most `size` octets; only one that needs several is marked, with their number.
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

/// How many entries a secret that begins with `head` has, if more than this one.
fn parts(head: &[u8]) -> Option<usize> {
    match head {
        [MULTIPART_MARK, count, ..] => Some(usize::from(*count)),
        _ => None,
    }
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::NoEntry => Trouble::NoEntry,
        // No collection to put it in, which the store takes for a lock; its crate is not ours to match on.
        Error::NoStorageAccess(cause) if cause.to_string().contains("result not returned") => {
            Trouble::NoKeyring("the keyring service is there but has no default keyring yet".to_owned())
        }
        Error::NoStorageAccess(cause) => Trouble::Locked(to_plain_line(&cause.to_string())),
        Error::NoDefaultStore => Trouble::NoKeyring("it could not be started".to_owned()),
        // These carry what was read.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => Trouble::Other("the entry is damaged".to_owned()),
        Error::Ambiguous(_) => Trouble::Other("there is more than one such entry".to_owned()),
        other => Trouble::Other(words(other)),
    }
}

/// The library's words and those of whatever it stands on.
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
