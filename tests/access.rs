//! Who may come in (`docs/promises.md`, section 10): other users, wrong passwords, browsers and TLS on a plain door; and that
//! nothing reaches a provider before it is known who it is.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use ostler_mail::sasl::{Exchange, Mechanism};
use ostler_mail::secret::Secret;
use support::ca::TestCa;
use support::client::Client;
use support::ostler::{Account, Home, Ostler, Server};
use support::process::{as_nobody, command, run, said};
use support::provider::{Part, Provider, Step, expect, say};
use support::{find, folder, is_root, mail, private_file, require, skip, unique, wait_for};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

fn fetch_part() -> Part {
    let steps = ["+OK ready", "USER", "+OK", "PASS the-providers", "+OK in", "STAT", "+OK 0 0", "QUIT", "+OK bye"];
    steps.iter().enumerate().map(|(at, text)| if at % 2 == 0 { say(text) } else { expect(text) }).collect()
}

fn send_part() -> Part {
    let mut part =
        vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN"), expect("AUTH PLAIN"), say("235 in")];
    part.extend([expect("MAIL"), say("250 ok"), expect("RCPT"), say("250 ok"), expect("DATA"), say("354 go on")]);
    part.extend([Step::ExpectMessage, say("250 2.0.0 queued"), expect("QUIT"), say("221 bye")]);
    part
}

/// ostler whose password comes from a command that leaves a file when it is run.
struct House {
    pop3: Provider,
    smtp: Provider,
    ostler: Ostler,
    local: String,
}

impl House {
    fn start(access: &str) -> Self {
        let (pop3, smtp) = (Provider::always(fetch_part()), Provider::always(send_part()));
        let local = unique("local");
        let mut home = Home::with_settings(&TestCa::new(), &[], &format!("access = {access:?}"), "");
        let (ran, file) = (home.path().join("ran"), home.path().join("local"));
        private_file(&file, &format!("{local}\n"));
        let secret = format!("password = {{ command = \"touch {}; echo the-providers\" }}", ran.display());
        let mut text = home.settings();
        for (name, address) in [("home", ANN), ("work", "work@example.org")] {
            text.push_str(&format!("\n[[account]]\nname = {name:?}\naddress = {address:?}\n{secret}\n"));
            if access == "password" {
                text.push_str(&format!("local_password = {{ file = {:?} }}\n", file.display().to_string()));
            }
            for (table, port) in [("pop3", pop3.port), ("smtp", smtp.port)] {
                text.push_str(&format!(
                    "[account.{table}]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\n"
                ));
            }
        }
        home.write_settings(&text);
        home.keep_secret(&local);
        home.keep_secret("the-providers");
        home.allow_secret("the-providers", "settings", "the test's command says it");
        let ostler = home.run_as(&["run", "-v"]);
        Self { pop3, smtp, ostler, local }
    }

    /// Nothing has gone to a provider, and no secret was asked for.
    fn untouched(&self) {
        assert_eq!((self.pop3.connections(), self.smtp.connections()), (0, 0));
        assert!(!self.ostler.home.path().join("ran").exists(), "the secret's command was run");
    }

    fn secret(&self) -> Arc<Secret> {
        Arc::new(Secret::new(self.local.clone()).unwrap())
    }
}

fn b64(text: &str) -> String {
    BASE64.encode(text)
}

/// Sends one message behind a sign-in.
fn send_on(smtp: &mut Client) {
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    smtp.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    smtp.ask_reply("DATA", "354");
    smtp.send(mail::stuffed(b"Subject: in\r\n\r\nin\r\n"));
    smtp.expect_reply("250 2.0.0 queued");
    smtp.ask_reply("QUIT", "221");
}

