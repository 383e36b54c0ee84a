//! What an issuer answers where tokens are given out (RFC 6749, sections 5.1 and 5.2): a grant, a refusal, or trouble that says
//! nothing about either.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::failure::without_control;
use crate::secret::Secret;

/// The longest time for which a token is believed to be good.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest part of an issuer's words that is shown.
const MAX_DESCRIPTION_CHARS: usize = 300;
/// Answers that mean nothing but "not now" (RFC 6749, section 4.1.2.1; RFC 8628, section 3.5), with whatever status.
const NOT_NOW: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];
/// Refusals after which nothing but another sign-in by the user helps, or another registration: the grant has ended (RFC 6749,
/// section 5.2), the user has to be asked something (OpenID Connect Core, section 3.1.2.6), or ostler is not known there.
const FINAL: [&str; 9] = [
    "invalid_grant",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "invalid_client",
    "unauthorized_client",
    "invalid_scope",
    "access_denied",
];

/// What the issuer answers.
#[derive(Debug)]
pub enum Answer {
    /// The tokens.
    Granted(Grant),
    /// It refuses.
    Refused(Refusal),
    /// It is in trouble, or what answers is not the issuer. In words that follow its name.
    Trouble(String),
}

/// Tokens as they were given out.
#[derive(Debug)]
pub struct Grant {
    /// For the mail servers.
    pub access: Secret,
    /// For more access tokens. `None`: the one that ostler has stays valid.
    pub refresh: Option<Secret>,
    /// For how long the access token is good, if the issuer says so.
    pub lifetime: Option<Duration>,
    /// What it is good for, if that is not what was asked for.
    pub scope: Option<String>,
    /// Who has signed in, if the issuer says so.
    pub who: Option<String>,
}

/// An issuer's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code, such as `invalid_grant`.
    pub error: String,
    /// More of its words, printable; perhaps empty.
    pub description: String,
}

impl Refusal {
    /// Whether nothing but another sign-in by the user, or another registration, helps. ostler takes any other refusal for
    /// trouble, so that an unforeseen answer never costs a sign-in.
    pub fn is_final(&self) -> bool {
        FINAL.contains(&self.error.as_str())
    }

    /// The issuer's words for people.
    pub fn words(&self) -> String {
        if self.description.is_empty() { self.error.clone() } else { format!("{}: {}", self.error, self.description) }
    }
}

/// Reads the answer to a request for tokens.
pub fn read(status: u16, body: &[u8]) -> Answer {
    let told = match object(body) {
        Some(told) => told,
        // A redirect is not followed: the request holds secrets.
        None if (300..400).contains(&status) => {
            return Answer::Trouble(format!("sends ostler elsewhere (error {status}), which ostler does not follow"));
        }
        None if status == 200 => return Answer::Trouble("gives an answer that is not one of OAuth2".into()),
        None => return Answer::Trouble(format!("answers with error {status}")),
    };
    if let Some(refusal) = refusal_in(&told) {
        let is_elsewhere = (300..400).contains(&status);
        let is_not_now = NOT_NOW.contains(&refusal.error.as_str());
        let is_trouble = status >= 500 || status == 429 || is_elsewhere || is_not_now;
        return if is_trouble {
            Answer::Trouble(format!("answers with error {status} ({})", refusal.words()))
        } else {
            Answer::Refused(refusal)
        };
    }
    match grant(&told).filter(|_| status == 200) {
        Some(grant) => Answer::Granted(grant),
        None if status == 200 => Answer::Trouble("gives an answer without an access token that can be used".into()),
        None => Answer::Trouble(format!("answers with error {status}")),
    }
}

/// The object that an answer holds.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    // Some servers put the byte order mark of UTF-8 in front (RFC 8259, section 8.1).
    match serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)) {
        Ok(Value::Object(told)) => Some(told),
        _ => None,
    }
}

/// The refusal in an answer, if it is one.
pub(super) fn refusal_in(told: &Map<String, Value>) -> Option<Refusal> {
    let error = shown(text(told, "error")?);
    Some(Refusal { error, description: shown(text(told, "error_description").unwrap_or_default()) })
}

pub(super) fn text<'a>(told: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    told.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A number of seconds. Some issuers write it as a text.
pub(super) fn seconds(told: &Map<String, Value>, name: &str) -> Option<Duration> {
    let value = told.get(name)?;
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    let number = number.or_else(|| value.as_f64().filter(|n| n.is_finite() && *n >= 0.0).map(|n| n as u64))?;
    Some(Duration::from_secs(number).min(MAX_LIFETIME))
}

/// An issuer's words, printable and not too long.
pub(super) fn shown(text: &str) -> String {
    without_control(text).chars().take(MAX_DESCRIPTION_CHARS).collect::<String>().trim().to_owned()
}

fn grant(told: &Map<String, Value>) -> Option<Grant> {
    // RFC 6749, section 7.1: a token of an unknown type must not be used.
    let is_bearer =
        told.get("token_type").is_none_or(|kind| kind.as_str().is_some_and(|k| k.eq_ignore_ascii_case("bearer")));
    let token = |name| Secret::new(text(told, name)?.to_owned()).ok();
    let access = token("access_token").filter(|_| is_bearer)?;
    // A refresh token that cannot be stored makes the whole grant useless: the old one may be void already.
    let refresh = match text(told, "refresh_token") {
        Some(_) => Some(token("refresh_token")?),
        None => None,
    };
    Some(Grant {
        access,
        refresh,
        lifetime: seconds(told, "expires_in"),
        scope: text(told, "scope").map(shown),
        who: text(told, "id_token").and_then(who_signed_in),
    })
}

