//! A set of tokens: what the keyring has of a sign-in, when it has to be renewed, and for what it may be used.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::account::issuer::Issuer;
use crate::account::{Account, SecretSource, Server, SignIn};
use crate::clock::UnixTime;
use crate::oauth2::answer::Grant;
use crate::oauth2::authorize::with_client;
use crate::oauth2::form::{Form, encoded};
use crate::sasl::Redaction;
use crate::secret::Secret;

/// Renew when less than this is left, or less than a tenth of the lifetime, if that is shorter.
const RENEWAL_MARGIN: Duration = Duration::from_secs(300);

/// Where a set of tokens may go. It is stored with them; if the settings say something else later, nothing is sent anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Where it is renewed.
    endpoint: String,
    /// As whom.
    client_id: String,
    /// The mail servers that it was made for.
    servers: Vec<String>,
}

impl Binding {
    /// What the settings of an account say.
    pub fn of(account: &Account, issuer: &Issuer) -> Self {
        Self {
            endpoint: issuer.token.as_str().to_owned(),
            client_id: issuer.client_id.clone().unwrap_or_default(),
            servers: servers_of(account).map(|server| server.id().to_string()).collect(),
        }
    }

    /// Whether tokens that were stored for this may be used where the settings say `now`. A server that is gone does no harm.
    fn covers(&self, now: &Self) -> bool {
        let has_all = now.servers.iter().all(|server| self.servers.contains(server));
        has_all && self.endpoint == now.endpoint && self.client_id == now.client_id
    }
}

/// The servers of an account for which ostler keeps tokens.
pub fn servers_of(account: &Account) -> impl Iterator<Item = &Server> {
    account.servers().filter(|server| is_kept_for(server))
}

/// Whether ostler keeps the tokens for this server itself.
pub fn is_kept_for(server: &Server) -> bool {
    matches!(&server.sign_in, SignIn::OAuth2(credentials) if credentials.secret == SecretSource::Keyring)
}

/// A set of tokens.
#[derive(Debug)]
pub struct Tokens {
    access: Arc<Secret>,
    refresh: Option<Arc<Secret>>,
    issued: UnixTime,
    expires: Option<UnixTime>,
    scope: Option<String>,
    who: Option<String>,
    binding: Binding,
}

impl Tokens {
    /// What a sign-in has brought.
    pub fn new(grant: Grant, binding: Binding, now: UnixTime) -> Self {
        let Grant { access, refresh, lifetime, scope, who } = grant;
        let expires = lifetime.map(|lifetime| now.after(lifetime));
        Self { access: Arc::new(access), refresh: refresh.map(Arc::new), issued: now, expires, scope, who, binding }
    }

    /// What a renewal has brought. What it does not name goes on being true (RFC 6749, section 6).
    #[must_use]
    pub fn renewed(&self, grant: Grant, now: UnixTime) -> Self {
        let new = Self::new(grant, self.binding.clone(), now);
        Self {
            refresh: new.refresh.or_else(|| self.refresh.clone()),
            scope: new.scope.or_else(|| self.scope.clone()),
            who: new.who.or_else(|| self.who.clone()),
            ..new
        }
    }

    /// The same for other servers: those of the account once it has been tried.
    #[must_use]
    pub fn bound_to(&self, binding: Binding) -> Self {
        let Self { access, refresh, issued, expires, scope, who, .. } = self;
        let (access, refresh) = (Arc::clone(access), refresh.clone());
        Self { access, refresh, issued: *issued, expires: *expires, scope: scope.clone(), who: who.clone(), binding }
    }

    /// Whether the settings let these tokens be used.
    pub fn may_serve(&self, settings: &Binding) -> bool {
        self.binding.covers(settings)
    }

    /// What the mail servers get.
    pub fn access(&self) -> &Arc<Secret> {
        &self.access
    }

    /// Whether there is a way to renew them.
    pub fn can_renew(&self) -> bool {
        self.refresh.is_some()
    }

    /// Until when the access token is good, if that is known.
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// What they are good for, if the issuer said so.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Who has signed in, if the issuer said so.
    pub fn who(&self) -> Option<&str> {
        self.who.as_deref()
    }

