//! Everything that can go wrong between a client and its mail, whose fault it is, and the words for it: one
//! sentence that says what happened and where, one that says what to do. No other file words a failure; `pop3/words.rs`
//! and `smtp/words.rs` make a reply of it.

use std::fmt;
use std::time::Duration;

use crate::account::{Protocol, Security, Server};
use crate::wire::CLIENT_REPLY;

/// A server as people name it, with what decides which advice fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What should be spoken there.
    pub protocol: Protocol,
    /// How it should be protected.
    pub security: Security,
}

impl From<&Server> for Place {
    fn from(server: &Server) -> Self {
        Self { host: server.host.clone(), port: server.port, protocol: server.protocol, security: server.security }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.host, self.port)
    }
}

/// What a server was expected to do when it failed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Take a TCP connection.
    Connect,
    /// Finish the TLS handshake.
    Tls,
    /// Say its greeting.
    Greeting,
    /// Say what it can do.
    Capabilities,
    /// Agree to start TLS.
    StartTls,
    /// Answer the sign-in.
    SignIn,
    /// Answer a command.
    Answer,
    /// Send or take the next part of a message.
    Message,
    /// Answer the end of a message.
    FinalDot,
}

impl Waiting {
    fn words(self) -> &'static str {
        match self {
            Self::Connect => "a connection",
            Self::Tls => "the TLS handshake",
            Self::Greeting => "its greeting",
            Self::Capabilities => "its list of abilities",
            Self::StartTls => "its agreement to start TLS",
            Self::SignIn => "its answer to the sign-in",
            Self::Answer => "its answer",
            Self::Message => "the next part of the message",
            Self::FinalDot => "its answer to the end of the message",
        }
    }
}

/// What is wrong with a certificate; the strings are printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Its time is over.
    Expired {
        /// The last moment it was good for.
        until: String,
    },
    /// Its time has not come.
    NotYetValid {
        /// The first moment it is good for.
        from: String,
    },
    /// It is for other hosts.
    WrongName {
        /// The names it is for; empty for a certificate with only an old-style common name.
        names: Vec<String>,
    },
    /// Nobody this computer trusts vouches for it.
    UnknownIssuer {
        /// Who does.
        issuer: String,
        /// Whether it vouches for itself.
        self_signed: bool,
    },
    /// It is not the one the settings pin.
    NotPinned {
        /// SHA-256 of the one shown, as hex.
        shown: String,
    },
    /// It was withdrawn.
    Revoked,
    /// Anything else, in the words of the TLS library.
    Other(String),
}

