//! A signed-in session of POP3 or IMAP: both sides' octets through the filter, as the relay would drive it.

use std::sync::Arc;

use ostler_mail::imap::filter::ImapFilter;
use ostler_mail::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use ostler_mail::pop3::filter::Pop3Filter;

use super::parts;

/// Who sends next, and how many octets.
pub(super) type Schedule = Vec<(Party, usize)>;

/// An octet of the fuzzer's: the lowest bit says who sends.
pub(super) fn schedule(octets: &[u8]) -> Schedule {
    let party = |octet: u8| if octet & 1 == 0 { Party::Client } else { Party::Server };
    let all = [(Party::Client, usize::MAX), (Party::Server, usize::MAX)];
    octets.iter().map(|octet| (party(*octet), usize::from(octet >> 1) + 1)).chain(all).collect()
}

/// Hands over what client and server send, in this order.
pub(super) fn deliver(order: &Schedule, client: &[u8], server: &[u8], mut to: impl FnMut(Party, &[u8])) {
    let (mut client, mut server) = (client, server);
    for (party, octets) in order {
        let from = if *party == Party::Client { &mut client } else { &mut server };
        let (now, later) = from.split_at((*octets).min(from.len()));
        *from = later;
        to(*party, now);
    }
}

/// The same in single octets: who sends when is kept, where it is cut is not.
pub(super) fn in_single_octets(schedule: &Schedule, client: usize, server: usize) -> Schedule {
    let (mut client, mut server) = (client, server);
    let mut singles = Vec::new();
    for (party, octets) in schedule {
        let left = if *party == Party::Client { &mut client } else { &mut server };
        let now = (*octets).min(*left);
        *left -= now;
        singles.extend(std::iter::repeat_n((*party, 1), now));
    }
    singles
}

/// The same with whatever one side sends in one go, as one chunk.
pub(super) fn joined(schedule: &Schedule) -> Schedule {
    let mut joined: Schedule = Vec::new();
    for (party, octets) in schedule {
        match joined.last_mut() {
            Some((last, so_far)) if last == party => *so_far = so_far.saturating_add(*octets),
            _ => joined.push((*party, *octets)),
        }
    }
    joined
}

/// Both sides of a pass-through, and what has reached them.
#[derive(Debug, Default)]
pub(super) struct Passing<F = Pop3Filter> {
    pub(super) filter: F,
    pub(super) to_client: Vec<u8>,
    pub(super) to_server: Vec<u8>,
    pub(super) ended: Option<ProtocolViolation>,
    from_client: Side,
    from_server: Side,
}

#[derive(Debug, Default)]
struct Side {
    input: Vec<u8>,
    starved: bool,
}

impl<F: Filter> Passing<F> {
    /// Nothing has passed yet.
    pub(super) fn new(filter: F) -> Self {
        let (from_client, from_server) = (Side::default(), Side::default());
        Self { filter, to_client: Vec::new(), to_server: Vec::new(), ended: None, from_client, from_server }
    }

    /// What the filter has not taken from a side.
    pub(super) fn unused(&self, party: Party) -> &[u8] {
        if party == Party::Client { &self.from_client.input } else { &self.from_server.input }
    }

    /// The time for which both sides wait is up.
    pub(super) fn renew(&mut self) {
        let mut say = Replies::default();
        self.filter.renew(&mut say);
        self.to_client.append(&mut say.client);
        self.to_server.append(&mut say.server);
    }

    /// One side sends.
    pub(super) fn deliver(&mut self, party: Party, octets: &[u8]) {
        let side = if party == Party::Client { &mut self.from_client } else { &mut self.from_server };
        side.input.extend_from_slice(octets);
        side.starved = false;
        while self.ended.is_none() && !self.filter.is_over() {
            let said_more = self.say_more();
            let server_moved = self.pump(Party::Server);
            let client_moved = self.pump(Party::Client);
            // The relay asks again whenever it looks.
            if !said_more && !server_moved && !client_moved && (self.ended.is_some() || !self.say_more()) {
                break;
            }
            self.from_client.starved &= !server_moved && !said_more;
        }
    }

    /// Lets the filter go on with an answer of its own; whether it did.
    fn say_more(&mut self) -> bool {
        let mut say = Replies::default();
        self.ended = self.filter.say_more(&mut say).err();
        let has_said = !say.client.is_empty() || !say.server.is_empty();
        self.to_client.append(&mut say.client);
        self.to_server.append(&mut say.server);
        has_said && self.ended.is_none()
    }

