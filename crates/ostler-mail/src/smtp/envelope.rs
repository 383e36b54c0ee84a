//! One message as it is said to a provider: MAIL, the recipients accepted so far, then RCPT or DATA. Here is what the
//! answers mean, and whether a refusal is a shut gate and all of it is worth saying again on a new connection: that costs
//! nothing as long as no body has been sent. Nothing here knows a socket; `serve/smtp/carrier.rs` does what this decides.

use std::time::Duration;

use crate::account::{AfterPop, Security};
use crate::clock::Moment;
use crate::failure::{Failure, one_line};
use crate::pop_before_smtp::{Gate, Healing, Try};
use crate::smtp::verdict::{Stage, Verdict, verdict};
use crate::smtp::{Extensions, Mail, Reply};
use crate::wire::CLIENT_REPLY;

/// One command of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// The sender.
    Mail(Mail),
    /// A recipient, without brackets.
    Rcpt(String),
    /// The body is to follow.
    Data,
}

impl Say {
    fn stage(&self) -> Stage {
        match self {
            Self::Mail(_) => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
        }
    }

    fn line(&self, offered: &Extensions) -> String {
        match self {
            Self::Mail(mail) => mail.command(offered),
            Self::Rcpt(recipient) => format!("RCPT TO:<{recipient}>"),
            Self::Data => "DATA".into(),
        }
    }

    fn is_accepted(&self, reply: &Reply) -> bool {
        if let Self::Data = self { reply.code == 354 } else { reply.is_yes() }
    }
}

/// What an answer to one command means.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is accepted; the next command may follow.
    Next,
    /// It was the last one, and is accepted.
    Accepted(Reply),
    /// It is refused.
    Refused(Refusal),
    /// It is no answer to this command; how.
    Nonsense(String),
}

/// A command that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    stage: Stage,
    reply: Reply,
    is_last: bool,
}

impl Refusal {
    /// Whether the provider closes the connection now (RFC 5321, 3.8).
    pub fn leaves(&self) -> bool {
        self.reply.code == 421
    }
}

/// How the provider that refused was reached.
#[derive(Debug)]
pub struct Way<'a> {
    /// The gate before it, and what is known of its login.
    pub gate: Option<(&'a AfterPop, &'a mut Gate)>,
    /// The login was made for this very connection.
    pub login_is_new: bool,
    /// What healing has cost this message before this command.
    pub spent: Duration,
    /// The connection has served a message before, and nothing of this one: it may have hung up since.
    pub was_used: bool,
}

/// What to do when a script has not come through.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Tell the client so.
    Answer(Reply),
    /// Something else than a refusal.
    Fail(Failure),
    /// Say it again on a new connection, at once.
    Reopen,
    /// The gate is shut: take leave of the provider, and say it again after this wait.
    Again(Try),
}

/// The script of one command of the client's: what has to be said for it on a connection that has heard nothing yet.
#[derive(Debug)]
pub struct Script {
    says: Vec<Say>,
    began: Moment,
    healing: Option<Healing>,
    refusal: Option<Reply>,
    tries: usize,
    reopened: bool,
}

impl Script {
    /// For the client's command `last`, heard now; `mail` and `accepted` are what came before it.
    pub fn new(mail: &Mail, accepted: &[String], last: Say, now: Moment) -> Self {
        let mut says = Vec::with_capacity(accepted.len() + 2);
        if !matches!(last, Say::Mail(_)) {
            says.push(Say::Mail(mail.clone()));
            says.extend(accepted.iter().cloned().map(Say::Rcpt));
        }
        says.push(last);
        Self { says, began: now, healing: None, refusal: None, tries: 0, reopened: false }
    }

    /// Whether it is the first command of a message, so that no provider is bound to it.
    pub fn begins(&self) -> bool {
        self.says.len() == 1
    }

