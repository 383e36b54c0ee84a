//! The submission of one message to its provider (RFC 6409): what became of its commands so far, what to do about an answer,
//! and whether a session at the provider can serve it. Until a body has been sent, saying the envelope again on another
//! connection does no harm, so what a shut gate refused is tried again after a login.
//!
//! Not here: connections. The program's `proxy/smtp/submission.rs` does what is decided here.

use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, AfterPop, Protocol, Security, Server};
use crate::clock::Moment;
use crate::failure::{Failure, one_line};
use crate::pop_before_smtp::{Gate, GateRetry, LoginPolicy, LoginState, Try};
use crate::smtp::envelope::{Envelope, EnvelopeCommand, Refusal, ReplyMeaning, Stage, Step, Upcoming};
use crate::smtp::verdict::{Verdict, verdict};
use crate::smtp::{Extensions, Mail, Reply, words};
use crate::wire::MAX_CLIENT_REPLY_OCTETS;

/// All that ostler keeps of one message, from its MAIL on. Each message has a new one, so nothing of the last message can
/// leak into it.
#[derive(Debug)]
pub struct Submission {
    account: Arc<Account>,
    envelope: Envelope,
    pending: PendingCommand,
    attempts: Attempts,
    /// The index of the server that has accepted MAIL. No other server may go on with this message, because both might
    /// deliver it.
    mail_server: Option<usize>,
    /// MAIL, which the client believes accepted, was refused when it left with the first RCPT.
    is_mail_refused: bool,
    /// The server trips over BDAT.
    is_by_data: bool,
    upcoming: Upcoming,
    /// The index of the server that was tried last.
    last_server: usize,
}

/// The client's command that is under way, and its retries.
#[derive(Debug)]
struct PendingCommand {
    command: EnvelopeCommand,
    /// When the client sent it.
    at: Moment,
    is_accepted: bool,
    retry: Option<GateRetry>,
    tries: usize,
    /// What the shut gate answered last.
    refusal: Option<Reply>,
    /// The connection was replaced once because the provider had hung up.
    was_reopened: bool,
}

/// The time that the message's retries have taken, and how its last connection was made.
#[derive(Debug, Default)]
struct Attempts {
    /// How long the retries of the earlier commands have taken. The client's patience is for the whole message.
    retry_time: Duration,
    /// When the last connection was opened. It may not have profited from a login accepted since.
    opened_at: Option<Moment>,
    /// A login was made for that very connection, or by another send after this message was refused.
    login_is_new: bool,
    /// A new login was wanted, and has to wait until the client's own session ends.
    owes_login: bool,
}

/// How the provider that answered was reached.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The gate before it, and what is known of its login.
    pub gate: Option<(&'a AfterPop, &'a mut Gate)>,
    /// The connection has served another message and nothing of this one, so the provider may have hung up since.
    pub was_used: bool,
}

/// What to do when a command was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Pass this reply to the client.
    Answer(Reply),
    /// Give up: there was no reply at all.
    Fail(Failure),
    /// Say the envelope again at once, on a new connection.
    Reopen,
    /// The gate is shut: QUIT, wait, and say the envelope again on a new connection, after a login of this kind.
    Retry(Duration, LoginPolicy),
}

impl Submission {
    /// A message that begins now, with MAIL.
    pub fn new(account: Arc<Account>, mail: Mail, now: Moment) -> Self {
        Self {
            account,
            envelope: Envelope::new(mail),
            pending: PendingCommand::new(EnvelopeCommand::Mail, now),
            attempts: Attempts::default(),
            mail_server: None,
            is_mail_refused: false,
            is_by_data: false,
            upcoming: Upcoming::default(),
            last_server: 0,
        }
    }

    /// The account that sends the message.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The sender and the accepted recipients.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The client sends its next command now.
    pub fn begin_command(&mut self, command: EnvelopeCommand, now: Moment) {
        self.upcoming = Upcoming::default();
        self.pending = PendingCommand::new(command, now);
    }

