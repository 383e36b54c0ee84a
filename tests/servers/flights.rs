//! Where a provider offers PIPELINING, MAIL leaves with the first RCPT, what a client sends in one go leaves in one go, and USER
//! leaves with PASS: a part plays the provider, and answers nothing before it has heard all of it.

use std::time::{Duration, Instant};

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say, serve};
use crate::support::{unique, wait_for};
use crate::{ANN, BOB};

fn greet() -> Part {
    vec![
        say("220 mx"),
        expect("EHLO"),
        say("250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say("235 in"),
    ]
}

/// MAIL and RCPT in one flight, and what is said to them.
fn both(mail: &str, rcpt: &str) -> Part {
    vec![expect("MAIL"), expect("RCPT"), say(mail), say(rcpt)]
}

/// The same, one after the other.
fn step_by_step() -> Part {
    vec![expect("MAIL"), say("250 ok"), expect("RCPT"), say("250 ok")]
}

fn body() -> Part {
    vec![expect("DATA"), say("354 go on"), Step::ExpectMessage, say("250 2.0.0 queued")]
}

fn bye() -> Part {
    vec![expect("QUIT"), say("221 bye")]
}

struct Desk {
    provider: Provider,
    ostler: Ostler,
    client: Client,
}

impl Desk {
    fn with(parts: Vec<Part>) -> Self {
        let ca = TestCa::new();
        let provider = Provider::start_tls(&ca.localhost(), parts);
        let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("tls", provider.port));
        let ostler = Ostler::start(&ca, &[account]);
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        Self { provider, ostler, client }
    }

    fn mail(&mut self) {
        self.client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250 2.1.0");
    }

    fn rcpt(&mut self, reply: &str) {
        self.client.ask_reply(&format!("RCPT TO:<{BOB}>"), reply);
    }

    fn send(&mut self) {
        self.mail();
        self.rcpt("250");
        self.client.ask_reply("DATA", "354");
        self.client.send("Subject: x\r\n\r\nx\r\n.\r\n");
        self.client.expect_reply("250 2.0.0 queued");
    }

    /// The client leaves, and every part was played to its end.
    fn end(mut self, connections: usize) {
        self.client.ask_reply("QUIT", "221");
        for number in 0..connections {
            self.provider.finished(number);
        }
        assert_eq!(self.provider.connections(), connections);
    }
}

#[test]
fn mail_leaves_with_the_first_rcpt_for_message_after_message() {
    let message = [both("250 ok", "250 ok"), body()].concat();
    let mut desk = Desk::with(vec![[greet(), message.clone(), message, bye()].concat()]);
    desk.send();
    desk.send();
    desk.end(1);
}

#[test]
fn a_message_that_the_client_gives_up_is_not_heard_of() {
    let mut desk = Desk::with(vec![[greet(), both("250 ok", "250 ok"), body(), bye()].concat()]);
    desk.mail();
    desk.client.ask_reply("RSET", "250");
    desk.send();
    desk.end(1);
}

#[test]
fn a_refused_sender_is_told_at_rcpt_and_to_whatever_follows_and_the_session_goes_on() {
    let no = "553 5.7.1 <ann@example.org>: Sender address rejected: not owned by user";
    for said in [no, "451 4.7.1 Greylisted, come back later"] {
        let refused = both(said, "503 5.5.1 Error: need MAIL command");
        let mut desk = Desk::with(vec![[greet(), refused, both("250 ok", "250 ok"), body(), bye()].concat()]);
        desk.mail();
        desk.rcpt(said);
        desk.rcpt(said);
        desk.client.ask_reply("DATA", said);
        desk.send();
        desk.end(1);
    }
}

#[test]
fn a_refused_recipient_is_the_recipients_and_the_next_one_may_be_accepted() {
    let refused = both("250 ok", "550 5.1.1 nobody");
    let next = vec![expect("RCPT"), say("250 ok")];
    let mut desk = Desk::with(vec![[greet(), refused, next, body(), bye()].concat()]);
    desk.mail();
    desk.rcpt("550 5.1.1 nobody");
    desk.rcpt("250 ok");
    desk.client.ask_reply("DATA", "354");
    desk.client.send(".\r\n");
    desk.client.expect_reply("250 2.0.0 queued");
    desk.end(1);
}

