//! SMTP (RFC 5321, 1870, 2034, 4954, 6152): commands and their paths, replies, extensions. The machines: `front` hears a
//! client, `login` signs in at a provider, `submission` is a message on its way there (its `envelope` may be said again on
//! another connection), `data` passes its body.

pub mod data;
pub mod envelope;
pub mod front;
pub mod login;
pub mod mend;
pub mod submission;
pub mod verdict;
pub mod words;

use crate::charset;
use crate::idn::{self, NoAsciiForm};
use crate::wire::{Line, MAX_CLIENT_REPLY_OCTETS, MAX_REPLY_LINES};

/// A whole reply: its code, and the printable text of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code, 200 to 599.
    pub code: u16,
    /// The text of each line: at least one line, at most [`MAX_REPLY_LINES`].
    pub lines: Vec<String>,
}

/// Why something is not a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// It has no code, or one that does not exist.
    #[error("\"{0}\" is not a reply")]
    NoCode(String),
    /// Its lines have different codes.
    #[error("one reply with the codes {0} and {1}")]
    MixedCodes(u16, u16),
    /// It has more lines than any server needs.
    #[error("a reply of more than {MAX_REPLY_LINES} lines")]
    TooManyLines,
}

/// Collects the lines of one reply.
#[derive(Debug, Default)]
pub struct ReplyParser {
    code: Option<u16>,
    lines: Vec<String>,
}

impl ReplyParser {
    /// Takes the next line. Returns the reply once it is complete.
    pub fn push(&mut self, line: &Line) -> Result<Option<Reply>, NotAReply> {
        let bytes = line.bytes();
        let no_code = || NotAReply::NoCode(line.printable());
        let digits = bytes.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or_else(no_code)?;
        let code = digits.iter().fold(0, |code, d| code * 10 + u16::from(d - b'0'));
        let last = match bytes.get(3) {
            // A line of three digits alone is the last one too (RFC 5321, 4.2).
            None | Some(b' ' | b'\t') => true,
            Some(b'-') => false,
            Some(_) => return Err(no_code()),
        };
        if !(200..600).contains(&code) {
            return Err(no_code());
        }
        match self.code {
            Some(first) if first != code => return Err(NotAReply::MixedCodes(first, code)),
            _ if self.lines.len() >= MAX_REPLY_LINES => return Err(NotAReply::TooManyLines),
            _ => self.code = Some(code),
        }
        self.lines.push(crate::wire::printable(bytes.get(4..).unwrap_or_default()));
        if !last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(Reply { code, lines: std::mem::take(&mut self.lines) }))
    }

    /// Whether a reply has begun and has not ended.
    pub fn is_inside(&self) -> bool {
        self.code.is_some()
    }
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: &str) -> Self {
        Self { code, lines: vec![text.to_owned()] }
    }

    /// Reads a reply of one line, as ostler writes it. A line that is not a reply becomes the text of a 451.
    pub fn from_line(line: &str) -> Self {
        match (line.get(..3).and_then(|code| code.parse().ok()), line.get(4..)) {
            (Some(code @ 200..=599), text) => Self::new(code, text.unwrap_or_default()),
            _ => Self::new(451, line),
        }
    }

    /// Whether the code is 2xx.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the code is 4xx: the same command may be accepted at another time.
    pub fn is_for_now(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether the code is 25x, yes to a command about mail. Other 2xx answer something else (RFC 5321, 4.2.1): 220 and 221
    /// mean the connection, 235 a sign-in.
    pub fn is_yes(&self) -> bool {
        (250..260).contains(&self.code)
    }

    /// All lines joined by blanks. An enhanced code, which RFC 2034 repeats on every line, is kept once. Servers wrap their
    /// text in the middle of a phrase, so only the whole can be searched for words.
    pub fn text(&self) -> String {
        let first = self.lines.first().map(String::as_str).unwrap_or_default();
        let code = leading_enhanced(first);
        let mut text = first.trim().to_owned();
        for line in self.lines.iter().skip(1) {
            let line = match code {
                Some(code) => line.trim_start().strip_prefix(code).unwrap_or(line),
                None => line,
            };
            if !text.is_empty() {
                text.push(' ');
            }
            text += line.trim();
        }
        text
    }

    /// The enhanced status code (RFC 3463): at the front, or anywhere if written as qmail does (`#5.7.1`).
    pub fn enhanced(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            leading_enhanced(line)
                .or_else(|| line.match_indices('#').find_map(|(at, _)| leading_enhanced(&line[at + 1..])))
        })
    }

    /// The whole reply on one line, without CR LF: of several lines some old clients show only the first, some only the
    /// last.
    pub fn one_line(&self) -> String {
        let mut line = format!("{} {}", self.code, self.text());
        // Printable ASCII, so every octet is a character.
        line.truncate(MAX_CLIENT_REPLY_OCTETS - 2);
        line.trim_end().to_owned()
    }
}

