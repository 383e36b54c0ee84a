//! Changes an account in a settings file that a person wrote. Values are replaced one by one, so that comments and
//! order stay. The new text is read again, and refused if it means anything else than the change.

use std::path::Path;
use std::sync::Arc;

use toml_edit::{Array, Item, Table, TableLike, Value};

use super::edit::{EditError, element, meaning, parse_document, put, with_line_ends_of};
use crate::config::presets::Presets;
use ostler_mail::account::{Account, Alias, Protocol, Security, Server};

/// What an account should be like afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// All aliases, in any letter case.
    pub aliases: Vec<String>,
    /// Whether it sends mail whose sender belongs to no account. Any other account then stops being the default.
    pub is_default: bool,
    /// The user name for all servers; `None` leaves it as it is.
    pub username: Option<String>,
    /// Where servers are; a server that is not in the list stays where it is.
    pub servers: Vec<ServerLocation>,
}

/// Where a server should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerLocation {
    /// The protocol; the account has exactly one server for it.
    pub protocol: Protocol,
    /// Host name or IP address.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

impl ServerLocation {
    /// Where the server is now.
    pub(crate) fn of(server: &Server) -> Self {
        Self { protocol: server.protocol, host: server.host.clone(), port: server.port, security: server.security }
    }
}

/// The account's user name, if it is the same at all servers.
pub(crate) fn common_username(account: &Account) -> Option<&str> {
    let mut names = usernames(account);
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

fn usernames(account: &Account) -> impl Iterator<Item = &str> {
    account.servers().flat_map(|server| {
        let gate = server.gate().map(|gate| &gate.login);
        [Some(server), gate].into_iter().flatten().filter_map(|server| Some(server.credentials()?.username.as_str()))
    })
}

/// Changes the account `name` in `text`, the text of the settings file `file`, which is not opened. Everything else
/// keeps its meaning, or the change is refused.
pub(crate) fn change_account(
    text: &str,
    name: &str,
    change: &Change,
    file: &Path,
    presets: &Presets,
) -> Result<String, EditError> {
    let mut document = parse_document(text)?;
    let old = meaning(text, file, presets)?;
    let index = old.accounts.iter().position(|account| account.name == name).ok_or(EditError::NoSuchAccount)?;
    for (other, account) in old.accounts.iter().enumerate() {
        let table = element(&mut document, other).ok_or(EditError::TooEntangled)?;
        if other == index {
            edit(table, account, change)?;
        } else if change.is_default && account.is_default {
            table.remove("default");
        }
    }
    let after = with_line_ends_of(text, document.to_string());
    let new = meaning(&after, file, presets)?;
    let is_right =
        new.accounts.len() == old.accounts.len()
            && new.accounts.iter().zip(&old.accounts).enumerate().all(|(at, (new, old))| {
                if at == index { is_changed(old, new, change) } else { is_same(old, new, change) }
            });
    // Doors, page, access and time limits have to mean what they meant before.
    let rest = ostler_mail::account::Settings { accounts: old.accounts.clone(), ..new };
    if is_right && rest == old { Ok(after) } else { Err(EditError::CannotTake) }
}

fn is_changed(old: &Account, new: &Account, change: &Change) -> bool {
    let aliases: Vec<String> = new.aliases.iter().map(Alias::to_string).collect();
    let wanted: Vec<String> = change.aliases.iter().map(|alias| alias.to_ascii_lowercase()).collect();
    let servers_match = change.servers.iter().all(|wanted| {
        let mut servers = new.servers().filter(|server| server.protocol == wanted.protocol);
        servers.next().is_some_and(|server| ServerLocation::of(server) == *wanted)
    });
    let usernames_match = change.username.as_ref().is_none_or(|wanted| usernames(new).all(|name| name == wanted));
    let is_as_before = Account {
        aliases: old.aliases.clone(),
        is_default: old.is_default,
        pop3: old.pop3.clone(),
        smtp: old.smtp.clone(),
        imap: old.imap.clone(),
        ..new.clone()
    } == *old;
    is_as_before
        && aliases == wanted
        && new.is_default == change.is_default
        && servers_match
        && usernames_match
        && new.servers().count() == old.servers().count()
}

fn is_same(old: &Arc<Account>, new: &Arc<Account>, change: &Change) -> bool {
    let is_default = old.is_default && !change.is_default;
    Account { is_default, ..old.as_ref().clone() } == **new
}

fn edit(table: &mut dyn TableLike, account: &Account, change: &Change) -> Result<(), EditError> {
    let known: Vec<String> = account.aliases.iter().map(Alias::to_string).collect();
    if known != change.aliases {
        if change.aliases.is_empty() {
            table.remove("aliases");
        } else {
            put(table, "aliases", Value::Array(Array::from_iter(change.aliases.iter())));
        }
    }
    match (account.is_default, change.is_default) {
        (true, false) => drop(table.remove("default")),
        (false, true) => put(table, "default", Value::from(true)),
        _ => {}
    }
    if let Some(name) = change.username.as_deref().filter(|name| common_username(account) != Some(*name)) {
        put(table, "username", Value::from(name));
        // A server's own user name would take precedence over the account's.
        for server in ["pop3", "smtp", "imap"] {
            table.get_mut(server).into_iter().for_each(|item| rename(item, name));
        }
    }
    for wanted in &change.servers {
        let mut servers = account.servers().filter(|server| server.protocol == wanted.protocol);
        let (Some(server), None) = (servers.next(), servers.next()) else { return Err(EditError::TooEntangled) };
        if ServerLocation::of(server) != *wanted {
            put_location(table, server, wanted)?;
        }
    }
    Ok(())
}

/// Changes the user name in the tables of servers that have one of their own.
fn rename(item: &mut Item, name: &str) {
    let in_table = |table: &mut dyn TableLike| {
        if table.contains_key("username") {
            put(table, "username", Value::from(name));
        }
        if let Some(login) = table.get_mut("login").and_then(Item::as_table_like_mut)
            && login.contains_key("username")
        {
            put(login, "username", Value::from(name));
        }
    };
    match item {
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| in_table(table)),
        Item::Value(Value::Array(array)) => {
            array.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|table| in_table(table));
        }
        item => item.as_table_like_mut().into_iter().for_each(in_table),
    }
}

