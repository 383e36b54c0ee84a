//! An ostler before a POP3 and an SMTP server that the test plays by hand, line by line, on loopback or across a cable.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run, answer_pop3, answer_smtp};
use crate::support::world::World;
use crate::support::{mail, unique, wait_for};

pub(crate) const ANN: &str = "ann@example.org";
pub(crate) const BOB: &str = "bob@example.com";
pub(crate) const MESSAGE: &[u8] = b"Subject: honest\r\n\r\n.dot\r\nbody\r\n";

/// Limits small enough to be met in a test and large enough for an honest session on a busy machine.
pub(crate) const LIMITS: &str =
    "\n[timeouts]\nconnect = \"2s\"\ntls = \"2s\"\ngreeting = \"2s\"\nreply = \"2s\"\ndata = \"2s\"\nfinal = \"2s\"\n";

/// The servers, an account for them, and the ostler before them.
pub(crate) struct Rig {
    pub(crate) run: Run,
    pub(crate) home: Home,
    pub(crate) pop: Hand,
    pub(crate) smtp: Hand,
}

impl Rig {
    /// Everything on this computer, with the limits that ostler has by itself.
    pub(crate) fn start() -> Self {
        Self::with("", |_| {})
    }

    /// On this computer; tables for the end of the settings, and a change to the command that starts it.
    pub(crate) fn with(tables: &str, change: impl FnOnce(&mut Command)) -> Self {
        let (pop, smtp) = (Hand::new(), Hand::new());
        let account = Account::new("home", ANN, &unique("pw"))
            .pop3(Server::new("none", pop.port))
            .smtp(Server::new("none", smtp.port));
        Self::before(pop, smtp, &account, tables, change)
    }

    /// Before these servers, for this account.
    pub(crate) fn before(
        pop: Hand,
        smtp: Hand,
        account: &Account,
        tables: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let home = Home::with_settings(&TestCa::new(), std::slice::from_ref(account), "", tables);
        let mut command = home.command(&["run", "-v"]);
        change(&mut command);
        let run = Run::of(&mut command).ready();
        Self { run, home, pop, smtp }
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.run = Run::start(&self.home, &["-v"]).ready();
    }

    pub(crate) fn pop3(&self) -> Client {
        greeted(connect(self.home.pop3), "+OK")
    }

    pub(crate) fn smtp(&self) -> Client {
        greeted(connect(self.home.smtp), "220 ")
    }

    /// A POP3 client that has signed in, and the server's side of it.
    pub(crate) fn signed_in(&self) -> (Client, Client) {
        sign_in(self.pop3(), &self.pop)
    }

    /// A client that may send its message now, and the server's side of it.
    pub(crate) fn in_data(&self) -> (Client, Client) {
        begin_data(self.smtp(), &self.smtp)
    }

    /// The next fetch and the next send are as if nothing had been.
    pub(crate) fn honest(&self) {
        honest_fetch(self.pop3(), &self.pop);
        honest_send(self.smtp(), &self.smtp);
    }
}

pub(crate) fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

pub(crate) fn greeted(stream: TcpStream, greeting: &str) -> Client {
    let mut client = Client::over(stream);
    client.expect(greeting);
    client
}

pub(crate) fn sign_in(mut client: Client, server: &Hand) -> (Client, Client) {
    let server = server.let_in(&mut client);
    (client, server)
}

/// Everything up to the 354 of a message that is going out.
pub(crate) fn begin_data(mut client: Client, server: &Hand) -> (Client, Client) {
    client.ask_reply("EHLO old-pc", "250");
    let server = go_on_to_data(&mut client, None, server);
    client.expect_reply("354");
    (client, server)
}

/// MAIL, RCPT and DATA, on the server's connection there is or on a new one.
pub(crate) fn go_on_to_data(client: &mut Client, known: Option<Client>, server: &Hand) -> Client {
    client.say(&format!("MAIL FROM:<{ANN}>"));
    let mut server = match known {
        Some(mut known) => {
            answer_smtp(&mut known, "MAIL");
            known
        }
        None => server.smtp("MAIL"),
    };
    server.say("250 2.1.0 ok");
    client.expect_reply("250");
    client.say(&format!("RCPT TO:<{BOB}>"));
    answer_smtp(&mut server, "RCPT");
    server.say("250 2.1.5 ok");
    client.expect_reply("250");
    client.say("DATA");
    answer_smtp(&mut server, "DATA");
    server.say("354 go on");
    server
}

