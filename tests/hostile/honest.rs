//! What honest peers say, and honest clients: what every case departs from, and what has to work after it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::client::Client;
use crate::support::mail;
use crate::support::ostler::{Account, Server};
use crate::support::provider::{Part, Step, expect, say};

pub const ANN: &str = "ann@example.org";
pub const BOB: &str = "bob@example.com";

/// Small limits, so that whatever hangs is found out soon; large enough for an honest session on a busy machine.
pub const HASTY: &str =
    "\n[timeouts]\nconnect = \"2s\"\ntls = \"2s\"\ngreeting = \"2s\"\nreply = \"2s\"\ndata = \"2s\"\nfinal = \"2s\"\n";
/// More than all the limits above one after the other, on a busy machine.
pub const AT_MOST: Duration = Duration::from_secs(40);

pub const MESSAGE: &[u8] = b"Subject: hello\r\n\r\n.dot\r\nbody\r\n";

/// A protocol, with what is known of honest peers in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Smtp,
    Pop3,
    /// POP3, with messages read ahead: see [`read_ahead`].
    Pop3Ahead,
    /// POP3 to the client, whose mail is in an IMAP mailbox.
    Pop3OverImap,
    Imap,
}

impl Speaks {
    /// The word in the settings file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Pop3 | Self::Pop3Ahead | Self::Pop3OverImap => "pop3",
            Self::Imap => "imap",
        }
    }

    /// How a door greets.
    pub fn greeting(self) -> &'static str {
        match self {
            Self::Smtp => "220 ",
            Self::Pop3 | Self::Pop3Ahead | Self::Pop3OverImap => "+OK",
            Self::Imap => "* OK ostler",
        }
    }

    /// What an honest provider says, in clear.
    pub fn provider_part(self) -> Part {
        match self {
            Self::Smtp => send_part(),
            Self::Pop3 | Self::Pop3Ahead => fetch_part(),
            Self::Pop3OverImap => maildrop_part(),
            Self::Imap => read_part(),
        }
    }

    /// Gives an account its server of this protocol.
    pub fn add_server(self, account: Account, server: Server) -> Account {
        match self {
            Self::Smtp => account.smtp(server),
            Self::Pop3 | Self::Pop3Ahead => account.pop3(server),
            Self::Pop3OverImap | Self::Imap => account.imap(server),
        }
    }

    /// A greeted client's session, as far as it gets: it sends one message from this address, or fetches one as this user.
    pub fn try_session(self, client: &mut Client, user: &str, from: &str, message: &[u8]) -> Heard {
        match self {
            Self::Smtp => try_send(client, from, message),
            Self::Pop3 | Self::Pop3OverImap => try_fetch(client, user, 1),
            Self::Pop3Ahead => try_fetch(client, user, 3),
            Self::Imap => try_read(client, user),
        }
    }

    /// What decides whether a session went well: something that the client said, and the answer of the honest provider.
    pub fn good_answer(self) -> (&'static str, &'static str) {
        match self {
            Self::Smtp => (".", "250 2.0.0 queued"),
            Self::Pop3 | Self::Pop3Ahead => ("QUIT", "+OK committed"),
            Self::Pop3OverImap => ("QUIT", "+OK bye, 1 message deleted"),
            Self::Imap => ("LOGOUT", "6 OK bye"),
        }
    }

    /// The command to the provider after which ostler never connects again for the same client.
    pub fn last_to_say_again(self) -> &'static str {
        match self {
            Self::Smtp => "DATA",
            Self::Pop3 | Self::Pop3Ahead => "PASS",
            Self::Pop3OverImap | Self::Imap => "LOGIN",
        }
    }

    /// The sessions after one in this protocol.
    pub fn afterwards(self) -> Self {
        if self == Self::Pop3Ahead { Self::Pop3 } else { self }
    }

    /// How many messages a session brings to the provider.
    pub fn brings(self) -> usize {
        match self {
            Self::Smtp => 1,
            Self::Pop3 | Self::Pop3Ahead | Self::Pop3OverImap | Self::Imap => 0,
        }
    }
}

