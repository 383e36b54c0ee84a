//! A settings file as the settings page shows it: the value of each key, and where it comes from.

use std::path::Path;

use super::keys::{Key, Kind, Unset};
use super::place::{Place, REGISTRATIONS};
use super::typed::{self, to_text_of, to_value};
use super::{Change, Mistakes, parse_with};
use crate::config::presets::Presets;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Account, Protocol, SecretSource, Server, Settings};

/// A settings file without mistakes.
pub(crate) struct ShownFile {
    tree: toml::Table,
    pub(crate) settings: Settings,
    presets: Presets,
}

/// A value that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// As a person would type it; empty if there is none.
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The settings file has it.
    File,
    /// What ostler knows of the account's provider.
    Preset,
    /// The account has it, for all its servers.
    Account,
    /// It is the same for everyone who has not set it.
    Default,
    /// There is no value; what applies is said in words.
    Words(&'static str),
}

impl ShownFile {
    /// Reads the text of a settings file; `file` is not opened.
    pub(crate) fn read(text: &str, file: &Path, presets: &Presets) -> Result<Self, Mistakes> {
        let settings = parse_with(text, file, presets)?.settings;
        // A text that could be read as settings is TOML.
        let tree = text.parse().unwrap_or_default();
        Ok(Self { tree, settings, presets: presets.clone() })
    }

    pub(crate) fn account(&self, name: &str) -> Option<&Account> {
        self.settings.accounts.iter().find(|account| account.name == name).map(AsRef::as_ref)
    }

    /// The value of a key, and where it comes from.
    pub(crate) fn value(&self, place: &Place, key: &Key) -> Shown {
        if let Some(value) = self.written(place, key.name) {
            return Shown { text: to_text_of(key.kind, value), origin: Origin::File };
        }
        if let Some(shown) = self.in_force(place, key.name) {
            return shown;
        }
        match key.unset {
            Unset::Value(default) => {
                let text = format!("x = {default}").parse::<toml::Table>().ok();
                let text = text.and_then(|table| Some(to_text_of(key.kind, table.get("x")?)));
                Shown { text: text.unwrap_or_default(), origin: Origin::Default }
            }
            Unset::Words(words) => Shown { text: String::new(), origin: Origin::Words(words) },
            Unset::Required => Shown { text: String::new(), origin: Origin::Words("") },
        }
    }

    fn written(&self, place: &Place, key: &str) -> Option<&toml::Value> {
        let name = place.account();
        let index = name
            .map_or(Some(usize::MAX), |name| self.settings.accounts.iter().position(|account| account.name == name))?;
        place.find_in(&self.tree, index)?.get(key)
    }

    /// A value that is not in the file at this place, and depends on the rest of the file.
    fn in_force(&self, place: &Place, key: &str) -> Option<Shown> {
        let account = self.account(place.account()?)?;
        match place {
            Place::Account(_) if key == "name" => Some(Shown { text: account.name.clone(), origin: Origin::Default }),
            Place::Account(_) if key == "username" => self.username(account),
            Place::Server(_, protocol, at) => {
                let server = account.servers().filter(|server| server.protocol == *protocol).nth(*at)?;
                self.of_server(account, server, key)
            }
            Place::Login(_, at) => self.of_server(account, &account.smtp.get(*at)?.gate()?.login, key),
            Place::Local | Place::Timeouts | Place::Account(_) | Place::Doors(_) | Place::Registration(_) => None,
        }
    }

    /// The tables of registrations that the file has.
    pub(crate) fn registrations(&self) -> Vec<&str> {
        let tables = self.tree.get(REGISTRATIONS).and_then(toml::Value::as_table);
        tables.into_iter().flat_map(|tables| tables.keys().map(String::as_str)).collect()
    }

