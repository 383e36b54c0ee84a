//! Reports mistakes in the TOML itself, in the form of all other mistakes. The line they are in is never shown, because
//! it may hold a password.

use toml::de::Error;

use super::keys::is_known;
use super::toml_tree::Notes;
use super::value::BACKSLASH_ADVICE;

/// How much of a text can still be read.
pub(super) enum Damage {
    /// All of it.
    None,
    /// Some lines cannot be read; this is the text with blanks in their place.
    Lines(String),
    /// A table's header cannot be read, so it is not known which table the lines below belong to.
    Structure,
}

/// Reports the mistakes that the TOML parser found. Of several in one line only the first: the others follow from it.
pub(super) fn report(text: &str, errors: &[Error], notes: &Notes) -> Damage {
    let mut rest = text.to_owned().into_bytes();
    let mut damage = Damage::None;
    let mut errors: Vec<_> = errors.iter().map(|e| (start_of(e, text), e.message())).collect();
    errors.sort_by_key(|(at, _)| *at);
    let mut tables = Tables { text, read_to: 0, table: Some(String::new()) };
    let mut told_to = None;
    for (at, message) in errors {
        if told_to.is_some_and(|end| at <= end) {
            continue;
        }
        let line = line_at(text, at);
        told_to = Some(line.end);
        let known = known_key(&text[line.clone()], tables.at(line.start));
        notes.add_mistake(at, known.as_deref().unwrap_or("toml"), &in_our_words(message, &text[line.clone()]));
        // The line itself can be read, and nothing below it is in doubt.
        if message.starts_with("duplicate key") {
            continue;
        }
        if is_header(&text[line.clone()]) {
            damage = Damage::Structure;
        } else if matches!(damage, Damage::None) {
            damage = Damage::Lines(String::new());
        }
        // Blanks, so that the offsets of everything behind it stay the same.
        rest[line].fill(b' ');
    }
    match (damage, String::from_utf8(rest)) {
        (Damage::Lines(_), Ok(rest)) => Damage::Lines(rest),
        (Damage::None, _) => Damage::None,
        _ => Damage::Structure,
    }
}

/// The offset of an error. One at the end of the text is moved to the last line that is not blank.
fn start_of(error: &Error, text: &str) -> usize {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let at = if text[..floor(text, at)].ends_with('\n') && at == text.len() { text.trim_end().len() } else { at };
    floor(text, at)
}

/// The character boundary at or before an octet.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The line an octet is in, without its end.
fn line_at(text: &str, at: usize) -> std::ops::Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    start..end
}

/// The tables of a text, read once from top to bottom.
struct Tables<'t> {
    text: &'t str,
    read_to: usize,
    /// The last table so far; `None` if its name is not safe to show.
    table: Option<String>,
}

impl Tables<'_> {
    /// The table of the line that begins at offset `line`.
    fn at(&mut self, line: usize) -> Option<&str> {
        for above in self.text[self.read_to..line].lines().filter(|line| is_header(line)) {
            self.table = header(above);
        }
        self.read_to = line;
        self.table.as_deref()
    }
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

fn header(line: &str) -> Option<String> {
    path(line.trim().trim_start_matches('[').split(']').next()?)
}

/// The key that a line sets, if it and its table are known keys; anything else may be a password.
fn known_key(line: &str, table: Option<&str>) -> Option<String> {
    if is_header(line) {
        return header(line);
    }
    let table = table?;
    match line.split_once('=').and_then(|(key, _)| path(key)) {
        Some(key) if table.is_empty() => Some(key),
        Some(key) => Some(format!("{table}.{key}")),
        None => Some(table.to_owned()).filter(|table| !table.is_empty()),
    }
}

fn path(dotted: &str) -> Option<String> {
    let words: Vec<_> = dotted.split('.').map(|word| word.trim().trim_matches(['"', '\''])).collect();
    words.iter().all(|word| is_known(word)).then(|| words.join("."))
}

/// The parser's messages contain nothing from the file; the commonest ones are put more plainly.
fn in_our_words(message: &str, line: &str) -> String {
    if message.starts_with("duplicate key") {
        "is written a second time; allowed is only once".to_owned()
    } else if message.starts_with("string values must be quoted") && line.contains('\\') {
        format!("is a text without quotation marks; {BACKSLASH_ADVICE}")
    } else if is_about_backslash(message, line) {
        format!("has a \\ between \"..\", where it begins a special character; {BACKSLASH_ADVICE}")
    } else if message.starts_with("string values must be quoted") {
        "is a text without quotation marks; allowed are texts in \"..\" or '..', numbers, true, false, lists and tables"
            .to_owned()
    } else if message.starts_with("key with no value") {
        "has no =; allowed are lines such as key = \"value\", [table] and # comment".to_owned()
    } else {
        format!("is not TOML: {message}")
    }
}

/// Whether a mistake comes from a backslash in a text in double quotes, as in `"C:\Users\ann"`.
fn is_about_backslash(message: &str, line: &str) -> bool {
    /// What the parser says of a backslash that begins no special character of TOML.
    const OF_ESCAPES: [&str; 3] = ["too few unicode value digits", "missing escaped value", "invalid value"];
    line.contains('\\') && OF_ESCAPES.iter().any(|words| message.starts_with(words)) || has_backslash_before_end(line)
}

/// Whether a text in double quotes seems to end in a backslash, as in `"C:\mail\"`. To the parser that quote is part of the
/// text, and the quotes behind it are the wrong way round, so that the last one on the line is open.
fn has_backslash_before_end(line: &str) -> bool {
    let mut open = None;
    let mut has_escaped_end = false;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match (open, c) {
            (None, '#') => return false,
            (None, '"' | '\'') => open = Some(c),
            (Some('"'), '\\') => {
                characters.next();
                has_escaped_end |= line[at..].strip_prefix("\\\"").is_some_and(is_end_of_value);
            }
            (Some(quote), c) if c == quote => open = None,
            _ => {}
        }
    }
    open == Some('"') && has_escaped_end
}

/// Whether this could be what follows a value on its line.
fn is_end_of_value(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with([',', ']', '}', '#'])
}
