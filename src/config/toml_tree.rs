//! Access to the TOML tree with places: every [`Item`] knows its key and its offset, and reports what is wrong with it.
//! What the keys mean is not known here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Remark;
use super::keys::{Keys, is_harmless, sounds_secret};
use super::value::{BACKSLASH_ADVICE, may_have_lost_backslash};

/// A longer name of an entry is replaced by stars in messages.
const MAX_SHOWN_NAME_OCTETS: usize = 40;

/// The mistakes and warnings found so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    mistakes: RefCell<Vec<Note>>,
    warnings: RefCell<Vec<Note>>,
}

#[derive(Debug)]
struct Note {
    offset: usize,
    key: String,
    message: String,
    /// A missing key. Not reported if the file did not parse: the key may be in the broken part.
    is_absence: bool,
}

impl Notes {
    /// Adds a mistake at an offset of the text, in octets.
    pub(super) fn add_mistake(&self, offset: usize, key: &str, message: &str) {
        self.add(offset, key, message, false);
    }

    fn add(&self, offset: usize, key: &str, message: &str, is_absence: bool) {
        let note = Note { offset, key: key.to_owned(), message: message.to_owned(), is_absence };
        self.mistakes.borrow_mut().push(note);
    }

    /// Takes over the mistakes of `more`, except those about missing keys.
    pub(super) fn merge_without_absences(&self, more: Self) {
        let present = more.mistakes.into_inner().into_iter().filter(|note| !note.is_absence);
        self.mistakes.borrow_mut().extend(present);
    }

    /// The mistakes and the warnings, each from top to bottom.
    pub(super) fn into_remarks(self, text: &str, file: &Arc<Path>) -> (Vec<Remark>, Vec<Remark>) {
        (remarks(self.mistakes.into_inner(), text, file), remarks(self.warnings.into_inner(), text, file))
    }
}

fn remarks(mut notes: Vec<Note>, text: &str, file: &Arc<Path>) -> Vec<Remark> {
    notes.sort_by_key(|note| note.offset);
    let mut here = Position { line: 1, column: 1 };
    let mut characters = text.char_indices().peekable();
    let remark = |note: Note| {
        while let Some((_, c)) = characters.next_if(|(at, _)| *at < note.offset) {
            here.pass(c);
        }
        Remark { file: file.clone(), line: here.line, column: here.column, key: note.key, message: note.message }
    };
    notes.into_iter().map(remark).collect()
}

struct Position {
    line: usize,
    column: usize,
}

impl Position {
    fn pass(&mut self, c: char) {
        match c {
            '\n' => *self = Self { line: self.line + 1, column: 1 },
            // Editors do not count a byte order mark as a column.
            '\u{feff}' => {}
            _ => self.column += 1,
        }
    }
}

/// A value, with its key and its place.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    value: &'a DeValue<'a>,
    offset: usize,
    key: String,
    notes: &'a Notes,
}

impl<'a> Item<'a> {
    /// Reports a mistake. The message must not repeat a value from the file.
    pub(super) fn report(&self, message: &str) {
        self.notes.add(self.offset, &self.key, message, false);
    }

    /// Reports a mistake and returns `None` for the value.
    pub(super) fn reject<T>(&self, message: &str) -> Option<T> {
        self.report(message);
        None
    }

    /// Reports a mistake that is due to something missing elsewhere.
    pub(super) fn report_absence(&self, message: &str) {
        self.notes.add(self.offset, &self.key, message, true);
    }

    /// Reports a warning.
    pub(super) fn warn(&self, message: &str) {
        let note = Note { offset: self.offset, key: self.key.clone(), message: message.to_owned(), is_absence: false };
        self.notes.warnings.borrow_mut().push(note);
    }

    /// Reports that the value is of a wrong kind, and returns `None`.
    pub(super) fn reject_kind<T>(&self, allowed: &str) -> Option<T> {
        let kind = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.reject(&format!("is {kind}; allowed is {allowed}"))
    }

    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn as_flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A whole number; `Some(None)` if it is negative or too large for any key.
    pub(super) fn as_number(&self) -> Option<Option<u32>> {
        let number = self.value.as_integer()?;
        // TOML also has 0x, 0o and 0b.
        Some(u32::from_str_radix(number.as_str(), number.radix()).ok())
    }

