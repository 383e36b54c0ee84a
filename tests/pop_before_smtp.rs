//! POP-before-SMTP against written parts: what no real server shows at will. Which connection comes when and from where,
//! what is said again, what is passed on, and how long it takes.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use support::ca::TestCa;
use support::client::Client;
use support::ostler::{Account, Home, Ostler, Server};
use support::provider::{Marks, Part, Provider, Step, expect, say};
use support::{mail, unique, wait_for};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";
const SHUT: &str = "550 5.7.1 Relaying denied";
const MESSAGE: &[u8] = b"Subject: gate\r\n\r\nthrough\r\n";

/// USER, PASS, QUIT, with an answer to PASS.
fn login_said(answer: &str) -> Part {
    vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say(answer), expect("QUIT"), say("+OK bye")]
}

fn login() -> Part {
    login_said("+OK in")
}

/// One that lists a delay.
fn login_with_delay(seconds: u32) -> Part {
    let mut part = vec![say("+OK ready"), expect("CAPA"), say(&format!("+OK\r\nUSER\r\nLOGIN-DELAY {seconds}\r\n."))];
    part.extend(login().into_iter().skip(1));
    part
}

/// A client's own session.
fn own_session() -> Part {
    let mut part: Part = login().into_iter().take(5).collect();
    part.extend([expect("STAT"), say("+OK 0 0"), expect("QUIT"), say("+OK bye")]);
    part
}

fn opening() -> Part {
    vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250-SIZE 1000000\r\n250 8BITMIME")]
}

/// A server that takes MAIL with exactly these words, and these recipients.
fn takes(mail: &str, recipients: &[&str]) -> Part {
    let mut part = opening();
    part.extend([expect(mail), say("250 2.1.0 ok")]);
    for recipient in recipients {
        part.extend([Step::Expect(format!("RCPT TO:<{recipient}>")), say("250 2.1.5 ok")]);
    }
    part
}

fn ends(mut part: Part) -> Part {
    part.extend([
        expect("DATA"),
        say("354 go on"),
        Step::ExpectMessage,
        say("250 2.0.0 queued"),
        expect("QUIT"),
        say("221 bye"),
    ]);
    part
}

fn whole(recipients: &[&str]) -> Part {
    ends(takes("MAIL FROM:<ann@example.org>", recipients))
}

/// Refuses, and has the connection left with QUIT.
fn refuses(mut part: Part, command: &str, reply: &str) -> Part {
    part.extend([expect(command), say(reply), expect("QUIT"), say("221 bye")]);
    part
}

struct Host {
    pop3: Provider,
    smtp: Provider,
    ostler: Ostler,
}

impl Host {
    fn start(pop3: Provider, smtp: Provider, more: &str) -> Self {
        let server = |port| Server::at("127.0.0.1", "none", port);
        let account = Account::new("home", ANN, &unique("pw"))
            .pop3(server(pop3.port))
            .smtp(server(smtp.port).auth("pop-before-smtp").line(more));
        let ostler = Ostler::start(&TestCa::new(), &[account]);
        Self { pop3, smtp, ostler }
    }

    fn with(smtp: Vec<Part>, more: &str) -> Self {
        Self::start(Provider::always(login()), Provider::start(smtp), more)
    }

