//! The history of each account, the journal, the log, and a report about all of them that the user can mail to a stranger.
//! None of them ever holds a password; the report holds no names and addresses either.

use std::fmt::Write;
use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{NavItem, View, ago};
use super::words::on_page;
use super::{App, Shared, link_to};
use crate::diagnose::explain::explain;
use crate::events::history::{AccountHistory, HistoryItem, Kind};
use crate::events::journal::EntryKind;
use crate::events::log;
use crate::proxy::now;
use ostler_mail::account::Settings;

/// How many of the newest journal entries are shown.
const MAX_JOURNAL_ENTRIES: usize = 200;
/// How many items of an account are shown; the older ones take a click.
const MAX_OPEN_ITEMS: usize = 10;
/// How often the page refreshes itself.
const REFRESH_SECONDS: u32 = 5;

pub(super) async fn show(shared: App) -> Response {
    let news = shared.engine.events.since(Some(0), Duration::ZERO).await;
    let entries: Vec<&Value> =
        news["entries"].as_array().into_iter().flatten().rev().take(MAX_JOURNAL_ENTRIES).collect();
    let settings = shared.engine.settings();
    let body = html! {
        p { "The newest is on top. Passwords and the content of messages are never recorded." }
        p { a.button.second href="/report" download="ostler-report.txt" { "Save a report" } }
        p.hint { "For someone who helps you: a text file about the last days, without names, addresses and passwords. "
            "Every line that ostler wrote is in " a href="/log" { "the log" } "." }
        @for (number, account) in settings.accounts.iter().enumerate() {
            @let history = shared.engine.events.account_history(&account.name).unwrap_or_default();
            section aria-labelledby={"account-" (number)} {
                h2 id={"account-" (number)} { a href=(link_to("/account", &account.name)) { (account.name) } }
                (render_account_history(&format!("past-{number}"), &history))
            }
        }
        section aria-labelledby="all" {
            h2 #all { "Everything since ostler started" }
            div #list data-live { (render_entries(&entries)) }
        }
    };
    View::new("What happened", NavItem::History, body).refreshed(REFRESH_SECONDS).into_response()
}

/// The newest lines of the log, as on standard error; with `-v` also protocol lines.
pub(super) async fn log() -> Response {
    let lines = log::newest();
    let body = html! {
        p { "The newest line is on top; passwords show as ***. Times are in UTC. "
            "If you start ostler with " code { "-v" } ", the log also holds what mail programs and providers say." }
        div #log data-live {
            @if lines.is_empty() { p { "Nothing yet." } }
            @else { ol.log { @for line in lines.iter().rev() { li { (line) } } } }
        }
        p { a href="/history" { "Back to what happened" } }
    };
    View::new("Log", NavItem::History, body).refreshed(REFRESH_SECONDS).into_response()
}

/// An account's fetches and sends, with what to do about those that failed. The script refreshes the part with this `id`.
pub(super) fn render_account_history(id: &str, history: &AccountHistory) -> Markup {
    let newest: Vec<&HistoryItem> = history.items.iter().rev().collect();
    let (first, older) = newest.split_at(newest.len().min(MAX_OPEN_ITEMS));
    html! {
        div id=(id) data-live {
            @if first.is_empty() { p { "It has neither fetched nor sent a message yet." } }
            @else { (render_items(first)) }
        }
        // Outside the refreshed part, so that it stays open.
        @if !older.is_empty() {
            details { summary { "Older (" (older.len()) ")" } (render_items(older)) }
        }
    }
}

fn render_items(items: &[&HistoryItem]) -> Markup {
    html! {
        ul.steps {
            @for item in items {
                @let good = item.kind.is_good();
                li.ok[good].no[!good] {
                    span.sign { (if good { "\u{2713}" } else { "!" }) }
                    div {
                        @if good { p { (item.text) span.hint.when { (ago(&item.time)) } } }
                        @else {
                        p { (item.text) }
                        @if let Some(advice) = find_advice(item) { p { b { "What to do: " } (advice) "." } }
                        p.hint {
                            (ago(&item.time))
                            @if let Some(first) = &item.first { ", " (item.times) " times; the first time " (ago(first)) }
                        }
                        }
                    }
                }
            }
        }
    }
}

/// What to do about a failure, unless the text says so already.
fn find_advice(item: &HistoryItem) -> Option<String> {
    // A provider's words say what happened, and seldom what to do.
    let likely =
        || (item.kind == Kind::NotSent).then(|| explain(&item.text).first().map(|found| found.cause.next.clone()))?;
    item.advice.clone().or_else(likely).map(|advice| on_page(&advice))
}

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct ListLine<'a> {
    text: String,
    time: &'a str,
    account: Option<&'a str>,
    is_bad: bool,
}

