//! F12: the provider hangs up while it judges a password. The client hears that it may pass, and nothing is tried twice; the
//! user hears that the password may be wrong.

use crate::sign_in::{ANN, Desk, assert_blames_no_password, b64, greet, plain_said, secret, takes_a_message};
use crate::support::ca::TestCa;
use crate::support::ostler::Home;
use crate::support::process::said;
use crate::support::provider::{Part, Provider, Step, expect, say};

/// However it ends.
fn endings() -> [Step; 3] {
    [Step::Close, Step::Cut, Step::Reset]
}

const WORDS: &str = "closed the connection instead of answering the sign-in";

/// What `ostler check` says names the password, and how to give another.
fn assert_told(failed: &serde_json::Value) {
    let told = format!("{}; {}", failed["cause"], failed["advice"]);
    assert!(failed["detail"].as_str().unwrap().contains(WORDS), "{failed:#}");
    assert!(told.contains("some providers do that when the user name or the password is wrong"), "{failed:#}");
    assert!(
        failed["advice"].as_str().unwrap().contains("the right one belongs in the file that the settings name"),
        "{failed:#}"
    );
}

fn pop3_part(secret: &str, ending: &Step) -> Part {
    vec![say("+OK ready"), expect("USER"), say("+OK"), expect(&format!("PASS {secret}")), ending.clone()]
}

#[test]
fn f12_after_pass() {
    for ending in endings() {
        let secret = secret();
        let part = pop3_part(&secret, &ending);
        let desk = Desk::to_fetch(&secret, vec![part.clone(), part]);
        let line = desk.fetch();
        assert!(line.starts_with("-ERR [SYS/TEMP] localhost") && line.contains(WORDS), "{line}");
        assert_blames_no_password(&line);
        assert_eq!(desk.heard("PASS").len(), 1, "one try");
        assert_told(&desk.checked());
        assert_eq!(desk.heard("PASS").len(), 2);
    }
}

#[test]
fn f12_after_auth_and_after_its_last_line() {
    for ending in endings() {
        let secret = secret();
        let plain = [greet("PLAIN LOGIN"), plain_said(&secret, "")[..1].to_vec(), vec![ending.clone()]].concat();
        let mut login = greet("LOGIN");
        login.extend([expect("AUTH LOGIN"), say("334 VXNlcm5hbWU6"), expect(&b64(ANN)), say("334 UGFzc3dvcmQ6")]);
        login.extend([expect(&b64(&secret)), ending.clone()]);
        let cram = vec![expect("AUTH CRAM-MD5"), say("334 PDEuMkBteD4="), expect(""), ending];
        for part in [plain, login, [greet("CRAM-MD5"), cram].concat()] {
            let desk = Desk::to_send(&secret, vec![part.clone(), part]);
            let mut client = desk.writer();
            client.say(&format!("MAIL FROM:<{ANN}>"));
            let line = client.line().unwrap();
            assert!(line.starts_with("451 4.4.2 localhost") && line.contains(WORDS), "{line}");
            assert_blames_no_password(&line);
            // A queue of messages does not try the same password once for each.
            assert_eq!(client.ask(&format!("MAIL FROM:<{ANN}>"), "451 "), line);
            assert_eq!((desk.provider.connections(), desk.heard("AUTH").len()), (1, 1), "one try");
            assert_told(&desk.checked());
            assert_eq!(desk.provider.connections(), 2);
        }
    }
}

#[test]
fn f12_a_password_that_was_right_for_the_last_message_is_tried_once_for_the_next() {
    let secret = secret();
    let mut first = [greet("PLAIN"), plain_said(&secret, "235 in"), takes_a_message()].concat();
    first.truncate(first.len() - 2);
    first.push(Step::Cut);
    let second = [greet("PLAIN"), plain_said(&secret, "")[..1].to_vec(), vec![Step::Close]].concat();
    let desk = Desk::to_send(&secret, vec![first, second]);
    let mut client = desk.writer();
    crate::sign_in::send_on(&mut client);
    desk.provider.over(0);
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 4.4.2 ");
    assert_eq!(desk.provider.connections(), 2, "no third sign-in");
}

#[test]
fn f12_after_a_way_that_was_refused_for_its_form() {
    let secret = secret();
    let no = "504 5.7.4 Unrecognized authentication type";
    let mut part = [greet("PLAIN LOGIN CRAM-MD5"), plain_said(&secret, no)].concat();
    part.extend([expect("AUTH LOGIN"), say("334 VXNlcm5hbWU6"), expect(&b64(ANN)), say("334 UGFzc3dvcmQ6")]);
    part.extend([expect(&b64(&secret)), Step::Close]);
    let desk = Desk::to_send(&secret, vec![part]);
    desk.writer().ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 4.4.2 ");
    assert_eq!(desk.provider.connections(), 1, "the password was heard, and may have been refused");
}

#[test]
fn f12_add_tells_of_the_password_and_tries_no_other_server_with_it() {
    for ending in endings() {
        let (ca, secret) = (TestCa::new(), secret());
        let mut home = Home::new(&ca, &[]);
        home.keep_secret(&secret);
        let mut part = pop3_part(&secret, &ending);
        part.insert(1, expect("CAPA"));
        part.insert(2, say("+OK\r\nUSER\r\n."));
        let provider = Provider::start_tls(&ca.localhost(), vec![part.clone(), part]);
        let (server, ca) = (format!("tls://localhost:{}", provider.port), home.ca_file());
        let words =
            ["add", ANN, "--pop3", &server, "--fetch-only", "--ca", ca.to_str().unwrap(), "--password-stdin", "--yes"];
        let added = home.ostler(&words, &format!("{secret}\n"));
        let text = said(&added).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(added.status.code(), Some(1), "{text}");
        assert!(text.contains(WORDS) && text.contains("when user name or password is wrong"), "{text}");
        let passwords =
            provider.sessions().iter().filter(|s| memchr::memmem::find(&s.received, b"PASS ").is_some()).count();
        assert_eq!(passwords, 1, "{text}");
    }
}
