//! The messages, the same in every process, so that each octet that arrives can be compared with what was sent.

use ostler_mail::readable::{Converter, Extent, Readable};

/// A message of the bulk fetch.
pub const BIG: usize = 50_000_000;
/// A message of the bulk send.
pub const OUTGOING: usize = 25_000_000;
const SMALL: usize = 4096;
/// How many different small ones there are.
const SMALL_ONES: usize = 16;

/// Messages as they pass on the wire, dots stuffed, the last line with its dot included.
pub struct Mailbox(Vec<Vec<u8>>);

impl Mailbox {
    pub fn small() -> Self {
        Self((0..SMALL_ONES).map(|n| message(n, SMALL)).collect())
    }

    pub fn big() -> Self {
        Self(vec![message(0, BIG)])
    }

    /// Letters of today, in UTF-8, each with characters in every line that an old program does not have.
    pub fn letters() -> Self {
        Self((0..SMALL_ONES).map(letter).collect())
    }

    /// The messages as an old program gets them that reads this charset.
    pub fn readable(&self, charset: &str) -> Self {
        Self(self.0.iter().map(|message| readable(message, charset)).collect())
    }

    /// The messages as they were before their dots were stuffed.
    pub fn plain(&self) -> Self {
        Self(self.0.iter().map(|message| plain(message)).collect())
    }

    /// Any number will do.
    pub fn message(&self, number: usize) -> &[u8] {
        &self.0[number % self.0.len()]
    }
}

/// A message without the dots that a line's first one gets, and without the last line.
pub fn plain(message: &[u8]) -> Vec<u8> {
    let text = message.strip_suffix(b".\r\n").unwrap_or(message);
    text.split_inclusive(|octet| *octet == b'\n')
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect()
}

/// A message with the dots and the last line that it has on the wire.
fn stuffed(plain: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(plain.len() + 3);
    for line in plain.split_inclusive(|octet| *octet == b'\n') {
        text.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b".\r\n");
    text
}

fn readable(message: &[u8], charset: &str) -> Vec<u8> {
    let mut converter = Converter::new(Readable::find(charset).unwrap(), Extent::Whole);
    let mut text = Vec::new();
    converter.push(&plain(message), &mut text);
    converter.finish(&mut text);
    stuffed(&text)
}

fn letter(number: usize) -> Vec<u8> {
    let mut text = format!(
        "From: =?utf-8?Q?Andr=C3=A9?= <a@example.test>\r\nDate: Sun, 29 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <{number}@example.test>\r\nSubject: =?utf-8?Q?It=E2=80=99s_number?= {number}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    );
    while text.len() < SMALL {
        text += "It\u{2019}s \u{201c}fine\u{201d} \u{2013} the caf\u{e9} na\u{ef}vely takes \u{20ac}5 for an \u{153}uvre.\r\n";
    }
    stuffed(text.as_bytes())
}

/// The message of the bulk send.
pub fn outgoing() -> Vec<u8> {
    message(1, OUTGOING)
}

fn message(number: usize, size: usize) -> Vec<u8> {
    // With what ostler adds where it is missing, so that what arrives is what was sent.
    let mut text = format!(
        "From: <a@example.test>\r\nDate: Sun, 29 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{number}@example.test>\r\n\
         Subject: number {number}\r\n\r\n..a line with a dot\r\n"
    )
    .into_bytes();
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ number as u64;
    while text.len() + 3 < size {
        for _ in 0..76.min(size - text.len() - 5) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(b'0' + (state % 64) as u8);
        }
        text.extend_from_slice(b"\r\n");
        if size - text.len() < 6 {
            break;
        }
    }
    text.extend_from_slice(b".\r\n");
    text
}
