//! Remembers in which charset a provider wants a password: `password_charset` in a settings file that a person wrote.

use std::path::Path;
use std::sync::Arc;

use toml_edit::{Item, Table, TableLike, Value};

use super::edit::{EditError, meaning, parse_document, put};
use super::line_ends::with_line_ends_of;
use super::place::account_table;
use crate::config::presets::Presets;
use ostler_mail::account::{Account, AfterPop, PasswordCharset, Protocol, Server, ServerId, SignIn};

const KEY: &str = "password_charset";

/// Gives servers of the account `name` the charsets that were found, in `text`, the text of the settings file `file`, which
/// is not opened. Everything else keeps its meaning, or the change is refused.
pub(crate) fn change_charset(
    text: &str,
    name: &str,
    found: &[(ServerId, PasswordCharset)],
    file: &Path,
    presets: &Presets,
) -> Result<String, EditError> {
    let mut document = parse_document(text)?;
    let mut wanted = meaning(text, file, presets)?;
    let index = wanted.accounts.iter().position(|account| account.name == name).ok_or(EditError::NoSuchAccount)?;
    let account = with_charsets(&wanted.accounts[index], found);
    write(account_table(&mut document, index).ok_or(EditError::TooEntangled)?.like(), &account)?;
    wanted.accounts[index] = Arc::new(account);
    let after = with_line_ends_of(text, &document.to_string());
    if meaning(&after, file, presets)? == wanted { Ok(after) } else { Err(EditError::TooEntangled) }
}

fn with_charsets(account: &Account, found: &[(ServerId, PasswordCharset)]) -> Account {
    let spelled = |server: &Server| with_charset(server, found);
    Account {
        pop3: account.pop3.as_ref().map(spelled),
        smtp: account.smtp.iter().map(spelled).collect(),
        imap: account.imap.as_ref().map(spelled),
        ..account.clone()
    }
}

/// The server, and the one for the login before a send, with what was found for them.
fn with_charset(server: &Server, found: &[(ServerId, PasswordCharset)]) -> Server {
    if let SignIn::AfterPop(gate) = &server.sign_in {
        let gate = AfterPop { login: with_charset(&gate.login, found), fresh: gate.fresh };
        return Server { sign_in: SignIn::AfterPop(Arc::new(gate)), ..server.clone() };
    }
    let charset = found.iter().find(|(id, _)| *id == server.id()).map(|(_, charset)| *charset);
    charset.map_or_else(|| server.clone(), |charset| server.clone().with_password_charset(charset))
}

/// Where all servers of the account have the same charset, it is the account's; else each server's own.
fn write(account: &mut dyn TableLike, wanted: &Account) -> Result<(), EditError> {
    let mut charsets = wanted.servers().filter_map(charset_of);
    let first = charsets.next().unwrap_or_default();
    let is_one = charsets.all(|charset| charset == first);
    set(account, if is_one { first } else { PasswordCharset::default() });
    for key in Protocol::ALL.map(Protocol::name) {
        account.get_mut(key).into_iter().for_each(forget);
    }
    if is_one {
        return Ok(());
    }
    for server in wanted.servers() {
        let charset = server.credentials().map(|credentials| credentials.charset).unwrap_or_default();
        // No table for what is the default: one for a server from a preset could hide others there.
        if charset != PasswordCharset::default() {
            set(server_table(account, server.protocol.name()).ok_or(EditError::TooEntangled)?, charset);
        }
    }
    Ok(())
}

/// The charset at a server, or at the one for the login before a send.
fn charset_of(server: &Server) -> Option<PasswordCharset> {
    let login = server.gate().map_or(server, |gate| &gate.login);
    login.credentials().map(|credentials| credentials.charset)
}

/// The one table of a server; a new one if the server comes from a preset.
fn server_table<'a>(account: &'a mut dyn TableLike, key: &str) -> Option<&'a mut dyn TableLike> {
    if account.get(key).is_none() {
        account.insert(key, Item::Table(Table::new()));
    }
    let item = account.get_mut(key)?;
    if item.as_array_of_tables().is_some_and(|tables| tables.len() > 1) {
        return None;
    }
    match item {
        Item::ArrayOfTables(tables) => tables.get_mut(0).map(|table| table as &mut dyn TableLike),
        item => item.as_table_like_mut(),
    }
}

