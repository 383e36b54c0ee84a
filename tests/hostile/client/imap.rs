//! Clients at the door for reading.

use std::time::{Duration, Instant};

use super::super::honest::plain;
use super::Speaks::Imap;
use super::smtp::{HELLO, HELLO_2};
use super::{Case, Talk, play};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A browser whose body is a dialogue.
fn browser(talk: &mut Talk<'_>, line: &str) {
    let name = talk.name.clone();
    talk.send(format!(
        "{line}\r\nHost: 127.0.0.1:2143\r\nContent-Length: 90\r\n\r\n1 LOGIN {name} x\r\n2 STORE 1 +FLAGS (\\Deleted)\r\n3 EXPUNGE\r\n"
    ));
    talk.ended("it speaks HTTP");
    talk.nobody_asked();
}

/// A line in the middle of a session that ends it; nothing of it, nor of what follows, reaches the provider.
fn ends_the_session(talk: &mut Talk<'_>, said: &[u8], words: &'static str) {
    talk.signed_in_by_imap();
    talk.ask("2 NOOP", "2 OK");
    talk.send([said, b"\r\n3 STORE 1 +FLAGS (\\Deleted)\r\n4 EXPUNGE\r\n"].concat());
    talk.ended(words);
    talk.leave();
    let told = talk.imap.take();
    assert!(!told.has("3 ") && !told.has("4 ") && !told.has("GET"), "{told:?}");
}

