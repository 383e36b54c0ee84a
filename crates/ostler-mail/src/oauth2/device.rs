//! The sign-in with a code that the user types on any device (RFC 8628): the code, and how often ostler may ask whether it was
//! typed.

use std::time::Duration;

use crate::account::issuer::{HttpsUrl, Issuer};
use crate::oauth2::answer::{self, Answer, Grant, Refusal};
use crate::oauth2::authorize::with_client;
use crate::oauth2::form::Form;
use crate::secret::Secret;

/// How long to wait between two questions where the issuer does not say (RFC 8628, section 3.2), and how much longer after each
/// `slow_down` (section 3.5).
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// The longest interval that is believed.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// The longest that a code is waited for, whatever the issuer says.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The lifetime where the issuer gives none, although it has to.
const USUAL_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The longest code that a person would type.
const MAX_USER_CODE_CHARS: usize = 40;

/// A code to be typed, and the wait for it.
#[derive(Debug)]
pub struct DeviceCode {
    device_code: Secret,
    /// What the user types.
    pub user_code: String,
    /// Where the user types it.
    pub page: HttpsUrl,
    /// The same page with the code in it, where the issuer has that.
    pub page_with_code: Option<HttpsUrl>,
    /// For how long the code is good.
    pub lifetime: Duration,
    /// How long to wait before the next question.
    pub interval: Duration,
}

/// What has become of the code.
#[derive(Debug)]
pub enum Polled {
    /// Nothing yet.
    Pending,
    /// The user has signed in.
    Granted(Grant),
    /// The user has said no.
    Denied,
    /// The code was not typed in time.
    Expired,
    /// Another refusal.
    Refused(Refusal),
}

/// The request for a code.
pub fn ask_for_code(issuer: &Issuer, scopes: &[String]) -> Form {
    with_client(Form::default(), issuer).with("scope", scopes.join(" ").as_bytes())
}

/// Reads the answer to it. The error is the issuer's refusal, or what is wrong with its answer.
pub fn read_code(status: u16, body: &[u8]) -> Result<DeviceCode, String> {
    let Some(told) = answer::object(body) else { return Err(format!("answers with error {status}")) };
    if let Some(refusal) = answer::refusal_in(&told) {
        return Err(format!("refuses: {}", refusal.words()));
    }
    let text = |name| answer::text(&told, name);
    // Google has called it so since before the standard.
    let page = text("verification_uri").or_else(|| text("verification_url"));
    let parts = (|| {
        let device_code = Secret::new(text("device_code")?.to_owned()).ok()?;
        let user_code = answer::shown(text("user_code")?);
        let page = HttpsUrl::parse(page?)?;
        (status == 200 && user_code.chars().count() <= MAX_USER_CODE_CHARS).then_some((device_code, user_code, page))
    })();
    let Some((device_code, user_code, page)) = parts else {
        return Err("gives an answer without a code that can be used".into());
    };
    let seconds = |name| answer::seconds(&told, name);
    Ok(DeviceCode {
        device_code,
        user_code,
        page,
        page_with_code: text("verification_uri_complete").and_then(HttpsUrl::parse),
        lifetime: seconds("expires_in").unwrap_or(USUAL_LIFETIME).min(MAX_LIFETIME),
        interval: seconds("interval").unwrap_or(USUAL_INTERVAL).clamp(Duration::from_secs(1), MAX_INTERVAL),
    })
}

impl DeviceCode {
    /// The question whether the code was typed.
    pub fn ask(&self, issuer: &Issuer) -> Form {
        with_client(Form::default(), issuer)
            .with("grant_type", b"urn:ietf:params:oauth:grant-type:device_code")
            .with("device_code", self.device_code.expose())
    }

    /// Reads the answer, and slows down if the issuer wants that or is in trouble.
    pub fn read(&mut self, status: u16, body: &[u8]) -> Polled {
        let error = answer::object(body).and_then(|told| answer::refusal_in(&told)).map(|refusal| refusal.error);
        match error.as_deref() {
            Some("authorization_pending") => Polled::Pending,
            Some("slow_down") => self.slow_down(),
            Some("access_denied" | "authorization_declined") => Polled::Denied,
            Some("expired_token" | "code_expired") => Polled::Expired,
            _ => match answer::read(status, body) {
                Answer::Granted(grant) => Polled::Granted(grant),
                Answer::Refused(refusal) => Polled::Refused(refusal),
                Answer::Trouble(_) => self.slow_down(),
            },
        }
    }

    /// Asks less often: the issuer wants that, or did not answer.
    pub fn slow_down(&mut self) -> Polled {
        self.interval = (self.interval + USUAL_INTERVAL).min(MAX_INTERVAL);
        Polled::Pending
    }

    /// What is never shown of this sign-in.
    pub fn secret(&self) -> &Secret {
        &self.device_code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "{\"device_code\":\"dc\",\"user_code\":\"WDJB-MJHT\",\"verification_uri\":\"https://login.example/device\",\"expires_in\":900}";

    fn code() -> DeviceCode {
        read_code(200, CODE.as_bytes()).unwrap()
    }

    #[test]
    fn a_code_is_read_with_the_usual_pace_where_none_is_named() {
        let code = code();
        assert_eq!((code.user_code.as_str(), code.page.as_str()), ("WDJB-MJHT", "https://login.example/device"));
        assert_eq!((code.lifetime, code.interval), (Duration::from_secs(900), USUAL_INTERVAL));
        assert!(code.page_with_code.is_none());
        let fast = CODE.replace("900", "9000,\"interval\":0");
        let fast = read_code(200, fast.as_bytes()).unwrap();
        assert_eq!((fast.lifetime, fast.interval), (MAX_LIFETIME, Duration::from_secs(1)));
    }

    #[test]
    fn what_is_no_code_is_told() {
        let wrong = |status, body: &str| read_code(status, body.as_bytes()).unwrap_err();
        assert_eq!(wrong(503, "down"), "answers with error 503");
        assert_eq!(wrong(400, "{\"error\":\"invalid_client\"}"), "refuses: invalid_client");
        for bad in ["{}", &CODE.replace("https", "http"), &CODE.replace("WDJB", &"W".repeat(50))] {
            assert_eq!(wrong(200, bad), "gives an answer without a code that can be used", "{bad}");
        }
    }

    #[test]
    fn each_answer_to_a_question_is_told_apart() {
        let mut code = code();
        let mut polled = |status, body: &str| code.read(status, body.as_bytes());
        assert!(matches!(polled(400, "{\"error\":\"authorization_pending\"}"), Polled::Pending));
        assert!(matches!(polled(400, "{\"error\":\"access_denied\"}"), Polled::Denied));
        assert!(matches!(polled(400, "{\"error\":\"expired_token\"}"), Polled::Expired));
        assert!(matches!(polled(400, "{\"error\":\"invalid_client\"}"), Polled::Refused(_)));
        assert!(matches!(polled(200, "{\"access_token\":\"at\"}"), Polled::Granted(_)));
        assert_eq!(code.interval, USUAL_INTERVAL);
        assert!(matches!(code.read(400, b"{\"error\":\"slow_down\"}"), Polled::Pending));
        assert_eq!(code.interval, Duration::from_secs(10));
        assert!(matches!(code.read(502, b"<html>"), Polled::Pending), "trouble of the issuer passes");
        assert_eq!(code.interval, Duration::from_secs(15));
        (0..50).for_each(|_| drop(code.slow_down()));
        assert_eq!(code.interval, MAX_INTERVAL);
    }
}
