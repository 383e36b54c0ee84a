//! Asked and answered at a terminal, every way through.

use crate::support::process::said;
use crate::support::terminal::Terminal;
use crate::support::world::World;
use crate::support::{free_port, require, unique};
use crate::{ANN, Newcomer};

const MENU: &str = "\n> ";
const PASSWORD: &str = "(it does not show while you type): ";

fn begin(newcomer: &Newcomer, more: &[&str]) -> Terminal {
    let (pop3, smtp) = (newcomer.pop3(), newcomer.smtp());
    begin_at(newcomer, &pop3, &smtp, more)
}

fn begin_at(newcomer: &Newcomer, pop3: &str, smtp: &str, more: &[&str]) -> Terminal {
    let ca = newcomer.home.ca_file();
    Terminal::start(&newcomer.home.command(&newcomer.words(pop3, smtp, ca.to_str().unwrap(), more)))
}

fn menu(terminal: &mut Terminal) -> String {
    // A terminal shows line ends as CR LF.
    terminal.wait_for(&MENU.replace('\n', "\r\n"))
}

/// Ended by the person: nothing is left, and the terminal is as it was.
fn nothing_left(newcomer: &Newcomer, terminal: &mut Terminal, before: &str) {
    assert_eq!(terminal.end().code(), Some(1), "{}", terminal.all());
    assert!(terminal.all().contains("nothing was saved"), "{}", terminal.all());
    assert!(terminal.echoes(), "what is typed next would not show");
    assert_eq!(newcomer.home.settings(), before);
    assert!(!terminal.all().contains(&newcomer.password));
}

#[test]
fn the_address_the_password_and_one_enter() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &[]);
    let shown = menu(&mut terminal);
    assert!(shown.contains("fetching  localhost port"), "{shown}");
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password(&newcomer.password);
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success(), "{}", terminal.all());
    let screen = terminal.all();
    assert!(!screen.contains(&newcomer.password), "{screen}");
    for step in ["tcp", "tls", "sign-in", "send"] {
        assert!(screen.lines().any(|line| line.contains("ok ") && line.contains(step)), "{step}: {screen}");
    }
    let checked = newcomer.home.ostler(&["check"], "");
    assert!(checked.status.success(), "{}", said(&checked));
}

/// Whether every line of a screen of 100 columns ends at a word's end; a path or a command may be longer than that.
fn is_wrapped(screen: &str) -> bool {
    screen
        .split("\r\n")
        .all(|line| line.chars().count() <= 100 || line.contains("--config") || !line.trim().contains(' '))
}

#[test]
fn no_question_runs_over_the_edge_of_the_screen() {
    require!("setsid", "world");
    let world = World::builder().start();
    let home = crate::Home::new(world.ca(), &[]).inside(&world);
    let long = format!("{}@{}.example", "ann".repeat(15), "elsewhere".repeat(6));
    let mut terminal = Terminal::start(&home.command(&["add", &long]));
    terminal.wait_for("[Y/n] ");
    terminal.keys("\u{3}");
    assert_eq!(terminal.end().code(), Some(1), "{}", terminal.all());
    assert!(is_wrapped(&terminal.all()), "{}", terminal.all());
}

#[test]
fn the_address_is_asked_for_too() {
    require!("setsid");
    let home = crate::Home::new(&crate::TestCa::new(), &[]);
    let mut terminal = Terminal::start(&home.command(&["add"]));
    terminal.wait_for("Your mail address: ");
    terminal.line("ann@tutanota.com");
    terminal.wait_for("lets no mail program in");
    assert_eq!(terminal.end().code(), Some(1));
    for keys in ["\r", "\u{4}", "\u{3}"] {
        let mut terminal = Terminal::start(&home.command(&["add"]));
        terminal.wait_for("Your mail address: ");
        terminal.keys(keys);
        assert_eq!(terminal.end().code(), Some(1), "{keys:?}: {}", terminal.all());
        assert!(terminal.all().contains("nothing was saved"), "{keys:?}: {}", terminal.all());
    }
}

#[test]
fn a_wrong_password_can_be_typed_again() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password("not-the-password");
    let shown = menu(&mut terminal);
    assert!(shown.contains("FAIL") && shown.contains("Enter: type the password again"), "{shown}");
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password(&format!("{} ", newcomer.password));
    terminal.wait_for("begins or ends with a blank");
    let shown = menu(&mut terminal);
    assert!(shown.contains("FAIL"), "a blank is a part of a password: {shown}");
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password(&newcomer.password);
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
}

#[test]
fn an_empty_password_is_asked_for_again() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &["--yes"]);
    terminal.wait_for(PASSWORD);
    terminal.password("");
    terminal.wait_for("Nothing was typed");
    terminal.wait_for(PASSWORD);
    terminal.password(&newcomer.password);
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
}

#[test]
fn what_does_not_work_is_kept_only_when_the_person_says_so() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    // Not a letter of the first page: nothing has been tried yet.
    terminal.line("k");
    terminal.wait_for("not one of the letters");
    menu(&mut terminal);
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password("not-the-password");
    menu(&mut terminal);
    terminal.line("k");
    terminal.wait_for("has not been seen to work");
    assert!(terminal.end().success());
    assert!(newcomer.home.settings().contains(ANN));
    let checked = newcomer.home.ostler(&["check"], "");
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
}

#[test]
fn it_can_be_stopped_at_every_point_and_leaves_nothing() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let before = newcomer.home.settings();

    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("q");
    nothing_left(&newcomer, &mut terminal, &before);

    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.keys("\u{3}");
    nothing_left(&newcomer, &mut terminal, &before);

    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.keys("\u{4}");
    nothing_left(&newcomer, &mut terminal, &before);

    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password("half of the passw\u{3}");
    nothing_left(&newcomer, &mut terminal, &before);

    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password("not-the-password");
    menu(&mut terminal);
    terminal.line("q");
    nothing_left(&newcomer, &mut terminal, &before);

    let listed = newcomer.home.ostler(&["list"], "");
    assert!(said(&listed).contains("none yet"), "{}", said(&listed));
}

