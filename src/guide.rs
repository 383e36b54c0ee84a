//! The guides: for each old mail program, the steps that make it work with ostler, with the user's own values filled
//! in. The texts are in `config/guides/`, one Markdown file for each program, compiled in. This module finds and
//! renders them; `cli/guide.rs` prints them, and the settings page shows them.

mod doors;
mod render;
mod template;
mod values;
mod watch;

use crate::guide::template::{TemplateError, expand};
use ostler_mail::failure::repeat_option;
use ostler_mail::readable::Readable;

pub(crate) use doors::Reader;
pub(crate) use values::{GuideValues, System};
pub(crate) use watch::{Seen, Watch, obstacles};

/// A mail program that has a guide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The name for `ostler guide`.
    pub name: &'static str,
    /// Other names that it accepts.
    aliases: &'static [&'static str],
    source: &'static str,
}

macro_rules! clients {
    ($($name:literal: [$($alias:literal),*],)+) => {
        &[$(Client {
            name: $name,
            aliases: &[$($alias),*],
            source: include_str!(concat!("../config/guides/", $name, ".md")),
        }),+]
    };
}

/// A guide to something else than a mail program: the same for everyone, and without values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    /// The name for `ostler guide`.
    pub name: &'static str,
    /// Its Markdown.
    pub source: &'static str,
}

macro_rules! topics {
    ($($name:literal),+ $(,)?) => {
        &[$(Topic { name: $name, source: include_str!(concat!("../config/guides/", $name, ".md")) }),+]
    };
}

static TOPICS: &[Topic] = topics!["oauth2-microsoft", "oauth2-google", "oauth2-yahoo"];

macro_rules! parts {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../config/guides/parts/", $name, ".md")))),+]
    };
}

static CLIENTS: &[Client] = clients! {
    "outlook-express": ["oe", "outlook-express-4", "outlook-express-5", "outlook-express-6", "oe4", "oe5", "oe6", "msimn"],
    "windows-mail": ["vista", "windows-mail-vista", "winmail"],
    "outlook-2007": ["outlook", "outlook-12"],
    "outlook-2002-2003": ["outlook-2002", "outlook-2003", "outlook-xp", "outlook-10", "outlook-11"],
    "netscape-4": ["netscape-communicator", "communicator", "netscape-messenger", "netscape-4.7", "netscape-4.8"],
    "netscape-6": ["netscape-6.2"],
    "netscape-7": ["netscape", "netscape-7.2", "mozilla"],
    "eudora-windows": ["eudora", "eudora-win", "eudora-3", "eudora-4", "eudora-5", "eudora-6", "eudora-7", "qualcomm-eudora"],
    "eudora-mac": ["eudora-macintosh", "eudora-osx", "mac-eudora"],
    "mac-os-x-mail": ["apple-mail", "mail.app", "mac-mail", "os-x-mail", "osx-mail", "macos-mail"],
    "entourage": ["microsoft-entourage", "entourage-2001", "entourage-2004", "entourage-2008", "entourage-x"],
    "pegasus": ["pegasus-mail", "pmail"],
    "the-bat": ["bat", "thebat!"],
    "mulberry": ["mulberry-mail", "mulberry-3", "mulberry-4"],
    "sylpheed": [],
    "claws": ["claws-mail", "sylpheed-claws"],
    "other": ["another", "anything", "generic"],
};

/// Programs that read what follows an `@` in the user name as the name of the server.
const PROGRAMS_WITHOUT_AT: [&str; 2] = ["netscape-4", "eudora-mac"];

/// Programs that can prove that they know the password without sending it (APOP, CRAM-MD5).
const PROGRAMS_WITH_CHALLENGES: [&str; 9] =
    ["eudora-windows", "eudora-mac", "pegasus", "the-bat", "sylpheed", "claws", "mac-os-x-mail", "netscape-7", "other"];

/// Programs that need mail rewritten, and what `readable` is for them.
const READERS: [(&str, &str); 7] = [
    ("outlook-express", "outlook-express"),
    ("windows-mail", "outlook-express"),
    ("netscape-4", "netscape-4"),
    ("eudora-windows", "eudora-windows"),
    ("eudora-mac", "eudora-mac"),
    ("pegasus", "pegasus"),
    ("the-bat", "the-bat-1"),
];

/// Programs that can send on port 25 only.
const PROGRAMS_ON_PORT_25: [&str; 1] = ["netscape-4"];

static PARTS: &[(&str, &str)] = parts![
    "values",
    "door-off",
    "password",
    "wait",
    "undo",
    "more",
    "port-25",
    "other-computer",
    "low-ports",
    "imap",
    "readable"
];

/// Why a name does not lead to a guide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSuchGuide {
    /// No guide has this name.
    #[error("there is no guide for \"{0}\"")]
    Unknown(String),
    /// It is the beginning of several names.
    #[error("\"{given}\" may be {}", names.join(" or "))]
    Ambiguous { given: String, names: Vec<&'static str> },
}

/// All programs, in the order of the list.
pub(crate) fn clients() -> &'static [Client] {
    CLIENTS
}

/// All guides to other things, in the order of the list.
pub(crate) fn topics() -> &'static [Topic] {
    TOPICS
}

