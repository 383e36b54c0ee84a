//! `ostler guide`: what it prints, and what `--watch` says of a mail program that connects, rightly or wrongly, to an
//! ostler in front of real servers.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use rustix::process::Signal;
use support::ca::TestCa;
use support::client::Client;
use support::dialogue::Dialogue;
use support::dovecot::Dovecot;
use support::ostler::{Account, Home, Ostler, Server};
use support::postfix::Postfix;
use support::process::{as_nobody, err, in_background, out, said};
use support::provider::{Provider, expect, say};
use support::running::Run;
use support::{Listening, is_root, mail, private_file, require, skip, unique};

const ANN: &str = "ann@example.org";
const OE6: &str = include_str!("transcripts/clients/outlook-express-6.txt");

fn simple(name: &str) -> Account {
    Account::new(name, ANN, &unique("pw")).pop3(Server::new("none", 1)).smtp(Server::new("none", 1))
}

fn home(accounts: &[Account]) -> Home {
    Home::new(&TestCa::new(), accounts)
}

// What it prints

#[test]
fn the_list_has_one_program_a_line_with_the_name_to_give_first() {
    let home = home(&[]);
    let output = home.ostler(&["guide"], "");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let names: Vec<String> = out(&output).lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    for name in ["outlook-express", "eudora-windows", "netscape-4", "mac-os-x-mail", "other"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    assert!(out(&output).contains("Eudora 3 to 7 for Windows\n"));
}

#[test]
fn each_program_of_the_list_has_a_guide_with_these_doors() {
    let home = home(&[simple("home")]);
    for line in out(&home.ostler(&["guide"], "")).lines() {
        let name = line.split(' ').next().unwrap();
        let output = home.ostler(&["guide", name], "");
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
        let text = out(&output);
        assert!(text.contains(&home.pop3.to_string()) && text.contains(&home.smtp.to_string()), "{text}");
        assert!(text.contains("127.0.0.1") && text.contains(ANN) && !text.contains('\u{1b}'), "{text}");
        let settings = home.settings_file().display().to_string();
        let wide =
            |l: &&str| l.chars().count() > 80 && !l.contains("sudo") && !l.contains("HKEY") && !l.contains(&settings);
        assert_eq!(text.lines().filter(wide).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn a_program_nobody_knows_is_2_and_the_list() {
    let home = home(&[simple("home")]);
    for (given, words) in
        [("lotus", "there is no guide for \"lotus\""), ("netsc", "netscape-4 or netscape-6 or netscape-7")]
    {
        let output = home.ostler(&["guide", given], "");
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""), "{}", said(&output));
        assert!(err(&output).contains(words) && err(&output).contains("\noutlook-express "), "{}", err(&output));
    }
}

#[test]
fn the_account_is_the_only_one_the_default_or_the_one_that_is_named() {
    let empty = home(&[]);
    let none = empty.ostler(&["guide", "oe"], "");
    assert_eq!(none.status.code(), Some(1));
    let hint = format!("run `ostler add ADDRESS {}` first", empty.option());
    assert!(err(&none).contains(&hint), "{}", err(&none));
    let work = || {
        Account::new("work", "ann@work.example", &unique("pw"))
            .pop3(Server::new("none", 1))
            .smtp(Server::new("none", 1))
    };
    let two = home(&[simple("home"), work()]);
    let which = two.ostler(&["guide", "oe"], "");
    assert_eq!((which.status.code(), out(&which).as_str()), (Some(2), ""));
    assert!(err(&which).contains("--account") && err(&which).contains("home, work"), "{}", err(&which));
    let named = out(&two.ostler(&["guide", "oe", "--account", "WORK"], ""));
    assert!(named.contains("for the mail of ann@work.example") && named.contains("type it exactly"), "{named}");
    assert!(named.contains("Tick \"My server requires authentication\""), "{named}");
    let nobody = two.ostler(&["guide", "oe", "--account", "joe"], "");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(err(&nobody).contains("it has: home, work"), "{}", err(&nobody));
    let default = home(&[simple("home"), work().line("default = true")]);
    assert!(out(&default.ostler(&["guide", "oe"], "")).contains("for the mail of ann@work.example"));
}

#[test]
fn html_is_a_page_to_print() {
    let home = home(&[simple("a <b> & c")]);
    let output = home.ostler(&["guide", "eudora", "--html"], "");
    let page = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("a &lt;b&gt; &amp; c") && !page.contains("<b>"), "{page}");
    assert!(page.contains(&format!("POPPort={}", home.pop3)), "{page}");
    assert!(page.contains("<title>Eudora 3 to 7 for Windows</title>"), "{page}");
    let both = home.ostler(&["guide", "eudora", "--html", "--watch"], "");
    assert_eq!(both.status.code(), Some(2));
}

// Watching

#[test]
fn without_a_running_ostler_it_says_how_to_start_one() {
    let output = home(&[simple("home")]).ostler(&["guide", "oe", "--watch"], "");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(out(&output).starts_with("Outlook Express"), "the guide itself is shown");
    assert!(err(&output).contains("ostler is not running") && err(&output).contains("ostler run"), "{}", err(&output));
}

/// A real mailbox and a real way out, with ostler in front.
struct Site {
    dovecot: Dovecot,
    _postfix: Postfix,
    ostler: Ostler,
}

impl Site {
    fn start(real: &str, stored: &str) -> Self {
        let ca = TestCa::new();
        let cert = ca.localhost();
        let dovecot = Dovecot::builder().user(ANN, real).cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        let account = Account::new("home", ANN, stored)
            .pop3(Server::new("tls", dovecot.pop3s))
            .smtp(Server::new("starttls", postfix.submission));
        Self { dovecot, _postfix: postfix, ostler: Ostler::start(&ca, &[account]) }
    }
}

/// `ostler guide CLIENT --watch`, waiting.
fn watch(home: &Home, client: &str) -> Run {
    let watch = Run::of(&mut home.command(&["guide", client, "--watch"]));
    watch.out.wait("waiting for your mail program...");
    watch
}

#[test]
fn it_tells_what_a_program_does_and_ends_when_mail_went_both_ways() {
    require!("dovecot", "postfix");
    let password = unique("pw");
    let site = Site::start(&password, &password);
    let mut watch = watch(&site.ostler.home, "oe");
    assert!(
        watch.out.text().contains("(fetch your mail, and send a message to yourself in Outlook Express 4, 5 and 6)")
    );
    ["one", "two"].iter().for_each(|name| site.dovecot.deliver(ANN, &mail::tricky(name)));
    let dialogues = Dialogue::all(OE6);
    assert_eq!(dialogues[1].play(site.ostler.pop3).retrieved.len(), 2);
    watch.out.wait("- a mail program connected to fetch (POP3)");
    watch.out.wait("- the mail program signed in as home");
    watch.out.wait("- 2 messages fetched");
    watch.out.wait("still to do: send a message to yourself");
    assert_eq!(dialogues[0].play(site.ostler.smtp).sent.len(), 1);
    let status = watch.ended();
    let text = watch.out.text();
    assert!(status.success(), "{status}: {text}");
    let last: Vec<&str> = text.lines().rev().take(4).collect();
    assert_eq!(
        last,
        [
            "Outlook Express 4, 5 and 6 works with ostler.",
            "- a message sent to 2 recipients",
            "- the mail program signed in as home",
            "- a mail program connected to send (SMTP)",
        ],
        "{text}"
    );
}

#[test]
fn an_account_that_only_fetches_is_done_when_it_has() {
    require!("dovecot");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    let ostler = Ostler::start(&ca, &[Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s))]);
    let mut watch = watch(&ostler.home, "eudora");
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK");
    pop.ask("QUIT", "+OK");
    assert!(watch.ended().success());
    assert!(watch.out.text().contains("- 0 messages fetched\nEudora 3 to 7 for Windows works with ostler.\n"));
}

