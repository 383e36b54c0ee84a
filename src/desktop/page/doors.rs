//! The doors on the overview: which are open, who holds a port that is taken, and a button to use another port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::layout::{NavItem, Tone, View, badge, form_token};
use super::{App, Shared};
use crate::config;
use crate::config::presets::Presets;
use crate::proxy::net::listen::is_free;
use ostler_mail::account::Protocol;

/// Where to look for a free port, relative to the one that is taken, in this order.
const ALTERNATIVE_PORT_OFFSETS: [u16; 5] = [1000, 2000, 3000, 4000, 5000];

pub(super) fn render_table(shared: &Shared, status: &Value) -> Markup {
    let doors = merge_companions(status);
    html! {
        @if doors.is_empty() {
            p { "No door is open. " a href="/settings" { "The settings" } " open them." }
        } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="doors" {
                table.flows {
                    thead { tr { th scope="col" { "For" } th scope="col" { "Address" } th scope="col" { "State" } } }
                    tbody { @for (door, companion) in doors { (render_row(shared, door, companion)) } }
                }
            }
        }
    }
}

/// Every door, with the address of the one on `[::1]` that goes with a door on 127.0.0.1 of the same port.
pub(super) fn merge_companions(status: &Value) -> Vec<(&Value, Option<SocketAddr>)> {
    let doors: Vec<&Value> = status["doors"].as_array().into_iter().flatten().collect();
    let address = |door: &Value| door["address"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let belongs = |companion: &Value, door: &Value| {
        let (Some(six), Some(four)) = (address(companion), address(door)) else { return false };
        six.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST)
            && four.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)
            && six.port() == four.port()
            && ["protocol", "account"].iter().all(|key| companion[key] == door[key])
    };
    let companion_of = |door: &Value| doors.iter().find(|other| belongs(other, door)).and_then(|other| address(other));
    let is_companion = |door: &Value| doors.iter().any(|other| belongs(door, other));
    doors.iter().filter(|door| !is_companion(door)).map(|door| (*door, companion_of(door))).collect()
}

/// A shut companion is no trouble: mail programs then connect to the door on 127.0.0.1.
fn render_row(shared: &Shared, door: &Value, companion: Option<SocketAddr>) -> Markup {
    let text = |key: &str| door[key].as_str().unwrap_or("").to_owned();
    html! {
        tr {
            td {
                (name(&door["protocol"]))
                @if let Some(account) = door["account"].as_str() { ", only " (account) }
            }
            td { code { (text("address")) } @if let Some(companion) = companion { " and " code { (companion) } } }
            td {
                @if door["state"] == "open" { (badge(Tone::Good, "open")) }
                @else {
                    (badge(Tone::Bad, "shut")) " " (text("state"))
                    @if let Some((from, to)) = find_other_port(door) {
                        form method="post" action="/door" {
                            (form_token(shared))
                            input type="hidden" name="protocol" value=(text("protocol"));
                            input type="hidden" name="from" value=(from);
                            input type="hidden" name="to" value=(to);
                            button.second type="submit" { "Use port " (to) " instead" }
                        }
                    }
                }
            }
        }
    }
}

/// What a door, or a connection through it, is for.
pub(super) fn name(protocol: &Value) -> &'static str {
    match Protocol::ALL.into_iter().find(|known| *protocol == known.name()) {
        Some(Protocol::Pop3) => "fetching (POP3)",
        Some(Protocol::Smtp) => "sending (SMTP)",
        Some(Protocol::Imap) => "reading (IMAP)",
        None => "mail",
    }
}

/// The port of a shut door, and a free one to use instead. `None` for a door of one account, whose address stands in another
/// place of the settings.
fn find_other_port(door: &Value) -> Option<(u16, u16)> {
    let address: SocketAddr = door["address"].as_str()?.parse().ok()?;
    // The companion on ::1 moves along with its door.
    if !door["account"].is_null() || !address.is_ipv4() || address.port() == 0 {
        return None;
    }
    let free = |port: &u16| is_free((Ipv4Addr::LOCALHOST, *port).into());
    let to = ALTERNATIVE_PORT_OFFSETS.iter().filter_map(|more| address.port().checked_add(*more)).find(free)?;
    Some((address.port(), to))
}

#[derive(Deserialize)]
pub(super) struct MoveDoorForm {
    protocol: String,
    from: u16,
    to: u16,
}

/// Moves a door to another port.
pub(super) async fn change(shared: App, Form(sent): Form<MoveDoorForm>) -> Response {
    let Some(protocol) = Protocol::ALL.into_iter().find(|p| p.name() == sent.protocol) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    match move_door(&shared, protocol, sent.from, sent.to).await {
        Ok(()) => {
            (shared.reload)();
            Redirect::to("/").into_response()
        }
        Err(why) => {
            let body = html! { div.notice.bad role="alert" { p { (why) } } p { a.button href="/" { "Overview" } } };
            View::new("Nothing was changed", NavItem::Overview, body).into_response()
        }
    }
}

async fn move_door(shared: &Shared, protocol: Protocol, from: u16, to: u16) -> Result<(), String> {
    let file = shared.file.display();
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let edit = |text: &str| config::move_door(text, protocol, from, to, &shared.file, &presets);
    let refused = |_| {
        format!(
            "ostler cannot edit the way this port is written in {file}. Open the file and change {protocol} under [local]."
        )
    };
    shared.edit_settings("", edit, refused).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_door_and_its_companion_are_one_row() {
        let door = |protocol: &str, address: &str, account: Option<&str>| json!({"protocol": protocol, "address": address, "account": account, "state": "open"});
        let status = json!({"doors": [
            door("pop3", "127.0.0.1:2110", None),
            door("pop3", "[::1]:2110", None),
            door("smtp", "127.0.0.1:2025", None),
            door("pop3", "[::1]:2111", None),
            door("pop3", "127.0.0.2:2111", Some("home")),
            door("smtp", "[::1]:2110", Some("home")),
        ]});
        let rows: Vec<String> = merge_companions(&status)
            .iter()
            .map(|(door, companion)| {
                format!(
                    "{} {}",
                    door["address"].as_str().unwrap(),
                    companion.map(|c| c.to_string()).unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(
            rows,
            ["127.0.0.1:2110 [::1]:2110", "127.0.0.1:2025 ", "[::1]:2111 ", "127.0.0.2:2111 ", "[::1]:2110 "]
        );
    }
}
