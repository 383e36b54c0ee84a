//! What passes just now and what has passed: sessions with how far they are, the history of each account and what is
//! left of it after a restart.

use std::path::PathBuf;

use serde_json::Value;

use crate::http::Browser;
use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::running::Run;
use crate::support::{mail, unique, wait_for};
use crate::{ANN, home};

fn status(home: &Home) -> Value {
    serde_json::from_slice(&home.ostler(&["status", "--json"], "").stdout).unwrap()
}

#[test]
fn a_session_says_how_far_it_is() {
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    let mut fetch = vec![say("+OK")];
    for (command, answer) in [
        ("USER", "+OK"),
        ("PASS", "+OK"),
        ("STAT", "+OK 40 9800000"),
        ("RETR 1", "+OK\r\nhello\r\n."),
        ("RETR 2", "+OK"),
    ] {
        fetch.extend([expect(command), say(answer)]);
    }
    fetch.extend([Step::Send(line.repeat(3100)), Step::Stall]);
    let mut send = vec![say("220 mail")];
    for (command, answer) in [("EHLO", "250 mail"), ("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go")] {
        send.extend([expect(command), say(answer)]);
    }
    send.push(Step::Stall);
    let (fetch, send) = (Provider::start(vec![fetch]), Provider::start(vec![send]));
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::new("none", fetch.port))
        .smtp(Server::new("none", send.port).auth("none"));
    let ostler = home(&TestCa::new(), &[account]).run();
    let mut pop3 = Client::greeted(ostler.pop3, "+OK");
    pop3.ask("USER home", "+OK");
    pop3.ask("PASS x", "+OK");
    let before = status(&ostler.home);
    assert!(before["sessions"][0]["message"].is_null() && before["sessions"][0]["progress"].is_null(), "{before}");
    pop3.ask("STAT", "+OK 40");
    pop3.say("RETR 1");
    pop3.expect_body();
    pop3.ask("RETR 2", "+OK");
    (0..3100).for_each(|_| drop(pop3.raw_line()));
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}> SIZE=5000000"), "250");
    smtp.ask_reply("RCPT TO:<bob@example.com>", "250");
    smtp.ask_reply("DATA", "354");
    (0..1400).for_each(|_| smtp.send(&line));
    let mut browser = Browser::new(&ostler.home);
    let page = wait_for("both on the page", || {
        let page = browser.get("/");
        let all = ["message 2 of 40, 3.1 of 9.8 MB", "message 1, 1.4 of 5.0 MB"];
        all.iter().all(|words| page.body.contains(words)).then_some(page)
    });
    assert!(page.body.contains("http-equiv=\"refresh\" content=\"2\""), "it looks again soon: {}", page.body);
    let now = status(&ostler.home);
    let fetching = now["sessions"].as_array().unwrap().iter().find(|session| session["protocol"] == "pop3").unwrap();
    assert_eq!((&fetching["message"], &fetching["of_messages"]), (&2.into(), &40.into()));
    assert_eq!((&fetching["of_octets"], &fetching["state"]), (&9_800_000.into(), &"signed in".into()));
    assert!(fetching["octets"].as_u64().unwrap() >= 3_100_000, "{fetching}");
    let text = said(&ostler.home.ostler(&["status"], ""));
    for words in ["signed in, message 2 of 40, 3.1 of 9.8 MB", "sending a message, message 1, 1.4 of 5.0 MB"] {
        assert!(text.contains(words), "{text}");
    }
}

pub(crate) fn kept(home: &Home) -> Option<PathBuf> {
    let folder = std::fs::read_dir(home.path().join("data/ostler")).ok()?;
    // Not what is being written beside it.
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("history-"));
    folder.flatten().map(|entry| entry.path()).find(is_it)
}

