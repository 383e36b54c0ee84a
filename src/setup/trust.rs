//! What the user has named to trust while an account is added, and at which servers it applies: the file of `--ca`, and the
//! certificates of `--pin`, each only at the servers that show it.

use std::path::PathBuf;

use super::discover::{Probed, try_endpoint};
use super::{Plan, Question, SetupUi};
use crate::proxy::net::tls::{VerifiedTls, is_for_this_computer};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Security, Trust, is_this_computer};
use ostler_mail::failure::{CertificateProblem, Failure};
use ostler_mail::wire::hex;

/// A pin that no certificate has, to be told which one a server shows.
const NO_PIN: [u8; 32] = [0; 32];

/// What the user has named to trust, beyond what the system trusts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NamedTrust {
    ca: Option<PathBuf>,
    /// The file has certificates of helpers on this computer only, so it says nothing about servers elsewhere.
    is_of_helpers: bool,
    pins: Vec<Pinned>,
}

/// A pin at the server that shows its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    host: String,
    port: u16,
    pin: [u8; 32],
}

impl NamedTrust {
    /// The certificates of this file; it is read to see where they belong.
    pub(crate) fn in_file(ca: Option<PathBuf>) -> Self {
        let is_of_helpers = ca.as_deref().is_some_and(is_for_this_computer);
        Self { ca, is_of_helpers, pins: Vec::new() }
    }

    /// What applies at a server.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Trust {
        match self.pin_at(endpoint) {
            Some(pin) => Trust { ca: None, pin: Some(pin) },
            None if self.is_of_helpers && !is_this_computer(&endpoint.host) => Trust::default(),
            None => Trust { ca: self.ca.clone(), pin: None },
        }
    }

    /// What applies while servers are searched for.
    pub(crate) fn for_search(&self) -> Trust {
        Trust { ca: self.ca.clone(), pin: None }
    }

    fn pin_at(&self, endpoint: &Endpoint) -> Option<[u8; 32]> {
        let is_there = |pinned: &&Pinned| pinned.host == endpoint.host && pinned.port == endpoint.port;
        self.pins.iter().find(is_there).map(|pinned| pinned.pin)
    }

    fn pin(&mut self, endpoint: &Endpoint, pin: [u8; 32]) {
        if self.pin_at(endpoint).is_none() {
            self.pins.push(Pinned { host: endpoint.host.clone(), port: endpoint.port, pin });
        }
    }

    /// Whether a certificate is pinned at some port of a host.
    fn has_pinned(&self, host: &str, pin: &[u8; 32]) -> bool {
        self.pins.iter().any(|pinned| pinned.host == host && pinned.pin == *pin)
    }
}

/// Which certificates are to be pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PinRequest {
    /// These.
    These(Vec<[u8; 32]>),
    /// Those that the servers show and that cannot be verified otherwise, if the user agrees to each.
    WhatIsShown,
}

/// No server shows a certificate that is to be pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no server of this account shows the certificate sha256:{}; {}", hex(pin), shown.join(", "))]
pub(crate) struct NotShown {
    pin: [u8; 32],
    /// What the servers show instead, a sentence each.
    shown: Vec<String>,
}

/// Pins certificates at those servers of a plan that show them. Nothing is signed in for this.
pub(crate) async fn place_pins<T: SetupUi>(plan: &mut Plan, wanted: &PinRequest, ui: &mut T) -> Result<(), NotShown> {
    match wanted {
        PinRequest::These(pins) => {
            for pin in pins {
                place(plan, *pin).await?;
            }
        }
        PinRequest::WhatIsShown => ask_for_each(plan, ui).await,
    }
    Ok(())
}

/// The servers that can be asked for their certificate and have no pin yet.
fn askable(plan: &Plan) -> Vec<Endpoint> {
    let is_askable =
        |endpoint: &&Endpoint| endpoint.security != Security::None && plan.trust.pin_at(endpoint).is_none();
    plan.proposal.endpoints().filter(is_askable).cloned().collect()
}

