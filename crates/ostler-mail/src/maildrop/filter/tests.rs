//! POP3 sessions with a model of an IMAP server behind them.

use std::fmt::Write;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::account::testing::server;
use crate::account::{Folder, Protocol};
use crate::failure::NotDeleted;
use crate::imap::login::ImapLogin;
use crate::machine::{Login, Outgoing, Step};
use crate::maildrop::login::{MaildropLogin, Ready};
use crate::secret::Secret;
use crate::wire::Line;

#[derive(Debug, Clone)]
struct Message {
    uid: u32,
    is_deleted: bool,
    is_seen: bool,
    body: Vec<u8>,
}

/// A folder, and a server that speaks for it as far as a maildrop needs.
#[derive(Debug, Clone)]
struct Imap {
    messages: Vec<Message>,
    validity: u32,
    has_uidplus: bool,
    /// What is said in place of the answer to the command that begins with the first text: `{}` is its tag.
    instead: Vec<(String, String)>,
    /// Messages that another program removes, or marks, when the command that begins with the text comes.
    meanwhile: Vec<(String, u32, Other)>,
    heard: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Other {
    Removes,
    Marks,
}

impl Imap {
    fn with(bodies: &[&[u8]]) -> Self {
        let of = |(at, body): (usize, &&[u8])| Message {
            uid: 10 * (u32::try_from(at).unwrap() + 1),
            is_deleted: false,
            is_seen: false,
            body: body.to_vec(),
        };
        Self {
            messages: bodies.iter().enumerate().map(of).collect(),
            validity: 7,
            has_uidplus: true,
            instead: vec![],
            meanwhile: vec![],
            heard: vec![],
        }
    }

    fn uids(&self) -> Vec<u32> {
        self.messages.iter().map(|message| message.uid).collect()
    }

    fn instead(mut self, command: &str, said: &str) -> Self {
        self.instead.push((command.into(), said.into()));
        self
    }

    fn meanwhile(mut self, command: &str, uid: u32, other: Other) -> Self {
        self.meanwhile.push((command.into(), uid, other));
        self
    }

    fn hear(&mut self, line: &str) -> Vec<u8> {
        let (tag, command) = line.split_once(' ').unwrap();
        self.heard.push(command.to_owned());
        for (_, uid, other) in self.meanwhile.clone().into_iter().filter(|(start, ..)| command.starts_with(start)) {
            match other {
                Other::Removes => self.messages.retain(|message| message.uid != uid),
                Other::Marks => self.messages.iter_mut().filter(|m| m.uid == uid).for_each(|m| m.is_deleted = true),
            }
        }
        if let Some(at) = self.instead.iter().position(|(start, _)| command.starts_with(start)) {
            return self.instead.remove(at).1.replace("{}", tag).into_bytes();
        }
        let mut said = Vec::new();
        match command.split(' ').collect::<Vec<_>>()[..] {
            ["LOGIN", ..] => return format!("{tag} OK [CAPABILITY {}] in\r\n", self.capabilities()).into_bytes(),
            ["EXAMINE" | "SELECT", _] => {
                let (count, validity) = (self.messages.len(), self.validity);
                said = format!("* {count} EXISTS\r\n* OK [UIDVALIDITY {validity}] ok\r\n* FLAGS (\\Deleted)\r\n")
                    .into_bytes();
            }
            ["FETCH", range, ..] => {
                let (first, last) = range.split_once(':').unwrap();
                for number in first.parse::<usize>().unwrap()..=last.parse().unwrap() {
                    let message = &self.messages[number - 1];
                    let (uid, size) = (message.uid, message.body.len());
                    said.extend(format!("* {number} FETCH (UID {uid} RFC822.SIZE {size})\r\n").into_bytes());
                }
            }
            ["UID", "FETCH", uid, "(UID", what] => said = self.fetch(uid.parse().unwrap(), what),
            ["UID", "STORE", set, "+FLAGS.SILENT", flag] => {
                for message in self.messages.iter_mut().filter(|message| is_in(set, message.uid)) {
                    message.is_deleted |= flag == "(\\Deleted)";
                    message.is_seen |= flag == "(\\Seen)";
                }
            }
            ["UID", "STORE", set, "-FLAGS.SILENT", "(\\Deleted)"] => {
                self.messages.iter_mut().filter(|m| is_in(set, m.uid)).for_each(|m| m.is_deleted = false);
            }
            ["UID", "EXPUNGE", set] => self.messages.retain(|m| !(m.is_deleted && is_in(set, m.uid))),
            ["EXPUNGE"] => self.messages.retain(|message| !message.is_deleted),
            ["UID", "SEARCH", "DELETED"] => {
                let found = self.messages.iter().filter(|m| m.is_deleted).map(|m| format!(" {}", m.uid));
                said = format!("* SEARCH{}\r\n", found.collect::<String>()).into_bytes();
            }
            ["NOOP"] => said = b"* 99 EXISTS\r\n* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Deleted))\r\n".to_vec(),
            ["LOGOUT"] => said = b"* BYE bye\r\n".to_vec(),
            _ => panic!("{command}"),
        }
        said.extend(format!("{tag} OK done\r\n").into_bytes());
        said
    }

    fn capabilities(&self) -> &'static str {
        if self.has_uidplus { "IMAP4rev1 UIDPLUS" } else { "IMAP4rev1" }
    }

    fn fetch(&self, uid: u32, what: &str) -> Vec<u8> {
        let Some(at) = self.messages.iter().position(|message| message.uid == uid) else { return vec![] };
        let body = &self.messages[at].body;
        let what = what.strip_suffix(')').unwrap();
        let (name, part) = match what.strip_prefix("BODY.PEEK[]<").and_then(|part| part.strip_suffix('>')) {
            None => ("BODY[]".to_owned(), &body[..]),
            Some(part) => {
                let (offset, octets) = part.split_once('.').unwrap();
                let from = offset.parse::<usize>().unwrap().min(body.len());
                let to = from.saturating_add(octets.parse().unwrap()).min(body.len());
                (format!("BODY[]<{offset}>"), &body[from..to])
            }
        };
        let number = at + 1;
        let (before, after) = if uid.is_multiple_of(20) {
            (format!("UID {uid} "), String::new())
        } else {
            (String::new(), format!(" UID {uid}"))
        };
        let mut said = format!("* 1 EXISTS\r\n* {number} FETCH ({before}{name} {{{}}}\r\n", part.len()).into_bytes();
        said.extend_from_slice(part);
        said.extend(format!("{after})\r\n").into_bytes());
        said
    }
}