#[test]
fn each_mistake_is_named_with_what_to_do() {
    let provider = Provider::always(vec![
        say("+OK ready"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("-ERR no such password"),
    ]);
    let account =
        Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", provider.port)).smtp(Server::new("none", 1));
    let ostler = home(&[account]).run();
    let mut watch = watch(&ostler.home, "oe");
    let (pop3, smtp) = (ostler.pop3, ostler.smtp);

    // SSL switched on.
    Client::greeted(pop3, "+OK").send([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    assert!(
        watch.out.wait("! ostler ended the connection of a program").contains("switch SSL/TLS off in the mail program")
    );
    let mut client = Client::greeted(smtp, "220");
    client.ask_reply("STARTTLS", "502");
    assert!(watch.out.wait("wants SSL or TLS here").contains("switch SSL/TLS off in it"));

    // A browser.
    Client::greeted(pop3, "+OK").say("GET / HTTP/1.1");
    watch.out.wait("it speaks HTTP, as a browser does");

    // The right name is told.
    Client::greeted(pop3, "+OK").ask("USER joe", "-ERR [AUTH]");
    assert!(
        watch.out.wait("ostler has no account \"joe\"").contains("it has: home; use one of these as the user name")
    );

    // The wrong port, by its words.
    let mut client = Client::greeted(pop3, "+OK");
    let answer = client.ask("EHLO oldpc", "-ERR");
    assert!(answer.contains(&format!("the one for sending is {smtp}")), "{answer}");
    watch.out.wait(&format!("the one for outgoing mail (SMTP) is {smtp}"));
    let mut client = Client::greeted(smtp, "220");
    let answer = client.ask_reply("USER home", "502");
    assert!(answer.contains(&format!("the one for fetching is {pop3}")), "{answer}");
    watch.out.wait(&format!("the one for incoming mail (POP3) is {pop3}"));

    // The wrong port, by its silence: the greeting was not what it expected.
    drop(Client::greeted(smtp, "220"));
    watch.out.wait(&format!("left without a word; if it wanted incoming mail, the port for that is {pop3}"));
    drop(Client::greeted(pop3, "+OK"));
    watch.out.wait(&format!("left without a word; if it wanted outgoing mail, the port for that is {smtp}"));

    // A kind of sign-in ostler does not have.
    Client::greeted(pop3, "+OK").ask("AUTH NTLM", "-ERR");
    assert!(watch.out.wait("a kind of sign-in that ostler does not have").contains("SPA"));

    // The provider.
    let mut client = Client::greeted(pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS x", "-ERR [AUTH]");
    assert!(
        watch.out.wait("refused the sign-in of").contains("the right one belongs in the file that the settings name")
    );
    let mut client = Client::greeted(smtp, "220");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451");
    assert!(watch.out.wait("nobody listens on port 1").starts_with("! "));

    // All the while it waits.
    assert!(!watch.has_ended());
    watch.signal(Signal::INT);
    assert!(!watch.ended().success());
}

#[test]
fn ctrl_c_ends_the_watch_of_a_script_in_the_background_too() {
    let ostler = home(&[simple("home")]).run();
    let mut watch = Run::of(&mut in_background(&ostler.home.command(&["guide", "oe", "--watch"])));
    watch.out.wait("waiting for your mail program...");
    watch.signal(Signal::INT);
    assert_eq!(watch.ended().code(), Some(130));
}

#[test]
fn a_wrong_local_password_and_none_at_all_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("local");
    private_file(&file, "the-local-one\n");
    let account = simple("home").line(&format!("local_password = {{ file = {:?} }}", file.display().to_string()));
    let mut home = Home::with_settings(&TestCa::new(), &[account], "access = \"password\"", "");
    home.keep_secret("the-local-one");
    let guide = out(&home.ostler(&["guide", "oe"], ""));
    assert!(guide.contains(&format!("ostler list --passwords {}", home.option())), "{guide}");
    let ostler = home.run();
    let hint = format!("ostler list {} --passwords", ostler.home.option());
    let watch = watch(&ostler.home, "oe");
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS wrong", "-ERR [AUTH]");
    assert!(watch.out.wait("! the program gave a wrong password").contains(&hint));
    let mut client = Client::greeted(ostler.smtp, "220");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "530");
    assert!(watch.out.wait("gave no password for sending").contains("switch on authentication"));
}

#[test]
fn another_users_program_is_named() {
    require!("setpriv", "python3");
    if !is_root() {
        return skip("root, to be another user");
    }
    let ostler = home(&[simple("home")]).run();
    let watch = watch(&ostler.home, "oe");
    let heard = as_nobody(ostler.pop3, "USER home\r\n");
    if heard.contains("Permission denied") || heard.contains("can't open") {
        return skip("a python3 that another user may run");
    }
    watch.out.wait("! a program was not let in: it belongs to another user");
}

#[test]
fn what_is_in_the_way_is_said_at_once() {
    let taken = Listening::new();
    let port = taken.port();
    let home = home(&[simple("home")]);
    home.write_settings(
        &home
            .settings()
            .replace(&format!("smtp = \"127.0.0.1:{}\"", home.smtp), &format!("smtp = \"127.0.0.1:{port}\"")),
    );
    let ostler = home.run();
    assert!(ostler.home.ostler(&["pause"], "").status.success());
    let watch = watch(&ostler.home, "oe");
    let text = watch.out.text();
    let hint = format!("! ostler is paused and refuses every program: run ostler resume {}\n", ostler.home.option());
    assert!(text.contains(&hint), "{text}");
    assert!(text.contains(&format!("! no program can connect to 127.0.0.1:{port}: ")), "{text}");
    assert!(ostler.home.ostler(&["resume"], "").status.success());
    watch.out.wait("- ostler is serving mail programs again");
    drop(taken);
    watch.out.wait(&format!("- the SMTP door on 127.0.0.1:{port} is open"));
}

#[test]
fn when_ostler_ends_the_watch_ends_and_says_so() {
    let home = home(&[simple("home")]);
    let mut running = Run::start(&home, &[]).ready();
    let mut watch = watch(&home, "oe");
    running.end_well();
    assert_eq!(watch.ended().code(), Some(1));
    let hint = format!("start it with `ostler run {}`", home.option());
    assert!(watch.err.text().contains(&hint), "{}", watch.err.text());
}

#[test]
fn many_watchers_hold_up_nobody() {
    let ostler = home(&[simple("home")]).run();
    let watchers: Vec<Run> = (0..5).map(|_| watch(&ostler.home, "oe")).collect();
    assert!(ostler.home.ostler(&["status"], "").status.success());
    drop(Client::greeted(ostler.smtp, "220"));
    watchers.iter().for_each(|watch| drop(watch.out.wait("left without a word")));
}
