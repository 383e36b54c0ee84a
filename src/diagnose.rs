//! Tries every step to each server of an account for real, with times, and reports each result. `ostler check`, the
//! trial in `ostler add` and the settings page all use it. It sends no message: MAIL and RCPT are tried, DATA never is.
//!
//! Not here: the words for a failure (`ostler_mail::failure`), its likely cause (`explain.rs`, and `likely_cause.rs`
//! for what a second look at the server finds), and how steps are shown.

pub mod explain;
mod likely_cause;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use self::explain::Cause;
use crate::diagnose::explain::client_messages::{ClientMessage, ReplyStage, messages_around, messages_for};
use crate::proxy::Engine;
use crate::proxy::net::dial::{Dialer, Route, Upstream};
use crate::proxy::net::{online, tls};
use crate::proxy::sign_in::{Prepared, ask, hear, leave, prepare, prepare_folder_on, prepare_on, say};
use crate::proxy::smtp::submission::rehearse;
use crate::vault::describe_source;
use ostler_mail::account::{Account, INBOX, Protocol, SecretSource, Security, Server, Timeouts};
use ostler_mail::clock::UnixTime;
use ostler_mail::failure::{Failure, Waiting, as_word};
use ostler_mail::machine::{Login, Outgoing};
use ostler_mail::oauth2::tokens::{Tokens, is_kept_for};
use ostler_mail::pop3::uidl::{IdList, Progress};
use ostler_mail::secret::Secret;
use ostler_mail::secret::given::BLANKS_LEFT_OUT;
use ostler_mail::smtp::verdict::{Verdict, verdict};
use ostler_mail::{imap, maildrop, pop3, smtp};

/// The recipient that tests whether a gate is open: an address outside the provider, which it would have to relay to.
/// RFC 2606 reserves the domain, and ostler never sends anything to it.
pub(crate) const RELAY_TEST_RECIPIENT: &str = "postmaster@example.com";

/// The answer to STAT may take this long. Some servers are slow to count a large mailbox; by then the sign-in has
/// worked, so the check goes on without the count.
const STAT_TIMEOUT: Duration = Duration::from_secs(15);

/// The whole answer to UIDL may take this long. Outlook Express waits a minute at most, and here a person is waiting.
const UIDL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a step tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// The settings of the server: can this version use them?
    Settings,
    /// Getting the password from its source.
    Secret,
    /// Getting an OAuth2 access token: who has signed in, until when it is good, and for what.
    Token,
    /// Looking up the server's addresses.
    Name,
    /// Connecting to one address.
    Tcp,
    /// The TLS handshake and the certificate.
    Tls,
    /// The greeting, STARTTLS and what the server offers.
    Capabilities,
    /// User name and password.
    SignIn,
    /// The list of ids (UIDL) that mail programs ask for first.
    MessageIds,
    /// A send through a POP-before-SMTP gate.
    Gate,
    /// A send without a gate.
    Send,
}

impl StepKind {
    /// The word in the output and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Secret => "secret",
            Self::Token => "token",
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Capabilities => "capabilities",
            Self::SignIn => "sign-in",
            Self::MessageIds => "message-ids",
            Self::Gate => "gate",
            Self::Send => "send",
        }
    }
}

/// One step and its result.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Protocol and address of the server.
    pub(crate) server: String,
    /// What was tried.
    pub(crate) kind: StepKind,
    /// What was seen.
    pub(crate) detail: String,
    /// What to do about a failure.
    pub(crate) advice: Option<String>,
    /// The likely cause of a failure.
    pub(crate) cause: Option<String>,
    /// What old mail programs show for a failure.
    pub(crate) client_messages: Vec<ClientMessage>,
    /// Whether it says something that the user has not just typed, although it worked.
    pub(crate) has_news: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
    /// `None` if the step worked.
    pub(crate) failure: Option<Failure>,
}

impl Step {
    fn success(server: &str, kind: StepKind, began: Instant, detail: String) -> Self {
        let (server, ms, client_messages) = (server.to_owned(), millis_since(began), Vec::new());
        Self { server, kind, detail, advice: None, cause: None, client_messages, has_news: false, ms, failure: None }
    }

    /// Whether it worked.
    pub(crate) fn is_ok(&self) -> bool {
        self.failure.is_none()
    }

