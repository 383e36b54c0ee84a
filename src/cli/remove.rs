//! `ostler remove`: takes an account out of the settings file, and its secrets out of the keyring.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::app::in_full;
use crate::cli::{account, block_on, fail, print};
use crate::config::{self, Parsed};
use crate::control::{Request, ask};
use crate::vault::{Vault, VaultError};

/// Options of `ostler remove`.
#[derive(Debug, Args)]
pub struct Options {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Removes it.
pub fn main(file: &Path, parsed: &Parsed, options: &Options) -> ExitCode {
    let account = match account(parsed, &options.name) {
        Ok(account) => account,
        Err(code) => return code,
    };
    if !options.yes {
        if !std::io::stdin().is_terminal() {
            return fail(1, "there is no terminal to ask on; give --yes to remove the account without a question");
        }
        if !agreed(&account.name) {
            return fail(1, "nothing was removed");
        }
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return fail(1, &format!("cannot read {}: {error}", file.display())),
    };
    let changed = match config::remove_account(&text, &account.name) {
        Ok(changed) => changed,
        Err(error) => return fail(1, &in_full(&error)),
    };
    if let Err(error) = config::write_atomically(file, &changed) {
        return fail(1, &format!("cannot write {}: {error}; nothing was removed", file.display()));
    }
    print(&format!("account {} removed from {}\n", account.name, file.display()));
    let _ = ask(file, &Request::ForgetSecret { account: account.name.clone() });
    match block_on(Vault::new().forget_account(account)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // Without a keyring there is nothing in it.
        Ok(Err(VaultError::NoKeyring { .. })) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(1, &format!("its passwords are still in the keyring: {}", in_full(&error))),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn agreed(name: &str) -> bool {
    let mut err = std::io::stderr();
    let _ = write!(err, "Remove account {name} and its stored passwords? [y/N] ").and_then(|()| err.flush());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}
