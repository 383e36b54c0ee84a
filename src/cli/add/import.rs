//! `ostler add --import FILE`: shows what another program's settings hold, then runs the ordinary dialogue for each account
//! to add, with what the file says in place of options. `setup/import.rs` reads the files.

use std::path::Path;

use super::terminal::{tell, yes_or_no};
use super::{Abort, AddOutcome, Options, add_account};
use crate::cli::ask;
use crate::config;
use crate::config::presets::Presets;
use crate::setup::import::{Imported, ImportedAccount, companies, read_file};
use crate::setup::{Plan, keep};
use ostler_mail::account::{Alias, Settings};
use ostler_mail::failure::error_chain;

/// Adds the accounts of a file, or those that the user wants of them.
pub(super) fn add_from_file(file: &Path, options: &Options, presets: &Presets, from: &Path) -> Result<(), Abort> {
    let imported =
        read_file(from, presets).map_err(|e| Abort(2, format!("--import {}: {}", from.display(), error_chain(&e))))?;
    tell(&summary(&imported, from));
    let mut wanted = choose_accounts(&imported, options, presets, from)?;
    // With an address, `add_account` says that the account exists, and what to do.
    if options.address.is_none() {
        drop_existing(file, &mut wanted)?;
    }
    let asks = ask::is_interactive() && !options.password.password_stdin;
    if wanted.len() > 1 {
        check_several(options, from, &wanted, asks)?;
    }
    add_each(file, options, presets, &wanted, asks)
}

/// Drops the accounts that ostler has already.
fn drop_existing(file: &Path, wanted: &mut Vec<(String, ImportedAccount)>) -> Result<(), Abort> {
    let settings = config::load(file).map_err(|error| Abort(2, error_chain(&error)))?.settings;
    wanted.retain(|(address, _)| match keep::existing(&settings, address, address) {
        Some(known) => {
            tell(&format!("{address} is skipped: the account {} exists already.\n", known.name));
            false
        }
        None => true,
    });
    Ok(())
}

/// Whether several accounts can be added with these options.
fn check_several(
    options: &Options,
    from: &Path,
    wanted: &[(String, ImportedAccount)],
    asks: bool,
) -> Result<(), Abort> {
    let names: Vec<&str> = wanted.iter().map(|(address, _)| address.as_str()).collect();
    let list = names.join(", ");
    if options.name.is_some() {
        return Err(Abort(2, format!("--name is for one account; give its address too, one of: {list}")));
    }
    if !asks && !options.yes {
        return Err(Abort(
            1,
            format!(
                "{} has {} accounts: {list}. Add one with `ostler add ADDRESS --import FILE`, or all with --yes",
                from.display(),
                names.len(),
            ),
        ));
    }
    Ok(())
}

/// Runs the dialogue for each account. With several, one that fails does not stop the others.
fn add_each(
    file: &Path,
    options: &Options,
    presets: &Presets,
    wanted: &[(String, ImportedAccount)],
    asks: bool,
) -> Result<(), Abort> {
    let several = wanted.len() > 1;
    let (mut added, mut failed) = (0, 0);
    for (address, account) in wanted {
        if several {
            tell(&format!("\n{address}\n"));
        }
        if several && asks && !options.yes {
            match ask::cancellable(yes_or_no("Add this account?", true)) {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => continue,
                Ok(Err(ask::Cancelled)) => return Err(aborted(added)),
                Err(error) => return Err(Abort(1, error.to_string())),
            }
        }
        match add_account(file, options, presets, address, Some(account)) {
            Ok(AddOutcome::Kept) => added += 1,
            Ok(AddOutcome::Cancelled) => return Err(aborted(added)),
            Err(abort) if !several => return Err(abort),
            Err(Abort(_, why)) => {
                failed += 1;
                tell(&format!("{address}: {why}\n"));
            }
        }
    }
    if failed > 0 {
        let retry = "`ostler add ADDRESS --import FILE` tries one of them again";
        return Err(Abort(1, format!("{added} added, {failed} not added, see above; {retry}")));
    }
    Ok(())
}

fn aborted(added: usize) -> Abort {
    let what = match added {
        0 => "nothing was saved".into(),
        1 => "the account added before stays".into(),
        _ => format!("the {added} accounts added before stay"),
    };
    Abort(1, format!("stopped; {what}"))
}

/// What was taken from the file, and what was not.
fn summary(imported: &Imported, from: &Path) -> String {
    let mut text = format!("{}: {}\n", from.display(), imported.kind);
    for (title, sentences) in [("Taken", &imported.taken), ("Not taken", &imported.not_taken)] {
        if !sentences.is_empty() {
            text += &format!("{title}:\n");
        }
        for sentence in sentences {
            text += &format!("  {sentence}\n");
        }
    }
    text
}

