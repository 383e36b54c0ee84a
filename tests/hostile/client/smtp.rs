//! Clients at the door for sending.

use super::super::honest::{ANN, BOB, large, plain};
use super::Speaks::{Pop3, Smtp};
use super::{Case, Talk, play};
use crate::support::mail;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The beginning of a TLS 1.0 hello, with no line end in it.
pub const HELLO: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x01abcdefgh";
/// The hello of SSL 2 that Netscape 4, Outlook Express 5 and their kin begin with, whatever they can do besides.
pub const HELLO_2: &[u8] = b"\x80\x2e\x01\x03\x00\x00\x15\x00\x00\x00\x10\x01\x00\x80";

/// A browser whose body is a dialogue.
fn browser(talk: &mut Talk<'_>, line: &str) {
    let from = format!("{}@example.org", talk.name);
    talk.send(format!("{line}\r\nHost: 127.0.0.1:2025\r\nContent-Length: 90\r\n\r\nEHLO x\r\nMAIL FROM:<{from}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"));
    talk.ended("it speaks HTTP");
    talk.nobody_asked();
}

#[test]
fn not_of_this_protocol() {
    let cases: &[Case] = &[
        ("http-get-smtp", Smtp, |t| browser(t, "GET / HTTP/1.1")),
        ("http-post-smtp", Smtp, |t| browser(t, "POST /x HTTP/1.1")),
        ("http-put-smtp", Smtp, |t| browser(t, "put /x HTTP/1.0")),
        ("http-options-smtp", Smtp, |t| browser(t, "OPTIONS * HTTP/1.1")),
        ("http-connect-smtp", Smtp, |t| browser(t, "CONNECT 127.0.0.1:25 HTTP/1.1")),
        ("http-unknown-verb-smtp", Smtp, |t| browser(t, "PROPFIND / HTTP/1.1")),
        ("http-2-preface-smtp", Smtp, |t| browser(t, "PRI * HTTP/2.0")),
        ("http-header-first-smtp", Smtp, |t| browser(t, "Content-Type: text/plain")),
        ("http-header-small-first-smtp", Smtp, |t| browser(t, "x-a:b")),
        ("http-blank-before-verb-smtp", Smtp, |t| browser(t, " GET / HTTP/1.1")),
        ("http-bare-lf-smtp", Smtp, |t| {
            t.send("POST / HTTP/1.1\nHost: x\n\nEHLO x\nMAIL FROM:<ann@example.org>\n");
            t.ended("it speaks HTTP");
        }),
        ("http-url-of-64k-smtp", Smtp, |t| {
            t.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(65_536)));
            t.ended("it speaks HTTP");
        }),
        ("http-after-ehlo-smtp", Smtp, |t| {
            t.ask("EHLO x", "250");
            browser(t, "POST / HTTP/1.1");
        }),
        ("http-after-mail-smtp", Smtp, |t| {
            t.mail();
            t.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
            t.ended("it speaks HTTP");
            assert!(!t.smtp.told().has("RCPT"));
        }),
        ("http-in-auth-smtp", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.ask("AUTH LOGIN", "334");
            t.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<ann@example.org>\r\n");
            t.hear("501");
            t.ended("it speaks HTTP");
        }),
        ("websocket-smtp", Smtp, |t| {
            t.send("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            t.ended("it speaks HTTP");
        }),
        ("tls-hello-smtp", Smtp, |t| {
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-ssl-2-smtp", Smtp, |t| {
            t.send(HELLO_2);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-starttls-smtp", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.ask("STARTTLS", "502");
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-after-mail-smtp", Smtp, |t| {
            t.mail();
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("tls-hello-in-auth-smtp", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.ask("AUTH LOGIN", "334");
            t.send(HELLO);
            t.ended("it speaks TLS");
        }),
        ("starttls-with-more-behind-it", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.send("STARTTLS\r\nMAIL FROM:<ann@example.org>\r\nNOOP\r\n");
            t.hear("502");
            t.hear("550");
            t.hear("250");
            t.ask("QUIT", "221");
        }),
        ("pop-commands-on-smtp", Smtp, |t| {
            t.ask("USER ann", "502");
            t.ask("PASS x", "502");
            t.ask("QUIT", "221");
            t.nobody_asked();
        }),
        ("imap-commands-on-smtp", Smtp, |t| {
            t.ask("a1 LOGIN ann x", "502");
            t.ask("QUIT", "221");
        }),
        ("socks-on-smtp", Smtp, |t| {
            t.send(b"\x05\x01\x00\r\n");
            t.ended("NUL");
        }),
        ("telnet-options-smtp", Smtp, |t| {
            t.send(b"\xff\xfb\x01\xff\xfd\x03EHLO x\r\n");
            t.hear("502");
            t.ask("EHLO x", "250");
        }),
    ];
    play("same-user", cases);
}

