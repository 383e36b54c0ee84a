//! The words of a header field: encoded-words and raw UTF-8 become encoded-words in the charset of the mail program, or ASCII.
//! What is between them stays as it is.

use std::ops::Range;

use encoding_rs::{Encoding, UTF_8};

use super::Tally;
use super::charset::{Charset, Written, is_lost, letters_of};
use super::profile::Readable;
use crate::mime::encoded_word::{self, EncodedWord, Lines, MAX_ENCODED_WORD_OCTETS, MAX_HEADER_LINE_OCTETS};

/// Where in a field a word stands. It decides how plain ASCII is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a field that is only text, such as Subject.
    Text,
    /// A name before an address.
    Phrase,
    Comment,
    Quotes,
}

/// A word that may have to be written anew.
#[derive(Debug, Clone)]
struct Word {
    octets: Vec<u8>,
    charset: &'static Encoding,
    label: String,
    place: Place,
    /// It was an encoded-word, so blanks between it and another one mean nothing.
    is_encoded: bool,
    must_change: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Word(Word),
    Blanks,
    /// A word that stays as it is.
    Plain,
    /// Addresses, and the signs between words.
    Other,
}

/// A piece of a field's value.
#[derive(Debug, Clone)]
struct Piece {
    range: Range<usize>,
    kind: Kind,
}

/// Which words are written anew, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewriting {
    /// The charset to write in.
    pub(crate) charset: Charset,
    /// What raw octets beyond ASCII are read as; `None`: they stay.
    pub(crate) raw: Option<&'static Encoding>,
    /// Whether encoded-words in other charsets are written anew.
    pub(crate) is_for_foreign: bool,
    /// Whether encoded-words are that are longer than RFC 2047 allows.
    pub(crate) is_for_long: bool,
}

impl Readable {
    /// The words that this mail program cannot read.
    pub(super) fn rewriting(&self) -> Rewriting {
        let Self { charset, profile, .. } = self;
        Rewriting {
            charset: *charset,
            raw: (!profile.reads_all_charsets).then_some(UTF_8),
            is_for_foreign: !profile.reads_all_charsets,
            is_for_long: profile.shortens_encoded_words,
        }
    }
}

/// The value with the words written anew. `None`: it stays as it is. `column` is how many octets stand before it on its line.
pub(crate) fn convert(
    value: &[u8],
    is_structured: bool,
    column: usize,
    rewriting: Rewriting,
) -> Option<(Vec<u8>, Tally)> {
    let pieces = Scanner { value, rewriting, pieces: Vec::new() }.scan(is_structured);
    let mut writer = Writer {
        value,
        rewriting,
        out: Vec::with_capacity(value.len()),
        column,
        tally: Tally::default(),
        letters: 0,
        unlike: 0,
    };
    let mut at = 0;
    let mut is_changed = false;
    while let Some(piece) = pieces.get(at) {
        let run = run_length(&pieces[at..]);
        let words = &pieces[at..at + run];
        if words.iter().any(|piece| matches!(&piece.kind, Kind::Word(word) if word.must_change)) {
            is_changed |= writer.write_run(words)?;
        } else {
            let same = &pieces[at..at + run.max(1)];
            same.iter().for_each(|piece| writer.count(piece));
            writer.write_as_is(&value[piece.range.start..same[same.len() - 1].range.end], is_changed);
        }
        at += run.max(1);
    }
    (is_changed && !is_lost(writer.unlike, writer.letters)).then_some((writer.out, writer.tally))
}

/// The text of a value that has encoded-words or raw UTF-8 that must change; `None` if it has none.
pub(super) fn text_of(value: &[u8], rewriting: Rewriting) -> Option<(String, Tally)> {
    let pieces = Scanner { value, rewriting, pieces: Vec::new() }.scan(false);
    let must_change = |piece: &Piece| matches!(&piece.kind, Kind::Word(word) if word.must_change);
    if !pieces.iter().any(must_change) {
        return None;
    }
    let mut tally = Tally::default();
    let mut text = String::new();
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let run = run_length(&pieces[at..]);
        if run == 0 {
            text += std::str::from_utf8(&value[piece.range.clone()]).ok()?;
        } else {
            text += &decode_run(value, &pieces[at..at + run], &mut tally)?;
        }
        at += run.max(1);
    }
    Some((text, tally))
}

