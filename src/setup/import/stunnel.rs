//! `stunnel.conf`: tunnels from a plain port of this computer to a server with TLS (stunnel(8)). The file has servers,
//! but no mail addresses.

use super::ini::{Indented, Section, sections};
use super::{Draft, Protection, Report, SendsAs, Server, port, shown, username};
use ostler_mail::account::Protocol;

/// Whether the section is a service of stunnel's.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    section.line > 0
        && section.has("connect")
        && (section.has("accept") || section.has("client") || section.has("exec"))
}

/// Reads every tunnel to a mail server, each as a draft of its own.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::IsOrdinary);
    let Some((global, services)) = sections.split_first() else { return Vec::new() };
    let tunnel = |service| Tunnel { service, global, place: Section::place(service) };
    services.iter().filter_map(|service| tunnel(service).draft(report)).collect()
}

/// A service with the global options, which hold for every service that does not set them itself.
struct Tunnel<'s, 'a> {
    service: &'s Section<'a>,
    global: &'s Section<'a>,
    place: String,
}

impl<'a> Tunnel<'_, 'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.service.get(key).or_else(|| self.global.get(key))
    }

    fn is_on(&self, key: &str) -> bool {
        if self.service.has(key) { self.service.is_on(key) } else { self.global.is_on(key) }
    }

    /// The account that the tunnel leads to; `None`, with the reason in `report`, if it is not for fetching or sending
    /// mail.
    fn draft(self, report: &mut Report) -> Option<Draft> {
        let server = match self.server() {
            Ok(server) => server,
            Err(why) => {
                report.left(&self.place, why);
                return None;
            }
        };
        self.report_differences(report);
        let Self { service, place, .. } = self;
        let username = service.get("protocolUsername").and_then(username);
        Some(Draft { place, username, sends_as: SendsAs::Same, servers: vec![server], ..Draft::default() })
    }

    fn server(&self) -> Result<Server, String> {
        if !self.is_on("client") {
            return Err("it does not lead to a provider: it is a server of this computer (no `client = yes`)".into());
        }
        let connect = self.service.get("connect").ok_or("it names no server (`connect`)")?;
        // stunnel takes a port alone for one of this computer.
        let (host, number) = connect.rsplit_once(':').unwrap_or(("localhost", connect));
        let number = port(number).ok_or_else(|| format!("`connect = {}` has no numeric port", shown(connect)))?;
        let wanted = self.service.get("protocol").map(str::to_ascii_lowercase);
        let protocol = match wanted.as_deref() {
            Some("pop3") => Some(Protocol::Pop3),
            Some("smtp") => Some(Protocol::Smtp),
            Some("imap") => Some(Protocol::Imap),
            Some(_) => None,
            None => by_port(number).or_else(|| by_name(self.service.name)),
        };
        let protocol = protocol.ok_or_else(|| match &wanted {
            Some(wanted) => format!("`protocol = {}` is not a mail protocol", shown(wanted)),
            None => format!("neither its port, {number}, nor its name is one for mail"),
        })?;
        let mut host = host.trim_start_matches('[').trim_end_matches(']');
        // ostler checks the certificate for the host it connects to, and certificates are for names.
        if let Some(name) = self.get("checkHost").filter(|_| host.parse::<std::net::IpAddr>().is_ok()) {
            host = name;
        }
        Ok(Server {
            protocol,
            host: host.to_owned(),
            port: Some(number),
            // stunnel sets `protocol` where TLS begins within the protocol, that is, by STARTTLS.
            protection: if wanted.is_some() { Protection::StartTls } else { Protection::Tls },
            place: self.place.clone(),
        })
    }

    /// Reports what ostler does differently, and what it did not take.
    fn report_differences(&self, report: &mut Report) {
        let level = self.get("verify").and_then(|level| level.parse::<u8>().ok());
        if !self.is_on("verifyChain") && !self.is_on("verifyPeer") && level.unwrap_or(0) < 2 {
            report.took(&self.place, "stunnel did not check this server's certificate; ostler always does");
        }
        if self.service.has("CAfile") || self.global.has("CAfile") {
            let place = if self.service.has("CAfile") { &self.place } else { "at the beginning" };
            report.left(
                place,
                "CAfile: ostler trusts the certificates that this system trusts; if your provider needs others, add --ca FILE",
            );
        }
        if self.service.has("protocolPassword") {
            report.left(&self.place, "the password (protocolPassword): type it when ostler asks for it");
        }
    }
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
