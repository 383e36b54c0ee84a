//! What may be behind a bad certificate: the clock, a network that answers in place of every server, or a server that is
//! like that.
//!
//! Not here: whether a certificate is good (`tls.rs`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use time::OffsetDateTime;

use super::{Look, at, greets};
use crate::account::{Account, Protocol, Security, Server, SignIn, Timeouts, Trust};
use crate::doctor::Step;
use crate::engine::Engine;
use crate::explain;
use crate::failure::{CertificateProblem, Failure};

/// ostler is younger than this, so no clock that says less is right.
const FIRST_YEAR: i32 = 2025;
/// A name that is nowhere near any provider (RFC 2606), to see what a network answers to every name.
const ELSEWHERE: &str = "example.com";

/// Looks again after a certificate was refused.
pub(super) async fn look(
    engine: &Engine,
    account: &Account,
    server: &Server,
    problem: &CertificateProblem,
    steps: &[Step],
    timeouts: &Timeouts,
) -> Option<Look> {
    let of_date = |problem: &CertificateProblem| {
        matches!(problem, CertificateProblem::Expired { .. } | CertificateProblem::NotYetValid { .. })
    };
    match problem {
        problem if of_date(problem) => {
            let before = steps.iter().any(|step| {
                matches!(&step.failure, Some(Failure::Certificate { at, problem }) if at.host != server.host && of_date(problem))
            });
            Some(clock(OffsetDateTime::now_utc(), problem, before))
        }
        CertificateProblem::WrongName { .. } | CertificateProblem::UnknownIssuer { .. } => {
            if is_portal_around(engine, account, timeouts).await {
                return Look::of("portal");
            }
            let nameless = matches!(problem, CertificateProblem::WrongName { names } if names.is_empty());
            let own = matches!(problem, CertificateProblem::UnknownIssuer { self_signed: true, .. });
            if !(nameless || own) {
                return None;
            }
            let known = explain::cause(if nameless { "certificate-nameless" } else { "certificate-self-signed" })?;
            let pin = fingerprint(engine, server, timeouts).await?;
            let advice = format!(
                "ask whoever runs the server for a new certificate; if they confirm this one, write pin = \"sha256:{pin}\""
            );
            Some(Look::new(known.likely.clone(), advice))
        }
        _ => None,
    }
}

/// The SHA-256 of the certificate a server shows, as hex. A pin nobody has makes the handshake tell it and fail.
async fn fingerprint(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Option<String> {
    let mut asked = at(server, server.port, server.security);
    asked.trust = Trust { ca: None, pin: Some([0; 32]) };
    match greets(engine, &asked, timeouts).await {
        Err(Failure::Certificate { problem: CertificateProblem::NotPinned { shown }, .. }) => Some(shown),
        _ => None,
    }
}

/// What a certificate's dates say about the clock. `before`: another server's certificate was out of date as well.
fn clock(now: OffsetDateTime, problem: &CertificateProblem, before: bool) -> Look {
    let today = now.date();
    if now.year() < FIRST_YEAR {
        let cause = format!("this computer's clock says {today}, which cannot be right");
        return Look::new(cause, "set this computer's date and time, then run: ostler check");
    }
    if before {
        let cause = format!(
            "the certificates of several servers are out of date at once, so this computer's clock is probably wrong: it says {today}"
        );
        return Look::new(cause, "compare this computer's date and time with a telephone's, then run: ostler check");
    }
    let (cause, advice) = match problem {
        CertificateProblem::NotYetValid { .. } => (
            format!(
                "this computer's clock says {today}; if that is too early, it is the clock, else the provider's mistake"
            ),
            "set this computer's date and time if they are wrong, else tell the provider",
        ),
        _ => (
            format!("this computer's clock says {today}; if that is right, the provider forgot to renew"),
            "set this computer's date and time if they are wrong, else ask the provider to renew the certificate",
        ),
    };
    Look::new(cause, advice)
}

/// Whether this network answers in place of every server.
async fn is_portal_around(engine: &Engine, account: &Account, timeouts: &Timeouts) -> bool {
    let mut hosts: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for server in account.servers() {
        if server.host.parse::<IpAddr>().is_err()
            && let Ok(addresses) = engine.dialer.resolve(server, timeouts.connect).await
        {
            hosts.push((server.host.clone(), addresses));
        }
    }
    // Nobody else's server lies at a public address that is the provider's own; then there is nothing to ask.
    let alike =
        hosts.iter().all(|(_, addresses)| addresses.iter().all(|a| is_private(*a))) || one_address(&hosts).is_some();
    if hosts.is_empty() || !alike {
        return false;
    }
    let reference = engine.dialer.resolve(&nowhere(), timeouts.connect).await.unwrap_or_default();
    is_portal(&hosts, &reference)
}

fn nowhere() -> Server {
    Server {
        protocol: Protocol::Pop3,
        host: ELSEWHERE.into(),
        port: 443,
        security: Security::Tls,
        trust: Trust::default(),
        sign_in: SignIn::None,
    }
}

/// The address all hosts share.
fn one_address(hosts: &[(String, Vec<IpAddr>)]) -> Option<IpAddr> {
    let all: BTreeSet<IpAddr> = hosts.iter().flat_map(|(_, addresses)| addresses.iter().copied()).collect();
    all.first().copied().filter(|_| all.len() == 1)
}

/// Whether these names resolve as only a hotel's network does it: public names at an address of the house, or names that
/// have nothing to do with each other at one address. `reference`: what it says for a name that is surely elsewhere.
fn is_portal(hosts: &[(String, Vec<IpAddr>)], reference: &[IpAddr]) -> bool {
    let public = |host: &str| {
        let lower = host.to_ascii_lowercase();
        let tail = lower.rsplit('.').next().unwrap_or_default();
        lower.contains('.') && !matches!(tail, "local" | "lan" | "home" | "internal" | "arpa" | "localhost" | "test")
    };
    let domain = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        labels.join(".").to_ascii_lowercase()
    };
    let hosts: Vec<_> = hosts.iter().filter(|(host, _)| public(host)).cloned().collect();
    if hosts.is_empty() {
        return false;
    }
    if hosts.iter().all(|(_, addresses)| !addresses.is_empty() && addresses.iter().all(|a| is_private(*a))) {
        return true;
    }
    let domains: BTreeSet<String> = hosts.iter().map(|(host, _)| domain(host)).collect();
    one_address(&hosts).is_some_and(|one| reference.contains(&one) || domains.len() > 1)
}

