//! The page of one account: its servers, its recent history, a test of every step, another password, removing it.

use std::sync::Arc;

use axum::Form;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::guide::{ask_which, find_account};
use super::jobs::{Phase, Screen, Stage};
use super::layout::{NavItem, View, check, field, form_token};
use super::words::on_page;
use super::{App, Shared, link_to};
use crate::config;
use crate::config::presets::Presets;
use crate::diagnose::check_account;
use crate::events::AccountState;
use crate::events::Events;
use crate::events::event::Event;
use crate::proxy::Engine;
use crate::setup::SetupUi;
use crate::setup::authorize::{Authorize, Way};
use crate::setup::find::capitalised;
use crate::setup::keep::wait_for_accounts;
use crate::vault::{SecretStore, Vault, VaultError, keyring_servers};
use ostler_mail::account::{Account, Protocol, SecretSource, Security, Server};
use ostler_mail::failure::error_chain;
use ostler_mail::oauth2::tokens::servers_of;
use ostler_mail::secret::Secret;
use ostler_mail::secret::given::Given;

const APP_PASSWORD_JOINED: &str =
    "The blanks were left out of this app password: the provider shows it in four groups and takes it without them.";

#[derive(Deserialize)]
pub(super) struct AccountQuery {
    account: Option<String>,
}

/// Any of the forms of this page; each sends some of the fields.
#[derive(Deserialize)]
pub(super) struct AccountForm {
    account: String,
    #[serde(default)]
    password: zeroize::Zeroizing<String>,
    /// The user name that the password is for, if the account has several.
    user: Option<String>,
    sure: Option<String>,
    show: Option<String>,
}

/// What to show beside the forms after one of them was sent.
#[derive(Default)]
pub(super) struct Feedback {
    /// Why the servers were not arranged as the user wanted.
    pub(super) servers: Option<String>,
    pub(super) password: Option<String>,
    /// Why signing out did not work.
    pub(super) sign_in: Option<String>,
    pub(super) remove: Option<String>,
    /// The local password, and whether it was made just now.
    pub(super) local: Option<Result<(Arc<Secret>, bool), String>>,
    pub(super) done: Option<String>,
}

pub(super) async fn show(shared: App, Query(asked): Query<AccountQuery>) -> Response {
    match find_account(&shared, asked.account.as_deref()) {
        Some(account) => render_page(&shared, &account, &Feedback::default()),
        None => ask_which(&shared, "/account"),
    }
}

pub(super) fn render_page(shared: &Shared, account: &Account, feedback: &Feedback) -> Response {
    let history = shared.engine.events.account_history(&account.name).unwrap_or_default();
    let servers = keyring_servers(account);
    let mut users: Vec<&str> = servers.into_iter().filter_map(|s| Some(s.credentials()?.username.as_str())).collect();
    users.dedup();
    let body = html! {
        @if let Some(done) = &feedback.done { div.notice.good role="status" { p { (done) } } }
        @if let Some(why) = &feedback.servers { div.notice.bad role="alert" { p { (why) } } }
        dl {
            div { dt { "Mail address" } dd { (account.address) } }
            @if !account.aliases.is_empty() {
                div { dt { "Also sends for" } dd { (account.aliases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) } }
            }
            @for server in account.servers() { div { dt { (purpose(account, server)) } dd { (describe(server)) } } }
        }
        p {
            a.button href=(link_to("/program", &account.name)) { "Guide for your mail program" }
        }
        section aria-labelledby="test" {
            h2 #test { "Test" }
            p { "Tries every step with each server of this account, and says what to do if one fails. No message is sent." }
            form method="post" action="/account/test" { (hidden_fields(shared, account)) button type="submit" { "Test now" } }
        }
        @if servers_of(account).next().is_some() { (render_sign_in(shared, account, feedback)) }
        section aria-labelledby="lately" {
            h2 #lately { "Recent mail" }
            (super::history::render_account_history("past", &history))
        }
        section aria-labelledby="change" {
            h2 #change { "Change" }
            (super::settings::render_list(shared, account))
        }
        @if !users.is_empty() { (render_password_form(shared, account, &users, feedback)) }
        @if shared.engine.settings().wants_password() { (render_local_password(shared, account, feedback)) }
        (render_remove_form(shared, account, feedback))
    };
    View::new(account.name.clone(), NavItem::Overview, body).into_response()
}

