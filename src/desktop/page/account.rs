//! One account: its servers, what it did lately, a test of every step, another password, taking it out.

use std::sync::Arc;

use axum::Form;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::guide::{account, which};
use super::jobs::{Phase, Screen};
use super::layout::{Here, View, check, field, word};
use super::{App, Shared, link_to};
use crate::config;
use crate::config::presets::Presets;
use crate::diagnose::Doctor;
use crate::events::Events;
use crate::proxy::Engine;
use crate::setup::SetupUi;
use crate::vault::{Vault, VaultError, servers_with_secret};
use ostler_mail::account::{Access, Account, SecretSource, Security, Server};
use ostler_mail::failure::error_chain;
use ostler_mail::secret::Secret;

#[derive(Deserialize)]
pub(super) struct Asked {
    account: Option<String>,
}

/// Every form of this page.
#[derive(Deserialize)]
pub(super) struct Sent {
    account: String,
    #[serde(default)]
    password: zeroize::Zeroizing<String>,
    /// The user name whose password it is, where there are several.
    user: Option<String>,
    sure: Option<String>,
    show: Option<String>,
}

/// What to say beside a form that was sent.
#[derive(Default)]
pub(super) struct Said {
    pub(super) change: super::account_form::Mistakes,
    /// What was typed, where it was wrong.
    pub(super) typed: Option<super::account_form::Sent>,
    pub(super) password: Option<String>,
    pub(super) remove: Option<String>,
    pub(super) local: Option<Result<Arc<Secret>, String>>,
    pub(super) done: Option<&'static str>,
}

pub(super) async fn show(shared: App, Query(asked): Query<Asked>) -> Response {
    match account(&shared, asked.account.as_deref()) {
        Some(account) => page(&shared, &account, &Said::default()),
        None => which(&shared, "/account"),
    }
}

pub(super) fn page(shared: &Shared, account: &Account, said: &Said) -> Response {
    let past = shared.engine.events.past(&account.name).unwrap_or_default();
    let mut users: Vec<&str> =
        keyring_servers(account).filter_map(|s| Some(s.credentials()?.username.as_str())).collect();
    users.dedup();
    let body = html! {
        @if let Some(done) = said.done { div.notice.good role="status" { p { (done) } } }
        dl {
            div { dt { "Mail address" } dd { (account.address) } }
            @if !account.aliases.is_empty() {
                div { dt { "Also sends for" } dd { (account.aliases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) } }
            }
            @for server in account.servers() { div { dt { (purpose(server)) } dd { (described(server)) } } }
        }
        p {
            a.button href=(link_to("/program", &account.name)) { "Guide for your mail program" }
        }
        section aria-labelledby="test" {
            h2 #test { "Test" }
            p { "Tries every step to each server of this account, and says what to do where one fails. No message is sent." }
            form method="post" action="/account/test" { (hidden(shared, account)) button type="submit" { "Test now" } }
        }
        section aria-labelledby="lately" {
            h2 #lately { "What it did lately" }
            (super::history::account_history("past", &past))
        }
        section aria-labelledby="change" {
            h2 #change { "Change" }
            (super::account_form::form(shared, account, &said.change, said.typed.as_ref()))
        }
        @if !users.is_empty() {
            section aria-labelledby="password-title" {
                h2 #password-title { "Another password" }
                p { "When you have changed your password at the provider. It goes into this computer's keyring." }
                form method="post" action="/account/password" autocomplete="off" {
                    (hidden(shared, account))
                    @if users.len() > 1 {
                        div.field {
                            label for="user" { "Whose password" }
                            select id="user" name="user" { @for user in &users { option value=(user) { (user) } } }
                        }
                    }
                    (field("password", "The new password", "password", "", "", said.password.as_deref()))
                    button type="submit" { "Keep it, and test" }
                }
            }
        }
        @if shared.engine.settings().access == Access::Password { (local(shared, account, said)) }
        section aria-labelledby="remove" {
            h2 #remove { "Remove" }
            p { "Takes the account out of ostler's settings, and its passwords out of the keyring. Your mail stays where it is." }
            form method="post" action="/account/remove" {
                (hidden(shared, account))
                (check("sure", &format!("Yes, remove {}", account.name), false, ""))
                @if let Some(why) = &said.remove { p.error role="alert" { (why) } }
                button.danger type="submit" { "Remove this account" }
            }
        }
    };
    View::new(account.name.clone(), Here::Overview, body).into_response()
}

pub(super) fn hidden(shared: &Shared, account: &Account) -> Markup {
    html! { (word(shared)) input type="hidden" name="account" value=(account.name); }
}

/// The password that mail programs have to give; shown when a person asks for it.
fn local(shared: &Shared, account: &Account, said: &Said) -> Markup {
    html! {
        section aria-labelledby="local" {
            h2 #local { "Password for your mail program" }
            p { "Your mail program has to give this password, not the provider's." }
            @match &said.local {
                Some(Ok(secret)) => { p.copy { code { (secret.expose()) } } }
                Some(Err(why)) => { p.error role="alert" { (why) } }
                None => {}
            }
            form method="post" action="/account/local" {
                (hidden(shared, account))
                button.second type="submit" name="show" value="old" { "Show it" }
                @if account.local_password.as_ref().is_none_or(|source| *source == SecretSource::Keyring) {
                    button.second type="submit" name="show" value="new" { "Make a new one" }
                }
            }
        }
    }
}

fn purpose(server: &Server) -> &'static str {
    match server.protocol {
        ostler_mail::account::Protocol::Pop3 => "Fetches from",
        ostler_mail::account::Protocol::Smtp => "Sends through",
        ostler_mail::account::Protocol::Imap => "IMAP, for later",
    }
}

