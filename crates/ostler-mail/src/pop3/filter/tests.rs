//! What passes between a client and its POP3 server, piece by piece.

use proptest::prelude::*;

use super::*;
use crate::machine::ticks::PROGRESS_OCTETS;

/// Gives one side's octets to the filter in these chunks, as the relay would; what reached client and server.
fn feed(filter: &mut Pop3Filter, client_said: bool, chunks: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), ProtocolViolation> {
    let (mut client, mut server, mut input) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while !input.is_empty() {
            let mut say = Replies::default();
            let taken = if client_said {
                filter.client_said(&input, &mut say)?
            } else {
                filter.server_said(&input, &mut say)?
            };
            client.append(&mut say.client);
            server.append(&mut say.server);
            match taken {
                Pass::Forward(n) => {
                    let side = if client_said { &mut server } else { &mut client };
                    side.extend(input.drain(..n));
                }
                Pass::Replaced(n) => drop(input.drain(..n)),
                Pass::Announced { .. } | Pass::NeedMore | Pass::Stop => break,
            }
        }
    }
    Ok((client, server))
}

/// The commands, then the answers in these chunks; what the client got.
fn session(commands: &[u8], answers: &[&[u8]]) -> Result<Vec<u8>, ProtocolViolation> {
    let mut filter = Pop3Filter::default();
    feed(&mut filter, true, &[commands])?;
    Ok(feed(&mut filter, false, answers)?.0)
}

#[test]
fn commands_pass_tidied_and_pipelined() {
    let mut filter = Pop3Filter::default();
    let (_, server) = feed(&mut filter, true, &[b"stat\nRETR 1\r\nQU", b"IT\r\nSTAT\r\n"]).unwrap();
    assert_eq!(server, b"stat\r\nRETR 1\r\nQUIT\r\n");
}

#[test]
fn a_message_passes_untouched_and_is_counted() {
    let mut filter = Pop3Filter::default();
    feed(&mut filter, true, &[b"RETR 1\r\nDELE 1\r\nQUIT\r\n"]).unwrap();
    let answers = b"+OK message follows\r\nA: b\r\n\r\n\xe4\0..x\n.\nlone\rcr\r\n..\r\n.\r\n+OK gone\r\n+OK bye\r\n";
    let (client, _) = feed(&mut filter, false, &[answers]).unwrap();
    assert_eq!(client, answers);
    assert_eq!(filter.totals().0, 1);
    assert!(filter.is_over());
}

#[test]
fn an_answer_nobody_asked_for_ends_the_session() {
    assert!(matches!(session(b"", &[b"+OK surprise\r\n"]), Err(ProtocolViolation::Server(_))));
    assert!(matches!(session(b"NOOP\r\n", &[b"+OK\r\n+OK surprise\r\n"]), Err(ProtocolViolation::Server(_))));
    assert!(matches!(session(b"NOOP\r\n", &[b"250 ok\r\n"]), Err(ProtocolViolation::Server(_))));
    assert!(matches!(
        session(b"NOOP\r\n", &[&vec![b'x'; MAX_REPLY_LINE_OCTETS + 3]]),
        Err(ProtocolViolation::Server(_))
    ));
}

#[test]
fn the_list_of_abilities_is_thinned_out() {
    let said =
        session(b"CAPA\r\n", &[b"+OK\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\nPIPELINING\r\nEXPIRE 30\r\nCOMPRESS\r\n.\r\n"])
            .unwrap();
    assert_eq!(said, b"+OK\r\nTOP\r\nEXPIRE 30\r\n.\r\n");
}

#[test]
fn what_ostler_cannot_carry_is_answered_in_its_turn() {
    let mut filter = Pop3Filter::default();
    let (_, server) = feed(&mut filter, true, &[b"STAT\r\nSTLS\r\nNOOP\r\n"]).unwrap();
    assert_eq!(server, b"STAT\r\nNOOP\r\nNOOP\r\n");
    let (client, _) = feed(&mut filter, false, &[b"+OK 1 2\r\n+OK\r\n+OK noop\r\n"]).unwrap();
    assert_eq!(
        client,
        b"+OK 1 2\r\n-ERR this door is plain; ostler encrypts the connection to the provider\r\n+OK noop\r\n"
    );
}