/// How many pieces from the first on are words, with the blanks between them.
fn run_length(pieces: &[Piece]) -> usize {
    let mut length = 0;
    for (at, piece) in pieces.iter().enumerate() {
        match piece.kind {
            Kind::Word(_) => length = at + 1,
            Kind::Blanks if length == at && at > 0 => {}
            Kind::Blanks | Kind::Plain | Kind::Other => break,
        }
    }
    length
}

/// The text of words in a row. Mail programs tear letters apart between encoded-words, so those in one charset are read
/// together.
fn decode_run(value: &[u8], run: &[Piece], tally: &mut Tally) -> Option<String> {
    let mut text = String::new();
    let mut pending: Option<(&'static Encoding, Vec<u8>)> = None;
    let flush = |pending: &mut Option<(&'static Encoding, Vec<u8>)>, text: &mut String| {
        let Some((charset, octets)) = pending.take() else { return Some(()) };
        *text += &charset.decode_without_bom_handling_and_without_replacement(&octets)?;
        Some(())
    };
    for (at, piece) in run.iter().enumerate() {
        match &piece.kind {
            Kind::Word(word) => {
                if word.must_change {
                    tally.add_source(&word.label);
                }
                match &mut pending {
                    Some((charset, octets)) if *charset == word.charset => octets.extend_from_slice(&word.octets),
                    _ => {
                        flush(&mut pending, &mut text)?;
                        pending = Some((word.charset, word.octets.clone()));
                    }
                }
            }
            Kind::Blanks if is_encoded(run.get(at.wrapping_sub(1))) && is_encoded(run.get(at + 1)) => {}
            Kind::Blanks | Kind::Plain | Kind::Other => {
                flush(&mut pending, &mut text)?;
                text.extend(
                    value[piece.range.clone()]
                        .iter()
                        .filter(|octet| !matches!(octet, b'\r' | b'\n'))
                        .map(|octet| char::from(*octet)),
                );
            }
        }
    }
    flush(&mut pending, &mut text)?;
    Some(text)
}

fn is_encoded(piece: Option<&Piece>) -> bool {
    matches!(piece, Some(Piece { kind: Kind::Word(word), .. }) if word.is_encoded)
}

/// Takes a value apart.
struct Scanner<'a> {
    value: &'a [u8],
    rewriting: Rewriting,
    pieces: Vec<Piece>,
}