#[test]
fn a_provider_that_accepts_a_recipient_without_a_sender_is_left() {
    let odd = [greet(), both("550 5.1.8 no", "250 ok"), vec![Step::Stall]].concat();
    let mut desk = Desk::with(vec![odd, [greet(), both("250 ok", "250 ok"), body(), bye()].concat()]);
    desk.mail();
    desk.rcpt("550 5.1.8 no");
    // On a connection that knows of no recipient.
    desk.send();
    desk.client.ask_reply("QUIT", "221");
    desk.provider.finished(1);
}

#[test]
fn a_provider_that_has_left_between_two_messages_is_found_again() {
    let left =
        [greet(), both("250 ok", "250 ok"), body(), vec![expect("MAIL"), say("421 4.4.2 idle too long")]].concat();
    let hung_up = [greet(), both("250 ok", "250 ok"), body(), vec![expect("MAIL"), Step::Close]].concat();
    for first in [left, hung_up] {
        let mut desk = Desk::with(vec![first, [greet(), both("250 ok", "250 ok"), body(), bye()].concat()]);
        desk.send();
        desk.send();
        desk.client.ask_reply("QUIT", "221");
        desk.provider.finished(1);
        assert_eq!(desk.provider.connections(), 2);
    }
}

#[test]
fn a_provider_that_breaks_off_between_the_two_answers_is_trouble_at_rcpt() {
    let broken = [greet(), vec![expect("MAIL"), expect("RCPT"), say("250 ok"), Step::Close]].concat();
    let mut desk = Desk::with(vec![broken]);
    desk.mail();
    desk.rcpt("451 4.4.2");
    desk.client.ask_reply("QUIT", "221");
}

#[test]
fn a_provider_that_answers_more_than_it_was_asked_is_not_believed() {
    let chatty = [greet(), both("250 ok", "250 ok\r\n250 and one more"), vec![Step::Stall]].concat();
    let mut desk = Desk::with(vec![chatty]);
    desk.mail();
    desk.rcpt("250");
    desk.client.ask_reply("DATA", "451 ");
}

const EVE: &str = "eve@example.com";
/// Far below the time that a provider has for an answer, which is 60 s.
const SOON: Duration = Duration::from_secs(20);

/// MAIL, two RCPT and DATA in one flight, and what is said to each.
fn whole(said: [&str; 4]) -> Part {
    let heard = ["MAIL", "RCPT TO:<bob", "RCPT TO:<eve", "DATA"].map(expect);
    heard.into_iter().chain(said.map(say)).collect()
}

fn rest_of_body() -> Part {
    body().split_off(2)
}

impl Desk {
    /// A client that sends all of an envelope without waiting for an answer.
    fn pipeline(&mut self, answers: [&str; 4]) {
        self.client.send(format!("MAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<{EVE}>\r\nDATA\r\n"));
        answers.iter().for_each(|answer| drop(self.client.expect_reply(answer)));
    }

    fn send_body(&mut self) {
        self.client.send("Subject: x\r\n\r\nx\r\n.\r\n");
        self.client.expect_reply("250 2.0.0 queued");
    }

    /// Sends a message to a provider that hears one command at a time now, over its second connection, and leaves.
    fn sends_step_by_step(&mut self) {
        // The answer to MAIL is the provider's.
        self.client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250 ok");
        self.rcpt("250 ok");
        self.client.ask_reply("DATA", "354");
        self.send_body();
        self.client.ask_reply("QUIT", "221");
        self.provider.finished(1);
    }
}

