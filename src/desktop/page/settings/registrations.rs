//! Registrations at companies that give out OAuth2 tokens: which there are, the form of each, and the secret that some companies
//! give with one.

use axum::Form;
use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    Refusal, Scope, Sent, Shared, Wrong, apply, finish, read_file, render_form, save, sent_value, word_edit_error,
};
use crate::config::{self, ShownFile, issuers};
use crate::desktop::page::App;
use crate::desktop::page::layout::{check, field, form_token};
use crate::proxy::tokens::registration_guide;
use crate::vault::SecretStore;
use ostler_mail::account::issuer::ClientSecret;
use ostler_mail::account::{Account, SecretSource, Settings};
use ostler_mail::failure::error_chain;
use ostler_mail::secret::given::Given;

/// The address of the form.
pub(super) const PATH: &str = "/settings/registration";

#[derive(Deserialize)]
pub(in crate::desktop::page) struct CompanyQuery {
    company: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::desktop::page) struct SecretForm {
    company: String,
    #[serde(default)]
    secret: Zeroizing<String>,
}

/// The form for the registration at a company.
pub(in crate::desktop::page) fn link_to(company: &str) -> String {
    format!("{PATH}?company={company}")
}

/// What people call a company.
pub(super) fn title(company: &str) -> String {
    issuers::known(company).map_or_else(|| company.to_owned(), |issuer| issuer.title.clone())
}

pub(in crate::desktop::page) async fn show(shared: App, Query(asked): Query<CompanyQuery>) -> Response {
    match scope_of(&shared, asked.company.as_deref()) {
        Ok(scope) => render_form(&shared, &scope, None, &Wrong::new(), None),
        Err(wrong) => render_form(&shared, &Scope::Computer, None, &wrong, None),
    }
}

pub(in crate::desktop::page) async fn submit(shared: App, Form(sent): Form<Sent>) -> Response {
    match scope_of(&shared, sent_value(&sent, "company")) {
        Ok(scope) => apply(&shared, scope, sent).await,
        Err(wrong) => render_form(&shared, &Scope::Computer, None, &wrong, None),
    }
}

/// Stores the secret of a registration in the keyring.
pub(in crate::desktop::page) async fn store_secret(shared: App, Form(sent): Form<SecretForm>) -> Response {
    let scope = match scope_of(&shared, Some(&sent.company)) {
        Ok(scope) => scope,
        Err(wrong) => return render_form(&shared, &Scope::Computer, None, &wrong, None),
    };
    let Some(issuer) = issuers::find(&shared.engine.settings(), &sent.company) else {
        return render_form(&shared, &scope, None, &Wrong::new(), None);
    };
    let stored = match Given::new(sent.secret.as_bytes(), false) {
        Ok(given) => {
            let stored = shared.engine.vault.store_client_secret(&issuer, &given.secret).await;
            stored.map_err(|error| format!("{}. {}", error_chain(&error), SecretStore::of_this_ostler().remedy()))
        }
        Err(why) => Err(format!("This cannot be a secret: {why}.")),
    };
    match stored {
        Ok(()) => {
            let place = SecretStore::of_this_ostler().on_the_page();
            let done = format!("The secret is stored in {place}, for {} only.", issuer.token.host());
            render_form(&shared, &scope, None, &Wrong::new(), Some(&done))
        }
        Err(why) => render_form(&shared, &scope, None, &vec![(String::new(), why)], None),
    }
}

#[derive(Deserialize)]
pub(in crate::desktop::page) struct RemovalForm {
    company: String,
    sure: Option<String>,
}

/// Removes a registration that no account uses, with its secret.
pub(in crate::desktop::page) async fn remove(shared: App, Form(sent): Form<RemovalForm>) -> Response {
    let scope = match scope_of(&shared, Some(&sent.company)) {
        Ok(scope) => scope,
        Err(wrong) => return render_form(&shared, &Scope::Computer, None, &wrong, None),
    };
    let refuse = |why: String| render_form(&shared, &scope, None, &vec![(String::new(), why)], None);
    let Scope::Registration(name) = &scope else { return refuse("Nothing was removed.".into()) };
    if sent.sure.is_none() {
        return refuse("Nothing was removed. Tick the box beside the button if you are sure.".into());
    }
    let saving = save(&shared, |file, text, presets| {
        if !file.registrations().contains(&name.as_str()) {
            return Err(Refusal::Said("Nothing was removed: this registration is no longer there.".into()));
        }
        let users = users_of(&file.settings, name);
        if !users.is_empty() {
            return Err(Refusal::Said(format!(
                "Nothing was removed: {} with this registration.",
                sign_in_text(&users)
            )));
        }
        let removed = config::remove_registration(text, name, &shared.file, presets);
        removed.map_err(|error| Refusal::Said(word_edit_error(&shared, &error)))
    });
    let saved = match saving.await {
        Ok(saved) => saved,
        Err(Refusal::Said(why)) => return refuse(why),
        Err(Refusal::Wrong(wrong)) => return render_form(&shared, &scope, None, &wrong, None),
    };
    let old = issuers::find(&saved.old, name);
    let secret = old.filter(|issuer| issuer.client_secret == Some(ClientSecret::Kept(SecretSource::Keyring)));
    let mut done = format!("The registration at {} is removed.", title(name));
    finish(&shared, saved, None).await;
    if let Some(issuer) = secret
        && let Err(error) = shared.engine.vault.forget_client_secret(&issuer).await
    {
        let store = SecretStore::of_this_ostler();
        done += &format!(" Its secret is still in {store}: {}.", error_chain(&error));
    }
    render_form(&shared, &Scope::Computer, None, &Wrong::new(), Some(&done))
}

