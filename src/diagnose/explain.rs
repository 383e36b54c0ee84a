//! Explains failures to people: finds the likely cause of a [`Failure`], or of an error text that a mail program
//! showed. The causes are in `config/explanations.toml`; how a text is searched for their wordings is here.
//!
//! Not here: the sentence and the advice that mail programs are told (`ostler_mail::failure`), and what they show for
//! it (`client_messages.rs`).

pub(crate) mod client_messages;
mod text;

use std::sync::LazyLock;

use serde::Deserialize;

use ostler_mail::failure::{CertificateProblem, Failure, SecretTrouble, Waiting};
use ostler_mail::smtp::Reply;
use ostler_mail::smtp::verdict::{Verdict, verdict};
use text::{Text, normalize_code};

/// At most this many causes are shown for one text.
pub const MAX_EXPLANATIONS: usize = 3;
/// At most this many numbers in a text are tried as a provider's reply; a real error has one or two.
const MAX_REPLIES: usize = 8;

/// One thing that can go wrong, and the wordings it is recognised by. The head of the data file explains every field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// For scripts and tests.
    pub id: String,
    /// What happened, as a sentence without a full stop.
    pub means: String,
    /// The likely reason.
    pub likely: String,
    /// The next thing to try.
    pub next: String,
    #[serde(default)]
    ostler: Vec<String>,
    #[serde(default)]
    provider: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    client: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cause: Vec<Cause>,
}

impl Cause {
    /// Whether the provider's words tell more than the kind of failure, which ostler's own words tell too.
    fn is_special(&self) -> bool {
        self.ostler.is_empty()
    }
}

/// The causes of the data file. A test checks that it can be read.
static CAUSE_LIST: LazyLock<Vec<Cause>> = LazyLock::new(|| {
    let file: Result<File, _> = toml::from_str(include_str!("../../config/explanations.toml"));
    file.map(|file| file.cause).unwrap_or_default()
});

/// All causes, in the order of the file.
pub fn causes() -> &'static [Cause] {
    &CAUSE_LIST
}

/// The cause with this id.
pub fn cause(id: &str) -> Option<&'static Cause> {
    causes().iter().find(|cause| cause.id == id)
}

/// The cause of a failure: the one that the provider's words tell, or else the one for its kind.
pub(crate) fn cause_of(failure: &Failure) -> Option<&'static Cause> {
    cause_by_words(failure).or_else(|| cause(cause_id(failure)))
}

fn cause_by_words(failure: &Failure) -> Option<&'static Cause> {
    let (at, said) = match failure {
        Failure::SignInRefused { at, said, .. } => (at, said),
        Failure::ServiceRefused { at, said }
        | Failure::SignInPostponed { at, said }
        | Failure::MechanismRefused { at, said, .. } => (at, said),
        Failure::WrongProtocol { said, .. } => {
            // The portal of a hotel answers with a web page in place of the mail server.
            return if is_http(said) { cause("portal") } else { None };
        }
        _ => return None,
    };
    let text = Text::new(said);
    if let Some(gate) = cause("gate-stays-shut").filter(|gate| text.first_of(&gate.ostler).is_some()) {
        return Some(gate);
    }
    let refused = matches!(failure, Failure::SignInRefused { .. });
    let by_words = causes().iter().find(|cause| cause.is_special() && text.first_of(&cause.provider).is_some());
    // Some providers refuse in words that say nothing. Where the sign-in failed, their name is the hint.
    let by_host = || {
        let named = |cause: &&Cause| cause.hosts.iter().any(|host| host.eq_ignore_ascii_case(&at.host));
        refused.then(|| causes().iter().find(named)).flatten()
    };
    by_words.or_else(by_host)
}

/// Whether a web server said this.
pub(super) fn is_http(said: &str) -> bool {
    said.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("http/"))
}

