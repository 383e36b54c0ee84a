//! Hears an SMTP client and keeps the state of its transaction. Greeting, EHLO and AUTH are answered here; MAIL, RCPT, DATA
//! and the end of data are answered with what the provider said.

use std::sync::Arc;

use crate::account::{Access, Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::command::{Command, is_http};
use crate::failure::Failure;
use crate::machine::{self, Front};
use crate::sasl::{Acceptor, Attempt, AuthStep, Mechanism};
use crate::smtp::words::{self, SmtpWords};
use crate::smtp::{Mail, Reply, parse_mail, parse_rcpt};
use crate::wire::Line;
use crate::words::Words;

/// The most commands before the first MAIL or a successful AUTH.
const MAX_EARLY_COMMANDS: usize = 20;
/// The most bad commands on one connection.
const MAX_BAD_COMMANDS: usize = 5;
/// The most recipients of one message. A provider takes a hundred or so; ostler keeps all of them, because the gate may turn
/// out to be shut.
const MAX_RECIPIENTS: usize = 1000;

/// What an SMTP client wants of its provider, or of ostler where only the program can decide.
pub enum Wants {
    /// It claims to be an account. Check the claim, then call [`SmtpFront::on_authentication`].
    Authenticate(Option<Arc<Account>>, Attempt),
    /// It begins a message through this account. Call [`SmtpFront::on_mail_reply`] with the answer.
    Mail(Arc<Account>, Mail),
    /// It names one more recipient. Call [`SmtpFront::on_rcpt_reply`] with the answer.
    Rcpt(String),
    /// It wants to send the body. Call [`SmtpFront::on_message_reply`] with the answer to DATA or to the body.
    Data,
    /// It wants to send a body and may not. Send this reply, unless octets of the body have come already: they must not be
    /// heard as commands.
    DataRefused(String),
}

type Answer = machine::Answer<Wants>;

/// A message under way, as far as its client has been told. The addresses of the recipients are in the envelope of
/// `submission`.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The account whose provider gets the message.
    pub account: Arc<Account>,
    /// The sender.
    pub mail: Mail,
    /// How many recipients were accepted.
    pub recipients: usize,
}

/// Hears an SMTP client and keeps its transaction.
pub struct SmtpFront {
    settings: Arc<Settings>,
    /// The account this door leads to, if it is a door of one account.
    door_account: Option<Arc<Account>>,
    /// A unique message identifier, the challenge of CRAM-MD5.
    stamp: String,
    /// The largest message the provider takes, in octets, once that is known.
    size: Option<u64>,
    exchange: Option<Acceptor>,
    is_signed_in: bool,
    /// The account that AUTH named.
    auth_account: Option<Arc<Account>>,
    transaction: Option<Transaction>,
    /// The MAIL that waits for its answer.
    pending_mail: Option<(Arc<Account>, Mail)>,
    /// A RCPT waits for its answer.
    has_pending_rcpt: bool,
    /// Recipients of this message that were refused.
    refused_recipients: usize,
    commands: usize,
    bad_commands: usize,
    has_begun: bool,
    misconfiguration: Option<ClientMisconfiguration>,
}

impl Front for SmtpFront {
    type Wants = Wants;

    fn words(&self) -> &'static dyn Words {
        &SmtpWords
    }

    fn greeting(&self) -> String {
        format!("{}\r\n", words::READY)
    }

    fn is_in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    fn on_line(&mut self, line: &Line) -> Answer {
        if !line.is_clean() {
            return Answer::Misused(Misuse::Unclean);
        }
        if let Some(exchange) = &mut self.exchange {
            let step = exchange.on_response(line.bytes());
            return self.auth_step(step);
        }
        // A web page can make a browser send commands to a local port, after the lines of an HTTP request.
        if is_http(line.bytes()) {
            return Answer::Misused(Misuse::Http);
        }
        let command = Command::parse(line.bytes());
        // Clients keep an idle connection open with NOOP. How long they may is for the time limit to decide.
        self.commands += usize::from(command.verb != "NOOP");
        if self.commands > MAX_EARLY_COMMANDS && !self.is_at_work() {
            return Answer::Misused(Misuse::TooManyCommands);
        }
        self.command(&command)
    }

    /// Netscape 4 hangs up right after `QUIT`.
    fn on_end(&mut self, rest: &[u8]) -> Option<String> {
        if rest.trim_ascii().eq_ignore_ascii_case(b"QUIT") {
            return Some(format!("{}\r\n", words::BYE));
        }
        if self.commands == 0 {
            // A program that expects POP3 waits for +OK, gives up, and leaves.
            self.misconfiguration = Some(ClientMisconfiguration::Silent { at: Protocol::Smtp, port: self.pop3_port() });
        }
        None
    }

    fn refusal(&self, failure: &Failure) -> String {
        format!("{}\r\n", words::failure(failure))
    }

    fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.misconfiguration.take()
    }

    fn is_at_work(&self) -> bool {
        self.has_begun || self.is_signed_in
    }
}

