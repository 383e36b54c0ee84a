//! The header with which a load balancer names the client it speaks for: the PROXY protocol, versions 1 and 2
//! (haproxy's `doc/proxy-protocol.txt`).
//!
//! Not here: whose header is believed, which the settings say.

use std::net::{IpAddr, SocketAddr};

/// How version 1 begins.
const V1_START: &[u8] = b"PROXY ";
/// The longest line of version 1, CR LF included (section 2.1).
const MAX_V1_OCTETS: usize = 107;
/// How version 2 begins (section 2.2).
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 up to the length of what follows.
const V2_FIXED_OCTETS: usize = 16;
/// The most that may follow: addresses, and what a balancer tells besides (certificates' names, its own identifiers).
const MAX_V2_REST_OCTETS: usize = 2048;

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// This client.
    Client(SocketAddr),
    /// No client: the balancer itself connects, to see whether the door works, or does not know its client's address.
    Nobody,
}

/// Why octets are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoHeader {
    /// They begin otherwise.
    #[error("it sent no PROXY header, which a balancer named in `proxies` has to send first")]
    Missing,
    /// The header breaks the rules of its version.
    #[error("its PROXY header cannot be read")]
    Damaged,
    /// The header is longer than any that ostler takes.
    #[error("its PROXY header is too long")]
    TooLong,
}

/// Reads the header at the front of what a balancer sent. Returns whom it names, and how many octets it has; `None` while it is
/// incomplete.
pub fn read(input: &[u8]) -> Result<Option<(Named, usize)>, NoHeader> {
    let begins = |start: &[u8]| input.iter().zip(start).all(|(a, b)| a == b);
    if begins(V1_START) {
        read_v1(input)
    } else if begins(V2_START) {
        read_v2(input)
    } else {
        Err(NoHeader::Missing)
    }
}

