//! The log: where it goes, how it looks, and the one line each [`Event`] becomes. Protocol lines (with `-v`) are written
//! by the drivers, which know what is secret. The newest lines are kept for the settings page: started at login, nobody sees
//! stderr.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};

use crate::account::Access;
use crate::event::Event;
use crate::failure::Blame;
use crate::protocol::Slip;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// How many lines are kept: hours of an old program's mail, or with `-v` some sessions.
const KEPT: usize = 500;
/// The longest line that is kept, in characters; providers can be talkative.
const LONGEST: usize = 600;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest lines of the log, the oldest first, as text whatever form stderr has. As loud as the log.
pub fn newest() -> Vec<String> {
    lines().iter().cloned().collect()
}

/// Takes lines for [`newest`]; the log gives it a whole one at a time.
struct Keep;

impl Write for Keep {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end().chars().take(LONGEST).collect();
        let mut lines = lines();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(text);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to log to stderr. `loudness`: 0 is normal, 1 (`-v`) shows protocol lines, -1 (`-q`) warnings and errors only.
pub fn start(format: Format, loudness: i8) {
    use std::io::IsTerminal;
    JSON.store(format == Format::Json, Ordering::Relaxed);
    let level = match loudness {
        i8::MIN..=-2 => LevelFilter::ERROR,
        -1 => LevelFilter::WARN,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let colour = std::io::stderr().is_terminal();
    // rustls and zbus log what nobody but their makers understands; their warnings are enough.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("ostler", level)
        .with_default(LevelFilter::WARN.min(level));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false);
    let kept = tracing_subscriber::fmt::layer().with_writer(|| Keep).with_ansi(false).with_target(false);
    use tracing_subscriber::prelude::*;
    let registry = tracing_subscriber::registry().with(kept.with_filter(filter.clone()));
    // A second start, as in tests, changes nothing.
    let _ = match format {
        Format::Text => registry.with(layer.with_filter(filter)).try_init(),
        Format::Json => registry.with(layer.json().with_filter(filter)).try_init(),
    };
}

/// Says on stderr why the program ends: as it is, or where the log is JSON, as lines of the log.
pub fn complain(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        text.lines().for_each(|line| error!("{line}"));
    } else {
        // Nobody may be reading any more.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Writes an event's line.
pub(crate) fn write(event: &Event) {
    match event {
        Event::Settings { accounts, access, again } => {
            let which = if accounts.is_empty() { "no account yet".into() } else { accounts.join(", ") };
            let what = if *again { "changed settings are in force" } else { "settings read" };
            info!("{what}: {which}; who may come in: {}", access.name());
            if *access == Access::Anyone {
                warn!(
                    "access = \"anyone\": every program that reaches a door can read and send mail with the stored passwords"
                );
            }
        }
        Event::SettingsWrong(mistakes) => {
            error!("the changed settings file is wrong; the last good settings stay in force");
            for mistake in mistakes {
                error!("{mistake}");
            }
        }
        Event::Remark(text) => warn!("{text}"),
        Event::DoorOpen(door, address) => {
            let whose = door.account.as_ref().map_or_else(String::new, |a| format!(" (only account {a})"));
            info!("{} door open on {address}{whose}", door.protocol);
        }
        Event::DoorShut(door, why) => error!("{} door on {} cannot be opened: {why}", door.protocol, door.address),
        Event::DoorRemoved(door) => {
            info!("{} door on {} closed: it is gone from the settings", door.protocol, door.address)
        }
        Event::Began(id, protocol, client) => debug!("[{id}] {protocol} client {client} came"),
        Event::Named(id, account) => debug!("[{id}] it is a session of account {account}"),
        Event::SignedIn(id) => debug!("[{id}] signed in"),
        // It may be no more than somebody who looked whether the port is open.
        Event::Slipped(id, slip @ Slip::Silent { .. }) => debug!("[{id}] {slip}"),
        Event::Slipped(id, slip) => warn!("[{id}] {slip}"),
        Event::Doing(id, what) => debug!("[{id}] {what}"),
        Event::Ended(id) => debug!("[{id}] over"),
        Event::TurnedAway(protocol, client, why) => warn!("{protocol} client {client} was not let in: {why}"),
        Event::Misused(id, misuse) => warn!("[{id}] connection ended: {misuse}"),
        Event::GateOpened { account, server, how } => {
            info!("account {account}: login at {server} before sending: {how}")
        }
        Event::GateHealed { account, tries } => {
            info!("account {account}: the provider did not let mail through at first; it did after {tries} more tries");
        }
        Event::Fetched { account, messages, octets } => {
            let what = if *messages == 1 { "message" } else { "messages" };
            info!("account {account}: {messages} {what} fetched, {octets} octets")
        }
        Event::Sent { account, recipients, octets } => {
            let whom = if *recipients == 1 { "recipient" } else { "recipients" };
            info!("account {account}: message of {octets} octets sent to {recipients} {whom}");
        }
        Event::NotSent { account, why } => warn!("account {account}: not sent: {why}"),
        Event::Failed(account, failure) => {
            let whose = account.as_ref().map_or_else(String::new, |a| format!("account {a}: "));
            match failure.blame() {
                Blame::Passing => warn!("{whose}{failure}"),
                Blame::User => error!("{whose}{failure}"),
            }
        }
        Event::Checked { account, trouble: None } => info!("account {account}: checked, everything works"),
        Event::Checked { account, trouble: Some((why, failure)) } => match failure.blame() {
            Blame::Passing => warn!("account {account}: checked: {why}"),
            Blame::User => error!("account {account}: checked: {why}"),
        },
        Event::Paused => info!("paused: new clients are asked to come back later"),
        Event::Resumed => info!("resumed"),
        Event::Stopping(0) => info!("ostler ends"),
        Event::Stopping(busy) => info!("ostler ends when {busy} sessions have finished their message, in 20 s at most"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_none_is_long() {
        for n in 0..KEPT + 7 {
            Keep.write_all(format!("line {n} {}\n", "\u{e4}".repeat(LONGEST)).as_bytes()).unwrap();
        }
        let lines = newest();
        assert_eq!(lines.len(), KEPT);
        assert!(lines[KEPT - 1].starts_with(&format!("line {} ", KEPT + 6)));
        assert!(lines.iter().all(|line| line.chars().count() <= LONGEST && !line.contains('\n')));
    }
}
