//! Providers that misbehave in a send, at every point of it.

use std::time::{Duration, Instant};

use super::every_point::{honest_send, is_trouble, one_message, ostler_before, send, sends, smtp, up_to_data};
use super::honest::{ANN, BODY, HASTY, MESSAGE, Speaks, completed, cut, fetch_part, large, send_part};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::provider::{Marks, Part, Provider, Step, say};
use crate::support::{mail, unique, wait_for};

#[test]
fn a_provider_that_drops_a_send_at_any_point_never_makes_a_250_and_is_not_asked_again() {
    let cases: Vec<Part> = [Step::Close, Step::Reset]
        .into_iter()
        .flat_map(|last| (0..BODY + 2).map(move |at| cut(send_part(), at, last.clone())))
        .collect();
    let points = cases.len() / 2;
    sends(&cases, "", MESSAGE, |number, verdict, last, received| {
        let at = number % points;
        let said_250 = verdict.as_ref().is_some_and(|verdict| verdict.starts_with("250"));
        assert!(completed(received) <= 1, "case {number}");
        assert!(!said_250, "case {number} {verdict:?}");
        assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
        if at == BODY + 1 {
            assert_eq!(completed(received), 1);
            assert!(verdict.unwrap().contains("unknown"), "case {number}");
        }
    });
}

#[test]
fn a_provider_that_hangs_up_after_its_250_has_said_it() {
    sends(&[cut(send_part(), BODY + 2, Step::Close)], "", MESSAGE, |_, verdict, last, received| {
        assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"));
        assert!(last.unwrap().starts_with("221"));
        assert_eq!(completed(received), 1);
    });
}

/// A message cut off after every 64 KB, with and without a reset.
fn cut_every_64_kilobytes() -> Vec<Part> {
    (0..7)
        .flat_map(|block| {
            [Step::Close, Step::Reset].map(|last| {
                let mut part = cut(send_part(), BODY, Step::Until(400 + block * 65_536));
                part.push(last);
                part
            })
        })
        .collect()
}

#[test]
fn a_provider_that_drops_every_64_kilobytes_of_a_body_gets_no_end_of_message() {
    // The small limits are for what the test below is about.
    sends(&cut_every_64_kilobytes(), HASTY, &large(448 * 1024), |number, verdict, _, received| {
        assert!(is_trouble(verdict.as_ref()), "case {number}: {verdict:?}");
        // The end may have been on its way when the provider left; then nobody knows, and it says so.
        let verdict = verdict.unwrap_or_default();
        assert!(completed(received) == 0 || verdict.contains("unknown"), "case {number}: {verdict}");
    });
}

#[test]
fn a_provider_lost_in_a_body_is_told_behind_the_final_dot_and_not_when_time_is_up() {
    for _ in 0..5 {
        sends(&cut_every_64_kilobytes(), "", &large(448 * 1024), |number, verdict, _, _| {
            assert!(verdict.is_some_and(|verdict| verdict.starts_with("451 ")), "case {number}");
        });
    }
}

#[test]
fn a_provider_that_stalls_a_send_at_any_point_is_given_up_in_time() {
    let cases: Vec<Part> = (0..BODY + 2).map(|at| cut(send_part(), at, Step::Stall)).collect();
    sends(&cases, HASTY, MESSAGE, |number, verdict, last, received| {
        assert!(completed(received) <= 1, "case {number}");
        if number < BODY + 2 {
            assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
        }
        if number == BODY || number == BODY + 1 {
            assert!(verdict.unwrap().contains("unknown"), "case {number}");
        }
    });
}

#[test]
fn a_provider_that_takes_no_more_of_a_body_is_given_up_in_time() {
    let mut deaf = cut(send_part(), BODY, Step::Until(70_000));
    deaf.push(Step::Deaf);
    sends(&[deaf], HASTY, &large(20_000_000), |_, verdict, _, received| {
        assert!(verdict.unwrap().starts_with("451"));
        assert_eq!(completed(received), 0);
    });
}

/// Replies that are none, at each place where one is due.
#[test]
fn replies_that_are_none_lead_to_no_250() {
    let long = format!("250 {}", "x".repeat(10_000));
    let endless = "250-more\r\n".repeat(5_000);
    let replies = [
        "hello",
        "",
        "99 two",
        "250_ok",
        "250-ok\r\n550 no",
        "999 no",
        "100 continue",
        "+OK",
        &long,
        &endless,
        "\0\0\0",
        "\u{16}\u{3}\u{1}",
    ];
    let mut cases = Vec::new();
    for reply in replies {
        for at in [0, 2, 4, 6, 8, 10, 12] {
            let mut part = cut(send_part(), at, say(reply));
            part.push(Step::Stall);
            cases.push(part);
        }
    }
    sends(&cases, HASTY, MESSAGE, |number, verdict, last, received| {
        assert!(completed(received) <= 1, "case {number}");
        assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
    });
}

#[test]
fn a_421_anywhere_is_passed_on_and_closes() {
    let cases: Vec<Part> = [6, 8, 10, 12]
        .map(|at| {
            let mut part = cut(send_part(), at, say("421 4.3.2 closing down"));
            part.push(Step::Close);
            part
        })
        .to_vec();
    sends(&cases, "", MESSAGE, |number, verdict, last, _| {
        let told = verdict.clone().or(last.clone());
        assert_eq!(told.as_deref(), Some("421 4.3.2 closing down"), "case {number}");
        if verdict.is_some() {
            assert_eq!(last, verdict, "421 closes: QUIT is not answered any more");
        }
    });
}

