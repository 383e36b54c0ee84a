//! "Which mail program do you use?"; its guide with the user's own values; and whether the program has connected since, as
//! the journal says.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::Value;

use super::account::hidden_fields;
use super::layout::{NavItem, Tone, View, badge, remove_heading};
use super::words::on_page;
use super::{App, Shared, link_to};
use crate::guide::obstacles;
use crate::guide::{self, Client, GuideValues, Seen, System, Watch};
use crate::proxy::now;
use ostler_mail::account::Account;

/// How often the page looks whether the program has connected.
const REFRESH_SECONDS: u32 = 2;
/// How many of the newest events are shown.
const MAX_SEEN_LINES: usize = 8;

#[derive(Deserialize)]
pub(super) struct GuideQuery {
    account: Option<String>,
    /// The journal's last number when the page was opened.
    since: Option<u64>,
}

/// The account of this name or, without a name, the only account.
pub(super) fn find_account(shared: &Shared, name: Option<&str>) -> Option<Arc<Account>> {
    let settings = shared.engine.settings();
    match (name, settings.accounts.as_slice()) {
        (Some(name), all) => all.iter().find(|account| account.name == name).cloned(),
        (None, [only]) => Some(Arc::clone(only)),
        (None, _) => None,
    }
}

/// Asks for the account, if the name is unknown or missing.
pub(super) fn ask_which(shared: &Shared, path: &str) -> Response {
    let settings = shared.engine.settings();
    let body = html! {
        @if settings.accounts.is_empty() {
            p { "There is no account yet." }
            p { a.button href="/add" { "Add an account" } }
        } @else {
            ul.tiles { @for account in &settings.accounts { li { a href=(link_to(path, &account.name)) { (account.name) } } } }
        }
    };
    View::new("For which account?", NavItem::Program, body).into_response()
}

pub(super) async fn choose(shared: App, Query(asked): Query<GuideQuery>) -> Response {
    let Some(account) = find_account(&shared, asked.account.as_deref()) else { return ask_which(&shared, "/program") };
    let body = html! {
        p { "The guide shows step by step what to type for the account " b { (account.name) } "." }
        ul.tiles {
            @for client in guide::clients() {
                li { a href=(link_to(&format!("/guide/{}", client.name), &account.name)) { (client.title()) } }
            }
        }
    };
    View::new("Which mail program do you use?", NavItem::Program, body).into_response()
}

pub(super) async fn show(shared: App, Path(client): Path<String>, Query(asked): Query<GuideQuery>) -> Response {
    let Some(client) = guide::clients().iter().find(|known| known.name == client) else {
        let body = html! { p { "There is no guide with this name. " a href="/program" { "All mail programs" } } };
        return (StatusCode::NOT_FOUND, View::new("No such guide", NavItem::Program, body)).into_response();
    };
    let path = format!("/guide/{}", client.name);
    let Some(account) = find_account(&shared, asked.account.as_deref()) else { return ask_which(&shared, &path) };
    let Some(since) = asked.since else {
        let news = shared.engine.events.since(None, Duration::ZERO).await;
        // The number stays in the address, so that a reload still shows what has happened since the first view.
        return Redirect::to(&format!("{}&since={}", link_to(&path, &account.name), news["seq"])).into_response();
    };
    let news = shared.engine.events.since(Some(since), Duration::ZERO).await;
    let settings = shared.engine.settings();
    let values = GuideValues::new(&settings, &account, &shared.file, System::this())
        .repeating_option(crate::os::console::config_option())
        .on_the_page();
    let (watching, done) = render_watch(&shared, client, &account, &values, &news);
    let body = html! {
        section.panel aria-labelledby="waiting-title" {
            h2 #waiting-title { "Is it connected?" }
            div #waiting data-live aria-live="polite" { (watching) }
            form.noprint method="post" action="/account/test" {
                (hidden_fields(&shared, &account))
                button.second type="submit" { "Test the account" }
            }
        }
        div.guide.copy { (PreEscaped(remove_heading(&client.html_body(&values)))) }
        p.noprint { a href=(link_to("/program", &account.name)) { "Another mail program" } }
    };
    let view = View::new(client.title(), NavItem::Program, body);
    if done { view.into_response() } else { view.refreshed(REFRESH_SECONDS).into_response() }
}

/// What the program has done so far, and whether it has done everything.
fn render_watch(
    shared: &Shared,
    client: &Client,
    account: &Account,
    values: &GuideValues,
    news: &Value,
) -> (Markup, bool) {
    let mut watch = Watch::new(account, values);
    let (mut seen, mut fetched, mut came, mut sent) = (Vec::new(), false, false, false);
    for entry in news["entries"].as_array().into_iter().flatten() {
        if let Some(what) = watch.see(entry) {
            seen.push(what);
        }
        if entry["account"] == account.name.as_str() {
            let fetches = entry["protocol"] == "pop3";
            came |= entry["kind"] == "signed-in" && fetches;
            fetched |= entry["kind"] == "fetched";
            sent |= entry["kind"] == "sent";
        }
    }
    let status = shared.engine.events.document(|name| shared.engine.account_now(name, now()));
    let skip = seen.len().saturating_sub(MAX_SEEN_LINES);
    let markup = html! {
        @for line in obstacles(&status, &shared.engine.settings(), account, "the overview has a button that ends this") {
            div.notice.bad { p { (line) "." } }
        }
        @if values.can_fetch() {
            p {
                @if fetched { (badge(Tone::Good, "fetched")) " " (client.title()) " has fetched its mail." }
                @else if came { (badge(Tone::Good, "connected")) " " (client.title()) " is connected and signed in." }
                @else { (badge(Tone::Quiet, "waiting")) " Waiting for your mail program: fetch mail with it." }
            }
        }
        @if values.can_send() {
            p {
                @if sent { (badge(Tone::Good, "sent")) " " (client.title()) " has sent a message." }
                @else { (badge(Tone::Quiet, "waiting")) " Waiting for a message: send one to yourself." }
            }
        }
        @if watch.is_done() {
            div.notice.good { p { (client.title()) " works with ostler. There is nothing more to do." } }
        }
        @if !seen.is_empty() {
            ul.steps {
                @for what in seen.into_iter().skip(skip) {
                    @match what {
                        Seen::Good(text) => { li.ok { span.sign { "\u{2713}" } div { p { (text) } } } }
                        Seen::Bad(text) => { li.no { span.sign { "!" } div { p { (on_page(&text)) } } } }
                    }
                }
            }
        }
    };
    (markup, watch.is_done())
}
