//! Clients at doors that lead to one account only (`doors = { pop3 = .. }`), under `access = "password"`: such a door says
//! whose mail it is about, and takes no password for that.

use super::super::honest::{BOB, plain};
use super::Speaks::{Pop3, Smtp};
use super::entry::{apop, cram, pop_login_opens_no_smtp, sends_as, three_pass, three_plain};
use super::{Case, Talk, play_at};

/// At the neighbour's door, greeted.
fn next_door(talk: &mut Talk<'_>) {
    let own = std::mem::replace(&mut talk.doors, talk.neighbour.doors);
    talk.anew(talk.door);
    talk.doors = own;
}

#[test]
fn without_the_local_password_of_its_account() {
    let cases: &[Case] = &[
        ("own-door-wrong-password-pop", Pop3, |t| three_pass(t, ["wrong", "guess", "123456"])),
        ("own-door-empty-password-pop", Pop3, |t| three_pass(t, ["", " ", "\t"])),
        ("own-door-providers-password-pop", Pop3, |t| {
            let secret = t.secret.to_owned();
            three_pass(t, [&secret, &secret, &secret]);
        }),
        ("own-door-neighbours-password-pop", Pop3, |t| {
            let theirs = t.neighbour.local.clone();
            three_pass(t, [&theirs, &theirs, &theirs]);
        }),
        ("own-door-neighbours-name-and-password-pop", Pop3, |t| {
            let user = format!("USER {}", t.neighbour.name);
            let pass = format!("PASS {}", t.neighbour.local);
            for _ in 0..2 {
                t.ask(&user, "+OK");
                t.ask(&pass, "-ERR [AUTH] ");
            }
            t.nobody_asked();
        }),
        ("own-door-neighbours-apop", Pop3, |t| {
            for name in [t.name.clone(), t.neighbour.name.to_owned()] {
                let greeting = t.anew(Pop3);
                let theirs = apop(&name, &t.neighbour.local, &greeting);
                t.ask(&theirs, "-ERR [AUTH] ");
            }
            t.nobody_asked();
        }),
        ("own-door-neighbours-auth-plain-pop", Pop3, |t| {
            for name in [t.name.clone(), t.neighbour.name.to_owned()] {
                let theirs = plain(&name, &t.neighbour.local);
                t.ask(&format!("AUTH PLAIN {theirs}"), "-ERR [AUTH] ");
            }
            t.nobody_asked();
        }),
        ("password-at-the-neighbours-door-pop", Pop3, |t| {
            next_door(t);
            let (user, pass) = (format!("USER {}", t.name), format!("PASS {}", t.local));
            t.ask(&user, "+OK");
            t.ask(&pass, "-ERR [AUTH] ");
            let plain = plain(&t.name, t.local);
            t.ask(&format!("AUTH PLAIN {plain}"), "-ERR [AUTH] ");
            t.nobody_asked();
        }),
        ("own-door-commands-before-password", Pop3, |t| {
            for line in ["STAT", "LIST", "RETR 1", "DELE 1", "TOP 1 0", "UIDL", "PASS x"] {
                t.ask(line, "-ERR");
            }
            t.ask("QUIT", "+OK");
            t.nobody_asked();
        }),
        ("own-door-commands-between-user-and-pass", Pop3, |t| {
            let user = format!("USER {}", t.name);
            t.ask(&user, "+OK");
            for line in ["STAT", "RETR 1", "DELE 1"] {
                t.ask(line, "-ERR");
            }
            t.nobody_asked();
        }),
        ("own-door-http-pop", Pop3, |t| {
            t.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nSTAT\r\n");
            t.ended("it speaks HTTP");
            t.nobody_asked();
        }),
        ("own-door-mail-without-auth", Smtp, |t| {
            t.ask("EHLO x", "250");
            // The sender is the account's own, and the door leads nowhere else.
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "530 5.7.0 ");
            t.ask("MAIL FROM:<>", "530 5.7.0 ");
            t.ask(&format!("RCPT TO:<{BOB}>"), "503");
            t.ask("DATA", "503");
            t.nobody_asked();
        }),
        ("own-door-wrong-password-smtp", Smtp, |t| {
            let name = t.name.clone();
            t.ask("EHLO x", "250");
            three_plain(t, &name, ["wrong", "guess", ""]);
        }),
        ("own-door-neighbours-password-smtp", Smtp, |t| {
            let (name, theirs) = (t.name.clone(), t.neighbour.local.clone());
            three_plain(t, &name, [&theirs, &theirs, &theirs]);
        }),
        ("own-door-neighbours-name-and-password-smtp", Smtp, |t| {
            let (name, theirs) = (t.neighbour.name, t.neighbour.local.clone());
            three_plain(t, name, [&theirs, &theirs, &theirs]);
        }),
        ("own-door-neighbours-cram-md5", Smtp, |t| {
            for name in [t.name.clone(), t.neighbour.name.to_owned()] {
                let challenge = t.ask("AUTH CRAM-MD5", "334 ");
                let theirs = cram(&name, &t.neighbour.local, challenge[4..].trim());
                t.ask(&theirs, "535");
            }
            t.nobody_asked();
        }),
        ("password-at-the-neighbours-door-smtp", Smtp, |t| {
            next_door(t);
            let proof = plain(&t.name, t.local);
            t.ask(&format!("AUTH PLAIN {proof}"), "535");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "530 5.7.0 ");
            t.nobody_asked();
        }),
        ("own-door-auth-refused-is-none", Smtp, |t| {
            let proof = plain(&t.name, "wrong");
            t.ask(&format!("AUTH PLAIN {proof}"), "535");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "530 5.7.0 ");
            t.nobody_asked();
        }),
        ("own-door-pop-login-does-not-open-smtp", Smtp, pop_login_opens_no_smtp),
        ("own-door-sender-of-the-neighbour", Smtp, |t| sends_as(t, "neighbour@example.com")),
    ];
    play_at("password", true, cases);
}
