//! `stunnel.conf`: tunnels from a plain port of this computer to a server with TLS (stunnel(8)). The file has servers,
//! but no mail addresses.

use super::ini::{Indented, Section, sections};
use super::{Asked, Draft, OldDoor, Protection, Report, SendsAs, Server, port, shown, username};
use ostler_mail::account::{Protocol, is_this_computer};

/// Servers read from one service; more than a few have no use in a mail program's settings.
const MAX_CONNECTS: usize = 16;

/// The names that stunnel takes in place of a port: it asks the system, whose list (`/etc/services`) has those of IANA's
/// registry. `ssmtp` and `spop3` are what the lists had before; stunnel's own sample file has `ssmtp`.
const SERVICE_NAMES: [(&str, u16); 17] = [
    ("pop3", 110),
    ("pop-3", 110),
    ("pop3s", 995),
    ("pops", 995),
    ("spop3", 995),
    ("smtp", 25),
    ("mail", 25),
    ("smtps", 465),
    ("ssmtp", 465),
    ("submissions", 465),
    ("urd", 465),
    ("submission", 587),
    ("imap", 143),
    ("imap2", 143),
    ("imap4", 143),
    ("imaps", 993),
    ("imap4s", 993),
];

/// Whether the section is a service of stunnel's.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    section.line > 0
        && section.has("connect")
        && (section.has("accept") || section.has("client") || section.has("exec"))
}

/// Reads every tunnel to a mail server, each as a draft of its own.
pub(super) fn read(text: &str, asked: &Asked<'_>, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::IsOrdinary);
    let Some((global, services)) = sections.split_first() else { return Vec::new() };
    let has_own_certificate = asked.has_own_certificate;
    let tunnel = |service| Tunnel { service, global, place: Section::place(service), has_own_certificate };
    services.iter().filter_map(|service| tunnel(service).draft(report)).collect()
}

/// A service with the global options, which hold for every service that does not set them itself.
struct Tunnel<'s, 'a> {
    service: &'s Section<'a>,
    global: &'s Section<'a>,
    place: String,
    /// Whether a server on this computer may be the provider's, as told by [`Asked`].
    has_own_certificate: bool,
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
        if !self.is_on("client") {
            let why = "it does not lead to a provider: it is a server of this computer (no `client = yes`)";
            report.left(&self.place, why);
            return None;
        }
        let servers = self.servers(report);
        self.report_differences(servers.first()?, report);
        let door = self.old_door(servers.first()?.protocol);
        let Self { service, place, .. } = self;
        let username = service.get("protocolUsername").and_then(username);
        let doors = door.into_iter().collect();
        Some(Draft { place, username, sends_as: SendsAs::Same, servers, doors, ..Draft::default() })
    }

    /// The servers in the order in which stunnel tries them: `connect` may stand several times.
    fn servers(&self, report: &mut Report) -> Vec<Server> {
        let connects: Vec<&str> = self.service.all("connect").collect();
        if connects.is_empty() {
            report.left(&self.place, "it names no server (`connect`)");
        }
        if let Some(connect) = connects.get(MAX_CONNECTS) {
            report.left(&self.place, format!("`connect = {}` and what follows it: they are too many", shown(connect)));
        }
        let mut servers = Vec::new();
        for connect in connects.into_iter().take(MAX_CONNECTS) {
            match self.server(connect) {
                Ok(server) => servers.push(server),
                Err(why) => report.left(&self.place, why),
            }
        }
        servers
    }

    fn server(&self, connect: &str) -> Result<Server, String> {
        if connect.starts_with('/') {
            return Err(format!("`connect = {}` leads to a socket file of this computer", shown(connect)));
        }
        let (host, number) = split_port(connect);
        let number = number.ok_or_else(|| format!("`connect = {}` has no port that ostler knows", shown(connect)))?;
        if is_this_computer(host) && !self.has_own_certificate {
            return Err(format!(
                "`connect = {}` leads to this computer, not to a provider: what listens on port {number} here is another \
                 helper. Import that helper's settings, or add the account by its address; if the helper shows a \
                 certificate of its own, name that: `ostler add ADDRESS --import FILE --ca CERTIFICATE`",
                shown(connect)
            ));
        }
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
        Ok(Server {
            protocol,
            host: self.name_of(host).to_owned(),
            port: Some(number),
            // stunnel sets `protocol` where TLS begins within the protocol, that is, by STARTTLS.
            protection: if wanted.is_some() { Protection::StartTls } else { Protection::Tls },
            place: self.place.clone(),
        })
    }

    /// The name for a host that is an IP address: ostler checks the certificate for the host it connects to, and
    /// certificates are for names.
    fn name_of<'h>(&self, host: &'h str) -> &'h str
    where
        'a: 'h,
    {
        if host.parse::<std::net::IpAddr>().is_err() || is_this_computer(host) {
            return host;
        }
        let of = |section: &Section<'a>, key| section.all(key).find(|name| name.parse::<std::net::IpAddr>().is_err());
        let checked = of(self.service, "checkHost").or_else(|| of(self.global, "checkHost"));
        checked.or_else(|| of(self.service, "sni")).unwrap_or(host)
    }

    /// Where the mail program reaches the tunnel.
    fn old_door(&self, protocol: Protocol) -> Option<OldDoor> {
        let (_, port) = split_port(self.service.get("accept")?);
        Some(OldDoor { protocol, port: port?, place: self.place.clone() })
    }

    /// Reports what ostler does differently, and what it did not take.
    fn report_differences(&self, server: &Server, report: &mut Report) {
        let level = self.get("verify").and_then(|level| level.parse::<u8>().ok());
        if !self.is_on("verifyChain") && !self.is_on("verifyPeer") && level.unwrap_or(0) < 2 {
            report.took_server(server, "stunnel did not check this server's certificate; ostler always does");
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

/// Splits `host:port` as stunnel does, at the last colon. A port alone is one of this computer, and so is one behind an
/// empty host.
fn split_port(text: &str) -> (&str, Option<u16>) {
    let (host, number) = text.rsplit_once(':').unwrap_or(("", text));
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    let name = number.trim();
    let by_name = || SERVICE_NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, port)| *port);
    (if host.is_empty() { "localhost" } else { host }, port(name).or_else(by_name))
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
