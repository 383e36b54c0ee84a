//! F06: a helper on this computer with a certificate of its own, named by `ca` or `pin`.

use crate::support::ca::{ServerCert, TestCa};
use crate::support::client::Client;
use crate::support::openssl;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::process::{command, run, said};
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::{require, unique};

const ANN: &str = "ann@example.org";

/// What Proton Mail Bridge writes into its certificate.
const BRIDGE: [&str; 4] = [
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,digitalSignature,keyCertSign",
    "extendedKeyUsage=clientAuth,serverAuth",
    "subjectAltName=IP:127.0.0.1",
];

/// The certificate of a Bridge.
pub(crate) fn bridge() -> ServerCert {
    ServerCert::by_openssl("rsa:2048", &BRIDGE)
}

/// A helper that takes every password, by POP3 and by SMTP, with TLS from the first byte or later.
fn helper(cert: &ServerCert, at_once: bool) -> (Provider, Provider) {
    let pop3 = [expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), expect("QUIT"), say("+OK bye")];
    let smtp = [
        expect("EHLO"),
        say("250-a\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say("235 in"),
        expect("MAIL"),
        say("250 2.1.0 ok"),
        Step::Stall,
    ];
    let (before_pop3, before_smtp) = if at_once {
        (vec![say("+OK")], vec![say("220 a")])
    } else {
        let offer = say("250-a\r\n250 STARTTLS");
        (
            vec![say("+OK"), expect("STLS"), say("+OK"), Step::StartTls],
            vec![say("220 a"), expect("EHLO"), offer, expect("STARTTLS"), say("220 go"), Step::StartTls],
        )
    };
    let start = |before: Vec<Step>, then: &[Step]| Provider::always_tls(cert, at_once, [&before, then].concat());
    (start(before_pop3, &pop3), start(before_smtp, &smtp))
}

/// The account at a helper of this name; `ca` names this certificate.
fn ostler(host: &str, cert: &ServerCert, named: &str, at_once: bool) -> (Ostler, (Provider, Provider)) {
    let (pop3, smtp) = helper(cert, at_once);
    let security = if at_once { "tls" } else { "starttls" };
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at(host, security, pop3.port))
        .smtp(Server::at(host, security, smtp.port));
    let home = Home::new(&TestCa::new(), &[account]);
    std::fs::write(home.ca_file(), named).unwrap();
    (home.run(), (pop3, smtp))
}

/// What a mail program reads at PASS and at MAIL.
fn replies(ostler: &Ostler) -> [String; 2] {
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let at_pass = pop.ask("PASS x", "");
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    [at_pass, smtp.ask(&format!("MAIL FROM:<{ANN}>"), "")]
}

fn assert_works(ostler: &Ostler, what: &str) {
    let [at_pass, at_mail] = replies(ostler);
    assert!(at_pass.starts_with("+OK") && at_mail.starts_with("250 "), "{what}: {at_pass} / {at_mail}");
}

fn assert_refused(ostler: &Ostler, what: &str, words: &[&str]) {
    let [at_pass, at_mail] = replies(ostler);
    assert!(
        at_pass.starts_with("-ERR [SYS/TEMP] ") && at_mail.starts_with("454 4.7.5 "),
        "{what}: {at_pass} / {at_mail}"
    );
    for word in words {
        assert!(at_pass.contains(word) && at_mail.contains(word), "{what}: no {word:?} in {at_pass} / {at_mail}");
    }
}

#[test]
fn f06_the_certificate_in_the_ca_file_is_trusted_whatever_its_marks() {
    require!("openssl");
    let name = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    for (what, key, extensions) in [
        ("Proton Mail Bridge", "rsa:2048", &BRIDGE[..]),
        ("not an authority", "rsa:2048", &["basicConstraints=CA:FALSE", name]),
        ("no constraints", "ec", &[name]),
        (
            "an authority for certificates only",
            "ec",
            &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", name],
        ),
        ("for clients only", "ec", &["basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth", name]),
        ("an authority of no length", "ed25519", &["basicConstraints=critical,CA:TRUE,pathlen:0", name]),
        (
            "no key usage that fits",
            "ed25519",
            &["keyUsage=critical,dataEncipherment", "extendedKeyUsage=codeSigning", name],
        ),
    ] {
        let cert = ServerCert::by_openssl(key, extensions);
        for at_once in [true, false] {
            let (ostler, _helper) = ostler("127.0.0.1", &cert, &cert.chain_pem, at_once);
            assert_works(&ostler, what);
        }
    }
    // By name, with other certificates before it in the file; signed by an authority that is not named; not its own chain.
    let (cert, private) = (TestCa::self_signed(), TestCa::new().localhost());
    for (cert, named) in [
        (&cert, TestCa::new().pem() + &bridge().chain_pem + &cert.chain_pem),
        (&private.showing(&[]), private.showing(&[]).chain_pem),
        (&private, private.showing(&[]).chain_pem),
    ] {
        let (ostler, _helper) = ostler("localhost", cert, &named, false);
        assert_works(&ostler, "by name");
    }
}

