//! Where a provider offers CHUNKING, bodies go by BDAT: a part plays the provider, or Postfix, Exim and Dovecot are it.

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::dovecot::Dovecot;
use crate::support::exim::{Exim, Wording};
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::postfix::Postfix;
use crate::support::provider::{Marks, Part, Provider, Step, expect, say};
use crate::support::tap::Tap;
use crate::support::{mail, require, unique, wait_for};
use crate::{ANN, BOB};

const MESSAGE: &[u8] = b"Subject: x\r\nDate: today\r\nMessage-ID: <1@x>\r\n\r\n.one\r\ntwo\r\n";

fn greet() -> Part {
    vec![
        say("220 mx"),
        expect("EHLO"),
        say("250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say("235 in"),
    ]
}

fn envelope() -> Part {
    vec![expect("MAIL"), expect("RCPT"), say("250 ok"), say("250 ok")]
}

fn piece(is_last: bool, said: &str) -> Part {
    vec![Step::ExpectPiece(is_last), say(said)]
}

/// A message to a provider that has not been seen to understand BDAT.
fn first_message() -> Part {
    [envelope(), piece(false, "250 2.0.0 go on"), piece(true, "250 2.0.0 queued")].concat()
}

fn by_data() -> Part {
    [envelope(), vec![expect("DATA"), say("354 go on"), Step::ExpectMessage, say("250 2.0.0 queued")]].concat()
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
        Self::with_line(parts, "")
    }

    fn with_line(parts: Vec<Part>, line: &str) -> Self {
        let provider = Provider::start(parts);
        let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", provider.port).line(line));
        let ostler = Ostler::start(&TestCa::new(), &[account]);
        let client = greeted(&ostler);
        Self { provider, ostler, client }
    }

    fn begin(&mut self) {
        self.client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        self.client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        self.client.ask_reply("DATA", "354");
    }

    fn send(&mut self, message: &[u8], answer: &str) {
        self.begin();
        self.client.send(mail::stuffed(message));
        self.client.expect_reply(answer);
    }

    /// The client leaves, and every part was played to its end, or to where the provider left by itself.
    fn end(mut self) -> Vec<Vec<u8>> {
        self.client.ask_reply("QUIT", "221");
        (0..self.provider.connections()).map(|number| self.provider.finished(number)).collect()
    }
}

fn greeted(ostler: &Ostler) -> Client {
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client
}

fn contains(said: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(said, part).is_some()
}

#[test]
fn a_body_is_one_piece_once_the_provider_is_known_to_take_them() {
    let next = [envelope(), piece(true, "250 2.0.0 queued")].concat();
    let mut desk = Desk::with(vec![[greet(), first_message(), next.clone(), next, bye()].concat()]);
    for _ in 0..3 {
        desk.send(MESSAGE, "250 2.0.0 queued");
    }
    let said = desk.end().remove(0);
    let whole = [format!("BDAT {} LAST\r\n", MESSAGE.len()).as_bytes(), MESSAGE].concat();
    assert_eq!(memchr::memmem::find_iter(&said, &whole).count(), 2, "{}", said.escape_ascii());
    assert!(contains(&said, b".one\r\nBDAT 5 LAST\r\ntwo\r\n") && !contains(&said, b"DATA\r\n\r\n"));
}

#[test]
fn a_large_body_leaves_in_pieces_and_its_last_one_waits_for_the_others() {
    let message = [MESSAGE, &b"0123456789abcde.\r\n".repeat(20_000)].concat();
    // What the client has not ended waits at ostler until it is more than this.
    let whole = Step::ExpectPieces(message.len() - 32 * 1024, "250 on");
    let marks = Marks::default();
    let first =
        [envelope(), piece(false, "250 on"), vec![whole, Step::Mark(marks.clone(), "all but the last")]].concat();
    let last = [piece(true, "250 2.0.0 queued"), bye()].concat();
    let mut desk = Desk::with(vec![[greet(), first, last].concat()]);
    desk.begin();
    let stuffed = mail::stuffed(&message);
    let (body, end) = stuffed.split_at(stuffed.len() - 3);
    desk.client.send(body);
    wait_for("all but the last piece", || (!marks.all().is_empty()).then_some(()));
    desk.client.send(end);
    desk.client.expect_reply("250 2.0.0 queued");
    let said = desk.end().remove(0);
    let mut body = Vec::new();
    let mut rest = &said[memchr::memmem::find(&said, b"BDAT").unwrap()..];
    while let Some(line) = rest.strip_prefix(b"BDAT ") {
        let end = memchr::memchr(b'\n', line).unwrap();
        let octets: usize =
            std::str::from_utf8(&line[..end]).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(octets > 0 && octets <= 64 * 1024);
        body.extend_from_slice(&line[end + 1..][..octets]);
        rest = &line[end + 1 + octets..];
    }
    assert!(body == message);
}

