//! Probes servers: one endpoint, or the usual names of a domain. Each server is asked what it offers, then the
//! connection ends; no user name and no password is sent.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Domain, Found, Missing, Offer, Source, Vouched};
use crate::proxy::net::dial::{Dialer, Route, Upstream};
use crate::proxy::net::tls;
use crate::proxy::sign_in::{leave, prepare};
use ostler_mail::account::endpoint::{AuthMethod, Endpoint};
use ostler_mail::account::{Protocol, Security, Server, SignIn, Timeouts, Trust};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::machine::Login;
use ostler_mail::sasl::Mechanism;
use ostler_mail::{imap, pop3, smtp};

/// For one connection. A server that exists answers within a second; a firewall that drops the packets never does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a greeting. Some servers make unknown clients wait for six seconds (Postfix's postscreen).
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// For one reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(6);
/// For one server, from its name to QUIT.
const PROBE_TIMEOUT: Duration = Duration::from_secs(25);
/// For all servers together, because a person is waiting.
const ALL_PROBES_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at a time, to all hosts together.
const MAX_CONNECTIONS: usize = 12;

/// The prefixes of the usual host names for POP3, the likeliest first.
const POP3_NAMES: [&str; 4] = ["pop3.", "pop.", "mail.", ""];
/// The prefixes for IMAP.
const IMAP_NAMES: [&str; 3] = ["imap.", "mail.", ""];
/// The prefixes for SMTP.
const SMTP_NAMES: [&str; 3] = ["smtp.", "mail.", ""];
/// The usual ports for POP3, best first.
const POP3_PORTS: [(u16, Security); 2] = [(995, Security::Tls), (110, Security::StartTls)];
/// The usual ports for IMAP, best first.
const IMAP_PORTS: [(u16, Security); 2] = [(993, Security::Tls), (143, Security::StartTls)];
/// The usual ports for SMTP, best first. Port 25 is meant for other mail servers, but some small hosts have no other.
const SMTP_PORTS: [(u16, Security); 4] =
    // Spectrum's server speaks TLS from the first byte on 587.
    [(465, Security::Tls), (587, Security::Tls), (587, Security::StartTls), (25, Security::StartTls)];

/// What is known of a server that answered. Its certificate has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The address that answered.
    pub address: IpAddr,
    /// The TLS version and the certificate.
    pub tls: Option<tls::VerifiedTls>,
    /// The SASL mechanisms that it offers inside TLS, in upper case and its own order.
    pub mechanisms: Vec<String>,
    /// Whether POP3's USER and PASS are offered, or the server is too old for CAPA; false for SMTP.
    pub takes_user: bool,
    /// The longest message that an SMTP server accepts, in octets, if it says so.
    pub size: Option<u64>,
}

impl Probed {
    /// Whether ostler can sign in here with a password.
    pub fn takes_password(&self) -> bool {
        self.takes_user || Mechanism::offered(&self.mechanisms, true).next().is_some()
    }

    /// Whether OAuth2 is offered (OAUTHBEARER of RFC 7628, or Google's older XOAUTH2).
    pub fn takes_oauth2(&self) -> bool {
        self.mechanisms.iter().any(|m| m == "XOAUTH2" || m == "OAUTHBEARER")
    }

    /// The ways to sign in that it offers; empty if it offers none, like a server that wants a POP login first.
    pub fn auth_methods(&self) -> Vec<AuthMethod> {
        let mut auth_methods = Vec::new();
        if self.takes_password() {
            auth_methods.push(AuthMethod::Password);
        }
        if self.takes_oauth2() {
            auth_methods.push(AuthMethod::OAuth2(String::new()));
        }
        auth_methods
    }
}

/// Probes one endpoint.
pub(super) async fn probe_endpoint(dialer: &Dialer, endpoint: &Endpoint, trust: &Trust) -> Result<Probed, Failure> {
    let server = endpoint.to_server(trust.clone(), SignIn::None);
    let asked = timeout(PROBE_TIMEOUT, probe_server(dialer, &server)).await;
    asked.unwrap_or_else(|_| {
        Err(Failure::TimedOut { at: (&server).into(), waiting: Waiting::Answer, after: PROBE_TIMEOUT })
    })
}

