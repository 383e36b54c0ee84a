//! A message on its way from a client to its provider. Its body passes through [`Body`], and leaves as it is (DATA) or in
//! [`pieces`] (BDAT). What the provider says before the end of data is kept for later, because it cannot be the answer to the
//! message yet.

mod pieces;

use std::sync::Arc;

use crate::account::mend::Repair;
use crate::failure::Failure;
use crate::machine::ticks::Ticks;
use crate::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use crate::progress::Progress;
use crate::smtp::mend::Mender;
use crate::smtp::{Reply, ReplyParser, words};
use crate::wire::{Body, MAX_REPLY_LINE_OCTETS, take_line};
use pieces::Pieces;
pub use pieces::{Chunking, PIECE_OCTETS};

/// Octets that are worth a write of their own: TLS makes one record of them (RFC 8446, 5.1).
const RECORD_OCTETS: usize = 16 * 1024;

/// A [`Filter`] that is over when the client's end of data has been passed on, or when the provider has spoken before that.
#[derive(Debug, Default)]
pub struct DataFilter {
    body: Body,
    /// What mends the message, if anything does.
    mender: Option<Box<Mender>>,
    /// How the body leaves, if not by DATA.
    pieces: Option<Box<Pieces>>,
    /// The beginning of a message that no provider has accepted in pieces; it has to be sent again by DATA.
    taken_back: Vec<u8>,
    parser: ReplyParser,
    /// The reply that the provider gave before the end of data.
    early_reply: Option<Reply>,
    /// The provider has sent octets before the end of data, perhaps only a part of a reply.
    has_spoken_early: bool,
    octets: u64,
    ticks: Ticks,
    progress: Arc<Progress>,
    /// The provider is gone, and the rest of the client's body goes nowhere.
    is_swallowing: bool,
}

impl DataFilter {
    /// Keeps `progress` up to date.
    pub fn new(progress: Arc<Progress>) -> Self {
        Self { progress, ..Self::default() }
    }

    /// Mends the message on its way.
    #[must_use]
    pub fn mending(self, mender: Option<Mender>) -> Self {
        Self { mender: mender.map(Box::new), ..self }
    }

    /// What was mended of it.
    pub fn mended(&self) -> &[Repair] {
        self.mender.as_ref().map_or(&[], |mender| mender.mended())
    }

    /// Sends the body by BDAT. `known`: what is known of the provider's BDAT. `is_pipelining`: it offers PIPELINING.
    #[must_use]
    pub fn in_pieces(self, known: Chunking, is_pipelining: bool) -> Self {
        Self { pieces: Some(Box::new(Pieces::new(known, is_pipelining))), ..self }
    }

    /// What is known of the provider's BDAT by now; `None` for a body that goes by DATA.
    pub fn chunking(&self) -> Option<Chunking> {
        self.pieces.as_ref().map(|pieces| pieces.known())
    }

    /// The provider has said this after the end of data.
    pub fn on_last_answer(&mut self, heard: &Result<Reply, Failure>) {
        match (&mut self.pieces, heard) {
            (Some(pieces), Ok(reply)) => pieces.on_last_answer(reply),
            (Some(pieces), Err(_)) => pieces.on_lost(),
            (None, _) => {}
        }
    }

    /// The provider has broken off, or said something that is no reply.
    pub fn on_lost(&mut self) {
        if let Some(pieces) = &mut self.pieces {
            pieces.on_lost();
        }
    }

    /// Goes on by DATA, on a connection that has said 354, from the beginning of the message. `None`: the provider may have
    /// accepted it, or refuses it for another reason than BDAT, or its beginning is gone. `is_lost`: the provider has hung up.
    pub fn by_data(&mut self, is_lost: bool) -> Option<Self> {
        let pieces = self.pieces.as_mut()?;
        let may = match &self.early_reply {
            Some(reply) => reply.code == 421 || pieces.known() == Chunking::Fails,
            None => is_lost,
        };
        let taken_back = may.then(|| pieces.take_back()).flatten()?;
        let this = std::mem::take(self);
        Some(Self {
            pieces: None,
            taken_back,
            early_reply: None,
            has_spoken_early: false,
            parser: ReplyParser::default(),
            ..this
        })
    }

