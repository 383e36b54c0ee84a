//! A full disk, under the settings file and under the log.

use std::process::Stdio;

use crate::played_provider::{Rig, connect};
use crate::support::client::Client;
use crate::support::ostler::{Account, Home};
use crate::support::process::{command, said};
use crate::support::running::Run;
use crate::support::world::World;
use crate::support::{ca::TestCa, require, unique, wait_for};

/// A home whose settings lie on a file system of a few pages, seen inside a world only.
struct Small {
    world: World,
    home: Home,
}

impl Small {
    fn new() -> Self {
        Self::with(|home| home)
    }

    /// Its home changed before its settings go there.
    fn with(change: impl FnOnce(Home) -> Home) -> Self {
        let world = World::builder().without_names().start();
        let account = |name: &str| {
            let server = crate::support::ostler::Server::new("none", 1);
            Account::new(name, &format!("{name}@example.org"), &unique("pw")).pop3(server.clone()).smtp(server)
        };
        let home = change(Home::new(&TestCa::new(), &[account("first"), account("second")])).inside(&world);
        let small = Self { world, home };
        small.sh("mount -t tmpfs -o size=32k none $D.new && cp $D/* $D.new/ && mount --move $D.new $D", true);
        small
    }

    /// Runs a line of the shell inside, with `D` as the folder of the settings.
    fn sh(&self, line: &str, well: bool) -> String {
        let folder = self.home.settings_file().parent().unwrap().to_owned();
        let _ = std::fs::create_dir_all(folder.with_extension("new"));
        let mut shell = command("sh", ["-c", line]);
        shell.env("D", &folder);
        let output = self.world.wrap(&shell).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() || !well, "{line}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The settings as they are seen inside, and the names of everything beside them.
    fn settings(&self) -> (String, String) {
        (self.sh("cat $D/ostler.toml", true), self.sh("cd $D; ls -A", true))
    }

    fn fill(&self) {
        self.sh(
            "dd if=/dev/zero of=$D/filler bs=1k 2>/dev/null; dd if=/dev/zero of=$D/filler2 bs=1 2>/dev/null",
            false,
        );
    }

    fn empty(&self) {
        self.sh("rm -f $D/filler $D/filler2", true);
    }
}

#[test]
fn settings_on_a_full_disk_stay_as_they_were() {
    require!("world");
    let small = Small::new();
    small.fill();
    let before = small.settings();
    let refused = small.home.ostler(&["remove", "second", "--yes"], "");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("No space left"), "{}", said(&refused));
    assert!(said(&refused).contains("nothing was removed"), "{}", said(&refused));
    assert_eq!(small.settings(), before, "half a file, or litter beside it");
    assert!(small.home.ostler(&["list"], "").status.success());
    small.empty();
    let removed = small.home.ostler(&["remove", "second", "--yes"], "");
    assert!(removed.status.success(), "{}", said(&removed));
    let (text, names) = small.settings();
    assert!(text.contains("first@") && !text.contains("second@"), "{text}");
    assert_eq!(names, "ostler.toml\n");
}

/// A new account, kept without a trial of its servers.
#[test]
fn an_account_is_added_whole_or_not_at_all() {
    require!("world");
    let small = Small::new();
    small.fill();
    let before = small.settings();
    let words = [
        "add",
        "third@example.org",
        "--pop3",
        "none://localhost:1",
        "--smtp",
        "none://localhost:1",
        "--no-check",
        "--password-file",
        "/dev/null",
        "--yes",
    ];
    let refused = small.home.ostler(&words, "");
    assert_ne!(refused.status.code(), Some(0), "{}", said(&refused));
    assert!(said(&refused).contains("No space left"), "{}", said(&refused));
    assert_eq!(small.settings(), before);
    small.empty();
    let added = small.home.ostler(&words, "");
    assert!(added.status.success(), "{}", said(&added));
    assert!(small.settings().0.contains("third@example.org"));
}

