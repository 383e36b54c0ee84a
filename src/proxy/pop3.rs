//! A POP3 session: hear the client, sign in at its provider (connecting while the client still types), then pass.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::events::event::Event;
use crate::proxy::early::EarlyConnect;
use crate::proxy::gate_login::gate_families;
use crate::proxy::net::conn::Conn;
use crate::proxy::net::dial::{Route, Upstream};
use crate::proxy::relay::{Ended, Limits, relay};
use crate::proxy::session::{Heard, Session, goodbye, secret_of, unless_stopped};
use crate::proxy::sign_in::{connect_and_prepare, note_refusal, supported};
use crate::proxy::{Engine, GateCell, now};
use ostler_mail::account::{Access, Account, Server};
use ostler_mail::client_fault::ClientMisconfiguration;
use ostler_mail::failure::{Failure, Place, Waiting, one_line};
use ostler_mail::machine::{Clock, Party, ProtocolViolation};
use ostler_mail::pop3::filter::Pop3Filter;
use ostler_mail::pop3::front::{Answer, Pop3Front, misused};
use ostler_mail::pop3::login::{Pop3Login, Ready};
use ostler_mail::sasl::Attempt;
use ostler_mail::wire::{AUTH_LINE, COMMAND_LINE};

/// How long TLS may take to say goodbye to a provider.
const CLOSE: Duration = Duration::from_secs(2);

/// Connects to the provider while the client still types: all but the password is said by the time it is needed.
fn connect_early(session: &Session, account: &Arc<Account>, server: &Server) -> EarlyConnect<Pop3Login> {
    let engine = Arc::clone(&session.engine);
    let timeouts = session.settings.timeouts.clone();
    let (owner, server) = (Arc::clone(account), server.clone());
    EarlyConnect::new(Arc::clone(account), async move {
        supported(&server)?;
        let from_client = server.credentials().is_some_and(|c| c.secret == ostler_mail::account::SecretSource::Client);
        let secret =
            async { if from_client { Ok(None) } else { engine.secret(&owner, &server, None).await.map(Some) } };
        let prepared = async {
            let route = route(&engine, &owner, &server, &timeouts).await;
            connect_and_prepare(&engine, &server, &timeouts, route)
                .await
                .inspect_err(|f| note_refusal(&engine, &owner, &server, f))
        };
        let (prepared, secret) = tokio::join!(prepared, secret);
        Ok((prepared?, secret?))
    })
}

/// The way to a POP3 server: where a gate hangs on the login, the family the gate needs.
async fn route(
    engine: &Engine,
    account: &Account,
    server: &Server,
    timeouts: &ostler_mail::account::Timeouts,
) -> Route {
    let gated = account.smtp.iter().find(|s| s.gate().is_some_and(|g| g.login.id() == server.id()));
    let family = match gated {
        Some(gated) => gate_families(engine, gated, server, timeouts).await.ok().and_then(|f| f.first().copied()),
        None => None,
    };
    Route { family, from: None }
}

/// The gate that hangs on a login at this server, if one does.
fn gate_of(engine: &Engine, account: &Account, server: &Server) -> Option<Arc<GateCell>> {
    account.smtp.iter().find_map(|s| s.gate().filter(|g| g.login.id() == server.id())).map(|g| engine.gate(&g.login))
}

/// Serves a client to its end.
pub async fn serve(session: &mut Session, client: &mut Conn<TcpStream>) {
    let mut front = Pop3Front::new(Arc::clone(&session.settings), session.own.clone(), session.stamp());
    if !session.say(client, &front.greeting()).await {
        return;
    }
    // Boxed, so that an idle session does not carry the sign-in's memory about.
    let Some((entered, account)) = Box::pin(sign_in(session, client, &mut front)).await else { return };
    let welcome = format!("{}\r\n", one_line(&entered.ready.said.printable()));
    if session.say(client, &welcome).await {
        Box::pin(pass(session, client, entered, &account)).await;
    }
}

/// A provider that has let a client in.
struct Entered {
    upstream: Upstream,
    ready: Ready,
    open: OpenSession,
}