/// `5.7.1` at the front of a text.
fn leading_enhanced(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let code = &text[..end];
    let mut parts = code.split('.');
    let class = parts.next().is_some_and(|c| matches!(c, "2" | "4" | "5"));
    let rest = [parts.next(), parts.next()].iter().all(|p| p.is_some_and(|p| (1..=3).contains(&p.len())));
    (class && rest && parts.next().is_none()).then_some(code)
}

/// The most AUTH mechanisms that are remembered. The limit bounds a hostile server.
const MAX_MECHANISMS: usize = 64;

/// What a server offers in its answer to EHLO, as far as ostler uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SIZE (RFC 1870): whether it is offered, and the limit in octets if there is one.
    pub size: Option<Option<u64>>,
    /// The mechanisms of AUTH (RFC 4954), in either spelling, `AUTH ` or `AUTH=`.
    pub auth: Vec<String>,
    /// PIPELINING (RFC 2920): several commands may leave before the first is answered.
    pub pipelining: bool,
    /// CHUNKING (RFC 3030): a body may go by BDAT.
    pub chunking: bool,
}

impl Extensions {
    /// Reads the lines after the first, which greets.
    pub fn parse(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            let upper = line.trim().to_ascii_uppercase();
            let mut words = upper.split([' ', '=']).filter(|w| !w.is_empty());
            match words.next() {
                Some("STARTTLS") => found.starttls = true,
                Some("8BITMIME") => found.eight_bit = true,
                Some("PIPELINING") => found.pipelining = true,
                Some("CHUNKING") => found.chunking = true,
                // SIZE 0 means that there is no fixed limit (RFC 1870).
                Some("SIZE") => found.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0)),
                // Offered twice by many servers, in both spellings.
                Some("AUTH") => {
                    for mechanism in words {
                        if found.auth.len() < MAX_MECHANISMS && !found.auth.iter().any(|m| m == mechanism) {
                            found.auth.push(mechanism.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// What a client says in MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender without brackets; empty for the null sender.
    pub sender: String,
    /// The announced size in octets.
    pub size: Option<u64>,
    /// Whether the body is announced as 8-bit (`BODY=8BITMIME`).
    pub eight_bit: bool,
}

impl Mail {
    /// The command for a server, with the parameters that the server offers.
    pub fn command(&self, offered: &Extensions) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.sender);
        if let (Some(size), Some(_)) = (self.size, offered.size) {
            line += &format!(" SIZE={size}");
        }
        if self.eight_bit && offered.eight_bit {
            line += " BODY=8BITMIME";
        }
        line
    }
}

/// The reply to a MAIL or RCPT command that cannot be understood.
pub type Objection = &'static str;

/// Reads the argument of MAIL: `FROM:<path> parameters`. Old clients put a blank after the colon or leave out the brackets.
pub fn parse_mail(rest: &[u8]) -> Result<Mail, Objection> {
    let (sender, parameters) = parse_path(rest, "FROM:")?;
    let mut mail = Mail { sender, size: None, eight_bit: false };
    for parameter in parameters {
        let (key, value) = parameter.split_once('=').unwrap_or((&parameter, ""));
        match key.to_ascii_uppercase().as_str() {
            "SIZE" => mail.size = Some(value.parse().map_err(|_| words::SIZE_NEEDS_NUMBER)?),
            "BODY" => mail.eight_bit = value.eq_ignore_ascii_case("8BITMIME"),
            // The client may name the author (RFC 4954, section 5), but the account that ostler signs in with decides that.
            "AUTH" => {}
            _ => return Err(words::UNKNOWN_MAIL_PARAMETER),
        }
    }
    Ok(mail)
}

/// Reads the argument of RCPT: `TO:<path>`.
pub fn parse_rcpt(rest: &[u8]) -> Result<String, Objection> {
    let (recipient, parameters) = parse_path(rest, "TO:")?;
    if recipient.is_empty() {
        Err(words::RCPT_NEEDS_ADDRESS)
    } else if parameters.is_empty() {
        Ok(recipient)
    } else {
        Err(words::UNKNOWN_RCPT_PARAMETER)
    }
}

/// The address without brackets, and the parameters after it.
fn parse_path(rest: &[u8], keyword: &str) -> Result<(String, Vec<String>), Objection> {
    let text = charset::text(rest);
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err(words::NOT_ASCII);
    }
    let text = text.trim();
    let head = text.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword));
    let text = match head {
        Some(_) => text[keyword.len()..].trim_start(),
        None => return Err(words::NO_ADDRESS),
    };
    let (path, rest) = if let Some(inner) = text.strip_prefix('<') {
        let end = end_of_path(inner).ok_or(words::NO_CLOSING_BRACKET)?;
        (&inner[..end], &inner[end + 1..])
    } else if text.is_empty() {
        // The null sender is written `<>`. Nothing at all is a mistake.
        return Err(words::NO_ADDRESS);
    } else {
        text.split_once([' ', '\t']).unwrap_or((text, ""))
    };
    // A source route must be ignored (RFC 5321, appendix C).
    let path = if path.starts_with('@') { path.split_once(':').ok_or(words::ONLY_A_ROUTE)?.1 } else { path };
    // ostler puts the address in brackets again, so every server must see its end at the same place.
    if path.starts_with('@') || unquoted_octets(path).any(|(_, b)| matches!(b, b'<' | b'>')) {
        return Err(words::BRACKET_INSIDE);
    }
    if unquoted_octets(path).any(|(_, b)| matches!(b, b' ' | b'\t')) {
        return Err(words::BLANK_INSIDE);
    }
    if end_of_path(&format!("{path}>")).is_none() {
        return Err(words::OPEN_QUOTE);
    }
    if !rest.is_ascii() {
        return Err(words::NOT_ASCII);
    }
    Ok((ascii_path(path)?, rest.split_whitespace().map(str::to_owned).collect()))
}