impl SmtpFront {
    /// `stamp` is a unique message identifier. `size` is the largest message that the provider takes, if that is known.
    pub fn new(settings: Arc<Settings>, door_account: Option<Arc<Account>>, stamp: String, size: Option<u64>) -> Self {
        Self {
            settings,
            door_account,
            stamp,
            size,
            exchange: None,
            is_signed_in: false,
            auth_account: None,
            transaction: None,
            pending_mail: None,
            has_pending_rcpt: false,
            refused_recipients: 0,
            commands: 0,
            bad_commands: 0,
            has_begun: false,
            misconfiguration: None,
        }
    }

    /// Whether the client has begun a message on this connection.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The message under way, if MAIL was accepted.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// The account that every message of this connection will have, if that is clear before MAIL. ostler may connect to its
    /// provider early.
    pub fn likely_account(&self) -> Option<Arc<Account>> {
        // Where a password is wanted, no provider hears of a client that has not given it.
        if self.wants_password() && !self.is_signed_in {
            return None;
        }
        let only = if let [only] = self.settings.accounts.as_slice() { Some(Arc::clone(only)) } else { None };
        self.door_account.clone().or_else(|| self.auth_account.clone()).or(only).filter(|a| !a.smtp.is_empty())
    }

    /// Notes whether the claim of [`Wants::Authenticate`] holds. Returns the reply.
    pub fn on_authentication(&mut self, account: Option<Arc<Account>>, holds: bool) -> String {
        if !holds {
            self.misconfiguration = Some(ClientMisconfiguration::WrongPassword);
            return format!("{}\r\n", words::WRONG_PASSWORD);
        }
        self.is_signed_in = true;
        self.auth_account = account;
        format!("{}\r\n", words::WELCOME)
    }

    /// Notes the answer to MAIL, the provider's or ostler's. Returns the reply.
    pub fn on_mail_reply(&mut self, reply: &Reply) -> String {
        self.transaction = None;
        if let Some((account, mail)) = self.pending_mail.take()
            && reply.is_ok()
        {
            self.transaction = Some(Transaction { account, mail, recipients: 0 });
            self.refused_recipients = 0;
        }
        format!("{}\r\n", reply.one_line())
    }

    /// Notes the answer to RCPT. Returns the reply.
    pub fn on_rcpt_reply(&mut self, reply: &Reply) -> String {
        let was_pending = std::mem::take(&mut self.has_pending_rcpt);
        match &mut self.transaction {
            Some(transaction) if was_pending && reply.is_ok() => transaction.recipients += 1,
            _ => self.refused_recipients += 1,
        }
        format!("{}\r\n", reply.one_line())
    }

    /// Notes the answer to DATA or to the whole message. Either way this message is over. Returns the reply.
    pub fn on_message_reply(&mut self, reply: &Reply) -> String {
        self.reset();
        format!("{}\r\n", reply.one_line())
    }

