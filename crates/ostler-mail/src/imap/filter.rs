//! Watches an IMAP session after the sign-in. Both directions are cut at lines and literals; the octets of literals are never
//! looked at. Commands pass, except those that would blind ostler or the program. Of a provider's answers only those pass that
//! programs of the time know: Netscape ends its session at any other.
//!
//! Not here: what the words of a session mean. The provider keeps the mailbox.

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::memchr;

use crate::client_fault::Misuse;
use crate::command::is_tls_hello;
use crate::failure::Undecided;
use crate::imap::command::{Start, is_http};
use crate::imap::folder;
use crate::imap::words::{self, tagged};
use crate::imap::{
    MAX_STATUS_LINE_OCTETS, literal_at_end, offers, split_capabilities, split_word, visible_capabilities,
};
use crate::machine::ticks::Ticks;
use crate::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use crate::progress::Progress;
use crate::wire::{Line, printable};

/// The longest line of a command, in octets. RFC 2683 asks servers for 8,000; some programs name every message of a folder
/// in one line, and Dovecot takes 64 KiB for them.
const MAX_COMMAND_OCTETS: usize = 64 * 1024;
/// The most commands that may wait for their answers. Beyond it the client's octets wait in its socket.
const MAX_OUTSTANDING_COMMANDS: usize = 512;
/// The longest announcement of a literal at the end of a line, with what names a message before it: `BODY[HEADER] {18 digits}`.
const TAIL_OCTETS: usize = 64;
/// How much of a line is needed to know what it is: `* `, a number, a word.
const MAX_HEAD_OCTETS: usize = 48;

/// Answers without a tag that pass: their word, or the word behind their number. Never ENABLED, ESEARCH, VANISHED, ID and
/// others that a provider sends to who asked for them, or by mistake.
const UNTAGGED: [&[u8]; 10] =
    [b"FLAGS", b"LIST", b"LSUB", b"SEARCH", b"STATUS", b"NAMESPACE", b"EXISTS", b"RECENT", b"EXPUNGE", b"FETCH"];
/// Those of an extension, with its capability.
const OF_EXTENSIONS: [(&[u8], &[u8]); 8] = [
    (b"SORT", b"SORT"),
    (b"THREAD", b"THREAD="),
    (b"ACL", b"ACL"),
    (b"MYRIGHTS", b"ACL"),
    (b"LISTRIGHTS", b"ACL"),
    (b"QUOTA", b"QUOTA"),
    (b"QUOTAROOT", b"QUOTA"),
    (b"PERMANENTFLAGS", b"IMAP4REV1"),
];

/// What of an answer names a whole message, before its literal.
const MESSAGES: [&[u8]; 4] = [b"BODY[]", b"RFC822", b"BODY[TEXT]", b"RFC822.TEXT"];

/// What is owed to the client, in the order of its commands.
#[derive(Debug, PartialEq, Eq)]
enum Owed {
    /// The provider's answer with this tag. `changes`: what the command does to the mailbox; `is_whole`: all of it has left.
    Answer { tag: String, changes: Option<Undecided>, is_whole: bool },
    /// The same, the last one.
    Goodbye(String),
    /// ostler's own answer, once all before it have come.
    Own(String),
}

impl Owed {
    /// What it leaves open if it never comes.
    fn undecided(&self) -> Option<Undecided> {
        match self {
            Self::Answer { changes, is_whole: true, .. } => *changes,
            Self::Answer { .. } | Self::Goodbye(_) | Self::Own(_) => None,
        }
    }
}

/// Commands that change nothing that matters if they are given again. What is not known may change something.
const HARMLESS: [&str; 20] = [
    "CAPABILITY",
    "CHECK",
    "EXAMINE",
    "FETCH",
    "GETACL",
    "GETQUOTA",
    "GETQUOTAROOT",
    "IDLE",
    "LIST",
    "LISTRIGHTS",
    "LSUB",
    "MYRIGHTS",
    "NAMESPACE",
    "NOOP",
    "SEARCH",
    "SELECT",
    "SORT",
    "STATUS",
    "THREAD",
    "UNSELECT",
];

