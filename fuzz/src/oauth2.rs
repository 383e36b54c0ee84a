//! OAuth2: what an issuer answers, what a browser brings, what a mail server says of a token.

use std::sync::Arc;

use ostler_mail::account::Trust;
use ostler_mail::account::issuer::{HttpsUrl, Issuer, Redirect, Scopes};
use ostler_mail::account::testing::account;
use ostler_mail::clock::UnixTime;
use ostler_mail::oauth2::answer::{Answer, read};
use ostler_mail::oauth2::authorize::{Authorization, Heard, RANDOM_OCTETS};
use ostler_mail::oauth2::device::{Polled, read_code};
use ostler_mail::oauth2::tokens::{Binding, Tokens};
use ostler_mail::sasl::{Exchange, Mechanism, reason_of};
use ostler_mail::secret::Secret;

use super::{octets, parts};

fn issuer() -> Issuer {
    let url = |text| HttpsUrl::parse(text).expect("an address");
    Issuer {
        name: "fuzz".into(),
        title: "Fuzz".into(),
        authorize: Some(url("https://login.example/authorize")),
        token: url("https://login.example/token"),
        device: Some(url("https://login.example/device")),
        revoke: None,
        scopes: Scopes::Fixed(vec!["mail".into()]),
        redirect: Redirect::Loopback,
        parameters: Vec::new(),
        iss: Some("https://login.example".into()),
        client_id: Some("id".into()),
        client_secret: None,
        trust: Trust::default(),
    }
}

/// A status and a body of the token endpoint, also as the answer to a question for a code, and as what the keyring has: words
/// for people are clean and short, tokens hold no line ends, only a refusal below 500 is one, and what is stored is read again.
pub fn token_answer(data: &[u8]) {
    let [status, body] = parts(data);
    let [high, low] = octets(status);
    let status = 100 + (u16::from(high) * 256 + u16::from(low)) % 500;
    let is_shown_well = |words: &str| words.chars().count() < 1000 && !words.contains(char::is_control);
    match read(status, body) {
        Answer::Granted(grant) => {
            assert_eq!(status, 200, "granted with another status");
            let binding = Binding::of(&account("a", "a@example.net", "a"), &issuer());
            let tokens = Tokens::new(grant, binding, UnixTime::at(1_000_000));
            let again = Tokens::from_bytes(&tokens.to_bytes()).expect("what is stored is read again");
            assert!(again.access().is(tokens.access().expose()) && again.has_refresh_of(&tokens));
            assert_eq!((again.expires(), again.who(), again.scope()), (tokens.expires(), tokens.who(), tokens.scope()));
            assert!(!tokens.access().expose().iter().any(u8::is_ascii_control), "a token with a line end");
        }
        Answer::Refused(refusal) => {
            assert!(status < 500 && status != 429, "trouble taken for a refusal");
            assert!(is_shown_well(&refusal.words()), "{refusal:?}");
        }
        Answer::Trouble(words) => assert!(is_shown_well(&words), "{words:?}"),
    }
    if let Ok(mut code) = read_code(status, body) {
        assert!(is_shown_well(&code.user_code) && code.page.as_str().to_ascii_lowercase().starts_with("https://"));
        let before = code.interval;
        if let Polled::Pending = code.read(status, body) {
            assert!(code.interval >= before, "faster than the issuer allows");
        }
    }
    let _ = Tokens::from_bytes(body);
}

/// The first line of a request to the port of a sign-in: a code is heard only with the state of this sign-in, and is clean.
pub fn loopback_request(data: &[u8]) {
    let sign_in = Authorization::new(&issuer(), 4711, &[7; RANDOM_OCTETS]).expect("a sign-in");
    let state = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    // Where the fuzzer writes `@`, the state stands.
    let line: Vec<u8> =
        data.iter().flat_map(|b| if *b == b'@' { state.as_bytes().to_vec() } else { vec![*b] }).collect();
    match sign_in.hear(&line) {
        Heard::Code(code) => {
            assert!(
                data.contains(&b'@') || data.windows(state.len()).any(|w| w == state.as_bytes()),
                "without the state"
            );
            assert!(!code.expose().iter().any(u8::is_ascii_control), "a code with a line end");
        }
        Heard::Refused(refusal) => assert!(!refusal.words().contains(char::is_control), "{refusal:?}"),
        Heard::Foreign | Heard::Other => {}
    }
}

/// A mechanism, a token, and challenges: the first is answered with the token, the second with the empty answer, a third never;
/// the reason of a refusal is clean and short.
pub fn token_challenge(data: &[u8]) {
    let [choice, token, challenge] = parts(data);
    let mechanism =
        [Mechanism::XOAuth2, Mechanism::OAuthBearer][usize::from(choice.first().is_some_and(|b| b & 1 == 1))];
    let reason = reason_of(challenge);
    assert!(reason.len() < 250 && reason.bytes().all(|b| (b' '..=b'~').contains(&b)), "{reason:?}");
    let Ok(secret) = Secret::from_bytes(token.to_vec().into()) else { return };
    let mut exchange = Exchange::new(mechanism, "ann@example.net", Arc::new(secret)).at("mail.example.net", 995);
    let Ok(first) = exchange.respond(challenge) else { panic!("the token is always given") };
    assert!(first.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')));
    let Ok(second) = exchange.respond(challenge) else { panic!("a refusal is always answered") };
    assert!(matches!(second.as_str(), "" | "AQ=="));
    assert!(exchange.respond(challenge).is_err(), "no end of challenges");
}
