//! Everything ostler says to an IMAP client in words of its own.
//!
//! Not here: what a provider says, which `filter` passes on.

use crate::account::NearbyDoor;
use crate::client_fault::Misuse;
use crate::failure::{Failure, fit, one_line};
use crate::words::{NotAdmitted, Words};

/// The greeting.
pub(super) const READY: &str = "* OK ostler IMAP4rev1 ready\r\n";
/// What asks for a literal.
pub(super) const GO_ON: &str = "+ go on\r\n";
pub(super) const BYE: &str = "* BYE ostler says goodbye\r\n";
pub(super) const BYE_TOO_MUCH: &str =
    "* BYE ostler closes this connection: that is too long for a name or a password\r\n";

pub(super) const DOOR_IS_PLAIN: &str =
    "this door is plain: switch SSL/TLS off in the mail program; ostler encrypts the connection to the provider";
pub(super) const UNKNOWN_COMMAND: &str = "ostler does not know this command";
pub(super) const SIGN_IN_FIRST: &str = "sign in first: LOGIN";
pub(super) const LOGIN_NEEDS_TWO: &str = "LOGIN needs a name and a password";
pub(super) const NAME_NOT_CLEAN: &str = "a user name has no control characters";
pub(super) const UNKNOWN_MECHANISM: &str = "ostler does not have this kind of AUTHENTICATE; switch SPA (secure password authentication) off in the mail program";
pub(super) const AUTH_CANCELLED: &str = "AUTHENTICATE cancelled";
pub(super) const AUTH_MALFORMED: &str = "this is not a valid answer in an AUTHENTICATE exchange";
pub(super) const NO_TAG: &str = "* BAD a command begins with a tag\r\n";
pub(super) const WRONG_PASSWORD: &str =
    "this is not the local password of that account; ostler list --passwords shows it";

// In place of a provider's answer, after the sign-in.
pub(super) const SIGNED_IN_ALREADY: &str = "you have signed in already";
pub(super) const NO_TLS_NOW: &str = "this door is plain; ostler encrypts the connection to the provider";
pub(super) const NOT_HERE: &str = "ostler does not have this command";
pub(super) const IDLE_ENDS_WITH_DONE: &str = "IDLE ends with DONE; this command was not carried out";
pub(super) const LINE_TOO_LONG: &str = "that line is too long";

/// What a client in IDLE hears when ostler renews it at the provider. If the client is gone, the system notices by that.
pub(super) const STILL_HERE: &str = "* OK ostler is still here\r\n";

/// What ends a session of a client that has signed in (RFC 3501, section 5.4).
pub const SILENT_TOO_LONG: &str = "* BYE ostler closes this connection: the mail program was silent for too long\r\n";

/// The capabilities before the sign-in: what every provider has, and no AUTH=, at which programs would not say LOGIN. Old
/// programs ask once and never again.
pub(super) fn capabilities(can_check_challenges: bool) -> String {
    let challenges = if can_check_challenges { " AUTH=CRAM-MD5" } else { "" };
    format!("* CAPABILITY IMAP4rev1 NAMESPACE UIDPLUS CHILDREN{challenges}\r\n")
}

/// The capabilities once the client is signed in. Programs do not read those in the text of an OK, and add these to what
/// they know. A provider that does not say what it has speaks IMAP4rev1 all the same.
pub(super) fn capabilities_of_provider(visible: &[u8]) -> String {
    let visible = if visible.is_empty() { b"IMAP4rev1" } else { visible };
    format!("* CAPABILITY {}\r\n", String::from_utf8_lossy(visible))
}

/// A tagged reply; CR LF is added.
pub(super) fn tagged(tag: &str, status: &str, text: &str) -> String {
    format!("{tag} {status} {}\r\n", one_line(text))
}

/// The reply to a command of another protocol; `port` is the one for it, and `what` what it is for.
pub(super) fn wrong_door(what: &str, door: Option<NearbyDoor>) -> String {
    let way = door.map_or(format!("{what} is switched off"), |door| format!("the one for {what} is {door}"));
    format!("* BAD this is the IMAP port of ostler, for reading; {way}")
}

/// What programs show their user whatever they think of it (RFC 3501, section 7.1).
pub fn alert(failure: &Failure) -> String {
    format!("{}\r\n", fit("* OK [ALERT] ostler: ", &failure.sentence(), &failure.advice_for_client(), ""))
}

/// The same in other words, of ostler's or a provider's.
pub(super) fn alert_of(text: &str) -> String {
    format!("{}\r\n", one_line(&format!("* OK [ALERT] {text}")))
}

/// The answer to a command that fails, without tag and line end. The code says whether the provider has refused the user or
/// only cannot serve them now (RFC 5530).
pub fn answer(failure: &Failure) -> String {
    answer_behind("", failure)
}

fn answer_behind(tag: &str, failure: &Failure) -> String {
    let code = if is_refusal(failure) { "AUTHENTICATIONFAILED" } else { "UNAVAILABLE" };
    fit(&format!("{tag}NO [{code}] ostler: "), &failure.sentence(), &failure.advice_for_client(), "")
}

/// Whether the sign-in is refused for what it is, and another try without a change is in vain.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    failure.is_refused_sign_in() || matches!(failure, Failure::UnknownAccount { .. } | Failure::NoServer { .. })
}

/// The same with its tag, as a line.
pub(super) fn failed(tag: &str, failure: &Failure) -> String {
    format!("{}\r\n", answer_behind(&format!("{tag} "), failure))
}

/// The answer to LOGOUT when the provider has said goodbye and no more.
pub(super) fn only_goodbye_is_missing(tag: &str) -> String {
    tagged(tag, "OK", "goodbye")
}

/// The answer to LOGOUT.
pub(super) fn goodbye(tag: &str) -> String {
    format!("{BYE}{}", tagged(tag, "OK", "goodbye"))
}

/// The last lines of a session that fails: to the command that waits, if one does, with its tag and what it means for that; and
/// to the connection.
pub fn unavailable(waiting: Option<(&str, &Failure)>, failure: &Failure) -> String {
    let answer = waiting.map(|(tag, failure)| failed(tag, failure)).unwrap_or_default();
    format!("{answer}{}\r\n", self::failure(failure))
}

/// The last line of a connection that fails.
pub fn failure(failure: &Failure) -> String {
    fit("* BYE ostler: ", &failure.sentence(), &failure.advice_for_client(), "")
}

/// Replies to an IMAP client when something fails or ostler ends the connection.
pub struct ImapWords;

impl Words for ImapWords {
    fn failure(&self, failure: &Failure) -> String {
        format!("{}\r\n", self::failure(failure))
    }

    fn misuse(&self, misuse: &Misuse) -> String {
        bye(&format!("ostler closes this connection: {misuse}"))
    }

    fn not_admitted(&self, why: &NotAdmitted) -> String {
        bye(&match why {
            NotAdmitted::Paused => "ostler is paused".into(),
            NotAdmitted::Full(clients) => format!("ostler serves {clients} clients already"),
            NotAdmitted::Crowded(most) => format!("ostler serves {most} connections of this computer already"),
            NotAdmitted::Stopping => return self.stopping(),
            NotAdmitted::Stranger(why) => format!("ostler does not let this program in: {why}"),
        })
    }

    fn timed_out(&self) -> String {
        bye("the mail program took too long to sign in")
    }

    fn stopping(&self) -> String {
        bye("ostler is shutting down")
    }
}

fn bye(text: &str) -> String {
    format!("* BYE {}\r\n", one_line(text))
}
