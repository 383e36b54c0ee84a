//! Reads `[[account]]`: addresses, doors, and which servers there are. Each server is read in `server.rs`.

use std::path::Path;
use std::sync::Arc;

use super::apply_preset::AccountPreset;
use super::doors::{self, ParsedDoor};
use super::issuers;
use super::keys;
use super::maildrop::{self, MaildropTable};
use super::server::{self, OwnPop3, SecretReader, SignInDefaults};
use super::toml_tree::{Item, Table};
use super::value;
use crate::config::presets::Presets;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::mend::Repair;
use ostler_mail::account::{Account, Alias, DEFAULT_IMAP_CONNECTIONS, Folder, Protocol, SecretSource, Server, SignIn};
use ostler_mail::readable::Readable;

/// An account as far as it could be read, with the items that are compared across accounts.
pub(super) struct Draft<'a> {
    pub(super) name: Option<(String, Item<'a>)>,
    address: Option<(Alias, Item<'a>)>,
    aliases: Vec<(Alias, Item<'a>)>,
    /// The item `default = true`.
    pub(super) is_default: Option<Item<'a>>,
    pub(super) doors: Vec<ParsedDoor<'a>>,
    /// `None` if a mistake was reported.
    pub(super) account: Option<Account>,
}

impl<'a> Draft<'a> {
    /// The address and the aliases.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &(Alias, Item<'a>)> {
        self.address.iter().chain(&self.aliases)
    }
}

/// Reads all accounts, in the order of the file.
/// `issuers` are those of the file; `None` if one of them is wrong.
pub(super) fn read_accounts<'a>(
    root: &Table<'a>,
    file: &Path,
    presets: &Presets,
    issuers: Option<&[Arc<Issuer>]>,
) -> Vec<Draft<'a>> {
    let Some(item) = root.get("account") else {
        return Vec::new();
    };
    match item.as_list() {
        Some(list) => {
            let read = |item: &Item<'a>| Some(read_account(&item.table(&keys::ACCOUNT)?, file, presets, issuers));
            list.iter().filter_map(read).collect()
        }
        None => item.reject("is not a list; write [[account]] in double brackets for each account").unwrap_or_default(),
    }
}

fn read_account<'a>(table: &Table<'a>, file: &Path, presets: &Presets, issuers: Option<&[Arc<Issuer>]>) -> Draft<'a> {
    let address = read_address(table);
    let preset = AccountPreset::find(table, presets, address.as_ref().map(|(address, _)| address.as_str()));
    let name = match table.get("name") {
        Some(item) => item.read(value::NAME, value::name).map(|name| (name, item)),
        None => address.clone(),
    };
    let aliases = read_aliases(table);
    let default = table.get("default").and_then(|item| Some((item.flag()?, item)));
    let is_default = default.and_then(|(is_default, item)| is_default.then_some(item));
    let doors = read_own_doors(table, name.as_ref().map_or("", |(name, _)| name), &preset);
    let servers = Servers::read(table, file, address.as_ref().map_or("", |(address, _)| address), &preset);
    let offer_auth = read_offer_auth(table, &doors);
    let read_ahead = table.get("read_ahead").map_or(Some(true), |item| item.flag());
    let fetching_counts =
        preset.fetching_counts() || servers.pop3.as_ref().is_some_and(|server| presets.fetching_counts(&server.host));
    let readable = table.get("readable").map_or(Some(None), |item| read_readable(&item));
    let mend = table.get("mend").map_or_else(|| Some(Repair::USUAL.to_vec()), |item| read_mend(&item));
    let local_password = table.get("local_password").map(|item| SecretReader { file }.read_local(&item));
    let oauth2 = read_oauth2(table, &preset, issuers);
    // A closure, so that `?` gives up the account alone: its name, addresses and doors are compared with the others'
    // all the same.
    let account = || {
        Some(Account {
            name: name.as_ref()?.0.clone(),
            address: address.as_ref()?.0.clone(),
            aliases: aliases.iter().map(|(alias, _)| alias.clone()).collect(),
            provider: preset.name(),
            is_default: is_default.is_some(),
            offer_auth: offer_auth?,
            read_ahead: read_ahead? && !fetching_counts,
            // The outer `None` is a key left out, the inner one a mistake.
            local_password: local_password.map_or(Some(None), |secret: Option<SecretSource>| secret.map(Some))?,
            readable: readable?,
            mend: mend.clone()?,
            // What a preset says of tokens matters only where a server takes them.
            oauth2: oauth2?.filter(|_| table.get("oauth2").is_some() || servers.take_tokens()),
            pop3: servers.pop3.clone(),
            folder: servers.folder.clone()?,
            smtp: servers.smtp.clone(),
            imap: servers.imap.clone(),
            imap_connections: servers.imap_connections?,
        })
    };
    let account = account();
    let address = address.map(|(address, item)| (Alias::Address(address.to_ascii_lowercase()), item));
    Draft { name, address, aliases, is_default, doors, account }
}

