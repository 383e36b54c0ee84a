//! Everything that the settings file can say is set on the page, and the running ostler works with it.

use std::net::TcpStream;

use ostler::config::keys::{Kind, TABLES};

use crate::http::{Answer, Browser, Form, raw};
use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::dovecot::Dovecot;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Ostler, Server};
use crate::support::process::said;
use crate::support::{free_port, require, unique};
use crate::{ANN, home};

/// An ostler with an account that fetches and sends, at servers that are not there.
fn somewhere() -> Ostler {
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::new("tls", free_port()))
        .smtp(Server::new("tls", free_port()));
    let home = home(&TestCa::new(), &[account]);
    home.write_settings(&format!("# on top\n{}\n# at the end\n", home.settings()));
    home.run()
}

/// The page with the form for a table, and the form's address.
fn page_of(header: &str, name: &str) -> (String, &'static str) {
    let server = |server: &str| (format!("/account/server?account={name}&server={server}"), "/account/server");
    match header {
        "[local]" | "[timeouts]" => ("/settings".into(), "/settings"),
        "[[account]]" | "[account.doors]" => (format!("/account/settings?account={name}"), "/account/settings"),
        "[account.pop3]" => server("pop3-1"),
        "[account.imap]" => server("imap-1"),
        "[oauth2.NAME]" => ("/settings/registration?company=google".into(), "/settings/registration"),
        _ => server("smtp-1"),
    }
}

