//! What a client hears at a POP3 door until it has signed in: ostler's own answers, and the decision whose sign-in is
//! wanted. It knows the accounts and nothing about connections.

use std::sync::Arc;

use crate::account::{Access, Account, Protocol, Settings};
use crate::choose;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::command::{Command, is_http};
use crate::failure::{Failure, one_line};
use crate::sasl::{Acceptor, Attempt, AuthStep, Mechanism, Proof};
use crate::wire::Line;

/// Commands a client may give before it has signed in; the longest real client needs six.
const COMMANDS: usize = 20;
/// Of these, commands that make no sense.
const BAD_COMMANDS: usize = 5;

/// What to do after a line.
pub enum Answer {
    /// Send this (CR LF included) and hear the next line.
    Say(String),
    /// The account is known now: reach for the provider if that is allowed, send this, and hear the next line.
    Known(Arc<Account>, String),
    /// The client wants in.
    SignIn(Arc<Account>, Attempt),
    /// Send this and close.
    Bye(String),
    /// Tell of this, send its reply, and hear the next line.
    Refused(Failure),
    /// Send this, name the misuse in the log, and close.
    Misused(Misuse, String),
}

/// The door's side of the dialogue.
pub struct Pop3Front {
    settings: Arc<Settings>,
    own: Option<Arc<Account>>,
    stamp: String,
    named: Option<(String, Arc<Account>)>,
    exchange: Option<Acceptor>,
    commands: usize,
    bad: usize,
    slip: Option<ClientMisconfiguration>,
}

impl Pop3Front {
    /// `own`: the account this door leads to, if only to one. `stamp`: unique in the world, `<..@..>`.
    pub fn new(settings: Arc<Settings>, own: Option<Arc<Account>>, stamp: String) -> Self {
        Self { settings, own, stamp, named: None, exchange: None, commands: 0, bad: 0, slip: None }
    }

    /// The first line. The timestamp of APOP is in it only where APOP can be checked.
    pub fn greeting(&self) -> String {
        if self.wants_password() {
            format!("+OK ostler ready {}\r\n", self.stamp)
        } else {
            "+OK ostler ready\r\n".into()
        }
    }

    /// Whether a line longer than a command is due: an answer in an AUTH exchange.
    pub fn in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    /// The client said a line.
    pub fn on_line(&mut self, line: &Line) -> Answer {
        if !line.is_clean() {
            return misused(Misuse::Unclean);
        }
        if let Some(exchange) = &mut self.exchange {
            let heard = exchange.hear(line.bytes());
            return self.heard(heard);
        }
        if is_http(line.bytes()) {
            return misused(Misuse::Http);
        }
        self.commands += 1;
        if self.commands > COMMANDS {
            return misused(Misuse::TooManyCommands);
        }
        let command = Command::parse(line.bytes());
        match command.verb.as_str() {
            "USER" => self.user(&command),
            "PASS" => self.pass(&command),
            "APOP" => self.apop(&command),
            "AUTH" => self.auth(&command),
            "CAPA" => Answer::Say(self.capabilities()),
            "QUIT" => Answer::Bye("+OK bye\r\n".into()),
            "NOOP" => Answer::Say("+OK\r\n".into()),
            "STLS" => self.slip(ClientMisconfiguration::StartTls, "-ERR this door is plain: switch SSL/TLS off in the mail program; ostler encrypts the way to the provider"),
            "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" => {
                let port = self.smtp_port();
                let way = port.map_or("sending is switched off".into(), |port| format!("the one for sending is {port}"));
                let reply = format!("-ERR this is the POP3 port of ostler, for fetching; {way}");
                self.slip(ClientMisconfiguration::WrongDoor { speaks: Protocol::Smtp, port }, &reply)
            }
            "STAT" | "LIST" | "UIDL" | "RETR" | "TOP" | "DELE" | "RSET" | "LAST" | "XSENDER" | "XTND" | "GURL" | "LANG" | "UTF8" => {
                Answer::Say("-ERR sign in first: USER, then PASS\r\n".into())
            }
            _ => self.bad("-ERR ostler does not know this command"),
        }
    }