#[test]
fn what_a_client_sends_in_one_go_leaves_in_one_go_and_each_answer_has_its_command() {
    for said in [
        ["250 2.1.0 ok", "250 bob", "250 eve", "354 go on"],
        ["250 2.1.0 ok", "550 no bob", "250 eve", "354 go on"],
        ["250 2.1.0 ok", "250 bob", "451 no eve", "354 go on"],
    ] {
        let message = [whole(said), rest_of_body()].concat();
        let mut desk = Desk::with(vec![[greet(), message.clone(), message, bye()].concat()]);
        for _ in 0..2 {
            desk.pipeline(["250 2.1.0", said[1], said[2], "354"]);
            desk.send_body();
        }
        desk.end(1);
    }
}

#[test]
fn without_a_recipient_no_body_is_begun_and_the_session_goes_on() {
    let no = ["250 ok", "550 no bob", "550 no eve", "554 5.5.1 no valid recipients"];
    let trap = ["250 ok", "550 no bob", "550 no eve", "354 go on"];
    let dot = vec![expect("."), say("554 5.5.1 no valid recipients")];
    for refused in [whole(no), [whole(trap), dot].concat()] {
        let next = [whole(["250 ok", "250 bob", "250 eve", "354 go on"]), rest_of_body()].concat();
        let reset = vec![expect("RSET"), say("250 ok")];
        let mut desk = Desk::with(vec![[greet(), refused, reset, next, bye()].concat()]);
        desk.pipeline(["250", "550 no bob", "550 no eve", "554 5.5.1 no recipient"]);
        desk.client.ask_reply("RSET", "250");
        desk.pipeline(["250", "250 bob", "250 eve", "354"]);
        desk.send_body();
        desk.end(1);
    }
}

#[test]
fn a_provider_that_takes_a_body_for_nobody_is_left() {
    let trap = [whole(["250 ok", "550 no bob", "550 no eve", "354 go on"]), vec![expect("."), say("250 queued")]];
    let next = [whole(["250 ok", "250 bob", "250 eve", "354 go on"]), rest_of_body(), bye()].concat();
    let first = [greet(), trap.concat(), vec![Step::Stall]].concat();
    let mut desk = Desk::with(vec![first, [greet(), next].concat()]);
    desk.pipeline(["250", "550 no bob", "550 no eve", "554 5.5.1 no recipient"]);
    desk.client.ask_reply("RSET", "250");
    desk.pipeline(["250", "250 bob", "250 eve", "354"]);
    desk.send_body();
    desk.client.ask_reply("QUIT", "221");
    desk.provider.finished(1);
}

#[test]
fn a_refused_sender_in_one_go_is_told_at_everything_behind_it() {
    let no = "553 5.7.1 not your address";
    let refused = whole([no, "503 MAIL first", "503 MAIL first", "503 MAIL first"]);
    let next = [whole(["250 ok", "250 bob", "250 eve", "354 go on"]), rest_of_body()].concat();
    let mut desk = Desk::with(vec![[greet(), refused, next, bye()].concat()]);
    desk.pipeline(["250", no, no, no]);
    desk.pipeline(["250", "250 bob", "250 eve", "354"]);
    desk.send_body();
    desk.end(1);
}

#[test]
fn the_next_envelope_may_come_right_behind_the_dot() {
    let message = [whole(["250 ok", "250 bob", "250 eve", "354 go on"]), rest_of_body()].concat();
    let mut desk = Desk::with(vec![[greet(), message.clone(), message, bye()].concat()]);
    desk.pipeline(["250", "250 bob", "250 eve", "354"]);
    desk.client.send("Subject: x\r\n\r\nx\r\n.\r\n");
    desk.pipeline(["250 2.0.0 queued", "250 2.1.0", "250 bob", "250 eve"]);
    desk.client.expect_reply("354");
    desk.send_body();
    desk.end(1);
}

