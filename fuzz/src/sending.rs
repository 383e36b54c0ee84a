//! A whole SMTP session without sockets: the door, the sign-in at the provider, each message's submission, its body, the
//! answer to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ostler_mail::account::{Account, Protocol, Security, Settings};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, PasswordFrom, ServerAddr, Waiting};
use ostler_mail::machine::{Answer, Filter as _, Front as _, Party, Pass, ProtocolViolation, Replies};
use ostler_mail::pop_before_smtp::{Gate, LoginNeed, LoginPolicy};
use ostler_mail::smtp::data::DataFilter;
use ostler_mail::smtp::envelope::{EnvelopeCommand, Refusal, ReplyMeaning};
use ostler_mail::smtp::front::{SmtpFront, Wants};
use ostler_mail::smtp::login::SmtpLogin;
use ostler_mail::smtp::submission::{Attempt, News, Next, Reuse, SessionState, Submission, reuse};
use ostler_mail::smtp::words::{self, outcome_unknown};
use ostler_mail::smtp::{Extensions, Mail, Reply, ReplyParser};
use ostler_mail::wire::{MAX_REPLY_LINE_OCTETS, take_line};

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

fn place() -> ServerAddr {
    let password_from = PasswordFrom::Keyring;
    ServerAddr { host: HOST.into(), port: 465, protocol: Protocol::Smtp, security: Security::Tls, password_from }
}

/// What is done now.
#[allow(clippy::large_enum_variant)]
enum Stage {
    /// The client is heard.
    Hearing,
    /// The provider is asked for this command of the client's.
    Asking(Asked),
    /// A body passes.
    Body(DataFilter),
    /// Nobody takes the rest of it, and the client gets this behind its end.
    Swallowing(DataFilter, Reply),
    /// The end of the body has left.
    Ended(DataFilter),
    Over,
}

/// The client's command.
#[derive(Clone)]
enum Asked {
    Mail,
    Rcpt(String),
    Data,
}

