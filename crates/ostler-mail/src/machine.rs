//! The shapes of the three acts: a [`Front`] hears a client, a [`Login`] signs in at a provider, a [`Filter`] watches what
//! passes between them. The machines with these shapes are in `pop3/`, `smtp/`, `imap/` and `maildrop/`; the program drives them
//! over sockets.

pub mod client;
pub mod server;
pub(crate) mod ticks;

use std::borrow::Cow;
use std::sync::Arc;

use zeroize::Zeroizing;

use self::client::ClientState;
use self::server::ServerState;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::clock::Moment;
use crate::command::{self, is_http};
use crate::failure::{Failure, Waiting, one_line};
use crate::proxy_header;
use crate::sasl::{AuthStep, Redaction, Way};
use crate::secret::Secret;
use crate::wire::{Line, MAX_AUTH_LINE_OCTETS, MAX_COMMAND_LINE_OCTETS, MAX_REPLY_LINE_OCTETS};
use crate::words::Words;

/// What a [`Front`] makes of a client's line.
#[must_use = "a client that gets no answer waits"]
pub enum Answer<Wants> {
    /// Send this, CR LF included, and hear the next line.
    Say(String),
    /// Send this, CR LF included, and close.
    Bye(String),
    /// Report the failure, send [`Front::refusal`], and hear the next line.
    Refused(Failure),
    /// Report the misuse, send [`Words::misuse`], and close.
    Misused(Misuse),
    /// The client wants this of its provider. What the provider says decides the reply.
    Wants(Wants),
}

impl<Wants> Answer<Wants> {
    /// A reply of one line; CR LF is added.
    pub fn line(text: &str) -> Self {
        Self::Say(format!("{}\r\n", one_line(text)))
    }
}

/// Hears a client until the client wants something of its provider. It knows the accounts, and answers by itself what needs
/// no provider. What is the same in every protocol is done here, with the help of [`ClientState`].
pub trait Front {
    /// What a client of this protocol can want.
    type Wants;
    /// The client.
    fn client(&self) -> &ClientState;
    /// The client, to note what it says.
    fn client_mut(&mut self) -> &mut ClientState;
    /// What ostler says to a client of this protocol when something fails or the connection ends.
    fn words(&self) -> &'static dyn Words;
    /// The first reply, CR LF included.
    fn greeting(&self) -> String;
    /// The client sent a command: a clean line outside an exchange of AUTH.
    fn on_command(&mut self, line: &Line) -> Answer<Self::Wants>;
    /// An exchange of AUTH went on with the client's line.
    fn on_auth_step(&mut self, step: AuthStep) -> Answer<Self::Wants>;
    /// Takes the line if it begins with a literal that the last one has announced. `None`: it begins a command.
    fn on_literal(&mut self, _: &Line) -> Option<Answer<Self::Wants>> {
        None
    }
    /// The reply to a last line without a line end if that line is QUIT or the like; CR LF included. Netscape 4 and others
    /// hang up right after it.
    fn farewell(&self, rest: &[u8]) -> Option<String>;
    /// Whether the client has begun its work here and may take its time over the next line.
    fn is_at_work(&self) -> bool {
        false
    }
    /// Whether this command only keeps the connection open. Then it does not count as one of the first few, which have to
    /// lead to something.
    fn is_keep_alive(&self, _: &Line) -> bool {
        false
    }
    /// Whether a command comes from a web browser.
    fn is_http(&self, line: &Line) -> bool {
        is_http(line.bytes())
    }
    /// The client sent a line. A reply may have several lines, and a request for the rest of a command is a reply too. A
    /// literal (RFC 3501, 4.3) arrives as the beginning of the next line, because names and passwords hold no line end.
    fn on_line(&mut self, line: &Line) -> Answer<Self::Wants> {
        if !line.is_clean() {
            return Answer::Misused(Misuse::Unclean);
        }
        if let Some(answer) = self.on_literal(line) {
            return answer;
        }
        if let Some(step) = self.client_mut().respond(line) {
            return self.on_auth_step(step);
        }
        // A web page can make a browser send commands to a local port, after the lines of an HTTP request.
        if self.is_http(line) {
            return Answer::Misused(Misuse::Http);
        }
        // Believed, it would let anyone say where they come from.
        if proxy_header::is_header(line.bytes()) {
            return Answer::Misused(Misuse::ProxyHeader);
        }
        if !self.is_keep_alive(line) && self.client_mut().count_command() && !self.is_at_work() {
            return Answer::Misused(Misuse::TooManyCommands);
        }
        self.on_command(line)
    }
    /// The client has closed and left `rest` unfinished. Returns the last reply, if there is one.
    fn on_end(&mut self, rest: &[u8]) -> Option<String> {
        let farewell = self.farewell(rest);
        if farewell.is_none() {
            self.client_mut().note_leaving();
        }
        farewell
    }
    /// Whether the next line answers a challenge of AUTH: it may be long, and it may be a password.
    fn is_in_exchange(&self) -> bool {
        self.client().is_in_exchange()
    }
    /// The longest line to take from the client next, in octets.
    fn line_limit(&self) -> usize {
        if self.is_in_exchange() { MAX_AUTH_LINE_OCTETS } else { MAX_COMMAND_LINE_OCTETS }
    }
    /// A line of the client for the log, without anything that may be a password.
    fn shown(&self, line: &Line) -> String {
        if self.is_in_exchange() { "***".into() } else { command::shown(line) }
    }
    /// The last words to a client whose time to sign in is over; CR LF included.
    fn too_late(&self) -> String {
        self.words().timed_out()
    }
    /// The reply to the client's last command when it failed; CR LF included.
    fn refusal(&self, failure: &Failure) -> String {
        self.words().failure(failure)
    }
    /// The mistake in the client's settings that its last line has shown. Returned once.
    fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.client_mut().take_misconfiguration()
    }
}

