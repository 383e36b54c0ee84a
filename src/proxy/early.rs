//! A connection to a provider that is made while the client still types, up to where the secret is wanted.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::proxy::sign_in::Prepared;
use ostler_mail::account::Account;
use ostler_mail::failure::Failure;
use ostler_mail::machine::Login;
use ostler_mail::secret::Secret;

/// The sign-in as far as it can go, and the secret for it, if that was asked for beforehand.
pub(super) type EarlyResult<L> = Result<(Prepared<L>, Option<Arc<Secret>>), Failure>;

/// An early connection for one account, under way or made.
pub(super) struct EarlyConnect<L: Login> {
    account: Arc<Account>,
    state: State<L>,
}

enum State<L: Login> {
    Connecting(Pin<Box<dyn Future<Output = EarlyResult<L>> + Send>>),
    /// Boxed, for a client may be idle for long before it needs it.
    Done(Instant, Box<EarlyResult<L>>),
}

impl<L: Login> EarlyConnect<L> {
    /// Connects as [`drive`](Self::drive) or [`result`](Self::result) is awaited.
    pub(super) fn new(
        account: Arc<Account>,
        connecting: impl Future<Output = EarlyResult<L>> + Send + 'static,
    ) -> Self {
        Self { account, state: State::Connecting(Box::pin(connecting)) }
    }

    /// Whether it was made for this account, and not for one of the same name in other settings.
    pub(super) fn is_for(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }

    /// Goes on connecting. Never completes once that is done, so that it can stand in a `select!`.
    pub(super) async fn drive(&mut self) {
        match &mut self.state {
            State::Connecting(connecting) => {
                let result = connecting.await;
                self.state = State::Done(Instant::now(), Box::new(result));
            }
            State::Done(..) => std::future::pending().await,
        }
    }

    /// Since when it is known to have failed.
    pub(super) fn failed_at(&self) -> Option<Instant> {
        match &self.state {
            State::Done(when, result) if result.is_err() => Some(*when),
            State::Done(..) | State::Connecting(_) => None,
        }
    }

    /// Waits for what comes of it.
    pub(super) async fn result(self) -> EarlyResult<L> {
        match self.state {
            State::Connecting(connecting) => connecting.await,
            State::Done(_, result) => *result,
        }
    }
}
