//! What clients say at the doors, before a provider comes into it.

use std::sync::Arc;
use std::time::Duration;

use ostler_mail::account::{Access, Account, AfterPop, Alias, Protocol, Settings, SignIn, testing};
use ostler_mail::imap::front as imap;
use ostler_mail::machine::{Answer, Front};
use ostler_mail::pop3::front as pop3;
use ostler_mail::sasl::{Attempt, Proof};
use ostler_mail::smtp::{Extensions, Reply, ReplyParser, front as smtp};
use ostler_mail::wire::{Line, take_line};

use super::{assert_reply_line, parts};

/// Four accounts: one with aliases, one with a gate, one that only fetches, one that only sends.
fn accounts() -> Vec<Arc<Account>> {
    let mut home = testing::account("home", "ann@optonline.net", "ann@optonline.net");
    home.pop3 = Some(testing::server(Protocol::Pop3, "ann"));
    home.imap = Some(testing::server(Protocol::Imap, "ann"));
    home.aliases = vec![Alias::Address("ann.lee@optimum.net".into()), Alias::Domain("example.net".into())];
    let mut work = testing::account("work", "ann@work.example", "ann@work.example");
    let login = testing::server(Protocol::Pop3, "ann@work.example");
    let gate = AfterPop { login, fresh: Duration::from_secs(60) };
    work.smtp.iter_mut().for_each(|server| server.sign_in = SignIn::AfterPop(Arc::new(gate.clone())));
    let mut fetching = testing::account("fetching only", "box@fetch.example", "box@fetch.example");
    fetching.smtp.clear();
    let mut sending = testing::account("sending only", "out@send.example", "out@send.example");
    sending.pop3 = None;
    sending.smtp.iter_mut().for_each(|server| server.sign_in = SignIn::None);
    [home, work, fetching, sending].map(Arc::new).into()
}

/// Settings with four accounts, and the account the door leads to, as the fuzzer chooses.
pub(super) fn settings(choice: u8) -> (Arc<Settings>, Option<Arc<Account>>) {
    static DOORS: [(Protocol, u16); 2] = [(Protocol::Pop3, 2110), (Protocol::Smtp, 2025)];
    let access = [Access::SameUser, Access::Password, Access::Anyone][usize::from(choice & 3) % 3];
    let mut settings = Settings::clone(&testing::settings(access, accounts(), &DOORS));
    settings.accounts.truncate(4 - usize::from(choice >> 2 & 3));
    if choice & 0x40 != 0 {
        settings.accounts.clear();
    }
    let own = settings.accounts.get(usize::from(choice >> 4 & 3).wrapping_sub(1)).cloned();
    (Arc::new(settings), own)
}

/// A client's lines at the POP3 door: every answer is what an old client can read, a sign-in names an account that
/// fetches and a clean name, and it all comes to an end.
pub fn client_line_pop3(data: &[u8]) {
    let Some((choice, said)) = data.split_first() else { return };
    let (settings, own) = settings(*choice);
    let mut front = pop3::Pop3Front::new(Arc::clone(&settings), own.clone(), "<1.2@ostler>".into());
    assert_pop3_reply(&front.greeting());
    let mut said = said.to_vec();
    let mut heard = 0;
    while let Ok(Some(line)) = take_line(&mut said, front.line_limit()) {
        heard += 1;
        assert!(heard <= 20 * 4, "no end of it");
        match front.on_line(&line) {
            Answer::Say(reply) => assert_pop3_reply(&reply),
            Answer::Refused(failure) => assert_pop3_reply(&front.refusal(&failure)),
            Answer::Wants(pop3::Wants::Connect(account, reply)) => {
                assert_pop3_reply(&reply);
                assert!(account.pop3.is_some() && own.as_ref().is_none_or(|own| own.name == account.name));
            }
            Answer::Wants(pop3::Wants::SignIn(account, attempt)) => {
                assert!(account.pop3.is_some() && own.as_ref().is_none_or(|own| own.name == account.name));
                assert_clean(&attempt, settings.access);
            }
            Answer::Bye(reply) => return assert_pop3_reply(&reply),
            Answer::Misused(misuse) => {
                let reply = front.words().misuse(&misuse);
                assert!(reply.starts_with("-ERR "), "{misuse}");
                return assert_pop3_reply(&reply);
            }
        }
    }
    let _ = front.on_end(&said);
}

