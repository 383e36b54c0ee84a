//! **A provider made for `ostler demo`, and for nothing else**: POP3 and IMAP over TLS, SMTP over TLS behind a POP-before-SMTP
//! gate, its own certificate authority, one mailbox and one at another company. It listens on loopback, keeps
//! everything in memory, reports every line, and ends when it is dropped. It says so in its greetings.
//!
//! Its answers are in `pop.rs`, `imap.rs` and `smtp.rs`, its mailboxes and its gate in `mailroom.rs`; its sockets are here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;
use super::imap::{self, Imap};
use super::mailroom::{Counts, Delivered, Mailbox, Mailroom};
use super::pop::{self, Pop};
use super::smtp::{self, MAX_MESSAGE_OCTETS, Smtp};
use super::spoken::{Direction, Recorder, Reporter, Who};
use super::text::{Text, read_text, stuffed};
use crate::proxy::net::conn::{Conn, Read};
use ostler_mail::account::Protocol;
use ostler_mail::secret::Secret;
use ostler_mail::wire::{Line, MAX_COMMAND_LINE_OCTETS};

/// A client that says nothing for this long is disconnected (RFC 1939, section 3, asks for at least this).
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// For a TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections at a time, for each port and address family.
const MAX_CONNECTIONS: usize = 64;
/// Attempts to find a port that is free in both address families.
const MAX_PORT_TRIES: usize = 20;
/// The wait after a failed accept. The cause, such as too many open files, may last.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A running provider.
pub(super) struct Provider {
    /// POP3 over TLS.
    pub(super) pop3: u16,
    /// SMTP over TLS.
    pub(super) smtp: u16,
    /// IMAP over TLS.
    pub(super) imap: u16,
    /// The certificate of the authority that has signed its servers' certificate.
    pub(super) ca_pem: String,
    room: Arc<Mailroom>,
    /// Dropping it ends every connection.
    _listeners: JoinSet<()>,
}

impl Provider {
    /// Starts a provider whose gate stays open for `window` after a login. `run_id` makes its message ids unique.
    pub(super) async fn start(
        window: Duration,
        password: Arc<Secret>,
        run_id: String,
        recorder: &Recorder,
    ) -> Result<Self, String> {
        let authority = Authority::new()?;
        let room = Arc::new(Mailroom::new(password, run_id, window));
        let mut listeners = JoinSet::new();
        let mut ports = [0; 3];
        for (port, protocol) in ports.iter_mut().zip([Protocol::Pop3, Protocol::Smtp, Protocol::Imap]) {
            let (found, bound) = bind().await.map_err(|e| format!("the demo provider has no port: {e}"))?;
            *port = found;
            for listener in bound {
                let reception = Reception {
                    protocol,
                    tls: TlsAcceptor::from(Arc::clone(&authority.server)),
                    room: Arc::clone(&room),
                    reporter: recorder.reporter(Who::Provider, protocol),
                };
                listeners.spawn(reception.receive(listener));
            }
        }
        let [pop3, smtp, imap] = ports;
        Ok(Self { pop3, smtp, imap, ca_pem: authority.pem, room, _listeners: listeners })
    }

    pub(super) fn messages(&self, mailbox: Mailbox) -> Vec<Arc<Delivered>> {
        self.room.messages(mailbox)
    }

    pub(super) fn counts(&self) -> Counts {
        self.room.counts()
    }

    /// Puts a message from the provider itself into the mailbox.
    pub(super) fn post(&self, text: &[u8]) {
        // Fails only if the mailbox is full.
        let _ = self.room.deliver(&[Mailbox::Own], "", text);
    }

    /// Waits until no connection is left.
    pub(super) async fn wait_until_empty(&self) {
        self.room.wait_until_empty().await;
    }
}