    /// The client's last octets, without a line end. Some say `QUIT` and hang up in one breath.
    pub fn on_end(&self, rest: &[u8]) -> bool {
        rest.trim_ascii().eq_ignore_ascii_case(b"QUIT")
    }

    fn wants_password(&self) -> bool {
        self.settings.access == Access::Password
    }

    fn find(&self, name: &str) -> Result<Arc<Account>, Failure> {
        let account = match &self.own {
            Some(own) => Arc::clone(own),
            None => choose::by_user_name(&self.settings.accounts, name)?,
        };
        if account.pop3.is_none() {
            return Err(Failure::NoServer { account: account.name.clone(), protocol: Protocol::Pop3 });
        }
        Ok(account)
    }

    fn user(&mut self, command: &Command<'_>) -> Answer {
        let name = command.argument();
        if name.contains(char::is_control) || (name.is_empty() && self.own.is_none()) {
            return self.bad("-ERR USER needs a name");
        }
        match self.find(&name) {
            Ok(account) => {
                self.named = Some((name, Arc::clone(&account)));
                Answer::Known(account, "+OK\r\n".into())
            }
            Err(failure) => {
                self.named = None;
                Answer::Refused(failure)
            }
        }
    }

    fn pass(&mut self, command: &Command<'_>) -> Answer {
        let named = self.named.clone().or_else(|| self.own.clone().map(|own| (String::new(), own)));
        let Some((name, account)) = named else { return self.bad("-ERR USER comes first") };
        let proof = Proof::Password(zeroize::Zeroizing::new(command.rest.to_vec()));
        Answer::SignIn(account, Attempt { name, proof })
    }

    fn apop(&mut self, command: &Command<'_>) -> Answer {
        let argument = command.argument();
        let Some((name, digest)) = argument.rsplit_once(' ').filter(|(name, _)| !name.contains(char::is_control))
        else {
            return self.bad("-ERR APOP needs a name and a digest");
        };
        let proof = Proof::Apop { stamp: self.stamp.clone(), digest: digest.to_owned() };
        self.attempt(Attempt { name: name.trim().to_owned(), proof })
    }

    fn auth(&mut self, command: &Command<'_>) -> Answer {
        let argument = command.argument();
        let mut words = argument.split_whitespace();
        let mechanism = match words.next() {
            // Netscape asks like this for a list and goes on with USER and PASS when there is none.
            None => return Answer::Say("-ERR ostler wants USER and PASS\r\n".into()),
            Some(name) => Mechanism::from_name(name).filter(|m| *m != Mechanism::CramMd5 || self.wants_password()),
        };
        let Some(mechanism) = mechanism else {
            self.slip = Some(ClientMisconfiguration::Secure);
            return Answer::Say("-ERR ostler does not have this kind of AUTH; switch SPA (secure password authentication) off in the mail program\r\n".into());
        };
        let (exchange, heard) = Acceptor::begin(mechanism, words.next().map(str::as_bytes), &self.stamp);
        self.exchange = Some(exchange);
        self.heard(heard)
    }

    fn heard(&mut self, heard: AuthStep) -> Answer {
        if let AuthStep::Challenge(challenge) = heard {
            return Answer::Say(format!("+ {challenge}\r\n"));
        }
        self.exchange = None;
        match heard {
            AuthStep::Attempt(attempt) => self.attempt(attempt),
            AuthStep::Cancelled => Answer::Say("-ERR AUTH broken off\r\n".into()),
            AuthStep::Malformed | AuthStep::Challenge(_) => self.bad("-ERR this is no answer in an AUTH exchange"),
        }
    }

    fn attempt(&mut self, attempt: Attempt) -> Answer {
        match self.find(&attempt.name) {
            Ok(account) => Answer::SignIn(account, attempt),
            Err(failure) => Answer::Refused(failure),
        }
    }

