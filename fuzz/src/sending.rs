//! A whole SMTP session without sockets: the door, the sign-in at the provider, each message's script, its body, the
//! answer to its end.

use std::sync::Arc;
use std::time::Duration;

use ostler_mail::account::{Account, Protocol, Security, Settings};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, Place, Waiting};
use ostler_mail::machine::{Answer, Filter as _, Front as _, Party, Pass, ProtocolViolation, Replies};
use ostler_mail::pop_before_smtp::Gate;
use ostler_mail::smtp::data::DataFilter;
use ostler_mail::smtp::envelope::{Heard, Next, Say, Script, Way};
use ostler_mail::smtp::front::{SmtpFront, Transaction, Wants};
use ostler_mail::smtp::login::SmtpLogin;
use ostler_mail::smtp::words::{self, outcome_unknown};
use ostler_mail::smtp::{Extensions, Reply, ReplyParser};
use ostler_mail::wire::{REPLY_LINE, take_line};

use super::doors::{assert_one_reply, settings};
use super::filter::{Schedule, deliver, in_single_octets, joined, schedule};
use super::logins::{Outcome, Planted, Play};
use super::{octets, parts};

/// Where the server breaks off; what it says behind this it says on its next connection.
const BREAKS_OFF: u8 = 0xfe;

const HOST: &str = "mail.example";

/// A choice of settings, a schedule, and what client and server send by it. Every command has one answer; a body goes to
/// a server only after the sender and exactly the recipients the client was told are accepted, has one end, and leaves
/// once; "sent" is told if the server said so after that end, and only then; nothing of the secret reaches the client.
/// The cuts do not matter, but for a side that speaks before it is its turn.
pub fn smtp_session(data: &[u8]) {
    let [choice, order, client, server] = parts(data);
    let choice: [u8; 2] = octets(choice);
    let planted = Planted::choose(choice[1]);
    if planted.is_in(server) || planted.is_in(client) {
        return;
    }
    let order = schedule(order);
    let play = |order: &Schedule| {
        let mut session = Session::new(choice, &planted);
        deliver(order, client, server, |party, now| session.deliver(party, now));
        session
    };
    let whole = play(&order);
    for other in [play(&in_single_octets(&order, client.len(), server.len())), play(&joined(&order))] {
        if !whole.out_of_turn && !other.out_of_turn {
            assert_eq!(other.to_client, whole.to_client);
            assert_eq!(other.to_server.escape_ascii().to_string(), whole.to_server.escape_ascii().to_string());
            assert_eq!(matches!(other.stage, Stage::Over), matches!(whole.stage, Stage::Over));
        }
    }
}

fn place() -> Place {
    Place { host: HOST.into(), port: 465, protocol: Protocol::Smtp, security: Security::Tls }
}

/// What is done now.
#[allow(clippy::large_enum_variant)]
enum Stage {
    /// The client is heard.
    Hearing,
    /// The provider is asked for this command of the client's.
    Asking(Script),
    /// A body passes.
    Body(DataFilter),
    /// Nobody takes the rest of it, and the client gets this behind its end.
    Swallowing(DataFilter, Reply),
    /// The end of the body has left.
    Ended(DataFilter),
    Over,
}

/// One connection to the server.
#[allow(clippy::large_enum_variant)]
enum Provider<'a> {
    SigningIn(Play<'a, SmtpLogin>),
    Ready {
        offered: Extensions,
        done: usize,
        used: bool,
        /// The command of the script that was said and is not answered.
        asked: bool,
        parser: ReplyParser,
        /// The envelope this connection knows: a sender, and the recipients it has accepted.
        sender: Option<String>,
        recipients: Vec<String>,
    },
}

struct Session<'a> {
    planted: &'a Planted,
    settings: Arc<Settings>,
    front: SmtpFront,
    stage: Stage,
    account: Option<Arc<Account>>,
    provider: Option<Provider<'a>>,
    gate: Gate,
    login_is_new: bool,
    spent: Duration,
    now: Moment,
    from_client: Vec<u8>,
    from_server: Vec<u8>,
    /// What the server says up to its next break is said on a connection that is closed.
    unheard: bool,
    to_client: String,
    to_server: Vec<u8>,
    /// Somebody spoke before it was its turn.
    out_of_turn: bool,
    /// Recipients of this message the client was told are accepted.
    told: Vec<String>,
    /// Octets of the server's that came while the body passed, and the body as it left.
    early: usize,
    body: Vec<u8>,
    connections: usize,
}

