//! Messages, and what became of them.

use std::path::Path;

/// A message that arrived, less the header lines that the delivering server put on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub from: String,
    pub to: String,
    /// With LF line ends, as servers store mail.
    pub content: Vec<u8>,
}

impl Delivery {
    /// Takes a stored file apart: the server's own header lines end where the message as sent begins.
    fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).expect("a delivered message");
        let (mut from, mut to, mut at) = (String::new(), String::new(), 0);
        loop {
            let line = line_at(&bytes, at);
            let text = String::from_utf8_lossy(line).into_owned();
            let Some((field, value)) = text.split_once(':') else { break };
            let address = || value.trim().trim_matches(['<', '>']).to_owned();
            match field.to_ascii_lowercase().as_str() {
                "return-path" => from = address(),
                "x-original-to" | "envelope-to" => to = address(),
                "delivered-to" => {}
                "received" => {
                    at += line.len();
                    while matches!(line_at(&bytes, at).first(), Some(b' ' | b'\t')) {
                        at += line_at(&bytes, at).len();
                    }
                    break;
                }
                _ => break,
            }
            at += line.len();
        }
        Self { from, to, content: bytes[at..].to_vec() }
    }
}

fn line_at(bytes: &[u8], at: usize) -> &[u8] {
    let rest = &bytes[at..];
    let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    &rest[..end]
}

/// Everything in the `new` folder of a Maildir, by recipient.
pub fn deliveries(maildir: &Path) -> Vec<Delivery> {
    let Ok(entries) = std::fs::read_dir(maildir.join("new")) else { return Vec::new() };
    let mut all: Vec<_> = entries.map(|entry| Delivery::read(&entry.unwrap().path())).collect();
    all.sort_by(|a, b| (&a.to, &a.content).cmp(&(&b.to, &b.content)));
    all
}

/// Line ends as servers store them.
pub fn stored(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for (at, byte) in message.iter().enumerate() {
        if !(*byte == b'\r' && message.get(at + 1) == Some(&b'\n')) {
            out.push(*byte);
        }
    }
    out
}

/// Doubles the dot at the start of a line, and ends with the final dot: a message as it goes over the line.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// The reverse of [`stuffed`], without the final dot.
pub fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(wire.len());
    for line in wire.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    out
}

/// A message with everything in it that is easily damaged: dots, `From `, trailing blanks, 8-bit bytes, tabs, an
/// empty line at the end. It carries a mark of its own.
pub fn tricky(mark: &str) -> Vec<u8> {
    let mut message = format!(
        "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>\r\nSubject: {mark}\r\nDate: Mon, 5 Jan 2004 10:00:00 +0100\r\n\
         Message-ID: <{mark}@example.org>\r\nX-Folded: one\r\n\ttwo  \r\n\r\n\
         .\r\n..\r\n.hidden\r\nFrom the start\r\ntrailing blanks  \t \r\n\r\n"
    )
    .into_bytes();
    message.extend_from_slice(b"Gr\xfc\xdfe in Latin-1, na\xc3\xafve in UTF-8, \x01\x7f\xff\r\n");
    message.extend_from_slice("long ".repeat(180).as_bytes());
    message.extend_from_slice(b"\r\n\r\n");
    message
}
