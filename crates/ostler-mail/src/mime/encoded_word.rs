//! Encoded-words in header fields (RFC 2047): found and decoded wherever mail programs put them, also in quotes, where the RFC
//! does not allow them; written so that every program reads them.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::Encoding;
use memchr::memchr;

use super::transfer::{hex_digit, hex_pair};

/// The longest encoded-word (RFC 2047, section 2).
pub(crate) const MAX_ENCODED_WORD_OCTETS: usize = 75;
/// The longest line of a header that has encoded-words (RFC 2047, section 2).
pub(crate) const MAX_HEADER_LINE_OCTETS: usize = 76;

/// An encoded-word, as far as its octets; which letters they are, its charset says.
#[derive(Debug, Clone)]
pub(crate) struct EncodedWord {
    pub(crate) charset: &'static Encoding,
    /// As it is written, without a language (RFC 2231, section 5).
    pub(crate) label: String,
    pub(crate) octets: Vec<u8>,
    /// How long it is written.
    pub(crate) length: usize,
}

impl EncodedWord {
    /// Reads the encoded-word with which `text` begins. `None`: there is none, or its charset is unknown here.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let inner = text.strip_prefix(b"=?")?;
        let charset_end = memchr(b'?', inner)?;
        let coding = inner.get(charset_end + 1)?.to_ascii_uppercase();
        let coded = inner.get(charset_end + 2..)?.strip_prefix(b"?")?;
        let coded = &coded[..memchr(b'?', coded)?];
        let length = "=?".len() + charset_end + "?q?".len() + coded.len();
        // The standard for labels, which `encoding_rs` follows, takes blanks around one.
        let is_one_word = |octets: &[u8]| octets.iter().all(|octet| matches!(octet, b'!'..=b'~'));
        if !is_one_word(&inner[..charset_end]) || !is_one_word(coded) || text.get(length..length + 2)? != b"?=" {
            return None;
        }
        let label = inner[..charset_end].split(|octet| *octet == b'*').next()?;
        let charset = Encoding::for_label_no_replacement(label)?;
        let octets = match coding {
            b'Q' => decode_q(coded)?,
            b'B' => STANDARD.decode(coded).ok()?,
            _ => return None,
        };
        let label = String::from_utf8_lossy(label).to_ascii_lowercase();
        Some(Self { charset, label, octets, length: length + 2 })
    }
}

/// The first place at or behind `from` where an encoded-word may begin.
pub(crate) fn find(text: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(text.get(from..)?, b"=?").map(|at| from + at)
}

fn decode_q(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(coded.len());
    let mut rest = coded.iter().copied();
    while let Some(octet) = rest.next() {
        out.push(match octet {
            b'_' => b' ',
            b'=' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            octet => octet,
        });
    }
    Some(out)
}

/// Whether an octet is written as itself in every place where an encoded-word may stand (RFC 2047, section 5, rule 3).
fn is_literal(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet)
}

/// Where encoded-words are put, and how they are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Each on a line of its own, behind what stands on the first line already.
    Folded {
        /// How many octets the first line has.
        column: usize,
    },
    /// All on one line, for programs that lose what is on the next one.
    One,
}

/// Writes a text as encoded-words. `letters` are the ranges of `octets` that may not be torn apart, in order and without gaps.
pub(crate) fn write(label: &str, octets: &[u8], letters: &[Range<usize>], lines: Lines) -> Vec<u8> {
    // People can read Q, which is worth a length half as much again.
    let is_short = Coding::Q.length(octets) * 2 <= Coding::B.length(octets) * 3;
    let coding = if is_short { Coding::Q } else { Coding::B };
    let around = "=?".len() + label.len() + "?q?".len() + "?=".len();
    let most = MAX_ENCODED_WORD_OCTETS.saturating_sub(around);
    let mut room = match lines {
        // Never so little that a word holds nothing.
        Lines::Folded { column } => {
            MAX_HEADER_LINE_OCTETS.saturating_sub(column + around).clamp(MIN_CODED_OCTETS, most)
        }
        Lines::One => most,
    };
    let mut out = Vec::new();
    let mut start = 0;
    for letter in letters {
        if letter.start > start && coding.length(&octets[start..letter.end]) > room {
            coding.write(label, &octets[start..letter.start], &mut out);
            out.extend_from_slice(if lines == Lines::One { b" " } else { b"\r\n " });
            (start, room) = (letter.start, most);
        }
    }
    coding.write(label, &octets[start..], &mut out);
    out
}

