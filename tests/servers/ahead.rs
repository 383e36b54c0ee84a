//! Messages are asked for before the client does, and the client sees no difference: a part plays the provider, or Dovecot is
//! it.

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{require, unique};
use crate::{ANN, Site};

/// Signs ostler in; the provider has these capabilities.
fn greet(capabilities: &str) -> Part {
    vec![
        say("+OK"),
        expect("CAPA"),
        say(&format!("+OK\r\nUSER\r\n{capabilities}.")),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK in"),
    ]
}

const PIPELINING: &str = "PIPELINING\r\n";

fn retr(number: u32) -> Part {
    vec![expect(&format!("RETR {number}")), message(number)]
}

fn message(number: u32) -> Step {
    say(&message_text(number))
}

fn message_text(number: u32) -> String {
    format!("+OK\r\nSubject: {number}\r\n\r\ntext\r\n.")
}

fn quit() -> Part {
    vec![expect("QUIT"), say("+OK bye")]
}

/// The answer to LIST: six messages.
fn sizes_text() -> String {
    let lines: String = (1..=6).map(|number| format!("{number} 30\r\n")).collect();
    format!("+OK\r\n{lines}.")
}

/// The second message in a row and the list, which are asked for together, and the other four messages after it.
fn second_and_the_rest() -> Part {
    let asked = (3..=6).map(|number| expect(&format!("RETR {number}")));
    // At once: in between the client could say something else, before which nothing is asked ahead.
    let both = say(&format!("{}\r\n{}", message_text(2), sizes_text()));
    [expect("RETR 2"), expect("LIST"), both].into_iter().chain(asked).collect()
}

struct Desk {
    provider: Provider,
    ostler: Ostler,
    client: Client,
}

impl Desk {
    fn with(capabilities: &str, line: &str, parts: &[Part]) -> Self {
        let ca = TestCa::new();
        let part = [&[greet(capabilities)], parts].concat().concat();
        let provider = Provider::start_tls(&ca.localhost(), vec![part]);
        let account = Account::new("home", ANN, &unique("pw")).line(line).pop3(Server::new("tls", provider.port));
        let ostler = Ostler::start(&ca, &[account]);
        Self { provider, client: signed_in(&ostler), ostler }
    }

    /// The client fetches a message.
    fn fetch(&mut self, number: u32) {
        self.client.say(&format!("RETR {number}"));
        assert_eq!(self.client.expect_body(), format!("Subject: {number}\r\n\r\ntext\r\n").as_bytes());
    }

    /// The client leaves, and the provider has heard all that it waited for.
    fn end(mut self) {
        self.client.ask("QUIT", "+OK bye");
        self.provider.finished(0);
    }
}

fn signed_in(ostler: &Ostler) -> Client {
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS x", "+OK");
    client
}

#[test]
fn after_two_messages_in_a_row_the_next_are_asked_for_in_one_flight() {
    let rest: Part = (3..=6).map(message).collect();
    let mut desk = Desk::with(PIPELINING, "", &[retr(1), second_and_the_rest(), rest, quit()]);
    (1..=6).for_each(|number| desk.fetch(number));
    desk.end();
}

#[test]
fn a_client_that_leaves_early_has_its_deletions_done() {
    let deletions = vec![expect("DELE 1"), expect("DELE 2")];
    let rest: Part = (3..=6).map(message).chain([say("+OK 1 gone"), say("+OK 2 gone")]).collect();
    let mut desk = Desk::with(PIPELINING, "", &[retr(1), second_and_the_rest(), deletions, rest, quit()]);
    desk.fetch(1);
    desk.fetch(2);
    // A deletion that comes before the list would end the reading ahead.
    desk.provider.received(0, "RETR 6");
    desk.client.send("DELE 1\r\nDELE 2\r\n");
    desk.client.expect("+OK 1 gone");
    desk.client.expect("+OK 2 gone");
    desk.end();
}

#[test]
fn where_a_fetch_counts_or_the_user_or_the_provider_does_not_want_it_nothing_is_asked_ahead() {
    for (capabilities, line) in [
        ("", ""),
        (PIPELINING, "read_ahead = false"),
        ("PIPELINING\r\nEXPIRE 0\r\n", ""),
        (PIPELINING, "provider = \"counting\""),
    ] {
        let ca = TestCa::new();
        let parts: Vec<Part> = [greet(capabilities)].into_iter().chain((1..=4).map(retr)).chain([quit()]).collect();
        let provider = Provider::start_tls(&ca.localhost(), vec![parts.concat()]);
        let account = Account::new("home", ANN, &unique("pw")).line(line).pop3(Server::new("tls", provider.port));
        let home = Home::new(&ca, &[account]);
        home.write_providers(
            "schema = 1\n[provider.counting]\npop3 = [{ host = \"pop.counting.example\" }]\nfetching = \"counts\"\n\
             smtp = [{ host = \"smtp.counting.example\" }]\n",
        );
        let ostler = home.run();
        let mut desk = Desk { provider, client: signed_in(&ostler), ostler };
        (1..=4).for_each(|number| desk.fetch(number));
        desk.end();
    }
}

