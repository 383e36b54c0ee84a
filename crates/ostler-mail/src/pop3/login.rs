//! Signs in at a POP3 server: greeting, STLS, CAPA, then USER and PASS, or AUTH where USER is not offered or is refused for
//! another reason than the password. A server known from before is not asked for CAPA, and gets USER and PASS in one flight
//! if it offers PIPELINING. One that is not known gets CAPA alone: the list decides whether USER is said, and whether the server
//! reads on while it answers.

use std::sync::Arc;

use crate::account::{Security, Server};
use crate::failure::{Failure, Waiting};
use crate::machine::server::{ServerState, told};
use crate::machine::{Login, Outgoing, Step};
use crate::pop3::{Status, parse_status, without_status};
use crate::sasl::{Exchange, Given, Mechanism, Refusal, Way, refusal};
use crate::secret::Secret;
use crate::wire::{Line, MAX_REPLY_LINES};

/// What is known of a server from an earlier sign-in. It saves CAPA, one round trip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedCapabilities {
    /// The server takes USER and PASS.
    pub takes_user: bool,
    /// The server wants this many seconds between two logins (RFC 2449, section 6.5).
    pub login_delay: Option<u32>,
    /// PIPELINING (RFC 2449, section 6.6): the server reads on while it answers.
    pub pipelining: bool,
    /// EXPIRE 0 (RFC 2449, section 6.7): a message that was fetched is deleted when the session ends.
    pub deletes_fetched: bool,
}

/// What is known once the sign-in is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The server's own `+OK`, printable and without the secret.
    pub welcome: Line,
    /// What to remember for the next sign-in.
    pub capabilities: CachedCapabilities,
    /// The SASL mechanisms that the server offers, as it spells them. Empty if it was not asked.
    pub mechanisms: Vec<String>,
    /// How the server was given name and password, for the next sign-in.
    pub way: Option<Way>,
}

/// What the server owes next.
enum State {
    Greeting,
    StlsOk,
    CapaStatus,
    CapaLine,
    UserOk,
    /// Nothing: ostler waits for the secret, to give it in this way.
    Secret(Way),
    /// Nothing: ostler waits for the secret, to say USER and PASS together.
    SecretForBoth,
    /// The answer to USER. PASS has left, too.
    UserOkThenPass,
    PassOk,
    AuthChallenge(Exchange),
}

/// A [`Login`] that ends with the server's `+OK`.
pub struct Pop3Login {
    server: ServerState,
    state: State,
    cached: Option<CachedCapabilities>,
    /// What this sign-in has found out.
    capabilities: CachedCapabilities,
    mechanisms: Vec<String>,
    /// How many lines the answer to CAPA has so far.
    list_lines: usize,
    /// CAPA was answered with a list, so what is not in it is not offered.
    has_list: bool,
    /// The sign-in ends with what the server offers, before any user name is said.
    asks_only: bool,
    /// CAPA was said on this connection.
    has_asked: bool,
    /// The next line answers a PASS that left behind a USER that was refused.
    owes_pass_answer: bool,
}

impl Pop3Login {
    /// A sign-in at `server`. `cached` comes from an earlier sign-in there.
    pub fn new(server: &Server, cached: Option<CachedCapabilities>) -> Self {
        Self {
            server: ServerState::new(server),
            state: State::Greeting,
            cached,
            capabilities: CachedCapabilities::default(),
            mechanisms: Vec::new(),
            list_lines: 0,
            has_list: false,
            asks_only: false,
            has_asked: false,
            owes_pass_answer: false,
        }
    }

    /// Asks a server what it offers, and ends before any user name is said.
    pub fn asking(server: &Server) -> Self {
        Self { asks_only: true, ..Self::new(server, None) }
    }

    fn send(&mut self, next: State, line: &str) -> Step<Ready> {
        self.state = next;
        Step::Send(Outgoing::line(line))
    }

    fn ask_capabilities(&mut self) -> Step<Ready> {
        match self.cached.take() {
            Some(cached)
                if cached.takes_user && !self.server.has_token() && self.server.ways.is_open_to(Way::UserPass) =>
            {
                self.capabilities = cached;
                self.say_user_and_pass()
            }
            // Without USER the mechanisms matter, and those are not remembered.
            _ => self.say_capa(),
        }
    }

    fn say_capa(&mut self) -> Step<Ready> {
        self.has_asked = true;
        self.send(State::CapaStatus, "CAPA")
    }

    fn say_user(&mut self) -> Step<Ready> {
        let line = format!("USER {}", self.server.user());
        self.send(State::UserOk, &line)
    }

