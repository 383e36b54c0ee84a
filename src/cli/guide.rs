//! `ostler guide`: shows what to type into an old mail program, and with `--watch` waits for that program to connect.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::cli::{account, fail, print, print_as_it_is, print_wrapped, read_local_password};
use crate::config::Parsed;
use crate::events::journal::EntryKind;
use crate::events::log::print_error;
use crate::guide::{self, Client, GuideValues, Reader, Seen, System, Topic, Watch, obstacles};
use crate::os::console;
use crate::os::control::{Request, ask};
use ostler_mail::account::{Account, Settings};
use ostler_mail::secret::Secret;

/// After this long without news, the user is reminded of what to do.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The mail program, such as eudora or outlook-express, or oauth2-microsoft and the like; without it, list the programs
    client: Option<String>,
    /// The account whose values the guide shows
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// For a mail program on another computer: its name or address, or the name that it knows this computer by. The guide shows
    /// the doors for other computers, and the local password
    #[arg(long = "for", value_name = "HOST", value_parser = parse_computer)]
    computer: Option<String>,
    /// Print a page for the web browser or the printer
    #[arg(long)]
    html: bool,
    /// Then wait for the mail program to connect, and say what is right and wrong; ctrl-C ends it, in the background too
    #[arg(long, conflicts_with = "html", requires = "client")]
    watch: bool,
}

fn parse_computer(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let computer = text.trim();
    if computer.is_empty() || !computer.chars().all(is_name) {
        return Err("use the name or the address of a computer, such as old-mac or 192.168.1.77".into());
    }
    if computer.eq_ignore_ascii_case("localhost") || computer.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    {
        return Err("that is this computer; leave --for out".into());
    }
    Ok(computer.to_owned())
}

pub(crate) fn main(file: &Path, parsed: &Parsed, options: &Options) -> ExitCode {
    let Some(wanted) = &options.client else {
        print(&list_text(&programs()));
        return ExitCode::SUCCESS;
    };
    if let Some(topic) = Topic::find(wanted) {
        print_as_it_is(&if options.html { topic.html_page() } else { topic.text(console::stdout_columns()) });
        return ExitCode::SUCCESS;
    }
    let client = match guide::find(wanted) {
        Ok(client) => client,
        Err(error) => {
            let topics = guide::topics().iter().map(|topic| (topic.name, topic.title()));
            let all: Vec<_> = programs().into_iter().chain(topics).collect();
            return fail(2, &format!("{error}; there are guides for:\n\n{}", list_text(&all)));
        }
    };
    let account = match choose_account(parsed, options.account.as_deref()) {
        Ok(account) => account,
        Err(code) => return code,
    };
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let settings = &parsed.settings;
    let reader = match &options.computer {
        Some(computer) if settings.serves_other_computers() => {
            Reader::on(settings, computer).showing(find_local_password(settings, &account))
        }
        _ => Reader::usual(settings),
    };
    let values = GuideValues::for_reader(settings, &account, &shown, System::this(), &reader)
        .repeating_option(console::config_option());
    if options.computer.is_some() && !settings.serves_other_computers() {
        let how = client.other_computer_text(&values, console::stdout_columns());
        return fail(1, &format!("no other computer can reach a door yet\n\n{}", how.trim_end()));
    }
    if options.html {
        print_as_it_is(&client.html_page(&values));
    } else {
        print_as_it_is(&client.text(&values, console::stdout_columns()));
    }
    if options.watch { watch(file, client, &account, &values) } else { ExitCode::SUCCESS }
}

/// The password for programs on other computers. If ostler cannot read it, prints why; the guide is of use without it.
fn find_local_password(settings: &Settings, account: &Account) -> Option<Arc<Secret>> {
    let found = settings.wants_password().then(|| read_local_password(account))?;
    found.inspect_err(|why| print_error(why)).ok()
}

/// The name and the title of each mail program.
fn programs() -> Vec<(&'static str, &'static str)> {
    guide::clients().iter().map(|client| (client.name, client.title())).collect()
}

fn list_text(all: &[(&str, &str)]) -> String {
    let longest = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    all.iter().map(|(name, title)| format!("{name:longest$}  {title}\n")).collect()
}

/// The account with this name; without a name the only one, or the default.
fn choose_account(parsed: &Parsed, name: Option<&str>) -> Result<Arc<Account>, ExitCode> {
    let accounts = &parsed.settings.accounts;
    if let Some(name) = name {
        return account(parsed, name).cloned();
    }
    match accounts.as_slice() {
        [] => Err(fail(
            1,
            "there is no account yet, so a guide would have no values to show; run `ostler add ADDRESS` first",
        )),
        [only] => Ok(Arc::clone(only)),
        several => several.iter().find(|a| a.is_default).cloned().ok_or_else(|| {
            let names = ostler_mail::choose::names(several).join(", ");
            fail(2, &format!("there are several accounts; choose one with --account: {names}"))
        }),
    }
}

