//! Signs in at an IMAP server: greeting, STARTTLS, CAPABILITY, LOGIN; AUTHENTICATE where LOGIN is disabled or is refused for
//! another reason than the password. LOGIN comes first because iCloud refuses AUTHENTICATE PLAIN where LOGIN works.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::account::{Security, Server};
use crate::failure::{Failure, Waiting};
use crate::imap::command::quote;
use crate::imap::{self, Alerts, split_capabilities, split_code, split_word, words_of};
use crate::machine::server::{ServerState, told};
use crate::machine::{Login, Outgoing, Step};
use crate::sasl::{self, Exchange, Given, Mechanism, Refusal, Way};
use crate::secret::Secret;
use crate::wire::{Line, MAX_REPLY_LINES};

/// What is known once the sign-in is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    /// What the server offers to a client that has signed in, as it spells it.
    pub capabilities: Vec<u8>,
    /// How the server was given name and password, for the next sign-in; `None` if it wanted neither.
    pub way: Option<Way>,
    /// What the server wants people to read.
    pub alerts: Alerts,
}

impl Ready {
    /// Whether the server offers this.
    pub fn offers(&self, capability: &str) -> bool {
        imap::offers(&self.capabilities, capability.as_bytes())
    }

    /// The SASL mechanisms that the server offers, as it spells them.
    pub fn mechanisms(&self) -> Vec<String> {
        mechanisms(&self.capabilities)
    }
}

fn mechanisms(capabilities: &[u8]) -> Vec<String> {
    let names = words_of(capabilities).filter_map(|word| {
        let name = word.get(..5).filter(|start| start.eq_ignore_ascii_case(b"AUTH=")).map(|_| &word[5..]);
        name.map(|name| String::from_utf8_lossy(name).into_owned())
    });
    names.collect()
}

/// What the server owes next.
enum State {
    Greeting,
    StartTls,
    Capability,
    /// Nothing: ostler waits for the secret, to give it in this way.
    Secret(Way),
    /// The answer to LOGIN, or `+` for the parts of it that are left, the next one last.
    Login(Vec<Zeroizing<Vec<u8>>>),
    Authenticate(Exchange),
    /// What it offers now that ostler is signed in this way.
    CapabilityAfter(Way),
}

/// A [`Login`] that ends with what the server offers.
pub struct ImapLogin {
    server: ServerState,
    state: State,
    /// How many commands were said; the tag of the last one.
    commands: u32,
    /// What the server has told of its capabilities, since the sign-in has begun or before.
    capabilities: Vec<u8>,
    /// What it offered before the sign-in.
    offered: Vec<u8>,
    /// Lines without a tag since the last command.
    untagged: usize,
    /// What the server wants people to read.
    alerts: Alerts,
    /// The sign-in ends with what the server offers, before any user name is said.
    asks_only: bool,
}

/// The status of a line of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    No,
    Bad,
}

impl ImapLogin {
    /// A sign-in at `server`.
    pub fn new(server: &Server) -> Self {
        Self {
            server: ServerState::new(server),
            state: State::Greeting,
            commands: 0,
            capabilities: Vec::new(),
            offered: Vec::new(),
            untagged: 0,
            alerts: Alerts::default(),
            asks_only: false,
        }
    }

    /// Asks a server what it offers, and ends before any user name is said.
    pub fn asking(server: &Server) -> Self {
        Self { asks_only: true, ..Self::new(server) }
    }

    /// The beginning of a command: a new tag, and a blank.
    fn tag(&mut self) -> String {
        self.commands += 1;
        self.untagged = 0;
        format!("o{} ", self.commands)
    }

    fn send(&mut self, next: State, command: &str) -> Step<Ready> {
        self.state = next;
        let line = self.tag() + command;
        Step::Send(Outgoing::line(&line))
    }

    fn greeting(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        let (star, rest) = split_word(line.bytes());
        let (word, text) = split_word(rest);
        match word.to_ascii_uppercase().as_slice() {
            b"OK" if star == b"*" => {
                self.note_alert(text);
                self.note_capabilities_in(text);
                let is_told = !self.capabilities.is_empty() && self.server.at.security != Security::StartTls;
                if is_told { self.after_asking() } else { Ok(self.after_greeting()) }
            }
            // It means a session that someone else has opened.
            b"PREAUTH" if star == b"*" => Err(self.server.at.violation("it says that someone has signed in already")),
            b"BYE" if star == b"*" => Err(service_refused(&self.server, text)),
            _ => Err(Failure::WrongProtocol { at: self.server.at.clone(), said: line.printable() }),
        }
    }

