//! The settings file: reads its text into [`Settings`], reports every mistake at once with its place, and makes the few
//! changes that ostler itself makes to it. What the keys mean for a connection is not here. Neither are the secrets:
//! the file only says where they are.
//!
//! No message of this module repeats a value from the file, because a password may stand anywhere in it by mistake. An
//! unknown key is shown only if it looks like a key.

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
#[cfg(feature = "web")]
mod change;
mod change_charset;
mod doors;
mod edit;
mod file;
pub(crate) mod issuers;
pub mod keys;
mod line_ends;
mod list;
mod maildrop;
#[cfg(feature = "web")]
mod move_door;
#[cfg_attr(not(feature = "web"), allow(dead_code))]
mod place;
pub mod presets;
mod read;
mod server;
#[cfg(feature = "web")]
mod shown;
mod syntax;
mod toml_tree;
#[cfg(feature = "web")]
mod typed;
pub mod value;

pub(crate) use add::{add_account, registration_table};
#[cfg(feature = "web")]
pub(crate) use change::{Change, Changed, change_keys, move_server, remove_registration, remove_server};
pub(crate) use change_charset::change_charset;
pub(crate) use edit::EditError;
pub use edit::remove_account;
#[cfg(target_os = "linux")]
pub(crate) use file::write_new;
pub(crate) use file::{
    LoadError, MAX_LINKS, NotEdited, default_path, edit_file, edit_file_in_task, load, state_folder, text_to_edit,
    turn_name, write_atomically,
};
#[cfg(feature = "web")]
pub(crate) use move_door::move_door;
#[cfg(feature = "web")]
pub(crate) use place::Place;
pub(crate) use server::DEFAULT_FRESH;
#[cfg(feature = "web")]
pub(crate) use shown::{Origin, Shown, ShownFile};
#[cfg(feature = "web")]
pub(crate) use typed::{NO, YES};

/// A settings file without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The settings.
    pub settings: Settings,
    /// Settings that are allowed but may be unintended.
    pub warnings: Vec<Remark>,
    /// Whether there is no such file, so that `settings` are the defaults.
    pub is_missing: bool,
    /// Whether the file holds nothing at all. ostler leaves none like that; an editor may be about to fill it.
    pub is_blank: bool,
    /// What is known of providers: the user's own file included, if there is a settings file.
    pub presets: Presets,
}

/// A mistake or a warning about one place of the settings file. Its `Display` is exactly one line,
/// `FILE:LINE:COLUMN: key: message`, and never repeats a value from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file, by the path it was opened with.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key with the tables it is in, such as `account.smtp.security`; `toml` if it is not known.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}:{}:{}: {}: {}", self.file.display(), self.line, self.column, self.key, self.message);
        // A path may hold control characters, which a terminal would obey.
        f.write_str(&line.replace(char::is_control, "?"))
    }
}

/// All mistakes of a settings file, from top to bottom; never empty. `Display` writes one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Remark>);

impl Mistakes {
    /// The mistakes, from top to bottom.
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

/// Reads the text of a settings file, with the compiled-in presets. `file` is not opened: it is named in the messages,
/// and relative paths in the text start at its folder.
pub fn parse(text: &str, file: &Path) -> Result<Parsed, Mistakes> {
    parse_with(text, file, Presets::built_in())
}

/// As [`parse`], with other presets, such as those that include the user's own ([`Presets::load`]).
pub fn parse_with(text: &str, file: &Path, presets: &Presets) -> Result<Parsed, Mistakes> {
    let notes = Notes::default();
    let (tree, errors) = DeTable::parse_recoverable(text);
    let settings = match syntax::report(text, &errors, &notes) {
        syntax::Damage::None => read::read_settings(tree.get_ref(), file, presets, &notes),
        syntax::Damage::Lines(rest) => {
            // The undamaged lines are checked too, so that the user sees all mistakes in one run.
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
        // Values may be complete and still contradict each other, as two doors on one port do.
        Some(settings) if mistakes.is_empty() => {
            let is_blank = text.trim().is_empty();
            Ok(Parsed { settings, warnings, is_missing: false, is_blank, presets: presets.clone() })
        }
        _ => Err(Mistakes(mistakes)),
    }
}

/// The fuzzer's entry: reads any octets as a settings file, shows the messages and removes an account.
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
