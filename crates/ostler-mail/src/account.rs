//! The checked values that every session works with: accounts, their servers, doors, time limits. The program's
//! `config` makes them from the settings file, so every value here is complete and consistent.
//!
//! Not here: parsing, storing, connecting.

mod door;
pub mod endpoint;
pub mod issuer;
pub mod mend;
mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::readable::Readable;
pub use door::{Access, Door, NearbyDoor, Network};
use issuer::Issuer;
use mend::Repair;
pub use server::{
    AfterPop, CommandLine, Credentials, DEFAULT_IMAP_CONNECTIONS, PasswordCharset, SecretSource, Security, Server,
    ServerId, SignIn, Trust, is_this_computer,
};

/// A mail protocol that a door or a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 1939.
    Pop3,
    /// RFC 5321 and 6409.
    Smtp,
    /// RFC 3501.
    Imap,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Pop3, Self::Smtp, Self::Imap];

    /// The protocol with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The name used in the settings file, in JSON and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
        }
    }

    /// Whether mail is sent by it, and not fetched.
    pub fn is_outgoing(self) -> bool {
        match self {
            Self::Smtp => true,
            Self::Pop3 | Self::Imap => false,
        }
    }

    /// What a program wants that expects another protocol here: to send where mail is fetched, or to fetch where it is sent.
    pub(crate) fn counterpart(self) -> Self {
        match self {
            Self::Pop3 | Self::Imap => Self::Smtp,
            Self::Smtp => Self::Pop3,
        }
    }

    /// The port of this protocol for a kind of security (RFC 8314 and the IANA registry).
    pub fn default_port(self, security: Security) -> u16 {
        match (self, security) {
            (Self::Pop3, Security::Tls) => 995,
            (Self::Pop3, _) => 110,
            (Self::Smtp, Security::Tls) => 465,
            (Self::Smtp, _) => 587,
            (Self::Imap, Security::Tls) => 993,
            (Self::Imap, _) => 143,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The folder that every IMAP mailbox has, where new mail is; its name has no letter case.
pub const INBOX: &str = "INBOX";
/// The longest name of a folder, in characters. No provider takes a longer one.
pub const MAX_FOLDER_CHARS: usize = 255;

/// The folder of an IMAP server that is served to POP3 clients, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its name, as a person writes it; no control characters.
    pub name: String,
    /// Whether a message that was fetched whole is marked as read.
    pub mark_read: bool,
}

impl Default for Folder {
    fn default() -> Self {
        Self { name: INBOX.to_owned(), mark_read: false }
    }
}

/// Where POP3 clients fetch the mail of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maildrop<'a> {
    /// At a POP3 server.
    Pop3(&'a Server),
    /// In a folder of an IMAP server.
    Imap(&'a Server, &'a Folder),
}

impl<'a> Maildrop<'a> {
    /// The server.
    pub fn server(self) -> &'a Server {
        match self {
            Self::Pop3(server) | Self::Imap(server, _) => server,
        }
    }

    /// The IMAP server and the folder, if it is in one.
    pub fn folder(self) -> Option<(&'a Server, &'a Folder)> {
        match self {
            Self::Pop3(_) => None,
            Self::Imap(server, folder) => Some((server, folder)),
        }
    }
}

/// A sender address that goes out through an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Alias {
    /// One address, lower case.
    Address(String),
    /// Every address of a domain (`*@example.net`); the domain, lower case.
    Domain(String),
}

impl Alias {
    /// Whether `address` (any letter case) is meant.
    pub(crate) fn covers(&self, address: &str) -> bool {
        match self {
            Self::Address(own) => own.eq_ignore_ascii_case(address),
            Self::Domain(domain) => address.rsplit_once('@').is_some_and(|(_, d)| d.eq_ignore_ascii_case(domain)),
        }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Domain(domain) => write!(f, "*@{domain}"),
        }
    }
}

