//! What to do about a failure: in one sentence for each kind, unless the provider's words tell more than the kind does.

use crate::account::{Protocol, Security, is_this_computer};
use crate::failure::text::{as_word, spoken};
use crate::failure::{
    CaFile, CertificateProblem, Failure, IdProblem, NotDeleted, PasswordFrom, SecretTrouble, ServerAddr, Undecided,
    Waiting,
};

/// The sentence, without a full stop: printable ASCII, but for an account's name.
pub(super) fn advice(failure: &Failure) -> String {
    // A failure does not know its account, so the command stands without its name.
    let known = failure.known_words().and_then(|known| known.advice);
    let advice = known.map_or_else(|| advice_of_kind(failure), str::to_owned);
    failure.with_place_of_password(&advice).replace(" NAME", "")
}

/// The advice with the place of a password or token that is not in the keyring. `ostler password` and `ostler sign-in` cannot change
/// it there.
pub(super) fn with_place_of_password(advice: &str, from: PasswordFrom) -> String {
    let put_into = |place: &str| {
        ["put it", "the right one belongs", "put another token"]
            .map(|what| format!("{what} in the {place} that the settings name"))
    };
    let [to_do, in_sentence, with_token] = match from {
        PasswordFrom::Keyring => return advice.to_owned(),
        PasswordFrom::MailProgram => [
            "type it in the mail program",
            "the mail program has to give the right one",
            "type another token in the mail program",
        ]
        .map(str::to_owned),
        PasswordFrom::Command => [
            "have the command in the settings print it",
            "the command in the settings has to print the right one",
            "have the command in the settings print another token",
        ]
        .map(str::to_owned),
        PasswordFrom::File => put_into("file"),
        PasswordFrom::Variable => put_into("variable"),
    };
    let advice = advice.replace("ostler password --check tries that, or ", "");
    let advice = advice.replace("sign in again: ostler sign-in", &with_token);
    let advice = ["ostler password sets a new one", "ostler password sets another"]
        .iter()
        .fold(advice, |advice, sentence| advice.replace(sentence, &in_sentence));
    ["ostler password NAME --check", "ostler password NAME", "ostler password"]
        .iter()
        .fold(advice, |advice, command| advice.replace(command, &to_do))
}

