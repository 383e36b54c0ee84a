//! Removes an account from a settings file that a person wrote; everything else stays as it is, octet for octet. The
//! text only has to be TOML: an account with mistakes in it can be removed too. What the other edits share is here too.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::{DocumentMut, Item, TableLike, Value, value};

use super::line_ends::{self, with_line_ends_of};
use super::list;
#[cfg(feature = "web")]
use super::place::REGISTRATIONS;
use super::presets::Presets;
use super::{Mistakes, parse_with};
use ostler_mail::account::Settings;
use ostler_mail::idn;

/// Why a settings file was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not TOML, so it is not known where an account ends.
    #[error("line {line} of the settings file is not valid TOML; correct it first")]
    NotToml {
        /// The first such line, counted from 1.
        line: usize,
    },
    /// No account has this name.
    #[error("the settings file has no account of this name")]
    NoSuchAccount,
    /// The change would touch something else too.
    #[error("the account is written in a form that ostler cannot change; edit the settings file yourself")]
    TooEntangled,
    /// The new text would not mean what it should: the file has mistakes already, or something in it has the same name.
    #[error(
        "the file has mistakes, or it has an account or a door with the same name or port already; `ostler check` shows mistakes"
    )]
    CannotTake,
    /// The new text has these mistakes, each at the key that was to change or at one that contradicts it.
    #[error(transparent)]
    Mistakes(Mistakes),
}

/// Removes the account `name` (in any letter case) from the text: its table with its doors, its sub-tables, and the
/// comments directly above it. Everything else stays as it is.
pub fn remove_account(text: &str, name: &str) -> Result<String, EditError> {
    let tree = DeTable::parse(text).map_err(|error| not_toml(text, error.span()))?;
    let tree = tree.get_ref();
    let accounts = tree.get("account").and_then(|accounts| accounts.get_ref().as_array());
    let accounts = accounts.ok_or(EditError::NoSuchAccount)?;
    let is_it = |account: &Spanned<DeValue<'_>>| is_named(account.get_ref(), name);
    let index = accounts.iter().position(is_it).ok_or(EditError::NoSuchAccount)?;
    let account = accounts.get(index).ok_or(EditError::NoSuchAccount)?;
    // `[[account]]`; an element of `account = [{..}]` begins with a brace.
    let rest = if text[account.span()].starts_with('[') {
        without_tables(text, tree, account)
    } else {
        without_element(text, index)?
    };
    if is_same_but_for(text, &rest, index) { Ok(rest) } else { Err(EditError::TooEntangled) }
}

/// Removes the table `[oauth2.NAME]` from the text, with the comments directly above it. Everything else stays as it is.
#[cfg(feature = "web")]
pub(super) fn without_registration(text: &str, name: &str) -> Result<String, EditError> {
    let tree = DeTable::parse(text).map_err(|error| not_toml(text, error.span()))?;
    let tree = tree.get_ref();
    let tables = tree.get(REGISTRATIONS).and_then(|tables| tables.get_ref().as_table());
    let table = tables.and_then(|tables| tables.get(name)).ok_or(EditError::TooEntangled)?;
    if text[table.span()].starts_with('[') {
        return Ok(without_tables(text, tree, table));
    }
    let mut document = parse_document(text)?;
    let tables = document.get_mut(REGISTRATIONS).and_then(Item::as_table_like_mut);
    tables.and_then(|tables| tables.remove(name)).ok_or(EditError::TooEntangled)?;
    Ok(with_line_ends_of(text, &document.to_string()))
}

/// Parses a settings file for editing. What is written again is only the text with [`with_line_ends_of`].
pub(super) fn parse_document(text: &str) -> Result<DocumentMut, EditError> {
    let text = line_ends::marked(text);
    text.parse::<DocumentMut>().map_err(|error| not_toml(&text, error.span()))
}

/// The settings that a text means. One with mistakes has no meaning that an edit could be held against.
pub(super) fn meaning(text: &str, file: &Path, presets: &Presets) -> Result<Settings, EditError> {
    Ok(parse_with(text, file, presets).map_err(|_| EditError::CannotTake)?.settings)
}

/// Sets a value and keeps the blanks and comments around the old one; those of a list also within it.
pub(super) fn put(table: &mut dyn TableLike, key: &str, new: Value) {
    match (table.get_mut(key).and_then(Item::as_value_mut), new) {
        (Some(Value::Array(old)), Value::Array(new)) => list::set(old, new.into_iter().collect()),
        // A list of one means the same, and has room for the comments.
        (Some(Value::Array(old)), new @ (Value::Integer(_) | Value::String(_))) if list::has_comments(old) => {
            list::set(old, vec![new]);
        }
        (Some(old), new) => replace(old, new),
        (None, new) => drop(table.insert(key, value(new))),
    }
}

