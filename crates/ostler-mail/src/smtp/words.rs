//! Everything ostler says to an SMTP client in words of its own.
//!
//! Not here: what a provider says, which is passed on as a [`Reply`], and what is said about a shut gate
//! (`submission`).

use crate::account::NearbyDoor;
use crate::client_fault::Misuse;
use crate::failure::{Failure, fit, one_line};
use crate::smtp::Reply;
use crate::words::{NotAdmitted, Words};

pub(super) const READY: &str = "220 ostler ESMTP ready";
pub(super) const HELLO: &str = "250 ostler";
pub(super) const OK: &str = "250 2.0.0 OK";
pub(super) const VRFY: &str = "252 2.5.0 send it and see";
pub(super) const HELP: &str = "214 2.0.0 ostler passes mail on to your provider; run: ostler status";
pub(super) const BYE: &str = "221 2.0.0 bye";
pub(super) const DOOR_IS_PLAIN: &str = "502 5.5.1 this door is plain: switch SSL/TLS off in the mail program; ostler encrypts the connection to the provider";
pub(super) const EMPTY_LINE: &str = "500 5.5.2 an empty line is not a command";
pub(super) const UNKNOWN_COMMAND: &str = "502 5.5.1 ostler does not offer this command";

pub(super) const AUTH_BEFORE_MAIL: &str = "503 5.5.1 AUTH comes before MAIL";
pub(super) const UNKNOWN_MECHANISM: &str = "504 5.5.4 ostler does not have this kind of AUTH; switch SPA (secure password authentication) off in the mail program";
pub(super) const AUTH_CANCELLED: &str = "501 5.7.0 AUTH cancelled";
pub(super) const AUTH_MALFORMED: &str = "501 5.5.2 this is not a valid answer in an AUTH exchange";
pub(super) const WELCOME: &str = "235 2.7.0 welcome";
pub(super) const WRONG_PASSWORD: &str =
    "535 5.7.8 this is not the local password of that account; ostler list --passwords shows it";

pub(super) const PASSWORD_FIRST: &str =
    "530 5.7.0 ostler wants its local password here: switch on authentication for sending in the mail program";
pub(super) const MAIL_TWICE: &str = "503 5.5.1 a message is under way already";
pub(super) const MAIL_FIRST: &str = "503 5.5.1 MAIL comes first";
pub(super) const MAIL_AND_RCPT_FIRST: &str = "503 5.5.1 MAIL and RCPT come first";
pub(super) const RCPT_FIRST: &str = "503 5.5.1 RCPT comes first";
pub(super) const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 too many recipients for one message";
pub(super) const SEND_BODY: &str = "send the message, then a line with nothing but a dot";
pub(super) const NO_RECIPIENT: &str = "554 5.5.1 no recipient was accepted";

pub(super) const SIZE_NEEDS_NUMBER: &str = "501 5.5.4 SIZE needs a number";
pub(super) const UNKNOWN_MAIL_PARAMETER: &str = "555 5.5.4 ostler does not offer this parameter of MAIL";
pub(super) const UNKNOWN_RCPT_PARAMETER: &str = "555 5.5.4 ostler does not offer this parameter of RCPT";
pub(super) const RCPT_NEEDS_ADDRESS: &str = "501 5.1.3 RCPT needs an address";
pub(super) const NO_ADDRESS: &str = "501 5.5.4 the command needs an address";
pub(super) const LOCAL_PART_NOT_ASCII: &str =
    "553 5.6.7 an address with letters beyond ASCII before the @ cannot be sent";
pub(super) const NOT_ASCII: &str = "553 5.6.7 an address with other than plain ASCII letters cannot be sent";
pub(super) const NO_CLOSING_BRACKET: &str = "501 5.1.7 the address has no closing bracket";
pub(super) const ONLY_A_ROUTE: &str = "501 5.1.7 the address has a route and no mailbox";
pub(super) const BRACKET_INSIDE: &str = "501 5.1.7 the address has a bracket or a second route inside";
pub(super) const BLANK_INSIDE: &str = "501 5.1.7 the address has a blank inside";
pub(super) const OPEN_QUOTE: &str = "501 5.1.7 the address has a quote that does not end";

/// The answer to EHLO. Outlook Express 4 and other clients of the 1990s look for `AUTH=`, the spelling of the drafts before
/// RFC 2554.
pub(super) fn extensions(size: Option<u64>, has_auth: bool, can_check_challenges: bool) -> String {
    let size = size.map_or_else(|| "SIZE".into(), |n| format!("SIZE {n}"));
    // No STARTTLS, which Eudora 6 and 7 would begin at once; no PIPELINING, at which Eudora for Mac sends ahead; no
    // CHUNKING, SMTPUTF8 or DSN, which ostler could not pass on.
    let challenge = if can_check_challenges { " CRAM-MD5" } else { "" };
    let auth = if has_auth {
        // LOGIN first, because Netscape 4 looks for the very text `AUTH=LOGIN`.
        format!("250-AUTH LOGIN PLAIN{challenge}\r\n250-AUTH=LOGIN PLAIN{challenge}\r\n")
    } else {
        String::new()
    };
    format!("250-ostler\r\n250-{size}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n{auth}250 HELP\r\n")
}

/// The reply to a POP3 command; `port` is the one for fetching.
pub(super) fn wrong_door(door: Option<NearbyDoor>) -> String {
    let way = door.map_or("fetching is switched off".into(), |door| format!("the one for fetching is {door}"));
    format!("502 5.5.1 this is the SMTP port of ostler, for sending; {way}")
}

