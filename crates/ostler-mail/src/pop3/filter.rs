//! Watches a POP3 session after the sign-in. Every command is checked and its answer expected; every status line is checked;
//! texts are left to `text`. So the client hears only answers to what it asked. The server is asked what the client asks, and
//! for messages that the client will ask for next (`ahead`).

mod reading_ahead;

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::memchr;

use crate::client_fault::Misuse;
use crate::clock::Moment;
use crate::command::{Command, is_http, is_quit, is_tls_hello};
use crate::failure::one_line;
use crate::machine::ticks::Ticks;
use crate::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use crate::pop3::ahead::{Ahead, Question};
use crate::pop3::text::{Kind, Taken, Text};
use crate::pop3::{Status, parse_status, words};
use crate::progress::{FetchForecast, Progress, parse_stat};
use crate::readable::{Changes, Readable};
use crate::wire::{
    Line, MAX_CLIENT_REPLY_OCTETS, MAX_COMMAND_LINE_OCTETS, MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINES, printable,
};

/// The most commands that may wait for their answers. The eagerest client, Eudora for Mac, sends 15 ahead. Beyond the limit
/// the client's octets wait in its socket.
const MAX_OUTSTANDING_COMMANDS: usize = 512;

/// The capabilities of the provider that the client may see, because they hold for ostler too. Not among them: STLS and
/// SASL, which cannot pass through ostler, and PIPELINING, because Eudora for Mac begins to send ahead when it reads it.
const CAPABILITIES: [&str; 9] =
    ["USER", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "LOGIN-DELAY", "EXPIRE", "IMPLEMENTATION", "X-"];

/// The form of an answer that the client waits for.
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
    /// One line with the number of the last message accessed (LAST, RFC 1460). Up to this number it may be one that only
    /// ostler has asked for.
    Last(u64),
    /// The message of this number, which is read ahead.
    Ahead(u64),
    /// One line, behind which no message was accessed and none is deleted (RSET).
    Reset,
    /// One line, the last.
    Quit,
}

/// Who has asked the server for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Client,
    Ahead(Question),
}

#[derive(Debug)]
enum State {
    /// Between two answers, or in the first line of one.
    Status,
    /// In a text that the client gets as it comes.
    Text(Text),
    /// In a text that the client has not asked for, or whose turn has not come.
    Ahead(Text, Question),
    /// In the answer to CAPA, after this many lines.
    Capabilities(usize),
    /// The server has answered QUIT.
    Over,
}

/// A [`Filter`] that pairs each command with its answer.
#[derive(Debug)]
pub struct Pop3Filter {
    state: State,
    /// The answers that the client waits for, in order.
    expected: VecDeque<Expected>,
    /// Who asked for the answers that the server owes, in order. Those for the client are a part of `expected`.
    asked: VecDeque<Asker>,
    ahead: Ahead,
    now: Moment,
    /// How many octets of the answer that is read ahead have come.
    octets_ahead: usize,
    /// Since when the pace of the line is measured, and how many octets of texts have come since then.
    measured: (Moment, u64),
    /// Nothing more is heard of the server and nothing said to it: it has closed, or has broken the rules where the client
    /// waits for nothing. What was read ahead before is the client's all the same.
    is_alone: bool,
    /// How the server broke the rules, until the client gets to it.
    breach: Option<ProtocolViolation>,
    /// Restarts the clock whenever it changes.
    ticks: Ticks,
    has_quit: bool,
    /// The client has said DELE.
    has_deleted: bool,
    /// The highest number of a message that the client has fetched.
    highest_fetched: u64,
    /// Messages that were fetched to their end.
    messages: u64,
    /// The octets of all texts.
    text_octets: u64,
    /// The octets of whole messages and of the one under way.
    message_octets: u64,
    forecast: FetchForecast,
    progress: Arc<Progress>,
    /// What the client can read; `None` if messages pass unchanged.
    readable: Option<Readable>,
    /// What was changed in whole messages.
    changes: Changes,
}

impl Default for Pop3Filter {
    fn default() -> Self {
        Self::new(Arc::default(), false)
    }
}

