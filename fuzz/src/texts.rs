//! Texts on the wire: bodies, replies, addresses, authentication exchanges.

use std::sync::Arc;

use ostler_mail::machine::{Filter, Pass, Replies};
use ostler_mail::sasl::{Acceptor, AuthStep, Exchange, Mechanism, Proof, redact};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::data::DataFilter;
use ostler_mail::smtp::verdict::{Verdict, verdict};
use ostler_mail::smtp::{Extensions, Reply, ReplyParser, parse_mail, parse_rcpt};
use ostler_mail::wire::{Body, DotScanner, Line, printable};

use super::{assert_reply_line, cut, lines, parts};

const END: &[u8] = b"\r\n.\r\n";

/// Cuts, then a client's body: one end under every reading, the same however it was cut, changed no second time, and
/// what a plain reading of the rules gives.
pub fn body(data: &[u8]) {
    let [lengths, sent] = parts(data);
    let whole = normalised(&[sent]);
    assert_eq!(normalised(&cut(sent, lengths)), whole, "the cuts matter");
    assert_eq!(carried(&cut(sent, lengths)), (whole.0.clone(), whole.1), "the filter differs from the body");
    let (out, taken) = whole;
    let begun = [b"\r\n", out.as_slice()].concat();
    let is_end = |b: u8| b == b'\r' || b == b'\n';
    let ends = begun.windows(3).filter(|w| is_end(w[0]) && w[1] == b'.' && is_end(w[2])).count();
    match plainly(sent) {
        Some((wanted, length)) => {
            assert_eq!((printable(&out), taken), (printable(&wanted), Some(length)));
            assert_eq!(ends, 1, "more than one end");
            assert_eq!(normalised(&[&out]).0, out, "a second time changes something");
        }
        None => {
            assert_eq!(taken, None, "an end that is none");
            assert_eq!(ends, 0, "an end of data that the client did not mean");
        }
    }
}

/// What leaves, and how many octets belong to the body once it has ended.
fn normalised(chunks: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
    let (mut machine, mut out, mut taken) = (Body::default(), Vec::new(), 0);
    for chunk in chunks {
        let mut rest = *chunk;
        while !rest.is_empty() && !machine.is_complete() {
            let same = machine.take_unchanged(rest);
            out.extend_from_slice(&rest[..same]);
            let changed = machine.take_changed(&rest[same..], &mut out);
            assert!(same + changed > 0, "no progress");
            taken += same + changed;
            rest = &rest[same + changed..];
        }
    }
    (out, machine.is_complete().then_some(taken))
}

/// The same through the filter that the relay drives.
fn carried(chunks: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
    let (mut filter, mut out, mut input, mut taken) = (DataFilter::default(), Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while !input.is_empty() && !filter.is_over() {
            let mut say = Replies::default();
            let n = match filter.client_said(&input, &mut say) {
                Ok(Pass::Forward(n)) => {
                    assert!(say.server.is_empty());
                    out.extend_from_slice(&input[..n]);
                    n
                }
                Ok(Pass::Replaced(n)) => {
                    out.append(&mut say.server);
                    n
                }
                other => panic!("{other:?}"),
            };
            assert!(n > 0, "no progress");
            taken += n;
            input.drain(..n);
        }
    }
    assert_eq!(filter.octets(), taken as u64);
    (out, filter.is_complete().then_some(taken))
}

/// The rules for a body, over all of it at once: unstuff (RFC 5321, 4.5.2), make every line end CR LF, leave NUL out, stuff.
fn plainly(sent: &[u8]) -> Option<(Vec<u8>, usize)> {
    let begun = [b"\r\n", sent].concat();
    let end = begun.windows(END.len()).position(|w| w == END)?;
    let (mut text, mut at) = (Vec::new(), 2);
    while at < end + 2 {
        let dot = begun[at] == b'.' && begun[..at].ends_with(b"\r\n");
        if !dot {
            text.push(begun[at]);
        }
        at += 1;
    }
    let mut out = Vec::new();
    let mut rest = text.as_slice();
    let mut at_start = true;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'\r' | b'\n' => {
                if octet == b'\r' {
                    rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                }
                out.extend_from_slice(b"\r\n");
                at_start = true;
                continue;
            }
            0 => continue,
            b'.' if at_start => out.extend_from_slice(b".."),
            _ => out.push(octet),
        }
        at_start = false;
    }
    out.extend_from_slice(b".\r\n");
    Some((out, end + END.len() - 2))
}