    /// The user name that applies at all servers, or at all that have none of their own.
    fn username(&self, account: &Account) -> Option<Shown> {
        let places = server_places(account);
        let signing_in = || places.iter().filter(|(_, server)| server.credentials().is_some());
        if let Some((_, server)) = signing_in().find(|(place, _)| self.written(place, "username").is_none()) {
            return self.of_server(account, server, "username");
        }
        let mut names = signing_in().filter_map(|(_, server)| Some(server.credentials()?.username.as_str()));
        let first = names.next()?;
        names.all(|name| name == first).then(|| Shown { text: first.to_owned(), origin: Origin::File })
    }

    /// The changes that a new user name of the account means for its servers: `ostler add` writes it for each of them.
    pub(crate) fn spread_username(&self, name: &str, changes: &mut Vec<Change>) {
        let Some(account) = self.account(name) else { return };
        let own = Place::Account(name.to_owned());
        let Some(change) = changes.iter().find(|change| change.place == own && change.key == "username").cloned()
        else {
            return;
        };
        let Some(old) = own.table().key(change.key).map(|key| self.value(&own, key).text) else { return };
        let same = |(place, _): &(Place, &Server)| {
            self.written(place, change.key).and_then(toml::Value::as_str).is_some_and(|name| name == old)
        };
        let places = server_places(account).into_iter().filter(same);
        changes.extend(places.map(|(place, _)| Change { place, ..change.clone() }));
    }

    fn of_server(&self, account: &Account, server: &Server, key: &str) -> Option<Shown> {
        let preset = self.endpoint(account, server);
        let of_preset = |is_same: bool| if preset.is_some() && is_same { Origin::Preset } else { Origin::Default };
        let from_account = |key: &str| self.written(&Place::Account(account.name.clone()), key).is_some();
        let (text, origin) = match key {
            "host" => (server.host.clone(), of_preset(true)),
            "port" => (server.port.to_string(), of_preset(preset.as_ref().is_some_and(|p| p.port == server.port))),
            "security" => {
                let is_same = preset.as_ref().is_some_and(|preset| preset.security == server.security);
                (server.security.name().to_owned(), of_preset(is_same))
            }
            "auth" => (server.auth_name().to_owned(), of_preset(true)),
            "fresh" => (spell(server.gate()?.fresh), of_preset(server.gate()?.fresh != super::DEFAULT_FRESH)),
            "username" => {
                let origin = if from_account(key) { Origin::Account } else { of_preset(true) };
                (server.credentials()?.username.clone(), origin)
            }
            "password" => match &server.credentials()?.secret {
                // Shown where it is written; a command is shown nowhere.
                _ if from_account(key) => return None,
                SecretSource::Keyring => ("keyring".to_owned(), Origin::Account),
                _ => return None,
            },
            "password_charset" => (server.credentials()?.charset.name().to_owned(), Origin::Account),
            _ => return None,
        };
        Some(Shown { text, origin })
    }

    /// What the account's preset says of a server.
    fn endpoint(&self, account: &Account, server: &Server) -> Option<Endpoint> {
        let preset = self.presets.by_id(account.provider.as_deref()?)?;
        let domain = account.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let mut all = preset.endpoints(server.protocol, domain).into_iter().filter(|known| known.host == server.host);
        let first = all.next()?;
        Some(all.find(|known| known.port == server.port && known.security == server.security).unwrap_or(first))
    }
}

/// Every server of an account, with those for a login before a send.
fn server_places(account: &Account) -> Vec<(Place, &Server)> {
    let name = || account.name.clone();
    let of = |protocol: Protocol| account.servers().filter(move |server| server.protocol == protocol).enumerate();
    let servers = Protocol::ALL.into_iter().flat_map(of);
    let servers = servers.map(|(at, server)| (Place::Server(name(), server.protocol, at), server));
    let logins = account.smtp.iter().enumerate();
    let logins = logins.filter_map(|(at, server)| Some((Place::Login(name(), at), &server.gate()?.login)));
    servers.chain(logins).collect()
}