async fn probe_server(dialer: &Dialer, server: &Server) -> Result<Probed, Failure> {
    if server.security == Security::None {
        return Err(Failure::NotInThisVersion { at: server.into(), what: "asking a server without encryption" });
    }
    let timeouts = Timeouts {
        connect: CONNECT_TIMEOUT,
        tls: CONNECT_TIMEOUT,
        greeting: GREETING_TIMEOUT,
        reply: REPLY_TIMEOUT,
        ..Timeouts::default()
    };
    let upstream = dialer.connect(server, &timeouts, Route::default()).await?;
    let mut probed =
        Probed { address: upstream.peer.ip(), tls: None, mechanisms: Vec::new(), takes_user: false, size: None };
    let mut upstream = match server.protocol {
        Protocol::Pop3 => {
            let login = pop3::login::Pop3Login::asking(server);
            let (upstream, ready) = learn_offers(dialer, upstream, login, server, &timeouts).await?;
            probed.mechanisms = ready.mechanisms;
            probed.takes_user = ready.capabilities.takes_user;
            upstream
        }
        Protocol::Smtp => {
            let login = smtp::login::SmtpLogin::new(server, smtp::login::ehlo_name(upstream.local));
            let (upstream, ready) = learn_offers(dialer, upstream, login, server, &timeouts).await?;
            probed.size = ready.offered.size.flatten();
            probed.mechanisms = ready.offered.auth;
            upstream
        }
        Protocol::Imap => {
            let login = imap::login::ImapLogin::asking(server);
            let (upstream, ready) = learn_offers(dialer, upstream, login, server, &timeouts).await?;
            probed.takes_user = !ready.offers("LOGINDISABLED");
            probed.mechanisms = ready.mechanisms();
            upstream
        }
    };
    probed.tls = upstream.conn.tls().map(tls::describe);
    for mechanism in &mut probed.mechanisms {
        mechanism.make_ascii_uppercase();
    }
    // The answer is not awaited: a person is waiting, and everything is known.
    leave(&mut upstream, REPLY_TIMEOUT).await;
    Ok(probed)
}

/// Runs `login` until the server has said what it offers. `login` must be one that signs in nowhere.
async fn learn_offers<L: Login>(
    dialer: &Dialer,
    upstream: Upstream,
    login: L,
    server: &Server,
    timeouts: &Timeouts,
) -> Result<(Upstream, L::Ready), Failure> {
    debug_assert!(server.credentials().is_none());
    prepare(dialer, server, upstream, login, timeouts).await?.finish(dialer, server, None, timeouts).await
}

/// The usual names and ports for the wanted protocols, best first.
fn candidates(domain: &Domain, wanted: &[Protocol]) -> Vec<Endpoint> {
    let mut all = Vec::new();
    let mut add = |protocol, names: &[&str], ports: &[(u16, Security)]| {
        if !wanted.contains(&protocol) {
            return;
        }
        for (port, security) in ports {
            all.extend(names.iter().map(|name| Endpoint::new(protocol, format!("{name}{domain}"), *port, *security)));
        }
    };
    add(Protocol::Pop3, &POP3_NAMES, &POP3_PORTS);
    add(Protocol::Imap, &IMAP_NAMES, &IMAP_PORTS);
    add(Protocol::Smtp, &SMTP_NAMES, &SMTP_PORTS);
    all
}

