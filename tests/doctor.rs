//! `ostler check` as the doctor: each cause it recognises, at real servers, with what it says to do, and that doing so
//! helps; and `ostler check --explain` back from what programs show.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::Ipv4Addr;

use serde_json::Value;
use support::ca::TestCa;
use support::dovecot::Dovecot;
use support::forward::{forward, own_address};
use support::gate::{Gate, Rules};
use support::openssl::serve as openssl;
use support::ostler::{Account, Home, Server};
use support::postfix::Postfix;
use support::process::{out, said};
use support::provider::{FullQueue, Part, Provider, Step, expect, say};
use support::{free_port, require, unique};

const ANN: &str = "ann@example.org";
/// So that servers that never answer do not hold a test up.
const SHORT: &str = "\n[timeouts]\nconnect = \"500ms\"\ngreeting = \"1s\"\n";

fn account() -> Account {
    Account::new("home", ANN, &unique("pw"))
}

fn home(ca: &TestCa, account: Account) -> Home {
    Home::with_settings(ca, &[account], "", SHORT)
}

fn check(home: &Home) -> Value {
    let output = home.ostler(&["check", "--json"], "");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

fn failures(check: &Value) -> Vec<Value> {
    let steps = check["accounts"][0]["steps"].as_array().unwrap();
    steps.iter().filter(|step| step["ok"] == false).cloned().collect()
}

/// The first step that failed: its cause and its advice have these words, on the terminal too, and what programs show
/// for it explains back.
fn assert_finds(home: &Home, cause: &[&str], advice: &[&str]) -> Value {
    let check = check(home);
    let failed = failures(&check).first().unwrap_or_else(|| panic!("nothing failed: {check:#}")).clone();
    for (key, words) in [("cause", cause), ("advice", advice)] {
        let text = failed[key].as_str().unwrap_or_else(|| panic!("no {key}: {failed:#}"));
        for word in words {
            assert!(text.contains(word), "{word:?} is not in the {key}: {failed:#}");
        }
    }
    let shown = failed["shows"].as_array().unwrap();
    assert!(!shown.is_empty(), "{failed:#}");
    let explained = home.ostler(&["check", "--json", "--explain", shown[0]["text"].as_str().unwrap()], "");
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(explained["found"], true, "{failed:#}");
    failed
}

fn assert_works(home: &Home) {
    let check = check(home);
    assert_eq!(check["ok"], true, "{check:#}");
}

/// Changes the settings as a person does who reads the advice.
fn write(home: &Home, change: impl FnOnce(String) -> String) {
    home.write_settings(&change(home.settings()));
}

fn always(part: &[Step]) -> Provider {
    Provider::always(part.to_vec())
}

fn parts(part: &[Step]) -> Vec<Part> {
    vec![part.to_vec(); 8]
}

/// Puts a server at a usual port of an address; without the right to do so the test is left out.
macro_rules! usual_port {
    ($address:expr, $port:expr, $to:expr) => {
        if forward(($address, $port).into(), $to, Ipv4Addr::LOCALHOST, None).is_err() {
            return support::skip("the right to listen on ports below 1024");
        }
    };
}

// Ports and firewalls

#[test]
fn a_firewall_that_eats_the_port_is_found_and_the_other_port_works() {
    require!("dovecot");
    let (ca, address) = (TestCa::new(), own_address());
    let host = address.to_string();
    let secret = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.server(&host)).start();
    usual_port!(address, 110, dovecot.pop3);
    let swallow = FullQueue::at((address, 0));
    let home = home(&ca, Account::new("home", ANN, &secret).pop3(Server::at(&host, "tls", swallow.port)));
    let own = format!("port {}", swallow.port);
    let failed = assert_finds(
        &home,
        &[&own, "port 110 of the same server does", "firewall", "blocks"],
        &["port = 110", "security = \"starttls\""],
    );
    assert_eq!(failed["step"], "tcp");
    assert!(dovecot.logins().is_empty(), "a second look signs nobody in");
    let text = out(&home.ostler(&["check"], ""));
    assert!(text.contains("likely cause: port ") && text.contains("0x800CCC92"), "{text}");
    write(&home, |text| {
        text.replace(&format!("port = {}", swallow.port), "port = 110").replace("\"tls\"", "\"starttls\"")
    });
    assert_works(&home);
}

