//! The checked values the engine works with: accounts, their servers, doors, time limits. `config.rs` makes
//! them from the settings file, so whatever exists here is complete and consistent; nothing here is parsed,
//! stored or connected.

pub mod endpoint;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A mail protocol a door or a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 1939.
    Pop3,
    /// RFC 5321 and 6409.
    Smtp,
    /// RFC 3501; settings are kept, no door opens yet.
    Imap,
}

impl Protocol {
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

/// How a connection to a provider is protected. There is no opportunistic kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first octet.
    Tls,
    /// STLS (RFC 2595) or STARTTLS (RFC 3207); a server that does not offer it is not used.
    StartTls,
    /// No protection at all; only because the settings file says so in as many words.
    None,
}

impl Security {
    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }
}

/// What a server's certificate must be vouched for by, beside the system's roots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Trust {
    /// A PEM file with more roots, trusted for this server only.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the one certificate (DER) that is trusted, whatever it says about itself.
    pub pin: Option<[u8; 32]>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// The keyring of the system.
    Keyring,
    /// The first line a command prints.
    Command(CommandLine),
    /// The first line of a file that nobody else can read.
    File(PathBuf),
    /// A variable of ostler's own environment.
    Env(String),
    /// Whatever the client gives is passed on.
    Client,
}

/// A command that prints a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandLine {
    /// For the system's shell.
    Shell(String),
    /// A program and its arguments, run as they stand; never empty.
    Argv(Vec<String>),
}

/// Who signs in, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user name at the provider; no control characters.
    pub username: String,
    /// Where its password (or token) comes from.
    pub secret: SecretSource,
}

/// What a server wants before it serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// A user name and a password.
    Password(Credentials),
    /// A user name and an OAuth2 access token.
    OAuth2(Credentials),
    /// A fresh POP login from the same address (SMTP only).
    AfterPop(Arc<AfterPop>),
    /// Nothing.
    None,
}

/// The gate: the POP login a provider wants to see before a send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AfterPop {
    /// Where to log in; always a POP3 server that signs in with a password.
    pub login: Server,
    /// How old a login may be before a new one is made; zero: before every send.
    pub fresh: Duration,
}

/// One server of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// What it speaks.
    pub protocol: Protocol,
    /// A host name or an IP address without brackets; always a valid TLS server name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// What its certificate is checked against.
    pub trust: Trust,
    /// What it wants before it serves.
    pub sign_in: SignIn,
}

/// Names a server together with everything that decides whether a secret, a login or a measurement made for it
/// still holds. A changed host, port, security or user name gives another id, so nothing stored under the old
/// one can reach the new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(String);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Server {
    /// The identity of this server and its user.
    pub fn id(&self) -> ServerId {
        let user = self.credentials().map_or("", |c| c.username.as_str());
        ServerId(format!("{} {} {user}@{}:{}", self.protocol, self.security.name(), self.host, self.port))
    }

    /// The credentials it is signed in with, if any; the gate's are those of its login server.
    pub fn credentials(&self) -> Option<&Credentials> {
        match &self.sign_in {
            SignIn::Password(c) | SignIn::OAuth2(c) => Some(c),
            SignIn::AfterPop(_) | SignIn::None => None,
        }
    }

    /// The gate before it, if it has one.
    pub fn gate(&self) -> Option<&Arc<AfterPop>> {
        if let SignIn::AfterPop(gate) = &self.sign_in { Some(gate) } else { None }
    }

    /// The word for `auth` in the settings file.
    pub fn auth_name(&self) -> &'static str {
        match self.sign_in {
            SignIn::Password(_) => "password",
            SignIn::OAuth2(_) => "oauth2",
            SignIn::AfterPop(_) => "pop-before-smtp",
            SignIn::None => "none",
        }
    }

    /// `host:port` as people write it (`[::1]:110` for an IPv6 address).
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
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
    pub fn covers(&self, address: &str) -> bool {
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

/// One identity: an address, the servers it uses, where its secrets are. Immutable; a connection keeps the
/// one it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Unique whatever the letter case; what clients may give as user name; printable ASCII.
    pub name: String,
    /// The mail address.
    pub address: String,
    /// More senders that go out through it.
    pub aliases: Vec<Alias>,
    /// The preset named in the file, if any.
    pub provider: Option<String>,
    /// This one sends for senders that belong to no account; at most one account is.
    pub is_default: bool,
    /// Whether AUTH is offered to clients on doors of its own.
    pub offer_auth: bool,
    /// Where its local password comes from; `None`: ostler makes one and keeps it in the keyring.
    pub local_password: Option<SecretSource>,
    /// Where its mail is fetched.
    pub pop3: Option<Server>,
    /// Where its mail is sent, in the order in which they are tried.
    pub smtp: Vec<Server>,
    /// Kept for the IMAP door.
    pub imap: Option<Server>,
}

