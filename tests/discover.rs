//! Finding servers, against a name service, web servers and mail servers that are real, on the ports real ones have: in
//! a world of the test's own (`support/world.rs`). The library is called inside it by [`play`], which is this program
//! started once more.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use ostler::setup::discover::{Domain, Finder, Found, Missing, Names, NamesTrouble, Source, Srv, Vouched};
use ostler_mail::account::endpoint::{Endpoint, LoginForm};
use ostler_mail::account::{Protocol, Security, Trust};
use support::dovecot::Dovecot;
use support::gate::{Gate, Rules};
use support::ostler::{Account, Home, Server};
use support::postfix::Postfix;
use support::process::{Process, run_well, said};
use support::world::{Site, World};
use support::{client, mail, require, unique, wait_for};

const PLAY: &str = "OSTLER_TEST_DISCOVER";
const DOMAIN: &str = "example.test";
const AUTOCONFIG: &str = "/mail/config-v1.1.xml";
const WELL_KNOWN: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";

/// What a step of the finder gives inside a world, a line each; see [`told`].
fn find(world: &World, steps: &str) -> Vec<String> {
    find_with(world, steps, |_| {})
}

fn find_with(world: &World, steps: &str, change: impl FnOnce(&mut Command)) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "play", "--nocapture"]).env(PLAY, steps);
    command.env_remove("SSL_CERT_FILE").env_remove("RUST_TEST_THREADS");
    let mut command = world.wrap(&command);
    change(&mut command);
    let output = run_well(&mut command, "");
    let told: Vec<String> = said(&output).lines().filter_map(|l| l.strip_prefix("> ")).map(str::to_owned).collect();
    assert!(!told.is_empty(), "{}", said(&output));
    told
}

/// Not a test of its own: does the steps that the environment names and prints what they gave.
#[test]
fn play() {
    let Ok(steps) = std::env::var(PLAY) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let finder = Finder::new(Domain::parse(DOMAIN).unwrap(), Names::system(), Trust::default());
    // The test harness writes on standard output too, and not always whole lines.
    println!();
    for step in steps.split(", ") {
        for line in runtime.block_on(done(&finder, step)) {
            println!("> {line}");
        }
    }
}

async fn done(finder: &Finder, step: &str) -> Vec<String> {
    let both = [Protocol::Pop3, Protocol::Smtp];
    match step.split(' ').collect::<Vec<_>>().as_slice() {
        ["autoconfig"] => told(finder.ask(Source::Autoconfig, &both).await),
        ["well-known"] => told(finder.ask(Source::WellKnown, &both).await),
        ["ispdb"] => told(finder.ask(Source::Ispdb, &both).await),
        ["srv"] => told(finder.ask(Source::Srv, &both).await),
        ["probe"] => told(finder.ask(Source::Probe, &both).await),
        ["probe-pop3"] => told(finder.probe(&[Protocol::Pop3]).await),
        ["mx"] => match finder.mx().await {
            Ok(hosts) => vec![hosts.join(" ")],
            Err(missing) => vec![missing.to_string()],
        },
        [protocol, security, host, port] => {
            let endpoint = Endpoint {
                protocol: if *protocol == "pop3" { Protocol::Pop3 } else { Protocol::Smtp },
                host: (*host).to_owned(),
                port: port.parse().unwrap(),
                security: if *security == "tls" { Security::Tls } else { Security::StartTls },
                login: LoginForm::Unknown,
                auth_methods: Vec::new(),
            };
            match finder.endpoint(&endpoint).await {
                Ok(probed) => {
                    let user = if probed.takes_user { "USER " } else { "" };
                    let tls = probed.tls.map_or("no TLS", |tls| tls.version);
                    vec![format!("{} {user}{} {tls}", probed.address, probed.mechanisms.join(" "))]
                }
                Err(failure) => vec![failure.sentence()],
            }
        }
        other => panic!("{other:?}"),
    }
}

