//! Changes single keys of a settings file that a person wrote. Values are replaced one by one, in a list element by element, so
//! that comments and order stay.
//! The new text is read again as a whole, and refused if it has a mistake or if anything but the named keys has changed.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Value};

use super::edit::{EditError, meaning, parse_document, put, without_registration};
use super::line_ends::with_line_ends_of;
use super::list;
use super::parse_with;
use super::place::{Place, REGISTRATIONS, TableMut, account_table, fill_in_server, write_out_servers};
use crate::config::presets::Presets;
use ostler_mail::account::{Account, DEFAULT_IMAP_CONNECTIONS, Protocol, Settings};

/// A key that is to have another value.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub place: Place,
    pub key: &'static str,
    /// `None`: the key is left out, so that its default applies.
    pub value: Option<Value>,
}

/// A changed settings file.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub text: String,
    /// What the text means.
    pub settings: Settings,
}

/// Changes keys in `text`, the text of the settings file `file`, which is not opened. A key that was not there and would get
/// its default value stays absent.
pub(crate) fn change_keys(
    text: &str,
    changes: &[Change],
    file: &Path,
    presets: &Presets,
) -> Result<Changed, EditError> {
    let before = meaning(text, file, presets)?;
    let mut editor = Editor { document: parse_document(text)?, accounts: &before, new_keys: Vec::new() };
    editor.write_out(changes)?;
    let start = with_line_ends_of(text, &editor.document.to_string());
    if meaning(&start, file, presets)? != before {
        return Err(EditError::TooEntangled);
    }
    for change in changes {
        editor.apply(change)?;
    }
    // Everything is judged by the text as it is saved: a line end can be part of a value.
    let after = with_line_ends_of(text, &editor.document.to_string());
    let settings = parse_with(&after, file, presets).map_err(EditError::Mistakes)?.settings;
    if !is_same_but_for(&start, &after, |place| editor.index(place), changes) {
        return Err(EditError::TooEntangled);
    }
    let is_new =
        |change: &Change| editor.new_keys.iter().any(|(place, key)| *place == change.place && *key == change.key);
    if settings == before && changes.iter().all(|change| change.value.is_some() && is_new(change)) {
        return Ok(Changed { text: text.to_owned(), settings });
    }
    Ok(Changed { text: editor.without_defaults(after, &settings, file, presets), settings })
}

/// Removes a server of an account, which keeps at least one.
pub(crate) fn remove_server(
    text: &str,
    (name, protocol, at): (&str, Protocol, usize),
    file: &Path,
    presets: &Presets,
) -> Result<Changed, EditError> {
    arrange_servers(text, name, protocol, file, presets, |list| match list {
        Servers::Wanted(servers) => drop((at < servers.len()).then(|| servers.remove(at))),
        Servers::Blocks(tables) => drop(tables.remove(at)),
        Servers::Inline(array) => list::remove(array, at),
    })
}

/// Removes a registration that no account uses.
pub(crate) fn remove_registration(
    text: &str,
    name: &str,
    file: &Path,
    presets: &Presets,
) -> Result<Changed, EditError> {
    let after = without_registration(text, name)?;
    let tree = |text: &str| text.parse::<toml::Table>().ok();
    let (Some(mut wanted), Some(mut got)) = (tree(text), tree(&after)) else { return Err(EditError::TooEntangled) };
    if let Some(tables) = wanted.get_mut(REGISTRATIONS).and_then(toml::Value::as_table_mut) {
        tables.remove(name);
    }
    prune(&mut wanted);
    prune(&mut got);
    if wanted != got {
        return Err(EditError::TooEntangled);
    }
    let settings = parse_with(&after, file, presets).map_err(EditError::Mistakes)?.settings;
    Ok(Changed { text: after, settings })
}