/// What to set in the form for each key, and what the file says of it afterwards. The order matters: some keys need others.
fn every_key() -> Vec<(&'static str, String, String)> {
    let mut all: Vec<(&str, String, String)> = Vec::new();
    let mut set = |key: &'static str, typed: &str, written: &str| all.push((key, typed.to_owned(), written.to_owned()));
    let doors: Vec<u16> = (0..8).map(|_| free_port()).collect();
    set(
        "local.pop3",
        &format!("{}, 127.0.0.1:{}", doors[0], doors[1]),
        &format!("pop3 = [{}, \"127.0.0.1:{}\"]", doors[0], doors[1]),
    );
    set("local.smtp", &format!("127.0.0.1:{}", doors[2]), &format!("smtp = \"127.0.0.1:{}\"", doors[2]));
    set("local.imap", &doors[3].to_string(), &format!("imap = {}", doors[3]));
    set("local.access", "password", "access = \"password\"");
    set("local.allow", "192.168.56.0/24; 10.0.0.7", "allow = [\"192.168.56.0/24\", \"10.0.0.7\"]");
    set("local.proxies", "10.0.0.5", "proxies = [\"10.0.0.5\"]");
    set("local.metrics", "yes", "metrics = true");
    set("local.notices", "", "notices = false");
    for (key, written) in [
        ("timeouts.connect", "connect = \"7s\""),
        ("timeouts.tls", "tls = \"7s\""),
        ("timeouts.greeting", "greeting = \"7s\""),
        ("timeouts.reply", "reply = \"7s\""),
        ("timeouts.data", "data = \"7s\""),
        ("timeouts.final", "final = \"7s\""),
        ("timeouts.idle", "idle = \"7s\""),
        ("timeouts.login", "login = \"7s\""),
    ] {
        set(key, "7s", written);
    }
    set("account.address", "lee@example.org", "address = \"lee@example.org\"");
    set("account.aliases", "ann@example.org, *@lee.example", "aliases = [\"ann@example.org\", \"*@lee.example\"]");
    set("account.provider", "optonline", "provider = \"optonline\"");
    set("account.username", "lee", "username = \"lee\"");
    set("account.password", "file|secret-of-lee", "password = { file = \"secret-of-lee\" }");
    set("account.password_charset", "windows-1252", "password_charset = \"windows-1252\"");
    set("account.oauth2", "google", "oauth2 = \"google\"");
    set("account.local_password", "env|LEE_LOCAL", "local_password = { env = \"LEE_LOCAL\" }");
    set("account.readable", "eudora-windows", "readable = \"eudora-windows\"");
    set("account.mend", "date, charset", "mend = [\"date\", \"charset\"]");
    set("account.default", "yes", "default = true");
    set("account.doors.pop3", &format!("127.0.0.1:{}", doors[4]), &format!("pop3 = \"127.0.0.1:{}\"", doors[4]));
    set("account.doors.smtp", &doors[5].to_string(), &format!("smtp = {}", doors[5]));
    set("account.doors.imap", &doors[6].to_string(), &format!("imap = {}", doors[6]));
    set("account.offer_auth", "", "offer_auth = false");
    set("account.read_ahead", "", "read_ahead = false");
    for table in ["pop3", "smtp", "imap"] {
        for (key, typed, written) in [
            ("host", "one.example", "host = \"one.example\""),
            ("port", "1234", "port = 1234"),
            ("security", "starttls", "security = \"starttls\""),
            ("auth", "none", "auth = \"none\""),
            ("auth", "password", "auth = \"password\""),
            ("username", "ann", "username = \"ann\""),
            ("password", "command|pass show mail/ann", "password = { command = \"pass show mail/ann\" }"),
            ("password_charset", "utf-8", "password_charset = \"utf-8\""),
            ("ca", "company.pem", "ca = \"company.pem\""),
            ("pin", &format!("sha256:{}", "ab".repeat(32)), &format!("pin = \"sha256:{}\"", "ab".repeat(32))),
        ] {
            let key: &'static str = format!("account.{table}.{key}").leak();
            all.push((key, typed.to_owned(), written.to_owned()));
        }
    }
    let mut set = |key: &'static str, typed: &str, written: &str| all.push((key, typed.to_owned(), written.to_owned()));
    set("account.pop3.via", "imap", "via = \"imap\"");
    set("account.pop3.folder", "Entw\u{fc}rfe", "folder = \"Entw\u{fc}rfe\"");
    set("account.pop3.mark_read", "yes", "mark_read = true");
    set("account.imap.connections", "4", "connections = 4");
    set("account.smtp.login.host", "two.example", "auth = \"pop-before-smtp\"");
    set("account.smtp.fresh", "5m", "fresh = \"5m\"");
    set("account.smtp.chunking", "", "chunking = false");
    for (key, typed, written) in [
        ("account.smtp.login.port", "1235", "port = 1235"),
        ("account.smtp.login.security", "starttls", "security = \"starttls\""),
        ("account.smtp.login.username", "anna", "username = \"anna\""),
        ("account.smtp.login.password", "env|ANNA", "password = { env = \"ANNA\" }"),
        ("account.smtp.login.password_charset", "utf-8", "password_charset = \"utf-8\""),
        ("account.smtp.login.ca", "other.pem", "ca = \"other.pem\""),
    ] {
        set(key, typed, written);
    }
    let pin = format!("sha256:{}", "cd".repeat(32));
    set("account.smtp.login.pin", &pin, &format!("pin = \"{pin}\""));
    for (key, typed, written) in [
        ("oauth2.NAME.client_id", "ostler-of-lee", "client_id = \"ostler-of-lee\""),
        ("oauth2.NAME.client_secret", "file|secret-at-google", "client_secret = { file = \"secret-at-google\" }"),
        ("oauth2.NAME.authorize", "https://one.example/a", "authorize = \"https://one.example/a\""),
        ("oauth2.NAME.token", "https://one.example/t", "token = \"https://one.example/t\""),
        ("oauth2.NAME.device", "https://one.example/d", "device = \"https://one.example/d\""),
        ("oauth2.NAME.revoke", "https://one.example/r", "revoke = \"https://one.example/r\""),
        ("oauth2.NAME.scopes", "mail, offline_access", "scopes = [\"mail\", \"offline_access\"]"),
        ("oauth2.NAME.redirect", "localhost", "redirect = \"localhost\""),
        ("oauth2.NAME.ca", "company.pem", "ca = \"company.pem\""),
    ] {
        set(key, typed, written);
    }
    set("account.name", "house", "name = \"house\"");
    set("local.page", &doors[7].to_string(), &format!("page = {}", doors[7]));
    all
}

