//! What servers and TLS libraries say when something ordinary goes wrong, and what to do about it. The one table that
//! decides what a refusal means: for the reply a mail program gets (`advice.rs`), and for `ostler check` and its
//! `--explain`, which add from `config/explanations.toml` what happened and why.
//!
//! The first entry that fits wins, so what is more precise stands further up: a limit before the password that it is
//! easily taken for. The order is that of `config/explanations.toml`. Each pattern has the words that carry the meaning,
//! not a whole sentence, because every release of a server words it a little differently.
//!
//! Sources of the words: the published code of Postfix, Exim, Sendmail, qmail, Courier, Cyrus, Dovecot and of libraries for
//! TLS, the providers' own lists of their replies, and reports of users that quote them; `tests/field/wordings.tsv` has them
//! with the source of each.

mod table;

use super::ServerAddr;
use super::wording::Text;
use crate::account::Protocol;
pub use table::KNOWN_WORDS;

/// What was going on when the words were said. The same words may mean different things: "no such user" is the recipient
/// when sending, and the user's own name when signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The greeting, or a sign-in at either server.
    SignIn,
    /// Commands of POP3 after the sign-in.
    Fetch,
    /// A session in which nothing is sent, so that a mailbox is the user's own.
    OwnMailbox,
    /// MAIL, RCPT and DATA.
    Send,
    /// A TLS handshake.
    Tls,
    /// A company that gives out access tokens (OAuth2).
    Issuer,
    /// Any of these.
    Any,
}

impl Stage {
    /// Where the answer to a sign-in is said.
    pub const OF_SIGN_IN: [Self; 2] = [Self::SignIn, Self::OwnMailbox];
    /// Where a server refuses service: at the greeting, and where `ostler check` asks for the count of messages or rehearses
    /// a send.
    pub const OF_SERVICE: [Self; 3] = [Self::SignIn, Self::Fetch, Self::Send];
}

/// A cause, and the words that mean it.
#[derive(Debug)]
pub struct KnownWords {
    /// The id in `config/explanations.toml`.
    pub cause: &'static str,
    /// What to do, printable ASCII without a full stop; NAME stands for the account's name. `None` where the kind of
    /// failure says as much as the words do.
    pub advice: Option<&'static str>,
    /// The patterns (see `wording.rs`), and where they mean this.
    words: &'static [(Stage, &'static [&'static str])],
    /// Servers whose refused sign-in means this when their words mean nothing special.
    pub hosts: &'static [&'static str],
    /// The words have several meanings, so the name of the server knows more.
    pub is_vague: bool,
    /// Patterns that mean another cause, whatever else is said: greylisting says "try again later", and so does a server
    /// that is out of order.
    unless: &'static [&'static str],
}

impl KnownWords {
    /// The part of the text that means this at one of these stages.
    pub fn find(&self, text: &Text, stages: &[Stage]) -> Option<String> {
        let fits = |stage: &Stage| stages.contains(stage) || *stage == Stage::Any && !stages.is_empty();
        let mut found = self.words.iter().filter(|(stage, _)| fits(stage));
        found.find_map(|(_, patterns)| text.first_of(patterns)).filter(|_| !text.has_any(self.unless))
    }

    /// All patterns that mean this.
    pub fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().flat_map(|(_, patterns)| patterns.iter().copied())
    }

    fn has_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// The entry of a cause.
pub fn of_cause(cause: &str) -> Option<&'static KnownWords> {
    KNOWN_WORDS.iter().find(|known| known.cause == cause)
}

/// What the words mean at one of these stages, if that is more than the kind of failure says.
pub fn by_words(said: &str, stages: &[Stage]) -> Option<&'static KnownWords> {
    let text = Text::new(said);
    KNOWN_WORDS.iter().find(|known| known.advice.is_some() && known.find(&text, stages).is_some())
}

/// What a refused sign-in means at this server. Some providers refuse in words that say nothing; their name is the hint.
pub(super) fn of_refused_sign_in(host: &str, said: &str) -> Option<&'static KnownWords> {
    let by_words = by_words(said, &Stage::OF_SIGN_IN);
    match by_words {
        Some(known) if !known.is_vague => Some(known),
        _ => KNOWN_WORDS.iter().find(|known| known.has_host(host)).or(by_words),
    }
}

