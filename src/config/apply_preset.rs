//! What an account takes from the preset it names: a server for which it has no table, and the keys that its tables
//! leave out. What presets are and how their file is read is in `presets.rs`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::keys;
use super::toml_tree::{Item, Table};
use super::value;
use crate::config::presets::{Confidence, Preset, Presets};
use ostler_mail::account::endpoint::{AuthMethod, Endpoint};
use ostler_mail::account::{Protocol, Security};

const LISTED: &str = "allowed are the names that `ostler providers` lists";

/// The preset of an account, if the account names one.
pub(super) struct AccountPreset<'a> {
    /// The name as the account has it, and its place.
    named: Option<(String, Item<'a>)>,
    preset: Option<Arc<Preset>>,
    /// The domain of the account's address.
    domain: String,
    /// The preset is wrong, and that was reported. Keys it should have filled are then not reported as missing.
    has_failed: bool,
    /// Whether the account depends on the preset for fetching or sending.
    is_used: Cell<bool>,
}

impl<'a> AccountPreset<'a> {
    /// Looks up the preset that an account names.
    pub(super) fn find(table: &Table<'a>, presets: &Presets, address: Option<&str>) -> Self {
        let item = table.get("provider");
        let named =
            item.as_ref().and_then(|item| Some((item.read("the name of a preset", value::name)?, item.clone())));
        let preset = named.as_ref().and_then(|(id, _)| presets.by_id(id)).cloned();
        let domain = address.and_then(|address| address.rsplit_once('@')).map_or("", |(_, domain)| domain);
        let mut found = Self {
            has_failed: item.is_some() && named.is_none(),
            named,
            preset,
            domain: domain.to_owned(),
            is_used: Cell::new(false),
        };
        found.report_unknown_preset(table, presets);
        found
    }

    /// Only a warning if the account has all its servers itself: a newer version may have dropped the preset.
    fn report_unknown_preset(&mut self, table: &Table<'_>, presets: &Presets) {
        let Some((id, place)) = &self.named else { return };
        match &self.preset {
            None if is_complete(table) => {
                place.warn(&format!("is not a known preset, so it adds nothing to the tables below; {LISTED}"));
            }
            None => {
                let meant = keys::nearest(presets.iter().map(|preset| preset.id.as_str()), id);
                let meant = meant.map(|(meant, _)| format!("; did you mean {meant}?")).unwrap_or_default();
                place.report(&format!("is not a known preset{meant}; {LISTED}"));
                self.has_failed = true;
            }
            Some(preset) => {
                // With servers of its own the account does without the preset, so a closed one does no harm.
                let why = preset.closed.as_deref().filter(|_| !is_complete(table));
                if let Some(why) = why {
                    place.report(&format!("is a provider that no mail program can use: {why} {LISTED}"));
                    self.has_failed = true;
                }
            }
        }
    }

    /// The name as the account has it.
    pub(super) fn name(&self) -> Option<String> {
        self.named.as_ref().map(|(id, _)| id.clone())
    }

    /// The company whose OAuth2 tokens the provider's servers take, if the preset says so.
    pub(super) fn issuer(&self) -> Option<&str> {
        let preset = self.preset.as_ref()?;
        let of_servers = preset.servers.iter().flat_map(|server| &server.auth_methods);
        preset.auth_methods.iter().chain(of_servers).find_map(|way| match way {
            AuthMethod::OAuth2(name) if !name.is_empty() => Some(name.as_str()),
            _ => None,
        })
    }

    /// The item that names the preset.
    pub(super) fn place(&self) -> Option<&Item<'a>> {
        self.named.as_ref().map(|(_, place)| place)
    }

    /// Whether missing keys need no report of their own, because the preset itself was reported as wrong.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The servers for a protocol for which the account has no table.
    pub(super) fn servers(&self, protocol: Protocol) -> Vec<Endpoint> {
        let servers = self.endpoints(protocol);
        self.is_used.set(self.is_used.get() || !servers.is_empty());
        servers
    }

    /// Whether a message that was only fetched by POP3 counts as fetched at this provider.
    pub(super) fn fetching_counts(&self) -> bool {
        self.preset.as_ref().is_some_and(|preset| preset.fetching_counts)
    }

    /// The default for `fresh`: `usual`, or half of the provider's window if that is shorter, so that a login never
    /// expires just before the send.
    pub(super) fn cap_fresh(&self, usual: Duration) -> Duration {
        let window = self.preset.as_ref().and_then(|preset| preset.window);
        window.map_or(usual, |window| usual.min(window / 2))
    }

    /// Whether there is a server for a protocol.
    pub(super) fn has(&self, protocol: Protocol) -> bool {
        !self.endpoints(protocol).is_empty()
    }

    /// The preset's server that fills in the keys a table leaves out: the first one that agrees with the written port
    /// and security, or else the first one of the same host. A table with a host of its own takes nothing from the
    /// preset.
    pub(super) fn gap_filler(&self, table: &Table<'_>, protocol: Protocol) -> Option<Endpoint> {
        let host = table.get("host").map(|item| item.as_text().and_then(|text| value::host(text).ok()));
        let port = table.get("port").and_then(|item| item.as_number()).flatten();
        let security = table.get("security").and_then(|item| item.as_text());
        let mut servers = self.endpoints(protocol);
        // `Some(None)` is a wrong host. It fits no server, so nothing is filled in beside it.
        servers.retain(|server| host.as_ref().is_none_or(|host| host.as_ref() == Some(&server.host)));
        let agrees = |server: &Endpoint| {
            port.is_none_or(|port| port == u32::from(server.port))
                && security.is_none_or(|security| security == server.security.name())
        };
        let at = servers.iter().position(agrees).unwrap_or(0);
        let server = (at < servers.len()).then(|| servers.swap_remove(at));
        let has_gap = ["host", "port", "security"].iter().any(|key| table.get(key).is_none());
        self.is_used.set(self.is_used.get() || has_gap && server.is_some());
        server
    }

    /// Warns if the preset is uncertain or has no server for sending.
    pub(super) fn warn_of_doubts(&self, has_smtp: bool) {
        let (Some(preset), Some((_, place))) = (&self.preset, &self.named) else { return };
        if preset.confidence == Confidence::Low && self.is_used.get() {
            let id = &preset.id;
            place.warn(&format!(
                "the servers of the preset {id} are not confirmed; `ostler check` shows whether they answer"
            ));
        }
        if preset.sends_elsewhere && !has_smtp {
            place.warn("can only be used to fetch mail; to send, add [account.smtp] with the host of another company");
        }
    }

    fn endpoints(&self, protocol: Protocol) -> Vec<Endpoint> {
        self.preset.as_ref().map(|preset| preset.endpoints(protocol, &self.domain)).unwrap_or_default()
    }
}

/// Whether the account has tables for its servers, each with a host.
fn is_complete(table: &Table<'_>) -> bool {
    let tables = Protocol::ALL.iter().filter_map(|protocol| table.get(protocol.name()));
    let mut tables = tables.flat_map(|item| item.as_list().unwrap_or_else(|| vec![item])).peekable();
    tables.peek().is_some() && tables.all(|item| item.has("host"))
}

/// The port of a table that has none: the preset's, if the security is the same, or else the usual port.
pub(super) fn default_port(gap_filler: Option<&Endpoint>, protocol: Protocol, security: Security) -> u16 {
    let same = gap_filler.filter(|server| server.security == security);
    same.map_or_else(|| protocol.default_port(security), |server| server.port)
}

#[cfg(test)]
mod tests;
