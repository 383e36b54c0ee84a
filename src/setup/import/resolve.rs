//! From what an old program was set to, to servers that can be used today: a provider that ostler knows has its servers of
//! today, a server without encryption is used with it, and a password goes to no other company than the one it is for.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Draft, ImportedAccount, Protection, Report, SendsAs, Server, shown};
use crate::config::presets::{Preset, Presets};
use crate::config::value;
use ostler_mail::account::endpoint::{Endpoint, LoginForm};
use ostler_mail::account::{Protocol, Security};

/// Servers for sending that are looked at for one account; an old program has one.
const MAX_SMTP_SERVERS: usize = 8;

/// A word for the company that a host or a mail domain belongs to: its preset, or else the domain that was registered,
/// guessed from the form of the name. Equal words are one company.
pub fn company(host: &str, presets: &Presets) -> String {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    if let Some(preset) = presets.by_host(&host).or_else(|| presets.by_domain(&host)) {
        return preset.id.clone();
    }
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<&str> = host.split('.').collect();
    // example.co.uk: a short part before a country.
    let take = match labels.as_slice() {
        [.., second, top] if top.len() == 2 && second.len() <= 3 => 3,
        _ => 2,
    };
    labels.get(labels.len().saturating_sub(take)..).unwrap_or_default().join(".")
}