/// `pop3 mail.example.test port 995, TLS (Address, password)`, with `?` where the user must be asked.
fn told(found: Result<Found, Missing>) -> Vec<String> {
    match found {
        Err(missing) => vec![missing.to_string()],
        Ok(found) => {
            let offer = |offer: &ostler::setup::discover::Offer| {
                let e = &offer.endpoint;
                let auth_methods: Vec<String> = e.auth_methods.iter().map(ToString::to_string).collect();
                let mark = match offer.vouched {
                    Vouched::Certificate => "",
                    Vouched::PlainDns { outside: false } => " dns",
                    Vouched::PlainDns { outside: true } => " dns?",
                };
                format!("{} {} ({:?}, {}){mark}", e.protocol, e.describe(), e.login, auth_methods.join(" "))
            };
            let title = found.title.iter().map(|title| format!("title {title}"));
            let hints = found.hints.iter().map(|hint| format!("hint {}", hint.text));
            title.chain(found.offers.iter().map(offer)).chain(hints).collect()
        }
    }
}

fn config(host: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="{DOMAIN}"><domain>{DOMAIN}</domain><displayName>Example Mail</displayName>
<incomingServer type="pop3"><hostname>{host}</hostname><port>110</port><socketType>plain</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>
<incomingServer type="pop3"><hostname>{host}</hostname><port>995</port><socketType>SSL</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>{host}</hostname><port>587</port><socketType>STARTTLS</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></outgoingServer>
</emailProvider></clientConfig>"#
    )
}

fn config_told(host: &str) -> [String; 3] {
    [
        "title Example Mail".to_owned(),
        format!("pop3 {host} port 995, TLS (Address, password)"),
        format!("smtp {host} port 587, STARTTLS (Address, password)"),
    ]
}

#[test]
fn the_domains_own_file_is_found_in_both_places_and_mozillas_only_when_asked() {
    require!("world");
    let world = World::builder()
        .site(Site::new("autoconfig.example.test").file(AUTOCONFIG, config("one.example.test")))
        .site(Site::new(DOMAIN).file(WELL_KNOWN, config("two.example.test")))
        .site(Site::new("autoconfig.thunderbird.net").file("/v1.1/example.test", config("three.example.test")))
        .start();
    assert_eq!(find(&world, "autoconfig"), config_told("one.example.test"));
    assert_eq!(find(&world, "well-known"), config_told("two.example.test"));
    let asked = world.looked_up();
    assert!(asked.contains(&"A autoconfig.example.test".to_owned()), "{asked:?}");
    assert!(!asked.iter().any(|name| name.contains("thunderbird")), "{asked:?}");
    assert_eq!(find(&world, "ispdb"), config_told("three.example.test"));
    let requests = wait_for("the requests", || Some(world.requests()).filter(|requests| requests.len() == 3));
    assert_eq!(
        requests,
        [
            "autoconfig.example.test GET /mail/config-v1.1.xml HTTP/1.1 | ostler",
            "example.test GET /.well-known/autoconfig/mail/config-v1.1.xml HTTP/1.1 | ostler",
            "autoconfig.thunderbird.net GET /v1.1/example.test HTTP/1.1 | ostler",
        ]
    );
}

#[test]
fn redirects_are_followed_to_https_names_and_no_further() {
    require!("world");
    let site = |to: &str| Site::new("autoconfig.example.test").moved(AUTOCONFIG, to);
    let elsewhere =
        || Site::new("hoster.example").file("/c.xml", config("hoster.example")).moved("/a", "/b").moved("/b", "/c.xml");
    let asked = |to: &str| {
        let world = World::builder().site(site(to)).site(elsewhere().moved("/loop", "/loop")).start();
        find(&world, "autoconfig")
    };
    assert_eq!(asked("https://hoster.example/c.xml"), config_told("hoster.example"));
    assert_eq!(asked("https://hoster.example/a"), config_told("hoster.example"));
    let not_followed = ["nothing usable: it redirects to an address that ostler does not follow"];
    assert_eq!(asked("http://hoster.example/c.xml"), not_followed);
    assert_eq!(asked("https://127.0.0.1/c.xml"), not_followed);
    assert_eq!(asked("https://hoster.example/loop"), ["nothing usable: it redirects too many times"]);
}

