//! What the other computers are served: challenges in place of passwords, by IPv4 and IPv6, and guides with the right values.

use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};
use ostler_mail::sasl::{Exchange, Mechanism};
use ostler_mail::secret::Secret;

use super::house::{
    ANN, House, IMAP, OLD_MAC, OLD_PC, OLD_PC_6, OSTLER, OSTLER_6, PAGE, POP3, SMTP, STRANGER, STRANGER_6,
};
use crate::support::client::Client;
use crate::support::lan::{cable, connect};
use crate::support::ostler::Home;
use crate::support::process::{err, out, said};
use crate::support::provider::{Provider, Step, say};
use crate::support::world::World;
use crate::support::{mail, private_file, require, skip, unique, wait_for};

/// The answer to a CRAM-MD5 challenge as it came.
fn cram(house: &House, challenge: &str) -> String {
    let secret = std::sync::Arc::new(Secret::new(house.local.clone()).unwrap());
    Exchange::new(Mechanism::CramMd5, "home", secret).respond(challenge.as_bytes()).unwrap().to_string()
}

#[test]
fn a_program_at_the_wrong_port_is_told_of_one_on_its_own_side() {
    require!("world");
    let house = House::start();
    // Doors for programs on ostler's own computer, which others cannot reach.
    let home = &house.ostler.home;
    let on_loopback = |text: String, port: u16| {
        text.replace(&format!("[\"{OSTLER}:{port}\""), &format!("[\"127.0.0.1:{}\", \"{OSTLER}:{port}\"", 2000 + port))
    };
    home.write_settings(&[POP3, SMTP].into_iter().fold(home.settings(), on_loopback));
    house.log_says("smtp door open on 127.0.0.1:2025");
    let here = Client::over(connect(&house.world, "127.0.0.1", "127.0.0.1", 2000 + POP3));
    for (mut client, sending) in
        [(house.connect(OLD_MAC, POP3), SMTP), (house.connect(OLD_PC_6, POP3), SMTP), (here, 2000 + SMTP)]
    {
        client.expect("+OK");
        let told = client.ask("EHLO old-mac", "-ERR");
        assert!(told.ends_with(&format!("the one for sending is {sending}")), "{told}");
    }
}

#[test]
fn the_password_crosses_the_network_for_no_program_that_knows_a_challenge() {
    require!("world");
    let house = House::start();
    for from in [OLD_MAC, OLD_PC_6] {
        // APOP, as Eudora does it.
        let mut pop = house.connect(from, POP3);
        let greeting = pop.expect("+OK");
        let stamp = &greeting[greeting.find('<').unwrap()..=greeting.rfind('>').unwrap()];
        let digest: String =
            Md5::digest(format!("{stamp}{}", house.local)).iter().map(|octet| format!("{octet:02x}")).collect();
        pop.ask(&format!("APOP home {digest}"), "+OK in");
        pop.ask("QUIT", "+OK bye");
        // CRAM-MD5, as Eudora, Sylpheed and Mac OS X Mail do it.
        let mut smtp = house.connect(from, SMTP);
        smtp.expect("220 ");
        let offer = smtp.ask_reply("EHLO old-mac", "250");
        assert!(offer.contains("CRAM-MD5"), "{offer}");
        let challenge = smtp.ask("AUTH CRAM-MD5", "334 ");
        smtp.ask_reply(&cram(&house, &challenge[4..]), "235 ");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        smtp.ask_reply("RCPT TO:<bob@example.com>", "250");
        smtp.ask_reply("DATA", "354");
        smtp.send(mail::stuffed(b"Subject: in\r\n\r\nin\r\n"));
        smtp.expect_reply("250 2.0.0 queued");
        smtp.ask_reply("QUIT", "221");
        let mut imap = house.connect(from, IMAP);
        imap.expect("* OK");
        let offer = imap.ask("a CAPABILITY", "* CAPABILITY ");
        assert!(offer.contains("AUTH=CRAM-MD5"), "{offer}");
        imap.expect("a OK");
        let challenge = imap.ask("b AUTHENTICATE CRAM-MD5", "+ ");
        imap.say(&cram(&house, &challenge[2..]));
        wait_for("the provider to be asked", || (house.imap.connections() > 0).then_some(()));
    }
}

#[test]
fn networks_of_both_families_are_let_in_and_no_one_else() {
    require!("world");
    let house = House::start();
    [OLD_MAC, OLD_PC, OLD_PC_6].into_iter().for_each(|from| house.fetches(from));
    let served = house.provider_connections();
    for from in [STRANGER, STRANGER_6] {
        house.connect(from, POP3).expect("-ERR [SYS/PERM] ");
        house.connect(from, SMTP).expect("554 5.7.1 ");
        house.connect(from, IMAP).expect("* BYE ");
        house.log_says(&format!("{from} is in none of the networks allowed"));
    }
    assert_eq!(house.provider_connections(), served);
}

#[test]
fn a_wrong_password_is_logged_with_the_computer_it_came_from() {
    require!("world");
    let house = House::start();
    let mut pop = house.connect(OLD_MAC, POP3);
    pop.expect("+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS wrong", "-ERR [AUTH] ");
    house.log_says(&format!("client {OLD_MAC}:"));
    let log = house.ostler.log();
    let line = log.lines().find(|line| line.contains("gave a wrong password")).unwrap();
    assert!(line.contains(OLD_MAC), "{line}");
    let mut smtp = house.connect(OLD_PC_6, SMTP);
    smtp.expect("220 ");
    smtp.ask_reply("EHLO x", "250");
    smtp.ask_reply(&format!("AUTH PLAIN {}", BASE64.encode("\0home\0wrong")), "535 ");
    house.log_says(&format!("client [{OLD_PC_6}]:"));
    assert_eq!(house.provider_connections(), 0);
}