/// Hears the client until it has signed in.
async fn sign_in(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    front: &mut Pop3Front,
) -> Option<(Entered, Arc<Account>)> {
    let mut early: Option<EarlyConnect<Pop3Login>> = None;
    let mut deadline = Instant::now() + session.settings.timeouts.login;
    loop {
        let limit = if front.in_exchange() { AUTH_LINE } else { COMMAND_LINE };
        let heard = loop {
            let Some(connecting) = &mut early else { break session.hear(client, limit, deadline).await };
            tokio::select! {
                biased;
                heard = session.hear(client, limit, deadline) => break heard,
                () = connecting.drive() => {}
            }
        };
        let answer = match heard {
            Heard::Line(line) => {
                session.log_line(&line, front.in_exchange());
                front.on_line(&line)
            }
            Heard::Misused(misuse) => misused(misuse),
            Heard::End(rest) if front.on_end(&rest) => Answer::Bye("+OK bye\r\n".into()),
            Heard::End(_) => {
                front.silent().into_iter().for_each(|slip| session.report_misconfiguration(slip));
                return None;
            }
            Heard::TimedOut => Answer::Bye("-ERR [SYS/TEMP] nobody signed in for too long (timeout)\r\n".into()),
            Heard::Stopping => Answer::Bye("-ERR [SYS/TEMP] ostler is about to end (timeout)\r\n".into()),
        };
        front.take_misconfiguration().into_iter().for_each(|slip| session.report_misconfiguration(slip));
        let text = match answer {
            Answer::Say(text) => text,
            Answer::Refused(failure) => {
                session.report(None, &failure);
                format!("{}\r\n", failure.pop3_reply())
            }
            Answer::Known(account, text) => {
                session.named(&account);
                let other = early.as_ref().is_none_or(|early| !early.is_for(&account));
                // Where the local password decides, the provider hears nothing before it was right.
                if let Some(server) =
                    account.pop3.as_ref().filter(|_| other && session.settings.access != Access::Password)
                {
                    early = Some(connect_early(session, &account, server));
                }
                text
            }
            Answer::SignIn(account, attempt) => {
                match unless_stopped(session.stopping.clone(), enter(session, &account, &attempt, early.take())).await {
                    Ok(Some(entered)) => return Some((entered, account)),
                    Ok(None) if session.has_guessed_enough() => {
                        let Answer::Misused(misuse, text) =
                            misused(ostler_mail::client_fault::Misuse::TooManyPasswords)
                        else {
                            return None;
                        };
                        session.misused(misuse);
                        goodbye(client, &text).await;
                        return None;
                    }
                    Ok(None) => {
                        session.report_misconfiguration(ClientMisconfiguration::WrongPassword);
                        "-ERR [AUTH] this is not the local password of that account; ostler list --passwords shows it\r\n"
                        .into()
                    }
                    Err(failure) => {
                        session.report(Some(&account), &failure);
                        format!("{}\r\n", failure.pop3_reply())
                    }
                }
            }
            Answer::Bye(text) => {
                goodbye(client, &text).await;
                return None;
            }
            Answer::Misused(misuse, text) => {
                session.misused(misuse);
                goodbye(client, &text).await;
                return None;
            }
        };
        if !session.say(client, &text).await {
            return None;
        }
        if text.starts_with("-ERR [") {
            deadline = Instant::now() + session.settings.timeouts.login;
        }
    }
}

/// Checks who it is, and signs in at the provider; `None`: the local password was wrong.
async fn enter(
    session: &mut Session,
    account: &Arc<Account>,
    attempt: &Attempt,
    early: Option<EarlyConnect<Pop3Login>>,
) -> Result<Option<Entered>, Failure> {
    session.named(account);
    if session.settings.access == Access::Password && !session.knows_password(account, &attempt.proof).await? {
        return Ok(None);
    }
    let Some(server) = &account.pop3 else {
        return Err(Failure::NoServer {
            account: account.name.clone(),
            protocol: ostler_mail::account::Protocol::Pop3,
        });
    };
    session.doing("signing in at the provider");
    let early = early.filter(|early| early.is_for(account)).unwrap_or_else(|| connect_early(session, account, server));
    let (mut prepared, mut secret) = early.result().await?;
    if prepared.is_stale().await {
        // It hung up while the client was typing; no password has been said yet.
        (prepared, secret) = connect_early(session, account, server).result().await?;
    }
    // The local password is nothing a provider may hear.
    let given = secret_of(attempt).filter(|_| session.settings.access != Access::Password);
    let secret = match secret {
        Some(secret) => secret,
        None => session.engine.secret(account, server, given.as_ref()).await?,
    };
    let engine = Arc::clone(&session.engine);
    let gate = gate_of(&engine, account, server);
    let turn = match &gate {
        Some(cell) => Some(cell.turn.lock().await),
        None => None,
    };
    let finished = prepared.finish(&engine.dialer, Some(secret), &session.settings.timeouts).await;
    let (upstream, ready) = finished.inspect_err(|failure| note_refusal(&engine, account, server, failure))?;
    engine.learn(server, |learned| learned.pop3 = Some(ready.known.clone()));
    if let Some(cell) = &gate {
        let mut gate = cell.lock();
        gate.logged_in(now(), upstream.local, ready.known.login_delay);
        gate.session_opened();
    }
    drop(turn);
    // From here on, for the client may be gone before it hears of it.
    let open = OpenSession(gate);
    Ok(Some(Entered { upstream, ready, open }))
}

