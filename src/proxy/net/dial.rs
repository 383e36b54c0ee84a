//! Connects to a provider: looks up the name, races its addresses, starts TLS. Each way this can fail becomes a
//! [`Failure`] of its own, because each wants different advice.
//!
//! Not here: what is said on the connection.

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

use crate::proxy::net::conn::{Conn, ReadAhead, Stream};
use crate::proxy::net::tcp::Tcp;
use crate::proxy::net::tls::{Tls, handshake_failure};
use ostler_mail::account::{Security, Server, Timeouts, Trust};
use ostler_mail::failure::{Failure, ServerAddr, Waiting};

/// The delay before the next address is tried beside those that have not answered yet (RFC 8305, section 5).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// How long a looked-up name is reused. Short, because the resolver has a cache of its own. Without it every poll of a
/// client would occupy a thread for the look-up.
const NAME_LIFETIME: Duration = Duration::from_secs(30);
/// The most names remembered. Settings name a handful of hosts.
const MAX_NAMES: usize = 64;
/// The most addresses tried for one host.
const MAX_ADDRESSES: usize = 8;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Whether `address` belongs to this family.
    pub fn has(self, address: IpAddr) -> bool {
        matches!((self, address), (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_)))
    }
}

/// Constraints on a connection. A gate (POP-before-SMTP) recognises the sender by the address it connects from, so the login
/// and the send have to come from the same one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Route {
    /// Use only this address family.
    pub family: Option<Family>,
    /// Bind to this local address.
    pub from: Option<IpAddr>,
}

/// A connection to a provider.
pub struct Upstream {
    /// The connection.
    pub conn: Conn<Stream>,
    /// The server it leads to.
    pub at: ServerAddr,
    /// The local address.
    pub local: Option<IpAddr>,
    /// The provider's address.
    pub peer: SocketAddr,
    /// Takes the secret out of whatever the server says. Set once the server has been given the secret.
    pub redaction: Option<ostler_mail::sasl::Redaction>,
    trust: Trust,
}

/// Resolves names, connects, starts TLS. Caches look-ups and TLS configurations for all sessions.
#[derive(Default)]
pub struct Dialer {
    /// The TLS configuration of each trust policy.
    pub tls: Tls,
    names: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Dialer {
    /// Looks up the addresses of a host, in the system's order of preference.
    pub async fn resolve(&self, server: &Server, limit: Duration) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(address) = server.host.parse() {
            return Ok(vec![address]);
        }
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&server.host).cloned();
        if let Some((when, addresses)) = known
            && when.elapsed() < NAME_LIFETIME
        {
            return Ok(addresses);
        }
        let at = || ServerAddr::from(server);
        let found = match timeout(limit, tokio::net::lookup_host((server.host.as_str(), server.port))).await {
            Err(_) => return Err(Failure::NoNameService { at: at() }),
            Ok(Err(error)) if is_resolver_trouble(&error) => return Err(Failure::NoNameService { at: at() }),
            Ok(Err(_)) => return Err(Failure::NameNotFound { at: at() }),
            Ok(Ok(found)) => found,
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(Failure::NameNotFound { at: at() });
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(server.host.clone(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    /// Forgets all look-ups, because the network has changed or no address answered.
    pub fn forget_names(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Connects to `server`, and starts TLS where the server expects it from the first octet.
    pub async fn connect(&self, server: &Server, timeouts: &Timeouts, route: Route) -> Result<Upstream, Failure> {
        let addresses = self.resolve(server, timeouts.connect).await?;
        let wanted: Vec<IpAddr> =
            addresses.iter().copied().filter(|a| route.family.is_none_or(|f| f.has(*a))).collect();
        // A wish, not a condition: over another family the gate may stay shut, but the user hears what the provider
        // says.
        let addresses = if wanted.is_empty() { addresses } else { wanted };
        let upstream = self.race(server, &interleave(&addresses), timeouts, route).await;
        if upstream.is_err() {
            self.forget_names();
        }
        let upstream = upstream?;
        if server.security == Security::Tls { self.start_tls(upstream, timeouts).await } else { Ok(upstream) }
    }

    /// Connects to the first address that answers. Each address has a time limit of its own.
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
                tries.spawn(async move { connect_to(&server, address, limit, route).await });
            }
            let has_more = left.len() > 0;
            let finished = if has_more {
                timeout(NEXT_ADDRESS_DELAY, tries.join_next()).await
            } else {
                Ok(tries.join_next().await)
            };
            match finished {
                // The addresses tried so far are slow, not lost: the next one joins the race.
                Err(_) => {}
                // The other attempts end here, dropped with their set.
                Ok(Some(Ok(Ok(upstream)))) => return Ok(upstream),
                Ok(Some(Ok(Err(failure)))) => worst = Some(more_telling(worst, failure)),
                Ok(Some(Err(_))) => {}
                Ok(None) if has_more => {}
                Ok(None) => return Err(worst.unwrap_or(Failure::NameNotFound { at: server.into() })),
            }
        }
    }

    /// Opens a TCP connection to one address of a server.
    pub async fn reach(
        &self,
        server: &Server,
        address: IpAddr,
        limit: Duration,
        route: Route,
    ) -> Result<Upstream, Failure> {
        connect_to(server, address, limit, route).await
    }

    /// Wraps a connection in verified TLS. Unread input is an error: it came in clear, so an attacker may have sent it
    /// (STARTTLS injection, CVE-2011-0411).
    pub async fn start_tls(&self, upstream: Upstream, timeouts: &Timeouts) -> Result<Upstream, Failure> {
        let Upstream { conn, at, local, peer, redaction, trust } = upstream;
        let unread = !conn.unused().is_empty();
        let Stream::Plain(stream) = conn.into_stream() else {
            return Err(Failure::Tls { at, reason: "it is on already".into() });
        };
        if unread || stream.has_unread() {
            return Err(Failure::Injected { at });
        }
        let config = self.tls.config(&trust).await?;
        let name = ServerName::try_from(at.host.clone())
            .map_err(|_| Failure::Tls { at: at.clone(), reason: "TLS cannot verify this host name".into() })?;
        let shaken = timeout(timeouts.tls, TlsConnector::from(config).connect(name, stream)).await;
        match shaken {
            Err(_) => Err(Failure::TimedOut { at, waiting: Waiting::Tls, after: timeouts.tls }),
            Ok(Err(error)) => {
                let failure = handshake_failure(&error, at);
                if matches!(failure, Failure::Certificate { .. }) {
                    self.tls.forget_file(&trust);
                }
                Err(failure)
            }
            Ok(Ok(stream)) => {
                Ok(Upstream { conn: Conn::new(Stream::Tls(Box::new(stream))), at, local, peer, redaction, trust })
            }
        }
    }
}

async fn connect_to(server: &Server, address: IpAddr, limit: Duration, route: Route) -> Result<Upstream, Failure> {
    let peer = SocketAddr::new(address, server.port);
    let at = ServerAddr::from(server);
    let tcp = match timeout(limit, connect(peer, route.from)).await {
        Err(_) => return Err(Failure::TimedOut { at, waiting: Waiting::Connect, after: limit }),
        Ok(Err(error)) => return Err(connect_failure(&error, at, limit)),
        Ok(Ok(tcp)) => tcp,
    };
    let local = tcp.local_addr().ok().map(|a| a.ip());
    let conn = Conn::new(Stream::Plain(ReadAhead::new(Tcp::new(tcp))));
    Ok(Upstream { conn, at, local, peer, redaction: None, trust: server.trust.clone() })
}

async fn connect(peer: SocketAddr, from: Option<IpAddr>) -> io::Result<tokio::net::TcpStream> {
    let socket = || if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    if let Some(from) = from.filter(|from| from.is_ipv4() == peer.is_ipv4()) {
        let bound = socket()?;
        // Fails when this computer has lost that address, as after a change of network.
        if bound.bind(SocketAddr::new(from, 0)).is_ok() {
            match bound.connect(peer).await {
                // That local address has no route to the server (the network has changed): use the default route.
                Err(error) if is_unroutable(&error) => {}
                done => return done,
            }
        }
    }
    socket()?.connect(peer).await
}

fn is_unroutable(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | InvalidInput | NetworkUnreachable)
}