/// Puts a value where another one is, with the blanks and comments around that one.
pub(super) fn replace(old: &mut Value, new: Value) {
    let decor = old.decor().clone();
    *old = new;
    *old.decor_mut() = decor;
}

fn not_toml(text: &str, span: Option<Range<usize>>) -> EditError {
    let at = span.map_or(0, |span| span.start).min(text.len());
    EditError::NotToml { line: text.bytes().take(at).filter(|b| *b == b'\n').count() + 1 }
}

/// Whether the account is called `name`: by its key `name`, or by its address if it has no such key.
fn is_named(account: &DeValue<'_>, name: &str) -> bool {
    let text = |key: &str| account.as_table()?.get(key)?.get_ref().as_str();
    text("name").or_else(|| text("address")).is_some_and(|own| idn::name(own).eq_ignore_ascii_case(&idn::name(name)))
}

/// Cuts out every `[[account]]` and `[account...]` section that belongs to the account.
fn without_tables(text: &str, tree: &DeTable<'_>, account: &Spanned<DeValue<'_>>) -> String {
    let mut every = Layout::default();
    tree.values().for_each(|value| every.look_at(text, value));
    let mut own = Layout::default();
    own.look_at(text, account);
    every.headers.sort_unstable();
    every.headers.dedup();
    let is_own = |header: &usize| own.headers.contains(header);

    let mut rest = String::with_capacity(text.len());
    let mut kept_to = 0;
    let mut headers = every.headers.iter().peekable();
    while let Some(header) = headers.next() {
        if !is_own(header) {
            continue;
        }
        // The account's own sections that follow are cut out together with it.
        while headers.next_if(|next| is_own(next)).is_some() {}
        let next = headers.peek().map(|next| **next);
        let cut = every.section(text, *header, next);
        rest.push_str(&text[kept_to..cut.start]);
        kept_to = cut.end;
        if cut.end == text.len() {
            drop_blank_line_at_end(&mut rest);
        }
    }
    rest.push_str(&text[kept_to..]);
    rest
}

/// Removes the blank line before a last section that was cut out.
fn drop_blank_line_at_end(rest: &mut String) {
    for blank in ["\n\n", "\n\r\n"] {
        if rest.ends_with(blank) {
            rest.truncate(rest.len() - blank.len() + 1);
            return;
        }
    }
}

/// Offsets in the text, in octets.
#[derive(Default)]
struct Layout {
    /// Where each `[table]` and `[[table]]` line begins.
    headers: Vec<usize>,
    /// Where the brackets of those lines and all values end.
    ends: Vec<usize>,
}

impl Layout {
    fn look_at(&mut self, text: &str, value: &Spanned<DeValue<'_>>) {
        self.ends.push(value.span().end);
        match value.get_ref() {
            DeValue::Table(table) => {
                // An inline table begins with a brace; a table from a dotted key, such as `a` in `a.b = 1`, with its
                // name.
                if text[value.span()].starts_with('[') {
                    self.headers.push(value.span().start);
                }
                table.values().for_each(|value| self.look_at(text, value));
            }
            DeValue::Array(array) => array.iter().for_each(|value| self.look_at(text, value)),
            _ => {}
        }
    }

    /// The range to cut for the sections from `header` up to `next`: from the comments directly above them to their
    /// last line, with the blank lines after it.
    fn section(&self, text: &str, header: usize, next: Option<usize>) -> Range<usize> {
        let start = self.comments_above(text, header);
        let bound = next.map_or(text.len(), |next| self.comments_above(text, next));
        let last = self.ends.iter().copied().filter(|end| *end > header && *end <= bound).max().unwrap_or(header);
        let mut end = end_of_line(text, last);
        // Comments right below the last value are options that the user has switched off.
        while end < bound && text[end..].trim_start_matches([' ', '\t']).starts_with('#') {
            end = end_of_line(text, end);
        }
        while end < bound && text[end..end_of_line(text, end)].trim().is_empty() {
            end = end_of_line(text, end);
        }
        start..end.min(bound).max(start)
    }

    /// Where the comment lines directly above a line begin, or the line itself if there are none.
    fn comments_above(&self, text: &str, at: usize) -> usize {
        // A line within a multi-line string is not a comment, even if it begins with #.
        let bound = self.ends.iter().copied().filter(|end| *end <= at).max().unwrap_or(0);
        let mut start = start_of_line(text, at);
        while start > bound {
            let above = start_of_line(text, start - 1);
            if above < bound || !text[above..start].trim_start().starts_with('#') {
                break;
            }
            start = above;
        }
        start
    }
}

