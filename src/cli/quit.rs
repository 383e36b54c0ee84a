//! `ostler quit`: ends the running ostler of the same settings file; for a person without an icon, and for installers, which
//! replace the program afterwards.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::app::DRAIN_TIMEOUT;
use crate::cli::{fail, print};
use crate::os::control::{Request, ask, wait_for_end};

/// The sessions that it may finish, and then what has to be put away.
const QUIT_TIMEOUT: Duration = DRAIN_TIMEOUT.saturating_add(Duration::from_secs(5));

/// Ends it and waits until it is gone; exit code 1 if none runs, or it goes on.
pub(crate) fn main(file: &Path) -> ExitCode {
    let process = match ask(file, &Request::Quit) {
        Ok(None) => return fail(1, "ostler is not running, so there is nothing to end"),
        Ok(Some(answer)) if answer["error"].is_string() => {
            return fail(
                1,
                "the running ostler is of another version: end it by its icon, or with ctrl-C where it was started",
            );
        }
        Ok(Some(answer)) => answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
        // It may be gone before its answer is on the way.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) =>
        {
            None
        }
        Err(error) => {
            return fail(
                1,
                &format!("the running ostler does not answer: {error}; end it by its icon or in the list of programs"),
            );
        }
    };
    match wait_for_end(file, process, QUIT_TIMEOUT) {
        Ok(true) => {
            print("ostler has ended\n");
            ExitCode::SUCCESS
        }
        Ok(false) => fail(1, "ostler is ending, but still busy with a message; ostler quit once more ends it at once"),
        Err(error) => fail(1, &format!("cannot see whether ostler has ended: {error}; ostler status tells")),
    }
}