impl AsRef<Self> for Pop3Filter {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Pop3Filter {
    /// Keeps `progress` up to date. `may_read_ahead`: the provider reads on while it answers (PIPELINING), and a RETR by itself
    /// changes nothing there. Messages pass unchanged.
    pub fn new(progress: Arc<Progress>, may_read_ahead: bool) -> Self {
        Self {
            state: State::Status,
            expected: VecDeque::new(),
            asked: VecDeque::new(),
            ahead: Ahead::new(may_read_ahead),
            now: Moment::default(),
            octets_ahead: 0,
            measured: (Moment::default(), 0),
            is_alone: false,
            breach: None,
            ticks: Ticks::default(),
            has_quit: false,
            has_deleted: false,
            highest_fetched: 0,
            messages: 0,
            text_octets: 0,
            message_octets: 0,
            forecast: FetchForecast::default(),
            progress,
            readable: None,
            changes: Changes::default(),
        }
    }

    /// Makes messages readable for a client that can read this.
    #[must_use]
    pub fn reading(self, readable: Option<Readable>) -> Self {
        Self { readable, ..self }
    }

    /// The number of messages that were fetched to their end, and the octets of all texts.
    pub fn totals(&self) -> (u64, u64) {
        (self.messages, self.text_octets)
    }

    /// What was changed to make messages readable that were fetched to their end.
    pub fn changes(&self) -> Changes {
        self.changes
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
        self.ticks.tick();
    }

    /// This many octets of a text have passed to the client.
    fn passed(&mut self, octets: usize, is_message: bool) {
        self.text_octets += octets as u64;
        if is_message {
            self.message_octets += octets as u64;
            self.progress.set_octets(self.message_octets);
        }
        self.moved(octets);
    }

    /// This many octets of a text have come from the server.
    fn moved(&mut self, octets: usize) {
        self.measured.1 += octets as u64;
        self.ticks.pass(octets);
    }

    /// Takes what belongs to the text under way of the server's octets from `at` on; those before it pass as they are. `None`:
    /// so do these.
    fn text_said(&mut self, input: &[u8], at: &mut usize, say: &mut Replies) -> Option<Pass> {
        let State::Text(text) = &mut self.state else { return None };
        let (is_held, is_message) = (text.is_held(), text.is_message());
        // The octets before it leave first.
        if is_held && *at > 0 {
            return Some(Pass::Forward(*at));
        }
        let Taken { octets, is_end } = text.take(&input[*at..], &mut say.client);
        self.passed(octets, is_message);
        *at += octets;
        let passing = if is_held { &[] } else { &input[..*at] };
        if is_end {
            self.end_text();
            if self.goes_on_ahead(passing, say) {
                return Some(Pass::Replaced(*at));
            }
        }
        is_held.then_some(Pass::Replaced(*at))
    }

    /// The same for a line outside a text.
    fn line_said(
        &mut self,
        input: &[u8],
        at: &mut usize,
        say: &mut Replies,
    ) -> Result<Option<Pass>, ProtocolViolation> {
        let rest = &input[*at..];
        let Some(end) = memchr(b'\n', rest) else {
            return if *at > 0 { Ok(Some(Pass::Forward(*at))) } else { self.part_of_line(rest).map(Some) };
        };
        let raw = &rest[..=end];
        // The octets before this line are good and leave before anything is refused or replaced.
        let is_too_long = raw.len() > MAX_REPLY_LINE_OCTETS + 2;
        let passes =
            self.asked.front() == Some(&Asker::Client) && !matches!(self.expected.front(), Some(Expected::Instead(_)));
        if *at > 0 && (is_too_long || parse_status(raw).is_none() || self.is_inside_text() || !passes) {
            return Ok(Some(Pass::Forward(*at)));
        }
        if is_too_long {
            return Err(line_too_long());
        }
        if let State::Capabilities(lines) = &mut self.state {
            *lines += 1;
            if *lines > MAX_REPLY_LINES {
                return Err(ProtocolViolation::Server("its list of capabilities does not end".into()));
            }
            self.capability(raw, say);
            // After the last one it is the turn of what was read ahead.
            self.catch_up(say);
            return Ok(Some(Pass::Replaced(raw.len())));
        }
        match self.asked.front().copied() {
            None => Err(unasked(raw)),
            Some(Asker::Ahead(question)) => {
                self.status_ahead(question, raw)?;
                self.catch_up(say);
                Ok(Some(Pass::Replaced(raw.len())))
            }
            Some(Asker::Client) => self.status_said(input, at, raw, say),
        }
    }

