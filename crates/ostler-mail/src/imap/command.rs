//! A client's command: its tag, its verb, and the strings behind them (RFC 3501, section 9), line by line as literals come.
//! Programs send a string as an atom, in quotes or as a literal, whichever suits its octets.

use zeroize::Zeroizing;

use crate::command;
use crate::imap::{is_tag, literal_at_end, split_word};

/// The most octets of a literal before the sign-in. Names and passwords are shorter.
pub(crate) const MAX_EARLY_LITERAL_OCTETS: u64 = 1024;
/// The most literals of one command before the sign-in: a name and a password.
const MAX_EARLY_LITERALS: usize = 2;
/// The most strings of one command before the sign-in.
const MAX_STRINGS: usize = 4;

/// The beginning of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    /// `None` if it is outside the grammar: it must not be echoed.
    pub(crate) tag: Option<&'a str>,
    /// Upper case.
    pub(crate) verb: String,
    /// Everything behind the blank after the verb.
    pub(crate) rest: &'a [u8],
}

impl<'a> Start<'a> {
    /// Splits a line. `UID` and what follows it are two words, of which the verb is the first. What stands around the verb
    /// and is not printable counts as blanks: a server may forgive that, and would carry out what ostler has not recognised.
    pub(crate) fn parse(line: &'a [u8]) -> Self {
        let (tag, rest) = split_word(line);
        let is_blank = |octet: &u8| !octet.is_ascii_graphic();
        let start = rest.iter().take_while(|octet| is_blank(octet)).count();
        let (_, rest) = rest.split_at(start);
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        let (verb, rest) = rest.split_at(end);
        let tag = std::str::from_utf8(tag).ok().filter(|tag| is_tag(tag.as_bytes()));
        let rest = rest.get(1..).unwrap_or_default();
        Self { tag, verb: String::from_utf8_lossy(verb).to_ascii_uppercase(), rest }
    }

    /// Whether the line has the form of a command. The target of an HTTP request (`/`, `*`, `host:80`) is no word of letters,
    /// and the name of an HTTP header has a colon behind it.
    fn is_command(&self) -> bool {
        let is_verb = !self.verb.is_empty() && self.verb.bytes().all(|octet| octet.is_ascii_uppercase());
        is_verb && self.tag.is_some_and(|tag| !tag.ends_with(':'))
    }
}

/// Whether a line comes from a web browser. A tag may read like a verb of HTTP, and a search may end in `HTTP/2`.
pub(crate) fn is_http(line: &[u8]) -> bool {
    command::is_http(line) && !Start::parse(line.trim_ascii()).is_command()
}

/// What the strings of a command have come to with one more line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The command is complete.
    Complete,
    /// A literal follows in the next line, once the client is told to go on.
    AsksToGoOn,
    /// A literal follows in the next line.
    GoesOn,
    /// This is no list of strings; the text says why.
    Malformed(&'static str),
    /// The literal that follows is too long, and would be taken for commands.
    TooMuch,
}

/// The strings of a command, as far as they have come.
#[derive(Default)]
pub(crate) struct Strings {
    /// Complete ones. They may be passwords.
    all: Vec<Zeroizing<Vec<u8>>>,
    /// The length of the literal that the next line begins with.
    owed: Option<usize>,
    literals: usize,
}

impl Strings {
    /// The strings of a complete command.
    pub(crate) fn into_vec(self) -> Vec<Zeroizing<Vec<u8>>> {
        self.all
    }

    /// Takes what follows the verb, or the line that a literal begins.
    pub(crate) fn take(&mut self, line: &[u8]) -> Progress {
        let mut rest = line;
        if let Some(octets) = self.owed.take() {
            // A string with a line end in it is neither a name nor a password.
            let Some((literal, behind)) = line.split_at_checked(octets) else {
                return Progress::Malformed("a name or a password has no line end in it");
            };
            self.all.push(Zeroizing::new(literal.to_vec()));
            rest = match behind {
                [] => return Progress::Complete,
                [b' ', behind @ ..] => behind,
                _ => return Progress::Malformed("a blank has to stand between two strings"),
            };
        }
        self.strings(rest)
    }