fn advice_of_kind(failure: &Failure) -> String {
    match failure {
        Failure::NameNotFound { .. } => {
            "check the spelling of host in the settings, and that this computer is online".into()
        }
        Failure::NoNameService { .. } => "check that this computer is online, then try again".into(),
        Failure::NotConnected { .. } => {
            "look at the network cable or the wireless network; when a web page opens again, try again".into()
        }
        Failure::NobodyListens { at } => format!(
            "check port and security in the settings; usual for {} is {}",
            spoken(at.protocol),
            at.protocol.default_port(at.security)
        ),
        Failure::NetworkGone { .. } => "check that this computer is online, then try again".into(),
        // A server that waits for a TLS handshake says nothing.
        Failure::TimedOut { at, waiting: Waiting::Greeting, .. } if at.security != Security::Tls => {
            "try again; if this persists, this port may want security = \"tls\"".into()
        }
        Failure::TimedOut { waiting: Waiting::Connect, .. } => {
            "try again; if this persists, a firewall may be in the way or the port is wrong".into()
        }
        Failure::Lost { waiting: Waiting::SignIn, .. } => {
            "some providers do that when user name or password is wrong: ostler password sets another; else try again later"
                .into()
        }
        Failure::TimedOut { .. } | Failure::Lost { .. } => "try again later".into(),
        Failure::NotTls { at } => format!(
            "this port may want security = \"starttls\"; with \"tls\" the usual port is {}",
            at.protocol.default_port(Security::Tls)
        ),
        Failure::Certificate { at, problem, ca } => certificate_advice(&at.host, problem, *ca).into(),
        Failure::TlsTooOld { .. } => "ask the provider for a newer server; ostler never uses less".into(),
        Failure::Tls { .. } => "try again; if this persists, run ostler check".into(),
        Failure::NoStartTls { at } => format!(
            "nothing was sent in clear; try security = \"tls\" on port {}",
            at.protocol.default_port(Security::Tls)
        ),
        Failure::Injected { .. } => "nothing was sent; try another network, and tell the provider".into(),
        Failure::WrongProtocol { .. } if failure.is_web_page() => {
            "open any web page and sign in to the network, then try again".into()
        }
        Failure::WrongProtocol { .. } => "check host and port in the settings".into(),
        Failure::ProtocolViolation { .. } => "try again; if this persists, tell the provider".into(),
        // In words that no server says, for a pasted reply is searched as a whole.
        Failure::ServiceRefused { .. } | Failure::SignInPostponed { .. } => "wait some minutes, then try again".into(),
        Failure::SignInRefused { beyond_ascii: true, .. } => {
            "check user name and password; this provider may want the letters in another charset: ostler password --check tries \
             that, or set password_charset = \"windows-1252\""
                .into()
        }
        Failure::SignInRefused { .. } => {
            "check user name and password (some providers want an app password): ostler password sets a new one".into()
        }
        Failure::TokenRefused { .. } => {
            "switch access for mail programs on in the provider's web page, then sign in again: ostler sign-in".into()
        }
        Failure::NeedsSignIn { account, .. } => format!("sign in again: ostler sign-in {}", as_word(account)),
        Failure::NoToken { .. } => "wait some minutes, then try again".into(),
        Failure::SignInDisabled { at, .. } if at.security == Security::None => {
            "it may want TLS first: set security = \"starttls\" or \"tls\"".into()
        }
        Failure::SignInDisabled { .. } => "check host and port, or set auth to what this server wants".into(),
        Failure::MechanismRefused { .. } => {
            "what you typed was not looked at; check host and port, or ask the provider how mail programs sign in there"
                .into()
        }
        Failure::InUse { .. } => "wait until the other session has ended, then try again".into(),
        Failure::LoginDelay { .. } => "wait a minute, then try again".into(),
        Failure::NoConnectionLeft { .. } => {
            "close mail programs that read the same mailbox, or raise connections under [account.imap] in the settings".into()
        }
        Failure::TooBig { .. } => "send it in parts, or make it smaller".into(),
        Failure::MessageIds { problem, .. } => id_advice(problem),
        Failure::NoFolder { .. } => "check folder in the settings; new mail is in INBOX".into(),
        Failure::OutcomeUnknown { what, .. } => match what {
            Undecided::Store => "the message may have been stored: look in the folder before you store it again".into(),
            Undecided::Copy => "the messages may have been copied: look in the folder before you copy them again".into(),
            Undecided::Change => "it may have been done: look before you do it again".into(),
        },
        Failure::NotDeleted { why: NotDeleted::OthersMarked, .. } => {
            "empty the trash of that folder (expunge) with the program that marked them, then fetch again".into()
        }
        Failure::NotDeleted { why: NotDeleted::ReadOnly, .. } => {
            "name another folder in the settings, or switch \"leave messages on server\" on".into()
        }
        Failure::NotDeleted { why: NotDeleted::FolderReplaced | NotDeleted::Refused(_), .. } => {
            "fetch again; if it goes on, delete them with the web mail".into()
        }
        // A secret for no server is the local password.
        Failure::Secret { at: None, trouble: SecretTrouble::NoKeyring, .. } => {
            "log in to a desktop with one, or set local_password to a command or file in the settings".into()
        }
        Failure::Secret { account, at, trouble } => secret_advice(account, at.as_ref(), trouble),
        Failure::NotInThisVersion { .. } => "install the newest ostler, or change that in the settings".into(),
        Failure::BadTrust { .. } => "put the path of a PEM file there, or remove ca from the settings".into(),
        Failure::UnknownAccount { known, .. } | Failure::UnknownSender { known, .. } if known.is_empty() => {
            "add one: ostler add ADDRESS".into()
        }
        Failure::UnknownAccount { .. } => "use one of these as the user name in your mail program".into(),
        Failure::UnknownSender { .. } => {
            "add the address to aliases, or mark an account as default, in ostler's settings".into()
        }
        Failure::NoServer { protocol, .. } => {
            format!("write [account.{}] into ostler's settings file", protocol.name())
        }
        Failure::Paused => "choose Resume in ostler's menu or on its page, then try again".into(),
        Failure::Stopping => "try again when it runs again".into(),
        Failure::Internal => "please report it; other sessions go on".into(),
    }
}

