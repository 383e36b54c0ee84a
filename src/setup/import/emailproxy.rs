//! `emailproxy.config` of email-oauth2-proxy: sections for servers (`[POP-1995]`) and for accounts
//! (`[ann@example.net]`). The file does not say which account uses which server (only the mail program knows), so the
//! companies have to match.

use std::sync::Arc;

use super::ini::{Indented, Section, sections};
use super::{Draft, OldDoor, Protection, Report, SendsAs, Server, address, port};
use crate::config::issuers::Described;
use crate::config::presets::{Preset, Presets};
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::{HttpsUrl, Issuer, Redirect};

/// A word in the address of the sign-in page, and the word in a server's name that belongs to it.
const ISSUERS: [(&str, &str); 6] = [
    ("google", "gmail"),
    ("google", "google"),
    ("microsoft", "office365"),
    ("microsoft", "outlook"),
    ("yahoo", "yahoo"),
    ("aol", "aol"),
];

/// Servers read from one file; a real one has about three for each provider.
const MAX_SERVERS: usize = 64;

/// Whether the section is a server of the proxy's.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    local(section.name).is_some() && section.has("server_address")
}

/// The protocol and the local port of a section such as `POP-1995`.
fn local(name: &str) -> Option<(Protocol, u16)> {
    let (kind, number) = name.split_once('-')?;
    let protocol = match kind.to_ascii_uppercase().as_str() {
        "POP" => Protocol::Pop3,
        "SMTP" => Protocol::Smtp,
        "IMAP" => Protocol::Imap,
        _ => return None,
    };
    Some((protocol, port(number)?))
}

/// A server with the port at which the mail program reaches it through the proxy.
#[derive(Debug, Clone)]
struct Proxied {
    server: Server,
    door: OldDoor,
}

/// Reads every account, with the servers of its company.
pub(super) fn read(text: &str, presets: &Presets, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::ContinuesValue);
    let servers: Vec<Proxied> = sections.iter().filter_map(proxied).take(MAX_SERVERS).collect();
    let accounts =
        sections.iter().filter_map(|s| address(s.name).map(|address| (s, address))).take(super::MAX_ACCOUNTS);
    for section in sections.iter().filter(|s| s.name.starts_with('@')) {
        report.left(&section.place(), "this is for all addresses of a domain; add yours with `ostler add ADDRESS`");
    }
    accounts.map(|(section, address)| account(section, address, &servers, presets, report)).collect()
}

fn proxied(section: &Section<'_>) -> Option<Proxied> {
    let starts = ["server_starttls", "starttls"].iter().any(|key| section.is_on(key));
    let (protocol, port_here) = local(section.name)?;
    let server = Server {
        protocol,
        host: section.get("server_address")?.to_owned(),
        port: section.get("server_port").and_then(port),
        protection: if starts { Protection::StartTls } else { Protection::Tls },
        place: section.place(),
    };
    Some(Proxied { server, door: OldDoor { protocol, port: port_here, place: section.place() } })
}

fn account(section: &Section<'_>, address: String, all: &[Proxied], presets: &Presets, report: &mut Report) -> Draft {
    let place = section.place();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let own = own_servers(section, domain, all, presets);
    if own.is_empty() {
        report.left(&place, "the file does not say which servers belong to this account; ostler looks for them itself");
    }
    let product = own.iter().find_map(|proxied| presets.product(&proxied.server.host, domain));
    let product = product.or_else(|| presets.by_domain(domain)).map(AsRef::as_ref);
    let registration = sign_in(section, product, presets, report).map(Arc::new);
    let oauth2 = registration.as_ref().map(|issuer| issuer.name.clone());
    let (servers, doors) = own.into_iter().map(|proxied| (proxied.server, proxied.door)).unzip();
    Draft {
        address: Some(address),
        servers,
        doors,
        sends_as: SendsAs::Same,
        place,
        oauth2,
        registration,
        ..Draft::default()
    }
}