fn read_address<'a>(table: &Table<'a>) -> Option<(String, Item<'a>)> {
    match table.get("address") {
        Some(item) => Some((item.read(value::ADDRESS, value::address)?, item)),
        None => table.reject_missing("address", &format!("is missing; allowed is {}", value::ADDRESS)),
    }
}

fn read_aliases<'a>(table: &Table<'a>) -> Vec<(Alias, Item<'a>)> {
    let Some(item) = table.get("aliases") else {
        return Vec::new();
    };
    match item.as_list() {
        Some(list) => {
            list.into_iter().filter_map(|item| Some((item.read(value::ALIAS, value::alias)?, item))).collect()
        }
        None => item.reject_kind("a list of mail addresses; \"*@example.net\" is a whole domain").unwrap_or_default(),
    }
}

fn read_own_doors<'a>(table: &Table<'a>, name: &str, preset: &AccountPreset<'_>) -> Vec<ParsedDoor<'a>> {
    let Some(doors) = table.get("doors").and_then(|item| item.table(&keys::DOORS)) else {
        return Vec::new();
    };
    let of = |protocol: Protocol| {
        let item = doors.get(protocol.name())?;
        // A door that is switched off may lead nowhere.
        let has = |protocol| has_server(table, preset, protocol);
        let is_served = has(protocol) || (protocol == Protocol::Pop3 && has(Protocol::Imap));
        if item.as_flag() != Some(false) && !is_served {
            item.warn("leads nowhere, because the account has no server of this kind");
        }
        Some(doors::read(&item, protocol, Some(name)))
    };
    Protocol::ALL.into_iter().filter_map(of).flatten().collect()
}

/// What the mail program can read. The inner `None`: mail is passed on as it is.
fn read_readable(item: &Item<'_>) -> Option<Option<Readable>> {
    let words = keys::settings::READABLE.map(|choice| format!("\"{}\"", choice.word));
    item.read(&words.join(", "), |text| match text {
        keys::settings::OFF => Ok(None),
        name => Readable::find(name).map(Some).ok_or("is neither a mail program nor a charset that ostler knows"),
    })
}

fn read_mend(item: &Item<'_>) -> Option<Vec<Repair>> {
    let words = Repair::ALL.map(|repair| (repair.name(), repair));
    let Some(list) = item.as_list() else {
        let words = words.map(|(word, _)| format!("\"{word}\""));
        return item.reject_kind(&format!("a list of {}", words.join(", ")));
    };
    // Collected twice, because the inner `None` of one word must not keep the others from being read.
    list.into_iter().map(|item| item.word(&words)).collect::<Vec<_>>().into_iter().collect()
}

/// Whether AUTH is offered. A door that all accounts share cannot offer it for one of them only.
fn read_offer_auth(table: &Table<'_>, doors: &[ParsedDoor<'_>]) -> Option<bool> {
    let Some(item) = table.get("offer_auth") else {
        return Some(true);
    };
    let offer = item.flag()?;
    if !doors.iter().any(|parsed| parsed.door.protocol == Protocol::Smtp) {
        item.report_absence("needs an smtp door of the account's own; allowed together with doors = { smtp = .. }");
    }
    Some(offer)
}

/// Whose tokens the account's servers want. The outer `None`: a mistake, which has been reported.
fn read_oauth2(
    table: &Table<'_>,
    preset: &AccountPreset<'_>,
    issuers: Option<&[Arc<Issuer>]>,
) -> Option<Option<Arc<Issuer>>> {
    let Some(item) = table.get("oauth2") else {
        let of_preset = preset.issuer().and_then(|name| issuers::find_among(issuers.unwrap_or_default(), name));
        return Some(of_preset);
    };
    let name = item.read("the name of a company, such as \"microsoft\"", |text| Ok(text.to_owned()))?;
    // Where a table is wrong, it may be the one that is meant.
    let Some(issuers) = issuers else { return Some(None) };
    match issuers::find_among(issuers, &name) {
        Some(found) => Some(Some(found)),
        None => {
            let of_file = issuers.iter().map(|issuer| issuer.name.as_str());
            let known: Vec<&str> = issuers::known_names().chain(of_file).collect();
            let meant =
                keys::nearest(known.iter().copied(), &name).map(|(meant, _)| format!("; did you mean {meant}?"));
            item.reject(&format!(
                "is no company that ostler knows{}; allowed are {}, and the names of tables [oauth2.NAME]",
                meant.unwrap_or_default(),
                known.join(", ")
            ))
        }
    }
}

struct Servers {
    pop3: Option<Server>,
    /// `None` if it has mistakes.
    folder: Option<Folder>,
    smtp: Vec<Server>,
    imap: Option<Server>,
    /// `None` if a mistake was reported.
    imap_connections: Option<usize>,
}

