//! The log: where it goes, how it looks, and the one line each [`Event`] becomes. Protocol lines (with `-v`) are written
//! by the drivers, which know what is secret. The newest lines are kept for the settings page: started at login, nobody sees
//! stderr.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber, debug, error, info, warn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::events::event::Event;
use ostler_mail::account::Access;
use ostler_mail::client_fault::ClientMisconfiguration;
use ostler_mail::failure::{Blame, Failure};

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
/// The longest line, in characters: providers and clients can be talkative (4096 octets a line, by the limits of
/// [`ostler_mail::wire`]), and whoever fills the log with long lines pushes out what matters in it.
const LONGEST: usize = 512;
/// What stands before the message: the time to the microsecond, and how grave it is.
const STAMP: usize = "2026-11-20T12:00:00.000000Z ERROR ".len();
/// What is left for the message.
const MESSAGE: usize = LONGEST - STAMP;

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
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
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
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::prelude::*;
    let shown = layer().event_format(Lines(format)).with_writer(std::io::stderr).with_ansi(colour);
    let kept = layer().event_format(Lines(Format::Text)).with_writer(|| Keep).with_ansi(false);
    let registry = tracing_subscriber::registry().with(kept.with_filter(filter.clone()));
    // A second start, as in tests, changes nothing.
    let _ = registry.with(shown.with_filter(filter)).try_init();
}

/// Says on stderr why the program ends: as it is, or where the log is JSON, as lines of the log.
pub fn print_error(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        text.lines().for_each(|line| error!("{line}"));
    } else {
        // Nobody may be reading any more. This is for a person and not cut, for what to do stands at its end.
        let lines = text.lines().map(|line| harmless(line, usize::MAX) + "\n");
        let _ = std::io::stderr().write_all(lines.collect::<String>().as_bytes());
    }
}

/// The one place where lines of the log are made, whoever reads them: stderr in both forms, the settings page, the report.
struct Lines(Format);

/// A line of the log for programs.
#[derive(serde::Serialize)]
struct Document<'a> {
    timestamp: &'a str,
    level: &'a str,
    fields: Fields<'a>,
}

#[derive(serde::Serialize)]
struct Fields<'a> {
    message: &'a str,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let (mut said, mut time) = (Said::default(), String::new());
        event.record(&mut said);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let (level, message) = (event.metadata().level(), harmless(&said.0, MESSAGE));
        match self.0 {
            Format::Text if writer.has_ansi_escapes() => {
                let colour = colour(*level);
                writeln!(writer, "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m {message}")
            }
            Format::Text => writeln!(writer, "{time} {level:>5} {message}"),
            Format::Json => {
                let fields = Fields { message: &message };
                let line = Document { timestamp: &time, level: level.as_str(), fields };
                writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
            }
        }
    }
}

/// The usual colours of how grave something is: red, yellow, green, blue, violet.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// The message of a line; what else there is with it, as libraries have it, stands behind with its name.
#[derive(Default)]
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Into a string, which takes everything.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