async fn place(plan: &mut Plan, pin: [u8; 32]) -> Result<(), NotShown> {
    let mut shown = Vec::new();
    let mut fits = plan.trust.pins.iter().any(|pinned| pinned.pin == pin);
    for endpoint in askable(plan) {
        match try_endpoint(&endpoint, &Trust { ca: None, pin: Some(pin) }).await {
            Ok(_) => {
                plan.trust.pin(&endpoint, pin);
                fits = true;
            }
            Err(Failure::Certificate { problem: CertificateProblem::NotPinned { shown: other }, .. }) => {
                shown.push(format!("{} shows sha256:{}", endpoint.describe(), hex(&other)));
            }
            // It cannot be reached, or refuses: the trial shows how. Until then the pin belongs where a helper is.
            Err(_) if is_likely(plan, &endpoint) => {
                plan.trust.pin(&endpoint, pin);
                fits = true;
            }
            Err(_) => {}
        }
    }
    if fits || shown.is_empty() { Ok(()) } else { Err(NotShown { pin, shown }) }
}

/// Pins without asking the servers, for an account that is to be saved untried.
pub(crate) fn pin_untried(plan: &mut Plan, pins: &[[u8; 32]]) {
    for endpoint in askable(plan) {
        if let Some(pin) = pins.first().filter(|_| is_likely(plan, &endpoint)) {
            plan.trust.pin(&endpoint, *pin);
        }
    }
}

/// Whether a pin is likely to be meant for this server: helpers on this computer have certificates of their own; if the account
/// has none, it is a server with a single name.
fn is_likely(plan: &Plan, endpoint: &Endpoint) -> bool {
    let mut all = plan.proposal.endpoints();
    if plan.proposal.endpoints().any(|one| is_this_computer(&one.host)) {
        return is_this_computer(&endpoint.host);
    }
    all.all(|one| one.host == endpoint.host)
}

async fn ask_for_each<T: SetupUi>(plan: &mut Plan, ui: &mut T) {
    for endpoint in askable(plan) {
        let verified = try_endpoint(&endpoint, &plan.trust.at(&endpoint)).await;
        if !matches!(verified, Err(Failure::Certificate { .. })) {
            // Trusted as it is, or there is nothing to see. If it cannot be used, the trial says why.
            continue;
        }
        let Some(shown) = look_at_certificate(&endpoint).await else { continue };
        if plan.trust.has_pinned(&endpoint.host, &shown.digest) || ui.confirm(&question(&endpoint, &shown)).await {
            plan.trust.pin(&endpoint, shown.digest);
        }
    }
}

/// A certificate that a server shows, whether or not it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownCertificate {
    /// SHA-256 of the certificate.
    digest: [u8; 32],
    /// The digest as the settings file has it.
    pub(crate) pin: String,
    /// What is in it.
    pub(crate) tls: VerifiedTls,
}

/// The certificate that a server shows; `None` if it cannot be asked, or shows none. Nothing is signed in for this.
pub(crate) async fn look_at_certificate(endpoint: &Endpoint) -> Option<ShownCertificate> {
    let refused = try_endpoint(endpoint, &Trust { ca: None, pin: Some(NO_PIN) }).await;
    let Err(Failure::Certificate { problem: CertificateProblem::NotPinned { shown: digest }, .. }) = refused else {
        return None;
    };
    // The details are those of a handshake in which the server proved that it has the key.
    let Ok(Probed { tls: Some(tls), .. }) = try_endpoint(endpoint, &Trust { ca: None, pin: Some(digest) }).await else {
        return None;
    };
    Some(ShownCertificate { digest, pin: format!("sha256:{}", hex(&digest)), tls })
}

fn question(endpoint: &Endpoint, shown: &ShownCertificate) -> Question {
    let tls = &shown.tls;
    let hosts = if tls.hosts.is_empty() { "no host".into() } else { tls.hosts.join(", ") };
    Question::TrustCertificate {
        server: endpoint.describe(),
        certificate: format!("for {hosts}, issued by {}, valid until {}", tls.issuer, tls.until),
        pin: shown.pin.clone(),
        is_helper: is_this_computer(&endpoint.host),
    }
}

