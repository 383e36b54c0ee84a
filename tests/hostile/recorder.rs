//! A provider that takes whatever is said to it, and keeps it: what came of a client's misbehaviour.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::honest::MESSAGE;
use crate::support::{mail, wait_for};

/// What a server has heard.
#[derive(Default, Clone, Debug)]
pub struct Told {
    /// Connections that are open.
    pub open: usize,
    /// Connections there were.
    pub came: usize,
    /// Every command line, its line end included.
    pub commands: Vec<Vec<u8>>,
    /// Every message that came to its end, as it came.
    pub messages: Vec<Vec<u8>>,
    /// Deletions that a QUIT has committed.
    pub committed: usize,
}

impl Told {
    /// Whether a command began like this, letter case aside.
    pub fn has(&self, start: &str) -> bool {
        self.count(start) > 0
    }

    /// How many commands did.
    pub fn count(&self, start: &str) -> usize {
        let start = start.to_ascii_uppercase().into_bytes();
        self.commands.iter().filter(|line| line.to_ascii_uppercase().starts_with(&start)).count()
    }
}

/// A server of one protocol, in clear.
pub struct House {
    pub port: u16,
    told: Arc<Mutex<Told>>,
}

impl House {
    pub fn smtp() -> Self {
        Self::start(smtp)
    }

    pub fn pop3() -> Self {
        Self::start(pop3)
    }

    pub fn imap() -> Self {
        Self::start(imap)
    }

    fn start(serve: fn(&TcpStream, &Mutex<Told>) -> Option<()>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&shared);
                change(&told, |told| (told.came, told.open) = (told.came + 1, told.open + 1));
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    serve(&stream, &told);
                    change(&told, |told| told.open -= 1);
                });
            }
        });
        Self { port, told }
    }

    /// What it has heard so far.
    pub fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    /// Waits until nobody is connected, and takes what it has heard.
    pub fn take(&self) -> Told {
        wait_for("the provider's sessions to end", || (self.told().open == 0).then_some(()));
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn change(told: &Mutex<Told>, change: impl FnOnce(&mut Told)) {
    change(&mut told.lock().unwrap());
}

/// The next line; none at the end.
fn hear(input: &mut impl BufRead, told: &Mutex<Told>) -> Option<String> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line).ok()? == 0 || !line.ends_with(b"\n") {
        return None;
    }
    let text = String::from_utf8_lossy(&line).trim_end().to_ascii_uppercase();
    change(told, |told| told.commands.push(line));
    Some(text)
}

fn say(mut stream: &TcpStream, bytes: impl AsRef<[u8]>) -> Option<()> {
    stream.write_all(bytes.as_ref()).ok()
}

fn smtp(stream: &TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut input = BufReader::new(stream);
    say(stream, "220 ready\r\n")?;
    loop {
        let line = hear(&mut input, told)?;
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => say(stream, "250-mx\r\n250-8BITMIME\r\n250-SIZE 10000000\r\n250 AUTH PLAIN\r\n")?,
            "AUTH" => say(stream, "235 2.7.0 in\r\n")?,
            "DATA" => {
                say(stream, "354 go on\r\n")?;
                let mut message = Vec::new();
                while !message.ends_with(b"\r\n.\r\n") && message != b".\r\n" {
                    if input.read_until(b'\n', &mut message).ok()? == 0 {
                        return None;
                    }
                }
                change(told, |told| told.messages.push(message));
                say(stream, "250 2.0.0 queued\r\n")?;
            }
            "QUIT" => return say(stream, "221 bye\r\n"),
            _ => say(stream, "250 2.0.0 ok\r\n")?,
        }
    }
}

fn pop3(stream: &TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut input = BufReader::new(stream);
    say(stream, "+OK ready\r\n")?;
    let mut deleted = 0;
    loop {
        let line = hear(&mut input, told)?;
        match line.split(' ').next().unwrap_or_default() {
            "CAPA" => say(stream, "-ERR no such command\r\n")?,
            "STAT" => say(stream, "+OK 1 30\r\n")?,
            "LIST" => say(stream, "+OK\r\n1 30\r\n.\r\n")?,
            "RETR" => say(stream, [b"+OK\r\n".as_slice(), &mail::stuffed(MESSAGE)].concat())?,
            "DELE" => {
                deleted += 1;
                say(stream, "+OK deleted\r\n")?;
            }
            "QUIT" => {
                change(told, |told| told.committed += deleted);
                return say(stream, "+OK committed\r\n");
            }
            _ => say(stream, "+OK\r\n")?,
        }
    }
}

/// The rest of a command with literals, each asked for and read; the last of them is returned.
fn literals(stream: &TcpStream, input: &mut impl BufRead, told: &Mutex<Told>, line: &str) -> Option<Vec<u8>> {
    let (mut line, mut last) = (line.to_owned(), Vec::new());
    while let Some((_, inner)) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
        let digits = inner.trim_end_matches('+');
        if digits == inner {
            say(stream, "+ go on\r\n")?;
        }
        last = vec![0; digits.parse().ok()?];
        input.read_exact(&mut last).ok()?;
        line = hear(input, told)?;
    }
    Some(last)
}

/// The tag of the last command.
fn tag_of(told: &Mutex<Told>) -> String {
    let last = told.lock().unwrap().commands.last().cloned().unwrap_or_default();
    String::from_utf8_lossy(&last).split(' ').next().unwrap_or_default().to_owned()
}

fn imap(stream: &TcpStream, told: &Mutex<Told>) -> Option<()> {
    let mut input = BufReader::new(stream);
    say(stream, "* OK [CAPABILITY IMAP4rev1 UIDPLUS LITERAL+ IDLE] ready\r\n")?;
    let mut deleted = 0;
    loop {
        let line = hear(&mut input, told)?;
        let (_, rest) = line.split_once(' ')?;
        // As it was said: `hear` knows commands by upper case.
        let tag = tag_of(told);
        let verb = rest.split(' ').next().unwrap_or_default();
        let literal = literals(stream, &mut input, told, &line)?;
        match verb {
            "LOGIN" => say(stream, format!("{tag} OK [CAPABILITY IMAP4rev1 UIDPLUS LITERAL+ IDLE] in\r\n"))?,
            "SELECT" => say(stream, format!("* 1 EXISTS\r\n{tag} OK selected\r\n"))?,
            "FETCH" => {
                let head = format!("* 1 FETCH (BODY[] {{{}}}\r\n", MESSAGE.len());
                say(stream, [head.as_bytes(), MESSAGE, format!(")\r\n{tag} OK fetched\r\n").as_bytes()].concat())?;
            }
            "STORE" => {
                deleted += 1;
                say(stream, format!("{tag} OK stored\r\n"))?;
            }
            "EXPUNGE" => {
                change(told, |told| told.committed += std::mem::take(&mut deleted));
                say(stream, format!("* 1 EXPUNGE\r\n{tag} OK expunged\r\n"))?;
            }
            "APPEND" => {
                change(told, |told| told.messages.push(literal));
                say(stream, format!("{tag} OK appended\r\n"))?;
            }
            "IDLE" => {
                say(stream, "+ idling\r\n")?;
                hear(&mut input, told)?;
                say(stream, format!("{tag} OK idled\r\n"))?;
            }
            "LOGOUT" => return say(stream, format!("* BYE bye\r\n{tag} OK bye\r\n")),
            _ => say(stream, format!("{tag} OK done\r\n"))?,
        }
    }
}
