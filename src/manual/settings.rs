//! The chapter about the settings file, made from the definition of its keys.

use std::fmt::Write;

use super::MADE;
use crate::config::keys::{Key, Kind, TABLES, Table, Unset};

const HEAD: &str = "\
The settings page changes these settings for you, and `ostler add` writes the file. It is plain text (TOML), and it is yours: \
comments and order survive whatever ostler changes. [Where things are](files.md) says where the file is.

ostler notices at once when the file changes. A setting that is not in the file has its default. Durations are a number and its \
unit: `\"500ms\"`, `\"60s\"`, `\"3m\"`, `\"1h\"`. On Windows, write a path in single quotes, `'C:\\mail\\ca.pem'`, or with `/`. \
Never put a password into this file: it only says where the password is.
";

pub(super) fn chapter() -> String {
    let mut out = format!("# Settings\n\n{MADE}\n\n{HEAD}");
    for table in TABLES {
        out.push_str(&section(table));
    }
    let example = include_str!("../../config/ostler.example.toml");
    let _ = write!(out, "\n## A whole file\n\nEvery setting once, with its reason.\n\n```toml\n{example}```\n");
    out
}

fn section(table: &Table) -> String {
    let mut out = format!("\n## {}\n\n", table.title);
    if !table.header.is_empty() {
        let _ = write!(out, "In the file: `{}`\n\n", table.header);
    }
    if !table.help.is_empty() {
        let _ = write!(out, "{}\n\n", table.help);
    }
    out.push_str("| key | what it is | value | default | example | since |\n|---|---|---|---|---|---|\n");
    for key in table.keys {
        let cells = [
            format!("`{}`", key.name),
            about(key),
            value(key),
            default(key),
            format!("`{} = {}`", key.name, key.example),
            key.since.to_owned(),
        ];
        let cells: Vec<String> = cells.iter().map(|text| text.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}

fn about(key: &Key) -> String {
    if key.help.is_empty() { key.label.to_owned() } else { format!("{}. {}", key.label, key.help) }
}

fn value(key: &Key) -> String {
    match key.kind {
        Kind::Choice(choices) | Kind::Words(choices) => {
            let words: Vec<String> =
                choices.iter().map(|choice| format!("`\"{}\"` ({})", choice.word, choice.label)).collect();
            let which = if matches!(key.kind, Kind::Words(_)) { "a list of " } else { "" };
            format!("{which}{}", words.join(", "))
        }
        kind => kind.describe().to_owned(),
    }
}

fn default(key: &Key) -> String {
    match key.unset {
        Unset::Required => "none: it has to be there".to_owned(),
        Unset::Value(value) => format!("`{value}`"),
        Unset::Words(words) => words.to_owned(),
    }
}