    /// Whether to renew before the next use. A clock that was set back to before they were made tells nothing about them.
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Some(expires) = self.expires else { return now < self.issued };
        let margin = RENEWAL_MARGIN.min(expires.since(self.issued) / 10);
        now < self.issued || expires.since(now) <= margin
    }

    /// Whether they are good at all, as far as the clock tells.
    pub fn is_alive(&self, now: UnixTime) -> bool {
        now >= self.issued && self.expires.is_none_or(|expires| now < expires)
    }

    /// The request that renews them.
    pub fn renew(&self, issuer: &Issuer) -> Option<Form> {
        let refresh = self.refresh.as_ref()?;
        let form = with_client(Form::default(), issuer).with("grant_type", b"refresh_token");
        Some(form.with("refresh_token", refresh.expose()))
    }

    /// The requests that take the sign-in back (RFC 7009): the token for more of them first, which most issuers take for all.
    pub fn revoke(&self, issuer: &Issuer) -> Vec<Form> {
        let kinds = [(self.refresh.as_ref(), "refresh_token"), (Some(&self.access), "access_token")];
        let form = |(token, kind): (Option<&Arc<Secret>>, &str)| {
            let form = with_client(Form::default(), issuer).with("token", token?.expose());
            Some(form.with("token_type_hint", kind.as_bytes()))
        };
        kinds.into_iter().filter_map(form).collect()
    }

    /// Whether both have the same token for more of them: one that was refused is not tried again.
    pub fn has_refresh_of(&self, other: &Self) -> bool {
        match (&self.refresh, &other.refresh) {
            (Some(own), Some(others)) => own.is(others.expose()),
            (None, None) => true,
            _ => false,
        }
    }

    /// A text of the issuer's without these tokens.
    pub fn redact(&self, text: &str) -> String {
        redact(text, self.refresh.iter().chain([&self.access]).map(Arc::as_ref))
    }

    /// As the keyring keeps them.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let text = |secret: &Arc<Secret>| secret.text().into_owned();
        let document = json!({
            "v": 1,
            "access": text(&self.access),
            "refresh": self.refresh.as_ref().map(text),
            "issued": self.issued.seconds(),
            "expires": self.expires.map(UnixTime::seconds),
            "scope": self.scope,
            "who": self.who,
            "endpoint": self.binding.endpoint,
            "client": self.binding.client_id,
            "servers": self.binding.servers,
        });
        Zeroizing::new(document.to_string().into_bytes())
    }

    /// Reads what the keyring has; `None` if it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let told: Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let secret = |name: &str| Secret::new(text(name)?).ok().map(Arc::new);
        let time = |name: &str| told[name].as_u64().map(UnixTime::at);
        if told["v"].as_u64() != Some(1) {
            return None;
        }
        let servers = told["servers"].as_array()?.iter().map(|server| server.as_str().map(str::to_owned));
        Some(Self {
            access: secret("access")?,
            refresh: secret("refresh"),
            issued: time("issued")?,
            expires: time("expires"),
            scope: text("scope"),
            who: text("who"),
            binding: Binding {
                endpoint: text("endpoint")?,
                client_id: text("client")?,
                servers: servers.collect::<Option<_>>()?,
            },
        })
    }
}

