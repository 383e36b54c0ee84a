//! Sets up an account in three steps: `find` gets from an address to its servers, `trial` from servers and a password
//! to an account that works, and `keep` stores it in the settings file and the keyring. `ostler add` and the settings
//! page do the same steps, each with its own [`SetupUi`].
//!
//! Not here: how questions look, and how passwords are typed.

pub mod discover;
pub(crate) mod find;
pub mod import;
pub(crate) mod keep;
pub(crate) mod trial;

use std::sync::Arc;

use crate::config::DEFAULT_FRESH;
use crate::diagnose::Step;
use ostler_mail::account::endpoint::{Endpoint, LoginForm};
use ostler_mail::account::{Account, AfterPop, Credentials, Protocol, SecretSource, Security, Server, SignIn, Trust};
use ostler_mail::secret::Secret;

/// The user interface that setup talks to: the `ostler add` terminal or the settings page.
pub(crate) trait SetupUi {
    /// Shows a step that was tried.
    fn step(&mut self, step: &Step);
    /// Shows a sentence.
    fn say(&mut self, text: &str);
    /// Asks a question; if no one is there to answer, the answer is no.
    fn confirm(&mut self, question: &Question) -> impl Future<Output = bool>;
}

/// A question to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// May ostler ask the public directory of mail servers, which then learns the domain?
    AskDirectory { domain: String, directory: String },
    /// Is this the right company? Only plain DNS says so, and that can be forged.
    TrustDns { domain: String, hosts: Vec<String> },
    /// The preferred server cannot be used, another one answers: use that?
    UseOther {
        instead_of: String,
        other: String,
        /// The option that names the other server on the command line.
        flag: String,
    },
    /// ostler is not certain of these servers and none of them answers: use them anyway?
    UseUncertain { title: String },
}

impl Question {
    /// The words of the question, without a choice of answers.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::AskDirectory { domain, directory } => format!(
                "May ostler ask Thunderbird's public list of mail servers about {domain}? {directory} then learns the name \
                 {domain}, and nothing else."
            ),
            Self::TrustDns { domain, hosts } => format!(
                "{domain} says that its mail is at {}, which is outside {domain}. Nothing proves that this is true. Is this \
                 the company that has your mail?",
                hosts.join(" and ")
            ),
            Self::UseOther { instead_of, other, .. } => {
                format!("{instead_of} cannot be used, but {other} answers. Use that one?")
            }
            Self::UseUncertain { title } => {
                format!(
                    "ostler is not certain about the servers of {title}, and none of them answers. Use them anyway?"
                )
            }
        }
    }

    /// Whether Enter alone means yes.
    pub(crate) fn is_yes_by_default(&self) -> bool {
        // Not the other two: a thoughtless Enter could send the password to a host that nothing proves to be the
        // provider's.
        matches!(self, Self::AskDirectory { .. } | Self::UseOther { .. })
    }

    /// The option that answers it on the command line.
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::AskDirectory { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
            Self::TrustDns { .. } => "--yes if it is, or name the servers with --pop3 and --smtp".into(),
            Self::UseOther { flag, .. } => format!("{flag}, or --yes"),
            Self::UseUncertain { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
        }
    }
}

/// The servers that one direction of mail, fetching or sending, could use, and how ostler signs in there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerChoice {
    /// The servers to try, the likeliest first.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The user name, if the user has given one; otherwise it is made from [`Self::address`].
    pub(crate) username: Option<String>,
    /// The address that user names are made from. It differs from the account's if mail is sent through another
    /// company.
    pub(crate) address: String,
    /// Where the password comes from; `None` is the keyring.
    pub(crate) source: Option<SecretSource>,
}

impl ServerChoice {
    /// The user names to try at an endpoint; never empty.
    pub(crate) fn usernames(&self, endpoint: &Endpoint) -> Vec<String> {
        match &self.username {
            Some(name) => vec![name.clone()],
            None => endpoint.login.candidates(&self.address),
        }
    }

    fn credentials(&self, username: String) -> Credentials {
        Credentials { username, secret: self.source.clone().unwrap_or(SecretSource::Keyring) }
    }
}

