//! Runs a command that prints a secret. The command's text is never shown: it may contain a secret, or be one that was
//! put in the wrong place.

use std::convert::Infallible;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{first_line, to_plain_line};
use ostler_mail::account::CommandLine;
use ostler_mail::secret::{self, NotASecret, Secret};

/// A command may have to unlock something or ask a server. But a mail program waits, and even the most patient of the
/// old ones shows an error after a minute.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// For the rest of stderr after a command has failed; a process that it left running may keep stderr open for ever.
const STDERR_TIMEOUT: Duration = Duration::from_millis(500);

/// The Windows flag that keeps a console window from flashing up each time mail is fetched.
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// How much of stderr is kept: its end, where the reason usually stands.
const MAX_STDERR_OCTETS: usize = 1024;

/// Why a command gave no secret; the text follows "the password command of account .. ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandTrouble {
    /// It could not be started.
    #[error("cannot be run: {0}")]
    NotRun(String),
    /// The shell did not find a program that the command names, or could not run it.
    #[error("names a program that the shell cannot run")]
    NotFound,
    /// Its exit status was not 0.
    #[error("failed ({status}){}{words}", if words.is_empty() { "" } else { ": " })]
    Failed {
        /// The exit status in words.
        status: String,
        /// The last line that it wrote to stderr.
        words: String,
    },
    /// It was killed after its time limit.
    #[error("was stopped because it took longer than {} s", limit.as_secs())]
    TimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// Its first line cannot be a secret.
    #[error("printed a first line that cannot be a password: {0}")]
    NotASecret(NotASecret),
}

/// The first line that the command prints, if its exit status is 0.
pub(super) async fn secret(line: &CommandLine) -> Result<Secret, CommandTrouble> {
    run(line, COMMAND_TIMEOUT).await
}

async fn run(line: &CommandLine, limit: Duration) -> Result<Secret, CommandTrouble> {
    let mut tail = Tail::default();
    let mut running = Running::start(line).map_err(|e| not_run(&e))?;
    let (first, status) = match tokio::time::timeout(limit, running.finish(&mut tail)).await {
        Ok(finished) => finished?,
        // Dropping `running` kills it.
        Err(_) => return Err(CommandTrouble::TimedOut { limit }),
    };
    if status.success() {
        return Secret::from_bytes(first).map_err(CommandTrouble::NotASecret);
    }
    running.read_stderr_rest(&mut tail).await;
    Err(failed(line, status, &first, &tail))
}

fn not_run(error: &io::Error) -> CommandTrouble {
    CommandTrouble::NotRun(to_plain_line(&error.to_string()))
}

fn failed(line: &CommandLine, status: ExitStatus, first: &[u8], tail: &Tail) -> CommandTrouble {
    // By POSIX, 126 and 127 come from the shell itself, and its message names the program that it did not find. If the
    // user has written the password where the command belongs, that "program" is the password.
    if cfg!(unix) && matches!(line, CommandLine::Shell(_)) && matches!(status.code(), Some(126 | 127)) {
        return CommandTrouble::NotFound;
    }
    let mut hidden = vec![Zeroizing::new(String::from_utf8_lossy(first).trim().to_owned())];
    match line {
        CommandLine::Shell(text) => {
            hidden.push(Zeroizing::new(text.trim().to_owned()));
            // cmd.exe repeats the first word if it is not a program.
            if cfg!(windows) {
                hidden.extend(text.split_whitespace().next().map(|word| Zeroizing::new(word.to_owned())));
            }
        }
        // An argument may be a secret. One of three letters is not, and hiding it would garble the message.
        CommandLine::Argv(words) => {
            hidden.extend(words.iter().skip(1).filter(|w| w.len() > 3).map(|w| Zeroizing::new(w.clone())));
        }
    }
    CommandTrouble::Failed { status: status.to_string(), words: tail.words(&hidden) }
}

/// A running command; when this value is dropped, the command and everything it has started are killed.
struct Running {
    child: Child,
    out: ChildStdout,
    err: ChildStderr,
    /// False once the child has been waited for: afterwards its process id may belong to another process.
    is_alive: bool,
}

