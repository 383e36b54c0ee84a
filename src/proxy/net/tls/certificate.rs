//! What certificates say about themselves and each other. Nothing here is verified: it serves to find the words for a
//! certificate that was refused, and to describe one that was accepted.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use ostler_mail::failure::CertificateProblem;
use ostler_mail::wire::printable;

/// Programs and devices that decrypt mail on its way and sign in their own name, by a part of that name in lower case. They
/// often show no other certificate than the server's, as a server does that leaves out the one between; only the name
/// tells the two apart. From Chromium's list of such software (`ssl_error_assistant.asciipb`, `mitm_software`) and the
/// makers' manuals, without those that are public authorities too.
const SCANNERS: [&str; 21] = [
    "avast",
    "avg technologies",
    "avg web/mail shield",
    "bitdefender",
    "bullguard",
    "cisco umbrella",
    "contentwatch",
    "dr.web",
    "eset ssl filter",
    "forcepoint",
    "fortigate",
    "fortinet",
    "g data software",
    "kaspersky",
    "mcafee",
    "netspark",
    "norton web/mail shield",
    "smoothwall",
    "sonicwall",
    "sophos",
    "zscaler",
];

/// The certificate; `None` if it cannot be read.
pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

/// The shortest RSA key with which a server can prove that a certificate is its own; aws-lc verifies nothing by shorter ones.
const MIN_RSA_KEY_BITS: usize = 2048;

/// Why a certificate can be used by no one, whoever vouches for it.
pub(super) fn unusable(certificate: &X509Certificate<'_>) -> Option<CertificateProblem> {
    // `openssl x509 -req -signkey` makes such certificates; webpki does not read them.
    if certificate.version() != X509Version::V3 {
        return Some(CertificateProblem::OldKind);
    }
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < MIN_RSA_KEY_BITS => {
            Some(CertificateProblem::ShortKey { bits: key.key_size(), least: MIN_RSA_KEY_BITS })
        }
        _ => None,
    }
}

/// Where the certificates that a server shows end. Names are printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChainEnd {
    /// The server's certificate is its own issuer.
    SelfSigned,
    /// They lead to this authority, or to a scanner that poses as one.
    Authority(String),
    /// This issuer's certificate is not among them.
    Missing(String),
}

/// What the certificates that a server shows have to do with each other.
pub(super) struct Chain<'a> {
    /// Those that stand between the server's own and its authority, in order, by their place among the `others`.
    pub(super) between: Vec<usize>,
    pub(super) end: ChainEnd,
    parsed: Vec<Option<X509Certificate<'a>>>,
}

impl<'a> Chain<'a> {
    /// Looks at a server's certificate and the others that it shows, which may be in any order, with foreign ones among them.
    pub(super) fn of(own: &X509Certificate<'_>, others: &'a [CertificateDer<'_>]) -> Self {
        let parsed: Vec<_> = others.iter().map(parse).collect();
        let (between, end) = follow(own, &parsed);
        Self { between, end, parsed }
    }

    /// The certificates between, parsed.
    pub(super) fn certificates_between(&self) -> impl Iterator<Item = &X509Certificate<'a>> {
        self.between.iter().filter_map(|at| self.parsed.get(*at)?.as_ref())
    }
}

/// Goes from the server's certificate to its issuer's, and so on, for as long as the issuer's is among the others.
fn follow(own: &X509Certificate<'_>, others: &[Option<X509Certificate<'_>>]) -> (Vec<usize>, ChainEnd) {
    if is_self_issued(own) {
        return (Vec::new(), ChainEnd::SelfSigned);
    }
    let (mut between, mut last) = (Vec::new(), own);
    let all = || others.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?)));
    // Each is passed once, since two authorities can have certified each other.
    while let Some((at, issuer)) = all().find(|(at, one)| !between.contains(at) && is_issuer(one, last)) {
        if is_self_issued(issuer) {
            return (between, ChainEnd::Authority(name(issuer.subject())));
        }
        between.push(at);
        last = issuer;
    }
    let issuer = name(last.issuer());
    let is_scanner = SCANNERS.iter().any(|scanner| issuer.to_ascii_lowercase().contains(scanner));
    (between, if is_scanner { ChainEnd::Authority(issuer) } else { ChainEnd::Missing(issuer) })
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    is_issuer(certificate, certificate)
}

