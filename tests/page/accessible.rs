//! For people who see, hear or move differently: axe-core looks over every kind of page, in light and dark, wide and
//! narrow, and the way to the first fetched message is gone by keyboard alone.
//!
//! The pages of the first way are looked over in `chromium.rs`, where somebody goes it.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::chromium::{Chromium, ENTER, TAB};
use crate::support::ca::TestCa;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Server};
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::running::Run;
use crate::support::world::World;
use crate::support::{client, free_port, mail, require, unique, wait_for};
use crate::{ANN, Newcomer, home, link};

/// What axe-core finds wrong with the page as it is shown, each with the places; an empty list: nothing. The script comes
/// by way of the driver, for which the page's own policy does not count.
pub(crate) fn violations(chromium: &Chromium) -> Value {
    if chromium.run("return typeof window.axe") != "object" {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/axe/axe.min.js");
        chromium.run(&std::fs::read_to_string(file).unwrap());
    }
    let found = chromium.run_until_done(
        "var done = arguments[arguments.length - 1];
         axe.run(document, {resultTypes: ['violations']}).then(function (result) {
             done(result.violations.map(function (wrong) {
                 return wrong.id + ': ' + wrong.help + ' ' + wrong.nodes.map(function (node) {
                     return node.html.slice(0, 120) + ' (' + node.failureSummary + ')';
                 }).join(' | ');
             }));
         }, function (error) { done(['axe did not run: ' + error]); });",
    );
    assert!(found.is_array(), "{found}");
    found
}