/// Moves a server for sending to another position.
pub(crate) fn move_server(
    text: &str,
    (name, from, to): (&str, usize, usize),
    file: &Path,
    presets: &Presets,
) -> Result<Changed, EditError> {
    arrange_servers(text, name, Protocol::Smtp, file, presets, |list| match list {
        Servers::Wanted(servers) if from < servers.len() && to < servers.len() => {
            let server = servers.remove(from);
            servers.insert(to, server);
        }
        Servers::Wanted(_) => {}
        Servers::Blocks(tables) => {
            let mut all: Vec<toml_edit::Table> = tables.iter().cloned().collect();
            // Each place in the file keeps its position, and gets the table that moves there.
            let positions: Vec<_> = all.iter().map(toml_edit::Table::position).collect();
            let table = all.remove(from);
            all.insert(to, table);
            tables.clear();
            for (mut table, position) in all.into_iter().zip(positions) {
                table.set_position(position);
                tables.push(table);
            }
        }
        Servers::Inline(array) => list::move_to(array, from, to),
    })
}

/// The servers of an account, in each of the forms in which [`arrange_servers`] arranges them.
enum Servers<'s> {
    /// As they should be afterwards.
    Wanted(&'s mut Vec<ostler_mail::account::Server>),
    Blocks(&'s mut toml_edit::ArrayOfTables),
    Inline(&'s mut toml_edit::Array),
}

/// Arranges the servers of an account, both in the text and as what the text has to mean afterwards.
fn arrange_servers(
    text: &str,
    name: &str,
    protocol: Protocol,
    file: &Path,
    presets: &Presets,
    arrange: impl Fn(Servers<'_>),
) -> Result<Changed, EditError> {
    let before = meaning(text, file, presets)?;
    let mut document = parse_document(text)?;
    let index = before.accounts.iter().position(|account| account.name == name).ok_or(EditError::NoSuchAccount)?;
    let old = &before.accounts[index];
    let mut servers: Vec<_> = old.servers().filter(|server| server.protocol == protocol).cloned().collect();
    let count = servers.len();
    arrange(Servers::Wanted(&mut servers));
    let mut wanted = before.clone();
    let mut account = Account::clone(old);
    match protocol {
        Protocol::Pop3 => account.pop3 = servers.pop(),
        Protocol::Imap => {
            account.imap = servers.pop();
            if account.imap.is_none() {
                account.imap_connections = DEFAULT_IMAP_CONNECTIONS;
            }
        }
        Protocol::Smtp => account.smtp = servers,
    }
    let stays = account.servers().any(|server| server.protocol == protocol);
    wanted.accounts[index] = account.into();
    if own_table(&mut document, index)?.like().get(protocol.name()).is_none() && count > 0 {
        write_out_servers(own_table(&mut document, index)?, old, protocol)?;
    }
    if stays {
        match own_table(&mut document, index)?.server_list(protocol.name()) {
            Some(Item::ArrayOfTables(tables)) => arrange(Servers::Blocks(tables)),
            Some(Item::Value(Value::Array(array))) => arrange(Servers::Inline(array)),
            _ => return Err(EditError::TooEntangled),
        }
    } else {
        own_table(&mut document, index)?.take_out(protocol.name());
    }
    let after = with_line_ends_of(text, &document.to_string());
    let settings = parse_with(&after, file, presets).map_err(EditError::Mistakes)?.settings;
    if settings == wanted { Ok(Changed { text: after, settings }) } else { Err(EditError::TooEntangled) }
}

fn own_table(document: &mut DocumentMut, account: usize) -> Result<TableMut<'_>, EditError> {
    account_table(document, account).ok_or(EditError::TooEntangled)
}

struct Editor<'s> {
    document: DocumentMut,
    accounts: &'s Settings,
    /// Keys that were not in the file. They go again if they have no effect.
    new_keys: Vec<(Place, String)>,
}

impl Editor<'_> {
    /// The position of a place's account; that of no account for a place outside of accounts.
    fn index(&self, place: &Place) -> Option<usize> {
        let Some(name) = place.account() else { return Some(usize::MAX) };
        self.accounts.accounts.iter().position(|account| account.name == name)
    }

    /// Writes out what comes from a preset where a change would otherwise take away more of it than one key: a table with a
    /// host of its own takes nothing else from the preset, and a single table for sending takes the place of all its servers.
    fn write_out(&mut self, changes: &[Change]) -> Result<(), EditError> {
        for change in changes {
            let (Some(name), Some((protocol, at))) = (change.place.account(), change.place.server()) else { continue };
            let index = self.index(&change.place).ok_or(EditError::NoSuchAccount)?;
            let account = &self.accounts.accounts[index];
            let servers: Vec<_> = account.servers().filter(|server| server.protocol == protocol).collect();
            let moves = change.key == "host" && matches!(change.place, Place::Server(..));
            let known = own_table(&mut self.document, index)?.like().get(protocol.name()).cloned();
            if known.is_none() && (servers.len() > 1 || !servers.is_empty() && (moves || at > 0)) {
                write_out_servers(own_table(&mut self.document, index)?, account, protocol)?;
                for (at, _) in servers.iter().enumerate() {
                    self.mark_new(&Place::Server(name.to_owned(), protocol, at), index);
                }
            } else if let Some(server) = servers.get(at).filter(|_| moves && known.is_some()) {
                let place = Place::Server(name.to_owned(), protocol, at);
                let table = place.find_or_make(&mut self.document, index).ok_or(EditError::TooEntangled)?.like();
                if table.get("host").is_none() {
                    let had: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
                    fill_in_server(table, server, account).ok_or(EditError::TooEntangled)?;
                    self.mark_new(&place, index);
                    self.new_keys.retain(|(other, key)| *other != place || !had.contains(key));
                }
            }
        }
        Ok(())
    }

    /// Notes that everything in a server's table is new. The host stays in any case: it says which server this is.
    fn mark_new(&mut self, place: &Place, index: usize) {
        let table = place.find_or_make(&mut self.document, index).map(|table| table.like());
        let keys = table.into_iter().flat_map(|table| table.iter()).map(|(key, _)| key.to_owned());
        self.new_keys.extend(keys.filter(|key| key != "host").map(|key| (place.clone(), key)));
    }

    fn apply(&mut self, change: &Change) -> Result<(), EditError> {
        let index = self.index(&change.place).ok_or(EditError::NoSuchAccount)?;
        let table = change.place.find_or_make(&mut self.document, index).ok_or(EditError::TooEntangled)?;
        let Some(value) = &change.value else {
            table.take_out(change.key);
            return Ok(());
        };
        let table = table.like();
        if table.get(change.key).is_none() {
            self.new_keys.push((change.place.clone(), change.key.to_owned()));
        }
        put(table, change.key, value.clone());
        Ok(())
    }

    /// The text without the new keys that make no difference, and without tables that are empty for that reason.
    fn without_defaults(&self, mut text: String, settings: &Settings, file: &Path, presets: &Presets) -> String {
        let mut attempt = |edit: &dyn Fn(&mut DocumentMut) -> Option<()>| {
            let Ok(mut document) = parse_document(&text) else { return };
            if edit(&mut document).is_some() {
                let shorter = with_line_ends_of(&text, &document.to_string());
                if meaning(&shorter, file, presets).is_ok_and(|meant| meant == *settings) {
                    text = shorter;
                }
            }
        };
        for (place, key) in &self.new_keys {
            attempt(&|document| {
                place.find_or_make(document, self.index(place)?)?.take_out(key);
                Some(())
            });
        }
        text
    }
}

