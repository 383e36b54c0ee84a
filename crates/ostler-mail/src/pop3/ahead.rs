//! Reading ahead: which messages to ask a provider for before the client does, and what has come of them. An old client asks
//! for one message, waits a round trip, and asks for the next. After two in a row the next ones are on their way.
//!
//! Not here: whose answer comes next, and what the client gets, which are the filter's.

use std::collections::VecDeque;
use std::time::Duration;

use crate::readable::Changes;

/// The most messages read ahead.
const MAX_MESSAGES: usize = 16;
/// The messages read ahead at first. The number doubles each time the client has to wait for one, and halves when it wants
/// another one.
const FIRST_MESSAGES: usize = 8;
/// The number does not fall below this.
const MIN_MESSAGES: usize = 2;
/// The most octets read ahead, by the sizes that the provider tells.
const MAX_OCTETS: u64 = 1024 * 1024;
/// At least this much may be ahead, beside one message. At 40 ms for a round trip that makes a megabyte a second.
const MIN_OCTETS: u64 = 32 * 1024;
/// The pace is measured over at least this time.
const MIN_MEASURED_TIME: Duration = Duration::from_millis(20);
/// It is measured over a shorter time only if this many octets came in it.
const MIN_MEASURED_OCTETS: u64 = 256 * 1024;
/// At the pace of the last texts, what is ahead arrives within this time. A client that wants something else waits no longer.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// A message of more octets is not read ahead: it takes long, and a client that wants something else would wait for it.
const MAX_MESSAGE_OCTETS: u64 = 256 * 1024;
/// The most octets that are kept. Stuffed dots make messages longer than their sizes, but seldom by a quarter.
const MAX_KEPT_OCTETS: usize = 5 * 1024 * 1024 / 4;
/// The number of messages in a row after which the client is taken to want the next ones too.
const MESSAGES_IN_A_ROW: u32 = 2;

/// What to ask the provider next, unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// LIST: the size of each message.
    Sizes,
    /// RETR of a message.
    Message(Request),
}

/// One request for a message that is read ahead. The same message may be asked for again, because the client goes back and forth;
/// only the answer to the latest request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub number: u64,
    /// Counts the requests of a session.
    serial: u64,
}

/// How far a message is that is read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The provider has not begun its answer.
    Asked,
    /// The octets that have come are not all.
    Arriving,
    /// The answer is here.
    Whole,
}

/// A message that is read ahead.
#[derive(Debug)]
struct Message {
    request: Request,
    /// Its size as the provider tells it.
    size: u64,
    stage: Stage,
    /// The client has asked for it and waits.
    wanted: bool,
    answer: Answer,
}

/// The answer to a RETR, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The status line, then the text, as the client gets them.
    pub octets: Vec<u8>,
    /// The octets of the text as the provider has sent them.
    pub text_octets: usize,
    /// The answer is here to its end.
    pub is_whole: bool,
    /// The provider has the message: the status line is `+OK`.
    pub is_message: bool,
    /// What was changed to make it readable.
    pub changes: Changes,
}

/// The messages that are read ahead in one session.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Whether anything may be asked ahead.
    may: bool,
    sizes: Option<Sizes>,
    asked_sizes: bool,
    /// The last message that the client fetched; 0: none.
    last: u64,
    /// How many it has fetched in a row.
    in_a_row: u32,
    /// How many messages may be ahead of the client now.
    window: usize,
    /// How many octets may.
    octets: u64,
    /// By number, without gaps but for those the client still waits for.
    messages: VecDeque<Message>,
    kept_octets: usize,
    /// The highest number that was ever asked for.
    highest: u64,
    requests: u64,
}

impl Ahead {
    /// `may`: the provider takes commands sent ahead, and a RETR changes nothing there.
    pub(super) fn new(may: bool) -> Self {
        Self { may, window: FIRST_MESSAGES, octets: MIN_OCTETS, ..Self::default() }
    }

