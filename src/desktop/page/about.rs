//! The page about this ostler: its version, its settings file, and whether it starts at login.

use axum::Form;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::layout::{NavItem, View, form_token};
use super::{App, Shared};
use crate::desktop::autostart::{self, State};

pub(super) async fn show(shared: App) -> Response {
    render_page(&shared, None)
}

/// Switches the start at login on or off.
pub(super) async fn start_at_login(shared: App, Form(form): Form<SwitchForm>) -> Response {
    let done = if form.on { autostart::on(&shared.file) } else { autostart::off(&shared.file) };
    match done {
        Ok(_) => Redirect::to("/about").into_response(),
        Err(error) => render_page(&shared, Some(ostler_mail::failure::error_chain(&error))),
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct SwitchForm {
    on: bool,
}

fn render_login_switch(shared: &Shared, wrong: Option<&str>) -> Markup {
    let state = autostart::status(&shared.file);
    let (text, on) = match &state {
        Ok(State::On { .. }) => ("ostler starts when you log in, as an icon, and opens no window.", true),
        Ok(State::Service { .. }) => ("systemd starts ostler when you log in, without an icon.", true),
        Ok(State::Elsewhere { .. }) => {
            ("Another program, or ostler with other settings, starts in its place when you log in.", false)
        }
        Ok(State::Off) => ("ostler does not start by itself; you have to start it after each login.", false),
        Err(_) => ("ostler cannot tell whether it starts when you log in; `ostler autostart status` says why.", false),
    };
    let (action, value) = if on { ("Do not start at login", "false") } else { ("Start at login", "true") };
    html! {
        section aria-labelledby="login" {
            h2 #login { "Start at login" }
            p { (text) }
            @if let Some(why) = wrong { p.error role="alert" { (why) } }
            form method="post" action="/autostart" {
                (form_token(shared))
                input type="hidden" name="on" value=(value);
                button type="submit" { (action) }
            }
        }
    }
}

fn render_page(shared: &Shared, wrong: Option<String>) -> Response {
    let body = html! {
        p { "ostler lets old mail programs work with today's mail providers. It runs on this computer only." }
        dl {
            div { dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) } }
            div { dt { "Settings file" } dd { code { (shared.file.display()) } } }
            div { dt { "Licence" } dd { "MIT or Apache-2.0" } }
        }
        p { "What you change here goes into the settings file, and comments you wrote there stay. You can also edit the file yourself; ostler reads it again at once." }
        p { "Anyone who can use this computer under your name can open this page, just as they can read your mail program's settings." }
        (render_login_switch(shared, wrong.as_deref()))
    };
    View::new("About ostler", NavItem::About, body).into_response()
}
