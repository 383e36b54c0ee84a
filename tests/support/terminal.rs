//! A program at a terminal: a pseudo-terminal of its own, a person who reads what it says and types.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::PATIENCE;
use super::process::Process;

/// The person's side.
pub struct Terminal {
    process: Process,
    keys: File,
    /// Kept open, so that what the program left of the terminal's state can be looked at.
    slave: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// How much of it has been looked at.
    read_to: usize,
}

#[derive(Default)]
struct Screen {
    text: String,
    is_over: bool,
}

impl Terminal {
    /// Starts a program with this terminal as its own.
    pub fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(path).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: 50, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        // A session of its own, whose terminal is standard input.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        let end = || Stdio::from(slave.try_clone().unwrap());
        session.stdin(end()).stdout(end()).stderr(end());
        let process = Process::start("setsid", &mut session);
        let keys = File::from(master);
        let screen = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let mut reader = keys.try_clone().unwrap();
        let copy = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            loop {
                let count = reader.read(&mut block).unwrap_or(0);
                let mut screen = copy.0.lock().unwrap();
                screen.text.push_str(&String::from_utf8_lossy(&block[..count]));
                screen.is_over = count == 0;
                copy.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { process, keys, slave, screen, read_to: 0 }
    }

    /// Waits until the program has said this, behind what was waited for before; everything up to it.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut screen = self.screen.0.lock().unwrap();
        loop {
            if let Some(at) = screen.text[self.read_to..].find(wanted) {
                let end = self.read_to + at + wanted.len();
                let seen = screen.text[self.read_to..end].to_owned();
                self.read_to = end;
                return seen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !screen.is_over, "{wanted:?} was not said; on the screen:\n{}", screen.text);
            screen = self.screen.1.wait_timeout(screen, left).unwrap().0;
        }
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.keys(&format!("{text}\r"));
    }

    /// Types a password: not before its echo is off, as a person would not either.
    pub fn password(&mut self, text: &str) {
        super::wait_for("echo to be off", || (!self.echoes()).then_some(()));
        self.line(text);
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(self.slave.as_fd()).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the program's end, and until the last of what it said is on the screen.
    pub fn end(&mut self) -> ExitStatus {
        const MARK: &str = "\u{1}";
        let status = super::wait_for("the program to end", || self.process.ended());
        // Comes behind everything the program wrote.
        self.slave.write_all(MARK.as_bytes()).unwrap();
        super::wait_for("the last words", || {
            let mut screen = self.screen.0.lock().unwrap();
            let at = screen.text.find(MARK)?;
            screen.text.truncate(at);
            Some(())
        });
        status
    }

    /// Everything it has said.
    pub fn all(&self) -> String {
        self.screen.0.lock().unwrap().text.clone()
    }
}
