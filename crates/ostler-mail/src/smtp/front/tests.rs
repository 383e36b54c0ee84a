//! What a client hears at an SMTP door, line by line.

use super::*;
use crate::account::testing::{account, settings};
use crate::account::{Access, NearbyDoor};
use crate::failure::Failure;
use crate::machine::client::{MAX_BAD_COMMANDS, MAX_EARLY_COMMANDS};
use crate::sasl::Proof;

fn front(access: Access, names: &[&str]) -> SmtpFront {
    let accounts = names.iter().map(|n| Arc::new(account(n, &format!("{n}@example.net"), n))).collect();
    SmtpFront::new(settings(access, accounts, &[]), None, "<1.2@ostler>".into(), None)
}

/// Plays a client's lines with a provider that takes everything but recipients with `no` in them.
fn play(front: &mut SmtpFront, lines: &[&str]) -> Vec<String> {
    lines
        .iter()
        .map(|line| {
            let said = match front.on_line(&Line::new(line.as_bytes())) {
                Answer::Say(text) | Answer::Wants(Wants::DataRefused(text)) | Answer::Bye(text) => text,
                Answer::Refused(failure) => front.refusal(&failure),
                Answer::Wants(Wants::Authenticate(account, attempt)) => {
                    let name = account.as_ref().map_or("-", |a| a.name.as_str()).to_owned();
                    format!("{} {name} {}", front.on_authentication(account, true).trim_end(), attempt.name)
                }
                Answer::Wants(Wants::Mail(account, _)) => {
                    format!("{} via {}", front.on_mail_reply(&Reply::new(250, "2.1.0 OK")).trim_end(), account.name)
                }
                Answer::Wants(Wants::Rcpt(to)) if to.contains("no") => {
                    front.on_rcpt_reply(&Reply::new(550, "5.1.1 unknown"))
                }
                Answer::Wants(Wants::Rcpt(to)) if to.contains("later") => {
                    front.on_rcpt_reply(&Reply::new(450, "4.2.0 greylisted"))
                }
                Answer::Wants(Wants::Rcpt(_)) => front.on_rcpt_reply(&Reply::new(250, "2.1.5 OK")),
                Answer::Wants(Wants::Data) => front.on_message_reply(&Reply::new(250, "2.0.0 sent")),
                Answer::Misused(misuse) => format!("{misuse:?}"),
            };
            said.trim_end().to_owned()
        })
        .collect()
}

#[test]
fn both_auth_lines_are_offered_login_first_and_nothing_ostler_cannot_do() {
    let mut front = front(Access::SameUser, &["home"]);
    let said = &play(&mut front, &["EHLO [127.0.0.1]"])[0];
    assert!(said.contains("\r\n250-AUTH LOGIN PLAIN\r\n250-AUTH=LOGIN PLAIN\r\n250 HELP"), "{said}");
    for absent in ["STARTTLS", "PIPELINING", "CHUNKING", "SMTPUTF8", "DSN", "CRAM-MD5"] {
        assert!(!said.contains(absent), "{absent}");
    }
}

#[test]
fn a_client_without_auth_sends_and_one_connection_serves_several_accounts() {
    let mut front = front(Access::SameUser, &["home", "work"]);
    let said = play(
        &mut front,
        &[
            "HELO",
            "MAIL FROM: <home@example.net>",
            "RCPT TO:<a@b.c>",
            "DATA",
            "mail from:work@example.net",
            "RCPT TO:<no@b.c>",
            "DATA",
            "RSET",
            "MAIL FROM:<joe@example.org>",
        ],
    );
    assert_eq!(
        said[..8],
        [
            "250 ostler",
            "250 2.1.0 OK via home",
            "250 2.1.5 OK",
            "250 2.0.0 sent",
            "250 2.1.0 OK via work",
            "550 5.1.1 unknown",
            "554 5.5.1 no recipient was accepted",
            "250 2.0.0 OK"
        ]
    );
    assert!(
        said[8].starts_with("550 5.7.1 ostler has no account that sends as joe@example.org; it has: home, work"),
        "{}",
        said[8]
    );
}

