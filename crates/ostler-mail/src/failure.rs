//! Everything that can go wrong between a client and its mail, and who has to do something about it. A failure
//! says in one sentence what happened and where (`failure/sentence.rs`), and in another what to do (`failure/advice.rs`),
//! which for a provider's refusal depends on its words (`failure/known_words.rs`).
//!
//! Not here: the reply a client gets for a failure (`words.rs` of each protocol).

mod advice;
mod command;
pub mod known_words;
mod sentence;
mod text;
pub mod wording;

use std::fmt;
use std::time::Duration;

use crate::account::{Protocol, SecretSource, Security, Server};
use known_words::{KnownWords, Stage};

pub use command::{COMMANDS, repeat_option};
pub(crate) use text::fit;
pub use text::{as_word, one_line, spoken, without_control};

/// A server as people name it, with the settings that decide which advice fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddr {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The protocol the settings expect there.
    pub protocol: Protocol,
    /// How the settings want the connection protected.
    pub security: Security,
    /// Where the password for it comes from.
    pub password_from: PasswordFrom,
}

/// Where the password for a server comes from, and so where people set it right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordFrom {
    /// The keyring; or there is no password.
    #[default]
    Keyring,
    /// The mail program.
    MailProgram,
    /// A command that the settings name.
    Command,
    /// A file that the settings name.
    File,
    /// A variable that the settings name.
    Variable,
}

impl From<&SecretSource> for PasswordFrom {
    fn from(source: &SecretSource) -> Self {
        match source {
            SecretSource::Keyring => Self::Keyring,
            SecretSource::Client => Self::MailProgram,
            SecretSource::Command(_) => Self::Command,
            SecretSource::File(_) => Self::File,
            SecretSource::Env(_) => Self::Variable,
        }
    }
}

impl ServerAddr {
    /// The server broke the rules of its protocol; `what` says how.
    pub fn violation(&self, what: impl Into<String>) -> Failure {
        Failure::ProtocolViolation { at: self.clone(), what: what.into() }
    }
}

impl From<&Server> for ServerAddr {
    fn from(server: &Server) -> Self {
        let password_from = server.credentials().map(|credentials| PasswordFrom::from(&credentials.secret));
        Self {
            host: server.host.clone(),
            port: server.port,
            protocol: server.protocol,
            security: server.security,
            password_from: password_from.unwrap_or_default(),
        }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.host, self.port)
    }
}

/// What ostler was waiting for when a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The TCP connection.
    Connect,
    /// The end of the TLS handshake.
    Tls,
    /// The greeting.
    Greeting,
    /// The answer to CAPA or EHLO.
    Capabilities,
    /// The answer to STLS or STARTTLS.
    StartTls,
    /// The answer to a step of the sign-in.
    SignIn,
    /// The answer to any other command.
    Answer,
    /// The next part of a message: the server has to send it or to take it.
    Message,
    /// The answer to the end of a message.
    FinalDot,
    /// The answers that messages are deleted.
    Deletion,
}

/// What is wrong with a certificate. The strings are printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// The certificate has expired.
    Expired {
        /// The end of its validity.
        until: String,
    },
    /// The certificate is not valid yet; often the computer's clock is wrong.
    NotYetValid {
        /// The beginning of its validity.
        from: String,
    },
    /// The certificate is for other hosts.
    WrongName {
        /// The names in it. Empty if it has only a common name, as old certificates have.
        names: Vec<String>,
    },
    /// This computer does not trust the issuer.
    UnknownIssuer {
        /// The issuer's name.
        issuer: String,
        /// The certificate is its own issuer.
        self_signed: bool,
    },
    /// The certificates that the server shows end before an authority: that of this issuer is not among them, and this
    /// computer does not have it either. Programs that look up missing certificates (web browsers do) hide this mistake
    /// from providers.
    MissingLink {
        /// The name of the issuer whose certificate is missing.
        issuer: String,
    },
    /// The settings pin another certificate.
    NotPinned {
        /// The SHA-256 digest of the one the server shows.
        shown: [u8; 32],
    },
    /// The issuer has revoked the certificate.
    Revoked,
    /// The certificate is of X.509 version 1.
    OldKind,
    /// The certificate's key is too short.
    ShortKey {
        /// The length of the key.
        bits: usize,
        /// The shortest key that is accepted.
        least: usize,
    },
    /// The certificate is for an authority, which no server is.
    MarkedAsAuthority,
    /// The certificate is in date, and one between it and its authority has expired.
    IssuerExpired {
        /// The name in the expired one.
        issuer: String,
        /// The end of its validity.
        until: String,
    },
    /// Any other reason, in the words of the TLS library.
    Other(String),
}

