//! What a key of the settings file is, and the search for the key that a misspelt one was meant to be. The keys themselves are
//! in `keys/settings.rs`.

pub(super) mod settings;

/// The keys that one kind of table may have.
#[derive(Debug)]
pub(super) struct Keys(pub(super) &'static [&'static str]);

/// One key of the settings file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written in the file.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What applies without it.
    pub unset: Unset,
    /// The first version that knows it.
    pub since: &'static str,
    /// A value as it stands behind the `=`.
    pub example: &'static str,
    /// What a person calls it.
    pub label: &'static str,
    /// A sentence or two for a person who has to choose a value; empty if the label says enough.
    pub help: &'static str,
}

/// What the value of a key may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text on one line.
    Text,
    /// A mail address.
    Address,
    /// A list of mail addresses, or `*@example.net`.
    Addresses,
    /// A list of networks.
    Networks,
    /// A host name or an IP address.
    Host,
    /// A port of a server.
    Port,
    /// How many connections there may be.
    Connections,
    /// Doors: a port, `"ADDRESS:PORT"`, a list of these, or false.
    Door,
    /// The settings page: a port, `"ADDRESS:PORT"` on loopback, or false.
    Page,
    /// True or false.
    YesNo,
    /// One of these words.
    Choice(&'static [Choice]),
    /// A list of some of these words.
    Words(&'static [Choice]),
    /// A duration from nothing to a day.
    Duration,
    /// A duration from 10 ms to a day.
    TimeLimit,
    /// Where the password at a provider is.
    Password,
    /// Where the password for mail programs is.
    LocalPassword,
    /// A line for the shell, or a list of a program and its arguments.
    Command,
    /// The path of a file.
    File,
    /// The name of a variable.
    Variable,
    /// An address that begins with `https://`.
    Https,
    /// A list of texts.
    Texts,
    /// The path of a file with certificates (PEM).
    Certificates,
    /// The SHA-256 fingerprint of a certificate.
    Fingerprint,
    /// A table.
    Table(&'static Table),
    /// One table or several.
    Tables(&'static Table),
    /// Tables with names that the user chooses.
    Named(&'static Table),
}

impl Kind {
    /// What is allowed, in words that follow "is" or "a value is".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Address => "a mail address",
            Self::Addresses => "a list of mail addresses, with \"*@example.net\" for a whole domain",
            Self::Networks => "a list of networks and IP addresses",
            Self::Host => "a host name or an IP address",
            Self::Port => "a port from 1 to 65535",
            Self::Connections => "a number from 1 to 100",
            Self::Door => "a port, \"ADDRESS:PORT\", a list of these, or false for none",
            Self::Page => "a port, \"ADDRESS:PORT\" on this computer, or false for none",
            Self::YesNo => "true or false",
            Self::Choice(_) => "one of several words",
            Self::Words(_) => "a list of words",
            Self::Duration => "a duration from \"0s\" to \"24h\"",
            Self::TimeLimit => "a duration from \"10ms\" to \"24h\"",
            Self::Password => "\"keyring\", \"client\", or a table with command, file or env",
            Self::LocalPassword => "\"keyring\", or a table with command, file or env",
            Self::Command => "a line for the shell, or a list of a program and its arguments",
            Self::File => "the path of a file",
            Self::Variable => "the name of a variable",
            Self::Https => "an address that begins with https://",
            Self::Texts => "a list of texts",
            Self::Certificates => "the path of a file with certificates (PEM)",
            Self::Fingerprint => "\"sha256:\" and 64 hexadecimal digits",
            Self::Table(_) => "a table",
            Self::Tables(_) => "a table, or several",
            Self::Named(_) => "a table with a table for each name",
        }
    }
}

/// A word that a key may have as its value.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// As it is written in the file.
    pub word: &'static str,
    /// What a person calls it.
    pub label: &'static str,
}

/// What applies where the file does not have a key.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// The key has to be there.
    Required,
    /// As if this value stood behind the `=`.
    Value(&'static str),
    /// Something that depends on the rest of the file, in words.
    Words(&'static str),
}

/// One kind of table of the settings file.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The line that begins it, such as `[local]`; empty for the file as a whole and for a table that has no line of its own.
    pub header: &'static str,
    /// What a person calls it.
    pub title: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Its keys, in the order in which they are shown.
    pub keys: &'static [Key],
}

impl Table {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Every table of the settings file, in the order in which people write them.
pub static TABLES: [&Table; 10] = [
    &settings::LOCAL,
    &settings::ACCOUNT,
    &settings::DOORS,
    &settings::POP3,
    &settings::SMTP,
    &settings::LOGIN,
    &settings::IMAP,
    &settings::SECRET,
    &settings::OAUTH2,
    &settings::TIMEOUTS,
];

const fn names<const N: usize>(table: &Table) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = table.keys[at].name;
        at += 1;
    }
    names
}

