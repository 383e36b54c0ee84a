//! Reaching a provider: look the name up, try its addresses side by side, start TLS. Every way this can fail is told
//! apart here.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::proxy::net::conn::{Conn, ReadAhead, Stream, tune};
use crate::proxy::net::tls::{Tls, handshake_failure};
use ostler_mail::account::{Security, Server, Timeouts, Trust};
use ostler_mail::failure::{Failure, Place, Waiting};

/// The next address is tried this long after the last one, if that has not answered (RFC 8305, section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// How long an answer of the resolver is used again. Short, because a resolver has a cache of its own; it only spares a
/// client that polls the thread every look-up takes.
const LOOKED_UP: Duration = Duration::from_secs(30);
/// Names remembered at most; settings have a handful.
const NAMES: usize = 64;
/// Addresses tried at most.
const ADDRESSES: usize = 8;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Whether an address is of it.
    pub fn has(self, address: IpAddr) -> bool {
        matches!((self, address), (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_)))
    }
}

/// Which way a connection has to take: a gate knows its visitors by their address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Route {
    /// Only this family.
    pub family: Option<Family>,
    /// From this address of the computer.
    pub from: Option<IpAddr>,
}

/// A connection to a provider.
pub struct Upstream {
    /// The connection.
    pub conn: Conn<Stream>,
    /// Whose it is.
    pub at: Place,
    /// The address of this computer it comes from.
    pub local: Option<IpAddr>,
    /// The provider's.
    pub peer: SocketAddr,
    /// What must be starred in all it says, once it has been given a secret.
    pub echo: Option<ostler_mail::sasl::Echo>,
    trust: Trust,
}

