//! What is said in the demo, by whom and when: collected where it is said, printed in columns. Secrets become stars
//! here, on their way in, so that no printer and no reader of the channel ever has one.

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

/// Lines of a message that are shown; the rest is counted. Also bounds what one message can put into the channel.
const MAX_SHOWN_LINES: usize = 4;
/// Columns of the printed page; what does not fit is cut.
const PAGE_COLUMNS: usize = 110;

/// Who reports a line; the other party is always ostler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The built-in provider.
    Provider,
    /// An old mail program, by name.
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

/// Which way a line went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The one who reports it said it.
    Said,
    /// The one who reports it heard it from ostler.
    Heard,
    /// Nobody said it; the one who reports it noticed something.
    Noticed,
}

/// One line of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpokenLine {
    /// Since the demo began.
    pub at: Duration,
    /// Who reports it.
    pub who: Who,
    /// Which way it went.
    pub direction: Direction,
    /// In which protocol.
    pub protocol: Protocol,
    /// Printable ASCII, secrets starred.
    pub line: String,
}

/// Where everything said is collected. Unbounded, because a full channel would hold up those who speak; what one
/// speaker can put in is bounded by its connection.
#[derive(Clone)]
pub(super) struct Recorder {
    began: Instant,
    to: UnboundedSender<SpokenLine>,
    user: &'static str,
    secret: Arc<Secret>,
}

impl Recorder {
    /// One that stars `secret` in whatever form it appears.
    pub(super) fn new(user: &'static str, secret: Arc<Secret>) -> (Self, UnboundedReceiver<SpokenLine>) {
        let (to, heard) = unbounded_channel();
        (Self { began: Instant::now(), to, user, secret }, heard)
    }

    /// The text without the secret, printable.
    pub(super) fn starred(&self, text: &str) -> String {
        redact(&printable(text.as_bytes()), self.user, &self.secret)
    }

    pub(super) fn reporter(&self, who: Who, protocol: Protocol) -> Reporter {
        Reporter { recorder: self.clone(), who, protocol }
    }
}

/// What one party of one connection reports with.
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

    /// A command ostler gave; what may be a secret in it is starred even if it is a wrong one.
    pub(super) fn heard_command(&self, line: &[u8]) {
        self.tell(Direction::Heard, &command_without_secret(line));
    }

    /// A message, shortened.
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
        // Nobody listens any more: then nobody misses it.
        let _ = to.send(SpokenLine { at: began.elapsed(), who: self.who, direction, protocol: self.protocol, line });
    }
}

fn command_without_secret(line: &[u8]) -> String {
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

/// Prints the demo.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    has_colour: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut dyn Write, has_colour: bool) -> Self {
        Self { out, has_colour }
    }

    /// A heading in plain words.
    pub(super) fn heading(&mut self, words: &str) -> io::Result<()> {
        let words = self.painted("1", words);
        writeln!(self.out, "\n{words}")?;
        self.out.flush()
    }

    /// A line of its own.
    pub(super) fn print(&mut self, words: &str) -> io::Result<()> {
        writeln!(self.out, "{words}")?;
        self.out.flush()
    }

    /// What somebody said.
    pub(super) fn spoke(&mut self, spoke: &SpokenLine) -> io::Result<()> {
        let name = spoke.who.name();
        let (way, colour) = match (spoke.direction, spoke.who) {
            (Direction::Said, Who::Client(_)) => (format!("{name} -> ostler"), "36"),
            (Direction::Heard, Who::Client(_)) => (format!("ostler -> {name}"), "33"),
            (Direction::Heard, Who::Provider) => (format!("ostler -> {name}"), "33"),
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

/// Printable ASCII cut to a width.
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
