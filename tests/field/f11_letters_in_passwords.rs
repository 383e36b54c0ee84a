//! F11 (b) and (c): letters beyond ASCII at a door. A local password is right in the octets that any system of the time
//! writes; a password that is passed on, is passed on in the octets that the client wrote.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::sign_in::{ANN, b64, greet, takes_a_message};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, expect, say};
use crate::support::{set_mode, unique};

/// A password, and how Windows, Mac OS and MS-DOS write it; nothing where a letter is missing.
struct Spelled {
    text: &'static str,
    windows: &'static [u8],
    mac: &'static [u8],
    dos: &'static [u8],
}

const PASSWORDS: [Spelled; 3] = [
    Spelled { text: "pÄss-wörd", windows: b"p\xc4ss-w\xf6rd", mac: b"p\x80ss-w\x9ard", dos: b"p\x8ess-w\x94rd" },
    Spelled { text: "straße-20€-ñ", windows: b"stra\xdfe-20\x80-\xf1", mac: b"stra\xa7e-20\xdb-\x96", dos: b"" },
    Spelled {
        text: "Ærøskøbing£",
        windows: b"\xc6r\xf8sk\xf8bing\xa3",
        mac: b"\xaer\xbfsk\xbfbing\xa3",
        dos: b"\x92r\x9bsk\x9bbing\x9c",
    },
];

impl Spelled {
    fn all(&self) -> Vec<&'static [u8]> {
        let all = [self.text.as_bytes(), self.windows, self.mac, self.dos];
        all.into_iter().filter(|octets| !octets.is_empty()).collect()
    }
}

fn fetched() -> Part {
    vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), expect("QUIT"), say("+OK bye")]
}

fn sent() -> Part {
    [greet("PLAIN"), vec![expect("AUTH PLAIN"), say("235 in")], takes_a_message()].concat()
}

struct House {
    pop3: Provider,
    smtp: Provider,
    ostler: Ostler,
}

impl House {
    /// With this as the account's local password.
    fn with_local(local: &str) -> Self {
        Self::start("access = \"password\"", |home| {
            let file = home.path().join("local");
            std::fs::write(&file, format!("{local}\n")).unwrap();
            set_mode(&file, 0o600);
            let line = format!("local_password = {{ file = {:?} }}", file.display().to_string());
            Account::new("home", ANN, &unique("pw")).line(&line)
        })
    }

    /// Where the client's password is the provider's.
    fn passing_on() -> Self {
        Self::start("", |_| Account::new("home", ANN, "").keyring().line("password = \"client\""))
    }

    fn start(local: &str, account: impl FnOnce(&Home) -> Account) -> Self {
        let (pop3, smtp) = (Provider::always(fetched()), Provider::always(sent()));
        // The account's file is in the home, so the home is there before the account.
        let home = Home::with_settings(&TestCa::new(), &[], local, "");
        let account = account(&home).pop3(Server::new("none", pop3.port)).smtp(Server::new("none", smtp.port));
        let home = home.with_account(&account);
        Self { pop3, smtp, ostler: home.run() }
    }

    fn at_pop3(&self) -> (Client, String) {
        let mut client = Client::connect(self.ostler.pop3);
        let greeting = client.expect("+OK");
        (client, greeting)
    }