fn is_in(set: &str, uid: u32) -> bool {
    set.split(',').any(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        (first.parse().unwrap()..=last.parse().unwrap()).contains(&uid)
    })
}

fn open_as(imap: &mut Imap, folder: Folder) -> Result<Opened, Failure> {
    let mut login = MaildropLogin::at_imap(ImapLogin::new(&server(Protocol::Imap, "ann")), folder);
    let mut answers = "* OK [CAPABILITY IMAP4rev1] hello\r\n".as_bytes().to_vec();
    loop {
        let mut input = std::mem::take(&mut answers);
        let mut step = Step::Wait;
        while let Some(end) = input.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            step = login.on_line(&Line::new(line.strip_suffix(b"\r\n").unwrap()))?;
        }
        if let Step::WantSecret = step {
            step = login.on_secret(Arc::new(Secret::new("xyzzy".to_owned()).unwrap()));
        }
        match step {
            Step::Send(outgoing) => answers = imap.hear(line_of(&outgoing).trim_end()),
            Step::Done(Ready::Imap(opened, _)) => return Ok(*opened),
            _ => panic!("the login waits for more"),
        }
    }
}

fn line_of(outgoing: &Outgoing) -> String {
    String::from_utf8(outgoing.bytes().to_vec()).unwrap()
}

/// A client, its session, and a server.
struct World {
    filter: MaildropFilter,
    imap: Imap,
    /// How the octets of both sides are cut, over and over.
    cuts: Vec<usize>,
    at: usize,
    to_server: Vec<u8>,
    from_server: Vec<u8>,
    from_client: Vec<u8>,
    to_client: Vec<u8>,
}

impl World {
    fn new(imap: Imap) -> Self {
        Self::in_folder(imap, Folder::default())
    }

    fn in_folder(mut imap: Imap, folder: Folder) -> Self {
        let opened = open_as(&mut imap, folder).unwrap();
        let filter = MaildropFilter::new(opened, Arc::default());
        let (to_server, from_server, from_client, to_client) = (vec![], vec![], vec![], vec![]);
        Self { filter, imap, cuts: vec![usize::MAX], at: 0, to_server, from_server, from_client, to_client }
    }

    fn cut(&mut self) -> usize {
        self.at += 1;
        self.cuts[self.at % self.cuts.len()]
    }

    /// The client says this; what it hears until all is quiet.
    fn say(&mut self, said: &str) -> Result<String, ProtocolViolation> {
        self.from_client.extend_from_slice(said.as_bytes());
        let from = self.to_client.len();
        while self.step()? {}
        Ok(String::from_utf8_lossy(&self.to_client[from..]).into_owned())
    }

    /// One round, as the relay has it. Whether anything moved.
    fn step(&mut self) -> Result<bool, ProtocolViolation> {
        while let Some(end) = self.to_server.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.to_server.drain(..=end).collect();
            let said = self.imap.hear(std::str::from_utf8(&line).unwrap().trim_end());
            self.from_server.extend(said);
        }
        if self.filter.is_over() {
            return Ok(false);
        }
        let mut say = Replies::default();
        self.filter.say_more(&mut say)?;
        let more = self.take(say);
        let server = self.look(false)?;
        let client = self.filter.wants_client() && self.look(true)?;
        Ok(more || server || client)
    }

    fn take(&mut self, mut say: Replies) -> bool {
        let has_said = !say.client.is_empty() || !say.server.is_empty();
        self.to_client.append(&mut say.client);
        self.to_server.append(&mut say.server);
        has_said
    }

    fn look(&mut self, at_client: bool) -> Result<bool, ProtocolViolation> {
        let cut = self.cut();
        let input = if at_client { &self.from_client } else { &self.from_server };
        // What has not been enough may be, with more.
        for octets in [cut.min(input.len()), input.len()] {
            let input = if at_client { &self.from_client[..octets] } else { &self.from_server[..octets] };
            if input.is_empty() {
                return Ok(false);
            }
            let mut say = Replies::default();
            let pass = if at_client {
                self.filter.client_said(input, &mut say)?
            } else {
                self.filter.server_said(input, &mut say)?
            };
            let input = if at_client { &mut self.from_client } else { &mut self.from_server };
            match pass {
                Pass::Forward(octets) => {
                    assert!(!at_client && say.client.is_empty());
                    self.to_client.extend(input.drain(..octets));
                }
                Pass::Replaced(octets) => drop(input.drain(..octets)),
                Pass::NeedMore => continue,
                Pass::Announced { .. } | Pass::Stop => return Ok(false),
            }
            self.take(say);
            return Ok(true);
        }
        Ok(false)
    }
}

/// What the client hears in answer to this.
fn session(imap: Imap, said: &str) -> String {
    World::new(imap).say(said).unwrap()
}

const TWO: [&[u8]; 2] = [b"A: 1\r\n\r\none\r\n.two\r\nthree", b"B: 2\r\n\r\nx\r\n"];

#[test]
fn the_list_is_that_of_the_sign_in() {
    let said = session(Imap::with(&TWO), "STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 1\r\nNOOP\r\nSTAT\r\n");
    assert_eq!(
        said,
        "+OK 2 35\r\n+OK 2 messages\r\n1 24\r\n2 11\r\n.\r\n+OK 2 11\r\n+OK 2 messages\r\n1 7.10\r\n2 7.20\r\n.\r\n+OK 1 7.10\r\n\
         +OK\r\n+OK 2 35\r\n"
    );
    assert_eq!(
        session(Imap::with(&[]), "STAT\r\nLIST\r\nUIDL\r\nQUIT\r\n").matches("+OK 0 messages\r\n.\r\n").count(),
        2
    );
}

#[test]
fn messages_come_with_dots_doubled_and_a_line_end() {
    let said = session(Imap::with(&TWO), "RETR 1\r\nRETR 2\r\nTOP 1 2\r\nTOP 2 0\r\nLAST\r\n");
    assert_eq!(
        said,
        "+OK 24 octets\r\nA: 1\r\n\r\none\r\n..two\r\nthree\r\n.\r\n+OK 11 octets\r\nB: 2\r\n\r\nx\r\n.\r\n\
         +OK\r\nA: 1\r\n\r\none\r\n..two\r\n.\r\n+OK\r\nB: 2\r\n\r\n.\r\n+OK 2\r\n"
    );
}

