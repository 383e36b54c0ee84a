//! What macOS says about a socket of a process (`struct socket_fdinfo` of `<sys/proc_info.h>`, as `proc_pidfdinfo` fills it
//! in), read from plain octets: pure, so that it is tested on every system. The calls themselves are in `macos.rs`.
//!
//! The offsets are those of the 64-bit layout, which has not changed since Mac OS X 10.5. Numbers are in the byte order of
//! the processor, ports and addresses in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `sizeof(struct socket_fdinfo)`. If the system fills in another length, the layout is another one.
pub(super) const INFO_OCTETS: usize = 792;

/// `soi_kind`: which structure is at `PROTOCOL_OFFSET`.
const KIND_OFFSET: usize = 256;
/// `SOCKINFO_TCP`.
const TCP: u32 = 2;
/// `soi_proto`, here a `struct tcp_sockinfo`: the remote port, then the local one, each in the first two octets of a word.
const PROTOCOL_OFFSET: usize = 264;
const FOREIGN_PORT_OFFSET: usize = PROTOCOL_OFFSET;
const LOCAL_PORT_OFFSET: usize = PROTOCOL_OFFSET + 4;
/// `insi_vflag`.
const FAMILIES_OFFSET: usize = PROTOCOL_OFFSET + 24;
const IPV4: u8 = 1;
const IPV6: u8 = 2;
/// `insi_faddr` and `insi_laddr`: 16 octets each. An IPv4 address is in the last four, behind three words that may hold
/// anything.
const FOREIGN_OFFSET: usize = PROTOCOL_OFFSET + 32;
const LOCAL_OFFSET: usize = PROTOCOL_OFFSET + 48;
/// `tcpsi_state`.
const STATE_OFFSET: usize = PROTOCOL_OFFSET + 80;
/// `TSI_S_LISTEN`.
const LISTEN: u32 = 1;
/// From `TSI_S_ESTABLISHED` to `TSI_S_FIN_WAIT_2`.
const CONNECTED: std::ops::RangeInclusive<u32> = 4..=9;

/// Whether this is the client's end of exactly this connection.
pub(super) fn is_end_of(info: &[u8], client: SocketAddr, door: SocketAddr) -> bool {
    tcp_state(info).is_some_and(|state| CONNECTED.contains(&state))
        && has_endpoint(info, LOCAL_OFFSET, LOCAL_PORT_OFFSET, client)
        && has_endpoint(info, FOREIGN_OFFSET, FOREIGN_PORT_OFFSET, door)
}

/// Whether this socket listens on the address, or on all addresses with its port.
pub(super) fn listens_on(info: &[u8], address: SocketAddr) -> bool {
    let everywhere = |ip: IpAddr| SocketAddr::new(ip, address.port());
    tcp_state(info) == Some(LISTEN)
        && [address, everywhere(Ipv4Addr::UNSPECIFIED.into()), everywhere(Ipv6Addr::UNSPECIFIED.into())]
            .into_iter()
            .any(|address| has_endpoint(info, LOCAL_OFFSET, LOCAL_PORT_OFFSET, address))
}

fn tcp_state(info: &[u8]) -> Option<u32> {
    (info.len() == INFO_OCTETS && read_word(info, KIND_OFFSET) == Some(TCP)).then(|| read_word(info, STATE_OFFSET))?
}

/// Whether address and port at these offsets are `wanted`. A socket for both families that is connected to an IPv4 address
/// can have either flag or both, so each family that is set is tried.
fn has_endpoint(info: &[u8], address: usize, port: usize, wanted: SocketAddr) -> bool {
    let (Some([high, low]), Some(octets), Some([families])) =
        (read_octets(info, port), read_octets::<16>(info, address), read_octets(info, FAMILIES_OFFSET))
    else {
        return false;
    };
    let [.., a, b, c, d] = octets;
    let wanted_ip = wanted.ip().to_canonical();
    u16::from_be_bytes([high, low]) == wanted.port()
        && (families & IPV4 != 0 && wanted_ip == IpAddr::from([a, b, c, d])
            || families & IPV6 != 0 && wanted_ip == IpAddr::from(octets).to_canonical())
}

fn read_word(info: &[u8], at: usize) -> Option<u32> {
    read_octets(info, at).map(u32::from_ne_bytes)
}