#[test]
fn what_web_servers_answer_instead_is_told_apart() {
    require!("world");
    let with = |site: Site| {
        let world = World::builder().site(site).start();
        find(&world, "autoconfig").concat()
    };
    let site = || Site::new("autoconfig.example.test");
    assert_eq!(with(site()), "nothing found");
    assert_eq!(with(site().status(AUTOCONFIG, 503)), "could not be asked: it answers with error 503");
    let page = "<!doctype html><html><body>Welcome!";
    let nothing = "nothing usable: it answers with a web page instead of mail settings";
    assert_eq!(with(site().file(AUTOCONFIG, page)), nothing);
    let long = config("mail.example.test") + &" ".repeat(300_000);
    assert_eq!(with(site().file(AUTOCONFIG, long)), "nothing usable: its answer is longer than 256 KB");
    assert_eq!(
        with(site().file(AUTOCONFIG, config("x.example.test").replace("SSL", "plain").replace("STARTTLS", "plain"))),
        "nothing usable: it names only mail servers without encryption, which ostler uses only if you ask for it"
    );
    // No web server at all, and no name at all.
    let world = World::builder().host("autoconfig.example.test", "127.0.0.9").start();
    assert_eq!(find(&world, "autoconfig, well-known"), ["nothing found", "nothing found"]);
}

#[test]
fn a_web_server_without_a_good_certificate_is_not_believed() {
    require!("world");
    let ca = support::ca::TestCa::new();
    for (cert, words) in [
        (ca.named(&["autoconfig.example.test"]), "comes from an issuer this computer does not know"),
        (support::ca::TestCa::self_signed(), "vouched for by nobody but itself"),
    ] {
        let site = Site::new("autoconfig.example.test").file(AUTOCONFIG, config("mail.example.test")).cert(cert);
        let world = World::builder().site(site).start();
        let told = find(&world, "autoconfig").concat();
        assert!(told.starts_with("could not be asked: ") && told.contains(words), "{told}");
        assert!(world.requests().is_empty());
    }
    // Trusted, and for the bare domain only: the certificate of a hoster's front page.
    let mut world = World::builder().site(Site::new("www.example.test").file(AUTOCONFIG, config("mail.example.test")));
    world = world.host("autoconfig.example.test", "127.0.0.1");
    let told = find(&world.start(), "autoconfig").concat();
    assert!(told.contains("is for another name: www.example.test"), "{told}");
}

#[test]
fn service_records_are_found_and_what_is_outside_is_marked() {
    require!("world");
    let world = World::builder()
        .dns("srv-host=_pop3s._tcp.example.test,slow.example.test,995,20,1")
        .dns("srv-host=_pop3s._tcp.example.test,small.example.test,995,10,1")
        .dns("srv-host=_pop3s._tcp.example.test,big.example.test,1995,10,9")
        .srv("_pop3._tcp.example.test", 110, ".")
        .srv("_submission._tcp.example.test", 587, "smtp.hoster.example")
        .srv("_imaps._tcp.example.test", 993, "imap.example.test")
        .mx(DOMAIN, "mx1.hoster.example")
        .mx(DOMAIN, "mx2.hoster.example")
        .start();
    assert_eq!(
        find(&world, "srv"),
        [
            "pop3 big.example.test port 1995, TLS (Unknown, ) dns",
            "pop3 small.example.test port 995, TLS (Unknown, ) dns",
            "pop3 slow.example.test port 995, TLS (Unknown, ) dns",
            "smtp smtp.hoster.example port 587, STARTTLS (Unknown, ) dns?",
            "imap imap.example.test port 993, TLS (Unknown, ) dns",
        ]
    );
    assert_eq!(find(&world, "mx"), ["mx1.hoster.example mx2.hoster.example"]);
    let empty = World::builder().start();
    assert_eq!(find(&empty, "srv, mx"), ["nothing found", "nothing found"]);
}

