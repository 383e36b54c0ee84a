//! `ostler add --import FILE`: what another program's settings hold, shown; then the ordinary conversation for each account
//! that is wanted, with what the file says in the place of options. The files are read by `import.rs`.

use std::path::Path;

use super::terminal::{tell, yes_or_no};
use super::{Abort, AddOutcome, Options, add_account};
use crate::cli::ask;
use crate::config;
use crate::config::presets::Presets;
use crate::setup::import::{Imported, ImportedAccount, companies, read_file};
use crate::setup::{Plan, keep};
use ostler_mail::failure::error_chain;

/// Adds what is wanted of a file.
pub(super) fn add_from_file(file: &Path, options: &Options, presets: &Presets, from: &Path) -> Result<(), Abort> {
    let imported =
        read_file(from, presets).map_err(|e| Abort(2, format!("--import {}: {}", from.display(), error_chain(&e))))?;
    tell(&summary(&imported, from));
    let mut wanted = choose_accounts(&imported, options, presets, from)?;
    if options.address.is_none() {
        let settings = config::load(file).map_err(|error| Abort(2, error_chain(&error)))?.settings;
        wanted.retain(|(address, _)| match keep::existing(&settings, address, address) {
            Some(known) => {
                tell(&format!("{address} is passed over: there is an account {} already.\n", known.name));
                false
            }
            None => true,
        });
    }
    let several = wanted.len() > 1;
    let asks = ask::is_interactive() && !options.password.password_stdin;
    if several {
        let names: Vec<&str> = wanted.iter().map(|(address, _)| address.as_str()).collect();
        if options.name.is_some() {
            return Err(Abort(2, format!("--name is for one account; name its address too: {}", names.join(", "))));
        }
        if !asks && !options.yes {
            return Err(Abort(
                1,
                format!(
                    "{} has {} accounts: {}. Take one with `ostler add ADDRESS --import FILE`, or all with --yes",
                    from.display(),
                    names.len(),
                    names.join(", ")
                ),
            ));
        }
    }
    let (mut kept, mut missed) = (0, 0);
    for (address, account) in &wanted {
        if several {
            tell(&format!("\n{address}\n"));
        }
        if several && asks && !options.yes {
            match ask::cancellable(yes_or_no("Add this account?", true)) {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => continue,
                Ok(Err(ask::Cancelled)) => return Err(aborted(kept)),
                Err(error) => return Err(Abort(1, error.to_string())),
            }
        }
        match add_account(file, options, presets, address, Some(account)) {
            Ok(AddOutcome::Kept) => kept += 1,
            Ok(AddOutcome::Cancelled) => return Err(aborted(kept)),
            Err(stop) if !several => return Err(stop),
            Err(Abort(_, why)) => {
                missed += 1;
                tell(&format!("{address}: {why}\n"));
            }
        }
    }
    if missed > 0 {
        return Err(Abort(
            1,
            format!(
                "{kept} added, {missed} not: see above. `ostler add ADDRESS --import FILE` tries one of them again"
            ),
        ));
    }
    Ok(())
}

fn aborted(kept: usize) -> Abort {
    let what = match kept {
        0 => "nothing was kept".into(),
        1 => "the account added before stays".into(),
        _ => format!("the {kept} accounts added before stay"),
    };
    Abort(1, format!("stopped; {what}"))
}

/// What was read, and what was not.
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
    let file = from.display();
    let is = |account: &&ImportedAccount, address: &str| {
        account.address.as_ref().is_some_and(|its| its.eq_ignore_ascii_case(address))
    };
    let nameless: Vec<_> = imported.accounts.iter().filter(|account| account.address.is_none()).collect();
    let Some(address) = options.address.as_deref().map(str::trim) else {
        let mut wanted: Vec<(String, ImportedAccount)> = Vec::new();
        for account in &imported.accounts {
            let Some(address) = &account.address else { continue };
            if wanted.iter().any(|(known, _)| known.eq_ignore_ascii_case(address)) {
                tell(&format!("{address} is in the file more than once; {} is not used.\n", account.place));
            } else {
                wanted.push((address.clone(), account.clone()));
            }
        }
        return match (wanted.is_empty(), nameless.first()) {
            (false, None) => Ok(wanted),
            (false, Some(one)) => {
                tell(&format!("{} has no mail address; `ostler add ADDRESS --import FILE` takes it.\n", one.place));
                Ok(wanted)
            }
            (true, Some(_)) => Err(Abort(
                1,
                format!(
                    "{file} does not say for which mail address it is; give it: `ostler add ADDRESS --import FILE`"
                ),
            )),
            (true, None) => Err(Abort(
                1,
                format!(
                    "there is no account in {file} that ostler can use; `ostler add ADDRESS` finds the servers of most providers"
                ),
            )),
        };
    };
    if let Some(account) = imported.accounts.iter().find(|account| is(account, address)) {
        return Ok(vec![(address.to_owned(), account.clone())]);
    }
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let homes = companies(domain, presets);
    let of_home = nameless.iter().find(|account| account.companies.iter().any(|its| homes.contains(its)));
    match (of_home, nameless.as_slice()) {
        (Some(account), all) => {
            for other in all.iter().filter(|other| other.place != account.place) {
                tell(&format!("{} is of another company than {address} and is not used.\n", other.place));
            }
            Ok(vec![(address.to_owned(), ImportedAccount::clone(account))])
        }
        (None, [only]) => Ok(vec![(address.to_owned(), ImportedAccount::clone(only))]),
        (None, []) => {
            let known: Vec<&str> = imported.accounts.iter().filter_map(|account| account.address.as_deref()).collect();
            let known = if known.is_empty() { "none that ostler can use".into() } else { known.join(", ") };
            Err(Abort(
                1,
                format!(
                    "{file} has no account of {address}; it has {known}. Without --import ostler looks for the servers itself"
                ),
            ))
        }
        (None, _) => Err(Abort(
            1,
            format!(
                "{file} has servers of several companies, and does not say which are for {address}; name them with --pop3 and \
                 --smtp (see above)"
            ),
        )),
    }
}

/// Puts what the file says where the options say nothing.
pub(super) fn fill_plan(plan: &mut Plan, options: &Options, imported: &ImportedAccount) {
    let sends = !options.fetch_only && options.send_through.is_none();
    if options.provider.is_none() {
        if plan.incoming.endpoints.is_empty() && !options.send_only {
            plan.incoming.endpoints.clone_from(&imported.incoming);
        }
        if plan.outgoing.endpoints.is_empty() && sends {
            plan.outgoing.endpoints.clone_from(&imported.outgoing);
        }
        plan.imap = plan.imap.take().or_else(|| imported.imap.clone());
        let fetches_open = plan.incoming.endpoints.is_empty() && !options.send_only;
        if fetches_open || plan.outgoing.endpoints.is_empty() && sends {
            plan.provider.clone_from(&imported.provider);
        }
        plan.gate |= imported.gate && !plan.incoming.endpoints.is_empty();
    }
    if options.username.is_none() {
        plan.incoming.username.clone_from(&imported.username);
        if options.smtp_username.is_none() && options.send_through.is_none() {
            plan.outgoing.username.clone_from(&imported.smtp_username);
        }
    }
}