#[test]
fn a_dot_behind_a_bare_line_feed_ends_no_message() {
    let body: &[u8] = b"A: 1\r\n\r\none\n.\r\ntwo\n.three\nfour\n";
    let said = session(Imap::with(&[body]), "RETR 1\r\nTOP 1 9\r\n");
    let text = "A: 1\r\n\r\none\r\n..\r\ntwo\r\n..three\nfour\r\n.\r\n";
    assert_eq!(said, format!("+OK {} octets\r\n{text}+OK\r\n{text}", body.len()));
}

#[test]
fn a_message_without_a_size_is_in_the_list_and_is_fetched() {
    let list = "* 1 FETCH (UID 10)\r\n* 2 FETCH (RFC822.SIZE 11)\r\n* 2 FETCH (UID 20)\r\n{} OK\r\n";
    let said = session(Imap::with(&TWO).instead("FETCH 1:2", list), "LIST\r\nUIDL\r\nTOP 1 0\r\n");
    assert_eq!(
        said,
        "+OK 2 messages\r\n1 1\r\n2 11\r\n.\r\n+OK 2 messages\r\n1 7.10\r\n2 7.20\r\n.\r\n+OK\r\nA: 1\r\n\r\n.\r\n"
    );
}

#[test]
fn what_the_server_wants_people_to_read_is_kept_from_the_sign_in_on() {
    let imap = Imap::with(&TWO)
        .instead("LOGIN", "* OK [ALERT] of xyzzy\r\n{} OK [ALERT] second\r\n")
        .instead("CAPABILITY", "* CAPABILITY IMAP4rev1 UIDPLUS\r\n{} OK\r\n")
        .instead("EXAMINE", "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* NO [ALERT] third\r\n{} OK\r\n")
        .instead("NOOP", "* OK [ALERT] last\r\n{} OK\r\n");
    let mut world = World::new(imap);
    world.say("NOOP\r\n").unwrap();
    assert_eq!(world.filter.take_alerts(), ["of ***", "second", "third", "last"]);
}

#[test]
fn what_is_not_there_is_refused_and_the_session_goes_on() {
    for said in [
        "RETR",
        "RETR 0",
        "RETR 3",
        "RETR x",
        "RETR -1",
        "RETR 99999999999999999999",
        "RETR 1 2",
        "RETR +1",
        "TOP 1",
        "TOP 1 +1",
        "TOP 1 1 1",
        "TOP 3 1",
        "TOP 1 x",
        "DELE",
        "DELE 9",
        "DELE 1 2",
        "LIST 1 2",
        "LIST 3",
        "UIDL 3",
        "UIDL\x0c",
        "STAT\x0b",
        "XTND XLST Subject",
        "UTF8",
        "LANG",
        "XYZ",
        "RETR \u{ff}",
    ] {
        let heard = session(Imap::with(&TWO), &format!("{said}\r\nSTAT\r\n"));
        let lines: Vec<&str> = heard.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("-ERR ") && lines[1] == "+OK 2 35", "{said}: {heard}");
    }
}

#[test]
fn a_message_is_made_readable_on_its_way() {
    let body = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\u{fc}n\r\n".as_bytes();
    let mut world = World::new(Imap::with(&[body]));
    world.filter = world.filter.reading(Readable::find("windows-1252"));
    let said = world.say("RETR 1\r\n").unwrap();
    assert_eq!(
        said,
        "+OK 62 octets\r\nSubject: x\r\nContent-Type: text/plain; charset=windows-1252\r\nMIME-Version: 1.0\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         X-Ostler-Readable: utf-8 to windows-1252; 0 characters approximated\r\n\r\nGr=FCn\r\n.\r\n"
    );
}

#[test]
fn deletions_are_on_their_way_from_quit_to_its_answer_and_at_no_other_time() {
    let mut world = World::new(Imap::with(&TWO));
    world.say("DELE 1\r\n").unwrap();
    assert!(!world.filter.is_committing(), "nothing is removed before QUIT");
    let _ = world.filter.client_said(b"QUIT\r\n", &mut Replies::default()).unwrap();
    assert!(world.filter.is_committing());
    assert_eq!(world.filter.clock().0, Clock::Message, "a provider may take its time, as for a message");
}

#[test]
fn what_was_deleted_is_gone_at_once_and_back_after_rset() {
    let mut world = World::new(Imap::with(&TWO));
    assert_eq!(
        world.say("DELE 1\r\nSTAT\r\nLIST\r\n").unwrap(),
        "+OK message 1 is deleted\r\n+OK 1 11\r\n+OK 1 message\r\n2 11\r\n.\r\n"
    );
    for said in ["RETR 1", "DELE 1", "LIST 1", "UIDL 1", "TOP 1 0"] {
        assert_eq!(world.say(&format!("{said}\r\n")).unwrap(), "-ERR there is no message 1\r\n");
    }
    assert_eq!(
        world.say("LAST\r\nRSET\r\nLAST\r\nSTAT\r\n").unwrap(),
        "+OK 1\r\n+OK 2 messages\r\n+OK 0\r\n+OK 2 35\r\n"
    );
    assert_eq!(world.say("QUIT\r\n").unwrap(), "+OK bye\r\n");
    assert_eq!(world.imap.uids(), [10, 20]);
    assert!(world.filter.is_over());
    assert_eq!(world.imap.heard.last().unwrap(), "LOGOUT");
}

#[test]
fn quit_removes_what_was_deleted_and_nothing_else() {
    let mut imap = Imap::with(&[b"a", b"b", b"c"]);
    imap.messages[1].is_deleted = true;
    let mut world = World::new(imap);
    assert_eq!(world.say("DELE 1\r\nDELE 3\r\nQUIT\r\n").unwrap().lines().last(), Some("+OK bye, 2 messages deleted"));
    assert_eq!(world.imap.uids(), [20], "another program's is still there");
    assert_eq!(
        world.imap.heard[3..],
        ["SELECT \"INBOX\"", "UID STORE 10,30 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 10,30", "LOGOUT"]
    );
}