/// What a command does to the mailbox.
fn change_of(command: &Start<'_>) -> Option<Undecided> {
    let by_uid = split_word(command.rest).0.to_ascii_uppercase();
    let verb = if command.verb == "UID" { by_uid.as_slice() } else { command.verb.as_bytes() };
    match verb {
        b"APPEND" => Some(Undecided::Store),
        b"COPY" => Some(Undecided::Copy),
        verb if HARMLESS.iter().any(|harmless| harmless.as_bytes() == verb) => None,
        _ => Some(Undecided::Change),
    }
}

/// The client waits for news (IDLE, RFC 2177). Programs of the time wait without end, and providers hang up after half an hour,
/// so ostler ends the command there in time and gives it again, under a tag of its own.
#[derive(Debug, PartialEq, Eq)]
struct Idle {
    /// The client's tag.
    tag: String,
    /// How many times the command was given again.
    renewals: u64,
    state: IdleState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdleState {
    /// The provider has not agreed to it.
    Asked,
    /// Both wait for news.
    Agreed,
    /// DONE was said, for the client.
    Ending,
    /// DONE was said, to give the command again.
    Renewing,
    /// As `Asked`, and the client knows nothing of it.
    AskedAgain,
}

impl Idle {
    /// The tag of the command that the provider has.
    fn tag_at_provider(&self) -> String {
        if self.renewals == 0 { self.tag.clone() } else { format!("{}.{}", self.tag, self.renewals) }
    }
}

/// What comes next from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FromClient {
    /// A command.
    Command,
    /// The rest of a command line, behind a literal.
    Rest { passes: bool },
    /// So many octets of a literal, at least one.
    Literal { left: u64, passes: bool },
    /// Nothing before the provider asks for the literal, or refuses it.
    Asked { octets: u64, waits: bool },
    /// The rest of a line that is too long.
    TooLong,
}

/// What comes next from the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FromServer {
    /// A line.
    Line,
    /// The rest of a line.
    Rest { passes: bool },
    /// So many octets of a literal, at least one, and then the rest of the line.
    Literal { left: u64, passes: bool },
}

impl FromClient {
    /// A literal of so many octets, then the rest of its line.
    fn literal(left: u64, passes: bool) -> Self {
        if left > 0 { Self::Literal { left, passes } } else { Self::Rest { passes } }
    }
}

impl FromServer {
    /// As [`FromClient::literal`].
    fn literal(left: u64, passes: bool) -> Self {
        if left > 0 { Self::Literal { left, passes } } else { Self::Rest { passes } }
    }
}

/// A [`Filter`] that knows lines and literals.
#[derive(Debug)]
pub struct ImapFilter {
    client: FromClient,
    server: FromServer,
    owed: VecDeque<Owed>,
    idle: Option<Idle>,
    /// The provider has ended an IDLE by itself, so the client's DONE ends nothing.
    expects_late_done: bool,
    /// The end of the part of a server's line that has passed.
    tail: Vec<u8>,
    /// The end of a client's line that is too long.
    long_line_tail: Vec<u8>,
    /// The provider's capabilities, as it has told them.
    capabilities: Vec<u8>,
    is_over: bool,
    /// ostler ends: no command begins any more.
    is_ending: bool,
    /// The provider has said that it closes the connection.
    has_said_bye: bool,
    ticks: Ticks,
    /// Messages that were fetched to their end.
    messages: u64,
    /// The literal that passes is a message.
    is_message: bool,
    /// The octets of all messages.
    message_octets: u64,
    progress: Arc<Progress>,
}

impl ImapFilter {
    /// `capabilities` are the provider's, as the sign-in has told them. Keeps `progress` up to date.
    pub fn new(capabilities: &[u8], progress: Arc<Progress>) -> Self {
        Self {
            client: FromClient::Command,
            server: FromServer::Line,
            owed: VecDeque::new(),
            idle: None,
            expects_late_done: false,
            tail: Vec::new(),
            long_line_tail: Vec::new(),
            capabilities: capabilities.to_vec(),
            is_over: false,
            is_ending: false,
            has_said_bye: false,
            ticks: Ticks::default(),
            messages: 0,
            is_message: false,
            message_octets: 0,
            progress,
        }
    }

