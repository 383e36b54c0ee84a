//! A certificate authority of the test's own, and the certificates good and bad servers show.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use sha2::{Digest, Sha256};

use super::folder;
use super::process::{command, run_well};

/// A server's certificate with its key.
#[derive(Clone)]
pub struct ServerCert {
    pub chain_pem: String,
    pub key_pem: String,
    pub chain_der: Vec<Vec<u8>>,
    pub key_der: Vec<u8>,
}

impl ServerCert {
    /// The certificate as `pin` in the settings names it.
    pub fn pin(&self) -> String {
        let hex: String = Sha256::digest(&self.chain_der[0]).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// A TLS server that shows this certificate.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let chain = self.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(self.key_der.clone()).unwrap();
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// Signed by itself and made by OpenSSL, as helpers and their users make them: of this kind of key (`rsa:2048`, `ed25519`,
    /// `ec`), with these extensions and no others, valid until in ten years.
    pub fn by_openssl(key: &str, extensions: &[&str]) -> Self {
        Self::by_openssl_with(key, extensions, &["-days", "3650"])
    }

    /// As [`by_openssl`](Self::by_openssl), with these options for the dates.
    pub fn by_openssl_with(key: &str, extensions: &[&str], dates: &[&str]) -> Self {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(
            at("openssl.cnf"),
            "[req]\ndistinguished_name = name\nprompt = no\n[name]\nO = Helper\nCN = 127.0.0.1\n",
        )
        .unwrap();
        let openssl = |args: &[&str]| run_well(command("openssl", args).current_dir(folder.path()), "");
        let mut words =
            vec!["req", "-x509", "-config", "openssl.cnf", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"];
        words.extend(["-newkey", key]);
        if key == "ec" {
            words.extend(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        }
        words.extend(dates);
        words.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
        openssl(&words);
        openssl(&["x509", "-in", "cert.pem", "-outform", "der", "-out", "cert.der"]);
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "der", "-out", "key.der"]);
        let text = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        Self {
            chain_pem: text("cert.pem"),
            key_pem: text("key.pem"),
            chain_der: vec![std::fs::read(at("cert.der")).unwrap()],
            key_der: std::fs::read(at("key.der")).unwrap(),
        }
    }

    /// The same certificate and key; the server shows the certificates of these authorities with it, in this order, and no
    /// others.
    pub fn showing(&self, authorities: &[&TestCa]) -> Self {
        let end = "-----END CERTIFICATE-----\n";
        let own = &self.chain_pem[..self.chain_pem.find(end).unwrap() + end.len()];
        let mut shown = Self { chain_pem: own.to_owned(), chain_der: vec![self.chain_der[0].clone()], ..self.clone() };
        for authority in authorities {
            shown.chain_pem += &authority.pem();
            shown.chain_der.push(authority.certificate.der().to_vec());
        }
        shown
    }
}

/// An authority nobody trusts who is not told to.
pub struct TestCa {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl TestCa {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "ostler test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// An authority of this name that this one has signed.
    pub fn below(&self, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// What a settings file names as `ca`.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A good certificate for this computer.
    pub fn localhost(&self) -> ServerCert {
        self.sign(here())
    }

    /// A good certificate for these names.
    pub fn named(&self, names: &[&str]) -> ServerCert {
        self.sign(named(names))
    }

    /// Signed, in date, and for somebody else.
    pub fn wrong_name(&self) -> ServerCert {
        self.sign(named(&["mail.example.com"]))
    }

    /// Good for a server of this name or address.
    pub fn server(&self, name: &str) -> ServerCert {
        self.sign(named(&[name]))
    }

    /// For this computer as certificates were made long ago: with a common name only.
    pub fn nameless(&self) -> ServerCert {
        let mut params = named(&[]);
        params.distinguished_name.push(DnType::CommonName, "localhost");
        self.sign(params)
    }

    /// For this computer, from half an hour ago to half an hour from now.
    pub fn for_this_hour(&self) -> ServerCert {
        let (mut params, now) = (here(), time::OffsetDateTime::now_utc());
        params.not_before = now - time::Duration::minutes(30);
        params.not_after = now + time::Duration::minutes(30);
        self.sign(params)
    }

    /// For this computer, from a year to come.
    pub fn not_yet_valid(&self) -> ServerCert {
        let mut params = here();
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
        self.sign(params)
    }

    /// For this computer, but of another year.
    pub fn expired(&self) -> ServerCert {
        let mut params = here();
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    /// For this computer, and for clients only.
    pub fn for_clients(&self) -> ServerCert {
        let mut params = here();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// For this computer, signed with the key of another server's good certificate, which is no authority.
    pub fn signed_by_a_server(&self) -> ServerCert {
        let (params, key) = (named(&["mail.example.com"]), KeyPair::generate().unwrap());
        let server = params.signed_by(&key, &self.issuer).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = here().signed_by(&key, &issuer).unwrap();
        ServerCert {
            chain_pem: certificate.pem() + &server.pem() + &self.certificate.pem(),
            key_pem: key.serialize_pem(),
            chain_der: [&certificate, &server, &self.certificate].map(|one| one.der().to_vec()).to_vec(),
            key_der: key.serialize_der(),
        }
    }

    /// For this computer, signed by itself.
    pub fn self_signed() -> ServerCert {
        let key = KeyPair::generate().unwrap();
        let certificate = here().self_signed(&key).unwrap();
        ServerCert {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            chain_der: vec![certificate.der().to_vec()],
            key_der: key.serialize_der(),
        }
    }

    fn sign(&self, params: CertificateParams) -> ServerCert {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        ServerCert {
            chain_pem: certificate.pem() + &self.certificate.pem(),
            key_pem: key.serialize_pem(),
            chain_der: vec![certificate.der().to_vec(), self.certificate.der().to_vec()],
            key_der: key.serialize_der(),
        }
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}

fn here() -> CertificateParams {
    named(&["localhost", "127.0.0.1", "::1", "127.0.0.2"])
}

fn named(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, *first);
    }
    params
}