/// Why there is no secret to sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretTrouble {
    /// The keyring has none for this account and server.
    Missing,
    /// The keyring is locked and nobody opened it.
    KeyringLocked,
    /// There is no keyring to ask.
    NoKeyring,
    /// The source in the settings failed; how, without any secret.
    Source(String),
    /// The client's own password is to be passed on, and the client gave none.
    ClientGaveNone,
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name does not exist.
    NameNotFound {
        /// The server.
        at: Place,
    },
    /// Names cannot be looked up now.
    NoNameService {
        /// The server.
        at: Place,
    },
    /// The host is there and refuses the connection.
    NobodyListens {
        /// The server.
        at: Place,
    },
    /// There is no way to the host.
    NetworkGone {
        /// The server.
        at: Place,
        /// The system's words.
        reason: String,
    },
    /// It did not do in time what it should.
    TimedOut {
        /// The server.
        at: Place,
        /// What it should have done.
        waiting: Waiting,
        /// How long ostler waited.
        after: Duration,
    },
    /// It closed or reset the connection.
    Lost {
        /// The server.
        at: Place,
        /// What it should have done instead.
        waiting: Waiting,
    },
    /// It answers, but not with TLS.
    NotTls {
        /// The server.
        at: Place,
    },
    /// Its certificate is not good enough.
    Certificate {
        /// The server.
        at: Place,
        /// Why.
        problem: CertificateProblem,
    },
    /// It has no TLS 1.2 or 1.3.
    TlsTooOld {
        /// The server.
        at: Place,
    },
    /// Any other TLS failure.
    Tls {
        /// The server.
        at: Place,
        /// The TLS library's words.
        reason: String,
    },
    /// STLS or STARTTLS is not offered or refused.
    NoStartTls {
        /// The server.
        at: Place,
    },
    /// It sent more than its agreement before TLS began, so somebody may be meddling.
    Injected {
        /// The server.
        at: Place,
    },
    /// It speaks another protocol.
    WrongProtocol {
        /// The server.
        at: Place,
        /// Its first words.
        said: String,
    },
    /// It broke the rules of its protocol.
    ProtocolViolation {
        /// The server.
        at: Place,
        /// How.
        what: String,
    },
    /// It refused service before any sign-in, or for now.
    ServiceRefused {
        /// The server.
        at: Place,
        /// Its words.
        said: String,
    },
    /// It refused the user name or the password.
    SignInRefused {
        /// The server.
        at: Place,
        /// The user name.
        user: String,
        /// Its words.
        said: String,
    },
    /// It offers no way to sign in that ostler has.
    SignInDisabled {
        /// The server.
        at: Place,
        /// What it offers instead, if anything.
        offered: String,
    },
    /// Another session has the mailbox.
    InUse {
        /// The server.
        at: Place,
        /// Its words.
        said: String,
    },
    /// It wants some time between two logins.
    LoginDelay {
        /// The server.
        at: Place,
        /// Its words.
        said: String,
    },
    /// It cannot sign anybody in just now.
    SignInPostponed {
        /// The server.
        at: Place,
        /// Its words.
        said: String,
    },
    /// The message is bigger than the server takes.
    TooBig {
        /// The server.
        at: Place,
        /// Octets of the message.
        size: u64,
        /// Octets it takes.
        limit: u64,
    },
    /// There is no secret.
    Secret {
        /// The account's name.
        account: String,
        /// The server it is for; none for the account's local password.
        at: Option<Place>,
        /// Why.
        trouble: SecretTrouble,
    },
    /// The settings ask for something this version does not have.
    NotInThisVersion {
        /// The server.
        at: Place,
        /// What.
        what: &'static str,
    },
    /// A file with trusted certificates cannot be used.
    BadTrust {
        /// What is wrong with which file.
        what: String,
    },
    /// The user name belongs to no account.
    UnknownAccount {
        /// What the client gave.
        given: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The sender belongs to no account.
    UnknownSender {
        /// What the client gave.
        given: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The account has no server of this protocol.
    NoServer {
        /// The account's name.
        account: String,
        /// The protocol.
        protocol: Protocol,
    },
    /// ostler ends before the provider has answered.
    Stopping,
    /// A defect in ostler.
    Internal,
}

/// Whose turn it is to do something, for notices and exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nobody can do more than wait: network, provider out of order.
    Passing,
    /// The user has to act: a refused sign-in, a certificate, settings.
    User,
}

impl Failure {
    /// What happened and where; one sentence of printable ASCII without a full stop.
    pub fn sentence(&self) -> String {
        // Names a client gave and words a server said are in it.
        ascii(&self.words())
    }