/// Whether two texts mean the same but for the keys that were to change.
fn is_same_but_for(before: &str, after: &str, index: impl Fn(&Place) -> Option<usize>, changes: &[Change]) -> bool {
    let without = |text: &str| {
        let mut tree: toml::Table = text.parse().ok()?;
        for change in changes {
            if let Some(table) = find_mut(&mut tree, &change.place, index(&change.place)?) {
                table.remove(change.key);
            }
        }
        prune(&mut tree);
        Some(tree)
    };
    let (before, after) = (without(before), without(after));
    before.is_some() && before == after
}

/// As [`Place::find_in`], to change it.
fn find_mut<'t>(file: &'t mut toml::Table, place: &Place, account: usize) -> Option<&'t mut toml::Table> {
    let key = match place {
        Place::Local => return file.get_mut("local")?.as_table_mut(),
        Place::Timeouts => return file.get_mut("timeouts")?.as_table_mut(),
        Place::Registration(name) => return file.get_mut(REGISTRATIONS)?.get_mut(name)?.as_table_mut(),
        Place::Account(_) => None,
        Place::Doors(_) => Some("doors"),
        Place::Server(_, protocol, _) => Some(protocol.name()),
        Place::Login(..) => Some(Protocol::Smtp.name()),
    };
    let own = file.get_mut("account")?.as_array_mut()?.get_mut(account)?.as_table_mut()?;
    let Some(key) = key else { return Some(own) };
    let table = match (own.get_mut(key)?, place.server()) {
        (toml::Value::Array(servers), Some((_, at))) => servers.get_mut(at)?.as_table_mut()?,
        (table, Some((_, 0)) | None) => table.as_table_mut()?,
        (_, Some(_)) => return None,
    };
    if matches!(place, Place::Login(..)) { table.get_mut("login")?.as_table_mut() } else { Some(table) }
}