    /// Swallows the rest of a body whose provider is gone. The client listens for a reply only after the end of its data.
    pub fn swallow(self) -> Self {
        Self { is_swallowing: true, early_reply: None, pieces: None, taken_back: Vec::new(), ..self }
    }

    /// How many octets of the body the client has sent.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// How many NUL octets were taken out of it.
    pub fn nuls(&self) -> u64 {
        self.body.nuls()
    }

    /// Whether the client's end of data has been seen.
    pub fn is_complete(&self) -> bool {
        self.body.is_complete()
    }

    /// Whether the end of data has been passed on. From then on only the provider knows the outcome.
    pub fn has_ended(&self) -> bool {
        match &self.pieces {
            Some(pieces) => pieces.has_ended(),
            None => self.is_complete() && self.taken_back.is_empty(),
        }
    }

    /// The answer to a message whose end has not left. If the provider refused, that is the answer; anything else it said
    /// means nothing.
    pub fn early_answer(&self, host: &str) -> Reply {
        match &self.early_reply {
            Some(reply) if reply.code >= 400 => reply.clone(),
            _ => words::answered_too_early(host),
        }
    }

    /// The answer to a message whose end has left, and whether the provider's session can go on. `heard` is what the
    /// provider said after that end. A reply that began before it is not the answer, unless it is a refusal.
    pub fn last_answer(&self, host: &str, heard: Result<Reply, Failure>) -> (Reply, bool) {
        let began_early = self.has_spoken_early && self.early_reply.is_none();
        let why = match heard {
            // 421 closes the connection (RFC 5321, 3.8), so the session cannot go on.
            Ok(reply) if reply.code == 421 => return (reply, false),
            Ok(reply) if reply.code >= 400 || (reply.is_yes() && !began_early) => return (reply, true),
            Ok(_) if began_early => "it began to answer before the end".into(),
            Ok(reply) => format!("it said \"{}\"", reply.one_line()),
            Err(Failure::TimedOut { .. }) => "it did not answer in time".into(),
            Err(Failure::ProtocolViolation { what, .. }) => what,
            Err(_) => "it closed the connection".into(),
        };
        (words::outcome_unknown(host, &why), false)
    }

    /// Whether the message is held back to be mended.
    fn is_held(&self) -> bool {
        self.mender.as_ref().is_some_and(|mender| !mender.is_passing()) && !self.is_swallowing
    }

    /// Takes octets of a message that is held back.
    fn mend(&mut self, input: &[u8], say: &mut Replies) -> usize {
        let mut at = 0;
        let mut tidy = Vec::with_capacity(input.len());
        while at < input.len() && !self.body.is_complete() {
            let same = self.body.take_unchanged(&input[at..]);
            tidy.extend_from_slice(&input[at..at + same]);
            at += same;
            at += self.body.take_changed(&input[at..], &mut tidy);
        }
        if let Some(mender) = &mut self.mender {
            mender.push(&tidy, self.body.is_complete(), &mut say.server);
        }
        at
    }

    /// Takes octets of a body that leaves in pieces.
    fn take_in_pieces(&mut self, pieces: &mut Pieces, input: &[u8], say: &mut Replies) -> Pass {
        if pieces.is_full() {
            return Pass::NeedMore;
        }
        let input = &input[..input.len().min(pieces.most())];
        let mut wire = Replies::default();
        let (octets, used) = match self.take_by_data(input, &mut wire) {
            Pass::Forward(used) => {
                if !self.has_spoken_early
                    && !self.is_complete()
                    && let Some(forwarded) = pieces.announce(&input[..used], &mut say.server)
                {
                    return Pass::Announced { forwarded, used };
                }
                (&input[..used], used)
            }
            Pass::Replaced(used) => (wire.server.as_slice(), used),
            nothing @ (Pass::Announced { .. } | Pass::NeedMore | Pass::Stop) => return nothing,
        };
        pieces.take(octets, self.is_complete());
        if !self.has_spoken_early {
            pieces.say(&mut say.server);
        }
        Pass::Replaced(used)
    }

