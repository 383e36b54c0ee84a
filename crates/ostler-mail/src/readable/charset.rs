//! The charset that a mail program reads, and texts written in it.

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::{Encoder, EncoderResult, Encoding, ISO_2022_JP, WINDOWS_1252};

use super::likeness::{Likeness, likeness};
use unicode_normalization::UnicodeNormalization as _;

/// At most one letter in this many may have no likeness. Otherwise the text is better left as it is.
const ONE_LETTER_IN: u64 = 5;

/// Which letters of an encoding are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repertoire {
    /// ASCII alone.
    Ascii,
    /// ISO 8859-1 alone. `encoding_rs` and the web take its name for windows-1252.
    Latin1,
    /// All that the encoding has.
    All,
}

/// A charset to write texts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset {
    /// As mail has it.
    pub(crate) label: &'static str,
    pub(crate) encoding: &'static Encoding,
    repertoire: Repertoire,
    /// Whether a text in windows-1252 that is ISO 8859-1 too is called that. Every program since 1993 knows that name.
    prefers_latin1: bool,
}

/// A text in a charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) octets: Vec<u8>,
    /// The charset's name for mail.
    pub(super) label: &'static str,
    /// How many letters are there only in likeness.
    pub(super) approximated: u64,
    /// How many letters have no likeness.
    pub(super) unlike: u64,
    /// The octets of one letter each, where they were asked for.
    pub(super) letters: Vec<Range<usize>>,
}

impl Charset {
    /// The charset with this name; `None` if nothing can be written in it.
    pub(crate) fn from_label(label: &str) -> Option<Self> {
        let (encoding, repertoire) = match label.to_ascii_lowercase().as_str() {
            "us-ascii" | "ascii" => (WINDOWS_1252, Repertoire::Ascii),
            "iso-8859-1" | "latin1" => (WINDOWS_1252, Repertoire::Latin1),
            label => (Encoding::for_label_no_replacement(label.as_bytes())?, Repertoire::All),
        };
        let label = match repertoire {
            Repertoire::Ascii => "us-ascii",
            Repertoire::Latin1 => "iso-8859-1",
            // The first two have no encoding of their own.
            Repertoire::All => {
                let mut known = CHARSETS.iter().skip(2).map(|(label, _)| *label);
                known.find(|known| Encoding::for_label(known.as_bytes()) == Some(encoding))?
            }
        };
        Some(Self { label, encoding, repertoire, prefers_latin1: false })
    }

    /// The same, with texts called ISO 8859-1 where they are.
    pub(super) fn preferring_latin1(self) -> Self {
        Self { prefers_latin1: true, ..self }
    }

    /// Whether a program that reads this charset reads a text with that label.
    pub(super) fn reads(self, label: &str) -> bool {
        let is_ascii = matches!(label, "us-ascii" | "ascii" | "ansi_x3.4-1968");
        let is_latin1 = matches!(label, "iso-8859-1" | "latin1" | "iso8859-1" | "iso_8859-1" | "l1");
        match self.repertoire {
            Repertoire::Ascii => is_ascii,
            Repertoire::Latin1 => is_ascii || is_latin1,
            Repertoire::All => is_ascii || Encoding::for_label(label.as_bytes()) == Some(self.encoding),
        }
    }

    /// Whether octets are a text in it.
    pub(crate) fn reads_cleanly(self, octets: &[u8]) -> bool {
        self.encoding.decode_without_bom_handling_and_without_replacement(octets).is_some()
    }

    /// Whether its letters beyond ASCII are Latin ones, as those of ISO 8859-1 are.
    pub(crate) fn is_latin(self) -> bool {
        const E_ACUTE: char = '\u{e9}';
        self.repertoire != Repertoire::All || self.has(E_ACUTE)
    }

    /// Whether it has a letter.
    fn has(self, letter: char) -> bool {
        match self.repertoire {
            Repertoire::Ascii => letter.is_ascii(),
            Repertoire::Latin1 => is_latin1(letter),
            Repertoire::All => letter.is_ascii() || !self.encoding.encode(letter.encode_utf8(&mut [0; 4])).2,
        }
    }

