//! How the key of a settings file looks as a field of a form, and what was typed into it.

use maud::{Markup, html};

use super::{Sent, Wrong, field_name, has_field, sent_value};
use crate::config::keys::{Choice, Key, Kind};
use crate::config::{NO, Origin, Place, Shown, ShownFile, YES, issuers};
use crate::desktop::page::layout::{check, field};
use crate::vault::SecretStore;
use ostler_mail::account::Security;

/// Keys that most people look for. All others are folded away.
fn is_common(place: &Place, key: &Key) -> bool {
    let common: &[&str] = match place {
        Place::Local => &["pop3", "smtp", "imap", "page", "access", "allow", "notices"],
        Place::Account(_) => &["name", "address", "aliases", "username", "default"],
        Place::Server(..) => &["host", "port", "security", "auth"],
        Place::Registration(name) if issuers::known(name).is_some() => &["client_id", "client_secret"],
        Place::Registration(_) => {
            &["client_id", "client_secret", "authorize", "token", "device", "revoke", "scopes", "redirect"]
        }
        Place::Timeouts | Place::Doors(_) | Place::Login(..) => &[],
    };
    common.contains(&key.name)
}

/// The fields of a table: the common ones, then the others.
pub(super) fn render_place(file: &ShownFile, place: &Place, sent: Option<&Sent>, wrong: &Wrong) -> Markup {
    let table = place.table();
    let (common, rare): (Vec<&Key>, Vec<&Key>) =
        table.keys.iter().filter(|key| has_field(key)).partition(|key| is_common(place, key));
    let is_set = |key: &&Key| file.value(place, key).origin == Origin::File;
    let is_wrong = |key: &&Key| wrong.iter().any(|(name, _)| *name == field_name(place, key));
    let title = if common.is_empty() { table.title } else { "More" };
    html! {
        @for key in &common { (render_key(file, place, key, sent, wrong)) }
        @if !rare.is_empty() {
            details open[rare.iter().any(|key| is_set(key) || is_wrong(key))] {
                summary { (title) }
                @if common.is_empty() { p.hint { (table.help) } }
                @for key in &rare { (render_key(file, place, key, sent, wrong)) }
            }
        }
    }
}

fn render_key(file: &ShownFile, place: &Place, key: &Key, sent: Option<&Sent>, wrong: &Wrong) -> Markup {
    let name = field_name(place, key);
    let shown = file.value(place, key);
    let why = wrong.iter().find(|(field, _)| *field == name).map(|(_, why)| why.as_str());
    let typed = sent.map_or_else(|| shown.text.clone(), |sent| typed_text(key, &name, sent, &shown.text));
    let hint = describe(key, &shown);
    html! {
        @match key.kind {
            Kind::YesNo => { (check(&name, key.label, typed == YES, &hint)) @if let Some(why) = why { p.error role="alert" { (why) } } }
            Kind::Choice(choices) => {
                (select(&name, key.label, &options(choices, &shown), &typed, &hint, why))
                @if key.name == "security" && why.is_some() && typed == Security::None.name() {
                    (check(&format!("sure.{name}"), "I know that anyone along the way can read mail and password", false, ""))
                }
            }
            Kind::Password | Kind::LocalPassword => { (render_password(key, &name, &shown, &typed, &hint, why)) }
            _ => { (field(&name, key.label, "text", &typed, &hint, why)) }
        }
        // What the form shows: a field that is sent back like this was not changed.
        input type="hidden" name={"was." (name)} value=(shown.text);
    }
}

