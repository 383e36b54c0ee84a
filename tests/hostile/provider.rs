//! Named providers that misbehave, and what must come of it: the runner. The cases are in the modules below it.

mod imap;
mod maildrop;
mod pieces;
mod pop3;
mod smtp;
mod tls;

use std::time::{Duration, Instant};

use super::honest::{AT_MOST, HASTY, Heard, MESSAGE, Speaks, completed, contains, message_answer, read_ahead, shown};
use super::runner::{assert_clean, assert_no_secret, each, families, on_both_families, room_for_many};
use crate::support::ca::{ServerCert, TestCa};
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step};
use crate::support::{unique, wait_for};

/// How the client's session has to end.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// The last thing said got an answer that begins like one of these.
    Told(&'static str, &'static [&'static str]),
    /// After the good answer to this the connection closed without another.
    ClosedAfter(&'static str),
    /// The message broke off.
    Cut,
    /// The last thing said got no answer but the provider's goodbye, which has these words.
    Bye(&'static str),
    /// As if nothing were wrong.
    Well,
}

/// One misbehaviour.
struct Case {
    name: String,
    part: Part,
    security: &'static str,
    cert: Option<ServerCert>,
    ends: Ends,
    words: &'static [&'static str],
    never: &'static [&'static str],
    /// What the client must not hear.
    unheard: &'static [&'static str],
    /// What the client must hear.
    heard: &'static [&'static str],
    /// Whether the message may reach the provider's end of data.
    delivers: bool,
    /// What it says must come in one go: cut, it would say something else.
    whole: bool,
    /// It trips over BDAT, so that the message goes to it by DATA on another connection.
    may_trip: bool,
    /// Nothing in it is a reason to connect again.
    once: bool,
}

/// A provider in clear that plays this.
fn case(name: &str, part: Part, ends: Ends) -> Case {
    let delivers = matches!(ends, Ends::Well) || matches!(ends, Ends::Told("." | "QUIT", _));
    Case {
        name: name.to_owned(),
        part,
        security: "none",
        cert: None,
        ends,
        words: &[],
        never: &[],
        unheard: &[],
        heard: &[],
        delivers,
        whole: false,
        may_trip: false,
        once: false,
    }
}

impl Case {
    /// What the last answer has to tell.
    fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// What the provider must not have been told.
    fn never(self, never: &'static [&'static str]) -> Self {
        Self { never, ..self }
    }

    /// What the client must not hear.
    fn unheard(self, unheard: &'static [&'static str]) -> Self {
        Self { unheard, ..self }
    }

    /// What the client must hear.
    fn heard(self, heard: &'static [&'static str]) -> Self {
        Self { heard, ..self }
    }

    /// On one connection, from the greeting on.
    fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// Never in segments of one byte.
    fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// It gets the message by DATA after all.
    fn may_trip(self) -> Self {
        Self { may_trip: true, ..self }
    }

    /// The message must not have been ended.
    fn not_delivered(self) -> Self {
        Self { delivers: false, ..self }
    }
}

/// A client's whole session, at the door that all accounts share.
fn session(speaks: Speaks, ostler: &Ostler, host: &str, name: &str) -> Heard {
    let port = match speaks {
        Speaks::Smtp => ostler.smtp,
        Speaks::Pop3 | Speaks::Pop3Ahead | Speaks::Pop3OverImap => ostler.pop3,
        Speaks::Imap => ostler.imap,
    };
    let mut client = Client::connect_to(host, port);
    client.expect(speaks.greeting());
    speaks.try_session(&mut client, name, &format!("{name}@example.org"), MESSAGE)
}

/// The same in segments of one byte each. What is long stays whole, for its length is the point.
fn in_bytes(part: &Part) -> Part {
    let bytewise = |step: &Step| match step {
        Step::Send(bytes) if bytes.len() < 2000 => Step::Drip(bytes.clone(), Duration::ZERO),
        step => step.clone(),
    };
    part.iter().map(bytewise).collect()
}

