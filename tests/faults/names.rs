//! The name service fails in all its ways, and then knows the provider again.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::played_provider::{ANN, LIMITS, PROVIDER, greeted, honest_fetch, honest_send};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run};
use crate::support::world::World;
use crate::support::{require, unique, wait_for};

/// How a name service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Right,
    /// SERVFAIL: it could not find out.
    Failing,
    /// NXDOMAIN, as the service of a hotel says before one has paid.
    Denying,
    /// REFUSED.
    Refusing,
    Silent,
    /// Octets that are no answer.
    Babbling,
    /// Yes, and no address.
    Empty,
}

const MOODS: [Mood; 6] = [Mood::Failing, Mood::Denying, Mood::Refusing, Mood::Silent, Mood::Babbling, Mood::Empty];

/// A name service in a world that knows one name and does as it is told.
struct Names {
    mood: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn start(world: &World) -> Self {
        let socket = world.in_network(|| UdpSocket::bind(("127.0.0.1", 53)).unwrap());
        let names = Self { mood: Arc::default(), asked: Arc::default() };
        let (mood, asked) = (Arc::clone(&names.mood), Arc::clone(&names.asked));
        std::thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                asked.fetch_add(1, Ordering::Relaxed);
                let mood = if mood.load(Ordering::Relaxed) == 0 {
                    Mood::Right
                } else {
                    MOODS[usize::from(mood.load(Ordering::Relaxed)) - 1]
                };
                if let Some(answer) = answer(&question[..length], mood) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        names
    }

    fn be(&self, mood: Mood) {
        let number = MOODS.iter().position(|other| *other == mood).map_or(0, |at| at + 1);
        self.mood.store(u8::try_from(number).unwrap(), Ordering::Relaxed);
    }
}

/// RFC 1035, section 4: the header, the question again, and for an A question the address 127.0.0.1.
fn answer(question: &[u8], mood: Mood) -> Option<Vec<u8>> {
    let code = match mood {
        Mood::Silent => return None,
        Mood::Babbling => return Some(b"HTTP/1.1 302 Found\r\n".to_vec()),
        Mood::Right | Mood::Empty => 0,
        Mood::Failing => 2,
        Mood::Denying => 3,
        Mood::Refusing => 5,
    };
    let name = question.get(12..)?;
    let end = 12 + name.iter().position(|byte| *byte == 0)? + 1;
    let kind = question.get(end..end + 2)?;
    let has_address = mood == Mood::Right && kind == [0, 1];
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(question.get(12..end + 4)?);
    if has_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

struct Named {
    run: Run,
    home: Home,
    pop: Hand,
    smtp: Hand,
    /// The other account's, where nobody answers: whoever waits for it takes no connection from those above.
    other: Hand,
    world: World,
}

impl Named {
    fn start() -> Self {
        let world = World::builder().without_names().start();
        let listen = || Hand::over(world.in_network(|| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap()));
        let (pop, smtp, other) = (listen(), listen(), listen());
        let account = Account::new("home", ANN, &unique("pw"))
            .pop3(Server::at(PROVIDER, "none", pop.port))
            .smtp(Server::at(PROVIDER, "none", smtp.port));
        let crowded =
            Account::new("crowded", "crowd@example.test", &unique("pw")).pop3(Server::at(PROVIDER, "none", other.port));
        let home = Home::with_settings(&TestCa::new(), &[account, crowded], "", LIMITS).inside(&world);
        let run = Run::start(&home, &["-v"]).ready();
        Self { run, home, pop, smtp, other, world }
    }

    fn client(&self, port: u16, greeting: &str) -> Client {
        greeted(self.world.in_network(|| crate::played_provider::connect(port)), greeting)
    }

    fn pop3(&self) -> Client {
        self.client(self.home.pop3, "+OK")
    }

    fn smtp(&self) -> Client {
        self.client(self.home.smtp, "220 ")
    }

    fn honest(&self) {
        honest_fetch(self.pop3(), &self.pop);
        honest_send(self.smtp(), &self.smtp);
    }

    /// Both clients hear in time that it is not their fault, and where.
    fn refused(&self, what: &str) {
        let (mut pop, mut smtp) = (self.pop3(), self.smtp());
        pop.ask("USER home", "+OK");
        let refusal = pop.ask("PASS x", "-ERR [SYS/TEMP] ");
        assert!(refusal.contains(PROVIDER), "{what}: {refusal}");
        smtp.ask_reply("EHLO old-pc", "250");
        let refusal = smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 ");
        assert!(refusal.contains(PROVIDER), "{what}: {refusal}");
    }
}

#[test]
fn a_name_service_that_fails_in_any_way_and_comes_back() {
    require!("world");
    let mut named = Named::start();
    let names = Names::start(&named.world);
    named.honest();
    for mood in MOODS {
        names.be(mood);
        named.refused(&format!("{mood:?}"));
        names.be(Mood::Right);
        named.honest();
    }
    named.run.end_well();
}

#[test]
fn names_that_were_asked_for_in_vain_do_not_hold_up_the_next_session() {
    require!("world");
    let mut named = Named::start();
    let names = Names::start(&named.world);
    names.be(Mood::Silent);
    let mut waiting: Vec<Client> = (0..60)
        .map(|_| {
            let mut pop = named.pop3();
            pop.ask("USER crowded", "+OK");
            pop.say("PASS x");
            pop
        })
        .collect();
    wait_for("the questions", || (names.asked.load(Ordering::Relaxed) >= 60).then_some(()));
    names.be(Mood::Right);
    named.honest();
    for pop in &mut waiting {
        // Asked before it was back or after: answered in any case.
        assert!(pop.line().is_some());
    }
    named.other.drain();
    drop(waiting);
    named.run.end_well();
}

/// The network's manager writes another name service into the file while ostler runs.
#[test]
fn another_name_service_is_used_as_soon_as_the_system_names_it() {
    require!("world");
    let mut named = Named::start();
    let _names = Names::start(&named.world);
    let name_service = |lines: &str| {
        let script = format!("printf '{lines}' > /etc/resolv.conf");
        assert!(named.world.command("sh", &["-c", &script]).status().unwrap().success());
    };
    name_service("nameserver 127.0.0.9\\noptions timeout:1 attempts:1\\n");
    named.refused("nobody there");
    name_service("nameserver 127.0.0.1\\n");
    named.honest();
    named.run.end_well();
}