#[test]
fn a_provider_that_trips_over_bdat_gets_the_message_by_data_and_the_next_ones_too() {
    for tripped in [
        piece(false, "502 5.5.2 Error: command not recognized"),
        [piece(false, "500 what?"), vec![say("500 what?"), say("500 what?")]].concat(),
        [piece(false, "503 bad sequence"), vec![Step::Close]].concat(),
        [piece(false, "421 4.7.0 too many errors"), vec![Step::Close]].concat(),
        vec![Step::ExpectPiece(false), Step::Close],
        vec![Step::ExpectPiece(false), Step::Reset],
        vec![expect("BDAT"), Step::Cut],
    ] {
        let first = [greet(), envelope(), tripped].concat();
        let second = [greet(), by_data(), by_data(), bye()].concat();
        let mut desk = Desk::with(vec![first, second, [greet(), by_data(), bye()].concat()]);
        desk.send(MESSAGE, "250 2.0.0 queued");
        desk.send(MESSAGE, "250 2.0.0 queued");
        desk.client.ask_reply("QUIT", "221");
        let said = desk.provider.over(1).received;
        assert_eq!(memchr::memmem::find_iter(&said, &mail::stuffed(MESSAGE)).count(), 2, "{}", said.escape_ascii());
        assert!(!contains(&desk.provider.over(0).received, b"LAST"));
        // It is remembered for the next client, too.
        desk.client = greeted(&desk.ostler);
        desk.send(MESSAGE, "250 2.0.0 queued");
        assert_eq!(desk.provider.connections(), 3);
        desk.ostler.expect_log("trips over BDAT");
    }
}

#[test]
fn a_large_body_goes_on_by_data_in_its_middle() {
    let message = [MESSAGE, &b".x\r\n".repeat(50_000)].concat();
    let first = [greet(), envelope(), piece(false, "502 no")].concat();
    let mut desk = Desk::with(vec![first, [greet(), by_data(), bye()].concat()]);
    desk.begin();
    let wire = mail::stuffed(&message);
    let (begin, rest) = wire.split_at(100_001);
    desk.client.send_silently(begin);
    desk.provider.over(0);
    desk.client.send_silently(rest);
    desk.client.expect_reply("250 2.0.0 queued");
    assert!(contains(&desk.end()[1], &wire));
}

#[test]
fn a_body_that_no_data_takes_either_is_refused_behind_its_dot() {
    let first = [greet(), envelope(), piece(false, "502 no")].concat();
    let no =
        vec![expect("MAIL"), expect("RCPT"), say("250 ok"), say("450 4.2.0 later"), bye().remove(0), bye().remove(1)];
    let mut desk = Desk::with(vec![first, [greet(), no].concat()]);
    desk.send(MESSAGE, "451 4.3.0 the provider was asked again on a new connection and refuses now: 450 4.2.0 later");
    desk.end();
}

#[test]
fn a_refused_piece_is_told_behind_the_dot_and_nothing_is_said_again() {
    for said in ["552 5.3.4 too big", "451 4.3.0 no room", "554 5.7.1 no"] {
        for pieces in [piece(false, said), [piece(false, "250 on"), piece(true, said)].concat()] {
            let mut desk =
                Desk::with(vec![[greet(), envelope(), pieces].concat(), [greet(), first_message()].concat()]);
            desk.send(MESSAGE, said);
            assert_eq!(desk.provider.connections(), 1);
        }
        let known = [greet(), first_message(), envelope(), piece(false, said)].concat();
        let mut desk = Desk::with(vec![known, [greet(), envelope(), piece(true, "250 2.0.0 queued"), bye()].concat()]);
        desk.send(MESSAGE, "250 2.0.0 queued");
        desk.send(&[MESSAGE, &b"x\r\n".repeat(30_000)].concat(), said);
        desk.send(MESSAGE, "250 2.0.0 queued");
        let told = desk.end();
        assert_eq!(memchr::memmem::find_iter(&told[0], b"LAST").count(), 1, "no end of a refused message");
    }
}

