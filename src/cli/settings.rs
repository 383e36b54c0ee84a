//! `ostler settings`: opens the settings page of the running ostler of the same settings file.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{fail, print};
use crate::os;
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
            if let Some(how) = is_remote().then(|| tunnel_text(link)).flatten() {
                crate::events::log::print_error(&how);
            }
            ExitCode::SUCCESS
        }
        Some(link) => open_page(link),
        None => fail(1, closed_text()),
    }
}

/// Whether the user works on this computer from another one.
fn is_remote() -> bool {
    std::env::var_os("SSH_CONNECTION").is_some()
}

/// Whether there is a desktop for a browser's window, or a browser that the user has chosen for where there is none.
#[cfg(feature = "web")]
fn has_browser() -> bool {
    crate::desktop::has_desktop() || std::env::var_os("BROWSER").is_some()
}

/// How to open the page in a browser on another computer: it listens on this one only. `None`: the link names no port.
fn tunnel_text(link: &str) -> Option<String> {
    let address = link.strip_prefix("http://")?.split('/').next()?;
    let port = address.rsplit(':').next()?;
    let here = user_and_host(|name| std::env::var(name).ok(), os::computer_name());
    Some(format!(
        "To open it in the web browser of another computer, run this in a terminal there, leave it running, and open the address \
         there: ssh -L {port}:{address} {here}"
    ))
}

/// What `ssh` on another computer calls this one: by the address that the user has come to with it, if they have.
fn user_and_host(variable: impl Fn(&str) -> Option<String>, name: Option<String>) -> String {
    let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "USER".into());
    let connection = variable("SSH_CONNECTION").unwrap_or_default();
    let address = connection.split(' ').nth(2).map(str::to_owned);
    format!("{user}@{}", address.or(name).unwrap_or_else(|| "COMPUTER".into()))
}

fn closed_text() -> &'static str {
    if cfg!(feature = "web") {
        "the settings page is not open: `page` under [local] in the settings is false or an address for load balancers, or \
         another program holds its port; the log of ostler says which"
    } else {
        "this ostler was built without the settings page; the other commands can do everything that it does"
    }
}

#[cfg(feature = "web")]
fn open_page(link: &str) -> ExitCode {
    let opened = if is_remote() && !has_browser() {
        // What would be started finds no screen, and says so to nobody.
        Err(std::io::Error::other("this login has no desktop"))
    } else {
        webbrowser::open(link)
    };
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let how = tunnel_text(link).map_or_else(String::new, |how| format!("\n{how}"));
            fail(1, &(crate::desktop::no_browser(&error, link) + &how))
        }
    }
}

#[cfg(not(feature = "web"))]
fn open_page(_: &str) -> ExitCode {
    fail(1, closed_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_through_ssh_names_the_computer_as_the_user_reached_it() {
        let of = |pairs: &'static [(&str, &str)], name: Option<&str>| {
            let variable = |wanted: &str| pairs.iter().find(|(n, _)| *n == wanted).map(|(_, v)| (*v).to_owned());
            user_and_host(variable, name.map(str::to_owned))
        };
        let come = &[("USER", "pi"), ("SSH_CONNECTION", "192.168.1.77 50000 192.168.1.10 22")];
        assert_eq!(of(come, Some("raspberrypi")), "pi@192.168.1.10");
        assert_eq!(of(&[("LOGNAME", "ann")], Some("raspberrypi")), "ann@raspberrypi");
        assert_eq!(of(&[], None), "USER@COMPUTER");
        let text = tunnel_text("http://127.0.0.1:2080/?token=abc").unwrap();
        assert!(text.contains("ssh -L 2080:127.0.0.1:2080 ") && !text.contains("abc"), "{text}");
    }
}
