//! `ostler add --import FILE`: shows what another program's settings hold, then runs the ordinary dialogue for each account
//! to add, with what the file says in place of options. `setup/import.rs` reads the files.

use std::path::Path;
use std::sync::Arc;

use super::{Abort, AddOutcome, Options, add_account};
use crate::cli::ask;
use crate::cli::screen::{tell, yes_or_no};
use crate::config::presets::Presets;
use crate::config::{self, issuers};
use crate::setup::import::{
    Asked, ImportError, Imported, ImportedAccount, OldDoor, Taken, companies, companies_of, read, read_octets,
};
use crate::setup::{Plan, keep};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Alias, Protocol, Settings};
use ostler_mail::failure::error_chain;
use ostler_mail::idn;

/// Adds the accounts of a file, or those that the user wants of them.
pub(super) fn add_from_file(file: &Path, options: &Options, presets: &Presets, from: &Path) -> Result<(), Abort> {
    let asks = ask::is_interactive() && !options.password.password_stdin;
    let address = options.address.as_deref().map(|address| idn::name(address.trim()).into_owned());
    let (imported, address) = read_file(options, presets, from, address, asks)?;
    let import = Import { file, options, presets, from, imported: &imported };
    let settings = config::load(file).map_err(|error| Abort(2, error_chain(&error)))?.settings;
    let mut chosen = import.choose(address.as_deref())?;
    // With an address, `add_account` says that the account exists, and what to do.
    if address.is_none() {
        drop_existing(&settings, &mut chosen.wanted);
    }
    if chosen.wanted.len() > 1 {
        check_several(options, from, &chosen.wanted, asks)?;
    }
    import.add_each(&settings, &chosen, asks)
}

/// Reads the file, for the address that the user has given. If a file without addresses needs one, it is asked for.
fn read_file(
    options: &Options,
    presets: &Presets,
    from: &Path,
    address: Option<String>,
    asks: bool,
) -> Result<(Imported, Option<String>), Abort> {
    let unusable = |e: ImportError| Abort(2, format!("--import {}: {}", from.display(), error_chain(&e)));
    let octets = read_octets(from).map_err(unusable)?;
    let read_for = |address: Option<&str>| {
        let asked = Asked { address, has_own_certificate: options.ca.is_some() || options.pin_request().is_some() };
        read(&octets, presets, &asked).map_err(unusable)
    };
    let imported = read_for(address.as_deref())?;
    tell(&format!("{}: {}\n", from.display(), imported.kind));
    if address.is_some() || !imported.needs_address() {
        return Ok((imported, address));
    }
    let question = address_question(&imported, from);
    if !asks {
        return Err(Abort(1, format!("{question} Give it: `ostler add ADDRESS --import FILE`")));
    }
    tell(&format!("{question}\n"));
    let stopped = || Abort(1, "stopped; nothing was saved".into());
    let asked = ask::cancellable(ask::ask_line("Your mail address: ")).map_err(|e| Abort(1, e.to_string()))?;
    let address = asked.ok().flatten().filter(|address| !address.is_empty()).ok_or_else(stopped)?;
    let address = idn::name(&address).into_owned();
    Ok((read_for(Some(&address))?, Some(address)))
}

/// Why an address is needed, with the companies for which the file has servers.
fn address_question(imported: &Imported, from: &Path) -> String {
    format!(
        "{} does not say which mail address it is for. It has servers of {}.",
        from.display(),
        titles(imported.accounts.iter())
    )
}

/// The names of the companies of these accounts, each once.
fn titles<'i>(accounts: impl Iterator<Item = &'i ImportedAccount>) -> String {
    let mut titles: Vec<&str> = Vec::new();
    for account in accounts {
        if !titles.contains(&account.title.as_str()) {
            titles.push(&account.title);
        }
    }
    match titles.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "no company".to_owned(),
    }
}

/// Drops the accounts that ostler has already.
fn drop_existing(settings: &Settings, wanted: &mut Vec<(String, ImportedAccount)>) {
    wanted.retain(|(address, _)| match keep::existing(settings, address, address) {
        Some(known) => {
            tell(&format!("{address} is skipped: the account {} exists already.\n", known.name));
            false
        }
        None => true,
    });
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

/// The import of one file.
struct Import<'a> {
    /// The settings file.
    file: &'a Path,
    options: &'a Options,
    presets: &'a Presets,
    /// The file that is imported.
    from: &'a Path,
    imported: &'a Imported,
}

/// The accounts to add, with their addresses, and what of the file is left out for that choice, a sentence each.
struct Chosen {
    wanted: Vec<(String, ImportedAccount)>,
    left_out: Vec<String>,
}

