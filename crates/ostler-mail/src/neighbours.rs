//! What is remembered of the other computers whose programs come to the doors: how many connections each has, and how often it
//! has given a wrong local password lately. So a computer that floods the doors, or guesses, costs the others nothing. If many
//! addresses of one network guess, the whole network is slowed down, except computers that have given the right password.
//!
//! Programs on ostler's own computer all have the same address and are not counted. Not here: the local password itself, and
//! the wrong ones on one connection (the program's `proxy::session`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::clock::Moment;

/// Connections of one computer at once. An old IMAP program opens five or eight; a computer that stands for several people
/// behind a router, some times that.
pub const MAX_CONNECTIONS: usize = 64;
/// Wrong passwords of a computer, on however many connections, before it has to wait: people mistype.
const FREE_GUESSES: u32 = 3;
/// The wait before the check that follows the first guess beyond [`FREE_GUESSES`]. It doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait. Outlook Express and Eudora give up after 60 s, and one of them may know the password.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How far ahead checks are put off. One that would come later is not made.
const MAX_QUEUE: Duration = Duration::from_secs(30);
/// Wrong passwords are forgotten after this long without another.
const MEMORY: Duration = Duration::from_secs(600);
/// A network with more guessing addresses than this counts as one computer. Fewer people of a household mistype at the same time,
/// and one computer in an IPv6 network may have any number of addresses.
const MAX_GUESSERS: u32 = 8;
/// The network of an address, in bits: what a router gives to one line (RFC 4291, 2.5.4), and a usual network of IPv4.
const NETWORK_BITS_V6: u32 = 64;
const NETWORK_BITS_V4: u32 = 24;
/// Networks that are remembered. Beyond that, the one that has been quiet for longest is forgotten.
const MAX_NETWORKS: usize = 1024;
/// Computers that are remembered without a connection. Beyond that, the one that has been quiet for longest is forgotten.
const MAX_REMEMBERED: usize = 4096;

/// The other computers, by address.
#[derive(Debug, Default)]
pub struct Neighbours {
    known: HashMap<IpAddr, Neighbour>,
    /// The guesses from each network, by its first address.
    networks: HashMap<IpAddr, NetworkGuesses>,
}

/// Wrong passwords from all addresses of a network together.
#[derive(Debug)]
struct NetworkGuesses {
    /// The addresses that they came from, each counted once in [`MEMORY`].
    guessers: u32,
    guesses: Guesses,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is counted.
    Entered,
    /// Its computer has [`MAX_CONNECTIONS`] already, so it is not counted.
    Crowded {
        /// Whether it is the first one refused since the computer had few connections: a flood is told once.
        is_news: bool,
    },
}

#[derive(Debug, Default)]
struct Neighbour {
    connections: usize,
    is_told: bool,
    /// It has given the right password, whatever others at its network do.
    is_trusted: bool,
    guesses: Option<Guesses>,
}

/// Wrong passwords that are not forgotten yet.
#[derive(Debug)]
struct Guesses {
    count: u32,
    last: Moment,
    /// Before this, no further password is checked. Each check moves it on, so that many connections are no faster than one.
    next_check: Moment,
}

impl Neighbours {
    /// Counts a connection from `address`, if there is room for it.
    #[must_use]
    pub fn enter(&mut self, address: IpAddr) -> Entry {
        let Some(address) = other_computer(address) else { return Entry::Entered };
        let neighbour = self.known.entry(address).or_default();
        if neighbour.connections < MAX_CONNECTIONS {
            neighbour.connections += 1;
            return Entry::Entered;
        }
        Entry::Crowded { is_news: !std::mem::replace(&mut neighbour.is_told, true) }
    }

    /// Counts a connection as over.
    pub fn leave(&mut self, address: IpAddr) {
        let Some(address) = other_computer(address) else { return };
        if let Some(neighbour) = self.known.get_mut(&address) {
            neighbour.connections = neighbour.connections.saturating_sub(1);
            neighbour.is_told &= neighbour.connections > MAX_CONNECTIONS / 2;
            if neighbour.is_forgettable() && neighbour.guesses.is_none() {
                self.known.remove(&address);
            }
        }
    }

    /// How long a password from `address` has to wait until it is checked, right or wrong: an answer that comes late only if
    /// it is no would tell a guesser that it will be no. `None`: it is not checked at all.
    pub fn wait_for_check(&mut self, address: IpAddr, now: Moment) -> Option<Duration> {
        let Some(address) = other_computer(address) else { return Some(Duration::ZERO) };
        let neighbour = self.known.get_mut(&address);
        let is_trusted = neighbour.as_ref().is_some_and(|neighbour| neighbour.is_trusted);
        let many = self
            .networks
            .get_mut(&network_of(address))
            .filter(|network| !is_trusted && network.guessers > MAX_GUESSERS && !network.guesses.are_old(now));
        let guesses = match many {
            Some(network) => Some(&mut network.guesses),
            None => neighbour.and_then(|neighbour| neighbour.guesses.as_mut()),
        };
        guesses.map_or(Some(Duration::ZERO), |guesses| guesses.take_turn(now))
    }

