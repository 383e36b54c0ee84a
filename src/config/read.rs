//! Reads the file as a whole: its top tables, and the checks across accounts.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::accounts::{self, Draft};
use super::doors::{self, ParsedDoor};
use super::issuers;
use super::keys;
use super::toml_tree::{Item, Notes, Table};
use super::value;
use crate::config::presets::Presets;
use ostler_mail::account::{Access, Alias, Network, Protocol, Settings, Timeouts};

/// Reads the settings; `None` if a mistake keeps them from being complete.
pub(super) fn read_settings(tree: &DeTable<'_>, file: &Path, presets: &Presets, notes: &Notes) -> Option<Settings> {
    let root = Table::root(tree, &keys::ROOT, notes);
    let mut local = read_local(root.get("local").and_then(|item| item.table(&keys::LOCAL)).as_ref());
    let issuers = issuers::read(&root, file);
    let drafts = accounts::read_accounts(&root, file, presets, issuers.as_deref());
    let timeouts = read_timeouts(root.get("timeouts").and_then(|item| item.table(&keys::TIMEOUTS)).as_ref());
    check_names(&drafts);
    check_default(&drafts);
    for draft in &drafts {
        local.doors.extend(draft.doors.iter().cloned());
    }
    let page = local.page.as_ref().map(|page| page.door.address);
    doors::check(&local.doors, local.page.as_ref(), local.access, local.allow.as_deref());
    // Every check has run before the first `?`, so that the user sees all mistakes at once.
    Some(Settings {
        doors: doors::finish(local.doors, page),
        page,
        page_has_companion: local.page.is_some_and(|page| page.is_port()),
        access: local.access?,
        allow: local.allow?,
        proxies: local.proxies?,
        metrics: local.metrics?,
        notices: local.notices?,
        accounts: drafts.into_iter().map(|draft| draft.account.map(Arc::new)).collect::<Option<_>>()?,
        issuers: issuers?,
        timeouts,
    })
}

/// The table `[local]`.
struct Local<'a> {
    doors: Vec<ParsedDoor<'a>>,
    page: Option<ParsedDoor<'a>>,
    /// `None` if it is wrong, as for all that follow.
    access: Option<Access>,
    allow: Option<Vec<Network>>,
    proxies: Option<Vec<Network>>,
    metrics: Option<bool>,
    notices: Option<bool>,
}

fn read_local<'a>(table: Option<&Table<'a>>) -> Local<'a> {
    let get = |key: &str| table.and_then(|table| table.get(key));
    let mut doors = Vec::new();
    for (protocol, port) in [(Protocol::Pop3, 2110), (Protocol::Smtp, 2025), (Protocol::Imap, 2143)] {
        match get(protocol.name()) {
            Some(item) => doors.extend(doors::read(&item, protocol, None)),
            None => doors.extend(doors::on_port(port, protocol, None, None)),
        }
    }
    let proxies = get("proxies").map_or(Some(Vec::new()), |item| read_proxies(&item));
    let has_proxies = proxies.as_ref().is_none_or(|proxies| !proxies.is_empty());
    Local {
        doors,
        page: match get("page") {
            Some(item) => doors::page(&item, has_proxies),
            // 127.0.0.1 only: the companion on ::1 is left out. The protocol is a filler.
            None => doors::on_port(2080, Protocol::Pop3, None, None).into_iter().next(),
        },
        access: get("access").map_or(Some(Access::SameUser), |item| read_access(&item)),
        allow: get("allow").map_or(Some(Vec::new()), |item| read_allow(&item)),
        proxies,
        metrics: get("metrics").map_or(Some(false), |item| item.flag()),
        notices: get("notices").map_or(Some(true), |item| item.flag()),
    }
}

fn read_access(item: &Item<'_>) -> Option<Access> {
    let words = [Access::SameUser, Access::Password, Access::Anyone].map(|access| (access.name(), access));
    let access = item.word(&words)?;
    if access == Access::Anyone {
        item.warn("lets every program of every user on this computer read and send mail");
    }
    Some(access)
}

