//! `ostler run` from start to end: what it prints, doors that are busy, settings that change, signals, pause, status, and
//! what it comes through without being started anew.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::ca::TestCa;
use support::client::{self, Client};
use support::ostler::{Account, Home, Server};
use support::process::{command, in_background, run, said};
use support::provider::{Provider, Step, expect, say};
use support::running::{Hand, Run, answer_pop3, answer_smtp};
use support::{Listening, PATIENCE, free_port, unique, wait_for};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

/// A home whose only account fetches and sends at servers without encryption.
fn home(pop3: u16, smtp: u16) -> Home {
    with_local(pop3, smtp, "")
}

fn with_local(pop3: u16, smtp: u16, local: &str) -> Home {
    Home::with_settings(&TestCa::new(), &[account(pop3, smtp)], local, "")
}

fn account(pop3: u16, smtp: u16) -> Account {
    Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", pop3)).smtp(Server::new("none", smtp))
}

fn nowhere() -> Home {
    home(1, 1)
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The document of `ostler status --json`, and its exit code.
fn status(home: &Home) -> (Value, Option<i32>) {
    let output = home.ostler(&["status", "--json"], "");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no document: {}", said(&output)));
    (document, code(&output))
}

fn refuses(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// The greeting of the door that is here, if one is. To be let in is not enough: a socket that listened here and is closed
/// lives on for a moment in the children other tests are starting right now.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    Client::over(stream).part_of_line().map(|line| text(&line))
}

fn opens(port: u16) -> bool {
    greeting(port).is_some()
}

/// The kernel's number of the socket that listens here.
fn listening_socket(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mine = format!("0100007F:{port:04X}");
    words.into_iter().find(|words| words.get(1) == Some(&mine.as_str()) && words[3] == "0A").map(|w| w[9].to_owned())
}

/// Puts another text in the place of one in the settings, as an editor does: a new file over the old one.
fn rename_over(home: &Home, text: &str) {
    let beside = home.settings_file().with_extension("toml~");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, home.settings_file()).unwrap();
}

// What it prints

#[test]
fn ready_is_said_once_and_nothing_else_on_stdout() {
    let server = Hand::new();
    let home = home(server.port, 1);
    let mut ostler = Run::start(&home, &["-v"]).ready();
    let mut client = Client::greeted(home.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.say("PASS x");
    let mut upstream = server.pop3("PASS");
    upstream.say("-ERR no");
    client.expect("-ERR [AUTH]");
    home.write_settings(&home.settings().replace("page = false", "page = false\n# changed\n"));
    home.write_settings("nonsense");
    ostler.err.wait("settings file is wrong");
    ostler.end_well();
    assert_eq!(ostler.out.text(), "ready\n");
    assert!(!ostler.err.text().contains('\u{1b}'), "colours in a pipe: {}", ostler.err.text());
}

#[test]
fn systemd_hears_that_it_is_ready_and_that_it_stops() {
    let home = nowhere();
    let socket = home.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ostler = Run::of(home.command(&["run"]).env("NOTIFY_SOCKET", &socket)).ready();
    let mut heard = [0; 64];
    let length = manager.recv(&mut heard).unwrap();
    assert_eq!(text(&heard[..length]), "READY=1");
    ostler.signal(Signal::TERM);
    let length = manager.recv(&mut heard).unwrap();
    assert_eq!(text(&heard[..length]), "STOPPING=1");
    assert!(ostler.ended().success());
}

/// The default doors are the same for all tests on this machine.
fn default_doors() -> Option<std::fs::File> {
    let lock = std::fs::File::create(std::env::temp_dir().join("ostler-test-default-doors")).unwrap();
    wait_for("the default doors to be nobody's", || {
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()
    });
    let free = [2110, 2025, 2143].into_iter().all(|port| !support::port::is_taken(port));
    if !free {
        support::skip("the ports 2110, 2025 and 2143 to be free");
    }
    free.then_some(lock)
}

#[test]
fn with_no_settings_or_empty_ones_the_doors_say_that_there_is_no_account_yet() {
    let Some(_lock) = default_doors() else { return };
    let home = nowhere();
    let file = home.settings_file();
    std::fs::remove_file(&file).unwrap();
    for empty in [false, true] {
        if empty {
            std::fs::write(&file, "").unwrap();
        }
        let mut ostler = Run::start(&home, &[]).ready();
        let mut pop = Client::greeted(2110, "+OK");
        let line = pop.ask("USER ann", "-ERR ");
        assert!(line.contains("no account yet"), "{line}");
        let mut smtp = Client::greeted(2025, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        let line = smtp.ask("MAIL FROM:<ann@example.org>", "550 5.7.1 ");
        assert!(line.contains("no account yet"), "{line}");
        let (document, code) = status(&home);
        assert_eq!((document["running"].as_bool(), code), (Some(true), Some(0)), "{document:#}");
        assert_eq!(document["accounts"], serde_json::json!([]));
        if TcpListener::bind(("::1", 0)).is_ok() {
            Client::connect_to("::1", 2110).expect("+OK");
            Client::connect_to("::1", 2025).expect("220 ");
        }
        drop((pop, smtp));
        ostler.end_well();
        assert_eq!(ostler.out.text(), "ready\n");
        assert_eq!(file.exists(), empty, "a run makes no settings file");
    }
}

#[test]
fn a_settings_file_that_appears_later_in_a_folder_that_was_not_there_is_found() {
    let Some(_lock) = default_doors() else { return };
    let home = nowhere();
    let text = home.settings();
    let file = home.path().join("later/ostler/ostler.toml");
    let mut ostler = Run::of(&mut with_config(&home, &["run"], &file)).ready();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    wait_for("the new doors", || opens(home.pop3).then_some(()));
    wait_for("the default doors to close", || refuses(2110).then_some(()));
    ostler.end_well();
}

#[test]
fn a_settings_folder_that_is_made_anew_is_still_watched() {
    let (home, other) = (nowhere(), nowhere());
    let folder = home.path().join("folder");
    let file = folder.join("ostler.toml");
    let write = |text: &str| {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, text).unwrap();
    };
    write(&home.settings());
    let mut ostler = Run::of(&mut with_config(&home, &["run"], &file)).ready();
    std::fs::remove_dir_all(&folder).unwrap();
    write(&other.settings());
    wait_for("the doors of a folder that was removed and made again", || opens(other.pop3).then_some(()));
    std::fs::rename(&folder, home.path().join("old")).unwrap();
    write(&home.settings());
    wait_for("the doors of a folder that was renamed and made again", || opens(home.pop3).then_some(()));
    ostler.end_well();
}

#[test]
fn a_settings_file_that_is_a_link_is_watched_where_it_leads_to_by_now() {
    let (home, other) = (nowhere(), nowhere());
    let folders = ["one", "two"].map(|name| home.path().join(name));
    for (folder, settings) in folders.iter().zip([home.settings(), other.settings()]) {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("ostler.toml"), settings).unwrap();
    }
    let file = home.path().join("link.toml");
    std::os::unix::fs::symlink(folders[0].join("ostler.toml"), &file).unwrap();
    let mut ostler = Run::of(&mut with_config(&home, &["run"], &file)).ready();
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(folders[1].join("ostler.toml"), &file).unwrap();
    wait_for("the doors of the other file", || opens(other.pop3).then_some(()));
    std::fs::write(folders[1].join("ostler.toml"), home.settings()).unwrap();
    wait_for("the doors of its change", || opens(home.pop3).then_some(()));
    ostler.end_well();
}

