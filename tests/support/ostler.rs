//! The built program, in a home of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::ca::TestCa;
use super::keyring::{Keyring, private_folder};
use super::process::{Process, command, run};
use super::running::Heard;
use super::secrets::{Again, Watch};
use super::world::{Inside, World};
use super::{PATIENCE, folder, free_port, private_file};

/// One server table of an account.
#[derive(Clone)]
pub struct Server {
    lines: Vec<String>,
}

impl Server {
    /// `tls`, `starttls` or `none`, on this computer.
    pub fn new(security: &str, port: u16) -> Self {
        Self::at("localhost", security, port)
    }

    pub fn at(host: &str, security: &str, port: u16) -> Self {
        Self { lines: vec![format!("host = {host:?}"), format!("port = {port}"), format!("security = {security:?}")] }
    }

    pub fn auth(self, auth: &str) -> Self {
        self.line(&format!("auth = {auth:?}"))
    }

    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }
}

/// One account of a settings file.
#[derive(Clone)]
pub struct Account {
    name: String,
    lines: Vec<String>,
    password: Password,
    pop3: Option<Server>,
    smtp: Vec<Server>,
    imap: Option<Server>,
}

#[derive(Clone)]
enum Password {
    File(String),
    /// Nothing is written about it: the keyring has it.
    Keyring,
}

impl Account {
    /// An account whose name and address are these; its password is in a file.
    pub fn new(name: &str, address: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: vec![format!("address = {address:?}")],
            password: Password::File(password.to_owned()),
            pop3: None,
            smtp: Vec::new(),
            imap: None,
        }
    }

    /// The password is the keyring's.
    pub fn keyring(mut self) -> Self {
        self.password = Password::Keyring;
        self
    }

    pub fn pop3(mut self, server: Server) -> Self {
        self.pop3 = Some(server);
        self
    }

    pub fn smtp(mut self, server: Server) -> Self {
        self.smtp.push(server);
        self
    }

    pub fn imap(mut self, server: Server) -> Self {
        self.imap = Some(server);
        self
    }

    /// One more line of the account itself.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }
}

/// The program under test. Another build, a released one perhaps, can be put to the same tests.
pub fn program() -> std::ffi::OsString {
    std::env::var_os("OSTLER_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_ostler").into())
}

/// A home folder with a settings file: where `ostler` commands of one user run.
pub struct Home {
    folder: TempDir,
    pub pop3: u16,
    pub smtp: u16,
    pub imap: u16,
    bus: Option<String>,
    display: Option<String>,
    watch: Arc<Watch>,
    inside: Option<Inside>,
}

impl Home {
    /// Writes the settings file: doors on free ports, no page, and these accounts, for which servers are trusted
    /// that this authority has signed.
    pub fn new(ca: &TestCa, accounts: &[Account]) -> Self {
        Self::with_settings(ca, accounts, "", "")
    }

    /// As [`new`](Self::new), with more lines in `[local]`, and more tables at the end.
    pub fn with_settings(ca: &TestCa, accounts: &[Account], local: &str, tables: &str) -> Self {
        let folder = folder();
        let at = folder.path();
        for name in ["home", "config", "run", "data"] {
            private_folder(&at.join(name));
        }
        std::fs::write(at.join("ca.pem"), ca.pem()).unwrap();
        let (pop3, smtp, imap) = (free_port(), free_port(), free_port());
        let watch = Watch::over(&at.join("home"));
        let mut home = Self { folder, pop3, smtp, imap, bus: None, display: None, watch, inside: None };
        // Only where an account has a server for it.
        let has_imap = accounts.iter().any(|account| account.imap.is_some());
        let door = if has_imap { format!("\"127.0.0.1:{imap}\"") } else { "false".to_owned() };
        let mut text = format!(
            "[local]\npop3 = \"127.0.0.1:{pop3}\"\nsmtp = \"127.0.0.1:{smtp}\"\nimap = {door}\npage = false\n{local}\n"
        );
        for (number, account) in accounts.iter().enumerate() {
            text.push_str(&home.account(number, account));
        }
        text.push_str(tables);
        home.write_settings(&text);
        home
    }

    /// With one more account in the settings file.
    pub fn with_account(mut self, account: &Account) -> Self {
        let text = self.settings() + &self.account(1, account);
        self.write_settings(&text);
        self
    }

    fn account(&mut self, number: usize, account: &Account) -> String {
        let at = self.folder.path().to_owned();
        let mut text = format!("\n[[account]]\nname = {:?}\n{}\n", account.name, account.lines.join("\n"));
        // Tests compare what a client sends with what a provider gets. Those of `mend` ask for it.
        if !account.lines.iter().any(|line| line.starts_with("mend =")) {
            text.push_str("mend = []\n");
        }
        if let Password::File(password) = &account.password {
            let file = at.join(format!("password-{number}"));
            private_file(&file, &format!("{password}\n"));
            text.push_str(&format!("password = {{ file = {:?} }}\n", file.display().to_string()));
            self.watch.add(password);
        }
        let ca = format!("ca = {:?}", at.join("ca.pem").display().to_string());
        let mut table = |head: &str, server: &Server| {
            let plain = server.lines.iter().any(|line| line.starts_with("ca =") || line == "security = \"none\"");
            let ca = if plain { "" } else { &ca };
            text.push_str(&format!("\n{head}\n{}\n{ca}\n", server.lines.join("\n")));
        };
        if let Some(server) = &account.pop3 {
            table("[account.pop3]", server);
        }
        if let Some(server) = &account.imap {
            table("[account.imap]", server);
        }
        match account.smtp.as_slice() {
            [one] => table("[account.smtp]", one),
            several => several.iter().for_each(|server| table("[[account.smtp]]", server)),
        }
        text
    }