/// An account before it has been tried: the servers it could use, and what the user has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The mail address.
    pub(crate) address: String,
    /// The account's name, if it is not the address.
    pub(crate) name: Option<String>,
    /// The preset that the servers are from.
    pub(crate) provider: Option<String>,
    /// Where mail is fetched; without endpoints the account only sends.
    pub(crate) incoming: ServerChoice,
    /// Where mail is sent; without endpoints the account only fetches.
    pub(crate) outgoing: ServerChoice,
    /// Saved for a later version with an IMAP door.
    pub(crate) imap: Option<Endpoint>,
    /// The user, the preset or the imported file says that mail has to be fetched before each send.
    pub(crate) gate: bool,
    /// Certificates to trust in addition to the system's.
    pub(crate) trust: Trust,
}

impl Plan {
    /// Whether sending needs a password of its own.
    pub(crate) fn sends_elsewhere(&self) -> bool {
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

    /// The server for fetching, with this user name.
    pub(crate) fn incoming_server(&self, endpoint: &Endpoint, username: String) -> Server {
        self.server(endpoint, SignIn::Password(self.incoming.credentials(username)))
    }

    /// The server for sending.
    pub(crate) fn outgoing_server(&self, endpoint: &Endpoint, auth: SendAuth<'_>) -> Server {
        let sign_in = match auth {
            SendAuth::Password(username) => SignIn::Password(self.outgoing.credentials(username)),
            SendAuth::AfterPop(login) => {
                SignIn::AfterPop(Arc::new(AfterPop { login: login.clone(), fresh: DEFAULT_FRESH }))
            }
            SendAuth::Nothing => SignIn::None,
        };
        self.server(endpoint, sign_in)
    }

    /// The account with these servers.
    pub(crate) fn account(&self, pop3: Option<Server>, smtp: Vec<Server>) -> Account {
        let imap = self.imap.as_ref().map(|endpoint| {
            // `usernames` is never empty.
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

    /// The account with the likeliest servers and user names, none of them tried.
    pub(crate) fn untried(&self) -> Account {
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

/// How ostler signs in to send.
#[derive(Debug, Clone)]
pub(crate) enum SendAuth<'a> {
    /// With this user name and the password.
    Password(String),
    /// With a POP login at this server before each send.
    AfterPop(&'a Server),
    /// Not at all.
    Nothing,
}

/// The passwords of an account that is being set up.
#[derive(Debug, Default, Clone)]
pub(crate) struct Secrets {
    /// For fetching, and for sending unless that has its own.
    pub(crate) incoming: Option<Arc<Secret>>,
    /// For sending through another company.
    pub(crate) outgoing: Option<Arc<Secret>>,
}

impl Secrets {
    /// The servers of the account whose password goes to the keyring, each with its secret.
    pub(crate) fn by_server<'a>(&self, account: &'a Account) -> Vec<(&'a Server, Arc<Secret>)> {
        let servers = crate::vault::servers_with_secret(account);
        let in_keyring = |s: &&Server| s.credentials().is_some_and(|c| c.secret == SecretSource::Keyring);
        servers
            .into_iter()
            .filter(in_keyring)
            .filter_map(|server| {
                let own = server.protocol.is_outgoing().then_some(self.outgoing.as_ref()).flatten();
                Some((server, Arc::clone(own.or(self.incoming.as_ref())?)))
            })
            .collect()
    }
}

/// Parses a server as given on the command line, `SECURITY://HOST[:PORT]`.
pub(crate) fn endpoint_from_flag(protocol: Protocol, text: &str) -> Result<Endpoint, String> {
    const ALLOWED: &str =
        "allowed is tls://HOST, starttls://HOST or none://HOST, followed by :PORT if it is not the usual one";
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
    Ok(Endpoint { protocol, host, port, security, login: LoginForm::Unknown, auth_methods: Vec::new() })
}

/// Splits `host:port` or `[::1]:port`; a host may stand alone.
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
        // Several colons: an IPv6 address without brackets.
        _ => Some((place, None)),
    }
}

/// The option that names an endpoint on the command line.
pub(crate) fn flag_of(endpoint: &Endpoint) -> String {
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