#[test]
fn recipients_in_one_go_leave_in_one_go_without_data_behind_them() {
    let heard =
        vec![expect("MAIL"), expect("RCPT TO:<bob"), expect("RCPT TO:<eve"), say("250"), say("250"), say("250")];
    let mut desk = Desk::with(vec![[greet(), heard, body(), bye()].concat()]);
    desk.mail();
    desk.client.send(format!("RCPT TO:<{BOB}>\r\nRCPT TO:<{EVE}>\r\nNOOP\r\n"));
    (0..3).for_each(|_| drop(desk.client.expect_reply("250")));
    desk.client.ask_reply("DATA", "354");
    desk.send_body();
    desk.end(1);
}

#[test]
fn a_provider_that_breaks_off_in_one_go_is_trouble_at_what_it_did_not_answer() {
    for last in [Step::Close, Step::Reset, say("421 4.3.2 closing"), say("nonsense")] {
        let heard: Part = ["MAIL", "RCPT", "RCPT", "DATA"].map(expect).to_vec();
        let broken = [greet(), heard, vec![say("250 ok"), say("250 bob"), last.clone()]].concat();
        // The second recipient is asked for again nowhere: its answer is the trouble.
        let mut desk = Desk::with(vec![broken]);
        desk.client.send(format!("MAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<{EVE}>\r\nDATA\r\n"));
        desk.client.expect_reply("250 2.1.0");
        desk.client.expect_reply("250 bob");
        desk.client.expect_reply("4");
    }
}

#[test]
fn one_answer_too_many_in_one_go_is_not_believed() {
    let chatty = whole(["250 ok", "250 bob", "250 eve", "354 go on\r\n250 2.0.0 queued"]);
    let mut desk = Desk::with(vec![[greet(), chatty, vec![Step::Stall]].concat()]);
    desk.pipeline(["250", "250 bob", "250 eve", "354"]);
    desk.client.send("Subject: x\r\n\r\nx\r\n.\r\n");
    desk.client.expect_reply("451 ");
}

#[test]
fn a_provider_that_does_not_answer_what_comes_together_hears_one_command_at_a_time_the_next_time() {
    let deaf = [greet(), vec![expect("MAIL"), expect("RCPT"), say("250 ok"), Step::Stall]].concat();
    let ca = TestCa::new();
    let provider = Provider::start_tls(&ca.localhost(), vec![deaf, [greet(), step_by_step(), body(), bye()].concat()]);
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("tls", provider.port));
    let ostler = Home::with_settings(&ca, &[account], "", "\n[timeouts]\nreply = \"2s\"\n").run();
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    let mut desk = Desk { provider, ostler, client };
    desk.mail();
    desk.rcpt("451 ");
    desk.client.ask_reply("RSET", "250");
    desk.sends_step_by_step();
    assert_eq!(desk.provider.sessions()[1].round_trips, 7, "EHLO, AUTH, MAIL, RCPT, DATA, the body, QUIT");
    desk.ostler.expect_log("offers PIPELINING and did not answer what came to it together");
}

#[test]
fn a_refused_sender_is_told_soon_though_what_came_behind_it_is_never_answered() {
    let deaf = [greet(), vec![expect("MAIL"), expect("RCPT"), say("550 5.7.1 not your address"), Step::Stall]].concat();
    let mut desk = Desk::with(vec![deaf, [greet(), step_by_step(), body(), bye()].concat()]);
    desk.mail();
    let asked = Instant::now();
    desk.rcpt("550 5.7.1 not your address");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    desk.ostler.expect_log("offers PIPELINING and did not answer what came to it together");
    desk.sends_step_by_step();
}

#[test]
fn a_sender_refused_by_slow_answers_is_told_after_one_short_wait_for_all_of_them() {
    let slow = |said| vec![Step::Pause(Duration::from_secs(6)), say(said)];
    let heard = vec![expect("MAIL"), expect("RCPT"), expect("RCPT"), expect("DATA"), say("550 5.7.1 not your address")];
    let rest = [slow("503 no"), slow("503 no"), slow("503 no")].concat();
    let mut desk = Desk::with(vec![[greet(), heard, rest].concat()]);
    let asked = Instant::now();
    desk.pipeline(["250 2.1.0", "550 5.7.1", "550 5.7.1", "550 5.7.1"]);
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
}

