//! Bodies that are more, or less, than one message: SMTP smuggling (CVE-2023-51764 and its kin), bodies that come too
//! early, bodies that break off.

use super::super::honest::BOB;
use super::Speaks::Smtp;
use super::{Case, Talk, play};

/// A body with this between two lines; what the provider gets has exactly one end, under every reading.
fn smuggles(talk: &mut Talk<'_>, sequence: &[u8]) {
    talk.up_to_data();
    let mut body = b"Subject: smuggle\r\n\r\nbefore".to_vec();
    body.extend_from_slice(sequence);
    body.extend_from_slice(b"MAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.com>\r\nDATA\r\nafter\r\n.\r\n");
    talk.send(&body);
    talk.hear("250 2.0.0 queued");
    talk.ask("QUIT", "221");
    talk.leave();
    talk.delivers = 1;
    let told = talk.smtp.told();
    assert_eq!((told.count("MAIL"), told.count("RCPT"), told.messages.len()), (1, 1, 1), "{told:?}");
    let body = &told.messages[0];
    let shown = format!("{sequence:?}: {:?}", String::from_utf8_lossy(body));
    assert!(body.ends_with(b"after\r\n.\r\n"), "{shown}");
    let line_end = |byte: u8| byte == b'\r' || byte == b'\n';
    let ends = body.windows(3).filter(|w| line_end(w[0]) && w[1] == b'.' && line_end(w[2])).count();
    assert_eq!(ends, 1, "{shown}");
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(body.get(at + 1), Some(&b'\n'), "{shown}"),
            b'\n' => assert_eq!(body[at - 1], b'\r', "{shown}"),
            _ => {}
        }
    }
}

/// A body that breaks off like this is no message, and nothing is said to be one.
fn breaks(talk: &mut Talk<'_>, body: &[u8], resets: bool) {
    talk.up_to_data();
    talk.send(body);
    if resets {
        talk.reset();
    } else {
        talk.client().half_close();
        let rest = talk.client().rest();
        assert!(!rest.starts_with(b"250"), "{rest:?}");
    }
}

#[test]
fn more_than_one_message() {
    let cases: &[Case] = &[
        ("smuggle-lf-dot-lf", Smtp, |t| smuggles(t, b"\n.\n")),
        ("smuggle-lf-dot-crlf", Smtp, |t| smuggles(t, b"\n.\r\n")),
        ("smuggle-lf-dot-cr", Smtp, |t| smuggles(t, b"\n.\r")),
        ("smuggle-cr-dot-cr", Smtp, |t| smuggles(t, b"\r.\r")),
        ("smuggle-cr-dot-lf", Smtp, |t| smuggles(t, b"\r.\n")),
        ("smuggle-cr-dot-crlf", Smtp, |t| smuggles(t, b"\r.\r\n")),
        ("smuggle-crlf-dot-lf", Smtp, |t| smuggles(t, b"\r\n.\n")),
        ("smuggle-crlf-dot-cr", Smtp, |t| smuggles(t, b"\r\n.\r")),
        ("smuggle-crcrlf-dot-crcrlf", Smtp, |t| smuggles(t, b"\r\r\n.\r\r\n")),
        ("smuggle-crlf-dot-crcrlf", Smtp, |t| smuggles(t, b"\r\n.\r\r\n")),
        ("smuggle-lflf-dot-lflf", Smtp, |t| smuggles(t, b"\n\n.\n\n")),
        ("smuggle-lfcr-dot-lfcr", Smtp, |t| smuggles(t, b"\n\r.\n\r")),
        ("smuggle-nul-before-dot", Smtp, |t| smuggles(t, b"\r\n\0.\r\n")),
        ("smuggle-nul-behind-dot", Smtp, |t| smuggles(t, b"\r\n.\0\r\n")),
        ("smuggle-dot-dot-lf", Smtp, |t| smuggles(t, b"\r\n..\n")),
        ("smuggle-lf-dot-dot-crlf", Smtp, |t| smuggles(t, b"\n..\r\n")),
        ("smuggle-crlf-dot-dot-cr", Smtp, |t| smuggles(t, b"\r\n..\r.\r")),
        ("smuggle-blank-behind-dot", Smtp, |t| smuggles(t, b"\r\n. \r\n")),
        ("smuggle-everything-at-once", Smtp, |t| smuggles(t, b"\n.\n\r.\r\r\n.\n.\r\r.\n\n.\r\r\n..\n.\n")),
        ("dot-first-of-all-with-lf", Smtp, |t| {
            t.up_to_data();
            t.send(b".\nQUIT\r\n.\r\n");
            t.hear("250 2.0.0");
            t.delivers = 1;
            t.leave();
            assert!(t.smtp.told().messages[0].starts_with(b"\r\nQUIT\r\n.\r\n"), "{:?}", t.smtp.told());
        }),
        ("dot-first-of-all", Smtp, |t| {
            t.up_to_data();
            t.send(b".\r\nQUIT\r\n");
            t.hear("250 2.0.0");
            t.hear("221");
            t.delivers = 1;
        }),
        ("dot-stuffing", Smtp, |t| {
            t.up_to_data();
            t.send(b"..\r\n...\r\n.x\r\n..x\r\n. \r\n.\r\n");
            t.hear("250 2.0.0");
            t.delivers = 1;
            t.leave();
            assert_eq!(t.smtp.told().messages[0], b"..\r\n...\r\nx\r\n..x\r\n \r\n.\r\n");
        }),
        ("commands-behind-the-dot", Smtp, |t| {
            t.up_to_data();
            t.send(format!("x\r\n.\r\nMAIL FROM:<eve@elsewhere.example>\r\nRCPT TO:<{BOB}>\r\nNOOP\r\n"));
            t.hear("250 2.0.0");
            t.hear("550");
            t.hear("503");
            t.hear("250");
            t.delivers = 1;
        }),
    ];
    play("same-user", cases);
}

