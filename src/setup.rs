//! Setting up an account: from an address to the servers (`find`), from servers and a password to an account that is
//! known to work (`trial`), from there into the settings file and the keyring (`keep`). `ostler add` and the settings page
//! are two ways to talk about the same steps; both are a [`SetupUi`].
//!
//! Not here: how questions look, and where passwords are typed.

pub mod discover;
pub mod find;
pub mod import;
pub mod keep;
pub mod trial;

use std::sync::Arc;
use std::time::Duration;

use crate::diagnose::Step;
use ostler_mail::account::endpoint::{Endpoint, LoginForm};
use ostler_mail::account::{Account, AfterPop, Credentials, Protocol, SecretSource, Security, Server, SignIn, Trust};
use ostler_mail::secret::Secret;

/// How old a POP login may be before a send, where ostler writes it: the settings' default.
const FRESH: Duration = Duration::from_secs(60);

/// Whoever sits before the screen.
pub trait SetupUi {
    /// A step was tried.
    fn step(&mut self, step: &Step);
    /// Something worth a sentence.
    fn say(&mut self, text: &str);
    /// Asks; nobody there is a no.
    fn confirm(&mut self, question: &Question) -> impl Future<Output = bool>;
}

/// What is asked on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// May the domain be told to the public directory of mail servers?
    AskDirectory {
        /// The domain.
        domain: String,
        /// The directory's host.
        directory: String,
    },
    /// Is this the right company? Only plain DNS, which can be forged, says so.
    TrustDns {
        /// The domain.
        domain: String,
        /// The servers it names.
        hosts: Vec<String>,
    },
    /// The preferred server does not answer; another does.
    UseOther {
        /// The one that does not.
        instead_of: String,
        /// The one that does.
        other: String,
        /// As it would be given on the command line.
        flag: String,
    },
    /// None of the servers that are known without certainty answers; use them all the same?
    UseUncertain {
        /// The provider.
        title: String,
    },
}

impl Question {
    /// What is asked, without the marks for an answer.
    pub fn text(&self) -> String {
        match self {
            Self::AskDirectory { domain, directory } => format!(
                "May ostler ask Thunderbird's public list of mail servers about {domain}? This tells {directory} the name \
                 {domain}, and nothing else."
            ),
            Self::TrustDns { domain, hosts } => format!(
                "{domain} says that its mail is at {}, which is outside {domain}. Nothing proves that this is true. Is this \
                 the company your mail is with?",
                hosts.join(" and ")
            ),
            Self::UseOther { instead_of, other, .. } => {
                format!("{instead_of} cannot be used, but {other} answers. Use that one?")
            }
            Self::UseUncertain { title } => {
                format!("ostler is not certain of the servers of {title}, and none answers. Use them all the same?")
            }
        }
    }

    /// What Enter alone means.
    pub fn is_yes_by_default(&self) -> bool {
        matches!(self, Self::AskDirectory { .. } | Self::UseOther { .. })
    }

    /// How the answer is given beforehand.
    pub fn flag(&self) -> String {
        match self {
            Self::AskDirectory { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
            Self::TrustDns { .. } => "--yes if it is, or name the servers with --pop3 and --smtp".into(),
            Self::UseOther { flag, .. } => format!("{flag}, or --yes"),
            Self::UseUncertain { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
        }
    }
}

/// One choice of an account: the servers it could be, in order, and who signs in there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerChoice {
    /// The likeliest first.
    pub endpoints: Vec<Endpoint>,
    /// The user name, where a person has given one; else it is made from [`Self::address`].
    pub username: Option<String>,
    /// The address user names are made from; another one than the account's where it sends through another company.
    pub address: String,
    /// Where the password comes from.
    pub source: Option<SecretSource>,
}

impl ServerChoice {
    /// The names to try at an endpoint.
    pub fn usernames(&self, endpoint: &Endpoint) -> Vec<String> {
        match &self.username {
            Some(name) => vec![name.clone()],
            None => endpoint.login.candidates(&self.address),
        }
    }

    fn credentials(&self, username: String) -> Credentials {
        Credentials { username, secret: self.source.clone().unwrap_or(SecretSource::Keyring) }
    }
}

/// An account as somebody wants it: what is known before it has been tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The mail address.
    pub address: String,
    /// The account's name, if not the address.
    pub name: Option<String>,
    /// The preset it came from.
    pub provider: Option<String>,
    /// Where mail is fetched; none: the account only sends.
    pub incoming: ServerChoice,
    /// Where mail is sent; none: the account only fetches.
    pub outgoing: ServerChoice,
    /// Kept for the IMAP door.
    pub imap: Option<Endpoint>,
    /// A person (or the preset) said that mail has to be fetched before each send.
    pub gate: bool,
    /// Certificates to be trusted beside the system's.
    pub trust: Trust,
}

impl Plan {
    /// Whether sending and fetching are signed in to with passwords of their own.
    pub fn sends_elsewhere(&self) -> bool {
        self.outgoing.address != self.incoming.address
            || self.outgoing.username.is_some() && self.outgoing.username != self.incoming.username
    }

    fn server(&self, endpoint: &Endpoint, sign_in: SignIn) -> Server {
        Server {
            protocol: endpoint.protocol,
            host: endpoint.host.clone(),
            port: endpoint.port,
            security: endpoint.security,
            trust: self.trust.clone(),
            sign_in,
        }
    }

    /// The server for fetching, with a user name.
    pub fn incoming_server(&self, endpoint: &Endpoint, username: String) -> Server {
        self.server(endpoint, SignIn::Password(self.incoming.credentials(username)))
    }

