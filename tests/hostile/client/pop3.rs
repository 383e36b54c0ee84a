//! Clients at the door for fetching.

use super::super::honest::MESSAGE;
use super::Speaks::Pop3;
use super::smtp::{HELLO, HELLO_2};
use super::{Case, Talk, play};

/// A browser whose body is a dialogue.
fn browser(talk: &mut Talk<'_>, line: &str) {
    let name = talk.name.clone();
    talk.send(format!(
        "{line}\r\nHost: 127.0.0.1:2110\r\nContent-Length: 90\r\n\r\nUSER {name}\r\nPASS x\r\nDELE 1\r\nQUIT\r\n"
    ));
    talk.ended("it speaks HTTP");
    talk.nobody_asked();
}

/// A line in the middle of a session that ends it; nothing of it, nor of what follows, reaches the provider.
fn ends_the_session(talk: &mut Talk<'_>, said: &[u8], words: &'static str) {
    talk.signed_in();
    talk.ask("STAT", "+OK 1 30");
    talk.send([said, b"\r\nDELE 1\r\nQUIT\r\n"].concat());
    talk.ended(words);
    talk.leave();
    let told = talk.pop3.take();
    assert!(!told.has("DELE") && !told.has("QUIT") && !told.has("GET") && !told.has("NOOP"), "{told:?}");
}

#[test]
fn not_of_this_protocol() {
    let cases: &[Case] = &[
        ("http-get-pop", Pop3, |t| browser(t, "GET / HTTP/1.1")),
        ("http-post-pop", Pop3, |t| browser(t, "POST /x HTTP/1.1")),
        ("http-head-pop", Pop3, |t| browser(t, "HEAD / HTTP/1.1")),
        ("http-delete-pop", Pop3, |t| browser(t, "DELETE /1 HTTP/1.1")),
        ("http-unknown-verb-pop", Pop3, |t| browser(t, "BREW / HTTP/1.1")),
        ("http-2-preface-pop", Pop3, |t| browser(t, "PRI * HTTP/2.0")),
        ("http-header-first-pop", Pop3, |t| browser(t, "Host: 127.0.0.1")),
        ("http-url-of-64k-pop", Pop3, |t| {
            t.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(65_536)));
            t.ended("it speaks HTTP");
        }),
        ("http-after-user-pop", Pop3, |t| {
            let user = format!("USER {}", t.name);
            t.ask(&user, "+OK");
            t.send("POST / HTTP/1.1\r\n\r\nPASS x\r\nDELE 1\r\nQUIT\r\n");
            t.ended("it speaks HTTP");
            assert!(!t.pop3.told().has("PASS"));
        }),
        ("http-after-login-pop", Pop3, |t| ends_the_session(t, b"GET / HTTP/1.1", "it speaks HTTP")),
        ("http-header-after-login-pop", Pop3, |t| ends_the_session(t, b"X-Evil: 1", "it speaks HTTP")),
        ("http-url-of-64k-after-login-pop", Pop3, |t| {
            let line = format!("GET /{} HTTP/1.1", "x".repeat(65_536));
            ends_the_session(t, line.as_bytes(), "it speaks HTTP");
        }),
        ("tls-hello-pop", Pop3, |t| {
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-ssl-2-pop", Pop3, |t| {
            t.send(HELLO_2);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-stls-pop", Pop3, |t| {
            t.ask("STLS", "-ERR");
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-login-pop", Pop3, |t| {
            t.signed_in();
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-ssl-2-after-login-pop", Pop3, |t| {
            t.signed_in();
            t.send(HELLO_2);
            t.ended("it speaks TLS");
        }),
        ("smtp-commands-on-pop", Pop3, |t| {
            t.ask("EHLO x", "-ERR");
            t.ask("MAIL FROM:<ann@example.org>", "-ERR");
            t.ask("QUIT", "+OK");
            t.nobody_asked();
        }),
        ("imap-commands-on-pop", Pop3, |t| {
            t.ask("a1 CAPABILITY", "-ERR");
            t.ask("QUIT", "+OK");
        }),
        ("telnet-options-pop", Pop3, |t| {
            t.send(b"\xff\xfb\x01\xff\xfd\x03\r\n");
            t.hear("-ERR");
        }),
    ];
    play("same-user", cases);
}