#[test]
fn a_guide_for_another_computer_has_the_values_for_it() {
    require!("world");
    let house = House::start();
    let home = &house.ostler.home;
    let guide = |words: &[&str]| home.ostler(&[&["guide", "eudora-mac"], words].concat(), "");
    let for_mac = out(&guide(&["--for", OLD_MAC]));
    for words in [
        format!("a program on the computer {OLD_MAC}"),
        format!("(POP3): {OSTLER}\n"),
        format!("(SMTP): {OSTLER}\n"),
        format!("Password: {}\n", house.local),
        "\"APOP\" as authentication".to_owned(),
    ] {
        assert!(for_mac.contains(&words), "{words}: {for_mac}");
    }
    assert!(!for_mac.contains("127.0.0.1"), "{for_mac}");
    // By IPv6, where it has such an address.
    let for_pc = out(&guide(&["--for", OLD_PC_6]));
    assert!(for_pc.contains(&format!("(SMTP): {OSTLER_6}\n")), "{for_pc}");
    // By a name that nobody knows, and by what programs there call ostler's own computer.
    let by_name = out(&guide(&["--for", "mac-plus"]));
    assert!(
        by_name.contains("on the computer mac-plus") && by_name.contains(&format!("(POP3): {OSTLER}\n")),
        "{by_name}"
    );
    let own = out(&guide(&["--for", OSTLER]));
    assert!(own.contains(&format!("(POP3): {OSTLER}\n")) && own.contains("on another computer"), "{own}");
    let shut_out = out(&guide(&["--for", STRANGER]));
    assert!(shut_out.contains(&format!("ostler does not let {STRANGER} in yet")), "{shut_out}");
    // Without --for, the doors are still those of the network, for there are no others.
    let usual = out(&guide(&[]));
    assert!(usual.contains(&format!("(POP3): {OSTLER}\n")) && !usual.contains("127.0.0.1"), "{usual}");
    assert!(!usual.contains(&house.local), "{usual}");
    for wrong in ["localhost", "127.0.0.1", "a b", ""] {
        assert_eq!(guide(&["--for", wrong]).status.code(), Some(2), "{wrong:?}");
    }
    home.write_settings(
        "[[account]]\nname = \"home\"\naddress = \"ann@example.org\"\n[account.pop3]\nhost = \"pop.example.org\"\n",
    );
    let none = guide(&["--for", OLD_MAC]);
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(
        err(&none).contains("no other computer can reach a door yet") && err(&none).contains("allow = ["),
        "{}",
        said(&none)
    );
}

#[test]
fn a_door_on_every_address_serves_another_computer_and_its_guide_has_the_address_that_it_sees() {
    require!("world");
    let (world, old_pc) = (World::builder().start(), World::builder().start());
    if let Err(why) = cable(&world, "10.9.0.1/24", &old_pc, "10.9.0.7/24") {
        return skip(&why);
    }
    let provider = world.in_network(|| Provider::always(vec![say("+OK ready"), Step::Stall]));
    let local = unique("local");
    let mut home = Home::with_settings(world.ca(), &[], "", "").inside(&world);
    let file = home.path().join("local");
    private_file(&file, &local);
    home.keep_secret(&local);
    home.allow_secret(&local, "stdout of guide --for", "it is what was asked for");
    home.write_settings(&format!(
        "[local]\npop3 = \"0.0.0.0:110\"\nimap = false\nsmtp = false\naccess = \"password\"\nallow = [\"10.9.0.0/24\"]\n\
         [[account]]\nname = \"home\"\naddress = \"{ANN}\"\npassword = {{ file = {file:?} }}\n\
         local_password = {{ file = {file:?} }}\n\
         [account.pop3]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\n",
        provider.port
    ));
    for words in [&["guide", "oe", "--for", "10.9.0.7"][..], &["guide", "oe", "--for", "win98"], &["guide", "oe"]] {
        let guide = out(&home.ostler(words, ""));
        assert!(guide.contains("(POP3): 10.9.0.1\n") && !guide.contains("127.0.0.1"), "{words:?}: {guide}");
    }
    let ostler = home.run();
    let mut client = Client::over(old_pc.in_network(|| TcpStream::connect("10.9.0.1:110").unwrap()));
    client.expect("+OK ostler ready <");
    client.ask("USER home", "+OK");
    client.ask("PASS wrong", "-ERR [AUTH] ");
    assert!(old_pc.in_network(|| TcpStream::connect("10.9.0.1:2080").is_err()), "the page");
    wait_for("its address in the log", || ostler.log().contains("client 10.9.0.7:").then_some(()));
}

#[test]
fn page_and_control_are_on_this_computer_alone() {
    require!("world");
    let house = House::start();
    for (from, to) in [(OLD_MAC, OSTLER), (OLD_PC_6, OSTLER_6), (STRANGER, OSTLER)] {
        assert!(!house.can_connect(from, to, PAGE), "{from}");
    }
    assert!(house.can_connect("127.0.0.1", "127.0.0.1", PAGE));
    // Every socket of the network that ostler listens on is a door or on loopback.
    let sockets = out(&crate::support::process::run(&mut house.world.command("ss", &["-Hltnp"]), ""));
    let ours: Vec<&str> = sockets.lines().filter(|line| line.contains("\"ostler\"")).collect();
    assert_eq!(ours.len(), 8, "{sockets}");
    for line in ours {
        let local = line.split_whitespace().nth(3).unwrap();
        let (address, port) = local.rsplit_once(':').unwrap();
        let is_door = [POP3, SMTP, IMAP].contains(&port.parse().unwrap());
        assert!(is_door || address == "127.0.0.1" || address == "[::1]", "{line}");
    }
}
