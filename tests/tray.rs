//! The icon, its menu and the notices, as a desktop sees them: over the session bus, most of it with a real panel.

#![cfg(all(target_os = "linux", feature = "tray"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::process::Command;
use std::sync::mpsc;

use ostler::desktop::show_notice;
use ostler::events::notice::{Notice, PageTarget};
use support::ca::TestCa;
use support::client::Client;
use support::desktop::{Desktop, Icon, Notices};
use support::keyring::Keyring;
use support::ostler::{Account, Home, Server};
use support::process::{install_script, said};
use support::running::{Hand, Run};
use support::{require, wait_for};

const ANN: &str = "ann@example.net";
const SECRET: &str = "the-password-of-ann";

fn home(port: u16, local: &str) -> Home {
    let account = Account::new("home", ANN, SECRET).pop3(Server::new("none", port));
    Home::with_settings(&TestCa::new(), &[account], local, "")
}

/// A mail program that looks for mail; the server says this to the password.
fn fetch(home: &Home, server: &Hand, verdict: &str) {
    let mut client = Client::greeted(home.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.say("PASS x");
    let mut upstream = server.pop3("PASS");
    upstream.say(verdict);
    if verdict.starts_with("-ERR") {
        client.expect("-ERR [AUTH]");
        return;
    }
    client.expect("+OK");
    client.say("QUIT");
    upstream.expect("QUIT");
    upstream.say("+OK");
    client.expect("+OK");
}

fn status(home: &Home) -> serde_json::Value {
    serde_json::from_slice(&home.ostler(&["status", "--json"], "").stdout).unwrap()
}

#[test]
fn the_icon_tells_the_state_and_its_menu_works() {
    require!("panel");
    let mut desktop = Desktop::bus_only();
    desktop.start_panel();
    let server = Hand::new();
    let home = home(server.port, "").with_desktop(Some(desktop.address()), desktop.display());
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    let icon = desktop.wait_for_icon(ostler.id());
    assert_eq!(icon.tooltip(), ("ostler".to_owned(), "ready; no mail program has connected yet".to_owned()));
    assert_eq!(icon.texts(), ["home: not used yet", "-", "Check now", "Pause", "Start at login", "-", "Quit"]);
    assert!(!icon.menu()[0].2, "there is no page to open");
    // A click with nothing to open does no harm.
    icon.activate();
    let working = icon.picture();
    assert_eq!((working.0, working.1, working.2.len()), (48, 48, 48 * 48 * 4));

    for state in ["on", "off"] {
        icon.click("Start at login");
        wait_for("the switch", || {
            let said = home.ostler(&["autostart", "status", "--json"], "").stdout;
            (serde_json::from_slice::<serde_json::Value>(&said).unwrap()["state"] == state).then_some(())
        });
    }
    icon.click("Pause");
    icon.wait_for_tooltip("paused");
    assert_eq!(status(&home)["paused"], true);
    let paused = icon.picture();
    assert_ne!(paused, working);
    icon.click("Resume");
    icon.wait_for_tooltip("ready");
    assert_eq!(status(&home)["paused"], false);
    assert_eq!(icon.picture(), working);

    fetch(&home, &server, "-ERR [AUTH] <b>no</b> & never");
    let why = icon.wait_for_tooltip("home needs you: localhost refused the sign-in of ann@example.net: ");
    assert!(!why.contains(['<', '>', '&']), "a provider's words are no markup: {why}");
    let needs_you = icon.picture();
    assert!(needs_you != working && needs_you != paused);
    assert_eq!(icon.texts()[0], "home: needs you");

    desktop.stop_panel();
    desktop.start_panel();
    let icon = desktop.wait_for_icon(ostler.id());
    assert_eq!(icon.picture(), needs_you);

    fetch(&home, &server, "+OK in");
    icon.wait_for_tooltip("all is well, last mail at ");
    assert!(icon.texts()[0].starts_with("home: works, fetched "), "{:?}", icon.texts());
    assert_eq!(icon.picture(), working);

    icon.click("Quit");
    assert!(ostler.ended().success(), "{}", ostler.err.text());
    wait_for("the end of the icon", || (!icon.is_there() && desktop.icons().is_empty()).then_some(()));
    assert_eq!(ostler.out.text(), "ready\n");
}

#[test]
fn the_menu_leads_to_the_settings_page() {
    require!("panel");
    let mut desktop = Desktop::bus_only();
    desktop.start_panel();
    let home = home(1, "").with_desktop(Some(desktop.address()), desktop.display());
    let page = support::free_port();
    home.write_settings(&home.settings().replace("page = false", &format!("page = {page}")));
    // In the place of the browser is a program that tells where it was led.
    let (browser, told) = (home.path().join("browser"), home.path().join("told"));
    install_script(&browser, &format!("#!/bin/sh\nprintf '%s\\n' \"$1\" > '{}'\n", told.display()));
    let mut ostler = Run::of(home.command(&[]).env("BROWSER", &browser)).ready();
    let icon = desktop.wait_for_icon(ostler.id());
    assert!(icon.texts().contains(&"Settings...".to_owned()), "{:?}", icon.texts());
    for (entry, place) in
        [("Settings...", "&to=/"), ("Guide for your mail program...", "&to=/program"), ("Show log", "&to=/log")]
    {
        let _ = std::fs::remove_file(&told);
        icon.click(entry);
        let link = wait_for("the browser", || std::fs::read_to_string(&told).ok().filter(|link| link.ends_with('\n')));
        assert!(link.starts_with(&format!("http://127.0.0.1:{page}/?token=")), "{link}");
        assert!(link.trim_end().ends_with(place), "{entry}: {link}");
    }
    ostler.end_well();
}

#[test]
fn a_desktop_without_a_place_for_icons_is_told_of_once_and_the_icon_comes_with_the_panel() {
    require!("panel");
    let mut desktop = Desktop::bus_only();
    let home = home(1, "").with_desktop(Some(desktop.address()), desktop.display());
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    ostler.err.wait("put a status tray");
    assert_eq!(status(&home)["running"], true);
    desktop.start_panel();
    let icon = desktop.wait_for_icon(ostler.id());
    icon.click("Pause");
    icon.wait_for_tooltip("paused");
    assert_eq!(ostler.err.text().matches("status tray").count(), 1);
    // The end of the session is the end of its icon, and of ostler.
    desktop.stop_bus();
    assert!(ostler.ended().success(), "{}", ostler.err.text());
    assert!(ostler.err.text().contains("the session is over"), "{}", ostler.err.text());
}

#[test]
fn without_a_bus_it_runs_on() {
    let server = Hand::new();
    let home = home(server.port, "").with_desktop(None, ":0");
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    ostler.err.wait("there is no icon, because this session has no message bus");
    fetch(&home, &server, "+OK in");
    assert_eq!(status(&home)["accounts"][0]["state"], "ok");
    ostler.end_well();
}

#[test]
fn a_second_start_finds_the_first() {
    require!("dbus-daemon");
    let desktop = Desktop::bus_only();
    let home = home(1, "").with_desktop(Some(desktop.address()), ":0");
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    let icon = Icon::of(desktop.connect(), ostler.id());
    let second = home.ostler(&[], "");
    assert!(
        second.status.success() && said(&second).contains("is already running on this settings file"),
        "{second:?}"
    );
    assert!(said(&second).contains(&format!("(process {})", ostler.id())), "{second:?}");
    let run = home.ostler(&["run"], "");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(icon.is_there());
    ostler.end_well();
}

#[test]
fn ostler_run_has_no_icon_and_needs_a_door() {
    require!("dbus-daemon");
    let desktop = Desktop::bus_only();
    let home = home(1, "").with_desktop(Some(desktop.address()), ":0");
    let notices = Notices::on(desktop.address(), &["body"]);
    let (pop3, smtp) = (Hand::at(home.pop3), Hand::at(home.smtp));
    let run = home.ostler(&["run"], "");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    // With an icon it stays, says so, and opens the doors when it can.
    let before = notices.all().len();
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    let icon = Icon::of(desktop.connect(), ostler.id());
    icon.wait_for_tooltip("door on 127.0.0.1:");
    let titles = || notices.all()[before..].iter().map(|n| n.title.clone()).collect::<Vec<_>>();
    wait_for("two notices", || (titles().len() == 2).then_some(()));
    assert!(titles().contains(&"ostler cannot open its POP3 door".to_owned()), "{:?}", titles());
    drop((pop3, smtp));
    icon.wait_for_tooltip("ready");
    assert_eq!(titles().len(), 2);
    ostler.end_well();
}

#[test]
fn whoever_starts_it_from_a_menu_is_told_why_it_does_not() {
    require!("dbus-daemon");
    let desktop = Desktop::bus_only();
    let notices = Notices::on(desktop.address(), &["body"]);
    let home = home(1, "").with_desktop(Some(desktop.address()), ":0");
    home.write_settings("[local]\npop4 = 110\n");
    let output = home.ostler(&[], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let notice = notices.wait(0);
    assert_eq!(notice.title, "ostler cannot start");
    assert!(notice.body.contains("2:1: local.pop4: "), "{notice:?}");
}

#[test]
fn a_refused_password_is_told_once_until_it_has_worked() {
    require!("dbus-daemon");
    let desktop = Desktop::bus_only();
    let notices = Notices::on(desktop.address(), &["body", "body-markup", "actions"]);
    let server = Hand::new();
    let home = home(server.port, "").with_desktop(Some(desktop.address()), ":0");
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    fetch(&home, &server, "-ERR [AUTH] <b>no</b>");
    let notice = notices.wait(0);
    assert_eq!(notice.title, "Your mail account home needs you");
    assert!(notice.body.starts_with("localhost refused the sign-in of ann@example.net: "), "{notice:?}");
    assert!(notice.body.contains("&lt;b&gt;no") && notice.body.contains(". What to do: "), "{notice:?}");
    assert!(notice.actions.is_empty(), "there is no page yet");
    fetch(&home, &server, "-ERR [AUTH] no");
    fetch(&home, &server, "+OK in");
    wait_for("a fetch", || ostler.err.text().contains(" fetched, ").then_some(()));
    fetch(&home, &server, "-ERR [AUTH] no");
    notices.wait(1);
    // Whatever the second refusal had made would have come before.
    assert_eq!(notices.all().len(), 2, "{:?}", notices.all());

    let text = home.settings();
    home.write_settings(&text.replace("[local]\n", "[local]\nnotices = false\n"));
    ostler.err.wait("changed settings are in force");
    let fetched = || ostler.err.text().matches(" fetched, ").count();
    let before = fetched();
    fetch(&home, &server, "+OK in");
    wait_for("a fetch", || (fetched() > before).then_some(()));
    fetch(&home, &server, "-ERR [AUTH] no");
    // What was asked for is answered all the same.
    let icon = Icon::of(desktop.connect(), ostler.id());
    icon.click("Check now");
    let mut upstream = server.pop3("PASS");
    upstream.say("-ERR [AUTH] no");
    let answer = notices.wait(2);
    assert_eq!(answer.title, "Your mail account home does not work");
    ostler.end_well();
    assert_eq!(notices.all().len(), 3, "{:?}", notices.all());
}

#[test]
fn a_click_on_a_notice_leads_on() {
    require!("dbus-daemon");
    let desktop = Desktop::bus_only();
    let notices = Notices::on(desktop.address(), &["body", "actions"]);
    // The address of the bus is the process's, so another one shows the notice.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "shows_a_notice", "--nocapture"]);
    child.env("OSTLER_TEST_SCENARIO", "notice").env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
    let child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let notice = notices.wait(0);
    assert_eq!((notice.body.as_str(), notice.actions.as_slice()), ("a & b", &["default".into(), "Open".into()][..]));
    // Another program's.
    notices.click(77);
    notices.click(1);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).contains("was clicked"), "{output:?}");
}

