//! The body of a message in pieces of known length (BDAT, RFC 3030), where a provider offers CHUNKING. DATA costs a round trip
//! before the first octet of the body; BDAT costs none.
//!
//! The last piece makes the provider accept the message, so it leaves only when every piece before it is accepted: a provider
//! that refuses a piece has nothing to accept. A provider that has not been seen to understand BDAT is on trial. It gets one
//! piece that is not the last, and that piece is kept: a provider that trips over it cannot have accepted the message, which
//! then goes to it by DATA.

use memchr::memrchr;

use crate::smtp::Reply;
use crate::wire::dots::{Stuff, Unstuff};

/// More than these octets make a piece: two records of TLS. A program behind a modem of 2400 baud fills it within the five
/// minutes that a provider waits for a command (RFC 5321, 4.5.3.2.7). A provider on trial gets no more than these at once.
pub const PIECE_OCTETS: usize = 32 * 1024;

/// The most octets of one piece, from a client that sends faster than pieces leave; every piece costs a line, an answer, and
/// a record of TLS that is not full. A body holds at most these and the piece of a trial.
const MAX_PIECE_OCTETS: usize = 2 * PIECE_OCTETS;

/// What is known of a provider's BDAT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chunking {
    /// The provider offers it, and has not been seen to understand it.
    #[default]
    Untried,
    /// The provider has accepted a piece.
    Works,
    /// The provider trips over it. Bodies go by DATA.
    Fails,
}

/// A body on its way in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    unstuff: Unstuff,
    /// What has not left, without the dots of DATA.
    waiting: Vec<u8>,
    /// The piece that a provider on trial was given.
    kept: Vec<u8>,
    known: Chunking,
    /// The provider takes a piece before it has answered the last one (RFC 3030, 4.2).
    is_pipelining: bool,
    has_begun: bool,
    /// How many pieces have left and are not answered.
    unanswered: usize,
    /// The client has ended its body.
    is_whole: bool,
    has_ended: bool,
}

impl Pieces {
    pub(super) fn new(known: Chunking, is_pipelining: bool) -> Self {
        Self {
            unstuff: Unstuff::default(),
            waiting: Vec::new(),
            kept: Vec::new(),
            known,
            is_pipelining,
            has_begun: false,
            unanswered: 0,
            is_whole: false,
            has_ended: false,
        }
    }

    /// What is known of the provider by now.
    pub(super) fn known(&self) -> Chunking {
        self.known
    }

