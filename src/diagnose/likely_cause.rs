//! A second look after a step has failed: it tries the other usual ports of the server, reads what the server says
//! without TLS, and checks the network and the clock. It does not sign in, with one exception: if a gate stays shut, it
//! logs in by STLS at the same host, inside verified TLS.
//!
//! Not here: the cause of a bad certificate (`likely_cause/certificate.rs`), and the words for each kind of failure
//! (`explain.rs`).

mod certificate;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{RELAY_TEST_RECIPIENT, Step, StepKind, finish};
use crate::diagnose::explain;
use crate::proxy::Engine;
use crate::proxy::net::dial::{Family, Route};
use crate::proxy::sign_in::{ask, hear, leave, prepare_on};
use crate::proxy::smtp::submission::rehearse;
use ostler_mail::account::{Account, Protocol, Security, Server, SignIn, Timeouts};
use ostler_mail::failure::{Failure, ServerAddr, Waiting, is_web_server};
use ostler_mail::{pop3, smtp};

/// For the whole second look at one failure, because a person is waiting.
const LOOK_TIMEOUT: Duration = Duration::from_secs(12);
/// For the look at a gate: a login, and a rehearsal with the waits that slow hosts need to notice it.
const GATE_LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// For one other port of the server.
const PORT_TIMEOUT: Duration = Duration::from_secs(6);
/// At most this many other servers of the account are tried.
const MAX_OTHER_SERVERS: usize = 2;
/// For a connection. A server that answers at all answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a greeting, a reply or a TLS handshake.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// A server that has not greeted within this time waits for the client to speak first.
const UNASKED_TIMEOUT: Duration = Duration::from_millis(1500);

/// The result of a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// The likely cause of the failure, without a full stop.
    pub(super) cause: String,
    /// What to do, if the look found better advice than the kind of failure gives.
    pub(super) advice: Option<Advice>,
}

/// What to do about what a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advice {
    Text(String),
    /// Use this port of the server, with this security.
    Port(u16, Security),
}

impl Advice {
    /// In words; where an account is not in the settings yet, there is no server to correct.
    pub(super) fn in_words(self, is_saved: bool) -> String {
        match self {
            Self::Text(text) => text,
            Self::Port(port, security) if is_saved => {
                format!("write port = {port} and security = \"{}\" for this server in the settings", security.name())
            }
            Self::Port(port, Security::Tls) => format!("use port {port} with TLS for this server"),
            Self::Port(port, Security::StartTls) => format!("use port {port} with STARTTLS for this server"),
            Self::Port(port, Security::None) => format!("use port {port} without encryption for this server"),
        }
    }
}

impl Look {
    fn new(cause: String, advice: impl Into<String>) -> Self {
        Self { cause, advice: Some(Advice::Text(advice.into())) }
    }

    /// Another port of the same server is the right one.
    pub(super) fn at_port(cause: String, port: u16, security: Security) -> Self {
        Self { cause, advice: Some(Advice::Port(port, security)) }
    }

    fn of(cause: &str) -> Option<Self> {
        explain::cause(cause).map(|cause| Self::new(format!("{}; {}", cause.means, cause.likely), cause.next.clone()))
    }
}

/// Looks again after a failure at a server. `steps` are the steps so far.
pub(super) async fn look(
    engine: &Arc<Engine>,
    account: &Account,
    server: &Server,
    failure: &Failure,
    steps: &[Step],
) -> Option<Look> {
    let timeouts = short_timeouts(&engine.settings().timeouts);
    let work = async {
        match failure {
            Failure::TimedOut { waiting: Waiting::Connect, .. } | Failure::NobodyListens { .. } => {
                Some(look_at_ports(engine, account, server, failure, steps, &timeouts).await)
            }
            Failure::NoStartTls { .. } => find_other_port(engine, server, &timeouts).await.map(|(port, security)| {
                let cause =
                    format!("port {} offers no encryption, but port {port} of the same server does", server.port);
                Look::at_port(cause, port, security)
            }),
            Failure::NotTls { .. } | Failure::Lost { waiting: Waiting::Tls, .. } => {
                look_in_clear(engine, server, &timeouts).await
            }
            Failure::TimedOut { waiting: Waiting::Greeting, .. } | Failure::Lost { waiting: Waiting::Greeting, .. }
                // With TLS from the start the handshake is done by then, so missing TLS is not the reason.
                if server.security != Security::Tls =>
            {
                look_for_tls(engine, server, &timeouts).await
            }
            Failure::Certificate { problem, ca, .. } => {
                certificate::look(engine, account, server, problem, *ca, steps, &timeouts).await
            }
            _ => None,
        }
    };
    // A look that takes too long is given up: the kind of failure has a likely cause of its own.
    timeout(LOOK_TIMEOUT, work).await.ok().flatten()
}