/// What an honest SMTP provider says, in clear.
pub fn send_part() -> Part {
    vec![
        say("220 ready"),
        expect("EHLO"),
        say("250-mx\r\n250-8BITMIME\r\n250 AUTH PLAIN"),
        expect("AUTH PLAIN"),
        say("235 2.7.0 in"),
        expect("MAIL FROM:<"),
        say("250 2.1.0 ok"),
        expect("RCPT TO:<bob@example.com>"),
        say("250 2.1.5 ok"),
        expect("DATA"),
        say("354 go on"),
        Step::ExpectMessage,
        say("250 2.0.0 queued"),
        expect("QUIT"),
        say("221 bye"),
    ]
}

/// What an honest SMTP provider says that offers PIPELINING and CHUNKING, to a client that sends [`MESSAGE`], in clear.
pub fn pieces_part() -> Part {
    vec![
        say("220 ready"),
        expect("EHLO"),
        say("250-mx\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN"),
        expect("AUTH PLAIN"),
        say("235 2.7.0 in"),
        expect("MAIL FROM:<"),
        expect("RCPT TO:<bob@example.com>"),
        say("250 2.1.0 ok"),
        say("250 2.1.5 ok"),
        Step::ExpectPiece(false),
        say("250 2.0.0 go on"),
        Step::ExpectPiece(true),
        say("250 2.0.0 queued"),
        expect("QUIT"),
        say("221 bye"),
    ]
}

/// Where in [`send_part`] the message is read; one further its answer is said.
pub const BODY: usize = 11;

/// What an honest POP3 provider says, in clear.
pub fn fetch_part() -> Part {
    vec![
        say("+OK ready"),
        expect("USER "),
        say("+OK"),
        expect("PASS"),
        say("+OK in"),
        expect("STAT"),
        say("+OK 1 30"),
        expect("RETR 1"),
        Step::Send(message_answer()),
        expect("DELE 1"),
        say("+OK deleted"),
        expect("QUIT"),
        say("+OK committed"),
    ]
}

/// The same misbehaviour at a provider with PIPELINING, whose client fetches two messages before: the message of the part is
/// then the third, and is asked for before the client does.
pub fn read_ahead(part: Part) -> Part {
    let is = |step: &Step, line: &str| matches!(step, Step::Expect(expected) if expected == line);
    let mut ahead = Part::new();
    for (at, step) in part.into_iter().enumerate() {
        if at == 1 && is(&step, "USER ") {
            ahead.extend([expect("CAPA"), say("+OK\r\nUSER\r\nPIPELINING\r\n."), step]);
        } else if is(&step, "RETR 1") {
            let message = || Step::Send(message_answer());
            ahead.extend([expect("RETR 1"), message(), expect("RETR 2"), expect("LIST"), message()]);
            ahead.extend([say("+OK\r\n1 30\r\n2 30\r\n3 30\r\n."), expect("RETR 3")]);
        } else if is(&step, "DELE 1") {
            ahead.push(expect("DELE 3"));
        } else {
            ahead.push(step);
        }
    }
    ahead
}

/// What an honest IMAP provider says to the same client, in clear.
pub fn maildrop_part() -> Part {
    vec![
        say("* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready"),
        expect("o1 LOGIN"),
        say("o1 OK [CAPABILITY IMAP4rev1 UIDPLUS] in"),
        expect("f1 EXAMINE \"INBOX\""),
        say("* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nf1 OK [READ-ONLY] done"),
        expect("f2 FETCH 1:1 (UID RFC822.SIZE)"),
        say("* 1 FETCH (UID 10 RFC822.SIZE 30)\r\nf2 OK done"),
        expect("p1 UID FETCH 10 (UID BODY.PEEK[])"),
        Step::Send(fetch_answer("UID 10 ", "")),
        expect("p2 SELECT \"INBOX\""),
        say("* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\np2 OK [READ-WRITE] done"),
        expect("p3 UID STORE 10 +FLAGS.SILENT (\\Deleted)"),
        say("p3 OK done"),
        expect("p4 UID EXPUNGE 10"),
        say("* 1 EXPUNGE\r\np4 OK done"),
        expect("p5 LOGOUT"),
        say("* BYE bye\r\np5 OK done"),
    ]
}

/// The whole answer to UID FETCH, with this before and behind the message.
pub fn fetch_answer(before: &str, behind: &str) -> Vec<u8> {
    let head = format!("* 1 FETCH ({before}BODY[] {{{}}}\r\n", MESSAGE.len());
    [head.as_bytes(), MESSAGE, format!("{behind})\r\np1 OK done\r\n").as_bytes()].concat()
}