    /// Takes octets of a body that leaves as they came, or without a provider.
    fn take_by_data(&mut self, input: &[u8], say: &mut Replies) -> Pass {
        if self.is_held() {
            let at = self.mend(input, say);
            self.passed(at);
            return if at > 0 { Pass::Replaced(at) } else { Pass::NeedMore };
        }
        let mut at = self.body.take_unchanged(input);
        if (at == input.len() || at >= RECORD_OCTETS) && !self.is_swallowing {
            self.passed(at);
            return if at > 0 { Pass::Forward(at) } else { Pass::NeedMore };
        }
        // Where something has to be changed, the octets are copied, and leave in pieces of the same size: a write for every
        // change would cost a TLS record each.
        let begun = say.server.len();
        say.server.extend_from_slice(&input[..at]);
        while at < input.len() && say.server.len() < begun + RECORD_OCTETS && !self.is_complete() {
            at += self.body.take_changed(&input[at..], &mut say.server);
            let next = &input[at..input.len().min(at + RECORD_OCTETS)];
            let same = self.body.take_unchanged(next);
            say.server.extend_from_slice(&next[..same]);
            at += same;
        }
        self.passed(at);
        if self.is_swallowing {
            say.server.clear();
        }
        if at > 0 { Pass::Replaced(at) } else { Pass::NeedMore }
    }

    /// The provider has said a whole reply before the end of data left. `is_all`: nothing came behind it.
    fn on_reply(&mut self, reply: Reply, is_all: bool, say: &mut Replies) -> Result<(), ProtocolViolation> {
        let Some(pieces) = self.pieces.as_mut().filter(|pieces| pieces.is_owed()) else {
            self.early_reply = Some(reply);
            return Ok(());
        };
        self.ticks.tick();
        if !pieces.on_answer(&reply) {
            if reply.code < 400 {
                let what = format!("\"{}\" is not an answer to BDAT", reply.one_line());
                return Err(ProtocolViolation::Server(what));
            }
            self.early_reply = Some(reply);
        } else if is_all {
            // An extra reply behind this one would pass for the answer to the last piece, and so to the message.
            pieces.say(&mut say.server);
        }
        Ok(())
    }

    fn passed(&mut self, octets: usize) {
        self.octets += octets as u64;
        self.progress.set_octets(self.octets);
        self.ticks.pass(octets);
    }
}

