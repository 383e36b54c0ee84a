//! Providers that take one password and count how often they are asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::ca::TestCa;
use crate::support::provider::{Part, Provider, say, serve};

/// A POP3 server with TLS that takes any user, and these octets as the password.
pub(crate) fn pop3(ca: &TestCa, password: &[u8]) -> Provider {
    pop3_for(ca, b"", password)
}

/// As [`pop3`], for this user name alone.
pub(crate) fn pop3_for(ca: &TestCa, user: &[u8], password: &[u8]) -> Provider {
    let user = if user.is_empty() { b"USER ".to_vec() } else { [b"USER ", user, b"\r\n"].concat() };
    let part = vec![
        say("+OK ready"),
        serve(&[
            (b"CAPA", "-ERR no such command"),
            (&user, "+OK"),
            (b"USER ", "-ERR [AUTH] no such user"),
            (&[b"PASS ", password, b"\r\n"].concat(), "+OK welcome"),
            (b"PASS ", "-ERR [AUTH] wrong"),
            (b"STAT", "+OK 0 0"),
            (b"LIST", "+OK\r\n."),
            (b"UIDL", "+OK\r\n."),
            (b"QUIT", "+OK bye"),
        ]),
    ];
    Provider::always_tls(&ca.localhost(), true, part)
}

/// An SMTP server with TLS that takes this user name and these octets as the password, by AUTH PLAIN.
pub(crate) fn smtp_plain(ca: &TestCa, user: &str, password: &[u8]) -> Provider {
    let response = BASE64.encode([b"\0", user.as_bytes(), b"\0", password].concat());
    let right = format!("AUTH PLAIN {response}\r\n");
    smtp(ca, "PLAIN", &[(right.as_bytes(), "235 2.7.0 welcome"), (b"AUTH ", "535 5.7.8 wrong")])
}

/// As [`smtp_plain`], by AUTH LOGIN.
pub(crate) fn smtp_login(ca: &TestCa, user: &str, password: &[u8]) -> Provider {
    let (user, password) = (format!("{}\r\n", BASE64.encode(user)), format!("{}\r\n", BASE64.encode(password)));
    let answers: [(&[u8], &str); 4] = [
        (b"AUTH LOGIN", "334 VXNlcm5hbWU6"),
        (user.as_bytes(), "334 UGFzc3dvcmQ6"),
        (password.as_bytes(), "235 2.7.0 welcome"),
        // Any other line that is base64.
        (b"", "535 5.7.8 wrong"),
    ];
    smtp(ca, "LOGIN", &answers)
}

fn smtp(ca: &TestCa, mechanism: &str, sign_in: &[(&[u8], &str)]) -> Provider {
    let hello = format!("250-mx.example.org\r\n250 AUTH {mechanism}");
    let mut answers: Vec<(&[u8], &str)> = vec![
        (b"EHLO", &hello),
        (b"MAIL", "250 2.1.0 ok"),
        (b"RCPT", "250 2.1.5 ok"),
        (b"RSET", "250 2.0.0 ok"),
        (b"QUIT", "221 2.0.0 bye"),
    ];
    answers.extend(sign_in);
    let part: Part = vec![say("220 mx.example.org ESMTP"), serve(&answers)];
    Provider::always_tls(&ca.localhost(), true, part)
}

/// Everything that a provider was told, on all connections.
pub(crate) fn told(provider: &Provider) -> Vec<u8> {
    provider.sessions().into_iter().flat_map(|session| session.received).collect()
}

/// What followed this word in each line that began with it.
pub(crate) fn given(provider: &Provider, word: &str) -> Vec<Vec<u8>> {
    let told = told(provider);
    let lines = told.split(|octet| *octet == b'\n').filter_map(|line| line.strip_prefix(word.as_bytes()));
    lines.map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest).to_vec()).collect()
}