/// One mail identity: an address, its servers, the places of its secrets. Immutable: a connection keeps the account it
/// began with when the settings change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name that clients may give as user name. Unique regardless of letter case; printable ASCII.
    pub name: String,
    /// The mail address.
    pub address: String,
    /// Further sender addresses that go out through this account.
    pub aliases: Vec<Alias>,
    /// The preset that the settings file names, if any.
    pub provider: Option<String>,
    /// Whether it sends for senders that belong to no account. At most one account does.
    pub is_default: bool,
    /// Whether the account's own doors offer AUTH. Netscape asks its user for a password wherever it sees AUTH.
    pub offer_auth: bool,
    /// Whether messages may be asked for before the client does, where the server can do so.
    pub read_ahead: bool,
    /// The source of its local password. `None`: ostler makes one and keeps it in the keyring.
    pub local_password: Option<SecretSource>,
    /// What the mail program can read; `None`: mail is passed on as it is.
    pub readable: Option<Readable>,
    /// What is mended in the messages it sends.
    pub mend: Vec<Repair>,
    /// Where ostler gets the tokens for its servers with OAuth2; `None`: the settings do not say.
    pub oauth2: Option<Arc<Issuer>>,
    /// The POP3 server. If there is none, POP3 clients fetch from the IMAP server.
    pub pop3: Option<Server>,
    /// What they fetch there.
    pub folder: Folder,
    /// The servers through which mail is sent, in the order in which they are tried.
    pub smtp: Vec<Server>,
    /// The IMAP server.
    pub imap: Option<Server>,
    /// How many connections there may be at the IMAP server at once; at least 1.
    pub imap_connections: usize,
}

impl Account {
    /// All servers, in the order in which they are shown and checked.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pop3.iter().chain(&self.smtp).chain(&self.imap)
    }

    /// Fetches mail at this server, by POP3 or IMAP.
    pub fn fetch_at(&mut self, server: Server) {
        match server.protocol {
            Protocol::Pop3 => self.pop3 = Some(server),
            Protocol::Imap => (self.pop3, self.imap) = (None, Some(server)),
            Protocol::Smtp => {}
        }
    }

    /// Where POP3 clients fetch mail, if they can.
    pub fn maildrop(&self) -> Option<Maildrop<'_>> {
        let at_imap = || self.imap.as_ref().map(|imap| Maildrop::Imap(imap, &self.folder));
        self.pop3.as_ref().map(Maildrop::Pop3).or_else(at_imap)
    }

    /// Whether clients of this protocol are served.
    pub fn serves(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Pop3 => self.maildrop().is_some(),
            Protocol::Smtp => !self.smtp.is_empty(),
            Protocol::Imap => self.imap.is_some(),
        }
    }

    /// Whether `address` is this account's own or one of its aliases.
    pub fn sends_for(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address) || self.aliases.iter().any(|a| a.covers(address))
    }
}

/// The time limits of the settings file's `[timeouts]`; `config/ostler.example.toml` lists them with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection to one address of a host.
    pub connect: Duration,
    /// For a TLS handshake.
    pub tls: Duration,
    /// For a provider's greeting.
    pub greeting: Duration,
    /// For one whole answer of a provider, sign-in included.
    pub reply: Duration,
    /// Between two blocks of a message, either way.
    pub data: Duration,
    /// For the provider's answer to the final dot.
    pub last: Duration,
    /// A client that has signed in and says nothing.
    pub idle: Duration,
    /// A client that has not signed in.
    pub login: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            tls: seconds(15),
            greeting: seconds(30),
            reply: seconds(60),
            data: seconds(180),
            last: seconds(600),
            idle: seconds(600),
            login: seconds(60),
        }
    }
}

