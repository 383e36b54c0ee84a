//! Whether this computer is connected to the internet at all. A person who sets something up without a network should hear
//! that, once, and not that each server has no name.
//!
//! Not here: sessions of mail programs. They hear of the failure at once, without a second look.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use ostler_mail::failure::Failure;

/// A name that every name service of the internet knows: one of its root servers. The question tells nothing about
/// the user, and nothing is sent to that server.
const KNOWN_EVERYWHERE: &str = "a.root-servers.net";
/// The look-up may take this long; a person is waiting.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the name service knows what every name service knows.
pub(crate) async fn is_connected() -> bool {
    let asked = timeout(LOOKUP_TIMEOUT, lookup_host((KNOWN_EVERYWHERE, 53))).await;
    asked.is_ok_and(|answer| answer.is_ok_and(|mut found| found.next().is_some()))
}

/// Looks again after a failure that a missing network causes, among other things, and returns what it really is.
pub(crate) async fn look_again(failure: Failure) -> Failure {
    match failure {
        Failure::NameNotFound { at } | Failure::NoNameService { at } | Failure::NetworkGone { at, .. }
            if !is_connected().await =>
        {
            Failure::NotConnected { at }
        }
        failure => failure,
    }
}