#[test]
fn another_users_program_is_refused_at_once_and_nothing_is_asked_for_it() {
    require!("setpriv", "python3");
    if !is_root() {
        return skip("root, to be another user");
    }
    let house = House::start("same-user");
    let pop = as_nobody(house.ostler.pop3, "USER home\r\nPASS x\r\nSTAT\r\nQUIT\r\n");
    if pop.contains("Permission denied") || pop.contains("can't open") {
        return skip("a python3 that another user may run");
    }
    assert!(
        pop.starts_with("-ERR [SYS/PERM] ostler does not let this program in: it belongs to another user"),
        "{pop}"
    );
    let smtp = as_nobody(house.ostler.smtp, &format!("EHLO x\r\nMAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n"));
    assert!(smtp.starts_with("554 5.7.1 ostler does not let this program in: it belongs to another user"), "{smtp}");
    assert_eq!((pop.trim_end().lines().count(), smtp.trim_end().lines().count()), (1, 1), "{pop}{smtp}");
    house.untouched();
    wait_for("both in the log", || (house.ostler.log().matches("was not let in").count() == 2).then_some(()));
    // One's own are served.
    let mut own = Client::greeted(house.ostler.pop3, "+OK");
    own.ask("USER home", "+OK");
    own.ask("PASS x", "+OK in");
}

#[test]
fn a_client_that_has_gone_already_gets_no_session_at_the_provider() {
    let house = House::start("same-user");
    for _ in 0..20 {
        // Everything in one go, and gone: whether it was seen alive is the system's to say.
        let mut client = Client::connect(house.ostler.pop3);
        client.send("USER home\r\nPASS x\r\nDELE 1\r\n");
        client.reset();
    }
    // All are over before the next is asked.
    wait_for("the sessions to end", || {
        let status = house.ostler.home.ostler(&["status", "--json"], "");
        let status: serde_json::Value =
            serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("no document: {status:?}"));
        (status["sessions"] == serde_json::json!([])).then_some(())
    });
    for session in house.pop3.sessions() {
        assert!(memchr::memmem::find(&session.received, b"QUIT").is_none());
        assert!(memchr::memmem::find(&session.received, b"DELE").is_none(), "{session:?}");
    }
}

#[test]
fn every_way_to_give_the_local_password_opens_the_pop3_door() {
    let house = House::start("password");
    let local = &house.local;
    let greeted = || {
        let mut pop = Client::connect(house.ostler.pop3);
        let greeting = pop.expect("+OK");
        (pop, greeting)
    };
    let stat = |mut pop: Client| {
        pop.ask("STAT", "+OK 0 0");
        pop.ask("QUIT", "+OK bye");
    };
    let (mut pop, _) = greeted();
    pop.ask("USER home", "+OK");
    assert_eq!(house.pop3.connections(), 0, "before the password was right");
    pop.ask(&format!("PASS {local}"), "+OK in");
    stat(pop);

    let (mut pop, greeting) = greeted();
    let stamp = &greeting[greeting.find('<').expect("a timestamp")..=greeting.find('>').unwrap()];
    pop.ask(&format!("APOP {ANN} {}", ostler_mail::wire::hex(&Md5::digest(format!("{stamp}{local}")))), "+OK in");
    stat(pop);
    let (_, other) = greeted();
    assert!(!other.contains(stamp), "no stamp twice");

    let plain = b64(&format!("\0home\0{local}"));
    let (mut pop, _) = greeted();
    pop.ask(&format!("AUTH PLAIN {plain}"), "+OK in");
    stat(pop);
    let (mut pop, _) = greeted();
    pop.ask("AUTH PLAIN", "+ ");
    pop.ask(&plain, "+OK in");
    stat(pop);
    let (mut pop, _) = greeted();
    pop.ask("AUTH LOGIN", "+ VXNlcm5hbWU6");
    pop.ask(&b64("home"), "+ UGFzc3dvcmQ6");
    pop.ask(&b64(local), "+OK in");
    stat(pop);
    let (mut pop, _) = greeted();
    pop.ask("CAPA", "+OK");
    let mut offered = String::new();
    while !offered.ends_with(".\n") {
        offered += &(pop.line().unwrap() + "\n");
    }
    assert!(offered.contains("SASL ") && offered.contains("CRAM-MD5") && offered.contains("PLAIN"), "{offered}");
    let challenge = pop.ask("AUTH CRAM-MD5", "+ ");
    let answer = Exchange::new(Mechanism::CramMd5, "home", house.secret()).respond(&challenge.as_bytes()[2..]).unwrap();
    pop.ask(&answer, "+OK in");
    stat(pop);
}

