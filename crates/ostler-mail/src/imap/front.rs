//! Hears an IMAP client until it signs in (RFC 3501, sections 6.1 and 6.2).
//!
//! Only a LOGIN that the provider refuses is refused. Eudora and Netscape throw their own password away at every LOGIN that fails,
//! so after any other trouble LOGIN is answered with OK, and the next command hears what is wrong.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::account::{Account, Protocol, Settings};
use crate::charset;
use crate::choose;
use crate::client_fault::ClientMisconfiguration;
use crate::failure::Failure;
use crate::imap::command::{self, Progress, Start, Strings};
use crate::imap::words::{self, ImapWords, tagged};
use crate::machine::client::ClientState;
use crate::machine::{self, Front};
use crate::sasl::{Attempt, AuthStep, Proof};
use crate::wire::{Line, MAX_AUTH_LINE_OCTETS};
use crate::words::Words;

/// What the client wants of its provider.
pub enum Wants {
    /// It signs in to this account.
    SignIn(Arc<Account>, Attempt),
}

type Answer = machine::Answer<Wants>;

/// The longest line before the sign-in, in octets: a name and a password as literals fit twice. RFC 2683 wants a server to take
/// 8,000.
const MAX_EARLY_LINE_OCTETS: usize = 8192;

/// Commands that are for a client that has signed in.
const SIGNED_IN_COMMANDS: [&str; 23] = [
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "APPEND",
    "CHECK",
    "CLOSE",
    "EXPUNGE",
    "SEARCH",
    "FETCH",
    "STORE",
    "COPY",
    "UID",
    "NAMESPACE",
    "IDLE",
    "GETQUOTAROOT",
    "GETACL",
];

/// Commands that the log shows with all that follows them.
const SHOWN_COMMANDS: [&str; 4] = ["CAPABILITY", "NOOP", "LOGOUT", "STARTTLS"];

/// Hears an IMAP client until it signs in.
pub struct ImapFront {
    client: ClientState,
    /// The tag of the command under way, which its reply has to have.
    tag: String,
    /// A LOGIN whose strings have not all come.
    login: Option<Strings>,
    /// LOGIN was answered OK although the provider cannot be reached; this is why.
    trouble: Option<Failure>,
    /// The client has seen an alert. A program shows each in a window of its own.
    was_alerted: bool,
    /// The failure of this command is told in an alert, too.
    alerts: bool,
}

impl Front for ImapFront {
    type Wants = Wants;

    fn client(&self) -> &ClientState {
        &self.client
    }

    fn client_mut(&mut self) -> &mut ClientState {
        &mut self.client
    }

    fn words(&self) -> &'static dyn Words {
        &ImapWords
    }

    fn greeting(&self) -> String {
        words::READY.into()
    }

    fn on_literal(&mut self, line: &Line) -> Option<Answer> {
        let strings = self.login.take()?;
        Some(self.go_on(strings, line.bytes()))
    }

    fn on_command(&mut self, line: &Line) -> Answer {
        let start = Start::parse(line.bytes());
        if let Some(answer) = self.of_another_protocol(line) {
            return answer;
        }
        let Some(tag) = start.tag else { return self.bad_without_tag() };
        tag.clone_into(&mut self.tag);
        if let Some(failure) = self.trouble.take().filter(|_| start.verb != "LOGOUT") {
            return Answer::Bye(words::unavailable(Some((tag, &failure)), &failure));
        }
        match start.verb.as_str() {
            "CAPABILITY" => {
                let list = words::capabilities(self.client.wants_password());
                Answer::Say(list + &tagged(tag, "OK", "these are they"))
            }
            "NOOP" => Answer::Say(tagged(tag, "OK", "done")),
            "LOGOUT" => Answer::Bye(words::goodbye(tag)),
            "LOGIN" => self.go_on(Strings::default(), start.rest),
            "AUTHENTICATE" => self.authenticate(start.rest),
            "STARTTLS" => {
                self.client.note(ClientMisconfiguration::StartTls);
                self.bad(words::DOOR_IS_PLAIN)
            }
            verb if SIGNED_IN_COMMANDS.contains(&verb) => Answer::Say(tagged(tag, "BAD", words::SIGN_IN_FIRST)),
            _ => self.bad(words::UNKNOWN_COMMAND),
        }
    }

    fn on_auth_step(&mut self, step: AuthStep) -> Answer {
        match step {
            AuthStep::Challenge(challenge) => Answer::Say(format!("+ {challenge}\r\n")),
            AuthStep::Attempt(attempt) => self.attempt(attempt),
            AuthStep::Cancelled => Answer::Say(tagged(&self.tag, "BAD", words::AUTH_CANCELLED)),
            AuthStep::Malformed => self.bad(words::AUTH_MALFORMED),
        }
    }

    fn is_http(&self, line: &Line) -> bool {
        command::is_http(line.bytes())
    }

    fn farewell(&self, rest: &[u8]) -> Option<String> {
        let start = Start::parse(rest.trim_ascii_end());
        let tag = start.tag.filter(|_| start.verb == "LOGOUT")?;
        Some(words::goodbye(tag))
    }

    fn line_limit(&self) -> usize {
        if self.is_in_exchange() { MAX_AUTH_LINE_OCTETS } else { MAX_EARLY_LINE_OCTETS }
    }

    fn too_late(&self) -> String {
        self.trouble.as_ref().map_or_else(|| self.words().timed_out(), |trouble| self.words().failure(trouble))
    }

    fn shown(&self, line: &Line) -> String {
        let start = Start::parse(line.bytes());
        match start.tag {
            _ if self.is_in_exchange() || self.login.is_some() => "***".into(),
            Some(_) if SHOWN_COMMANDS.contains(&start.verb.as_str()) => line.printable(),
            Some(tag) if matches!(start.verb.as_str(), "LOGIN" | "AUTHENTICATE") => format!("{tag} {} ***", start.verb),
            _ => "*** (not a command of a mail program)".into(),
        }
    }

    fn refusal(&self, failure: &Failure) -> String {
        let alert = if self.alerts { words::alert(failure) } else { String::new() };
        alert + &words::failed(&self.tag, failure)
    }
}