/// The id of the cause for a kind of failure, whatever the provider said.
pub(crate) fn cause_id(failure: &Failure) -> &'static str {
    match failure {
        Failure::NameNotFound { .. } => "name-not-found",
        Failure::NoNameService { .. } => "no-name-service",
        Failure::NobodyListens { .. } => "nobody-listens",
        Failure::NetworkGone { .. } => "network-gone",
        Failure::TimedOut { waiting: Waiting::Connect, .. } => "no-answer",
        Failure::TimedOut { .. } => "slow",
        Failure::Lost { waiting: Waiting::SignIn, .. } => "hung-up-at-sign-in",
        Failure::Lost { .. } => "hung-up",
        Failure::NotTls { .. } => "not-tls",
        Failure::Certificate { problem, .. } => match problem {
            CertificateProblem::Expired { .. } => "certificate-expired",
            CertificateProblem::NotYetValid { .. } => "certificate-not-yet",
            CertificateProblem::WrongName { names } if names.is_empty() => "certificate-nameless",
            CertificateProblem::WrongName { .. } => "certificate-name",
            CertificateProblem::UnknownIssuer { self_signed: true, .. } => "certificate-self-signed",
            CertificateProblem::UnknownIssuer { .. } => "certificate-issuer",
            CertificateProblem::MissingLink { .. } => "certificate-link",
            CertificateProblem::NotPinned { .. } => "certificate-pin",
            CertificateProblem::Revoked | CertificateProblem::Other(_) => "certificate-bad",
        },
        Failure::TlsTooOld { .. } => "old-tls",
        Failure::Tls { .. } => "tls-trouble",
        Failure::NoStartTls { .. } => "no-starttls",
        Failure::Injected { .. } => "injected",
        Failure::WrongProtocol { .. } => "wrong-protocol",
        Failure::ProtocolViolation { .. } => "nonsense",
        Failure::ServiceRefused { .. } => "turned-away",
        Failure::SignInRefused { .. } => "password-refused",
        Failure::SignInDisabled { .. } => "sign-in-not-offered",
        Failure::MechanismRefused { .. } => "mechanism-refused",
        Failure::InUse { .. } => "in-use",
        Failure::LoginDelay { .. } => "login-delay",
        Failure::SignInPostponed { .. } => "postponed",
        Failure::TooBig { .. } => "too-big",
        Failure::Secret { trouble, .. } => match trouble {
            SecretTrouble::Missing => "no-secret",
            SecretTrouble::KeyringLocked => "keyring-locked",
            SecretTrouble::NoKeyring => "no-keyring",
            SecretTrouble::Source(_) => "secret-source",
            SecretTrouble::ClientGaveNone => "program-gave-none",
        },
        Failure::NotInThisVersion { .. } => "not-yet",
        Failure::BadTrust { .. } => "bad-trust",
        Failure::UnknownAccount { .. } => "unknown-account",
        Failure::UnknownSender { .. } => "unknown-sender",
        Failure::NoServer { .. } => "no-server",
        Failure::Stopping => "paused",
        Failure::Internal => "internal",
    }
}

/// A cause that fits a text.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The cause.
    pub cause: &'static Cause,
    /// The part of the text that it was recognised by.
    pub found: String,
    rank: Rank,
}

/// How certain a cause is, the least first. A mail program's own words fit several causes; ostler's fit exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Program,
    Code,
    /// A provider's words that tell no more than ostler's own.
    General,
    Provider,
    PastOstler,
    Ostler,
    /// A provider's words inside a message of ostler's.
    Both,
}