/// Follows the journal of the running ostler until mail has gone both ways.
fn watch(file: &Path, client: &Client, account: &Account, values: &GuideValues) -> ExitCode {
    let (status, seq) = match start_following(file) {
        Ok(started) => started,
        Err(code) => return code,
    };
    let mut watch = Watch::new(account, values);
    if watch.is_done() {
        return fail(
            1,
            "ostler neither fetches nor sends for this account, so there is nothing to wait for; the guide above says how to switch it on",
        );
    }
    end_by_ctrl_c();
    print("\n");
    // First what keeps any program from connecting: waiting would be in vain.
    for line in obstacles(&status, values, "run ostler resume") {
        print_seen(&Seen::Bad(line));
    }
    print(&format!("waiting for your mail program... ({} in {})\n", watch.wanted(), client.title()));
    match follow(file, seq, &mut watch, |watch| watch.reminder(client, values)) {
        Ok(()) => {
            print(&format!("{} works with ostler.\n", client.title()));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// From now on ctrl-C (SIGINT) ends this process, also if it was started with SIGINT ignored, as a shell script does with what
/// it runs in the background. `run` and `demo --stay` end by it too, so that SIGINT means the same for every command that
/// waits.
#[cfg(unix)]
fn end_by_ctrl_c() {
    use tokio::signal::unix::{SignalKind, signal};
    /// What a shell shows for a program that SIGINT has ended: 128 and the number of the signal.
    const ENDED_BY_SIGINT: i32 = 130;
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let Ok(mut interrupt) = runtime.block_on(async { signal(SignalKind::interrupt()) }) else { return };
    std::thread::spawn(move || {
        runtime.block_on(interrupt.recv());
        std::process::exit(ENDED_BY_SIGINT);
    });
}

/// Windows ends the process by itself.
#[cfg(not(unix))]
fn end_by_ctrl_c() {}

/// The status of the running ostler, and the number of its last journal entry.
fn start_following(file: &Path) -> Result<(Value, u64), ExitCode> {
    let status = match ask(file, &Request::Status) {
        Ok(Some(status)) => status,
        Ok(None) => {
            return Err(fail(
                1,
                "ostler is not running, so no mail program can connect; start it with `ostler run`, then try again",
            ));
        }
        Err(error) => return Err(fail(1, &no_answer_text(&error))),
    };
    match ask(file, &Request::Since { seq: None }) {
        Ok(Some(answer)) => match answer["seq"].as_u64() {
            Some(seq) => Ok((status, seq)),
            None => Err(fail(1, "the running ostler is another version; restart it")),
        },
        Ok(None) => Err(fail_ended()),
        Err(error) => Err(fail(1, &no_answer_text(&error))),
    }
}

/// Prints what happens after entry `seq` of the journal, until the watch is done; repeats what to do after a while without
/// news.
fn follow(file: &Path, mut seq: u64, watch: &mut Watch, reminder: impl Fn(&Watch) -> String) -> Result<(), ExitCode> {
    let mut quiet_since = Instant::now();
    loop {
        if quiet_since.elapsed() > REMINDER_INTERVAL {
            print_seen(&Seen::Bad(reminder(watch)));
            quiet_since = Instant::now();
        }
        let answer = match ask(file, &Request::Since { seq: Some(seq) }) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(fail_ended()),
            // ostler ended before it answered.
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Err(fail_ended());
            }
            Err(error) => return Err(fail(1, &no_answer_text(&error))),
        };
        let Some(last) = answer["seq"].as_u64() else { return Err(fail_ended()) };
        seq = last;
        for entry in answer["entries"].as_array().into_iter().flatten() {
            if let Some(seen) = watch.see(entry) {
                quiet_since = Instant::now();
                print_seen(&seen);
            }
            if watch.is_done() {
                return Ok(());
            }
            if matches!(EntryKind::of(entry), EntryKind::Fetched | EntryKind::Sent) {
                print(&format!("still to do: {}\n", watch.wanted()));
            }
        }
    }
}

fn no_answer_text(error: &std::io::Error) -> String {
    format!("the running ostler does not answer: {error}; restart it")
}

fn fail_ended() -> ExitCode {
    fail(1, "ostler has ended; start it with `ostler run`, then try again")
}

fn print_seen(seen: &Seen) {
    let (mark, text) = match seen {
        Seen::Good(text) => ("-", text),
        Seen::Bad(text) => ("!", text),
    };
    print_wrapped(&format!("{mark} {text}\n"));
}
