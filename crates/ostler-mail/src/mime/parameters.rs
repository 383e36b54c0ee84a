//! The values of Content-Type and Content-Disposition (RFC 2045, section 5; RFC 2183; RFC 2231): a word, and parameters
//! behind it.

use std::ops::Range;

use super::transfer::hex_digit;

/// A parsed value. It is as lenient as mail programs are: a parameter without quotes goes to the next semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// `text/plain`, `attachment`: lower case, without blanks.
    pub(crate) word: String,
    /// Where the word ends in the field's value, with its comments: at the first semicolon, or behind the last letter.
    pub(crate) word_end: usize,
    pub(crate) parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Lower case, with the asterisks of RFC 2231.
    pub(crate) name: String,
    /// Without quotes and backslashes.
    pub(crate) value: Vec<u8>,
    /// Its place in the field's value, from the semicolon before it to the end of its own value.
    pub(crate) place: Range<usize>,
    /// The place of its value, quotes included.
    pub(crate) value_place: Range<usize>,
}

impl Parsed {
    /// Reads the value of a field; `None` if it makes no sense.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut scanner = Scanner { value, at: 0 };
        let word = scanner.word(b";")?;
        let word = String::from_utf8(word).ok()?;
        let word_end = if scanner.at < value.len() { scanner.at } else { value.trim_ascii_end().len() };
        let word = word.split('/').map(str::trim).collect::<Vec<_>>().join("/");
        // Where one program sees a type, the next one sees none.
        if word.contains(|c: char| c.is_ascii_whitespace()) {
            return None;
        }
        let mut parameters = Vec::new();
        while scanner.at < value.len() {
            parameters.extend(scanner.parameter()?);
        }
        (!word.is_empty()).then(|| Self { word: word.to_ascii_lowercase(), word_end, parameters })
    }

    /// The value of a parameter, also if it is written as RFC 2231 has it; `None` if it is not there, or there twice.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let mut plain = self.parameters.iter().filter(|parameter| parameter.name == name);
        match (plain.next(), plain.next()) {
            (Some(parameter), None) => Some(parameter.value.clone()),
            (Some(_), Some(_)) => None,
            (None, _) => self.extended(name).map(|extended| extended.octets),
        }
    }

    /// Whether the parameter is there, in whatever form.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| base(&parameter.name) == name)
    }

    /// The names of the parameters that are written as RFC 2231 has it, each once, in the order of the field.
    pub(crate) fn extended_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for parameter in self.parameters.iter().filter(|parameter| parameter.name.contains('*')) {
            if !names.contains(&base(&parameter.name)) {
                names.push(base(&parameter.name));
            }
        }
        names
    }

    /// A parameter that is written as RFC 2231 has it: in pieces, in a charset, or both.
    pub(crate) fn extended(&self, name: &str) -> Option<Extended> {
        let pieces =
            self.parameters.iter().filter(|parameter| parameter.name.contains('*') && base(&parameter.name) == name);
        let mut pieces: Vec<(usize, bool, &Parameter)> = pieces.map(piece).collect::<Option<_>>()?;
        pieces.sort_by_key(|(number, ..)| *number);
        let in_order = pieces.iter().enumerate().all(|(at, (number, ..))| at == *number);
        if pieces.is_empty() || !in_order {
            return None;
        }
        let mut extended = Extended { charset: None, octets: Vec::new() };
        for (number, is_coded, parameter) in pieces {
            let mut value = parameter.value.as_slice();
            if number == 0 && is_coded {
                let mut parts = value.splitn(3, |octet| *octet == b'\'');
                let (charset, _, rest) = (parts.next()?, parts.next()?, parts.next()?);
                extended.charset = Some(charset.to_vec());
                value = rest;
            }
            if is_coded {
                percent_decode(value, &mut extended.octets)?
            } else {
                extended.octets.extend_from_slice(value)
            }
        }
        Some(extended)
    }
}

/// The value of a parameter of RFC 2231.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extended {
    /// The charset it names, if it names one; it may be empty.
    pub(crate) charset: Option<Vec<u8>>,
    pub(crate) octets: Vec<u8>,
}

/// The value of a Content-Type with this charset, in the place of any other; `None` if the value makes no sense.
pub(crate) fn with_charset(value: &[u8], label: &str) -> Option<Vec<u8>> {
    let parsed = Parsed::parse(value)?;
    let plain = format!("charset={label}").into_bytes();
    let is_charset = |parameter: &&Parameter| base(&parameter.name) == "charset";
    let mut edits = Vec::new();
    for (at, parameter) in parsed.parameters.iter().filter(is_charset).enumerate() {
        let blanks = value[parameter.place.start + 1..].iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        edits.push(match at {
            0 => (parameter.place.start + 1 + blanks..parameter.place.end, plain.clone()),
            _ => (parameter.place.clone(), Vec::new()),
        });
    }
    if edits.is_empty() {
        edits.push((parsed.word_end..parsed.word_end, [b"; ", plain.as_slice()].concat()));
    }
    Some(super::edited(value, &edits))
}

/// `filename` of `filename*1*`.
pub(crate) fn base(name: &str) -> &str {
    name.split('*').next().unwrap_or(name)
}

/// The number of a piece, and whether it is percent-coded.
fn piece(parameter: &Parameter) -> Option<(usize, bool, &Parameter)> {
    let rest = parameter.name.split_once('*')?.1;
    if rest.is_empty() {
        return Some((0, true, parameter));
    }
    let number = rest.strip_suffix('*').unwrap_or(rest);
    let is_number = number.len() < 4 && number.bytes().all(|octet| octet.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, rest.ends_with('*'), parameter))
}