impl Scanner<'_> {
    fn scan(mut self, is_structured: bool) -> Vec<Piece> {
        if is_structured {
            self.structured()
        } else {
            self.text(0..self.value.len(), Place::Text)
        }
        self.pieces
    }

    fn push(&mut self, range: Range<usize>, kind: Kind) {
        if !range.is_empty() {
            self.pieces.push(Piece { range, kind });
        }
    }

    /// Takes a piece that begins here; returns where it ends.
    fn encoded_word(&mut self, at: usize, end: usize, place: Place) -> Option<usize> {
        let word = EncodedWord::parse(&self.value[at..end])?;
        let Rewriting { charset, is_for_foreign, is_for_long, .. } = self.rewriting;
        let is_long = is_for_long && word.length > MAX_ENCODED_WORD_OCTETS;
        let is_foreign = is_for_foreign && !charset.reads(&word.label);
        let kind = Word {
            octets: word.octets,
            charset: word.charset,
            label: word.label,
            place,
            is_encoded: true,
            must_change: is_long || is_foreign,
        };
        self.push(at..at + word.length, Kind::Word(kind));
        Some(at + word.length)
    }

    fn raw_word(&mut self, range: Range<usize>, octets: &[u8], place: Place) {
        let kind = match self.rewriting.raw.filter(|_| !octets.is_ascii()) {
            None => Kind::Plain,
            Some(charset) => Kind::Word(Word {
                octets: octets.to_vec(),
                charset,
                label: charset.name().to_ascii_lowercase(),
                place,
                is_encoded: false,
                must_change: true,
            }),
        };
        self.push(range, kind);
    }

    fn blanks(&mut self, at: usize, end: usize) -> usize {
        let blanks = self.value[at..end].iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        self.push(at..at + blanks, Kind::Blanks);
        at + blanks
    }

    /// Words between blanks, and encoded-words wherever they are.
    fn text(&mut self, range: Range<usize>, place: Place) {
        let mut at = range.start;
        while at < range.end {
            at = self.blanks(at, range.end);
            if let Some(behind) = self.encoded_word(at, range.end, place) {
                at = behind;
                continue;
            }
            let is_end =
                |octet: &u8| octet.is_ascii_whitespace() || place == Place::Comment && matches!(octet, b'(' | b')');
            let mut end = at + self.value[at..range.end].iter().take_while(|octet| !is_end(octet)).count();
            let next = |from| encoded_word::find(&self.value[..end], from);
            let inner = std::iter::successors(next(at + 1), |found| next(found + 1));
            if let Some(word) =
                inner.into_iter().find(|found| EncodedWord::parse(&self.value[*found..range.end]).is_some())
            {
                end = word;
            }
            // A parenthesis of a comment.
            if end == at && at < range.end {
                self.push(at..at + 1, Kind::Other);
                at += 1;
                continue;
            }
            let octets = self.value[at..end].to_vec();
            self.raw_word(at..end, &octets, place);
            at = end;
        }
    }

    /// Names and addresses (RFC 5322, 3.4).
    fn structured(&mut self) {
        let value = self.value;
        let mut at = 0;
        while at < value.len() {
            at = self.blanks(at, value.len());
            let rest = &value[at..];
            at = match rest.first() {
                None => break,
                Some(b'"') => self.quoted(at),
                Some(b'(') => self.comment(at),
                Some(b'<') => {
                    let end = at + memchr::memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
                    self.push(at..end, Kind::Other);
                    end
                }
                Some(b',' | b':' | b';' | b')' | b'>') => {
                    self.push(at..at + 1, Kind::Other);
                    at + 1
                }
                Some(_) => self.encoded_word(at, value.len(), Place::Phrase).unwrap_or_else(|| self.atom(at)),
            };
        }
    }

    fn atom(&mut self, at: usize) -> usize {
        let ends = |octet: &u8| octet.is_ascii_whitespace() || b"\"(<,:;>)".contains(octet);
        let length = self.value[at..].iter().take_while(|octet| !ends(octet)).count();
        let octets = self.value[at..at + length].to_vec();
        // A part of an address has no other form.
        if octets.contains(&b'@') {
            self.push(at..at + length, Kind::Other);
        } else {
            self.raw_word(at..at + length, &octets, Place::Phrase);
        }
        at + length
    }

    fn quoted(&mut self, at: usize) -> usize {
        let mut octets = Vec::new();
        let mut rest = self.value[at + 1..].iter().enumerate();
        let mut end = self.value.len();
        let mut is_closed = false;
        while let Some((offset, octet)) = rest.next() {
            match octet {
                b'"' => {
                    (end, is_closed) = (at + offset + 2, true);
                    break;
                }
                b'\\' => octets.extend(rest.next().map(|(_, octet)| *octet)),
                b'\r' | b'\n' => {}
                octet => octets.push(*octet),
            }
        }
        if !octets.is_ascii() && is_closed {
            self.raw_word(at..end, &octets, Place::Phrase);
        } else {
            self.push(at..at + 1, Kind::Other);
            self.text(at + 1..end - usize::from(is_closed), Place::Quotes);
            self.push(end - usize::from(is_closed)..end, Kind::Other);
        }
        end
    }

    fn comment(&mut self, at: usize) -> usize {
        let mut depth = 0_usize;
        let mut rest = self.value[at..].iter().enumerate();
        let mut end = self.value.len();
        while let Some((offset, octet)) = rest.next() {
            match octet {
                b'(' => depth += 1,
                b')' if depth == 1 => {
                    end = at + offset + 1;
                    break;
                }
                b')' => depth = depth.saturating_sub(1),
                b'\\' => drop(rest.next()),
                _ => {}
            }
        }
        self.text(at..end, Place::Comment);
        end
    }
}

/// Puts a value together again.
struct Writer<'a> {
    value: &'a [u8],
    rewriting: Rewriting,
    out: Vec<u8>,
    /// How many octets stand before `out` on its first line.
    column: usize,
    tally: Tally,
    /// How many letters there are in the field, addresses left out, and how many of them have no likeness.
    letters: u64,
    unlike: u64,
}

/// So little room on a line is left alone: a new line is begun.
const MIN_ROOM_OCTETS: usize = 30;