#[test]
fn lines_that_no_mail_program_sends() {
    let cases: &[Case] = &[
        ("nul-in-command", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.send(b"NOOP a\0b\r\n");
            t.ended("NUL");
        }),
        ("nul-in-mail", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.send(b"MAIL FROM:<ann\0@example.org>\r\n");
            t.ended("NUL");
            t.nobody_asked();
        }),
        ("bare-cr-in-command", Smtp, |t| {
            t.mail();
            t.send(format!("RCPT TO:<{BOB}>\rRCPT TO:<eve@example.com>\r\n"));
            t.ended("lone CR");
            assert!(!t.smtp.told().has("RCPT"));
        }),
        ("cr-cr-lf-ends-a-command", Smtp, |t| {
            t.send("EHLO x\r\r\n");
            t.ended("lone CR");
        }),
        ("utf-16-command", Smtp, |t| {
            t.send(b"\xff\xfeE\0H\0L\0O\0 \0x\0\r\0\n\0");
            t.ended("NUL");
        }),
        ("line-4k", Smtp, |t| {
            t.send(format!("NOOP {}\r\n", "x".repeat(5000)));
            t.ended("longer than");
        }),
        ("line-64k-no-end", Smtp, |t| {
            t.send("x".repeat(65_536));
            t.ended("longer than");
        }),
        ("line-of-blanks", Smtp, |t| {
            t.send(format!("{}\r\n", " ".repeat(70_000)));
            t.ended("longer than");
        }),
        ("line-long-in-a-message", Smtp, |t| {
            t.mail();
            t.send(format!("RCPT TO:<{}@example.com>\r\n", "x".repeat(70_000)));
            t.ended("longer than");
        }),
        ("auth-answer-of-64k", Smtp, |t| {
            t.ask("AUTH PLAIN", "334");
            t.send(format!("{}\r\n", "A".repeat(65_536)));
            t.ended("longer than");
        }),
        ("bare-lf-session", Smtp, |t| {
            let from = t.name.clone();
            t.send(format!("EHLO x\nMAIL FROM:<{from}@example.org>\n"));
            t.hear("250");
            t.hear("250");
            t.deliver();
            t.send("QUIT\n");
            t.hear("221");
        }),
        ("junk-commands", Smtp, |t| {
            for _ in 0..5 {
                t.ask("XYZZY", "502");
            }
            t.send("XYZZY\r\n");
            t.ended("too many commands");
        }),
        ("empty-lines", Smtp, |t| {
            t.send("\r\n".repeat(5));
            (0..5).for_each(|_| drop(t.hear("500")));
            t.send("\r\n");
            t.ended("too many commands");
        }),
        ("commands-without-end", Smtp, |t| {
            for _ in 0..20 {
                t.ask("EHLO x", "250");
            }
            t.send("EHLO x\r\n");
            t.ended("too many commands");
            t.nobody_asked();
        }),
        ("8-bit-command", Smtp, |t| {
            t.send(b"\xe4\xf6\xfc\r\n");
            t.hear("502");
            t.send(b"EHLO \xe4\r\n");
            t.hear("250");
        }),
        ("8-bit-address", Smtp, |t| {
            t.ask("EHLO x", "250");
            t.send(b"MAIL FROM:<\xe4nn@example.org>\r\n");
            t.hear("553");
            t.nobody_asked();
        }),
    ];
    play("same-user", cases);
}

