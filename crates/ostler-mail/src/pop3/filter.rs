//! Watches a POP3 session after the sign-in. Every command is checked and its answer expected; every status line is checked;
//! texts are left to `text`. So the server is asked only what the client asks, and the client hears only answers to what it
//! asked.

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::memchr;

use crate::client_fault::Misuse;
use crate::command::{Command, is_http, is_quit, is_tls_hello};
use crate::failure::one_line;
use crate::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use crate::pop3::text::{Kind, Text};
use crate::pop3::{Status, parse_status, words};
use crate::progress::{FetchForecast, Progress, parse_stat};
use crate::wire::{
    Line, MAX_CLIENT_REPLY_OCTETS, MAX_COMMAND_LINE_OCTETS, MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINES, printable,
};

/// The most commands that may wait for their answers. The eagerest client, Eudora for Mac, sends 15 ahead. Beyond the limit
/// the client's octets wait in its socket.
const MAX_OUTSTANDING_COMMANDS: usize = 512;
/// A message makes progress each time this many octets have passed. One octet a minute is not progress: the time limit for a
/// message would never end it.
const PROGRESS_OCTETS: u64 = 4096;

/// The capabilities of the provider that the client may see, because they hold for ostler too. Not among them: STLS and
/// SASL, which cannot pass through ostler, and PIPELINING, because Eudora for Mac begins to send ahead when it reads it.
const CAPABILITIES: [&str; 9] =
    ["USER", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "LOGIN-DELAY", "EXPIRE", "IMPLEMENTATION", "X-"];

/// The form of an answer that the server owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// One line.
    Line,
    /// One line, with the totals of the mailbox.
    Stat,
    /// One line, and a text after `+OK`.
    Text(Kind),
    /// One line, and a list after `+OK` from which some capabilities are dropped.
    Capabilities,
    /// One line, which the client does not get: it gets this instead.
    Instead(&'static str),
    /// One line, the last.
    Quit,
}

#[derive(Debug)]
enum State {
    /// Between two answers, or in the first line of one.
    Status,
    Text(Text),
    /// In the answer to CAPA, after this many lines.
    Capabilities(usize),
    /// The server has answered QUIT.
    Over,
}

/// A [`Filter`] that pairs each command with its answer.
#[derive(Debug)]
pub struct Pop3Filter {
    state: State,
    /// The answers that the server owes, in order.
    expected: VecDeque<Expected>,
    /// Restarts the clock whenever it changes.
    ticks: u64,
    octets_since_tick: u64,
    has_quit: bool,
    /// Messages that were fetched to their end.
    messages: u64,
    /// The octets of all texts.
    text_octets: u64,
    /// The octets of whole messages and of the one under way.
    message_octets: u64,
    forecast: FetchForecast,
    progress: Arc<Progress>,
}

impl Default for Pop3Filter {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl AsRef<Self> for Pop3Filter {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Pop3Filter {
    /// Keeps `progress` up to date.
    pub fn new(progress: Arc<Progress>) -> Self {
        Self {
            state: State::Status,
            expected: VecDeque::new(),
            ticks: 0,
            octets_since_tick: 0,
            has_quit: false,
            messages: 0,
            text_octets: 0,
            message_octets: 0,
            forecast: FetchForecast::default(),
            progress,
        }
    }

    /// The number of messages that were fetched to their end, and the octets of all texts.
    pub fn totals(&self) -> (u64, u64) {
        (self.messages, self.text_octets)
    }

    /// Whether the client is in the middle of an answer. Any line of ostler's would look like a part of it, so if the
    /// server does not finish it, ostler has to break the connection.
    pub fn is_inside_text(&self) -> bool {
        matches!(self.state, State::Text(..) | State::Capabilities(_))
    }

    /// Whether the client waits for an answer that has not begun yet.
    pub fn owes_answer(&self) -> bool {
        !self.expected.is_empty()
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.octets_since_tick = 0;
    }

    /// This many octets of a text have passed.
    fn passed(&mut self, octets: usize) {
        let octets = octets as u64;
        self.text_octets += octets;
        if matches!(&self.state, State::Text(text) if text.is_message()) {
            self.message_octets += octets;
            self.progress.set_octets(self.message_octets);
        }
        self.octets_since_tick += octets;
        if self.octets_since_tick >= PROGRESS_OCTETS {
            self.tick();
        }
    }

