//! Where other computers find this one: its own addresses, and which of them a neighbour would use.
//!
//! Nothing is sent for that: a UDP socket that is connected only makes the system choose a way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// A name of the own network is known at once, if at all; a person is waiting.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// The port does not matter; this one is for throwing away (RFC 863).
const DISCARD: u16 = 9;

/// The address of this computer by which the one at `other` would reach it. `None`: there is no way there.
pub(crate) fn toward(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, DISCARD)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

/// Whether this is an address of this computer.
pub(crate) fn is_own(address: IpAddr) -> bool {
    !address.is_unspecified() && UdpSocket::bind((address, 0)).is_ok()
}

/// The addresses that a name stands for; none if it is unknown, or the answer comes too late.
pub(crate) fn look_up(name: &str) -> Vec<IpAddr> {
    if let Ok(address) = name.parse() {
        return vec![address];
    }
    let (sender, found) = mpsc::channel();
    let name = name.to_owned();
    // In a thread, because a look-up knows no time limit. One that takes too long ends by itself.
    let asked = std::thread::Builder::new().name("look-up".into()).spawn(move || {
        let found: Vec<SocketAddr> =
            (name.as_str(), DISCARD).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
        let _ = sender.send(found.iter().map(SocketAddr::ip).collect());
    });
    asked.ok().and_then(|_| found.recv_timeout(LOOKUP_TIMEOUT).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computers_addresses_are_known_from_others() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()) && !is_own(Ipv4Addr::UNSPECIFIED.into()));
        // RFC 5737: for examples, on no computer.
        assert!(!is_own("192.0.2.1".parse().unwrap()));
        assert_eq!(toward(Ipv4Addr::LOCALHOST.into()), None, "that is no other computer");
        assert_eq!(look_up("192.0.2.7"), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert!(look_up("localhost").iter().all(IpAddr::is_loopback));
    }
}