    /// One look at one side, as the relay takes it; whether anything moved.
    fn pump(&mut self, party: Party) -> bool {
        let is_client = party == Party::Client;
        let side = if is_client { &mut self.from_client } else { &mut self.from_server };
        let waits = is_client && !self.filter.wants_client();
        if side.input.is_empty() || side.starved || waits || self.ended.is_some() || self.filter.is_over() {
            return false;
        }
        let mut say = Replies::default();
        let before = self.filter.clock();
        let looked = if is_client {
            self.filter.client_said(&side.input, &mut say)
        } else {
            self.filter.server_said(&side.input, &mut say)
        };
        let taken = match looked {
            Ok(taken) => taken,
            Err(breach) => {
                self.ended = Some(breach);
                return false;
            }
        };
        let own = if is_client { &mut self.to_server } else { &mut self.to_client };
        let n = match taken {
            Pass::Forward(n) => {
                assert!(say.client.is_empty() && say.server.is_empty(), "an order that is not told");
                own.extend_from_slice(&side.input[..n]);
                n
            }
            Pass::Announced { forwarded, used } => {
                let said = if is_client { &mut say.server } else { &mut say.client };
                assert!(!said.is_empty() && forwarded > 0 && forwarded <= used);
                own.append(said);
                own.extend_from_slice(&side.input[..forwarded]);
                used
            }
            Pass::Replaced(n) => n,
            Pass::NeedMore | Pass::Stop => {
                assert!(say.client.is_empty() && say.server.is_empty());
                assert!(self.filter.clock() == before, "a clock starts anew without anything said");
                side.starved = true;
                return false;
            }
        };
        assert!(n > 0 && n <= side.input.len(), "no progress, or too much");
        side.input.drain(..n);
        self.to_client.append(&mut say.client);
        self.to_server.append(&mut say.server);
        true
    }
}

/// A schedule, then what client and server send by it. The cuts do not matter; the client gets whole answers to what it
/// asked, in order, and nothing else; the server gets the client's commands, tidied.
pub fn pop3_filter(data: &[u8]) {
    let parts @ [_, client, server] = parts(data);
    let whole = pass_however_cut(parts, false);
    let commands = commands(client);
    assert_commands(&commands, &whole.to_server);
    assert_answers(&commands, &whole.to_client);
    let plain = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r');
    let tidy = server.split(|b| *b == b'\n').all(|line| line.iter().all(plain))
        && !server.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n'))
        && !server.starts_with(b"\n");
    let carried =
        |c: &Vec<u8>| !matches!(verb(c).as_str(), "CAPA" | "STLS" | "AUTH" | "USER" | "PASS" | "APOP" | "XTND");
    if tidy && commands.iter().all(carried) {
        assert!(server.starts_with(&whole.to_client), "an answer was changed");
    }
}

/// The same with messages read ahead. The client gets whole answers to what it asked, in order, and nothing else; the server
/// gets the client's commands in order, with RETR and LIST added and left out.
pub fn pop3_ahead(data: &[u8]) {
    let parts @ [_, client, _] = parts(data);
    let whole = pass_however_cut(parts, true);
    let commands = commands(client);
    assert_answers(&commands, &whole.to_client);
    let others = |commands: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let is_ahead = |c: &Vec<u8>| verb(c) == "RETR" || (verb(c) == "LIST" && argument(c).is_empty());
        commands.into_iter().filter(|command| !is_ahead(command)).collect()
    };
    let heard =
        others(self::commands(&whole.to_server)).iter().flat_map(|c| [c, &b"\r\n"[..]].concat()).collect::<Vec<_>>();
    assert_commands(&others(commands), &heard);
}

/// What passes, and how the octets are cut does not change it.
fn pass_however_cut([order, client, server]: [&[u8]; 3], may_read_ahead: bool) -> Passing {
    let order = schedule(order);
    let play = |order: &Schedule| {
        let mut passing = Passing::new(Pop3Filter::new(Arc::default(), may_read_ahead));
        deliver(order, client, server, |party, now| passing.deliver(party, now));
        passing
    };
    let whole = play(&order);
    assert!(whole.filter.totals().1 <= server.len() as u64);
    for other in [play(&in_single_octets(&order, client.len(), server.len())), play(&joined(&order))] {
        assert_eq!(String::from_utf8_lossy(&other.to_client), String::from_utf8_lossy(&whole.to_client));
        assert_eq!(String::from_utf8_lossy(&other.to_server), String::from_utf8_lossy(&whole.to_server));
        assert_eq!(other.ended.is_some(), whole.ended.is_some(), "{:?} {:?}", other.ended, whole.ended);
        assert_eq!(other.filter.totals(), whole.filter.totals());
        assert_eq!(other.filter.is_over(), whole.filter.is_over());
    }
    whole
}