    /// Takes what the server said, as far as it goes.
    fn hear_server(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let mut at = 0;
        while at < input.len() {
            let pass = match &self.state {
                State::Text(_) => self.text_said(input, &mut at, say),
                // The octets before these leave first.
                State::Ahead(..) | State::Over if at > 0 => Some(Pass::Forward(at)),
                State::Ahead(..) => Some(Pass::Replaced(self.keep_and_catch_up(input, say)?)),
                State::Over => Some(Pass::Stop),
                State::Status | State::Capabilities(_) => self.line_said(input, &mut at, say)?,
            };
            if let Some(pass) = pass {
                return Ok(pass);
            }
        }
        Ok(if at > 0 { Pass::Forward(at) } else { Pass::NeedMore })
    }

    /// Half a line, which may be too much already.
    fn part_of_line(&self, part: &[u8]) -> Result<Pass, ProtocolViolation> {
        if part.len() > MAX_REPLY_LINE_OCTETS + 1 {
            Err(line_too_long())
        // Even half a line is too much when nothing was asked: it would become the answer to the next command.
        } else if self.asked.is_empty() && !self.is_inside_text() {
            Err(ProtocolViolation::Server("it spoke unasked".into()))
        } else {
            Ok(Pass::NeedMore)
        }
    }

    /// Takes a status line for the client, which begins at `at`.
    fn status_said(
        &mut self,
        input: &[u8],
        at: &mut usize,
        raw: &[u8],
        say: &mut Replies,
    ) -> Result<Option<Pass>, ProtocolViolation> {
        if let Some(reply) = self.status(raw)? {
            // The octets before this line pass unchanged and must leave first.
            say.client.extend_from_slice(&input[..*at]);
            say.client.extend_from_slice(reply.as_bytes());
            self.catch_up(say);
            return Ok(Some(Pass::Replaced(*at + raw.len())));
        }
        *at += raw.len();
        Ok(self.goes_on_ahead(&input[..*at], say).then_some(Pass::Replaced(*at)))
    }

    /// Checks a status line, its end included, for the client. Returns what the client gets in its place, if the line cannot
    /// pass as it is.
    fn status(&mut self, raw: &[u8]) -> Result<Option<String>, ProtocolViolation> {
        // Checked before the command is taken off the list: the client still waits for its answer, and can be told why.
        let status = checked_status(raw)?;
        self.asked.pop_front();
        self.tick();
        match self.expected.pop_front() {
            Some(Expected::Text(kind)) if status == Status::Ok => self.begin_text(kind),
            Some(Expected::Stat) => {
                parse_stat(raw).into_iter().for_each(|mailbox| self.forecast.set_mailbox(mailbox));
            }
            Some(Expected::Capabilities) if status == Status::Ok => self.state = State::Capabilities(0),
            Some(Expected::Reset) if status == Status::Ok => self.highest_fetched = 0,
            // Also after -ERR: the server closes in any case (RFC 1939, section 6).
            Some(Expected::Quit) => self.state = State::Over,
            Some(Expected::Instead(reply)) => return Ok(Some(format!("{reply}\r\n"))),
            Some(Expected::Last(ahead)) if parse_last(raw).is_some_and(|n| self.highest_fetched < n && n <= ahead) => {
                return Ok(Some(format!("+OK {}\r\n", self.highest_fetched)));
            }
            Some(Expected::Line | Expected::Text(_) | Expected::Capabilities | Expected::Last(_) | Expected::Reset) => {
            }
            // What is read ahead is asked for before anything that the client asks for after it.
            Some(Expected::Ahead(_)) | None => return Err(unasked(raw)),
        }
        Ok(cleaned(raw))
    }

