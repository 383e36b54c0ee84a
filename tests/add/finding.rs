//! Servers found from the address alone: each way of finding them, in a world with a name service, web servers and mail
//! servers on their real ports.

use crate::support::dovecot::Dovecot;
use crate::support::keyring::Keyring;
use crate::support::ostler::Home;
use crate::support::postfix::Postfix;
use crate::support::process::said;
use crate::support::terminal::Terminal;
use crate::support::world::{Builder, Site, World};
use crate::support::{require, unique, wait_for};

const ANN: &str = "ann@example.test";
const DIRECTORY: &str = "autoconfig.thunderbird.net";

/// A company's servers at one host, and a person with an address there and nothing set up.
struct Company {
    world: World,
    home: Home,
    password: String,
    _keyring: Keyring,
    _dovecot: Dovecot,
    _postfix: Postfix,
}

impl Company {
    /// The mail servers are at `host`; the world says the rest.
    fn start(world: Builder, host: &str, user: &str) -> Self {
        let world = world.host(host, "127.0.0.2").start();
        let (cert, password) = (world.ca().named(&[host]), unique("pw"));
        let dovecot =
            Dovecot::builder().user(user, &password).cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
        let postfix =
            Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [2525, 587, 465]).start();
        let keyring = Keyring::start();
        let mut home = Home::new(world.ca(), &[]).with_keyring(&keyring).inside(&world);
        home.keep_secret(&password);
        Self { world, home, password, _keyring: keyring, _dovecot: dovecot, _postfix: postfix }
    }

    fn add(&self, address: &str, more: &[&str]) -> (Option<i32>, String) {
        let words = [&["add", address, "--password-stdin"], more].concat();
        let output = self.home.ostler(&words, &format!("{}\n", self.password));
        (output.status.code(), said(&output))
    }

    fn works_with(&self, host: &str) {
        let settings = self.home.settings();
        assert!(settings.contains(&format!("host = \"{host}\"")), "{settings}");
        let checked = self.home.ostler(&["check"], "");
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

/// What a provider's own file says.
fn file(host: &str, user: &str) -> String {
    let server = |kind: &str, protocol: &str, port: u16, security: &str| {
        format!(
            "<{kind} type=\"{protocol}\"><hostname>{host}</hostname><port>{port}</port><socketType>{security}</socketType>\
             <username>{user}</username><authentication>password-cleartext</authentication></{kind}>"
        )
    };
    format!(
        "<?xml version=\"1.0\"?><clientConfig version=\"1.1\"><emailProvider id=\"example.test\">\
         <domain>example.test</domain><displayName>Example Mail</displayName>{}{}</emailProvider></clientConfig>",
        server("incomingServer", "pop3", 995, "SSL"),
        server("outgoingServer", "smtp", 587, "STARTTLS")
    )
}

fn world() -> Builder {
    World::builder()
}

#[test]
fn the_domains_own_file_is_asked_first_and_is_enough() {
    require!("dovecot", "postfix", "keyring", "world");
    for (site, path) in [
        ("autoconfig.example.test", "/mail/config-v1.1.xml"),
        ("example.test", "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ] {
        let site = Site::new(site).file(path, file("mx1.example.test", "%EMAILLOCALPART%"));
        let company = Company::start(world().site(site), "mx1.example.test", "ann");
        let (code, said) = company.add(ANN, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("example.test for its mail settings ..."), "the look-up is named: {said}");
        assert!(said.contains("Example Mail"), "{said}");
        assert!(!said.contains(DIRECTORY), "nobody else is asked: {said}");
        company.works_with("mx1.example.test");
        assert!(company.home.settings().contains("username = \"ann\""));
        let names = company.world.looked_up();
        assert!(names.iter().all(|name| !name.contains("thunderbird") && !name.contains("_pop3")), "{names:?}");
    }
}

#[test]
fn the_public_directory_is_asked_only_after_a_yes_and_hears_only_the_domain() {
    require!("dovecot", "postfix", "keyring", "world", "setsid");
    let site = || Site::new(DIRECTORY).file("/v1.1/example.test", file("mx1.example.test", "%EMAILADDRESS%"));
    let company = Company::start(world().site(site()), "mx1.example.test", ANN);

    // Nobody to ask: it is left out, and how to say yes is said.
    let (code, said) = company.add(ANN, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("May ostler ask Thunderbird's public list") && said.contains("--yes"), "{said}");
    assert!(company.world.looked_up().iter().all(|name| !name.contains("thunderbird")));

    // A no at the terminal.
    let mut terminal = Terminal::start(&company.home.command(&["add", ANN]));
    terminal.wait_for("May ostler ask Thunderbird's public list");
    terminal.wait_for("[Y/n] ");
    terminal.line("n");
    terminal.wait_for("no mail servers were found");
    assert_eq!(terminal.end().code(), Some(1));
    assert!(company.world.looked_up().iter().all(|name| !name.contains("thunderbird")));

    // A yes.
    let mut terminal = Terminal::start(&company.home.command(&["add", ANN]));
    terminal.wait_for("[Y/n] ");
    terminal.line("");
    terminal.wait_for("> ");
    terminal.line("");
    terminal.wait_for("(it does not show while you type): ");
    terminal.password(&company.password);
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
    assert_eq!(terminal.all().matches("May ostler ask").count(), 1, "asked once");
    company.works_with("mx1.example.test");
    let requests = wait_for("the request", || {
        let requests = company.world.requests();
        requests.iter().any(|line| line.starts_with(DIRECTORY)).then_some(requests)
    });
    assert!(requests.iter().all(|line| !line.contains("ann")), "{requests:?}");
}

#[test]
fn servers_the_name_service_knows_inside_the_domain_are_taken() {
    require!("dovecot", "postfix", "keyring", "world");
    let records = world().srv("_pop3s._tcp.example.test", 995, "in.example.test").srv(
        "_submission._tcp.example.test",
        587,
        "in.example.test",
    );
    let company = Company::start(records, "in.example.test", ANN);
    let (code, said) = company.add(ANN, &[]);
    assert_eq!(code, Some(0), "{said}");
    company.works_with("in.example.test");
}

#[test]
fn servers_the_name_service_knows_elsewhere_need_a_yes() {
    require!("dovecot", "postfix", "keyring", "world", "setsid");
    let records = world().srv("_pop3s._tcp.example.test", 995, "mail.evil.test").srv(
        "_submission._tcp.example.test",
        587,
        "mail.evil.test",
    );
    let company = Company::start(records, "mail.evil.test", ANN);
    let (code, said) = company.add(ANN, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("mail.evil.test") && said.contains("Nothing proves that this is true"), "{said}");
    assert!(company._dovecot.logins().is_empty(), "no password went there");
    let mut terminal = Terminal::start(&company.home.command(&["add", ANN]));
    terminal.wait_for("[Y/n] ");
    terminal.line("n");
    terminal.wait_for("[y/N] ");
    // Enter alone is a no here.
    terminal.line("");
    terminal.wait_for("no mail servers were found");
    assert_eq!(terminal.end().code(), Some(1));
    assert!(company._dovecot.logins().is_empty(), "no password went there");
    let (code, said) = company.add(ANN, &["--yes"]);
    assert_eq!(code, Some(0), "{said}");
    company.works_with("mail.evil.test");
}

#[test]
fn who_takes_the_domains_mail_picks_a_preset_after_a_yes() {
    require!("dovecot", "postfix", "keyring", "world");
    let mail = world().mx("example.test", "mx.migadu.com").host("smtp.migadu.com", "127.0.0.2");
    let company = Company::start(mail, "pop.migadu.com", ANN);
    let (code, said) = company.add(ANN, &["--fetch-only"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Migadu") && said.contains("pop.migadu.com"), "{said}");
    assert!(company._dovecot.logins().is_empty(), "no password went there");
    let (code, said) = company.add(ANN, &["--fetch-only", "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    company.works_with("pop.migadu.com");
    // The preset would send too, and the person wants only to fetch.
    assert!(!company.home.settings().contains("account.smtp"));
}

#[test]
fn the_usual_names_are_tried_last() {
    require!("dovecot", "postfix", "keyring", "world");
    let company = Company::start(world(), "mail.example.test", ANN);
    let (code, said) = company.add(ANN, &[]);
    assert_eq!(code, Some(0), "{said}");
    let places: Vec<_> = ["autoconfig.example.test", "in the DNS", "usual names"]
        .iter()
        .map(|words| said.find(words).unwrap_or_else(|| panic!("{words}: {said}")))
        .collect();
    assert!(places.is_sorted(), "{said}");
    company.works_with("mail.example.test");
}

#[test]
fn a_preset_needs_nobody_else() {
    require!("dovecot", "postfix", "keyring", "world");
    let company = Company::start(world(), "posteo.de", "ann@posteo.de");
    let (code, said) = company.add("ann@posteo.de", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Posteo"), "{said}");
    company.works_with("posteo.de");
    // Postfix asks for this computer's own name.
    let names: Vec<_> = company.world.looked_up().into_iter().filter(|name| name.contains('.')).collect();
    assert!(names.iter().all(|name| name.ends_with(" posteo.de")), "{names:?}");
    assert!(company.home.settings().contains("provider = \"posteo\""));
}

#[test]
fn a_preset_of_low_confidence_is_tried_before_it_is_believed() {
    require!("dovecot", "postfix", "keyring", "world");
    let company = Company::start(world(), "mail.optonline.net", "ann");
    let (code, said) = company.add("ann@optonline.net", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is not certain about the servers"), "{said}");
    // The form of the name is not known either.
    assert!(said.contains("some providers want \"ann\""), "{said}");
    company.works_with("mail.optonline.net");
}

#[test]
fn without_a_network_a_preset_can_be_kept_untried() {
    require!("keyring", "world");
    let (world, keyring) = (world().without_names().start(), Keyring::start());
    let home = Home::new(world.ca(), &[]).with_keyring(&keyring).inside(&world);
    let kept = home.ostler(&["add", "ann@posteo.de", "--no-check", "--password-stdin"], "word-5678\n");
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(home.settings().contains("host = \"posteo.de\""));
    let refused = home.ostler(&["add", "ann@gmx.com", "--password-stdin"], "word-5678\n");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(!home.settings().contains("gmx"));
}

/// Without any network, and where the name service answers but knows nothing of the internet.
#[test]
fn a_computer_without_the_internet_is_told_so_once_and_asked_nothing() {
    require!("keyring", "world");
    for apart in [false, true] {
        let builder = World::builder();
        let (world, keyring) =
            (if apart { builder.apart() } else { builder.without_names() }.start(), Keyring::start());
        let home = Home::new(world.ca(), &[]).with_keyring(&keyring).inside(&world);
        // Nobody knows the first; of the second ostler knows the servers, and tries them.
        for address in ["ann@nowhere.test", "ann@posteo.de"] {
            let output = home.ostler(&["add", address, "--password-stdin"], "word-5678\n");
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said.matches("this computer is not connected to the internet").count(), 1, "{said}");
            assert!(!said.contains("May ostler ask") && !said.contains("no server named"), "{said}");
            assert!(said.contains("network cable"), "{said}");
        }
        assert!(!home.settings().contains("nowhere"));
    }
}