impl<'a> Session<'a> {
    fn new(choice: [u8; 2], planted: &'a Planted) -> Self {
        let (settings, own) = settings(choice[0]);
        let front = SmtpFront::new(Arc::clone(&settings), own, "<1.2@ostler>".into(), None);
        let to_client = front.greeting();
        Self {
            planted,
            settings,
            front,
            stage: Stage::Hearing,
            account: None,
            provider: None,
            gate: Gate::default(),
            login_is_new: false,
            spent: Duration::ZERO,
            now: Moment::at(Duration::from_secs(1000)),
            from_client: Vec::new(),
            from_server: Vec::new(),
            unheard: false,
            to_client,
            to_server: Vec::new(),
            out_of_turn: false,
            told: Vec::new(),
            early: 0,
            body: Vec::new(),
            connections: 0,
        }
    }

    fn deliver(&mut self, party: Party, octets: &[u8]) {
        let mut octets = octets;
        if party == Party::Server && self.unheard {
            let end = octets.iter().position(|b| *b == BREAKS_OFF);
            self.unheard = end.is_none();
            octets = end.map_or(&[], |end| &octets[end + 1..]);
        }
        let input = if party == Party::Client { &mut self.from_client } else { &mut self.from_server };
        input.extend_from_slice(octets);
        while match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Hearing => self.hearing(),
            Stage::Asking(script) => self.asking(script),
            Stage::Body(data) => self.body(data),
            Stage::Swallowing(data, reply) => self.swallowing(data, reply),
            Stage::Ended(data) => self.ended(data),
            Stage::Over => false,
        } {}
    }

    /// What is left in the server's direction before it breaks off, and whether it has broken off.
    fn heard(&self) -> (usize, bool) {
        let end = self.from_server.iter().position(|b| *b == BREAKS_OFF);
        (end.unwrap_or(self.from_server.len()), end.is_some())
    }

    /// The connection is closed: what the server would have said on it is never read.
    fn drop_provider(&mut self) {
        if self.provider.take().is_some() {
            let (end, breaks) = self.heard();
            self.from_server.drain(..end + usize::from(breaks));
            self.unheard = !breaks;
        }
    }

    /// The server's next line on this connection; an error when it breaks off or makes no sense.
    fn server_line(&mut self) -> Result<Option<ostler_mail::wire::Line>, Failure> {
        let (end, breaks) = self.heard();
        let mut said = self.from_server[..end].to_vec();
        match take_line(&mut said, REPLY_LINE) {
            Err(_) => Err(Failure::ProtocolViolation { at: place(), what: "a line without end".into() }),
            Ok(None) if breaks => Err(Failure::Lost { at: place(), waiting: Waiting::Answer }),
            Ok(None) => Ok(None),
            Ok(Some(line)) => {
                self.from_server.drain(..end - said.len());
                Ok(Some(line))
            }
        }
    }

    fn tell(&mut self, reply: &str) -> bool {
        assert_one_reply(reply);
        self.planted.assert_not_in(reply);
        self.to_client += reply;
        self.stage = if reply.starts_with("421 ") { Stage::Over } else { Stage::Hearing };
        true
    }

    fn hearing(&mut self) -> bool {
        let line = match take_line(&mut self.from_client, self.front.line_limit()) {
            Ok(Some(line)) => line,
            Ok(None) => {
                self.stage = Stage::Hearing;
                return false;
            }
            Err(_) => return false,
        };
        let (account, say) = match self.front.on_line(&line) {
            Answer::Say(reply) => return self.tell(&reply),
            Answer::Refused(failure) => {
                let reply = self.front.refusal(&failure);
                return self.tell(&reply);
            }
            Answer::Wants(Wants::Authenticate(account, _)) => {
                let reply = self.front.authenticated(account, true);
                return self.tell(&reply);
            }
            Answer::Wants(Wants::DataRefused(_)) if !self.from_client.is_empty() => {
                self.out_of_turn = true;
                return false;
            }
            Answer::Wants(Wants::DataRefused(reply)) => return self.tell(&reply),
            Answer::Misused(misuse) => {
                let reply = self.front.words().misuse(&misuse);
                assert_one_reply(&reply);
                self.to_client += &reply;
                return false;
            }
            Answer::Bye(reply) => {
                assert_one_reply(&reply);
                self.to_client += &reply;
                return false;
            }
            Answer::Wants(Wants::Mail(account, mail)) => {
                self.spent = Duration::ZERO;
                self.told.clear();
                let same = self.account.as_ref().is_some_and(|old| old.name == account.name);
                match &mut self.provider {
                    Some(Provider::Ready { done, .. }) if same && *done == 0 => {}
                    // The carrier says RSET first; a new connection is as good.
                    _ => self.drop_provider(),
                }
                self.account = Some(Arc::clone(&account));
                (account, Script::new(&mail, &[], Say::Mail(mail.clone()), self.now))
            }
            Answer::Wants(Wants::Rcpt(recipient)) => {
                let Transaction { account, mail, accepted } = self.front.transaction().expect("a message").clone();
                (account, Script::new(&mail, &accepted, Say::Rcpt(recipient), self.now))
            }
            Answer::Wants(Wants::Data) => {
                let Transaction { account, mail, accepted } = self.front.transaction().expect("a message").clone();
                assert_eq!(accepted, self.told, "recipients nobody was told of");
                (account, Script::new(&mail, &accepted, Say::Data, self.now))
            }
        };
        assert!(self.settings.accounts.iter().any(|a| a.name == account.name) && !account.smtp.is_empty());
        self.stage = Stage::Asking(say);
        true
    }

    fn connect(&mut self) {
        self.connections += 1;
        let account = self.account.as_ref().expect("an account");
        let server = &account.smtp[0];
        if let Some(gate) = server.gate() {
            let fresh = self.gate.age(self.now).is_some_and(|age| age < gate.fresh);
            self.login_is_new = !fresh;
            if !fresh {
                self.gate.logged_in(self.now, None, None);
            }
        }
        let login = SmtpLogin::new(server, "[127.0.0.1]".into());
        self.provider = Some(Provider::SigningIn(Play::new(login, self.planted, Security::Tls, false)));
    }

    fn asking(&mut self, mut script: Script) -> bool {
        if self.provider.is_none() {
            self.connect();
        }
        let was_used = matches!(self.provider, Some(Provider::Ready { used: true, done: 0, .. }));
        let next = match self.ask(&script) {
            Ok(None) => {
                self.stage = Stage::Asking(script);
                return false;
            }
            Ok(Some(Heard::Next)) => {
                self.stage = Stage::Asking(script);
                return true;
            }
            Ok(Some(Heard::Accepted(reply))) => Next::Answer(reply),
            Ok(Some(Heard::Refused(refusal))) => {
                let account = self.account.clone().expect("an account");
                if refusal.leaves() {
                    self.drop_provider();
                }
                let gate = account.smtp[0].gate().map(|gate| (&**gate, &mut self.gate));
                let way = Way { gate, login_is_new: self.login_is_new, spent: self.spent, was_used };
                script.refused(refusal, way, self.now)
            }
            Ok(Some(Heard::Nonsense(what))) => {
                self.failed(&mut script, Failure::ProtocolViolation { at: place(), what }, was_used)
            }
            Err(failure) => self.failed(&mut script, failure, was_used),
        };
        match next {
            Next::Answer(reply) => {
                self.spent += script.healing(self.now).map(|(_, spent)| spent).unwrap_or_default();
                self.answered(&script, &reply)
            }
            Next::Fail(failure) => {
                self.drop_provider();
                self.answered(&script, &Reply::from_line(&words::failure(&failure)))
            }
            Next::Reopen => {
                self.drop_provider();
                self.stage = Stage::Asking(script);
                true
            }
            Next::Again(again) => {
                self.drop_provider();
                self.now = self.now.checked_add(again.wait).expect("a time");
                assert!(script.patience(self.now).is_some_and(|left| !left.is_zero()), "tried beyond the patience");
                assert!(script.healing(self.now).is_some_and(|(tries, _)| tries <= 7), "no end of trying");
                self.stage = Stage::Asking(script);
                true
            }
        }
    }

    fn failed(&mut self, script: &mut Script, failure: Failure, was_used: bool) -> Next {
        let account = self.account.clone().expect("an account");
        self.drop_provider();
        let gate = account.smtp[0].gate().map(|gate| (&**gate, &mut self.gate));
        script.failed(failure, Way { gate, login_is_new: self.login_is_new, spent: self.spent, was_used }, self.now)
    }

    /// One step with the provider: a line heard, or the next command said; `None` when it has to be waited for.
    fn ask(&mut self, script: &Script) -> Result<Option<Heard>, Failure> {
        let unread = self.heard().0 > 0;
        match &mut self.provider {
            Some(Provider::Ready { offered, done, asked: asked @ false, .. }) => {
                if unread {
                    self.out_of_turn = true;
                    return Err(Failure::ProtocolViolation { at: place(), what: "it spoke unasked".into() });
                }
                if let Some((size, limit)) = script.too_big(offered) {
                    return Err(Failure::TooBig { at: place(), size, limit });
                }
                let line = script.line(*done, offered).expect("a command");
                assert!(line.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')), "{line:?}");
                self.to_server.extend_from_slice(line.as_bytes());
                self.to_server.extend_from_slice(b"\r\n");
                *asked = true;
            }
            Some(_) => {}
            None => return Ok(None),
        }
        let Some(line) = self.server_line()? else { return Ok(None) };
        match self.provider.as_mut() {
            Some(Provider::SigningIn(play)) => {
                match play.hear(line.bytes()) {
                    Outcome::Open => {}
                    Outcome::Failed(failure) => return Err(failure),
                    Outcome::Ready(offered) => {
                        self.provider = Some(Provider::Ready {
                            offered,
                            done: 0,
                            used: false,
                            asked: false,
                            parser: ReplyParser::default(),
                            sender: None,
                            recipients: Vec::new(),
                        });
                    }
                }
                Ok(Some(Heard::Next))
            }
            Some(Provider::Ready { offered, done, asked, parser, sender, recipients, .. }) => {
                let reply = parser
                    .push(&line)
                    .map_err(|wrong| Failure::ProtocolViolation { at: place(), what: wrong.to_string() })?;
                let Some(reply) = reply else { return Ok(Some(Heard::Next)) };
                let said = script.line(*done, offered).expect("a command");
                let code = reply.code;
                let heard = script.heard(*done, reply);
                *asked = false;
                if matches!(heard, Heard::Next | Heard::Accepted(_)) {
                    *done += 1;
                    if said.starts_with("MAIL ") {
                        assert!(sender.is_none() && (250..260).contains(&code));
                        *sender = Some(said);
                    } else if let Some(path) = said.strip_prefix("RCPT TO:<") {
                        assert!(sender.is_some() && (250..260).contains(&code));
                        recipients.push(path.trim_end_matches('>').to_owned());
                    }
                }
                Ok(Some(heard))
            }
            None => Ok(None),
        }
    }

    /// The client's command has its answer.
    fn answered(&mut self, script: &Script, reply: &Reply) -> bool {
        let offered = Extensions::default();
        let last = (0..).map_while(|n| script.line(n, &offered)).last().expect("a command");
        if last.starts_with("MAIL ") {
            let text = self.front.mail_answered(reply);
            return self.tell(&text);
        }
        if let Some(path) = last.strip_prefix("RCPT TO:<") {
            if reply.is_ok() {
                self.told.push(path.trim_end_matches('>').to_owned());
            }
            let text = self.front.rcpt_answered(reply);
            return self.tell(&text);
        }
        if !self.from_client.is_empty() {
            // A body before it was asked for.
            self.out_of_turn = true;
            return false;
        }
        if reply.code != 354 {
            let text = self.front.message_answered(reply);
            return self.tell(&text);
        }
        let Some(Provider::Ready { sender, recipients, offered, .. }) = &self.provider else {
            panic!("a body for nobody");
        };
        let mail = &self.front.transaction().expect("a message").mail;
        assert_eq!(sender.as_deref(), Some(mail.command(offered).as_str()), "another sender");
        let told: Vec<_> = self.told.iter().map(|path| path.trim_end_matches('>').to_owned()).collect();
        assert_eq!(*recipients, told, "other recipients than the client was told");
        self.to_client += &reply.one_line();
        self.to_client += "\r\n";
        (self.early, self.body) = (0, Vec::new());
        self.stage = Stage::Body(DataFilter::default());
        true
    }

    fn body(&mut self, mut data: DataFilter) -> bool {
        let mut say = Replies::default();
        let (end, breaks) = self.heard();
        if end > 0 {
            match data.server_said(&self.from_server[..end], &mut say) {
                Ok(Pass::Replaced(n) | Pass::Forward(n)) => {
                    self.early += n;
                    self.from_server.drain(..n);
                }
                Ok(Pass::NeedMore | Pass::Stop) => self.early += 1,
                Err(ProtocolViolation::Server(_) | ProtocolViolation::Client(_)) => {
                    self.drop_provider();
                    self.stage = Stage::Swallowing(data.swallow(), Reply::new(451, "4.3.0 broken"));
                    return true;
                }
            }
        }
        if breaks && self.heard().0 == 0 && !data.is_over() {
            self.drop_provider();
            self.stage = Stage::Swallowing(data.swallow(), Reply::new(451, "4.3.0 lost"));
            return true;
        }
        if !data.is_over() && data.wants_client() && !self.from_client.is_empty() {
            let moved = match data.client_said(&self.from_client, &mut say) {
                Ok(Pass::Forward(n)) => {
                    self.body.extend_from_slice(&self.from_client[..n]);
                    n
                }
                Ok(Pass::Replaced(n)) => n,
                other => panic!("{other:?}"),
            };
            assert!(moved > 0);
            self.from_client.drain(..moved);
            self.body.append(&mut say.server);
        }
        if data.is_complete() {
            let ends = self.body.windows(5).filter(|w| *w == b"\r\n.\r\n").count() + usize::from(self.body == b".\r\n");
            assert!(ends == 1 && self.body.ends_with(b".\r\n"), "{}", self.body.escape_ascii());
            self.to_server.extend_from_slice(&self.body);
            self.stage = Stage::Ended(data);
            return true;
        }
        assert!(!self.body.windows(5).any(|w| w == b"\r\n.\r\n") && self.body != b".\r\n", "an end nobody made");
        if data.is_over() {
            let reply = data.early_answer(HOST);
            self.drop_provider();
            self.stage = Stage::Swallowing(data.swallow(), reply);
            return true;
        }
        let moves = !self.from_client.is_empty();
        self.stage = Stage::Body(data);
        moves
    }

    fn swallowing(&mut self, mut data: DataFilter, reply: Reply) -> bool {
        assert!(!reply.is_ok(), "sent, and its end never left");
        while !data.is_complete() && !self.from_client.is_empty() {
            match data.client_said(&self.from_client, &mut Replies::default()) {
                Ok(Pass::Replaced(n) | Pass::Forward(n)) if n > 0 => drop(self.from_client.drain(..n)),
                other => panic!("{other:?}"),
            }
        }
        if !data.is_complete() {
            self.stage = Stage::Swallowing(data, reply);
            return false;
        }
        self.told.clear();
        let text = self.front.message_answered(&reply);
        self.tell(&text)
    }

    fn ended(&mut self, data: DataFilter) -> bool {
        let heard = match self.server_line() {
            Ok(None) => {
                self.stage = Stage::Ended(data);
                return false;
            }
            Ok(Some(line)) => {
                let Some(Provider::Ready { parser, .. }) = &mut self.provider else { panic!("nobody answers") };
                match parser.push(&line) {
                    Ok(None) => {
                        self.stage = Stage::Ended(data);
                        return true;
                    }
                    Ok(Some(reply)) => Ok(reply),
                    Err(wrong) => Err(Failure::ProtocolViolation { at: place(), what: wrong.to_string() }),
                }
            }
            Err(failure) => Err(failure),
        };
        let said_yes = heard.as_ref().is_ok_and(|reply| (250..260).contains(&reply.code));
        let (reply, goes_on) = data.last_answer(HOST, heard);
        assert_eq!(reply.is_ok(), said_yes && self.early == 0, "{reply:?}");
        if reply == outcome_unknown(HOST, "it closed the connection") {
            assert!(!goes_on);
        }
        match &mut self.provider {
            Some(Provider::Ready { done, used, sender, recipients, .. }) if goes_on => {
                (*done, *used, *sender) = (0, true, None);
                recipients.clear();
            }
            _ => self.drop_provider(),
        }
        self.told.clear();
        let text = self.front.message_answered(&reply);
        self.tell(&text)
    }
}