/// The lines for entries, the newest of which comes first. Doors that were opened together are a part of the line before
/// which they were: a person who looks for their mail has not asked for them.
fn list_lines<'a>(entries: &[&'a Value]) -> Vec<ListLine<'a>> {
    const DOORS_OPEN: &str = "the doors for mail programs are open";
    let mut lines = Vec::new();
    let mut doors: Option<&Value> = None;
    let line = |entry: &'a Value, text: String| ListLine {
        text,
        time: entry["time"].as_str().unwrap_or(""),
        account: entry["account"].as_str(),
        is_bad: EntryKind::of(entry).is_trouble(),
    };
    for entry in entries {
        let text = on_page(entry["text"].as_str().unwrap_or(""));
        match (EntryKind::of(entry), doors.take()) {
            (EntryKind::Door, newest) => doors = newest.or(Some(entry)),
            (EntryKind::Settings, Some(_)) => lines.push(line(entry, format!("{text}; {DOORS_OPEN}"))),
            (_, newest) => {
                lines.extend(newest.map(|door| ListLine { account: None, ..line(door, DOORS_OPEN.into()) }));
                lines.push(line(entry, text));
            }
        }
    }
    lines.extend(doors.map(|door| ListLine { account: None, ..line(door, DOORS_OPEN.into()) }));
    lines
}

