use std::sync::Arc;

use base64::Engine;

use super::*;
use crate::secret::Secret;
use crate::wire::Line;

fn secret(text: &str) -> Arc<Secret> {
    Arc::new(Secret::new(text.to_owned()).unwrap())
}

fn attempt_of(step: AuthStep) -> Attempt {
    match step {
        AuthStep::Attempt(attempt) => attempt,
        AuthStep::Challenge(c) => panic!("challenge {c}"),
        AuthStep::Cancelled | AuthStep::Malformed => panic!("refused"),
    }
}

#[test]
fn cram_md5_matches_the_example_of_rfc_2195() {
    let challenge = BASE64.encode("<1896.697170952@postoffice.reston.mci.net>");
    let answer =
        Exchange::new(Mechanism::CramMd5, "tim", secret("tanstaaftanstaaf")).respond(challenge.as_bytes()).unwrap();
    assert_eq!(BASE64.decode(answer.as_bytes()).unwrap(), b"tim b913a602c7eda7a495b4e6e7334d3890");
}

#[test]
fn apop_matches_the_example_of_rfc_1939() {
    let proof = Proof::Apop {
        stamp: "<1896.697170952@dbc.mtview.ca.us>".into(),
        digest: "C4C9334BAC560ECC979E58001B3E22FB".into(),
    };
    assert!(proof.proves(&secret("tanstaaf")));
    assert!(!proof.proves(&secret("tanstaax")));
}

#[test]
fn each_mechanism_meets_its_own_other_side() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5] {
        for with_initial in [true, false] {
            let secret = secret("p\u{e4}ss word");
            let mut client = Exchange::new(mechanism, "ann@example.net", Arc::clone(&secret));
            let initial = if with_initial { client.initial_response(usize::MAX) } else { None };
            let (mut server, mut step) =
                Acceptor::begin(mechanism, initial.as_ref().map(|i| i.as_bytes()), "<1.2@ostler>");
            while let AuthStep::Challenge(challenge) = step {
                step = server.on_response(client.respond(challenge.as_bytes()).unwrap().as_bytes());
            }
            let attempt = attempt_of(step);
            assert_eq!(attempt.name, "ann@example.net");
            assert!(attempt.proof.proves(&secret));
        }
    }
}

#[test]
fn only_plain_says_everything_along_with_its_name() {
    let initial =
        |mechanism| Exchange::new(mechanism, "ann", secret("x")).initial_response(8).map(|text| text.to_string());
    assert_eq!(initial(Mechanism::Plain), Some("AGFubgB4".into()));
    assert_eq!((initial(Mechanism::Login), initial(Mechanism::CramMd5)), (None, None));
    let mut client = Exchange::new(Mechanism::Plain, "ann", secret("x"));
    assert!(client.initial_response(8).is_some() && client.respond(b"").is_err(), "it has no more to say");
    let mut client = Exchange::new(Mechanism::Plain, "ann", secret("x"));
    assert!(client.initial_response(7).is_none() && client.respond(b"").is_ok(), "it has said nothing yet");
}

#[test]
fn a_mechanism_is_known_whatever_its_letter_case() {
    assert_eq!(Mechanism::from_name("plain"), Some(Mechanism::Plain));
    assert_eq!(Mechanism::from_name("Cram-MD5"), Some(Mechanism::CramMd5));
    assert_eq!(Mechanism::from_name("CRAM"), None);
}

#[test]
fn a_server_that_never_stops_asking_is_stopped() {
    let mut client = Exchange::new(Mechanism::Login, "ann", secret("x"));
    assert!(client.respond(b"").is_ok() && client.respond(b"").is_ok());
    assert_eq!(client.respond(b"").err(), Some(ExchangeError::TooManyChallenges));
}

