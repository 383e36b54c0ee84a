//! Which doors a guide names: for a program on ostler's own computer those on loopback, for one on another computer those at
//! one address of the network. A guide never mixes them: what works for one of them does not for the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::os;
use crate::proxy::net::own_address;
use ostler_mail::account::{Account, Door, Protocol, Settings};
use ostler_mail::secret::Secret;

/// Where the mail program of a guide's reader runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reader {
    /// The program runs on another computer. `false`: on whichever the doors are for.
    pub(super) is_elsewhere: bool,
    /// The name or address of that computer, as the user gave it.
    pub(super) computer: Option<String>,
    /// The address of that computer, if it is known.
    pub(super) address: Option<IpAddr>,
    /// What the program has to type for ostler's computer, if the user said so.
    pub(super) server: Option<String>,
    /// The address of ostler's computer as others see it, for doors that listen on every address.
    pub(super) own_address: Option<IpAddr>,
    /// What the program has to give as password, to be shown in the guide.
    pub(super) local_password: Option<Arc<Secret>>,
}

/// The name under which a user speaks of a computer: the other one that a program runs on, or ostler's own.
struct Named<'a> {
    name: &'a str,
    /// The addresses that the name stands for.
    addresses: &'a [IpAddr],
    /// Whether one of them, or the name, is that of ostler's computer.
    is_own: bool,
}

impl Reader {
    /// The reader on whichever computer the doors are for.
    pub(crate) fn usual(settings: &Settings) -> Self {
        Self::default().with_own_address(settings)
    }

    /// The reader on a computer that the user names. May take some seconds, for a name that has to be looked up.
    pub(crate) fn on(settings: &Settings, computer: &str) -> Self {
        let addresses = own_address::look_up(computer);
        let label = computer.split('.').next().unwrap_or_default();
        let is_our_name = os::computer_name().is_some_and(|own| own.eq_ignore_ascii_case(label));
        let is_own = is_our_name || addresses.iter().any(|address| own_address::is_own(*address));
        Self::elsewhere(settings, &Named { name: computer, addresses: &addresses, is_own }).with_own_address(settings)
    }

    /// With the local password to show, where programs have to give one.
    pub(crate) fn showing(self, local_password: Option<Arc<Secret>>) -> Self {
        Self { local_password, ..self }
    }

    fn with_own_address(mut self, settings: &Settings) -> Self {
        if self.own_address.is_none() && settings.serves_other_computers() {
            let neighbour = self.address.or_else(|| settings.allow.iter().find_map(|network| network.some_address()));
            self.own_address = neighbour.and_then(own_address::toward);
        }
        // The address that others see is this computer, too.
        let is_seen = self.address.is_some() && self.address == self.own_address;
        if is_seen && settings.doors.iter().any(|door| door.address.ip().is_unspecified()) {
            (self.server, self.address) = (self.computer.take(), None);
        }
        self
    }

    /// The reader on another computer. A user may name that computer, or the one that they type in its programs: ostler's.
    fn elsewhere(settings: &Settings, named: &Named<'_>) -> Self {
        let is_door = |address: &IpAddr| settings.doors.iter().any(|door| door.address.ip() == *address);
        // An address that the settings let in, or where no door can be, is a client's; a name, only if they let in its one
        // address.
        let is_literal = named.name.parse::<IpAddr>().is_ok();
        let has_door_everywhere = settings.doors.iter().any(|door| door.address.ip().is_unspecified());
        let is_clients = |address: &IpAddr| {
            is_literal && !has_door_everywhere
                || settings.allow.iter().any(|n| n.contains(*address) && (is_literal || n.is_one_address()))
        };
        let is_client = named.addresses.iter().any(is_clients) && !named.addresses.iter().any(is_door);
        if named.is_own && !is_client {
            // Debian gives the name of a computer to 127.0.1.1.
            let own_address = named.addresses.iter().find(|address| !address.is_loopback()).copied();
            return Self { is_elsewhere: true, server: Some(named.name.to_owned()), own_address, ..Self::default() };
        }
        let address = named.addresses.first().copied();
        Self { is_elsewhere: true, computer: Some(named.name.to_owned()), address, ..Self::default() }
    }
}

/// A door's host and port, as a mail program asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DoorAddress {
    pub(super) host: String,
    pub(super) port: u16,
    /// The address that the door listens on, as the settings have it.
    pub(super) listens_on: SocketAddr,
}

/// The doors for one account and one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doors {
    pub(super) is_elsewhere: bool,
    pub(super) pop3: Option<DoorAddress>,
    pub(super) smtp: Option<DoorAddress>,
    pub(super) imap: Option<DoorAddress>,
    /// The door on port 25, which some old programs cannot change.
    pub(super) smtp_25: Option<DoorAddress>,
    /// Whether both doors for mail that is fetched and sent lead to the account alone.
    pub(super) are_own: bool,
    /// Whether the one for sending does.
    pub(super) is_smtp_own: bool,
}

