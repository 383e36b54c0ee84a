//! Hears a POP3 client until it signs in: answers what needs no provider, and finds out which account the client means.

use std::sync::Arc;

use crate::account::{Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::ClientMisconfiguration;
use crate::command::{Command, is_quit};
use crate::failure::Failure;
use crate::machine::client::ClientState;
use crate::machine::{self, Front};
use crate::pop3::words::{self, Pop3Words};
use crate::sasl::{Attempt, AuthStep, Proof};
use crate::wire::Line;
use crate::words::Words;

/// What a POP3 client wants of its provider.
pub enum Wants {
    /// Its account is known now. Connect to the provider, if that is allowed yet, and send this reply.
    Connect(Arc<Account>, String),
    /// It signs in to this account.
    SignIn(Arc<Account>, Attempt),
}

type Answer = machine::Answer<Wants>;

/// Hears a POP3 client until it signs in.
pub struct Pop3Front {
    client: ClientState,
    /// The name that USER gave, and its account.
    user: Option<(String, Arc<Account>)>,
}

impl Front for Pop3Front {
    type Wants = Wants;

    fn client(&self) -> &ClientState {
        &self.client
    }

    fn client_mut(&mut self) -> &mut ClientState {
        &mut self.client
    }

    fn words(&self) -> &'static dyn Words {
        &Pop3Words
    }

    fn greeting(&self) -> String {
        words::greeting(self.client.wants_password().then_some(&self.client.stamp))
    }

    fn on_command(&mut self, line: &Line) -> Answer {
        let command = Command::parse(line.bytes());
        match command.verb.as_str() {
            "USER" => self.user(&command),
            "PASS" => self.pass(&command),
            "APOP" => self.apop(&command),
            "AUTH" => self.auth(&command),
            "CAPA" => Answer::Say(words::capabilities(self.client.wants_password())),
            "QUIT" => Answer::Bye(format!("{}\r\n", words::BYE)),
            "NOOP" => Answer::line(words::OK),
            "STLS" => self.client.misconfigured(ClientMisconfiguration::StartTls, words::DOOR_IS_PLAIN),
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" => self.client.wrong_door(Protocol::Smtp, words::wrong_door),
            "STAT" | "LIST" | "UIDL" | "RETR" | "TOP" | "DELE" | "RSET" | "LAST" | "XSENDER" | "XTND" | "GURL"
            | "LANG" | "UTF8" => Answer::line(words::SIGN_IN_FIRST),
            _ => self.client.bad(words::UNKNOWN_COMMAND),
        }
    }

    fn on_auth_step(&mut self, step: AuthStep) -> Answer {
        match step {
            AuthStep::Challenge(challenge) => Answer::Say(format!("+ {challenge}\r\n")),
            AuthStep::Attempt(attempt) => self.attempt(attempt),
            AuthStep::Cancelled => Answer::line(words::AUTH_CANCELLED),
            AuthStep::Malformed => self.client.bad(words::AUTH_MALFORMED),
        }
    }

    fn farewell(&self, rest: &[u8]) -> Option<String> {
        is_quit(rest).then(|| format!("{}\r\n", words::BYE))
    }
}

impl Pop3Front {
    /// `stamp` is a unique message identifier (RFC 1939, section 7).
    pub fn new(settings: Arc<Settings>, door_account: Option<Arc<Account>>, stamp: String) -> Self {
        Self { client: ClientState::new(Protocol::Pop3, settings, door_account, stamp), user: None }
    }

    /// The reply to a wrong local password, CR LF included.
    pub fn wrong_password(&mut self) -> String {
        self.client.note(ClientMisconfiguration::WrongPassword);
        format!("{}\r\n", words::WRONG_PASSWORD)
    }

    /// The account that a client means, if it can fetch.
    fn find(&self, name: &str) -> Result<Arc<Account>, Failure> {
        self.client.find_account(name).and_then(|account| choose::with_server(account, Protocol::Pop3))
    }

