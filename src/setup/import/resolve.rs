//! Turns what an old program was set to into servers that can be used today. If ostler knows the provider, its present
//! servers are taken; a server that was used without encryption is used with it; and a password goes to no other
//! company than the one it is for.

use std::net::IpAddr;
use std::sync::Arc;

use super::helper::{hosts_for_sending, is_helper};
use super::{Asked, Draft, ImportedAccount, Protection, Report, SendsAs, Server, senders, shown};
use crate::config::presets::{Preset, Presets};
use crate::config::value;
use crate::setup::{Proposal, flag_of};
use ostler_mail::account::endpoint::{Endpoint, LoginForm};
use ostler_mail::account::{Protocol, Security, is_this_computer};

/// Servers for sending read for one account; an old program has one.
const MAX_SMTP_SERVERS: usize = 8;

/// A word for the company that a host or a mail domain belongs to: the id of a preset, or else the registered domain,
/// guessed from the form of the name. Equal words mean the same company.
pub(crate) fn company(host: &str, presets: &Presets) -> String {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    if let Some(preset) = presets.by_host(&host).or_else(|| presets.by_domain(&host)) {
        return presets.company(preset).id.clone();
    }
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<&str> = host.split('.').collect();
    // As in example.co.uk: a short label before a country's.
    let take = match labels.as_slice() {
        [.., second, top] if top.len() == 2 && second.len() <= 3 => 3,
        _ => 2,
    };
    labels.get(labels.len().saturating_sub(take)..).unwrap_or_default().join(".")
}

/// The companies that may run the servers of a mail domain: its own, and those of its preset's servers, since companies
/// of one owner share servers.
pub(crate) fn companies(domain: &str, presets: &Presets) -> Vec<String> {
    let mut all = vec![company(domain, presets)];
    all.extend(presets.by_domain(domain).into_iter().flat_map(|preset| companies_of(preset, presets)));
    all.dedup();
    all
}

/// The companies that run the servers of a preset.
pub(crate) fn companies_of(preset: &Preset, presets: &Presets) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for server in preset.servers.iter().filter(|server| !server.host.contains('{')) {
        let word = company(&server.host, presets);
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

/// The company of a host as the owner of an address knows it, for a person.
fn company_title(host: &str, domain: &str, presets: &Presets) -> String {
    match presets.product(host, domain) {
        Some(preset) => preset.title.clone(),
        None => shown(&company(host, presets)),
    }
}

/// For files without addresses: makes one account of all servers of a company.
pub(super) fn group_by_company(drafts: Vec<Draft>, presets: &Presets) -> Vec<Draft> {
    let mut grouped: Vec<(String, Draft)> = Vec::new();
    for draft in drafts {
        let Some(server) = draft.servers.first() else { continue };
        let word = company(&server.host, presets);
        match grouped.iter_mut().find(|(known, _)| *known == word) {
            Some((_, first)) => {
                first.servers.extend(draft.servers);
                first.doors.extend(draft.doors);
                first.username = first.username.take().or(draft.username);
            }
            None => grouped.push((word, draft)),
        }
    }
    grouped.into_iter().map(|(_, draft)| draft).collect()
}

/// What takes the place of a server of the file.
enum Successor {
    /// The present servers of its provider.
    Preset(Arc<Preset>),
    /// The same server, with encryption.
    SameServer(Vec<Endpoint>),
}

/// Turns a draft into an account with servers that can be used today; `None` if nothing of it is left.
pub(super) fn resolve(
    draft: Draft,
    asked: &Asked<'_>,
    presets: &Presets,
    report: &mut Report,
) -> Option<ImportedAccount> {
    // A file without addresses is read for the one that the user has given.
    let address = draft.address.clone().or_else(|| asked.address.and_then(super::address)).unwrap_or_default();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let title = draft.servers.first().map(|server| company_title(&server.host, domain, presets));
    let account = ImportedAccount {
        places: draft.places(),
        title: draft.title.clone().or(title).unwrap_or_default(),
        address: draft.address.clone(),
        aliases: senders::aliases(&draft, report),
        doors: draft.doors.clone(),
        oauth2: draft.oauth2.clone(),
        registration: draft.registration.clone(),
        companies: draft.servers.iter().map(|server| company(&server.host, presets)).collect(),
        ..ImportedAccount::default()
    };
    let homes = if domain.is_empty() { Vec::new() } else { companies(domain, presets) };
    let mut resolver =
        Resolver { draft: &draft, domain, presets, report, account, homes, known: None, is_foreign: false };
    resolver.resolve_incoming();
    resolver.resolve_outgoing();
    resolver.propose_outgoing();
    resolver.report_helper(asked);
    let Resolver { mut account, homes, known, is_foreign, .. } = resolver;
    if draft.address.is_some() {
        account.companies.extend(homes);
    }
    account.proposal.gate |= draft.gate && !account.proposal.incoming.is_empty();
    if account.proposal.gate {
        report.took(&draft.place, "mail is fetched before it is sent (POP before SMTP)");
    }
    set_usernames(&mut account, &draft, &address, known.is_some(), is_foreign);
    let is_empty = account.proposal.provider.is_none() && account.proposal.is_empty();
    // Without an address, servers of a provider may still have to be filled in.
    let needs_address = draft.title.is_some() && asked.address.is_none();
    (!is_empty || account.address.is_some() || needs_address).then_some(account)
}

struct Resolver<'d> {
    draft: &'d Draft,
    /// The domain of the address; may be empty.
    domain: &'d str,
    presets: &'d Presets,
    report: &'d mut Report,
    account: ImportedAccount,
    /// The companies that the mailbox is with. A password for it must not go to any other.
    homes: Vec<String>,
    /// The preset of the mailbox.
    known: Option<Arc<Preset>>,
    /// Whether mail is sent through another company.
    is_foreign: bool,
}

