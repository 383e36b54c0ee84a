//! Adds an account to a settings file that a person wrote. It goes to the end, and everything else stays as it is,
//! octet for octet; only a list `account = [..]` grows by an element.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use toml_edit::DocumentMut;

use super::DEFAULT_FRESH;
use super::edit::{EditError, meaning, parse_document};
use super::issuers;
use super::line_ends::{appended, with_line_ends_of};
use super::list;
use crate::config::presets::Presets;
use ostler_mail::account::issuer::{ClientSecret, HttpsUrl, Issuer, Scopes};
use ostler_mail::account::{
    Account, AfterPop, CommandLine, DEFAULT_IMAP_CONNECTIONS, Folder, INBOX, PasswordCharset, Protocol, SecretSource,
    Security, Server, SignIn,
};
use ostler_mail::wire::hex;

/// The first lines of a new settings file.
const HEADER: &str = "# The settings of ostler. Change what you like: ostler keeps your comments and the order.\n\
    # It reads the file again whenever it changes; `ostler check` tries every server in it.\n";

/// Adds the account to `text`, the text of the settings file `file`. `file` is not opened: relative paths start at its
/// folder. The new text is read again, and refused unless it means the old settings and this account. If the account signs in at a
/// company with a registration that the file does not have, it gets a table too.
pub(crate) fn add_account(text: &str, account: &Account, file: &Path, presets: &Presets) -> Result<String, EditError> {
    let before = parse_document(text)?;
    let old = meaning(text, file, presets)?;
    let tables = tables(account);
    let inline = before.get("account").is_some_and(|accounts| accounts.as_array().is_some());
    let after = if inline { with_element(text, before, &tables)? } else { with_tables(text, &tables) };
    let is_new = |issuer: &&Arc<Issuer>| issuers::find(&old, &issuer.name).as_ref() != Some(issuer);
    let registration = account.oauth2.as_ref().filter(is_new).map(|issuer| registration_table(issuer));
    let after = registration.map_or(after.clone(), |table| with_tables(&after, &table));
    let new = meaning(&after, file, presets)?;
    let (last, others) = new.accounts.split_last().ok_or(EditError::CannotTake)?;
    // The lines say nothing of reading ahead: what is right there follows from the provider.
    let wanted = Account { read_ahead: last.read_ahead, ..account.clone() };
    let is_right = **last == wanted && others == old.accounts;
    if is_right { Ok(after) } else { Err(EditError::CannotTake) }
}

fn with_tables(text: &str, tables: &str) -> String {
    appended(if text.is_empty() { HEADER } else { text }, &format!("\n{tables}"))
}

fn with_element(text: &str, mut document: DocumentMut, tables: &str) -> Result<String, EditError> {
    let own: DocumentMut = tables.parse().map_err(|_| EditError::CannotTake)?;
    let table = own.get("account").and_then(|accounts| accounts.as_array_of_tables()).and_then(|a| a.get(0));
    let table = table.ok_or(EditError::CannotTake)?.clone().into_inline_table();
    let array = document.get_mut("account").and_then(|item| item.as_array_mut()).ok_or(EditError::CannotTake)?;
    list::push(array, table.into());
    Ok(with_line_ends_of(text, &document.to_string()))
}

/// Writes the account as the tables a person would write.
fn tables(account: &Account) -> String {
    let mut text = String::from("[[account]]\n");
    if account.name != account.address {
        line(&mut text, "name", &quoted(&account.name));
    }
    line(&mut text, "address", &quoted(&account.address));
    if !account.aliases.is_empty() {
        let aliases: Vec<String> = account.aliases.iter().map(|alias| quoted(&alias.to_string())).collect();
        line(&mut text, "aliases", &format!("[{}]", aliases.join(", ")));
    }
    if let Some(provider) = &account.provider {
        line(&mut text, "provider", &quoted(provider));
    }
    if let Some(issuer) = &account.oauth2 {
        line(&mut text, "oauth2", &quoted(&issuer.name));
    }
    if account.is_default {
        line(&mut text, "default", "true");
    }
    if let Some(readable) = &account.readable {
        line(&mut text, "readable", &quoted(readable.name));
    }
    if let Some(source) = &account.local_password {
        line(&mut text, "local_password", &secret(source));
    }
    if let Some(server) = &account.pop3 {
        text += "\n[account.pop3]\n";
        server_lines(&mut text, server, account);
    }
    folder_lines(&mut text, account);
    let several = account.smtp.len() > 1;
    for server in &account.smtp {
        text += if several { "\n[[account.smtp]]\n" } else { "\n[account.smtp]\n" };
        server_lines(&mut text, server, account);
    }
    if let Some(server) = &account.imap {
        text += "\n[account.imap]\n";
        server_lines(&mut text, server, account);
        if account.imap_connections != DEFAULT_IMAP_CONNECTIONS {
            line(&mut text, "connections", &account.imap_connections.to_string());
        }
    }
    text
}