    /// Checks a status line, its end included. Returns what the client gets in its place, if the line cannot pass as it is.
    fn status(&mut self, raw: &[u8]) -> Result<Option<String>, ProtocolViolation> {
        let Some(expected) = self.expected.front().copied() else {
            return Err(ProtocolViolation::Server(format!("it said \"{}\" unasked", printable(raw.trim_ascii_end()))));
        };
        // Checked before the command is taken off the list: the client still waits for its answer, and can be told why.
        let Some(status) = parse_status(raw) else {
            return Err(ProtocolViolation::Server(format!("\"{}\" is not an answer", printable(raw.trim_ascii_end()))));
        };
        self.expected.pop_front();
        self.tick();
        match expected {
            Expected::Text(kind) if status == Status::Ok => self.begin_text(kind),
            Expected::Stat => parse_stat(raw).into_iter().for_each(|mailbox| self.forecast.set_mailbox(mailbox)),
            Expected::Capabilities if status == Status::Ok => self.state = State::Capabilities(0),
            // Also after -ERR: the server closes in any case (RFC 1939, section 6).
            Expected::Quit => self.state = State::Over,
            Expected::Instead(reply) => return Ok(Some(format!("{reply}\r\n"))),
            Expected::Line | Expected::Text(_) | Expected::Capabilities => {}
        }
        // Nearly every line passes as it is. One that ends with a bare LF, is too long for an old client, or has other
        // octets than printable ASCII is rewritten.
        let text = raw.strip_suffix(b"\r\n");
        Ok(match text {
            Some(text)
                if raw.len() <= MAX_CLIENT_REPLY_OCTETS && text.iter().all(|b| matches!(b, b' '..=b'~' | b'\t')) =>
            {
                None
            }
            _ => Some(format!("{}\r\n", one_line(&printable(raw.trim_ascii_end())))),
        })
    }

    fn begin_text(&mut self, kind: Kind) {
        if let Kind::Message(number) = kind {
            self.forecast.begin_fetch(number, &self.progress);
        }
        self.state = State::Text(Text::new(kind));
    }

    fn end_text(&mut self) {
        if let State::Text(text) = std::mem::replace(&mut self.state, State::Status) {
            self.messages += u64::from(text.is_message());
            text.mailbox().into_iter().for_each(|mailbox| self.forecast.set_mailbox(mailbox));
        }
        self.tick();
    }

    fn capability(&mut self, raw: &[u8], say: &mut Replies) {
        let line = raw.trim_ascii_end();
        // The end of the list passes, whatever was dropped before it.
        if line == b"." {
            self.state = State::Status;
            self.tick();
        }
        let word = line.split(|b| *b == b' ').next().unwrap_or_default().to_ascii_uppercase();
        let allowed = |c: &&str| if c.ends_with('-') { word.starts_with(c.as_bytes()) } else { word == c.as_bytes() };
        if line == b"." || CAPABILITIES.iter().any(allowed) {
            say.client.extend_from_slice(format!("{}\r\n", printable(line)).as_bytes());
        }
    }

