//! Tries every step to each server of an account for real, with times, and says what came of each: the engine of
//! `ostler check`, of the trial in `ostler add`, and later of the settings page. Sends no message: MAIL and RCPT are tried,
//! DATA never.
//!
//! Not here: what a failure's words are (`failure.rs`), and how steps are shown.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::account::{Account, Protocol, SecretSource, Security, Server, Timeouts};
use crate::conn::Stream;
use crate::dial::{Dialer, Route, Upstream};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::gate::verdict::{Stage, Verdict, verdict};
use crate::protocol::{Login, Outgoing};
use crate::secret::Secret;
use crate::serve::smtp::carrier::rehearse;
use crate::sign_in::{Prepared, prepare, say, supported};
use crate::vault::place;
use crate::{pop3, smtp, tls};

/// Whom a send is tried for where the gate is to be tested: somebody the provider has to relay to. Reserved by RFC 2606,
/// and nothing is ever sent to it.
pub const STRANGER: &str = "postmaster@example.com";

/// One step and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Protocol and address of the server.
    pub server: String,
    /// `settings`, `secret`, `name`, `tcp`, `tls`, `capabilities`, `sign-in`, `gate` or `send`.
    pub step: &'static str,
    /// Whether it was good.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do about it, where it failed.
    pub advice: Option<String>,
    /// How long it took.
    pub ms: u64,
    /// What it was, for whoever decides what to try next.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// Signs in at one server with a candidate secret and leaves again.
pub async fn sign_in_with(server: &Server, secret: Arc<Secret>, timeouts: &Timeouts) -> Result<(), Failure> {
    supported(server)?;
    let dialer = Dialer::default();
    let upstream = dialer.connect(server, timeouts, Route::default()).await?;
    match server.protocol {
        Protocol::Pop3 => {
            let user = server.credentials().map(|c| c.username.clone()).unwrap_or_default();
            finish(&dialer, upstream, pop3::login::Login::new(server, &user, None), secret, timeouts).await
        }
        Protocol::Smtp => {
            let login = smtp::login::Login::new(server, "[127.0.0.1]".into());
            finish(&dialer, upstream, login, secret, timeouts).await
        }
        Protocol::Imap => Err(Failure::NotInThisVersion { at: server.into(), what: "IMAP" }),
    }
}

async fn finish<L: Login>(
    dialer: &Dialer,
    upstream: Upstream,
    login: L,
    secret: Arc<Secret>,
    timeouts: &Timeouts,
) -> Result<(), Failure> {
    let prepared = prepare(dialer, upstream, login, timeouts).await?;
    let (mut upstream, _) = prepared.finish(dialer, Some(secret), timeouts).await?;
    leave(&mut upstream, timeouts).await;
    Ok(())
}

async fn leave(upstream: &mut Upstream, timeouts: &Timeouts) {
    let _ = say(upstream, &Outgoing::line("QUIT"), crate::failure::Waiting::Answer, timeouts.reply).await;
    upstream.conn.close().await;
}

/// Goes through an account. Every step is told at once, for a person is waiting, and kept.
pub struct Doctor<'a> {
    engine: Arc<Engine>,
    account: Arc<Account>,
    steps: Vec<Step>,
    tell: Box<dyn FnMut(&Step) + 'a>,
}

impl<'a> Doctor<'a> {
    /// For an account of the engine's.
    pub fn new(engine: Arc<Engine>, account: Arc<Account>, tell: impl FnMut(&Step) + 'a) -> Self {
        Self { engine, account, steps: Vec::new(), tell: Box::new(tell) }
    }

