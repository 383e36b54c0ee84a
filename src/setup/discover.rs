//! Finds the servers of a domain that no preset knows: which sources are asked, in which order, and who vouches for the
//! answer (RFC 6186, RFC 8314, Mozilla's autoconfig as in draft-ietf-mailmaint-autoconfig).
//!
//! Each source has a method, so that the caller can show which one is being asked, ask the user in between, and stop as
//! soon as there are enough servers. Dropping the future ends a step. No step signs in or uses plain http, and only the
//! domain of the address leaves the computer.
//!
//! Not here: presets, what the user is asked, and trying a password.

pub mod autoconfig;
mod https;
mod names;
mod probe;
mod srv;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::proxy::net::dial::Dialer;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Protocol, Trust};
use ostler_mail::failure::Failure;
use ostler_mail::idn;

pub use names::{Names, NamesTrouble, Srv};
pub use probe::Probed;

/// The host of Thunderbird's database of mail providers, run by Mozilla, for domains without an autoconfig file of
/// their own. Asked only if the user agrees, because it learns the domain.
pub const ISPDB_HOST: &str = "autoconfig.thunderbird.net";

/// A mail domain in the form of the DNS: lower case, ASCII (other scripts as punycode), at least two labels, no
/// trailing dot, never an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

/// Why a text is not a mail domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADomain {
    /// There is no `@`, or nothing on one side of it.
    #[error("a mail address has a name, an @ and a domain, as in ann@example.net; check what you typed")]
    NoAddress,
    /// What follows the `@` cannot be a domain.
    #[error("what follows the @ is not a domain: {0}; check what you typed")]
    BadDomain(String),
}

impl Domain {
    /// Parses a domain as people write it, in any script.
    pub fn parse(text: &str) -> Result<Self, NotADomain> {
        let trimmed = text.trim();
        let bad = || NotADomain::BadDomain(ostler_mail::wire::printable(trimmed.as_bytes()));
        let trimmed = trimmed.strip_suffix('.').unwrap_or(trimmed);
        let ascii = idn::dns_name(trimmed).ok_or_else(bad)?;
        let Some((_, last)) = ascii.rsplit_once('.') else { return Err(bad()) };
        // "10.0.0.1" and the like; no top-level domain is a number.
        if last.bytes().all(|b| b.is_ascii_digit()) || ascii.parse::<IpAddr>().is_ok() {
            return Err(bad());
        }
        Ok(Self(ascii))
    }

    /// Parses the domain of a mail address.
    pub fn of_address(address: &str) -> Result<Self, NotADomain> {
        // The last @, because a quoted local part may contain one (RFC 5321, section 4.1.2).
        match address.trim().rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Self::parse(domain),
            _ => Err(NotADomain::NoAddress),
        }
    }

    /// The domain in lower-case ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a host is this domain or below it, in any letter case, with or without a trailing dot.
    pub fn contains(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == self.0 || host.strip_suffix(&self.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A source of servers, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `https://autoconfig.D/mail/config-v1.1.xml`.
    Autoconfig,
    /// `https://D/.well-known/autoconfig/mail/config-v1.1.xml`.
    WellKnown,
    /// Mozilla's database.
    Ispdb,
    /// SRV records.
    Srv,
    /// The servers themselves, by the usual names.
    Probe,
}

impl Source {
    /// All sources, in the order in which they are asked.
    pub const ALL: [Self; 5] = [Self::Autoconfig, Self::WellKnown, Self::Ispdb, Self::Srv, Self::Probe];

    /// The step in words: `asking autoconfig.example.net for its mail settings`.
    pub fn asking(self, domain: &Domain) -> String {
        match self {
            Self::Autoconfig => format!("asking autoconfig.{domain} for its mail settings"),
            Self::WellKnown => format!("asking {domain} for its mail settings"),
            Self::Ispdb => format!("asking Thunderbird's public list of mail servers ({ISPDB_HOST}) about {domain}"),
            Self::Srv => format!("looking up the mail servers of {domain} in the DNS"),
            Self::Probe => format!("trying the usual names and ports for mail servers of {domain}"),
        }
    }
}

/// Who vouches that an endpoint belongs to the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// A verified certificate, either of the domain or a name below it, or of Mozilla's database.
    Certificate,
    /// Only the name service, whose answers can be forged on the way.
    PlainDns {
        /// The host is not in the domain, so its certificate proves nothing about it. The user has to confirm the host
        /// before a password goes there (RFC 6186, section 6).
        outside: bool,
    },
}

