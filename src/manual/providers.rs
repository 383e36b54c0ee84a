//! The chapter about providers, made from `config/providers.toml`.

use std::fmt::Write;

use super::MADE;
use crate::config::presets::{Preset, Presets};
use ostler_mail::account::Protocol;

const HEAD: &str = "\
ostler knows these providers: their servers, the form of their user names, and what has to be switched on first. For an \
address of one of them, `ostler add` and the settings page ask for nothing but the password.

What is written here comes from published lists and help pages and was not tried against the providers themselves. Where \
it is not confirmed, ostler tries the servers before it uses them. `ostler providers NAME` shows one provider with the day \
on which its entry was last looked at.

`{domain}` stands for what is behind the @ of the address.

A file `providers.toml` beside your [settings file](files.md) adds providers of your own, or replaces one of these. Its \
form is that of `config/providers.toml` in ostler's source. One server is enough:

```toml providers
schema = 1

[provider.my-company]
name = \"My company\"
domains = [\"example.org\"]
pop3 = [{ host = \"pop.example.org\" }]
smtp = [{ host = \"smtp.example.org\", security = \"starttls\" }]
```

A provider that is not in the list can be used all the same. ostler then looks for its servers, or you name them.
";

pub(super) fn chapter() -> String {
    let mut all: Vec<&Preset> = Presets::built_in().iter().map(AsRef::as_ref).collect();
    all.sort_by_key(|preset| preset.title.to_lowercase());
    let mut out = format!("# Providers\n\n{MADE}\n\n{HEAD}");
    for preset in all {
        out.push_str(&entry(preset));
    }
    out
}

fn entry(preset: &Preset) -> String {
    let mut out = format!("\n## {}\n\n", preset.title);
    let mut line = |label: &str, said: &str| {
        if !said.is_empty() {
            let _ = writeln!(out, "- {label}: {said}");
        }
    };
    line("Name in the settings", &format!("`{}`", preset.id));
    let ends = preset.domain_suffixes.iter().map(|end| format!("*{end}"));
    let domains: Vec<String> = preset.domains.iter().cloned().chain(ends).map(|domain| format!("`{domain}`")).collect();
    line("Addresses at", &domains.join(", "));
    for (protocol, label) in [(Protocol::Pop3, "Fetching"), (Protocol::Smtp, "Sending")] {
        let servers: Vec<String> = preset.templates(protocol).map(|server| server.describe()).collect();
        line(label, &servers.join("; else "));
    }
    line("Cannot be used", preset.closed.as_deref().unwrap_or_default());
    line("First", preset.enable.as_deref().unwrap_or_default());
    line("App password", preset.app_password.as_deref().unwrap_or_default());
    line("Note", preset.note.as_deref().unwrap_or_default());
    out
}
