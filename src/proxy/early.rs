//! A connection to a provider that ostler makes before the client asks for it, up to where the secret is wanted.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::proxy::sign_in::Prepared;
use ostler_mail::account::Account;
use ostler_mail::failure::Failure;
use ostler_mail::machine::Login;
use ostler_mail::secret::Secret;

/// The sign-in as far as it goes without the secret, and the secret, if it was fetched at the same time.
pub(super) type EarlyResult<L> = Result<(Prepared<L>, Option<Arc<Secret>>), Failure>;

/// The early connection for one account, which is being made or was made.
pub(super) struct EarlyConnect<L: Login> {
    account: Arc<Account>,
    state: State<L>,
}

enum State<L: Login> {
    Connecting(Pin<Box<dyn Future<Output = EarlyResult<L>> + Send>>),
    /// Boxed: the client may be idle for a long time before it needs the result.
    Done(Instant, Box<EarlyResult<L>>),
}

impl<L: Login> EarlyConnect<L> {
    /// Nothing happens before [`drive`](Self::drive) or [`result`](Self::result) is awaited.
    pub(super) fn new(
        account: Arc<Account>,
        connecting: impl Future<Output = EarlyResult<L>> + Send + 'static,
    ) -> Self {
        Self { account, state: State::Connecting(Box::pin(connecting)) }
    }

    /// Whether the connection is for this very account. After a change of settings there may be another of the same name.
    pub(super) fn is_for(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }

    /// Goes on connecting. Once connected, it never completes, so that it can stand in a `select!`.
    pub(super) async fn drive(&mut self) {
        match &mut self.state {
            State::Connecting(connecting) => {
                let result = connecting.await;
                self.state = State::Done(Instant::now(), Box::new(result));
            }
            State::Done(..) => std::future::pending().await,
        }
    }

    /// When the connection failed, if it did.
    pub(super) fn failed_at(&self) -> Option<Instant> {
        match &self.state {
            State::Done(when, result) if result.is_err() => Some(*when),
            State::Done(..) | State::Connecting(_) => None,
        }
    }

    /// Waits for the connection, or for its failure.
    pub(super) async fn result(self) -> EarlyResult<L> {
        match self.state {
            State::Connecting(connecting) => connecting.await,
            State::Done(_, result) => *result,
        }
    }
}
