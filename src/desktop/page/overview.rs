//! The first page: the state of every account, door and session.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;
use time::OffsetDateTime;

use super::layout::{NavItem, Tone, View, ago, badge, button};
use super::words::{on_page, stopped};
use super::{App, Shared, add, doors, link_to, traffic};
use crate::events::history::Traffic;
use crate::events::{AccountState, AccountStatus, Overview};
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
    let now = shared.engine.events.overview();
    let title = summarise(&now.accounts, &status).0;
    View::new(title, NavItem::Overview, render_body(&shared, &now, &status)).refreshed(refresh).into_response()
}

fn each<'a>(status: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    status[key].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The title of the page, and a sentence that says what it means for the user. Of several things the worst counts.
fn summarise(accounts: &[(String, AccountStatus)], status: &Value) -> (&'static str, String) {
    let with = |is_so: fn(AccountState) -> bool| -> Vec<&str> {
        accounts.iter().filter(|(_, account)| is_so(account.state)).map(|(name, _)| name.as_str()).collect()
    };
    let (needing, troubled) = (with(AccountState::needs_user), with(|state| state == AccountState::Trouble));
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
    } else if with(|state| state == AccountState::Ok).is_empty() {
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
            p { (summarise(&[], status).1) }
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

fn render_body(shared: &Shared, now: &Overview, status: &Value) -> Markup {
    html! {
        div #now data-live {
            p { (summarise(&now.accounts, status).1) }
            @if status["paused"] == true { (render_resume(shared)) }
            @if let Some(mistake) = &now.settings_mistake {
                div.notice.bad role="alert" {
                    p { "The settings file has a mistake, so what was changed in it has no effect yet: " (stopped(mistake)) }
                }
            }
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                div.cards {
                    @for (name, account) in &now.accounts { (render_card(name, account, &traffic_of(shared, name))) }
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
fn traffic_of(shared: &Shared, account: &str) -> Vec<Traffic> {
    let history = shared.engine.events.account_history(account).unwrap_or_default();
    history.traffic(OffsetDateTime::now_utc().date())
}

fn render_card(name: &str, account: &AccountStatus, traffic: &[Traffic]) -> Markup {
    let (tone, text) = match account.state {
        AccountState::Ok => (Tone::Good, "works"),
        AccountState::NeedsYou => (Tone::Bad, "needs you"),
        AccountState::NeedsSignIn => (Tone::Bad, "sign in again"),
        AccountState::Trouble => (Tone::Passing, "trouble that may pass"),
        // The times are from the saved history, of an earlier run.
        AccountState::Unused if account.last_fetch.is_some() || account.last_send.is_some() => {
            (Tone::Quiet, "not used since ostler started")
        }
        AccountState::Unused => (Tone::Quiet, "not used yet"),
    };
    let when = |time: &Option<String>| time.as_deref().map_or_else(|| html! { "not yet" }, ago);
    html! {
        article.card {
            h3 { a href=(link_to("/account", name)) { (name) } }
            p { (badge(tone, text)) }
            dl {
                div { dt { "Last fetched" } dd { (when(&account.last_fetch)) } }
                div { dt { "Last sent" } dd { (when(&account.last_send)) } }
            }
            (traffic::render(traffic))
            @if let Some(failure) = &account.last_failure {
                @if matches!(tone, Tone::Bad | Tone::Passing) {
                    div.notice.bad[tone == Tone::Bad] {
                        p { (on_page(failure)) "." }
                        p.small { (when(&account.last_failure_at)) ". " a href={(link_to("/account", name)) "#lately"} { "Recent mail" } }
                    }
                } @else {
                    p.small { "Last problem, " (when(&account.last_failure_at)) ": " (on_page(failure)) }
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

    fn with_state(state: AccountState) -> AccountStatus {
        AccountStatus { state, ..AccountStatus::default() }
    }

    #[test]
    fn whatever_a_value_holds_is_text() {
        let failed = AccountStatus { last_failure: Some("<script>".into()), ..with_state(AccountState::Trouble) };
        let shown = render_card("<b>x</b>", &failed, &[]).into_string();
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
    fn an_account_whose_sign_in_has_ended_needs_its_user() {
        let ended = with_state(AccountState::NeedsSignIn);
        assert!(render_card("a", &ended, &[]).into_string().contains("sign in again"));
        let status = json!({"doors": [{"state": "open"}]});
        assert_eq!(summarise(&[("a".to_owned(), ended)], &status).0, "Something needs you");
    }

    #[test]
    fn the_title_is_the_worst_there_is_and_the_sentence_says_what_it_means() {
        use AccountState::{NeedsYou, Ok, Trouble, Unused};
        let door = json!([{"state": "open"}]);
        let said = |states: &[AccountState], doors: &Value| {
            let named = states.iter().zip(["a", "b"]).map(|(state, name)| (name.to_owned(), with_state(*state)));
            summarise(&named.collect::<Vec<_>>(), &json!({"doors": doors}))
        };
        let (title, text) = said(&[Ok, Unused], &door);
        assert_eq!((title, text.as_str()), ("ostler is working", "All is well: your mail program can fetch and send."));
        assert!(said(&[Unused], &door).1.contains("All is ready"));
        let (title, text) = said(&[NeedsYou, Trouble], &door);
        assert!(title == "Something needs you" && text.contains("mend this: a."), "{text}");
        let (title, text) = said(&[Ok, Trouble], &door);
        assert!(title == "There is trouble that may pass" && text.contains("work: b."), "{text}");
        assert_eq!(said(&[Unused], &json!([{"state": "x"}])).0, "No mail program can connect");
        let doors = json!([{"state": "open"}, {"state": "python (process 7) has it"}]);
        assert_eq!(said(&[Unused], &doors).0, "ostler is working, but a door is shut");
        assert_eq!(summarise(&[], &json!({"paused": true})).0, "ostler is paused");
    }
}