impl Import<'_> {
    /// Runs the dialogue for each account. With several, one that fails does not stop the others.
    fn add_each(&self, settings: &Settings, chosen: &Chosen, asks: bool) -> Result<(), Abort> {
        let several = chosen.wanted.len() > 1;
        let of_file: Vec<String> = self.imported.not_taken.iter().chain(&chosen.left_out).cloned().collect();
        if chosen.wanted.len() != 1 {
            tell(&list("Not taken", &of_file));
        }
        let (mut added, mut failed) = (0, 0);
        for (address, account) in &chosen.wanted {
            if several {
                tell(&format!("\n{address}\n"));
            }
            tell(&self.report(settings, account, if several { &[] } else { &of_file }));
            if several && asks && !self.options.yes {
                match ask::cancellable(yes_or_no("Add this account?", true)) {
                    Ok(Ok(true)) => {}
                    Ok(Ok(false)) => continue,
                    Ok(Err(ask::Cancelled)) => return Err(aborted(added)),
                    Err(error) => return Err(Abort(1, error.to_string())),
                }
            }
            match add_account(self.file, self.options, self.presets, address, Some(account)) {
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

    /// What is taken from the file for an account, what is not, and what changes for the mail program.
    fn report(&self, settings: &Settings, account: &ImportedAccount, of_file: &[String]) -> String {
        let (mut taken, mut not_taken) = (Vec::new(), Vec::new());
        for Taken { server, place, sentence } in &account.taken {
            match server.and_then(|protocol| why_unused(self.options, protocol)) {
                Some(why) => not_taken.push(format!("{place}: not used, because of {why}")),
                None => taken.push(sentence.clone()),
            }
        }
        not_taken.extend(account.not_taken.iter().chain(of_file).cloned());
        not_taken.dedup();
        let mut text = list("Taken", &taken) + &list("Not taken", &not_taken);
        if let Some(helper) = self.imported.kind.helper() {
            let doors: Vec<String> = account.doors.iter().map(|door| door_change(door, settings, helper)).collect();
            text += &list("To change in the mail program once ostler has the account", &doors);
        }
        text
    }
}

/// A heading and a sentence a line; nothing without a sentence.
fn list(title: &str, sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let lines: String = sentences.iter().map(|sentence| format!("  {sentence}\n")).collect();
    format!("{title}:\n{lines}")
}

/// The option because of which a server of the file is not used.
fn why_unused(options: &Options, protocol: Protocol) -> Option<&'static str> {
    let named = match protocol {
        Protocol::Pop3 => [("--pop3", options.pop3.is_some()), ("--send-only", options.send_only)].to_vec(),
        Protocol::Smtp => [
            ("--smtp", !options.smtp.is_empty()),
            ("--fetch-only", options.fetch_only),
            ("--send-through", options.send_through.is_some()),
        ]
        .to_vec(),
        Protocol::Imap => [("--imap", options.imap.is_some())].to_vec(),
    };
    let named = named.into_iter().chain([("--provider", options.provider.is_some())]);
    named.filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).next()
}

/// Which door of ostler takes the place of a helper's.
fn door_change(old: &OldDoor, settings: &Settings, helper: &str) -> String {
    let what = match old.protocol {
        Protocol::Pop3 => "incoming mail (POP3)",
        Protocol::Smtp => "outgoing mail (SMTP)",
        Protocol::Imap => "incoming mail (IMAP)",
    };
    let (serves, port, place) = (old.protocol, old.port, &old.place);
    let Some(door) = settings.shared_door(serves).map(|door| door.address) else {
        return format!(
            "{what}: nothing takes the place of port {port} ({place}); open a door with `{serves} = ..` under [local] in the \
             settings"
        );
    };
    let (host, new) = (door.ip(), door.port());
    if new == port {
        format!(
            "{what}: port {port} ({place}) stays, server {host}; end {helper} first, since only one can listen there"
        )
    } else {
        format!("{what}: port {new} instead of port {port} ({place}), server {host}")
    }
}

fn aborted(added: usize) -> Abort {
    let what = match added {
        0 => "nothing was saved".into(),
        1 => "the account added before stays".into(),
        _ => format!("the {added} accounts added before stay"),
    };
    Abort(1, format!("stopped; {what}"))
}