    /// The client's command gets its answer now.
    pub fn end_command(&mut self, now: Moment) {
        self.attempts.retry_time += self.retries(now).map(|(_, spent)| spent).unwrap_or_default();
    }

    /// Whether the client's command is MAIL.
    pub fn is_at_mail(&self) -> bool {
        self.pending.command == EnvelopeCommand::Mail
    }

    /// The indices of the servers that may have the message, in the order to try them.
    pub fn servers(&self) -> std::ops::Range<usize> {
        self.mail_server.map_or(0..self.account.smtp.len(), |index| index..index + 1)
    }

    /// ostler is about to connect to this server.
    pub fn on_server(&mut self, index: usize, now: Moment) {
        self.last_server = index;
        (self.attempts.opened_at, self.attempts.login_is_new) = (Some(now), false);
    }

    /// The gate before that server is open now. `login_is_new`: the login was made for this message, or after its refusal.
    pub fn on_login(&mut self, login_is_new: bool, policy: LoginPolicy, now: Moment) {
        self.attempts.opened_at = Some(now);
        self.attempts.login_is_new = login_is_new;
        self.attempts.owes_login = matches!(policy, LoginPolicy::NewerThan(_)) && !login_is_new;
    }

    /// Whether a login was made for the last connection.
    pub fn login_is_new(&self) -> bool {
        self.attempts.login_is_new
    }

    /// The message goes over a session that was opened for an earlier one.
    pub fn on_kept_session(&mut self, index: usize, opened_at: Moment) {
        self.last_server = index;
        (self.attempts.opened_at, self.attempts.login_is_new) = (Some(opened_at), false);
    }

    /// The gate before the server that was tried last, if it has one.
    pub fn gate(&self) -> Option<&Arc<AfterPop>> {
        self.account.smtp.get(self.last_server).and_then(Server::gate)
    }

    /// The announced size and the provider's limit, in octets, if the message exceeds it.
    pub fn too_big(&self, offered: &Extensions) -> Option<(u64, u64)> {
        self.envelope.too_big(offered)
    }

    /// The next line for a connection that has accepted this many commands of the message, without CR LF. `None` when the
    /// client's command is accepted.
    pub fn line(&self, accepted: usize, offered: &Extensions) -> Option<String> {
        Some(self.step(accepted)?.line(offered))
    }

    /// The lines that may leave with that of [`line`](Self::line), before that is answered, where the server offers PIPELINING
    /// (RFC 2920): the first RCPT behind MAIL, and behind the client's RCPT what the client has sent with it. Together they
    /// cost one round trip.
    pub fn lines_behind(&self, accepted: usize, offered: &Extensions) -> Vec<String> {
        if !offered.pipelining {
            return Vec::new();
        }
        let behind_mail = self.step(accepted + 1).filter(|step| accepted == 0 && step.may_follow_mail());
        let mut lines: Vec<String> = behind_mail.iter().map(|step| step.line(offered)).collect();
        let last = behind_mail.or_else(|| self.step(accepted));
        if last.is_some_and(|step| step.is_last() && step.may_follow_mail()) {
            // Not behind a gate: there a refused recipient is tried again after a login, and by then DATA would have begun a body.
            let has_data = !self.is_in_pieces(offered) && self.gate().is_none();
            lines.extend(self.upcoming.lines(has_data));
        }
        lines
    }

    /// What the client has sent behind its command, which is RCPT, without waiting for an answer.
    pub fn expect_next(&mut self, upcoming: Upcoming) {
        self.upcoming = upcoming;
    }