    fn at_smtp(&self) -> Client {
        let mut client = Client::greeted(self.ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        client
    }
}

/// Sends octets as a line and hears the answer.
fn ask(client: &mut Client, parts: &[&[u8]], answer: &str) -> String {
    client.send([&parts.concat()[..], b"\r\n"].concat());
    client.expect(answer)
}

fn decoded(challenge: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(challenge).unwrap()
}

#[test]
fn f11_a_local_password_is_right_in_any_systems_octets() {
    for password in &PASSWORDS {
        let house = House::with_local(password.text);
        for octets in password.all() {
            let (mut pop3, _) = house.at_pop3();
            pop3.ask("USER home", "+OK");
            ask(&mut pop3, &[b"PASS ", octets], "+OK in");
            pop3.ask("QUIT", "+OK");
            let (mut pop3, _) = house.at_pop3();
            pop3.ask("AUTH PLAIN", "+ ");
            pop3.ask(&b64([b"\0home\0", octets].concat()), "+OK in");
            pop3.ask("QUIT", "+OK");
            let mut smtp = house.at_smtp();
            smtp.ask_reply(&format!("AUTH PLAIN {}", b64([b"\0home\0", octets].concat())), "235 ");
            smtp.ask_reply("QUIT", "221 ");
            let mut smtp = house.at_smtp();
            smtp.ask("AUTH LOGIN", "334 ");
            smtp.ask(&b64("home"), "334 ");
            smtp.ask_reply(&b64(octets), "235 ");
            smtp.ask_reply("QUIT", "221 ");
        }
    }
}

#[test]
fn f11_a_digest_of_any_systems_octets_is_right() {
    for password in &PASSWORDS {
        let house = House::with_local(password.text);
        for octets in password.all() {
            let (mut pop3, greeting) = house.at_pop3();
            let stamp = &greeting[greeting.find('<').unwrap()..=greeting.find('>').unwrap()];
            let digest = ostler_mail::wire::hex(&Md5::digest([stamp.as_bytes(), octets].concat()));
            pop3.ask(&format!("APOP home {digest}"), "+OK in");
            pop3.ask("QUIT", "+OK");
            let mut smtp = house.at_smtp();
            let challenge = smtp.ask("AUTH CRAM-MD5", "334 ");
            let mut mac = Hmac::<Md5>::new_from_slice(octets).unwrap();
            mac.update(&decoded(&challenge[4..]));
            let digest = ostler_mail::wire::hex(&mac.finalize().into_bytes());
            smtp.ask_reply(&b64(format!("home {digest}")), "235 ");
            smtp.ask_reply("QUIT", "221 ");
        }
    }
}

#[test]
fn f11_other_octets_are_not_the_local_password() {
    let house = House::with_local("pÄss-wörd");
    // Without the dots, in another letter case, of two systems mixed.
    for octets in [&b"pAss-word"[..], b"p\xe4ss-w\xf6rd", b"p\xc4ss-w\x94rd"] {
        let (mut pop3, _) = house.at_pop3();
        pop3.ask("USER home", "+OK");
        ask(&mut pop3, &[b"PASS ", octets], "-ERR [AUTH] this is not the local password");
    }
    assert_eq!(house.pop3.connections(), 0);
}

#[test]
fn f11_a_password_that_is_passed_on_is_passed_on_as_it_came() {
    let mark = unique("pw");
    for octets in PASSWORDS.iter().flat_map(Spelled::all).chain([&b"p\xff\xfe\x80"[..], b"\x9btab\there"]) {
        let octets = [octets, mark.as_bytes()].concat();
        let house = House::passing_on();
        let (mut pop3, _) = house.at_pop3();
        pop3.ask("USER home", "+OK");
        ask(&mut pop3, &[b"PASS ", &octets], "+OK in");
        pop3.ask("QUIT", "+OK");
        let received = house.pop3.finished(0);
        let line = [&b"PASS "[..], &octets, b"\r\n"].concat();
        assert!(memchr::memmem::find(&received, &line).is_some(), "{}", received.escape_ascii());

        let at_provider = b64([b"\0", ANN.as_bytes(), b"\0", &octets].concat());
        let plain = vec![format!("AUTH PLAIN {}", b64([b"\0home\0", octets.as_slice()].concat()))];
        let login = vec!["AUTH LOGIN".to_owned(), b64("home"), b64(&octets)];
        for (number, lines) in [plain, login].iter().enumerate() {
            let mut smtp = house.at_smtp();
            for line in lines {
                smtp.ask(line, if line == lines.last().unwrap() { "235 " } else { "334 " });
            }
            crate::sign_in::send_on(&mut smtp);
            smtp.ask_reply("QUIT", "221 ");
            let received = String::from_utf8_lossy(&house.smtp.finished(number)).into_owned();
            assert!(received.contains(&format!("AUTH PLAIN {at_provider}\r\n")), "{received}");
        }
    }
}

#[test]
fn f11_a_line_end_in_a_password_is_no_password() {
    let house = House::passing_on();
    for octets in [&b"pw\rSTAT"[..], b"pw\nSTAT", b"pw\0x", b"pw\r\nDELE 1"] {
        let mut smtp = house.at_smtp();
        smtp.ask_reply(&format!("AUTH PLAIN {}", b64([b"\0home\0", octets].concat())), "501 ");
        let (mut pop3, _) = house.at_pop3();
        pop3.ask("AUTH PLAIN", "+ ");
        pop3.ask(&b64([b"\0home\0", octets].concat()), "-ERR this is not a valid answer");
    }
    let (mut pop3, _) = house.at_pop3();
    pop3.ask("USER home", "+OK");
    pop3.send(b"PASS a\0b\r\n");
    pop3.expect("-ERR ");
    assert!(house.pop3.sessions().iter().all(|s| memchr::memmem::find(&s.received, b"PASS").is_none()));
}
