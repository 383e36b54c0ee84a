//! The likely cause of a bad certificate: the clock, a network that answers in place of every server (a portal), or the
//! server itself. Whether a certificate is good is decided in `proxy/net/tls/verifier.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use time::OffsetDateTime;

use super::{Look, greet, variant};
use crate::diagnose::Step;
use crate::diagnose::explain;
use crate::proxy::Engine;
use ostler_mail::account::{Account, Protocol, Security, Server, SignIn, Timeouts, Trust};
use ostler_mail::failure::{CaFile, CertificateProblem, Failure};
use ostler_mail::wire::hex;

/// ostler was made in this year, so a clock that says an earlier one is wrong.
const MIN_YEAR: i32 = 2025;
/// A name that belongs to no provider (RFC 2606), to see whether the network gives the same answer for every name.
const REFERENCE_HOST: &str = "example.com";

/// Looks again after a certificate was refused.
pub(super) async fn look(
    engine: &Engine,
    account: &Account,
    server: &Server,
    problem: &CertificateProblem,
    ca: CaFile,
    steps: &[Step],
    timeouts: &Timeouts,
) -> Option<Look> {
    let of_date = |problem: &CertificateProblem| {
        matches!(problem, CertificateProblem::Expired { .. } | CertificateProblem::NotYetValid { .. })
    };
    match problem {
        CertificateProblem::Expired { .. } | CertificateProblem::NotYetValid { .. } => {
            let before = steps.iter().any(|step| {
                matches!(&step.failure, Some(Failure::Certificate { at, problem, .. }) if at.host != server.host && of_date(problem))
            });
            Some(judge_clock(OffsetDateTime::now_utc(), problem, before))
        }
        CertificateProblem::WrongName { .. }
        | CertificateProblem::UnknownIssuer { .. }
        | CertificateProblem::MissingLink { .. } => {
            if is_portal_around(engine, account, timeouts).await {
                return Look::of("portal");
            }
            let nameless = matches!(problem, CertificateProblem::WrongName { names } if names.is_empty());
            let own = matches!(problem, CertificateProblem::UnknownIssuer { self_signed: true, .. });
            let elsewhere = matches!(problem, CertificateProblem::WrongName { .. }) && ca == CaFile::HasIt;
            let (known, advice) = match (nameless, own) {
                (true, _) => (
                    "certificate-nameless",
                    "ask the people who run the server for a new certificate; if they confirm this one, write",
                ),
                (false, true) => ("certificate-self-signed", advise_own_certificate(ca)),
                (false, false) if elsewhere => {
                    ("certificate-name", "write one of the names in it as host; or write, instead of ca,")
                }
                (false, false) => return None,
            };
            let known = explain::cause(known)?;
            let pin = fingerprint(engine, server, timeouts).await?;
            Some(Look::new(known.likely.clone(), format!("{advice} pin = \"sha256:{}\"", hex(&pin))))
        }
        CertificateProblem::NotPinned { .. }
        | CertificateProblem::Revoked
        | CertificateProblem::OldKind
        | CertificateProblem::ShortKey { .. }
        | CertificateProblem::MarkedAsAuthority
        | CertificateProblem::IssuerExpired { .. }
        | CertificateProblem::Other(_) => None,
    }
}

/// What to do about a server that vouches for itself; the pin follows.
fn advise_own_certificate(ca: CaFile) -> &'static str {
    match ca {
        CaFile::Unset => {
            "of a helper on this computer, export its certificate and name the file with ca; otherwise ask the people who run the server, and if they confirm this certificate, write"
        }
        CaFile::HasOthers | CaFile::HasIt => {
            "the file named by ca has another one: export the helper's certificate anew, or ask the people who run the server, and if they confirm this one, write, instead of ca,"
        }
    }
}

/// The SHA-256 of the certificate that a server shows. A pin that matches nothing makes the handshake fail with
/// it.
async fn fingerprint(engine: &Engine, server: &Server, timeouts: &Timeouts) -> Option<[u8; 32]> {
    let mut asked = variant(server, server.port, server.security);
    asked.trust = Trust { ca: None, pin: Some([0; 32]) };
    match greet(engine, &asked, timeouts).await {
        Err(Failure::Certificate { problem: CertificateProblem::NotPinned { shown }, .. }) => Some(shown),
        _ => None,
    }
}

/// Judges the clock by a certificate's dates. `before`: another server's certificate was out of date as well.
fn judge_clock(now: OffsetDateTime, problem: &CertificateProblem, before: bool) -> Look {
    let today = now.date();
    if now.year() < MIN_YEAR {
        let cause = format!("this computer's clock says {today}, which cannot be right");
        return Look::new(cause, "set this computer's date and time, then run: ostler check");
    }
    if before {
        let cause = format!(
            "the certificates of several servers are out of date at once, so this computer's clock is probably wrong: it says {today}"
        );
        return Look::new(cause, "compare this computer's date and time with those of a phone, then run: ostler check");
    }
    let (cause, advice) = match problem {
        CertificateProblem::NotYetValid { .. } => (
            format!(
                "this computer's clock says {today}; if that is too early, the clock is wrong, otherwise the certificate"
            ),
            "set this computer's date and time if they are wrong; otherwise tell the provider",
        ),
        _ => (
            format!("this computer's clock says {today}; if that is right, the provider forgot to renew"),
            "set this computer's date and time if they are wrong; otherwise ask the provider to renew the certificate",
        ),
    };
    Look::new(cause, advice)
}