impl Import<'_> {
    fn choose(&self, address: Option<&str>) -> Result<Chosen, Abort> {
        match address {
            None => self.choose_all(),
            Some(address) => self.choose_for(address),
        }
    }

    /// All accounts of the file that name their mail address.
    fn choose_all(&self) -> Result<Chosen, Abort> {
        let mut chosen = Chosen { wanted: Vec::new(), left_out: Vec::new() };
        for account in &self.imported.accounts {
            match &account.address {
                None => chosen.left_out.push(format!(
                    "{}: it has no mail address; `ostler add ADDRESS --import FILE` adds it",
                    account.place()
                )),
                Some(address) if chosen.wanted.iter().any(|(known, _)| known.eq_ignore_ascii_case(address)) => {
                    chosen.left_out.push(format!("{}: {address} is in the file more than once", account.place()));
                }
                Some(address) => chosen.wanted.push((address.clone(), account.clone())),
            }
        }
        if chosen.wanted.is_empty() {
            tell(&list("Not taken", &self.imported.not_taken));
            let file = self.from.display();
            return Err(Abort(
                1,
                format!(
                    "there is no account in {file} that ostler can use; `ostler add ADDRESS` finds the servers of most providers"
                ),
            ));
        }
        Ok(chosen)
    }

    /// The account of the file for this address: the one that names it; else one of the address's own company; else the
    /// only one without an address.
    fn choose_for(&self, address: &str) -> Result<Chosen, Abort> {
        let accounts = &self.imported.accounts;
        let names_it = |account: &&ImportedAccount| account.sends_for(address);
        let nameless: Vec<&ImportedAccount> = accounts.iter().filter(|account| account.address.is_none()).collect();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let provider = self.options.provider.as_ref().and_then(|id| self.presets.by_id(id));
        let own_companies = match provider {
            Some(preset) => companies_of(preset, self.presets),
            None => companies(domain, self.presets),
        };
        let is_own =
            |account: &&ImportedAccount| account.companies.iter().any(|company| own_companies.contains(company));
        let found = accounts.iter().find(names_it).or_else(|| nameless.iter().copied().find(is_own));
        let found = match (found, nameless.as_slice()) {
            (Some(found), _) => found,
            (None, [only]) => only,
            (None, others) => {
                tell(&list("Not taken", &self.imported.not_taken));
                return Err(Abort(1, no_account_text(address, self.imported, others, self.from)));
            }
        };
        let others = accounts.iter().filter(|account| !std::ptr::eq(*account, found));
        let left_out = others.map(|other| why_not_chosen(other, address)).collect();
        let wanted = vec![(address.to_owned(), found.clone().for_address(address))];
        Ok(Chosen { wanted, left_out })
    }
}

fn why_not_chosen(other: &ImportedAccount, address: &str) -> String {
    match &other.address {
        Some(own) if own.eq_ignore_ascii_case(address) => {
            format!("{}: {own} is in the file more than once", other.place())
        }
        Some(own) => {
            format!("{}: {own} is another account; `ostler add {own} --import FILE` adds it", other.place())
        }
        None => {
            format!("{}: the servers of {}, which are not those of {address}", other.places.join(", "), other.title)
        }
    }
}

fn no_account_text(address: &str, imported: &Imported, nameless: &[&ImportedAccount], from: &Path) -> String {
    let file = from.display();
    if !nameless.is_empty() {
        return format!(
            "{file} has servers of {}, and does not say which are for {address}; name them with --pop3 and --smtp, or name the \
             company with --provider (`ostler providers WORD` finds its name)",
            titles(nameless.iter().copied())
        );
    }
    let senders = |account: &ImportedAccount| -> Vec<String> {
        account.address.iter().cloned().chain(account.aliases.iter().map(Alias::to_string)).collect()
    };
    let known: Vec<String> = imported.accounts.iter().flat_map(senders).collect();
    let known = if known.is_empty() { "none that ostler can use".into() } else { known.join(", ") };
    format!("{file} has no account of {address}; it has: {known}. Without --import ostler looks for the servers itself")
}

/// The company with the registration of the file, unless the settings say something of that company already, or an account is
/// there.
fn registration(imported: &ImportedAccount, settings: &Settings) -> Option<Arc<Issuer>> {
    let own = imported.registration.as_ref()?;
    let accounts = settings.accounts.iter().filter_map(|account| account.oauth2.as_ref());
    let is_known = settings.issuers.iter().chain(accounts).any(|issuer| issuer.name == own.name);
    (!is_known).then(|| Arc::clone(own))
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
    let has_password = options.password.password_stdin || plan.fetch_as.source.is_some();
    if plan.oauth2.is_none() && !has_password {
        let company = imported.oauth2.as_ref().and_then(|name| issuers::find(settings, name));
        // Without a registration there is perhaps a password for programs, unless the servers take none.
        let takes_only_tokens = !plan.proposal.is_empty() && plan.proposal.endpoints().all(Endpoint::takes_only_oauth2);
        let registered = company.filter(|issuer| issuer.client_id.is_some() || takes_only_tokens);
        plan.oauth2 = registration(imported, settings).or(registered);
    }
    if options.username.is_none() {
        plan.fetch_as.username.clone_from(&imported.username);
        if options.smtp_username.is_none() && options.send_through.is_none() {
            plan.send_as.username.clone_from(&imported.smtp_username);
        }
    }
}