/// Cuts, then a text that ends with a dot: its end is found where it is, however it was cut.
pub fn dot_scanner(data: &[u8]) {
    let [lengths, text] = parts(data);
    let plain = [b"\r\n", text].concat().windows(END.len()).position(|w| w == END).map(|at| at + END.len() - 2);
    for chunks in [vec![text], cut(text, lengths), text.chunks(1).collect()] {
        let (mut scanner, mut before, mut found) = (DotScanner::default(), 0, None);
        for chunk in chunks {
            if let Some(end) = scanner.scan(chunk) {
                found = Some(before + end);
                break;
            }
            before += chunk.len();
        }
        assert_eq!(found, plain);
    }
}

/// What follows MAIL and RCPT: what is sent on can be read again and says the same, is one line, and holds the address
/// inside its brackets.
pub fn paths(data: &[u8]) {
    let data = data.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    let all = Extensions { size: Some(None), eight_bit: true, ..Extensions::default() };
    if let Ok(mail) = parse_mail(data) {
        let command = mail.command(&all);
        assert!(command.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')), "{command:?}");
        assert_eq!(parse_mail(&command.as_bytes()["MAIL ".len()..]).as_ref(), Ok(&mail), "{command:?}");
        assert_one_path(&command["MAIL FROM:".len()..]);
    }
    if let Ok(recipient) = parse_rcpt(data) {
        let command = format!("TO:<{recipient}>");
        assert_eq!(parse_rcpt(command.as_bytes()), Ok(recipient), "{command:?}");
        assert_one_path(&command["TO:".len()..]);
    }
}

/// Every reading of quotes a server may have finds the same closing bracket: the one that begins the parameters.
fn assert_one_path(said: &str) {
    let (mut quoted, mut escaped) = (false, false);
    let close = said.bytes().position(|b| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = quoted && b == b'\\';
        quoted ^= b == b'"';
        b == b'>' && !quoted
    });
    let close = close.unwrap_or_else(|| panic!("no closing bracket: {said:?}"));
    let after = &said[close + 1..];
    assert!(after.is_empty() || after.starts_with(" SIZE=") || after == " BODY=8BITMIME", "{said:?}");
}

/// Replies of an SMTP server, one after the other: bounded, one clean line for the client, and a verdict.
pub fn smtp_reply(data: &[u8]) {
    let mut parser = ReplyParser::default();
    for line in lines(data) {
        let was_inside = parser.is_inside();
        match parser.push(&line) {
            Ok(Some(reply)) => {
                assert!(!parser.is_inside() && !reply.lines.is_empty());
                assert_reply(&reply);
            }
            Ok(None) => assert!(parser.is_inside()),
            Err(wrong) => {
                assert!(wrong.to_string().bytes().all(|b| matches!(b, b' '..=b'~')), "{wrong}");
                assert!(parser.is_inside() == was_inside);
                return;
            }
        }
    }
}

fn assert_reply(reply: &Reply) {
    assert!((200..600).contains(&reply.code));
    let said = reply.one_line();
    assert_reply_line(&said);
    let mut parser = ReplyParser::default();
    let again = parser.push(&Line::new(said.as_bytes())).expect("a reply").expect("in one line");
    assert_eq!((again.code, again.one_line()), (reply.code, said), "not the same when said again");
    if let Some(code) = reply.enhanced() {
        assert!(code.starts_with(['2', '4', '5']) && code.split('.').count() == 3, "{code}");
    }
    let offered = Extensions::parse(reply);
    assert!(offered.auth.iter().all(|m| !m.is_empty() && !m.contains(' ')));
    let meaning = verdict(reply);
    assert!(meaning == Verdict::NotTheGate || (reply.code >= 400 && reply.code != 421), "{reply:?}");
}

