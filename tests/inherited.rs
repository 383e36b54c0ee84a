//! Doors on sockets that systemd has opened, with its own program for trying that out.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Command;

use support::ca::TestCa;
use support::client::Client;
use support::ostler::{Account, Home, Server};
use support::running::{Hand, Run};
use support::{free_port, require, unique, wait_for};

/// `ostler run`, started by systemd's program at the first connection to one of these ports.
fn activated(home: &Home, ports: &[u16]) -> Command {
    let ostler = home.command(&["run"]);
    let mut command = Command::new("systemd-socket-activate");
    for port in ports {
        command.arg("-l").arg(format!("127.0.0.1:{port}"));
    }
    // It passes little of its own environment on.
    for (name, value) in ostler.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.arg("-E").arg(format!("{}={}", name.display(), value.display()));
    }
    command.arg("--fdname=doors").arg(ostler.get_program()).args(ostler.get_args());
    command
}

/// Once the port takes connections; the first one starts ostler and is served by it.
fn first_client(run: &mut Run, port: u16) -> Client {
    wait_for("systemd-socket-activate to listen", || {
        assert!(!run.has_ended(), "it ended: {}", run.err.text());
        run.err.text().contains(&format!("127.0.0.1:{port}")).then_some(())
    });
    Client::greeted(port, "+OK")
}

#[test]
fn a_door_is_opened_on_the_socket_that_is_there_and_comes_back_to_it() {
    require!("systemd-socket-activate");
    let home = Home::new(&TestCa::new(), &[Account::new("home", "ann@example.org", "x").pop3(Server::new("none", 1))]);
    let idle = free_port();
    let mut run = Run::of(&mut activated(&home, &[home.pop3, idle]));
    let mut client = first_client(&mut run, home.pop3);
    client.ask("USER home", "+OK");
    let mut run = run.ready();
    run.err.wait(&format!("systemd has opened 127.0.0.1:{idle} for ostler"));
    Client::greeted(home.smtp, "220");

    // Away and back again. The socket is there all the time, so that opening the port anew would fail.
    let (before, elsewhere) = (home.settings(), free_port());
    home.write_settings(&before.replace(&home.pop3.to_string(), &elsewhere.to_string()));
    run.err.wait(&format!("systemd has opened 127.0.0.1:{} for ostler", home.pop3));
    wait_for("the door to move", || std::net::TcpStream::connect(("127.0.0.1", elsewhere)).ok());
    home.write_settings(&before);
    wait_for("the other door to go", || std::net::TcpStream::connect(("127.0.0.1", elsewhere)).err());
    Client::greeted(home.pop3, "+OK");
    client.ask("QUIT", "+OK");
    run.end_well();
}

#[test]
fn programs_that_ostler_starts_get_neither_the_sockets_nor_the_variables() {
    require!("systemd-socket-activate");
    let server = Hand::new();
    let secret = unique("pw");
    let ca = TestCa::new();
    let home = Home::new(&ca, &[]);
    let seen = home.path().join("seen");
    let look = format!("(env; ls -l /proc/self/fd) > {}; echo {secret}", seen.display());
    let account = format!(
        "\n[[account]]\nname = \"home\"\naddress = \"ann@example.org\"\npassword = {{ command = {look:?} }}\n\
         [account.pop3]\nhost = \"localhost\"\nport = {}\nsecurity = \"none\"\n",
        server.port
    );
    home.write_settings(&(home.settings() + &account));
    let mut run = Run::of(&mut activated(&home, &[home.pop3]));
    let mut client = first_client(&mut run, home.pop3);
    client.ask("USER home", "+OK");
    client.say("PASS x");
    server.pop3(&format!("PASS {secret}"));
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(!seen.contains("LISTEN_"), "{seen}");
    // Its own two pipes, and what ls opens; a listening socket would be one more.
    assert!(!seen.contains("socket:"), "{seen}");
    run.ready().end_well();
}
