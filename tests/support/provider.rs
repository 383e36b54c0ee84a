//! A peer that plays a written part and records what it is told: for what no real server can be made to do, such as
//! to break off in the middle of a line.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::ca::ServerCert;
use super::{PATIENCE, read_some};

/// One step of a part.
#[derive(Clone)]
pub enum Step {
    /// Says these bytes.
    Send(Vec<u8>),
    /// Waits for a line that begins like this, letter case aside. A POP3 client may ask for `CAPA` at any time and
    /// is refused, unless that is the line waited for.
    Expect(String),
    /// Reads a message up to its final dot.
    ExpectMessage,
    /// Reads a piece of a message, with the BDAT before it; whether it says that it is the last.
    ExpectPiece(bool),
    /// Reads pieces that are not the last until so many octets of the message have come, then says a line for each.
    ExpectPieces(usize, &'static str),
    /// Answers lines until the other side goes away, each with what stands beside the first beginning that fits it. Its line
    /// end is a part of a line; letter case does not matter. A line that fits none is trouble.
    Serve(Vec<(Vec<u8>, String)>),
    /// Goes over to TLS.
    StartTls,
    /// Closes the connection in good order.
    Close,
    /// Closes it with a reset.
    Reset,
    /// Closes it without TLS's goodbye, as a process does that ends.
    Cut,
    /// Says nothing more, and waits until the other side goes away.
    Stall,
    /// Neither says nor reads anything more, and keeps the connection as long as the test lives.
    Deaf,
    /// Reads until so many bytes have come on this connection, whatever they are.
    Until(usize),
    /// Says these bytes one at a time, with this between them.
    Drip(Vec<u8>, Duration),
    /// Lets time pass, as a slow server does.
    Pause(Duration),
    /// Notes for the test that the part has come this far.
    Mark(Marks, &'static str),
}

/// What happened at several peers, in order.
#[derive(Clone, Default)]
pub struct Marks(Arc<Mutex<Vec<&'static str>>>);

impl Marks {
    pub fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Says a line.
pub fn say(line: &str) -> Step {
    Step::Send(format!("{line}\r\n").into_bytes())
}

/// Waits for a line.
pub fn expect(start: &str) -> Step {
    Step::Expect(start.to_owned())
}

/// Answers lines until the other side goes away: pairs of the beginning of a line, and what is said to it.
pub fn serve(answers: &[(&[u8], &str)]) -> Step {
    Step::Serve(answers.iter().map(|(line, said)| (line.to_vec(), format!("{said}\r\n"))).collect())
}

/// One connection's part.
pub type Part = Vec<Step>;

/// What became of one connection.
#[derive(Clone, Default, Debug)]
pub struct Session {
    /// Everything received, after TLS.
    pub received: Vec<u8>,
    /// Why the part was not played to its end.
    pub trouble: Option<String>,
    pub over: bool,
    /// How often the other side spoke after this one had: each time is a round trip.
    pub round_trips: usize,
    /// This side spoke last.
    spoke_last: bool,
    /// Where the connection came from.
    pub from: Option<SocketAddr>,
    /// Its TLS went on from an earlier connection.
    pub resumed: bool,
}

/// A running peer.
pub struct Provider {
    pub port: u16,
    shared: Arc<Shared>,
}

/// A port whose queue is full: a connection to it gets no answer, as when a firewall drops it.
pub struct FullQueue {
    pub port: u16,
    _sockets: Vec<Socket>,
}

impl FullQueue {
    pub fn at(address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        let socket = || Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        let listener = socket();
        if address.is_ipv6() {
            listener.set_only_v6(true).unwrap();
        }
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let full = listener.local_addr().unwrap();
        let waiting = (0..4).map(|_| {
            let socket = socket();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&full);
            socket
        });
        let sockets = waiting.chain([listener]).collect();
        Self { port: full.as_socket().unwrap().port(), _sockets: sockets }
    }
}

struct Shared {
    /// What the next connections play.
    parts: Mutex<VecDeque<Part>>,
    sessions: Mutex<Vec<Session>>,
    changed: Condvar,
}

impl Provider {
    /// Plays the first part on the first connection, and so on; connections beyond the last part are closed.
    pub fn start(parts: Vec<Part>) -> Self {
        Self::start_at("127.0.0.1", parts)
    }

    /// Plays this part on every connection for which [`next`](Self::next) gave no other.
    pub fn always(part: Part) -> Self {
        Self::run(TcpListener::bind(("127.0.0.1", 0)).unwrap(), None, false, Vec::new(), part)
    }

    /// As [`always`](Self::always), inside TLS from the first byte or from [`Step::StartTls`] on.
    pub fn always_tls(cert: &ServerCert, at_once: bool, part: Part) -> Self {
        Self::run(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(cert), at_once, Vec::new(), part)
    }

    /// The next connection plays this.
    pub fn next(&self, part: Part) {
        self.shared.parts.lock().unwrap().push_back(part);
    }

    /// As [`start`](Self::start), on another address of this computer.
    pub fn start_at(host: &str, parts: Vec<Part>) -> Self {
        Self::run(TcpListener::bind((host, 0)).unwrap(), None, false, parts, Part::new())
    }

    /// As [`start`](Self::start); the certificate is shown from the first byte.
    pub fn start_tls(cert: &ServerCert, parts: Vec<Part>) -> Self {
        Self::run(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(cert), true, parts, Part::new())
    }

    /// As [`start`](Self::start); the certificate is shown at [`Step::StartTls`].
    pub fn start_starttls(cert: &ServerCert, parts: Vec<Part>) -> Self {
        Self::run(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(cert), false, parts, Part::new())
    }

    fn run(listener: TcpListener, cert: Option<&ServerCert>, at_once: bool, parts: Vec<Part>, default: Part) -> Self {
        let tls = cert.map(ServerCert::server_config);
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { parts: Mutex::new(parts.into()), sessions: Mutex::default(), changed: Condvar::new() });
        let known = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // What is said in pieces leaves in pieces.
                let _ = stream.set_nodelay(true);
                let mut part = known.parts.lock().unwrap().pop_front().unwrap_or_else(|| default.clone());
                if at_once {
                    part.insert(0, Step::StartTls);
                }
                let number = {
                    let mut sessions = known.sessions.lock().unwrap();
                    sessions.push(Session { from: stream.peer_addr().ok(), ..Session::default() });
                    known.changed.notify_all();
                    sessions.len() - 1
                };
                let (shared, tls) = (Arc::clone(&known), tls.clone());
                std::thread::spawn(move || {
                    let mut peer = Peer { stream: Stream::Plain(stream), waiting: Vec::new(), shared, number };
                    let outcome = peer.play(&part, tls.as_ref());
                    peer.record(|session| {
                        session.trouble = outcome.err();
                        session.over = true;
                    });
                });
            }
        });
        Self { port, shared }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.sessions.lock().unwrap().len()
    }

    /// Waits until a connection's part is over, and returns what was received; a part that was not played to its
    /// end fails the test.
    pub fn finished(&self, number: usize) -> Vec<u8> {
        let session = self.over(number);
        assert!(
            session.trouble.is_none(),
            "the part was not played: {}; received {:?}",
            session.trouble.unwrap(),
            String::from_utf8_lossy(&session.received)
        );
        session.received
    }

    /// Waits until a connection is over, however it ended.
    pub fn over(&self, number: usize) -> Session {
        self.wait(|sessions| sessions.get(number).filter(|session| session.over).cloned())
    }

    /// What became of each connection so far.
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.sessions.lock().unwrap().clone()
    }

    /// Waits until a connection has received this text.
    pub fn received(&self, number: usize, text: &str) {
        self.wait(|sessions| memchr::memmem::find(&sessions.get(number)?.received, text.as_bytes()).map(drop));
    }

    fn wait<T>(&self, mut ask: impl FnMut(&[Session]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut sessions = self.shared.sessions.lock().unwrap();
        loop {
            if let Some(answer) = ask(&sessions) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the peer waits in vain: {sessions:?}");
            sessions = self.shared.changed.wait_timeout(sessions, left).unwrap().0;
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

struct Peer {
    stream: Stream,
    waiting: Vec<u8>,
    shared: Arc<Shared>,
    number: usize,
}

impl Peer {
    fn play(&mut self, part: &[Step], tls: Option<&Arc<ServerConfig>>) -> Result<(), String> {
        let mut octets_in_pieces = 0;
        for step in part {
            match step {
                Step::Send(bytes) => self.write(bytes)?,
                Step::Expect(start) => {
                    let mut line = self.line()?;
                    while line.eq_ignore_ascii_case("CAPA") && !start.eq_ignore_ascii_case("CAPA") {
                        self.write(b"-ERR no such command\r\n")?;
                        line = self.line()?;
                    }
                    if !line.to_ascii_lowercase().starts_with(&start.to_ascii_lowercase()) {
                        return Err(format!("{line:?} instead of {start:?}"));
                    }
                }
                Step::Serve(answers) => {
                    while let Some(line) = self.next_line()? {
                        let begins = |start: &[u8]| {
                            line.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
                        };
                        let Some((_, said)) = answers.iter().find(|(start, _)| begins(start)) else {
                            return Err(format!("no answer to {:?}", String::from_utf8_lossy(&line)));
                        };
                        self.write(said.as_bytes())?;
                    }
                }
                Step::ExpectMessage => while self.line()? != "." {},
                Step::ExpectPiece(is_last) => octets_in_pieces += self.piece(*is_last)?,
                Step::ExpectPieces(octets, line) => {
                    let mut pieces = 0;
                    while octets_in_pieces < *octets {
                        octets_in_pieces += self.piece(false)?;
                        pieces += 1;
                    }
                    self.write(format!("{line}\r\n").repeat(pieces).as_bytes())?;
                }
                Step::StartTls => self.start_tls(tls.ok_or("no certificate for this part")?)?,
                Step::Close => {
                    self.close();
                    return Ok(());
                }
                Step::Reset => {
                    if let Stream::Plain(stream) = &self.stream {
                        let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
                    } else if let Stream::Tls(stream) = &self.stream {
                        let _ = socket2::SockRef::from(&stream.sock).set_linger(Some(std::time::Duration::ZERO));
                    }
                    self.stream = Stream::Gone;
                    return Ok(());
                }
                Step::Cut => {
                    match std::mem::replace(&mut self.stream, Stream::Gone) {
                        Stream::Plain(stream) => drop(stream.shutdown(std::net::Shutdown::Both)),
                        Stream::Tls(stream) => drop(stream.sock.shutdown(std::net::Shutdown::Both)),
                        Stream::Gone => {}
                    }
                    return Ok(());
                }
                Step::Deaf => {
                    std::mem::forget(std::mem::replace(&mut self.stream, Stream::Gone));
                    return Ok(());
                }
                Step::Until(count) => {
                    while self.heard() < *count {
                        if !self.more()? {
                            return Err("the other side closed".to_owned());
                        }
                    }
                }
                Step::Drip(bytes, time) => {
                    for byte in bytes {
                        self.write(&[*byte])?;
                        std::thread::sleep(*time);
                    }
                }
                Step::Pause(time) => std::thread::sleep(*time),
                Step::Mark(marks, what) => marks.0.lock().unwrap().push(what),
                Step::Stall => {
                    while self.more()? {}
                    return Ok(());
                }
            }
        }
        self.close();
        Ok(())
    }

    fn start_tls(&mut self, config: &Arc<ServerConfig>) -> Result<(), String> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err("TLS inside TLS".to_owned());
        };
        if !self.waiting.is_empty() {
            return Err(format!("more before TLS: {:?}", self.waiting));
        }
        let session = ServerConnection::new(Arc::clone(config)).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(session, stream);
        stream.sock.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| format!("TLS: {error}"))?;
        }
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        self.record(|session| session.resumed = resumed);
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// Says goodbye, and lets the other side read all of it before the socket goes.
    fn close(&mut self) {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(mut stream) => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                self.drain(&mut stream);
            }
            Stream::Tls(mut stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                let _ = stream.sock.shutdown(std::net::Shutdown::Write);
                let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
            }
            Stream::Gone => {}
        }
    }

    /// What still comes is recorded, for it was said to this peer.
    fn drain(&self, stream: &mut TcpStream) {
        let mut block = [0; 16384];
        while let Ok(count @ 1..) = read_some(&mut *stream, &mut block) {
            self.record(|session| session.received.extend_from_slice(&block[..count]));
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.record(|session| session.spoke_last = true);
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Gone => return Err("gone".to_owned()),
        };
        outcome.map_err(|error| format!("cannot send: {error}"))
    }

    /// Returns how many octets it has.
    fn piece(&mut self, is_last: bool) -> Result<usize, String> {
        let line = self.line()?;
        let words: Vec<_> = line.split(' ').collect();
        let octets: usize = match (words.as_slice(), is_last) {
            (["BDAT", octets, "LAST"], true) | (["BDAT", octets], false) => octets.parse().map_err(|_| line.clone())?,
            _ => return Err(format!("{line:?} instead of BDAT, the last: {is_last}")),
        };
        while self.waiting.len() < octets {
            if !self.more()? {
                return Err("the other side closed in a piece".to_owned());
            }
        }
        self.waiting.drain(..octets);
        Ok(octets)
    }

    fn line(&mut self) -> Result<String, String> {
        let line = self.next_line()?.ok_or("the other side closed")?;
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next line with its line end; `None` at the end.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                super::secrets::heard(&line);
                return Ok(Some(line));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    fn more(&mut self) -> Result<bool, String> {
        let mut block = [0; 16384];
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
                read_some(stream, &mut block)
            }
            Stream::Tls(stream) => read_some(stream, &mut block),
            Stream::Gone => return Ok(false),
        };
        match outcome {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.waiting.extend_from_slice(&block[..count]);
                self.record(|session| {
                    session.received.extend_from_slice(&block[..count]);
                    session.round_trips += usize::from(std::mem::take(&mut session.spoke_last));
                });
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(format!("cannot read: {error}")),
        }
    }

    fn heard(&self) -> usize {
        self.shared.sessions.lock().unwrap()[self.number].received.len()
    }

    fn record(&self, change: impl FnOnce(&mut Session)) {
        let mut sessions = self.shared.sessions.lock().unwrap();
        change(&mut sessions[self.number]);
        self.shared.changed.notify_all();
    }
}
