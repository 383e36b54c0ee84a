//! Signs in at an SMTP server: greeting, EHLO, STARTTLS, EHLO again, AUTH with the best mechanism that both sides have; with
//! the next one, if the server refuses that mechanism and not the password.

use std::net::IpAddr;
use std::sync::Arc;

use crate::account::{Security, Server};
use crate::failure::{Failure, Waiting};
use crate::machine::server::{ServerState, told};
use crate::machine::{Login, Outgoing, Step};
use crate::sasl::{Exchange, Given, Mechanism, RefusalOf, Way, refusal_of};
use crate::secret::Secret;
use crate::smtp::{Extensions, Reply, ReplyParser};
use crate::wire::Line;

/// The longest AUTH command with an initial response in it. A longer response waits for the server's 334 (RFC 4954, section
/// 4).
const MAX_AUTH_COMMAND_OCTETS: usize = 510;

/// The argument of EHLO for a client with this address. A client without a host name gives an address literal (RFC 5321,
/// 4.1.4), which also tells least about the user.
pub fn ehlo_name(local: Option<IpAddr>) -> String {
    match local {
        Some(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Some(IpAddr::V4(address)) => format!("[{address}]"),
        None => "[127.0.0.1]".into(),
    }
}

/// What is known once the sign-in is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    /// What the server offers.
    pub offered: Extensions,
    /// How the server was given name and password, for the next sign-in; `None` if it wanted neither.
    pub way: Option<Way>,
}

/// What the server owes next.
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// Nothing: ostler waits for the secret.
    Secret(Way),
    /// The answer to AUTH or to a response.
    Auth(Attempt),
}

/// One way of signing in, under way.
struct Attempt {
    way: Way,
    exchange: Exchange,
    /// The command had the answer in it.
    at_once: bool,
}

/// A [`Login`] that ends with what the server offers.
pub struct SmtpLogin {
    server: ServerState,
    /// The argument of EHLO.
    name: String,
    state: State,
    parser: ReplyParser,
    offered: Extensions,
}

impl SmtpLogin {
    /// A sign-in at `server`. `name` is the argument of EHLO: a host name or an address literal.
    pub fn new(server: &Server, name: String) -> Self {
        Self {
            server: ServerState::new(server),
            name,
            state: State::Greeting,
            parser: ReplyParser::default(),
            offered: Extensions::default(),
        }
    }

    fn send(&mut self, next: State, line: &str) -> Step<Ready> {
        self.state = next;
        Step::Send(Outgoing::line(line))
    }

    fn ehlo(&mut self) -> Step<Ready> {
        let line = format!("EHLO {}", self.name);
        self.send(State::Ehlo, &line)
    }

    /// A reply for people, on one line. The secret is taken out of the lines before they are trimmed, joined and cut, and
    /// again where joining has made it whole.
    fn shown_reply(&self, reply: &Reply) -> String {
        let lines = reply.lines.iter().map(|line| self.server.redact(line)).collect();
        let text = Reply { code: reply.code, lines }.text();
        Reply::new(reply.code, &self.server.redact(&text)).one_line()
    }

    fn service_refused(&self, reply: &Reply) -> Failure {
        Failure::ServiceRefused { at: self.server.at.clone(), said: self.shown_reply(reply) }
    }

    fn unasked(&self) -> Failure {
        self.server.at.violation("it spoke unasked")
    }

    fn ready(&self, way: Option<Way>) -> Step<Ready> {
        Step::Done(Ready { offered: self.offered.clone(), way })
    }

    /// The server has said what it offers: STARTTLS, AUTH, or nothing more.
    fn after_ehlo(&mut self) -> Result<Step<Ready>, Failure> {
        if self.server.at.security == Security::StartTls && !self.server.is_in_tls {
            return if self.offered.starttls {
                Ok(self.send(State::StartTls, "STARTTLS"))
            } else {
                Err(Failure::NoStartTls { at: self.server.at.clone() })
            };
        }
        // Where POP-before-SMTP is wanted, ostler has signed in by POP3 already.
        if !self.server.wants_sign_in() {
            return Ok(self.ready(None));
        }
        self.try_next_way()
    }

