//! What `ostler add` shows: the servers found and the closing text.

use std::path::Path;

use super::{Decision, Running};
use crate::setup::{Identity, Plan, Proposal};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Access, Alias, Protocol, Security, Settings};
use ostler_mail::idn;
use ostler_mail::oauth2::tokens::is_kept_for;

/// The two sides of the plan, one line each.
pub(super) fn plan_text(plan: &Plan) -> String {
    let line = |word: &str, endpoints: &[Endpoint], who: &Identity, gate: bool| {
        let Some(endpoint) = endpoints.first() else { return format!("  {word}  (none)\n") };
        let mut line = format!("  {word}  {}", endpoint.describe());
        if gate {
            line += ", after a POP login";
        } else {
            line += &format!(", as {}", who.usernames(endpoint).join(" or "));
        }
        if endpoints.len() > 1 {
            line += &format!("   (or {} more)", endpoints.len() - 1);
        }
        line + "\n"
    };
    let Proposal { incoming, outgoing, standby, gate, imap, .. } = &plan.proposal;
    let further = standby.iter().map(|e| format!("            {} if that cannot be reached\n", e.describe()));
    let aliases: Vec<String> = plan.aliases.iter().map(Alias::to_string).collect();
    let also = if aliases.is_empty() { String::new() } else { format!("  also as   {}\n", aliases.join(", ")) };
    let letters = plan.readable.map(|readable| format!("  letters   rewritten for {}\n", readable.program()));
    let reading = imap.as_slice();
    let reading = if reading.is_empty() { String::new() } else { line("reading ", reading, &plan.fetch_as, false) };
    line("fetching", incoming, &plan.fetch_as, false)
        + &reading
        + &line("sending ", outgoing, &plan.send_as, *gate)
        + &further.collect::<String>()
        + &also
        + &letters.unwrap_or_default()
}

/// The last text: what to type into the mail program.
pub(super) fn closing_text(decision: &Decision, settings: &Settings, file: &Path, running: Running) -> String {
    let account = &decision.account;
    let name = &account.name;
    let mut text = String::new();
    let verdict = if decision.works { "works and is saved" } else { "is saved, but has not been seen to work" };
    text += &format!("Account {name} {verdict}, in {}.\n\nIn your mail program:\n", file.display());
    let mut line = |word: &str, protocol: Protocol| match settings.door_for(protocol, account) {
        Some(door) => text += &format!("  {word}   {}   port {}\n", door.address.ip(), door.address.port()),
        None => {
            text += &format!(
                "  {word}   there is no {protocol} door; open one with `{protocol} = ..` under [local] in the settings\n"
            )
        }
    };
    if account.maildrop().is_some() {
        line("incoming mail (POP3)", Protocol::Pop3);
    }
    if account.imap.is_some() {
        line("incoming mail (IMAP)", Protocol::Imap);
    }
    if !account.smtp.is_empty() {
        line("outgoing mail (SMTP)", Protocol::Smtp);
    }
    let password = match settings.access {
        Access::Password => "the local one; `ostler list --passwords` shows it",
        _ if account
            .servers()
            .filter_map(|s| s.credentials())
            .any(|c| c.secret == ostler_mail::account::SecretSource::Client) =>
        {
            "your provider's; ostler passes it on"
        }
        _ => "anything; ostler puts in the right one",
    };
    text += &format!(
        "  user name              {}\n  password               {password}\n  encryption (SSL, TLS)  off, for both\n\n",
        // Either form will do.
        idn::both(name)
    );
    if account.servers().any(|server| server.security == Security::None) {
        text += "One of these servers is used WITHOUT ENCRYPTION, as you asked: anyone along the way can read mail and password.\n\n";
    }
    if !decision.works && account.servers().any(is_kept_for) {
        text += &format!("If you have not signed in at the company yet, do that next: `ostler sign-in {name}`.\n");
    }
    text += "Step by step for your program: `ostler guide` lists the programs, `ostler guide outlook-express` is one of them.\n";
    text += match running {
        Running::HasAccount => "The running ostler has the account already.\n",
        Running::LacksAccount => "The running ostler does not have the account yet; `ostler status` shows why.\n",
        Running::No => "ostler is not running yet; start it with `ostler run`, and leave it running.\n",
    };
    text
}
