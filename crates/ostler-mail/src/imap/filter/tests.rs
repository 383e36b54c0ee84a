use proptest::prelude::*;

use super::*;

/// Both sides as they hear it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    client: String,
    server: String,
    violation: Option<ProtocolViolation>,
}

/// A session: the lines of a transcript in its order, `C: ` what the client says and `S: ` what the server does. Line ends
/// are CR LF, as `~` is; what stands behind `C| ` and `S| ` has none.
fn play_with(filter: &mut ImapFilter, transcript: &str, cut: usize) -> Heard {
    let mut heard = Heard::default();
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    for line in transcript.lines() {
        let (mark, text) = line.split_at(3);
        let end = if mark.ends_with(": ") { "\r\n" } else { "" };
        let octets = format!("{}{end}", text.replace('~', "\r\n")).into_bytes();
        let is_client = mark.starts_with('C');
        for piece in octets.chunks(cut.max(1)) {
            if is_client {
                from_client.extend_from_slice(piece)
            } else {
                from_server.extend_from_slice(piece)
            }
            while step(filter, &mut from_client, true, &mut heard) | step(filter, &mut from_server, false, &mut heard) {
            }
        }
    }
    heard
}

/// Shows a filter what one side has said; whether anything moved.
fn step(filter: &mut ImapFilter, input: &mut Vec<u8>, is_client: bool, heard: &mut Heard) -> bool {
    if heard.violation.is_some() || filter.is_over() || is_client && !filter.wants_client() {
        return false;
    }
    let mut say = Replies::default();
    let passed = if is_client { filter.client_said(input, &mut say) } else { filter.server_said(input, &mut say) };
    heard.client += &text(&say.client);
    heard.server += &text(&say.server);
    match passed {
        Ok(Pass::Forward(octets)) => {
            let octets: Vec<u8> = input.drain(..octets).collect();
            if is_client {
                heard.server += &text(&octets)
            } else {
                heard.client += &text(&octets)
            }
            true
        }
        Ok(Pass::Replaced(octets)) => {
            input.drain(..octets);
            true
        }
        Ok(Pass::Announced { .. } | Pass::NeedMore | Pass::Stop) => false,
        Err(violation) => {
            heard.violation = Some(violation);
            false
        }
    }
}

fn text(octets: &[u8]) -> String {
    octets.iter().map(|b| *b as char).collect()
}

const OFFERED: &[u8] = b"IMAP4rev1 LITERAL+ UIDPLUS IDLE MOVE QUOTA";

fn filter() -> ImapFilter {
    ImapFilter::new(OFFERED, Arc::default())
}