#[test]
fn a_client_that_goes_on_after_recipients_that_failed_for_now_is_not_refused_for_good() {
    let mut front = front(Access::SameUser, &["home"]);
    let mail = "MAIL FROM:<home@example.net>";
    for recipients in [&["RCPT TO:<later@b.c>"][..], &["RCPT TO:<later@b.c>", "RCPT TO:<no@b.c>"]] {
        let said = play(&mut front, &[&[mail][..], recipients, &["DATA", "RSET"]].concat());
        assert_eq!(said[recipients.len() + 1], "450 4.2.0 greylisted", "{recipients:?}");
    }
    // The next message knows nothing of it.
    let said = play(&mut front, &[mail, "RCPT TO:<no@b.c>", "DATA"]);
    assert_eq!(said[2], "554 5.5.1 no recipient was accepted");
}

#[test]
fn who_signed_in_comes_before_the_sender_and_a_name_that_is_nobody_is_as_good_as_none() {
    let mut front = front(Access::SameUser, &["home", "work"]);
    let said = play(
        &mut front,
        &[
            "AUTH PLAIN AHdvcmsAeA==",
            "MAIL FROM:<home@example.net>",
            "RSET",
            "AUTH LOGIN am9l",
            "eA==",
            "MAIL FROM:<home@example.net>",
        ],
    );
    assert_eq!(said[0], "235 2.7.0 welcome work work");
    assert_eq!(said[1], "250 2.1.0 OK via work");
    assert_eq!(said[4], "235 2.7.0 welcome - joe");
    assert_eq!(said[5], "250 2.1.0 OK via home");
}

#[test]
fn with_a_local_password_nothing_is_sent_before_it_was_given() {
    let mut front = front(Access::Password, &["home"]);
    assert!(front.likely_account().is_none());
    let said = play(&mut front, &["EHLO x", "MAIL FROM:<home@example.net>", "AUTH CRAM-MD5"]);
    assert!(said[0].contains("AUTH=LOGIN PLAIN CRAM-MD5"));
    assert!(said[1].starts_with("530 5.7.0"), "{}", said[1]);
    assert!(said[2].starts_with("334 "));
    assert!(front.on_authentication(None, false).starts_with("535 "));
    assert_eq!(play(&mut front, &["aG9tZSAxMjM=", "MAIL FROM:<home@example.net>"])[1], "250 2.1.0 OK via home");
    assert!(front.likely_account().is_some());
}

#[test]
fn a_client_may_keep_its_connection_with_noop() {
    let mut front = front(Access::SameUser, &["home"]);
    assert!(play(&mut front, &["NOOP"; 200]).iter().all(|said| said == "250 2.0.0 OK"));
    assert_eq!(play(&mut front, &["VRFY x"; MAX_EARLY_COMMANDS + 1]).last().unwrap(), "TooManyCommands");
}

#[test]
fn commands_out_of_turn_and_browsers_are_answered() {
    let mut front1 = front(Access::SameUser, &["home"]);
    let said = play(
        &mut front1,
        &["RCPT TO:<a@b>", "DATA", "MAIL FROM:<home@example.net>", "DATA", "AUTH LOGIN", "STARTTLS", "BDAT 1"],
    );
    assert!(
        said[0].starts_with("503")
            && said[1].starts_with("503")
            && said[3].starts_with("503")
            && said[4].starts_with("503")
    );
    assert!(said[5].starts_with("502"));
    assert_eq!(said[6], "TooManyCommands");
    assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["POST / HTTP/1.1"]), ["Http"]);
    assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["Content-Type: text/plain"]), ["Http"]);
}

/// A door of one account's own, and one for all where mail is fetched.
fn own_front(access: Access, change: impl FnOnce(&mut Account)) -> SmtpFront {
    let mut account = account("home", "home@example.net", "home");
    change(&mut account);
    let account = Arc::new(account);
    let doors = [(Protocol::Smtp, 2525), (Protocol::Pop3, 1100)];
    let settings = settings(access, vec![Arc::clone(&account)], &doors);
    SmtpFront::new(settings, Some(account), "<1.2@ostler>".into(), Some(5000))
}