/// The accounts that sign in at a company.
fn users_of<'s>(settings: &'s Settings, company: &str) -> Vec<&'s str> {
    let own = issuers::find(settings, company).map_or_else(|| company.to_owned(), |issuer| issuer.name.clone());
    let is_user = |account: &&std::sync::Arc<Account>| account.oauth2.as_ref().is_some_and(|issuer| issuer.name == own);
    settings.accounts.iter().filter(is_user).map(|account| account.name.as_str()).collect()
}

/// That these accounts sign in, as the beginning of a sentence.
fn sign_in_text(accounts: &[&str]) -> String {
    match accounts {
        [one] => format!("the account {one} signs in"),
        several => format!("the accounts {} sign in", several.join(", ")),
    }
}

/// The button that removes a registration, or why it cannot be removed.
pub(super) fn render_removal(shared: &Shared, file: &ShownFile, company: &str) -> Markup {
    let users = users_of(&file.settings, company);
    html! {
        @if file.registrations().contains(&company) {
            section aria-labelledby="remove" {
                h2 #remove { "Remove" }
                @if users.is_empty() {
                    form method="post" action={ (PATH) "/remove" } {
                        (form_token(shared))
                        input type="hidden" name="company" value=(company);
                        (check("sure", &format!("Yes, remove the registration at {}", title(company)), false, ""))
                        button.danger type="submit" { "Remove this registration" }
                    }
                } @else {
                    p { "It cannot be removed as long as " (sign_in_text(&users)) " with it." }
                }
            }
        }
    }
}

/// The registration that is asked for. Mail.ru, say, has two names, and the file may have the other one.
fn scope_of(shared: &Shared, company: Option<&str>) -> Result<Scope, Wrong> {
    let company = company.unwrap_or_default().trim();
    if !issuers::is_name(company) {
        let why = format!("A company has a name of {}. Nothing was changed.", issuers::NAME);
        return Err(vec![(String::new(), why)]);
    }
    let canonical = |name: &str| issuers::known(name).map(|issuer| issuer.name.clone());
    let file = read_file(shared).ok();
    let tables = file.iter().flat_map(ShownFile::registrations);
    let same = tables.into_iter().find(|name| *name == company || canonical(name).is_some_and(|own| own == company));
    Ok(Scope::Registration(same.unwrap_or(company).to_owned()))
}

/// What a registration is, and where one comes from.
pub(super) fn render_intro(company: &str) -> Markup {
    let guide = issuers::known(company).and_then(|issuer| registration_guide(&issuer.name));
    html! {
        p {
            "Some companies let a program in only if it is registered with them. What you type here is what the company gives to whoever \
             registers a program."
            @if let Some(guide) = guide { " " a href={ "/manual/" (guide) } { "How to get a registration" } }
        }
    }
}

/// The companies, each with whether ostler is registered there.
pub(super) fn render_list(file: &ShownFile) -> Markup {
    let registered = |name: &str| issuers::find(&file.settings, name).is_some_and(|issuer| issuer.client_id.is_some());
    html! {
        section.panel aria-labelledby="registrations" {
            h2 #registrations { "Signing in in the web browser (OAuth2)" }
            p { "For providers that take no password. A provider whose company is not in this list needs all its addresses." }
            ul {
                @for name in issuers::names(&file.settings) {
                    li { a href=(link_to(name)) { (title(name)) } @if registered(name) { ": registered" } @else { ": not registered" } }
                }
            }
            form method="get" action=(PATH) {
                (field("company", "Another company", "text", "", "A short name of your own for it: small letters, digits and hyphens.", None))
                button.second type="submit" { "Go on" }
            }
        }
    }
}

/// The form for the secret, where the settings say that it is in the keyring.
pub(super) fn render_secret(shared: &Shared, file: &ShownFile, company: &str) -> Markup {
    let issuer = issuers::find(&file.settings, company);
    let is_in_keyring =
        issuer.is_some_and(|issuer| issuer.client_secret == Some(ClientSecret::Kept(SecretSource::Keyring)));
    html! {
        @if is_in_keyring {
            section.panel aria-labelledby="secret-title" {
                h2 #secret-title { "The secret" }
                p { "It is stored in " (SecretStore::of_this_ostler().on_the_page()) ", in place of an older one." }
                form method="post" action={ (PATH) "/secret" } autocomplete="off" {
                    (form_token(shared))
                    input type="hidden" name="company" value=(company);
                    (field("secret", "Secret of the registration (client secret)", "password", "", "", None))
                    button type="submit" { "Store it" }
                }
            }
        }
    }
}
