//! The settings file: from its text to [`Settings`], with every mistake in it told at once and in its place, and
//! the few changes ostler itself makes to it. What the keys mean for a connection is not here; neither are the
//! secrets, of which the file only says where they are.
//!
//! No message of this module holds a value out of the file, because a password may stand anywhere in it by
//! mistake; unknown keys are shown only where they look like a key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use ostler_mail::account::Settings;
use presets::Presets;
use toml_tree::Notes;

mod accounts;
mod add;
mod apply_preset;
mod change;
mod doors;
mod edit;
mod file;
mod keys;
mod move_door;
pub mod presets;
mod read;
mod server;
mod syntax;
mod toml_tree;
pub mod value;

pub use add::add_account;
pub use change::{Change, ServerLocation, change_account, common_username};
pub use edit::{EditError, remove_account};
pub use file::{LoadError, default_path, load, state_folder, write_atomically};
pub use move_door::move_door;

/// A settings file that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub settings: Settings,
    /// What it may say, but should not without a thought.
    pub warnings: Vec<Remark>,
    /// There is no such file; `settings` are the defaults.
    pub is_missing: bool,
}

/// Something to say about one place of the settings file. Its `Display` is exactly one line,
/// `FILE:LINE:COLUMN: key: message`, and never holds a value out of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key with the tables it is in, such as `account.smtp.security`; `toml` where none is known.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}:{}:{}: {}: {}", self.file.display(), self.line, self.column, self.key, self.message);
        f.write_str(&line.replace(char::is_control, "?"))
    }
}

/// All mistakes of a settings file in the order of their places; never empty. `Display` gives one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Remark>);

impl Mistakes {
    /// The mistakes one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Remark> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Reads the text of a settings file. `file` is the name for the messages, and its folder the one relative paths
/// start from; it is not opened.
///
/// The presets it may name are the compiled-in ones.
pub fn parse(text: &str, file: &Path) -> Result<Parsed, Mistakes> {
    parse_with(text, file, Presets::built_in())
}

/// The same with other presets, such as those with the user's own laid over them ([`Presets::load`]).
pub fn parse_with(text: &str, file: &Path, presets: &Presets) -> Result<Parsed, Mistakes> {
    let notes = Notes::default();
    let (tree, errors) = DeTable::parse_recoverable(text);
    let settings = match syntax::report(text, &errors, &notes) {
        syntax::Damage::None => read::read_settings(tree.get_ref(), file, presets, &notes),
        syntax::Damage::Lines(rest) => {
            // What the undamaged lines say is checked too, so that one go at the file is enough.
            let (tree, errors) = DeTable::parse_recoverable(&rest);
            if errors.is_empty() {
                let more = Notes::default();
                read::read_settings(tree.get_ref(), file, presets, &more);
                notes.merge_without_absences(more);
            }
            None
        }
        syntax::Damage::Structure => None,
    };
    let (mistakes, warnings) = notes.into_remarks(text, &Arc::from(file));
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(Parsed { settings, warnings, is_missing: false }),
        _ => Err(Mistakes(mistakes)),
    }
}

/// What a fuzzer calls with any octets: reading, showing and changing must neither fail nor show a secret.
///
/// # Panics
///
/// If the octets contain `hunter2-SECRET` and a message shows it, or a file is refused without a reason.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = match parse(&text, &PathBuf::from("fuzz.toml")) {
        Ok(parsed) => parsed.warnings.iter().map(Remark::to_string).collect(),
        Err(mistakes) => {
            assert!(mistakes.iter().next().is_some(), "a file was refused without a reason");
            mistakes.to_string()
        }
    };
    assert!(!shown.contains("hunter2-SECRET"), "a planted secret was shown");
    let _ = remove_account(&text, "home");
}

#[cfg(test)]
mod tests;
