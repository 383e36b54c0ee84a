//! A body that leaves in pieces (BDAT), to a server that says whatever it likes.

use ostler_mail::machine::{Filter as _, Party, Pass, Replies};
use ostler_mail::smtp::data::{Chunking, DataFilter, PIECE_OCTETS};
use ostler_mail::wire::{MAX_REPLY_LINE_OCTETS, take_line};

use super::filter::{Passing, deliver, schedule};
use super::{octets, parts};

/// What is known of the server, a schedule, and what client and server send by it. The pieces are what would leave by DATA,
/// without its dots; none is too long; the last one leaves at most once, only when the client has ended its body and
/// the server has said yes to every piece before it. A message that may go by DATA after all is whole, and none of it was
/// the last piece.
pub fn body_in_pieces(data: &[u8]) {
    let [choice, order, client, server] = parts(data);
    let [choice, times]: [u8; 2] = octets(choice);
    let known = if choice & 1 == 0 { Chunking::Untried } else { Chunking::Works };
    // More than a piece holds.
    let client = [&client.repeat(1 + 40 * usize::from(times)), client].concat();
    if client.len() > 4 * PIECE_OCTETS {
        return;
    }
    let mut passing = Passing::new(DataFilter::default().in_pieces(known, choice & 2 == 0));
    deliver(&schedule(order), &client, server, |party, now| passing.deliver(party, now));
    let (wire, used) = by_data(&client);
    let text = unstuffed(&wire);
    let (said, has_ended) = joined(&passing.to_server, server);
    assert!(text.starts_with(&said), "other octets than by DATA");
    assert!(!has_ended || (said == text && passing.filter.is_complete()), "a message that is not whole");
    assert_eq!(has_ended, passing.filter.has_ended());
    let (unused, is_broken) = (passing.unused(Party::Client).to_vec(), passing.ended.is_some());
    let Some(rest) = passing.filter.by_data(!is_broken && choice & 4 == 0) else { return };
    assert!(!has_ended && (known == Chunking::Untried || said.is_empty()));
    let mut passing = Passing::new(rest);
    passing.deliver(Party::Client, &unused);
    assert_eq!(passing.to_server.escape_ascii().to_string(), wire.escape_ascii().to_string());
    assert!(used == client.len() || passing.filter.has_ended());
}

/// What leaves by DATA, and how much of the client's octets that is.
fn by_data(client: &[u8]) -> (Vec<u8>, usize) {
    let (mut filter, mut wire, mut at) = (DataFilter::default(), Vec::new(), 0);
    while at < client.len() && !filter.is_over() {
        let mut say = Replies::default();
        match filter.client_said(&client[at..], &mut say) {
            Ok(Pass::Forward(n)) => {
                wire.extend_from_slice(&client[at..at + n]);
                at += n;
            }
            Ok(Pass::Replaced(n)) => at += n,
            other => panic!("{other:?}"),
        }
        wire.append(&mut say.server);
    }
    (wire, at)
}

/// As RFC 5321, 4.5.2 has it. The wire has no bare line ends.
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let lines = wire.split_inclusive(|octet| *octet == b'\n').filter(|line| *line != b".\r\n");
    lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

/// The octets of all pieces, and whether the last one is there. `server` is all that the server could have said.
fn joined(said: &[u8], server: &[u8]) -> (Vec<u8>, bool) {
    let (mut rest, mut octets, mut pieces, mut has_ended) = (said, Vec::new(), 0, false);
    while !rest.is_empty() {
        assert!(!has_ended, "something behind the last piece");
        let end = rest.iter().position(|octet| *octet == b'\n').expect("a command");
        let line = std::str::from_utf8(&rest[..end]).expect("ASCII").trim_end();
        let length = line.strip_prefix("BDAT ").expect("BDAT");
        has_ended = length.ends_with(" LAST");
        let length: usize = length.trim_end_matches(" LAST").parse().expect("a number");
        assert!(length <= 2 * PIECE_OCTETS && (length > 0 || has_ended));
        octets.extend_from_slice(&rest[end + 1..][..length]);
        rest = &rest[end + 1 + length..];
        pieces += usize::from(!has_ended);
    }
    assert!(!has_ended || yeses(server) >= pieces, "the last piece before all others are accepted");
    (octets, has_ended)
}

/// How many last lines of a yes there are.
fn yeses(server: &[u8]) -> usize {
    let mut server = server.to_vec();
    let mut count = 0;
    while let Ok(Some(line)) = take_line(&mut server, MAX_REPLY_LINE_OCTETS) {
        count += usize::from(line.bytes().starts_with(b"25") && line.bytes().get(3) != Some(&b'-'));
    }
    count
}