    /// Whether it is about sending.
    #[cfg(feature = "web")]
    pub(crate) fn is_outgoing(&self) -> bool {
        // The label of its server begins so.
        self.server.starts_with(Protocol::Smtp.name())
    }

    /// Whether it says nothing new to a person who has just typed the settings and the password.
    pub(crate) fn is_routine(&self) -> bool {
        self.is_ok() && !self.has_news && matches!(self.kind, StepKind::Settings | StepKind::Secret | StepKind::Token)
    }
}

/// The form that `ostler check --json` promises.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("Step", 8)?;
        json.serialize_field("server", &self.server)?;
        json.serialize_field("step", self.kind.name())?;
        json.serialize_field("ok", &self.is_ok())?;
        json.serialize_field("detail", &self.detail)?;
        json.serialize_field("advice", &self.advice)?;
        json.serialize_field("cause", &self.cause)?;
        json.serialize_field("shows", &self.client_messages)?;
        json.serialize_field("ms", &self.ms)?;
        json.end()
    }
}

/// Who has signed in, until when the token is good, and what it is for.
fn describe_token(account: &Account, tokens: &Tokens) -> String {
    let at = account.oauth2.as_ref().map_or("the company", |issuer| issuer.title.as_str());
    let who = tokens.who().map(|who| format!(" as {who}")).unwrap_or_default();
    let then = if tokens.can_renew() { "then ostler renews it" } else { "then you have to sign in again" };
    let until = match tokens.expires().map(to_minute) {
        Some(until) => format!("the token is good until {until}, {then}"),
        None => "the company does not say how long the token is good".to_owned(),
    };
    let scope = tokens.scope().map(|scope| format!("; it is for: {scope}")).unwrap_or_default();
    format!("signed in at {at}{who}; {until}{scope}")
}

/// `2026-11-29 21:30 UTC`.
fn to_minute(time: UnixTime) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()),
        Err(_) => "a time far away".to_owned(),
    }
}

/// Signs in at one server with a secret that is not stored yet, and leaves again.
pub(crate) async fn sign_in_with(server: &Server, secret: Arc<Secret>, timeouts: &Timeouts) -> Result<(), Failure> {
    let dialer = Dialer::default();
    let upstream = dialer.connect(server, timeouts, Route::default()).await?;
    match server.protocol {
        Protocol::Pop3 => {
            let login = pop3::login::Pop3Login::new(server, None);
            finish(&dialer, server, upstream, login, secret, timeouts).await
        }
        Protocol::Smtp => {
            let login = smtp::login::SmtpLogin::new(server, "[127.0.0.1]".into());
            finish(&dialer, server, upstream, login, secret, timeouts).await
        }
        Protocol::Imap => {
            let login = imap::login::ImapLogin::new(server);
            finish(&dialer, server, upstream, login, secret, timeouts).await
        }
    }
}

async fn finish<L: Login>(
    dialer: &Dialer,
    server: &Server,
    upstream: Upstream,
    login: L,
    secret: Arc<Secret>,
    timeouts: &Timeouts,
) -> Result<(), Failure> {
    let prepared = prepare(dialer, server, upstream, login, timeouts).await?;
    let (mut upstream, _) = prepared.finish(dialer, server, Some(secret), timeouts).await?;
    leave(&mut upstream, timeouts.reply).await;
    Ok(())
}

/// Tries every step to each server of an account, as `ostler check` does. If the provider is known to have switched its
/// service off, `closed` says so in a sentence without a full stop; it is then the likely cause of every failure.
pub(crate) async fn check_account(
    engine: &Arc<Engine>,
    account: &Arc<Account>,
    closed: Option<String>,
    on_step: impl FnMut(&Step),
) -> Vec<Step> {
    let mut doctor = Doctor::new(Arc::clone(engine), Arc::clone(account), on_step);
    doctor.closed = closed;
    doctor.check().await;
    doctor.into_steps()
}

/// What a sign-in can be checked with.
enum KnownSecret {
    Here(Arc<Secret>),
    /// The server wants no sign-in.
    NotWanted,
    /// Only the mail program has it.
    WithMailProgram,
}