/// A command for a provider, and what the log may show of it.
pub enum Outgoing {
    /// A command without secrets, its CR LF included.
    Plain(Vec<u8>),
    /// Lines that hold a secret, and the text the log shows instead.
    Sensitive(Zeroizing<Vec<u8>>, Cow<'static, str>),
}

impl Outgoing {
    /// A command line without secrets; CR LF is added.
    pub fn line(text: &str) -> Self {
        Self::lines(text, &[])
    }

    /// The same, with more lines that leave together with the first.
    pub fn lines(first: &str, behind: &[String]) -> Self {
        let mut lines = format!("{first}\r\n").into_bytes();
        for line in behind {
            lines.extend_from_slice(line.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        Self::Plain(lines)
    }

    /// A line that holds a secret; CR LF is added.
    pub(crate) fn secret_line(parts: &[&[u8]], shown: impl Into<Cow<'static, str>>) -> Self {
        let mut line = Zeroizing::new(Vec::with_capacity(parts.iter().map(|p| p.len()).sum::<usize>() + 2));
        for part in parts {
            line.extend_from_slice(part);
        }
        line.extend_from_slice(b"\r\n");
        Self::Sensitive(line, shown.into())
    }

    /// The octets for the wire.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Sensitive(bytes, _) => bytes,
        }
    }

    /// What the log may show.
    pub fn shown(&self) -> String {
        match self {
            Self::Plain(bytes) => crate::wire::printable(bytes.trim_ascii_end()),
            Self::Sensitive(_, shown) => shown.clone().into_owned(),
        }
    }
}

/// What a [`Login`] wants next.
#[must_use = "a step that is not taken leaves both sides waiting for each other"]
pub enum Step<Ready> {
    /// Send this, then wait for a line.
    Send(Outgoing),
    /// Wait for another line.
    Wait,
    /// Check that no input is left unread, start TLS, then call `on_tls`.
    StartTls,
    /// Only the secret is missing; call `on_secret` when the client has asked to sign in.
    WantSecret,
    /// Signed in.
    Done(Ready),
}

impl<Ready> Step<Ready> {
    /// The same step of a login that ends with something else.
    pub(crate) fn map<Other>(self, end: impl FnOnce(Ready) -> Other) -> Step<Other> {
        match self {
            Self::Send(outgoing) => Step::Send(outgoing),
            Self::Wait => Step::Wait,
            Self::StartTls => Step::StartTls,
            Self::WantSecret => Step::WantSecret,
            Self::Done(ready) => Step::Done(end(ready)),
        }
    }
}

/// Signs in at a provider. It knows the dialogue and not the socket, so one machine serves a client's session, the login
/// before a gated send, and `ostler check`. What is the same in every protocol is done here, with the help of
/// [`ServerState`].
pub trait Login {
    /// What is known of the server once ostler is signed in.
    type Ready;
    /// The server.
    fn server(&self) -> &ServerState;
    /// The server, to note what it says.
    fn server_mut(&mut self) -> &mut ServerState;
    /// What the server owes next. It decides the time limit, and the failure if nothing comes.
    fn waiting(&self) -> Waiting;
    /// The server sent a line.
    fn on_line(&mut self, line: &Line) -> Result<Step<Self::Ready>, Failure>;
    /// The server sent this line before the command that is said next, so it is no answer.
    fn on_unasked(&mut self, _: &Line) -> Result<(), Failure> {
        Err(self.server().at.violation("it spoke unasked"))
    }
    /// The longest line to take from the server next, in octets.
    fn line_limit(&self) -> usize {
        MAX_REPLY_LINE_OCTETS
    }
    /// TLS is up, and ostler speaks first.
    fn after_tls(&mut self) -> Step<Self::Ready>;
    /// The secret that was wanted is there, to be given.
    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Self::Ready>;
    /// The greeting of a new connection comes next. What the server said on the last one is forgotten.
    fn restart(&mut self);
    /// Begins with the way that worked at an earlier sign-in, if the server still offers it.
    #[must_use]
    fn beginning_with(mut self, known: Option<Way>) -> Self
    where
        Self: Sized,
    {
        self.server_mut().ways.begin_with(known);
        self
    }
    /// The answer to [`Step::StartTls`].
    fn on_tls(&mut self) -> Step<Self::Ready> {
        self.server_mut().is_in_tls = true;
        self.after_tls()
    }
    /// The answer to [`Step::WantSecret`].
    fn on_secret(&mut self, secret: Arc<Secret>) -> Step<Self::Ready> {
        self.server_mut().take_secret(Arc::clone(&secret));
        self.after_secret(secret)
    }
    /// A line of the server for the log, without a secret that the server repeats.
    fn shown(&self, line: &Line) -> String {
        self.server().redact(&line.printable())
    }
    /// Takes the secret out of everything the server says later; `None` if the server was not given one.
    fn redaction(&self) -> Option<Redaction> {
        self.server().redaction()
    }
    /// The connection has failed. Whether the sign-in goes on with the greeting of a new connection: the server refused one
    /// way of signing in, and hung up before it was given the secret in another. Never after it was given the secret, which
    /// it may have refused by that. Each time there is a way less, so this comes to an end.
    fn begin_again(&mut self, failure: &Failure) -> bool {
        let may = self.server_mut().may_begin_again(failure);
        if may {
            self.restart();
        }
        may
    }
}

/// What a [`Filter`] did with the octets it was shown. The numbers count from their front and are at least 1.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// This many go to the other side unchanged, without a copy.
    Forward(usize),
    /// What [`Replies`] holds for the other side leaves, and the front of the octets follows it, as in `Forward`.
    Announced {
        /// This many follow.
        forwarded: usize,
        /// This many are consumed: those that follow, and perhaps more behind them.
        used: usize,
    },
    /// This many are consumed; [`Replies`] holds what is sent in their place, if anything.
    Replaced(usize),
    /// Nothing can be decided until more octets arrive.
    NeedMore,
    /// The pass-through ends here; the octets stay unread.
    Stop,
}