/// The commands of a client, up to QUIT.
pub(super) fn commands(client: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = client;
    let mut found = Vec::new();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        found.push(line.to_vec());
        rest = &rest[end + 1..];
        if verb(line) == "QUIT" {
            break;
        }
    }
    found
}

fn verb(command: &[u8]) -> String {
    let words = command.split(|b| matches!(b, b' ' | b'\t'));
    let verb = words.skip_while(|word| word.is_empty()).map(String::from_utf8_lossy).next();
    verb.unwrap_or_default().to_ascii_uppercase()
}

fn argument(command: &[u8]) -> String {
    let text = String::from_utf8_lossy(command).to_ascii_uppercase();
    text.trim_start_matches([' ', '\t']).split_once([' ', '\t']).map_or("", |(_, rest)| rest.trim()).to_owned()
}

/// What the server got is the commands one after the other, each as it was or a NOOP in its place.
pub(super) fn assert_commands(commands: &[Vec<u8>], to_server: &[u8]) {
    let mut rest = to_server;
    for command in commands {
        if rest.is_empty() {
            return;
        }
        let replaced = matches!(verb(command).as_str(), "STLS" | "AUTH" | "USER" | "PASS" | "APOP")
            || (verb(command) == "XTND" && argument(command).starts_with("XMIT"));
        let wanted = if replaced { b"NOOP" } else { command.as_slice() };
        let after = rest.strip_prefix(wanted).and_then(|rest| rest.strip_prefix(b"\r\n"));
        rest = after.unwrap_or_else(|| panic!("not {}: {}", wanted.escape_ascii(), rest.escape_ascii()));
    }
    assert!(rest.is_empty(), "nobody said {}", rest.escape_ascii());
}

/// What the client got is whole answers to its commands, in order; only the last may be cut off, inside a text.
pub(super) fn assert_answers(commands: &[Vec<u8>], to_client: &[u8]) {
    let mut rest = to_client;
    for command in commands {
        if rest.is_empty() {
            return;
        }
        let end = rest.windows(2).position(|w| w == b"\r\n").expect("a whole status line");
        let status = &rest[..end];
        let is_ok = status.starts_with(b"+OK");
        assert!(is_ok || status.starts_with(b"-ERR"), "{}", status.escape_ascii());
        rest = &rest[end + 2..];
        let (verb, argument) = (verb(command), argument(command));
        let has_text = match verb.as_str() {
            "RETR" | "TOP" | "CAPA" => true,
            "LIST" | "UIDL" | "LANG" => argument.is_empty(),
            "XTND" => argument.starts_with("XLST"),
            _ => false,
        };
        if has_text && is_ok {
            let text = &to_client[to_client.len() - rest.len() - 2..];
            let Some(end) = text.windows(5).position(|w| w == b"\r\n.\r\n") else { return };
            rest = &text[end + 5..];
        }
    }
    assert!(rest.is_empty(), "nobody asked for {}", rest.escape_ascii());
}

/// A choice of what the provider offers, a schedule, then what client and server send by it. It all comes to an end, ostler says
/// no more than it is asked, and the server never hears a command that would blind ostler.
pub fn imap_filter(data: &[u8]) {
    let [choice, order, client, server] = parts(data);
    let offered: &[u8] = match choice.first().map(|octet| octet & 3) {
        Some(1) => b"IMAP4rev1 LITERAL+ QUOTA",
        Some(2) => b"IMAP4rev1 IDLE",
        Some(3) => b"IMAP4rev1 LITERAL+ QUOTA IDLE",
        _ => b"",
    };
    let order = schedule(order);
    let play = |order: &Schedule| {
        let mut passing = Passing::new(ImapFilter::new(offered, Default::default()));
        let renews = choice.first().is_some_and(|octet| octet & 4 == 4);
        deliver(order, client, server, |party, now| {
            passing.deliver(party, now);
            if renews && passing.filter.clock().0 == Clock::Agreed {
                passing.renew();
            }
        });
        passing
    };
    for order in [in_single_octets(&order, client.len(), server.len()), order] {
        let passing = play(&order);
        let heard = String::from_utf8_lossy(&passing.to_server).to_ascii_uppercase();
        for line in heard.lines() {
            let mut words = line.split(' ');
            let is_tagged = words.next().is_some_and(|tag| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_digit()));
            let blinds = matches!(words.next(), Some("STARTTLS" | "COMPRESS" | "AUTHENTICATE" | "LOGIN" | "ENABLE"));
            assert!(!(is_tagged && blinds) || client.contains(&b'{'), "{line:?}");
        }
        assert!(passing.to_client.len() <= client.len() * 128 + server.len() * 8, "ostler says more than it is asked");
    }
}