#[test]
fn a_provider_that_breaks_off_in_a_message_ahead_breaks_the_connection_in_that_message() {
    let broken = vec![message(3), message(4), Step::Send(b"+OK\r\nSubject: 5\r\n\r\nte".to_vec()), Step::Close];
    let mut desk = Desk::with(PIPELINING, "", &[retr(1), second_and_the_rest(), broken]);
    desk.fetch(1);
    desk.fetch(2);
    desk.client.send("RETR 3\r\nRETR 4\r\nRETR 5\r\nRETR 6\r\n");
    let got = String::from_utf8(desk.client.rest()).unwrap();
    // As without: what came before the end as it came, or the reason in place of the first answer.
    let all = (3..=6).map(|number| format!("+OK\r\nSubject: {number}\r\n\r\ntext\r\n.\r\n")).collect::<String>();
    let until = all.find("xt\r\n.\r\n+OK\r\nSubject: 6").unwrap();
    assert!(got.starts_with("-ERR [SYS/TEMP]") || all[..until].starts_with(&got), "{got}");
}

#[test]
fn a_client_that_leaves_before_the_message_in_which_the_provider_broke_off_hears_of_no_failure() {
    for (last, deletes) in [(Step::Close, false), (say("* BYE"), false), (Step::Close, true)] {
        let broken = vec![message(3), message(4), last, Step::Stall];
        let mut desk = Desk::with(PIPELINING, "", &[retr(1), second_and_the_rest(), broken]);
        (1..=4).for_each(|number| desk.fetch(number));
        if deletes {
            desk.client.ask("DELE 1", "-ERR [SYS/TEMP]");
        } else {
            desk.client.ask("QUIT", "+OK");
        }
        desk.client.expect_end();
    }
}

#[test]
fn a_provider_that_does_not_answer_what_comes_together_is_asked_one_thing_at_a_time_the_next_time() {
    let deaf = vec![expect("RETR 2"), expect("LIST"), message(2), Step::Stall];
    let one_by_one: Part = (1..=4).flat_map(retr).collect();
    let (ca, first) = (TestCa::new(), [greet(PIPELINING), retr(1), deaf].concat());
    let provider = Provider::start_tls(&ca.localhost(), vec![first, [greet(PIPELINING), one_by_one, quit()].concat()]);
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", provider.port));
    let ostler = Home::with_settings(&ca, &[account], "", "\n[timeouts]\nreply = \"2s\"\n").run();
    let mut desk = Desk { provider, client: signed_in(&ostler), ostler };
    (1..=2).for_each(|number| desk.fetch(number));
    desk.client.ask("RETR 3", "-ERR [SYS/TEMP]");
    desk.ostler.expect_log("offers PIPELINING and did not answer what came to it together");
    desk.client = signed_in(&desk.ostler);
    (1..=4).for_each(|number| desk.fetch(number));
    desk.client.ask("QUIT", "+OK bye");
    desk.provider.finished(1);
    assert_eq!(desk.provider.sessions()[1].round_trips, 8, "CAPA, USER, PASS, four messages, QUIT");
}

#[test]
fn from_a_real_server_a_client_gets_the_same_with_and_without() {
    require!("dovecot");
    let site = Site::start();
    for number in 0..40_usize {
        let text = format!("line {number}\r\n..\r\n").repeat(number * number);
        site.dovecot.deliver(ANN, format!("Subject: {number}\r\n\r\n{text}").as_bytes());
    }
    let fetched = |line: &str| {
        let account = site.account().line(line);
        let ostler = Ostler::start(&site.ca, &[account]);
        let mut client = signed_in(&ostler);
        let mut all = Vec::new();
        // In order, then somewhere else, then back, then the rest.
        for number in (1..=12).chain([30, 31, 3, 13]).chain(14..=40) {
            client.say(&format!("RETR {number}"));
            all.push(client.expect_body());
            if number == 20 {
                all.push(client.ask("STAT", "+OK").into_bytes());
                client.say("TOP 22 0");
                all.push(client.expect_body());
            }
        }
        client.ask("DELE 40", "+OK");
        client.ask("RSET", "+OK");
        client.ask("QUIT", "+OK");
        all
    };
    let with = fetched("");
    assert!(with == fetched("read_ahead = false"));
    assert_eq!(site.dovecot.mailbox(ANN).len(), 40);
}