impl Filter for DataFilter {
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        // The connection below is a sink; what it says means nothing.
        if self.is_swallowing {
            return Ok(Pass::Replaced(input.len()));
        }
        if self.early_reply.is_some() {
            return Ok(Pass::Stop);
        }
        let is_owed = self.pieces.as_ref().is_some_and(|pieces| pieces.is_owed());
        self.has_spoken_early |= !input.is_empty() && !self.has_ended() && !is_owed;
        let mut rest = input.to_vec();
        match take_line(&mut rest, MAX_REPLY_LINE_OCTETS) {
            Err(too_long) => Err(ProtocolViolation::Server(too_long.to_string())),
            Ok(None) => Ok(Pass::NeedMore),
            Ok(Some(line)) => {
                let reply = self.parser.push(&line).map_err(|e| ProtocolViolation::Server(e.to_string()))?;
                if let Some(reply) = reply {
                    self.on_reply(reply, rest.is_empty(), say)?;
                }
                Ok(Pass::Replaced(input.len() - rest.len()))
            }
        }
    }

    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if self.is_complete() {
            return Ok(Pass::Stop);
        }
        match self.pieces.take() {
            Some(mut pieces) if !self.is_swallowing => {
                let pass = self.take_in_pieces(&mut pieces, input, say);
                self.pieces = Some(pieces);
                Ok(pass)
            }
            _ => Ok(self.take_by_data(input, say)),
        }
    }

    fn say_more(&mut self, say: &mut Replies) -> Result<(), ProtocolViolation> {
        say.server.append(&mut self.taken_back);
        Ok(())
    }

    fn wants_client(&self) -> bool {
        !self.is_over() && !self.pieces.as_ref().is_some_and(|pieces| pieces.is_full())
    }

    fn client_ended(&mut self, _: &[u8], _: &mut Replies) -> bool {
        // Without its end of data the message must not be sent, so the provider's connection is closed too.
        false
    }

    fn clock(&self) -> (Clock, u64) {
        (Clock::Message, self.ticks.count())
    }

    fn message_from(&self) -> Party {
        let waits = self.pieces.as_ref().is_some_and(|pieces| pieces.is_full());
        if waits { Party::Server } else { Party::Client }
    }

    fn is_over(&self) -> bool {
        self.has_ended() || (self.early_reply.is_some() && !self.is_swallowing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Protocol;
    use crate::account::testing::server;
    use crate::failure::{ServerAddr, Waiting};
    use crate::machine::ticks::PROGRESS_OCTETS;

    #[test]
    fn an_early_answer_stops_the_body_and_is_kept() {
        let mut data = DataFilter::default();
        let mut say = Replies::default();
        assert_eq!(data.client_said(b"Subject: x\r\n", &mut say), Ok(Pass::Forward(12)));
        assert_eq!(data.server_said(b"552-too\r\n", &mut say), Ok(Pass::Replaced(9)));
        assert!(!data.is_over());
        assert_eq!(data.server_said(b"552 big\r\n", &mut say), Ok(Pass::Replaced(9)));
        assert!(data.is_over() && !data.is_complete());
        assert_eq!(data.early_answer("mx").one_line(), "552 too big");
        let mut data = data.swallow();
        assert_eq!(data.client_said(b"rest\r\n.\r\nQUIT\r\n", &mut say), Ok(Pass::Replaced(9)));
        assert!(data.is_over() && data.is_complete() && say.server.is_empty());
    }

    #[test]
    fn what_has_to_be_changed_goes_in_pieces_and_is_the_same_as_line_by_line() {
        let body = b"Subject: x\n\n.one\r\n..two\rthree\n.\nfour\n".repeat(5_000);
        let whole = [body.as_slice(), b"\r\n.\r\nQUIT\r\n"].concat();
        let pass = |cut: usize| {
            let (mut data, mut out, mut pieces, mut rest) = (DataFilter::default(), Vec::new(), 0, whole.as_slice());
            while !data.is_over() {
                let mut say = Replies::default();
                let input = &rest[..rest.len().min(cut)];
                let used = match data.client_said(input, &mut say).unwrap() {
                    Pass::Forward(n) => {
                        out.extend_from_slice(&input[..n]);
                        n
                    }
                    Pass::Replaced(n) => n,
                    other => panic!("{other:?}"),
                };
                assert!(used > 0 && say.server.len() < 4 * RECORD_OCTETS);
                out.append(&mut say.server);
                (rest, pieces) = (&rest[used..], pieces + 1);
            }
            assert_eq!(rest, b"QUIT\r\n");
            (out, pieces)
        };
        let (expected, _) = pass(1);
        assert!(expected.ends_with(b"four\r\n\r\n.\r\n"), "{:?}", &expected[expected.len() - 20..]);
        for cut in [2, 3, 7, 100, 5_000, 65_536] {
            assert_eq!(pass(cut).0, expected, "{cut}");
        }
        assert!(pass(65_536).1 < 2 * whole.len() / RECORD_OCTETS + 8);
    }

    #[test]
    fn a_body_from_a_fast_client_leaves_in_pieces_without_a_copy_and_is_the_same() {
        // Few dots, dots at every end of a piece, and lines without end.
        for line in
            ["a line of text like many others\r\n".repeat(5000) + "..dot\r\n", "..\r\n".into(), "x".repeat(200_000)]
        {
            let text = line.repeat(400_000 / line.len());
            let plain = text.replace("\r\n..", "\r\n.");
            let plain = plain.strip_prefix('.').filter(|_| text.starts_with('.')).unwrap_or(&plain).to_owned();
            let end = if text.ends_with("\r\n") { "" } else { "\r\n" };
            let (body, plain) = (text + end + ".\r\nQUIT\r\n", plain + end);
            for size in [5_000, 40_000, 65_536] {
                let (out, forwarded) = in_pieces(&body, size);
                assert!(out == plain, "{size}: {} octets instead of {}", out.len(), plain.len());
                let is_fast = size > PIECE_OCTETS && !body.starts_with("..");
                assert!(!is_fast || forwarded > body.len() / 2, "{size}: {forwarded}");
            }
        }
    }

    /// What a provider joins of the pieces of a body that comes in parts of this size, and how much of it was not copied.
    fn in_pieces(body: &str, size: usize) -> (String, usize) {
        let mut data = DataFilter::default().in_pieces(Chunking::Works, true);
        let (mut out, mut input, mut uncopied) = (Vec::new(), body.as_bytes(), 0);
        while !data.is_over() {
            let mut say = Replies::default();
            if !data.wants_client() {
                assert_eq!(data.server_said(b"250 more\r\n", &mut say), Ok(Pass::Replaced(10)));
                out.append(&mut say.server);
                continue;
            }
            let piece = &input[..input.len().min(size)];
            let (forwarded, used) = match data.client_said(piece, &mut say).unwrap() {
                Pass::Announced { forwarded, used } => (forwarded, used),
                Pass::Replaced(used) => (0, used),
                Pass::NeedMore => (0, 0),
                other => panic!("{other:?}"),
            };
            out.append(&mut say.server);
            out.extend_from_slice(&piece[..forwarded]);
            (input, uncopied) = (&input[used..], uncopied + forwarded);
        }
        assert_eq!(input, b"QUIT\r\n");
        let (mut text, mut rest) = (Vec::new(), out.as_slice());
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let command = std::str::from_utf8(&rest[..end]).unwrap().trim_end();
            let length: usize = command.split(' ').nth(1).unwrap().parse().unwrap();
            assert!(length > 0 && length <= 2 * PIECE_OCTETS, "{command}");
            text.extend_from_slice(&rest[end + 1..][..length]);
            rest = &rest[end + 1 + length..];
        }
        (String::from_utf8(text).unwrap(), uncopied)
    }

    #[test]
    fn a_message_is_mended_on_its_way_and_the_rest_passes() {
        use crate::account::Account;
        use crate::account::testing::account;
        let account = Account { mend: Repair::USUAL.to_vec(), ..account("home", "ann@x.net", "ann") };
        let body = "Subject: x\n\n.one\r\n..two\r\n".to_owned() + &"three\r\n".repeat(10_000) + ".\r\nQUIT\r\n";
        let pass = |size: usize| {
            let mender = Mender::new(&Arc::new(account.clone()), "a date".into());
            let mut data = DataFilter::default().mending(mender);
            let (mut out, mut input, mut forwarded) = (Vec::new(), body.as_bytes(), 0);
            while !data.is_over() {
                let mut say = Replies::default();
                let piece = &input[..input.len().min(size)];
                let used = match data.client_said(piece, &mut say).unwrap() {
                    Pass::Forward(n) => {
                        out.extend_from_slice(&piece[..n]);
                        forwarded += n;
                        n
                    }
                    Pass::Replaced(n) => n,
                    other => panic!("{other:?}"),
                };
                out.append(&mut say.server);
                input = &input[used..];
            }
            assert_eq!((input, data.mended()), (&b"QUIT\r\n"[..], &Repair::USUAL[..]));
            assert_eq!(data.octets() as usize, body.len() - 6);
            (String::from_utf8(out).unwrap(), forwarded)
        };
        let (out, forwarded) = pass(4096);
        assert!(forwarded > body.len() / 2, "what follows is not copied");
        assert!(
            out.starts_with("Message-ID: <")
                && out.contains("@x.net>\r\nDate: a date\r\nSubject: x\r\n\r\n..one\r\n..two\r\nthree\r\n")
        );
        for size in [1, 100, 65_536] {
            assert_eq!(pass(size).0, out, "{size}");
        }
    }

    #[test]
    fn a_piece_is_a_record_of_tls_and_not_much_more() {
        // One thing to change, then nothing; and something in every line.
        for body in [[&b"\n"[..], &b"x".repeat(100_000)].concat(), b"x\n".repeat(50_000)] {
            let mut say = Replies::default();
            assert!(matches!(DataFilter::default().client_said(&body, &mut say), Ok(Pass::Replaced(_))));
            assert!((16_384..20_000).contains(&say.server.len()), "{}", say.server.len());
        }
    }

    #[test]
    fn nonsense_in_the_middle_is_a_breach() {
        assert!(matches!(
            DataFilter::default().server_said(b"hello\r\n", &mut Replies::default()),
            Err(ProtocolViolation::Server(_))
        ));
    }

    #[test]
    fn a_body_that_moves_is_told_from_one_that_drips() {
        // As it is, and where every line has to be changed.
        for line in [&b"Subject: x\r\n"[..], b"x\n"] {
            let progress = Arc::new(Progress::default());
            progress.begin_message(1, None, None);
            let mut data = DataFilter::new(Arc::clone(&progress));
            let mut pass = |octets: u64| {
                let mut left = line.repeat(octets.div_ceil(line.len() as u64) as usize);
                left.truncate(octets as usize);
                while !left.is_empty() {
                    match data.client_said(&left, &mut Replies::default()).unwrap() {
                        Pass::Forward(n) | Pass::Replaced(n) => drop(left.drain(..n)),
                        other => panic!("{other:?}"),
                    }
                }
                (data.octets(), data.clock())
            };
            assert_eq!(pass(PROGRESS_OCTETS - 1), (PROGRESS_OCTETS - 1, (Clock::Message, 0)));
            assert_eq!(pass(1), (PROGRESS_OCTETS, (Clock::Message, 1)));
            assert_eq!(pass(PROGRESS_OCTETS - 1), (2 * PROGRESS_OCTETS - 1, (Clock::Message, 1)));
            assert_eq!(pass(1), (2 * PROGRESS_OCTETS, (Clock::Message, 2)));
            assert_eq!(progress.document()["octets"], 2 * PROGRESS_OCTETS);
        }
    }

    /// Whether what came before the end of data makes a yes after it worthless.
    fn has_begun_answer(data: &DataFilter) -> bool {
        !data.last_answer("mx", Ok(Reply::new(250, "queued"))).1
    }

    #[test]
    fn a_yes_before_the_end_of_data_is_none() {
        for said in [&b"250 queued\r\n"[..], b"399 perhaps\r\n"] {
            let mut data = DataFilter::default();
            assert_eq!(data.server_said(said, &mut Replies::default()), Ok(Pass::Replaced(said.len())));
            assert_eq!(data.early_answer("mx").code, 451);
        }
        let mut data = DataFilter::default();
        assert_eq!(data.server_said(b"400 no\r\n", &mut Replies::default()), Ok(Pass::Replaced(8)));
        assert_eq!(data.early_answer("mx"), Reply::new(400, "no"));
    }

    #[test]
    fn only_a_whole_answer_behind_the_end_of_data_is_one() {
        let answer =
            |begun, heard| DataFilter { has_spoken_early: begun, ..DataFilter::default() }.last_answer("mx", heard);
        let at = || ServerAddr::from(&server(Protocol::Smtp, "ann"));
        let (yes, no, bye) = (Reply::new(250, "queued"), Reply::new(554, "spam"), Reply::new(421, "closing"));
        assert_eq!(answer(false, Ok(yes.clone())), (yes.clone(), true));
        for begun in [false, true] {
            assert_eq!(answer(begun, Ok(no.clone())), (no.clone(), true));
            assert_eq!(answer(begun, Ok(bye.clone())), (bye.clone(), false));
        }
        let late =
            Failure::TimedOut { at: at(), waiting: Waiting::FinalDot, after: std::time::Duration::from_secs(600) };
        let unknown = [
            (answer(true, Ok(yes)), "it began to answer before the end"),
            (answer(false, Ok(Reply::new(221, "bye"))), "it said \"221 bye\""),
            (answer(false, Ok(Reply::new(354, "go on"))), "it said \"354 go on\""),
            (answer(false, Err(late)), "it did not answer in time"),
            (
                answer(false, Err(Failure::ProtocolViolation { at: at(), what: "\"x\" is not a reply".into() })),
                "\"x\" is not a reply",
            ),
            (answer(false, Err(Failure::Lost { at: at(), waiting: Waiting::FinalDot })), "it closed the connection"),
        ];
        for ((reply, goes_on), why) in unknown {
            assert_eq!((reply.clone(), goes_on), (words::outcome_unknown("mx", why), false));
            assert!(reply.one_line().starts_with("451 4.4.2 the outcome is unknown: mx had the whole message, then"));
        }
    }

    #[test]
    fn an_answer_begun_before_the_end_of_data_is_known_as_begun() {
        let mut say = Replies::default();
        let mut data = DataFilter::default();
        assert!(!has_begun_answer(&data));
        assert_eq!(data.server_said(b"", &mut say), Ok(Pass::NeedMore));
        assert!(!has_begun_answer(&data));
        assert_eq!(data.server_said(b"25", &mut say), Ok(Pass::NeedMore));
        assert!(has_begun_answer(&data) && data.early_reply.is_none());
        assert_eq!(data.server_said(b"250-a\r\n250 b\r\n250 c\r\n", &mut say), Ok(Pass::Replaced(7)));
        assert!(has_begun_answer(&data) && data.wants_client());
        assert_eq!(data.server_said(b"250 b\r\n250 c\r\n", &mut say), Ok(Pass::Replaced(7)));
        assert!(!has_begun_answer(&data) && !data.wants_client());
        assert_eq!(data.server_said(b"250 c\r\n", &mut say), Ok(Pass::Stop), "whose answer is that");

        let mut data = DataFilter::default();
        assert_eq!(data.client_said(b".\r\nQUIT\r\n", &mut Replies::default()), Ok(Pass::Replaced(3)));
        assert_eq!(data.server_said(b"250-a\r\n", &mut say), Ok(Pass::Replaced(7)));
        assert!(data.is_over() && !has_begun_answer(&data), "an answer to the end of data");
        assert_eq!(data.client_said(b"QUIT\r\n", &mut say), Ok(Pass::Stop));
    }

    #[test]
    fn a_body_without_its_provider_is_heard_to_the_end_and_goes_nowhere() {
        let mut say = Replies::default();
        let mut data = DataFilter::default();
        assert_eq!(data.server_said(b"421 bye\r\n", &mut say), Ok(Pass::Replaced(9)));
        let mut data = data.swallow();
        assert!(!data.is_over() && data.wants_client() && data.early_reply.is_none());
        assert_eq!(data.server_said(b"421 bye\r\n", &mut say), Ok(Pass::Replaced(9)));
        assert_eq!(data.client_said(b"", &mut say), Ok(Pass::NeedMore));
        assert_eq!(data.client_said(b"a line\r\n", &mut say), Ok(Pass::Replaced(8)));
        assert_eq!(data.client_said(b"and half a", &mut say), Ok(Pass::Replaced(10)));
        assert!(!data.client_ended(b"", &mut say) && !data.is_over());
        assert_eq!(data.client_said(b"\r\n.\r\nQUIT\r\n", &mut say), Ok(Pass::Replaced(5)));
        assert!(data.is_over() && say.server.is_empty());
        assert_eq!(data.octets(), 23);
        assert_eq!(DataFilter::default().client_said(b"", &mut say), Ok(Pass::NeedMore));
        assert_eq!(data.message_from(), Party::Client);
    }
}
