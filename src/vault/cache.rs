//! What was read from the keyring, so that it is not asked again for every message. The other sources are read anew
//! each time: they are cheap, and their owner may change them at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostler_mail::secret::Secret;

/// Secrets by keyring entry.
#[derive(Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Default)]
struct State {
    secrets: HashMap<String, Arc<Secret>>,
    /// Counts changes. A read that began before a change must not put its old answer in afterwards.
    epoch: u64,
}

/// When a read began, by the number of changes until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(u64);

impl Cache {
    /// The secret, or the epoch for [`Self::insert_read`] once it has been read.
    pub(super) fn get(&self, entry: &str) -> Result<Arc<Secret>, Epoch> {
        let state = self.lock();
        state.secrets.get(entry).map(Arc::clone).ok_or(Epoch(state.epoch))
    }

    /// Keeps what was read from the keyring, unless anything has changed since the read began.
    pub(super) fn insert_read(&self, entry: &str, secret: &Arc<Secret>, began: Epoch) {
        let mut state = self.lock();
        if state.epoch == began.0 {
            state.secrets.insert(entry.to_owned(), Arc::clone(secret));
        }
    }

    /// Keeps what was written to the keyring.
    pub(super) fn insert_written(&self, entry: &str, secret: &Arc<Secret>) {
        self.change().secrets.insert(entry.to_owned(), Arc::clone(secret));
    }

    pub(super) fn remove(&self, entry: &str) {
        self.change().secrets.remove(entry);
    }

    /// Removes every entry for which `is_meant` is true.
    pub(super) fn remove_all(&self, is_meant: impl Fn(&str) -> bool) {
        self.change().secrets.retain(|entry, _| !is_meant(entry));
    }

    fn change(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.epoch += 1;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