#[test]
fn without_a_name_service_each_step_says_so_soon() {
    require!("world");
    let world = World::builder().without_names().start();
    let began = Instant::now();
    let told = find(&world, "srv, autoconfig, probe");
    assert!(told.iter().all(|line| line.starts_with("could not be asked: ")), "{told:?}");
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    // Without any settings of a resolver nobody else is asked in place of its name servers.
    let world = World::builder().start();
    let mut command = world.command("sh", &["-c", "printf '# nothing\n' > /etc/resolv.conf"]);
    run_well(&mut command, "");
    let told = find(&world, "srv, mx");
    assert!(told.iter().all(|line| line.starts_with("could not be asked: ")), "{told:?}");
    assert!(world.looked_up().is_empty());
}

/// Names asked from here, at a port: where a name server is silent, says that it cannot, or answers.
#[test]
fn a_name_server_that_does_not_answer_is_told_from_one_that_has_nothing() {
    require!("dnsmasq");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |port: u16, name: &str| {
        let began = Instant::now();
        let answer = runtime.block_on(Names::at(vec![([127, 0, 0, 1], port).into()]).srv(name));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        answer
    };
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    assert!(matches!(ask(port, "_pop3s._tcp.example.test"), Err(NamesTrouble::NotAsked(_))));

    let folder = support::folder();
    let port = support::free_port();
    let (at, many) =
        (folder.path().display().to_string(), (0..40).map(|n| format!("{}{n}.example.test", "x".repeat(60))));
    let mut conf = format!(
        "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/example.test/\n\
         pid-file={at}/pid\nlog-facility={at}/log\nsrv-host=_pop3s._tcp.example.test,Mail.Example.Test,995,3,4\n"
    );
    // More than fits into a datagram: to be asked for again by TCP.
    for host in many {
        conf += &format!("srv-host=_imaps._tcp.example.test,{host},993\n");
    }
    if support::is_root() {
        conf += "user=root\ngroup=root\n";
    }
    std::fs::write(folder.path().join("conf"), conf).unwrap();
    let mut start = Command::new(support::find("dnsmasq").unwrap());
    start.arg("--keep-in-foreground").arg(format!("--conf-file={at}/conf"));
    let _server = Process::start("dnsmasq", &mut start);
    wait_for("dnsmasq to answer", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let srv = ask(port, "_pop3s._tcp.example.test").unwrap();
    assert_eq!(srv, [Srv { priority: 3, weight: 4, port: 995, target: "mail.example.test".into() }]);
    assert_eq!(ask(port, "_imaps._tcp.example.test").unwrap().len(), 16);
    assert_eq!(ask(port, "_imap._tcp.example.test"), Err(NamesTrouble::NoRecord));
    // It knows nothing of other domains and nobody to ask: REFUSED.
    assert!(matches!(ask(port, "_pop3s._tcp.example.net"), Err(NamesTrouble::NotAsked(_))));
}

#[test]
fn the_usual_names_are_tried_and_nobody_signs_in() {
    require!("world", "dovecot", "postfix");
    let world = World::builder()
        .host("mail.example.test", "127.0.0.2")
        .host("smtp.example.test", "127.0.0.3")
        .host(DOMAIN, "127.0.0.4")
        .start();
    let cert = world.ca().named(&["mail.example.test", "smtp.example.test"]);
    let dovecot = Dovecot::builder()
        .user("ann@example.test", "pw")
        .cert(cert.clone())
        .inside(&world, "127.0.0.2", [110, 995])
        .start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.3", [25, 587, 465]).start();
    let told = find(&world, "probe");
    assert_eq!(told[0], "pop3 mail.example.test port 995, TLS (Unknown, password)");
    assert!(told.contains(&"smtp smtp.example.test port 465, TLS (Unknown, password)".to_owned()), "{told:?}");
    let smtp = told.iter().find(|line| line.starts_with("smtp")).unwrap();
    assert_eq!(smtp, "smtp smtp.example.test port 465, TLS (Unknown, password)");
    assert_eq!(find(&world, "probe-pop3")[0], told[0]);

    let told = find(
        &world,
        "pop3 tls mail.example.test 995, pop3 starttls mail.example.test 110, smtp tls smtp.example.test 465, \
         smtp starttls smtp.example.test 587, smtp starttls smtp.example.test 25, smtp tls smtp.example.test 587, \
         pop3 tls example.test 995, pop3 tls nowhere.example.test 995",
    );
    assert_eq!(
        told,
        [
            "127.0.0.2 USER PLAIN LOGIN CRAM-MD5 TLS 1.3",
            "127.0.0.2 USER PLAIN LOGIN CRAM-MD5 TLS 1.3",
            "127.0.0.3 PLAIN LOGIN CRAM-MD5 TLS 1.3",
            "127.0.0.3 PLAIN LOGIN CRAM-MD5 TLS 1.3",
            "127.0.0.3  TLS 1.3",
            "smtp.example.test port 587 does not speak TLS",
            "example.test is there but nobody listens on port 995",
            "there is no server named nowhere.example.test",
        ]
    );
    // Each came, asked and said goodbye. Whoever tries a name or a password is in these logs with it.
    let log = dovecot.wait_for_log(&["pop3-login"]);
    assert!(log.contains("no auth attempts"), "{log}");
    assert!(!dovecot.everything_logged().contains("user=<a"), "{}", dovecot.everything_logged());
    assert!(dovecot.logins().is_empty());
    assert!(!postfix.log().contains("auth="), "{}", postfix.log());
    wait_for("the goodbyes", || postfix.log().contains("quit=1").then_some(()));
}

#[test]
fn a_server_whose_certificate_is_not_for_its_name_is_no_find() {
    require!("world", "dovecot");
    let world = World::builder().host("pop.example.test", "127.0.0.2").start();
    let cert = world.ca().named(&["shared.hoster.example"]);
    let _dovecot = Dovecot::builder().user("ann", "pw").cert(cert).inside(&world, "127.0.0.2", [110, 995]).start();
    let words = "nothing usable: the certificate shown for pop.example.test is for another name: shared.hoster.example";
    assert_eq!(find(&world, "probe-pop3"), [words]);
    // Without any TLS there is nothing either: a server in clear is never used.
    let world = World::builder().host("pop.example.test", "127.0.0.2").start();
    let _dovecot = Dovecot::builder().user("ann", "pw").inside(&world, "127.0.0.2", [110, 995]).start();
    assert_eq!(find(&world, "probe-pop3"), ["nothing usable: pop.example.test port 110 does not offer STLS"]);
}

/// What a test of setting up needs of a world: the built program, its doors, and clients of the test's own, with a
/// provider behind it that wants its mail fetched first.
#[test]
fn ostler_runs_in_a_world_and_is_reached_from_outside() {
    require!("world", "dovecot", "postfix");
    let world = World::builder().host("mail.optonline.net", "127.0.0.2").start();
    let cert = world.ca().named(&["mail.optonline.net"]);
    let (ann, password) = ("ann@optonline.net", unique("pw"));
    let gate = Gate::start_with(
        Rules::default(),
        &cert,
        &[(ann, &password)],
        |dovecot| dovecot.inside(&world, "127.0.0.2", [110, 995]),
        |postfix| postfix.inside(&world, "127.0.0.2", [25, 587, 465]),
    );
    gate.dovecot.deliver(ann, &mail::tricky("world"));
    let account = Account::new("home", ann, &password)
        .pop3(Server::at("mail.optonline.net", "tls", 995))
        .smtp(Server::at("mail.optonline.net", "starttls", 25).auth("pop-before-smtp"));
    let home = Home::new(world.ca(), &[account]).inside(&world);
    let checked = home.ostler(&["check"], "");
    assert!(checked.status.success(), "{}", said(&checked));
    gate.forget();
    let ostler = home.run();
    client::send(world.reach(ostler.smtp), ann, &["bob@example.com"], &mail::tricky("first of the day"));
    assert_eq!(gate.deliveries().len(), 1);
    assert_eq!(client::fetch(world.reach(ostler.pop3), ann, "whatever").len(), 1);
}
