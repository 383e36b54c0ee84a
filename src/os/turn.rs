//! One process of a user at a time: a lock on a file that only this user can open, for what two processes must not do at once.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::local;
use super::lock::Lock;
use ostler_mail::wire::hex;

/// How often to look whether the process that has the turn is done.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Held as long as this exists, and until the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "holds the lock")] Lock);

/// Takes the turn for `what`, if no other process has it.
pub(crate) fn take(what: &str) -> io::Result<Option<Turn>> {
    // Hashed: the name may hold characters that no file name has, and other users must not read it.
    let mut name = hex(&Sha256::digest(what.as_bytes()));
    name.truncate(16);
    Ok(Lock::take(&folder()?.join(format!("{name}.turn")))?.map(Turn))
}

/// Waits at most `limit` until no other process has the turn for `what`. `None`: another process still has it, or the system has
/// no lock. The caller goes on without the turn.
pub(crate) async fn wait_for(what: &str, limit: Duration) -> Option<Turn> {
    let deadline = Instant::now() + limit;
    loop {
        match take(what) {
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
            taken => return taken.ok().flatten(),
        }
    }
}

/// As [`wait_for`], for code that is not async. Only for turns that take milliseconds.
pub(crate) fn wait_blocking(what: &str, limit: Duration) -> Option<Turn> {
    let deadline = Instant::now() + limit;
    loop {
        match take(what) {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL_INTERVAL),
            taken => return taken.ok().flatten(),
        }
    }
}

/// The first of the user's private folders: every process that can use it finds it first.
fn folder() -> io::Result<PathBuf> {
    local::private_folders()?.into_iter().next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_has_a_turn() {
        let what = format!("a test of process {}", std::process::id());
        let turn = take(&what).unwrap();
        assert!(turn.is_some());
        assert!(take(&what).unwrap().is_none());
        assert!(take(&format!("{what}, another")).unwrap().is_some());
        drop(turn);
        assert!(take(&what).unwrap().is_some());
        for name in [what.clone(), format!("{what}, another")] {
            let mut file = hex(&Sha256::digest(name.as_bytes()));
            file.truncate(16);
            std::fs::remove_file(folder().unwrap().join(format!("{file}.turn"))).unwrap();
        }
    }
}