/// What the provider has heard since the sign-in.
fn heard_by_the_provider(talk: &mut Talk<'_>) -> Vec<String> {
    talk.leave();
    let told = talk.imap.take();
    told.commands.iter().skip(1).map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

#[test]
fn not_of_this_protocol() {
    let cases: &[Case] = &[
        ("http-get-imap", Imap, |t| browser(t, "GET / HTTP/1.1")),
        ("http-post-imap", Imap, |t| browser(t, "POST /x HTTP/1.1")),
        ("http-delete-imap", Imap, |t| browser(t, "DELETE /1 HTTP/1.1")),
        ("http-2-preface-imap", Imap, |t| browser(t, "PRI * HTTP/2.0")),
        ("http-header-first-imap", Imap, |t| browser(t, "Host: 127.0.0.1")),
        ("http-url-of-64k-imap", Imap, |t| {
            t.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(65_536)));
            t.ended("it speaks HTTP");
        }),
        ("http-after-login-imap", Imap, |t| ends_the_session(t, b"GET / HTTP/1.1", "it speaks HTTP")),
        ("http-header-after-login-imap", Imap, |t| ends_the_session(t, b"X-Evil: 1", "it speaks HTTP")),
        ("http-url-of-64k-after-login-imap", Imap, |t| {
            let line = format!("GET /{} HTTP/1.1", "x".repeat(65_536));
            ends_the_session(t, line.as_bytes(), "it speaks HTTP");
        }),
        ("tls-hello-imap", Imap, |t| {
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-ssl-2-imap", Imap, |t| {
            t.send(HELLO_2);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-starttls-imap", Imap, |t| {
            t.ask("1 STARTTLS", "1 BAD this door is plain");
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-login-imap", Imap, |t| {
            t.signed_in_by_imap();
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("smtp-commands-on-imap", Imap, |t| {
            t.ask("EHLO x", "* BAD this is the IMAP port of ostler");
            t.ask("1 LOGOUT", "* BYE");
            t.hear("1 OK");
            t.nobody_asked();
        }),
        ("pop-commands-on-imap", Imap, |t| {
            t.ask("USER ann", "* BAD this is the IMAP port of ostler");
            t.ask("CAPA", "* BAD this is the IMAP port of ostler");
            t.nobody_asked();
        }),
        ("telnet-options-imap", Imap, |t| {
            t.send(b"\xff\xfb\x01\xff\xfd\x03\r\n");
            t.hear("* BAD");
        }),
    ];
    play("same-user", cases);
}

#[test]
fn before_and_at_the_sign_in() {
    let cases: &[Case] = &[
        ("imap-commands-before-login", Imap, |t| {
            for line in [
                "SELECT INBOX",
                "FETCH 1 BODY[]",
                "STORE 1 +FLAGS (\\Deleted)",
                "EXPUNGE",
                "UID FETCH 1:* FLAGS",
                "IDLE",
            ] {
                t.ask(&format!("1 {line}"), "1 BAD sign in first");
            }
            t.nobody_asked();
        }),
        ("imap-unknown-name", Imap, |t| {
            let alert = t.ask("1 LOGIN joe x", "* OK [ALERT] ostler: ostler has no account \"joe\"");
            assert!(alert.contains("it has: "), "{alert}");
            t.hear("1 NO [AUTHENTICATIONFAILED]");
            t.nobody_asked();
        }),
        ("imap-unknown-name-of-4k", Imap, |t| {
            t.ask(&format!("1 LOGIN {} x", "x".repeat(4000)), "* OK [ALERT]");
            t.hear("1 NO");
            t.nobody_asked();
        }),
        ("imap-name-with-escapes", Imap, |t| {
            t.send(b"1 LOGIN \x1b[2J x\r\n");
            t.hear("1 BAD");
            t.send(b"1 LOGIN {3}\r\n");
            t.hear("+ ");
            t.send(b"a\x07b x\r\n");
            t.hear("1 BAD");
            t.nobody_asked();
        }),
        ("imap-crlf-in-sasl-user", Imap, |t| {
            // "\0ann\r\n2 EXPUNGE\0x"
            t.ask(&format!("1 AUTHENTICATE PLAIN {}", BASE64.encode(b"\0ann\r\n2 EXPUNGE\0x")), "1 BAD");
            t.ask("2 AUTHENTICATE PLAIN", "+");
            t.ask("!!!", "2 BAD");
            t.ask("3 AUTHENTICATE NTLM", "3 NO");
            t.ask("4 AUTHENTICATE", "4 NO");
            t.nobody_asked();
        }),
        ("imap-crlf-in-a-literal-password", Imap, |t| {
            let name = t.name.clone();
            t.ask(&format!("1 LOGIN {name} {{12}}"), "+ ");
            t.ask("x", "1 BAD");
            t.ask("2 NOOP", "2 OK");
            t.nobody_asked();
        }),
        ("imap-literal-too-long", Imap, |t| {
            t.ask("1 LOGIN {1025}", "1 BAD");
            t.ask("2 NOOP", "2 OK");
            t.nobody_asked();
        }),
        ("imap-literal-too-long-unasked", Imap, |t| {
            t.send("1 LOGIN {99999999+}\r\n");
            let rest = String::from_utf8_lossy(&t.client().rest()).into_owned();
            assert!(rest.starts_with("* BYE ") && rest.lines().count() == 1, "{rest:?}");
            t.nobody_asked();
        }),
        ("imap-literals-too-many", Imap, |t| {
            t.ask("1 LOGIN {1}", "+ ");
            t.ask("a {1}", "+ ");
            t.ask("b {1}", "1 BAD");
            t.nobody_asked();
        }),
        ("imap-quote-without-end", Imap, |t| {
            t.ask("1 LOGIN \"ann x", "1 BAD");
            t.ask("2 LOGIN ann", "2 BAD");
            t.ask("3 LOGIN", "3 BAD");
            t.ask("4 LOGIN a b c", "4 BAD");
            t.nobody_asked();
        }),
        ("imap-tags-outside-the-grammar", Imap, |t| {
            for tag in ["\"<script>\"", "*", "+", "a{1}", "(x)"] {
                let said = t.ask(&format!("{tag} NOOP"), "* BAD");
                assert!(!said.contains(tag.trim_matches('*')) || tag == "*" || tag == "+", "{said}");
            }
        }),
        ("imap-tag-of-4k", Imap, |t| {
            let said = t.ask(&format!("{} NOOP", "x".repeat(4000)), "* BAD");
            assert!(!said.contains("xxx"), "{said}");
        }),
        ("imap-junk-commands", Imap, |t| {
            for _ in 0..5 {
                t.ask("1 XYZZY", "1 BAD");
            }
            t.send("1 XYZZY\r\n");
            t.ended("too many commands");
        }),
        ("imap-commands-without-end", Imap, |t| {
            for _ in 0..20 {
                t.ask("1 NOOP", "1 OK");
            }
            t.send("1 NOOP\r\n");
            t.ended("too many commands");
        }),
        ("imap-nul-in-command", Imap, |t| {
            t.send(b"1 LOGIN a\0b x\r\n");
            t.ended("NUL");
            t.nobody_asked();
        }),
        ("imap-lone-cr-in-command", Imap, |t| {
            t.send(b"1 NOOP\r2 NOOP\r\n");
            t.ended("lone CR");
            t.nobody_asked();
        }),
        ("imap-line-64k-no-end", Imap, |t| {
            t.send("x".repeat(65_536));
            t.ended("longer than");
        }),
        ("imap-pipelined-all", Imap, |t| {
            let name = t.name.clone();
            t.send(format!("1 LOGIN {name} x\r\n2 SELECT INBOX\r\n3 STORE 1 +FLAGS (\\Deleted)\r\n4 EXPUNGE\r\n5 LOGOUT\r\n6 NOOP\r\n"));
            for start in ["* CAPABILITY", "1 OK", "* 1 EXISTS", "2 OK", "3 OK", "* 1 EXPUNGE", "4 OK", "* BYE", "5 OK"]
            {
                t.hear(start);
            }
            t.closed("");
            t.commits = 1;
        }),
        ("imap-fin-before-login", Imap, |t| {
            t.send("1 LOGIN ");
            t.client().half_close();
            t.closed("");
            t.nobody_asked();
        }),
        ("imap-rst-after-login", Imap, |t| {
            let name = t.name.clone();
            t.send(format!("1 LOGIN {name} x\r\n2 STORE 1 +FLAGS (\\Deleted)\r\n"));
            t.reset();
        }),
    ];
    play("same-user", cases);
}

#[test]
fn in_the_session() {
    let cases: &[Case] = &[
        ("imap-nul-after-login", Imap, |t| ends_the_session(t, b"5 NOOP a\0b", "NUL")),
        ("imap-lone-cr-after-login", Imap, |t| ends_the_session(t, b"5 NOOP\r3 EXPUNGE", "lone CR")),
        ("imap-line-too-long-after-login", Imap, |t| {
            t.signed_in_by_imap();
            t.send(format!("5 FETCH {} FLAGS\r\n6 NOOP\r\n", "1,".repeat(40_000)));
            t.hear("5 BAD that line is too long");
            t.hear("6 OK");
            assert_eq!(heard_by_the_provider(t), ["6 NOOP"]);
        }),
        ("imap-line-of-60k-after-login", Imap, |t| {
            t.signed_in_by_imap();
            t.send(format!("5 STATUS {}\r\n", "1,".repeat(30_000)));
            t.hear("5 OK");
        }),
        ("imap-line-without-end-after-login", Imap, |t| {
            t.signed_in_by_imap();
            t.send("5 NOOP\r\n6 STATUS x");
            t.hear("5 OK");
            t.client().half_close();
            t.closed("");
            assert_eq!(heard_by_the_provider(t), ["5 NOOP"]);
        }),
        ("imap-sign-in-again", Imap, |t| {
            t.signed_in_by_imap();
            let again = plain(&t.name, t.local);
            for line in ["LOGIN eve secret", "STARTTLS", "COMPRESS DEFLATE", "ENABLE UTF8=ACCEPT", "UNAUTHENTICATE"] {
                t.ask(&format!("5 {line}"), "5 BAD");
            }
            t.ask(&format!("6 AUTHENTICATE PLAIN {again}"), "6 BAD");
            t.ask("7 NOOP", "7 OK");
            assert_eq!(heard_by_the_provider(t), ["7 NOOP"]);
        }),
        ("imap-sign-in-again-behind-blanks", Imap, |t| {
            t.signed_in_by_imap();
            for line in [
                " LOGIN eve secret",
                "\tSTARTTLS",
                " \x0b COMPRESS DEFLATE",
                "ENABLE\tUTF8=ACCEPT",
                "\x01UNAUTHENTICATE",
            ] {
                t.ask(&format!("5 {line}"), "5 BAD");
            }
            t.ask("7 NOOP", "7 OK");
            assert_eq!(heard_by_the_provider(t), ["7 NOOP"]);
        }),
        ("imap-second-login-with-literals", Imap, |t| {
            t.signed_in_by_imap();
            t.send("5 LOGIN {3+}\r\neve {12+}\r\n9 EXPUNGE\r\n1 \r\n6 NOOP\r\n");
            t.hear("5 BAD");
            t.hear("6 OK");
            assert_eq!(heard_by_the_provider(t), ["6 NOOP"]);
        }),
        ("imap-commands-inside-a-literal", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 APPEND Sent {18}", "+ go on");
            t.send("6 EXPUNGE\r\n7 LOGIN\r\n");
            t.hear("5 OK");
            t.leave();
            let told = t.imap.take();
            assert_eq!(told.messages, [b"6 EXPUNGE\r\n7 LOGIN"]);
            assert!(!told.has("6 ") && !told.has("7 "), "{told:?}");
        }),
        ("imap-append-that-is-left", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 APPEND Sent {50}", "+ go on");
            t.send("Subject: half");
            t.leave();
            assert!(t.imap.take().messages.is_empty());
        }),
        ("imap-append-reset", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 APPEND Sent {50}", "+ go on");
            t.send("Subject: half");
            t.reset();
        }),
        ("imap-tags-outside-the-grammar-after-login", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("\"<script>\" NOOP", "* BAD");
            t.ask("* EXPUNGE", "* BAD");
            t.ask("+ 1 EXPUNGE", "* BAD");
            t.ask("5 NOOP", "5 OK");
            assert_eq!(heard_by_the_provider(t), ["5 NOOP"]);
        }),
        ("imap-drop-after-store", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 STORE 1 +FLAGS (\\Deleted)", "5 OK");
            t.leave();
        }),
        ("imap-reset-after-store", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 STORE 1 +FLAGS (\\Deleted)", "5 OK");
            t.reset();
        }),
        ("imap-expunge-cut-off-is-none", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 STORE 1 +FLAGS (\\Deleted)", "5 OK");
            t.send("6 EXPUNGE");
            t.client().half_close();
            t.closed("");
            assert!(!t.imap.told().has("6 EXPUNGE"));
        }),
        ("imap-logout-cut-off-is-logout", Imap, |t| {
            t.signed_in_by_imap();
            t.send("5 LOGOUT");
            t.client().half_close();
            t.hear("* BYE bye");
            t.hear("5 OK");
            t.closed("");
        }),
        ("imap-commands-by-the-thousand", Imap, |t| {
            t.signed_in_by_imap();
            t.send("5 NOOP\r\n".repeat(3000));
            (0..3000).for_each(|_| drop(t.hear("5 OK")));
        }),
        ("imap-rst-while-much-is-owed", Imap, |t| {
            t.signed_in_by_imap();
            t.send("5 FETCH 1 BODY[]\r\n".repeat(300));
            t.reset();
        }),
        ("imap-idle-ended-by-a-command", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 IDLE", "+ idling");
            t.send("6 EXPUNGE\r\n");
            t.hear("5 OK idled");
            t.hear("6 BAD IDLE ends with DONE");
            assert_eq!(heard_by_the_provider(t), ["5 IDLE", "DONE"]);
        }),
        ("imap-done-without-idle", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 IDLE", "+ idling");
            t.ask("DONE", "5 OK idled");
            t.leave();
        }),
        ("imap-leaves-in-idle", Imap, |t| {
            t.signed_in_by_imap();
            t.ask("5 IDLE", "+ idling");
            t.reset();
        }),
        ("imap-8-bit-after-login", Imap, |t| {
            t.signed_in_by_imap();
            t.send(b"5 STATUS \"\xe4\xf6\xfc\"\r\n");
            t.hear("5 OK");
        }),
        ("imap-bare-lf-session", Imap, |t| {
            let name = t.name.clone();
            t.send(format!("1 LOGIN {name} x\n2 NOOP\n3 LOGOUT\n"));
            for start in ["* CAPABILITY", "1 OK", "2 OK", "* BYE", "3 OK"] {
                t.hear(start);
            }
        }),
    ];
    play("same-user", cases);
}

