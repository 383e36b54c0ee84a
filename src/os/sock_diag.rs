//! The kernel's socket monitor over netlink (sock_diag(7)): one question and one answer about one TCP connection. The kernel
//! answers before `send` returns, so nothing here waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with};

use super::linux::Row;

/// Netlink is forbidden to this process (a sandbox), or missing in this kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable;

/// The row of the connection from `local` to `remote`, as its owner sees it. `None`: there is no such connection.
pub(super) fn look_up(local: SocketAddr, remote: SocketAddr) -> Result<Option<Row>, Unusable> {
    static MONITOR: Mutex<Option<Monitor>> = Mutex::new(None);
    let mut slot = MONITOR.lock().unwrap_or_else(PoisonError::into_inner);
    let mut monitor = match slot.take() {
        Some(monitor) => monitor,
        None => Monitor::open().map_err(|_| Unusable)?,
    };
    // After an error the socket is dropped: the next question gets a fresh one.
    let row = monitor.ask(local, remote).map_err(|_| Unusable)?;
    // A kernel without the TCP part of the monitor answers ENOENT too, so "no such connection" is believed only once the
    // monitor has shown a socket. The door's own listener will do, in case the first client has left already.
    let believed = monitor.has_shown_socket || monitor.can_see_door(remote);
    *slot = Some(monitor);
    if believed { Ok(row) } else { Err(Unusable) }
}

const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// The size of `nlmsghdr`.
const HEADER_OCTETS: usize = 16;
/// A header and an `inet_diag_req_v2`: four octets, the states, the socket id.
const REQUEST_OCTETS: usize = HEADER_OCTETS + 8 + SOCKET_ID_OCTETS;
/// The size of `inet_diag_sockid`.
const SOCKET_ID_OCTETS: usize = 48;
/// More than an `inet_diag_msg` and the few attributes that the kernel adds unasked.
const MAX_ANSWER_OCTETS: usize = 1024;

struct Monitor {
    socket: OwnedFd,
    /// The sequence number of the last question.
    sequence: u32,
    /// Whether it has shown a socket at least once, so that "no such connection" can be believed.
    has_shown_socket: bool,
}

impl Monitor {
    fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
        Ok(Self { socket, sequence: 0, has_shown_socket: false })
    }

    fn ask(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<Option<Row>, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let Some(question) = build_question(self.sequence, local, remote) else { return Ok(None) };
        sendto(&self.socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            let mut buffer = [0; MAX_ANSWER_OCTETS];
            let (_, length, sender) = recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            let from_kernel = sender
                .and_then(|address| SocketAddrNetlink::try_from(address).ok())
                .is_some_and(|address| address.pid() == 0);
            let Some(message) = buffer.get(..length).filter(|_| from_kernel) else { continue };
            // Another sequence number: the answer to a question that was given up. The next one may be ours.
            let Some((kind, body)) = parse_message(message, self.sequence) else { continue };
            let row = match kind {
                NLMSG_ERROR => parse_error(body)?,
                SOCK_DIAG_BY_FAMILY => {
                    self.has_shown_socket = true;
                    parse_row(body, local, remote)
                }
                _ => continue,
            };
            return Ok(row);
        }
    }

    /// Asks for the listener at this address, which must exist, to see whether the monitor knows TCP at all.
    fn can_see_door(&mut self, door: SocketAddr) -> bool {
        let any = match door {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        self.ask(door, any).is_ok() && self.has_shown_socket
    }
}

