//! POP3 words (RFC 1939, 2449, 3206, 5034): commands, status lines, what an answer looks like. Its machines:
//! `front` hears a client out, `login` signs in at a provider, `filter` watches what passes between them.

pub mod filter;
pub mod front;
pub mod login;

use crate::wire::Line;

/// Whether a status line is good, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `+OK`
    Ok,
    /// `-ERR`
    Err,
}

/// Reads a status line; `None` if it is not one.
pub fn status(line: &[u8]) -> Option<Status> {
    let word_ends = |at: usize| line.get(at).is_none_or(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    if line.starts_with(b"+OK") && word_ends(3) {
        Some(Status::Ok)
    } else if line.starts_with(b"-ERR") && word_ends(4) {
        Some(Status::Err)
    } else {
        None
    }
}

/// The bracketed response code of a refusal (RFC 2449, section 8), or what its words amount to. Servers older than the
/// codes say it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// User name or password are wrong.
    Auth,
    /// Somebody else has the mailbox; the login itself was good.
    InUse,
    /// Logged in too soon after the last time; the login itself was good.
    LoginDelay,
    /// The server is out of order for now.
    Temporary,
    /// The server wants TLS before any login.
    WantsTls,
}

/// What a refusal of USER, PASS or AUTH means (`facts/pop-before-smtp.md`, section 6).
pub fn refusal(line: &Line) -> Refusal {
    let text = line.printable().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if has(&[
        "plaintext authentication disallowed",
        "stls first",
        "starttls first",
        "use tls",
        "use ssl",
        "requires ssl",
        "requires tls",
    ]) {
        Refusal::WantsTls
    } else if has(&["[auth]"]) {
        Refusal::Auth
    } else if has(&["[in-use]"]) {
        Refusal::InUse
    } else if has(&["[login-delay]"]) {
        Refusal::LoginDelay
    } else if has(&["[sys/"]) {
        Refusal::Temporary
    } else if has(&["password", "invalid", "incorrect", "authentication failed", "bad login", "denied", "no such"]) {
        Refusal::Auth
    } else if has(&["lock", "in use", "busy", "already"]) {
        Refusal::InUse
    } else if has(&["too many", "too often", "too soon", "frequent", "delay", "wait"]) {
        Refusal::LoginDelay
    } else if has(&["temporar", "try again", "try later", "unavailable", "internal error", "timeout"]) {
        Refusal::Temporary
    } else {
        Refusal::Auth
    }
}

/// A client's command line: verb in upper case, the rest as it came without the blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// Upper case.
    pub verb: String,
    /// What follows; passwords may begin or end with blanks, so only the one separating blank is gone.
    pub rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Splits a line; never fails.
    pub fn parse(line: &'a [u8]) -> Self {
        let start = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let line = &line[start..];
        let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
        let verb = String::from_utf8_lossy(&line[..end]).to_ascii_uppercase();
        Self { verb, rest: line.get(end + 1..).unwrap_or_default() }
    }

    /// What follows, as text without the blanks around it.
    pub fn argument(&self) -> String {
        String::from_utf8_lossy(self.rest).trim().to_owned()
    }

    /// Whether anything follows.
    pub fn has_argument(&self) -> bool {
        !self.rest.trim_ascii().is_empty()
    }
}

/// Whether a line is from a browser rather than a mail program: an HTTP request, or a header of one.
pub fn is_http(line: &[u8]) -> bool {
    const VERBS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"TRACE "];
    let upper = line[..line.len().min(8)].to_ascii_uppercase();
    if VERBS.iter().any(|v| upper.starts_with(v)) || upper.starts_with(b"PRI * HT") {
        return true;
    }
    // A header: a token with a colon right behind it. No mail command has one before its first blank.
    let word = line.split(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
    word.len() > 1
        && word
            .iter()
            .position(|b| *b == b':')
            .is_some_and(|colon| colon > 0 && word[..colon].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'))
}

/// The first octets of a TLS record with a hello in it.
pub fn is_tls_hello(input: &[u8]) -> bool {
    input.starts_with(&[0x16, 0x03]) || (input.len() == 1 && input[0] == 0x16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_by_words() {
        for (said, meaning) in [
            ("-ERR [AUTH] Authentication failed.", Refusal::Auth),
            ("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", Refusal::WantsTls),
            ("-ERR [IN-USE] Mailbox is locked by another POP3 session.", Refusal::InUse),
            ("-ERR [LOGIN-DELAY] Attempt to log in within the minimum login delay interval", Refusal::LoginDelay),
            ("-ERR [SYS/TEMP] Internal error", Refusal::Temporary),
            ("-ERR maildrop already locked", Refusal::InUse),
            ("-ERR you log in too often, wait a minute", Refusal::LoginDelay),
            ("-ERR invalid user name or password", Refusal::Auth),
            ("-ERR authorization failed", Refusal::Auth),
            ("-ERR", Refusal::Auth),
        ] {
            assert_eq!(refusal(&Line::new(said.as_bytes())), meaning, "{said}");
        }
    }

    #[test]
    fn a_password_keeps_its_blanks() {
        assert_eq!(Command::parse(b"pass  two blanks "), Command { verb: "PASS".into(), rest: b" two blanks " });
        assert!(!Command::parse(b"AUTH ").has_argument());
        assert_eq!(Command::parse(b"").verb, "");
    }

    #[test]
    fn browsers_are_told_from_mail_programs() {
        for http in [
            "GET / HTTP/1.1",
            "post /x HTTP/1.0",
            "Host: 127.0.0.1:2110",
            "Content-Type:text/plain",
            "DELETE /1 HTTP/1.1",
        ] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for mail in
            ["MAIL FROM:<a@b>", "RCPT TO: <a>", "DELE 1", "TOP 1 0", "EHLO [127.0.0.1]", "USER a:b", "HELP", "", "::"]
        {
            assert!(!is_http(mail.as_bytes()), "{mail}");
        }
    }

    #[test]
    fn only_the_two_words_are_a_status() {
        assert_eq!(status(b"+OK"), Some(Status::Ok));
        assert_eq!(status(b"-ERR no\r\n"), Some(Status::Err));
        assert_eq!(status(b"+OKAY"), None);
        assert_eq!(status(b"220 hello"), None);
    }
}