    /// ostler's own reply to the client's command, if the server need not hear that command now. MAIL leaves with the first
    /// RCPT, and its refusal is the reply to that RCPT. DATA never leaves where the body goes by BDAT. `accepted`: how many commands
    /// of the message this connection has accepted.
    pub fn defer(&mut self, accepted: usize, offered: &Extensions) -> Option<Reply> {
        let reply = match self.pending.command {
            EnvelopeCommand::Mail if offered.pipelining => Reply::new(250, "2.1.0 OK"),
            EnvelopeCommand::Data if self.is_in_pieces(offered) && self.step(accepted)?.is_last() => {
                Reply::new(354, words::SEND_BODY)
            }
            EnvelopeCommand::Mail | EnvelopeCommand::Rcpt(_) | EnvelopeCommand::Data => return None,
        };
        self.pending.is_accepted = true;
        Some(reply)
    }

    /// Whether the body goes by BDAT. Not behind a gate: if the gate refuses DATA, ostler tries again, before any body has left.
    pub fn is_in_pieces(&self, offered: &Extensions) -> bool {
        offered.chunking && !self.is_by_data && self.gate().is_none()
    }

    /// The body goes by DATA, whatever the server offers.
    pub fn give_body_by_data(&mut self) {
        self.is_by_data = true;
    }

    /// Whether the client's command is DATA.
    pub fn is_at_data(&self) -> bool {
        self.pending.command == EnvelopeCommand::Data
    }

    /// Whether the reply to the client's RCPT is the refusal of a MAIL that the client believes accepted.
    pub fn mail_was_refused(&self) -> bool {
        self.is_mail_refused && self.mail_server.is_none()
    }

