//! Signs in wherever an account's mail is fetched from: at a POP3 server, or at an IMAP server, where it then opens the folder
//! and takes the list of its messages.

use std::sync::Arc;

use crate::account::Folder;
use crate::failure::{Failure, ServerAddr, Waiting};
use crate::imap::folder;
use crate::imap::login::{self as imap_login, ImapLogin, Status};
use crate::imap::{self, Alerts, literal_at_end};
use crate::machine::server::ServerState;
use crate::machine::{Login, Outgoing, Step};
use crate::maildrop::MAX_LINE_OCTETS;
use crate::maildrop::answer::{Answer, Items, Value, code_number, has_code, quoted, said};
use crate::maildrop::list::Messages;
use crate::pop3::login::{self as pop3_login, Pop3Login};
use crate::pop3::words;
use crate::sasl::{Redaction, Way};
use crate::secret::Secret;
use crate::wire::{Line, MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINES};

/// The most messages of a folder that is served. Their list takes 24 MB.
const MAX_MESSAGES: u32 = 2_000_000;
/// How many messages one command asks for. Each command has a time limit of its own, so that a large folder on a slow line is
/// no time-out; at 50 octets a message this is a quarter of a megabyte.
const MESSAGES_PER_COMMAND: u32 = 5000;
/// The size of a message that the server does not tell. Not 0: programs take that for a message that is broken or not there.
const UNKNOWN_SIZE_OCTETS: u64 = 1;
/// CR LF.
const LINE_END_OCTETS: u64 = 2;
/// In how many pieces a server may tell of a message: UID and size apart, and each twice.
const MAX_PIECES_PER_MESSAGE: usize = 4;

/// An opened maildrop.
#[derive(Debug)]
pub struct Opened {
    /// What the server offers.
    pub capabilities: Vec<u8>,
    /// The server.
    pub at: ServerAddr,
    /// The folder.
    pub folder: Folder,
    /// Its messages.
    pub messages: Messages,
    /// Takes the secret out of what the server says.
    pub redaction: Option<Redaction>,
    /// What the server wants people to read.
    pub alerts: Alerts,
    /// The UIDs of messages with marks of deletion that sessions of ostler's have left which broke off.
    pub left_marks: Vec<u32>,
}

impl Opened {
    /// What the client reads when it is signed in.
    pub fn welcome(&self) -> String {
        words::message_count(self.messages.len())
    }

    /// Whether the server can remove the named messages and no other (RFC 4315).
    pub fn can_expunge_by_uid(&self) -> bool {
        imap::offers(&self.capabilities, b"UIDPLUS")
    }
}

/// What is known once the sign-in is done.
#[derive(Debug)]
pub enum Ready {
    /// At a POP3 server.
    Pop3(pop3_login::Ready),
    /// At an IMAP server, with how it was given name and password.
    Imap(Box<Opened>, Option<Way>),
}

/// A [`Login`] that ends with a maildrop.
pub enum MaildropLogin {
    /// At a POP3 server.
    Pop3(Box<Pop3Login>),
    /// At an IMAP server.
    Imap(Box<FolderLogin>),
}

impl MaildropLogin {
    /// What signs in at a POP3 server.
    pub fn at_pop3(login: Pop3Login) -> Self {
        Self::Pop3(Box::new(login))
    }

    /// What signs in at an IMAP server, and then opens a folder.
    pub fn at_imap(login: ImapLogin, folder: Folder) -> Self {
        Self::Imap(Box::new(FolderLogin::new(login, folder)))
    }
}

/// The same call for both kinds.
macro_rules! either {
    ($self:ident, $login:ident => $call:expr) => {
        match $self {
            Self::Pop3($login) => $call,
            Self::Imap($login) => $call,
        }
    };
}

impl Login for MaildropLogin {
    type Ready = Ready;

    fn server(&self) -> &ServerState {
        either!(self, login => login.server())
    }

    fn server_mut(&mut self) -> &mut ServerState {
        either!(self, login => login.server_mut())
    }

