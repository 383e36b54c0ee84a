//! Renders a chapter's Markdown as HTML. Links between chapters and the addresses of pictures become those of the place
//! where the HTML is read. HTML in a chapter is left out; chapters have it in comments only.

use std::collections::HashMap;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::{CONTENTS, GUIDE_PREFIX, picture};
use crate::os::markup::escaped;

/// Where the manual is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the settings page of the running ostler, below `/manual`.
    Page,
    /// In a folder of files.
    Files,
}

impl Place {
    /// The address of a chapter.
    pub fn address(self, file: &str) -> String {
        match (self, file.strip_prefix(GUIDE_PREFIX)) {
            (Self::Page, Some(client)) => format!("/guide/{client}"),
            (Self::Page, None) if file == CONTENTS => "/manual".into(),
            (Self::Page, None) => format!("/manual/{file}"),
            (Self::Files, _) if file == CONTENTS => "index.html".into(),
            (Self::Files, _) => format!("{file}.html"),
        }
    }

    fn picture(self, file: &str) -> String {
        match self {
            Self::Page => format!("/manual/pictures/{file}"),
            Self::Files => format!("pictures/{file}"),
        }
    }

    /// The address that a link of a chapter leads to here.
    fn link(self, to: &str) -> String {
        let (file, part) = to.split_once('#').map_or((to, None), |(file, part)| (file, Some(part)));
        match (file.strip_suffix(".md"), part) {
            (Some(chapter), Some(part)) => format!("{}#{part}", self.address(chapter)),
            (Some(chapter), None) => self.address(chapter),
            (None, _) => to.to_owned(),
        }
    }
}

pub(super) fn html(markdown: &str, place: Place) -> String {
    let events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter(|e| !is_html(e)).collect();
    let mut out = String::new();
    let events = in_boxes(with_pictures(with_anchors(events), place));
    html::push_html(&mut out, events.into_iter().map(|event| at(event, place)));
    out
}

fn is_html(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock)
    )
}

/// Gives every heading the anchor that web pages of repositories give it, so that links work here and there.
fn with_anchors(mut events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut seen = HashMap::new();
    for at in 0..events.len() {
        if !matches!(events[at], Event::Start(Tag::Heading { .. })) {
            continue;
        }
        let name = anchor(&text_until(&events[at..], |end| matches!(end, TagEnd::Heading(_))));
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
        let unique = if *count == 0 { name } else { format!("{name}-{count}") };
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(unique.into());
        }
    }
    events
}

/// A heading in lower case, its blanks as hyphens, without its punctuation.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The text from the beginning of these events to the end that is looked for.
fn text_until(events: &[Event<'_>], is_end: impl Fn(&TagEnd) -> bool) -> String {
    let until = events.iter().take_while(|event| !matches!(event, Event::End(end) if is_end(end)));
    let words = until.map(|event| match event {
        Event::Text(text) | Event::Code(text) => text.as_ref(),
        Event::SoftBreak | Event::HardBreak => " ",
        _ => "",
    });
    words.collect()
}

/// Writes pictures with their dark sisters for people who like their screens dark.
fn with_pictures(events: Vec<Event<'_>>, place: Place) -> Vec<Event<'_>> {
    let mut out = Vec::with_capacity(events.len());
    let mut rest = events.into_iter();
    while let Some(event) = rest.next() {
        let Event::Start(Tag::Image { dest_url, .. }) = &event else {
            out.push(event);
            continue;
        };
        let file = dest_url.rsplit('/').next().unwrap_or_default().to_owned();
        let about: Vec<Event<'_>> =
            rest.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Image))).collect();
        out.push(Event::Html(picture_html(&file, &text_until(&about, |_| false), place).into()));
    }
    out
}

fn picture_html(file: &str, about: &str, place: Place) -> String {
    let dark = file.replace(".png", "-dark.png");
    let source = picture(&dark).map_or_else(String::new, |_| {
        format!("<source media=\"(prefers-color-scheme: dark)\" srcset=\"{}\">", place.picture(&dark))
    });
    format!("<picture>{source}<img src=\"{}\" alt=\"{}\"></picture>", place.picture(file), in_attribute(about))
}

/// Puts every table into a box, so that one that is wider than the screen can be moved, by keyboard too. The box is called as
/// the heading above it.
fn in_boxes(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let (mut out, mut heading) = (Vec::with_capacity(events.len()), String::new());
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = text_until(&events[at..], |end| matches!(end, TagEnd::Heading(_)));
                out.push(event.clone());
            }
            Event::Start(Tag::Table(_)) => {
                let name = in_attribute(&heading);
                let open = format!("<div class=\"scroll\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\">\n");
                out.extend([Event::Html(open.into()), event.clone()]);
            }
            Event::End(TagEnd::Table) => out.extend([event.clone(), Event::Html("</div>\n".into())]),
            _ => out.push(event.clone()),
        }
    }
    out
}

/// A text inside an attribute, which a double quote would end.
fn in_attribute(text: &str) -> String {
    escaped(&text.replace('"', "'"))
}

/// What an event becomes at this place.
fn at(event: Event<'_>, place: Place) -> Event<'_> {
    match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: CowStr::from(place.link(&dest_url)), title, id })
        }
        other => other,
    }
}
