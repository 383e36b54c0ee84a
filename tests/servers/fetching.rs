//! POP3 through ostler from Dovecot.

use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::{mail, require, unique, wait_for};
use crate::{ANN, BOB};

/// A mailbox with two messages in it.
fn mailbox() -> (TestCa, Dovecot, String, [Vec<u8>; 2]) {
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    let messages = [mail::tricky("first"), mail::tricky("second")];
    messages.iter().for_each(|message| dovecot.deliver(ANN, message));
    (ca, dovecot, password, messages)
}

fn signed_in(port: u16) -> Client {
    let mut pop = Client::greeted(port, "+OK");
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask("PASS whatever-the-old-program-has", "+OK");
    pop
}

#[test]
fn mail_comes_unchanged_over_tls_from_the_first_byte() {
    require!("dovecot");
    let (ca, dovecot, password, messages) = mailbox();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);
    assert_eq!(client::fetch(ostler.pop3, ANN, "not the password"), messages);
    assert_eq!(dovecot.logins().len(), 1, "one sign-in by a client is one at the provider");
    dovecot.wait_for_log(&["Login:", "TLS"]);
}

#[test]
fn mail_comes_unchanged_after_stls() {
    require!("dovecot");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).refuse_plain_text().start();
    let message = mail::tricky("stls");
    dovecot.deliver(ANN, &message);
    let server = Server::at(dovecot.host, "starttls", dovecot.pop3);
    let ostler = Ostler::start(&ca, &[Account::new("home", ANN, &password).pop3(server)]);
    assert_eq!(client::fetch(ostler.pop3, ANN, ""), [message]);
    dovecot.wait_for_log(&["Login:", "TLS"]);
}

#[test]
fn mail_comes_without_tls_where_the_file_says_none() {
    require!("dovecot");
    let (ca, dovecot, password, messages) = mailbox();
    let account = Account::new("home", ANN, &password).pop3(Server::new("none", dovecot.pop3));
    let ostler = Ostler::start(&ca, &[account]);
    assert_eq!(client::fetch(ostler.pop3, ANN, "x"), messages);
}

#[test]
fn an_account_answers_to_its_name_its_addresses_and_eudoras_way_of_writing_them() {
    require!("dovecot");
    let (ca, dovecot, password, _) = mailbox();
    let account = Account::new("home", ANN, &password).line("aliases = [\"ann.lee@example.net\"]");
    let ostler = Ostler::start(&ca, &[account.pop3(Server::new("tls", dovecot.pop3s))]);
    let names = ["home", "HOME", "ann@example.org", "Ann@Example.ORG", "ann.lee@example.net", "ann%example.org"];
    for name in names.into_iter().chain(["ann#example.org", "ann@example.org@127.0.0.1", "ann@example.org@localhost"]) {
        assert_eq!(client::fetch(ostler.pop3, name, "x").len(), 2, "{name}");
    }
}

#[test]
fn several_accounts_share_a_port_and_never_each_others_mail() {
    require!("dovecot");
    let ca = TestCa::new();
    let (anns, bobs) = (unique("pw"), unique("pw"));
    // One server for both, and one of its own for the third.
    let shared = Dovecot::builder().user(ANN, &anns).user(BOB, &bobs).cert(ca.localhost()).start();
    let other = Dovecot::builder().user("carol", &anns).cert(ca.localhost()).start();
    let messages = ["for ann", "for bob", "for carol"].map(mail::tricky);
    shared.deliver(ANN, &messages[0]);
    shared.deliver(BOB, &messages[1]);
    other.deliver("carol", &messages[2]);
    let accounts = [
        Account::new("ann", ANN, &anns).pop3(Server::new("tls", shared.pop3s)),
        Account::new("bob", BOB, &bobs).pop3(Server::new("starttls", shared.pop3)),
        Account::new("carol", "carol@example.net", &anns)
            .line("username = \"carol\"")
            .pop3(Server::new("tls", other.pop3s)),
    ];
    let ostler = Ostler::start(&ca, &accounts);
    std::thread::scope(|scope| {
        for (name, message) in ["ann", "bob", "carol"].into_iter().zip(&messages) {
            for _ in 0..4 {
                let port = ostler.pop3;
                scope.spawn(move || assert_eq!(client::fetch(port, name, "x"), [message.as_slice()], "{name}"));
            }
        }
    });
    let mut stranger = Client::greeted(ostler.pop3, "+OK");
    let refusal = stranger.ask("USER joe", "-ERR [AUTH]");
    for name in ["joe", "ann", "bob", "carol"] {
        assert!(refusal.contains(name), "{refusal}");
    }
}

