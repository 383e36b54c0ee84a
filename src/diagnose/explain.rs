//! Explains failures to people: finds the likely cause of a [`Failure`], or of an error text that a mail program
//! showed. The causes are in `config/explanations.toml`; which of them a pasted text means is decided here.
//!
//! Not here: what the words of a server mean, which mail programs are told too (`ostler_mail::failure::known_words`), and
//! what they show for it (`client_messages.rs`).

pub(crate) mod client_messages;
mod text;

use std::sync::LazyLock;

use serde::Deserialize;

use ostler_mail::failure::known_words::{self, KnownWords, Stage};
use ostler_mail::failure::wording::{Text, example_of};
use ostler_mail::failure::{CertificateProblem, Failure, IdProblem, SecretTrouble, Waiting};
use ostler_mail::smtp::Reply;
use ostler_mail::smtp::verdict::{Verdict, verdict};
use text::{Pasted, normalize_code};

/// At most this many causes are shown for one text.
pub const MAX_EXPLANATIONS: usize = 3;
/// Of what servers say for one cause, this much is shown to people.
const MAX_SERVER_WORDS: usize = 3;
/// At most this many numbers in a text are tried as a provider's reply; a real error has one or two.
const MAX_REPLIES: usize = 8;

/// ostler adds its words about the gate after the provider's refusal, and they are the more precise ones.
const GATE_STAYS_SHUT: &str = "gate-stays-shut";
/// The causes whose words of ostler's stand around what a server said at the sign-in.
const SIGN_IN_CAUSES: [&str; 7] = [
    "password-refused",
    "token-refused",
    "sign-in-not-offered",
    "mechanism-refused",
    "in-use",
    "login-delay",
    "postponed",
];

/// The causes whose words any program may say. They count in a text about mail only: "not enough memory" is no trouble of a
/// provider.
const EVERYDAY_CAUSES: [&str; 5] = ["in-use", "too-big", "attachment-refused", "provider-trouble", "come-back-later"];

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
    /// The next thing to try; NAME stands for the account's name.
    #[serde(default)]
    pub next: String,
    #[serde(default)]
    ostler: Vec<String>,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    client: Vec<String>,
    /// The words of servers and TLS libraries that mean it.
    #[serde(skip)]
    known: Option<&'static KnownWords>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cause: Vec<Cause>,
}

impl Cause {
    /// The numbers that mail programs show for it.
    pub(crate) fn codes(&self) -> &[String] {
        &self.codes
    }

    /// The words by which people recognise it on a screen: of ostler, of mail programs, and of providers.
    pub(crate) fn shown_words(&'static self) -> impl Iterator<Item = String> {
        let servers = self.known.into_iter().flat_map(KnownWords::patterns).take(MAX_SERVER_WORDS);
        self.ostler.iter().chain(&self.client).map(String::as_str).chain(servers).map(example_of)
    }

    fn with_known_words(mut self) -> Self {
        self.known = known_words::of_cause(&self.id);
        if let Some(advice) = self.known.and_then(|known| known.advice) {
            advice.clone_into(&mut self.next);
        }
        self
    }
}

/// The causes of the data file. A test checks that it can be read.
static CAUSE_LIST: LazyLock<Vec<Cause>> = LazyLock::new(|| {
    let file: Result<File, _> = toml::from_str(include_str!("../../config/explanations.toml"));
    file.map(|file| file.cause.into_iter().map(Cause::with_known_words).collect()).unwrap_or_default()
});

/// All causes, in the order of the file.
pub fn causes() -> &'static [Cause] {
    &CAUSE_LIST
}

/// The cause with this id.
pub fn cause(id: &str) -> Option<&'static Cause> {
    causes().iter().find(|cause| cause.id == id)
}

/// What to do about a refusal of a company that gives out access tokens, if its words tell.
pub(crate) fn advice_on_sign_in(words: &str) -> Option<&'static str> {
    known_words::by_words(words, &[Stage::Issuer])?.advice
}

/// The cause of a failure: the one that the provider's words tell, or else the one for its kind.
pub(crate) fn cause_of(failure: &Failure) -> Option<&'static Cause> {
    cause_by_words(failure).or_else(|| cause(cause_id(failure)))
}

