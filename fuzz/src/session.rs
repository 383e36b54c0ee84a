//! A whole POP3 session without sockets: the door, the sign-in at the provider, the pass-through.

use std::sync::Arc;

use ostler_mail::account::{Protocol, Settings};
use ostler_mail::machine::{Answer, Filter as _, Front as _, Party};
use ostler_mail::pop3::front::{Pop3Front, Wants};
use ostler_mail::pop3::login::Pop3Login;
use ostler_mail::wire::{MAX_REPLY_LINE_OCTETS, take_line};

use super::doors::{assert_pop3_reply, settings};
use super::filter::{
    Passing, Schedule, assert_answers, assert_commands, commands, deliver, in_single_octets, joined, schedule,
};
use super::logins::{Outcome, Planted, Play, security, server};
use super::{octets, parts};

/// A choice of settings, a schedule, and what client and server send by it: nothing of the client's reaches the server
/// before the sign-in, nothing of the secret reaches the client, one sign-in is one sign-in, and the cuts do not matter.
/// Only a server that answers commands before it has got them may be found out or not: the client's were waiting.
pub fn session(data: &[u8]) {
    let [choice, order, client, server] = parts(data);
    let choice: [u8; 2] = octets(choice);
    let planted = Planted::choose(choice[1] >> 2);
    if planted.is_in(server) || planted.is_in(client) {
        return;
    }
    let order = schedule(order);
    let play = |order: &Schedule| {
        let mut session = Session::new(choice, &planted);
        deliver(order, client, server, |party, now| session.deliver(party, now));
        session.shown()
    };
    let whole = play(&order);
    for other in [play(&in_single_octets(&order, client.len(), server.len())), play(&joined(&order))] {
        if whole.is_breach || other.is_breach {
            let (one, two) = (&whole.to_client, &other.to_client);
            assert!(one.starts_with(two.as_str()) || two.starts_with(one.as_str()), "{whole:?} {other:?}");
        } else {
            assert_eq!(other, whole);
        }
    }
}

/// Where a session stands.
#[allow(clippy::large_enum_variant)]
enum Stage {
    /// The client speaks with the door.
    Door,
    /// The provider is asked.
    SigningIn,
    Passing(Passing),
    Over,
}

struct Session<'a> {
    settings: Arc<Settings>,
    front: Pop3Front,
    login: Play<'a, Pop3Login>,
    stage: Stage,
    /// Every octet of the client's since it asked for the sign-in.
    after: Vec<u8>,
    from_client: Vec<u8>,
    from_server: Vec<u8>,
    said: String,
}

/// What can be seen of a session from outside.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    to_client: String,
    to_server: String,
    is_breach: bool,
    is_over: bool,
}

impl<'a> Session<'a> {
    fn new(choice: [u8; 2], planted: &'a Planted) -> Self {
        let (settings, own) = settings(choice[0]);
        let front = Pop3Front::new(Arc::clone(&settings), own, "<1.2@ostler>".into());
        let security = security(choice[1]);
        let at = server(Protocol::Pop3, security);
        let login = Play::new(Pop3Login::new(&at, None), planted, security, false);
        let (from_client, from_server, after) = (Vec::new(), Vec::new(), Vec::new());
        Self { settings, front, login, stage: Stage::Door, after, from_client, from_server, said: String::new() }
    }

    fn deliver(&mut self, party: Party, octets: &[u8]) {
        let input = if party == Party::Client { &mut self.from_client } else { &mut self.from_server };
        input.extend_from_slice(octets);
        loop {
            let moved = match &mut self.stage {
                Stage::Door => self.at_door(),
                Stage::SigningIn => self.signing_in(),
                Stage::Passing(passing) => {
                    self.after.extend_from_slice(&self.from_client);
                    passing.deliver(Party::Server, &std::mem::take(&mut self.from_server));
                    passing.deliver(Party::Client, &std::mem::take(&mut self.from_client));
                    false
                }
                Stage::Over => false,
            };
            if !moved {
                return;
            }
        }
    }

    fn at_door(&mut self) -> bool {
        let line = match take_line(&mut self.from_client, self.front.line_limit()) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.stage = Stage::Over;
                return false;
            }
        };
        let (reply, stage) = match self.front.on_line(&line) {
            Answer::Say(reply) | Answer::Wants(Wants::Connect(_, reply)) => (reply, Stage::Door),
            Answer::Refused(failure) => (self.front.refusal(&failure), Stage::Door),
            Answer::Wants(Wants::SignIn(account, _)) => {
                assert!(self.settings.accounts.iter().any(|a| a.name == account.name));
                (String::new(), Stage::SigningIn)
            }
            Answer::Bye(reply) => (reply, Stage::Over),
            Answer::Misused(misuse) => (self.front.words().misuse(&misuse), Stage::Over),
        };
        if !reply.is_empty() {
            assert_pop3_reply(&reply);
            self.said += &reply;
        }
        self.stage = stage;
        true
    }

    fn signing_in(&mut self) -> bool {
        let line = match take_line(&mut self.from_server, MAX_REPLY_LINE_OCTETS) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.stage = Stage::Over;
                return false;
            }
        };
        let (reply, stage) = match self.login.hear(line.bytes()) {
            Outcome::Open => return true,
            Outcome::Failed(failure) => (ostler_mail::pop3::words::failure(&failure), Stage::Over),
            Outcome::Ready(ready) => (ready.welcome.printable(), Stage::Passing(Passing::default())),
        };
        self.login.planted.assert_not_in(&reply);
        self.said += &reply;
        self.said += "\r\n";
        self.stage = stage;
        true
    }

    /// Checks what must hold at the end, and shows it.
    fn shown(&self) -> Shown {
        let mut shown = Shown {
            to_client: self.said.clone(),
            to_server: self.login.sent.escape_ascii().to_string(),
            is_breach: false,
            is_over: matches!(self.stage, Stage::Over),
        };
        if let Stage::Passing(passing) = &self.stage {
            let commands = commands(&self.after);
            assert_commands(&commands, &passing.to_server);
            assert_answers(&commands, &passing.to_client);
            shown.to_client += &passing.to_client.escape_ascii().to_string();
            shown.to_server += &passing.to_server.escape_ascii().to_string();
            shown.is_breach = passing.ended.is_some();
            shown.is_over = passing.filter.is_over();
        }
        shown
    }
}