#[test]
fn without_uidplus_all_that_is_marked_must_be_the_clients() {
    let plain = |mut imap: Imap| {
        imap.has_uidplus = false;
        imap
    };
    let mut world = World::new(plain(Imap::with(&TWO)));
    assert!(world.say("DELE 1\r\nQUIT\r\n").unwrap().ends_with("+OK bye, 1 message deleted\r\n"));
    assert_eq!(world.imap.uids(), [20]);
    for other in [
        plain(Imap::with(&TWO)).meanwhile("EXAMINE", 20, Other::Marks),
        plain(Imap::with(&TWO)).meanwhile("UID SEARCH", 20, Other::Marks),
        // Marked after the list was made, and told before the answer is over.
        plain(Imap::with(&TWO))
            .instead("UID SEARCH", "* SEARCH 10\r\n* 2 FETCH (FLAGS (\\Seen \\Deleted))\r\n{} OK\r\n"),
    ] {
        let mut world = World::new(other);
        let said = world.say("DELE 1\r\nQUIT\r\n").unwrap();
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("-ERR [SYS/TEMP] what your mail program deleted is still in the folder"), "{said}");
        assert_eq!(world.imap.uids(), [10, 20]);
        let failure = world.filter.take_failure().unwrap();
        assert!(matches!(failure, Failure::NotDeleted { why: NotDeleted::OthersMarked, .. }));
        assert!(world.filter.is_over());
    }
    let silent = plain(Imap::with(&TWO)).instead("UID SEARCH", "{} OK\r\n");
    let mut world = World::new(silent);
    assert!(world.say("DELE 1\r\nQUIT\r\n").unwrap().lines().last().unwrap().starts_with("-ERR"));
    assert_eq!(world.imap.uids(), [10, 20]);
}

#[test]
fn what_a_broken_session_has_left_marked_does_not_stand_in_the_way() {
    let mut imap = Imap::with(&[b"a", b"b", b"c"]);
    imap.has_uidplus = false;
    // The first session breaks behind STORE.
    let mut first = World::new(imap.instead("UID SEARCH", ""));
    first.say("DELE 1\r\nQUIT\r\n").unwrap();
    assert_eq!(first.filter.left_marks(), Some(vec![10]));
    let next = |left: &[u32], mut imap: Imap, said: &str| {
        let mut opened = open_as(&mut imap, Folder::default()).unwrap();
        opened.left_marks = left.to_vec();
        let mut world = World::new(imap);
        world.filter = MaildropFilter::new(opened, Arc::default());
        let said = world.say(said).unwrap();
        (said.lines().last().unwrap().to_owned(), world)
    };
    let (said, world) = next(&[10], first.imap.clone(), "DELE 3\r\nQUIT\r\n");
    assert_eq!((said.as_str(), world.imap.uids()), ("+OK bye, 1 message deleted", vec![10, 20]));
    assert!(world.imap.messages.iter().all(|message| !message.is_deleted), "the mark is gone");
    assert_eq!(world.filter.left_marks(), Some(vec![]));
    // The client deletes it again.
    let (said, world) = next(&[10], first.imap.clone(), "DELE 1\r\nQUIT\r\n");
    assert_eq!((said.as_str(), world.imap.uids()), ("+OK bye, 1 message deleted", vec![20, 30]));
    // Another program's is not touched, nor one that is marked again.
    let marked = first.imap.clone().meanwhile("SELECT", 20, Other::Marks);
    let (said, world) = next(&[10], marked, "DELE 3\r\nQUIT\r\n");
    assert!(said.starts_with("-ERR [SYS/TEMP] what your mail program deleted"), "{said}");
    assert_eq!((world.imap.uids(), world.filter.left_marks()), (vec![10, 20, 30], Some(vec![10, 30])));
    let again = first.imap.clone().instead("UID STORE 10 -FLAGS", "{} OK\r\n");
    let (said, world) = next(&[10], again, "DELE 3\r\nQUIT\r\n");
    assert!(said.starts_with("-ERR [SYS/TEMP] what your mail program deleted"), "{said}");
    assert_eq!(world.imap.uids(), [10, 20, 30]);
    // A session that deletes nothing knows nothing of it.
    let (_, world) = next(&[10], first.imap, "QUIT\r\n");
    assert_eq!(world.filter.left_marks(), None);
}

/// All in one command, under one time limit, of which nothing that the server said began the next.
#[test]
fn a_thousand_messages_at_most_are_deleted_by_one_command_and_each_one_gone_is_progress() {
    let many = vec![&b"x"[..]; 2_500];
    let deletions: String = (1..=many.len()).map(|number| format!("DELE {number}\r\n")).collect();
    let mut imap = Imap::with(&many);
    imap.messages.iter_mut().zip(1..).for_each(|(message, uid)| message.uid = uid);
    let mut world = World::new(imap);
    world.say(&format!("{deletions}QUIT\r\n")).unwrap();
    assert!(world.imap.uids().is_empty());
    let named = world.imap.heard.iter().filter(|line| line.contains("UID EXPUNGE")).count();
    assert_eq!(named, 3, "{:?}", world.imap.heard.iter().filter(|line| line.contains("UID")).collect::<Vec<_>>());
    let mut world = World::new(Imap::with(&TWO).instead("UID EXPUNGE", "* 1 EXPUNGE\r\n"));
    world.say("DELE 1\r\nDELE 2\r\nQUIT\r\n").unwrap();
    for line in ["* 1 EXPUNGE\r\n", "* OK Still here\r\n"] {
        let before = world.filter.clock();
        assert!(world.filter.server_said(line.as_bytes(), &mut Replies::default()).is_ok());
        assert!(before.0 == Clock::Message && world.filter.clock() != before, "{line}");
    }
}