    /// The size the client announced and the one the provider takes, in octets, where that is less.
    pub fn too_big(&self, offered: &Extensions) -> Option<(u64, u64)> {
        let Some(Say::Mail(Mail { size: Some(size), .. })) = self.says.first() else { return None };
        let limit = offered.size.flatten()?;
        (*size > limit).then_some((*size, limit))
    }

    /// The line for a provider that has accepted the first `done` commands, without CR LF.
    pub fn line(&self, done: usize, offered: &Extensions) -> Option<String> {
        self.says.get(done).map(|say| say.line(offered))
    }

    /// The answer to that line.
    pub fn heard(&self, done: usize, reply: Reply) -> Heard {
        let Some(say) = self.says.get(done) else { return Heard::Nonsense("it answered what nobody said".into()) };
        let is_last = done + 1 == self.says.len();
        match say.is_accepted(&reply) {
            true if is_last => Heard::Accepted(reply),
            true => Heard::Next,
            false if reply.code < 400 => {
                let line = say.line(&Extensions::default());
                Heard::Nonsense(format!("\"{}\" is no answer to {line}", reply.one_line()))
            }
            false => Heard::Refused(Refusal { stage: say.stage(), reply, is_last }),
        }
    }

    /// What to do about a refusal.
    pub fn refused(&mut self, refusal: Refusal, way: Way<'_>, now: Moment) -> Next {
        if refusal.leaves() && refusal.stage == Stage::Mail && self.may_reopen(&way) {
            return self.reopen();
        }
        self.heal(refusal, way, now)
    }

    /// What to do when there is no answer at all, or no connection.
    pub fn failed(&mut self, failure: Failure, way: Way<'_>, now: Moment) -> Next {
        match failure {
            Failure::Lost { .. } | Failure::ProtocolViolation { .. } if self.may_reopen(&way) => self.reopen(),
            Failure::ServiceRefused { said, .. } if way.gate.is_some() => {
                let reply = Reply::from_line(&said);
                self.heal(Refusal { stage: Stage::Connect, reply, is_last: true }, way, now)
            }
            failure => Next::Fail(failure),
        }
    }

    /// It hung up between two messages; nothing of this one has been taken yet.
    fn may_reopen(&self, way: &Way<'_>) -> bool {
        way.was_used && !self.reopened
    }

    fn reopen(&mut self) -> Next {
        self.reopened = true;
        Next::Reopen
    }

    fn heal(&mut self, Refusal { stage, reply, is_last }: Refusal, mut way: Way<'_>, now: Moment) -> Next {
        if !is_gate_shut(stage, &reply, &mut way, self.healing.is_some(), now) {
            return Next::Answer(if is_last { reply } else { changed_its_mind(&reply) });
        }
        let plan = self.healing.get_or_insert_with(|| Healing::new(self.began, way.login_is_new, way.spent));
        let next = plan.next(now);
        self.refusal = Some(reply);
        match next {
            Some(again) => {
                self.tries += 1;
                Next::Again(again)
            }
            None => Next::Answer(self.given_up(way.gate.map(|(gate, state)| (gate, &*state)), now)),
        }
    }

    /// How long one more attempt may take, once the gate was found shut: the client waits.
    pub fn patience(&self, now: Moment) -> Option<Duration> {
        let end = self.healing.as_ref()?.ends();
        Some(end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now)))
    }

    /// How often it was tried again because the gate was shut, and how long that has taken since the client's command.
    pub fn healing(&self, now: Moment) -> Option<(usize, Duration)> {
        self.healing.as_ref().map(|plan| (self.tries, plan.spent(now)))
    }

    /// A refusal that survived everything: the provider's words, then what was tried, in one line.
    pub fn given_up(&self, gate: Option<(&AfterPop, &Gate)>, now: Moment) -> Reply {
        let refusal = self.refusal.clone().unwrap_or_else(|| Reply::new(451, "4.3.0 the provider did not answer"));
        let Some((gate, state)) = gate else { return refusal };
        let (tries, spent) = self.healing(now).unwrap_or_default();
        let login = state.age(now).map_or_else(
            || "has no POP login".to_owned(),
            |age| {
                let user = gate.login.credentials().map_or("", |c| c.username.as_str());
                format!("logged in to the POP server {} as {user} {} s ago", gate.login.host, age.as_secs())
            },
        );
        let hint = if gate.login.security == Security::Tls {
            "; some hosts count only logins over STLS on port 110 (login = { security = \"starttls\" })"
        } else {
            ""
        };
        let tried = format!("; ostler {login} and tried {tries} times in {} s: still refused{hint}", spent.as_secs());
        let space = CLIENT_REPLY.saturating_sub(6 + tried.len());
        let words: String = refusal.text().chars().take(space).collect();
        Reply::new(refusal.code, &one_line(&format!("{words}{tried}")))
    }
}