/// The least room that the first encoded-word of a line takes: one letter, whatever its octets.
const MIN_CODED_OCTETS: usize = 12;

#[derive(Debug, Clone, Copy)]
enum Coding {
    Q,
    B,
}

impl Coding {
    fn length(self, octets: &[u8]) -> usize {
        match self {
            Self::Q => octets.iter().map(|octet| if is_literal(*octet) || *octet == b' ' { 1 } else { 3 }).sum(),
            Self::B => octets.len().div_ceil(3) * 4,
        }
    }

    fn write(self, label: &str, octets: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("=?{label}?").as_bytes());
        match self {
            Self::Q => {
                out.extend_from_slice(b"Q?");
                for octet in octets {
                    match octet {
                        b' ' => out.push(b'_'),
                        octet if is_literal(*octet) => out.push(*octet),
                        octet => {
                            out.push(b'=');
                            out.extend_from_slice(&hex_pair(*octet));
                        }
                    }
                }
            }
            Self::B => {
                out.extend_from_slice(b"B?");
                out.extend_from_slice(STANDARD.encode(octets).as_bytes());
            }
        }
        out.extend_from_slice(b"?=");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(String, String, usize)> {
        let word = EncodedWord::parse(text.as_bytes())?;
        let (letters, _) = word.charset.decode_without_bom_handling(&word.octets);
        Some((letters.into_owned(), word.label, word.length))
    }

    #[test]
    fn encoded_words_are_read_as_mail_programs_write_them() {
        for (text, letters, label, length) in [
            ("=?utf-8?Q?don=E2=80=99t_go?= x", "don\u{2019}t go", "utf-8", 28),
            ("=?UTF-8*en?b?w6k=?=", "\u{e9}", "utf-8", 19),
            ("=?koi8-r?B?0NLJ18XU?=", "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}", "koi8-r", 21),
            ("=?iso-8859-1?q??=", "", "iso-8859-1", 17),
        ] {
            assert_eq!(read(text), Some((letters.into(), label.into(), length)), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_is_left_alone() {
        for text in [
            "",
            "=?",
            "=?utf-8?Q?a",
            "=?utf-8?Q?a b?=",
            // Found by fuzzing.
            "=?\u{c}iso-8859-5?Q?a?=",
            "=?utf-8?X?a?=",
            "=?utf-7?Q?a?=",
            "=?x-nonsense?Q?a?=",
            "=?utf-8?Q?=C?=",
            "=?utf-8?B?w6?=",
            "=?utf-8?Q?a?",
            "a=?utf-8?Q?a?=",
            "=?iso-2022-kr?Q?a?=",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn they_are_written_short_and_whole() {
        let text: String = "Gr\u{fc}\u{df}e ".repeat(30);
        let octets: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
        let letters: Vec<_> = (0..octets.len()).map(|at| at..at + 1).collect();
        let folded = String::from_utf8(write("iso-8859-1", &octets, &letters, Lines::Folded { column: 9 })).unwrap();
        assert!(folded.starts_with("=?iso-8859-1?Q?Gr=FC=DFe_"), "{folded}");
        let lines: Vec<_> = folded.lines().collect();
        assert!(lines.len() > 3 && lines[0].len() <= 67 && lines.iter().all(|line| line.len() <= 76), "{folded}");
        let one = write("iso-8859-1", &octets, &letters, Lines::One);
        assert!(!one.contains(&b'\n'));
        assert_eq!(write("koi8-r", b"\xc1\xc2", &[0..1, 1..2], Lines::One), b"=?koi8-r?Q?=C1=C2?=");
        let letters: Vec<_> = (0..9).map(|at| at..at + 1).collect();
        assert_eq!(write("koi8-r", &[0xc1; 9], &letters, Lines::One), b"=?koi8-r?B?wcHBwcHBwcHB?=");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(octets: Vec<u8>, column in 0..200_usize) {
            let letters: Vec<_> = (0..octets.len()).map(|at| at..at + 1).collect();
            let written = write("windows-1252", &octets, &letters, Lines::Folded { column });
            let mut read = Vec::new();
            for word in written.split(|octet| b"\r\n ".contains(octet)).filter(|word| !word.is_empty()) {
                let word = EncodedWord::parse(word).unwrap();
                prop_assert!(word.length <= MAX_ENCODED_WORD_OCTETS);
                read.extend(word.octets);
            }
            prop_assert_eq!(read, octets);
        }
    }
}