    /// Writes a plain text. `None`: of too many letters there is no likeness.
    pub(super) fn write_plain(self, text: &str) -> Option<Written> {
        let text = composed(text);
        let mut writer = Writer::new(self);
        writer.write(&text, false);
        let written = writer.finish();
        let is_lost = written.unlike > 0 && is_lost(written.unlike, letters_of(&text));
        (!is_lost).then_some(written)
    }

    /// Writes words of a field, and says which octets are a letter; the octets of several letters in a row may be taken apart
    /// there. Whether too much of the field is lost is the caller's to say.
    pub(super) fn write_words(self, text: &str) -> Written {
        let text = composed(text);
        let mut writer = Writer::new(self);
        let mut letters = Vec::new();
        // ISO 2022-JP says between letters which of its charsets follows; a few letters belong together.
        let together = if self.encoding == ISO_2022_JP { LETTERS_OF_ISO_2022_JP } else { 1 };
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(together).map_or(rest.len(), |(at, _)| at);
            let start = writer.octets.len();
            writer.write(&rest[..end], together > 1);
            if together > 1 {
                writer.encoder = self.encoding.new_encoder();
            }
            if writer.octets.len() > start {
                letters.push(start..writer.octets.len());
            }
            rest = &rest[end..];
        }
        Written { letters, ..writer.finish() }
    }

    /// Writes HTML: what the charset does not have becomes a numeric reference, so nothing is lost.
    pub(super) fn write_html(self, html: &str) -> Written {
        let octets = match self.repertoire {
            Repertoire::All => self.encoding.encode(html).0.into_owned(),
            Repertoire::Ascii | Repertoire::Latin1 => {
                let mut octets = Vec::with_capacity(html.len());
                for letter in html.chars() {
                    match u8::try_from(letter) {
                        Ok(octet) if self.has(letter) => octets.push(octet),
                        _ => octets.extend_from_slice(format!("&#{};", u32::from(letter)).as_bytes()),
                    }
                }
                octets
            }
        };
        Written { label: self.label_of(&octets), octets, approximated: 0, unlike: 0, letters: Vec::new() }
    }

    /// The name for mail of a text in this charset.
    fn label_of(self, octets: &[u8]) -> &'static str {
        let is_latin1 = self.prefers_latin1 && !octets.iter().any(|octet| matches!(octet, 0x80..=0x9f));
        if is_latin1 { "iso-8859-1" } else { self.label }
    }
}

/// How many letters of ISO 2022-JP are written together: as many as fit in an encoded-word with all that is said between them.
const LETTERS_OF_ISO_2022_JP: usize = 8;

fn is_latin1(letter: char) -> bool {
    matches!(letter, '\0'..='\u{7f}' | '\u{a0}'..='\u{ff}')
}

/// The text with each letter and its marks as one, as the old charsets have them.
fn composed(text: &str) -> Cow<'_, str> {
    // The marks are U+0300 to U+036F, which begin with these octets in UTF-8.
    match memchr::memchr2(0xcc, 0xcd, text.as_bytes()) {
        Some(_) => Cow::Owned(text.nfc().collect()),
        None => Cow::Borrowed(text),
    }
}

/// Writes a text, letter for letter where the charset lacks some.
struct Writer {
    charset: Charset,
    octets: Vec<u8>,
    approximated: u64,
    /// Letters that have no likeness.
    unlike: u64,
    encoder: Encoder,
    /// What the last letters that the charset lacks became, each at a place of its own: most texts lack a few, again and again.
    /// Empty until one is lacking.
    known: Vec<(char, Likeness)>,
}

/// How many letters a [`Writer`] remembers: any alphabet has room.
const KNOWN_LETTERS: usize = 256;
/// From this many ASCII letters in a row on, the encoder is faster than going letter by letter.
const ASCII_IN_A_ROW: usize = 8;