/// What the file that `ca` names has to do with a refused certificate. Advice goes by it, so that it never tells users to do
/// what they have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaFile {
    /// The settings name no file, or a pin decides.
    Unset,
    /// There is a file, and this certificate is not in it.
    HasOthers,
    /// The file has this very certificate, and something else is wrong with it.
    HasIt,
}

/// What is wrong with the ids that a POP3 server gives to its messages (UIDL), so that mail programs stop there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdProblem {
    /// A message has none.
    Missing {
        /// The number of the message.
        message: u64,
    },
    /// Two messages have the same.
    Same {
        /// The first of them.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// An id is longer than 70 octets.
    TooLong {
        /// The number of the message.
        message: u64,
        /// The length of its id.
        octets: usize,
    },
    /// An id has a blank in it, or something else outside 0x21 to 0x7E.
    BadOctet {
        /// The number of the message.
        message: u64,
    },
    /// The list has a message twice.
    ListedTwice {
        /// The number of the message.
        message: u64,
    },
    /// The list has fewer messages than there are.
    Unlisted {
        /// The first message that is not in it.
        message: u64,
        /// How many are in it.
        listed: u64,
        /// How many there are by STAT.
        counted: u64,
    },
    /// The list has more messages than there are.
    TooMany {
        /// How many there are by STAT.
        counted: u64,
    },
    /// A line of the list does not begin with the number of a message.
    NoNumber {
        /// The line, cut.
        line: String,
    },
    /// The server gives no list.
    Refused {
        /// The server's reply.
        said: String,
    },
}

/// Why messages were not deleted that a mail program has deleted by POP3, in a folder of an IMAP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDeleted {
    /// Other messages are marked as deleted too, and this server can only remove all that are.
    OthersMarked,
    /// The folder may only be read.
    ReadOnly,
    /// The server has put another folder in its place (UIDVALIDITY), so the messages cannot be named.
    FolderReplaced,
    /// The server refuses; its words.
    Refused(String),
}

impl NotDeleted {
    /// The same, with the server's words changed.
    pub(crate) fn map_words(self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Refused(said) => Self::Refused(change(&said)),
            other @ (Self::OthersMarked | Self::ReadOnly | Self::FolderReplaced) => other,
        }
    }
}

/// What a server may have done or not, when a connection is lost before the answer to a command. Harmless commands are none of
/// these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecided {
    /// Some other change in the mailbox.
    Change,
    /// Messages are copied to another folder.
    Copy,
    /// A message of the client's is stored.
    Store,
}

/// Why there is no secret to sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretTrouble {
    /// The keyring, or what stands in for it and is named here, has no secret for this account and server.
    Missing(String),
    /// The keyring is locked, and the user did not unlock it.
    KeyringLocked,
    /// This system has no keyring, or none that runs.
    NoKeyring,
    /// The folder that stands in for the keyring cannot be used. The text names it and says why.
    NoFolder(String),
    /// The command, file or variable that the settings name failed. The text says how, without any secret.
    Source(String),
    /// The settings pass the client's own password on, and the client gave none.
    ClientGaveNone,
}

