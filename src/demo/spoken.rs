//! The lines that are said in the demo: recorded by those who say or hear them, and printed in columns. Secrets are
//! replaced by stars when a line is recorded, so that neither the channel nor the printer ever has one.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::text::lines;
use ostler_mail::account::Protocol;
use ostler_mail::command::Command;
use ostler_mail::sasl::redact;
use ostler_mail::secret::Secret;
use ostler_mail::wire::printable;

/// Lines of a message that are shown; the rest is only counted. This also limits what one message puts into the
/// channel.
const MAX_SHOWN_LINES: usize = 4;
/// The width of the printed page; longer lines are cut.
const PAGE_COLUMNS: usize = 110;

/// Who reports a line. The other side is always ostler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The demo's provider.
    Provider,
    /// The mail program with this name.
    Client(&'static str),
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Client(name) => name,
        }
    }
}

/// The direction of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The reporter said it to ostler.
    Said,
    /// ostler said it to the reporter.
    Heard,
    /// It is a remark of the reporter.
    Noticed,
}

/// One line of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpokenLine {
    /// The time since the demo began.
    pub at: Duration,
    pub who: Who,
    pub direction: Direction,
    pub protocol: Protocol,
    /// Printable ASCII, with stars for secrets.
    pub line: String,
}

/// Records all lines. The channel is unbounded, because a full one would block the connections; what they can put in is
/// limited by `MAX_SHOWN_LINES` and by the length of a line.
#[derive(Clone)]
pub(super) struct Recorder {
    began: Instant,
    to: UnboundedSender<SpokenLine>,
    user: &'static str,
    secret: Arc<Secret>,
}

impl Recorder {
    /// A recorder that replaces `secret` by stars in every form in which it may appear.
    pub(super) fn new(user: &'static str, secret: Arc<Secret>) -> (Self, UnboundedReceiver<SpokenLine>) {
        let (to, heard) = unbounded_channel();
        (Self { began: Instant::now(), to, user, secret }, heard)
    }

    /// The text as printable ASCII, with stars for the secret.
    pub(super) fn starred(&self, text: &str) -> String {
        redact(&printable(text.as_bytes()), self.user, &self.secret)
    }

    pub(super) fn reporter(&self, who: Who, protocol: Protocol) -> Reporter {
        Reporter { recorder: self.clone(), who, protocol }
    }
}

/// Records the lines of one side of one connection.
#[derive(Clone)]
pub(super) struct Reporter {
    recorder: Recorder,
    who: Who,
    protocol: Protocol,
}

impl Reporter {
    pub(super) fn said(&self, line: &[u8]) {
        self.tell(Direction::Said, &printable(line));
    }

    pub(super) fn heard(&self, line: &[u8]) {
        self.tell(Direction::Heard, &printable(line));
    }

    pub(super) fn noticed(&self, what: &str) {
        self.tell(Direction::Noticed, &format!("({what})"));
    }

    /// Records a command of ostler's. A password in it is replaced by stars even if it is not the right one.
    pub(super) fn heard_command(&self, line: &[u8]) {
        self.tell(Direction::Heard, &command_without_secret(line));
    }

    /// Records a message, shortened.
    pub(super) fn text(&self, direction: Direction, text: &[u8]) {
        let all = lines(text).count();
        for line in lines(text).take(MAX_SHOWN_LINES) {
            self.tell(direction, &printable(line.trim_ascii_end()));
        }
        if all > MAX_SHOWN_LINES {
            self.tell(direction, &format!("... {} more lines", all - MAX_SHOWN_LINES));
        }
        self.tell(direction, ".");
    }

    fn tell(&self, direction: Direction, line: &str) {
        let Recorder { began, to, .. } = &self.recorder;
        let line = self.recorder.starred(line);
        // Fails only when the demo has ended.
        let _ = to.send(SpokenLine { at: began.elapsed(), who: self.who, direction, protocol: self.protocol, line });
    }
}

fn command_without_secret(line: &[u8]) -> String {
    let mut words = line.splitn(3, |b| *b == b' ');
    if let (Some(tag), Some(verb), Some(_)) = (words.next(), words.next(), words.next())
        && verb.eq_ignore_ascii_case(b"LOGIN")
    {
        return format!("{} LOGIN ***", printable(tag));
    }
    let command = Command::parse(line);
    if !command.has_argument() {
        return printable(line);
    }
    match command.verb.as_str() {
        "PASS" | "APOP" => format!("{} ***", command.verb),
        "AUTH" => {
            let argument = printable(command.argument().as_bytes());
            match argument.split_once(' ') {
                Some((mechanism, _)) => format!("AUTH {mechanism} ***"),
                None => format!("AUTH {argument}"),
            }
        }
        _ => printable(line),
    }
}

