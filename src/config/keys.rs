//! Every key of the settings file, table by table, and the search for the key that a misspelt one was meant to be.

/// The keys that one kind of table may have.
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
/// In `[account.pop3]` and `[account.imap]`.
pub(super) const SERVER: Keys = Keys(&["host", "port", "security", "auth", "username", "password", "ca", "pin"]);
pub(super) const SMTP: Keys =
    Keys(&["host", "port", "security", "auth", "username", "password", "ca", "pin", "fresh", "login"]);
pub(super) const LOGIN: Keys = Keys(&["host", "port", "security", "username", "password", "ca", "pin"]);
/// In a table that says where a password is.
pub(super) const SECRET: Keys = Keys(&["command", "file", "env"]);
pub(super) const TIMEOUTS: Keys = Keys(&["connect", "tls", "greeting", "reply", "data", "final", "idle", "login"]);

/// In a file of presets.
pub(super) const PROVIDERS: Keys = Keys(&["schema", "provider"]);
pub(super) const PROVIDER: Keys = Keys(&[
    "name",
    "domains",
    "domain_suffixes",
    "mx",
    "legacy_hosts",
    "hosted",
    "run_by",
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
/// In a server of a preset.
pub(super) const ENDPOINT: Keys = Keys(&["host", "port", "security", "login", "auth"]);

/// All tables of the settings file.
const ALL: &[&Keys] = &[&ROOT, &LOCAL, &ACCOUNT, &DOORS, &SERVER, &SMTP, &LOGIN, &SECRET, &TIMEOUTS];

/// Longer words are neither shown nor compared with keys: they are more likely a password in the wrong place.
const MAX_GUESSED_KEY_CHARS: usize = 24;

impl Keys {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains(&key)
    }

    /// The key that was probably meant, and its edit distance.
    pub(super) fn nearest(&self, key: &str) -> Option<(&'static str, usize)> {
        nearest(self.0.iter().copied(), key)
    }

    /// The keys for a message: `host, port, security`.
    pub(super) fn list(&self) -> String {
        self.0.join(", ")
    }
}

/// The word that was probably meant, and its edit distance; `None` if more than half of it differs.
pub(super) fn nearest<'w>(words: impl Iterator<Item = &'w str>, word: &str) -> Option<(&'w str, usize)> {
    if word.chars().count() > MAX_GUESSED_KEY_CHARS {
        return None;
    }
    let word = word.to_lowercase();
    words
        .map(|known| (known, strsim::levenshtein(known, &word)))
        .filter(|(known, distance)| *distance * 2 <= known.chars().count().max(3))
        .min_by_key(|(_, distance)| *distance)
}

/// Whether the word is a key of any table, and so is safe to show.
pub(super) fn is_known(word: &str) -> bool {
    ALL.iter().chain(&[&PROVIDERS, &PROVIDER, &ENDPOINT]).any(|keys| keys.contains(word))
}

/// Whether an unknown key is safe to show. A password pasted in the wrong place may stand where a key should:
/// lower-case words are shown, and so is anything one or two letters off a key; everything else is not.
pub(super) fn is_harmless(word: &str, allowed: &Keys) -> bool {
    let is_word =
        word.len() <= MAX_GUESSED_KEY_CHARS && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-');
    let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    is_known(word) || is_word || is_plain && allowed.nearest(word).is_some_and(|(_, distance)| distance <= 2)
}

/// Whether the name of a key suggests that its value is a password.
pub(super) fn sounds_secret(word: &str) -> bool {
    let word = word.to_lowercase();
    ["pass", "pwd", "secret", "token"].iter().any(|part| word.contains(part)) || word == "pw"
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
