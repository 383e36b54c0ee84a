//! Everything that can go wrong between a client and its mail, and whose turn it is to do something about it. A failure
//! says in one sentence what happened and where (`failure/sentence.rs`), and in another what to do (`failure/advice.rs`).
//!
//! Not here: the reply a client gets for a failure (`pop3/words.rs`, `smtp/words.rs`).

mod advice;
mod sentence;
mod text;

use std::fmt;
use std::time::Duration;

use crate::account::{Protocol, Security, Server};

pub(crate) use text::fit;
pub use text::{as_word, one_line, spoken, without_control};

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
    /// What happened and where: one sentence of printable ASCII without a full stop.
    pub fn sentence(&self) -> String {
        // It quotes names that a client gave and replies of a server, which may hold anything.
        text::ascii(&sentence::sentence(self))
    }

    /// What to do about it: printable ASCII without a full stop.
    pub fn advice(&self) -> String {
        advice::advice(self)
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
mod tests;