#[test]
fn a_client_that_has_begun_may_take_its_time() {
    let mut front1 = front(Access::SameUser, &["home"]);
    assert!(front1.greeting().starts_with("220 "));
    assert!(!front1.is_at_work() && !front1.has_begun() && front1.transaction().is_none());
    play(&mut front1, &["MAIL FROM:<home@example.net>"]);
    assert!(front1.is_at_work() && front1.has_begun() && front1.transaction().is_some());
    assert!(play(&mut front1, &["RSET"; 2 * MAX_EARLY_COMMANDS]).iter().all(|said| said == "250 2.0.0 OK"));
    assert!(front1.has_begun() && front1.transaction().is_none());
    let mut front2 = front(Access::SameUser, &["home"]);
    play(&mut front2, &["AUTH PLAIN AGhvbWUAeA=="]);
    assert!(front2.is_at_work() && !front2.has_begun());
    assert!(play(&mut front2, &["RSET"; 2 * MAX_EARLY_COMMANDS]).iter().all(|said| said == "250 2.0.0 OK"));
}

#[test]
fn one_that_has_not_begun_may_say_so_much_and_no_more() {
    let mut front1 = front(Access::SameUser, &["home"]);
    assert!(play(&mut front1, &["VRFY x"; MAX_EARLY_COMMANDS]).iter().all(|said| said.starts_with("252 ")));
    assert_eq!(play(&mut front1, &["VRFY x"]), ["TooManyCommands"]);
    let mut front2 = front(Access::SameUser, &["home"]);
    assert!(play(&mut front2, &["XYZ"; MAX_BAD_COMMANDS]).iter().all(|said| said.starts_with("502 ")));
    assert_eq!(play(&mut front2, &["XYZ"]), ["TooManyCommands"]);
}

#[test]
fn the_provider_is_reached_for_where_only_one_can_be_meant() {
    let likely = |front: &SmtpFront| front.likely_account().map(|account| account.name.clone());
    assert_eq!(likely(&front(Access::SameUser, &["home"])), Some("home".into()));
    assert_eq!(likely(&own_front(Access::SameUser, |_| {})), Some("home".into()));
    assert_eq!(likely(&own_front(Access::SameUser, |account| account.smtp.clear())), None);
    assert_eq!(likely(&own_front(Access::Password, |_| {})), None);
    let mut two = front(Access::SameUser, &["home", "work"]);
    assert_eq!(likely(&two), None);
    play(&mut two, &["AUTH PLAIN AHdvcmsAeA=="]);
    assert_eq!(likely(&two), Some("work".into()));
}

