//! Behind a load balancer: whose PROXY header is believed, what the balancer may ask, and two ostlers behind a real haproxy of
//! which one is stopped in the middle.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::ca::TestCa;
use support::client::Client;
use support::lan::{connect, lan};
use support::ostler::{Home, Ostler};
use support::postfix::Postfix;
use support::process::{Process, run_well};
use support::provider::{Part, Provider, expect, say};
use support::running::Run;
use support::world::World;
use support::{folder, private_file, require, unique, wait_for};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";
const OSTLER: &str = "10.9.0.1";
const SECOND: &str = "10.9.0.2";
const BALANCER: &str = "10.9.0.5";
const CLIENT: &str = "10.9.0.7";
const STRANGER: &str = "10.9.0.8";
const ADDRESSES: [&str; 5] = [OSTLER, SECOND, BALANCER, CLIENT, STRANGER];

fn fetch_part() -> Part {
    let steps = ["+OK ready", "USER", "+OK", "PASS", "+OK in", "QUIT", "+OK bye"];
    steps.iter().enumerate().map(|(at, text)| if at % 2 == 0 { say(text) } else { expect(text) }).collect()
}

/// A home whose ostler has doors and probes at this address.
fn home(world: &World, at: &str, local: &str, servers: &str) -> Home {
    let mut home = Home::with_settings(world.ca(), &[], "", "").inside(world);
    let (password, local_password) = (home.path().join("password"), home.path().join("local"));
    private_file(&password, "the-providers\n");
    private_file(&local_password, &format!("{local}\n"));
    home.keep_secret("the-providers");
    home.keep_secret(local);
    home.write_settings(&format!(
        "[local]\npop3 = \"{at}:110\"\nsmtp = \"{at}:25\"\nimap = \"{at}:143\"\npage = \"{at}:2080\"\naccess = \"password\"\n\
         allow = [\"{CLIENT}\"]\nproxies = [\"{BALANCER}\"]\nmetrics = true\n[timeouts]\nlogin = \"2s\"\n\
         [[account]]\nname = \"home\"\naddress = \"{ANN}\"\npassword = {{ file = {password:?} }}\n\
         local_password = {{ file = {local_password:?} }}\n{servers}\n"
    ));
    home
}

/// A provider, and an ostler in front of it.
struct House {
    // Ends last.
    ostler: Ostler,
    provider: Provider,
    local: String,
    world: World,
}

impl House {
    fn start() -> Self {
        let world = lan(&ADDRESSES);
        let provider = world.in_network(|| Provider::always(fetch_part()));
        let local = unique("local");
        let servers = format!("[account.pop3]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"", provider.port);
        let ostler = home(&world, OSTLER, &local, &servers).run();
        Self { ostler, provider, local, world }
    }

    fn connect(&self, from: &str, first: &[u8]) -> Client {
        let mut client = Client::over(connect(&self.world, from, OSTLER, 110));
        client.send(first);
        client
    }

    /// The client is greeted and gets its mail.
    fn serves(&self, mut client: Client) {
        client.expect("+OK");
        client.ask("USER home", "+OK");
        client.ask(&format!("PASS {}", self.local), "+OK in");
        client.ask("QUIT", "+OK bye");
    }

    fn log_says(&self, words: &str) {
        wait_for(words, || self.ostler.log().contains(words).then_some(()));
    }

    /// What a program at this address is told; empty: nothing.
    fn asks(&self, from: &str, request: &str) -> String {
        let mut stream = connect(&self.world, from, OSTLER, 2080);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }
}

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} {OSTLER} 40001 110\r\n").into_bytes()
}

fn v2(command: u8, client: [u8; 4]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, 0x11, 0, 12], &client, &[10, 9, 0, 1, 0x9c, 0x41, 0, 110]].concat()
}

#[test]
fn the_calculation_for_many_mailboxes_agrees_with_a_simulation_of_them() {
    require!("python3");
    let reckon = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scale/reckon");
    run_well(&mut support::process::command("python3", [reckon, "--check"]), "");
}

#[test]
fn the_client_that_a_balancer_names_is_the_client() {
    require!("world");
    let house = House::start();
    house.serves(house.connect(BALANCER, &v1(CLIENT)));
    house.serves(house.connect(BALANCER, &v2(1, [10, 9, 0, 7])));
    // A header in pieces, while `status` is asked whose session it is.
    let header = v1(CLIENT);
    let mut client = house.connect(BALANCER, &header[..9]);
    client.send(&header[9..]);
    client.expect("+OK");
    let status = String::from_utf8(house.ostler.home.ostler(&["status", "--json"], "").stdout).unwrap();
    assert!(status.contains(&format!("{CLIENT}:40001")), "{status}");
    drop(client);
    // An IPv4 client as a balancer that listens for both families names it.
    let mut client = house.connect(BALANCER, format!("PROXY TCP6 ::ffff:{CLIENT} ::1 40002 110\r\n").as_bytes());
    client.expect("+OK");
    let status = String::from_utf8(house.ostler.home.ostler(&["status", "--json"], "").stdout).unwrap();
    assert!(status.contains(&format!("\"{CLIENT}:40002")), "{status}");
    drop(client);
    // And who may connect without one.
    house.serves(house.connect(CLIENT, b""));
}

