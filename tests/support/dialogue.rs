//! Dialogues of old clients, as text, and how to play them.
//!
//! A file holds dialogues, each with a head `== what it shows | smtp` (or `| pop3`), and in it one step a line:
//!
//! ```text
//! S: 220          an answer that begins like this; an SMTP reply of several lines counts as one answer
//! S:              an answer, whatever it is
//! S*: +OK         a POP3 answer that goes on to the lone dot
//! S?:             `-ERR`, or `+OK` and then the same
//! S~ AUTH=LOGIN   the last answer has this in it
//! C: EHLO old-pc  a line, sent with CRLF
//! LF: STAT        a line, sent with a bare LF
//! SLOW: NOOP      a line with CRLF, one byte to a segment
//! RAW: QUIT       these bytes with no line end
//! close           the client goes without reading another byte
//! reset           the client goes with a TCP reset
//! end             ostler has to close, without another word
//! ```
//!
//! Empty lines and lines with `#` say something to the reader. Blanks at the end of a line are the client's own.

use super::client::Client;

/// A message the client sent, as it went over the line but for the stuffed dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub from: String,
    pub to: Vec<String>,
    pub content: Vec<u8>,
}

/// What a dialogue did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub sent: Vec<Sent>,
    pub retrieved: Vec<(usize, Vec<u8>)>,
    pub deleted: Vec<usize>,
}

/// One dialogue.
#[derive(Debug)]
pub struct Dialogue {
    pub name: String,
    pub smtp: bool,
    steps: Vec<(usize, String)>,
}

impl Dialogue {
    /// All dialogues of a file.
    pub fn all(text: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(head) = line.strip_prefix("== ") {
                let (name, protocol) =
                    head.split_once(" | ").unwrap_or_else(|| panic!("line {}: no protocol", number + 1));
                assert!(["smtp", "pop3"].contains(&protocol), "line {}: {protocol}?", number + 1);
                all.push(Self { name: name.to_owned(), smtp: protocol == "smtp", steps: Vec::new() });
            } else if !line.is_empty() && !line.starts_with('#') {
                all.last_mut().expect("a head first").steps.push((number + 1, line.to_owned()));
            }
        }
        assert!(!all.is_empty());
        all
    }

    /// Plays the client's side at this port.
    pub fn play(&self, port: u16) -> Outcome {
        let mut play = Play { client: Client::connect(port), outcome: Outcome::default(), letter: None };
        let (mut envelope, mut answer) = (Envelope::default(), String::new());
        let mut asked = Vec::new();
        let mut dropped = Vec::new();
        for (at, (number, line)) in self.steps.iter().enumerate() {
            let here = || format!("{}, line {number}: {line}", self.name);
            let said = |prefix: &str| line.strip_prefix(prefix);
            if let Some(text) = said("C: ").or_else(|| (line == "C:").then_some("")) {
                play.command(text, "\r\n", false, &mut asked);
            } else if let Some(text) = said("LF: ") {
                play.command(text, "\n", false, &mut asked);
            } else if let Some(text) = said("SLOW: ").or_else(|| (line == "SLOW:").then_some("")) {
                play.command(text, "\r\n", true, &mut asked);
            } else if let Some(text) = said("RAW: ") {
                play.command(text, "", false, &mut asked);
            } else if line == "S?:" {
                asked.remove(0);
                if play.client.expect("").starts_with("+OK") {
                    while play.client.expect("") != "." {}
                }
            } else if let Some(start) = said("S: ").or_else(|| (line == "S:").then_some("")) {
                answer = if self.smtp { play.client.reply() } else { play.client.line().unwrap_or_default() };
                assert!(answer.starts_with(start), "{}: {answer:?}\n{}", here(), play.client.log());
                if asked.is_empty() {
                    continue;
                }
                let command: String = asked.remove(0);
                self.learn(&command, &answer, &mut envelope, &mut dropped, &mut play);
            } else if let Some(start) = said("S*: ") {
                assert_eq!(start, "+OK", "{}", here());
                let body = play.client.expect_body();
                let command: String = asked.remove(0);
                if let Some(number) = command.to_ascii_uppercase().strip_prefix("RETR ") {
                    play.outcome.retrieved.push((number.trim().parse().unwrap(), body));
                } else {
                    answer = String::from_utf8_lossy(&body).into_owned();
                }
            } else if let Some(part) = said("S~ ") {
                assert!(answer.contains(part), "{}: not in {answer:?}", here());
            } else {
                assert_eq!(at + 1, self.steps.len(), "{}: not the end", here());
                match line.as_str() {
                    "close" => {}
                    "reset" => {
                        play.client.reset();
                        play.outcome.deleted = dropped;
                        return play.outcome;
                    }
                    "end" => play.client.expect_end(),
                    _ => panic!("{}: no such step", here()),
                }
            }
        }
        // Deletions count once the client has said QUIT; it need not wait for the answer.
        let quit = self.steps.iter().any(|(_, line)| line.to_ascii_uppercase().ends_with(": QUIT"));
        if quit {
            play.outcome.deleted = dropped;
        }
        play.outcome
    }

    fn learn(&self, command: &str, answer: &str, envelope: &mut Envelope, dropped: &mut Vec<usize>, play: &mut Play) {
        let upper = command.to_ascii_uppercase();
        if !self.smtp {
            if let (Some(number), true) = (upper.strip_prefix("DELE "), answer.starts_with("+OK")) {
                dropped.push(number.trim().parse().unwrap());
            }
            if upper == "RSET" {
                dropped.clear();
            }
            return;
        }
        if command == "." {
            let content = play.letter.take().expect("a message");
            if answer.starts_with("250") {
                let Envelope { from, to } = std::mem::take(envelope);
                play.outcome.sent.push(Sent { from, to, content });
            }
        } else if upper.starts_with("MAIL FROM:") && answer.starts_with("250") {
            *envelope = Envelope { from: address(command), to: Vec::new() };
        } else if upper.starts_with("RCPT TO:") && answer.starts_with("25") {
            envelope.to.push(address(command));
        } else if upper == "RSET" {
            *envelope = Envelope::default();
        } else if upper == "DATA" && answer.starts_with("354") {
            play.letter = Some(Vec::new());
        }
    }
}

#[derive(Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

struct Play {
    client: Client,
    outcome: Outcome,
    /// The message being sent.
    letter: Option<Vec<u8>>,
}

impl Play {
    fn command(&mut self, text: &str, end: &str, slowly: bool, asked: &mut Vec<String>) {
        let bytes = format!("{text}{end}").into_bytes();
        if slowly {
            self.client.send_slowly(&bytes)
        } else {
            self.client.send(&bytes)
        }
        match &mut self.letter {
            Some(letter) if text != "." => {
                letter.extend_from_slice(text.strip_prefix('.').unwrap_or(text).as_bytes());
                letter.extend_from_slice(b"\r\n");
            }
            _ => asked.push(text.to_owned()),
        }
    }
}

/// The address in a MAIL or RCPT command, with or without brackets, with or without a blank before it.
fn address(command: &str) -> String {
    let rest = command.split_once(':').unwrap().1.trim_start();
    let bare = match rest.strip_prefix('<') {
        Some(rest) => rest.split('>').next(),
        None => rest.split_whitespace().next(),
    };
    bare.unwrap_or("").to_owned()
}