/// A client's lines at the IMAP door: every answer is whole lines that an old client can read, a sign-in names an account that
/// has IMAP and a clean name, and it all comes to an end.
pub fn client_line_imap(data: &[u8]) {
    let Some((choice, said)) = data.split_first() else { return };
    let (settings, own) = settings(*choice);
    let mut front = imap::ImapFront::new(Arc::clone(&settings), own.clone(), "<1.2@ostler>".into());
    assert_imap_reply(&front.greeting());
    let mut said = said.to_vec();
    let mut heard = 0;
    while let Ok(Some(line)) = take_line(&mut said, front.line_limit()) {
        heard += 1;
        assert!(heard <= 20 * 6, "no end of it");
        match front.on_line(&line) {
            // A literal that does not wait is answered with nothing.
            Answer::Say(reply) if reply.is_empty() => {}
            Answer::Say(reply) => assert_imap_reply(&reply),
            Answer::Refused(failure) => assert_imap_reply(&front.refusal(&failure)),
            Answer::Wants(imap::Wants::SignIn(account, attempt)) => {
                assert!(account.imap.is_some() && own.as_ref().is_none_or(|own| own.name == account.name));
                assert_clean(&attempt, settings.access);
            }
            Answer::Bye(reply) => return assert_imap_reply(&reply),
            Answer::Misused(misuse) => return assert_imap_reply(&front.words().misuse(&misuse)),
        }
    }
    let _ = front.on_end(&said);
}

/// Whole lines of printable ASCII, each with a tag, an asterisk or a plus.
fn assert_imap_reply(reply: &str) {
    let text = reply.strip_suffix("\r\n").expect("a whole line");
    for line in text.split("\r\n") {
        assert!(line.len() <= 2 * 512 && line.bytes().all(|b| matches!(b, b' '..=b'~')), "{line:?}");
        assert!(line.contains(' '), "{line:?}");
    }
}

/// A status line, a challenge or a list with its dot.
pub(super) fn assert_pop3_reply(reply: &str) {
    let text = reply.strip_suffix("\r\n").expect("a whole line");
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    assert!(["+OK", "-ERR", "+ "].iter().any(|word| first.starts_with(word)), "{first:?}");
    let mut rest = lines.clone().peekable();
    assert!(rest.peek().is_none() || (first.starts_with("+OK") && lines.clone().last() == Some(".")), "{reply:?}");
    assert_eq!(lines.clone().filter(|line| line.starts_with('.')).count(), usize::from(rest.peek().is_some()));
    text.split("\r\n").for_each(assert_reply_line);
}