/// A mechanism, a client's name and password, and lines: what a client says in an exchange is a clean name or nothing;
/// ostler's two sides understand each other; a server's challenges break nothing; an echoed secret is starred.
pub fn sasl(data: &[u8]) {
    let [choice, name, password, said] = parts(data);
    let mechanisms = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5];
    let choice = choice.first().copied().unwrap_or_default();
    let mechanism = mechanisms[usize::from(choice) % 3];
    let said = lines(said);
    hear_out(mechanism, choice & 0x80 != 0, &said);
    let Ok(secret) = Secret::from_bytes(password.to_vec().into()) else { return };
    let Ok(name) = std::str::from_utf8(name) else { return };
    if name.chars().any(char::is_control) {
        return;
    }
    let secret = Arc::new(secret);
    round_trip(mechanism, choice & 0x40 != 0, name, &secret);
    let mut exchange = Exchange::new(mechanism, name, Arc::clone(&secret));
    for line in &said {
        if let Ok(answer) = exchange.respond(line.bytes()) {
            assert!(answer.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')));
        }
        let shown = redact(&line.printable(), name, &secret);
        assert!(shown.len() <= 3 * line.bytes().len(), "stars out of nothing: {shown}");
        let raw = printable(secret.expose());
        assert!(raw.contains('*') || !shown.contains(&raw), "shown: {shown}");
    }
}

fn hear_out(mechanism: Mechanism, initial: bool, said: &[Line]) {
    let mut said = said.iter();
    let initial = if initial { said.next().map(Line::bytes) } else { None };
    let (mut acceptor, mut heard) = Acceptor::begin(mechanism, initial, "<1.2@ostler>");
    for challenges in 0.. {
        match heard {
            AuthStep::Challenge(challenge) => {
                assert!(challenges < 2 && challenge.is_ascii(), "too many challenges");
                let Some(line) = said.next() else { return };
                heard = acceptor.on_response(line.bytes());
            }
            AuthStep::Attempt(attempt) => {
                assert!(!attempt.name.bytes().any(|b| b.is_ascii_control()));
                if let Proof::Password(password) = &attempt.proof {
                    assert!(!password.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')));
                }
                let _ = attempt.proof.proves(&Secret::new("x".to_owned()).expect("a secret"));
                return;
            }
            AuthStep::Cancelled | AuthStep::Malformed => return,
        }
    }
}

fn round_trip(mechanism: Mechanism, with_initial: bool, name: &str, secret: &Arc<Secret>) {
    let mut client = Exchange::new(mechanism, name, Arc::clone(secret));
    let initial = if with_initial { client.initial_response(usize::MAX) } else { None };
    let initial = initial.as_ref().map(|i| i.as_bytes());
    let (mut server, mut heard) = Acceptor::begin(mechanism, initial, "<1.2@ostler>");
    while let AuthStep::Challenge(challenge) = heard {
        heard = server.on_response(client.respond(challenge.as_bytes()).expect("a challenge").as_bytes());
    }
    let AuthStep::Attempt(attempt) = heard else { panic!("ostler does not understand itself") };
    assert_eq!(attempt.name, name);
    assert!(attempt.proof.proves(secret));
}

/// The header of a load balancer, as it arrives: cut anywhere, it is waited for, and what is behind it stays untouched.
pub fn proxy_header(data: &[u8]) {
    let whole = ostler_mail::proxy_header::read(data);
    for cut in 0..data.len().min(300) {
        match ostler_mail::proxy_header::read(&data[..cut]) {
            // What is clear early stays so.
            Ok(Some((named, octets))) => {
                assert!(octets <= cut);
                assert_eq!(whole, Ok(Some((named, octets))));
            }
            Err(_) => assert!(whole.is_err(), "{whole:?}"),
            Ok(None) => {}
        }
    }
}