/// Everything the settings file says. Every cross-reference holds: an account named by a door exists, names are
/// unique, at most one account is the default, doors beyond loopback are allowed by `allow` and want the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every door: the common ones first, then those of the accounts, in the order of the file.
    pub doors: Vec<Door>,
    /// The address of the settings page.
    pub page: Option<SocketAddr>,
    /// The page is on the same port of `::1`, too, where that is free: the settings name a port and no address.
    pub page_has_companion: bool,
    /// Which clients the doors let in.
    pub access: Access,
    /// Networks from which clients may connect, in addition to loopback.
    pub allow: Vec<Network>,
    /// Load balancers whose PROXY header names the client, on doors beyond loopback.
    pub proxies: Vec<Network>,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Whether the desktop shows a notice when the user has to act.
    pub notices: bool,
    /// All accounts, in the order of the file.
    pub accounts: Vec<Arc<Account>>,
    /// The companies that give out access tokens, of those that the file has a table for.
    pub issuers: Vec<Arc<Issuer>>,
    /// The limits of every wait.
    pub timeouts: Timeouts,
}

impl Settings {
    /// Whether clients have to give the local password of their account. No provider hears of one that has not.
    pub fn wants_password(&self) -> bool {
        self.access == Access::Password
    }

    /// Whether programs on other computers can reach a door.
    pub fn serves_other_computers(&self) -> bool {
        self.doors.iter().any(Door::is_on_network)
    }

    /// Whether the machine at this address is one of the load balancers.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// The best door for an account that has none of its own, such as one that is not in the settings yet.
    pub fn shared_door(&self, protocol: Protocol) -> Option<&Door> {
        self.best_door(protocol, |door| door.account.is_none())
    }

    /// The best of the doors that are meant: one that leads to one account alone before a shared one, loopback before a network,
    /// IPv4 before IPv6. `None`: no door that is meant speaks this protocol.
    pub fn best_door(&self, protocol: Protocol, is_meant: impl Fn(&Door) -> bool) -> Option<&Door> {
        let worse = |door: &&Door| (door.account.is_none(), door.rank());
        self.doors.iter().filter(|door| door.protocol == protocol && is_meant(door)).min_by_key(worse)
    }

