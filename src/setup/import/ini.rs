//! The form that many programs' settings have: `[section]`, and `key = value` below it. Nothing here knows any program.

/// How many sections are looked at; more is no settings file.
const MAX_SECTIONS: usize = 2_000;

/// What a line is that begins with a blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indented {
    /// A line as any other.
    IsALine,
    /// More of the value before it, as in Python's files.
    IsMoreOfIt,
}

/// One section; the first has no name and holds what stands before any.
#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    /// Counted from 1; 0 for the nameless one.
    pub(super) line: usize,
    pub(super) entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl<'a> Section<'a> {
    /// The last value of a key, whatever its case; an empty one is none.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.entries.iter().rev().find(|entry| entry.key.eq_ignore_ascii_case(key));
        found.map(|entry| entry.value).filter(|value| !value.is_empty())
    }

    /// Whether a key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.eq_ignore_ascii_case(key))
    }

    /// A word that means yes.
    pub(super) fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes)))
    }

    /// `[name] (line 7)`.
    pub(super) fn place(&self) -> String {
        match self.line {
            0 => "at the beginning".into(),
            line => format!("[{}] (line {line})", super::shown(self.name)),
        }
    }
}

/// The sections in order. Lines that begin with `;` or `#` are comments; whatever else is none of these two forms is passed
/// over.
pub(super) fn sections(text: &str, indented: Indented) -> Vec<Section<'_>> {
    let mut sections = vec![Section::default()];
    for (index, line) in text.lines().enumerate() {
        if indented == Indented::IsMoreOfIt && line.starts_with([' ', '\t']) {
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
            if sections.len() > MAX_SECTIONS {
                break;
            }
            sections.push(Section { name: name.trim(), line: index + 1, entries: Vec::new() });
        } else if let (Some((key, value)), Some(section)) = (line.split_once('='), sections.last_mut()) {
            section.entries.push(Entry { key: key.trim(), value: value.trim() });
        }
    }
    sections
}