#[test]
fn a_second_run_on_the_same_settings_names_the_first() {
    let home = nowhere();
    let mut first = Run::start(&home, &[]).ready();
    // Spelt another way, it is the same file.
    let other = home.path().join("config/../config/ostler.toml");
    std::os::unix::fs::symlink(home.settings_file(), home.path().join("link.toml")).unwrap();
    for file in [home.settings_file(), other, home.path().join("link.toml")] {
        let output = run(&mut with_config(&home, &["run"], &file), "");
        assert_eq!(code(&output), Some(1), "{}: {}", file.display(), said(&output));
        assert_eq!(text(&output.stdout), "");
        let line = text(&output.stderr);
        assert!(line.contains(&first.id().to_string()) && line.contains("is already running"), "{line}");
    }
    client_is_greeted(&home);
    first.end_well();
    // And afterwards the place is free.
    Run::start(&home, &[]).ready().end_well();
}

fn client_is_greeted(home: &Home) {
    Client::greeted(home.pop3, "+OK").ask("QUIT", "+OK");
    Client::greeted(home.smtp, "220 ").ask("QUIT", "221 ");
}

#[test]
fn two_settings_files_run_side_by_side() {
    let (one, two) = (nowhere(), nowhere());
    let (mut first, mut second) = (Run::start(&one, &[]).ready(), Run::start(&two, &[]).ready());
    client_is_greeted(&one);
    client_is_greeted(&two);
    assert_eq!(status(&one).0["pid"], first.id());
    assert_eq!(status(&two).0["pid"], second.id());
    first.end_well();
    client_is_greeted(&two);
    second.end_well();
}

// Doors

#[test]
fn a_busy_port_is_named_with_its_holder_and_opens_when_it_is_free() {
    let home = nowhere();
    let held = Listening::at(home.pop3);
    let mut ostler = Run::start(&home, &[]).ready();
    let line = ostler.err.wait("cannot be opened");
    let me = format!("process {}", std::process::id());
    assert!(line.contains(&home.pop3.to_string()) && line.contains(&me), "{line}");
    Client::greeted(home.smtp, "220 ");
    let (document, _) = status(&home);
    let door = |document: &Value, protocol: &str| {
        document["doors"].as_array().unwrap().iter().find(|d| d["protocol"] == protocol).unwrap()["state"].clone()
    };
    assert!(door(&document, "pop3").as_str().unwrap().contains(&me), "{document:#}");
    assert_eq!(door(&document, "smtp"), "open");
    drop(held);
    let began = Instant::now();
    wait_for("the door", || (door(&status(&home).0, "pop3") == "open").then_some(()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    client_is_greeted(&home);
    ostler.end_well();
    assert_eq!(ostler.out.text(), "ready\n");
    let said = ostler.err.text().lines().filter(|line| line.contains("cannot be opened")).count();
    assert_eq!(said, 1, "once is enough: {}", ostler.err.text());
}

#[test]
fn with_every_port_busy_it_ends_without_ready() {
    let home = nowhere();
    let _held = [home.pop3, home.smtp].map(Listening::at);
    let output = home.ostler(&["run"], "");
    assert_eq!((code(&output), text(&output.stdout)), (Some(1), String::new()), "{}", said(&output));
    let log = text(&output.stderr);
    for port in [home.pop3, home.smtp] {
        assert!(log.contains(&port.to_string()), "{log}");
    }
    assert!(log.contains(&format!("process {}", std::process::id())), "{log}");
}

#[test]
fn every_line_of_a_json_log_is_json_to_the_end() {
    let home = nowhere();
    let held = [home.pop3, home.smtp].map(Listening::at);
    let busy = home.ostler(&["run", "--log", "json"], "");
    drop(held);
    let mut ostler = Run::start(&home, &["--log", "json", "-v"]).ready();
    let second = home.ostler(&["run", "--log", "json"], "");
    client_is_greeted(&home);
    ostler.end_well();
    let good = home.settings();
    home.write_settings("nonsense = 1\nmore = 2\n");
    let wrong = home.ostler(&["run", "--log=json"], "");
    home.write_settings(&good);
    assert_eq!([code(&busy), code(&second), code(&wrong)], [Some(1), Some(1), Some(2)]);
    for log in [text(&busy.stderr), text(&second.stderr), text(&wrong.stderr), ostler.err.text()] {
        assert!(!log.is_empty());
        for line in log.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line:?} in {log}");
        }
    }
    assert!(text(&second.stderr).contains(&ostler.id().to_string()));
    assert!(text(&wrong.stderr).contains(":2:1: more"), "{}", text(&wrong.stderr));
}

#[test]
fn quiet_shows_trouble_only_and_verbose_the_dialogue() {
    let home = nowhere();
    let mut quiet = Run::start(&home, &["-q"]).ready();
    client_is_greeted(&home);
    quiet.end_well();
    assert!(!quiet.err.text().contains("open on") && !quiet.err.text().contains("INFO"), "{}", quiet.err.text());
    let mut loud = Run::start(&home, &["-v"]).ready();
    client_is_greeted(&home);
    loud.end_well();
    assert!(loud.err.text().contains("C: QUIT") && loud.err.text().contains("S: +OK"), "{}", loud.err.text());
}