fn render_entries(entries: &[&Value]) -> Markup {
    html! {
        @if entries.is_empty() { p { "Nothing yet." } }
        @else {
            ul.steps {
                @for line in list_lines(entries) {
                    li.no[line.is_bad] {
                        span.sign { (if line.is_bad { "!" } else { "\u{2013}" }) }
                        div {
                            p { (line.text) }
                            p.hint { (ago(line.time)) @if let Some(account) = line.account { ", " (account) } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn report(shared: App) -> Response {
    let news = shared.engine.events.since(Some(0), Duration::ZERO).await;
    let text = scrub(&write_report(&shared, &news), &list_private_words(&shared.engine.settings(), &shared));
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ostler-report.txt\""),
    ];
    (headers, text).into_response()
}

fn write_report(shared: &Shared, news: &Value) -> String {
    let settings = shared.engine.settings();
    let mut text = format!(
        "ostler {} on {} ({})\nA report from its settings page, without names, addresses and passwords.\n\nSettings\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    // Writing to a string does not fail.
    let _ = writeln!(text, "  who may come in: {}", settings.access.name());
    for (number, account) in settings.accounts.iter().enumerate() {
        let _ = writeln!(text, "  account {}: provider {}", number + 1, account.provider.as_deref().unwrap_or("-"));
        for server in account.servers() {
            let (security, auth) = (server.security.name(), server.auth_name());
            let _ = writeln!(text, "    {} {} {security}, {auth}", server.protocol, server.address());
        }
    }
    let status = shared.engine.events.document(|name| shared.engine.account_now(name, now()));
    text += "\nDoors\n";
    for door in status["doors"].as_array().into_iter().flatten() {
        let word = |key: &str| door[key].as_str().unwrap_or("-").to_owned();
        let _ = writeln!(text, "  {} {} {}", word("protocol"), word("address"), word("state"));
    }
    text += "\nThe last fetches and sends\n";
    for account in &settings.accounts {
        for item in shared.engine.events.account_history(&account.name).unwrap_or_default().items {
            let times = if item.times > 1 { format!(" ({} times)", item.times) } else { String::new() };
            let _ = writeln!(text, "  {} {}: {}{times}", item.time, account.name, item.text);
        }
    }
    text += "\nWhat happened since the start\n";
    for entry in news["entries"].as_array().into_iter().flatten() {
        let word = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        let _ = writeln!(
            text,
            "  {} {:11} {:4} {}: {}",
            word("time"),
            word("kind"),
            word("protocol"),
            word("account"),
            word("text")
        );
    }
    text += "\nThe log\n";
    for line in log::newest() {
        let _ = writeln!(text, "  {}", drop_cut_words(&line));
    }
    text
}

/// Removes words that the log has cut with an ellipsis: half of a name would not be recognised as private.
fn drop_cut_words(line: &str) -> String {
    let mut whole = String::with_capacity(line.len());
    let mut parts = line.split('\u{2026}').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            whole.push_str(part);
        } else {
            whole.push_str(&part[..part.rfind(' ').map_or(0, |blank| blank + 1)]);
            whole.push('\u{2026}');
        }
    }
    whole
}

/// What identifies the user, and what replaces it. Longest first, so that a short word is not replaced inside a longer one.
fn list_private_words(settings: &Settings, shared: &Shared) -> Vec<(String, String)> {
    let mut words = Vec::new();
    for (number, account) in settings.accounts.iter().enumerate() {
        let name = format!("(account {})", number + 1);
        let users = account.servers().filter_map(|server| server.credentials()).map(|c| c.username.clone());
        let aliases = account.aliases.iter().map(ToString::to_string);
        for word in [account.name.clone(), account.address.clone()].into_iter().chain(users).chain(aliases) {
            words.push((word, name.clone()));
        }
    }
    if let Some(folder) = shared.file.parent() {
        words.push((folder.display().to_string(), "(settings)".into()));
    }
    if let Some(home) = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")) {
        words.push((home.display().to_string(), "~".into()));
    }
    // Words of two letters occur inside other words, and do not identify anyone.
    words.retain(|(word, _)| word.len() > 2);
    words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    words
}

fn scrub(text: &str, words: &[(String, String)]) -> String {
    let known = words.iter().fold(text.to_owned(), |text, (word, other)| replace_ignoring_case(&text, word, other));
    remove_addresses(&known)
}

fn replace_ignoring_case(text: &str, word: &str, other: &str) -> String {
    // `lower` has the same length as `text`, octet for octet, because only ASCII letters change.
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(found) = lower[at..].find(&word) {
        out.push_str(&text[at..at + found]);
        out.push_str(other);
        at += found + word.len();
    }
    out + &text[at..]
}

/// Removes mail addresses of other people, which providers repeat in their answers.
fn remove_addresses(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let start =
            before.rfind(|c| !is_part(c)).map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let end = after.find(|c: char| !(c.is_alphanumeric() || "-.".contains(c))).unwrap_or(after.len());
        out.push_str(&before[..start]);
        out.push_str("(address)");
        rest = &after[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, text: &str, advice: Option<&str>) -> HistoryItem {
        let time = "2026-01-02T03:04:05Z".to_owned();
        HistoryItem { time, kind, text: text.into(), advice: advice.map(str::to_owned), times: 1, first: None }
    }

    #[test]
    fn a_failure_says_what_to_do_and_the_rest_is_a_click_away() {
        let mut history = AccountHistory::default();
        history
            .items
            .extend((0..MAX_OPEN_ITEMS + 2).map(|n| item(Kind::Fetched, &format!("{n} messages fetched"), None)));
        history.items.push_back(item(Kind::Failed, "mail.x does not answer", Some("wait <a bit>")));
        history.items.push_back(HistoryItem {
            times: 3,
            first: Some("2026-01-01T00:00:00Z".into()),
            ..item(Kind::NotSent, "550 5.7.1 Relaying denied", None)
        });
        let shown = render_account_history("past-0", &history).into_string();
        assert!(
            shown.contains("mail.x does not answer") && shown.contains("What to do: </b>wait &lt;a bit&gt;."),
            "{shown}"
        );
        assert_eq!(shown.matches("What to do").count(), 2, "also where the provider only says no: {shown}");
        assert!(shown.contains(", 3 times; the first time ") && shown.contains("Older (4)"), "{shown}");
        assert!(shown.find("550").unwrap() < shown.find("mail.x").unwrap(), "the newest is on top");
    }

    /// The journal had one kind for settings in force and for settings refused, so `guide --watch` and the page told both as good.
    #[test]
    fn a_change_of_the_settings_that_is_refused_is_no_good_news() {
        let mut journal = crate::events::journal::Journal::default();
        let refused = crate::events::event::Event::SettingsRejected(vec!["3:1: pop4: is no key".into()]);
        let entry = serde_json::to_value(journal.record(&refused, |_| None).unwrap()).unwrap();
        assert!(EntryKind::of(&entry).is_trouble(), "{entry}");
    }

    #[test]
    fn opened_doors_are_one_line_and_never_come_before_mail() {
        let entry =
            |kind: &str, text: &str| serde_json::json!({"kind": kind, "text": text, "time": "t", "account": null});
        let all = [
            entry("fetched", "2 messages fetched"),
            entry("door-shut", "taken"),
            entry("door", "smtp"),
            entry("door", "pop3"),
            entry("settings", "ostler has started"),
        ];
        let said = |entries: &[Value]| -> Vec<String> {
            list_lines(&entries.iter().collect::<Vec<_>>()).into_iter().map(|line| line.text).collect()
        };
        let started = "ostler has started; the doors for mail programs are open";
        assert_eq!(said(&all), ["2 messages fetched", "taken", started]);
        assert_eq!(said(&all[2..]), [started]);
        assert_eq!(said(&all[2..4]), ["the doors for mail programs are open"]);
        let reopened = [all[3].clone(), all[0].clone()];
        assert_eq!(said(&reopened), ["the doors for mail programs are open", "2 messages fetched"]);
        assert!(list_lines(&[&all[1]])[0].is_bad);
    }

    #[test]
    fn a_report_names_nobody() {
        let words =
            [("Ann@Home.net".to_owned(), "(account 1)".to_owned()), ("ann".to_owned(), "(account 1)".to_owned())];
        assert_eq!(
            scrub("ann: 550 <b\u{f6}b.x+y@example.com> unknown to ANN@home.net, a@b", &words),
            "(account 1): 550 <(address)> unknown to (account 1), (address)"
        );
        assert_eq!(scrub("nothing @ all", &[]), "nothing (address) all");
    }
}