impl Writer<'_> {
    /// Writes words in a row. Returns whether anything changed. `None`: they cannot be written.
    fn write_run(&mut self, run: &[Piece]) -> Option<bool> {
        let place =
            run.iter().find_map(|piece| if let Kind::Word(word) = &piece.kind { Some(word.place) } else { None })?;
        let mut tally = Tally::default();
        let text = decode_run(self.value, run, &mut tally)?;
        let octets = &self.value[run.first()?.range.start..run.last()?.range.end];
        if text.is_empty() {
            self.out.extend_from_slice(octets);
            return Some(false);
        }
        let written = self.rewriting.charset.write_words(&text);
        tally.approximated += written.approximated;
        self.unlike += written.unlike;
        self.letters += letters_of(&text);
        self.tally.add(&tally);
        if is_plain(&written.octets) && !self.makes_a_word(&written.octets, run.last()?.range.end) {
            self.write_plain(&written.octets, place);
        } else {
            self.write_encoded(&written);
        }
        Some(true)
    }

    /// Whether a plain text, put between what is written and what comes at `behind`, may complete an encoded-word: half a word
    /// in front of it, broken by the one that the text was in, would be read as a whole one.
    fn makes_a_word(&self, text: &[u8], behind: usize) -> bool {
        let blank = self.out.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
        let before = &self.out[blank..];
        encoded_word::find(before, 0).is_some()
            || before.ends_with(b"=") && text.starts_with(b"?")
            || text.ends_with(b"=") && self.value[behind..].starts_with(b"?")
    }

    fn column(&self) -> usize {
        match memchr::memrchr(b'\n', &self.out) {
            Some(end) => self.out.len() - end - 1,
            None => self.column + self.out.len(),
        }
    }

    /// Begins a new line where a blank has just been written. Never where nothing but blanks is on this line: it would be taken
    /// for the end of the header, or, right behind the field's name, for an empty field.
    fn fold(&mut self) {
        let line = memchr::memrchr(b'\n', &self.out).map_or(0, |end| end + 1);
        let is_empty = self.out[line..].trim_ascii().is_empty();
        if let Some(blank @ (b' ' | b'\t')) = self.out.last().copied().filter(|_| !is_empty) {
            self.out.pop();
            self.out.extend_from_slice(&[b'\r', b'\n', blank]);
        }
    }

    /// Writes octets as they are. Where what stands before them has grown, they may need a line of their own.
    fn write_as_is(&mut self, octets: &[u8], has_grown: bool) {
        if has_grown
            && !octets.contains(&b'\n')
            && self.column() + octets.trim_ascii_end().len() > MAX_HEADER_LINE_OCTETS
        {
            self.fold();
        }
        self.out.extend_from_slice(octets);
    }

    /// Counts the letters of a piece that stays.
    fn count(&mut self, piece: &Piece) {
        self.letters += match &piece.kind {
            Kind::Word(word) => letters_of(&word.charset.decode_without_bom_handling(&word.octets).0),
            Kind::Plain => letters_of(&String::from_utf8_lossy(&self.value[piece.range.clone()])),
            Kind::Blanks | Kind::Other => 0,
        };
    }

    fn write_encoded(&mut self, written: &Written) {
        if self.column() + MIN_ROOM_OCTETS > MAX_HEADER_LINE_OCTETS {
            self.fold();
        }
        let lines = Lines::Folded { column: self.column() };
        self.out.extend_from_slice(&encoded_word::write(written.label, &written.octets, &written.letters, lines));
    }

    fn write_plain(&mut self, text: &[u8], place: Place) {
        let escaped = |set: &[u8]| -> Vec<u8> {
            text.iter().flat_map(|octet| if set.contains(octet) { vec![b'\\', *octet] } else { vec![*octet] }).collect()
        };
        let written = match place {
            Place::Text => text.to_vec(),
            Place::Comment => escaped(b"()\\"),
            Place::Quotes => escaped(b"\"\\"),
            Place::Phrase if text.iter().any(|octet| b"()<>[]:;@\\,.\"".contains(octet)) => {
                [b"\"", escaped(b"\"\\").as_slice(), b"\""].concat()
            }
            Place::Phrase => text.to_vec(),
        };
        for (at, word) in written.split(|octet| *octet == b' ').enumerate() {
            if at > 0 {
                self.out.push(b' ');
            }
            if self.column() + word.len() > MAX_HEADER_LINE_OCTETS {
                self.fold();
            }
            self.out.extend_from_slice(word);
        }
    }
}