    fn hello(&self) -> Client {
        let mut client = Client::greeted(self.ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        client
    }

    /// All parts were played to their end, and there were no other connections.
    fn played(&self, logins: usize, connections: usize) {
        (0..connections).for_each(|number| drop(self.smtp.finished(number)));
        (0..logins).for_each(|number| drop(self.pop3.finished(number)));
        assert_eq!((self.pop3.connections(), self.smtp.connections()), (logins, connections), "{}", self.ostler.log());
    }
}

fn send_on(client: &mut Client, recipients: &[&str]) {
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    for recipient in recipients {
        client.ask_reply(&format!("RCPT TO:<{recipient}>"), "250");
    }
    client.ask_reply("DATA", "354");
    client.send(mail::stuffed(MESSAGE));
    client.expect_reply("250 2.0.0 queued");
}

#[test]
fn smtp_is_opened_only_when_the_logins_quit_was_answered_and_from_the_same_address() {
    let marks = Marks::default();
    let mut slow = login();
    slow.insert(6, Step::Pause(Duration::from_millis(400)));
    slow.insert(7, Step::Mark(marks.clone(), "QUIT answered"));
    let mut smtp = whole(&[BOB]);
    smtp.insert(0, Step::Mark(marks.clone(), "SMTP opened"));
    let host = Host::start(Provider::start(vec![slow]), Provider::start(vec![smtp]), "");
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.played(1, 1);
    assert_eq!(marks.all(), ["QUIT answered", "SMTP opened"]);
    let from = |provider: &Provider| provider.sessions()[0].from.unwrap().ip();
    assert_eq!(from(&host.pop3), from(&host.smtp));
    let said = String::from_utf8(host.pop3.finished(0)).unwrap();
    let verbs: Vec<_> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(verbs, ["CAPA", "USER", "PASS", "QUIT"], "nothing that touches a message");
}

#[test]
fn two_families_are_used_where_the_hosts_have_no_common_one() {
    let Ok(probe) = std::net::TcpListener::bind("[::1]:0") else { return support::skip("IPv6") };
    drop(probe);
    let (pop3, smtp) = (Provider::start_at("::1", vec![login()]), Provider::start(vec![whole(&[BOB])]));
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at("::1", "none", pop3.port))
        .smtp(Server::at("127.0.0.1", "none", smtp.port).auth("pop-before-smtp"));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let host = Host { pop3, smtp, ostler };
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.played(1, 1);
}

#[test]
fn a_server_on_one_family_of_localhost_is_reached_at_once() {
    support::assert_quick(Duration::from_secs(1), || {
        let (pop3, smtp) = (Provider::start(vec![login()]), Provider::start(vec![takes("MAIL", &[])]));
        let account = Account::new("home", ANN, &unique("pw"))
            .pop3(Server::new("none", pop3.port))
            .smtp(Server::new("none", smtp.port).auth("pop-before-smtp"));
        let host = Host { ostler: Ostler::start(&TestCa::new(), &[account]), pop3, smtp };
        let mut client = host.hello();
        let asked = Instant::now();
        client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        asked.elapsed()
    });
}

#[test]
fn a_login_delay_the_server_lists_is_kept_between_logins() {
    let host = Host::start(
        Provider::start(vec![login_with_delay(600)]),
        Provider::start(vec![whole(&[BOB]), whole(&[BOB])]),
        "fresh = \"0s\"",
    );
    for _ in 0..2 {
        let mut client = host.hello();
        send_on(&mut client, &[BOB]);
        client.ask_reply("QUIT", "221");
    }
    host.played(1, 2);
}

#[test]
fn in_use_and_login_delay_count_as_logged_in() {
    for answer in ["-ERR [IN-USE] locked", "-ERR [LOGIN-DELAY] too soon", "-ERR maildrop already locked"] {
        let part: Part = login_said(answer).into_iter().take(5).collect();
        let host = Host::start(Provider::start(vec![part]), Provider::start(vec![whole(&[BOB])]), "");
        let mut client = host.hello();
        send_on(&mut client, &[BOB]);
        client.ask_reply("QUIT", "221");
        host.played(1, 1);
    }
}

#[test]
fn a_pop3_server_that_refuses_service_is_named_and_opens_no_smtp() {
    for said in ["too many connections", "550 not you"] {
        let busy = Provider::always(vec![say(&format!("-ERR {said}"))]);
        let host = Host::start(busy, Provider::start(vec![]), "");
        let refusal = host.hello().ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 4.3.0 127.0.0.1 refuses service: ");
        assert!(refusal.contains(said), "{refusal}");
        assert_eq!((host.pop3.connections(), host.smtp.connections()), (1, 0));
    }
}

