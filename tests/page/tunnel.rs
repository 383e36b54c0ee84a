//! The page on a computer that nobody sits at, through a tunnel of ssh as the manual writes it: a real sshd there, a real ssh on
//! the computer of the person, and a network cable between the two.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::ANN;
use crate::http::{Browser, raw};
use crate::support::client::Client;
use crate::support::dovecot::Dovecot;
use crate::support::lan::cable;
use crate::support::ostler::{Home, program};
use crate::support::postfix::Postfix;
use crate::support::process::{Process, document, run, run_well, said};
use crate::support::sshd::Sshd;
use crate::support::world::World;
use crate::support::{require, skip, unique, wait_for};

/// The computer with ostler, and that of the person.
const PI: &str = "10.9.0.1";
const DESK: &str = "10.9.0.7";
const PAGE: u16 = 2080;

/// The home of an ostler without keyring, its page at the usual port, its door on the network.
fn home_of_a_server(pi: &World) -> Home {
    let home = Home::with_settings(pi.ca(), &[], "access = \"password\"\nallow = [\"10.9.0.0/24\"]", "").inside(pi);
    let settings = home.settings().replace("page = false", &format!("page = {PAGE}"));
    home.write_settings(&settings.replace("\"127.0.0.1:", &format!("\"{PI}:")));
    home
}

#[test]
fn an_account_is_added_from_another_computer_through_a_tunnel_of_ssh() {
    require!("world", "dovecot", "postfix", "sshd");
    let (pi, desk) = (World::builder().start(), World::builder().start());
    if let Err(why) = cable(&pi, &format!("{PI}/24"), &desk, &format!("{DESK}/24")) {
        return skip(&why);
    }
    let secret = unique("the-providers");
    let cert = pi.ca().localhost();
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(cert.clone()).inside(&pi, "127.0.0.1", [110, 995]).start();
    let _postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&pi, "127.0.0.1", [25, 587, 465]).start();
    let message = b"From: bob@example.com\r\nSubject: kept\r\n\r\nthe mail\r\n";
    dovecot.deliver(ANN, message);
    let mut home = home_of_a_server(&pi);
    home.keep_secret(&secret);
    let secrets = home.path().join("secrets");
    let settings_file = home.settings_file();
    let ostler = home.run_changed(&["run"], |_, command| {
        command.env("OSTLER_SECRETS", &secrets);
    });
    let sshd = Sshd::inside(&pi, PI, "");

    // In the window with the tunnel, the person asks for the page's address.
    let there = ostler.home.command(&[]);
    let variables = there
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str().unwrap(), value?.to_str().unwrap())));
    let there = format!(
        "{} {} --config {} settings --print; exec sleep 1000",
        variables.collect::<Vec<_>>().join(" "),
        program().display(),
        settings_file.display()
    );
    let words = sshd.ssh();
    let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let forward = format!("{PAGE}:127.0.0.1:{PAGE}");
    let mut ssh = desk.command("ssh", &[&["-o", "ExitOnForwardFailure=yes", "-L", &forward], &words[..]].concat());
    ssh.arg(there);
    let mut ssh = Process::start("ssh", ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut link = String::new();
    BufReader::new(ssh.child().stdout.take().unwrap()).read_line(&mut link).unwrap();
    assert!(link.starts_with(&format!("http://127.0.0.1:{PAGE}/?token=")), "{link}");

    // And opens it in the browser of their own computer.
    let port = desk.reach(PAGE);
    let mut browser = Browser::following(link.trim_end(), port);
    let first = browser.get("/");
    let form = first.form("/add").with("address", ANN).with("password", &secret).with("pop3", "tls://localhost:995");
    let form = form.with("smtp", "starttls://localhost:587").with("ca", &ostler.home.ca_file().display().to_string());
    browser.send(&form);
    browser.stay_until("works and is saved");
    browser.never_saw(&secret);

    // The old computer beside it fetches, with the local password and no other.
    let mut list = ostler.home.command(&["list", "--passwords", "--json"]);
    let passwords = document(&run(list.env("OSTLER_SECRETS", &secrets), ""));
    let local = passwords["accounts"][0]["local_password"].as_str().unwrap();
    let stream = desk.in_network(|| std::net::TcpStream::connect((PI, ostler.pop3)).unwrap());
    let mut client = Client::over(stream);
    client.expect("+OK");
    client.ask(&format!("USER {ANN}"), "+OK");
    client.ask(&format!("PASS {local}"), "+OK");
    client.say("RETR 1");
    wait_for("the mail", || client.line()?.contains("the mail").then_some(()));

    // The page is nowhere but at the end of the tunnel, and there under its own name only.
    assert!(desk.in_network(|| std::net::TcpStream::connect((PI, PAGE)).is_err()));
    let foreign = raw(
        port,
        &format!("GET /{} HTTP/1.1\r\nHost: {PI}:{PAGE}\r\n\r\n", &link[link.find('?').unwrap()..].trim_end()),
    );
    assert_eq!(foreign.status, 421, "{foreign:?}");
    let other_number = raw(port, "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
    assert_eq!(other_number.status, 421, "{other_number:?}");
    assert!(other_number.body.contains(&format!("ssh -L {PAGE}:127.0.0.1:{PAGE}")), "{other_number:?}");
    ssh.end();
    // No message of an ostler with a folder for its secrets speaks of a keyring.
    let page = run_well(&mut ostler.home.command(&["status"]), "");
    assert!(!said(&page).contains("keyring") && !ostler.log().contains("keyring"), "{}", ostler.log());
}