    /// Signs in by the next way that both sides have.
    fn try_next_way(&mut self) -> Result<Step<Ready>, Failure> {
        let mechanisms = self.server.mechanisms(&self.offered.auth);
        // PLAIN on two lines is left only where the server may have disliked it on one.
        let both = mechanisms.into_iter().flat_map(|mechanism| {
            let on_two_lines = (mechanism == Mechanism::Plain).then_some(Way::PlainOnTwoLines);
            [Some(Way::Sasl(mechanism)), on_two_lines].into_iter().flatten()
        });
        let Some(way) = self.server.ways.next(both) else {
            return Err(self.server.no_way_left(&self.offered.auth));
        };
        let Some(secret) = self.server.secret() else {
            self.state = State::Secret(way);
            return Ok(Step::WantSecret);
        };
        Ok(self.begin(way, secret))
    }

    fn begin(&mut self, way: Way, secret: Arc<Secret>) -> Step<Ready> {
        let mechanism = way.mechanism().unwrap_or(Mechanism::Plain);
        let command = format!("AUTH {}", mechanism.name());
        let mut exchange = self.server.begin(mechanism, secret);
        // A server that has just refused a way may be hanging up. What it is given then, it may or may not judge, so it is
        // given nothing before it has asked.
        let may_be_at_once = way == Way::Sasl(mechanism) && !self.server.was_refused;
        let max_octets = MAX_AUTH_COMMAND_OCTETS - command.len() - 1;
        let answer = may_be_at_once.then(|| exchange.initial_response(max_octets)).flatten();
        self.state = State::Auth(Attempt { way, exchange, at_once: answer.is_some() });
        let Some(answer) = answer else { return Step::Send(Outgoing::line(&command)) };
        self.server.note_secret_given();
        Step::Send(Outgoing::secret_line(&[command.as_bytes(), b" ", answer.as_bytes()], "AUTH PLAIN ***"))
    }

    fn challenge(&mut self, reply: &Reply, mut attempt: Attempt) -> Result<Step<Ready>, Failure> {
        let answer = self.server.respond(&mut attempt.exchange, reply.lines[0].as_bytes())?;
        self.state = State::Auth(attempt);
        Ok(Step::Send(answer))
    }

    fn auth_reply(&mut self, reply: &Reply, attempt: Attempt) -> Result<Step<Ready>, Failure> {
        // RFC 5321, 3.8: after 421 the server closes.
        if reply.code == 421 {
            self.server.note_closing();
        }
        let at = self.server.at.clone();
        match reply.code {
            235 => Ok(self.ready(Some(attempt.way))),
            334 => self.challenge(reply, attempt),
            // 454 and other 4xx mean "not now" (RFC 4954, section 6). Only 432 wants another password.
            400..=499 if reply.code != 432 => Err(Failure::SignInPostponed { at, said: self.shown_reply(reply) }),
            500..=599 if self.server.has_token() && attempt.exchange.given() != Given::Nothing => {
                self.refused_token(reply, &attempt)
            }
            500..=599 => self.refused(reply, &attempt),
            432 => Err(self.server.refused_credentials(self.shown_reply(reply))),
            _ => Err(at.violation(format!("\"{}\" is not an answer to AUTH", self.shown_reply(reply)))),
        }
    }

    /// The server refuses the password, which is the end, or the way of giving it.
    fn refused(&mut self, reply: &Reply, attempt: &Attempt) -> Result<Step<Ready>, Failure> {
        let had_name = attempt.exchange.given() != Given::Nothing;
        let what = refusal_of(Some(reply.code), &reply.text(), had_name);
        let said = self.shown_reply(reply);
        match what {
            RefusalOf::Credentials => return Err(self.server.refused_credentials(said)),
            RefusalOf::InClear => self.server.ways.refuse_passwords(said.clone()),
            RefusalOf::Way | RefusalOf::CommandForm => {}
        }
        let may_go_on_two_lines = attempt.at_once && what == RefusalOf::CommandForm;
        self.server.refuse(attempt.way, may_go_on_two_lines, said);
        self.try_next_way()
    }