fn set(table: &mut dyn TableLike, charset: PasswordCharset) {
    if charset == PasswordCharset::default() {
        table.remove(KEY);
    } else {
        put(table, KEY, Value::from(charset.name()));
    }
}

/// Removes the key from the tables of a server, and from those of the login before a send.
fn forget(servers: &mut Item) {
    let from_table = |table: &mut dyn TableLike| {
        table.remove(KEY);
        if let Some(login) = table.get_mut("login").and_then(Item::as_table_like_mut) {
            login.remove(KEY);
        }
    };
    match servers {
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| from_table(table)),
        Item::Value(Value::Array(array)) => {
            array.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|table| from_table(table));
        }
        item => item.as_table_like_mut().into_iter().for_each(from_table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const FILE: &str = "/home/ann/ostler.toml";

    fn changed(text: &str, charsets: &[(Protocol, PasswordCharset)]) -> Result<String, EditError> {
        let account = Arc::clone(&parse(text, Path::new(FILE)).unwrap().settings.accounts[0]);
        let id = |protocol| account.servers().find(|server| server.protocol == protocol).map(Server::id);
        let found: Vec<_> = charsets.iter().map(|(protocol, charset)| (id(*protocol).unwrap(), *charset)).collect();
        change_charset(text, &account.name, &found, Path::new(FILE), Presets::built_in())
    }

    const TEXT: &str = "# mine\n[[account]] # first\naddress = \"ann@x.net\" # hers\n\n[account.pop3]\nhost = \"p\" # old\n\n\
        [account.smtp]\nhost = \"s\"\n";

    #[test]
    fn f11_what_all_servers_want_is_the_accounts_and_comments_stay() {
        use PasswordCharset::{Utf8, Windows1252};
        let both = [(Protocol::Pop3, Windows1252), (Protocol::Smtp, Windows1252)];
        let text = changed(TEXT, &both).unwrap();
        let line = "password_charset = \"windows-1252\"\n";
        assert_eq!(text, TEXT.replace("# hers\n", &format!("# hers\n{line}")));
        assert_eq!(changed(&text, &both).unwrap(), text);
        assert_eq!(changed(&text, &[(Protocol::Pop3, Utf8), (Protocol::Smtp, Utf8)]).unwrap(), TEXT);
        let one = changed(TEXT, &both[..1]).unwrap();
        assert_eq!(one, TEXT.replace("# old\n", &format!("# old\n{line}")));
        assert_eq!(changed(&one, &both[1..]).unwrap(), text);
        let crlf = changed(&TEXT.replace('\n', "\r\n"), &both).unwrap();
        assert_eq!(crlf, text.replace('\n', "\r\n"));
    }

    #[test]
    fn f11_gates_presets_and_lists_remember_too() {
        use PasswordCharset::Windows1252;
        let gated = "[[account]]\naddress = 'a@x.net'\npop3.host = 'p'\n[[account.smtp]]\nhost = 's'\nauth = 'pop-before-smtp'\n";
        assert!(changed(gated, &[(Protocol::Pop3, Windows1252)]).unwrap().contains("password_charset"));
        let preset = "[[account]]\naddress = 'ann@optonline.net'\nprovider = 'optonline'\n";
        let one = changed(preset, &[(Protocol::Pop3, Windows1252)]).unwrap();
        assert!(one.starts_with(preset) && one.contains("password_charset = \"windows-1252\""), "{one}");
        let several =
            "account = [{ address = 'a@x.net', smtp = [{ host = 's' }, { host = 't' }], pop3 = { host = 'p' } }]\n";
        let one = changed(several, &[(Protocol::Pop3, Windows1252)]).unwrap();
        assert!(one.contains("pop3 = { host = 'p' , password_charset = \"windows-1252\" }"), "{one}");
        let mixed = changed(several, &[(Protocol::Smtp, Windows1252)]);
        assert_eq!(mixed, Err(EditError::TooEntangled), "several servers for sending have no one table");
    }
}
