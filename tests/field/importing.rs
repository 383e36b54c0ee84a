//! What an import leaves in the settings, account by account, and files of old programs to import.

use crate::adding::{Added, add_in};
use crate::support::ca::TestCa;
use crate::support::ostler::Home;

/// Adds every account of a file, or the one that `more` names; none is tried.
pub(crate) fn import(octets: impl AsRef<[u8]>, more: &[&str]) -> Added {
    import_in(Home::new(&TestCa::new(), &[]), octets, more)
}

pub(crate) fn import_in(home: Home, octets: impl AsRef<[u8]>, more: &[&str]) -> Added {
    let added = add_in(home, octets, more);
    assert_eq!(added.code, Some(0), "{}", added.screen);
    added
}

impl Added {
    /// The servers of every account: `ann@example.org pop3 pop.example.org:995 ann`.
    pub(crate) fn all_servers(&self) -> Vec<String> {
        let mut all = Vec::new();
        for account in self.accounts() {
            for protocol in ["pop3", "smtp", "imap"] {
                let Some(server) = account.get(protocol).and_then(|server| server.as_table()) else { continue };
                let text = |key: &str| server[key].as_str().unwrap().to_owned();
                let address = account["address"].as_str().unwrap();
                all.push(format!("{address} {protocol} {}:{} {}", text("host"), server["port"], text("username")));
            }
        }
        all
    }

    /// The address of each account, with those it sends for beside it.
    pub(crate) fn senders(&self) -> Vec<String> {
        let words = |account: &toml::Table| -> Vec<String> {
            let aliases = account.get("aliases").and_then(|aliases| aliases.as_array().cloned()).unwrap_or_default();
            [&account["address"]].into_iter().chain(&aliases).map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        self.accounts().iter().map(|account| words(account).join(" ")).collect()
    }
}

/// Fields of an account as Outlook Express names them; a number is a switch or a port.
pub(crate) type Fields<'a> = [(&'a str, &'a str)];

/// A registry file with one account each.
pub(crate) fn registry(accounts: &[&Fields<'_>]) -> String {
    let mut text = "REGEDIT4\r\n".to_owned();
    for (number, fields) in accounts.iter().enumerate() {
        text += &format!(
            "\r\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account Manager\\Accounts\\{:08}]\r\n",
            number + 1
        );
        for (name, value) in *fields {
            text += &match value.parse::<u32>() {
                Ok(number) => format!("\"{name}\"=dword:{number:08x}\r\n"),
                Err(_) => format!("\"{name}\"=\"{}\"\r\n", value.replace('\\', "\\\\")),
            };
        }
    }
    text
}

/// A `prefs.js` with these preferences.
pub(crate) fn prefs_js(prefs: &[(&str, &str)]) -> String {
    let mut text = "# Mozilla User Preferences\n".to_owned();
    for (key, value) in prefs {
        let value = if value.parse::<u32>().is_ok() {
            (*value).to_owned()
        } else {
            format!("\"{}\"", value.replace('\\', "\\\\"))
        };
        text += &format!("user_pref(\"{key}\", {value});\n");
    }
    text
}