#[test]
fn how_far_it_is_follows_from_what_the_client_asked() {
    for (asked, answer) in [
        ("STAT", "+OK 3 1200\r\n"),
        ("LIST", "+OK\r\n1 400\r\n2 400\r\n3 400\r\n.\r\n"),
        ("STAT\r\nUIDL", "+OK 3 1200\r\n+OK\r\n1 9\r\n2 8\r\n3 7\r\n.\r\n"),
    ] {
        let progress = Arc::new(Progress::default());
        let mut filter = Pop3Filter::new(Arc::clone(&progress), false);
        let asked = format!("{asked}\r\nLIST 1\r\nRETR 1\r\nDELE 1\r\nTOP 2 0\r\nRETR 2\r\n");
        feed(&mut filter, true, &[asked.as_bytes()]).unwrap();
        let answer = format!("{answer}+OK 1 400\r\n+OK\r\nabc\r\n.\r\n+OK\r\n+OK\r\nheader\r\n.\r\n+OK\r\nde");
        feed(&mut filter, false, &answer.as_bytes().chunks(7).collect::<Vec<_>>()).unwrap();
        assert_eq!(progress.document()["progress"], "message 2 of 3, 1 of 2 KB");
        assert_eq!(progress.document()["octets"], 10);
    }
    // Nothing is asked of the server for it.
    let progress = Arc::new(Progress::default());
    let mut filter = Pop3Filter::new(Arc::clone(&progress), false);
    let (_, to_server) = feed(&mut filter, true, &[b"RETR 9\r\n"]).unwrap();
    assert_eq!(to_server, b"RETR 9\r\n");
    feed(&mut filter, false, &[b"+OK\r\nabc"]).unwrap();
    assert_eq!(progress.document()["progress"], "message 1, 1 KB");
}

#[test]
fn a_refused_list_is_one_line() {
    assert_eq!(session(b"UIDL\r\nLAST\r\n", &[b"-ERR no\r\n+OK 0\r\n"]).unwrap(), b"-ERR no\r\n+OK 0\r\n");
    assert_eq!(session(b"LIST 1\r\n", &[b"+OK 1 2\r\n"]).unwrap(), b"+OK 1 2\r\n");
}

#[test]
fn a_status_line_is_made_clean() {
    assert_eq!(session(b"NOOP\r\n", &[b"+OK a\0b\xe4\n"]).unwrap(), b"+OK a?b?\r\n");
}

#[test]
fn quit_cut_off_is_quit_and_nothing_else_is() {
    let mut filter = Pop3Filter::default();
    let mut say = Replies::default();
    assert!(!filter.client_ended(b"DELE 1", &mut say) && say.server.is_empty());
    assert!(filter.client_ended(b"QUIT", &mut say));
    assert_eq!(say.server, b"QUIT\r\n");
}

#[test]
fn a_browser_is_told_from_a_client() {
    let mut filter = Pop3Filter::default();
    assert_eq!(feed(&mut filter, true, &[b"GET / HTTP/1.1\r\n"]), Err(ProtocolViolation::Client(Misuse::Http)));
    assert_eq!(
        feed(&mut filter, true, &[&vec![b'x'; MAX_COMMAND_LINE_OCTETS + 2]]),
        Err(ProtocolViolation::Client(Misuse::LineTooLong(MAX_COMMAND_LINE_OCTETS)))
    );
}

#[test]
fn commands_before_a_misuse_leave_however_they_were_cut() {
    let mut filter = Pop3Filter::default();
    let mut say = Replies::default();
    assert_eq!(filter.client_said(b"STAT\r\nGET / HTTP/1.1\r\n", &mut say), Ok(Pass::Replaced(6)));
    assert_eq!(say.server, b"STAT\r\n");
    assert_eq!(filter.client_said(b"GET / HTTP/1.1\r\n", &mut say), Err(ProtocolViolation::Client(Misuse::Http)));
}