fn put_location(account: &mut dyn TableLike, old: &Server, wanted: &ServerLocation) -> Result<(), EditError> {
    let key = wanted.protocol.name();
    // A server that comes from the preset gets a table, which takes precedence over the preset.
    if account.get(key).is_none() {
        account.insert(key, Item::Table(Table::new()));
    }
    let item = account.get_mut(key).ok_or(EditError::TooEntangled)?;
    let table: &mut dyn TableLike = match item {
        Item::ArrayOfTables(tables) if tables.len() == 1 => tables.get_mut(0).ok_or(EditError::TooEntangled)?,
        item => item.as_table_like_mut().ok_or(EditError::TooEntangled)?,
    };
    if old.host != wanted.host || table.get("host").is_none() {
        put(table, "host", Value::from(wanted.host.as_str()));
    }
    // Always written: the default depends on `security`, which may change too.
    put(table, "port", Value::from(i64::from(wanted.port)));
    if old.security != wanted.security || table.get("security").is_none() {
        put(table, "security", Value::from(wanted.security.name()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\n[local]\npop3 = 110 # low\n\n[[account]] # first\naddress = \"ann@x.net\" # hers\n\
        aliases = [\"lee@x.net\"] # and his\n\n[account.pop3]\nhost = \"pop.x.net\" # old\nsecurity = \"tls\"\n\n\
        [[account]]\naddress = \"bob@y.net\"\ndefault = true\n[account.smtp]\nhost = \"s.y.net\"\n";

    fn changed(text: &str, name: &str, change: &Change) -> Result<String, EditError> {
        change_account(text, name, change, Path::new("/home/ann/ostler.toml"), Presets::built_in())
    }

    fn at(protocol: Protocol, host: &str, port: u16, security: Security) -> ServerLocation {
        ServerLocation { protocol, host: host.into(), port, security }
    }

    #[test]
    fn values_change_and_comments_stay() {
        let change = Change {
            aliases: vec!["lee@x.net".into(), "*@z.net".into()],
            is_default: true,
            username: None,
            servers: vec![at(Protocol::Pop3, "mail.x.net", 110, Security::StartTls)],
        };
        let text = changed(TEXT, "ann@x.net", &change).unwrap();
        assert_eq!(
            text,
            "# mine\n[local]\npop3 = 110 # low\n\n[[account]] # first\naddress = \"ann@x.net\" # hers\n\
             aliases = [\"lee@x.net\", \"*@z.net\"] # and his\ndefault = true\n\n[account.pop3]\nhost = \"mail.x.net\" # old\n\
             security = \"starttls\"\nport = 110\n\n[[account]]\naddress = \"bob@y.net\"\n[account.smtp]\nhost = \"s.y.net\"\n"
        );
        let nothing = Change {
            aliases: vec!["lee@x.net".into()],
            is_default: false,
            username: None,
            servers: vec![at(Protocol::Pop3, "pop.x.net", 995, Security::Tls)],
        };
        assert_eq!(changed(TEXT, "ann@x.net", &nothing).unwrap(), TEXT);
        let bare = changed(TEXT, "ann@x.net", &Change { aliases: vec![], ..nothing.clone() }).unwrap();
        assert!(!bare.contains("aliases"), "{bare}");
        let crlf = changed(&TEXT.replace('\n', "\r\n"), "ann@x.net", &change).unwrap();
        assert_eq!(crlf, text.replace('\n', "\r\n"));
    }

    #[test]
    fn inline_accounts_and_servers_of_a_preset_change_too() {
        let inline = "account = [{ address = \"ann@x.net\", smtp = { host = \"s\", security = \"tls\" } }] # all\n";
        let change = Change {
            aliases: vec!["b@x.net".into()],
            is_default: false,
            username: None,
            servers: vec![at(Protocol::Smtp, "t", 587, Security::StartTls)],
        };
        let text = changed(inline, "ann@x.net", &change).unwrap();
        assert!(text.contains("host = \"t\"") && text.ends_with("# all\n"), "{text}");
        let preset = "[[account]]\naddress = \"ann@optonline.net\"\nprovider = \"optonline\"\n";
        let change =
            Change { aliases: vec![], servers: vec![at(Protocol::Pop3, "pop.z", 995, Security::Tls)], ..change };
        let text = changed(preset, "ann@optonline.net", &change).unwrap();
        assert!(text.starts_with(preset) && text.contains("[account.pop3]\nhost = \"pop.z\""), "{text}");
    }

    #[test]
    fn a_user_name_changes_wherever_it_stands() {
        let change = |name: &str| Change {
            aliases: vec!["lee@x.net".into()],
            is_default: false,
            username: Some(name.into()),
            servers: vec![],
        };
        // The account has this name already, by default.
        assert_eq!(changed(TEXT, "ann@x.net", &change("ann@x.net")).unwrap(), TEXT);
        let text = changed(TEXT, "ann@x.net", &change("ann")).unwrap();
        assert!(text.contains("username = \"ann\"\n\n[account.pop3]"), "{text}");
        let own = "[[account]]\naddress = \"ann@x.net\"\naliases = [\"lee@x.net\"]\n[account.pop3]\nhost = \"p\"\n\
            username = \"old\" # mine\n[[account.smtp]]\nhost = \"s\"\nauth = \"pop-before-smtp\"\n\
            login = { host = \"p\", username = \"old\" }\n";
        let text = changed(own, "ann@x.net", &change("ann")).unwrap();
        assert!(text.contains("username = \"ann\" # mine") && !text.contains("old"), "{text}");
        assert_eq!(changed(TEXT, "ann@x.net", &change("")), Err(EditError::CannotTake));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let change = |aliases: &[&str], servers: Vec<ServerLocation>| Change {
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            is_default: false,
            username: None,
            servers,
        };
        // The other account's own address.
        assert_eq!(changed(TEXT, "ann@x.net", &change(&["bob@y.net"], vec![])), Err(EditError::CannotTake));
        assert_eq!(changed(TEXT, "nobody", &change(&[], vec![])), Err(EditError::NoSuchAccount));
        let other = vec![at(Protocol::Smtp, "t", 25, Security::Tls)];
        assert_eq!(changed(TEXT, "ann@x.net", &change(&[], other)), Err(EditError::TooEntangled));
        let bad = vec![at(Protocol::Pop3, "a b", 995, Security::Tls)];
        assert_eq!(changed(TEXT, "ann@x.net", &change(&[], bad)), Err(EditError::CannotTake));
        assert!(matches!(changed("x = = 1", "a", &change(&[], vec![])), Err(EditError::NotToml { line: 1 })));
    }
}