impl Resolver<'_> {
    fn servers(&self, protocol: Protocol) -> Vec<Server> {
        self.draft.servers.iter().filter(|server| server.protocol == protocol).cloned().collect()
    }

    fn find(&mut self, server: &Server) -> Option<Successor> {
        find_successor(server, self.domain, self.presets, self.report)
    }

    fn take_preset(&mut self, server: &Server, preset: &Arc<Preset>) {
        self.report_preset(server, preset);
        self.homes.extend(companies_of(preset, self.presets));
        self.account.proposal.provider = Some(preset.id.clone());
        self.known = Some(Arc::clone(preset));
    }

    /// Reports a server whose provider has a preset: whether its present servers can be used.
    fn report_preset(&mut self, server: &Server, preset: &Preset) {
        let belongs = format!("{} belongs to {}", shown(&server.host), preset.title);
        let mut templates = preset.templates(server.protocol).peekable();
        if templates.peek().is_none() {
            let what = match server.protocol {
                Protocol::Pop3 | Protocol::Imap => {
                    format!("which has no {} server", server.protocol.name().to_uppercase())
                }
                Protocol::Smtp => "which has no server for sending".to_owned(),
            };
            self.report.left(&server.place, format!("{belongs}, {what} today"));
        } else if templates.all(Endpoint::takes_only_oauth2) {
            self.report.left(
                &server.place,
                format!(
                    "{belongs}, which lets mail programs in only with a sign-in in the web browser (OAuth2); \
                     `ostler add ADDRESS` does that"
                ),
            );
        } else if server.protocol == Protocol::Imap {
            self.report.took_server(server, format!("{belongs}; ostler uses its present IMAP server"));
        } else {
            self.report.took_server(server, format!("{belongs}; ostler knows its present servers and uses those"));
        }
    }

    /// Takes the first POP3 server that can be used, or the first IMAP server if there is no other. An account has one
    /// server for fetching, so the others are only reported.
    fn resolve_incoming(&mut self) {
        for server in [self.servers(Protocol::Pop3), self.servers(Protocol::Imap)].concat() {
            match self.find(&server) {
                Some(Successor::Preset(preset)) => self.another_or_own_preset(&server, &preset),
                Some(Successor::SameServer(endpoints)) => self.take_incoming(&server, endpoints),
                None => {}
            }
        }
    }

    /// A preset that the file's servers for fetching lead to: the first becomes the account's, unless there is a server
    /// already.
    fn another_or_own_preset(&mut self, server: &Server, preset: &Arc<Preset>) {
        let has_server = !self.account.proposal.has_no_incoming();
        match &self.known {
            Some(known) if known.id == preset.id => self.report_preset(server, preset),
            None if !has_server => self.take_preset(server, preset),
            Some(_) | None => {
                let why =
                    format!("{} belongs to {}; an account has one server for fetching", server.host, preset.title);
                self.report.left(&server.place, why);
            }
        }
    }

    fn take_incoming(&mut self, server: &Server, endpoints: Vec<Endpoint>) {
        let Proposal { incoming, imap, .. } = &mut self.account.proposal;
        let incoming = if server.protocol == Protocol::Imap { imap } else { incoming };
        if self.known.is_some()
            || !incoming.is_empty() && !self.draft.is_choice && incoming.first() != endpoints.first()
        {
            self.report.left(&server.place, second_server(&endpoints));
        } else if incoming.is_empty() || incoming.first() == endpoints.first() {
            self.homes.push(company(&server.host, self.presets));
            report_same_server(server, &endpoints, self.report);
            *incoming = endpoints;
        } else {
            self.report.left(&server.place, second_choice(incoming, &endpoints));
            incoming.extend(endpoints);
        }
    }

    fn resolve_outgoing(&mut self) {
        for (index, server) in self.servers(Protocol::Smtp).into_iter().enumerate() {
            if index == MAX_SMTP_SERVERS {
                self.report.left(&server.place, format!("it has more than {MAX_SMTP_SERVERS} servers for sending"));
                break;
            }
            if is_left_out(&server) {
                self.find(&server);
                continue;
            }
            let company = company(&server.host, self.presets);
            let is_foreign = !self.homes.is_empty() && !self.homes.contains(&company);
            // Without a user name for the other company, ostler would send it the mailbox's name and password.
            if is_foreign && self.draft.sends_as == SendsAs::Unknown && !is_helper(&server.host) {
                self.report.left(
                    &server.place,
                    format!(
                        "{} belongs to another company than the mailbox, and the file has no user name for it. If you send \
                         through it, give ostler your address there with --send-through ADDRESS",
                        shown(&server.host)
                    ),
                );
                continue;
            }
            self.resolve_sending(&server, is_foreign);
        }
    }

    /// Proposes servers for sending where the old program sent through a helper, so that the file does not have the
    /// provider's: the names that providers usually have beside their server for fetching.
    fn propose_outgoing(&mut self) {
        let Some(helper) = self.servers(Protocol::Smtp).into_iter().find(|server| is_helper(&server.host)) else {
            return;
        };
        let proposal = &self.account.proposal;
        if self.known.is_some() || !proposal.outgoing.is_empty() {
            return;
        }
        let Some(incoming) = proposal.incoming.first().or(proposal.imap.first()).map(|e| e.host.clone()) else {
            return;
        };
        if is_helper(&incoming) {
            return;
        }
        let at = |host| Server {
            protocol: Protocol::Smtp,
            host,
            port: None,
            protection: Protection::None,
            ..helper.clone()
        };
        let outgoing: Vec<Endpoint> = hosts_for_sending(&incoming, self.presets)
            .into_iter()
            .flat_map(|host| encrypted_endpoints(&at(host.clone()), &host))
            .collect();
        let all: Vec<String> = outgoing.iter().map(Endpoint::describe).collect();
        self.report.took_server(
            &helper,
            format!(
                "the file does not say where {incoming} takes mail for sending; ostler proposes {}. If your provider named \
                 another server, give that with --smtp",
                all.join(", or ")
            ),
        );
        self.account.proposal.outgoing = outgoing;
    }

    /// Reports a helper that stays in use. No public authority certifies it, so the user has to.
    fn report_helper(&mut self, asked: &Asked<'_>) {
        let Some(helper) = self.account.proposal.endpoints().find(|e| is_this_computer(&e.host)) else { return };
        let how = ". Name that with --ca FILE or --pin, or ostler cannot use the helper";
        self.report.took(
            &self.draft.place,
            format!(
                "{} is this computer: a helper such as Proton Mail Bridge or DavMail, with a certificate of its own{}",
                helper.host,
                if asked.has_own_certificate { "" } else { how }
            ),
        );
    }

    fn resolve_sending(&mut self, server: &Server, is_foreign: bool) {
        let has_server = !self.account.proposal.outgoing.is_empty();
        match (self.find(server), self.known.clone()) {
            // The preset of the mailbox has this server already.
            (Some(Successor::Preset(preset)), Some(known)) if preset.id == known.id => {
                self.report_preset(server, &preset);
            }
            (Some(Successor::Preset(preset)), None) if self.account.proposal.endpoints().next().is_none() => {
                self.is_foreign |= is_foreign;
                self.take_preset(server, &preset);
            }
            (Some(Successor::Preset(preset)), _) if !has_server => {
                self.is_foreign |= is_foreign;
                self.report_preset(server, &preset);
                self.account.proposal.outgoing = preset.endpoints(Protocol::Smtp, self.domain);
                self.account.proposal.outgoing.retain(|endpoint| !endpoint.takes_only_oauth2());
            }
            (Some(Successor::SameServer(endpoints)), _) if !has_server => {
                self.is_foreign |= is_foreign;
                report_same_server(server, &endpoints, self.report);
                self.account.proposal.outgoing = endpoints;
            }
            (Some(Successor::SameServer(endpoints)), _) => self.keep_behind(server, endpoints, is_foreign),
            (Some(Successor::Preset(preset)), _) => {
                let why = format!("{} belongs to {}; there is another server for sending", server.host, preset.title);
                self.report.left(&server.place, why);
            }
            (None, _) => {}
        }
    }

    /// Keeps a further server for sending behind the first, if the file says exactly how to reach it and the password is for
    /// its company.
    fn keep_behind(&mut self, server: &Server, endpoints: Vec<Endpoint>, is_foreign: bool) {
        let Proposal { outgoing, standby, .. } = &mut self.account.proposal;
        let Some(endpoint) = endpoints.first() else { return };
        if outgoing.contains(endpoint) || standby.contains(endpoint) {
            report_same_server(server, &endpoints, self.report);
            return;
        }
        let is_exact = !matches!(server.protection, Protection::None | Protection::Either);
        if self.draft.is_choice {
            self.report.left(&server.place, second_choice(outgoing, &endpoints));
            outgoing.extend(endpoints);
        } else if is_foreign != self.is_foreign {
            let why = format!("{} belongs to another company than the first server for sending", server.host);
            self.report.left(&server.place, why);
        } else if is_exact {
            self.report.took_server(
                server,
                format!("sending through {} if the server before it cannot be reached", endpoint.describe()),
            );
            standby.push(endpoint.clone());
        } else {
            self.report.left(&server.place, second_server(&endpoints));
        }
    }
}

