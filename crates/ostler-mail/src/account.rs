//! The checked values that every session works with: accounts, their servers, doors, time limits. The program's
//! `config` makes them from the settings file, so every value here is complete and consistent.
//!
//! Not here: parsing, storing, connecting.

pub mod endpoint;
pub mod issuer;
pub mod mend;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::readable::Readable;
use issuer::Issuer;
use mend::Repair;

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

/// How a connection to a provider is protected. There is no opportunistic kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first octet.
    Tls,
    /// STLS (RFC 2595) or STARTTLS (RFC 3207); a server that does not offer it is not used.
    StartTls,
    /// No protection. Only a settings file that says `security = "none"` leads here.
    None,
}

impl Security {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tls, Self::StartTls, Self::None];

    /// The kind with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|security| security.name() == name)
    }

    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }
}

/// What a server's certificate may be verified against, in addition to the system's roots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Trust {
    /// A PEM file for this server only. Its certificates are further roots, and one that is the server's own, octet for
    /// octet, is trusted for what it is: only its name and dates are checked.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the one certificate (DER) that is trusted. Its name, dates and issuer are then not checked.
    pub pin: Option<[u8; 32]>,
}

/// The names that the hosts file of Debian and others has for `::1`, and the one that old Red Hat systems have.
const NAMES_OF_THIS_COMPUTER: [&str; 5] = ["localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];

/// What the hosts file of old systems has behind these names.
const LOCAL_DOMAINS: [&str; 3] = [".localdomain", ".localdomain4", ".localdomain6"];

/// Whether a host name or address, with or without the brackets of IPv6, means this computer, where a helper such as Proton
/// Mail Bridge or DavMail may listen.
pub fn is_this_computer(host: &str) -> bool {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address.is_unspecified(),
        Err(_) => {
            // The resolver of most systems takes 127.1 for 127.0.0.1.
            let is_short = host.starts_with("127.") && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            // Only with the domains of the hosts file: the owner of a real domain may call any host in it localhost.
            let name = LOCAL_DOMAINS.into_iter().find_map(|domain| host.strip_suffix(domain)).unwrap_or(&host);
            is_short || NAMES_OF_THIS_COMPUTER.contains(&name) || host.ends_with(".localhost")
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// The keyring of the system.
    Keyring,
    /// The first line a command prints.
    Command(CommandLine),
    /// The first line of a file that only its owner can read.
    File(PathBuf),
    /// A variable of ostler's own environment.
    Env(String),
    /// The password that the mail program gives is passed on.
    Client,
}

/// A command that prints a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandLine {
    /// Run by the system's shell.
    Shell(String),
    /// A program and its arguments, run without a shell; never empty.
    Argv(Vec<String>),
}

/// The octets in which a provider has the letters beyond ASCII of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PasswordCharset {
    /// As POP3 and SMTP have it today (RFC 6856, RFC 4616).
    #[default]
    Utf8,
    /// As old mail programs on Windows sent them. A password that has other letters goes out as UTF-8 all the same.
    Windows1252,
}

impl PasswordCharset {
    /// Every charset.
    pub const ALL: [Self; 2] = [Self::Utf8, Self::Windows1252];

    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The one to try when this one was refused.
    pub fn other(self) -> Self {
        match self {
            Self::Utf8 => Self::Windows1252,
            Self::Windows1252 => Self::Utf8,
        }
    }
}

/// The most connections of one account at its IMAP server, unless the settings say otherwise. Netscape opens ten by itself, and
/// providers refuse more than ten to twenty.
pub const DEFAULT_IMAP_CONNECTIONS: usize = 8;

/// Who signs in, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user name at the provider; no control characters.
    pub username: String,
    /// Where its password (or token) comes from.
    pub secret: SecretSource,
    /// How its password is spelled there.
    pub charset: PasswordCharset,
}

/// What a server demands before it serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// A user name and a password.
    Password(Credentials),
    /// A user name and an OAuth2 access token.
    OAuth2(Credentials),
    /// A fresh POP login from the same address (SMTP only).
    AfterPop(Arc<AfterPop>),
    /// No sign-in.
    None,
}

/// The gate (POP-before-SMTP): the POP login that a provider demands before it takes a send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AfterPop {
    /// Where to log in; always a POP3 server that signs in with a password.
    pub login: Server,
    /// The age up to which an earlier login counts. Zero means a login before every send.
    pub fresh: Duration,
}

/// One server of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// The protocol spoken there.
    pub protocol: Protocol,
    /// A host name or an IP address without brackets; always a valid TLS server name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// What its certificate is verified against.
    pub trust: Trust,
    /// What it demands before it serves.
    pub sign_in: SignIn,
    /// Bodies may go there by BDAT, where it offers that; for SMTP.
    pub chunking: bool,
}

/// Identifies a server and its user: the key under which secrets, logins and measurements are stored. A changed host,
/// port, security or user name gives another id, so that no secret stored for the old server reaches the new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(String);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Server {
    /// Identifies this server and its user.
    pub fn id(&self) -> ServerId {
        let user = self.credentials().map_or("", |c| c.username.as_str());
        ServerId(format!("{} {} {user}@{}:{}", self.protocol, self.security.name(), self.host, self.port))
    }

    /// The credentials for this server, if it takes any. A gated server has none; its login server has.
    pub fn credentials(&self) -> Option<&Credentials> {
        match &self.sign_in {
            SignIn::Password(c) | SignIn::OAuth2(c) => Some(c),
            SignIn::AfterPop(_) | SignIn::None => None,
        }
    }

    /// How the password is spelled there; the usual way at a server that takes none.
    pub fn password_charset(&self) -> PasswordCharset {
        self.credentials().map(|credentials| credentials.charset).unwrap_or_default()
    }

    /// This server, with the password spelled like this; one that takes no password stays as it is.
    #[must_use]
    pub fn with_password_charset(mut self, charset: PasswordCharset) -> Self {
        if let SignIn::Password(credentials) = &mut self.sign_in {
            credentials.charset = charset;
        }
        self
    }

    /// The gate in front of this server, if there is one.
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
    fn rank(&self) -> (bool, bool, bool) {
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