/// Whether this network answers in place of every server.
async fn is_portal_around(engine: &Engine, account: &Account, timeouts: &Timeouts) -> bool {
    let mut hosts: Vec<Vec<IpAddr>> = Vec::new();
    for server in account.servers().filter(|server| is_public(&server.host)) {
        if let Ok(addresses) = engine.dialer.resolve(server, timeouts.connect).await {
            hosts.push(addresses);
        }
    }
    if !are_alike(&hosts) {
        // The hosts have different public addresses, so this is not a portal, and the reference name need not be looked
        // up.
        return false;
    }
    let reference = engine.dialer.resolve(&reference_server(), timeouts.connect).await.unwrap_or_default();
    is_portal(&hosts, &reference)
}

/// Whether a name is public, not of a local network or this computer.
fn is_public(host: &str) -> bool {
    let lower = host.to_ascii_lowercase();
    let tail = lower.rsplit('.').next().unwrap_or_default();
    let is_local = matches!(tail, "local" | "lan" | "home" | "internal" | "arpa" | "localhost" | "test" | "invalid");
    lower.contains('.') && !is_local && host.parse::<IpAddr>().is_err()
}

fn reference_server() -> Server {
    Server {
        protocol: Protocol::Pop3,
        host: REFERENCE_HOST.into(),
        port: 443,
        security: Security::Tls,
        trust: Trust::default(),
        sign_in: SignIn::None,
        chunking: true,
    }
}

/// Whether all hosts have the same address, or all have private ones.
fn are_alike(hosts: &[Vec<IpAddr>]) -> bool {
    let all: BTreeSet<IpAddr> = hosts.iter().flatten().copied().collect();
    !all.is_empty() && (all.len() == 1 || all.iter().all(|address| is_private(*address)))
}

/// Whether these addresses of public names come from a portal, as in hotels: they are all alike, and so is `reference`,
/// the address of a name that is certainly elsewhere. A company's own server may have a private address too, but then
/// the reference does not.
fn is_portal(hosts: &[Vec<IpAddr>], reference: &[IpAddr]) -> bool {
    let of_the_same = |address: &IpAddr| is_private(*address) || hosts.iter().flatten().any(|a| a == address);
    are_alike(hosts) && !reference.is_empty() && reference.iter().all(of_the_same)
}

/// Private addresses (RFC 1918, RFC 6598, link-local). Loopback does not count: it is this computer, not a network.
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

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_hotel_network_is_known_by_its_addresses() {
        for (hosts, reference, portal) in [
            // Everything at one address, or everything in the house.
            (vec![ips(&["192.0.2.1"]), ips(&["192.0.2.1"])], ips(&["192.0.2.1"]), true),
            (vec![ips(&["10.0.0.1"])], ips(&["10.0.0.1"]), true),
            (vec![ips(&["192.168.1.1"]), ips(&["100.64.3.1"])], ips(&["172.16.0.9"]), true),
            // A company's own server, and one computer for everything at a small host.
            (vec![ips(&["10.0.0.1"])], ips(&["192.0.2.1"]), false),
            (vec![ips(&["198.51.100.7"]), ips(&["198.51.100.7"])], ips(&["192.0.2.1"]), false),
            // No network that could answer.
            (vec![ips(&["10.0.0.1"])], vec![], false),
            (vec![], ips(&["10.0.0.1"]), false),
            // Two servers, and a test on this computer.
            (vec![ips(&["198.51.100.7"]), ips(&["198.51.100.8"])], ips(&["198.51.100.7"]), false),
            (vec![ips(&["127.0.0.1"])], ips(&["192.0.2.1"]), false),
        ] {
            assert_eq!(is_portal(&hosts, &reference), portal, "{hosts:?} {reference:?}");
        }
    }

    #[test]
    fn names_of_a_house_are_nobodys_portal() {
        assert!(is_public("pop.example.net"));
        for host in ["localhost", "mailserver", "mail.lan", "nas.local", "127.0.0.1", "::1"] {
            assert!(!is_public(host), "{host}");
        }
    }

    #[test]
    fn the_clock_is_named_with_what_it_says() {
        let at = |year| time::Date::from_calendar_date(year, time::Month::March, 1).unwrap().midnight().assume_utc();
        let expired = CertificateProblem::Expired { until: "2024-01-01".into() };
        let early = CertificateProblem::NotYetValid { from: "2024-01-01".into() };
        let wrong = judge_clock(at(2009), &early, false);
        assert!(wrong.cause.contains("2009-03-01, which cannot be right"), "{wrong:?}");
        let both = judge_clock(at(2040), &expired, true);
        assert!(both.cause.contains("several servers") && both.cause.contains("2040-03-01"), "{both:?}");
        for problem in [expired, early] {
            let one = judge_clock(at(2027), &problem, false);
            assert!(one.cause.contains("says 2027-03-01; if that is"), "{one:?}");
        }
    }
}
