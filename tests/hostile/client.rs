//! Named clients that misbehave, and what must come of it: the runner. The cases are in the modules below it.

mod doors;
mod entry;
mod imap;
mod pop3;
pub mod smtp;
mod smuggling;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use super::honest::{AT_MOST, BOB, MESSAGE, Speaks, plain};
use super::recorder::{House, Told};
use super::runner::{assert_clean, assert_no_secret, each, families, on_both_families, room_for_many};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::secrets;
use crate::support::{free_port, mail, set_mode, unique, wait_for};

/// A client that has come to a door, in one case.
struct Talk<'a> {
    client: Option<Client>,
    host: &'static str,
    doors: Doors,
    /// Somebody else's account behind the same ostler.
    neighbour: &'a Neighbour,
    /// Where it has come to.
    door: Speaks,
    /// Every byte in a segment of its own.
    slowly: bool,
    name: String,
    local: &'a str,
    /// The account's password at its provider.
    secret: &'a str,
    smtp: &'a House,
    pop3: &'a House,
    imap: &'a House,
    /// Messages that may come to their end at the provider.
    delivers: usize,
    /// Deletions that may be committed.
    commits: usize,
    /// What the log has to name.
    named: Vec<&'static str>,
}

/// An account that no case is about: whoever knows its local password has nothing from another.
struct Neighbour {
    name: &'static str,
    local: String,
    /// The doors that lead to it alone, if accounts have such.
    doors: Doors,
}

/// The ports of the doors.
#[derive(Clone, Copy, Default)]
struct Doors {
    pop3: u16,
    smtp: u16,
    imap: u16,
}

/// A name, the door, what is done there.
type Case = (&'static str, Speaks, fn(&mut Talk<'_>));

impl Talk<'_> {
    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a client that has not gone")
    }

    /// Another connection, greeted; the first one is over.
    fn anew(&mut self, door: Speaks) -> String {
        let port = match door {
            Speaks::Smtp => self.doors.smtp,
            Speaks::Pop3 | Speaks::Pop3Ahead | Speaks::Pop3OverImap => self.doors.pop3,
            Speaks::Imap => self.doors.imap,
        };
        let mut client = Client::connect_to(self.host, port);
        let greeting = client.expect(door.greeting());
        (self.client, self.door) = (Some(client), door);
        greeting
    }

    /// Says these bytes, as far as they are taken.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let (slowly, bytes) = (self.slowly, bytes.as_ref());
        secrets::heard(bytes);
        let pieces = if slowly && bytes.len() < 2000 { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(pieces) {
            if !self.client().try_send(piece) {
                return;
            }
        }
    }

    /// Hears the next reply, which begins like this.
    fn hear(&mut self, start: &str) -> String {
        let is_line = self.door == Speaks::Imap || start.starts_with(['+', '-']);
        let reply = if is_line { self.client().expect(start) } else { self.client().expect_reply(start) };
        if !reply.starts_with("250-") {
            assert_clean(format!("{}\r\n", reply.trim_end()).as_bytes());
        }
        assert_no_secret(reply.as_bytes(), self.secret);
        reply
    }

    fn ask(&mut self, line: &str, start: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.hear(start)
    }

    /// As [`Self::ask`] for a text that ends with a dot.
    fn ask_text(&mut self, line: &str) -> Vec<u8> {
        self.send(format!("{line}\r\n"));
        self.client().expect_body()
    }

    /// The connection ends now, with one line that begins like this and has these words; they are in the log too.
    fn ended(&mut self, words: &'static str) {
        let rest = self.client().rest();
        let text = String::from_utf8_lossy(&rest).into_owned();
        let starts = ["421 4.7.0 ", "-ERR ", "* BYE "];
        assert!(starts.iter().any(|start| text.starts_with(start)), "{text:?}");
        assert!(text.contains(words), "no {words:?} in {text:?}");
        assert_clean(&rest);
        self.named.push(words);
    }

    /// The connection ends now, with nothing or with one line that begins like this.
    fn closed(&mut self, start: &str) {
        let rest = String::from_utf8_lossy(&self.client().rest()).into_owned();
        assert!(rest.starts_with(start) && rest.lines().count() <= 1, "{rest:?} instead of {start:?}");
    }

    /// As far as the sender.
    fn mail(&mut self) {
        let from = format!("MAIL FROM:<{}@example.org>", self.name);
        self.ask("EHLO old-pc", "250");
        self.ask(&from, "250");
    }

    /// As far as the go-ahead for the body.
    fn up_to_data(&mut self) {
        self.mail();
        self.ask(&format!("RCPT TO:<{BOB}>"), "250");
        self.ask("DATA", "354");
    }

    /// A whole message behind sender or sign-in.
    fn deliver(&mut self) {
        self.ask(&format!("RCPT TO:<{BOB}>"), "250");
        self.ask("DATA", "354");
        self.send(mail::stuffed(MESSAGE));
        self.hear("250 2.0.0 queued");
        self.delivers += 1;
    }

    /// Signed in at the provider, behind a POP3 door.
    fn signed_in(&mut self) {
        let (user, pass) = (format!("USER {}", self.name), format!("PASS {}", self.local));
        self.ask(&user, "+OK");
        self.ask(&pass, "+OK");
    }

    /// Signed in at the provider, behind an IMAP door.
    fn signed_in_by_imap(&mut self) {
        let login = format!("1 LOGIN {} {}", self.name, self.local);
        self.ask(&login, "* CAPABILITY IMAP4rev1");
        self.hear("1 OK");
    }

    /// Goes without a goodbye.
    fn reset(&mut self) {
        self.client.take().expect("a client").reset();
    }

    fn leave(&mut self) {
        self.client = None;
    }

    /// Nothing has gone to a provider.
    fn nobody_asked(&self) {
        let came = [self.smtp, self.pop3, self.imap].map(|house| house.told().came);
        assert_eq!(came, [0; 3], "a provider was asked");
    }
}

