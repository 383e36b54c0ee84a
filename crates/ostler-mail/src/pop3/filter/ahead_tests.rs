//! Reading ahead, judged by a model: any client, any mailbox and any timing give the client the same octets and the provider
//! the same mailbox as a session that reads nothing ahead.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A provider with a mailbox.
#[derive(Debug, Clone)]
struct Provider {
    messages: Vec<Vec<u8>>,
    /// What it says to LIST; `None`: it refuses.
    sizes: Option<Vec<u64>>,
    deleted: Vec<bool>,
    last: usize,
    /// The commands it has heard.
    heard: Vec<String>,
    /// The messages that are gone for good.
    gone: Vec<usize>,
    /// What it has said and ostler has not read.
    said: Vec<u8>,
    /// Where it breaks off.
    breaks: Option<Break>,
    /// It has broken off, and says nothing more.
    is_silent: bool,
}

/// So much of the answer to RETR of this message is said, then this and nothing more.
#[derive(Debug, Clone)]
struct Break {
    number: usize,
    octets: usize,
    /// `None`: it closes the connection.
    garbage: Option<&'static [u8]>,
}

impl Provider {
    fn new(messages: Vec<Vec<u8>>) -> Self {
        let sizes = messages.iter().map(|text| text.len() as u64).collect();
        let deleted = vec![false; messages.len()];
        let (last, heard, gone, said) = (0, Vec::new(), Vec::new(), Vec::new());
        Self { messages, sizes: Some(sizes), deleted, last, heard, gone, said, breaks: None, is_silent: false }
    }

    fn hear(&mut self, lines: &[u8]) {
        for line in std::str::from_utf8(lines).unwrap().lines() {
            self.heard.push(line.to_owned());
            let mut answer = self.answer(line);
            if self.is_silent {
                continue;
            }
            if let Some(breaks) = self.breaks.as_ref().filter(|breaks| line == format!("RETR {}", breaks.number)) {
                answer.truncate(breaks.octets);
                answer.extend_from_slice(breaks.garbage.unwrap_or_default());
                self.is_silent = true;
            }
            self.said.extend(answer);
        }
    }

    fn answer(&mut self, line: &str) -> Vec<u8> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let number = argument.split(' ').next().unwrap_or_default();
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let at = at.filter(|at| self.deleted.get(*at) == Some(&false));
        match (verb.to_ascii_uppercase().as_str(), at) {
            ("LIST" | "UIDL", _) if argument.is_empty() => self.list(),
            ("RETR", Some(at)) => {
                self.last = self.last.max(at + 1);
                [format!("+OK message {number}\r\n").as_bytes(), &self.messages[at], b".\r\n"].concat()
            }
            ("TOP", Some(_)) => format!("+OK\r\nheader of {number}\r\n.\r\n").into_bytes(),
            ("DELE", Some(at)) => {
                self.deleted[at] = true;
                b"+OK marked\r\n".to_vec()
            }
            ("RSET", _) => {
                self.deleted.fill(false);
                self.last = 0;
                b"+OK\r\n".to_vec()
            }
            ("LAST", _) => format!("+OK {}\r\n", self.last).into_bytes(),
            ("STAT", _) => format!("+OK {} 9\r\n", self.deleted.iter().filter(|gone| !**gone).count()).into_bytes(),
            ("NOOP", _) => b"+OK noop\r\n".to_vec(),
            ("CAPA", _) => b"+OK\r\nUIDL\r\nSTLS\r\n.\r\n".to_vec(),
            ("QUIT", _) => {
                self.gone = (0..self.deleted.len()).filter(|at| self.deleted[*at]).collect();
                b"+OK bye\r\n".to_vec()
            }
            _ => b"-ERR no such message\r\n".to_vec(),
        }
    }

    fn list(&self) -> Vec<u8> {
        let Some(sizes) = &self.sizes else { return b"-ERR not now\r\n".to_vec() };
        let lines = sizes.iter().zip(&self.deleted).enumerate().filter(|(_, (_, deleted))| !**deleted);
        let lines: String = lines.map(|(at, (size, _))| format!("{} {size}\r\n", at + 1)).collect();
        format!("+OK\r\n{lines}.\r\n").into_bytes()
    }
}

/// A session: a provider, a filter, and what has reached the client.
struct Played {
    provider: Provider,
    filter: Pop3Filter,
    to_client: Vec<u8>,
    /// What the filter has not taken of the provider's octets.
    unused: Vec<u8>,
}