#[test]
fn a_list_of_abilities_up_to_the_limit_passes_however_it_is_cut() {
    let list = |lines| [b"+OK\r\n", b"TOP\r\n".repeat(lines).as_slice()].concat();
    for lines in [MAX_REPLY_LINES, MAX_REPLY_LINES + 1] {
        let (whole, list) = (session(b"CAPA\r\n", &[&list(lines)]), list(lines));
        let lines_alone: Vec<&[u8]> = list.split_inclusive(|b| *b == b'\n').collect();
        assert_eq!(whole, session(b"CAPA\r\n", &lines_alone));
        assert_eq!(whole.is_ok(), lines == MAX_REPLY_LINES);
    }
}

#[test]
fn the_longest_status_line_may_be_cut_before_its_lf() {
    let mut line = b"+OK ".to_vec();
    line.resize(MAX_REPLY_LINE_OCTETS, b'x');
    line.push(b'\r');
    assert!(session(b"NOOP\r\n", &[&line, b"\n"]).is_ok());
    line.push(b'x');
    assert!(session(b"NOOP\r\n", &[&line]).is_err());
}

#[test]
fn one_octet_at_a_time_is_no_progress() {
    let mut filter = Pop3Filter::default();
    feed(&mut filter, true, &[b"RETR 1\r\n"]).unwrap();
    feed(&mut filter, false, &[b"+OK\r\n"]).unwrap();
    let before = filter.clock();
    assert_eq!(before.0, Clock::Message);
    feed(&mut filter, false, &[b"a", b"b", b"c"]).unwrap();
    assert_eq!(filter.clock(), before);
    feed(&mut filter, false, &[&vec![b'x'; PROGRESS_OCTETS as usize]]).unwrap();
    assert_ne!(filter.clock(), before);
}

/// One that has passed these commands on.
fn after(commands: &[u8]) -> Pop3Filter {
    let mut filter = Pop3Filter::default();
    feed(&mut filter, true, &[commands]).unwrap();
    filter
}

#[test]
fn what_is_good_leaves_before_what_follows_is_looked_at() {
    let mut say = Replies::default();
    let overlong = ["+OK\r\n+OK ", &"x".repeat(MAX_REPLY_LINE_OCTETS), "\r\n"].concat();
    for (commands, answers) in [
        (&b"NOOP\r\nNOOP\r\n"[..], overlong.as_str()),
        (b"NOOP\r\nNOOP\r\n", "+OK\r\nhello\r\n"),
        (b"NOOP\r\n", "+OK\r\n+OK unasked\r\n"),
        (b"NOOP\r\nSTLS\r\n", "+OK\r\n+OK\r\n"),
        (b"CAPA\r\n", "+OK\r\nTOP\r\n"),
        (b"CAPA\r\n", "+OK\r\n+OK is no ability\r\n"),
        (b"NOOP\r\nNOOP\r\n", "+OK\r\n+O"),
        (b"QUIT\r\n", "+OK\r\nmore"),
    ] {
        let mut filter = after(commands);
        assert_eq!(filter.server_said(answers.as_bytes(), &mut say), Ok(Pass::Forward(5)), "{answers}");
    }
    assert!(say.client.is_empty() && say.server.is_empty());
    let mut filter = after(b"NOOP\r\nNOOP\r\nNOOP\r\n");
    assert_eq!(filter.server_said(b"+OK\r\n-ERR a\0b\r\n+OK", &mut say), Ok(Pass::Replaced(15)));
    assert_eq!(say.client, b"+OK\r\n-ERR a?b\r\n");
    assert_eq!(after(b"QUIT\r\n").server_said(b"", &mut say), Ok(Pass::NeedMore));
}

#[test]
fn half_a_line_is_waited_for_where_one_is_owed() {
    let mut say = Replies::default();
    assert_eq!(after(b"NOOP\r\n").server_said(b"+O", &mut say), Ok(Pass::NeedMore));
    let mut filter = after(b"CAPA\r\n");
    assert_eq!(filter.server_said(b"+OK\r\nTO", &mut say), Ok(Pass::Forward(5)));
    assert_eq!(filter.server_said(b"TO", &mut say), Ok(Pass::NeedMore));
    assert!(!filter.is_over());
    assert!(
        matches!(Pop3Filter::default().server_said(b"+O", &mut say), Err(ProtocolViolation::Server(_))),
        "none is owed"
    );
}

