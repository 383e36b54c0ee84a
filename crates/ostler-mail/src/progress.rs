//! How far a client's session is: which message, and how much of it. Filters write it, the status reads it. The numbers are
//! atomic, so that neither side waits and a block of a message costs one store.
//!
//! Not here: what happened, which is an event. Nothing outlives the session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The progress of one session, for display only: two numbers that are read together may be of different moments.
#[derive(Debug, Default)]
pub struct Progress {
    /// The number of the message under way, counted from 1 in this session. 0: none.
    message: AtomicU64,
    /// The number of messages expected. 0: unknown.
    of_messages: AtomicU64,
    octets: AtomicU64,
    /// The number of octets expected. 0: unknown.
    of_octets: AtomicU64,
    /// The folder that is open (IMAP).
    folder: Mutex<Option<String>>,
}

/// How much of a folder's name is shown, in characters.
const MAX_FOLDER_CHARS: usize = 60;

/// What the client's STAT or LIST has told about the mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The number of messages.
    pub messages: u64,
    /// The octets of all messages; 0 if only their number is known.
    pub octets: u64,
}

impl Progress {
    /// Message `number` of the session begins. `of_messages` and `of_octets` are the totals, where they are known.
    pub fn begin_message(&self, number: u64, of_messages: Option<u64>, of_octets: Option<u64>) {
        self.of_messages.store(of_messages.unwrap_or(0), Ordering::Relaxed);
        self.of_octets.store(of_octets.unwrap_or(0), Ordering::Relaxed);
        self.message.store(number, Ordering::Relaxed);
    }

    /// The client has opened this folder.
    pub fn open_folder(&self, name: &str) {
        let name = name.chars().take(MAX_FOLDER_CHARS).collect();
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Sets the octets passed so far: of all messages of a fetch, of this message in a send.
    pub fn set_octets(&self, octets: u64) {
        self.octets.store(octets, Ordering::Relaxed);
    }

    /// No message is under way now; the next one counts from zero.
    pub fn clear(&self) {
        self.begin_message(0, None, None);
        self.set_octets(0);
    }

    /// The fields that a session has in `ostler status --json`: `folder`, the one that is open (IMAP), and, all null while no message
    /// is under way, `message`, `of_messages`, `octets`, `of_octets` and `progress`, the same in words.
    pub fn document(&self) -> Value {
        let known = |number: &AtomicU64| Some(number.load(Ordering::Relaxed)).filter(|n| *n > 0);
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(message) = known(&self.message) else {
            return json!({"folder": folder, "message": null, "of_messages": null, "octets": null, "of_octets": null, "progress": null});
        };
        let (octets, of_messages) = (self.octets.load(Ordering::Relaxed), known(&self.of_messages));
        // Dot-stuffing makes a message slightly longer than the size that the provider tells.
        let of_octets = known(&self.of_octets).map(|of| of.max(octets));
        let of = of_messages.map_or_else(String::new, |of| format!(" of {of}"));
        let place = folder.as_ref().map_or_else(String::new, |folder| format!(" in {folder}"));
        let words = format!("message {message}{of}{place}, {}", amount(octets, of_octets));
        json!({"folder": folder, "message": message, "of_messages": of_messages, "octets": octets, "of_octets": of_octets, "progress": words})
    }
}

/// `3.1 of 9.8 MB`, or `3.1 MB` where the total is unknown.
fn amount(octets: u64, of: Option<u64>) -> String {
    let (unit, name) = if of.unwrap_or(octets) < MEGABYTE { (1000, "KB") } else { (MEGABYTE, "MB") };
    let shown = |octets: u64| {
        if unit == 1000 {
            octets.div_ceil(unit).to_string()
        } else {
            format!("{}.{}", octets / unit, octets % unit / (unit / 10))
        }
    };
    match of {
        Some(of) => format!("{} of {} {name}", shown(octets), shown(of)),
        None => format!("{} {name}", shown(octets)),
    }
}

/// A megabyte as mail programs and providers count it. Less is shown in KB.
const MEGABYTE: u64 = 1_000_000;

/// Predicts how many messages a client will fetch. A client that begins with message 1 of 40 will fetch 40, one that begins
/// with 38 will fetch 3. No total is predicted for a client that goes backwards or gives no readable number.
#[derive(Debug, Default)]
pub(crate) struct FetchForecast {
    mailbox: Option<Mailbox>,
    /// How many messages the client has begun to fetch.
    fetches: u64,
    last_number: u64,
    /// Every message so far was fetched in order from the first, so the mailbox's octets are the fetch's.
    is_whole: bool,
    /// The client has fetched a message again, or an earlier one, or one without a readable number.
    goes_back: bool,
}

impl FetchForecast {
    /// The provider has told the client this about the mailbox.
    pub(crate) fn set_mailbox(&mut self, mailbox: Mailbox) {
        let octets = self.mailbox.map_or(0, |known| known.octets);
        // UIDL has no sizes; sizes known from STAT or LIST stay.
        self.mailbox = Some(Mailbox { octets: if mailbox.octets == 0 { octets } else { mailbox.octets }, ..mailbox });
    }

