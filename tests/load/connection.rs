//! One side of a dialogue, quick enough for thousands of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::support::PATIENCE;

/// What a connection runs over.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

pub(crate) struct Talk {
    pub(crate) wire: BufReader<Box<dyn Wire>>,
}

impl Talk {
    pub(crate) fn to(port: u16) -> Self {
        Self::over(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::on(Box::new(stream))
    }

    pub(crate) fn on(wire: Box<dyn Wire>) -> Self {
        Self { wire: BufReader::with_capacity(64 * 1024, wire) }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.get_mut().write_all(bytes)?;
        self.wire.get_mut().flush()
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// The next line without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.wire.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// The last line of the next reply.
    pub(crate) fn reply(&mut self) -> io::Result<String> {
        loop {
            let line = self.line()?;
            if line.as_bytes().get(3) != Some(&b'-') || line.starts_with("-ERR") {
                return Ok(line);
            }
        }
    }

    /// Says a line, and the answer has to begin like this.
    pub(crate) fn ask(&mut self, line: &str, answer: &str) -> io::Result<String> {
        self.say(line)?;
        let reply = self.reply()?;
        if reply.starts_with(answer) { Ok(reply) } else { Err(io::Error::other(format!("{line}: {reply}"))) }
    }

    /// Everything up to the lone dot, the dot not included, as it came.
    pub(crate) fn text(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let start = text.len();
            let count = self.wire.read_until(b'\n', &mut text)?;
            // It may break off behind a whole line.
            if count == 0 || !text.ends_with(b"\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if &text[start..] == b".\r\n" {
                text.truncate(start);
                return Ok(text);
            }
        }
    }
}
