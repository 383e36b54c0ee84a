//! `ostler autostart`: switches the start at login on or off, or shows it.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{fail, print, print_json};
use crate::desktop::autostart::{self, State};
use ostler_mail::failure::error_chain;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Switch it on or off, or show whether it is on
    #[arg(value_enum, value_name = "on|off|status", hide_possible_values = true)]
    what: SwitchCommand,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SwitchCommand {
    On,
    Off,
    Status,
}

/// Prints the state afterwards; exit code 1 if that is not what was asked for.
pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
    let state = match options.what {
        SwitchCommand::On => autostart::on(file),
        SwitchCommand::Off => autostart::off(file),
        SwitchCommand::Status => autostart::status(file),
    };
    let state = match state {
        Ok(state) => state,
        Err(error) => return fail(1, &error_chain(&error)),
    };
    if options.json {
        print_json(&document(&state));
    } else {
        print(&state_text(&state));
    }
    let done = match options.what {
        SwitchCommand::On => state.is_on(),
        SwitchCommand::Off => state == State::Off,
        SwitchCommand::Status => true,
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn document(state: &State) -> serde_json::Value {
    let (word, place, starts) = match state {
        State::Off => ("off", None, None),
        State::On { place } => ("on", Some(place), None),
        State::Service { place } => ("service", Some(place), None),
        State::Elsewhere { place, starts } => ("elsewhere", Some(place), Some(starts)),
    };
    json!({"state": word, "place": place, "starts": starts})
}

fn state_text(state: &State) -> String {
    match state {
        State::Off => {
            "off: ostler does not start by itself; `ostler autostart on` makes it start when you log in\n".into()
        }
        State::On { place } => format!("on: ostler starts when you log in\n  {place}\n"),
        State::Service { place } => format!(
            "on: systemd starts ostler when you log in, without an icon\n  {place}\n\
             For the icon instead: `ostler autostart off`, then `ostler autostart on`.\n"
        ),
        State::Elsewhere { place, starts } => {
            let starts = if starts.is_empty() { "nothing" } else { starts };
            format!(
                "elsewhere: another program starts when you log in, ostler with other settings, or one that no longer exists\n  \
                 {place}\n  command: {starts}\n`ostler autostart on` makes it this ostler, `ostler autostart off` removes it.\n"
            )
        }
    }
}
