//! Sets up an account in three steps: `find` gets from an address to its servers, `trial` from servers and a password
//! to an account that works, and `keep` stores it in the settings file and the keyring. `ostler add` and the settings
//! page do the same steps, each with its own [`SetupUi`]. Whatever names servers (the user, a preset, a search, an imported
//! file) makes a [`Proposal`]; the [`Plan`] is filled from them, one after the other.
//!
//! Not here: how questions look, and how passwords are typed.

pub(crate) mod authorize;
pub(crate) mod charset_offer;
pub mod discover;
pub(crate) mod find;
pub mod import;
pub(crate) mod keep;
mod proposal;
pub(crate) mod trial;
pub(crate) mod trust;
mod xml;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::config::DEFAULT_FRESH;
use crate::diagnose::Step;
use crate::vault::keyring_servers;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::mend::Repair;
use ostler_mail::account::{
    Account, AfterPop, Alias, Credentials, DEFAULT_IMAP_CONNECTIONS, Folder, PasswordCharset, Protocol, SecretSource,
    Security, Server, SignIn,
};
use ostler_mail::idn;
use ostler_mail::oauth2::tokens::{Binding, Tokens};
use ostler_mail::readable::Readable;
use ostler_mail::secret::Secret;

pub use proposal::Proposal;
pub(crate) use proposal::Wanted;
pub(crate) use trust::NamedTrust;

/// The user interface that setup talks to: the `ostler add` terminal or the settings page.
pub(crate) trait SetupUi {
    /// Shows a step that was tried.
    fn step(&mut self, step: &Step);
    /// Shows a sentence about what is going on.
    fn say(&mut self, text: &str);
    /// Shows a sentence that the user should still see at the end.
    fn note(&mut self, text: &str) {
        self.say(text);
    }
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
    /// A server has refused a password with letters beyond ASCII: try it once more in this charset?
    TryCharset { server: String, charset: PasswordCharset },
    /// Nothing but the user can vouch for this certificate: trust it, and no other, at this server?
    TrustCertificate {
        server: String,
        certificate: String,
        pin: String,
        /// The server is a helper on this computer, so nothing lies between that could answer in its place.
        is_helper: bool,
    },
}

impl Question {
    /// The words of the question, without a choice of answers.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::AskDirectory { domain, directory } => format!(
                "May ostler ask Thunderbird's public list of mail servers about {domain}? Those who keep the list ({directory}) \
                 then learn the name {domain}, and nothing else."
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
            Self::TryCharset { server, charset } => {
                let why = match charset {
                    PasswordCharset::Utf8 => "Most providers want them as UTF-8",
                    PasswordCharset::Windows1252 => {
                        "Old mail programs sent them as Windows-1252, and some providers still want that"
                    }
                };
                format!(
                    "{server} did not take the password, which has letters beyond ASCII. {why}. Try it once more like that? If \
                     it is refused again, that is one more wrong password for the provider."
                )
            }
            Self::TrustCertificate { server, certificate, pin, .. } => format!(
                "{server} shows a certificate {certificate}, with the fingerprint {pin}. Nothing else vouches for it, so compare the \
                 fingerprint with the one that the server's own program or its people name. Trust this certificate there, and no other?"
            ),
        }
    }

    /// What the question is about, as a heading for it.
    #[cfg(feature = "web")]
    pub(crate) fn heading(&self) -> String {
        match self {
            Self::AskDirectory { domain, .. } => format!("ostler does not know {domain} yet"),
            Self::TrustDns { .. } => "Is your mail with this company?".into(),
            Self::UseOther { .. } => "Use another server?".into(),
            Self::UseUncertain { .. } => "Use servers that do not answer?".into(),
            Self::TryCharset { .. } => "Try the password in another way?".into(),
            Self::TrustCertificate { .. } => "Is this the right server?".into(),
        }
    }

    /// Whether Enter alone means yes.
    pub(crate) fn is_yes_by_default(&self) -> bool {
        // Not the others: a thoughtless Enter could send the password to a host that nothing proves to be the
        // provider's.
        matches!(self, Self::AskDirectory { .. } | Self::UseOther { .. } | Self::TryCharset { .. })
    }

    /// The option that answers it on the command line.
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::AskDirectory { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
            Self::TrustDns { .. } => "--yes if it is, or name the servers with --pop3 and --smtp".into(),
            Self::UseOther { flag, .. } => format!("{flag}, or --yes"),
            Self::UseUncertain { .. } => "--yes, or name the servers with --pop3 and --smtp".into(),
            Self::TrustCertificate { pin, .. } => format!("--pin {pin} if it is the right one, or --yes"),
            Self::TryCharset { .. } => "--yes".into(),
        }
    }

    /// Whether yes is right where no one can be asked, because the user has asked for it and nothing can go wrong.
    pub(crate) fn is_yes_unasked(&self) -> bool {
        matches!(self, Self::TrustCertificate { is_helper: true, .. })
    }
}