#[test]
fn every_way_to_give_the_local_password_opens_the_smtp_door() {
    let house = House::start("password");
    let local = &house.local;
    let greeted = || {
        let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
        let offered = smtp.ask_reply("EHLO old-pc", "250");
        assert!(
            offered.contains("250-AUTH LOGIN PLAIN CRAM-MD5\n") && offered.contains("250-AUTH=LOGIN PLAIN"),
            "{offered}"
        );
        smtp
    };
    let plain = b64(&format!("\0home\0{local}"));
    let mut smtp = greeted();
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "530 ");
    assert_eq!(house.smtp.connections(), 0);
    smtp.ask_reply(&format!("AUTH PLAIN {plain}"), "235 ");
    send_on(&mut smtp);
    let mut smtp = greeted();
    let challenge = smtp.ask("AUTH PLAIN", "334");
    assert_eq!(challenge, "334 ", "with its blank");
    smtp.ask_reply(&plain, "235 ");
    send_on(&mut smtp);
    for initial in [false, true] {
        let mut smtp = greeted();
        if initial {
            smtp.ask(&format!("AUTH LOGIN {}", b64(ANN)), "334 UGFzc3dvcmQ6");
        } else {
            smtp.ask("auth login", "334 VXNlcm5hbWU6");
            smtp.ask(&b64(ANN), "334 UGFzc3dvcmQ6");
        }
        smtp.ask_reply(&b64(local), "235 ");
        send_on(&mut smtp);
    }
    let mut smtp = greeted();
    let challenge = smtp.ask("AUTH CRAM-MD5", "334 ");
    let answer = Exchange::new(Mechanism::CramMd5, "home", house.secret()).respond(&challenge.as_bytes()[4..]).unwrap();
    smtp.ask_reply(&answer, "235 ");
    send_on(&mut smtp);
    assert_eq!(house.smtp.connections(), 5);
}

#[test]
fn pythons_libraries_know_the_local_password_in_all_its_forms() {
    require!("python3");
    let house = House::start("password");
    let script = format!(
        "import smtplib,poplib\nu,p={ANN:?},{:?}\n\
         for a in ('auth_cram_md5','auth_plain','auth_login'):\n s=smtplib.SMTP('127.0.0.1',{});s.ehlo();s.user,s.password=u,p\n \
         s.auth(a[5:].replace('_','-').upper(),getattr(s,a));s.sendmail(u,['{BOB}'],'Subject: x\\r\\n\\r\\nx\\r\\n');s.quit()\n\
         for a in (0,1):\n c=poplib.POP3('127.0.0.1',{})\n if a: c.apop(u,p)\n else: c.user(u);c.pass_(p)\n c.stat();c.quit()\n",
        house.local, house.ostler.smtp, house.ostler.pop3
    );
    let output = run(&mut command("python3", ["-c", &script]), "");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((house.smtp.connections(), house.pop3.connections()), (3, 2));
}