/// What a person has to know: what the key is for, and where the value comes from.
fn describe(key: &Key, shown: &Shown) -> String {
    let origin = match shown.origin {
        Origin::File => "From your settings file.".to_owned(),
        Origin::Preset => "From what ostler knows of the provider.".to_owned(),
        Origin::Account => "As for the whole account.".to_owned(),
        Origin::Default if shown.text.is_empty() => String::new(),
        Origin::Default => "The usual value.".to_owned(),
        Origin::Words("" | "none") => String::new(),
        Origin::Words(words) => format!("If it is empty: {words}."),
    };
    [key.help, &origin].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The words to choose from, and the empty one for what applies without the key.
fn options(choices: &[Choice], shown: &Shown) -> Vec<(&'static str, String)> {
    let usual = match shown.origin {
        Origin::File => Some(String::from("what applies without it")),
        Origin::Words(words) => Some(words.to_owned()),
        Origin::Preset | Origin::Account | Origin::Default => None,
    };
    let words = choices.iter().map(|choice| (choice.word, choice.label.to_owned()));
    usual.into_iter().map(|usual| ("", usual)).chain(words).collect()
}

fn select(
    name: &str,
    label: &str,
    options: &[(&'static str, String)],
    chosen: &str,
    hint: &str,
    wrong: Option<&str>,
) -> Markup {
    let error = wrong.map(|_| format!("{name}-error ")).unwrap_or_default();
    let described = format!("{error}{name}-hint");
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) aria-describedby=(described) aria-invalid=[wrong.map(|_| "true")] {
                @for (word, text) in options { option value=(word) selected[*word == chosen] { (text) } }
            }
            @if let Some(why) = wrong { p.error id={(name) "-error"} role="alert" { (why) } }
            p.hint id={(name) "-hint"} { (hint) }
        }
    }
}

/// The places where a password can be. With some of them goes a text.
const PLACES: [(&str, &str); 5] = [
    ("keyring", "in the keyring of this computer"),
    ("client", "the mail program gives it"),
    ("command", "a command prints it"),
    ("file", "in a file"),
    ("env", "in a variable"),
];

fn render_password(key: &Key, name: &str, shown: &Shown, typed: &str, hint: &str, why: Option<&str>) -> Markup {
    let (place, detail) = typed.split_once(':').unwrap_or((typed, ""));
    let is_possible = |place: &str| place != "client" || matches!(key.kind, Kind::Password);
    let places = PLACES.into_iter().filter(|(place, _)| is_possible(place));
    let spoken = |place: &str, text: &str| match place {
        "keyring" => format!("in {}", SecretStore::of_this_ostler().on_the_page()),
        _ => text.to_owned(),
    };
    let mut all: Vec<(&str, String)> = places.map(|(place, text)| (place, spoken(place, text))).collect();
    if !matches!(shown.origin, Origin::Default) {
        all.insert(0, ("", "as usual".to_owned()));
    }
    // A command may hold a password, so it is not sent to the page.
    let is_hidden = place == "command";
    html! {
        (select(name, key.label, &all, place, hint, why))
        (field(&format!("{name}.detail"), "Command, file or variable", "text", if is_hidden { "" } else { detail.trim() },
            if is_hidden && shown.text == "command:" {
                "There is a command already. It is not shown, because a password may stand in it; type another one to replace it."
            } else {
                "For a command: ostler runs it, as you, whenever it needs the password, and takes the first line it prints. For a \
                 file: its path; the password is the first line. For a variable: its name. Never type the password itself here."
            }, None))
    }
}

/// What was typed for a key, in the form in which the file's value is shown.
pub(super) fn typed_text(key: &Key, name: &str, sent: &Sent, was: &str) -> String {
    let value = sent_value(sent, name).unwrap_or_default().trim();
    match key.kind {
        // A box that is not ticked is not sent.
        Kind::YesNo => if sent_value(sent, name).is_some() { YES } else { NO }.to_owned(),
        Kind::Password | Kind::LocalPassword if ["command", "file", "env"].contains(&value) => {
            let detail = sent_value(sent, &format!("{name}.detail")).unwrap_or_default().trim();
            let is_kept = detail.is_empty() && was == format!("{value}:");
            if is_kept { was.to_owned() } else { format!("{value}: {detail}") }
        }
        _ => value.to_owned(),
    }
}