    fn begin_text(&mut self, kind: Kind) {
        if let Kind::Message(number) = kind {
            self.begin_fetch(number);
        }
        let wants_sizes = kind == Kind::Sizes && self.ahead.wants_sizes();
        self.state = State::Text(if wants_sizes { Text::with_sizes() } else { Text::new(kind, self.readable) });
    }

    /// The client gets the message of this number now.
    fn begin_fetch(&mut self, number: u64) {
        self.highest_fetched = self.highest_fetched.max(number);
        self.forecast.begin_fetch(number, &self.progress);
    }

    fn end_text(&mut self) {
        self.note_pace();
        if let State::Text(text) = std::mem::replace(&mut self.state, State::Status) {
            if text.is_message() {
                self.messages += 1;
                self.changes.add(text.changes());
            }
            text.mailbox().into_iter().for_each(|mailbox| self.forecast.set_mailbox(mailbox));
            text.into_sizes().into_iter().for_each(|sizes| self.ahead.set_sizes(sizes));
        }
        self.tick();
    }

    fn capability(&mut self, raw: &[u8], say: &mut Replies) {
        let line = raw.trim_ascii_end();
        // Some servers say only after the sign-in that they remove what was fetched (RFC 2449, 6.7).
        if line.eq_ignore_ascii_case(b"EXPIRE 0") {
            self.ahead.stop();
        }
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
        let expected = self.expected_answer(&command);
        // The server's clock starts with the first command that waits, not with each one sent ahead.
        if self.expected.is_empty() {
            self.tick();
        }
        match expected {
            // The provider was asked before.
            Expected::Ahead(_) => {}
            _ if self.is_alone => {}
            // The provider must not see the command. Its answer to NOOP keeps the answers in order.
            Expected::Instead(_) => self.ask(b"NOOP", say),
            Expected::Text(kind) if self.readable.is_some() => match kind.lines_to_ask() {
                Some(lines) => self.ask(&top_of(&command, lines), say),
                None => self.ask(line, say),
            },
            _ => self.ask(line, say),
        }
        self.has_quit = expected == Expected::Quit;
        self.expected.push_back(expected);
        if !self.is_alone {
            self.ask_ahead(say);
        }
    }

    /// Asks the server for the client.
    fn ask(&mut self, line: &[u8], say: &mut Replies) {
        say.server.extend_from_slice(line);
        say.server.extend_from_slice(b"\r\n");
        self.asked.push_back(Asker::Client);
    }