impl Played {
    fn new(provider: Provider, may_read_ahead: bool, readable: Option<Readable>) -> Self {
        let mut filter = Pop3Filter::new(Arc::default(), may_read_ahead).reading(readable);
        // A quick line.
        filter.ahead.note_pace(u64::MAX, Duration::from_secs(1));
        Self { provider, filter, to_client: Vec::new(), unused: Vec::new() }
    }

    fn client_says(&mut self, line: &str) {
        let mut say = Replies::default();
        let input = format!("{line}\r\n").into_bytes();
        assert_eq!(self.filter.client_said(&input, &mut say), Ok(Pass::Replaced(input.len())));
        self.to_client.append(&mut say.client);
        self.provider.hear(&say.server);
    }

    /// Some of what the provider has said arrives.
    fn arrives(&mut self, octets: usize) {
        let octets = octets.min(self.provider.said.len());
        self.unused.extend(self.provider.said.drain(..octets));
        self.takes().unwrap();
    }

    /// All that the provider has said by now arrives.
    fn all_arrives(&mut self) -> Result<(), ProtocolViolation> {
        self.unused.append(&mut self.provider.said);
        self.takes()
    }

    fn takes(&mut self) -> Result<(), ProtocolViolation> {
        while !self.unused.is_empty() {
            let mut say = Replies::default();
            let pass = self.filter.server_said(&self.unused, &mut say)?;
            let used = match pass {
                Pass::Forward(used) => {
                    assert!(say.client.is_empty() && say.server.is_empty(), "an order that is not told");
                    self.to_client.extend_from_slice(&self.unused[..used]);
                    used
                }
                Pass::Replaced(used) => used,
                Pass::Announced { .. } | Pass::NeedMore | Pass::Stop => break,
            };
            self.unused.drain(..used);
            self.to_client.append(&mut say.client);
            self.provider.hear(&say.server);
        }
        Ok(())
    }

    fn everything_arrives(&mut self) {
        while !self.provider.said.is_empty() {
            self.arrives(usize::MAX);
        }
    }

    /// The commands that change something, or that the client has asked itself.
    fn heard_but_retr_and_list(&self) -> Vec<&String> {
        self.provider
            .heard
            .iter()
            .filter(|line| !line.to_ascii_uppercase().starts_with("RETR ") && *line != "LIST")
            .collect()
    }
}

/// Plays the commands, each with how much may arrive after it; `None`: the client waits for its answer.
fn play(provider: Provider, may_read_ahead: bool, commands: &[(String, Option<usize>)]) -> Played {
    play_for(None, provider, may_read_ahead, commands)
}

/// The same for a client that can read this.
fn play_for(
    readable: Option<Readable>,
    provider: Provider,
    may_read_ahead: bool,
    commands: &[(String, Option<usize>)],
) -> Played {
    let mut played = Played::new(provider, may_read_ahead, readable);
    for (line, arrives) in commands {
        played.client_says(line);
        match arrives {
            Some(octets) => played.arrives(*octets),
            None => played.everything_arrives(),
        }
    }
    played.everything_arrives();
    played
}

/// The client waits for each answer.
fn one_by_one(lines: &[&str]) -> Vec<(String, Option<usize>)> {
    lines.iter().map(|line| ((*line).to_owned(), None)).collect()
}

fn mailbox(messages: usize) -> Provider {
    Provider::new((1..=messages).map(|number| format!("Subject: {number}\r\n\r\n..\r\n").into_bytes()).collect())
}

fn heard(provider: Provider, lines: &[&str]) -> Vec<String> {
    play(provider, true, &one_by_one(lines)).provider.heard
}

/// How a session ends that a provider has broken, as `proxy/pop3` would tell the client.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The connection breaks in a message.
    Cut,
    /// The client's command is answered with what happened.
    Told,
    /// The connection is closed.
    Closed,
}

/// What a client gets that fetches one message after the other, each when it has the last one.
fn broken_off(may_read_ahead: bool, breaks: Break) -> (Vec<u8>, End) {
    let (mut provider, closes) = (mailbox(6), breaks.garbage.is_none());
    provider.breaks = Some(breaks);
    let mut played = Played::new(provider, may_read_ahead, None);
    for asked in 1..=6 {
        played.client_says(&format!("RETR {asked}"));
        let mut is_broken = false;
        while !played.provider.said.is_empty() && !is_broken {
            is_broken = played.all_arrives().is_err();
        }
        is_broken |= played.filter.say_more(&mut Replies::default()).is_err();
        is_broken |= closes && played.provider.is_silent && !played.filter.server_ended();
        let next_is_told = closes && asked < 6;
        if is_broken {
            let end = match (played.filter.is_inside_text(), played.filter.owes_answer() || next_is_told) {
                (true, _) => End::Cut,
                (false, true) => End::Told,
                (false, false) => End::Closed,
            };
            return (played.to_client, end);
        }
    }
    panic!("it does not end")
}

