//! Hears an SMTP client and keeps the state of its transaction. Greeting, EHLO and AUTH are answered here; MAIL, RCPT, DATA
//! and the end of data are answered with what the provider said.

use std::sync::Arc;

use crate::account::{Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::ClientMisconfiguration;
use crate::command::{Command, is_quit};
use crate::machine::client::ClientState;
use crate::machine::{self, Front};
use crate::sasl::{Attempt, AuthStep};
use crate::smtp::envelope::Upcoming;
use crate::smtp::words::{self, SmtpWords};
use crate::smtp::{Mail, Reply, parse_mail, parse_rcpt};
use crate::wire::{Line, MAX_COMMAND_LINE_OCTETS, take_line};
use crate::words::Words;

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
    client: ClientState,
    /// The largest message the provider takes, in octets, once that is known.
    size: Option<u64>,
    is_signed_in: bool,
    /// The account that AUTH named.
    auth_account: Option<Arc<Account>>,
    transaction: Option<Transaction>,
    /// The MAIL that waits for its answer.
    pending_mail: Option<(Arc<Account>, Mail)>,
    /// The reply to a MAIL that failed for now, or that was refused after the client had been told that it is accepted. A
    /// client that goes on regardless shows its user the last reply, and a `503` would be the wrong one.
    failed_mail: Option<String>,
    /// A RCPT waits for its answer.
    has_pending_rcpt: bool,
    /// The last reply to a recipient of this message that was refused; one that was refused for now comes before others.
    refused_recipient: Option<Reply>,
    has_begun: bool,
}

impl Front for SmtpFront {
    type Wants = Wants;

    fn client(&self) -> &ClientState {
        &self.client
    }

    fn client_mut(&mut self) -> &mut ClientState {
        &mut self.client
    }

    fn words(&self) -> &'static dyn Words {
        &SmtpWords
    }

    fn greeting(&self) -> String {
        format!("{}\r\n", words::READY)
    }

    fn on_command(&mut self, line: &Line) -> Answer {
        let command = Command::parse(line.bytes());
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
            "AUTH" => self.auth(&command),
            "MAIL" => self.mail(&command),
            "RCPT" => self.rcpt(&command),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                Answer::line(words::OK)
            }
            "NOOP" => Answer::line(words::OK),
            "VRFY" => Answer::line(words::VRFY),
            "HELP" => Answer::line(words::HELP),
            "QUIT" => Answer::Bye(format!("{}\r\n", words::BYE)),
            "STARTTLS" => self.client.misconfigured(ClientMisconfiguration::StartTls, words::DOOR_IS_PLAIN),
            "USER" | "PASS" | "APOP" | "STAT" | "CAPA" | "STLS" => {
                self.client.wrong_door(Protocol::Pop3, words::wrong_door)
            }
            "" => self.client.bad(words::EMPTY_LINE),
            _ => self.client.bad(words::UNKNOWN_COMMAND),
        }
    }

    fn on_auth_step(&mut self, step: AuthStep) -> Answer {
        match step {
            AuthStep::Challenge(challenge) => Answer::Say(format!("334 {challenge}\r\n")),
            AuthStep::Attempt(attempt) => {
                // An unknown name is not an error yet: where no password is wanted, the sender decides.
                Answer::Wants(Wants::Authenticate(self.client.find_account(&attempt.name).ok(), attempt))
            }
            AuthStep::Cancelled => Answer::line(words::AUTH_CANCELLED),
            AuthStep::Malformed => self.client.bad(words::AUTH_MALFORMED),
        }
    }

    fn farewell(&self, rest: &[u8]) -> Option<String> {
        is_quit(rest).then(|| format!("{}\r\n", words::BYE))
    }

    /// Clients keep an idle connection open with NOOP. How long they may is for the time limit to decide.
    fn is_keep_alive(&self, line: &Line) -> bool {
        Command::parse(line.bytes()).verb == "NOOP"
    }

    fn is_at_work(&self) -> bool {
        self.has_begun || self.is_signed_in
    }
}