/// Plays every case twice against the same ostler, whole and byte by byte, over both address families; after each an
/// honest session of the same process has to work.
fn play(speaks: Speaks, ca: &TestCa, cases: &[Case]) {
    room_for_many();
    let secret = unique("pw");
    // What ostler learns of a server in the first variation must not spoil the second.
    let runs: Vec<(usize, usize)> = (0..cases.len()).flat_map(|number| [(number, 0), (number, 1)]).collect();
    let peers: Vec<Provider> = runs
        .iter()
        .map(|(number, _)| &cases[*number])
        .map(|case| match (&case.cert, case.security) {
            (Some(cert), security) => Provider::always_tls(cert, security == "tls", Part::new()),
            (None, "none") => Provider::always(speaks.provider_part()),
            (None, _) => Provider::always(Part::new()),
        })
        .collect();
    // Where a provider cannot behave, having a bad certificate, another of the same process has to serve.
    let honest = Provider::always(speaks.provider_part());
    let account = |name: &str, security: &str, port: u16| {
        let account = Account::new(name, &format!("{name}@example.org"), &secret);
        speaks.add_server(account, Server::new(security, port))
    };
    let name = |run: usize| format!("{}{}", cases[runs[run].0].name, ["", "-again"][runs[run].1]);
    let mut accounts: Vec<Account> =
        (0..runs.len()).map(|run| account(&name(run), cases[runs[run].0].security, peers[run].port)).collect();
    accounts.push(account("honest", "none", honest.port));
    let home = Home::with_settings(ca, &accounts, "", HASTY);
    on_both_families(&home);
    let ostler = home.run_as(&["run", "-v"]);
    let families = families(&ostler);
    println!("{} cases, each in one go and byte by byte", cases.len());
    each(runs.len(), name, |run| {
        let (number, variation) = runs[run];
        let (case, peer, own) = (&cases[number], &peers[run], name(run));
        let host = families[variation % families.len()];
        let in_pieces = variation == 1 && !case.whole;
        let part = if speaks == Speaks::Pop3Ahead { read_ahead(case.part.clone()) } else { case.part.clone() };
        peer.next(if in_pieces { in_bytes(&part) } else { part });
        let asked = Instant::now();
        let heard = session(speaks, &ostler, host, &own);
        assert!(asked.elapsed() < AT_MOST, "took {:?}", asked.elapsed());
        judge(speaks, case, &heard, peer, &secret).unwrap_or_else(|why| panic!("{why}\n{}", shown(&heard)));
        in_the_log(&own, &heard, &ostler);
        let (name, next) = if case.security == "none" { (&*own, peer) } else { ("honest", &honest) };
        let before = next.connections();
        let again = session(speaks.afterwards(), &ostler, host, name);
        assert!(is_well(speaks, &again), "the session after it:\n{}", shown(&again));
        if case.security == "none" {
            assert_eq!(completed(&next.finished(before)), speaks.brings(), "the session after it");
        }
    });
}

fn is_well(speaks: Speaks, heard: &Heard) -> bool {
    let good = |last: &str, said: &str| {
        heard.last().is_some_and(|(line, answer)| *line == last && answer.starts_with(said.as_bytes()))
    };
    match speaks {
        Speaks::Smtp => {
            good("QUIT", "221") && heard.iter().any(|(line, answer)| *line == "." && answer.starts_with(b"250 "))
        }
        Speaks::Pop3 | Speaks::Pop3Ahead | Speaks::Pop3OverImap => good("QUIT", "+OK"),
        Speaks::Imap => good("LOGOUT", "6 OK") && heard.iter().any(|(_, said)| contains(said, MESSAGE)),
    }
}