    /// Asks for nothing more, and forgets what the client does not wait for.
    pub(super) fn stop(&mut self) {
        self.may = false;
        self.sizes = None;
        self.forget_below(u64::MAX);
    }

    /// The client resets the session (RSET). The provider forgets which messages were accessed (RFC 1460), those that were read ahead
    /// too; so that what it says of them stays true, nothing more is read ahead.
    pub(super) fn reset(&mut self) {
        self.stop();
        self.highest = 0;
    }

    #[cfg(test)]
    pub(super) fn kept_octets(&self) -> usize {
        self.kept_octets
    }

    /// Whether the octets that are kept for the client are more than any list that is true lets come.
    pub(super) fn keeps_too_much(&self) -> bool {
        self.kept_octets > MAX_KEPT_OCTETS
    }

    /// The client deletes a message. The provider must not be asked for it any more. If it is ahead, nothing more is read ahead.
    pub(super) fn note_deletion(&mut self, number: Option<u64>) {
        match number.filter(|number| *number <= self.last) {
            Some(number) => self.sizes.iter_mut().for_each(|sizes| sizes.forget(number)),
            None => self.stop(),
        }
    }

    /// Notes that this many octets came in this time, which includes what the client took before it asked. Returns whether that
    /// says anything about the line: octets that were on their way together arrive together, however slow it is.
    pub(super) fn note_pace(&mut self, octets: u64, took: Duration) -> bool {
        let says_something = took >= MIN_MEASURED_TIME || octets >= MIN_MEASURED_OCTETS;
        if says_something {
            let in_time = u128::from(octets) * MAX_DELAY.as_micros() / took.as_micros().max(1);
            self.octets = u64::try_from(in_time).unwrap_or(u64::MAX).clamp(MIN_OCTETS, MAX_OCTETS);
        }
        says_something
    }

    /// The highest message that the provider was asked for ahead. The provider would name it to a client that says LAST (RFC 1460).
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether the provider was asked anything ahead of the client.
    pub(super) fn has_asked(&self) -> bool {
        self.asked_sizes || self.requests > 0
    }

    /// Whether anything of a message is here that the client has not asked for.
    pub(super) fn has_some(&self) -> bool {
        self.messages.iter().any(|message| !message.wanted && message.stage != Stage::Asked)
    }

    /// Whether the sizes of the messages are of use, should the provider tell them.
    pub(super) fn wants_sizes(&self) -> bool {
        self.may && self.sizes.is_none()
    }

    /// The provider has told the sizes.
    pub(super) fn set_sizes(&mut self, sizes: Sizes) {
        if self.may {
            self.sizes = Some(sizes);
        }
    }

    /// The client asks for a message; `None` if its number is unreadable. Returns whether the message is here or on its way. Then
    /// the provider need not be asked, and [`take`](Self::take) gives the message.
    pub(super) fn note_fetch(&mut self, number: Option<u64>) -> bool {
        let number = number.unwrap_or(0);
        let found = self.messages.iter_mut().find(|message| message.request.number == number && !message.wanted);
        let is_ahead = found.is_some();
        if let Some(message) = found {
            message.wanted = true;
            if message.stage != Stage::Whole {
                self.window = (self.window * 2).min(MAX_MESSAGES);
            }
        }
        let follows = number != 0 && number == self.last + 1;
        self.in_a_row = if follows || is_ahead { self.in_a_row + 1 } else { 1 };
        self.last = number;
        // Messages that were skipped were read in vain, and so was everything if the client is elsewhere now.
        if self.forget_below(if is_ahead { number } else { u64::MAX }) {
            self.window = (self.window / 2).max(MIN_MESSAGES);
        }
        is_ahead
    }