/// Whether a text can stand in a header as it is, and is read back the same.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let is_printable = text.iter().all(|octet| matches!(octet, b' '..=b'~'));
    is_printable && text.trim_ascii().len() == text.len() && !text.windows(2).any(|pair| pair == b"=?" || pair == b"  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(name: &str, value: &str, is_structured: bool) -> (String, u64) {
        let readable = Readable::find(name).unwrap();
        match convert(value.as_bytes(), is_structured, 9, readable.rewriting()) {
            Some((octets, tally)) => (String::from_utf8(octets).unwrap(), tally.approximated),
            None => ("-".into(), 0),
        }
    }

    fn subject(value: &str) -> String {
        converted("windows-1252", value, false).0
    }

    fn from(value: &str) -> String {
        converted("windows-1252", value, true).0
    }

    #[test]
    fn words_in_another_charset_become_words_in_this_one() {
        for (value, expected) in [
            (" =?utf-8?Q?don=E2=80=99t?= x", " =?windows-1252?Q?don=92t?= x"),
            (" =?UTF-8?B?w6k=?=\r\n =?UTF-8?B?w6k=?=", " =?windows-1252?Q?=E9=E9?="),
            // A letter torn apart.
            (" =?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", " =?windows-1252?Q?=E9?="),
            (" =?utf-8?Q?plain?=  text", " plain  text"),
            (" =?utf-8?Q?_a?=", " =?windows-1252?Q?_a?="),
            (" caf\u{e9} =?utf-8?Q?=C3=A9?=", " =?windows-1252?Q?caf=E9_=E9?="),
            (" a=?utf-8?Q?=C3=A9?=b", " a=?windows-1252?Q?=E9?=b"),
            (" =?koi8-r?B?0NI=?=", " pr"),
        ] {
            assert_eq!(subject(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_read_already_or_not_understood_stays() {
        for value in [
            " plain",
            " =?windows-1252?Q?=E9?=",
            " =?iso-8859-1?Q?=E9?=",
            " =?utf-7?Q?a?=",
            " =?utf-8?Q?=C3?=",
            " =?utf-8?B?5Lit5paH?=",
            " =?utf-8?Q??=",
            " =?x?=",
        ] {
            assert_eq!(subject(value), "-", "{value}");
        }
        let readable = Readable::find("windows-1252").unwrap();
        assert!(convert(b" \xe9 =?utf-8?Q?a?=", false, 9, readable.rewriting()).is_none(), "no UTF-8");
    }

    #[test]
    fn names_and_addresses_stay_names_and_addresses() {
        for (value, expected) in [
            (" J\u{f6}rg M\u{fc}ller <j@x.net>", " =?windows-1252?Q?J=F6rg_M=FCller?= <j@x.net>"),
            (
                " \"M\u{fc}ller, J\u{f6}rg\" <j@x.net>, b@y.net",
                " =?windows-1252?Q?M=FCller=2C_J=F6rg?= <j@x.net>, b@y.net",
            ),
            (" \"=?utf-8?Q?J=C3=B6rg?=\" <j@x.net>", " \"=?windows-1252?Q?J=F6rg?=\" <j@x.net>"),
            (" =?utf-8?Q?Lee=2C_Ann?= <a@x.net>", " \"Lee, Ann\" <a@x.net>"),
            (
                " a@x.net (=?utf-8?Q?J=C3=B6rg?= (\u{e9}))",
                " a@x.net (=?windows-1252?Q?J=F6rg?= (=?windows-1252?Q?=E9?=))",
            ),
            (" =?utf-8?Q?a?=:b@x.net;", " a:b@x.net;"),
        ] {
            assert_eq!(from(value), expected, "{value}");
        }
        for value in [" \u{e9}@x.net", " <\u{e9}@x.net>", " \"a", " (a", " <a", " \"\\"] {
            assert_eq!(from(value), "-", "{value}");
        }
    }

    #[test]
    fn lines_stay_short() {
        let long = format!(" =?utf-8?Q?{}?=", "=E2=80=99x".repeat(60));
        let (written, _) = converted("windows-1252", &long, false);
        assert!(
            written.lines().enumerate().all(|(at, line)| line.len() + if at == 0 { 9 } else { 0 } <= 76),
            "{written}"
        );
        let plain = format!(" =?utf-8?Q?{}?=", "word_".repeat(40).trim_end_matches('_'));
        let (written, _) = converted("windows-1252", &plain, false);
        assert_eq!(written.replace("\r\n", ""), format!(" {}", "word ".repeat(40).trim_end()));
        assert!(written.lines().all(|line| line.len() <= 76), "{written}");
        let late = format!(" {} =?utf-8?Q?=C3=A9?=", "x".repeat(60));
        assert!(subject(&late).contains("x\r\n =?windows"), "{}", subject(&late));
    }

    #[test]
    fn no_line_is_made_of_blanks_alone() {
        // Found by fuzzing: what follows is too long for any line.
        for blanks in ["\r\n ", "\r\n  ", " \r\n\t", "  "] {
            let value = format!(" =?utf-8?Q?=C3=A9?={blanks}{}", "x".repeat(90));
            let written = subject(&value);
            assert!(written.split("\r\n").all(|line| !line.trim().is_empty()), "{written:?}");
        }
    }

    #[test]
    fn plain_text_does_not_complete_half_a_word() {
        // Found by fuzzing: a second time changed something.
        for (value, expected) in [
            (" =?utf-8?Q?a=?utf-8?Q?b?=?=", " =?utf-8?Q?a=?windows-1252?Q?b?=?="),
            (" =?utf-8?Q?a=?utf-8?Q?b_=E3=80=99?=x", " =?utf-8?Q?a=?windows-1252?Q?b_=5D?=x"),
            (" =?utf-8?Q?b=3D?=?utf-8?Q?c?=", " =?windows-1252?Q?b=3D?=?utf-8?Q?c?="),
            (" a==?utf-8?Q?=3Fb?=", " a==?windows-1252?Q?=3Fb?="),
            (" =? =?utf-8?Q?b?=?=", " =? b?="),
        ] {
            assert_eq!(subject(value), expected, "{value}");
            assert_eq!(subject(expected), "-", "{value}");
        }
    }

    #[test]
    fn long_words_are_cut_for_programs_that_overrun() {
        let long = format!(" =?iso-8859-1?Q?{}?=", "=E9x".repeat(60));
        assert_eq!(converted("windows-1252", &long, false).0, "-");
        let (written, _) = converted("eudora-windows", &long, false);
        assert!(written.split_ascii_whitespace().all(|word| word.len() <= 75), "{written}");
        assert_eq!(converted("eudora-windows", " =?utf-8?Q?=E2=80=99?=", false).0, " =?windows-1252?Q?=92?=");
        assert_eq!(converted("outlook-express", " =?utf-8?Q?=E2=80=99?= \u{e9}", false).0, "-");
    }

    #[test]
    fn what_is_lost_is_judged_for_the_field_as_a_whole() {
        let chinese = "=?utf-8?B?5Lit5paH?= <somebody@example.net>";
        assert_eq!(from(&format!(" {chinese}")), "-", "an address says nothing");
        assert_eq!(from(&format!(" {chinese}, =?utf-8?Q?J=C3=B6rg?= <j@x.net>")), "-");
        assert_eq!(from(&format!(" {chinese}, \"Ann\" (Lee) <a@x.net>")), "-", "two letters of eight");
        let plain = from(&format!(" {chinese}, \"Ann Lee\" (x) a@x.net, Jim <j@x.net>"));
        assert_eq!(plain, " ?? <somebody@example.net>, \"Ann Lee\" (x) a@x.net, Jim <j@x.net>", "two of twelve");
        let more = from(&format!(" {chinese}, =?utf-8?Q?J=C3=B6rg_M=C3=BCller?= <j@x.net>"));
        assert!(more.starts_with(" ?? <somebody@example.net>, =?windows-1252?Q?J=F6rg_M=FCller?="), "{more}");
        assert_eq!(subject(" =?utf-8?B?5Lit5paH?= and quite some plain words"), " ?? and quite some plain words");
    }

    #[test]
    fn letters_in_likeness_are_counted() {
        assert_eq!(converted("iso-8859-1", " =?utf-8?Q?=E2=80=99?= =?utf-8?Q?=E2=86=92?=", false), (" '->".into(), 2));
    }
}
