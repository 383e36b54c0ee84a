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
            // A line of many has a hyphen behind its code.
            if text.ends_with(b"\n") && last.get(3) != Some(&b'-') {
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

    /// The provider compares what arrives with what it knows of this sender.
    pub fn send(&mut self, user: &str, message: &[u8]) {
        self.0.command(&format!("MAIL FROM:<{user}@example.test>"), "250");
        self.0.command("RCPT TO:<somebody@example.test>", "250");
        self.0.command("DATA", "354");
        self.0.tcp.write_all(message).unwrap();
        self.0.answer("250");
    }

    pub fn quit(mut self) {
        self.0.command("QUIT", "221");
    }
}