/// The sign-in at the company that gives out the account's tokens.
fn render_sign_in(shared: &Shared, account: &Account, feedback: &Feedback) -> Markup {
    let title = account.oauth2.as_ref().map_or("the company", |issuer| issuer.title.as_str());
    html! {
        section aria-labelledby="sign-in" {
            h2 #sign-in { "Sign in" }
            p { "This provider takes no password from mail programs. You sign in at " (title) " in this browser, and ostler keeps the sign-in in " (SecretStore::of_this_ostler().on_the_page()) "." }
            @if let Some(why) = &feedback.sign_in { div.notice.bad role="alert" { p { (why) } } }
            @if let Some(issuer) = &account.oauth2 {
                @if issuer.client_id.is_none() {
                    p { (title) " wants programs to be registered, and this ostler is not. "
                        a href=(super::settings::link_to_registration(&issuer.name)) { "Type in a registration" } }
                }
            }
            form method="post" action="/account/sign-in" { (hidden_fields(shared, account)) button type="submit" { "Sign in at " (title) } }
            @if !has_to_sign_in(shared, account) {
                form method="post" action="/account/sign-out" { (hidden_fields(shared, account)) button.second type="submit" { "Sign out" } }
            }
        }
    }
}

/// Whether there is no sign-in that is good for anything.
fn has_to_sign_in(shared: &Shared, account: &Account) -> bool {
    let accounts = shared.engine.events.overview().accounts;
    accounts.iter().any(|(name, status)| *name == account.name && status.state == AccountState::NeedsSignIn)
}

fn render_password_form(shared: &Shared, account: &Account, users: &[&str], feedback: &Feedback) -> Markup {
    html! {
        section aria-labelledby="password-title" {
            h2 #password-title { "Another password" }
            p { "For when you have changed your password at the provider. It is stored in " (SecretStore::of_this_ostler().on_the_page()) "." }
            // Behind the # is the place that the browser goes to, should the form come back.
            form method="post" action="/account/password#password-title" autocomplete="off" {
                (hidden_fields(shared, account))
                @if users.len() > 1 {
                    div.field {
                        label for="user" { "Whose password" }
                        select id="user" name="user" { @for user in users { option value=(user) { (user) } } }
                    }
                }
                (field("password", "The new password", "password", "", "", feedback.password.as_deref()))
                button type="submit" { "Save and test" }
            }
        }
    }
}

fn render_remove_form(shared: &Shared, account: &Account, feedback: &Feedback) -> Markup {
    html! {
        section aria-labelledby="remove" {
            h2 #remove { "Remove" }
            p { "Removes the account from ostler's settings and its passwords from " (SecretStore::of_this_ostler()) ". Your mail stays where it is." }
            form method="post" action="/account/remove#remove" {
                (hidden_fields(shared, account))
                (check("sure", &format!("Yes, remove {}", account.name), false, ""))
                @if let Some(why) = &feedback.remove { p.error role="alert" { (why) } }
                button.danger type="submit" { "Remove this account" }
            }
        }
    }
}

pub(super) fn hidden_fields(shared: &Shared, account: &Account) -> Markup {
    html! { (form_token(shared)) input type="hidden" name="account" value=(account.name); }
}

/// The local password; shown only if the user asks for it.
fn render_local_password(shared: &Shared, account: &Account, feedback: &Feedback) -> Markup {
    html! {
        section aria-labelledby="local" {
            h2 #local { "Password for your mail program" }
            p { "Type this password into your mail program, not the provider's." }
            @match &feedback.local {
                Some(Ok((secret, is_new))) => {
                    @if *is_new { div.notice.good role="status" { p { "This is the new password. Your mail program needs it from now on." } } }
                    p.copy { code.value { (secret.text()) } }
                }
                Some(Err(why)) => { p.error role="alert" { (why) } }
                None => {}
            }
            form method="post" action="/account/local#local" {
                (hidden_fields(shared, account))
                button.second type="submit" name="show" value="old" { "Show it" }
                @if account.local_password.as_ref().is_none_or(|source| *source == SecretSource::Keyring) {
                    button.second type="submit" name="show" value="new" { "Make a new one" }
                }
            }
        }
    }
}

