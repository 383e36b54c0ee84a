//! The sign-in in a browser: the authorization code with PKCE (RFC 7636), answered on a port of this computer (RFC 8252).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::account::issuer::{Issuer, Redirect};
use crate::oauth2::answer::{Refusal, shown};
use crate::oauth2::form::{Form, MAX_FORM_OCTETS, value_of};
use crate::secret::{NotASecret, Secret};

/// How many random octets a sign-in needs: 32 for the state, 32 for the verifier (RFC 7636, section 4.1).
pub const RANDOM_OCTETS: usize = 64;

/// A sign-in that waits for the browser to come back.
pub struct Authorization {
    /// Tells this sign-in's answer from one that another page makes the browser send.
    state: Secret,
    /// Proves that the one who asked for the code is the one who uses it.
    verifier: Secret,
    redirect: String,
    /// How the issuer calls itself, where it is known to.
    iss: Option<String>,
}

/// What the browser has brought.
#[derive(Debug)]
pub enum Heard {
    /// The code.
    Code(Secret),
    /// The issuer says no, or the user did.
    Refused(Refusal),
    /// An answer that is not for this sign-in: nothing changes, and the right one may still come.
    Foreign,
    /// A browser asks for something else here, such as an icon.
    Other,
}

impl Authorization {
    /// A sign-in whose answer comes to this port. `random` is used once.
    pub fn new(issuer: &Issuer, port: u16, random: &[u8; RANDOM_OCTETS]) -> Result<Self, NotASecret> {
        let (state, verifier) = random.split_at(RANDOM_OCTETS / 2);
        let secret = |octets: &[u8]| Secret::new(Zeroizing::new(URL_SAFE_NO_PAD.encode(octets)));
        Ok(Self {
            state: secret(state)?,
            verifier: secret(verifier)?,
            redirect: redirect_uri(issuer.redirect, port),
            iss: issuer.iss.clone(),
        })
    }

    /// Where the user signs in; `None` if the issuer has no such page, or ostler is not registered there. `hint` is the address
    /// of the mailbox.
    pub fn address(&self, issuer: &Issuer, scopes: &[String], hint: &str) -> Option<String> {
        let (page, client) = (issuer.authorize.as_ref()?, issuer.client_id.as_ref()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()));
        let mut form = Form::default()
            .with("response_type", b"code")
            .with("client_id", client.as_bytes())
            .with("redirect_uri", self.redirect.as_bytes())
            .with("scope", scopes.join(" ").as_bytes())
            .with("state", self.state.expose())
            .with("code_challenge", challenge.as_bytes())
            .with("code_challenge_method", b"S256")
            .with("login_hint", hint.as_bytes());
        let has = |scope: &str| scopes.iter().any(|s| s == scope);
        // OpenID Connect Core, section 11: without it, the wish for a refresh token is ignored.
        if has("openid") && has("offline_access") && !issuer.parameters.iter().any(|(name, _)| name == "prompt") {
            form = form.with("prompt", b"consent");
        }
        for (name, value) in &issuer.parameters {
            form = form.with(name, value.as_bytes());
        }
        let divider = if page.path().contains('?') { '&' } else { '?' };
        Some(format!("{page}{divider}{}", form.as_str()))
    }

    /// What the first line of a request to the port says.
    pub fn hear(&self, request_line: &[u8]) -> Heard {
        let Some(query) = query_of(request_line) else { return Heard::Other };
        let value = |name| value_of(query, name);
        if !value("state").is_some_and(|state| self.state.is(state.as_bytes())) {
            return Heard::Foreign;
        }
        // RFC 9207: an answer of another issuer, into which an attacker has mixed this sign-in.
        if let (Some(ours), Some(theirs)) = (&self.iss, value("iss"))
            && *ours != *theirs
        {
            return Heard::Foreign;
        }
        if let Some(error) = value("error") {
            let description = value("error_description").map(|words| shown(&words)).unwrap_or_default();
            return Heard::Refused(Refusal { error: shown(&error), description });
        }
        value("code").and_then(|code| Secret::new(code).ok()).map_or(Heard::Foreign, Heard::Code)
    }

    /// The request that turns the code into tokens.
    pub fn redeem(&self, issuer: &Issuer, code: &Secret) -> Form {
        with_client(Form::default(), issuer)
            .with("grant_type", b"authorization_code")
            .with("code", code.expose())
            .with("redirect_uri", self.redirect.as_bytes())
            .with("code_verifier", self.verifier.expose())
    }

    /// The secrets of this sign-in, which are never shown.
    pub fn secrets(&self) -> [&Secret; 2] {
        [&self.state, &self.verifier]
    }
}

/// The client id, in front of every request. Its secret, if there is one, is added by who can get it.
pub(super) fn with_client(form: Form, issuer: &Issuer) -> Form {
    form.with("client_id", issuer.client_id.as_deref().unwrap_or_default().as_bytes())
}

fn redirect_uri(redirect: Redirect, port: u16) -> String {
    format!("http://{}:{port}/", redirect.host())
}

