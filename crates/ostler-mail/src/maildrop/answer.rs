//! Reads what an IMAP server says: a line at a time, without its literals.

use crate::imap::login::{Status, status_of};
use crate::imap::{literal_at_end, split_code, split_word};
use crate::wire::{Line, printable};

/// A line of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// The command with this tag is answered, with this text.
    Tagged(&'a [u8], Status, &'a [u8]),
    /// A status line without a tag; never with a literal, whatever it ends in.
    Status(Status, &'a [u8]),
    /// The server closes the connection, and says why.
    Bye(&'a [u8]),
    /// The folder has this many messages.
    Exists(u32),
    /// Data about the message of this number: what stands in its parentheses, without the first one.
    Fetch(u64, &'a [u8]),
    /// Any other data. It may end with a literal.
    Data,
    /// No line that IMAP has, or one that is not asked for.
    Other,
}

impl<'a> Answer<'a> {
    /// Reads a line without its line end.
    pub(super) fn parse(line: &'a [u8]) -> Self {
        let (first, rest) = split_word(line);
        let (word, text) = split_word(rest);
        if first != b"*" {
            return status_of(word).map_or(Self::Other, |status| Self::Tagged(first, status, text));
        }
        if let Some(status) = status_of(word) {
            return Self::Status(status, text);
        }
        let (second, data) = split_word(text);
        match (number(word), second.to_ascii_uppercase().as_slice()) {
            (Some(count), b"EXISTS") => u32::try_from(count).map_or(Self::Other, Self::Exists),
            (Some(message), b"FETCH") => {
                let items = data.trim_ascii_start().strip_prefix(b"(");
                items.map_or(Self::Data, |items| Self::Fetch(message, items))
            }
            _ if word.eq_ignore_ascii_case(b"BYE") => Self::Bye(text),
            _ if word.eq_ignore_ascii_case(b"PREAUTH") || word.eq_ignore_ascii_case(b"CAPABILITY") => Self::Other,
            _ => Self::Data,
        }
    }

    /// The length of the literal that follows the line, if one does.
    pub(super) fn literal(&self, line: &[u8]) -> Option<u64> {
        match self {
            Self::Fetch(..) | Self::Data => literal_at_end(line).map(|literal| literal.octets),
            Self::Tagged(..) | Self::Status(..) | Self::Bye(_) | Self::Exists(_) | Self::Other => None,
        }
    }
}

/// The number of a code with which a text begins: `[UIDVALIDITY 7]`.
pub(super) fn code_number(text: &[u8], code: &[u8]) -> Option<u64> {
    number(code_argument(text, code)?)
}

/// Whether a text begins with this code.
pub(super) fn has_code(text: &[u8], code: &[u8]) -> bool {
    code_argument(text, code).is_some()
}

/// What stands behind the word in a code with which a text begins.
pub(super) fn code_argument<'t>(text: &'t [u8], code: &[u8]) -> Option<&'t [u8]> {
    let (word, argument) = split_word(split_code(text)?.0);
    word.eq_ignore_ascii_case(code).then_some(argument)
}

/// The words of a status line for people, without the code.
pub(super) fn said(text: &[u8]) -> String {
    Line::new(split_code(text).map_or(text, |(_, words)| words)).printable()
}

/// A number as IMAP has it: digits only.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| is_number)?.parse().ok()
}

/// A value in the data about a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Nil,
    /// A string in quotes, without them.
    Quoted(Vec<u8>),
    /// So many octets follow the line.
    Literal(u64),
    /// A list in parentheses, or an atom.
    Other(&'a [u8]),
}

/// The items of a message's data, one after the other, as far as the line goes.
pub(super) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// The items of what follows the first parenthesis, or a literal.
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Whether nothing but the end of the data is left. It is not if a value could not be read.
    pub(super) fn are_over(&self) -> bool {
        self.rest.trim_ascii() == b")"
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let rest = self.rest;
        if let Some(literal) = literal_at_end(rest).filter(|l| rest[..rest.len() - l.mark].iter().all(|b| *b == b'~')) {
            self.rest = &[];
            return Some(Value::Literal(literal.octets));
        }
        let (value, octets) = match rest.first()? {
            b'"' => unquote(rest)?,
            b'(' => {
                let end = end_of_list(rest)?;
                (Value::Other(&rest[..end]), end)
            }
            _ => {
                let end = rest.iter().position(|b| matches!(b, b' ' | b')')).unwrap_or(rest.len());
                (atom(&rest[..end]), end)
            }
        };
        self.rest = &rest[octets..];
        Some(value)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let end = end_of_name(rest)?;
        let name = &rest[..end];
        self.rest = &rest[end + 1..];
        Some((name, self.value()?))
    }
}

/// The blank behind a name such as `UID` or `BODY[HEADER.FIELDS (DATE)]<0>`.
fn end_of_name(rest: &[u8]) -> Option<usize> {
    let mut is_section = false;
    rest.iter().position(|octet| match octet {
        b'[' | b']' => {
            is_section = *octet == b'[';
            false
        }
        b' ' => !is_section,
        _ => false,
    })
}

fn atom(word: &[u8]) -> Value<'_> {
    match number(word) {
        Some(number) => Value::Number(number),
        None if word.eq_ignore_ascii_case(b"NIL") => Value::Nil,
        None => Value::Other(word),
    }
}

/// The string in quotes at the front of a text, and how many octets it takes up.
fn unquote(text: &[u8]) -> Option<(Value<'static>, usize)> {
    let (mut string, mut at) = (Vec::new(), 1);
    loop {
        match *text.get(at)? {
            b'"' => return Some((Value::Quoted(string), at + 1)),
            b'\\' => {
                string.push(*text.get(at + 1)?);
                at += 2;
            }
            octet => {
                string.push(octet);
                at += 1;
            }
        }
    }
}

