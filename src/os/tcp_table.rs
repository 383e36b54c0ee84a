//! Windows' table of TCP connections (`MIB_TCPTABLE_OWNER_PID` and `MIB_TCP6TABLE_OWNER_PID` of iprtrmib.h, as
//! `GetExtendedTcpTable` fills them in), read from plain 32-bit words: pure, so that it is tested on every system. The call
//! itself is in `windows_owner.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `MIB_TCP_STATE_LISTEN`.
pub(super) const LISTEN: u32 = 2;
/// `MIB_TCP_STATE_ESTAB`.
pub(super) const ESTABLISHED: u32 = 5;

/// Words of an IPv4 row: state, local address and port, remote address and port, process.
const IPV4_ROW_WORDS: usize = 6;
/// Words of an IPv6 row: local address (4), scope, port, remote address (4), scope, port, state, process.
const IPV6_ROW_WORDS: usize = 14;

/// One connection, or one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: u32,
    /// 0: no process holds the connection any more.
    pub(super) process: u32,
}

/// The rows of an IPv4 or IPv6 table, of which the first word is the count. If it promises more rows than there are, gives
/// those there are.
pub(super) fn parse_rows(words: &[u32], is_v6: bool) -> impl Iterator<Item = Row> + '_ {
    let size = if is_v6 { IPV6_ROW_WORDS } else { IPV4_ROW_WORDS };
    let (count, rest) = words.split_first().map_or((0, &[][..]), |(count, rest)| (*count, rest));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    rest.chunks_exact(size)
        .take(count)
        .filter_map(move |row| if is_v6 { parse_ipv6_row(row) } else { parse_ipv4_row(row) })
}

fn parse_ipv4_row(row: &[u32]) -> Option<Row> {
    let &[state, local, local_port, remote, remote_port, process] = row else { return None };
    let at =
        |address: u32, port: u32| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address.to_ne_bytes())), parse_port(port));
    Some(Row { local: at(local, local_port), remote: at(remote, remote_port), state, process })
}

fn parse_ipv6_row(row: &[u32]) -> Option<Row> {
    let (local, rest) = row.split_first_chunk::<4>()?;
    let (&[_, local_port], rest) = rest.split_first_chunk::<2>()?;
    let (remote, rest) = rest.split_first_chunk::<4>()?;
    let &[_, remote_port, state, process] = rest else { return None };
    let at = |address: &[u32; 4], port: u32| {
        let mut octets = [0; 16];
        for (part, word) in octets.chunks_exact_mut(4).zip(address) {
            part.copy_from_slice(&word.to_ne_bytes());
        }
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), parse_port(port))
    };
    Some(Row { local: at(local, local_port), remote: at(remote, remote_port), state, process })
}

/// A port is in network order in the first two octets of its word; the other two may hold anything.
fn parse_port(word: u32) -> u16 {
    let [high, low, ..] = word.to_ne_bytes();
    u16::from_be_bytes([high, low])
}

/// The process at the client's end of a connection.
pub(super) fn find_client_process(words: &[u32], client: SocketAddr, door: SocketAddr) -> Option<u32> {
    parse_rows(words, client.is_ipv6())
        .find(|row| row.state == ESTABLISHED && row.local == client && row.remote == door)
        .map(|row| row.process)
}

/// The process that listens on the address, or on all addresses with its port.
pub(super) fn find_listener_process(words: &[u32], address: SocketAddr) -> Option<u32> {
    parse_rows(words, address.is_ipv6())
        .find(|row| {
            let is_there = row.local.ip() == address.ip() || row.local.ip().is_unspecified();
            row.state == LISTEN && is_there && row.local.port() == address.port()
        })
        .map(|row| row.process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(octets: [u8; 4]) -> u32 {
        u32::from_ne_bytes(octets)
    }

    fn port(number: u16) -> u32 {
        let [high, low] = number.to_be_bytes();
        // Not every version of Windows clears the octets behind the port.
        word([high, low, 0xAA, 0x55])
    }

    #[test]
    fn the_row_of_exactly_this_connection_counts() {
        let here = word([127, 0, 0, 1]);
        let mut table = vec![4];
        table.extend([ESTABLISHED, here, port(2110), here, port(50000), 10]);
        table.extend([ESTABLISHED, here, port(50000), here, port(2110), 20]);
        table.extend([8, here, port(50001), here, port(2110), 30]);
        table.extend([LISTEN, 0, port(25), 0, 0, 40]);
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (client, door) = (address("127.0.0.1:50000"), address("127.0.0.1:2110"));
        assert_eq!(find_client_process(&table, client, door), Some(20), "not the door's own end");
        assert_eq!(find_client_process(&table, address("127.0.0.1:50001"), door), None, "a connection that is closing");
        assert_eq!(find_client_process(&table, client, address("127.0.0.2:2110")), None);
        assert_eq!(find_listener_process(&table, address("127.0.0.1:25")), Some(40));
        assert_eq!(find_listener_process(&table, address("127.0.0.1:2110")), None);
        // A table that is cut off, or whose count is wrong.
        assert_eq!(find_client_process(&table[..9], client, door), None);
        table[0] = u32::MAX;
        assert_eq!(find_client_process(&table, client, door), Some(20));
        assert_eq!(find_client_process(&[], client, door), None);
    }

    #[test]
    fn ipv6_rows_have_their_own_order() {
        let one = [0, 0, 0, word([0, 0, 0, 1])];
        let mut table = vec![1];
        table.extend(one);
        table.extend([0, port(50000)]);
        table.extend(one);
        table.extend([0, port(2110), ESTABLISHED, 7]);
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(find_client_process(&table, address("[::1]:50000"), address("[::1]:2110")), Some(7));
        assert_eq!(find_client_process(&table, address("[::1]:2110"), address("[::1]:50000")), None);
    }
}
