//! Everything ostler says to a POP3 client in words of its own.
//!
//! Not here: what a provider says, which `filter` passes on.

use crate::account::NearbyDoor;
use crate::client_fault::Misuse;
use crate::failure::{Failure, SecretTrouble, fit, one_line};
use crate::words::{NotAdmitted, Words};

pub(crate) const OK: &str = "+OK";
pub(crate) const BYE: &str = "+OK bye";
pub(super) const DOOR_IS_PLAIN: &str =
    "-ERR this door is plain: switch SSL/TLS off in the mail program; ostler encrypts the connection to the provider";
pub(super) const SIGN_IN_FIRST: &str = "-ERR sign in first: USER, then PASS";
pub(crate) const UNKNOWN_COMMAND: &str = "-ERR ostler does not know this command";
pub(super) const NAME_NOT_CLEAN: &str = "-ERR a user name has no control characters";
pub(super) const USER_FIRST: &str = "-ERR USER comes first";
pub(super) const APOP_NEEDS_DIGEST: &str = "-ERR APOP needs a name and a digest";
pub(super) const NO_AUTH_LIST: &str = "-ERR ostler wants USER and PASS";
pub(super) const UNKNOWN_MECHANISM: &str =
    "-ERR ostler does not have this kind of AUTH; switch SPA (secure password authentication) off in the mail program";
pub(super) const AUTH_CANCELLED: &str = "-ERR AUTH cancelled";
pub(super) const AUTH_MALFORMED: &str = "-ERR this is not a valid answer in an AUTH exchange";
pub(super) const WRONG_PASSWORD: &str =
    "-ERR [AUTH] this is not the local password of that account; ostler list --passwords shows it";

// In place of a provider's answer, after the sign-in.
pub(super) const SEND_BY_SMTP: &str = "-ERR send through the SMTP door of ostler instead";
pub(super) const NO_TLS_NOW: &str = "-ERR this door is plain; ostler encrypts the connection to the provider";
pub(super) const SIGNED_IN_ALREADY: &str = "-ERR you have signed in already";

// Where ostler is the POP3 server, and the mail is in an IMAP mailbox.
pub(crate) const NO_NUMBER: &str = "-ERR which message? a number is missing";
pub(crate) const ONE_NUMBER: &str = "-ERR this command takes the number of one message and nothing else";
pub(crate) const TOP_NEEDS_TWO: &str = "-ERR TOP needs the number of a message and a number of lines";

/// The answer to STAT.
pub(crate) fn totals(messages: usize, octets: u64) -> String {
    format!("+OK {messages} {octets}")
}

/// The first line of the answer to LIST and UIDL, and the answer to RSET.
pub(crate) fn message_count(messages: usize) -> String {
    format!("+OK {messages} {}", if messages == 1 { "message" } else { "messages" })
}

pub(crate) fn message_follows(octets: u64) -> String {
    format!("+OK {octets} octets")
}

pub(crate) fn message_deleted(number: u64) -> String {
    format!("+OK message {number} is deleted")
}

pub(crate) fn no_such_message(number: u64) -> String {
    format!("-ERR there is no message {number}")
}

pub(crate) fn message_gone(number: u64) -> String {
    format!("-ERR message {number} is no longer there: another program has deleted or moved it")
}

pub(crate) fn message_is_empty(number: u64, host: &str) -> String {
    format!("-ERR {host} says that there is nothing in message {number}")
}

pub(crate) fn message_refused(number: u64, host: &str, said: &str) -> String {
    format!("-ERR {host} does not give message {number}: {said}")
}

/// The answer to QUIT when the messages are gone.
pub(crate) fn messages_deleted(messages: usize) -> String {
    format!("+OK bye, {messages} {} deleted", if messages == 1 { "message" } else { "messages" })
}

/// The greeting. `stamp` offers APOP (RFC 1939, section 7), so it is there only where ostler can check a digest: it needs to
/// know the password.
pub(super) fn greeting(stamp: Option<&str>) -> String {
    stamp.map_or_else(|| "+OK ostler ready\r\n".into(), |stamp| format!("+OK ostler ready {stamp}\r\n"))
}

pub(crate) fn capabilities(can_check_challenges: bool) -> String {
    // No STLS, which Eudora 6 and 7 would begin at once; no PIPELINING, at which Eudora for Mac sends ahead; no SASL
    // that is not served here, because Eudora for Mac would use it in place of USER.
    let sasl = if can_check_challenges { "SASL CRAM-MD5 PLAIN LOGIN\r\n" } else { "" };
    // With AUTH-RESP-CODE in the list, Eudora 7 forgets its password only at [AUTH].
    format!("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n{sasl}.\r\n")
}

/// The reply to an SMTP command; `port` is the one for sending.
pub(super) fn wrong_door(door: Option<NearbyDoor>) -> String {
    let way = door.map_or("sending is switched off".into(), |door| format!("the one for sending is {door}"));
    format!("-ERR this is the POP3 port of ostler, for fetching; {way}")
}