#[test]
fn a_provider_that_breaks_off_in_a_message_ahead_shows_the_client_no_more_and_no_less() {
    let length = mailbox(6).answer("RETR 1").len();
    for number in 1..=6 {
        let cut = (0..=length).map(|octets| Break { number, octets, garbage: None });
        let garbage = [0, length].map(|octets| Break { number, octets, garbage: Some(b"hello\r\n") });
        for breaks in cut {
            let without = broken_off(false, breaks.clone());
            assert_eq!(broken_off(true, breaks.clone()), without, "{breaks:?}");
        }
        // Behind a whole message it is the answer to the next one, if that one was asked for: then the client is told.
        for breaks in garbage {
            let ((with, end), (without, end_without)) =
                (broken_off(true, breaks.clone()), broken_off(false, breaks.clone()));
            assert_eq!(with, without, "{breaks:?}");
            assert_eq!(end == End::Cut, end_without == End::Cut, "{breaks:?}");
        }
    }
}

#[test]
fn a_client_that_leaves_before_the_message_that_broke_hears_of_no_failure_unless_something_is_to_be_deleted() {
    let fetched = ["RETR 1", "RETR 2", "RETR 3", "RETR 4"];
    for (octets, garbage) in [(0, None), (9, None), (0, Some(&b"hello\r\n"[..]))] {
        for (more, says_bye) in [(&[][..], true), (&["DELE 1"], false), (&["RETR 5"], false)] {
            let mut provider = mailbox(6);
            provider.breaks = Some(Break { number: 5, octets, garbage });
            let mut played = Played::new(provider, true, None);
            let mut told = None;
            for line in fetched.iter().chain(more).chain(&["QUIT"]) {
                played.client_says(line);
                let mut is_over = false;
                while !played.provider.said.is_empty() && !is_over {
                    is_over = played.all_arrives().is_err();
                }
                is_over |= played.filter.say_more(&mut Replies::default()).is_err();
                is_over |= garbage.is_none() && played.provider.is_silent && !played.filter.server_ended();
                // As `proxy/pop3`: the next command, if none waits.
                if is_over && (played.filter.owes_answer() || *line == "QUIT") {
                    told = Some(played.filter.bye_without_server(None));
                    break;
                }
            }
            assert_eq!(told, Some(says_bye.then(|| "+OK bye\r\n".to_owned())), "{octets} {garbage:?} {more:?}");
        }
    }
}

#[test]
fn after_two_messages_in_a_row_the_next_are_asked_for() {
    let heard = heard(mailbox(12), &["RETR 1", "RETR 2", "RETR 3"]);
    assert_eq!(heard[..3], ["RETR 1", "RETR 2", "LIST"]);
    assert_eq!(heard[3..].len(), 9, "{heard:?}");
    assert_eq!(heard[3], "RETR 3");
}

#[test]
fn sizes_that_the_client_has_asked_for_are_not_asked_for_again() {
    let heard = heard(mailbox(4), &["LIST", "RETR 1", "DELE 1", "RETR 2", "RETR 3", "DELE 2", "RETR 4", "QUIT"]);
    assert_eq!(
        heard,
        ["LIST", "RETR 1", "DELE 1", "RETR 2", "RETR 3", "RETR 4", "DELE 2", "QUIT"],
        "a message that was fetched may be deleted"
    );
}

#[test]
fn nothing_is_asked_ahead_where_it_must_not_be() {
    let asked = ["RETR 1", "RETR 2", "NOOP"];
    assert_eq!(play(mailbox(9), false, &one_by_one(&asked)).provider.heard, asked);
    let mut sizeless = mailbox(9);
    sizeless.sizes = None;
    assert_eq!(heard(sizeless, &asked), ["RETR 1", "RETR 2", "LIST", "NOOP"]);
    let mut large = mailbox(9);
    large.sizes = Some(vec![257 * 1024; 9]);
    assert_eq!(heard(large, &asked), ["RETR 1", "RETR 2", "LIST", "NOOP"]);
    // Not over a deletion, and not without two in a row.
    for asked in [&["DELE 7", "RETR 1", "RETR 2", "NOOP"][..], &["RETR 1", "RETR 3", "TOP 4 0"], &["RETR 9", "RETR 8"]]
    {
        assert_eq!(heard(mailbox(9), asked), asked);
    }
}