fn percent_decode(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = value.iter().copied();
    while let Some(octet) = rest.next() {
        out.push(if octet == b'%' { hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)? } else { octet });
    }
    Some(())
}

struct Scanner<'a> {
    value: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    /// Skips blanks, line ends and comments.
    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'(') => self.skip_comment()?,
                _ => return Some(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        while let Some(octet) = self.peek() {
            self.at += 1;
            match octet {
                b'(' => depth += 1,
                b')' if depth == 1 => return Some(()),
                b')' => depth -= 1,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        None
    }

    /// The octets up to one of `ends`, without blanks and comments around them.
    fn word(&mut self, ends: &[u8]) -> Option<Vec<u8>> {
        self.skip_blanks()?;
        let start = self.at;
        let mut end = start;
        while let Some(octet) = self.peek().filter(|octet| !ends.contains(octet)) {
            if octet == b'(' && self.at == end + 1 {
                self.skip_comment()?;
                continue;
            }
            self.at += 1;
            if !octet.is_ascii_whitespace() {
                end = self.at;
            }
        }
        Some(self.value[start..end.max(start)].to_vec())
    }

    /// The parameter behind the next semicolon. `Some(None)`: nothing is behind it.
    fn parameter(&mut self) -> Option<Option<Parameter>> {
        let start = self.at;
        if self.peek() != Some(b';') {
            return None;
        }
        self.at += 1;
        self.skip_blanks()?;
        if matches!(self.peek(), None | Some(b';')) {
            return Some(None);
        }
        let name = String::from_utf8(self.word(b"=;")?).ok()?.to_ascii_lowercase();
        if self.peek() != Some(b'=') || name.contains(|letter: char| letter.is_ascii_whitespace()) {
            return None;
        }
        self.at += 1;
        self.skip_blanks()?;
        let value_start = self.at;
        let (value, end) = if self.peek() == Some(b'"') {
            let value = self.quoted()?;
            let end = self.at;
            self.skip_blanks()?;
            (value, end)
        } else {
            let value = self.word(b";")?;
            let end = value_start + value.len();
            (value, end)
        };
        matches!(self.peek(), None | Some(b';')).then_some(Some(Parameter {
            name,
            value,
            place: start..end,
            value_place: value_start..end,
        }))
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.at += 1;
        while let Some(octet) = self.peek() {
            self.at += 1;
            match octet {
                b'"' => return Some(value),
                b'\\' => {
                    value.push(self.peek()?);
                    self.at += 1;
                }
                // Folded: the line end is not a part of the value.
                b'\r' | b'\n' => {}
                _ => value.push(octet),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Parsed {
        Parsed::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"))
    }

    #[test]
    fn a_word_and_its_parameters_are_read_as_mail_programs_write_them() {
        let value = " Text/Plain (really);\r\n\tcharset=\"utf-8\"; format=flowed (x) ; name=a b.txt;";
        let found = parsed(value);
        assert_eq!(found.word, "text/plain");
        let pairs: Vec<_> =
            found.parameters.iter().map(|p| (p.name.as_str(), String::from_utf8_lossy(&p.value))).collect();
        assert_eq!(pairs, [("charset", "utf-8".into()), ("format", "flowed".into()), ("name", "a b.txt".into())]);
        assert_eq!(&value[found.parameters[0].value_place.clone()], "\"utf-8\"");
        assert_eq!(&value[found.parameters[1].place.clone()], "; format=flowed");
        assert_eq!(parsed("multipart/mixed; boundary=\"a\\\"b\"").get("boundary").unwrap(), b"a\"b");
        assert_eq!(parsed("attachment").word, "attachment");
        assert_eq!(parsed(" text /\r\n plain").word, "text/plain");
    }

    #[test]
    fn what_makes_no_sense_is_not_read() {
        for value in [
            "",
            ";",
            // Found by fuzzing.
            "text/htm l",
            "text/plain; charset",
            "text/plain; charset=\"utf-8",
            "text/plain; a b=c",
            "text/plain; a=\"b\" c",
            "text/plain (",
            "\u{fffd}",
        ] {
            let found = Parsed::parse(value.as_bytes());
            assert!(found.is_none() || value == "\u{fffd}", "{value}: {found:?}");
        }
        assert_eq!(parsed("text/plain; charset=a; charset=b").get("charset"), None);
    }

    #[test]
    fn pieces_and_charsets_of_rfc_2231_are_put_together() {
        let found = parsed("attachment; filename*1=\" 100%.pdf\"; filename*0*=UTF-8'en'na%C3%AFve; size=3");
        let name = found.extended("filename").unwrap();
        assert_eq!(name.charset.as_deref(), Some(&b"UTF-8"[..]));
        assert_eq!(name.octets, "na\u{ef}ve 100%.pdf".as_bytes());
        assert_eq!(found.extended_names(), ["filename"]);
        assert!(found.has("filename") && !found.has("name"));
        assert_eq!(parsed("a; filename*=''x%20y").extended("filename").unwrap().octets, b"x y");
        assert_eq!(parsed("a; filename*0=x; filename*1=y").extended("filename").unwrap().octets, b"xy");
        for odd in [
            "a; filename*1=x",
            "a; filename*=x",
            "a; filename*0*=u''%G0",
            "a; filename*0=x; filename*0=y",
            "a; filename*x=y",
        ] {
            assert_eq!(parsed(odd).extended("filename"), None, "{odd}");
        }
    }
}