fn short_timeouts(timeouts: &Timeouts) -> Timeouts {
    Timeouts {
        connect: timeouts.connect.min(CONNECT_TIMEOUT),
        tls: timeouts.tls.min(REPLY_TIMEOUT),
        greeting: timeouts.greeting.min(REPLY_TIMEOUT),
        reply: timeouts.reply.min(REPLY_TIMEOUT),
        ..timeouts.clone()
    }
}

/// The same server at another port or with other security, without signing in.
fn variant(server: &Server, port: u16, security: Security) -> Server {
    Server { port, security, sign_in: SignIn::None, ..server.clone() }
}

/// The usual ports of the protocol except the server's own. Port 25 comes last: it is for mail servers, but some small
/// providers take mail from their users on no other port.
fn other_usual_ports(server: &Server) -> Vec<(u16, Security)> {
    let all: &[(u16, Security)] = match server.protocol {
        Protocol::Pop3 => &[(995, Security::Tls), (110, Security::StartTls)],
        Protocol::Smtp => &[(465, Security::Tls), (587, Security::StartTls), (25, Security::StartTls)],
        Protocol::Imap => &[(993, Security::Tls), (143, Security::StartTls)],
    };
    all.iter().copied().filter(|(port, _)| *port != server.port).collect()
}

/// The first of the other usual ports where the server answers inside verified TLS.
async fn find_other_port(engine: &Arc<Engine>, server: &Server, timeouts: &Timeouts) -> Option<(u16, Security)> {
    let mut tries = JoinSet::new();
    for (port, security) in other_usual_ports(server) {
        let (engine, server, timeouts) = (Arc::clone(engine), variant(server, port, security), timeouts.clone());
        tries.spawn(async move {
            let greeted = timeout(PORT_TIMEOUT, greet(&engine, &server, &timeouts)).await;
            matches!(greeted, Ok(Ok(()))).then_some((port, security))
        });
    }
    // All of them, because the first of the list is better than the quickest.
    let good = tries.join_all().await;
    other_usual_ports(server).into_iter().find(|one| good.contains(&Some(*one)))
}