/// The path for servers: an old program sends the letters of a domain as its user has typed them.
fn ascii_path(path: &str) -> Result<String, Objection> {
    match idn::address(path) {
        Ok(ascii) if ascii.is_ascii() => Ok(ascii.into_owned()),
        Err(NoAsciiForm::LocalPart) => Err(words::LOCAL_PART_NOT_ASCII),
        Ok(_) | Err(NoAsciiForm::Domain) => Err(words::NOT_ASCII),
    }
}

/// The offset of the closing bracket, which is outside quotes.
fn end_of_path(inner: &str) -> Option<usize> {
    unquoted_octets(inner).find(|(_, b)| *b == b'>').map(|(at, _)| at)
}

/// The octets of an address that are outside quotes, with their offsets. A backslash escapes only inside quotes.
fn unquoted_octets(path: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut quoted, mut escaped) = (false, false);
    path.bytes().enumerate().filter(move |(_, b)| {
        let is_quote = *b == b'"' && !escaped;
        escaped = quoted && !escaped && *b == b'\\';
        quoted ^= is_quote;
        !quoted && !is_quote
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(text: &str) -> Result<Option<Reply>, NotAReply> {
        let mut parser = ReplyParser::default();
        let mut last = Ok(None);
        for line in text.lines() {
            last = parser.push(&Line::new(line.as_bytes()));
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn replies_are_whole_or_nothing() {
        assert_eq!(reply("250-a\n250 b").unwrap().unwrap(), Reply { code: 250, lines: vec!["a".into(), "b".into()] });
        assert_eq!(reply("250").unwrap().unwrap(), Reply::new(250, ""));
        assert_eq!(reply("250-a").unwrap(), None);
        assert_eq!(reply("250-a\n550 b"), Err(NotAReply::MixedCodes(250, 550)));
        for nonsense in ["", "25", "2x0 a", "+OK", "250_a", "999 a", "100 a"] {
            assert!(reply(&format!("{nonsense}\n")).is_err() || nonsense.is_empty(), "{nonsense}");
        }
        assert_eq!(reply(&"250-a\n".repeat(MAX_REPLY_LINES + 1)), Err(NotAReply::TooManyLines));
    }

    #[test]
    fn yes_and_no_are_told_apart_by_the_code() {
        let kind = |code| {
            let reply = Reply::new(code, "");
            (reply.is_ok(), reply.is_yes())
        };
        for code in [250, 251, 259] {
            assert_eq!(kind(code), (true, true), "{code}");
        }
        for code in [200, 220, 235, 249, 260, 299] {
            assert_eq!(kind(code), (true, false), "{code}");
        }
        for code in [354, 399, 400, 499, 500, 599] {
            assert_eq!(kind(code), (false, false), "{code}");
        }
    }

    #[test]
    fn a_reply_is_under_way_from_its_first_line_to_its_last() {
        let mut parser = ReplyParser::default();
        assert!(!parser.is_inside());
        assert_eq!(parser.push(&Line::new(b"250-a")), Ok(None));
        assert!(parser.is_inside());
        assert!(matches!(parser.push(&Line::new(b"250 b")), Ok(Some(_))));
        assert!(!parser.is_inside());
    }

    #[test]
    fn an_enhanced_code_has_three_numbers_and_a_class() {
        for (text, code) in [
            ("5.7.1 no", Some("5.7.1")),
            ("  2.0.0", Some("2.0.0")),
            ("4.7.123: later", Some("4.7.123")),
            ("3.7.1 no such class", None),
            ("5.7 too few", None),
            ("5.7.1.1 too many", None),
            ("5.7.1234 too long", None),
            ("5..1 nothing", None),
            ("no code 5.7.1", None),
            ("see #5.7.1", Some("5.7.1")),
        ] {
            assert_eq!(Reply::new(550, text).enhanced(), code, "{text}");
        }
    }

    #[test]
    fn a_size_of_nought_is_no_limit() {
        let size = |said: &str| Extensions::parse(&Reply { code: 250, lines: vec!["mx".into(), said.into()] }).size;
        assert_eq!(size("SIZE 0"), Some(None));
        assert_eq!(size("SIZE 1"), Some(Some(1)));
        assert_eq!(size("SIZE"), Some(None));
        assert_eq!(size("SIZES 1"), None);
    }

    #[test]
    fn a_wrapped_refusal_becomes_one_line() {
        let wrapped =
            reply("550-5.7.1 <x@y>... Relaying denied. Proper authentication\n550 5.7.1 required.").unwrap().unwrap();
        assert_eq!(wrapped.one_line(), "550 5.7.1 <x@y>... Relaying denied. Proper authentication required.");
        assert_eq!(wrapped.enhanced(), Some("5.7.1"));
        assert_eq!(Reply::new(553, "sorry, that domain isn't allowed (#5.7.1)").enhanced(), Some("5.7.1"));
        assert_eq!(Reply::new(553, "version 10.20.30 of 1.2.3.4").enhanced(), None);
        assert_eq!(Reply::new(550, &"x".repeat(900)).one_line().len(), MAX_CLIENT_REPLY_OCTETS - 2);
    }

    #[test]
    fn extensions_are_read_in_both_spellings() {
        let said =
            reply("250-mx\n250-size 1000\n250-AUTH LOGIN PLAIN\n250-AUTH=LOGIN CRAM-MD5\n250-starttls\n250-pipelining\n250-Chunking\n250 8BITMIME")
                .unwrap()
                .unwrap();
        let wanted = Extensions {
            starttls: true,
            eight_bit: true,
            size: Some(Some(1000)),
            auth: ["LOGIN", "PLAIN", "CRAM-MD5"].map(String::from).to_vec(),
            pipelining: true,
            chunking: true,
        };
        assert_eq!(Extensions::parse(&said), wanted);
        assert_eq!(Extensions::parse(&Reply::new(250, "STARTTLS")), Extensions::default());
    }

    #[test]
    fn a_list_of_mechanisms_without_end_is_cut() {
        let mut lines = vec![String::new()];
        lines.extend((0..MAX_REPLY_LINES).map(|n| {
            let names: Vec<String> = (0..400).map(|m| format!("M{n}-{m}")).collect();
            format!("AUTH {}", names.join(" "))
        }));
        assert_eq!(Extensions::parse(&Reply { code: 250, lines }).auth.len(), MAX_MECHANISMS);
    }

    #[test]
    fn f08_letters_of_a_domain_leave_in_ascii_and_none_before_the_at_does() {
        let sender = "ann@xn--bcher-kva.example";
        for written in [
            "FROM:<ann@b\u{fc}cher.example>".as_bytes(),
            b"FROM:<ann@b\xfccher.example>",
            b"FROM: ann@B\xdcCHER.example SIZE=5",
            b"FROM:<@a,@b:ann@b\xfccher.example> BODY=7BIT",
        ] {
            assert_eq!(parse_mail(written).unwrap().sender, sender, "{}", written.escape_ascii());
        }
        assert_eq!(parse_rcpt(b"TO:<ann@b\xfccher.example>"), Ok(sender.into()));
        for written in [&b"FROM:<j\xfcrgen@x>"[..], b"FROM:<j\xfcrgen@b\xfccher.example>", "FROM:<\u{e4}@b>".as_bytes()]
        {
            assert_eq!(parse_mail(written), Err(words::LOCAL_PART_NOT_ASCII), "{}", written.escape_ascii());
        }
        // No sign that becomes one of a command.
        for wrong in
            ["FROM:<a@\u{fc}\u{ff1e}\u{ff1c}x>", "FROM:<a@\u{fc}\u{3000}x>", "FROM:<\u{fc}>", "FROM:<a@b> \u{fc}=1"]
        {
            assert_eq!(parse_mail(wrong.as_bytes()), Err(words::NOT_ASCII), "{wrong}");
        }
    }

    #[test]
    fn paths_are_read_as_old_clients_write_them() {
        for (written, sender) in [
            ("FROM:<a@b>", "a@b"),
            ("FROM: <a@b>", "a@b"),
            ("from:a@b", "a@b"),
            ("FROM: a@b SIZE=1", "a@b"),
            ("FROM:<>", ""),
            ("FROM:<@x,@y:a@b>", "a@b"),
            ("FROM:<\"a > b\"@c> SIZE=5 BODY=8BITMIME", "\"a > b\"@c"),
        ] {
            assert_eq!(parse_mail(written.as_bytes()).unwrap().sender, sender, "{written}");
        }
        for wrong in [
            "FROM:<@x>",
            "FROM:<@x:@y:a@b>",
            "FROM:<a\"b>",
            "FROM:a\"><b",
            "FROM:<a<b\"c\"@d>",
            "FROM:<\"a\\\">",
            "FROM:<a\\>b@c>",
        ] {
            assert!(parse_mail(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(parse_mail(br#"FROM:<"a\">"@b>"#).map(|m| m.sender), Ok(r#""a\">"@b"#.into()));
        for wrong in ["", "<a@b>", "FROM:<a@b", "FROM:<a b>", "FROM:<a@b> RET=FULL", "FROM:<\u{e4}@b>", "FROM:<a<b@c>"]
        {
            assert!(parse_mail(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(parse_rcpt(b"TO: <b@c>"), Ok("b@c".into()));
        assert!(parse_rcpt(b"TO:<>").is_err() && parse_rcpt(b"TO:<b@c> NOTIFY=NEVER").is_err());
    }

    #[test]
    fn only_what_the_server_offers_is_said_to_it() {
        let mail = parse_mail(b"FROM:<a@b> SIZE=77 BODY=8BITMIME AUTH=<>").unwrap();
        assert_eq!(mail.command(&Extensions::default()), "MAIL FROM:<a@b>");
        let all = Extensions { size: Some(None), eight_bit: true, ..Extensions::default() };
        assert_eq!(mail.command(&all), "MAIL FROM:<a@b> SIZE=77 BODY=8BITMIME");
    }

    #[test]
    fn nothing_at_all_is_not_the_null_sender() {
        assert!(parse_mail(b"FROM:").is_err() && parse_mail(b"FROM: ").is_err() && parse_mail(b"FROM:<>").is_ok());
    }

    proptest! {
        #[test]
        fn a_parsed_path_can_be_written_and_read_again(rest in "(FROM:)?[ -~]{0,40}") {
            if let Ok(mail) = parse_mail(rest.as_bytes()) {
                let command = mail.command(&Extensions { size: Some(None), eight_bit: true, ..Extensions::default() });
                prop_assert!(!command.contains(['\r', '\n']));
                prop_assert_eq!(parse_mail(&command.as_bytes()[5..]), Ok(mail));
            }
        }

        #[test]
        fn no_line_breaks_the_reply_parser(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..8)) {
            let mut parser = ReplyParser::default();
            for line in lines {
                if let Ok(Some(reply)) = parser.push(&Line::new(&line)) {
                    prop_assert!(reply.one_line().is_ascii());
                    prop_assert!(reply.one_line().len() <= MAX_CLIENT_REPLY_OCTETS - 2);
                    let _ = reply.enhanced();
                    let _ = Extensions::parse(&reply);
                }
            }
        }
    }
}