#[test]
fn a_name_with_a_line_end_in_it_is_no_name() {
    let (_, step) = Acceptor::begin(Mechanism::Plain, Some(BASE64.encode("\0ann\r\nDELE 1\0x").as_bytes()), "");
    assert!(matches!(step, AuthStep::Malformed));
    let (_, step) = Acceptor::begin(Mechanism::Plain, Some(BASE64.encode("\0a\u{9b}2J\0x").as_bytes()), "");
    assert!(matches!(step, AuthStep::Malformed), "C1 controls steer terminals too");
    let (_, step) = Acceptor::begin(Mechanism::Plain, Some(b"!!!"), "");
    assert!(matches!(step, AuthStep::Malformed));
}

#[test]
fn netscape_sends_no_padding_and_some_send_an_empty_password() {
    let (mut server, _) = Acceptor::begin(Mechanism::Login, Some(b"YW5u"), "");
    assert_eq!(attempt_of(server.on_response(b"")).name, "ann");
    let (mut server, _) = Acceptor::begin(Mechanism::Login, Some(b"am9l"), "");
    assert!(attempt_of(server.on_response(b"aGk")).proof.proves(&secret("hi")));
}

#[test]
fn an_echoed_proof_is_starred_as_its_secret_is() {
    let mut exchange = Exchange::new(Mechanism::CramMd5, "tim", secret("tanstaaftanstaaf"));
    let answer = exchange.respond(BASE64.encode("<1896.697170952@postoffice.reston.mci.net>").as_bytes()).unwrap();
    let redaction = Redaction::new("tim", &secret("tanstaaftanstaaf")).with_response(&answer);
    let digest = "b913a602c7eda7a495b4e6e7334d3890";
    let said = format!("no {}, {}, tim {digest}, {}", *answer, answer.trim_end_matches('='), digest.to_uppercase());
    assert_eq!(redaction.redact(&said), "no ***, ***, tim ***, ***");
    assert_eq!(redaction.redact("tim tanstaaftanstaaf"), "tim ***");
}

#[test]
fn an_echoed_secret_is_starred_in_every_form() {
    let s = secret("hunter2");
    let said = format!(
        "no hunter2, no {}, no {}, no {}",
        BASE64.encode("hunter2"),
        BASE64.encode("\0ann\0hunter2"),
        hex(b"hunter2")
    );
    assert_eq!(redact(&said, "ann", &s), "no ***, no ***, no ***, no ***");
}

#[test]
fn only_a_line_with_an_echo_in_it_is_changed() {
    let redaction = Redaction::new("ann", &secret("hunter2"));
    assert_eq!(redaction.redact_line(&Line::new(b"+OK hunter2\t8")), Some(Line::new(b"+OK *** 8")));
    assert_eq!(redaction.redact_line(&Line::new(b"+OK hunter\t2")), None);
}

#[test]
fn a_digest_given_before_the_challenge_is_not_heard() {
    let digest = BASE64.encode(format!("ann {}", cram_digest(b"x", b"<1.2@ostler>")));
    let (_, step) = Acceptor::begin(Mechanism::CramMd5, Some(digest.as_bytes()), "<1.2@ostler>");
    assert!(matches!(step, AuthStep::Challenge(challenge) if challenge == BASE64.encode("<1.2@ostler>")));
}

#[test]
fn an_echo_is_starred_whole_and_a_strange_secret_stars_nothing_else() {
    let star = |said: &str, raw: &str| redact(said, "ann", &secret(raw));
    assert_eq!(star("no hunter2, no more", " hunter2 "), "no ***, no more");
    assert_eq!(star(&BASE64.encode("\0ann\0QU"), "QU"), "***");
    assert_eq!(star("a=b", "="), "a***b");
    assert_eq!(star("** *", "*"), "****** ***");
    assert_eq!(star("p?ss", "p\u{e4}ss"), "p?ss");
    assert_eq!(star("p??ss", "p\u{e4}ss"), "***");
}

#[test]
fn in_clear_the_password_is_shown_last() {
    let all = ["PLAIN", "login", "CRAM-MD5"].map(String::from);
    assert_eq!(Mechanism::offered(&all, true).next(), Some(Mechanism::Plain));
    assert_eq!(Mechanism::offered(&all, false).next(), Some(Mechanism::CramMd5));
    assert_eq!(Mechanism::offered(&["GSSAPI".into()], true).next(), None);
}