/// Knows the way.
#[derive(Default)]
pub struct Dialer {
    /// The trust policies.
    pub tls: Tls,
    names: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Dialer {
    /// Every address of a host, in the system's order.
    pub async fn resolve(&self, server: &Server, limit: Duration) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = server.host.parse() {
            return Ok(vec![address]);
        }
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&server.host).cloned();
        if let Some((when, addresses)) = known
            && when.elapsed() < LOOKED_UP
        {
            return Ok(addresses);
        }
        let at = || Place::from(server);
        let found = match timeout(limit, tokio::net::lookup_host((server.host.as_str(), server.port))).await {
            Err(_) => return Err(Failure::NoNameService { at: at() }),
            Ok(Err(error)) if is_passing(&error) => return Err(Failure::NoNameService { at: at() }),
            Ok(Err(_)) => return Err(Failure::NameNotFound { at: at() }),
            Ok(Ok(found)) => found,
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return Err(Failure::NameNotFound { at: at() });
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(server.host.clone(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    /// Forgets what was looked up: the network has changed, or nothing answered.
    pub fn forget_names(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A connection to `server`, inside TLS if that is from the first octet.
    pub async fn connect(&self, server: &Server, timeouts: &Timeouts, route: Route) -> Result<Upstream, Failure> {
        let addresses = self.resolve(server, timeouts.connect).await?;
        let wanted: Vec<IpAddr> =
            addresses.iter().copied().filter(|a| route.family.is_none_or(|f| f.has(*a))).collect();
        let addresses = if wanted.is_empty() { addresses } else { wanted };
        let upstream = self.race(server, &interleaved(&addresses), timeouts, route).await;
        if upstream.is_err() {
            self.forget_names();
        }
        let upstream = upstream?;
        if server.security == Security::Tls { self.start_tls(upstream, timeouts).await } else { Ok(upstream) }
    }

    /// The first address to answer; each has its own time limit.
    async fn race(
        &self,
        server: &Server,
        addresses: &[IpAddr],
        timeouts: &Timeouts,
        route: Route,
    ) -> Result<Upstream, Failure> {
        if let [only] = addresses {
            return self.reach(server, *only, timeouts.connect, route).await;
        }
        let mut left = addresses.iter().copied();
        let mut tries = JoinSet::new();
        let mut worst: Option<Failure> = None;
        loop {
            if let Some(address) = left.next() {
                let (server, limit) = (server.clone(), timeouts.connect);
                tries.spawn(async move { open(&server, address, limit, route).await });
            }
            let has_more = left.len() > 0;
            let finished =
                if has_more { timeout(NEXT_ADDRESS, tries.join_next()).await } else { Ok(tries.join_next().await) };
            match finished {
                // Slow, not lost: the next one joins in.
                Err(_) => {}
                Ok(Some(Ok(Ok(upstream)))) => return Ok(upstream),
                Ok(Some(Ok(Err(failure)))) => worst = Some(worse(worst, failure)),
                Ok(Some(Err(_))) => {}
                Ok(None) if has_more => {}
                Ok(None) => return Err(worst.unwrap_or(Failure::NameNotFound { at: server.into() })),
            }
        }
    }

    /// A TCP connection to one address of a server.
    pub async fn reach(
        &self,
        server: &Server,
        address: IpAddr,
        limit: Duration,
        route: Route,
    ) -> Result<Upstream, Failure> {
        open(server, address, limit, route).await
    }

    /// Wraps a connection in verified TLS. Nothing that came before may still be unread: it was sent in clear, by
    /// whomever.
    pub async fn start_tls(&self, upstream: Upstream, timeouts: &Timeouts) -> Result<Upstream, Failure> {
        let Upstream { conn, at, local, peer, echo, trust } = upstream;
        let unread = !conn.input.is_empty();
        let Stream::Plain(stream) = conn.stream else {
            return Err(Failure::Tls { at, reason: "it is on already".into() });
        };
        if unread || stream.has_unread() {
            return Err(Failure::Injected { at });
        }
        let config = self.tls.config(&trust).await?;
        let name = ServerName::try_from(at.host.clone())
            .map_err(|_| Failure::Tls { at: at.clone(), reason: "the host is no name TLS knows".into() })?;
        let shaken = timeout(timeouts.tls, TlsConnector::from(config).connect(name, stream)).await;
        match shaken {
            Err(_) => Err(Failure::TimedOut { at, waiting: Waiting::Tls, after: timeouts.tls }),
            Ok(Err(error)) => Err(handshake_failure(&error, at)),
            Ok(Ok(stream)) => {
                Ok(Upstream { conn: Conn::new(Stream::Tls(Box::new(stream))), at, local, peer, echo, trust })
            }
        }
    }
}

async fn open(server: &Server, address: IpAddr, limit: Duration, route: Route) -> Result<Upstream, Failure> {
    let peer = SocketAddr::new(address, server.port);
    let at = Place::from(server);
    let tcp = match timeout(limit, connect(peer, route.from)).await {
        Err(_) => return Err(Failure::TimedOut { at, waiting: Waiting::Connect, after: limit }),
        Ok(Err(error)) => return Err(connect_failure(&error, at, limit)),
        Ok(Ok(tcp)) => tcp,
    };
    tune(&tcp);
    let local = tcp.local_addr().ok().map(|a| a.ip());
    let conn = Conn::new(Stream::Plain(ReadAhead::new(tcp)));
    Ok(Upstream { conn, at, local, peer, echo: None, trust: server.trust.clone() })
}

async fn connect(peer: SocketAddr, from: Option<IpAddr>) -> io::Result<tokio::net::TcpStream> {
    let socket = || if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    if let Some(from) = from.filter(|from| from.is_ipv4() == peer.is_ipv4()) {
        let bound = socket()?;
        if bound.bind(SocketAddr::new(from, 0)).is_ok() {
            match bound.connect(peer).await {
                // There is no way from that address to this server: take the way there is.
                Err(error) if is_no_way(&error) => {}
                done => return done,
            }
        }
    }
    socket()?.connect(peer).await
}

fn is_no_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | InvalidInput | NetworkUnreachable)
}

fn connect_failure(error: &io::Error, at: Place, limit: Duration) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::NobodyListens { at },
        io::ErrorKind::TimedOut => Failure::TimedOut { at, waiting: Waiting::Connect, after: limit },
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Failure::Lost { at, waiting: Waiting::Connect }
        }
        _ => Failure::NetworkGone { at, reason: ostler_mail::wire::printable(reason(error).as_bytes()) },
    }
}

