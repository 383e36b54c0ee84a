//! The messages of XOAUTH2 and OAUTHBEARER (RFC 7628), which give an OAuth2 access token, and what a server says when it refuses
//! one: a challenge with the reason, which wants an answer before the refusal itself comes.

use base64::Engine;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::sasl::{BASE64, LENIENT};
use crate::wire::printable;

/// What divides the parts of a message: the octet 1.
const DIVIDER: &str = "\u{1}";

/// The answer to the challenge that refuses a token of OAUTHBEARER: the octet 1 (RFC 7628, section 3.2.3). XOAUTH2 has an empty
/// line there.
pub(super) const GO_ON: &str = "AQ==";

/// The longest part of a server's reason that is shown.
const MAX_REASON_CHARS: usize = 80;

/// The message of XOAUTH2 in base64.
pub(super) fn xoauth2_message(user: &str, token: &[u8]) -> Zeroizing<String> {
    let end = DIVIDER.repeat(2);
    encode(&[b"user=", user.as_bytes(), DIVIDER.as_bytes(), b"auth=Bearer ", plain(token), end.as_bytes()])
}

/// A token has no blanks (RFC 6750, section 2.1); the script that prints it, or the file, may have some behind it.
fn plain(token: &[u8]) -> &[u8] {
    token.trim_ascii()
}

/// The message of OAUTHBEARER in base64. `host` and `port` are the server's, so that the token is of no use to another one.
pub(super) fn oauthbearer_message(user: &str, host: &str, port: u16, token: &[u8]) -> Zeroizing<String> {
    let place = format!("host={host}{DIVIDER}port={port}{DIVIDER}");
    let name = format!("n,a={},{DIVIDER}", user.replace('=', "=3D").replace(',', "=2C"));
    let end = DIVIDER.repeat(2);
    encode(&[name.as_bytes(), place.as_bytes(), b"auth=Bearer ", plain(token), end.as_bytes()])
}

fn encode(parts: &[&[u8]]) -> Zeroizing<String> {
    let message = Zeroizing::new(parts.concat());
    Zeroizing::new(BASE64.encode(message.as_slice()))
}

/// Why a server refuses a token, from its challenge in base64: the `status` and the `scope` that it wants, printable. Empty if it
/// gives no reason that can be read.
pub fn reason_of(challenge: &[u8]) -> String {
    let decoded = LENIENT.decode(challenge.trim_ascii()).unwrap_or_default();
    let Ok(Value::Object(told)) = serde_json::from_slice::<Value>(&decoded) else { return String::new() };
    let field = |name: &str| match told.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(short(text)),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let status = field("status").map(|status| format!("status {status}"));
    let scope = field("scope").map(|scope| format!("it wants {scope}"));
    status.into_iter().chain(scope).collect::<Vec<_>>().join(", ")
}

fn short(text: &str) -> String {
    printable(text.as_bytes()).chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(message: &str) -> String {
        String::from_utf8(BASE64.decode(message).unwrap()).unwrap()
    }

    #[test]
    fn the_messages_have_the_form_that_servers_want() {
        let message = xoauth2_message("ann@example.net", b"ya29.token");
        assert_eq!(decoded(&message), "user=ann@example.net\u{1}auth=Bearer ya29.token\u{1}\u{1}");
        let message = oauthbearer_message("ann@example.net", "pop.example.net", 995, b"ya29.token");
        assert_eq!(
            decoded(&message),
            "n,a=ann@example.net,\u{1}host=pop.example.net\u{1}port=995\u{1}auth=Bearer ya29.token\u{1}\u{1}"
        );
        assert_eq!(*xoauth2_message("a", b" t "), *xoauth2_message("a", b"t"));
        let odd = oauthbearer_message("a,b=c", "h", 1, b"t");
        assert!(decoded(&odd).starts_with("n,a=a=2Cb=3Dc,\u{1}"), "RFC 5801, section 4");
        assert_eq!(decoded(GO_ON), "\u{1}");
    }

    #[test]
    fn a_reason_is_read_where_there_is_one() {
        let told = |json: &str| reason_of(BASE64.encode(json).as_bytes());
        let dovecot = "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}";
        assert_eq!(told(dovecot), "status 401, it wants mail");
        assert_eq!(
            told("{\"status\":\"invalid_token\",\"openid-configuration\":\"https://x\"}"),
            "status invalid_token"
        );
        assert_eq!(told("{\"status\":400}"), "status 400");
        for nothing in ["", "[]", "{}", "{\"status\":", "{\"status\":\"\"}", "nonsense"] {
            assert_eq!(told(nothing), "", "{nothing}");
        }
        assert_eq!(reason_of(b"!!!"), "");
        let long = told(&format!("{{\"status\":\"{}\"}}", "x\\n".repeat(500)));
        assert!(long.len() < 100 && long.is_ascii() && !long.contains('\n'), "{long}");
    }
}
