//! What `ostler add` shows: the servers found and the closing text.

use std::path::Path;
use std::sync::Arc;

use super::{Decision, Running};
use crate::guide::GuideValues;
use crate::setup::{Identity, Plan, Proposal};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Access, Account, Alias, Protocol, SecretSource, Security, Server, Settings};
use ostler_mail::failure::as_word;
use ostler_mail::idn;
use ostler_mail::oauth2::tokens::is_kept_for;
use ostler_mail::secret::Secret;

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
    let reading = if imap.is_empty() { String::new() } else { line("reading ", imap, &plan.fetch_as, false) };
    line("fetching", incoming, &plan.fetch_as, false)
        + &reading
        + &line("sending ", outgoing, &plan.send_as, *gate)
        + &further.collect::<String>()
        + &also
        + &letters.unwrap_or_default()
}

/// The last text: what to type into the mail program. `password` is the local one, or why there is none, if it is to be shown.
pub(super) fn closing_text(
    decision: &Decision,
    settings: &Settings,
    values: &GuideValues,
    password: Option<&Result<Arc<Secret>, String>>,
    file: &Path,
    running: Running,
) -> String {
    let account = &decision.account;
    let name = &account.name;
    let verdict = if decision.works { "works and is saved" } else { "is saved, but has not been seen to work" };
    let place = if values.is_elsewhere() { ", on the other computer" } else { "" };
    let mut text = format!("Account {name} {verdict}, in {}.\n\nIn your mail program{place}:\n", file.display());
    text += &doors_text(account, values);
    let shown = password.and_then(|found| found.as_ref().ok()).map(|password| password.text());
    let password_text = match settings.access {
        Access::Password => shown.as_deref().unwrap_or("the local one; `ostler list --passwords` shows it"),
        _ if account.servers().any(takes_the_clients_password) => "your provider's; ostler passes it on",
        _ => "anything; ostler puts in the right one",
    };
    text += &format!(
        "  user name              {}\n  password               {password_text}\n  encryption (SSL, TLS)  off, for both\n\n",
        // Either form will do.
        idn::both(name)
    );
    if let Some(Err(why)) = password {
        text += &format!("There is no local password yet: {why}.\n\n");
    }
    text + &next_text(decision, running)
}

/// The doors to type, a line each.
fn doors_text(account: &Account, values: &GuideValues) -> String {
    let others = if values.is_elsewhere() { " for other computers" } else { "" };
    let line = |protocol: Protocol| {
        let word = if protocol.is_outgoing() { "outgoing" } else { "incoming" };
        let value = |what| values.get(&format!("{}_{what}", protocol.name())).unwrap_or_default();
        let name = protocol.name().to_uppercase();
        match (value("host"), value("port")) {
            (host, _) if host.is_empty() => format!(
                "  {word} mail ({name})   there is no {protocol} door{others}; open one with `{protocol} = ..` under [local] in the settings\n"
            ),
            (host, port) => format!("  {word} mail ({name})   {host}   port {port}\n"),
        }
    };
    let has = |protocol: &Protocol| match protocol {
        Protocol::Pop3 => account.maildrop().is_some(),
        Protocol::Imap => account.imap.is_some(),
        Protocol::Smtp => !account.smtp.is_empty(),
    };
    [Protocol::Pop3, Protocol::Imap, Protocol::Smtp].into_iter().filter(has).map(line).collect()
}

fn takes_the_clients_password(server: &Server) -> bool {
    server.credentials().is_some_and(|credentials| credentials.secret == SecretSource::Client)
}

/// What to know and to do next.
fn next_text(decision: &Decision, running: Running) -> String {
    let account = &decision.account;
    let mut text = String::new();
    if account.servers().any(|server| server.security == Security::None) {
        text += "One of these servers is used WITHOUT ENCRYPTION, as you asked: anyone along the way can read mail and password.\n\n";
    }
    if !decision.works && account.servers().any(is_kept_for) {
        let name = as_word(&account.name);
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
