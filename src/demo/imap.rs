//! The demo provider's IMAP (RFC 3501) without its socket: a line comes in, an answer goes out. It has one folder, which can be
//! read and not changed.

use std::sync::Arc;

use super::mailroom::{Delivered, Mailbox, Mailroom};
use ostler_mail::wire::Line;

/// The answer to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Lines.
    Say(Vec<String>),
    /// A line that announces a message, the message, and the lines behind it.
    Message(String, Vec<u8>, Vec<String>),
    /// The last lines of the session.
    Bye(Vec<String>),
}

/// One session.
pub(super) struct Imap {
    room: Arc<Mailroom>,
    /// The messages as they were when the client signed in.
    messages: Option<Vec<Arc<Delivered>>>,
}

impl Imap {
    pub(super) fn new(room: Arc<Mailroom>) -> Self {
        Self { room, messages: None }
    }

    pub(super) fn greeting() -> &'static str {
        "* OK [CAPABILITY IMAP4rev1] ostler's demo provider, no real mail server"
    }

    pub(super) fn on_line(&mut self, line: &Line) -> Answer {
        let text = String::from_utf8_lossy(line.bytes()).into_owned();
        let mut words = text.splitn(3, ' ');
        let (tag, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_ascii_uppercase());
        let rest = words.next().unwrap_or_default();
        let ok = |what: &str| format!("{tag} OK {what}");
        let no = |why: &str| Answer::Say(vec![format!("{tag} NO {why}")]);
        if verb == "LOGIN" {
            return match self.log_in(rest) {
                true => Answer::Say(vec![ok("[CAPABILITY IMAP4rev1] signed in")]),
                false => no("[AUTHENTICATIONFAILED] user name or password is wrong"),
            };
        }
        match (verb.as_str(), &self.messages) {
            ("CAPABILITY", _) => Answer::Say(vec!["* CAPABILITY IMAP4rev1".into(), ok("that is all")]),
            ("LOGOUT", _) => Answer::Bye(vec!["* BYE see you".into(), ok("bye")]),
            (_, None) => no("sign in first"),
            ("SELECT", Some(messages)) => Answer::Say(vec![
                "* FLAGS (\\Seen)".into(),
                format!("* {} EXISTS", messages.len()),
                "* OK [UIDVALIDITY 1] it stays".into(),
                ok("[READ-ONLY] the folder is open"),
            ]),
            ("FETCH", Some(messages)) => match find(messages, rest) {
                Some((number, message)) => Answer::Message(
                    format!("* {number} FETCH (BODY[] {{{}}}", message.octets.len()),
                    message.octets.clone(),
                    vec![")".into(), ok("fetched")],
                ),
                None => no("there is no such message"),
            },
            ("NOOP", Some(_)) => Answer::Say(vec![ok("nothing done")]),
            _ => Answer::Say(vec![format!("{tag} BAD the demo provider does not know this command")]),
        }
    }

    /// Signs in with a name and a password in quotes, as ostler says them.
    fn log_in(&mut self, given: &str) -> bool {
        let parts: Vec<&str> = given.split('"').collect();
        let [_, user, _, password, ..] = parts.as_slice() else { return false };
        let is_right = self.room.knows(user, password.as_bytes());
        self.messages = is_right.then(|| self.room.messages(Mailbox::Own));
        is_right
    }
}

fn find<'m>(messages: &'m [Arc<Delivered>], rest: &str) -> Option<(usize, &'m Arc<Delivered>)> {
    let number: usize = rest.split(' ').next()?.parse().ok()?;
    Some((number, messages.get(number.checked_sub(1)?)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ostler_mail::secret::Secret;

    use super::super::mailroom::USER;
    use super::*;

    #[test]
    fn it_is_read_by_who_has_signed_in() {
        let secret = Arc::new(Secret::new("hunter2".to_owned()).unwrap());
        let room = Arc::new(Mailroom::new(secret, "run".into(), Duration::from_secs(9)));
        room.deliver(&[Mailbox::Own], "", b"Subject: x\r\n\r\ny\r\n").unwrap();
        let mut imap = Imap::new(room);
        let mut say = |line: &str| match imap.on_line(&Line::new(line.as_bytes())) {
            Answer::Say(lines) | Answer::Bye(lines) => lines.join("\n"),
            Answer::Message(head, text, tail) => format!("{head}\n{}\n{}", text.len(), tail.join("\n")),
        };
        assert_eq!(say("1 FETCH 1 BODY[]"), "1 NO sign in first");
        for wrong in ["ann hunter2", "\"ann\" \"hunter\"", "\"bob\" \"hunter2\"", ""] {
            assert!(say(&format!("2 LOGIN {wrong}")).starts_with("2 NO [AUTHENTICATIONFAILED]"), "{wrong}");
        }
        assert!(say(&format!("3 LOGIN \"{USER}\" \"hunter2\"")).starts_with("3 OK"));
        assert!(say("4 select INBOX").contains("* 1 EXISTS"));
        assert_eq!(say("5 FETCH 1 BODY[]"), "* 1 FETCH (BODY[] {17}\n17\n)\n5 OK fetched");
        assert_eq!(say("6 FETCH 2 BODY[]"), "6 NO there is no such message");
        assert_eq!(say("7 LOGOUT"), "* BYE see you\n7 OK bye");
    }
}