    fn after_greeting(&mut self) -> Step<Ready> {
        if self.server.at.security == Security::StartTls && !self.server.is_in_tls {
            return self.send(State::StartTls, "STARTTLS");
        }
        self.send(State::Capability, "CAPABILITY")
    }

    /// Signs in by the next way that both sides have.
    fn try_next_way(&mut self) -> Result<Step<Ready>, Failure> {
        let mechanisms = mechanisms(&self.offered);
        let takes_login = !self.server.has_token() && !imap::offers(&self.offered, b"LOGINDISABLED");
        let login = takes_login.then_some(Way::UserPass);
        let offered: Vec<Way> = self.server.mechanisms(&mechanisms).into_iter().map(Way::Sasl).collect();
        // In clear, the mechanism that does not send the password comes before LOGIN.
        let digest = Way::Sasl(Mechanism::CramMd5);
        let first = offered.contains(&digest).then_some(digest).filter(|_| !self.server.is_in_tls);
        let both = first.into_iter().chain(login).chain(offered);
        match (self.server.ways.next(both), self.server.secret()) {
            (Some(way), None) => {
                self.state = State::Secret(way);
                Ok(Step::WantSecret)
            }
            (Some(way), Some(secret)) => Ok(self.say_secret(way, &secret)),
            (None, _) => Err(self.server.no_way_left(&mechanisms)),
        }
    }

    fn say_secret(&mut self, way: Way, secret: &Arc<Secret>) -> Step<Ready> {
        match way.mechanism() {
            None => self.say_login(secret),
            Some(mechanism) => {
                let exchange = self.server.begin(mechanism, Arc::clone(secret));
                // In two lines: not every server takes an initial response (RFC 4959).
                self.send(State::Authenticate(exchange), &format!("AUTHENTICATE {}", mechanism.name()))
            }
        }
    }

    /// LOGIN, with name and password in quotes, or as literals where they have letters beyond ASCII.
    fn say_login(&mut self, secret: &Secret) -> Step<Ready> {
        let mut parts = vec![Zeroizing::new((self.tag() + "LOGIN").into_bytes())];
        for text in [self.server.user().as_bytes(), secret.expose()] {
            let last = parts.last_mut().unwrap_or_else(|| unreachable!("there is one"));
            last.push(b' ');
            match quote(text) {
                Some(quoted) => last.extend_from_slice(&quoted),
                None => {
                    last.extend_from_slice(format!("{{{}}}", text.len()).as_bytes());
                    parts.push(Zeroizing::new(text.to_vec()));
                }
            }
        }
        parts.reverse();
        let tag = format!("o{}", self.commands);
        self.say_part(parts, format!("{tag} LOGIN ***"))
    }