/// A request for exactly one connection. `None`: the addresses are of different families, so there is no such connection.
fn build_question(sequence: u32, local: SocketAddr, remote: SocketAddr) -> Option<Vec<u8>> {
    let (family, local_ip, remote_ip) = match (local.ip().to_canonical(), remote.ip().to_canonical()) {
        (IpAddr::V4(l), IpAddr::V4(r)) => (AF_INET, pad_ipv4(&l.octets()), pad_ipv4(&r.octets())),
        (IpAddr::V6(l), IpAddr::V6(r)) => (AF_INET6, l.octets(), r.octets()),
        _ => return None,
    };
    let interface = match local {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let mut message = Vec::with_capacity(REQUEST_OCTETS);
    message.extend((REQUEST_OCTETS as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend([family, IPPROTO_TCP, 0, 0]);
    // A connection in any state.
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(local.port().to_be_bytes());
    message.extend(remote.port().to_be_bytes());
    message.extend(local_ip);
    message.extend(remote_ip);
    message.extend(interface.to_ne_bytes());
    // INET_DIAG_NOCOOKIE: do not compare the kernel's cookie of the socket.
    message.extend([0xff; 8]);
    Some(message)
}

/// Type and body of the one message in `datagram`, if it answers the question with this sequence number.
fn parse_message(datagram: &[u8], sequence: u32) -> Option<(u16, &[u8])> {
    let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
    let kind = u16::from_ne_bytes(bytes_at(datagram, 4)?);
    let body = datagram.get(HEADER_OCTETS..length)?;
    (u32_at(datagram, 8)? == sequence).then_some((kind, body))
}

/// Parses an `nlmsgerr`. ENOENT is an answer (no such connection), everything else a failure.
fn parse_error(body: &[u8]) -> Result<Option<Row>, Errno> {
    let code = bytes_at(body, 0).map(i32::from_ne_bytes).ok_or(Errno::BADMSG)?;
    match Errno::from_raw_os_error(code.saturating_neg()) {
        Errno::NOENT => Ok(None),
        error => Err(error),
    }
}

/// Parses an `inet_diag_msg`. `None` if it is about another socket: without such a connection the kernel shows a listener on
/// that port.
fn parse_row(body: &[u8], local: SocketAddr, remote: SocketAddr) -> Option<Row> {
    let [family, state] = bytes_at(body, 0)?;
    let is_ours = |port_at, ip_at, wanted: SocketAddr| {
        let port = u16::from_be_bytes(bytes_at(body, port_at)?);
        let address = parse_ip(family, body, ip_at)?;
        Some(port == wanted.port() && address == wanted.ip().to_canonical())
    };
    if !(is_ours(4, 8, local)? && is_ours(6, 24, remote)?) {
        return None;
    }
    // After the socket id: expires, rqueue, wqueue, uid, inode.
    let counters = 4 + SOCKET_ID_OCTETS;
    Some(Row { state, uid: u32_at(body, counters + 12)?, inode: u32_at(body, counters + 16)?.into() })
}

fn parse_ip(family: u8, body: &[u8], at: usize) -> Option<IpAddr> {
    match family {
        AF_INET => bytes_at::<4>(body, at).map(IpAddr::from),
        // An IPv6 socket that carries IPv4 is listed as IPv6.
        AF_INET6 => bytes_at::<16>(body, at).map(|octets| IpAddr::from(octets).to_canonical()),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn pad_ipv4(octets: &[u8; 4]) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..4].copy_from_slice(octets);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_unproven_no_is_not_believed_and_a_proven_one_is() {
        let mut monitor = Monitor::open().unwrap();
        let nowhere = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(monitor.ask(nowhere.0, nowhere.1), Ok(None));
        assert!(!monitor.has_shown_socket);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let row = monitor.ask(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap().unwrap();
        assert_eq!((row.state, row.uid), (1, rustix::process::geteuid().as_raw()));
        assert!(monitor.has_shown_socket);
    }

    /// The other way to ask, the table of all sockets, may take a second on a busy computer, and every client waits for it.
    #[test]
    fn the_door_is_proof_enough_when_the_first_client_has_gone() {
        for (host, elsewhere) in [("127.0.0.1:0", "127.0.0.1:1"), ("[::1]:0", "[::1]:1"), ("0.0.0.0:0", "127.0.0.1:1")]
        {
            let listener = TcpListener::bind(host).unwrap();
            let elsewhere: SocketAddr = elsewhere.parse().unwrap();
            let door = SocketAddr::new(elsewhere.ip(), listener.local_addr().unwrap().port());
            let mut monitor = Monitor::open().unwrap();
            assert_eq!(monitor.ask(elsewhere, door), Ok(None), "{host}");
            assert!(!monitor.has_shown_socket && monitor.can_see_door(door), "{host}");
            assert!(!Monitor::open().unwrap().can_see_door(elsewhere), "{host}");
        }
    }

    #[test]
    fn an_answer_to_a_question_given_up_is_passed_over() {
        let mut monitor = Monitor::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stray = build_question(77, "127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()).unwrap();
        sendto(&monitor.socket, &stray, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).unwrap();
        assert!(monitor.ask(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap().is_some());
    }

    #[test]
    fn a_listener_on_the_port_is_not_taken_for_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut monitor = Monitor::open().unwrap();
        assert_eq!(monitor.ask(address, "127.0.0.1:2".parse().unwrap()), Ok(None));
    }

    #[test]
    fn cut_off_answers_are_nothing() {
        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let whole = build_question(7, local, local).unwrap();
        for length in 0..whole.len() {
            assert_eq!(parse_message(&whole[..length], 7), None);
        }
        assert!(parse_message(&whole, 7).is_some());
        assert_eq!(parse_message(&whole, 8), None);
        for length in 0..72 {
            assert_eq!(parse_row(&[0; 72][..length], local, local), None);
        }
    }
}
