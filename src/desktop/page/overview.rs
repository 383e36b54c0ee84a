//! The first page: how every account, door and session is.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{Here, Mood, View, ago, badge, button};
use super::{App, Shared, add, doors, link_to};
use crate::proxy::now;

/// How often it looks again, in seconds.
const REFRESH: u32 = 5;
/// While a message is under way.
const REFRESH_BUSY: u32 = 2;

pub(super) async fn show(shared: App) -> Response {
    let status = shared.engine.events.document(|name| shared.engine.gate_age(name, now()));
    if each(&status, "accounts").next().is_none() {
        return View::new("Add your account", Here::Overview, first(&shared, &status)).into_response();
    }
    let is_busy = each(&status, "sessions").any(|session| session["message"].is_u64());
    let refresh = if is_busy { REFRESH_BUSY } else { REFRESH };
    View::new(title(&status), Here::Overview, body(&shared, &status)).refreshed(refresh).into_response()
}

fn each<'a>(status: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    status[key].as_array().into_iter().flatten()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn title(status: &Value) -> &'static str {
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

/// Before there is an account.
fn first(shared: &Shared, status: &Value) -> Markup {
    html! {
        p { "ostler is running. The first thing it needs is your mail account." }
        (add::body(shared, &add::Fields::default(), &Vec::new()))
        section aria-labelledby="doors" {
            h2 #doors { "Doors for your mail programs" }
            (doors::table(shared, status))
        }
        (pausing(shared, status))
    }
}

fn pausing(shared: &Shared, status: &Value) -> Markup {
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

fn body(shared: &Shared, status: &Value) -> Markup {
    html! {
        div #now data-live {
            @if status["paused"] == true {
                p { "Mail programs that connect now are asked to come back later." }
            }
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                div.cards {
                    @for account in each(status, "accounts") { (card(account)) }
                }
            }
            section aria-labelledby="doors" {
                h2 #doors { "Doors for your mail programs" }
                (doors::table(shared, status))
            }
            section aria-labelledby="sessions" {
                h2 #sessions { "Connected now" }
                (sessions(status))
            }
        }
        (pausing(shared, status))
    }
}

fn card(account: &Value) -> Markup {
    let (mood, text) = match word(account, "state") {
        "ok" => (Mood::Good, "works"),
        "needs you" => (Mood::Bad, "needs you"),
        "trouble" => (Mood::Passing, "trouble that may pass"),
        // The file knows of it, this run does not.
        _ if account["last_fetch"].is_string() || account["last_send"].is_string() => {
            (Mood::Quiet, "not used since ostler started")
        }
        _ => (Mood::Quiet, "not used yet"),
    };
    let when = |key: &str| account[key].as_str().map_or_else(|| html! { "not yet" }, ago);
    html! {
        article.card {
            h3 { a href=(link_to("/account", word(account, "name"))) { (word(account, "name")) } }
            p { (badge(mood, text)) }
            dl {
                div { dt { "Last fetched" } dd { (when("last_fetch")) } }
                div { dt { "Last sent" } dd { (when("last_send")) } }
            }
            @if let Some(failure) = account["last_failure"].as_str() {
                @if matches!(mood, Mood::Bad | Mood::Passing) {
                    div.notice.bad[mood == Mood::Bad] {
                        p { (failure) "." }
                        p.small { (when("last_failure_at")) ". " a href={(link_to("/account", word(account, "name"))) "#lately"} { "What it did lately" } }
                    }
                } @else {
                    p.small { "Last trouble, " (when("last_failure_at")) ": " (failure) }
                }
            }
        }
    }
}

fn sessions(status: &Value) -> Markup {
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
                                td { (ago(word(session, "since"))) }
                                td { (doing(session)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a session does, and how far it is.
fn doing(session: &Value) -> Markup {
    let Some(words) = session["progress"].as_str() else { return html! { (word(session, "state")) } };
    let bar = session["octets"].as_u64().zip(session["of_octets"].as_u64());
    html! {
        (words)
        // The words say it too.
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
        let shown = html! { @for account in each(&status, "accounts") { (card(account)) } }.into_string();
        assert!(shown.contains("&lt;b&gt;x&lt;/b&gt;") && shown.contains("&lt;script&gt;"), "{shown}");
        assert!(!shown.contains("<script") && !shown.contains("<b>"), "{shown}");
    }

    #[test]
    fn a_session_says_how_far_it_is() {
        let idle = json!({"state": "signed in", "progress": null});
        assert_eq!(doing(&idle).into_string(), "signed in");
        let busy =
            json!({"state": "signed in", "progress": "message 2 of 3, 1 of 2 KB", "octets": 10, "of_octets": 1200});
        assert_eq!(
            doing(&busy).into_string(),
            "message 2 of 3, 1 of 2 KB<progress aria-hidden=\"true\" max=\"1200\" value=\"10\"></progress>"
        );
        let unknown = json!({"progress": "message 3, 1.2 MB", "octets": 1200000, "of_octets": null});
        assert_eq!(doing(&unknown).into_string(), "message 3, 1.2 MB");
    }

    #[test]
    fn the_title_is_the_worst_there_is() {
        let door = json!([{"state": "open"}]);
        assert_eq!(title(&json!({"accounts": [{"state": "ok"}], "doors": door})), "ostler is working");
        assert_eq!(title(&json!({"accounts": [{"state": "needs you"}], "doors": door})), "Something needs you");
        assert_eq!(title(&json!({"accounts": [{}], "doors": [{"state": "x"}]})), "No mail program can connect");
        let doors = json!([{"state": "open"}, {"state": "python (process 7) has it"}]);
        assert_eq!(title(&json!({"accounts": [{}], "doors": doors})), "ostler is working, but a door is shut");
        assert_eq!(title(&json!({"accounts": [{}], "paused": true})), "ostler is paused");
    }
}