/// The reply line for a failure, without CR LF. It is never 535, because clients throw their password away at that code.
pub fn failure(failure: &Failure) -> String {
    // RFC 3463, 3.5: x.4.1 no answer from the host, x.4.2 bad connection, x.4.3 name service. RFC 3463, 3.8: x.7.5
    // cryptography.
    let code = match failure {
        Failure::Stopping | Failure::Paused => "421 4.3.2 ",
        Failure::SignInRefused { .. } | Failure::TokenRefused { .. } | Failure::NeedsSignIn { .. } => "550 5.7.8 ",
        Failure::UnknownSender { .. } | Failure::UnknownAccount { .. } | Failure::NoServer { .. } => "550 5.7.1 ",
        Failure::TooBig { .. } => "552 5.3.4 ",
        Failure::NameNotFound { .. } | Failure::NoNameService { .. } => "451 4.4.3 ",
        Failure::NotConnected { .. }
        | Failure::NobodyListens { .. }
        | Failure::NetworkGone { .. }
        | Failure::TimedOut { .. } => "451 4.4.1 ",
        Failure::Lost { .. }
        | Failure::OutcomeUnknown { .. }
        | Failure::ProtocolViolation { .. }
        | Failure::WrongProtocol { .. } => "451 4.4.2 ",
        Failure::ServiceRefused { .. }
        | Failure::MessageIds { .. }
        | Failure::NoFolder { .. }
        | Failure::NotDeleted { .. }
        | Failure::Internal => "451 4.3.0 ",
        Failure::NotTls { .. }
        | Failure::Certificate { .. }
        | Failure::TlsTooOld { .. }
        | Failure::Tls { .. }
        | Failure::NoStartTls { .. }
        | Failure::Injected { .. }
        | Failure::BadTrust { .. } => "454 4.7.5 ",
        Failure::SignInDisabled { .. }
        | Failure::MechanismRefused { .. }
        | Failure::InUse { .. }
        | Failure::LoginDelay { .. }
        | Failure::SignInPostponed { .. }
        | Failure::NoConnectionLeft { .. }
        | Failure::NoToken { .. }
        | Failure::Secret { .. }
        | Failure::NotInThisVersion { .. } => "454 4.7.0 ",
    };
    fit(code, &failure.sentence(), &failure.advice_for_client(), "")
}

/// The reply when the connection broke between the end of a message and its answer. The message may have been sent, so
/// ostler never sends it again by itself.
pub fn outcome_unknown(host: &str, why: &str) -> Reply {
    let text = format!(
        "4.4.2 the outcome is unknown: {host} had the whole message, then {why}; it may have been sent, so ask a recipient before you send it again"
    );
    Reply::new(451, &one_line(&text))
}

/// The reply when the provider said yes before it had the end of the message: it cannot have meant the message.
pub(super) fn answered_too_early(host: &str) -> Reply {
    Reply::new(451, &format!("4.5.0 {host} answered before the message was complete; it was not sent"))
}

/// The reply to a client that stopped in the middle of a message; CR LF included.
pub fn message_timed_out() -> String {
    line("421 4.4.2 the message stopped arriving; nothing was sent")
}

/// Replies to an SMTP client when something fails or ostler ends the connection. The code for the end is 421 (RFC 5321,
/// 3.8).
pub struct SmtpWords;

impl Words for SmtpWords {
    fn failure(&self, failure: &Failure) -> String {
        line(&self::failure(failure))
    }

    fn misuse(&self, misuse: &Misuse) -> String {
        line(&format!("421 4.7.0 ostler closes this connection: {misuse}"))
    }

    fn not_admitted(&self, why: &NotAdmitted) -> String {
        line(&match why {
            NotAdmitted::Paused => "421 4.3.2 ostler is paused".into(),
            NotAdmitted::Full(clients) => format!("421 4.3.2 ostler serves {clients} clients already"),
            NotAdmitted::Crowded(most) => {
                format!("421 4.3.2 ostler serves {most} connections of this computer already")
            }
            NotAdmitted::Stopping => return self.stopping(),
            NotAdmitted::Stranger(why) => format!("554 5.7.1 ostler does not let this program in: {why}"),
        })
    }

    fn timed_out(&self) -> String {
        line("421 4.4.2 the mail program was silent for too long")
    }

    fn stopping(&self) -> String {
        line("421 4.3.2 ostler is shutting down")
    }
}

fn line(text: &str) -> String {
    format!("{}\r\n", one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Protocol;
    use crate::account::testing::server;
    use crate::wire::MAX_CLIENT_REPLY_OCTETS;

    #[test]
    fn a_refused_sign_in_keeps_the_providers_words_and_the_advice_in_one_line() {
        let said = "x".repeat(2000);
        let at = (&server(Protocol::Smtp, "ann")).into();
        let reply = failure(&Failure::SignInRefused { at, user: "ann".into(), said, beyond_ascii: false });
        assert!(reply.starts_with("550 5.7.8 mail.example.net refused the sign-in of ann: xxx"));
        assert!(reply.ends_with("ostler password sets a new one"));
        assert_eq!(reply.len(), MAX_CLIENT_REPLY_OCTETS - 2);
    }

    #[test]
    fn a_client_that_is_sent_away_reads_one_line() {
        let stranger = NotAdmitted::Stranger("it is\r\nanother user's".into());
        for (said, code) in [
            (SmtpWords.misuse(&Misuse::Unclean), "421 4.7.0 "),
            (SmtpWords.not_admitted(&stranger), "554 5.7.1 "),
            (SmtpWords.not_admitted(&NotAdmitted::Full(1500)), "421 4.3.2 "),
            (SmtpWords.timed_out(), "421 4.4.2 "),
            (SmtpWords.stopping(), "421 4.3.2 "),
        ] {
            assert!(said.starts_with(code) && said.ends_with("\r\n"), "{said}");
            assert_eq!(said.matches("\r\n").count(), 1, "{said}");
        }
    }
}
