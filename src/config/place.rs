//! The tables of a settings file as places that a change can name, found in the file in whichever TOML form they are written;
//! and servers of a preset written out as tables, so that they can be changed one by one.

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value};

use super::add::server_table;
use super::edit::EditError;
use super::keys;
use super::list;
use ostler_mail::account::{Account, Protocol, Server};

/// The table that has those of the registrations in it.
pub(super) const REGISTRATIONS: &str = "oauth2";

/// A table of the settings file. Accounts go by their names, servers by their position, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Local,
    Timeouts,
    Account(String),
    /// The doors of an account.
    Doors(String),
    /// A server of an account. A position behind the last one stands for a further server for sending.
    Server(String, Protocol, usize),
    /// The server for the login before a send, of the server for sending at this position.
    Login(String, usize),
    /// A registration at a company that gives out OAuth2 tokens, by the name of its table.
    Registration(String),
}

impl Place {
    /// What is known of its keys.
    pub(crate) fn table(&self) -> &'static keys::Table {
        match self {
            Self::Local => &keys::settings::LOCAL,
            Self::Timeouts => &keys::settings::TIMEOUTS,
            Self::Account(_) => &keys::settings::ACCOUNT,
            Self::Doors(_) => &keys::settings::DOORS,
            Self::Server(_, Protocol::Pop3, _) => &keys::settings::POP3,
            Self::Server(_, Protocol::Smtp, _) => &keys::settings::SMTP,
            Self::Server(_, Protocol::Imap, _) => &keys::settings::IMAP,
            Self::Login(..) => &keys::settings::LOGIN,
            Self::Registration(_) => &keys::settings::OAUTH2,
        }
    }

    /// As the messages about mistakes call it: `account.smtp.login`.
    pub(crate) fn path(&self) -> &'static str {
        self.table().header.trim_matches(['[', ']'])
    }

    /// The account that it belongs to.
    pub(super) fn account(&self) -> Option<&str> {
        match self {
            Self::Local | Self::Timeouts | Self::Registration(_) => None,
            Self::Account(name) | Self::Doors(name) | Self::Server(name, ..) | Self::Login(name, _) => Some(name),
        }
    }

    /// The server that it is, or is part of.
    pub(super) fn server(&self) -> Option<(Protocol, usize)> {
        match self {
            Self::Local | Self::Timeouts | Self::Account(_) | Self::Doors(_) | Self::Registration(_) => None,
            Self::Server(_, protocol, at) => Some((*protocol, *at)),
            Self::Login(_, at) => Some((Protocol::Smtp, *at)),
        }
    }

    /// The table in a file, in whose list of accounts `account` is the position of its account; made if it is not there.
    pub(super) fn find_or_make<'d>(&self, document: &'d mut DocumentMut, account: usize) -> Option<TableMut<'d>> {
        match self {
            Self::Local => TableMut::of_root(document, "local"),
            Self::Timeouts => TableMut::of_root(document, "timeouts"),
            Self::Account(_) => account_table(document, account),
            Self::Doors(_) => account_table(document, account)?.inner("doors", true),
            Self::Server(_, protocol, at) => account_table(document, account)?.server(*protocol, *at),
            Self::Login(_, at) => account_table(document, account)?.server(Protocol::Smtp, *at)?.inner("login", true),
            Self::Registration(name) => {
                if document.get(REGISTRATIONS).is_none() {
                    // Only its tables have a line of their own.
                    let mut all = Table::new();
                    all.set_implicit(true);
                    document.insert(REGISTRATIONS, Item::Table(all));
                }
                TableMut::of_root(document, REGISTRATIONS)?.inner(name, false)
            }
        }
    }

    /// The table in a file as the values that it means; `None` if it is not there.
    pub(crate) fn find_in<'t>(&self, file: &'t toml::Table, account: usize) -> Option<&'t toml::Table> {
        let root = |key: &str| file.get(key)?.as_table();
        let own = || file.get("account")?.as_array()?.get(account)?.as_table();
        let server = |protocol: Protocol, at: usize| match own()?.get(protocol.name())? {
            toml::Value::Array(servers) => servers.get(at)?.as_table(),
            only => only.as_table().filter(|_| at == 0),
        };
        match self {
            Self::Local => root("local"),
            Self::Timeouts => root("timeouts"),
            Self::Account(_) => own(),
            Self::Doors(_) => own()?.get("doors")?.as_table(),
            Self::Server(_, protocol, at) => server(*protocol, *at),
            Self::Login(_, at) => server(Protocol::Smtp, *at)?.get("login")?.as_table(),
            Self::Registration(name) => root(REGISTRATIONS)?.get(name)?.as_table(),
        }
    }
}

