//! The IMAP door: raw and real clients, ostler, and Dovecot behind it.

use crate::ANN;
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::process::{command, run_well};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{mail, require, unique, wait_for};

struct Desk {
    dovecot: Dovecot,
    ostler: Ostler,
}

impl Desk {
    fn start(security: &str) -> Self {
        let (ca, secret) = (TestCa::new(), unique("pw"));
        let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
        let port = if security == "tls" { dovecot.imaps } else { dovecot.imap };
        let account = Account::new("home", ANN, &secret).imap(Server::new(security, port));
        Self { ostler: Ostler::start(&ca, &[account]), dovecot }
    }

    fn client(&self) -> Client {
        Client::greeted(self.ostler.imap, "* OK ostler")
    }

    fn signed_in(&self) -> Client {
        let mut client = self.client();
        sign_in(&mut client);
        client
    }
}

/// Signs in as Eudora does.
fn sign_in(client: &mut Client) {
    client.ask("00001 CAPABILITY", "* CAPABILITY IMAP4rev1 NAMESPACE UIDPLUS CHILDREN");
    client.expect("00001 OK");
    client.ask("00002 LOGIN home typed", "* CAPABILITY IMAP4rev1");
    client.expect("00002 OK");
}

/// The lines up to the answer with this tag, and that one.
fn answer(client: &mut Client, tag: &str, command: &str) -> Vec<String> {
    client.say(&format!("{tag} {command}"));
    let mut lines = Vec::new();
    loop {
        lines.push(client.line().unwrap_or_else(|| panic!("closed in an answer:\n{}", client.log())));
        if lines.last().is_some_and(|line| line.starts_with(&format!("{tag} "))) {
            return lines;
        }
    }
}

#[test]
fn a_mailbox_is_read_byte_for_byte_over_every_kind_of_tls() {
    require!("dovecot");
    for security in ["tls", "starttls", "none"] {
        let desk = Desk::start(security);
        let message = mail::tricky("hello");
        desk.dovecot.deliver(ANN, &message);
        let mut client = desk.signed_in();
        let selected = answer(&mut client, "3", "SELECT INBOX");
        assert!(selected.iter().any(|line| line == "* 1 EXISTS"), "{selected:?}");
        client.say("4 FETCH 1 (BODY.PEEK[])");
        let head = client.expect("* 1 FETCH (BODY[] {");
        let octets: usize = head.rsplit_once('{').unwrap().1.trim_end_matches('}').parse().unwrap();
        let mut body = Vec::new();
        while body.len() < octets {
            body.extend(client.raw_line().unwrap());
        }
        let fetched = &body[..octets];
        assert_eq!(String::from_utf8_lossy(fetched), String::from_utf8_lossy(&message));
        client.expect(")");
        client.expect("4 OK");
        client.ask("5 LOGOUT", "* BYE");
        client.expect("5 OK");
        client.expect_end();
        wait_for("the fetch in the log", || desk.ostler.log().contains("1 message fetched").then_some(()));
    }
}

#[test]
fn messages_are_stored_marked_copied_and_expunged() {
    require!("dovecot");
    let desk = Desk::start("tls");
    let mut client = desk.signed_in();
    assert!(answer(&mut client, "1", "CREATE \"Sent Items\"").last().unwrap().starts_with("1 OK"));
    let letter = "Subject: kept\r\n\r\nliteral {9}\r\nend\r\n";
    client.ask(&format!("2 APPEND \"Sent Items\" (\\Seen) {{{}}}", letter.len()), "+ ");
    client.send(format!("{letter}\r\n"));
    client.expect("2 OK");
    let selected = answer(&mut client, "3", "SELECT \"Sent Items\"");
    assert!(selected.iter().any(|line| line == "* 1 EXISTS"), "{selected:?}");
    assert_eq!(answer(&mut client, "4", "UID SEARCH ALL")[0], "* SEARCH 1");
    assert!(answer(&mut client, "5", "COPY 1 INBOX").last().unwrap().starts_with("5 OK"));
    assert!(answer(&mut client, "6", "STORE 1 +FLAGS (\\Deleted)")[0].starts_with("* 1 FETCH"));
    assert_eq!(answer(&mut client, "7", "EXPUNGE")[0], "* 1 EXPUNGE");
    client.ask("8 LOGOUT", "* BYE");
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 1, "the copy");
}

