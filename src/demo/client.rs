//! The old mail programs of the demo: they say what Eudora and Outlook Express say, in the same order and spelling,
//! over plain TCP. They know only one course of each dialogue, and give up at anything else.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::mailroom::ADDRESS;
use super::smtp::MAX_MESSAGE_OCTETS;
use super::spoken::{Direction, Recorder, Reporter, Who};
use super::text::{Text, read_text, stuffed};
use crate::proxy::net::conn::{Conn, Read};
use ostler_mail::account::Protocol;
use ostler_mail::smtp::{Reply, ReplyParser};
use ostler_mail::wire::MAX_REPLY_LINE_OCTETS;

/// Outlook Express 4 asks its user after this time whether to go on waiting.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The password that they give; ostler replaces it by the right one.
const PASSWORD: &str = "anything";
/// A mailbox with more messages is refused.
const MAX_MESSAGES: usize = 1000;

/// A mail program of the late 1990s.
pub(super) struct Program {
    /// The name in the output.
    pub(super) name: &'static str,
    /// Records what it says and hears.
    pub(super) recorder: Recorder,
}

impl Program {
    /// Sends like Eudora 7 for Windows; returns the message as sent, without dot stuffing.
    pub(super) async fn eudora_sends(&self, door: SocketAddr, to: &[&str], message: &[u8]) -> Result<Vec<u8>, String> {
        let mut dialogue = self.open(Protocol::Smtp, door).await?;
        dialogue.greeting().await?;
        let mut hello = dialogue.smtp("EHLO oldpc").await?;
        if hello.code >= 400 {
            hello = dialogue.smtp("HELO oldpc").await?;
        }
        dialogue.expect_code(&hello, 250)?;
        if hello.lines.iter().any(|line| line.starts_with("AUTH ") && line.contains("LOGIN")) {
            dialogue.auth_login().await?;
        }
        // Eudora says it before every MAIL.
        dialogue.smtp_expect("RSET", 250).await?;
        dialogue.smtp_expect(&format!("MAIL FROM:<{ADDRESS}>"), 250).await?;
        for recipient in to {
            dialogue.smtp_expect(&format!("RCPT TO:<{recipient}>"), 250).await?;
        }
        dialogue.smtp_expect("DATA", 354).await?;
        // Eudora ends the data with CRLF.CRLF even after a line end, so every message grows by a blank line.
        let sent = [message, b"\r\n"].concat();
        dialogue.body(&sent).await?;
        dialogue.smtp_expect("QUIT", 221).await?;
        Ok(sent)
    }

    /// Fetches all messages like Eudora, and deletes them.
    pub(super) async fn eudora_fetches(&self, door: SocketAddr) -> Result<Vec<Vec<u8>>, String> {
        let mut dialogue = self.open(Protocol::Pop3, door).await?;
        dialogue.sign_in(ADDRESS).await?;
        let count = dialogue.stat().await?;
        let mut messages = Vec::new();
        if count > 0 {
            dialogue.pop3_text("UIDL").await?;
        }
        for number in 1..=count {
            // Eudora asks for the size before every RETR.
            dialogue.pop3(&format!("LIST {number}")).await?;
            messages.push(dialogue.pop3_text(&format!("RETR {number}")).await?);
            dialogue.pop3(&format!("DELE {number}")).await?;
        }
        dialogue.pop3("QUIT").await?;
        Ok(messages)
    }

    /// Sends like Outlook Express 6: HELO, no AUTH, blanks after the colons.
    pub(super) async fn outlook_sends(&self, door: SocketAddr, to: &[&str], message: &[u8]) -> Result<Vec<u8>, String> {
        let mut dialogue = self.open(Protocol::Smtp, door).await?;
        dialogue.greeting().await?;
        dialogue.smtp_expect("HELO oldpc", 250).await?;
        dialogue.smtp_expect(&format!("MAIL FROM: <{ADDRESS}>"), 250).await?;
        for recipient in to {
            dialogue.smtp_expect(&format!("RCPT TO: <{recipient}>"), 250).await?;
        }
        dialogue.smtp_expect("DATA", 354).await?;
        dialogue.body(message).await?;
        dialogue.smtp_expect("QUIT", 221).await?;
        Ok(message.to_vec())
    }

