//! POP-before-SMTP through ostler: Postfix and Exim that let an address send only after a login at Dovecot.

use std::time::Duration;

use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::dovecot::Dovecot;
use crate::support::exim::{Exim, Wording};
use crate::support::gate::{Event, Gate, Rules, Stage, Trigger};
use crate::support::mail::{self, Delivery};
use crate::support::ostler::{Account, Ostler, Server};
use crate::support::{require, unique, wait_for};
use crate::{ANN, BOB};

/// A host with a gate, and ostler with an account for it.
struct Small {
    gate: Gate,
    ostler: Ostler,
}

impl Small {
    fn start(rules: Rules) -> Self {
        Self::start_with(rules, |server| server)
    }

    fn start_with(rules: Rules, change: impl FnOnce(Server) -> Server) -> Self {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let gate = Gate::start(rules, &ca.localhost(), &[(ANN, &password)]);
        let ostler = ostler_for(&ca, &gate, &password, change);
        Self { gate, ostler }
    }

    /// Sends a message and checks that it, and nothing else new, arrived unchanged.
    fn send(&self, mark: &str) {
        let before = self.gate.deliveries().len();
        let message = mail::tricky(mark);
        client::send(self.ostler.smtp, ANN, &[BOB], &message);
        arrived_once(&self.gate.deliveries(), before, &message);
    }

    fn pop(&self) -> Client {
        let mut pop = Client::greeted(self.ostler.pop3, "+OK");
        pop.ask(&format!("USER {ANN}"), "+OK");
        pop.ask("PASS x", "+OK");
        pop
    }
}

fn ostler_for(ca: &TestCa, gate: &Gate, password: &str, change: impl FnOnce(Server) -> Server) -> Ostler {
    let smtp = Server::new("starttls", gate.smtp()).auth("pop-before-smtp");
    let account = Account::new("home", ANN, password).pop3(Server::new("tls", gate.dovecot.pop3s)).smtp(change(smtp));
    Ostler::start(ca, &[account])
}

fn arrived_once(deliveries: &[Delivery], before: usize, message: &[u8]) {
    assert_eq!(deliveries.len(), before + 1, "{deliveries:?}");
    let same = deliveries.iter().filter(|one| one.content == mail::stored(message) && one.to == BOB && one.from == ANN);
    assert_eq!(same.count(), 1, "{deliveries:?}");
}

fn login() -> Event {
    Event::Login(ANN.to_owned())
}

#[test]
fn the_first_send_logs_in_first_and_only_then_opens_smtp() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules::default());
    small.send("first");
    assert_eq!(small.gate.events(), [login(), Event::SmtpConnected, Event::Let]);
}

#[test]
fn a_fresh_login_serves_the_next_sends_too() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules::default());
    for mark in ["one", "two", "three"] {
        small.send(mark);
    }
    assert_eq!((small.gate.logins(), small.gate.refusals()), (1, 0));
}

#[test]
fn with_fresh_zero_every_send_has_a_login_of_its_own() {
    require!("dovecot", "postfix");
    let small = Small::start_with(Rules::default(), |server| server.line("fresh = \"0s\""));
    small.send("one");
    small.send("two");
    assert_eq!((small.gate.logins(), small.gate.refusals()), (2, 0));
}

#[test]
fn the_clients_own_session_counts_as_the_login() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules::default());
    let mut pop = small.pop();
    small.send("while it is open");
    assert_eq!(small.gate.logins(), 1, "no second session beside the client's");
    pop.ask("QUIT", "+OK");
    small.send("after it");
    assert_eq!((small.gate.logins(), small.gate.refusals()), (1, 0));
}

#[test]
fn an_open_session_of_the_client_keeps_the_lock_and_the_send_goes_all_the_same() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let gate = Gate::start_with(
        Rules::default(),
        &ca.localhost(),
        &[(ANN, &password)],
        super::support::dovecot::Builder::lock_sessions,
        |postfix| postfix,
    );
    let ostler = ostler_for(&ca, &gate, &password, |server| server);
    let small = Small { gate, ostler };
    let mut pop = small.pop();
    small.send("beside the lock");
    assert_eq!(small.gate.logins(), 1);
    pop.ask("STAT", "+OK");
    pop.ask("QUIT", "+OK");
}