#[test]
fn what_ostler_does_not_have_is_answered_by_it_and_the_provider_never_hears_of_it() {
    require!("dovecot");
    let desk = Desk::start("tls");
    let mut client = desk.signed_in();
    // In one go: the answers come in the order of the commands.
    client.send(
        "1 NOOP\r\n2 COMPRESS DEFLATE\r\n3 ENABLE CONDSTORE\r\n4 IDLE x\r\n5 STARTTLS\r\n6 LOGIN x y\r\n7 NOOP\r\n",
    );
    for start in ["1 OK", "2 BAD", "3 BAD", "4 BAD", "5 BAD", "6 BAD", "7 OK"] {
        client.expect(start);
    }
    let told = answer(&mut client, "8", "CAPABILITY");
    assert!(told[0].starts_with("* CAPABILITY IMAP4rev1"), "{told:?}");
    for hidden in ["AUTH=", "STARTTLS", "COMPRESS", "ENABLE", "CONDSTORE", "ID ", "MOVE", "ESEARCH", "SPECIAL-USE"] {
        assert!(!told[0].contains(hidden), "{hidden}: {}", told[0]);
    }
}

#[test]
fn every_way_of_signing_in_is_taken_and_any_password() {
    require!("dovecot");
    let desk = Desk::start("tls");
    for dialogue in [
        &[("1 LOGIN \"home\" \"any \\\" thing\"", "* CAPABILITY")][..],
        &[("1 LOGIN {4}", "+ "), ("home {0}", "+ "), ("", "* CAPABILITY")],
        &[("1 AUTHENTICATE PLAIN", "+"), ("AGhvbWUAeA==", "* CAPABILITY")],
        &[("1 AUTHENTICATE PLAIN AGhvbWUAeA==", "* CAPABILITY")],
        &[("1 AUTHENTICATE LOGIN", "+ "), ("aG9tZQ==", "+ "), ("eA==", "* CAPABILITY")],
        &[("1 LOGIN ann@example.org x", "* CAPABILITY")],
    ] {
        let mut client = desk.client();
        for (line, wanted) in dialogue {
            client.ask(line, wanted);
        }
        client.expect("1 OK");
        client.ask("2 LOGOUT", "* BYE");
    }
}

#[test]
fn a_wrong_password_and_a_wrong_name_are_told_and_nothing_else_is_a_refused_login() {
    require!("dovecot");
    let (ca, right, wrong) = (TestCa::new(), unique("pw"), unique("not"));
    let dovecot = Dovecot::builder().user(ANN, &right).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, &wrong).imap(Server::new("tls", dovecot.imaps));
    let ostler = Ostler::start(&ca, &[account]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("1 LOGIN nobody x", "* OK [ALERT] ostler: ostler has no account \"nobody\"; it has: home");
    client.expect("1 NO [AUTHENTICATIONFAILED]");
    let mut client = Client::greeted(ostler.imap, "* OK");
    let alert = client.ask("2 LOGIN home x", "* OK [ALERT] ostler: localhost refused the sign-in");
    assert!(alert.contains("in the file that the settings name"), "{alert}");
    client.expect("2 NO [AUTHENTICATIONFAILED]");
}

#[test]
fn trouble_costs_the_user_no_password() {
    let broken: [(&str, Part); 4] = [
        ("did not answer in time", vec![Step::Stall]),
        ("closed the connection", vec![Step::Close]),
        ("refuses service", vec![say("* BYE Too many connections")]),
        ("someone has signed in already", vec![say("* PREAUTH hello"), Step::Stall]),
    ];
    for (words, part) in broken {
        let provider = Provider::always(part);
        let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
        let home = Home::with_settings(&TestCa::new(), &[account], "", "\n[timeouts]\ngreeting = \"300ms\"\n");
        let ostler = home.run();
        let mut client = Client::greeted(ostler.imap, "* OK");
        client.ask("1 LOGIN home x", "* CAPABILITY IMAP4rev1");
        client.expect("1 OK");
        let no = client.ask("2 LIST \"\" \"*\"", "2 NO [UNAVAILABLE] ostler: localhost");
        assert!(no.contains(words), "{words:?} is not in {no}");
        client.expect("* BYE ostler: localhost");
        client.expect_end();
    }
}

