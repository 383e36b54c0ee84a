//! Reads files of presets: `config/providers.toml`, which is compiled in, and the user's own `providers.toml`. Each
//! preset is a table `[provider.ID]`, with the fields of [`Preset`] as its keys. Looking presets up is in `presets.rs`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::{Confidence, Origin, Pop, Preset};
use crate::config::Mistakes;
use crate::config::keys;
use crate::config::server::read_port;
use crate::config::syntax;
use crate::config::toml_tree::{Item, Notes, Table};
use crate::config::value::{self, Why};
use ostler_mail::account::endpoint::{AuthMethod, Endpoint, LoginForm};
use ostler_mail::account::{Protocol, Security};

/// The version of the file format that this ostler reads.
const SCHEMA: u32 = 1;

/// More than anyone wants to type.
const MAX_ID_OCTETS: usize = 40;

/// No known provider keeps the gate open for longer than a day; most keep it open for 15 minutes.
const MAX_WINDOW_MINUTES: u32 = 24 * 60;

const ID: &str = "1 to 40 small letters, digits and hyphens";
const DOMAIN: &str = "a domain such as \"example.net\"";
const SUFFIX: &str = "the end of a domain with its dot, such as \".example.net\"";
const HOSTED: &str = "a domain such as \"example.net\", or \"*\" for every domain that no provider has";
const LEGACY: &str = "a host name; a part of it may be *, as in \"pop.*.example.net\"";
const HOST: &str = "a host name or an IP address, without port; {domain} in it stands for the address's domain";
const LOGIN: &str = "\"address\", \"local-part\", \"ask\", or a form with {local}, {domain} or {address} in it";
const WAY_FORMS: &str =
    "\"password\", \"app-password\", \"oauth2:ISSUER\", \"pop-before-smtp\" (outgoing only), \"bridge\" or \"none\"";
const SENTENCE: &str = "a sentence on one line";
const WINDOW: &str = "a number of minutes from 1 to 1440";

/// Reads the text of a file of presets. `file` is only named in messages.
pub(in crate::config) fn read_providers(text: &str, file: &Path, origin: Origin) -> Result<Vec<Preset>, Mistakes> {
    let notes = Notes::default();
    let (tree, errors) = DeTable::parse_recoverable(text);
    let presets = match syntax::report(text, &errors, &notes) {
        syntax::Damage::None => presets(tree.get_ref(), &notes, origin),
        _ => None,
    };
    let (mistakes, _) = notes.into_remarks(text, &Arc::from(file));
    match presets {
        Some(presets) if mistakes.is_empty() => Ok(presets),
        _ => Err(Mistakes(mistakes)),
    }
}

fn presets(tree: &DeTable<'_>, notes: &Notes, origin: Origin) -> Option<Vec<Preset>> {
    let root = Table::root(tree, &keys::PROVIDERS, notes);
    match root.get("schema") {
        Some(item) if item.as_number() == Some(Some(SCHEMA)) => {}
        Some(item) => item.report("is a file format that this version does not read; allowed is 1"),
        None => root.reject_missing::<()>("schema", "is missing; allowed is schema = 1 at the top").unwrap_or_default(),
    }
    let Some(providers) = root.get("provider") else {
        return Some(Vec::new());
    };
    let Some(entries) = providers.entries() else {
        return providers.reject_kind("a table [provider.ID] for each provider");
    };
    let mut domains = HashSet::new();
    let presets = entries.into_iter().map(|(id, item)| preset(id, &item, origin, &mut domains));
    presets.collect::<Vec<_>>().into_iter().collect()
}