#[test]
fn a_wrong_port_is_told_from_a_swallowed_one() {
    require!("postfix", "dovecot");
    let (ca, address) = (TestCa::new(), own_address());
    let host = address.to_string();
    let secret = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &secret).start();
    let postfix = Postfix::builder().cert(ca.server(&host)).sasl(&dovecot).start();
    usual_port!(address, 587, postfix.submission);
    let home = home(&ca, Account::new("home", ANN, &secret).smtp(Server::at(&host, "tls", free_port())));
    assert_finds(&home, &["nothing listens", "port 587", "the port is wrong"], &["port = 587", "\"starttls\""]);
}

#[test]
fn a_server_none_of_whose_ports_answers_is_told_from_a_dead_network() {
    require!("dovecot");
    let (ca, address) = (TestCa::new(), own_address());
    let host = address.to_string();
    let secret = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let swallow = FullQueue::at((address, 0));
    let account = Account::new("home", ANN, &secret).pop3(Server::new("tls", dovecot.pop3s)).smtp(Server::at(
        &host,
        "tls",
        swallow.port,
    ));
    assert_finds(
        &home(&ca, account),
        &["neither port", "nor any of the usual ones (465, 587, 25)", "but localhost does"],
        &["another network"],
    );
    let alone = Account::new("home", ANN, &secret).pop3(Server::at(&host, "tls", swallow.port));
    assert_finds(&home(&ca, alone), &["neither port", "offline"], &["web page"]);
}

#[test]
fn a_port_and_a_security_that_do_not_fit_are_told_apart_and_the_advice_helps() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let postfix = Postfix::builder().cert(ca.localhost()).sasl(&dovecot).start();
    let fetching = |server| Account::new("home", ANN, &secret).pop3(server);
    let sending = |server| Account::new("home", ANN, &secret).smtp(server);
    for (account, cause, right) in [
        (fetching(Server::new("starttls", dovecot.pop3s)), "speaks TLS from the start", "tls"),
        (sending(Server::new("starttls", postfix.smtps)), "speaks TLS from the start", "tls"),
        (fetching(Server::new("tls", dovecot.pop3)), "starts without TLS", "starttls"),
        (sending(Server::new("tls", postfix.submission)), "starts without TLS", "starttls"),
    ] {
        let home = home(&ca, account);
        let advice = format!("security = \"{right}\"");
        assert_finds(&home, &[cause], &[&advice]);
        let wrong = if right == "tls" { "\"starttls\"" } else { "\"tls\"" };
        write(&home, |text| text.replace(&format!("security = {wrong}"), &advice));
        assert_works(&home);
    }
    // Another protocol altogether.
    let home = home(&ca, fetching(Server::new("tls", postfix.submission)));
    assert_finds(&home, &["is a server for SMTP"], &["host and port for POP3"]);
}

#[test]
fn a_port_without_encryption_leads_to_the_one_that_has_it() {
    require!("dovecot");
    let (ca, address, secret) = (TestCa::new(), own_address(), unique("pw"));
    let host = address.to_string();
    let in_clear = Dovecot::builder().user(ANN, &secret).start();
    let encrypted = Dovecot::builder().user(ANN, &secret).cert(ca.server(&host)).start();
    usual_port!(address, 995, encrypted.pop3s);
    let port = forward((address, 0).into(), in_clear.pop3, Ipv4Addr::LOCALHOST, None).unwrap();
    let fetching = |security| Account::new("home", ANN, &secret).pop3(Server::at(&host, security, port));
    let starttls = home(&ca, fetching("starttls"));
    assert_finds(&starttls, &["offers no encryption, but port 995"], &["port = 995", "security = \"tls\""]);
    assert_finds(&home(&ca, fetching("tls")), &["offers no encryption"], &["does not send a password without it"]);
    write(&starttls, |text| text.replace(&format!("port = {port}"), "port = 995").replace("\"starttls\"", "\"tls\""));
    assert_works(&starttls);
    assert!(in_clear.logins().is_empty());
}