    /// Both in one flight, at a server that is known to read on while it answers. Not in clear: a server that wants TLS first
    /// says so at USER, before the password has left.
    fn say_user_and_pass(&mut self) -> Step<Ready> {
        match self.server.secret() {
            _ if !(self.capabilities.pipelining && self.server.is_in_tls) => self.say_user(),
            Some(secret) => self.say_both(&secret),
            None => {
                self.state = State::SecretForBoth;
                Step::WantSecret
            }
        }
    }

    fn say_both(&mut self, secret: &Secret) -> Step<Ready> {
        self.server.note_secret_given();
        self.state = State::UserOkThenPass;
        let user = format!("USER {}", self.server.user());
        let both: [&[u8]; 3] = [user.as_bytes(), b"\r\nPASS ", secret.expose()];
        Step::Send(Outgoing::secret_line(&both, format!("{user}, PASS ***")))
    }

    fn note_capability(&mut self, line: &Line) {
        let text = line.printable();
        let mut words = text.split_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "USER" => self.capabilities.takes_user = true,
            "PIPELINING" => self.capabilities.pipelining = true,
            "EXPIRE" => self.capabilities.deletes_fetched = words.next() == Some("0"),
            "SASL" => self.mechanisms = words.map(str::to_owned).collect(),
            "LOGIN-DELAY" => self.capabilities.login_delay = words.next().and_then(|n| n.parse().ok()),
            // Unknown and damaged words are ignored: mailutils 3.15 lists "EXPIRENEVER".
            _ => {}
        }
    }

    fn after_capabilities(&mut self) -> Result<Step<Ready>, Failure> {
        if self.asks_only {
            // A server without a list is too old to be without USER.
            self.capabilities.takes_user |= !self.has_list;
            return Ok(Step::Done(self.ready(Line::new(b"+OK"), None)));
        }
        self.try_next_way()
    }

    /// Signs in by the next way that both sides have.
    fn try_next_way(&mut self) -> Result<Step<Ready>, Failure> {
        // No list: a server without CAPA takes USER, and one that does not will say so.
        let has_password = !self.server.has_token();
        let takes_user = has_password && (self.capabilities.takes_user || !self.has_list);
        // A server that refuses what its list has may take what every server took once.
        let may_take_user =
            has_password && (!self.server.ways.is_untried() || self.server.ways.is_known(Way::UserPass));
        let both = takes_user
            .then_some(Way::UserPass)
            .into_iter()
            .chain(self.server.mechanisms(&self.mechanisms).into_iter().map(Way::Sasl))
            .chain(may_take_user.then_some(Way::UserPass));
        match (self.server.ways.next(both), self.server.secret()) {
            (Some(Way::UserPass), _) => Ok(self.say_user()),
            (Some(way), None) => {
                self.state = State::Secret(way);
                Ok(Step::WantSecret)
            }
            (Some(way), Some(secret)) => Ok(self.say_auth(way, secret)),
            (None, _) => Err(self.server.no_way_left(&self.mechanisms)),
        }
    }

    /// The server refuses the password, which is the end, or the way of giving it.
    fn refused(&mut self, way: Way, had_name: bool, line: &Line) -> Result<Step<Ready>, Failure> {
        let at = self.server.at.clone();
        let said = without_status(&self.shown(line));
        // Some servers put [AUTH] before whatever they say at the sign-in. To a client it means the password.
        let about_way = || said.strip_prefix("[AUTH]").unwrap_or(&said).trim().to_owned();
        match refusal(line, had_name) {
            Refusal::Auth => return Err(self.server.refused_credentials(said)),
            Refusal::InUse => return Err(Failure::InUse { at, said }),
            Refusal::LoginDelay => return Err(Failure::LoginDelay { at, said }),
            Refusal::Temporary => return Err(Failure::SignInPostponed { at, said }),
            // Not a wrong password, so nothing may make the client throw its own away.
            Refusal::WantsTls => self.server.ways.refuse_passwords(about_way()),
            Refusal::Way => {}
        }
        self.server.refuse(way, false, about_way());
        self.capabilities.takes_user &= way != Way::UserPass;
        if !self.has_asked {
            return Ok(self.say_capa());
        }
        self.try_next_way()
    }

    fn nonsense(&self, line: &Line) -> Failure {
        self.server.at.violation(format!("\"{}\" is not an answer", self.shown(line)))
    }

    fn greeting(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        match parse_status(line.bytes()) {
            // STLS without CAPA before it: a list in clear may be forged, and asking costs a round trip.
            Some(Status::Ok) if self.server.at.security == Security::StartTls => Ok(self.send(State::StlsOk, "STLS")),
            Some(Status::Ok) => Ok(self.ask_capabilities()),
            Some(Status::Err) => {
                Err(Failure::ServiceRefused { at: self.server.at.clone(), said: without_status(&line.printable()) })
            }
            None => Err(Failure::WrongProtocol { at: self.server.at.clone(), said: line.printable() }),
        }
    }

    fn capa_status(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        match parse_status(line.bytes()) {
            Some(Status::Ok) => {
                self.has_list = true;
                self.state = State::CapaLine;
                Ok(Step::Wait)
            }
            // A server older than RFC 2449 has no CAPA. It has USER, as all had.
            Some(Status::Err) => self.after_capabilities(),
            None => Err(self.nonsense(line)),
        }
    }

    fn capa_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        self.list_lines += 1;
        if line.bytes() == b"." {
            self.after_capabilities()
        } else if self.list_lines > MAX_REPLY_LINES {
            Err(self.server.at.violation("its list of capabilities does not end"))
        } else {
            self.note_capability(line);
            Ok(Step::Wait)
        }
    }

    fn ready(&self, welcome: Line, way: Option<Way>) -> Ready {
        let (capabilities, mechanisms) = (self.capabilities.clone(), self.mechanisms.clone());
        Ready { welcome, capabilities, mechanisms, way }
    }

    /// The server refuses the token, or cannot judge it just now.
    fn refused_token(&mut self, exchange: &Exchange, line: &Line) -> Result<Step<Ready>, Failure> {
        let way = Way::Sasl(exchange.mechanism());
        let meaning = refusal(line, true);
        // Told in a challenge, it is certain, whatever the last line says.
        if exchange.token_refusal().is_none() && meaning != Refusal::Auth {
            return self.refused(way, exchange.given() != Given::Nothing, line);
        }
        let said =
            told(&without_status(&self.shown(line)), &self.server.redact(exchange.token_refusal().unwrap_or_default()));
        self.server.want_another_token(said)?;
        self.state = State::Secret(way);
        Ok(Step::WantSecret)
    }

    /// The answer to PASS, or the last one to AUTH.
    fn on_outcome(&mut self, way: Way, had_name: bool, line: &Line) -> Result<Step<Ready>, Failure> {
        match parse_status(line.bytes()) {
            Some(Status::Ok) => Ok(Step::Done(self.ready(Line::new(self.shown(line).as_bytes()), Some(way)))),
            Some(Status::Err) => self.refused(way, had_name, line),
            None => Err(self.nonsense(line)),
        }
    }

    fn say_pass(&mut self, secret: &Secret) -> Step<Ready> {
        // The server has just said +OK to USER, whatever CAPA said.
        self.capabilities.takes_user = true;
        self.server.note_secret_given();
        self.state = State::PassOk;
        Step::Send(Outgoing::secret_line(&[b"PASS ", secret.expose()], "PASS ***"))
    }

    /// In two lines: servers older than RFC 5034 take no initial response (RFC 1734).
    fn say_auth(&mut self, way: Way, secret: Arc<Secret>) -> Step<Ready> {
        let mechanism = way.mechanism().unwrap_or(Mechanism::Plain);
        self.state = State::AuthChallenge(self.server.begin(mechanism, secret));
        Step::Send(Outgoing::line(&format!("AUTH {}", mechanism.name())))
    }

    fn user_ok(&mut self) -> Step<Ready> {
        match self.server.secret() {
            Some(secret) => self.say_pass(&secret),
            None => {
                self.state = State::Secret(Way::UserPass);
                Step::WantSecret
            }
        }
    }

    fn challenge(&mut self, mut exchange: Exchange, line: &Line) -> Result<Step<Ready>, Failure> {
        // A challenge is `+ base64`; some servers leave out the blank. `+OK` is none.
        let Some(challenge) = line.bytes().strip_prefix(b"+").filter(|_| parse_status(line.bytes()).is_none()) else {
            let is_refused = parse_status(line.bytes()) == Some(Status::Err);
            if is_refused && self.server.has_token() && exchange.given() != Given::Nothing {
                return self.refused_token(&exchange, line);
            }
            return self.on_outcome(Way::Sasl(exchange.mechanism()), exchange.given() != Given::Nothing, line);
        };
        let answer = self.server.respond(&mut exchange, challenge)?;
        self.state = State::AuthChallenge(exchange);
        Ok(Step::Send(answer))
    }
}