    fn words(&self) -> String {
        match self {
            Self::NameNotFound { at } => format!("there is no server named {}", at.host),
            Self::NoNameService { at } => format!("the name {} could not be looked up just now", at.host),
            Self::NobodyListens { at } => format!("{} is there but nobody listens on port {}", at.host, at.port),
            Self::NetworkGone { at, reason } => format!("there is no way to {at} ({reason})"),
            Self::TimedOut { at, waiting, after } => {
                format!("{at} did not answer in time: {} passed while waiting for {}", seconds(*after), waiting.words())
            }
            Self::Lost { at, waiting } => format!("{at} closed the connection instead of {}", waiting.words()),
            Self::NotTls { at } => format!("{at} does not speak TLS"),
            Self::Certificate { at, problem } => certificate_sentence(&at.host, problem),
            Self::TlsTooOld { at } => format!("{at} has no modern TLS: neither 1.2 nor 1.3 with a safe cipher"),
            Self::Tls { at, reason } => format!("TLS with {at} failed: {reason}"),
            Self::NoStartTls { at } => format!("{at} does not offer {}", start_tls(at.protocol)),
            Self::Injected { at } => {
                format!("{at} sent more than its answer to {}, as an attacker would", start_tls(at.protocol))
            }
            Self::WrongProtocol { at, said } => {
                format!("{at} does not speak {}: it says \"{said}\"", spoken(at.protocol))
            }
            Self::ProtocolViolation { at, what } => format!("{at} broke the rules of {}: {what}", spoken(at.protocol)),
            Self::ServiceRefused { at, said } => format!("{} refuses service: {said}", at.host),
            Self::SignInRefused { at, user, said } => {
                format!("{} refused the sign-in of {user}: {}", at.host, or_silence(said))
            }
            Self::SignInDisabled { at, offered } if offered.is_empty() => format!("{at} offers no way to sign in"),
            Self::SignInDisabled { at, offered } => {
                format!("{at} offers no way to sign in that ostler has, only {offered}")
            }
            Self::InUse { at, said } => format!("the mailbox at {} is in use by another session: {said}", at.host),
            Self::LoginDelay { at, said } => format!("{} wants more time between two logins: {said}", at.host),
            Self::SignInPostponed { at, said } => format!("{} cannot sign you in just now: {said}", at.host),
            Self::TooBig { at, size, limit } => {
                format!(
                    "this message of {} is too big: {} takes {} at most",
                    megabytes(*size),
                    at.host,
                    megabytes(*limit)
                )
            }
            Self::Secret { account, at, trouble } => secret_sentence(account, at.as_ref(), trouble),
            Self::NotInThisVersion { at, what } => {
                format!("this ostler cannot use {what} yet, which the settings ask for at {}", at.host)
            }
            Self::BadTrust { what } => what.clone(),
            Self::UnknownAccount { given, known } => no_such(format!("account \"{given}\""), known),
            Self::UnknownSender { given, known } if given.is_empty() => {
                no_such("account for mail without a sender".into(), known)
            }
            Self::UnknownSender { given, known } => no_such(format!("account that sends as {given}"), known),
            Self::NoServer { account, protocol } => format!("account {account} has no {} server", spoken(*protocol)),
            Self::Stopping => "ostler is about to end".into(),
            Self::Internal => "ostler made a mistake of its own and ended this session".into(),
        }
    }

