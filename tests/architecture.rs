//! The walls of `docs/architecture.md` hold: a folder is a floor, arrows between folders go down, and what only one
//! place may do is done nowhere else. The code is read as text; a test module at the end of a file is left out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src/` from the ground up, and what each may use of the floors below. `ostler_mail`, which is below
/// all of them, is everybody's.
const PROGRAM: [(&str, &[&str]); 13] = [
    ("os", &[]),
    ("config", &["os"]),
    ("vault", &["os"]),
    ("events", &["config", "os"]),
    ("proxy", &["events", "os", "vault"]),
    ("guide", &["events", "os", "proxy"]),
    ("demo", &["events", "os", "proxy", "vault"]),
    ("diagnose", &["proxy", "vault"]),
    ("manual", &["config", "diagnose", "guide", "os"]),
    ("setup", &["config", "diagnose", "events", "os", "proxy", "vault"]),
    ("desktop", &["config", "diagnose", "events", "guide", "manual", "os", "proxy", "setup", "vault"]),
    ("app", &["config", "desktop", "diagnose", "events", "os", "proxy", "vault"]),
    ("cli", &["app", "config", "demo", "desktop", "diagnose", "events", "guide", "os", "proxy", "setup", "vault"]),
];

/// The modules of `crates/ostler-mail`, likewise.
const MAIL: [(&str, &[&str]); 24] = [
    ("mime", &[]),
    ("wire", &[]),
    ("readable", &["mime", "wire"]),
    ("account", &["readable"]),
    ("charset", &[]),
    ("clock", &[]),
    ("progress", &[]),
    ("secret", &["account", "charset"]),
    ("idn", &[]),
    ("command", &["charset", "wire"]),
    ("proxy_header", &[]),
    ("neighbours", &["clock"]),
    ("pop_before_smtp", &["clock"]),
    ("failure", &["account", "wire"]),
    ("sasl", &["charset", "failure", "secret", "wire"]),
    ("oauth2", &["account", "clock", "failure", "sasl", "secret", "wire"]),
    ("choose", &["account", "failure", "idn"]),
    ("client_fault", &["account", "failure"]),
    ("words", &["client_fault", "failure"]),
    (
        "machine",
        &[
            "account",
            "choose",
            "client_fault",
            "clock",
            "command",
            "failure",
            "proxy_header",
            "sasl",
            "secret",
            "wire",
            "words",
        ],
    ),
    (
        "pop3",
        &[
            "account",
            "choose",
            "client_fault",
            "clock",
            "command",
            "failure",
            "machine",
            "progress",
            "readable",
            "sasl",
            "secret",
            "wire",
            "words",
        ],
    ),
    (
        "imap",
        &[
            "account",
            "charset",
            "choose",
            "client_fault",
            "command",
            "failure",
            "machine",
            "progress",
            "sasl",
            "secret",
            "wire",
            "words",
        ],
    ),
    (
        "maildrop",
        &["account", "command", "failure", "imap", "machine", "pop3", "progress", "readable", "sasl", "secret", "wire"],
    ),
    (
        "smtp",
        &[
            "account",
            "charset",
            "choose",
            "client_fault",
            "clock",
            "command",
            "failure",
            "idn",
            "machine",
            "mime",
            "pop_before_smtp",
            "progress",
            "readable",
            "sasl",
            "secret",
            "wire",
            "words",
        ],
    ),
];

/// What only some places may name, and which: a word of the code, and the beginnings of the paths it may stand in.
const ONLY: [(&str, &[&str]); 8] = [
    // Sockets of the network are in one place. The demo plays a provider and two clients, and `os` has sockets of its own.
    ("tokio::net", &["src/proxy/net", "src/os", "src/demo"]),
    ("TcpListener", &["src/proxy/net/listen.rs", "src/os", "src/demo"]),
    // A client's task begins where it is accepted and nowhere else.
    ("session::serve(", &["src/proxy/listeners.rs"]),
    // Questions to the DNS beyond host names are asked while an account is set up.
    ("hickory_resolver", &["src/setup/discover/names.rs"]),
    // The one place that speaks HTTP as a client; nobody signs in there.
    ("hyper::client", &["src/proxy/net/https.rs"]),
    // The settings file is read and written in one floor; the import reads the files of other programs.
    ("toml_edit", &["src/config"]),
    // The keyring has one thread of its own.
    ("keyring_core", &["src/vault"]),
    // System calls that Rust's standard library has no word for.
    ("unsafe {", &["src/os", "src/desktop/tray"]),
];

