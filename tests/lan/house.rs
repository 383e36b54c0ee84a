//! An ostler on one computer of a network, and others that come to it.

use crate::support::client::Client;
use crate::support::lan::{connect, lan, try_connect};
use crate::support::ostler::{Home, Ostler};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::world::World;
use crate::support::{private_file, unique, wait_for};

pub(crate) const ANN: &str = "ann@example.org";
pub(crate) const OSTLER: &str = "10.9.0.1";
pub(crate) const OSTLER_6: &str = "fd00:9::1";
pub(crate) const OLD_MAC: &str = "10.9.0.7";
pub(crate) const OLD_PC: &str = "10.9.1.8";
pub(crate) const OLD_PC_6: &str = "fd00:9::8";
pub(crate) const STRANGER: &str = "10.9.2.9";
pub(crate) const STRANGER_6: &str = "fd00:aa::9";
const ADDRESSES: [&str; 7] = [OSTLER, OSTLER_6, OLD_MAC, OLD_PC, OLD_PC_6, STRANGER, STRANGER_6];

pub(crate) const POP3: u16 = 110;
pub(crate) const SMTP: u16 = 25;
pub(crate) const IMAP: u16 = 143;
pub(crate) const PAGE: u16 = 2080;

/// A provider, and an ostler in front of it, whose doors are on two addresses of the network.
pub(crate) struct House {
    // Ends last.
    pub(crate) ostler: Ostler,
    pub(crate) pop3: Provider,
    pub(crate) smtp: Provider,
    pub(crate) imap: Provider,
    pub(crate) local: String,
    pub(crate) world: World,
}

impl House {
    pub(crate) fn start() -> Self {
        Self::with("", "60s")
    }

    /// With more lines in `[local]`, and this time for a client to sign in.
    pub(crate) fn with(more: &str, login: &str) -> Self {
        let world = lan(&ADDRESSES);
        let [pop3, smtp, imap] =
            [fetch_part(), send_part(), read_part()].map(|part| world.in_network(|| Provider::always(part)));
        let local = unique("local");
        let mut home = Home::with_settings(world.ca(), &[], "", "").inside(&world);
        let (password, local_password) = (home.path().join("password"), home.path().join("local"));
        private_file(&password, "the-providers\n");
        private_file(&local_password, &format!("{local}\n"));
        home.keep_secret("the-providers");
        home.keep_secret(&local);
        home.allow_secret(&local, "stdout of guide --for", "it is what was asked for");
        let servers: String = [("pop3", pop3.port), ("smtp", smtp.port), ("imap", imap.port)]
            .map(|(table, port)| {
                format!("[account.{table}]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\n")
            })
            .concat();
        let doors: String = [("pop3", POP3), ("smtp", SMTP), ("imap", IMAP)]
            .map(|(key, port)| format!("{key} = [\"{OSTLER}:{port}\", \"[{OSTLER_6}]:{port}\"]\n"))
            .concat();
        home.write_settings(&format!(
            "[local]\n{doors}page = {PAGE}\naccess = \"password\"\nallow = [\"{OLD_MAC}\", \"10.9.1.0/24\", \"fd00:9::/64\"]\n{more}\n\
             [timeouts]\nlogin = {login:?}\n\
             [[account]]\nname = \"home\"\naddress = \"{ANN}\"\npassword = {{ file = {password:?} }}\n\
             local_password = {{ file = {local_password:?} }}\n{servers}"
        ));
        Self { ostler: home.run(), pop3, smtp, imap, local, world }
    }

    /// A connection from this computer, by the family of its address.
    pub(crate) fn connect(&self, from: &str, port: u16) -> Client {
        Client::over(connect(&self.world, from, own_address_for(from), port))
    }

    pub(crate) fn can_connect(&self, from: &str, to: &str, port: u16) -> bool {
        try_connect(&self.world, from, to, port).is_ok()
    }

    /// The client fetches its mail with the password as it is.
    pub(crate) fn fetches(&self, from: &str) {
        let mut client = self.connect(from, POP3);
        client.expect("+OK");
        client.ask("USER home", "+OK");
        client.ask(&format!("PASS {}", self.local), "+OK in");
        client.ask("QUIT", "+OK bye");
    }

    pub(crate) fn log_says(&self, words: &str) {
        wait_for(words, || self.ostler.log().contains(words).then_some(()));
    }

    pub(crate) fn provider_connections(&self) -> usize {
        self.pop3.connections() + self.smtp.connections() + self.imap.connections()
    }
}

fn own_address_for(from: &str) -> &'static str {
    if from.contains(':') { OSTLER_6 } else { OSTLER }
}

fn dialogue(steps: &[&str]) -> Part {
    steps.iter().enumerate().map(|(at, text)| if at % 2 == 0 { say(text) } else { expect(text) }).collect()
}

fn fetch_part() -> Part {
    dialogue(&["+OK ready", "USER", "+OK", "PASS the-providers", "+OK in", "QUIT", "+OK bye"])
}

fn send_part() -> Part {
    let mut part =
        dialogue(&["220 ready", "EHLO", "250-mx\r\n250 AUTH PLAIN", "AUTH PLAIN", "235 in", "MAIL", "250 ok", "RCPT"]);
    part.extend(dialogue(&["250 ok", "DATA", "354 go on"]));
    part.extend([Step::ExpectMessage, say("250 2.0.0 queued"), expect("QUIT"), say("221 bye")]);
    part
}

fn read_part() -> Part {
    vec![say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready"), Step::Stall]
}
