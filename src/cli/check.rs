//! `ostler check`: shows what the doctor finds, step by step.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::{block_on, fail, print, print_json};
use crate::config::Parsed;
use crate::config::presets::Presets;
use crate::diagnose::explain::client_messages::summarize;
use crate::diagnose::{Doctor, Step};
use crate::events::Events;
use crate::proxy::Engine;
use crate::vault::Vault;

/// Options of `ostler check`.
#[derive(Debug, Args)]
pub struct Options {
    /// The accounts to check [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Say what an error of a mail program means: its number, or its text in quotes; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    explain: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

impl Options {
    /// The text to explain instead of checking: an error pasted without quotes comes as several words.
    pub fn to_explain(&self) -> Option<String> {
        let first = self.explain.as_ref()?;
        Some(std::iter::once(first).chain(&self.names).map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    /// Whether one JSON document is wanted.
    pub fn as_json(&self) -> bool {
        self.json
    }
}

/// Checks; exit code 1 if any step failed.
pub fn main(file: &Path, parsed: &Parsed, options: &Options) -> ExitCode {
    // A wrong file of presets has been told when the settings were read.
    let presets = Presets::load(file).unwrap_or_default();
    let mut accounts = Vec::new();
    if options.names.is_empty() {
        accounts.extend(parsed.settings.accounts.iter().cloned());
    }
    for name in &options.names {
        match super::account(parsed, name) {
            Ok(account) => accounts.push(Arc::clone(account)),
            Err(code) => return code,
        }
    }
    if accounts.is_empty() && !options.json {
        return fail(1, "there is no account to check yet; ostler add ADDRESS makes one");
    }
    let show = !options.json;
    let work = async {
        let engine = Arc::new(Engine::new(parsed.settings.clone(), Vault::new(), Events::default()));
        let mut checked = Vec::new();
        for account in accounts {
            if show {
                print(&format!("{}\n", account.name));
            }
            let mut doctor = Doctor::new(Arc::clone(&engine), Arc::clone(&account), |step| {
                if show {
                    print(&step_text(step));
                }
            });
            doctor.set_closed_reason(presets.closed(&account));
            doctor.check().await;
            let steps = doctor.into_steps();
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
            let verdict = if is_ok(steps) { "everything works" } else { "something needs you, see above" };
            print(&format!("{}: {verdict}\n", account.name));
        }
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One line; for a failure, what is likely behind it, what to do, and what old programs show.
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
