//! The command line. Results go to standard output, diagnostics to standard error. Exit codes: 0 done, 1 tried and failed, 2
//! the command line or the settings file is wrong. Each larger command has a file in `cli/`.

pub(crate) mod add;
pub(crate) mod ask;
pub(crate) mod autostart;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod guide;
pub(crate) mod list;
pub(crate) mod password;
pub(crate) mod providers;
pub(crate) mod quit;
pub(crate) mod remove;
pub(crate) mod settings;
pub(crate) mod status;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app;
use crate::config::{self, Parsed};
use crate::desktop::SystemDesktop;
use crate::events::log::{self, Format};
use ostler_mail::failure::error_chain;

/// Lets old mail programs work with today's mail providers.
#[derive(Debug, Parser)]
#[command(name = "ostler", version, about, max_term_width = 100)]
struct CommandLine {
    #[command(flatten)]
    common: Common,
    /// Without a command: do not open the settings page; for the start at login
    #[arg(long)]
    silent: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Common {
    /// The settings file [default: ostler/ostler.toml in your system's folder for settings]
    #[arg(long, global = true, value_name = "FILE", env = "OSTLER_CONFIG")]
    config: Option<PathBuf>,
    /// Log more: protocol lines, with passwords as ***
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log less: warnings and errors only
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    quiet: u8,
    /// The format of log lines
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve mail programs, in the foreground; prints `ready` when the doors are open
    Run,
    /// Show how ostler works, on this computer alone: a built-in provider, ostler, and two old mail programs
    Demo(crate::demo::Options),
    /// Add an account: find its servers, try them with the password, save what works
    Add(Box<add::Options>),
    /// List accounts and doors
    List(list::Options),
    /// Set or replace an account's password in the keyring
    Password(password::Options),
    /// Remove an account from the settings, and its passwords from the keyring
    Remove(remove::Options),
    /// Try every step with each server of the accounts, and explain what fails
    Check(check::Options),
    /// Show the providers that ostler knows, or those that contain a word
    Providers(providers::Options),
    /// Show step by step what to type into your mail program
    Guide(guide::Options),
    /// Show what the running ostler is doing
    Status(status::Options),
    /// Open the settings page of the running ostler in the web browser
    Settings(settings::Options),
    /// Make the running ostler turn new mail programs away until `resume`
    Pause,
    /// Make the running ostler serve new mail programs again
    Resume,
    /// End the running ostler, and wait until it has ended
    Quit,
    /// Switch the start at login on or off, or show it
    Autostart(autostart::Options),
}

/// The definition of the command line, from which man pages and completions are generated.
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// The program. Returns its exit code.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` come here too, and are no mistake: 0. Anything else is a wrong command line: 2.
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let loudness =
        i8::try_from(line.common.verbose).unwrap_or(i8::MAX) - i8::try_from(line.common.quiet).unwrap_or(i8::MAX);
    #[cfg(feature = "tray")]
    let has_icon = line.command.is_none() && crate::desktop::tray::has_desktop();
    let command = line.command.unwrap_or(Command::Run);
    // Commands other than `run` print their results themselves, and log lines in between would only confuse.
    let level = if matches!(command, Command::Run) { loudness } else { loudness - 2 };
    log::start(line.common.log, level);
    if let Command::Demo(options) = &command {
        // Needs no settings, so it also works where there is no folder for them.
        return crate::demo::main(options);
    }
    let file = line.common.config.or_else(config::default_path);
    if let Command::Check(options) = &command
        && let Some(text) = options.to_explain()
    {
        // Works with missing or wrong settings: they may be what the error is about.
        let parsed = file.as_deref().and_then(|file| config::load(file).ok());
        return explain::main(parsed.as_ref(), &text, options.as_json());
    }
    let Some(file) = file else {
        return fail(2, "this system names no folder for settings; give the settings file with --config");
    };
    let desktop = Arc::new(SystemDesktop::new(&file, line.silent));
    match command {
        #[cfg(feature = "tray")]
        Command::Run if has_icon => app::on_desktop(&file, desktop),
        Command::Run => app::run(&file, desktop),
        Command::Demo(options) => crate::demo::main(&options),
        Command::Add(options) => add::main(&file, &options),
        Command::List(options) => with_settings(&file, |parsed| list::main(&parsed, &options)),
        Command::Password(options) => with_settings(&file, |parsed| password::main(&file, &parsed, options)),
        Command::Remove(options) => with_settings(&file, |parsed| remove::main(&file, &parsed, &options)),
        Command::Check(options) => with_settings(&file, |parsed| check::main(&file, &parsed, &options)),
        Command::Providers(options) => providers::main(&file, &options),
        Command::Guide(options) => with_settings(&file, |parsed| guide::main(&file, &parsed, &options)),
        Command::Status(options) => status::main(&file, &options),
        Command::Settings(options) => settings::main(&file, &options),
        Command::Pause => status::set_paused(&file, true),
        Command::Resume => status::set_paused(&file, false),
        Command::Quit => quit::main(&file),
        Command::Autostart(options) => autostart::main(&file, &options),
    }
}

fn with_settings(file: &std::path::Path, go_on: impl FnOnce(Parsed) -> ExitCode) -> ExitCode {
    match config::load(file) {
        Ok(parsed) => go_on(parsed),
        Err(error) => fail(2, &error_chain(&error)),
    }
}

/// Prints an error on standard error.
fn fail(code: u8, text: &str) -> ExitCode {
    log::print_error(text);
    ExitCode::from(code)
}

/// Prints a result. A closed pipe (`| head`) is not an error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_json(document: &serde_json::Value) {
    print(&format!("{document:#}\n"));
}

fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Does not wait for a name look-up that still runs in a thread.
    runtime.shutdown_background();
    Ok(result)
}

/// The account with this name or address, in either form of its domain. If there is none, prints the names there are.
fn account<'a>(parsed: &'a Parsed, name: &str) -> Result<&'a std::sync::Arc<ostler_mail::account::Account>, ExitCode> {
    let accounts = &parsed.settings.accounts;
    let meant = ostler_mail::idn::name(name);
    accounts
        .iter()
        .find(|a| a.name.eq_ignore_ascii_case(&meant))
        .or_else(|| accounts.iter().find(|a| a.address.eq_ignore_ascii_case(&meant)))
        .ok_or_else(|| {
            let failure = ostler_mail::failure::Failure::UnknownAccount {
                given: name.to_owned(),
                known: ostler_mail::choose::names(accounts),
            };
            fail(1, &failure.sentence())
        })
}