    /// What to do about it; printable ASCII without a full stop.
    pub fn advice(&self) -> String {
        match self {
            Self::NameNotFound { .. } => {
                "check the spelling of host in the settings, and that this computer is online".into()
            }
            Self::NoNameService { .. } => "check that this computer is online, then try again".into(),
            Self::NobodyListens { at } => format!(
                "check port and security in the settings; usual for {} is {}",
                spoken(at.protocol),
                at.protocol.default_port(at.security)
            ),
            Self::NetworkGone { .. } => "check that this computer is online, then try again".into(),
            Self::TimedOut { at, waiting: Waiting::Greeting, .. } if at.security != Security::Tls => {
                "try again; if it stays so, this port may want security = \"tls\"".into()
            }
            Self::TimedOut { waiting: Waiting::Connect, .. } => {
                "try again; if it stays so, a firewall may be in the way or the port is wrong".into()
            }
            Self::TimedOut { .. } | Self::Lost { .. } => "try again later".into(),
            Self::NotTls { at } => format!(
                "this port may want security = \"starttls\"; with \"tls\" the usual port is {}",
                at.protocol.default_port(Security::Tls)
            ),
            Self::Certificate { problem, .. } => certificate_advice(problem).into(),
            Self::TlsTooOld { .. } => "ask the provider for a newer server; ostler never uses less".into(),
            Self::Tls { .. } => "try again; if it stays so, run ostler check".into(),
            Self::NoStartTls { at } => format!(
                "nothing was sent in clear; try security = \"tls\" on port {}",
                at.protocol.default_port(Security::Tls)
            ),
            Self::Injected { .. } => "nothing was sent; try another network, and tell the provider".into(),
            Self::WrongProtocol { .. } => "check host and port in the settings".into(),
            Self::ProtocolViolation { .. } => "try again; if it stays so, tell the provider".into(),
            Self::ServiceRefused { .. } | Self::SignInPostponed { .. } => "try again later".into(),
            Self::SignInRefused { .. } => {
                "check user name and password (some providers want an app password): ostler password sets a new one"
                    .into()
            }
            Self::SignInDisabled { at, .. } if at.security == Security::None => {
                "it may want TLS first: set security = \"starttls\" or \"tls\"".into()
            }
            Self::SignInDisabled { .. } => "check host and port, or set auth to what this server wants".into(),
            Self::InUse { .. } => "wait until the other session has ended, then try again".into(),
            Self::LoginDelay { .. } => "wait a minute, then try again".into(),
            Self::TooBig { .. } => "send it in parts, or smaller".into(),
            Self::Secret { account, trouble, .. } => secret_advice(account, trouble),
            Self::NotInThisVersion { .. } => "use an app password if the provider has them".into(),
            Self::BadTrust { .. } => "put the path of a PEM file there, or take ca out of the settings".into(),
            Self::UnknownAccount { known, .. } | Self::UnknownSender { known, .. } if known.is_empty() => {
                "add one: ostler add ADDRESS".into()
            }
            Self::UnknownAccount { .. } => "give one of these as user name in your mail program".into(),
            Self::UnknownSender { .. } => {
                "add the address to aliases, or mark an account as default, in ostler's settings".into()
            }
            Self::NoServer { protocol, .. } => {
                format!("write [account.{}] into ostler's settings file", protocol.name())
            }
            Self::Stopping => "try again when it runs again".into(),
            Self::Internal => "please report it; other sessions go on".into(),
        }
    }

    /// Whether the user has to do something about it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Certificate { .. }
            | Self::TlsTooOld { .. }
            | Self::NotTls { .. }
            | Self::NoStartTls { .. }
            | Self::Injected { .. }
            | Self::WrongProtocol { .. }
            | Self::SignInRefused { .. }
            | Self::SignInDisabled { .. }
            | Self::TooBig { .. }
            | Self::Secret { .. }
            | Self::NotInThisVersion { .. }
            | Self::BadTrust { .. }
            | Self::UnknownAccount { .. }
            | Self::UnknownSender { .. }
            | Self::NoServer { .. }
            | Self::Internal => Blame::User,
            Self::Stopping
            | Self::NameNotFound { .. }
            | Self::NoNameService { .. }
            | Self::NobodyListens { .. }
            | Self::NetworkGone { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::Tls { .. }
            | Self::ProtocolViolation { .. }
            | Self::ServiceRefused { .. }
            | Self::InUse { .. }
            | Self::LoginDelay { .. }
            | Self::SignInPostponed { .. } => Blame::Passing,
        }
    }

    /// The server it is about, if it is about one.
    pub fn at(&self) -> Option<&Place> {
        match self {
            Self::NameNotFound { at }
            | Self::NoNameService { at }
            | Self::NobodyListens { at }
            | Self::NetworkGone { at, .. }
            | Self::TimedOut { at, .. }
            | Self::Lost { at, .. }
            | Self::NotTls { at }
            | Self::Certificate { at, .. }
            | Self::TlsTooOld { at }
            | Self::Tls { at, .. }
            | Self::NoStartTls { at }
            | Self::Injected { at }
            | Self::WrongProtocol { at, .. }
            | Self::ProtocolViolation { at, .. }
            | Self::ServiceRefused { at, .. }
            | Self::SignInRefused { at, .. }
            | Self::SignInDisabled { at, .. }
            | Self::InUse { at, .. }
            | Self::LoginDelay { at, .. }
            | Self::SignInPostponed { at, .. }
            | Self::TooBig { at, .. }
            | Self::NotInThisVersion { at, .. } => Some(at),
            Self::Secret { at, .. } => at.as_ref(),
            Self::BadTrust { .. }
            | Self::UnknownAccount { .. }
            | Self::UnknownSender { .. }
            | Self::NoServer { .. }
            | Self::Stopping
            | Self::Internal => None,
        }
    }

    /// Whether another server of the same account may be tried: this one cannot be reached. A server that answers,
    /// whatever it says, is reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NameNotFound { .. }
                | Self::NoNameService { .. }
                | Self::NobodyListens { .. }
                | Self::NetworkGone { .. }
                | Self::TimedOut { waiting: Waiting::Connect | Waiting::Tls | Waiting::Greeting, .. }
                | Self::Lost { waiting: Waiting::Connect | Waiting::Tls | Waiting::Greeting, .. }
        )
    }
}