/// Plays every case twice against the same ostler: as written over IPv4, and byte by byte over IPv6. After each an
/// honest client of the same account has to be served.
fn play(access: &str, cases: &[Case]) {
    play_at(access, false, cases);
}

/// As [`play`], at doors that lead to the case's account only (`own`) or to all.
fn play_at(access: &str, own: bool, cases: &[Case]) {
    room_for_many();
    let (secret, local) = (unique("pw"), unique("local"));
    let runs: Vec<(usize, bool)> = (0..cases.len()).flat_map(|number| [(number, false), (number, true)]).collect();
    let name = |run: usize| format!("{}{}", cases[runs[run].0].0, if runs[run].1 { "-slowly" } else { "" });
    let houses: Vec<(House, House, House)> =
        runs.iter().map(|_| (House::smtp(), House::pop3(), House::imap())).collect();
    let reads = cases.iter().any(|(_, door, _)| *door == Speaks::Imap);
    // The local passwords' files need a folder that lives as long as ostler.
    let folder = crate::support::folder();
    let with_local = |account: Account, name: &str, local: &str, doors: Doors| {
        let file = folder.path().join(name);
        std::fs::write(&file, local).unwrap();
        set_mode(&file, 0o600);
        let line = format!("local_password = {{ file = {:?} }}", file.display().to_string());
        let account = if access == "password" { account.line(&line) } else { account };
        let line = format!("doors = {{ pop3 = {}, smtp = {}, imap = {} }}", doors.pop3, doors.smtp, doors.imap);
        if own { account.line(&line) } else { account }
    };
    let free = || Doors { pop3: free_port(), smtp: free_port(), imap: free_port() };
    let doors = || if own { free() } else { Doors::default() };
    let own_doors: Vec<Doors> = runs.iter().map(|_| doors()).collect();
    let mut accounts: Vec<Account> = (0..runs.len())
        .map(|run| {
            let account = Account::new(&name(run), &format!("{}@example.org", name(run)), &secret)
                .smtp(Server::new("none", houses[run].0.port))
                .pop3(Server::new("none", houses[run].1.port))
                .imap(Server::new("none", houses[run].2.port));
            with_local(account, "local", &local, own_doors[run])
        })
        .collect();
    let neighbour = Neighbour { name: "neighbour", local: unique("neighbours"), doors: doors() };
    if own {
        let account = Account::new(neighbour.name, "neighbour@example.com", &secret).pop3(Server::new("none", 1));
        accounts.push(with_local(account, "neighbours", &neighbour.local, neighbour.doors));
    }
    let mut home = Home::with_settings(&TestCa::new(), &accounts, &format!("access = {access:?}"), "");
    home.keep_secret(&local);
    home.keep_secret(&neighbour.local);
    on_both_families(&home);
    let ostler = home.run_as(&["run", "-v"]);
    let families = families(&ostler);
    println!("{} cases, each in one go and byte by byte", cases.len());
    let named: Mutex<BTreeMap<&str, usize>> = Mutex::default();
    each(runs.len(), name, |run| {
        let ((number, slowly), (smtp, pop3, imap)) = (runs[run], &houses[run]);
        let (_, door, case) = cases[number];
        let mut talk = Talk {
            client: None,
            host: families[usize::from(slowly) % families.len()],
            doors: if own { own_doors[run] } else { Doors { pop3: ostler.pop3, smtp: ostler.smtp, imap: ostler.imap } },
            neighbour: &neighbour,
            door,
            slowly,
            name: name(run),
            local: &local,
            secret: &secret,
            smtp,
            pop3,
            imap,
            delivers: 0,
            commits: 0,
            named: Vec::new(),
        };
        let asked = Instant::now();
        talk.anew(door);
        case(&mut talk);
        talk.leave();
        assert!(asked.elapsed() < AT_MOST, "took {:?}", asked.elapsed());
        let (delivers, commits) = (talk.delivers, talk.commits);
        let (sent, fetched, read): (Told, Told, Told) = (smtp.take(), pop3.take(), imap.take());
        assert_eq!(sent.messages.len() + read.messages.len(), delivers, "messages at the provider: {sent:?} {read:?}");
        assert_eq!(fetched.committed + read.committed, commits, "deletions at the provider: {fetched:?} {read:?}");
        for line in sent.commands.iter().chain(&fetched.commands).chain(&read.commands) {
            assert!(
                line.ends_with(b"\r\n") && !line[..line.len() - 2].iter().any(|b| matches!(b, 0 | b'\r' | b'\n')),
                "{line:?}"
            );
        }
        for words in std::mem::take(&mut talk.named) {
            *named.lock().unwrap().entry(words).or_default() += 1;
        }
        honest(&mut talk);
        if reads {
            honest_reader(&mut talk);
        }
    });
    for (words, count) in named.into_inner().unwrap() {
        let seen =
            || ostler.log().lines().filter(|line| line.contains("connection ended:") && line.contains(words)).count();
        wait_for(&format!("{count} times {words:?} in the log"), || (seen() >= count).then_some(()));
    }
}