    fn user(&mut self, command: &Command<'_>) -> Answer {
        let name = command.name();
        // A name goes into the log and into refusals.
        if name.contains(char::is_control) {
            return self.client.bad(words::NAME_NOT_CLEAN);
        }
        match self.find(&name) {
            Ok(account) => {
                self.user = Some((name, Arc::clone(&account)));
                Answer::Wants(Wants::Connect(account, format!("{}\r\n", words::OK)))
            }
            Err(failure) => {
                // A PASS that follows must not sign in to the account named before.
                self.user = None;
                Answer::Refused(failure)
            }
        }
    }

    fn pass(&mut self, command: &Command<'_>) -> Answer {
        let user =
            self.user.clone().or_else(|| self.client.door_account.clone().map(|account| (String::new(), account)));
        let Some((name, account)) = user else { return self.client.bad(words::USER_FIRST) };
        // Not trimmed: a password may begin or end with blanks.
        let proof = Proof::Password(zeroize::Zeroizing::new(command.rest.to_vec()));
        Answer::Wants(Wants::SignIn(account, Attempt { name, proof }))
    }

    fn apop(&mut self, command: &Command<'_>) -> Answer {
        let argument = command.name();
        // A name may have blanks in it; the digest is the last word.
        let Some((name, digest)) = argument.rsplit_once(' ').filter(|(name, _)| !name.contains(char::is_control))
        else {
            return self.client.bad(words::APOP_NEEDS_DIGEST);
        };
        let proof = Proof::Apop { stamp: self.client.stamp.clone(), digest: digest.to_owned() };
        self.attempt(Attempt { name: name.trim().to_owned(), proof })
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        let arguments = command.argument();
        // Netscape asks for a list in this way, and goes on with USER and PASS if there is none.
        if arguments.is_empty() {
            return Answer::line(words::NO_AUTH_LIST);
        }
        match self.client.begin_auth(&arguments) {
            Some(step) => self.on_auth_step(step),
            None => Answer::line(words::UNKNOWN_MECHANISM),
        }
    }