/// What is behind the `?` of `GET /?.. HTTP/1.1`; `None` for any other request.
fn query_of(request_line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(request_line.get(..MAX_FORM_OCTETS.min(request_line.len()))?).ok()?;
    let mut words = line.trim_end().split(' ');
    let (verb, target, version) = (words.next()?, words.next()?, words.next()?);
    let query = target.strip_prefix("/?")?;
    let is_whole = verb == "GET" && version.starts_with("HTTP/1.") && words.next().is_none();
    // What browsers do not send: RFC 3986 has none of it in a query.
    let is_clean = query.bytes().all(|b| b.is_ascii_graphic());
    (is_whole && is_clean).then_some(query)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::account::Trust;
    use crate::account::issuer::{HttpsUrl, Scopes};

    pub(in crate::oauth2) fn issuer() -> Issuer {
        Issuer {
            name: "example".into(),
            title: "Example".into(),
            authorize: HttpsUrl::parse("https://login.example/authorize"),
            token: HttpsUrl::parse("https://login.example/token").unwrap(),
            device: None,
            revoke: None,
            scopes: Scopes::Fixed(vec!["mail".into()]),
            redirect: Redirect::Loopback,
            parameters: vec![("access_type".into(), "offline".into())],
            iss: Some("https://login.example".into()),
            client_id: Some("id 1".into()),
            client_secret: None,
            trust: Trust::default(),
        }
    }

    fn begun() -> Authorization {
        Authorization::new(&issuer(), 4711, &[7; RANDOM_OCTETS]).unwrap()
    }

    fn state() -> String {
        URL_SAFE_NO_PAD.encode([7; 32])
    }

    #[test]
    fn the_address_has_all_that_the_issuer_wants_and_no_verifier() {
        let scopes = ["openid".to_owned(), "offline_access".to_owned()];
        let address = begun().address(&issuer(), &scopes, "ann@example.net").unwrap();
        let query = address.strip_prefix("https://login.example/authorize?").unwrap();
        let read = |name: &str| value_of(query, name).map(|value| value.to_string()).unwrap_or_default();
        assert_eq!(read("client_id"), "id 1");
        assert_eq!(read("redirect_uri"), "http://127.0.0.1:4711/");
        assert_eq!(read("scope"), "openid offline_access");
        assert_eq!(read("state"), state());
        assert_eq!((read("code_challenge_method"), read("response_type")), ("S256".into(), "code".into()));
        assert_eq!((read("access_type"), read("prompt")), ("offline".into(), "consent".into()));
        let verifier = URL_SAFE_NO_PAD.encode([7; 32]);
        assert_eq!(read("code_challenge"), URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())));
        let plain = begun().address(&issuer(), &["mail".to_owned()], "").unwrap();
        assert!(!plain.contains("prompt="), "{plain}");
        assert!(begun().address(&Issuer { client_id: None, ..issuer() }, &[], "").is_none());
    }

    #[test]
    fn only_the_answer_to_this_sign_in_is_heard() {
        let heard = |line: String| begun().hear(line.as_bytes());
        let state = state();
        let code = heard(format!("GET /?code=c%2F1&state={state} HTTP/1.1\r\n"));
        assert!(matches!(&code, Heard::Code(code) if code.is(b"c/1")), "{code:?}");
        let iss = "iss=https%3A%2F%2Flogin.example";
        assert!(matches!(heard(format!("GET /?{iss}&code=c&state={state} HTTP/1.1")), Heard::Code(_)));
        for foreign in [
            format!("GET /?code=c&state={state}x HTTP/1.1"),
            "GET /?code=c HTTP/1.1".into(),
            format!("GET /?code=c&state={state}&state={state} HTTP/1.1"),
            "GET /?error=access_denied&state=other HTTP/1.1".into(),
            format!("GET /?iss=https%3A%2F%2Fevil.example&code=c&state={state} HTTP/1.1"),
            format!("GET /?state={state} HTTP/1.1"),
            format!("GET /?code=&state={state} HTTP/1.1"),
            format!("GET /?code=a%0Ab&state={state} HTTP/1.1"),
        ] {
            assert!(matches!(heard(foreign.clone()), Heard::Foreign), "{foreign}");
        }
        for other in
            ["GET / HTTP/1.1", "GET /favicon.ico HTTP/1.1", "POST /?code=c HTTP/1.1", "GET /?code=c", "", "\u{ff}"]
        {
            assert!(matches!(heard(other.into()), Heard::Other), "{other}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_issuer() {
        let line = format!("GET /?error=access_denied&error_description=The+user%0Asaid+no&state={} HTTP/1.1", state());
        let heard = begun().hear(line.as_bytes());
        let Heard::Refused(refusal) = heard else { panic!("{heard:?}") };
        assert_eq!(refusal.error, "access_denied");
        assert!(refusal.description.starts_with("The user") && !refusal.description.contains('\n'));
    }

    #[test]
    fn the_code_goes_back_with_its_verifier() {
        let code = Secret::new("c".to_owned()).unwrap();
        let form = begun().redeem(&issuer(), &code);
        let read = |name: &str| value_of(form.as_str(), name).map(|value| value.to_string()).unwrap_or_default();
        assert_eq!(
            (read("grant_type"), read("code"), read("client_id")),
            ("authorization_code".into(), "c".into(), "id 1".into())
        );
        assert_eq!(read("code_verifier"), URL_SAFE_NO_PAD.encode([7; 32]));
        assert_eq!(read("redirect_uri"), "http://127.0.0.1:4711/");
    }
}