fn purpose(account: &Account, server: &Server) -> &'static str {
    match server.protocol {
        Protocol::Imap if account.pop3.is_none() => "Fetches and reads by IMAP at",
        Protocol::Pop3 => "Fetches from",
        Protocol::Smtp => "Sends through",
        Protocol::Imap => "Read by IMAP at",
    }
}

fn describe(server: &Server) -> String {
    let security = match server.security {
        Security::Tls => "encrypted (TLS)",
        Security::StartTls => "encrypted (STARTTLS)",
        Security::None => "NOT ENCRYPTED: anyone along the way can read mail and password",
    };
    let who = match (server.credentials(), server.gate()) {
        (Some(credentials), _) => format!(", as {}", credentials.username),
        (None, Some(_)) => ", after checking mail".into(),
        (None, None) => ", without signing in".into(),
    };
    format!("{}, {security}{who}", server.address())
}

pub(super) async fn test(shared: App, Form(sent): Form<AccountForm>) -> Response {
    match find_account(&shared, Some(&sent.account)) {
        Some(account) => start_test(&shared, account, None),
        None => ask_which(&shared, "/account"),
    }
}

/// Tests the account in a job, after saying `first`.
fn start_test(shared: &Arc<Shared>, account: Arc<Account>, first: Option<&'static str>) -> Response {
    let (own, name, tested) = (Arc::clone(shared), account.name.clone(), Arc::clone(&account));
    let work = move |mut screen: Screen| {
        first.into_iter().for_each(|text| screen.note(text));
        run_test(own, screen, tested)
    };
    let mut stages = Vec::new();
    stages.extend(account.serves(Protocol::Pop3).then_some(Stage::Fetch));
    stages.extend(account.serves(Protocol::Smtp).then_some(Stage::Send));
    super::progress::open_job(shared.jobs.start(&name, &stages, work))
}

/// Has the user sign in at the company that gives out the account's tokens.
pub(super) async fn sign_in(shared: App, Form(sent): Form<AccountForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let (own, name) = (Arc::clone(&shared), account.name.clone());
    let work = move |screen: Screen| run_sign_in(own, screen, account);
    super::progress::open_job(shared.jobs.start(&name, &[Stage::SignIn], work))
}

async fn run_sign_in(shared: Arc<Shared>, mut screen: Screen, account: Arc<Account>) -> Phase {
    let keeper = shared.engine.tokens.clone();
    let timeouts = shared.engine.settings().timeouts.clone();
    let done = async {
        let sign_in = Authorize::new(&keeper, &account).map_err(|error| error.to_string())?;
        let signed_in =
            sign_in.run_and_try(Way::Browser, &mut screen, &timeouts).await.map_err(|error| error.to_string())?;
        keeper.keep(&account, &signed_in.tokens).await.map_err(|error| trouble(&error))?;
        Ok::<_, String>(signed_in.refusals)
    };
    match done.await {
        Ok(refusals) => {
            for refusal in &refusals {
                SetupUi::note(&mut screen, &format!("{}.", capitalised(&on_page(&refusal.to_string()))));
            }
            shared.engine.events.publish(Event::SignedIn(account.name.clone()));
            Phase::Tested { ok: refusals.is_empty() }
        }
        Err(why) => Phase::Ended(format!("{}. Nothing has changed.", capitalised(&on_page(&why)))),
    }
}

/// Forgets the sign-in, and takes it back at the company.
pub(super) async fn sign_out(shared: App, Form(sent): Form<AccountForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let keeper = shared.engine.tokens.clone();
    let taken = match keeper.take_out(&account).await {
        Ok(taken) => taken,
        Err(error) => {
            return render_page(&shared, &account, &Feedback { sign_in: Some(trouble(&error)), ..Feedback::default() });
        }
    };
    keeper.sign_out(&account);
    shared.engine.events.publish(Event::SignedOut(account.name.clone()));
    if let (Some(tokens), Ok(sign_in)) = (taken, Authorize::new(&keeper, &account)) {
        let _ = sign_in.revoke(&tokens).await;
    }
    let done = Some(
        "You are signed out. ostler can neither fetch nor send for this account until you sign in again.".to_owned(),
    );
    render_page(&shared, &account, &Feedback { done, ..Feedback::default() })
}

