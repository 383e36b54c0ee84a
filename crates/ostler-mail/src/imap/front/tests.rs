use super::*;
use crate::account::Access;
use crate::account::testing::{account, server, settings};
use crate::failure::{ServerAddr, Waiting};
use crate::machine::client::{MAX_BAD_COMMANDS, MAX_EARLY_COMMANDS};

fn with_imap(name: &str) -> Arc<Account> {
    let mut account = account(name, &format!("{name}@example.net"), name);
    account.imap = Some(server(Protocol::Imap, name));
    Arc::new(account)
}

fn front(access: Access, names: &[&str]) -> ImapFront {
    let accounts = names.iter().map(|name| with_imap(name)).collect();
    ImapFront::new(settings(access, accounts, &[]), None, "<1.2@ostler>".into())
}

/// Plays a client's lines; each answer as text, a sign-in as `=> account as name: password`.
fn play(front: &mut ImapFront, lines: &[&[u8]]) -> Vec<String> {
    lines
        .iter()
        .map(|line| match front.on_line(&Line::new(line)) {
            Answer::Say(text) | Answer::Bye(text) => text.trim_end().to_owned(),
            Answer::Refused(failure) => front.refusal(&failure).trim_end().to_owned(),
            Answer::Wants(Wants::SignIn(account, attempt)) => {
                let password = attempt.password().map(|octets| octets.escape_ascii().to_string());
                format!("=> {} as {}: {}", account.name, attempt.name, password.unwrap_or_default())
            }
            Answer::Misused(misuse) => format!("{misuse:?}"),
        })
        .collect()
}

fn refused() -> Failure {
    let at = ServerAddr::from(&server(Protocol::Imap, "ann"));
    Failure::SignInRefused { at, user: "ann".into(), said: "no such luck".into(), beyond_ascii: false }
}

fn lost() -> Failure {
    Failure::Lost { at: ServerAddr::from(&server(Protocol::Imap, "ann")), waiting: Waiting::Greeting }
}

#[test]
fn eudora_netscape_and_outlook_express_sign_in() {
    let mut front = front(Access::SameUser, &["home"]);
    assert_eq!(front.greeting(), "* OK ostler IMAP4rev1 ready\r\n");
    let said = play(
        &mut front,
        &[
            b"00001 CAPABILITY",
            b"00002 LOGIN home secret",
            b"2 login \"home\" \"se\\\"c\\\\ret\"",
            b"0003 LOGIN {4}",
            b"home {6}",
            b"secret",
            b"4 LOGIN {4+}",
            b"home {0+}",
            b"",
            b"5 LOGIN home {4}",
            b"p\xe4\xdfs",
        ],
    );
    assert_eq!(said[0], "* CAPABILITY IMAP4rev1 NAMESPACE UIDPLUS CHILDREN\r\n00001 OK these are they");
    assert_eq!(said[1], "=> home as home: secret");
    assert_eq!(said[2], "=> home as home: se\\\"c\\\\ret");
    assert_eq!(said[3..6], ["+ go on", "+ go on", "=> home as home: secret"]);
    assert_eq!(said[6..9], ["", "", "=> home as home: "]);
    assert_eq!(said[10], "=> home as home: p\\xe4\\xdfs");
}

#[test]
fn a_password_that_looks_like_a_browsers_line_is_a_password() {
    let mut front = front(Access::SameUser, &["home"]);
    let said = play(&mut front, &[b"1 LOGIN home {6}", b"Host: ", b"2 LOGIN home {14}", b"GET / HTTP/1.1"]);
    assert_eq!((said[1].as_str(), said[3].as_str()), ("=> home as home: Host: ", "=> home as home: GET / HTTP/1.1"));
}

#[test]
fn authenticate_has_plain_and_login_with_and_without_initial_response() {
    let mut front1 = front(Access::SameUser, &["home"]);
    let said = play(
        &mut front1,
        &[
            b"1 AUTHENTICATE PLAIN",
            b"AGhvbWUAcHc=",
            b"2 authenticate plain AGhvbWUAcHc=",
            b"3 AUTHENTICATE LOGIN",
            b"aG9tZQ==",
            b"cHc=",
            b"4 AUTHENTICATE PLAIN",
            b"*",
            b"5 AUTHENTICATE CRAM-MD5",
            b"6 AUTHENTICATE NTLM",
            b"7 AUTHENTICATE PLAIN",
            b"!",
        ],
    );
    let signed_in = "=> home as home: pw";
    assert_eq!(said[0..3], ["+", signed_in, signed_in]);
    assert_eq!(said[3..6], ["+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6", signed_in]);
    assert!(said[7].starts_with("4 BAD ") && said[8].starts_with("5 NO ") && said[9].starts_with("6 NO "), "{said:?}");
    assert!(said[11].starts_with("7 BAD "), "{said:?}");
    let mut closed = front(Access::Password, &["home"]);
    let said = play(&mut closed, &[b"1 CAPABILITY", b"2 AUTHENTICATE CRAM-MD5", b"aG9tZSAxMjM="]);
    assert!(said[0].contains(" AUTH=CRAM-MD5\r\n") && said[1].starts_with("+ "), "{said:?}");
    assert_eq!(said[2], "=> home as home: ");
}

