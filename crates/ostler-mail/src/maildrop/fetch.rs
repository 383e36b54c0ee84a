//! RETR and TOP: brings a message, or its beginning, and passes it on as it comes.

use crate::imap::login::Status;
use crate::maildrop::answer::{Items, Value, said};
use crate::pop3::words;
use crate::wire::cut::Cut;
use crate::wire::dots::Stuff;

/// How much of a large message TOP asks for first, in octets. Most headers and the beginning of the text are in it.
const FIRST_PART_OCTETS: u64 = 32 * 1024;
/// How long a line is taken to be when TOP guesses how much of the message it needs, in octets.
const LINE_OCTETS: u64 = 100;

/// What follows the answer to a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The text ends with this.
    End(&'static str),
    /// There is no text: the client gets this line.
    Refused(String),
    /// More of the message is asked for with this command.
    Ask(String),
}

/// A message, or its beginning, on its way to the client.
#[derive(Debug)]
pub(super) struct Fetch {
    /// As the client calls it.
    number: u64,
    uid: u32,
    /// The end of TOP; `None` for RETR.
    cut: Option<Cut>,
    /// How many octets the command under way has asked for, from `offset` on; `None`: all.
    asked: Option<u64>,
    offset: u64,
    stuff: Stuff,
    /// The client has the beginning of the text, or at least its status line.
    has_begun: bool,
    /// The UID in the data that is being read.
    uid_told: Option<u64>,
    /// The octets that the command under way has brought.
    brought: Option<u64>,
    /// The server said NIL for the message.
    is_nil: bool,
    /// What was brought is of the message that was asked for.
    is_confirmed: bool,
}

impl Fetch {
    /// RETR.
    pub(super) fn whole(number: u64, uid: u32) -> Self {
        Self {
            number,
            uid,
            cut: None,
            asked: None,
            offset: 0,
            stuff: Stuff::mending(),
            has_begun: false,
            uid_told: None,
            brought: None,
            is_nil: false,
            is_confirmed: false,
        }
    }

    /// TOP, of a message of this size. The server is asked for a part of a large one, as far as that may be enough.
    pub(super) fn top(number: u64, uid: u32, lines: u64, size: u64) -> Self {
        let guess = lines.saturating_mul(LINE_OCTETS).saturating_add(FIRST_PART_OCTETS);
        let asked = (guess < size).then_some(guess);
        Self { cut: Some(Cut::after(lines)), asked, ..Self::whole(number, uid) }
    }

    /// The command that asks for the message, or for its next part.
    pub(super) fn command(&self) -> String {
        let part = self.asked.map_or_else(String::new, |octets| format!("<{}.{octets}>", self.offset));
        format!("UID FETCH {} (UID BODY.PEEK[]{part})", self.uid)
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether it is the whole message, which then counts as read.
    pub(super) fn is_whole(&self) -> bool {
        self.cut.is_none()
    }

    /// Data about a message begins.
    pub(super) fn begin_data(&mut self) {
        self.uid_told = None;
    }

    /// Takes items of the data. Returns whether the literal at their end is the message.
    pub(super) fn items(&mut self, mut items: Items<'_>, out: &mut Vec<u8>) -> bool {
        for (name, value) in items.by_ref() {
            let is_wanted = self.wants(name);
            match value {
                Value::Number(uid) if name.eq_ignore_ascii_case(b"UID") => self.uid_told = Some(uid),
                Value::Literal(octets) if is_wanted => {
                    self.begin(name, octets, out);
                    return true;
                }
                Value::Quoted(text) if is_wanted => {
                    self.begin(name, text.len() as u64, out);
                    self.text(&text, out);
                }
                Value::Nil if is_wanted => {
                    self.brought = Some(0);
                    self.is_nil = self.offset == 0;
                }
                Value::Number(_) | Value::Literal(_) | Value::Quoted(_) | Value::Nil | Value::Other(_) => {}
            }
        }
        let is_ours = self.uid_told == Some(self.uid.into());
        self.is_confirmed |= items.are_over() && is_ours && self.brought.is_some();
        false
    }

    /// Whether an item is the message that was asked for, as far as that is known. All of it may come where its first part was asked
    /// for.
    fn wants(&self, name: &[u8]) -> bool {
        if self.brought.is_some() || self.uid_told.is_some_and(|uid| uid != u64::from(self.uid)) {
            return false;
        }
        let is_whole = is_all(name);
        match self.asked {
            Some(_) if !is_whole || self.offset > 0 => {
                name.eq_ignore_ascii_case(format!("BODY[]<{}>", self.offset).as_bytes())
            }
            _ => is_whole,
        }
    }

    fn begin(&mut self, name: &[u8], octets: u64, out: &mut Vec<u8>) {
        // With all of it here, no other part is asked for.
        self.asked = self.asked.filter(|_| !is_all(name));
        self.brought = Some(octets);
        if !self.has_begun {
            self.has_begun = true;
            let status = if self.is_whole() { words::message_follows(octets) } else { words::OK.to_owned() };
            out.extend_from_slice(format!("{status}\r\n").as_bytes());
        }
    }

    /// Whether these octets of the message pass to the client as they are.
    pub(super) fn passes(&self, octets: &[u8]) -> bool {
        self.cut.is_none() && self.stuff.is_plain(octets)
    }

    /// These octets have passed as they are.
    pub(super) fn passed(&mut self, octets: &[u8]) {
        self.stuff.pass(octets);
    }

    /// Takes octets of the message that do not pass as they are, or are few.
    pub(super) fn text(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let wanted = self.cut.as_mut().map_or(octets.len(), |cut| cut.take(octets));
        self.stuff.put(&octets[..wanted], out);
    }

    /// The command under way is answered. An error: the client has a part of the text, and can get no more.
    pub(super) fn on_answer(&mut self, status: Status, text: &[u8], host: &str) -> Result<Next, String> {
        match (status, self.brought.take().filter(|_| !self.is_nil)) {
            (Status::Ok, Some(octets)) if std::mem::take(&mut self.is_confirmed) => Ok(self.next(octets)),
            (Status::Ok, Some(_)) => Err("it sent another message than the one it was asked for".into()),
            _ if self.has_begun => Err(format!("it broke off in a message: \"{}\"", said(text))),
            (Status::Ok, None) if self.is_nil => Ok(Next::Refused(words::message_is_empty(self.number, host))),
            (Status::Ok, None) => Ok(Next::Refused(words::message_gone(self.number))),
            (Status::No | Status::Bad, _) => Ok(Next::Refused(words::message_refused(self.number, host, &said(text)))),
        }
    }

    /// So many octets have come whole.
    fn next(&mut self, octets: u64) -> Next {
        let is_cut = self.cut.as_ref().is_some_and(Cut::is_reached);
        match self.asked.filter(|asked| octets >= *asked && !is_cut) {
            None => Next::End(self.stuff.end()),
            Some(asked) => {
                self.offset += octets;
                // Ever more, so that even the largest message is here in a few commands.
                self.asked = Some(asked.saturating_mul(2));
                Next::Ask(self.command())
            }
        }
    }
}

/// Whether this names all of a message.
fn is_all(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"BODY[]")
}
