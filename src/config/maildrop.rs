//! Reads `[account.pop3]`: where POP3 clients fetch, which is a POP3 server or a folder of the account's IMAP server.

use super::server::{self, SignInDefaults};
use super::toml_tree::Table;
use super::value;
use ostler_mail::account::{Folder, INBOX, Protocol, Server};

/// What belongs to the IMAP server only.
const OF_FOLDER: [&str; 2] = ["folder", "mark_read"];
/// What belongs to a POP3 server only.
const OF_SERVER: [&str; 9] =
    ["host", "port", "security", "auth", "username", "password", "password_charset", "ca", "pin"];

/// What `[account.pop3]` says: where POP3 clients fetch.
pub(super) enum MaildropTable {
    /// At this POP3 server; `None` if it has mistakes.
    Pop3(Option<Server>),
    /// In this folder of the IMAP server; `None` if it has mistakes.
    Imap(Option<Folder>),
}

/// Reads the table. `has_imap`: the account has an IMAP server.
pub(super) fn read(table: &Table<'_>, has_imap: bool, defaults: &SignInDefaults<'_>) -> MaildropTable {
    let has_pop3 = OF_SERVER.iter().any(|key| table.get(key).is_some()) || defaults.preset.has(Protocol::Pop3);
    let words = [("pop3", false), ("imap", true)];
    let written = table.get("via").map(|item| item.word(&words));
    // A wrong `via` has been reported, and what else stands there is then read as what it looks like.
    if written.flatten().unwrap_or(!has_pop3 && has_imap) {
        MaildropTable::Imap(read_folder(table, has_imap))
    } else {
        for item in OF_FOLDER.into_iter().filter_map(|key| table.get(key)) {
            item.warn("is not used, because mail is fetched from a POP3 server; it belongs to via = \"imap\"");
        }
        // Only read for the mistakes in it.
        let folder = folder_of(table);
        let server = server::read_server(table, Protocol::Pop3, defaults);
        MaildropTable::Pop3(folder.and(server))
    }
}

fn read_folder(table: &Table<'_>, has_imap: bool) -> Option<Folder> {
    if !has_imap {
        let item = table.get("via").unwrap_or_else(|| table.item().clone());
        item.report_absence("needs a server for IMAP; allowed together with [account.imap]");
    }
    for item in OF_SERVER.into_iter().filter_map(|key| table.get(key)) {
        item.warn("is not used, because via = \"imap\" has mail fetched from the server in [account.imap]");
    }
    folder_of(table)
}

fn folder_of(table: &Table<'_>) -> Option<Folder> {
    let name =
        table.get("folder").map_or_else(|| Some(INBOX.to_owned()), |item| item.read(value::FOLDER, value::folder));
    let mark_read = table.get("mark_read").map_or(Some(false), |item| item.flag());
    Some(Folder { name: name?, mark_read: mark_read? })
}
