//! An SMTP session: hear the client, and give each message to [`submission`], which has the provider's side.

pub(crate) mod submission;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::events::event::Event;
use crate::proxy::net::conn::Conn;
use crate::proxy::session::{Heard, Session, goodbye, has_early_input, secret_of};
use ostler_mail::account::{Access, Account};
use ostler_mail::client_fault::Misuse;
use ostler_mail::smtp::envelope::EnvelopeCommand;
use ostler_mail::smtp::front::{Answer, SmtpFront, misused};
use ostler_mail::wire::{AUTH_LINE, COMMAND_LINE};
use submission::ProviderSide;

/// Serves a client to its end.
pub async fn serve(session: &mut Session, client: &mut Conn<TcpStream>) {
    let size =
        session.settings.accounts.first().filter(|_| session.own.is_some() || session.settings.accounts.len() == 1);
    let size = session.own.as_ref().or(size).and_then(|a| a.smtp.first()).and_then(|s| session.engine.learned(s).size);
    let front = SmtpFront::new(Arc::clone(&session.settings), session.own.clone(), session.stamp(), size);
    let provider = ProviderSide::new(Arc::clone(&session.engine), Arc::clone(&session.settings));
    // Boxed, so that what is rare does not make every session big.
    Box::pin(converse(session, client, front, provider)).await;
}

async fn converse(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    mut front: SmtpFront,
    mut provider: ProviderSide,
) {
    if !session.say(client, &front.greeting()).await {
        return;
    }
    let mut deadline = Instant::now() + session.settings.timeouts.login;
    loop {
        let heard = next(session, client, &front, &mut provider, deadline).await;
        let answer = match heard {
            Heard::Line(line) => {
                session.log_line(&line, front.in_exchange());
                front.on_line(&line)
            }
            Heard::Misused(misuse) => misused(misuse),
            Heard::End(rest) if front.on_end(&rest) => Answer::Bye("221 2.0.0 bye\r\n".into()),
            Heard::End(_) => {
                front.silent().into_iter().for_each(|slip| session.report_misconfiguration(slip));
                break;
            }
            Heard::TimedOut => Answer::Bye("421 4.4.2 nothing was said for too long\r\n".into()),
            Heard::Stopping => Answer::Bye("421 4.3.2 ostler is about to end\r\n".into()),
        };
        front.take_misconfiguration().into_iter().for_each(|slip| session.report_misconfiguration(slip));
        let text = match answer {
            Answer::Say(text) => text,
            Answer::Refused(failure) => {
                session.report(None, &failure);
                format!("{}\r\n", failure.smtp_reply())
            }
            Answer::Authenticate(account, attempt) => {
                match authenticate(session, &mut front, &mut provider, account, &attempt).await {
                    Some(text) => text,
                    None => {
                        let Answer::Misused(misuse, text) = misused(Misuse::TooManyPasswords) else { break };
                        session.misused(misuse);
                        goodbye(client, &text).await;
                        break;
                    }
                }
            }
            Answer::Mail(account, mail) => {
                session.named(&account);
                session.doing("beginning a message");
                provider.begin_message(&account, mail);
                front.mail_answered(&provider.submit(session, EnvelopeCommand::Mail).await)
            }
            Answer::Rcpt(recipient) => {
                front.rcpt_answered(&provider.submit(session, EnvelopeCommand::Rcpt(recipient)).await)
            }
            Answer::Data => match message(session, client, &mut front, &mut provider).await {
                Some(text) => text,
                None => break,
            },
            Answer::NoData(_) if has_early_input(client).await => {
                early_data(session, client).await;
                break;
            }
            Answer::NoData(text) => text,
            Answer::Bye(text) => {
                goodbye(client, &text).await;
                break;
            }
            Answer::Misused(misuse, text) => {
                session.misused(misuse);
                goodbye(client, &text).await;
                break;
            }
        };
        if text.starts_with("421 ") {
            // Whoever says 421 closes (RFC 5321, 3.8), and what the provider said is passed on whole.
            goodbye(client, &text).await;
            break;
        }
        if !session.say(client, &text).await {
            break;
        }
        let timeouts = &session.settings.timeouts;
        if front.is_at_work() {
            deadline = Instant::now() + timeouts.idle;
        }
        provider.connect_early(&front);
    }
    provider.leave().await;
}