impl Writer {
    fn new(charset: Charset) -> Self {
        let encoder = charset.encoding.new_encoder();
        Self { charset, octets: Vec::new(), approximated: 0, unlike: 0, encoder, known: Vec::new() }
    }

    /// Writes a piece of text. `is_last`: what follows must be readable by itself.
    fn write(&mut self, text: &str, is_last: bool) {
        if self.charset.repertoire == Repertoire::All {
            self.encode(text, is_last);
            return;
        }
        self.octets.reserve(text.len());
        for letter in text.chars() {
            match u8::try_from(letter) {
                Ok(octet) if self.charset.has(letter) => self.octets.push(octet),
                _ => self.approximate(letter),
            }
        }
    }

    fn encode(&mut self, mut text: &str, is_last: bool) {
        loop {
            let room = self.encoder.max_buffer_length_from_utf8_without_replacement(text.len()).unwrap_or(text.len());
            self.octets.reserve(room);
            let (result, read) =
                self.encoder.encode_from_utf8_to_vec_without_replacement(text, &mut self.octets, is_last);
            text = text.get(read..).unwrap_or_default();
            match result {
                EncoderResult::InputEmpty => return,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(letter) => {
                    self.approximate(letter);
                    text = self.write_known(text);
                }
            }
        }
    }

    /// Writes the letters from here on whose likeness is known, and those of ASCII between them. Returns the rest.
    fn write_known<'t>(&mut self, text: &'t str) -> &'t str {
        if self.encoder.encoding() == ISO_2022_JP {
            return text;
        }
        let (mut letters, mut ascii) = (text.chars(), 0);
        loop {
            let rest = letters.as_str();
            let Some(letter) = letters.next() else { return rest };
            match self.known(letter) {
                _ if letter.is_ascii() && ascii < ASCII_IN_A_ROW => {
                    self.octets.extend(u8::try_from(letter));
                    ascii += 1;
                }
                Some(Likeness::Text(text)) => {
                    self.octets.extend_from_slice(text.as_bytes());
                    self.approximated += 1;
                    ascii = 0;
                }
                Some(Likeness::Letter(_) | Likeness::Invisible | Likeness::None) | None => return rest,
            }
        }
    }

    fn approximate(&mut self, letter: char) {
        match self.likeness(letter) {
            Likeness::Invisible => return,
            Likeness::Text(text) => self.write(text, false),
            Likeness::Letter(letter) => self.write(letter.encode_utf8(&mut [0; 4]), false),
            Likeness::None => {
                self.unlike += u64::from(letter.is_alphabetic());
                self.write("?", false);
            }
        }
        self.approximated += 1;
    }

    fn likeness(&mut self, letter: char) -> Likeness {
        if let Some(known) = self.known(letter) {
            return known;
        }
        let charset = self.charset;
        let found = likeness(letter, |letter| charset.has(letter));
        self.known.resize(KNOWN_LETTERS, ('\0', Likeness::None));
        self.known[place_of(letter)] = (letter, found);
        found
    }

    fn known(&self, letter: char) -> Option<Likeness> {
        self.known.get(place_of(letter)).filter(|(known, _)| *known == letter).map(|(_, likeness)| *likeness)
    }

    /// The end of the text.
    fn finish(mut self) -> Written {
        self.write("", true);
        let label = self.charset.label_of(&self.octets);
        let Self { octets, approximated, unlike, .. } = self;
        Written { octets, label, approximated, unlike, letters: Vec::new() }
    }
}

/// Where a letter is remembered. The letters of an alphabet are next to each other.
fn place_of(letter: char) -> usize {
    letter as usize % KNOWN_LETTERS
}

/// How many letters a text has.
pub(super) fn letters_of(text: &str) -> u64 {
    text.chars().filter(|letter| letter.is_alphabetic()).count() as u64
}

/// Whether too many of a text's letters have no likeness.
pub(super) fn is_lost(unlike: u64, letters: u64) -> bool {
    unlike * ONE_LETTER_IN > letters
}