#[test]
fn a_name_that_is_nobodys_is_told_the_names_there_are_once_in_an_alert() {
    let mut front = front(Access::SameUser, &["home", "work"]);
    let said = play(&mut front, &[b"1 LOGIN joe x", b"2 LOGIN joe x", b"3 LOGIN \"\" x"]);
    assert!(
        said[0].starts_with("* OK [ALERT] ostler: ostler has no account \"joe\"; it has: home, work"),
        "{}",
        said[0]
    );
    assert!(said[0].contains("\r\n1 NO [AUTHENTICATIONFAILED] ostler: "), "{}", said[0]);
    assert!(said[1].starts_with("2 NO [AUTHENTICATIONFAILED] "), "a box for each alert: {}", said[1]);
    assert!(said[2].contains("without a user name; it has: home, work"), "{}", said[2]);
}

#[test]
fn a_refused_sign_in_is_refused_and_all_other_trouble_costs_no_password() {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &[b"7 LOGIN home x"]);
    let said = front.on_failure(&refused());
    assert!(said.starts_with("* OK [ALERT] ostler: ") && said.contains("no such luck"), "{said}");
    assert!(said.contains("\r\n7 NO [AUTHENTICATIONFAILED] ostler: "), "{said}");
    play(&mut front, &[b"8 LOGIN home x"]);
    // The capabilities come before the OK, as after any sign-in.
    assert_eq!(front.on_failure(&lost()), "* CAPABILITY IMAP4rev1\r\n8 OK signed in\r\n");
    let said = play(&mut front, &[b"9 LIST \"\" *"]).remove(0);
    let (no, bye) = said.split_once("\r\n").unwrap();
    assert!(
        no.starts_with("9 NO [UNAVAILABLE] ostler: mail.example.net") && bye.starts_with("* BYE ostler: "),
        "{said}"
    );
    assert!(said.lines().all(|line| line.len() < 511 && line.is_ascii()), "{said}");
}

#[test]
fn a_client_that_says_nothing_after_trouble_hears_of_it_too() {
    let mut front = front(Access::SameUser, &["home"]);
    assert_eq!(front.too_late(), "* BYE the mail program took too long to sign in\r\n");
    play(&mut front, &[b"1 LOGIN home x"]);
    front.on_failure(&lost());
    assert!(front.too_late().starts_with("* BYE ostler: mail.example.net port 993 closed"), "{}", front.too_late());
}

#[test]
fn a_client_that_leaves_after_trouble_is_let_go() {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &[b"1 LOGIN home x"]);
    front.on_failure(&lost());
    assert_eq!(play(&mut front, &[b"2 LOGOUT"]), ["* BYE ostler says goodbye\r\n2 OK goodbye"]);
}

#[test]
fn a_provider_without_imap_is_no_wrong_password() {
    let accounts = vec![Arc::new(account("home", "home@example.net", "home"))];
    let mut front = ImapFront::new(settings(Access::SameUser, accounts, &[]), None, "<1.2@ostler>".into());
    let said = play(&mut front, &[b"1 LOGIN home x"]).remove(0);
    assert!(said.contains("1 NO "), "{said}");
}

#[test]
fn each_command_before_the_sign_in_has_its_answer() {
    let mut front1 = front(Access::SameUser, &["home"]);
    let said = play(
        &mut front1,
        &[
            b"1 NOOP",
            b"2 SELECT INBOX",
            b"3 STARTTLS",
            b"4 XYZZY",
            b"5 LOGIN home",
            b"6 LOGIN home \"x",
            b"\"7 NOOP",
            b"8 LOGOUT",
        ],
    );
    assert_eq!((said[0].as_str(), said[1].as_str()), ("1 OK done", "2 BAD sign in first: LOGIN"));
    assert!(said[2].starts_with("3 BAD this door is plain") && said[3].starts_with("4 BAD "), "{said:?}");
    assert!(said[4].starts_with("5 BAD LOGIN needs") && said[5].starts_with("6 BAD a quote"), "{said:?}");
    assert_eq!(said[6], "* BAD a command begins with a tag", "not echoed");
    assert_eq!(said[7], "* BYE ostler says goodbye\r\n8 OK goodbye");
    assert_eq!(front1.on_end(b"9 logout").as_deref(), Some("* BYE ostler says goodbye\r\n9 OK goodbye\r\n"));
}