    fn strings(&mut self, mut rest: &[u8]) -> Progress {
        loop {
            // Blanks more than one are forgiven.
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                return Progress::Complete;
            }
            if self.all.len() >= MAX_STRINGS {
                return Progress::Malformed("there are too many words");
            }
            let is_last = !rest.contains(&b' ');
            if let Some(literal) = literal_at_end(rest).filter(|literal| is_last && literal.mark == rest.len()) {
                return self.announced(literal.octets, literal.waits);
            }
            let taken = if rest[0] == b'"' { self.quoted(rest) } else { Some(self.atom(rest)) };
            let Some(octets) = taken else { return Progress::Malformed("a quote does not end") };
            rest = &rest[octets..];
            if !matches!(rest, [] | [b' ', ..]) {
                return Progress::Malformed("a blank has to stand between two strings");
            }
        }
    }

    fn announced(&mut self, octets: u64, waits: bool) -> Progress {
        self.literals += 1;
        let fits = octets <= MAX_EARLY_LITERAL_OCTETS && self.literals <= MAX_EARLY_LITERALS;
        match usize::try_from(octets).ok().filter(|_| fits) {
            Some(octets) => {
                self.owed = Some(octets);
                if waits { Progress::AsksToGoOn } else { Progress::GoesOn }
            }
            // The client waits, and hears no.
            None if waits => Progress::Malformed("that is too long for a name or a password"),
            None => Progress::TooMuch,
        }
    }

    /// Takes an atom. More octets are taken for one than the grammar allows, because programs did not quote them all.
    fn atom(&mut self, rest: &[u8]) -> usize {
        let (word, _) = split_word(rest);
        self.all.push(Zeroizing::new(word.to_vec()));
        word.len()
    }

    /// Takes a quoted string; `None` if its end is missing. Returns how many octets it takes up.
    fn quoted(&mut self, rest: &[u8]) -> Option<usize> {
        let mut text = Zeroizing::new(Vec::with_capacity(rest.len()));
        let mut at = 1;
        loop {
            match *rest.get(at)? {
                b'"' => break,
                b'\\' => {
                    text.push(*rest.get(at + 1)?);
                    at += 2;
                }
                octet => {
                    text.push(octet);
                    at += 1;
                }
            }
        }
        self.all.push(text);
        Some(at + 1)
    }
}