#[test]
fn every_key_of_the_settings_file_is_set_on_the_page_and_in_force() {
    let ostler = somewhere();
    let mut browser = Browser::new(&ostler.home);
    let all = every_key();
    for (key, typed, written) in &all {
        let (table, name) = key.rsplit_once('.').unwrap();
        let (header, _) = TABLES
            .iter()
            .map(|known| (known.header, known.header.trim_matches(['[', ']'])))
            .find(|(_, path)| *path == table)
            .unwrap();
        let (page, action) = page_of(header, "home");
        let mut form = browser.get(&page).form(action);
        let (value, detail) = typed.split_once('|').unwrap_or((typed, ""));
        match (*key, value) {
            // A box that is not ticked is not sent.
            (_, "") => form.fields.retain(|(field, _)| field != key),
            // These two go together.
            ("account.smtp.login.host", _) => form = form.with(key, value).with("account.smtp.auth", "pop-before-smtp"),
            _ => form = form.with(key, value),
        }
        if !detail.is_empty() {
            form = form.with(&format!("{key}.detail"), detail);
        }
        // Only said once the running ostler has the same settings as the file.
        let answer = browser.send(&form);
        assert!(answer.body.contains("Changed."), "{key}: {}", answer.body);
        assert!(!answer.body.contains("does not work with it yet"), "{key}: {}", answer.body);
        let settings = ostler.home.settings();
        assert!(settings.contains(written), "{key}: {written} in\n{settings}");
        if *key == "local.page" {
            let port: u16 = value.parse().unwrap();
            assert!(answer.body.contains(&format!("http://127.0.0.1:{port}/?token=")), "{}", answer.body);
            let there = answer.links().into_iter().find(|link| link.contains("?token=")).unwrap();
            let path = there.strip_prefix(&format!("http://127.0.0.1:{port}")).unwrap();
            let entered = raw(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
            assert_eq!((entered.status, entered.header("location")), (303, Some("/")), "{entered:?}");
        } else if *key != "account.name" {
            let again = browser.get(&page).form(action);
            let shown = again.fields.iter().find(|(field, _)| field == &format!("was.{key}")).unwrap();
            let is_box = |kind: Kind| matches!(kind, Kind::YesNo);
            let kind = TABLES.iter().find(|known| known.header == header).unwrap().key(name).unwrap().kind;
            assert!(
                is_box(kind) || shown.1.starts_with(value) || shown.1.starts_with("192.168.56.0/24, "),
                "{key}: {shown:?}"
            );
            if key.starts_with("local.pop3") || key.starts_with("account.doors.smtp") {
                let port = value.rsplit(':').next().unwrap();
                TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
            }
        }
    }
    let settings = ostler.home.settings();
    assert!(settings.starts_with("# on top\n") && settings.contains("\n# at the end\n"), "{settings}");
    assert!(settings.contains("\n[oauth2.google]\n") && !settings.contains("[oauth2]"), "{settings}");
    for table in TABLES.iter().filter(|table| !table.header.is_empty()) {
        for key in table.keys.iter().filter(|key| !matches!(key.kind, Kind::Table(_) | Kind::Tables(_))) {
            let name = format!("{}.{}", table.header.trim_matches(['[', ']']), key.name);
            assert!(all.iter().any(|(set, ..)| *set == name), "{name} is not tried");
        }
    }
}

#[test]
fn another_company_is_described_on_the_page_and_its_secret_goes_into_the_keyring() {
    require!("keyring");
    let keyring = Keyring::start();
    let ca = TestCa::new();
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", free_port()));
    let mut home = home(&ca, &[account]).with_keyring(&keyring);
    let secret = unique("client-secret");
    home.keep_secret(&secret);
    let ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let settings = browser.get("/settings");
    assert!(settings.body.contains("Google</a>: not registered"), "{}", settings.body);
    for wrong in ["", "Corp!", "a b"] {
        let page = browser.get(&format!("/settings/registration?company={}", wrong.replace(' ', "%20")));
        assert!(page.body.contains("small letters, digits"), "{wrong}: {}", page.body);
    }
    let form = browser.get("/settings/registration?company=corp").form("/settings/registration");
    let half = form.clone().with("oauth2.NAME.client_id", "ostler").with("oauth2.NAME.token", "http://sso.example/t");
    let page = browser.send(&half);
    assert!(error_of(&page, "oauth2.NAME.token").unwrap().contains("https"), "{}", page.body);
    let whole = form
        .with("oauth2.NAME.client_id", "ostler")
        .with("oauth2.NAME.client_secret", "keyring")
        .with("oauth2.NAME.authorize", "https://sso.example/a")
        .with("oauth2.NAME.token", "https://sso.example/t")
        .with("oauth2.NAME.scopes", "mail");
    let page = browser.send(&whole);
    assert!(page.body.contains("Changed."), "{}", page.body);
    let page = browser.send(&page.form("/settings/registration/secret").with("secret", &secret));
    assert!(page.body.contains("stored in this computer's keyring, for sso.example only"), "{}", page.body);
    let entry = ["lookup", "service", "ostler", "username", "registration corp sso.example"];
    assert_eq!(crate::support::process::out(&keyring.secret_tool(&entry, "")).trim(), secret);
    assert!(browser.get("/settings").body.contains("corp</a>: registered"));
    // And away again, unless an account needs it.
    let page = browser.get("/settings/registration?company=corp");
    let remove = page.form("/settings/registration/remove");
    let unsure = browser.send(&remove.clone());
    assert!(unsure.body.contains("Tick the box beside the button"), "{}", unsure.body);
    let settings = ostler.home.settings();
    let used = "\n[[account]]\naddress = 'bob@corp.example'\nname = 'corp-mail'\noauth2 = 'corp'\n\
                pop3 = { host = 'localhost', auth = 'oauth2' }\n";
    ostler.home.write_settings(&(settings.clone() + used));
    let refused = browser.send(&remove.clone().with("sure", "yes"));
    assert!(refused.body.contains("the account corp-mail signs in with this registration"), "{}", refused.body);
    assert!(ostler.home.settings().contains("[oauth2.corp]"));
    ostler.home.write_settings(&format!("# kept\n\n{settings}\n# kept too\n"));
    let removed = browser.send(&remove.clone().with("sure", "yes"));
    assert!(removed.body.contains("The registration at corp is removed."), "{}", removed.body);
    let left = ostler.home.settings();
    assert!(!left.contains("oauth2") && left.contains("# kept\n") && left.contains("# kept too"), "{left}");
    assert!(crate::support::process::out(&keyring.secret_tool(&entry, "")).is_empty());
    let again = browser.send(&remove.with("sure", "yes"));
    assert!(again.body.contains("no longer there"), "{}", again.body);
}

/// What a form says beside a field.
fn error_of(page: &Answer, field: &str) -> Option<String> {
    let (_, rest) = page.body.split_once(&format!("id=\"{field}-error\""))?;
    Some(rest.split_once('>')?.1.split('<').next()?.to_owned())
}

#[test]
fn mistakes_stand_beside_their_fields_and_change_nothing() {
    let ostler = somewhere();
    let before = ostler.home.settings();
    let mut browser = Browser::new(&ostler.home);
    let server = browser.get("/account/server?server=pop3-1").form("/account/server");
    let wrong = browser.send(&server.clone().with("account.pop3.host", "a b").with("account.pop3.pin", "sha256:12"));
    assert!(error_of(&wrong, "account.pop3.host").unwrap().contains("is not a host name"), "{}", wrong.body);
    assert!(error_of(&wrong, "account.pop3.pin").unwrap().contains("fingerprint"), "{}", wrong.body);
    assert_eq!(error_of(&wrong, "account.pop3.port"), None);
    assert!(wrong.body.contains("value=\"a b\""), "what was typed stays: {}", wrong.body);
    let own = browser.get("/account/settings").form("/account/settings");
    let wrong = browser.send(&own.with("account.password", "command").with("account.password.detail", " "));
    assert!(error_of(&wrong, "account.password").unwrap().contains("is empty"), "{}", wrong.body);
    let computer = browser.get("/settings").form("/settings");
    let taken = computer.fields.iter().find(|(name, _)| name == "was.local.smtp").unwrap().1.clone();
    let wrong = browser.send(&computer.clone().with("local.pop3", &taken));
    assert!(wrong.body.contains("is the address and port of another door"), "{}", wrong.body);
    let wrong = browser.send(&computer.clone().with("timeouts.tls", "7").with("local.pop3", "0.0.0.0:2110"));
    assert!(error_of(&wrong, "timeouts.tls").unwrap().contains("has no unit"), "{}", wrong.body);
    assert!(error_of(&wrong, "local.pop3").unwrap().contains("other computers"), "{}", wrong.body);
    let same = browser.send(&computer);
    assert!(same.body.contains("everything is as it was"), "{}", same.body);
    assert_eq!(ostler.home.settings(), before);
}

#[test]
fn encryption_is_switched_off_only_by_someone_who_knows() {
    let ostler = somewhere();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/account/server?server=pop3-1").form("/account/server");
    let asked = browser.send(&form.with("account.pop3.security", "none"));
    assert!(asked.body.contains("I know that anyone along the way"), "{}", asked.body);
    assert!(!ostler.home.settings().contains("\"none\""));
    let sure = asked.form("/account/server").with("sure.account.pop3.security", "yes");
    assert!(browser.send(&sure).body.contains("Changed."));
    assert!(ostler.home.settings().contains("security = \"none\""), "{}", ostler.home.settings());
}

#[test]
fn two_browsers_do_not_undo_each_other() {
    let ostler = somewhere();
    let (mut one, mut two) = (Browser::new(&ostler.home), Browser::new(&ostler.home));
    let path = "/account/settings";
    let (first, second) = (one.get(path).form(path), two.get(path).form(path));
    assert!(one.send(&first.clone().with("account.aliases", "lee@example.org")).body.contains("Changed."));
    assert!(two.send(&second.clone().with("account.username", "ann")).body.contains("Changed."));
    let settings = ostler.home.settings();
    assert!(settings.contains("lee@example.org") && settings.contains("username = \"ann\""), "{settings}");
    // The same field.
    let refused = two.send(&second.with("account.aliases", "bob@example.org"));
    assert!(error_of(&refused, "account.aliases").unwrap().contains("lee@example.org"), "{}", refused.body);
    assert!(!ostler.home.settings().contains("bob@example.org"));
    // What the form shows after that is what it is compared with.
    let known = refused.form(path).with("account.aliases", "bob@example.org");
    assert!(two.send(&known).body.contains("Changed."));
    assert!(ostler.home.settings().contains("bob@example.org"));
}

/// The first form that is about the server at this host.
fn with_host(page: &Answer, host: &str) -> Form {
    let is_it = |form: &Form| form.fields.contains(&("host".into(), host.into()));
    page.forms().into_iter().find(is_it).unwrap_or_else(|| panic!("{host} in {}", page.body))
}

#[test]
fn servers_for_sending_are_added_moved_and_removed() {
    let ostler = somewhere();
    let mut browser = Browser::new(&ostler.home);
    let account = browser.get("/account");
    let add = account.links().into_iter().find(|link| link.contains("server=smtp-2")).unwrap();
    let form = browser.get(&add).form("/account/server").with("account.smtp.host", "backup.example");
    let added = browser.send(&form.with("account.smtp.security", "starttls"));
    assert!(added.body.contains("backup.example:587"), "{}", added.body);
    let moved = browser.send(&with_host(&added, "backup.example"));
    let settings = ostler.home.settings();
    let at = |word: &str| settings.find(word).unwrap_or_else(|| panic!("{word} in {settings}"));
    assert!(at("backup.example") < at("[[account.smtp]]\nhost = \"localhost\""), "{}", moved.body);
    let stale = browser.send(&with_host(&added, "backup.example"));
    assert!(stale.body.contains("changed elsewhere meanwhile"), "{}", stale.body);
    let removal = with_host(&browser.get("/account/server?server=smtp-1"), "backup.example");
    let unsure = browser.send(&removal);
    assert!(unsure.body.contains("Nothing was removed") && ostler.home.settings().contains("backup.example"));
    let gone = browser.send(&removal.with("sure", "yes"));
    assert!(gone.body.contains("Changed.") && !ostler.home.settings().contains("backup.example"), "{}", gone.body);
    let removal = with_host(&browser.get("/account/server?server=smtp-1"), "localhost");
    let gone = browser.send(&removal.with("sure", "yes"));
    let settings = ostler.home.settings();
    assert!(settings.contains("# on top") && settings.contains("# at the end"), "{settings}");
    assert_eq!(settings.matches("host = ").count(), 1, "{}", gone.body);
}

#[test]
fn a_new_name_keeps_password_and_history() {
    require!("dovecot", "keyring");
    let (ca, password, keyring) = (TestCa::new(), unique("pw"), Keyring::start());
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, &password).keyring().pop3(Server::new("tls", dovecot.pop3s));
    let mut home = home(&ca, &[account]).with_keyring(&keyring);
    home.keep_secret(&password);
    assert!(home.ostler(&["password", "home", "--stdin"], &password).status.success());
    let ostler = home.run();
    dovecot.deliver(ANN, b"Subject: x\r\n\r\nhello\r\n");
    assert_eq!(client::fetch(ostler.pop3, "home", "x").len(), 1);
    let mut browser = Browser::new(&ostler.home);
    browser.wait_for("/account", "1 message fetched");
    let form = browser.get("/account/settings").form("/account/settings").with("account.name", "house");
    let renamed = browser.send(&form);
    assert!(
        renamed.body.contains("need the new one") && renamed.body.contains("1 message fetched"),
        "{}",
        renamed.body
    );
    dovecot.deliver(ANN, b"Subject: y\r\n\r\nhello again\r\n");
    assert_eq!(client::fetch(ostler.pop3, "house", "x").len(), 2);
    let mut old = client::Client::greeted(ostler.pop3, "+OK");
    old.ask("USER home", "-ERR");
    let entries = keyring.secret_tool(&["search", "--all", "service", "ostler"], "");
    let entries = said(&entries);
    assert!(entries.contains("house pop3") && !entries.contains("home pop3"), "{entries}");
    browser.never_saw(&password);
}

