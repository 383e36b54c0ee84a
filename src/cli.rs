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
mod screen;
pub(crate) mod settings;
pub(crate) mod setup_service;
pub(crate) mod sign_in;
pub(crate) mod status;
pub(crate) mod token;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app;
use crate::config::{self, Parsed};
use crate::desktop::SystemDesktop;
use crate::events::log::{self, Format};
use crate::os::console;
use crate::os::control::{Request, SETTINGS_RELOAD_TIMEOUT, ask as ask_running};
use crate::vault::Vault;
use ostler_mail::account::Account;
use ostler_mail::failure::error_chain;
use ostler_mail::secret::Secret;

/// How often to look whether the running ostler has read the changed settings.
const SERVED_POLL_INTERVAL: Duration = Duration::from_millis(50);

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
    ///
    /// ctrl-C (SIGINT) and SIGTERM end it once messages under way are finished, a second one at once; SIGHUP makes it read the
    /// settings again. They do so in the background too, where a shell script starts programs with SIGINT ignored.
    Run,
    /// Show how ostler works, on this computer alone: a built-in provider, ostler, and two old mail programs
    Demo(crate::demo::Options),
    /// Add an account: find its servers, try them with the password, save what works
    Add(Box<add::Options>),
    /// List accounts and doors
    List(list::Options),
    /// Set or replace an account's password in the keyring
    Password(password::Options),
    /// Sign in, in the web browser, at a provider that wants OAuth2
    ///
    /// For accounts with auth = "oauth2". ostler keeps the sign-in in the keyring and renews it by itself.
    SignIn(sign_in::SignIn),
    /// Forget the sign-in of `ostler sign-in`, and take it back at the company
    SignOut(sign_in::SignOut),
    /// Print the access token of an account that signs in by OAuth2, for another ostler or program
    ///
    /// The token is renewed if it is due. Who has it can read the account's mail until it ends, mostly for an hour.
    Token(token::Options),
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
    /// Make ostler a service of this computer, for a machine that nobody logs in to (Linux, as the administrator)
    ///
    /// The service has a user of its own, who cannot log in, and starts with the computer. Afterwards the administrator's
    /// commands are for it: `sudo ostler add ADDRESS`, `sudo ostler status`. `--undo` takes it back.
    SetupService(setup_service::Options),
}

/// The definition of the command line, from which man pages and completions are generated.
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// Whether a result could not be written. Whoever reads it must not take the rest of it for all.
static IS_OUTPUT_LOST: AtomicBool = AtomicBool::new(false);

/// The program. Returns its exit code.
pub fn main() -> ExitCode {
    let code = obey();
    crate::proxy::net::tls::end();
    if IS_OUTPUT_LOST.load(Ordering::Relaxed) { ExitCode::FAILURE } else { code }
}

/// Does what the command line says.
fn obey() -> ExitCode {
    let (line, settings) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            print_parse_error(&error);
            // `--help` and `--version` come here too, and are no mistake: 0. Anything else is a wrong command line: 2.
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let loudness =
        i8::try_from(line.common.verbose).unwrap_or(i8::MAX) - i8::try_from(line.common.quiet).unwrap_or(i8::MAX);
    #[cfg(feature = "tray")]
    let has_icon = line.command.is_none() && crate::desktop::has_desktop();
    let command = line.command.unwrap_or(Command::Run);
    // Commands other than `run` print their results themselves, and log lines in between would only confuse.
    let level = if matches!(command, Command::Run) { loudness } else { loudness - 2 };
    log::start(line.common.log, level);
    if let Command::Demo(options) = &command {
        // Needs no settings, so it also works where there is no folder for them.
        return crate::demo::main(options);
    }
    #[cfg(target_os = "linux")]
    if let Some(service) = service_meant(&command, settings) {
        let error = service.run_instead();
        return fail(1, &format!("cannot become the user of the ostler service: {error}"));
    }
    let file = line.common.config.or_else(config::default_path);
    if let Some(file) = &file {
        remember_config(file, settings, &command);
    }
    if let Command::Check(options) = &command
        && let Some(text) = options.to_explain()
    {
        // Works with missing or wrong settings: they may be what the error is about.
        if let Some(why) = file.as_deref().and_then(|file| missing_text(file, settings)) {
            log::print_error(&why);
        }
        let parsed = file.as_deref().and_then(|file| config::load(file).ok());
        return explain::main(parsed.as_ref(), &text, options.as_json());
    }
    let Some(file) = file else {
        return fail(2, "this system names no folder for settings; give the settings file with --config");
    };
    if let Some(why) = missing_text(&file, settings) {
        if needs_settings(&command, &file) {
            return fail(2, &why);
        }
        // The entry can be shown, made and removed without the file that it names: the `run` of the next login waits for it.
        if matches!(command, Command::Autostart(_)) {
            log::print_error(&why);
        }
    }
    #[cfg(feature = "tray")]
    if has_icon {
        return app::on_desktop(&file, Arc::new(SystemDesktop::new(&file, line.silent)));
    }
    run_command(command, &file, line.silent)
}

