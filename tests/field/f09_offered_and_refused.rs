//! F09: a way of signing in that is offered and then refused, not for the password. The next way that both sides have is
//! tried, and a refused password never is.

use crate::sign_in::{
    ANN, Desk, assert_blames_no_password, b64, greet, login, plain, plain_in_two_lines, plain_said, secret, send_on,
    takes_a_message,
};
use crate::support::provider::{Part, Step, expect, say};

const FORM: [&str; 8] = [
    "504 5.7.4 Unrecognized authentication type",
    "504 auth type unimplemented (#5.5.1)",
    "502 5.5.2 Error: command not recognized",
    "503 AUTH command used when not advertised",
    "503 5.5.1 Error: authentication not enabled",
    "535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
    "535 5.7.8 Error: authentication failed: no mechanism available",
    "534 5.7.9 Authentication mechanism is too weak",
];

fn parts(parts: &[&Part]) -> Part {
    parts.iter().flat_map(|part| part.iter().cloned()).collect()
}

#[test]
fn f09_a_way_refused_for_its_form_is_followed_by_the_next_and_remembered() {
    for (n, no) in FORM.into_iter().enumerate() {
        let offer = ["PLAIN LOGIN", "LOGIN PLAIN", "CRAM-MD5 LOGIN PLAIN"][n % 3];
        let secret = secret();
        let first = parts(&[&greet(offer), &plain_said(&secret, no), &login(&secret, "235 in"), &takes_a_message()]);
        let second = parts(&[&greet(offer), &login(&secret, "235 in"), &takes_a_message()]);
        let desk = Desk::to_send(&secret, vec![first, second]);
        desk.send();
        desk.send();
        // The second sign-in begins with what worked.
        assert_eq!(desk.heard("AUTH"), [plain(&secret).as_str(), "AUTH LOGIN", "AUTH LOGIN"], "{no}");
        assert_eq!(desk.provider.connections(), 2);
    }
}

#[test]
fn f09_the_last_way_may_be_the_one_that_works() {
    let secret = secret();
    let cram = vec![expect("AUTH CRAM-MD5"), say("334 PDEuMkBteD4="), expect(""), say("235 in")];
    let refused = vec![expect("AUTH LOGIN"), say(FORM[0])];
    let part =
        parts(&[&greet("PLAIN CRAM-MD5 LOGIN"), &plain_said(&secret, FORM[0]), &refused, &cram, &takes_a_message()]);
    let desk = Desk::to_send(&secret, vec![part]);
    desk.send();
    assert_eq!(desk.heard("AUTH"), [plain(&secret).as_str(), "AUTH LOGIN", "AUTH CRAM-MD5"]);
}

#[test]
fn f09_in_clear_the_challenge_comes_first_and_may_be_the_one_refused() {
    for (n, no) in FORM.into_iter().enumerate() {
        let secret = secret();
        let offer = ["CRAM-MD5 PLAIN LOGIN", "LOGIN PLAIN CRAM-MD5"][n % 2];
        let cram = vec![expect("AUTH CRAM-MD5"), say(no)];
        let part = parts(&[&greet(offer), &cram, &plain_in_two_lines(&secret, "235 in"), &takes_a_message()]);
        let desk = Desk::to_send_in_clear(&secret, vec![part]);
        desk.send();
        assert_eq!(desk.heard("AUTH"), ["AUTH CRAM-MD5", "AUTH PLAIN"], "{no}");
    }
}

#[test]
fn f09_an_answer_that_came_with_the_command_is_given_on_a_line_of_its_own() {
    for no in ["501 5.5.2 Cannot decode", "501 malformed auth input (#5.5.4)", "500 5.5.1 Command unrecognized"] {
        let secret = secret();
        let again = parts(&[&greet("LOGIN PLAIN"), &plain_in_two_lines(&secret, "235 in"), &takes_a_message()]);
        let first = parts(&[
            &greet("LOGIN PLAIN"),
            &plain_said(&secret, no),
            &plain_in_two_lines(&secret, "235 in"),
            &takes_a_message(),
        ]);
        let desk = Desk::to_send(&secret, vec![first, again]);
        desk.send();
        desk.send();
        assert_eq!(desk.heard("AUTH"), [plain(&secret).as_str(), "AUTH PLAIN", "AUTH PLAIN"], "{no}");
    }
}