    /// Remembers that `address` gave a wrong password.
    pub fn add_wrong_password(&mut self, address: IpAddr, now: Moment) {
        let Some(address) = other_computer(address) else { return };
        self.make_room(now);
        let own = &mut self.known.entry(address).or_default().guesses;
        let is_new = own.as_ref().is_none_or(|guesses| guesses.are_old(now));
        if is_new {
            *own = None;
        }
        own.get_or_insert_with(|| Guesses::new(now)).add(now);
        let network = self.networks.entry(network_of(address));
        let network = network.or_insert_with(|| NetworkGuesses::new(now));
        if network.guesses.are_old(now) {
            *network = NetworkGuesses::new(now);
        }
        network.guessers = network.guessers.saturating_add(u32::from(is_new));
        network.guesses.add(now);
    }

    /// Remembers that `address` gave the right password.
    pub fn add_right_password(&mut self, address: IpAddr, now: Moment) {
        let Some(address) = other_computer(address) else { return };
        self.make_room(now);
        self.known.entry(address).or_default().is_trusted = true;
    }

    /// Forgets what is old and, if that is not enough, the computer that has been quiet for longest.
    fn make_room(&mut self, now: Moment) {
        if self.networks.len() >= MAX_NETWORKS {
            self.networks.retain(|_, network| !network.guesses.are_old(now));
            forget_quietest(&mut self.networks, MAX_NETWORKS, |network| Some(network.guesses.last));
        }
        if self.known.len() < MAX_REMEMBERED {
            return;
        }
        for neighbour in self.known.values_mut() {
            neighbour.guesses.take_if(|guesses| guesses.are_old(now));
        }
        self.known.retain(|_, neighbour| !neighbour.is_forgettable() || neighbour.guesses.is_some());
        // One that has given the right password last.
        let quiet =
            |neighbour: &Neighbour| (neighbour.is_trusted, neighbour.guesses.as_ref().map(|guesses| guesses.last));
        forget_quietest(&mut self.known, MAX_REMEMBERED, |neighbour| {
            (neighbour.connections == 0).then(|| quiet(neighbour))
        });
    }
}

/// Makes room for one more, if there are `most`: forgets the one that has been quiet for longest. `since` tells that; `None`:
/// it cannot be forgotten.
fn forget_quietest<T, Since: Ord>(known: &mut HashMap<IpAddr, T>, most: usize, since: impl Fn(&T) -> Option<Since>) {
    if known.len() < most {
        return;
    }
    let quiet = known.iter().filter_map(|(address, one)| Some((since(one)?, *address)));
    if let Some((_, address)) = quiet.min() {
        known.remove(&address);
    }
}

impl NetworkGuesses {
    fn new(now: Moment) -> Self {
        Self { guessers: 0, guesses: Guesses::new(now) }
    }
}

impl Neighbour {
    /// Whether nothing but its guesses is worth remembering.
    fn is_forgettable(&self) -> bool {
        self.connections == 0 && !self.is_trusted
    }
}

impl Guesses {
    fn new(now: Moment) -> Self {
        Self { count: 0, last: now, next_check: now }
    }

    fn add(&mut self, now: Moment) {
        self.count = self.count.saturating_add(1);
        self.last = now;
        let soonest = now.checked_add(self.wait()).unwrap_or(now);
        self.next_check = self.next_check.max(soonest);
    }

    /// How long the next check has to wait, which then has its turn. `None`: the line is too long.
    fn take_turn(&mut self, now: Moment) -> Option<Duration> {
        if self.count <= FREE_GUESSES || self.are_old(now) {
            return Some(Duration::ZERO);
        }
        let at = self.next_check.max(now);
        let wait = at.saturating_duration_since(now);
        if wait > MAX_QUEUE {
            return None;
        }
        self.next_check = at.checked_add(self.wait()).unwrap_or(at);
        Some(wait)
    }

    fn are_old(&self, now: Moment) -> bool {
        now.saturating_duration_since(self.last) >= MEMORY
    }

    /// The time between two checks.
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE_GUESSES + 1) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(2u32.saturating_pow(more)).min(MAX_WAIT),
        }
    }
}

/// The address by which a computer is counted; `None` for this one.
fn other_computer(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_loopback()).then_some(address)
}

