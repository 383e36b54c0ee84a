//! The network goes away and comes back, in every way it can and at every point of a session.

use crate::played_provider::{
    ANN, BOB, Cable, Fault, LIMITS, PROVIDER, begin_data, completed, delete_one, fetch_half, go_on_to_data, greeted,
    heard_to_the_end, honest_fetch, honest_send, message, sign_in,
};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run, answer_pop3, answer_smtp};
use crate::support::{require, unique};

/// An ostler at one end of the cable and its provider at the other.
struct Line {
    run: Run,
    home: Home,
    pop: Hand,
    smtp: Hand,
    cable: Cable,
    fault: Fault,
}

impl Line {
    fn start(fault: Fault, smtp_lines: &[&str]) -> Self {
        let cable = Cable::lay();
        let (pop, smtp) = (cable.server(), cable.server());
        let mut sending = Server::at(PROVIDER, "none", smtp.port);
        for line in smtp_lines {
            sending = sending.line(line);
        }
        let account =
            Account::new("home", ANN, &unique("pw")).pop3(Server::at(PROVIDER, "none", pop.port)).smtp(sending);
        let home = Home::with_settings(&TestCa::new(), &[account], "", LIMITS).inside(&cable.near);
        let run = Run::start(&home, &["-v"]).ready();
        Self { run, home, pop, smtp, cable, fault }
    }

    fn pop3(&self) -> Client {
        greeted(self.cable.connect(self.home.pop3), "+OK")
    }

    fn smtp(&self) -> Client {
        greeted(self.cable.connect(self.home.smtp), "220 ")
    }

    fn breaks(&self) {
        self.cable.break_it(self.fault);
    }

    /// Whatever was broken is whole again, and the next sessions are honest ones.
    fn mended(&self) {
        self.cable.mend(self.fault);
        self.honest();
        if self.fault == Fault::Moved {
            self.cable.move_back();
        }
    }

    fn honest(&self) {
        honest_fetch(self.pop3(), &self.pop);
        honest_send(self.smtp(), &self.smtp);
    }

    /// Gone when the client comes: it is told so in time, and the same connection is served when it is back.
    fn at_sign_in(&self) {
        let (mut pop, mut smtp) = (self.pop3(), self.smtp());
        self.breaks();
        pop.ask("USER home", "+OK");
        pop.ask("PASS x", "-ERR [SYS/TEMP] ");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 ");
        self.cable.mend(self.fault);
        self.pop.drain();
        let (_pop, _server) = sign_in(pop, &self.pop);
        self.smtp.drain();
        go_on_to_data(&mut smtp, None, &self.smtp);
        smtp.expect_reply("354");
        drop(smtp);
        self.mended_again();
    }

    fn mended_again(&self) {
        self.honest();
        if self.fault == Fault::Moved {
            self.cable.move_back();
        }
    }

    /// In a message that is being fetched, with another marked for deletion: it never looks whole, nothing is deleted.
    fn in_a_fetch(&self) {
        let (mut client, mut server) = sign_in(self.pop3(), &self.pop);
        delete_one(&mut client, &mut server);
        fetch_half(&mut client, &mut server);
        self.breaks();
        server.try_send("second half\r\n.\r\n");
        let rest = client.rest();
        assert!(!rest.ends_with(b"\r\n.\r\n") && rest != b".\r\n", "{}", String::from_utf8_lossy(&rest));
        drop(client);
        self.mended();
        let heard = heard_to_the_end(server);
        assert!(!String::from_utf8_lossy(&heard).contains("QUIT"), "a deletion was committed");
    }

    /// In the body of a message that is being sent: refused for now, and the provider has never seen its end.
    fn in_a_send(&self) {
        let (mut client, mut server) = begin_data(self.smtp(), &self.smtp);
        client.send("Subject: long\r\n\r\nfirst half\r\n");
        server.expect("Subject: long");
        self.breaks();
        client.send("second half\r\n");
        // Behind the end of the message: more than a network's buffers hold must not be needed to find out.
        client.send(".\r\n");
        let verdict = client.reply();
        assert!(verdict.starts_with("451 "), "{verdict}");
        self.mended();
        // The end of it had left, so its outcome was called unknown; more than once it never comes.
        let heard = heard_to_the_end(server);
        assert!(completed(&heard) == 0 || verdict.contains("unknown"), "{verdict}");
        assert!(completed(&heard) <= 1);
    }