/// What a [`Filter`] wants sent besides the octets it forwards. It leaves before any octet forwarded later.
#[derive(Debug, Default)]
pub struct Replies {
    /// For the client.
    pub client: Vec<u8>,
    /// For the server.
    pub server: Vec<u8>,
}

/// Which time limit runs while octets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The client may take its time over the next command.
    ClientIdle,
    /// The server owes a whole line.
    Reply,
    /// A message is passing.
    Message,
    /// Both sides have agreed to wait for news. When the time is up, [`Filter::renew`] is called.
    Agreed,
}

/// One of the two sides of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The old mail program.
    Client,
    /// The provider.
    Server,
}

/// Watches what passes between a client and the server that has signed it in, and changes what it must.
pub trait Filter {
    /// The server sent `input`, which begins with the octets left over last time.
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation>;
    /// The client sent `input`, which begins with the octets left over last time.
    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation>;
    /// The time at which the next octets came.
    fn note_time(&mut self, _: Moment) {}
    /// Everything said so far has left. A filter with a long answer of its own says the next part.
    fn say_more(&mut self, _: &mut Replies) -> Result<(), ProtocolViolation> {
        Ok(())
    }
    /// Whether to read from the client now. Until then its octets wait in its socket.
    fn wants_client(&self) -> bool;
    /// The client has closed and left `rest` unfinished. Returns whether the server's answers still go to it.
    fn client_ended(&mut self, rest: &[u8], say: &mut Replies) -> bool;
    /// The server has closed. Returns whether the session goes on without it, because the client can still get something that
    /// came before. Asked again after whatever the client says.
    fn server_ended(&mut self) -> bool {
        false
    }
    /// The clock that is running, and a number that changes whenever it restarts.
    fn clock(&self) -> (Clock, u64);
    /// ostler ends, and nothing new may begin. Returns whether the pass-through can end now; asked again until it can. Two things
    /// pass to their end first: a message, and a command whose outcome the client would otherwise not know.
    fn end_early(&mut self) -> bool {
        self.clock().0 != Clock::Message
    }
    /// Which side sends while a message passes.
    fn message_from(&self) -> Party;
    /// The time of [`Clock::Agreed`] is up. Says what makes the server go on waiting. Another clock runs afterwards.
    fn renew(&mut self, _: &mut Replies) {}
    /// Whether nothing more will pass.
    fn is_over(&self) -> bool;
}

/// Why a pass-through cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// The server broke the rules; the text says how.
    Server(String),
    /// The client broke the rules.
    Client(Misuse),
}