#[test]
fn a_megabyte_is_ahead_at_most() {
    let mut mailbox = mailbox(20);
    mailbox.sizes = Some(vec![250_000; 20]);
    let heard = heard(mailbox, &["RETR 1", "RETR 2", "NOOP"]);
    assert_eq!(heard, ["RETR 1", "RETR 2", "LIST", "RETR 3", "RETR 4", "RETR 5", "RETR 6", "NOOP"]);
}

#[test]
fn on_a_slow_line_less_is_ahead() {
    // 20 kB a second: a client that says QUIT waits for what is on its way.
    let mut provider = Provider::new(vec![b"0123456789abc\r\n".repeat(1400); 20]);
    provider.sizes = Some(vec![21_000; 20]);
    let mut played = Played::new(provider, true, None);
    for (second, line) in ["RETR 1", "RETR 2", "RETR 3", "QUIT"].iter().enumerate() {
        played.filter.note_time(Moment::at(Duration::from_secs(second as u64)));
        played.client_says(line);
        played.filter.note_time(Moment::at(Duration::from_secs(second as u64 + 1)));
        // The message that the client waits for, and no more of those behind it.
        played.arrives(21_030);
    }
    assert_eq!(played.provider.heard, ["RETR 1", "RETR 2", "LIST", "RETR 3", "RETR 4", "QUIT"]);
    played.everything_arrives();
    assert!(played.filter.is_over());
}

#[test]
fn nothing_is_asked_ahead_of_a_server_that_removes_what_was_fetched() {
    let mut filter = Pop3Filter::new(Arc::default(), true);
    let mut say = Replies::default();
    assert_eq!(filter.client_said(b"CAPA\r\n", &mut say), Ok(Pass::Replaced(6)));
    assert_eq!(filter.server_said(b"+OK\r\n", &mut say), Ok(Pass::Forward(5)));
    assert_eq!(filter.server_said(b"EXPIRE 0\r\n", &mut say), Ok(Pass::Replaced(10)));
    assert!(!filter.ahead.wants_sizes());
}

#[test]
fn sizes_that_were_wrong_end_it() {
    let mut provider = Provider::new(vec![[vec![b'x'; 400_000], b"\r\n".to_vec()].concat(); 20]);
    provider.sizes = Some(vec![1; 20]);
    let commands = one_by_one(&["RETR 1", "RETR 2", "RETR 3", "RETR 4", "RETR 5", "RETR 6", "RETR 7", "QUIT"]);
    let mut with = play(provider.clone(), true, &commands);
    assert!(with.to_client == play(provider, false, &commands).to_client);
    assert!(with.filter.ahead.take(5).is_none());
}

/// A mailbox whose third message is this long, but listed with one octet, and a client behind its second message: nothing of the
/// third has arrived.
fn before_a_long_third(octets: usize) -> Played {
    let mut provider = mailbox(3);
    provider.messages[2] = [vec![b'x'; octets], b"\r\n".to_vec()].concat();
    provider.sizes = Some(vec![1; 3]);
    let mut played = play(provider, true, &one_by_one(&["RETR 1"]));
    played.client_says("RETR 2");
    while !played.provider.heard.iter().any(|line| line == "RETR 3") {
        played.arrives(1);
    }
    played
}

/// Memory grew with the message, for the client wanted it, but behind another answer.
#[test]
fn a_message_that_is_far_longer_than_listed_ends_a_session_whose_client_waits_for_something_else() {
    for (octets, commands, is_kept_waiting) in [
        (1024 * 1024, &["STAT", "RETR 3"][..], false),
        (2 * 1024 * 1024, &["STAT", "RETR 3"], true),
        (2 * 1024 * 1024, &["RETR 3", "STAT"], false),
        (9 * 1024 * 1024, &["STAT"], false),
        (11 * 1024 * 1024, &["STAT"], true),
        (11 * 1024 * 1024, &[], false),
    ] {
        let mut played = before_a_long_third(octets);
        commands.iter().for_each(|line| played.client_says(line));
        let mut ended = Ok(());
        while ended.is_ok() && !played.provider.said.is_empty() {
            let some = played.provider.said.len().min(100_000);
            played.unused.extend(played.provider.said.drain(..some));
            ended = played.takes();
            assert!(played.filter.ahead.kept_octets() < 2 * 1024 * 1024, "{octets} {commands:?}");
        }
        assert_eq!(ended.is_err(), is_kept_waiting, "{octets} {commands:?}");
        let said = String::from_utf8_lossy(&played.to_client);
        assert_eq!(
            said.contains("+OK 3 9\r\n"),
            !is_kept_waiting && commands.contains(&"STAT"),
            "{octets} {commands:?}"
        );
    }
}

