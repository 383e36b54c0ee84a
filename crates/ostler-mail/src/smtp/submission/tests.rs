use super::*;
use crate::account::testing::{account, server};
use crate::account::{Protocol, SignIn};
use crate::failure::{ServerAddr, Waiting};

const SHUT: &str = "550 5.7.1 relaying denied, check your mail first";
const BARE: &str = "550 no";

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(1000 + seconds))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn after_pop(security: Security) -> AfterPop {
    let login = Server { host: "pop.x.example".into(), security, ..server(Protocol::Pop3, "ann") };
    AfterPop { login, fresh: secs(60) }
}

fn place() -> ServerAddr {
    (&server(Protocol::Smtp, "ann")).into()
}

fn begun(seconds: u64) -> Submission {
    let mail = Mail { sender: "ann@x.example".into(), size: Some(5000), eight_bit: false };
    Submission::new(Arc::new(account("home", "ann@x.example", "ann")), mail, at(seconds))
}

fn bob() -> EnvelopeCommand {
    EnvelopeCommand::Rcpt("bob@y.example".into())
}

/// A message whose client has just said RCPT, with nothing accepted on any connection.
fn at_rcpt(seconds: u64) -> Submission {
    let mut submission = begun(seconds);
    submission.begin_command(bob(), at(seconds));
    submission
}

/// As [`at_rcpt`], on a connection that came behind a login of its own.
fn behind_login(seconds: u64) -> Submission {
    let mut submission = at_rcpt(seconds);
    submission.on_login(true, LoginPolicy::Fresh, at(seconds));
    submission
}

fn open<'a>() -> Attempt<'a> {
    Attempt { gate: None, was_used: false }
}

fn gated<'a>(after_pop: &'a AfterPop, gate: &'a mut Gate) -> Attempt<'a> {
    Attempt { gate: Some((after_pop, gate)), was_used: false }
}