fn cause_by_words(failure: &Failure) -> Option<&'static Cause> {
    if failure.is_web_page() {
        return cause("portal");
    }
    if let Failure::ServiceRefused { said, .. } = failure
        && let Some(gate) = cause(GATE_STAYS_SHUT).filter(|gate| Text::new(said).has_any(&gate.ostler))
    {
        return Some(gate);
    }
    failure.known_words().and_then(|known| cause(known.cause))
}

/// The id of the cause for a kind of failure, whatever the provider said.
pub(crate) fn cause_id(failure: &Failure) -> &'static str {
    match failure {
        Failure::NameNotFound { .. } => "name-not-found",
        Failure::NoNameService { .. } => "no-name-service",
        Failure::NotConnected { .. } => "not-connected",
        Failure::NobodyListens { .. } => "nobody-listens",
        Failure::NetworkGone { .. } => "network-gone",
        Failure::TimedOut { waiting: Waiting::Connect, .. } => "no-answer",
        Failure::TimedOut { .. } => "slow",
        Failure::Lost { waiting: Waiting::SignIn, .. } => "hung-up-at-sign-in",
        Failure::Lost { .. } => "hung-up",
        Failure::NotTls { .. } => "not-tls",
        Failure::Certificate { problem, .. } => match problem {
            CertificateProblem::Expired { .. } | CertificateProblem::IssuerExpired { .. } => "certificate-expired",
            CertificateProblem::NotYetValid { .. } => "certificate-not-yet",
            CertificateProblem::WrongName { names } if names.is_empty() => "certificate-nameless",
            CertificateProblem::WrongName { .. } => "certificate-name",
            CertificateProblem::UnknownIssuer { self_signed: true, .. } => "certificate-self-signed",
            CertificateProblem::UnknownIssuer { .. } => "certificate-issuer",
            CertificateProblem::MissingLink { .. } => "certificate-link",
            CertificateProblem::NotPinned { .. } => "certificate-pin",
            CertificateProblem::Revoked
            | CertificateProblem::OldKind
            | CertificateProblem::ShortKey { .. }
            | CertificateProblem::MarkedAsAuthority
            | CertificateProblem::Other(_) => "certificate-bad",
        },
        Failure::TlsTooOld { .. } => "old-tls",
        Failure::Tls { .. } => "tls-trouble",
        Failure::NoStartTls { .. } => "no-starttls",
        Failure::Injected { .. } => "injected",
        Failure::WrongProtocol { .. } => "wrong-protocol",
        Failure::ProtocolViolation { .. } => "nonsense",
        Failure::ServiceRefused { .. } => "turned-away",
        Failure::SignInRefused { beyond_ascii: true, .. } => "password-letters",
        Failure::SignInRefused { .. } => "password-refused",
        Failure::TokenRefused { .. } => "token-refused",
        Failure::NeedsSignIn { .. } => "needs-sign-in",
        Failure::NoToken { .. } => "no-token",
        Failure::SignInDisabled { .. } => "sign-in-not-offered",
        Failure::MechanismRefused { .. } => "mechanism-refused",
        Failure::InUse { .. } => "in-use",
        Failure::LoginDelay { .. } => "login-delay",
        Failure::SignInPostponed { .. } => "postponed",
        Failure::NoConnectionLeft { .. } => "no-connection-left",
        Failure::TooBig { .. } => "too-big",
        Failure::MessageIds { problem, .. } => match problem {
            IdProblem::Missing { .. } | IdProblem::Unlisted { .. } => "message-id-missing",
            IdProblem::Refused { .. } => "no-message-ids",
            _ => "message-ids-odd",
        },
        Failure::NoFolder { .. } => "no-folder",
        Failure::NotDeleted { .. } => "not-deleted",
        Failure::OutcomeUnknown { .. } => "unknown-change",
        Failure::Secret { trouble, .. } => match trouble {
            SecretTrouble::Missing(_) => "no-secret",
            SecretTrouble::KeyringLocked => "keyring-locked",
            SecretTrouble::NoKeyring => "no-keyring",
            SecretTrouble::NoFolder(_) => "no-secrets-folder",
            SecretTrouble::Source(_) => "secret-source",
            SecretTrouble::ClientGaveNone => "program-gave-none",
        },
        Failure::NotInThisVersion { .. } => "not-yet",
        Failure::BadTrust { .. } => "bad-trust",
        Failure::UnknownAccount { .. } => "unknown-account",
        Failure::UnknownSender { .. } => "unknown-sender",
        Failure::NoServer { .. } => "no-server",
        Failure::Paused | Failure::Stopping => "paused",
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
    /// A server's refusal in words that ostler does not know: whatever the program makes of it is a guess.
    Unknown,
    PastOstler,
    /// A server's words that tell no more than the kind of failure.
    General,
    /// A message of ostler's, which tells the kind. What it quotes of a server tells more.
    Ostler,
    /// A server's words that have several meanings.
    Vague,
    /// The server's name, beside a refused sign-in.
    Host,
    /// A server's words that mean this.
    Known,
}