// Settings that change

/// The ways a file changes.
fn changes() -> [fn(&Home, &str); 2] {
    [|home, text| home.write_settings(text), rename_over]
}

#[test]
fn a_changed_file_is_in_force_within_seconds() {
    for change in changes() {
        let (old, new) = (Hand::new(), Hand::new());
        let home = home(old.port, 1);
        let mut ostler = Run::start(&home, &[]).ready();
        let unchanged = listening_socket(home.smtp).expect("the SMTP door");
        let mut before = Client::greeted(home.pop3, "+OK");
        before.ask("USER home", "+OK");
        before.say("PASS x");
        let mut upstream = old.pop3("PASS");
        upstream.say("+OK in");
        before.expect("+OK");
        let moved = free_port();
        let text = home
            .settings()
            .replace(&format!("pop3 = \"127.0.0.1:{}\"", home.pop3), &format!("pop3 = \"127.0.0.1:{moved}\""))
            .replace(&format!("port = {}", old.port), &format!("port = {}", new.port))
            + "\n[[account]]\nname = \"second\"\naddress = \"second@example.org\"\npassword = \"client\"\n"
            + &format!("[account.pop3]\nhost = \"localhost\"\nport = {}\nsecurity = \"none\"\n", new.port);
        let began = Instant::now();
        change(&home, &text);
        wait_for("the door to move", || (opens(moved) && refuses(home.pop3)).then_some(()));
        // A second or two, the rest for a busy machine.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(listening_socket(home.smtp).as_ref(), Some(&unchanged), "the SMTP door was opened anew");
        // A new client sees the new settings, and the new account.
        let mut after = Client::greeted(moved, "+OK");
        after.ask("USER second", "+OK");
        after.say("PASS x");
        new.pop3("PASS").say("+OK in");
        after.expect("+OK");
        // The old one ends on what it began with.
        before.say("STAT");
        answer_pop3(&mut upstream, "STAT");
        upstream.say("+OK 0 0");
        before.expect("+OK 0 0");
        before.say("QUIT");
        answer_pop3(&mut upstream, "QUIT");
        upstream.say("+OK bye");
        before.expect("+OK");
        let names: Vec<Value> =
            status(&home).0["accounts"].as_array().unwrap().iter().map(|a| a["name"].clone()).collect();
        assert_eq!(names, ["home", "second"]);
        drop(after);
        ostler.end_well();
    }
}

#[test]
fn a_change_right_after_ready_is_not_missed() {
    for _ in 0..5 {
        let home = nowhere();
        let moved = free_port();
        let text = home.settings().replace(&home.pop3.to_string(), &moved.to_string());
        let mut ostler = Run::start(&home, &[]).ready();
        home.write_settings(&text);
        wait_for("the door to move", || (opens(moved) && refuses(home.pop3)).then_some(()));
        ostler.end_well();
    }
}

#[test]
fn a_smtp_session_under_way_keeps_its_account_and_new_ones_do_not() {
    let (old, new) = (Hand::new(), Hand::new());
    let home = home(1, old.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut before = Client::greeted(home.smtp, "220 ");
    before.ask_reply("EHLO old-pc", "250");
    let text = home
        .settings()
        .replace(&format!("port = {}", old.port), &format!("port = {}", new.port))
        .replace(ANN, "zoe@example.org");
    home.write_settings(&text);
    ostler.err.wait("changed settings are in force");
    before.say(&format!("MAIL FROM:<{ANN}>"));
    let mut upstream = old.smtp("MAIL");
    upstream.say("250 2.1.0 ok");
    before.expect("250 ");
    let mut after = Client::greeted(home.smtp, "220 ");
    after.ask_reply("EHLO old-pc", "250");
    after.say("MAIL FROM:<zoe@example.org>");
    new.smtp("MAIL FROM:<zoe@example.org>").say("250 2.1.0 ok");
    after.expect("250 ");
    drop((before, after, upstream));
    ostler.end_well();
}

#[test]
fn doors_that_change_places_both_open() {
    let home = nowhere();
    let mut ostler = Run::start(&home, &[]).ready();
    let (pop3, smtp) = (home.pop3, home.smtp);
    let swapped = home
        .settings()
        .replace(&format!("pop3 = \"127.0.0.1:{pop3}\""), &format!("pop3 = \"127.0.0.1:{smtp}\""))
        .replace(&format!("smtp = \"127.0.0.1:{smtp}\""), &format!("smtp = \"127.0.0.1:{pop3}\""));
    let began = Instant::now();
    home.write_settings(&swapped);
    ostler.err.wait("changed settings are in force");
    wait_for("the doors to change places", || {
        (greeting(smtp)?.starts_with("+OK") && greeting(pop3)?.starts_with("220 ")).then_some(())
    });
    Client::greeted(pop3, "220 ");
    // A second or two, the rest for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!ostler.err.text().contains("cannot be opened"), "{}", ostler.err.text());
    ostler.end_well();
}

/// Puts a link in the place of another one, as `ln -sfn` does.
fn lead(link: &Path, target: impl AsRef<Path>) {
    let next = link.with_extension("next");
    std::os::unix::fs::symlink(target, &next).unwrap();
    std::fs::rename(&next, link).unwrap();
}

/// Moves the POP3 door in a settings file, and waits until it has moved.
fn door_moves(home: &Home, file: &Path, from: &mut u16) {
    let to = free_port();
    let text = std::fs::read_to_string(file).unwrap().replace(&from.to_string(), &to.to_string());
    std::fs::write(file, text).unwrap();
    wait_for("the door to move", || (opens(to) && refuses(*from)).then_some(()));
    assert!(opens(home.smtp));
    *from = to;
}

#[test]
fn settings_are_followed_where_their_folder_is_replaced_or_moved() {
    let home = nowhere();
    let mut door = home.pop3;
    let mut ostler = Run::start(&home, &[]).ready();
    let (file, folder) = (home.settings_file(), home.path().join("config"));
    door_moves(&home, &file, &mut door);
    for away in ["first", "second"] {
        // As a program that restores or synchronises settings does.
        let away = home.path().join(away);
        let text = home.settings();
        std::fs::rename(&folder, &away).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, text).unwrap();
        door_moves(&home, &file, &mut door);
    }
    ostler.end_well();
}