fn certificate_advice(host: &str, problem: &CertificateProblem, ca: CaFile) -> &'static str {
    match problem {
        CertificateProblem::Expired { .. } if ca == CaFile::HasIt => {
            "check this computer's date; else have the server make a new one, and put that into the file named by ca"
        }
        CertificateProblem::Expired { .. } => "check this computer's date; else the provider must renew it",
        CertificateProblem::NotYetValid { .. } => "check this computer's date",
        CertificateProblem::WrongName { names } if names.is_empty() => {
            "ask for a new one; a server that you know can be trusted by pin, which ostler check shows"
        }
        CertificateProblem::WrongName { .. } if ca == CaFile::HasIt => {
            "write one of these as host; or, instead of ca, trust it by pin, which ostler check shows"
        }
        CertificateProblem::WrongName { .. } => {
            "use the host name the provider gives for TLS; a hotel network may also be answering in its place"
        }
        CertificateProblem::UnknownIssuer { self_signed, .. } => unknown_issuer_advice(host, *self_signed, ca),
        CertificateProblem::MissingLink { .. } => match ca {
            CaFile::Unset => {
                "tell the provider that its server leaves out the certificate between; until it is mended, name that certificate with ca"
            }
            CaFile::HasOthers | CaFile::HasIt => {
                "tell the provider that its server leaves out the certificate between; until it is mended, add that one to the file named by ca"
            }
        },
        CertificateProblem::NotPinned { .. } => "ask whoever runs the server whether it was replaced, then change pin",
        CertificateProblem::Revoked => "tell the provider",
        CertificateProblem::OldKind
        | CertificateProblem::ShortKey { .. }
        | CertificateProblem::MarkedAsAuthority
        | CertificateProblem::IssuerExpired { .. }
        | CertificateProblem::Other(_) => {
            if is_this_computer(host) {
                "have the helper on this computer make a new certificate, or use a newer version of it"
            } else {
                "tell the provider"
            }
        }
    }
}

/// Nothing can answer in the place of this computer, so there only the helper itself is a suspect.
fn unknown_issuer_advice(host: &str, self_signed: bool, ca: CaFile) -> &'static str {
    match (is_this_computer(host), self_signed, ca) {
        (true, _, CaFile::Unset) => {
            "a helper on this computer, such as Proton Mail Bridge, makes its own certificate: export it there and name the file with ca, or trust it by pin, which ostler check shows"
        }
        (true, true, _) => {
            "the file named by ca has another one: export the helper's certificate anew, or trust it by pin, which ostler check shows"
        }
        (true, false, _) => {
            "the file named by ca has neither this certificate nor its issuer's: export the helper's anew, or trust it by pin, which ostler check shows"
        }
        (false, _, CaFile::Unset) => {
            "a hotel network or virus scanner may be answering in its place; a private server's authority can be named with ca, its certificate with ca or pin"
        }
        (false, true, _) => {
            "a hotel network or virus scanner may be answering in its place; a private server has a new one, then, which is not in the file named by ca"
        }
        (false, false, _) => {
            "a hotel network or virus scanner may be answering in its place; a private server's authority is not in the file named by ca"
        }
    }
}

fn id_advice(problem: &IdProblem) -> String {
    match problem {
        IdProblem::Missing { message }
        | IdProblem::TooLong { message, .. }
        | IdProblem::BadOctet { message }
        | IdProblem::Unlisted { message, .. }
        | IdProblem::ListedTwice { message } => {
            format!("delete or fetch message {message} with the web mail, then fetch again; if it goes on, tell the provider")
        }
        IdProblem::Same { first, second } => {
            format!("delete or fetch messages {first} and {second} with the web mail, then fetch again; if it goes on, tell the provider")
        }
        IdProblem::TooMany { .. } | IdProblem::NoNumber { .. } => {
            "tell the provider; until it is mended, switch \"leave messages on server\" off in the mail program".into()
        }
        IdProblem::Refused { .. } => {
            "run ostler check again, for some servers refuse it for a moment only; if it goes on, switch \"leave messages on server\" off".into()
        }
    }
}

fn secret_advice(account: &str, at: Option<&ServerAddr>, trouble: &SecretTrouble) -> String {
    match trouble {
        SecretTrouble::Missing(_) => format!("run: ostler password {}", as_word(account)),
        SecretTrouble::KeyringLocked => "unlock the keyring (log in to the desktop), then try again".into(),
        SecretTrouble::NoKeyring => "log in to a desktop with one, or name a command or file in the settings".into(),
        SecretTrouble::NoFolder(_) => "make it a folder of the user that ostler runs as".into(),
        SecretTrouble::Source(_) => "correct it in the settings".into(),
        // At a server for fetching: the login that opens its way for sending, which what the program gave at a fetch will do for.
        SecretTrouble::ClientGaveNone if at.is_some_and(|at| at.protocol != Protocol::Smtp) => {
            "fetch mail first, or tick \"my server requires authentication\" there".into()
        }
        SecretTrouble::ClientGaveNone => "tick \"my server requires authentication\" there".into(),
    }
}