/// As whom ostler signs in for one direction of mail, fetching or sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// The user name, if the user has given one; otherwise it is made from [`Self::address`].
    pub(crate) username: Option<String>,
    /// The address that user names are made from. It differs from the account's if mail is sent through another
    /// company, or if the account is for another address of a mailbox.
    pub(crate) address: String,
    /// Where the password comes from; `None` is the keyring.
    pub(crate) source: Option<SecretSource>,
}

impl Identity {
    /// The user names to try at an endpoint; never empty.
    pub(crate) fn usernames(&self, endpoint: &Endpoint) -> Vec<String> {
        match &self.username {
            Some(name) => vec![name.clone()],
            None => endpoint.login.candidates(&self.address),
        }
    }

    fn likeliest_username(&self, endpoint: &Endpoint) -> String {
        self.usernames(endpoint).swap_remove(0)
    }

    fn credentials(&self, username: String) -> Credentials {
        let secret = self.source.clone().unwrap_or(SecretSource::Keyring);
        Credentials { username, secret, charset: PasswordCharset::default() }
    }
}

/// An account before it has been tried: the servers it could use, and what the user has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The mail address.
    pub(crate) address: String,
    /// Further addresses that it sends for.
    pub(crate) aliases: Vec<Alias>,
    /// The account's name, if it is not the address.
    pub(crate) name: Option<String>,
    /// The servers it could use, the likeliest first, and the rules that it has to keep there.
    pub(crate) proposal: Proposal,
    /// As whom mail is fetched.
    pub(crate) fetch_as: Identity,
    /// As whom mail is sent.
    pub(crate) send_as: Identity,
    /// Certificates to trust in addition to the system's.
    pub(crate) trust: NamedTrust,
    /// The company at which the user signs in, where the provider takes OAuth2 tokens and no password.
    pub(crate) oauth2: Option<Arc<Issuer>>,
    /// What the mail program can read, if mail has to be rewritten for it.
    pub(crate) readable: Option<Readable>,
}

impl Plan {
    /// Whether sending needs a password of its own.
    pub(crate) fn sends_elsewhere(&self) -> bool {
        self.send_as.address != self.fetch_as.address
            || self.send_as.username.is_some() && self.send_as.username != self.fetch_as.username
    }

    /// Whether sending takes an OAuth2 token, as fetching does.
    pub(crate) fn sends_with_token(&self) -> bool {
        self.oauth2.is_some() && !self.sends_elsewhere()
    }

    /// Whether the user has to sign in at a company, for tokens that ostler keeps.
    pub(crate) fn wants_sign_in(&self) -> bool {
        let is_kept = matches!(self.fetch_as.source, None | Some(SecretSource::Keyring));
        let has_servers = !self.proposal.incoming.is_empty() || !self.sends_elsewhere();
        self.oauth2.is_some() && is_kept && has_servers
    }