/// Reads a message from a client as it came, to its lone dot.
pub(crate) fn message(server: &mut Client) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        let line = server.raw_line().unwrap_or_else(|| panic!("gone in a message:\n{}", server.log()));
        wire.extend_from_slice(&line);
        if line == b".\r\n" {
            return wire;
        }
    }
}

/// A message is fetched byte for byte and deleted when the client says QUIT.
pub(crate) fn honest_fetch(client: Client, server: &Hand) {
    server.drain();
    let (mut client, mut server) = sign_in(client, server);
    client.say("RETR 1");
    answer_pop3(&mut server, "RETR 1");
    server.send([b"+OK\r\n".as_slice(), &mail::stuffed(MESSAGE)].concat());
    assert_eq!(client.expect_body(), MESSAGE);
    delete_one(&mut client, &mut server);
    client.say("QUIT");
    answer_pop3(&mut server, "QUIT");
    server.say("+OK committed");
    client.expect("+OK committed");
}

/// Marks the first message for deletion.
pub(crate) fn delete_one(client: &mut Client, server: &mut Client) {
    client.say("DELE 1");
    answer_pop3(server, "DELE 1");
    server.say("+OK deleted");
    client.expect("+OK deleted");
}

/// Fetches half of the second message; the provider owes the rest.
pub(crate) fn fetch_half(client: &mut Client, server: &mut Client) {
    client.say("RETR 2");
    answer_pop3(server, "RETR 2");
    server.send("+OK\r\nSubject: long\r\n\r\nfirst half\r\n");
    while client.line().unwrap() != "first half" {}
}

/// A message is sent once, byte for byte, and answered with the server's words.
pub(crate) fn honest_send(client: Client, server: &Hand) {
    server.drain();
    let (mut client, mut server) = begin_data(client, server);
    client.send(mail::stuffed(MESSAGE));
    assert_eq!(message(&mut server), mail::stuffed(MESSAGE));
    server.say("250 2.0.0 queued");
    client.expect_reply("250 2.0.0 queued");
    client.say("QUIT");
    client.expect_reply("221");
    assert_eq!(completed(&server.rest()), 0, "something was said after the message");
}

/// How many messages ended in these octets.
pub(crate) fn completed(octets: &[u8]) -> usize {
    memchr::memmem::find_iter(octets, b"\r\n.\r\n").count()
}

/// What a server heard until its connection was over. One that the network kept from hearing the end finds it out by
/// saying something.
pub(crate) fn heard_to_the_end(mut server: Client) -> Vec<u8> {
    server.try_send("\r\n");
    server.rest()
}

/// With a gate that wants a login no older than this.
pub(crate) fn gated(fresh: &str, change: impl FnOnce(&mut Command)) -> Rig {
    let (pop, smtp) = (Hand::new(), Hand::new());
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::new("none", pop.port))
        .smtp(Server::new("none", smtp.port).auth("pop-before-smtp").line(&format!("fresh = {fresh:?}")));
    Rig::before(pop, smtp, &account, "", change)
}

/// Sends as far as RCPT; whether there was a login before it.
pub(crate) fn logs_in(rig: &Rig) -> bool {
    let mut client = rig.smtp();
    client.ask_reply("EHLO old-pc", "250");
    client.say(&format!("MAIL FROM:<{ANN}>"));
    // Whichever of the two comes first.
    let (is_login, mut first) = wait_for("a connection", || {
        rig.pop.try_accept().map(|login| (true, login)).or_else(|| rig.smtp.try_accept().map(|mta| (false, mta)))
    });
    if is_login {
        first.say("+OK hello");
        answer_pop3(&mut first, "QUIT");
        first.say("+OK bye");
        first = rig.smtp.accept();
    }
    let mut server = first;
    server.say("220 hello");
    answer_smtp(&mut server, "MAIL");
    server.say("250 2.1.0 ok");
    client.expect_reply("250");
    client.say(&format!("RCPT TO:<{BOB}>"));
    answer_smtp(&mut server, "RCPT");
    server.say("250 2.1.5 ok");
    client.expect_reply("250");
    is_login
}