#[test]
fn settings_are_followed_where_a_link_leads_elsewhere() {
    // The way some systems swap a whole folder of settings: a link on the way to the file changes.
    let home = nowhere();
    let mut door = home.pop3;
    for name in ["one", "two", "three"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
        std::fs::write(home.path().join(name).join("ostler.toml"), home.settings()).unwrap();
    }
    let (link, link_to_folder) = (home.path().join("link.toml"), home.path().join("current"));
    lead(&link_to_folder, home.path().join("one"));
    lead(&link, "current/ostler.toml");
    let mut ostler = Run::of(&mut with_config(&home, &["run"], &link)).ready();
    for name in ["two", "three", "one"] {
        let file = home.path().join(name).join("ostler.toml");
        let to = free_port();
        std::fs::write(&file, home.settings().replace(&home.pop3.to_string(), &to.to_string())).unwrap();
        lead(&link_to_folder, name);
        wait_for("the door to move", || (opens(to) && refuses(door)).then_some(()));
        door = to;
        // And then the file that it leads to.
        door_moves(&home, &file, &mut door);
    }
    ostler.end_well();
}

#[test]
fn a_file_that_is_emptied_before_it_is_written_costs_no_account_its_history() {
    let home = nowhere();
    let mut ostler = Run::start(&home, &[]).ready();
    let refuse = |account: &str| {
        let mut client = Client::greeted(home.pop3, "+OK");
        client.ask(&format!("USER {account}"), "+OK");
        client.ask("PASS x", "-ERR");
    };
    let text = home.settings();
    let both = format!(
        "{text}\n[[account]]\nname = \"second\"\naddress = \"second@example.org\"\npassword = \"client\"\n[account.pop3]\nhost = \"localhost\"\nport = 1\nsecurity = \"none\"\n"
    );
    home.write_settings(&both);
    wait_for("the account", || (status(&home).0["accounts"].as_array()?.len() == 2).then_some(()));
    ["home", "second"].into_iter().for_each(refuse);
    // An editor has emptied the file and is about to write it.
    home.write_settings("");
    ostler.err.wait("ostler.toml is empty");
    refuse("second");
    // It has written the first half of it.
    home.write_settings(&text);
    wait_for("the account to go", || (status(&home).0["accounts"].as_array()?.len() == 1).then_some(()));
    home.write_settings(&both);
    wait_for("the account", || (status(&home).0["accounts"].as_array()?.len() == 2).then_some(()));
    ostler.end_well();
    let folder = home.path().join("data/ostler");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.into_iter().find(|name| name.starts_with("history")).expect("a history");
    let history: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
    assert_eq!(history["accounts"]["second"]["things"][0]["times"], 2, "{history:#}");
    assert!(history["accounts"]["home"].is_object(), "{history:#}");
}

/// The command of this home with another settings file.
fn with_config(home: &Home, args: &[&str], file: &Path) -> std::process::Command {
    let template = home.command(&[]);
    let mut fresh = command(template.get_program(), args);
    for (name, value) in template.get_envs() {
        match value {
            Some(value) => fresh.env(name, value),
            None => fresh.env_remove(name),
        };
    }
    fresh.arg("--config").arg(file);
    fresh
}

#[test]
fn a_wrong_file_changes_nothing_and_its_mistakes_are_in_the_log() {
    let home = nowhere();
    let mut ostler = Run::start(&home, &[]).ready();
    let good = home.settings();
    let secret = unique("secret");
    // Two mistakes, one of them a password where only a place for one belongs.
    let wrong = good.replace("imap = false", "imap = \"never\"")
        + &format!(
            "\n[timeouts]\nconnect = 5\n[[account]]\nname = \"x\"\naddress = \"x@example.org\"\npassword = \"{secret}\"\n[account.pop3]\nhost = \"h\"\n"
        );
    home.write_settings(&wrong);
    ostler.err.wait("last good settings");
    let file = home.settings_file().display().to_string();
    let imap = 1 + wrong.lines().position(|line| line.starts_with("imap =")).unwrap();
    let connect = 1 + wrong.lines().position(|line| line.starts_with("connect =")).unwrap();
    ostler.err.wait(&format!("{file}:{imap}:8: "));
    ostler.err.wait(&format!("{file}:{connect}:11: "));
    assert_eq!(status(&home).1, Some(0));
    client_is_greeted(&home);
    // Made good again, changes are taken as before.
    let moved = free_port();
    home.write_settings(&good.replace(&home.pop3.to_string(), &moved.to_string()));
    wait_for("the door to move", || (opens(moved) && refuses(home.pop3)).then_some(()));
    // And a file that goes away for a moment closes nothing that is not meant.
    ostler.end_well();
    assert!(!ostler.err.text().contains(&secret), "{}", ostler.err.text());
}

#[test]
fn a_wrong_file_at_start_ends_with_2_and_one_line_for_each_mistake() {
    let home = nowhere();
    let secret = unique("secret");
    home.write_settings(&format!(
        "[local]\npop3 = 70000\n[[account]]\nname = \"a\"\naddress = \"a@example.org\"\npassword = \"{secret}\"\n[account.pop3]\nsecurity = \"ssl\"\nhost = \"h\"\n[[account]]\nname = \"a\"\naddress = \"b@example.org\"\n[account.smtp]\nhost = \"h\"\npasword = \"{secret}\"\n"
    ));
    for args in [&["run"][..], &["list"], &["check"], &["remove", "a", "--yes"], &["password", "a", "--stdin"]] {
        let output = home.ostler(args, "pw\n");
        assert_eq!((code(&output), text(&output.stdout)), (Some(2), String::new()), "{args:?}: {}", said(&output));
        let lines = text(&output.stderr);
        let file = home.settings_file().display().to_string();
        for place in ["2:8: ", "6:12: ", "8:12: ", "11:8: "] {
            assert!(lines.lines().any(|l| l.starts_with(&format!("{file}:{place}"))), "{place} is not in {lines}");
        }
        assert!(!lines.contains(&secret), "{lines}");
        assert!(lines.lines().all(|line| line.starts_with(&file)), "{lines}");
    }
}