    /// The server for sending.
    pub fn outgoing_server(&self, endpoint: &Endpoint, auth: SendAuth<'_>) -> Server {
        let sign_in = match auth {
            SendAuth::Password(username) => SignIn::Password(self.outgoing.credentials(username)),
            SendAuth::AfterPop(login) => SignIn::AfterPop(Arc::new(AfterPop { login: login.clone(), fresh: FRESH })),
            SendAuth::Nothing => SignIn::None,
        };
        self.server(endpoint, sign_in)
    }

    /// The account with these servers.
    pub fn account(&self, pop3: Option<Server>, smtp: Vec<Server>) -> Account {
        let imap = self.imap.as_ref().map(|endpoint| {
            let username = self.incoming.usernames(endpoint).swap_remove(0);
            self.server(endpoint, SignIn::Password(self.incoming.credentials(username)))
        });
        Account {
            name: self.name.clone().unwrap_or_else(|| self.address.clone()),
            address: self.address.clone(),
            aliases: Vec::new(),
            provider: self.provider.clone(),
            is_default: false,
            offer_auth: true,
            local_password: None,
            pop3,
            smtp,
            imap,
        }
    }

    /// The account as it stands in the plan, with the likeliest of everything and nothing tried.
    pub fn untried(&self) -> Account {
        let first = |choice: &ServerChoice| choice.endpoints.first().cloned();
        let username = |choice: &ServerChoice, endpoint: &Endpoint| choice.usernames(endpoint).swap_remove(0);
        let pop3 = first(&self.incoming).map(|e| self.incoming_server(&e, username(&self.incoming, &e)));
        let smtp = first(&self.outgoing).map(|e| {
            let auth = match &pop3 {
                Some(login) if self.gate => SendAuth::AfterPop(login),
                _ => SendAuth::Password(username(&self.outgoing, &e)),
            };
            self.outgoing_server(&e, auth)
        });
        self.account(pop3, smtp.into_iter().collect())
    }
}

/// How a server for sending is used.
#[derive(Debug, Clone)]
pub enum SendAuth<'a> {
    /// Signed in to, by this name.
    Password(String),
    /// After a POP login there.
    AfterPop(&'a Server),
    /// As it is.
    Nothing,
}

/// The passwords of an account that is being set up.
#[derive(Debug, Default, Clone)]
pub struct Secrets {
    /// For fetching, and for sending where that has none of its own.
    pub incoming: Option<Arc<Secret>>,
    /// For sending through another company.
    pub outgoing: Option<Arc<Secret>>,
}

impl Secrets {
    /// The secret for each server of the account whose password goes to the keyring.
    pub fn by_server<'a>(&self, account: &'a Account) -> Vec<(&'a Server, Arc<Secret>)> {
        let keyed = crate::vault::servers_with_secret(account);
        let in_keyring = |s: &&Server| s.credentials().is_some_and(|c| c.secret == SecretSource::Keyring);
        keyed
            .into_iter()
            .filter(in_keyring)
            .filter_map(|server| {
                let own = server.protocol.is_outgoing().then_some(self.outgoing.as_ref()).flatten();
                Some((server, Arc::clone(own.or(self.incoming.as_ref())?)))
            })
            .collect()
    }
}

/// A server as it is given on the command line, `SECURITY://HOST[:PORT]`.
pub fn endpoint_from_flag(protocol: Protocol, text: &str) -> Result<Endpoint, String> {
    const ALLOWED: &str =
        "allowed is tls://HOST, starttls://HOST or none://HOST, with :PORT behind it if it is not the usual one";
    let (security, place) = text.split_once("://").ok_or(ALLOWED)?;
    let security = match security.to_ascii_lowercase().as_str() {
        "tls" => Security::Tls,
        "starttls" => Security::StartTls,
        "none" => Security::None,
        _ => return Err(ALLOWED.into()),
    };
    let (host, port) = split_port(place.trim_end_matches('/')).ok_or(ALLOWED)?;
    let port = match port {
        None => protocol.default_port(security),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")?,
    };
    let host = crate::config::value::host(host).map_err(|why| format!("the host {why}; {ALLOWED}"))?;
    Ok(Endpoint { protocol, host, port, security, login: LoginForm::Unknown, ways: Vec::new() })
}

/// `host:port`, `[::1]:port`, or a host alone.
fn split_port(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, behind) = rest.split_once(']')?;
        return match behind {
            "" => Some((host, None)),
            _ => Some((host, Some(behind.strip_prefix(':')?))),
        };
    }
    match place.matches(':').count() {
        1 => place.split_once(':').map(|(host, port)| (host, Some(port))),
        _ => Some((place, None)),
    }
}

/// An endpoint as it has to be given on the command line.
pub fn flag_of(endpoint: &Endpoint) -> String {
    let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    format!("--{} {}://{host}:{}", endpoint.protocol, endpoint.security.name(), endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_command_line() {
        let read = |text: &str| endpoint_from_flag(Protocol::Pop3, text).map(|e| (e.host, e.port, e.security));
        assert_eq!(read("tls://pop.x.net"), Ok(("pop.x.net".into(), 995, Security::Tls)));
        assert_eq!(read("starttls://pop.x.net:1110"), Ok(("pop.x.net".into(), 1110, Security::StartTls)));
        assert_eq!(read("NONE://[::1]:110/"), Ok(("::1".into(), 110, Security::None)));
        assert_eq!(read("tls://::1"), Ok(("::1".into(), 995, Security::Tls)));
        for wrong in
            ["pop.x.net", "ssl://x", "tls://", "tls://x:0", "tls://x:99999", "tls://a b", "tls://[::1", "tls://x:"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let endpoint = endpoint_from_flag(Protocol::Smtp, "starttls://[::1]").unwrap();
        assert_eq!(flag_of(&endpoint), "--smtp starttls://[::1]:587");
    }
}