impl Account {
    /// Every server in the order they are shown and checked.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.pop3.iter().chain(&self.smtp).chain(&self.imap)
    }

    /// Whether `address` is this account's own or one of its aliases.
    pub fn sends_for(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address) || self.aliases.iter().any(|a| a.covers(address))
    }
}

/// Who may come in at the doors (`docs/promises.md`, section 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only programs of the user who runs ostler.
    SameUser,
    /// Whoever knows the account's local password.
    Password,
    /// Whoever can reach the door.
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
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits count; at most 32 or 128.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` is in it. An IPv4 address that came in through an IPv6 socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn leading(value: u128, width: u32, prefix: u8) -> u128 {
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

/// A local address on which clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Door {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where; loopback, or a network the file allows.
    pub address: SocketAddr,
    /// The `::1` beside a plain port number: left out without a word where the machine has no IPv6.
    pub is_companion: bool,
    /// The account it leads to, by name; `None`: the client says which.
    pub account: Option<String>,
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
    /// Where the settings page listens; kept for the page.
    pub page: Option<SocketAddr>,
    /// Who may come in.
    pub access: Access,
    /// Networks from which clients may come beside loopback.
    pub allow: Vec<Network>,
    /// Whether the desktop tells the user when something waits for them.
    pub notices: bool,
    /// In the order of the file.
    pub accounts: Vec<Arc<Account>>,
    /// The time limits.
    pub timeouts: Timeouts,
}

impl Settings {
    /// The door a program of this account's owner is best told of: one that leads to the account alone before a common
    /// one, IPv4 before IPv6, this computer before a network. `None`: there is none for this protocol.
    pub fn door_for(&self, protocol: Protocol, account: &Account) -> Option<&Door> {
        let fits =
            |door: &&Door| door.protocol == protocol && door.account.as_ref().is_none_or(|name| *name == account.name);
        let worse = |door: &&Door| {
            let ip = door.address.ip().to_canonical();
            (door.account.is_none(), door.is_companion, !ip.is_loopback(), ip.is_ipv6())
        };
        self.doors.iter().filter(fits).min_by_key(worse)
    }

    /// The port of a protocol, for a client that came to another one's: of the doors of `account` where it is known, else
    /// of the common ones. `None`: there is none, or any free one.
    pub fn port_for(&self, protocol: Protocol, account: Option<&Account>) -> Option<u16> {
        let common = || self.doors.iter().find(|door| door.protocol == protocol && door.account.is_none());
        let door = account.and_then(|account| self.door_for(protocol, account)).or_else(common)?;
        Some(door.address.port()).filter(|port| *port != 0)
    }
}

#[cfg(test)]
mod tests {
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
    fn an_alias_with_a_star_covers_its_domain_and_no_other() {
        let alias = Alias::Domain("example.net".into());
        assert!(alias.covers("Ann@Example.NET"));
        assert!(!alias.covers("ann@sub.example.net"));
        assert!(!alias.covers("example.net"));
    }
}