#[test]
fn a_wrong_an_empty_and_a_missing_password_reach_no_provider_and_no_secret() {
    let house = House::start("password");
    let (pop3, smtp) = (house.ostler.pop3, house.ostler.smtp);
    // Each is refused a little later than the last, and the third ends the connection.
    let three = |port: u16, greeting: &str, before: &[(&str, &str)], tries: &[Vec<(String, &str)>]| {
        let mut client = Client::greeted(port, greeting);
        for (line, answer) in before {
            client.ask_reply(line, answer);
        }
        let mut last = Duration::ZERO;
        for attempt in tries {
            let asked = Instant::now();
            for (line, answer) in attempt {
                client.ask(line, answer);
            }
            assert!(asked.elapsed() > last, "{:?} after {last:?}", asked.elapsed());
            last = asked.elapsed();
        }
        client.expect_end();
    };
    let pass =
        |word: &str, answer: &'static str| vec![("USER home".to_owned(), "+OK"), (format!("PASS {word}"), answer)];
    let plain = |name: &str, word: &str, answer: &'static str| {
        vec![(format!("AUTH PLAIN {}", b64(&format!("\0{name}\0{word}"))), answer)]
    };
    let cram = |name: &str, answer: &'static str| {
        vec![("AUTH CRAM-MD5".to_owned(), "334 "), (b64(&format!("{name} {}", "0".repeat(32))), answer)]
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            three(
                pop3,
                "+OK",
                &[],
                &[pass("wrong", "-ERR [AUTH]"), pass("", "-ERR [AUTH]"), pass("the-providers", "-ERR [AUTH]")],
            )
        });
        let apop = |answer| vec![(format!("APOP home {}", "0".repeat(32)), answer)];
        scope.spawn(move || three(pop3, "+OK", &[], &[apop("-ERR [AUTH]"), apop("-ERR [AUTH]"), apop("-ERR [AUTH]")]));
        let tries = [plain("home", "wrong", "535 5.7.8 "), plain("home", "", "535 "), cram("home", "421 ")];
        scope.spawn(move || three(smtp, "220 ", &[("EHLO x", "250")], &tries));
        // A name that is nobody's is no different.
        let tries = [plain("nobody", "wrong", "535 5.7.8 "), cram("nobody", "535 "), plain("", "", "421 ")];
        scope.spawn(move || three(smtp, "220 ", &[("EHLO x", "250")], &tries));
    });
    let mut missing = Client::greeted(smtp, "220 ");
    missing.ask_reply("EHLO x", "250");
    missing.ask_reply(&format!("MAIL FROM:<{ANN}>"), "530 5.7.0 ");
    missing.ask_reply(&format!("RCPT TO:<{BOB}>"), "503 ");
    missing.ask_reply("DATA", "503 ");
    missing.ask("AUTH LOGIN", "334 ");
    missing.ask_reply("*", "501 ");
    missing.ask_reply(&format!("MAIL FROM:<{ANN}>"), "530 5.7.0 ");
    let mut missing = Client::greeted(pop3, "+OK");
    missing.ask("STAT", "-ERR");
    missing.ask("RETR 1", "-ERR");
    missing.ask("DELE 1", "-ERR");
    missing.ask("QUIT", "+OK");
    house.untouched();
}

#[test]
fn the_local_password_is_never_passed_on_to_a_provider() {
    let provider = Provider::always(vec![say("+OK ready"), expect("USER"), say("+OK"), Step::Stall]);
    let local = unique("local");
    let mut home = Home::with_settings(&TestCa::new(), &[], "access = \"password\"", "");
    let file = home.path().join("local");
    private_file(&file, &format!("{local}\n"));
    home.keep_secret(&local);
    home.write_settings(&format!(
        "{}\n[[account]]\nname = \"home\"\naddress = \"{ANN}\"\npassword = \"client\"\nlocal_password = {{ file = {:?} }}\n\
         [account.pop3]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\n",
        home.settings(),
        file.display().to_string(),
        provider.port
    ));
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask(&format!("PASS {local}"), "-ERR [SYS/TEMP]");
    let heard = String::from_utf8(provider.finished(0)).unwrap();
    assert!(heard.contains(ANN) && !heard.contains("PASS"), "{heard}");
}

#[test]
fn a_name_that_is_nobodys_is_refused_like_a_wrong_password_where_one_is_wanted() {
    let house = House::start("password");
    let answer = |name: &str| {
        let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
        smtp.ask_reply("EHLO x", "250");
        smtp.ask_reply(&format!("AUTH PLAIN {}", b64(&format!("\0{name}\0wrong"))), "535 ")
    };
    assert_eq!(answer("home"), answer("nobody"));
    house.untouched();
}

#[test]
fn one_accounts_password_lets_nobody_send_for_another() {
    let house = House::start("password");
    let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
    smtp.ask_reply("EHLO x", "250");
    smtp.ask_reply(&format!("AUTH PLAIN {}", b64(&format!("\0home\0{}", house.local))), "235 ");
    // The account that signed in decides, not the sender.
    smtp.ask_reply("MAIL FROM:<work@example.org>", "250");
    let status = house.ostler.home.ostler(&["status", "--json"], "");
    let status: serde_json::Value =
        serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("no document: {status:?}"));
    assert_eq!(status["sessions"][0]["account"], "home", "{status}");
}

