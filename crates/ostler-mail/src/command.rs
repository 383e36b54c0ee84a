//! A client's line in any mail protocol: a verb and its argument, or the sign of a client that is no mail program (HTTP,
//! TLS on a plain door).

use crate::charset;
use crate::wire::Line;

/// A client's command line, split at the first blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// Upper case.
    pub verb: String,
    /// Everything after the one separating blank. Further blanks stay: a password may begin or end with some.
    pub rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Splits a line. Blanks before the verb are skipped.
    pub fn parse(line: &'a [u8]) -> Self {
        let start = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let line = &line[start..];
        let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
        let verb = String::from_utf8_lossy(&line[..end]).to_ascii_uppercase();
        Self { verb, rest: line.get(end + 1..).unwrap_or_default() }
    }

    /// The argument as text, trimmed.
    pub fn argument(&self) -> String {
        String::from_utf8_lossy(self.rest).trim().to_owned()
    }

    /// The argument as the name of an account, trimmed: programs write letters beyond ASCII in the character set of their
    /// system.
    pub(crate) fn name(&self) -> String {
        charset::text(self.rest).trim().to_owned()
    }

    /// Whether anything but blanks follows the verb.
    pub fn has_argument(&self) -> bool {
        !self.rest.trim_ascii().is_empty()
    }
}

/// Whether a line is QUIT. It may have no line end: some programs hang up right after it.
pub(crate) fn is_quit(line: &[u8]) -> bool {
    line.trim_ascii().eq_ignore_ascii_case(b"QUIT")
}

/// Whether a line comes from a web browser: an HTTP request line or a header field. The beginning of a line that is too long
/// is enough.
pub fn is_http(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    const VERBS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"TRACE "];
    let upper = line[..line.len().min(8)].to_ascii_uppercase();
    // `PRI * HTTP/2.0` begins every HTTP/2 connection (RFC 9113, 3.4).
    if VERBS.iter().any(|v| upper.starts_with(v)) || upper.starts_with(b"PRI * HT") {
        return true;
    }
    // Any other verb is known by the version at the end. A password may end in the same way, so PASS is exempt.
    let mut words = line.split(|b| *b == b' ');
    let verb = words.next().unwrap_or_default();
    if words.next_back().is_some_and(|last| last.starts_with(b"HTTP/")) && !verb.eq_ignore_ascii_case(b"PASS") {
        return true;
    }
    // A header: a token with a colon right after it. No mail command has one before its first blank.
    let word = line.split(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
    word.iter()
        .position(|b| *b == b':')
        .is_some_and(|colon| colon > 0 && word[..colon].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'))
}

/// Whether a client begins TLS: the first octets are a TLS record, or the SSL 2 hello with which mail programs of the 1990s
/// begin even TLS (RFC 5246, appendix E.2).
pub fn is_tls_hello(input: &[u8]) -> bool {
    match input {
        // The first octet is enough, and may be all that has arrived: no command begins with it.
        [0x16, ..] => true,
        // Length with the high bit set, CLIENT-HELLO, version 2 or 3. An LF as low length octet is excluded: whether the
        // input looked like a line would depend on how it was cut, and no real hello has that length.
        [length, low, 1, 0 | 3, ..] => length & 0x80 != 0 && *low != b'\n',
        _ => false,
    }
}

/// Commands the log shows with all that follows them. Anything else a client says may be a password: in a command that
/// carries one, or in a line ostler does not expect.
const SHOWN_COMMANDS: [&str; 24] = [
    "CAPA", "DATA", "DELE", "EHLO", "HELO", "HELP", "LANG", "LAST", "LIST", "MAIL", "NOOP", "QUIT", "RCPT", "RETR",
    "RSET", "STARTTLS", "STAT", "STLS", "TOP", "UIDL", "USER", "UTF8", "VRFY", "XTND",
];

/// A client's command line for the log.
pub fn shown(line: &Line) -> String {
    let verb = Command::parse(line.bytes()).verb;
    if SHOWN_COMMANDS.contains(&verb.as_str()) {
        line.printable()
    } else if matches!(verb.as_str(), "PASS" | "AUTH" | "APOP") {
        format!("{verb} ***")
    } else {
        "*** (not a command of a mail program)".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_no_password_however_it_is_said() {
        for said in
            [" PASS hunter2", "\tpass\thunter2", "AUTH PLAIN hunter2", "APOP ann hunter2", "hunter2", "PASS\0hunter2"]
        {
            let shown = shown(&Line::new(said.as_bytes()));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(shown(&Line::new(b" mail from:<a@b>")), " mail from:<a@b>");
    }

    #[test]
    fn a_password_keeps_its_blanks() {
        assert_eq!(Command::parse(b"pass  two blanks "), Command { verb: "PASS".into(), rest: b" two blanks " });
        assert!(!Command::parse(b"AUTH ").has_argument());
        assert_eq!(Command::parse(b"").verb, "");
    }

    #[test]
    fn a_tls_hello_is_known_by_its_first_octet_however_it_is_cut() {
        assert!(is_tls_hello(&[0x16]) && is_tls_hello(&[0x16, 3, 1]) && is_tls_hello(&[0x16, 0xfa]));
        assert!(!is_tls_hello(b"") && !is_tls_hello(b"USER"));
    }

    #[test]
    fn the_hello_of_ssl_2_is_known_too() {
        assert!(is_tls_hello(&[0x80, 0x2e, 1, 3, 0]) && is_tls_hello(&[0x80, 0x1c, 1, 0, 2]));
        assert!(
            !is_tls_hello(&[0x80, 0x2e, 1]) && !is_tls_hello("\u{e4}\u{f6}".as_bytes()) && !is_tls_hello(b"ab\x01\x03")
        );
    }

    #[test]
    fn a_hello_of_ssl_2_has_no_line_end_so_that_cuts_do_not_matter() {
        assert!(!is_tls_hello(&[0xf7, b'\n', 1, 0]) && !is_tls_hello(&[0x80, b'\n', 1, 3]));
    }

    #[test]
    fn browsers_are_told_from_mail_programs() {
        for http in [
            "GET / HTTP/1.1",
            "post /x HTTP/1.0",
            "Host: 127.0.0.1:2110",
            "Content-Type:text/plain",
            "DELETE /1 HTTP/1.1",
            "PROPFIND / HTTP/1.1",
            " GET / HTTP/1.1",
        ] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for mail in [
            "PASS my HTTP/1.1",
            "MAIL FROM:<a@b>",
            "RCPT TO: <a>",
            "DELE 1",
            "TOP 1 0",
            "EHLO [127.0.0.1]",
            "USER a:b",
            "HELP",
            "",
            "::",
        ] {
            assert!(!is_http(mail.as_bytes()), "{mail}");
        }
    }
}
