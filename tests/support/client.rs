//! The client's side of a dialogue as raw bytes, and the usual programs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::{PATIENCE, mail, read_some};

/// A connection that sends what it is told and waits for lines.
pub struct Client {
    stream: TcpStream,
    waiting: Vec<u8>,
    /// What went back and forth, for the message of a failed test.
    log: String,
}

impl Client {
    /// Connects to a port of this computer.
    pub fn connect(port: u16) -> Self {
        Self::connect_to("127.0.0.1", port)
    }

    pub fn connect_to(host: &str, port: u16) -> Self {
        let address = SocketAddr::new(host.parse().unwrap(), port);
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        Self::over(stream)
    }

    /// Over a connection that is there already: one a test has accepted, to play the server by hand.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, waiting: Vec::new(), log: String::new() }
    }

    /// Connects and reads the greeting.
    pub fn greeted(port: u16, greeting: &str) -> Self {
        let mut client = Self::connect(port);
        client.expect(greeting);
        client
    }

    /// Sends these bytes and nothing else.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        super::secrets::heard(bytes);
        self.note("C", bytes);
        if let Err(error) = self.stream.write_all(bytes) {
            panic!("the other side takes no more ({error}):\n{}", self.log);
        }
    }

    /// As [`send`](Self::send), for what is too much to be kept for a message.
    pub fn send_silently(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            panic!("the other side takes no more ({error}):\n{}", self.log);
        }
    }

    /// The connection itself, for whoever goes on by hand; nothing may be waiting.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends a line, one byte per segment.
    pub fn send_slowly(&mut self, bytes: &[u8]) {
        super::secrets::heard(bytes);
        for byte in bytes {
            self.send([*byte]);
        }
    }

    /// Sends a line and its CRLF.
    pub fn say(&mut self, line: &str) {
        super::secrets::typed(line);
        self.send(format!("{line}\r\n"));
    }

    /// Sends a line and waits for the answer that begins like this.
    pub fn ask(&mut self, line: &str, answer: &str) -> String {
        self.say(line);
        self.expect(answer)
    }

    /// As [`ask`](Self::ask), for an SMTP reply of one or more lines; returned whole.
    pub fn ask_reply(&mut self, line: &str, code: &str) -> String {
        self.say(line);
        self.expect_reply(code)
    }

    /// The next line has to begin like this.
    pub fn expect(&mut self, start: &str) -> String {
        let line = self.line().unwrap_or_else(|| panic!("closed instead of {start:?}:\n{}", self.log));
        assert!(line.starts_with(start), "{line:?} instead of {start:?}:\n{}", self.log);
        line
    }

    /// The next SMTP reply, all its lines, has to have this code (or to begin like this).
    pub fn expect_reply(&mut self, start: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(start), "{reply:?} instead of {start:?}:\n{}", self.log);
        reply
    }

    /// The next SMTP reply, whatever it is.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().unwrap_or_else(|| panic!("closed instead of a reply:\n{}", self.log));
            reply.push_str(&line);
            reply.push('\n');
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// A POP3 multi-line answer: the status line has to be `+OK`; what follows, dots removed, up to the lone dot.
    pub fn expect_body(&mut self) -> Vec<u8> {
        self.expect("+OK");
        let mut wire = Vec::new();
        loop {
            let line = self.raw_line().unwrap_or_else(|| panic!("closed in a message:\n{}", self.log));
            if line == b".\r\n" {
                return mail::unstuffed(&wire);
            }
            wire.extend_from_slice(&line);
        }
    }

    /// The next line without its end; none if the other side has closed.
    pub fn line(&mut self) -> Option<String> {
        let line = self.raw_line()?;
        let text = String::from_utf8_lossy(&line).into_owned();
        assert!(text.ends_with("\r\n"), "a line that ends with no CRLF: {text:?}\n{}", self.log);
        Some(text.trim_end_matches("\r\n").to_owned())
    }

    /// The next line with its end, as it came.
    pub fn raw_line(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                // It may be a provider's side, and this an answer to its challenge.
                super::secrets::heard(&line);
                self.note("S", &line);
                return Some(line);
            }
            if !self.more(deadline) {
                assert!(self.waiting.is_empty(), "closed inside a line: {:?}\n{}", self.waiting, self.log);
                return None;
            }
        }
    }

    /// The next line with its end, or what there is of it before the connection ends.
    pub fn part_of_line(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        while !self.waiting.contains(&b'\n') {
            if !self.more(deadline) {
                return (!self.waiting.is_empty()).then(|| std::mem::take(&mut self.waiting));
            }
        }
        self.raw_line()
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.more(deadline) {}
        std::mem::take(&mut self.waiting)
    }

    /// The other side has to close now, without another word.
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?} instead of the end:\n{}", String::from_utf8_lossy(&rest), self.log);
    }

    /// Ends the connection with a reset instead of a goodbye.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Has sent its last byte, and still listens.
    pub fn half_close(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Sends as much as is taken; whether that was all of it.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        super::secrets::heard(bytes);
        self.note("C", bytes);
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a line, if it is taken, and hears the answer, if there is one: the last line of it.
    pub fn try_ask(&mut self, line: &str) -> Option<String> {
        super::secrets::typed(line);
        if !self.try_send(format!("{line}\r\n")) {
            return None;
        }
        self.try_reply()
    }

    /// The next reply's last line, if there is one before the end.
    pub fn try_reply(&mut self) -> Option<String> {
        loop {
            let line = self.line()?;
            if line.as_bytes().get(3) != Some(&b'-') || line.starts_with('-') {
                return Some(line);
            }
        }
    }

    /// What was said, for a message.
    pub fn log(&self) -> &str {
        &self.log
    }

    fn more(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "no answer within {PATIENCE:?}:\n{}", self.log);
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut block = [0; 65536];
        match read_some(&self.stream, &mut block) {
            Ok(0) => false,
            Ok(count) => {
                self.waiting.extend_from_slice(&block[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}\n{}", self.log),
        }
    }

    fn note(&mut self, who: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        self.log.push_str(&format!("{who}: {}\n", text.escape_debug()));
    }
}

/// Sends one message the plain way and returns the answer to the final dot.
pub fn send(port: u16, from: &str, to: &[&str], message: &[u8]) -> String {
    let mut client = Client::greeted(port, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{from}>"), "250");
    for recipient in to {
        client.ask_reply(&format!("RCPT TO:<{recipient}>"), "250");
    }
    client.ask_reply("DATA", "354");
    client.send(mail::stuffed(message));
    let answer = client.expect_reply("250");
    client.ask_reply("QUIT", "221");
    answer
}

/// Fetches everything in a mailbox the plain way; deletes nothing.
pub fn fetch(port: u16, user: &str, password: &str) -> Vec<Vec<u8>> {
    let mut client = Client::greeted(port, "+OK");
    client.ask(&format!("USER {user}"), "+OK");
    client.ask(&format!("PASS {password}"), "+OK");
    let count: usize = client.ask("STAT", "+OK ").split(' ').nth(1).unwrap().parse().unwrap();
    let messages = (1..=count)
        .map(|number| {
            client.say(&format!("RETR {number}"));
            client.expect_body()
        })
        .collect();
    client.ask("QUIT", "+OK");
    messages
}