/// Probes the usual names and ports at the same time. Ends as soon as, for each protocol, a server has answered and all
/// better candidates have failed; further servers that have answered by then are returned too.
pub(super) async fn probe_usual_names(
    dialer: &Arc<Dialer>,
    domain: &Domain,
    trust: &Trust,
    wanted: &[Protocol],
) -> Result<Found, Missing> {
    let candidates = candidates(domain, wanted);
    let turns = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tries = JoinSet::new();
    for (n, candidate) in candidates.iter().cloned().enumerate() {
        let (dialer, trust, turns) = (Arc::clone(dialer), trust.clone(), Arc::clone(&turns));
        tries.spawn(async move {
            // A candidate's own time limit starts with its turn, so that waiting for a turn fails none.
            let _turn = turns.acquire_owned().await;
            (n, probe_endpoint(&dialer, &candidate, &trust).await)
        });
    }
    let mut probes: Vec<Probe> = candidates.iter().map(|candidate| Probe::new(candidate.protocol)).collect();
    let deadline = Instant::now() + ALL_PROBES_TIMEOUT;
    while !wanted.iter().all(|protocol| is_settled(&probes, *protocol)) {
        match timeout_at(deadline, tries.join_next()).await {
            Ok(Some(Ok((n, answer)))) => {
                if let Some(probe) = probes.get_mut(n) {
                    probe.answer = Some(answer);
                }
            }
            // A try that panicked leaves its candidate without an answer; the others go on.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    collect_offers(candidates, probes)
}

/// A candidate and what came of it.
struct Probe {
    protocol: Protocol,
    answer: Option<Result<Probed, Failure>>,
}

impl Probe {
    fn new(protocol: Protocol) -> Self {
        Self { protocol, answer: None }
    }
}

/// Whether no better server can come: one takes passwords, and all candidates before it have answered or failed.
fn is_settled(probes: &[Probe], protocol: Protocol) -> bool {
    for probe in probes.iter().filter(|probe| probe.protocol == protocol) {
        match &probe.answer {
            None => return false,
            // One without a sign-in settles nothing: it may be a mail exchanger, and the next candidate the right
            // server.
            Some(Ok(probed)) if probed.takes_password() => return true,
            Some(_) => {}
        }
    }
    true
}

fn collect_offers(candidates: Vec<Endpoint>, probes: Vec<Probe>) -> Result<Found, Missing> {
    let mut answered = Vec::new();
    let mut trouble = None;
    for (mut endpoint, probe) in candidates.into_iter().zip(probes) {
        match probe.answer {
            Some(Ok(probed)) => {
                endpoint.auth_methods = probed.auth_methods();
                answered.push(Offer { endpoint, vouched: Vouched::Certificate });
            }
            Some(Err(failure)) => trouble = more_telling(trouble, failure),
            None => {}
        }
    }
    // A server that offers no sign-in may have a gate, or may be a mail exchanger that users cannot use. It comes last.
    answered.sort_by_key(|offer| offer.endpoint.auth_methods.is_empty());
    match trouble {
        _ if !answered.is_empty() => {
            Ok(Found { by: Source::Probe, offers: answered, title: None, hints: Vec::new(), company: None })
        }
        Some(failure @ (Failure::NoNameService { .. } | Failure::NetworkGone { .. })) => {
            Err(Missing::OutOfReach(failure.sentence()))
        }
        Some(failure) => Err(Missing::Unusable(failure.sentence())),
        None => Err(Missing::Nothing),
    }
}

/// The failure that tells a person more. The names are guesses: that one does not exist means nothing, but a server
/// that was there and could not be used is worth knowing.
fn more_telling(first: Option<Failure>, second: Failure) -> Option<Failure> {
    fn weight(failure: &Failure) -> u8 {
        match failure {
            Failure::Certificate { .. } => 3,
            Failure::TlsTooOld { .. } | Failure::NoStartTls { .. } | Failure::ServiceRefused { .. } => 2,
            Failure::NoNameService { .. } | Failure::NetworkGone { .. } => 1,
            _ => 0,
        }
    }
    match first {
        Some(first) if weight(&first) >= weight(&second) => Some(first),
        first if weight(&second) == 0 => first,
        _ => Some(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_mail::failure::{PasswordFrom, ServerAddr};

    fn domain() -> Domain {
        Domain::parse("example.net").unwrap()
    }

    fn probed(mechanisms: &[&str]) -> Probed {
        let mechanisms = mechanisms.iter().map(|m| (*m).to_owned()).collect();
        Probed { address: [127, 0, 0, 1].into(), tls: None, mechanisms, takes_user: false, size: None }
    }

    /// The SMTP candidates with these answers.
    fn heard(answers: Vec<Option<Result<Probed, Failure>>>) -> (Vec<Endpoint>, Vec<Probe>) {
        let mut candidates = candidates(&domain(), &[Protocol::Smtp]);
        candidates.truncate(answers.len());
        (candidates, answers.into_iter().map(|answer| Probe { protocol: Protocol::Smtp, answer }).collect())
    }

    fn lost(n: usize) -> Failure {
        let candidate = &candidates(&domain(), &[Protocol::Smtp])[n];
        let Endpoint { protocol, host, port, security, .. } = candidate.clone();
        Failure::NoStartTls { at: ServerAddr { host, port, protocol, security, password_from: PasswordFrom::Keyring } }
    }

    #[test]
    fn the_usual_places_are_never_in_clear_and_the_best_is_first() {
        let all = candidates(&domain(), &[Protocol::Pop3, Protocol::Smtp]);
        assert!(all.iter().all(|endpoint| endpoint.security != Security::None));
        let shown: Vec<String> = all.iter().map(Endpoint::describe).collect();
        assert_eq!(shown[0], "pop3.example.net port 995, TLS");
        assert_eq!(shown[7], "example.net port 110, STARTTLS");
        assert_eq!(shown[8], "smtp.example.net port 465, TLS");
        assert_eq!(shown.last().unwrap(), "example.net port 25, STARTTLS");
        assert_eq!(shown.len(), 20);
        let imap = candidates(&domain(), &[Protocol::Imap]);
        assert_eq!((imap.len(), imap[0].describe()), (6, format!("imap.{} port 993, TLS", domain())));
    }

    #[test]
    fn it_ends_when_nothing_better_can_come() {
        let settled = |answers| is_settled(&heard(answers).1, Protocol::Smtp);
        let good = || Some(Ok(probed(&["PLAIN"])));
        assert!(settled(vec![good(), None]));
        assert!(!settled(vec![None, good()]));
        assert!(settled(vec![Some(Err(lost(0))), good(), None]));
        // One that offers no way in: a better one may follow.
        assert!(!settled(vec![Some(Ok(probed(&[]))), None]));
        assert!(settled(vec![Some(Ok(probed(&[]))), Some(Err(lost(1)))]));
    }

    #[test]
    fn those_that_let_users_in_come_first() {
        let (candidates, answers) =
            heard(vec![Some(Ok(probed(&[]))), Some(Err(lost(1))), Some(Ok(probed(&["XOAUTH2", "LOGIN"]))), None]);
        let found = collect_offers(candidates, answers).unwrap();
        let shown: Vec<_> =
            found.offers.iter().map(|o| (o.endpoint.host.as_str(), o.endpoint.auth_methods.clone())).collect();
        let both = vec![AuthMethod::Password, AuthMethod::OAuth2(String::new())];
        assert_eq!(shown, [("example.net", both), ("smtp.example.net", Vec::new())]);
    }

    #[test]
    fn nothing_is_told_of_names_that_were_only_guessed() {
        let gone = |n| {
            let Failure::NoStartTls { at } = lost(n) else { unreachable!() };
            Failure::NameNotFound { at }
        };
        let (candidates, answers) = heard(vec![Some(Err(gone(0))), Some(Err(gone(1))), None]);
        assert_eq!(collect_offers(candidates, answers), Err(Missing::Nothing));
        let (candidates, answers) = heard(vec![Some(Err(gone(0))), Some(Err(lost(1)))]);
        let words = "mail.example.net port 465 does not offer STARTTLS".to_owned();
        assert_eq!(collect_offers(candidates, answers), Err(Missing::Unusable(words)));
    }
}