impl Vouched {
    /// Whether the user has to confirm the host's name first.
    pub fn needs_yes(self) -> bool {
        self == Self::PlainDns { outside: true }
    }
}

/// An endpoint and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The server.
    pub endpoint: Endpoint,
    /// Who says that it belongs to the domain.
    pub vouched: Vouched,
}

/// Something that the provider wants its users to read or switch on. Texts have no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Whether the user has to do it first; otherwise it is only documentation.
    pub must: bool,
    /// The text, in English if there is an English one; may be empty.
    pub text: String,
    /// A page with more: `http` or `https`, printable ASCII.
    pub url: Option<String>,
}

/// What a source has answered; at least one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The source.
    pub by: Source,
    /// The offers in order of preference, incoming and outgoing mixed.
    pub offers: Vec<Offer>,
    /// The provider's name for itself.
    pub title: Option<String>,
    /// What the provider wants its users to know.
    pub hints: Vec<Hint>,
    /// The company at which its users sign in for tokens (OAuth2), if only the provider says what that is.
    pub company: Option<Arc<Issuer>>,
}

impl Found {
    /// The offers of one protocol, best first.
    pub fn of(&self, protocol: Protocol) -> impl Iterator<Item = &Offer> {
        self.offers.iter().filter(move |offer| offer.endpoint.protocol == protocol)
    }

    /// The endpoints, without who vouches.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.offers.iter().map(|offer| offer.endpoint.clone()).collect()
    }

    /// Whether it has both a POP3 and an SMTP server.
    pub fn is_enough(&self) -> bool {
        self.of(Protocol::Pop3).next().is_some() && self.of(Protocol::Smtp).next().is_some()
    }
}

/// Why a source gave no server. The next source is asked then, so no text tells the user to do anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It knows nothing about this domain.
    #[error("nothing found")]
    Nothing,
    /// Its answer cannot be used.
    #[error("nothing usable: {0}")]
    Unusable(String),
    /// It could not be reached, or not in a trustworthy way.
    #[error("could not be asked: {0}")]
    NotAsked(String),
    /// Not even its name could be looked up, so the sources after it will not be reached either.
    #[error("could not be asked: {0}")]
    OutOfReach(String),
}

/// Finds the servers of one domain.
pub struct Finder {
    domain: Domain,
    names: Names,
    trust: Trust,
    dialer: Arc<Dialer>,
}

impl Finder {
    /// A finder for this domain. `trust` may add a certificate authority of the user's, for web servers too.
    pub fn new(domain: Domain, names: Names, trust: Trust) -> Self {
        Self { domain, names, trust, dialer: Arc::default() }
    }

    /// The domain whose servers are looked for.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Asks one source; `wanted` is for the probe alone. [`Source::Ispdb`] needs the user's consent. Between
    /// [`Source::Srv`] and [`Source::Probe`] callers look at [`mx`](Self::mx), which may lead to a preset.
    pub async fn ask(&self, source: Source, wanted: &[Protocol]) -> Result<Found, Missing> {
        match source {
            Source::Autoconfig => self.autoconfig().await,
            Source::WellKnown => self.well_known().await,
            Source::Ispdb => self.ispdb().await,
            Source::Srv => self.srv().await,
            Source::Probe => self.probe(wanted).await,
        }
    }

    /// Asks `https://autoconfig.D/mail/config-v1.1.xml`.
    pub async fn autoconfig(&self) -> Result<Found, Missing> {
        let url = format!("https://autoconfig.{}/mail/config-v1.1.xml", self.domain);
        self.file(Source::Autoconfig, &url).await
    }

    /// Asks `https://D/.well-known/autoconfig/mail/config-v1.1.xml`.
    pub async fn well_known(&self) -> Result<Found, Missing> {
        let url = format!("https://{}/.well-known/autoconfig/mail/config-v1.1.xml", self.domain);
        self.file(Source::WellKnown, &url).await
    }