/// Addresses of a house (RFC 1918, RFC 6598, link-local). Loopback is this computer, not a network around it.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(all: &[(&str, &[&str])]) -> Vec<(String, Vec<IpAddr>)> {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
        all.iter().map(|(host, addresses)| ((*host).to_owned(), ips(addresses))).collect()
    }

    #[test]
    fn a_hotel_network_is_known_by_its_addresses() {
        let reference: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        for (all, portal) in [
            // Public names at an address of the house.
            (hosts(&[("pop.example.net", &["10.0.0.1"])]), true),
            (hosts(&[("pop.example.net", &["192.168.1.1"]), ("smtp.example.org", &["172.16.0.9"])]), true),
            (hosts(&[("pop.example.net", &["100.64.3.1"])]), true),
            // Everything at one address.
            (hosts(&[("pop.example.net", &["192.0.2.1"]), ("smtp.example.net", &["192.0.2.1"])]), true),
            (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.org", &["198.51.100.7"])]), true),
            // A small host with one computer.
            (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.net", &["198.51.100.7"])]), false),
            (hosts(&[("mail.example.net", &["198.51.100.7"])]), false),
            (hosts(&[("pop.example.net", &["198.51.100.7"]), ("smtp.example.org", &["198.51.100.8"])]), false),
            // A server in the house, and this computer.
            (hosts(&[("mailserver", &["10.0.0.1"]), ("mail.lan", &["10.0.0.1"])]), false),
            (hosts(&[("mail.example.net", &["127.0.0.1"])]), false),
            (hosts(&[]), false),
        ] {
            assert_eq!(is_portal(&all, &reference), portal, "{all:?}");
        }
    }

    #[test]
    fn the_clock_is_named_with_what_it_says() {
        let at = |year| time::Date::from_calendar_date(year, time::Month::March, 1).unwrap().midnight().assume_utc();
        let expired = CertificateProblem::Expired { until: "2024-01-01".into() };
        let early = CertificateProblem::NotYetValid { from: "2024-01-01".into() };
        let wrong = clock(at(2009), &early, false);
        assert!(wrong.cause.contains("2009-03-01, which cannot be right"), "{wrong:?}");
        let both = clock(at(2040), &expired, true);
        assert!(both.cause.contains("several servers") && both.cause.contains("2040-03-01"), "{both:?}");
        for problem in [expired, early] {
            let one = clock(at(2027), &problem, false);
            assert!(one.cause.contains("says 2027-03-01; if that is"), "{one:?}");
        }
    }
}