/// A provider behind a cable: two networks, ostler in the near one, servers in the far one.
pub(crate) struct Cable {
    pub(crate) near: World,
    far: World,
}

/// The name of the servers, and the addresses at the two ends.
pub(crate) const PROVIDER: &str = "mail.example.test";
const FAR: &str = "10.77.0.2";
const NEAR: &str = "10.77.0.1";
const MOVED: &str = "10.77.0.3";

/// What can happen to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The cable is out: the card knows.
    Pulled,
    /// The card is switched off.
    Off,
    /// Everything is swallowed on the way, in both directions: nobody knows.
    Swallowed,
    /// The computer has another address afterwards.
    Moved,
}

impl Cable {
    /// Both networks and the cable between them.
    pub(crate) fn lay() -> Self {
        let near = World::builder().host(PROVIDER, FAR).start();
        let far = World::builder().without_names().start();
        let cable = Self { near, far };
        let other = cable.far.id().to_string();
        cable.ip(&cable.near, &["link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", &other]);
        for (world, address) in [(&cable.near, NEAR), (&cable.far, FAR)] {
            cable.ip(world, &["address", "add", &format!("{address}/24"), "dev", "wan0"]);
            cable.ip(world, &["link", "set", "wan0", "up"]);
        }
        cable
    }

    fn ip(&self, world: &World, args: &[&str]) {
        let output = world.command("ip", args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server at the far end.
    pub(crate) fn server(&self) -> Hand {
        Hand::over(self.far.in_network(|| TcpListener::bind((FAR, 0)).unwrap()))
    }

    /// A client at the near end.
    pub(crate) fn connect(&self, port: u16) -> TcpStream {
        self.near.in_network(|| connect(port))
    }

    pub(crate) fn break_it(&self, fault: Fault) {
        match fault {
            Fault::Pulled => self.ip(&self.far, &["link", "set", "wan0", "down"]),
            Fault::Off => self.ip(&self.near, &["link", "set", "wan0", "down"]),
            Fault::Swallowed => {
                // To a card that is nobody's.
                let nobody = "02:00:00:00:00:01";
                self.ip(&self.near, &["neigh", "replace", FAR, "lladdr", nobody, "dev", "wan0"]);
                self.ip(&self.far, &["neigh", "replace", NEAR, "lladdr", nobody, "dev", "wan0"]);
            }
            Fault::Moved => {
                self.ip(&self.near, &["address", "flush", "dev", "wan0"]);
            }
        }
    }

    pub(crate) fn mend(&self, fault: Fault) {
        match fault {
            Fault::Pulled => self.plug_in(&self.far),
            Fault::Off => self.plug_in(&self.near),
            Fault::Swallowed => {
                self.ip(&self.near, &["neigh", "del", FAR, "dev", "wan0"]);
                self.ip(&self.far, &["neigh", "del", NEAR, "dev", "wan0"]);
            }
            Fault::Moved => {
                self.ip(&self.near, &["address", "add", &format!("{MOVED}/24"), "dev", "wan0"]);
            }
        }
    }

    /// The cable carries afterwards. A kernel may take seconds to notice a link and to look for its neighbour again, and whoever
    /// connects before hears that there is no way.
    fn plug_in(&self, world: &World) {
        self.ip(world, &["link", "set", "wan0", "up"]);
        wait_for("the far end", || {
            let refused = self.near.in_network(|| TcpStream::connect((FAR, 1))).err()?;
            (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
        });
    }

    /// Back to the first address.
    pub(crate) fn move_back(&self) {
        self.ip(&self.near, &["address", "flush", "dev", "wan0"]);
        self.ip(&self.near, &["address", "add", &format!("{NEAR}/24"), "dev", "wan0"]);
    }
}
