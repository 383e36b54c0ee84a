//! What happened and where, in one sentence for each kind of failure.

use std::time::Duration;

use crate::account::Protocol;
use crate::failure::text::spoken;
use crate::failure::{CertificateProblem, Failure, IdProblem, NotDeleted, SecretTrouble, ServerAddr, Waiting};
use crate::wire::hex;

/// The sentence, without a full stop. What it quotes is not yet cleaned.
pub(super) fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::NameNotFound { at } => format!("there is no server named {}", at.host),
        Failure::NoNameService { at } => format!("the name {} could not be looked up just now", at.host),
        Failure::NotConnected { at } => {
            format!("this computer is not connected to the internet, so {} cannot be reached", at.host)
        }
        Failure::NobodyListens { at } => format!("{} is there but nobody listens on port {}", at.host, at.port),
        Failure::NetworkGone { at, reason } => format!("{at} cannot be reached ({reason})"),
        Failure::TimedOut { at, waiting, after } => {
            format!("{at} did not answer in time: {} passed while waiting for {}", seconds(*after), awaited(*waiting))
        }
        Failure::Lost { at, waiting: Waiting::SignIn } => {
            format!("{at} closed the connection instead of answering the sign-in")
        }
        Failure::Lost { at, waiting } => {
            format!("{at} closed the connection while ostler was waiting for {}", awaited(*waiting))
        }
        Failure::NotTls { at } => format!("{at} does not speak TLS"),
        Failure::Certificate { at, problem, .. } => certificate_sentence(&at.host, problem),
        Failure::TlsTooOld { at } => format!("{at} has no modern TLS: neither 1.2 nor 1.3 with a safe cipher"),
        Failure::Tls { at, reason } => format!("TLS with {at} failed: {reason}"),
        Failure::NoStartTls { at } => format!("{at} does not offer {}", start_tls(at.protocol)),
        Failure::Injected { at } => {
            format!("{at} sent more than its answer to {}, as an attacker would", start_tls(at.protocol))
        }
        Failure::WrongProtocol { at, said } => {
            format!("{at} does not speak {}: it says \"{said}\"", spoken(at.protocol))
        }
        Failure::ProtocolViolation { at, what } => format!("{at} broke the rules of {}: {what}", spoken(at.protocol)),
        Failure::ServiceRefused { at, said } => format!("{} refuses service: {said}", at.host),
        Failure::SignInRefused { at, user, said, beyond_ascii } => {
            let with = if *beyond_ascii { " with a password that has letters beyond ASCII" } else { "" };
            format!("{} refused the sign-in of {user}{with}: {}", at.host, or_silence(said))
        }
        Failure::TokenRefused { at, user, said } => {
            format!("{} refused the OAuth2 sign-in of {user}: {}", at.host, or_silence(said))
        }
        Failure::NeedsSignIn { account, why, .. } => format!("account {account} has to sign in again: {why}"),
        Failure::NoToken { account, why, .. } => {
            format!("account {account} has nothing to sign in with just now: {why}")
        }
        Failure::SignInDisabled { at, offered } if offered.is_empty() => format!("{at} offers no way to sign in"),
        Failure::SignInDisabled { at, offered } => {
            format!("{at} offers no way to sign in that ostler has, only {offered}")
        }
        Failure::MechanismRefused { at, tried, said } => {
            format!(
                "{at} refuses every way of signing in that it offers and ostler has ({tried}): {}",
                or_silence(said)
            )
        }
        Failure::InUse { at, said } => format!("the mailbox at {} is in use by another session: {said}", at.host),
        Failure::LoginDelay { at, said } => format!("{} wants more time between two logins: {said}", at.host),
        Failure::SignInPostponed { at, said } => format!("{} cannot sign you in just now: {said}", at.host),
        Failure::NoConnectionLeft { at, most } => {
            format!("all {most} connections that ostler may have at {} are in use", at.host)
        }
        Failure::TooBig { at, size, limit } => {
            format!("this message of {} is too big: {} takes {} at most", megabytes(*size), at.host, megabytes(*limit))
        }
        Failure::MessageIds { at, problem, others } => id_sentence(&at.host, problem, *others),
        Failure::NoFolder { at, folder, said } => {
            format!("{} does not open the folder \"{folder}\": {}", at.host, or_silence(said))
        }
        Failure::NotDeleted { at, folder, why } => {
            let why = not_deleted(why);
            format!("what your mail program deleted is still in the folder \"{folder}\" at {}: {why}", at.host)
        }
        Failure::OutcomeUnknown { why, .. } => format!("the outcome is unknown: {why}"),
        Failure::Secret { account, at, trouble } => secret_sentence(account, at.as_ref(), trouble),
        Failure::NotInThisVersion { at, what } => {
            format!("this version of ostler cannot use {what} yet, which the settings ask for at {}", at.host)
        }
        Failure::BadTrust { what } => what.clone(),
        Failure::UnknownAccount { given, known } if given.is_empty() => {
            no_such("account without a user name".into(), known)
        }
        Failure::UnknownAccount { given, known } => no_such(format!("account \"{given}\""), known),
        Failure::UnknownSender { given, known } if given.is_empty() => {
            no_such("account for mail without a sender".into(), known)
        }
        Failure::UnknownSender { given, known } => no_such(format!("account that sends as {given}"), known),
        Failure::NoServer { account, protocol } => format!("account {account} has no {} server", spoken(*protocol)),
        Failure::Paused => "ostler is paused".into(),
        Failure::Stopping => "ostler is shutting down".into(),
        Failure::Internal => "ostler had an internal error and ended this session".into(),
    }
}

