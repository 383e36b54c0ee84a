//! The envelope of one message (RFC 5321, 2.3.1): its sender and the recipients that the provider has accepted. A new
//! connection has to hear it from the start, so it is kept as the commands to say, with what the answer to each means.
//!
//! Not here: what to do about a refusal (`submission.rs`).

use crate::smtp::{Extensions, Mail, Reply};

/// The client's command that the provider has to hear next.
#[derive(Debug, PartialEq, Eq)]
pub enum EnvelopeCommand {
    /// MAIL. The sender is in the envelope already.
    Mail,
    /// RCPT, with the recipient without brackets.
    Rcpt(String),
    /// DATA: the body follows.
    Data,
}

/// What a client that pipelines has sent behind a RCPT: more of them, and perhaps DATA.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Upcoming {
    /// The recipients without brackets.
    pub recipients: Vec<String>,
    /// DATA is behind them, and nothing behind that.
    pub has_data: bool,
}

impl Upcoming {
    /// The lines for a server, without CR LF.
    pub(super) fn lines(&self, with_data: bool) -> impl Iterator<Item = String> {
        let data = (self.has_data && with_data).then(|| Command::Data.line(&Extensions::default()));
        let recipients = self.recipients.iter().map(|recipient| Command::Rcpt(recipient).line(&Extensions::default()));
        recipients.chain(data)
    }
}

/// What the answer to a command means.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplyMeaning {
    /// A repeated command is accepted; the next one may follow.
    Next,
    /// The client's own command is accepted.
    Accepted(Reply),
    /// The command is refused.
    Refused(Refusal),
    /// The reply cannot be the answer to this command; the text says why.
    NotAnAnswer(String),
}

/// The command that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// None: the refusal came in place of the greeting, or to EHLO.
    Connect,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, before any body.
    Data,
}

/// A refusal by the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(super) stage: Stage,
    pub(super) reply: Reply,
    /// It is the client's own command, and not one that ostler repeated before it.
    pub(super) is_last: bool,
}

impl Refusal {
    /// Whether the provider closes the connection now (RFC 5321, 3.8).
    pub fn closes_connection(&self) -> bool {
        self.reply.code == 421
    }

    /// Whether the command may be accepted at another time.
    pub(super) fn is_for_now(&self) -> bool {
        self.reply.is_for_now()
    }

    /// Whether what left behind the refused command is refused with it: that one was MAIL, or was repeated. Behind a
    /// refused recipient the next one may be accepted.
    pub fn ends_flight(&self) -> bool {
        self.stage != Stage::Rcpt || !self.is_last
    }
}

/// The sender and the accepted recipients. There is one copy of each while the message lasts: a recipient moves in when the
/// provider accepts it, and every connection that has to hear it borrows it from here. A list may have a thousand.
#[derive(Debug)]
pub struct Envelope {
    mail: Mail,
    recipients: Vec<String>,
}

impl Envelope {
    pub(super) fn new(mail: Mail) -> Self {
        Self { mail, recipients: Vec::new() }
    }

    /// The recipients the provider has accepted, in order.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    pub(super) fn add_recipient(&mut self, recipient: String) {
        self.recipients.push(recipient);
    }

    /// The announced size and the provider's limit, in octets, if the message exceeds it (RFC 1870). Asked before MAIL, so
    /// that the client hears it in ostler's words.
    pub(super) fn too_big(&self, offered: &Extensions) -> Option<(u64, u64)> {
        let (size, limit) = (self.mail.size?, offered.size.flatten()?);
        (size > limit).then_some((size, limit))
    }

    /// The next command on a connection that has accepted `accepted` commands of this message, on the way to the client's
    /// own command `last`. `None` if `last` is among them.
    pub(super) fn step<'a>(&'a self, accepted: usize, last: &'a EnvelopeCommand) -> Option<Step<'a>> {
        // MAIL begins the message, so nothing has to be repeated before it.
        let repeated = if *last == EnvelopeCommand::Mail { 0 } else { 1 + self.recipients.len() };
        // On the wire: MAIL, one RCPT for each accepted recipient, then `last`.
        let (is_last, command) = match accepted {
            n if n > repeated => return None,
            n if n == repeated => (true, self.command(last)),
            0 => (false, Command::Mail(&self.mail)),
            n => (false, Command::Rcpt(self.recipients.get(n - 1)?)),
        };
        Some(Step { command, is_last })
    }

    fn command<'a>(&'a self, last: &'a EnvelopeCommand) -> Command<'a> {
        match last {
            EnvelopeCommand::Mail => Command::Mail(&self.mail),
            EnvelopeCommand::Rcpt(recipient) => Command::Rcpt(recipient),
            EnvelopeCommand::Data => Command::Data,
        }
    }
}

/// A command to say on one connection.
#[derive(Debug)]
pub(super) struct Step<'a> {
    command: Command<'a>,
    is_last: bool,
}