#[test]
fn after_the_goodbye_the_rest_stays_where_it_is() {
    let mut filter = after(b"QUIT\r\n");
    assert!(filter.has_quit && !after(b"NOOP\r\n").has_quit);
    let mut say = Replies::default();
    assert_eq!(filter.server_said(b"+OK\r\n", &mut say), Ok(Pass::Forward(5)));
    assert_eq!(filter.server_said(b"+OK\r\n", &mut say), Ok(Pass::Stop));
    assert!(filter.is_over());
}

#[test]
fn a_line_may_be_as_long_as_its_limit_and_no_longer() {
    let line = |begin: &str, octets: usize, end: &str| format!("{begin:x<octets$}{end}").into_bytes();
    assert!(session(b"NOOP\r\n", &[&line("+OK ", MAX_REPLY_LINE_OCTETS, "\r\n")]).is_ok());
    assert!(session(b"NOOP\r\n", &[&line("+OK ", MAX_REPLY_LINE_OCTETS + 1, "\r\n")]).is_err());
    let both = [&b"+OK\r\n"[..], &line("+OK ", MAX_REPLY_LINE_OCTETS, "\r\n")].concat();
    assert!(session(b"NOOP\r\nNOOP\r\n", &[&both]).is_ok());
    let said = |text: &[u8]| feed(&mut Pop3Filter::default(), true, &[text]);
    assert!(said(&line("XTND ", MAX_COMMAND_LINE_OCTETS, "\r\n")).is_ok());
    assert!(said(&line("XTND ", MAX_COMMAND_LINE_OCTETS, "\r")).is_ok(), "its LF may be on the way");
    let too_long = Err(ProtocolViolation::Client(Misuse::LineTooLong(MAX_COMMAND_LINE_OCTETS)));
    assert_eq!(said(&line("XTND ", MAX_COMMAND_LINE_OCTETS + 1, "\r\n")), too_long);
    assert_eq!(said(&line("XTND ", MAX_COMMAND_LINE_OCTETS + 2, "")), too_long);
    // What an old client takes in one line passes as it is; a longer one is cut.
    let short = line("+OK ", MAX_CLIENT_REPLY_OCTETS - 2, "\r\n");
    assert_eq!(session(b"NOOP\r\n", &[&short]).unwrap(), short);
    assert_eq!(session(b"NOOP\r\n", &[&line("+OK ", MAX_CLIENT_REPLY_OCTETS - 1, "\r\n")]).unwrap(), short);
}

#[test]
fn quit_goes_on_to_its_answer_when_ostler_ends() {
    for (commands, answers, ends) in [
        (&b"DELE 1\r\n"[..], &b"+OK\r\n"[..], true),
        (b"NOOP\r\n", b"", true),
        (b"DELE 1\r\nQUIT\r\n", b"+OK\r\n", false),
        (b"QUIT\r\n", b"", false),
        (b"QUIT\r\n", b"+OK bye\r\n", true),
        (b"RETR 1\r\n", b"+OK\r\nhalf", false),
    ] {
        let mut filter = Pop3Filter::default();
        feed(&mut filter, true, &[commands]).unwrap();
        feed(&mut filter, false, &[answers]).unwrap();
        assert_eq!(filter.end_early(), ends, "{}", commands.escape_ascii());
    }
}

#[test]
fn a_list_of_abilities_has_an_end() {
    let list = |lines: usize| format!("+OK\r\n{}.\r\n", "TOP\r\n".repeat(lines)).into_bytes();
    let longest = list(MAX_REPLY_LINES - 1);
    assert_eq!(session(b"CAPA\r\n", &[&longest]).unwrap(), longest);
    assert!(matches!(session(b"CAPA\r\n", &[&list(MAX_REPLY_LINES)]), Err(ProtocolViolation::Server(_))));
    assert_eq!(session(b"CAPA\r\nNOOP\r\n", &[b"-ERR what\r\n+OK\r\n"]).unwrap(), b"-ERR what\r\n+OK\r\n");
    let said = session(b"CAPA\r\nNOOP\r\n", &[b"+OK\r\nx-own 1\r\nXOWN\r\nUser\r\n.\r\n+OK\r\n"]);
    assert_eq!(said.unwrap(), b"+OK\r\nx-own 1\r\nUser\r\n.\r\n+OK\r\n");
}