#[test]
fn f06_another_certificate_than_the_named_one_is_refused() {
    require!("openssl");
    let (shown, named) = (bridge(), bridge());
    let (ostler, (pop3, _smtp)) = ostler("127.0.0.1", &shown, &named.chain_pem, false);
    let words = ["vouched for by nobody but itself", "the file named by ca has another one"];
    assert_refused(&ostler, "other key, same names", &words);
    assert!(!String::from_utf8_lossy(&pop3.sessions()[0].received).contains("PASS"));
    // The advice is to put the right one into the file. It helps at once.
    std::fs::write(ostler.home.ca_file(), &shown.chain_pem).unwrap();
    assert_works(&ostler, "exported anew");
}

#[test]
fn f06_a_helper_without_a_named_certificate_is_told_what_to_name() {
    require!("openssl");
    let cert = bridge();
    let (pop3, smtp) = helper(&cert, true);
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::at("127.0.0.1", "tls", pop3.port))
        .smtp(Server::at("127.0.0.1", "tls", smtp.port));
    let home = Home::new(&TestCa::new(), &[account]);
    let settings: String =
        home.settings().lines().filter(|line| !line.starts_with("ca =")).map(|l| format!("{l}\n")).collect();
    home.write_settings(&settings);
    assert_refused(&home.run(), "nothing named", &["nobody but itself", "name the file with ca", "pin"]);
}

#[test]
fn f06_the_named_certificate_must_be_for_this_server_and_in_date() {
    require!("openssl");
    let made = |extensions: &[&str], dates: &[&str]| ServerCert::by_openssl_with("ec", extensions, dates);
    let days = &["-days", "3650"][..];
    let past = &["-not_before", "20190101000000Z", "-not_after", "20200101000000Z"][..];
    let authority = TestCa::new();
    for (what, cert, words) in [
        (
            "other address",
            made(&["subjectAltName=IP:192.0.2.1"], days),
            &["another name: 192.0.2.1", "write one of these as host"][..],
        ),
        (
            "name, not address",
            made(&["subjectAltName=DNS:localhost"], days),
            &["another name: localhost", "write one of these as host"],
        ),
        ("no name", made(&["basicConstraints=CA:FALSE"], days), &["names no host at all", "pin"]),
        ("past", authority.expired(), &["expired on 2020-01-01", "put that into the file named by ca"]),
        ("to come", authority.not_yet_valid(), &["not valid before 2090-01-01", "this computer's date"]),
    ] {
        let (ostler, _helper) = ostler("127.0.0.1", &cert, &cert.showing(&[]).chain_pem, true);
        assert_refused(&ostler, what, words);
    }
    // Signed by itself and expired, if this openssl can say so.
    if said(&run(&mut command("openssl", ["req", "-help"]), "")).contains("-not_before") {
        let cert = made(&BRIDGE, past);
        let (ostler, _helper) = ostler("127.0.0.1", &cert, &cert.chain_pem, true);
        assert_refused(&ostler, "past, its own", &["expired on 2020-01-01"]);
    }
}

#[test]
fn f06_a_key_that_proves_nothing_is_not_advised_to_be_named() {
    require!("openssl");
    let weak = ServerCert::by_openssl("rsa:1024", &BRIDGE);
    let pin = format!("pin = \"{}\"", weak.pin());
    let (_server, port, _folder) = openssl::serve(&weak, &["-cipher", "DEFAULT@SECLEVEL=0"]).unwrap();
    for named in ["", "ca = \"../ca.pem\"", &pin] {
        let account = Account::new("home", ANN, &unique("pw")).pop3(Server::at("127.0.0.1", "tls", port));
        let home = Home::new(&TestCa::new(), &[account]);
        std::fs::write(home.ca_file(), &weak.chain_pem).unwrap();
        let change = |line: &str| format!("{}\n", if line.starts_with("ca =") { named } else { line });
        home.write_settings(&home.settings().lines().map(change).collect::<String>());
        let text = said(&home.ostler(&["check"], ""));
        assert!(text.contains("key of 1024 bits is too short"), "{named}: {text}");
        assert!(text.contains("make a new certificate") && !text.contains("write pin"), "{named}: {text}");
    }
}