impl Doors {
    pub(super) fn new(settings: &Settings, account: &Account, reader: &Reader) -> Self {
        let wanted = [Protocol::Pop3, Protocol::Smtp, Protocol::Imap].into_iter().filter(|p| account.serves(*p));
        let is_only_on_network = |protocol: Protocol| {
            let doors = || doors_for(settings, account).filter(move |door| door.protocol == protocol);
            doors().next().is_some() && doors().all(Door::is_on_network)
        };
        let is_elsewhere = reader.is_elsewhere || wanted.clone().any(is_only_on_network);
        let host = if is_elsewhere { Some(choose_host(settings, account, reader)) } else { None };
        let choice = Choice { settings, account, host };
        let shown = |door: &Door| DoorAddress {
            host: choice.shown_host(door.address.ip(), reader),
            port: door.address.port(),
            listens_on: door.address,
        };
        let [pop3, smtp, imap] =
            [Protocol::Pop3, Protocol::Smtp, Protocol::Imap].map(|protocol| choice.best(protocol, |_| true));
        let smtp_25 = choice.best(Protocol::Smtp, |door| door.address.port() == 25);
        let is_own = |door: Option<&Door>| door.is_some_and(|door| door.account.is_some());
        Self {
            is_elsewhere,
            are_own: is_own(pop3) && is_own(smtp),
            is_smtp_own: is_own(smtp),
            pop3: pop3.map(shown),
            smtp: smtp.map(shown),
            imap: imap.map(shown),
            smtp_25: smtp_25.map(shown),
        }
    }
}

/// The doors that lead to the account.
fn doors_for<'s>(settings: &'s Settings, account: &'s Account) -> impl Iterator<Item = &'s Door> {
    settings.doors.iter().filter(|door| door.account.as_ref().is_none_or(|name| *name == account.name))
}

/// Where the doors of a guide are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// At this address, and at doors on every address.
    At(IpAddr),
    /// Only at doors on every address.
    Every,
}

impl Host {
    fn has(self, door: &Door) -> bool {
        match self {
            Self::At(host) => door.is_reached_at(host),
            Self::Every => door.address.ip().is_unspecified(),
        }
    }
}

/// The address with most of the doors that the account needs; of several such the one nearest to the reader, then IPv4, then
/// the first in the file.
fn choose_host(settings: &Settings, account: &Account, reader: &Reader) -> Host {
    let ips =
        doors_for(settings, account).filter(|door| door.is_on_network()).map(|door| door.address.ip().to_canonical());
    let hosts = ips.map(|ip| if ip.is_unspecified() { Host::Every } else { Host::At(ip) });
    let named = reader.server.as_ref().and(reader.own_address);
    let worse = |host: &Host| {
        let wanted = [Protocol::Pop3, Protocol::Smtp, Protocol::Imap].into_iter().filter(|p| account.serves(*p));
        let has = |protocol: &Protocol| doors_for(settings, account).any(|d| d.protocol == *protocol && host.has(d));
        let near = match (host, reader.address) {
            (Host::At(ip), Some(other)) => common_bits(*ip, other),
            _ => 0,
        };
        let is_named = named.is_some_and(|named| *host == Host::At(named));
        let is_ipv6 = matches!(host, Host::At(ip) if ip.is_ipv6());
        (!is_named, usize::MAX - wanted.filter(has).count(), u32::MAX - near, is_ipv6)
    };
    hosts.min_by_key(worse).unwrap_or(Host::Every)
}

/// How many leading bits two addresses share.
fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}

struct Choice<'s> {
    settings: &'s Settings,
    account: &'s Account,
    /// `None`: on loopback.
    host: Option<Host>,
}

