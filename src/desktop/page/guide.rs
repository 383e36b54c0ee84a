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
use super::{App, Shared, link_to, percent_encode};
use crate::events::journal::EntryKind;
use crate::guide::obstacles;
use crate::guide::{self, Client, GuideValues, Reader, Seen, System, Watch};
use crate::proxy::now;
use ostler_mail::account::{Account, Settings};

/// How often the page looks whether the program has connected.
const REFRESH_SECONDS: u32 = 2;
/// How many of the newest events are shown.
const MAX_SEEN_LINES: usize = 8;

#[derive(Deserialize)]
pub(super) struct GuideQuery {
    account: Option<String>,
    /// The name or address of the other computer that the mail program runs on.
    #[serde(rename = "for")]
    computer: Option<String>,
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
        let computer = asked.computer.as_deref().map(str::trim).filter(|computer| !computer.is_empty());
        let computer = computer.map_or_else(String::new, |name| format!("&for={}", percent_encode(name)));
        let link = format!("{}{computer}&since={}", link_to(&path, &account.name), news["seq"]);
        return Redirect::to(&link).into_response();
    };
    let news = shared.engine.events.since(Some(since), Duration::ZERO).await;
    let settings = shared.engine.settings();
    let reader = find_reader(&shared, &settings, &account, asked.computer).await;
    let values = GuideValues::for_reader(&settings, &account, &shared.file, System::this(), &reader)
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
        div.guide.copy { (PreEscaped(fold(&remove_heading(&client.html_body(&values))))) }
        @if settings.serves_other_computers() { (ask_computer(&path, &account)) }
        p.noprint { a href=(link_to("/program", &account.name)) { "Another mail program" } }
    };
    let view = View::new(client.title(), NavItem::Program, body);
    if done { view.into_response() } else { view.refreshed(REFRESH_SECONDS).into_response() }
}

/// The heading that every guide has above what there is to do, if the account has something to set up in this program.
const STEPS: &str = "<h2>The steps</h2>";

/// Folds up what only some readers need, so that everybody comes to the steps at once.
fn fold(guide: &str) -> String {
    if !guide.contains(STEPS) {
        return guide.to_owned();
    }
    let is_for_some = |heading: &str| ["What ", "If ", "How to go back"].iter().any(|words| heading.starts_with(words));
    let mut sections = guide.split("<h2>");
    let mut folded = sections.next().unwrap_or_default().to_owned();
    for section in sections {
        match section.split_once("</h2>") {
            Some((heading, text)) if is_for_some(heading) => {
                folded += &format!("<details><summary><h2>{heading}</h2></summary>{text}</details>");
            }
            _ => folded.extend(["<h2>", section]),
        }
    }
    folded
}

/// Where the program runs: on the computer that was asked for, with the password that it needs, or on whichever the doors are for.
async fn find_reader(shared: &Shared, settings: &Arc<Settings>, account: &Account, computer: Option<String>) -> Reader {
    let Some(computer) = computer.filter(|_| settings.serves_other_computers()) else { return Reader::usual(settings) };
    let looked_at = Arc::clone(settings);
    // A name may have to be looked up.
    let found = tokio::task::spawn_blocking(move || Reader::on(&looked_at, &computer)).await;
    let password =
        if settings.wants_password() { shared.engine.vault.local_password(account).await.ok() } else { None };
    found.unwrap_or_default().showing(password)
}

/// The question for another computer, whose guide names other doors.
fn ask_computer(path: &str, account: &Account) -> Markup {
    html! {
        section.panel.noprint aria-labelledby="computer-title" {
            h2 #computer-title { "Is the program on another computer?" }
            form method="get" action=(path) {
                input type="hidden" name="account" value=(account.name);
                label for="computer" { "Name or address of that computer, such as 192.168.1.77" }
                input #computer type="text" name="for" maxlength="253" required;
                button type="submit" { "Show the guide for it" }
            }
        }
    }
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
            let kind = EntryKind::of(entry);
            came |= kind == EntryKind::SignedIn && fetches;
            fetched |= kind == EntryKind::Fetched;
            sent |= kind == EntryKind::Sent;
        }
    }
    let status = shared.engine.events.document(|name| shared.engine.account_now(name, now()));
    let skip = seen.len().saturating_sub(MAX_SEEN_LINES);
    let markup = html! {
        @for line in obstacles(&status, values, "the overview has a button that ends this") {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_stay_open_and_what_some_need_is_folded_up() {
        let folded = fold("<p>a</p><h2>What you will type</h2><p>b</p><h2>The steps</h2><ol></ol><h2>If not</h2>c");
        let wanted = "<p>a</p><details><summary><h2>What you will type</h2></summary><p>b</p></details>\
                      <h2>The steps</h2><ol></ol><details><summary><h2>If not</h2></summary>c</details>";
        assert_eq!(folded, wanted);
        // A guide without steps consists of what would be folded.
        let bare = "<h2>If you want to read by IMAP</h2><ol></ol>";
        assert_eq!(fold(bare), bare);
    }
}