// The end

#[test]
fn a_signal_ends_it_at_once_where_nothing_is_under_way() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = nowhere();
        let mut ostler = Run::start(&home, &[]).ready();
        let mut pop = Client::greeted(home.pop3, "+OK");
        let mut named = Client::greeted(home.pop3, "+OK");
        named.ask("USER home", "+OK");
        let mut smtp = Client::greeted(home.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        let began = Instant::now();
        ostler.signal(signal);
        pop.expect("-ERR ");
        pop.expect_end();
        named.expect("-ERR ");
        smtp.expect("421 ");
        smtp.expect_end();
        drop((pop, named, smtp));
        assert_eq!(ostler.ended().code(), Some(0), "{}", ostler.err.text());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(refuses(home.pop3) && refuses(home.smtp));
        assert_eq!(status(&home).1, Some(1));
    }
}

#[test]
fn a_signal_right_after_ready_is_heard() {
    // Eight times, since the moment is short.
    for _ in 0..8 {
        for signal in [Signal::TERM, Signal::INT] {
            let home = nowhere();
            let mut ostler = Run::start(&home, &[]).ready();
            ostler.signal(signal);
            assert_eq!(ostler.ended().code(), Some(0), "{}", ostler.err.text());
        }
    }
}

/// In `nohup tests/run &` of a script too, where this process has some of them ignored.
#[cfg(target_os = "linux")]
#[test]
fn what_a_test_starts_has_the_default_signals() {
    const AGAIN: &str = "OSTLER_TEST_AGAIN_IN_BACKGROUND";
    if std::env::var_os(AGAIN).is_none() {
        let me = std::env::current_exe().unwrap();
        let mut again = command(me, ["--exact", "what_a_test_starts_has_the_default_signals"]);
        support::process::run_well(&mut in_background(again.env(AGAIN, "1")), "");
        return;
    }
    let ignored = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    let both = (1 << (Signal::INT.as_raw() - 1)) | (1 << (Signal::HUP.as_raw() - 1));
    let child = text(&run(&mut command("cat", ["/proc/self/status"]), "").stdout);
    assert_eq!(ignored(&child) & both, 0, "{child}");
}

/// A child that is being started has a copy of every socket; a test's own port must not depend on that.
#[test]
fn a_port_is_free_again_at_once_while_other_threads_start_children() {
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    run(&mut command("true", [""; 0]), "");
                }
            });
        }
        let port = free_port();
        let rounds = (0..3000).find(|_| {
            drop(Listening::at(port));
            support::port::is_taken(port)
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(rounds, None, "the round after which the port was still taken");
    });
}

#[test]
fn sigint_ends_it_in_the_background_of_a_script_too() {
    let home = nowhere();
    let mut ostler = Run::of(&mut in_background(&home.command(&["run"]))).ready();
    ostler.signal(Signal::INT);
    assert_eq!(ostler.ended().code(), Some(0), "{}", ostler.err.text());
}

