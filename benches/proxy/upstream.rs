//! The provider: POP3 and SMTP in memory, in clear and inside TLS, one thread for each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::client::FETCHED;
use crate::mail::{self, Mailbox};

/// The running provider, seen from the measuring process.
pub struct Upstream {
    /// POP3 and SMTP in clear, then POP3 and SMTP inside TLS.
    pub doors: [SocketAddr; 4],
    process: Child,
    ask: ChildStdin,
    told: std::cell::RefCell<BufReader<ChildStdout>>,
}

impl Upstream {
    pub fn start(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("upstream")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = process.stdin.take().unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap());
        let doors = numbers(&mut told).map(|port| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap())));
        Self { doors, process, ask, told: told.into() }
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

static HANDSHAKES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

struct Mail {
    small: Mailbox,
    big: Mailbox,
    outgoing: Vec<u8>,
}

/// The provider's process: prints its ports, and for each line that comes in how many handshakes there were.
pub fn main(folder: &Path) {
    let mail = Arc::new(Mail { small: Mailbox::small(), big: Mailbox::big(), outgoing: mail::outgoing() });
    let tls = Arc::new(server_config(folder));
    let ports: Vec<String> = [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(is_smtp, is_tls)| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            let (mail, tls) = (Arc::clone(&mail), is_tls.then(|| Arc::clone(&tls)));
            std::thread::spawn(move || {
                for tcp in listener.incoming().flatten() {
                    let (mail, tls) = (Arc::clone(&mail), tls.clone());
                    std::thread::Builder::new()
                        .stack_size(256 * 1024)
                        .spawn(move || serve(tcp, tls, is_smtp, &mail))
                        .unwrap();
                }
            });
            port
        })
        .collect();
    println!("{}", ports.join(" "));
    for _ in std::io::stdin().lines() {
        println!("{} {}", HANDSHAKES[0].load(Ordering::Relaxed), HANDSHAKES[1].load(Ordering::Relaxed));
    }
}

fn server_config(folder: &Path) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

fn serve(mut tcp: TcpStream, tls: Option<Arc<ServerConfig>>, is_smtp: bool, mail: &Mail) {
    let _ = tcp.set_nodelay(true);
    let talk = if is_smtp { smtp } else { pop };
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
    let (mut input, mut is_big, mut answer) = (Vec::new(), false, Vec::new());
    say(stream, b"+OK ready\r\n")?;
    loop {
        let line = line(stream, &mut input)?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "USER" => {
                is_big = rest.starts_with("BIG");
                say(stream, b"+OK\r\n")?;
            }
            "PASS" if rest != "SECRET" => say(stream, b"-ERR [AUTH] no\r\n")?,
            "CAPA" => say(stream, b"+OK\r\nUSER\r\nTOP\r\nUIDL\r\n.\r\n")?,
            "RETR" => {
                let message = if is_big { &mail.big } else { &mail.small }.message(rest.parse().unwrap_or(0));
                answer.clear();
                answer.extend_from_slice(FETCHED);
                // In one write if it is small, as a real server's buffer would have it.
                let first = message.len().min(16 * 1024);
                answer.extend_from_slice(&message[..first]);
                stream.write_all(&answer)?;
                say(stream, &message[first..])?;
            }
            "QUIT" => return say(stream, b"+OK bye\r\n"),
            _ => say(stream, b"+OK\r\n")?,
        }
    }
}

fn smtp(stream: &mut dyn Stream, mail: &Mail) -> std::io::Result<()> {
    let (mut input, mut is_big, mut number) = (Vec::new(), false, 0);
    say(stream, b"220 ready\r\n")?;
    loop {
        let line = line(stream, &mut input)?;
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => say(stream, b"250-provider\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n")?,
            "AUTH" => say(stream, b"235 2.7.0 in\r\n")?,
            "MAIL" => {
                is_big = line.contains("<BIG@");
                say(stream, b"250 2.1.0 ok\r\n")?;
            }
            "DATA" => {
                say(stream, b"354 go on\r\n")?;
                let wanted = if is_big { &mail.outgoing } else { mail.small.message(number) };
                let same = arrives(stream, &input, wanted)?;
                input.clear();
                number += 1;
                say(stream, if same { b"250 2.0.0 taken\r\n" } else { b"554 5.6.0 this is not what was sent\r\n" })?;
            }
            "QUIT" => return say(stream, b"221 2.0.0 bye\r\n"),
            _ => say(stream, b"250 2.0.0 ok\r\n")?,
        }
    }
}

/// Whether exactly this arrives.
fn arrives(stream: &mut dyn Stream, early: &[u8], wanted: &[u8]) -> std::io::Result<bool> {
    let mut chunk = vec![0; 64 * 1024];
    let (mut at, mut same) = (early.len(), wanted.starts_with(early));
    while at < wanted.len() {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        same = same && wanted.get(at..at + n) == Some(&chunk[..n]);
        at += n;
    }
    Ok(same)
}