#[derive(Debug)]
enum Command<'a> {
    Mail(&'a Mail),
    Rcpt(&'a str),
    Data,
}

impl Command<'_> {
    fn line(&self, offered: &Extensions) -> String {
        match self {
            Command::Mail(mail) => mail.command(offered),
            Command::Rcpt(recipient) => format!("RCPT TO:<{recipient}>"),
            Command::Data => "DATA".into(),
        }
    }
}

impl Step<'_> {
    /// The line, without CR LF.
    pub(super) fn line(&self, offered: &Extensions) -> String {
        self.command.line(offered)
    }

    /// Whether it is the client's own command, and not one that is repeated before it.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Whether the command may leave right behind MAIL, before that is answered. DATA may not: with no recipient accepted, a
    /// server could take what follows for commands or for a body.
    pub(super) fn may_follow_mail(&self) -> bool {
        matches!(self.command, Command::Rcpt(_))
    }

    /// What a reply to this command means.
    pub(super) fn meaning(&self, reply: Reply) -> ReplyMeaning {
        if self.is_accepted(&reply) {
            return if self.is_last { ReplyMeaning::Accepted(reply) } else { ReplyMeaning::Next };
        }
        // A positive reply of another kind, such as 250 to DATA, leaves open whether the provider would take what follows
        // for a body or for commands. Nothing may be sent then.
        if reply.code < 400 {
            let line = self.line(&Extensions::default());
            return ReplyMeaning::NotAnAnswer(format!("\"{}\" is not an answer to {line}", reply.one_line()));
        }
        ReplyMeaning::Refused(Refusal { stage: self.stage(), reply, is_last: self.is_last })
    }

    fn is_accepted(&self, reply: &Reply) -> bool {
        // 251, "will forward", is as good as 250 (RFC 5321, 3.4).
        if let Command::Data = self.command { reply.code == 354 } else { reply.is_yes() }
    }

    fn stage(&self) -> Stage {
        match self.command {
            Command::Mail(_) => Stage::Mail,
            Command::Rcpt(_) => Stage::Rcpt,
            Command::Data => Stage::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(recipients: &[&str]) -> Envelope {
        let mail = Mail { sender: "ann@x.example".into(), size: Some(5000), eight_bit: false };
        let mut envelope = Envelope::new(mail);
        recipients.iter().for_each(|recipient| envelope.add_recipient((*recipient).into()));
        envelope
    }

    #[test]
    fn an_envelope_is_what_a_new_connection_must_hear() {
        let offered = Extensions { size: Some(None), ..Extensions::default() };
        let lines = |envelope: &Envelope, last| {
            (0..).map_while(|n| Some(envelope.step(n, &last)?.line(&offered))).collect::<Vec<_>>()
        };
        assert_eq!(lines(&envelope(&[]), EnvelopeCommand::Mail), ["MAIL FROM:<ann@x.example> SIZE=5000"]);
        let two = envelope(&["bob@y.example", "eve@y.example"]);
        let wanted = ["MAIL FROM:<ann@x.example> SIZE=5000", "RCPT TO:<bob@y.example>", "RCPT TO:<eve@y.example>"];
        assert_eq!(lines(&two, EnvelopeCommand::Data), [&wanted[..], &["DATA"]].concat());
        let joe = EnvelopeCommand::Rcpt("joe@y.example".into());
        assert_eq!(lines(&two, joe), [&wanted[..], &["RCPT TO:<joe@y.example>"]].concat());
    }

    #[test]
    fn each_command_has_answers_of_its_own() {
        let envelope = envelope(&["bob@y.example"]);
        let meaning =
            |n, said| envelope.step(n, &EnvelopeCommand::Data).map(|step| step.meaning(Reply::from_line(said)));
        assert_eq!(meaning(0, "250 ok"), Some(ReplyMeaning::Next));
        assert_eq!(meaning(1, "251 will forward"), Some(ReplyMeaning::Next));
        assert_eq!(meaning(2, "354 go"), Some(ReplyMeaning::Accepted(Reply::new(354, "go"))));
        for (n, said) in [(0, "354 go"), (0, "235 in"), (1, "221 bye"), (2, "250 ok")] {
            assert!(matches!(meaning(n, said), Some(ReplyMeaning::NotAnAnswer(_))), "{n} {said}");
        }
        assert_eq!(meaning(3, "250 ok"), None);
        let Some(ReplyMeaning::Refused(refusal)) = meaning(1, "400 no") else { panic!() };
        assert!(!refusal.is_last && refusal.stage == Stage::Rcpt && !refusal.closes_connection());
        let Some(ReplyMeaning::Refused(refusal)) = meaning(2, "421 bye") else { panic!() };
        assert!(refusal.is_last && refusal.stage == Stage::Data && refusal.closes_connection());
        assert!(matches!(meaning(1, "550 nobody"), Some(ReplyMeaning::Refused(_))));
    }

    #[test]
    fn a_message_that_is_too_big_is_known_before_it_is_sent() {
        let takes = |size| envelope(&[]).too_big(&Extensions { size, ..Extensions::default() });
        assert_eq!(takes(Some(Some(4999))), Some((5000, 4999)));
        assert_eq!((takes(Some(Some(5000))), takes(Some(None)), takes(None)), (None, None, None));
    }
}
