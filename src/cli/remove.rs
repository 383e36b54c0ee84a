//! `ostler remove`: removes an account from the settings file, and its passwords from the keyring.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::ask::show_prompt;
use crate::cli::{account, block_on, fail, print, wait_until_served};
use crate::config::{self, NotEdited, Parsed};
use crate::os::control::{Request, ask};
use crate::setup::keep::wait_for_accounts;
use crate::vault::{SecretStore, Vault};
use ostler_mail::failure::error_chain;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The account
    #[arg(value_name = "NAME", required_unless_present = "all")]
    name: Option<String>,
    /// Remove all accounts, for instance before uninstalling ostler
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn main(file: &Path, parsed: &Parsed, options: &Options) -> ExitCode {
    let accounts = match &options.name {
        Some(name) => match account(parsed, name) {
            Ok(account) => std::slice::from_ref(account),
            Err(code) => return code,
        },
        None => parsed.settings.accounts.as_slice(),
    };
    if accounts.is_empty() {
        print("there is no account to remove\n");
        return ExitCode::SUCCESS;
    }
    let names = ostler_mail::choose::names(accounts).join(", ");
    if !options.yes {
        if !std::io::stdin().is_terminal() {
            return fail(1, "there is no terminal to ask on; use --yes to remove the account without being asked");
        }
        if !confirm_removal(&names) {
            return fail(1, "nothing was removed");
        }
    }
    let without_all = |text: &str| {
        accounts.iter().try_fold(text.to_owned(), |text, account| config::remove_account(&text, &account.name))
    };
    let _turn = block_on(wait_for_accounts(file)).ok().flatten();
    // Before the keyring: passwords without an account do no harm, an account without passwords fails.
    if let Err(error) = config::edit_file(file, without_all) {
        return fail(1, &not_removed_text(file, &error));
    }
    // Whatever the running ostler still stores for an account that it serves would stay for ever.
    wait_until_served(file, |served| accounts.iter().all(|account| !served.contains(&account.name.as_str())));
    for account in accounts {
        let _ = ask(file, &Request::Removed { account: account.name.clone() });
    }
    let mut code = ExitCode::SUCCESS;
    let gone: Vec<String> = accounts.iter().map(|account| account.name.clone()).collect();
    if let Err(error) = crate::events::history_file::forget(file, &gone) {
        code = fail(1, &format!("the history of fetches and sends could not be removed: {error}; delete it yourself"));
    }
    for account in accounts {
        print(&format!("account {} removed from {}\n", account.name, file.display()));
        match block_on(Vault::new().forget_account(account)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let (name, place) = (&account.name, SecretStore::of_this_ostler());
                code = fail(1, &format!("the passwords of {name} are still in {place}: {}", error_chain(&error)));
            }
            Err(error) => code = fail(1, &error.to_string()),
        }
    }
    code
}

fn not_removed_text(file: &Path, error: &NotEdited) -> String {
    let file = file.display();
    match error {
        NotEdited::Unreadable(error) => format!("cannot read {file}: {error}"),
        NotEdited::Refused(error) => error_chain(error),
        NotEdited::Unwritable(error) => format!("cannot write {file}: {error}; nothing was removed"),
    }
}

fn confirm_removal(name: &str) -> bool {
    show_prompt(&format!("Remove account {name} and its stored passwords? [y/N] "));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}