#[test]
fn a_refused_password_is_final_one_attempt_a_connection_and_no_smtp() {
    let part: Part = login_said("-ERR [AUTH] no such mailbox").into_iter().take(5).collect();
    let host = Host::start(Provider::always(part), Provider::start(vec![]), "");
    for connection in 1..=2 {
        let mut client = host.hello();
        // A queue of three.
        for _ in 0..3 {
            let refusal = client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 ");
            assert!(refusal.contains("no such mailbox"), "{refusal}");
            assert_eq!((host.pop3.connections(), host.smtp.connections()), (connection, 0));
        }
    }
}

#[test]
fn with_fresh_zero_each_message_of_one_connection_has_its_login_and_its_connection() {
    let host = Host::with(vec![whole(&[BOB]), whole(&[BOB])], "fresh = \"0s\"");
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.played(2, 2);
}

#[test]
fn while_a_login_is_fresh_messages_of_one_connection_share_the_session() {
    let mut both: Part = whole(&[BOB]).into_iter().rev().skip(2).collect();
    both.reverse();
    both.extend(whole(&[BOB]).into_iter().skip(3));
    let host = Host::with(vec![both], "");
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.played(1, 1);
}

#[test]
fn with_fresh_zero_healing_keeps_to_the_schedule() {
    let refused = || refuses(takes("MAIL", &[]), "RCPT", SHUT);
    let host = Host::with(vec![refused(), refused(), whole(&[BOB])], "fresh = \"0s\"");
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    // The one before the send; the tries after 1 and 2 s only wait.
    host.played(1, 3);
}

#[test]
fn beside_the_clients_own_session_there_is_no_other_and_after_it_healing_may_log_in() {
    let refused = || refuses(takes("MAIL", &[]), "RCPT", SHUT);
    let pop3 = Provider::start(vec![own_session(), login()]);
    let host = Host::start(pop3, Provider::start(vec![refused(), refused(), refused(), whole(&[BOB])]), "");
    let mut pop = Client::greeted(host.ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK");
    let mut client = host.hello();
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    assert_eq!(host.pop3.connections(), 1);
    client.say(&format!("RCPT TO:<{BOB}>"));
    wait_for("the first new connection", || (host.smtp.connections() >= 2).then_some(()));
    assert_eq!(host.pop3.connections(), 1, "beside the client's");
    pop.ask("STAT", "+OK");
    pop.ask("QUIT", "+OK");
    client.expect_reply("250");
    client.ask_reply("DATA", "354");
    client.send(mail::stuffed(MESSAGE));
    client.expect_reply("250 2.0.0");
    client.ask_reply("QUIT", "221");
    host.pop3.finished(0);
    assert!(host.pop3.connections() <= 2);
}

#[test]
fn sends_at_once_share_one_login() {
    let mut slow = login();
    slow.insert(4, Step::Pause(Duration::from_millis(300)));
    let host = Host::start(Provider::start(vec![slow]), Provider::always(whole(&[BOB])), "");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = host.hello();
                send_on(&mut client, &[BOB]);
                client.ask_reply("QUIT", "221");
            });
        }
    });
    host.played(1, 3);
}

/// Clients whose sender has been accepted, each over a connection of its own, in this order.
fn at_rcpt(host: &Host, count: usize) -> Vec<Client> {
    let mail = || {
        let mut client = host.hello();
        client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        client
    };
    (0..count).map(|_| mail()).collect()
}

fn send_the_rest(client: &mut Client) {
    client.ask_reply("DATA", "354");
    client.send(mail::stuffed(MESSAGE));
    client.expect_reply("250 2.0.0 queued");
    client.ask_reply("QUIT", "221");
}

#[test]
fn sends_refused_at_once_share_the_login_that_one_of_them_makes() {
    let mut slow = login();
    // All four refusals have come before this login is over.
    slow.insert(4, Step::Pause(Duration::from_secs(1)));
    let pop3 = Provider::start(vec![login(), slow]);
    let refused = || refuses(takes("MAIL", &[]), "RCPT", SHUT);
    let mut parts = vec![whole(&[BOB])];
    parts.extend((0..4).map(|_| refused()));
    parts.extend((0..4).map(|_| whole(&[BOB])));
    let host = Host::start(pop3, Provider::start(parts), "");
    let mut first = host.hello();
    send_on(&mut first, &[BOB]);
    first.ask_reply("QUIT", "221");
    let mut clients = at_rcpt(&host, 4);
    clients.iter_mut().for_each(|client| client.say(&format!("RCPT TO:<{BOB}>")));
    clients.iter_mut().for_each(|client| drop(client.expect_reply("250")));
    clients.iter_mut().for_each(send_the_rest);
    host.played(2, 9);
}

