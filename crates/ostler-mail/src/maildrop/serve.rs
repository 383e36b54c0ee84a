//! A POP3 server whose messages are in a folder of an IMAP server. It answers one POP3 command after the other: out of the list,
//! or with what the IMAP server says.

use memchr::memchr;

use crate::command::Command;
use crate::failure::{Failure, one_line};
use crate::imap::literal_at_end;
use crate::imap::login::Status;
use crate::machine::ticks::Ticks;
use crate::machine::{Pass, ProtocolViolation, Replies};
use crate::maildrop::MAX_LINE_OCTETS;
use crate::maildrop::answer::{Answer, Items, Numbers, code_number, number, said};
use crate::maildrop::commit::{self, Commit};
use crate::maildrop::fetch::{self, Fetch};
use crate::maildrop::list::Messages;
use crate::maildrop::login::Opened;
use crate::pop3::words;
use crate::sasl::Redaction;

/// How much of a long list is said at once, in octets.
const LIST_PART_OCTETS: usize = 16 * 1024;
/// Octets of a message that are fewer than this are copied, so that a small message leaves in one piece.
const MIN_FORWARDED_OCTETS: usize = 4096;

/// The POP3 command that is being answered.
#[derive(Debug)]
enum Job {
    None,
    /// LIST or UIDL, from this place on.
    List(Column, usize),
    Fetch(Box<Fetch>),
    /// The message that was fetched is marked as read. The client has its answer.
    MarkRead,
    Noop,
    Commit(Box<Commit>),
}

/// What a list says of each message.
#[derive(Debug, Clone, Copy)]
enum Column {
    Sizes,
    Ids,
}

/// What comes next from the IMAP server.
#[derive(Debug)]
enum FromServer {
    Line,
    /// The rest of data, behind a literal.
    Rest(Literal),
    /// So many octets of a literal, at least one.
    Literal(u64, Literal),
    /// The numbers of a SEARCH.
    Numbers(Numbers),
}

/// What a literal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    /// The message that was asked for.
    Message,
    /// Something else in the data about a message.
    OfFetch,
    /// In other data.
    OfOther,
}

/// A POP3 server whose mail is in a folder of an IMAP server.
#[derive(Debug)]
pub(super) struct MaildropServer {
    opened: Opened,
    job: Job,
    from: FromServer,
    /// How many commands were said; the tag of the last one.
    commands: u64,
    /// The highest number of a message that the client has fetched.
    highest: u64,
    ticks: Ticks,
    /// Why the session cannot go on, once what came before it has been passed on.
    violation: Option<String>,
    bye: Option<String>,
    failure: Option<Failure>,
    /// What QUIT has left marked, once it is done.
    left_marks: Option<Vec<u32>>,
}