    /// Whether the last piece has left.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the provider owes an answer to a piece that is not the last.
    pub(super) fn is_owed(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether the provider has to speak before more can be taken from the client.
    pub(super) fn is_full(&self) -> bool {
        self.is_whole || self.waiting.len() > PIECE_OCTETS
    }

    /// How many octets of the body may be taken at once.
    pub(super) fn most(&self) -> usize {
        if self.known == Chunking::Works { MAX_PIECE_OCTETS - self.waiting.len() } else { PIECE_OCTETS }
    }

    /// Takes the next octets of the body, as they would leave by DATA.
    pub(super) fn take(&mut self, octets: &[u8], is_end: bool) {
        self.unstuff.take(octets, &mut self.waiting);
        self.is_whole = is_end;
    }

    /// Begins a piece of what waits and the front of these octets of the body, which follow it as they are: a body from a fast
    /// client is not copied. Returns how many follow; the others wait. `None`: these octets have to be taken.
    pub(super) fn announce(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let may = self.known == Chunking::Works && self.has_turn() && octets.len() >= PIECE_OCTETS;
        if !may || !self.unstuff.is_plain(octets) {
            return None;
        }
        let follow = most_lines_in(octets, MAX_PIECE_OCTETS - self.waiting.len());
        self.begin(self.waiting.len() + follow, false, out);
        out.append(&mut self.waiting);
        self.unstuff.pass(octets);
        self.waiting.extend_from_slice(&octets[follow..]);
        Some(follow)
    }

    /// Whether the provider takes a piece now.
    fn has_turn(&self) -> bool {
        !self.is_owed() || (self.known == Chunking::Works && self.is_pipelining)
    }

    fn begin(&mut self, octets: usize, is_last: bool, out: &mut Vec<u8>) {
        let last = if is_last { " LAST" } else { "" };
        out.extend_from_slice(format!("BDAT {octets}{last}\r\n").as_bytes());
        (self.has_begun, self.has_ended) = (true, is_last);
        self.unanswered += usize::from(!is_last);
    }

    /// Says the pieces that may leave now.
    pub(super) fn say(&mut self, out: &mut Vec<u8>) {
        while let Some((octets, is_last)) = self.next() {
            self.begin(octets, is_last, out);
            let piece = self.waiting.drain(..octets);
            out.extend_from_slice(piece.as_slice());
            if self.known == Chunking::Untried && !is_last {
                self.kept = piece.as_slice().to_vec();
            }
        }
    }

    /// How long the next piece is and whether it is the last, if it may leave.
    fn next(&self) -> Option<(usize, bool)> {
        if self.has_ended || !self.has_turn() {
            return None;
        }
        let most = if self.known == Chunking::Works { MAX_PIECE_OCTETS } else { PIECE_OCTETS };
        let enough = if self.is_whole { most } else { PIECE_OCTETS };
        if self.waiting.len() > enough {
            return Some((most_lines_in(&self.waiting, most), false));
        }
        if !self.is_whole || self.is_owed() {
            return None;
        }
        if self.known != Chunking::Works && !self.waiting.is_empty() {
            return Some((self.before_last_line(), false));
        }
        Some((self.waiting.len(), true))
    }

    /// Where the last line begins; in a message of one line, the place before its line end, so that no piece is empty.
    fn before_last_line(&self) -> usize {
        let lines = self.waiting.strip_suffix(b"\r\n").unwrap_or(&self.waiting);
        lines_in(lines).unwrap_or(lines.len().max(1))
    }

    /// The provider answers a piece that is not the last. Returns whether it accepts it.
    pub(super) fn on_answer(&mut self, reply: &Reply) -> bool {
        self.unanswered = self.unanswered.saturating_sub(1);
        let is_yes = reply.is_yes();
        if is_yes {
            (self.known, self.kept) = (Chunking::Works, Vec::new());
        } else if self.known == Chunking::Untried && (is_unknown_command(reply) || reply.code == 421) {
            self.known = Chunking::Fails;
        }
        is_yes
    }

    /// The provider answers the last piece.
    pub(super) fn on_last_answer(&mut self, reply: &Reply) {
        if is_unknown_command(reply) {
            self.known = Chunking::Fails;
        }
    }

    /// The provider breaks off, or says something that is no reply.
    pub(super) fn on_lost(&mut self) {
        if self.has_begun {
            // A provider that understood BDAT so far may have gone for any reason; it is on trial again.
            self.known = if self.known == Chunking::Works { Chunking::Untried } else { Chunking::Fails };
        }
    }

    /// All of the message so far as it goes by DATA, if the provider cannot have accepted it and nothing of it is lost.
    pub(super) fn take_back(&mut self) -> Option<Vec<u8>> {
        let is_kept = !self.has_begun || !self.kept.is_empty();
        if self.has_ended || !is_kept {
            return None;
        }
        let (mut stuff, mut out) = (Stuff::default(), Vec::new());
        stuff.put(&std::mem::take(&mut self.kept), &mut out);
        stuff.put(&std::mem::take(&mut self.waiting), &mut out);
        let end = if self.is_whole { stuff.end().as_bytes() } else { self.unstuff.held() };
        out.extend_from_slice(end);
        Some(out)
    }
}

/// How many octets make a piece of at most `most`, which ends with a line if it can. Something stays for the last piece: there
/// are servers that trip over an empty one.
fn most_lines_in(octets: &[u8], most: usize) -> usize {
    let most = most.min(octets.len() - 1);
    lines_in(&octets[..most]).unwrap_or(most)
}

/// How many octets are whole lines, if any: a server that looks at each piece by itself sees no line cut in two.
fn lines_in(octets: &[u8]) -> Option<usize> {
    memrchr(b'\n', octets).map(|end| end + 1)
}

/// Whether a refusal says that the provider does not know the command (RFC 5321, 4.2.4), or not at this place: some offer
/// CHUNKING and hear only DATA behind RCPT.
fn is_unknown_command(reply: &Reply) -> bool {
    matches!(reply.code, 500..=504 | 555)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &mut Pieces) -> String {
        let mut out = Vec::new();
        pieces.say(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn yes(pieces: &mut Pieces) {
        assert!(pieces.on_answer(&Reply::new(250, "ok")));
    }

    #[test]
    fn a_small_message_is_one_piece_without_dots() {
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(b"a\r\n..b\r\n", false);
        assert_eq!(said(&mut pieces), "");
        pieces.take(b".\r\n", true);
        assert_eq!(said(&mut pieces), "BDAT 7 LAST\r\na\r\n.b\r\n");
        assert!(pieces.has_ended() && !pieces.is_owed() && said(&mut pieces).is_empty());
        assert_eq!(pieces.take_back(), None, "the provider may have it");
    }

    #[test]
    fn a_provider_on_trial_gets_the_last_line_when_it_has_accepted_the_others() {
        for (body, first, last) in [
            ("a\r\nb\r\n.\r\n", "BDAT 3\r\na\r\n", "BDAT 3 LAST\r\nb\r\n"),
            ("a\r\n.\r\n", "BDAT 1\r\na", "BDAT 2 LAST\r\n\r\n"),
            ("\r\n.\r\n", "BDAT 1\r\n\r", "BDAT 1 LAST\r\n\n"),
            (".\r\n", "", "BDAT 0 LAST\r\n"),
        ] {
            let mut pieces = Pieces::new(Chunking::Untried, true);
            pieces.take(body.as_bytes(), true);
            if !first.is_empty() {
                assert_eq!(said(&mut pieces), first);
                assert_eq!(said(&mut pieces), "");
                yes(&mut pieces);
            }
            assert_eq!(said(&mut pieces), last);
        }
    }

    #[test]
    fn what_a_provider_on_trial_was_given_can_be_said_by_data() {
        for (taken, is_end, by_data) in
            [(&b"a\r\n..b\r\n.\r\n"[..], true, &b"a\r\n..b\r\n.\r\n"[..]), (b"a\r\n.\r\n", true, b"a\r\n.\r\n")]
        {
            let mut pieces = Pieces::new(Chunking::Untried, true);
            pieces.take(taken, is_end);
            assert!(said(&mut pieces).starts_with("BDAT "));
            assert!(!pieces.on_answer(&Reply::new(502, "what?")));
            assert_eq!((pieces.known(), pieces.take_back().as_deref()), (Chunking::Fails, Some(by_data)));
        }
        // In the middle of a body, and of a dot.
        let mut pieces = Pieces::new(Chunking::Untried, true);
        let long = "..x\r\n".repeat(10_000);
        pieces.take(long.as_bytes(), false);
        pieces.take(b".", false);
        assert!(said(&mut pieces).starts_with("BDAT 32768\r\n.x\r\n.x") && pieces.is_owed());
        pieces.on_lost();
        assert_eq!(pieces.known(), Chunking::Fails);
        assert!(pieces.take_back().is_some_and(|back| back == [long.as_bytes(), b"."].concat()));
        // What a provider that understands BDAT was given is not kept, so it cannot be said again.
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(long.as_bytes(), false);
        assert!(said(&mut pieces).starts_with("BDAT ") && pieces.is_owed());
        pieces.on_lost();
        assert_eq!(pieces.take_back(), None);
        // Before the first piece.
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(b"a\r\n", false);
        pieces.on_lost();
        assert_eq!((pieces.known(), pieces.take_back()), (Chunking::Works, Some(b"a\r\n".to_vec())));
    }

    #[test]
    fn the_last_piece_waits_for_the_others() {
        for (is_pipelining, at_once) in [(true, 2), (false, 1)] {
            let mut pieces = Pieces::new(Chunking::Works, is_pipelining);
            pieces.take(&[&b"x\r\n".repeat(MAX_PIECE_OCTETS)[..196_605], b".\r\n"].concat(), true);
            let first = said(&mut pieces).matches("BDAT 65535\r\n").count();
            assert_eq!(first, at_once);
            if !is_pipelining {
                yes(&mut pieces);
                assert!(said(&mut pieces).starts_with("BDAT 65535\r\n"));
            } else {
                yes(&mut pieces);
                assert_eq!(said(&mut pieces), "");
            }
            yes(&mut pieces);
            assert!(said(&mut pieces).starts_with("BDAT 65535 LAST\r\n"));
            assert_eq!(pieces.take_back(), None);
        }
    }

    #[test]
    fn a_fast_client_fills_larger_pieces_and_the_last_is_never_empty() {
        let mut pieces = Pieces::new(Chunking::Works, true);
        let lines = b"x\r\n".repeat(PIECE_OCTETS);
        let mut sizes = Vec::new();
        for (octets, is_end) in
            [(32_766, false), (32_766, false), (32_769, false), (32_766, false), (3, false), (0, true)]
        {
            pieces.take(&lines[..octets], false);
            if is_end {
                pieces.take(b".\r\n", true);
                assert_eq!(said(&mut pieces), "");
                while pieces.is_owed() {
                    yes(&mut pieces);
                }
            }
            sizes.extend(said(&mut pieces).lines().filter_map(|line| Some(line.strip_prefix("BDAT ")?.to_owned())));
        }
        assert_eq!(sizes, ["65529", "32769", "32766", "6 LAST"]);
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(&lines[..PIECE_OCTETS + 1], false);
        assert!(said(&mut pieces).starts_with("BDAT 32766\r\n"));
        // All that there is when the body ends is one piece.
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(&[&lines[..65_535], b".\r\n"].concat(), true);
        assert!(said(&mut pieces).starts_with("BDAT 65535 LAST\r\n"));
    }

    #[test]
    fn a_body_from_a_fast_client_follows_its_bdat_as_it_is() {
        let lines = b"x\r\n".repeat(MAX_PIECE_OCTETS / 2);
        let announced = |pieces: &mut Pieces, octets: &[u8]| {
            let mut out = Vec::new();
            let follow = pieces.announce(octets, &mut out);
            (follow, String::from_utf8(out).unwrap())
        };
        let works = || Pieces::new(Chunking::Works, true);
        // Whole lines follow; what is behind them waits, and begins the next piece.
        let mut pieces = works();
        let octets = &lines[..PIECE_OCTETS];
        assert_eq!(announced(&mut pieces, octets), (Some(32_766), "BDAT 32766\r\n".into()));
        assert!(pieces.is_owed());
        let next = &lines[2..][..PIECE_OCTETS];
        assert_eq!(announced(&mut pieces, next), (Some(32_767), "BDAT 32769\r\nx\r".into()));
        // No piece is longer than the most.
        let mut pieces = works();
        pieces.take(&lines[..30_000], false);
        let (follow, line) = announced(&mut pieces, &lines[..MAX_PIECE_OCTETS]);
        assert_eq!((follow, line.lines().next()), (Some(35_535), Some("BDAT 65535")));
        // A line that is longer than a piece is cut.
        let mut pieces = works();
        let long = [b'x'; PIECE_OCTETS];
        assert_eq!(announced(&mut pieces, &long), (Some(32_767), "BDAT 32767\r\n".into()));
        assert_eq!(said(&mut pieces), "");
        pieces.take(b"\r\n.\r\n", true);
        yes(&mut pieces);
        assert_eq!(said(&mut pieces), "BDAT 3 LAST\r\nx\r\n");
    }

    #[test]
    fn octets_are_taken_that_cannot_follow_as_they_are() {
        let lines = b"x\r\n".repeat(PIECE_OCTETS);
        let octets = &lines[..PIECE_OCTETS];
        let works = || Pieces::new(Chunking::Works, true);
        // Too few for a piece; with a dot that DATA has added; to a provider on trial.
        let cases = [
            (works(), &lines[..PIECE_OCTETS - 1]),
            (works(), &[b"..", octets].concat()[..]),
            (Pieces::new(Chunking::Untried, true), octets),
        ];
        for (mut pieces, octets) in cases {
            let mut out = Vec::new();
            assert_eq!((pieces.announce(octets, &mut out), out.len()), (None, 0), "{pieces:?}");
        }
        // A provider without pipelining that has not answered the last piece.
        let mut pieces = Pieces::new(Chunking::Works, false);
        assert!(pieces.announce(octets, &mut Vec::new()).is_some());
        assert!(pieces.announce(octets, &mut Vec::new()).is_none());
        yes(&mut pieces);
        assert!(pieces.announce(octets, &mut Vec::new()).is_some());
    }

    #[test]
    fn more_is_taken_until_a_piece_is_there() {
        let lines = b"x\r\n".repeat(PIECE_OCTETS);
        for (known, at_first) in [(Chunking::Works, MAX_PIECE_OCTETS), (Chunking::Untried, PIECE_OCTETS)] {
            let mut pieces = Pieces::new(known, true);
            assert_eq!(pieces.most(), at_first);
            pieces.take(&lines[..PIECE_OCTETS], false);
            assert!(!pieces.is_full());
            assert_eq!(pieces.most(), PIECE_OCTETS);
            pieces.take(&lines[2..3], false);
            assert!(pieces.is_full());
        }
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(b"x\r\n.\r\n", true);
        assert!(pieces.is_full());
    }

    #[test]
    fn what_a_refusal_says_of_bdat() {
        for (known, code, then) in [
            (Chunking::Untried, 500, Chunking::Fails),
            (Chunking::Untried, 421, Chunking::Fails),
            (Chunking::Untried, 552, Chunking::Untried),
            (Chunking::Untried, 451, Chunking::Untried),
            (Chunking::Works, 503, Chunking::Works),
        ] {
            let mut pieces = Pieces::new(known, true);
            pieces.take(&b"x\r\n".repeat(20_000), false);
            said(&mut pieces);
            assert!(!pieces.on_answer(&Reply::new(code, "no")));
            assert_eq!(pieces.known(), then, "{code}");
        }
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.on_last_answer(&Reply::new(554, "spam"));
        assert_eq!(pieces.known(), Chunking::Works);
        pieces.on_last_answer(&Reply::new(502, "what?"));
        assert_eq!(pieces.known(), Chunking::Fails);
        let mut pieces = Pieces::new(Chunking::Works, true);
        pieces.take(b".\r\n", true);
        said(&mut pieces);
        pieces.on_lost();
        assert_eq!(pieces.known(), Chunking::Untried);
    }
}