/// One thing that went wrong. `at` is the server it went wrong at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The DNS has no such name.
    NameNotFound {
        /// The server.
        at: ServerAddr,
    },
    /// The DNS does not answer.
    NoNameService {
        /// The server.
        at: ServerAddr,
    },
    /// The server was not found or not reached because this computer has no way to the internet. Only a second look tells
    /// this from [`NameNotFound`](Self::NameNotFound) and its like; see `proxy/net/online.rs`.
    NotConnected {
        /// The server.
        at: ServerAddr,
    },
    /// The host refuses the connection: no program listens on the port.
    NobodyListens {
        /// The server.
        at: ServerAddr,
    },
    /// The host cannot be reached.
    NetworkGone {
        /// The server.
        at: ServerAddr,
        /// The system's reason.
        reason: String,
    },
    /// The server did not answer in time.
    TimedOut {
        /// The server.
        at: ServerAddr,
        /// What was awaited.
        waiting: Waiting,
        /// How long ostler waited.
        after: Duration,
    },
    /// The server closed or reset the connection.
    Lost {
        /// The server.
        at: ServerAddr,
        /// What was awaited.
        waiting: Waiting,
    },
    /// The server answers a TLS handshake with something else.
    NotTls {
        /// The server.
        at: ServerAddr,
    },
    /// The server's certificate does not prove who it is.
    Certificate {
        /// The server.
        at: ServerAddr,
        /// What is wrong with it.
        problem: CertificateProblem,
        /// What the file that `ca` names has to do with it.
        ca: CaFile,
    },
    /// The server has neither TLS 1.2 nor TLS 1.3.
    TlsTooOld {
        /// The server.
        at: ServerAddr,
    },
    /// Any other TLS failure.
    Tls {
        /// The server.
        at: ServerAddr,
        /// The TLS library's reason.
        reason: String,
    },
    /// The server does not offer STLS or STARTTLS, or refuses it. ostler never goes on in clear.
    NoStartTls {
        /// The server.
        at: ServerAddr,
    },
    /// Octets followed the answer to STLS or STARTTLS before TLS began: an attacker may have injected them, to have them
    /// taken for the server's words inside TLS.
    Injected {
        /// The server.
        at: ServerAddr,
    },
    /// The server speaks another protocol.
    WrongProtocol {
        /// The server.
        at: ServerAddr,
        /// The first line it sent.
        said: String,
    },
    /// The server broke the rules of its protocol.
    ProtocolViolation {
        /// The server.
        at: ServerAddr,
        /// How it did.
        what: String,
    },
    /// The server refuses service to everyone, or to this computer.
    ServiceRefused {
        /// The server.
        at: ServerAddr,
        /// The server's reply.
        said: String,
    },
    /// The server refused the user name or the password.
    SignInRefused {
        /// The server.
        at: ServerAddr,
        /// The user name.
        user: String,
        /// The server's reply.
        said: String,
        /// The password has letters beyond ASCII, which the server may want in another charset.
        beyond_ascii: bool,
    },
    /// The server refused the access token (OAuth2), a fresh one too if ostler renews it.
    TokenRefused {
        /// The server.
        at: ServerAddr,
        /// The user name.
        user: String,
        /// The server's reply, and the reason that it gave before.
        said: String,
    },
    /// The user has to sign in at the company that gives out access tokens, again or for the first time.
    NeedsSignIn {
        /// The account's name.
        account: String,
        /// The server that the token is for.
        at: ServerAddr,
        /// Why, without a full stop.
        why: String,
    },
    /// There is no access token just now: ostler did not reach the company that gives them out, or the company is in trouble.
    NoToken {
        /// The account's name.
        account: String,
        /// The server that the token is for.
        at: ServerAddr,
        /// What happened, and where.
        why: String,
    },
    /// The server offers no way to sign in that ostler has.
    SignInDisabled {
        /// The server.
        at: ServerAddr,
        /// What it offers instead; may be empty.
        offered: String,
    },
    /// The server refuses every way of signing in that it offers and ostler has. It has not judged the password.
    MechanismRefused {
        /// The server.
        at: ServerAddr,
        /// The names of the ways that were tried, in order.
        tried: String,
        /// The server's reply to the last one.
        said: String,
    },
    /// Another session has the mailbox (RFC 2449, section 8.1.2).
    InUse {
        /// The server.
        at: ServerAddr,
        /// The server's reply.
        said: String,
    },
    /// The last login was too recent (RFC 2449, section 8.1.1).
    LoginDelay {
        /// The server.
        at: ServerAddr,
        /// The server's reply.
        said: String,
    },
    /// The server cannot sign anyone in just now.
    SignInPostponed {
        /// The server.
        at: ServerAddr,
        /// The server's reply.
        said: String,
    },
    /// All connections that the settings allow at the server are in use (IMAP).
    NoConnectionLeft {
        /// The server.
        at: ServerAddr,
        /// How many the settings allow.
        most: usize,
    },
    /// The message is bigger than the server takes.
    TooBig {
        /// The server.
        at: ServerAddr,
        /// The size of the message in octets, as the client announced it.
        size: u64,
        /// The most octets the server takes.
        limit: u64,
    },
    /// The ids of the messages are such that mail programs stop there. Only `ostler check` looks at them.
    MessageIds {
        /// The server.
        at: ServerAddr,
        /// The first problem.
        problem: IdProblem,
        /// How many other problems there are.
        others: u64,
    },
    /// The IMAP server does not open the folder that the settings name.
    NoFolder {
        /// The server.
        at: ServerAddr,
        /// The name of the folder.
        folder: String,
        /// The server's reply.
        said: String,
    },
    /// Messages that a mail program has deleted by POP3 are still in the folder of the IMAP server.
    NotDeleted {
        /// The server.
        at: ServerAddr,
        /// The name of the folder.
        folder: String,
        /// Why they are.
        why: NotDeleted,
    },
    /// A mail program has asked an IMAP server for a change, and no answer came: done again, it may be there twice.
    OutcomeUnknown {
        /// The server.
        at: ServerAddr,
        /// What was asked for.
        what: Undecided,
        /// Why no answer came, without a full stop.
        why: String,
    },
    /// There is no secret to sign in with.
    Secret {
        /// The account's name.
        account: String,
        /// The server it is for; `None` for the account's local password.
        at: Option<ServerAddr>,
        /// Why there is none.
        trouble: SecretTrouble,
    },
    /// The settings ask for something this version does not have.
    NotInThisVersion {
        /// The server.
        at: ServerAddr,
        /// The setting.
        what: &'static str,
    },
    /// A file with trusted certificates cannot be used.
    BadTrust {
        /// Which file, and what is wrong with it.
        what: String,
    },
    /// No account has this user name.
    UnknownAccount {
        /// The user name the client gave.
        given: String,
        /// The names of all accounts.
        known: Vec<String>,
    },
    /// No account sends for this address.
    UnknownSender {
        /// The sender the client gave; may be empty.
        given: String,
        /// The names of all accounts.
        known: Vec<String>,
    },
    /// The account has no server of this protocol.
    NoServer {
        /// The account's name.
        account: String,
        /// The protocol.
        protocol: Protocol,
    },
    /// The user has paused ostler.
    Paused,
    /// ostler shuts down before the provider has answered.
    Stopping,
    /// ostler has a defect.
    Internal,
}

