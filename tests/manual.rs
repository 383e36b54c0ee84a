//! What is written for users is true: the made chapters of the manual are up to date, links lead somewhere, every block of
//! code can be run or read, words are spelt right, and the README is short.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

#[path = "../packaging/pages/commands.rs"]
mod commands;
#[path = "../packaging/pages/manual.rs"]
mod manual;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use support::{folder, require};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file of the words that no dictionary has.
const WORDS: &str = "docs/words.txt";

/// The documents for users: the README and the manual.
fn for_users() -> Vec<PathBuf> {
    [vec![root().join("README.md")], markdown_in("docs/manual")].concat()
}

/// Every document of the repository.
fn all() -> Vec<PathBuf> {
    let folders = [
        "",
        "docs",
        "docs/manual",
        "docs/pictures",
        "tests",
        "packaging",
        "packaging/systemd",
        "packaging/macos/low-ports",
        "benches/proxy",
        "config/guides",
    ];
    folders.into_iter().flat_map(markdown_in).collect()
}

fn markdown_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn events(text: &str) -> Vec<Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES).collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

// The chapters

#[test]
fn the_made_chapters_are_up_to_date() {
    let made = folder();
    fs::create_dir_all(made.path().join(ostler::manual::FOLDER)).unwrap();
    manual::write_chapters(made.path()).unwrap();
    for (file, _) in manual::made_chapters() {
        let there = fs::read_to_string(root().join(&file)).unwrap_or_default();
        let text = read(&made.path().join(&file));
        assert!(there == text, "{} is stale; run: packaging/pages/build --chapters", file.display());
    }
}

#[test]
fn every_file_of_the_manual_is_a_chapter_and_is_in_the_contents() {
    let files: Vec<String> =
        markdown_in("docs/manual").iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut chapters: Vec<String> = ostler::manual::chapters().map(|chapter| chapter.file()).collect();
    chapters.sort();
    assert_eq!(files, chapters);
    let (contents, programs) =
        (read(&root().join("docs/manual/README.md")), read(&root().join("docs/manual/mail-programs.md")));
    for chapter in ostler::manual::chapters().filter(|chapter| chapter.file() != "README") {
        let list = if chapter.is_guide() { &programs } else { &contents };
        assert!(list.contains(&format!("({}.md)", chapter.file())), "{} is in no list", chapter.file());
    }
}

#[test]
fn the_manual_is_a_folder_of_pages_whose_links_lead_somewhere() {
    let folder = folder();
    manual::write_html(folder.path()).unwrap();
    let mut looked = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "html") {
            continue;
        }
        let html = read(&path);
        for mark in ["href=\"", "src=\"", "srcset=\""] {
            for (_, rest) in html.match_indices(mark).map(|(at, _)| html.split_at(at + mark.len())) {
                let to = rest.split('"').next().unwrap();
                if to.contains("://") {
                    continue;
                }
                let (file, part) = to.split_once('#').unwrap_or((to, ""));
                let target = if file.is_empty() { path.clone() } else { folder.path().join(file) };
                assert!(target.exists(), "{}: {to}", path.display());
                assert!(
                    part.is_empty() || read(&target).contains(&format!("id=\"{part}\"")),
                    "{}: {to}",
                    path.display()
                );
                looked += 1;
            }
        }
        assert!(!html.contains(".md\""), "{}", path.display());
    }
    assert!(looked > 500, "only {looked} links were understood");
}

// Links