#[test]
fn each_command_has_its_answer() {
    let codes = |lines: &[&str]| {
        let said = play(&mut front(Access::SameUser, &["home"]), lines);
        said.iter().map(|said| said[..3].to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(codes(&["EHLO x", "HELO x", "NOOP", "RSET", "VRFY x", "HELP", "QUIT"]), "250 250 250 250 252 214 221");
    assert_eq!(codes(&["", "XYZ", "STARTTLS", "USER x"]), "500 502 502 502");
    assert_eq!(codes(&["AUTH NTLM", "AUTH LOGIN", "*", "AUTH LOGIN", "!", "RCPT"]), "504 334 501 334 501 503");
    for again in ["EHLO x", "HELO x", "RSET"] {
        let lines = ["MAIL FROM:<home@example.net>", "RCPT TO:<a@b>", again, "DATA"];
        assert_eq!(codes(&lines), "250 250 250 503", "{again} begins anew");
    }
    let mut front = front(Access::SameUser, &["home"]);
    assert_eq!(front.on_end(b"quit").as_deref(), Some("221 2.0.0 bye\r\n"));
    assert_eq!(front.on_end(b"DATA"), None);
}

#[test]
fn a_control_character_ends_it() {
    assert_eq!(play(&mut front(Access::SameUser, &["home"]), &["EHLO a\rb"]), ["Unclean"]);
}

#[test]
fn an_answer_to_a_challenge_may_be_longer_than_a_command() {
    let mut front = front(Access::SameUser, &["home"]);
    assert!(!front.is_in_exchange());
    play(&mut front, &["AUTH LOGIN"]);
    assert!(front.is_in_exchange());
    play(&mut front, &["*"]);
    assert!(!front.is_in_exchange());
}

#[test]
fn a_wrong_local_password_is_told_and_lets_nobody_in() {
    let mut front = own_front(Access::Password, |_| {});
    assert!(front.on_authentication(None, false).starts_with("535 "));
    assert_eq!(front.take_misconfiguration(), Some(ClientMisconfiguration::WrongPassword));
    assert_eq!(front.take_misconfiguration(), None, "told once");
    assert!(!front.is_at_work());
    assert!(play(&mut front, &["MAIL FROM:<a@b>"])[0].starts_with("530 "));
    assert_eq!(front.take_misconfiguration(), Some(ClientMisconfiguration::NoPassword));
    let attempt = |line: &str| match own_front(Access::Password, |_| {}).on_line(&Line::new(line.as_bytes())) {
        Answer::Wants(Wants::Authenticate(_, attempt)) => attempt,
        _ => panic!("{line}"),
    };
    assert_eq!(attempt("AUTH PLAIN AGhvbWUAeA==").password(), Some(&b"x"[..]));
    let proof = Proof::Cram { challenge: String::new(), digest: String::new() };
    assert_eq!(Attempt { name: "home".into(), proof }.password(), None);
}

#[test]
fn a_mistake_in_the_settings_of_the_program_is_told() {
    let slip = |line: &str| {
        let mut front = own_front(Access::SameUser, |_| {});
        let said = play(&mut front, &[line]).remove(0);
        (front.take_misconfiguration(), said)
    };
    assert_eq!(slip("STARTTLS").0, Some(ClientMisconfiguration::StartTls));
    assert_eq!(slip("AUTH CRAM-MD5").0, Some(ClientMisconfiguration::Secure), "it could not be checked");
    let fetching = NearbyDoor { port: 1100, address: None };
    let (wrong_door, said) = slip("CAPA");
    assert_eq!(wrong_door, Some(ClientMisconfiguration::WrongDoor { speaks: Protocol::Pop3, door: Some(fetching) }));
    assert!(said.ends_with("the one for fetching is 1100"), "{said}");
    assert_eq!(slip("NOOP").0, None);
    let mut front = own_front(Access::SameUser, |_| {});
    assert_eq!(front.on_end(b""), None);
    let silent = ClientMisconfiguration::Silent { at: Protocol::Smtp, door: Some(fetching) };
    assert_eq!(front.take_misconfiguration(), Some(silent));
    let mut spoke = own_front(Access::SameUser, |_| {});
    play(&mut spoke, &["EHLO x"]);
    assert_eq!(spoke.on_end(b""), None);
    assert_eq!(spoke.take_misconfiguration(), None);
}

#[test]
fn size_and_sign_in_are_offered_as_the_settings_say() {
    let offered = |access, offer_auth| {
        let mut front = own_front(access, |account| account.offer_auth = offer_auth);
        play(&mut front, &["EHLO x"]).remove(0)
    };
    assert!(offered(Access::SameUser, true).contains("\r\n250-SIZE 5000\r\n"));
    assert!(offered(Access::SameUser, true).contains("250-AUTH LOGIN PLAIN\r\n"));
    assert!(!offered(Access::SameUser, false).contains("AUTH"));
    assert!(offered(Access::Password, false).contains("250-AUTH=LOGIN PLAIN CRAM-MD5\r\n"));
}

#[test]
fn what_the_provider_said_is_what_the_client_hears() {
    let mut front = front(Access::SameUser, &["home"]);
    let line = |front: &mut SmtpFront, line: &str| front.on_line(&Line::new(line.as_bytes()));
    assert!(matches!(line(&mut front, "MAIL FROM:<home@example.net>"), Answer::Wants(Wants::Mail(..))));
    assert_eq!(front.on_mail_reply(&Reply::new(550, "5.7.1 no")), "550 5.7.1 no\r\n");
    assert!(front.transaction().is_none());
    assert_eq!(front.on_mail_reply(&Reply::new(250, "ok")), "250 ok\r\n");
    assert!(front.transaction().is_none(), "nothing was asked");
    play(&mut front, &["MAIL FROM:<home@example.net>"]);
    assert!(matches!(line(&mut front, "RCPT TO:<a@b>"), Answer::Wants(Wants::Rcpt(to)) if to == "a@b"));
    assert_eq!(front.on_rcpt_reply(&Reply::new(452, "4.2.2 full")), "452 4.2.2 full\r\n");
    assert!(matches!(line(&mut front, "DATA"), Answer::Wants(Wants::DataRefused(said)) if said.starts_with("452 ")));
    play(&mut front, &["RCPT TO:<c@d>", "RCPT TO:<e@f>"]);
    assert_eq!(front.transaction().unwrap().recipients, 2);
    assert_eq!(front.on_message_reply(&Reply::new(250, "2.0.0 sent")), "250 2.0.0 sent\r\n");
    assert!(front.transaction().is_none());
    play(&mut front, &["MAIL FROM:<home@example.net>"]);
    assert!(
        matches!(line(&mut front, "DATA"), Answer::Wants(Wants::DataRefused(said)) if said.starts_with("503 ")),
        "a new message"
    );
    assert!(matches!(line(&mut front, "MAIL FROM:<a@b>"), Answer::Say(said) if said.starts_with("503 ")));
}

#[test]
fn a_message_has_so_many_recipients() {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &["MAIL FROM:<home@example.net>"]);
    assert!(play(&mut front, &["RCPT TO:<a@b>"; MAX_RECIPIENTS]).iter().all(|said| said.starts_with("250 ")));
    assert!(play(&mut front, &["RCPT TO:<a@b>"])[0].starts_with("452 4.5.3"));
    // Typing errors in a list are no attack.
    let mut list = front_with_mail();
    assert!(play(&mut list, &["RCPT TO:<>"; 2 * MAX_BAD_COMMANDS]).iter().all(|said| said.starts_with("501 ")));
}

fn front_with_mail() -> SmtpFront {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &["MAIL FROM:<home@example.net>"]);
    front
}

