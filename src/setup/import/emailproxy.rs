//! `emailproxy.config` of email-oauth2-proxy: sections for servers (`[POP-1995]`) and for accounts
//! (`[ann@example.net]`). The file does not say which account uses which server (only the mail program knows), so the
//! companies have to match.

use super::ini::{Indented, Section, sections};
use super::{Draft, Protection, Report, SendsAs, Server, address, port};
use crate::config::presets::Presets;
use ostler_mail::account::Protocol;

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
    protocol(section.name).is_some() && section.has("server_address")
}

/// The protocol of a section such as `POP-1995`.
fn protocol(name: &str) -> Option<Protocol> {
    let (kind, number) = name.split_once('-')?;
    port(number)?;
    match kind.to_ascii_uppercase().as_str() {
        "POP" => Some(Protocol::Pop3),
        "SMTP" => Some(Protocol::Smtp),
        "IMAP" => Some(Protocol::Imap),
        _ => None,
    }
}

/// Reads every account, with the servers of its company.
pub(super) fn read(text: &str, presets: &Presets, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::ContinuesValue);
    let servers: Vec<Server> = sections.iter().filter_map(server).take(MAX_SERVERS).collect();
    let accounts =
        sections.iter().filter_map(|s| address(s.name).map(|address| (s, address))).take(super::MAX_ACCOUNTS);
    for section in sections.iter().filter(|s| s.name.starts_with('@')) {
        report.left(&section.place(), "this is for all addresses of a domain; add yours with `ostler add ADDRESS`");
    }
    accounts.map(|(section, address)| account(section, address, &servers, presets, report)).collect()
}

fn server(section: &Section<'_>) -> Option<Server> {
    let starts = ["server_starttls", "starttls"].iter().any(|key| section.is_on(key));
    Some(Server {
        protocol: protocol(section.name)?,
        host: section.get("server_address")?.to_owned(),
        port: section.get("server_port").and_then(port),
        protection: if starts { Protection::StartTls } else { Protection::Tls },
        place: section.place(),
    })
}

fn account(section: &Section<'_>, address: String, all: &[Server], presets: &Presets, report: &mut Report) -> Draft {
    let place = section.place();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let homes = super::companies(domain, presets);
    let issuer = section.get("token_url").or_else(|| section.get("permission_url")).unwrap_or_default();
    let issuer = issuer.to_ascii_lowercase();
    let of_issuer = |server: &&Server| {
        let host = server.host.to_ascii_lowercase();
        ISSUERS.iter().any(|(there, here)| issuer.contains(there) && host.contains(here))
    };
    let of_home = |server: &&Server| homes.contains(&super::company(&server.host, presets));
    let mut servers: Vec<Server> = all.iter().filter(of_issuer).cloned().collect();
    if servers.is_empty() {
        servers = all.iter().filter(of_home).cloned().collect();
    }
    if servers.is_empty() && presets.by_domain(domain).is_none() {
        let mut companies: Vec<_> = all.iter().map(|server| super::company(&server.host, presets)).collect();
        companies.dedup();
        // All servers of the file are one company's, so the account can only be there.
        if companies.len() == 1 {
            servers = all.to_vec();
        }
    }
    if servers.is_empty() {
        report.left(&place, "the file does not say which servers belong to this account; ostler looks for them itself");
    }
    let is_oauth2 = ["token_url", "permission_url", "oauth2_scope", "client_id"].iter().any(|key| section.has(key));
    if is_oauth2 {
        let mut way =
            "If your provider makes app passwords (passwords for one program), make one and give it to ostler; if it \
                       does not, ostler cannot use this account yet"
                .to_owned();
        if let Some(made) = presets.by_domain(domain).and_then(|preset| preset.app_password.as_ref()) {
            way = format!("Make an app password (a password for one program) at {made} and give that to ostler");
        }
        report.left(
            &place,
            format!(
                "the sign-in by web page (OAuth2), with its keys and tokens: this version of ostler signs in with a password. {way}"
            ),
        );
    }
    Draft { address: Some(address), servers, sends_as: SendsAs::Same, place, ..Draft::default() }
}