impl Topic {
    /// The one of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| normalize(topic.name) == normalize(name))
    }

    /// What it is about, from its heading.
    pub(crate) fn title(&self) -> &'static str {
        self.source.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(self.name)
    }

    /// The guide as plain text, wrapped at `width` columns.
    pub(crate) fn text(&self, width: usize) -> String {
        render::text(self.source, &|_| None, width)
    }

    /// The guide as an HTML page to print.
    pub(crate) fn html_page(&self) -> String {
        render::html_page(self.title(), self.source, &|_| None)
    }

    /// The guide as Markdown without the sources of its steps, for the manual.
    pub(crate) fn filled(&self) -> String {
        render::markdown(self.source, &|_| None)
    }
}

/// Finds a program by its name, an alias, or the beginning of one if no other program has the same. Blanks, dashes and
/// letter case do not matter.
pub(crate) fn find(given: &str) -> Result<&'static Client, NoSuchGuide> {
    let wanted = normalize(given);
    let shown = || given.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    let exact = CLIENTS.iter().find(|c| c.names().any(|name| normalize(name) == wanted));
    if let Some(client) = exact {
        return Ok(client);
    }
    let mut begins: Vec<_> =
        CLIENTS.iter().filter(|c| c.names().any(|name| normalize(name).starts_with(&wanted))).collect();
    match (begins.pop(), begins.as_slice()) {
        (Some(only), []) if !wanted.is_empty() => Ok(only),
        (Some(last), [_, ..]) if !wanted.is_empty() => {
            let names = begins.iter().map(|c| c.name).chain([last.name]).collect();
            Err(NoSuchGuide::Ambiguous { given: shown(), names })
        }
        _ => Err(NoSuchGuide::Unknown(shown())),
    }
}

/// The letters and digits of a name, in lower case.
fn normalize(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Client {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name, self.title()].into_iter().chain(self.aliases.iter().copied())
    }

    /// The program's full name, from the heading of its guide.
    pub(crate) fn title(&self) -> &'static str {
        self.source.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(self.name)
    }

    /// What this program can read, if mail has to be rewritten for it.
    pub(crate) fn readable(&self) -> Option<Readable> {
        READERS.iter().find(|(name, _)| *name == self.name).and_then(|(_, readable)| Readable::find(readable))
    }

    /// The guide as plain text, wrapped at `width` columns.
    pub(crate) fn text(&self, values: &GuideValues, width: usize) -> String {
        render::text(&self.markdown(values), &|name| self.value(values, name), width)
    }

    /// The guide as HTML for the settings page. Every value is escaped.
    #[cfg(any(feature = "web", test))]
    pub(crate) fn html_body(&self, values: &GuideValues) -> String {
        render::html_body(&self.markdown(values), &|name| self.value(values, name))
    }

    /// The guide as an HTML page to print. Every value is escaped.
    pub(crate) fn html_page(&self, values: &GuideValues) -> String {
        render::html_page(self.title(), &self.markdown(values), &|name| self.value(values, name))
    }

    /// The guide as Markdown with its values, for the manual. The values must not have anything of Markdown in them.
    pub(crate) fn filled(&self, values: &GuideValues) -> String {
        render::markdown(&self.markdown(values), &|name| self.value(values, name))
    }

    /// How to let other computers in, where no door does yet, as plain text.
    pub(crate) fn other_computer_text(&self, values: &GuideValues, width: usize) -> String {
        let markdown = self.expanded_from("{{> other-computer}}", values).unwrap_or_default();
        render::text(&markdown, &|name| self.value(values, name), width)
    }

    fn value(&self, values: &GuideValues, name: &str) -> Option<String> {
        match name {
            "client" => Some(self.name.to_owned()),
            "smtp_port" if PROGRAMS_ON_PORT_25.contains(&self.name) => Some("25".to_owned()),
            "readable" => self.readable().map(|readable| readable.name.to_owned()),
            "program" => self.readable().map(|readable| readable.program().to_owned()),
            "user" if PROGRAMS_WITHOUT_AT.contains(&self.name) => values.get("user_no_at"),
            _ => values.get(name),
        }
    }

    /// The guide's Markdown. A test expands every guide, so the text about damage should never be seen.
    fn markdown(&self, values: &GuideValues) -> String {
        self.expanded(values)
            .map(|text| if values.has_option() { repeat_option(&text, "{{option}}") } else { text })
            .unwrap_or_else(|mistake| format!("# {}\n\nThis guide is damaged: {mistake}\n", self.title()))
    }

    fn expanded(&self, values: &GuideValues) -> Result<String, TemplateError> {
        if values.can_fetch() || values.can_send() || values.can_read() {
            self.expanded_from(self.source, values)
        } else {
            // Without a door and a server, none of the steps could work.
            self.expanded_from(&format!("# {}\n\n{{{{> door-off}}}}\n", self.title()), values)
        }
    }

    fn expanded_from(&self, source: &str, values: &GuideValues) -> Result<String, TemplateError> {
        let part = |name: &str| PARTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let flag = |name: &str| match name {
            "port_25_only" => Some(PROGRAMS_ON_PORT_25.contains(&self.name)),
            // ostler can check a proof only of a password that it knows.
            "challenge" => {
                values.flag("local_password").map(|is_known| is_known && PROGRAMS_WITH_CHALLENGES.contains(&self.name))
            }
            "garbles" => Some(self.readable().is_some_and(|readable| readable.changes_letters())),
            _ => values.flag(name),
        };
        expand(source, &flag, &part)
    }
}

#[cfg(test)]
mod tests;
