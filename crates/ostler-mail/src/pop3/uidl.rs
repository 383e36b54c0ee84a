//! Looks at a server's list of message ids (UIDL, RFC 1939, section 7) for what old mail programs stop at. Outlook ends with
//! 0x800CCC93 at a message without an id, and fetches one of two with the same id; Outlook Express and Netscape cannot leave
//! messages on a server that refuses UIDL.
//!
//! Not here: the list as it passes between a client and a server, which `filter` leaves as it is.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use crate::failure::IdProblem;
use crate::pop3::{Status, parse_status, without_status};
use crate::wire::Line;

/// At most this many lines are looked at. A mailbox that has not been cleared for twenty years has as many messages.
pub const MAX_UIDL_LINES: u64 = 100_000;
/// The longest id (RFC 1939, section 7).
const MAX_ID_OCTETS: usize = 70;
/// The longest part of a strange line that is shown.
const MAX_SHOWN_CHARS: usize = 60;

/// What has been seen of the list.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More lines follow.
    More,
    /// The server has ended its answer.
    Ended,
    /// Enough is known; the server may go on.
    Enough,
}

/// The list so far. Of each id it keeps a hash only, so the largest mailbox takes a few megabytes.
pub struct IdList {
    /// How many messages STAT says there are.
    counted: u64,
    has_status: bool,
    lines: u64,
    numbers: HashSet<u64>,
    /// The hash of each id, and the message that has it.
    ids: HashMap<u64, u64>,
    hasher: RandomState,
    first: Option<IdProblem>,
    problems: u64,
}

impl IdList {
    /// An answer to UIDL that is about to come; `counted` is the number of messages by STAT.
    pub fn new(counted: u64) -> Self {
        Self {
            counted,
            has_status: false,
            lines: 0,
            numbers: HashSet::new(),
            ids: HashMap::new(),
            hasher: RandomState::new(),
            first: None,
            problems: 0,
        }
    }

    /// Takes the next line of the answer.
    pub fn take(&mut self, line: &Line) -> Progress {
        if !self.has_status {
            return self.take_status(line);
        }
        if line.bytes() == b"." {
            self.look_for_gaps();
            return Progress::Ended;
        }
        if self.lines >= self.counted {
            self.note(IdProblem::TooMany { counted: self.counted });
            return Progress::Enough;
        }
        if self.lines >= MAX_UIDL_LINES {
            return Progress::Enough;
        }
        self.lines += 1;
        self.take_id(line);
        Progress::More
    }

    /// How many ids have been looked at.
    pub fn looked_at(&self) -> u64 {
        self.lines
    }

    /// The first problem, and how many others there are.
    pub fn problem(self) -> Option<(IdProblem, u64)> {
        self.first.map(|first| (first, self.problems - 1))
    }

    fn take_status(&mut self, line: &Line) -> Progress {
        self.has_status = true;
        if parse_status(line.bytes()) == Some(Status::Ok) {
            return Progress::More;
        }
        self.note(IdProblem::Refused { said: without_status(&line.printable()) });
        Progress::Ended
    }