#[test]
fn a_client_that_sends_ahead_without_end_waits() {
    let mut filter = Pop3Filter::default();
    let mut say = Replies::default();
    let many = b"NOOP\r\n".repeat(MAX_OUTSTANDING_COMMANDS + 1);
    assert_eq!(
        filter.client_said(&many[..6 * (MAX_OUTSTANDING_COMMANDS - 1)], &mut say),
        Ok(Pass::Replaced(6 * (MAX_OUTSTANDING_COMMANDS - 1)))
    );
    assert!(filter.wants_client());
    assert_eq!(filter.client_said(b"NOOP\r\nNOOP\r\n", &mut say), Ok(Pass::Replaced(6)));
    assert!(!filter.wants_client());
    assert_eq!(filter.client_said(b"NOOP\r\n", &mut say), Ok(Pass::NeedMore));
    assert_eq!(filter.server_said(b"+OK\r\n", &mut say), Ok(Pass::Forward(5)));
    assert!(filter.wants_client());
    assert_eq!(say.server.len(), 6 * MAX_OUTSTANDING_COMMANDS);
}

#[test]
fn nothing_the_client_says_after_quit_is_heard() {
    let mut filter = Pop3Filter::default();
    let mut say = Replies::default();
    assert_eq!(filter.client_said(b"QUIT\r\nGET / HTTP/1.1\r\n\0", &mut say), Ok(Pass::Replaced(23)));
    assert_eq!(filter.client_said(b"DELE 1\r\n", &mut say), Ok(Pass::Replaced(8)));
    assert_eq!(say.server, b"QUIT\r\n");
    assert!(filter.client_ended(b"QUIT", &mut say));
    assert_eq!(say.server, b"QUIT\r\n", "it is said once");
    assert_eq!(feed(&mut filter, false, &[b"+OK\r\n"]).unwrap().0, b"+OK\r\n");
}

#[test]
fn tls_and_control_characters_do_not_reach_the_provider() {
    let said = |text: &[u8]| feed(&mut Pop3Filter::default(), true, &[text]);
    assert_eq!(said(b"\x16\x03\x01"), Err(ProtocolViolation::Client(Misuse::Tls)));
    assert_eq!(said(b"RETR 1\rDELE 1\r\n"), Err(ProtocolViolation::Client(Misuse::Unclean)));
    let long = format!("GET /{}", "x".repeat(MAX_COMMAND_LINE_OCTETS));
    assert_eq!(said(long.as_bytes()), Err(ProtocolViolation::Client(Misuse::Http)));
}

#[test]
fn each_command_has_its_own_kind_of_answer() {
    let text = b"+OK\r\nline\r\n.\r\n";
    for asked in ["TOP 1 0", "RETR 1", "LIST", "UIDL", "LANG", "XTND XLST subject", "XTND xlst subject"] {
        let asked = format!("{asked}\r\nNOOP\r\n");
        let answers = [&text[..], b"+OK\r\n"].concat();
        assert_eq!(session(asked.as_bytes(), &[&answers]).unwrap(), answers, "{asked}");
        let mut filter = after(asked.as_bytes());
        feed(&mut filter, false, &[b"-ERR no\r\n+OK\r\n"]).unwrap();
        assert!(!filter.owes_answer() && !filter.is_inside_text(), "{asked} was refused");
    }
    for asked in ["LIST 1", "UIDL 1", "LANG de", "STAT", "DELE 1", "RSET", "XTND ARCHIVE", "XYZ"] {
        let asked = format!("{asked}\r\n");
        assert_eq!(session(asked.as_bytes(), &[b"+OK\r\n"]).unwrap(), b"+OK\r\n", "{asked}");
        assert!(session(asked.as_bytes(), &[text]).is_err(), "{asked}");
    }
    for asked in ["AUTH PLAIN", "USER ann", "PASS x", "APOP ann 0", "STLS", "XTND XMIT", "xtnd xmit x"] {
        let mut filter = Pop3Filter::default();
        let (_, server) = feed(&mut filter, true, &[format!("{asked}\r\n").as_bytes()]).unwrap();
        assert_eq!(server, b"NOOP\r\n", "{asked} is not for the provider");
        let (client, _) = feed(&mut filter, false, &[b"+OK\r\n"]).unwrap();
        assert!(client.starts_with(b"-ERR ") && client.ends_with(b"\r\n"), "{asked}");
    }
}