fn read_octets<const N: usize>(info: &[u8], at: usize) -> Option<[u8; N]> {
    info.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The structures as in the header, to check the offsets above.
    mod header {
        #[repr(C)]
        pub(super) struct SocketFdInfo {
            pub(super) file: (u32, u32, i64, i32, u32),
            pub(super) stat: Stat,
            pub(super) so_pcb: [u64; 2],
            pub(super) type_protocol_family: [i32; 3],
            pub(super) shorts: [i16; 8],
            pub(super) oobmark: u32,
            pub(super) buffers: [Buffer; 2],
            pub(super) kind: i32,
            pub(super) reserved: u32,
            pub(super) protocol: Protocol,
        }

        #[repr(C)]
        pub(super) struct Stat {
            dev: u32,
            mode_nlink: [u16; 2],
            ino: u64,
            uid_gid: [u32; 2],
            times: [i64; 8],
            size_blocks: [i64; 2],
            blksize_flags_gen_rdev: [u32; 4],
            spare: [i64; 2],
        }

        #[repr(C)]
        pub(super) struct Buffer {
            counts: [u32; 5],
            flags_timeo: [i16; 2],
        }

        #[repr(C)]
        pub(super) union Protocol {
            pub(super) tcp: std::mem::ManuallyDrop<Tcp>,
            /// The largest of them: `struct un_sockinfo`, with two addresses of SOCK_MAXADDRLEN octets.
            local: std::mem::ManuallyDrop<([u64; 2], [[u8; 255]; 2])>,
        }

        #[repr(C)]
        pub(super) struct Tcp {
            pub(super) foreign_port: i32,
            pub(super) local_port: i32,
            gencnt: u64,
            flags_flow: [u32; 2],
            pub(super) vflag: u8,
            ttl: u8,
            reserved: u32,
            pub(super) foreign: [u32; 4],
            pub(super) local: [u32; 4],
            v4: u8,
            v6: (u8, i32, u16, i16),
            pub(super) state: i32,
            timers: [i32; 4],
            mss: i32,
            flags_reserved: [u32; 2],
            tp: u64,
        }
    }

    #[test]
    fn the_places_are_those_of_the_header() {
        use header::{SocketFdInfo, Tcp};
        use std::mem::{offset_of, size_of};
        assert_eq!(size_of::<SocketFdInfo>(), INFO_OCTETS);
        assert_eq!(offset_of!(SocketFdInfo, kind), KIND_OFFSET);
        assert_eq!(offset_of!(SocketFdInfo, protocol), PROTOCOL_OFFSET);
        let at = |offset| PROTOCOL_OFFSET + offset;
        assert_eq!(at(offset_of!(Tcp, foreign_port)), FOREIGN_PORT_OFFSET);
        assert_eq!(at(offset_of!(Tcp, local_port)), LOCAL_PORT_OFFSET);
        assert_eq!(at(offset_of!(Tcp, vflag)), FAMILIES_OFFSET);
        assert_eq!(at(offset_of!(Tcp, foreign)), FOREIGN_OFFSET);
        assert_eq!(at(offset_of!(Tcp, local)), LOCAL_OFFSET);
        assert_eq!(at(offset_of!(Tcp, state)), STATE_OFFSET);
        assert_eq!(size_of::<Tcp>(), 120);
    }

    fn put(info: &mut [u8], at: usize, octets: &[u8]) {
        info[at..at + octets.len()].copy_from_slice(octets);
    }

    /// What the system fills in for such a socket. Octets that it leaves alone are not zero here.
    fn info(families: u8, state: u32, local: SocketAddr, foreign: SocketAddr) -> Vec<u8> {
        let mut info = vec![0xA5; INFO_OCTETS];
        put(&mut info, KIND_OFFSET, &TCP.to_ne_bytes());
        put(&mut info, STATE_OFFSET, &state.to_ne_bytes());
        put(&mut info, FAMILIES_OFFSET, &[families]);
        for (at, port, address) in
            [(LOCAL_OFFSET, LOCAL_PORT_OFFSET, local), (FOREIGN_OFFSET, FOREIGN_PORT_OFFSET, foreign)]
        {
            put(&mut info, port, &address.port().to_be_bytes());
            match address.ip() {
                IpAddr::V4(ip) => put(&mut info, at + 12, &ip.octets()),
                IpAddr::V6(ip) => put(&mut info, at, &ip.octets()),
            }
        }
        info
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_clients_end_of_exactly_this_connection_counts() {
        let (client, door) = (address("127.0.0.1:50000"), address("127.0.0.1:2110"));
        let theirs = info(IPV4, 4, client, door);
        assert!(is_end_of(&theirs, client, door));
        assert!(!is_end_of(&theirs, door, client), "not the door's own end");
        assert!(!is_end_of(&theirs, address("127.0.0.1:50001"), door));
        assert!(!is_end_of(&theirs, client, address("127.0.0.2:2110")));
        for (state, counts) in [(0, false), (1, false), (2, false), (5, true), (9, true), (10, false)] {
            assert_eq!(is_end_of(&info(IPV4, state, client, door), client, door), counts, "{state}");
        }
        assert!(!is_end_of(&info(IPV6, 4, client, door), client, door), "what stands there is no IPv6 address");
        assert!(!is_end_of(&info(0, 4, client, door), client, door));
        assert!(!is_end_of(&theirs[..INFO_OCTETS - 1], client, door));
        assert!(!is_end_of(&[], client, door));
        let mut other = theirs;
        put(&mut other, KIND_OFFSET, &1u32.to_ne_bytes());
        assert!(!is_end_of(&other, client, door), "no TCP");
    }

    #[test]
    fn ipv6_and_ipv4_inside_of_it_are_known() {
        let (client, door) = (address("[::1]:50000"), address("[::1]:2110"));
        assert!(is_end_of(&info(IPV6, 4, client, door), client, door));
        assert!(is_end_of(&info(IPV4 | IPV6, 4, client, door), client, door));
        let (mapped, mapped_door) = (address("[::ffff:127.0.0.1]:50000"), address("[::ffff:127.0.0.1]:2110"));
        let (plain, plain_door) = (address("127.0.0.1:50000"), address("127.0.0.1:2110"));
        for families in [IPV4, IPV6, IPV4 | IPV6] {
            let theirs = info(families, 4, mapped, mapped_door);
            assert!(is_end_of(&theirs, plain, plain_door) && is_end_of(&theirs, mapped, mapped_door), "{families}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_one_on_this() {
        let door = address("127.0.0.1:2110");
        let nobody = address("0.0.0.0:0");
        assert!(listens_on(&info(IPV4, LISTEN, door, nobody), door));
        assert!(listens_on(&info(IPV4, LISTEN, address("0.0.0.0:2110"), nobody), door));
        assert!(listens_on(&info(IPV4 | IPV6, LISTEN, address("[::]:2110"), address("[::]:0")), door));
        assert!(!listens_on(&info(IPV4, LISTEN, address("127.0.0.2:2110"), nobody), door));
        assert!(!listens_on(&info(IPV4, LISTEN, address("0.0.0.0:2111"), nobody), door));
        assert!(!listens_on(&info(IPV4, 4, door, address("127.0.0.1:50000")), door));
    }
}
