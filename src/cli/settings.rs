//! `ostler settings`: leads to the settings page of the running ostler of the same settings file.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{fail, print};
use crate::os::control::{Request, ask};

/// Options of `ostler settings`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print the page's address instead, token and all: whoever has it can change your settings
    #[arg(long)]
    print: bool,
}

/// Opens the page, or prints where it is; exit code 1 if none runs, or its page is not open.
pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
    let answer = match ask(file, &Request::Page) {
        Ok(Some(answer)) => answer,
        Ok(None) => return fail(1, "ostler is not running; start it with ostler run, then try again"),
        Err(error) => {
            return fail(1, &format!("the running ostler does not answer: {error}; end it and start it again"));
        }
    };
    if answer["error"].is_string() {
        return fail(1, "the running ostler is of another version: end it and start it again");
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
        "the settings page is not open: page under [local] in the settings may be false, or another program has its port; \
         what ostler run says tells which"
    } else {
        "this ostler was built without the settings page; everything can be set with the other commands"
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
