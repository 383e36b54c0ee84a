//! The manual, chapter by chapter, with its pictures. All of it is compiled in.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, PreEscaped, html};

use super::layout::{NavItem, View, remove_heading};
use crate::manual::{self, Chapter, Place};

/// The list of all chapters.
pub(super) async fn contents() -> Response {
    render("README").unwrap_or_else(no_such_chapter)
}

pub(super) async fn show(Path(name): Path<String>) -> Response {
    render(&name).unwrap_or_else(no_such_chapter)
}

pub(super) async fn picture(Path(file): Path<String>) -> Response {
    match manual::picture(&file) {
        Some(octets) => ([(header::CONTENT_TYPE, "image/png")], octets).into_response(),
        None => no_such_chapter(),
    }
}

/// The page of a chapter; the guides have pages of their own, with the user's own values.
fn render(name: &str) -> Option<Response> {
    let chapter = manual::chapter(name).filter(|chapter| !chapter.is_guide())?;
    let body = html! {
        div.manual { (PreEscaped(remove_heading(&chapter.html(Place::Page)))) }
        (render_neighbours(name))
    };
    Some(View::new(chapter.title(), NavItem::Manual, body).into_response())
}

/// Where to read on.
fn render_neighbours(name: &str) -> Markup {
    let all: Vec<Chapter> = manual::chapters().filter(|chapter| !chapter.is_guide()).collect();
    let at = all.iter().position(|chapter| chapter.file() == name).unwrap_or_default();
    let link = |chapter: &Chapter| html! { a href=(Place::Page.address(&chapter.file())) { (chapter.title()) } };
    html! {
        p.noprint {
            @if let Some(next) = all.get(at + 1) { "Read on: " (link(next)) ". " }
            @if at > 0 { a href=(Place::Page.address(&all[0].file())) { "All chapters" } }
        }
    }
}

fn no_such_chapter() -> Response {
    let body = html! { p { "There is no such chapter. " a href="/manual" { "The manual" } " lists all of them." } };
    (StatusCode::NOT_FOUND, View::new("No such chapter", NavItem::Manual, body)).into_response()
}