fn not_deleted(why: &NotDeleted) -> String {
    match why {
        NotDeleted::OthersMarked => {
            "other messages there are marked as deleted, and this server could only remove them all".into()
        }
        NotDeleted::ReadOnly => "it lets no one delete there".into(),
        NotDeleted::FolderReplaced => "there is another folder in its place".into(),
        NotDeleted::Refused(said) => format!("it says: {}", or_silence(said)),
    }
}

/// What the server owed, as in "waiting for its greeting".
fn awaited(waiting: Waiting) -> &'static str {
    match waiting {
        Waiting::Connect => "a connection",
        Waiting::Tls => "the TLS handshake",
        Waiting::Greeting => "its greeting",
        Waiting::Capabilities => "its list of capabilities",
        Waiting::StartTls => "its agreement to start TLS",
        Waiting::SignIn => "its answer to the sign-in",
        Waiting::Answer => "its answer",
        Waiting::Message => "the next part of the message",
        Waiting::Deletion => "its word that the messages are deleted",
        Waiting::FinalDot => "its answer to the end of the message",
    }
}

fn certificate_sentence(host: &str, problem: &CertificateProblem) -> String {
    let unacceptable = |why: &str| format!("the certificate of {host} is not acceptable: {why}");
    match problem {
        CertificateProblem::Expired { until } => format!("the certificate of {host} expired on {until}"),
        CertificateProblem::NotYetValid { from } => format!("the certificate of {host} is not valid before {from}"),
        CertificateProblem::WrongName { names } if names.is_empty() => {
            format!("the certificate of {host} names no host at all")
        }
        CertificateProblem::WrongName { names } => {
            // The certificate of a shared host may have a hundred names.
            let shown: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
            format!("the certificate shown for {host} is for another name: {}", shown.join(", "))
        }
        CertificateProblem::UnknownIssuer { self_signed: true, .. } => {
            format!("the certificate of {host} is vouched for by nobody but itself")
        }
        CertificateProblem::UnknownIssuer { issuer, .. } => {
            format!("the certificate of {host} comes from an issuer this computer does not know: {issuer}")
        }
        CertificateProblem::MissingLink { issuer } => {
            format!("{host} did not send the certificate of its issuer, which this computer does not know: {issuer}")
        }
        CertificateProblem::NotPinned { shown } => {
            format!("the certificate of {host} is not the pinned one; it is sha256:{}", hex(shown))
        }
        CertificateProblem::Revoked => format!("the certificate of {host} has been revoked"),
        CertificateProblem::OldKind => unacceptable("it is of an old kind (X.509 version 1), which cannot name a host"),
        CertificateProblem::ShortKey { bits, least } => {
            unacceptable(&format!("its key of {bits} bits is too short; {least} are needed"))
        }
        CertificateProblem::MarkedAsAuthority => unacceptable("it is marked as an authority's, not a server's"),
        CertificateProblem::IssuerExpired { issuer, until } => {
            unacceptable(&format!("its issuer's, of {issuer}, expired on {until}"))
        }
        CertificateProblem::Other(reason) => unacceptable(reason),
    }
}

fn id_sentence(host: &str, problem: &IdProblem, others: u64) -> String {
    let what = match problem {
        IdProblem::Missing { message } => format!("message {message} has no id (UIDL) at {host}"),
        IdProblem::Same { first, second } => format!("messages {first} and {second} have the same id (UIDL) at {host}"),
        IdProblem::TooLong { message, octets } => {
            format!("message {message} has an id (UIDL) of {octets} characters at {host}, where 70 are allowed")
        }
        IdProblem::BadOctet { message } => {
            format!("message {message} has an id (UIDL) with a blank or a strange character in it at {host}")
        }
        IdProblem::ListedTwice { message } => format!("message {message} is in the list of ids (UIDL) twice at {host}"),
        IdProblem::Unlisted { message, listed, counted } => format!(
            "message {message} has no id (UIDL) at {host}: {counted} messages are there, and {listed} are in the list"
        ),
        IdProblem::TooMany { counted } => {
            format!("the list of ids (UIDL) at {host} has more messages than the {counted} that are there")
        }
        IdProblem::NoNumber { line } => {
            format!("the list of ids (UIDL) at {host} has a line without a message's number: \"{line}\"")
        }
        IdProblem::Refused { said } => format!("{host} refuses the list of ids (UIDL): {}", or_silence(said)),
    };
    match others {
        0 => what,
        1 => format!("{what}, and there is one more mistake in the list"),
        others => format!("{what}, and there are {others} more mistakes in the list"),
    }
}

fn secret_sentence(account: &str, at: Option<&ServerAddr>, trouble: &SecretTrouble) -> String {
    let whose = at.map_or_else(|| format!("account {account}"), |at| format!("account {account} at {}", at.host));
    match trouble {
        SecretTrouble::Missing(place) => format!("{place} holds nothing to sign in with for {whose}"),
        SecretTrouble::KeyringLocked => {
            format!("the keyring is locked, so there is nothing to sign in with for {whose}")
        }
        SecretTrouble::NoKeyring => format!("there is no keyring to ask for {whose}"),
        SecretTrouble::NoFolder(why) => format!("{why}, so there is nothing to sign in with for {whose}"),
        SecretTrouble::Source(how) => format!("nothing to sign in with for {whose}: {how}"),
        SecretTrouble::ClientGaveNone => {
            format!("{whose} signs in with what your mail program gives, and it gave nothing")
        }
    }
}

/// `ostler has no account "joe"; it has: home, work`, with as many names as fit in half a line.
fn no_such(what: String, known: &[String]) -> String {
    // 150 here and 200 below leave room for the advice in a reply of 512 octets.
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

fn start_tls(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "STLS",
        Protocol::Smtp | Protocol::Imap => "STARTTLS",
    }
}

fn or_silence(said: &str) -> &str {
    if said.is_empty() { "(it gave no reason)" } else { said }
}