/// The same however it is cut.
fn play(transcript: &str) -> Heard {
    let whole = play_with(&mut filter(), transcript, usize::MAX);
    for cut in [1, 2, 3, 7] {
        assert_eq!(play_with(&mut filter(), transcript, cut), whole, "cut into {cut}");
    }
    whole
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn commands_and_answers_pass_unchanged() {
    let heard = play(
        "C: 1 SELECT INBOX\nS: * FLAGS (\\Seen)\nS: * 2 EXISTS\nS: * OK [UIDVALIDITY 3] ok\nS: 1 OK [READ-WRITE] done\n\
         C: 2 FETCH 1 (BODY[])\nS: * 1 FETCH (BODY[] {7}\nS| a~{9}x\nS: )\nS: 2 OK done\nC: 3 LOGOUT\nS: * BYE bye\nS: 3 OK bye",
    );
    assert_eq!(lines(&heard.server), ["1 SELECT INBOX", "2 FETCH 1 (BODY[])", "3 LOGOUT"]);
    let wanted = "* FLAGS (\\Seen)\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 3] ok\r\n1 OK [READ-WRITE] done\r\n\
        * 1 FETCH (BODY[] {7}\r\na\r\n{9}x)\r\n2 OK done\r\n* BYE bye\r\n3 OK bye\r\n";
    assert_eq!(heard.client, wanted);
}

#[test]
fn what_an_old_program_does_not_know_is_not_shown_to_it() {
    let heard = play(
        "C: 1 SELECT x\nS: * ENABLED CONDSTORE\nS: * VANISHED (EARLIER) 3\nS: * ESEARCH (TAG \"1\") ALL 1\nS: * 1 MODSEQ 7\n\
         S: * ID (\"name\" {3}\nS| abc\nS: )\nS: * QUOTA \"\" (STORAGE 1 2)\nS: * THREAD (1)\nS: CAPABILITY completed.\nS: 99 OK whose?\n\
         S: * \nS: *\nS: + unasked\nS: 1 OK done",
    );
    assert_eq!(lines(&heard.client), ["* QUOTA \"\" (STORAGE 1 2)", "1 OK done"]);
}

#[test]
fn a_session_that_is_opened_again_or_answered_with_nonsense_is_not_passed() {
    let heard = play("C: 1 NOOP\nS: * PREAUTH hello\nS: 1 OK done");
    assert_eq!(lines(&heard.client), ["1 OK done"]);
    for nonsense in ["1 MAYBE", "1", "* OK a\u{0}b", "* NO a\rb"] {
        let heard = play(&format!("C: 1 NOOP\nS: {nonsense}"));
        assert!(matches!(heard.violation, Some(ProtocolViolation::Server(_))), "{nonsense:?}: {heard:?}");
    }
}

#[test]
fn capabilities_are_those_that_ostler_can_serve_wherever_they_stand() {
    let heard = play(
        "C: 1 CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN UIDPLUS MOVE X-GM-EXT-1\n\
         S: * OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] hello\nS: 1 OK [CAPABILITY IMAP4rev1 ENABLE UNSELECT] done",
    );
    assert_eq!(lines(&heard.client), ["* CAPABILITY IMAP4rev1 UIDPLUS", "* OK hello", "1 OK done"]);
}

#[test]
fn what_would_blind_ostler_is_answered_by_ostler_when_it_is_its_turn() {
    let heard = play("C: 1 NOOP\nC: 2 COMPRESS DEFLATE\nC: 3 starttls\nC: 4 NOOP\nS: 1 OK one\nS: 4 OK four");
    assert_eq!(lines(&heard.server), ["1 NOOP", "4 NOOP"]);
    let said = lines(&heard.client);
    assert_eq!((said.len(), said[0], said[3]), (4, "1 OK one", "4 OK four"));
    assert!(said[1].starts_with("2 BAD ") && said[2].starts_with("3 BAD "), "{said:?}");
    for verb in [
        "LOGIN a b",
        "AUTHENTICATE PLAIN",
        "ENABLE QRESYNC",
        "UNAUTHENTICATE",
        "IDLE now",
        "IDLE {3}",
        // However they are written.
        " COMPRESS DEFLATE",
        "\tcompress deflate",
        " \u{b} STARTTLS",
        "LOGIN\ta b",
    ] {
        let heard = play(&format!("C: a {verb}"));
        assert!(heard.client.starts_with("a BAD ") && heard.server.is_empty(), "{verb}: {heard:?}");
    }
}

#[test]
fn a_refused_command_takes_its_literal_along() {
    // A client that does not wait has sent it already.
    let heard = play("C: 1 LOGIN {3+}\nC: ann {6+}\nC: secret\nC: 2 NOOP\nS: 2 OK");
    assert_eq!(heard.server, "2 NOOP\r\n");
    assert_eq!(lines(&heard.client).len(), 2, "{heard:?}");
    // One that waits hears no, and sends nothing.
    let heard = play("C: 1 LOGIN {3}\nC: 2 NOOP\nS: 2 OK done");
    assert_eq!((heard.server.as_str(), lines(&heard.client)[1]), ("2 NOOP\r\n", "2 OK done"));
}

#[test]
fn a_literal_of_the_client_passes_once_the_provider_asks_for_it() {
    let append = "C: 1 APPEND Sent {5}\nS: + go ahead\nC| a~bc\nC: \nS: 1 OK done";
    let heard = play(append);
    assert_eq!(heard.server, "1 APPEND Sent {5}\r\na\r\nbc\r\n");
    assert_eq!(lines(&heard.client), ["+ go ahead", "1 OK done"]);
    // Refused: the next line is a command.
    let heard = play("C: 1 APPEND Sent {5}\nS: 1 NO full\nC: 2 NOOP\nS: 2 OK done");
    assert_eq!(lines(&heard.server), ["1 APPEND Sent {5}", "2 NOOP"]);
    // Two of them in one command.
    let heard = play("C: 1 CREATE {1}\nS: +\nC: a {1}\nS: + \nC: b\nS: 1 OK");
    assert_eq!(lines(&heard.server), ["1 CREATE {1}", "a {1}", "b"]);
    assert_eq!(lines(&heard.client), ["+ ", "+ ", "1 OK "]);
}

#[test]
fn a_literal_that_does_not_wait_passes_or_waits_where_the_provider_wants_that() {
    let heard = play("C: 1 APPEND Sent {3+}\nC: abc\nS: 1 OK done");
    assert_eq!(heard.server, "1 APPEND Sent {3+}\r\nabc\r\n");
    let mut without = ImapFilter::new(b"IMAP4rev1", Arc::default());
    let heard = play_with(&mut without, "C: 1 APPEND Sent {3+}\nC: abc\nC: 2 NOOP\nS: + go\nS: 1 OK done\nS: 2 OK", 1);
    assert_eq!(heard.server, "1 APPEND Sent {3}\r\nabc\r\n2 NOOP\r\n");
    assert_eq!(lines(&heard.client), ["1 OK done", "2 OK "], "the client was not told to go on");
    let mut without = ImapFilter::new(b"IMAP4rev1", Arc::default());
    let heard = play_with(&mut without, "C: 1 APPEND Sent {3+}\nC: abc\nC: 2 NOOP\nS: 1 NO full\nS: 2 OK", 1);
    assert_eq!(heard.server, "1 APPEND Sent {3}\r\n2 NOOP\r\n", "the refused octets are no commands");
}

#[test]
fn words_of_status_lines_hold_no_literal() {
    let heard = play("C: 1 NOOP\nS: * OK this ends in {5}\nS: 1 NO so does {3}\nC: 2 NOOP\nS: 2 OK done");
    assert_eq!(lines(&heard.client), ["* OK this ends in {5}", "1 NO so does {3}", "2 OK done"]);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_session_goes_on() {
    let long = "x".repeat(MAX_COMMAND_OCTETS);
    let heard = play_with(&mut filter(), &format!("C: 1 FETCH {long}\nC: 2 NOOP\nS: 2 OK done"), 1000);
    assert_eq!(heard.server, "2 NOOP\r\n");
    assert!(heard.client.starts_with("1 BAD ") && heard.client.ends_with("2 OK done\r\n"), "{}", heard.client);
    // A long answer passes, and is not kept.
    let answer = format!("C: 1 SEARCH ALL\nS: * SEARCH {}\nS: 1 OK done", "1 ".repeat(100_000));
    let heard = play_with(&mut filter(), &answer, 1000);
    assert_eq!(heard.client.len(), answer.len() - "C: 1 SEARCH ALL\nS: S: ".len() + 3);
    let endless = format!("C: 1 NOOP\nS: * OK {}", "x".repeat(MAX_STATUS_LINE_OCTETS));
    let violation = play_with(&mut filter(), &endless, 1000).violation;
    assert!(matches!(violation, Some(ProtocolViolation::Server(_))), "{violation:?}");
}

#[test]
fn tags_outside_the_grammar_are_not_echoed_and_browsers_are_ended() {
    let heard = play("C: \"x NOOP\nC: + OK\nC: \nC: 1\nS: 1 BAD what");
    let said = lines(&heard.client);
    assert!(said[..3].iter().all(|line| line.starts_with("* BAD ")), "{said:?}");
    assert_eq!(heard.server, "1\r\n");
    let heard = play("C: GET SELECT x\nC: 2 UID SEARCH SUBJECT HTTP/2\nS: GET OK\nS: 2 OK");
    assert_eq!((lines(&heard.server).len(), heard.violation), (2, None), "no browsers");
    for http in ["GET / HTTP/1.1", "Host: x"] {
        assert_eq!(play(&format!("C: {http}")).violation, Some(ProtocolViolation::Client(Misuse::Http)));
    }
}

#[test]
fn a_command_with_a_nul_or_a_lone_cr_goes_nowhere() {
    for unclean in ["1 NOOP\rx 2 LOGOUT", "1 NOOP\u{0}", "1 APPEND x {3+}~abc\r\rx"] {
        let heard = play_with(&mut filter(), &format!("C: {unclean}"), 99);
        assert_eq!(heard.violation, Some(ProtocolViolation::Client(Misuse::Unclean)), "{unclean:?}");
        assert!(!heard.server.contains("LOGOUT"), "{heard:?}");
    }
}

#[test]
fn messages_are_counted_by_their_literals() {
    let mut filter = filter();
    play_with(
        &mut filter,
        "C: 1 FETCH 1:3 (BODY.PEEK[HEADER] BODY[])\nS: * 1 FETCH (BODY[HEADER] {2}\nS| ab\nS:  BODY[] {3}\nS| abc\nS: )\n\
         S: * 2 FETCH (UID 3 RFC822 {4}\nS| abcd\nS: )\nS: * 3 FETCH (BODY[] \"x\")\nS: 1 OK",
        1,
    );
    assert_eq!(filter.totals(), (2, 7));
}

#[test]
fn the_status_has_the_folder_and_the_message() {
    let progress = Arc::<Progress>::default();
    let mut filter = ImapFilter::new(OFFERED, Arc::clone(&progress));
    let words = || progress.document()["progress"].as_str().unwrap_or("-").to_owned();
    play_with(&mut filter, "C: 1 SELECT \"Sent Items\"\nS: 1 OK", 99);
    assert_eq!((words(), progress.document()["folder"].as_str()), ("-".into(), Some("Sent Items")));
    play_with(
        &mut filter,
        "C: 2 FETCH 1:2 BODY[]\nS: * 1 FETCH (BODY[] {3}\nS| abc\nS: )\nS: * 2 FETCH (BODY[] {9}\nS| abc",
        99,
    );
    assert_eq!(words(), "message 2 in Sent Items, 1 KB");
    play_with(&mut filter, "S| defghi\nS: )\nS: 2 OK", 99);
    assert_eq!(words(), "-");
    play_with(&mut filter, "C: 3 SELECT {5}\nS: +\nC: other\nS: 3 OK", 99);
    assert_eq!(progress.document()["folder"], "Sent Items", "a name that was not seen");
    play_with(&mut filter, "C: 4 EXAMINE \"Entw&APw-rfe\"\nS: 4 OK", 99);
    assert_eq!(progress.document()["folder"], "Entwürfe");
}

#[test]
fn the_literal_behind_a_line_that_is_too_long_is_no_command() {
    for size in [1000, usize::MAX] {
        let mut filter = filter();
        let line = format!("g UID FETCH 1{} {{12+}}\r\nh DELETE x\r\n\r\ni NOOP\r\n", ",1".repeat(40_000));
        let mut say = Replies::default();
        let mut input = Vec::new();
        for piece in line.as_bytes().chunks(size) {
            input.extend_from_slice(piece);
            while let Ok(Pass::Replaced(octets)) = filter.client_said(&input, &mut say) {
                input.drain(..octets);
            }
        }
        assert_eq!((text(&say.server), input.len()), ("i NOOP\r\n".into(), 0));
        assert!(text(&say.client).starts_with("g BAD"), "{}", text(&say.client));
    }
}

#[test]
fn a_server_that_says_it_is_at_work_has_time() {
    let mut filter = filter();
    play_with(&mut filter, "C: 1 UID COPY 1:9 Trash", 99);
    let (clock, ticks) = filter.clock();
    assert_eq!(clock, Clock::Reply);
    play_with(&mut filter, "S: * OK Hang in there..", 99);
    assert_ne!(filter.clock(), (clock, ticks));
}

#[test]
fn the_clock_is_the_one_of_who_owes_something() {
    let mut filter = filter();
    assert_eq!(filter.clock().0, Clock::ClientIdle);
    play_with(&mut filter, "C: 1 APPEND x {9}", 99);
    assert_eq!(filter.clock().0, Clock::Reply);
    play_with(&mut filter, "S: + go\nC| abc", 99);
    assert_eq!((filter.clock().0, filter.message_from()), (Clock::Message, Party::Client));
    play_with(&mut filter, "C| abcdef\nC: \nS: 1 OK", 99);
    assert_eq!(filter.clock().0, Clock::ClientIdle);
    play_with(&mut filter, "C: 2 FETCH 1 BODY[]\nS: * 1 FETCH (BODY[] {3}\nS| a", 99);
    assert_eq!((filter.clock().0, filter.message_from()), (Clock::Message, Party::Server));
    assert!(filter.is_inside_answer() && filter.waiting() == Some(("2", None)));
}

#[test]
fn what_a_lost_connection_leaves_open_is_known() {
    use Undecided::{Change, Copy, Store};
    for (said, first, all) in [
        ("C: 1 APPEND x {3}\nS: +\nC: abc", Some(("1", Some(Store))), Some(Store)),
        ("C: 1 APPEND x {3+}\nC: abc", Some(("1", Some(Store))), Some(Store)),
        // Not all of it has left.
        ("C: 1 APPEND x {3}", Some(("1", None)), None),
        ("C: 1 APPEND x {3}\nS: +\nC| ab", Some(("1", None)), None),
        ("C: 1 APPEND x {3}\nS: +\nC| abc", Some(("1", None)), None),
        ("C: 1 COPY 1:9 Trash", Some(("1", Some(Copy))), Some(Copy)),
        ("C: 1 uid copy 1:9 Trash", Some(("1", Some(Copy))), Some(Copy)),
        ("C: 1 UID STORE 1 FLAGS ()", Some(("1", Some(Change))), Some(Change)),
        ("C: 1 UID MOVE 1 x", Some(("1", Some(Change))), Some(Change)),
        ("C: 1 EXPUNGE", Some(("1", Some(Change))), Some(Change)),
        ("C: 1 XYZZY", Some(("1", Some(Change))), Some(Change)),
        ("C: 1 FETCH 1 BODY[]", Some(("1", None)), None),
        ("C: 1 UID SEARCH ALL", Some(("1", None)), None),
        ("C: 1 NOOP\nC: 2 COPY 1 x\nC: 3 CREATE y", Some(("1", None)), Some(Copy)),
        ("C: 1 COPY 1 x\nS: 1 OK\nC: 2 NOOP", Some(("2", None)), None),
        // Refused before its end, with another one before it.
        ("C: 1 CLOSE\nC: 2 APPEND x {3}\nS: 2 NO full", Some(("1", Some(Change))), Some(Change)),
        ("C: 1 LOGOUT", Some(("1", None)), None),
        ("C: 1 COMPRESS DEFLATE", None, None),
    ] {
        let mut filter = filter();
        play_with(&mut filter, said, 99);
        assert_eq!((filter.waiting(), filter.undecided()), (first, all), "{said}");
    }
}

#[test]
fn ostler_ends_when_nothing_is_left_open_and_nothing_new_begins() {
    for (said, ends) in [
        ("C: 1 NOOP\nC: 2 SEARCH ALL", true),
        ("C: 1 IDLE\nS: + idling", true),
        ("C: 1 APPEND x {3}", true),
        ("C: 1 APPEND x {3}\nS: +\nC: abc", false),
        ("C: 1 COPY 1 x", false),
        ("C: 1 STORE 1 FLAGS ()", false),
        ("C: 1 FETCH 1 BODY[]\nS: * 1 FETCH (BODY[] {3}\nS| a", false),
    ] {
        let mut filter = filter();
        play_with(&mut filter, said, 99);
        assert_eq!(filter.end_early(), ends, "{said}");
        if !said.contains("BODY") {
            let heard = play_with(&mut filter, "C: 7 NOOP\nS: 1 OK done", 99);
            assert!(!heard.server.contains('7'), "{said}: {heard:?}");
            assert!(filter.end_early(), "{said}");
        }
    }
    // A message under way goes on to its end, and so does the wait for its answer.
    let mut filter = filter();
    play_with(&mut filter, "C: 1 APPEND x {9}\nS: +\nC| abc", 99);
    assert!(!filter.end_early());
    let heard = play_with(&mut filter, "C| abcdef\nC: ", 99);
    assert_eq!((heard.server.as_str(), filter.end_early()), ("abcdef\r\n", false));
    play_with(&mut filter, "S: 1 OK", 99);
    assert!(filter.end_early());
}

/// Lets the time for which both wait pass, as the loop does.
fn renew(filter: &mut ImapFilter) -> Heard {
    assert_eq!(filter.clock().0, Clock::Agreed);
    let mut say = Replies::default();
    filter.renew(&mut say);
    Heard { client: text(&say.client), server: text(&say.server), violation: None }
}

#[test]
fn a_client_waits_for_news_as_long_as_it_likes() {
    let mut filter = filter();
    let heard = play_with(&mut filter, "C: 4 IDLE\nS: + idling\nS: * 2 EXISTS", 1);
    assert_eq!((heard.server.as_str(), lines(&heard.client)), ("4 IDLE\r\n", vec!["+ idling", "* 2 EXISTS"]));
    for (ended, begun) in [("4", "4.1"), ("4.1", "4.2"), ("4.2", "4.3")] {
        let heard = renew(&mut filter);
        assert_eq!((heard.server.as_str(), heard.client.as_str()), ("DONE\r\n", "* OK ostler is still here\r\n"));
        assert_eq!(filter.clock().0, Clock::Reply);
        let heard = play_with(&mut filter, &format!("S: * 3 EXISTS\nS: {ended} OK done\nS: + idling"), 99);
        assert_eq!((heard.server, lines(&heard.client)), (format!("{begun} IDLE\r\n"), vec!["* 3 EXISTS"]));
    }
    // What the client says meanwhile waits, and the answer has its own tag.
    renew(&mut filter);
    let heard =
        play_with(&mut filter, "C: DONE\nS: 4.3 OK done\nS: + idling\nS: 4.4 OK done\nC: 5 NOOP\nS: 5 OK done", 99);
    assert_eq!(lines(&heard.server), ["4.4 IDLE", "DONE", "5 NOOP"]);
    assert_eq!(lines(&heard.client), ["4 OK done", "5 OK done"]);
}

/// An answer of ostler's own was a part of the line, or of the literal, that had only begun.
#[test]
fn an_answer_of_ostlers_own_waits_for_the_end_of_what_the_server_says_unasked() {
    for (begun, rest, whole) in [
        ("* 5 FETCH (FLAGS (\\Se", "en))", "* 5 FETCH (FLAGS (\\Seen))\r\n"),
        ("* 5 FETCH (X {6}~ab", "cdef)", "* 5 FETCH (X {6}\r\nabcdef)\r\n"),
    ] {
        for refused in ["7 STARTTLS", "7 LOGIN a b", ""] {
            for cut in [1, 3, 99] {
                let mut filter = filter();
                let heard = play_with(&mut filter, &format!("S| {begun}\nC: {refused}\nS: {rest}"), cut).client;
                let own = heard.strip_prefix(whole).unwrap_or_else(|| panic!("{refused:?}: {heard}"));
                assert!(own.contains(" BAD ") || own.contains(" NO ") || own.contains(" OK "), "{own}");
            }
        }
    }
}

#[test]
fn octets_of_a_long_line_are_progress() {
    let mut filter = filter();
    let some = "12345 ".repeat(2_000);
    play_with(&mut filter, &format!("C: 4 SEARCH ALL\nS| * SEARCH {some}"), usize::MAX);
    let clock = filter.clock();
    play_with(&mut filter, &format!("S| {some}"), usize::MAX);
    assert!(clock.0 == Clock::Message && filter.clock() != clock, "{clock:?}");
}

#[test]
fn news_do_not_put_off_the_end_of_an_idle() {
    let mut filter = filter();
    play_with(&mut filter, "C: 4 IDLE\nS: + idling", 99);
    let clock = filter.clock();
    play_with(&mut filter, "S: * 2 EXISTS\nS: * OK Still here\nS: * 1 RECENT", 99);
    assert_eq!(filter.clock(), clock);
    assert_eq!(play_with(&mut filter, "S: * 1 FETCH (X {3}\nS| a", 99).client, "* 1 FETCH (X {3}\r\na");
    assert_eq!(filter.clock().0, Clock::Message);
}

#[test]
fn an_idle_that_the_provider_refuses_or_ends_is_over() {
    let heard = play("C: 4 IDLE\nS: 4 NO not now\nC: DONE\nC: 5 NOOP\nS: 5 OK done");
    assert_eq!(
        (lines(&heard.server), lines(&heard.client)),
        (vec!["4 IDLE", "5 NOOP"], vec!["4 NO not now", "5 OK done"])
    );
    let heard = play("C: 4 IDLE\nS: + idling\nS: 4 OK enough\nC: DONE\nC: 5 NOOP\nS: 5 OK done");
    assert_eq!(lines(&heard.server), ["4 IDLE", "5 NOOP"], "the late DONE is no command");
    assert_eq!(lines(&heard.client), ["+ idling", "4 OK enough", "5 OK done"]);
    // It takes the command once and not again.
    let mut filter = filter();
    play_with(&mut filter, "C: 4 IDLE\nS: + idling", 99);
    renew(&mut filter);
    let heard = play_with(&mut filter, "S: 4 OK done\nS: 4.1 NO not again\nC: DONE\nC: 5 NOOP\nS: 5 OK", 99);
    assert_eq!(lines(&heard.server), ["4.1 IDLE", "5 NOOP"]);
    assert_eq!(lines(&heard.client), ["4 NO not again", "5 OK "]);
}

#[test]
fn a_command_inside_an_idle_ends_it_and_is_refused() {
    let heard = play("C: 4 IDLE\nS: + idling\nC: 5 NOOP\nS: 4 OK done\nC: 6 NOOP\nS: 6 OK done");
    assert_eq!(lines(&heard.server), ["4 IDLE", "DONE", "6 NOOP"]);
    let said = lines(&heard.client);
    assert_eq!((said[1], said[3]), ("4 OK done", "6 OK done"));
    assert!(said[2].starts_with("5 BAD IDLE ends with DONE"), "{said:?}");
    // One that does not have it is not asked.
    let mut without = ImapFilter::new(b"IMAP4rev1", Arc::default());
    let heard = play_with(&mut without, "C: 4 IDLE\nC: 5 NOOP\nS: 5 OK", 99);
    assert!(heard.client.starts_with("4 BAD ") && heard.server == "5 NOOP\r\n", "{heard:?}");
}

#[test]
fn a_client_that_leaves_with_logout_hears_the_end() {
    let mut filter = filter();
    let mut say = Replies::default();
    assert!(filter.client_ended(b"9 logout", &mut say));
    assert_eq!((text(&say.server).as_str(), filter.leaving()), ("9 LOGOUT\r\n", Some("9")));
    assert!(!ImapFilter::new(OFFERED, Arc::default()).client_ended(b"9 NOOP", &mut Replies::default()));
    let mut filter = ImapFilter::new(OFFERED, Arc::default());
    play_with(&mut filter, "C: 4 IDLE\nS: + idling", 99);
    let mut say = Replies::default();
    assert!(filter.client_ended(b"9 LOGOUT", &mut say));
    assert_eq!(text(&say.server), "DONE\r\n9 LOGOUT\r\n");
}

proptest! {
    #[test]
    fn any_octets_of_either_side_come_to_an_end_however_they_are_cut(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'*'), Just(b'{'), Just(b'}'), Just(b'+'), Just(b'1'), Just(b'3'), any::<u8>()
        ], 0..20)), 0..20),
        cut in 1_usize..9,
    ) {
        let play = |cut: usize| {
            let (mut filter, mut heard) = (filter(), Heard::default());
            let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
            let mut steps = 0;
            for (is_client, octets) in &said {
                for piece in octets.chunks(cut) {
                    if *is_client { from_client.extend_from_slice(piece) } else { from_server.extend_from_slice(piece) }
                    while step(&mut filter, &mut from_client, true, &mut heard)
                        | step(&mut filter, &mut from_server, false, &mut heard)
                    {
                        steps += 1;
                        assert!(steps < 10_000, "no end");
                    }
                }
            }
            heard
        };
        let (one, other) = (play(1), play(cut));
        // A violation may be seen before the rest of a line has come.
        if one.violation.is_none() && other.violation.is_none() {
            prop_assert_eq!(one, other);
        }
    }
}