#[test]
fn an_account_that_cannot_send_says_so() {
    let mut front = own_front(Access::SameUser, |account| account.smtp.clear());
    let answer = front.on_line(&Line::new(b"MAIL FROM:<home@example.net>"));
    assert!(matches!(answer, Answer::Refused(Failure::NoServer { protocol: Protocol::Smtp, .. })));
}

/// Plays a client's lines with a provider that answers MAIL like this.
fn play_failing(front: &mut SmtpFront, reply: &Reply, lines: &[&str]) -> Vec<String> {
    let answer = |line: &&str| match front.on_line(&Line::new(line.as_bytes())) {
        Answer::Wants(Wants::Mail(..)) => front.on_mail_reply(reply).trim_end().to_owned(),
        Answer::Say(text) | Answer::Wants(Wants::DataRefused(text)) => text.trim_end().to_owned(),
        _ => panic!("{line}"),
    };
    lines.iter().map(answer).collect()
}

#[test]
fn f16_a_client_that_goes_on_after_a_mail_that_failed_for_now_hears_the_same_again() {
    for code in [421, 450, 451, 452, 454] {
        let mut front = front(Access::SameUser, &["home"]);
        let reply = Reply::new(code, "4.4.1 mx did not answer in time");
        let mut lines = vec!["MAIL FROM:<home@example.net>"];
        // Every recipient of a long list, and addresses that are none.
        lines.extend(["RCPT TO:<a@b>"; 3 * MAX_BAD_COMMANDS]);
        lines.extend(["RCPT TO:<>", "NOOP", "DATA", "DATA"]);
        let said = play_failing(&mut front, &reply, &lines);
        for (line, said) in lines.iter().zip(&said).filter(|(line, _)| **line != "NOOP") {
            assert_eq!(*said, reply.one_line(), "{line}");
        }
        for end in ["RSET", "EHLO x", "HELO x"] {
            let said = play_failing(&mut front, &reply, &["MAIL FROM:<home@example.net>", end, "RCPT TO:<a@b>"]);
            assert!(said[2].starts_with("503 "), "{end}: {}", said[2]);
        }
    }
}

