//! `ostler check --explain`: what an error message of a mail program means. Needs no settings and no network; with settings
//! it also says which account the error is about.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::{fail, print, print_as_it_is, print_json};
use crate::config::Parsed;
use crate::diagnose::explain::{Explanation, explain};
use crate::os::console;
use ostler_mail::account::Account;
use ostler_mail::{charset, idn};

/// How much is read from standard input. The text of a dialog is far shorter; a whole log would explain nothing.
const MAX_INPUT_OCTETS: u64 = 64 * 1024;
/// The width of the text on a terminal.
const TEXT_COLUMNS: usize = 96;

/// An account that the error is about, and the server that it names.
struct Concerned<'a> {
    account: &'a Account,
    server: String,
}

/// Explains `words`, or standard input if they are a single `-`. Exit code 1 if ostler does not know the error.
pub(crate) fn main(parsed: Option<&Parsed>, words: &str, as_json: bool) -> ExitCode {
    let text = match error_text(words) {
        Ok(text) => text,
        Err(error) => return fail(1, &format!("the error text cannot be read: {error}")),
    };
    let explanations = explain(&text);
    let accounts = parsed.map_or(&[][..], |parsed| &parsed.settings.accounts);
    let concerned = find_concerned(accounts, &text);
    let account = match (concerned.first(), accounts) {
        (Some(one), _) => Some(one.account),
        // With one account the error can only be about that.
        (None, [only]) => Some(only.as_ref()),
        (None, _) => None,
    };
    let name = account.map(|account| ostler_mail::failure::as_word(&account.name));
    if as_json {
        print_json(&document(&explanations, &concerned, name.as_deref()));
    } else {
        print_explanations(&explanations, &concerned, name.as_deref());
    }
    match (explanations.is_empty(), as_json) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::FAILURE,
        (true, false) => fail(1, UNKNOWN_ERROR),
    }
}

const UNKNOWN_ERROR: &str = "ostler does not know this error. If the message has more lines, above all one after \"Server Response\" or \"said:\", give those too. \
    If this was all of it, send it with the name of the mail program to the makers of ostler, as an issue in its repository, so that \
    ostler knows it next time; and if it is the provider's, to the provider's help desk. `ostler status` has the last failure of each \
    account, and `ostler check` tries everything";

/// The error text, in ASCII: the settings and the patterns are in ASCII too.
fn error_text(words: &str) -> std::io::Result<String> {
    if words != "-" {
        return Ok(idn::with_dns_names(words));
    }
    let mut read = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT_OCTETS).read_to_end(&mut read)?;
    Ok(idn::with_dns_names(&charset::text(&read)))
}

/// The document of `--json`.
fn document(explanations: &[Explanation], concerned: &[Concerned<'_>], name: Option<&str>) -> Value {
    let cause = |one: &Explanation| {
        let (cause, next) = (one.cause, insert_account_name(&one.cause.next, name));
        json!({"cause": cause.id, "known_by": one.found, "means": cause.means, "likely": cause.likely, "next": next})
    };
    let causes: Vec<_> = explanations.iter().map(cause).collect();
    let account = |one: &Concerned<'_>| json!({"name": one.account.name, "server": one.server});
    let accounts: Vec<_> = concerned.iter().map(account).collect();
    json!({"found": !causes.is_empty(), "causes": causes, "accounts": accounts})
}

fn print_explanations(explanations: &[Explanation], concerned: &[Concerned<'_>], name: Option<&str>) {
    for (number, one) in explanations.iter().enumerate() {
        if number > 0 {
            print("\n");
        }
        let head = if number == 0 { "what it means:" } else { "or:" };
        // Commands repeat `--config` before the lines are broken.
        let says = |head, text: &str| print_as_it_is(&wrap_paragraph(head, &console::repeat_config(text)));
        says(head, &one.cause.means);
        says("likely cause:", &one.cause.likely);
        says("what to do:", &insert_account_name(&one.cause.next, name));
        print_as_it_is(&wrap_paragraph("known by:", &one.found));
    }
    for one in concerned {
        print(&format!("\nthis concerns account {}, server {}\n", one.account.name, one.server));
    }
}

/// Puts the account's name into the next step.
fn insert_account_name(next: &str, name: Option<&str>) -> String {
    let Some(name) = name else {
        let is_named = next.contains("NAME");
        return if is_named { format!("{next} (NAME is the account's; see `ostler list`)") } else { next.to_owned() };
    };
    let next = next.replace("NAME", name);
    match next.strip_suffix("run: ostler check") {
        Some(start) => format!("{start}run: ostler check {name}"),
        None => next,
    }
}

/// The accounts whose servers are named in the text.
fn find_concerned<'a>(accounts: &'a [Arc<Account>], text: &str) -> Vec<Concerned<'a>> {
    let lower = text.to_lowercase();
    let names = |host: &str| {
        let host = host.to_lowercase();
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '.');
        lower.match_indices(&host).any(|(at, _)| {
            let before = lower.get(..at).and_then(|start| start.chars().next_back());
            let after = lower.get(at + host.len()..).unwrap_or_default();
            // A full stop after the host ends a sentence, unless a letter follows.
            let after = after.strip_prefix('.').map_or_else(|| after.chars().next(), |rest| rest.chars().next());
            !inside(before) && !after.is_some_and(char::is_alphanumeric)
        })
    };
    accounts
        .iter()
        .filter_map(|account| {
            let server = account.servers().find(|server| names(&server.host))?;
            let server = format!("{} {}", server.protocol.name(), server.address());
            Some(Concerned { account, server })
        })
        .collect()
}

/// A heading and a text, wrapped at blanks.
fn wrap_paragraph(head: &str, text: &str) -> String {
    let mut out = String::new();
    let mut line = format!("{head:15}");
    let indent = line.len();
    for word in text.split(' ') {
        if line.len() > indent && line.len() + 1 + word.len() > TEXT_COLUMNS {
            out += line.trim_end();
            out.push('\n');
            line = " ".repeat(indent);
        }
        if line.len() > indent {
            line.push(' ');
        }
        line += word;
    }
    out + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_at_blanks() {
        let text = wrap_paragraph("what to do:", &"word ".repeat(60));
        assert!(text.lines().all(|line| line.len() <= TEXT_COLUMNS), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("               word")), "{text}");
    }

    #[test]
    fn the_next_step_names_the_account() {
        assert_eq!(insert_account_name("set it: ostler password NAME", Some("home")), "set it: ostler password home");
        assert_eq!(
            insert_account_name("sign in, then run: ostler check", Some("home")),
            "sign in, then run: ostler check home"
        );
        assert_eq!(insert_account_name("run: ostler check", None), "run: ostler check");
    }

    #[test]
    fn a_servers_name_is_found_as_a_whole() {
        let account = Arc::new(ostler_mail::account::testing::account("home", "ann@example.net", "ann"));
        let host = account.servers().next().map(|server| server.host.clone());
        let Some(host) = host else { return };
        let accounts = [account];
        assert_eq!(find_concerned(&accounts, &format!("error at {host}.")).len(), 1);
        assert_eq!(find_concerned(&accounts, &format!("error at x{host}")).len(), 0);
        assert_eq!(find_concerned(&accounts, &format!("error at {host}.au")).len(), 0);
    }
}