    fn waiting(&self) -> Waiting {
        either!(self, login => login.waiting())
    }

    fn line_limit(&self) -> usize {
        either!(self, login => login.line_limit())
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        match self {
            Self::Pop3(login) => Ok(login.on_line(line)?.map(Ready::Pop3)),
            Self::Imap(login) => login.on_line(line),
        }
    }

    fn on_unasked(&mut self, line: &Line) -> Result<(), Failure> {
        either!(self, login => login.on_unasked(line))
    }

    fn after_tls(&mut self) -> Step<Ready> {
        match self {
            Self::Pop3(login) => login.after_tls().map(Ready::Pop3),
            Self::Imap(login) => login.after_tls(),
        }
    }

    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Ready> {
        match self {
            Self::Pop3(login) => login.after_secret(secret).map(Ready::Pop3),
            Self::Imap(login) => login.after_secret(secret),
        }
    }

    fn restart(&mut self) {
        either!(self, login => login.restart());
    }
}

/// What the server owes next.
enum State {
    /// Whatever the sign-in waits for.
    SigningIn,
    /// The answer to EXAMINE or SELECT.
    Opening,
    /// The messages from one number to another, one of the commands that ask for them.
    Listing { first: u32, last: u32 },
}

/// What the server has told of a message.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    uid: Option<u32>,
    size: Option<u64>,
}

/// A [`Login`] at an IMAP server that ends with the messages of a folder.
pub struct FolderLogin {
    login: ImapLogin,
    folder: Folder,
    state: State,
    /// How many commands were said after the sign-in; the tag of the last one.
    commands: u32,
    ready: imap_login::Ready,
    /// What the server has told of the folder.
    exists: u32,
    validity: Option<u32>,
    /// What was told of each message that the command under way asks for. A server may tell it in pieces.
    told: Vec<Told>,
    /// How many such pieces have come.
    pieces: usize,
    messages: Messages,
    /// Lines without a tag since the last command that say nothing of a message that was asked for.
    others: usize,
    /// So many octets of a literal are skipped before the rest of its line.
    literal: Option<u64>,
}

impl FolderLogin {
    fn new(login: ImapLogin, folder: Folder) -> Self {
        Self {
            login,
            folder,
            state: State::SigningIn,
            commands: 0,
            ready: imap_login::Ready::default(),
            exists: 0,
            validity: None,
            told: Vec::new(),
            pieces: 0,
            messages: Messages::default(),
            others: 0,
            literal: None,
        }
    }

    fn at(&self) -> &ServerAddr {
        &self.login.server().at
    }

    fn send(&mut self, next: State, command: &str) -> Step<Ready> {
        self.state = next;
        self.commands += 1;
        self.others = 0;
        Step::Send(Outgoing::line(&format!("f{} {command}", self.commands)))
    }

    /// Goes on where the sign-in has ended.
    fn after(&mut self, step: Step<imap_login::Ready>) -> Step<Ready> {
        match step {
            Step::Done(ready) => {
                self.ready = ready;
                let command = if self.folder.mark_read { "SELECT" } else { "EXAMINE" };
                let name = folder::quoted(&self.folder.name);
                self.send(State::Opening, &format!("{command} {name}"))
            }
            Step::Send(outgoing) => Step::Send(outgoing),
            Step::Wait => Step::Wait,
            Step::StartTls => Step::StartTls,
            Step::WantSecret => Step::WantSecret,
        }
    }

