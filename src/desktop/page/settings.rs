//! Forms for everything that the settings file can say: for this computer, for an account, for each of its servers. They are
//! made from the definition of the keys (`config/keys`), so that a key has a field as soon as it is defined. Only fields that
//! were changed are written, so that two browsers do not undo each other's work.
//!
//! Not here: how a field looks (`fields.rs`), the list of servers (`servers.rs`), certificates (`certificate.rs`); and the edit
//! of the file, which leaves comments in place (`config::change_keys`).

mod certificate;
mod fields;
mod registrations;
mod rename;
mod servers;

use std::sync::Arc;

use axum::Form;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::account::{Feedback, render_page as render_account_page};
use super::guide::{ask_which, find_account};
use super::layout::{NavItem, View, form_token};
use super::{App, Shared, link_to};
use crate::config::keys::{Key, Kind};
use crate::config::presets::Presets;
use crate::config::{self, Change, Changed, EditError, Mistakes, Place, ShownFile};
use crate::vault::servers_with_secret;
use ostler_mail::account::{Account, Protocol, Security, Server, Settings};

pub(super) use certificate::{look, show as show_certificate, take, upload};
pub(super) use registrations::{
    link_to as link_to_registration, remove as remove_registration, show as show_registration,
    store_secret as store_registration_secret, submit as submit_registration,
};
pub(super) use servers::{arrange, render_list};

/// A form as it was sent.
type Sent = Vec<(String, String)>;

fn sent_value<'s>(sent: &'s Sent, name: &str) -> Option<&'s str> {
    sent.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// What is wrong: the name of the field, or nothing if it is about the form as a whole, and a sentence.
type Wrong = Vec<(String, String)>;

/// What a form is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Computer,
    Account(String),
    /// The server for a protocol at a position, counted from 0.
    Server(String, Protocol, usize),
    /// A registration at a company that gives out OAuth2 tokens, by the name of its table.
    Registration(String),
}

impl Scope {
    /// The tables whose keys the form has.
    fn places(&self) -> Vec<Place> {
        match self {
            Self::Computer => vec![Place::Local, Place::Timeouts],
            Self::Account(name) => vec![Place::Account(name.clone()), Place::Doors(name.clone())],
            Self::Server(name, protocol, at) => {
                let login = protocol.is_outgoing().then(|| Place::Login(name.clone(), *at));
                [Some(Place::Server(name.clone(), *protocol, *at)), login].into_iter().flatten().collect()
            }
            Self::Registration(name) => vec![Place::Registration(name.clone())],
        }
    }

    fn path(&self) -> &'static str {
        match self {
            Self::Computer => "/settings",
            Self::Account(_) => "/account/settings",
            Self::Server(..) => "/account/server",
            Self::Registration(_) => registrations::PATH,
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Computer => "Settings".into(),
            Self::Account(name) => format!("Settings of {name}"),
            Self::Server(name, protocol, _) => format!("{name}: {}", describe_server(*protocol)),
            Self::Registration(name) => format!("Registration at {}", registrations::title(name)),
        }
    }

    fn account(&self) -> Option<&str> {
        match self {
            Self::Computer | Self::Registration(_) => None,
            Self::Account(name) | Self::Server(name, ..) => Some(name),
        }
    }

    /// The key that a message is about, as the fields of the form are called.
    fn field_of(&self, key: &str) -> String {
        let own = match self {
            Self::Registration(name) => key.strip_prefix(&format!("oauth2.{name}.")),
            Self::Computer | Self::Account(_) | Self::Server(..) => None,
        };
        own.map_or_else(|| key.to_owned(), |key| format!("oauth2.NAME.{key}"))
    }
}

fn describe_server(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "server for fetching",
        Protocol::Smtp => "server for sending",
        Protocol::Imap => "server for IMAP",
    }
}

/// How a server is called in an address: `smtp-2` is the second one for sending.
fn server_name(protocol: Protocol, at: usize) -> String {
    format!("{protocol}-{}", at + 1)
}

fn parse_server_name(name: &str) -> Option<(Protocol, usize)> {
    let (protocol, number) = name.split_once('-')?;
    Some((Protocol::from_name(protocol)?, number.parse::<usize>().ok()?.checked_sub(1)?))
}

