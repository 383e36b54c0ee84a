//! `ostler password`: sets or replaces an account's password in the keyring, or its local password.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::cli::{account, ask, block_on, fail, print};
use crate::config::Parsed;
use crate::diagnose;
use crate::os::control::{self, Request};
use crate::vault::{Vault, describe_source, keyring_servers, servers_with_secret};
use ostler_mail::account::{Account, Protocol, Server};
use ostler_mail::failure::error_chain;
use ostler_mail::secret::Secret;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
    /// Read the password from a line of standard input
    #[arg(long)]
    stdin: bool,
    /// Sign in with it first, and store it only if that works
    #[arg(long)]
    check: bool,
    /// Only for one of the account's servers, if fetching and sending have different passwords
    #[arg(long, value_name = "pop3|smtp|imap", value_parser = parse_protocol)]
    server: Option<Protocol>,
    /// Make and show a new local password, which your mail program needs if access = "password"
    #[arg(long, conflicts_with_all = ["stdin", "check", "server"])]
    local: bool,
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    Protocol::from_name(text).ok_or_else(|| "one of pop3, smtp, imap".into())
}

pub(crate) fn main(file: &Path, parsed: &Parsed, options: Options) -> ExitCode {
    let account = match account(parsed, &options.name) {
        Ok(account) => Arc::clone(account),
        Err(code) => return code,
    };
    if options.local {
        return make_local_password(file, &account);
    }
    let is_meant = |server: &&Server| options.server.is_none_or(|protocol| server.protocol == protocol);
    let ours: Vec<&Server> = keyring_servers(&account).into_iter().filter(is_meant).collect();
    if ours.is_empty() {
        let other = servers_with_secret(&account).into_iter().find(is_meant);
        return fail(1, &not_in_keyring_text(&account, other));
    }
    let secret = match read_secret(&account, options.stdin) {
        Ok(secret) => secret,
        Err(why) => return fail(1, &why),
    };
    let keep = store_secret(&account, &ours, &secret, options.check, &parsed.settings.timeouts);
    match block_on(keep) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return fail(1, &why),
        Err(error) => return fail(1, &error.to_string()),
    }
    forget_cached_secret(file, &account);
    let where_to: Vec<String> = ours.iter().map(|s| s.address()).collect();
    print(&format!("password of account {} stored in the keyring, for {}\n", account.name, where_to.join(", ")));
    ExitCode::SUCCESS
}

/// Makes a running ostler drop the old password from its memory. It is fine if none runs or answers.
fn forget_cached_secret(file: &Path, account: &Account) {
    let _ = control::ask(file, &Request::ForgetSecret { account: account.name.clone() });
}

fn make_local_password(file: &Path, account: &Account) -> ExitCode {
    let vault = Vault::new();
    match block_on(vault.new_local_password(account)) {
        Ok(Ok(new)) => {
            forget_cached_secret(file, account);
            let (name, new) = (&account.name, new.text());
            print(&format!("new local password of account {name}, for your mail program: {new}\n"));
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(1, &error_chain(&error)),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn not_in_keyring_text(account: &Account, other: Option<&Server>) -> String {
    match other.and_then(Server::credentials) {
        Some(credentials) => format!(
            "the password of account {} comes from {}, not from the keyring",
            account.name,
            describe_source(&credentials.secret)
        ),
        None => format!("no server of account {} needs a password", account.name),
    }
}

/// Reads the password from the terminal, without echo, or from standard input.
fn read_secret(account: &Account, stdin: bool) -> Result<Secret, String> {
    if stdin {
        return ask::read_password();
    }
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask on; give the password with --stdin".into());
    }
    match ask::cancellable(ask::ask_password(format!("Password of {}: ", account.name))) {
        Ok(Ok(read)) => read,
        Ok(Err(ask::Cancelled)) => Err("stopped; the password is unchanged".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn store_secret(
    account: &Arc<Account>,
    servers: &[&Server],
    secret: &Secret,
    check: bool,
    timeouts: &ostler_mail::account::Timeouts,
) -> Result<(), String> {
    let copy = || Secret::new(secret.text().into_owned()).map_err(|e| e.to_string());
    if check {
        // All of them before any is stored, so that one that refuses leaves the old password everywhere.
        for server in servers {
            diagnose::sign_in_with(server, Arc::new(copy()?), timeouts)
                .await
                .map_err(|failure| format!("the password was not stored: {failure}"))?;
        }
    }
    let vault = Vault::new();
    for server in servers {
        vault.store(account, server, copy()?).await.map_err(|e| error_chain(&e))?;
    }
    Ok(())
}