    /// Takes one command line, without its end, and expects its answer.
    fn command(&mut self, line: &[u8], say: &mut Replies) {
        let command = Command::parse(line);
        let expected = match command.verb.as_str() {
            "RETR" => Expected::Text(Kind::Message(command.argument().trim().parse().unwrap_or(0))),
            "STAT" => Expected::Stat,
            // With an argument LIST and UIDL have an answer of one line (RFC 1939, sections 5 and 7).
            "LIST" if !command.has_argument() => Expected::Text(Kind::Sizes),
            "UIDL" if !command.has_argument() => Expected::Text(Kind::Identifiers),
            "TOP" => Expected::Text(Kind::Other),
            "LANG" if !command.has_argument() => Expected::Text(Kind::Other),
            "CAPA" => Expected::Capabilities,
            "QUIT" => Expected::Quit,
            // Extensions of Qpopper that Eudora uses: XLST lists header fields, XMIT sends a message through the POP3
            // server.
            "XTND" if command.argument().to_ascii_uppercase().starts_with("XLST") => Expected::Text(Kind::Other),
            "XTND" if command.argument().to_ascii_uppercase().starts_with("XMIT") => {
                Expected::Instead(words::SEND_BY_SMTP)
            }
            "STLS" => Expected::Instead(words::NO_TLS_NOW),
            "AUTH" | "USER" | "PASS" | "APOP" => Expected::Instead(words::SIGNED_IN_ALREADY),
            _ => Expected::Line,
        };
        // The server's clock starts with the first command that waits, not with each one sent ahead.
        if self.expected.is_empty() {
            self.tick();
        }
        if let Expected::Instead(_) = expected {
            // The provider must not see the command. Its answer to NOOP keeps the answers in order.
            say.server.extend_from_slice(b"NOOP\r\n");
        } else {
            say.server.extend_from_slice(line);
            say.server.extend_from_slice(b"\r\n");
        }
        self.has_quit = expected == Expected::Quit;
        self.expected.push_back(expected);
    }
}

/// The first command line in a client's input, without its end, and how many octets it takes up. `None` while it is
/// incomplete.
fn next_command(input: &[u8]) -> Result<Option<(&[u8], usize)>, Misuse> {
    if is_tls_hello(input) {
        return Err(Misuse::Tls);
    }
    let Some(end) = memchr(b'\n', input) else {
        return if input.len() > MAX_COMMAND_LINE_OCTETS + 1 { Err(too_long(input)) } else { Ok(None) };
    };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    if line.len() > MAX_COMMAND_LINE_OCTETS {
        Err(too_long(line))
    } else if !Line::new(line).is_clean() {
        Err(Misuse::Unclean)
    } else if is_http(line) {
        Err(Misuse::Http)
    } else {
        Ok(Some((line, end + 1)))
    }
}

/// What a line that is too long means. A browser may send one, with a long address.
fn too_long(line: &[u8]) -> Misuse {
    if is_http(line) { Misuse::Http } else { Misuse::LineTooLong(MAX_COMMAND_LINE_OCTETS) }
}

impl Filter for Pop3Filter {
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            if let State::Text(text) = &mut self.state {
                let (octets, is_end) = text.scan(rest);
                self.passed(octets);
                at += octets;
                if is_end {
                    self.end_text();
                }
                continue;
            }
            if let State::Over = self.state {
                return Ok(if at > 0 { Pass::Forward(at) } else { Pass::Stop });
            }
            let Some(end) = memchr(b'\n', rest) else {
                return if at > 0 {
                    Ok(Pass::Forward(at))
                } else if rest.len() > MAX_REPLY_LINE_OCTETS + 1 {
                    Err(ProtocolViolation::Server(format!("a line of more than {MAX_REPLY_LINE_OCTETS} octets")))
                // Even half a line is too much when nothing was asked: it would become the answer to the next command.
                } else if self.expected.is_empty() && !self.is_inside_text() {
                    Err(ProtocolViolation::Server("it spoke unasked".into()))
                } else {
                    Ok(Pass::NeedMore)
                };
            };
            let raw = &rest[..=end];
            // The octets before this line are good and leave before anything is refused or replaced.
            let is_too_long = raw.len() > MAX_REPLY_LINE_OCTETS + 2;
            let passes = matches!(self.expected.front(), Some(expected) if !matches!(expected, Expected::Instead(_)));
            if at > 0 && (is_too_long || parse_status(raw).is_none() || self.is_inside_text() || !passes) {
                return Ok(Pass::Forward(at));
            }
            if is_too_long {
                return Err(ProtocolViolation::Server(format!("a line of more than {MAX_REPLY_LINE_OCTETS} octets")));
            }
            if let State::Capabilities(lines) = &mut self.state {
                *lines += 1;
                if *lines > MAX_REPLY_LINES {
                    return Err(ProtocolViolation::Server("its list of capabilities does not end".into()));
                }
                self.capability(raw, say);
                return Ok(Pass::Replaced(raw.len()));
            }
            match self.status(raw)? {
                None => at += raw.len(),
                Some(reply) => {
                    // The octets before this line pass unchanged and must leave first.
                    say.client.extend_from_slice(&input[..at]);
                    say.client.extend_from_slice(reply.as_bytes());
                    return Ok(Pass::Replaced(at + raw.len()));
                }
            }
        }
        Ok(if at > 0 { Pass::Forward(at) } else { Pass::NeedMore })
    }

    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let mut at = 0;
        while !self.has_quit && self.expected.len() < MAX_OUTSTANDING_COMMANDS {
            match next_command(&input[at..]) {
                Ok(Some((line, octets))) => {
                    self.command(line, say);
                    at += octets;
                }
                Ok(None) => break,
                // The commands before it are good, and leave first.
                Err(_) if at > 0 => break,
                Err(misuse) => return Err(ProtocolViolation::Client(misuse)),
            }
        }
        // What a client sends after QUIT is dropped.
        if self.has_quit {
            at = input.len();
        }
        Ok(if at > 0 { Pass::Replaced(at) } else { Pass::NeedMore })
    }

    fn wants_client(&self) -> bool {
        self.expected.len() < MAX_OUTSTANDING_COMMANDS
    }

    fn client_ended(&mut self, rest: &[u8], say: &mut Replies) -> bool {
        // A client that hangs up right after QUIT, without a line end, means it: its deletions count (RFC 1939, section 6).
        if !self.has_quit && is_quit(rest) {
            say.server.extend_from_slice(b"QUIT\r\n");
            self.expected.push_back(Expected::Quit);
            self.has_quit = true;
            self.tick();
        }
        self.has_quit
    }

    fn clock(&self) -> (Clock, u64) {
        let clock = match self.state {
            State::Text(..) => Clock::Message,
            State::Capabilities(_) => Clock::Reply,
            State::Status | State::Over if self.expected.is_empty() => Clock::ClientIdle,
            State::Status | State::Over => Clock::Reply,
        };
        (clock, self.ticks)
    }

    fn message_from(&self) -> Party {
        Party::Server
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

#[cfg(test)]
mod tests;