/// A client of the account that signs in, sends, fetches and deletes.
fn honest(talk: &mut Talk<'_>) {
    talk.slowly = false;
    talk.anew(Speaks::Smtp);
    talk.ask("EHLO honest", "250");
    let proof = plain(&talk.name, talk.local);
    talk.ask(&format!("AUTH PLAIN {proof}"), "235");
    let from = format!("MAIL FROM:<{}@example.org>", talk.name);
    talk.ask(&from, "250");
    talk.deliver();
    talk.ask("QUIT", "221");
    talk.anew(Speaks::Pop3);
    talk.signed_in();
    assert_eq!(talk.ask_text("RETR 1"), MESSAGE);
    talk.ask("DELE 1", "+OK");
    talk.ask("QUIT", "+OK committed");
    talk.leave();
    assert_eq!(talk.smtp.take().messages, [mail::stuffed(MESSAGE)], "the session after it");
    assert_eq!(talk.pop3.take().committed, 1, "the session after it");
}

/// A client of the account that signs in by IMAP, reads and deletes.
fn honest_reader(talk: &mut Talk<'_>) {
    talk.anew(Speaks::Imap);
    talk.signed_in_by_imap();
    talk.ask("2 SELECT INBOX", "* 1 EXISTS");
    talk.hear("2 OK");
    talk.send("3 FETCH 1 BODY[]\r\n");
    let head = talk.client().expect("* 1 FETCH (BODY[] {");
    assert_eq!(head, format!("* 1 FETCH (BODY[] {{{}}}", MESSAGE.len()));
    let message: Vec<u8> = (0..4).flat_map(|_| talk.client().raw_line().unwrap()).collect();
    assert_eq!(message, MESSAGE);
    talk.hear(")");
    talk.hear("3 OK fetched");
    talk.ask("4 STORE 1 +FLAGS (\\Deleted)", "4 OK");
    talk.ask("5 EXPUNGE", "* 1 EXPUNGE");
    talk.hear("5 OK");
    talk.ask("6 LOGOUT", "* BYE bye");
    talk.hear("6 OK");
    talk.leave();
    assert_eq!(talk.imap.take().committed, 1, "the session after it");
}
