//! The kernel's tables of TCP sockets as text (`/proc/net/tcp`, proc_pid_net(5)): who listens on a port, and who owns a
//! connection where netlink is not available. Slow, because the tables list every socket of the computer.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::linux::Row;

/// The tables are missing, or empty although ostler itself has sockets open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The row of the connection from `local` to `remote`, as its owner sees it. `None`: there is no such connection.
pub(super) fn look_up(local: SocketAddr, remote: SocketAddr) -> Result<Option<Row>, Unreadable> {
    let (local, remote) = (canonical(local), canonical(remote));
    let mut is_empty = true;
    for line in read_tables().iter().flat_map(|table| table.lines()).filter_map(Line::parse) {
        is_empty = false;
        if line.local == local && line.remote == remote {
            return Ok(Some(line.row));
        }
    }
    if is_empty { Err(Unreadable) } else { Ok(None) }
}

/// See [`super::port_holder`].
pub(super) fn port_holder(address: SocketAddr) -> Option<String> {
    const LISTEN: u8 = 10;
    let address = canonical(address);
    let tables = read_tables();
    let listeners: Vec<Row> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(Line::parse)
        .filter(|line| line.row.state == LISTEN && overlaps(line.local, address))
        .map(|line| line.row)
        .collect();
    let found = listeners.iter().find_map(|row| find_holder(row.inode));
    found.or_else(|| listeners.first().map(|row| describe_owner(row.uid)))
}

/// Whether a listener on `held` keeps others from listening on `wanted`. One on `::` takes IPv4 too, unless it has set
/// IPV6_V6ONLY, which the tables do not show.
fn overlaps(held: SocketAddr, wanted: SocketAddr) -> bool {
    let either_is_any = held.ip().is_unspecified() || wanted.ip().is_unspecified();
    let same_family = held.is_ipv4() == wanted.is_ipv4();
    let is_dual = |any: SocketAddr| any.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    held.port() == wanted.port()
        && (held.ip() == wanted.ip() || (either_is_any && same_family) || is_dual(held) || is_dual(wanted))
}

/// The program that has this socket open, among those whose open files this process may list.
fn find_holder(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if has_open(&process.path(), &wanted) {
            return Some(format!("{} (process {pid})", read_program_name(&process.path())));
        }
    }
    None
}

fn has_open(process: &Path, wanted: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted))
}

/// A program chooses this name itself, so it may hold control characters.
fn read_program_name(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim_end().replace(char::is_control, "?");
    if name.is_empty() { "a program".into() } else { name }
}

/// Describes a program whose open files this process may not list: one of another user, or one that is undumpable, as ostler
/// itself is.
fn describe_owner(uid: u32) -> String {
    match uid {
        0 => "a program of root".into(),
        uid if uid == rustix::process::geteuid().as_raw() => "a program of yours, perhaps another ostler".into(),
        uid => format!("a program of the user with the number {uid}"),
    }
}

/// Both tables: an IPv6 socket that carries IPv4 is in the second one.
fn read_tables() -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// One line of a table. IPv4-mapped IPv6 addresses are converted to IPv4.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    row: Row,
}

impl Line {
    /// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode ..`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let local = parse_address(words.nth(1)?)?;
        let remote = parse_address(words.next()?)?;
        let state = u8::from_str_radix(words.next()?, 16).ok()?;
        let uid = words.nth(3)?.parse().ok()?;
        let inode = words.nth(1)?.parse().ok()?;
        Some(Self { local, remote, row: Row { state, uid, inode } })
    }
}

/// Parses `0100007F:1F90`: the address in 32-bit words in the byte order of the processor, the port as a plain number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = [0; 16];
    let length = ip.len() / 2;
    for (at, word) in octets.get_mut(..length)?.chunks_mut(4).enumerate() {
        let number = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        word.copy_from_slice(number.to_ne_bytes().get(..word.len())?);
    }
    let ip = match length {
        4 => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
        16 => IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_both_tables_are_read() {
        let v4 = "   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
        let line = Line::parse(v4).unwrap();
        assert_eq!(line.local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(line.remote, "127.0.0.1:50000".parse().unwrap());
        assert_eq!(line.row, Row { state: 1, uid: 1000, inode: 4242 });
        assert_eq!(parse_address("00000000000000000000000001000000:006E"), Some("[::1]:110".parse().unwrap()));
        assert_eq!(parse_address("0000000000000000FFFF00000100007F:006E"), Some("127.0.0.1:110".parse().unwrap()));
    }

    #[test]
    fn other_text_is_not_a_line() {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for text in [header, "", "0:", "0: 01:1 02:2 01", "0: zz:1 yy:2", "0: \u{e9}\u{e9}:1 0100007F:1 01"] {
            assert_eq!(Line::parse(text), None);
        }
    }

    #[test]
    fn a_listener_on_all_addresses_holds_each_of_them() {
        let holds = |held: &str, wanted: &str| overlaps(held.parse().unwrap(), wanted.parse().unwrap());
        assert!(holds("127.0.0.1:110", "127.0.0.1:110"));
        assert!(holds("0.0.0.0:110", "127.0.0.1:110"));
        assert!(holds("[::]:110", "127.0.0.1:110"));
        assert!(holds("[::]:110", "[::1]:110"));
        assert!(!holds("0.0.0.0:110", "[::1]:110"));
        assert!(!holds("127.0.0.2:110", "127.0.0.1:110"));
        assert!(!holds("127.0.0.1:111", "127.0.0.1:110"));
    }
}