/// The charsets that can be written: as mail has them, and as people call them.
pub(super) const CHARSETS: [(&str, &str); 38] = [
    ("us-ascii", "ASCII, no accents"),
    ("iso-8859-1", "Western European (ISO)"),
    ("windows-1250", "Central European (Windows)"),
    ("windows-1251", "Cyrillic (Windows)"),
    ("windows-1252", "Western European (Windows)"),
    ("windows-1253", "Greek (Windows)"),
    ("windows-1254", "Turkish (Windows)"),
    ("windows-1255", "Hebrew (Windows)"),
    ("windows-1256", "Arabic (Windows)"),
    ("windows-1257", "Baltic (Windows)"),
    ("windows-1258", "Vietnamese (Windows)"),
    ("windows-874", "Thai (Windows)"),
    ("iso-8859-2", "Central European (ISO)"),
    ("iso-8859-3", "South European (ISO)"),
    ("iso-8859-4", "Baltic (ISO)"),
    ("iso-8859-5", "Cyrillic (ISO)"),
    ("iso-8859-6", "Arabic (ISO)"),
    ("iso-8859-7", "Greek (ISO)"),
    ("iso-8859-8", "Hebrew (ISO, visual)"),
    ("iso-8859-10", "Nordic (ISO)"),
    ("iso-8859-13", "Baltic (ISO 13)"),
    ("iso-8859-14", "Celtic (ISO)"),
    ("iso-8859-15", "Western European with euro (ISO)"),
    ("iso-8859-16", "Romanian (ISO)"),
    ("koi8-r", "Russian (KOI8)"),
    ("koi8-u", "Ukrainian (KOI8)"),
    ("ibm866", "Cyrillic (DOS)"),
    ("macintosh", "Western European (Mac)"),
    ("x-mac-cyrillic", "Cyrillic (Mac)"),
    ("shift_jis", "Japanese (Windows, Mac)"),
    ("euc-jp", "Japanese (Unix)"),
    ("iso-2022-jp", "Japanese (mail)"),
    ("gbk", "Chinese, simplified (GBK)"),
    ("gb18030", "Chinese, simplified (GB 18030)"),
    ("big5", "Chinese, traditional"),
    ("euc-kr", "Korean"),
    ("iso-8859-8-i", "Hebrew (ISO)"),
    ("utf-8", "All languages (UTF-8)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(label: &str, text: &str) -> Option<(Vec<u8>, u64)> {
        Charset::from_label(label).unwrap().write_plain(text).map(|written| (written.octets, written.approximated))
    }

    #[test]
    fn every_label_can_be_written_and_is_its_own_name() {
        for (label, _) in CHARSETS {
            let charset = Charset::from_label(label).unwrap_or_else(|| panic!("{label}"));
            assert_eq!(charset.label, label);
            assert!(charset.reads(label) && charset.reads("us-ascii"), "{label}");
            assert_eq!(charset.write_plain("abc").unwrap().octets, b"abc", "{label}");
        }
        for label in ["", "utf-7", "utf-16", "iso-2022-kr", "x-user-defined", "nonsense"] {
            assert_eq!(Charset::from_label(label), None, "{label}");
        }
        assert_eq!(Charset::from_label("CP1252").unwrap().label, "windows-1252");
    }

    #[test]
    fn a_letter_is_written_as_itself_or_in_likeness_and_counted() {
        assert_eq!(plain("windows-1252", "don\u{2019}t \u{20ac}"), Some((b"don\x92t \x80".to_vec(), 0)));
        assert_eq!(plain("iso-8859-1", "don\u{2019}t \u{e9}"), Some((b"don't \xe9".to_vec(), 1)));
        assert_eq!(plain("us-ascii", "\u{e9}\u{2192}"), Some((b"e->".to_vec(), 2)));
        assert_eq!(plain("windows-1252", "\u{fb01}\u{200b}\u{2192}e\u{301}"), Some((b"fi->\xe9".to_vec(), 2)));
        assert_eq!(plain("windows-1250", "\u{11b}\u{e9}\u{f1}"), Some((b"\xec\xe9n".to_vec(), 1)));
        assert_eq!(plain("windows-1251", "\u{43f}\u{e9}"), Some((b"\xefe".to_vec(), 1)));
        assert_eq!(plain("windows-1252", "\u{43f}\u{440}"), Some((b"pr".to_vec(), 2)));
        // Again and again, with others between them; and two that share a place.
        let text = "\u{43f}\u{43f} \u{e9}\u{440}\u{43f}\u{2192}, ten letters between\u{43f}\u{440}\u{53f}\u{43f}\u{200b}\u{43f}";
        assert_eq!(plain("windows-1252", text).unwrap().0, b"pp \xe9rp->, ten letters betweenpr?pp");
        assert_eq!(plain("iso-2022-jp", "\u{e9}\u{e9}\u{65e5}\u{e9}").unwrap().0, b"ee\x1b$BF|\x1b(Be");
    }

    #[test]
    fn a_text_of_another_script_stays_as_it_is_and_a_word_of_it_does_not_matter() {
        for text in ["\u{4e2d}\u{6587}", "\u{3042}\u{30a2}abc", "\u{d55c}", "\u{5d0}\u{5d1}", "\u{627}", "\u{e01}"] {
            assert_eq!(plain("windows-1252", text), None, "{text}");
        }
        assert_eq!(plain("windows-1252", "abcd\u{4e2d}"), Some((b"abcd?".to_vec(), 1)), "one in five");
        assert_eq!(plain("windows-1252", "abc\u{4e2d} 1234"), None, "more than one in five");
        assert_eq!(plain("shift_jis", "\u{4e2d}"), Some((b"\x92\x86".to_vec(), 0)));
        assert_eq!(plain("utf-8", "\u{4e2d}"), Some(("\u{4e2d}".into(), 0)));
    }

    #[test]
    fn html_loses_nothing() {
        for (label, expected) in [
            ("windows-1252", &b"\x92\xe9&#8594;&#20013;&#128512;"[..]),
            ("iso-8859-1", b"&#8217;\xe9&#8594;&#20013;&#128512;"),
            ("us-ascii", b"&#8217;&#233;&#8594;&#20013;&#128512;"),
        ] {
            let written = Charset::from_label(label).unwrap().write_html("\u{2019}\u{e9}\u{2192}\u{4e2d}\u{1f600}");
            assert_eq!(written.octets, expected, "{label}");
        }
    }

    #[test]
    fn iso_8859_1_is_named_where_that_is_preferred_and_true() {
        let charset = Charset::from_label("windows-1252").unwrap().preferring_latin1();
        assert_eq!(charset.write_plain("\u{e9}").unwrap().label, "iso-8859-1");
        assert_eq!(charset.write_plain("\u{2019}").unwrap().label, "windows-1252");
        assert!(charset.reads("iso-8859-1") && !charset.reads("iso-8859-15"));
        assert!(!Charset::from_label("iso-8859-1").unwrap().reads("windows-1252"));
    }

    #[test]
    fn words_can_be_taken_apart_between_letters() {
        for (label, _) in CHARSETS {
            let charset = Charset::from_label(label).unwrap();
            let written = charset.write_words("a\u{e9} \u{2019}abc");
            let mut end = 0;
            for letter in &written.letters {
                assert_eq!(letter.start, end, "{label}");
                end = letter.end;
            }
            assert_eq!(end, written.octets.len(), "{label}");
        }
        let text = "\u{65e5}\u{672c}\u{8a9e} abc \u{65e5}\u{672c}\u{8a9e}";
        let japanese = Charset::from_label("iso-2022-jp").unwrap().write_words(text);
        let parts: String =
            japanese.letters.iter().map(|part| ISO_2022_JP.decode(&japanese.octets[part.clone()]).0).collect();
        assert_eq!(parts, text);
    }
}