fn preset(id: &str, item: &Item<'_>, origin: Origin, taken: &mut HashSet<String>) -> Option<Preset> {
    if !is_id(id) {
        return item.reject(&format!("has a name that is not allowed; allowed is {ID}"));
    }
    let table = item.table(&keys::PROVIDER)?;
    let domains = domains(&table, taken);
    let login = table.get("login").map_or(Some(LoginForm::Address), |item| login(&item));
    let auth_methods = table.get("auth").map_or(Some(vec![AuthMethod::Password]), |item| auth_methods(&item));
    let common = Common {
        // Stand-ins for wrong values, so that the servers are read too and their mistakes reported; the preset is
        // dropped below.
        login: login.clone().unwrap_or(LoginForm::Unknown),
        auth_methods: auth_methods.clone().unwrap_or_default(),
    };
    let servers: Option<Vec<_>> =
        Protocol::ALL.map(|protocol| servers(&table, protocol, &common)).into_iter().collect();
    let pop = words(&table, "pop", &[Pop::Yes, Pop::No, Pop::Paid, Pop::Unclear].map(|p| (p.name(), p)));
    let levels = [Confidence::Low, Confidence::Medium, Confidence::High].map(|c| (c.name(), c));
    let confidence = words(&table, "confidence", &levels);
    let window = table.get("window").map(|item| window(&item));
    let checked = table.get("checked").map(|item| item.as_date().or_else(|| item.reject_kind("a date: 2026-11-20")));
    let [title, enable, app_password, closed, note] =
        ["name", "enable", "app_password", "closed", "note"].map(|key| sentence(&table, key));
    let fetching_counts = words(&table, "fetching", &[("counts", true)]);
    let sends_elsewhere = words(&table, "sending", &[("elsewhere", true)]);
    let domain_suffixes = list(&table, "domain_suffixes", SUFFIX, suffix);
    let mx = list(&table, "mx", DOMAIN, domain);
    let legacy_hosts = list(&table, "legacy_hosts", LEGACY, legacy);
    let hosted = list(&table, "hosted", HOSTED, hosted);
    let run_by = table.get("run_by").map(|item| item.read(ID, id_of_another));
    let source = list(&table, "source", SENTENCE, one_line);
    // All keys are read before the first `?`, so that every mistake is reported.
    let preset = Preset {
        id: id.to_owned(),
        title: title?.unwrap_or_else(|| id.to_owned()),
        domains: domains?,
        domain_suffixes: domain_suffixes?,
        mx: mx?,
        legacy_hosts: legacy_hosts?,
        hosted: hosted?,
        run_by: run_by.map_or(Some(None), |id| id.map(Some))?,
        servers: servers?.into_iter().flatten().collect(),
        login: login?,
        auth_methods: auth_methods?,
        enable: enable?,
        app_password: app_password?,
        window: window.map_or(Some(None), |window| window.map(Some))?,
        pop: pop?.unwrap_or(Pop::Yes),
        fetching_counts: fetching_counts?.unwrap_or(false),
        sends_elsewhere: sends_elsewhere?.unwrap_or(false),
        closed: closed?,
        note: note?,
        source: source?,
        checked: checked.map_or(Some(None), |checked| checked.map(Some))?,
        confidence: confidence?.unwrap_or(Confidence::High),
        origin,
    };
    check_combinations(&preset, &table);
    Some(preset)
}

/// Reads the domains of addresses, of which each is in the file once.
fn domains(table: &Table<'_>, taken: &mut HashSet<String>) -> Option<Vec<String>> {
    let domains = list(table, "domains", DOMAIN, domain);
    for place in table.get("domains").and_then(|item| item.as_list()).unwrap_or_default() {
        let name = place.as_text().and_then(|text| domain(text).ok());
        if name.is_some_and(|name| !taken.insert(name)) {
            place.report("is in this file already; allowed is each domain only once");
        }
    }
    domains
}

/// Reports keys that contradict each other.
fn check_combinations(preset: &Preset, table: &Table<'_>) {
    let has = |protocol| preset.templates(protocol).next().is_some();
    if !preset.is_usable() && preset.closed.is_none() {
        table.item().report_absence(
            "has no server; allowed is at least one of pop3, smtp and imap, or closed = \"why no mail program can use it\"",
        );
    }
    if let Some(item) = table.get("closed").filter(|_| preset.is_usable()) {
        item.report("cannot be together with servers; allowed is either closed, or pop3, smtp and imap");
    }
    if let Some(item) = table.get("sending").filter(|_| has(Protocol::Smtp)) {
        item.report("cannot be together with smtp; allowed is either of them");
    }
    let waits = preset.templates(Protocol::Smtp).any(|server| server.auth_methods.contains(&AuthMethod::PopBeforeSmtp));
    if waits && !has(Protocol::Pop3) {
        table.item().report_absence("has pop-before-smtp but no server for the POP login; allowed together with pop3");
    }
}