impl Login for Pop3Login {
    type Ready = Ready;

    fn server(&self) -> &ServerState {
        &self.server
    }

    fn server_mut(&mut self) -> &mut ServerState {
        &mut self.server
    }

    fn waiting(&self) -> Waiting {
        match self.state {
            State::Greeting => Waiting::Greeting,
            State::StlsOk => Waiting::StartTls,
            State::CapaStatus | State::CapaLine => Waiting::Capabilities,
            State::UserOk
            | State::Secret(_)
            | State::SecretForBoth
            | State::UserOkThenPass
            | State::PassOk
            | State::AuthChallenge(..) => Waiting::SignIn,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        if std::mem::take(&mut self.owes_pass_answer) {
            return match parse_status(line.bytes()) {
                Some(Status::Err) => Ok(Step::Wait),
                Some(Status::Ok) | None => Err(self.nonsense(line)),
            };
        }
        match std::mem::replace(&mut self.state, State::PassOk) {
            State::Greeting => {
                self.state = State::Greeting;
                self.greeting(line)
            }
            State::StlsOk => match parse_status(line.bytes()) {
                Some(Status::Ok) => Ok(Step::StartTls),
                Some(Status::Err) => Err(Failure::NoStartTls { at: self.server.at.clone() }),
                None => Err(self.nonsense(line)),
            },
            State::CapaStatus => self.capa_status(line),
            State::CapaLine => {
                self.state = State::CapaLine;
                self.capa_line(line)
            }
            // Some servers refuse an unknown name here, others only after PASS.
            State::UserOk => match parse_status(line.bytes()) {
                Some(Status::Ok) => Ok(self.user_ok()),
                Some(Status::Err) => self.refused(Way::UserPass, true, line),
                None => Err(self.nonsense(line)),
            },
            state @ (State::Secret(_) | State::SecretForBoth) => {
                self.state = state;
                Err(self.server.at.violation("it spoke unasked"))
            }
            State::UserOkThenPass => match parse_status(line.bytes()) {
                // The state is `PassOk` now.
                Some(Status::Ok) => Ok(Step::Wait),
                Some(Status::Err) => {
                    self.owes_pass_answer = true;
                    self.refused(Way::UserPass, true, line)
                }
                None => Err(self.nonsense(line)),
            },
            State::PassOk => self.on_outcome(Way::UserPass, true, line),
            State::AuthChallenge(exchange) => self.challenge(exchange, line),
        }
    }

    fn after_tls(&mut self) -> Step<Ready> {
        self.ask_capabilities()
    }

    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Ready> {
        match self.state {
            State::Secret(way @ Way::Sasl(_)) => self.say_auth(way, secret),
            State::SecretForBoth => self.say_both(&secret),
            _ => self.say_pass(&secret),
        }
    }

    fn restart(&mut self) {
        self.state = State::Greeting;
        self.mechanisms.clear();
        (self.list_lines, self.has_list, self.has_asked, self.owes_pass_answer) = (0, false, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Protocol;
    use crate::account::testing::server;

    /// Plays a server's lines up to the end of the sign-in.
    fn play(lines: &[&str]) -> Result<Ready, Failure> {
        let mut login = Pop3Login::new(&server(Protocol::Pop3, "ann"), None);
        for line in lines {
            match login.on_line(&Line::new(line.as_bytes()))? {
                Step::WantSecret => drop(login.on_secret(Arc::new(Secret::new("hunter2 ".to_owned()).unwrap()))),
                Step::Done(ready) => return Ok(ready),
                Step::Send(_) | Step::Wait | Step::StartTls => {}
            }
        }
        panic!("no end of it");
    }

    #[test]
    fn a_secret_that_the_server_echoes_is_starred_wherever_it_goes() {
        let begin = ["+OK", "-ERR what", "+OK"];
        for (last, shown) in [
            ("-ERR no hunter2 ", "refused the sign-in of ann: no ***"),
            ("-ERR [LOGIN-DELAY] hunter2", "[LOGIN-DELAY] ***"),
            ("you said hunter2", "\"you said ***\" is not an answer"),
        ] {
            let failure = play(&[&begin[..], &[last]].concat()).unwrap_err();
            assert!(failure.sentence().ends_with(shown), "{failure}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
        let ready = play(&[&begin[..], &["+OK hunter2 has 1 message"]].concat()).unwrap();
        assert_eq!(ready.welcome, Line::new(b"+OK ***has 1 message"));
    }

    #[test]
    fn one_that_only_asks_says_no_name() {
        let asked = |security, lines: &[&str]| {
            let mut server = server(Protocol::Pop3, "ann");
            server.security = security;
            let mut login = Pop3Login::asking(&server);
            let mut sent = String::new();
            for line in lines {
                let mut step = login.on_line(&Line::new(line.as_bytes())).unwrap();
                if matches!(step, Step::StartTls) {
                    step = login.on_tls();
                }
                match step {
                    Step::Send(outgoing) => sent += &outgoing.shown(),
                    Step::Done(ready) => return (sent, ready.capabilities.takes_user, ready.mechanisms.join(" ")),
                    Step::Wait | Step::WantSecret | Step::StartTls => {}
                }
            }
            panic!("no end of it");
        };
        let list = ["+OK hello", "+OK", "SASL PLAIN XOAUTH2", "USER", "."];
        assert_eq!(asked(Security::Tls, &list), ("CAPA".into(), true, "PLAIN XOAUTH2".into()));
        let stls = ["+OK hello", "+OK", "+OK", "SASL PLAIN", "."];
        assert_eq!(asked(Security::StartTls, &stls), ("STLSCAPA".into(), false, "PLAIN".into()));
        // Older than CAPA: it has USER, as every server had.
        assert_eq!(asked(Security::Tls, &["+OK", "-ERR what"]), ("CAPA".into(), true, String::new()));
    }

    /// Plays a server's lines; what was sent, a line each, and the end if it came to one.
    fn dialogue(mut login: Pop3Login, lines: &[&str]) -> (Vec<String>, Option<Result<Ready, Failure>>) {
        let mut sent = Vec::new();
        for line in lines {
            let step = match login.on_line(&Line::new(line.as_bytes())) {
                Ok(Step::WantSecret) => login.on_secret(Arc::new(Secret::new("hunter2".to_owned()).unwrap())),
                Ok(Step::StartTls) => login.on_tls(),
                Ok(step) => step,
                Err(failure) => return (sent, Some(Err(failure))),
            };
            match step {
                Step::Send(outgoing) => sent.push(String::from_utf8_lossy(outgoing.bytes()).trim_end().to_owned()),
                Step::Done(ready) => return (sent, Some(Ok(ready))),
                Step::Wait | Step::WantSecret | Step::StartTls => {}
            }
        }
        (sent, None)
    }

    fn login(security: Security, known: Option<CachedCapabilities>) -> Pop3Login {
        Pop3Login::new(&Server { security, ..server(Protocol::Pop3, "ann") }, known)
    }

    #[test]
    fn it_signs_in_with_user_and_pass_and_remembers_that_it_may() {
        let lines = ["+OK hi", "+OK", "LOGIN-DELAY 90 USER", "user", "EXPIRENEVER", ".", "+OK", "+OK 2 messages"];
        let (sent, end) = dialogue(login(Security::Tls, None), &lines);
        assert_eq!(sent, ["CAPA", "USER ann", "PASS hunter2"]);
        let ready = end.unwrap().unwrap();
        assert_eq!(
            ready.capabilities,
            CachedCapabilities { takes_user: true, login_delay: Some(90), pipelining: false, deletes_fetched: false }
        );
        assert_eq!(ready.welcome, Line::new(b"+OK 2 messages"));
        // The next time nothing is asked.
        let (sent, end) = dialogue(login(Security::Tls, Some(ready.capabilities.clone())), &["+OK hi", "+OK", "+OK"]);
        assert_eq!(sent, ["USER ann", "PASS hunter2"]);
        assert_eq!(end.unwrap().unwrap().capabilities, ready.capabilities);
        let unsure =
            CachedCapabilities { takes_user: false, login_delay: None, pipelining: false, deletes_fetched: false };
        assert_eq!(dialogue(login(Security::Tls, Some(unsure)), &["+OK hi"]).0, ["CAPA"]);
    }

    #[test]
    fn a_server_without_user_gets_auth_plain_or_nothing() {
        let lines = ["+OK hi", "+OK", "SASL LOGIN plain", ".", "+", "+OK in"];
        let (sent, end) = dialogue(login(Security::Tls, None), &lines);
        assert_eq!(sent, ["CAPA", "AUTH PLAIN", "AGFubgBodW50ZXIy"]);
        assert_eq!(end.unwrap().unwrap().capabilities, CachedCapabilities::default());
        let (sent, end) = dialogue(login(Security::Tls, None), &["+OK hi", "+OK", "SASL XOAUTH2 NTLM", "."]);
        assert_eq!(sent, ["CAPA"]);
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered == "XOAUTH2 NTLM"));
        // A list with nothing of either kind, and none at all: older than both words.
        let (sent, _) = dialogue(login(Security::Tls, None), &["+OK hi", "-ERR what"]);
        assert_eq!(sent, ["CAPA", "USER ann"]);
        let (sent, end) = dialogue(login(Security::Tls, None), &["+OK hi", "+OK", "."]);
        assert_eq!(sent, ["CAPA"]);
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered.is_empty()));
    }

    #[test]
    fn with_stls_nothing_else_is_said_before_it() {
        let lines = ["+OK hi", "+OK begin", "+OK", "USER", ".", "+OK", "+OK"];
        let (sent, end) = dialogue(login(Security::StartTls, None), &lines);
        assert_eq!(sent, ["STLS", "CAPA", "USER ann", "PASS hunter2"]);
        assert!(end.unwrap().is_ok());
        let (_, end) = dialogue(login(Security::StartTls, None), &["+OK hi", "-ERR no"]);
        assert!(matches!(end, Some(Err(Failure::NoStartTls { .. }))));
        let (_, end) = dialogue(login(Security::StartTls, None), &["+OK hi", "220 go"]);
        assert!(matches!(end, Some(Err(Failure::ProtocolViolation { .. }))));
        assert_eq!(dialogue(login(Security::None, None), &["+OK hi"]).0, ["CAPA"]);
    }

    #[test]
    fn a_list_of_abilities_has_an_end() {
        let list = |lines: usize| [vec!["+OK hi", "+OK"], vec!["USER"; lines], vec!["."]].concat();
        assert_eq!(dialogue(login(Security::Tls, None), &list(MAX_REPLY_LINES)).0, ["CAPA", "USER ann"]);
        let (_, end) = dialogue(login(Security::Tls, None), &list(MAX_REPLY_LINES + 1));
        assert!(matches!(end, Some(Err(Failure::ProtocolViolation { .. }))));
    }

    #[test]
    fn what_is_no_answer_is_told_from_a_refusal_and_from_another_protocol() {
        let end = |lines: &[&str]| dialogue(login(Security::Tls, None), lines).1.unwrap().unwrap_err();
        assert!(matches!(end(&["220 mx"]), Failure::WrongProtocol { said, .. } if said == "220 mx"));
        assert!(matches!(end(&["-ERR  too busy "]), Failure::ServiceRefused { said, .. } if said == "too busy"));
        assert!(matches!(end(&["+OK hi", "what"]), Failure::ProtocolViolation { .. }));
        assert!(matches!(end(&["+OK hi", "-ERR", "what"]), Failure::ProtocolViolation { .. }));
        assert!(
            matches!(end(&["+OK hi", "-ERR", "-ERR no ann"]), Failure::SignInRefused { user, .. } if user == "ann")
        );
        for (said, meant) in [("in use", 0), ("too often", 1), ("try later", 2), ("use TLS", 3), ("no", 4)] {
            let failure = end(&["+OK hi", "-ERR", "+OK", &format!("-ERR {said}")]);
            let is = match failure {
                Failure::InUse { .. } => 0,
                Failure::LoginDelay { .. } => 1,
                Failure::SignInPostponed { .. } => 2,
                Failure::SignInDisabled { .. } => 3,
                Failure::SignInRefused { .. } => 4,
                other => panic!("{other:?}"),
            };
            assert_eq!(is, meant, "{said}");
        }
    }

    #[test]
    fn what_the_server_says_later_is_starred_too() {
        let mut login = login(Security::Tls, None);
        assert!(login.redaction().is_none());
        for line in ["+OK", "-ERR", "+OK"] {
            let _ = login.on_line(&Line::new(line.as_bytes())).unwrap();
        }
        assert!(matches!(login.on_line(&Line::new(b"+OK")), Err(Failure::ProtocolViolation { .. })), "unasked");
        let _ = login.on_secret(Arc::new(Secret::new("hunter2".to_owned()).unwrap()));
        assert_eq!(login.redaction().unwrap().redact_line(&Line::new(b"+OK hunter2")), Some(Line::new(b"+OK ***")));
        assert_eq!(login.shown(&Line::new(b"+OK hunter2")), "+OK ***");
    }

    fn refused_by_form() -> [&'static str; 5] {
        [
            "-ERR Unsupported authentication mechanism.",
            "-ERR [AUTH] authentication failed: Invalid authentication mechanism",
            "-ERR unknown command",
            "-ERR Command not implemented",
            "-ERR authentication method not supported",
        ]
    }

    #[test]
    fn a_way_that_is_refused_for_its_form_is_followed_by_the_next_until_one_works() {
        for no in refused_by_form() {
            let lines = ["+OK hi", "+OK", "SASL PLAIN LOGIN", ".", no, "+ ", "+ ", "+OK in"];
            let (sent, end) = dialogue(login(Security::Tls, None), &lines);
            assert_eq!(sent, ["CAPA", "AUTH PLAIN", "AUTH LOGIN", "YW5u", "aHVudGVyMg=="], "{no}");
            assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::Login)));
            // The last way is the one that every server had once.
            let lines = ["+OK hi", "+OK", "SASL PLAIN", ".", "+ ", no, "+OK", "+OK in"];
            let (sent, end) = dialogue(login(Security::Tls, None), &lines);
            assert_eq!(sent, ["CAPA", "AUTH PLAIN", "AGFubgBodW50ZXIy", "USER ann", "PASS hunter2"], "{no}");
            assert_eq!(end.unwrap().unwrap().way, Some(Way::UserPass));
            let lines = ["+OK hi", "+OK", "USER", "SASL CRAM-MD5", ".", no, "+ PDEuMkBteD4=", "+OK in"];
            let (sent, end) = dialogue(login(Security::Tls, None), &lines);
            assert_eq!(sent[..3], ["CAPA", "USER ann", "AUTH CRAM-MD5"], "{no}");
            assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::CramMd5)));
            let lines = ["+OK hi", "+OK", "USER", "SASL LOGIN", ".", "+OK", no, "+ ", "+ ", "+OK in"];
            assert_eq!(
                dialogue(login(Security::Tls, None), &lines).0[..4],
                ["CAPA", "USER ann", "PASS hunter2", "AUTH LOGIN"]
            );
        }
    }

    #[test]
    fn where_nothing_was_asked_the_list_is_asked_for_when_user_is_refused() {
        let known =
            CachedCapabilities { takes_user: true, login_delay: None, pipelining: false, deletes_fetched: false };
        let lines = ["+OK hi", "-ERR unknown command", "+OK", "SASL PLAIN", ".", "+ ", "+OK in"];
        let (sent, end) = dialogue(login(Security::Tls, Some(known.clone())), &lines);
        assert_eq!(sent, ["USER ann", "CAPA", "AUTH PLAIN", "AGFubgBodW50ZXIy"]);
        let ready = end.unwrap().unwrap();
        assert!(!ready.capabilities.takes_user);
        let again = login(Security::Tls, Some(known)).beginning_with(ready.way);
        let (sent, _) = dialogue(again, &["+OK hi", "+OK", "USER", "SASL PLAIN", "."]);
        assert_eq!(sent, ["CAPA", "AUTH PLAIN"]);
    }

    #[test]
    fn the_end_of_the_ways_is_told_as_that_and_a_refused_password_ends_them() {
        for no in refused_by_form() {
            let lines = ["+OK hi", "+OK", "SASL PLAIN LOGIN", ".", no, no, no];
            let (sent, end) = dialogue(login(Security::Tls, None), &lines);
            assert_eq!(sent, ["CAPA", "AUTH PLAIN", "AUTH LOGIN", "USER ann"]);
            let Some(Err(Failure::MechanismRefused { tried, .. })) = end else { panic!("{no}") };
            assert_eq!(tried, "PLAIN, LOGIN, USER");
        }
        let lines = ["+OK hi", "+OK", "USER", "SASL PLAIN LOGIN", ".", "+OK", "-ERR [AUTH] no"];
        let (sent, end) = dialogue(login(Security::Tls, None), &lines);
        assert_eq!(sent, ["CAPA", "USER ann", "PASS hunter2"]);
        assert!(matches!(end, Some(Err(Failure::SignInRefused { .. }))));
    }

    #[test]
    fn a_server_that_wants_tls_gets_no_password_in_another_way() {
        let no = "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
        let lines = ["+OK hi", "+OK", "USER", "SASL PLAIN", ".", no];
        let (sent, end) = dialogue(login(Security::None, None), &lines);
        assert_eq!(sent, ["CAPA", "USER ann"]);
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { .. }))));
        let lines = ["+OK hi", "+OK", "USER", "SASL PLAIN CRAM-MD5", ".", no];
        assert_eq!(dialogue(login(Security::None, None), &lines).0, ["CAPA", "USER ann", "AUTH CRAM-MD5"]);
    }

    #[test]
    fn a_password_refused_in_clear_goes_out_in_no_other_way_whatever_the_words() {
        for no in ["-ERR Plaintext authentication disallowed", "-ERR cleartext passwords not allowed"] {
            let lines = ["+OK hi", "+OK", "USER", "SASL LOGIN PLAIN", ".", "+OK", no];
            let (sent, end) = dialogue(login(Security::None, None), &lines);
            assert_eq!(sent, ["CAPA", "USER ann", "PASS hunter2"], "{no}");
            let Some(Err(Failure::SignInDisabled { offered, .. })) = end else { panic!("{no}") };
            assert_eq!(offered, format!("sign-in over TLS ({})", &no[5..]));
        }
    }

    #[test]
    fn with_remembered_capabilities_too_a_server_that_wants_tls_is_said_to_want_it() {
        let known =
            CachedCapabilities { takes_user: true, login_delay: None, pipelining: false, deletes_fetched: false };
        let no = "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
        for list in [&["+OK", "USER", "SASL PLAIN", "."][..], &["-ERR what"]] {
            let lines = [&["+OK hi", no][..], list].concat();
            let (sent, end) = dialogue(login(Security::None, Some(known.clone())), &lines);
            assert_eq!(sent, ["USER ann", "CAPA"]);
            assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered.contains("over TLS")));
        }
        // What is refused after that does not hide it.
        let lines = ["+OK hi", no, "+OK", "SASL CRAM-MD5", ".", "-ERR unknown command"];
        let (sent, end) = dialogue(login(Security::None, Some(known)), &lines);
        assert_eq!(sent, ["USER ann", "CAPA", "AUTH CRAM-MD5"]);
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered.contains("Plaintext")));
    }

    #[test]
    fn a_server_that_hangs_up_over_a_way_is_reached_again_with_the_next() {
        let lost = Failure::Lost { at: (&server(Protocol::Pop3, "ann")).into(), waiting: Waiting::SignIn };
        let hangs_up = |lines: &[&str]| {
            let mut login = login(Security::Tls, None);
            for line in lines {
                if let Step::WantSecret = login.on_line(&Line::new(line.as_bytes())).unwrap() {
                    let _ = login.on_secret(Arc::new(Secret::new("hunter2".to_owned()).unwrap()));
                }
            }
            login.begin_again(&lost).then_some(login)
        };
        let begin = ["+OK hi", "+OK", "SASL PLAIN", "."];
        assert!(hangs_up(&begin).is_none(), "nothing was refused");
        let refused = [&begin[..], &["-ERR unknown command"]].concat();
        let (sent, end) = dialogue(hangs_up(&refused).unwrap(), &["+OK hi", "+OK", "SASL PLAIN", ".", "+OK", "+OK in"]);
        assert_eq!(sent, ["CAPA", "USER ann", "PASS hunter2"]);
        assert!(end.unwrap().is_ok());
        assert!(hangs_up(&[&refused[..], &["+OK"]].concat()).is_none(), "it has heard the password");
    }

    fn known_to_pipeline(security: Security) -> Pop3Login {
        let mut server = server(Protocol::Pop3, "ann");
        server.security = security;
        let known =
            CachedCapabilities { takes_user: true, login_delay: Some(60), pipelining: true, deletes_fetched: false };
        Pop3Login::new(&server, Some(known))
    }

    #[test]
    fn a_server_known_to_pipeline_gets_user_and_pass_in_one_flight() {
        let (sent, end) = dialogue(known_to_pipeline(Security::Tls), &["+OK ready", "+OK", "+OK in"]);
        assert_eq!(sent, ["USER ann\r\nPASS hunter2"]);
        let ready = end.unwrap().unwrap();
        assert_eq!((ready.welcome, ready.way), (Line::new(b"+OK in"), Some(Way::UserPass)));
        assert!(ready.capabilities.pipelining && ready.capabilities.login_delay == Some(60), "remembered on");
        // In clear, a server that wants TLS first says so at USER.
        let (sent, _) = dialogue(known_to_pipeline(Security::None), &["+OK ready", "-ERR SSL/TLS required"]);
        assert_eq!(sent[0], "USER ann");
        assert!(sent.iter().all(|line| !line.contains("hunter2")), "{sent:?}");
    }

    #[test]
    fn a_user_name_refused_with_pass_behind_it_is_refused_once() {
        let begin = ["+OK ready", "-ERR [AUTH] no such user"];
        let (sent, end) = dialogue(known_to_pipeline(Security::Tls), &begin);
        assert_eq!(sent.len(), 1);
        assert!(matches!(end, Some(Err(Failure::SignInRefused { .. }))), "the answer to PASS is not waited for");
    }

    #[test]
    fn where_user_is_refused_as_a_way_the_answer_to_pass_is_no_answer_to_what_follows() {
        let lines =
            ["+OK ready", "-ERR unknown command", "-ERR unknown command", "+OK", "SASL PLAIN", ".", "+ ", "+OK in"];
        let (sent, end) = dialogue(known_to_pipeline(Security::Tls), &lines);
        assert_eq!(sent[1..3], ["CAPA", "AUTH PLAIN"]);
        let ready = end.unwrap().unwrap();
        assert_eq!(ready.way, Some(Way::Sasl(Mechanism::Plain)));
        assert!(!ready.capabilities.takes_user);
        let (_, end) = dialogue(known_to_pipeline(Security::Tls), &["+OK", "-ERR unknown command", "+OK in"]);
        assert!(matches!(end, Some(Err(Failure::ProtocolViolation { .. }))), "PASS accepted without a USER");
    }
}