    /// The client fetches the message of this number; 0 if the number is unreadable.
    pub(crate) fn begin_fetch(&mut self, number: u64, progress: &Progress) {
        self.fetches += 1;
        self.goes_back |= number <= self.last_number;
        self.is_whole = number == self.fetches && (self.is_whole || self.fetches == 1);
        self.last_number = number;
        let mailbox = self.mailbox.filter(|mailbox| !self.goes_back && number <= mailbox.messages);
        let of_messages = mailbox.map(|mailbox| self.fetches + mailbox.messages - number);
        let of_octets = mailbox.filter(|_| self.is_whole).map(|mailbox| mailbox.octets);
        progress.begin_message(self.fetches, of_messages, of_octets);
    }
}

/// Counts the messages and octets in the answer to LIST or UIDL while it passes, however it is cut.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    totals: Mailbox,
    field: Field,
    /// The number in this line, as far as its digits have passed.
    number: u64,
    /// The size in this line, as far as its digits have passed.
    size: u64,
}

/// The place of the next octet in a line of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Start,
    Number,
    Size,
    Rest,
}

impl Listing {
    /// Counts the next octets. The final `.` adds nothing. `each` gets the number and the size in every line.
    pub(crate) fn count(&mut self, text: &[u8], mut each: impl FnMut(u64, u64)) {
        let digit = |number: u64, octet: &u8| number.saturating_mul(10).saturating_add(u64::from(octet - b'0'));
        for octet in text {
            self.field = match (self.field, octet) {
                (Field::Number | Field::Size | Field::Rest, b'\n') => {
                    let (number, size) = (std::mem::take(&mut self.number), std::mem::take(&mut self.size));
                    each(number, size);
                    self.totals.octets = self.totals.octets.saturating_add(size);
                    Field::Start
                }
                (Field::Start, b'0'..=b'9') => {
                    self.totals.messages = self.totals.messages.saturating_add(1);
                    self.number = digit(0, octet);
                    Field::Number
                }
                (Field::Number, b'0'..=b'9') => {
                    self.number = digit(self.number, octet);
                    Field::Number
                }
                (Field::Number, b' ') => Field::Size,
                (Field::Size, b'0'..=b'9') => {
                    self.size = digit(self.size, octet);
                    Field::Size
                }
                (Field::Start, b'\n') => Field::Start,
                _ => Field::Rest,
            };
        }
    }

    /// The totals at the end of the list. `has_sizes` is true for LIST; the names in UIDL may consist of digits too.
    pub(crate) fn mailbox(&self, has_sizes: bool) -> Mailbox {
        Mailbox { octets: if has_sizes { self.totals.octets } else { 0 }, ..self.totals }
    }
}

