//! Hears a POP3 client until it signs in: answers what needs no provider, and finds out which account the client means.

use std::sync::Arc;

use crate::account::{Access, Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::command::{Command, is_http};
use crate::failure::Failure;
use crate::machine::{self, Front};
use crate::pop3::words::{self, Pop3Words};
use crate::sasl::{Acceptor, Attempt, AuthStep, Mechanism, Proof};
use crate::wire::Line;
use crate::words::Words;

/// The most commands before the sign-in. No real client needs more than six.
const MAX_COMMANDS: usize = 20;
/// The most bad commands before the sign-in.
const MAX_BAD_COMMANDS: usize = 5;

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
    settings: Arc<Settings>,
    /// The account this door leads to, if it is a door of one account.
    door_account: Option<Arc<Account>>,
    /// A unique message identifier, the challenge of APOP and CRAM-MD5.
    stamp: String,
    /// The name that USER gave, and its account.
    user: Option<(String, Arc<Account>)>,
    exchange: Option<Acceptor>,
    commands: usize,
    bad_commands: usize,
    misconfiguration: Option<ClientMisconfiguration>,
}

impl Front for Pop3Front {
    type Wants = Wants;

    fn words(&self) -> &'static dyn Words {
        &Pop3Words
    }

    fn greeting(&self) -> String {
        words::greeting(self.wants_password().then_some(&self.stamp))
    }

    fn is_in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    fn on_line(&mut self, line: &Line) -> Answer {
        if !line.is_clean() {
            return Answer::Misused(Misuse::Unclean);
        }
        if let Some(exchange) = &mut self.exchange {
            let step = exchange.on_response(line.bytes());
            return self.auth_step(step);
        }
        // A web page can make a browser send commands to a local port, after the lines of an HTTP request.
        if is_http(line.bytes()) {
            return Answer::Misused(Misuse::Http);
        }
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return Answer::Misused(Misuse::TooManyCommands);
        }
        self.command(&Command::parse(line.bytes()))
    }

    fn on_end(&mut self, rest: &[u8]) -> Option<String> {
        if rest.trim_ascii().eq_ignore_ascii_case(b"QUIT") {
            return Some(format!("{}\r\n", words::BYE));
        }
        if self.commands == 0 {
            // A program that expects SMTP waits for 220, gives up, and leaves.
            self.misconfiguration = Some(ClientMisconfiguration::Silent { at: Protocol::Pop3, port: self.smtp_port() });
        }
        None
    }

    fn refusal(&self, failure: &Failure) -> String {
        format!("{}\r\n", words::failure(failure))
    }

    fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.misconfiguration.take()
    }
}

impl Pop3Front {
    /// `stamp` is a unique message identifier (RFC 1939, section 7).
    pub fn new(settings: Arc<Settings>, door_account: Option<Arc<Account>>, stamp: String) -> Self {
        Self {
            settings,
            door_account,
            stamp,
            user: None,
            exchange: None,
            commands: 0,
            bad_commands: 0,
            misconfiguration: None,
        }
    }

    /// The reply to a wrong local password, CR LF included.
    pub fn wrong_password(&mut self) -> String {
        self.misconfiguration = Some(ClientMisconfiguration::WrongPassword);
        format!("{}\r\n", words::WRONG_PASSWORD)
    }