    /// For each domain or host that has letters beyond ASCII, a sentence with the form that ostler uses.
    pub(crate) fn notes_on_letters(&self) -> Vec<String> {
        let domain = |name: &str| name.rsplit_once('@').map_or(name, |(_, domain)| domain).to_owned();
        let Identity { username, address, .. } = &self.send_as;
        let people = [Some(&self.address), self.fetch_as.username.as_ref(), Some(address), username.as_ref()];
        let hosts = self.proposal.endpoints().map(|endpoint| &endpoint.host);
        let mut notes: Vec<String> = Vec::new();
        for name in people.into_iter().flatten().chain(hosts) {
            let ascii = domain(name);
            let Some(readable) = idn::readable(&ascii) else { continue };
            let note =
                format!("mail servers know {readable} as {ascii}, so that is what ostler looks up and signs in with");
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn server(&self, endpoint: &Endpoint, sign_in: SignIn) -> Server {
        endpoint.to_server(self.trust.at(endpoint), sign_in)
    }

    /// A server for fetching, by POP3 or IMAP, with this user name.
    pub(crate) fn incoming_server(&self, endpoint: &Endpoint, username: String) -> Server {
        let credentials = self.fetch_as.credentials(username);
        self.server(
            endpoint,
            if self.oauth2.is_some() { SignIn::OAuth2(credentials) } else { SignIn::Password(credentials) },
        )
    }

    /// The server for sending.
    pub(crate) fn outgoing_server(&self, endpoint: &Endpoint, auth: SendAuth<'_>) -> Server {
        let sign_in = match auth {
            SendAuth::Password(username) if self.sends_with_token() => {
                SignIn::OAuth2(self.send_as.credentials(username))
            }
            SendAuth::Password(username) => SignIn::Password(self.send_as.credentials(username)),
            SendAuth::AfterPop(login) => {
                SignIn::AfterPop(Arc::new(AfterPop { login: login.clone(), fresh: DEFAULT_FRESH }))
            }
            SendAuth::Nothing => SignIn::None,
        };
        self.server(endpoint, sign_in)
    }

    /// The account with one server for fetching or reading, to try it.
    pub(crate) fn account_at(&self, server: &Server) -> Account {
        match server.protocol {
            Protocol::Imap => Account { imap: Some(server.clone()), ..self.account(None, Vec::new()) },
            Protocol::Pop3 | Protocol::Smtp => self.account(Some(server.clone()), Vec::new()),
        }
    }

    /// A server for reading, whose password is the one for POP3, spelled like that.
    pub(crate) fn untried_imap(&self, endpoint: &Endpoint, charset: PasswordCharset) -> Server {
        let username = self.fetch_as.likeliest_username(endpoint);
        self.incoming_server(endpoint, username).with_password_charset(charset)
    }

    /// The account with these servers.
    pub(crate) fn account(&self, pop3: Option<Server>, smtp: Vec<Server>) -> Account {
        let charset = pop3.as_ref().map(Server::password_charset);
        let imap = self.proposal.imap.first().map(|endpoint| self.untried_imap(endpoint, charset.unwrap_or_default()));
        Account {
            name: self.name.clone().unwrap_or_else(|| self.address.clone()),
            address: self.address.clone(),
            aliases: self.aliases.clone(),
            provider: self.proposal.provider.clone(),
            is_default: false,
            offer_auth: true,
            read_ahead: true,
            oauth2: self.oauth2.clone(),
            local_password: None,
            readable: self.readable,
            mend: Repair::USUAL.to_vec(),
            folder: Folder::default(),
            pop3,
            smtp,
            imap,
            imap_connections: DEFAULT_IMAP_CONNECTIONS,
        }
    }

    /// The account with the servers that the proposal keeps behind the one for sending. They sign in as that one does.
    pub(crate) fn with_standby(&self, mut account: Account) -> Account {
        let Some(sign_in) = account.smtp.first().map(|server| server.sign_in.clone()) else { return account };
        for endpoint in &self.proposal.standby {
            let is_there = |server: &Server| server.host == endpoint.host && server.port == endpoint.port;
            if !account.smtp.iter().any(is_there) {
                account.smtp.push(self.server(endpoint, sign_in.clone()));
            }
        }
        account
    }

    /// The account with the likeliest servers and user names, none of them tried.
    pub(crate) fn untried(&self) -> Account {
        let Proposal { incoming, outgoing, gate, .. } = &self.proposal;
        let pop3 = incoming.first().map(|e| self.incoming_server(e, self.fetch_as.likeliest_username(e)));
        let smtp = outgoing.first().map(|e| {
            let auth = match &pop3 {
                Some(login) if *gate => SendAuth::AfterPop(login),
                _ => SendAuth::Password(self.send_as.likeliest_username(e)),
            };
            self.outgoing_server(e, auth)
        });
        self.with_standby(self.account(pop3, smtp.into_iter().collect()))
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
    /// Of the sign-in at the company that gives out tokens.
    pub(crate) tokens: Option<Arc<Tokens>>,
}

impl Secrets {
    /// The tokens as the keyring keeps them for this account; `None` if it takes none.
    pub(crate) fn tokens_for(&self, account: &Account) -> Option<Zeroizing<Vec<u8>>> {
        let (tokens, issuer) = (self.tokens.as_ref()?, account.oauth2.as_ref()?);
        Some(tokens.bound_to(Binding::of(account, issuer)).to_bytes())
    }

    /// The servers of the account whose password goes to the keyring, each with its secret.
    pub(crate) fn by_server<'a>(&self, account: &'a Account) -> Vec<(&'a Server, Arc<Secret>)> {
        keyring_servers(account)
            .into_iter()
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
    let security = Security::from_name(&security.to_ascii_lowercase()).ok_or(ALLOWED)?;
    let (host, port) = split_port(place.trim_end_matches('/')).ok_or(ALLOWED)?;
    let port = match port {
        None => protocol.default_port(security),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")?,
    };
    let host = crate::config::value::host(host).map_err(|why| format!("the host {why}; {ALLOWED}"))?;
    Ok(Endpoint::new(protocol, host, port, security))
}

/// Parses a server as typed: a full `SECURITY://HOST:PORT`, or a host and perhaps a port, which is tried with both kinds of
/// TLS. An empty text names none.
pub(crate) fn endpoints_from_text(protocol: Protocol, text: &str) -> Result<Vec<Endpoint>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.contains("://") {
        return endpoint_from_flag(protocol, text).map(|endpoint| vec![endpoint]);
    }
    let of = |text: String| endpoint_from_flag(protocol, &text);
    Ok(vec![of(format!("tls://{text}"))?, of(format!("starttls://{text}"))?])
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

    #[test]
    fn a_bare_name_is_tried_with_both_kinds_of_tls() {
        let ports = |text: &str| {
            endpoints_from_text(Protocol::Smtp, text).map(|all| all.iter().map(|e| e.port).collect::<Vec<_>>())
        };
        assert_eq!(ports("smtp.x.net"), Ok(vec![465, 587]));
        assert_eq!(ports("starttls://smtp.x.net:2525"), Ok(vec![2525]));
        assert_eq!(ports(""), Ok(vec![]));
        assert!(ports("a b").is_err());
    }
}