impl ImapFront {
    /// `stamp` is a unique message identifier, the challenge of CRAM-MD5.
    pub fn new(settings: Arc<Settings>, door_account: Option<Arc<Account>>, stamp: String) -> Self {
        Self {
            client: ClientState::new(Protocol::Imap, settings, door_account, stamp),
            tag: String::new(),
            login: None,
            trouble: None,
            was_alerted: false,
            alerts: false,
        }
    }

    /// The reply to a wrong local password, CR LF included.
    pub fn wrong_password(&mut self) -> String {
        self.client.note(ClientMisconfiguration::WrongPassword);
        self.alert_once();
        let alert = if self.alerts { words::alert_of(words::WRONG_PASSWORD) } else { String::new() };
        alert + &tagged(&self.tag, "NO", &format!("[AUTHENTICATIONFAILED] {}", words::WRONG_PASSWORD))
    }

    /// The reply to a sign-in that the provider has accepted. `visible` are those of its capabilities that the client may see;
    /// `alerts` is what it wants people to read.
    pub fn signed_in(&self, visible: &[u8], alerts: &[String]) -> String {
        let alerts: String = alerts.iter().map(|text| words::alert_of(text)).collect();
        alerts + &self.granted(visible)
    }

    /// The answer to a sign-in, with the capabilities before it.
    fn granted(&self, visible: &[u8]) -> String {
        words::capabilities_of_provider(visible) + &tagged(&self.tag, "OK", "signed in")
    }

    /// The reply to a sign-in that has failed at the provider.
    pub fn on_failure(&mut self, failure: &Failure) -> String {
        if failure.is_refused_sign_in() {
            self.alert_once();
            return self.refusal(failure);
        }
        self.trouble = Some(failure.clone());
        // What the provider has is not known.
        self.granted(b"")
    }

    fn alert_once(&mut self) {
        self.alerts = !std::mem::replace(&mut self.was_alerted, true);
    }

    /// Answers a command that is wrong.
    fn bad(&mut self, why: &str) -> Answer {
        let reply = tagged(&self.tag, "BAD", why);
        self.client.bad(reply.trim_end())
    }

    fn bad_without_tag(&mut self) -> Answer {
        self.client.bad(words::NO_TAG.trim_end())
    }

    /// A command of POP3 or SMTP has no tag, so its verb stands where that belongs.
    fn of_another_protocol(&mut self, line: &Line) -> Option<Answer> {
        let verb = crate::command::Command::parse(line.bytes()).verb;
        let (speaks, what) = match verb.as_str() {
            "EHLO" | "HELO" => (Protocol::Smtp, "sending"),
            "USER" | "CAPA" | "APOP" | "STLS" => (Protocol::Pop3, "fetching"),
            _ => return None,
        };
        Some(self.client.wrong_door(speaks, |door| words::wrong_door(what, door)))
    }

    fn go_on(&mut self, mut strings: Strings, line: &[u8]) -> Answer {
        match strings.take(line) {
            Progress::Complete => self.login(strings.into_vec()),
            Progress::AsksToGoOn => {
                self.login = Some(strings);
                Answer::Say(words::GO_ON.into())
            }
            Progress::GoesOn => {
                self.login = Some(strings);
                Answer::Say(String::new())
            }
            Progress::Malformed(why) => self.bad(why),
            Progress::TooMuch => Answer::Bye(words::BYE_TOO_MUCH.into()),
        }
    }

    fn login(&mut self, strings: Vec<Zeroizing<Vec<u8>>>) -> Answer {
        let Ok([name, password]) = <[_; 2]>::try_from(strings) else { return self.bad(words::LOGIN_NEEDS_TWO) };
        let name = charset::text(&name).trim().to_owned();
        // A name goes into the log and into refusals.
        if name.contains(char::is_control) {
            return self.bad(words::NAME_NOT_CLEAN);
        }
        self.attempt(Attempt { name, proof: Proof::Password(password) })
    }

    fn authenticate(&mut self, arguments: &[u8]) -> Answer {
        match self.client.begin_auth(&String::from_utf8_lossy(arguments)) {
            Some(step) => self.on_auth_step(step),
            None => Answer::Say(tagged(&self.tag, "NO", words::UNKNOWN_MECHANISM)),
        }
    }

    fn attempt(&mut self, attempt: Attempt) -> Answer {
        let account = self.client.find_account(&attempt.name);
        match account.and_then(|account| choose::with_server(account, Protocol::Imap)) {
            Ok(account) => Answer::Wants(Wants::SignIn(account, attempt)),
            Err(failure) => {
                self.alert_once();
                Answer::Refused(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests;
