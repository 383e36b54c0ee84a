//! Tries every step to each server of an account for real, with times, and says what came of each: the engine of
//! `ostler check`, of the trial in `ostler add`, and later of the settings page. Sends no message: MAIL and RCPT are tried,
//! DATA never.
//!
//! Not here: what a failure's words are (`failure.rs`), what is likely behind it (`explain.rs`, and what a second look finds,
//! `doctor/likely_cause.rs`), and how steps are shown.

pub mod explain;
mod likely_cause;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::explain::Cause;
use crate::diagnose::explain::client_messages::{Moment, Shown, around, shows};
use crate::proxy::Engine;
use crate::proxy::net::dial::{Dialer, Route, Upstream};
use crate::proxy::net::tls;
use crate::proxy::sign_in::{Prepared, hear, prepare, say, supported};
use crate::proxy::smtp::submission::rehearse;
use crate::vault::place;
use ostler_mail::account::{Account, Protocol, SecretSource, Security, Server, Timeouts};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::machine::{Login, Outgoing};
use ostler_mail::secret::Secret;
use ostler_mail::smtp::verdict::{Stage, Verdict, verdict};
use ostler_mail::{pop3, smtp};

/// Whom a send is tried for where the gate is to be tested: somebody the provider has to relay to. Reserved by RFC 2606,
/// and nothing is ever sent to it.
pub const STRANGER: &str = "postmaster@example.com";

/// How long a mailbox may take to count its messages; whoever is signed in needs no more to know that it works.
const STAT: Duration = Duration::from_secs(15);

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
    /// What is likely behind it, where it failed.
    pub cause: Option<String>,
    /// What old mail programs show for it, where it failed.
    pub shows: Vec<Shown>,
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
            finish(&dialer, upstream, pop3::login::Pop3Login::new(server, &user, None), secret, timeouts).await
        }
        Protocol::Smtp => {
            let login = smtp::login::SmtpLogin::new(server, "[127.0.0.1]".into());
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
    let _ = say(upstream, &Outgoing::line("QUIT"), ostler_mail::failure::Waiting::Answer, timeouts.reply).await;
    upstream.conn.close().await;
}

/// Goes through an account. Every step is told at once, for a person is waiting, and kept.
pub struct Doctor<'a> {
    engine: Arc<Engine>,
    account: Arc<Account>,
    /// What is known of a provider that has switched its service off.
    closed: Option<String>,
    steps: Vec<Step>,
    tell: Box<dyn FnMut(&Step) + 'a>,
}

impl<'a> Doctor<'a> {
    /// For an account of the engine's.
    pub fn new(engine: Arc<Engine>, account: Arc<Account>, tell: impl FnMut(&Step) + 'a) -> Self {
        Self { engine, account, closed: None, steps: Vec::new(), tell: Box::new(tell) }
    }

    /// Tells it that the provider has switched this service off, in a sentence without a full stop: the likely cause of
    /// whatever fails.
    pub fn know_closed(&mut self, closed: Option<String>) {
        self.closed = closed;
    }

    /// What came of it.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Notes a step that was good.
    fn note(&mut self, server: &str, step: &'static str, began: Instant, detail: String) -> bool {
        let ms = milliseconds(began);
        self.keep(Step {
            server: server.to_owned(),
            step,
            ok: true,
            detail,
            advice: None,
            cause: None,
            shows: Vec::new(),
            ms,
            failure: None,
        })
    }

    /// Notes a step that failed, after a second look at what may be behind it.
    async fn fail(&mut self, server: &Server, step: &'static str, began: Instant, failure: Failure) -> bool {
        let ms = milliseconds(began);
        let look = likely_cause::look(&self.engine, &self.account, server, &failure, &self.steps).await;
        self.keep_failed(server, step, ms, failure, look)
    }

    fn keep_failed(
        &mut self,
        server: &Server,
        step: &'static str,
        ms: u64,
        failure: Failure,
        look: Option<likely_cause::Look>,
    ) -> bool {
        let known = explain::of(&failure);
        // What the provider's words give away says more than the kind of failure.
        let exact = known.filter(|cause| cause.id != explain::kind(&failure));
        let words = |cause: &Cause| {
            if exact.is_some() { format!("{}; {}", cause.means, cause.likely) } else { cause.likely.clone() }
        };
        let (seen, next) = look.map_or((None, None), |look| (Some(look.cause), look.advice));
        let cause = self.closed.clone().or(seen).or_else(|| known.map(words));
        let own = || exact.map(|cause| cause.next.replace("NAME", &ostler_mail::failure::as_word(&self.account.name)));
        let name = ostler_mail::failure::as_word(&self.account.name);
        let gone = self.closed.as_ref().map(|_| {
            format!(
                "no setting can change that; once you have another mailbox, ostler remove {name} takes this one out"
            )
        });
        let advice = gone.or(next).or_else(own).unwrap_or_else(|| failure.advice());
        let shows = match &failure {
            // ostler passes these on as the provider said them.
            Failure::ServiceRefused { said, .. } if matches!(step, "gate" | "send") => around(said, Moment::Recipient),
            _ => shows(&failure, Moment::of(server.protocol)),
        };
        self.keep(Step {
            server: label(server),
            step,
            ok: false,
            detail: failure.sentence(),
            advice: Some(advice),
            cause,
            shows,
            ms,
            failure: Some(failure),
        })
    }

