//! `ostler providers`: the presets, all of them or those with a word in them.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{fail, print, print_json};
use crate::config::presets::{Confidence, Pop, Preset, Presets};
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::{Endpoint, LoginForm, Way};
use ostler_mail::failure::error_chain;

/// More presets than these are shown with one line each.
const IN_FULL: usize = 3;

/// Options of `ostler providers`.
#[derive(Debug, Args)]
pub struct Options {
    /// Only providers with this in their name, domains or servers; or a mail address
    word: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// Shows presets; `file` is the settings file, beside which there may be presets of the user's own.
pub fn main(file: &Path, options: &Options) -> ExitCode {
    let presets = match Presets::load(file) {
        Ok(presets) => presets,
        Err(error) => return fail(2, &error_chain(&error)),
    };
    let word = options.word.as_deref().unwrap_or_default();
    let mut found = presets.search(word);
    found.sort_by(|a, b| a.id.cmp(&b.id));
    if options.json {
        let list: Vec<Value> = found.iter().map(|preset| document(preset)).collect();
        print_json(&json!({"providers": list}));
    } else if found.len() > IN_FULL {
        print(&table(found.iter().map(|preset| &***preset)));
    } else {
        let shown: Vec<String> = found.iter().map(|preset| in_detail(preset)).collect();
        print(&shown.join("\n"));
    }
    if found.is_empty() {
        return fail(
            1,
            &format!(
                "no provider that ostler knows fits {}; `ostler providers` alone lists all of them, and an account can name \
                 its servers itself",
                ostler_mail::wire::printable(word.as_bytes())
            ),
        );
    }
    ExitCode::SUCCESS
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Pop3, Protocol::Smtp, Protocol::Imap];

fn document(preset: &Preset) -> Value {
    let servers = |protocol| preset.templates(protocol).map(server).collect::<Vec<_>>();
    json!({
        "name": preset.id,
        "title": preset.title,
        "domains": preset.domains,
        "domain_suffixes": preset.domain_suffixes,
        "legacy_hosts": preset.legacy_hosts,
        "mx": preset.mx,
        "pop3": servers(Protocol::Pop3),
        "smtp": servers(Protocol::Smtp),
        "imap": servers(Protocol::Imap),
        "login": login(&preset.login),
        "auth": words(&preset.ways),
        "enable": preset.enable,
        "app_password": preset.app_password,
        "window_s": preset.window.map(|window| window.as_secs()),
        "pop": preset.pop.name(),
        "sends_elsewhere": preset.sends_elsewhere,
        "closed": preset.closed,
        "note": preset.note,
        "source": preset.source,
        "checked": preset.checked,
        "confidence": preset.confidence.name(),
        "own": preset.is_own(),
    })
}

fn server(server: &Endpoint) -> Value {
    json!({
        "host": server.host,
        "port": server.port,
        "security": server.security.name(),
        "auth": server.auth_name(),
        "login": login(&server.login),
    })
}

/// As the file of presets has it.
fn login(form: &LoginForm) -> &str {
    match form {
        LoginForm::Address => "address",
        LoginForm::LocalPart => "local-part",
        LoginForm::Template(form) => form,
        LoginForm::Unknown => "ask",
    }
}

fn words(ways: &[Way]) -> Vec<String> {
    ways.iter().map(Way::to_string).collect()
}

/// One line for each.
fn table<'p>(presets: impl Iterator<Item = &'p Preset> + Clone) -> String {
    let width = presets.clone().map(|preset| preset.id.len()).max().unwrap_or(0);
    presets.map(|preset| format!("{:width$}  {}{}\n", preset.id, preset.title, remark(preset))).collect()
}

/// What is most worth knowing about it, behind its title.
fn remark(preset: &Preset) -> &'static str {
    match preset {
        Preset { closed: Some(_), .. } => "  (no mail program can use it)",
        _ if preset.ways.iter().all(|way| matches!(way, Way::OAuth2(_))) => {
            "  (takes no passwords; not in this version)"
        }
        Preset { pop: Pop::No, .. } => "  (no POP)",
        Preset { pop: Pop::Paid, .. } => "  (POP for paying members)",
        Preset { confidence: Confidence::Low, .. } => "  (not confirmed)",
        _ => "",
    }
}

fn in_detail(preset: &Preset) -> String {
    let mut text = format!("{}  {}\n", preset.id, preset.title);
    let mut line = |label: &str, said: &str| {
        if !said.is_empty() {
            text += &format!("  {label:13} {said}\n");
        }
    };
    let domains: Vec<String> =
        preset.domains.iter().cloned().chain(preset.domain_suffixes.iter().map(|s| format!("*{s}"))).collect();
    line("addresses at", &domains.join(", "));
    for protocol in PROTOCOLS {
        for server in preset.templates(protocol) {
            line(protocol.name(), &server.describe());
        }
    }
    if preset.is_usable() {
        line("user name", described(&preset.login));
        line("signs in by", &preset.ways.iter().map(way).collect::<Vec<_>>().join(", else "));
    }
    line("POP", pop(preset.pop));
    if preset.sends_elsewhere {
        line("sending", "through another company");
    }
    line("not usable", preset.closed.as_deref().unwrap_or_default());
    line("first", preset.enable.as_deref().unwrap_or_default());
    line("app password", preset.app_password.as_deref().unwrap_or_default());
    line("note", preset.note.as_deref().unwrap_or_default());
    line("old servers", &preset.legacy_hosts.join(", "));
    let checked = preset.checked.as_deref().map(|date| format!(", looked at on {date}")).unwrap_or_default();
    let sure = match preset.confidence {
        Confidence::High => "well known",
        Confidence::Medium => "known from one source",
        Confidence::Low => "not confirmed; `ostler check` shows whether it works",
    };
    line("how sure", &format!("{sure}{checked}"));
    text
}

fn described(form: &LoginForm) -> &str {
    match form {
        LoginForm::Address => "the whole address",
        LoginForm::LocalPart => "what is before the @",
        LoginForm::Template(form) => form,
        LoginForm::Unknown => "the whole address, or what is before the @",
    }
}

fn way(way: &Way) -> &'static str {
    match way {
        Way::Password => "your password",
        Way::AppPassword => "an app password",
        Way::OAuth2(_) => "a sign-in in the web browser (not in this version of ostler)",
        Way::PopBeforeSmtp => "a fetch before each send",
        Way::Bridge => "the provider's own program on this computer",
        Way::None => "nothing",
    }
}

fn pop(pop: Pop) -> &'static str {
    match pop {
        Pop::Yes => "",
        Pop::No => "there is none",
        Pop::Paid => "only for paying members",
        Pop::Unclear => "not sure whether there is",
    }
}