    fn expected_answer(&mut self, command: &Command<'_>) -> Expected {
        let number = || plain_number(&command.argument());
        match command.verb.as_str() {
            "RETR" if self.ahead.note_fetch(number()) => Expected::Ahead(number().unwrap_or(0)),
            "RETR" => Expected::Text(Kind::Message(command.argument().trim().parse().unwrap_or(0))),
            "STAT" => Expected::Stat,
            // With an argument LIST and UIDL have an answer of one line (RFC 1939, sections 5 and 7).
            "LIST" if !command.has_argument() => Expected::Text(Kind::Sizes),
            "UIDL" if !command.has_argument() => Expected::Text(Kind::Identifiers),
            "TOP" => Expected::Text(Kind::Top(lines_of_top(command))),
            "LANG" if !command.has_argument() => Expected::Text(Kind::Other),
            "CAPA" => Expected::Capabilities,
            "DELE" => {
                self.has_deleted = true;
                self.ahead.note_deletion(number());
                Expected::Line
            }
            "LAST" => Expected::Last(self.ahead.highest()),
            "RSET" => {
                self.ahead.reset();
                Expected::Reset
            }
            "QUIT" => {
                self.ahead.stop();
                Expected::Quit
            }
            // Extensions of Qpopper that Eudora uses: XLST lists header fields, XMIT sends a message through the POP3
            // server.
            "XTND" if command.argument().to_ascii_uppercase().starts_with("XLST") => Expected::Text(Kind::Other),
            "XTND" if command.argument().to_ascii_uppercase().starts_with("XMIT") => {
                Expected::Instead(words::SEND_BY_SMTP)
            }
            "STLS" => Expected::Instead(words::NO_TLS_NOW),
            "AUTH" | "USER" | "PASS" | "APOP" => Expected::Instead(words::SIGNED_IN_ALREADY),
            _ => Expected::Line,
        }
    }
}

/// The number of lines in a TOP; `None` if it is unreadable.
fn lines_of_top(command: &Command<'_>) -> Option<u64> {
    let argument = command.argument();
    let mut words = argument.split_ascii_whitespace();
    let lines = words.nth(1)?.parse().ok()?;
    words.next().is_none().then_some(lines)
}

/// The TOP for the server, with another number of lines.
fn top_of(command: &Command<'_>, lines: u64) -> Vec<u8> {
    let argument = command.argument();
    let number = argument.split_ascii_whitespace().next().unwrap_or_default();
    format!("TOP {number} {lines}").into_bytes()
}

/// The status of a line of the server's.
fn checked_status(raw: &[u8]) -> Result<Status, ProtocolViolation> {
    parse_status(raw)
        .ok_or_else(|| ProtocolViolation::Server(format!("\"{}\" is not an answer", printable(raw.trim_ascii_end()))))
}

fn line_too_long() -> ProtocolViolation {
    ProtocolViolation::Server(format!("a line of more than {MAX_REPLY_LINE_OCTETS} octets"))
}

fn unasked(raw: &[u8]) -> ProtocolViolation {
    ProtocolViolation::Server(format!("it said \"{}\" unasked", printable(raw.trim_ascii_end())))
}

/// What the client gets in place of a status line. Nearly every line passes as it is. One that ends with a bare LF, is too
/// long for an old client, or has other octets than printable ASCII is rewritten.
fn cleaned(raw: &[u8]) -> Option<String> {
    let is_clean =
        |text: &[u8]| raw.len() <= MAX_CLIENT_REPLY_OCTETS && text.iter().all(|b| matches!(b, b' '..=b'~' | b'\t'));
    let passes = raw.strip_suffix(b"\r\n").is_some_and(is_clean);
    (!passes).then(|| format!("{}\r\n", one_line(&printable(raw.trim_ascii_end()))))
}

/// The number in the answer to LAST (RFC 1460): `+OK 18`.
fn parse_last(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The number of a message, if it is written as ostler writes it.
fn plain_number(argument: &str) -> Option<u64> {
    argument.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == argument)
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
        // What is not heard is not kept either, however much of it comes.
        if self.is_alone {
            return Ok(Pass::Replaced(input.len()));
        }
        match self.hear_server(input, say) {
            // The client hears of it when it gets there, as if nothing had been asked ahead.
            Err(breach) if self.is_breach_ahead() => {
                (self.is_alone, self.breach) = (true, Some(breach));
                Ok(Pass::Replaced(input.len()))
            }
            heard => heard,
        }
    }

    fn say_more(&mut self, _: &mut Replies) -> Result<(), ProtocolViolation> {
        let is_due = !self.expected.is_empty() || self.is_inside_text() || self.has_nothing_to_give();
        self.breach.take_if(|_| is_due).map_or(Ok(()), Err)
    }

    fn server_ended(&mut self) -> bool {
        self.is_alone = true;
        self.outlives_server()
    }

    fn note_time(&mut self, now: Moment) {
        self.now = now;
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
        self.catch_up(say);
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
            self.command(b"QUIT", say);
            self.tick();
        }
        self.has_quit
    }

    fn clock(&self) -> (Clock, u64) {
        let clock = match self.state {
            // The client waits for nothing, whatever was asked ahead of it.
            State::Status | State::Ahead(..) if self.expected.is_empty() => Clock::ClientIdle,
            State::Text(_) | State::Ahead(..) => Clock::Message,
            State::Capabilities(_) => Clock::Reply,
            State::Status | State::Over if self.asked.is_empty() => Clock::ClientIdle,
            State::Status | State::Over => Clock::Reply,
        };
        (clock, self.ticks.count())
    }

    fn end_early(&mut self) -> bool {
        // At QUIT the server deletes.
        let is_leaving = self.has_quit && !matches!(self.state, State::Over);
        self.clock().0 != Clock::Message && !is_leaving
    }

    fn message_from(&self) -> Party {
        Party::Server
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod tests;
