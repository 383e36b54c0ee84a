//! The demo provider's POP3 (RFC 1939, 2449, 3206) without its socket: a line comes in, an answer goes out.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::mailroom::{Delivered, LockedMaildrop, Login, Mailroom};
use super::text::lines;
use ostler_mail::command::Command;
use ostler_mail::wire::Line;

/// The answer to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A line.
    Say(String),
    /// A status line and further lines; the final dot has to be added.
    List(String, String),
    /// A status line and a message, or the top of one.
    Message(String, Vec<u8>),
    /// The last line of the session.
    Bye(String),
}

/// One session.
pub(super) struct Pop {
    room: Arc<Mailroom>,
    from: IpAddr,
    user: Option<String>,
    maildrop: Option<LockedMaildrop>,
}

impl Pop {
    pub(super) fn new(room: Arc<Mailroom>, from: IpAddr) -> Self {
        Self { room, from, user: None, maildrop: None }
    }

    pub(super) fn greeting() -> &'static str {
        "+OK ostler's demo provider, no real mail server"
    }

    pub(super) fn on_line(&mut self, line: &Line) -> Answer {
        let command = Command::parse(line.bytes());
        match command.verb.as_str() {
            "CAPA" => capabilities(),
            "QUIT" => self.quit(),
            verb => match &mut self.maildrop {
                None => self.outside(verb, &command),
                Some(maildrop) => inside(maildrop, verb, &command.argument()),
            },
        }
    }

    fn outside(&mut self, verb: &str, command: &Command<'_>) -> Answer {
        match verb {
            "USER" => {
                self.user = Some(command.argument());
                ok("now the password")
            }
            "PASS" => match self.user.take() {
                Some(user) => self.log_in(&user, command.rest),
                None => err("USER comes first"),
            },
            "AUTH" | "APOP" => err("the demo provider wants USER and PASS"),
            _ => err("log in first"),
        }
    }

    fn log_in(&mut self, user: &str, password: &[u8]) -> Answer {
        match self.room.log_in(user, password, self.from) {
            Login::In(maildrop) => {
                let waiting = maildrop.listed().count();
                self.maildrop = Some(maildrop);
                ok(&format!("logged in, messages: {waiting}; the gate is open for {}", self.from.to_canonical()))
            }
            Login::InUse => err("[IN-USE] another session has the mailbox"),
            Login::Wrong => err("[AUTH] user name or password is wrong"),
        }
    }

    fn quit(&mut self) -> Answer {
        if let Some(maildrop) = self.maildrop.take() {
            // Deletions happen here and nowhere else (RFC 1939, section 6).
            maildrop.commit();
        }
        Answer::Bye("+OK bye".into())
    }
}

fn inside(maildrop: &mut LockedMaildrop, verb: &str, argument: &str) -> Answer {
    match verb {
        "STAT" => {
            let (count, octets) = maildrop.listed().fold((0, 0), |(n, sum), (_, m)| (n + 1, sum + m.octets.len()));
            Answer::Say(format!("+OK {count} {octets}"))
        }
        "LIST" => list(maildrop, argument, |m| m.octets.len().to_string()),
        "UIDL" => list(maildrop, argument, |m| m.id.clone()),
        "RETR" => match find(maildrop, argument) {
            Some(message) => Answer::Message(format!("+OK {} octets", message.octets.len()), message.octets.clone()),
            None => no_such(),
        },
        "TOP" => top(maildrop, argument),
        "DELE" => match argument.parse() {
            Ok(number) if maildrop.delete(number) => ok("marked"),
            _ => no_such(),
        },
        "RSET" => {
            maildrop.reset();
            ok("no message is marked")
        }
        "NOOP" => ok("nothing done"),
        _ => err("the demo provider does not know this command"),
    }
}

fn list(maildrop: &LockedMaildrop, argument: &str, show: fn(&Delivered) -> String) -> Answer {
    if argument.is_empty() {
        let mut all = String::new();
        for (number, message) in maildrop.listed() {
            // Writing to a String cannot fail.
            let _ = write!(all, "{number} {}\r\n", show(message));
        }
        return Answer::List("+OK".into(), all);
    }
    match find(maildrop, argument) {
        Some(message) => Answer::Say(format!("+OK {argument} {}", show(message))),
        None => no_such(),
    }
}