impl fmt::Display for Failure {
    /// Sentence and advice, for the log and for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.sentence(), self.advice())
    }
}

impl std::error::Error for Failure {}

/// Prefix, sentence, advice and suffix in one line of ASCII that any client takes. When space is short the provider's
/// words lose first, the advice last.
pub(crate) fn fit(prefix: &str, sentence: &str, advice: &str, suffix: &str) -> String {
    let space = (CLIENT_REPLY - 2).saturating_sub(prefix.len() + suffix.len() + advice.len() + 2);
    let sentence: String = ascii(sentence).chars().take(space).collect();
    format!("{prefix}{sentence}; {}{suffix}", ascii(advice))
}

/// A reply of ostler's own words, cut to what a client takes in one line.
pub fn one_line(text: &str) -> String {
    ascii(text).chars().take(CLIENT_REPLY - 2).collect()
}

/// A text for people on one line: whatever could steer a terminal is a question mark.
pub fn without_control(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

fn seconds(time: Duration) -> String {
    if time.as_millis().is_multiple_of(1000) {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

fn megabytes(octets: u64) -> String {
    if octets < 1_000_000 {
        format!("{} KB", octets.div_ceil(1000))
    } else {
        format!("{}.{} MB", octets / 1_000_000, octets / 100_000 % 10)
    }
}

/// A protocol's name in running text.
pub fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "POP3",
        Protocol::Smtp => "SMTP",
        Protocol::Imap => "IMAP",
    }
}

fn start_tls(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "STLS",
        Protocol::Smtp | Protocol::Imap => "STARTTLS",
    }
}

fn or_silence(said: &str) -> &str {
    if said.is_empty() { "(it gave no reason)" } else { said }
}

/// "ostler has no account "joe"; it has: home, work", with as many names as fit half a line.
fn no_such(what: String, known: &[String]) -> String {
    let what: String = what.chars().take(150).collect();
    if known.is_empty() {
        return "ostler has no account yet".into();
    }
    let mut names = String::new();
    for (n, name) in known.iter().enumerate() {
        if names.len() + name.len() > 200 {
            names += &format!(" and {} more", known.len() - n);
            break;
        }
        if n > 0 {
            names += ", ";
        }
        names += name;
    }
    format!("ostler has no {what}; it has: {names}")
}