    /// Says the next part of LOGIN.
    fn say_part(&mut self, mut parts: Vec<Zeroizing<Vec<u8>>>, shown: String) -> Step<Ready> {
        let part = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            self.server.note_secret_given();
        }
        self.state = State::Login(parts);
        Step::Send(Outgoing::secret_line(&[&part], shown))
    }

    /// Notes the capabilities in the code of a status line, if there are some.
    fn note_capabilities_in(&mut self, text: &[u8]) {
        if let Some((list, _)) = split_capabilities(text) {
            self.capabilities = list.to_vec();
        }
    }

    fn note_alert(&mut self, text: &[u8]) {
        let server = &self.server;
        self.alerts.note(text, |text| server.redact(text));
    }

    fn untagged(&mut self, text: &[u8]) -> Result<Step<Ready>, Failure> {
        let (word, rest) = split_word(text);
        match word.to_ascii_uppercase().as_slice() {
            b"CAPABILITY" => self.capabilities = rest.to_vec(),
            _ => hear_news(&self.server, &mut self.alerts, text)?,
        }
        self.untagged += 1;
        if self.untagged > MAX_REPLY_LINES {
            return Err(self.server.at.violation("its answer does not end"));
        }
        Ok(Step::Wait)
    }

    fn nonsense(&self, line: &Line) -> Failure {
        self.server.at.violation(format!("\"{}\" is not an answer", self.shown(line)))
    }

    /// The answer to the command under way.
    fn tagged(&mut self, state: State, line: &Line, status: Status, text: &[u8]) -> Result<Step<Ready>, Failure> {
        match (state, status) {
            (State::StartTls, Status::Ok) => {
                // What was offered in clear may be forged.
                self.capabilities.clear();
                Ok(Step::StartTls)
            }
            (State::StartTls, _) => Err(Failure::NoStartTls { at: self.server.at.clone() }),
            // A server that cannot say what it offers has LOGIN, as all had once.
            (State::Capability, _) => self.after_asking(),
            (State::Login(_), Status::Ok) => Ok(self.signed_in(Way::UserPass, text)),
            (State::Authenticate(exchange), Status::Ok) => Ok(self.signed_in(Way::Sasl(exchange.mechanism()), text)),
            (State::Login(_), status) => self.refused(Way::UserPass, true, status, text),
            (State::Authenticate(exchange), status)
                if self.server.has_token() && exchange.given() != Given::Nothing =>
            {
                self.refused_token(&exchange, status, text)
            }
            (State::Authenticate(exchange), status) => {
                let way = Way::Sasl(exchange.mechanism());
                self.refused(way, exchange.given() != Given::Nothing, status, text)
            }
            (State::CapabilityAfter(way), _) => Ok(self.done(Some(way))),
            (State::Greeting | State::Secret(_), _) => Err(self.nonsense(line)),
        }
    }

    fn after_asking(&mut self) -> Result<Step<Ready>, Failure> {
        if self.asks_only || !self.server.wants_sign_in() {
            return Ok(self.done(None));
        }
        // What is offered before the sign-in says little about what is offered after it.
        self.offered = std::mem::take(&mut self.capabilities);
        self.try_next_way()
    }

    fn signed_in(&mut self, way: Way, text: &[u8]) -> Step<Ready> {
        self.note_alert(text);
        self.note_capabilities_in(text);
        if self.capabilities.is_empty() {
            self.send(State::CapabilityAfter(way), "CAPABILITY")
        } else {
            self.done(Some(way))
        }
    }

    fn done(&mut self, way: Option<Way>) -> Step<Ready> {
        Step::Done(Ready { capabilities: self.capabilities.clone(), way, alerts: std::mem::take(&mut self.alerts) })
    }

    /// The words of a refusal, with what the server has wanted people to read before it.
    fn said(&mut self, text: &[u8]) -> String {
        let said = self.server.redact(&Line::new(text).printable());
        told(&said, &self.alerts.take().join("; "))
    }

    /// The server refuses the password, which is the end, or the way of giving it.
    fn refused(&mut self, way: Way, had_name: bool, status: Status, text: &[u8]) -> Result<Step<Ready>, Failure> {
        let at = self.server.at.clone();
        let said = self.said(text);
        match meaning_of(status, text, had_name) {
            Refusal::Auth => return Err(self.server.refused_credentials(said)),
            Refusal::InUse => return Err(Failure::InUse { at, said }),
            Refusal::LoginDelay => return Err(Failure::LoginDelay { at, said }),
            Refusal::Temporary => return Err(Failure::SignInPostponed { at, said }),
            Refusal::WantsTls => self.server.ways.refuse_passwords(said.clone()),
            Refusal::Way => {}
        }
        self.server.refuse(way, false, said);
        self.try_next_way()
    }

    /// The server refuses the token, or cannot judge it just now.
    fn refused_token(&mut self, exchange: &Exchange, status: Status, text: &[u8]) -> Result<Step<Ready>, Failure> {
        let way = Way::Sasl(exchange.mechanism());
        let reason = exchange.token_refusal().map(|reason| self.server.redact(reason));
        // Told in a challenge, it is certain, whatever the last line says.
        if reason.is_none() && meaning_of(status, text, true) != Refusal::Auth {
            return self.refused(way, true, status, text);
        }
        let said = self.said(text);
        self.server.want_another_token(told(&said, &reason.unwrap_or_default()))?;
        self.state = State::Secret(way);
        Ok(Step::WantSecret)
    }

    fn go_on(&mut self, state: State, line: &Line) -> Result<Step<Ready>, Failure> {
        match state {
            State::Login(parts) if !parts.is_empty() => Ok(self.say_part(parts, "***".into())),
            State::Authenticate(mut exchange) => {
                let answer = self.server.respond(&mut exchange, line.bytes().strip_prefix(b"+").unwrap_or_default())?;
                self.state = State::Authenticate(exchange);
                Ok(Step::Send(answer))
            }
            _ => Err(self.nonsense(line)),
        }
    }
}

fn service_refused(server: &ServerState, text: &[u8]) -> Failure {
    let said = server.redact(&Line::new(text).printable());
    Failure::ServiceRefused { at: server.at.clone(), said }
}

/// What a server may say without a tag at any time: that it ends the session, and what people are to read.
fn hear_news(server: &ServerState, alerts: &mut Alerts, text: &[u8]) -> Result<(), Failure> {
    let (word, rest) = split_word(text);
    match word.to_ascii_uppercase().as_slice() {
        b"BYE" => return Err(service_refused(server, rest)),
        b"OK" | b"NO" | b"BAD" => alerts.note(rest, |text| server.redact(text)),
        _ => {}
    }
    Ok(())
}