/// What an honest IMAP provider says, in clear.
pub fn read_part() -> Part {
    vec![
        say("* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready"),
        expect("o1 LOGIN"),
        say("o1 OK [CAPABILITY IMAP4rev1 UIDPLUS] in"),
        expect("2 SELECT"),
        say("* FLAGS (\\Seen \\Deleted)\r\n* 1 EXISTS\r\n* OK [UIDVALIDITY 3] ok\r\n2 OK [READ-WRITE] selected"),
        expect("3 FETCH 1 BODY[]"),
        Step::Send(body_answer()),
        expect("4 STORE 1"),
        say("* 1 FETCH (FLAGS (\\Deleted))\r\n4 OK stored"),
        expect("5 EXPUNGE"),
        say("* 1 EXPUNGE\r\n5 OK expunged"),
        expect("6 LOGOUT"),
        say("* BYE bye\r\n6 OK bye"),
    ]
}

/// The whole answer to FETCH.
pub fn body_answer() -> Vec<u8> {
    let head = format!("* 1 FETCH (BODY[] {{{}}}\r\n", MESSAGE.len());
    [head.as_bytes(), MESSAGE, b")\r\n3 OK fetched\r\n"].concat()
}

/// The whole answer to RETR.
pub fn message_answer() -> Vec<u8> {
    [b"+OK\r\n".as_slice(), &mail::stuffed(MESSAGE)].concat()
}

/// The first steps of a part, and one more.
pub fn cut(part: Part, at: usize, last: Step) -> Part {
    let mut part: Part = part.into_iter().take(at).collect();
    part.push(last);
    part
}

