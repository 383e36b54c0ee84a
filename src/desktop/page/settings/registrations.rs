//! Registrations at companies that give out OAuth2 tokens: which there are, the form of each, and the secret that some companies
//! give with one.

use axum::Form;
use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Scope, Sent, Shared, Wrong, apply, read_file, render_form, sent_value};
use crate::config::{ShownFile, issuers};
use crate::desktop::page::App;
use crate::desktop::page::layout::{field, form_token};
use crate::proxy::tokens::registration_guide;
use crate::vault::SecretStore;
use ostler_mail::account::SecretSource;
use ostler_mail::account::issuer::ClientSecret;
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
    let own = file.registrations().into_iter().filter(|name| issuers::known(name).is_none());
    let registered = |name: &str| issuers::find(&file.settings, name).is_some_and(|issuer| issuer.client_id.is_some());
    html! {
        section.panel aria-labelledby="registrations" {
            h2 #registrations { "Signing in in the web browser (OAuth2)" }
            p { "For providers that take no password. A provider whose company is not in this list needs all its addresses." }
            ul {
                @for name in issuers::known_names().chain(own) {
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
