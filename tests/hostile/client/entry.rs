//! Clients that do not know the local password, or try to get round it (`access = "password"`): nothing reaches a provider
//! before it was right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use ostler_mail::sasl::{Exchange, Mechanism};
use ostler_mail::secret::Secret;
use ostler_mail::wire::hex;

use super::super::honest::{ANN, BOB, plain};
use super::Speaks::{Pop3, Smtp};
use super::{Case, Talk, play};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Tries three times, each in one line; the third ends the connection, and each answer takes longer than the last.
fn three(talk: &mut Talk<'_>, tries: [&str; 3]) {
    let refusal = if talk.door == Pop3 { "-ERR [AUTH] " } else { "535 5.7.8 " };
    let mut last = Duration::ZERO;
    for (number, line) in tries.iter().enumerate() {
        let asked = Instant::now();
        talk.send(format!("{line}\r\n"));
        if number < 2 {
            talk.hear(refusal);
        } else {
            talk.ended("wrong local password three times");
        }
        assert!(asked.elapsed() > last, "{:?} after {last:?}", asked.elapsed());
        last = asked.elapsed();
    }
    talk.nobody_asked();
}

/// The same for USER and PASS.
pub(super) fn three_pass(talk: &mut Talk<'_>, words: [&str; 3]) {
    let user = format!("USER {}", talk.name);
    for (number, word) in words.iter().enumerate() {
        talk.ask(&user, "+OK");
        talk.send(format!("PASS {word}\r\n"));
        if number < 2 {
            talk.hear("-ERR [AUTH] ");
        } else {
            talk.ended("wrong local password three times");
        }
    }
    talk.nobody_asked();
}

/// The right password at one door is none at the other.
pub(super) fn pop_login_opens_no_smtp(talk: &mut Talk<'_>) {
    talk.anew(Pop3);
    talk.signed_in();
    talk.ask("QUIT", "+OK");
    talk.anew(Smtp);
    let from = format!("MAIL FROM:<{}@example.org>", talk.name);
    talk.ask(&from, "530 5.7.0 ");
    assert_eq!(talk.smtp.told().came, 0);
}

/// The right password, and a sender of another account's: whoever signed in decides whose provider it goes through.
pub(super) fn sends_as(talk: &mut Talk<'_>, sender: &str) {
    let proof = plain(&talk.name, talk.local);
    talk.ask(&format!("AUTH PLAIN {proof}"), "235");
    talk.ask(&format!("MAIL FROM:<{sender}>"), "250");
    assert_eq!(talk.smtp.told().came, 1);
}

pub(super) fn three_plain(talk: &mut Talk<'_>, name: &str, words: [&str; 3]) {
    let tries = words.map(|word| format!("AUTH PLAIN {}", plain(name, word)));
    three(talk, [&tries[0], &tries[1], &tries[2]]);
}

/// The answer to a challenge, for this password.
pub(super) fn cram(name: &str, password: &str, challenge: &str) -> String {
    let secret = Arc::new(Secret::new(password.to_owned()).unwrap());
    Exchange::new(Mechanism::CramMd5, name, secret).respond(challenge.as_bytes()).unwrap().to_string()
}

pub(super) fn apop(name: &str, password: &str, greeting: &str) -> String {
    let stamp = &greeting[greeting.find('<').expect("a stamp")..=greeting.find('>').unwrap()];
    format!("APOP {name} {}", hex(&Md5::digest(format!("{stamp}{password}"))))
}

