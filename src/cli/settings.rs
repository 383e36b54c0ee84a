//! `ostler settings`: opens the settings page of the running ostler of the same settings file.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{fail, print};
use crate::os::control::{Request, ask};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print the page's address instead, with its token: anyone who has it can change your settings
    #[arg(long)]
    print: bool,
}

/// Exit code 1 if no ostler runs, or if its page is not open.
pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
    let answer = match ask(file, &Request::Page) {
        Ok(Some(answer)) => answer,
        Ok(None) => return fail(1, "ostler is not running; start it with `ostler run`, then try again"),
        Err(error) => {
            return fail(1, &format!("the running ostler does not answer: {error}; restart it"));
        }
    };
    if answer["error"].is_string() {
        return fail(1, "the running ostler is another version; restart it");
    }
    match answer["link"].as_str() {
        Some(link) if options.print => {
            print(&format!("{link}\n"));
            ExitCode::SUCCESS
        }
        Some(link) => open_page(link),
        None => fail(1, closed_text()),
    }
}

fn closed_text() -> &'static str {
    if cfg!(feature = "web") {
        "the settings page is not open: `page` under [local] in the settings is false, or another program holds its port; \
         the log of ostler says which"
    } else {
        "this ostler was built without the settings page; the other commands can do everything that it does"
    }
}

#[cfg(feature = "web")]
fn open_page(link: &str) -> ExitCode {
    match webbrowser::open(link) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &crate::desktop::no_browser(&error, link)),
    }
}

#[cfg(not(feature = "web"))]
fn open_page(_: &str) -> ExitCode {
    fail(1, closed_text())
}