impl Servers {
    fn take_tokens(&self) -> bool {
        let mut all = self.pop3.iter().chain(&self.smtp).chain(&self.imap);
        all.any(|server| matches!(server.sign_in, SignIn::OAuth2(_)))
    }

    fn read(table: &Table<'_>, file: &Path, address: &str, preset: &AccountPreset<'_>) -> Self {
        let secrets = SecretReader { file };
        let secret = table.get("password").and_then(|item| secrets.read(&item));
        let defaults = SignInDefaults {
            username: table.get("username").and_then(|item| item.read(value::USERNAME, value::username)),
            address,
            secret: secret.unwrap_or(SecretSource::Keyring),
            charset: server::read_password_charset(table).unwrap_or_default(),
            secrets,
            preset,
        };
        let imap = read_single_server(table, Protocol::Imap, &defaults);
        let maildrop = read_maildrop(table, &defaults);
        let smtp = read_sending(table, &maildrop, &defaults);
        if !Protocol::ALL.into_iter().any(|protocol| has_server(table, preset, protocol)) && !preset.has_failed() {
            let message = "has no server; allowed is at least one of [account.pop3], [account.smtp] and [account.imap]";
            table.item().report_absence(message);
        }
        preset.warn_of_doubts(table.get("smtp").is_some());
        let (pop3, folder) = match maildrop {
            MaildropTable::Pop3(server) => (server, Some(Folder::default())),
            MaildropTable::Imap(folder) => (None, folder),
        };
        Self { pop3, folder, smtp, imap, imap_connections: read_connections(table) }
    }
}

/// Whether the account has a server of this protocol, its own or the preset's.
fn has_server(table: &Table<'_>, preset: &AccountPreset<'_>, protocol: Protocol) -> bool {
    table.get(protocol.name()).is_some() || preset.has(protocol)
}

/// The server of a protocol of which an account has one.
fn read_single_server(table: &Table<'_>, protocol: Protocol, defaults: &SignInDefaults<'_>) -> Option<Server> {
    let Some(item) = table.get(protocol.name()) else {
        // The best one: only a send goes on to the next server when one cannot be reached.
        return server::server_from_preset(defaults.preset.servers(protocol).first()?, defaults, None);
    };
    if item.as_list().is_some() {
        return item.reject("is a list; allowed is one table, in single brackets");
    }
    let keys = if protocol == Protocol::Imap { &keys::IMAP } else { &keys::POP3 };
    server::read_server(&item.table(keys)?, protocol, defaults)
}

/// Where POP3 clients fetch.
fn read_maildrop(table: &Table<'_>, defaults: &SignInDefaults<'_>) -> MaildropTable {
    let own = table.get("pop3").filter(|item| item.as_list().is_none()).map(|item| item.table(&keys::POP3));
    match own {
        None => MaildropTable::Pop3(read_single_server(table, Protocol::Pop3, defaults)),
        Some(None) => MaildropTable::Pop3(None),
        Some(Some(own)) => maildrop::read(&own, has_server(table, defaults.preset, Protocol::Imap), defaults),
    }
}

/// The servers for sending.
fn read_sending(table: &Table<'_>, maildrop: &MaildropTable, defaults: &SignInDefaults<'_>) -> Vec<Server> {
    let pop3 = match maildrop {
        MaildropTable::Pop3(Some(server)) => OwnPop3::Is(server),
        MaildropTable::Pop3(None) if table.get("pop3").is_some() => OwnPop3::Wrong,
        MaildropTable::Pop3(None) | MaildropTable::Imap(_) => OwnPop3::None,
    };
    if let Some(item) = table.get("smtp") {
        return read_smtp_servers(&item, defaults, pop3);
    }
    let login = if let OwnPop3::Is(server) = pop3 { Some(server) } else { None };
    let servers = defaults.preset.servers(Protocol::Smtp);
    servers.iter().filter_map(|server| server::server_from_preset(server, defaults, login)).collect()
}

/// `connections` of `[account.imap]`.
fn read_connections(account: &Table<'_>) -> Option<usize> {
    let item = account.get("imap").and_then(|imap| imap.get("connections"));
    item.map_or(Some(DEFAULT_IMAP_CONNECTIONS), |item| server::read_connections(&item))
}

fn read_smtp_servers(item: &Item<'_>, defaults: &SignInDefaults<'_>, pop3: OwnPop3<'_>) -> Vec<Server> {
    let read = |item: &Item<'_>| server::read_smtp_server(&item.table(&keys::SMTP)?, defaults, pop3);
    match item.as_list() {
        Some(list) if list.is_empty() => {
            item.reject("is an empty list; allowed is one table or more").unwrap_or_default()
        }
        Some(list) => list.iter().filter_map(read).collect(),
        None if item.is_table() => read(item).into_iter().collect(),
        None => item.reject_kind("a table [account.smtp], or several [[account.smtp]]").unwrap_or_default(),
    }
}
