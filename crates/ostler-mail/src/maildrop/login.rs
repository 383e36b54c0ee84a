//! Signs in wherever an account's mail is fetched from: at a POP3 server, or at an IMAP server, where it then opens the folder
//! and takes the list of its messages.

use std::sync::Arc;

use crate::account::Folder;
use crate::failure::{Failure, ServerAddr, Waiting};
use crate::imap;
use crate::imap::folder;
use crate::imap::login::{self as imap_login, ImapLogin, Status};
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
    /// The messages up to this number, one of the commands that ask for them.
    Listing(u32),
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
    /// UID and size of each message that was told of, in the order in which the server told.
    told: Vec<(u32, u64)>,
    messages: Messages,
    /// Lines without a tag since the last command that say nothing of a message that was asked for.
    others: usize,
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
            messages: Messages::default(),
            others: 0,
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
        let answer = Answer::parse(line.bytes());
        if answer.literal(line.bytes()).is_some() {
            return Err(self.at().violation("it sent more of a message than it was asked for"));
        }
        match answer {
            Answer::Tagged(tag, status, text) if tag == format!("f{}", self.commands).as_bytes() => {
                return self.tagged(status, text);
            }
            Answer::Bye(text) => return Err(self.service_refused(text)),
            Answer::Status(_, text) => {
                let validity = code_number(text, b"UIDVALIDITY").and_then(|number| u32::try_from(number).ok());
                self.validity = validity.or(self.validity);
                self.other()?;
            }
            // Messages that come after the list was begun are not in it.
            Answer::Exists(count) if matches!(self.state, State::Opening) => self.exists = count,
            Answer::Fetch(items) => {
                if !self.take(items) {
                    self.other()?;
                }
            }
            // Exchange says stray lines after a command has been answered.
            Answer::Tagged(..) | Answer::Exists(_) | Answer::Data | Answer::Other => self.other()?,
        }
        Ok(Step::Wait)
    }

    fn other(&mut self) -> Result<(), Failure> {
        self.others += 1;
        if self.others > MAX_REPLY_LINES {
            return Err(self.at().violation("its answer does not end"));
        }
        Ok(())
    }

    /// Takes the data about a message, if it has what was asked for.
    fn take(&mut self, items: &[u8]) -> bool {
        let (mut uid, mut size) = (None, None);
        for (name, value) in Items::new(items) {
            match value {
                Value::Number(number) if name.eq_ignore_ascii_case(b"UID") => uid = u32::try_from(number).ok(),
                Value::Number(number) if name.eq_ignore_ascii_case(b"RFC822.SIZE") => size = Some(number),
                _ => {}
            }
        }
        // No more than were asked for, whatever the server sends.
        let has_room = self.told.len() < MESSAGES_PER_COMMAND as usize && matches!(self.state, State::Listing(_));
        match (uid, size) {
            (Some(uid), Some(size)) if has_room => {
                self.told.push((uid, size));
                true
            }
            _ => false,
        }
    }

    fn tagged(&mut self, status: Status, text: &[u8]) -> Result<Step<Ready>, Failure> {
        match (&self.state, status) {
            (State::Opening, Status::Ok) => self.opened(),
            (State::Opening | State::Listing(_), Status::No | Status::Bad) if is_for_now(text) => {
                let said = self.login.server().redact(&said(text));
                Err(Failure::SignInPostponed { at: self.at().clone(), said })
            }
            (State::Opening, Status::No | Status::Bad) => Err(Failure::NoFolder {
                at: self.at().clone(),
                folder: self.folder.name.clone(),
                said: self.login.server().redact(&said(text)),
            }),
            (State::Listing(last), Status::Ok) => {
                let last = *last;
                self.keep()?;
                Ok(self.ask_for_more(last))
            }
            (State::Listing(_), Status::No | Status::Bad) => {
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
        let next = self.exists.min(last.saturating_add(MESSAGES_PER_COMMAND));
        self.send(State::Listing(next), &format!("FETCH {}:{next} (UID RFC822.SIZE)", last + 1))
    }

    /// Keeps the messages that the last command has brought. In the order of their UIDs, which is that of their numbers.
    fn keep(&mut self) -> Result<(), Failure> {
        let mut told = std::mem::take(&mut self.told);
        told.sort_unstable();
        // Told twice, as servers may.
        told.dedup_by_key(|(uid, _)| *uid);
        if told.into_iter().all(|(uid, size)| self.messages.push(uid, size)) {
            return Ok(());
        }
        Err(self.at().violation("the UIDs of its messages are not in order"))
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
            State::Opening | State::Listing(_) => Waiting::Answer,
        }
    }

    fn line_limit(&self) -> usize {
        match self.state {
            State::SigningIn => MAX_REPLY_LINE_OCTETS,
            State::Opening | State::Listing(_) => MAX_LINE_OCTETS,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        match self.state {
            State::SigningIn => {
                let step = self.login.on_line(line)?;
                Ok(self.after(step))
            }
            State::Opening | State::Listing(_) => self.answer(line),
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