    fn attempt(&mut self, attempt: Attempt) -> Answer {
        match self.find(&attempt.name) {
            Ok(account) => Answer::Wants(Wants::SignIn(account, attempt)),
            Err(failure) => Answer::Refused(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::{account, settings};
    use crate::account::{Access, NearbyDoor};
    use crate::machine::client::{MAX_BAD_COMMANDS, MAX_EARLY_COMMANDS};

    fn front(access: Access, names: &[&str]) -> Pop3Front {
        let accounts = names.iter().map(|n| Arc::new(account(n, &format!("{n}@example.net"), n))).collect();
        Pop3Front::new(settings(access, accounts, &[]), None, "<1.2@ostler>".into())
    }

    /// Plays a client's lines; each answer as text, a sign-in as `=> account/name`.
    fn play(front: &mut Pop3Front, lines: &[&str]) -> Vec<String> {
        lines
            .iter()
            .map(|line| match front.on_line(&Line::new(line.as_bytes())) {
                Answer::Say(text) | Answer::Wants(Wants::Connect(_, text)) | Answer::Bye(text) => {
                    text.trim_end().to_owned()
                }
                Answer::Refused(failure) => front.refusal(&failure).trim_end().to_owned(),
                Answer::Wants(Wants::SignIn(account, attempt)) => format!("=> {} as {}", account.name, attempt.name),
                Answer::Misused(misuse) => format!("{misuse:?}"),
            })
            .collect()
    }

    #[test]
    fn outlook_express_signs_in() {
        let mut front = front(Access::SameUser, &["home"]);
        assert_eq!(front.greeting(), "+OK ostler ready\r\n");
        assert_eq!(play(&mut front, &["USER home", "PASS anything"]), ["+OK", "=> home as home"]);
    }

    #[test]
    fn netscape_probes_auth_and_goes_on() {
        let mut front = front(Access::SameUser, &["home"]);
        let said = play(&mut front, &["AUTH", "AUTH ", "USER home@127.0.0.1", "pass "]);
        assert_eq!(
            said,
            ["-ERR ostler wants USER and PASS", "-ERR ostler wants USER and PASS", "+OK", "=> home as home@127.0.0.1"]
        );
    }

    #[test]
    fn netscape_4_signs_in_with_auth_login() {
        let mut front = front(Access::SameUser, &["home"]);
        assert_eq!(
            play(&mut front, &["AUTH LOGIN", "aG9tZQ==", "eA=="]),
            ["+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6", "=> home as home"]
        );
    }

    #[test]
    fn an_unknown_name_is_told_the_names_there_are() {
        let mut front = front(Access::SameUser, &["home", "work"]);
        let said = play(&mut front, &["USER joe", "PASS x"]);
        assert!(said[0].starts_with("-ERR [AUTH] ostler has no account \"joe\"; it has: home, work"), "{}", said[0]);
        assert_eq!(said[1], "-ERR USER comes first");
    }

    #[test]
    fn an_empty_name_is_told_the_names_there_are() {
        let mut front1 = front(Access::SameUser, &["home", "work"]);
        let lines = ["USER", "USER ", "USER \t  ", "AUTH PLAIN AAB4", "AUTH LOGIN =", "eA==", "PASS x"];
        let said = play(&mut front1, &lines);
        for n in [0, 1, 2, 3, 5] {
            let names = "-ERR [AUTH] ostler has no account without a user name; it has: home, work; use one of these";
            assert!(said[n].starts_with(names), "{}: {}", lines[n], said[n]);
        }
        assert_eq!(said[6], "-ERR USER comes first");
        let mut empty = front(Access::SameUser, &[]);
        assert!(play(&mut empty, &["USER"])[0].starts_with("-ERR [AUTH] ostler has no account yet; add one"));
    }

    #[test]
    fn a_challenge_is_offered_only_where_it_can_be_checked() {
        let mut open = front(Access::SameUser, &["home"]);
        assert!(play(&mut open, &["AUTH CRAM-MD5"])[0].starts_with("-ERR"));
        assert!(!play(&mut open, &["CAPA"])[0].contains("SASL"));
        let mut closed = front(Access::Password, &["home"]);
        assert_eq!(closed.greeting(), "+OK ostler ready <1.2@ostler>\r\n");
        assert!(play(&mut closed, &["CAPA"])[0].contains("\r\nSASL CRAM-MD5 PLAIN LOGIN\r\n"));
        assert!(play(&mut closed, &["AUTH CRAM-MD5"])[0].starts_with("+ "));
        assert_eq!(play(&mut closed, &["aG9tZSAxMjM="]), ["=> home as home"]);
        assert_eq!(play(&mut closed, &["APOP home c4c9334bac560ecc979e58001b3e22fb"]), ["=> home as home"]);
    }

    #[test]
    fn browsers_and_probers_are_sent_away() {
        assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["POST / HTTP/1.1"]), ["Http"]);
        assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["Host: 127.0.0.1"]), ["Http"]);
        let said = play(&mut front(Access::SameUser, &["home"]), &["x", "x", "x", "x", "x", "x"]);
        assert_eq!(said.last().unwrap(), "TooManyCommands");
        assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["USER a\rb"]), ["Unclean"]);
    }

    #[test]
    fn a_name_with_control_characters_is_no_name() {
        let settings = front(Access::Password, &["home"]).client.settings;
        let own = settings.accounts.first().cloned();
        let mut own_door = Pop3Front::new(settings, own, "<1.2@ostler>".into());
        let said = play(&mut own_door, &["USER \u{1b}[2J", "APOP a\u{9b}b 0123", "APOP a 0123"]);
        assert_eq!(
            said,
            ["-ERR a user name has no control characters", "-ERR APOP needs a name and a digest", "=> home as a"]
        );
    }

    #[test]
    fn quit_cut_off_is_quit() {
        let mut front = front(Access::SameUser, &[]);
        assert_eq!(front.on_end(b"quit").as_deref(), Some("+OK bye\r\n"));
        assert_eq!(front.on_end(b"QUI"), None);
    }

    #[test]
    fn without_an_account_the_door_says_so() {
        let said = play(&mut front(Access::SameUser, &[]), &["USER ann"]);
        assert!(said[0].contains("ostler has no account yet"), "{}", said[0]);
    }

    /// A door of one account's own, and one for all where mail is sent.
    fn own_front(access: Access) -> Pop3Front {
        let account = Arc::new(account("home", "home@example.net", "home"));
        let doors = [(Protocol::Pop3, 1100), (Protocol::Smtp, 2525)];
        Pop3Front::new(settings(access, vec![Arc::clone(&account)], &doors), Some(account), "<1.2@ostler>".into())
    }

    #[test]
    fn each_command_has_its_answer() {
        let mut front1 = front(Access::SameUser, &["home"]);
        let said = play(&mut front1, &["CAPA", "NOOP", "STAT", "XYZ", "PASS x", "APOP home", "USER", "QUIT"]);
        assert_eq!(said[0], "+OK\r\nUSER\r\nUIDL\r\nTOP\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.");
        assert_eq!(said[1], "+OK");
        assert_eq!(said[2], "-ERR sign in first: USER, then PASS");
        assert_eq!(said[3], "-ERR ostler does not know this command");
        assert_eq!(said[4], "-ERR USER comes first");
        assert_eq!(said[5], "-ERR APOP needs a name and a digest");
        assert!(
            said[6].starts_with("-ERR [AUTH] ostler has no account without a user name; it has: home"),
            "{}",
            said[6]
        );
        assert_eq!(said[7], "+OK bye");
        let said = play(&mut own_front(Access::SameUser), &["USER", "PASS x"]);
        assert_eq!(said, ["+OK", "=> home as "], "a door of one account's own needs no name");
    }

    #[test]
    fn a_client_may_say_so_much_before_it_signs_in_and_no_more() {
        let mut front1 = front(Access::SameUser, &["home"]);
        assert!(play(&mut front1, &["NOOP"; MAX_EARLY_COMMANDS]).iter().all(|said| said == "+OK"));
        assert_eq!(play(&mut front1, &["NOOP"]), ["TooManyCommands"]);
        let mut front2 = front(Access::SameUser, &["home"]);
        assert!(play(&mut front2, &["XYZ"; MAX_BAD_COMMANDS]).iter().all(|said| said.starts_with("-ERR ")));
        assert_eq!(play(&mut front2, &["XYZ"]), ["TooManyCommands"]);
    }

    #[test]
    fn an_answer_to_a_challenge_may_be_longer_than_a_command() {
        let mut front = front(Access::SameUser, &["home"]);
        assert!(!front.is_in_exchange());
        play(&mut front, &["AUTH LOGIN"]);
        assert!(front.is_in_exchange());
        assert_eq!(play(&mut front, &["*"]), ["-ERR AUTH cancelled"]);
        assert!(!front.is_in_exchange());
        let said = play(&mut front, &["AUTH LOGIN", "!"]);
        assert_eq!(said[1], "-ERR this is not a valid answer in an AUTH exchange");
    }

    #[test]
    fn a_mistake_in_the_settings_of_the_program_is_told() {
        let slip = |line: &str| {
            let mut front = own_front(Access::SameUser);
            let said = play(&mut front, &[line]).remove(0);
            let slip = front.take_misconfiguration();
            assert_eq!(front.take_misconfiguration(), None, "told once");
            (slip, said)
        };
        assert_eq!(slip("STLS").0, Some(ClientMisconfiguration::StartTls));
        assert_eq!(slip("AUTH NTLM").0, Some(ClientMisconfiguration::Secure));
        assert_eq!(slip("AUTH CRAM-MD5").0, Some(ClientMisconfiguration::Secure), "it could not be checked");
        let sending = NearbyDoor { port: 2525, address: None };
        let (wrong_door, said) = slip("EHLO x");
        assert_eq!(wrong_door, Some(ClientMisconfiguration::WrongDoor { speaks: Protocol::Smtp, door: Some(sending) }));
        assert!(said.ends_with("the one for sending is 2525"), "{said}");
        assert_eq!(slip("NOOP").0, None);
        let mut front = own_front(Access::SameUser);
        assert_eq!(front.on_end(b""), None);
        let silent = ClientMisconfiguration::Silent { at: Protocol::Pop3, door: Some(sending) };
        assert_eq!(front.take_misconfiguration(), Some(silent));
        play(&mut front, &["CAPA"]);
        assert_eq!(front.on_end(b""), None);
        assert_eq!(front.take_misconfiguration(), None);
    }
}