fn top(maildrop: &LockedMaildrop, argument: &str) -> Answer {
    let mut words = argument.split_ascii_whitespace();
    let message = words.next().and_then(|number| find(maildrop, number));
    let (Some(message), Some(Ok(count))) = (message, words.next().map(str::parse::<usize>)) else { return no_such() };
    let (mut top, mut left) = (Vec::new(), None);
    for line in lines(&message.octets) {
        match &mut left {
            None if line == b"\r\n" => left = Some(count),
            None => {}
            Some(0) => break,
            Some(left) => *left -= 1,
        }
        top.extend_from_slice(line);
    }
    Answer::Message("+OK the top of it".into(), top)
}

fn find<'a>(maildrop: &'a LockedMaildrop, number: &str) -> Option<&'a Arc<Delivered>> {
    maildrop.get(number.parse().ok()?)
}

fn capabilities() -> Answer {
    let all = "USER\r\nUIDL\r\nTOP\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nIMPLEMENTATION ostler-demo\r\n";
    Answer::List("+OK".into(), all.into())
}

fn ok(text: &str) -> Answer {
    Answer::Say(format!("+OK {text}"))
}

fn err(text: &str) -> Answer {
    Answer::Say(format!("-ERR {text}"))
}

fn no_such() -> Answer {
    err("no such message")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::mailroom::Mailbox;
    use super::*;
    use ostler_mail::secret::Secret;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn room(messages: &[&str]) -> Arc<Mailroom> {
        let password = Arc::new(Secret::new("hunter2".to_owned()).unwrap());
        let room = Arc::new(Mailroom::new(password, "run".into(), Duration::from_secs(120)));
        for message in messages {
            room.deliver(&[Mailbox::Own], "", message.as_bytes()).unwrap();
        }
        room
    }

    fn play(pop: &mut Pop, said: &[&str]) -> Vec<String> {
        let text = |answer| match answer {
            Answer::Say(line) | Answer::Bye(line) => line,
            Answer::List(status, all) => format!("{status}|{all}"),
            Answer::Message(status, text) => format!("{status}|{}", String::from_utf8(text).unwrap()),
        };
        said.iter().map(|line| text(pop.on_line(&Line::new(line.as_bytes())))).collect()
    }

    #[test]
    fn a_mailbox_is_read_as_rfc_1939_says() {
        let room = room(&["A: 1\r\n\r\none\r\ntwo\r\n", "B: 2\r\n\r\nx\r\n"]);
        let mut pop = Pop::new(room, HERE);
        assert_eq!(play(&mut pop, &["STAT", "PASS x"]), ["-ERR log in first", "-ERR USER comes first"]);
        play(&mut pop, &["USER ann", "PASS hunter2"]);
        let said =
            play(&mut pop, &["STAT", "LIST", "LIST 2", "UIDL", "uidl 1", "TOP 1 1", "TOP 1 0", "RETR 2", "RETR 3"]);
        let wanted = [
            "+OK 2 29",
            "+OK|1 18\r\n2 11\r\n",
            "+OK 2 11",
            "+OK|1 run-1\r\n2 run-2\r\n",
            "+OK 1 run-1",
            "+OK the top of it|A: 1\r\n\r\none\r\n",
            "+OK the top of it|A: 1\r\n\r\n",
            "+OK 11 octets|B: 2\r\n\r\nx\r\n",
            "-ERR no such message",
        ];
        assert_eq!(said, wanted);
        for nonsense in ["RETR", "RETR 0", "DELE x", "TOP 1", "TOP 1 -1", "LIST 99999999999999999999"] {
            assert_eq!(play(&mut pop, &[nonsense]), ["-ERR no such message"], "{nonsense}");
        }
    }

    #[test]
    fn deleted_messages_go_at_quit_only() {
        let room = room(&["A: 1\r\n\r\n", "B: 2\r\n\r\n"]);
        let login = ["USER ann", "PASS hunter2"];
        let mut pop = Pop::new(Arc::clone(&room), HERE);
        play(&mut pop, &login);
        play(&mut pop, &["DELE 1"]);
        assert_eq!(
            play(&mut pop, &["DELE 1", "RETR 1", "STAT"]),
            ["-ERR no such message", "-ERR no such message", "+OK 1 8"]
        );
        drop(pop);
        assert_eq!(room.messages(Mailbox::Own).len(), 2, "hanging up deletes nothing");
        let mut pop = Pop::new(Arc::clone(&room), HERE);
        play(&mut pop, &login);
        play(&mut pop, &["DELE 1", "RSET", "DELE 2", "QUIT"]);
        let left = room.messages(Mailbox::Own);
        assert_eq!(left.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["run-1"]);
    }
}
