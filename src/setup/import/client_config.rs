//! `config-v1.1.xml`: the file in which a provider describes its servers for Thunderbird, handed out or saved from the web.
//! `discover/autoconfig` reads it. It has placeholders for the parts of the address, so an address is needed; it has
//! several servers of a kind, which are ways to one mailbox.

use std::sync::Arc;

use super::{Asked, Draft, ImportError, Kind, Protection, Report, Server, shown};
use crate::config::{issuers, registration_table};
use crate::setup::discover::Domain;
use crate::setup::discover::autoconfig::{BadConfig, Config, MAX_XML_NODES, Reader, parse_for};
use crate::setup::find::{hint_text, unknown_company_text};
use crate::setup::xml::{self, NotXml, without_doctype};
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::{AuthMethod, Endpoint};
use ostler_mail::account::issuer::Issuer;

/// Stands for the domain of the address as long as that is not known.
const UNKNOWN_DOMAIN: &str = "domain.invalid";

/// The place of a file whose provider does not name itself.
const FILE: &str = "the file";

/// Reads the one account that the file describes, for the address that was asked for. Without one, the account has no more
/// than the provider's name.
pub(super) fn read(text: &str, asked: &Asked<'_>, report: &mut Report) -> Result<Vec<Draft>, ImportError> {
    let address = asked.address.and_then(|address| address.trim().rsplit_once('@'));
    let known = address.and_then(|(local, domain)| Some((local, Domain::parse(domain).ok()?)));
    let (local_part, domain) = match &known {
        Some((local, domain)) => (*local, domain.clone()),
        None => ("x", Domain::parse(UNKNOWN_DOMAIN).map_err(|_| ImportError::Unknown)?),
    };
    let text = without_doctype(text);
    let config = match parse_for(text.as_bytes(), Reader { domain: &domain, local_part: Some(local_part) }) {
        Ok(config) => config,
        Err(BadConfig::NotXml) => {
            let has_entities = xml::parse(&text, MAX_XML_NODES).is_err_and(|why| why == NotXml::Entities);
            let kind = Kind::ClientConfig;
            return Err(if has_entities { ImportError::Entities(kind) } else { ImportError::Damaged(kind) });
        }
        Err(BadConfig::NotAConfig) => return Err(ImportError::Unknown),
        Err(why @ (BadConfig::OnlyPlain | BadConfig::NoServers)) => {
            report.left(FILE, why);
            return Ok(Vec::new());
        }
    };
    let place = config.title.as_deref().map_or_else(|| FILE.to_owned(), shown);
    if known.is_none() {
        return Ok(vec![Draft { title: Some(place.clone()), place, ..Draft::default() }]);
    }
    Ok(vec![draft(config, place, report)])
}

fn draft(config: Config, place: String, report: &mut Report) -> Draft {
    for why in &config.left_out {
        report.left(&place, why);
    }
    for hint in config.hints.iter().filter(|hint| hint.must) {
        report.left(&place, format!("what you may have to do first on the provider's web pages: {}", hint_text(hint)));
    }
    let (usable, tokens): (Vec<Endpoint>, Vec<Endpoint>) =
        config.endpoints.into_iter().partition(|endpoint| !endpoint.takes_only_oauth2());
    let known = tokens.iter().find_map(company_of);
    if let (true, Some(company)) = (usable.is_empty(), known) {
        report.took(&place, format!("signing in in the web browser (OAuth2) at {}", company.title));
        return draft_of(tokens, place, Some(company.name.clone()));
    }
    for endpoint in tokens {
        report.left(
            &place,
            format!(
                "{} lets mail programs in only with a sign-in in the web browser (OAuth2), so \
                 `ostler add ADDRESS --oauth2 NAME` is the way to it",
                endpoint.describe()
            ),
        );
    }
    if let (true, Some(company)) = (usable.is_empty(), &config.company) {
        let lines = registration_table(company).lines().collect::<Vec<_>>().join("; ");
        report.left(&place, format!("{}: {lines}", unknown_company_text(company)));
    }
    draft_of(usable, place, None)
}

/// The company whose tokens a server takes, if ostler knows it.
fn company_of(endpoint: &Endpoint) -> Option<Arc<Issuer>> {
    endpoint.auth_methods.iter().find_map(|way| match way {
        AuthMethod::OAuth2(name) => issuers::known(name),
        _ => None,
    })
}

fn draft_of(usable: Vec<Endpoint>, place: String, oauth2: Option<String>) -> Draft {
    let gate = usable.iter().find(|endpoint| endpoint.protocol == Protocol::Smtp).is_some_and(Endpoint::is_gated);
    let server = |endpoint: Endpoint| Server {
        protocol: endpoint.protocol,
        host: endpoint.host.clone(),
        port: Some(endpoint.port),
        protection: Protection::Known(endpoint),
        place: place.clone(),
    };
    let servers = usable.into_iter().map(server).collect();
    Draft { title: Some(place.clone()), servers, gate, is_choice: true, place, oauth2, ..Draft::default() }
}