impl SmtpFront {
    /// `stamp` is a unique message identifier. `size` is the largest message that the provider takes, if that is known.
    pub fn new(settings: Arc<Settings>, door_account: Option<Arc<Account>>, stamp: String, size: Option<u64>) -> Self {
        Self {
            client: ClientState::new(Protocol::Smtp, settings, door_account, stamp),
            size,
            is_signed_in: false,
            auth_account: None,
            transaction: None,
            pending_mail: None,
            failed_mail: None,
            has_pending_rcpt: false,
            refused_recipient: None,
            has_begun: false,
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
        if self.owes_password() {
            return None;
        }
        let named = self.client.door_account.as_ref().or(self.auth_account.as_ref());
        let account = named.or_else(|| choose::only(&self.client.settings.accounts));
        account.filter(|account| !account.smtp.is_empty()).cloned()
    }

    /// Notes whether the claim of [`Wants::Authenticate`] holds. Returns the reply.
    pub fn on_authentication(&mut self, account: Option<Arc<Account>>, holds: bool) -> String {
        if !holds {
            self.client.note(ClientMisconfiguration::WrongPassword);
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
            self.refused_recipient = None;
        }
        self.failed_mail = reply.is_for_now().then(|| reply.one_line());
        format!("{}\r\n", reply.one_line())
    }

    /// Notes the answer to RCPT. Returns the reply.
    pub fn on_rcpt_reply(&mut self, reply: &Reply) -> String {
        let was_pending = std::mem::take(&mut self.has_pending_rcpt);
        match &mut self.transaction {
            Some(transaction) if was_pending && reply.is_ok() => transaction.recipients += 1,
            _ => self.note_refused(reply),
        }
        format!("{}\r\n", reply.one_line())
    }

    fn note_refused(&mut self, recipient: &Reply) {
        if recipient.is_for_now() || !self.refused_recipient.as_ref().is_some_and(Reply::is_for_now) {
            self.refused_recipient = Some(recipient.clone());
        }
    }

    /// What the client has sent behind the RCPT that waits for its answer, as far as it will be passed on. `input`: what was
    /// read of the client and not heard.
    pub fn upcoming(&self, input: &[u8]) -> Upcoming {
        let mut upcoming = Upcoming::default();
        let taken = self.transaction.as_ref().map_or(0, |transaction| transaction.recipients);
        let mut input = input.to_vec();
        while let Ok(Some(line)) = take_line(&mut input, MAX_COMMAND_LINE_OCTETS) {
            let command = Command::parse(line.bytes());
            match (command.verb.as_str(), parse_rcpt(command.rest)) {
                _ if !line.is_clean() => break,
                // With the one that waits there is room for one less.
                ("RCPT", Ok(recipient)) if taken + upcoming.recipients.len() + 1 < MAX_RECIPIENTS => {
                    upcoming.recipients.push(recipient);
                }
                ("DATA", _) if input.is_empty() => {
                    upcoming.has_data = true;
                    break;
                }
                _ => break,
            }
        }
        upcoming
    }

    /// Notes that the provider has refused the MAIL, when it heard it with the first RCPT. Returns the reply to that RCPT; what
    /// the client says on of this message gets the same.
    pub fn on_late_refusal(&mut self, reply: &Reply) -> String {
        self.reset();
        let line = reply.one_line();
        self.failed_mail = Some(line.clone());
        format!("{line}\r\n")
    }

    /// Notes the answer to DATA or to the whole message. Either way this message is over. Returns the reply.
    pub fn on_message_reply(&mut self, reply: &Reply) -> String {
        self.reset();
        format!("{}\r\n", reply.one_line())
    }

    fn reset(&mut self) {
        self.transaction = None;
        self.pending_mail = None;
        self.failed_mail = None;
        self.has_pending_rcpt = false;
        self.refused_recipient = None;
    }

    fn extensions(&self) -> String {
        // Some programs insist on AUTH where they see it and have no password to give; the settings can hide it.
        let wants_password = self.client.wants_password();
        let has_auth = self.client.door_account.as_ref().is_none_or(|a| a.offer_auth) || wants_password;
        words::extensions(self.size, has_auth, wants_password)
    }

    fn owes_password(&self) -> bool {
        self.client.wants_password() && !self.is_signed_in
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        // RFC 4954, section 4.
        if self.transaction.is_some() {
            return self.client.bad(words::AUTH_BEFORE_MAIL);
        }
        match self.client.begin_auth(&command.argument()) {
            Some(step) => self.on_auth_step(step),
            None => Answer::line(words::UNKNOWN_MECHANISM),
        }
    }

    fn mail(&mut self, command: &Command<'_>) -> Answer {
        if self.transaction.is_some() {
            return self.client.bad(words::MAIL_TWICE);
        }
        self.failed_mail = None;
        if self.owes_password() {
            self.client.note(ClientMisconfiguration::NoPassword);
            return Answer::line(words::PASSWORD_FIRST);
        }
        let mail = match parse_mail(command.rest) {
            Ok(mail) => mail,
            Err(objection) => return self.client.bad(objection),
        };
        // The door decides, then AUTH, then the sender.
        let account = match (&self.client.door_account, &self.auth_account) {
            (Some(account), _) | (None, Some(account)) => Ok(Arc::clone(account)),
            (None, None) => choose::by_sender(&self.client.settings.accounts, &mail.sender),
        };
        // Whatever comes of it: a client that sends is at work, and may take its time.
        self.has_begun = true;
        match account.and_then(|account| choose::with_server(account, Protocol::Smtp)) {
            Ok(account) => {
                self.pending_mail = Some((Arc::clone(&account), mail.clone()));
                Answer::Wants(Wants::Mail(account, mail))
            }
            Err(failure) => Answer::Refused(failure),
        }
    }

    fn rcpt(&mut self, command: &Command<'_>) -> Answer {
        let Some(transaction) = &self.transaction else { return self.without_mail(words::MAIL_FIRST) };
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
            None => self.without_mail(words::MAIL_AND_RCPT_FIRST),
            Some(transaction) if transaction.recipients > 0 => return Answer::Wants(Wants::Data),
            // RFC 5321, 3.3: 554 if no recipient was accepted, 503 if RCPT never came. Whoever was refused for now must not
            // be refused for good here.
            Some(_) => match &self.refused_recipient {
                Some(reply) if reply.is_for_now() => Answer::line(&reply.one_line()),
                Some(_) => Answer::line(words::NO_RECIPIENT),
                None => self.client.bad(words::RCPT_FIRST),
            },
        };
        // The program looks first whether the client has sent its body without waiting for 354.
        if let Answer::Say(text) = answer { Answer::Wants(Wants::DataRefused(text)) } else { answer }
    }

    /// The answer to a command that needs a MAIL before it: that of the MAIL, if it failed for now.
    fn without_mail(&mut self, objection: &str) -> Answer {
        match &self.failed_mail {
            Some(reply) => Answer::line(reply),
            None => self.client.bad(objection),
        }
    }
}

#[cfg(test)]
mod tests;