/// A duration in the largest unit that fits.
fn spell(duration: std::time::Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if milliseconds >= unit && milliseconds.is_multiple_of(unit) {
            return format!("{}{name}", milliseconds / unit);
        }
    }
    if milliseconds == 0 { "0s".into() } else { format!("{milliseconds}ms") }
}

impl Change {
    /// The change that a typed text stands for. The error is a sentence for the person who typed it.
    pub(crate) fn typed(place: Place, key: &'static Key, typed: &str) -> Result<Self, String> {
        Ok(Self { place, key: key.name, value: to_value(key.kind, typed)? })
    }

    /// Whether the key is to become true.
    pub(crate) fn is_yes(&self) -> bool {
        self.value.as_ref().and_then(toml_edit::Value::as_bool) == Some(true)
    }

    /// An answer by yes or no.
    pub(crate) fn yes(place: Place, key: &'static str, is_so: bool) -> Self {
        let typed = if is_so { typed::YES } else { typed::NO };
        Self { place, key, value: to_value(Kind::YesNo, typed).ok().flatten() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_says_where_it_comes_from() {
        let text = "[local]\npop3 = [110, 2110]\nimap = false\n[[account]]\naddress = 'ann@optonline.net'\n\
            provider = 'optonline'\nusername = 'ann'\n[[account]]\naddress = 'b@x.net'\npop3 = { host = 'p', port = 1995 }\n\
            smtp = { host = 's', auth = 'pop-before-smtp', password = { command = 'echo x' } }\n";
        let file = ShownFile::read(text, Path::new("/x/ostler.toml"), Presets::built_in()).unwrap();
        let shown = |place: &Place, key: &str| {
            let shown = file.value(place, place.table().key(key).unwrap());
            (shown.text, shown.origin)
        };
        assert_eq!(shown(&Place::Local, "pop3"), ("110, 2110".into(), Origin::File));
        assert_eq!(shown(&Place::Local, "imap"), ("none".into(), Origin::File));
        assert_eq!(shown(&Place::Local, "page"), ("2080".into(), Origin::Default));
        assert_eq!(shown(&Place::Timeouts, "tls"), ("15s".into(), Origin::Default));
        let own = |key| shown(&Place::Server("ann@optonline.net".into(), Protocol::Pop3, 0), key);
        assert_eq!(own("host").1, Origin::Preset);
        assert_eq!(own("username"), ("ann".into(), Origin::Account));
        let account = |name: &str, key| shown(&Place::Account(name.into()), key);
        assert_eq!(account("b@x.net", "name"), ("b@x.net".into(), Origin::Default));
        assert_eq!(account("b@x.net", "username"), ("b@x.net".into(), Origin::Default));
        assert_eq!(account("ann@optonline.net", "username"), ("ann".into(), Origin::File));
        let two = "[[account]]\naddress = 'c@x.net'\npop3 = { host = 'p', username = 'c' }\nsmtp = { host = 's', username = 'c' }\n";
        let both = ShownFile::read(two, Path::new("/x"), Presets::built_in()).unwrap();
        let place = Place::Account("c@x.net".into());
        assert_eq!(both.value(&place, place.table().key("username").unwrap()).text, "c");
        let bobs = |protocol, key| shown(&Place::Server("b@x.net".into(), protocol, 0), key);
        assert_eq!(bobs(Protocol::Pop3, "port"), ("1995".into(), Origin::File));
        assert_eq!(bobs(Protocol::Pop3, "security"), ("tls".into(), Origin::Default));
        assert_eq!(bobs(Protocol::Smtp, "fresh"), ("1m".into(), Origin::Default));
        assert_eq!(bobs(Protocol::Smtp, "password"), ("command:".into(), Origin::File));
        assert_eq!(bobs(Protocol::Smtp, "ca").1, Origin::Words("what the system trusts"));
    }
}