/// Nothing in a claim may become a command at the provider.
fn assert_clean(attempt: &Attempt, access: Access) {
    assert!(!attempt.name.chars().any(char::is_control), "{:?}", attempt.name);
    match &attempt.proof {
        Proof::Password(password) => assert!(!password.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'))),
        Proof::Cram { .. } => assert_eq!(access, Access::Password),
        Proof::Apop { .. } => {}
    }
    assert!(attempt.password().is_some() == matches!(attempt.proof, Proof::Password(_)));
}

/// What a provider answers, chosen by an octet.
fn answer(choice: u8) -> Reply {
    const WORDS: [(u16, &str); 8] = [
        (250, "2.1.0 OK"),
        (250, ""),
        (251, "will forward"),
        (550, "5.1.1 no such user"),
        (550, "5.7.1 Relaying denied"),
        (451, "4.3.0 later"),
        (354, "not now"),
        (421, "4.3.2 closing"),
    ];
    let (code, words) = WORDS[usize::from(choice) % WORDS.len()];
    let mut reply = Reply::new(code, words);
    if choice & 0x40 != 0 {
        reply.lines.push("x".repeat(usize::from(choice) * 4));
    }
    reply
}

/// A client's lines at the SMTP door and the octets by which its provider's answers are chosen: every answer is one
/// reply that an old client can read, the transaction is what both have said, and nothing begins without the password
/// where one is wanted.
pub fn client_line_smtp(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let [answers, said] = parts(data);
    let (settings, own) = settings(*choice);
    let wants_password = settings.access == Access::Password;
    let mut answers = answers.iter().copied();
    let mut next = move || answers.next().unwrap_or_default();
    let mut front =
        smtp::SmtpFront::new(settings, own.clone(), "<1.2@ostler>".into(), (choice & 0x80 != 0).then_some(9));
    assert_one_reply(&front.greeting());
    let mut said = said.to_vec();
    let (mut may_send, mut accepted, mut idle) = (!wants_password, 0, 0);
    while let Ok(Some(line)) = take_line(&mut said, front.line_limit()) {
        idle += usize::from(!front.is_at_work());
        assert!(idle <= 20 * 4, "no end of it");
        if let Some(account) = front.likely_account() {
            assert!(may_send && !account.smtp.is_empty());
        }
        let reply = match front.on_line(&line) {
            Answer::Say(reply) | Answer::Wants(smtp::Wants::DataRefused(reply)) => reply,
            Answer::Refused(failure) => front.refusal(&failure),
            Answer::Wants(smtp::Wants::Authenticate(account, attempt)) => {
                assert_smtp_claim(&attempt, account.as_ref(), own.as_ref());
                let holds = !wants_password || next() & 1 == 0;
                may_send |= holds;
                front.on_authentication(account, holds)
            }
            Answer::Wants(smtp::Wants::Mail(account, mail)) => {
                assert!(may_send && !account.smtp.is_empty() && front.transaction().is_none());
                assert_one_line(&mail.command(&Extensions { size: Some(None), eight_bit: true, ..Default::default() }));
                accepted = 0;
                let answer = answer(next());
                let reply = front.on_mail_reply(&answer);
                assert_eq!(front.transaction().is_some(), answer.is_ok());
                reply
            }
            Answer::Wants(smtp::Wants::Rcpt(recipient)) => {
                assert_one_line(&recipient);
                let answer = answer(next());
                accepted += usize::from(answer.is_ok());
                front.on_rcpt_reply(&answer)
            }
            Answer::Wants(smtp::Wants::Data) => {
                let transaction = front.transaction().expect("a message");
                assert!(accepted > 0 && transaction.recipients == accepted);
                let reply = front.on_message_reply(&answer(next()));
                assert!(front.transaction().is_none());
                reply
            }
            Answer::Bye(reply) => return assert_one_reply(&reply),
            Answer::Misused(misuse) => {
                let reply = front.words().misuse(&misuse);
                assert!(reply.starts_with("421 "), "{misuse}");
                return assert_one_reply(&reply);
            }
        };
        assert!(!reply.starts_with("535") || wants_password);
        assert_one_reply(&reply);
    }
    let _ = front.on_end(&said);
}

fn assert_smtp_claim(attempt: &Attempt, account: Option<&Arc<Account>>, own: Option<&Arc<Account>>) {
    assert!(!attempt.name.chars().any(|c| c.is_ascii_control()), "{:?}", attempt.name);
    assert!(own.is_none_or(|own| account.is_some_and(|account| account.name == own.name)));
}

fn assert_one_line(text: &str) {
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
}

pub(super) fn assert_one_reply(said: &str) {
    let text = said.strip_suffix("\r\n").expect("a whole line");
    let mut parser = ReplyParser::default();
    let mut replies = 0;
    for line in text.split("\r\n") {
        assert_reply_line(line);
        assert_eq!(replies, 0, "more than one reply: {said:?}");
        let reply = parser.push(&Line::new(line.as_bytes())).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        replies += usize::from(reply.is_some());
    }
    assert_eq!(replies, 1, "no whole reply: {said:?}");
}
