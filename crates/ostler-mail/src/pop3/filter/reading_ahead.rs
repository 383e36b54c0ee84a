//! What the filter does about reading ahead: asks the server for messages before the client does, keeps what comes, gives it to
//! the client in its turn, and hides a failure that only ostler's own questions have met.
//!
//! Not here: which messages are worth asking for, and what is kept of them (`pop3::ahead`).

use super::{Asker, Expected, Pop3Filter, State, checked_status, cleaned};
use crate::command::is_quit;
use crate::machine::{ProtocolViolation, Replies};
use crate::pop3::ahead::Question;
use crate::pop3::text::{Kind, Taken, Text};
use crate::pop3::{Status, words};

/// The most octets of one message that was asked ahead, while the client waits for another answer. None is asked for that is listed
/// with more than 256 KiB; the lists of some servers are wrong, but not as wrong as this.
const MAX_OCTETS_AHEAD: usize = 10 * 1024 * 1024;

impl Pop3Filter {
    /// Whether a client that leaves now misses nothing of a server that has failed: the failure is in what ostler has asked
    /// ahead, and nothing is to be deleted.
    pub fn is_failure_ahead(&self) -> bool {
        let waits_for_bye = self.expected.iter().all(|expected| *expected == Expected::Quit);
        self.owes_ahead() && !self.is_inside_text() && !self.has_deleted && waits_for_bye
    }

    /// The answer to QUIT of a client that misses nothing, if that is its next command (`None`: its last one): without reading
    /// ahead it would have heard of no failure.
    pub fn bye_without_server(&self, next: Option<&[u8]>) -> Option<String> {
        let has_quit = next.map_or(self.has_quit, is_quit);
        (has_quit && self.is_failure_ahead()).then(|| format!("{}\r\n", words::BYE))
    }

    /// Whether a server that stays silent between two answers, or has hung up there, may have tripped over commands that came to
    /// it together.
    pub fn may_have_tripped(&self, has_hung_up: bool) -> bool {
        let is_between = matches!(self.state, State::Status);
        is_between && if has_hung_up { self.owes_ahead() } else { self.ahead.has_asked() }
    }

    /// Whether the server is in, or owes next, an answer that only ostler has asked for.
    pub(super) fn owes_ahead(&self) -> bool {
        matches!(self.state, State::Ahead(..)) || matches!(self.asked.front(), Some(Asker::Ahead(_)))
    }

    /// Whether the client waits for nothing, and can get something that was read ahead.
    pub(super) fn outlives_server(&self) -> bool {
        self.expected.is_empty() && !self.is_inside_text() && self.ahead.has_some()
    }

    /// Whether a breach by the server is about what ostler has asked it ahead of the client.
    pub(super) fn is_breach_ahead(&self) -> bool {
        self.expected.is_empty() && !self.is_inside_text() && (self.owes_ahead() || self.ahead.has_some())
    }

    /// Whether the client can get nothing more, and no message was asked for that it may still want.
    pub(super) fn has_nothing_to_give(&self) -> bool {
        let is_message = |asker: &Asker| matches!(asker, Asker::Ahead(Question::Message(_)));
        let is_arriving = matches!(self.state, State::Ahead(_, Question::Message(_)));
        !self.ahead.has_some() && !is_arriving && !self.asked.iter().any(is_message)
    }

    /// The server begins an answer that the client has not asked it for.
    pub(super) fn status_ahead(&mut self, question: Question, raw: &[u8]) -> Result<(), ProtocolViolation> {
        let is_ok = checked_status(raw)? == Status::Ok;
        self.asked.pop_front();
        self.octets_ahead = 0;
        self.tick();
        match question {
            Question::Sizes if is_ok => self.state = State::Ahead(Text::with_sizes(), question),
            Question::Sizes => self.ahead.stop(),
            Question::Message(request) => {
                let line = cleaned(raw);
                self.ahead.begin(request, line.as_ref().map_or(raw, |line| line.as_bytes()), is_ok);
                if is_ok {
                    self.state = State::Ahead(Text::new(Kind::Message(request.number), self.readable), question);
                }
            }
        }
        Ok(())
    }