    pub(super) fn as_list(&self) -> Option<Vec<Self>> {
        let list = self.value.as_array()?;
        Some(list.iter().map(|value| self.part(value, self.key.clone())).collect())
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a table that has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value.as_table().is_some_and(|table| table.contains_key(key))
    }

    /// The value of a key, if this is a table that has it. Whether its other keys are allowed is checked elsewhere.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_table()?.get(key)?;
        Some(self.part(value, format!("{}.{key}", self.key)))
    }

    /// A date, as `2026-11-20`.
    pub(super) fn as_date(&self) -> Option<String> {
        self.value.as_datetime().filter(|when| when.date.is_some() && when.time.is_none()).map(ToString::to_string)
    }

    /// The entries of a table whose keys are names that the user chooses, in the order of the file. In messages a name
    /// with unusual characters is replaced by stars: it may be a password.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Self)>> {
        let mut entries: Vec<_> = self.value.as_table()?.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entry = |(name, value): (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| {
            let name = name.get_ref();
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let shown = if name.len() <= MAX_SHOWN_NAME_OCTETS && name.bytes().all(is_plain) { name } else { "***" };
            (name.as_ref(), self.part(value, format!("{}.{shown}", self.key)))
        };
        Some(entries.into_iter().map(entry).collect())
    }

    /// The table, after reporting every key in it that is not allowed.
    pub(super) fn table(&self, keys: &Keys) -> Option<Table<'a>> {
        let Some(map) = self.value.as_table() else {
            return self.reject_kind(&format!("a table with the keys {}", keys.list()));
        };
        Some(Table { item: self.clone(), map }.checked(keys))
    }

    /// Reads a text by `read`; `allowed` completes the message if that fails.
    pub(super) fn read<T>(&self, allowed: &str, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let Some(text) = self.as_text() else {
            return self.reject_kind(allowed);
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(why) if may_have_lost_backslash(text) => {
                self.reject(&format!("{why}; allowed is {allowed}; if it has a \\, {BACKSLASH_ADVICE}"))
            }
            Err(why) => self.reject(&format!("{why}; allowed is {allowed}")),
        }
    }

    /// Reads one of `words`.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let allowed = list.join(", ");
        self.read(&allowed, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or("is not a known word")
        })
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.as_flag().or_else(|| self.reject_kind("true or false"))
    }

    fn part(&self, value: &'a Spanned<DeValue<'a>>, key: String) -> Self {
        Self { value: value.get_ref(), offset: value.span().start, key, notes: self.notes }
    }
}

/// A table, with its key and its place.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    item: Item<'a>,
    map: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The file as a whole, which has no key.
    pub(super) fn root(map: &'a DeTable<'a>, keys: &Keys, notes: &'a Notes) -> Self {
        // The value is a filler that no one reads: the root is only its `map`.
        let item = Item { value: &DeValue::Boolean(true), offset: 0, key: String::new(), notes };
        Table { item, map }.checked(keys)
    }

    fn checked(self, keys: &Keys) -> Self {
        for key in self.map.keys().filter(|key| !keys.contains(key.get_ref())) {
            self.report_unknown(key.get_ref(), key.span().start, keys);
        }
        self
    }

    /// The table as an item, to report mistakes at its header.
    pub(super) fn item(&self) -> &Item<'a> {
        &self.item
    }

    pub(super) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.map.get(key).map(|value| self.item.part(value, self.path(key)))
    }

    /// Reports that a required key is missing, and returns `None`.
    pub(super) fn reject_missing<T>(&self, key: &str, message: &str) -> Option<T> {
        self.item.notes.add(self.item.offset, &self.path(key), message, true);
        None
    }

    fn path(&self, key: &str) -> String {
        if self.item.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.item.key) }
    }

    fn report_unknown(&self, key: &str, offset: usize, keys: &Keys) {
        // In a table that says where a password is, an unknown key may be the password itself.
        let in_password = self.item.key.ends_with("password");
        let shown = if !in_password && is_harmless(key, keys) { key } else { "***" };
        let meant = keys.nearest(key).map(|(meant, _)| format!("; did you mean {meant}?")).unwrap_or_default();
        let hint =
            if in_password || sounds_secret(key) { "; a password itself does not belong in this file" } else { "" };
        let message = format!("is not a key of this table{meant}{hint}; allowed are {}", keys.list());
        self.item.notes.add(offset, &self.path(shown), &message, false);
    }
}
