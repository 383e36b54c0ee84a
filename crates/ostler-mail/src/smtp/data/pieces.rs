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

/// The most octets of one piece, and half of what is held of a body. Two records of TLS; a program behind a modem of
/// 2400 baud fills it within the five minutes that a provider waits for a command (RFC 5321, 4.5.3.2.7).
pub const MAX_PIECE_OCTETS: usize = 32 * 1024;

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
        self.is_whole || self.waiting.len() > MAX_PIECE_OCTETS
    }

    /// Takes the next octets of the body, as they would leave by DATA.
    pub(super) fn take(&mut self, octets: &[u8], is_end: bool) {
        self.unstuff.take(octets, &mut self.waiting);
        self.is_whole = is_end;
    }

    /// Says the pieces that may leave now.
    pub(super) fn say(&mut self, out: &mut Vec<u8>) {
        while let Some((octets, is_last)) = self.next() {
            let last = if is_last { " LAST" } else { "" };
            out.extend_from_slice(format!("BDAT {octets}{last}\r\n").as_bytes());
            let rest = self.waiting.split_off(octets);
            let piece = std::mem::replace(&mut self.waiting, rest);
            out.extend_from_slice(&piece);
            if self.known == Chunking::Untried && !is_last {
                self.kept = piece;
            }
            (self.has_begun, self.has_ended) = (true, is_last);
            self.unanswered += usize::from(!is_last);
        }
    }

    /// How long the next piece is and whether it is the last, if it may leave.
    fn next(&self) -> Option<(usize, bool)> {
        let has_turn = !self.is_owed() || (self.known == Chunking::Works && self.is_pipelining);
        if self.has_ended || !has_turn {
            return None;
        }
        if self.waiting.len() > MAX_PIECE_OCTETS {
            return Some((lines_in(&self.waiting[..MAX_PIECE_OCTETS]).unwrap_or(MAX_PIECE_OCTETS), false));
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

    /// The provider breaks off, or speaks what nobody understands.
    pub(super) fn on_lost(&mut self) {
        if self.has_begun {
            // One that has understood it so far may have gone for any reason, and is on trial again.
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
            pieces.take(&[&b"x\r\n".repeat(MAX_PIECE_OCTETS)[..98298], b".\r\n"].concat(), true);
            let first = said(&mut pieces).matches("BDAT 32766\r\n").count();
            assert_eq!(first, at_once);
            if !is_pipelining {
                yes(&mut pieces);
                assert!(said(&mut pieces).starts_with("BDAT 32766\r\n"));
            } else {
                yes(&mut pieces);
                assert_eq!(said(&mut pieces), "");
            }
            yes(&mut pieces);
            assert!(said(&mut pieces).starts_with("BDAT 32766 LAST\r\n"));
            assert_eq!(pieces.take_back(), None);
        }
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