/// Whether one certificate can be that of another's issuer: by its name and, where both have one, by the identifier of the
/// key (RFC 5280, section 4.2.1.1), since an authority that is made anew often keeps its name.
fn is_issuer(issuer: &X509Certificate<'_>, of: &X509Certificate<'_>) -> bool {
    let key = issuer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
        _ => None,
    });
    let wanted = of.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    });
    let same_key = key.zip(wanted).is_none_or(|(key, wanted)| key == wanted);
    issuer.subject().as_raw() == of.issuer().as_raw() && same_key
}

/// A name as printable ASCII.
pub(super) fn name(name: &X509Name<'_>) -> String {
    printable(name.to_string().as_bytes())
}

/// A moment as people write it, to the minute.
pub(super) fn day(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02} UTC",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute()
    )
}

/// The host names and addresses in a certificate's subject alternative name.
pub(super) fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(printable(name.as_bytes())),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|a| std::net::Ipv4Addr::from(a).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|a| std::net::Ipv6Addr::from(a).to_string()),
            _ => None,
        },
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    type Authority = (Certificate, Issuer<'static, KeyPair>);

    fn params(name: &str, is_authority: bool) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn root(name: &str) -> Authority {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        (params.self_signed(&key).unwrap(), Issuer::new(params, key))
    }

    fn below(name: &str, above: &Authority) -> Authority {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        (params.signed_by(&key, &above.1).unwrap(), Issuer::new(params, key))
    }

    fn server(above: &Authority) -> Certificate {
        params("server", false).signed_by(&KeyPair::generate().unwrap(), &above.1).unwrap()
    }

    fn end(own: &Certificate, others: &[&Certificate]) -> (ChainEnd, Vec<usize>) {
        let others: Vec<_> = others.iter().map(|one| one.der().clone()).collect();
        let chain = Chain::of(&parse(own.der()).unwrap(), &others);
        (chain.end.clone(), chain.between.clone())
    }

    fn missing(name: &str) -> ChainEnd {
        ChainEnd::Missing(format!("CN={name}"))
    }

    #[test]
    fn f15_a_chain_that_ends_early_names_the_first_missing_issuer() {
        let root = root("root");
        let (upper, foreign) = (below("upper", &root), super::tests::root("elsewhere"));
        let lower = below("lower", &upper);
        let own = server(&lower);
        let stray = below("stray", &foreign);
        let (root, upper, lower, foreign, stray) = (&root.0, &upper.0, &lower.0, &foreign.0, &stray.0);
        let authority = || ChainEnd::Authority("CN=root".into());
        for (others, expected, between) in [
            (&[][..], missing("lower"), &[][..]),
            (&[lower], missing("upper"), &[0]),
            // The root does not help without what stands between.
            (&[root], missing("lower"), &[]),
            (&[root, lower], missing("upper"), &[1]),
            // Any order, and foreign ones among them.
            (&[stray, lower, foreign], missing("upper"), &[1]),
            (&[upper, foreign], missing("lower"), &[]),
            (&[root, stray, upper, lower], authority(), &[3, 2]),
            (&[lower, upper, root], authority(), &[0, 1]),
            (&[upper, lower], missing("root"), &[1, 0]),
        ] {
            assert_eq!(end(&own, others), (expected, between.to_vec()));
        }
    }

    #[test]
    fn f15_an_authority_made_anew_under_its_old_name_is_another_one() {
        let (old, new) = (root("house"), root("house"));
        assert_eq!(end(&server(&new), &[&old.0]).0, missing("house"));
        assert_eq!(end(&server(&new), &[&old.0, &new.0]).0, ChainEnd::Authority("CN=house".into()));
    }

    #[test]
    fn f15_a_scanner_is_not_taken_for_a_server_that_sends_too_little() {
        for scanner in
            ["Avast Web/Mail Shield Root", "ESET SSL Filter CA", "Kaspersky Anti-Virus Personal Root Certificate"]
        {
            assert_eq!(end(&server(&root(scanner)), &[]).0, ChainEnd::Authority(format!("CN={scanner}")));
        }
    }

    #[test]
    fn a_certificate_that_is_its_own_issuer_ends_the_chain() {
        let own = params("helper", true).self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(end(&own, &[&root("root").0]), (ChainEnd::SelfSigned, vec![]));
    }

    #[test]
    fn authorities_that_have_certified_each_other_are_followed_once() {
        let (one, two) = (root("one"), root("two"));
        let by_two = params("one", true).signed_by(one.1.key(), &two.1).unwrap();
        let by_one = params("two", true).signed_by(two.1.key(), &one.1).unwrap();
        assert_eq!(end(&server(&one), &[&by_two, &by_one]), (missing("one"), vec![0, 1]));
    }
}