#[test]
fn a_signed_in_session_ends_in_good_order() {
    let (fetch, submit) = (Hand::new(), Hand::new());
    let home = home(fetch.port, submit.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    let mut mailbox = fetch.pop3("PASS");
    mailbox.say("+OK in");
    pop.expect("+OK");
    pop.say("DELE 1");
    answer_pop3(&mut mailbox, "DELE");
    mailbox.say("+OK gone");
    pop.expect("+OK");
    let mut smtp = Client::greeted(home.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.say(&format!("MAIL FROM:<{ANN}>"));
    let mut mta = submit.smtp("MAIL");
    mta.say("250 2.1.0 ok");
    smtp.expect("250 ");
    ostler.signal(Signal::TERM);
    smtp.expect("421 ");
    // Nobody said QUIT, so nothing may be deleted.
    let rest = text(&mailbox.rest());
    assert!(!rest.contains("QUIT"), "{rest}");
    let goodbye = text(&pop.rest());
    assert!(goodbye.is_empty() || goodbye.starts_with("-ERR "), "{goodbye}");
    drop((pop, smtp, mta));
    assert_eq!(ostler.ended().code(), Some(0));
}

#[test]
fn a_message_being_fetched_is_finished_first() {
    let server = Hand::new();
    let home = home(server.port, 1);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    let mut mailbox = server.let_in(&mut pop);
    pop.say("RETR 1");
    answer_pop3(&mut mailbox, "RETR");
    mailbox.send("+OK\r\nSubject: slow\r\n\r\nfirst half\r\n");
    for line in ["+OK", "Subject: slow", "", "first half"] {
        pop.expect(line);
    }
    ostler.signal(Signal::TERM);
    wait_for("the doors to close", || (refuses(home.pop3) && refuses(home.smtp)).then_some(()));
    assert!(!ostler.has_ended());
    mailbox.send("second half\r\n.\r\n");
    pop.expect("second half");
    pop.expect(".");
    drop(pop);
    assert_eq!(ostler.ended().code(), Some(0));
}

#[test]
fn a_message_being_sent_is_finished_first_and_answered() {
    let server = Hand::new();
    let home = home(1, server.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let (mut smtp, mut mta) = in_data(&home, &server);
    smtp.send("Subject: slow\r\n\r\nfirst half\r\n");
    mta.expect("Subject: slow");
    ostler.signal(Signal::TERM);
    wait_for("the doors to close", || (refuses(home.pop3) && refuses(home.smtp)).then_some(()));
    smtp.send("second half\r\n.\r\n");
    for line in ["", "first half", "second half", "."] {
        mta.expect(line);
    }
    assert!(!ostler.has_ended(), "the answer is still due");
    mta.say("250 2.0.0 queued as 1");
    smtp.expect("250 2.0.0 queued as 1");
    drop(smtp);
    mta.say("221 bye");
    assert_eq!(ostler.ended().code(), Some(0));
}

/// A client that has heard 354, and the server that said it.
fn in_data(home: &Home, server: &Hand) -> (Client, Client) {
    let mut smtp = Client::greeted(home.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.say(&format!("MAIL FROM:<{ANN}>"));
    let mut mta = server.smtp("MAIL");
    mta.say("250 2.1.0 ok");
    smtp.expect("250 ");
    smtp.say(&format!("RCPT TO:<{BOB}>"));
    answer_smtp(&mut mta, "RCPT");
    mta.say("250 2.1.5 ok");
    smtp.expect("250 ");
    smtp.say("DATA");
    answer_smtp(&mut mta, "DATA");
    mta.say("354 go on");
    smtp.expect("354 ");
    (smtp, mta)
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = Hand::new();
    let home = home(1, server.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let (mut smtp, mut mta) = in_data(&home, &server);
    smtp.send("Subject: slow\r\n");
    mta.expect("Subject: slow");
    ostler.signal(Signal::TERM);
    wait_for("the doors to close", || refuses(home.smtp).then_some(()));
    let began = Instant::now();
    ostler.signal(Signal::TERM);
    ostler.ended();
    // Less than it waits for sessions after the first signal.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // The provider never saw the end of the message.
    assert!(!text(&mta.rest()).contains("\r\n.\r\n"));
    let rest = text(&smtp.rest());
    assert!(!rest.contains("250"), "{rest}");
}

#[test]
fn killed_it_can_be_started_again() {
    let home = nowhere();
    let mut first = Run::start(&home, &[]).ready();
    let idle = Client::greeted(home.pop3, "+OK");
    first.signal(Signal::KILL);
    assert!(!first.ended().success());
    let (document, code) = status(&home);
    assert_eq!((document, code), (serde_json::json!({"running": false}), Some(1)));
    let mut second = Run::start(&home, &[]).ready();
    client_is_greeted(&home);
    assert_eq!(status(&home).0["pid"], second.id());
    drop(idle);
    second.end_well();
}

// Pause, resume, status

#[test]
fn paused_doors_say_so_and_sessions_under_way_finish() {
    let server = Hand::new();
    let home = home(1, server.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let (mut smtp, mut mta) = in_data(&home, &server);
    let output = home.ostler(&["pause"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert_eq!(status(&home).0["paused"], true);
    let mut pop = Client::connect(home.pop3);
    assert_eq!(pop.line().unwrap(), "-ERR [SYS/TEMP] ostler is paused");
    pop.expect_end();
    let mut other = Client::connect(home.smtp);
    assert_eq!(other.line().unwrap(), "421 4.3.2 ostler is paused");
    other.expect_end();
    smtp.send("Subject: x\r\n\r\n.\r\n");
    mta.expect("Subject: x");
    mta.expect("");
    mta.expect(".");
    mta.say("250 2.0.0 queued");
    smtp.expect("250 ");
    // Pausing twice is no mistake; a change of the settings does not end it.
    assert_eq!(code(&home.ostler(&["pause"], "")), Some(0));
    home.write_settings(&(home.settings() + "\n[timeouts]\nconnect = \"3s\"\n"));
    ostler.err.wait("changed settings are in force");
    Client::greeted(home.pop3, "-ERR [SYS/TEMP] ostler is paused");
    assert_eq!(code(&home.ostler(&["resume"], "")), Some(0));
    assert_eq!(status(&home).0["paused"], false);
    client_is_greeted(&home);
    drop((smtp, mta));
    ostler.end_well();
    for word in ["pause", "resume"] {
        let output = home.ostler(&[word], "");
        assert_eq!(code(&output), Some(1), "{}", said(&output));
    }
}

#[test]
fn status_without_a_running_ostler() {
    let home = nowhere();
    assert_eq!(status(&home), (serde_json::json!({"running": false}), Some(1)));
    let output = home.ostler(&["status"], "");
    assert_eq!(code(&output), Some(1));
    assert!(said(&output).contains("not running"), "{}", said(&output));
}

fn is_time(value: &Value) -> bool {
    use time::format_description::well_known::Rfc3339;
    value.as_str().is_some_and(|text| time::OffsetDateTime::parse(text, &Rfc3339).is_ok())
}

#[test]
fn status_has_the_fields_of_the_contract() {
    let (fetch, submit) = (Hand::new(), Hand::new());
    let ca = TestCa::new();
    let mut gated = Server::new("none", submit.port).auth("pop-before-smtp");
    gated = gated.line("fresh = \"60s\"");
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", fetch.port)).smtp(gated);
    let home = Home::new(&ca, &[account]);
    let mut ostler = Run::start(&home, &[]).ready();
    let (document, code) = status(&home);
    assert_eq!(code, Some(0));
    assert_eq!(document["running"], true);
    assert!(document["version"].as_str().is_some_and(|v| !v.is_empty()));
    assert_eq!(document["pid"], ostler.id());
    assert_eq!(document["paused"], false);
    assert!(document.as_object().unwrap().contains_key("page"));
    let doors = document["doors"].as_array().unwrap();
    for (protocol, port) in [("pop3", home.pop3), ("smtp", home.smtp)] {
        let door = doors.iter().find(|d| d["protocol"] == protocol).unwrap();
        assert_eq!(door["address"], format!("127.0.0.1:{port}"));
        assert_eq!((&door["account"], door["state"].as_str()), (&Value::Null, Some("open")));
    }
    let account = &document["accounts"][0];
    assert_eq!(account["name"], "home");
    assert!(account["state"].is_string());
    for field in ["last_fetch", "last_send", "last_failure", "gate_age_s"] {
        assert_eq!(account.get(field), Some(&Value::Null), "{field}: {document:#}");
    }
    assert_eq!(document["sessions"], serde_json::json!([]));

    // A fetch.
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    let mut mailbox = fetch.pop3("PASS");
    mailbox.say("+OK in");
    pop.expect("+OK");
    let (document, _) = status(&home);
    let session = &document["sessions"][0];
    assert_eq!((session["protocol"].as_str(), session["account"].as_str()), (Some("pop3"), Some("home")));
    assert!(session["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{document:#}");
    assert!(is_time(&session["since"]) && session["state"].is_string(), "{document:#}");
    assert!(document["accounts"][0]["gate_age_s"].is_u64(), "{document:#}");
    pop.say("RETR 1");
    answer_pop3(&mut mailbox, "RETR");
    mailbox.send("+OK\r\nSubject: x\r\n\r\n.\r\n");
    pop.expect_body();
    pop.say("QUIT");
    answer_pop3(&mut mailbox, "QUIT");
    mailbox.say("+OK bye");
    pop.expect("+OK");
    drop((pop, mailbox));
    wait_for("the session to go", || (status(&home).0["sessions"] == serde_json::json!([])).then_some(()));
    let account = status(&home).0["accounts"][0].clone();
    assert!(is_time(&account["last_fetch"]) && account["last_send"].is_null(), "{account:#}");

    // A send.
    let (mut smtp, mut mta) = in_data(&home, &submit);
    smtp.send("Subject: x\r\n\r\n.\r\n");
    answer_smtp(&mut mta, ".");
    mta.say("250 2.0.0 queued");
    smtp.expect("250 ");
    let account = status(&home).0["accounts"][0].clone();
    assert!(is_time(&account["last_send"]) && account["last_failure"].is_null(), "{account:#}");
    assert!(account["gate_age_s"].as_u64().is_some_and(|age| age < 60), "{account:#}");
    drop((smtp, mta));

    // A failure.
    drop(fetch);
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let reply = pop.ask("PASS x", "-ERR [SYS/TEMP] ");
    let account = status(&home).0["accounts"][0].clone();
    let failure = account["last_failure"].as_str().unwrap();
    assert!(reply.contains("nobody listens") && failure.contains("nobody listens"), "{reply} / {account:#}");
    // People see the same.
    let shown = text(&home.ostler(&["status"], "").stdout);
    assert!(shown.contains("nobody listens") && shown.contains(&home.pop3.to_string()), "{shown}");
    drop(pop);
    ostler.end_well();
}

// What it comes through

#[test]
fn a_provider_that_goes_away_and_comes_back_is_used_again() {
    let port = free_port();
    let home = home(port, port);
    let mut ostler = Run::start(&home, &[]).ready();
    for round in 0..3 {
        let mut pop = Client::greeted(home.pop3, "+OK");
        pop.ask("USER home", "+OK");
        pop.ask("PASS x", "-ERR [SYS/TEMP] ");
        let mut smtp = Client::greeted(home.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask(&format!("MAIL FROM:<{ANN}>"), "451 4.4.1 ");
        let server = Hand::at(port);
        // On the connections there are.
        let mailbox = server.let_in(&mut pop);
        smtp.say(&format!("MAIL FROM:<{ANN}>"));
        let mut mta = server.smtp("MAIL");
        mta.say("250 2.1.0 ok");
        smtp.expect("250 ");
        // And gone again, in the middle.
        drop((mailbox, mta, server));
        smtp.say(&format!("RCPT TO:<{BOB}>"));
        let reply = smtp.expect_reply("4");
        assert!(reply.contains("localhost"), "{round}: {reply}");
        drop((pop, smtp));
    }
    ostler.end_well();
}

#[test]
fn out_of_descriptors_it_waits_and_goes_on() {
    let server = Hand::new();
    let home = home(server.port, 1);
    let mut shell = under_sh(&home, "ulimit -n 40");
    let mut ostler = Run::of(&mut shell).ready();
    let idle: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", home.pop3)).unwrap()).collect();
    ostler.err.wait("no client can be taken in");
    let lines = ostler.err.text().lines().count();
    assert!(lines < 100, "the log is flooded: {lines} lines");
    drop(idle);
    // Clients are taken in in the order in which they came: once one is greeted, all idle ones have been dealt with.
    let greeting = || Client::connect(home.pop3).try_reply().filter(|line| line.starts_with("+OK"));
    wait_for("a client to be greeted", greeting);
    wait_for("the idle sessions to go", || {
        let output = home.ostler(&["status", "--json"], "");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (document["sessions"] == serde_json::json!([])).then_some(())
    });
    let mut pop = Client::greeted(home.pop3, "+OK");
    server.let_in(&mut pop);
    drop(pop);
    ostler.end_well();
}

#[test]
fn a_client_fetches_twice_over_the_same_door_while_another_sends() {
    let (fetch, submit) = (Hand::new(), Hand::new());
    let home = home(fetch.port, submit.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let (mut smtp, mut mta) = in_data(&home, &submit);
    let port = home.pop3;
    let client =
        std::thread::spawn(move || client::fetch(port, "home", "x").len() + client::fetch(port, "home", "x").len());
    for _ in 0..2 {
        let mut mailbox = fetch.pop3("RETR");
        mailbox.send("+OK\r\nSubject: x\r\n\r\n.\r\n");
        answer_pop3(&mut mailbox, "QUIT");
        mailbox.say("+OK bye");
    }
    assert_eq!(client.join().unwrap(), 2);
    smtp.send(".\r\n");
    answer_smtp(&mut mta, ".");
    mta.say("250 2.0.0 queued");
    smtp.expect("250 ");
    drop((smtp, mta));
    ostler.end_well();
}

/// `ostler run`, after this command of the shell.
fn under_sh(home: &Home, before: &str) -> std::process::Command {
    let template = home.command(&["run"]);
    let line: Vec<String> = std::iter::once(template.get_program())
        .chain(template.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut shell = command("sh", ["-c", &format!("{before}; exec {}", line.join(" "))]);
    for (name, value) in template.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_log_nobody_reads_any_more_ends_no_session() {
    let server = Hand::new();
    let home = home(server.port, 1);
    let mut command = home.command(&["run", "-v"]);
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut process = support::process::Process::start_to_be_asked("ostler", &mut command);
    // Whoever read it has gone, as when a terminal or a pager is closed.
    drop(process.child().stderr.take());
    wait_for("the door", || opens(home.pop3).then_some(()));
    for _ in 0..2 {
        let mut pop = Client::greeted(home.pop3, "+OK");
        let mut mailbox = server.let_in(&mut pop);
        pop.say("QUIT");
        answer_pop3(&mut mailbox, "QUIT");
        mailbox.say("+OK bye");
        pop.expect("+OK");
    }
    assert_eq!(status(&home).1, Some(0));
    assert!(process.end().success());
}

#[test]
fn a_name_that_is_nobodys_is_in_the_log() {
    let home = nowhere();
    home.write_settings(&(home.settings() + "\n[[account]]\nname = \"work\"\naddress = \"w@example.org\"\npassword = \"client\"\n[account.smtp]\nhost = \"h\"\n"));
    let mut ostler = Run::start(&home, &[]).ready();
    Client::greeted(home.pop3, "+OK").ask("USER joe", "-ERR [AUTH] ");
    ostler.err.wait("no account \"joe\"");
    let mut smtp = Client::greeted(home.smtp, "220 ");
    smtp.ask_reply("HELO old-pc", "250");
    smtp.ask("MAIL FROM:<joe@example.com>", "550 5.7.1 ");
    ostler.err.wait("sends as joe@example.com");
    drop(smtp);
    ostler.end_well();
}

#[test]
fn a_thousand_clients_fit_with_the_usual_limit_of_descriptors() {
    let home = nowhere();
    let mut shell = under_sh(&home, "ulimit -Sn 1024");
    let mut ostler = Run::of(&mut shell).ready();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", ostler.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let soft: u64 = words[3].parse().unwrap_or(u64::MAX);
    let hard: u64 = words[4].parse().unwrap_or(u64::MAX);
    // A client's connection, and one to its provider.
    assert!(soft >= 2100 || soft == hard, "{line}");
    ostler.end_well();
}

#[test]
fn a_sign_in_under_way_does_not_hold_up_the_end() {
    let (fetch, submit) = (Hand::new(), Hand::new());
    let home = home(fetch.port, submit.port);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    let _silent = fetch.pop3("PASS");
    let mut smtp = Client::greeted(home.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.say(&format!("MAIL FROM:<{ANN}>"));
    let _silent_too = submit.smtp("MAIL");
    let began = Instant::now();
    ostler.signal(Signal::TERM);
    pop.expect("-ERR [SYS/TEMP] ostler is shutting down");
    smtp.expect("421 4.3.2 ostler is shutting down");
    drop((pop, smtp));
    assert_eq!(ostler.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_corrected_password_is_used_without_a_restart_and_a_wrong_one_is_not_tried_again_by_itself() {
    let server = Hand::new();
    let home = home(server.port, 1);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    server.pop3("PASS").say("-ERR [AUTH] wrong");
    pop.expect("-ERR [AUTH] ");
    std::fs::write(home.path().join("password-0"), "corrected\n").unwrap();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    server.pop3("PASS corrected").say("+OK in");
    pop.expect("+OK");
    drop(pop);
    ostler.end_well();
}

#[test]
fn sighup_reads_certificates_again() {
    let (old, new) = (TestCa::new(), TestCa::new());
    let part = vec![say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), Step::Stall];
    let server = Provider::start_tls(&new.localhost(), vec![part; 10_000]);
    let home = Home::new(&old, &[Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", server.port))]);
    let mut ostler = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let line = pop.ask("PASS x", "-ERR [SYS/TEMP] ");
    assert!(line.contains("issuer"), "{line}");
    std::fs::write(home.ca_file(), new.pem()).unwrap();
    ostler.signal(Signal::HUP);
    wait_for("the new authority to be trusted", || {
        let mut pop = Client::greeted(home.pop3, "+OK");
        pop.ask("USER home", "+OK");
        pop.say("PASS x");
        let heard = pop.line()?;
        (heard.starts_with("+OK")).then_some(())
    });
    ostler.end_well();
}

#[test]
fn doors_of_an_account_come_and_go_with_it() {
    let home = nowhere();
    let mut ostler = Run::start(&home, &[]).ready();
    let (own, shared) = (free_port(), home.settings());
    let with_own =
        shared.replace("name = \"home\"", &format!("name = \"home\"\ndoors = {{ pop3 = \"127.0.0.1:{own}\" }}"));
    rename_over(&home, &with_own);
    wait_for("the account's door", || opens(own).then_some(()));
    // It needs no name.
    let line = Client::greeted(own, "+OK").ask("PASS x", "-ERR ");
    assert!(line.contains("localhost"), "{line}");
    // The same address, now for everybody, and the shared one for the account only.
    let swapped = shared
        .replace(&format!("pop3 = \"127.0.0.1:{}\"", home.pop3), &format!("pop3 = \"127.0.0.1:{own}\""))
        .replace("name = \"home\"", &format!("name = \"home\"\ndoors = {{ pop3 = \"127.0.0.1:{}\" }}", home.pop3));
    rename_over(&home, &swapped);
    wait_for("the doors to change hands", || {
        let status = status(&home).0;
        let doors = status["doors"].as_array()?.clone();
        let is = |port: u16, account: Value| {
            doors
                .iter()
                .any(|d| d["address"] == format!("127.0.0.1:{port}") && d["account"] == account && d["state"] == "open")
        };
        (is(own, Value::Null) && is(home.pop3, "home".into())).then_some(())
    });
    Client::greeted(home.pop3, "+OK").ask("PASS x", "-ERR [SYS/TEMP] ");
    Client::greeted(own, "+OK").ask("USER joe", "-ERR [AUTH] ");
    home.write_settings(&shared);
    wait_for("the account's door to go", || (refuses(own) && opens(home.pop3)).then_some(()));
    assert!(!ostler.err.text().contains("cannot be opened"), "{}", ostler.err.text());
    ostler.end_well();
}

#[test]
fn a_door_that_is_moved_to_a_busy_port_is_named_and_the_others_stay() {
    let home = nowhere();
    let mut ostler = Run::start(&home, &[]).ready();
    let held = Hand::new();
    home.write_settings(&home.settings().replace(&home.pop3.to_string(), &held.port.to_string()));
    let line = ostler.err.wait("cannot be opened");
    assert!(
        line.contains(&held.port.to_string()) && line.contains(&format!("process {}", std::process::id())),
        "{line}"
    );
    Client::greeted(home.smtp, "220 ");
    let port = held.port;
    drop(held);
    wait_for("the door", || opens(port).then_some(()));
    Client::greeted(port, "+OK");
    ostler.end_well();
}

#[test]
fn the_port_is_free_again_at_once_though_clients_were_connected() {
    let home = nowhere();
    for _ in 0..3 {
        let mut ostler = Run::start(&home, &[]).ready();
        let mut pop = Client::greeted(home.pop3, "+OK");
        ostler.signal(Signal::TERM);
        pop.expect("-ERR ");
        assert!(ostler.ended().success());
        assert!(!ostler.err.text().contains("cannot be opened"), "{}", ostler.err.text());
    }
}