    fn step(&self, accepted: usize) -> Option<Step<'_>> {
        // An accepted recipient has moved into the envelope: the command is over, and must not be said again.
        if self.pending.is_accepted { None } else { self.envelope.step(accepted, &self.pending.command) }
    }

    /// The answer to that line from the server of this index.
    pub fn on_reply(&mut self, accepted: usize, reply: Reply, server: usize) -> ReplyMeaning {
        let Some(step) = self.step(accepted) else {
            return ReplyMeaning::NotAnAnswer("it answered a command that was not sent".into());
        };
        let meaning = step.meaning(reply);
        match meaning {
            ReplyMeaning::Accepted(_) => {
                (self.mail_server, self.pending.is_accepted) = (Some(server), true);
                if let EnvelopeCommand::Rcpt(recipient) = &mut self.pending.command {
                    self.envelope.add_recipient(std::mem::take(recipient));
                }
            }
            ReplyMeaning::Next => self.mail_server = Some(server),
            ReplyMeaning::Refused(_) | ReplyMeaning::NotAnAnswer(_) => {}
        }
        meaning
    }

    /// What to do about a refusal that has just come.
    pub fn on_refusal(&mut self, refusal: Refusal, attempt: Attempt<'_>, now: Moment) -> Next {
        // At the MAIL of a later message the provider may refuse the session, because it is old or has served many messages, and not
        // the message. Behind a gate the retries below do the same, unless the connection closes.
        let is_for_now = refusal.closes_connection() || refusal.is_for_now() && attempt.gate.is_none();
        if is_for_now && refusal.stage == Stage::Mail && self.may_reopen(&attempt) {
            return self.reopen();
        }
        self.retry_at_gate(refusal, attempt, now)
    }

    /// What to do when no answer came, or no connection was made.
    pub fn on_failure(&mut self, failure: Failure, attempt: Attempt<'_>, now: Moment) -> Next {
        match failure {
            // It may have been the refusal of a password, which must not be tried again.
            failure if failure.may_be_the_password() => Next::Fail(failure),
            Failure::Lost { .. } | Failure::ProtocolViolation { .. } if self.may_reopen(&attempt) => self.reopen(),
            // Many gates are shut in place of the greeting (qmail, vpopmail). The POP3 server of the gate has no reply codes, so
            // what it says in place of a greeting is no reply to the client.
            Failure::ServiceRefused { at, said } if attempt.gate.is_some() && at.protocol == Protocol::Smtp => {
                let reply = Reply::from_line(&said);
                if reply.code < 400 {
                    // A greeting such as "278 mx" refuses nothing. Passed on, it would tell the client that its recipient is
                    // accepted, which no provider has said.
                    return Next::Fail(Failure::ServiceRefused { at, said });
                }
                self.retry_at_gate(Refusal { stage: Stage::Connect, reply, is_last: true }, attempt, now)
            }
            failure => Next::Fail(failure),
        }
    }

    /// A provider may hang up between two messages. It has accepted nothing of this one, so a new connection does no harm.
    /// Only once: a provider that hangs up at every MAIL means this message.
    fn may_reopen(&self, attempt: &Attempt<'_>) -> bool {
        attempt.was_used && !self.pending.was_reopened
    }

    fn reopen(&mut self) -> Next {
        self.pending.was_reopened = true;
        Next::Reopen
    }

    fn retry_at_gate(&mut self, refusal: Refusal, mut attempt: Attempt<'_>, now: Moment) -> Next {
        let Refusal { stage, reply, is_last } = refusal;
        let is_first_mail = stage == Stage::Mail && self.mail_server.is_none();
        self.is_mail_refused = is_first_mail && !is_last;
        if !is_gate_shut(stage, &reply, &mut attempt, self.pending.retry.is_some(), now) {
            return Next::Answer(if is_last || is_first_mail { reply } else { refused_on_new_connection(&reply) });
        }
        let gate = attempt.gate.map(|(gate, state)| (gate, &*state));
        let login = self.attempts.login_state(gate.map(|(_, state)| state));
        let spent = self.attempts.retry_time;
        let retry = self.pending.retry.get_or_insert_with(|| GateRetry::new(self.pending.at, login, spent));
        let next = retry.next(now);
        self.pending.refusal = Some(reply);
        let Some(Try { wait, login }) = next else { return Next::Answer(self.final_refusal(gate, now)) };
        self.pending.tries += 1;
        // Only a login after this refusal counts, not one since the client's command: the provider may have refused in spite
        // of that.
        let wants_login = login || self.attempts.owes_login;
        Next::Retry(wait, if wants_login { LoginPolicy::NewerThan(now) } else { LoginPolicy::Recent })
    }

    /// How long the client waits for one more attempt. `None` while no gate was found shut: the usual limits apply.
    pub fn patience(&self, now: Moment) -> Option<Duration> {
        let end = self.pending.retry.as_ref()?.ends();
        Some(end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now)))
    }

    /// How often the command was tried again at a shut gate, and how long the client has waited for it.
    pub fn retries(&self, now: Moment) -> Option<(usize, Duration)> {
        self.pending.retry.as_ref().map(|retry| (self.pending.tries, retry.spent(now)))
    }

    /// The reply when all tries were refused: the provider's words, then what ostler tried, in one line.
    pub fn final_refusal(&self, gate: Option<(&AfterPop, &Gate)>, now: Moment) -> Reply {
        let no_answer = || Reply::new(451, "4.3.0 the provider did not answer");
        let refusal = self.pending.refusal.clone().unwrap_or_else(no_answer);
        let Some((gate, state)) = gate else { return refusal };
        let (tries, spent) = self.retries(now).unwrap_or_default();
        let login = describe_login(gate, state, now);
        // Where a wrapper such as stunnel unwraps TLS on port 995, the POP3 server sees every login come from its own host.
        let hint = if gate.login.security == Security::Tls {
            "; some hosts count only logins over STLS on port 110 (login = { security = \"starttls\" })"
        } else {
            ""
        };
        let tried = format!("; ostler {login} and tried {tries} times in {} s: still refused{hint}", spent.as_secs());
        // Old clients show one line of 512 octets. The provider's words are cut, so that what was tried stays.
        let space = MAX_CLIENT_REPLY_OCTETS.saturating_sub(6 + tried.len());
        let words: String = refusal.text().chars().take(space).collect();
        Reply::new(refusal.code, &one_line(&format!("{words}{tried}")))
    }
}