    fn bad(&mut self, reply: &str) -> Answer {
        self.bad += 1;
        if self.bad > BAD_COMMANDS {
            misused(Misuse::TooManyCommands)
        } else {
            Answer::Say(format!("{}\r\n", one_line(reply)))
        }
    }

    /// As [`Self::bad`], for a mistake that is worth telling.
    fn slip(&mut self, slip: ClientMisconfiguration, reply: &str) -> Answer {
        self.slip = Some(slip);
        self.bad(reply)
    }

    /// The mistake in the client's settings that its last line has shown; told once.
    pub fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.slip.take()
    }

    /// What is to be told of a client that has gone: one that never said anything may have come to the wrong port.
    pub fn silent(&self) -> Option<ClientMisconfiguration> {
        (self.commands == 0).then(|| ClientMisconfiguration::Silent { at: Protocol::Pop3, port: self.smtp_port() })
    }

    fn smtp_port(&self) -> Option<u16> {
        self.settings.port_for(Protocol::Smtp, self.own.as_deref())
    }

    fn capabilities(&self) -> String {
        let sasl = if self.wants_password() { "SASL CRAM-MD5 PLAIN LOGIN\r\n" } else { "" };
        format!("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n{sasl}.\r\n")
    }
}

/// The last line for a client that is sent away.
pub fn misused(misuse: Misuse) -> Answer {
    let reply = misuse_reply(&misuse);
    Answer::Misused(misuse, reply)
}

/// What the client reads then, with its line end.
pub fn misuse_reply(misuse: &Misuse) -> String {
    // As the answers to the wrong passwords before it.
    let code = if *misuse == Misuse::TooManyPasswords { "[AUTH] " } else { "" };
    format!("{}\r\n", one_line(&format!("-ERR {code}ostler closes this connection: {misuse}")))
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
                Answer::Say(text) | Answer::Known(_, text) | Answer::Bye(text) => text.trim_end().to_owned(),
                Answer::Refused(failure) => failure.pop3_reply(),
                Answer::SignIn(account, attempt) => format!("=> {} as {}", account.name, attempt.name),
                Answer::Misused(misuse, _) => format!("{misuse:?}"),
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
        let front = front(Access::SameUser, &[]);
        assert!(front.on_end(b"quit") && !front.on_end(b"QUI"));
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
        let reply = misuse_reply(&Misuse::Unclean);
        assert!(reply.starts_with("-ERR ") && reply.ends_with("\r\n"));
    }

    #[test]
    fn a_client_may_say_so_much_before_it_signs_in_and_no_more() {
        let mut front1 = front(Access::SameUser, &["home"]);
        assert!(play(&mut front1, &["NOOP"; COMMANDS]).iter().all(|said| said == "+OK"));
        assert_eq!(play(&mut front1, &["NOOP"]), ["TooManyCommands"]);
        let mut front2 = front(Access::SameUser, &["home"]);
        assert!(play(&mut front2, &["XYZ"; BAD_COMMANDS]).iter().all(|said| said.starts_with("-ERR ")));
        assert_eq!(play(&mut front2, &["XYZ"]), ["TooManyCommands"]);
    }

    #[test]
    fn an_answer_to_a_challenge_may_be_longer_than_a_command() {
        let mut front = front(Access::SameUser, &["home"]);
        assert!(!front.in_exchange());
        play(&mut front, &["AUTH LOGIN"]);
        assert!(front.in_exchange());
        assert_eq!(play(&mut front, &["*"]), ["-ERR AUTH broken off"]);
        assert!(!front.in_exchange());
        let said = play(&mut front, &["AUTH LOGIN", "!"]);
        assert_eq!(said[1], "-ERR this is no answer in an AUTH exchange");
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
        assert_eq!(front.silent(), Some(ClientMisconfiguration::Silent { at: Protocol::Pop3, port: Some(2525) }));
        play(&mut front, &["CAPA"]);
        assert_eq!(front.silent(), None);
    }
}