/// What a refused access token means at this server. Where POP is switched off, Exchange says what it says of a wrong password.
pub(super) fn of_refused_token(at: &ServerAddr, said: &str) -> Option<&'static KnownWords> {
    let by_words = by_words(said, &Stage::OF_SIGN_IN).filter(|known| !known.is_vague);
    let is_outlook = || of_cause("microsoft-web-sign-in").is_some_and(|known| known.has_host(&at.host));
    let is_pop_off = || at.protocol == Protocol::Pop3 && is_outlook();
    by_words.or_else(|| of_cause("outlook-pop-off").filter(|_| is_pop_off()))
}

/// An entry; what most entries do not have is empty.
const fn known(
    cause: &'static str,
    advice: &'static str,
    words: &'static [(Stage, &'static [&'static str])],
) -> KnownWords {
    KnownWords { cause, advice: Some(advice), words, hosts: &[], is_vague: false, unless: &[] }
}

/// An entry whose kind of failure has the advice.
const fn general(cause: &'static str, words: &'static [(Stage, &'static [&'static str])]) -> KnownWords {
    KnownWords { cause, advice: None, words, hosts: &[], is_vague: false, unless: &[] }
}

impl KnownWords {
    const fn at(self, hosts: &'static [&'static str]) -> Self {
        Self { hosts, ..self }
    }

    const fn vague(self) -> Self {
        Self { is_vague: true, ..self }
    }

    const fn unless(self, unless: &'static [&'static str]) -> Self {
        Self { unless, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Stage::{Fetch, OwnMailbox, Send, SignIn, Tls};
    use super::*;

    #[test]
    fn each_entry_is_well_formed() {
        let mut causes = HashSet::new();
        let mut patterns = HashSet::new();
        for known in KNOWN_WORDS {
            assert!(causes.insert(known.cause), "{} is there twice", known.cause);
            for pattern in known.patterns() {
                assert_eq!(*pattern, pattern.to_ascii_lowercase(), "{}", known.cause);
                // A star divides a pattern before anything else does.
                assert!(
                    pattern.split('*').all(|part| part.matches('{').count() == part.matches('}').count()),
                    "{pattern}"
                );
                patterns.insert(pattern);
            }
            for host in known.hosts {
                assert_eq!(*host, host.to_ascii_lowercase(), "{}", known.cause);
            }
            if let Some(advice) = known.advice {
                assert!(advice.len() > 15 && advice.len() < 200 && advice.is_ascii(), "{}: {advice}", known.cause);
                assert!(!advice.ends_with('.') && !advice.contains("--explain"), "{}: {advice}", known.cause);
            }
        }
        assert!(patterns.len() > 200);
    }

    /// A reply of ostler's holds its advice, and is searched as a whole when it is pasted.
    #[test]
    fn no_advice_has_the_words_of_another_cause() {
        for one in KNOWN_WORDS {
            let text = Text::new(one.advice.unwrap_or_default());
            for other in KNOWN_WORDS.iter().filter(|other| other.cause != one.cause) {
                let found = other.find(&text, &[SignIn, Fetch, OwnMailbox, Send, Tls]);
                assert_eq!(found, None, "the advice of {} has words of {}", one.cause, other.cause);
            }
        }
    }

    #[test]
    fn the_same_words_mean_what_the_stage_makes_of_them() {
        let cause = |said: &str, stage| by_words(said, &[stage]).map(|known| known.cause);
        assert_eq!(cause("no such user", Send), Some("no-such-recipient"));
        assert_eq!(cause("no such user", SignIn), None);
        assert_eq!(cause("mailbox is full", Send), Some("recipient-full"));
        assert_eq!(cause("mailbox is full", OwnMailbox), Some("own-mailbox-full"));
    }

    #[test]
    fn a_server_is_known_by_its_name_where_its_words_say_little() {
        let cause = |host, said| of_refused_sign_in(host, said).map(|known| known.cause);
        let vague = "Logon failure: unknown user name or bad password.";
        assert_eq!(cause("mail.example.net", vague), Some("exchange-logon"));
        assert_eq!(cause("Outlook.Office365.com", vague), Some("microsoft-web-sign-in"));
        assert_eq!(cause("pop.gmail.com", "no"), Some("gmail-password"));
        assert_eq!(cause("pop.gmail.com", "Too many login attempts"), Some("too-many-sign-ins"));
        assert_eq!(cause("mail.example.net", "no"), None);
    }
}