/// The `-ERR` line for a failure, without CR LF. It is `[AUTH]` (RFC 3206) only if another user name or password would help:
/// clients throw their password away when they read that. All others say `timeout`, by which Eudora 4 to 6 knows that the
/// password was not at fault, and hyphenate the word "password".
pub fn failure(failure: &Failure) -> String {
    let (sentence, advice) = (failure.sentence(), failure.advice_for_client());
    let (prefix, suffix) = match failure {
        Failure::UnknownAccount { .. } => return fit("-ERR [AUTH] ", &sentence, &advice, ""),
        refused if refused.is_refused_sign_in() => {
            return fit("-ERR [AUTH] ", &sentence, &advice, "");
        }
        // The advice has a command or a key with the word "password" in it, so it stays as it is.
        Failure::Secret { trouble: SecretTrouble::Missing(_), .. }
        | Failure::Secret { at: None, trouble: SecretTrouble::NoKeyring, .. } => {
            return fit("-ERR [SYS/TEMP] ", &without_password(&sentence), &advice, " (timeout)");
        }
        Failure::InUse { .. } => ("-ERR [IN-USE] ", ""),
        Failure::LoginDelay { .. } => ("-ERR [LOGIN-DELAY] ", ""),
        _ => ("-ERR [SYS/TEMP] ", " (timeout)"),
    };
    fit(prefix, &without_password(&sentence), &without_password(&advice), suffix)
}

/// Eudora 4 throws its own password away when it finds the word in any refusal, so a hyphen goes in.
fn without_password(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.to_ascii_lowercase().find("password") {
        text.insert(at + 4, '-');
    }
    text
}

/// Replies to a POP3 client when something fails or ostler ends the connection.
pub struct Pop3Words;

impl Words for Pop3Words {
    fn failure(&self, failure: &Failure) -> String {
        line(&self::failure(failure))
    }

    fn misuse(&self, misuse: &Misuse) -> String {
        let code = match misuse {
            // As in the answers to the wrong passwords before it.
            Misuse::TooManyPasswords => "[AUTH] ",
            // The password may be right.
            Misuse::Guessing => "[SYS/TEMP] ",
            _ => "",
        };
        line(&format!("-ERR {code}ostler closes this connection: {misuse}"))
    }

    fn not_admitted(&self, why: &NotAdmitted) -> String {
        line(&match why {
            NotAdmitted::Paused => "-ERR [SYS/TEMP] ostler is paused".into(),
            NotAdmitted::Full(clients) => format!("-ERR [SYS/TEMP] ostler serves {clients} clients already (timeout)"),
            NotAdmitted::Crowded(most) => {
                format!("-ERR [SYS/TEMP] ostler serves {most} connections of this computer already (timeout)")
            }
            NotAdmitted::Stopping => return self.stopping(),
            NotAdmitted::Stranger(why) => format!("-ERR [SYS/PERM] ostler does not let this program in: {why}"),
        })
    }

    fn timed_out(&self) -> String {
        line("-ERR [SYS/TEMP] the mail program took too long to sign in (timeout)")
    }

    fn stopping(&self) -> String {
        line("-ERR [SYS/TEMP] ostler is shutting down (timeout)")
    }
}

fn line(text: &str) -> String {
    format!("{}\r\n", one_line(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::account::Protocol;
    use crate::account::testing::server;
    use crate::failure::{ServerAddr, Waiting};
    use crate::wire::MAX_CLIENT_REPLY_OCTETS;

    fn at() -> ServerAddr {
        (&server(Protocol::Pop3, "ann")).into()
    }

    #[test]
    fn trouble_of_the_network_is_never_dressed_as_a_wrong_password() {
        let timed_out = Failure::TimedOut { at: at(), waiting: Waiting::Connect, after: Duration::from_secs(10) };
        let reply = failure(&timed_out);
        assert!(reply.starts_with("-ERR [SYS/TEMP] mail.example.net port 995 did not answer"), "{reply}");
        assert!(reply.contains("timeout") && !reply.contains("password"), "{reply}");
        assert!(crate::smtp::words::failure(&timed_out).starts_with("451 4.4.1 "));
    }

    #[test]
    fn only_a_missing_secret_says_password_and_it_says_how_to_give_one() {
        let trouble = SecretTrouble::Missing("the keyring".into());
        let missing = Failure::Secret { account: "my home".into(), at: Some(at()), trouble };
        assert_eq!(missing.advice(), "run: ostler password \"my home\"");
        let reply = failure(&missing);
        assert!(reply.ends_with("; run: ostler password \"my home\" (timeout)"), "{reply}");
        let reply =
            failure(&Failure::SignInPostponed { at: at(), said: "PASSWORD database down, password later".into() });
        assert!(reply.contains("PASS-WORD database down, pass-word later"), "{reply}");
    }

    #[test]
    fn as_many_names_as_fit_are_told() {
        let known: Vec<String> = (0..100).map(|n| format!("account-number-{n}")).collect();
        let reply = failure(&Failure::UnknownAccount { given: "\u{e4}".repeat(300), known });
        assert!(reply.len() <= MAX_CLIENT_REPLY_OCTETS - 2 && reply.is_ascii(), "{reply}");
        assert!(reply.contains("account-number-0, account-number-1,") && reply.contains(" more; use"), "{reply}");
    }

    #[test]
    fn a_client_that_is_sent_away_reads_one_line() {
        let stranger = NotAdmitted::Stranger("it is\r\nanother user's".into());
        for said in [
            Pop3Words.misuse(&Misuse::Unclean),
            Pop3Words.not_admitted(&stranger),
            Pop3Words.not_admitted(&NotAdmitted::Full(1500)),
            Pop3Words.timed_out(),
            Pop3Words.stopping(),
        ] {
            assert!(said.starts_with("-ERR ") && said.ends_with("\r\n"), "{said}");
            assert_eq!(said.matches("\r\n").count(), 1, "{said}");
        }
        assert!(Pop3Words.misuse(&Misuse::TooManyPasswords).starts_with("-ERR [AUTH] "));
    }
}