// Networks in between

#[test]
fn the_sign_in_page_of_a_hotel_is_recognised() {
    let page =
        always(&[Step::Until(1), say("HTTP/1.1 302 Found"), say("Location: http://hotel.example/"), Step::Close]);
    for security in ["tls", "starttls", "none"] {
        for account in
            [account().pop3(Server::new(security, page.port)), account().smtp(Server::new(security, page.port))]
        {
            let home = home(&TestCa::new(), account);
            assert_finds(&home, &["sign-in page of a hotel or cafe network"], &["sign in to the network"]);
        }
    }
    // One that talks at once.
    let page = always(&[say("HTTP/1.0 200 OK"), Step::Close]);
    let home = home(&TestCa::new(), account().pop3(Server::new("starttls", page.port)));
    assert_finds(&home, &["hotel or cafe"], &["sign in to the network"]);
}

// Certificates and TLS

#[test]
fn servers_with_only_old_tls_are_named_as_such() {
    require!("openssl");
    let ca = TestCa::new();
    for version in ["-tls1", "-tls1_1"] {
        let Some((_server, port, _folder)) = openssl(&ca.localhost(), &[version, "-cipher", "ALL:@SECLEVEL=0"]) else {
            return support::skip("an openssl that still has TLS 1.0 and 1.1");
        };
        let home = home(&ca, account().pop3(Server::new("tls", port)));
        assert_finds(&home, &["has not been updated", "ostler does not use it"], &["newer server"]);
    }
    // Nothing but ciphers nobody uses any more.
    let handshake_failure = Step::Send(vec![0x15, 3, 3, 0, 2, 2, 40]);
    let server = always(&[Step::Until(1), handshake_failure, Step::Close]);
    let home = home(&ca, account().pop3(Server::new("tls", server.port)));
    assert_finds(&home, &["has not been updated"], &["newer server"]);
}

#[test]
fn a_certificate_without_names_is_explained_and_can_be_pinned() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    for (cert, cause) in [(ca.nameless(), "only a common name"), (TestCa::self_signed(), "small or private server")] {
        let dovecot = Dovecot::builder().user(ANN, &secret).cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        for account in [
            Account::new("home", ANN, &secret).pop3(Server::new("tls", dovecot.pop3s)),
            Account::new("home", ANN, &secret).pop3(Server::new("starttls", dovecot.pop3)),
            Account::new("home", ANN, &secret).smtp(Server::new("starttls", postfix.submission)),
        ] {
            let home = home(&ca, account);
            let failed = assert_finds(&home, &[cause], &["ask the people who run the server", "pin = \"sha256:"]);
            let advice = failed["advice"].as_str().unwrap();
            let pin = advice[advice.find("pin = ").unwrap()..].to_owned();
            write(&home, |text| text.replace("host = \"localhost\"", &format!("host = \"localhost\"\n{pin}")));
            assert_works(&home);
        }
    }
}

