//! `ostler autostart` on Linux: the built program, copied to paths of every kind, and what others make of the entry it
//! writes: the desktop's own checker, GLib, which starts it, and systemd's reader of autostart entries.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::process::{command, install_program, install_script, run};
use support::{folder, require, wait_for};

/// A user's folders, and a copy of the program in a folder of this name.
struct Person {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Person {
    fn new(name: &str) -> Self {
        let folder = folder();
        let program = folder.path().join(name).join("ostler");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_ostler"));
        if std::fs::hard_link(built, &program).is_err() {
            install_program(built, &program);
        }
        Self { folder, program }
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let at = self.folder.path();
        let mut command = command(program, args);
        command.env("HOME", at).env("XDG_CONFIG_HOME", at.join("config")).env("XDG_CONFIG_DIRS", at.join("everyone"));
        command.env_remove("XDG_CURRENT_DESKTOP").env_remove("OSTLER_CONFIG").current_dir(at);
        command
    }

    fn ostler(&self, args: &[&str]) -> Output {
        // A desktop, which would start it at login.
        run(self.command(&self.program, args).env("DISPLAY", ":0"), "")
    }

    /// What it says, after it has done what it was told.
    fn said(&self, args: &[&str]) -> String {
        let output = self.ostler(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.said(&["autostart", "status", "--json"])).unwrap()
    }

    fn entry(&self) -> PathBuf {
        self.folder.path().join("config/autostart/ostler.desktop")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.entry()).unwrap()
    }
}

const NAMES: [&str; 4] = ["plain", "with blanks", "Ännes Programme (世界)", "100% \"odd\" $HOME `a` \\x ~'&"];

#[test]
fn it_goes_on_and_off_from_any_path() {
    for name in NAMES {
        let person = Person::new(name);
        assert!(person.said(&["autostart", "status"]).starts_with("off: "));
        let said = person.said(&["autostart", "on"]);
        assert!(said.starts_with("on: ") && said.contains(person.entry().to_str().unwrap()), "{name}: {said}");
        assert_eq!(person.status()["state"], "on", "{name}: {}", person.text());
        assert!(person.said(&["autostart", "off"]).starts_with("off: "), "{name}");
        assert!(!person.entry().exists());
    }
}

#[test]
fn the_truth_is_told_when_others_change_it() {
    let person = Person::new("mine");
    person.said(&["autostart", "on"]);
    let text = person.text();
    std::fs::remove_file(person.entry()).unwrap();
    assert_eq!(person.status()["state"], "off");
    std::fs::write(person.entry(), text.replace("enabled=true", "enabled=false")).unwrap();
    assert_eq!(person.status()["state"], "off");
    let other = person.program.with_file_name("other");
    std::fs::write(person.entry(), text.replace(person.program.to_str().unwrap(), other.to_str().unwrap())).unwrap();
    let status = person.status();
    assert_eq!(
        (&status["state"], &status["starts"]),
        (&"elsewhere".into(), &format!("{} --silent", other.display()).into())
    );
    // The file was moved: asked from its new place, the entry leads nowhere.
    person.said(&["autostart", "on"]);
    std::fs::rename(&person.program, &other).unwrap();
    let said = run(&mut person.command(&other, &["autostart", "status"]), "");
    assert!(String::from_utf8(said.stdout).unwrap().starts_with("elsewhere: "));
    assert!(run(&mut person.command(&other, &["autostart", "on"]), "").status.success());
    let said = run(&mut person.command(&other, &["autostart", "status"]), "");
    assert!(String::from_utf8(said.stdout).unwrap().starts_with("on: "));
}

#[test]
fn other_settings_are_kept_in_the_command() {
    let person = Person::new("mine");
    person.said(&["autostart", "on", "--config", "my mail.toml"]);
    let settings = person.folder.path().join("my mail.toml");
    let exec = format!("Exec={} --config \"{}\" --silent\n", person.program.display(), settings.display());
    assert!(person.text().contains(&exec), "{}", person.text());
    assert_eq!(person.status()["state"], "elsewhere");
    assert!(person.said(&["autostart", "status", "--config", "my mail.toml"]).starts_with("on: "));
    let default = person.folder.path().join("config/ostler/ostler.toml");
    person.said(&["autostart", "on", "--config", default.to_str().unwrap()]);
    assert!(person.text().contains(&format!("Exec={} --silent\n", person.program.display())), "{}", person.text());
}

#[test]
fn what_cannot_be_written_is_said_with_a_next_step() {
    let person = Person::new("a=b");
    let output = person.ostler(&["autostart", "on"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("its path has an equals sign; move it"), "{said}");
    let person = Person::new("mine");
    std::fs::write(person.folder.path().join("config"), "").unwrap();
    let output = person.ostler(&["autostart", "on"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("check that you are allowed to"));
}

#[test]
fn the_entry_is_well_formed() {
    require!("desktop-file-validate");
    for name in NAMES {
        let person = Person::new(name);
        person.said(&["autostart", "on"]);
        let checked = Command::new("desktop-file-validate").arg(person.entry()).output().unwrap();
        assert!(checked.status.success() && checked.stdout.is_empty(), "{name}: {checked:?}\n{}", person.text());
    }
}

/// GLib starts what the entry says; in the place of the program is one that tells what it was started as.
#[test]
fn a_desktop_starts_the_same_program_with_the_same_settings() {
    require!("gio");
    for name in NAMES {
        let person = Person::new(name);
        let settings = person.folder.path().join("my 100% mail.toml");
        person.said(&["autostart", "on", "--config", settings.to_str().unwrap()]);
        let told = person.folder.path().join("told");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\" end > '{}'\n", told.display());
        std::fs::remove_file(&person.program).unwrap();
        install_script(&person.program, &script);
        let gio = support::find("gio").unwrap();
        let started = run(person.command(&gio, &["launch"]).arg(person.entry()), "");
        assert!(started.status.success(), "{name}: {started:?}\n{}", person.text());
        let expected = format!("{}\n--config\n{}\n--silent\nend\n", person.program.display(), settings.display());
        let said = || std::fs::read_to_string(&told).ok().filter(|said| said.ends_with("end\n"));
        assert_eq!(wait_for("the program to be started", said), expected, "{name}");
    }
}

/// systemd makes a unit of the entry; the program in it has to be ours, octet for octet.
#[test]
fn systemd_starts_the_same_program() {
    let generator = "/usr/lib/systemd/user-generators/systemd-xdg-autostart-generator";
    require!(generator);
    for name in ["plain", "with blanks", "Ännes Programme (世界)"] {
        let person = Person::new(name);
        person.said(&["autostart", "on"]);
        let out = person.folder.path().join("units");
        std::fs::create_dir(&out).unwrap();
        let mut command = person.command(Path::new(generator), &[]);
        assert!(command.args([&out, &out, &out]).status().unwrap().success());
        let unit = std::fs::read_to_string(out.join("app-ostler@autostart.service")).unwrap();
        let quoted = [
            format!("ExecStart=:\"{}\"", person.program.display()),
            format!("ExecStart=:{}", person.program.display()),
        ];
        let is_ours = |line: &str| {
            let rest = quoted.iter().find_map(|quoted| line.strip_prefix(quoted.as_str()));
            rest.is_some_and(|rest| rest.trim().trim_matches('"') == "--silent")
        };
        assert!(unit.lines().any(is_ours), "{name}: {unit}");
    }
}