    fn command(&mut self, command: &Command<'_>) -> Answer {
        match command.verb.as_str() {
            "USER" => self.user(command),
            "PASS" => self.pass(command),
            "APOP" => self.apop(command),
            "AUTH" => self.auth(command),
            "CAPA" => Answer::Say(words::capabilities(self.wants_password())),
            "QUIT" => Answer::Bye(format!("{}\r\n", words::BYE)),
            "NOOP" => Answer::line(words::OK),
            "STLS" => self.misconfigured(ClientMisconfiguration::StartTls, words::DOOR_IS_PLAIN),
            // The program has the port for fetching where that for sending belongs.
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" => {
                let port = self.smtp_port();
                let wrong_door = ClientMisconfiguration::WrongDoor { speaks: Protocol::Smtp, port };
                self.misconfigured(wrong_door, &words::wrong_door(port))
            }
            "STAT" | "LIST" | "UIDL" | "RETR" | "TOP" | "DELE" | "RSET" | "LAST" | "XSENDER" | "XTND" | "GURL"
            | "LANG" | "UTF8" => Answer::line(words::SIGN_IN_FIRST),
            _ => self.bad(words::UNKNOWN_COMMAND),
        }
    }

    fn wants_password(&self) -> bool {
        self.settings.access == Access::Password
    }

    /// The account that a client means. A door of one account decides whatever the name is.
    fn find(&self, name: &str) -> Result<Arc<Account>, Failure> {
        let account = match &self.door_account {
            Some(account) => Arc::clone(account),
            None => choose::by_user_name(&self.settings.accounts, name)?,
        };
        if account.pop3.is_none() {
            return Err(Failure::NoServer { account: account.name.clone(), protocol: Protocol::Pop3 });
        }
        Ok(account)
    }

    fn user(&mut self, command: &Command<'_>) -> Answer {
        let name = command.argument();
        // A name goes into the log and into refusals. At a door of one account it may be left out.
        if name.contains(char::is_control) || (name.is_empty() && self.door_account.is_none()) {
            return self.bad(words::USER_NEEDS_NAME);
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
        let user = self.user.clone().or_else(|| self.door_account.clone().map(|account| (String::new(), account)));
        let Some((name, account)) = user else { return self.bad(words::USER_FIRST) };
        // Not trimmed: a password may begin or end with blanks.
        let proof = Proof::Password(zeroize::Zeroizing::new(command.rest.to_vec()));
        Answer::Wants(Wants::SignIn(account, Attempt { name, proof }))
    }

    fn apop(&mut self, command: &Command<'_>) -> Answer {
        let argument = command.argument();
        // A name may have blanks in it; the digest is the last word.
        let Some((name, digest)) = argument.rsplit_once(' ').filter(|(name, _)| !name.contains(char::is_control))
        else {
            return self.bad(words::APOP_NEEDS_DIGEST);
        };
        let proof = Proof::Apop { stamp: self.stamp.clone(), digest: digest.to_owned() };
        self.attempt(Attempt { name: name.trim().to_owned(), proof })
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        let argument = command.argument();
        let mut arguments = argument.split_whitespace();
        let mechanism = match arguments.next() {
            // Netscape asks for a list in this way, and goes on with USER and PASS if there is none.
            None => return Answer::line(words::NO_AUTH_LIST),
            // A digest can only be checked against a password that ostler knows.
            Some(name) => Mechanism::from_name(name).filter(|m| *m != Mechanism::CramMd5 || self.wants_password()),
        };
        let Some(mechanism) = mechanism else {
            self.misconfiguration = Some(ClientMisconfiguration::Secure);
            return Answer::line(words::UNKNOWN_MECHANISM);
        };
        let (exchange, step) = Acceptor::begin(mechanism, arguments.next().map(str::as_bytes), &self.stamp);
        self.exchange = Some(exchange);
        self.auth_step(step)
    }

    fn auth_step(&mut self, step: AuthStep) -> Answer {
        if let AuthStep::Challenge(challenge) = step {
            return Answer::Say(format!("+ {challenge}\r\n"));
        }
        // The exchange is over, however it ended: the next line is a command again.
        self.exchange = None;
        match step {
            AuthStep::Attempt(attempt) => self.attempt(attempt),
            AuthStep::Cancelled => Answer::line(words::AUTH_CANCELLED),
            AuthStep::Malformed | AuthStep::Challenge(_) => self.bad(words::AUTH_MALFORMED),
        }
    }

    fn attempt(&mut self, attempt: Attempt) -> Answer {
        match self.find(&attempt.name) {
            Ok(account) => Answer::Wants(Wants::SignIn(account, attempt)),
            Err(failure) => Answer::Refused(failure),
        }
    }

    /// Counts a bad command and answers it. Too many of them show that the client is not a mail program.
    fn bad(&mut self, reply: &str) -> Answer {
        self.bad_commands += 1;
        if self.bad_commands > MAX_BAD_COMMANDS {
            Answer::Misused(Misuse::TooManyCommands)
        } else {
            Answer::line(reply)
        }
    }

    /// A bad command that shows a mistake in the settings of the program.
    fn misconfigured(&mut self, misconfiguration: ClientMisconfiguration, reply: &str) -> Answer {
        self.misconfiguration = Some(misconfiguration);
        self.bad(reply)
    }

    fn smtp_port(&self) -> Option<u16> {
        self.settings.port_for(Protocol::Smtp, self.door_account.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::{account, settings};

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
        let settings = front(Access::Password, &["home"]).settings;
        let own = settings.accounts.first().cloned();
        let mut own_door = Pop3Front::new(settings, own, "<1.2@ostler>".into());
        let said = play(&mut own_door, &["USER \u{1b}[2J", "APOP a\u{9b}b 0123", "APOP a 0123"]);
        assert_eq!(said, ["-ERR USER needs a name", "-ERR APOP needs a name and a digest", "=> home as a"]);
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
        assert_eq!(said[6], "-ERR USER needs a name");
        assert_eq!(said[7], "+OK bye");
        let said = play(&mut own_front(Access::SameUser), &["USER", "PASS x"]);
        assert_eq!(said, ["+OK", "=> home as "], "a door of one account's own needs no name");
    }

    #[test]
    fn a_client_may_say_so_much_before_it_signs_in_and_no_more() {
        let mut front1 = front(Access::SameUser, &["home"]);
        assert!(play(&mut front1, &["NOOP"; MAX_COMMANDS]).iter().all(|said| said == "+OK"));
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
        let (wrong_door, said) = slip("EHLO x");
        assert_eq!(wrong_door, Some(ClientMisconfiguration::WrongDoor { speaks: Protocol::Smtp, port: Some(2525) }));
        assert!(said.ends_with("the one for sending is 2525"), "{said}");
        assert_eq!(slip("NOOP").0, None);
        let mut front = own_front(Access::SameUser);
        assert_eq!(front.on_end(b""), None);
        let silent = ClientMisconfiguration::Silent { at: Protocol::Pop3, port: Some(2525) };
        assert_eq!(front.take_misconfiguration(), Some(silent));
        play(&mut front, &["CAPA"]);
        assert_eq!(front.on_end(b""), None);
        assert_eq!(front.take_misconfiguration(), None);
    }
}