#[test]
fn f09_a_provider_that_hangs_up_over_a_way_is_reached_again() {
    let bye = say("421 4.7.0 Too many errors");
    for ending in [vec![Step::Close], vec![Step::Cut], vec![bye, Step::Close]] {
        let secret = secret();
        let mut first = parts(&[&greet("PLAIN LOGIN"), &plain_said(&secret, FORM[0])]);
        // A goodbye is said before anything else is heard, in the way of servers that count errors.
        first.extend(ending);
        let second = parts(&[&greet("PLAIN LOGIN"), &login(&secret, "235 in"), &takes_a_message()]);
        let desk = Desk::to_send(&secret, vec![first, second]);
        desk.send();
        assert_eq!(desk.provider.connections(), 2);
        let passwords = desk.heard(&b64(&secret)).len() + desk.heard(&plain(&secret)).len();
        assert_eq!(passwords, 2, "once in each way");
    }
}

#[test]
fn f09_where_no_way_is_left_the_words_are_about_the_way() {
    for no in FORM {
        let secret = secret();
        let refused = vec![expect("AUTH LOGIN"), say(no), Step::Stall];
        let part = parts(&[&greet("PLAIN LOGIN XOAUTH2"), &plain_said(&secret, no), &refused]);
        let desk = Desk::to_send(&secret, vec![part.clone(), part]);
        let mut client = desk.writer();
        client.say(&format!("MAIL FROM:<{ANN}>"));
        let line = client.line().unwrap();
        assert!(line.starts_with("454 4.7.0 localhost"), "{line}");
        assert!(line.contains("refuses every way of signing in") && line.contains("(PLAIN, LOGIN)"), "{line}");
        assert!(line.contains(no), "{line}");
        assert_blames_no_password(&line);
        // The same to whatever follows, and nothing is tried again for it.
        for command in ["RCPT TO:<bob@example.com>", "DATA", &format!("MAIL FROM:<{ANN}>")] {
            assert_eq!(client.ask(command, "454 "), line, "{command}");
        }
        assert_eq!(desk.provider.connections(), 1);
        assert_eq!(desk.heard("AUTH"), [plain(&secret).as_str(), "AUTH LOGIN"]);
        let failed = desk.checked();
        let told = format!("{}; {}", failed["cause"], failed["advice"]);
        // 503 is said where no sign-in is taken at all.
        let causes = ["offers a way that it then refuses", "takes no sign-in on this port"];
        assert!(causes.iter().any(|cause| told.contains(cause)) && !told.contains("app password"), "{told}");
    }
}

#[test]
fn f09_a_refused_password_is_the_end() {
    for no in [
        "535 5.7.8 Error: authentication failed:",
        "535 5.7.8 Username and Password not accepted",
        "535 5.7.8 invalid password for this authentication mechanism",
        "535 5.7.3 Authentication unsuccessful",
        "534-5.7.9 Application-specific password required.\r\n534 5.7.9  https://support.example.com/answer",
        "550 5.7.1 no",
        "501 5.7.8 wrong password",
    ] {
        let secret = secret();
        let part = parts(&[&greet("PLAIN LOGIN CRAM-MD5"), &plain_said(&secret, no), &vec![Step::Stall]]);
        let desk = Desk::to_send(&secret, vec![part]);
        let mut client = desk.writer();
        client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 localhost refused the sign-in of ann@example.org");
        client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 ");
        assert_eq!(desk.heard("AUTH"), [plain(&secret)], "{no}");
        assert_eq!(desk.provider.connections(), 1);
    }
    // After a way that was refused for its form, too.
    let secret = secret();
    let no = "535 5.7.8 Error: authentication failed:";
    let part = parts(&[
        &greet("PLAIN LOGIN CRAM-MD5"),
        &plain_said(&secret, FORM[0]),
        &login(&secret, no),
        &vec![Step::Stall],
    ]);
    let desk = Desk::to_send(&secret, vec![part]);
    desk.writer().ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 ");
    assert_eq!(desk.heard("AUTH"), [plain(&secret).as_str(), "AUTH LOGIN"]);
}