/// All that it said was kept to be heard later, and never was.
#[test]
fn a_server_that_breaks_the_rules_ahead_of_the_client_may_say_what_it_likes_and_nothing_is_kept() {
    let mut played = play(mailbox(9), true, &one_by_one(&["RETR 1", "RETR 2"]));
    let before = played.to_client.len();
    for _ in 0..3 {
        played.provider.said.extend_from_slice(b"junk\r\n+OK 1\r\nand so on");
        assert_eq!(played.all_arrives(), Ok(()));
        assert!(played.unused.is_empty());
    }
    assert_eq!(played.to_client.len(), before);
    // What was read before is the client's.
    played.client_says("RETR 3");
    assert!(String::from_utf8_lossy(&played.to_client[before..]).contains("Subject: 3"));
}

#[test]
fn after_a_reset_no_message_counts_that_only_ostler_has_fetched() {
    let fetched = ["RETR 1", "RETR 2", "RETR 3", "RETR 4", "RETR 5", "RETR 6"];
    let again = ["RSET", "LAST", "RETR 1", "RETR 2", "LAST", "RETR 3", "LAST"];
    let commands = one_by_one(&[&fetched[..], &again].concat());
    let with = play(mailbox(9), true, &commands);
    assert_eq!(with.to_client, play(mailbox(9), false, &commands).to_client);
}

#[test]
fn what_the_client_has_fetched_last_is_told_without_what_was_read_ahead() {
    let commands = one_by_one(&["RETR 1", "RETR 2", "RETR 3", "LAST", "RETR 4"]);
    let with = play(mailbox(9), true, &commands);
    assert_eq!(with.to_client, play(mailbox(9), false, &commands).to_client);
}

#[test]
fn it_counts_what_the_client_has_fetched() {
    let commands = one_by_one(&["RETR 1", "RETR 2", "RETR 3", "RETR 4", "QUIT"]);
    let (with, without) = (play(mailbox(9), true, &commands), play(mailbox(9), false, &commands));
    assert_eq!(with.filter.totals(), without.filter.totals());
    assert_eq!(with.filter.totals().0, 4);
    assert!(with.filter.is_over());
}

#[test]
fn a_provider_that_refuses_a_message_ahead_is_asked_again_by_the_client() {
    let mut provider = mailbox(9);
    provider.deleted[3] = true;
    provider.sizes = Some(vec![10; 9]);
    let commands = one_by_one(&["LIST", "RETR 1", "RETR 2", "RETR 3", "RETR 4", "RETR 5"]);
    // The list leaves the deleted message out, and it has a size all the same: reading ahead goes up to it.
    let with = play(provider.clone(), true, &commands);
    assert_eq!(with.to_client, play(provider, false, &commands).to_client);
}

#[test]
fn an_old_answer_is_not_taken_for_that_to_a_new_question() {
    // Found by the model below: 7 was read ahead in vain, fetched, deleted, and asked for once more before its first answer
    // had arrived.
    let mut messages = vec![Vec::new(); 7];
    messages[1] = b"0123456789abc\r\n".repeat(2000);
    let lines = "RETR 8, RETR 9, RETR 2, RETR 3, RETR 4, RETR 5, RETR 6, RETR 2, DELE 2, RETR 3, DELE 3, RETR 4, DELE 4, \
        RETR 5, DELE 5, RETR 6, DELE 6, RETR 7, DELE 7, RETR 1, RETR 2, RETR 3, RETR 4, RETR 5, RETR 6, RETR 7";
    let commands: Vec<_> = lines.split(", ").map(|line| (line.to_owned(), Some(13))).collect();
    let (with, without) =
        (play(Provider::new(messages.clone()), true, &commands), play(Provider::new(messages), false, &commands));
    assert!(with.to_client == without.to_client);
    assert_eq!(with.filter.totals(), without.filter.totals());
}