fn start_of_line(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The offset after the line's end.
fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// Removes an element from `account = [{..}, ..]`.
fn without_element(text: &str, index: usize) -> Result<String, EditError> {
    let mut document = parse_document(text)?;
    let array = document.get_mut("account").and_then(|item| item.as_array_mut()).ok_or(EditError::TooEntangled)?;
    list::remove(array, index);
    Ok(with_line_ends_of(text, &document.to_string()))
}

/// Whether `after` means the same as `before` without one account.
fn is_same_but_for(before: &str, after: &str, index: usize) -> bool {
    let (Ok(mut before), Ok(mut after)) = (before.parse::<toml::Table>(), after.parse::<toml::Table>()) else {
        return false;
    };
    if let Some(accounts) = before.get_mut("account").and_then(|accounts| accounts.as_array_mut()) {
        accounts.remove(index);
    }
    for table in [&mut before, &mut after] {
        // Without its last account one text has an empty list, and the other has no list.
        if table.get("account").and_then(|a| a.as_array()).is_some_and(Vec::is_empty) {
            table.remove("account");
        }
    }
    before == after
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "# mine\n\n[local]   # doors\r\npop3 = 110\n\n\
        # home, since 1998\n# really\n[[account]]\nname = \"home\"\n# default = true\n\n\
        [account.pop3] # in\nhost = \"a\"\n\n# below: work\n\n\
        # work\n[[account]]\naddress = \"w@x\"\nsmtp = { host = \"b\" }\n\n[timeouts]\nidle = \"1m\"\n\n\
        [account.pop3]\nhost = \"\"\"\n# c\"\"\"\n\n\
        # last\n[[account]]\nname = \"Last\"\n  [account.imap]\n  host = \"d\"\n";

    #[test]
    fn only_the_account_and_its_comments_go() {
        let rest = remove_account(THREE, "HOME").unwrap();
        let (start, end) = (THREE.find("# home").unwrap(), THREE.find("# below").unwrap());
        assert_eq!(rest, format!("{}{}", &THREE[..start], &THREE[end..]));
    }

    #[test]
    fn an_account_in_two_places_goes_from_both() {
        let rest = remove_account(THREE, "w@x").unwrap();
        let cut = |a: &str, b: &str| THREE.find(a).unwrap()..THREE.find(b).unwrap();
        let (one, two) = (cut("# work\n", "[timeouts]"), cut("[account.pop3]\nhost = \"\"\"", "# last"));
        assert_eq!(rest, format!("{}{}{}", &THREE[..one.start], &THREE[one.end..two.start], &THREE[two.end..]));
    }

    #[test]
    fn the_last_account_takes_its_blank_line_along() {
        let rest = remove_account(THREE, "last").unwrap();
        assert_eq!(rest, &THREE[..THREE.find("\n# last").unwrap()]);
        assert_eq!(remove_account("[[account]]\nname='a'", "a").unwrap(), "");
    }

    #[test]
    fn inline_accounts_go_too() {
        let text = "# top\r\naccount = [ { name = \"a\" }, { name = \"b\", pop3.host = \"x\" } ] # list\r\n[local]\r\n";
        let rest = remove_account(text, "b").unwrap();
        assert_eq!(rest, "# top\r\naccount = [ { name = \"a\" } ] # list\r\n[local]\r\n");
        let rest = remove_account(&rest, "a").unwrap();
        assert_eq!(rest, "# top\r\naccount = [] # list\r\n[local]\r\n");
    }

    #[test]
    fn an_account_in_a_list_takes_its_own_comments_along_and_no_others() {
        let [a, b, c] =
            ["a", "b", "c"].map(|name| format!("  # {name} is mine\n  {{ name = \"{name}\" }}, # about {name}: May\n"));
        let list = |accounts: &[&String]| {
            let accounts: String = accounts.iter().map(|account| account.as_str()).collect();
            format!("account = [ # all\n{accounts}  # end\n] # list\n\n[local] # doors\n")
        };
        let text = list(&[&a, &b, &c]);
        for text_of in [|text: &str| text.to_owned(), |text: &str| text.replace('\n', "\r\n")] {
            let text = text_of(&text);
            assert_eq!(remove_account(&text, "a").unwrap(), text_of(&list(&[&b, &c])));
            assert_eq!(remove_account(&text, "b").unwrap(), text_of(&list(&[&a, &c])));
            assert_eq!(remove_account(&text, "c").unwrap(), text_of(&list(&[&a, &b])));
        }
        assert_eq!(remove_account(&list(&[&b]), "b").unwrap(), list(&[]));
    }

    #[test]
    fn lines_of_a_list_of_accounts_keep_their_ends() {
        let text = "# top\r\naccount = [\n  { name = \"a\" }, # a\r\n  { name = \"b\", \
            pop3.password.command = '''\nx\n\ny\r\n''' },\n]\r\n";
        assert_eq!(remove_account(text, "a").unwrap(), text.replace("  { name = \"a\" }, # a\r\n", ""));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        assert_eq!(remove_account("", "a"), Err(EditError::NoSuchAccount));
        assert_eq!(remove_account(THREE, "nobody"), Err(EditError::NoSuchAccount));
        assert_eq!(remove_account("[local]\npop3 = = 1", "a"), Err(EditError::NotToml { line: 2 }));
    }
}