/// Makes texts comparable: without empty tables, and a list of one server is that server.
fn prune(tree: &mut toml::Table) {
    let names: Vec<String> = tree.keys().cloned().collect();
    for name in names {
        let Some(value) = tree.get_mut(&name) else { continue };
        let is_empty = match value {
            toml::Value::Table(table) => {
                prune(table);
                table.is_empty()
            }
            toml::Value::Array(list) => {
                list.iter_mut().filter_map(toml::Value::as_table_mut).for_each(prune);
                let had_tables = list.iter().any(toml::Value::is_table);
                list.retain(|value| value.as_table().is_none_or(|table| !table.is_empty()));
                if let ("smtp", [toml::Value::Table(only)]) = (name.as_str(), list.as_slice()) {
                    *value = toml::Value::Table(only.clone());
                    false
                } else {
                    had_tables && list.is_empty()
                }
            }
            _ => false,
        };
        if is_empty {
            tree.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/home/ann/ostler.toml";
    const TEXT: &str = "# mine\n[local]\npop3 = 110 # low\n\n[[account]] # first\naddress = \"ann@x.net\" # hers\n\
        aliases = [\"lee@x.net\"] # and his\n\n[account.pop3]\nhost = \"pop.x.net\" # old\nsecurity = \"tls\"\n\n\
        [[account]]\naddress = \"bob@y.net\"\ndefault = true\n[account.smtp]\nhost = \"s.y.net\"\n";

    fn ann() -> Place {
        Place::Account("ann@x.net".into())
    }

    fn pop3() -> Place {
        Place::Server("ann@x.net".into(), Protocol::Pop3, 0)
    }

    fn set(place: Place, key: &'static str, value: &str) -> Change {
        let value = (!value.is_empty()).then(|| value.parse().unwrap());
        Change { place, key, value }
    }

    fn changed(text: &str, changes: &[Change]) -> Result<String, EditError> {
        change_keys(text, changes, Path::new(FILE), Presets::built_in()).map(|changed| changed.text)
    }

    #[test]
    fn values_change_and_comments_stay() {
        let changes = [
            set(ann(), "aliases", "['lee@x.net', '*@z.net']"),
            set(ann(), "default", "true"),
            set(Place::Account("bob@y.net".into()), "default", ""),
            set(pop3(), "host", "'mail.x.net'"),
            set(pop3(), "security", "'starttls'"),
            set(pop3(), "port", "1110"),
        ];
        let text = changed(TEXT, &changes).unwrap();
        assert_eq!(
            text,
            "# mine\n[local]\npop3 = 110 # low\n\n[[account]] # first\naddress = \"ann@x.net\" # hers\n\
             aliases = [\"lee@x.net\", '*@z.net'] # and his\ndefault = true\n\n[account.pop3]\nhost = 'mail.x.net' # old\n\
             security = 'starttls'\nport = 1110\n\n[[account]]\naddress = \"bob@y.net\"\n[account.smtp]\nhost = \"s.y.net\"\n"
        );
        let crlf = changed(&TEXT.replace('\n', "\r\n"), &changes).unwrap();
        assert_eq!(crlf, text.replace('\n', "\r\n"));
    }

    #[test]
    fn comments_within_a_list_stay() {
        let aliases =
            "aliases = [\n  \"lee@x.net\", # maiden name, until 2030\n  # my own\n  \"*@ann.example\", # domain\n]";
        let text = TEXT.replace("aliases = [\"lee@x.net\"]", aliases);
        let longer = changed(&text, &[set(ann(), "aliases", "['lee@x.net', '*@ann.example', 'a@z.net']")]).unwrap();
        assert_eq!(longer, text.replace("# domain\n", "# domain\n  'a@z.net',\n"));
        let shorter = changed(&longer, &[set(ann(), "aliases", "['lee@x.net', 'a@z.net']")]).unwrap();
        assert_eq!(shorter, longer.replace("  # my own\n  \"*@ann.example\", # domain\n", ""));
        let doors = "[local]\nsmtp = [ 32025, # Eudora\n         32026, # Netscape\n]\n";
        let more = changed(doors, &[set(Place::Local, "smtp", "[32025, 32026, 25]")]).unwrap();
        assert_eq!(more, doors.replace("Netscape\n", "Netscape\n         25,\n"));
        let one = changed(doors, &[set(Place::Local, "smtp", "32026")]).unwrap();
        assert_eq!(one, "[local]\nsmtp = [ 32026, # Netscape\n]\n");
        let bare = changed("[local]\nsmtp = [25, 26]\n", &[set(Place::Local, "smtp", "26")]).unwrap();
        assert_eq!(bare, "[local]\nsmtp = 26\n");
    }

    const SCRIPT: &str = "[[account]]\naddress = 'ann@x.net' # hers\r\n[account.pop3]\nhost = 'p'\n\
        password.command = '''\nif true\nthen echo x\nfi\n'''\n\n[timeouts]\n";

    #[test]
    fn a_change_leaves_a_script_of_several_lines_as_it_is() {
        let other = SCRIPT.replace("\r\n", "\0").replace('\n', "\r\n").replace('\0', "\n");
        for (text, end) in
            [(SCRIPT, "\n"), (&other, "\r\n"), (&SCRIPT.replace("\r\n", "\n").replace('\n', "\r\n"), "\r\n")]
        {
            let changes = [set(ann(), "aliases", "['lee@x.net']"), set(pop3(), "host", "'q'")];
            let hers = text.find("# hers").unwrap();
            let above = &text[..hers + text[hers..].find('\n').unwrap() + 1];
            let wanted = text.replace(above, &format!("{above}aliases = ['lee@x.net']{end}")).replace("'p'", "'q'");
            assert_eq!(changed(text, &changes).unwrap(), wanted);
        }
    }

    #[test]
    fn a_server_that_moves_takes_its_script_along_as_it_is() {
        let text = THREE.replace("# 2\n", "# 2\r\npassword.command = '''\na\r\nb\n'''\r\n");
        let moved = move_server(&text, ("ann@x.net", 1, 0), Path::new(FILE), Presets::built_in()).unwrap().text;
        assert!(moved.contains("host = 'b' # 2\r\npassword.command = '''\na\r\nb\n'''\r\n"), "{moved:?}");
        assert_eq!(moved.matches("\r\n").count(), 3);
    }

    #[test]
    fn what_is_the_default_anyway_is_not_written() {
        let same = [
            set(Place::Local, "smtp", "2025"),
            set(Place::Timeouts, "connect", "'10s'"),
            set(ann(), "name", "'ann@x.net'"),
            set(pop3(), "port", "995"),
            set(Place::Doors("ann@x.net".into()), "imap", "false"),
        ];
        assert_eq!(changed(TEXT, &same).unwrap(), TEXT);
        let mixed = changed(TEXT, &[same[0].clone(), set(Place::Local, "imap", "false")]).unwrap();
        assert_eq!(mixed, TEXT.replace("# low\n", "# low\nimap = false\n"));
        // What a person wrote stays written, and its comment with it.
        let kept = changed(TEXT, &[set(Place::Local, "pop3", "2110")]).unwrap();
        assert_eq!(kept, TEXT.replace("110 # low", "2110 # low"));
    }

    #[test]
    fn comments_of_a_key_that_goes_stay() {
        let text = "[local]\n# first\npop3 = 110 # low\n# second\nsmtp = 25 # lower\n[timeouts] # wait\n# third\nidle = '1m' # x\n";
        let gone = changed(text, &[set(Place::Local, "pop3", "")]).unwrap();
        assert_eq!(gone, text.replace("pop3 = 110 # low\n", "# low\n"));
        let gone = changed(text, &[set(Place::Local, "smtp", "")]).unwrap();
        assert_eq!(gone, text.replace("smtp = 25 # lower\n", "# lower\n"));
        let gone = changed(text, &[set(Place::Timeouts, "idle", "")]).unwrap();
        assert_eq!(gone, text.replace("idle = '1m' # x\n", "# x\n"));
    }

    #[test]
    fn every_form_of_a_table_takes_a_change() {
        let inline = "account = [{ address = \"ann@x.net\", smtp = { host = \"s\" } }] # all\n";
        let smtp = |at| Place::Server("ann@x.net".into(), Protocol::Smtp, at);
        let text = changed(inline, &[set(smtp(0), "host", "'t'")]).unwrap();
        assert_eq!(text, inline.replace("\"s\"", "'t'"));
        let text = changed(inline, &[set(smtp(1), "host", "'t'"), set(smtp(1), "port", "587")]).unwrap();
        assert_eq!(text, inline.replace("{ host = \"s\" }", "[{ host = \"s\" }, { host = 't', port = 587 }]"));
        let dotted = "[[account]]\naddress = 'ann@x.net'\nsmtp.host = 's' # mine\npop3.host = 'p'\n";
        let text = changed(dotted, &[set(pop3(), "port", "1995")]).unwrap();
        assert_eq!(text, format!("{dotted}pop3.port = 1995\n"));
        let text = changed(dotted, &[set(smtp(1), "host", "'t'")]).unwrap();
        assert_eq!(
            text,
            "[[account]]\naddress = 'ann@x.net'\npop3.host = 'p'\n\n[[account.smtp]]\nhost = 's' # mine\n\n[[account.smtp]]\nhost = 't'\n"
        );
        let gate = [
            set(smtp(0), "auth", "'pop-before-smtp'"),
            set(smtp(0), "fresh", "'5m'"),
            set(Place::Login("ann@x.net".into(), 0), "host", "'l'"),
        ];
        let text = changed(inline, &gate).unwrap();
        assert!(text.contains("fresh = '5m', login = { host = 'l' } } }] # all\n"), "{text}");
        let doors = changed(TEXT, &[set(Place::Doors("ann@x.net".into()), "pop3", "'127.0.0.2:110'")]).unwrap();
        assert!(doors.contains("# and his\ndoors = { pop3 = '127.0.0.2:110' }\n\n[account.pop3]"), "{doors}");
        let fresh = changed("", &[set(Place::Local, "pop3", "110"), set(Place::Timeouts, "tls", "'9s'")]).unwrap();
        assert_eq!(fresh, "[local]\npop3 = 110\n\n[timeouts]\ntls = '9s'\n");
    }

    #[test]
    fn a_server_of_a_preset_is_written_out_before_it_moves() {
        let preset = "[[account]]\naddress = \"ann@optonline.net\"\nprovider = \"optonline\"\n";
        let place = Place::Server("ann@optonline.net".into(), Protocol::Pop3, 0);
        let text = changed(preset, &[set(place.clone(), "host", "'pop.z'")]).unwrap();
        assert_eq!(text, format!("{preset}\n[account.pop3]\nhost = 'pop.z'\n"));
        let text = changed(preset, &[set(place, "username", "'ann'")]).unwrap();
        assert_eq!(text, format!("{preset}\n[account.pop3]\nusername = 'ann'\n"));
        let more = Place::Server("ann@optonline.net".into(), Protocol::Smtp, 1);
        let text = changed(preset, &[set(more, "host", "'s.z'")]).unwrap();
        assert!(
            text.ends_with("\n[[account.smtp]]\nhost = 's.z'\n") && text.matches("[[account.smtp]]").count() == 2,
            "{text}"
        );
    }

    const THREE: &str = "[[account]]\naddress = 'ann@x.net'\n# best\n[[account.smtp]]\nhost = 'a' # 1\n\n# next\n[[account.smtp]]\n\
        host = 'b' # 2\n\n# last\n[[account.smtp]]\nhost = 'c' # 3\n\n[timeouts] # end\n";

    #[test]
    fn servers_move_and_go_with_their_comments() {
        let moved = |text: &str, from, to| {
            move_server(text, ("ann@x.net", from, to), Path::new(FILE), Presets::built_in()).map(|changed| changed.text)
        };
        let text = moved(THREE, 2, 0).unwrap();
        let at = |text: &str, word: &str| text.find(word).unwrap();
        assert!(
            at(&text, "# last\n[[") < at(&text, "'c' # 3") && at(&text, "'c' # 3") < at(&text, "# best\n[["),
            "{text}"
        );
        assert!(text.ends_with("[timeouts] # end\n"), "{text}");
        assert_eq!(moved(&text, 0, 2).unwrap(), THREE);
        let removed = |text: &str, protocol, at| {
            remove_server(text, ("ann@x.net", protocol, at), Path::new(FILE), Presets::built_in())
                .map(|changed| changed.text)
        };
        let text = removed(THREE, Protocol::Smtp, 1).unwrap();
        assert_eq!(text, THREE.replace("# next\n[[account.smtp]]\nhost = 'b' # 2\n\n", ""));
        let inline =
            "account = [{ address = 'ann@x.net', smtp = [{ host = 'a' }, { host = 'b' }], pop3.host = 'p' }]\n";
        assert!(moved(inline, 0, 1).unwrap().contains("'b' }, { host = 'a' }"));
        assert!(!removed(inline, Protocol::Pop3, 0).unwrap().contains("pop3"));
        let lines =
            "account = [{ address = 'ann@x.net', smtp = [\n  { host = 'a' }, # 1\n  { host = 'b' }, # 2\n] }]\n";
        let swapped =
            "account = [{ address = 'ann@x.net', smtp = [\n  { host = 'b' }, # 2\n  { host = 'a' }, # 1\n] }]\n";
        assert_eq!(moved(lines, 0, 1).unwrap(), swapped);
        assert_eq!(removed(lines, Protocol::Smtp, 0).unwrap(), lines.replace("  { host = 'a' }, # 1\n", ""));
        let preset = "[[account]]\naddress = \"ann@optonline.net\"\nprovider = \"optonline\"\n";
        let gone =
            remove_server(preset, ("ann@optonline.net", Protocol::Pop3, 0), Path::new(FILE), Presets::built_in());
        assert!(gone.is_err(), "the preset would bring it back");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        let wrong = |changes: &[Change]| match changed(TEXT, changes) {
            Err(EditError::Mistakes(mistakes)) => mistakes.iter().map(|m| m.key.clone()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            wrong(&[set(pop3(), "host", "'a b'"), set(pop3(), "port", "0")]),
            ["account.pop3.host", "account.pop3.port"]
        );
        assert_eq!(wrong(&[set(ann(), "name", "'BOB@y.net'")]), ["account.address"]);
        assert_eq!(wrong(&[set(pop3(), "host", "")]), ["account.pop3.host"]);
        assert_eq!(wrong(&[set(ann(), "default", "true")]), ["account.default"]);
        let nobody = set(Place::Account("nobody".into()), "default", "true");
        assert_eq!(changed(TEXT, &[nobody]), Err(EditError::NoSuchAccount));
        assert!(matches!(changed("x = = 1", &[]), Err(EditError::CannotTake)));
    }
}