#[test]
fn before_and_at_the_sign_in() {
    let cases: &[Case] = &[
        ("commands-before-login", Pop3, |t| {
            for line in ["STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "LAST"] {
                t.ask(line, "-ERR");
            }
            t.ask("QUIT", "+OK");
            t.nobody_asked();
        }),
        ("commands-between-user-and-pass", Pop3, |t| {
            let user = format!("USER {}", t.name);
            t.ask(&user, "+OK");
            t.ask("DELE 1", "-ERR");
            t.ask("RETR 1", "-ERR");
            t.ask("QUIT", "+OK");
            t.leave();
            let told = t.pop3.take();
            assert!(!told.has("DELE") && !told.has("RETR") && !told.has("QUIT") && !told.has("PASS"), "{told:?}");
        }),
        ("unknown-name", Pop3, |t| {
            let refusal = t.ask("USER joe", "-ERR [AUTH] ostler has no account \"joe\"");
            assert!(refusal.contains("it has: "), "{refusal}");
            t.ask("PASS x", "-ERR");
            t.nobody_asked();
        }),
        ("unknown-name-of-4k", Pop3, |t| {
            t.ask(&format!("USER {}", "x".repeat(4000)), "-ERR [AUTH] ");
            t.nobody_asked();
        }),
        ("unknown-name-with-escapes", Pop3, |t| {
            t.send(b"USER \x1b[2J\xff\r\n");
            t.hear("-ERR");
            t.send(b"USER \xe4\xf6\r\n");
            t.hear("-ERR [AUTH] ");
        }),
        ("pass-before-user", Pop3, |t| {
            t.ask("PASS x", "-ERR");
            t.ask("USER", "-ERR");
            t.ask("PASS x", "-ERR");
            t.nobody_asked();
        }),
        ("crlf-in-sasl-user-pop", Pop3, |t| {
            // "\0ann\r\nDELE 1\0x"
            t.ask("AUTH PLAIN AGFubg0KREVMRSAxAHg=", "-ERR");
            t.ask("AUTH LOGIN", "+ ");
            t.ask("YW5uDQpERUxFIDE=", "-ERR");
            t.ask("AUTH LOGIN", "+ ");
            t.ask("*", "-ERR");
            t.nobody_asked();
        }),
        ("sasl-not-base64-pop", Pop3, |t| {
            t.ask("AUTH PLAIN", "+ ");
            t.ask("!!!", "-ERR");
            t.ask("AUTH NTLM", "-ERR");
            t.ask("AUTH", "-ERR");
            t.nobody_asked();
        }),
        ("junk-commands-pop", Pop3, |t| {
            for _ in 0..5 {
                t.ask("XYZZY", "-ERR");
            }
            t.send("XYZZY\r\n");
            t.ended("too many commands");
        }),
        ("commands-without-end-pop", Pop3, |t| {
            for _ in 0..20 {
                t.ask("NOOP", "+OK");
            }
            t.send("NOOP\r\n");
            t.ended("too many commands");
        }),
        ("nul-in-command-pop", Pop3, |t| {
            t.send(b"USER a\0b\r\n");
            t.ended("NUL");
            t.nobody_asked();
        }),
        ("bare-cr-in-command-pop", Pop3, |t| {
            t.send(b"USER a\rPASS b\r\n");
            t.ended("lone CR");
            t.nobody_asked();
        }),
        ("line-64k-no-end-pop", Pop3, |t| {
            t.send("x".repeat(65_536));
            t.ended("longer than");
        }),
        ("pipelined-all-pop", Pop3, |t| {
            let name = t.name.clone();
            t.send(format!("USER {name}\r\nPASS x\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\nDELE 2\r\nQUIT\r\n"));
            for start in ["+OK", "+OK", "+OK 1 30"] {
                t.hear(start);
            }
            assert_eq!(t.client().expect_body(), MESSAGE);
            t.hear("+OK deleted");
            t.hear("+OK committed");
            t.closed("");
            t.commits = 1;
        }),
        ("fin-after-user", Pop3, |t| {
            let user = format!("USER {}", t.name);
            t.ask(&user, "+OK");
            t.client().half_close();
            t.closed("");
            t.leave();
            assert!(!t.pop3.take().has("PASS"));
        }),
        ("rst-after-pass", Pop3, |t| {
            let name = t.name.clone();
            t.send(format!("USER {name}\r\nPASS x\r\nDELE 1\r\n"));
            t.reset();
        }),
    ];
    play("same-user", cases);
}