/// Why a server is not used: the account has another.
fn second_server(endpoints: &[Endpoint]) -> String {
    let Some(endpoint) = endpoints.first() else { return String::new() };
    let doing = if endpoint.protocol.is_outgoing() { "sending" } else { "fetching" };
    format!(
        "{}: the account has another server for {doing}, which the file names first. To use this one instead, add {}",
        endpoint.describe(),
        flag_of(endpoint)
    )
}

/// When one of several ways to a mailbox is used.
fn second_choice(first: &[Endpoint], endpoints: &[Endpoint]) -> String {
    let described = |endpoints: &[Endpoint]| endpoints.first().map(Endpoint::describe).unwrap_or_default();
    format!("{} is tried only if {} cannot be used", described(endpoints), described(first))
}

/// Sets the user names. A name that is made from the address is kept as a form, so that fetching and sending share a
/// password.
fn set_usernames(account: &mut ImportedAccount, draft: &Draft, address: &str, is_known: bool, is_foreign: bool) {
    let sending = match &draft.sends_as {
        SendsAs::Own(name) => Some(name),
        SendsAs::Same | SendsAs::Unknown => draft.username.as_ref(),
    };
    if let Some(name) = &draft.username {
        match form(name, address) {
            // A preset's form, which is the present one, takes precedence over the old program's.
            Some(form) => {
                set_login_form(&mut account.proposal.incoming, &form);
                set_login_form(&mut account.proposal.imap, &form);
            }
            None => account.username = Some(name.clone()),
        }
    }
    let Some(name) = sending else { return };
    match form(name, address).filter(|_| !is_foreign || draft.sends_as == SendsAs::Same) {
        Some(form) if !is_known || !account.proposal.outgoing.is_empty() => {
            set_login_form(&mut account.proposal.outgoing, &form);
        }
        Some(_) => {}
        None => account.smtp_username = Some(name.clone()),
    }
}