/// A table of a document that is being edited.
pub(super) enum TableMut<'d> {
    Block(&'d mut Table),
    /// Between braces, on one line.
    Inline(&'d mut InlineTable),
}

/// The table of account number `index`.
pub(super) fn account_table(document: &mut DocumentMut, index: usize) -> Option<TableMut<'_>> {
    match document.get_mut("account")? {
        Item::ArrayOfTables(tables) => tables.get_mut(index).map(TableMut::Block),
        Item::Value(Value::Array(array)) => array.get_mut(index)?.as_inline_table_mut().map(TableMut::Inline),
        _ => None,
    }
}

impl<'d> TableMut<'d> {
    fn of_root(document: &'d mut DocumentMut, key: &str) -> Option<Self> {
        TableMut::Block(document.as_table_mut()).inner(key, false)
    }

    /// The table itself, whatever its form.
    pub(super) fn like(self) -> &'d mut dyn TableLike {
        match self {
            Self::Block(table) => table,
            Self::Inline(table) => table,
        }
    }

    /// The table of a key of this table. If it is not there, it is made: in braces, if this one is or `in_braces` says so.
    fn inner(self, key: &str, in_braces: bool) -> Option<Self> {
        let in_braces = in_braces || matches!(self, Self::Inline(_));
        let table = self.like();
        if table.get(key).is_none() {
            let empty = if in_braces { Item::Value(InlineTable::new().into()) } else { Item::Table(Table::new()) };
            table.insert(key, empty);
        }
        Self::of_item(table.get_mut(key)?)
    }

    fn of_item(item: &'d mut Item) -> Option<Self> {
        match item {
            Item::Table(table) => Some(Self::Block(table)),
            Item::Value(Value::InlineTable(table)) => Some(Self::Inline(table)),
            _ => None,
        }
    }

    /// The table of a server; this table is an account's.
    fn server(self, protocol: Protocol, at: usize) -> Option<Self> {
        let key = protocol.name();
        if at == 0 && self.has_no_list(key) {
            return self.inner(key, false);
        }
        let item = self.server_list(key)?;
        match item {
            Item::ArrayOfTables(tables) => {
                if tables.len() == at {
                    tables.push(Table::new());
                }
                tables.get_mut(at).map(TableMut::Block)
            }
            Item::Value(Value::Array(array)) => {
                if array.len() == at {
                    list::push(array, InlineTable::new().into());
                }
                array.get_mut(at)?.as_inline_table_mut().map(TableMut::Inline)
            }
            _ => None,
        }
    }

    fn has_no_list(&self, key: &str) -> bool {
        let item = match self {
            Self::Block(table) => table.get(key),
            Self::Inline(table) => TableLike::get(*table, key),
        };
        item.is_none_or(Item::is_table_like)
    }

    /// The list of servers under a key; the table of a single server becomes a list of one.
    pub(super) fn server_list(self, key: &str) -> Option<&'d mut Item> {
        let account = self.like();
        if account.get(key)?.is_table_like() {
            let list = match account.remove(key)? {
                Item::Table(mut table) => {
                    table.set_dotted(false);
                    table.set_implicit(false);
                    let mut tables = ArrayOfTables::new();
                    tables.push(table);
                    Item::ArrayOfTables(tables)
                }
                Item::Value(mut table) => {
                    table.decor_mut().clear();
                    Item::Value(Value::Array(Array::from_iter([table])))
                }
                _ => return None,
            };
            account.insert(key, list);
        }
        account.get_mut(key)
    }

    /// Takes out a key. Comments above it and behind its value stay, with what follows or, at the end, what is before.
    pub(super) fn take_out(mut self, key: &str) {
        let kept = match &mut self {
            Self::Block(table) => take_out_of(*table, key),
            Self::Inline(table) => take_out_of(*table, key),
        };
        if let Some(comment) = kept {
            self.add_comment(&comment);
        }
    }

    /// Puts a comment where the first value of the table would be; a table in braces has no room for one.
    fn add_comment(self, comment: &str) {
        if let Self::Block(table) = self {
            let suffix = table.decor().suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default().to_owned();
            table.decor_mut().set_suffix(format!("{suffix}\n{}", comment.trim_matches('\n')));
        }
    }
}