/// What the settings page writes while the program runs: a changed, a removed and a new account.
#[cfg(feature = "web")]
#[test]
fn on_the_settings_page_a_full_disk_is_told_and_changes_nothing() {
    require!("world", "keyring", "python3");
    let (keyring, password) = (crate::support::keyring::Keyring::start(), unique("pw"));
    let small = Small::with(|mut home| {
        home.keep_secret(&password);
        home.write_settings(&home.settings().replace("page = false", "page = 0"));
        home.with_keyring(&keyring)
    });
    let mut run = Run::start(&small.home, &[]).ready();
    let mut browser = crate::http::Browser::inside(&small.home, |port| small.world.reach(port));
    let fetching_as = |user: &str| {
        let mut client = Client::over(small.world.in_network(|| connect(small.home.pop3)));
        client.expect("+OK");
        client.ask(&format!("USER {user}"), "+OK");
    };
    let change = browser.get("/account/settings?account=first").form("/account/settings");
    let change = change.with("account.aliases", "else@example.org");
    let remove = browser.get("/account?account=second").form("/account/remove").with("sure", "yes");
    let add = browser.get("/add").form("/add").with("address", "third@example.org").with("password", &password);
    let add = add.with("pop3", "tls://localhost:1").with("smtp", "tls://localhost:1");
    // Nobody is there, and the person wants to keep it all the same.
    let keep_new = |browser: &mut crate::http::Browser| {
        browser.send(&add);
        let tried = browser.stay_until("does not work yet");
        let job = browser.at.clone();
        browser.send(&tried.form(&format!("{job}/keep")));
        browser.at = job;
    };
    small.fill();
    let before = small.settings();
    for (form, stays) in [(&change, "Nothing was changed"), (&remove, "Nothing was removed")] {
        let refused = browser.send(form).body;
        for words in [stays, "cannot be written", "No space left", "try again"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
    keep_new(&mut browser);
    let refused = browser.stay_until("No space left").body;
    for words in ["nothing was saved", "cannot be written", "try again"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert_eq!(small.settings(), before, "half a file, or litter beside it");
    fetching_as("first");
    fetching_as("second");
    small.empty();
    let changed = browser.send(&change).body;
    assert!(changed.contains("Changed."), "{changed}");
    keep_new(&mut browser);
    browser.stay_until("has not been seen to work");
    let removed = browser.send(&remove).body;
    assert!(removed.contains("has been removed"), "{removed}");
    let (text, names) = small.settings();
    assert!(["else@", "third@"].iter().all(|new| text.contains(new)) && !text.contains("second@"), "{text}");
    assert_eq!(names, "ostler.toml\n");
    fetching_as("else@example.org");
    fetching_as("third@example.org");
    browser.never_saw(&password);
    run.end_well();
}

#[test]
fn a_log_on_a_full_disk_stops_no_mail_and_goes_on_when_there_is_room() {
    require!("world");
    let world = World::builder().without_names().start();
    let place = crate::support::folder();
    let log = place.path().join("log");
    // Outside of the world the file system is not seen, so everything that looks at it is inside.
    let inside = |line: &str| {
        let shell = command("sh", ["-c", line]);
        let output = world.wrap(&shell).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    inside(&format!("mount -t tmpfs -o size=16k none {}", place.path().display()));
    let servers = || {
        let listen = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        crate::support::running::Hand::over(world.in_network(listen))
    };
    let (pop, smtp) = (servers(), servers());
    let account = Account::new("home", crate::played_provider::ANN, &unique("pw"))
        .pop3(crate::support::ostler::Server::new("none", pop.port))
        .smtp(crate::support::ostler::Server::new("none", smtp.port));
    let home = Home::new(&TestCa::new(), &[account]).inside(&world);
    let template = home.command(&["run", "-vv"]);
    let words: Vec<String> = std::iter::once(template.get_program())
        .chain(template.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    // nsenter is the program: the redirection has to be made inside.
    let at = words.iter().position(|word| word == "'env'").unwrap();
    let redirect = format!("'exec \"$@\" 2>>{}'", log.display());
    let mut words = words;
    words.splice(at + 2..at + 2, ["'sh'".to_owned(), "'-c'".to_owned(), redirect, "'sh'".to_owned()]);
    let mut shell = command("sh", ["-c", &format!("exec {}", words.join(" "))]);
    for (name, value) in template.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let run = Run::of(&mut shell).ready();
    let mut rig = Rig { run, home, pop, smtp };
    let honest = |rig: &Rig| {
        let client = |port, greeting: &str| {
            let mut client = Client::over(world.in_network(|| connect(port)));
            client.expect(greeting);
            client
        };
        crate::played_provider::honest_fetch(client(rig.home.pop3, "+OK"), &rig.pop);
        crate::played_provider::honest_send(client(rig.home.smtp, "220 "), &rig.smtp);
    };
    let free = || inside(&format!("df --output=avail {} | tail -1", place.path().display())).trim().to_owned();
    wait_for("the disk to be full", || {
        honest(&rig);
        (free() == "0").then_some(())
    });
    for _ in 0..5 {
        honest(&rig);
    }
    inside(&format!(": > {}", log.display()));
    honest(&rig);
    wait_for("the log to go on", || inside(&format!("cat {}", log.display())).contains("account home").then_some(()));
    rig.run.end_well();
}