/// The companies that the servers of a mail domain may be with: several of one owner share theirs.
pub fn companies(domain: &str, presets: &Presets) -> Vec<String> {
    let mut all = vec![company(domain, presets)];
    for server in presets.by_domain(domain).into_iter().flat_map(|preset| &preset.servers) {
        let word = company(&server.host, presets);
        if !server.host.contains('{') && !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

/// Files without addresses: all servers of a company are one account.
pub(super) fn by_company(drafts: Vec<Draft>, presets: &Presets) -> Vec<Draft> {
    let mut grouped: Vec<(String, Draft)> = Vec::new();
    for draft in drafts {
        let Some(server) = draft.servers.first() else { continue };
        let word = company(&server.host, presets);
        match grouped.iter_mut().find(|(known, _)| *known == word) {
            Some((_, first)) => {
                first.servers.extend(draft.servers);
                first.username = first.username.take().or(draft.username);
            }
            None => grouped.push((word, draft)),
        }
    }
    grouped.into_iter().map(|(_, draft)| draft).collect()
}

/// Where a server of the file leads today.
enum Successor {
    Preset(Arc<Preset>),
    SameServer(Vec<Endpoint>),
}

/// The account, if there is anything left of it.
pub(super) fn resolve(draft: Draft, presets: &Presets, report: &mut Report) -> Option<ImportedAccount> {
    let mut account = ImportedAccount {
        place: draft.place.clone(),
        address: draft.address.clone(),
        name: draft.name.clone(),
        ..ImportedAccount::default()
    };
    let address = draft.address.as_deref().unwrap_or_default();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let mut homes: Vec<String> = if domain.is_empty() { Vec::new() } else { companies(domain, presets) };

    let fetching = draft.servers.iter().find(|server| server.protocol == Protocol::Pop3);
    let imap = draft.servers.iter().find(|server| server.protocol == Protocol::Imap);
    let mut known = None;
    if let Some(server) = fetching.or(imap) {
        match find_successor(server, domain, presets, report) {
            Some(Successor::Preset(preset)) => {
                homes.push(company(&server.host, presets));
                account.provider = Some(preset.id.clone());
                known = Some(preset);
            }
            Some(Successor::SameServer(endpoints)) => {
                homes.push(company(&server.host, presets));
                match server.protocol {
                    Protocol::Pop3 => account.incoming = endpoints,
                    Protocol::Imap => {
                        account.imap = endpoints.into_iter().next();
                        report.left(
                            &server.place,
                            "it fetches by IMAP; this version of ostler fetches by POP3. Ask your provider for its POP3 server, and \
                             give it with --pop3 tls://HOST",
                        );
                    }
                    // Only servers for fetching come here.
                    Protocol::Smtp => {}
                }
            }
            None => {}
        }
    }
    if let (Some(server), Some(_), None) = (imap, fetching, &known)
        && let Some(Successor::SameServer(endpoints)) = find_successor(server, domain, presets, report)
    {
        account.imap = endpoints.into_iter().next();
    }
    let mut elsewhere = false;
    for server in draft.servers.iter().filter(|server| server.protocol == Protocol::Smtp).take(MAX_SMTP_SERVERS) {
        let word = company(&server.host, presets);
        let is_foreign = !homes.is_empty() && !homes.contains(&word);
        if is_foreign && draft.sends_as == SendsAs::Unknown && !is_this_computer(&server.host) {
            report.left(
                &server.place,
                format!(
                    "{} is another company's than the mailbox, and no user name for it is in the file. Give ostler your address \
                     there with --send-through ADDRESS, if you send through it",
                    shown(&server.host)
                ),
            );
            continue;
        }
        elsewhere |= is_foreign;
        account.companies.push(word);
        match (find_successor(server, domain, presets, report), &known) {
            (Some(Successor::Preset(preset)), Some(incoming)) if preset.id == incoming.id => {}
            (Some(Successor::Preset(preset)), None) if account.incoming.is_empty() => {
                account.provider = Some(preset.id.clone());
                known = Some(preset);
            }
            (Some(Successor::Preset(preset)), _) => account.outgoing.extend(preset.endpoints(Protocol::Smtp, domain)),
            (Some(Successor::SameServer(endpoints)), _) => account.outgoing.extend(endpoints),
            (None, _) => {}
        }
    }
    account.companies.extend(homes);
    account.gate = draft.gate && !account.incoming.is_empty();
    if account.gate {
        report.took(&draft.place, "mail is fetched before it is sent (POP before SMTP)");
    }
    sign_ins(&mut account, &draft, address, known.is_some(), elsewhere);
    let is_empty = account.provider.is_none() && account.incoming.is_empty() && account.outgoing.is_empty();
    (!is_empty || account.address.is_some()).then_some(account)
}

/// Under which names. One that is made from the address is kept as its form, so that one password serves both sides.
fn sign_ins(account: &mut ImportedAccount, draft: &Draft, address: &str, is_known: bool, elsewhere: bool) {
    let sending = match &draft.sends_as {
        SendsAs::Own(name) => Some(name),
        SendsAs::Same | SendsAs::Unknown => draft.username.as_ref(),
    };
    if let Some(name) = &draft.username {
        match form(name, address) {
            // What the provider is known to want today counts more than what an old program has.
            Some(form) => set(&mut account.incoming, &mut account.imap, &form),
            None => account.username = Some(name.clone()),
        }
    }
    let Some(name) = sending else { return };
    match form(name, address).filter(|_| !elsewhere || draft.sends_as == SendsAs::Same) {
        Some(form) if !is_known || !account.outgoing.is_empty() => set(&mut account.outgoing, &mut None, &form),
        Some(_) => {}
        None => account.smtp_username = Some(name.clone()),
    }
}

/// A preset's endpoints know their form.
fn set(endpoints: &mut [Endpoint], more: &mut Option<Endpoint>, form: &LoginForm) {
    for endpoint in endpoints.iter_mut().chain(more.as_mut()).filter(|e| e.login == LoginForm::Unknown) {
        endpoint.login = form.clone();
    }
}

fn form(name: &str, address: &str) -> Option<LoginForm> {
    let local = address.rsplit_once('@')?.0;
    if name.eq_ignore_ascii_case(address) {
        Some(LoginForm::Address)
    } else if name.eq_ignore_ascii_case(local) {
        Some(LoginForm::LocalPart)
    } else {
        None
    }
}

/// Where a server leads; says what was made of it, and why nothing.
fn find_successor(server: &Server, domain: &str, presets: &Presets, report: &mut Report) -> Option<Successor> {
    let Ok(host) = value::host(&server.host) else {
        report.left(&server.place, format!("\"{}\" is not the name of a server", shown(&server.host)));
        return None;
    };
    if server.protection == Protection::None && is_this_computer(&host) {
        report.left(
            &server.place,
            format!(
                "{host} is this computer itself: another helper program, such as stunnel, stands between. Import that one's \
                 settings, or add the account by its address"
            ),
        );
        return None;
    }
    // Of several presets with this server the one the address belongs to knows best what it wants.
    let own = presets.by_domain(domain).filter(|preset| preset.servers.iter().any(|server| server.host == host));
    if let Some(preset) = own.or_else(|| presets.by_host(&host)) {
        report.took(
            &server.place,
            format!("{host} belongs to {}; ostler knows its servers of today and uses those", preset.title),
        );
        return Some(Successor::Preset(Arc::clone(preset)));
    }
    let endpoints = ways(server, &host);
    let first = endpoints.first()?;
    let doing = match server.protocol {
        Protocol::Pop3 => "fetching from",
        Protocol::Smtp => "sending through",
        Protocol::Imap => "IMAP, kept for a later version, at",
    };
    let mut sentence = format!("{doing} {}", first.describe());
    if server.protection == Protection::None {
        let others: Vec<String> = endpoints.iter().skip(1).map(Endpoint::describe).collect();
        sentence = format!(
            "{host} was used without encryption; ostler tries the same server with it: {} (or {})",
            first.describe(),
            others.join(", or ")
        );
    }
    report.took(&server.place, sentence);
    Some(Successor::SameServer(endpoints))
}

/// The ways to a server, likeliest first; none in clear.
fn ways(server: &Server, host: &str) -> Vec<Endpoint> {
    let usual = |security| server.protocol.default_port(security);
    let port = server.port;
    let tls = (Security::Tls, port.unwrap_or(usual(Security::Tls)));
    let starttls = (Security::StartTls, port.unwrap_or(usual(Security::StartTls)));
    let pairs = match server.protection {
        Protection::Tls => vec![tls],
        Protection::StartTls => vec![starttls],
        Protection::Either if is_plain_port(port) => {
            // Outlook Express begins in clear on these ports and says STARTTLS.
            let mut pairs = vec![starttls];
            pairs.push((Security::Tls, usual(Security::Tls)));
            pairs.push((Security::StartTls, usual(Security::StartTls)));
            pairs
        }
        Protection::Either => vec![tls, starttls],
        Protection::None => {
            let mut pairs =
                vec![(Security::Tls, usual(Security::Tls)), (Security::StartTls, usual(Security::StartTls))];
            // Port 25 is for servers among themselves, and mostly shut to everybody else.
            pairs.extend(port.filter(|port| !is_plain_port(Some(*port))).map(|port| (Security::StartTls, port)));
            pairs
        }
    };
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (security, port) in pairs {
        let (protocol, host) = (server.protocol, host.to_owned());
        let endpoint = Endpoint { protocol, host, port, security, login: LoginForm::Unknown, ways: Vec::new() };
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

fn is_plain_port(port: Option<u16>) -> bool {
    matches!(port, Some(25 | 110 | 143 | 587))
}

fn is_this_computer(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.starts_with("localhost.") || host.ends_with(".localhost"),
    }
}