/// The names of a table's keys.
macro_rules! keys_of {
    ($table:ident) => {{
        const NAMES: [&str; settings::$table.keys.len()] = names(&settings::$table);
        Keys(&NAMES)
    }};
}

pub(super) const ROOT: Keys = keys_of!(ROOT);
pub(super) const LOCAL: Keys = keys_of!(LOCAL);
pub(super) const ACCOUNT: Keys = keys_of!(ACCOUNT);
pub(super) const DOORS: Keys = keys_of!(DOORS);
pub(super) const POP3: Keys = keys_of!(POP3);
pub(super) const SMTP: Keys = keys_of!(SMTP);
pub(super) const LOGIN: Keys = keys_of!(LOGIN);
pub(super) const IMAP: Keys = keys_of!(IMAP);
/// In a table that says where a password is.
pub(super) const SECRET: Keys = keys_of!(SECRET);
/// In `[oauth2.NAME]`.
pub(super) const OAUTH2: Keys = keys_of!(OAUTH2);
pub(super) const TIMEOUTS: Keys = keys_of!(TIMEOUTS);

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
    "fetching",
    "closed",
    "note",
    "source",
    "checked",
    "confidence",
]);
/// In a server of a preset.
pub(super) const ENDPOINT: Keys = Keys(&["host", "port", "security", "login", "auth"]);

