//! Dialogues of old programs that read by IMAP, as text, and how to play them.
//!
//! ```text
//! == what it shows
//! C: 00001 NOOP     a line, sent with CRLF
//! RAW: Subject: x   these octets, in which ~ is CRLF, with no line end
//! S: 00001 OK       a line that begins like this
//! S+: 00001 OK      everything up to a line that begins like this; messages in it are kept
//! S~ EXISTS         what came last has this in it
//! close             the client goes without reading another octet
//! end               ostler has to close, without another word
//! ```
//!
//! Empty lines and lines with `#` say something to the reader.

use super::client::Client;

/// One dialogue.
#[derive(Debug)]
pub struct Reader {
    pub name: String,
    steps: Vec<(usize, String)>,
}

/// A message that was read: its number, and its octets.
pub type Read = (usize, Vec<u8>);

impl Reader {
    /// All dialogues of a file.
    pub fn all(text: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = line.strip_prefix("== ") {
                all.push(Self { name: name.to_owned(), steps: Vec::new() });
            } else if !line.is_empty() && !line.starts_with('#') {
                all.last_mut().expect("a head first").steps.push((number + 1, line.to_owned()));
            }
        }
        assert!(!all.is_empty());
        all
    }

    /// Plays the client's side at this port; the whole messages that were read.
    pub fn play(&self, port: u16) -> Vec<Read> {
        let (mut client, mut last, mut read) = (Client::connect(port), String::new(), Vec::new());
        for (number, line) in &self.steps {
            let here = format!("{}, line {number}: {line}", self.name);
            let said = |prefix: &str| line.strip_prefix(prefix);
            if let Some(text) = said("C: ") {
                client.send(format!("{text}\r\n"));
            } else if let Some(text) = said("RAW: ") {
                client.send(text.replace('~', "\r\n"));
            } else if let Some(start) = said("S: ") {
                last = client.line().unwrap_or_default();
                assert!(last.starts_with(start), "{here}: {last:?}\n{}", client.log());
            } else if let Some(start) = said("S+: ") {
                last = up_to(&mut client, start, &mut read, &here);
            } else if let Some(part) = said("S~ ") {
                assert!(last.contains(part), "{here}: not in {last:?}");
            } else {
                match line.as_str() {
                    "close" => return read,
                    "end" => client.expect_end(),
                    _ => panic!("{here}: no such step"),
                }
            }
        }
        read
    }
}

/// Everything up to a line that begins like this, that line included.
fn up_to(client: &mut Client, start: &str, read: &mut Vec<Read>, here: &str) -> String {
    let mut all = String::new();
    let mut line = Vec::new();
    loop {
        line.extend(client.raw_line().unwrap_or_else(|| panic!("{here}: closed\n{}", client.log())));
        let text = String::from_utf8_lossy(&line).into_owned();
        all += &text;
        if text.starts_with(start) {
            return all;
        }
        let announced = text.trim_end().strip_suffix('}').and_then(|text| text.rsplit_once('{'));
        let octets = announced.and_then(|(_, octets)| octets.parse::<usize>().ok());
        line.clear();
        let Some(octets) = octets.filter(|_| text.starts_with("* ") || text.starts_with(' ')) else { continue };
        while line.len() < octets {
            line.extend(client.raw_line().unwrap_or_else(|| panic!("{here}: closed in a message\n{}", client.log())));
        }
        let message: Vec<u8> = line.drain(..octets).collect();
        if text.contains("BODY[] {") || text.contains("RFC822 {") {
            let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
            read.push((number.unwrap_or_else(|| panic!("{here}: {text}")), message));
        }
    }
}