/// The client's next line, while the early connection goes on.
async fn next(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    front: &SmtpFront,
    provider: &mut ProviderSide,
    deadline: Instant,
) -> Heard {
    let limit = if front.in_exchange() { AUTH_LINE } else { COMMAND_LINE };
    loop {
        tokio::select! {
            biased;
            heard = session.hear(client, limit, deadline) => return heard,
            () = provider.drive_early() => {}
        }
    }
}

/// Decides on a client's AUTH; `None`: it has guessed often enough.
async fn authenticate(
    session: &mut Session,
    front: &mut SmtpFront,
    provider: &mut ProviderSide,
    account: Option<Arc<Account>>,
    attempt: &ostler_mail::sasl::Attempt,
) -> Option<String> {
    if session.settings.access != Access::Password {
        provider.sign_in_with(secret_of(attempt));
        // A name that is no account decides nothing, so nobody has signed in.
        if let Some(account) = &account {
            session.named(account);
            session.signed_in();
        }
        return Some(front.authenticated(account, true));
    }
    let known = match &account {
        Some(account) => session.knows_password(account, &attempt.proof).await,
        None => {
            // A name that is nobody takes as long as a wrong password.
            session.wrong_passwords += 1;
            sleep(Duration::from_secs(session.wrong_passwords.into())).await;
            Ok(false)
        }
    };
    match known {
        Ok(false) if session.has_guessed_enough() => None,
        Ok(holds) => {
            if let Some(account) = account.as_ref().filter(|_| holds) {
                session.named(account);
                session.signed_in();
            }
            let text = front.authenticated(account, holds);
            front.take_misconfiguration().into_iter().for_each(|slip| session.report_misconfiguration(slip));
            Some(text)
        }
        Err(failure) => {
            session.report(account.as_deref(), &failure);
            Some(format!("{}\r\n", failure.smtp_reply()))
        }
    }
}

/// DATA and the body; `None` when the connection is over.
async fn message(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    front: &mut SmtpFront,
    provider: &mut ProviderSide,
) -> Option<String> {
    let transaction = front.transaction()?;
    let (account, size) = (Arc::clone(&transaction.account), transaction.mail.size);
    let recipients = transaction.accepted.len();
    let reply = provider.submit(session, EnvelopeCommand::Data).await;
    if has_early_input(client).await {
        // Refused or not: what has come is a body, and must never be heard as commands.
        provider.drop_session();
        early_data(session, client).await;
        return None;
    }
    if reply.code != 354 {
        session.engine.events.publish(Event::NotSent { account: account.name.clone(), why: reply.one_line() });
        return Some(front.message_answered(&reply));
    }
    session.doing("sending a message");
    if !session.say(client, &format!("{}\r\n", reply.one_line())).await {
        return None;
    }
    session.sent += 1;
    session.progress.begin(session.sent, None, size);
    let (reply, octets) = provider.body(session, client).await?;
    session.progress.rest();
    if reply.is_ok() {
        let sent = Event::Sent { account: account.name.clone(), recipients, octets };
        session.engine.events.publish(sent);
    } else {
        session.engine.events.publish(Event::NotSent { account: account.name.clone(), why: reply.one_line() });
    }
    session.doing("signed in");
    Some(front.message_answered(&reply))
}

/// Ends the connection of a client that did not wait for the answer to DATA.
async fn early_data(session: &Session, client: &mut Conn<TcpStream>) {
    let Answer::Misused(misuse, text) = misused(Misuse::EarlyData) else { return };
    session.misused(misuse);
    goodbye(client, &text).await;
}
