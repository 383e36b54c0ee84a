//! A message bus and a GNOME keyring of the test's own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::{Process, command, run};
use super::{find, folder, set_mode, wait_for};

/// Whether bus, keyring and the program that asks it are here.
pub fn usable() -> Result<(), String> {
    for program in ["dbus-daemon", "gnome-keyring-daemon", "secret-tool"] {
        find(program).ok_or(program)?;
    }
    Ok(())
}

/// A session bus, with a keyring on it once that is started.
pub struct Keyring {
    // Both end before their folder goes.
    daemon: Option<Process>,
    bus: Process,
    folder: TempDir,
    address: String,
}

impl Keyring {
    /// What opens it when [`start`](Self::start) made it.
    pub const PASSWORD: &str = "the login password";

    /// Bus and keyring, unlocked.
    pub fn start() -> Self {
        let mut keyring = Self::bus_only();
        keyring.open(Self::PASSWORD);
        keyring
    }

    /// A bus nobody keeps secrets on yet, as early in a desktop session.
    pub fn bus_only() -> Self {
        let folder = folder();
        let home = folder.path();
        // Before the bus starts: what it starts inherits these folders.
        for name in ["home", "run"] {
            private_folder(&home.join(name));
        }
        // No service folders: a keyring is here when the test starts one, and not because somebody asked for it.
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}/bus</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>\
             </policy></busconfig>",
            home.join("run").display()
        );
        std::fs::write(home.join("bus.conf"), config).unwrap();
        let mut start = Command::new(find("dbus-daemon").unwrap());
        start.args(["--nofork", "--nopidfile", "--print-address=1"]);
        start.arg(format!("--config-file={}", home.join("bus.conf").display()));
        start.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        environment(&mut start, home);
        let mut bus = Process::start("dbus-daemon", &mut start);
        let mut address = String::new();
        let stdout = bus.child().stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        assert!(!address.trim().is_empty(), "dbus-daemon names no address");
        Self { folder, daemon: None, bus, address: address.trim().to_owned() }
    }

    /// Starts the keyring and unlocks it with this password (which becomes its password the first time).
    pub fn open(&mut self, password: &str) {
        self.daemon = None;
        let mut start =
            command(find("gnome-keyring-daemon").unwrap(), ["--foreground", "--unlock", "--components=secrets"]);
        self.run_daemon(&mut start, Some(password));
    }

    /// Starts the keyring locked: nobody has logged in to it.
    pub fn start_locked(&mut self) {
        self.daemon = None;
        let mut start = command(find("gnome-keyring-daemon").unwrap(), ["--foreground", "--components=secrets"]);
        self.run_daemon(&mut start, None);
    }

    /// Ends the keyring; the bus stays.
    pub fn close(&mut self) {
        self.daemon = None;
    }

    fn run_daemon(&mut self, start: &mut Command, password: Option<&str>) {
        self.environment(start);
        start.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = Process::start("gnome-keyring-daemon", start);
        let mut stdin = daemon.child().stdin.take().unwrap();
        if let Some(password) = password {
            stdin.write_all(password.as_bytes()).unwrap();
        }
        drop(stdin);
        wait_for("the keyring to be on the bus", || {
            let mut ask = command(
                find("dbus-send").expect("dbus-send"),
                [
                    "--session",
                    "--print-reply",
                    "--dest=org.freedesktop.DBus",
                    "/org/freedesktop/DBus",
                    "org.freedesktop.DBus.NameHasOwner",
                    "string:org.freedesktop.secrets",
                ],
            );
            self.environment(&mut ask);
            String::from_utf8_lossy(&run(&mut ask, "").stdout).contains("boolean true").then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// The bus's address, for `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything the keyring has stored, searched for these bytes on disk (it must not find them there).
    pub fn files(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let mut folders = vec![self.folder.path().join("home")];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { all.push(path) }
            }
        }
        all
    }

    /// Runs secret-tool on this bus.
    pub fn secret_tool(&self, args: &[&str], input: &str) -> std::process::Output {
        let mut ask = command(find("secret-tool").unwrap(), args);
        self.environment(&mut ask);
        run(&mut ask, input)
    }

    fn environment(&self, command: &mut Command) {
        environment(command, self.folder.path());
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }
}

fn environment(command: &mut Command, home: &Path) {
    command.env("HOME", home.join("home")).env("XDG_RUNTIME_DIR", home.join("run"));
    for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "GNOME_KEYRING_CONTROL", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
}

/// A folder only its owner can enter.
pub fn private_folder(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    set_mode(path, 0o700);
}