    /// The server refuses the token, or cannot judge it just now: Postfix says 535 to both.
    fn refused_token(&mut self, reply: &Reply, attempt: &Attempt) -> Result<Step<Ready>, Failure> {
        let said = self.shown_reply(reply);
        let reason = attempt.exchange.token_refusal().map(|reason| self.server.redact(reason));
        if reason.is_none() && said.to_ascii_lowercase().contains("temporar") {
            return Err(Failure::SignInPostponed { at: self.server.at.clone(), said });
        }
        if reason.is_none() && refusal_of(Some(reply.code), &reply.text(), true) != RefusalOf::Credentials {
            return self.refused(reply, attempt);
        }
        self.server.want_another_token(told(&said, &reason.unwrap_or_default()))?;
        self.state = State::Secret(attempt.way);
        Ok(Step::WantSecret)
    }

    fn on_reply(&mut self, reply: &Reply) -> Result<Step<Ready>, Failure> {
        match std::mem::replace(&mut self.state, State::Ehlo) {
            State::Greeting if reply.code == 220 => Ok(self.ehlo()),
            State::Greeting => Err(self.service_refused(reply)),
            State::Helo if reply.is_ok() => self.after_ehlo(),
            State::Helo => Err(self.service_refused(reply)),
            State::Ehlo if reply.code == 250 => {
                self.offered = Extensions::parse(reply);
                self.after_ehlo()
            }
            State::Ehlo if (500..=504).contains(&reply.code) => {
                // A server older than ESMTP (RFC 1869).
                let line = format!("HELO {}", self.name);
                Ok(self.send(State::Helo, &line))
            }
            State::Ehlo => Err(self.service_refused(reply)),
            State::StartTls if reply.code == 220 => Ok(Step::StartTls),
            State::StartTls => Err(Failure::NoStartTls { at: self.server.at.clone() }),
            State::Secret(_) => Err(self.unasked()),
            State::Auth(attempt) => self.auth_reply(reply, attempt),
        }
    }
}

impl Login for SmtpLogin {
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
            State::Ehlo | State::Helo => Waiting::Capabilities,
            State::StartTls => Waiting::StartTls,
            State::Secret(_) | State::Auth(_) => Waiting::SignIn,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Ready>, Failure> {
        if let State::Secret(_) = self.state {
            // Nothing was asked, so even the first line of a reply is too much.
            return Err(self.unasked());
        }
        let is_greeting = matches!(self.state, State::Greeting);
        match self.parser.push(line) {
            Ok(Some(reply)) => self.on_reply(&reply),
            Ok(None) => Ok(Step::Wait),
            // `+OK` or `HTTP/1.1`: the settings name another service's port.
            Err(_) if is_greeting => Err(Failure::WrongProtocol { at: self.server.at.clone(), said: line.printable() }),
            Err(wrong) => Err(self.server.at.violation(self.server.redact(&wrong.to_string()))),
        }
    }

    fn after_tls(&mut self) -> Step<Ready> {
        // What was offered before TLS may have been forged (RFC 3207, section 4.2).
        self.offered = Extensions::default();
        self.ehlo()
    }

    fn after_secret(&mut self, secret: Arc<Secret>) -> Step<Ready> {
        let way = if let State::Secret(way) = self.state { way } else { Way::Sasl(Mechanism::Plain) };
        self.begin(way, secret)
    }