/// Checks an account step by step. Reports every step as soon as it is done, because a person is waiting, and keeps it.
pub(crate) struct Doctor<'a> {
    engine: Arc<Engine>,
    account: Arc<Account>,
    /// Whether the account is in the settings, where it can be corrected.
    is_saved: bool,
    /// Why the provider has switched its service off, if it is known to have.
    closed: Option<String>,
    steps: Vec<Step>,
    on_step: Box<dyn FnMut(&Step) + 'a>,
}

impl<'a> Doctor<'a> {
    /// Checks one of the engine's accounts; `on_step` is called after each step.
    pub(crate) fn new(engine: Arc<Engine>, account: Arc<Account>, on_step: impl FnMut(&Step) + 'a) -> Self {
        Self { engine, account, is_saved: true, closed: None, steps: Vec::new(), on_step: Box::new(on_step) }
    }

    /// The account is being tried before it is saved.
    pub(crate) fn of_unsaved(self) -> Self {
        Self { is_saved: false, ..self }
    }

    /// All steps, in the order in which they were tried.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn record_success(&mut self, server: &str, kind: StepKind, began: Instant, detail: String) -> bool {
        self.push(Step::success(server, kind, began, detail))
    }

    /// Records a failed step, after a second look at what may have caused it.
    async fn record_failure(&mut self, server: &Server, kind: StepKind, began: Instant, failure: Failure) -> bool {
        let ms = millis_since(began);
        self.look_and_push(server, kind, ms, failure).await
    }

    async fn look_and_push(&mut self, server: &Server, kind: StepKind, ms: u64, failure: Failure) -> bool {
        let failure = online::look_again(failure).await;
        let look = likely_cause::look(&self.engine, &self.account, server, &failure, &self.steps).await;
        self.push_failure(server, kind, ms, failure, look)
    }

    fn push_failure(
        &mut self,
        server: &Server,
        kind: StepKind,
        ms: u64,
        failure: Failure,
        look: Option<likely_cause::Look>,
    ) -> bool {
        let (cause, advice) = self.explain(&failure, look);
        let client_messages = match &failure {
            // ostler passes these on in the provider's words.
            Failure::ServiceRefused { at, said }
                if at.protocol == Protocol::Smtp && matches!(kind, StepKind::Gate | StepKind::Send) =>
            {
                messages_around(said, ReplyStage::Recipient)
            }
            _ => messages_for(&failure, ReplyStage::of(server.protocol)),
        };
        self.push(Step {
            server: label(server),
            kind,
            detail: failure.sentence(),
            advice: Some(advice),
            cause,
            client_messages,
            has_news: true,
            ms,
            failure: Some(failure),
        })
    }

    /// The likely cause of a failure, and what to do. The most certain knowledge wins: a service known to be closed,
    /// then what the second look found, then the provider's own words, then the kind of failure.
    fn explain(&self, failure: &Failure, look: Option<likely_cause::Look>) -> (Option<String>, String) {
        let name = as_word(&self.account.name);
        let known = explain::cause_of(failure);
        // A cause told by the provider's words says more than the kind of failure does.
        let by_words = known.filter(|cause| cause.id != explain::cause_id(failure));
        let text = |cause: &Cause| match by_words {
            Some(_) => format!("{}; {}", cause.means, cause.likely),
            None => cause.likely.clone(),
        };
        let (found_cause, found_advice) = look
            .map_or((None, None), |look| (Some(look.cause), look.advice.map(|advice| advice.in_words(self.is_saved))));
        let cause = self.closed.clone().or(found_cause).or_else(|| known.map(text));
        let closed_advice = self.closed.as_ref().map(|_| {
            format!(
                "no setting can change this; once you have another mailbox, remove this account: ostler remove {name}"
            )
        });
        let advice = closed_advice
            .or(found_advice)
            .or_else(|| by_words.map(|cause| failure.with_place_of_password(&cause.next).replace("NAME", &name)))
            .unwrap_or_else(|| failure.advice());
        // An account that is being added is in no settings, where something could be corrected.
        let advice = if self.is_saved { advice } else { advice.replace(" in the settings", "") };
        (cause, advice)
    }

    fn push(&mut self, step: Step) -> bool {
        let is_ok = step.is_ok();
        (self.on_step)(&step);
        self.steps.push(step);
        is_ok
    }

    /// Checks every server, then how a message would be sent.
    async fn check(&mut self) {
        let account = Arc::clone(&self.account);
        if let Some(server) = &account.pop3 {
            self.check_server(server).await;
        }
        if self.is_offline() {
            return;
        }
        // One working server is enough: a send goes to the first that can be reached.
        let mut can_send = account.smtp.is_empty();
        for server in &account.smtp {
            // The login server is mostly the POP3 server, which has been checked by now.
            if let Some(gate) = server.gate()
                && account.pop3.as_ref().is_none_or(|pop3| pop3.id() != gate.login.id())
            {
                self.check_server(&gate.login).await;
            }
            can_send |= self.check_server(server).await;
            if self.is_offline() {
                return;
            }
        }
        if can_send && !account.smtp.is_empty() {
            self.check_send().await;
        }
        match &account.imap {
            Some(server) if account.pop3.is_some() => self.check_imap_beside_pop3(server).await,
            Some(server) => drop(self.check_server(server).await),
            None => {}
        }
    }

    /// Whether the last step failed for want of a network: every other server would fail in the same way.
    fn is_offline(&self) -> bool {
        matches!(self.steps.last(), Some(Step { failure: Some(Failure::NotConnected { .. }), .. }))
    }

    /// Tries an IMAP server whose account has POP3 as well. Most programs fetch by POP3 then, and many providers have IMAP
    /// switched off. So a failure is shown, but the account counts as working.
    pub(crate) async fn check_imap_beside_pop3(&mut self, server: &Server) {
        let began = Instant::now();
        let mut tried = Doctor::new(Arc::clone(&self.engine), Arc::clone(&self.account), |_| {});
        let works = Box::pin(tried.check_server(server)).await;
        let failed = tried.into_steps().into_iter().rfind(|step| !step.is_ok());
        let detail = match failed {
            Some(step) if !works => format!("mail programs that fetch by POP3 work; by IMAP none can: {}", step.detail),
            _ => "mail programs can read by IMAP, too".to_owned(),
        };
        self.record_success(&label(server), StepKind::SignIn, began, detail);
    }

    /// Tries all steps to one server; whether the last one worked.
    pub(crate) async fn check_server(&mut self, server: &Server) -> bool {
        let name = label(server);
        let settings = self.engine.settings();
        let timeouts = &settings.timeouts;
        let began = Instant::now();
        let detail = match server.security {
            Security::Tls => "TLS from the start",
            Security::StartTls => "TLS by STARTTLS, required",
            Security::None => "NO ENCRYPTION: anyone along the way can read mail and password",
        };
        self.record_success(&name, StepKind::Settings, began, detail.to_owned());
        let Some(secret) = self.check_secret(&name, server).await else { return false };
        let Some(upstream) = self.check_addresses(&name, server, timeouts).await else { return false };
        let Some(upstream) = self.check_tls(&name, server, upstream, timeouts).await else { return false };
        let began = Instant::now();
        match server.protocol {
            Protocol::Pop3 => {
                let prepared = prepare_on::<pop3::login::Pop3Login>(&self.engine, upstream, server, timeouts).await;
                self.check_sign_in(server, began, prepared, secret, timeouts, |_| None).await
            }
            Protocol::Smtp => {
                let prepared = prepare_on::<smtp::login::SmtpLogin>(&self.engine, upstream, server, timeouts).await;
                self.check_sign_in(server, began, prepared, secret, timeouts, |_| None).await
            }
            // Not only whether it signs in: POP3 clients want the folder and its list too.
            Protocol::Imap if self.account.pop3.is_none() => {
                let account = Arc::clone(&self.account);
                let prepared = prepare_folder_on(&self.engine, upstream, server, &account.folder, timeouts).await;
                self.check_sign_in(server, began, prepared, secret, timeouts, describe_maildrop).await
            }
            Protocol::Imap => {
                let prepared = prepare_on::<imap::login::ImapLogin>(&self.engine, upstream, server, timeouts).await;
                self.check_sign_in(server, began, prepared, secret, timeouts, |_| None).await
            }
        }
    }

    /// `None` if it failed.
    async fn check_secret(&mut self, name: &str, server: &Server) -> Option<KnownSecret> {
        let Some(credentials) = server.credentials() else { return Some(KnownSecret::NotWanted) };
        let began = Instant::now();
        if credentials.secret == SecretSource::Client {
            let detail = "only your mail program has it, so signing in cannot be checked from here".into();
            self.record_success(name, StepKind::Secret, began, detail);
            return Some(KnownSecret::WithMailProgram);
        }
        if is_kept_for(server) {
            return self.check_token(name, server).await.map(KnownSecret::Here);
        }
        let account = Arc::clone(&self.account);
        match self.engine.find_secret(&account, server, None).await {
            Ok(found) => {
                let mut detail = format!("found in {}", describe_source(&credentials.secret));
                if found.has_lost_blanks {
                    detail += &format!("; {BLANKS_LEFT_OUT}");
                }
                let step = Step::success(name, StepKind::Secret, began, detail);
                self.push(Step { has_news: found.has_lost_blanks, ..step });
                Some(KnownSecret::Here(found.secret))
            }
            Err(failure) => {
                self.record_failure(server, StepKind::Secret, began, failure).await;
                None
            }
        }
    }

    /// The access token that ostler keeps for this server, renewed if that is due.
    async fn check_token(&mut self, name: &str, server: &Server) -> Option<Arc<Secret>> {
        let (began, account) = (Instant::now(), Arc::clone(&self.account));
        match self.engine.tokens.tokens(&account, None).await {
            Ok(tokens) => {
                self.record_success(name, StepKind::Token, began, describe_token(&account, &tokens));
                Some(Arc::clone(tokens.access()))
            }
            Err(trouble) => {
                let failure = trouble.at(&account, server.into());
                self.record_failure(server, StepKind::Token, began, failure).await;
                None
            }
        }
    }

    /// Looks up the name and tries every address; returns the first connection that was made.
    async fn check_addresses(&mut self, name: &str, server: &Server, timeouts: &Timeouts) -> Option<Upstream> {
        let began = Instant::now();
        let addresses = match self.engine.dialer.resolve(server, timeouts.connect).await {
            Ok(addresses) => addresses,
            Err(failure) => {
                self.record_failure(server, StepKind::Name, began, failure).await;
                return None;
            }
        };
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.record_success(name, StepKind::Name, began, shown.join(", "));
        let mut tries = Vec::new();
        for address in addresses {
            let began = Instant::now();
            let reached = self.engine.dialer.reach(server, address, timeouts.connect, Route::default()).await;
            tries.push((address, began, millis_since(began), reached));
        }
        let is_any_reached = tries.iter().any(|(.., reached)| reached.is_ok());
        let (mut first, mut has_looked) = (None, false);
        for (address, began, ms, reached) in tries {
            match reached {
                Ok(upstream) => {
                    self.record_success(name, StepKind::Tcp, began, format!("{address} answers"));
                    first.get_or_insert(upstream);
                }
                // Not a failure of the account: ostler connects to an address that answers.
                Err(failure) if is_any_reached => {
                    let detail =
                        format!("{address} does not answer ({}), but another address does", failure.sentence());
                    self.record_success(name, StepKind::Tcp, began, detail);
                }
                // A second look takes seconds, and finds the same for every address.
                Err(failure) if has_looked => {
                    self.push_failure(server, StepKind::Tcp, ms, failure, None);
                }
                Err(failure) => {
                    has_looked = true;
                    self.look_and_push(server, StepKind::Tcp, ms, failure).await;
                    if self.is_offline() {
                        return None;
                    }
                }
            }
        }
        first
    }

    async fn check_tls(
        &mut self,
        name: &str,
        server: &Server,
        upstream: Upstream,
        timeouts: &Timeouts,
    ) -> Option<Upstream> {
        if server.security != Security::Tls {
            return Some(upstream);
        }
        let began = Instant::now();
        match self.engine.dialer.start_tls(upstream, timeouts).await {
            Ok(upstream) => {
                self.record_success(name, StepKind::Tls, began, describe_tls(&upstream));
                Some(upstream)
            }
            Err(failure) => {
                self.record_failure(server, StepKind::Tls, began, failure).await;
                None
            }
        }
    }

    /// Goes on where the server wants the secret. `found`: what the sign-in has shown to be there.
    async fn check_sign_in<L: Login>(
        &mut self,
        server: &Server,
        began: Instant,
        prepared: Result<Prepared<L>, Failure>,
        secret: KnownSecret,
        timeouts: &Timeouts,
        found: impl Fn(&L::Ready) -> Option<String>,
    ) -> bool {
        let name = label(server);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return self.record_no_greeting(server, began, failure).await,
        };
        self.record_success(&name, StepKind::Capabilities, began, describe_greeting(server, prepared.upstream()));
        let secret = match secret {
            KnownSecret::Here(secret) => Some(secret),
            KnownSecret::NotWanted => None,
            KnownSecret::WithMailProgram => return true,
        };
        let began = Instant::now();
        let finished = prepared.finish_for(&self.engine, &self.account, server, secret, timeouts).await;
        let (mut upstream, ready) = match finished {
            Ok(done) => done,
            Err(failure) => return self.record_failure(server, StepKind::SignIn, began, failure).await,
        };
        let count = match count_messages(&mut upstream, timeouts).await {
            Ok(count) => count,
            Err(failure) => {
                leave(&mut upstream, timeouts.reply).await;
                return self.record_failure(server, StepKind::SignIn, began, failure).await;
            }
        };
        let there = count.map(messages_are_there).or_else(|| found(&ready));
        self.record_success(&name, StepKind::SignIn, began, describe_sign_in(server, there));
        if let Some(count) = count {
            self.check_message_ids(server, &mut upstream, count, timeouts).await;
        }
        leave(&mut upstream, timeouts.reply).await;
        true
    }

    /// Records that a server did not get as far as the sign-in. Some gates refuse in place of the greeting, which is no failure yet:
    /// `check_send` logs in first and tells whether the gate opens.
    async fn record_no_greeting(&mut self, server: &Server, began: Instant, failure: Failure) -> bool {
        if server.gate().is_some() && matches!(failure, Failure::ServiceRefused { .. }) {
            let detail = format!("refused before a POP login: {}", failure.sentence());
            return self.record_success(&label(server), StepKind::Capabilities, began, detail);
        }
        self.record_failure(server, StepKind::Capabilities, began, failure).await
    }

    /// Asks for the ids of the messages, as mail programs do. They are a step of their own and do not decide whether the
    /// server works: ostler passes every list on, and one damaged message is no reason not to add an account.
    async fn check_message_ids(&mut self, server: &Server, upstream: &mut Upstream, count: u64, timeouts: &Timeouts) {
        let began = Instant::now();
        let (list, is_whole) = match read_message_ids(upstream, count, timeouts.reply.min(UIDL_TIMEOUT)).await {
            Ok(read) => read,
            Err(failure) => {
                self.record_failure(server, StepKind::MessageIds, began, failure).await;
                return;
            }
        };
        let looked_at = list.looked_at();
        if let Some((problem, others)) = list.problem() {
            let failure = Failure::MessageIds { at: server.into(), problem, others };
            self.record_failure(server, StepKind::MessageIds, began, failure).await;
            return;
        }
        let detail = match is_whole {
            true => "each message has an id of its own (UIDL)".into(),
            false => format!("the first {looked_at} of {count} ids (UIDL) are good; the others were not looked at"),
        };
        self.record_success(&label(server), StepKind::MessageIds, began, detail);
    }

    /// Says MAIL and RCPT as a send would, through the gate if there is one.
    pub(crate) async fn check_send(&mut self) -> bool {
        let account = Arc::clone(&self.account);
        let Some(server) = account.smtp.first() else { return true };
        // Without the password, which only the mail program has, there is nothing to try.
        if server.credentials().is_some_and(|c| c.secret == SecretSource::Client) {
            return true;
        }
        let has_gate = account.smtp.iter().any(|s| s.gate().is_some());
        // Only mail to somewhere else needs an open gate; without a gate the own address is the safe choice.
        let (kind, recipient) = match has_gate {
            true => (StepKind::Gate, RELAY_TEST_RECIPIENT),
            false => (StepKind::Send, account.address.as_str()),
        };
        let began = Instant::now();
        let result = rehearse(&self.engine, &account, recipient).await.and_then(|reply| {
            if reply.is_ok() {
                let said = reply.one_line();
                return Ok(format!("a message to {recipient} would be accepted ({said}); none was sent"));
            }
            match verdict(&reply) {
                Verdict::NotTheGate if has_gate => {
                    Ok(format!("open; the server's answer about the recipient: {}", reply.one_line()))
                }
                _ => Err(Failure::ServiceRefused { at: server.into(), said: reply.one_line() }),
            }
        });
        match result {
            Ok(detail) => self.record_success(&label(server), kind, began, detail),
            Err(failure) if has_gate => {
                let ms = millis_since(began);
                let look = likely_cause::look_at_gate(&self.engine, &account, server, &failure).await;
                self.push_failure(server, kind, ms, failure, look)
            }
            Err(failure) => self.record_failure(server, kind, began, failure).await,
        }
    }
}