#[test]
fn anyone_may_come_in_where_the_file_says_so_and_the_log_says_it_too() {
    let house = House::start("anyone");
    wait_for("it in the log", || house.ostler.log().contains("access = \"anyone\"").then_some(()));
    let mut pop = Client::greeted(house.ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS", "+OK in");
    if is_root() && find("setpriv").is_some() && find("python3").is_some() {
        let heard = as_nobody(house.ostler.pop3, "QUIT\r\n");
        assert!(heard.starts_with("+OK") || heard.contains("denied") || heard.contains("can't open"), "{heard}");
    }
}

/// A line of an account whose local password is in a file, and that file.
fn local_password_in_file() -> (tempfile::TempDir, String) {
    let at = folder();
    let file = at.path().join("local");
    private_file(&file, &unique("local"));
    let line = format!("local_password = {{ file = {file:?} }}");
    (at, line)
}

#[test]
fn a_door_beyond_loopback_wants_networks_and_the_password() {
    let (_at, local_password) = local_password_in_file();
    for (local, is_right) in [
        ("", false),
        ("access = \"password\"", false),
        ("allow = [\"192.168.56.0/24\"]", false),
        ("access = \"anyone\"\nallow = [\"192.168.56.0/24\"]", false),
        ("access = \"password\"\nallow = []", false),
        ("access = \"password\"\nallow = [\"192.168.56.0/24\"]", true),
    ] {
        let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", 995)).line(&local_password);
        let home = Home::new(&TestCa::new(), &[account]);
        let text = home.settings().replace("pop3 = \"127.0.0.1:", "pop3 = \"0.0.0.0:");
        home.write_settings(&text.replace("[local]", &format!("[local]\n{local}")));
        if is_right {
            drop(home.run());
            continue;
        }
        let output = run(home.command(&["run"]).stdin(Stdio::null()), "");
        assert_eq!(output.status.code(), Some(2), "{local}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{local}: {}", said(&output));
        let file = home.settings_file().display().to_string();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(&format!("{file}:")) && complaint.contains("local."), "{local}: {complaint}");
    }
}

#[test]
fn a_client_from_a_network_that_is_not_allowed_is_refused() {
    let (_at, local_password) = local_password_in_file();
    // The machine's own address, where it has one beyond loopback, is a client from elsewhere.
    let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = udp.connect("192.0.2.1:9").and_then(|()| udp.local_addr());
    let Some(address) = address.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    else {
        return skip("an address beyond loopback");
    };
    for (networks, is_let_in) in [("203.0.113.0/24".to_owned(), false), (format!("{address}/32"), true)] {
        let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", 995)).line(&local_password);
        let home = Home::new(&TestCa::new(), &[account]);
        let text = home.settings().replace("pop3 = \"127.0.0.1:", "pop3 = \"0.0.0.0:");
        let local = format!("[local]\naccess = \"password\"\nallow = [{networks:?}]");
        home.write_settings(&text.replace("[local]", &local));
        let ostler = home.run();
        let mut client = Client::connect_to(&address.to_string(), ostler.pop3);
        if is_let_in {
            client.expect("+OK");
        } else {
            client.expect("-ERR [SYS/PERM]");
            client.expect_end();
            wait_for("it in the log", || ostler.log().contains("was not let in").then_some(()));
        }
    }
}

const HTTP: [&str; 10] = [
    "GET / HTTP/1.1",
    "POST /x HTTP/1.1",
    "put / HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "HEAD / HTTP/1.1",
    "CONNECT a:1 HTTP/1.1",
    "DELETE / HTTP/1.1",
    "PATCH / HTTP/1.1",
    "Host: 127.0.0.1:2110",
    "content-type:text/plain",
];

/// The beginning of a TLS 1.0 hello, with no line end in it.
const HELLO: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x01abcdefgh";

