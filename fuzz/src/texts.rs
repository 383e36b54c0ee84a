//! Texts: bodies, replies, addresses, the settings file, authentication exchanges.

use std::path::Path;
use std::sync::Arc;

use ostler::diagnose::explain;
use ostler::setup::discover::{Domain, autoconfig};
use ostler_mail::account::Security;
use ostler_mail::machine::{Filter, Replies, Taken};
use ostler_mail::sasl::{Acceptor, Exchange, Heard, Mechanism, Proof, starred};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::data::Data;
use ostler_mail::smtp::verdict::{Stage, Verdict, verdict};
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
    let (mut filter, mut out, mut input, mut taken) = (Data::default(), Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while !input.is_empty() && !filter.is_over() {
            let mut say = Replies::default();
            let n = match filter.client_said(&input, &mut say) {
                Ok(Taken::AsIs(n)) => {
                    assert!(say.server.is_empty());
                    out.extend_from_slice(&input[..n]);
                    n
                }
                Ok(Taken::Consumed(n)) => {
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

/// The rules for a body, over all of it at once: unstuff (RFC 5321, 4.5.2), make every line end CR LF, stuff.
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

/// A settings file: no octets break reading or changing it, no message shows a planted secret, every message is one
/// line of the promised form, and an account that is taken out leaves all others as they were.
pub fn settings(data: &[u8]) {
    ostler::config::fuzz(data);
    let text = String::from_utf8_lossy(data);
    let file = Path::new("o.toml");
    match ostler::config::parse(&text, file) {
        Err(mistakes) => {
            for remark in mistakes.iter() {
                let said = remark.to_string();
                assert!(!said.contains(char::is_control) && said.starts_with("o.toml:"), "{said:?}");
                assert!(remark.line > 0 && remark.line <= text.lines().count().max(1) + 1, "{said}");
            }
        }
        Ok(parsed) => {
            for account in &parsed.settings.accounts {
                let Ok(rest) = ostler::config::remove_account(&text, &account.name) else { continue };
                let rest = ostler::config::parse(&rest, file).expect("what is left is as right as before");
                let others = parsed.settings.accounts.iter().filter(|other| other.name != account.name);
                assert!(rest.settings.accounts.iter().eq(others), "another account changed");
                assert_eq!(
                    (rest.settings.access, rest.settings.timeouts),
                    (parsed.settings.access, parsed.settings.timeouts.clone())
                );
            }
        }
    }
}

/// A file of presets: no octets break reading it, no message shows a planted secret, every message is one line of the
/// promised form, and whatever is read gives servers that can be connected to.
pub fn providers(data: &[u8]) {
    ostler::config::presets::fuzz(data);
}

/// Another program's settings: reading ends, what is said is one line each, no server is without encryption, and every
/// host and name is one that the settings file can hold.
pub fn import(data: &[u8]) {
    use ostler::config::value;
    let Ok(file) = ostler::setup::import::read(data, ostler::config::presets::Presets::built_in()) else { return };
    for sentence in file.taken.iter().chain(&file.not_taken) {
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
    for account in &file.accounts {
        for endpoint in account.incoming.iter().chain(&account.outgoing).chain(&account.imap) {
            assert!(endpoint.security != ostler_mail::account::Security::None && endpoint.port != 0, "{endpoint:?}");
            assert_eq!(value::host(&endpoint.host).as_ref(), Ok(&endpoint.host));
        }
        if let Some(address) = &account.address {
            assert_eq!(value::address(address).as_ref(), Ok(address));
        }
        for name in account.username.iter().chain(&account.smtp_username) {
            assert_eq!(value::username(name).as_ref(), Ok(name));
        }
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
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt, Stage::Data] {
        let meaning = verdict(stage, reply);
        assert!(meaning == Verdict::NotTheGate || (reply.code >= 400 && reply.code != 421), "{reply:?}");
    }
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
        let shown = starred(&line.printable(), name, &secret);
        assert!(shown.len() <= 3 * line.bytes().len(), "stars out of nothing: {shown}");
        let raw = printable(secret.expose().as_bytes());
        assert!(raw.contains('*') || !shown.contains(&raw), "shown: {shown}");
    }
}

fn hear_out(mechanism: Mechanism, initial: bool, said: &[Line]) {
    let mut said = said.iter();
    let initial = if initial { said.next().map(Line::bytes) } else { None };
    let (mut acceptor, mut heard) = Acceptor::begin(mechanism, initial, "<1.2@ostler>");
    for challenges in 0.. {
        match heard {
            Heard::Challenge(challenge) => {
                assert!(challenges < 2 && challenge.is_ascii(), "too many challenges");
                let Some(line) = said.next() else { return };
                heard = acceptor.hear(line.bytes());
            }
            Heard::Attempt(attempt) => {
                assert!(!attempt.name.bytes().any(|b| b.is_ascii_control()));
                if let Proof::Password(password) = &attempt.proof {
                    assert!(!password.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')));
                }
                let _ = attempt.proof.proves(&Secret::new("x".to_owned()).expect("a secret"));
                return;
            }
            Heard::Cancelled | Heard::Malformed => return,
        }
    }
}

fn round_trip(mechanism: Mechanism, with_initial: bool, name: &str, secret: &Arc<Secret>) {
    let mut client = Exchange::new(mechanism, name, Arc::clone(secret));
    let initial = if with_initial { client.initial() } else { None };
    let initial = initial.as_ref().map(|i| i.as_bytes());
    let (mut server, mut heard) = Acceptor::begin(mechanism, initial, "<1.2@ostler>");
    while let Heard::Challenge(challenge) = heard {
        heard = server.hear(client.respond(challenge.as_bytes()).expect("a challenge").as_bytes());
    }
    let Heard::Attempt(attempt) = heard else { panic!("ostler does not understand itself") };
    assert_eq!(attempt.name, name);
    assert!(attempt.proof.proves(secret));
}

/// A provider's file of mail settings, from a stranger: what is read of it is clean and small, and no server is in clear.
pub fn autoconfig(data: &[u8]) {
    let domain = Domain::parse("example.net").unwrap();
    let Ok(config) = autoconfig::parse(data, &domain) else { return };
    assert!((1..=64).contains(&config.endpoints.len()), "{} servers", config.endpoints.len());
    for endpoint in &config.endpoints {
        assert_ne!(endpoint.security, Security::None, "in clear");
        assert_ne!(endpoint.port, 0);
        let host = Domain::parse(&endpoint.host).unwrap();
        assert_eq!(host.as_str(), endpoint.host, "a host that is written otherwise");
        for name in endpoint.login.candidates("ann@example.net") {
            assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
        }
    }
    let texts = config.title.iter().chain(config.hints.iter().map(|hint| &hint.text));
    for text in texts {
        assert!(text.chars().count() <= 500 && !text.chars().any(char::is_control), "{text:?}");
    }
    for url in config.hints.iter().filter_map(|hint| hint.url.as_ref()) {
        assert!(url.starts_with("http") && url.bytes().all(|b| matches!(b, b'!'..=b'~')), "{url:?}");
    }
}

/// An error pasted from a mail program: explained or not, in known words.
pub fn pasted(data: &[u8]) {
    let found = explain::explain(&String::from_utf8_lossy(data));
    assert!(found.len() <= explain::MAX_EXPLANATIONS, "too many");
    for one in found {
        assert!(!one.found.is_empty() && one.found.bytes().all(|b| matches!(b, b' '..=b'~')), "{:?}", one.found);
        assert!(explain::cause(&one.cause.id).is_some());
    }
}