/// The ostler service of this computer, if the command is for it: the administrator gave it, and has no settings of their own.
#[cfg(target_os = "linux")]
fn service_meant(command: &Command, settings: SettingsName) -> Option<crate::os::service::Service> {
    let is_of_a_person = matches!(command, Command::Autostart(_) | Command::Demo(_) | Command::SetupService(_));
    let has_own = || config::default_path().is_some_and(|file| !is_missing(&file));
    if is_of_a_person || settings != SettingsName::Usual || !crate::os::service::is_administrator() || has_own() {
        return None;
    }
    crate::os::service::Service::find()
}

/// Runs a command on its settings file.
fn run_command(command: Command, file: &Path, silent: bool) -> ExitCode {
    match command {
        Command::Run => app::run(file, Arc::new(SystemDesktop::new(file, silent))),
        Command::Demo(options) => crate::demo::main(&options),
        Command::Add(options) => add::main(file, &options),
        Command::List(options) => with_settings(file, |parsed| list::main(&parsed, &options)),
        Command::Password(options) => with_settings(file, |parsed| password::main(file, &parsed, options)),
        Command::SignIn(options) => with_settings(file, |parsed| sign_in::sign_in(file, &parsed, &options)),
        Command::SignOut(options) => with_settings(file, |parsed| sign_in::sign_out(file, &parsed, &options)),
        Command::Token(options) => with_settings(file, |parsed| token::main(&parsed, &options)),
        Command::Remove(options) => with_settings(file, |parsed| remove::main(file, &parsed, &options)),
        Command::Check(options) => with_settings(file, |parsed| check::main(file, &parsed, &options)),
        Command::Providers(options) => providers::main(file, &options),
        Command::Guide(options) => with_settings(file, |parsed| guide::main(file, &parsed, &options)),
        Command::Status(options) => status::main(file, &options),
        Command::Settings(options) => settings::main(file, &options),
        Command::Pause => status::set_paused(file, true),
        Command::Resume => status::set_paused(file, false),
        Command::Quit => quit::main(file),
        Command::Autostart(options) => autostart::main(file, &options),
        Command::SetupService(options) => setup_service::main(&options),
    }
}

/// Reads the command line, and how the settings file was named on it.
fn parse() -> Result<(CommandLine, SettingsName), clap::Error> {
    let mut command = CommandLine::command();
    if std::env::var_os("OSTLER_CONFIG").is_some_and(|file| file.is_empty()) {
        // By custom the same as a variable that is not there.
        command = command.mut_arg("config", |arg| arg.env(None::<&str>));
    }
    let matches = command.try_get_matches()?;
    let line = CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut CommandLine::command()))?;
    Ok((line, SettingsName::of(&matches)))
}

/// How the user named the settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SettingsName {
    Option,
    Variable,
    /// Not at all: it is the one in the usual place.
    Usual,
}

impl SettingsName {
    fn of(matches: &ArgMatches) -> Self {
        match matches.value_source("config") {
            Some(ValueSource::CommandLine) => Self::Option,
            Some(ValueSource::EnvVariable) => Self::Variable,
            // The enum may grow, which nothing here would know of.
            _ => Self::Usual,
        }
    }
}