#[test]
fn a_mailbox_somebody_else_holds_counts_as_logged_in() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let gate = Gate::start_with(
        Rules::default(),
        &ca.localhost(),
        &[(ANN, &password)],
        super::support::dovecot::Builder::lock_sessions,
        |postfix| postfix,
    );
    let mut holder = Client::greeted(gate.dovecot.pop3, "+OK");
    holder.ask(&format!("USER {ANN}"), "+OK");
    holder.ask(&format!("PASS {password}"), "+OK");
    let ostler = ostler_for(&ca, &gate, &password, |server| server);
    let small = Small { gate, ostler };
    small.send("in use");
    assert_eq!(small.gate.logins(), 2, "the holder's, and the one that heard IN-USE");
    holder.ask("QUIT", "+OK");
}

#[test]
fn a_window_that_ended_early_is_opened_again_unseen() {
    require!("dovecot", "postfix");
    for sticky in [true, false] {
        let small = Small::start(Rules { sticky, ..Rules::default() });
        small.send("before");
        small.gate.forget();
        small.send("after");
        assert_eq!((small.gate.logins(), small.gate.refusals()), (2, 1), "sticky {sticky}: {:?}", small.gate.events());
    }
}

#[test]
fn a_permission_that_comes_late_is_waited_for() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules { late: Duration::from_secs(3), ..Rules::default() });
    small.send("late");
    assert!(small.gate.refusals() >= 1);
    assert!(small.gate.logins() <= 2, "{:?}", small.gate.events());
}

#[test]
fn a_permission_that_begins_at_quit_is_earned_by_a_clean_quit() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules { trigger: Trigger::Logout, ..Rules::default() });
    small.send("after quit");
    let ended = || small.gate.dovecot.log().matches("Logged out").count();
    wait_for("every login's end in the log", || (ended() >= small.gate.logins()).then_some(()));
    assert_eq!(ended(), small.gate.logins());
}

