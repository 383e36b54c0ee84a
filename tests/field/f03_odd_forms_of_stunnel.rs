//! What stunnel itself accepts in its settings is understood as stunnel understands it.

use crate::adding::{add, file};

#[test]
fn f03_two_connects_and_this_computer() {
    let added = add(file("f03-odd-forms-stunnel.conf"), &["tern@plover.example"]);
    assert_eq!(
        added.servers(),
        [
            "pop3 tls://pop.plover.example:995 tern@plover.example",
            "smtp tls://smtp.plover.example:465 tern@plover.example",
            "smtp starttls://relay.plover.example:587 tern@plover.example",
        ]
    );
    let (taken, left) = (added.taken(), added.not_taken());
    assert!(!taken.contains("localhost") && !taken.contains("pop2"), "{taken}");
    assert!(
        taken.contains("sending through relay.plover.example port 587, STARTTLS if the server before it"),
        "{taken}"
    );
    assert!(left.contains("pop2.plover.example port 995, TLS: the account has another server for fetching"), "{left}");
    assert!(left.contains("`connect = 465` leads to this computer, not to a provider"), "{left}");
    assert!(left.contains("[mailhub-out] (line 33): the servers of heron.example"), "{left}");
    assert!(!added.screen.contains("not-a-real-one"));
}

#[test]
fn f03_a_service_name_is_a_port() {
    let added = add(file("f03-odd-forms-stunnel.conf"), &["ann@heron.example"]);
    assert_eq!(added.servers(), ["pop3 tls://pop.heron.example:995 ann@heron.example"]);
    let conf = "client = yes\n[in]\naccept = pop3\nconnect = pop.heron.example:pop3\nprotocol = pop3\n\
                [out]\naccept = localhost:smtp\nconnect = smtp.heron.example:submission\nprotocol = smtp\n";
    let added = add(conf, &["ann@heron.example"]);
    assert_eq!(
        added.servers(),
        [
            "pop3 starttls://pop.heron.example:110 ann@heron.example",
            "smtp starttls://smtp.heron.example:587 ann@heron.example",
        ]
    );
    assert!(
        added.doors().contains("instead of port 110") && added.doors().contains("instead of port 25"),
        "{}",
        added.screen
    );
}

#[test]
fn f03_a_tunnel_to_this_computer_makes_no_account() {
    for connect in ["995", "pop3s", "localhost:995", "127.0.0.2:995", "[::1]:995", "::1:pop3s"] {
        for protocol in ["", "protocol = pop3\n"] {
            let conf = format!("client = yes\n[pop]\naccept = 1110\nconnect = {connect}\n{protocol}");
            let added = add(conf, &["ann@heron.example"]);
            assert_eq!(added.code, Some(1), "{connect}: {}", added.screen);
            assert!(added.taken().is_empty(), "{connect}: {}", added.screen);
            let why = format!("[pop] (line 2): `connect = {connect}` leads to this computer");
            assert!(added.not_taken().contains(&why), "{connect}: {}", added.screen);
            assert!(!added.home.settings().contains("heron"), "{}", added.home.settings());
        }
    }
}

#[test]
fn f03_several_servers_for_sending_stay_in_their_order() {
    let conf = "client=yes\n[in]\naccept=110\nconnect=pop.heron.example:995\n\
                [out]\naccept=25\nCONNECT=smtp1.heron.example:smtps\nConnect=smtp2.heron.example:465\nconnect=smtp.tern.example:465\n";
    let added = add(conf, &["ann@heron.example"]);
    let servers = added.servers();
    assert_eq!(
        servers[1..],
        [
            "smtp tls://smtp1.heron.example:465 ann@heron.example",
            "smtp tls://smtp2.heron.example:465 ann@heron.example",
        ]
    );
    assert!(added.not_taken().contains("smtp.tern.example belongs to another company"), "{}", added.screen);
}