/// Sets the form of the user name, except where a preset has set it.
fn set_login_form(endpoints: &mut [Endpoint], form: &LoginForm) {
    for endpoint in endpoints.iter_mut().filter(|e| e.login == LoginForm::Unknown) {
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

/// Finds the successor of a server; if there is none, reports why.
fn find_successor(server: &Server, domain: &str, presets: &Presets, report: &mut Report) -> Option<Successor> {
    let Ok(host) = value::host(&server.host) else {
        report.left(&server.place, format!("\"{}\" is not a host name", shown(&server.host)));
        return None;
    };
    if is_left_out(server) {
        report.left(&server.place, not_a_provider(server, &host));
        return None;
    }
    if let Some(preset) = presets.product(&host, domain) {
        return Some(Successor::Preset(Arc::clone(preset)));
    }
    Some(Successor::SameServer(encrypted_endpoints(server, &host)))
}

fn report_same_server(server: &Server, endpoints: &[Endpoint], report: &mut Report) {
    let Some(first) = endpoints.first() else { return };
    let doing = match server.protocol {
        Protocol::Pop3 => "fetching from",
        Protocol::Smtp => "sending through",
        Protocol::Imap => "reading by IMAP at",
    };
    let mut sentence = format!("{doing} {}", first.describe());
    if server.protection == Protection::None {
        let others: Vec<String> = endpoints.iter().skip(1).map(Endpoint::describe).collect();
        sentence = format!(
            "{} was used without encryption; ostler tries the same server with encryption: {} (or {})",
            first.host,
            first.describe(),
            others.join(", or ")
        );
    }
    report.took_server(server, sentence);
}

/// The endpoints to try for a server, the likeliest first; all with encryption.
fn encrypted_endpoints(server: &Server, host: &str) -> Vec<Endpoint> {
    let usual = |security| server.protocol.default_port(security);
    let port = server.port;
    let tls = (Security::Tls, port.unwrap_or(usual(Security::Tls)));
    let starttls = (Security::StartTls, port.unwrap_or(usual(Security::StartTls)));
    let pairs = match &server.protection {
        Protection::Known(endpoint) => return vec![endpoint.clone()],
        Protection::Tls => vec![tls],
        Protection::StartTls => vec![starttls],
        Protection::Either if is_plain_port(port) => {
            // On these ports Outlook Express uses STARTTLS.
            let mut pairs = vec![starttls];
            pairs.push((Security::Tls, usual(Security::Tls)));
            pairs.push((Security::StartTls, usual(Security::StartTls)));
            pairs
        }
        Protection::Either => vec![tls, starttls],
        Protection::None => {
            let mut pairs =
                vec![(Security::Tls, usual(Security::Tls)), (Security::StartTls, usual(Security::StartTls))];
            // Port 25 is for mail between servers, and providers mostly close it to users.
            pairs.extend(port.filter(|port| !is_plain_port(Some(*port))).map(|port| (Security::StartTls, port)));
            pairs
        }
    };
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (security, port) in pairs {
        let endpoint = Endpoint::new(server.protocol, host.to_owned(), port, security);
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

fn is_plain_port(port: Option<u16>) -> bool {
    matches!(port, Some(25 | 110 | 143 | 587))
}

/// Whether the server is a helper's that ostler takes the place of. One with TLS on this computer is one of today, which
/// the user needs still.
fn is_left_out(server: &Server) -> bool {
    is_helper(&server.host) && (server.protection == Protection::None || !is_this_computer(&server.host))
}

/// Why a helper's own server is not taken, and what to do.
fn not_a_provider(server: &Server, host: &str) -> String {
    if !is_this_computer(host) {
        return format!(
            "only a helper on this computer, such as a virus scanner, knew the name {host}; ostler goes to the provider itself"
        );
    }
    let endpoint = Endpoint::new(
        server.protocol,
        host.to_owned(),
        server.port.unwrap_or(server.protocol.default_port(Security::None)),
        Security::None,
    );
    format!(
        "{host} is this computer: a helper here, such as stunnel or a virus scanner, stood between the old program and the \
         provider. ostler goes to the provider itself. If the helper has a stunnel.conf or emailproxy.config, import that; \
         if you keep it, as one may keep DavMail, name it with {}",
        flag_of(&endpoint)
    )
}