#[test]
fn a_provider_that_breaks_off_is_told_where_a_line_can_be_heard() {
    let signed_in = [say("* OK [CAPABILITY IMAP4rev1] hi"), expect("o1 LOGIN"), say("o1 OK [CAPABILITY IMAP4rev1] in")];
    let with = |rest: &[Step]| {
        let provider = Provider::start(vec![[&signed_in[..], rest].concat()]);
        let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
        (Ostler::start(&TestCa::new(), &[account]), provider)
    };
    // While a command waits.
    let (ostler, _provider) = with(&[expect("1 NOOP"), Step::Close]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("0 LOGIN home x", "* CAPABILITY");
    client.expect("0 OK");
    client.ask("1 NOOP", "1 NO [UNAVAILABLE] ostler: localhost");
    client.expect("* BYE ostler: localhost");
    client.expect_end();
    // While a change waits: it may have been made.
    for (part, said, advice) in [
        (
            vec![expect("1 APPEND Sent {3}"), say("+ go on"), expect("abc"), Step::Close],
            "APPEND Sent {3}",
            "look in the folder before you store it again",
        ),
        (
            vec![expect("1 UID COPY"), Step::Reset],
            "UID COPY 1:9 Trash",
            "look in the folder before you copy them again",
        ),
        (
            vec![expect("1 EXPUNGE"), say("junk"), say("1 PERHAPS"), Step::Stall],
            "EXPUNGE",
            "look before you do it again",
        ),
    ] {
        let (ostler, _provider) = with(&part);
        let mut client = Client::greeted(ostler.imap, "* OK");
        client.ask("0 LOGIN home x", "* CAPABILITY");
        client.expect("0 OK");
        client.say(&format!("1 {said}"));
        if said.ends_with('}') {
            client.expect("+ go on");
            client.say("abc");
        }
        let no = client.expect("1 NO [UNAVAILABLE] ostler: the outcome is unknown: localhost");
        assert!(no.ends_with(advice), "{no}");
        let bye = client.expect("* BYE ostler: the outcome is unknown: localhost");
        assert!(bye.ends_with(advice), "{bye}");
        client.expect_end();
        let status = ostler.home.ostler(&["status", "--json"], "");
        assert!(String::from_utf8_lossy(&status.stdout).contains(advice), "the user is told, too");
    }
    // In the middle of a message.
    let (ostler, _provider) =
        with(&[expect("1 FETCH"), Step::Send(b"* 1 FETCH (BODY[] {99}\r\nabc".to_vec()), Step::Close]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("0 LOGIN home x", "* CAPABILITY");
    client.expect("0 OK");
    client.ask("1 FETCH 1 BODY[]", "* 1 FETCH (BODY[] {99}");
    assert_eq!(client.rest(), b"abc", "no word of ostler's inside a message");
    // After goodbye.
    let (ostler, _provider) = with(&[expect("1 NOOP"), say("* BYE going down"), Step::Close]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("0 LOGIN home x", "* CAPABILITY");
    client.expect("0 OK");
    client.ask("1 NOOP", "* BYE going down");
    client.expect_end();
}

#[test]
fn lines_that_an_old_program_does_not_know_never_reach_it() {
    let part = vec![
        say("* OK [CAPABILITY IMAP4rev1] hi"),
        expect("o1 LOGIN"),
        say("o1 OK [CAPABILITY IMAP4rev1 QUOTA XSENDER] in"),
        expect("1 SELECT"),
        say(
            "* ENABLED X\r\n* VANISHED 1\r\n* 1 EXISTS\r\n* QUOTA \"\" ()\r\nstray line\r\n9 OK of nobody\r\n1 OK [READ-WRITE] done",
        ),
        Step::Stall,
    ];
    let provider = Provider::always(part);
    let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    assert_eq!(client.ask("0 LOGIN home x", "* CAPABILITY"), "* CAPABILITY IMAP4rev1 QUOTA");
    client.expect("0 OK");
    assert_eq!(answer(&mut client, "1", "SELECT INBOX"), ["* 1 EXISTS", "* QUOTA \"\" ()", "1 OK [READ-WRITE] done"]);
}

#[test]
fn what_the_provider_wants_people_to_read_at_the_sign_in_reaches_them() {
    let part = vec![
        say("* OK [CAPABILITY IMAP4rev1] hi"),
        expect("o1 LOGIN"),
        say("* OK [ALERT] Your mailbox is nearly full\r\no1 OK [CAPABILITY IMAP4rev1] in"),
        Step::Stall,
    ];
    let provider = Provider::always(part);
    let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("0 LOGIN home x", "* OK [ALERT] Your mailbox is nearly full");
    client.expect("* CAPABILITY IMAP4rev1");
    client.expect("0 OK");
}

#[test]
fn a_pop3_client_waits_for_its_turn_before_the_provider_hears_of_it() {
    let signed_in = |capabilities: &str| {
        vec![
            say("* OK [CAPABILITY IMAP4rev1] hi"),
            expect("o1 LOGIN"),
            say(&format!("o1 OK [CAPABILITY {capabilities}] in")),
        ]
    };
    let reads = [signed_in("IMAP4rev1"), vec![Step::Stall]].concat();
    let fetches = [
        signed_in("IMAP4rev1 UIDPLUS"),
        vec![expect("f1 EXAMINE"), say("* 0 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\nf1 OK"), Step::Stall],
    ];
    let provider = Provider::start(vec![reads, fetches.concat()]);
    let server = Server::new("none", provider.port).line("connections = 1");
    let ostler = Ostler::start(&TestCa::new(), &[Account::new("home", ANN, &unique("pw")).imap(server)]);
    let mut first = Client::greeted(ostler.imap, "* OK");
    first.ask("0 LOGIN home x", "* CAPABILITY");
    first.expect("0 OK");
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    wait_for("the second to wait", || {
        let status = ostler.home.ostler(&["status", "--json"], "");
        String::from_utf8_lossy(&status.stdout).contains("waiting for a connection to be free").then_some(())
    });
    assert_eq!(provider.connections(), 1);
    drop(first);
    pop.expect("+OK 0 messages");
    assert_eq!(provider.connections(), 2);
}

#[test]
fn passwords_of_any_letters_reach_the_provider_as_they_are() {
    require!("dovecot");
    for secret in ["with \"quotes\" and \\", "b\u{e4}r \u{20ac}", " blanks ", "{5}"] {
        let ca = TestCa::new();
        let dovecot = Dovecot::builder().user(ANN, secret).cert(ca.localhost()).start();
        let account = Account::new("home", ANN, secret).imap(Server::new("tls", dovecot.imaps));
        let ostler = Ostler::start(&ca, &[account]);
        let mut client = Client::greeted(ostler.imap, "* OK");
        sign_in(&mut client);
    }
}

#[test]
fn the_local_password_is_wanted_where_the_settings_say_so() {
    require!("dovecot");
    let (ca, secret, local) = (TestCa::new(), unique("pw"), unique("local"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, &secret).imap(Server::new("tls", dovecot.imaps));
    let account = account.line("local_password = { env = \"OSTLER_TEST_LOCAL\" }");
    let home = Home::with_settings(&ca, &[account], "access = \"password\"", "");
    let ostler = home.run_changed(&["run"], |_, command| {
        command.env("OSTLER_TEST_LOCAL", &local);
    });
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("1 LOGIN home wrong", "* OK [ALERT] this is not the local password");
    client.expect("1 NO [AUTHENTICATIONFAILED] this is not the local password");
    client.ask(&format!("2 LOGIN home {local}"), "* CAPABILITY");
    client.expect("2 OK");
}

#[test]
fn at_most_eight_connections_are_open_at_the_provider_and_the_next_login_waits() {
    require!("dovecot");
    let desk = Desk::start("tls");
    let mut open: Vec<Client> = (0..8).map(|_| desk.signed_in()).collect();
    let mut ninth = desk.client();
    ninth.say("1 LOGIN home x");
    let mut first = open.remove(0);
    first.ask("9 LOGOUT", "* BYE");
    ninth.expect("* CAPABILITY");
    ninth.expect("1 OK");
}

#[test]
fn the_settings_say_how_many_connections_there_may_be_and_the_status_who_waits() {
    require!("dovecot");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, &secret).imap(Server::new("tls", dovecot.imaps).line("connections = 1"));
    let ostler = Ostler::start(&ca, &[account]);
    let mut first = Client::greeted(ostler.imap, "* OK");
    sign_in(&mut first);
    let mut second = Client::greeted(ostler.imap, "* OK");
    second.say("1 LOGIN home x");
    wait_for("the second to wait", || {
        let status = ostler.home.ostler(&["status", "--json"], "");
        String::from_utf8_lossy(&status.stdout).contains("waiting for a connection to be free").then_some(())
    });
    drop(first);
    second.expect("* CAPABILITY");
    second.expect("1 OK");
}

#[test]
fn a_paused_ostler_costs_no_password_either() {
    require!("dovecot");
    let desk = Desk::start("tls");
    let ostler = |word: &str| drop(desk.ostler.home.ostler(&[word], ""));
    ostler("pause");
    let mut client = desk.client();
    client.ask("1 LOGIN home typed", "* CAPABILITY IMAP4rev1");
    client.expect("1 OK");
    client.ask("2 LIST \"\" *", "2 NO [UNAVAILABLE] ostler: ostler is paused");
    client.expect("* BYE ostler: ostler is paused");
    client.expect_end();
    assert!(desk.dovecot.logins().is_empty(), "no provider hears of it");
    ostler("resume");
    desk.signed_in();
}

#[test]
fn a_program_waits_for_news_and_hears_them() {
    require!("dovecot");
    let desk = Desk::start("tls");
    let mut client = desk.client();
    let told = client.ask("1 LOGIN home typed", "* CAPABILITY");
    assert!(told.contains(" IDLE"), "{told}");
    client.expect("1 OK");
    answer(&mut client, "2", "SELECT INBOX");
    client.ask("3 IDLE", "+ ");
    desk.dovecot.deliver(ANN, &mail::tricky("news"));
    loop {
        let line = client.line().unwrap();
        if line == "* 1 EXISTS" {
            break;
        }
        assert!(line.starts_with("* "), "{line}");
    }
    client.say("DONE");
    let rest = answer(&mut client, "4", "NOOP");
    assert!(rest.iter().any(|line| line.starts_with("3 OK")), "{rest:?}");
}

#[test]
fn an_idle_is_given_again_at_the_provider_and_the_program_does_not_notice() {
    require!("faketime");
    let provider = Provider::always(Part::new());
    let signed_in =
        [say("* OK [CAPABILITY IMAP4rev1 IDLE] hi"), expect("o1 LOGIN"), say("o1 OK [CAPABILITY IMAP4rev1 IDLE] in")];
    let again = |number: u32| {
        [
            expect("DONE"),
            say(&format!("7{} OK idled", if number == 1 { String::new() } else { format!(".{}", number - 1) })),
            expect(&format!("7.{number} IDLE")),
            say("+ idling"),
        ]
    };
    let part = signed_in
        .into_iter()
        .chain([expect("7 IDLE"), say("+ idling")])
        .chain(again(1))
        .chain(again(2))
        .chain([say("* 3 EXISTS"), expect("DONE"), say("7.2 OK idled"), expect("8 NOOP"), say("8 OK done")]);
    provider.next(part.collect());
    let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
    let home = Home::new(&TestCa::new(), &[account]);
    // Each second is ten minutes for ostler.
    let library = crate::support::preloaded_clock().unwrap();
    let ostler = home.run_changed(&["run"], |_, command| {
        command.env("LD_PRELOAD", &library).env("FAKETIME", "+0 x600").env("FAKETIME_DONT_RESET", "1");
    });
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.ask("1 LOGIN home x", "* CAPABILITY IMAP4rev1 IDLE");
    client.expect("1 OK");
    client.ask("7 IDLE", "+ idling");
    client.expect("* OK ostler is still here");
    client.expect("* OK ostler is still here");
    client.expect("* 3 EXISTS");
    client.ask("DONE", "7 OK idled");
    client.ask("8 NOOP", "8 OK done");
}

#[test]
fn curl_and_python_read_a_mailbox() {
    require!("dovecot", "curl", "python3");
    let desk = Desk::start("tls");
    let message = mail::tricky("hello");
    desk.dovecot.deliver(ANN, &message);
    let url = format!("imap://127.0.0.1:{}/INBOX;MAILINDEX=1", desk.ostler.imap);
    let fetched = run_well(&mut command("curl", ["-sS", "--user", "home:typed", &url]), "");
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), String::from_utf8_lossy(&message));
    let script = "import imaplib,sys\nm=imaplib.IMAP4('127.0.0.1',int(sys.argv[1]))\nm.login('home','typed')\n\
        print(m.select())\nprint(m.search(None,'ALL'))\nprint(m.append('INBOX',None,None,b'Subject: two\\r\\n\\r\\nx\\r\\n'))\nprint(m.logout()[0])\n";
    let said = run_well(&mut command("python3", ["-c", script, &desk.ostler.imap.to_string()]), "");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("('OK', [b'1'])") && said.ends_with("BYE\n"), "{said}");
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 2);
}
