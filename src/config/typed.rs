//! Values of the settings file as people type and read them on the settings page: `2110, 127.0.0.2:110` for a list, `none` for
//! false, `file: PATH` for a table that says where a password is.
//!
//! Whether a value is allowed is not judged here: the file is read again as a whole with it.

use toml_edit::{Array, InlineTable, Value};

use super::keys::Kind;
use super::value;
use ostler_mail::idn;

/// What stands for false where a key is otherwise a port, and for an empty list of words.
pub(crate) const NO_DOOR: &str = "none";
/// What stands for true and false.
pub(crate) const YES: &str = "yes";
pub(crate) const NO: &str = "no";

/// The value that a text stands for. `None`: nothing was typed, so that the default applies. The error is a sentence for the
/// person who typed it.
pub(super) fn to_value(kind: Kind, typed: &str) -> Result<Option<Value>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    let value = match kind {
        Kind::Port => {
            Value::from(typed.parse::<u16>().map(i64::from).map_err(|_| "A port is a number from 1 to 65535.")?)
        }
        Kind::Connections => {
            Value::from(typed.parse::<u16>().map(i64::from).map_err(|_| "This is a number from 1 to 100.")?)
        }
        Kind::Door | Kind::Page => door(typed),
        Kind::Addresses => list(typed, |alias| idn::name(alias).into_owned()),
        Kind::Networks => list(typed, str::to_owned),
        Kind::Words(_) if typed == NO_DOOR => Value::Array(Array::new()),
        Kind::Words(_) => list(typed, str::to_owned),
        Kind::YesNo => Value::from(typed == YES),
        Kind::Host => Value::from(value::host(typed).unwrap_or_else(|_| typed.to_owned())),
        Kind::Password | Kind::LocalPassword => password(typed),
        Kind::Text
        | Kind::Address
        | Kind::Choice(_)
        | Kind::Duration
        | Kind::TimeLimit
        | Kind::Command
        | Kind::File
        | Kind::Variable
        | Kind::Certificates
        | Kind::Https
        | Kind::Fingerprint => Value::from(typed),
        Kind::Texts => list(typed, str::to_owned),
        Kind::Table(_) | Kind::Tables(_) | Kind::Named(_) => return Err("A table has keys of its own.".into()),
    };
    Ok(Some(value))
}

/// The words of a list, which people separate by commas, semicolons or blanks.
fn words(typed: &str) -> impl Iterator<Item = &str> {
    typed.split([',', ';', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty())
}

fn list(typed: &str, word: impl Fn(&str) -> String) -> Value {
    Value::Array(words(typed).map(word).collect::<Array>())
}

fn door(typed: &str) -> Value {
    let one = |word: &str| word.parse::<u16>().map_or_else(|_| Value::from(word), |port| Value::from(i64::from(port)));
    let mut all: Vec<Value> = words(typed).map(one).collect();
    match (all.len(), typed) {
        (_, NO_DOOR) => Value::from(false),
        (1, _) => all.remove(0),
        _ => Value::Array(all.into_iter().collect()),
    }
}

/// `keyring` and `client` are words; in a table the key and its value stand like `file: PATH`.
fn password(typed: &str) -> Value {
    let Some((key, rest)) = typed.split_once(':') else { return Value::from(typed) };
    let rest = rest.trim();
    let value = match rest.strip_prefix('[').and_then(|_| rest.parse::<Value>().ok()) {
        Some(list @ Value::Array(_)) if key == "command" => list,
        _ => Value::from(rest),
    };
    let mut table = InlineTable::new();
    table.insert(key.trim(), value);
    Value::InlineTable(table)
}

/// A value of the file as a person reads it. A command is left out, because a password may stand in it.
pub(super) fn to_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Boolean(true) => YES.into(),
        toml::Value::Boolean(false) => NO.into(),
        toml::Value::Array(list) => list.iter().map(to_text).collect::<Vec<_>>().join(", "),
        toml::Value::Table(table) => match table.iter().next() {
            Some((key, _)) if key == "command" => "command:".into(),
            Some((key, value)) => format!("{key}: {}", to_text(value)),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

/// As [`to_text`], for a key of this kind: a door that is false is closed.
pub(super) fn to_text_of(kind: Kind, value: &toml::Value) -> String {
    match (kind, value) {
        (Kind::Door | Kind::Page, toml::Value::Boolean(false)) => NO_DOOR.into(),
        (Kind::Words(_), toml::Value::Array(list)) if list.is_empty() => NO_DOOR.into(),
        _ => to_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, typed: &str) -> String {
        to_value(kind, typed).unwrap().map(|value| value.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_typed_becomes_what_people_write_in_the_file() {
        for (kind, typed, written) in [
            (Kind::Door, "2110", "2110"),
            (Kind::Door, " 2110, 127.0.0.2:110 ", "[2110, \"127.0.0.2:110\"]"),
            (Kind::Door, "none", "false"),
            (Kind::Page, "[::1]:80", "\"[::1]:80\""),
            (Kind::Words(&[]), "date, charset", "[\"date\", \"charset\"]"),
            (Kind::Words(&[]), "none", "[]"),
            (Kind::Port, " 995 ", "995"),
            (Kind::Connections, "4", "4"),
            (Kind::YesNo, "yes", "true"),
            (Kind::YesNo, "no", "false"),
            (Kind::Addresses, "a@x.net; *@B\u{fc}cher.example", "[\"a@x.net\", \"*@xn--bcher-kva.example\"]"),
            (Kind::Networks, "10.0.0.7\r\n10.1.0.0/16", "[\"10.0.0.7\", \"10.1.0.0/16\"]"),
            (Kind::Host, "Mail.Example.NET.", "\"mail.example.net\""),
            (Kind::Host, "a b", "\"a b\""),
            (Kind::Password, "keyring", "\"keyring\""),
            (Kind::Password, "command: pass show a", "{ command = \"pass show a\" }"),
            (Kind::Password, "command: [\"pass\", \"a b\"]", "{ command = [\"pass\", \"a b\"] }"),
            (Kind::Password, "file: C:\\mail\\a", "{ file = 'C:\\mail\\a' }"),
            (Kind::Text, "  ", ""),
        ] {
            assert_eq!(value(kind, typed), written, "{typed}");
        }
        assert!(to_value(Kind::Port, "x").is_err() && to_value(Kind::Connections, "x").is_err());
    }

    #[test]
    fn what_is_in_the_file_is_typed_again_the_same() {
        for (kind, written) in [
            (Kind::Door, "[2110, \"127.0.0.2:110\"]"),
            (Kind::Door, "false"),
            (Kind::YesNo, "true"),
            (Kind::Words(&[]), "[]"),
            (Kind::Words(&[]), "[\"date\"]"),
            (Kind::Addresses, "[\"a@x.net\", \"*@y.net\"]"),
            (Kind::Password, "{ file = \"x\" }"),
            (Kind::Duration, "\"3m\""),
            (Kind::Port, "995"),
        ] {
            let read: toml::Table = format!("x = {written}").parse().unwrap();
            assert_eq!(value(kind, &to_text_of(kind, &read["x"])), written);
        }
        let read: toml::Table = "x = { command = \"echo hunter2-SECRET\" }".parse().unwrap();
        assert_eq!(to_text(&read["x"]), "command:");
    }
}