    fn keep(&mut self, step: Step) -> bool {
        let ok = step.ok;
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
            self.note(&label(server), "settings", Instant::now(), detail);
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
        if let Err(failure) = supported(server) {
            return self.fail(server, "settings", began, failure).await;
        }
        self.note(&name, "settings", began, detail.to_owned());
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
            self.note(name, "secret", began, "your mail program has it; signing in cannot be checked from here".into());
            return Some(None);
        }
        let account = Arc::clone(&self.account);
        match self.engine.secret(&account, server, None).await {
            Ok(secret) => {
                self.note(name, "secret", began, format!("there, from {}", place(&credentials.secret)));
                Some(Some(secret))
            }
            Err(failure) => {
                self.fail(server, "secret", began, failure).await;
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
                self.fail(server, "name", began, failure).await;
                return None;
            }
        };
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.note(name, "name", began, shown.join(", "));
        let mut tries = Vec::new();
        for address in addresses {
            let began = Instant::now();
            let reached = self.engine.dialer.reach(server, address, timeouts.connect, Route::default()).await;
            tries.push((address, began, milliseconds(began), reached));
        }
        let any = tries.iter().any(|(.., reached)| reached.is_ok());
        let (mut first, mut looked) = (None, false);
        for (address, began, ms, reached) in tries {
            match reached {
                Ok(upstream) => {
                    self.note(name, "tcp", began, format!("{address} answers"));
                    first.get_or_insert(upstream);
                }
                // One dead address of several is a pity, not a fault: ostler takes another.
                Err(failure) if any => {
                    self.note(
                        name,
                        "tcp",
                        began,
                        format!("{address} does not answer ({}); another does", failure.sentence()),
                    );
                }
                Err(failure) => {
                    // One look is enough for all the addresses.
                    let look = if looked {
                        None
                    } else {
                        likely_cause::look(&self.engine, &self.account, server, &failure, &self.steps).await
                    };
                    looked = true;
                    self.keep_failed(server, "tcp", ms, failure, look);
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
                self.note(name, "tls", began, tls_detail(&upstream));
                Some(upstream)
            }
            Err(failure) => {
                self.fail(server, "tls", began, failure).await;
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
            Err(failure) if server.gate().is_some() && matches!(failure, Failure::ServiceRefused { .. }) => {
                // A gate may be shut in place of the greeting; the send below opens it and tells.
                return self.note(
                    name,
                    "capabilities",
                    began,
                    format!("not before a POP login: {}", failure.sentence()),
                );
            }
            Err(failure) => return self.fail(server, "capabilities", began, failure).await,
        };
        let (Prepared::WantsSecret(upstream, _) | Prepared::Done(upstream, _)) = &prepared;
        let spoken = ostler_mail::failure::spoken(server.protocol);
        let detail = match server.security {
            Security::StartTls => format!("speaks {spoken}, {}", tls_detail(upstream)),
            _ => format!("speaks {spoken}"),
        };
        self.note(name, "capabilities", began, detail);
        if server.credentials().is_some() && secret.is_none() {
            return true;
        }
        let began = Instant::now();
        match prepared.finish(&self.engine.dialer, secret, timeouts).await {
            Ok((mut upstream, _)) => {
                let waiting = match server.protocol {
                    Protocol::Pop3 => stat(&mut upstream, timeouts).await,
                    Protocol::Smtp | Protocol::Imap => Ok(None),
                };
                leave(&mut upstream, timeouts).await;
                let waiting = match waiting {
                    Ok(waiting) => waiting,
                    Err(failure) => return self.fail(server, "sign-in", began, failure).await,
                };
                let detail = match (server.credentials(), server.gate(), waiting) {
                    (Some(credentials), _, None) => format!("accepted as {}", credentials.username),
                    (Some(credentials), _, Some(1)) => {
                        format!("accepted as {}; 1 message is there", credentials.username)
                    }
                    (Some(credentials), _, Some(n)) => {
                        format!("accepted as {}; {n} messages are there", credentials.username)
                    }
                    (None, Some(_), _) => "none here: a POP login comes before each send".into(),
                    (None, None, _) => "none wanted by the settings".into(),
                };
                self.note(name, "sign-in", began, detail)
            }
            Err(failure) => self.fail(server, "sign-in", began, failure).await,
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
                _ => Err(Failure::ServiceRefused { at: server.into(), said: reply.one_line() }),
            }
        });
        match came {
            Ok(detail) => self.note(&label(server), step, began, detail),
            Err(failure) if gated => {
                let ms = milliseconds(began);
                let look = likely_cause::gate(&self.engine, &account, server, &failure).await;
                self.keep_failed(server, step, ms, failure, look)
            }
            Err(failure) => self.fail(server, step, began, failure).await,
        }
    }
}

/// How many messages wait. Google lets people in whose POP it has switched off, and says so only here.
async fn stat(upstream: &mut Upstream, timeouts: &Timeouts) -> Result<Option<u64>, Failure> {
    let limit = timeouts.reply.min(STAT);
    if say(upstream, &Outgoing::line("STAT"), Waiting::Answer, limit).await.is_err() {
        return Ok(None);
    }
    let deadline = tokio::time::Instant::now() + limit;
    let Ok(line) = hear(upstream, Waiting::Answer, limit, deadline).await else { return Ok(None) };
    let said = line.printable();
    match said.strip_prefix("-ERR") {
        Some(reason) => Err(Failure::ServiceRefused { at: upstream.at.clone(), said: reason.trim().to_owned() }),
        None => Ok(said.split_whitespace().nth(1).and_then(|count| count.parse().ok())),
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn label(server: &Server) -> String {
    format!("{} {}", server.protocol.name(), server.address())
}

fn tls_detail(upstream: &Upstream) -> String {
    let Some(session) = upstream.conn.tls() else { return "no TLS".into() };
    let shown = tls::shown(session);
    format!("{}, certificate by {}, good until {}", shown.version, shown.issuer, shown.until)
}

#[cfg(test)]
mod tests;