/// Many servers decide when a connection opens, so a refusal may be older than a login it came behind.
#[test]
fn a_login_the_refused_connection_is_older_than_is_tried_before_another_is_made() {
    for still_shut in [false, true] {
        let refused = || refuses(takes("MAIL", &[]), "RCPT", SHUT);
        let mut parts = vec![whole(&[BOB]), refused(), refused(), whole(&[BOB])];
        parts.extend(still_shut.then(refused));
        parts.push(whole(&[BOB]));
        let (logins, connections) = (if still_shut { 3 } else { 2 }, parts.len());
        let host = Host::with(parts, "");
        let mut first = host.hello();
        send_on(&mut first, &[BOB]);
        first.ask_reply("QUIT", "221");
        for mut client in at_rcpt(&host, 2) {
            client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
            send_the_rest(&mut client);
        }
        host.played(logins, connections);
    }
}

/// The refused command's healing: on a new connection, MAIL and what was accepted again, word for word, then the rest.
#[test]
fn a_shut_gate_is_healed_at_every_stage_by_saying_everything_again() {
    let three = ["one@example.com", "two@example.com", "three@example.com"];
    let mail = "MAIL FROM:<ann@example.org> SIZE=99 BODY=8BITMIME";
    let well = || ends(takes(mail, &three));
    let cases = [
        vec![say("554 5.7.1 check your mail first"), Step::Stall],
        refuses(opening(), mail, "450 4.7.1 you must check your e-mail first"),
        refuses(takes(mail, &[]), "RCPT TO:<one", SHUT),
        refuses(takes(mail, &three[..1]), "RCPT TO:<two", SHUT),
        refuses(takes(mail, &three), "DATA", SHUT),
        refuses(
            takes(mail, &three[..1]),
            "RCPT TO:<two",
            "550-host x is currently not permitted to relay through\r\n550-this server. Perhaps you have not logged into the\r\n550 pop/imap server in the last 30 minutes",
        ),
    ];
    for case in cases {
        let host = Host::with(vec![case, well()], "");
        let mut client = host.hello();
        client.ask_reply(&format!("{mail} "), "250");
        for recipient in three {
            client.ask_reply(&format!("RCPT TO:<{recipient}>"), "250");
        }
        client.ask_reply("DATA", "354");
        client.send(mail::stuffed(MESSAGE));
        client.expect_reply("250 2.0.0 queued");
        client.ask_reply("QUIT", "221");
        host.smtp.finished(1);
        assert_eq!(host.smtp.connections(), 2);
        assert!(host.pop3.connections() <= 2);
        wait_for("the healing in the log", || host.ostler.log().contains("only after another try").then_some(()));
    }
}

#[test]
fn refusals_that_are_not_the_gate_are_passed_on_at_once() {
    for (reply, heard) in [
        ("550 5.1.1 <x@y> no such user", "550 5.1.1 <x@y> no such user"),
        ("550-5.7.1 This message looks like\r\n550 5.7.1 spam.", "550 5.7.1 This message looks like spam."),
        ("452 4.2.2 mailbox full", "452 4.2.2 mailbox full"),
        ("450 4.2.0 Greylisted, try again later", "450 4.2.0 Greylisted, try again later"),
        ("552 message size exceeds the limit", "552 message size exceeds the limit"),
        ("554 5.7.1 blocked using zen.example", "554 5.7.1 blocked using zen.example"),
        // A bare refusal right after a login is a refusal.
        ("550 5.7.1 rejected by local policy", "550 5.7.1 rejected by local policy"),
        ("550 Invalid recipient: <x@y>", "550 Invalid recipient: <x@y>"),
    ] {
        support::assert_quick(Duration::from_millis(900), || {
            let mut part = takes("MAIL", &[]);
            part.extend([expect("RCPT"), say(reply), expect("RCPT TO:<bob"), say("250 ok")]);
            part.extend(ends(vec![]));
            let host = Host::with(vec![part], "");
            let mut client = host.hello();
            client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
            let asked = Instant::now();
            assert_eq!(client.ask_reply("RCPT TO:<x@y>", heard), format!("{heard}\n"));
            let took = asked.elapsed();
            client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
            client.ask_reply("DATA", "354");
            client.send(mail::stuffed(MESSAGE));
            client.expect_reply("250 2.0.0 queued");
            client.ask_reply("QUIT", "221");
            host.played(1, 1);
            took
        });
    }
}