    /// Those of the provider's capabilities that the client may see.
    pub fn visible_capabilities(&self) -> Vec<u8> {
        visible_capabilities(&self.capabilities)
    }

    /// The number of messages that were fetched to their end, and their octets.
    pub fn totals(&self) -> (u64, u64) {
        (self.messages, self.message_octets)
    }

    /// Whether the client is in the middle of an answer. Any line of ostler's would look like a part of it.
    pub fn is_inside_answer(&self) -> bool {
        self.server != FromServer::Line
    }

    /// Whether the provider has said that it closes the connection, and why.
    pub fn has_said_bye(&self) -> bool {
        self.has_said_bye
    }

    /// The answer to a LOGOUT that the provider has not answered.
    pub fn farewell(&self) -> String {
        let goodbye = if self.has_said_bye { words::only_goodbye_is_missing } else { words::goodbye };
        self.leaving().map(goodbye).unwrap_or_default()
    }

    /// The tag of the LOGOUT that waits for its answer.
    pub fn leaving(&self) -> Option<&str> {
        self.owed.iter().find_map(|owed| if let Owed::Goodbye(tag) = owed { Some(tag.as_str()) } else { None })
    }

    /// The tag of the first command that waits for its answer, and what it leaves open if none comes.
    pub fn waiting(&self) -> Option<(&str, Option<Undecided>)> {
        self.owed.iter().find_map(|owed| match owed {
            Owed::Answer { tag, .. } | Owed::Goodbye(tag) => Some((tag.as_str(), owed.undecided())),
            Owed::Own(_) => None,
        })
    }

    /// What all commands that wait for their answers leave open if none comes; the gravest of it.
    pub fn undecided(&self) -> Option<Undecided> {
        self.owed.iter().filter_map(Owed::undecided).max()
    }

    /// The command under way has left to its end.
    fn note_whole(&mut self) {
        if let Some(Owed::Answer { is_whole, .. }) = self.owed.back_mut() {
            *is_whole = true;
        }
    }

    fn tick(&mut self) {
        self.ticks.tick();
    }

    /// So many octets of a literal have passed.
    fn passed(&mut self, octets: usize) {
        if self.is_message {
            self.message_octets += octets as u64;
            self.progress.set_octets(self.message_octets);
        }
        self.ticks.pass(octets);
    }

    /// Tells the client what ostler owes it, as far as it is its turn.
    fn say_own(&mut self, say: &mut Replies) {
        while let Some(Owed::Own(reply)) = self.owed.front() {
            say.client.extend_from_slice(reply.as_bytes());
            self.owed.pop_front();
        }
    }

    fn owe(&mut self, owed: Owed, say: &mut Replies) {
        // The server's clock starts with the first command that waits.
        if self.owed.is_empty() {
            self.tick();
        }
        self.owed.push_back(owed);
        self.say_own(say);
    }

    // The client's side

    /// Takes the line of a command, its end included. What passes goes to the provider.
    fn command(&mut self, raw: &[u8], say: &mut Replies) -> Result<(), ProtocolViolation> {
        let line = without_end(raw);
        if is_http(line) {
            return Err(ProtocolViolation::Client(Misuse::Http));
        }
        let start = Start::parse(line);
        let is_done = line.eq_ignore_ascii_case(b"DONE");
        let ends_idle = self.end_idle(say);
        if is_done && (ends_idle || std::mem::take(&mut self.expects_late_done)) {
            return Ok(());
        }
        self.expects_late_done = false;
        let own = match start.tag {
            None => Some(words::NO_TAG.to_owned()),
            Some(tag) if ends_idle => Some(tagged(tag, "BAD", words::IDLE_ENDS_WITH_DONE)),
            Some(tag) => self.refusal_of(&start).map(|why| tagged(tag, "BAD", why)),
        };
        let passes = own.is_none();
        if let (true, Some(tag), "IDLE") = (passes, start.tag, start.verb.as_str()) {
            self.idle = Some(Idle { tag: tag.to_owned(), renewals: 0, state: IdleState::Asked });
        }
        match (own, start.tag) {
            (Some(reply), _) => self.owe(Owed::Own(reply), say),
            (None, Some(tag)) if start.verb == "LOGOUT" => self.owe(Owed::Goodbye(tag.to_owned()), say),
            (None, Some(tag)) => {
                self.note_folder(&start);
                let changes = change_of(&start);
                self.owe(Owed::Answer { tag: tag.to_owned(), changes, is_whole: false }, say);
            }
            (None, None) => {}
        }
        self.rest_of_command(raw, passes, say);
        Ok(())
    }