#[test]
fn it_knows_whether_an_answer_is_owed_or_under_way() {
    let mut filter = Pop3Filter::default();
    assert!(!filter.owes_answer() && !filter.is_inside_text());
    assert_eq!(filter.clock().0, Clock::ClientIdle);
    let (mut state, mut ticks) = (Vec::new(), vec![filter.clock().1]);
    feed(&mut filter, true, &[b"RETR 1\r\nCAPA\r\n"]).unwrap();
    ticks.push(filter.clock().1);
    for answer in ["+OK\r\n", "text", "\r\n.\r\n", "+OK\r\n", "TOP\r\n", ".\r\n"] {
        state.push((filter.owes_answer(), filter.is_inside_text(), filter.clock().0));
        feed(&mut filter, false, &[answer.as_bytes()]).unwrap();
        ticks.push(filter.clock().1);
    }
    let (owed, message, list) =
        ((true, false, Clock::Reply), (true, true, Clock::Message), (false, true, Clock::Reply));
    assert_eq!(state, [owed, message, message, owed, list, list]);
    assert_eq!(ticks, [0, 1, 2, 2, 3, 4, 4, 5], "each whole answer starts the clock anew");
    assert!(!filter.owes_answer() && !filter.is_inside_text() && filter.clock().0 == Clock::ClientIdle);
    assert_eq!(filter.totals(), (1, 9));
    assert_eq!(filter.message_from(), Party::Server);
}

#[test]
fn a_message_that_moves_starts_the_clock_anew_every_few_kilobytes() {
    let mut filter = after(b"RETR 1\r\n");
    let mut pass = |text: &[u8]| {
        feed(&mut filter, false, &[text]).unwrap();
        filter.clock().1
    };
    let begun = pass(b"+OK\r\n");
    let octets = |n: u64| vec![b'x'; n as usize];
    assert_eq!(pass(&octets(PROGRESS_OCTETS - 1)), begun);
    assert_eq!(pass(b"x"), begun + 1);
    assert_eq!(pass(&octets(PROGRESS_OCTETS - 1)), begun + 1);
    assert_eq!(pass(b"x"), begun + 2);
}

proptest! {
    #[test]
    fn the_cuts_do_not_matter(
        answers in prop::collection::vec(prop::sample::select(vec![
            &b"+OK\r\n"[..], b"-ERR x\r\n", b"+OK\0\n", b"a\r\n", b".\r\n", b"\r\n", b"STLS\r\n", b"TOP\r\n", b"..\r\n", b"\n",
        ]), 0..20),
        commands in prop::collection::vec(prop::sample::select(vec![
            &b"RETR 1\r\n"[..], b"CAPA\r\n", b"STLS\r\n", b"LIST\r\n", b"NOOP\n", b"UIDL 1\r\n", b"QUIT\r\n",
        ]), 0..12),
        cuts in prop::collection::vec(1usize..7, 0..40),
    ) {
        let (commands, answers) = (commands.concat(), answers.concat());
        let whole = session(&commands, &[&answers]);
        let (mut rest, mut chunks) = (answers.as_slice(), Vec::new());
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks.push(rest);
        let cut = session(&commands, &chunks);
        prop_assert_eq!(whole.is_ok(), cut.is_ok());
        if let (Ok(whole), Ok(cut)) = (whole, cut) {
            prop_assert_eq!(whole, cut);
        }
    }
}

/// A session with a client that reads windows-1252; what it got, and what was changed.
fn read_session(commands: &[u8], answers: &[u8], size: usize) -> (Vec<u8>, Changes) {
    let mut filter = Pop3Filter::default().reading(Readable::find("windows-1252"));
    feed(&mut filter, true, &[commands]).unwrap();
    let chunks: Vec<&[u8]> = answers.chunks(size).collect();
    let (client, _) = feed(&mut filter, false, &chunks).unwrap();
    (client, filter.changes())
}