/// What the user has to know of a helper on this computer, for which nothing has been named to trust yet.
pub(crate) fn helper_note(plan: &Plan) -> Option<String> {
    let is_unnamed = |endpoint: &&Endpoint| {
        endpoint.security != Security::None
            && is_this_computer(&endpoint.host)
            && plan.trust.at(endpoint) == Trust::default()
    };
    let helper = plan.proposal.endpoints().find(is_unnamed)?;
    Some(format!(
        "{} is a helper on this computer, such as Proton Mail Bridge or DavMail. It has a certificate of its own: export it \
         there and name the file with --ca FILE, or use --pin, which shows it and trusts just that one.",
        helper.describe()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Proposal, endpoint_from_flag};
    use ostler_mail::account::Protocol;

    fn plan(pop3: &str, smtp: &str, imap: &str) -> Plan {
        let at = |protocol, text: &str| endpoint_from_flag(protocol, text).ok();
        let proposal = Proposal {
            incoming: at(Protocol::Pop3, pop3).into_iter().collect(),
            outgoing: at(Protocol::Smtp, smtp).into_iter().collect(),
            imap: at(Protocol::Imap, imap).into_iter().collect(),
            ..Proposal::default()
        };
        Plan {
            oauth2: None,
            address: "ann@example.org".into(),
            aliases: Vec::new(),
            name: None,
            proposal,
            fetch_as: crate::setup::Identity::default(),
            send_as: crate::setup::Identity::default(),
            trust: NamedTrust::default(),
            readable: None,
        }
    }

    fn pinned(plan: &Plan) -> Vec<String> {
        let pinned = plan.proposal.endpoints().filter(|e| plan.trust.at(e).pin.is_some());
        pinned.map(|e| format!("{} {}", e.protocol, e.host)).collect()
    }

    #[test]
    fn f06_an_untried_pin_goes_to_the_helper_and_not_to_the_other_company() {
        for (pop3, smtp, imap, expected) in [
            (
                "tls://pop.x.net",
                "starttls://127.0.0.1:1025",
                "starttls://127.0.0.1:1143",
                &["smtp 127.0.0.1", "imap 127.0.0.1"][..],
            ),
            ("tls://mail.x.net", "starttls://mail.x.net", "", &["pop3 mail.x.net", "smtp mail.x.net"]),
            ("tls://pop.x.net", "starttls://smtp.y.net", "", &[]),
            ("none://localhost:1110", "tls://localhost:1465", "", &["smtp localhost"]),
        ] {
            let mut plan = plan(pop3, smtp, imap);
            pin_untried(&mut plan, &[[7; 32]]);
            assert_eq!(pinned(&plan), expected, "{pop3} {smtp}");
        }
    }

    #[test]
    fn f06_the_file_of_a_helper_is_not_for_servers_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        for (hosts, elsewhere) in [
            (&["127.0.0.1"][..], false),
            (&["localhost", "::1", "bridge.localhost"], false),
            (&["127.0.0.1", "mail.x.net"], true),
            // An authority names no host.
            (&[], true),
        ] {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let params = rcgen::CertificateParams::new(hosts.clone()).unwrap();
            let file = folder.path().join("cert.pem");
            std::fs::write(&file, params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
            let mut plan = plan("tls://pop.x.net", "starttls://127.0.0.1:1025", "");
            plan.trust = NamedTrust::in_file(Some(file.clone()));
            let named: Vec<bool> = plan.proposal.endpoints().map(|e| plan.trust.at(e).ca.is_some()).collect();
            assert_eq!(named, [elsewhere, true], "{hosts:?}");
        }
    }

    #[test]
    fn f06_a_helper_without_a_named_certificate_is_pointed_out() {
        let mut bridge = plan("tls://pop.x.net", "starttls://127.0.0.1:1025", "");
        assert!(
            helper_note(&bridge).is_some_and(|note| note.contains("127.0.0.1 port 1025") && note.contains("--pin"))
        );
        pin_untried(&mut bridge, &[[7; 32]]);
        assert_eq!(helper_note(&bridge), None);
        assert_eq!(helper_note(&plan("tls://pop.x.net", "none://127.0.0.1:1025", "")), None);
    }
}
