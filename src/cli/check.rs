//! `ostler check`: prints what the doctor finds, step by step.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::{block_on, fail, print, print_json};
use crate::config::Parsed;
use crate::config::presets::Presets;
use crate::diagnose::explain::client_messages::summarize;
use crate::diagnose::{Step, check_account};
use crate::events::Events;
use crate::proxy::Engine;
use crate::vault::Vault;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The accounts to check [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Explain an error message of a mail program: its number, or its text in quotes; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    explain: Option<String>,
    /// One JSON document
    ///
    /// It has `ok`, and in `accounts` for each account its `name`, `ok` and `steps`. A step has `server` (protocol, host
    /// and port), `step` (settings, secret, name, tcp, tls, capabilities, sign-in, message-ids, gate or send), `ok`,
    /// `detail` (what was seen), `advice`, `cause`, `shows` (what old mail programs show for it: `program`, `text`) and
    /// `ms`. With --explain it has `found`, `causes` (`cause`, `known_by`, `means`, `likely`, `next`) and `accounts`
    /// (`name`, `server`).
    #[arg(long)]
    json: bool,
}

impl Options {
    /// The error message to explain instead of checking. One pasted without quotes arrives as several words.
    pub(crate) fn to_explain(&self) -> Option<String> {
        let first = self.explain.as_ref()?;
        Some(std::iter::once(first).chain(&self.names).map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn as_json(&self) -> bool {
        self.json
    }
}

/// Exit code 1 if any step failed.
pub(crate) fn main(file: &Path, parsed: &Parsed, options: &Options) -> ExitCode {
    // A wrong file of presets was reported when the settings were read.
    let presets = Presets::load(file).unwrap_or_default();
    let mut accounts = Vec::new();
    if options.names.is_empty() {
        accounts.extend(parsed.settings.accounts.iter().cloned());
    }
    for name in &options.names {
        match super::account(parsed, name) {
            // One account may be named twice, by its name and its address; a wrong password is tried once.
            Ok(account) if accounts.iter().any(|known| Arc::ptr_eq(known, account)) => {}
            Ok(account) => accounts.push(Arc::clone(account)),
            Err(code) => return code,
        }
    }
    if accounts.is_empty() && !options.json {
        return fail(1, "there is no account to check yet; add one with `ostler add ADDRESS`");
    }
    let show = !options.json;
    let work = async {
        let vault = Vault::new().knowing(presets.app_passwords());
        let engine = Arc::new(Engine::new(parsed.settings.clone(), vault, Events::default()));
        let mut checked = Vec::new();
        for account in accounts {
            if show {
                print(&format!("{}\n", account.name));
            }
            let on_step = |step: &Step| {
                if show {
                    print(&step_text(step));
                }
            };
            let steps = check_account(&engine, &account, presets.closed(&account), on_step).await;
            checked.push((account, steps));
        }
        checked
    };
    let checked = match block_on(work) {
        Ok(checked) => checked,
        Err(error) => return fail(1, &error.to_string()),
    };
    let is_ok = |steps: &[Step]| steps.iter().all(|step| step.is_ok());
    let ok = !checked.is_empty() && checked.iter().all(|(_, steps)| is_ok(steps));
    if options.json {
        let accounts: Vec<_> = checked
            .iter()
            .map(|(account, steps)| json!({"name": account.name, "ok": is_ok(steps), "steps": steps}))
            .collect();
        print_json(&json!({"ok": ok, "accounts": accounts}));
    } else {
        for (account, steps) in &checked {
            let verdict = if is_ok(steps) { "everything works" } else { "something needs your attention, see above" };
            print(&format!("{}: {verdict}\n", account.name));
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One line; for a failure also the likely cause, what to do, and what old mail programs show.
pub(crate) fn step_text(step: &Step) -> String {
    let Step { server, kind, detail, advice, cause, client_messages, ms, .. } = step;
    let mark = if step.is_ok() { "ok  " } else { "FAIL" };
    let mut text = format!("  {mark} {server:32} {:12} {detail} ({ms} ms)\n", kind.name());
    if let Some(cause) = cause {
        text += &format!("       likely cause: {cause}\n");
    }
    if let Some(advice) = advice {
        text += &format!("       what to do: {advice}\n");
    }
    if !client_messages.is_empty() {
        text += &format!("       mail programs show: {}\n", summarize(client_messages));
    }
    text
}