#[test]
fn a_recipient_that_was_accepted_and_now_is_not_makes_451() {
    let first = refuses(takes("MAIL", &["one@example.com"]), "RCPT TO:<two", SHUT);
    let mut second = takes("MAIL", &[]);
    second.extend([expect("RCPT TO:<one"), say("550 5.1.1 no such user any more"), Step::Stall]);
    let host = Host::with(vec![first, second], "");
    let mut client = host.hello();
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply("RCPT TO:<one@example.com>", "250");
    let reply = client.ask_reply("RCPT TO:<two@example.com>", "451 ");
    assert!(reply.contains("no such user any more") && reply.lines().count() == 1, "{reply}");
}

#[test]
fn a_gate_that_stays_shut_costs_25_seconds_at_most_however_slow_the_server() {
    for pause in [0, 7] {
        let mut refused = refuses(takes("MAIL", &[]), "RCPT", SHUT);
        refused.insert(0, Step::Pause(Duration::from_secs(pause)));
        let host = Host::start(Provider::always(login()), Provider::always(refused), "");
        let mut client = host.hello();
        client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        let asked = Instant::now();
        let reply = client.ask_reply(&format!("RCPT TO:<{BOB}>"), "550 5.7.1 Relaying denied");
        // A second for a busy machine.
        assert!(asked.elapsed() < Duration::from_secs(26), "{:?}", asked.elapsed());
        assert!(reply.contains("POP") && reply.lines().count() == 1 && reply.len() <= 512, "{reply}");
        assert!(host.pop3.connections() <= 3, "{}", host.pop3.connections());
    }
}

/// A port at which nobody listens.
fn nobody() -> u16 {
    support::free_port()
}

#[test]
fn the_next_server_is_tried_when_the_first_cannot_be_reached_with_one_login_for_both() {
    let (pop3, smtp) = (Provider::always(login()), Provider::start(vec![whole(&[BOB])]));
    let gated = |port| Server::at("127.0.0.1", "none", port).auth("pop-before-smtp").line("fresh = \"0s\"");
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at("127.0.0.1", "none", pop3.port))
        .smtp(gated(nobody()))
        .smtp(gated(smtp.port));
    let host = Host { ostler: Ostler::start(&TestCa::new(), &[account]), pop3, smtp };
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.played(1, 1);
}

