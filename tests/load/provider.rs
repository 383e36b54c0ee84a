//! A provider for thousands of sessions: POP3 and SMTP, with and without TLS, and behind a gate. It keeps account of every
//! message: what was fetched, deleted and sent how often. Now and then it breaks off.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::connection::Talk;
use crate::messages::{letter, number_of};
use crate::support::ca::ServerCert;

/// How long a login opens the gate.
const WINDOW: Duration = Duration::from_secs(60);
/// Every so many messages the provider breaks off, the first time.
const BREAKS: u64 = 53;

/// The books.
#[derive(Default)]
pub(crate) struct Books {
    next: AtomicU64,
    /// Messages that lie in the mailbox again, because nobody committed their deletion.
    back: Mutex<Vec<u64>>,
    broken: Mutex<HashSet<u64>>,
    pub(crate) deleted: Mutex<HashMap<u64, u32>>,
    pub(crate) sent: Mutex<HashMap<u64, u32>>,
    logins: Mutex<HashMap<String, Instant>>,
    pub(crate) nonsense: Mutex<Vec<String>>,
}

impl Books {
    fn take(&self) -> u64 {
        let back = self.back.lock().unwrap().pop();
        back.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether this is the time to break off.
    fn breaks(&self, number: u64) -> bool {
        number % BREAKS == 7 && self.broken.lock().unwrap().insert(number)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pop3,
    Smtp,
    Gated,
}

/// The ports it has.
pub(crate) struct Provider {
    pub(crate) books: Arc<Books>,
    pub(crate) pop3: u16,
    pub(crate) smtp: u16,
    pub(crate) gated: u16,
    pub(crate) pop3s: u16,
    pub(crate) smtps: u16,
}

impl Provider {
    pub(crate) fn start(cert: &ServerCert) -> Self {
        let tls = cert.server_config();
        let books = Arc::new(Books::default());
        let open = |kind, tls: Option<&Arc<ServerConfig>>| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (books, tls) = (Arc::clone(&books), tls.cloned());
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (books, tls) = (Arc::clone(&books), tls.clone());
                    std::thread::spawn(move || {
                        // Who breaks off harms nobody.
                        let _ = serve(kind, stream, tls, &books);
                    });
                }
            });
            port
        };
        let (pop3, smtp, gated) = (open(Kind::Pop3, None), open(Kind::Smtp, None), open(Kind::Gated, None));
        let (pop3s, smtps) = (open(Kind::Pop3, Some(&tls)), open(Kind::Smtp, Some(&tls)));
        Self { books, pop3, smtp, gated, pop3s, smtps }
    }
}

fn serve(kind: Kind, stream: TcpStream, tls: Option<Arc<ServerConfig>>, books: &Books) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut talk = match tls {
        None => Talk::over(stream),
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            Talk::on(Box::new(StreamOwned::new(session, stream)))
        }
    };
    if kind == Kind::Pop3 { pop3(&mut talk, books) } else { smtp(&mut talk, books, kind == Kind::Gated) }
}

fn pop3(talk: &mut Talk, books: &Books) -> io::Result<()> {
    talk.say("+OK ready")?;
    let mut lease = Lease { books, number: None };
    let (mut user, mut deleted) = (String::new(), false);
    loop {
        let line = talk.line()?;
        match line.split(' ').next().unwrap() {
            "CAPA" => talk.send(b"+OK\r\nUSER\r\nUIDL\r\nRESP-CODES\r\n.\r\n")?,
            "USER" => {
                user = line[5..].to_owned();
                talk.say("+OK")?;
            }
            "PASS" => {
                books.logins.lock().unwrap().insert(user.clone(), Instant::now());
                talk.say("+OK in")?;
            }
            "STAT" => {
                lease.number.get_or_insert_with(|| books.take());
                talk.say("+OK 1 1000")?;
            }
            "RETR" => {
                let number = *lease.number.get_or_insert_with(|| books.take());
                let mut text = b"+OK\r\n".to_vec();
                text.extend(letter(number));
                if books.breaks(number) {
                    text.truncate(text.len() / 2);
                    return talk.send(&text);
                }
                text.extend_from_slice(b".\r\n");
                talk.send(&text)?;
            }
            "DELE" => {
                deleted = true;
                talk.say("+OK")?;
            }
            "QUIT" => {
                if let Some(number) = lease.number.filter(|_| deleted) {
                    lease.number = None;
                    *books.deleted.lock().unwrap().entry(number).or_default() += 1;
                }
                talk.say("+OK committed")?;
                return Ok(());
            }
            _ => {
                books.nonsense.lock().unwrap().push(line);
                talk.say("-ERR what")?;
            }
        }
    }
}

/// A message that is in a session; it lies in the mailbox again if that does not delete it.
struct Lease<'a> {
    books: &'a Books,
    number: Option<u64>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.books.back.lock().unwrap().extend(self.number);
    }
}

fn smtp(talk: &mut Talk, books: &Books, gated: bool) -> io::Result<()> {
    talk.say("220 ready")?;
    loop {
        let line = talk.line()?;
        match line.split([' ', ':']).next().unwrap() {
            "EHLO" if gated => talk.send(b"250-mx\r\n250 8BITMIME\r\n")?,
            "EHLO" => talk.send(b"250-mx\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n")?,
            "AUTH" => talk.say("235 in")?,
            "MAIL" if gated => {
                let open = books.logins.lock().unwrap().get("gate").is_some_and(|login| login.elapsed() < WINDOW);
                talk.say(if open { "250 ok" } else { "550 5.7.1 Relaying denied, check mail first" })?;
            }
            "MAIL" | "RCPT" | "RSET" => talk.say("250 ok")?,
            "DATA" => {
                talk.say("354 go on")?;
                let text = talk.text()?;
                match number_of(&text) {
                    Some(number) => {
                        *books.sent.lock().unwrap().entry(number).or_default() += 1;
                        if books.breaks(number) {
                            return Ok(());
                        }
                    }
                    None => books.nonsense.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned()),
                }
                talk.say("250 queued")?;
            }
            "QUIT" => return talk.say("221 bye"),
            _ => {
                books.nonsense.lock().unwrap().push(line);
                talk.say("500 what")?;
            }
        }
    }
}
