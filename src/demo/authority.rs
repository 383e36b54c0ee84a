//! A certificate authority for one run of the demo: in memory, for `localhost` only, and gone at the end.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// The authority's name in its certificate.
const NAME: &str = "ostler demo: one run only";

/// The authority's certificate, and the configuration of a server with a certificate from it.
pub(super) struct Authority {
    pub(super) pem: String,
    /// For a server on `localhost`, 127.0.0.1 and ::1.
    pub(super) server: Arc<ServerConfig>,
}

impl Authority {
    /// Makes an authority with new keys.
    pub(super) fn new() -> Result<Self, String> {
        let wrong = |error: rcgen::Error| format!("no certificate for the demo provider: {error}");
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = short_lived(CertificateParams::default(), NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).map_err(wrong)?.pem();
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate().map_err(wrong)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        let mut params = short_lived(CertificateParams::new(names).map_err(wrong)?, "localhost");
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer).map_err(wrong)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
            .map_err(|error| format!("no TLS for the demo provider: {error}"))?;
        Ok(Self { pem, server: Arc::new(server) })
    }
}

/// Valid from yesterday, in case the clock is a little off, for a month of `--stay`.
fn short_lived(mut params: CertificateParams, name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(30);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