/// All tables of the settings file.
const ALL: &[&Keys] = &[&ROOT, &LOCAL, &ACCOUNT, &DOORS, &POP3, &SMTP, &LOGIN, &IMAP, &SECRET, &OAUTH2, &TIMEOUTS];

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
        assert_eq!(POP3.nearest("securty"), Some(("security", 1)));
        assert_eq!(POP3.nearest("Passwort"), Some(("password", 1)));
        assert_eq!(POP3.nearest("hots"), Some(("host", 2)));
        assert_eq!(POP3.nearest("colour"), None);
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
        let example: toml::Table = example.parse().unwrap();
        for table in [settings::LOCAL, settings::TIMEOUTS] {
            let values = example[table.header.trim_matches(['[', ']'])].as_table().unwrap();
            for key in table.keys {
                let Unset::Value(default) = key.unset else { panic!("{}", key.name) };
                let default: toml::Table = format!("x = {default}").parse().unwrap();
                assert_eq!(values[key.name], default["x"], "{}", key.name);
            }
        }
    }

    /// The smallest file in which a key of the table at `place` has this value.
    fn file_with(table: &Table, key: &Key, value: &str) -> String {
        let name = key.name;
        let pair = match name {
            // These need a companion.
            "offer_auth" => format!("doors.smtp = 2026\n{name} = {value}"),
            "fresh" | "login" if table.header == "[account.smtp]" => {
                format!("auth = 'pop-before-smtp'\n{name} = {value}")
            }
            "via" if value.contains("imap") => format!("{name} = {value}\n[account.imap]\nhost = 'i'"),
            "folder" | "mark_read" => format!("{name} = {value}\n[account.imap]\nhost = 'i'"),
            _ => format!("{name} = {value}"),
        };
        let base = |without: &str| -> String {
            let lines = [("address", "address = 'ann@example.net'\n"), ("pop3", "pop3 = { host = 'p' }\n")];
            let lines = lines.into_iter().filter(|(key, _)| *key != without).map(|(_, line)| line);
            format!("[[account]]\n{}", lines.collect::<String>())
        };
        let host = if name == "host" || pair.contains("[account.imap]") { "" } else { "host = 'h'\n" };
        match table.header {
            "" => format!("{}password = {{ {pair} }}\n", base("")),
            "[[account]]" => format!("{}{pair}\n", base(name)),
            "[account.pop3]" => format!("{}[account.pop3]\n{host}{pair}\n", base("pop3")),
            "[account.smtp.login]" => {
                let smtp = "[account.smtp]\nhost = 's'\nauth = 'pop-before-smtp'\n[account.smtp.login]\n";
                format!("{}{smtp}{host}{pair}\n", base(""))
            }
            "[local]" if name == "allow" => format!("[local]\naccess = 'password'\n{pair}\n"),
            // A door that other computers can reach needs both.
            "[local]" if value.contains("192.168") => {
                format!("[local]\naccess = 'password'\nallow = ['192.168.56.0/24']\n{pair}\n")
            }
            "[oauth2.NAME]" => format!("[oauth2.google]\n{pair}\n"),
            header if header.starts_with("[account.s") || header.starts_with("[account.i") => {
                format!("{}{header}\n{host}{pair}\n", base(""))
            }
            header if header.starts_with("[account") => format!("{}{header}\n{pair}\n", base("")),
            header => format!("{header}\n{pair}\n"),
        }
    }

    fn settings(text: &str) -> ostler_mail::account::Settings {
        let parsed = crate::config::parse(text, std::path::Path::new("/home/ann/ostler.toml"));
        parsed.unwrap_or_else(|mistakes| panic!("{mistakes} in\n{text}")).settings
    }

    #[test]
    fn every_example_and_every_word_is_taken() {
        for (table, key) in TABLES.iter().flat_map(|table| table.keys.iter().map(move |key| (table, key))) {
            settings(&file_with(table, key, key.example));
            if let Kind::Choice(choices) = key.kind {
                choices.iter().for_each(|choice| drop(settings(&file_with(table, key, &format!("'{}'", choice.word)))));
                let nonsense = file_with(table, key, "'nonsense'");
                let mistakes = crate::config::parse(&nonsense, std::path::Path::new("/x")).unwrap_err().to_string();
                let allowed = mistakes.matches('"').count() / 2;
                assert_eq!(allowed, choices.len(), "{} {}: {mistakes}", table.header, key.name);
            }
        }
    }

    #[test]
    fn a_default_means_what_its_absence_means() {
        for (table, key) in TABLES.iter().flat_map(|table| table.keys.iter().map(move |key| (table, key))) {
            let Unset::Value(default) = key.unset else { continue };
            let with = file_with(table, key, default);
            let without: Vec<&str> =
                with.lines().filter(|line| !line.starts_with(&format!("{} =", key.name))).collect();
            assert_eq!(settings(&with), settings(&without.join("\n")), "{} {}", table.header, key.name);
        }
    }

    #[test]
    fn every_table_can_be_reached_and_a_key_stands_once() {
        for table in TABLES {
            for (at, key) in table.keys.iter().enumerate() {
                assert!(!key.label.is_empty() && !key.since.is_empty(), "{} {}", table.header, key.name);
                assert!(!table.keys[..at].iter().any(|other| other.name == key.name), "{} {}", table.header, key.name);
                if let Kind::Table(inner) | Kind::Tables(inner) | Kind::Named(inner) = key.kind {
                    assert!(TABLES.iter().any(|table| table.header == inner.header), "{}", inner.header);
                }
            }
        }
    }
}
