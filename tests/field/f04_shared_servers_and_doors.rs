//! A server of several products is spoken of by the user's own, and a helper's doors have successors.

use crate::adding::{add, add_in, file};
use crate::support::ca::TestCa;
use crate::support::ostler::Home;

const PROXY: &str = "f04-emailproxy.config";

#[test]
fn f04_a_company_at_microsoft_is_not_called_hotmail() {
    let added = add(file(PROXY), &["office@wren-joinery.example"]);
    // The test names a variable for the password. Here it has an access token.
    assert_eq!(added.code, Some(0), "{}", added.screen);
    assert!(!added.screen.contains("Hotmail"), "{}", added.screen);
    assert!(added.screen.contains("Microsoft 365 / Exchange Online (own domain)"), "{}", added.screen);
    assert!(added.not_taken().contains("leave this account with Email OAuth 2.0 Proxy for now"), "{}", added.screen);
    assert!(added.taken().is_empty(), "{}", added.screen);
    let doors = added.doors();
    let (pop3, smtp) = (added.home.pop3, added.home.smtp);
    assert!(doors.contains(&format!("port {pop3} instead of port 1995 ([POP-1995] (line 22))")), "{doors}");
    assert!(doors.contains(&format!("port {smtp} instead of port 1587 ([SMTP-1587] (line 26))")), "{doors}");
    assert!(
        doors.contains("incoming mail (IMAP): nothing takes the place of port 1993 ([IMAP-1993] (line 17))"),
        "{doors}"
    );
    assert!(added.not_taken().contains("lark.family@gmail.com is another account"), "{}", added.screen);
}

#[test]
fn f04_the_ports_to_change_are_named() {
    let added = add(file(PROXY), &["lark.family@gmail.com"]);
    assert_eq!(added.code, Some(0), "{}", added.screen);
    let (pop3, smtp) = (added.home.pop3, added.home.smtp);
    assert_eq!(
        added.doors(),
        format!(
            "incoming mail (POP3): port {pop3} instead of port 995 ([POP-995] (line 7)), server 127.0.0.1\n\
             outgoing mail (SMTP): port {smtp} instead of port 465 ([SMTP-465] (line 12)), server 127.0.0.1\n"
        )
    );
    assert!(added.screen.contains("for Gmail at https://myaccount.google.com/apppasswords"), "{}", added.screen);
}

#[test]
fn f04_stunnels_ports_are_named_too() {
    let conf = "client=yes\n[in]\naccept=127.0.0.1:5110\nconnect=pop.heron.example:995\n\
                [out]\naccept=ssmtp\nconnect=smtp.heron.example:465\n[other]\naccept=7110\nconnect=pop.gmail.com:995\n";
    let added = add(conf, &["ann@heron.example"]);
    let doors = added.doors();
    assert!(doors.contains("instead of port 5110 ([in] (line 2))"), "{}", added.screen);
    assert!(doors.contains("instead of port 465 ([out] (line 5))"), "{}", added.screen);
    assert!(!doors.contains("7110"), "another company's: {doors}");
}

#[test]
fn f04_a_door_at_the_helpers_own_port_and_a_door_that_is_shut() {
    let settings = |local: &str| {
        let home = Home::new(&TestCa::new(), &[]);
        home.write_settings(&format!("[local]\nimap = false\npage = false\n{local}\n"));
        home
    };
    let conf = "client=yes\n[in]\naccept=5110\nconnect=pop.heron.example:995\n[out]\naccept=5025\nconnect=smtp.heron.example:465\n";
    let added = add_in(settings("pop3 = 5110\nsmtp = false"), conf, &["ann@heron.example"]);
    let doors = added.doors();
    assert!(doors.contains("port 5110 ([in] (line 2)) stays, server 127.0.0.1; end stunnel first"), "{}", added.screen);
    assert!(
        doors.contains("nothing takes the place of port 5025") && doors.contains("`smtp = ..`"),
        "{}",
        added.screen
    );
}

#[test]
fn f04_old_programs_too_hear_of_the_product_of_their_address() {
    for (host, smtp, address, title) in [
        ("pop.gmail.com", "smtp.gmail.com", "ann@wren-joinery.example", "Google Workspace"),
        ("pop.gmail.com", "smtp.gmail.com", "ann@googlemail.com", "Gmail"),
        ("pop.aol.com", "smtp.aol.com", "ann@verizon.net", "Verizon.net"),
        ("pop.mail.yahoo.com", "smtp.mail.yahoo.com", "ann@cox.net", "Cox"),
    ] {
        let ini = format!("[Settings]\nPOPAccount=ann@{host}\nReturnAddress={address}\nSMTPServer={smtp}\n");
        let added = add(ini, &[]);
        let said = format!("{host} belongs to {title}");
        assert!(added.code == Some(0) && added.taken().contains(&said), "{said}: {}", added.screen);
    }
}