#[test]
fn a_certificate_is_pinned_with_one_click_after_a_look_at_it() {
    require!("dovecot");
    let (cert, password) = (TestCa::self_signed(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = home(&TestCa::new(), &[account]).run();
    let mut browser = Browser::new(&ostler.home);
    let page = browser.get("/account/certificate?server=pop3-1");
    assert!(!page.body.contains(&cert.pin()), "{}", page.body);
    let shown = browser.send(&page.form("/account/certificate/look"));
    for words in [cert.pin().as_str(), "Issued by", "Valid until", "localhost"] {
        assert!(shown.body.contains(words), "{words}: {}", shown.body);
    }
    let taken = browser.send(&shown.form("/account/certificate/take"));
    assert!(taken.body.contains("Changed."), "{}", taken.body);
    assert!(ostler.home.settings().contains(&format!("pin = \"{}\"", cert.pin())), "{}", ostler.home.settings());
    assert_eq!(client::fetch(ostler.pop3, "home", "x").len(), 0);
    let page = browser.get("/account/certificate?server=pop3-1");
    let again = browser.send(&page.form("/account/certificate/look"));
    assert!(again.body.contains("the certificate that is trusted now"), "{}", again.body);
    let system = page.forms().into_iter().find(|form| form.fields.contains(&("pin".into(), String::new()))).unwrap();
    assert!(browser.send(&system).body.contains("Changed.") && !ostler.home.settings().contains("pin"));
}

#[test]
fn an_uploaded_certificate_is_kept_beside_the_settings_and_nothing_else_is_taken() {
    require!("dovecot");
    let (cert, password) = (TestCa::self_signed(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s));
    let ostler = home(&TestCa::new(), &[account]).run();
    let before = ostler.home.settings();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/account/certificate?server=pop3-1").form("/account/certificate/upload");
    for (content, why) in [
        ("", "No file was chosen"),
        ("hello", "has no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no certificate in it"),
        (cert.key_pem.as_str(), "has a private key in it"),
        (&format!("{}{}", cert.chain_pem, cert.key_pem), "has a private key in it"),
    ] {
        let refused = browser.send_file(&form, content);
        assert!(refused.body.contains(why), "{why}: {}", refused.body);
    }
    let foreign = browser.send_file(&form.clone().with("form", "0"), &cert.chain_pem);
    assert_eq!(foreign.status, 403, "a form of another page: {}", foreign.body);
    let huge = browser.send_file(&form, &"x".repeat(600 * 1024));
    assert_eq!(huge.status, 413, "{}", huge.body);
    assert_eq!(ostler.home.settings(), before);
    let kept = browser.send_file(&form, &format!("a note\n{}", cert.chain_pem));
    assert!(kept.body.contains("Changed."), "{}", kept.body);
    assert!(ostler.home.settings().contains("ca = \"certificates-localhost.pem\""), "{}", ostler.home.settings());
    let file = ostler.home.settings_file().with_file_name("certificates-localhost.pem");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("a note"));
    assert_eq!(client::fetch(ostler.pop3, "home", "x").len(), 0);
}
