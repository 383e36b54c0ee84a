//! `ostler quit`: ends the running ostler as a signal does, and comes back when it is gone.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::TcpStream;
use std::process::Output;

use support::ca::TestCa;
use support::client::Client;
use support::ostler::{Account, Home, Server};
use support::process::{command, run, said};
use support::running::{Hand, Run, answer_pop3};
use support::{unique, wait_for};

fn home(pop3: u16) -> Home {
    let account = Account::new("home", "ann@example.org", &unique("pw")).pop3(Server::new("none", pop3));
    Home::with_settings(&TestCa::new(), &[account], "", "")
}

fn quit(home: &Home) -> Output {
    home.ostler(&["quit"], "")
}

fn is(output: &Output, code: i32, out: &str, err: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), out, "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(err), "{said}");
}

#[test]
fn with_none_running_it_says_so() {
    let home = home(1);
    is(&quit(&home), 1, "", "ostler is not running");
}

#[test]
fn it_ends_and_at_once_another_can_start() {
    let home = home(1);
    // Often, since the moment between the last answer and the end is short.
    for _ in 0..5 {
        let mut ostler = Run::start(&home, &[]).ready();
        let mut idle = Client::greeted(home.pop3, "+OK");
        is(&quit(&home), 0, "ostler has ended\n", "");
        assert!(TcpStream::connect(("127.0.0.1", home.pop3)).is_err());
        idle.expect("-ERR ");
        idle.expect_end();
        assert_eq!(ostler.ended().code(), Some(0), "{}", ostler.err.text());
    }
    is(&quit(&home), 1, "", "ostler is not running");
}

#[test]
fn a_message_being_fetched_is_finished_first_unless_it_is_asked_again() {
    for asks_again in [false, true] {
        let server = Hand::new();
        let home = home(server.port);
        let mut ostler = Run::start(&home, &[]).ready();
        let mut pop = Client::greeted(home.pop3, "+OK");
        let mut mailbox = server.let_in(&mut pop);
        pop.say("RETR 1");
        answer_pop3(&mut mailbox, "RETR");
        mailbox.send("+OK\r\nfirst half\r\n");
        pop.expect("+OK");
        pop.expect("first half");
        std::thread::scope(|scope| {
            let first = scope.spawn(|| quit(&home));
            wait_for("the door to close", || TcpStream::connect(("127.0.0.1", home.pop3)).is_err().then_some(()));
            assert!(!ostler.has_ended() && !first.is_finished());
            if asks_again {
                is(&quit(&home), 0, "ostler has ended\n", "");
            } else {
                mailbox.send("second half\r\n.\r\n");
                pop.expect("second half");
                pop.expect(".");
                drop(pop);
            }
            is(&first.join().unwrap(), 0, "ostler has ended\n", "");
        });
        assert_eq!(ostler.ended().code(), Some(0));
    }
}

#[test]
fn a_killed_one_leaves_nothing_to_wait_for() {
    let home = home(1);
    let mut ostler = Run::start(&home, &[]).ready();
    run(&mut command("kill", ["-9", &ostler.id().to_string()]), "");
    ostler.ended();
    is(&quit(&home), 1, "", "ostler is not running");
}