#[test]
fn history_survives_a_restart_and_goes_with_its_account() {
    let mut send = vec![say("220 mail")];
    for (command, answer) in [("EHLO", "250 mail"), ("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go")] {
        send.extend([expect(command), say(answer)]);
    }
    send.extend([Step::ExpectMessage, say("554 5.7.1 this looks like spam"), Step::Stall]);
    let mut fetch = vec![say("+OK")];
    for (command, answer) in
        [("USER", "+OK"), ("PASS", "+OK"), ("STAT", "+OK 1 9"), ("RETR 1", "+OK\r\nhello\r\n."), ("QUIT", "+OK")]
    {
        fetch.extend([expect(command), say(answer)]);
    }
    let (fetch, send) = (Provider::always(fetch), Provider::always(send));
    let password = unique("pw");
    let account = Account::new("home", ANN, &password)
        .pop3(Server::new("none", fetch.port))
        .smtp(Server::new("none", send.port).auth("none"));
    let home = home(&TestCa::new(), &[account]);
    let mut first = Run::start(&home, &[]).ready();
    assert_eq!(client::fetch(home.pop3, "home", "x").len(), 1);
    let mut smtp = Client::greeted(home.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    smtp.ask_reply("RCPT TO:<bob@example.com>", "250");
    smtp.ask_reply("DATA", "354");
    smtp.send(mail::stuffed(&mail::tricky("hello")));
    smtp.expect_reply("554");
    let look = |browser: &mut Browser| {
        let page = browser.wait_for("/history", "this looks like spam");
        let own = page.body.split("Everything since ostler started").next().unwrap().to_owned();
        assert!(own.contains("1 message fetched") && own.contains("What to do: "), "{own}");
        let rest = page.body.split("Everything since ostler started").nth(1).unwrap();
        assert!(rest.contains("ostler has started; the doors for mail programs are open"), "{rest}");
        assert!(!rest.contains("door on 127.0.0.1"), "{rest}");
        let overview = browser.get("/");
        let picture = ["<rect class=\"fetched\"", "In the last 30 days: 1 fetched", "Most were fetched on "];
        assert!(picture.iter().all(|words| overview.body.contains(words)), "{}", overview.body);
        let account = browser.get("/account");
        assert!(account.body.contains("this looks like spam"), "{}", account.body);
    };
    let mut browser = Browser::new(&home);
    look(&mut browser);
    let log = browser.get("/log").body;
    assert!(log.contains("not sent: ") && log.contains("door open on") && !log.contains(&password), "{log}");
    let before = status(&home);
    assert!(before["accounts"][0]["last_fetch"].is_string(), "{before}");
    // Written while it runs, and not only when it ends well.
    let text = wait_for("the history on the disk", || {
        std::fs::read_to_string(kept(&home)?).ok().filter(|text| text.contains("looks like spam"))
    });
    assert!(text.contains("1 message fetched") && !text.contains(&password) && !text.contains("hello"), "{text}");
    first.signal(rustix::process::Signal::KILL);
    first.ended();
    let mut second = Run::start(&home, &[]).ready();
    let after = status(&home);
    assert_eq!(after["accounts"][0]["last_fetch"], before["accounts"][0]["last_fetch"]);
    assert!(after["accounts"][0]["last_send"].is_null(), "{after}");
    let mut browser = Browser::new(&home);
    look(&mut browser);
    assert!(browser.get("/").body.contains("not used since ostler started"));
    // At the end too.
    assert_eq!(client::fetch(home.pop3, "home", "x").len(), 1);
    wait_for("the second fetch", || (status(&home)["accounts"][0]["state"] == "ok").then_some(()));
    second.end_well();
    let text = std::fs::read_to_string(kept(&home).unwrap()).unwrap();
    assert_eq!(text.matches("1 message fetched").count(), 2, "{text}");
    let mut third = Run::start(&home, &[]).ready();
    let removed = home.ostler(&["remove", "home", "--yes"], "");
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(kept(&home), None);
    third.end_well();
    assert_eq!(kept(&home), None);
}

#[test]
fn a_history_that_cannot_be_kept_harms_nothing() {
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", 1));
    let home = home(&TestCa::new(), &[account]);
    std::fs::write(home.path().join("data/ostler"), "in the way").unwrap();
    let mut ostler = Run::start(&home, &[]).ready();
    for _ in 0..2 {
        let mut client = Client::greeted(home.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.ask("PASS x", "-ERR");
    }
    ostler.err.wait("history of fetches and sends");
    ostler.end_well();
    let said = ostler.err.text();
    assert!(said.contains("Mail is not affected"), "{said}");
    assert!(said.matches("history of fetches and sends").count() <= 2, "once for reading, once for writing: {said}");
}