/// The first address of the network that an address is in.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - NETWORK_BITS_V4))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - NETWORK_BITS_V6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_flood_from_one_computer_leaves_room_for_the_others() {
        let mut neighbours = Neighbours::default();
        let (flooding, other) = (address("192.168.1.66"), address("192.168.1.77"));
        let entries: Vec<_> = (0..1000).map(|_| neighbours.enter(flooding)).collect();
        assert_eq!(entries.iter().filter(|entry| **entry == Entry::Entered).count(), MAX_CONNECTIONS);
        let news = entries.iter().filter(|entry| **entry == Entry::Crowded { is_news: true });
        assert_eq!(news.count(), 1, "it is told once");
        // The same computer as an IPv4 client of a socket for both families.
        assert_eq!(neighbours.enter(address("::ffff:192.168.1.66")), Entry::Crowded { is_news: false });
        assert_eq!(neighbours.enter(other), Entry::Entered);
        neighbours.leave(flooding);
        assert_eq!(neighbours.enter(flooding), Entry::Entered);
        assert_eq!(neighbours.enter(flooding), Entry::Crowded { is_news: false });
        for _ in 0..MAX_CONNECTIONS {
            neighbours.leave(flooding);
        }
        neighbours.leave(other);
        assert!(neighbours.known.is_empty());
    }

    #[test]
    fn programs_of_this_computer_are_not_counted() {
        let mut neighbours = Neighbours::default();
        let here = [address("127.0.0.1"), address("::1"), address("::ffff:127.0.0.1")];
        assert!((0..1000).all(|number| neighbours.enter(here[number % 3]) == Entry::Entered));
        (0..100).for_each(|_| neighbours.add_wrong_password(address("127.0.0.1"), at(1)));
        assert_eq!(neighbours.wait_for_check(address("127.0.0.1"), at(1)), Some(Duration::ZERO));
    }

    #[test]
    fn guessing_gets_slower_and_for_nobody_else() {
        let mut neighbours = Neighbours::default();
        let (guessing, other) = (address("fd00::66"), address("fd00::77"));
        let mut now = 100;
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = neighbours.wait_for_check(guessing, at(now)).unwrap().as_secs();
            waits.push(wait);
            now += wait;
            neighbours.add_wrong_password(guessing, at(now));
            assert_eq!(neighbours.wait_for_check(other, at(now)), Some(Duration::ZERO));
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 10]);
        assert_eq!(neighbours.wait_for_check(guessing, at(now + MEMORY.as_secs())), Some(Duration::ZERO));
        neighbours.add_wrong_password(guessing, at(now + MEMORY.as_secs()));
        assert_eq!(neighbours.known[&guessing].guesses.as_ref().unwrap().count, 1);
    }

    #[test]
    fn many_connections_guess_no_faster_than_one() {
        let mut neighbours = Neighbours::default();
        let guessing = address("192.168.1.66");
        (0..20).for_each(|_| neighbours.add_wrong_password(guessing, at(5)));
        let waits: Vec<_> = (0..9).map(|_| neighbours.wait_for_check(guessing, at(5)).map(|w| w.as_secs())).collect();
        assert_eq!(waits[..4], [Some(10), Some(20), Some(30), None]);
        assert!(waits[4..].iter().all(Option::is_none), "{waits:?}");
        // A guesser that goes on gains nothing, and the line does not grow.
        assert_eq!(neighbours.wait_for_check(guessing, at(15)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn many_addresses_of_a_network_guess_no_faster_than_one() {
        for (network, other) in [("fd00::", "fd01::1"), ("192.168.1.", "192.168.2.1")] {
            let mut neighbours = Neighbours::default();
            let numbered = |number: u32| address(&format!("{network}{number}"));
            let known = numbered(200);
            neighbours.add_right_password(known, at(5));
            // As in a household where each mistypes once.
            for number in 1..=MAX_GUESSERS {
                assert_eq!(neighbours.wait_for_check(numbered(number), at(5)), Some(Duration::ZERO));
                neighbours.add_wrong_password(numbered(number), at(5));
            }
            assert_eq!(neighbours.wait_for_check(numbered(100), at(5)), Some(Duration::ZERO));
            neighbours.add_wrong_password(numbered(100), at(5));
            let waits: Vec<_> = (101..110).map(|number| neighbours.wait_for_check(numbered(number), at(5))).collect();
            assert!(
                waits[0].is_some_and(|wait| wait >= MAX_WAIT) && waits[4..].iter().all(Option::is_none),
                "{waits:?}"
            );
            // Neither another network nor a computer that knows the password has to wait.
            assert_eq!(neighbours.wait_for_check(address(other), at(5)), Some(Duration::ZERO));
            assert_eq!(neighbours.wait_for_check(known, at(5)), Some(Duration::ZERO));
            neighbours.leave(known);
            assert_eq!(neighbours.wait_for_check(known, at(5)), Some(Duration::ZERO));
            assert_eq!(neighbours.wait_for_check(numbered(111), at(6 + MEMORY.as_secs())), Some(Duration::ZERO));
        }
    }

    #[test]
    fn no_more_computers_are_remembered_than_there_is_room_for() {
        let mut neighbours = Neighbours::default();
        let numbered = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + number));
        assert_eq!(neighbours.enter(numbered(0)), Entry::Entered);
        for number in 0..2 * MAX_REMEMBERED as u32 {
            neighbours.add_wrong_password(numbered(number), at(1 + u64::from(number) / 100));
        }
        assert_eq!(neighbours.known.len(), MAX_REMEMBERED);
        assert_eq!(neighbours.known[&numbered(0)].connections, 1, "who is here is not forgotten");
        assert!(neighbours.known.contains_key(&numbered(2 * MAX_REMEMBERED as u32 - 1)));
        for number in 0..2 * MAX_NETWORKS as u32 {
            neighbours.add_wrong_password(numbered(number << 8), at(100 + u64::from(number)));
        }
        assert!(neighbours.networks.len() <= MAX_NETWORKS);
    }
}