#[test]
fn a_balancer_on_the_same_computer_is_believed_at_a_door_for_others() {
    let provider = Provider::always(fetch_part());
    let mut home = Home::with_settings(&TestCa::new(), &[], "", "");
    let (password, local_password) = (home.path().join("password"), home.path().join("local"));
    let local = unique("local");
    private_file(&password, "the-providers\n");
    private_file(&local_password, &format!("{local}\n"));
    home.keep_secret("the-providers");
    home.write_settings(&format!(
        "[local]\npop3 = \"0.0.0.0:{}\"\nsmtp = false\nimap = false\npage = false\naccess = \"password\"\n\
         allow = [\"127.0.0.7\"]\nproxies = [\"127.0.0.1\"]\n[[account]]\nname = \"home\"\naddress = \"{ANN}\"\n\
         password = {{ file = {password:?} }}\nlocal_password = {{ file = {local_password:?} }}\n\
         [account.pop3]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\n",
        home.pop3, provider.port
    ));
    let ostler = home.run();
    let named = |client: &str| {
        let mut balancer = Client::connect(ostler.pop3);
        balancer.send(v1(client));
        balancer
    };
    let mut client = named("127.0.0.7");
    client.expect("+OK");
    client.ask("USER home", "+OK");
    client.ask(&format!("PASS {local}"), "+OK in");
    client.ask("QUIT", "+OK bye");
    // Also a client on loopback has to be in `allow`, and a balancer has to name one.
    for stranger in ["127.0.0.8", STRANGER] {
        named(stranger).expect("-ERR [SYS/PERM]");
    }
    let mut silent = Client::connect(ostler.pop3);
    silent.send("USER home\r\n");
    silent.expect_end();
    assert_eq!(provider.connections(), 1);
}

#[test]
fn whoever_the_settings_do_not_let_in_stays_outside_whatever_a_header_says() {
    require!("world");
    let house = House::start();
    for header in [v1(STRANGER), v2(1, [10, 9, 0, 8]), v1("127.0.0.1")] {
        house.connect(BALANCER, &header).expect("-ERR");
    }
    house.log_says(&format!("{STRANGER}:40001 was not let in"));
    house.connect(STRANGER, b"").expect("-ERR");
    // Headers of machines that are no balancer.
    let mut client = house.connect(CLIENT, &v1(CLIENT));
    assert!(!String::from_utf8_lossy(&client.rest()).contains("+OK in"));
    house.log_says("`proxies`");
    // A balancer that says none, or says it too late.
    house.connect(BALANCER, b"USER home\r\n").expect_end();
    house.log_says("it sent no PROXY header, which");
    house.connect(BALANCER, b"").expect_end();
    house.log_says("it sent no PROXY header in time");
    house.connect(BALANCER, &[b"PROXY TCP4 ", &[b'1'; 200][..]].concat()).expect_end();
    assert_eq!(house.provider.connections(), 0);
}

#[test]
fn a_balancer_that_looks_whether_the_door_works_is_greeted_and_reaches_no_provider() {
    require!("world");
    let house = House::start();
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0".to_vec();
    for header in [v2(0, [10, 9, 0, 8]), v1(BALANCER), b"PROXY UNKNOWN\r\n".to_vec(), unspecified] {
        let mut client = house.connect(BALANCER, &header);
        client.expect("+OK");
        client.ask("USER home", "");
        client.ask(&format!("PASS {}", house.local), "-ERR");
        client.ask("QUIT", "+OK");
    }
    assert_eq!(house.provider.connections(), 0);
    assert!(!house.ostler.log().contains("was not let in"), "{}", house.ostler.log());
}

