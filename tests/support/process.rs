//! Child processes that end with the test.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::{PATIENCE, wait_for};

/// A server that is told to end, and then made to, when the test is over.
pub struct Process {
    name: String,
    child: Child,
    asked: bool,
}

impl Process {
    /// Starts a server as the head of a process group of its own, which is killed at the end: what it leaves
    /// behind lies in the test's folder.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut process = Self::start_to_be_asked(name, command);
        process.asked = false;
        process
    }

    /// As [`start`](Self::start), for a program that is asked to end and has to.
    pub fn start_to_be_asked(name: &str, command: &mut Command) -> Self {
        give_children_default_signals();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, asked: true }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Waits until the server answers; `false` if it has ended instead.
    pub fn comes_up(&mut self, answers: impl Fn() -> bool) -> bool {
        wait_for(&format!("{} to answer", self.name), || match self.ended() {
            Some(_) => Some(false),
            None => answers().then_some(true),
        })
    }

    /// Ends it; one that has to be asked is (SIGTERM), and whatever is left of its group afterwards is killed.
    pub fn end(&mut self) -> ExitStatus {
        if !self.asked {
            self.kill_group();
            return self.child.wait().expect("wait for a child");
        }
        if let Some(status) = self.ended() {
            self.kill_group();
            return status;
        }
        #[cfg(unix)]
        {
            let pid = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        #[cfg(not(unix))]
        let _ = self.child.kill();
        let status = ended_in_time(&mut self.child);
        self.kill_group();
        status.unwrap_or_else(|| killed(&mut self.child))
    }

    fn kill_group(&mut self) {
        #[cfg(unix)]
        {
            let pid = rustix::process::Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        #[cfg(not(unix))]
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// How it ended, if it did within [`PATIENCE`].
fn ended_in_time(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() <= deadline {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return Some(status);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    None
}

fn killed(child: &mut Child) -> ExitStatus {
    let _ = child.kill();
    child.wait().expect("wait for a child")
}

fn read_all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// Makes SIGINT, SIGTERM and SIGHUP do in programs started from now on what they do by default, where the tests run with one of
/// them ignored: a shell script starts `tests/run &` with SIGINT ignored, `nohup` ignores SIGHUP, and children inherit that. A
/// signal that is handled instead of ignored is reset in every child, so this process gets handlers that do nothing. Only
/// Linux tells what is ignored; elsewhere nothing is changed.
fn give_children_default_signals() {
    #[cfg(target_os = "linux")]
    {
        use tokio::signal::unix::{SignalKind, signal};
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("SigIgn");
            let ignored = u64::from_str_radix(mask.trim(), 16).expect("a mask");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            let _inside = runtime.enter();
            for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
                if ignored >> (kind.as_raw_value() - 1) & 1 == 1 {
                    // The handler stays when the stream is dropped.
                    drop(signal(kind).expect("a handler"));
                }
            }
        });
    }
}

/// Runs a program to its end with this on its standard input. What it says is searched for secrets (`secrets.rs`).
pub fn run(command: &mut Command, input: impl AsRef<[u8]>) -> Output {
    give_children_default_signals();
    let shown = format!("{command:?}");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{shown} does not start: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let output = std::thread::scope(|scope| {
        let out = scope.spawn(move || read_all(stdout));
        let err = scope.spawn(move || read_all(stderr));
        let input = input.as_ref();
        scope.spawn(move || {
            // A program that has seen enough closes its end.
            let _ = stdin.write_all(input);
        });
        let in_time = ended_in_time(&mut child);
        let status = in_time.unwrap_or_else(|| killed(&mut child));
        let output = Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() };
        assert!(in_time.is_some(), "{shown} does not end: {}", said(&output));
        output
    });
    super::secrets::search_output(command, &output);
    output
}

/// As [`run`], and the program has to succeed.
pub fn run_well(command: &mut Command, input: impl AsRef<[u8]>) -> Output {
    let shown = format!("{command:?}");
    let output = run(command, input);
    assert!(output.status.success(), "{shown} ended with {}: {}", output.status, said(&output));
    output
}

/// Puts a copy of a program there. Another process writes it: what a test has open for writing is inherited, for a moment, by
/// every process that another test starts meanwhile, and until that moment has passed the system refuses to execute the file
/// ("Text file busy").
pub fn install_program(from: impl AsRef<Path>, to: &Path) {
    run_well(command("install", ["-m", "755"]).arg(from.as_ref()).arg(to), "");
}

/// As [`install_program`], for a script with this text.
pub fn install_script(to: &Path, text: &str) {
    run_well(command("install", ["-m", "755", "/dev/stdin"]).arg(to), text);
}

/// What a program said on stdout.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it said on stderr.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON document on stdout.
pub fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// Everything a program said, for a message.
pub fn said(output: &Output) -> String {
    out(output) + &err(output)
}

/// A command line in words.
pub fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// This command as a shell script runs it with `nohup` in the background: with SIGHUP, SIGINT and SIGQUIT ignored.
pub fn in_background(program: &Command) -> Command {
    let mut shell = command("sh", ["-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh"]);
    shell.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Python for users who are not root: the search path may lead through folders of root's own.
pub fn anybodys_python() -> PathBuf {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|file| Path::new(file).exists());
    python.map_or_else(|| super::find("python3").unwrap(), Into::into)
}

/// What a program of user nobody hears at a door when it sends these bytes.
pub fn as_nobody(port: u16, bytes: &str) -> String {
    let script = "import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])),20)\ns.settimeout(20)\nd=s.recv(4096)\n\
        try:\n s.sendall(sys.argv[2].encode())\nexcept OSError: pass\n\
        try:\n while True:\n  b=s.recv(4096)\n  if not b: break\n  d+=b\nexcept OSError as e: d+=repr(e).encode()\nprint(d.decode())";
    let mut nobody = command("setpriv", ["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    nobody.arg(anybodys_python()).args(["-c", script, &port.to_string(), bytes]).current_dir("/");
    let output = run(&mut nobody, "");
    said(&output)
}