/// The accounts to add, with their addresses.
fn choose_accounts(
    imported: &Imported,
    options: &Options,
    presets: &Presets,
    from: &Path,
) -> Result<Vec<(String, ImportedAccount)>, Abort> {
    match options.address.as_deref().map(str::trim) {
        None => choose_all(imported, from),
        Some(address) => {
            let account = choose_for(address, imported, presets, from)?.for_address(address);
            Ok(vec![(address.to_owned(), account)])
        }
    }
}

/// All accounts of the file that name their mail address.
fn choose_all(imported: &Imported, from: &Path) -> Result<Vec<(String, ImportedAccount)>, Abort> {
    let file = from.display();
    let mut wanted: Vec<(String, ImportedAccount)> = Vec::new();
    for account in &imported.accounts {
        let Some(address) = &account.address else { continue };
        if wanted.iter().any(|(known, _)| known.eq_ignore_ascii_case(address)) {
            tell(&format!("{address} is in the file more than once; {} is not used.\n", account.place));
        } else {
            wanted.push((address.clone(), account.clone()));
        }
    }
    let nameless = imported.accounts.iter().find(|account| account.address.is_none());
    match (wanted.is_empty(), nameless) {
        (false, None) => Ok(wanted),
        (false, Some(one)) => {
            tell(&format!("{} has no mail address; `ostler add ADDRESS --import FILE` adds it.\n", one.place));
            Ok(wanted)
        }
        (true, Some(_)) => Err(Abort(
            1,
            format!("{file} does not say which mail address it is for; give it: `ostler add ADDRESS --import FILE`"),
        )),
        (true, None) => Err(Abort(
            1,
            format!(
                "there is no account in {file} that ostler can use; `ostler add ADDRESS` finds the servers of most providers"
            ),
        )),
    }
}

/// The account of the file for this address: the one that names it; else one of the address's own company; else the only
/// one without an address.
fn choose_for(address: &str, imported: &Imported, presets: &Presets, from: &Path) -> Result<ImportedAccount, Abort> {
    if let Some(account) = imported.accounts.iter().find(|account| account.sends_for(address)) {
        return Ok(account.clone());
    }
    let nameless: Vec<_> = imported.accounts.iter().filter(|account| account.address.is_none()).collect();
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let own_companies = companies(domain, presets);
    let own = nameless.iter().find(|account| account.companies.iter().any(|company| own_companies.contains(company)));
    match (own, nameless.as_slice()) {
        (Some(account), all) => {
            for other in all.iter().filter(|other| other.place != account.place) {
                tell(&format!("{} belongs to another company than {address} and is not used.\n", other.place));
            }
            Ok(ImportedAccount::clone(account))
        }
        (None, [only]) => Ok(ImportedAccount::clone(only)),
        (None, others) => Err(Abort(1, no_account_text(address, imported, others.is_empty(), from))),
    }
}

fn no_account_text(address: &str, imported: &Imported, all_are_named: bool, from: &Path) -> String {
    let file = from.display();
    if !all_are_named {
        return format!(
            "{file} has servers of several companies, and does not say which are for {address}; name them with --pop3 and \
             --smtp (see above)"
        );
    }
    let senders = |account: &ImportedAccount| -> Vec<String> {
        account.address.iter().cloned().chain(account.aliases.iter().map(Alias::to_string)).collect()
    };
    let known: Vec<String> = imported.accounts.iter().flat_map(senders).collect();
    let known = if known.is_empty() { "none that ostler can use".into() } else { known.join(", ") };
    format!("{file} has no account of {address}; it has: {known}. Without --import ostler looks for the servers itself")
}

/// Fills in what the file says where the options say nothing.
pub(super) fn fill_plan(plan: &mut Plan, options: &Options, imported: &ImportedAccount, settings: &Settings) {
    // An address that an account has already stays with it.
    let is_free = |alias: &&Alias| keep::existing_sender(settings, &alias.to_string()).is_none();
    plan.aliases = imported.aliases.iter().filter(is_free).cloned().collect();
    if let Some(address) = &imported.login_address {
        plan.fetch_as.address.clone_from(address);
        if options.send_through.is_none() {
            plan.send_as.address.clone_from(address);
        }
    }
    if options.provider.is_none() {
        plan.proposal.fill(&imported.proposal, options.wanted());
        // The old program's rule also holds where the user names another server for sending.
        plan.proposal.gate |= imported.proposal.gate;
        if plan.proposal.lacks(options.wanted()) {
            plan.proposal.provider.clone_from(&imported.proposal.provider);
        }
    }
    if options.username.is_none() {
        plan.fetch_as.username.clone_from(&imported.username);
        if options.smtp_username.is_none() && options.send_through.is_none() {
            plan.send_as.username.clone_from(&imported.smtp_username);
        }
    }
}