#[test]
fn in_the_session() {
    let cases: &[Case] = &[
        ("nul-after-login", Pop3, |t| ends_the_session(t, b"NOOP a\0b", "NUL")),
        ("bare-cr-after-login", Pop3, |t| ends_the_session(t, b"NOOP\rDELE 1", "lone CR")),
        ("line-4k-after-login", Pop3, |t| ends_the_session(t, &[b'x'; 5000], "longer than")),
        ("line-64k-after-login", Pop3, |t| ends_the_session(t, &[b'x'; 65_536], "longer than")),
        ("sign-in-again", Pop3, |t| {
            t.signed_in();
            for line in ["USER eve", "PASS secret", "APOP eve 00", "AUTH PLAIN", "STLS", "XTND XMIT"] {
                t.ask(line, "-ERR");
            }
            t.ask("QUIT", "+OK committed");
            t.leave();
            let told = t.pop3.take();
            assert!(told.count("USER") == 1 && told.count("PASS") == 1 && told.count("AUTH") == 0, "{told:?}");
        }),
        ("drop-after-dele", Pop3, |t| {
            t.signed_in();
            t.ask("DELE 1", "+OK");
            t.leave();
        }),
        ("reset-after-dele", Pop3, |t| {
            t.signed_in();
            t.ask("DELE 1", "+OK");
            t.reset();
        }),
        ("half-close-after-dele", Pop3, |t| {
            t.signed_in();
            t.ask("DELE 1", "+OK");
            t.client().half_close();
            t.closed("");
        }),
        ("drop-after-dele-unheard", Pop3, |t| {
            t.signed_in();
            t.send("DELE 1\r\n");
            t.leave();
        }),
        ("quit-cut-off-is-quit", Pop3, |t| {
            t.signed_in();
            t.ask("DELE 1", "+OK");
            t.send("QUIT");
            t.client().half_close();
            t.closed("+OK committed");
            t.commits = 1;
        }),
        ("quit-half-said-is-none", Pop3, |t| {
            t.signed_in();
            t.ask("DELE 1", "+OK");
            t.send("QUI");
            t.client().half_close();
            t.closed("");
        }),
        ("half-close-after-quit", Pop3, |t| {
            t.signed_in();
            t.send("STAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
            t.client().half_close();
            t.hear("+OK 1 30");
            assert_eq!(t.client().expect_body(), MESSAGE);
            t.hear("+OK deleted");
            t.hear("+OK committed");
            t.closed("");
            t.commits = 1;
        }),
        ("commands-by-the-thousand", Pop3, |t| {
            t.signed_in();
            t.send("NOOP\r\n".repeat(3000));
            (0..3000).for_each(|_| drop(t.hear("+OK")));
            t.ask("QUIT", "+OK committed");
        }),
        ("messages-by-the-hundred", Pop3, |t| {
            t.signed_in();
            t.send("RETR 1\r\n".repeat(300));
            (0..300).for_each(|_| assert_eq!(t.client().expect_body(), MESSAGE));
            t.ask("QUIT", "+OK committed");
        }),
        ("rst-while-much-is-owed", Pop3, |t| {
            t.signed_in();
            t.send("RETR 1\r\n".repeat(300));
            t.reset();
        }),
        ("8-bit-after-login", Pop3, |t| {
            t.signed_in();
            t.send(b"\xe4\xf6\xfc\r\n");
            t.hear("+OK");
            t.ask("QUIT", "+OK committed");
        }),
        ("bare-lf-session-pop", Pop3, |t| {
            let name = t.name.clone();
            t.send(format!("USER {name}\nPASS x\nSTAT\nQUIT\n"));
            for start in ["+OK", "+OK", "+OK 1 30", "+OK committed"] {
                t.hear(start);
            }
        }),
    ];
    play("same-user", cases);
}