#[test]
fn without_the_local_password() {
    let cases: &[Case] = &[
        ("wrong-local-password-pop", Pop3, |t| three_pass(t, ["wrong", "guess", "123456"])),
        ("empty-local-password", Pop3, |t| three_pass(t, ["", " ", "\t"])),
        ("providers-password-is-not-the-local-one", Pop3, |t| {
            let (secret, long) = (t.secret.to_owned(), format!("{}x", t.local));
            three_pass(t, [&secret, &long, &secret]);
        }),
        ("local-password-nearly-right", Pop3, |t| {
            let (short, blank, big) = (t.local[1..].to_owned(), format!("{} ", t.local), t.local.to_uppercase());
            three_pass(t, [&short, &blank, &big]);
        }),
        ("brute-force-pop", Pop3, |t| {
            let name = t.name.clone();
            // All in one go: each is answered in its turn all the same, and the third is the last.
            let asked = Instant::now();
            t.send((0..50).map(|n| format!("USER {name}\r\nPASS guess{n}\r\n")).collect::<String>());
            for _ in 0..2 {
                t.hear("+OK");
                t.hear("-ERR [AUTH] ");
            }
            t.hear("+OK");
            t.ended("wrong local password three times");
            assert!(asked.elapsed() >= Duration::from_secs(3), "no delay");
            t.nobody_asked();
        }),
        ("wrong-apop", Pop3, |t| {
            let tries = [0, 1, 2].map(|digit| format!("APOP {} {}", t.name, digit.to_string().repeat(32)));
            three(t, [&tries[0], &tries[1], &tries[2]]);
        }),
        ("apop-of-another-greeting", Pop3, |t| {
            let old = t.anew(Pop3);
            let replayed = apop(&t.name, t.local, &old);
            t.anew(Pop3);
            t.ask(&replayed, "-ERR [AUTH] ");
            t.nobody_asked();
        }),
        ("wrong-auth-plain-pop", Pop3, |t| {
            let name = t.name.clone();
            three_plain(t, &name, ["wrong", "", "guess"]);
        }),
        ("commands-before-local-password", Pop3, |t| {
            let user = format!("USER {}", t.name);
            t.ask(&user, "+OK");
            for line in ["STAT", "RETR 1", "DELE 1", "LIST"] {
                t.ask(line, "-ERR");
            }
            t.ask("QUIT", "+OK");
            t.nobody_asked();
        }),
        ("http-before-local-password-pop", Pop3, |t| {
            t.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
            t.ended("it speaks HTTP");
            t.nobody_asked();
        }),
        ("wrong-local-password-smtp", Smtp, |t| {
            let name = t.name.clone();
            t.ask("EHLO x", "250");
            three_plain(t, &name, ["wrong", "guess", ""]);
        }),
        ("providers-password-smtp", Smtp, |t| {
            let (name, secret) = (t.name.clone(), t.secret.to_owned());
            three_plain(t, &name, [&secret, &secret, &secret]);
        }),
        ("unknown-name-smtp", Smtp, |t| {
            let local = t.local.to_owned();
            three_plain(t, "nobody", [&local, "x", &local]);
        }),
        ("name-in-the-wrong-place", Smtp, |t| {
            // The right name as authorisation identity, another one as the one that signs in.
            let message = BASE64.encode(format!("{}\0nobody\0{}", t.name, t.local));
            t.ask(&format!("AUTH PLAIN {message}"), "535");
            t.nobody_asked();
        }),
        ("wrong-auth-login", Smtp, |t| {
            for word in ["wrong", ""] {
                let name = BASE64.encode(&t.name);
                t.ask("AUTH LOGIN", "334");
                t.ask(&name, "334");
                t.ask(&BASE64.encode(word), "535");
            }
            t.nobody_asked();
        }),
        ("wrong-cram-md5", Smtp, |t| {
            let challenge = t.ask("AUTH CRAM-MD5", "334 ");
            let answer = cram(&t.name, "wrong", challenge[4..].trim());
            t.ask(&answer, "535");
            t.ask("AUTH CRAM-MD5", "334 ");
            let answer = BASE64.encode(format!("{} {}", t.name, "0".repeat(32)));
            t.ask(&answer, "535");
            t.nobody_asked();
        }),
        ("cram-md5-of-another-challenge", Smtp, |t| {
            let challenge = t.ask("AUTH CRAM-MD5", "334 ");
            let answer = cram(&t.name, t.local, challenge[4..].trim());
            t.anew(Smtp);
            t.ask("AUTH CRAM-MD5", "334 ");
            t.ask(&answer, "535");
            t.nobody_asked();
        }),
        ("no-local-auth-smtp", Smtp, |t| {
            t.ask("EHLO x", "250");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "530 5.7.0 ");
            t.ask(&format!("RCPT TO:<{BOB}>"), "503");
            t.ask("DATA", "503");
            t.ask("MAIL FROM:<>", "530 5.7.0 ");
            t.nobody_asked();
        }),
        ("auth-broken-off-is-none", Smtp, |t| {
            let name = BASE64.encode(&t.name);
            t.ask("AUTH LOGIN", "334");
            t.ask(&name, "334");
            t.ask("*", "501");
            t.ask(&format!("MAIL FROM:<{ANN}>"), "530 5.7.0 ");
            t.nobody_asked();
        }),
        ("auth-refused-is-none", Smtp, |t| {
            let proof = plain(&t.name, "wrong");
            t.ask(&format!("AUTH PLAIN {proof}"), "535");
            t.ask(&format!("MAIL FROM:<{ANN}>"), "530 5.7.0 ");
            t.nobody_asked();
        }),
        ("auth-abuse", Smtp, |t| {
            // All in one go.
            let name = t.name.clone();
            t.send(
                (0..20).map(|n| format!("AUTH PLAIN {}\r\n", plain(&name, &format!("guess{n}")))).collect::<String>(),
            );
            t.hear("535");
            t.hear("535");
            t.ended("wrong local password three times");
            t.nobody_asked();
        }),
        ("pop-login-does-not-open-smtp", Smtp, pop_login_opens_no_smtp),
        ("sender-of-another-account", Smtp, |t| sends_as(t, "wrong-local-password-pop@example.org")),
        ("sign-in-after-two-wrong-ones", Smtp, |t| {
            let (wrong, right) = (plain(&t.name, "wrong"), plain(&t.name, t.local));
            t.ask(&format!("AUTH PLAIN {wrong}"), "535");
            t.ask(&format!("AUTH PLAIN {wrong}"), "535");
            t.ask(&format!("AUTH PLAIN {right}"), "235");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "250");
            t.deliver();
        }),
        ("right-apop-and-cram", Pop3, |t| {
            let greeting = t.anew(Pop3);
            let right = apop(&t.name, t.local, &greeting);
            t.ask(&right, "+OK");
            t.ask("QUIT", "+OK committed");
            t.anew(Smtp);
            let challenge = t.ask("AUTH CRAM-MD5", "334 ");
            let answer = cram(&t.name, t.local, challenge[4..].trim());
            t.ask(&answer, "235");
        }),
    ];
    play("password", cases);
}