    fn take_id(&mut self, line: &Line) {
        let text = line.bytes().trim_ascii();
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = text.split_at(digits);
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<u64>().ok());
        let Some(message) = number.filter(|_| rest.first().is_none_or(|b| matches!(b, b' ' | b'\t'))) else {
            let line = line.printable().chars().take(MAX_SHOWN_CHARS).collect();
            return self.note(IdProblem::NoNumber { line });
        };
        let id = rest.trim_ascii_start();
        if !self.numbers.insert(message) {
            return self.note(IdProblem::ListedTwice { message });
        }
        if id.is_empty() {
            self.note(IdProblem::Missing { message });
        } else if id.len() > MAX_ID_OCTETS {
            self.note(IdProblem::TooLong { message, octets: id.len() });
        } else if !id.iter().all(|b| (0x21..=0x7e).contains(b)) {
            self.note(IdProblem::BadOctet { message });
        }
        if !id.is_empty() {
            self.compare(message, id);
        }
    }

    /// Notes a message with the id of an earlier one.
    fn compare(&mut self, message: u64, id: &[u8]) {
        match self.ids.entry(self.hasher.hash_one(id)) {
            Entry::Occupied(earlier) => {
                let first = *earlier.get();
                self.note(IdProblem::Same { first, second: message });
            }
            Entry::Vacant(place) => {
                place.insert(message);
            }
        }
    }

    /// At the end of the list: a message that STAT counts and the list leaves out.
    fn look_for_gaps(&mut self) {
        let listed = self.lines;
        if listed < self.counted
            && let Some(message) = (1..=self.counted).find(|number| !self.numbers.contains(number))
        {
            self.note(IdProblem::Unlisted { message, listed, counted: self.counted });
        }
    }

    fn note(&mut self, problem: IdProblem) {
        self.problems += 1;
        self.first.get_or_insert(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in an answer to UIDL, given line by line, and how far it was read.
    fn look(counted: u64, lines: &[&str]) -> (Option<(IdProblem, u64)>, Progress) {
        let mut list = IdList::new(counted);
        let mut progress = Progress::More;
        for line in lines {
            assert_eq!(progress, Progress::More, "{line}");
            progress = list.take(&Line::new(line.as_bytes()));
        }
        (list.problem(), progress)
    }

    #[test]
    fn a_list_as_it_should_be_has_no_problem() {
        for (counted, lines) in [
            (0, &["+OK", "."][..]),
            (2, &["+OK 2 messages", "1 whqtswO00WBw418f9t5JxYwZ", "2 QhdPYR:00WBw1Ph7x7", "."]),
            // Some servers set blanks as they like, and list the newest first.
            (2, &["+OK", "2  b", " 1 a ", "."]),
        ] {
            assert_eq!(look(counted, lines), (None, Progress::Ended), "{lines:?}");
        }
        let longest = format!("1 {}", "x".repeat(MAX_ID_OCTETS));
        assert_eq!(look(1, &["+OK", &longest, "."]).0, None);
    }

    #[test]
    fn what_programs_stop_at_is_named_with_the_message() {
        let long = format!("1 {}", "x".repeat(MAX_ID_OCTETS + 1));
        for (counted, lines, problem) in [
            (3, &["+OK", "1 a", "2", "3 c", "."][..], IdProblem::Missing { message: 2 }),
            (3, &["+OK", "1 a", "2 b", "3 ", "."], IdProblem::Missing { message: 3 }),
            (3, &["+OK", "1 a", "2 b", "3 a", "."], IdProblem::Same { first: 1, second: 3 }),
            (1, &["+OK", &long, "."], IdProblem::TooLong { message: 1, octets: 71 }),
            (1, &["+OK", "1 a b", "."], IdProblem::BadOctet { message: 1 }),
            (1, &["+OK", "1 \u{e4}", "."], IdProblem::BadOctet { message: 1 }),
            (1, &["+OK", "1 a\tb", "."], IdProblem::BadOctet { message: 1 }),
            (3, &["+OK", "1 a", "3 c", "."], IdProblem::Unlisted { message: 2, listed: 2, counted: 3 }),
            (2, &["+OK", "."], IdProblem::Unlisted { message: 1, listed: 0, counted: 2 }),
            (2, &["+OK", "1 a", "1 b", "."], IdProblem::ListedTwice { message: 1 }),
            (1, &["+OK", "id of 1", "."], IdProblem::NoNumber { line: "id of 1".into() }),
            (1, &["+OK", "1a b", "."], IdProblem::NoNumber { line: "1a b".into() }),
            (1, &["-ERR unknown command"], IdProblem::Refused { said: "unknown command".into() }),
            (1, &["what?"], IdProblem::Refused { said: "what?".into() }),
        ] {
            let (found, progress) = look(counted, lines);
            assert_eq!((found, progress), (Some((problem, 0)), Progress::Ended), "{lines:?}");
        }
    }

    #[test]
    fn the_first_problem_is_named_and_the_others_are_counted() {
        let (found, _) = look(5, &["+OK", "1", "2 a b", "3 c", "4 c", "."]);
        assert_eq!(found, Some((IdProblem::Missing { message: 1 }, 3)));
    }

    #[test]
    fn a_list_that_does_not_end_is_left() {
        let (found, progress) = look(2, &["+OK", "1 a", "2 b", "3 c"]);
        assert_eq!((found, progress), (Some((IdProblem::TooMany { counted: 2 }, 0)), Progress::Enough));
        let mut list = IdList::new(u64::MAX);
        assert_eq!(list.take(&Line::new(b"+OK")), Progress::More);
        for message in 1..=MAX_UIDL_LINES {
            assert_eq!(list.take(&Line::new(format!("{message} id-{message}").as_bytes())), Progress::More);
        }
        assert_eq!(list.take(&Line::new(b"100001")), Progress::Enough);
        assert_eq!((list.looked_at(), list.problem()), (MAX_UIDL_LINES, None));
    }
}
