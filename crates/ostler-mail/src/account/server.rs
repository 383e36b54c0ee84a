//! A server of an account: how ostler connects to it, what it trusts there, and how it signs in.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Protocol;

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