#[test]
fn quit_tells_what_the_server_refuses() {
    for (command, said, why) in [
        ("SELECT", "{} NO no\r\n", NotDeleted::Refused("no".into())),
        ("SELECT", "* OK [UIDVALIDITY 8] new\r\n{} OK in\r\n", NotDeleted::FolderReplaced),
        ("SELECT", "{} OK in\r\n", NotDeleted::FolderReplaced),
        ("SELECT", "* OK [UIDVALIDITY 7] ok\r\n{} OK [READ-ONLY] in\r\n", NotDeleted::ReadOnly),
        (
            "SELECT",
            "* OK [PERMANENTFLAGS (\\Seen \\Answered)] ok\r\n* OK [UIDVALIDITY 7] ok\r\n{} OK [READ-WRITE] in\r\n",
            NotDeleted::ReadOnly,
        ),
        ("UID STORE", "{} NO [LIMIT] not so many\r\n", NotDeleted::Refused("not so many".into())),
        ("UID EXPUNGE", "{} BAD xyzzy what\r\n", NotDeleted::Refused("*** what".into())),
    ] {
        let mut world = World::new(Imap::with(&TWO).instead(command, said));
        let heard = world.say("DELE 1\r\nQUIT\r\n").unwrap();
        assert!(heard.lines().last().unwrap().starts_with("-ERR [SYS/TEMP] what your mail program"), "{heard}");
        let failure = world.filter.take_failure();
        assert!(matches!(&failure, Some(Failure::NotDeleted { why: told, .. }) if *told == why), "{failure:?}");
        assert_eq!(world.imap.uids(), [10, 20]);
        assert_eq!(world.imap.heard.last().unwrap(), "LOGOUT");
        // Behind SELECT nothing was marked: a mark there would be another program's.
        assert_eq!(world.filter.left_marks(), (command != "SELECT").then(|| vec![10]), "{command}");
    }
}

#[test]
fn what_looks_like_a_reason_to_delete_nothing_and_is_none() {
    let select = |flags| format!("* OK [PERMANENTFLAGS ({flags})] ok\r\n* OK [UIDVALIDITY 7] ok\r\n{{}} OK in\r\n");
    for flags in ["", "\\Deleted", "\\Seen \\DELETED \\*"] {
        let mut world = World::new(Imap::with(&TWO).instead("SELECT", &select(flags)));
        let said = world.say("DELE 1\r\nQUIT\r\n").unwrap();
        assert_eq!((said.lines().last(), world.imap.uids()), (Some("+OK bye, 1 message deleted"), vec![20]), "{flags}");
    }
    for (command, said) in [
        // Numbers that nobody has asked for.
        ("UID STORE", "* SEARCH 99\r\n{} OK\r\n"),
        // A mark that is told before the list is in the list, if it is still there.
        ("UID STORE", "* 1 FETCH (FLAGS (\\Deleted))\r\n{} OK\r\n"),
        ("UID SEARCH", "* 2 FETCH (FLAGS (\\Deleted))\r\n* SEARCH 10\r\n{} OK\r\n"),
        // Behind it, news of something else.
        ("UID SEARCH", "* SEARCH 10\r\n* 2 FETCH (FLAGS (\\Seen) OLD (\\Deleted))\r\n{} OK\r\n"),
    ] {
        let mut imap = Imap::with(&TWO).instead(command, said);
        imap.has_uidplus = false;
        let mut world = World::new(imap);
        let heard = world.say("DELE 1\r\nQUIT\r\n").unwrap();
        assert_eq!(heard.lines().last(), Some("+OK bye, 1 message deleted"), "{said}");
        assert_eq!(world.imap.heard.iter().rev().nth(1).unwrap(), "EXPUNGE", "{said}");
    }
}

#[test]
fn a_connection_that_ends_without_quit_deletes_nothing() {
    let mut world = World::new(Imap::with(&TWO));
    world.say("DELE 1\r\nDELE 2\r\n").unwrap();
    let mut say = Replies::default();
    assert!(!world.filter.client_ended(b"QUI", &mut say) && say.server.is_empty());
    // One that hangs up right after QUIT means it.
    assert!(world.filter.client_ended(b"QUIT", &mut say));
    world.take(say);
    while world.step().unwrap() {}
    assert_eq!(world.imap.uids(), [0u32; 0]);
}

#[test]
fn a_message_that_went_away_is_never_another_ones_text() {
    let imap = Imap::with(&TWO).meanwhile("UID FETCH 10", 10, Other::Removes);
    let mut world = World::new(imap);
    let said = world.say("RETR 1\r\nRETR 2\r\nTOP 1 1\r\n").unwrap();
    assert!(said.starts_with("-ERR message 1 is no longer there"), "{said}");
    assert!(said.contains("+OK 11 octets\r\nB: 2") && said.ends_with("moved it\r\n"), "{said}");
}

#[test]
fn another_folder_in_the_place_of_the_open_one_ends_the_session() {
    let other = "* OK [UIDVALIDITY 8] new\r\n* 1 FETCH (UID 10 BODY[] {2}\r\nxx)\r\n{} OK\r\n";
    let mut world = World::new(Imap::with(&TWO).instead("UID FETCH 10", other));
    assert!(matches!(world.say("RETR 1\r\n"), Err(ProtocolViolation::Server(_))));
    let same = other.replace('8', "7");
    let mut world = World::new(Imap::with(&TWO).instead("UID FETCH 10", &same));
    assert_eq!(world.say("RETR 1\r\n").unwrap(), "+OK 2 octets\r\nxx\r\n.\r\n");
    // While the messages are marked.
    let marked = "* OK [UIDVALIDITY 8] new\r\n{} OK\r\n";
    let mut world = World::new(Imap::with(&TWO).instead("UID STORE", marked));
    let said = world.say("DELE 1\r\nQUIT\r\n").unwrap();
    assert!(said.contains("-ERR [SYS/TEMP] what your mail program deleted is still in the folder"), "{said}");
    assert!(!world.imap.heard.iter().any(|line| line.contains("EXPUNGE")), "{:?}", world.imap.heard);
}

#[test]
fn top_takes_all_of_a_message_from_a_server_that_knows_no_parts() {
    let body = format!("A: b\r\n\r\none\r\n{}", "x\r\n".repeat(20_000));
    let all = format!("* 1 FETCH (UID 10 BODY[] {{{}}}\r\n{body})\r\n{{}} OK\r\n", body.len());
    let imap = Imap::with(&[body.as_bytes()]).instead("UID FETCH 10", &all).instead("UID FETCH 10", &all);
    let said = session(imap, "TOP 1 1\r\nTOP 1 9999999\r\nSTAT\r\n");
    assert!(said.starts_with("+OK\r\nA: b\r\n\r\none\r\n.\r\n+OK\r\nA: b\r\n"), "{}", &said[..60]);
    assert!(said.ends_with(&format!("x\r\n.\r\n+OK 1 {}\r\n", body.len())), "{}", &said[said.len() - 60..]);
}