impl<'s> Choice<'s> {
    fn best(&self, protocol: Protocol, is_meant: impl Fn(&Door) -> bool) -> Option<&'s Door> {
        let (account, host) = (self.account, self.host);
        self.settings.best_door(protocol, |door| {
            let leads_here = door.account.as_ref().is_none_or(|name| *name == account.name);
            let is_there = host.map_or(!door.is_on_network(), |host| door.is_on_network() && host.has(door));
            leads_here && is_there && is_meant(door)
        })
    }

    fn shown_host(&self, ip: IpAddr, reader: &Reader) -> String {
        let on_network = self.host.map(|host| match (&reader.server, host) {
            (Some(server), _) => server.clone(),
            (None, Host::At(ip)) => ip.to_string(),
            (None, Host::Every) => match reader.own_address {
                Some(own) => own.to_string(),
                None => "(the network address of the computer that ostler runs on)".into(),
            },
        });
        on_network.unwrap_or_else(|| ip.to_canonical().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide::tests::{account, door, settings};
    use ostler_mail::account::{Access, Network};

    fn network(address: &str, prefix: u8) -> Network {
        Network { address: address.parse().unwrap(), prefix }
    }

    /// Settings with these doors and no others.
    fn with(doors: &[(Protocol, &str)]) -> Settings {
        let doors = doors.iter().map(|(protocol, address)| door(*protocol, address)).collect();
        let allow = vec![network("192.168.1.0", 24), network("10.0.0.7", 32), network("fd00::", 64)];
        Settings { doors, allow, access: Access::Password, ..settings(0, 0) }
    }

    fn shown(settings: &Settings, reader: &Reader) -> (Option<String>, Option<String>) {
        let doors = Doors::new(settings, &account(), reader);
        let text = |door: Option<DoorAddress>| door.map(|door| format!("{} {}", door.host, door.port));
        (text(doors.pop3), text(doors.smtp))
    }

    fn both(pop3: &str, smtp: &str) -> (Option<String>, Option<String>) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (text(pop3), text(smtp))
    }

    const P: Protocol = Protocol::Pop3;
    const S: Protocol = Protocol::Smtp;

    #[test]
    fn a_guide_never_mixes_the_doors_of_this_computer_and_those_of_the_network() {
        let lan = [(P, "127.0.0.1:2110"), (S, "127.0.0.1:2025"), (P, "192.168.1.10:110"), (S, "192.168.1.10:25")];
        let here = Reader::default();
        let there = Reader { is_elsewhere: true, ..Reader::default() };
        assert_eq!(shown(&with(&lan), &here), both("127.0.0.1 2110", "127.0.0.1 2025"));
        assert_eq!(shown(&with(&lan), &there), both("192.168.1.10 110", "192.168.1.10 25"));
        // Who fetches on the network only, sends there too; and where that is impossible, the guide names no other door.
        let half = with(&[(S, "127.0.0.1:2025"), (P, "192.168.1.10:110"), (S, "192.168.1.10:25")]);
        assert_eq!(shown(&half, &here), both("192.168.1.10 110", "192.168.1.10 25"));
        let less = with(&[(S, "127.0.0.1:2025"), (P, "192.168.1.10:110")]);
        assert_eq!(shown(&less, &here), both("192.168.1.10 110", ""));
        let two = with(&[(P, "192.168.1.10:110"), (P, "10.0.0.1:110"), (S, "10.0.0.1:25")]);
        assert_eq!(shown(&two, &there), both("10.0.0.1 110", "10.0.0.1 25"), "the address that has both");
    }

    #[test]
    fn a_door_on_every_address_is_named_by_the_one_that_others_see() {
        let every = with(&[(P, "0.0.0.0:110"), (S, "[::]:25")]);
        let own_address = Some("192.168.1.10".parse().unwrap());
        let known = Reader { own_address, ..Reader::default() };
        assert_eq!(shown(&every, &known), both("192.168.1.10 110", "192.168.1.10 25"));
        let unknown = shown(&every, &Reader::default()).0.unwrap();
        assert!(unknown.starts_with("(the network address of ") && !unknown.contains("127.0.0.1"), "{unknown}");
        let mixed = with(&[(P, "0.0.0.0:110"), (S, "192.168.1.10:25")]);
        assert_eq!(shown(&mixed, &Reader::default()), both("192.168.1.10 110", "192.168.1.10 25"));
    }

    #[test]
    fn the_nearest_address_is_named_to_a_computer_whose_address_is_known() {
        let two = with(&[(P, "10.0.0.1:110"), (S, "10.0.0.1:25"), (P, "192.168.1.10:110"), (S, "192.168.1.10:25")]);
        let at = |address: &str| {
            let address = address.parse().unwrap();
            Reader::elsewhere(&two, &Named { name: "old-mac", addresses: &[address], is_own: false })
        };
        assert_eq!(shown(&two, &at("192.168.1.77")).0.unwrap(), "192.168.1.10 110");
        assert_eq!(shown(&two, &at("10.0.0.7")).0.unwrap(), "10.0.0.1 110");
        assert_eq!(at("10.0.0.7").computer.as_deref(), Some("old-mac"));
    }

    #[test]
    fn the_name_of_ostlers_own_computer_is_what_the_program_has_to_type() {
        let lan = with(&[(P, "192.168.1.10:110"), (S, "192.168.1.10:25")]);
        let named = |name, addresses: &[&str], is_own| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Reader::elsewhere(&lan, &Named { name, addresses: &addresses, is_own })
        };
        let by_name = named("raspberrypi.local", &["127.0.1.1"], true);
        assert_eq!(shown(&lan, &by_name), both("raspberrypi.local 110", "raspberrypi.local 25"));
        assert_eq!(by_name.computer, None);
        let by_address = named("192.168.1.10", &["192.168.1.10"], true);
        assert_eq!(shown(&lan, &by_address).0.unwrap(), "192.168.1.10 110");
        // The settings name it as a client, whatever this computer is called.
        let client = named("10.0.0.7", &["10.0.0.7"], true);
        assert_eq!(shown(&lan, &client).0.unwrap(), "192.168.1.10 110");
        assert_eq!(client.computer.as_deref(), Some("10.0.0.7"));
    }
}