#[test]
fn programs_at_the_wrong_door_and_browsers_are_told_or_ended() {
    let mistake = |line: &[u8]| {
        let mut front = front(Access::SameUser, &["home"]);
        let said = play(&mut front, &[line]).remove(0);
        (front.take_misconfiguration(), said)
    };
    let (noted, said) = mistake(b"EHLO old-pc");
    assert!(matches!(noted, Some(ClientMisconfiguration::WrongDoor { speaks: Protocol::Smtp, .. })), "{said}");
    assert!(said.starts_with("* BAD this is the IMAP port of ostler"), "{said}");
    assert!(matches!(mistake(b"USER ann").0, Some(ClientMisconfiguration::WrongDoor { speaks: Protocol::Pop3, .. })));
    assert_eq!(mistake(b"1 STARTTLS").0, Some(ClientMisconfiguration::StartTls));
    assert_eq!(mistake(b"1 AUTHENTICATE NTLM").0, Some(ClientMisconfiguration::Secure));
    assert_eq!(mistake(b"GET / HTTP/1.1").1, "Http");
}

#[test]
fn a_client_may_say_so_much_before_it_signs_in_and_no_more() {
    let mut front1 = front(Access::SameUser, &["home"]);
    let noop: &[u8] = b"1 NOOP";
    assert!(play(&mut front1, &[noop; MAX_EARLY_COMMANDS]).iter().all(|said| said == "1 OK done"));
    assert_eq!(play(&mut front1, &[noop]), ["TooManyCommands"]);
    let mut front2 = front(Access::SameUser, &["home"]);
    let bad: &[u8] = b"1 XYZZY";
    assert!(play(&mut front2, &[bad; MAX_BAD_COMMANDS]).iter().all(|said| said.starts_with("1 BAD ")));
    assert_eq!(play(&mut front2, &[bad]), ["TooManyCommands"]);
    let mut front3 = front(Access::SameUser, &["home"]);
    assert!(play(&mut front3, &[b"1 LOGIN home {99999+}"])[0].starts_with("* BYE "), "its octets would be commands");
}

#[test]
fn the_log_shows_no_password_however_it_is_said() {
    let mut front = front(Access::SameUser, &["home"]);
    for line in [
        &b"1 LOGIN home hunter2"[..],
        b"1 login hunter2",
        b"hunter2",
        b"1 AUTHENTICATE PLAIN hunter2",
        b"\"1 x hunter2",
    ] {
        assert!(!front.shown(&Line::new(line)).contains("hunter2"), "{line:?}");
    }
    assert_eq!(front.shown(&Line::new(b"1 CAPABILITY")), "1 CAPABILITY");
    play(&mut front, &[b"1 LOGIN home {7}"]);
    assert_eq!(front.shown(&Line::new(b"1 NOOP hunter2")), "***", "a literal comes");
}

#[test]
fn what_the_provider_offers_is_told_before_the_login_is_accepted() {
    let mut front = front(Access::SameUser, &["home"]);
    play(&mut front, &[b"1 LOGIN home x"]);
    assert_eq!(front.signed_in(b"IMAP4rev1 UIDPLUS", &[]), "* CAPABILITY IMAP4rev1 UIDPLUS\r\n1 OK signed in\r\n");
    let alerts = ["quota is nearly full".to_owned(), format!("closed\r\n1 BAD {}", "x".repeat(600))];
    let said = front.signed_in(b"", &alerts);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines.len()), ("* OK [ALERT] quota is nearly full", 4));
    assert!(lines[1].starts_with("* OK [ALERT] closed??1 BAD x") && lines[1].len() <= 510, "{}", lines[1]);
    assert_eq!(lines[2..], ["* CAPABILITY IMAP4rev1", "1 OK signed in"]);
}

#[test]
fn a_door_of_one_account_needs_no_name() {
    let account = with_imap("home");
    let settings = settings(Access::SameUser, vec![Arc::clone(&account)], &[]);
    let mut front = ImapFront::new(settings, Some(account), "<1.2@ostler>".into());
    assert_eq!(play(&mut front, &[b"1 LOGIN anyone x"]), ["=> home as anyone: x"]);
}

#[test]
fn a_wrong_local_password_is_told_in_an_alert_once() {
    let mut front = front(Access::Password, &["home"]);
    play(&mut front, &[b"1 LOGIN home x"]);
    let said = front.wrong_password();
    let (alert, no) = said.split_once("\r\n").unwrap();
    assert!(alert.starts_with("* OK [ALERT] ") && alert.contains("ostler list --passwords"), "{said}");
    assert!(no.starts_with("1 NO [AUTHENTICATIONFAILED] "), "{said}");
    play(&mut front, &[b"2 LOGIN home y"]);
    assert!(front.wrong_password().starts_with("2 NO [AUTHENTICATIONFAILED] "), "a box for each alert");
}

#[test]
fn a_tag_may_read_like_a_verb_of_http() {
    let mut front = front(Access::SameUser, &["home"]);
    let said = play(&mut front, &[b"GET NOOP", b"POST  LOGIN home x", b"PUT / HTTP/1.0"]);
    assert_eq!(said, ["GET OK done", "=> home as home: x", "Http"]);
}