    /// Asks Mozilla's database, which then learns the domain: the user must have agreed.
    pub async fn ispdb(&self) -> Result<Found, Missing> {
        let url = format!("https://{ISPDB_HOST}/v1.1/{}", self.domain);
        self.file(Source::Ispdb, &url).await
    }

    /// Asks the name service for SRV records (RFC 6186, RFC 8314).
    pub async fn srv(&self) -> Result<Found, Missing> {
        srv::find(&self.names, &self.domain).await
    }

    /// The hosts that receive mail for the domain, in order of preference. They only serve to find a preset: users do
    /// not fetch mail there, and only the name service vouches for them.
    pub async fn mx(&self) -> Result<Vec<String>, Missing> {
        match self.names.mx(self.domain.as_str()).await {
            Ok(hosts) => Ok(hosts),
            Err(NamesTrouble::NoRecord) => Err(Missing::Nothing),
            Err(NamesTrouble::NotAsked(why)) => Err(Missing::NotAsked(why)),
        }
    }

    /// Tries the usual names and ports for these protocols, with encryption only. Makes up to 26 connections, and takes half a minute at most.
    pub async fn probe(&self, wanted: &[Protocol]) -> Result<Found, Missing> {
        probe::probe_usual_names(&self.dialer, &self.domain, &self.trust, wanted).await
    }

    /// Tries one endpoint without signing in: name, TCP, TLS, greeting, and what it offers.
    pub async fn endpoint(&self, endpoint: &Endpoint) -> Result<Probed, Failure> {
        probe::probe_endpoint(&self.dialer, endpoint, &self.trust).await
    }

    async fn file(&self, by: Source, url: &str) -> Result<Found, Missing> {
        let text = https::get(&self.dialer, &self.trust, url).await?;
        let config = autoconfig::parse(&text, &self.domain).map_err(|e| Missing::Unusable(e.to_string()))?;
        let offers = config.endpoints.into_iter().map(|endpoint| Offer { endpoint, vouched: Vouched::Certificate });
        Ok(Found { by, offers: offers.collect(), title: config.title, hints: config.hints, company: config.company })
    }
}

/// As [`Finder::endpoint`], for an endpoint from another source, such as an imported file.
pub async fn try_endpoint(endpoint: &Endpoint, trust: &Trust) -> Result<Probed, Failure> {
    probe::probe_endpoint(&Dialer::default(), endpoint, trust).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_the_dns_knows() {
        let domain = |text: &str| Domain::parse(text).map(|d| d.0);
        assert_eq!(domain(" Example.NET. ").unwrap(), "example.net");
        assert_eq!(domain("m\u{fc}ller.example").unwrap(), "xn--mller-kva.example");
        assert_eq!(domain("xn--mller-kva.example").unwrap(), "xn--mller-kva.example");
        let long = format!("{}.example", "x".repeat(64));
        for bad in
            ["", ".", "localhost", "10.0.0.1", "1.2", "[::1]", "::1", "a..b", "a b.example", "a/b.example", &long]
        {
            assert!(domain(bad).is_err(), "{bad}");
        }
        for bad in ["a@b.example", "a.example\r\nx", "a.example:25", "-a.example", "a_b.example", "%2e.example"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
        assert_eq!(Domain::of_address("Ann@Example.net").unwrap().as_str(), "example.net");
        assert_eq!(Domain::of_address("\"a@b\"@example.net").unwrap().as_str(), "example.net");
        for bad in ["", "ann", "@example.net", "ann@"] {
            assert_eq!(Domain::of_address(bad), Err(NotADomain::NoAddress), "{bad}");
        }
    }

    #[test]
    fn inside_is_the_domain_or_below_it() {
        let domain = Domain::parse("example.net").unwrap();
        for inside in ["example.net", "Mail.Example.Net", "a.b.example.net."] {
            assert!(domain.contains(inside), "{inside}");
        }
        for outside in ["badexample.net", "example.net.evil.example", "net", "", "."] {
            assert!(!domain.contains(outside), "{outside}");
        }
    }
}
