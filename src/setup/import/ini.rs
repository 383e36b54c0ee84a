//! Parses the common form of settings files: `[section]`, with `key = value` below it. No program is known here.

/// Sections read from one file; a settings file has fewer.
const MAX_SECTIONS: usize = 2_000;

/// What an indented line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indented {
    /// The same as any other line.
    IsOrdinary,
    /// It continues the value before it, as in Python's configparser.
    ContinuesValue,
}

/// One section; the first one has no name and contains the lines before any other.
#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    /// Counted from 1; 0 for the section without a name.
    pub(super) line: usize,
    pub(super) entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// The indented lines that continue the value.
    pub(super) continued: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// The last value of a key, in any letter case; `None` if it is empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.entries.iter().rev().find(|entry| entry.key.eq_ignore_ascii_case(key));
        found.map(|entry| entry.value).filter(|value| !value.is_empty())
    }

    /// Every value of a key, in any letter case, in the order of the file; those that are empty are left out.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let found = self.entries.iter().filter(move |entry| entry.key.eq_ignore_ascii_case(key));
        found.map(|entry| entry.value).filter(|value| !value.is_empty())
    }

    /// The words of the last value of a key, on its own line and on those that continue it.
    pub(super) fn words(&self, key: &str) -> Vec<&'a str> {
        let found = self.entries.iter().rev().find(|entry| entry.key.eq_ignore_ascii_case(key));
        let lines =
            found.into_iter().flat_map(|entry| [entry.value].into_iter().chain(entry.continued.iter().copied()));
        lines.flat_map(str::split_whitespace).collect()
    }

    /// Whether the key is there, even if it is empty.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.eq_ignore_ascii_case(key))
    }

    /// Whether the value is a word that means yes.
    pub(super) fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes)))
    }

    /// The place for a message: `[name] (line 7)`.
    pub(super) fn place(&self) -> String {
        match self.line {
            0 => "at the beginning".into(),
            line => format!("[{}] (line {line})", super::shown(self.name)),
        }
    }
}

/// Parses the sections, in order. Lines that begin with `;` or `#` are comments; lines of any other form are skipped.
pub(super) fn sections(text: &str, indented: Indented) -> Vec<Section<'_>> {
    let mut sections = vec![Section::default()];
    for (index, line) in text.lines().enumerate() {
        if indented == Indented::ContinuesValue && line.starts_with([' ', '\t']) {
            if let Some(entry) = sections.last_mut().and_then(|section| section.entries.last_mut()) {
                entry.continued.push(line.trim());
            }
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
            section.entries.push(Entry { key: key.trim(), value: value.trim(), continued: Vec::new() });
        }
    }
    sections
}
