//! Decides whether a server's certificate is accepted, and says why not. webpki verifies; beside it, a certificate that the
//! user has named is accepted for what it is.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

use super::certificate::{Chain, ChainEnd, day, hosts, name, parse, unusable};
use ostler_mail::failure::{CaFile, CertificateProblem, Failure, ServerAddr};
use ostler_mail::wire::printable;

/// Verifies a server's certificate. That the server holds the private key is proved by the handshake's signature, which is
/// verified in any case.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) policy: CertificatePolicy,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Which certificates are accepted.
#[derive(Debug)]
pub(super) enum CertificatePolicy {
    /// Those that webpki accepts under its roots, and those that the file named by `ca` has, which are among the roots too.
    Roots {
        webpki: Arc<WebPkiServerVerifier>,
        /// `None` if the settings name no file.
        named: Option<Vec<CertificateDer<'static>>>,
    },
    /// The one whose DER has this SHA-256.
    Pin([u8; 32]),
}

/// Carries what is wrong with a certificate through rustls, whose own error names no dates and hosts.
#[derive(Debug)]
struct Explained(CertificateProblem, CaFile);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Explained {}

fn problem(problem: CertificateProblem, ca: CaFile) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Explained(problem, ca)))))
}

/// Turns the error of a refused certificate into a failure.
pub(super) fn certificate_failure(error: &CertificateError, at: ServerAddr) -> Failure {
    match error {
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Explained>() {
            Some(Explained(problem, ca)) => Failure::Certificate { at, problem: problem.clone(), ca: *ca },
            None => Failure::Tls { at, reason: printable(other.to_string().as_bytes()) },
        },
        other => {
            let problem = CertificateProblem::Other(printable(other.to_string().as_bytes()));
            Failure::Certificate { at, problem, ca: CaFile::Unset }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.policy {
            CertificatePolicy::Roots { named, .. } if named.iter().flatten().any(|one| one == end_entity) => {
                verify_named(end_entity, name, now)
                    .map_err(|reason| problem(explain_own(&reason, end_entity), CaFile::HasIt))
            }
            CertificatePolicy::Roots { webpki, named } => {
                let ca = if named.is_some() { CaFile::HasOthers } else { CaFile::Unset };
                webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now).map_err(|error| match error {
                    rustls::Error::InvalidCertificate(reason) => {
                        let verify = |between: &[CertificateDer<'_>]| {
                            webpki.verify_server_cert(end_entity, between, name, ocsp, now)
                        };
                        problem(explain(reason, end_entity, intermediates, now, verify), ca)
                    }
                    other => other,
                })
            }
            CertificatePolicy::Pin(pin) => {
                let shown: [u8; 32] = Sha256::digest(end_entity).into();
                // The user has named this very certificate, so its name, dates and issuer decide nothing.
                if let Some(why) = parse(end_entity).as_ref().and_then(unusable) {
                    Err(problem(why, CaFile::Unset))
                } else if shown == *pin {
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(problem(CertificateProblem::NotPinned { shown }, CaFile::Unset))
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies a certificate that the file named by `ca` has, octet for octet: it has to be for this server and in date, and
/// nothing else decides. webpki cannot do this. Its roots vouch for others and never for themselves, and a helper's
/// certificate (Proton Mail Bridge, DavMail) is signed by itself, often marked as an authority, and has key usages that do
/// not fit a server. The user has vouched for it, so no issuer has to.
fn verify_named(
    certificate: &CertificateDer<'_>,
    server: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, CertificateError> {
    let readable = ParsedCertificate::try_from(certificate).map_err(reason_of)?;
    let (Some(parsed), Ok(now)) = (parse(certificate), i64::try_from(now.as_secs())) else {
        return Err(CertificateError::BadEncoding);
    };
    if unusable(&parsed).is_some() {
        return Err(CertificateError::BadSignature);
    }
    if now > parsed.validity().not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    if now < parsed.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    verify_server_name(&readable, server).map_err(reason_of)?;
    Ok(ServerCertVerified::assertion())
}

fn reason_of(error: rustls::Error) -> CertificateError {
    match error {
        rustls::Error::InvalidCertificate(reason) => reason,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

/// Says what is wrong with the server's own certificate, whoever issued it.
fn explain_own(reason: &CertificateError, certificate: &CertificateDer<'_>) -> CertificateProblem {
    let parsed = parse(certificate);
    let date = |pick: fn(&X509Certificate<'_>) -> ASN1Time| {
        parsed.as_ref().map_or_else(|| "an unknown date".into(), |c| day(pick(c)))
    };
    if let Some(why) = parsed.as_ref().and_then(unusable) {
        return why;
    }
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateProblem::Expired { until: date(|c| c.validity().not_after) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid { from: date(|c| c.validity().not_before) }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName { names: parsed.as_ref().map(hosts).unwrap_or_default() }
        }
        CertificateError::Revoked => CertificateProblem::Revoked,
        other if other.to_string().contains("CaUsedAsEndEntity") => CertificateProblem::MarkedAsAuthority,
        other => CertificateProblem::Other(printable(other.to_string().as_bytes())),
    }
}

/// Adds to webpki's reason what the certificates say about themselves. `verify` asks webpki again with fewer certificates.
fn explain(
    reason: CertificateError,
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    verify: impl Fn(&[CertificateDer<'_>]) -> Result<ServerCertVerified, rustls::Error>,
) -> CertificateProblem {
    let Some(parsed) = parse(own).filter(|parsed| unusable(parsed).is_none()) else { return explain_own(&reason, own) };
    let chain = Chain::of(&parsed, others);
    // webpki may have stumbled over a certificate that has nothing to do with the server's.
    let between: Vec<_> = chain.between.iter().filter_map(|at| others.get(*at).cloned()).collect();
    let reason = verify(&between).err().map_or(reason, reason_of);
    match (&reason, &chain.end) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
            expired_between(&parsed, &chain, now).unwrap_or_else(|| explain_own(&reason, own))
        }
        (
            CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
            | CertificateError::Revoked,
            _,
        ) => explain_own(&reason, own),
        // Whatever else is odd about it, its user has to know first that it vouches for itself.
        (_, ChainEnd::SelfSigned) => {
            CertificateProblem::UnknownIssuer { issuer: name(parsed.issuer()), self_signed: true }
        }
        (CertificateError::UnknownIssuer, ChainEnd::Missing(issuer)) => {
            CertificateProblem::MissingLink { issuer: issuer.clone() }
        }
        (CertificateError::UnknownIssuer, ChainEnd::Authority(issuer)) => {
            CertificateProblem::UnknownIssuer { issuer: issuer.clone(), self_signed: false }
        }
        // The issuer has the name of a trusted one and another key. That happens when a private authority is made anew under
        // its old name.
        (
            CertificateError::BadSignature | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            _,
        ) => CertificateProblem::UnknownIssuer { issuer: name(parsed.issuer()), self_signed: false },
        _ => explain_own(&reason, own),
    }
}

/// The problem of a certificate in date whose issuer's, or that one's issuer's, has expired.
fn expired_between(own: &X509Certificate<'_>, chain: &Chain<'_>, now: UnixTime) -> Option<CertificateProblem> {
    let now = i64::try_from(now.as_secs()).ok()?;
    let has_expired = |one: &X509Certificate<'_>| one.validity().not_after.timestamp() < now;
    if has_expired(own) {
        return None;
    }
    let one = chain.certificates_between().find(|one| has_expired(one))?;
    Some(CertificateProblem::IssuerExpired { issuer: name(one.subject()), until: day(one.validity().not_after) })
}