/// Does the same as `ostler check`. An engine of its own, so that neither cached passwords nor cached connections hide a
/// fault.
async fn run_test(shared: Arc<Shared>, mut screen: Screen, account: Arc<Account>) -> Phase {
    let settings = shared.engine.settings().as_ref().clone();
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let vault = Vault::new().knowing(presets.app_passwords());
    let engine = Arc::new(Engine::new(settings, vault, Events::default()));
    let steps = check_account(&engine, &account, presets.closed(&account), |step| screen.step(step)).await;
    Phase::Tested { ok: steps.iter().all(|step| step.is_ok()) }
}

/// Stores another password for every server whose password is in the keyring, then tests the account.
pub(super) async fn password(shared: App, Form(sent): Form<AccountForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let is_meant = |server: &&Server| match (&sent.user, server.credentials()) {
        (Some(user), Some(credentials)) => credentials.username == *user,
        _ => true,
    };
    let given: Result<Vec<_>, _> = keyring_servers(&account)
        .into_iter()
        .filter(is_meant)
        .map(|server| {
            let makes_app_passwords = presets.makes_app_passwords(&account, server);
            Given::new(sent.password.as_bytes(), makes_app_passwords).map(|given| (server, given))
        })
        .collect();
    let kept = match given {
        Ok(given) => {
            let has_lost_blanks = given.iter().any(|(_, given)| given.has_lost_blanks);
            let secrets: Vec<_> = given.into_iter().map(|(server, given)| (server, Arc::new(given.secret))).collect();
            let stored = shared.engine.vault.store_all(&account, secrets).await;
            stored.map(|()| has_lost_blanks.then_some(APP_PASSWORD_JOINED)).map_err(|error| trouble(&error))
        }
        Err(why) => Err(format!("This cannot be a password: {why}.")),
    };
    match kept {
        Ok(first) => start_test(&shared, account, first),
        Err(why) => render_page(&shared, &account, &Feedback { password: Some(why), ..Feedback::default() }),
    }
}

fn trouble(error: &VaultError) -> String {
    format!("{}. {}", error_chain(error), SecretStore::of_this_ostler().remedy())
}

pub(super) async fn local_password(shared: App, Form(sent): Form<AccountForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let vault = &shared.engine.vault;
    let new = sent.show.as_deref() == Some("new");
    let secret = if new { vault.new_local_password(&account).await } else { vault.local_password(&account).await };
    let local = secret.map(|secret| (secret, new)).map_err(|error| trouble(&error));
    render_page(&shared, &account, &Feedback { local: Some(local), ..Feedback::default() })
}

pub(super) async fn remove(shared: App, Form(sent): Form<AccountForm>) -> Response {
    let Some(account) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let stays = |why: String| Feedback { remove: Some(why), ..Feedback::default() };
    if sent.sure.is_none() {
        let feedback = stays("Nothing was removed. Tick the box above if you are sure.".into());
        return render_page(&shared, &account, &feedback);
    }
    let _turn = wait_for_accounts(&shared.file).await;
    // The settings first: passwords without an account do no harm, an account without passwords fails.
    if let Err(why) = remove_from_settings(&shared, &account).await {
        return render_page(&shared, &account, &stays(why));
    }
    // Nothing is stored any more for an account that ostler does not serve.
    shared.reload_until(|settings| settings.accounts.iter().all(|known| known.name != account.name)).await;
    let forgotten = shared.engine.vault.forget_account(&account).await.err();
    let forgotten = forgotten
        .map(|error| format!("Its passwords are still in {}: {}", SecretStore::of_this_ostler(), trouble(&error)));
    shared.engine.tokens.forget(&account.name);
    shared.engine.events.forget_account(&account.name);
    let body = html! {
        div.notice.good role="status" { p { "The account " b { (account.name) } " has been removed." } }
        @if let Some(why) = forgotten { div.notice.bad { p { (why) } } }
        p { a.button href="/" { "Overview" } }
    };
    View::new("Removed", NavItem::Overview, body).into_response()
}

/// Removes the account from the settings file and leaves everything else in it as it is.
async fn remove_from_settings(shared: &Shared, account: &Account) -> Result<(), String> {
    let file = shared.file.display();
    let edit = |text: &str| config::remove_account(text, &account.name);
    let refused = |error| format!("Nothing was removed: {error}. Edit {file} yourself.");
    shared.edit_settings("Nothing was removed, because ", edit, refused).await
}
