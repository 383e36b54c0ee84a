//! A newcomer's first minutes, with a clock: a clean root with the Debian package in it, which `packaging/newcomer` makes, real
//! servers, and somebody who knows nothing but README.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::seeds::answer_add;
use crate::support::dovecot::Dovecot;
use crate::support::postfix::Postfix;
use crate::support::process::{command, run, said};
use crate::support::terminal::Terminal;
use crate::support::unique;
use crate::support::world::World;

const ANN: &str = "ann@posteo.de";
const LIMIT: Duration = Duration::from_secs(180);
/// Somebody who looks for each key.
const KEYS_PER_SECOND: u32 = 2;
/// Somebody who reads slowly, in a language that they learned at school.
const WORDS_PER_MINUTE: u32 = 150;

/// What a person does, and how long that takes them.
#[derive(Default)]
struct Person {
    typed: Vec<String>,
    screens: usize,
    words: usize,
}

impl Person {
    fn types(&mut self, text: &str) -> String {
        self.typed.push(text.to_owned());
        text.to_owned()
    }

    /// Steps that are ticked and lines of the log are watched as they pass, and not read.
    fn reads(&mut self, screen: &str) {
        let screen = screen.replace('\r', "");
        let told = screen.split("\n\n").filter(|paragraph| !paragraph.trim_start().starts_with("ok "));
        let lines = told.flat_map(str::lines).filter(|line| !line.contains(" INFO"));
        self.screens += 1;
        self.words += lines.flat_map(str::split_whitespace).count();
    }

    fn time(&self) -> Duration {
        // With the key that ends each line.
        let keys: usize = self.typed.iter().map(|text| text.chars().count() + 1).sum();
        let [keys, words] = [keys, self.words].map(|count| u32::try_from(count).unwrap());
        Duration::from_secs(1) * keys / KEYS_PER_SECOND + Duration::from_secs(60) * words / WORDS_PER_MINUTE
    }
}

/// The root, with what a computer has on which somebody has just logged in: a network, a keyring.
struct Computer {
    root: PathBuf,
    world: World,
}

impl Computer {
    fn new(world: World) -> Self {
        let root = PathBuf::from(std::env::var_os("OSTLER_NEWCOMER_ROOT").expect("packaging/newcomer names the root"));
        let write = |name: &str, text: &[u8]| std::fs::write(root.join(name), text).unwrap();
        write("etc/resolv.conf", b"nameserver 127.0.0.1\n");
        write("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n");
        write("usr/local/share/ca-certificates/world.crt", &std::fs::read(world.ca_file()).unwrap());
        let trusted = run(&mut command("chroot", [root.to_str().unwrap(), "update-ca-certificates"]), "");
        assert!(trusted.status.success(), "{}", said(&trusted));
        Self { root, world }
    }

    /// A program of the person's, as the package's user.
    fn command(&self, program: &[&str]) -> Command {
        let person = ["setpriv", "--reuid=ann", "--regid=ann", "--clear-groups", "env", "-i", "-C", "/home/ann"];
        let environment = ["HOME=/home/ann", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TERM=xterm"];
        let mut inner = command("chroot", [self.root.to_str().unwrap()]);
        inner.args(person).args(environment).arg("XDG_RUNTIME_DIR=/home/ann/.runtime").args(program);
        self.world.wrap(&inner)
    }

    /// A terminal window on a desktop.
    fn terminal(&self) -> Terminal {
        let session = "printf login | gnome-keyring-daemon --unlock --components=secrets >/dev/null; \
                       PS1='ann> ' exec bash --norc --noprofile -i";
        let mut terminal = Terminal::start(&self.command(&["dbus-run-session", "--", "sh", "-c", session]));
        terminal.wait_for("ann> ");
        terminal
    }

    /// An old mail program's first fetch, from a port of this computer.
    fn fetch(&self, port: &str, user: &str) -> String {
        let dialogue = r#"exec 3<>"/dev/tcp/127.0.0.1/$0"
            ask() { printf '%s\r\n' "$1" >&3; IFS= read -r reply <&3; printf '%s\n' "$reply"; }
            read -r greeting <&3; printf '%s\n' "$greeting"
            ask "USER $1"; ask 'PASS anything'; ask STAT; ask 'RETR 1'
            while IFS= read -r line <&3 && [ "$line" != $'.\r' ]; do printf '%s\n' "$line"; done
            ask QUIT"#;
        said(&run(&mut self.command(&["bash", "-c", dialogue, port, user]), ""))
    }
}

/// The section of README that a newcomer reads, and the commands in it.
fn readme() -> (String, Vec<String>) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.contains("    ostler add ")).unwrap();
    let commands = section.lines().map(str::trim).filter(|line| line.starts_with("ostler "));
    let commands = commands.map(|line| line.split('#').next().unwrap().trim().to_owned()).collect();
    (section.to_owned(), commands)
}

#[test]
#[ignore = "needs a root with the package in it: packaging/newcomer makes one"]
fn from_the_installed_package_to_the_first_message_takes_less_than_three_minutes() {
    let world = World::builder().host("posteo.de", "127.0.0.2").start();
    let word = unique("pw");
    let cert = world.ca().named(&["posteo.de"]);
    let dovecot =
        Dovecot::builder().user(ANN, &word).cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
    let _postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [25, 587, 465]).start();
    dovecot.deliver(ANN, b"Subject: welcome\r\n\r\nThe first message.\r\n");
    let computer = Computer::new(world);
    let mut terminal = computer.terminal();

    let began = Instant::now();
    let mut person = Person::default();
    let (shown, commands) = readme();
    person.reads(&shown);
    let add = commands.iter().find(|line| line.starts_with("ostler add ")).unwrap();
    let address = add.split_whitespace().nth(2).unwrap();
    terminal.line(&person.types(&add.replace(address, ANN)));
    person.types("");
    person.types(&word);
    for screen in answer_add(&mut terminal, &word) {
        person.reads(&screen);
    }
    assert!(commands.iter().any(|line| line == "ostler run"), "{commands:?}");
    terminal.wait_for("ann> ");
    terminal.line(&person.types("ostler run"));
    person.reads(&terminal.wait_for("ready"));
    // What `ostler add` has shown, typed into the mail program.
    for value in ["127.0.0.1", "2110", "127.0.0.1", "2025", ANN] {
        person.types(value);
    }
    let fetched = computer.fetch("2110", ANN);
    assert!(fetched.contains("The first message."), "{fetched}\non the screen:\n{}", terminal.all());
    let (machine, human) = (began.elapsed(), person.time());
    terminal.keys("\u{3}");
    terminal.wait_for("ann> ");
    terminal.line("exit");
    terminal.end();

    // Past the test harness, which keeps what tests that pass print to itself.
    let minutes = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
    let report = format!(
        "newcomer: typed {:?}\nnewcomer: {} screens, {} words; {} min for the person, {} min waiting for ostler\n",
        person.typed,
        person.screens,
        person.words,
        minutes(human),
        minutes(machine)
    );
    std::io::Write::write_all(&mut std::io::stderr(), report.replace(&word, "(the password)").as_bytes()).unwrap();
    assert!(machine + human < LIMIT, "{report}");
}
