//! Every key of the settings file, table by table, and the search for the key somebody meant.

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Keys(pub(super) &'static [&'static str]);

pub(super) const ROOT: Keys = Keys(&["local", "account", "timeouts"]);
pub(super) const LOCAL: Keys = Keys(&["pop3", "smtp", "imap", "page", "access", "allow", "notices"]);
pub(super) const ACCOUNT: Keys = Keys(&[
    "name",
    "address",
    "aliases",
    "provider",
    "username",
    "password",
    "local_password",
    "default",
    "offer_auth",
    "doors",
    "pop3",
    "smtp",
    "imap",
]);
pub(super) const DOORS: Keys = Keys(&["pop3", "smtp", "imap"]);
/// Of `[account.pop3]` and `[account.imap]`.
pub(super) const SERVER: Keys = Keys(&["host", "port", "security", "auth", "username", "password", "ca", "pin"]);
pub(super) const SMTP: Keys =
    Keys(&["host", "port", "security", "auth", "username", "password", "ca", "pin", "fresh", "login"]);
pub(super) const LOGIN: Keys = Keys(&["host", "port", "security", "username", "password", "ca", "pin"]);
/// Of a password that is not a word.
pub(super) const SECRET: Keys = Keys(&["command", "file", "env"]);
pub(super) const TIMEOUTS: Keys = Keys(&["connect", "tls", "greeting", "reply", "data", "final", "idle", "login"]);

/// Of a file of presets.
pub(super) const PROVIDERS: Keys = Keys(&["schema", "provider"]);
pub(super) const PROVIDER: Keys = Keys(&[
    "name",
    "domains",
    "domain_suffixes",
    "mx",
    "legacy_hosts",
    "pop3",
    "smtp",
    "imap",
    "login",
    "auth",
    "enable",
    "app_password",
    "window",
    "pop",
    "sending",
    "closed",
    "note",
    "source",
    "checked",
    "confidence",
]);
/// Of a server of a preset.
pub(super) const ENDPOINT: Keys = Keys(&["host", "port", "security", "login", "auth"]);

/// Of the settings file.
const ALL: &[&Keys] = &[&ROOT, &LOCAL, &ACCOUNT, &DOORS, &SERVER, &SMTP, &LOGIN, &SECRET, &TIMEOUTS];

/// Keys longer than this are not looked at closely.
const MAX_GUESSED_KEY_CHARS: usize = 24;

impl Keys {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains(&key)
    }

    /// The key that was probably meant, and by how many letters it differs.
    pub(super) fn nearest(&self, key: &str) -> Option<(&'static str, usize)> {
        nearest(self.0.iter().copied(), key)
    }

    /// `host, port, security`.
    pub(super) fn list(&self) -> String {
        self.0.join(", ")
    }
}

/// The word that was probably meant, and by how many letters it differs.
pub(super) fn nearest<'w>(words: impl Iterator<Item = &'w str>, word: &str) -> Option<(&'w str, usize)> {
    if word.chars().count() > MAX_GUESSED_KEY_CHARS {
        return None;
    }
    let word = word.to_lowercase();
    words
        .map(|known| (known, distance(known, &word)))
        .filter(|(known, distance)| *distance * 2 <= known.chars().count().max(3))
        .min_by_key(|(_, distance)| *distance)
}

/// Whether the word is a key anywhere in the files, and so can be shown.
pub(super) fn is_known(word: &str) -> bool {
    ALL.iter().chain(&[&PROVIDERS, &PROVIDER, &ENDPOINT]).any(|keys| keys.contains(word))
}

/// Whether an unknown key can be shown in a message. What somebody took for a key may be a password.
pub(super) fn is_harmless(word: &str, allowed: &Keys) -> bool {
    let is_word =
        word.len() <= MAX_GUESSED_KEY_CHARS && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-');
    let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    is_known(word) || is_word || is_plain && allowed.nearest(word).is_some_and(|(_, distance)| distance <= 2)
}

/// Whether a key sounds as if its value were a password.
pub(super) fn sounds_secret(word: &str) -> bool {
    let word = word.to_lowercase();
    ["pass", "pwd", "secret", "token"].iter().any(|part| word.contains(part)) || word == "pw"
}

/// The Levenshtein distance: letters to put in, take out or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for x in a.chars() {
        let mut diagonal = row[0];
        row[0] += 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        assert_eq!(SERVER.nearest("securty"), Some(("security", 1)));
        assert_eq!(SERVER.nearest("Passwort"), Some(("password", 1)));
        assert_eq!(SERVER.nearest("hots"), Some(("host", 2)));
        assert_eq!(SERVER.nearest("colour"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn a_key_that_may_be_a_password_is_not_shown() {
        assert!(!is_harmless("hunter2-SECRET", &ACCOUNT));
        assert!(!is_harmless("correct horse", &ACCOUNT));
        assert!(is_harmless("Pop3", &ACCOUNT));
        assert!(is_harmless("tls_version", &ACCOUNT));
    }

    #[test]
    fn the_example_has_every_key() {
        let example = include_str!("../../config/ostler.example.toml");
        for key in ALL.iter().flat_map(|keys| keys.0) {
            let is_there = example.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == *key);
            assert!(is_there, "{key}");
        }
    }
}