#[test]
fn a_provider_that_refuses_a_sender_and_closes_is_not_listened_to_any_longer_and_has_tripped_over_nothing() {
    for (refusal, then) in [("421 4.3.2 closing", Step::Stall), ("550 5.7.1 not your address", Step::Close)] {
        let closing = [greet(), vec![expect("MAIL"), expect("RCPT"), say(refusal), then]].concat();
        let mut desk = Desk::with(vec![closing]);
        desk.mail();
        let asked = Instant::now();
        desk.rcpt(refusal);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        assert!(!desk.ostler.log().contains("offers PIPELINING"), "{refusal}: {}", desk.ostler.log());
    }
}

fn fetch(ostler: &Ostler, answer: &str) -> String {
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    let said = client.ask("PASS typed", answer);
    if answer == "+OK" {
        client.ask("QUIT", "+OK");
    }
    said
}

#[test]
fn user_and_pass_leave_together_once_the_provider_is_known_to_pipeline() {
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let pass = format!("PASS {secret}");
    let asked = [say("+OK"), expect("CAPA"), say("+OK\r\nUSER\r\nPIPELINING\r\n.")];
    let one_by_one = [expect("USER"), say("+OK"), expect(&pass), say("+OK in")];
    let together = [say("+OK"), expect("USER"), expect(&pass)];
    let quit = [expect("QUIT"), say("+OK bye")];
    let provider = Provider::start_tls(
        &ca.localhost(),
        vec![
            [&asked[..], &one_by_one, &quit].concat(),
            [&together[..], &[say("+OK"), say("+OK in")], &quit].concat(),
            [&together[..], &[say("-ERR [AUTH] no such user"), say("-ERR what?"), Step::Stall]].concat(),
            // After a refusal nothing is known any more; this one refuses CAPA.
            [&[say("+OK")], &one_by_one[..], &quit].concat(),
        ],
    );
    let account = Account::new("home", ANN, &secret).pop3(Server::new("tls", provider.port));
    let ostler = Ostler::start(&ca, &[account]);
    fetch(&ostler, "+OK");
    fetch(&ostler, "+OK");
    assert!(fetch(&ostler, "-ERR [AUTH]").contains("no such user"));
    assert_eq!(provider.connections(), 3, "the refusal is one try");
    fetch(&ostler, "+OK");
    for number in [0, 1, 3] {
        provider.finished(number);
    }
}

#[test]
fn a_provider_that_does_not_answer_user_with_pass_gets_them_one_by_one_the_next_time() {
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let pass = format!("PASS {secret}");
    let asked = [say("+OK"), expect("CAPA"), say("+OK\r\nUSER\r\nPIPELINING\r\n.")];
    let one_by_one = [expect("USER"), say("+OK"), expect(&pass), say("+OK in"), expect("QUIT"), say("+OK bye")];
    let patient = [&asked[..], &one_by_one].concat();
    let deaf = vec![say("+OK"), expect("USER"), expect(&pass), say("+OK"), Step::Stall];
    let provider = Provider::start_tls(&ca.localhost(), vec![patient.clone(), deaf, patient.clone(), patient]);
    let account = Account::new("home", ANN, &secret).pop3(Server::new("tls", provider.port));
    let ostler = Home::with_settings(&ca, &[account], "", "\n[timeouts]\nreply = \"2s\"\n").run();
    fetch(&ostler, "+OK");
    fetch(&ostler, "-ERR [SYS/TEMP]");
    ostler.expect_log("offers PIPELINING and did not answer what came to it together");
    fetch(&ostler, "+OK");
    fetch(&ostler, "+OK");
    for number in [0, 2, 3] {
        provider.finished(number);
    }
}

