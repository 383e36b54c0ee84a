//! `stunnel.conf`: tunnels from a plain port of this computer to a server with TLS (stunnel(8)). It knows servers and no
//! addresses.

use super::ini::{Indented, Section, sections};
use super::{Draft, Protection, Report, SendsAs, Server, port, shown, username};
use ostler_mail::account::Protocol;

/// Whether a section is one of stunnel's services.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    section.line > 0
        && section.has("connect")
        && (section.has("accept") || section.has("client") || section.has("exec"))
}

/// Every tunnel to a mail server, a draft each.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::IsALine);
    let Some((global, services)) = sections.split_first() else { return Vec::new() };
    services.iter().filter_map(|service| tunnel(service, global, report)).collect()
}

fn tunnel(service: &Section<'_>, global: &Section<'_>, report: &mut Report) -> Option<Draft> {
    let place = service.place();
    // What stands before all sections holds for those that say nothing else.
    let is_client = if service.has("client") { service.is_on("client") } else { global.is_on("client") };
    if !is_client {
        report.left(
            &place,
            "this is not a way out to a provider but a server of this computer's own (no `client = yes`)",
        );
        return None;
    }
    let Some(connect) = service.get("connect") else {
        report.left(&place, "it names no server (`connect`)");
        return None;
    };
    let (host, number) = connect.rsplit_once(':').unwrap_or(("localhost", connect));
    let Some(number) = port(number) else {
        report.left(&place, format!("`connect = {}` has no port that is a number", shown(connect)));
        return None;
    };
    let wanted = service.get("protocol").map(str::to_ascii_lowercase);
    let protocol = match wanted.as_deref() {
        Some("pop3") => Some(Protocol::Pop3),
        Some("smtp") => Some(Protocol::Smtp),
        Some("imap") => Some(Protocol::Imap),
        Some(_) => None,
        None => by_port(number).or_else(|| by_name(service.name)),
    };
    let Some(protocol) = protocol else {
        let what = wanted.map_or_else(
            || format!("neither its port, {number}, nor its name is one of mail"),
            |protocol| format!("`protocol = {}` is not one of mail", shown(&protocol)),
        );
        report.left(&place, what);
        return None;
    };
    let protection = if wanted.is_some() { Protection::StartTls } else { Protection::Tls };
    let checked_host = service.get("checkHost").or_else(|| global.get("checkHost"));
    let mut host = host.trim_start_matches('[').trim_end_matches(']');
    if let Some(name) = checked_host.filter(|_| host.parse::<std::net::IpAddr>().is_ok()) {
        // A certificate is for a name, so the name is the better way there.
        host = name;
    }
    let on = |key: &str| if service.has(key) { service.is_on(key) } else { global.is_on(key) };
    let level = service.get("verify").or_else(|| global.get("verify")).and_then(|level| level.parse::<u8>().ok());
    if !on("verifyChain") && !on("verifyPeer") && level.unwrap_or(0) < 2 {
        report.took(&place, "stunnel did not check this server's certificate; ostler always does");
    }
    if service.has("CAfile") || global.has("CAfile") {
        let place = if service.has("CAfile") { &place } else { "at the beginning" };
        report.left(
            place,
            "CAfile: ostler trusts the certificates this computer's system trusts; if your provider needs others, add --ca FILE",
        );
    }
    if service.has("protocolPassword") {
        report.left(&place, "the password (protocolPassword): type it when ostler asks for it");
    }
    let name = service.get("protocolUsername").and_then(username);
    Some(Draft {
        place: place.clone(),
        username: name,
        sends_as: SendsAs::Same,
        servers: vec![Server { protocol, host: host.to_owned(), port: Some(number), protection, place }],
        ..Draft::default()
    })
}

fn by_port(port: u16) -> Option<Protocol> {
    match port {
        995 | 110 => Some(Protocol::Pop3),
        465 | 587 | 25 => Some(Protocol::Smtp),
        993 | 143 => Some(Protocol::Imap),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<Protocol> {
    let name = name.to_ascii_lowercase();
    let has = |word: &str| name.contains(word);
    if has("pop") {
        Some(Protocol::Pop3)
    } else if has("smtp") || has("submission") {
        Some(Protocol::Smtp)
    } else if has("imap") {
        Some(Protocol::Imap)
    } else {
        None
    }
}