/// Whether a line is a header of version 1. No mail program sends one; a balancer that the settings do not name may.
pub fn is_header(line: &[u8]) -> bool {
    [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"]
        .iter()
        .any(|family| line.strip_prefix(V1_START).is_some_and(|rest| rest.starts_with(family)))
}

fn read_v1(input: &[u8]) -> Result<Option<(Named, usize)>, NoHeader> {
    let Some(end) = input.iter().take(MAX_V1_OCTETS).position(|octet| *octet == b'\n') else {
        return if input.len() >= MAX_V1_OCTETS { Err(NoHeader::TooLong) } else { Ok(None) };
    };
    let line = input[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.ok_or(NoHeader::Damaged)?.split(' ').skip(1);
    let named = match words.next() {
        // The rest of the line means nothing (section 2.1).
        Some("UNKNOWN") => Named::Nobody,
        Some("TCP4") => client_v1(words, IpAddr::is_ipv4)?,
        Some("TCP6") => client_v1(words, IpAddr::is_ipv6)?,
        _ => return Err(NoHeader::Damaged),
    };
    Ok(Some((named, end + 1)))
}

/// The client of a line: its address, the balancer's, both ports.
fn client_v1<'a>(words: impl Iterator<Item = &'a str>, is_family: fn(&IpAddr) -> bool) -> Result<Named, NoHeader> {
    let words: Vec<&str> = words.collect();
    let [from, to, from_port, to_port] = words[..] else { return Err(NoHeader::Damaged) };
    let address = |text: &str| text.parse::<IpAddr>().ok().filter(is_family);
    // Zeros in front are not allowed.
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    match (address(from), address(to), port(from_port), port(to_port)) {
        (Some(from), Some(_), Some(port), Some(_)) => Ok(Named::Client(SocketAddr::new(from, port))),
        _ => Err(NoHeader::Damaged),
    }
}

fn read_v2(input: &[u8]) -> Result<Option<(Named, usize)>, NoHeader> {
    let Some((fixed, rest)) = input.split_at_checked(V2_FIXED_OCTETS) else { return Ok(None) };
    let [.., version_and_command, family, high, low] = *fixed else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 {
        return Err(NoHeader::Damaged);
    }
    if length > MAX_V2_REST_OCTETS {
        return Err(NoHeader::TooLong);
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let named = match (version_and_command & 0xf, family) {
        // LOCAL, and an unknown client (UNKNOWN in version 1): whatever follows means nothing (section 2.2).
        (0, _) | (1, 0) => Named::Nobody,
        (1, 0x11) => client_v2::<4, 12>(rest)?,
        (1, 0x21) => client_v2::<16, 36>(rest)?,
        // A client without an address, such as one on a Unix socket, is one that no setting can let in.
        _ => return Err(NoHeader::Damaged),
    };
    Ok(Some((named, V2_FIXED_OCTETS + length)))
}

/// The client of a block of `OCTETS`: its address, the balancer's, both ports.
fn client_v2<const ADDRESS: usize, const OCTETS: usize>(rest: &[u8]) -> Result<Named, NoHeader>
where
    IpAddr: From<[u8; ADDRESS]>,
{
    let block: &[u8; OCTETS] = rest.first_chunk().ok_or(NoHeader::Damaged)?;
    let address: &[u8; ADDRESS] = block.first_chunk().ok_or(NoHeader::Damaged)?;
    let port =
        block.get(2 * ADDRESS..2 * ADDRESS + 2).and_then(|port| port.try_into().ok()).ok_or(NoHeader::Damaged)?;
    Ok(Named::Client(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(port))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::net::Ipv6Addr;

    use super::*;

    /// The header of version 2 for a client.
    fn written(client: SocketAddr) -> Vec<u8> {
        let address: Vec<u8> = match client.ip() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let family = if address.len() == 4 { 0x11 } else { 0x21 };
        let length = u8::try_from(2 * address.len() + 4).unwrap_or_default();
        let mut header = [&V2_START[..], &[0x21, family, 0, length], &address].concat();
        header.extend(std::iter::repeat_n(0, address.len()));
        header.extend(client.port().to_be_bytes());
        header.extend([0, 110]);
        header
    }

    fn client(text: &str) -> Named {
        Named::Client(text.parse().unwrap())
    }

    #[test]
    fn version_1_names_a_client() {
        for (line, named) in [
            ("PROXY TCP4 192.0.2.7 10.0.0.5 40000 110\r\n", client("192.0.2.7:40000")),
            ("PROXY TCP6 2001:db8::7 2001:db8::5 1 110\r\n", client("[2001:db8::7]:1")),
            ("PROXY UNKNOWN\r\n", Named::Nobody),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f 65535 65535\r\n", Named::Nobody),
        ] {
            let input = format!("{line}USER ann\r\n");
            assert_eq!(read(input.as_bytes()), Ok(Some((named, line.len()))), "{line}");
            assert!(is_header(line.trim_end().as_bytes()), "{line}");
        }
    }

    #[test]
    fn version_2_names_a_client() {
        for address in ["192.0.2.7:40000", "[2001:db8::7]:1"] {
            let header = written(address.parse().unwrap());
            let input = [&header[..], b"USER ann\r\n"].concat();
            assert_eq!(read(&input), Ok(Some((client(address), header.len()))));
            // What the balancer tells besides is passed over.
            let mut more = header.clone();
            more[15] += 7;
            more.extend([4, 0, 4, 0, 0, 0, 0]);
            assert_eq!(read(&more), Ok(Some((client(address), more.len()))));
        }
        for command in [0x20, 0x21] {
            let nobody = [&V2_START[..], &[command, 0, 0, 3, 1, 2, 3]].concat();
            assert_eq!(read(&nobody), Ok(Some((Named::Nobody, 19))));
        }
        let local = [&V2_START[..], &[0x20, 0x11, 0, 12], &[9; 12]].concat();
        assert_eq!(read(&local), Ok(Some((Named::Nobody, 28))));
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_clear() {
        for input in [&b"USER ann\r\n"[..], b"PRX", b"GET / HTTP/1.1\r\n", b"\r\n\r\nx", b"proxy TCP4"] {
            assert_eq!(read(input), Err(NoHeader::Missing), "{}", input.escape_ascii());
        }
        for line in [
            "PROXY TCP4 192.0.2.7 10.0.0.5 40000\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 40000 110 9\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 40000 65536\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 +1 110\r\n",
            "PROXY TCP4 2001:db8::7 10.0.0.5 1 110\r\n",
            "PROXY TCP6 192.0.2.7 2001:db8::7 1 110\r\n",
            "PROXY  TCP4 192.0.2.7 10.0.0.5 1 110\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.5 1 110\n",
            "PROXY UDP4 192.0.2.7 10.0.0.5 1 110\r\n",
            "PROXY\u{a0}\r\n",
            "PROXY \r\n",
        ] {
            assert!(matches!(read(line.as_bytes()), Err(NoHeader::Damaged | NoHeader::Missing)), "{line}");
        }
        assert_eq!(read(&[b"PROXY TCP4 ", &[b'1'; 200][..]].concat()), Err(NoHeader::TooLong));
        let v2 = |tail: &[u8]| read(&[&V2_START[..], tail].concat());
        assert_eq!(v2(&[0x11, 0x11, 0, 12]), Err(NoHeader::Damaged));
        assert_eq!(v2(&[0x21, 0x11, 0xff, 0xff]), Err(NoHeader::TooLong));
        assert_eq!(v2(&[0x21, 0x11, 0, 4, 1, 2, 3, 4]), Err(NoHeader::Damaged));
        assert_eq!(v2(&[0x21, 0x31, 0, 0]), Err(NoHeader::Damaged));
        assert_eq!(v2(&[0x22, 0x11, 0, 0]), Err(NoHeader::Damaged));
    }

    proptest! {
        #[test]
        fn a_part_of_a_header_is_waited_for(v6 in any::<bool>(), bits in any::<u128>(), port in any::<u16>(), cut in 0..52_usize) {
            let ip = if v6 { IpAddr::from(Ipv6Addr::from(bits)) } else { IpAddr::from((bits as u32).to_be_bytes()) };
            let header = written(SocketAddr::new(ip, port));
            let cut = cut.min(header.len() - 1);
            prop_assert_eq!(read(&header[..cut]), Ok(None));
            prop_assert_eq!(read(&header), Ok(Some((Named::Client(SocketAddr::new(ip, port)), header.len()))));
        }

        #[test]
        fn no_octets_are_taken_that_are_not_there(input in prop::collection::vec(any::<u8>(), 0..300)) {
            for start in [&b""[..], V1_START, V2_START] {
                let input = [start, &input].concat();
                if let Ok(Some((_, octets))) = read(&input) {
                    prop_assert!(octets <= input.len() && octets >= V1_START.len());
                }
            }
        }
    }
}