/// Connects, starts TLS, reads the greeting, and leaves.
async fn greet(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Result<(), Failure> {
    let mut upstream = engine.dialer.connect(server, timeouts, Route::default()).await?;
    let place = || ServerAddr::from(server);
    let (hello, stls): (&[u8], _) = match server.protocol {
        Protocol::Smtp => {
            let prepared = prepare_on::<smtp::login::SmtpLogin>(engine, upstream, server, timeouts).await?;
            let (mut upstream, _) = prepared.finish(&engine.dialer, server, None, timeouts).await?;
            leave(&mut upstream, timeouts.reply).await;
            return Ok(());
        }
        Protocol::Pop3 => (b"+OK", Some("STLS")),
        Protocol::Imap => (b"* OK", None),
    };
    let line = hear(&mut upstream, Waiting::Greeting, timeouts.greeting, Instant::now() + timeouts.greeting).await?;
    if !line.bytes().starts_with(hello) {
        return Err(Failure::WrongProtocol { at: place(), said: line.printable() });
    }
    if let Some(stls) = stls.filter(|_| server.security == Security::StartTls) {
        let line = ask(&mut upstream, stls, Waiting::StartTls, timeouts.reply).await?;
        if !line.bytes().starts_with(b"+OK") {
            return Err(Failure::NoStartTls { at: place() });
        }
        upstream = engine.dialer.start_tls(upstream, timeouts).await?;
    }
    leave(&mut upstream, timeouts.reply).await;
    Ok(())
}

/// Looks at the other ports after one did not answer or refused.
async fn look_at_ports(
    engine: &Arc<Engine>,
    account: &Account,
    server: &Server,
    failure: &Failure,
    steps: &[Step],
    timeouts: &Timeouts,
) -> Look {
    let (own, host) = (server.port, &server.host);
    let is_silent = matches!(failure, Failure::TimedOut { .. });
    if let Some((port, security)) = find_other_port(engine, server, timeouts).await {
        let cause = if is_silent {
            format!(
                "port {own} does not answer, but port {port} of the same server does: something along the way (a firewall, a virus scanner, the company network) blocks port {own}"
            )
        } else {
            format!("nothing listens on port {own}, but port {port} of the same server answers: the port is wrong")
        };
        return Look::at_port(cause, port, security);
    }
    let tried: Vec<String> = other_usual_ports(server).into_iter().map(|(port, _)| port.to_string()).collect();
    let tried = format!("neither port {own} of {host} nor any of the usual ones ({}) answers", tried.join(", "));
    let (cause, advice) = match (find_other_host(engine, account, server, steps, timeouts).await, is_silent) {
        (Some(other), true) => (
            format!("{tried}, but {other} does: that server is out of order, or this network blocks mail to it"),
            "try again later, and from another network; the provider's help page may name another server",
        ),
        (None, true) => (
            format!(
                "{tried}, nor does any other server of this account: this computer is offline, or this network blocks mail"
            ),
            "open any web page; if it loads, turn off the firewall or virus scanner for a moment, or try another network",
        ),
        (Some(other), false) => (
            format!("{tried}, but {other} does: it is probably not the provider's mail server"),
            "compare host with the provider's help page",
        ),
        (None, false) => (tried, "compare host, port and security with the provider's help page"),
    };
    Look::new(cause, advice)
}

/// The host of another server of the account that accepts connections.
async fn find_other_host(
    engine: &Engine,
    account: &Account,
    server: &Server,
    steps: &[Step],
    timeouts: &Timeouts,
) -> Option<String> {
    let others = account.servers().filter(|other| other.host != server.host);
    for other in others.take(MAX_OTHER_SERVERS) {
        let label = super::label(other);
        let reached = steps.iter().any(|step| step.is_ok() && step.kind == StepKind::Tcp && step.server == label);
        // Whether TCP connects is enough to know, and TLS could fail for reasons of its own.
        let plain = variant(other, other.port, Security::None);
        if reached || engine.dialer.connect(&plain, timeouts, Route::default()).await.is_ok() {
            return Some(other.host.clone());
        }
    }
    None
}

/// What a server says without TLS: its greeting, or its answer to QUIT, since a web server waits for the client to
/// speak.
async fn read_plain_greeting(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Option<String> {
    // In clear, for nothing is said here but QUIT.
    let plain = variant(server, server.port, Security::None);
    let mut upstream = engine.dialer.connect(&plain, timeouts, Route::default()).await.ok()?;
    let limit = UNASKED_TIMEOUT.min(timeouts.greeting);
    if let Ok(line) = hear(&mut upstream, Waiting::Greeting, limit, Instant::now() + limit).await {
        leave(&mut upstream, timeouts.reply).await;
        return Some(line.printable());
    }
    let line = ask(&mut upstream, "QUIT", Waiting::Answer, limit).await.ok()?;
    Some(line.printable())
}

/// Looks at a port that should speak TLS from the start but does not.
async fn look_in_clear(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Option<Look> {
    let words = read_plain_greeting(engine, server, timeouts).await?;
    if is_web_server(&words) {
        return Look::of("portal");
    }
    // A greeting of several lines has a hyphen after its number (RFC 5321, section 4.2.1).
    let speaks = match words.split([' ', '-']).next().unwrap_or_default() {
        "+OK" => Some(Protocol::Pop3),
        "220" => Some(Protocol::Smtp),
        "*" => Some(Protocol::Imap),
        _ => None,
    };
    let port = server.port;
    match speaks {
        Some(protocol) if protocol == server.protocol => {
            let offers = greet(engine, &variant(server, port, Security::StartTls), timeouts).await;
            match offers {
                Ok(()) => Some(Look::at_port(
                    format!("port {port} starts without TLS and switches to it on request (STARTTLS)"),
                    port,
                    Security::StartTls,
                )),
                Err(Failure::NoStartTls { .. }) => Some(Look::new(
                    format!("port {port} offers no encryption"),
                    "use the provider's port with encryption; ostler does not send a password without it",
                )),
                Err(_) => None,
            }
        }
        Some(protocol) => Some(Look::new(
            format!("port {port} is a server for {}", ostler_mail::failure::spoken(protocol)),
            format!("write the host and port for {} in the settings", ostler_mail::failure::spoken(server.protocol)),
        )),
        None => None,
    }
}

/// Looks at a port that should greet without TLS but does not.
async fn look_for_tls(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Option<Look> {
    if greet(engine, &variant(server, server.port, Security::Tls), timeouts).await.is_ok() {
        let cause = format!("port {} speaks TLS from the start and waits for ostler to begin", server.port);
        return Some(Look::at_port(cause, server.port, Security::Tls));
    }
    let words = read_plain_greeting(engine, server, timeouts).await?;
    if is_web_server(&words) { Look::of("portal") } else { None }
}

/// Looks at a gate that stayed shut: would a login by STLS on port 110 open it? Some hosts run port 995 behind a TLS
/// wrapper, and then see the wrapper's address as that of the login.
pub(super) async fn look_at_gate(
    engine: &Arc<Engine>,
    account: &Arc<Account>,
    server: &Server,
    failure: &Failure,
) -> Option<Look> {
    let gate = account.smtp.iter().find_map(|server| server.gate())?;
    if gate.login.security != Security::Tls || !matches!(failure, Failure::ServiceRefused { .. }) {
        return None;
    }
    let timeouts = short_timeouts(&engine.settings().timeouts);
    let port = Protocol::Pop3.default_port(Security::StartTls);
    let login = Server { port, security: Security::StartTls, ..gate.login.clone() };
    let host = login.host.clone();
    let work = async {
        let secret = engine.secret(account, &gate.login, None).await.ok()?;
        let known = engine.gate(&gate.login).lock().login_address();
        // The family of the last login, because the gate goes by the address.
        let route = Route { family: known.map(Family::of), from: None };
        let logged_in = match engine.dialer.connect(&login, &timeouts, route).await {
            Ok(upstream) => {
                let begun = pop3::login::Pop3Login::new(&login, None);
                finish(&engine.dialer, &login, upstream, begun, secret, &timeouts).await
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = logged_in {
            let cause = format!(
                "{} ignores the login at {host} over TLS, and a login by STLS on port {port} could not be tried: {}",
                server.host,
                failure.sentence()
            );
            return Some(Look::new(cause, "ask the provider which login it expects before a send"));
        }
        let opened = rehearse(engine, account, RELAY_TEST_RECIPIENT).await.is_ok_and(|reply| reply.is_ok());
        Some(if opened {
            Look::new(
                format!(
                    "{} accepts only logins by STLS on port {port} of {host}: after such a login the gate was open",
                    server.host
                ),
                format!("write under [account.smtp]: login = {{ host = \"{host}\", security = \"starttls\" }}"),
            )
        } else {
            Look::new(
                format!("{} ignores both a login at {host} over TLS and one by STLS on port {port}", server.host),
                "ask the provider which login it expects before a send, and whether it has a server for sending with a password",
            )
        })
    };
    timeout(GATE_LOOK_TIMEOUT, work).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_other_ports_leave_the_own_one_out() {
        let server = |protocol, port| Server { port, ..ostler_mail::account::testing::server(protocol, "ann") };
        let ports = |server: &Server| other_usual_ports(server).into_iter().map(|(port, _)| port).collect::<Vec<_>>();
        assert_eq!(ports(&server(Protocol::Pop3, 995)), [110]);
        assert_eq!(ports(&server(Protocol::Pop3, 2995)), [995, 110]);
        assert_eq!(ports(&server(Protocol::Smtp, 25)), [465, 587]);
    }
}
