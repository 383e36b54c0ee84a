//! One message's submission (RFC 6409) to its provider: what became of its commands so far, what to do about an answer, and
//! whether a session at the provider can serve it. As long as no body has been sent, saying the envelope again on another
//! connection costs nothing, so a refusal that is a shut gate is tried again behind a login.
//!
//! Nothing here knows a socket; the program's `proxy/smtp/submission.rs` does what this decides.

use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, AfterPop, Security, Server};
use crate::clock::Moment;
use crate::failure::{Failure, one_line};
use crate::pop_before_smtp::{Gate, GateRetry, LoginPolicy, LoginState, Try};
use crate::smtp::envelope::{Envelope, EnvelopeCommand, Refusal, ReplyMeaning, Step};
use crate::smtp::verdict::{Stage, Verdict, verdict};
use crate::smtp::{Extensions, Mail, Reply};
use crate::wire::CLIENT_REPLY;

/// All that ostler keeps of one message, from its MAIL on. A new message has a new one, so nothing of the last can leak
/// into it.
#[derive(Debug)]
pub struct Submission {
    account: Arc<Account>,
    envelope: Envelope,
    asked: Asked,
    attempts: Attempts,
    /// Which of the account's servers has accepted MAIL: no other one may go on with this message, for the first may
    /// send it as well.
    mail_server: usize,
    /// Which of the account's servers was tried last.
    last_server: usize,
}

/// The client's command that is being said, and its retries.
#[derive(Debug)]
struct Asked {
    command: EnvelopeCommand,
    at: Moment,
    is_accepted: bool,
    retry: Option<GateRetry>,
    tries: usize,
    /// The last answer of a shut gate.
    refusal: Option<Reply>,
    reopened: bool,
}

/// What the message's connections have cost, and how the last one was made.
#[derive(Debug, Default)]
struct Attempts {
    /// What the retries of the commands before this one have taken: the client's patience is for the whole message.
    retry_time: Duration,
    /// When the last connection was opened: a login accepted since is one it may not have profited from.
    opened_at: Option<Moment>,
    /// A login was made for that very connection, or at least after this message was refused.
    login_is_new: bool,
    /// A new login was wanted and had to wait for the client's own session to end.
    login_owed: bool,
}

/// How the provider that answered was reached.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The gate before it, and what is known of its login.
    pub gate: Option<(&'a AfterPop, &'a mut Gate)>,
    /// The connection has served a message before, and nothing of this one: it may have hung up since.
    pub was_used: bool,
}

/// What to do when a command has not come through.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Tell the client this.
    Answer(Reply),
    /// Give up for another reason than a refusal.
    Fail(Failure),
    /// Say the envelope again on a new connection, at once.
    Reopen,
    /// The gate is shut: QUIT, wait, and say the envelope again on a new connection behind such a login.
    Retry(Duration, LoginPolicy),
}

impl Submission {
    /// A message that begins now; MAIL is its first command.
    pub fn new(account: Arc<Account>, mail: Mail, now: Moment) -> Self {
        Self {
            account,
            envelope: Envelope::new(mail),
            asked: Asked::new(EnvelopeCommand::Mail, now),
            attempts: Attempts::default(),
            mail_server: 0,
            last_server: 0,
        }
    }

    /// Whose message it is.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Sender and accepted recipients.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The client's next command, heard now.
    pub fn begin_command(&mut self, command: EnvelopeCommand, now: Moment) {
        self.asked = Asked::new(command, now);
    }

    /// The client's command has its answer.
    pub fn end_command(&mut self, now: Moment) {
        self.attempts.retry_time += self.retries(now).map(|(_, spent)| spent).unwrap_or_default();
    }

    /// Whether the message has only begun, so that any of the account's servers may take it.
    pub fn is_at_mail(&self) -> bool {
        self.asked.command == EnvelopeCommand::Mail
    }

    /// The account's servers that may have the message, in the order to try them.
    pub fn servers(&self) -> std::ops::Range<usize> {
        if self.is_at_mail() { 0..self.account.smtp.len() } else { self.mail_server..self.mail_server + 1 }
    }

    /// A connection to this server is about to be made.
    pub fn on_server(&mut self, index: usize, now: Moment) {
        self.last_server = index;
        (self.attempts.opened_at, self.attempts.login_is_new) = (Some(now), false);
    }

    /// The gate before that server is behind us; `login_is_new`: by a login made for this, or after the refusal.
    pub fn on_login(&mut self, login_is_new: bool, policy: LoginPolicy, now: Moment) {
        self.attempts.opened_at = Some(now);
        self.attempts.login_is_new = login_is_new;
        self.attempts.login_owed = matches!(policy, LoginPolicy::NewerThan(_)) && !login_is_new;
    }

    /// Whether the last connection came behind a login of its own.
    pub fn login_is_new(&self) -> bool {
        self.attempts.login_is_new
    }

    /// The message goes to a server whose session was opened for another one.
    pub fn on_kept_session(&mut self, index: usize, opened_at: Moment) {
        self.last_server = index;
        (self.attempts.opened_at, self.attempts.login_is_new) = (Some(opened_at), false);
    }