#[derive(Deserialize)]
pub(super) struct ServerQuery {
    account: Option<String>,
    server: Option<String>,
}

impl ServerQuery {
    fn of_form(sent: &Sent) -> Self {
        let value = |name: &str| sent_value(sent, name).map(str::to_owned);
        Self { account: value("account"), server: value("server") }
    }

    /// The account and its server that are asked for. A position behind the last server stands for a further one.
    fn find(&self, shared: &Shared) -> Option<(Arc<Account>, Protocol, usize)> {
        let account = find_account(shared, self.account.as_deref())?;
        let (protocol, at) = parse_server_name(self.server.as_deref()?)?;
        let count = account.servers().filter(|server| server.protocol == protocol).count();
        let is_possible = at < count || at == count && (count == 0 || protocol.is_outgoing());
        is_possible.then_some((account, protocol, at))
    }
}

pub(super) async fn show(shared: App) -> Response {
    render_form(&shared, &Scope::Computer, None, &Wrong::new(), None)
}

pub(super) async fn submit(shared: App, Form(sent): Form<Sent>) -> Response {
    apply(&shared, Scope::Computer, sent).await
}

pub(super) async fn show_account(shared: App, Query(asked): Query<ServerQuery>) -> Response {
    match find_account(&shared, asked.account.as_deref()) {
        Some(account) => render_form(&shared, &Scope::Account(account.name.clone()), None, &Wrong::new(), None),
        None => ask_which(&shared, "/account/settings"),
    }
}

pub(super) async fn submit_account(shared: App, Form(sent): Form<Sent>) -> Response {
    match find_account(&shared, sent_value(&sent, "account")) {
        Some(account) => apply(&shared, Scope::Account(account.name.clone()), sent).await,
        None => ask_which(&shared, "/account/settings"),
    }
}

pub(super) async fn show_server(shared: App, Query(asked): Query<ServerQuery>) -> Response {
    match asked.find(&shared) {
        Some((account, protocol, at)) => {
            render_form(&shared, &Scope::Server(account.name.clone(), protocol, at), None, &Wrong::new(), None)
        }
        None => ask_which(&shared, "/account"),
    }
}

pub(super) async fn submit_server(shared: App, Form(sent): Form<Sent>) -> Response {
    match ServerQuery::of_form(&sent).find(&shared) {
        Some((account, protocol, at)) => apply(&shared, Scope::Server(account.name.clone(), protocol, at), sent).await,
        None => ask_which(&shared, "/account"),
    }
}

/// The form, filled in with what is in force or, after a mistake, with what was typed.
fn render_form(shared: &Shared, scope: &Scope, sent: Option<&Sent>, wrong: &Wrong, done: Option<&str>) -> Response {
    let body = match read_file(shared) {
        Ok(file) => html! {
            @if let Some(done) = done { div.notice.good role="status" { p { (done) } } }
            @if let Scope::Server(name, protocol, at) = scope { (certificate::render_link(&file, name, *protocol, *at)) }
            @if let Scope::Registration(name) = scope { (registrations::render_intro(name)) }
            (render_fields(shared, scope, &file, sent, wrong))
            @match scope {
                Scope::Computer => { (registrations::render_list(&file)) }
                Scope::Registration(name) => {
                    (registrations::render_secret(shared, &file, name))
                    (registrations::render_removal(shared, &file, name))
                }
                Scope::Account(_) | Scope::Server(..) => {}
            }
            @if let Scope::Server(name, protocol, at) = scope { (servers::render_removal(shared, &file, name, *protocol, *at)) }
        },
        Err(why) => html! { div.notice.bad role="alert" { p { (why) } } },
    };
    let body = html! {
        (body)
        @if let Some(name) = scope.account() { p { a href=(link_to("/account", name)) { "Back to " (name) } } }
        @if matches!(scope, Scope::Registration(_)) { p { a href="/settings" { "Back to the settings" } } }
    };
    let nav = if scope.account().is_some() { NavItem::Overview } else { NavItem::Settings };
    View::new(scope.title(), nav, body).into_response()
}

