//! What a client hears at an SMTP door, and its transaction: sender, accepted recipients, where it stands. Greeting, EHLO
//! and AUTH are answered here; MAIL, RCPT, DATA and the end of data are answered by what the provider said.

use std::sync::Arc;

use crate::account::{Access, Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::command::{Command, is_http};
use crate::failure::{Failure, one_line};
use crate::sasl::{Acceptor, Attempt, AuthStep, Mechanism, Proof};
use crate::smtp::{Mail, Reply, parse_mail, parse_rcpt};
use crate::wire::Line;

/// Commands a client may give before its first MAIL or AUTH.
const COMMANDS: usize = 20;
/// Commands that make no sense, for the whole connection.
const BAD_COMMANDS: usize = 5;
/// Recipients of one message; a provider takes a hundred or so, and they are kept for the case that the gate is shut.
const RECIPIENTS: usize = 1000;

/// What to do after a line.
pub enum Answer {
    /// Send this (CR LF included) and hear the next line.
    Say(String),
    /// The client claims to be an account; decide, then call [`SmtpFront::authenticated`].
    Authenticate(Option<Arc<Account>>, Attempt),
    /// Begin a message through this account, then call [`SmtpFront::mail_answered`].
    Mail(Arc<Account>, Mail),
    /// One more recipient, then call [`SmtpFront::rcpt_answered`].
    Rcpt(String),
    /// The client wants to send the body.
    Data,
    /// It wants to and may not: send this, unless the body has come already.
    NoData(String),
    /// Send this and close.
    Bye(String),
    /// Tell of this, send its reply, and hear the next line.
    Refused(Failure),
    /// Send this, name the misuse in the log, and close.
    Misused(Misuse, String),
}

/// A message under way: what must be said again when it has to be said on a new connection.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Whose provider it goes through.
    pub account: Arc<Account>,
    /// The sender.
    pub mail: Mail,
    /// The recipients the provider has accepted, in order.
    pub accepted: Vec<String>,
}

/// The door's side of the dialogue.
pub struct SmtpFront {
    settings: Arc<Settings>,
    own: Option<Arc<Account>>,
    stamp: String,
    size: Option<u64>,
    exchange: Option<Acceptor>,
    signed_in: bool,
    as_account: Option<Arc<Account>>,
    transaction: Option<Transaction>,
    /// Between MAIL and its answer.
    asked: Option<(Arc<Account>, Mail)>,
    asked_rcpt: Option<String>,
    refused: usize,
    commands: usize,
    bad: usize,
    begun: bool,
    slip: Option<ClientMisconfiguration>,
}

impl SmtpFront {
    /// `own`: the account this door leads to, if only to one; `size`: what its provider takes, once that is known.
    pub fn new(settings: Arc<Settings>, own: Option<Arc<Account>>, stamp: String, size: Option<u64>) -> Self {
        Self {
            settings,
            own,
            stamp,
            size,
            exchange: None,
            signed_in: false,
            as_account: None,
            transaction: None,
            asked: None,
            asked_rcpt: None,
            refused: 0,
            commands: 0,
            bad: 0,
            begun: false,
            slip: None,
        }
    }

    /// The first line.
    pub fn greeting(&self) -> String {
        "220 ostler ESMTP ready\r\n".into()
    }

    /// Whether a line longer than a command is due: an answer in an AUTH exchange.
    pub fn in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    /// Whether the client has signed in or begun a message: it may take its time from then on.
    pub fn is_at_work(&self) -> bool {
        self.begun || self.signed_in
    }

    /// Whether it has begun a message on this connection.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// The message under way.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// The account of every message of this connection, if that is known before MAIL: the provider may be reached for.
    pub fn likely_account(&self) -> Option<Arc<Account>> {
        if self.wants_password() && !self.signed_in {
            return None;
        }
        let only = if let [only] = self.settings.accounts.as_slice() { Some(Arc::clone(only)) } else { None };
        self.own.clone().or_else(|| self.as_account.clone()).or(only).filter(|a| !a.smtp.is_empty())
    }