/// The string as a client or a server may read it: quoted, or `None` if it has octets that need a literal.
pub(crate) fn quote(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !text.iter().all(|b| matches!(b, b' '..=b'~')) {
        return None;
    }
    let mut quoted = Zeroizing::new(Vec::with_capacity(text.len() + 2));
    quoted.push(b'"');
    for octet in text {
        if matches!(octet, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*octet);
    }
    quoted.push(b'"');
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the lines come to, and the strings.
    fn taken(lines: &[&[u8]]) -> (Progress, Vec<String>) {
        let mut strings = Strings::default();
        let mut progress = Progress::Complete;
        for line in lines {
            progress = strings.take(line);
        }
        (progress, strings.into_vec().iter().map(|s| s.escape_ascii().to_string()).collect())
    }

    fn complete(lines: &[&[u8]]) -> Vec<String> {
        let (progress, strings) = taken(lines);
        assert_eq!(progress, Progress::Complete);
        strings
    }

    #[test]
    fn a_string_comes_as_an_atom_in_quotes_or_as_a_literal() {
        assert_eq!(complete(&[b"ann secret"]), ["ann", "secret"]);
        assert_eq!(complete(&[br#""ann" "se\"c\\r et""#]), ["ann", r#"se\"c\\r et"#]);
        assert_eq!(complete(&[b"{3}", b"ann {6+}", b"se ret"]), ["ann", "se ret"]);
        assert_eq!(complete(&[b"ann {0}", b""]), ["ann", ""]);
        assert_eq!(complete(&[b"\"\" \"\""]), ["", ""]);
        assert_eq!(complete(&[b"ann {4}", b"p\xe4\xdfs"]), ["ann", r"p\xe4\xdfs"], "octets, in any charset");
        assert_eq!(complete(&[b"  ann   secret "]), ["ann", "secret"]);
        assert_eq!(complete(&[b"ann pa{3}"]), ["ann", "pa{3}"], "a literal is a word of its own");
    }

    #[test]
    fn the_client_is_told_to_go_on_when_it_waits_for_that() {
        assert_eq!(taken(&[b"{3}"]).0, Progress::AsksToGoOn);
        assert_eq!(taken(&[b"{3+}"]).0, Progress::GoesOn);
        assert_eq!(taken(&[b"{3}", b"ann {5}"]).0, Progress::AsksToGoOn);
    }

    #[test]
    fn what_is_no_list_of_strings_is_refused_in_words() {
        for lines in [
            &[&b"\"ann"[..]][..],
            &[b"\"ann\\"],
            &[b"\"ann\"x secret"],
            &[b"{9}", b"ann"],
            &[b"{3}", b"annx"],
            &[b"a b c d e"],
            &[b"{1025}"],
            &[b"{1}", b"a {1}", b"b {1}"],
        ] {
            assert!(matches!(taken(lines).0, Progress::Malformed(_)), "{lines:?}");
        }
        assert_eq!(taken(&[b"{1025+}"]).0, Progress::TooMuch);
    }

    #[test]
    fn a_line_begins_with_tag_and_verb() {
        assert_eq!(Start::parse(b"1 login a b"), Start { tag: Some("1"), verb: "LOGIN".into(), rest: b"a b" });
        assert_eq!(Start::parse(b"* OK"), Start { tag: None, verb: "OK".into(), rest: b"" });
        assert_eq!(Start::parse(b"x"), Start { tag: Some("x"), verb: String::new(), rest: b"" });
    }

    #[test]
    fn a_verb_is_found_behind_whatever_blanks() {
        let of = |line: &'static [u8]| (Start::parse(line).verb, Start::parse(line).rest);
        for line in [
            &b"1  compress deflate"[..],
            b"1 \tcompress deflate",
            b"1 \x0b compress\tdeflate",
            b"1 \xa0compress deflate",
        ] {
            assert_eq!(of(line), ("COMPRESS".into(), &b"deflate"[..]), "{}", line.escape_ascii());
        }
        assert_eq!(of(b"1 idle "), ("IDLE".into(), &b""[..]));
        // The tag ends at a blank, and begins the line.
        assert_eq!((Start::parse(b"1\tcompress x").tag, Start::parse(b" 1 compress").tag), (None, None));
    }

    #[test]
    fn a_browser_is_told_from_a_program_that_has_odd_tags_or_searches_for_http() {
        for http in [
            "GET / HTTP/1.1",
            "POST http://a/x HTTP/1.0",
            "OPTIONS * HTTP/1.1",
            "CONNECT localhost:80 HTTP/1.1",
            "get /",
            "Host: localhost",
            "Content-Type:text/plain",
            "PRI * HTTP/2.0",
            " GET / HTTP/1.1",
        ] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for command in [
            "GET NOOP",
            "POST login ann secret",
            "a:1 NOOP",
            "7 SEARCH SUBJECT HTTP/2",
            "7 LOGIN ann HTTP/1.1",
            "7 NOOP",
        ] {
            assert!(!is_http(command.as_bytes()), "{command}");
        }
    }

    #[test]
    fn what_is_quoted_reads_the_same() {
        for text in [&b"a b"[..], b"", br#"a"b\c"#, b"~!"] {
            let quoted = quote(text).unwrap();
            let mut strings = Strings::default();
            assert_eq!(strings.take(&quoted), Progress::Complete);
            assert_eq!(strings.into_vec()[0].as_slice(), text);
        }
        assert!(quote(b"p\xe4ss").is_none() && quote(b"a\r\n").is_none());
    }
}
