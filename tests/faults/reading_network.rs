//! The network goes away and comes back while mail is read by IMAP, in every way it can and at every point of a session.

use crate::played_provider::{ANN, Cable, Fault, LIMITS, PROVIDER, greeted, heard_to_the_end};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run};
use crate::support::{require, unique};

/// An ostler at one end of the cable and its provider at the other.
struct Line {
    run: Run,
    home: Home,
    server: Hand,
    cable: Cable,
    fault: Fault,
}

impl Line {
    fn start(fault: Fault) -> Self {
        let cable = Cable::lay();
        let server = cable.server();
        let account = Account::new("home", ANN, &unique("pw")).imap(Server::at(PROVIDER, "none", server.port));
        let home = Home::with_settings(&TestCa::new(), &[account], "", LIMITS).inside(&cable.near);
        let run = Run::start(&home, &["-v"]).ready();
        Self { run, home, server, cable, fault }
    }

    fn client(&self) -> Client {
        greeted(self.cable.connect(self.home.imap), "* OK ostler")
    }

    /// A client that has signed in, and the server's side of it.
    fn signed_in(&self) -> (Client, Client) {
        self.server.drain();
        let mut client = self.client();
        let server = self.server.let_in_to_read(&mut client);
        (client, server)
    }

    fn breaks(&self) {
        self.cable.break_it(self.fault);
    }

    /// Whatever was broken is whole again.
    fn mended(&self) {
        self.cable.mend(self.fault);
        self.honest();
    }

    /// The next session is an honest one, and the computer is where it was at first.
    fn honest(&self) {
        let (mut client, mut server) = self.signed_in();
        client.say("2 LOGOUT");
        server.expect("2 LOGOUT");
        server.say("* BYE bye\r\n2 OK bye");
        client.expect("* BYE bye");
        client.expect("2 OK bye");
        if self.fault == Fault::Moved {
            self.cable.move_back();
        }
    }

    /// The last lines to a client whose provider is gone.
    fn ends(client: &mut Client, tag: &str) -> String {
        let no = client.expect(&format!("{tag} NO [UNAVAILABLE] ostler: "));
        client.expect("* BYE ostler: ");
        client.expect_end();
        no
    }

    /// Gone when the client comes: its program keeps its password, and hears at the next command what is wrong.
    fn at_sign_in(&self) {
        let mut client = self.client();
        self.breaks();
        client.ask("1 LOGIN home typed", "* CAPABILITY IMAP4rev1");
        client.expect("1 OK");
        client.say("2 SELECT INBOX");
        Self::ends(&mut client, "2");
        self.mended();
    }

    /// In a message that is being read: it never looks whole.
    fn in_a_fetch(&self) {
        let (mut client, mut server) = self.signed_in();
        client.say("2 FETCH 1 BODY[]");
        server.expect("2 FETCH");
        server.send("* 1 FETCH (BODY[] {100}\r\nfirst half\r\n");
        client.expect("* 1 FETCH (BODY[] {100}");
        client.expect("first half");
        self.breaks();
        server.try_send("second half\r\n");
        let rest = client.rest();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        self.mended();
    }

    /// Behind a message that is stored: the outcome is unknown, and nobody stores it again.
    fn behind_a_message(&self) {
        let (mut client, mut server) = self.signed_in();
        client.say("2 APPEND Sent {3}");
        server.expect("2 APPEND Sent {3}");
        server.say("+ go on");
        client.expect("+ ");
        client.say("abc");
        server.expect("abc");
        self.breaks();
        server.try_send("2 OK stored\r\n");
        let no = Self::ends(&mut client, "2");
        assert!(no.contains("outcome is unknown") && no.contains("before you store it again"), "{no}");
        self.cable.mend(self.fault);
        assert_eq!(self.server.drain(), 0, "somebody came by himself");
        self.honest();
        assert_eq!(heard_to_the_end(server), b"", "something was said after the message");
    }

    /// While the client waits for news: once back, they come; or where its address is gone, it hears that the session is over.
    fn in_idle(&self) {
        let (mut client, mut server) = self.signed_in();
        client.say("2 IDLE");
        server.expect("2 IDLE");
        server.say("+ idling");
        client.expect("+ ");
        self.breaks();
        self.cable.mend(self.fault);
        if self.fault == Fault::Moved {
            client.say("DONE");
            Self::ends(&mut client, "2");
            drop(server);
            self.cable.move_back();
        } else {
            server.say("* 2 EXISTS");
            client.expect("* 2 EXISTS");
            client.say("DONE");
            server.expect("DONE");
            server.say("2 OK idled");
            client.expect("2 OK");
        }
    }

    fn everywhere(mut self) {
        self.at_sign_in();
        self.in_a_fetch();
        self.behind_a_message();
        self.in_idle();
        self.run.end_well();
    }
}

#[test]
fn a_cable_that_is_pulled_and_put_back_while_mail_is_read() {
    require!("world");
    Line::start(Fault::Pulled).everywhere();
}

#[test]
fn a_network_card_that_is_switched_off_and_on_while_mail_is_read() {
    require!("world");
    Line::start(Fault::Off).everywhere();
}

#[test]
fn a_network_that_swallows_everything_silently_while_mail_is_read() {
    require!("world");
    Line::start(Fault::Swallowed).everywhere();
}

#[test]
fn a_computer_that_moves_to_another_network_while_mail_is_read() {
    require!("world");
    Line::start(Fault::Moved).everywhere();
}