/// The system's words without the number behind them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Which of two failures tells the user more: somebody who answers "no" more than somebody who does not answer.
fn worse(first: Option<Failure>, second: Failure) -> Failure {
    fn weight(failure: &Failure) -> u8 {
        match failure {
            Failure::NobodyListens { .. } => 3,
            Failure::Lost { .. } => 2,
            Failure::TimedOut { .. } => 1,
            _ => 0,
        }
    }
    match first {
        Some(first) if weight(&first) >= weight(&second) => first,
        _ => second,
    }
}

/// Families by turns, beginning with the system's favourite, so that a dead family costs one step only.
fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut same, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::with_capacity(addresses.len());
    same.reverse();
    other.reverse();
    while let Some(address) = same.pop().or_else(|| other.pop()) {
        turns.push(address);
        turns.extend(other.pop());
    }
    turns
}

/// Whether the resolver could not be asked, as against the name not being there. Rust has no error kind for either.
fn is_passing(error: &io::Error) -> bool {
    // WSATRY_AGAIN and WSANO_RECOVERY on Windows; the words of EAI_AGAIN and EAI_FAIL elsewhere.
    matches!(error.raw_os_error(), Some(11_002 | 11_003)) || {
        let text = error.to_string().to_lowercase();
        text.contains("temporary failure") || text.contains("try again") || text.contains("non-recoverable")
    }
}

/// The families by which two hosts see the same address of this computer: IPv4 first, for many gates understand nothing
/// else.
pub fn common_families(first: &[IpAddr], second: &[IpAddr]) -> Vec<Family> {
    let has = |addresses: &[IpAddr], family: Family| addresses.iter().any(|a| family.has(*a));
    [Family::V4, Family::V6].into_iter().filter(|f| has(first, *f) && has(second, *f)).collect()
}

/// The address this computer would use towards `peer` now. Sends nothing.
pub fn local_address_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = ips(&["::1", "::2", "127.0.0.1", "::3", "127.0.0.2"]);
        assert_eq!(interleaved(&mixed), ips(&["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]));
        assert_eq!(interleaved(&ips(&["127.0.0.1", "::1", "::2"])), ips(&["127.0.0.1", "::1", "::2"]));
    }

    #[test]
    fn a_dead_family_costs_a_fraction_of_a_second() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut server = ostler_mail::account::testing::server(ostler_mail::account::Protocol::Pop3, "ann");
            server.port = listener.local_addr().unwrap().port();
            let (dialer, timeouts) = (Dialer::default(), Timeouts::default());
            // Nobody listens on ::1, or there is none.
            let addresses = ips(&["::1", "127.0.0.1"]);
            let reached = dialer.race(&server, &addresses, &timeouts, Route::default()).await.unwrap();
            assert_eq!(reached.peer.ip(), addresses[1]);
            drop(listener);
            let failure = dialer.race(&server, &addresses, &timeouts, Route::default()).await.err().unwrap();
            assert!(matches!(failure, Failure::NobodyListens { .. }), "{failure}");
        });
    }

    #[test]
    fn two_hosts_meet_in_ipv4_if_they_can() {
        let (both, v4, v6) = (ips(&["::1", "127.0.0.1"]), ips(&["127.0.0.1"]), ips(&["::1"]));
        assert_eq!(common_families(&both, &both), [Family::V4, Family::V6]);
        assert_eq!(common_families(&v6, &both), [Family::V6]);
        assert_eq!(common_families(&v6, &v4), []);
    }
}
