//! The provider: POP3, SMTP and IMAP in memory, in clear and inside TLS, near and at the end of a long line; one thread for
//! each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::client::{BEHIND_LITERAL, FETCHED, literal};
use crate::far;
use crate::mail::{self, Mailbox};
use crate::proxies::Ports;

/// Where the provider listens.
pub struct Doors {
    pub plain: Ports,
    pub tls: Ports,
}

/// What the provider offers for the key exchange of a handshake.
#[derive(Clone, Copy, PartialEq)]
pub enum KeyExchange {
    /// X25519MLKEM768 before all others, as rustls does and as Gmail does. stunnel with OpenSSL before 3.5 does not have it.
    Hybrid,
    /// X25519 alone: all columns make the same handshake.
    X25519,
}

impl KeyExchange {
    const fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::X25519 => "x25519",
        }
    }

    pub fn named(name: &str) -> Self {
        if name == Self::X25519.name() { Self::X25519 } else { Self::Hybrid }
    }
}

/// The running provider, seen from the measuring process.
pub struct Upstream {
    pub near: Doors,
    /// The same at the end of a line of `far::ROUND_TRIP`.
    pub far: Doors,
    process: Child,
    ask: ChildStdin,
    told: std::cell::RefCell<BufReader<ChildStdout>>,
}

impl Upstream {
    pub fn start(folder: &Path, key_exchange: KeyExchange) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("upstream")
            .arg(folder)
            .arg(key_exchange.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = process.stdin.take().unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap());
        let [near, far] = [(); 2].map(|()| Doors { plain: ports(&mut told), tls: ports(&mut told) });
        Self { near, far, process, ask, told: told.into() }
    }

    /// Full and resumed TLS handshakes so far.
    pub fn handshakes(&self) -> (u64, u64) {
        (&self.ask).write_all(b"\n").unwrap();
        let [full, resumed] = numbers(&mut *self.told.borrow_mut());
        (full, resumed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers<const N: usize>(told: &mut impl BufRead) -> [u64; N] {
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn ports(told: &mut impl BufRead) -> Ports {
    numbers(told).map(|port| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap())))
}

static HANDSHAKES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

struct Mail {
    small: Mailbox,
    big: Mailbox,
    letters: Mailbox,
    outgoing: Vec<u8>,
    /// As BDAT carries them: no dot is stuffed, and none ends the message.
    small_plain: Mailbox,
    outgoing_plain: Vec<u8>,
}

impl Mail {
    /// The mailbox of a user, and how many messages it has.
    fn of(&self, user: &str) -> (&Mailbox, usize) {
        match user {
            user if user.starts_with("BIG") => (&self.big, 1),
            user if user.starts_with("LETTERS") => (&self.letters, SMALL_MESSAGES),
            _ => (&self.small, SMALL_MESSAGES),
        }
    }

    /// The answer to LIST.
    fn list(&self, user: &str) -> Vec<u8> {
        let (mailbox, count) = self.of(user);
        let mut answer = String::from("+OK\r\n");
        for number in 1..=count {
            // Without the dot at its end.
            answer += &format!("{number} {}\r\n", mailbox.message(number).len() - 3);
        }
        (answer + ".\r\n").into_bytes()
    }
}

/// How many messages a mailbox of small ones has.
const SMALL_MESSAGES: usize = 10_000;

/// The provider's process: prints its ports, and for each line that comes in how many handshakes there were.
pub fn main(folder: &Path, key_exchange: KeyExchange) {
    let mail = Arc::new(Mail {
        small: Mailbox::small(),
        big: Mailbox::big(),
        letters: Mailbox::letters(),
        outgoing: mail::outgoing(),
        small_plain: Mailbox::small().plain(),
        outgoing_plain: mail::plain(&mail::outgoing()),
    });
    let tls = Arc::new(server_config(folder, key_exchange));
    let talks: [Talk; 3] = [pop, smtp, imap];
    let near = [None, Some(tls)].map(|tls| talks.map(|talk| listen(talk, tls.clone(), &mail)));
    for ports in near.into_iter().chain(near.map(|ports| ports.map(far::listen))) {
        println!("{} {} {}", ports[0], ports[1], ports[2]);
    }
    for _ in std::io::stdin().lines() {
        println!("{} {}", HANDSHAKES[0].load(Ordering::Relaxed), HANDSHAKES[1].load(Ordering::Relaxed));
    }
}

/// What a protocol says to a client.
type Talk = fn(&mut dyn Stream, &Mail) -> std::io::Result<()>;

/// Opens a door; its port.
fn listen(talk: Talk, tls: Option<Arc<ServerConfig>>, mail: &Arc<Mail>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mail = Arc::clone(mail);
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let (mail, tls) = (Arc::clone(&mail), tls.clone());
            std::thread::Builder::new().stack_size(256 * 1024).spawn(move || serve(tcp, tls, talk, &mail)).unwrap();
        }
    });
    port
}

