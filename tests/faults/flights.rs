//! The same faults where more is under way than the client knows of: messages read ahead, and a body that goes by BDAT.

use crate::played_provider::{ANN, BOB, Cable, Fault, LIMITS, PROVIDER, Rig, connect, greeted};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run, answer_pop3_ahead, answer_smtp_pieces};
use crate::support::{mail, require, unique};

const BODY: &[u8] = b"Subject: once\r\nDate: today\r\nMessage-ID: <1@x>\r\n\r\nfirst line\r\nlast line\r\n";

/// A client that may send its message now, and the server's side of it.
fn begin(mut client: Client, server: &Hand) -> (Client, Client) {
    client.ask_reply("EHLO old-pc", "250");
    client.say(&format!("MAIL FROM:<{ANN}>"));
    let mut server = server.accept();
    server.say("220 hello");
    client.say(&format!("RCPT TO:<{BOB}>"));
    answer_smtp_pieces(&mut server, "MAIL");
    server.say("250 ok");
    answer_smtp_pieces(&mut server, "RCPT");
    server.say("250 ok");
    client.expect_reply("250");
    client.expect_reply("250");
    client.ask_reply("DATA", "354");
    (client, server)
}

/// Reads a piece; the line with BDAT, and what it has.
fn piece(server: &mut Client) -> (String, Vec<u8>) {
    let line = server.line().unwrap();
    let octets: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut piece = Vec::new();
    while piece.len() < octets {
        piece.extend(server.raw_line().unwrap());
    }
    (line, piece)
}

/// The client sends all of its message, and the server has the first piece.
fn first_piece(client: &mut Client, server: &mut Client) {
    client.send(mail::stuffed(BODY));
    let (line, piece) = piece(server);
    assert!(!line.contains("LAST") && BODY.starts_with(&piece), "{line}");
}

/// The server takes the first piece and gets the last.
fn last_piece(server: &mut Client) {
    server.say("250 on");
    assert!(piece(server).0.ends_with(" LAST"));
}

/// A client that has two messages, and has not asked for what the server has said of the next two: one, and half of one.
fn ahead(mut client: Client, server: &Hand) -> (Client, Client) {
    client.ask("USER home", "+OK");
    client.say("PASS x");
    let mut server = server.accept();
    server.say("+OK hello");
    answer_pop3_ahead(&mut server, "PASS");
    server.say("+OK in");
    client.expect("+OK");
    for number in 1..=2 {
        client.say(&format!("RETR {number}"));
        answer_pop3_ahead(&mut server, &format!("RETR {number}"));
        server.say("+OK\r\ntext\r\n.");
        assert_eq!(client.expect_body(), b"text\r\n");
    }
    answer_pop3_ahead(&mut server, "RETR 3");
    answer_pop3_ahead(&mut server, "RETR 4");
    server.send("+OK\r\nthird\r\n.\r\n+OK\r\nhalf of the");
    (client, server)
}

/// Kills it, and the next one does what is honest to its end.
fn killed(rig: &mut Rig) {
    crate::killed::killed(rig);
    rig.run.end_well();
}

#[test]
fn killed_between_two_pieces_no_end_of_the_message_was_said() {
    let mut rig = Rig::start();
    let (mut client, mut server) = begin(greeted(connect(rig.home.smtp), "220 "), &rig.smtp);
    first_piece(&mut client, &mut server);
    killed(&mut rig);
    assert!(server.rest().is_empty() && client.rest().is_empty());
}

#[test]
fn killed_behind_the_last_piece_the_client_hears_no_250() {
    let mut rig = Rig::start();
    let (mut client, mut server) = begin(greeted(connect(rig.home.smtp), "220 "), &rig.smtp);
    first_piece(&mut client, &mut server);
    last_piece(&mut server);
    killed(&mut rig);
    assert!(server.rest().is_empty() && client.rest().is_empty());
}

#[test]
fn killed_with_messages_ahead_nothing_of_them_looks_whole_and_nothing_is_deleted() {
    let mut rig = Rig::start();
    let (mut client, mut server) = ahead(greeted(connect(rig.home.pop3), "+OK"), &rig.pop);
    killed(&mut rig);
    assert!(client.rest().is_empty() && server.rest().is_empty());
}

/// An ostler at one end of a cable and its provider at the other.
fn across(fault: Fault) {
    let cable = Cable::lay();
    let (pop, smtp) = (cable.server(), cable.server());
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at(PROVIDER, "none", pop.port))
        .smtp(Server::at(PROVIDER, "none", smtp.port));
    let home = Home::with_settings(&TestCa::new(), &[account], "", LIMITS).inside(&cable.near);
    let mut run = Run::start(&home, &["-v"]).ready();
    let reach = |port, greeting| greeted(cable.connect(port), greeting);
    let mended = || {
        cable.mend(fault);
        if matches!(fault, Fault::Moved) {
            cable.move_back();
        }
    };

    let (mut client, mut server) = begin(reach(home.smtp, "220 "), &smtp);
    first_piece(&mut client, &mut server);
    last_piece(&mut server);
    cable.break_it(fault);
    server.try_send("250 2.0.0 queued\r\n");
    client.expect_reply("451 4.4.2 the outcome is unknown");
    mended();
    assert_eq!(smtp.drain(), 0, "somebody came by himself");

    let (mut client, mut server) = begin(reach(home.smtp, "220 "), &smtp);
    first_piece(&mut client, &mut server);
    cable.break_it(fault);
    server.try_send("250 on\r\n");
    client.expect_reply("451 ");
    mended();
    server.try_send("\r\n");
    assert!(!String::from_utf8_lossy(&server.rest()).contains("LAST"));

    let (mut client, mut server) = ahead(reach(home.pop3, "+OK"), &pop);
    client.say("RETR 3");
    assert_eq!(client.expect_body(), b"third\r\n");
    cable.break_it(fault);
    server.try_send(" fourth\r\n.\r\n");
    client.say("RETR 4");
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    // Where its own address is gone, ostler may know at once.
    assert!(rest == "+OK\r\nhalf of the" || rest.starts_with("-ERR [SYS/TEMP]"), "{rest}");
    mended();
    run.end_well();
}

#[test]
fn a_cable_that_is_pulled() {
    require!("world");
    across(Fault::Pulled);
}

#[test]
fn a_network_card_that_is_switched_off() {
    require!("world");
    across(Fault::Off);
}

#[test]
fn a_network_that_swallows_everything() {
    require!("world");
    across(Fault::Swallowed);
}

#[test]
fn a_computer_that_moves() {
    require!("world");
    across(Fault::Moved);
}