/// Prints the demo in columns.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    has_colour: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut dyn Write, has_colour: bool) -> Self {
        Self { out, has_colour }
    }

    /// Prints a heading.
    pub(super) fn heading(&mut self, words: &str) -> io::Result<()> {
        let words = self.painted("1", words);
        writeln!(self.out, "\n{words}")?;
        self.out.flush()
    }

    /// Prints a text.
    pub(super) fn print(&mut self, words: &str) -> io::Result<()> {
        writeln!(self.out, "{words}")?;
        self.out.flush()
    }

    /// Prints a line of a connection.
    pub(super) fn spoke(&mut self, spoke: &SpokenLine) -> io::Result<()> {
        let name = spoke.who.name();
        let (way, colour) = match (spoke.direction, spoke.who) {
            (Direction::Said, Who::Client(_)) => (format!("{name} -> ostler"), "36"),
            (Direction::Heard, _) => (format!("ostler -> {name}"), "33"),
            (Direction::Said, Who::Provider) => (format!("{name} -> ostler"), "32"),
            (Direction::Noticed, _) => (name.to_owned(), "2"),
        };
        let protocol = spoke.protocol.name().to_ascii_uppercase();
        let front = format!("{:>6}  {way:<25}  {protocol:<4}  ", spoke.at.as_millis());
        let line = cut(&spoke.line, PAGE_COLUMNS - front.len());
        let front = self.painted(colour, &front);
        writeln!(self.out, "{front}{line}")?;
        self.out.flush()
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Cuts printable ASCII to a width.
fn cut(line: &str, width: usize) -> String {
    match line.get(..width.saturating_sub(4)) {
        Some(front) if line.len() > width => format!("{front} ..."),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> (Recorder, UnboundedReceiver<SpokenLine>) {
        Recorder::new("ann", Arc::new(Secret::new("hunter2-hunter2".to_owned()).unwrap()))
    }

    #[test]
    fn no_secret_enters_the_channel() {
        let (recorder, mut heard) = recorder();
        let reporter = recorder.reporter(Who::Provider, Protocol::Pop3);
        reporter.heard_command(b"pass wrong one");
        reporter.heard_command(b"AUTH PLAIN AGFubgBodW50ZXIyLWh1bnRlcjI=");
        reporter.heard_command(b"AUTH LOGIN");
        reporter.heard_command(b"o1 login \"ann\" \"wrong one\"");
        reporter.heard_command(b"APOP ann c4c9334bac560ecc979e58001b3e22fb");
        reporter.heard_command(b"LISThunter2-hunter2");
        reporter.said(b"-ERR hunter2-hunter2 is wrong");
        reporter.text(Direction::Said, b"Subject: hunter2-hunter2\r\n");
        let mut all = Vec::new();
        while let Ok(spoke) = heard.try_recv() {
            all.push(spoke.line);
        }
        let wanted = [
            "PASS ***",
            "AUTH PLAIN ***",
            "AUTH LOGIN",
            "o1 LOGIN ***",
            "APOP ***",
            "LIST***",
            "-ERR *** is wrong",
            "Subject: ***",
            ".",
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_long_message_is_shortened_and_counted() {
        let (recorder, mut heard) = recorder();
        recorder.reporter(Who::Provider, Protocol::Smtp).text(Direction::Heard, &b"x\r\n".repeat(51));
        let mut all = Vec::new();
        while let Ok(spoke) = heard.try_recv() {
            all.push(spoke.line);
        }
        assert_eq!(all, ["x", "x", "x", "x", "... 47 more lines", "."]);
    }

    #[test]
    fn lines_are_printed_in_columns_and_cut() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, false);
        let at = Duration::from_millis(12);
        let (protocol, direction) = (Protocol::Smtp, Direction::Said);
        let who = Who::Client("Outlook Express");
        page.spoke(&SpokenLine { at, who, direction, protocol, line: "x".repeat(200) }).unwrap();
        let direction = Direction::Heard;
        page.spoke(&SpokenLine { at, who: Who::Provider, direction, protocol, line: "QUIT".into() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        let printed: Vec<&str> = text.lines().collect();
        assert!(printed[0].starts_with("    12  Outlook Express -> ostler  SMTP  xxx"), "{}", printed[0]);
        assert!(printed[0].ends_with("x ...") && printed[0].len() == PAGE_COLUMNS);
        assert_eq!(printed[1], "    12  ostler -> provider         SMTP  QUIT");
    }
}
