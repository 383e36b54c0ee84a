//! Asking the user: lines and passwords from the terminal, with ctrl-C at any point. What is asked, and what follows from the
//! answer, is up to the commands.

use std::io::{BufRead, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use crate::os::console;
use ostler_mail::secret::{LIMIT, Secret};

/// The user pressed ctrl-C, or the program was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;

/// Whether questions can be asked: both standard input and standard error are a terminal.
pub(crate) fn is_interactive() -> bool {
    // Questions go to standard error, because standard output is for results.
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Runs a dialogue that ctrl-C ends at any point, and leaves the terminal as it was. Afterwards ctrl-C has no effect in this
/// process any more, so that saving an account, which follows, is not interrupted half way.
pub(crate) fn cancellable<T>(dialogue: impl Future<Output = T>) -> std::io::Result<Result<T, Cancelled>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let terminal = terminal::Saved::now();
    let result = runtime.block_on(async {
        let stop = wait_for_stop();
        tokio::select! {
            // Polled first, so that signals are handled before the first question appears.
            biased;
            () = stop => Err(Cancelled),
            result = dialogue => Ok(result),
        }
    });
    if result.is_err() {
        // The thread that reads a password has switched echo off, and never ends.
        terminal.restore();
        let _ = writeln!(console::stderr());
    }
    // Does not wait for the thread that still reads from the terminal.
    runtime.shutdown_background();
    Ok(result)
}

/// Ends at ctrl-C or another signal to end.
#[cfg(unix)]
async fn wait_for_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let received = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = received(SignalKind::interrupt()) => {}
        () = received(SignalKind::terminate()) => {}
        () = received(SignalKind::hangup()) => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Asks for a line; `None`: the input has ended.
pub(crate) async fn ask_line(prompt: &str) -> Option<String> {
    show_prompt(prompt);
    let read = || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.ok().filter(|octets| *octets > 0).map(|_| line.trim().to_owned())
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

/// Shows a question. The answer is typed behind it, on the same line.
pub(crate) fn show_prompt(prompt: &str) {
    let mut err = console::stderr();
    let _ = err.write_all(console::for_stderr(prompt).as_bytes()).and_then(|()| err.flush());
}

/// Asks for a password without echo. The error is a sentence.
pub(crate) async fn ask_password(prompt: String) -> Result<Secret, String> {
    let prompt = console::for_stderr(&prompt);
    let typed = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
    let typed = typed.map_err(|e| e.to_string())?.map_err(|e| format!("no password was typed ({e})"))?;
    to_secret(Zeroizing::new(typed))
}

/// Reads a password from the next line of standard input.
pub(crate) fn read_password() -> Result<Secret, String> {
    // Room for CR LF, and from the start: a vector that grows leaves a copy of the password behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LIMIT + 2));
    let input = std::io::stdin();
    Read::take(&mut input.lock(), LIMIT as u64 + 2).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    let text = String::from_utf8(line.to_vec()).map_err(|_| "the password is not UTF-8 text")?;
    to_secret(Zeroizing::new(text))
}

/// Removes blanks and line ends around a pasted password, and says so.
fn to_secret(typed: Zeroizing<String>) -> Result<Secret, String> {
    let line = typed.trim_end_matches(['\r', '\n']);
    let trimmed = line.trim();
    if trimmed.len() != line.len() {
        let _ = writeln!(console::stderr(), "blanks around the password were removed");
    }
    Secret::new(Zeroizing::new(trimmed.to_owned())).map_err(|why| format!("this cannot be a password: {why}"))
}

/// Saves and restores the state of the terminal.
#[cfg(unix)]
mod terminal {
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    pub(super) struct Saved(Option<Termios>);

    impl Saved {
        pub(super) fn now() -> Self {
            Self(tcgetattr(std::io::stdin()).ok())
        }

        pub(super) fn restore(self) {
            if let Some(state) = self.0 {
                let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &state);
            }
        }
    }
}

/// Elsewhere the system restores the console.
#[cfg(not(unix))]
mod terminal {
    pub(super) struct Saved;

    impl Saved {
        pub(super) fn now() -> Self {
            Self
        }

        pub(super) fn restore(self) {}
    }
}