/// The password goes out once, in no other way and for no other message, and nobody is told that it is wrong.
#[test]
fn f09_in_clear_a_provider_that_wants_tls_is_given_no_second_password() {
    let no = "535 5.7.8 Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
    let secret = secret();
    let part = parts(&[&greet("PLAIN LOGIN"), &plain_said(&secret, no), &vec![Step::Stall]]);
    let desk = Desk::to_send_in_clear(&secret, vec![part]);
    let mut client = desk.writer();
    client.say(&format!("MAIL FROM:<{ANN}>"));
    let line = client.line().unwrap();
    assert!(line.starts_with("454 4.7.0 localhost") && line.contains("sign-in over TLS"), "{line}");
    assert!(line.contains("security = \"starttls\" or \"tls\""), "{line}");
    assert_blames_no_password(&line);
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "454 4.7.0 localhost");
    assert_eq!(desk.heard("AUTH"), [plain(&secret)]);
    assert_eq!(desk.provider.connections(), 1);
}

#[test]
fn f09_a_refusal_for_now_is_not_followed_by_another_way() {
    let secret = secret();
    let part = parts(&[&greet("PLAIN LOGIN"), &plain_said(&secret, "454 4.7.0 later"), &vec![Step::Stall]]);
    let desk = Desk::to_send(&secret, vec![part]);
    desk.writer().ask_reply(&format!("MAIL FROM:<{ANN}>"), "454 4.7.0 ");
    assert_eq!(desk.heard("AUTH").len(), 1);
}

#[test]
fn f09_several_messages_on_one_connection_are_sent_by_the_way_that_worked() {
    let secret = secret();
    let mut part = parts(&[&greet("PLAIN LOGIN"), &plain_said(&secret, FORM[5]), &login(&secret, "235 in")]);
    part.extend(takes_a_message().into_iter().take(8));
    part.extend(takes_a_message());
    let desk = Desk::to_send(&secret, vec![part]);
    let mut client = desk.writer();
    send_on(&mut client);
    send_on(&mut client);
    client.ask_reply("QUIT", "221 ");
    assert_eq!(desk.heard("AUTH").len(), 2);
}

fn capabilities(list: &str) -> Part {
    vec![say("+OK ready"), expect("CAPA"), say(&format!("+OK\r\n{list}\r\nUIDL\r\n."))]
}

fn pop3_ends() -> Part {
    vec![say("+OK in"), expect("QUIT"), say("+OK bye")]
}

fn user_and_pass(secret: &str) -> Part {
    vec![expect("USER"), say("+OK"), expect(&format!("PASS {secret}"))]
}