    /// Keeps what belongs to a text that is read ahead. Returns how many octets that is.
    pub(super) fn keep(&mut self, input: &[u8], say: &mut Replies) -> usize {
        let State::Ahead(text, question) = &mut self.state else { return 0 };
        let (is_held, mut readable) = (text.is_held(), Vec::new());
        let Taken { octets, is_end } = text.take(input, &mut readable);
        if let Question::Message(request) = question {
            let kept = if is_held { &readable } else { &input[..octets] };
            self.ahead.add(*request, kept, octets, is_end.then(|| text.changes()));
        }
        self.octets_ahead += octets;
        self.moved(octets);
        if is_end {
            self.note_pace();
            self.tick();
            if let State::Ahead(text, _) = std::mem::replace(&mut self.state, State::Status) {
                text.into_sizes().into_iter().for_each(|sizes| self.ahead.set_sizes(sizes));
            }
            self.ask_ahead(say);
        }
        octets
    }

    /// The same, and the client gets what it waits for of it.
    pub(super) fn keep_and_catch_up(&mut self, input: &[u8], say: &mut Replies) -> Result<usize, ProtocolViolation> {
        let octets = self.keep(input, say);
        self.catch_up(say);
        if self.holds_up_client() {
            return Err(ProtocolViolation::Server("a message is far longer than it says".into()));
        }
        Ok(octets)
    }

    /// Whether the client waits for an answer behind a message that was asked ahead and is much longer than the server's list says:
    /// to keep more of it would take memory without bound, and to let it pass by, time without bound.
    fn holds_up_client(&self) -> bool {
        let is_too_long = self.ahead.keeps_too_much() || self.octets_ahead > MAX_OCTETS_AHEAD;
        is_too_long && matches!(self.state, State::Ahead(..)) && !self.expected.is_empty()
    }

    /// Asks the server for what the client will want next.
    pub(super) fn ask_ahead(&mut self, say: &mut Replies) {
        while let Some(question) = self.ahead.next_question() {
            let line = match question {
                Question::Sizes => "LIST\r\n".into(),
                Question::Message(request) => format!("RETR {}\r\n", request.number),
            };
            say.server.extend_from_slice(line.as_bytes());
            self.asked.push_back(Asker::Ahead(question));
        }
    }

    /// After an answer: asks the server for what the client will want, and gives the client what its turn has come for, behind
    /// `passing`, which the client gets before it. Whether there was anything to say; if not, `passing` is the caller's.
    pub(super) fn goes_on_ahead(&mut self, passing: &[u8], say: &mut Replies) -> bool {
        let mut more = Replies::default();
        self.ask_ahead(&mut more);
        self.catch_up(&mut more);
        let is_anything = !(more.client.is_empty() && more.server.is_empty());
        if is_anything {
            say.client.extend_from_slice(passing);
            say.client.append(&mut more.client);
            say.server.append(&mut more.server);
        }
        is_anything
    }

    /// Gives the client what has come of the messages that it waits for, as far as their turn has come.
    pub(super) fn catch_up(&mut self, say: &mut Replies) {
        while let Some(Expected::Ahead(number)) = self.expected.front().copied()
            && !self.is_inside_text()
            && let Some(mut answer) = self.ahead.take(number)
        {
            self.expected.pop_front();
            say.client.append(&mut answer.octets);
            if answer.is_message {
                self.begin_fetch(number);
                self.passed(answer.text_octets, true);
            }
            if answer.is_whole {
                self.messages += u64::from(answer.is_message);
                self.changes.add(answer.changes);
                self.tick();
            // The rest of it passes as it comes.
            } else if let State::Ahead(text, _) = std::mem::replace(&mut self.state, State::Status) {
                self.state = State::Text(text);
            }
        }
    }

    /// A text has ended: tells what the line brings.
    pub(super) fn note_pace(&mut self) {
        let (since, octets) = self.measured;
        if self.ahead.note_pace(octets, self.now.saturating_duration_since(since)) {
            self.measured = (self.now, 0);
        }
    }
}