/// What a sign-in costs, and what is behind it: the greeting is there at once, and each word that decides something is waited
/// for.
#[test]
fn a_sign_in_takes_as_few_round_trips_as_the_protocol_allows() {
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let cert = ca.localhost();
    let asked = vec![say("+OK"), expect("CAPA"), say("+OK\r\nUSER\r\nPIPELINING\r\n.")];
    let first = vec![expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), expect("QUIT"), say("+OK bye")];
    let known = vec![say("+OK"), expect("USER"), expect("PASS"), say("+OK\r\n+OK in"), expect("QUIT"), say("+OK bye")];
    let pop3 = Provider::start_tls(&cert, vec![[asked, first].concat(), known]);
    let smtp = Provider::start_tls(&cert, vec![[greet(), both("250 ok", "250 ok"), body(), bye()].concat()]);
    let imap = Provider::start_tls(
        &cert,
        vec![vec![
            say("* OK [CAPABILITY IMAP4rev1] ready"),
            expect("o1 LOGIN"),
            say("o1 OK [CAPABILITY IMAP4rev1] in"),
            expect("a2 LOGOUT"),
            say("* BYE bye\r\na2 OK bye"),
        ]],
    );
    let account = Account::new("home", ANN, &secret)
        .pop3(Server::new("tls", pop3.port))
        .smtp(Server::new("tls", smtp.port))
        .imap(Server::new("tls", imap.port));
    let ostler = Ostler::start(&ca, &[account]);
    fetch(&ostler, "+OK");
    fetch(&ostler, "+OK");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
    client.send("Subject: x\r\n\r\nx\r\n.\r\n");
    client.expect_reply("250 2.0.0 queued");
    client.ask_reply("QUIT", "221");
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.say("a1 LOGIN home x");
    while !client.line().unwrap().starts_with("a1 OK") {}
    client.say("a2 LOGOUT");
    while !client.line().unwrap().starts_with("a2 OK") {}
    let round_trips = |provider: &Provider, number: usize| {
        provider.finished(number);
        provider.sessions()[number].round_trips
    };
    assert_eq!(round_trips(&pop3, 0), 4, "CAPA, USER, PASS, QUIT");
    assert_eq!(round_trips(&pop3, 1), 2, "USER with PASS, QUIT");
    assert_eq!(round_trips(&smtp, 0), 6, "EHLO, AUTH, MAIL with RCPT, DATA, the body, QUIT");
    assert_eq!(round_trips(&imap, 0), 2, "LOGIN, LOGOUT");
}

/// A ticket serves once, and a server gives two a handshake: what fifty sessions have left is enough for the next fifty.
#[test]
fn fifty_sessions_at_once_resume_the_tls_of_fifty_before_them() {
    const SESSIONS: usize = 50;
    let ca = TestCa::new();
    let answers: &[(&[u8], &str)] =
        &[(b"CAPA", "+OK\r\nUSER\r\n."), (b"USER", "+OK"), (b"PASS", "+OK in"), (b"QUIT", "+OK bye")];
    let provider = Provider::always_tls(&ca.localhost(), true, vec![say("+OK"), serve(answers)]);
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", provider.port));
    let ostler = Ostler::start(&ca, &[account]);
    let resumed = |from: usize| {
        let sessions = provider.sessions();
        sessions[from..].iter().filter(|session| session.resumed).count()
    };
    for round in 0..2 {
        let mut clients: Vec<_> = (0..SESSIONS).map(|_| Client::greeted(ostler.pop3, "+OK")).collect();
        // ostler connects at USER.
        clients.iter_mut().for_each(|client| drop(client.ask("USER home", "+OK")));
        wait_for("every connection", || (provider.connections() == (round + 1) * SESSIONS).then_some(()));
        for mut client in clients {
            client.ask("PASS x", "+OK");
            client.ask("QUIT", "+OK");
        }
    }
    assert!(resumed(0) >= SESSIONS && resumed(SESSIONS) == SESSIONS, "{} of {SESSIONS}", resumed(SESSIONS));
    // One after the other, no stock is needed.
    fetch(&ostler, "+OK");
    assert_eq!(resumed(2 * SESSIONS), 1);
}