/// Whether a refusal is worth healing.
fn is_gate_shut(stage: Stage, reply: &Reply, way: &mut Way<'_>, is_healing: bool, now: Moment) -> bool {
    let Some((gate, state)) = &mut way.gate else { return false };
    match verdict(stage, reply) {
        Verdict::Shut => true,
        Verdict::NotTheGate => false,
        // It was taken for a shut gate once; the same words again are no news.
        Verdict::Perhaps if is_healing => true,
        Verdict::Perhaps => {
            let old = state.age(now).is_none_or(|age| age >= gate.fresh) || stage == Stage::Connect;
            old && state.may_heal_perhaps(now)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::server;
    use crate::account::{Protocol, Server};
    use crate::failure::{Place, Waiting};

    const SHUT: &str = "550 5.7.1 relaying denied, check your mail first";
    const BARE: &str = "550 no";

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(1000 + seconds))
    }

    fn mail() -> Mail {
        Mail { sender: "ann@x.example".into(), size: Some(5000), eight_bit: false }
    }

    fn bob() -> Say {
        Say::Rcpt("bob@y.example".into())
    }

    fn after_pop(security: Security) -> AfterPop {
        let login = Server { host: "pop.x.example".into(), security, ..server(Protocol::Pop3, "ann") };
        AfterPop { login, fresh: Duration::from_secs(60) }
    }

    fn place() -> Place {
        (&server(Protocol::Smtp, "ann")).into()
    }

    fn way<'a>(gate: Option<(&'a AfterPop, &'a mut Gate)>) -> Way<'a> {
        Way { gate, login_is_new: true, spent: Duration::ZERO, was_used: false }
    }

    /// The refusal that this line is, to the command behind the first `done`.
    fn refusal(script: &Script, done: usize, said: &str) -> Refusal {
        match script.heard(done, Reply::from_line(said)) {
            Heard::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_script_is_what_a_new_connection_must_hear() {
        let offered = Extensions { size: Some(None), ..Extensions::default() };
        let lines = |script: &Script| (0..).map_while(|n| script.line(n, &offered)).collect::<Vec<_>>();
        let (bob, eve) = ("bob@y.example".to_owned(), "eve@y.example".to_owned());
        let script = Script::new(&mail(), &[], Say::Mail(mail()), at(0));
        assert!(script.begins());
        assert_eq!(lines(&script), ["MAIL FROM:<ann@x.example> SIZE=5000"]);
        let script = Script::new(&mail(), &[bob, eve], Say::Data, at(0));
        assert!(!script.begins());
        let wanted =
            ["MAIL FROM:<ann@x.example> SIZE=5000", "RCPT TO:<bob@y.example>", "RCPT TO:<eve@y.example>", "DATA"];
        assert_eq!(lines(&script), wanted);
    }

    #[test]
    fn each_command_has_answers_of_its_own() {
        let script = Script::new(&mail(), &["bob@y.example".into()], Say::Data, at(0));
        let heard = |done, said| script.heard(done, Reply::from_line(said));
        assert_eq!(heard(0, "250 ok"), Heard::Next);
        assert_eq!(heard(1, "251 will forward"), Heard::Next);
        assert_eq!(heard(2, "354 go"), Heard::Accepted(Reply::new(354, "go")));
        for (done, said) in [(0, "354 go"), (0, "235 in"), (1, "221 bye"), (2, "250 ok"), (3, "250 ok")] {
            assert!(matches!(heard(done, said), Heard::Nonsense(_)), "{done} {said}");
        }
        assert!(matches!(heard(1, "400 no"), Heard::Refused(_)));
        assert!(matches!(heard(1, "550 nobody"), Heard::Refused(refusal) if !refusal.leaves()));
        assert!(matches!(heard(1, "421 bye"), Heard::Refused(refusal) if refusal.leaves()));
    }

    #[test]
    fn a_message_that_is_too_big_is_known_before_it_is_sent() {
        let script = Script::new(&mail(), &[], Say::Mail(mail()), at(0));
        let takes = |size| script.too_big(&Extensions { size, ..Extensions::default() });
        assert_eq!(takes(Some(Some(4999))), Some((5000, 4999)));
        assert_eq!((takes(Some(Some(5000))), takes(Some(None)), takes(None)), (None, None, None));
    }

    #[test]
    fn a_refusal_is_passed_on_where_there_is_no_gate_and_nothing_was_said_again() {
        let mut script = Script::new(&mail(), &[], bob(), at(0));
        let refused = refusal(&script, 1, SHUT);
        assert_eq!(script.refused(refused, way(None), at(0)), Next::Answer(Reply::from_line(SHUT)));
        assert_eq!(script.healing(at(9)), None);
        // The sender was accepted before.
        let refused = refusal(&script, 0, "550 5.1.8 never heard of you");
        let Next::Answer(reply) = script.refused(refused, way(None), at(0)) else { panic!() };
        assert!(reply.one_line().starts_with("451 4.3.0 the provider had to be asked anew"), "{}", reply.one_line());
        assert!(reply.one_line().ends_with("never heard of you"));
    }

    #[test]
    fn a_provider_that_hung_up_between_two_messages_is_opened_again_once() {
        let lost = || Failure::Lost { at: place(), waiting: Waiting::Answer };
        let nonsense = || Failure::ProtocolViolation { at: place(), what: "it spoke unasked".into() };
        let used = || Way { was_used: true, ..way(None) };
        for failure in [lost(), nonsense()] {
            let mut script = Script::new(&mail(), &[], Say::Mail(mail()), at(0));
            assert_eq!(script.failed(failure.clone(), used(), at(0)), Next::Reopen);
            assert_eq!(script.failed(failure.clone(), used(), at(0)), Next::Fail(failure.clone()));
            let mut script = Script::new(&mail(), &[], Say::Mail(mail()), at(0));
            assert_eq!(script.failed(failure.clone(), way(None), at(0)), Next::Fail(failure));
        }
        let mut script = Script::new(&mail(), &[], Say::Mail(mail()), at(0));
        let bye = refusal(&script, 0, "421 4.4.2 idle");
        assert_eq!(script.refused(bye.clone(), way(None), at(0)), Next::Answer(Reply::from_line("421 4.4.2 idle")));
        assert_eq!(script.refused(bye.clone(), used(), at(0)), Next::Reopen);
        assert_eq!(script.refused(bye, used(), at(0)), Next::Answer(Reply::from_line("421 4.4.2 idle")));
        // A refusal of this very message is none of that, whatever the connection has seen.
        let mut script = Script::new(&mail(), &[], bob(), at(0));
        let bye = refusal(&script, 1, "421 4.4.2 too many");
        assert_eq!(script.refused(bye, used(), at(0)), Next::Answer(Reply::from_line("421 4.4.2 too many")));
        let timed_out = Failure::TimedOut { at: place(), waiting: Waiting::Answer, after: Duration::from_secs(60) };
        assert_eq!(script.failed(timed_out.clone(), used(), at(0)), Next::Fail(timed_out));
    }

    #[test]
    fn a_shut_gate_is_tried_until_the_clients_patience_ends_and_then_explained() {
        for (security, hint) in [(Security::Tls, true), (Security::StartTls, false)] {
            let (after_pop, mut gate) = (after_pop(security), Gate::default());
            gate.logged_in(at(0), None, None);
            let mut script = Script::new(&mail(), &[], bob(), at(0));
            assert_eq!(script.patience(at(0)), None);
            let (mut now, mut waits) = (at(0), Vec::new());
            let reply = loop {
                let refused = refusal(&script, 1, SHUT);
                match script.refused(refused, way(Some((&after_pop, &mut gate))), now) {
                    Next::Again(again) => {
                        waits.push((again.wait.as_secs(), again.login));
                        now = now.checked_add(again.wait).unwrap();
                        assert_eq!(script.healing(now).unwrap().0, waits.len());
                        assert!(script.patience(now).is_some_and(|left| !left.is_zero()));
                    }
                    Next::Answer(reply) => break reply,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(waits, [(1, false), (2, false), (4, false), (6, true), (8, false)]);
            let line = reply.one_line();
            assert!(line.starts_with(SHUT), "{line}");
            let tried = "; ostler logged in to the POP server pop.x.example as ann 21 s ago and tried 5 times in 21 s: still refused";
            assert!(line.contains(tried), "{line}");
            assert_eq!(line.contains("security = \"starttls\""), hint, "{line}");
        }
    }

    #[test]
    fn what_a_long_refusal_leaves_room_for_is_what_was_tried() {
        let (after_pop, gate) = (after_pop(Security::Tls), Gate::default());
        let mut script = Script::new(&mail(), &[], bob(), at(0));
        script.refusal = Some(Reply::new(550, &format!("check mail first {}", "x".repeat(900))));
        let line = script.given_up(Some((&after_pop, &gate)), at(0)).one_line();
        assert!(line.len() <= CLIENT_REPLY - 2 && line.starts_with("550 check mail first x"), "{line}");
        assert!(
            line.contains("; ostler has no POP login and tried 0 times in 0 s: still refused; some hosts"),
            "{line}"
        );
        assert_eq!(script.given_up(None, at(0)), script.refusal.unwrap());
    }

    #[test]
    fn a_provider_that_turns_ostler_away_may_want_a_login() {
        let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
        let turned_away = |said: &str| Failure::ServiceRefused { at: place(), said: said.into() };
        let mut script = Script::new(&mail(), &[], bob(), at(0));
        let said = turned_away("554 no access, pop first");
        assert_eq!(script.failed(said.clone(), way(None), at(0)), Next::Fail(said.clone()));
        let shut = Way { login_is_new: false, ..way(Some((&after_pop, &mut gate))) };
        assert_eq!(
            script.failed(said, shut, at(0)),
            Next::Again(Try { wait: Duration::ZERO, login: true }),
            "a login before anything else"
        );
        // What has nothing to do with a gate is the client's answer as it is.
        let busy = script.failed(turned_away("452 disk full"), way(Some((&after_pop, &mut gate))), at(1));
        assert_eq!(busy, Next::Answer(Reply::from_line("452 disk full")));
    }

    #[test]
    fn a_bare_refusal_is_healed_once_and_behind_an_old_login_only() {
        let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
        gate.logged_in(at(0), None, None);
        let try_at = |gate: &mut Gate, seconds| {
            let mut script = Script::new(&mail(), &[], bob(), at(seconds));
            let refused = refusal(&script, 1, BARE);
            let next = script.refused(refused.clone(), way(Some((&after_pop, gate))), at(seconds));
            let again = script.refused(refused, way(Some((&after_pop, gate))), at(seconds));
            (matches!(next, Next::Again(_)), matches!(again, Next::Again(_)))
        };
        assert_eq!(try_at(&mut gate, 59), (false, false), "the login is fresh");
        assert_eq!(try_at(&mut gate, 60), (true, true), "taken for a shut gate once, it goes on being one");
        assert_eq!(try_at(&mut gate, 600), (false, false), "not so soon again");
        assert_eq!(try_at(&mut gate, 660), (true, true));
    }
}