#[test]
fn an_answer_before_the_final_dot_is_no_answer_to_it() {
    for (early, wanted) in [
        ("250 2.0.0 queued", "451 "),
        ("354 again", "451 "),
        ("552 5.3.4 too big", "552 5.3.4 too big"),
        ("421 bye", "421 bye"),
    ] {
        let marks = Marks::default();
        let mut part = cut(send_part(), BODY, Step::Until(70_000));
        part.extend([say(early), Step::Mark(marks.clone(), "early"), Step::Stall]);
        let (peer, ostler) = smtp(vec![part], "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        up_to_data(&mut client);
        client.send(large(100_000));
        wait_for("the early answer", || marks.all().first().copied());
        client.send(mail::stuffed(&large(1000)));
        let verdict = client.try_reply().unwrap();
        assert!(verdict.starts_with(wanted), "{early}: {verdict}");
        assert_eq!(completed(&peer.over(0).received), 0, "{early}");
        honest_send(ostler.smtp);
    }
    // In the same segment as the 354, and in two lines around the dot.
    let mut part = cut(send_part(), BODY - 1, say("354 go on\r\n250 2.0.0 queued"));
    part.push(Step::Stall);
    sends(&[part], "", MESSAGE, |_, verdict, _, received| {
        assert!(verdict.unwrap().starts_with("451 "));
        assert_eq!(completed(received), 0);
    });
}

#[test]
fn a_password_that_comes_back_is_starred_in_every_form_at_every_place() {
    use base64::Engine;
    let secret = unique("echo");
    let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let forms = [secret.clone(), encoded(secret.clone()), encoded(format!("\0{ANN}\0{secret}"))];
    for form in &forms {
        for (at, part) in [
            (4, say(&format!("535 5.7.8 no: {form}"))),
            (4, say(&format!("535-5.7.8 no\r\n535-{form}\r\n535 5.7.8 end"))),
            (4, say(&format!("454 4.7.0 later: {form}"))),
            (4, say(&format!("{form} is not it"))),
            (4, say(&format!("334 {form}"))),
            (4, say(&format!("250 {form}"))),
            (4, say(&format!("421 {form}"))),
            (6, say(&format!("550 5.7.1 not from you: {form}"))),
            (8, say(&format!("451-4.7.1 not to them\r\n451 {form}"))),
            (10, say(&format!("554 {form}"))),
        ] {
            let mut played = cut(send_part(), at, part);
            played.push(Step::Stall);
            let peer = Provider::start(vec![played]);
            let account = Account::new("home", ANN, &secret).smtp(Server::new("none", peer.port));
            let ostler = Home::with_settings(&TestCa::new(), &[account], "", HASTY).run_as(&["run", "-vv"]);
            let (_, last) = send(ostler.smtp, MESSAGE);
            let last = last.unwrap();
            assert!(forms.iter().all(|form| !last.contains(form.trim_end_matches('='))), "{last}");
            assert!(!last.starts_with("535"), "{last}");
        }
        for reply in ["-ERR [AUTH] no: ", "-ERR [SYS/TEMP] later: ", "-ERR [IN-USE] ", "", "+OK welcome ", "* "] {
            let mut played = cut(fetch_part(), 4, say(&format!("{reply}{form}")));
            played.push(Step::Stall);
            let peer = Provider::start(vec![played]);
            let account = Account::new("home", ANN, &secret).pop3(Server::new("none", peer.port));
            let ostler = Home::with_settings(&TestCa::new(), &[account], "", HASTY).run_as(&["run", "-vv"]);
            let mut client = Client::greeted(ostler.pop3, "+OK");
            client.ask("USER home", "+OK");
            let answer = client.try_ask("PASS x").unwrap();
            assert!(!answer.contains(form.trim_end_matches('=')), "{answer}");
            // What the log and the status hold is looked at when ostler ends.
            let status = ostler.home.ostler(&["status", "--json"], "");
            assert!(status.status.success());
        }
    }
}

#[test]
fn a_provider_that_hangs_up_between_two_messages_is_reached_again_unseen() {
    for goodbye in [vec![Step::Close], vec![Step::Reset], vec![say("421 4.4.2 idle too long"), Step::Close]] {
        let mut first: Part = send_part().into_iter().take(BODY + 2).collect();
        first.extend(goodbye);
        let peer = Provider::start(vec![first, send_part()]);
        let ostler = ostler_before(Speaks::Smtp, &peer, "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO x", "250");
        for _ in 0..2 {
            one_message(&mut client);
        }
        client.ask_reply("QUIT", "221");
        assert_eq!(completed(&peer.finished(1)), 1);
        assert_eq!(peer.connections(), 2);
    }
}

/// It may have died without a word, as in this computer's sleep, and the client would wait as long again for nothing.
#[test]
fn a_provider_idle_for_as_long_as_an_answer_may_take_is_taken_leave_of() {
    let peer = Provider::start(vec![send_part(), send_part()]);
    let ostler = ostler_before(Speaks::Smtp, &peer, "\n[timeouts]\nreply = \"2s\"\n");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    let mut answered = None::<Instant>;
    for _ in 0..2 {
        wait_for("two seconds to pass", || {
            answered.is_none_or(|then| then.elapsed() > Duration::from_secs(2)).then_some(())
        });
        one_message(&mut client);
        answered = Some(Instant::now());
    }
    client.ask_reply("QUIT", "221");
    assert_eq!((completed(&peer.finished(1)), peer.connections()), (1, 2));
}

#[test]
fn two_messages_on_one_connection_share_the_providers_session() {
    let mut part: Part = send_part().into_iter().take(BODY + 2).collect();
    part.extend(send_part().into_iter().skip(5));
    let (peer, ostler) = smtp(vec![part], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    for _ in 0..2 {
        one_message(&mut client);
    }
    client.ask_reply("QUIT", "221");
    assert_eq!(completed(&peer.finished(0)), 2);
    assert_eq!(peer.connections(), 1);
}