fn connect_failure(error: &io::Error, at: ServerAddr, limit: Duration) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::NobodyListens { at },
        io::ErrorKind::TimedOut => Failure::TimedOut { at, waiting: Waiting::Connect, after: limit },
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Failure::Lost { at, waiting: Waiting::Connect }
        }
        _ => Failure::NetworkGone { at, reason: ostler_mail::wire::printable(system_words(error).as_bytes()) },
    }
}

/// The system's error message without its number.
fn system_words(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Picks the failure that tells the user more: a refused connection more than one that was lost, a lost one more than
/// silence.
fn more_telling(first: Option<Failure>, second: Failure) -> Failure {
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

/// Alternates the families, beginning with the system's favourite, so that a family without a route costs one step only
/// (RFC 8305, section 4).
fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
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

/// Whether the resolver could not answer, as opposed to the name not existing. Rust has no error kind for either.
fn is_resolver_trouble(error: &io::Error) -> bool {
    // WSATRY_AGAIN and WSANO_RECOVERY on Windows; elsewhere the C library's texts for EAI_AGAIN and EAI_FAIL.
    matches!(error.raw_os_error(), Some(11_002 | 11_003)) || {
        let text = error.to_string().to_lowercase();
        text.contains("temporary failure") || text.contains("try again") || text.contains("non-recoverable")
    }
}

/// The families that both hosts have, so that both see the same address of this computer. IPv4 first, because many gates
/// record nothing else.
pub fn common_families(first: &[IpAddr], second: &[IpAddr]) -> Vec<Family> {
    let has = |addresses: &[IpAddr], family: Family| addresses.iter().any(|a| family.has(*a));
    [Family::V4, Family::V6].into_iter().filter(|f| has(first, *f) && has(second, *f)).collect()
}

/// The local address that the system would use towards `peer` now. Sends nothing: a UDP socket is connected, not used.
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
        assert_eq!(interleave(&mixed), ips(&["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]));
        assert_eq!(interleave(&ips(&["127.0.0.1", "::1", "::2"])), ips(&["127.0.0.1", "::1", "::2"]));
    }

    #[test]
    fn a_dead_family_costs_a_fraction_of_a_second() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut server = ostler_mail::account::testing::server(ostler_mail::account::Protocol::Pop3, "ann");
            server.port = listener.local_addr().unwrap().port();
            let (dialer, timeouts) = (Dialer::default(), Timeouts::default());
            // Nothing listens on ::1, or the computer has no IPv6.
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