fn described(server: &Server) -> String {
    let security = match server.security {
        Security::Tls => "encrypted (TLS)",
        Security::StartTls => "encrypted (STARTTLS)",
        Security::None => "NOT ENCRYPTED: everybody on the way can read mail and password",
    };
    let who = match (server.credentials(), server.gate()) {
        (Some(credentials), _) => format!(", as {}", credentials.username),
        (None, Some(_)) => ", after mail was checked".into(),
        (None, None) => ", without signing in".into(),
    };
    format!("{}, {security}{who}", server.address())
}

/// The servers whose password is in the keyring.
fn keyring_servers(account: &Account) -> impl Iterator<Item = &Server> {
    let ours = |server: &&Server| server.credentials().is_some_and(|c| c.secret == SecretSource::Keyring);
    servers_with_secret(account).into_iter().filter(ours)
}

pub(super) async fn test(shared: App, Form(sent): Form<Sent>) -> Response {
    match account(&shared, Some(&sent.account)) {
        Some(account) => begin_test(&shared, account),
        None => which(&shared, "/account"),
    }
}

fn begin_test(shared: &Arc<Shared>, account: Arc<Account>) -> Response {
    let (own, name) = (Arc::clone(shared), account.name.clone());
    match shared.jobs.begin(&name, move |screen| tested(own, screen, account)) {
        Ok(job) => Redirect::to(&format!("/job/{}", job.id)).into_response(),
        Err(_) => super::progress::too_many(),
    }
}

/// As `ostler check`, with connections and a view of the keyring of its own.
async fn tested(shared: Arc<Shared>, mut screen: Screen, account: Arc<Account>) -> Phase {
    let settings = shared.engine.settings().as_ref().clone();
    let engine = Arc::new(Engine::new(settings, Vault::new(), Events::default()));
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let mut doctor = Doctor::new(engine, Arc::clone(&account), |step| screen.step(step));
    doctor.set_closed_reason(presets.closed(&account));
    doctor.check().await;
    let ok = doctor.into_steps().iter().all(|step| step.is_ok());
    Phase::Tested { ok }
}

/// Another password, for every server whose one is in the keyring; then a test shows whether it is right.
pub(super) async fn password(shared: App, Form(sent): Form<Sent>) -> Response {
    let Some(account) = account(&shared, Some(&sent.account)) else { return which(&shared, "/account") };
    let mut kept = Ok(());
    let is_meant = |server: &&Server| match (&sent.user, server.credentials()) {
        (Some(user), Some(credentials)) => credentials.username == *user,
        _ => true,
    };
    for server in keyring_servers(&account).filter(is_meant) {
        let secret = Secret::new(sent.password.clone()).map_err(|why| format!("This cannot be a password: {why}."));
        kept = match secret {
            Ok(secret) => shared.engine.vault.store(&account, server, secret).await.map_err(|e| trouble(&e)),
            Err(why) => Err(why),
        };
        if kept.is_err() {
            break;
        }
    }
    match kept {
        Ok(()) => begin_test(&shared, account),
        Err(why) => page(&shared, &account, &Said { password: Some(why), ..Said::default() }),
    }
}

fn trouble(error: &VaultError) -> String {
    format!(
        "{}. Open your keyring (it usually opens when you log in to your computer), then try again.",
        error_chain(error)
    )
}

pub(super) async fn local_password(shared: App, Form(sent): Form<Sent>) -> Response {
    let Some(account) = account(&shared, Some(&sent.account)) else { return which(&shared, "/account") };
    let vault = &shared.engine.vault;
    let new = sent.show.as_deref() == Some("new");
    let secret = if new { vault.new_local_password(&account).await } else { vault.local_password(&account).await };
    let said = Said {
        done: (new && secret.is_ok()).then_some("There is a new password; your mail program needs it from now on."),
        local: Some(secret.map_err(|error| trouble(&error))),
        ..Said::default()
    };
    page(&shared, &account, &said)
}

pub(super) async fn remove(shared: App, Form(sent): Form<Sent>) -> Response {
    let Some(account) = account(&shared, Some(&sent.account)) else { return which(&shared, "/account") };
    let stays = |why: String| Said { remove: Some(why), ..Said::default() };
    if sent.sure.is_none() {
        let said = stays("Nothing was removed. Tick the box above if you are sure.".into());
        return page(&shared, &account, &said);
    }
    if let Err(why) = taken_out(&shared, &account) {
        return page(&shared, &account, &stays(why));
    }
    let forgotten = match shared.engine.vault.forget_account(&account).await {
        // Without a keyring there is nothing in it.
        Ok(()) | Err(VaultError::NoKeyring { .. }) => None,
        Err(error) => Some(format!("Its passwords are still in the keyring, though: {}", trouble(&error))),
    };
    (shared.reload)();
    let body = html! {
        div.notice.good role="status" { p { "The account " b { (account.name) } " is removed." } }
        @if let Some(why) = forgotten { div.notice.bad { p { (why) } } }
        p { a.button href="/" { "Overview" } }
    };
    View::new("Removed", Here::Overview, body).into_response()
}

/// Out of the settings file, in which everything else stays as it is.
fn taken_out(shared: &Shared, account: &Account) -> Result<(), String> {
    let file = shared.file.display();
    let text = std::fs::read_to_string(&shared.file).map_err(|error| {
        format!("Nothing was removed, because {file} cannot be read: {error}. Put that right, then try again.")
    })?;
    let changed = config::remove_account(&text, &account.name)
        .map_err(|error| format!("Nothing was removed: {error}. Change {file} by hand."))?;
    config::write_atomically(&shared.file, &changed).map_err(|error| {
        format!("Nothing was removed, because {file} cannot be written: {error}. Put that right, then try again.")
    })
}