    /// Why a command does not pass, if it does not: it would blind ostler, or it is no command for one that has signed in.
    fn refusal_of(&self, command: &Start<'_>) -> Option<&'static str> {
        match command.verb.as_str() {
            "LOGIN" | "AUTHENTICATE" => Some(words::SIGNED_IN_ALREADY),
            "STARTTLS" => Some(words::NO_TLS_NOW),
            "COMPRESS" | "ENABLE" | "UNAUTHENTICATE" => Some(words::NOT_HERE),
            "IDLE" if !command.rest.is_empty() || !offers(&self.capabilities, b"IDLE") => Some(words::NOT_HERE),
            _ => None,
        }
    }

    /// Notes for the status which folder is opened. A name that comes as a literal is not looked at.
    fn note_folder(&self, command: &Start<'_>) {
        if matches!(command.verb.as_str(), "SELECT" | "EXAMINE") && literal_at_end(command.rest).is_none() {
            self.progress.open_folder(&folder::shown(command.rest.trim_ascii()));
        }
    }

    /// Says DONE for a client that waits for news, and has said something. Returns whether it was waiting.
    fn end_idle(&mut self, say: &mut Replies) -> bool {
        let Some(idle) = self.idle.as_mut().filter(|idle| idle.state == IdleState::Agreed) else { return false };
        idle.state = IdleState::Ending;
        say.server.extend_from_slice(b"DONE\r\n");
        self.tick();
        true
    }

    /// Takes a command line, or the rest of one, with the literal at its end.
    fn rest_of_command(&mut self, raw: &[u8], passes: bool, say: &mut Replies) {
        let line = without_end(raw);
        let Some(literal) = literal_at_end(line) else {
            if passes {
                say.server.extend_from_slice(line);
                say.server.extend_from_slice(b"\r\n");
                self.note_whole();
            }
            self.client = FromClient::Command;
            return;
        };
        let octets = literal.octets;
        if !passes {
            // A client that waits hears the refusal, and sends nothing.
            self.client = if literal.waits { FromClient::Command } else { FromClient::literal(octets, false) };
            return;
        }
        // RFC 7888: with LITERAL+ the provider takes literals that do not wait.
        let passes_as_it_is = literal.waits || offers(&self.capabilities, b"LITERAL+");
        if passes_as_it_is {
            say.server.extend_from_slice(line);
        } else {
            // The provider knows only literals that wait, so ostler waits in place of the client.
            say.server.extend_from_slice(&line[..line.len() - literal.mark]);
            say.server.extend_from_slice(format!("{{{octets}}}").as_bytes());
        }
        say.server.extend_from_slice(b"\r\n");
        self.client = if literal.waits || !passes_as_it_is {
            FromClient::Asked { octets, waits: literal.waits }
        } else {
            FromClient::literal(octets, true)
        };
    }

    // The provider's side

    /// The provider asks for a literal, or goes on asking.
    fn go_on(&mut self, raw: &[u8], say: &mut Replies) {
        if let Some(idle) = &mut self.idle {
            let is_heard = idle.state == IdleState::Asked;
            if is_heard || idle.state == IdleState::AskedAgain {
                idle.state = IdleState::Agreed;
            }
            return if is_heard {
                say_go_on(raw, say)
            };
        }
        // What nobody has asked for is dropped.
        let FromClient::Asked { octets, waits } = self.client else { return };
        if waits {
            say_go_on(raw, say);
        }
        self.client = FromClient::literal(octets, true);
        self.tick();
    }

    /// The tag under which the client waits for what the provider answers to `tag`. `None`: it does not wait, because the answer
    /// is to ostler's own DONE, after which the command is given again.
    fn tag_of_client(&mut self, tag: &[u8], status: &[u8], say: &mut Replies) -> Option<Vec<u8>> {
        let Some(mut idle) = self.idle.take_if(|idle| idle.tag_at_provider().as_bytes() == tag) else {
            return Some(tag.to_vec());
        };
        if idle.state == IdleState::Renewing && status.eq_ignore_ascii_case(b"OK") {
            (idle.renewals, idle.state) = (idle.renewals + 1, IdleState::AskedAgain);
            say.server.extend_from_slice(format!("{} IDLE\r\n", idle.tag_at_provider()).as_bytes());
            self.idle = Some(idle);
            self.tick();
            return None;
        }
        self.expects_late_done = idle.state != IdleState::Ending;
        Some(idle.tag.into_bytes())
    }

    /// Which of the commands that wait has this tag.
    fn position_of(&self, tag: &[u8]) -> Option<usize> {
        let is_it = |owed: &Owed| match owed {
            Owed::Answer { tag: own, .. } | Owed::Goodbye(own) => own.as_bytes() == tag,
            Owed::Own(_) => false,
        };
        self.owed.iter().position(is_it)
    }

    /// A line with a tag. Returns whether it answers a command.
    fn answered(&mut self, tag: &[u8]) -> bool {
        let Some(at) = self.position_of(tag) else { return false };
        let is_last = at + 1 == self.owed.len();
        if let Some(Owed::Goodbye(_)) = self.owed.remove(at) {
            self.is_over = true;
        }
        // Behind its answer no message of a FETCH is under way.
        if self.owed.is_empty() {
            self.progress.begin_message(0, None, None);
        }
        // The literal that the client's last command has announced is not wanted.
        if let (FromClient::Asked { octets, waits }, true) = (self.client, is_last) {
            self.client = if waits { FromClient::Command } else { FromClient::literal(octets, false) };
        }
        self.tick();
        true
    }

    /// Takes a whole line that is no text with literals: a status line, a list of capabilities, or the request to go on.
    fn status_line(&mut self, raw: &[u8], say: &mut Replies) -> Result<(), ProtocolViolation> {
        let line = without_end(raw);
        if !Line::new(line).is_clean() {
            return Err(ProtocolViolation::Server("a line with a NUL or a lone CR in it".into()));
        }
        let (first, rest) = split_word(line);
        if first.starts_with(b"+") {
            self.go_on(raw, say);
            return Ok(());
        }
        // A server at a long command says so now and then: `* OK Still here`. Cut off, the command would be given again, and
        // its copies would be there twice.
        if first == b"*" {
            self.tick();
        }
        let (word, text) = split_word(rest);
        if first == b"*" && word.eq_ignore_ascii_case(b"CAPABILITY") {
            text.clone_into(&mut self.capabilities);
            let visible = self.visible_capabilities();
            say.client.extend_from_slice(words::capabilities_of_provider(&visible).as_bytes());
            return Ok(());
        }
        let first = if first == b"*" { Some(first.to_vec()) } else { self.tag_of_client(first, word, say) };
        let is_known = |first: &Vec<u8>| first == b"*" || self.position_of(first).is_some();
        let Some(first) = first.filter(is_known) else { return Ok(()) };
        if ![&b"OK"[..], b"NO", b"BAD", b"BYE"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
            return Err(ProtocolViolation::Server("an answer that is neither OK, NO nor BAD".into()));
        }
        self.answered(&first);
        self.has_said_bye |= first == b"*" && word.eq_ignore_ascii_case(b"BYE");
        let shown = self.without_capabilities(text);
        say.client.extend_from_slice(&[first.as_slice(), b" ", word, b" ", shown, b"\r\n"].concat());
        self.say_own(say);
        Ok(())
    }

    /// The text of a status line, without the capabilities in its code.
    fn without_capabilities<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let Some((list, behind)) = split_capabilities(text) else { return text };
        list.clone_into(&mut self.capabilities);
        behind
    }