fn render_fields(shared: &Shared, scope: &Scope, file: &ShownFile, sent: Option<&Sent>, wrong: &Wrong) -> Markup {
    let first = fields_of(scope).into_iter().next().map(|(_, _, name)| name);
    html! {
        form.panel method="post" action=(scope.path()) autocomplete="off" data-first=[first] {
            (form_token(shared))
            @if let Some(name) = scope.account() { input type="hidden" name="account" value=(name); }
            @if let Scope::Server(_, protocol, at) = scope { input type="hidden" name="server" value=(server_name(*protocol, *at)); }
            @if let Scope::Registration(name) = scope { input type="hidden" name="company" value=(name); }
            @if !wrong.is_empty() {
                div.notice.bad role="alert" {
                    @if wrong.iter().any(|(field, _)| !field.is_empty()) {
                        p { "Nothing was changed yet. Please correct what is marked below." }
                    }
                    @for (_, why) in wrong.iter().filter(|(field, _)| field.is_empty()) { p { (why) } }
                }
            }
            p.hint { "Clear a field to go back to its usual value." }
            @for place in scope.places() { (fields::render_place(file, &place, sent, wrong)) }
            @if scope.account().is_some() {
                p.hint { "If you change a server or a user name, ostler forgets the stored password, so that no one else gets it, and asks for it again." }
            }
            button type="submit" { "Save" }
        }
    }
}

/// The settings file as it is now. The error is a sentence.
fn read_file(shared: &Shared) -> Result<ShownFile, String> {
    let text = match std::fs::read_to_string(&shared.file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{} cannot be read: {error}.", shared.file.display())),
    };
    let presets = Presets::load(&shared.file).unwrap_or_default();
    ShownFile::read(&text, &shared.file, &presets).map_err(|mistakes| word_old_mistakes(shared, &mistakes))
}

fn word_old_mistakes(shared: &Shared, mistakes: &Mistakes) -> String {
    let first = mistakes.iter().next().map(|m| format!(" Line {}: {} {}.", m.line, m.key, m.message));
    let file = shared.file.display();
    format!(
        "The settings file {file} has a mistake, so it cannot be changed here.{} Open it and correct that first.",
        first.unwrap_or_default()
    )
}

/// Why nothing was changed.
enum Refusal {
    Wrong(Wrong),
    /// A sentence.
    Said(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Said(why)
    }
}

/// The settings before and after a change.
struct Saved {
    old: Settings,
    new: Settings,
}

/// Changes the settings file as `edit` says, and waits until the running ostler works with it.
async fn save(
    shared: &Shared,
    edit: impl FnOnce(&ShownFile, &str, &Presets) -> Result<Changed, Refusal>,
) -> Result<Saved, Refusal> {
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let (mut refused, mut saved) = (None, None);
    let editing = shared.edit_settings(
        "Nothing was changed, because ",
        |text| {
            let file = ShownFile::read(text, &shared.file, &presets).map_err(EditError::Mistakes)?;
            match edit(&file, text, &presets) {
                Ok(changed) => {
                    saved = Some(Saved { old: file.settings, new: changed.settings });
                    Ok(changed.text)
                }
                Err(refusal) => {
                    refused = Some(refusal);
                    Err(EditError::CannotTake)
                }
            }
        },
        |error| match error {
            EditError::Mistakes(mistakes) => word_old_mistakes(shared, &mistakes),
            error => word_edit_error(shared, &error),
        },
    );
    let written = editing.await;
    match (refused, written, saved) {
        (Some(refusal), ..) => Err(refusal),
        (None, Err(why), _) => Err(Refusal::Said(why)),
        (None, Ok(()), Some(saved)) => Ok(saved),
        (None, Ok(()), None) => Err(Refusal::Said("Nothing was changed.".into())),
    }
}

fn word_edit_error(shared: &Shared, error: &EditError) -> String {
    let file = shared.file.display();
    match error {
        EditError::NoSuchAccount => "Nothing was changed: the account is no longer there.".into(),
        EditError::TooEntangled => {
            format!("Nothing was changed: ostler cannot edit the way this is written. Open {file} and change it there.")
        }
        EditError::NotToml { .. } | EditError::CannotTake | EditError::Mistakes(_) => {
            format!("Nothing was changed: {error}. Open {file}.")
        }
    }
}