#[test]
fn a_message_that_was_read_ahead_comes_after_the_capabilities_that_the_client_asked_for_before_it() {
    // The message arrives first, and after the capabilities nothing comes.
    let lines = ["RETR 1", "RETR 2", "CAPA", "RETR 3"];
    let commands: Vec<_> = one_by_one(&lines[..2])
        .into_iter()
        .chain(lines[2..].iter().map(|line| ((*line).to_owned(), Some(0))))
        .collect();
    let with = play(mailbox(3), true, &commands);
    assert_eq!(printable_lines(&with.to_client), printable_lines(&play(mailbox(3), false, &commands).to_client));
}

#[test]
fn a_deleted_message_is_not_asked_for() {
    let heard = heard(mailbox(4), &["LIST", "RETR 3", "DELE 3", "RETR 1", "RETR 2", "NOOP"]);
    assert_eq!(heard, ["LIST", "RETR 3", "DELE 3", "RETR 1", "RETR 2", "NOOP"]);
}

const OTHER_COMMANDS: &[&str] =
    &["STAT", "LIST", "UIDL", "NOOP", "RSET", "LAST", "CAPA", "LIST 3", "RETR 02", "RETR x", "retr 3", "STLS"];

fn command() -> impl Strategy<Value = Vec<String>> {
    let one = |text: String| vec![text];
    prop_oneof![
        // A stretch of messages, as they are fetched for real.
        8 => (1..14_u32, 1..9_u32, any::<bool>()).prop_map(|(from, messages, deletes)| {
            let fetch = |n: u32| {
                if deletes { vec![format!("RETR {n}"), format!("DELE {n}")] } else { vec![format!("RETR {n}")] }
            };
            (from..from + messages).flat_map(fetch).collect()
        }),
        2 => (0..16_u32).prop_map(move |n| one(format!("RETR {n}"))),
        2 => (1..16_u32).prop_map(move |n| one(format!("DELE {n}"))),
        1 => (1..16_u32).prop_map(move |n| one(format!("TOP {n} 0"))),
        2 => proptest::sample::select(OTHER_COMMANDS).prop_map(move |line| one(line.to_owned())),
    ]
}

fn some_provider() -> impl Strategy<Value = Provider> {
    let size = prop_oneof![6 => 0..400_usize, 1 => 30_000..90_000_usize];
    let message = size.prop_map(|octets| b"0123456789abc\r\n".iter().copied().cycle().take(octets / 15 * 15).collect());
    let letters = "Subject: caf\u{e9}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ndon\u{2019}t\r\n..\r\n";
    let message = prop_oneof![2 => message, 1 => Just(letters.as_bytes().to_vec())];
    let messages = proptest::collection::vec(message, 0..14);
    let honesty = prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2)];
    (messages, honesty).prop_map(|(messages, honesty)| {
        let mut provider = Provider::new(messages);
        match honesty {
            1 => provider.sizes = None,
            2 => provider.sizes.iter_mut().flatten().for_each(|size| *size = 1),
            _ => {}
        }
        provider
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_client_sees_no_difference(
        provider in some_provider(),
        commands in proptest::collection::vec(command(), 1..12),
        quits in any::<bool>(),
        reads in any::<bool>(),
        waits in proptest::collection::vec(proptest::option::weighted(0.5, 0..3000_usize), 1..40),
    ) {
        let mut lines = commands.concat();
        if quits {
            lines.push("QUIT".into());
        }
        let commands: Vec<_> = lines.into_iter().zip(waits.into_iter().cycle()).collect();
        let readable = reads.then(|| Readable::find("windows-1252")).flatten();
        let with = play_for(readable, provider.clone(), true, &commands);
        let without = play_for(readable, provider, false, &commands);
        prop_assert_eq!(with.filter.changes(), without.filter.changes());
        prop_assert!(with.to_client == without.to_client,
            "{}\n-- without:\n{}\n{:?}", printable_lines(&with.to_client), printable_lines(&without.to_client), with.provider.heard);
        prop_assert_eq!(&with.provider.gone, &without.provider.gone);
        prop_assert_eq!(&with.provider.deleted, &without.provider.deleted);
        prop_assert_eq!(with.heard_but_retr_and_list(), without.heard_but_retr_and_list());
        prop_assert_eq!(with.filter.totals(), without.filter.totals());
        prop_assert_eq!(with.filter.is_over(), quits);
    }
}

fn printable_lines(octets: &[u8]) -> String {
    octets.split(|b| *b == b'\n').map(|line| printable(&line[..line.len().min(60)])).collect::<Vec<_>>().join("\n")
}
