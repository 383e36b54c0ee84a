//! F16: after a MAIL that failed for now, the same answer to RCPT and DATA: programs that send on regardless show the last one.

use crate::sign_in::{ANN, BOB, greet, plain_said, secret};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::free_port;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};

/// A client that has said EHLO, and then a MAIL that fails for now with this code; and the reply.
fn mail(ostler: &Ostler, code: &str) -> (Client, String) {
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    let line = client.ask(&format!("MAIL FROM:<{ANN}>"), code);
    (client, line)
}

/// MAIL fails for now with this code, and what is said on regardless gets the same line.
fn assert_the_same_again(ostler: &Ostler, code: &str) {
    let (mut client, line) = mail(ostler, code);
    assert!(line.starts_with('4'), "{line}");
    for command in [&format!("RCPT TO:<{BOB}>"), "RCPT TO:<eve@example.com>", "RCPT TO:<>", "NOOP", "DATA", "DATA"] {
        let answer = client.ask(command, "");
        assert!(if command == "NOOP" { answer.starts_with("250 ") } else { answer == line }, "{command}: {answer}");
    }
    client.ask("QUIT", "221 ");
    for end in ["RSET", "EHLO old-pc", "HELO old-pc"] {
        let (mut client, _) = mail(ostler, "4");
        client.ask_reply(end, "250");
        client.ask_reply(&format!("RCPT TO:<{BOB}>"), "503 ");
        client.ask_reply("DATA", "503 ");
        client.ask("QUIT", "221 ");
    }
}

fn ostler(ca: &TestCa, secret: &str, server: Server) -> Ostler {
    let account = Account::new("home", ANN, secret).smtp(server);
    Home::with_settings(ca, &[account], "", "\n[timeouts]\ntls = \"300ms\"\ngreeting = \"300ms\"\nreply = \"300ms\"\n")
        .run()
}

#[test]
fn f16_a_server_that_is_not_there() {
    assert_the_same_again(&ostler(&TestCa::new(), &secret(), Server::new("tls", free_port())), "451 4.4.1 ");
    assert_the_same_again(&ostler(&TestCa::new(), &secret(), Server::at("nowhere.invalid", "tls", 1)), "451 4.4.3 ");
}

#[test]
fn f16_a_server_that_does_not_answer_in_time() {
    for silent in
        [vec![Step::Stall], vec![say("220 mx"), Step::Stall], greet("PLAIN").into_iter().chain([Step::Stall]).collect()]
    {
        let provider = Provider::always(silent);
        assert_the_same_again(&ostler(&TestCa::new(), &secret(), Server::new("none", provider.port)), "451 4.4.1 ");
    }
}

#[test]
fn f16_tls_that_cannot_be() {
    let ca = TestCa::new();
    let expired = Provider::always_tls(&ca.expired(), true, vec![Step::Stall]);
    assert_the_same_again(&ostler(&ca, &secret(), Server::new("tls", expired.port)), "454 4.7.5 ");
    let plain = Provider::always(vec![say("220 mx"), Step::Stall]);
    assert_the_same_again(&ostler(&ca, &secret(), Server::new("tls", plain.port)), "454 4.7.5 ");
    let no_starttls = Provider::always([greet("PLAIN"), vec![Step::Stall]].concat());
    assert_the_same_again(&ostler(&ca, &secret(), Server::new("starttls", no_starttls.port)), "454 4.7.5 ");
}

#[test]
fn f16_a_sign_in_that_fails_for_now() {
    let signed_in = |answer: &str| -> Part {
        let mut part = greet("PLAIN");
        part.extend([expect("AUTH PLAIN"), say(answer), Step::Stall]);
        part
    };
    for (answer, code) in [("454 4.7.0 later", "454 4.7.0 "), ("504 5.7.4 no", "454 4.7.0 "), ("334 ", "451 4.4.2 ")] {
        let provider = Provider::always(signed_in(answer));
        assert_the_same_again(&ostler(&TestCa::new(), &secret(), Server::new("none", provider.port)), code);
    }
    // No password to sign in with.
    let provider = Provider::always(greet("PLAIN"));
    let account = Account::new("home", ANN, "").keyring().line("password = { env = \"OSTLER_TEST_NOT_SET\" }");
    let account = account.smtp(Server::new("none", provider.port));
    assert_the_same_again(&Home::new(&TestCa::new(), &[account]).run(), "454 4.7.0 ");
}

#[test]
fn f16_the_providers_own_refusal_for_now() {
    let secret = secret();
    for said in
        ["451 4.7.1 Greylisted, come back in 5 minutes", "452 4.3.1 Insufficient system storage", "450 4.1.8 no MX"]
    {
        let mut part = [greet("PLAIN"), plain_said(&secret, "235 in")].concat();
        part.extend([expect("MAIL"), say(said), Step::Stall]);
        let provider = Provider::always(part);
        assert_the_same_again(&ostler(&TestCa::new(), &secret, Server::new("none", provider.port)), said);
    }
}

#[test]
fn f16_a_gate_that_does_not_open() {
    let (secret, smtp) = (secret(), Provider::always(vec![say("220 mx"), expect("EHLO"), say("250 mx"), Step::Stall]));
    let login = |answer: &str| -> Part {
        vec![say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say(answer), expect("QUIT"), say("+OK")]
    };
    for (pop3, code) in [
        (Provider::always(login("-ERR [SYS/TEMP] not now")), "4"),
        (Provider::always(vec![say("+OK"), expect("USER"), Step::Cut]), "451 4.4.2 "),
        (Provider::always(vec![say("-ERR [SYS/TEMP] closed for maintenance")]), "4"),
    ] {
        let account = Account::new("home", ANN, &secret)
            .pop3(Server::new("none", pop3.port))
            .smtp(Server::new("none", smtp.port).auth("pop-before-smtp"));
        let ostler = Home::new(&TestCa::new(), &[account]).run();
        assert_the_same_again(&ostler, code);
        // Nothing of the other server's language.
        assert!(!mail(&ostler, code).1.contains("-ERR"));
    }
}

#[test]
fn f16_a_refusal_for_good_is_none() {
    let secret = secret();
    let mut part = [greet("PLAIN"), plain_said(&secret, "235 in")].concat();
    part.extend([expect("MAIL"), say("550 5.7.1 not yours"), Step::Stall]);
    let provider = Provider::always(part);
    let ostler = ostler(&TestCa::new(), &secret, Server::new("none", provider.port));
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.1 ");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "503 ");
}