    /// The gate before the server that was tried last, if it has one.
    pub fn gate(&self) -> Option<&Arc<AfterPop>> {
        self.account.smtp.get(self.last_server).and_then(Server::gate)
    }

    /// The size the client announced and the one the provider takes, in octets, where that is less.
    pub fn too_big(&self, offered: &Extensions) -> Option<(u64, u64)> {
        self.envelope.too_big(offered)
    }

    /// The line for a connection that has accepted this many commands of the message, without CR LF.
    pub fn line(&self, accepted: usize, offered: &Extensions) -> Option<String> {
        Some(self.step(accepted)?.line(offered))
    }

    fn step(&self, accepted: usize) -> Option<Step<'_>> {
        // An accepted recipient has moved into the envelope: the command is over, and must not be said again.
        if self.asked.is_accepted { None } else { self.envelope.step(accepted, &self.asked.command) }
    }

    /// The answer to that line, from this one of the account's servers.
    pub fn on_reply(&mut self, accepted: usize, reply: Reply, server: usize) -> ReplyMeaning {
        let Some(step) = self.step(accepted) else {
            return ReplyMeaning::NotAnAnswer("it answered what nobody said".into());
        };
        let meaning = step.meaning(reply);
        match meaning {
            ReplyMeaning::Accepted(_) => {
                (self.mail_server, self.asked.is_accepted) = (server, true);
                if let EnvelopeCommand::Rcpt(recipient) = &mut self.asked.command {
                    self.envelope.add_recipient(std::mem::take(recipient));
                }
            }
            ReplyMeaning::Next => self.mail_server = server,
            ReplyMeaning::Refused(_) | ReplyMeaning::NotAnAnswer(_) => {}
        }
        meaning
    }

    /// What to do about a refusal, heard now.
    pub fn on_refusal(&mut self, refusal: Refusal, attempt: Attempt<'_>, now: Moment) -> Next {
        if refusal.closes_connection() && refusal.stage == Stage::Mail && self.may_reopen(&attempt) {
            return self.reopen();
        }
        self.retry_at_gate(refusal, attempt, now)
    }

    /// What to do when there is no answer at all, or no connection.
    pub fn on_failure(&mut self, failure: Failure, attempt: Attempt<'_>, now: Moment) -> Next {
        match failure {
            Failure::Lost { .. } | Failure::ProtocolViolation { .. } if self.may_reopen(&attempt) => self.reopen(),
            // Many gates are shut in place of the greeting (qmail, vpopmail).
            Failure::ServiceRefused { said, .. } if attempt.gate.is_some() => {
                let reply = Reply::from_line(&said);
                self.retry_at_gate(Refusal { stage: Stage::Connect, reply, is_last: true }, attempt, now)
            }
            failure => Next::Fail(failure),
        }
    }

    /// A provider may hang up between two messages; as nothing of this one was taken yet, a new connection is free. Once:
    /// one that always hangs up at MAIL means this message.
    fn may_reopen(&self, attempt: &Attempt<'_>) -> bool {
        attempt.was_used && !self.asked.reopened
    }

    fn reopen(&mut self) -> Next {
        self.asked.reopened = true;
        Next::Reopen
    }

    fn retry_at_gate(&mut self, refusal: Refusal, mut attempt: Attempt<'_>, now: Moment) -> Next {
        let Refusal { stage, reply, is_last } = refusal;
        if !is_gate_shut(stage, &reply, &mut attempt, self.asked.retry.is_some(), now) {
            return Next::Answer(if is_last { reply } else { changed_its_mind(&reply) });
        }
        let gate = attempt.gate.map(|(gate, state)| (gate, &*state));
        let login = self.attempts.login_state(gate.map(|(_, state)| state));
        let spent = self.attempts.retry_time;
        let retry = self.asked.retry.get_or_insert_with(|| GateRetry::new(self.asked.at, login, spent));
        let next = retry.next(now);
        self.asked.refusal = Some(reply);
        let Some(Try { wait, login }) = next else { return Next::Answer(self.given_up(gate, now)) };
        self.asked.tries += 1;
        // A login counts from the moment the refusal was heard, not from the client's command: one made in between
        // may be one the provider has refused in spite of.
        let wants_login = login || self.attempts.login_owed;
        Next::Retry(wait, if wants_login { LoginPolicy::NewerThan(now) } else { LoginPolicy::Recent })
    }

    /// How long one more attempt may take, once the gate was found shut: the client waits.
    pub fn patience(&self, now: Moment) -> Option<Duration> {
        let end = self.asked.retry.as_ref()?.ends();
        Some(end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now)))
    }

    /// How often the command was tried again because the gate was shut, and how long that has taken since it was heard.
    pub fn retries(&self, now: Moment) -> Option<(usize, Duration)> {
        self.asked.retry.as_ref().map(|retry| (self.asked.tries, retry.spent(now)))
    }

    /// A refusal that survived everything: the provider's words, then what was tried, in one line.
    pub fn given_up(&self, gate: Option<(&AfterPop, &Gate)>, now: Moment) -> Reply {
        let no_answer = || Reply::new(451, "4.3.0 the provider did not answer");
        let refusal = self.asked.refusal.clone().unwrap_or_else(no_answer);
        let Some((gate, state)) = gate else { return refusal };
        let (tries, spent) = self.retries(now).unwrap_or_default();
        let login = login_told(gate, state, now);
        // Behind a TLS wrapper such a host sees every login come from itself.
        let hint = if gate.login.security == Security::Tls {
            "; some hosts count only logins over STLS on port 110 (login = { security = \"starttls\" })"
        } else {
            ""
        };
        let tried = format!("; ostler {login} and tried {tries} times in {} s: still refused{hint}", spent.as_secs());
        // Old clients show one line, cut at 512 octets: the provider's words give way, not what was tried.
        let space = CLIENT_REPLY.saturating_sub(6 + tried.len());
        let words: String = refusal.text().chars().take(space).collect();
        Reply::new(refusal.code, &one_line(&format!("{words}{tried}")))
    }
}