/// A text of an issuer's with stars in place of secrets, also where they stand as in a form.
pub fn redact<'s>(text: &str, secrets: impl IntoIterator<Item = &'s Secret>) -> String {
    secrets.into_iter().fold(text.to_owned(), |text, secret| {
        Redaction::new("", secret).with_response(&encoded(secret.expose())).redact(&text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::{account, server};
    use crate::account::{Credentials, PasswordCharset, Protocol};
    use crate::oauth2::authorize::tests::issuer;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned()).unwrap()
    }

    fn grant(access: &str, refresh: Option<&str>, seconds: Option<u64>) -> Grant {
        let lifetime = seconds.map(Duration::from_secs);
        Grant { access: secret(access), refresh: refresh.map(secret), lifetime, scope: None, who: None }
    }

    fn oauth2_server(protocol: Protocol, host: &str) -> Server {
        let credentials =
            Credentials { username: "ann".into(), secret: SecretSource::Keyring, charset: PasswordCharset::Utf8 };
        Server { host: host.into(), sign_in: SignIn::OAuth2(credentials), ..server(protocol, "ann") }
    }

    fn ann() -> Account {
        let mut ann = account("ann", "ann@example.net", "ann");
        ann.pop3 = Some(oauth2_server(Protocol::Pop3, "pop.example.net"));
        ann.smtp = vec![oauth2_server(Protocol::Smtp, "smtp.example.net")];
        ann
    }

    fn tokens(seconds: Option<u64>) -> Tokens {
        Tokens::new(grant("at", Some("rt"), seconds), Binding::of(&ann(), &issuer()), UnixTime::at(10_000))
    }

    #[test]
    fn they_are_renewed_early_and_not_too_early() {
        let due = |life, after: u64| tokens(Some(life)).is_due(UnixTime::at(10_000 + after));
        // An hour: a tenth would be six minutes, so five count.
        assert!(!due(3600, 3299) && due(3600, 3300));
        // A minute: a tenth is six seconds.
        assert!(!due(60, 53) && due(60, 54));
        assert!(!tokens(None).is_due(UnixTime::at(99_999_999)), "an issuer that gives no time");
        assert!(
            tokens(Some(3600)).is_due(UnixTime::at(9_999)) && tokens(None).is_due(UnixTime::at(9_999)),
            "the clock went back"
        );
    }

    #[test]
    fn a_clock_that_is_wrong_by_an_hour_costs_a_renewal_and_no_more() {
        let hour = 3600;
        assert!(tokens(Some(hour)).is_alive(UnixTime::at(10_000)));
        assert!(!tokens(Some(hour)).is_alive(UnixTime::at(10_000 + hour)), "set an hour forward");
        assert!(!tokens(Some(hour)).is_alive(UnixTime::at(10_000 - hour)), "set an hour back");
        let renewed = tokens(Some(hour)).renewed(grant("at2", None, Some(hour)), UnixTime::at(10_000 - hour));
        assert!(renewed.is_alive(UnixTime::at(10_001 - hour)) && !renewed.is_due(UnixTime::at(10_001 - hour)));
    }

    #[test]
    fn a_renewal_without_a_new_refresh_token_keeps_the_old_one() {
        let kept = tokens(Some(60)).renewed(grant("at2", None, None), UnixTime::at(20_000));
        assert!(kept.access().is(b"at2") && kept.has_refresh_of(&tokens(None)));
        let rotated = tokens(Some(60)).renewed(grant("at2", Some("rt2"), None), UnixTime::at(20_000));
        assert!(!rotated.has_refresh_of(&tokens(None)) && rotated.expires().is_none());
    }

    #[test]
    fn they_serve_no_server_and_no_endpoint_but_those_they_were_made_for() {
        let may = |account: &Account, issuer: &Issuer| tokens(None).may_serve(&Binding::of(account, issuer));
        assert!(may(&ann(), &issuer()));
        let mut less = ann();
        less.smtp.clear();
        assert!(may(&less, &issuer()), "a server less");
        let mut moved = ann();
        moved.pop3 = Some(oauth2_server(Protocol::Pop3, "pop.evil.example"));
        assert!(!may(&moved, &issuer()));
        let mut other_endpoint = issuer();
        other_endpoint.token = crate::account::issuer::HttpsUrl::parse("https://evil.example/token").unwrap();
        assert!(!may(&ann(), &other_endpoint));
        assert!(!may(&ann(), &Issuer { client_id: Some("another".into()), ..issuer() }));
    }

    #[test]
    fn what_is_kept_is_read_again_and_damage_is_seen() {
        let mut one = tokens(Some(60));
        one.who = Some("ann@example.net".into());
        let bytes = one.to_bytes();
        let again = Tokens::from_bytes(&bytes).unwrap();
        assert!(again.access().is(b"at") && again.has_refresh_of(&one));
        assert_eq!((again.expires(), again.issued, again.who()), (one.expires, one.issued, one.who()));
        assert_eq!(again.binding, one.binding);
        for damaged in [&b""[..], b"{}", b"[]", &bytes[..bytes.len() - 1], b"{\"v\":2}"] {
            assert!(Tokens::from_bytes(damaged).is_none());
        }
        assert!(!format!("{one:?}").contains("rt"), "{one:?}");
    }

    #[test]
    fn what_an_issuer_echoes_is_starred() {
        let one = Tokens::new(grant("a+t/1", Some("r*t!2"), None), Binding::of(&ann(), &issuer()), UnixTime::at(1));
        assert_eq!(one.redact("bad r*t!2, r%2At%212, a+t/1 or a%2Bt%2F1"), "bad ***, ***, *** or ***");
    }
}