/// The other side of the test above; by itself it does nothing.
#[test]
fn shows_a_notice() {
    if std::env::var_os("OSTLER_TEST_SCENARIO").is_none() {
        return;
    }
    let (clicked, clicks) = mpsc::channel();
    let notice = Notice::answer("a title", "a & b", PageTarget::Start);
    let shown = show_notice(notice, Some(Box::new(move || clicked.send("was clicked").unwrap())));
    println!("{}", clicks.recv().unwrap());
    shown.unwrap().join().unwrap();
}

#[test]
fn the_keyring_works_beside_the_icon() {
    require!("keyring");
    let keyring = Keyring::start();
    let server = Hand::new();
    let account = Account::new("home", ANN, "").keyring().pop3(Server::new("none", server.port));
    let mut home = Home::new(&TestCa::new(), &[account]).with_desktop(Some(keyring.address()), ":0");
    home.keep_secret(SECRET);
    let stored = home.ostler(&["password", "home", "--stdin"], &format!("{SECRET}\n"));
    assert!(stored.status.success(), "{stored:?}");
    let mut ostler = Run::of(&mut home.command(&[])).ready();
    let icon = Icon::of(zbus_at(&keyring), ostler.id());
    fetch(&home, &server, "+OK in");
    icon.wait_for_tooltip("all is well");
    ostler.end_well();
}

fn zbus_at(keyring: &Keyring) -> zbus::blocking::Connection {
    zbus::blocking::connection::Builder::address(keyring.address()).unwrap().build().unwrap()
}
