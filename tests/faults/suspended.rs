//! A process that is stopped, as with a laptop that sleeps: time goes on meanwhile.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::played_provider::{LIMITS, Rig, begin_data, completed, gated, go_on_to_data, logs_in, message};
use crate::support::client::Client;
use crate::support::running::answer_pop3;
use crate::support::wait_for;

/// Longer than the limits the tests set, and than the system needs to stop somebody.
const ASLEEP: Duration = Duration::from_millis(1600);

fn sleeps(rig: &mut Rig, meanwhile: impl FnOnce()) {
    rig.run.signal(Signal::STOP);
    meanwhile();
    let began = Instant::now();
    wait_for("the end of the night", || (began.elapsed() >= ASLEEP).then_some(()));
    rig.run.signal(Signal::CONT);
}

#[test]
fn a_login_that_grew_old_in_sleep_is_made_anew() {
    let mut rig = gated("1s", |_| {});
    assert!(logs_in(&rig));
    sleeps(&mut rig, || {});
    assert!(logs_in(&rig));
    rig.run.end_well();
}

#[test]
fn a_login_that_is_young_enough_still_holds_after_sleep() {
    let mut rig = gated("1h", |_| {});
    assert!(logs_in(&rig));
    sleeps(&mut rig, || {});
    assert!(!logs_in(&rig));
    rig.run.end_well();
}

#[test]
fn clients_that_were_idle_longer_than_they_may_are_ended_and_the_next_is_served() {
    let mut rig = Rig::with("\n[timeouts]\nidle = \"1s\"\nlogin = \"1s\"\n", |_| {});
    let (mut signed_in, mut server) = rig.signed_in();
    let mut silent = rig.pop3();
    let mut sender = rig.smtp();
    sleeps(&mut rig, || {});
    assert!(!String::from_utf8_lossy(&signed_in.rest()).contains("+OK"));
    assert!(!String::from_utf8_lossy(&server.rest()).contains("QUIT"));
    silent.rest();
    sender.rest();
    rig.honest();
    rig.run.end_well();
}

#[test]
fn what_was_said_in_sleep_is_answered_or_the_connection_ends() {
    let mut rig = Rig::start();
    let (mut client, mut server) = rig.signed_in();
    let mut sender = rig.smtp();
    sleeps(&mut rig, || {
        client.say("STAT");
        sender.say("EHLO old-pc");
    });
    answer_pop3(&mut server, "STAT");
    server.say("+OK 1 20");
    client.expect("+OK 1 20");
    sender.expect_reply("250");
    rig.honest();
    rig.run.end_well();
}

/// Everything a provider may have done with the connections it had.
#[test]
fn connections_that_died_in_sleep_are_not_used() {
    for reset in [false, true] {
        let mut rig = Rig::start();
        let end = |server: Client| if reset { server.reset() } else { drop(server) };
        // One that is waiting for its second message, one that reads mail, one whose password is still being typed.
        let (mut sender, mut mta) = begin_data(rig.smtp(), &rig.smtp);
        sender.send("Subject: first\r\n\r\n.\r\n");
        message(&mut mta);
        mta.say("250 2.0.0 queued");
        sender.expect_reply("250");
        let (mut reader, mailbox) = rig.signed_in();
        let mut typing = rig.pop3();
        typing.ask("USER home", "+OK");
        let mut early = rig.pop.pop3("USER");
        early.say("+OK");
        sleeps(&mut rig, || {
            end(mta);
            end(mailbox);
            end(early);
        });
        let mut mta = go_on_to_data(&mut sender, None, &rig.smtp);
        sender.expect_reply("354");
        sender.send("Subject: second\r\n\r\n.\r\n");
        assert_eq!(message(&mut mta), b"Subject: second\r\n\r\n.\r\n");
        mta.say("250 2.0.0 queued");
        sender.expect_reply("250");
        typing.say("PASS x");
        rig.pop.pop3("PASS").say("+OK in");
        typing.expect("+OK");
        reader.try_send("STAT\r\n");
        let rest = reader.rest();
        assert!(rest.is_empty() || rest.starts_with(b"-ERR"), "{}", String::from_utf8_lossy(&rest));
        drop(typing);
        rig.honest();
        rig.run.end_well();
    }
}

#[test]
fn a_body_that_slept_goes_on_or_is_refused_and_is_never_sent_twice() {
    for limits in ["", LIMITS] {
        let mut rig = Rig::with(&limits.replace("\"2s\"", "\"1s\""), |_| {});
        let (mut client, mut server) = rig.in_data();
        client.send("Subject: long\r\n\r\nfirst half\r\n");
        server.expect("Subject: long");
        sleeps(&mut rig, || client.send("second half\r\n.\r\n"));
        let rest = if limits.is_empty() {
            assert_eq!(message(&mut server), b"\r\nfirst half\r\nsecond half\r\n.\r\n");
            server.say("250 2.0.0 queued");
            client.expect_reply("250 2.0.0 queued");
            drop(client);
            server.rest()
        } else {
            // The limit had passed; the end of the message had come all the same. Either is honest.
            let mut heard = Vec::new();
            while let Some(line) = server.raw_line() {
                heard.extend_from_slice(&line);
                if line == b".\r\n" {
                    server.say("250 2.0.0 queued");
                    break;
                }
            }
            let verdict = client.try_reply().unwrap_or_default();
            assert_eq!(verdict.starts_with("250"), completed(&heard) == 1, "{verdict}");
            drop(client);
            server.rest()
        };
        assert_eq!(completed(&rest), 0);
        rig.honest();
        rig.run.end_well();
    }
}
