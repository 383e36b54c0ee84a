//! Asking a person: lines and passwords from the terminal, ctrl-C at any point. What is asked and what follows from the
//! answer is the commands' own.

use std::io::{BufRead, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use ostler_mail::secret::{LIMIT, Secret};

/// The person stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;

/// Whether there is a person at the other end.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Runs a dialogue that ctrl-C ends at any point, with the terminal left as it was found. From then on ctrl-C does nothing
/// more in this process, so that what follows happens whole.
pub(crate) fn cancellable<T>(dialogue: impl Future<Output = T>) -> std::io::Result<Result<T, Cancelled>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let terminal = terminal::Saved::now();
    let result = runtime.block_on(async {
        let stop = wait_for_stop();
        tokio::select! {
            // The first to be polled hears signals before anybody has been asked anything.
            biased;
            () = stop => Err(Cancelled),
            result = dialogue => Ok(result),
        }
    });
    if result.is_err() {
        // The thread that reads a password has echo switched off, and does not come to an end.
        terminal.restore();
        let _ = writeln!(std::io::stderr());
    }
    runtime.shutdown_background();
    Ok(result)
}

/// Ends when the person wants to stop.
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

/// Asks on the terminal; `None`: there is nobody any more.
pub(crate) async fn ask_line(prompt: &str) -> Option<String> {
    let mut err = std::io::stderr();
    let _ = err.write_all(prompt.as_bytes()).and_then(|()| err.flush());
    let read = || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.ok().filter(|octets| *octets > 0).map(|_| line.trim().to_owned())
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

/// Asks for a password without echo; why not, if not.
pub(crate) async fn ask_password(prompt: String) -> Result<Secret, String> {
    let typed = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
    let typed = typed.map_err(|e| e.to_string())?.map_err(|e| format!("no password was typed ({e})"))?;
    to_secret(Zeroizing::new(typed))
}

/// Takes a password from the next line of standard input.
pub(crate) fn read_password() -> Result<Secret, String> {
    let mut line = Zeroizing::new(Vec::with_capacity(LIMIT + 2));
    let input = std::io::stdin();
    Read::take(&mut input.lock(), LIMIT as u64 + 2).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    let text = String::from_utf8(line.to_vec()).map_err(|_| "the password is not UTF-8 text")?;
    to_secret(Zeroizing::new(text))
}

/// Blanks and line ends around a pasted password are left out, and that is said.
fn to_secret(typed: Zeroizing<String>) -> Result<Secret, String> {
    let line = typed.trim_end_matches(['\r', '\n']);
    let trimmed = line.trim();
    if trimmed.len() != line.len() {
        let _ = writeln!(std::io::stderr(), "blanks around the password were left out");
    }
    Secret::new(Zeroizing::new(trimmed.to_owned())).map_err(|why| format!("this is no password: {why}"))
}

/// The terminal's state.
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

/// Elsewhere the console is given back by the system.
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