    /// Where everything of this user lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn settings_file(&self) -> PathBuf {
        self.path().join("config").join("ostler.toml")
    }

    /// What every hint repeats, since every command of this home is given with it.
    pub fn option(&self) -> String {
        format!("--config {}", self.settings_file().display())
    }

    pub fn settings(&self) -> String {
        std::fs::read_to_string(self.settings_file()).unwrap()
    }

    pub fn write_settings(&self, text: &str) {
        std::fs::write(self.settings_file(), text).unwrap();
    }

    pub fn providers_file(&self) -> PathBuf {
        self.settings_file().with_file_name("providers.toml")
    }

    /// Gives this user providers of their own.
    pub fn write_providers(&self, text: &str) {
        std::fs::write(self.providers_file(), text).unwrap();
    }

    /// The trusted roots, for other programs that are to reach the servers themselves.
    pub fn ca_file(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    /// Lets this user reach a keyring.
    pub fn with_keyring(mut self, keyring: &Keyring) -> Self {
        self.bus = Some(keyring.address().to_owned());
        self
    }

    /// Lets this user see a desktop: `ostler` without a command has an icon then, if there is also a bus to show it on.
    pub fn with_desktop(mut self, bus: Option<&str>, display: &str) -> Self {
        self.bus = bus.map(str::to_owned);
        self.display = Some(display.to_owned());
        self
    }

    /// Everything this user runs, runs inside a world from now on; its doors are reached with `World::reach`.
    pub fn inside(mut self, world: &World) -> Self {
        self.inside = Some(world.inside());
        self
    }

    /// A word that must never appear in anything the program says.
    pub fn keep_secret(&mut self, secret: &str) {
        self.watch.add(secret);
    }

    /// Where a secret may show all the same, and why (`secrets.rs`).
    pub fn allow_secret(&mut self, secret: &str, place: &str, why: &'static str) {
        self.watch.allow(secret, place, why);
    }

    /// Runs the program to its end: `home.ostler(&["list"], "")`.
    pub fn ostler(&self, args: &[&str], input: &str) -> Output {
        run(&mut self.command(args), input)
    }

    /// The program with these arguments, in this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(program(), args);
        command.arg("--config").arg(self.settings_file());
        let at = self.path();
        command.env("HOME", at.join("home")).env("XDG_RUNTIME_DIR", at.join("run"));
        command.env("XDG_CONFIG_HOME", at.join("config")).env("XDG_DATA_HOME", at.join("data"));
        command.env("XDG_STATE_HOME", at.join("data")).env("XDG_CACHE_HOME", at.join("data"));
        for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "NOTIFY_SOCKET", "OSTLER_CONFIG"] {
            command.env_remove(name);
        }
        // Certificate overrides of the machine the tests run on.
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        }
        if let Some(display) = &self.display {
            command.env("DISPLAY", display);
        }
        match &self.inside {
            Some(inside) => inside.wrap(&command),
            None => command,
        }
    }

    /// Starts `ostler run` and waits for `ready`.
    pub fn run(self) -> Ostler {
        self.run_as(&["run"])
    }

    /// As [`run`](Self::run), with more words on the command line.
    pub fn run_as(self, words: &[&str]) -> Ostler {
        self.run_changed(words, |_, _| {})
    }

    /// As [`run_as`](Self::run_as), with a last change to the home or the command.
    pub fn run_changed(self, words: &[&str], change: impl FnOnce(&Self, &mut Command)) -> Ostler {
        let mut command = self.command(words);
        change(&self, &mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let again = Again::of(&command);
        let mut process = Process::start_to_be_asked("ostler", &mut command);
        let (log, reader) = Heard::listen(process.child().stderr.take().unwrap());
        let stdout = process.child().stdout.take().unwrap();
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let (pop3, smtp, imap) = (self.pop3, self.smtp, self.imap);
        let ostler = Ostler { pop3, smtp, imap, process, again, log, reader: Some(reader), home: self };
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line == "ready" => ostler,
            Ok(line) => panic!("ostler says {line:?} instead of ready:\n{}", ostler.log()),
            Err(_) => panic!("ostler never says ready:\n{}", ostler.log()),
        }
    }
}

/// A running `ostler run`. At the end of the test it is asked to end, has to end well, and must not have said a
/// secret in any form.
pub struct Ostler {
    pub pop3: u16,
    pub smtp: u16,
    pub imap: u16,
    process: Process,
    again: Again,
    log: Heard,
    reader: Option<JoinHandle<()>>,
    pub home: Home,
}

impl Ostler {
    /// The usual case: these accounts, servers signed by this authority.
    pub fn start(ca: &TestCa, accounts: &[Account]) -> Self {
        Home::new(ca, accounts).run()
    }

    /// What it has said on stderr so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until this is in the log, which comes through a pipe and so later than what a client is told.
    pub fn expect_log(&self, words: &str) {
        self.log.wait(words);
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Ostler {
    fn drop(&mut self) {
        let watch = Arc::clone(&self.home.watch);
        if !std::thread::panicking() {
            watch.search_running(self.process.id(), &self.again);
        }
        let status = self.process.end();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("ostler said:\n{}", self.log());
            return;
        }
        watch.search("the log", &self.log.bytes());
        watch.search_files(self.home.path());
        assert!(status.success(), "ostler ended with {status}:\n{}", self.log());
    }
}