/// The address in an identity token. Its signature is not looked at, because it comes from the issuer itself over verified TLS
/// (OpenID Connect Core, section 3.1.3.7, point 6).
fn who_signed_in(id_token: &str) -> Option<String> {
    let payload = id_token.split('.').nth(1)?.trim_end_matches('=');
    let told = object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
    let claims = ["email", "preferred_username", "upn"];
    claims.into_iter().filter_map(|claim| text(&told, claim)).map(shown).find(|who| who.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(body: &str) -> Grant {
        match read(200, body.as_bytes()) {
            Answer::Granted(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    fn trouble(status: u16, body: &str) -> String {
        match read(status, body.as_bytes()) {
            Answer::Trouble(words) => words,
            other => panic!("{status} {body}: {other:?}"),
        }
    }

    #[test]
    fn a_grant_is_read_with_all_that_it_says() {
        let id = URL_SAFE_NO_PAD.encode("{\"email\":\"Ann@example.net\"}");
        let body = format!(
            "{{\"access_token\":\"at\",\"refresh_token\":\"rt\",\"token_type\":\"bearer\",\"expires_in\":3600,\"scope\":\"mail\",\"id_token\":\"x.{id}.y\"}}"
        );
        let grant = granted(&body);
        assert!(grant.access.is(b"at") && grant.refresh.unwrap().is(b"rt"));
        assert_eq!(grant.lifetime, Some(Duration::from_secs(3600)));
        assert_eq!((grant.scope.as_deref(), grant.who.as_deref()), (Some("mail"), Some("Ann@example.net")));
    }

    #[test]
    fn a_lifetime_may_be_written_in_several_ways() {
        for (written, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3599.5", Some(3599)),
            ("null", None),
            ("-1", None),
            ("\"x\"", None),
        ] {
            let grant = granted(&format!("{{\"access_token\":\"at\",\"expires_in\":{written}}}"));
            assert_eq!(grant.lifetime, seconds.map(Duration::from_secs), "{written}");
        }
        let grant = granted("{\"access_token\":\"at\",\"expires_in\":18446744073709551615}");
        assert_eq!(grant.lifetime, Some(MAX_LIFETIME));
        assert!(granted("\u{feff}{\"access_token\":\"at\"}").access.is(b"at"));
    }

    #[test]
    fn only_a_refusal_of_the_grant_itself_is_final() {
        let refused = |status, body: &str| match read(status, body.as_bytes()) {
            Answer::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        let gone =
            refused(400, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70000: gone\\r\\nTrace ID\"}");
        assert!(gone.is_final());
        assert!(gone.words().starts_with("invalid_grant: AADSTS70000: gone") && !gone.words().contains('\r'));
        assert!(refused(401, "{\"error\":\"invalid_client\"}").is_final());
        assert!(!refused(400, "{\"error\":\"invalid_request\"}").is_final());
        assert!(!refused(400, "{\"error\":\"no_one_knows\"}").is_final());
    }

    #[test]
    fn what_says_nothing_about_the_grant_is_trouble() {
        assert_eq!(trouble(503, "<html>down</html>"), "answers with error 503");
        assert_eq!(trouble(500, "{\"error\":\"invalid_grant\"}"), "answers with error 500 (invalid_grant)");
        assert_eq!(
            trouble(400, "{\"error\":\"temporarily_unavailable\"}"),
            "answers with error 400 (temporarily_unavailable)"
        );
        assert_eq!(trouble(429, "{\"error\":\"invalid_grant\"}"), "answers with error 429 (invalid_grant)");
        assert_eq!(trouble(302, "{\"error\":\"invalid_grant\"}"), "answers with error 302 (invalid_grant)");
        assert_eq!(trouble(200, "<html>sign in to the hotel</html>"), "gives an answer that is not one of OAuth2");
        assert!(trouble(302, "").starts_with("sends ostler elsewhere (error 302)"));
        for without in [
            "{}",
            "{\"access_token\":\"\"}",
            "{\"access_token\":7}",
            "{\"access_token\":\"a\\r\\nb\"}",
            "{\"access_token\":\"at\",\"token_type\":\"mac\"}",
            "{\"access_token\":\"at\",\"refresh_token\":\"a\\u0000b\"}",
        ] {
            assert_eq!(trouble(200, without), "gives an answer without an access token that can be used", "{without}");
        }
        assert_eq!(trouble(201, "{\"access_token\":\"at\"}"), "answers with error 201");
    }

    #[test]
    fn an_identity_that_cannot_be_read_is_none() {
        for id_token in ["", "a", "a.b", "a.!!.c", "a.e30.c"] {
            assert_eq!(who_signed_in(id_token), None, "{id_token}");
        }
        let named = URL_SAFE_NO_PAD.encode("{\"email\":\"\",\"preferred_username\":\"bob@example.net\"}");
        assert_eq!(who_signed_in(&format!("a.{named}.c")).as_deref(), Some("bob@example.net"));
        let number = URL_SAFE_NO_PAD.encode("{\"preferred_username\":\"12345\"}");
        assert_eq!(who_signed_in(&format!("a.{number}.c")), None);
    }
}