/// Applies a form that was sent, and answers it.
async fn apply(shared: &Arc<Shared>, scope: Scope, sent: Sent) -> Response {
    let renamed = match rename::prepare(shared, &scope, &sent).await {
        Ok(renamed) => renamed,
        Err(wrong) => return render_form(shared, &scope, Some(&sent), &wrong, None),
    };
    let mut is_unchanged = false;
    let saving = save(shared, |file, text, presets| {
        let changes = read_changes(file, &scope, &sent).map_err(Refusal::Wrong)?;
        is_unchanged = changes.is_empty();
        config::change_keys(text, &changes, &shared.file, presets).map_err(|error| match error {
            EditError::Mistakes(mistakes) => Refusal::Wrong(place_mistakes(&scope, &changes, &mistakes)),
            error => Refusal::Said(word_edit_error(shared, &error)),
        })
    });
    let saved = saving.await;
    let saved = match saved {
        Ok(saved) => saved,
        Err(refusal) => {
            rename::undo(shared, renamed).await;
            let wrong = match refusal {
                Refusal::Wrong(wrong) => wrong,
                Refusal::Said(why) => vec![(String::new(), why)],
            };
            return render_form(shared, &scope, Some(&sent), &wrong, None);
        }
    };
    if is_unchanged {
        return render_form(shared, &scope, None, &Wrong::new(), Some("Nothing was changed: everything is as it was."));
    }
    if saved.old.page != saved.new.page {
        return move_page(shared, &saved).await;
    }
    let name = renamed.as_ref().map(|renamed| renamed.new.name.clone()).or(scope.account().map(str::to_owned));
    let done = finish(shared, saved, renamed).await;
    if let Scope::Registration(_) = scope {
        return render_form(shared, &scope, None, &Wrong::new(), Some(&done));
    }
    answer(shared, name.as_deref(), done)
}

/// Shows the account that was changed, or the settings of the computer.
fn answer(shared: &Arc<Shared>, account: Option<&str>, done: String) -> Response {
    match find_account(shared, account).filter(|_| account.is_some()) {
        Some(account) => render_account_page(shared, &account, &Feedback { done: Some(done), ..Feedback::default() }),
        None => render_form(shared, &Scope::Computer, None, &Wrong::new(), Some(&done)),
    }
}

/// Waits until the running ostler works with the changed settings, and forgets passwords that belong to nothing any more.
/// Returns what to tell the user.
async fn finish(shared: &Arc<Shared>, saved: Saved, renamed: Option<rename::Renamed>) -> String {
    let is_in_force = shared.reload_until(|settings| *settings == saved.new).await;
    let mut done = String::from("Changed.");
    if !is_in_force {
        done += " ostler does not work with it yet; \"What happened\" shows why.";
    }
    if let Some(renamed) = renamed {
        rename::finish(shared, &renamed).await;
        done += " Mail programs that used the old name need the new one.";
    }
    let mut is_forgotten = false;
    for (old, new) in saved.old.accounts.iter().zip(&saved.new.accounts) {
        // Renamed accounts keep their place in the file; their passwords have been moved.
        is_forgotten |= old.name == new.name && forget_old_passwords(shared, old, new).await;
    }
    if is_forgotten {
        done +=
            " The password for the old server or user name is forgotten; type it again below, under Another password.";
    }
    done
}

/// Forgets the passwords for servers that the account no longer has; returns whether there were such servers.
async fn forget_old_passwords(shared: &Shared, old: &Account, new: &Account) -> bool {
    let kept: Vec<_> = servers_with_secret(new).into_iter().map(Server::id).collect();
    let mut is_forgotten = false;
    for server in servers_with_secret(old).into_iter().filter(|server| !kept.contains(&server.id())) {
        is_forgotten = true;
        // A failure is harmless: the password is stored for the old server, to which nothing is sent any more.
        if let Err(error) = shared.engine.vault.forget_server(old, server).await {
            tracing::debug!("{error}");
        }
    }
    is_forgotten
}