    /// Forgets the messages below a number that the client does not wait for. Returns whether there were any.
    fn forget_below(&mut self, number: u64) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.wanted || message.request.number >= number);
        self.kept_octets = self.messages.iter().map(|message| message.answer.octets.len()).sum();
        self.messages.len() < before
    }

    /// What to ask the provider now, if anything. The question counts as asked.
    pub(super) fn next_question(&mut self) -> Option<Question> {
        if !self.may || self.in_a_row < MESSAGES_IN_A_ROW {
            return None;
        }
        let Some(sizes) = &self.sizes else {
            return (!std::mem::replace(&mut self.asked_sizes, true)).then_some(Question::Sizes);
        };
        let ahead = || self.messages.iter().filter(|message| !message.wanted);
        let number = ahead().map(|message| message.request.number).max().unwrap_or(self.last) + 1;
        let size = sizes.of(number).filter(|size| *size <= MAX_MESSAGE_OCTETS)?;
        let octets: u64 = ahead().map(|message| message.size).sum();
        if ahead().count() >= self.window || octets > 0 && octets + size > self.octets {
            return None;
        }
        self.highest = self.highest.max(number);
        self.requests += 1;
        let request = Request { number, serial: self.requests };
        let (stage, answer) = (Stage::Asked, Answer::default());
        self.messages.push_back(Message { request, size, stage, wanted: false, answer });
        Some(Question::Message(request))
    }

    /// The provider begins its answer to a RETR that was asked ahead.
    pub(super) fn begin(&mut self, request: Request, status: &[u8], is_message: bool) {
        if !is_message {
            // The client hears the reason when it asks for the message itself. Until then nothing more is read ahead.
            self.may = false;
            self.messages.retain(|message| message.wanted || message.request != request);
        }
        let Some(message) = self.message(request) else { return };
        message.stage = if is_message { Stage::Arriving } else { Stage::Whole };
        let octets = status.to_vec();
        message.answer = Answer { octets, is_whole: !is_message, is_message, ..Answer::default() };
        self.kept_octets += status.len();
    }

    /// The message of a request, unless it was read in vain.
    fn message(&mut self, request: Request) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.request == request)
    }

    /// Takes more of the message that is arriving. `octets` are what the client will get, `text_octets` how many the provider has sent
    /// for them. `end`: the message is whole, and this was changed in it.
    pub(super) fn add(&mut self, request: Request, octets: &[u8], text_octets: usize, end: Option<Changes>) {
        let Some(message) = self.message(request) else { return };
        message.answer.octets.extend_from_slice(octets);
        message.answer.text_octets += text_octets;
        if let Some(changes) = end {
            message.stage = Stage::Whole;
            (message.answer.is_whole, message.answer.changes) = (true, changes);
        }
        self.kept_octets += octets.len();
        if self.keeps_too_much() {
            // The sizes were wrong. From here on the provider is asked only what the client asks.
            self.stop();
        }
    }

    /// The beginning of the message that the client waits for, as far as it has come; `None` while nothing has.
    pub(super) fn take(&mut self, number: u64) -> Option<Answer> {
        let at =
            self.messages.iter().position(|m| m.wanted && m.request.number == number && m.stage != Stage::Asked)?;
        let message = self.messages.remove(at)?;
        self.kept_octets -= message.answer.octets.len();
        Some(message.answer)
    }
}

/// The sizes of a mailbox's messages, from the provider's answer to LIST.
#[derive(Debug, Default)]
pub(super) struct Sizes(Vec<u32>);

/// Messages beyond this number have no size here and are not read ahead: 200 KB a session are enough.
const MAX_LISTED_MESSAGES: usize = 50_000;