#[test]
fn a_short_window_that_no_login_lengthens_is_no_trouble() {
    require!("dovecot", "postfix");
    let rules = Rules { window: Duration::from_secs(3), refresh: false, ..Rules::default() };
    let small = Small::start_with(rules, |server| server.line("fresh = \"1s\""));
    let started = std::time::Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(8) {
        small.send(&format!("number {count}"));
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn healing_sends_mail_and_all_recipients_again_and_one_message() {
    require!("dovecot", "postfix");
    for sticky in [true, false] {
        let small = Small::start(Rules { sticky, ..Rules::default() });
        small.send("opens the gate");
        small.gate.forget();
        let message = mail::tricky("many recipients");
        let recipients = [BOB, "eve@example.com", "joe@example.com"];
        client::send(small.ostler.smtp, ANN, &recipients, &message);
        let deliveries = small.gate.deliveries();
        let of_it: Vec<_> = deliveries.iter().filter(|one| one.content == mail::stored(&message)).collect();
        assert_eq!(deliveries.len(), 4, "{deliveries:?}");
        assert_eq!(of_it.iter().map(|one| one.to.as_str()).collect::<Vec<_>>(), recipients);
        assert!(of_it.iter().all(|one| one.from == ANN));
    }
}

#[test]
fn a_gate_that_shuts_between_two_recipients_loses_neither() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules { sticky: false, ..Rules::default() });
    let message = mail::tricky("between");
    let mut smtp = Client::greeted(small.ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    smtp.ask_reply("RCPT TO:<first@example.com>", "250");
    small.gate.forget();
    smtp.ask_reply("RCPT TO:<second@example.com>", "250");
    smtp.ask_reply("DATA", "354");
    smtp.send(mail::stuffed(&message));
    smtp.expect_reply("250");
    smtp.ask_reply("QUIT", "221");
    let deliveries = small.gate.deliveries();
    let to: Vec<_> = deliveries.iter().map(|one| one.to.as_str()).collect();
    assert_eq!(to, ["first@example.com", "second@example.com"]);
    assert!(deliveries.iter().all(|one| one.content == mail::stored(&message)));
}

#[test]
fn a_refusal_at_any_stage_and_in_any_wording_is_healed() {
    require!("dovecot", "postfix");
    for (stage, refusal) in [
        (Stage::Connect, "550 5.7.1 You must check your mail first"),
        (Stage::Connect, "450 4.7.1 Relay access denied"),
        (Stage::Mail, "550 5.7.1 you must first check your e-mail before you are allowed to send"),
        (Stage::Mail, "504 5.7.1 You did not authenticate properly using SMTP-after-POP3"),
        (Stage::Rcpt, "553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts"),
        (Stage::Rcpt, "454 4.7.1 Relay access denied"),
        (Stage::Rcpt, "451 4.7.1 relay unavailable"),
        (Stage::Rcpt, "550 5.7.1 Relaying denied. Proper authentication required."),
        (Stage::Data, "554 5.7.1 Relaying Denied: Authenticate with POP first"),
    ] {
        let small = Small::start(Rules { stage, refusal: Some(refusal.to_owned()), ..Rules::default() });
        small.send("opens the gate");
        small.gate.forget();
        small.send("healed");
        let events = small.gate.events();
        assert!(small.gate.refusals() >= 1, "{refusal}: {events:?}");
        assert!(small.gate.logins() == 2, "{refusal}: {events:?}");
    }
}

#[test]
fn a_refusal_about_the_recipient_is_passed_on_and_not_healed() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let refusals = [
        ("nosuch@example.com", "550 5.1.1 No such user here"),
        ("grey@example.com", "450 4.2.0 Greylisted, come back later"),
        ("blocked@example.com", "550 5.7.1 Message rejected by local policy"),
        ("full@example.com", "552 5.2.2 Mailbox full"),
    ];
    let gate = Gate::start_with(
        Rules::default(),
        &ca.localhost(),
        &[(ANN, &password)],
        |dovecot| dovecot,
        |postfix| refusals.iter().fold(postfix, |postfix, (to, answer)| postfix.refuse(to, answer)),
    );
    let ostler = ostler_for(&ca, &gate, &password, |server| server);
    for (recipient, answer) in refusals {
        let mut smtp = Client::greeted(ostler.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        let (code, words) = (&answer[..9], &answer[10..]);
        let reply = smtp.ask_reply(&format!("RCPT TO:<{recipient}>"), code);
        assert!(reply.contains(words), "{reply}");
        smtp.ask_reply("QUIT", "221");
    }
    // The one login that was needed anyway; "blocked" may look like a shut gate, but the login is fresh.
    assert_eq!((gate.logins(), gate.refusals()), (1, 0), "{:?}", gate.events());
    assert!(gate.deliveries().is_empty());
}

#[test]
fn a_gate_that_never_opens_is_reported_in_the_servers_words_and_what_was_tried() {
    require!("dovecot", "postfix");
    // A window that never begins within the patience of a client.
    let small = Small::start(Rules { late: Duration::from_secs(3600), ..Rules::default() });
    let mut smtp = Client::greeted(small.ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    let asked = std::time::Instant::now();
    let refusal = smtp.ask_reply(&format!("RCPT TO:<{BOB}>"), "554 5.7.1 ");
    assert!(asked.elapsed() < Duration::from_secs(30), "a client would have given up");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    assert!(refusal.contains("Relay access denied") && refusal.contains("POP"), "{refusal}");
    assert!(small.gate.logins() <= 3, "{:?}", small.gate.events());
    assert!(small.gate.deliveries().is_empty());
}

#[test]
fn a_wrong_password_is_final_and_opens_no_smtp() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
    let ostler = ostler_for(&ca, &gate, &unique("wrong"), |server| server);
    for _ in 0..2 {
        let mut smtp = Client::greeted(ostler.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 ");
        smtp.ask_reply("QUIT", "221");
    }
    // Dovecot writes it when the connection is over.
    wait_for("both in the log", || (gate.dovecot.log().matches("auth failed").count() >= 2).then_some(()));
    assert_eq!(gate.dovecot.log().matches("auth failed").count(), 2, "once for each MAIL");
    assert_eq!(gate.smtp_connections(), 0);
}

#[test]
fn many_sends_at_once_need_one_login() {
    require!("dovecot", "postfix");
    let small = Small::start(Rules::default());
    let messages: Vec<_> = (0..8).map(|number| mail::tricky(&format!("at once {number}"))).collect();
    std::thread::scope(|scope| {
        for message in &messages {
            let port = small.ostler.smtp;
            scope.spawn(move || client::send(port, ANN, &[BOB], message));
        }
    });
    let deliveries = small.gate.deliveries();
    assert_eq!(deliveries.len(), messages.len());
    for message in &messages {
        assert_eq!(deliveries.iter().filter(|one| one.content == mail::stored(message)).count(), 1);
    }
    assert_eq!((small.gate.logins(), small.gate.refusals()), (1, 0), "{:?}", small.gate.events());
}

#[test]
fn sends_that_find_the_gate_shut_at_the_same_moment_share_one_login() {
    require!("dovecot", "postfix");
    // Sticky: Postfix decides when a connection opens, so only a connection behind the new login is let in.
    for sticky in [true, false] {
        let small = Small::start(Rules { sticky, ..Rules::default() });
        small.send("opens the gate");
        small.gate.forget();
        let messages: Vec<_> = (0..4).map(|number| mail::tricky(&format!("found it shut {number}"))).collect();
        let mut clients: Vec<_> = messages.iter().map(|_| Client::greeted(small.ostler.smtp, "220 ")).collect();
        for client in &mut clients {
            client.ask_reply("EHLO old-pc", "250");
            client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        }
        for client in &mut clients {
            client.say(&format!("RCPT TO:<{BOB}>"));
        }
        for client in &mut clients {
            client.expect_reply("250");
        }
        for (client, message) in clients.iter_mut().zip(&messages) {
            client.ask_reply("DATA", "354");
            client.send(mail::stuffed(message));
            client.expect_reply("250");
            client.ask_reply("QUIT", "221");
        }
        let deliveries = small.gate.deliveries();
        assert_eq!(deliveries.len(), 1 + messages.len(), "{deliveries:?}");
        for message in &messages {
            assert_eq!(deliveries.iter().filter(|one| one.content == mail::stored(message)).count(), 1);
        }
        let events = small.gate.events();
        assert_eq!(small.gate.logins(), 2, "the first send's, and one for all four; sticky {sticky}: {events:?}");
    }
}

#[test]
fn the_login_for_sending_may_be_at_another_server() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
    let elsewhere = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    let folder = crate::support::folder();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let login = format!(
        "login = {{ host = \"localhost\", port = {}, security = \"tls\", ca = {:?} }}",
        gate.dovecot.pop3s,
        roots.display().to_string()
    );
    let smtp = Server::new("starttls", gate.smtp()).auth("pop-before-smtp").line(&login);
    let account = Account::new("home", ANN, &password).pop3(Server::new("tls", elsewhere.pop3s)).smtp(smtp);
    let ostler = Ostler::start(&ca, &[account]);
    let message = mail::tricky("elsewhere");
    // A session at the other server opens nothing.
    client::fetch(ostler.pop3, ANN, "x");
    client::send(ostler.smtp, ANN, &[BOB], &message);
    arrived_once(&gate.deliveries(), 0, &message);
    assert_eq!((gate.logins(), elsewhere.logins().len()), (1, 1));
}

#[test]
fn exims_wordings_are_known_for_a_shut_gate() {
    require!("dovecot", "exim");
    for wording in [Wording::Exim, Wording::Cpanel, Wording::None] {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let (_folder, relay_file) = Exim::relay_file();
        let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).tell(&relay_file).start();
        let exim = Exim::start(wording, &ca.localhost(), &relay_file);
        let smtp = Server::new("starttls", exim.port).auth("pop-before-smtp");
        let account = Account::new("home", ANN, &password).pop3(Server::new("tls", dovecot.pop3s)).smtp(smtp);
        let ostler = Ostler::start(&ca, &[account]);
        let first = mail::tricky("exim, first");
        client::send(ostler.smtp, ANN, &[BOB], &first);
        arrived_once(&exim.deliveries(), 0, &first);
        assert_eq!(dovecot.logins().len(), 1);
        if wording == Wording::None {
            // "Administrative prohibition" says nothing of a gate, and the login is fresh: not healed.
            continue;
        }
        // The window ends early: the login is still fresh for ostler, so only the refusal can tell it.
        std::fs::write(&relay_file, "").unwrap();
        let second = mail::tricky("exim, second");
        client::send(ostler.smtp, ANN, &[BOB], &second);
        arrived_once(&exim.deliveries(), 1, &second);
        assert_eq!(dovecot.logins().len(), 2);
    }
}
