//! Sessions at providers that are kept for some seconds after a client has left. Old mail programs open a connection for each
//! message; the next one finds the provider signed in.
//!
//! Not here: whether a session can still serve a message, which is `submission`'s to say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::submission::provider_session::ProviderSession;
use crate::proxy::Engine;
use ostler_mail::account::Account;

/// How long a session is kept. Programs that send a queue connect again within a second or two; servers wait for minutes
/// (RFC 5321, 4.5.3.2.7).
const KEEP_TIMEOUT: Duration = Duration::from_secs(5);
/// The most sessions that are kept for one account. Providers allow few connections at once.
const MAX_OF_ACCOUNT: usize = 2;
/// The most sessions that are kept for all accounts.
const MAX_SESSIONS: usize = 8;

/// The sessions that are kept now.
#[derive(Default)]
pub(in crate::proxy) struct KeptSessions(Mutex<Vec<(u64, ProviderSession)>>);

impl KeptSessions {
    fn lock(&self) -> MutexGuard<'_, Vec<(u64, ProviderSession)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of sessions that are kept for an account.
    pub(in crate::proxy) fn count(&self, name: &str) -> usize {
        self.lock().iter().filter(|(_, session)| session.account.name == name).count()
    }

    /// Whether there is one for exactly this account: after a change of the settings none is.
    pub(super) fn has(&self, account: &Arc<Account>) -> bool {
        self.lock().iter().any(|(_, session)| Arc::ptr_eq(&session.account, account))
    }

    /// The one that was used last for this account.
    pub(super) fn take(&self, account: &Arc<Account>) -> Option<ProviderSession> {
        let mut kept = self.lock();
        let at = kept.iter().rposition(|(_, session)| Arc::ptr_eq(&session.account, account))?;
        Some(kept.remove(at).1)
    }

    /// Takes the session in, if there is room; otherwise gives it back.
    #[must_use]
    fn put(&self, id: u64, session: ProviderSession) -> Option<ProviderSession> {
        let mut kept = self.lock();
        let of_account = kept.iter().filter(|(_, other)| Arc::ptr_eq(&other.account, &session.account)).count();
        if kept.len() >= MAX_SESSIONS || of_account >= MAX_OF_ACCOUNT {
            return Some(session);
        }
        kept.push((id, session));
        None
    }

    fn take_by_id(&self, id: u64) -> Option<ProviderSession> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(other, _)| *other == id)?;
        Some(kept.remove(at).1)
    }
}

/// Keeps a session for the next send, or says QUIT where that must not be: in the middle of a message, and behind a gate, which
/// may have decided when the connection opened.
pub(super) async fn keep_or_leave(engine: &Arc<Engine>, session: ProviderSession) {
    if !session.may_be_kept() || *engine.stopping().borrow() {
        return session.leave().await;
    }
    let id = engine.next_session();
    let until_sign_out = session.until_sign_out(engine);
    match engine.kept.put(id, session) {
        None => drop(tokio::spawn(end_in_time(Arc::clone(engine), id, until_sign_out))),
        Some(session) => session.leave().await,
    }
}

/// Ends the session when its time has passed, when the user signs out of what it was signed in with, or when ostler ends.
async fn end_in_time(engine: Arc<Engine>, id: u64, until_sign_out: impl Future<Output = ()>) {
    let mut stopping = engine.stopping();
    tokio::select! {
        () = sleep(KEEP_TIMEOUT) => {}
        () = until_sign_out => {}
        // An error means that the sender is gone, and so is ostler.
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    if let Some(session) = engine.kept.take_by_id(id) {
        session.leave().await;
    }
}
