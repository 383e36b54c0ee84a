//! The first page: the state of every account, door and session.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;
use time::OffsetDateTime;

use super::layout::{NavItem, Tone, View, ago, badge, button};
use super::words::{on_page, stopped};
use super::{App, Shared, add, doors, link_to, traffic};
use crate::events::history::Traffic;
use crate::proxy::now;

/// How often the page refreshes itself.
const REFRESH_SECONDS: u32 = 5;
/// How often, while a message is under way.
const BUSY_REFRESH_SECONDS: u32 = 2;

pub(super) async fn show(shared: App) -> Response {
    let status = shared.engine.events.document(|name| shared.engine.account_now(name, now()));
    if each(&status, "accounts").next().is_none() {
        return View::new("Add your account", NavItem::Add, render_first_start(&shared, &status)).into_response();
    }
    let is_busy = each(&status, "sessions").any(|session| session["message"].is_u64());
    let refresh = if is_busy { BUSY_REFRESH_SECONDS } else { REFRESH_SECONDS };
    View::new(summarise(&status).0, NavItem::Overview, render_body(&shared, &status)).refreshed(refresh).into_response()
}

fn each<'a>(status: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    status[key].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The title of the page, and a sentence that says what it means for the user. Of several things the worst counts.
fn summarise(status: &Value) -> (&'static str, String) {
    let with = |state: &str| -> Vec<&str> {
        each(status, "accounts").filter(|account| account["state"] == state).map(|one| text_of(one, "name")).collect()
    };
    let (needing, troubled) = (with("needs you"), with("trouble"));
    // A shut companion on ::1 is no trouble: mail programs then connect to the door on 127.0.0.1.
    let doors: Vec<&Value> = doors::merge_companions(status).into_iter().map(|(door, _)| door).collect();
    let is_open = |door: &&Value| door["state"] == "open";
    if status["paused"] == true {
        let text = "Mail programs that connect now are asked to try again later.";
        ("ostler is paused", text.into())
    } else if !needing.is_empty() {
        (
            "Something needs you",
            format!("Only you can mend this: {}. What happened and what to do is below.", needing.join(", ")),
        )
    } else if !doors.iter().any(is_open) {
        let text = "Your mail program does not find ostler, because none of its doors is open. Why is below.";
        ("No mail program can connect", text.into())
    } else if !doors.iter().all(is_open) {
        let text = "A mail program that is set to the port of the shut door cannot connect. Why it is shut is below.";
        ("ostler is working, but a door is shut", text.into())
    } else if !troubled.is_empty() {
        let text = format!(
            "The last try did not work: {}. ostler tries again whenever your mail program does.",
            troubled.join(", ")
        );
        ("There is trouble that may pass", text)
    } else if with("ok").is_empty() {
        let text = "All is ready. Once your mail program has fetched or sent mail, this page says so.";
        ("ostler is working", text.into())
    } else {
        ("ostler is working", "All is well: your mail program can fetch and send.".into())
    }
}

/// The overview of an ostler without an account.
fn render_first_start(shared: &Shared, status: &Value) -> Markup {
    html! {
        (add::render_page(shared, &add::Fields::default(), &Vec::new()))
        // Doors that are open need nothing of a person who has just come.
        @if each(status, "doors").any(|door| door["state"] != "open") {
            section aria-labelledby="doors" { (render_doors(shared, status)) }
        }
        @if status["paused"] == true {
            p { (summarise(status).1) }
            (render_resume(shared))
        }
    }
}

fn render_doors(shared: &Shared, status: &Value) -> Markup {
    html! {
        h2 #doors { "Doors for your mail programs" }
        p.hint { "A door is a place on this computer where a mail program finds ostler. The guide for your program says what to type." }
        (doors::render_table(shared, status))
    }
}

fn render_resume(shared: &Shared) -> Markup {
    button(shared, "/resume", "Serve mail programs again")
}

fn render_pause(shared: &Shared, status: &Value) -> Markup {
    html! {
        div #pausing data-live {
            @if status["paused"] != true {
                section aria-labelledby="pause" {
                    h2 #pause { "Pause" }
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
            p { (summarise(status).1) }
            @if status["paused"] == true { (render_resume(shared)) }
            @if let Some(mistake) = shared.engine.events.overview().settings_mistake {
                div.notice.bad role="alert" {
                    p { "The settings file has a mistake, so what was changed in it has no effect yet: " (stopped(&mistake)) }
                }
            }
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                div.cards {
                    @for account in each(status, "accounts") { (render_card(account, &traffic_of(shared, account))) }
                }
            }
            section aria-labelledby="doors" { (render_doors(shared, status)) }
            section aria-labelledby="sessions" {
                h2 #sessions { "Connected now" }
                (render_sessions(status))
            }
        }
        (render_pause(shared, status))
    }
}

/// What the account's mail was on each of the last days.
fn traffic_of(shared: &Shared, account: &Value) -> Vec<Traffic> {
    let history = shared.engine.events.account_history(text_of(account, "name")).unwrap_or_default();
    history.traffic(OffsetDateTime::now_utc().date())
}

fn render_card(account: &Value, traffic: &[Traffic]) -> Markup {
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
            (traffic::render(traffic))
            @if let Some(failure) = account["last_failure"].as_str() {
                @if matches!(tone, Tone::Bad | Tone::Passing) {
                    div.notice.bad[tone == Tone::Bad] {
                        p { (on_page(failure)) "." }
                        p.small { (when("last_failure_at")) ". " a href={(link_to("/account", text_of(account, "name"))) "#lately"} { "Recent mail" } }
                    }
                } @else {
                    p.small { "Last problem, " (when("last_failure_at")) ": " (on_page(failure)) }
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
                table.flows {
                    thead { tr {
                        th scope="col" { "Account" } th scope="col" { "For" } th scope="col" { "Since" } th scope="col" { "Doing" }
                    } }
                    tbody {
                        @for session in each(status, "sessions") {
                            tr {
                                td { (session["account"].as_str().unwrap_or("not known yet")) }
                                td { (doors::name(&session["protocol"])) }
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
        let shown = html! { @for account in each(&status, "accounts") { (render_card(account, &[])) } }.into_string();
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
    fn the_title_is_the_worst_there_is_and_the_sentence_says_what_it_means() {
        let door = json!([{"state": "open"}]);
        let said = |accounts: Value, doors: &Value| summarise(&json!({"accounts": accounts, "doors": doors}));
        let (title, text) = said(json!([{"state": "ok"}, {"state": "unused"}]), &door);
        assert_eq!((title, text.as_str()), ("ostler is working", "All is well: your mail program can fetch and send."));
        assert!(said(json!([{"state": "unused"}]), &door).1.contains("All is ready"));
        let two = json!([{"name": "a", "state": "needs you"}, {"name": "b", "state": "trouble"}]);
        let (title, text) = said(two, &door);
        assert!(title == "Something needs you" && text.contains("mend this: a."), "{text}");
        let (title, text) = said(json!([{"name": "b", "state": "trouble"}]), &door);
        assert!(title == "There is trouble that may pass" && text.contains("work: b."), "{text}");
        assert_eq!(said(json!([{}]), &json!([{"state": "x"}])).0, "No mail program can connect");
        let doors = json!([{"state": "open"}, {"state": "python (process 7) has it"}]);
        assert_eq!(said(json!([{}]), &doors).0, "ostler is working, but a door is shut");
        assert_eq!(summarise(&json!({"accounts": [{}], "paused": true})).0, "ostler is paused");
    }
}