/// Hints repeat the `--config` that was typed. What `run` says is read in another folder too, so its path is absolute there.
/// The variable OSTLER_CONFIG needs no repeating: it still holds for the next command.
fn remember_config(file: &Path, settings: SettingsName, command: &Command) {
    match settings {
        SettingsName::Option if matches!(command, Command::Run) => {
            console::set_config_file(&std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        }
        SettingsName::Option => console::set_config_file(file),
        SettingsName::Variable | SettingsName::Usual => {}
    }
}

/// Whether the command can do nothing useful with a settings file that the user named and that does not exist. `add` creates
/// it, and `run` waits for it and says so; then the commands that ask the running ostler get an answer.
fn needs_settings(command: &Command, file: &Path) -> bool {
    match command {
        Command::List(_)
        | Command::Password(_)
        | Command::SignIn(_)
        | Command::SignOut(_)
        | Command::Token(_)
        | Command::Remove(_)
        | Command::Check(_)
        | Command::Providers(_)
        | Command::Guide(_) => true,
        Command::Status(_) | Command::Settings(_) | Command::Pause | Command::Resume | Command::Quit => {
            matches!(ask_running(file, &Request::Status), Ok(None))
        }
        Command::Run | Command::Demo(_) | Command::Add(_) | Command::Autostart(_) | Command::SetupService(_) => false,
    }
}

/// What is wrong if the user named a settings file that does not exist. In the usual place a missing file only means that
/// there is no account yet.
fn missing_text(file: &Path, settings: SettingsName) -> Option<String> {
    let named_by = match settings {
        SettingsName::Option => "--config",
        SettingsName::Variable => "the variable OSTLER_CONFIG",
        SettingsName::Usual => return None,
    };
    // Absolute, because a relative path is often right in another folder.
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    is_missing(file).then(|| {
        format!(
            "there is no settings file {}; correct the path in {named_by}, or make the file with `ostler add ADDRESS`",
            shown.display()
        )
    })
}

/// A dangling link counts as a file: the user meant one that exists, and reading it says what is wrong.
fn is_missing(file: &Path) -> bool {
    std::fs::symlink_metadata(file)
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Prints the help, or what is wrong with the command line.
fn print_parse_error(error: &clap::Error) {
    use std::io::IsTerminal;
    let is_terminal =
        if error.use_stderr() { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let plain = error.render().to_string();
    match (is_terminal, error.use_stderr()) {
        // In colours.
        (true, _) => drop(error.print()),
        (false, true) => drop(console::stderr().write_all(plain.as_bytes())),
        (false, false) => print_as_it_is(&plain),
    }
}

fn with_settings(file: &Path, go_on: impl FnOnce(Parsed) -> ExitCode) -> ExitCode {
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
    print_as_it_is(&console::repeat_config(text));
}

/// Prints a result as running text: on a terminal no line is broken within a word.
fn print_wrapped(text: &str) {
    print_as_it_is(&console::for_stdout(text));
}

/// Prints a document for programs. They know which settings they asked about, so hints in it repeat no `--config`.
fn print_json(document: &serde_json::Value) {
    print_as_it_is(&format!("{document:#}\n"));
}

fn print_as_it_is(text: &str) {
    let mut out = console::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !IS_OUTPUT_LOST.swap(true, Ordering::Relaxed) => {
            log::print_error(&format!("cannot write the result to standard output: {error}"));
        }
        _ => {}
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Does not wait for a name look-up that still runs in a thread.
    runtime.shutdown_background();
    Ok(result)
}

/// Waits until the names of the accounts that the running ostler serves are as expected, after a change of the settings. Returns
/// whether they have become so in time; `None`: none runs.
fn wait_until_served(file: &Path, are_expected: impl Fn(&[&str]) -> bool) -> Option<bool> {
    let until = Instant::now() + SETTINGS_RELOAD_TIMEOUT;
    loop {
        let status = ask_running(file, &Request::Status).ok().flatten()?;
        let accounts = status["accounts"].as_array().map_or(&[][..], Vec::as_slice);
        let served: Vec<&str> = accounts.iter().filter_map(|account| account["name"].as_str()).collect();
        if are_expected(&served) {
            return Some(true);
        }
        if Instant::now() > until {
            return Some(false);
        }
        std::thread::sleep(SERVED_POLL_INTERVAL);
    }
}

/// The password that programs on other computers have to give. Without one, the error says what to do.
fn read_local_password(account: &Account) -> Result<Arc<Secret>, String> {
    let vault = Vault::new();
    block_on(vault.local_password(account)).map_err(|error| error.to_string())?.map_err(|error| error_chain(&error))
}

/// The account with this name or address, in either form of its domain. If there is none, prints the names there are.
fn account<'a>(parsed: &'a Parsed, name: &str) -> Result<&'a Arc<Account>, ExitCode> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_that_repeat_the_config_are_those_of_the_command_line_except_the_demo() {
        let line = command();
        let names: Vec<&str> = line.get_subcommands().map(clap::Command::get_name).filter(|n| *n != "demo").collect();
        assert_eq!(names, ostler_mail::failure::COMMANDS);
    }
}