/// Whether client and provider heard what they may, and nothing else.
fn judge(speaks: Speaks, case: &Case, heard: &Heard, peer: &Provider, secret: &str) -> Result<(), String> {
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    for (line, answer) in heard {
        let end = answer.iter().position(|byte| *byte == b'\n').map_or(answer.len(), |end| end + 1);
        // The provider's own lines may be longer, and what it sends may hold any octets.
        let is_own = speaks != Speaks::Imap || contains(answer, "ostler: ");
        if is_own && (*line != "cut" || answer.contains(&b'\n')) {
            assert_clean(&answer[..end]);
        }
        assert_no_secret(answer, secret);
        check(!answer.starts_with(b"535"), "535 makes clients throw their password away")?;
        for unheard in case.unheard {
            check(!contains(answer, unheard), &format!("the client heard {unheard:?}"))?;
        }
    }
    for wanted in case.heard {
        let is_heard = heard.iter().any(|(_, answer)| contains(answer, wanted));
        check(is_heard, &format!("the client has not heard {wanted:?}"))?;
    }
    let sessions: Vec<_> = (0..peer.connections()).map(|number| peer.over(number)).collect();
    let received: Vec<u8> = sessions.iter().flat_map(|session| session.received.clone()).collect();
    let secrets =
        ["AUTH ", "PASS ", "LOGIN ", "AUTHENTICATE "].map(|word| memchr::memmem::find_iter(&received, word).count());
    let connections = if case.may_trip { 2 } else { 1 };
    check(secrets.iter().sum::<usize>() <= connections, "one sign-in of the client became several")?;
    check(completed(&received) <= 1, "the message went out twice")?;
    // A connection that broke before anything was wanted of it may be made once more, and that one plays honestly.
    let broke_early = sessions.len() == 2 && !case.once && {
        let heard = &sessions[0].received;
        ["AUTH ", "PASS ", "LOGIN ", "DATA"].iter().all(|word| !contains(heard, word))
    };
    check(sessions.len() <= connections || broke_early, &format!("{} connections", sessions.len()))?;
    if broke_early && is_well(speaks, heard) {
        return Ok(());
    }
    check(case.delivers || speaks != Speaks::Smtp || completed(&received) == 0, "the message was ended")?;
    for never in case.never {
        check(!contains(&received, never), &format!("the provider was told {never:?}"))?;
    }
    let (line, answer) = heard.last().map_or(("", &b""[..]), |(line, answer)| (*line, answer.as_slice()));
    let text = String::from_utf8_lossy(answer);
    let holds = match case.ends {
        Ends::Told(said, starts) => {
            let (line, text) = if said == "." { dot(heard) } else { (line, text.clone().into_owned()) };
            for word in case.words {
                check(text.contains(word), &format!("no {word:?} in {text:?}"))?;
            }
            line == said && starts.iter().any(|start| text.starts_with(start))
        }
        Ends::ClosedAfter(said) => line == said && (text.starts_with("+OK") || text.starts_with('2')),
        Ends::Bye(words) => line == "*" && text.contains("* BYE ") && text.contains(words),
        Ends::Cut if speaks == Speaks::Imap => line == "cut" && !text.contains("ostler"),
        Ends::Cut => {
            let has_begun = match speaks {
                Speaks::Smtp | Speaks::Pop3 | Speaks::Pop3Ahead => {
                    message_answer().starts_with(&answer[..answer.len().min(5)])
                }
                Speaks::Pop3OverImap | Speaks::Imap => answer.starts_with(b"+OK "),
            };
            line == "cut" && !answer.ends_with(b"\r\n.\r\n") && has_begun
        }
        Ends::Well => is_well(speaks, heard),
    };
    check(holds, &format!("it has to end with {:?}", case.ends))
}

/// The answer to the end of the message.
fn dot(heard: &Heard) -> (&'static str, String) {
    let found = heard.iter().find(|(line, _)| *line == ".");
    found.map_or(("", String::new()), |(line, answer)| (*line, String::from_utf8_lossy(answer).into_owned()))
}

/// What ostler itself told the client stands in the log too, with the account's name.
fn in_the_log(name: &str, heard: &Heard, ostler: &Ostler) {
    let own = |answer: &[u8]| {
        let code = [&b"451 4."[..], b"454 ", b"-ERR ["].iter().any(|start| answer.starts_with(start));
        (code || contains(answer, " NO [UNAVAILABLE] ostler: ")) && contains(answer, "localhost")
    };
    let may_be_own = |line: &str| matches!(line, "MAIL" | "." | "PASS x" | "SELECT" | "FETCH" | "STORE" | "EXPUNGE");
    if heard.iter().any(|(line, answer)| may_be_own(line) && own(answer)) {
        let wanted = format!("account {name}: ");
        wait_for(&format!("{wanted} in the log"), || ostler.log().contains(&wanted).then_some(()));
    }
}