    /// Behind the end of a message: the outcome is unknown, and nobody says the message again.
    fn behind_the_dot(&self) {
        let (mut client, mut server) = begin_data(self.smtp(), &self.smtp);
        client.send("Subject: once\r\n\r\n.\r\n");
        message(&mut server);
        self.breaks();
        server.try_send("250 2.0.0 queued\r\n");
        let verdict = client.reply();
        assert!(verdict.starts_with("451 ") && verdict.contains("outcome is unknown"), "{verdict}");
        self.cable.mend(self.fault);
        assert_eq!(self.smtp.drain(), 0, "somebody came by himself");
        self.mended_again();
        assert_eq!(completed(&heard_to_the_end(server)), 0);
    }

    /// In a session that is doing nothing: once back, the session goes on, or where its address is gone, the next does.
    fn in_idle_sessions(&self) {
        let (mut pop, mut pop_server) = sign_in(self.pop3(), &self.pop);
        let (mut smtp, mut smtp_server) = begin_data(self.smtp(), &self.smtp);
        smtp.send("Subject: first\r\n\r\n.\r\n");
        message(&mut smtp_server);
        smtp_server.say("250 2.0.0 queued");
        smtp.expect_reply("250 ");
        self.breaks();
        self.cable.mend(self.fault);
        if self.fault == Fault::Moved {
            pop.say("STAT");
            // An answer nobody waits for any more is no answer: the end, or an error first.
            let rest = String::from_utf8_lossy(&pop.rest()).into_owned();
            assert!(rest.is_empty() || rest.starts_with("-ERR"), "{rest}");
            drop(smtp);
        } else {
            pop.say("STAT");
            answer_pop3(&mut pop_server, "STAT");
            pop_server.say("+OK 1 20");
            pop.expect("+OK 1 20");
            let mut smtp_server = go_on_to_data(&mut smtp, Some(smtp_server), &self.smtp);
            smtp.expect_reply("354");
            smtp.send("Subject: second\r\n\r\n.\r\n");
            assert_eq!(message(&mut smtp_server), b"Subject: second\r\n\r\n.\r\n");
            smtp_server.say("250 2.0.0 queued");
            smtp.expect_reply("250 ");
        }
        self.mended_again();
    }

    fn everywhere(mut self) {
        self.honest();
        self.at_sign_in();
        self.in_a_fetch();
        self.in_a_send();
        self.behind_the_dot();
        self.in_idle_sessions();
        self.run.end_well();
    }
}

#[test]
fn a_cable_that_is_pulled_and_put_back() {
    require!("world");
    Line::start(Fault::Pulled, &[]).everywhere();
}

#[test]
fn a_network_card_that_is_switched_off_and_on() {
    require!("world");
    Line::start(Fault::Off, &[]).everywhere();
}

#[test]
fn a_network_that_swallows_everything_silently() {
    require!("world");
    Line::start(Fault::Swallowed, &[]).everywhere();
}

#[test]
fn a_computer_that_moves_to_another_network() {
    require!("world");
    Line::start(Fault::Moved, &[]).everywhere();
}

/// The provider's gate knows the old address only.
#[test]
fn after_a_move_to_another_network_the_gate_is_opened_anew() {
    require!("world");
    let mut line = Line::start(Fault::Moved, &["auth = \"pop-before-smtp\"", "fresh = \"1h\""]);
    let send = |line: &Line, logs_in: bool| {
        let mut client = line.smtp();
        client.ask_reply("EHLO old-pc", "250");
        client.say(&format!("MAIL FROM:<{ANN}>"));
        if logs_in {
            let mut login = line.pop.pop3("QUIT");
            login.say("+OK bye");
            assert!(login.log().contains("PASS"), "{}", login.log());
        }
        let mut server = line.smtp.smtp("MAIL");
        assert_eq!(line.pop.drain(), 0);
        server.say("250 2.1.0 ok");
        client.expect_reply("250");
        client.say(&format!("RCPT TO:<{BOB}>"));
        answer_smtp(&mut server, "RCPT");
        server.say("250 2.1.5 ok");
        client.expect_reply("250");
    };
    send(&line, true);
    send(&line, false);
    line.breaks();
    line.cable.mend(Fault::Moved);
    send(&line, true);
    send(&line, false);
    line.run.end_well();
}