/// The table for a registration: what differs from what ostler knows of the company.
pub(crate) fn registration_table(issuer: &Issuer) -> String {
    let known = issuers::known(&issuer.name);
    let mut text =
        format!("[oauth2.{}]\n", if issuer.name.contains('.') { quoted(&issuer.name) } else { issuer.name.clone() });
    if let Some(client_id) = &issuer.client_id {
        line(&mut text, "client_id", &quoted(client_id));
    }
    if let Some(ClientSecret::Kept(source)) = &issuer.client_secret {
        line(&mut text, "client_secret", &secret(source));
    }
    let of_known = known.as_deref().map(urls);
    for (at, (key, url)) in urls(issuer).into_iter().enumerate() {
        if let Some(url) = url.filter(|_| of_known.as_ref().is_none_or(|known| known[at].1 != url)) {
            line(&mut text, key, &quoted(url.as_str()));
        }
    }
    if let Scopes::Fixed(scopes) = &issuer.scopes {
        let scopes: Vec<String> = scopes.iter().map(|scope| quoted(scope)).collect();
        line(&mut text, "scopes", &format!("[{}]", scopes.join(", ")));
    }
    if issuer.redirect != known.map(|known| known.redirect).unwrap_or_default() {
        line(&mut text, "redirect", &quoted(issuer.redirect.host()));
    }
    text
}

