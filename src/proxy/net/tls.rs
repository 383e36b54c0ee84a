//! TLS towards providers: one client configuration per trust policy, so that sessions are resumed across connections; the
//! system's roots, loaded once.
//!
//! Not here: which certificates are accepted (`tls/verifier.rs`), what certificates say (`tls/certificate.rs`), and which ciphers
//! are offered (`tls/cryptography.rs`).

mod certificate;
mod cryptography;
mod verifier;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, NamedGroup, RootCertStore};
use tokio::sync::OnceCell;

use ostler_mail::account::{Trust, is_this_computer};
use ostler_mail::failure::{Failure, ServerAddr, Waiting};
use ostler_mail::wire::printable;
use verifier::{CertificatePolicy, Verifier};

/// The most session tickets kept for one server. A TLS 1.3 ticket is used once (RFC 8446, appendix C.4), so a client that
/// opens fifty connections at once needs fifty; rustls keeps eight.
const MAX_TICKETS_PER_SERVER: usize = 64;
/// The most servers whose tickets are kept. Beyond that, the tickets of the server that was used least recently go.
const MAX_TICKET_SERVERS: usize = 64;

/// The TLS configuration of each trust policy, made when first needed.
#[derive(Default)]
pub struct Tls {
    roots: OnceCell<Arc<RootCertStore>>,
    configs: Mutex<HashMap<Trust, Arc<ClientConfig>>>,
}

/// Waits, milliseconds at most, for what must not be under way at the end of the process. No connection can be made afterwards.
pub(crate) fn end() {
    cryptography::end_seeding();
}

impl Tls {
    /// Loads the system's roots and seeds the random number generator, on another thread while the doors are already open.
    /// The two take some 15 and 40 ms; without this the first client would wait for them, and all others with it.
    pub async fn warm_up(&self) {
        self.roots().await;
    }

    /// Forgets all configurations, because files named by `ca` may have changed. Open connections keep theirs.
    pub fn forget(&self) {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// After a refused certificate, lets the next connection read the file named by `ca` again: advice may tell the user to put
    /// another certificate into it, and that must work without a restart.
    pub fn forget_file(&self, trust: &Trust) {
        // The configuration without a file serves all other servers, and their session tickets are in it.
        if trust.ca.is_some() {
            self.configs.lock().unwrap_or_else(PoisonError::into_inner).remove(trust);
        }
    }

    /// Makes `trust` stand for the certificates in `pem` and no others, without reading a file. The demo uses it.
    pub fn trust_in_memory(&self, trust: &Trust, pem: &str) -> Result<(), Failure> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        let config = Arc::new(client_config(&Trust::default(), Arc::new(roots))?);
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(trust.clone(), config);
        Ok(())
    }

    async fn roots(&self) -> Arc<RootCertStore> {
        let load = || {
            cryptography::seed();
            let mut store = RootCertStore::empty();
            // What cannot be read is left out: one damaged certificate of the system must not cost all others.
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            Arc::new(store)
        };
        let loaded = self.roots.get_or_init(|| async {
            tokio::task::spawn_blocking(load).await.unwrap_or_else(|_| Arc::new(RootCertStore::empty()))
        });
        Arc::clone(loaded.await)
    }

    /// The configuration for a trust policy. Fails if its `ca` file cannot be used.
    pub async fn config(&self, trust: &Trust) -> Result<Arc<ClientConfig>, Failure> {
        let known = self.configs.lock().unwrap_or_else(PoisonError::into_inner).get(trust).cloned();
        if let Some(config) = known {
            return Ok(config);
        }
        let roots = if trust.pin.is_some() { Arc::new(RootCertStore::empty()) } else { self.roots().await };
        let config = Arc::new(client_config(trust, roots)?);
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        // Another session may have been quicker. All have to share one configuration, for the tickets are in it.
        Ok(Arc::clone(configs.entry(trust.clone()).or_insert(config)))
    }
}

fn client_config(trust: &Trust, roots: Arc<RootCertStore>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(cryptography::provider());
    let bad = |what: String| Failure::BadTrust { what };
    let policy = match (&trust.pin, &trust.ca) {
        (Some(pin), _) => CertificatePolicy::Pin(*pin),
        (None, ca) => {
            let named = ca.as_deref().map(read_certificates).transpose()?;
            let roots = match (ca, &named) {
                (Some(ca), Some(named)) => Arc::new(with_more_roots(&roots, named, ca)?),
                _ => roots,
            };
            let webpki = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|_| bad("this computer has no trusted certificates at all".into()))?;
            CertificatePolicy::Roots { webpki, named }
        }
    };
    let verifier = Arc::new(Verifier { policy, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(e.to_string()))?
        // For better words, and for certificates that the user has named: `Verifier` leaves all others to webpki.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(Tickets::default()));
    Ok(config)
}

fn bad_ca_file(file: &Path, why: &dyn fmt::Display) -> Failure {
    Failure::BadTrust { what: format!("the file {} named by ca cannot be used: {why}", file.display()) }
}

/// The certificates of a file that the user has named.
fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bad = |why: &dyn fmt::Display| bad_ca_file(file, why);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))?.collect();
    let found = found.map_err(|e| bad(&e))?;
    if found.is_empty() { Err(bad(&"there is no certificate in it")) } else { Ok(found) }
}