/// What a client heard to each thing it said. `cut` stands for a message that broke off.
pub type Heard = Vec<(&'static str, Vec<u8>)>;

pub fn shown(heard: &Heard) -> String {
    heard.iter().map(|(line, answer)| format!("{line} -> {:?}\n", String::from_utf8_lossy(answer))).collect()
}

/// Sends one message as an old client does, as far as it gets; of each answer its last line.
pub fn try_send(client: &mut Client, from: &str, message: &[u8]) -> Heard {
    let mut heard = Heard::new();
    let mail = format!("MAIL FROM:<{from}>\r\n");
    let rcpt = format!("RCPT TO:<{BOB}>\r\n");
    let text = mail::stuffed(message);
    let said: [(&'static str, &[u8], &str); 6] = [
        ("EHLO", b"EHLO old-pc\r\n", "250"),
        ("MAIL", mail.as_bytes(), "250"),
        ("RCPT", rcpt.as_bytes(), "250"),
        ("DATA", b"DATA\r\n", "354"),
        (".", &text, "250"),
        ("QUIT", b"QUIT\r\n", "221"),
    ];
    for (name, bytes, good) in said {
        // Whoever hung up need not be sent all of it.
        client.try_send(bytes);
        let Some(answer) = last_line(client, name == "EHLO") else { break };
        let is_good = answer.starts_with(good.as_bytes());
        heard.push((name, answer));
        // After the message a client says QUIT whatever the answer was.
        if !is_good && name != "." {
            break;
        }
    }
    heard
}

/// The last line of the next reply. Only EHLO is answered with several.
fn last_line(client: &mut Client, several: bool) -> Option<Vec<u8>> {
    loop {
        let line = client.raw_line()?;
        if line.get(3) != Some(&b'-') {
            return Some(line);
        }
        assert!(several, "an answer of several lines: {:?}", String::from_utf8_lossy(&line));
    }
}

/// Fetches as a client of the time does, as far as it gets. The last of so many messages is `RETR 1` in what is heard, and is
/// deleted; the others are only heard of if they do not come.
pub fn try_fetch(client: &mut Client, name: &str, messages: u32) -> Heard {
    let mut heard = Heard::new();
    for line in ["USER", "PASS x", "STAT", "RETR 1", "DELE 1", "QUIT"] {
        let numbers = if line == "RETR 1" { 1..=messages } else { messages..=messages };
        for number in numbers {
            let said = match line {
                "USER" => format!("USER {name}\r\n"),
                "RETR 1" => format!("RETR {number}\r\n"),
                "DELE 1" => format!("DELE {number}\r\n"),
                line => format!("{line}\r\n"),
            };
            let Some(answer) = client.try_send(said).then(|| fetch_answered(client, line)).flatten() else {
                return heard;
            };
            let ok = answer.starts_with(b"+OK");
            if ok && line == "RETR 1" && !answer.ends_with(b"\r\n.\r\n") {
                heard.push(("cut", answer));
                return heard;
            }
            if !ok || number == messages {
                heard.push((line, answer));
            }
            if !ok {
                return heard;
            }
        }
    }
    heard
}

/// The answer to a command, as far as it comes.
fn fetch_answered(client: &mut Client, line: &str) -> Option<Vec<u8>> {
    let mut answer = client.part_of_line()?;
    while line == "RETR 1" && answer.starts_with(b"+OK") && !answer.ends_with(b"\r\n.\r\n") {
        match client.part_of_line() {
            Some(more) => answer.extend_from_slice(&more),
            None => break,
        }
    }
    Some(answer)
}

/// Reads one message by IMAP as a client of the time does, as far as it gets. What comes before an answer with a tag stands
/// under `*`.
pub fn try_read(client: &mut Client, name: &str) -> Heard {
    let mut heard = Heard::new();
    let login = format!("LOGIN {name} x");
    for (number, (word, said)) in [
        ("LOGIN", login.as_str()),
        ("SELECT", "SELECT INBOX"),
        ("FETCH", "FETCH 1 BODY[]"),
        ("STORE", "STORE 1 +FLAGS (\\Deleted)"),
        ("EXPUNGE", "EXPUNGE"),
        ("LOGOUT", "LOGOUT"),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("{} ", number + 1);
        if !client.try_send(format!("{tag}{said}\r\n")) {
            break;
        }
        let (before, answer) = read_answer(client, tag.as_bytes());
        if !before.is_empty() {
            let is_cut = answer.is_none() && !contains(&before, "* BYE ");
            heard.push((if is_cut { "cut" } else { "*" }, before));
        }
        let Some(answer) = answer else { break };
        let is_ok = answer.starts_with(format!("{tag}OK").as_bytes());
        heard.push((word, answer));
        if !is_ok {
            // ostler's own answer is its last, with a goodbye behind it.
            if heard.last().is_some_and(|(_, answer)| contains(answer, "[UNAVAILABLE] ostler: ")) {
                heard.insert(heard.len() - 1, ("*", client.rest()));
            }
            break;
        }
    }
    heard
}

/// What comes up to the line with this tag, and that line, if it comes.
fn read_answer(client: &mut Client, tag: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut before = Vec::new();
    while let Some(line) = client.part_of_line() {
        if literal_left(&before) == 0 && line.starts_with(tag) {
            return (before, Some(line));
        }
        before.extend_from_slice(&line);
    }
    (before, None)
}

/// How many octets of its last literal a text lacks.
fn literal_left(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(end) = memchr::memchr(b'\n', &text[at..]) {
        let line = String::from_utf8_lossy(&text[at..=at + end]).into_owned();
        at += end + 1;
        let announced = line.trim_end().strip_suffix('}').and_then(|line| line.rsplit_once('{'));
        let is_data = line.starts_with("* ") && !line.starts_with("* OK") && !line.starts_with("* NO");
        if let Some(octets) = announced.filter(|_| is_data).and_then(|(_, octets)| octets.parse::<usize>().ok()) {
            if octets > text.len() - at {
                return octets - (text.len() - at);
            }
            at += octets;
        }
    }
    0
}

/// The proof of an account's local password, as AUTH PLAIN takes it.
pub fn plain(name: &str, password: &str) -> String {
    BASE64.encode(format!("\0{name}\0{password}"))
}

/// The answer of [`try_send`] to one thing the client said.
pub fn answer_to(heard: &Heard, said: &str) -> Option<String> {
    heard
        .iter()
        .find(|(line, _)| *line == said)
        .map(|(_, answer)| String::from_utf8_lossy(answer).trim_end().to_owned())
}

/// How many messages a provider has got to their end.
pub fn completed(received: &[u8]) -> usize {
    let count = |end: &[u8]| memchr::memmem::find_iter(received, end).count();
    count(b"\r\n.\r\n") + count(b" LAST\r\n")
}

pub fn large(size: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < size {
        message.extend_from_slice(b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n");
    }
    message
}

pub fn contains(hay: &[u8], needle: impl AsRef<[u8]>) -> bool {
    memchr::memmem::find(hay, needle.as_ref()).is_some()
}