/// The addresses of a company, by their keys.
fn urls(issuer: &Issuer) -> [(&'static str, Option<&HttpsUrl>); 4] {
    [
        ("authorize", issuer.authorize.as_ref()),
        ("token", Some(&issuer.token)),
        ("device", issuer.device.as_ref()),
        ("revoke", issuer.revoke.as_ref()),
    ]
}

/// The table that has POP3 clients fetch from the IMAP server. It is written where a preset might name a POP3 server too, so
/// that a later change of the preset changes nothing.
fn folder_lines(text: &mut String, account: &Account) {
    let Folder { name, mark_read } = &account.folder;
    let is_usual = account.folder == Folder::default();
    if account.pop3.is_some() || account.imap.is_none() || (is_usual && account.provider.is_none()) {
        return;
    }
    *text += "\n[account.pop3]\n";
    line(text, "via", &quoted("imap"));
    if name != INBOX {
        line(text, "folder", &quoted(name));
    }
    if *mark_read {
        line(text, "mark_read", "true");
    }
}

/// The table of a server, with everything that the account means by it.
#[cfg_attr(not(feature = "web"), allow(dead_code))]
pub(super) fn server_table(server: &Server, account: &Account) -> Option<toml_edit::Table> {
    let mut text = String::new();
    server_lines(&mut text, server, account);
    let document: DocumentMut = text.parse().ok()?;
    Some(document.into_table())
}

fn server_lines(text: &mut String, server: &Server, account: &Account) {
    place_lines(text, server);
    match &server.sign_in {
        SignIn::AfterPop(gate) => gate_lines(text, gate, account),
        // Written for every server, so that a later change of a preset cannot change how it signs in.
        _ => line(text, "auth", &quoted(server.auth_name())),
    }
    credential_lines(text, server);
}

fn place_lines(text: &mut String, server: &Server) {
    line(text, "host", &quoted(&server.host));
    line(text, "port", &server.port.to_string());
    let security = quoted(server.security.name());
    match server.security {
        Security::None => {
            line(text, "security", &format!("{security}   # anyone along the way can read mail and password"))
        }
        _ => line(text, "security", &security),
    }
    if let Some(ca) = &server.trust.ca {
        line(text, "ca", &quoted(&ca.display().to_string()));
    }
    if let Some(pin) = &server.trust.pin {
        line(text, "pin", &quoted(&format!("sha256:{}", hex(pin))));
    }
}

fn credential_lines(text: &mut String, server: &Server) {
    let Some(credentials) = server.credentials() else { return };
    line(text, "username", &quoted(&credentials.username));
    if credentials.secret != SecretSource::Keyring {
        line(text, "password", &secret(&credentials.secret));
    }
    if credentials.charset != PasswordCharset::default() {
        line(text, "password_charset", &quoted(credentials.charset.name()));
    }
}

fn gate_lines(text: &mut String, gate: &AfterPop, account: &Account) {
    line(text, "auth", "\"pop-before-smtp\"   # ostler logs in by POP3 before each send");
    if gate.fresh != DEFAULT_FRESH {
        // In milliseconds, whatever unit the value had: nothing is rounded away.
        line(text, "fresh", &quoted(&format!("{}ms", gate.fresh.as_millis())));
    }
    if account.pop3.as_ref() != Some(&gate.login) {
        let mut login = String::new();
        place_lines(&mut login, &gate.login);
        credential_lines(&mut login, &gate.login);
        // An inline table is one line, so the comment after `security` has no place in it.
        let pairs: Vec<&str> = login.lines().map(|line| line.split("   #").next().unwrap_or(line)).collect();
        line(text, "login", &format!("{{ {} }}", pairs.join(", ")));
    }
    debug_assert_eq!(gate.login.protocol, Protocol::Pop3);
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn secret(source: &SecretSource) -> String {
    match source {
        SecretSource::Keyring => quoted("keyring"),
        SecretSource::Client => quoted("client"),
        SecretSource::Command(CommandLine::Shell(shell)) => format!("{{ command = {} }}", quoted(shell)),
        SecretSource::Command(CommandLine::Argv(argv)) => {
            let words: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
            format!("{{ command = [{}] }}", words.join(", "))
        }
        SecretSource::File(path) => format!("{{ file = {} }}", quoted(&path.display().to_string())),
        SecretSource::Env(name) => format!("{{ env = {} }}", quoted(name)),
    }
}

/// The text as a TOML string.
fn quoted(text: &str) -> String {
    if !text.contains('\n') {
        return toml_edit::Value::from(text).to_string();
    }
    // On one line: in a file with other line ends, one within the text would become another. A string of JSON is one of TOML,
    // but for the character DEL, which no value may have.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse, remove_account};
    use ostler_mail::account::Settings;

    const FILE: &str = "/home/ann/ostler.toml";

    fn settings(text: &str) -> Settings {
        parse(text, Path::new(FILE)).unwrap().settings
    }

    fn account(text: &str) -> Account {
        settings(text).accounts[0].as_ref().clone()
    }

    fn added(text: &str, account: &Account) -> String {
        add_account(text, account, Path::new(FILE), Presets::built_in()).unwrap()
    }

    /// One of everything.
    fn every_kind() -> Vec<Account> {
        [
            "[[account]]\naddress = 'ann@x.net'\n[account.pop3]\nhost = 'pop.x.net'\n",
            "[[account]]\naddress = 'a@y'\nname = 'home'\naliases = ['b@y', '*@z']\ndefault = true\nusername = 'u'\n\
             password = { command = ['p', 'it\\s'] }\nlocal_password = { file = '/l' }\n[account.smtp]\nhost = 's'\n\
             security = 'starttls'\n[account.imap]\nhost = 'i'\nauth = 'oauth2'\nport = 1",
            "[[account]]\naddress = 'g@y'\npassword = 'client'\n[account.pop3]\nhost = 'p'\nca = '/c.pem'\nsecurity = 'none'\n\
             [[account.smtp]]\nhost = 's'\nauth = 'pop-before-smtp'\nfresh = '90s'\n[[account.smtp]]\nhost = 't'\n\
             auth = 'pop-before-smtp'\nlogin = { host = 'q', security = 'none', username = 'w', password = { env = 'E' }, password_charset = 'windows-1252' }\n\
             [[account.smtp]]\nhost = 'v'\nauth = 'none'\npin = 'sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'\n",
        ]
        .map(account)
        .to_vec()
    }

    #[test]
    fn what_is_written_is_what_is_read_and_the_rest_stays() {
        let start = "# mine\n[local]  # doors\npop3 = 110\n\n[timeouts]\nidle = \"1m\" # short";
        for first in every_kind() {
            let text = added(start, &first);
            assert!(text.starts_with(start), "{text}");
            assert_eq!(*settings(&text).accounts[0], first);
            for second in every_kind().into_iter().filter(|a| a.name != first.name && !a.is_default) {
                let both = added(&text, &second);
                assert!(both.starts_with(&text), "{both}");
                assert_eq!(remove_account(&both, &second.name).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_registration_that_the_file_does_not_have_is_written_once() {
        let corp = "[oauth2.\"corp.example\"]\nclient_id = \"5f\"\nclient_secret = \"keyring\"\nauthorize = \"https://sso.corp.example/a\"\n\
                    token = \"https://sso.corp.example/t\"\nscopes = [\"mail\", \"offline_access\"]\nredirect = \"localhost\"\n";
        let school = "[oauth2.microsoft]\nclient_id = \"5f\"\ntoken = \"https://login.microsoftonline.com/s/oauth2/v2.0/token\"\n";
        for (table, name) in [(corp, "corp.example"), (school, "microsoft")] {
            let of = |address: &str| {
                let account = format!(
                    "[[account]]\naddress = '{address}'\noauth2 = '{name}'\npop3 = {{ host = 'p', auth = 'oauth2' }}\n"
                );
                self::account(&format!("{account}{table}"))
            };
            let text = added("# mine\n", &of("ann@corp.example"));
            assert!(text.ends_with(table), "{text}");
            let text = added(&text, &of("bob@corp.example"));
            assert_eq!(text.matches("[oauth2.").count(), 1, "{text}");
            assert_eq!(settings(&text).accounts.len(), 2);
        }
        let known = "account = [{ address = 'o@x', pop3.host = 'h' }]\n";
        let text = added(
            known,
            &account(&format!(
                "[[account]]\naddress = 'a@x'\noauth2 = 'corp.example'\nsmtp = {{ host = 's', auth = 'oauth2' }}\n{corp}"
            )),
        );
        assert!(text.ends_with(corp), "{text}");
    }

    #[test]
    fn a_new_file_says_what_it_is() {
        let text = added("", &every_kind()[0]);
        assert!(text.starts_with("# The settings of ostler"), "{text}");
        assert!(text.contains(
            "\n\n[[account]]\naddress = \"ann@x.net\"\n\n[account.pop3]\nhost = \"pop.x.net\"\nport = 995\n"
        ));
    }

    #[test]
    fn line_ends_stay_what_they_were() {
        let text = added("# dos\r\n", &every_kind()[0]);
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }

    #[test]
    fn each_line_before_the_account_keeps_its_end() {
        let script =
            "# top\r\n[[account]]\naddress = 'o@x'\npop3 = { host = 'h', password.command = '''\na\nb\n''' }\n";
        let swapped = script.replace("\r\n", "\0").replace('\n', "\r\n").replace('\0', "\n");
        let list = "# top\r\naccount = [\n  { address = 'o@x', pop3 = { host = 'h', password.command = '''\na\nb\n''' } }, # o\n";
        for (text, rest, end) in [(script, "", "\n"), (&swapped, "", "\r\n"), (list, "]", "\n")] {
            let after = added(&format!("{text}{rest}"), &every_kind()[0]);
            let lines = after.strip_prefix(text).unwrap();
            assert_eq!(lines.matches("\r\n").count(), if end == "\n" { 0 } else { lines.matches('\n').count() });
        }
    }

    #[test]
    fn a_command_of_several_lines_is_added_to_a_file_with_any_line_ends() {
        let account = account(
            "[[account]]\naddress = 'a@x'\npop3 = { host = 'h', password.command = \"a \\\"\\\\\\t\\nb\\r\\nc\" }\n",
        );
        for start in ["# mine\n", "# mine\r\n"] {
            assert_eq!(*settings(&added(start, &account)).accounts[0], account);
        }
    }

    #[test]
    fn a_list_on_one_line_grows() {
        let text = "# top\naccount = [{ address = \"o@x\", pop3.host = \"h\" }] # list\n[local]\n";
        let after = added(text, &every_kind()[1]);
        assert!(after.starts_with("# top\naccount = [{ address = \"o@x\", pop3.host = \"h\" }, {"), "{after}");
        assert!(after.ends_with("] # list\n[local]\n"), "{after}");
    }

    #[test]
    fn a_wrong_file_is_left_alone() {
        let wrong = |text: &str| add_account(text, &every_kind()[0], Path::new(FILE), Presets::built_in()).unwrap_err();
        assert_eq!(wrong("a = 1\n= 2\n"), EditError::NotToml { line: 2 });
        assert_eq!(wrong("[[account]]\n"), EditError::CannotTake);
        assert_eq!(wrong("[[account]]\naddress = 'ANN@x.net'\npop3.host = 'h'\n"), EditError::CannotTake);
    }
}