/// Who has to act, for notices and exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No one: the network or the provider recovers by itself.
    Passing,
    /// The user: a refused sign-in, a certificate, settings.
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

    /// A text that says what to do, where it names the command that sets the password: with the place where that is set for
    /// this server.
    pub fn with_place_of_password(&self, advice: &str) -> String {
        let from = self.at().map(|at| at.password_from).unwrap_or_default();
        advice::with_place_of_password(advice, from)
    }

    /// What a client is told to do about it. Eudora 4 throws its password away when it finds the word in a refusal, so the
    /// trouble that may pass does not have it: there `ostler check` tells of the password.
    pub(crate) fn advice_for_client(&self) -> String {
        match self {
            Self::Lost { waiting: Waiting::SignIn, .. } => "try again later; if it goes on, run: ostler check".into(),
            _ => self.advice(),
        }
    }

    /// What the words of the server mean, if that is more than the kind of failure says.
    pub fn known_words(&self) -> Option<&'static KnownWords> {
        match self {
            Self::SignInRefused { at, said, .. } => known_words::of_refused_sign_in(&at.host, said),
            Self::TokenRefused { at, said, .. } => known_words::of_refused_token(at, said),
            Self::SignInDisabled { offered: said, .. }
            | Self::InUse { said, .. }
            | Self::LoginDelay { said, .. }
            | Self::MechanismRefused { said, .. }
            | Self::SignInPostponed { said, .. } => known_words::by_words(said, &Stage::OF_SIGN_IN),
            Self::ServiceRefused { said, .. } => known_words::by_words(said, &Stage::OF_SERVICE),
            Self::Tls { reason, .. } => known_words::by_words(reason, &[Stage::Tls]),
            _ => None,
        }
    }

    /// Whether a web page came in place of a greeting: the sign-in page of a hotel or cafe network.
    pub fn is_web_page(&self) -> bool {
        matches!(self, Self::WrongProtocol { said, .. } if is_web_server(said))
    }

    /// Who has to do something about it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Certificate { .. }
            | Self::TlsTooOld { .. }
            | Self::NotTls { .. }
            | Self::NoStartTls { .. }
            | Self::Injected { .. }
            | Self::WrongProtocol { .. }
            | Self::SignInRefused { .. }
            | Self::TokenRefused { .. }
            | Self::NeedsSignIn { .. }
            | Self::SignInDisabled { .. }
            | Self::MechanismRefused { .. }
            | Self::TooBig { .. }
            | Self::MessageIds { .. }
            | Self::NoFolder { .. }
            | Self::NotDeleted { why: NotDeleted::OthersMarked | NotDeleted::ReadOnly, .. }
            | Self::Secret { .. }
            | Self::NotInThisVersion { .. }
            | Self::BadTrust { .. }
            | Self::UnknownAccount { .. }
            | Self::UnknownSender { .. }
            | Self::NoServer { .. }
            | Self::Internal => Blame::User,
            Self::Paused
            | Self::Stopping
            | Self::NameNotFound { .. }
            | Self::NoNameService { .. }
            | Self::NotConnected { .. }
            | Self::NobodyListens { .. }
            | Self::NetworkGone { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::Tls { .. }
            | Self::ProtocolViolation { .. }
            | Self::ServiceRefused { .. }
            | Self::InUse { .. }
            | Self::LoginDelay { .. }
            | Self::SignInPostponed { .. }
            | Self::NoToken { .. }
            | Self::NoConnectionLeft { .. }
            | Self::OutcomeUnknown { .. }
            | Self::NotDeleted { why: NotDeleted::FolderReplaced | NotDeleted::Refused(_), .. } => Blame::Passing,
        }
    }

    /// The server it went wrong at, if there is one.
    pub fn at(&self) -> Option<&ServerAddr> {
        match self {
            Self::NameNotFound { at }
            | Self::NoNameService { at }
            | Self::NotConnected { at }
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
            | Self::TokenRefused { at, .. }
            | Self::NeedsSignIn { at, .. }
            | Self::NoToken { at, .. }
            | Self::SignInDisabled { at, .. }
            | Self::MechanismRefused { at, .. }
            | Self::InUse { at, .. }
            | Self::LoginDelay { at, .. }
            | Self::SignInPostponed { at, .. }
            | Self::NoConnectionLeft { at, .. }
            | Self::TooBig { at, .. }
            | Self::MessageIds { at, .. }
            | Self::NoFolder { at, .. }
            | Self::NotDeleted { at, .. }
            | Self::OutcomeUnknown { at, .. }
            | Self::NotInThisVersion { at, .. } => Some(at),
            Self::Secret { at, .. } => at.as_ref(),
            Self::BadTrust { .. }
            | Self::UnknownAccount { .. }
            | Self::UnknownSender { .. }
            | Self::NoServer { .. }
            | Self::Paused
            | Self::Stopping
            | Self::Internal => None,
        }
    }

    /// The same, where it leaves open whether the server has done what it was asked for.
    #[must_use]
    pub fn leaving_open(self, what: Option<Undecided>) -> Self {
        match (what, self.at().cloned()) {
            (Some(what), Some(at)) => Self::OutcomeUnknown { at, what, why: self.sentence() },
            (None, _) | (_, None) => self,
        }
    }

    /// Whether the provider may have refused the user name or the password: it said so, or it closed the connection in place
    /// of an answer, as some do. The same password must not be tried again by itself, because providers lock accounts.
    pub fn may_be_the_password(&self) -> bool {
        matches!(
            self,
            Self::SignInRefused { .. } | Self::TokenRefused { .. } | Self::Lost { waiting: Waiting::SignIn, .. }
        )
    }

    /// Whether nothing but another user name, password or sign-in by the user would help, so that clients are told that theirs
    /// was refused.
    pub fn is_refused_sign_in(&self) -> bool {
        matches!(self, Self::SignInRefused { .. } | Self::TokenRefused { .. } | Self::NeedsSignIn { .. })
    }

    /// Whether the server cannot be reached, so that another server of the account may be tried. A server that answers has
    /// been reached, whatever it says: its refusal is the answer.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NameNotFound { .. }
                | Self::NoNameService { .. }
                | Self::NotConnected { .. }
                | Self::NobodyListens { .. }
                | Self::NetworkGone { .. }
                | Self::TimedOut { waiting: Waiting::Connect | Waiting::Tls | Waiting::Greeting, .. }
                | Self::Lost { waiting: Waiting::Connect | Waiting::Tls | Waiting::Greeting, .. }
        )
    }
}

impl fmt::Display for Failure {
    /// The sentence and the advice, for the log and for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.sentence(), self.advice())
    }
}

impl std::error::Error for Failure {}

/// Whether these are the first words of a web server.
pub fn is_web_server(words: &str) -> bool {
    words.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("http/"))
}

/// The error and each of its causes on one line.
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
