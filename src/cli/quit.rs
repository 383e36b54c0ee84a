//! `ostler quit`: ends the running ostler of the same settings file, for users without an icon and for installers, which
//! replace the program afterwards.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::app::{BALANCER_NOTICE, DRAIN_TIMEOUT};
use crate::cli::{fail, print};
use crate::os::control::{Request, ask, wait_for_end};

/// How long to wait: for load balancers, for the sessions that may finish, and some seconds to save the history.
const QUIT_TIMEOUT: Duration = DRAIN_TIMEOUT.saturating_add(BALANCER_NOTICE).saturating_add(Duration::from_secs(5));

/// Exit code 1 if none runs, or if it is still there afterwards.
pub(crate) fn main(file: &Path) -> ExitCode {
    let process = match ask(file, &Request::Quit) {
        Ok(None) => return fail(1, "ostler is not running"),
        Ok(Some(answer)) if answer["error"].is_string() => {
            return fail(
                1,
                "the running ostler is another version; end it with its icon, or with ctrl-C where it was started",
            );
        }
        Ok(Some(answer)) => answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
        // It may have ended before its answer was sent.
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
                &format!(
                    "the running ostler does not answer: {error}; end it with its icon, or end the process ostler"
                ),
            );
        }
    };
    match wait_for_end(file, process, QUIT_TIMEOUT) {
        Ok(true) => {
            print("ostler has ended\n");
            ExitCode::SUCCESS
        }
        Ok(false) => fail(1, "ostler is ending, but still busy with a message; a second `ostler quit` ends it at once"),
        Err(error) => fail(1, &format!("cannot see whether ostler has ended: {error}; run `ostler status`")),
    }
}