/// What a place may not say, because it is below it: the beginning of a path, and words of the code.
const NEVER: [(&str, &[&str]); 3] = [
    // The network knows connections and no session.
    (
        "src/proxy/net",
        &[
            "crate::proxy::session",
            "crate::proxy::relay",
            "ostler_mail::imap",
            "ostler_mail::pop3",
            "ostler_mail::smtp",
        ],
    ),
    // One loop passes octets for every protocol.
    ("src/proxy/relay.rs", &["ostler_mail::imap", "ostler_mail::pop3", "ostler_mail::smtp", "Protocol::"]),
    // Who reads events is not called by who makes them: the bus alone knows readers.
    ("src/events/event.rs", &["crate::events"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "tests" {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().unwrap() != "tests.rs" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of a file that are code, numbered: neither comments nor the test module at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test = |at: usize| {
        lines[at].trim_start().starts_with("#[cfg(test)]")
            && lines[at + 1..].iter().find(|l| !l.trim_start().starts_with("#[")).is_some_and(|l| l.contains("mod "))
    };
    let end = (0..lines.len()).find(|&at| is_test(at)).unwrap_or(lines.len());
    lines
        .into_iter()
        .take(end)
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(i, l)| (i + 1, l))
}

/// The first names behind `crate::`: one, or several in braces.
fn used(line: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        if line[..at].ends_with(is_word) {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let Some(inside) = rest.strip_prefix('{') else {
            names.push(&rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]);
            continue;
        };
        let mut depth = 0;
        let items = inside.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        names.extend(items.map(|item| item.trim().trim_end_matches(['}', ';']).split("::").next().unwrap_or("")));
    }
    names
}

/// The arrows that the table does not allow, with file and line; and the arrows that are there.
fn arrows(folder: &str, table: &[(&str, &[&str])]) -> (Vec<String>, BTreeMap<String, BTreeSet<String>>) {
    let (mut wrong, mut there) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let floors: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    for path in sources(&root().join(folder)) {
        let inside = path.strip_prefix(root().join(folder)).unwrap();
        let top = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main", "ostlerw"].contains(&top) {
            continue;
        }
        let Some((_, allowed)) = table.iter().find(|(name, _)| *name == top) else {
            wrong.push(format!("{folder}/{}: {top} is on no floor of tests/architecture.rs", inside.display()));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code(&text) {
            for name in used(line).into_iter().filter(|name| *name != top && floors.contains(name)) {
                there.entry(top.to_owned()).or_default().insert(name.to_owned());
                if !allowed.contains(&name) {
                    wrong.push(format!("{folder}/{}:{number}: {top} may not use {name}", inside.display()));
                }
            }
        }
    }
    (wrong, there)
}

/// A floor may only use floors that stand before it in its table, so there is no circle.
fn climbs(table: &[(&str, &[&str])]) -> Vec<String> {
    let at = |name: &str| table.iter().position(|(floor, _)| *floor == name);
    let each = table.iter().flat_map(|(floor, allowed)| allowed.iter().map(move |name| (*floor, *name)));
    each.filter(|(floor, name)| at(name) >= at(floor)).map(|(floor, name)| format!("{floor} -> {name}")).collect()
}

#[test]
fn arrows_between_folders_only_go_down() {
    for (folder, table) in [("src", PROGRAM.as_slice()), ("crates/ostler-mail/src", MAIL.as_slice())] {
        assert_eq!(climbs(table), Vec::<String>::new(), "{folder}");
        let (wrong, there) = arrows(folder, table);
        assert!(wrong.is_empty(), "{wrong:#?}");
        // A row that promises more than there is would let an arrow come back unseen.
        for (floor, allowed) in table {
            let used = there.get(*floor).cloned().unwrap_or_default();
            let unused: Vec<_> = allowed.iter().filter(|name| !used.contains(**name)).collect();
            assert!(unused.is_empty(), "{folder}: {floor} no longer uses {unused:?}: take it out of the table");
        }
    }
}

#[test]
fn what_one_place_does_is_done_nowhere_else() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        let never = NEVER.iter().filter(|(place, _)| inside.starts_with(place)).flat_map(|(_, words)| *words);
        let never: Vec<_> = never.collect();
        for (number, line) in code(&text) {
            wrong.extend(
                never.iter().filter(|word| line.contains(**word)).map(|word| format!("{inside}:{number}: {word}")),
            );
            for (word, places) in ONLY {
                if line.contains(word) && !places.iter().any(|place| inside.starts_with(place)) {
                    wrong.push(format!("{inside}:{number}: only {places:?} may say {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crate_names_no_runtime_no_socket_and_no_clock() {
    let manifest = fs::read_to_string(root().join("crates/ostler-mail/Cargo.toml")).unwrap();
    for absent in ["tokio", "rustls", "hyper", "mio", "socket2", "rustix", "async", "futures"] {
        assert!(!manifest.contains(&format!("\n{absent}")), "ostler-mail may not depend on {absent}");
    }
    let mut wrong = Vec::new();
    for path in sources(&root().join("crates/ostler-mail/src")) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code(&text) {
            for word in [
                "std::fs",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "Instant",
                "SystemTime",
                "std::thread",
                "std::env",
                "std::process",
            ] {
                if line.contains(word) {
                    wrong.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The rows of the map begin with the folders of the tables, in their order from the top down.
#[test]
fn the_map_is_in_the_order_of_the_floors() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows: Vec<&str> = map.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let program = PROGRAM.iter().rev().map(|(name, _)| format!("{name}/"));
    let mail = MAIL.iter().rev().map(|(name, _)| (*name).to_owned());
    for (what, floors) in [("src", program.collect::<Vec<_>>()), ("ostler-mail", mail.collect())] {
        let found: Vec<&str> = rows.iter().copied().filter(|row| floors.iter().any(|floor| floor == row)).collect();
        assert_eq!(found, floors, "the rows of {what} in docs/architecture.md");
    }
}

#[test]
fn an_arrow_up_is_seen() {
    assert_eq!(used("use crate::app::Stop; // crate::cli"), ["app", "cli"]);
    assert_eq!(used("    crate::{config::{self, x}, proxy};"), ["config", "proxy"]);
    assert_eq!(used("use ostler_crate::app;"), Vec::<&str>::new());
    assert_eq!(climbs(&[("low", &["high"]), ("high", &["low"])]), ["low -> high"]);
    let text = "use a;\n// crate::app\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    assert_eq!(code(text).collect::<Vec<_>>(), [(1, "use a;"), (3, "fn f() {}")]);
}