/// A text as it may stand in a line: what could steer a terminal, begin a new line or turn the order of letters around is
/// written out, as `\u{1b}`, and what is longer than `most` characters ends with an ellipsis.
fn harmless(text: &str, most: usize) -> String {
    let (mut line, mut count, mut cut) = (String::new(), 0, 0);
    for c in text.chars() {
        let before = line.len();
        if c.is_control() || turns_around(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        // Written out, it is ASCII; as it stands, it is one.
        count += if line.len() - before == c.len_utf8() { 1 } else { line.len() - before };
        if count > most {
            line.truncate(cut);
            line.push('\u{2026}');
            break;
        }
        if count < most {
            cut = line.len();
        }
    }
    line
}

/// Line ends of Unicode, and the marks by which text of two directions is ordered: with those a line can be made to look
/// like another (CVE-2021-42574).
fn turns_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A failure with what to do about it, which is not what a talkative provider pushes out of the line.
fn advised(whose: &str, failure: &Failure) -> String {
    let advice = failure.advice();
    // What is too long for that is cut at the end of the line.
    let room = MESSAGE.saturating_sub(whose.chars().count() + advice.chars().count() + "; ".len()).max(1);
    format!("{whose}{}; {advice}", harmless(&failure.sentence(), room))
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
        Event::Warning(text) => warn!("{text}"),
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
        Event::Slipped(id, slip @ ClientMisconfiguration::Silent { .. }) => debug!("[{id}] {slip}"),
        Event::Slipped(id, slip) => warn!("[{id}] {slip}"),
        Event::Doing(id, what) => debug!("[{id}] {what}"),
        Event::Ended(id) => debug!("[{id}] over"),
        Event::ClientRejected(protocol, client, why) => warn!("{protocol} client {client} was not let in: {why}"),
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
                Blame::Passing => warn!("{}", advised(&whose, failure)),
                Blame::User => error!("{}", advised(&whose, failure)),
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
    fn only_the_newest_lines_are_kept() {
        for n in 0..KEPT + 7 {
            Keep.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let lines = newest();
        assert_eq!((lines.len(), lines[KEPT - 1].as_str()), (KEPT, format!("line {}", KEPT + 6).as_str()));
    }

    /// What a logger of this form writes about something, in colours if it is on a terminal.
    fn written(format: Format, colours: bool, say: impl FnOnce()) -> String {
        use std::sync::Arc;
        use tracing_subscriber::prelude::*;
        #[derive(Clone, Default)]
        struct Page(Arc<Mutex<Vec<u8>>>);
        impl Write for Page {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let page = Page::default();
        let writer = page.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_ansi(colours);
        let registry = tracing_subscriber::registry().with(layer.with_writer(move || writer.clone()));
        tracing::subscriber::with_default(registry, say);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const NASTY: &str = "a\x1b[2Jb\u{9b}0mc\nd\re\tf\0g\u{7f}h\u{202e}i\u{2028}j \u{e4}\u{20ac}\u{1f600} C:\\mail";
    const WRITTEN: &str =
        "a\\u{1b}[2Jb\\u{9b}0mc\\nd\\re\\tf\\u{0}g\\u{7f}h\\u{202e}i\\u{2028}j \u{e4}\u{20ac}\u{1f600} C:\\mail";

    #[test]
    fn nothing_in_a_line_steers_a_terminal_and_letters_stay() {
        assert_eq!(harmless(NASTY, usize::MAX), WRITTEN);
        let plain = written(Format::Text, false, || warn!("{NASTY}"));
        assert_eq!(&plain[STAMP - 6..], format!(" WARN {WRITTEN}\n"));
        let coloured = written(Format::Text, true, || error!(reason = NASTY, "{NASTY}"));
        assert!(coloured.starts_with("\x1b[2m20") && coloured.contains("\x1b[31mERROR\x1b[0m a\\u{1b}["), "{coloured}");
        assert_eq!(coloured.matches('\x1b').count(), 4, "{coloured:?}");
        assert_eq!(coloured.lines().count(), 1);
        let json = written(Format::Json, true, || info!("{NASTY}"));
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&document["level"], &document["fields"]["message"]), (&"INFO".into(), &WRITTEN.into()));
        assert!(json.starts_with("{\"timestamp\":\"20") && json.ends_with("}\n"), "{json}");
    }

    #[test]
    fn a_long_line_is_cut_between_letters_and_the_cut_shows() {
        for (text, most, cut) in [
            ("", 0, ""),
            ("four", 4, "four"),
            ("fives", 4, "fiv\u{2026}"),
            ("\u{e4}\u{20ac}\u{1f600}x", 4, "\u{e4}\u{20ac}\u{1f600}x"),
            ("\u{e4}\u{20ac}\u{1f600}\u{1f600}\u{1f600}", 4, "\u{e4}\u{20ac}\u{1f600}\u{2026}"),
            // What is written out is there whole or not at all.
            ("a\x1bb", 6, "a\u{2026}"),
            ("a\x1bb", 7, "a\u{2026}"),
            ("a\x1b", 7, "a\\u{1b}"),
            ("\x1b", 1, "\u{2026}"),
        ] {
            assert_eq!(harmless(text, most), cut, "{text:?} {most}");
        }
        for letter in ["x", "\u{e4}", "\u{1f600}", "\x1b", "\"", "\\"] {
            let long = letter.repeat(5000);
            let plain = written(Format::Text, false, || error!("{long}"));
            let line = plain.strip_suffix('\n').unwrap();
            let count = line.chars().count();
            assert!((LONGEST - 6..=LONGEST).contains(&count) && line.ends_with('\u{2026}'), "{count}: {line}");
            let json = written(Format::Json, false, || error!("{long}"));
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(document["fields"]["message"], line[STAMP..], "both forms say the same");
        }
        let whole = "x".repeat(MESSAGE);
        assert!(written(Format::Text, false, || info!("{whole}")).ends_with("x\n"));
    }

    #[test]
    fn what_to_do_is_not_pushed_out_by_a_talkative_provider() {
        use ostler_mail::account::{Protocol, Security};
        let at = ostler_mail::failure::Place {
            host: "mail.example.org".into(),
            port: 995,
            protocol: Protocol::Pop3,
            security: Security::Tls,
        };
        for length in [0, 200, 300, 400, 4000] {
            let failure = Failure::SignInRefused { at: at.clone(), user: "ann".into(), said: "no".repeat(length) };
            let event = Event::Failed(Some("home".into()), failure.clone());
            let line = written(Format::Text, false, || write(&event));
            assert!(line.ends_with(&format!("; {}\n", failure.advice())), "{line}");
            assert!(line.chars().count() <= LONGEST + 1 && line.contains("account home: mail.example.org"), "{line}");
            assert_eq!(line.contains('\u{2026}'), length >= 200, "{line}");
        }
    }
}
