//! Moves a common door to another port in a settings file that a person wrote; everything else stays as it is.

use std::net::SocketAddr;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Value};

use super::edit::{EditError, meaning, parse_document, put, replace};
use super::line_ends::{appended, with_line_ends_of};
use crate::config::presets::Presets;
use ostler_mail::account::{Door, Protocol};

/// Moves the doors of `protocol` that all accounts share from port `from` to port `to` in `text`, the text of the
/// settings file `file`, which is not opened. Refused unless the new text means exactly that.
pub(crate) fn move_door(
    text: &str,
    protocol: Protocol,
    from: u16,
    to: u16,
    file: &Path,
    presets: &Presets,
) -> Result<String, EditError> {
    let mut document = parse_document(text)?;
    let old = meaning(text, file, presets)?;
    let after = if document.get("local").is_some() {
        put_port(&mut document, protocol, from, to)?;
        with_line_ends_of(text, &document.to_string())
    } else {
        // At the end, so that it does not separate a comment from what the comment is about.
        appended(text, &format!("[local]\n{protocol} = {to}\n"))
    };
    let new = meaning(&after, file, presets)?;
    let is_meant = |door: &Door| door.protocol == protocol && door.account.is_none() && door.address.port() == from;
    let doors = old.doors.iter().cloned().map(|mut door| {
        if is_meant(&door) {
            door.address.set_port(to);
        }
        door
    });
    let wanted = ostler_mail::account::Settings { doors: doors.collect(), ..old };
    if wanted == new { Ok(after) } else { Err(EditError::CannotTake) }
}

/// Puts the port into `[local]`, in the form that stands there.
fn put_port(document: &mut DocumentMut, protocol: Protocol, from: u16, to: u16) -> Result<(), EditError> {
    let local = document.get_mut("local").and_then(Item::as_table_like_mut).ok_or(EditError::TooEntangled)?;
    match local.get_mut(protocol.name()).map(Item::as_value_mut) {
        Some(Some(Value::Array(list))) => {
            for element in list.iter_mut() {
                if let Some(new) = with_port(element, from, to) {
                    replace(element, new);
                }
            }
        }
        Some(Some(value)) => {
            let new = with_port(value, from, to).ok_or(EditError::TooEntangled)?;
            put(local, protocol.name(), new);
        }
        Some(None) => return Err(EditError::TooEntangled),
        // The door is on its default port, which the file does not have to name.
        None => put(local, protocol.name(), Value::from(i64::from(to))),
    }
    Ok(())
}

/// The value with port `to` in place of `from`; `None` if it has another port.
fn with_port(value: &Value, from: u16, to: u16) -> Option<Value> {
    match value {
        Value::Integer(port) if *port.value() == i64::from(from) => Some(Value::from(i64::from(to))),
        Value::String(text) => {
            let mut address: SocketAddr = text.value().parse().ok().filter(|a: &SocketAddr| a.port() == from)?;
            address.set_port(to);
            Some(Value::from(address.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, from: u16, to: u16) -> Result<String, EditError> {
        move_door(text, Protocol::Pop3, from, to, Path::new("/x.toml"), Presets::built_in())
    }

    #[test]
    fn each_form_of_a_port_moves_and_nothing_else() {
        assert_eq!(
            at("[local] # doors\npop3 = 110 # low\n", 110, 1110).unwrap(),
            "[local] # doors\npop3 = 1110 # low\n"
        );
        assert_eq!(
            at("[local]\npop3 = \"127.0.0.1:110\"\n", 110, 1110).unwrap(),
            "[local]\npop3 = \"127.0.0.1:1110\"\n"
        );
        assert_eq!(at("[local]\npop3 = [ 110, 2110 ]\n", 110, 1110).unwrap(), "[local]\npop3 = [ 1110, 2110 ]\n");
        assert_eq!(at("# mine\n", 2110, 3110).unwrap(), "# mine\n[local]\npop3 = 3110\n");
    }

    #[test]
    fn what_is_not_there_or_not_free_is_refused() {
        assert_eq!(at("[local]\npop3 = 110\n", 2110, 3110), Err(EditError::TooEntangled));
        assert_eq!(at("[local]\npop3 = false\n", 2110, 3110), Err(EditError::TooEntangled));
        // The door for sending has it.
        assert_eq!(at("[local]\npop3 = 110\n", 110, 2025), Err(EditError::CannotTake));
    }
}