/// Reads the answer to STAT (RFC 1939, section 5): `+OK 40 9876543`.
pub(crate) fn parse_stat(answer: &[u8]) -> Option<Mailbox> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut words = text.split_ascii_whitespace().skip(1);
    Some(Mailbox { messages: words.next()?.parse().ok()?, octets: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(progress: &Progress) -> String {
        progress.document()["progress"].as_str().unwrap_or("-").to_owned()
    }

    #[test]
    fn it_is_said_as_far_as_it_is_known() {
        let progress = Progress::default();
        assert_eq!(words(&progress), "-");
        progress.begin_message(3, None, None);
        progress.set_octets(1_249_999);
        assert_eq!(words(&progress), "message 3, 1.2 MB");
        progress.begin_message(12, Some(40), Some(9_800_000));
        progress.set_octets(3_123_456);
        assert_eq!(words(&progress), "message 12 of 40, 3.1 of 9.8 MB");
        // Longer than was said.
        progress.set_octets(9_900_001);
        assert_eq!(words(&progress), "message 12 of 40, 9.9 of 9.9 MB");
        progress.begin_message(1, Some(1), Some(1500));
        progress.set_octets(1);
        assert_eq!(words(&progress), "message 1 of 1, 1 of 2 KB");
        assert_eq!(progress.document()["of_octets"], 1500);
        progress.begin_message(1, Some(1), Some(MEGABYTE));
        assert_eq!(words(&progress), "message 1 of 1, 0.0 of 1.0 MB");
        progress.clear();
        assert_eq!(words(&progress), "-");
        assert!(progress.document()["octets"].is_null());
    }

    /// What the client fetches, with a mailbox of 40 messages and 9.8 MB.
    fn forecast(numbers: &[u64]) -> Vec<String> {
        let (mut forecast, progress) = (FetchForecast::default(), Progress::default());
        forecast.set_mailbox(Mailbox { messages: 40, octets: 9_800_000 });
        numbers
            .iter()
            .map(|number| {
                forecast.begin_fetch(*number, &progress);
                words(&progress)
            })
            .collect()
    }

    #[test]
    fn how_many_there_will_be_follows_from_where_the_client_begins() {
        assert_eq!(forecast(&[1, 2]), ["message 1 of 40, 0.0 of 9.8 MB", "message 2 of 40, 0.0 of 9.8 MB"]);
        // The rest of the mailbox, as programs do that leave mail on the server.
        assert_eq!(forecast(&[38, 39, 40]), ["message 1 of 3, 0 KB", "message 2 of 3, 0 KB", "message 3 of 3, 0 KB"]);
        assert_eq!(forecast(&[1, 3])[1], "message 2 of 39, 0 KB");
        // Backwards, twice the same, beyond the end, no number.
        assert_eq!(forecast(&[40, 39, 38])[1..], ["message 2, 0 KB", "message 3, 0 KB"]);
        assert_eq!(forecast(&[1, 1])[1], "message 2, 0 KB");
        assert_eq!(forecast(&[u64::MAX])[0], "message 1, 0 KB");
        assert_eq!(forecast(&[0])[0], "message 1, 0 KB");
    }

    #[test]
    fn a_list_says_how_many_and_how_much_in_whatever_pieces() {
        let text = b"1 120\r\n2 200 (seen)\r\n.\r\n";
        for size in 1..text.len() {
            let mut listing = Listing::default();
            let mut lines = Vec::new();
            text.chunks(size).for_each(|chunk| listing.count(chunk, |number, size| lines.push((number, size))));
            assert_eq!(lines, [(1, 120), (2, 200), (0, 0)], "{size}");
            assert_eq!(listing.mailbox(true), Mailbox { messages: 2, octets: 320 }, "{size}");
            assert_eq!(listing.mailbox(false), Mailbox { messages: 2, octets: 0 });
        }
        let mut odd = Listing::default();
        odd.count(b"\n10 120\n11 5\n", |_, _| {});
        assert_eq!(odd.mailbox(true), Mailbox { messages: 2, octets: 125 });
        let mut hostile = Listing::default();
        hostile.count(b"\r\nx 1\r\n1 99999999999999999999999999\r\n2 99999999999999999999999999\r\n1\r\n", |_, _| {});
        assert_eq!(hostile.mailbox(true), Mailbox { messages: 3, octets: u64::MAX });
    }

    #[test]
    fn names_take_no_sizes_away() {
        let (mut forecast, progress) = (FetchForecast::default(), Progress::default());
        forecast.set_mailbox(parse_stat(b"+OK 2 320\r\n").unwrap());
        forecast.set_mailbox(Mailbox { messages: 2, octets: 0 });
        forecast.begin_fetch(1, &progress);
        assert_eq!(words(&progress), "message 1 of 2, 0 of 1 KB");
        for nonsense in [&b"+OK\r\n"[..], b"+OK two 3\r\n", b"+OK 2\r\n", b"+OK 2 -3\r\n", b"+OK \xff 3\r\n"] {
            assert_eq!(parse_stat(nonsense), None);
        }
    }
}