    /// Fetches all messages like Outlook Express, and deletes them.
    pub(super) async fn outlook_fetches(&self, door: SocketAddr) -> Result<Vec<Vec<u8>>, String> {
        let mut dialogue = self.open(Protocol::Pop3, door).await?;
        dialogue.sign_in(ADDRESS).await?;
        let count = dialogue.stat().await?;
        let mut messages = Vec::new();
        if count > 0 {
            dialogue.pop3_text("LIST").await?;
        }
        for number in 1..=count {
            messages.push(dialogue.pop3_text(&format!("RETR {number}")).await?);
        }
        for number in 1..=count {
            dialogue.pop3(&format!("DELE {number}")).await?;
        }
        dialogue.pop3("QUIT").await?;
        Ok(messages)
    }

    /// Reads the first message by IMAP like Netscape 4, and leaves it where it is.
    pub(super) async fn netscape_reads(&self, door: SocketAddr) -> Result<Vec<u8>, String> {
        let mut dialogue = self.open(Protocol::Imap, door).await?;
        dialogue.hear().await?;
        dialogue.imap("1", "capability").await?;
        let login = format!("2 login \"{ADDRESS}\" ");
        dialogue.say(&format!("{login}\"{PASSWORD}\""), &format!("{login}***")).await?;
        dialogue.until("2").await?;
        dialogue.imap("3", "select \"INBOX\"").await?;
        let message = dialogue.imap("4", "fetch 1 BODY[]").await?;
        // The tag of Netscape's goodbye is this.
        dialogue.imap("xxxx", "logout").await?;
        message.ok_or_else(|| dialogue.refused("no message"))
    }

    async fn open(&self, protocol: Protocol, door: SocketAddr) -> Result<Dialogue, String> {
        let no = |why: &dyn std::fmt::Display| format!("{} cannot connect to {door}: {why}", self.name);
        let tcp = match timeout(REPLY_TIMEOUT, TcpStream::connect(door)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(no(&error)),
            Err(_) => return Err(no(&"no answer")),
        };
        let _ = tcp.set_nodelay(true);
        let reporter = self.recorder.reporter(Who::Client(self.name), protocol);
        Ok(Dialogue { conn: Conn::new(tcp), reporter, name: self.name, last: "hello".into() })
    }
}

/// One connection to ostler.
struct Dialogue {
    conn: Conn<TcpStream>,
    reporter: Reporter,
    name: &'static str,
    /// The last command, without secrets.
    last: String,
}

impl Dialogue {
    async fn greeting(&mut self) -> Result<(), String> {
        let greeting = self.reply().await?;
        self.expect_code(&greeting, 220)
    }

    async fn auth_login(&mut self) -> Result<(), String> {
        self.smtp_expect("AUTH LOGIN", 334).await?;
        self.say(&BASE64.encode(ADDRESS), "***").await?;
        let prompt = self.reply().await?;
        self.expect_code(&prompt, 334)?;
        self.say(&BASE64.encode(PASSWORD), "***").await?;
        // If it is refused, Eudora goes on without signing in.
        self.reply().await.map(drop)
    }

    async fn body(&mut self, message: &[u8]) -> Result<(), String> {
        self.last = "the message".into();
        self.reporter.text(Direction::Said, message);
        let wire = stuffed(message);
        let sent = timeout(REPLY_TIMEOUT, self.conn.send(&wire)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(format!("{} could not send the message: ostler does not take it", self.name));
        }
        let reply = self.reply().await?;
        self.expect_code(&reply, 250)
    }

    async fn smtp_expect(&mut self, line: &str, code: u16) -> Result<(), String> {
        let reply = self.smtp(line).await?;
        self.expect_code(&reply, code)
    }

    async fn smtp(&mut self, line: &str) -> Result<Reply, String> {
        self.say(line, line).await?;
        self.reply().await
    }