/// Finds what an error text means: at most [`MAX_EXPLANATIONS`] causes, the best first. Only the beginning of a long
/// text is read.
pub fn explain(pasted: &str) -> Vec<Explanation> {
    let text = Pasted::new(pasted);
    let reading = Reading::new(&text);
    let mut found: Vec<Explanation> = causes().iter().filter_map(|cause| reading.recognise(cause)).collect();
    let is_known = found.iter().any(|one| one.rank >= Rank::General);
    if let Some(server) = text.server_elsewhere().filter(|_| !reading.has_ostler) {
        found.extend(explanation("past-ostler", server, Rank::PastOstler));
    }
    if !is_known {
        found.extend(explain_unknown(&text));
    }
    keep_best(found, reading.has_ostler)
}

fn explanation(id: &str, found: String, rank: Rank) -> Option<Explanation> {
    cause(id).map(|cause| Explanation { cause, found, rank })
}

/// What is known of a text before each cause is looked for in it.
struct Reading<'a> {
    text: &'a Pasted,
    /// The part in which the server is quoted, if a known word is in it: around it the mail program speaks.
    quote: Option<Text>,
    /// Each code in its compared form and as it stands in the text.
    codes: Vec<(String, String)>,
    has_ostler: bool,
    is_of_mail: bool,
    is_refused_sign_in: bool,
    /// It names a server whose refused sign-in means something special.
    has_host: bool,
    /// Where a server may have said what is quoted.
    stages: Vec<Stage>,
}

impl<'a> Reading<'a> {
    fn new(text: &'a Pasted) -> Self {
        let by_ostler: Vec<&str> =
            causes().iter().filter(|cause| text.has_any(&cause.ostler)).map(|cause| cause.id.as_str()).collect();
        let stages = if by_ostler.is_empty() { text.stages() } else { stages_around(&by_ostler).to_vec() };
        let refused = known_words::of_cause("password-refused");
        let is_refused_sign_in = by_ostler.contains(&"password-refused")
            || by_ostler.is_empty() && refused.is_some_and(|refused| refused.find(text, &stages).is_some());
        let has_host = is_refused_sign_in && known_words::KNOWN_WORDS.iter().any(|known| text.has_any(known.hosts));
        let has_known =
            |quote: &Text| known_words::KNOWN_WORDS.iter().any(|known| known.find(quote, &stages).is_some());
        let quote = text.quote().filter(has_known);
        let has_ostler = !by_ostler.is_empty();
        let is_of_mail = text.is_of_mail();
        Self { text, quote, codes: text.codes(), has_ostler, is_of_mail, is_refused_sign_in, has_host, stages }
    }

    /// The cause as the text has it, by the most certain of its marks.
    fn recognise(&self, cause: &'static Cause) -> Option<Explanation> {
        let by_program = || self.text.first_of(&cause.client).map(|words| (Rank::Program, words));
        let (rank, found) = self
            .find_ostler(cause)
            .or_else(|| cause.known.and_then(|known| self.find_known(known)))
            .or_else(|| self.find_code(cause).map(|code| (Rank::Code, code)))
            .or_else(by_program)?;
        Some(Explanation { cause, found, rank })
    }