/// What a server takes from its preset if it does not have its own.
struct Common {
    login: LoginForm,
    auth_methods: Vec<AuthMethod>,
}

fn servers(table: &Table<'_>, protocol: Protocol, common: &Common) -> Option<Vec<Endpoint>> {
    let Some(item) = table.get(protocol.name()) else {
        return Some(Vec::new());
    };
    let Some(list) = item.as_list() else {
        return item.reject_kind("a list of servers such as [{ host = \"mail.example.net\", security = \"tls\" }]");
    };
    let read = |item: &Item<'_>| server(&item.table(&keys::ENDPOINT)?, protocol, common);
    // Collected twice, so that a wrong server does not hide mistakes in the next; the same below.
    list.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn server(table: &Table<'_>, protocol: Protocol, common: &Common) -> Option<Endpoint> {
    let host = match table.get("host") {
        Some(item) => item.read(HOST, host),
        None => table.reject_missing("host", &format!("is missing; allowed is {HOST}")),
    };
    let security = table.get("security").map_or(Some(Security::Tls), |item| security(&item));
    let port = match table.get("port") {
        Some(item) => read_port(&item),
        None => security.map(|security| protocol.default_port(security)),
    };
    let login = table.get("login").map_or_else(|| Some(common.login.clone()), |item| login(&item));
    let auth_methods = match table.get("auth") {
        Some(item) => auth_methods(&item).inspect(|auth_methods| {
            if auth_methods.contains(&AuthMethod::PopBeforeSmtp) && !protocol.is_outgoing() {
                item.report("has pop-before-smtp, which is for outgoing servers; allowed only in smtp");
            }
        }),
        None => {
            // The preset's `auth` is for all its servers, but POP-before-SMTP makes sense for sending only.
            let fits = |way: &&AuthMethod| **way != AuthMethod::PopBeforeSmtp || protocol.is_outgoing();
            Some(common.auth_methods.iter().filter(fits).cloned().collect())
        }
    };
    Some(Endpoint {
        protocol,
        host: host?,
        port: port?,
        security: security?,
        login: login?,
        auth_methods: auth_methods?,
    })
}

fn security(item: &Item<'_>) -> Option<Security> {
    if item.as_text() == Some("none") {
        return item.reject("lets anyone along the way read mail and password; allowed is \"tls\", \"starttls\"");
    }
    item.word(&[Security::Tls, Security::StartTls].map(|security| (security.name(), security)))
}

fn login(item: &Item<'_>) -> Option<LoginForm> {
    item.read(LOGIN, |text| match text {
        "address" => Ok(LoginForm::Address),
        "local-part" => Ok(LoginForm::LocalPart),
        "ask" => Ok(LoginForm::Unknown),
        _ => {
            let rest = text.replace("{local}", "x").replace("{domain}", "x").replace("{address}", "x");
            // A misspelt placeholder would go to the provider as it stands.
            if rest == text || rest.contains(['{', '}']) {
                return Err("is not a form of user names");
            }
            value::username(text).map(LoginForm::Template)
        }
    })
}

fn auth_methods(item: &Item<'_>) -> Option<Vec<AuthMethod>> {
    let Some(list) = item.as_list() else {
        return item.reject_kind(&format!("a list, best first, of {WAY_FORMS}"));
    };
    if list.is_empty() {
        return item.reject(&format!("is an empty list; allowed is one or more of {WAY_FORMS}"));
    }
    list.iter().map(|item| item.read(WAY_FORMS, way)).collect::<Vec<_>>().into_iter().collect()
}

fn way(text: &str) -> Result<AuthMethod, Why> {
    match text {
        "password" => Ok(AuthMethod::Password),
        "app-password" => Ok(AuthMethod::AppPassword),
        "oauth2" => Ok(AuthMethod::OAuth2(String::new())),
        "pop-before-smtp" => Ok(AuthMethod::PopBeforeSmtp),
        "bridge" => Ok(AuthMethod::Bridge),
        "none" => Ok(AuthMethod::None),
        _ => match text.strip_prefix("oauth2:") {
            Some(issuer) if issuer.split('.').all(is_id) => Ok(AuthMethod::OAuth2(issuer.to_owned())),
            _ => Err("is not a known way to sign in"),
        },
    }
}

fn window(item: &Item<'_>) -> Option<Duration> {
    match item.as_number() {
        Some(Some(minutes @ 1..=MAX_WINDOW_MINUTES)) => Some(Duration::from_secs(u64::from(minutes) * 60)),
        Some(_) => item.reject(&format!("is out of range; allowed is {WINDOW}")),
        None => item.reject_kind(WINDOW),
    }
}

/// Reads one of `words`; `Some(None)` if the key is left out, `None` if it is wrong.
#[allow(clippy::option_option, reason = "left out and wrong are two things")]
fn words<T: Copy>(table: &Table<'_>, key: &str, words: &[(&str, T)]) -> Option<Option<T>> {
    table.get(key).map_or(Some(None), |item| item.word(words).map(Some))
}

/// Reads a sentence; `Some(None)` if the key is left out or empty, `None` if it is wrong.
#[allow(clippy::option_option, reason = "left out and wrong are two things")]
fn sentence(table: &Table<'_>, key: &str) -> Option<Option<String>> {
    let text = table.get(key).map_or(Some(String::new()), |item| item.read(SENTENCE, one_line))?;
    Some(Some(text).filter(|text| !text.is_empty()))
}

fn list(
    table: &Table<'_>,
    key: &str,
    allowed: &str,
    read: impl Fn(&str) -> Result<String, Why>,
) -> Option<Vec<String>> {
    let Some(item) = table.get(key) else {
        return Some(Vec::new());
    };
    let Some(list) = item.as_list() else {
        return item.reject_kind(&format!("a list; in it, {allowed}"));
    };
    list.iter().map(|item| item.read(allowed, &read)).collect::<Vec<_>>().into_iter().collect()
}

fn one_line(text: &str) -> Result<String, Why> {
    if text.contains(char::is_control) { Err("contains a control character") } else { Ok(text.trim().to_owned()) }
}

fn is_id(text: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= MAX_ID_OCTETS && text.bytes().all(is_fit)
}

fn id_of_another(text: &str) -> Result<String, Why> {
    if is_id(text) { Ok(text.to_owned()) } else { Err("is not the ID of a provider") }
}

fn hosted(text: &str) -> Result<String, Why> {
    if text == "*" { Ok(text.to_owned()) } else { domain(text) }
}

fn domain(text: &str) -> Result<String, Why> {
    let name = value::host(text)?;
    if name.parse::<std::net::IpAddr>().is_ok() { Err("is an IP address") } else { Ok(name) }
}

fn suffix(text: &str) -> Result<String, Why> {
    let rest = text.strip_prefix('.').ok_or("does not begin with a dot")?;
    domain(rest).map(|name| format!(".{name}"))
}

fn legacy(text: &str) -> Result<String, Why> {
    let is_whole = text.split('.').all(|label| label == "*" || !label.contains('*'));
    if !is_whole || text.split('.').all(|label| label == "*") {
        return Err("has a * that is not a whole part between dots, or consists of nothing else");
    }
    domain(&text.replace('*', "x")).map(|_| text.to_ascii_lowercase())
}

fn host(text: &str) -> Result<String, Why> {
    let filled = value::host(&text.replace("{domain}", "example.net"))?;
    if text.contains("{domain}") { Ok(text.to_ascii_lowercase()) } else { Ok(filled) }
}

#[cfg(test)]
mod tests;