/// Returns the comments that found no place in the table.
fn take_out_of(table: &mut dyn TableLike, key: &str) -> Option<String> {
    let names: Vec<String> =
        table.iter().filter(|(_, item)| item.is_value()).map(|(name, _)| name.to_owned()).collect();
    let at = names.iter().position(|name| name == key);
    let raw = |raw: Option<&RawString>| raw.and_then(RawString::as_str).unwrap_or_default().to_owned();
    let above = table.key(key).map(|key| raw(key.leaf_decor().prefix())).unwrap_or_default();
    let behind = table.get(key).and_then(Item::as_value).map(|value| raw(value.decor().suffix())).unwrap_or_default();
    table.remove(key);
    let mut comments = if above.contains('#') { above } else { String::new() };
    if behind.contains('#') {
        comments += behind.trim_start();
        comments.push('\n');
    }
    let at = at.filter(|_| !comments.is_empty())?;
    if let Some(mut next) = names.get(at + 1).and_then(|next| table.key_mut(next)) {
        let prefix = raw(next.leaf_decor().prefix());
        next.leaf_decor_mut().set_prefix(comments + &prefix);
        return None;
    }
    let before = at.checked_sub(1).and_then(|before| table.get_mut(&names[before])?.as_value_mut());
    let Some(before) = before else { return Some(comments) };
    let suffix = raw(before.decor().suffix());
    before.decor_mut().set_suffix(format!("{suffix}\n{}", comments.trim_end()));
    None
}

/// Writes the account's servers for a protocol into its table, which leaves them to the preset so far.
pub(super) fn write_out_servers(table: TableMut<'_>, account: &Account, protocol: Protocol) -> Result<(), EditError> {
    let servers: Vec<&Server> = account.servers().filter(|server| server.protocol == protocol).collect();
    let tables: Option<Vec<Table>> = servers.iter().map(|server| server_table(server, account)).collect();
    let mut tables = tables.ok_or(EditError::TooEntangled)?;
    let is_inline = matches!(table, TableMut::Inline(_));
    let item = match (tables.len(), is_inline) {
        (1, false) => Item::Table(tables.remove(0)),
        (1, true) => Item::Value(tables.remove(0).into_inline_table().into()),
        (_, false) => {
            let mut list = ArrayOfTables::new();
            tables.into_iter().for_each(|table| list.push(table));
            Item::ArrayOfTables(list)
        }
        (_, true) => Item::Value(Value::Array(tables.into_iter().map(Table::into_inline_table).collect())),
    };
    table.like().insert(protocol.name(), item);
    Ok(())
}

/// Adds to a server's table what the preset fills in so far.
pub(super) fn fill_in_server(table: &mut dyn TableLike, server: &Server, account: &Account) -> Option<()> {
    for (key, item) in server_table(server, account)? {
        if table.get(&key).is_none() {
            table.insert(&key, item);
        }
    }
    Some(())
}
