//! A door, and who may come in: ports of this computer, and the networks from which clients may connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Protocol;

/// Which clients the doors let in (`docs/promises.md`, section 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Programs of the user who runs ostler.
    SameUser,
    /// Clients that give the account's local password.
    Password,
    /// Every client that can reach the door.
    Anyone,
}

impl Access {
    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::SameUser => "same-user",
            Self::Password => "password",
            Self::Anyone => "anyone",
        }
    }
}

/// A network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// Any address of the network.
    pub address: IpAddr,
    /// The number of leading bits that count; at most 32 for IPv4, 128 for IPv6.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` belongs to this network. An IPv4 address that came in through an IPv6 socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn leading(value: u128, width: u32, prefix: u8) -> u128 {
            // `::/0` would shift out all 128 bits, which Rust refuses; every address is in it.
            value.checked_shr(width - u32::from(prefix)).unwrap_or(0)
        }
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                leading(u32::from(a).into(), 32, self.prefix) == leading(u32::from(b).into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                leading(a.into(), 128, self.prefix) == leading(b.into(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

impl Network {
    /// Whether it is a single computer.
    pub fn is_one_address(&self) -> bool {
        self.prefix == if self.address.to_canonical().is_ipv4() && self.prefix <= 32 { 32 } else { 128 }
    }

    /// An address that a computer in it may have: the given one or, if that is the network itself, the next. `None`: it is
    /// every address there is.
    pub fn some_address(&self) -> Option<IpAddr> {
        match (self.prefix, self.address.to_canonical()) {
            (0, _) => None,
            (..=30, IpAddr::V4(address)) => Some(Ipv4Addr::from_bits(address.to_bits() | 1).into()),
            (..=126, IpAddr::V6(address)) => Some(Ipv6Addr::from_bits(address.to_bits() | 1).into()),
            (_, address) => Some(address),
        }
    }
}

/// A listener: a local address and port to which clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Door {
    /// The protocol spoken there.
    pub protocol: Protocol,
    /// On loopback, or in a network that the settings file allows.
    pub address: SocketAddr,
    /// The `::1` that goes with a plain port number. Skipped silently where the computer has no IPv6.
    pub is_companion: bool,
    /// The name of the one account this door leads to. `None`: the client says which.
    pub account: Option<String>,
}

impl Door {
    /// Whether programs on other computers can reach it. One on every address counts, though it is on loopback too.
    pub fn is_on_network(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }

    /// Which of several doors to name: one that is no companion, on loopback before a network, IPv4 before IPv6. The least is
    /// the best.
    pub(super) fn rank(&self) -> (bool, bool, bool) {
        (self.is_companion, self.is_on_network(), self.address.ip().to_canonical().is_ipv6())
    }

    /// Whether a program reaches it at this address of ostler's computer.
    pub fn is_reached_at(&self, address: IpAddr) -> bool {
        let (own, address) = (self.address.ip().to_canonical(), address.to_canonical());
        // A socket on every IPv6 address takes IPv4 connections too.
        own == address || own.is_unspecified() && (own.is_ipv6() || address.is_ipv4())
    }
}

/// A door as it is named to a client that came to another one, of which it can reach this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearbyDoor {
    /// Its port.
    pub port: u16,
    /// Its address, where it differs from the one that the client came to.
    pub address: Option<IpAddr>,
}

impl fmt::Display for NearbyDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} at {address}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}