impl PendingCommand {
    fn new(command: EnvelopeCommand, now: Moment) -> Self {
        Self { command, at: now, is_accepted: false, retry: None, tries: 0, refusal: None, was_reopened: false }
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

fn describe_login(gate: &AfterPop, state: &Gate, now: Moment) -> String {
    let Some(age) = state.login_age(now) else { return "has no POP login".into() };
    let user = gate.login.credentials().map_or("", |c| c.username.as_str());
    format!("logged in to the POP server {} as {user} {} s ago", gate.login.host, age.as_secs())
}

/// Whether a refusal is worth a retry after a login.
fn is_gate_shut(stage: Stage, reply: &Reply, attempt: &mut Attempt<'_>, is_retrying: bool, now: Moment) -> bool {
    let Some((gate, state)) = &mut attempt.gate else { return false };
    match verdict(reply) {
        Verdict::Shut => true,
        Verdict::NotTheGate => false,
        // The same words were taken for a shut gate a moment ago.
        Verdict::Perhaps if is_retrying => true,
        Verdict::Perhaps => {
            // With a fresh login the gate is open, and the refusal means the message. In place of a greeting it cannot mean
            // the message.
            let may_be_shut = state.login_age(now).is_none_or(|age| age >= gate.fresh) || stage == Stage::Connect;
            may_be_shut && state.may_try_unclear_refusal(now)
        }
    }
}

/// The reply when the new connection refuses what the old one had accepted. The client believes it accepted, so the message
/// fails for now.
fn refused_on_new_connection(reply: &Reply) -> Reply {
    Reply::new(
        451,
        &one_line(&format!(
            "4.3.0 the provider was asked again on a new connection and refuses now: {}",
            reply.one_line()
        )),
    )
}

/// A session at the provider, when the next command has to be said.
#[derive(Debug, Clone, Copy)]
pub struct SessionState<'a> {
    /// The session belongs to the account of the message.
    pub is_same_account: bool,
    /// How many commands of the message under way it has accepted.
    pub accepted: usize,
    /// When it answered the end of the last message.
    pub idle_since: Option<Moment>,
    /// There is a gate before the server, and the last login no longer counts.
    pub needs_login: bool,
    /// What the provider said or did unasked.
    pub news: News<'a>,
}

/// What a provider did while it owed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// Nothing.
    None,
    /// It closed the connection.
    Closed,
    /// It sent this.
    Said(&'a [u8]),
}

/// Whether a session at the provider can serve the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Yes, as it is.
    AsItIs,
    /// Yes, after RSET: the client has given up the last message.
    AfterReset,
    /// No, and this message fails with it; the text says what the server did.
    Broken(&'static str),
    /// No: QUIT, and make a new connection.
    No,
}

/// Whether a session can serve the next command. `at_mail`: a new message begins. `reply_limit`: how long an answer may
/// take.
pub fn reuse(session: SessionState<'_>, at_mail: bool, reply_limit: Duration, now: Moment) -> Reuse {
    if !session.is_same_account {
        return Reuse::No;
    }
    if !at_mail {
        return match session.news {
            News::None => Reuse::AsItIs,
            // The provider has left, with 421 (RFC 5321, 3.8) or without a word. What it accepted is said again elsewhere.
            News::Closed | News::Said([b'4', b'2', b'1', ..]) => Reuse::No,
            // A line too many: an earlier answer may have been to another command than ostler believes.
            News::Said(_) => Reuse::Broken("it spoke unasked"),
        };
    }
    // A connection can die without a word, as while this computer sleeps. After a long silence a new one is quicker than to
    // wait for an answer that may never come.
    let is_old = session.idle_since.is_some_and(|then| now.saturating_duration_since(then) >= reply_limit);
    match session.news {
        // Many gates decide when a connection opens, so the login has to come before it.
        _ if session.needs_login || is_old => Reuse::No,
        News::None if session.accepted > 0 => Reuse::AfterReset,
        News::None => Reuse::AsItIs,
        News::Closed | News::Said(_) => Reuse::No,
    }
}

#[cfg(test)]
mod tests;
