//! Answers a provider's challenges with the account's secret.

use std::sync::Arc;

use base64::Engine;
use zeroize::Zeroizing;

use crate::sasl::bearer::{self, oauthbearer_message, xoauth2_message};
use crate::sasl::{BASE64, LENIENT, Mechanism, cram_digest, plain_message};
use crate::secret::Secret;

/// Why a provider's challenge cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The provider sends more challenges than the mechanism has.
    #[error("it asks for more than the sign-in has")]
    TooManyChallenges,
    /// The challenge is not base64.
    #[error("its challenge is not base64")]
    NotBase64,
}

/// How much of a claim a server has been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// Nothing yet. A refusal cannot be about name or password.
    Nothing,
    /// The user name.
    Name,
    /// Name, and password, token or proof.
    Everything,
}

/// ostler's side of a sign-in at a provider.
pub struct Exchange {
    mechanism: Mechanism,
    user: String,
    /// Host and port of the server, which OAUTHBEARER names.
    at: (String, u16),
    secret: Arc<Secret>,
    /// Responses sent so far.
    responses: usize,
    /// Why the server refuses the token, once it has said so in a challenge.
    refusal: Option<String>,
}

impl Exchange {
    /// Begins a sign-in as `user`.
    pub fn new(mechanism: Mechanism, user: &str, secret: Arc<Secret>) -> Self {
        Self { mechanism, user: user.to_owned(), at: Default::default(), secret, responses: 0, refusal: None }
    }

    /// The same, at this server.
    #[must_use]
    pub fn at(self, host: &str, port: u16) -> Self {
        Self { at: (host.to_owned(), port), ..self }
    }

    /// The mechanism.
    pub(crate) fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The response that goes along with the command that names the mechanism, in base64. Only PLAIN has one. `None` also if
    /// it has more than `max_octets`; it then waits for the server to ask.
    pub fn initial_response(&mut self, max_octets: usize) -> Option<Zeroizing<String>> {
        let response = (self.mechanism == Mechanism::Plain).then(|| self.plain());
        let response = response.filter(|response| response.len() <= max_octets)?;
        self.responses = 1;
        Some(response)
    }

    /// The response to a challenge. Both are in base64.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Zeroizing<String>, ExchangeError> {
        self.responses += 1;
        match (self.mechanism, self.responses) {
            // The response did not go along with AUTH, and the server asks for it with an empty challenge.
            (Mechanism::Plain, 1) => Ok(self.plain()),
            // The wording of the prompts differs between servers; their order does not.
            (Mechanism::Login, 1) => Ok(Zeroizing::new(BASE64.encode(&self.user))),
            (Mechanism::Login, 2) => Ok(Zeroizing::new(BASE64.encode(self.secret.expose()))),
            (Mechanism::CramMd5, 1) => {
                let challenge = LENIENT.decode(challenge.trim_ascii()).map_err(|_| ExchangeError::NotBase64)?;
                let digest = cram_digest(self.secret.expose(), &challenge);
                Ok(Zeroizing::new(BASE64.encode(format!("{} {digest}", self.user))))
            }
            (Mechanism::XOAuth2, 1) => Ok(xoauth2_message(&self.user, self.secret.expose())),
            (Mechanism::OAuthBearer, 1) => {
                let (host, port) = &self.at;
                Ok(oauthbearer_message(&self.user, host, *port, self.secret.expose()))
            }
            // The server refuses the token, and says why. Without an answer the refusal itself never comes.
            (Mechanism::XOAuth2, 2) => Ok(self.note_refusal(challenge, "")),
            (Mechanism::OAuthBearer, 2) => Ok(self.note_refusal(challenge, bearer::GO_ON)),
            _ => Err(ExchangeError::TooManyChallenges),
        }
    }

    fn note_refusal(&mut self, challenge: &[u8], answer: &str) -> Zeroizing<String> {
        self.refusal = Some(bearer::reason_of(challenge));
        Zeroizing::new(answer.to_owned())
    }

    /// Why the server refuses the token, if it has said in a challenge that it does; perhaps empty.
    pub(crate) fn token_refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether the server has been given the user name, and whether it has been given all that it judges.
    pub(crate) fn given(&self) -> Given {
        match (self.mechanism, self.responses) {
            (_, 0) => Given::Nothing,
            (Mechanism::Login, 1) => Given::Name,
            _ => Given::Everything,
        }
    }

    /// Whether a response proves the password without being it, as in CRAM-MD5. Together with its challenge it lets others
    /// test guesses, so it must not be shown either.
    pub fn sends_proof(&self) -> bool {
        self.mechanism == Mechanism::CramMd5
    }

    /// Whether the response has the secret in a form of its own, which must not be shown either.
    pub(crate) fn has_own_form(&self) -> bool {
        self.sends_proof() || self.mechanism.takes_token()
    }

    fn plain(&self) -> Zeroizing<String> {
        plain_message(&self.user, self.secret.expose())
    }
}
