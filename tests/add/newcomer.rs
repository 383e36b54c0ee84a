//! A newcomer's first minutes, with a clock: a clean root with the Debian package in it, which `packaging/newcomer` makes, real
//! servers, and somebody who knows nothing but README.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::seeds::answer_add;
use crate::support::beginner::{ANN, Beginner, LIMIT, provider, readme};
use crate::support::process::{command, run, said};
use crate::support::terminal::Terminal;
use crate::support::unique;
use crate::support::world::World;

/// What of a terminal's screen is read: steps that are ticked and lines of the log are watched as they pass.
fn told(screen: &str) -> String {
    let screen = screen.replace('\r', "");
    let told = screen.split("\n\n").filter(|paragraph| !paragraph.trim_start().starts_with("ok "));
    told.flat_map(str::lines).filter(|line| !line.contains(" INFO")).collect::<Vec<_>>().join("\n")
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

/// The commands in a section of README.
fn commands(section: &str) -> Vec<String> {
    let commands = section.lines().map(str::trim).filter(|line| line.starts_with("ostler "));
    commands.map(|line| line.split('#').next().unwrap().trim().to_owned()).collect()
}

#[test]
#[ignore = "needs a root with the package in it: packaging/newcomer makes one"]
fn from_the_installed_package_to_the_first_message_takes_less_than_three_minutes() {
    let world = World::builder().host("posteo.de", "127.0.0.2").start();
    let word = unique("pw");
    let _servers = provider(&world, &word, b"Subject: welcome\r\n\r\nThe first message.\r\n");
    let computer = Computer::new(world);
    let mut terminal = computer.terminal();

    let began = Instant::now();
    let mut person = Beginner::default();
    let shown = readme();
    let commands = commands(&shown);
    person.reads(&shown);
    let add = commands.iter().find(|line| line.starts_with("ostler add ")).unwrap();
    let address = add.split_whitespace().nth(2).unwrap();
    terminal.line(&person.types(&add.replace(address, ANN)));
    person.types("");
    person.types(&word);
    for screen in answer_add(&mut terminal, &word) {
        person.reads(&told(&screen));
    }
    assert!(commands.iter().any(|line| line == "ostler run"), "{commands:?}");
    terminal.wait_for("ann> ");
    terminal.line(&person.types("ostler run"));
    person.reads(&told(&terminal.wait_for("ready")));
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
    let report = format!("newcomer: {}\n", person.report(machine)).replace(&word, "(the password)");
    std::io::Write::write_all(&mut std::io::stderr(), report.as_bytes()).unwrap();
    assert!(machine + human < LIMIT, "{report}");
}
