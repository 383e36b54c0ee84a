//! What all pages share: head, navigation, badges, the fields of forms; and the answers that are not pages. The HTML is
//! written with `maud`, which escapes every value.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Shared;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The items of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NavItem {
    Overview,
    Add,
    Program,
    History,
    Settings,
    Manual,
    About,
}

impl NavItem {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Overview, "/", "Overview"),
        (Self::Add, "/add", "Add an account"),
        (Self::Program, "/program", "Mail program"),
        (Self::History, "/history", "What happened"),
        (Self::Settings, "/settings", "Settings"),
        (Self::Manual, "/manual", "Manual"),
        (Self::About, "/about", "About"),
    ];
}

/// One page.
pub(super) struct View {
    /// The heading, and what the browser's tab says.
    pub(super) title: String,
    pub(super) nav: Option<NavItem>,
    /// How often the page refreshes itself, in seconds.
    pub(super) refresh: Option<u32>,
    pub(super) body: Markup,
}

impl View {
    /// A page that does not refresh itself.
    pub(super) fn new(title: impl Into<String>, nav: NavItem, body: Markup) -> Self {
        Self { title: title.into(), nav: Some(nav), refresh: None, body }
    }

    pub(super) fn refreshed(self, seconds: u32) -> Self {
        Self { refresh: Some(seconds), ..self }
    }
}

impl IntoResponse for View {
    fn into_response(self) -> Response {
        Html(self.markup().into_string()).into_response()
    }
}

impl View {
    fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " - ostler" }
                    link rel="stylesheet" href="/style.css";
                    // Empty, so that the browser does not ask for /favicon.ico.
                    link rel="icon" href="data:,";
                    script src="/script.js" defer {}
                    @if let Some(seconds) = self.refresh {
                        // The script refreshes the parts marked `data-live`. Without scripts the whole page is loaded
                        // again.
                        noscript { meta http-equiv="refresh" content=(seconds); }
                    }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        div.wide {
                            span.brand { "ostler" }
                            @if let Some(nav) = self.nav {
                                nav aria-label="Pages" {
                                    ul {
                                        @for (page, path, name) in NavItem::ALL {
                                            li { a href=(path) aria-current=[(page == nav).then_some("page")] { (name) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    main #main.wide tabindex="-1" data-every=[self.refresh] {
                        h1 #title data-live { (self.title) }
                        (self.body)
                    }
                    footer.wide { p { "ostler " (env!("CARGO_PKG_VERSION")) " on this computer. Nothing on this page comes from the internet." } }
                }
            }
        }
    }
}

/// Removes the heading of a text, which is the page's title already.
pub(super) fn remove_heading(text: &str) -> String {
    text.split_once("</h1>").map_or_else(|| text.to_owned(), |(_, rest)| rest.to_owned())
}

/// The answer to a refused request; says how to open the page.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let body = html! {
        p { (why) }
        p { "To open the settings page, click ostler's icon, or start ostler from the menu once more. In a terminal that is " code { "ostler settings" } "." }
        p.hint { "If that brings you here again, this browser keeps no cookies: allow them for 127.0.0.1." }
    };
    (status, View { title: "This page is closed".into(), nav: None, refresh: None, body }).into_response()
}

pub(super) async fn nothing_here() -> Response {
    let body = html! { p { "There is no such page. " a href="/" { "The overview" } " leads to all pages." } };
    (StatusCode::NOT_FOUND, View::new("Nothing here", NavItem::Overview, body)).into_response()
}

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

/// The hidden field that proves that a form comes from this page. Every form has one.
pub(super) fn form_token(shared: &Shared) -> Markup {
    html! { input type="hidden" name="form" value=(shared.keys.form_token()); }
}

/// A form that consists of one button.
pub(super) fn button(shared: &Shared, action: &str, text: &str) -> Markup {
    html! { form method="post" action=(action) { (form_token(shared)) button.second type="submit" { (text) } } }
}

/// A text field with its label, a hint, and what is wrong with its value.
pub(super) fn field(name: &str, label: &str, kind: &str, value: &str, hint: &str, wrong: Option<&str>) -> Markup {
    input(name, label, kind, value, hint, wrong, false)
}

/// As [`field`]; with `is_first` the keyboard is there when the page opens.
pub(super) fn input(
    name: &str,
    label: &str,
    kind: &str,
    value: &str,
    hint: &str,
    wrong: Option<&str>,
    is_first: bool,
) -> Markup {
    let described = match (hint.is_empty(), wrong) {
        (true, None) => None,
        (false, None) => Some(format!("{name}-hint")),
        (true, Some(_)) => Some(format!("{name}-error")),
        (false, Some(_)) => Some(format!("{name}-error {name}-hint")),
    };
    html! {
        div.field {
            label for=(name) { (label) }
            // Browsers ignore `off` for passwords and would fill in one that they have stored.
            input type=(kind) id=(name) name=(name) value=(value) autocomplete=(if kind == "password" { "new-password" } else { "off" })
                autocapitalize="none" spellcheck="false" autofocus[is_first] aria-describedby=[described] aria-invalid=[wrong.map(|_| "true")];
            @if let Some(why) = wrong { p.error id={(name) "-error"} { (why) } }
            @if !hint.is_empty() { p.hint id={(name) "-hint"} { (hint) } }
        }
    }
}

/// A checkbox.
pub(super) fn check(name: &str, label: &str, ticked: bool, hint: &str) -> Markup {
    html! {
        div.check {
            input type="checkbox" id=(name) name=(name) value="yes" checked[ticked];
            div {
                label for=(name) { (label) }
                @if !hint.is_empty() { p.hint { (hint) } }
            }
        }
    }
}

/// How well something is. A badge shows it by a sign and a word, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Passing,
    Quiet,
}

pub(super) fn badge(tone: Tone, text: &str) -> Markup {
    let (class, sign) = match tone {
        Tone::Good => ("good", "\u{2713}"),
        Tone::Bad => ("bad", "!"),
        Tone::Passing => ("passing", "~"),
        Tone::Quiet => ("quiet", "\u{2013}"),
    };
    html! { span class={"badge " (class)} { span.sign aria-hidden="true" { (sign) } (text) } }
}

/// A time as people say it; the markup holds the exact one.
pub(super) fn ago(rfc3339: &str) -> Markup {
    let text = OffsetDateTime::parse(rfc3339, &Rfc3339)
        .map_or_else(|_| rfc3339.to_owned(), |then| spoken((OffsetDateTime::now_utc() - then).whole_seconds(), then));
    html! { time datetime=(rfc3339) title=(rfc3339) { (text) } }
}

fn spoken(seconds: i64, then: OffsetDateTime) -> String {
    let many = |n: i64, one: &str| if n == 1 { format!("1 {one} ago") } else { format!("{n} {one}s ago") };
    match seconds {
        ..60 => "just now".into(),
        60..3600 => many(seconds / 60, "minute"),
        3600..86_400 => many(seconds / 3600, "hour"),
        86_400..604_800 => many(seconds / 86_400, "day"),
        _ => format!("{} {} {}", then.day(), then.month(), then.year()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let then = OffsetDateTime::UNIX_EPOCH;
        let said: Vec<String> =
            [0, -5, 59, 60, 7199, 90_000, 10_000_000].into_iter().map(|seconds| spoken(seconds, then)).collect();
        assert_eq!(
            said,
            ["just now", "just now", "just now", "1 minute ago", "1 hour ago", "1 day ago", "1 January 1970"]
        );
        assert!(ago("<b>").into_string().contains("&lt;b&gt;"));
    }
}