#[test]
fn answers_that_are_no_message_are_told_or_end_the_session() {
    for (answer, heard) in [
        ("* 1 FETCH (UID 10 BODY[] NIL)\r\n{} OK\r\n", "-ERR mail.example.net says that there is nothing in message 1"),
        ("{} NO [EXPUNGEISSUED] gone\r\n", "-ERR mail.example.net does not give message 1: gone"),
        ("{} BAD what\r\n", "-ERR mail.example.net does not give message 1: what"),
        ("{} OK\r\n", "-ERR message 1 is no longer there"),
        ("* 1 FETCH (UID 11 BODY[] {2}\r\nxx)\r\n{} OK\r\n", "-ERR message 1 is no longer there"),
        ("* 1 FETCH (BODY[HEADER] {2}\r\nxx UID 10)\r\n{} OK\r\n", "-ERR message 1 is no longer there"),
        ("* 1 FETCH (UID 10 BODY[] \"\")\r\n{} OK\r\n", "+OK 0 octets\r\n.\r\n"),
        ("* 1 FETCH (UID 10 BODY[] {0}\r\n)\r\n{} OK\r\n", "+OK 0 octets\r\n.\r\n"),
        ("* 1 FETCH (UID 10 BODY[] \".a \\\"b\\\"\")\r\n{} OK\r\n", "+OK 6 octets\r\n..a \"b\"\r\n.\r\n"),
        (
            "* 1 FETCH (BODY[] ~{1}\r\nx FLAGS (\\Seen) UID 10)\r\nCAPABILITY completed.\r\n{} OK\r\n",
            "+OK 1 octets\r\nx\r\n.\r\n",
        ),
        (
            "* LIST () \"/\" {3}\r\na\r\n\r\n* 2 FETCH (ENVELOPE (\"x\" {3}\r\n){3 {1}\r\nx) UID 20)\r\n{} OK\r\n",
            "-ERR message 1 is no",
        ),
        // Twice: the first is the message.
        (
            "* 1 FETCH (UID 10 BODY[] {1}\r\na)\r\n* 1 FETCH (UID 10 BODY[] {1}\r\nb)\r\n{} OK\r\n",
            "+OK 1 octets\r\na\r\n.\r\n",
        ),
    ] {
        let mut world = World::new(Imap::with(&TWO).instead("UID FETCH 10", answer));
        let said = world.say("RETR 1\r\nSTAT\r\n").unwrap();
        assert!(said.starts_with(heard) && said.ends_with("+OK 2 35\r\n"), "{answer}: {said}");
    }
    for answer in [
        "* 1 FETCH (BODY[] {2}\r\nxx UID 20)\r\n{} OK\r\n",
        "* 1 FETCH (BODY[] {2}\r\nxx)\r\n{} OK\r\n",
        "* 1 FETCH (UID 10 BODY[] {2}\r\nxx)\r\n{} NO later\r\n",
        "* 1 FETCH (UID 10 BODY[] {2}\r\nxx\r\n{} OK\r\n",
    ] {
        let mut world = World::new(Imap::with(&TWO).instead("UID FETCH 10", answer));
        assert!(matches!(world.say("RETR 1\r\n"), Err(ProtocolViolation::Server(_))), "{answer}");
        let heard = String::from_utf8_lossy(&world.to_client).into_owned();
        assert!(!heard.contains("\r\n.\r\n"), "{answer}: {heard}");
        assert!(world.filter.as_ref().is_inside_text());
    }
}

#[test]
fn a_line_without_end_ends_the_session() {
    let long = format!("* OK {}\r\n{{}} OK\r\n", "x".repeat(crate::maildrop::MAX_LINE_OCTETS + 1));
    assert!(World::new(Imap::with(&TWO).instead("NOOP", &long)).say("NOOP\r\n").is_err());
    // A list of what was found may be of any length.
    let numbers = " 10".repeat(crate::maildrop::MAX_LINE_OCTETS);
    let mut imap = Imap::with(&TWO).instead("UID SEARCH", &format!("* search{numbers}\r\n{{}} OK\r\n"));
    imap.has_uidplus = false;
    let mut world = World::new(imap);
    assert!(world.say("DELE 1\r\nQUIT\r\n").unwrap().ends_with("deleted\r\n"));
    assert_eq!(world.imap.uids(), [20]);
}

#[test]
fn top_of_a_large_message_does_not_bring_all_of_it() {
    let body: String = (0..40_000).fold("A: b\r\n\r\n".to_owned(), |mut body, n| {
        let _ = write!(body, ".line {n}\r\n");
        body
    });
    let mut world = World::new(Imap::with(&[body.as_bytes()]));
    let mut wanted = body
        .lines()
        .take(2 + 3)
        .fold(String::new(), |all, line| all + line.replace(".line", "..line").as_str() + "\r\n");
    wanted = format!("+OK\r\n{wanted}.\r\n");
    assert_eq!(world.say("TOP 1 3\r\n").unwrap(), wanted);
    assert_eq!(world.imap.heard.last().unwrap(), "UID FETCH 10 (UID BODY.PEEK[]<0.33068>)");
    // More lines than were guessed: the next part is asked for.
    let all = world.say("RETR 1\r\n").unwrap();
    let head = format!("+OK {} octets\r\n", body.len());
    let most = world.say("TOP 1 4000\r\n").unwrap();
    assert!(world.imap.heard.last().unwrap().contains("BODY.PEEK[]<0."));
    assert_eq!(most.lines().count(), 1 + 2 + 4000 + 1);
    let whole = world.say("TOP 1 99999999\r\n").unwrap();
    assert_eq!(whole["+OK\r\n".len()..], all[head.len()..]);
    // Lines longer than the guess.
    let wide = format!("A: b\r\n\r\n{}", "y".repeat(998).as_str().to_owned() + "\r\n").repeat(300);
    let mut world = World::new(Imap::with(&[wide.as_bytes()]));
    let part = world.say("TOP 1 200\r\n").unwrap();
    assert!(world.imap.heard.last().unwrap().contains("BODY.PEEK[]<52768.105536>"), "{:?}", world.imap.heard.last());
    assert!(part.len() > 190_000 || part.ends_with("\r\n.\r\n"), "{}", part.len());
}