impl Running {
    fn start(line: &CommandLine) -> io::Result<Self> {
        let mut command = command(line)?;
        // Names ostler's own sockets from systemd; `os/inherited.rs` has removed the other variables of that kind.
        command.env_remove("LISTEN_FDNAMES");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Not on Windows: there the process has to exist still when `end_tree` looks for its children.
        command.kill_on_drop(cfg!(unix));
        // A process group of its own, so that everything the command starts can be killed with it.
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(windows)]
        command.creation_flags(CREATE_NO_WINDOW);
        let mut child = command.spawn()?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, out, err, is_alive: true })
    }

    /// Waits for the first line and for the exit of the command. Reads on meanwhile, because a full pipe would block
    /// the command. Does not wait for background processes that keep the pipes open.
    async fn finish(&mut self, tail: &mut Tail) -> Result<(Zeroizing<Vec<u8>>, ExitStatus), CommandTrouble> {
        let Self { child, out, err, .. } = self;
        let (line_is, line) = oneshot::channel();
        let reading = async {
            let line = read_line(out).await;
            let go_on = line.is_ok();
            let _ = line_is.send(line);
            if go_on {
                drain(out, |_| {}).await;
            }
        };
        let listening = async {
            tokio::join!(reading, drain(err, |words| tail.push(words)));
            std::future::pending::<Infallible>().await
        };
        let ending = async {
            let line = line.await.unwrap_or_else(|_| Ok(Zeroizing::default()))?;
            let status = child.wait().await.map_err(|e| not_run(&e))?;
            Ok((line, status))
        };
        let finished = tokio::select! {
            finished = ending => finished,
            never = listening => match never {},
        };
        // After an error nothing is known of the child, so it is killed.
        self.is_alive = finished.is_err();
        finished
    }

    /// Reads what a failed command has left in stderr.
    async fn read_stderr_rest(&mut self, tail: &mut Tail) {
        let _ = tokio::time::timeout(STDERR_TIMEOUT, drain(&mut self.err, |words| tail.push(words))).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_alive {
            return;
        }
        #[cfg(unix)]
        if let Some(leader) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
        #[cfg(windows)]
        self.end_tree();
    }
}

#[cfg(windows)]
impl Running {
    /// Killing cmd.exe leaves its children running; the system's taskkill kills the whole tree.
    fn end_tree(&mut self) {
        use std::os::windows::process::CommandExt;
        let Some(id) = self.child.id() else { return };
        let mut tool = std::process::Command::new("taskkill");
        tool.args(["/T", "/F", "/PID", &id.to_string()]).creation_flags(CREATE_NO_WINDOW);
        tool.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if tool.spawn().is_err() {
            let _ = self.child.start_kill();
        }
    }
}

fn command(line: &CommandLine) -> io::Result<Command> {
    match line {
        #[cfg(unix)]
        CommandLine::Shell(text) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            Ok(command)
        }
        #[cfg(windows)]
        CommandLine::Shell(text) => {
            let mut command = Command::new("cmd");
            // With /S cmd takes everything between the outermost quotes literally; arg() would escape the inner ones.
            command.raw_arg(format!("/D /S /C \"{text}\""));
            Ok(command)
        }
        CommandLine::Argv(words) => {
            let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(command)
        }
    }
}

/// Reads up to the end of the first line, or of the output.
async fn read_line(from: &mut (impl AsyncRead + Unpin)) -> Result<Zeroizing<Vec<u8>>, CommandTrouble> {
    // The longest secret, CR LF, and a byte order mark before it. All of it is reserved at once, because a vector that
    // grows would leave copies of the secret in freed memory.
    const MAX_LINE_OCTETS: usize = secret::LIMIT + 2 + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LINE_OCTETS + 1));
    while memchr::memchr(b'\n', &bytes).is_none() {
        if bytes.len() > MAX_LINE_OCTETS {
            return Err(CommandTrouble::NotASecret(NotASecret::TooLong));
        }
        let room = (MAX_LINE_OCTETS + 1 - bytes.len()) as u64;
        match (&mut *from).take(room).read_buf(&mut *bytes).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(first_line(&bytes))
}

/// Reads to the end. An error counts as the end: the exit status says whether the command failed.
async fn drain(from: &mut (impl AsyncRead + Unpin), mut with: impl FnMut(&[u8])) {
    let mut buffer = Zeroizing::new([0; 2048]);
    while let Ok(count @ 1..) = from.read(&mut buffer[..]).await {
        with(&buffer[..count]);
    }
}

/// The end of what a command wrote to stderr.
#[derive(Default)]
struct Tail {
    bytes: Zeroizing<Vec<u8>>,
    is_cut: bool,
}