fn messages_are_there(count: u64) -> String {
    if count == 1 { "1 message is there".into() } else { format!("{count} messages are there") }
}

/// What POP3 clients get from a folder of an IMAP server.
fn describe_maildrop(ready: &maildrop::login::Ready) -> Option<String> {
    let maildrop::login::Ready::Imap(opened, _) = ready else { return None };
    let mut text = messages_are_there(opened.messages.len() as u64);
    if opened.folder.name != INBOX {
        text += &format!(", in the folder \"{}\"", opened.folder.name);
    }
    text += "; programs that use POP3 get them from here";
    if !opened.can_expunge_by_uid() {
        text += ", but what they delete stays while another program has marked messages as deleted (no UIDPLUS)";
    }
    Some(text)
}

fn describe_greeting(server: &Server, upstream: &Upstream) -> String {
    let spoken = ostler_mail::failure::spoken(server.protocol);
    match server.security {
        Security::StartTls => format!("speaks {spoken}, {}", describe_tls(upstream)),
        Security::Tls | Security::None => format!("speaks {spoken}"),
    }
}

fn describe_sign_in(server: &Server, there: Option<String>) -> String {
    match (server.credentials(), server.gate(), there) {
        (Some(credentials), _, None) => format!("accepted as {}", credentials.username),
        (Some(credentials), _, Some(there)) => format!("accepted as {}; {there}", credentials.username),
        (None, Some(_), _) => "none here: ostler logs in by POP before each send".into(),
        (None, None, _) => "none wanted by the settings".into(),
    }
}

