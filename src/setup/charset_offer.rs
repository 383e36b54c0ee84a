//! What follows when a server refuses a password with letters beyond ASCII: it may be right, and spelled for another server.
//! The user is asked whether to try it once more in the other charset, and told what is remembered.

use std::sync::Arc;

use super::{Question, SetupUi};
use ostler_mail::account::{PasswordCharset, Server};
use ostler_mail::failure::Failure;
use ostler_mail::secret::{Secret, given};

/// The offers that were made. Each server gets one, because providers lock accounts after some wrong passwords.
#[derive(Debug, Default)]
pub(crate) struct CharsetOffers {
    addresses: Vec<String>,
}

impl CharsetOffers {
    /// The server with its password in the other charset, if the failure may be about the charset and the user wants to
    /// try that. `secret` is the password in UTF-8; it is asked for only if it matters.
    pub(crate) async fn offer(
        &mut self,
        ui: &mut impl SetupUi,
        server: &Server,
        failure: &Failure,
        secret: impl Future<Output = Option<Arc<Secret>>>,
    ) -> Option<Server> {
        let address = server.address();
        if !failure.may_be_the_password() || self.addresses.contains(&address) {
            return None;
        }
        given::spelled(secret.await.as_deref()?, PasswordCharset::Windows1252)?;
        self.addresses.push(address.clone());
        let charset = server.password_charset().other();
        let is_wanted = ui.confirm(&Question::TryCharset { server: address, charset }).await;
        is_wanted.then(|| server.clone().with_password_charset(charset))
    }
}

/// Says that the charset which the server took is remembered.
pub(crate) fn say_remembered(ui: &mut impl SetupUi, server: &Server) {
    let charset = server.password_charset().name();
    ui.note(&format!("ostler remembers that this provider wants the password as {charset}."));
}