impl Tail {
    fn push(&mut self, words: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(MAX_STDERR_OCTETS);
        }
        let words = if words.len() > MAX_STDERR_OCTETS {
            self.is_cut = true;
            &words[words.len() - MAX_STDERR_OCTETS..]
        } else {
            words
        };
        let excess = (self.bytes.len() + words.len()).saturating_sub(MAX_STDERR_OCTETS);
        self.is_cut |= excess > 0;
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(words);
    }

    /// The last line that is not blank, with every text in `hidden` replaced by stars.
    fn words(&self, hidden: &[Zeroizing<String>]) -> String {
        let mut text = Zeroizing::new(String::from_utf8_lossy(&self.bytes).into_owned());
        // The first line may begin in the middle of a secret, which could then not be recognised.
        if self.is_cut {
            text = Zeroizing::new(text.split_once('\n').map_or("", |(_, rest)| rest).to_owned());
        }
        for secret in hidden.iter().filter(|s| !s.is_empty()) {
            text = Zeroizing::new(text.replace(secret.as_str(), "***"));
        }
        to_plain_line(text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(text: &str) -> CommandLine {
        CommandLine::Shell(text.to_owned())
    }

    async fn printed(text: &str) -> Result<String, CommandTrouble> {
        secret(&shell(text)).await.map(|s| s.text().into_owned())
    }

    #[tokio::test]
    async fn the_first_line_is_the_secret_whatever_follows() {
        assert_eq!(printed("printf 'hunter2\\r\\nuser: ann\\n'").await.unwrap(), "hunter2");
        assert_eq!(printed("printf hunter2").await.unwrap(), "hunter2");
        assert_eq!(
            printed("echo hunter2; yes user | head -c 1000000; yes | head -c 1000000 >&2").await.unwrap(),
            "hunter2"
        );
        assert_eq!(printed("printf '\\357\\273\\277hunter2\\n'").await.unwrap(), "hunter2");
        let longest = "x".repeat(secret::LIMIT);
        assert_eq!(printed(&format!("printf '{longest}\\r\\n'")).await.unwrap(), longest);
    }

    #[tokio::test]
    async fn a_list_is_run_without_a_shell() {
        let line = CommandLine::Argv(["printf", "%s\\n", "$HOME; exit 1"].map(str::to_owned).to_vec());
        assert_eq!(secret(&line).await.unwrap().text(), "$HOME; exit 1");
    }

    #[tokio::test]
    async fn a_line_that_is_no_password_is_refused() {
        assert_eq!(printed("true").await, Err(CommandTrouble::NotASecret(NotASecret::Empty)));
        assert_eq!(printed("echo; echo x").await, Err(CommandTrouble::NotASecret(NotASecret::Empty)));
        assert_eq!(printed("printf '\\377\\n'").await, Err(CommandTrouble::NotASecret(NotASecret::NotText)));
        assert_eq!(printed("tr '\\0' x < /dev/zero").await, Err(CommandTrouble::NotASecret(NotASecret::TooLong)));
        let long = format!("printf '{}\\n'", "x".repeat(secret::LIMIT + 1));
        assert_eq!(printed(&long).await, Err(CommandTrouble::NotASecret(NotASecret::TooLong)));
    }

    #[tokio::test]
    async fn a_failure_is_told_in_the_commands_words_but_never_with_the_secret() {
        let told =
            printed("echo hunter2; echo 'one' >&2; printf 'bad \\033[1m hunter2\\n\\n' >&2; exit 3").await.unwrap_err();
        assert_eq!(told.to_string(), "failed (exit status: 3): bad ?[1m ***");
        let told = printed("yes hunter2 | head -c 20000 >&2; echo hunter2; exit 1").await.unwrap_err().to_string();
        assert!(!told.contains("hunter"), "{told}");
        assert_eq!(printed("exit 1").await.unwrap_err().to_string(), "failed (exit status: 1)");
    }

    #[tokio::test]
    async fn a_password_written_in_place_of_the_command_is_not_shown() {
        for text in ["hunter2", "hunter2 correct horse", "hunter2(", "/hunter2", "hunter2 'x"] {
            let told = printed(text).await.unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        let told = secret(&CommandLine::Argv(vec!["hunter2".into()])).await.unwrap_err().to_string();
        assert!(told.starts_with("cannot be run: ") && !told.contains("hunter2"), "{told}");
    }

    #[tokio::test]
    async fn something_left_running_does_not_hold_up_the_answer() {
        let start = Instant::now();
        assert_eq!(printed("sleep 20 & echo hunter2").await.unwrap(), "hunter2");
        assert!(printed("sleep 20 & echo hunter2; exit 1").await.is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    async fn process_in(file: &std::path::Path) -> rustix::process::Pid {
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Some(id) = text.strip_suffix('\n').and_then(|t| t.parse().ok()) {
                return rustix::process::Pid::from_raw(id).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the process is gone, or is a zombie.
    async fn ends(process: rustix::process::Pid) {
        let ended = async {
            while rustix::process::test_kill_process(process).is_ok()
                && !std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))
                    .is_ok_and(|stat| stat.contains(") Z "))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it is still running");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = shell(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
        let limit = Duration::from_millis(300);
        assert_eq!(run(&line, limit).await.err(), Some(CommandTrouble::TimedOut { limit }));
        ends(process_in(&file).await).await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_takes_the_command_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = shell(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
        let process = tokio::select! {
            _ = secret(&line) => panic!("it does not end by itself"),
            process = process_in(&file) => process,
        };
        ends(process).await;
    }
}