/// The refusal that this line is, to the command behind this many accepted ones.
fn refusal(submission: &mut Submission, accepted: usize, said: &str) -> Refusal {
    match submission.on_reply(accepted, Reply::from_line(said), 0) {
        ReplyMeaning::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn accepted(submission: &mut Submission, accepted: usize) {
    assert!(matches!(submission.on_reply(accepted, Reply::new(250, "ok"), 0), ReplyMeaning::Accepted(_)));
}

#[test]
fn a_thousand_recipients_are_said_once_each_and_none_is_copied() {
    let offered = Extensions::default();
    let (mut submission, mut said, mut octets) = (begun(0), 0, Vec::new());
    // One session at the provider; `done` is what it has accepted.
    let mut say = |submission: &mut Submission, done: &mut usize| {
        while submission.line(*done, &offered).is_some() {
            said += 1;
            let meaning = submission.on_reply(*done, Reply::new(250, "ok"), 0);
            assert!(matches!(meaning, ReplyMeaning::Accepted(_)), "{meaning:?}");
            *done += 1;
        }
    };
    let mut done = 0;
    say(&mut submission, &mut done);
    for number in 0..1000 {
        let recipient = format!("number-{number}@y.example");
        octets.push(recipient.as_ptr());
        submission.begin_command(EnvelopeCommand::Rcpt(recipient), at(0));
        say(&mut submission, &mut done);
    }
    assert_eq!((done, said), (1001, 1001));
    // The very octets the client's commands were read into.
    let kept: Vec<_> = submission.envelope().recipients().iter().map(|recipient| recipient.as_ptr()).collect();
    assert_eq!(kept, octets);
}

#[test]
fn a_new_connection_hears_all_that_was_accepted_and_not_what_was_refused() {
    let mut submission = begun(0);
    accepted(&mut submission, 0);
    submission.begin_command(bob(), at(0));
    accepted(&mut submission, 1);
    assert_eq!(submission.line(2, &Extensions::default()), None, "said and accepted");
    submission.begin_command(EnvelopeCommand::Rcpt("nobody@y.example".into()), at(0));
    refusal(&mut submission, 2, "550 5.1.1 no such user");
    submission.begin_command(EnvelopeCommand::Data, at(0));
    let lines: Vec<_> = (0..).map_while(|n| submission.line(n, &Extensions::default())).collect();
    assert_eq!(lines, ["MAIL FROM:<ann@x.example>", "RCPT TO:<bob@y.example>", "DATA"]);
    let meaning = submission.on_reply(3, Reply::new(250, "ok"), 0);
    assert!(matches!(meaning, ReplyMeaning::NotAnAnswer(_)), "{meaning:?}");
}

#[test]
fn once_a_server_has_taken_mail_the_message_stays_there() {
    let mut account = account("home", "ann@x.example", "ann");
    account.smtp = vec![account.smtp[0].clone(), account.smtp[0].clone(), account.smtp[0].clone()];
    let mail = Mail { sender: "ann@x.example".into(), size: None, eight_bit: false };
    let mut submission = Submission::new(Arc::new(account), mail, at(0));
    assert_eq!(submission.servers(), 0..3);
    submission.on_reply(0, Reply::new(250, "ok"), 1);
    submission.begin_command(bob(), at(0));
    assert_eq!(submission.servers(), 1..2);
}

#[test]
fn a_refusal_is_passed_on_where_there_is_no_gate_and_nothing_was_said_again() {
    let mut submission = begun(0);
    accepted(&mut submission, 0);
    submission.begin_command(bob(), at(0));
    let refused = refusal(&mut submission, 1, SHUT);
    assert_eq!(submission.on_refusal(refused, open(), at(0)), Next::Answer(Reply::from_line(SHUT)));
    assert_eq!(submission.retries(at(9)), None);
    // The sender was accepted before.
    let refused = refusal(&mut submission, 0, "550 5.1.8 never heard of you");
    let Next::Answer(reply) = submission.on_refusal(refused, open(), at(0)) else { panic!() };
    assert!(reply.one_line().starts_with("451 4.3.0 the provider was asked again"), "{}", reply.one_line());
    assert!(reply.one_line().ends_with("never heard of you"));
}

fn pipelining() -> Extensions {
    Extensions { pipelining: true, ..Extensions::default() }
}

/// A message whose MAIL waits for the first RCPT, which the client has just said.
fn deferred() -> Submission {
    let mut submission = begun(0);
    assert!(submission.defer(0, &pipelining()).is_some_and(|reply| reply.code == 250));
    submission.begin_command(bob(), at(0));
    assert_eq!(submission.defer(0, &pipelining()), None, "RCPT is never deferred");
    submission
}

#[test]
fn mail_leaves_with_the_first_rcpt_where_the_server_offers_pipelining() {
    assert_eq!(begun(0).defer(0, &Extensions::default()), None);
    let mut submission = deferred();
    let lines =
        |submission: &Submission, n| (submission.line(n, &pipelining()), submission.lines_behind(n, &pipelining()));
    let (mail, rcpt) = ("MAIL FROM:<ann@x.example>".to_owned(), "RCPT TO:<bob@y.example>".to_owned());
    assert_eq!(lines(&submission, 0), (Some(mail), vec![rcpt.clone()]));
    assert_eq!(lines(&submission, 1), (Some(rcpt), vec![]));
    assert_eq!(submission.on_reply(0, Reply::new(250, "ok"), 0), ReplyMeaning::Next);
    accepted(&mut submission, 1);
    assert!(!submission.mail_was_refused());
    // DATA leaves alone, on a new connection as well.
    submission.begin_command(EnvelopeCommand::Data, at(0));
    assert_eq!((0..3).filter(|n| !submission.lines_behind(*n, &pipelining()).is_empty()).collect::<Vec<_>>(), [0]);
    let without = Extensions::default();
    assert!((0..3).all(|n| submission.lines_behind(n, &without).is_empty()), "PIPELINING is not offered there");
}

#[test]
fn what_the_client_has_sent_behind_a_recipient_leaves_with_it() {
    let behind = |submission: &Submission, offered: &Extensions| submission.lines_behind(0, offered).join(", ");
    let upcoming = || Upcoming { recipients: vec!["eve@y.example".into()], has_data: true };
    let mut submission = deferred();
    submission.expect_next(upcoming());
    assert_eq!(behind(&submission, &pipelining()), "RCPT TO:<bob@y.example>, RCPT TO:<eve@y.example>, DATA");
    let chunking = Extensions { chunking: true, ..pipelining() };
    assert_eq!(behind(&submission, &chunking), "RCPT TO:<bob@y.example>, RCPT TO:<eve@y.example>");
    assert_eq!(behind(&submission, &Extensions::default()), "");
    submission.on_reply(0, Reply::new(250, "ok"), 0);
    assert_eq!(submission.lines_behind(1, &pipelining()), ["RCPT TO:<eve@y.example>", "DATA"]);
    // A recipient that was refused is followed by the next one, where MAIL or one that was accepted before is not.
    let refused = refusal(&mut submission, 1, "550 5.1.1 nobody");
    assert!(!refused.ends_flight());
    submission.begin_command(EnvelopeCommand::Rcpt("eve@y.example".into()), at(1));
    assert!(submission.lines_behind(1, &pipelining()).is_empty(), "it was for the command before");
    assert!(refusal(&mut submission, 0, "550 5.7.1 not you").ends_flight());
    accepted(&mut submission, 1);
    submission.begin_command(EnvelopeCommand::Data, at(1));
    assert!(refusal(&mut submission, 1, "550 5.1.1 nobody").ends_flight());
    // DATA does not leave early behind a gate.
    let mut account = account("home", "ann@x.example", "ann");
    account.smtp[0].sign_in = SignIn::AfterPop(Arc::new(after_pop(Security::Tls)));
    let mail = Mail { sender: "ann@x.example".into(), size: None, eight_bit: false };
    let mut submission = Submission::new(Arc::new(account), mail, at(0));
    submission.begin_command(bob(), at(0));
    submission.expect_next(upcoming());
    assert_eq!(behind(&submission, &pipelining()), "RCPT TO:<bob@y.example>, RCPT TO:<eve@y.example>");
    assert!(!submission.is_in_pieces(&chunking));
}

#[test]
fn data_is_answered_here_where_the_body_goes_in_pieces() {
    let chunking = Extensions { chunking: true, ..Extensions::default() };
    let mut submission = begun(1);
    submission.begin_command(EnvelopeCommand::Data, at(0));
    assert_eq!(submission.defer(0, &chunking), None, "MAIL has to be said again first");
    assert_eq!(submission.defer(1, &Extensions::default()), None);
    assert!(submission.defer(1, &chunking).is_some_and(|reply| reply.code == 354));
    submission.give_body_by_data();
    submission.begin_command(EnvelopeCommand::Data, at(1));
    assert_eq!((submission.defer(1, &chunking), submission.line(1, &chunking)), (None, Some("DATA".into())));
}

#[test]
fn the_refusal_of_a_mail_that_waited_is_the_answer_to_its_rcpt() {
    let mut submission = deferred();
    let refused = refusal(&mut submission, 0, "553 5.7.1 not your address");
    let answer = submission.on_refusal(refused, open(), at(0));
    assert_eq!(answer, Next::Answer(Reply::from_line("553 5.7.1 not your address")));
    assert!(submission.mail_was_refused());
    // One that a server has accepted before is another matter.
    let mut submission = deferred();
    submission.on_reply(0, Reply::new(250, "ok"), 0);
    let refused = refusal(&mut submission, 1, "550 5.1.1 nobody");
    assert_eq!(submission.on_refusal(refused, open(), at(0)), Next::Answer(Reply::from_line("550 5.1.1 nobody")));
    assert!(!submission.mail_was_refused());
}

#[test]
fn a_gate_that_is_shut_at_a_mail_that_waited_is_opened() {
    let (gate, mut state) = (after_pop(Security::Tls), Gate::default());
    let mut submission = deferred();
    let refused = refusal(&mut submission, 0, SHUT);
    let next = submission.on_refusal(refused, gated(&gate, &mut state), at(0));
    assert!(matches!(next, Next::Retry(..)), "{next:?}");
    submission.on_reply(0, Reply::new(250, "ok"), 0);
    accepted(&mut submission, 1);
    assert!(!submission.mail_was_refused());
}

#[test]
fn a_mail_that_waited_may_go_to_any_server() {
    let mut account = account("home", "ann@x.example", "ann");
    account.smtp = vec![account.smtp[0].clone(), account.smtp[0].clone()];
    let mail = Mail { sender: "ann@x.example".into(), size: None, eight_bit: false };
    let mut submission = Submission::new(Arc::new(account), mail, at(0));
    submission.defer(0, &pipelining()).unwrap();
    submission.begin_command(bob(), at(0));
    assert_eq!(submission.servers(), 0..2);
    submission.on_reply(0, Reply::new(250, "ok"), 1);
    assert_eq!(submission.servers(), 1..2);
}

#[test]
fn a_provider_that_hung_up_between_two_messages_is_opened_again_once() {
    let lost = || Failure::Lost { at: place(), waiting: Waiting::Answer };
    let nonsense = || Failure::ProtocolViolation { at: place(), what: "it spoke unasked".into() };
    let used = || Attempt { was_used: true, ..open() };
    for failure in [lost(), nonsense()] {
        let mut submission = begun(0);
        assert_eq!(submission.on_failure(failure.clone(), used(), at(0)), Next::Reopen);
        assert_eq!(submission.on_failure(failure.clone(), used(), at(0)), Next::Fail(failure.clone()));
        assert_eq!(begun(0).on_failure(failure.clone(), open(), at(0)), Next::Fail(failure));
    }
    let mut submission = begun(0);
    let bye = refusal(&mut submission, 0, "421 4.4.2 idle");
    let answer = || Next::Answer(Reply::from_line("421 4.4.2 idle"));
    assert_eq!(submission.on_refusal(bye.clone(), open(), at(0)), answer());
    assert_eq!(submission.on_refusal(bye.clone(), used(), at(0)), Next::Reopen);
    assert_eq!(submission.on_refusal(bye, used(), at(0)), answer());
    // A refusal of this very message is none of that, whatever the connection has seen.
    let mut submission = at_rcpt(0);
    let bye = refusal(&mut submission, 1, "421 4.4.2 too many");
    assert_eq!(submission.on_refusal(bye, used(), at(0)), Next::Answer(Reply::from_line("421 4.4.2 too many")));
    let timed_out = Failure::TimedOut { at: place(), waiting: Waiting::Answer, after: secs(60) };
    assert_eq!(submission.on_failure(timed_out.clone(), used(), at(0)), Next::Fail(timed_out));
}

/// Refuses the command every time; the waits, and the moment a login has to be newer than, where one is wanted.
fn tried_until_given_up(
    submission: &mut Submission,
    attempt: (&AfterPop, &mut Gate),
) -> (Vec<(u64, LoginPolicy)>, Reply) {
    let (after_pop, gate) = attempt;
    let (mut now, mut tries) = (at(0), Vec::new());
    loop {
        let refused = refusal(submission, 1, SHUT);
        match submission.on_refusal(refused, gated(after_pop, gate), now) {
            Next::Retry(wait, policy) => {
                tries.push((wait.as_secs(), policy));
                now = now.checked_add(wait).unwrap();
                assert_eq!(submission.retries(now).unwrap().0, tries.len());
                assert!(submission.patience(now).is_some_and(|left| !left.is_zero()));
            }
            Next::Answer(reply) => return (tries, reply),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_shut_gate_is_tried_until_the_clients_patience_ends_and_then_explained() {
    use LoginPolicy::{NewerThan, Recent};
    for (security, hint) in [(Security::Tls, true), (Security::StartTls, false)] {
        let (after_pop, mut gate) = (after_pop(security), Gate::default());
        gate.on_login(at(0), None, None);
        let mut submission = behind_login(0);
        assert_eq!(submission.patience(at(0)), None);
        let (tries, reply) = tried_until_given_up(&mut submission, (&after_pop, &mut gate));
        // The second login has to be newer than the refusal just heard, seven seconds on.
        assert_eq!(tries, [(1, Recent), (2, Recent), (4, Recent), (6, NewerThan(at(7))), (8, Recent)]);
        let line = reply.one_line();
        assert!(line.starts_with(SHUT), "{line}");
        let tried = "; ostler logged in to the POP server pop.x.example as ann 21 s ago and tried 5 times in 21 s: still refused";
        assert!(line.contains(tried), "{line}");
        assert_eq!(line.contains("security = \"starttls\""), hint, "{line}");
    }
}

#[test]
fn what_is_tried_first_depends_on_the_login_the_connection_came_behind() {
    use LoginPolicy::{NewerThan, Recent};
    let after_pop = after_pop(Security::Tls);
    // Whether the connection had a login of its own, when it was opened, and what comes first after a refusal at 10.
    for (is_new, opened, wanted) in [
        (false, 6, (0, NewerThan(at(10)))),
        (true, 6, (1, Recent)),
        // Another send has logged in at 5, after this connection was opened.
        (false, 4, (0, Recent)),
        (true, 4, (0, Recent)),
    ] {
        let mut gate = Gate::default();
        gate.on_login(at(5), None, None);
        let mut submission = at_rcpt(9);
        submission.on_login(is_new, LoginPolicy::Fresh, at(opened));
        let refused = refusal(&mut submission, 1, SHUT);
        let next = submission.on_refusal(refused, gated(&after_pop, &mut gate), at(10));
        assert_eq!(next, Next::Retry(secs(wanted.0), wanted.1), "{is_new} {opened}");
    }
}

#[test]
fn a_login_that_had_to_wait_for_the_clients_session_is_owed_until_it_is_made() {
    let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
    gate.on_login(at(0), None, None);
    let mut submission = at_rcpt(0);
    submission.on_login(false, LoginPolicy::Fresh, at(0));
    let mut refuse = |submission: &mut Submission, seconds| {
        let refused = refusal(submission, 1, SHUT);
        submission.on_refusal(refused, gated(&after_pop, &mut gate), at(seconds))
    };
    let newer = |seconds| LoginPolicy::NewerThan(at(seconds));
    assert_eq!(refuse(&mut submission, 1), Next::Retry(secs(0), newer(1)));
    // The client's own session was open.
    submission.on_login(false, newer(1), at(1));
    assert_eq!(refuse(&mut submission, 2), Next::Retry(secs(1), newer(2)));
    submission.on_login(true, newer(2), at(3));
    assert_eq!(refuse(&mut submission, 4), Next::Retry(secs(2), LoginPolicy::Recent));
}

#[test]
fn a_message_pays_for_the_retries_of_all_its_commands_and_the_next_begins_afresh() {
    let after_pop = after_pop(Security::Tls);
    let tries = |submission: &mut Submission| {
        let mut gate = Gate::default();
        gate.on_login(at(0), None, None);
        submission.on_login(true, LoginPolicy::Fresh, at(0));
        submission.begin_command(bob(), at(0));
        tried_until_given_up(submission, (&after_pop, &mut gate)).0.len()
    };
    let mut submission = begun(0);
    assert_eq!(tries(&mut submission), 5);
    submission.end_command(at(21));
    // 19 of 40 s are left.
    assert_eq!(tries(&mut submission), 4);
    assert_eq!(tries(&mut begun(0)), 5);
    // Nor does it inherit the login the kept session came behind.
    submission.on_kept_session(0, at(0));
    assert!(!submission.login_is_new());
}

#[test]
fn what_a_long_refusal_leaves_room_for_is_what_was_tried() {
    let (after_pop, gate) = (after_pop(Security::Tls), Gate::default());
    let mut submission = at_rcpt(0);
    submission.pending.refusal = Some(Reply::new(550, &format!("check mail first {}", "x".repeat(900))));
    let line = submission.final_refusal(Some((&after_pop, &gate)), at(0)).one_line();
    assert!(line.len() <= MAX_CLIENT_REPLY_OCTETS - 2 && line.starts_with("550 check mail first x"), "{line}");
    assert!(line.contains("; ostler has no POP login and tried 0 times in 0 s: still refused; some hosts"), "{line}");
    assert_eq!(submission.final_refusal(None, at(0)), submission.pending.refusal.unwrap());
}

/// Found by fuzzing: the client was told "278 mx" for its recipient, and DATA would have gone without it.
#[test]
fn a_greeting_that_refuses_nothing_accepts_no_recipient() {
    let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
    for said in ["278 mx", "354 mx", "299-mx"] {
        let mut submission = at_rcpt(0);
        let refused = Failure::ServiceRefused { at: place(), said: said.into() };
        let next = submission.on_failure(refused.clone(), gated(&after_pop, &mut gate), at(0));
        assert_eq!(next, Next::Fail(refused), "{said}");
    }
}

#[test]
fn a_provider_that_turns_ostler_away_may_want_a_login() {
    let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
    let turned_away = |said: &str| Failure::ServiceRefused { at: place(), said: said.into() };
    let mut submission = at_rcpt(0);
    let said = turned_away("554 no access, pop first");
    assert_eq!(submission.on_failure(said.clone(), open(), at(0)), Next::Fail(said.clone()));
    assert_eq!(
        submission.on_failure(said, gated(&after_pop, &mut gate), at(0)),
        Next::Retry(Duration::ZERO, LoginPolicy::NewerThan(at(0))),
        "a login before anything else"
    );
    // What has nothing to do with a gate is the client's answer as it is.
    let busy = submission.on_failure(turned_away("452 disk full"), gated(&after_pop, &mut gate), at(1));
    assert_eq!(busy, Next::Answer(Reply::from_line("452 disk full")));
}

#[test]
fn a_refusal_of_the_gates_own_pop3_server_is_told_as_that_and_not_passed_on_as_a_reply() {
    let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
    for said in ["too many connections", "550 not you", "check mail first"] {
        let refused = Failure::ServiceRefused { at: (&after_pop.login).into(), said: said.into() };
        let next = at_rcpt(0).on_failure(refused.clone(), gated(&after_pop, &mut gate), at(0));
        assert_eq!(next, Next::Fail(refused), "{said}");
    }
}

#[test]
fn a_bare_refusal_is_tried_again_once_and_behind_an_old_login_only() {
    let (after_pop, mut gate) = (after_pop(Security::Tls), Gate::default());
    gate.on_login(at(0), None, None);
    let try_at = |gate: &mut Gate, seconds| {
        let mut submission = behind_login(seconds);
        let refused = refusal(&mut submission, 1, BARE);
        let mut refuse = || submission.on_refusal(refused.clone(), gated(&after_pop, gate), at(seconds));
        (matches!(refuse(), Next::Retry(..)), matches!(refuse(), Next::Retry(..)))
    };
    assert_eq!(try_at(&mut gate, 59), (false, false), "the login is fresh");
    assert_eq!(try_at(&mut gate, 60), (true, true), "taken for a shut gate once, it goes on being one");
    assert_eq!(try_at(&mut gate, 600), (false, false), "not so soon again");
    assert_eq!(try_at(&mut gate, 660), (true, true));
}

#[test]
fn the_gate_is_that_of_the_server_tried_last() {
    let mut account = account("home", "ann@x.example", "ann");
    let gated = Server { sign_in: SignIn::AfterPop(Arc::new(after_pop(Security::Tls))), ..account.smtp[0].clone() };
    account.smtp.push(gated);
    let mail = Mail { sender: String::new(), size: None, eight_bit: false };
    let mut submission = Submission::new(Arc::new(account), mail, at(0));
    assert!(submission.gate().is_none());
    submission.on_server(1, at(0));
    assert!(submission.gate().is_some());
    submission.on_kept_session(0, at(0));
    assert!(submission.gate().is_none());
}

mod sessions {
    use super::*;

    const GOOD: SessionState<'static> =
        SessionState { is_same_account: true, accepted: 0, idle_since: None, needs_login: false, news: News::None };

    fn at_mail(session: SessionState<'_>) -> Reuse {
        reuse(session, true, secs(60), at(100))
    }

    fn within(session: SessionState<'_>) -> Reuse {
        reuse(session, false, secs(60), at(100))
    }

    #[test]
    fn a_session_serves_its_account_only() {
        let other = SessionState { is_same_account: false, ..GOOD };
        assert_eq!((at_mail(GOOD), within(GOOD)), (Reuse::AsItIs, Reuse::AsItIs));
        assert_eq!((at_mail(other), within(other)), (Reuse::No, Reuse::No));
        let spoke = SessionState { news: News::Said(b"250 ok"), ..other };
        assert_eq!((at_mail(spoke), within(spoke)), (Reuse::No, Reuse::No));
    }

    #[test]
    fn a_message_the_client_gave_up_is_taken_back_before_the_next() {
        let begun = SessionState { accepted: 2, ..GOOD };
        assert_eq!((at_mail(begun), within(begun)), (Reuse::AfterReset, Reuse::AsItIs));
    }

    #[test]
    fn a_session_that_is_shut_or_may_have_died_begins_no_message_and_goes_on_with_one() {
        let shut = SessionState { needs_login: true, ..GOOD };
        let idle = |since| SessionState { idle_since: Some(at(since)), ..GOOD };
        for session in [shut, idle(40), SessionState { accepted: 2, ..shut }, SessionState { accepted: 2, ..idle(40) }]
        {
            assert_eq!((at_mail(session), within(session)), (Reuse::No, Reuse::AsItIs), "{session:?}");
        }
        assert_eq!(at_mail(idle(41)), Reuse::AsItIs);
    }

    #[test]
    fn what_a_server_says_unasked_ends_the_session_and_the_message_under_way() {
        let after = |news| {
            let session = SessionState { news, ..GOOD };
            (at_mail(session), at_mail(SessionState { accepted: 1, ..session }), within(session))
        };
        assert_eq!(after(News::Closed), (Reuse::No, Reuse::No, Reuse::No));
        assert_eq!(after(News::Said(b"421 bye")), (Reuse::No, Reuse::No, Reuse::No));
        for said in [&b"250 ok"[..], b"42", b"550 no"] {
            assert_eq!(after(News::Said(said)), (Reuse::No, Reuse::No, Reuse::Broken("it spoke unasked")));
        }
    }
}