    /// Whether an answer with this word passes.
    fn passes(&self, word: &[u8]) -> bool {
        let is_it = |known: &[u8]| known.eq_ignore_ascii_case(word);
        UNTAGGED.iter().any(|known| is_it(known))
            || OF_EXTENSIONS.iter().any(|(known, capability)| is_it(known) && offers(&self.capabilities, capability))
    }

    /// Takes the next part of a line of data, of which `part` is all there is.
    fn data(&mut self, part: &[u8], passes: bool) {
        keep_end(&mut self.tail, part);
        if !part.ends_with(b"\n") {
            self.server = FromServer::Rest { passes };
            self.ticks.pass(part.len());
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        let line = without_end(&tail);
        self.server = FromServer::Line;
        if let Some(literal) = literal_at_end(line) {
            let before = line[..line.len() - literal.mark].trim_ascii_end();
            let before = before.strip_suffix(b"~").unwrap_or(before).trim_ascii_end();
            self.is_message = passes && MESSAGES.iter().any(|name| ends_with(before, name));
            if self.is_message {
                self.progress.begin_message(self.messages + 1, None, None);
            }
            self.go_on_with_literal(literal.octets, passes);
        }
        self.tick();
    }

    /// So many octets of the server's literal are left.
    fn go_on_with_literal(&mut self, left: u64, passes: bool) {
        self.server = FromServer::literal(left, passes);
        if left == 0 {
            self.messages += u64::from(std::mem::take(&mut self.is_message));
        }
    }

    /// The octets of a server's literal at the front of `input` that pass now.
    fn literal(&mut self, left: u64, passes: bool, input: &[u8]) -> usize {
        let octets = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        self.passed(octets);
        self.go_on_with_literal(left - octets as u64, passes);
        octets
    }

    /// What to do with the octets of the server at the front of `input`, up to the end of a line, of a literal, or of what has
    /// come.
    fn part(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let (octets, passes) = match self.server {
            FromServer::Line => return self.line(input, say),
            FromServer::Rest { passes } => {
                let octets = memchr(b'\n', input).map_or(input.len(), |end| end + 1);
                self.data(&input[..octets], passes);
                (octets, passes)
            }
            FromServer::Literal { left, passes } => (self.literal(left, passes, input), passes),
        };
        Ok(if passes { Pass::Forward(octets) } else { Pass::Replaced(octets) })
    }

    /// Whether a line of data that passes begins here.
    fn begins_data_that_passes(&self, input: &[u8]) -> bool {
        let head = &input[..input.len().min(MAX_HEAD_OCTETS)];
        let end = memchr(b'\n', head);
        let head = &head[..end.unwrap_or(head.len())];
        matches!(kind(head, end.is_some()), Some(Kind::Data(word)) if self.passes(word))
    }

    /// What to do with a line of the server that begins at the front of `input`.
    fn line(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let end = memchr(b'\n', input);
        let head = &input[..end.unwrap_or(input.len()).min(MAX_HEAD_OCTETS)];
        match kind(head, end.is_some()) {
            None if end.is_none() && head.len() < MAX_HEAD_OCTETS => Ok(Pass::NeedMore),
            Some(Kind::Data(word)) => {
                let passes = self.passes(word);
                let octets = end.map_or(input.len(), |end| end + 1);
                self.data(&input[..octets], passes);
                Ok(if passes { Pass::Forward(octets) } else { Pass::Replaced(octets) })
            }
            None | Some(Kind::Status) => match end {
                Some(end) if end <= MAX_STATUS_LINE_OCTETS => {
                    self.status_line(&input[..=end], say)?;
                    Ok(Pass::Replaced(end + 1))
                }
                None if input.len() <= MAX_STATUS_LINE_OCTETS => Ok(Pass::NeedMore),
                _ => Err(ProtocolViolation::Server(format!("a line of more than {MAX_STATUS_LINE_OCTETS} octets"))),
            },
        }
    }
}

/// What a line of a server is.
enum Kind<'a> {
    /// A status line, a list of capabilities, a request to go on, or no line that IMAP has. It holds no literal, whatever it
    /// ends in.
    Status,
    /// Data, of which this is the word. It may be long, and hold literals.
    Data(&'a [u8]),
}

/// The kind of a line, by its beginning. `None`: more of it is needed, if there is more.
fn kind(head: &[u8], is_whole: bool) -> Option<Kind<'_>> {
    let head = if is_whole { without_end(head) } else { head };
    let mut all = head.splitn(4, |b| *b == b' ');
    let words: [Option<&[u8]>; 4] = std::array::from_fn(|_| all.next());
    // A word is whole if something follows it.
    let word = |at: usize| words[at].filter(|_| is_whole || words[at + 1].is_some());
    if word(0)? != b"*" {
        return Some(Kind::Status);
    }
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let word = match words[1] {
        Some(_) if is_number(word(1)?) => words[2].map_or(Some(&b""[..]), |_| word(2))?,
        Some(_) => word(1)?,
        None => b"",
    };
    let of_status = [&b"OK"[..], b"NO", b"BAD", b"BYE", b"CAPABILITY"];
    Some(if of_status.iter().any(|known| word.eq_ignore_ascii_case(known)) { Kind::Status } else { Kind::Data(word) })
}