fn certificate_sentence(host: &str, problem: &CertificateProblem) -> String {
    match problem {
        CertificateProblem::Expired { until } => format!("the certificate of {host} has expired on {until}"),
        CertificateProblem::NotYetValid { from } => format!("the certificate of {host} is not valid before {from}"),
        CertificateProblem::WrongName { names } if names.is_empty() => {
            format!("the certificate of {host} names no host at all")
        }
        CertificateProblem::WrongName { names } => {
            let shown: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
            format!("the certificate shown for {host} is for another name: {}", shown.join(", "))
        }
        CertificateProblem::UnknownIssuer { self_signed: true, .. } => {
            format!("the certificate of {host} is vouched for by nobody but itself")
        }
        CertificateProblem::UnknownIssuer { issuer, .. } => {
            format!("the certificate of {host} comes from an issuer this computer does not know: {issuer}")
        }
        CertificateProblem::NotPinned { shown } => {
            format!("the certificate of {host} is not the pinned one; it is sha256:{shown}")
        }
        CertificateProblem::Revoked => format!("the certificate of {host} was withdrawn"),
        CertificateProblem::Other(reason) => format!("the certificate of {host} is not good: {reason}"),
    }
}

fn certificate_advice(problem: &CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::Expired { .. } => "check this computer's date; else the provider must renew it",
        CertificateProblem::NotYetValid { .. } => "check this computer's date",
        CertificateProblem::WrongName { .. } => {
            "use the host name the provider gives for TLS; a hotel network may also be answering in its place"
        }
        CertificateProblem::UnknownIssuer { .. } => {
            "a hotel network or virus scanner may be answering in its place; a private server's authority can be named with ca, its certificate with pin"
        }
        CertificateProblem::NotPinned { .. } => "ask whoever runs the server whether it was replaced, then change pin",
        CertificateProblem::Revoked | CertificateProblem::Other(_) => "tell the provider",
    }
}

fn secret_sentence(account: &str, at: Option<&Place>, trouble: &SecretTrouble) -> String {
    let whose = at.map_or_else(|| format!("account {account}"), |at| format!("account {account} at {}", at.host));
    match trouble {
        SecretTrouble::Missing => format!("the keyring holds nothing to sign in with for {whose}"),
        SecretTrouble::KeyringLocked => format!("the keyring is locked and nothing can be had for {whose}"),
        SecretTrouble::NoKeyring => format!("there is no keyring to ask for {whose}"),
        SecretTrouble::Source(how) => format!("nothing to sign in with for {whose}: {how}"),
        SecretTrouble::ClientGaveNone => {
            format!("{whose} signs in with what your mail program gives, and it gave nothing")
        }
    }
}

fn secret_advice(account: &str, trouble: &SecretTrouble) -> String {
    match trouble {
        SecretTrouble::Missing => format!("run: ostler password {}", as_word(account)),
        SecretTrouble::KeyringLocked => "unlock the keyring (log in to the desktop), then try again".into(),
        SecretTrouble::NoKeyring => "log in to a desktop with one, or name a command or file in the settings".into(),
        SecretTrouble::Source(_) => "correct it in the settings".into(),
        SecretTrouble::ClientGaveNone => "tick \"my server requires authentication\" there, or fetch mail first".into(),
    }
}

/// A name as one word of a command line.
pub fn as_word(name: &str) -> String {
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._-+".contains(&b));
    if is_word { name.to_owned() } else { format!("\"{name}\"") }
}