/// Waits until the page is where the settings want it, and leads there. Not by a redirect: browsers let no form lead to another
/// port.
async fn move_page(shared: &Shared, saved: &Saved) -> Response {
    shared.reload_until(|settings| *settings == saved.new).await;
    let body = match saved.new.page {
        None => html! { p { "This page is closed now. Only the settings file brings it back." } },
        Some(wanted) => match shared.wait_for_move(wanted).await {
            Some(link) => {
                html! { p { "This page has another address now." } p { a.button href=(link) { "Go on there" } } }
            }
            None => {
                html! { p { "This page opens on " code { "http://" (wanted) "/" } " as soon as no other program has that port." } }
            }
        },
    };
    let body = html! { div.notice.good role="status" { p { "Changed." } } (body) };
    View::new("This page moves", NavItem::Settings, body).into_response()
}

/// Every key that has a field, with its table and the field's name.
fn fields_of(scope: &Scope) -> Vec<(Place, &'static Key, String)> {
    let of_place = |place: Place| {
        let keys = place.table().keys.iter().filter(|key| has_field(key));
        keys.map(move |key| (place.clone(), key, field_name(&place, key))).collect::<Vec<_>>()
    };
    scope.places().into_iter().flat_map(of_place).collect()
}

fn has_field(key: &Key) -> bool {
    !matches!(key.kind, Kind::Table(_) | Kind::Tables(_) | Kind::Named(_))
}

/// As messages about mistakes call the key: `account.smtp.host`.
fn field_name(place: &Place, key: &Key) -> String {
    format!("{}.{}", place.path(), key.name)
}

/// The changes that a form asks for: of the fields that are not as the form showed them.
fn read_changes(file: &ShownFile, scope: &Scope, sent: &Sent) -> Result<Vec<Change>, Wrong> {
    let (mut changes, mut wrong) = (Vec::new(), Wrong::new());
    for (place, key, name) in fields_of(scope) {
        let Some(was) = sent_value(sent, &format!("was.{name}")) else { continue };
        let typed = fields::typed_text(key, &name, sent, was);
        let now = file.value(&place, key).text;
        if typed == was || typed == now {
            continue;
        }
        if now != was {
            let now = if now.is_empty() { "nothing".to_owned() } else { now };
            wrong
                .push((name, format!("Meanwhile this was changed elsewhere, to: {now}. Look again, then save again.")));
            continue;
        }
        let unprotected = key.name == "security" && typed == Security::None.name();
        if unprotected && sent_value(sent, &format!("sure.{name}")).is_none() {
            wrong.push((name, "Without encryption anyone along the way can read mail and password. Tick the box below if you know that.".into()));
            continue;
        }
        match Change::typed(place, key, &typed) {
            Ok(change) => changes.push(change),
            Err(why) => wrong.push((name, why)),
        }
    }
    if let Scope::Account(name) = scope {
        take_default_from_others(file, name, &mut changes);
        file.spread_username(name, &mut changes);
        wrong.extend(rename::check(file, name, sent));
    }
    if wrong.is_empty() { Ok(changes) } else { Err(wrong) }
}

/// Only one account can be the default.
fn take_default_from_others(file: &ShownFile, name: &str, changes: &mut Vec<Change>) {
    let becomes_default = |change: &Change| change.key == "default" && change.is_yes();
    if !changes.iter().any(becomes_default) {
        return;
    }
    for other in file.settings.accounts.iter().filter(|other| other.is_default && other.name != name) {
        changes.push(Change::yes(Place::Account(other.name.clone()), "default", false));
    }
}

/// Puts each mistake of the changed file beside its field.
fn place_mistakes(scope: &Scope, changes: &[Change], mistakes: &Mistakes) -> Wrong {
    let fields = fields_of(scope);
    let one = |mistake: &config::Remark| {
        let key = scope.field_of(&mistake.key);
        let is_it = |name: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let field = fields.iter().find(|(_, _, name)| is_it(name));
        let is_changed = |place: &Place, key: &Key| {
            changes.iter().any(|change| change.place == *place && change.key == key.name) || changes.len() == 1
        };
        match field {
            Some((place, key, name)) if is_changed(place, key) => (name.clone(), format!("This {}.", mistake.message)),
            Some((_, key, _)) => (String::new(), format!("\"{}\" {}.", key.label, mistake.message)),
            None => (String::new(), format!("{} {}.", mistake.key, mistake.message)),
        }
    };
    mistakes.iter().map(one).collect()
}