fn server_config(folder: &Path, key_exchange: KeyExchange) -> ServerConfig {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if key_exchange == KeyExchange::X25519 {
        provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    }
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

fn serve(mut tcp: TcpStream, tls: Option<Arc<ServerConfig>>, talk: Talk, mail: &Mail) {
    let _ = tcp.set_nodelay(true);
    let Some(config) = tls else {
        let _ = talk(&mut tcp, mail);
        return;
    };
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            return;
        }
    }
    let is_resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    HANDSHAKES[usize::from(is_resumed)].fetch_add(1, Ordering::Relaxed);
    let _ = talk(&mut stream, mail);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The next line, in upper case.
fn line(stream: &mut dyn Stream, input: &mut Vec<u8>) -> std::io::Result<String> {
    loop {
        if let Some(end) = input.iter().position(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(&input[..end]).trim_end().to_ascii_uppercase();
            input.drain(..=end);
            return Ok(line);
        }
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&chunk[..n]);
    }
}

fn say(stream: &mut dyn Stream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text)?;
    stream.flush()
}

fn pop(stream: &mut dyn Stream, mail: &Mail) -> std::io::Result<()> {
    let (mut input, mut user, mut answer) = (Vec::new(), String::new(), Vec::new());
    say(stream, b"+OK ready\r\n")?;
    loop {
        let line = line(stream, &mut input)?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "USER" => {
                user = rest.to_owned();
                say(stream, b"+OK\r\n")?;
            }
            "PASS" if rest != "SECRET" => say(stream, b"-ERR [AUTH] no\r\n")?,
            "CAPA" => say(stream, b"+OK\r\nUSER\r\nTOP\r\nUIDL\r\nPIPELINING\r\n.\r\n")?,
            "RETR" => {
                let message = mail.of(&user).0.message(rest.parse().unwrap_or(0));
                answer.clear();
                answer.extend_from_slice(FETCHED);
                // In one write if it is small, as a real server's buffer would have it.
                let first = message.len().min(16 * 1024);
                answer.extend_from_slice(&message[..first]);
                stream.write_all(&answer)?;
                say(stream, &message[first..])?;
            }
            // What a program must know that reads ahead.
            "LIST" => say(stream, &mail.list(&user))?,
            "QUIT" => return say(stream, b"+OK bye\r\n"),
            _ => say(stream, b"+OK\r\n")?,
        }
    }
}