/// Asks a POP3 server how many messages wait. Google accepts the password even where POP is switched off, and refuses only here.
async fn count_messages(upstream: &mut Upstream, timeouts: &Timeouts) -> Result<Option<u64>, Failure> {
    if upstream.at.protocol != Protocol::Pop3 {
        return Ok(None);
    }
    let limit = timeouts.reply.min(STAT_TIMEOUT);
    // The sign-in has been accepted, so without an answer only the number of messages is missing.
    let Ok(line) = ask(upstream, "STAT", Waiting::Answer, limit).await else { return Ok(None) };
    let said = line.printable();
    match said.strip_prefix("-ERR") {
        Some(reason) => Err(Failure::ServiceRefused { at: upstream.at.clone(), said: reason.trim().to_owned() }),
        None => Ok(said.split_whitespace().nth(1).and_then(|count| count.parse().ok())),
    }
}

/// Reads the answer to UIDL. Returns also whether it came to its end: a list that takes too long is judged by the lines that have
/// come.
async fn read_message_ids(upstream: &mut Upstream, count: u64, limit: Duration) -> Result<(IdList, bool), Failure> {
    let mut list = IdList::new(count);
    say(upstream, &Outgoing::line("UIDL"), Waiting::Answer, limit).await?;
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match hear(upstream, Waiting::Answer, limit, deadline).await {
            Ok(line) => match list.take(&line) {
                Progress::More => {}
                Progress::Ended => return Ok((list, true)),
                Progress::Enough => return Ok((list, false)),
            },
            Err(Failure::TimedOut { .. }) if list.looked_at() > 0 => return Ok((list, false)),
            Err(failure) => return Err(failure),
        }
    }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn label(server: &Server) -> String {
    format!("{} {}", server.protocol.name(), server.address())
}

fn describe_tls(upstream: &Upstream) -> String {
    let Some(session) = upstream.conn.tls() else { return "no TLS".into() };
    let shown = tls::describe(session);
    format!("{}, certificate by {}, valid until {}", shown.version, shown.issuer, shown.until)
}

#[cfg(test)]
mod tests;