#[test]
fn a_certificate_from_another_time_makes_the_clock_a_suspect() {
    let ca = TestCa::new();
    let early = Provider::start_tls(&ca.not_yet_valid(), parts(&[Step::Stall]));
    let late = Provider::start_tls(&ca.expired(), parts(&[Step::Stall]));
    let one = home(&ca, account().pop3(Server::new("tls", early.port)));
    assert_finds(&one, &["this computer's clock says 20", "too early"], &["date and time"]);
    let both = account().pop3(Server::new("tls", late.port)).smtp(Server::at("127.0.0.1", "tls", late.port));
    let both = failures(&check(&home(&ca, both)));
    assert!(both[0]["cause"].as_str().unwrap().contains("forgot to renew"), "{both:#?}");
    assert!(both[1]["cause"].as_str().unwrap().contains("several servers are out of date at once"), "{both:#?}");
}

#[test]
fn a_certificate_for_another_name_and_one_by_a_stranger_have_their_causes() {
    let ca = TestCa::new();
    let other = Provider::start_tls(&ca.wrong_name(), parts(&[Step::Stall]));
    let stranger = Provider::start_tls(&TestCa::new().localhost(), parts(&[Step::Stall]));
    let at = |port| home(&ca, account().pop3(Server::new("tls", port)));
    assert_finds(&at(other.port), &["has another name"], &["host name"]);
    assert_finds(&at(stranger.port), &["virus scanner"], &["ca"]);
}

// What providers say

#[test]
fn providers_that_take_no_ordinary_passwords_any_more_are_recognised() {
    for (pop3, cause, advice) in [
        (
            "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
            "app password",
            "apppasswords",
        ),
        (
            "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
            "web browser",
            "mail.google.com",
        ),
        (
            "-ERR [AUTH] Username and password not accepted.",
            "only app passwords",
            "put it in the file that the settings name",
        ),
        ("-ERR [AUTH] (#AUTH005) Too many bad auth attempts.", "Yahoo", "app password"),
        ("-ERR [AUTH] Invalid credentials or IMAP is disabled", "switch them on", "web mail settings"),
        ("-ERR [AUTH] no luck", "app password", "in the file that the settings name"),
    ] {
        let server = always(&[say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say(pop3), Step::Stall]);
        let home = home(&TestCa::new(), account().pop3(Server::new("none", server.port)));
        assert_finds(&home, &[cause], &[advice]);
    }
    for (smtp, cause, advice) in [
        (
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [X.PROD.OUTLOOK.COM]",
            "no longer accepts passwords",
            "ostler sign-in home",
        ),
        (
            "550 5.7.30 Basic authentication is not supported for Client Submission.",
            "no longer accepts passwords",
            "ostler sign-in home",
        ),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            "administrator",
            "Authenticated SMTP",
        ),
        ("535 5.7.3 Authentication unsuccessful", "administrator", "Authenticated SMTP"),
        (
            "534-5.7.9 Application-specific password required. For more information, go to\r\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
            "app password",
            "apppasswords",
        ),
        (
            "534-5.7.14 <https://accounts.google.com/signin/continue> Please log in via your web browser\r\n534 5.7.14 and then try again.",
            "web browser",
            "mail.google.com",
        ),
        ("535 5.7.0 (#AUTH005) Too many bad auth attempts.", "Yahoo", "app password"),
    ] {
        let server = always(&[
            say("220 a"),
            expect("EHLO"),
            say("250-a\r\n250 AUTH PLAIN"),
            expect("AUTH"),
            say(smtp),
            Step::Stall,
        ]);
        let home = home(&TestCa::new(), account().smtp(Server::new("none", server.port)));
        assert_finds(&home, &[cause], &[advice]);
    }
}