impl MaildropServer {
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            opened,
            job: Job::None,
            from: FromServer::Line,
            commands: 0,
            highest: 0,
            ticks: Ticks::default(),
            violation: None,
            bye: None,
            failure: None,
            left_marks: None,
        }
    }

    /// Whether a command is being answered, and the next one waits. In a session that cannot go on it waits for ever.
    pub(super) fn is_busy(&self) -> bool {
        self.violation.is_some() || !matches!(self.job, Job::None)
    }

    /// Whether the client's deletions are on their way.
    pub(super) fn is_committing(&self) -> bool {
        matches!(self.job, Job::Commit(_))
    }

    /// A number that changes whenever the IMAP server makes progress.
    pub(super) fn ticks(&self) -> u64 {
        self.ticks.count()
    }

    /// Why the IMAP server closes the connection, if it has said so.
    pub(super) fn bye(&self) -> Option<&str> {
        self.bye.as_deref()
    }

    /// What the server wants people to read.
    pub(super) fn take_alerts(&mut self) -> Vec<String> {
        self.opened.alerts.take()
    }

    /// What went wrong at QUIT.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// The UIDs of messages that are marked as deleted by this session or an earlier one and were not removed. `None`: this one
    /// has changed nothing of that.
    pub(super) fn left_marks(&self) -> Option<Vec<u32>> {
        match &self.job {
            Job::Commit(commit) if commit.has_marked() => Some(self.all_marks()),
            _ => self.left_marks.clone(),
        }
    }

    /// The marks of earlier sessions and of this one.
    fn all_marks(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.opened.left_marks.iter().copied().chain(self.messages().deleted_uids()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn messages(&self) -> &Messages {
        &self.opened.messages
    }

    fn tick(&mut self) {
        self.ticks.tick();
    }

    fn ask(&mut self, job: Job, command: &str, say: &mut Replies) {
        self.job = job;
        self.commands += 1;
        self.tick();
        say.server.extend_from_slice(format!("p{} {command}\r\n", self.commands).as_bytes());
    }

    // The client's side

    /// Takes a command without its line end, when no other is being answered.
    pub(super) fn command(&mut self, line: &[u8], say: &mut Replies) {
        let command = Command::parse(line);
        let reply = match command.verb.as_str() {
            "STAT" => {
                let (messages, octets) = self.messages().totals();
                words::totals(messages, octets)
            }
            "LIST" => return self.list(Column::Sizes, &command, say),
            "UIDL" => return self.list(Column::Ids, &command, say),
            "RETR" => return self.retrieve(&command, say),
            "TOP" => return self.top(&command, say),
            "DELE" => self.delete(&command),
            "RSET" => {
                self.opened.messages.restore();
                self.highest = 0;
                words::message_count(self.messages().len())
            }
            "LAST" => format!("{} {}", words::OK, self.highest),
            // The server hears it too: it would close the connection of one that is silent for long.
            "NOOP" => return self.ask(Job::Noop, "NOOP", say),
            "CAPA" => {
                say.client.extend_from_slice(words::capabilities(false).as_bytes());
                return;
            }
            "QUIT" => return self.quit(say),
            _ => words::UNKNOWN_COMMAND.to_owned(),
        };
        reply_with(&reply, say);
    }

    /// The place of the message that a command names first, with its number; else what is said in place of an answer.
    fn named(&self, command: &Command<'_>) -> Result<(usize, u64), String> {
        let number = words_of(command).next().and_then(|word| number(word.as_bytes()));
        let number = number.ok_or_else(|| words::NO_NUMBER.to_owned())?;
        let at = self.messages().find(number).ok_or_else(|| words::no_such_message(number))?;
        Ok((at, number))
    }

    /// The same, of a command that names one message and nothing else: `DELE 1 2` would delete a message less than it says.
    fn named_alone(&self, command: &Command<'_>) -> Result<(usize, u64), String> {
        if words_of(command).nth(1).is_some() { Err(words::ONE_NUMBER.to_owned()) } else { self.named(command) }
    }

    fn list(&mut self, column: Column, command: &Command<'_>, say: &mut Replies) {
        if command.has_argument() {
            let reply = match self.named_alone(command) {
                Ok((at, number)) => format!("{} {number} {}", words::OK, self.entry(column, at)),
                Err(refusal) => refusal,
            };
            return reply_with(&reply, say);
        }
        reply_with(&words::message_count(self.messages().totals().0), say);
        self.job = Job::List(column, 0);
        self.say_more(say);
    }

    fn entry(&self, column: Column, at: usize) -> String {
        match column {
            Column::Sizes => self.messages().size(at).to_string(),
            Column::Ids => format!("{}.{}", self.messages().validity(), self.messages().uid(at)),
        }
    }

    /// Says the next part of a list, if one is under way.
    pub(super) fn say_more(&mut self, say: &mut Replies) {
        let Job::List(column, from) = self.job else { return };
        let limit = say.client.len() + LIST_PART_OCTETS;
        let mut at = from;
        while at < self.messages().len() && say.client.len() < limit {
            if !self.messages().is_deleted(at) {
                let line = format!("{} {}\r\n", at + 1, self.entry(column, at));
                say.client.extend_from_slice(line.as_bytes());
            }
            at += 1;
        }
        self.job = Job::List(column, at);
        if at == self.messages().len() {
            say.client.extend_from_slice(b".\r\n");
            self.job = Job::None;
        }
        self.tick();
    }

    fn retrieve(&mut self, command: &Command<'_>, say: &mut Replies) {
        match self.named_alone(command) {
            Ok((at, number)) => self.fetch(Fetch::whole(number, self.messages().uid(at)), number, say),
            Err(refusal) => reply_with(&refusal, say),
        }
    }

    fn top(&mut self, command: &Command<'_>, say: &mut Replies) {
        let mut behind = words_of(command).skip(1);
        let lines = behind.next().and_then(|word| number(word.as_bytes())).filter(|_| behind.next().is_none());
        match (self.named(command), lines) {
            (Ok((at, number)), Some(lines)) => {
                let (uid, size) = (self.messages().uid(at), self.messages().size(at));
                self.fetch(Fetch::top(number, uid, lines, size), number, say);
            }
            (Ok(_), None) => reply_with(words::TOP_NEEDS_TWO, say),
            (Err(refusal), _) => reply_with(&refusal, say),
        }
    }

    fn fetch(&mut self, fetch: Fetch, number: u64, say: &mut Replies) {
        self.highest = self.highest.max(number);
        let command = fetch.command();
        self.ask(Job::Fetch(Box::new(fetch)), &command, say);
    }

    fn delete(&mut self, command: &Command<'_>) -> String {
        match self.named_alone(command) {
            Ok((at, number)) => {
                self.opened.messages.delete(at);
                self.highest = self.highest.max(number);
                words::message_deleted(number)
            }
            Err(refusal) => refusal,
        }
    }

    fn quit(&mut self, say: &mut Replies) {
        if self.messages().has_deleted() {
            let Opened { folder, messages, left_marks, .. } = &self.opened;
            let (commit, command) = Commit::begin(&folder.name, messages, left_marks);
            return self.ask(Job::Commit(Box::new(commit)), &command, say);
        }
        self.leave(words::BYE, say);
    }

    fn leave(&mut self, reply: &str, say: &mut Replies) {
        reply_with(reply, say);
        self.ask(Job::None, "LOGOUT", say);
    }

    // The IMAP server's side

    /// The IMAP server sent `input`, which begins with the octets left over last time. Octets that are forwarded are of a message
    /// and go to the client; then nothing else is said.
    pub(super) fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if let Some(what) = self.violation.take() {
            return Err(ProtocolViolation::Server(what));
        }
        let (mut at, was_busy) = (0, self.is_busy());
        // The answer to a command ends the look: the client's next command comes before what the server says next.
        while at < input.len() && self.is_busy() == was_busy {
            match self.part(&input[at..], say, at == 0) {
                Ok(Pass::Replaced(octets)) => at += octets,
                Ok(pass @ (Pass::Forward(_) | Pass::Announced { .. })) => return Ok(pass),
                Ok(Pass::NeedMore | Pass::Stop) => break,
                // What came before it is good, and leaves first.
                Err(what) if at > 0 => {
                    self.violation = Some(what);
                    break;
                }
                Err(what) => return Err(ProtocolViolation::Server(what)),
            }
        }
        Ok(if at > 0 { Pass::Replaced(at) } else { Pass::NeedMore })
    }

    /// Takes a line, or what has come of a literal or of a list of numbers. `is_first`: nothing that came before it is to be
    /// said yet, so that octets may pass by themselves.
    fn part(&mut self, input: &[u8], say: &mut Replies, is_first: bool) -> Result<Pass, String> {
        match &mut self.from {
            FromServer::Literal(left, literal) => {
                let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let literal = *literal;
                Ok(self.literal(literal, &input[..octets], say, is_first))
            }
            FromServer::Numbers(numbers) => {
                let Job::Commit(commit) = &mut self.job else { return Err("it lists numbers unasked".into()) };
                let messages = &self.opened.messages;
                let (octets, is_end) = numbers.take(input, |uid| commit.on_found(uid, messages));
                if is_end {
                    commit.on_found_all();
                    self.from = FromServer::Line;
                }
                self.ticks.pass(octets);
                Ok(Pass::Replaced(octets))
            }
            FromServer::Line | FromServer::Rest(_) => self.whole_line(input, say),
        }
    }

    fn literal(&mut self, literal: Literal, octets: &[u8], say: &mut Replies, is_first: bool) -> Pass {
        let pass = match &mut self.job {
            Job::Fetch(fetch) if literal == Literal::Message => {
                let passes = octets.len() >= MIN_FORWARDED_OCTETS && fetch.passes(octets);
                match (passes, is_first && say.client.is_empty()) {
                    (true, true) => {
                        fetch.passed(octets);
                        Pass::Forward(octets.len())
                    }
                    // What was said before it leaves first.
                    (true, false) => return Pass::NeedMore,
                    (false, _) => {
                        fetch.text(octets, &mut say.client);
                        Pass::Replaced(octets.len())
                    }
                }
            }
            _ => Pass::Replaced(octets.len()),
        };
        self.ticks.pass(octets.len());
        if let FromServer::Literal(left, _) = self.from {
            self.from = after_literal(left - octets.len() as u64, literal);
        }
        pass
    }

    fn whole_line(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, String> {
        if self.begins_numbers(input) {
            self.from = FromServer::Numbers(Numbers::default());
            return Ok(Pass::Replaced(SEARCH.len()));
        }
        match memchr(b'\n', input) {
            Some(end) if end <= MAX_LINE_OCTETS => {
                let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
                match self.from {
                    FromServer::Rest(literal) => self.rest(line, literal, say),
                    _ => self.line(line, say)?,
                }
                Ok(Pass::Replaced(end + 1))
            }
            None if input.len() <= MAX_LINE_OCTETS => Ok(Pass::NeedMore),
            _ => Err(format!("a line of more than {MAX_LINE_OCTETS} octets")),
        }
    }

    /// Whether the answer to a SEARCH begins here.
    fn begins_numbers(&self, input: &[u8]) -> bool {
        let is_searching = matches!(&self.job, Job::Commit(commit) if commit.is_searching());
        let is_it = input.get(..SEARCH.len()).is_some_and(|start| start.eq_ignore_ascii_case(SEARCH));
        is_searching
            && matches!(self.from, FromServer::Line)
            && is_it
            && matches!(input.get(SEARCH.len()), Some(b' ' | b'\r' | b'\n'))
    }

    /// Takes the line of an answer.
    fn line(&mut self, line: &[u8], say: &mut Replies) -> Result<(), String> {
        let answer = Answer::parse(line);
        let mut literal = Literal::OfOther;
        match answer {
            Answer::Tagged(tag, status, text) if tag == format!("p{}", self.commands).as_bytes() => {
                self.note_alert(text);
                self.answered(status, text, say)?;
            }
            Answer::Bye(text) => self.bye = Some(self.redact(&said(text))),
            Answer::Status(_, text) => {
                self.note_alert(text);
                if let Job::Commit(commit) = &mut self.job {
                    commit.on_status(text);
                } else if is_of_another(text, self.messages().validity()) {
                    // Its messages may have the UIDs of those that the client has seen.
                    return Err("another folder has come in the place of the open one".into());
                }
            }
            Answer::Fetch(_, items) => literal = self.data(Items::new(items), true, &mut say.client),
            // The list is fixed, so news of other messages changes nothing.
            Answer::Exists(_) | Answer::Data | Answer::Tagged(..) | Answer::Other => {}
        }
        // Messages that go one by one, or a server that says that it is at work.
        if matches!(self.job, Job::Commit(_)) {
            self.tick();
        }
        if let Some(octets) = answer.literal(line) {
            self.from = after_literal(octets, literal);
        }
        Ok(())
    }

    /// Takes the rest of data, behind a literal.
    fn rest(&mut self, line: &[u8], literal: Literal, say: &mut Replies) {
        let literal = match literal {
            Literal::OfOther => Literal::OfOther,
            Literal::Message | Literal::OfFetch => self.data(Items::new(line), false, &mut say.client),
        };
        self.from = match literal_at_end(line) {
            Some(next) => after_literal(next.octets, literal),
            None => FromServer::Line,
        };
    }

    /// Takes items of data about a message. Returns what the literal at their end is, if there is one.
    fn data(&mut self, items: Items<'_>, is_beginning: bool, out: &mut Vec<u8>) -> Literal {
        match &mut self.job {
            Job::Fetch(fetch) => {
                if is_beginning {
                    fetch.begin_data();
                }
                if fetch.items(items, out) { Literal::Message } else { Literal::OfFetch }
            }
            Job::Commit(commit) => {
                commit.on_data(items);
                Literal::OfFetch
            }
            Job::None | Job::List(..) | Job::MarkRead | Job::Noop => Literal::OfFetch,
        }
    }

    /// The last command is answered.
    fn answered(&mut self, status: Status, text: &[u8], say: &mut Replies) -> Result<(), String> {
        self.tick();
        match std::mem::replace(&mut self.job, Job::None) {
            Job::Fetch(fetch) => self.fetched(fetch, status, text, say)?,
            Job::Commit(commit) => self.commit(commit, status, text, say),
            Job::Noop => reply_with(words::OK, say),
            Job::MarkRead | Job::None => {}
            list @ Job::List(..) => self.job = list,
        }
        Ok(())
    }

    fn fetched(&mut self, mut fetch: Box<Fetch>, status: Status, text: &[u8], say: &mut Replies) -> Result<(), String> {
        match fetch.on_answer(status, text, &self.opened.at.host).map_err(|what| self.redact(&what))? {
            fetch::Next::Ask(command) => self.ask(Job::Fetch(fetch), &command, say),
            fetch::Next::Refused(reply) => reply_with(&self.redact(&reply), say),
            fetch::Next::End(end) => {
                say.client.extend_from_slice(end.as_bytes());
                if fetch.is_whole() && self.opened.folder.mark_read {
                    let command = format!("UID STORE {} +FLAGS.SILENT (\\Seen)", fetch.uid());
                    self.ask(Job::MarkRead, &command, say);
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, mut commit: Box<Commit>, status: Status, text: &[u8], say: &mut Replies) {
        let has_uidplus = self.opened.can_expunge_by_uid();
        match commit.on_answer(status, text, &self.opened.messages, has_uidplus) {
            commit::Next::Ask(command) => self.ask(Job::Commit(commit), &command, say),
            commit::Next::Done => {
                // Without UIDPLUS nothing was marked any more but what is removed now.
                let left = self.opened.left_marks.iter().copied().filter(|_| has_uidplus);
                self.left_marks = Some(left.filter(|uid| !self.messages().is_deleted_uid(*uid)).collect());
                let (kept, _) = self.messages().totals();
                self.leave(&words::messages_deleted(self.messages().len() - kept), say);
            }
            commit::Next::Failed(why) => {
                self.left_marks = commit.has_marked().then(|| self.all_marks());
                let why = why.map_words(|said| self.redact(said));
                let at = self.opened.at.clone();
                let failure = Failure::NotDeleted { at, folder: self.opened.folder.name.clone(), why };
                self.leave(&words::failure(&failure), say);
                self.failure = Some(failure);
            }
        }
    }

    fn note_alert(&mut self, text: &[u8]) {
        let Opened { alerts, redaction, .. } = &mut self.opened;
        alerts.note(text, |text| redacted(redaction.as_ref(), text));
    }

    fn redact(&self, text: &str) -> String {
        redacted(self.opened.redaction.as_ref(), text)
    }
}

fn redacted(redaction: Option<&Redaction>, text: &str) -> String {
    redaction.map_or_else(|| text.to_owned(), |redaction| redaction.redact(text))
}

/// Whether a status line tells a UIDVALIDITY, and not this one.
fn is_of_another(text: &[u8], validity: u32) -> bool {
    code_number(text, b"UIDVALIDITY").is_some_and(|told| told != u64::from(validity))
}

/// The beginning of the answer to a SEARCH.
const SEARCH: &[u8] = b"* SEARCH";

fn after_literal(left: u64, literal: Literal) -> FromServer {
    if left > 0 { FromServer::Literal(left, literal) } else { FromServer::Rest(literal) }
}

fn reply_with(reply: &str, say: &mut Replies) {
    say.client.extend_from_slice(format!("{}\r\n", one_line(reply)).as_bytes());
}

/// The words of a command's argument.
fn words_of<'c>(command: &'c Command<'_>) -> impl Iterator<Item = &'c str> {
    let argument = std::str::from_utf8(command.rest).unwrap_or_default();
    argument.split_ascii_whitespace()
}