/// Finds what an error text means: at most [`MAX_EXPLANATIONS`] causes, the best first. Only the beginning of a long
/// text is read.
pub fn explain(pasted: &str) -> Vec<Explanation> {
    let text = Text::new(pasted);
    let codes = text.codes();
    let mut found: Vec<Explanation> = Vec::new();
    let has_ostler = causes().iter().any(|cause| text.first_of(&cause.ostler).is_some());
    let is_refused = cause("password-refused")
        .is_some_and(|refused| text.first_of(&refused.ostler).or_else(|| text.first_of(&refused.provider)).is_some());
    for cause in causes() {
        let provider = match (cause.is_special(), has_ostler) {
            (true, true) => Some(Rank::Both),
            (true, false) => Some(Rank::Provider),
            // In a message of ostler's, `[SYS/TEMP]` and the like are ostler's own codes.
            (false, true) => None,
            (false, false) => Some(Rank::General),
        };
        // ostler adds its words about the gate after the provider's refusal, and they are the more precise ones.
        let ostler = if cause.id == "gate-stays-shut" { Rank::Both } else { Rank::Ostler };
        let by_code = || {
            let known = |(code, shown): &(String, String)| {
                cause.codes.iter().any(|c| normalize_code(c).as_deref() == Some(code.as_str())).then(|| shown.clone())
            };
            codes.iter().find_map(known)
        };
        let known = text
            .first_of(&cause.ostler)
            .map(|words| (ostler, words))
            .or_else(|| provider.and_then(|rank| text.first_of(&cause.provider).map(|words| (rank, words))))
            .or_else(|| if is_refused { text.first_of(&cause.hosts).map(|host| (Rank::Both, host)) } else { None })
            .or_else(|| by_code().map(|code| (Rank::Code, code)))
            .or_else(|| text.first_of(&cause.client).map(|words| (Rank::Program, words)));
        if let Some((rank, words)) = known {
            found.push(Explanation { cause, found: words, rank });
        }
    }
    if let Some(server) = text.server_elsewhere()
        && !has_ostler
        && let Some(cause) = cause("past-ostler")
    {
        found.push(Explanation { cause, found: server, rank: Rank::PastOstler });
    }
    // `verdict` knows more wordings of a shut gate than the data file has.
    if let Some(reply) = find_gate_refusal(&text)
        && !found.iter().any(|one| one.rank >= Rank::General && one.cause.id != "past-ostler")
        && let Some(cause) = cause("relay-refused")
    {
        found.retain(|one| one.cause.id != cause.id);
        found.push(Explanation { cause, found: reply, rank: Rank::Provider });
    }
    if found.is_empty()
        && let Some((id, words)) = explain_bare_reply(&text)
        && let Some(cause) = cause(id)
    {
        found.push(Explanation { cause, found: words, rank: Rank::Program });
    }
    keep_best(found)
}

/// Explains a reply without any known wording by its number alone (RFC 5321, section 4.2.1; RFC 1939, section 3).
fn explain_bare_reply(text: &Text) -> Option<(&'static str, String)> {
    let of_number = text.replies().take(MAX_REPLIES).find(|(_, _, is_quoted)| *is_quoted).map(|(code, words, _)| {
        (if code < 500 { "come-back-later" } else { "send-refused" }, Reply::new(code, words).one_line())
    });
    of_number.or_else(|| text.first_of(&["-err".to_owned()]).map(|words| ("fetch-refused", words)))
}

/// Sorts by rank, the best first. Beside a certain cause, guesses are dropped.
fn keep_best(mut found: Vec<Explanation>) -> Vec<Explanation> {
    found.sort_by_key(|one| std::cmp::Reverse(one.rank));
    let best = found.first().map(|one| one.rank);
    let floor = [Rank::Ostler, Rank::Provider, Rank::General].into_iter().find(|floor| best >= Some(*floor));
    found.retain(|one| Some(one.rank) >= floor);
    found.truncate(MAX_EXPLANATIONS);
    found
}

/// Finds the first reply in the text that means that the gate is shut.
fn find_gate_refusal(text: &Text) -> Option<String> {
    text.replies().take(MAX_REPLIES).find_map(|(code, words, _)| {
        let reply = Reply::new(code, words);
        (verdict(&reply) == Verdict::Shut).then(|| reply.one_line())
    })
}

#[cfg(test)]
mod tests;
