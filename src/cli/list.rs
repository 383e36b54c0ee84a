//! `ostler list`: accounts and doors, according to the settings.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{block_on, fail, print, print_json};
use crate::config::Parsed;
use crate::vault::Vault;
use ostler_mail::account::{Account, Server, Settings};
use ostler_mail::failure::error_chain;
use ostler_mail::idn;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Show the local passwords that your mail programs need if access = "password"
    #[arg(long)]
    passwords: bool,
}

pub(crate) fn main(parsed: &Parsed, options: &Options) -> ExitCode {
    let settings = &parsed.settings;
    let passwords = if options.passwords {
        match read_local_passwords(settings) {
            Ok(passwords) => Some(passwords),
            Err(why) => return fail(1, &why),
        }
    } else {
        None
    };
    if options.json {
        print_json(&document(settings, passwords.as_deref()));
    } else {
        print(&list_text(settings, passwords.as_deref()));
    }
    ExitCode::SUCCESS
}

fn read_local_passwords(settings: &Settings) -> Result<Vec<String>, String> {
    let vault = Vault::new();
    let all = async {
        let mut passwords = Vec::new();
        for account in &settings.accounts {
            // Makes one where there is none yet, because the user types it before the first connection.
            let password = vault.local_password(account).await.map_err(|e| error_chain(&e))?;
            passwords.push(password.text().into_owned());
        }
        Ok(passwords)
    };
    block_on(all).map_err(|e| e.to_string())?
}

/// A server as the JSON documents have it.
fn server_document(server: &Server) -> Value {
    json!({"host": server.host, "port": server.port, "security": server.security.name(), "auth": server.auth_name()})
}

fn document(settings: &Settings, passwords: Option<&[String]>) -> Value {
    let accounts: Vec<Value> = settings
        .accounts
        .iter()
        .enumerate()
        .map(|(n, account)| {
            let mut document = json!({
                "name": account.name,
                "address": account.address,
                "username": find_username(account),
                "pop3": account.pop3.as_ref().map(server_document),
                "smtp": account.smtp.iter().map(server_document).collect::<Vec<_>>(),
                "imap": account.imap.as_ref().map(server_document),
                "default": account.is_default,
            });
            if let Some(password) = passwords.and_then(|p| p.get(n)) {
                document["local_password"] = json!(password);
            }
            document
        })
        .collect();
    let doors: Vec<Value> = settings.doors.iter()
        .map(|door| json!({"protocol": door.protocol.name(), "address": door.address.to_string(), "account": door.account}))
        .collect();
    json!({"accounts": accounts, "doors": doors})
}

/// The user name at the provider: that of the first server that needs one.
fn find_username(account: &Account) -> Option<&str> {
    let own = account.servers().find_map(Server::credentials);
    own.or_else(|| account.smtp.iter().find_map(|s| s.gate()?.login.credentials())).map(|c| c.username.as_str())
}

fn list_text(settings: &Settings, passwords: Option<&[String]>) -> String {
    let mut text = String::from("accounts\n");
    if settings.accounts.is_empty() {
        text += "  none yet; add one with `ostler add ADDRESS`\n";
    }
    for (n, account) in settings.accounts.iter().enumerate() {
        let default = if account.is_default { "  (default)" } else { "" };
        text += &format!("  {}  {}{default}\n", account.name, idn::both(&account.address));
        for server in account.servers() {
            let security = server.security.name();
            text +=
                &format!("    {:5} {}  {security}, {}\n", server.protocol.name(), server.address(), server.auth_name());
        }
        if let Some(password) = passwords.and_then(|p| p.get(n)) {
            text += &format!("    local password: {password}\n");
        }
    }
    text += "\ndoors\n";
    for door in settings.doors.iter() {
        let whose = door.account.as_ref().map_or_else(String::new, |a| format!("  only account {a}"));
        text += &format!("  {:5} {}{whose}\n", door.protocol.name(), door.address);
    }
    text
}