/// Tells the client to go on, in the provider's words.
fn say_go_on(raw: &[u8], say: &mut Replies) {
    say.client.extend_from_slice(b"+ ");
    say.client.extend_from_slice(printable(without_end(raw)).trim_start_matches(['+', ' ']).as_bytes());
    say.client.extend_from_slice(b"\r\n");
}

fn without_end(raw: &[u8]) -> &[u8] {
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a text ends with a word, in any letter case, and the word is not the end of a longer one.
fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else { return false };
    text[at..].eq_ignore_ascii_case(word) && (at == 0 || matches!(text[at - 1], b' ' | b'('))
}

impl Filter for ImapFilter {
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if input.is_empty() {
            return Ok(Pass::NeedMore);
        }
        if self.is_over {
            return Ok(Pass::Stop);
        }
        // Lines of data with their literals leave in one piece, as far as they have come.
        let mut at = 0;
        loop {
            match self.part(&input[at..], say)? {
                Pass::Forward(octets) => at += octets,
                // At the first part only: all of a line passes, or none of it.
                other => return Ok(other),
            }
            if at == input.len() || self.server == FromServer::Line && !self.begins_data_that_passes(&input[at..]) {
                return Ok(Pass::Forward(at));
            }
        }
    }

    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        match self.client {
            _ if input.is_empty() => Ok(Pass::NeedMore),
            FromClient::Literal { left, passes } => {
                let octets = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                self.passed(octets);
                self.client = FromClient::literal(left - octets as u64, passes);
                Ok(if passes { Pass::Forward(octets) } else { Pass::Replaced(octets) })
            }
            FromClient::Asked { .. } => Ok(Pass::NeedMore),
            FromClient::TooLong => {
                let end = memchr(b'\n', input);
                let octets = end.map_or(input.len(), |end| end + 1);
                self.drop_of_long_line(&input[..octets], end.is_some());
                Ok(Pass::Replaced(octets))
            }
            FromClient::Command | FromClient::Rest { .. } => self.client_line(input, say),
        }
    }

    fn wants_client(&self) -> bool {
        // What is said while an IDLE begins, ends or is given again waits until that is done.
        let is_at_rest = self.idle.as_ref().is_none_or(|idle| idle.state == IdleState::Agreed);
        let may_speak = match self.client {
            FromClient::Asked { .. } => false,
            FromClient::Command => !self.is_ending,
            FromClient::Rest { .. } | FromClient::Literal { .. } | FromClient::TooLong => true,
        };
        // In the middle of what the server says unasked, an answer of ostler's own would become a part of it. Behind other answers
        // it waits for their end.
        let is_between = matches!(self.server, FromServer::Line) || !self.owed.is_empty();
        may_speak && is_at_rest && is_between && self.owed.len() < MAX_OUTSTANDING_COMMANDS && self.leaving().is_none()
    }

    fn client_ended(&mut self, rest: &[u8], say: &mut Replies) -> bool {
        let start = Start::parse(rest);
        self.end_idle(say);
        if let (FromClient::Command, Some(tag), "LOGOUT") = (self.client, start.tag, start.verb.as_str()) {
            let tag = tag.to_owned();
            say.server.extend_from_slice(format!("{tag} LOGOUT\r\n").as_bytes());
            self.owe(Owed::Goodbye(tag), say);
        }
        self.leaving().is_some()
    }

    fn clock(&self) -> (Clock, u64) {
        let agreed = self.idle.as_ref().filter(|idle| idle.state == IdleState::Agreed);
        match (self.client, self.server, agreed) {
            (FromClient::Literal { .. }, _, _) | (_, FromServer::Literal { .. } | FromServer::Rest { .. }, _) => {
                (Clock::Message, self.ticks.count())
            }
            // News do not restart it: the provider counts from the command.
            (_, _, Some(idle)) => (Clock::Agreed, idle.renewals),
            _ if self.owed.is_empty() => (Clock::ClientIdle, self.ticks.count()),
            _ => (Clock::Reply, self.ticks.count()),
        }
    }

    fn end_early(&mut self) -> bool {
        self.is_ending = true;
        self.clock().0 != Clock::Message && self.undecided().is_none()
    }

    fn message_from(&self) -> Party {
        if let FromClient::Literal { .. } = self.client { Party::Client } else { Party::Server }
    }

    fn renew(&mut self, say: &mut Replies) {
        if self.end_idle(say) {
            self.idle.as_mut().into_iter().for_each(|idle| idle.state = IdleState::Renewing);
            say.client.extend_from_slice(words::STILL_HERE.as_bytes());
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl ImapFilter {
    /// Takes the command line, or the rest of one, at the front of `input`.
    fn client_line(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if self.client == FromClient::Command && is_tls_hello(input) {
            return Err(ProtocolViolation::Client(Misuse::Tls));
        }
        let end = memchr(b'\n', input);
        let octets = end.map_or(input.len(), |end| end + 1);
        if octets > MAX_COMMAND_OCTETS {
            return self.line_too_long(&input[..octets], end.is_some(), say);
        }
        let Some(end) = end else { return Ok(Pass::NeedMore) };
        let raw = &input[..=end];
        if !Line::new(without_end(raw)).is_clean() {
            return Err(ProtocolViolation::Client(Misuse::Unclean));
        }
        match self.client {
            FromClient::Rest { passes } => self.rest_of_command(raw, passes, say),
            _ => self.command(raw, say)?,
        }
        Ok(Pass::Replaced(octets))
    }

    /// A line that is too long is refused, and the session goes on. In the rest of a command the provider has a part of it,
    /// and the session is over.
    fn line_too_long(&mut self, line: &[u8], is_whole: bool, say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if is_http(line) {
            return Err(ProtocolViolation::Client(Misuse::Http));
        }
        if let FromClient::Rest { passes: true } = self.client {
            return Err(ProtocolViolation::Client(Misuse::LineTooLong(MAX_COMMAND_OCTETS)));
        }
        let tag = Start::parse(line).tag.map_or_else(|| "*".to_owned(), str::to_owned);
        if self.client == FromClient::Command {
            self.owe(Owed::Own(tagged(&tag, "BAD", words::LINE_TOO_LONG)), say);
        }
        self.drop_of_long_line(line, is_whole);
        Ok(Pass::Replaced(line.len()))
    }

    /// Drops a part of a line that is too long, and the literal that the client sends behind it without waiting: its octets are
    /// no commands.
    fn drop_of_long_line(&mut self, part: &[u8], is_end: bool) {
        keep_end(&mut self.long_line_tail, part);
        if !is_end {
            self.client = FromClient::TooLong;
            return;
        }
        let tail = std::mem::take(&mut self.long_line_tail);
        self.client = match literal_at_end(without_end(&tail)) {
            Some(literal) if !literal.waits => FromClient::literal(literal.octets, false),
            Some(_) | None => FromClient::Command,
        };
    }
}

/// Adds a part of a line to what is kept of it, which is its end.
fn keep_end(tail: &mut Vec<u8>, part: &[u8]) {
    let news = &part[part.len().saturating_sub(TAIL_OCTETS)..];
    let excess = (tail.len() + news.len()).saturating_sub(TAIL_OCTETS);
    tail.drain(..excess);
    tail.extend_from_slice(news);
}

#[cfg(test)]
mod tests;