#[test]
fn f16_each_mail_has_its_own_failure_and_one_for_good_is_none() {
    let mut front = front(Access::SameUser, &["home"]);
    let mail = "MAIL FROM:<home@example.net>";
    let first = play_failing(&mut front, &Reply::new(451, "4.4.1 first"), &[mail, "RCPT TO:<a@b>"]);
    let second = play_failing(&mut front, &Reply::new(454, "4.7.5 second"), &[mail, "RCPT TO:<a@b>", "DATA"]);
    assert_eq!(
        (first[1].as_str(), second[1].as_str(), second[2].as_str()),
        ("451 4.4.1 first", "454 4.7.5 second", "454 4.7.5 second")
    );
    let refused = play_failing(&mut front, &Reply::new(550, "5.7.1 no"), &[mail, "RCPT TO:<a@b>"]);
    assert!(refused[1].starts_with("503 "), "{}", refused[1]);
    let wrong = play_failing(&mut front, &Reply::new(451, "4.4.1 x"), &[mail, "MAIL FROM:", "RCPT TO:<a@b>"]);
    assert!(wrong[2].starts_with("503 "), "{}", wrong[2]);
    let sent = play(&mut front, &[mail, "RCPT TO:<a@b>", "DATA"]);
    assert_eq!(sent[2], "250 2.0.0 sent");
}

#[test]
fn a_mail_that_was_refused_late_is_the_answer_to_all_that_follows_of_its_message() {
    let (mut front, mail) = (front(Access::SameUser, &["home"]), "MAIL FROM:<home@example.net>");
    play(&mut front, &[mail]);
    let no = "550 5.7.1 not your address";
    let Answer::Wants(Wants::Rcpt(_)) = front.on_line(&Line::new(b"RCPT TO:<a@b>")) else { panic!() };
    assert_eq!(front.on_late_refusal(&Reply::from_line(no)), format!("{no}\r\n"));
    assert!(front.transaction().is_none());
    let said = play(&mut front, &["RCPT TO:<c@d>", "DATA", "RSET", "RCPT TO:<c@d>", mail, "RCPT TO:<c@d>", "DATA"]);
    assert_eq!(said[..2], [no, no]);
    assert!(said[3].starts_with("503 "), "{}", said[3]);
    assert_eq!(said[6], "250 2.0.0 sent");
}

#[test]
fn an_empty_name_is_as_good_as_none() {
    let mut front = front(Access::SameUser, &["home", "work"]);
    let said = play(
        &mut front,
        &["AUTH PLAIN AAA=", "AUTH LOGIN =", "", "AUTH LOGIN", "", "eA==", "MAIL FROM:<work@example.net>"],
    );
    assert_eq!(
        (said[0].as_str(), said[2].as_str(), said[5].as_str()),
        ("235 2.7.0 welcome -", "235 2.7.0 welcome -", "235 2.7.0 welcome -")
    );
    assert_eq!(said[6], "250 2.1.0 OK via work");
}

#[test]
fn what_comes_behind_a_recipient_is_known_as_far_as_it_will_be_passed_on() {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &["EHLO x", "MAIL FROM:<home@example.net>"]);
    let seen = |input: &str| {
        let upcoming = front.upcoming(input.as_bytes());
        (upcoming.recipients.join(" "), upcoming.has_data)
    };
    assert_eq!(seen("RCPT TO:<a@b>\r\nrcpt to: c@d\r\nDATA\r\n"), ("a@b c@d".into(), true));
    assert_eq!(seen("DATA\r\n"), (String::new(), true));
    for (input, recipients) in [
        ("", ""),
        ("RCPT TO:<a@b>\r\nDATA\r\nSubject: too early\r\n", "a@b"),
        ("RCPT TO:<a@b>\r\nRCPT TO:<a b>\r\nRCPT TO:<c@d>\r\n", "a@b"),
        ("RCPT TO:<a@b>\r\nRSET\r\nRCPT TO:<c@d>\r\n", "a@b"),
        ("RCPT TO:<a@b>\r\nRCPT TO:<c@d", "a@b"),
        ("RCPT TO:<a@b>\r\nRCPT TO:<\0c@d>\r\n", "a@b"),
        ("RSET\r\nDATA\r\n", ""),
    ] {
        assert_eq!(seen(input), (recipients.into(), false), "{input:?}");
    }
    let many = front.upcoming("RCPT TO:<a@b>\r\n".repeat(2 * MAX_RECIPIENTS).as_bytes());
    assert_eq!(many.recipients.len(), MAX_RECIPIENTS - 1, "and the one that waits");
}
