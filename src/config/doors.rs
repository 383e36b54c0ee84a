//! Doors: the forms in which they are written, and which doors cannot be open together.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::toml_tree::Item;
use super::value;
use ostler_mail::account::{Access, Door, Network, Protocol};

const FORMS: &str = "a port from 0 to 65535, \"ADDRESS:PORT\", a list of these, or false";
const PAGE_FORMS: &str = "a port from 0 to 65535, \"ADDRESS:PORT\" on loopback (127.0.0.1 or [::1]), or false";

const TAKEN: &str = "is the address and port of another door, perhaps of a default one; allowed is a different port for \
                     each door, or port 0 for any free one";
const TOO_OPEN: &str = "can be reached from other computers; allowed is 127.0.0.1 or [::1], or, if [local] has access = \
                        \"password\" and the clients' networks in allow, any address";

/// A door, and the item it was read from; default doors have none.
#[derive(Debug, Clone)]
pub(super) struct ParsedDoor<'a> {
    pub(super) door: Door,
    item: Option<Item<'a>>,
}

impl ParsedDoor<'_> {
    /// Whether it stands for a port, without an address.
    pub(super) fn is_port(&self) -> bool {
        self.item.as_ref().is_none_or(|item| item.as_text().is_none())
    }
}

/// Reads the doors that a value stands for.
pub(super) fn read<'a>(item: &Item<'a>, protocol: Protocol, account: Option<&str>) -> Vec<ParsedDoor<'a>> {
    match item.as_list() {
        Some(list) => list.iter().flat_map(|item| single(item, protocol, account, FORMS)).collect(),
        None => single(item, protocol, account, FORMS),
    }
}

/// Reads the address of the settings page. Beyond loopback it answers load balancers alone, so there have to be some.
pub(super) fn page<'a>(item: &Item<'a>, has_proxies: bool) -> Option<ParsedDoor<'a>> {
    // The page is no mail door, but its address has the same form. Only the address is used; the protocol is a filler.
    let page = single(item, Protocol::Pop3, None, PAGE_FORMS).into_iter().next()?;
    if has_proxies || page.door.address.ip().to_canonical().is_loopback() {
        return Some(page);
    }
    item.reject(&format!("can be reached from other computers; allowed is {PAGE_FORMS}"))
}

fn single<'a>(item: &Item<'a>, protocol: Protocol, account: Option<&str>, forms: &str) -> Vec<ParsedDoor<'a>> {
    if item.as_flag() == Some(false) {
        return Vec::new();
    }
    if let Some(number) = item.as_number() {
        return match number.and_then(|number| u16::try_from(number).ok()) {
            Some(port) => on_port(port, protocol, account, Some(item)),
            None => item.reject(&format!("is not a port; allowed is {forms}")).unwrap_or_default(),
        };
    }
    if item.as_text().is_none() {
        return item.reject_kind(forms).unwrap_or_default();
    }
    let address = item.read(forms, value::socket);
    address.map(|address| parsed(address, false, protocol, account, Some(item))).into_iter().collect()
}

/// The doors for a port alone: on 127.0.0.1 and, as its companion, on ::1. Port 0 means any free port; the system would
/// choose two different ones, so it gets the IPv4 door only.
pub(super) fn on_port<'a>(
    port: u16,
    protocol: Protocol,
    account: Option<&str>,
    item: Option<&Item<'a>>,
) -> Vec<ParsedDoor<'a>> {
    let on =
        |address: IpAddr, is_companion| parsed(SocketAddr::new(address, port), is_companion, protocol, account, item);
    let mut doors = vec![on(Ipv4Addr::LOCALHOST.into(), false)];
    if port != 0 {
        doors.push(on(Ipv6Addr::LOCALHOST.into(), true));
    }
    doors
}

fn parsed<'a>(
    address: SocketAddr,
    is_companion: bool,
    protocol: Protocol,
    account: Option<&str>,
    item: Option<&Item<'a>>,
) -> ParsedDoor<'a> {
    ParsedDoor {
        door: Door { protocol, address, is_companion, account: account.map(str::to_owned) },
        item: item.cloned(),
    }
}

/// Reports doors that collide, and doors that other computers can reach without a password. `access` and `allow` are
/// `None` if they are mistakes themselves; then nothing is held against the doors.
pub(super) fn check(
    doors: &[ParsedDoor<'_>],
    page: Option<&ParsedDoor<'_>>,
    access: Option<Access>,
    allow: Option<&[Network]>,
) {
    let mut taken = Taken::default();
    // A companion collides with nothing: it yields (`finish`).
    for later in doors.iter().chain(page).filter(|parsed| !parsed.door.is_companion) {
        let earlier = taken.take(later);
        match earlier.map(|earlier| (&earlier.item, &later.item)) {
            Some((Some(_), Some(item))) => item.report(TAKEN),
            // The default door yields once the file names a port for it.
            Some((None, Some(item)) | (Some(item), None)) => item.report_absence(TAKEN),
            Some((None, None)) | None => {}
        }
    }
    let wants_password = access.is_none_or(|access| access == Access::Password);
    let names_networks = allow.is_none_or(|allow| !allow.is_empty());
    if wants_password && names_networks {
        return;
    }
    for item in
        doors.iter().filter(|g| !g.door.address.ip().to_canonical().is_loopback()).filter_map(|g| g.item.as_ref())
    {
        // As an absence: `access` and `allow` may be in a part of the file that could not be read.
        item.report_absence(TOO_OPEN);
    }
}

/// The addresses in use so far. A wildcard address uses its port on every address of its family.
#[derive(Default)]
struct Taken<'g, 'a> {
    addresses: HashMap<SocketAddr, &'g ParsedDoor<'a>>,
    /// By family (whether IPv4) and port, whatever the address.
    ports: HashMap<(bool, u16), &'g ParsedDoor<'a>>,
}

impl<'g, 'a> Taken<'g, 'a> {
    /// Adds a door; returns the one it collides with.
    fn take(&mut self, parsed: &'g ParsedDoor<'a>) -> Option<&'g ParsedDoor<'a>> {
        let (ip, port) = (parsed.door.address.ip().to_canonical(), parsed.door.address.port());
        if port == 0 {
            return None;
        }
        let kind = (ip.is_ipv4(), port);
        let every: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let same = self.addresses.get(&SocketAddr::new(ip, port)).or(self.addresses.get(&SocketAddr::new(every, port)));
        let earlier = if ip == every { same.or(self.ports.get(&kind)) } else { same }.copied();
        self.addresses.entry(SocketAddr::new(ip, port)).or_insert(parsed);
        self.ports.entry(kind).or_insert(parsed);
        earlier
    }
}

/// The doors to open: a companion on ::1 yields to a door that the file puts on the same address.
pub(super) fn finish(doors: Vec<ParsedDoor<'_>>, page: Option<SocketAddr>) -> Vec<Door> {
    let written: HashSet<_> =
        doors.iter().filter(|g| !g.door.is_companion).map(|g| g.door.address).chain(page).collect();
    let on = |address: Ipv6Addr, door: &Door| written.contains(&SocketAddr::new(address.into(), door.address.port()));
    let stays = |door: &Door| !door.is_companion || !on(Ipv6Addr::LOCALHOST, door) && !on(Ipv6Addr::UNSPECIFIED, door);
    doors.into_iter().map(|parsed| parsed.door).filter(stays).collect()
}
