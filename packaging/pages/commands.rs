//! The chapter of the manual about the command line, made from its definition.

use std::fmt::Write;

use clap::{Arg, Command};

const HEAD: &str = "\
# Commands

<!-- Made by packaging/pages/build; changes here are lost. -->

Results go to standard output, everything else to standard error. The exit status is 0 if all is done, 1 if something was
tried and failed (a check that found a fault, a wrong password), and 2 if the command line or the settings file is wrong.

Without a command, ostler puts its icon into the panel and opens the settings page when there is no account yet; without a
desktop it does the same as `ostler run`.
";

/// The chapter.
pub(crate) fn chapter() -> String {
    let mut command = ostler::cli::command();
    command.build();
    let mut out = HEAD.to_owned();
    let _ = write!(
        out,
        "\n## Options of every command\n\n{}",
        table(command.get_arguments().filter(|arg| arg.is_global_set()))
    );
    let own: Vec<&Arg> = own_arguments(&command).collect();
    let _ = write!(out, "\n## ostler\n\nWithout a command.\n\n{}", table(own.into_iter()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        out.push_str(&section(sub));
    }
    out
}

fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut out = format!("\n## ostler {}\n\n{}\n\n", command.get_name(), in_sentences(&about));
    let _ = write!(out, "```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    let own: Vec<&Arg> = own_arguments(command).collect();
    if !own.is_empty() {
        let _ = write!(out, "\n{}", table(own.into_iter()));
    }
    out
}

/// Each paragraph with a full stop. On a terminal the first one is a title and has none.
fn in_sentences(paragraphs: &str) -> String {
    let each = paragraphs.split("\n\n").map(|paragraph| format!("{}.", paragraph.trim_end_matches('.')));
    each.collect::<Vec<_>>().join("\n\n")
}

/// The arguments that not every command has.
fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_shown = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set();
    command.get_arguments().filter(is_shown).filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
}

fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut out = "| option | what it does |\n|---|---|\n".to_owned();
    for arg in arguments {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "| `{}` | {} |", cell(&form(arg)), cell(&code_marked(&help)));
    }
    out
}

/// How an argument is written.
fn form(arg: &Arg) -> String {
    let names: Vec<String> = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))]
        .into_iter()
        .flatten()
        .collect();
    let values = arg.get_action().takes_values().then(|| arg.get_value_names().unwrap_or_default().join(" "));
    match (names.join(", "), values) {
        (names, None) => names,
        (names, Some(values)) if names.is_empty() => values,
        (names, Some(values)) if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => {
            format!("{names} [{values}]")
        }
        (names, Some(values)) => format!("{names} {values}"),
    }
}

/// Angle brackets outside of code would be read as HTML.
fn code_marked(help: &str) -> String {
    help.replace('<', "&lt;")
}

/// A text in a cell of a table: one line, without the mark between cells.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