/// One connection to the server.
#[allow(clippy::large_enum_variant)]
enum Provider<'a> {
    SigningIn(Play<'a, SmtpLogin>),
    Ready {
        offered: Extensions,
        /// Commands of the message it has accepted.
        accepted: usize,
        used: bool,
        opened_at: Moment,
        /// The commands that were said and are not answered.
        said: VecDeque<String>,
        /// MAIL was refused, and the answer to the RCPT that left behind it has to be heard.
        refused: Option<Refusal>,
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
    submission: Option<Submission>,
    policy: LoginPolicy,
    opened_at: Moment,
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
            submission: None,
            policy: LoginPolicy::Fresh,
            opened_at: Moment::at(Duration::from_secs(1000)),
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
            Stage::Asking(asked) => self.asking(asked),
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
        match take_line(&mut said, MAX_REPLY_LINE_OCTETS) {
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
        let asked = match self.front.on_line(&line) {
            Answer::Say(reply) => return self.tell(&reply),
            Answer::Refused(failure) => {
                let reply = self.front.refusal(&failure);
                return self.tell(&reply);
            }
            Answer::Wants(Wants::Authenticate(account, _)) => {
                let reply = self.front.on_authentication(account, true);
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
                self.begin_message(&account, mail);
                Asked::Mail
            }
            Answer::Wants(Wants::Rcpt(recipient)) => Asked::Rcpt(recipient),
            Answer::Wants(Wants::Data) => {
                let envelope = self.submission.as_ref().expect("a message").envelope();
                assert_eq!(envelope.recipients(), self.told, "recipients nobody was told of");
                assert_eq!(self.front.transaction().expect("a message").recipients, self.told.len());
                Asked::Data
            }
        };
        let account = self.account.as_ref().expect("an account");
        assert!(self.settings.accounts.iter().any(|a| a.name == account.name) && !account.smtp.is_empty());
        let command = match asked.clone() {
            Asked::Mail => EnvelopeCommand::Mail,
            Asked::Rcpt(recipient) => EnvelopeCommand::Rcpt(recipient),
            Asked::Data => EnvelopeCommand::Data,
        };
        self.submission.as_mut().expect("a message").begin_command(command, self.now);
        self.policy = LoginPolicy::Fresh;
        self.stage = Stage::Asking(asked);
        true
    }

    fn begin_message(&mut self, account: &Arc<Account>, mail: Mail) {
        self.told.clear();
        let is_same_account = self.account.as_ref().is_some_and(|old| old.name == account.name);
        let mut submission = Submission::new(Arc::clone(account), mail, self.now);
        if let Some(Provider::Ready { accepted, opened_at, .. }) = &self.provider {
            let state = SessionState {
                is_same_account,
                accepted: *accepted,
                idle_since: None,
                // The clock moves only between the tries of one command.
                needs_login: false,
                news: News::None,
            };
            match reuse(state, true, Duration::from_secs(60), self.now) {
                Reuse::AsItIs => submission.on_kept_session(0, *opened_at),
                // A new connection is as good as RSET.
                Reuse::AfterReset | Reuse::No => self.drop_provider(),
                Reuse::Broken(what) => panic!("{what}"),
            }
        } else {
            self.drop_provider();
        }
        self.account = Some(Arc::clone(account));
        self.submission = Some(submission);
    }

    fn connect(&mut self) {
        self.connections += 1;
        let (account, submission) = (self.account.as_ref().expect("an account"), self.submission.as_mut());
        let (server, submission) = (&account.smtp[0], submission.expect("a message"));
        submission.on_server(0, self.now);
        if let Some(gate) = server.gate() {
            let needs = self.gate.needs_login(self.now, self.policy, gate.fresh, None) == LoginNeed::LogIn;
            if needs {
                self.gate.on_login(self.now, None, None);
            }
            submission.on_login(needs, self.policy, self.now);
        }
        self.opened_at = self.now;
        let login = SmtpLogin::new(server, "[127.0.0.1]".into());
        self.provider = Some(Provider::SigningIn(Play::new(login, self.planted, Security::Tls, false)));
    }

    fn asking(&mut self, asked: Asked) -> bool {
        if self.provider.is_none() {
            self.connect();
        }
        let was_used = matches!(self.provider, Some(Provider::Ready { used: true, accepted: 0, .. }));
        let mut submission = self.submission.take().expect("a message");
        let next = self.ask(&mut submission);
        let next = match next {
            Ok(None) => {
                (self.stage, self.submission) = (Stage::Asking(asked), Some(submission));
                return false;
            }
            Ok(Some(ReplyMeaning::Next)) => {
                (self.stage, self.submission) = (Stage::Asking(asked), Some(submission));
                return true;
            }
            Ok(Some(ReplyMeaning::Accepted(reply))) => Next::Answer(reply),
            Ok(Some(ReplyMeaning::Refused(refusal))) => {
                if refusal.closes_connection() {
                    self.drop_provider();
                }
                let gate = submission.gate().cloned();
                let attempt = Attempt { gate: gate.as_deref().map(|gate| (gate, &mut self.gate)), was_used };
                submission.on_refusal(refusal, attempt, self.now)
            }
            Ok(Some(ReplyMeaning::NotAnAnswer(what))) => {
                self.failed(&mut submission, Failure::ProtocolViolation { at: place(), what }, was_used)
            }
            Err(failure) => self.failed(&mut submission, failure, was_used),
        };
        let again = match &next {
            Next::Answer(_) | Next::Fail(_) => {
                submission.end_command(self.now);
                None
            }
            Next::Reopen => Some(self.policy),
            Next::Retry(wait, policy) => {
                self.now = self.now.checked_add(*wait).expect("a time");
                assert!(submission.patience(self.now).is_some_and(|left| !left.is_zero()), "tried beyond the patience");
                assert!(submission.retries(self.now).is_some_and(|(tries, _)| tries <= 7), "no end of trying");
                Some(*policy)
            }
        };
        self.submission = Some(submission);
        if let Some(policy) = again {
            self.drop_provider();
            (self.policy, self.stage) = (policy, Stage::Asking(asked));
            return true;
        }
        match next {
            Next::Fail(failure) => {
                self.drop_provider();
                self.answered(&asked, &Reply::from_line(&words::failure(&failure)))
            }
            Next::Answer(reply) => self.answered(&asked, &reply),
            Next::Reopen | Next::Retry(..) => unreachable!(),
        }
    }

    fn failed(&mut self, submission: &mut Submission, failure: Failure, was_used: bool) -> Next {
        self.drop_provider();
        let gate = submission.gate().cloned();
        let attempt = Attempt { gate: gate.as_deref().map(|gate| (gate, &mut self.gate)), was_used };
        submission.on_failure(failure, attempt, self.now)
    }

    /// One step with the provider: a line heard, or the next command said; `None` when it has to be waited for.
    fn ask(&mut self, submission: &mut Submission) -> Result<Option<ReplyMeaning>, Failure> {
        let unread = self.heard().0 > 0;
        match &mut self.provider {
            Some(Provider::Ready { offered, accepted, said, refused: None, .. }) if said.is_empty() => {
                if unread {
                    self.out_of_turn = true;
                    return Err(Failure::ProtocolViolation { at: place(), what: "it spoke unasked".into() });
                }
                if let Some((size, limit)) = submission.too_big(offered) {
                    return Err(Failure::TooBig { at: place(), size, limit });
                }
                if let Some(reply) = submission.defer(*accepted, offered) {
                    return Ok(Some(ReplyMeaning::Accepted(reply)));
                }
                let line = submission.line(*accepted, offered).expect("a command");
                for line in [line].into_iter().chain(submission.lines_behind(*accepted, offered)) {
                    assert!(line.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')), "{line:?}");
                    self.to_server.extend_from_slice(line.as_bytes());
                    self.to_server.extend_from_slice(b"\r\n");
                    said.push_back(line);
                }
            }
            Some(_) => {}
            None => return Ok(None),
        }
        let line = match self.server_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(failure) => return self.refused().map(|refusal| Some(ReplyMeaning::Refused(refusal))).ok_or(failure),
        };
        match self.provider.as_mut() {
            Some(Provider::SigningIn(play)) => {
                match play.hear(line.bytes()) {
                    Outcome::Open => {}
                    Outcome::Failed(failure) => return Err(failure),
                    Outcome::Ready(ready) => {
                        self.provider = Some(Provider::Ready {
                            // `body_in_pieces` is about BDAT.
                            offered: Extensions { chunking: false, ..ready.offered },
                            accepted: 0,
                            used: false,
                            opened_at: self.opened_at,
                            said: VecDeque::new(),
                            refused: None,
                            parser: ReplyParser::default(),
                            sender: None,
                            recipients: Vec::new(),
                        });
                    }
                }
                Ok(Some(ReplyMeaning::Next))
            }
            Some(Provider::Ready { accepted, said, refused, parser, sender, recipients, .. }) => {
                let reply = match parser.push(&line) {
                    Ok(Some(reply)) => reply,
                    Ok(None) => return Ok(Some(ReplyMeaning::Next)),
                    Err(wrong) => {
                        let failure = Failure::ProtocolViolation { at: place(), what: wrong.to_string() };
                        return self.refused().map(|refusal| Some(ReplyMeaning::Refused(refusal))).ok_or(failure);
                    }
                };
                let command = said.pop_front().expect("a command");
                let code = reply.code;
                if let Some(refusal) = refused.take() {
                    // A recipient without a sender: who knows what the server would do next.
                    if code < 400 || code == 421 {
                        self.drop_provider();
                    }
                    return Ok(Some(ReplyMeaning::Refused(refusal)));
                }
                let meaning = submission.on_reply(*accepted, reply, 0);
                match meaning {
                    ReplyMeaning::Refused(refusal) if !said.is_empty() && !refusal.closes_connection() => {
                        *refused = Some(refusal);
                        return Ok(Some(ReplyMeaning::Next));
                    }
                    ReplyMeaning::Next | ReplyMeaning::Accepted(_) => {
                        *accepted += 1;
                        if command.starts_with("MAIL ") {
                            assert!(sender.is_none() && (250..260).contains(&code));
                            *sender = Some(command);
                        } else if let Some(path) = command.strip_prefix("RCPT TO:<") {
                            assert!(sender.is_some() && (250..260).contains(&code));
                            recipients.push(path.trim_end_matches('>').to_owned());
                        }
                    }
                    _ => {}
                }
                Ok(Some(meaning))
            }
            None => Ok(None),
        }
    }

    /// The refusal of MAIL whose other answer never came; the connection is closed.
    fn refused(&mut self) -> Option<Refusal> {
        let Some(Provider::Ready { refused, .. }) = &mut self.provider else { return None };
        let refusal = refused.take()?;
        self.drop_provider();
        Some(refusal)
    }

    /// The client's command has its answer.
    fn answered(&mut self, asked: &Asked, reply: &Reply) -> bool {
        match asked {
            Asked::Mail => {
                let text = self.front.on_mail_reply(reply);
                return self.tell(&text);
            }
            Asked::Rcpt(path) => {
                if reply.is_ok() {
                    self.told.push(path.trim_end_matches('>').to_owned());
                }
                let is_late = self.submission.as_ref().is_some_and(Submission::mail_was_refused);
                let text = if is_late { self.front.on_late_refusal(reply) } else { self.front.on_rcpt_reply(reply) };
                return self.tell(&text);
            }
            Asked::Data => {}
        }
        if !self.from_client.is_empty() {
            // A body before it was asked for.
            self.out_of_turn = true;
            return false;
        }
        if reply.code != 354 {
            let text = self.front.on_message_reply(reply);
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
                Ok(Pass::Announced { .. } | Pass::NeedMore | Pass::Stop) => self.early += 1,
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
        let text = self.front.on_message_reply(&reply);
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
            Some(Provider::Ready { accepted, used, sender, recipients, .. }) if goes_on => {
                (*accepted, *used, *sender) = (0, true, None);
                recipients.clear();
            }
            _ => self.drop_provider(),
        }
        self.told.clear();
        let text = self.front.on_message_reply(&reply);
        self.tell(&text)
    }
}