fn imap(stream: &mut dyn Stream, mail: &Mail) -> std::io::Result<()> {
    let (mut input, mut is_big) = (Vec::new(), false);
    say(stream, b"* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n")?;
    loop {
        let line = line(stream, &mut input)?;
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let (tag, words) = (tag.to_ascii_lowercase(), command.split([' ', '"']).collect::<Vec<_>>());
        let mut answer = Vec::new();
        match words[..] {
            ["LOGIN", ..] => is_big = command.contains("BIG@"),
            ["CAPABILITY", ..] => answer.extend_from_slice(b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n"),
            ["UID", "FETCH", number, ..] => {
                let number = number.parse().unwrap_or(0);
                let message = if is_big { &mail.big } else { &mail.small }.message(number);
                answer.extend_from_slice(literal(number, message.len()).as_bytes());
                let first = message.len().min(16 * 1024);
                answer.extend_from_slice(&message[..first]);
                if first < message.len() {
                    stream.write_all(&answer)?;
                    stream.write_all(&message[first..])?;
                    answer.clear();
                }
                answer.extend_from_slice(BEHIND_LITERAL);
            }
            ["LOGOUT", ..] => answer.extend_from_slice(b"* BYE\r\n"),
            _ => {}
        }
        answer.extend_from_slice(format!("{tag} OK done\r\n").as_bytes());
        say(stream, &answer)?;
        if words[0] == "LOGOUT" {
            return Ok(());
        }
    }
}

fn smtp(stream: &mut dyn Stream, mail: &Mail) -> std::io::Result<()> {
    let (mut input, mut is_big, mut number) = (Vec::new(), false, 0);
    // What has come by BDAT, and whether it is right so far.
    let mut chunks = (0, true);
    say(stream, b"220 ready\r\n")?;
    loop {
        let line = line(stream, &mut input)?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["EHLO", ..] => say(
                stream,
                b"250-provider\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 50000000\r\n",
            )?,
            ["AUTH", ..] => say(stream, b"235 2.7.0 in\r\n")?,
            ["MAIL", ..] => {
                is_big = line.contains("<BIG@");
                say(stream, b"250 2.1.0 ok\r\n")?;
            }
            ["RCPT", to, ..] => {
                number = to.split(['<', '@']).nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
                say(stream, b"250 2.1.5 ok\r\n")?;
            }
            ["DATA", ..] => {
                say(stream, b"354 go on\r\n")?;
                let wanted = if is_big { &mail.outgoing } else { mail.small.message(number) };
                let is_same = arrives(stream, &mut input, wanted)?;
                say(stream, taken(is_same))?;
            }
            ["BDAT", length, ref last @ ..] => {
                let wanted = if is_big { &mail.outgoing_plain } else { mail.small_plain.message(number) };
                let end = chunks.0 + length.parse::<usize>().unwrap_or(0);
                let piece = wanted.get(chunks.0..end);
                let is_same = arrives(stream, &mut input, piece.unwrap_or(&vec![0; end - chunks.0]))?;
                chunks = (end, chunks.1 && is_same && piece.is_some());
                if last.is_empty() {
                    say(stream, b"250 2.0.0 more\r\n")?;
                } else {
                    say(stream, taken(chunks == (wanted.len(), true)))?;
                    chunks = (0, true);
                }
            }
            ["QUIT", ..] => return say(stream, b"221 2.0.0 bye\r\n"),
            _ => say(stream, b"250 2.0.0 ok\r\n")?,
        }
    }
}

fn taken(is_same: bool) -> &'static [u8] {
    if is_same { b"250 2.0.0 taken\r\n" } else { b"554 5.6.0 this is not what was sent\r\n" }
}

/// Whether exactly this arrives; what is there already is in `early`, which keeps what is behind it.
fn arrives(stream: &mut dyn Stream, early: &mut Vec<u8>, wanted: &[u8]) -> std::io::Result<bool> {
    let mut chunk = vec![0; 64 * 1024];
    let mut at = early.len().min(wanted.len());
    let mut is_same = early[..at] == wanted[..at];
    early.drain(..at);
    while at < wanted.len() {
        let most = chunk.len().min(wanted.len() - at);
        let n = stream.read(&mut chunk[..most])?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        is_same = is_same && wanted[at..at + n] == chunk[..n];
        at += n;
    }
    Ok(is_same)
}