impl Asked {
    fn new(command: EnvelopeCommand, now: Moment) -> Self {
        Self { command, at: now, is_accepted: false, retry: None, tries: 0, refusal: None, reopened: false }
    }
}

impl Attempts {
    fn login_state(&self, gate: Option<&Gate>) -> LoginState {
        let since_opened = self.opened_at.zip(gate).is_some_and(|(opened, gate)| gate.has_login_since(opened));
        match (since_opened, self.login_is_new) {
            (true, _) => LoginState::Untried,
            (false, true) => LoginState::New,
            (false, false) => LoginState::Old,
        }
    }
}

fn login_told(gate: &AfterPop, state: &Gate, now: Moment) -> String {
    let Some(age) = state.age(now) else { return "has no POP login".into() };
    let user = gate.login.credentials().map_or("", |c| c.username.as_str());
    format!("logged in to the POP server {} as {user} {} s ago", gate.login.host, age.as_secs())
}

/// Whether a refusal is worth a retry behind a login.
fn is_gate_shut(stage: Stage, reply: &Reply, attempt: &mut Attempt<'_>, is_retrying: bool, now: Moment) -> bool {
    let Some((gate, state)) = &mut attempt.gate else { return false };
    match verdict(stage, reply) {
        Verdict::Shut => true,
        Verdict::NotTheGate => false,
        // It was taken for a shut gate once; the same words again are no news.
        Verdict::Perhaps if is_retrying => true,
        Verdict::Perhaps => {
            let old = state.age(now).is_none_or(|age| age >= gate.fresh) || stage == Stage::Connect;
            old && state.may_try_unclear_refusal(now)
        }
    }
}

/// What was accepted before is refused on the new connection: the message cannot go on as it was.
fn changed_its_mind(reply: &Reply) -> Reply {
    Reply::new(
        451,
        &one_line(&format!("4.3.0 the provider had to be asked anew and changed its mind: {}", reply.one_line())),
    )
}

/// What is known of a session at the provider when a command has to be said there.
#[derive(Debug, Clone, Copy)]
pub struct SessionState<'a> {
    /// It is signed in for the account of the message.
    pub is_same_account: bool,
    /// Commands of a message it has accepted.
    pub accepted: usize,
    /// When it answered the end of the last message it served.
    pub idle_since: Option<Moment>,
    /// There is a gate before it, and no login holds any more.
    pub needs_login: bool,
    /// What it said or did unasked.
    pub news: News<'a>,
}

/// What a connection shows that nothing was asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// Nothing, as it should be.
    None,
    /// It was closed.
    Closed,
    /// The server said this.
    Said(&'a [u8]),
}

/// Whether a session at the provider can serve the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// As it is.
    AsItIs,
    /// After RSET: the client gave the last message up.
    AfterReset,
    /// No, and this message has failed with it; what the server did.
    Broken(&'static str),
    /// No: leave it, and connect anew.
    No,
}

/// See [`Reuse`]. `at_mail`: a new message begins; `reply_limit`: how long an answer may take.
pub fn reuse(session: SessionState<'_>, at_mail: bool, reply_limit: Duration, now: Moment) -> Reuse {
    if !session.is_same_account {
        return Reuse::No;
    }
    if !at_mail {
        return match session.news {
            News::None => Reuse::AsItIs,
            // A goodbye (RFC 5321, 3.8) or none: what was accepted is said again elsewhere.
            News::Closed | News::Said([b'4', b'2', b'1', ..]) => Reuse::No,
            // In the middle of a message this puts the earlier answers in doubt.
            News::Said(_) => Reuse::Broken("it spoke unasked"),
        };
    }
    // One that has been idle as long as an answer may take can have died without a word, as after this computer's sleep; the
    // client would wait for it as long again.
    let is_old = session.idle_since.is_some_and(|then| now.saturating_duration_since(then) >= reply_limit);
    match session.news {
        // The provider may decide at the connection, so a login has to come before it.
        _ if session.needs_login || is_old => Reuse::No,
        News::None if session.accepted > 0 => Reuse::AfterReset,
        News::None => Reuse::AsItIs,
        News::Closed | News::Said(_) => Reuse::No,
    }
}

#[cfg(test)]
mod tests;