    fn command(&mut self, command: &Command<'_>) -> Answer {
        match command.verb.as_str() {
            // EHLO and HELO give up a message under way (RFC 5321, 4.1.4).
            "EHLO" => {
                self.reset();
                Answer::Say(self.extensions())
            }
            "HELO" => {
                self.reset();
                Answer::line(words::HELLO)
            }
            "AUTH" => self.auth(command),
            "MAIL" => self.mail(command),
            "RCPT" => self.rcpt(command),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                Answer::line(words::OK)
            }
            "NOOP" => Answer::line(words::OK),
            "VRFY" => Answer::line(words::VRFY),
            "HELP" => Answer::line(words::HELP),
            "QUIT" => Answer::Bye(format!("{}\r\n", words::BYE)),
            "STARTTLS" => self.misconfigured(ClientMisconfiguration::StartTls, words::DOOR_IS_PLAIN),
            // The program has the port for sending where that for fetching belongs.
            "USER" | "PASS" | "APOP" | "STAT" | "CAPA" | "STLS" => {
                let port = self.pop3_port();
                let wrong_door = ClientMisconfiguration::WrongDoor { speaks: Protocol::Pop3, port };
                self.misconfigured(wrong_door, &words::wrong_door(port))
            }
            "" => self.bad(words::EMPTY_LINE),
            _ => self.bad(words::UNKNOWN_COMMAND),
        }
    }

    fn pop3_port(&self) -> Option<u16> {
        self.settings.port_for(Protocol::Pop3, self.door_account.as_deref())
    }

    fn wants_password(&self) -> bool {
        self.settings.access == Access::Password
    }

    fn reset(&mut self) {
        self.transaction = None;
        self.pending_mail = None;
        self.has_pending_rcpt = false;
        self.refused_recipients = 0;
    }

    fn extensions(&self) -> String {
        // Some programs insist on AUTH where they see it and have no password to give; the settings can hide it.
        let has_auth = self.door_account.as_ref().is_none_or(|a| a.offer_auth) || self.wants_password();
        words::extensions(self.size, has_auth, self.wants_password())
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        // RFC 4954, section 4.
        if self.transaction.is_some() {
            return self.bad(words::AUTH_BEFORE_MAIL);
        }
        let argument = command.argument();
        let mut arguments = argument.split_whitespace();
        let mechanism = arguments
            .next()
            .and_then(Mechanism::from_name)
            // A digest can only be checked against a password that ostler knows.
            .filter(|m| *m != Mechanism::CramMd5 || self.wants_password());
        let Some(mechanism) = mechanism else {
            self.misconfiguration = Some(ClientMisconfiguration::Secure);
            return Answer::line(words::UNKNOWN_MECHANISM);
        };
        let (exchange, step) = Acceptor::begin(mechanism, arguments.next().map(str::as_bytes), &self.stamp);
        self.exchange = Some(exchange);
        self.auth_step(step)
    }

    fn auth_step(&mut self, step: AuthStep) -> Answer {
        if let AuthStep::Challenge(challenge) = step {
            return Answer::Say(format!("334 {challenge}\r\n"));
        }
        // The exchange is over, however it ended: the next line is a command again.
        self.exchange = None;
        match step {
            AuthStep::Attempt(attempt) => {
                // An unknown name is not an error yet: where no password is wanted, the sender decides.
                let account = self
                    .door_account
                    .clone()
                    .or_else(|| choose::by_user_name(&self.settings.accounts, &attempt.name).ok());
                Answer::Wants(Wants::Authenticate(account, attempt))
            }
            AuthStep::Cancelled => Answer::line(words::AUTH_CANCELLED),
            AuthStep::Malformed | AuthStep::Challenge(_) => self.bad(words::AUTH_MALFORMED),
        }
    }

    fn mail(&mut self, command: &Command<'_>) -> Answer {
        if self.transaction.is_some() {
            return self.bad(words::MAIL_TWICE);
        }
        if self.wants_password() && !self.is_signed_in {
            self.misconfiguration = Some(ClientMisconfiguration::NoPassword);
            return Answer::line(words::PASSWORD_FIRST);
        }
        let mail = match parse_mail(command.rest) {
            Ok(mail) => mail,
            Err(objection) => return self.bad(objection),
        };
        // The door decides, then AUTH, then the sender.
        let account = match (&self.door_account, &self.auth_account) {
            (Some(account), _) | (None, Some(account)) => Ok(Arc::clone(account)),
            (None, None) => choose::by_sender(&self.settings.accounts, &mail.sender),
        };
        let account = account.and_then(|account| {
            if account.smtp.is_empty() {
                Err(Failure::NoServer { account: account.name.clone(), protocol: Protocol::Smtp })
            } else {
                Ok(account)
            }
        });
        // Whatever comes of it: a client that sends is at work, and may take its time.
        self.has_begun = true;
        match account {
            Ok(account) => {
                self.pending_mail = Some((Arc::clone(&account), mail.clone()));
                Answer::Wants(Wants::Mail(account, mail))
            }
            Err(failure) => Answer::Refused(failure),
        }
    }

    fn rcpt(&mut self, command: &Command<'_>) -> Answer {
        let Some(transaction) = &self.transaction else { return self.bad(words::MAIL_FIRST) };
        if transaction.recipients >= MAX_RECIPIENTS {
            return Answer::line(words::TOO_MANY_RECIPIENTS);
        }
        match parse_rcpt(command.rest) {
            Ok(recipient) => {
                self.has_pending_rcpt = true;
                Answer::Wants(Wants::Rcpt(recipient))
            }
            // Not counted as a bad command: a list of addresses with many typing errors is not an attack.
            Err(objection) => Answer::line(objection),
        }
    }

    fn data(&mut self) -> Answer {
        let answer = match &self.transaction {
            None => self.bad(words::MAIL_AND_RCPT_FIRST),
            Some(transaction) if transaction.recipients > 0 => return Answer::Wants(Wants::Data),
            // RFC 5321, 3.3: 554 if no recipient was accepted, 503 if RCPT never came.
            Some(_) if self.refused_recipients > 0 => Answer::line(words::NO_RECIPIENT),
            Some(_) => self.bad(words::RCPT_FIRST),
        };
        // The program looks first whether the client has sent its body without waiting for 354.
        if let Answer::Say(text) = answer { Answer::Wants(Wants::DataRefused(text)) } else { answer }
    }

    /// A bad command that shows a mistake in the settings of the program.
    fn misconfigured(&mut self, misconfiguration: ClientMisconfiguration, reply: &str) -> Answer {
        self.misconfiguration = Some(misconfiguration);
        self.bad(reply)
    }

    /// Counts a bad command and answers it. Too many of them show that the client is not a mail program.
    fn bad(&mut self, reply: &str) -> Answer {
        self.bad_commands += 1;
        if self.bad_commands > MAX_BAD_COMMANDS {
            Answer::Misused(Misuse::TooManyCommands)
        } else {
            Answer::line(reply)
        }
    }
}

#[cfg(test)]
mod tests;