/// A line that came before ostler's next command. What it says of capabilities comes too late to be gone by. With a tag of
/// ostler's it answers a command that was not given, so nothing that the server says can be believed. Anything else that has
/// no `*` means nothing: Exchange says stray lines.
pub(crate) fn hear_unasked(server: &ServerState, alerts: &mut Alerts, line: &Line) -> Result<(), Failure> {
    if imap::is_tagged_by_ostler(line.bytes()) {
        return Err(server.at.violation("it spoke unasked"));
    }
    let (first, rest) = split_word(line.bytes());
    if first == b"*" { hear_news(server, alerts, rest) } else { Ok(()) }
}

/// Whether the words are about the form of a command.
fn is_about_command(text: &[u8]) -> bool {
    let text = Line::new(text).printable().to_ascii_lowercase();
    ["command", "argument", "syntax", "parse", "unrecogni", "unsupported", "mechanism"]
        .iter()
        .any(|word| text.contains(word))
}

/// What a refusal is about. `had_name`: the server was given at least the user name.
fn meaning_of(status: Status, text: &[u8], had_name: bool) -> Refusal {
    match (status, code_of(text).as_deref()) {
        (_, Some("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED")) => Refusal::Auth,
        (_, Some("UNAVAILABLE" | "SERVERBUG" | "LIMIT" | "OVERQUOTA" | "CONTACTADMIN")) => Refusal::Temporary,
        (_, Some("INUSE")) => Refusal::InUse,
        (_, Some("PRIVACYREQUIRED")) => Refusal::WantsTls,
        // BAD is said to a command that was not understood, but some servers say it to a password: what their words do not
        // put down to the way would be said again, until the account is locked.
        (Status::Bad, _) if is_about_command(text) => Refusal::Way,
        (Status::Bad, _) => sasl::refusal(&Line::new(text), false),
        (Status::Ok | Status::No, _) => sasl::refusal(&Line::new(text), had_name),
    }
}

/// The first word of the code with which a text begins, upper case.
fn code_of(text: &[u8]) -> Option<String> {
    let (word, _) = split_word(split_code(text)?.0);
    Some(String::from_utf8_lossy(word).to_ascii_uppercase())
}

pub(crate) fn status_of(word: &[u8]) -> Option<Status> {
    match word.to_ascii_uppercase().as_slice() {
        b"OK" => Some(Status::Ok),
        b"NO" => Some(Status::No),
        b"BAD" => Some(Status::Bad),
        _ => None,
    }
}

impl Login for ImapLogin {
    type Ready = Ready;

    fn server(&self) -> &ServerState {
        &self.server
    }

    fn server_mut(&mut self) -> &mut ServerState {
        &mut self.server
    }

    fn waiting(&self) -> Waiting {
        match self.state {
            State::Greeting => Waiting::Greeting,
            State::StartTls => Waiting::StartTls,
            State::Capability | State::CapabilityAfter(_) => Waiting::Capabilities,
            State::Secret(_) | State::Login(_) | State::Authenticate(_) => Waiting::SignIn,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        let (first, rest) = split_word(line.bytes());
        match &self.state {
            State::Greeting => return self.greeting(line),
            _ if first == b"*" => return self.untagged(rest),
            _ => {}
        }
        let state = std::mem::replace(&mut self.state, State::Greeting);
        if line.bytes().starts_with(b"+") {
            return self.go_on(state, line);
        }
        let (word, text) = split_word(rest);
        // Exchange says a stray `CAPABILITY completed.` behind its answers; a line with another tag, or none, means nothing.
        if first != format!("o{}", self.commands).as_bytes() {
            self.state = state;
            return self.untagged(b"");
        }
        match status_of(word) {
            Some(status) => self.tagged(state, line, status, text),
            None => Err(self.nonsense(line)),
        }
    }

    fn on_unasked(&mut self, line: &Line) -> Result<(), Failure> {
        hear_unasked(&self.server, &mut self.alerts, line)
    }

    fn after_tls(&mut self) -> Step<Ready> {
        self.after_greeting()
    }

    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Ready> {
        let way = if let State::Secret(way) = self.state { way } else { Way::UserPass };
        self.say_secret(way, &secret)
    }

    fn restart(&mut self) {
        self.state = State::Greeting;
        self.capabilities.clear();
        self.offered.clear();
        self.alerts = Alerts::default();
    }
}