#[test]
fn messages_are_made_readable_and_the_rest_passes() {
    let commands = b"STAT\r\nRETR 1\r\nTOP 2 0\r\nRETR 3\r\nXTND XLST Subject\r\nUIDL\r\nRETR 9\r\nNOOP\r\n";
    let answers = "+OK 3 99\r\n+OK\r\nSubject: =?utf-8?Q?=E2=80=99?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n..\u{2192}\r\n...\r\n.\r\n\
                   +OK\r\nSubject: \u{e9}\r\n\r\n.\r\n+OK\r\nSubject: a\r\n\r\n..b\r\n.\r\n+OK\r\n1 Subject: \u{e9}\r\n.\r\n+OK\r\n1 \u{e9}\r\n.\r\n-ERR no\r\n+OK\r\n";
    let note = "X-Ostler-Readable: utf-8 to windows-1252; ";
    let expected = format!(
        "+OK 3 99\r\n+OK\r\nSubject: =?windows-1252?Q?=92?=\r\nContent-Type: text/plain; charset=windows-1252\r\nMIME-Version: 1.0\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n{note}1 character approximated\r\n\r\n..->\r\n...\r\n.\r\n\
         +OK\r\nSubject: =?windows-1252?Q?=E9?=\r\n{note}0 characters approximated\r\n\r\n.\r\n+OK\r\nSubject: a\r\n\r\n..b\r\n.\r\n\
         +OK\r\n1 Subject: \u{e9}\r\n.\r\n+OK\r\n1 \u{e9}\r\n.\r\n-ERR no\r\n+OK\r\n"
    );
    for size in [1, 2, 3, 7, 50, 5000] {
        let (client, changes) = read_session(commands, answers.as_bytes(), size);
        assert_eq!(String::from_utf8_lossy(&client), expected, "{size}");
        assert_eq!(changes, Changes { messages: 1, approximated: 1 });
    }
}

#[test]
fn the_server_is_asked_for_as_many_lines_as_have_to_be_looked_at() {
    let commands = b"TOP 2 0\r\ntop 2 5000\r\nTOP 1 x\r\nTOP 1\r\nTOP 1 2 3\r\n";
    for (readable, expected) in [
        (Some("windows-1252"), &b"TOP 2 4096\r\nTOP 2 5000\r\nTOP 1 x\r\nTOP 1\r\nTOP 1 2 3\r\n"[..]),
        (None, commands),
    ] {
        let mut filter = Pop3Filter::default().reading(readable.and_then(Readable::find));
        let (_, server) = feed(&mut filter, true, &[commands]).unwrap();
        assert_eq!(String::from_utf8_lossy(&server), String::from_utf8_lossy(expected));
    }
    // What is behind the lines that the client wants is left out, also of a message that is not changed.
    let message = format!("Content-Type: image/png\r\n\r\n{}", "x\r\n".repeat(3000));
    let answers = format!("+OK\r\n{message}.\r\n+OK\r\n");
    for size in [7, 100_000] {
        let (client, _) = read_session(b"TOP 1 2\r\nNOOP\r\n", answers.as_bytes(), size);
        assert_eq!(client, b"+OK\r\nContent-Type: image/png\r\n\r\nx\r\nx\r\n.\r\n+OK\r\n");
    }
}

#[test]
fn a_long_message_passes_from_where_nothing_has_to_change() {
    let body = ".x\r\n".repeat(100_000);
    let message =
        |subject: &str, note: &str| format!("Subject: {subject}\r\nContent-Type: image/png\r\n{note}\r\n{body}");
    let stuffed = |text: String| text.replace("\r\n.", "\r\n..") + ".\r\n";
    let answer = format!("+OK\r\n{}+OK\r\n", stuffed(message("=?utf-8?Q?=E2=80=99?=", "")));
    let note = "X-Ostler-Readable: utf-8 to windows-1252; 0 characters approximated\r\n";
    let expected = format!("+OK\r\n{}+OK\r\n", stuffed(message("=?windows-1252?Q?=92?=", note)));
    for size in [5, 4096, 65_536] {
        assert!(read_session(b"RETR 1\r\nNOOP\r\n", answer.as_bytes(), size).0 == expected.as_bytes(), "{size}");
    }
    // Nothing of it is copied then.
    let mut filter = Pop3Filter::default().reading(Readable::find("windows-1252"));
    feed(&mut filter, true, &[b"RETR 1\r\n"]).unwrap();
    feed(&mut filter, false, &[&answer.as_bytes()[..200]]).unwrap();
    let mut say = Replies::default();
    let rest = &answer.as_bytes()[200..5000];
    assert_eq!(filter.server_said(rest, &mut say), Ok(Pass::Forward(rest.len())));
    assert!(say.client.is_empty());
}

