//! The log: where it goes and how a line looks. The newest lines are also kept in memory for the settings page, because
//! standard error of an ostler that was started at login goes nowhere that users look.
//!
//! Not here: what the lines say (`log_lines.rs`, and the drivers for protocol lines).

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber, error};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::os::console;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// How many lines are kept: hours of an old program's mail, or with `-v` a few sessions.
const MAX_KEPT_LINES: usize = 500;
/// The longest line. Providers and clients may send up to 4096 octets in one (the limit of [`ostler_mail::wire`]), and such
/// lines would push everything else out of the log.
pub(super) const MAX_LINE_CHARS: usize = 512;
/// The part of a line before the message: the time to the microsecond, and the level.
const STAMP_CHARS: usize = "2026-11-20T12:00:00.000000Z ERROR ".len();
/// What is left of a line for the message.
pub(super) const MAX_MESSAGE_CHARS: usize = MAX_LINE_CHARS - STAMP_CHARS;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest lines of the log, oldest first, as text even if standard error gets JSON.
#[cfg(any(test, feature = "web"))]
pub(crate) fn newest() -> Vec<String> {
    lines().iter().cloned().collect()
}

/// Stores lines for [`newest`]. `tracing-subscriber` writes one whole line per call.
struct KeptLines;

impl Write for KeptLines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let mut lines = lines();
        if lines.len() == MAX_KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to log to standard error. `loudness`: 0 is normal, 1 (`-v`) adds protocol lines, -1 (`-q`) leaves warnings and
/// errors only.
pub(crate) fn start(format: Format, loudness: i8) {
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
    // Below warnings, rustls and zbus log what only their authors understand.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_target("ostler", level)
        .with_default(LevelFilter::WARN.min(level));
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::prelude::*;
    let shown = layer().event_format(Lines(format)).with_writer(console::stderr).with_ansi(colour);
    let kept = layer().event_format(Lines(Format::Text)).with_writer(|| KeptLines).with_ansi(false);
    let registry = tracing_subscriber::registry().with(kept.with_filter(filter.clone()));
    // A second start, as in tests, fails and changes nothing.
    let _ = registry.with(shown.with_filter(filter)).try_init();
}

/// Prints an error on standard error: as plain text or, where the log is JSON, as lines of the log.
pub(crate) fn print_error(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        console::repeat_config(text).lines().for_each(|line| error!("{line}"));
    } else {
        // Not cut, because what to do comes last. A closed standard error is no reason to fail.
        let lines: String = text.lines().map(|line| escape(line, usize::MAX) + "\n").collect();
        let _ = console::stderr().write_all(console::for_stderr(&lines).as_bytes());
    }
}

/// Formats every line of the log, wherever it goes: standard error in both formats, the settings page, the report.
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
        let (mut visitor, mut time) = (MessageVisitor::default(), String::new());
        event.record(&mut visitor);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let (level, message) = (event.metadata().level(), escape(&visitor.0, MAX_MESSAGE_CHARS));
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

/// The usual terminal colours of the levels: red, yellow, green, blue, violet.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// The message of a line, followed by its other fields as `name=value`; libraries use those.
#[derive(Default)]
struct MessageVisitor(String);

impl Visit for MessageVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

/// Makes a text safe for a line of the log: control characters and marks that reorder text are written out, as `\u{1b}`, so
/// that a provider can neither steer the terminal nor forge a line; and it is cut to `most` characters, with an ellipsis.
pub(super) fn escape(text: &str, most: usize) -> String {
    let (mut line, mut count, mut cut) = (String::new(), 0, 0);
    for c in text.chars() {
        let before = line.len();
        if c.is_control() || reorders_text(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        // An escape is ASCII, so its octets are its characters; anything else is one character.
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

/// Line ends of Unicode, and the marks that order text of two directions, with which one line can be made to look like
/// another (CVE-2021-42574).
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tracing::{info, warn};

    #[test]
    fn only_the_newest_lines_are_kept() {
        for n in 0..MAX_KEPT_LINES + 7 {
            KeptLines.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let lines = newest();
        assert_eq!(
            (lines.len(), lines[MAX_KEPT_LINES - 1].as_str()),
            (MAX_KEPT_LINES, format!("line {}", MAX_KEPT_LINES + 6).as_str())
        );
    }

    /// What a logger of this format writes while `say` runs, in colours if it is on a terminal.
    pub(in crate::events) fn written(format: Format, colours: bool, say: impl FnOnce()) -> String {
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
        assert_eq!(escape(NASTY, usize::MAX), WRITTEN);
        let plain = written(Format::Text, false, || warn!("{NASTY}"));
        assert_eq!(&plain[STAMP_CHARS - 6..], format!(" WARN {WRITTEN}\n"));
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
            // An escape is there whole or not at all.
            ("a\x1bb", 6, "a\u{2026}"),
            ("a\x1bb", 7, "a\u{2026}"),
            ("a\x1b", 7, "a\\u{1b}"),
            ("\x1b", 1, "\u{2026}"),
        ] {
            assert_eq!(escape(text, most), cut, "{text:?} {most}");
        }
        for letter in ["x", "\u{e4}", "\u{1f600}", "\x1b", "\"", "\\"] {
            let long = letter.repeat(5000);
            let plain = written(Format::Text, false, || error!("{long}"));
            let line = plain.strip_suffix('\n').unwrap();
            let count = line.chars().count();
            assert!(
                (MAX_LINE_CHARS - 6..=MAX_LINE_CHARS).contains(&count) && line.ends_with('\u{2026}'),
                "{count}: {line}"
            );
            let json = written(Format::Json, false, || error!("{long}"));
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(document["fields"]["message"], line[STAMP_CHARS..], "both forms say the same");
        }
        let whole = "x".repeat(MAX_MESSAGE_CHARS);
        assert!(written(Format::Text, false, || info!("{whole}")).ends_with("x\n"));
    }
}