#[test]
fn a_balancer_may_ask_how_ostler_is_and_nothing_else() {
    require!("world");
    let house = House::start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: whoever.example\r\n\r\n");
    assert!(house.asks(BALANCER, &get("/health")).starts_with("HTTP/1.1 200 "));
    assert!(house.asks(BALANCER, "GET /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
    let metrics = house.asks(BALANCER, &get("/metrics"));
    assert!(metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains("\nostler_open_doors 3\n") && !metrics.contains("home"), "{metrics}");
    for (from, path) in [(CLIENT, "/health"), (STRANGER, "/metrics"), (BALANCER, "/"), (BALANCER, "/style.css")] {
        let answer = house.asks(from, &get(path));
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{from} {path}: {answer}");
    }
    run_well(&mut house.ostler.home.command(&["pause"]), "");
    assert!(house.asks(BALANCER, &get("/health")).starts_with("HTTP/1.1 503 "));
    house.connect(BALANCER, &v1(BALANCER)).expect("-ERR [SYS/TEMP]");
    run_well(&mut house.ostler.home.command(&["resume"]), "");
    assert!(house.asks(BALANCER, &get("/health")).starts_with("HTTP/1.1 200 "));
    // The settings page is not there: `ostler settings` says so instead of naming the probes.
    let said = house.ostler.home.ostler(&["settings", "--print"], "");
    assert!(!said.status.success() && !String::from_utf8_lossy(&said.stdout).contains("2080"), "{said:?}");
}

const HAPROXY: &str = "
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch
    default-server send-proxy-v2 source 10.9.0.5 check inter 100ms fall 1 rise 1
frontend send
    bind 127.0.0.1:2525
    default_backend send
backend send
    option httpchk GET /health
    server one 10.9.0.1:25 port 2080
    server two 10.9.0.2:25 port 2080
";

#[test]
fn health_is_red_before_the_doors_close() {
    require!("world");
    let house = House::start();
    let health = |house: &House| house.asks(BALANCER, "GET /health HTTP/1.0\r\n\r\n");
    assert!(health(&house).starts_with("HTTP/1.0 200 "));
    let process = rustix::process::Pid::from_raw(house.ostler.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    wait_for("the balancer to be told", || health(&house).starts_with("HTTP/1.0 503 ").then_some(()));
    // What the balancer sends meanwhile is served.
    house.serves(house.connect(BALANCER, &v1(CLIENT)));
    house.log_says("ostler is ending");
    assert!(health(&house).contains("ending"));
}

#[test]
fn of_two_ostlers_behind_haproxy_one_is_stopped_and_nothing_is_lost_or_doubled() {
    require!("world", "postfix", "haproxy");
    let world = lan(&ADDRESSES);
    let postfix = Postfix::builder().inside(&world, "127.0.0.1", [1025, 1587, 1465]).start();
    let local = unique("local");
    let servers = "[account.smtp]\nhost = \"127.0.0.1\"\nport = 1025\nsecurity = \"none\"\nauth = \"none\"";
    let homes = [OSTLER, SECOND].map(|at| home(&world, at, &local, servers));
    for home in &homes {
        // haproxy's own address stands for its clients here.
        let text = home.settings().replace(&format!("allow = [\"{CLIENT}\"]"), "allow = [\"127.0.0.1\"]");
        home.write_settings(&text);
    }
    let mut first = Run::start(&homes[0], &[]).ready();
    let mut second = Run::start(&homes[1], &[]).ready();
    let at = folder();
    let file = at.path().join("haproxy.cfg");
    std::fs::write(&file, HAPROXY).unwrap();
    let mut start = world.command("haproxy", &["-db", "-f", file.to_str().unwrap()]);
    let mut haproxy = Process::start("haproxy", &mut start);
    assert!(haproxy.comes_up(|| world.in_network(|| TcpStream::connect("127.0.0.1:2525").is_ok())));

    let mut accepted = BTreeMap::new();
    for number in 0..40 {
        if number == 15 {
            first.signal(rustix::process::Signal::TERM);
        }
        // As a mail program does: until it hears that the message is sent.
        let answer = wait_for("a message to be sent", || send_through(&world, &local, number));
        accepted.insert(number, answer);
    }
    assert!(first.ended().success());
    wait_for("all messages", || (postfix.deliveries().len() >= 40).then_some(()));
    let mut arrived = BTreeMap::new();
    for delivery in postfix.deliveries() {
        let text = String::from_utf8_lossy(&delivery.content).into_owned();
        let number = text.split("Subject: number ").nth(1).and_then(|rest| rest.split_whitespace().next());
        *arrived.entry(number.unwrap().parse::<i32>().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(arrived, accepted.keys().map(|number| (*number, 1)).collect(), "each once");
    second.end_well();
    assert!(first.err.text().contains("octets sent to") && second.err.text().contains("octets sent to"));
}

/// One try to send a message through haproxy; nothing if it was not taken.
fn send_through(world: &World, local: &str, number: i32) -> Option<String> {
    let stream = world.in_network(|| TcpStream::connect("127.0.0.1:2525").ok())?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut client = Client::over(stream);
    client.try_reply().filter(|reply| reply.starts_with("220"))?;
    let plain = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("\0home\0{local}"));
    for (line, code) in [
        ("EHLO old-pc".to_owned(), "250"),
        (format!("AUTH PLAIN {plain}"), "235"),
        (format!("MAIL FROM:<{ANN}>"), "250"),
        (format!("RCPT TO:<{BOB}>"), "250"),
        ("DATA".to_owned(), "354"),
    ] {
        client.try_ask(&line).filter(|reply| reply.starts_with(code))?;
    }
    client.try_send(format!("Subject: number {number} \r\n\r\nx\r\n.\r\n"));
    let answer = client.try_reply().filter(|reply| reply.starts_with("250"));
    client.try_ask("QUIT");
    answer
}