impl Sizes {
    /// Notes the size of a message. One that is too large for 32 bits counts as the largest.
    pub(super) fn set(&mut self, number: u64, size: u64) {
        let Some(at) = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)) else { return };
        if at < MAX_LISTED_MESSAGES {
            self.0.resize(self.0.len().max(at + 1), u32::MAX);
            self.0[at] = u32::try_from(size).unwrap_or(u32::MAX);
        }
    }

    /// Takes a message out of the list.
    fn forget(&mut self, number: u64) {
        self.set(number, u64::MAX);
    }

    /// The size of a message, if it is listed.
    fn of(&self, number: u64) -> Option<u64> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.get(at).map(|size| u64::from(*size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be ahead after this many octets in this time. `None`: that says nothing.
    fn octets_after(octets: u64, milliseconds: u64) -> Option<u64> {
        let mut ahead = Ahead::new(true);
        let says_something = ahead.note_pace(octets, Duration::from_millis(milliseconds));
        assert!(says_something || ahead.octets == MIN_OCTETS);
        says_something.then_some(ahead.octets)
    }

    #[test]
    fn as_much_is_ahead_as_arrives_in_two_seconds_between_its_limits() {
        assert_eq!(octets_after(30 * 1024, 1000), Some(60 * 1024));
        assert_eq!(octets_after(100 * 1024, 400), Some(500 * 1024));
        assert_eq!(octets_after(1024, 1000), Some(32 * 1024), "over a slow line one message, or what is next to it");
        assert_eq!(octets_after(1024 * 1024, 1000), Some(1024 * 1024));
    }

    #[test]
    fn a_pace_is_measured_over_a_time_or_over_many_octets() {
        assert_eq!(octets_after(100 * 1024, 19), None, "they may have been on their way together");
        assert_eq!(octets_after(2 * 1024, 20), Some(200 * 1024));
        assert_eq!(octets_after(256 * 1024 - 1, 1), None);
        assert_eq!(octets_after(256 * 1024, 1), Some(1024 * 1024));
        assert_eq!(octets_after(256 * 1024, 0), Some(1024 * 1024));
    }

    fn behind_two_messages() -> Ahead {
        behind_two_messages_of(1000)
    }

    /// A client that has fetched the first two of a hundred messages of this size.
    fn behind_two_messages_of(octets: u64) -> Ahead {
        let mut ahead = Ahead::new(true);
        let mut sizes = Sizes::default();
        (1..=100).for_each(|number| sizes.set(number, octets));
        ahead.set_sizes(sizes);
        (1..=2).for_each(|number| assert!(!ahead.note_fetch(Some(number))));
        ahead
    }

    /// The messages that the provider is asked for now.
    fn asked(ahead: &mut Ahead) -> Vec<u64> {
        let question = || match ahead.next_question()? {
            Question::Message(request) => Some(request.number),
            Question::Sizes => panic!("the sizes are known"),
        };
        std::iter::from_fn(question).collect()
    }

    /// The next message arrives whole.
    fn arrive(ahead: &mut Ahead, number: u64) {
        let of_number = |message: &&Message| message.request.number == number;
        let request = ahead.messages.iter().find(of_number).unwrap().request;
        ahead.begin(request, b"+OK\r\n", true);
        ahead.add(request, b"x\r\n.\r\n", 6, Some(Changes::default()));
    }

    #[test]
    fn more_is_ahead_when_the_client_had_to_wait_and_no_more_when_it_had_not() {
        let mut ahead = behind_two_messages();
        assert_eq!(asked(&mut ahead), (3..=10).collect::<Vec<_>>());
        arrive(&mut ahead, 3);
        assert!(ahead.note_fetch(Some(3)));
        assert_eq!(asked(&mut ahead), [11], "it did not wait");
        assert!(ahead.note_fetch(Some(4)));
        assert_eq!(asked(&mut ahead), (12..=20).collect::<Vec<_>>(), "it waits: 16 beyond the fourth");
        assert!(ahead.note_fetch(Some(5)));
        assert_eq!(asked(&mut ahead), [21], "never more than 16");
    }

    #[test]
    fn less_is_ahead_of_a_client_that_is_elsewhere_or_skips_messages() {
        let mut ahead = behind_two_messages();
        for (elsewhere, next) in [(30, 32..=35), (40, 42..=43), (50, 52..=53)] {
            asked(&mut ahead);
            assert!(!ahead.note_fetch(Some(elsewhere)));
            assert!(asked(&mut ahead).is_empty(), "one message is no row");
            assert!(!ahead.note_fetch(Some(elsewhere + 1)));
            assert_eq!(asked(&mut ahead), next.collect::<Vec<_>>());
        }
        let mut skipping = behind_two_messages();
        asked(&mut skipping);
        arrive(&mut skipping, 5);
        assert!(skipping.note_fetch(Some(5)));
        assert!(asked(&mut skipping).is_empty(), "3 and 4 were read in vain: four are ahead, and five are left");
        assert!(skipping.kept_octets > 0);
        assert!(skipping.take(5).is_some_and(|answer| answer.is_whole));
        assert_eq!(skipping.kept_octets, 0, "handed over");
    }

    #[test]
    fn what_was_asked_and_what_is_here_are_told_apart() {
        let mut ahead = Ahead::new(true);
        assert!(!ahead.has_asked());
        (1..=2).for_each(|number| assert!(!ahead.note_fetch(Some(number))));
        assert_eq!(ahead.next_question(), Some(Question::Sizes));
        assert_eq!(ahead.next_question(), None, "asked once");
        assert!(ahead.has_asked() && !ahead.has_some());
        let mut ahead = behind_two_messages();
        assert!(!ahead.has_asked());
        asked(&mut ahead);
        assert!(ahead.has_asked() && !ahead.has_some(), "asked for, and not here");
        arrive(&mut ahead, 3);
        assert!(ahead.has_some());
        ahead.note_fetch(Some(3));
        assert!(!ahead.has_some(), "the client has asked for it");
    }

    #[test]
    fn messages_that_are_longer_than_the_provider_told_end_it() {
        let mut ahead = behind_two_messages();
        asked(&mut ahead);
        let request = ahead.messages[0].request;
        ahead.begin(request, b"+OK\r\n", true);
        ahead.add(request, &vec![b'x'; 1_310_720 - 5], 0, None);
        assert!(ahead.may, "a quarter over a megabyte is kept");
        ahead.add(request, b"x", 0, None);
        assert!(!ahead.may && ahead.messages.is_empty() && ahead.next_question().is_none());
    }

    #[test]
    fn as_many_octets_are_ahead_as_may_be_and_always_one_message() {
        assert_eq!(asked(&mut behind_two_messages_of(8 * 1024)), [3, 4, 5, 6], "32 KiB");
        assert_eq!(asked(&mut behind_two_messages_of(8 * 1024 + 1)), [3, 4, 5]);
        assert_eq!(asked(&mut behind_two_messages_of(256 * 1024)), [3]);
        assert_eq!(asked(&mut behind_two_messages_of(256 * 1024 + 1)), Vec::<u64>::new(), "it takes too long");
    }

    #[test]
    fn a_refused_message_ends_it_and_the_others_on_their_way_stay() {
        let mut ahead = behind_two_messages();
        asked(&mut ahead);
        let [third, fourth] = [0, 1].map(|at| ahead.messages[at].request);
        ahead.note_fetch(Some(3));
        ahead.begin(third, b"-ERR not now\r\n", false);
        let refusal = ahead.take(3).unwrap();
        assert!(refusal.is_whole && !refusal.is_message, "the client waits for it, and hears it");
        ahead.begin(fourth, b"-ERR not now\r\n", false);
        assert!(!ahead.note_fetch(Some(4)), "the client has not asked: the provider is asked once more");
        let mut others = behind_two_messages();
        asked(&mut others);
        let third = others.messages[0].request;
        others.begin(third, b"-ERR not now\r\n", false);
        assert!(others.next_question().is_none() && others.note_fetch(Some(4)));
    }

    #[test]
    fn sizes_are_kept_of_the_first_fifty_thousand_messages() {
        let mut sizes = Sizes::default();
        [0, 50_000, 50_001].into_iter().for_each(|number| sizes.set(number, 7));
        assert_eq!(
            [0, 1, 50_000, 50_001].map(|number| sizes.of(number)),
            [None, Some(u64::from(u32::MAX)), Some(7), None]
        );
    }
}