fn read_allow(item: &Item<'_>) -> Option<Vec<Network>> {
    read_networks(item, "a list of networks such as [\"192.168.56.0/24\"]", |item, network| {
        if network.prefix == 0 {
            item.warn("lets the whole internet connect to the doors");
        }
        Some(network)
    })
}

fn read_proxies(item: &Item<'_>) -> Option<Vec<Network>> {
    read_networks(item, "a list of addresses such as [\"10.0.0.5\"]", |item, network| {
        if network.prefix == 0 {
            return item.reject("is every machine there is; allowed are the addresses of your load balancers");
        }
        Some(network)
    })
}

fn read_networks(
    item: &Item<'_>,
    form: &str,
    check: impl Fn(&Item<'_>, Network) -> Option<Network>,
) -> Option<Vec<Network>> {
    let Some(list) = item.as_list() else { return item.reject_kind(form) };
    let network = |item: Item<'_>| check(&item, item.read(value::NETWORK, value::network)?);
    // Collected twice, because the inner `None` of one network must not keep the others from being read.
    list.into_iter().map(network).collect::<Vec<_>>().into_iter().collect()
}

fn read_timeouts(table: Option<&Table<'_>>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let set = |key: &str, slot: &mut Duration| {
        let item = table.and_then(|table| table.get(key));
        // A wrong limit has been reported, and such a file is not used. The default only fills the gap.
        if let Some(limit) = item.and_then(|item| item.read(TIME_LIMIT_FORMS, value::limit)) {
            *slot = limit;
        }
    };
    set("connect", &mut timeouts.connect);
    set("tls", &mut timeouts.tls);
    set("greeting", &mut timeouts.greeting);
    set("reply", &mut timeouts.reply);
    set("data", &mut timeouts.data);
    set("final", &mut timeouts.last);
    set("idle", &mut timeouts.idle);
    set("login", &mut timeouts.login);
    timeouts
}

const TIME_LIMIT_FORMS: &str =
    "10ms to 24h: a number and its unit (ms, s, m or h), such as \"500ms\", \"10s\", \"3m\" or \"1h\"";

/// The user name that a mail program gives must lead to one account, so two accounts cannot share a name. Two accounts
/// may share an address, with a warning: the first one sends for it.
fn check_names(drafts: &[Draft<'_>]) {
    let mut names: HashSet<String> = HashSet::new();
    let mut addresses: HashSet<&Alias> = HashSet::new();
    for draft in drafts {
        let name = draft.name.as_ref().map(|(name, place)| (name.to_ascii_lowercase(), place));
        match &name {
            Some((name, place)) if names.contains(name) => place.reject(NAME_TWICE),
            Some((name, place)) if addresses.contains(&Alias::Address(name.clone())) => place.reject(NAME_IS_ADDRESS),
            _ => check_addresses(draft, &names, &addresses),
        };
        names.extend(name.map(|(name, _)| name));
        addresses.extend(draft.addresses().map(|(address, _)| address));
    }
}

const NAME_TWICE: &str = "is the name of an account above; allowed are names that differ in more than letter case \
                          (an account without a name is called by its address)";
const NAME_IS_ADDRESS: &str = "is an address of an account above; allowed is a name that leads to one account only";
const ADDRESS_IS_NAME: &str = "is the name of an account above; allowed is an address that leads to one account only";

fn check_addresses(draft: &Draft<'_>, names: &HashSet<String>, addresses: &HashSet<&Alias>) -> Option<()> {
    for (address, place) in draft.addresses() {
        if matches!(address, Alias::Address(address) if names.contains(address)) {
            place.report(ADDRESS_IS_NAME);
        } else if addresses.contains(address) {
            place.warn("an account above has this address too; mail from it is sent by that account");
        }
    }
    None
}

fn check_default(drafts: &[Draft<'_>]) {
    for place in drafts.iter().filter_map(|draft| draft.is_default.as_ref()).skip(1) {
        place.report("an account above is the default already; allowed is only one");
    }
}
