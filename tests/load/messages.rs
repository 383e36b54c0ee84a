//! Messages that can be made again from their number, and so be compared octet for octet.

use std::sync::OnceLock;

/// Lines of every kind, dots stuffed, in all a length that no buffer's size divides.
pub(crate) fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut text = Vec::new();
        let mut number = 0_u32;
        while text.len() < 1_000_000 {
            let dots = if number.is_multiple_of(10) { ".." } else { "" };
            let width = usize::try_from(number % 70).unwrap();
            text.extend_from_slice(format!("{dots}line {number:>width$} \u{e4}\u{f6}\u{fc}\r\n").as_bytes());
            number += 1;
        }
        text
    })
}

/// A message as it goes over the wire, without the lone dot: its number, then some of the pattern.
pub(crate) fn letter(number: u64) -> Vec<u8> {
    let pattern = pattern();
    let from = usize::try_from(number * 7919 % 900_000).unwrap();
    let length = usize::try_from(number * 104_729 % 20_000).unwrap();
    let after = |at: usize| at + memchr::memchr(b'\n', &pattern[at..]).unwrap() + 1;
    let (from, to) = (after(from), after(from + length));
    let mut text = format!("Subject: {number}\r\n\r\n").into_bytes();
    text.extend_from_slice(&pattern[from..to.max(from)]);
    text
}

/// The number of a message that is what it was.
pub(crate) fn number_of(text: &[u8]) -> Option<u64> {
    let line = text.strip_prefix(b"Subject: ")?;
    let end = memchr::memchr(b'\r', line)?;
    let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    (letter(number) == text).then_some(number)
}