/// Binds a free port on loopback: the same one in both address families, if there are two, because `localhost` may mean
/// either.
async fn bind() -> io::Result<(u16, Vec<TcpListener>)> {
    for _ in 0..MAX_PORT_TRIES {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = v4.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(v6) => return Ok((port, vec![v4, v6])),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // This computer has no IPv6.
            Err(_) => return Ok((port, vec![v4])),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// What a listener needs to serve its connections.
#[derive(Clone)]
struct Reception {
    protocol: Protocol,
    tls: TlsAcceptor,
    room: Arc<Mailroom>,
    reporter: Reporter,
}

impl Reception {
    async fn receive(self, listener: TcpListener) {
        let mut visitors = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) if visitors.len() < MAX_CONNECTIONS => {
                        visitors.spawn(self.clone().visit(tcp, peer.ip()));
                    }
                    Ok(_) => self.reporter.noticed("too many connections at once: one more is closed"),
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
                },
                Some(_) = visitors.join_next() => {}
            }
        }
    }

    async fn visit(self, tcp: TcpStream, from: IpAddr) {
        let _visit = self.room.visit();
        let _ = tcp.set_nodelay(true);
        let tls = match timeout(TLS_TIMEOUT, self.tls.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return self.reporter.noticed(&format!("no TLS: {error}")),
            Err(_) => return self.reporter.noticed("no TLS: it takes too long"),
        };
        self.room.count_connection();
        let version = match tls.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        };
        self.reporter.noticed(&format!("a connection from {}, inside {version}", from.to_canonical()));
        let mut session = Session { conn: Conn::new(tls), reporter: self.reporter };
        let ended = match self.protocol {
            Protocol::Pop3 => session.pop(Pop::new(self.room, from)).await,
            Protocol::Smtp => session.smtp(Smtp::new(self.room, from)).await,
            Protocol::Imap => session.imap(Imap::new(self.room)).await,
        };
        match ended {
            Ok(()) => session.conn.close().await,
            Err(error) => session.reporter.noticed(&format!("the connection breaks: {error}")),
        }
    }
}

/// One connection, and the reporter of what is said on it.
struct Session<S> {
    conn: Conn<S>,
    reporter: Reporter,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn pop(&mut self, mut machine: Pop) -> io::Result<()> {
        self.say(&[Pop::greeting()]).await?;
        while let Some(line) = self.hear().await? {
            match machine.on_line(&line) {
                pop::Answer::Say(said) => self.say(&[&said]).await?,
                pop::Answer::List(status, list) => {
                    let lines: Vec<&str> = [status.as_str()].into_iter().chain(list.lines()).chain(["."]).collect();
                    self.say(&lines).await?;
                }
                pop::Answer::Message(status, message) => {
                    self.reporter.said(status.as_bytes());
                    self.reporter.text(Direction::Said, &message);
                    self.conn.send(&[status.as_bytes(), b"\r\n", &stuffed(&message)].concat()).await?;
                }
                pop::Answer::Bye(said) => return self.say(&[&said]).await,
            }
        }
        Ok(())
    }

    async fn imap(&mut self, mut machine: Imap) -> io::Result<()> {
        self.say(&[Imap::greeting()]).await?;
        while let Some(line) = self.hear().await? {
            match machine.on_line(&line) {
                imap::Answer::Say(lines) => self.say_all(&lines).await?,
                imap::Answer::Message(head, message, tail) => {
                    self.reporter.said(head.as_bytes());
                    self.reporter.text(Direction::Said, &message);
                    self.conn.send(&[head.as_bytes(), b"\r\n", &message].concat()).await?;
                    self.say_all(&tail).await?;
                }
                imap::Answer::Bye(lines) => return self.say_all(&lines).await,
            }
        }
        Ok(())
    }

    async fn say_all(&mut self, lines: &[String]) -> io::Result<()> {
        self.say(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn smtp(&mut self, mut machine: Smtp) -> io::Result<()> {
        self.say(&[Smtp::greeting()]).await?;
        while let Some(line) = self.hear().await? {
            let mut answer = machine.on_line(&line);
            if let smtp::Answer::Data(go_ahead) = answer {
                self.say(&[&go_ahead]).await?;
                answer = self.take_message(&mut machine).await?;
            }
            match answer {
                smtp::Answer::Say(lines) => self.say_all(&lines).await?,
                smtp::Answer::Bye(said) | smtp::Answer::Data(said) => return self.say(&[&said]).await,
            }
        }
        Ok(())
    }

    async fn take_message(&mut self, machine: &mut Smtp) -> io::Result<smtp::Answer> {
        let text = in_time(read_text(&mut self.conn, MAX_MESSAGE_OCTETS)).await?;
        if let Text::Whole(message) = &text {
            self.reporter.text(Direction::Heard, message);
        }
        let (answer, delivered) = machine.on_text(&text);
        if let Some(delivered) = delivered {
            self.reporter.noticed(&delivered);
        }
        Ok(answer)
    }

    /// Reads the next command; `None` if the other side has closed.
    async fn hear(&mut self) -> io::Result<Option<Line>> {
        match in_time(self.conn.read_line(MAX_COMMAND_LINE_OCTETS)).await? {
            Read::Line(line) => {
                self.reporter.heard_command(line.bytes());
                Ok(Some(line))
            }
            Read::End(_) => {
                self.reporter.noticed("the connection is closed");
                Ok(None)
            }
            Read::TooLong(too_long) => Err(io::Error::other(too_long)),
        }
    }

    async fn say(&mut self, lines: &[&str]) -> io::Result<()> {
        for line in lines {
            self.reporter.said(line.as_bytes());
        }
        self.conn.send(format!("{}\r\n", lines.join("\r\n")).as_bytes()).await
    }
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(IDLE_TIMEOUT, what).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
