//! The old mail program: plain, one command at a time, every answer and every octet of a message checked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::mail::Mailbox;

/// The status line before each message.
pub const FETCHED: &[u8] = b"+OK it follows\r\n";

struct Talk {
    tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Talk {
    fn begin(door: SocketAddr) -> Self {
        let tcp = TcpStream::connect(door).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { tcp, buffer: vec![0; 256 * 1024] }
    }

    fn command(&mut self, line: &str, wanted: &str) {
        self.tcp.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.answer(wanted);
    }

    /// Reads an answer of one or more lines; nothing may follow it.
    fn answer(&mut self, wanted: &str) {
        let mut got = 0;
        loop {
            let n = self.tcp.read(&mut self.buffer[got..]).unwrap();
            assert!(n > 0, "the connection was closed instead of {wanted}");
            got += n;
            let text = &self.buffer[..got];
            let last = text[..got - 1].iter().rposition(|b| *b == b'\n').map_or(text, |at| &text[at + 1..]);
            // A line of many has a hyphen behind its code; IMAP says BYE before it answers LOGOUT.
            let goes_on = last.get(3) == Some(&b'-') || last.starts_with(b"* BYE");
            if text.ends_with(b"\n") && !goes_on {
                assert!(
                    last.starts_with(wanted.as_bytes()),
                    "{wanted} expected, not {}",
                    String::from_utf8_lossy(text)
                );
                return;
            }
        }
    }

    fn expect(&mut self, mut wanted: &[u8]) {
        while !wanted.is_empty() {
            let most = self.buffer.len().min(wanted.len());
            let n = self.tcp.read(&mut self.buffer[..most]).unwrap();
            assert!(n > 0, "the connection was closed in the middle of a message");
            assert!(self.buffer[..n] == wanted[..n], "the message is not what the provider has");
            wanted = &wanted[n..];
        }
    }
}

/// A POP3 session.
pub struct Pop(Talk);

impl Pop {
    pub fn sign_in(door: SocketAddr, user: &str) -> Self {
        let mut pop = Self(Talk::begin(door));
        pop.0.answer("+OK");
        pop.command(&format!("USER {user}@example.test"), "+OK");
        pop.command("PASS secret", "+OK");
        pop
    }

    pub fn command(&mut self, line: &str, wanted: &str) {
        self.0.command(line, wanted);
    }

    pub fn fetch(&mut self, number: usize, mailbox: &Mailbox) {
        self.0.tcp.write_all(format!("RETR {number}\r\n").as_bytes()).unwrap();
        self.0.expect(FETCHED);
        self.0.expect(mailbox.message(number));
    }

    pub fn quit(mut self) {
        self.command("QUIT", "+OK");
    }
}

/// An IMAP session with a mailbox chosen.
pub struct Imap(Talk);

impl Imap {
    pub fn sign_in(door: SocketAddr, user: &str) -> Self {
        let mut imap = Self(Talk::begin(door));
        imap.0.answer("* OK");
        imap.0.command(&format!("a1 LOGIN {user}@example.test secret"), "a1 OK");
        imap.0.command("a2 SELECT INBOX", "a2 OK");
        imap
    }

    pub fn fetch(&mut self, number: usize, mailbox: &Mailbox) {
        let message = mailbox.message(number);
        self.0.tcp.write_all(format!("a3 UID FETCH {number} (BODY.PEEK[])\r\n").as_bytes()).unwrap();
        self.0.expect(literal(number, message.len()).as_bytes());
        self.0.expect(message);
        self.0.expect(BEHIND_LITERAL);
        self.0.answer("a3 OK");
    }

    pub fn quit(mut self) {
        self.0.command("a4 LOGOUT", "a4 OK");
    }
}

/// What stands before a message in the answer to a fetch.
pub fn literal(number: usize, length: usize) -> String {
    format!("* {number} FETCH (UID {number} BODY[] {{{length}}}\r\n")
}

/// What stands behind it.
pub const BEHIND_LITERAL: &[u8] = b")\r\n";

/// An SMTP session.
pub struct Smtp(Talk);

impl Smtp {
    /// Signed in with the password of `user`.
    pub fn begin(door: SocketAddr, user: &str) -> Self {
        use base64::Engine;
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}@example.test\0secret"));
        let mut smtp = Self(Talk::begin(door));
        smtp.0.answer("220");
        smtp.0.command("EHLO old", "250");
        smtp.0.command(&format!("AUTH PLAIN {plain}"), "235");
        smtp
    }

    /// The provider compares what arrives with the message that sender and recipient name.
    pub fn send(&mut self, user: &str, number: usize, message: &[u8]) {
        self.0.command(&format!("MAIL FROM:<{user}@example.test>"), "250");
        self.0.command(&format!("RCPT TO:<{number}@example.test>"), "250");
        self.0.command("DATA", "354");
        self.0.tcp.write_all(message).unwrap();
        self.0.answer("250");
    }

    pub fn quit(mut self) {
        self.0.command("QUIT", "221");
    }
}