fn with_more_roots(
    roots: &RootCertStore,
    more: &[CertificateDer<'static>],
    file: &Path,
) -> Result<RootCertStore, Failure> {
    let mut roots = roots.clone();
    for certificate in more {
        // Strict, unlike with the system's roots: the user has named this file and has to hear what is wrong with it.
        roots.add(certificate.clone()).map_err(|e| bad_ca_file(file, &e))?;
    }
    Ok(roots)
}

/// Whether a file has nothing but certificates of helpers on this computer: each is for this computer's names and addresses
/// and for no other.
pub(crate) fn is_for_this_computer(file: &Path) -> bool {
    let is_local = |certificate: &CertificateDer<'_>| {
        let hosts = certificate::parse(certificate).map(|parsed| certificate::hosts(&parsed)).unwrap_or_default();
        !hosts.is_empty() && hosts.iter().all(|host| is_this_computer(host))
    };
    read_certificates(file).is_ok_and(|all| all.iter().all(is_local))
}

/// Why the content of a file cannot be trusted.
#[cfg(feature = "web")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PemError {
    Empty,
    /// It has a key that must stay with its owner.
    PrivateKey,
    NoCertificate,
}

/// The certificates of a file's content (PEM, or DER of one certificate) as PEM, with nothing else beside them.
#[cfg(feature = "web")]
pub(crate) fn to_pem(content: &[u8]) -> Result<String, PemError> {
    if content.is_empty() {
        return Err(PemError::Empty);
    }
    if memchr::memmem::find(content, b"PRIVATE KEY-----").is_some() {
        return Err(PemError::PrivateKey);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let mut all = found.map_err(|_| PemError::NoCertificate)?;
    if all.is_empty() {
        all.push(CertificateDer::from(content.to_vec()));
    }
    if all.iter().any(|certificate| certificate::parse(certificate).is_none()) {
        return Err(PemError::NoCertificate);
    }
    Ok(all.iter().map(|certificate| pem_of(certificate)).collect())
}

/// RFC 7468: lines of 64 characters.
#[cfg(feature = "web")]
fn pem_of(der: &[u8]) -> String {
    use base64::Engine;

    const LINE_CHARS: usize = 64;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(LINE_CHARS).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// What `check` tells about a verified connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTls {
    /// `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The hosts that the certificate is for.
    pub hosts: Vec<String>,
    /// Whose certificate it is.
    pub subject: String,
    /// The certificate's issuer.
    pub issuer: String,
    /// The first moment at which the certificate is valid.
    pub from: String,
    /// The last moment at which the certificate is valid.
    pub until: String,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
}

/// Describes a connection whose handshake is complete.
pub fn describe(connection: &rustls::ClientConnection) -> VerifiedTls {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let parsed = certificate.and_then(certificate::parse);
    VerifiedTls {
        version: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        },
        hosts: parsed.as_ref().map(certificate::hosts).unwrap_or_default(),
        subject: parsed.as_ref().map_or_else(|| "unknown".into(), |c| certificate::name(c.subject())),
        issuer: parsed.as_ref().map_or_else(|| "unknown".into(), |c| certificate::name(c.issuer())),
        from: parsed.as_ref().map_or_else(|| "unknown".into(), |c| certificate::day(c.validity().not_before)),
        until: parsed.as_ref().map_or_else(|| "unknown".into(), |c| certificate::day(c.validity().not_after)),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    }
}

/// Turns the error of a handshake into a failure.
pub fn handshake_failure(error: &std::io::Error, at: ServerAddr) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        // The error came from the socket, not from TLS.
        None => Failure::Lost { at, waiting: Waiting::Tls },
        Some(rustls::Error::InvalidCertificate(error)) => verifier::certificate_failure(error, at),
        // Mostly a server that greets in clear on this port, because it expects STARTTLS.
        Some(rustls::Error::InvalidMessage(_)) => Failure::NotTls { at },
        Some(
            // rustls has TLS 1.2 and 1.3 only. A server that has neither answers with one of these.
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            ),
        ) => Failure::TlsTooOld { at },
        Some(other) => Failure::Tls { at, reason: printable(other.to_string().as_bytes()) },
    }
}

/// Session tickets, by server.
#[derive(Default)]
struct Tickets(Mutex<TicketStore>);

#[derive(Default)]
struct TicketStore {
    servers: HashMap<ServerName<'static>, ServerTickets>,
    uses: u64,
}

#[derive(Default)]
struct ServerTickets {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
    used: u64,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    fn with<T>(&self, server: &ServerName<'_>, use_it: impl FnOnce(&mut ServerTickets) -> T) -> T {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.uses += 1;
        let uses = store.uses;
        if store.servers.len() >= MAX_TICKET_SERVERS && !store.servers.contains_key(server) {
            let oldest = store.servers.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                store.servers.remove(&oldest);
            }
        }
        let kept = store.servers.entry(server.to_owned()).or_default();
        kept.used = uses;
        use_it(kept)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.with(&server, |kept| kept.group = Some(group));
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(server, |kept| kept.group)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(&server, |kept| kept.tls12 = Some(value));
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(server, |kept| kept.tls12.clone())
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.with(server, |kept| kept.tls12 = None);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(&server, |kept| {
            if kept.tls13.len() >= MAX_TICKETS_PER_SERVER {
                kept.tls13.pop_front();
            }
            kept.tls13.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest, because tickets expire.
        self.with(server, |kept| kept.tls13.pop_back())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_certificate_costs_no_other_server_its_tickets() {
        let tls = Tls::default();
        let pem = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap().cert.pem();
        tls.trust_in_memory(&Trust::default(), &pem).unwrap();
        let before = tls.config(&Trust::default()).await.unwrap();
        tls.forget_file(&Trust::default());
        assert!(Arc::ptr_eq(&before, &tls.config(&Trust::default()).await.unwrap()));
        let named = Trust { ca: Some("/nowhere/ca.pem".into()), pin: None };
        tls.trust_in_memory(&named, &pem).unwrap();
        assert!(tls.config(&named).await.is_ok());
        tls.forget_file(&named);
        assert!(matches!(tls.config(&named).await, Err(Failure::BadTrust { .. })), "the file is read again");
    }
}