#[test]
fn pop_that_is_switched_off_is_seen_only_behind_the_sign_in() {
    let server = always(&[
        say("+OK"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK welcome"),
        expect("STAT"),
        say("-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page"),
        Step::Stall,
    ]);
    let home = home(&TestCa::new(), account().pop3(Server::new("none", server.port)));
    let failed = assert_finds(&home, &["switched off", "Google"], &["Enable POP"]);
    assert_eq!(failed["step"], "sign-in");
}

#[test]
fn a_wrong_password_at_a_real_server_keeps_its_general_advice() {
    require!("dovecot");
    let ca = TestCa::new();
    let dovecot = Dovecot::builder().user(ANN, &unique("pw")).cert(ca.localhost()).start();
    let home = home(&ca, account().pop3(Server::new("tls", dovecot.pop3s)));
    assert_finds(&home, &["password was changed", "app password"], &["check user name and password"]);
}

#[test]
fn a_good_mailbox_says_how_many_messages_are_there() {
    require!("dovecot");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let home = home(&ca, Account::new("home", ANN, &secret).pop3(Server::new("tls", dovecot.pop3s)));
    assert!(out(&home.ostler(&["check"], "")).contains("accepted as ann@example.org; 0 messages are there"));
    dovecot.deliver(ANN, b"Subject: one\r\n\r\none\r\n");
    assert!(out(&home.ostler(&["check"], "")).contains("; 1 message is there"));
    assert_eq!(dovecot.mailbox(ANN).len(), 1);
}

// The gate

/// A host whose POP3 over TLS is a wrapper, so that logins through it are seen from the wrapper's own address.
struct Wrapped {
    gate: Gate,
    home: Home,
    host: String,
}

impl Wrapped {
    fn start(rules: Rules, with_stls: bool) -> Option<Self> {
        let (ca, address, secret) = (TestCa::new(), own_address(), unique("pw"));
        let host = address.to_string();
        let cert = ca.server(&host);
        let gate = Gate::start_with(
            rules,
            &cert,
            &[(ANN, &secret)],
            |dovecot| dovecot,
            |postfix| postfix.cert(ca.localhost()),
        );
        let wrapper =
            forward((address, 0).into(), gate.dovecot.pop3, Ipv4Addr::new(127, 0, 0, 9), Some(&cert)).unwrap();
        if with_stls {
            forward((address, 110).into(), gate.dovecot.pop3, Ipv4Addr::LOCALHOST, None).ok()?;
        }
        let account = Account::new("home", ANN, &secret)
            .pop3(Server::at(&host, "tls", wrapper))
            .smtp(Server::new("starttls", gate.smtp()).auth("pop-before-smtp"));
        let home = home(&ca, account);
        Some(Self { gate, home, host })
    }
}

#[test]
fn a_gate_that_opens_only_to_stls_is_found_out_and_the_advice_opens_it() {
    require!("dovecot", "postfix");
    let Some(Wrapped { gate, home, host }) = Wrapped::start(Rules::default(), true) else {
        return support::skip("the right to listen on ports below 1024");
    };
    let failed = assert_finds(
        &home,
        &["accepts only logins by STLS on port 110", &host],
        &["[account.smtp]", &format!("login = {{ host = \"{host}\", security = \"starttls\" }}")],
    );
    assert_eq!(failed["step"], "gate");
    assert!(gate.deliveries().is_empty());
    gate.forget();
    let ca = home.ca_file().display().to_string();
    write(&home, |text| {
        let login = format!("login = {{ host = \"{host}\", security = \"starttls\", ca = \"{ca}\" }}");
        text.replace("auth = \"pop-before-smtp\"", &format!("auth = \"pop-before-smtp\"\n{login}"))
    });
    assert_works(&home);
}

#[test]
fn a_gate_that_no_login_opens_is_not_blamed_on_the_port() {
    require!("dovecot", "postfix");
    let Some(Wrapped { gate, home, .. }) = Wrapped::start(Rules::default(), false) else { return };
    assert_finds(&home, &["ignores the login", "could not be tried"], &["ask the provider"]);
    assert!(gate.deliveries().is_empty());
}

// The keyring

#[test]
fn a_computer_without_a_keyring_is_told_from_a_missing_password() {
    let home = home(&TestCa::new(), account().keyring().pop3(Server::new("none", 1)));
    let failed = assert_finds(&home, &["without a desktop"], &["desktop"]);
    assert_eq!(failed["step"], "secret");
}

// explain

fn explained(home: &Home, args: &[&str], input: &str) -> (i32, String, String) {
    let output = home.ostler(&[&["check"], args].concat(), input);
    (output.status.code().unwrap(), out(&output), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_code_or_a_text_is_explained_in_words_with_a_next_step() {
    let home = home(&TestCa::new(), account().pop3(Server::at("pop.example.net", "tls", 995)));
    let (code, text, err) = explained(&home, &["--explain", "0x800ccc0e"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    for words in ["what it means:", "likely cause:", "what to do:", "known by:      0x800ccc0e", "ostler status"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.lines().all(|line| line.len() <= 96), "{text}");
    // Pasted without quotes, with them, from standard input, with a hyphen in front.
    let reply = "-ERR [SYS/TEMP] pop.example.net port 995 did not answer in time: 10 s passed while waiting for a connection; try again (timeout)";
    let words: Vec<&str> = reply.split(' ').collect();
    for (args, input) in
        [([&["--explain"][..], &words].concat(), ""), (vec!["--explain", reply], ""), (vec!["--explain", "-"], reply)]
    {
        let (code, text, _) = explained(&home, &args, input);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("blocks the port"), "{text}");
        assert!(text.contains("this concerns account home, server pop3 pop.example.net:995"), "{text}");
    }
    let (_, text, _) = explained(&home, &["--json", "--explain", reply], "");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["causes"][0]["cause"], "no-answer");
    assert_eq!(document["accounts"][0]["name"], "home");
    for key in ["means", "likely", "next", "known_by"] {
        assert!(document["causes"][0][key].as_str().is_some_and(|text| !text.is_empty()), "{document:#}");
    }
}

#[test]
fn what_is_not_known_is_said_to_be_so_with_a_next_step() {
    let home = home(&TestCa::new(), account().pop3(Server::new("none", 1)));
    let (code, text, err) = explained(&home, &["--explain", "my horse is lame"], "");
    assert_eq!((code, text.as_str()), (1, ""), "{err}");
    for words in ["ostler check", "ostler status", "Server Response"] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let (code, text, err) = explained(&home, &["--json", "--explain", "my horse is lame"], "");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, err.as_str(), &document["found"]), (1, "", &Value::Bool(false)));
}

#[test]
fn an_error_is_explained_without_settings_and_with_wrong_ones() {
    let home = home(&TestCa::new(), account().pop3(Server::new("none", 1)));
    home.write_settings("this is no TOML");
    assert_eq!(explained(&home, &["--explain", "0x800CCC79"], "").0, 0);
    std::fs::remove_file(home.settings_file()).unwrap();
    let (code, text, _) = explained(&home, &["--explain", "11001"], "");
    assert_eq!(code, 0);
    assert!(text.contains("127.0.0.1"), "{text}");
    // A pasted secret or control character goes nowhere but back to whoever pasted it, and not to the terminal.
    let (_, text, _) = explained(&home, &["--explain", "-"], "0x800CCC92 \u{1b}[2J\u{9b}m");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text:?}");
}

#[test]
fn a_computer_without_the_internet_is_told_so_and_its_other_servers_are_left_alone() {
    require!("world");
    use support::world::World;
    for apart in [false, true] {
        let builder = World::builder();
        let world = if apart { builder.apart() } else { builder.without_names() }.start();
        let account =
            account().pop3(Server::at("pop.example.net", "tls", 995)).smtp(Server::at("smtp.example.net", "tls", 465));
        let home = Home::with_settings(world.ca(), &[account], "", SHORT).inside(&world);
        let failed = assert_finds(&home, &["network cable is out"], &["network cable", "try again"]);
        assert!(failed["detail"].as_str().unwrap().starts_with("this computer is not connected"), "{failed:#}");
        assert_eq!(failures(&check(&home)).len(), 1);
    }
}