#[test]
fn browsers_are_ended_and_named_on_both_doors_before_and_in_a_session() {
    let house = House::start("same-user");
    let mut named = 0;
    for line in HTTP {
        for in_session in [false, true] {
            let body =
                format!("{line}\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<{ANN}>\r\nUSER home\r\nPASS x\r\nSTAT\r\n");
            let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
            if in_session {
                smtp.ask_reply("EHLO x", "250");
            }
            smtp.try_send(&body);
            let heard = String::from_utf8(smtp.rest()).unwrap();
            assert!(
                heard.starts_with("421 ") && heard.contains("HTTP") && heard.lines().count() == 1,
                "{line}: {heard}"
            );
            let mut pop = Client::greeted(house.ostler.pop3, "+OK");
            if in_session {
                pop.ask("USER home", "+OK");
            }
            pop.try_send(&body);
            let heard = String::from_utf8(pop.rest()).unwrap();
            assert!(
                heard.starts_with("-ERR ") && heard.contains("HTTP") && heard.lines().count() == 1,
                "{line}: {heard}"
            );
            named += 2;
        }
    }
    wait_for("each of them in the log", || {
        (house.ostler.log().matches("it speaks HTTP").count() == named).then_some(())
    });
    // In the middle of a session at the provider, too.
    let before = house.pop3.connections();
    let mut pop = Client::greeted(house.ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK in");
    pop.send("POST / HTTP/1.1\r\n\r\nDELE 1\r\nQUIT\r\n");
    let heard = String::from_utf8(pop.rest()).unwrap();
    assert!(heard.starts_with("-ERR ") && heard.contains("HTTP"), "{heard}");
    let received = house.pop3.over(before).received;
    assert!(memchr::memmem::find(&received, b"DELE").is_none() && memchr::memmem::find(&received, b"QUIT").is_none());
}

#[test]
fn tls_on_a_plain_door_is_ended_and_named_before_and_in_a_session() {
    let house = House::start("same-user");
    let told = |mut client: Client, ostler: &Ostler, start: &str| {
        let before = ostler.log().matches("it speaks TLS").count();
        client.send(HELLO);
        let heard = String::from_utf8(client.rest()).unwrap();
        assert!(heard.starts_with(start) && heard.contains("TLS"), "{heard}");
        wait_for("its name in the log", || (ostler.log().matches("it speaks TLS").count() > before).then_some(()));
    };
    told(Client::greeted(house.ostler.smtp, "220 "), &house.ostler, "421 ");
    told(Client::greeted(house.ostler.pop3, "+OK"), &house.ostler, "-ERR ");
    let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
    smtp.ask_reply("EHLO x", "250");
    smtp.ask_reply("STARTTLS", "502 ");
    told(smtp, &house.ostler, "421 ");
    let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
    smtp.ask_reply("EHLO x", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    told(smtp, &house.ostler, "421 ");
    let mut pop = Client::greeted(house.ostler.pop3, "+OK");
    pop.ask("STLS", "-ERR");
    told(pop, &house.ostler, "-ERR ");
    let mut pop = Client::greeted(house.ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK in");
    told(pop, &house.ostler, "-ERR ");
}

#[test]
fn unknown_names_are_refused_with_those_that_exist_and_named_in_the_log() {
    let house = House::start("same-user");
    let mut pop = Client::greeted(house.ostler.pop3, "+OK");
    pop.ask("USER joe", "-ERR [AUTH] ostler has no account \"joe\"; it has: home, work");
    wait_for("the name in the log", || house.ostler.log().contains("no account \"joe\"").then_some(()));
    pop.ask(&format!("APOP jim {}", "0".repeat(32)), "-ERR [AUTH] ostler has no account \"jim\"");
    pop.ask("USER work", "+OK");
    let mut smtp = Client::greeted(house.ostler.smtp, "220 ");
    smtp.ask_reply("HELO", "250");
    let refusal = smtp.ask_reply("MAIL FROM:<joe@elsewhere.example>", "550 5.7.1 ");
    assert!(refusal.contains("home, work"), "{refusal}");
    wait_for("the sender in the log", || house.ostler.log().contains("joe@elsewhere.example").then_some(()));
    smtp.ask_reply("MAIL FROM:<>", "550 5.7.1 ");
}