/// Fetches nothing, and leaves.
fn fetches(desk: &Desk) {
    let mut client = crate::support::client::Client::greeted(desk.ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS typed", "+OK in");
    client.ask("QUIT", "+OK bye");
}

const POP3_FORM: [&str; 5] = [
    "-ERR Unsupported authentication mechanism.",
    "-ERR [AUTH] authentication failed: Invalid authentication mechanism",
    "-ERR Unknown command.",
    "-ERR command not implemented",
    "-ERR authentication type not supported",
];

#[test]
fn f09_pop3_ways_follow_each_other_down_to_user_and_pass() {
    for no in POP3_FORM {
        let secret = secret();
        let auth = vec![expect("AUTH PLAIN"), say(no)];
        let refused =
            vec![expect("AUTH LOGIN"), say("+ VXNlcm5hbWU6"), expect(""), say("+ UGFzc3dvcmQ6"), expect(""), say(no)];
        let first = parts(&[&capabilities("SASL PLAIN LOGIN"), &auth, &refused, &user_and_pass(&secret), &pop3_ends()]);
        let second = parts(&[&vec![say("+OK ready")], &user_and_pass(&secret), &pop3_ends()]);
        let desk = Desk::to_fetch(&secret, vec![first, second]);
        fetches(&desk);
        fetches(&desk);
        assert_eq!(desk.heard("AUTH"), ["AUTH PLAIN", "AUTH LOGIN"], "{no}");
        assert_eq!(desk.heard("PASS").len(), 2);
    }
}

#[test]
fn f09_pop3_a_server_that_does_not_take_user_gets_auth() {
    for no in POP3_FORM {
        let secret = secret();
        let auth = vec![expect("AUTH PLAIN"), say("+ "), expect(&b64(format!("\0{ANN}\0{secret}")))];
        let list = capabilities("USER\r\nSASL PLAIN");
        let first = parts(&[&list, &vec![expect("USER"), say(no)], &auth, &pop3_ends()]);
        let second = parts(&[&list, &auth, &pop3_ends()]);
        let desk = Desk::to_fetch(&secret, vec![first, second]);
        fetches(&desk);
        fetches(&desk);
        assert_eq!(desk.heard("USER").len(), 1, "{no}");
    }
}

#[test]
fn f09_pop3_a_server_that_hangs_up_over_a_way_is_reached_again() {
    let secret = secret();
    let first = parts(&[&capabilities("SASL PLAIN"), &vec![expect("AUTH PLAIN"), say(POP3_FORM[0]), Step::Close]]);
    let second = parts(&[&capabilities("SASL PLAIN"), &user_and_pass(&secret), &pop3_ends()]);
    let desk = Desk::to_fetch(&secret, vec![first, second]);
    fetches(&desk);
    assert_eq!(desk.provider.connections(), 2);
}

#[test]
fn f09_pop3_where_no_way_is_left_the_words_are_about_the_way() {
    for no in POP3_FORM {
        let secret = secret();
        let refused = vec![expect("AUTH PLAIN"), say(no), expect("USER"), say(no), Step::Stall];
        let part = parts(&[&capabilities("SASL PLAIN"), &refused]);
        let desk = Desk::to_fetch(&secret, vec![part]);
        let line = desk.fetch();
        assert!(line.starts_with("-ERR [SYS/TEMP] localhost"), "{line}");
        assert!(line.contains("refuses every way of signing in") && line.contains("(PLAIN, USER)"), "{line}");
        assert_blames_no_password(&line);
        assert_eq!(desk.provider.connections(), 1);
    }
}

#[test]
fn f09_pop3_a_refused_password_is_the_end() {
    for no in ["-ERR [AUTH] invalid", "-ERR Logon failure: unknown user name or bad password.", "-ERR", "-ERR denied"] {
        let secret = secret();
        let part =
            parts(&[&capabilities("USER\r\nSASL PLAIN LOGIN"), &user_and_pass(&secret), &vec![say(no), Step::Stall]]);
        let desk = Desk::to_fetch(&secret, vec![part]);
        let line = desk.fetch();
        assert!(line.starts_with("-ERR [AUTH] localhost refused the sign-in"), "{line}");
        assert!(desk.heard("AUTH").is_empty() && desk.provider.connections() == 1, "{no}");
    }
}

/// The second fetch begins with what the first has learned of the server.
#[test]
fn f09_pop3_in_clear_a_provider_that_wants_tls_is_told_as_that_with_remembered_capabilities_too() {
    for no in ["-ERR [AUTH] Plaintext authentication disallowed", "-ERR cleartext authentication not allowed"] {
        let secret = secret();
        let list = "USER\r\nSASL PLAIN LOGIN";
        let first = parts(&[&capabilities(list), &user_and_pass(&secret), &pop3_ends()]);
        let asked = vec![expect("CAPA"), say(&format!("+OK\r\n{list}\r\n.")), Step::Stall];
        let second = parts(&[&vec![say("+OK ready")], &user_and_pass(&secret), &vec![say(no)], &asked]);
        let desk = Desk::to_fetch_in_clear(&secret, vec![first, second]);
        fetches(&desk);
        let line = desk.fetch();
        assert!(line.starts_with("-ERR [SYS/TEMP] localhost") && line.contains("sign-in over TLS"), "{line}");
        assert_blames_no_password(&line);
        assert_eq!((desk.heard("PASS").len(), desk.heard("AUTH").len()), (2, 0), "{no}");
    }
}
