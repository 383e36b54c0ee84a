//! The words of the log: the line that each [`Event`] becomes. Protocol lines (`-v`) are written by the drivers, which know
//! what is secret.

use tracing::{debug, error, info, warn};

use super::event::{Event, count, fetched, gate_opened_late, mended, recipient_refused};
use super::log::{MAX_MESSAGE_CHARS, escape};
use crate::os::console;
use ostler_mail::account::Access;
use ostler_mail::client_fault::ClientMisconfiguration;
use ostler_mail::failure::{Blame, Failure};

/// A failure with what to do about it. A long answer of the provider is cut rather than the advice behind it.
fn with_advice(whose: &str, failure: &Failure) -> String {
    let advice = console::repeat_config(&failure.advice());
    // Where even the advice leaves no room, the line as a whole is cut at its end.
    let room = MAX_MESSAGE_CHARS.saturating_sub(whose.chars().count() + advice.chars().count() + "; ".len()).max(1);
    format!("{whose}{}; {advice}", escape(&failure.sentence(), room))
}

/// A text in which commands repeat the `--config` that ostler was started with.
fn hint(text: &impl ToString) -> String {
    console::repeat_config(&text.to_string())
}

/// Logs an event.
pub(crate) fn write(event: &Event) {
    match event {
        Event::SettingsApplied { accounts, access, is_reload } => write_applied(accounts, *access, *is_reload),
        Event::SettingsRejected(mistakes) => {
            error!("the changed settings file is wrong; the last good settings stay in force");
            for mistake in mistakes {
                error!("{}", hint(mistake));
            }
        }
        Event::Warning(text) => warn!("{}", hint(text)),
        Event::DoorOpened(door, address) => {
            let whose = door.account.as_ref().map_or_else(String::new, |a| format!(" (only account {a})"));
            info!("{} door open on {address}{whose}", door.protocol);
        }
        Event::DoorUnavailable(door, why) => {
            error!("{} door on {} cannot be opened: {}", door.protocol, door.address, hint(why));
        }
        Event::DoorRemoved(door) => {
            info!("{} door on {} closed: it was removed from the settings", door.protocol, door.address)
        }
        Event::SessionStarted(id, protocol, client) => debug!("[{id}] {protocol} client {client} connected"),
        Event::AccountChosen(id, account) => debug!("[{id}] session of account {account}"),
        Event::ClientSignedIn(id) => debug!("[{id}] signed in"),
        // Perhaps only a look whether the port is open, as port scanners and some installers do.
        Event::ClientMisconfigured(id, client, slip @ ClientMisconfiguration::Silent { .. }) => {
            debug!("[{id}] client {client}: {slip}");
        }
        Event::ClientMisconfigured(id, client, slip) => warn!("[{id}] client {client}: {}", hint(slip)),
        Event::SessionStateChanged(id, what) => debug!("[{id}] {what}"),
        Event::SessionEnded(id) => debug!("[{id}] session ended"),
        Event::ClientRejected(protocol, client, why) => warn!("{protocol} client {client} was not let in: {why}"),
        Event::ClientMisbehaved(id, client, misuse) => {
            warn!("[{id}] client {client}: connection ended: {}", hint(misuse));
        }
        Event::GateLoginMade { account, server, how } => {
            info!("account {account}: login at {server} before sending: {how}")
        }
        Event::GateOpenedLate { account, tries } => {
            info!("account {account}: {}", gate_opened_late(*tries));
        }
        Event::Fetched { account, messages, octets, changes } if changes.messages == 0 => {
            info!("account {account}: {} fetched, {octets} octets", count(*messages, "message"));
        }
        Event::Fetched { account, messages, octets, changes } => {
            info!("account {account}: {}; {octets} octets", fetched(*messages, *changes));
        }
        Event::Mended { account, repairs } => info!("account {account}: {}", mended(repairs)),
        Event::Sent { account, recipients, octets } => {
            info!("account {account}: message of {octets} octets sent to {}", count(*recipients, "recipient"));
        }
        Event::NotSent { account, why } => warn!("account {account}: not sent: {why}"),
        Event::RecipientRefused { account, why } => warn!("account {account}: {}", recipient_refused(why)),
        Event::Failed(account, failure) => {
            let whose = account.as_ref().map_or_else(String::new, |a| format!("account {a}: "));
            write_failed(failure, &with_advice(&whose, failure));
        }
        Event::AccountChecked { account, trouble: None } => info!("account {account}: checked, everything works"),
        Event::AccountChecked { account, trouble: Some((why, failure)) } => {
            write_failed(failure, &format!("account {account}: checked: {why}"));
        }
        Event::SignedIn(account) => info!("account {account}: the user has signed in at the provider (OAuth2)"),
        Event::TokensRenewed(account) => debug!("account {account}: the sign-in was renewed (OAuth2)"),
        Event::SignedOut(account) => info!("account {account}: the user has signed out at the provider (OAuth2)"),
        Event::Paused => info!("paused: new clients are asked to come back later"),
        Event::Resumed => info!("resumed"),
        Event::Leaving(limit) => {
            info!("load balancers are told that ostler is ending; the doors close in {} s", limit.as_secs());
        }
        Event::Stopping { busy: 0, .. } => info!("ostler is ending"),
        Event::Stopping { busy, limit } => {
            let (sessions, seconds) = (count(*busy, "session"), limit.as_secs());
            info!("ostler is ending; {sessions} may finish a message first, within {seconds} s");
        }
    }
}

fn write_applied(accounts: &[String], access: Access, is_reload: bool) {
    let which = if accounts.is_empty() { "no account yet".into() } else { accounts.join(", ") };
    let what = if is_reload { "changed settings are in force" } else { "settings read" };
    info!("{what}: {which}; who may come in: {}", access.name());
    if access == Access::Anyone {
        warn!(
            "access = \"anyone\": every program that can reach a door can read and send mail with the stored passwords"
        );
    }
}

/// Logs what went wrong: as an error if the user has to act.
fn write_failed(failure: &Failure, line: &str) {
    match failure.blame() {
        Blame::Passing => warn!("{line}"),
        Blame::User => error!("{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::log::tests::written;
    use crate::events::log::{Format, MAX_LINE_CHARS};

    #[test]
    fn what_to_do_is_not_pushed_out_by_a_talkative_provider() {
        use ostler_mail::account::{Protocol, Security};
        let at = ostler_mail::failure::ServerAddr {
            host: "mail.example.org".into(),
            port: 995,
            password_from: ostler_mail::failure::PasswordFrom::Keyring,
            protocol: Protocol::Pop3,
            security: Security::Tls,
        };
        for length in [0, 200, 300, 400, 4000] {
            let failure = Failure::SignInRefused {
                at: at.clone(),
                user: "ann".into(),
                said: "no".repeat(length),
                beyond_ascii: false,
            };
            let event = Event::Failed(Some("home".into()), failure.clone());
            let line = written(Format::Text, false, || write(&event));
            assert!(line.ends_with(&format!("; {}\n", failure.advice())), "{line}");
            assert!(
                line.chars().count() <= MAX_LINE_CHARS + 1 && line.contains("account home: mail.example.org"),
                "{line}"
            );
            assert_eq!(line.contains('\u{2026}'), length >= 200, "{line}");
        }
    }
}