    /// The client said a line.
    pub fn on_line(&mut self, line: &Line) -> Answer {
        if !line.is_clean() {
            return misused(Misuse::Unclean);
        }
        if let Some(exchange) = &mut self.exchange {
            let heard = exchange.hear(line.bytes());
            return self.heard(heard);
        }
        if is_http(line.bytes()) {
            return misused(Misuse::Http);
        }
        let command = Command::parse(line.bytes());
        // NOOP is how a client keeps a connection; how long it may do so without a message is a matter of time.
        self.commands += usize::from(command.verb != "NOOP");
        if self.commands > COMMANDS && !self.is_at_work() {
            return misused(Misuse::TooManyCommands);
        }
        match command.verb.as_str() {
            "EHLO" => {
                self.reset();
                Answer::Say(self.extensions())
            }
            "HELO" => {
                self.reset();
                say("250 ostler")
            }
            "AUTH" => self.auth(&command),
            "MAIL" => self.mail(&command),
            "RCPT" => self.rcpt(&command),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                say("250 2.0.0 OK")
            }
            "NOOP" => say("250 2.0.0 OK"),
            "VRFY" => say("252 2.5.0 send it and see"),
            "HELP" => say("214 2.0.0 ostler passes mail on to your provider; run: ostler status"),
            "QUIT" => Answer::Bye("221 2.0.0 bye\r\n".into()),
            "STARTTLS" => self.slip(ClientMisconfiguration::StartTls, "502 5.5.1 this door is plain: switch SSL/TLS off in the mail program; ostler encrypts the way to the provider"),
            "USER" | "PASS" | "APOP" | "STAT" | "CAPA" | "STLS" => {
                let port = self.pop3_port();
                let way = port.map_or("fetching is switched off".into(), |port| format!("the one for fetching is {port}"));
                let reply = format!("502 5.5.1 this is the SMTP port of ostler, for sending; {way}");
                self.slip(ClientMisconfiguration::WrongDoor { speaks: Protocol::Pop3, port }, &reply)
            }
            "" => self.bad("500 5.5.2 an empty line is no command"),
            _ => self.bad("502 5.5.1 ostler does not offer this command"),
        }
    }

    /// The client's last octets, without a line end: Netscape 4 says `QUIT` and hangs up in one breath.
    pub fn on_end(&self, rest: &[u8]) -> bool {
        rest.trim_ascii().eq_ignore_ascii_case(b"QUIT")
    }

    /// Whether the claim of [`Answer::Authenticate`] holds.
    pub fn authenticated(&mut self, account: Option<Arc<Account>>, holds: bool) -> String {
        if !holds {
            self.slip = Some(ClientMisconfiguration::WrongPassword);
            return "535 5.7.8 this is not the local password of that account; ostler list --passwords shows it\r\n"
                .into();
        }
        self.signed_in = true;
        self.as_account = account;
        "235 2.7.0 welcome\r\n".into()
    }

    /// The provider's (or ostler's) verdict on the sender; what the client hears.
    pub fn mail_answered(&mut self, reply: &Reply) -> String {
        self.transaction = None;
        if let Some((account, mail)) = self.asked.take()
            && reply.is_ok()
        {
            self.transaction = Some(Transaction { account, mail, accepted: Vec::new() });
            self.refused = 0;
        }
        format!("{}\r\n", reply.one_line())
    }

    /// The verdict on a recipient.
    pub fn rcpt_answered(&mut self, reply: &Reply) -> String {
        match (self.asked_rcpt.take(), &mut self.transaction) {
            (Some(recipient), Some(transaction)) if reply.is_ok() => transaction.accepted.push(recipient),
            _ => self.refused += 1,
        }
        format!("{}\r\n", reply.one_line())
    }

    /// The verdict on DATA or on the whole message; whatever it is, this message is over.
    pub fn message_answered(&mut self, reply: &Reply) -> String {
        self.reset();
        format!("{}\r\n", reply.one_line())
    }

    /// The mistake in the client's settings that its last line has shown; told once.
    pub fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.slip.take()
    }

    /// What is to be told of a client that has gone: one that never said anything may have come to the wrong port.
    pub fn silent(&self) -> Option<ClientMisconfiguration> {
        (self.commands == 0).then(|| ClientMisconfiguration::Silent { at: Protocol::Smtp, port: self.pop3_port() })
    }

    fn pop3_port(&self) -> Option<u16> {
        self.settings.port_for(Protocol::Pop3, self.own.as_deref())
    }

    fn wants_password(&self) -> bool {
        self.settings.access == Access::Password
    }

    fn reset(&mut self) {
        self.transaction = None;
        self.asked = None;
        self.asked_rcpt = None;
        self.refused = 0;
    }

    fn extensions(&self) -> String {
        let size = self.size.map_or_else(|| "SIZE".into(), |n| format!("SIZE {n}"));
        let offered = self.own.as_ref().is_none_or(|own| own.offer_auth) || self.wants_password();
        let challenge = if self.wants_password() { " CRAM-MD5" } else { "" };
        let auth = if offered {
            format!("250-AUTH LOGIN PLAIN{challenge}\r\n250-AUTH=LOGIN PLAIN{challenge}\r\n")
        } else {
            String::new()
        };
        format!("250-ostler\r\n250-{size}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n{auth}250 HELP\r\n")
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        if self.transaction.is_some() {
            return self.bad("503 5.5.1 AUTH comes before MAIL");
        }
        let argument = command.argument();
        let mut words = argument.split_whitespace();
        let mechanism =
            words.next().and_then(Mechanism::from_name).filter(|m| *m != Mechanism::CramMd5 || self.wants_password());
        let Some(mechanism) = mechanism else {
            self.slip = Some(ClientMisconfiguration::Secure);
            return say(
                "504 5.5.4 ostler does not have this kind of AUTH; switch SPA (secure password authentication) off in the mail program",
            );
        };
        let (exchange, heard) = Acceptor::begin(mechanism, words.next().map(str::as_bytes), &self.stamp);
        self.exchange = Some(exchange);
        self.heard(heard)
    }

    fn heard(&mut self, heard: AuthStep) -> Answer {
        if let AuthStep::Challenge(challenge) = heard {
            return Answer::Say(format!("334 {challenge}\r\n"));
        }
        self.exchange = None;
        match heard {
            AuthStep::Attempt(attempt) => {
                let account =
                    self.own.clone().or_else(|| choose::by_user_name(&self.settings.accounts, &attempt.name).ok());
                Answer::Authenticate(account, attempt)
            }
            AuthStep::Cancelled => say("501 5.7.0 AUTH broken off"),
            AuthStep::Malformed | AuthStep::Challenge(_) => self.bad("501 5.5.2 this is no answer in an AUTH exchange"),
        }
    }

    fn mail(&mut self, command: &Command<'_>) -> Answer {
        if self.transaction.is_some() {
            return self.bad("503 5.5.1 a message is under way already");
        }
        if self.wants_password() && !self.signed_in {
            self.slip = Some(ClientMisconfiguration::NoPassword);
            return say(
                "530 5.7.0 ostler wants its local password here: switch on authentication for sending in the mail program",
            );
        }
        let mail = match parse_mail(command.rest) {
            Ok(mail) => mail,
            Err(objection) => return self.bad(objection),
        };
        let account = match (&self.own, &self.as_account) {
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
        self.begun = true;
        match account {
            Ok(account) => {
                self.asked = Some((Arc::clone(&account), mail.clone()));
                Answer::Mail(account, mail)
            }
            Err(failure) => Answer::Refused(failure),
        }
    }

    fn rcpt(&mut self, command: &Command<'_>) -> Answer {
        let Some(transaction) = &self.transaction else { return self.bad("503 5.5.1 MAIL comes first") };
        if transaction.accepted.len() >= RECIPIENTS {
            return say("452 4.5.3 too many recipients for one message");
        }
        match parse_rcpt(command.rest) {
            Ok(recipient) => {
                self.asked_rcpt = Some(recipient.clone());
                Answer::Rcpt(recipient)
            }
            // A list with many typing errors is no attack.
            Err(objection) => say(objection),
        }
    }

    fn data(&mut self) -> Answer {
        let answer = match &self.transaction {
            None => self.bad("503 5.5.1 MAIL and RCPT come first"),
            Some(transaction) if !transaction.accepted.is_empty() => return Answer::Data,
            Some(_) if self.refused > 0 => say("554 5.5.1 no recipient was accepted"),
            Some(_) => self.bad("503 5.5.1 RCPT comes first"),
        };
        if let Answer::Say(text) = answer { Answer::NoData(text) } else { answer }
    }

    /// As [`Self::bad`], for a mistake that is worth telling.
    fn slip(&mut self, slip: ClientMisconfiguration, reply: &str) -> Answer {
        self.slip = Some(slip);
        self.bad(reply)
    }

    fn bad(&mut self, reply: &str) -> Answer {
        self.bad += 1;
        if self.bad > BAD_COMMANDS { misused(Misuse::TooManyCommands) } else { say(reply) }
    }
}

/// The password a client gave, if the account is to be signed in with it.
pub fn given_password(attempt: &Attempt) -> Option<&[u8]> {
    match &attempt.proof {
        Proof::Password(given) => Some(given),
        Proof::Cram { .. } | Proof::Apop { .. } => None,
    }
}

fn say(reply: &str) -> Answer {
    Answer::Say(format!("{}\r\n", one_line(reply)))
}

/// The last line for a client that is sent away.
pub fn misused(misuse: Misuse) -> Answer {
    let reply = misuse_reply(&misuse);
    Answer::Misused(misuse, reply)
}

/// What the client reads then, with its line end.
pub fn misuse_reply(misuse: &Misuse) -> String {
    format!("{}\r\n", one_line(&format!("421 4.7.0 ostler closes this connection: {misuse}")))
}

#[cfg(test)]
mod tests;
