//! `ostler add --import` as a user calls it, whether it adds anything or not, and what it says about it.

use std::path::Path;

use crate::support::ca::TestCa;
use crate::support::ostler::Home;
use crate::support::process::said;

/// A file of a case, as the other program wrote it.
pub(crate) fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field/files").join(name)).unwrap()
}

/// A call of `ostler add --import` that has ended.
pub(crate) struct Added {
    pub(crate) home: Home,
    pub(crate) code: Option<i32>,
    /// All it said.
    pub(crate) screen: String,
}

/// Imports these octets; nothing is tried, and the password is in a variable, unless the words say where it is.
pub(crate) fn add(octets: impl AsRef<[u8]>, words: &[&str]) -> Added {
    add_in(Home::new(&TestCa::new(), &[]), octets, words)
}

pub(crate) fn add_in(home: Home, octets: impl AsRef<[u8]>, words: &[&str]) -> Added {
    let path = home.path().join("import");
    std::fs::write(&path, octets).unwrap();
    let file = path.to_str().unwrap().to_owned();
    let has_source = words.iter().any(|word| word.starts_with("--password"));
    let source: &[&str] = if has_source { &[] } else { &["--password-env", "W"] };
    let words = [&["add", "--import", &file, "--no-check", "--yes"], source, words].concat();
    let output = home.ostler(&words, "");
    Added { code: output.status.code(), screen: said(&output), home }
}

impl Added {
    /// The sentences under a heading.
    pub(crate) fn list(&self, heading: &str) -> String {
        let behind = self.screen.lines().skip_while(|line| *line != format!("{heading}:")).skip(1);
        behind.take_while(|line| line.starts_with("  ")).map(|line| format!("{}\n", line.trim())).collect()
    }

    pub(crate) fn taken(&self) -> String {
        self.list("Taken")
    }

    pub(crate) fn not_taken(&self) -> String {
        self.list("Not taken")
    }

    /// What is to be changed in the mail program.
    pub(crate) fn doors(&self) -> String {
        self.list("To change in the mail program once ostler has the account")
    }

    pub(crate) fn accounts(&self) -> Vec<toml::Table> {
        let settings: toml::Table = self.home.settings().parse().unwrap();
        let accounts = settings.get("account").and_then(|accounts| accounts.as_array().cloned()).unwrap_or_default();
        accounts.into_iter().map(|account| account.as_table().unwrap().clone()).collect()
    }

    /// The servers of the only account, as `pop3 tls://pop.example.net:995 NAME`.
    #[track_caller]
    pub(crate) fn servers(&self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{}", self.screen);
        let accounts = self.accounts();
        let [account] = accounts.as_slice() else { panic!("{}", self.home.settings()) };
        let mut servers = Vec::new();
        for protocol in ["pop3", "smtp", "imap"] {
            let tables = match account.get(protocol) {
                Some(toml::Value::Array(tables)) => tables.clone(),
                Some(table) => vec![table.clone()],
                None => Vec::new(),
            };
            for table in tables {
                let text = |key: &str| table.get(key).map(ToString::to_string).unwrap_or_default().replace('"', "");
                let (host, port, security) = (text("host"), text("port"), text("security"));
                servers.push(format!("{protocol} {security}://{host}:{port} {}", text("username")));
            }
        }
        servers
    }
}
