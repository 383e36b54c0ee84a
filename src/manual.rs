//! The manual: its chapters, in the order in which they are read, as Markdown and as HTML. Some chapters are written by
//! hand and lie in `docs/manual/`; the others are made here from what the program itself goes by: the guides, what is
//! known of providers, the keys of the settings file, the explanations of failures. Copies of the made chapters lie in
//! `docs/manual/` too, for people who read the repository; `packaging/pages` writes them, and a test finds a stale one.
//!
//! The settings page shows the manual, and packages contain it as a folder of HTML files.

mod guides;
mod messages;
mod providers;
mod render;
mod settings;

use std::borrow::Cow;

use crate::guide::{self, Client, Topic};

pub use crate::os::markup::escaped;
pub use render::Place;

/// Where the copies of the made chapters lie, seen from the top of the repository.
pub const FOLDER: &str = "docs/manual";

/// The first line of every made chapter below its heading, for those who would change it by hand.
const MADE: &str = "<!-- Made by packaging/pages/build; changes here are lost. -->";

/// The name of the chapter that has the list of all the others.
const CONTENTS: &str = "README";

/// The beginning of the names of chapters that are the guide for one mail program.
const GUIDE_PREFIX: &str = "guide-";

/// One chapter.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    name: &'static str,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// Written by hand, or from the definition of the command line, which is on a floor above this one.
    Text(&'static str),
    /// Made when it is read.
    Made(fn() -> String),
    /// Made from the guide for a mail program.
    Guide(&'static Client),
    /// Made from a guide to something else.
    Topic(&'static Topic),
}

macro_rules! text {
    ($name:literal) => {
        Chapter { name: $name, source: Source::Text(include_str!(concat!("../docs/manual/", $name, ".md"))) }
    };
}

const BEFORE_THE_GUIDES: [Chapter; 4] = [
    text!("README"),
    text!("getting-started"),
    text!("install"),
    Chapter { name: "mail-programs", source: Source::Made(guides::contents) },
];

const AFTER_THE_GUIDES: [Chapter; 18] = [
    Chapter { name: "providers", source: Source::Made(providers::chapter) },
    text!("signing-in"),
    text!("page-and-icon"),
    text!("readable"),
    text!("several-companies"),
    text!("importing"),
    text!("pop-before-smtp"),
    text!("without-pop3"),
    text!("other-computers"),
    text!("service"),
    text!("troubleshooting"),
    Chapter { name: "messages", source: Source::Made(messages::chapter) },
    Chapter { name: "settings", source: Source::Made(settings::chapter) },
    text!("commands"),
    text!("files"),
    text!("security"),
    text!("how-it-works"),
    text!("limits"),
];

/// All chapters, in the order in which they are read.
pub fn chapters() -> impl Iterator<Item = Chapter> {
    let guides = guide::clients().iter().map(|client| Chapter { name: client.name, source: Source::Guide(client) });
    let topics = guide::topics().iter().map(|topic| Chapter { name: topic.name, source: Source::Topic(topic) });
    BEFORE_THE_GUIDES.into_iter().chain(guides).chain(AFTER_THE_GUIDES).chain(topics)
}

/// The chapter in this file, which is named without its ending.
pub fn chapter(file: &str) -> Option<Chapter> {
    chapters().find(|chapter| chapter.file() == file)
}

impl Chapter {
    /// The name of its file, without the ending.
    pub fn file(&self) -> String {
        match self.source {
            Source::Guide(_) => format!("{GUIDE_PREFIX}{}", self.name),
            _ => self.name.to_owned(),
        }
    }

    /// Its heading.
    pub fn title(&self) -> String {
        let markdown = self.markdown();
        markdown.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(self.name).to_owned()
    }

    /// Its text.
    pub fn markdown(&self) -> Cow<'static, str> {
        match self.source {
            Source::Text(text) => text.into(),
            Source::Made(make) => make().into(),
            Source::Guide(client) => guides::chapter(client).into(),
            Source::Topic(topic) => guides::topic(topic).into(),
        }
    }

    /// Its text as HTML, without a page around it, for people who read it at this place.
    pub fn html(&self, place: Place) -> String {
        render::html(&self.markdown(), place)
    }

    /// Whether its file in `docs/manual/` is written by `packaging/pages` from what [`markdown`](Self::markdown) makes.
    pub fn is_made(&self) -> bool {
        !matches!(self.source, Source::Text(_))
    }

    /// Whether it is the guide for one mail program. The settings page has those with the user's own values.
    pub fn is_guide(&self) -> bool {
        matches!(self.source, Source::Guide(_))
    }
}

macro_rules! pictures {
    ($($name:literal),+ $(,)?) => {
        &[$((concat!($name, ".png"), include_bytes!(concat!("../docs/pictures/", $name, ".png")))),+]
    };
}

/// The pictures in the manual; those of the page in light and dark. `docs/pictures/make` makes them.
pub static PICTURES: &[(&str, &[u8])] = pictures![
    "desktop",
    "desktop-dark",
    "first",
    "first-dark",
    "works",
    "works-dark",
    "programs",
    "programs-dark",
    "guide",
    "guide-dark",
    "overview",
    "overview-dark",
    "program",
    "letters",
    "tray",
    "notice",
];

/// The picture in this file.
pub fn picture(file: &str) -> Option<&'static [u8]> {
    PICTURES.iter().find(|(name, _)| *name == file).map(|(_, octets)| *octets)
}

#[cfg(test)]
mod tests;