/// Lower case, blanks as hyphens, no punctuation: the anchor of a heading where repositories are shown.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let (mut found, mut heading) = (Vec::new(), None);
    for event in events(text) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::End(TagEnd::Heading(_)), Some(words)) => {
                found.push(anchor(words));
                heading = None;
            }
            (Event::Text(text) | Event::Code(text), Some(words)) => words.push_str(&text),
            _ => {}
        }
    }
    found
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let (mut wrong, mut looked) = (Vec::new(), 0);
    for document in all() {
        let text = read(&document);
        for event in events(&text) {
            let (Event::Start(Tag::Link { dest_url: to, .. }) | Event::Start(Tag::Image { dest_url: to, .. })) = event
            else {
                continue;
            };
            looked += 1;
            if to.contains("://") {
                continue;
            }
            let (file, part) = to.split_once('#').unwrap_or((&to, ""));
            let target = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let is_there = target.exists() && (part.is_empty() || anchors(&read(&target)).contains(&part.to_owned()));
            if !is_there {
                wrong.push(format!("{}: {to}", name(&document)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(looked > 100, "only {looked} links were understood");
}

/// A chapter is read in packages and on the page too, where the rest of the repository is not.
#[test]
fn the_manual_links_to_nothing_but_itself() {
    for document in markdown_in("docs/manual") {
        let text = read(&document);
        for event in events(&text) {
            match event {
                Event::Start(Tag::Link { dest_url: to, .. }) => {
                    assert!(!to.contains('/') || to.starts_with("https://"), "{}: {to}", name(&document));
                }
                Event::Start(Tag::Image { dest_url: to, .. }) => {
                    let file = to.strip_prefix("../pictures/").unwrap_or_else(|| panic!("{}: {to}", name(&document)));
                    assert!(ostler::manual::picture(file).is_some(), "{}: {to}", name(&document));
                }
                _ => {}
            }
        }
    }
}

// Code

/// A block of code: what it is written in, and its text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), None);
    for event in events(text) {
        match (event, &mut open) {
            (Event::Start(Tag::CodeBlock(kind)), _) => {
                let kind = match kind {
                    CodeBlockKind::Fenced(kind) => kind.to_string(),
                    CodeBlockKind::Indented => "sh".to_owned(),
                };
                open = Some((kind, String::new()));
            }
            (Event::Text(text), Some((_, block))) => block.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => found.extend(open.take()),
            _ => {}
        }
    }
    found
}

/// The words of a command of a shell, as far as documents have them: quotes keep blanks together, a `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => (quote, word) = (Some(c), Some(word.unwrap_or_default())),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What is wrong with a command of ostler's; words in capitals stand for something that the reader knows.
fn mistake(line: &str) -> Option<String> {
    let words: Vec<String> = words(line).into_iter().filter(|word| word != "&").collect();
    let parsed = ostler::cli::command().try_get_matches_from(&words);
    parsed.err().filter(|error| error.exit_code() != 0).map(|error| format!("{line}: {error}"))
}

/// What is wrong with a command that a document tells people to type.
fn mistake_in_shell(line: &str) -> Option<String> {
    let words = words(line);
    let first = words.iter().map(String::as_str).find(|word| !["sudo", "setsid"].contains(word))?;
    match first {
        "ostler" => mistake(&line[line.find("ostler").unwrap()..]),
        // Cargo's own words are checked by their use in CI; the parts of this repository that they name have to be there.
        "cargo" => {
            let manifest = read(&root().join("Cargo.toml"));
            let named = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
            let is_there = named("--profile").is_none_or(|profile| manifest.contains(&format!("[profile.{profile}]")))
                && named("--bench").is_none_or(|bench| manifest.contains(&format!("name = \"{bench}\"")))
                && ["run", "install", "bench", "binstall"].contains(&words[1].as_str());
            let ours = line.split_once(" -- ").and_then(|(_, rest)| mistake(&format!("ostler {rest}")));
            if is_there { ours } else { Some(line.to_owned()) }
        }
        script if script.starts_with("./") => {
            (!root().join(script).exists()).then(|| format!("{line}: no such script"))
        }
        // What systems have.
        "apt" | "apt-get" | "echo" | "install" | "journalctl" | "loginctl" | "mkdir" | "nano" | "setcap"
        | "sha256sum" | "ssh" | "ssh-keygen" | "sysctl" | "systemctl" => None,
        other => Some(format!("{line}: {other} is not known to this test")),
    }
}

/// Whether a shell can read it, where there is one.
fn mistake_of_bash(text: &str) -> Option<String> {
    let read = Command::new("bash").args(["-n", "-c", text]).output();
    read.ok()
        .filter(|output| !output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether `ostler` takes it for settings without a mistake.
fn mistake_in_settings(text: &str) -> Option<String> {
    ostler::config::parse(text, Path::new("ostler.toml")).err().map(|mistakes| format!("{mistakes}\n{text}"))
}

/// Whether `ostler` takes it for a file of the user's own providers.
fn mistake_in_providers(text: &str) -> Option<String> {
    let home = folder();
    fs::write(home.path().join("ostler.toml"), "").unwrap();
    fs::write(home.path().join("providers.toml"), text).unwrap();
    let mut ostler = Command::new(env!("CARGO_BIN_EXE_ostler"));
    let output = ostler.args(["providers", "--config"]).arg(home.path().join("ostler.toml")).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_block_of_code_can_be_run_or_read() {
    let (mut wrong, mut looked) = (Vec::new(), 0);
    for document in for_users() {
        let text = read(&document);
        for (kind, block) in blocks(&text) {
            looked += 1;
            let found: Vec<String> = match kind.as_str() {
                "sh" => block.lines().filter_map(mistake_in_shell).chain(mistake_of_bash(&block)).collect(),
                "toml" => mistake_in_settings(&block).into_iter().collect(),
                "toml providers" => mistake_in_providers(&block).into_iter().collect(),
                "text" => Vec::new(),
                other => vec![format!("a block of {other:?}, which this test cannot read")],
            };
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", name(&document))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked > 20, "only {looked} blocks were found");
}

#[test]
fn every_command_in_a_sentence_exists() {
    let (mut wrong, mut looked) = (Vec::new(), 0);
    // There, code is what a screen shows.
    for document in for_users().into_iter().filter(|document| !document.ends_with("messages.md")) {
        let text = read(&document);
        for event in events(&text) {
            let Event::Code(code) = event else { continue };
            // In a sentence a command may end before its arguments. What ostler says itself is no command.
            let command = code.split_whitespace().nth(1).unwrap_or_default();
            if code.starts_with("ostler ") && !code.contains(['[', '.']) && !["does", "has"].contains(&command) {
                looked += 1;
                let known = ostler::cli::command();
                let sub = known.get_subcommands().find(|sub| sub.get_name() == command);
                let flags = words(&code).into_iter().filter(|word| word.starts_with("--"));
                let lacks = |flag: &str| {
                    let long = flag.trim_start_matches("--");
                    let all = sub.into_iter().flat_map(|sub| sub.get_arguments()).chain(known.get_arguments());
                    all.filter_map(clap::Arg::get_long).all(|known| known != long)
                };
                let unknown: Vec<String> = flags.filter(|flag| lacks(flag)).collect();
                if sub.is_none() && !command.starts_with('-') || !unknown.is_empty() {
                    wrong.push(format!("{}: {code} {unknown:?}", name(&document)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(looked > 40, "only {looked} commands were found");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    assert_eq!(words("a 'b c' # d"), ["a", "b c"]);
    assert!(mistake_in_shell("ostler add ann@example.net    # finds").is_none());
    for line in [
        "ostler ad ann",
        "ostler add --impotr x",
        "cargo run --release -- dmeo",
        "./tests/rnu",
        "rm -rf /",
        "cargo install --profile x",
    ] {
        assert!(mistake_in_shell(line).is_some(), "{line}");
    }
    assert!(mistake_in_settings("[local]\npop = 3\n").is_some());
    assert!(mistake_in_providers("schema = 1\n[provider.x]\n").is_some());
}

// The README

#[test]
fn the_readme_is_read_in_two_minutes() {
    let text = read(&root().join("README.md"));
    assert!(text.lines().count() <= 100, "{} lines", text.lines().count());
    for (at, line) in text.lines().enumerate() {
        assert!(line.chars().count() <= 120, "README.md:{}: {} characters", at + 1, line.chars().count());
    }
}

/// What a reader types is what ostler has if nothing is said about it.
#[test]
fn ports_and_versions_are_those_of_the_program() {
    use ostler::config::keys::{TABLES, Unset};
    let local = TABLES.iter().find(|table| table.header == "[local]").unwrap();
    let default = |key: &str| match local.key(key).unwrap().unset {
        Unset::Value(port) => format!("`{port}`"),
        _ => panic!("{key} has no port of its own"),
    };
    for document in ["README.md", "docs/manual/getting-started.md", "docs/manual/mail-programs.md"] {
        let text = read(&root().join(document));
        assert!(text.contains(&default("pop3")) && text.contains(&default("smtp")), "{document}");
    }
    for document in ["README.md", "docs/manual/install.md", "docs/manual/getting-started.md"] {
        let text = read(&root().join(document));
        let package = format!("ostler_{}-1_amd64.deb", env!("CARGO_PKG_VERSION"));
        assert_eq!(text.matches("./ostler_").count(), text.matches(&format!("./{package}")).count(), "{document}");
    }
}

/// Each guide is in the README's table.
#[test]
fn the_readme_names_every_guide() {
    let text = read(&root().join("README.md"));
    for chapter in ostler::manual::chapters().filter(ostler::manual::Chapter::is_guide) {
        assert!(text.contains(&format!("(docs/manual/{}.md)", chapter.file())), "{}", chapter.file());
    }
}

// Spelling

/// Whether it is in a dictionary, or should be: no address, number, abbreviation in capitals, or setting.
fn is_word(word: &str) -> bool {
    word.is_ascii()
        && !word.contains(|c: char| "/@_{=".contains(c) || c.is_ascii_digit())
        && !word[1..].contains(['.', ':'])
        && word.contains(|c: char| c.is_ascii_lowercase())
}

/// The words of a document that are for reading.
fn prose(text: &str) -> String {
    let (mut out, mut in_code) = (String::new(), false);
    for event in events(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(text) if !in_code => {
                let words = text.split_whitespace().map(|word| word.trim_matches(|c: char| ".,:;()?\"'[]".contains(c)));
                out.extend(words.filter(|word| !word.is_empty() && is_word(word)).flat_map(|word| [word, " "]));
                out.push('\n');
            }
            _ => {}
        }
    }
    out
}

#[test]
fn words_are_spelt_right() {
    require!("hunspell");
    let folder = folder();
    let file = folder.path().join("prose.txt");
    let own: BTreeSet<String> = read(&root().join(WORDS)).lines().map(str::to_owned).collect();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for document in for_users() {
        fs::write(&file, prose(&read(&document))).unwrap();
        let output =
            Command::new("hunspell").args(["-d", "en_GB", "-l"]).arg(&file).env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for word in String::from_utf8(output.stdout).unwrap().lines() {
            let word = word.trim_end_matches("'s");
            // Names of companies are no words.
            if document.ends_with("providers.md") && word.contains(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            if own.contains(word) {
                used.insert(word.to_owned());
            } else {
                wrong.push(format!("{}: {word}", name(&document)));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "unknown words; those that are right belong into {WORDS}:\n{}", wrong.join("\n"));
    let unused: Vec<_> = own.difference(&used).collect();
    assert!(unused.is_empty(), "{WORDS} has words that no document has: {unused:?}");
}