#[test]
fn a_provider_lost_at_the_last_piece_leaves_the_outcome_unknown() {
    let first = [greet(), envelope(), piece(false, "250 on"), vec![Step::ExpectPiece(true), Step::Close]].concat();
    let next = [greet(), first_message(), envelope(), vec![Step::ExpectPiece(true), Step::Close]].concat();
    let mut desk = Desk::with(vec![first, next]);
    desk.send(MESSAGE, "451 4.4.2 the outcome is unknown");
    desk.send(MESSAGE, "250 2.0.0 queued");
    desk.send(MESSAGE, "451 4.4.2 the outcome is unknown");
    assert_eq!(desk.end().len(), 2, "nothing is said again");
}

#[test]
fn a_yes_too_many_is_no_answer_to_the_message() {
    for said in ["250 on\r\n250 2.0.0 queued", "250 on\r\n250-2.0.0", "354 on", "250-on\r\n550 no", "hello"] {
        let part = [greet(), envelope(), piece(false, said), vec![Step::Stall]].concat();
        let provider = Provider::start(vec![part]);
        let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", provider.port));
        let ostler = Home::with_settings(&TestCa::new(), &[account], "", "\n[timeouts]\ndata = \"2s\"\n").run();
        let mut client = greeted(&ostler);
        for line in [format!("MAIL FROM:<{ANN}>"), format!("RCPT TO:<{BOB}>")] {
            client.ask_reply(&line, "250");
        }
        client.ask_reply("DATA", "354");
        client.send(mail::stuffed(MESSAGE));
        client.expect_reply("451 ");
        assert!(!contains(&provider.over(0).received, b"LAST"), "{said}");
    }
}

#[test]
fn a_client_that_breaks_off_never_makes_the_provider_accept_what_it_sent() {
    let known = [greet(), first_message(), envelope(), vec![Step::Stall]].concat();
    let untried = [greet(), envelope(), piece(false, "250 on"), vec![Step::Stall]].concat();
    for (parts, sent_before) in [(known, 1), (untried, 0)] {
        for rest in [&b"half a"[..], &[MESSAGE, &b"x\r\n".repeat(40_000)].concat(), b"..\r\n."] {
            let mut desk = Desk::with(vec![parts.clone()]);
            (0..sent_before).for_each(|_| desk.send(MESSAGE, "250 2.0.0 queued"));
            desk.begin();
            desk.client.send_silently(rest);
            drop(desk.client);
            let said = desk.provider.over(0).received;
            assert_eq!(memchr::memmem::find_iter(&said, b"LAST").count(), sent_before, "{}", said.escape_ascii());
        }
    }
}

#[test]
fn a_provider_that_left_before_the_body_is_found_again() {
    let left = [greet(), first_message(), envelope(), vec![Step::Cut]].concat();
    let again = [greet(), envelope(), piece(true, "250 2.0.0 queued"), bye()].concat();
    let mut desk = Desk::with(vec![left, again]);
    desk.send(MESSAGE, "250 2.0.0 queued");
    desk.client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    desk.client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    desk.provider.over(0);
    desk.client.ask_reply("DATA", "354");
    desk.client.send(mail::stuffed(MESSAGE));
    desk.client.expect_reply("250 2.0.0 queued");
    desk.end();
}

#[test]
fn where_the_settings_say_so_bodies_go_by_data() {
    let mut desk = Desk::with_line(vec![[greet(), by_data(), bye()].concat()], "chunking = false");
    desk.send(MESSAGE, "250 2.0.0 queued");
    desk.end();
}

