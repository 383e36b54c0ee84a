//! Decides whether a client may come in, before it hears a word of its protocol.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use crate::os::peer::{PeerOwner, TooManyWait, owner_of};
use crate::proxy::Engine;
use crate::proxy::hear::{ClientInput, next_line};
use crate::proxy::net::conn::ClientConn;
use crate::proxy::session::{GOODBYE_TIMEOUT, Session, wait_for_stop};
use ostler_mail::account::{Access, Protocol, Settings};
use ostler_mail::client_fault::Misuse;
use ostler_mail::command::is_http;
use ostler_mail::proxy_header::{self, Named};
use ostler_mail::wire::MAX_COMMAND_LINE_OCTETS;
use ostler_mail::words::{NotAdmitted, Words};

/// The most clients served at once. Five thousand idle ones must leave room for those that work (`docs/scaling.md` has the figures).
/// `os::allow_connections` raises the limit of open files to match.
pub(super) const MAX_SESSIONS: usize = 6000;

/// The most connections beyond [`MAX_SESSIONS`], of clients that are being told why they are not served. More than that are a
/// flood, and each open file that it holds would be missing elsewhere.
const MAX_FAREWELLS: usize = 500;

/// Whether there are so many connections that the next one is closed without a word.
pub(super) fn has_too_many(engine: &Engine) -> bool {
    *engine.busy().borrow() > MAX_SESSIONS + MAX_FAREWELLS
}

/// Whether the client at `address` may come in, on a connection from `peer` to `local`. A load balancer may stand between.
pub(super) async fn admit(
    engine: &Engine,
    settings: &Settings,
    protocol: Protocol,
    (address, peer): (SocketAddr, SocketAddr),
    local: SocketAddr,
) -> Result<(), NotAdmitted> {
    // Canonical: a socket for both families shows an IPv4 client as ::ffff:a.b.c.d, and `allow` names it by its IPv4
    // address.
    let is_here = address == peer && [peer, local].iter().all(|end| end.ip().to_canonical().is_loopback());
    if let Some(why) = outside_networks(settings, address.ip().to_canonical()).filter(|_| !is_here) {
        return Err(NotAdmitted::Stranger(why));
    }
    let stranger = match settings.access {
        Access::SameUser => not_same_user(ask_owner(engine, address, local).await?),
        Access::Password | Access::Anyone => None,
    };
    if let Some(why) = stranger {
        return Err(NotAdmitted::Stranger(why));
    }
    has_room(engine, protocol)
}

/// Whether ostler takes clients just now.
pub(super) fn has_room(engine: &Engine, protocol: Protocol) -> Result<(), NotAdmitted> {
    if *engine.stopping().borrow() {
        Err(NotAdmitted::Stopping)
    } else if engine.events.is_paused() && !hears_of_trouble_later(protocol) {
        Err(NotAdmitted::Paused)
    } else if engine.events.session_count() >= MAX_SESSIONS {
        Err(NotAdmitted::Full(MAX_SESSIONS))
    } else {
        Ok(())
    }
}

/// Who is at the other end of a connection.
pub(super) enum Announced {
    /// The client at this address.
    Client(SocketAddr),
    /// A load balancer for itself.
    Nobody,
}

/// Who is at the other end of a connection from `peer` to a door at this address: the client that a load balancer names, if the
/// settings name the load balancer and the door is beyond loopback, else `peer`. The balancer may be on this computer. The
/// error says why it cannot be told.
pub(super) async fn announced(
    engine: &Engine,
    settings: &Settings,
    conn: &mut ClientConn,
    peer: SocketAddr,
    door: SocketAddr,
) -> Result<Announced, String> {
    let peer_ip = peer.ip().to_canonical();
    if door.ip().to_canonical().is_loopback() || !settings.is_proxy(peer_ip) {
        return Ok(Announced::Client(peer));
    }
    let deadline = Instant::now() + settings.timeouts.login;
    let mut stopping = engine.stopping();
    loop {
        match proxy_header::read(conn.unused()) {
            Ok(Some((named, octets))) => {
                drop(conn.take_front(octets));
                return Ok(match named {
                    Named::Client(client) if client.ip().to_canonical() != peer_ip => Announced::Client(client),
                    Named::Client(_) | Named::Nobody => Announced::Nobody,
                });
            }
            Ok(None) => {}
            Err(why) => return Err(why.to_string()),
        }
        tokio::select! {
            filled = conn.fill_until(deadline) => match filled {
                Some(Ok(true)) => {}
                Some(_) => return Err("it left without a PROXY header".into()),
                None => return Err("it sent no PROXY header in time".into()),
            },
            () = wait_for_stop(&mut stopping) => return Err("ostler is ending".into()),
        }
    }
}

/// Whether clients of this protocol hear of trouble after their sign-in. IMAP programs throw their password away if it comes
/// before.
fn hears_of_trouble_later(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Imap => true,
        Protocol::Pop3 | Protocol::Smtp => false,
    }
}

/// Asks the system for the client's owner. That may take seconds on Windows, so the wait ends when ostler does.
async fn ask_owner(engine: &Engine, address: SocketAddr, local: SocketAddr) -> Result<PeerOwner, NotAdmitted> {
    let mut stopping = engine.stopping();
    tokio::select! {
        // Where the answer comes at once, it counts even while ostler stops.
        biased;
        owner = owner_of(address, local) => owner.map_err(|TooManyWait| NotAdmitted::Full(MAX_SESSIONS)),
        () = wait_for_stop(&mut stopping) => Err(NotAdmitted::Stopping),
    }
}

/// Why the settings do not allow this address, if they do not.
fn outside_networks(settings: &Settings, address: IpAddr) -> Option<String> {
    let is_allowed = settings.allow.iter().any(|network| network.contains(address));
    (!is_allowed).then(|| format!("{address} is in none of the networks allowed by the settings"))
}

/// Why the client's owner is not the user who runs ostler, if they are not.
fn not_same_user(owner: PeerOwner) -> Option<String> {
    match owner {
        PeerOwner::Me => None,
        PeerOwner::Other(process) if cfg!(windows) => {
            Some(format!("process {process} belongs to another user than ostler, or has more rights"))
        }
        PeerOwner::Other(uid) => Some(format!("it belongs to another user (number {uid}) than ostler")),
        PeerOwner::NotMe => Some("no program of the user who runs ostler holds the other end".into()),
        PeerOwner::Gone => Some("it has gone already, or belongs to no user".into()),
        PeerOwner::Unknown(reason) => {
            Some(format!("{reason}, so ostler cannot tell whose it is; set access = \"password\" in the settings"))
        }
    }
}

/// Ends the connection of a client that spoke before its greeting, and reports what it is. Mail programs wait for the
/// greeting, so this is a browser, a scanner, or a program that begins with TLS.
pub(super) async fn spoke_first(session: &mut Session, client: &mut ClientConn, words: &dyn Words) {
    let misuse = match next_line(session, client, MAX_COMMAND_LINE_OCTETS, Instant::now() + GOODBYE_TIMEOUT).await {
        ClientInput::Misused(misuse) => misuse,
        ClientInput::Line(line) if is_http(line.bytes()) => Misuse::Http,
        ClientInput::Line(line) if proxy_header::is_header(line.bytes()) => Misuse::ProxyHeader,
        ClientInput::Line(_) | ClientInput::End(_) | ClientInput::TimedOut | ClientInput::Stopping => {
            Misuse::EarlyGreeting
        }
    };
    session.send_away(client, words, misuse).await;
}
