//! What it means that a server without reply codes refuses a sign-in, by POP3 or IMAP: for whose fault it is, and whether to try
//! again. Whether the way or the password was refused is `refusal`'s to say.

use crate::failure::known_words::{KNOWN_WORDS, Stage};
use crate::failure::wording::Text;
use crate::sasl::{RefusalOf, refusal_of};
use crate::wire::Line;

/// What a refused sign-in means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The user name or the password is wrong.
    Auth,
    /// Another session has the mailbox. The password was right.
    InUse,
    /// The last login was too recent. The password was right.
    LoginDelay,
    /// The server has a problem that will pass.
    Temporary,
    /// The server wants TLS first.
    WantsTls,
    /// The server does not take user name and password in this way, whatever they are.
    Way,
}

/// What a refusal of a sign-in by POP3 means, or by IMAP where its own codes say nothing: by its response code (RFC 2449,
/// section 8, and RFC 3206), else by its words, as older servers have no codes. `had_name`: the server was given at least the user name.
pub(crate) fn refusal(line: &Line, had_name: bool) -> Refusal {
    let text = line.printable().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let what = refusal_of(None, &text, true);
    // Before the codes: Dovecot says [AUTH] here too, and no password would help.
    if what == RefusalOf::InClear {
        Refusal::WantsTls
    } else if has(&["[in-use]"]) {
        Refusal::InUse
    } else if has(&["[login-delay]"]) {
        Refusal::LoginDelay
    } else if has(&["[sys/temp]"]) {
        Refusal::Temporary
    // With [AUTH] too, which some servers put before whatever they say at the sign-in.
    } else if what != RefusalOf::Credentials {
        Refusal::Way
    } else if has(&["[auth]"]) {
        Refusal::Auth
    } else if has(&["[sys/"]) {
        Refusal::Temporary
    } else if let Some(meaning) = by_table(&text) {
        meaning
    // Words about the password come first: "invalid password, try again later" is not a problem that passes.
    } else if has(&["password", "invalid", "incorrect", "authentication failed", "bad login", "denied", "no such"]) {
        Refusal::Auth
    } else if has(&["lock", "in use", "busy", "already"]) {
        Refusal::InUse
    } else if has(&["too many", "too often", "too soon", "frequent", "delay", "wait"]) {
        Refusal::LoginDelay
    } else if has(&["temporar", "try again", "try later", "unavailable", "not available", "internal error", "timeout"])
    {
        Refusal::Temporary
    } else if !had_name {
        // No hint at all, and nothing to refuse but the way.
        Refusal::Way
    } else {
        // No hint at all. The password is the likeliest cause, and a wrong one must not be tried again.
        Refusal::Auth
    }
}

/// The causes in the table of known words that are no fault of the user name or the password, so that a refusal is never
/// called one for the client and another for the user.
const TABLED: [(&str, Refusal); 9] = [
    ("in-use", Refusal::InUse),
    ("login-delay", Refusal::LoginDelay),
    ("postponed", Refusal::Temporary),
    ("too-many-sign-ins", Refusal::LoginDelay),
    ("too-many-connections", Refusal::LoginDelay),
    ("fetch-limit", Refusal::LoginDelay),
    ("own-mailbox-full", Refusal::Temporary),
    ("mailbox-broken", Refusal::Temporary),
    ("provider-trouble", Refusal::Temporary),
];

/// What the words mean by that table, if that is no fault of the user name or the password.
fn by_table(text: &str) -> Option<Refusal> {
    let text = Text::new(text);
    let known = KNOWN_WORDS.iter().find(|known| known.find(&text, &Stage::OF_SIGN_IN).is_some())?;
    TABLED.iter().find(|(cause, _)| *cause == known.cause).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_by_words() {
        for (said, meaning) in [
            ("-ERR [AUTH] Authentication failed.", Refusal::Auth),
            ("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", Refusal::WantsTls),
            ("-ERR Plaintext authentication disallowed", Refusal::WantsTls),
            ("-ERR cleartext passwords not allowed", Refusal::WantsTls),
            ("-ERR [AUTH] Password authentication requires encryption", Refusal::WantsTls),
            ("-ERR [IN-USE] Mailbox is locked by another POP3 session.", Refusal::InUse),
            ("-ERR [LOGIN-DELAY] Attempt to log in within the minimum login delay interval", Refusal::LoginDelay),
            ("-ERR [SYS/TEMP] Internal error", Refusal::Temporary),
            ("-ERR maildrop already locked", Refusal::InUse),
            ("-ERR you log in too often, wait a minute", Refusal::LoginDelay),
            ("-ERR Maximum connection limit reached for ::ffff:192.0.2.1", Refusal::LoginDelay),
            ("-ERR this user has no $HOME/Maildir", Refusal::Temporary),
            ("-ERR scheduled maintenance", Refusal::Temporary),
            ("-ERR Account exceeded command or bandwidth limits. (Failure)", Refusal::LoginDelay),
            ("-ERR Too many failed login attempts", Refusal::LoginDelay),
            ("-ERR Login fail. Login frequency limited, or system is busy.", Refusal::InUse),
            ("-ERR Service not available", Refusal::Temporary),
            ("-ERR Error connecting to auth server", Refusal::Temporary),
            ("-ERR Connection refused by authentication server", Refusal::Temporary),
            ("-ERR proxy: upstream timed out", Refusal::Temporary),
            ("-ERR LDAP lookup failure", Refusal::Temporary),
            ("-ERR over quota", Refusal::Temporary),
            ("-ERR Proxying failed: backend down", Refusal::Temporary),
            ("-ERR invalid password, try again later", Refusal::Auth),
            ("-ERR invalid user name or password", Refusal::Auth),
            ("-ERR authorization failed", Refusal::Auth),
            ("-ERR", Refusal::Auth),
            ("-ERR [SYS/PERM] Your account is not enabled for POP access.", Refusal::Temporary),
            ("-ERR Unsupported authentication mechanism.", Refusal::Way),
            ("-ERR [AUTH] authentication failed: Invalid authentication mechanism", Refusal::Way),
            ("-ERR Unknown command.", Refusal::Way),
            ("-ERR no such command", Refusal::Way),
            ("-ERR [AUTH] Web login required", Refusal::Auth),
            ("-ERR Logon failure: unknown user name or bad password.", Refusal::Auth),
        ] {
            assert_eq!(refusal(&Line::new(said.as_bytes()), true), meaning, "{said}");
        }
    }

    #[test]
    fn before_a_name_was_given_only_words_about_it_refuse_it() {
        for (said, meaning) in [
            ("-ERR", Refusal::Way),
            ("-ERR not here", Refusal::Way),
            ("-ERR [AUTH] not you", Refusal::Auth),
            ("-ERR [SYS/TEMP] later", Refusal::Temporary),
            ("-ERR bad password", Refusal::Auth),
        ] {
            assert_eq!(refusal(&Line::new(said.as_bytes()), false), meaning, "{said}");
        }
    }
}
