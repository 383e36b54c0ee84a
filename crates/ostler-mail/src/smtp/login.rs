//! Signs in at an SMTP server: greeting, EHLO, STARTTLS, EHLO again, AUTH with the best mechanism that both sides have.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::account::{Security, Server, SignIn};
use crate::failure::{Failure, ServerAddr, Waiting};
use crate::machine::{Login, Outgoing, Step};
use crate::sasl::{Exchange, Mechanism, Redaction};
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

/// What the server owes next.
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// Nothing: ostler waits for the secret.
    Secret(Mechanism),
    /// The answer to AUTH or to a response. The second field is an initial response that did not fit in the command.
    Auth(Exchange, Option<Zeroizing<String>>),
}

/// A [`Login`] that ends with what the server offers.
pub struct SmtpLogin {
    at: ServerAddr,
    /// The argument of EHLO.
    name: String,
    /// The user name for AUTH; `None` if the settings want no sign-in.
    user: Option<String>,
    state: State,
    parser: ReplyParser,
    is_in_tls: bool,
    offered: Extensions,
    /// Takes the secret out of what the server says, once there is one.
    redaction: Option<Redaction>,
}

impl SmtpLogin {
    /// A sign-in at `server`. `name` is the argument of EHLO: a host name or an address literal.
    pub fn new(server: &Server, name: String) -> Self {
        let user = match &server.sign_in {
            SignIn::Password(credentials) | SignIn::OAuth2(credentials) => Some(credentials.username.clone()),
            // POP-before-SMTP has signed in by POP3 already.
            SignIn::AfterPop(_) | SignIn::None => None,
        };
        Self {
            at: server.into(),
            name,
            user,
            state: State::Greeting,
            parser: ReplyParser::default(),
            is_in_tls: server.security == Security::Tls,
            offered: Extensions::default(),
            redaction: None,
        }
    }

    fn send(&mut self, next: State, line: &str) -> Step<Extensions> {
        self.state = next;
        Step::Send(Outgoing::line(line))
    }

    fn ehlo(&mut self) -> Step<Extensions> {
        let line = format!("EHLO {}", self.name);
        self.send(State::Ehlo, &line)
    }

    /// A text for people, without the secret.
    fn redact(&self, text: &str) -> String {
        self.redaction.as_ref().map_or_else(|| text.to_owned(), |redaction| redaction.redact(text))
    }

    /// A reply for people, on one line. The secret is taken out of the lines before they are trimmed, joined and cut, and
    /// again where joining has made it whole.
    fn shown_reply(&self, reply: &Reply) -> String {
        let lines = reply.lines.iter().map(|line| self.redact(line)).collect();
        let text = Reply { code: reply.code, lines }.text();
        Reply::new(reply.code, &self.redact(&text)).one_line()
    }

    fn service_refused(&self, reply: &Reply) -> Failure {
        Failure::ServiceRefused { at: self.at.clone(), said: self.shown_reply(reply) }
    }

    fn unasked(&self) -> Failure {
        self.at.violation("it spoke unasked")
    }

    /// The server has said what it offers: STARTTLS, AUTH, or nothing more.
    fn after_ehlo(&mut self) -> Result<Step<Extensions>, Failure> {
        if self.at.security == Security::StartTls && !self.is_in_tls {
            return if self.offered.starttls {
                Ok(self.send(State::StartTls, "STARTTLS"))
            } else {
                Err(Failure::NoStartTls { at: self.at.clone() })
            };
        }
        if self.user.is_none() {
            return Ok(Step::Done(self.offered.clone()));
        }
        let Some(mechanism) = Mechanism::choose(&self.offered.auth, self.is_in_tls) else {
            return Err(Failure::SignInDisabled { at: self.at.clone(), offered: self.offered.auth.join(" ") });
        };
        self.state = State::Secret(mechanism);
        Ok(Step::WantSecret)
    }

    fn auth_reply(
        &mut self,
        reply: &Reply,
        mut exchange: Exchange,
        initial: Option<Zeroizing<String>>,
    ) -> Result<Step<Extensions>, Failure> {
        let at = self.at.clone();
        match reply.code {
            235 => Ok(Step::Done(self.offered.clone())),
            334 => {
                // An initial response that was too long for the command is the answer to an empty challenge.
                let answer = match initial {
                    Some(answer) => answer,
                    None => exchange.respond(reply.lines[0].as_bytes()).map_err(|e| at.violation(e.to_string()))?,
                };
                if exchange.sends_proof() {
                    self.redaction = self.redaction.take().map(|redaction| redaction.with_response(&answer));
                }
                self.state = State::Auth(exchange, None);
                Ok(Step::Send(Outgoing::secret_line(&[answer.as_bytes()], "***")))
            }
            // 454 and other 4xx mean "not now" (RFC 4954, section 6). Only 432 wants another password.
            400..=499 if reply.code != 432 => Err(Failure::SignInPostponed { at, said: self.shown_reply(reply) }),
            // It wants TLS first (RFC 3207, section 4; RFC 4954, section 6). No password was looked at.
            530 | 538 if !self.is_in_tls => {
                let offered = format!("sign-in over TLS ({})", self.shown_reply(reply));
                Err(Failure::SignInDisabled { at, offered })
            }
            // It does not know a command that it has offered (RFC 5321, 4.2.2). No password was looked at.
            502..=504 => {
                let offered =
                    format!("{} and takes none of it ({})", self.offered.auth.join(" "), self.shown_reply(reply));
                Err(Failure::SignInDisabled { at, offered })
            }
            500..=599 | 432 => {
                let user = self.user.clone().unwrap_or_default();
                Err(Failure::SignInRefused { at, user, said: self.shown_reply(reply) })
            }
            _ => Err(at.violation(format!("\"{}\" is not an answer to AUTH", self.shown_reply(reply)))),
        }
    }