#[test]
fn a_message_counts_as_read_only_where_the_settings_say_so() {
    let mut world = World::new(Imap::with(&TWO));
    world.say("RETR 1\r\n").unwrap();
    assert!(!world.imap.messages[0].is_seen);
    assert_eq!(world.imap.heard[1], "EXAMINE \"INBOX\"");
    let folder = Folder { name: "Entwürfe".into(), mark_read: true };
    let mut world = World::in_folder(Imap::with(&TWO), folder);
    world.say("RETR 1\r\nTOP 2 1\r\nSTAT\r\n").unwrap();
    assert!(world.imap.messages[0].is_seen && !world.imap.messages[1].is_seen);
    assert_eq!(world.imap.heard[1], "SELECT \"Entw&APw-rfe\"");
}

#[test]
fn a_client_is_heard_and_its_time_runs_only_while_the_server_owes_nothing() {
    let folder = Folder { mark_read: true, ..Folder::default() };
    let mut world = World::in_folder(Imap::with(&TWO), folder);
    assert!(world.filter.wants_client());
    assert_eq!(world.filter.clock().0, Clock::ClientIdle);
    world.from_client.extend_from_slice(b"RETR 1\r\n");
    let mut seen = vec![];
    while world.step().unwrap() {
        let has_message = world.to_client.ends_with(b".\r\n");
        seen.push((has_message, world.filter.wants_client(), world.filter.clock().0));
    }
    let asked = seen.iter().position(|(has_message, ..)| !has_message).unwrap();
    assert_eq!(seen[asked], (false, false, Clock::Reply), "{seen:?}");
    // The client has its message, and the server has not yet answered the STORE that marks it as read.
    let marking = seen.iter().find(|(has_message, ..)| *has_message).unwrap();
    assert_eq!(*marking, (true, false, Clock::Reply), "{seen:?}");
    assert!(world.filter.wants_client());
    assert_eq!(world.filter.clock().0, Clock::ClientIdle);
}

/// A clock that did not restart would cut off a long list, or a long answer.
#[test]
fn the_clock_restarts_with_every_part_that_comes_from_either_side() {
    let bodies = vec![b"x".as_slice(); 3000];
    let mut world = World::new(Imap::with(&bodies));
    let mut ticks = vec![world.filter.clock().1];
    world.from_client.extend_from_slice(b"UIDL\r\nRETR 1\r\nNOOP\r\n");
    while world.step().unwrap() {
        ticks.push(world.filter.clock().1);
    }
    assert!(ticks.len() > 5 && ticks.is_sorted_by(|before, after| before < after), "{ticks:?}");
}

#[test]
fn what_the_server_wants_people_to_read_is_kept_for_them() {
    let alert = "* OK [ALERT] quota xyzzy\r\n* BYE [UNAVAILABLE] until noon\r\n{} OK\r\n";
    let mut world = World::new(Imap::with(&TWO).instead("NOOP", alert));
    world.say("NOOP\r\n").unwrap();
    assert_eq!(world.filter.take_alerts(), ["quota ***"]);
    assert_eq!(world.filter.bye(), Some("until noon"));
}

#[test]
fn a_folder_that_does_not_open_is_told_at_the_sign_in() {
    let refused = |said| open_as(&mut Imap::with(&TWO).instead("EXAMINE", said), Folder::default()).unwrap_err();
    assert!(matches!(refused("{} NO [NONEXISTENT] no such\r\n"), Failure::NoFolder { said, .. } if said == "no such"));
    assert!(matches!(refused("* 2 EXISTS\r\n{} OK\r\n"), Failure::ProtocolViolation { .. }));
    assert!(matches!(refused("* BYE out\r\n"), Failure::ServiceRefused { .. }));
    let many = "* OK [UIDVALIDITY 1] x\r\n* 4294967295 EXISTS\r\n{} OK\r\n";
    assert!(matches!(refused(many), Failure::ProtocolViolation { .. }));
    let listed = |said| open_as(&mut Imap::with(&TWO).instead("FETCH", said), Folder::default());
    let two = listed(
        "* 2 FETCH (RFC822.SIZE 5 UID 20)\r\n* 1 FETCH (UID 10 RFC822.SIZE 6)\r\n* 1 FETCH (FLAGS ())\r\n{} OK\r\n",
    );
    assert_eq!(two.unwrap().messages.totals(), (2, 11), "in whatever order");
    assert!(listed("{} NO no\r\n").is_err());
    assert!(listed("* 1 FETCH (BODY[] {3}\r\n{} OK\r\n").is_err());
    let chatter = "* 1 RECENT\r\n".repeat(300) + "{} OK\r\n";
    assert!(listed(chatter.as_str()).is_err());
    let hostile = "* 1 FETCH (UID 10 RFC822.SIZE 6)\r\n".repeat(6000) + "{} OK\r\n";
    assert!(listed(hostile.as_str()).is_err());
}

#[test]
fn a_large_folder_is_listed_in_parts() {
    let mut imap = Imap::with(&[]);
    imap.messages =
        (1..=12_001).map(|uid| Message { uid, is_deleted: false, is_seen: false, body: b"x".to_vec() }).collect();
    let mut world = World::new(imap);
    assert_eq!(
        world.imap.heard[2..5],
        ["FETCH 1:5000 (UID RFC822.SIZE)", "FETCH 5001:10000 (UID RFC822.SIZE)", "FETCH 10001:12001 (UID RFC822.SIZE)"]
    );
    let said = world.say("UIDL\r\nSTAT\r\n").unwrap();
    assert_eq!(said.lines().count(), 12_001 + 3);
    assert!(said.ends_with("12001 7.12001\r\n.\r\n+OK 12001 12001\r\n"));
}

/// What a client may say, and what it then hears from a maildrop of these messages.
#[derive(Debug, Clone)]
enum Said {
    Stat,
    List,
    Uidl,
    Retr(usize),
    Top(usize, usize),
    Dele(usize),
    Rset,
    Noop,
    Nonsense,
}

fn said() -> impl Strategy<Value = Said> {
    let number = 0usize..7;
    prop_oneof![
        Just(Said::Stat),
        Just(Said::List),
        Just(Said::Uidl),
        number.clone().prop_map(Said::Retr),
        (number.clone(), 0usize..4).prop_map(|(number, lines)| Said::Top(number, lines)),
        number.prop_map(Said::Dele),
        Just(Said::Rset),
        Just(Said::Noop),
        Just(Said::Nonsense),
    ]
}

