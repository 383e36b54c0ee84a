//! The first page: the state of every account, door and session.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{NavItem, Tone, View, ago, badge, button};
use super::{App, Shared, add, doors, link_to};
use crate::proxy::now;

/// How often the page refreshes itself.
const REFRESH_SECONDS: u32 = 5;
/// How often, while a message is under way.
const BUSY_REFRESH_SECONDS: u32 = 2;

pub(super) async fn show(shared: App) -> Response {
    let status = shared.engine.events.document(|name| shared.engine.gate_age(name, now()));
    if each(&status, "accounts").next().is_none() {
        return View::new("Add your account", NavItem::Overview, render_first_start(&shared, &status)).into_response();
    }
    let is_busy = each(&status, "sessions").any(|session| session["message"].is_u64());
    let refresh = if is_busy { BUSY_REFRESH_SECONDS } else { REFRESH_SECONDS };
    View::new(choose_title(&status), NavItem::Overview, render_body(&shared, &status))
        .refreshed(refresh)
        .into_response()
}

fn each<'a>(status: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    status[key].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn choose_title(status: &Value) -> &'static str {
    let any = |state: &str| each(status, "accounts").any(|account| account["state"] == state);
    if status["paused"] == true {
        "ostler is paused"
    } else if any("needs you") {
        "Something needs you"
    } else if each(status, "doors").all(|door| door["state"] != "open") {
        "No mail program can connect"
    } else if each(status, "doors").any(|door| door["state"] != "open") {
        "ostler is working, but a door is shut"
    } else {
        "ostler is working"
    }
}

/// The overview of an ostler without an account.
fn render_first_start(shared: &Shared, status: &Value) -> Markup {
    html! {
        p { "ostler is running. First, it needs to know your mail account." }
        (add::render_page(shared, &add::Fields::default(), &Vec::new()))
        section aria-labelledby="doors" {
            h2 #doors { "Doors for your mail programs" }
            (doors::render_table(shared, status))
        }
        (render_pause(shared, status))
    }
}

fn render_pause(shared: &Shared, status: &Value) -> Markup {
    html! {
        section aria-labelledby="pause" {
            h2 #pause { "Pause" }
            div #pausing data-live {
                @if status["paused"] == true {
                    (button(shared, "/resume", "Serve mail programs again"))
                } @else {
                    p { "While ostler is paused, mail programs can neither fetch nor send. What is under way finishes." }
                    (button(shared, "/pause", "Pause"))
                }
            }
        }
    }
}

fn render_body(shared: &Shared, status: &Value) -> Markup {
    html! {
        div #now data-live {
            @if status["paused"] == true {
                p { "Mail programs that connect now are asked to try again later." }
            }
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                div.cards {
                    @for account in each(status, "accounts") { (render_card(account)) }
                }
            }
            section aria-labelledby="doors" {
                h2 #doors { "Doors for your mail programs" }
                (doors::render_table(shared, status))
            }
            section aria-labelledby="sessions" {
                h2 #sessions { "Connected now" }
                (render_sessions(status))
            }
        }
        (render_pause(shared, status))
    }
}

fn render_card(account: &Value) -> Markup {
    let (tone, text) = match text_of(account, "state") {
        "ok" => (Tone::Good, "works"),
        "needs you" => (Tone::Bad, "needs you"),
        "trouble" => (Tone::Passing, "trouble that may pass"),
        // The times are from the saved history, of an earlier run.
        _ if account["last_fetch"].is_string() || account["last_send"].is_string() => {
            (Tone::Quiet, "not used since ostler started")
        }
        _ => (Tone::Quiet, "not used yet"),
    };
    let when = |key: &str| account[key].as_str().map_or_else(|| html! { "not yet" }, ago);
    html! {
        article.card {
            h3 { a href=(link_to("/account", text_of(account, "name"))) { (text_of(account, "name")) } }
            p { (badge(tone, text)) }
            dl {
                div { dt { "Last fetched" } dd { (when("last_fetch")) } }
                div { dt { "Last sent" } dd { (when("last_send")) } }
            }
            @if let Some(failure) = account["last_failure"].as_str() {
                @if matches!(tone, Tone::Bad | Tone::Passing) {
                    div.notice.bad[tone == Tone::Bad] {
                        p { (failure) "." }
                        p.small { (when("last_failure_at")) ". " a href={(link_to("/account", text_of(account, "name"))) "#lately"} { "Recent mail" } }
                    }
                } @else {
                    p.small { "Last problem, " (when("last_failure_at")) ": " (failure) }
                }
            }
        }
    }
}