#[test]
fn ctrl_c_while_a_server_is_tried_leaves_nothing() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let before = newcomer.home.settings();
    // Takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pop3 = format!("starttls://localhost:{}", silent.local_addr().unwrap().port());
    let mut terminal = begin_at(&newcomer, &pop3, &newcomer.smtp(), &["--yes"]);
    terminal.wait_for(PASSWORD);
    terminal.password(&newcomer.password);
    let taken = silent.accept().unwrap();
    terminal.keys("\u{3}");
    nothing_left(&newcomer, &mut terminal, &before);
    drop(taken);
}

#[test]
fn servers_and_names_can_be_changed_before_and_after_a_failure() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::with_user("lee");
    let dead = format!("tls://localhost:{}", free_port());
    let mut terminal = begin_at(&newcomer, &dead, &dead, &[]);
    menu(&mut terminal);
    terminal.line("o");
    terminal.wait_for("Enter alone: leave it): ");
    terminal.line("not a server");
    terminal.wait_for("allowed is tls://HOST");
    menu(&mut terminal);
    terminal.line("o");
    terminal.wait_for("Enter alone: leave it): ");
    terminal.line(&newcomer.smtp());
    menu(&mut terminal);
    terminal.line("u");
    terminal.wait_for("Enter alone: leave it): ");
    terminal.line("lee");
    let shown = menu(&mut terminal);
    assert!(shown.contains("as lee"), "{shown}");
    terminal.line("");
    terminal.wait_for(PASSWORD);
    terminal.password(&newcomer.password);
    // Nobody listens where mail was to be fetched.
    let shown = menu(&mut terminal);
    assert!(shown.contains("FAIL") && shown.contains("Enter: try again"), "{shown}");
    terminal.line("f");
    terminal.wait_for("Enter alone: leave it): ");
    terminal.line(&newcomer.pop3());
    menu(&mut terminal);
    terminal.line("");
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
    assert_eq!(newcomer.home.settings().matches("username = \"lee\"").count(), 2);
}

#[test]
fn the_check_before_sending_can_be_switched_on_and_off() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("m");
    let shown = menu(&mut terminal);
    assert!(shown.contains("after a POP login"), "{shown}");
    terminal.line("m");
    let shown = menu(&mut terminal);
    assert!(!shown.contains("after a POP login"), "{shown}");
    terminal.line("q");
    assert_eq!(terminal.end().code(), Some(1));
}

#[test]
fn another_server_is_offered_and_can_be_refused() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let dead = format!("tls://localhost:{}", free_port());
    let (pop3, smtp) = (newcomer.pop3(), newcomer.smtp());
    let ask = |answer: &str| {
        let mut terminal = begin_at(&newcomer, &pop3, &dead, &["--smtp", &smtp]);
        menu(&mut terminal);
        terminal.line("");
        terminal.wait_for(PASSWORD);
        terminal.password(&newcomer.password);
        let question = terminal.wait_for("[Y/n] ");
        // Where it is broken depends on the lengths of the ports.
        let words: Vec<&str> = question.split_whitespace().collect();
        assert!(words.join(" ").ends_with("Use that one? [Y/n]"), "{question}");
        assert!(is_wrapped(&question), "{question}");
        terminal.line(answer);
        terminal
    };
    let mut terminal = ask("what");
    terminal.wait_for("Please type y for yes or n for no");
    terminal.line("n");
    menu(&mut terminal);
    terminal.line("q");
    assert_eq!(terminal.end().code(), Some(1));
    let mut terminal = ask("");
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success());
    assert!(newcomer.home.settings().contains(&format!("port = {}", newcomer.postfix.submission)));
}

#[test]
fn sending_goes_through_another_company_when_asked() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let mut terminal = begin(&newcomer, &[]);
    menu(&mut terminal);
    terminal.line("s");
    terminal.wait_for("Your address at the other company");
    terminal.line("lee@tutanota.com");
    // That company lets no mail program in; everything stays as it was.
    terminal.wait_for("cannot be used by a mail program");
    menu(&mut terminal);
    terminal.line("s");
    terminal.wait_for("Your address at the other company");
    terminal.line("lee@gmx.com");
    let shown = menu(&mut terminal);
    assert!(shown.contains("as lee@gmx.com") && shown.contains("as ann@example.org"), "{shown}");
    terminal.line("");
    terminal.wait_for("Password of ann@example.org");
    terminal.password(&newcomer.password);
    terminal.wait_for("Password of lee@gmx.com, for sending");
    terminal.keys("\u{3}");
    assert_eq!(terminal.end().code(), Some(1));
}

#[test]
fn ctrl_c_at_a_password_leaves_the_terminal_with_echo() {
    require!("dovecot", "postfix", "keyring", "setsid");
    let newcomer = Newcomer::start();
    let words = [&["--no-check", "--password-stdin"][..]].concat();
    let (pop3, smtp) = (newcomer.pop3(), newcomer.smtp());
    let ca = newcomer.home.ca_file();
    let kept = newcomer.home.ostler(&newcomer.words(&pop3, &smtp, ca.to_str().unwrap(), &words), &unique("old"));
    assert!(kept.status.success(), "{}", said(&kept));
    let mut terminal = Terminal::start(&newcomer.home.command(&["password", ANN]));
    terminal.wait_for("Password of");
    terminal.password("half\u{3}");
    assert_eq!(terminal.end().code(), Some(1));
    assert!(terminal.echoes());
}
