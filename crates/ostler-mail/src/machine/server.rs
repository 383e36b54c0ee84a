//! A server as every [`Login`](super::Login) sees it: the ways of signing in that are left there, the secret, and how much of
//! it the server has been given. What is said, and what an answer means, comes from the protocol.

use std::sync::Arc;

use super::Outgoing;
use crate::account::{Security, Server, SignIn};
use crate::failure::{Failure, ServerAddr};
use crate::sasl::{Exchange, Given, Mechanism, Redaction, Way, Ways};
use crate::secret::Secret;

/// What every login keeps of its server.
pub struct ServerState {
    pub(crate) at: ServerAddr,
    /// The user name; `None` if the settings want no sign-in.
    user: Option<String>,
    /// The secret is an access token, not a password.
    has_token: bool,
    /// A token that the server refuses may be renewed and given once more.
    may_renew: bool,
    pub(crate) is_in_tls: bool,
    pub(crate) ways: Ways,
    /// The server has refused a way on this connection.
    pub(crate) was_refused: bool,
    /// The server has announced that it closes this connection.
    is_closing: bool,
    /// The server has been given, in the way that is under way, all that it judges.
    gave_secret: bool,
    /// The secret, once there is one: it may be wanted in another way.
    secret: Option<Arc<Secret>>,
    /// Takes the secret out of what the server says, once there is one.
    redaction: Option<Redaction>,
}

impl ServerState {
    /// A server that has said nothing yet.
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            at: server.into(),
            user: server.credentials().map(|c| c.username.clone()),
            has_token: matches!(server.sign_in, SignIn::OAuth2(_)),
            may_renew: false,
            is_in_tls: server.security == Security::Tls,
            ways: Ways::default(),
            was_refused: false,
            is_closing: false,
            gave_secret: false,
            secret: None,
            redaction: None,
        }
    }

    /// Whether the settings want a sign-in.
    pub(crate) fn wants_sign_in(&self) -> bool {
        self.user.is_some()
    }

    /// The user name; empty if there is none.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }

    /// The secret, once there is one.
    pub(crate) fn secret(&self) -> Option<Arc<Secret>> {
        self.secret.clone()
    }

    pub(super) fn take_secret(&mut self, secret: Arc<Secret>) {
        let forms = Redaction::new(self.user(), &secret);
        // Of a token that was renewed, both are kept.
        self.redaction = Some(match self.redaction.take() {
            Some(earlier) => earlier.and(forms),
            None => forms,
        });
        self.secret = Some(secret);
    }

    pub(super) fn redaction(&self) -> Option<Redaction> {
        self.redaction.clone()
    }

    /// A text for people, without the secret.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.redaction.as_ref().map_or_else(|| text.to_owned(), |redaction| redaction.redact(text))
    }

    /// Begins an exchange of AUTH.
    pub(crate) fn begin(&self, mechanism: Mechanism, secret: Arc<Secret>) -> Exchange {
        Exchange::new(mechanism, self.user(), secret).at(&self.at.host, self.at.port)
    }

    /// Whether the secret is an access token. Then nothing but a mechanism for tokens is used, whatever the server offers.
    pub(crate) fn has_token(&self) -> bool {
        self.has_token
    }

    /// The mechanisms for the secret that both sides have, the best first. `offered` are those of the server.
    pub(crate) fn mechanisms(&self, offered: &[String]) -> Vec<Mechanism> {
        if self.has_token {
            Mechanism::offered_for_token(offered)
        } else {
            Mechanism::offered(offered, self.is_in_tls).collect()
        }
    }

    /// Lets a token that the server refuses be asked for anew and given once more.
    pub fn let_renew(&mut self) {
        self.may_renew = self.has_token;
    }

    /// The server refuses the token: another one is wanted now, once, or that is the end.
    pub(crate) fn want_another_token(&mut self, said: String) -> Result<(), Failure> {
        if std::mem::take(&mut self.may_renew) {
            // The server may hang up after a refusal, and the next token may go out on a new connection.
            (self.was_refused, self.gave_secret, self.secret) = (true, false, None);
            return Ok(());
        }
        Err(Failure::TokenRefused { at: self.at.clone(), user: self.user().to_owned(), said })
    }

    /// Answers a challenge.
    pub(crate) fn respond(&mut self, exchange: &mut Exchange, challenge: &[u8]) -> Result<Outgoing, Failure> {
        let answer = exchange.respond(challenge).map_err(|e| self.at.violation(e.to_string()))?;
        if exchange.has_own_form() {
            self.redaction = self.redaction.take().map(|redaction| redaction.with_response(&answer));
        }
        self.gave_secret = exchange.given() == Given::Everything;
        Ok(Outgoing::secret_line(&[answer.as_bytes()], "***"))
    }

    /// Notes that the server is given all that it judges, other than in the answer to a challenge.
    pub(crate) fn note_secret_given(&mut self) {
        self.gave_secret = true;
    }

    /// Notes that the server has announced that it closes the connection.
    pub(crate) fn note_closing(&mut self) {
        self.is_closing = true;
    }

    /// The server refuses the user name or the password.
    pub(crate) fn refused_credentials(&self, said: String) -> Failure {
        let beyond_ascii = self.secret.as_ref().is_some_and(|secret| !secret.expose().is_ascii());
        Failure::SignInRefused { at: self.at.clone(), user: self.user().to_owned(), said, beyond_ascii }
    }

    /// The server refuses a way of signing in. `may_go_on_two_lines`: perhaps only because the command had the answer in it.
    pub(crate) fn refuse(&mut self, way: Way, may_go_on_two_lines: bool, said: String) {
        self.ways.refuse(way, may_go_on_two_lines, said);
        (self.was_refused, self.gave_secret) = (true, false);
    }

    /// No way is left of those that both sides have. `offered`: the mechanisms of the server.
    pub(crate) fn no_way_left(&self, offered: &[String]) -> Failure {
        let at = self.at.clone();
        // Before what it said last: over TLS every way that it offers may work.
        if let Some(said) = self.ways.wants_tls() {
            return Failure::SignInDisabled { at, offered: format!("sign-in over TLS ({said})") };
        }
        if self.ways.is_untried() {
            return Failure::SignInDisabled { at, offered: offered.join(" ") };
        }
        Failure::MechanismRefused { at, tried: self.ways.tried(), said: self.ways.said().to_owned() }
    }

    /// Whether the sign-in goes on on a new connection after this failure. If so, nothing is known of that one yet.
    pub(super) fn may_begin_again(&mut self, failure: &Failure) -> bool {
        let has_hung_up =
            self.is_closing || matches!(failure, Failure::Lost { .. } | Failure::ProtocolViolation { .. });
        if !(self.was_refused && has_hung_up) || self.gave_secret {
            return false;
        }
        (self.was_refused, self.is_closing) = (false, false);
        self.is_in_tls = self.at.security == Security::Tls;
        true
    }
}

/// What a server says when it refuses a token, with the reason that it gave in a challenge before.
pub(crate) fn told(said: &str, reason: &str) -> String {
    match (said.is_empty(), reason.is_empty()) {
        (_, true) => said.to_owned(),
        (true, false) => format!("({reason})"),
        (false, false) => format!("{said} ({reason})"),
    }
}