proptest! {
    #[test]
    fn a_readable_session_is_the_same_in_any_pieces(
        lines in prop::collection::vec(prop::sample::select(vec![
            "", ".", "..", ".x", "Subject: \u{e9}", "Content-Type: text/plain; charset=utf-8", "\u{2192}", "Content-Type: multipart/mixed; boundary=b", "--b", "--b--",
            "Content-Transfer-Encoding: base64", "4oaS", "\n", "\r",
        ]), 0..14),
        size in 1..30_usize,
        lines_of_top in prop_oneof![0..9_u64, Just(40)],
    ) {
        let text: String = lines.iter().map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect();
        let answers = format!("+OK\r\n{text}.\r\n+OK\r\n");
        let whole = read_session(b"RETR 1\r\nNOOP\r\n", answers.as_bytes(), usize::MAX);
        prop_assert!(whole.0.starts_with(b"+OK\r\n") && whole.0.ends_with(b"\r\n+OK\r\n"));
        prop_assert_eq!(&read_session(b"RETR 1\r\nNOOP\r\n", answers.as_bytes(), size), &whole);
        let command = format!("TOP 1 {lines_of_top}\r\nNOOP\r\n");
        let top = read_session(command.as_bytes(), answers.as_bytes(), size).0;
        let beginning = top.strip_suffix(b".\r\n+OK\r\n").unwrap();
        prop_assert!(whole.0.starts_with(beginning.strip_suffix(b"\r\n").unwrap_or(beginning)));
        prop_assert!(lines_of_top < 40 || top == whole.0);
        if whole.0.windows(17).all(|octets| octets != b"X-Ostler-Readable") {
            prop_assert_eq!(whole.0, answers.into_bytes());
        }
    }
}

#[test]
fn what_was_read_ahead_is_as_readable_as_what_was_not() {
    let message =
        |n: u64| format!("+OK\r\nSubject: =?utf-8?Q?{n}=E2=86=92?=\r\nX: {}\r\n\r\n..{n}\r\n.\r\n", "x".repeat(300));
    for size in [1, 9, 400, 100_000] {
        let mut seen = Vec::new();
        for may in [false, true] {
            let mut filter = Pop3Filter::new(Arc::default(), may).reading(Readable::find("windows-1252"));
            let (mut client, mut asked) = (Vec::new(), Vec::new());
            for n in 1..=6_u64 {
                let (early, server) = feed(&mut filter, true, &[format!("RETR {n}\r\n").as_bytes()]).unwrap();
                client.extend(early);
                asked.extend(server);
                // The server answers whatever it was asked.
                while let Some(end) = asked.iter().position(|octet| *octet == b'\n') {
                    let line = String::from_utf8(asked.drain(..=end).collect()).unwrap();
                    let answer = match line.trim_end().split_once(' ') {
                        Some((_, number)) => message(number.parse().unwrap()),
                        None => format!("+OK\r\n{}.\r\n", (1..=6).map(|n| format!("{n} 360\r\n")).collect::<String>()),
                    };
                    let chunks: Vec<&[u8]> = answer.as_bytes().chunks(size).collect();
                    let (said, more) = feed(&mut filter, false, &chunks).unwrap();
                    client.extend(said);
                    asked.extend(more);
                }
            }
            assert_eq!(filter.changes(), Changes { messages: 6, approximated: 6 }, "{may} {size}");
            seen.push(String::from_utf8(client).unwrap());
        }
        assert!(seen[0] == seen[1], "{size}");
        assert_eq!(
            seen[0].matches("X-Ostler-Readable: utf-8 to windows-1252; 1 character approximated\r\n").count(),
            6
        );
    }
}
