//! The man pages and completions that go into packages: made from the command line's own definition, read by the programs
//! that show them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

#[path = "../packaging/pages/pages.rs"]
mod pages;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{folder, require};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_man_page_is_shown_without_a_warning() {
    require!("man");
    let folder = folder();
    pages::write(folder.path()).unwrap();
    let pages = files(&folder.path().join("man"));
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    for command in ostler::cli::command().get_subcommands() {
        assert!(names.contains(&format!("ostler-{}.1", command.get_name()).as_str()), "{names:?}");
    }
    for page in &pages {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-P", "cat"]).arg(page);
        let shown = man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80").output().unwrap();
        assert!(shown.status.success() && shown.stderr.is_empty(), "{}: {shown:?}", page.display());
    }
    let main = std::fs::read_to_string(folder.path().join("man/ostler.1")).unwrap();
    assert!(main.contains("ostler\\-autostart(1)") && main.contains("EXIT STATUS"), "{main}");
}

#[test]
fn bash_completes_commands_and_options() {
    require!("bash");
    let folder = folder();
    pages::write(folder.path()).unwrap();
    let script = folder.path().join("completions/ostler.bash");
    let complete = |words: &str, at: usize| {
        let text = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD={at}; _ostler ostler \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{}]}}\"; \
             echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            at - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &text]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("ostler autos", 1), "autostart\n");
    assert_eq!(complete("ostler check --expl", 2), "--explain\n");
}