/// The whole session in one go, with a body that nobody asked for yet.
fn too_early(talk: &mut Talk<'_>, envelope: &str) {
    let from = talk.name.clone();
    talk.slowly = false;
    talk.send(format!("EHLO x\r\n{envelope}RSET\r\nMAIL FROM:<{from}@example.org>\r\nVRFY smuggled\r\n.\r\nQUIT\r\n"));
    let heard = String::from_utf8(talk.client().rest()).unwrap();
    let last = heard.lines().last().unwrap_or_default();
    assert!(last.starts_with("421 4.7.0 ") && last.contains("before DATA was answered"), "{heard}");
    assert!(!heard.contains("\n252 ") && !heard.contains("\n354 "), "{heard}");
    talk.named.push("before DATA was answered");
    assert!(talk.smtp.told().count("MAIL") <= 1, "{:?}", talk.smtp.told());
}

#[test]
fn less_than_one_message() {
    let cases: &[Case] = &[
        ("pipelined-data", Smtp, |t| {
            too_early(t, &format!("MAIL FROM:<{}@example.org>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n", t.name))
        }),
        ("pipelined-data-refused", Smtp, |t| too_early(t, "DATA\r\n")),
        ("pipelined-data-without-recipient", Smtp, |t| {
            too_early(t, &format!("MAIL FROM:<{}@example.org>\r\nDATA\r\n", t.name))
        }),
        ("pipelined-data-bad-recipient", Smtp, |t| {
            too_early(t, &format!("MAIL FROM:<{}@example.org>\r\nRCPT TO:<>\r\nDATA\r\n", t.name))
        }),
        ("fin-after-data", Smtp, |t| breaks(t, b"", false)),
        ("fin-mid-data", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf", false)),
        ("fin-after-line", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\r\n", false)),
        ("fin-after-dot", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\r\n.", false)),
        ("fin-after-dot-cr", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\r\n.\r", false)),
        ("fin-after-dot-lf", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\n.\n", false)),
        ("fin-after-dot-dot", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\r\n..\r\n", false)),
        ("rst-after-data", Smtp, |t| breaks(t, b"", true)),
        ("rst-mid-data", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf", true)),
        ("rst-after-dot-cr", Smtp, |t| breaks(t, b"Subject: x\r\n\r\nhalf\r\n.\r", true)),
        ("fin-after-mail", Smtp, |t| {
            t.mail();
            t.client().half_close();
            t.closed("");
        }),
        ("rst-after-mail", Smtp, |t| {
            t.mail();
            t.reset();
        }),
        ("half-close-after-dot", Smtp, |t| {
            t.up_to_data();
            t.send("x\r\n.\r\n");
            t.client().half_close();
            t.hear("250 2.0.0 queued");
            t.closed("");
            t.delivers = 1;
        }),
        ("half-close-after-quit-smtp", Smtp, |t| {
            t.up_to_data();
            t.send("x\r\n.\r\nNOOP\r\nQUIT\r\n");
            t.client().half_close();
            t.hear("250 2.0.0 queued");
            t.hear("250");
            t.hear("221");
            t.closed("");
            t.delivers = 1;
        }),
    ];
    play("same-user", cases);
}