    fn expect_code(&self, reply: &Reply, code: u16) -> Result<(), String> {
        if reply.code == code { Ok(()) } else { Err(self.refused(&reply.one_line())) }
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        let mut parser = ReplyParser::default();
        loop {
            let line = self.hear().await?;
            if let Some(reply) = parser.push(&line).map_err(|error| self.refused(&error.to_string()))? {
                return Ok(reply);
            }
        }
    }

    async fn sign_in(&mut self, user: &str) -> Result<(), String> {
        self.status().await?;
        self.pop3(&format!("USER {user}")).await?;
        self.say(&format!("PASS {PASSWORD}"), "PASS ***").await?;
        self.status().await.map(drop)
    }

    /// Asks how many messages there are. Eudora wants the number right after +OK.
    async fn stat(&mut self) -> Result<usize, String> {
        let status = self.pop3("STAT").await?;
        let count = status.strip_prefix("+OK ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.filter(|count| *count <= MAX_MESSAGES).ok_or_else(|| self.refused(&status))
    }

    async fn pop3(&mut self, line: &str) -> Result<String, String> {
        self.say(line, line).await?;
        self.status().await
    }

    async fn pop3_text(&mut self, line: &str) -> Result<Vec<u8>, String> {
        self.pop3(line).await?;
        match timeout(REPLY_TIMEOUT, read_text(&mut self.conn, 2 * MAX_MESSAGE_OCTETS)).await {
            Ok(Ok(Text::Whole(text))) => {
                self.reporter.text(Direction::Heard, &text);
                Ok(text)
            }
            _ => Err(self.refused("a message that does not end")),
        }
    }

    async fn status(&mut self) -> Result<String, String> {
        let line = self.hear().await?.printable();
        if line.starts_with("+OK") { Ok(line) } else { Err(self.refused(&line)) }
    }

    async fn imap(&mut self, tag: &str, command: &str) -> Result<Option<Vec<u8>>, String> {
        let line = format!("{tag} {command}");
        self.say(&line, &line).await?;
        self.until(tag).await
    }

    /// Hears lines up to the answer with this tag; the message among them, if there is one.
    async fn until(&mut self, tag: &str) -> Result<Option<Vec<u8>>, String> {
        let mut message = None;
        loop {
            let line = self.hear().await?.printable();
            if let Some(status) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return if status.starts_with("OK") { Ok(message) } else { Err(self.refused(&line)) };
            }
            let octets =
                line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, octets)| octets.parse());
            if let Some(Ok(octets)) = octets {
                message = Some(self.literal(octets).await?);
            }
        }
    }

    async fn literal(&mut self, octets: usize) -> Result<Vec<u8>, String> {
        if octets > 2 * MAX_MESSAGE_OCTETS {
            return Err(self.refused("a message that is too big"));
        }
        while self.conn.unused().len() < octets {
            match timeout(REPLY_TIMEOUT, self.conn.fill()).await {
                Ok(Ok(true)) => {}
                _ => return Err(self.refused("a message that does not end")),
            }
        }
        let message = self.conn.take_front(octets);
        self.reporter.text(Direction::Heard, &message);
        Ok(message)
    }

    async fn say(&mut self, line: &str, shown: &str) -> Result<(), String> {
        shown.clone_into(&mut self.last);
        self.reporter.said(shown.as_bytes());
        let sent = timeout(REPLY_TIMEOUT, self.conn.send(format!("{line}\r\n").as_bytes())).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(self.refused("nothing: the connection is gone")) }
    }

    async fn hear(&mut self) -> Result<ostler_mail::wire::Line, String> {
        match timeout(REPLY_TIMEOUT, self.conn.read_line(MAX_REPLY_LINE_OCTETS)).await {
            Ok(Ok(Read::Line(line))) => {
                self.reporter.heard(line.bytes());
                Ok(line)
            }
            Ok(Ok(Read::TooLong(_))) => Err(self.refused("a line without an end")),
            Ok(Ok(Read::End(_)) | Err(_)) => Err(self.refused("nothing: the connection is closed")),
            Err(_) => Err(self.refused("nothing for 30 s")),
        }
    }

    fn refused(&self, heard: &str) -> String {
        format!("{} said \"{}\" and heard: {heard}", self.name, self.last)
    }
}