/// Eudora 4 throws its own password away when it finds this word in any refusal.
/// The error and each of its causes, on one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(protocol: Protocol) -> Place {
        Place { host: "mail.example.net".into(), port: 995, protocol, security: Security::Tls }
    }

    #[test]
    fn each_failure_has_its_own_words() {
        let pop = || at(Protocol::Pop3);
        let said = || String::from("-ERR no");
        let certificate = |problem| Failure::Certificate { at: pop(), problem };
        let secret = |trouble| Failure::Secret { account: "home".into(), at: Some(pop()), trouble };
        for (failure, words) in [
            (Failure::NameNotFound { at: pop() }, "there is no server named mail.example.net"),
            (Failure::NoNameService { at: pop() }, "the name mail.example.net could not be looked up just now"),
            (Failure::NobodyListens { at: pop() }, "mail.example.net is there but nobody listens on port 995"),
            (
                Failure::TimedOut { at: pop(), waiting: Waiting::Greeting, after: Duration::from_secs(30) },
                "mail.example.net port 995 did not answer in time: 30 s passed while waiting for its greeting",
            ),
            (
                Failure::NetworkGone { at: pop(), reason: "network is unreachable".into() },
                "there is no way to mail.example.net port 995 (network is unreachable)",
            ),
            (
                Failure::Lost { at: pop(), waiting: Waiting::SignIn },
                "mail.example.net port 995 closed the connection instead of its answer to the sign-in",
            ),
            (Failure::NotTls { at: pop() }, "mail.example.net port 995 does not speak TLS"),
            (
                certificate(CertificateProblem::Expired { until: "2024-01-31 12:00 UTC".into() }),
                "the certificate of mail.example.net has expired on 2024-01-31 12:00 UTC",
            ),
            (
                certificate(CertificateProblem::WrongName { names: vec!["a.example".into(), "b.example".into()] }),
                "the certificate shown for mail.example.net is for another name: a.example, b.example",
            ),
            (
                certificate(CertificateProblem::UnknownIssuer { issuer: "CN=Hotel".into(), self_signed: false }),
                "the certificate of mail.example.net comes from an issuer this computer does not know: CN=Hotel",
            ),
            (
                Failure::TlsTooOld { at: pop() },
                "mail.example.net port 995 has no modern TLS: neither 1.2 nor 1.3 with a safe cipher",
            ),
            (Failure::NoStartTls { at: pop() }, "mail.example.net port 995 does not offer STLS"),
            (Failure::NoStartTls { at: at(Protocol::Smtp) }, "mail.example.net port 995 does not offer STARTTLS"),
            (
                Failure::SignInRefused { at: pop(), user: "ann".into(), said: said() },
                "mail.example.net refused the sign-in of ann: -ERR no",
            ),
            (
                Failure::SignInDisabled { at: pop(), offered: String::new() },
                "mail.example.net port 995 offers no way to sign in",
            ),
            (
                Failure::InUse { at: pop(), said: said() },
                "the mailbox at mail.example.net is in use by another session: -ERR no",
            ),
            (
                Failure::TooBig { at: pop(), size: 30_500_000, limit: 25_000_000 },
                "this message of 30.5 MB is too big: mail.example.net takes 25.0 MB at most",
            ),
            (
                secret(SecretTrouble::KeyringLocked),
                "the keyring is locked and nothing can be had for account home at mail.example.net",
            ),
            (secret(SecretTrouble::NoKeyring), "there is no keyring to ask for account home at mail.example.net"),
            (
                secret(SecretTrouble::Missing),
                "the keyring holds nothing to sign in with for account home at mail.example.net",
            ),
            (
                Failure::UnknownAccount { given: "joe".into(), known: vec!["home".into(), "work".into()] },
                "ostler has no account \"joe\"; it has: home, work",
            ),
            (
                Failure::UnknownSender { given: "joe@x.example".into(), known: vec!["home".into()] },
                "ostler has no account that sends as joe@x.example; it has: home",
            ),
            (Failure::UnknownSender { given: "joe@x.example".into(), known: vec![] }, "ostler has no account yet"),
        ] {
            assert_eq!(failure.sentence(), words);
            assert!(!failure.advice().is_empty());
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal_that_shows_the_log() {
        let failure = Failure::UnknownAccount { given: "\u{1b}[2J\u{9b}m".into(), known: vec!["home".into()] };
        assert_eq!(failure.sentence(), "ostler has no account \"?[2J?m\"; it has: home");
    }
}