#[test]
fn without_pipelining_a_piece_waits_for_the_answer_to_the_last_one() {
    let greet = vec![
        say("220 mx"),
        expect("EHLO"),
        say("250-mx\r\n250-CHUNKING\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say("235 in"),
        expect("MAIL"),
        say("250 ok"),
        expect("RCPT"),
        say("250 ok"),
    ];
    let pieces = [piece(false, "250 on"), piece(false, "250 on"), piece(true, "250 2.0.0 queued"), bye()].concat();
    let mut desk = Desk::with(vec![[greet, pieces].concat()]);
    desk.send(&[MESSAGE, &b"x\r\n".repeat(30_000)].concat(), "250 2.0.0 queued");
    desk.end();
}

/// Messages of many sizes, and a session of three of them.
fn messages() -> Vec<Vec<u8>> {
    let of = |mark: &str, size: usize| {
        let mut message = mail::tricky(mark);
        while message.len() < size {
            message.extend_from_slice(b"..a line of its own.\r\n.\r\n");
        }
        message
    };
    vec![of("small", 0), of("next", 0), of("large", 300_000), of("last", 32 * 1024)]
}

fn send_all(ostler: &Ostler) {
    let mut client = greeted(ostler);
    for message in messages() {
        client.ask_reply(&format!("MAIL FROM:<{ANN}> BODY=8BITMIME"), "250");
        client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        client.ask_reply("DATA", "354");
        client.send_silently(&mail::stuffed(&message));
        client.expect_reply("250");
    }
    client.ask_reply("QUIT", "221");
}

fn assert_by_pieces(tap: &Tap) {
    let said = tap.said().into_iter().find(|said| contains(&said.by_client, b"BDAT")).expect("a session with BDAT");
    assert!(!contains(&said.by_client, b"DATA\r\nFrom") && !contains(&said.by_client, b"BINARYMIME"));
    assert_eq!(memchr::memmem::find_iter(&said.by_client, b" LAST\r\n").count(), messages().len());
}

/// Without the field that a server between ostler and the one that delivers puts on top.
fn without_received(mut delivery: mail::Delivery) -> mail::Delivery {
    let text = &delivery.content;
    assert!(text.starts_with(b"Received: "), "{}", text.escape_ascii());
    let lines = text.split_inclusive(|octet| *octet == b'\n').enumerate();
    let field = lines.take_while(|(number, line)| *number == 0 || line.starts_with(b"\t") || line.starts_with(b" "));
    let octets: usize = field.map(|(_, line)| line.len()).sum();
    delivery.content.drain(..octets);
    delivery
}

fn assert_arrived(deliveries: &[mail::Delivery]) {
    assert_eq!(deliveries.len(), messages().len());
    for message in messages() {
        let stored = mail::stored(&message);
        assert_eq!(deliveries.iter().filter(|delivery| delivery.content == stored).count(), 1);
    }
}

#[test]
fn postfix_takes_pieces_and_the_mail_is_unchanged() {
    require!("postfix");
    let postfix = Postfix::builder().start();
    let tap = Tap::before(postfix.plain);
    let account = Account::new("home", ANN, "unused-password").smtp(Server::new("none", tap.port).auth("none"));
    send_all(&Ostler::start(&TestCa::new(), &[account]));
    assert_by_pieces(&tap);
    assert_arrived(&postfix.deliveries());
}

#[test]
fn exim_takes_pieces_and_the_mail_is_unchanged() {
    require!("exim");
    let (_folder, relay_file) = Exim::relay_file();
    std::fs::write(&relay_file, "127.0.0.1\n").unwrap();
    let exim = Exim::start(Wording::Exim, &TestCa::new().localhost(), &relay_file);
    let tap = Tap::before(exim.port);
    let account = Account::new("home", ANN, "unused-password").smtp(Server::new("none", tap.port).auth("none"));
    send_all(&Ostler::start(&TestCa::new(), &[account]));
    assert_by_pieces(&tap);
    assert_arrived(&exim.deliveries());
}

#[test]
fn dovecot_takes_a_signed_in_users_pieces_and_the_mail_is_unchanged() {
    require!("dovecot", "dovecot-submission", "postfix");
    let password = unique("pw");
    let postfix = Postfix::builder().refuse("nobody@example.com", "550 5.1.1 nobody").start();
    let dovecot = Dovecot::builder().user(ANN, &password).submits_to(postfix.plain).start();
    let tap = Tap::before(dovecot.submission);
    let account = Account::new("home", ANN, &password).smtp(Server::new("none", tap.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    send_all(&ostler);
    assert_by_pieces(&tap);
    let deliveries: Vec<_> = postfix.deliveries().into_iter().map(without_received).collect();
    assert_arrived(&deliveries);
    // All of an envelope at once, with a recipient whom the server behind refuses.
    let mut client = greeted(&ostler);
    client.send(format!("MAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\n"));
    ["250", "250", "550 5.1.1", "354"].iter().for_each(|answer| drop(client.expect_reply(answer)));
    client.send(mail::stuffed(MESSAGE));
    client.expect_reply("250");
    client.ask_reply("QUIT", "221");
    assert_eq!(postfix.deliveries().len(), messages().len() + 1);
}

/// The round trips of the second message of a session: MAIL with RCPT, and the body.
#[test]
fn a_message_costs_two_round_trips() {
    let next = [envelope(), piece(true, "250 2.0.0 queued")].concat();
    let provider = Provider::start(vec![[greet(), first_message(), next, bye()].concat()]);
    let tap = Tap::before(provider.port);
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", tap.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let mut desk = Desk { client: greeted(&ostler), provider, ostler };
    desk.send(MESSAGE, "250 2.0.0 queued");
    let before = tap.said()[0].round_trips;
    desk.send(MESSAGE, "250 2.0.0 queued");
    wait_for("the answer to be noted", || (tap.said()[0].round_trips == before + 2).then_some(()));
    desk.end();
}