    /// A line of the server after the sign-in.
    fn answer(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        if let Some(left) = self.literal.take() {
            return self.skip(left, line);
        }
        let answer = Answer::parse(line.bytes());
        self.literal = answer.literal(line.bytes());
        match answer {
            Answer::Fetch(..) if self.literal.is_some() => {
                return Err(self.at().violation("it sent more of a message than it was asked for"));
            }
            Answer::Tagged(tag, status, text) if tag == format!("f{}", self.commands).as_bytes() => {
                return self.tagged(status, text);
            }
            Answer::Bye(text) => return Err(self.service_refused(text)),
            Answer::Status(_, text) => {
                let server = self.login.server();
                self.ready.alerts.note(text, |text| server.redact(text));
                let validity = code_number(text, b"UIDVALIDITY").and_then(|number| u32::try_from(number).ok());
                self.validity = validity.or(self.validity);
                self.other()?;
            }
            // Messages that come after the list was begun are not in it.
            Answer::Exists(count) if matches!(self.state, State::Opening) => self.exists = count,
            Answer::Fetch(message, items) => {
                if !self.take(message, items) {
                    self.other()?;
                }
            }
            // Exchange says stray lines after a command has been answered.
            Answer::Tagged(..) | Answer::Exists(_) | Answer::Data | Answer::Other => self.other()?,
        }
        Ok(Step::Wait)
    }

    /// Takes a line with octets of a literal at its front, of which so many are left. Nothing that has one was asked for, but a
    /// server may tell of a folder whose name comes so.
    fn skip(&mut self, left: u64, line: &Line) -> Result<Step<Ready>, Failure> {
        let octets = line.bytes();
        let behind = usize::try_from(left).ok().and_then(|left| octets.get(left..));
        self.literal = match behind {
            Some(rest) => literal_at_end(rest).map(|literal| literal.octets),
            None => Some(left.saturating_sub(octets.len() as u64 + LINE_END_OCTETS)),
        };
        self.other()?;
        Ok(Step::Wait)
    }

    fn other(&mut self) -> Result<(), Failure> {
        self.others += 1;
        if self.others > MAX_REPLY_LINES {
            return Err(self.at().violation("its answer does not end"));
        }
        Ok(())
    }

    /// Takes the data about the message of this number, if it has something of what was asked for.
    fn take(&mut self, message: u64, items: &[u8]) -> bool {
        let State::Listing { first, .. } = self.state else { return false };
        let at = message.checked_sub(first.into()).and_then(|at| usize::try_from(at).ok());
        let Some(told) = at.and_then(|at| self.told.get_mut(at)) else { return false };
        let mut is_news = false;
        for (name, value) in Items::new(items) {
            match value {
                Value::Number(number) if name.eq_ignore_ascii_case(b"UID") => {
                    told.uid = u32::try_from(number).ok();
                    is_news = true;
                }
                Value::Number(number) if name.eq_ignore_ascii_case(b"RFC822.SIZE") => {
                    told.size = Some(number);
                    is_news = true;
                }
                _ => {}
            }
        }
        self.pieces += usize::from(is_news);
        is_news && self.pieces <= MAX_PIECES_PER_MESSAGE * self.told.len()
    }

    fn tagged(&mut self, status: Status, text: &[u8]) -> Result<Step<Ready>, Failure> {
        match (&self.state, status) {
            (State::Opening, Status::Ok) => self.opened(),
            // BAD says nothing of the folder: Exchange says it to a user whose mailbox it cannot reach just now.
            (State::Opening | State::Listing { .. }, status) if status == Status::Bad || is_for_now(text) => {
                let said = self.login.server().redact(&said(text));
                Err(Failure::SignInPostponed { at: self.at().clone(), said })
            }
            (State::Opening, _) => Err(Failure::NoFolder {
                at: self.at().clone(),
                folder: self.folder.name.clone(),
                said: self.login.server().redact(&said(text)),
            }),
            (State::Listing { last, .. }, Status::Ok) => {
                let last = *last;
                self.keep()?;
                Ok(self.ask_for_more(last))
            }
            (State::Listing { .. }, _) => {
                let said = self.login.server().redact(&said(text));
                Err(self.at().violation(format!("it gives no list of messages: \"{said}\"")))
            }
            (State::SigningIn, _) => Err(self.at().violation(quoted(text))),
        }
    }

    fn opened(&mut self) -> Result<Step<Ready>, Failure> {
        let validity = self.validity.ok_or_else(|| self.at().violation("it does not say UIDVALIDITY"))?;
        if self.exists > MAX_MESSAGES {
            return Err(self.at().violation(format!("it says that the folder has {} messages", self.exists)));
        }
        self.messages = Messages::new(validity);
        Ok(self.ask_for_more(0))
    }