/// Tries three times, each in one line; the third ends the connection, and each answer takes longer than the last.
fn three(talk: &mut Talk<'_>, tries: [String; 3]) {
    let mut last = Duration::ZERO;
    for (number, line) in tries.iter().enumerate() {
        let asked = Instant::now();
        talk.send(format!("{number} {line}\r\n"));
        if number == 0 {
            talk.hear("* OK [ALERT] this is not the local password");
        }
        if number < 2 {
            talk.hear(&format!("{number} NO [AUTHENTICATIONFAILED] this is not the local password"));
        } else {
            talk.ended("wrong local password three times");
        }
        assert!(asked.elapsed() > last, "{:?} after {last:?}", asked.elapsed());
        last = asked.elapsed();
    }
    talk.nobody_asked();
}

#[test]
fn without_the_local_password() {
    let cases: &[Case] = &[
        ("imap-wrong-password", Imap, |t| {
            let login = |password: &str| format!("LOGIN {} {password}", t.name);
            three(t, [login("wrong"), login("\"\""), login("\" \"")]);
        }),
        ("imap-providers-password", Imap, |t| {
            let line = format!("LOGIN {} {}", t.name, t.secret);
            three(t, [line.clone(), line.clone(), line]);
        }),
        ("imap-wrong-plain", Imap, |t| {
            let line = |password: &str| format!("AUTHENTICATE PLAIN {}", plain(&t.name, password));
            three(t, [line("wrong"), line("guess"), line("123456")]);
        }),
        ("imap-right-password-of-nobody", Imap, |t| {
            let line = format!("1 LOGIN joe {}", t.local);
            t.ask(&line, "* OK [ALERT]");
            t.hear("1 NO");
            t.nobody_asked();
        }),
        ("imap-commands-without-password", Imap, |t| {
            for line in ["SELECT INBOX", "EXPUNGE", "IDLE", "APPEND x {1}"] {
                t.ask(&format!("1 {line}"), "1 BAD");
            }
            t.nobody_asked();
        }),
    ];
    play("password", cases);
}