    fn find_ostler(&self, cause: &Cause) -> Option<(Rank, String)> {
        let rank = if cause.id == GATE_STAYS_SHUT { Rank::Known } else { Rank::Ostler };
        self.text.first_of(&cause.ostler).map(|words| (rank, words))
    }

    fn find_known(&self, known: &KnownWords) -> Option<(Rank, String)> {
        let by_words = match (known.advice, known.is_vague) {
            // In a message of ostler's, `[SYS/TEMP]` and the like are ostler's own codes.
            (None, _) if self.has_ostler => None,
            _ if !self.is_of_mail && EVERYDAY_CAUSES.contains(&known.cause) => None,
            (None, _) => Some(Rank::General),
            (_, true) if self.has_host => Some(Rank::Vague),
            _ => Some(Rank::Known),
        };
        let by_host = || {
            let host = self.is_refused_sign_in.then(|| self.text.first_of(known.hosts)).flatten();
            host.map(|host| (Rank::Host, host))
        };
        let said: &Text = self.quote.as_ref().unwrap_or(self.text);
        by_words.and_then(|rank| known.find(said, &self.stages).map(|words| (rank, words))).or_else(by_host)
    }

    fn find_code(&self, cause: &Cause) -> Option<String> {
        let is_known = |code: &str| cause.codes.iter().any(|known| normalize_code(known).as_deref() == Some(code));
        self.codes.iter().find(|(code, _)| is_known(code)).map(|(_, shown)| shown.clone())
    }
}

/// Where a server may have said what stands inside a message of ostler's with words of these causes.
fn stages_around(by_ostler: &[&str]) -> &'static [Stage] {
    if by_ostler.iter().any(|id| SIGN_IN_CAUSES.contains(id)) {
        &Stage::OF_SIGN_IN
    } else if by_ostler.contains(&"turned-away") {
        &Stage::OF_SERVICE
    } else if by_ostler.iter().any(|id| ["needs-sign-in", "no-token"].contains(id)) {
        &[Stage::Issuer]
    } else if by_ostler.contains(&"tls-trouble") {
        &[Stage::Tls]
    } else {
        &[]
    }
}

/// Explains a refusal in words that no cause has: by the rules for shut gates, which know more wordings than the table, or
/// else by its number alone (RFC 5321, section 4.2.1), which tells no cause.
fn explain_unknown(text: &Pasted) -> Option<Explanation> {
    if let Some(reply) = find_gate_refusal(text) {
        return explanation("relay-refused", reply, Rank::Known);
    }
    let (code, words) = text.refusal()?;
    let id = if code.is_some_and(|code| code < 500) { "unknown-for-now" } else { "unknown-refusal" };
    explanation(id, words, Rank::Unknown)
}

/// Sorts by rank, the best first. Beside the words of a server or of ostler, guesses are dropped, and of several meanings
/// the first in the file is kept: it is the most precise.
fn keep_best(mut found: Vec<Explanation>, has_ostler: bool) -> Vec<Explanation> {
    found.sort_by_key(|one| std::cmp::Reverse(one.rank));
    let Some(best) = found.first().map(|one| one.rank) else { return found };
    if best >= Rank::Unknown {
        let mut is_first = true;
        found.retain(|one| {
            let stays = std::mem::take(&mut is_first) || matches!(one.rank, Rank::PastOstler | Rank::Unknown);
            stays && (!has_ostler || one.rank == best)
        });
    }
    found.truncate(MAX_EXPLANATIONS);
    found
}

/// Finds the first reply in the text that means that the gate is shut.
fn find_gate_refusal(text: &Pasted) -> Option<String> {
    text.replies().take(MAX_REPLIES).find_map(|(code, words, is_quoted)| {
        let reply = Reply::new(code, words);
        // A number in a sentence ("bus 535 is late") is none of a server's, so that only the words behind it count.
        let judged = Reply::new(if is_quoted { code } else { 550 }, words);
        (verdict(&judged) == Verdict::Shut).then(|| reply.one_line())
    })
}

#[cfg(test)]
mod tests;