/// A provider with one message, which it hands over again and again.
fn post_office() -> Provider {
    Provider::always(vec![
        say("+OK"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK"),
        expect("STAT"),
        say("+OK 1 9"),
        expect("RETR 1"),
        say("+OK\r\nhello\r\n."),
        expect("QUIT"),
        say("+OK"),
    ])
}

/// A provider that takes a message and does not want it.
fn refusing() -> Provider {
    let mut part = vec![say("220 mail"), expect("EHLO"), say("250 mail")];
    for command in ["MAIL", "RCPT"] {
        part.extend([expect(command), say("250 ok")]);
    }
    part.extend([
        expect("DATA"),
        say("354 go"),
        Step::ExpectMessage,
        say("554 5.7.1 this looks like spam"),
        Step::Stall,
    ]);
    Provider::always(part)
}

/// How many lines [`slow`] says of its message, each of 24 octets.
const SLOW_LINES: usize = 40_000;

/// A provider that stops in the middle of its first message.
fn slow() -> Provider {
    let mut part = vec![say("+OK")];
    for (command, answer) in [("USER", "+OK"), ("PASS", "+OK"), ("STAT", "+OK 40 9800000"), ("RETR 1", "+OK")] {
        part.extend([expect(command), say(answer)]);
    }
    part.extend([Step::Send(b"The quick brown foxes.\r\n".repeat(SLOW_LINES)), Step::Stall]);
    Provider::always(part)
}

fn go(chromium: &Chromium, page: &str) {
    chromium.run(&format!("location.href = '{page}'"));
    wait_for(page, || {
        let at = chromium.run("return location.pathname + location.search + ' ' + document.readyState");
        at.as_str()?.starts_with(page).then_some(())?;
        at.as_str()?.ends_with(" complete").then_some(())
    });
}

#[test]
fn every_page_can_be_used_by_everybody() {
    require!("keyring", "chromium", "chromedriver");
    let keyring = Keyring::start();
    let (post, smtp, slow) = (post_office(), refusing(), slow());
    let silent = Provider::always(vec![Step::Stall]);
    let accounts = [
        Account::new("home", ANN, &unique("pw"))
            .pop3(Server::new("none", post.port))
            .smtp(Server::new("none", smtp.port).auth("none")),
        Account::new("work", "ann@example.com", &unique("pw")).pop3(Server::new("none", slow.port)),
        Account::new("late", "ann@example.edu", &unique("pw")).pop3(Server::new("none", silent.port)),
        Account::new("club", "ann@example.net", &unique("pw")).keyring().pop3(Server::new("none", free_port())),
    ];
    let home = home(&TestCa::new(), &accounts).with_keyring(&keyring);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let doors = format!("pop3 = [\"127.0.0.1:{}\", \"{}\"]", home.pop3, taken.local_addr().unwrap());
    home.write_settings(&home.settings().replace(&format!("pop3 = \"127.0.0.1:{}\"", home.pop3), &doors));
    let ostler = home.run();
    let chromium = Chromium::start();
    chromium.go(&link(&ostler.home));
    // A history with good and bad, and a session in the middle of a message.
    for _ in 0..12 {
        assert_eq!(client::fetch(ostler.pop3, "home", "x").len(), 1);
    }
    let mut refused = client::Client::greeted(ostler.smtp, "220 ");
    refused.ask_reply("EHLO old-pc", "250");
    refused.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    refused.ask_reply("RCPT TO:<bob@example.com>", "250");
    refused.ask_reply("DATA", "354");
    refused.send(mail::stuffed(&mail::tricky("hello")));
    refused.expect_reply("554");
    for _ in 0..2 {
        let mut wrong = client::Client::greeted(ostler.pop3, "+OK");
        wrong.ask("USER club", "+OK");
        wrong.ask("PASS x", "-ERR");
    }
    let mut fetching = client::Client::greeted(ostler.pop3, "+OK");
    for line in ["USER work", "PASS x", "STAT", "RETR 1"] {
        fetching.ask(line, "+OK");
    }
    (0..SLOW_LINES).for_each(|_| drop(fetching.raw_line()));
    go(&chromium, "/");
    chromium.wait_for_text("message 1 of 40, 0.9 of 9.8 MB");
    chromium.look("20-overview-busy");
    go(&chromium, "/history");
    chromium.wait_for_text("this looks like spam");
    chromium.look("21-history");
    chromium.click("summary", "Older");
    chromium.wait_for_text("Everything since ostler started");
    chromium.look("22-history-older");
    go(&chromium, "/log");
    chromium.wait_for_text("settings read");
    chromium.look("23-log");
    for (page, name) in [("/add", "23-add"), ("/program", "24-which"), ("/account?account=home", "25-account")] {
        go(&chromium, page);
        chromium.look(name);
    }
    for (page, name) in [
        ("/settings", "26-settings"),
        ("/account/settings?account=home", "26-account-settings"),
        ("/account/server?account=home&server=pop3-1", "26-server-fetching"),
        ("/account/server?account=home&server=smtp-2", "26-server-new"),
        ("/account/certificate?account=home&server=smtp-1", "26-certificate"),
        ("/account/server?account=home&server=smtp-1", "26-server-sending"),
        ("/add", "23-add-open"),
    ] {
        go(&chromium, page);
        let is_in_form = "return document.forms.length === 0 || Boolean(document.activeElement.form)";
        wait_for("the keyboard in the first field", || (chromium.run(is_in_form) == true).then_some(()));
        chromium.run("document.querySelectorAll('details').forEach(function (part) { part.open = true; })");
        chromium.look(name);
    }
    go(&chromium, "/account/server?account=home&server=smtp-1");
    chromium.run("document.querySelectorAll('details').forEach(function (part) { part.open = true; })");
    chromium.run("document.getElementById('account.smtp.port').value = 'x'");
    chromium.click("button", "Save");
    chromium.wait_for_text("A port is a number");
    assert_eq!(
        chromium.run("return document.activeElement.name + ' ' + document.activeElement.value"),
        "account.smtp.port x"
    );
    chromium.look("26-server-mistake");
    go(&chromium, "/account?account=home");
    chromium.click("button", "Remove this account");
    chromium.wait_for_text("Nothing was removed");
    let words = "return document.querySelector('#remove ~ form .error').getBoundingClientRect().bottom - innerHeight";
    assert!(chromium.run(words).as_f64().unwrap() <= 0.0, "what came of it can be seen");
    chromium.look("27-account-unsure");
    go(&chromium, "/account?account=late");
    chromium.click("button", "Test now");
    chromium.wait_for_text("One moment, please");
    chromium.look("28-working");
    chromium.click("button", "Stop");
    chromium.wait_for_text("Nothing was saved");
    chromium.find("//a[text()='Back to late']");
    chromium.look("28-stopped");
    go(&chromium, "/account?account=club");
    chromium.click("button", "Test now");
    chromium.wait_for_text("Something needs your attention; see above");
    chromium.look("28-test-failed");
    go(&chromium, "/account?account=club");
    chromium.click("label", "Yes, remove club");
    chromium.click("button", "Remove this account");
    chromium.wait_for_text("has been removed");
    chromium.look("29-removed");
    ostler.home.write_settings(&ostler.home.settings().replace("[local]", "[local]\naccess = \"password\""));
    wait_for("the password to be asked for", || {
        go(&chromium, "/account?account=home");
        chromium.text().contains("Password for your mail program").then_some(())
    });
    chromium.click("button", "Show it");
    chromium.find("//p[@class='copy']/code");
    chromium.look("31-local-password");
    go(&chromium, "/");
    chromium.click("button", "Pause");
    chromium.wait_for_text("ostler is paused");
    chromium.look("32-paused");
    chromium.was_content();
    // A mistake in the file, which the last good settings outlive.
    let good = ostler.home.settings();
    ostler.home.write_settings(&good.replace("[local]", "[local]\nno_such_key = 1"));
    chromium.wait_for_text("The settings file has a mistake");
    chromium.look("32-settings-mistake");
    ostler.home.write_settings(&good);
    chromium.was_content();
    // From here on the browser has reason to complain.
    go(&chromium, "/nothing");
    chromium.look("30-nothing-here");
    go(&chromium, "/job/gone");
    chromium.wait_for_text("This is over");
    chromium.look("36-job-gone");
    go(&chromium, "/guide/none");
    chromium.look("36-no-such-guide");
    let too_many = || {
        go(&chromium, "/account?account=late");
        chromium.click("button", "Test now");
        wait_for("the answer to the button", || {
            let text = chromium.text();
            ["One moment", "Too much at once"].iter().any(|words| text.contains(words)).then_some(text)
        })
    };
    wait_for("too many tests at once", || too_many().contains("Too much at once").then_some(()));
    chromium.look("36-too-much");
    chromium.forget_cookies();
    chromium.run("location.reload()");
    chromium.wait_for_text("To open the settings page");
    chromium.look("33-closed");
}

#[test]
fn what_is_set_up_once_can_be_used_by_everybody() {
    require!("keyring", "chromium", "chromedriver");
    let keyring = Keyring::start();
    let cert = TestCa::self_signed();
    let post = Provider::always_tls(&cert, true, vec![say("+OK"), expect("CAPA"), say("-ERR no"), Step::Cut]);
    let account = |name: &str, address: &str, port: u16| {
        Account::new(name, address, &unique("pw")).pop3(Server::new("tls", port)).smtp(Server::new("tls", free_port()))
    };
    let accounts = [account("home", ANN, post.port), account("work", "ann@example.com", free_port())];
    let home = home(&TestCa::new(), &accounts).with_keyring(&keyring);
    let one = format!("pop3 = \"127.0.0.1:{}\"", home.pop3);
    let network = format!("pop3 = [\"127.0.0.1:{}\", \"0.0.0.0:{}\"]", home.pop3, home.imap);
    let network = format!("access = \"password\"\nallow = [\"192.0.2.0/24\"]\n{network}");
    home.write_settings(&home.settings().replace(&one, &network));
    // A desktop, which would start it at login.
    let ostler = home.run_changed(&["run"], |_, command| {
        command.env("DISPLAY", ":0");
    });
    let chromium = Chromium::start();
    chromium.go(&link(&ostler.home));
    for (page, name) in [
        ("/account", "40-which-account"),
        ("/settings/registration?company=google", "41-registration"),
        ("/settings/registration?company=A+b", "41-registration-mistake"),
        ("/guide/eudora-mac?account=home", "42-guide-network"),
        ("/guide/eudora-mac?account=home&for=192.0.2.77", "42-guide-other-computer"),
        ("/guide/netscape-4?account=home", "42-guide-netscape-4"),
    ] {
        go(&chromium, page);
        chromium.run("document.querySelectorAll('details').forEach(function (part) { part.open = true; })");
        chromium.look(name);
    }
    go(&chromium, "/account/certificate?account=home&server=pop3-1");
    chromium.click("button", "Connect and show its certificate");
    chromium.wait_for_text("Issued by");
    chromium.look("43-certificate-shown");
    go(&chromium, "/account/settings?account=home");
    chromium.click("button", "Save");
    chromium.wait_for_text("everything is as it was");
    chromium.look("44-unchanged");
    chromium.type_into("account.aliases", "ann.lee@example.org");
    chromium.keys(ENTER);
    chromium.wait_for_text("Changed.");
    chromium.look("44-changed");
    go(&chromium, "/about");
    chromium.click("button", "Start at login");
    chromium.wait_for_text("ostler starts when you log in");
    chromium.look("45-autostart");
    chromium.was_content();
}

#[test]
fn a_month_of_mail_and_the_end_of_ostler_can_be_seen_by_everybody() {
    require!("chromium", "chromedriver");
    let post = post_office();
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", post.port));
    let home = home(&TestCa::new(), &[account]);
    let mut first = Run::start(&home, &[]).ready();
    assert_eq!(client::fetch(home.pop3, "home", "x").len(), 1);
    first.end_well();
    let file = crate::live::kept(&home).unwrap();
    let mut kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let days = kept["accounts"]["home"]["days"].as_object_mut().unwrap();
    let today: time::Date = time::OffsetDateTime::now_utc().date();
    for ago in 1..30u8 {
        let day = (today - time::Duration::days(ago.into())).to_string();
        days.insert(day, json!({"fetched": u64::from(ago * 7 % 11), "sent": u64::from(ago % 4)}));
    }
    std::fs::write(&file, kept.to_string()).unwrap();
    let ostler = home.run();
    let chromium = Chromium::start();
    chromium.go(&link(&ostler.home));
    chromium.wait_for_text("All is ready");
    assert_eq!(client::fetch(ostler.pop3, "home", "x").len(), 1);
    chromium.wait_for_text("All is well");
    let bars = chromium.run("return document.querySelectorAll('svg rect').length");
    assert!(bars.as_u64().unwrap() > 40, "{bars}");
    chromium.look("12-overview-month");
    chromium.was_content();
    drop(ostler);
    chromium.wait_for_text("ostler no longer answers");
    chromium.look("37-ended");
}

#[test]
fn a_computer_without_the_internet_is_told_so_for_everybody() {
    require!("keyring", "world", "chromium", "chromedriver");
    let world = World::builder().without_names().start();
    let keyring = Keyring::start();
    let ostler = home(world.ca(), &[]).with_keyring(&keyring).inside(&world).run();
    let link = link(&ostler.home);
    let port = link.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let chromium = Chromium::with_detour(port, world.reach(port));
    chromium.go(&link);
    for (address, name) in [("ann@nowhere.test", "38-offline-unknown"), ("ann@posteo.de", "38-offline-known")] {
        go(&chromium, "/add");
        chromium.type_into("address", address);
        chromium.type_into("password", &unique("pw"));
        chromium.keys(ENTER);
        chromium.wait_for_text("When the internet is back");
        chromium.look(name);
    }
    chromium.was_content();
}

#[test]
fn a_question_can_be_read_and_answered_by_everybody() {
    require!("keyring", "world", "chromium", "chromedriver");
    let world = World::builder().start();
    let keyring = Keyring::start();
    let home = home(world.ca(), &[]).with_keyring(&keyring).inside(&world);
    let ostler = home.run();
    let link = link(&ostler.home);
    let port = link.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let chromium = Chromium::with_detour(port, world.reach(port));
    chromium.go(&link);
    chromium.type_into("address", "ann@nowhere.test");
    chromium.type_into("password", &unique("pw"));
    chromium.keys(ENTER);
    chromium.wait_for_text("public list");
    chromium.look("34-question");
    Person(&chromium).tab_to("No", "node.tagName === 'BUTTON' && node.textContent === 'No'");
    chromium.keys(ENTER);
    chromium.wait_for_text("No mail servers were found for nowhere.test");
    chromium.look("35-not-found");
    chromium.was_content();
}

#[test]
fn first_run_to_the_first_fetched_message_by_keyboard_alone() {
    require!("dovecot", "postfix", "keyring", "chromium", "chromedriver");
    let newcomer = Newcomer::start();
    newcomer.dovecot.deliver(ANN, &mail::tricky("hello"));
    let chromium = Chromium::start();
    let metrics = json!({"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    chromium.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    chromium.go(&link(&newcomer.ostler.home));
    let person = Person(&chromium);
    assert_eq!(chromium.run("return document.activeElement.name"), "address");
    chromium.keys(ANN);
    person.tab_to("the password", "node.name === 'password'");
    chromium.keys(&newcomer.password);
    person.tab_to("the servers", "node.tagName === 'SUMMARY' && /I know my servers/.test(node.textContent)");
    chromium.keys(ENTER);
    for (name, text) in [("pop3", newcomer.pop3()), ("smtp", newcomer.smtp()), ("ca", newcomer.ca())] {
        person.tab_to(name, &format!("node.name === '{name}'"));
        chromium.keys(&text);
    }
    chromium.keys(ENTER);
    chromium.wait_for_text("works and is saved");
    person.tab_to("the programs", "/Which mail program/.test(node.textContent)");
    chromium.keys(ENTER);
    chromium.wait_for_text("The guide shows step by step");
    person.tab_to("Outlook Express", "/Outlook Express/.test(node.textContent)");
    chromium.keys(ENTER);
    chromium.wait_for_text("Waiting for your mail program");
    person.tab_to("a value to copy", "node.tagName === 'BUTTON' && node.textContent === 'Copy'");
    chromium.keys(ENTER);
    wait_for("the value to be copied", || {
        (chromium.run("return document.activeElement.textContent") == "Copied").then_some(())
    });
    // What goes on by itself takes nobody's place away.
    assert_eq!(client::fetch(newcomer.ostler.pop3, ANN, "x").len(), 1);
    chromium.wait_for_text("has fetched its mail");
    assert_eq!(chromium.run("return document.activeElement.tagName"), "BUTTON");
    let wide = "return document.documentElement.scrollWidth - window.innerWidth";
    assert!(chromium.run(wide).as_i64().unwrap() <= 0);
    chromium.was_content();
}

/// Somebody who has a keyboard and nothing else.
struct Person<'a>(&'a Chromium);

impl Person<'_> {
    /// Presses the key for the next stop until it is this one; every stop on the way can be seen, and is on the screen.
    fn tab_to(&self, what: &str, is: &str) {
        // More stops than any page has.
        for _ in 0..80 {
            self.0.keys(TAB);
            let at = self.0.run(&format!(
                "var node = document.activeElement, style = getComputedStyle(node), box = node.getBoundingClientRect();
                 return {{
                     there: Boolean({is}),
                     seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 0
                         && box.left >= 0 && box.right <= window.innerWidth && box.bottom > 0 && box.top < window.innerHeight,
                     name: node.outerHTML.slice(0, 100),
                     document: node === document.body
                 }};"
            ));
            assert!(at["document"] == true || at["seen"] == true, "nobody sees where the keyboard is: {at}");
            if at["there"] == true {
                return;
            }
        }
        panic!("{what} cannot be reached by keyboard");
    }
}