/// AUTH with an answer that is not one; the connection goes on and nothing was signed in.
fn bad_auth(talk: &mut Talk<'_>, answer: &str) {
    talk.ask("EHLO x", "250");
    talk.ask(&format!("AUTH PLAIN {answer}"), "501");
    talk.ask("AUTH LOGIN", "334");
    talk.ask(answer, "501");
    talk.ask("QUIT", "221");
    talk.nobody_asked();
}

#[test]
fn in_auth_and_envelope() {
    let cases: &[Case] = &[
        ("crlf-in-sasl-user", Smtp, |t| bad_auth(t, &BASE64.encode("\0ann\r\nMAIL FROM:<eve@example.org>\0x"))),
        ("crlf-in-sasl-password", Smtp, |t| {
            t.ask(&format!("AUTH PLAIN {}", plain("ann", "x\r\nMAIL FROM:<eve@example.org>")), "501");
            t.nobody_asked();
        }),
        ("nul-in-sasl-password", Smtp, |t| {
            t.ask(&format!("AUTH PLAIN {}", plain("ann", "x\0y")), "501");
        }),
        ("escape-in-sasl-user", Smtp, |t| bad_auth(t, &BASE64.encode("\0\x1b[2Jann\0x"))),
        ("sasl-not-base64", Smtp, |t| bad_auth(t, "!!!!")),
        ("sasl-plain-without-password", Smtp, |t| {
            t.ask(&format!("AUTH PLAIN {}", BASE64.encode("ann")), "501");
        }),
        ("sasl-broken-off", Smtp, |t| {
            t.ask("AUTH LOGIN", "334");
            t.ask("*", "501");
            t.ask("AUTH PLAIN", "334");
            t.ask("QUIT", "501");
            t.ask("QUIT", "221");
        }),
        ("sasl-name-of-12k", Smtp, |t| {
            t.ask("AUTH LOGIN", "334");
            t.ask(&BASE64.encode("x".repeat(9000)), "334");
            t.ask(&BASE64.encode("y".repeat(9000)), "235");
        }),
        ("auth-unknown-kinds", Smtp, |t| {
            for kind in ["NTLM", "CRAM-MD5", "XOAUTH2", "ANONYMOUS", ""] {
                t.ask(&format!("AUTH {kind}"), "504");
            }
        }),
        ("auth-in-a-message", Smtp, |t| {
            t.mail();
            t.ask(&format!("AUTH PLAIN {}", plain("ann", "x")), "503");
            t.deliver();
        }),
        ("commands-out-of-order", Smtp, |t| {
            t.ask(&format!("RCPT TO:<{BOB}>"), "503");
            t.ask("DATA", "503");
            t.mail();
            t.ask("DATA", "503");
            t.ask(&format!("MAIL FROM:<{ANN}>"), "503");
            t.deliver();
            t.ask("QUIT", "221");
        }),
        ("sender-of-nobody", Smtp, |t| {
            t.ask("EHLO x", "250");
            let refusal = t.ask("MAIL FROM:<eve@elsewhere.example>", "550 5.7.1 ");
            assert!(refusal.contains("no account that sends as eve@elsewhere.example"), "{refusal}");
            t.nobody_asked();
        }),
        ("sender-with-commands-in-it", Smtp, |t| {
            t.ask("EHLO x", "250");
            for path in [
                "<ann@example.org> RCPT TO:<x@y>",
                "<ann@example.org>RCPT",
                "<a>b@example.org>",
                "<<ann@example.org>>",
                "<\"ann@example.org>",
            ] {
                t.ask(&format!("MAIL FROM:{path}"), "5");
            }
            t.nobody_asked();
        }),
        ("recipient-with-commands-in-it", Smtp, |t| {
            t.mail();
            for path in [
                "<bob@example.com> NOTIFY=NEVER",
                "<bob@example.com><eve@example.com>",
                "<bob>eve@example.com>",
                "<>",
                "<bob @example.com>",
            ] {
                t.ask(&format!("RCPT TO:{path}"), "5");
            }
            assert!(!t.smtp.told().has("RCPT"));
        }),
        ("mail-with-strange-parameters", Smtp, |t| {
            t.ask("EHLO x", "250");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            for parameter in ["SIZE=abc", "SIZE=-1", "SIZE=99999999999999999999999999", "SMTPUTF8", "X=Y"] {
                t.ask(&format!("{from} {parameter}"), "5");
            }
            t.nobody_asked();
        }),
        ("mail-too-big-by-its-own-word", Smtp, |t| {
            t.ask("EHLO x", "250");
            let from = format!("MAIL FROM:<{}@example.org> SIZE=18446744073709551615", t.name);
            t.ask(&from, "552 5.3.4 ");
            assert!(!t.smtp.told().has("MAIL"));
        }),
        ("bdat-with-a-dialogue-in-it", Smtp, |t| {
            t.mail();
            t.ask("BDAT 7 LAST", "502");
            t.ask("x", "502");
            assert!(!t.smtp.told().has("BDAT"));
        }),
        ("verify-and-expand", Smtp, |t| {
            t.ask("VRFY root", "252");
            t.ask("EXPN staff", "502");
            t.ask("TURN", "502");
            t.ask("ETRN example.org", "502");
            t.ask("HELP", "214");
            t.nobody_asked();
        }),
        ("ehlo-in-a-message-starts-afresh", Smtp, |t| {
            t.mail();
            t.ask("RCPT TO:<eve@example.com>", "250");
            t.ask("EHLO again", "250");
            t.ask("DATA", "503");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "250");
            t.deliver();
            t.leave();
            let told = t.smtp.told();
            let reset = told.commands.iter().position(|line| line == b"RSET\r\n");
            assert!(reset.is_some() || told.came == 2, "the first recipient was not taken back: {told:?}");
        }),
        ("rset-between-and-inside", Smtp, |t| {
            for _ in 0..3 {
                t.mail();
                t.ask("RCPT TO:<eve@example.com>", "250");
                t.ask("RSET", "250");
            }
            t.ask("DATA", "503");
            let from = format!("MAIL FROM:<{}@example.org>", t.name);
            t.ask(&from, "250");
            t.deliver();
            t.ask("RSET", "250");
            t.ask("QUIT", "221");
            assert!(t.smtp.told().count("RSET") >= 3 || t.smtp.told().came > 1);
        }),
        ("pipelined-all-smtp", Smtp, |t| {
            let from = t.name.clone();
            t.send(format!("EHLO x\r\nNOOP\r\nMAIL FROM:<{from}@example.org>\r\nRCPT TO:<{BOB}>\r\nRSET\r\nMAIL FROM:<{from}@example.org>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n"));
            for code in ["250", "250", "250", "250", "250", "250", "250", "354"] {
                t.hear(code);
            }
            t.send(mail::stuffed(&large(1000)));
            t.send("QUIT\r\n");
            t.hear("250 2.0.0");
            t.hear("221");
            t.delivers = 1;
        }),
        ("quit-in-the-middle", Smtp, |t| {
            t.mail();
            t.send("QUIT\r\nRCPT TO:<eve@example.com>\r\nDATA\r\n");
            t.hear("221");
            t.closed("");
            assert!(!t.smtp.told().has("RCPT"));
        }),
        ("quit-cut-off-and-gone", Smtp, |t| {
            t.mail();
            t.send("QUIT");
            t.client().half_close();
            t.closed("221 ");
        }),
        ("two-doors-at-once", Smtp, |t| {
            t.up_to_data();
            t.anew(Pop3);
            t.signed_in();
            t.reset();
        }),
    ];
    play("same-user", cases);
}