fn render_sessions(status: &Value) -> Markup {
    html! {
        @if each(status, "sessions").next().is_none() {
            p { "No mail program is connected just now." }
        } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="sessions" {
                table {
                    thead { tr {
                        th scope="col" { "Account" } th scope="col" { "For" } th scope="col" { "Since" } th scope="col" { "Doing" }
                    } }
                    tbody {
                        @for session in each(status, "sessions") {
                            tr {
                                td { (session["account"].as_str().unwrap_or("not known yet")) }
                                td { (if session["protocol"] == "smtp" { "sending" } else { "fetching" }) }
                                td { (ago(text_of(session, "since"))) }
                                td { (render_activity(session)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a session is doing, and how far it is.
fn render_activity(session: &Value) -> Markup {
    let Some(words) = session["progress"].as_str() else { return html! { (text_of(session, "state")) } };
    let bar = session["octets"].as_u64().zip(session["of_octets"].as_u64());
    html! {
        (words)
        // Hidden from screen readers: the words say the same.
        @if let Some((octets, of)) = bar { progress aria-hidden="true" max=(of) value=(octets) {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_a_value_holds_is_text() {
        let status = json!({"accounts": [{"name": "<b>x</b>", "state": "trouble", "last_failure": "<script>"}]});
        let shown = html! { @for account in each(&status, "accounts") { (render_card(account)) } }.into_string();
        assert!(shown.contains("&lt;b&gt;x&lt;/b&gt;") && shown.contains("&lt;script&gt;"), "{shown}");
        assert!(!shown.contains("<script") && !shown.contains("<b>"), "{shown}");
    }

    #[test]
    fn a_session_says_how_far_it_is() {
        let idle = json!({"state": "signed in", "progress": null});
        assert_eq!(render_activity(&idle).into_string(), "signed in");
        let busy =
            json!({"state": "signed in", "progress": "message 2 of 3, 1 of 2 KB", "octets": 10, "of_octets": 1200});
        assert_eq!(
            render_activity(&busy).into_string(),
            "message 2 of 3, 1 of 2 KB<progress aria-hidden=\"true\" max=\"1200\" value=\"10\"></progress>"
        );
        let unknown = json!({"progress": "message 3, 1.2 MB", "octets": 1200000, "of_octets": null});
        assert_eq!(render_activity(&unknown).into_string(), "message 3, 1.2 MB");
    }

    #[test]
    fn the_title_is_the_worst_there_is() {
        let door = json!([{"state": "open"}]);
        assert_eq!(choose_title(&json!({"accounts": [{"state": "ok"}], "doors": door})), "ostler is working");
        assert_eq!(choose_title(&json!({"accounts": [{"state": "needs you"}], "doors": door})), "Something needs you");
        assert_eq!(choose_title(&json!({"accounts": [{}], "doors": [{"state": "x"}]})), "No mail program can connect");
        let doors = json!([{"state": "open"}, {"state": "python (process 7) has it"}]);
        assert_eq!(choose_title(&json!({"accounts": [{}], "doors": doors})), "ostler is working, but a door is shut");
        assert_eq!(choose_title(&json!({"accounts": [{}], "paused": true})), "ostler is paused");
    }
}
