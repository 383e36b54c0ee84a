//! The servers of an account as a list: each can be changed and removed, a further one can be added, and those for sending have
//! an order.

use std::sync::Arc;

use axum::Form;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Refusal, Shared, answer, describe_server, finish, parse_server_name, save, server_name, word_edit_error};
use crate::config::{self, EditError, ShownFile};
use crate::desktop::page::account::{Feedback, hidden_fields, render_page};
use crate::desktop::page::guide::{ask_which, find_account};
use crate::desktop::page::layout::check;
use crate::desktop::page::{App, link_to, percent_encode};
use ostler_mail::account::{Account, Protocol, Server};

/// Links to everything that can be changed about an account.
pub(in crate::desktop::page) fn render_list(shared: &Shared, account: &Account) -> Markup {
    let own = |protocol: Protocol| account.servers().filter(move |server| server.protocol == protocol).enumerate();
    html! {
        p { a.button.second href=(link_to("/account/settings", &account.name)) { "Name, addresses, user name, doors" } }
        ul.servers {
            @for protocol in Protocol::ALL {
                @for (at, server) in own(protocol) { (render_server(shared, account, server, at)) }
            }
        }
        @for (protocol, text) in [(Protocol::Pop3, "Add a server for fetching"), (Protocol::Smtp, "Add a server for sending")] {
            @let known = own(protocol).count();
            @if known == 0 || protocol.is_outgoing() {
                p { a href=(link_to_server(account, protocol, known)) { (text) } }
            }
        }
    }
}

pub(super) fn link_to_server(account: &Account, protocol: Protocol, at: usize) -> String {
    let server = percent_encode(&server_name(protocol, at));
    format!("{}&server={server}", link_to("/account/server", &account.name))
}

fn render_server(shared: &Shared, account: &Account, server: &Server, at: usize) -> Markup {
    let last = account.smtp.len().saturating_sub(1);
    let is_outgoing = server.protocol.is_outgoing();
    let button = |word: &str, text: &str| {
        html! {
            form method="post" action="/account/servers" {
                (hidden_server(shared, account, server, at))
                input type="hidden" name="do" value=(word);
                button.second type="submit" { (text) }
            }
        }
    };
    html! {
        li {
            a href=(link_to_server(account, server.protocol, at)) {
                "Change the " (describe_server(server.protocol))
                @if is_outgoing && last > 0 { ", number " (at + 1) }
            }
            ": " (server.address())
            @if is_outgoing && at > 0 { (button("up", "Try it earlier")) }
            @if is_outgoing && at < last { (button("down", "Try it later")) }
        }
    }
}

fn hidden_server(shared: &Shared, account: &Account, server: &Server, at: usize) -> Markup {
    html! {
        (hidden_fields(shared, account))
        input type="hidden" name="server" value=(server_name(server.protocol, at));
        input type="hidden" name="host" value=(server.host);
    }
}

/// The form that removes a server, if the account has another one.
pub(super) fn render_removal(
    shared: &Shared,
    file: &ShownFile,
    account: &str,
    protocol: Protocol,
    at: usize,
) -> Markup {
    let account = file.account(account).filter(|account| account.servers().count() > 1);
    let server = account.and_then(|account| account.servers().filter(|server| server.protocol == protocol).nth(at));
    html! {
        @if let (Some(account), Some(server)) = (account, server) {
            section aria-labelledby="remove" {
                h2 #remove { "Remove" }
                form method="post" action="/account/servers" {
                    (hidden_server(shared, account, server, at))
                    input type="hidden" name="do" value="remove";
                    (check("sure", &format!("Yes, remove the {} {}", describe_server(protocol), server.address()), false, ""))
                    button.danger type="submit" { "Remove this server" }
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(in crate::desktop::page) struct ArrangeForm {
    account: String,
    server: String,
    /// The host that the page showed, so that a list that has changed meanwhile is not arranged.
    host: String,
    r#do: String,
    sure: Option<String>,
}

/// Removes a server, or moves one for sending.
pub(in crate::desktop::page) async fn arrange(shared: App, Form(sent): Form<ArrangeForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    if sent.r#do == "remove" && sent.sure.is_none() {
        let why = "Nothing was removed. Tick the box beside the button if you are sure.".to_owned();
        return refuse(&shared, &account, why);
    }
    let saving = save(&shared, |file, text, presets| {
        let known = file.account(&account.name).ok_or(EditError::NoSuchAccount);
        let known = known.map_err(|error| Refusal::Said(word_edit_error(&shared, &error)))?;
        let (protocol, at) = find_server(known, &sent)?;
        let changed = match sent.r#do.as_str() {
            "up" => config::move_server(text, (&account.name, at, at.saturating_sub(1)), &shared.file, presets),
            "down" => config::move_server(text, (&account.name, at, at + 1), &shared.file, presets),
            "remove" => config::remove_server(text, (&account.name, protocol, at), &shared.file, presets),
            _ => Err(EditError::TooEntangled),
        };
        changed.map_err(|error| match error {
            EditError::Mistakes(_) => Refusal::Said(
                "Nothing was changed: the rest of the account needs this server, or the list of providers brings it back.".into(),
            ),
            error => Refusal::Said(word_edit_error(&shared, &error)),
        })
    });
    match saving.await {
        Ok(saved) => {
            let done = finish(&shared, saved, None).await;
            answer(&shared, Some(&account.name), done)
        }
        Err(Refusal::Said(why)) => refuse(&shared, &account, why),
        Err(Refusal::Wrong(wrong)) => {
            let why = wrong.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" ");
            refuse(&shared, &account, why)
        }
    }
}

fn refuse(shared: &Arc<Shared>, account: &Account, why: String) -> Response {
    render_page(shared, account, &Feedback { servers: Some(why), ..Feedback::default() })
}

/// The server that a form means, if it is still where the form showed it.
fn find_server(account: &Account, sent: &ArrangeForm) -> Result<(Protocol, usize), Refusal> {
    let (protocol, at) = parse_server_name(&sent.server).unwrap_or((Protocol::Smtp, usize::MAX));
    let server = account.servers().filter(|server| server.protocol == protocol).nth(at);
    match server.filter(|server| server.host == sent.host) {
        Some(_) => Ok((protocol, at)),
        None => Err(Refusal::Said(
            "Nothing was changed: the servers have been changed elsewhere meanwhile. Look again.".into(),
        )),
    }
}