/// How many octets a list in parentheses takes up; parentheses in strings do not count.
fn end_of_list(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match *text.get(at)? {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => at += unquote(&text[at..])?.1 - 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Reads the numbers of a SEARCH answer, however it is cut. The line may be of any length.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The digits so far; `None` between numbers.
    number: Option<u64>,
}

impl Numbers {
    /// Takes the next octets, up to the end of the line, and gives each number to `found`. Returns how many were taken, and
    /// whether the line has ended.
    pub(super) fn take(&mut self, input: &[u8], mut found: impl FnMut(u64)) -> (usize, bool) {
        for (at, octet) in input.iter().enumerate() {
            match octet {
                b'0'..=b'9' => {
                    let digit = u64::from(octet - b'0');
                    self.number = Some(self.number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                }
                _ => self.number.take().into_iter().for_each(&mut found),
            }
            if *octet == b'\n' {
                return (at + 1, true);
            }
        }
        (input.len(), false)
    }
}

/// A text of a server that stands where none was expected.
pub(super) fn quoted(line: &[u8]) -> String {
    format!("\"{}\"", printable(&line[..line.len().min(200)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let of = |line: &'static str| Answer::parse(line.as_bytes());
        assert_eq!(of("m1 OK done"), Answer::Tagged(b"m1", Status::Ok, b"done"));
        assert_eq!(of("m1 no [X] done"), Answer::Tagged(b"m1", Status::No, b"[X] done"));
        assert_eq!(of("* OK [ALERT] hear {5}"), Answer::Status(Status::Ok, b"[ALERT] hear {5}"));
        assert_eq!(of("* 172 exists"), Answer::Exists(172));
        assert_eq!(of("* 3 FETCH (UID 4)"), Answer::Fetch(3, b"UID 4)"));
        assert_eq!(of("* BYE out"), Answer::Bye(b"out"));
        for data in ["* 3 EXPUNGE", "* FLAGS (a)", "* SEARCH 1", "* 3 FETCH", "* LIST () \"/\" {3}", "* x"] {
            assert_eq!(of(data), Answer::Data, "{data}");
        }
        for other in ["* CAPABILITY A", "", "*", "+ go on", "junk", "m1", "* 99999999999 EXISTS"] {
            assert!(matches!(of(other), Answer::Other | Answer::Data), "{other}");
        }
    }

    #[test]
    fn literals_follow_data_and_no_words() {
        let of = |line: &'static str| Answer::parse(line.as_bytes()).literal(line.as_bytes());
        assert_eq!(of("* 1 FETCH (BODY[] {12}"), Some(12));
        assert_eq!(of("* LIST () \"/\" {3}"), Some(3));
        assert_eq!(of("* OK see {12}"), None);
        assert_eq!(of("m1 OK see {12}"), None);
        assert_eq!(of("* BYE {12}"), None);
    }

    #[test]
    fn codes_and_words_are_read() {
        assert_eq!(code_number(b"[UIDVALIDITY 7] ok", b"uidvalidity"), Some(7));
        assert_eq!(code_number(b"[UIDNEXT 7] ok", b"UIDVALIDITY"), None);
        assert_eq!(code_number(b"[UIDVALIDITY x]", b"UIDVALIDITY"), None);
        assert!(has_code(b"[READ-ONLY] x", b"read-only") && !has_code(b"read-only", b"READ-ONLY"));
        assert_eq!(said(b"[NONEXISTENT] no such \xff"), "no such ?");
    }

    fn items(text: &str) -> (Vec<String>, bool) {
        let mut items = Items::new(text.as_bytes());
        let all = items.by_ref().map(|(name, value)| format!("{}={value:?}", String::from_utf8_lossy(name))).collect();
        (all, items.are_over())
    }

    #[test]
    fn data_about_a_message_comes_in_any_order_and_with_more_than_was_asked() {
        let (all, over) = items(r#"UID 12 FLAGS (\Seen "a)b" ()) RFC822.SIZE 300 MODSEQ (7) X NIL)"#);
        assert!(over);
        assert_eq!(
            (all[0].as_str(), all[2].as_str(), all[4].as_str()),
            ("UID=Number(12)", "RFC822.SIZE=Number(300)", "X=Nil")
        );
        assert_eq!(items("BODY[]<0> {20}"), (vec!["BODY[]<0>=Literal(20)".into()], false));
        assert_eq!(items("BODY[] ~{20}").0, ["BODY[]=Literal(20)"]);
        assert_eq!(items(r#"BODY[HEADER.FIELDS (A B)] "x\"y" UID 3)"#).0[1], "UID=Number(3)");
        assert_eq!(items(r#"BODY[] "" UID 3)"#).0[0], "BODY[]=Quoted([])");
        assert_eq!(items(" UID 5)"), (vec!["UID=Number(5)".into()], true));
        assert_eq!(items(")"), (vec![], true));
        for bad in ["UID", "UID (", "UID \"", "", "BODY[] {3} x", "FLAGS (a", "BODY[ x"] {
            assert!(!items(bad).1, "{bad}");
        }
    }

    #[test]
    fn numbers_are_read_in_whatever_pieces() {
        let line = b" 3 45\t678 99999999999999999999999\r\n* rest";
        for size in 1..line.len() {
            let (mut numbers, mut all, mut ended) = (Numbers::default(), Vec::new(), None);
            for (n, chunk) in line.chunks(size).enumerate() {
                let (taken, is_end) = numbers.take(chunk, |number| all.push(number));
                if is_end {
                    ended = Some(n * size + taken);
                    break;
                }
            }
            assert_eq!(all, [3, 45, 678, u64::MAX]);
            assert_eq!(ended, Some(line.len() - 6));
        }
    }
}