/// The company at which the program signed in, with its registration there, unless an app password is the simpler way or the file
/// does not have it. Its tokens are encrypted with a password that only the mail program has, and are not looked at.
fn sign_in(section: &Section<'_>, product: Option<&Preset>, presets: &Presets, report: &mut Report) -> Option<Issuer> {
    let place = section.place();
    let is_oauth2 = ["token_url", "permission_url", "oauth2_scope", "client_id"].iter().any(|key| section.has(key));
    if !is_oauth2 {
        return None;
    }
    let makes_app_passwords = product.is_some_and(|product| product.app_password.is_some());
    let Some(issuer) = registration(section, presets).filter(|_| !makes_app_passwords) else {
        let way = instead_of_oauth2(product);
        report.left(
            &place,
            format!(
                "the sign-in in the web browser (OAuth2), with its keys and tokens, because they are that program's own. {way}"
            ),
        );
        return None;
    };
    let secret = if issuer.client_secret.is_some() { "; ostler asks for the secret of it (client_secret)" } else { "" };
    report.took(&place, format!("its registration at {} (client_id){secret}", issuer.title));
    report.left(
        &place,
        "its tokens, which are encrypted there: you sign in once in the web browser when ostler asks for it",
    );
    Some(issuer)
}

/// The registration of a section, if a person signs in with it: some are for programs that do so without anybody.
fn registration(section: &Section<'_>, presets: &Presets) -> Option<Issuer> {
    if !matches!(section.get("oauth2_flow"), None | Some("authorization_code" | "device")) {
        return None;
    }
    let scopes = section.words("oauth2_scope").join(" ");
    let is_localhost = section.get("redirect_uri").is_some_and(|uri| uri.starts_with("http://localhost"));
    let described = Described {
        authorize: section.get("permission_url"),
        token: section.get("token_url"),
        scopes: &scopes,
        client_id: section.get("client_id"),
        has_secret: ["client_secret", "client_secret_encrypted"].iter().any(|key| section.get(key).is_some()),
        redirect: if is_localhost { Redirect::Localhost } else { Redirect::Loopback },
    };
    let host = section.get("token_url").and_then(HttpsUrl::parse)?.host().to_owned();
    described.registered(&super::company(&host, presets))
}

/// The servers that belong to an account, as far as the names tell.
fn own_servers(section: &Section<'_>, domain: &str, all: &[Proxied], presets: &Presets) -> Vec<Proxied> {
    let issuer = section.get("token_url").or_else(|| section.get("permission_url")).unwrap_or_default();
    let issuer = issuer.to_ascii_lowercase();
    let of_issuer = |proxied: &&Proxied| {
        let host = proxied.server.host.to_ascii_lowercase();
        ISSUERS.iter().any(|(there, here)| issuer.contains(there) && host.contains(here))
    };
    let company = |proxied: &Proxied| super::company(&proxied.server.host, presets);
    let homes = super::companies(domain, presets);
    let mut own: Vec<Proxied> = all.iter().filter(of_issuer).cloned().collect();
    if own.is_empty() {
        own = all.iter().filter(|proxied| homes.contains(&company(proxied))).cloned().collect();
    }
    if own.is_empty() && presets.by_domain(domain).is_none() {
        let mut companies: Vec<_> = all.iter().map(company).collect();
        companies.dedup();
        // All servers of the file are one company's, so the account can only be there.
        if companies.len() == 1 {
            own = all.to_vec();
        }
    }
    own
}

/// What the user of an account that signs in by OAuth2 can do.
fn instead_of_oauth2(product: Option<&Preset>) -> String {
    match product {
        Some(Preset { app_password: Some(made), title, .. }) => {
            format!("Make an app password (a password for one program) for {title} at {made} and give that to ostler")
        }
        Some(product) if product.is_usable() && product.servers.iter().all(Endpoint::takes_only_oauth2) => format!(
            "{} takes no password from mail programs, so leave this account with Email OAuth 2.0 Proxy for now, or sign in \
             with ostler: `ostler add ADDRESS`",
            product.title
        ),
        Some(_) | None => {
            "If your provider makes app passwords (passwords for one program), make one and give it to ostler; \
                           if it does not, `ostler add ADDRESS --oauth2 NAME` signs in in the web browser"
                .to_owned()
        }
    }
}