    fn restart(&mut self) {
        self.state = State::Greeting;
        self.parser = ReplyParser::default();
        self.offered = Extensions::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::server;
    use crate::account::{Protocol, SignIn};

    /// What the server's lines after AUTH lead to.
    fn refused(secret: &str, lines: &[String]) -> Failure {
        let mut login = SmtpLogin::new(&server(Protocol::Smtp, "ann"), "[127.0.0.1]".into());
        let begin = ["220 mx", "250-mx", "250 AUTH PLAIN"].map(String::from);
        for line in begin.iter().chain(lines) {
            match login.on_line(&Line::new(line.as_bytes())) {
                Ok(Step::WantSecret) => drop(login.on_secret(Arc::new(Secret::new(secret.to_owned()).unwrap()))),
                Ok(_) => {}
                Err(failure) => return failure,
            }
        }
        panic!("no end of it");
    }

    #[test]
    fn only_a_refusal_of_the_password_is_called_one() {
        for said in ["535 5.7.8 no", "534 5.7.9 application password", "550 no", "501 bad password", "432 change it"] {
            let failure = refused("hunter2", &[said.into()]);
            assert!(matches!(failure, Failure::SignInRefused { .. }), "{said}: {failure}");
        }
        for said in ["502 no such command", "503 5.5.1 authentication not enabled", "504 unknown mechanism"] {
            let failure = refused("hunter2", &[said.into()]);
            assert!(matches!(failure, Failure::MechanismRefused { .. }), "{said}: {failure}");
            assert!(failure.to_string().contains(&format!("(PLAIN): {said}")), "{failure}");
        }
        let no = "501 no".to_owned();
        assert!(matches!(refused("hunter2", &[no.clone(), no]), Failure::MechanismRefused { .. }));
    }

    #[test]
    fn an_echoed_secret_is_starred_before_the_reply_is_cut_or_joined() {
        let cut = format!("535 5.7.8 {}hunter2-hunter2", "x".repeat(490));
        let blanks =
            "535-5.7.8 ann\\hunter2-hunter2 \n535 5.7.8 hunter2-hunter2 no".lines().map(String::from).collect();
        let nonsense = "hunter2-hunter2 is wrong".to_owned();
        for lines in [vec![cut], blanks, vec![nonsense]] {
            let failure = refused("hunter2-hunter2 ", &lines);
            assert!(!format!("{failure:?}").contains("hunter"), "{failure:?}");
        }
        let joined = refused("two words", &["535-two".into(), "535 words".into()]);
        assert!(!joined.to_string().contains("two words"), "{joined}");
    }

    #[test]
    fn an_echoed_answer_to_a_challenge_is_starred() {
        let mut login = SmtpLogin::new(&server(Protocol::Smtp, "ann"), "[127.0.0.1]".into());
        for line in ["220 mx", "250-mx", "250 AUTH CRAM-MD5"] {
            let _ = login.on_line(&Line::new(line.as_bytes())).unwrap();
        }
        let _ = login.on_secret(Arc::new(Secret::new("hunter2-hunter2".to_owned()).unwrap()));
        let Ok(Step::Send(answer)) = login.on_line(&Line::new(b"334 PDEuMkBteD4=")) else { panic!() };
        let said = format!("535 5.7.8 {} is wrong", String::from_utf8_lossy(answer.bytes().trim_ascii_end()));
        let line = Line::new(said.as_bytes());
        assert_eq!(login.shown(&line), "535 5.7.8 *** is wrong");
        let Err(failure) = login.on_line(&line) else { panic!() };
        assert!(failure.to_string().contains("*** is wrong"), "{failure}");
    }

    #[test]
    fn the_first_line_of_a_reply_before_the_secret_is_unasked_already() {
        assert!(matches!(begun().on_line(&Line::new(b"235-welcome")), Err(Failure::ProtocolViolation { .. })));
    }
    const SECRET: &str = "hunter2";

    /// Plays a server's lines; what was sent, a line each, and the end if it came to one.
    fn play(server: &Server, lines: &[&str]) -> (Vec<String>, Option<Result<Ready, Failure>>) {
        play_on(&mut SmtpLogin::new(server, "[127.0.0.1]".into()), lines)
    }

    fn play_on(login: &mut SmtpLogin, lines: &[&str]) -> (Vec<String>, Option<Result<Ready, Failure>>) {
        let mut sent = Vec::new();
        for line in lines {
            let mut step = match login.on_line(&Line::new(line.as_bytes())) {
                Ok(step) => step,
                Err(failure) => return (sent, Some(Err(failure))),
            };
            step = match step {
                Step::WantSecret => login.on_secret(Arc::new(Secret::new(SECRET.to_owned()).unwrap())),
                Step::StartTls => login.on_tls(),
                other => other,
            };
            match step {
                Step::Send(outgoing) => sent.push(String::from_utf8_lossy(outgoing.bytes()).trim_end().to_owned()),
                Step::Done(offered) => return (sent, Some(Ok(offered))),
                Step::Wait | Step::WantSecret | Step::StartTls => {}
            }
        }
        (sent, None)
    }

    fn over(security: Security) -> Server {
        Server { security, ..server(Protocol::Smtp, "ann") }
    }

    fn without_sign_in() -> Server {
        Server { sign_in: SignIn::None, ..server(Protocol::Smtp, "ann") }
    }

    #[test]
    fn it_signs_in_with_what_the_server_offers() {
        let (sent, end) =
            play(&over(Security::Tls), &["220 mx", "250-mx", "250-SIZE 9", "250 AUTH LOGIN PLAIN", "235 in"]);
        assert_eq!(sent, ["EHLO [127.0.0.1]", "AUTH PLAIN AGFubgBodW50ZXIy"]);
        let Ready { offered, way } = end.unwrap().unwrap();
        assert_eq!(way, Some(Way::Sasl(Mechanism::Plain)));
        assert_eq!((offered.size, offered.auth.len()), (Some(Some(9)), 2));
        let lines = ["220 mx", "250-mx", "250 AUTH LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 in"];
        let (sent, end) = play(&over(Security::Tls), &lines);
        assert_eq!(sent, ["EHLO [127.0.0.1]", "AUTH LOGIN", "YW5u", "aHVudGVyMg=="]);
        assert!(end.unwrap().is_ok());
        let (sent, end) = play(&over(Security::Tls), &["220 mx", "250-mx", "250 AUTH GSSAPI"]);
        assert_eq!(sent, ["EHLO [127.0.0.1]"]);
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered == "GSSAPI"));
    }

    #[test]
    fn a_server_older_than_ehlo_is_greeted_with_helo() {
        for what in ["500 what", "502 what", "504 what"] {
            let (sent, end) = play(&without_sign_in(), &["220 mx", what, "250 mx"]);
            assert_eq!(sent, ["EHLO [127.0.0.1]", "HELO [127.0.0.1]"], "{what}");
            assert_eq!(end.unwrap().unwrap(), Ready::default());
        }
        let (_, end) = play(&without_sign_in(), &["220 mx", "500 what", "550 go away"]);
        assert!(matches!(end, Some(Err(Failure::ServiceRefused { said, .. })) if said == "550 go away"));
        for no in ["550 not you", "421 not now", "251 hm"] {
            let (sent, end) = play(&without_sign_in(), &["220 mx", no]);
            assert_eq!(sent, ["EHLO [127.0.0.1]"]);
            assert!(matches!(end, Some(Err(Failure::ServiceRefused { said, .. })) if said == no), "{no}");
        }
    }

    #[test]
    fn a_greeting_is_220_or_a_refusal_or_another_protocol() {
        for no in ["554 no service", "421 busy", "250 hm"] {
            let (sent, end) = play(&without_sign_in(), &[no]);
            assert!(
                sent.is_empty() && matches!(end, Some(Err(Failure::ServiceRefused { said, .. })) if said == no),
                "{no}"
            );
        }
        let (_, end) = play(&without_sign_in(), &["+OK POP3"]);
        assert!(matches!(end, Some(Err(Failure::WrongProtocol { said, .. })) if said == "+OK POP3"));
        let (_, end) = play(&without_sign_in(), &["220 mx", "+OK POP3"]);
        assert!(matches!(end, Some(Err(Failure::ProtocolViolation { .. }))));
    }

    #[test]
    fn with_starttls_nothing_else_is_said_before_it() {
        let start = over(Security::StartTls);
        let lines =
            ["220 mx", "250-mx", "250-AUTH LOGIN", "250 STARTTLS", "220 go", "250-mx", "250 AUTH PLAIN", "235 in"];
        let (sent, end) = play(&start, &lines);
        assert_eq!(sent, ["EHLO [127.0.0.1]", "STARTTLS", "EHLO [127.0.0.1]", "AUTH PLAIN AGFubgBodW50ZXIy"]);
        assert_eq!(end.unwrap().unwrap().offered.auth, ["PLAIN"], "what was offered in clear is forgotten");
        for no in [
            &["220 mx", "250 mx"][..],
            &["220 mx", "500 what", "250 mx"],
            &["220 mx", "250-mx", "250 STARTTLS", "454 no"],
        ] {
            assert!(matches!(play(&start, no).1, Some(Err(Failure::NoStartTls { .. }))), "{no:?}");
        }
    }

    #[test]
    fn without_tls_the_password_is_not_shown_where_it_can_be_proven() {
        let (sent, _) = play(&over(Security::None), &["220 mx", "250-mx", "250 AUTH PLAIN CRAM-MD5"]);
        assert_eq!(sent, ["EHLO [127.0.0.1]", "AUTH CRAM-MD5"]);
    }

    #[test]
    fn a_refused_sign_in_is_told_from_one_that_is_not_possible_now() {
        let said =
            |last| play(&over(Security::Tls), &["220 mx", "250-mx", "250 AUTH PLAIN", last]).1.unwrap().unwrap_err();
        for refused in ["535 5.7.8 no", "534 application password", "432 change it first"] {
            assert!(
                matches!(said(refused), Failure::SignInRefused { user, said, .. } if user == "ann" && said == refused)
            );
        }
        for later in ["454 4.7.0 later", "421 bye", "430 hm"] {
            assert!(matches!(said(later), Failure::SignInPostponed { said, .. } if said == later), "{later}");
        }
        for nonsense in ["250 ok", "354 go on"] {
            assert!(matches!(said(nonsense), Failure::ProtocolViolation { .. }), "{nonsense}");
        }
    }

    /// One that has come to the secret.
    fn begun() -> SmtpLogin {
        let mut login = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into());
        for line in ["220 mx", "250-mx", "250 AUTH PLAIN"] {
            let _ = login.on_line(&Line::new(line.as_bytes())).unwrap();
        }
        login
    }

    #[test]
    fn an_answer_too_long_for_the_command_waits_to_be_asked_for() {
        let give = |login: &mut SmtpLogin, octets: usize| match login
            .on_secret(Arc::new(Secret::new("x".repeat(octets)).unwrap()))
        {
            Step::Send(sent) => sent.bytes().len(),
            _ => panic!("nothing sent"),
        };
        // In base64 496 octets and 500.
        let mut short = begun();
        assert_eq!(give(&mut short, 367), "AUTH PLAIN ".len() + 496 + 2);
        assert!(short.on_line(&Line::new(b"334 ")).is_err(), "everything was said");
        let mut long = begun();
        assert_eq!(give(&mut long, 368), "AUTH PLAIN".len() + 2);
        assert!(matches!(long.on_line(&Line::new(b"334 ")), Ok(Step::Send(sent)) if sent.bytes().len() == 500 + 2));
    }

    #[test]
    fn what_the_server_says_once_it_has_the_secret_is_starred() {
        let mut login = begun();
        let echoed = Line::new(b"250 hunter2");
        assert!(login.redaction().is_none() && login.shown(&echoed) == "250 hunter2");
        let _ = login.on_secret(Arc::new(Secret::new(SECRET.to_owned()).unwrap()));
        assert_eq!(login.shown(&echoed), "250 ***");
        assert_eq!(login.redaction().unwrap().redact_line(&echoed), Some(Line::new(b"250 ***")));
    }

    #[test]
    fn it_says_the_address_it_comes_from() {
        assert_eq!(ehlo_name("10.0.0.7".parse().ok()), "[10.0.0.7]");
        assert_eq!(ehlo_name("2001:db8::7".parse().ok()), "[IPv6:2001:db8::7]");
        assert_eq!(ehlo_name(None), "[127.0.0.1]");
    }

    const PLAIN: &str = "AGFubgBodW50ZXIy";
    const FORM: [&str; 5] = [
        "504 5.7.4 Unrecognized authentication type",
        "502 not implemented",
        "503 5.5.1 Error: authentication not enabled",
        "535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
        "534 5.7.9 Authentication mechanism is too weak",
    ];

    #[test]
    fn a_way_that_is_refused_for_its_form_is_followed_by_the_next_until_one_works() {
        for no in FORM {
            for offer in ["250 AUTH PLAIN LOGIN CRAM-MD5", "250 AUTH CRAM-MD5 LOGIN PLAIN"] {
                let begin = ["220 mx", "250-mx", offer, no];
                let lines = [&begin[..], &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 in"]].concat();
                let (sent, end) = play(&over(Security::Tls), &lines);
                assert_eq!(sent[1..], [&format!("AUTH PLAIN {PLAIN}"), "AUTH LOGIN", "YW5u", "aHVudGVyMg=="], "{no}");
                assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::Login)));
                let lines =
                    [&begin[..], &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", no, "334 PDEuMkBteD4=", "235 in"]].concat();
                let (sent, end) = play(&over(Security::Tls), &lines);
                assert_eq!(sent[5], "AUTH CRAM-MD5");
                assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::CramMd5)));
            }
            // In clear, CRAM-MD5 first. PLAIN, after a refusal on the same connection, waits to be asked.
            let lines = ["220 mx", "250-mx", "250 AUTH LOGIN PLAIN CRAM-MD5", no, "334 ", "235 in"];
            let (sent, end) = play(&over(Security::None), &lines);
            assert_eq!(sent[1..], ["AUTH CRAM-MD5", "AUTH PLAIN", PLAIN], "{no}");
            assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::Plain)));
        }
    }

    #[test]
    fn an_answer_in_the_command_that_is_not_understood_goes_on_a_line_of_its_own() {
        for no in ["501 5.5.2 malformed", "500 5.5.1 Syntax error", "535 5.7.8 no initial response here"] {
            let lines = ["220 mx", "250-mx", "250 AUTH LOGIN PLAIN", no, "334 ", "235 in"];
            let (sent, end) = play(&over(Security::Tls), &lines);
            assert_eq!(sent[1..], [&format!("AUTH PLAIN {PLAIN}"), "AUTH PLAIN", PLAIN], "{no}");
            let way = end.unwrap().unwrap().way;
            assert_eq!(way, Some(Way::PlainOnTwoLines));
            // What worked comes first the next time.
            let mut again = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into()).beginning_with(way);
            let (sent, end) = play_on(&mut again, &["220 mx", "250-mx", "250 AUTH LOGIN PLAIN", "334 ", "235 in"]);
            assert_eq!(sent[1..], ["AUTH PLAIN", PLAIN]);
            assert!(end.unwrap().is_ok());
        }
    }

    #[test]
    fn what_worked_before_comes_first_while_it_is_offered() {
        let begun = |offer: &str| {
            let login = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into());
            let mut login = login.beginning_with(Some(Way::Sasl(Mechanism::Login)));
            play_on(&mut login, &["220 mx", "250-mx", offer]).0.pop().unwrap()
        };
        assert_eq!(begun("250 AUTH PLAIN LOGIN"), "AUTH LOGIN");
        assert_eq!(begun("250 AUTH PLAIN CRAM-MD5"), format!("AUTH PLAIN {PLAIN}"));
    }

    #[test]
    fn the_end_of_the_ways_is_told_as_that_and_a_refused_password_ends_them() {
        for no in FORM {
            let (sent, end) = play(&over(Security::Tls), &["220 mx", "250-mx", "250 AUTH PLAIN LOGIN", no, no]);
            assert_eq!(sent.len(), 3, "{no}");
            let Some(Err(Failure::MechanismRefused { tried, said, .. })) = end else { panic!("{no}") };
            assert_eq!((tried.as_str(), said.as_str()), ("PLAIN, LOGIN", no));
            let refused = "535 5.7.8 Error: authentication failed:";
            let (sent, end) =
                play(&over(Security::Tls), &["220 mx", "250-mx", "250 AUTH PLAIN LOGIN CRAM-MD5", refused]);
            assert_eq!(sent.len(), 2);
            assert!(matches!(end, Some(Err(Failure::SignInRefused { .. }))));
            let lines = ["220 mx", "250-mx", "250 AUTH PLAIN LOGIN CRAM-MD5", no, "334 ", "334 ", refused];
            let (sent, end) = play(&over(Security::Tls), &lines);
            assert_eq!(sent.len(), 5);
            assert!(matches!(end, Some(Err(Failure::SignInRefused { .. }))));
        }
    }

    #[test]
    fn a_server_that_wants_tls_gets_no_password_in_another_way() {
        let offer = "250 AUTH LOGIN PLAIN";
        let (sent, end) = play(&over(Security::None), &["220 mx", "250-mx", offer, "538 5.7.11 Encryption required"]);
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert!(matches!(end, Some(Err(Failure::SignInDisabled { offered, .. })) if offered.contains("538 5.7.11")));
    }

    #[test]
    fn a_password_refused_in_clear_goes_out_in_no_other_way_whatever_the_code() {
        for no in [
            "535 5.7.8 Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
            "535 5.7.8 Password authentication requires TLS",
            "534 5.7.9 cleartext passwords are not allowed here",
            "530 5.7.0 Must issue a STARTTLS command first",
        ] {
            let (sent, end) = play(&over(Security::None), &["220 mx", "250-mx", "250 AUTH LOGIN PLAIN", no]);
            assert_eq!(sent[1..], [format!("AUTH PLAIN {PLAIN}")], "{no}");
            let Some(Err(Failure::SignInDisabled { offered, .. })) = end else { panic!("{no}: {end:?}") };
            assert_eq!(offered, format!("sign-in over TLS ({no})"));
        }
    }

    fn lost() -> Failure {
        Failure::Lost { at: (&over(Security::Tls)).into(), waiting: Waiting::SignIn }
    }

    #[test]
    fn a_server_that_hangs_up_over_a_way_is_reached_again_with_the_next() {
        let begin = ["220 mx", "250-mx", "250 AUTH PLAIN LOGIN", FORM[0]];
        let mut login = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into());
        let (sent, _) = play_on(&mut login, &begin);
        assert_eq!(sent.last().unwrap(), "AUTH LOGIN");
        assert!(login.begin_again(&lost()));
        let lines = ["220 mx", "250-mx", "250 AUTH PLAIN LOGIN", "334 ", "334 ", "235 in"];
        let (sent, end) = play_on(&mut login, &lines);
        assert_eq!(sent, ["EHLO [127.0.0.1]", "AUTH LOGIN", "YW5u", "aHVudGVyMg=="]);
        assert_eq!(end.unwrap().unwrap().way, Some(Way::Sasl(Mechanism::Login)));
        // 421 is the announcement of it.
        let mut login = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into());
        let (_, end) = play_on(&mut login, &[&begin[..], &["421 4.7.0 too many errors"]].concat());
        assert!(login.begin_again(&end.unwrap().unwrap_err()));
    }

    #[test]
    fn a_server_that_hangs_up_while_it_judges_is_not_asked_again() {
        let hangs_up = |lines: &[&str]| {
            let mut login = SmtpLogin::new(&over(Security::Tls), "[127.0.0.1]".into());
            play_on(&mut login, lines);
            login.begin_again(&lost())
        };
        let begin = ["220 mx", "250-mx", "250 AUTH PLAIN LOGIN"];
        assert!(!hangs_up(&begin));
        assert!(!hangs_up(&[&begin[..], &[FORM[0], "334 ", "334 "]].concat()));
        assert!(hangs_up(&[&begin[..], &[FORM[0], "334 "]].concat()), "it has heard the name, and no password");
        assert!(!hangs_up(&begin[..1]));
    }
}
