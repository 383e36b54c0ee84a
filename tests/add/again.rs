//! Accounts that come and go beside a running ostler: whatever is stored for them is that of the account that is there.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::Home;
use crate::support::process::{out, run, said};
use crate::support::running::Run;
use crate::support::wait_for;

const ANN: &str = "ann@example.org";

/// A user whose secrets are in a folder, and whose mail programs give the local password.
struct Person {
    home: Home,
    secrets: PathBuf,
}

impl Person {
    fn new() -> Self {
        let home = Home::with_settings(&TestCa::new(), &[], "access = \"password\"", "");
        let secrets = home.path().join("secrets");
        Self { home, secrets }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.env("OSTLER_SECRETS", &self.secrets);
        command
    }

    fn does(&self, words: &[&str]) -> String {
        let output = run(&mut self.command(words), "");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        out(&output)
    }

    fn start(&self) -> Run {
        Run::of(&mut self.command(&["run"])).ready()
    }

    /// Adds ann with this password.
    fn add(&self, password: &str) -> Output {
        let server = ["--pop3", "tls://127.0.0.1:1", "--fetch-only", "--no-check", "--yes", "--password-stdin"];
        run(&mut self.command(&[&["add", ANN], &server[..]].concat()), format!("{password}\n"))
    }

    fn local_password(&self) -> String {
        local_password_in(&self.does(&["list", "--passwords"]))
    }

    /// Whether a mail program is let in with this local password, as far as to a provider that is not there.
    fn is_let_in(&self, password: &str) -> bool {
        let mut client = Client::greeted(self.home.pop3, "+OK");
        client.ask(&format!("USER {ANN}"), "+OK");
        let answer = client.ask(&format!("PASS {password}"), "-ERR");
        answer.contains("nobody listens on port 1")
    }

    /// The entries that are stored.
    fn stored(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.secrets).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.filter_map(|text| text.lines().next().map(str::to_owned)).collect()
    }
}

fn local_password_in(text: &str) -> String {
    let mut words = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    words.find(|word| word.len() == 29 && word.matches('-').count() == 3).expect("a local password").to_owned()
}

/// The running ostler went on with the local password of the account that had been there before.
#[test]
fn an_account_that_is_added_again_has_the_local_password_that_is_shown() {
    let person = Person::new();
    let mut ostler = person.start();
    let mut known = Vec::new();
    for _ in 0..3 {
        assert!(person.add("pw").status.success());
        let password = person.local_password();
        assert!(!known.contains(&password) && person.is_let_in(&password), "{}", ostler.err.text());
        known.push(password);
        person.does(&["remove", ANN, "--yes"]);
        assert_eq!(person.stored(), [""; 0]);
    }
    // Removed by hand: nobody tells the running ostler to forget anything.
    assert!(person.add("pw").status.success());
    assert!(person.is_let_in(&person.local_password()));
    let without = person.home.settings().split("[[account]]").next().unwrap().to_owned();
    person.home.write_settings(&without);
    wait_for("the account to go", || {
        let status: serde_json::Value = serde_json::from_str(&person.does(&["status", "--json"])).unwrap();
        status["accounts"].as_array()?.is_empty().then_some(())
    });
    std::fs::remove_dir_all(&person.secrets).unwrap();
    assert!(person.add("pw").status.success());
    assert!(person.is_let_in(&person.local_password()), "{}", ostler.err.text());
    ostler.end_well();
}

#[test]
fn a_local_password_that_ostler_was_not_told_of_lets_in_and_the_old_one_does_not() {
    let person = Person::new();
    assert!(person.add("pw").status.success());
    let mut ostler = person.start();
    let old = person.local_password();
    assert!(person.is_let_in(&old));
    // As on another computer with the same secrets: the two know nothing of each other.
    let mut apart = person.command(&["password", ANN, "--local"]);
    let elsewhere = person.home.path().join("elsewhere");
    apart.env("HOME", &elsewhere).env("XDG_STATE_HOME", &elsewhere).env("XDG_RUNTIME_DIR", &elsewhere);
    let made = run(&mut apart, "");
    assert!(made.status.success(), "{}", said(&made));
    let new = local_password_in(&out(&made));
    assert!(person.is_let_in(&new), "{}", ostler.err.text());
    assert!(!person.is_let_in(&old));
    ostler.end_well();
}

/// `remove` took away what `add` had stored in the same moment for the next account of that name.
#[test]
fn what_is_added_while_it_is_removed_is_there_as_a_whole_or_not_at_all() {
    let person = Person::new();
    let mut ostler = person.start();
    for number in 0..8 {
        let is_there = person.home.settings().contains(ANN);
        std::thread::scope(|scope| {
            if is_there {
                scope.spawn(|| run(&mut person.command(&["remove", ANN, "--yes"]), ""));
            }
            for _ in 0..2 {
                scope.spawn(|| person.add(&format!("pw-{number}")));
            }
        });
        let provider = |entry: &String| entry.contains("127.0.0.1:1");
        let is_there = person.home.settings().contains(ANN);
        assert_eq!(person.stored().iter().any(provider), is_there, "{number}: {:?}", person.stored());
    }
    ostler.end_well();
}