    fn on_reply(&mut self, reply: &Reply) -> Result<Step<Extensions>, Failure> {
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
            State::StartTls => Err(Failure::NoStartTls { at: self.at.clone() }),
            State::Secret(_) => Err(self.unasked()),
            State::Auth(exchange, initial) => self.auth_reply(reply, exchange, initial),
        }
    }
}

impl Login for SmtpLogin {
    type Ready = Extensions;

    fn waiting(&self) -> Waiting {
        match self.state {
            State::Greeting => Waiting::Greeting,
            State::Ehlo | State::Helo => Waiting::Capabilities,
            State::StartTls => Waiting::StartTls,
            State::Secret(_) | State::Auth(..) => Waiting::SignIn,
        }
    }

    fn on_line(&mut self, line: &Line) -> Result<Step<Extensions>, Failure> {
        if let State::Secret(_) = self.state {
            // Nothing was asked, so even the first line of a reply is too much.
            return Err(self.unasked());
        }
        let is_greeting = matches!(self.state, State::Greeting);
        match self.parser.push(line) {
            Ok(Some(reply)) => self.on_reply(&reply),
            Ok(None) => Ok(Step::Wait),
            // `+OK` or `HTTP/1.1`: the settings name another service's port.
            Err(_) if is_greeting => Err(Failure::WrongProtocol { at: self.at.clone(), said: line.printable() }),
            Err(wrong) => Err(self.at.violation(self.redact(&wrong.to_string()))),
        }
    }

    fn on_tls(&mut self) -> Step<Extensions> {
        self.is_in_tls = true;
        // What was offered before TLS may have been forged (RFC 3207, section 4.2).
        self.offered = Extensions::default();
        self.ehlo()
    }

    fn shown(&self, line: &Line) -> String {
        self.redact(&line.printable())
    }

    fn redaction(&self) -> Option<Redaction> {
        self.redaction.clone()
    }

    fn on_secret(&mut self, secret: Arc<Secret>) -> Step<Extensions> {
        let mechanism = if let State::Secret(mechanism) = self.state { mechanism } else { Mechanism::Plain };
        let user = self.user.as_deref().unwrap_or_default();
        self.redaction = Some(Redaction::new(user, &secret));
        let mut exchange = Exchange::new(mechanism, user, secret);
        let command = format!("AUTH {}", mechanism.name());
        match exchange.initial_response() {
            Some(answer) if command.len() + 1 + answer.len() <= MAX_AUTH_COMMAND_OCTETS => {
                self.state = State::Auth(exchange, None);
                Step::Send(Outgoing::secret_line(&[command.as_bytes(), b" ", answer.as_bytes()], "AUTH PLAIN ***"))
            }
            initial => {
                self.state = State::Auth(exchange, initial);
                Step::Send(Outgoing::line(&command))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Protocol;
    use crate::account::testing::server;

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
        for said in ["535 5.7.8 no", "534 5.7.9 application password", "550 no", "501 no", "432 change it"] {
            let failure = refused("hunter2", &[said.into()]);
            assert!(matches!(failure, Failure::SignInRefused { .. }), "{said}: {failure}");
        }
        for said in ["502 no such command", "503 5.5.1 authentication not enabled", "504 unknown mechanism"] {
            let failure = refused("hunter2", &[said.into()]);
            assert!(matches!(failure, Failure::SignInDisabled { .. }), "{said}: {failure}");
            assert!(failure.to_string().contains(&said[..20.min(said.len())]), "{failure}");
        }
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
    fn play(server: &Server, lines: &[&str]) -> (Vec<String>, Option<Result<Extensions, Failure>>) {
        let mut login = SmtpLogin::new(server, "[127.0.0.1]".into());
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
        let offered = end.unwrap().unwrap();
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
            assert_eq!(end.unwrap().unwrap(), Extensions::default());
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
        assert_eq!(end.unwrap().unwrap().auth, ["PLAIN"], "what was offered in clear is forgotten");
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
        for refused in ["535 5.7.8 no", "534 too weak", "432 change it first"] {
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
}