#[test]
fn deletions_happen_when_the_client_said_quit_and_only_then() {
    require!("dovecot");
    let (ca, dovecot, password, messages) = mailbox();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);

    let mut gone = signed_in(ostler.pop3);
    gone.ask("DELE 1", "+OK");
    drop(gone);
    dovecot.wait_for_log(&["del=0/2"]);
    assert_eq!(dovecot.mailbox(ANN).len(), 2);

    let mut undone = signed_in(ostler.pop3);
    undone.ask("DELE 1", "+OK");
    undone.ask("RSET", "+OK");
    undone.ask("QUIT", "+OK");
    undone.expect_end();
    assert_eq!(dovecot.mailbox(ANN).len(), 2);

    let mut done = signed_in(ostler.pop3);
    done.ask("DELE 1", "+OK");
    done.ask("QUIT", "+OK");
    done.expect_end();
    assert_eq!(dovecot.mailbox(ANN), [messages[1].clone()]);

    // Eudora for the Macintosh does not wait for the answer.
    let mut hasty = signed_in(ostler.pop3);
    hasty.ask("DELE 1", "+OK");
    hasty.say("QUIT");
    drop(hasty);
    wait_for("the last message to go", || dovecot.mailbox(ANN).is_empty().then_some(()));
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    require!("dovecot");
    let (ca, dovecot, password, messages) = mailbox();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.send(format!(
        "USER {ANN}\r\nPASS x\r\nSTAT\r\nLIST 1\nUIDL\r\nRETR 1\r\nRETR 2\r\nTOP 2 1\r\nNOOP\r\nRETR 9\r\nQUIT\r\n"
    ));
    pop.expect("+OK");
    pop.expect("+OK");
    pop.expect(&format!("+OK 2 {}", messages.iter().map(Vec::len).sum::<usize>()));
    pop.expect(&format!("+OK 1 {}", messages[0].len()));
    assert_eq!(pop.expect_body().split(|byte| *byte == b'\n').count(), 3);
    assert_eq!(pop.expect_body(), messages[0]);
    assert_eq!(pop.expect_body(), messages[1]);
    let top = pop.expect_body();
    assert!(messages[1].starts_with(&top) && top.ends_with(b"\r\n\r\n.\r\n"), "{}", String::from_utf8_lossy(&top));
    pop.expect("+OK");
    pop.expect("-ERR");
    pop.expect("+OK");
    pop.expect_end();
}

#[test]
fn the_list_of_abilities_holds_nothing_that_ostler_cannot_do() {
    require!("dovecot");
    let (ca, dovecot, password, _) = mailbox();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    let list = |pop: &mut Client| {
        pop.say("CAPA");
        String::from_utf8(pop.expect_body()).unwrap()
    };
    let before = list(&mut pop);
    for word in ["USER", "UIDL", "TOP", "RESP-CODES", "AUTH-RESP-CODE"] {
        assert!(before.lines().any(|line| line == word), "{word} is not in {before:?}");
    }
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask("PASS x", "+OK");
    let after = list(&mut pop);
    for list in [&before, &after] {
        let shown = |word: &&str| list.lines().any(|line| line.split(' ').next() == Some(word));
        assert!(!["STLS", "PIPELINING", "SASL"].iter().any(shown), "{list:?}");
    }
    pop.ask("QUIT", "+OK");
}

#[test]
fn a_refused_password_says_whose_and_is_tried_as_often_as_the_client_asks() {
    require!("dovecot");
    let (ca, dovecot, _, _) = mailbox();
    let account = Account::new("home", ANN, &unique("wrong")).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);
    for _ in 0..3 {
        let mut pop = Client::greeted(ostler.pop3, "+OK");
        pop.ask(&format!("USER {ANN}"), "+OK");
        let refusal = pop.ask("PASS x", "-ERR [AUTH]");
        assert!(refusal.len() <= 510 && refusal.is_ascii(), "{refusal}");
        assert!(refusal.contains("localhost"), "names no server: {refusal}");
    }
    // Dovecot writes its lines when it likes.
    let tries = || dovecot.log().lines().filter(|line| line.contains("auth failed")).count();
    crate::support::wait_for("three refusals in dovecot's log", || (tries() >= 3).then_some(()));
    assert_eq!(tries(), 3, "a refused password is not tried again by itself:\n{}", dovecot.log());
}

#[test]
fn a_bad_certificate_is_trouble_and_never_a_wrong_password() {
    require!("dovecot");
    let ca = TestCa::new();
    for cert in [ca.wrong_name(), ca.expired(), TestCa::self_signed()] {
        let password = unique("pw");
        let dovecot = Dovecot::builder().user(ANN, &password).cert(cert).start();
        for (security, port) in [("tls", dovecot.pop3s), ("starttls", dovecot.pop3)] {
            let account = Account::new("home", ANN, &password).pop3(Server::new(security, port));
            let ostler = Ostler::start(&ca, &[account]);
            let mut pop = Client::greeted(ostler.pop3, "+OK");
            pop.ask(&format!("USER {ANN}"), "+OK");
            let refusal = pop.ask("PASS x", "-ERR [SYS/TEMP]");
            assert!(refusal.contains("certificate"), "{refusal}");
        }
        assert_eq!(dovecot.logins().len(), 0);
    }
}

#[test]
fn a_mailbox_in_use_is_passed_on_in_the_servers_words() {
    require!("dovecot");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).lock_sessions().start();
    let mut holder = Client::greeted(dovecot.pop3, "+OK");
    holder.ask(&format!("USER {ANN}"), "+OK");
    holder.ask(&format!("PASS {password}"), "+OK");
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = Ostler::start(&ca, &[account]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask("PASS x", "-ERR [IN-USE]");
    holder.ask("QUIT", "+OK");
}

#[test]
fn a_door_of_its_own_needs_no_name() {
    require!("dovecot");
    let (ca, dovecot, password, messages) = mailbox();
    let own = crate::support::free_port();
    let account = Account::new("home", ANN, &password)
        .line(&format!("doors = {{ pop3 = \"127.0.0.1:{own}\" }}"))
        .pop3(Server::new("tls", dovecot.pop3s));
    let _ostler = Home::new(&ca, &[account]).run();
    assert_eq!(client::fetch(own, "nobody-in-particular", "x"), messages);
}