    /// Asks for the messages behind number `last`, or ends.
    fn ask_for_more(&mut self, last: u32) -> Step<Ready> {
        if last >= self.exists {
            return self.done();
        }
        let (first, last) = (last + 1, self.exists.min(last.saturating_add(MESSAGES_PER_COMMAND)));
        self.told = vec![Told::default(); (last + 1 - first) as usize];
        self.pieces = 0;
        self.send(State::Listing { first, last }, &format!("FETCH {first}:{last} (UID RFC822.SIZE)"))
    }

    /// Keeps the messages that the last command has brought. Of one that is gone meanwhile nothing was told. One without a size
    /// is in the list all the same: left out, it would never be fetched, and nobody would know.
    fn keep(&mut self) -> Result<(), Failure> {
        for told in std::mem::take(&mut self.told) {
            match told {
                Told { uid: Some(uid), size } => {
                    if !self.messages.push(uid, size.unwrap_or(UNKNOWN_SIZE_OCTETS)) {
                        return Err(self.at().violation("the UIDs of its messages are not in order"));
                    }
                }
                Told { uid: None, size: Some(_) } => {
                    return Err(self.at().violation("it gives a message without its UID"));
                }
                Told { uid: None, size: None } => {}
            }
        }
        Ok(())
    }

    fn done(&mut self) -> Step<Ready> {
        let mut messages = std::mem::take(&mut self.messages);
        messages.finish();
        let opened = Opened {
            capabilities: std::mem::take(&mut self.ready.capabilities),
            at: self.at().clone(),
            folder: self.folder.clone(),
            messages,
            redaction: self.login.redaction(),
            alerts: std::mem::take(&mut self.ready.alerts),
            left_marks: Vec::new(),
        };
        Step::Done(Ready::Imap(Box::new(opened), self.ready.way))
    }

    fn service_refused(&self, text: &[u8]) -> Failure {
        Failure::ServiceRefused { at: self.at().clone(), said: self.login.server().redact(&said(text)) }
    }
}

/// Whether a refusal has a code that means trouble that passes (RFC 5530).
fn is_for_now(text: &[u8]) -> bool {
    [&b"UNAVAILABLE"[..], b"INUSE", b"SERVERBUG", b"LIMIT", b"OVERQUOTA", b"EXPUNGEISSUED", b"CONTACTADMIN"]
        .iter()
        .any(|code| has_code(text, code))
}

impl Login for FolderLogin {
    type Ready = Ready;

    fn server(&self) -> &ServerState {
        self.login.server()
    }

    fn server_mut(&mut self) -> &mut ServerState {
        self.login.server_mut()
    }

    fn waiting(&self) -> Waiting {
        match self.state {
            State::SigningIn => self.login.waiting(),
            State::Opening | State::Listing { .. } => Waiting::Answer,
        }
    }

    fn line_limit(&self) -> usize {
        match self.state {
            State::SigningIn => MAX_REPLY_LINE_OCTETS,
            State::Opening | State::Listing { .. } => MAX_LINE_OCTETS,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        match self.state {
            State::SigningIn => {
                let step = self.login.on_line(line)?;
                Ok(self.after(step))
            }
            State::Opening | State::Listing { .. } => self.answer(line),
        }
    }

    fn on_unasked(&mut self, line: &Line) -> Result<(), Failure> {
        match self.state {
            State::SigningIn => self.login.on_unasked(line),
            State::Opening | State::Listing { .. } => {
                imap_login::hear_unasked(self.login.server(), &mut self.ready.alerts, line)
            }
        }
    }

    fn after_tls(&mut self) -> Step<Ready> {
        let step = self.login.after_tls();
        self.after(step)
    }

    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Ready> {
        let step = self.login.after_secret(secret);
        self.after(step)
    }

    fn restart(&mut self) {
        self.login.restart();
        self.state = State::SigningIn;
    }
}
