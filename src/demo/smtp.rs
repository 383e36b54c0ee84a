//! The demo provider's SMTP (RFC 5321, 1870, 2034, 6152) with its POP-before-SMTP gate, without its socket.

use std::net::IpAddr;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::mailroom::{ADDRESS, FOREIGN, Mailbox, MailboxFull, Mailroom};
use super::text::Text;
use ostler_mail::command::Command;
use ostler_mail::smtp::{parse_mail, parse_rcpt};
use ostler_mail::wire::Line;

/// The longest message that is accepted.
pub(super) const MAX_MESSAGE_OCTETS: usize = 16 * 1024 * 1024;
/// Recipients of one message; a server must accept at least 100 (RFC 5321, 4.5.3.1.8).
const MAX_RECIPIENTS: usize = 100;
/// After this many refused commands the connection ends.
const MAX_REFUSALS: usize = 50;

/// The answer to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A reply of one or more lines.
    Say(Vec<String>),
    /// The reply to DATA; the message follows.
    Data(String),
    /// The last line of the session.
    Bye(String),
}

/// One session.
pub(super) struct Smtp {
    room: Arc<Mailroom>,
    from: IpAddr,
    hello: Option<String>,
    has_sender: bool,
    to: Vec<Mailbox>,
    refusals: usize,
}

impl Smtp {
    pub(super) fn new(room: Arc<Mailroom>, from: IpAddr) -> Self {
        Self { room, from, hello: None, has_sender: false, to: Vec::new(), refusals: 0 }
    }

    pub(super) fn greeting() -> &'static str {
        "220 localhost ESMTP ostler's demo provider, no real mail server"
    }

    pub(super) fn on_line(&mut self, line: &Line) -> Answer {
        let command = Command::parse(line.bytes());
        let answer = match command.verb.as_str() {
            "EHLO" | "HELO" => self.hello(&command),
            "MAIL" => self.mail(command.rest),
            "RCPT" => self.rcpt(command.rest),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                say("250 2.0.0 forgotten")
            }
            "NOOP" => say("250 2.0.0 nothing done"),
            "VRFY" => say("252 2.5.0 send it and see"),
            "QUIT" => Answer::Bye("221 2.0.0 bye".into()),
            "AUTH" | "STARTTLS" => say("502 5.5.1 not offered: log in over POP3 first, TLS is on already"),
            _ => say("500 5.5.2 the demo provider does not know this command"),
        };
        self.count_refusal(answer)
    }

    /// Takes the message after DATA; returns the answer, and a note for the output.
    pub(super) fn on_text(&mut self, text: &Text) -> (Answer, Option<String>) {
        let to = std::mem::take(&mut self.to);
        let trace = self.trace();
        self.reset();
        let text = match text {
            Text::Whole(text) => text,
            Text::TooBig => return (say("552 5.3.4 the demo provider takes 16 MB"), None),
            Text::BrokenOff => return (Answer::Bye("421 4.4.2 the message broke off".into()), None),
        };
        match self.room.deliver(&to, &trace, text) {
            Err(MailboxFull) => (say("452 4.2.2 the mailbox is full, delete some mail"), None),
            Ok(number) => {
                let names: Vec<&str> = to.iter().map(|mailbox| mailbox.address()).collect();
                let what = format!("{} bytes for {}", text.len(), names.join(" and "));
                (say(&format!("250 2.0.0 delivered as number {number}")), Some(what))
            }
        }
    }

    fn hello(&mut self, command: &Command<'_>) -> Answer {
        let name = command.argument();
        if name.is_empty() {
            return say("501 5.5.4 a name is missing");
        }
        self.reset();
        // Shortened and cleaned, because it goes into the trace header.
        self.hello = Some(name.chars().filter(char::is_ascii_graphic).take(64).collect());
        let greeting = "localhost, ostler's demo provider";
        if command.verb == "HELO" {
            return say(&format!("250 {greeting}"));
        }
        let size = format!("250-SIZE {MAX_MESSAGE_OCTETS}");
        let lines = [&format!("250-{greeting}"), size.as_str(), "250-8BITMIME", "250 ENHANCEDSTATUSCODES"];
        Answer::Say(lines.map(String::from).to_vec())
    }

    fn mail(&mut self, rest: &[u8]) -> Answer {
        if self.hello.is_none() || self.has_sender {
            return say("503 5.5.1 this is not the time for MAIL");
        }
        match parse_mail(rest) {
            Err(objection) => say(objection),
            Ok(mail) if mail.size.is_some_and(|size| size > MAX_MESSAGE_OCTETS as u64) => {
                say("552 5.3.4 the demo provider takes 16 MB")
            }
            Ok(mail) => {
                self.has_sender = true;
                say(&format!("250 2.1.0 <{}>: sender taken", mail.sender))
            }
        }
    }

    fn rcpt(&mut self, rest: &[u8]) -> Answer {
        if !self.has_sender {
            return say("503 5.5.1 MAIL comes first");
        }
        let recipient = match parse_rcpt(rest) {
            Ok(recipient) => recipient,
            Err(objection) => return say(objection),
        };
        match self.mailbox_of(&recipient) {
            Err(reply) => say(&reply),
            Ok(_) if self.to.len() >= MAX_RECIPIENTS => say("452 4.5.3 too many recipients"),
            Ok(mailbox) => {
                if !self.to.contains(&mailbox) {
                    self.to.push(mailbox);
                }
                say(&format!("250 2.1.5 <{recipient}>: recipient taken"))
            }
        }
    }

    /// The mailbox for a recipient. One at another company needs an open gate.
    fn mailbox_of(&self, recipient: &str) -> Result<Mailbox, String> {
        if recipient.eq_ignore_ascii_case(ADDRESS) {
            return Ok(Mailbox::Own);
        }
        let own_domain = domain(ADDRESS);
        if domain(recipient).eq_ignore_ascii_case(own_domain) {
            return Err(format!("550 5.1.1 <{recipient}>: no such user here"));
        }
        if !self.room.may_relay(self.from) {
            return Err(format!("550 5.7.1 <{recipient}>: Relay access denied"));
        }
        if recipient.eq_ignore_ascii_case(FOREIGN) {
            return Ok(Mailbox::Foreign);
        }
        Err(format!("550 5.1.2 <{recipient}>: in this demo the whole world is {FOREIGN}"))
    }

    fn data(&self) -> Answer {
        if self.to.is_empty() {
            return say("503 5.5.1 RCPT comes first");
        }
        Answer::Data("354 end with a dot alone on its line".into())
    }

    /// The trace header that a server adds to a message (RFC 5321, 4.4).
    fn trace(&self) -> String {
        let now = OffsetDateTime::now_utc().format(&Rfc2822).unwrap_or_else(|_| "unknown".into());
        let hello = self.hello.as_deref().unwrap_or("unknown");
        let from = self.from.to_canonical();
        let address = if from.is_ipv6() { format!("[IPv6:{from}]") } else { format!("[{from}]") };
        format!("Received: from {hello} ({address}) by localhost (ostler's demo provider)\r\n\twith ESMTPS; {now}\r\n")
    }

    fn reset(&mut self) {
        self.has_sender = false;
        self.to.clear();
    }

    fn count_refusal(&mut self, answer: Answer) -> Answer {
        if matches!(&answer, Answer::Say(lines) if lines.iter().any(|line| line.starts_with('5'))) {
            self.refusals += 1;
        }
        if self.refusals > MAX_REFUSALS { Answer::Bye("421 4.7.0 too many errors".into()) } else { answer }
    }
}

fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

fn say(line: &str) -> Answer {
    Answer::Say(vec![line.to_owned()])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::mailroom::{Login, USER};
    use super::*;
    use ostler_mail::secret::Secret;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn room(window: Duration) -> Arc<Mailroom> {
        Arc::new(Mailroom::new(Arc::new(Secret::new("hunter2".to_owned()).unwrap()), "run".into(), window))
    }

    fn codes(smtp: &mut Smtp, said: &[&str]) -> Vec<String> {
        let code = |answer| match answer {
            Answer::Say(lines) => lines.last().unwrap().clone(),
            Answer::Data(line) | Answer::Bye(line) => line,
        };
        said.iter().map(|line| code(smtp.on_line(&Line::new(line.as_bytes())))[..3].to_owned()).collect()
    }

    #[test]
    fn the_gate_shuts_out_strangers_and_those_who_come_late() {
        for (window, code) in [(Duration::from_secs(120), "250"), (Duration::ZERO, "550")] {
            let room = room(window);
            let mut smtp = Smtp::new(Arc::clone(&room), HERE);
            codes(&mut smtp, &["EHLO x", "MAIL FROM:<ann@provider.example>"]);
            let foreign = format!("RCPT TO:<{FOREIGN}>");
            let refused = smtp.on_line(&Line::new(foreign.as_bytes()));
            assert_eq!(refused, say(&format!("550 5.7.1 <{FOREIGN}>: Relay access denied")));
            assert_eq!(
                codes(&mut smtp, &["RCPT TO:<ANN@provider.example>", "RCPT TO:<x@provider.example>"]),
                ["250", "550"]
            );
            assert!(matches!(room.log_in(USER, b"hunter2", HERE), Login::In(_)));
            assert_eq!(codes(&mut smtp, &[&foreign]), [code], "{window:?}");
        }
    }

    #[test]
    fn commands_have_their_order() {
        let mut smtp = Smtp::new(room(Duration::ZERO), HERE);
        let said = [
            "MAIL FROM:<a@b>",
            "HELO x",
            "RCPT TO:<a@b>",
            "DATA",
            "MAIL FROM: a@b SIZE=99999999",
            "MAIL FROM: a@b",
            "MAIL FROM: a@b",
            "DATA",
            "RCPT TO: ann@provider.example",
            "RSET",
            "DATA",
            "NONSENSE",
            "AUTH PLAIN x",
            "QUIT",
        ];
        let wanted = ["503", "250", "503", "503", "552", "250", "503", "503", "250", "250", "503", "500", "502", "221"];
        assert_eq!(codes(&mut smtp, &said), wanted);
        assert!(codes(&mut smtp, &["X"; 60]).contains(&"421".to_owned()));
    }

    #[test]
    fn a_message_is_delivered_once_to_each_recipient() {
        let room = room(Duration::from_secs(9));
        let mut smtp = Smtp::new(Arc::clone(&room), HERE);
        let own = "RCPT TO:<ann@provider.example>";
        assert_eq!(
            codes(&mut smtp, &["EHLO x", "MAIL FROM:<>", own, own, "DATA"]),
            ["250", "250", "250", "250", "354"]
        );
        let (answer, delivered) = smtp.on_text(&Text::Whole(b"Subject: x\r\n".to_vec()));
        assert_eq!(answer, say("250 2.0.0 delivered as number 1"));
        assert_eq!(delivered.unwrap(), "12 bytes for ann@provider.example");
        let own = room.messages(Mailbox::Own);
        assert_eq!(own.len(), 1);
        assert!(
            own[0].octets.starts_with(b"Received: from x ([127.0.0.1])") && own[0].octets.ends_with(b"Subject: x\r\n")
        );
        assert_eq!(codes(&mut smtp, &["DATA"]), ["503"], "the transaction is over");
    }
}