/// A POP3 server of the textbook.
struct Textbook {
    messages: Vec<(u32, Vec<u8>, bool)>,
}

impl Textbook {
    fn command(said: &Said) -> String {
        match said {
            Said::Stat => "STAT".into(),
            Said::List => "list".into(),
            Said::Uidl => "UIDL".into(),
            Said::Retr(number) => format!("RETR {number}"),
            Said::Top(number, lines) => format!("TOP {number} {lines}"),
            Said::Dele(number) => format!("DELE {number}"),
            Said::Rset => "RSET".into(),
            Said::Noop => "NOOP".into(),
            Said::Nonsense => "FROB 1".into(),
        }
    }

    /// The answer, of which only the status counts where there is no text.
    fn answer(&mut self, said: &Said) -> (bool, Option<Vec<u8>>) {
        let is_there = |number: usize| number > 0 && self.messages.get(number - 1).is_some_and(|m| !m.2);
        match *said {
            Said::Stat | Said::Noop => (true, None),
            Said::Nonsense => (false, None),
            Said::List => (true, Some(self.lines(|(_, body, _)| body.len().to_string()))),
            Said::Uidl => (true, Some(self.lines(|(uid, ..)| format!("7.{uid}")))),
            Said::Rset => {
                self.messages.iter_mut().for_each(|message| message.2 = false);
                (true, None)
            }
            Said::Dele(number) if is_there(number) => {
                self.messages[number - 1].2 = true;
                (true, None)
            }
            Said::Retr(number) if is_there(number) => (true, Some(text(&self.messages[number - 1].1))),
            Said::Top(number, lines) if is_there(number) => {
                (true, Some(text(top(&self.messages[number - 1].1, lines))))
            }
            Said::Dele(_) | Said::Retr(_) | Said::Top(..) => (false, None),
        }
    }

    fn lines(&self, entry: impl Fn(&(u32, Vec<u8>, bool)) -> String) -> Vec<u8> {
        let there = self.messages.iter().enumerate().filter(|(_, message)| !message.2);
        let lines: String = there.map(|(at, message)| format!("{} {}\r\n", at + 1, entry(message))).collect();
        format!("{lines}.\r\n").into_bytes()
    }
}

fn top(message: &[u8], lines: usize) -> &[u8] {
    let mut left = None;
    let mut at = 0;
    for line in message.split_inclusive(|b| *b == b'\n') {
        if left == Some(0) {
            break;
        }
        at += line.len();
        left = match left {
            None if line == b"\r\n" || line == b"\n" => Some(lines),
            None => None,
            Some(left) => Some(left - 1),
        };
    }
    &message[..at]
}

/// The text of a message. A bare LF before a dot becomes CR LF, and so does one at the end, which stands before a dot, too.
fn text(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mend = |text: &mut Vec<u8>| {
        if text.ends_with(b"\n") && !text.ends_with(b"\r\n") {
            text.insert(text.len() - 1, b'\r');
        }
    };
    for octet in message {
        if *octet == b'.' {
            mend(&mut text);
            if text.is_empty() || text.ends_with(b"\r\n") {
                text.push(b'.');
            }
        }
        text.push(*octet);
    }
    mend(&mut text);
    let end: &[u8] = if text.is_empty() || text.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" };
    [&text[..], end].concat()
}

proptest! {
    #[test]
    fn a_message_is_made_readable_alike_however_it_comes_in(
        words in proptest::collection::vec("[a-z.=\u{e4}\u{20ac}\r\n]{0,30}", 1..5),
        cuts in proptest::collection::vec(1usize..40, 1..8),
    ) {
        let body = |word: &String| format!("Subject: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n.{word}", word.len());
        let bodies: Vec<String> = words.iter().map(body).collect();
        let slices: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
        let fetched = |cuts: Vec<usize>| {
            let mut world = World::new(Imap::with(&slices));
            world.filter = world.filter.reading(Readable::find("windows-1252"));
            world.cuts = cuts;
            let all: String = (1..=slices.len()).map(|n| format!("RETR {n}\r\nTOP {n} 1\r\n")).collect();
            world.say(&all).map(|said| said.into_bytes())
        };
        let whole = fetched(vec![usize::MAX]).unwrap();
        prop_assert!(whole.starts_with(b"+OK"));
        prop_assert_eq!(fetched(cuts).unwrap(), whole);
    }

    #[test]
    fn a_session_is_that_of_the_textbook(
        bodies in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(b"ab.\r\r\n\n{2}\"".to_vec()), 0..40), 0..6),
        commands in proptest::collection::vec(said(), 0..20),
        cuts in proptest::collection::vec(1usize..30, 1..8),
        has_uidplus in any::<bool>(),
        quits in any::<bool>(),
        is_pipelined in any::<bool>(),
    ) {
        let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let mut imap = Imap::with(&slices);
        imap.has_uidplus = has_uidplus;
        let mut book = Textbook { messages: imap.messages.iter().map(|m| (m.uid, m.body.clone(), false)).collect() };
        let mut world = World::new(imap);
        world.cuts = cuts;
        if is_pipelined {
            let all: String = commands.iter().map(|said| Textbook::command(said) + "\r\n").collect();
            world.say(&all).unwrap();
        } else {
            for said in &commands {
                world.say(&(Textbook::command(said) + "\n")).unwrap();
            }
        }
        let mut heard = &world.to_client.clone()[..];
        for said in &commands {
            let end = heard.iter().position(|b| *b == b'\n').unwrap() + 1;
            let (is_ok, text) = book.answer(said);
            let status: &[u8] = if is_ok { b"+OK" } else { b"-ERR" };
            prop_assert!(heard.starts_with(status), "{:?}: {}", said, heard.escape_ascii());
            heard = &heard[end..];
            if let Some(text) = text {
                prop_assert!(heard.starts_with(&text), "{:?}: {}", said, heard.escape_ascii());
                heard = &heard[text.len()..];
            }
        }
        prop_assert!(heard.is_empty());
        let kept: Vec<u32> = book.messages.iter().filter(|m| !quits || !m.2).map(|m| m.0).collect();
        if quits {
            let said = world.say("QUIT\r\n").unwrap();
            prop_assert!(said.starts_with("+OK bye"), "{}", said);
        }
        prop_assert_eq!(world.imap.uids(), kept);
    }
}