/// The client's session at the provider counts as the gate's login until this is dropped.
struct OpenSession(Option<Arc<GateCell>>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        if let Some(cell) = &self.0 {
            cell.lock().session_closed(now());
        }
    }
}

/// Passes what client and provider say, to the end.
async fn pass(session: &mut Session, client: &mut Conn<TcpStream>, entered: Entered, account: &Account) {
    let Entered { upstream, open, .. } = entered;
    session.doing("signed in");
    session.signed_in();
    let Upstream { mut conn, at, .. } = upstream;
    let timeouts = &session.settings.timeouts;
    let limits = Limits { idle: timeouts.idle, reply: timeouts.reply, data: timeouts.data };
    let mut filter = Pop3Filter::new(Arc::clone(&session.progress));
    let ended = relay(client, &mut conn, &mut filter, limits, &mut session.stopping).await;
    drop(open);
    let (messages, octets) = filter.figures();
    let waiting = if filter.is_inside_text() { Waiting::Message } else { Waiting::Answer };
    if let Some(failure) = failure_of(&ended, waiting, &at, timeouts) {
        let _ = timeout(CLOSE, conn.close()).await;
        session.report(Some(account), &failure);
        let waits = matches!(ended, Ended::ServerGone);
        last_words(session, client, &filter, &failure, waits).await;
    } else if let Ended::Breach(ProtocolViolation::Client(misuse)) = ended {
        let _ = timeout(CLOSE, conn.close()).await;
        let Answer::Misused(misuse, text) = misused(misuse) else { return };
        session.misused(misuse);
        // Inside an answer the line would be taken for a part of it.
        goodbye(client, if filter.is_inside_text() { "" } else { &text }).await;
    } else {
        session.engine.events.publish(Event::Fetched { account: account.name.clone(), messages, octets });
        // The client first: it may wait for it.
        client.close().await;
        let _ = timeout(CLOSE, conn.close()).await;
    }
}

/// What was the provider's fault; `waiting`: what it owed when it was.
fn failure_of(
    ended: &Ended,
    waiting: Waiting,
    at: &Place,
    timeouts: &ostler_mail::account::Timeouts,
) -> Option<Failure> {
    let at = at.clone();
    match ended {
        Ended::ServerGone => Some(Failure::Lost { at, waiting }),
        Ended::TimedOut(Clock::Reply, _) => {
            Some(Failure::TimedOut { at, waiting: Waiting::Answer, after: timeouts.reply })
        }
        Ended::TimedOut(_, Party::Server) => {
            Some(Failure::TimedOut { at, waiting: Waiting::Message, after: timeouts.data })
        }
        Ended::Breach(ProtocolViolation::Server(what)) => Some(Failure::ProtocolViolation { at, what: what.clone() }),
        Ended::Over
        | Ended::ClientGone
        | Ended::Stopping
        | Ended::TimedOut(_, Party::Client)
        | Ended::Breach(ProtocolViolation::Client(_)) => None,
    }
}

/// The provider is gone. Inside a message the connection just breaks, for any line would look like a part of it or like
/// its end; else the client gets an answer to the command it is waiting with, or, where the provider just hung up, to
/// its next one, so that it can say why.
async fn last_words(
    session: &mut Session,
    client: &mut Conn<TcpStream>,
    filter: &Pop3Filter,
    failure: &Failure,
    waits: bool,
) {
    if filter.is_inside_text() {
        return;
    }
    if !filter.owes_answer() {
        if !waits {
            return;
        }
        let deadline = Instant::now() + session.settings.timeouts.reply;
        if !matches!(session.hear(client, COMMAND_LINE, deadline).await, Heard::Line(_)) {
            return;
        }
    }
    goodbye(client, &format!("{}\r\n", failure.pop3_reply())).await;
}