    /// What came of it.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Notes a step.
    fn note(&mut self, server: &str, step: &'static str, began: Instant, came: Result<String, Failure>) -> bool {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (detail, failure) = match came {
            Ok(detail) => (detail, None),
            Err(failure) => (failure.sentence(), Some(failure)),
        };
        let (ok, advice) = (failure.is_none(), failure.as_ref().map(Failure::advice));
        let step = Step { server: server.to_owned(), step, ok, detail, advice, ms, failure };
        (self.tell)(&step);
        self.steps.push(step);
        ok
    }

    /// Every server, then the way of a send.
    pub async fn check(&mut self) {
        let account = Arc::clone(&self.account);
        if let Some(server) = &account.pop3 {
            self.server(server).await;
        }
        let mut reached = account.smtp.is_empty();
        for server in &account.smtp {
            if let Some(gate) = server.gate()
                && account.pop3.as_ref().is_none_or(|pop3| pop3.id() != gate.login.id())
            {
                self.server(&gate.login).await;
            }
            reached |= self.server(server).await;
        }
        if reached && !account.smtp.is_empty() {
            self.send().await;
        }
        if let Some(server) = &account.imap {
            let detail = "kept for a later version; no IMAP door yet".to_owned();
            self.note(&label(server), "settings", Instant::now(), Ok(detail));
        }
    }

    /// All steps to one server; whether the last one was good.
    pub async fn server(&mut self, server: &Server) -> bool {
        let name = label(server);
        let settings = self.engine.settings();
        let timeouts = &settings.timeouts;
        let began = Instant::now();
        let detail = match server.security {
            Security::Tls => "TLS from the first octet",
            Security::StartTls => "TLS by STARTTLS, never less",
            Security::None => "NO ENCRYPTION: everybody on the way can read mail and password",
        };
        if !self.note(&name, "settings", began, supported(server).map(|()| detail.to_owned())) {
            return false;
        }
        let Some(secret) = self.secret(&name, server).await else { return false };
        let Some(upstream) = self.reach(&name, server, timeouts).await else { return false };
        let Some(upstream) = self.tls(&name, server, upstream, timeouts).await else { return false };
        match server.protocol {
            Protocol::Pop3 => {
                let began = Instant::now();
                let prepared = self.engine.prepare_pop3_on(upstream, server, timeouts).await;
                self.sign_in(&name, server, began, prepared, secret, timeouts).await
            }
            Protocol::Smtp => {
                let began = Instant::now();
                let prepared = self.engine.prepare_smtp_on(upstream, server, timeouts).await;
                self.sign_in(&name, server, began, prepared, secret, timeouts).await
            }
            Protocol::Imap => true,
        }
    }

    /// `None`: it failed. `Some(None)`: none is needed, or the client has it.
    async fn secret(&mut self, name: &str, server: &Server) -> Option<Option<Arc<Secret>>> {
        let Some(credentials) = server.credentials() else { return Some(None) };
        let began = Instant::now();
        if credentials.secret == SecretSource::Client {
            self.note(
                name,
                "secret",
                began,
                Ok("your mail program has it; signing in cannot be checked from here".into()),
            );
            return Some(None);
        }
        let account = Arc::clone(&self.account);
        match self.engine.secret(&account, server, None).await {
            Ok(secret) => {
                self.note(name, "secret", began, Ok(format!("there, from {}", place(&credentials.secret))));
                Some(Some(secret))
            }
            Err(failure) => {
                self.note(name, "secret", began, Err(failure));
                None
            }
        }
    }

    /// Name and every address; the first connection that was made.
    async fn reach(&mut self, name: &str, server: &Server, timeouts: &Timeouts) -> Option<Upstream> {
        let began = Instant::now();
        let addresses = match self.engine.dialer.resolve(server, timeouts.connect).await {
            Ok(addresses) => addresses,
            Err(failure) => {
                self.note(name, "name", began, Err(failure));
                return None;
            }
        };
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.note(name, "name", began, Ok(shown.join(", ")));
        let mut tries = Vec::new();
        for address in addresses {
            let began = Instant::now();
            let reached = self.engine.dialer.reach(server, address, timeouts.connect, Route::default()).await;
            tries.push((address, began, reached));
        }
        let any = tries.iter().any(|(_, _, reached)| reached.is_ok());
        let mut first = None;
        for (address, began, reached) in tries {
            match reached {
                Ok(upstream) => {
                    self.note(name, "tcp", began, Ok(format!("{address} answers")));
                    first.get_or_insert(upstream);
                }
                // One dead address of several is a pity, not a fault: ostler takes another.
                Err(failure) if any => {
                    self.note(
                        name,
                        "tcp",
                        began,
                        Ok(format!("{address} does not answer ({}); another does", failure.sentence())),
                    );
                }
                Err(failure) => {
                    self.note(name, "tcp", began, Err(failure));
                }
            }
        }
        first
    }

    async fn tls(&mut self, name: &str, server: &Server, upstream: Upstream, timeouts: &Timeouts) -> Option<Upstream> {
        if server.security != Security::Tls {
            return Some(upstream);
        }
        let began = Instant::now();
        match self.engine.dialer.start_tls(upstream, timeouts).await {
            Ok(upstream) => {
                self.note(name, "tls", began, Ok(tls_detail(&upstream)));
                Some(upstream)
            }
            Err(failure) => {
                self.note(name, "tls", began, Err(failure));
                None
            }
        }
    }

    async fn sign_in<L: Login>(
        &mut self,
        name: &str,
        server: &Server,
        began: Instant,
        prepared: Result<Prepared<L>, Failure>,
        secret: Option<Arc<Secret>>,
        timeouts: &Timeouts,
    ) -> bool {
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) if server.gate().is_some() && matches!(failure, Failure::TurnedAway { .. }) => {
                // A gate may be shut in place of the greeting; the send below opens it and tells.
                return self.note(
                    name,
                    "capabilities",
                    began,
                    Ok(format!("not before a POP login: {}", failure.sentence())),
                );
            }
            Err(failure) => return self.note(name, "capabilities", began, Err(failure)),
        };
        let (Prepared::WantsSecret(upstream, _) | Prepared::Done(upstream, _)) = &prepared;
        let spoken = crate::failure::spoken(server.protocol);
        let detail = match server.security {
            Security::StartTls => format!("speaks {spoken}, {}", tls_detail(upstream)),
            _ => format!("speaks {spoken}"),
        };
        self.note(name, "capabilities", began, Ok(detail));
        if server.credentials().is_some() && secret.is_none() {
            return true;
        }
        let began = Instant::now();
        match prepared.finish(&self.engine.dialer, secret, timeouts).await {
            Ok((mut upstream, _)) => {
                leave(&mut upstream, timeouts).await;
                let detail = match (server.credentials(), server.gate()) {
                    (Some(credentials), _) => format!("accepted as {}", credentials.username),
                    (None, Some(_)) => "none here: a POP login comes before each send".into(),
                    (None, None) => "none wanted by the settings".into(),
                };
                self.note(name, "sign-in", began, Ok(detail))
            }
            Err(failure) => self.note(name, "sign-in", began, Err(failure)),
        }
    }

    /// MAIL and RCPT as a send would say them, through the gate if there is one.
    pub async fn send(&mut self) -> bool {
        let account = Arc::clone(&self.account);
        let Some(server) = account.smtp.first() else { return true };
        if server.credentials().is_some_and(|c| c.secret == SecretSource::Client) {
            return true;
        }
        let gated = account.smtp.iter().any(|s| s.gate().is_some());
        let (step, recipient) = if gated { ("gate", STRANGER) } else { ("send", account.address.as_str()) };
        let began = Instant::now();
        let came = rehearse(&self.engine, &account, recipient).await;
        let came = came.and_then(|reply| {
            if reply.is_ok() {
                return Ok(format!("a message to {recipient} would be taken ({}); none was sent", reply.one_line()));
            }
            match verdict(Stage::Rcpt, &reply) {
                Verdict::NotTheGate if gated => Ok(format!("open; about the recipient it says: {}", reply.one_line())),
                _ => Err(Failure::TurnedAway { at: server.into(), said: reply.one_line() }),
            }
        });
        self.note(&label(server), step, began, came)
    }
}

fn label(server: &Server) -> String {
    format!("{} {}", server.protocol.name(), server.address())
}

fn tls_detail(upstream: &Upstream) -> String {
    let Stream::Tls(stream) = &upstream.conn.stream else { return "no TLS".into() };
    let shown = tls::shown(stream.get_ref().1);
    format!("{}, certificate by {}, good until {}", shown.version, shown.issuer, shown.until)
}
