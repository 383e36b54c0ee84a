//! `ostler providers`: lists the presets, or those that contain a word.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{fail, print, print_json};
use crate::config::presets::{Confidence, Pop, Preset, Presets};
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::{AuthMethod, Endpoint, LoginForm};
use ostler_mail::failure::error_chain;

/// More presets than this are listed with one line each.
const MAX_DETAILED: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only providers that have this in their name, domains or servers; or a mail address
    word: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// `file` is the settings file; beside it there may be a file of the user's own presets.
pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
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
    } else if found.len() > MAX_DETAILED {
        print(&table_text(found.iter().map(|preset| &***preset)));
    } else {
        let shown: Vec<String> = found.iter().map(|preset| detail_text(preset)).collect();
        print(&shown.join("\n"));
    }
    if found.is_empty() {
        return fail(
            1,
            &format!(
                "ostler knows no provider that matches {}; `ostler providers` lists all of them, and an account can also name \
                 its servers itself",
                ostler_mail::wire::printable(word.as_bytes())
            ),
        );
    }
    ExitCode::SUCCESS
}

fn document(preset: &Preset) -> Value {
    let servers = |protocol| preset.templates(protocol).map(server_document).collect::<Vec<_>>();
    json!({
        "name": preset.id,
        "title": preset.title,
        "domains": preset.domains,
        "domain_suffixes": preset.domain_suffixes,
        "legacy_hosts": preset.legacy_hosts,
        "hosted": preset.hosted,
        "run_by": preset.run_by,
        "mx": preset.mx,
        "pop3": servers(Protocol::Pop3),
        "smtp": servers(Protocol::Smtp),
        "imap": servers(Protocol::Imap),
        "login": login_word(&preset.login),
        "auth": auth_method_names(&preset.auth_methods),
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

fn server_document(server: &Endpoint) -> Value {
    json!({
        "host": server.host,
        "port": server.port,
        "security": server.security.name(),
        "auth": server.auth_name(),
        "login": login_word(&server.login),
    })
}

/// The word in the file of presets.
fn login_word(form: &LoginForm) -> &str {
    match form {
        LoginForm::Address => "address",
        LoginForm::LocalPart => "local-part",
        LoginForm::Template(form) => form,
        LoginForm::Unknown => "ask",
    }
}

fn auth_method_names(auth_methods: &[AuthMethod]) -> Vec<String> {
    auth_methods.iter().map(AuthMethod::to_string).collect()
}

fn table_text<'p>(presets: impl Iterator<Item = &'p Preset> + Clone) -> String {
    let width = presets.clone().map(|preset| preset.id.len()).max().unwrap_or(0);
    presets.map(|preset| format!("{:width$}  {}{}\n", preset.id, preset.title, caveat(preset))).collect()
}

/// The most important restriction, shown after the title.
fn caveat(preset: &Preset) -> &'static str {
    match preset {
        Preset { closed: Some(_), .. } => "  (no mail program can use it)",
        _ if preset.auth_methods.iter().all(|way| matches!(way, AuthMethod::OAuth2(_))) => {
            "  (a sign-in in the web browser)"
        }
        Preset { pop: Pop::No, .. } => "  (no POP; ostler fetches by IMAP)",
        Preset { pop: Pop::Paid, .. } => "  (POP for paying members)",
        Preset { confidence: Confidence::Low, .. } => "  (not confirmed)",
        _ => "",
    }
}

fn detail_text(preset: &Preset) -> String {
    let mut text = format!("{}  {}\n", preset.id, preset.title);
    let mut line = |label: &str, said: &str| {
        if !said.is_empty() {
            text += &format!("  {label:13} {said}\n");
        }
    };
    let domains: Vec<String> =
        preset.domains.iter().cloned().chain(preset.domain_suffixes.iter().map(|s| format!("*{s}"))).collect();
    line("addresses at", &domains.join(", "));
    for protocol in Protocol::ALL {
        for server in preset.templates(protocol) {
            line(protocol.name(), &server.describe());
        }
    }
    if preset.is_usable() {
        line("user name", login_text(&preset.login));
        line("signs in by", &preset.auth_methods.iter().map(way_text).collect::<Vec<_>>().join(", else "));
    }
    line("POP", pop_text(preset.pop));
    if preset.sends_elsewhere {
        line("sending", "through another company");
    }
    line("not usable", preset.closed.as_deref().unwrap_or_default());
    line("first", preset.enable.as_deref().unwrap_or_default());
    line("app password", preset.app_password.as_deref().unwrap_or_default());
    line("note", preset.note.as_deref().unwrap_or_default());
    line("old servers", &preset.legacy_hosts.join(", "));
    let checked = preset.checked.as_deref().map(|date| format!(", checked on {date}")).unwrap_or_default();
    let sure = match preset.confidence {
        Confidence::High => "well known",
        Confidence::Medium => "known from one source",
        Confidence::Low => "not confirmed; `ostler check` shows whether it works",
    };
    line("how sure", &format!("{sure}{checked}"));
    text
}

fn login_text(form: &LoginForm) -> &str {
    match form {
        LoginForm::Address => "the whole address",
        LoginForm::LocalPart => "the part before the @",
        LoginForm::Template(form) => form,
        LoginForm::Unknown => "the whole address, or the part before the @",
    }
}

fn way_text(way: &AuthMethod) -> &'static str {
    match way {
        AuthMethod::Password => "your password",
        AuthMethod::AppPassword => "an app password",
        AuthMethod::OAuth2(_) => "a sign-in in the web browser (OAuth2)",
        AuthMethod::PopBeforeSmtp => "a fetch before each send",
        AuthMethod::Bridge => "the provider's own program on this computer",
        AuthMethod::None => "nothing",
    }
}

fn pop_text(pop: Pop) -> &'static str {
    match pop {
        Pop::Yes => "",
        Pop::No => "not offered",
        Pop::Paid => "only for paying members",
        Pop::Unclear => "perhaps not offered",
    }
}