    /// The door to name to a client that came to another protocol's door at this address: the account's where it is known, else
    /// a shared one. A program on another computer reaches only what is at the address that it came to; one on this computer
    /// reaches every door. `None`: there is no such door, or the system picks its port.
    pub(crate) fn nearby_door(
        &self,
        protocol: Protocol,
        account: Option<&Account>,
        came_to: IpAddr,
    ) -> Option<NearbyDoor> {
        let leads_there =
            |door: &Door| door.account.as_ref().is_none_or(|name| account.is_some_and(|account| account.name == *name));
        let is_here = came_to.to_canonical().is_loopback();
        let is_meant =
            |door: &&Door| door.protocol == protocol && leads_there(door) && (is_here || door.is_reached_at(came_to));
        let worse = |door: &&Door| (door.account.is_none(), !door.is_reached_at(came_to), door.rank());
        let door = self.doors.iter().filter(is_meant).min_by_key(worse)?;
        let address = (!door.is_reached_at(came_to)).then(|| door.address.ip().to_canonical());
        Some(NearbyDoor { port: door.address.port(), address }).filter(|door| door.port != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn networks_compare_their_leading_bits_only() {
        let lan = Network { address: "192.168.56.0".parse().unwrap(), prefix: 24 };
        assert!(lan.contains("192.168.56.77".parse().unwrap()));
        assert!(lan.contains("::ffff:192.168.56.77".parse().unwrap()));
        assert!(!lan.contains("192.168.57.1".parse().unwrap()));
        assert!(!lan.contains("fe80::1".parse().unwrap()));
        let all = Network { address: "0.0.0.0".parse().unwrap(), prefix: 0 };
        assert!(all.contains("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn a_program_on_this_computer_is_told_the_door_that_it_can_reach_best() {
        let door = |address: &str, account: Option<&str>| Door {
            protocol: Protocol::Pop3,
            address: address.parse().unwrap(),
            is_companion: false,
            account: account.map(str::to_owned),
        };
        let ann = testing::account("ann", "ann@example.net", "ann");
        let mut settings = (*testing::settings(Access::Password, vec![], &[])).clone();
        settings.doors = vec![door("192.168.1.10:1110", None), door("[::1]:2110", None), door("127.0.0.1:3110", None)];
        settings.doors.push(door("127.0.0.1:4110", Some("bob")));
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = |settings: &Settings| {
            let shared = settings.shared_door(Protocol::Pop3).map(|door| door.address.port());
            let nearby = |account| settings.nearby_door(Protocol::Pop3, account, here).map(|door| door.port);
            [shared, nearby(None), nearby(Some(&ann))]
        };
        assert_eq!(ports(&settings), [Some(3110); 3]);
        settings.doors.push(door("192.168.1.10:5110", Some("ann")));
        assert_eq!(ports(&settings), [Some(3110), Some(3110), Some(5110)]);
        settings.doors.retain(|door| door.account.is_some());
        assert_eq!(ports(&settings), [None, None, Some(5110)]);
    }

    #[test]
    fn a_client_is_told_of_a_door_on_its_own_side() {
        let door = |address: &str| Door {
            protocol: Protocol::Smtp,
            address: address.parse().unwrap(),
            is_companion: false,
            account: None,
        };
        let told = |doors: &[&str], came_to: &str| {
            let mut settings = (*testing::settings(Access::Password, vec![], &[])).clone();
            settings.doors = doors.iter().map(|address| door(address)).collect();
            settings.nearby_door(Protocol::Smtp, None, came_to.parse().unwrap()).map(|door| door.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        let both = ["127.0.0.1:2025", "192.168.1.10:25"];
        assert_eq!(told(&both, "127.0.0.1"), some("2025"));
        assert_eq!(told(&both, "192.168.1.10"), some("25"));
        assert_eq!(told(&both, "::ffff:192.168.1.10"), some("25"));
        // A door that another computer cannot reach is none for it.
        assert_eq!(told(&both, "fd00:9::1"), None);
        assert_eq!(told(&both[..1], "192.168.1.10"), None);
        assert_eq!(told(&["192.168.1.10:25", "10.0.0.1:26"], "10.0.0.1"), some("26"));
        // Nor is the port enough where the address is another.
        assert_eq!(told(&["127.0.0.2:25"], "127.0.0.1"), some("25 at 127.0.0.2"));
        assert_eq!(told(&both[1..], "127.0.0.1"), some("25 at 192.168.1.10"));
        assert_eq!(told(&["127.0.0.2:25", "[::1]:2025"], "::1"), some("2025"));
        // One on every address is reached at each.
        assert_eq!(told(&["0.0.0.0:25"], "192.168.1.10"), some("25"));
        assert_eq!(told(&["[::]:25"], "192.168.1.10"), some("25"));
        assert_eq!(told(&["0.0.0.0:25"], "fd00:9::1"), None);
        assert_eq!(told(&["192.168.1.10:0"], "192.168.1.10"), None);
    }

    #[test]
    fn only_names_that_no_one_can_register_mean_this_computer() {
        for host in ["localhost", "LOCALHOST.", "localhost.localdomain", "ip6-localhost", "localhost6.localdomain6"] {
            assert!(is_this_computer(host), "{host}");
        }
        for host in ["127.0.0.1", "127.1", "[::1]", "::ffff:127.0.0.1", "0.0.0.0", "bridge.localhost"] {
            assert!(is_this_computer(host), "{host}");
        }
        for host in
            ["localhost.evil.example", "localhost4.example.org", "127.evil.example", "mylocalhost", "10.0.0.1", ""]
        {
            assert!(!is_this_computer(host), "{host}");
        }
    }

    #[test]
    fn an_alias_with_a_star_covers_its_domain_and_no_other() {
        let alias = Alias::Domain("example.net".into());
        assert!(alias.covers("Ann@Example.NET"));
        assert!(!alias.covers("ann@sub.example.net"));
        assert!(!alias.covers("example.net"));
    }
}