#[test]
fn no_other_server_is_tried_once_one_has_taken_mail() {
    // The first one takes MAIL, breaks off at RCPT, and is not there any more.
    let listener = support::Listening::new();
    let port = listener.port();
    let first = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"220 ready\r\n").unwrap();
        for answer in ["250 mx\r\n", "250 ok\r\n"] {
            lines.read_line(&mut String::new()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
        lines.read_line(&mut String::new()).unwrap();
    });
    let second = Provider::always(whole(&[BOB]));
    let open = |port| Server::at("127.0.0.1", "none", port).auth("none");
    let account = Account::new("home", ANN, &unique("pw")).smtp(open(port)).smtp(open(second.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("HELO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "451 ");
    first.join().unwrap();
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "451 ");
    assert_eq!(second.connections(), 0, "the message had begun elsewhere");
    // A new message is free to go there.
    client.ask_reply("RSET", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    assert_eq!(second.connections(), 1);
}

#[test]
fn senders_and_sign_ins_choose_the_account_as_the_contract_says() {
    let providers: Vec<_> = (0..2).map(|_| Provider::always(ends(takes("MAIL", &[BOB])))).collect();
    let account = |name: &str, address: &str, provider: &Provider| {
        Account::new(name, address, &unique("pw")).smtp(Server::at("127.0.0.1", "none", provider.port).auth("none"))
    };
    let home = account("home", ANN, &providers[0]);
    let work = account("work", "work@example.org", &providers[1]);
    let none = |home: Account, work: Account| Ostler::start(&TestCa::new(), &[home, work]);
    let counts = || (providers[0].connections(), providers[1].connections());
    let ostler = none(home.clone(), work.clone());
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    for (sender, expected) in [(ANN, (1, 0)), ("WORK@example.org", (1, 1)), (ANN, (2, 1))] {
        client.ask_reply(&format!("MAIL FROM:<{sender}>"), "250");
        client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        client.ask_reply("DATA", "354");
        client.send(mail::stuffed(MESSAGE));
        client.expect_reply("250 2.0.0 queued");
        // What follows waits for it.
        wait_for("the provider of the sender", || (counts() == expected).then_some(()));
    }
    let refusal = client.ask_reply("MAIL FROM:<>", "550 5.7.1 ");
    assert!(refusal.contains("home, work"), "{refusal}");
    // The AUTH name comes before the sender, the null sender included; one that is nobody's is as good as none.
    for (name, sender, expected) in [("work", ANN, (2, 2)), ("work", "", (2, 3)), ("nobody", ANN, (3, 3))] {
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO x", "250");
        client.ask("AUTH LOGIN", "334");
        use base64::Engine;
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        client.ask(&encoded(name), "334");
        client.ask(&encoded("whatever"), "235");
        client.ask_reply(&format!("MAIL FROM:<{sender}>"), "250");
        wait_for("the provider of the name", || (counts() == expected).then_some(()));
    }
    drop(ostler);
    let ostler = none(home, work.line("default = true"));
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    client.ask_reply("MAIL FROM:<>", "250");
    assert_eq!(counts(), (3, 4));
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    client.ask_reply("MAIL FROM:<joe@elsewhere.example>", "250");
    assert_eq!(counts(), (3, 5));
}

#[test]
fn the_size_a_provider_takes_is_known_to_the_second_session() {
    let host = Host::with(vec![whole(&[BOB]), whole(&[BOB])], "");
    let mut client = Client::greeted(host.ostler.smtp, "220 ");
    assert!(client.ask_reply("EHLO old-pc", "250").contains("250-SIZE\n"));
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    let mut client = Client::greeted(host.ostler.smtp, "220 ");
    assert!(client.ask_reply("EHLO old-pc", "250").contains("250-SIZE 1000000\n"));
    client.ask_reply(&format!("MAIL FROM:<{ANN}> SIZE=2000000"), "552 5.3.4 ");
}

#[test]
fn a_provider_that_hung_up_between_two_messages_is_opened_again_behind_the_gate() {
    let mut first: Part = whole(&[BOB]).into_iter().rev().skip(2).collect();
    first.reverse();
    first.push(Step::Close);
    let host = Host::with(vec![first, whole(&[BOB])], "");
    let mut client = host.hello();
    send_on(&mut client, &[BOB]);
    send_on(&mut client, &[BOB]);
    client.ask_reply("QUIT", "221");
    host.smtp.finished(1);
    assert_eq!((host.pop3.connections(), host.smtp.connections()), (1, 2));
}

#[test]
fn a_login_at_a_server_that_is_away_is_trouble_of_the_moment() {
    let smtp = Provider::start(vec![]);
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at("127.0.0.1", "none", nobody()))
        .smtp(Server::at("127.0.0.1", "none", smtp.port).auth("pop-before-smtp"));
    let ostler = Home::new(&TestCa::new(), &[account]).run();
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 4.4.1 ");
    assert_eq!(smtp.connections(), 0, "never before the login");
}
