//! A file holds several accounts: the report is about the one that is added.

use crate::adding::{add, add_in, file};
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Server};

const HOUSEHOLD: &str = "f02-household-stunnel.conf";

#[test]
fn f02_only_the_servers_of_the_account_are_said_to_be_taken() {
    let added = add(file(HOUSEHOLD), &["lark@gmail.com"]);
    assert_eq!(added.code, Some(0), "{}", added.screen);
    let taken = added.taken();
    assert!(taken.contains("pop.gmail.com") && taken.contains("smtp.gmail.com"), "{}", added.screen);
    for other in ["outlook", "Outlook", "iCloud", "me.com"] {
        assert!(!taken.contains(other), "{}", added.screen);
    }
    let left = added.not_taken();
    assert!(left.contains("Outlook.com / Hotmail / Live / MSN, which are not those of lark@gmail.com"), "{left}");
    assert!(left.contains("[apple-imap] (line 48), [apple-smtp] (line 54): the servers of iCloud Mail"), "{left}");
}

#[test]
fn f02_the_question_for_an_address_names_the_companies() {
    let asked = add(file(HOUSEHOLD), &[]);
    assert_eq!(asked.code, Some(1), "{}", asked.screen);
    let screen = &asked.screen;
    assert!(screen.contains("It has servers of Outlook.com / Hotmail / Live / MSN, Gmail and iCloud Mail"), "{screen}");
    assert!(screen.contains("ostler add ADDRESS --import FILE") && asked.taken().is_empty(), "{screen}");
    let unclear = add(file(HOUSEHOLD), &["wren@wren-joinery.example"]);
    assert_eq!(unclear.code, Some(1), "{}", unclear.screen);
    assert!(unclear.screen.contains("does not say which are for wren@wren-joinery.example"), "{}", unclear.screen);
    assert!(unclear.screen.contains("iCloud Mail") && unclear.screen.contains("--provider"), "{}", unclear.screen);
    let named = add(file(HOUSEHOLD), &["wren@wren-joinery.example", "--provider", "google-workspace"]);
    assert_eq!(named.code, Some(0), "{}", named.screen);
    assert!(named.taken().is_empty(), "its servers come from --provider: {}", named.screen);
    assert!(named.not_taken().contains("[g-pop3] (line 33): not used, because of --provider"), "{}", named.screen);
}

#[cfg(target_os = "linux")]
#[test]
fn f02_at_a_terminal_the_address_is_asked_for() {
    use crate::support::require;
    use crate::support::terminal::Terminal;
    require!("setsid");
    let home = Home::new(&TestCa::new(), &[]);
    let path = home.path().join("stunnel.conf");
    std::fs::write(&path, file(HOUSEHOLD)).unwrap();
    let words = ["add", "--import", path.to_str().unwrap(), "--no-check", "--password-env", "W"];
    let mut terminal = Terminal::start(&home.command(&words));
    let shown = terminal.wait_for("Your mail address: ");
    assert!(shown.contains("Gmail and iCloud Mail") && !shown.contains("Taken:"), "{shown}");
    terminal.line("lark@gmail.com");
    let shown = terminal.wait_for("\r\n> ");
    assert!(shown.contains("[g-pop3]") && shown.contains("Taken:"), "{shown}");
    terminal.line("");
    assert!(terminal.end().success(), "{}", terminal.all());
    assert!(home.settings().contains("lark@gmail.com"), "{}", home.settings());
}

#[test]
fn f02_of_two_accounts_of_a_mail_program_one_is_reported() {
    let ini = "[Settings]\nPOPAccount=ann@pop.small.example\nReturnAddress=ann@small.example\nSMTPServer=smtp.small.example\n\
               [Persona-Club]\nPOPAccount=club@pop.heron.example\nReturnAddress=club@heron.example\nSMTPServer=smtp.heron.example\n";
    let added = add(ini, &["club@heron.example"]);
    assert_eq!(added.code, Some(0), "{}", added.screen);
    assert!(added.taken().contains("heron.example") && !added.taken().contains("small.example"), "{}", added.screen);
    let left = added.not_taken();
    assert!(
        left.contains("ann@small.example is another account; `ostler add ann@small.example --import FILE"),
        "{left}"
    );
}

#[test]
fn f02_what_the_command_line_names_is_not_said_to_be_taken() {
    let conf = "client=yes\n[in]\naccept=110\nconnect=pop.heron.example:995\nverify=2\n[out]\naccept=25\nconnect=smtp.heron.example:465\n";
    for (option, left) in [
        (&["--smtp", "tls://out.heron.example"][..], "[out] (line 6): not used, because of --smtp"),
        (&["--fetch-only"], "[out] (line 6): not used, because of --fetch-only"),
        (&["--pop3", "tls://in.heron.example"], "[in] (line 2): not used, because of --pop3"),
        (&["--send-only"], "[in] (line 2): not used, because of --send-only"),
    ] {
        let added = add(conf, &[&["ann@heron.example"], option].concat());
        assert_eq!(added.code, Some(0), "{}", added.screen);
        assert!(added.not_taken().contains(left), "{option:?}: {}", added.screen);
        let place = left.split(':').next().unwrap();
        assert!(!added.taken().contains(place), "{option:?}: {}", added.screen);
    }
}

#[test]
fn f02_of_all_accounts_each_has_its_own_report() {
    let known = Account::new("home", "ann@small.example", "unused-password").pop3(Server::new("tls", 1));
    let home = Home::new(&TestCa::new(), &[known]);
    let ini = "[Settings]\nPOPAccount=ann@pop.small.example\nReturnAddress=ann@small.example\n\
               [Persona-Club]\nPOPAccount=club@pop.heron.example\nReturnAddress=club@heron.example\n\
               [Persona-Tern]\nPOPAccount=tern@pop.plover.example\nReturnAddress=tern@plover.example\n";
    let added = add_in(home, ini, &[]);
    assert_eq!(added.code, Some(0), "{}", added.screen);
    assert!(!added.screen.contains("pop.small.example"), "it is there already: {}", added.screen);
    let (club, tern) = added.screen.split_once("\ntern@plover.example\n").unwrap();
    assert!(club.contains("pop.heron.example") && !club.contains("pop.plover.example"), "{}", added.screen);
    assert!(tern.contains("pop.plover.example") && !tern.contains("pop.heron.example"), "{}", added.screen);
}
