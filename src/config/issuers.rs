//! The companies that give out OAuth2 access tokens: those that ostler knows (`config/issuers.toml`), and the tables
//! `[oauth2.NAME]` of the settings file, which add to them or describe others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::keys;
use super::server::SecretReader;
use super::toml_tree::{Item, Table};
use super::value;
use ostler_mail::account::issuer::{ClientSecret, HttpsUrl, Issuer, Redirect, Scopes};
use ostler_mail::account::{SecretSource, Settings, Trust};

pub(crate) const NAME: &str = "small letters, digits, dots and hyphens, at most 40";
const MAX_NAME_OCTETS: usize = 40;
const SCOPES: &str = "a list of texts without blanks, such as [\"mail\", \"offline_access\"]";
/// Mail.ru's domain, which people take for its name, and which presets have.
const OTHER_NAMES: [(&str, &str); 1] = [("mail.ru", "mailru")];

/// `config/issuers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[allow(dead_code, reason = "read so that the file can say which form it has")]
    schema: u32,
    issuer: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    authorize: String,
    token: String,
    device: Option<String>,
    revoke: Option<String>,
    #[serde(default)]
    pop3: Vec<String>,
    #[serde(default)]
    smtp: Vec<String>,
    #[serde(default)]
    imap: Vec<String>,
    #[serde(default)]
    always: Vec<String>,
    #[serde(default)]
    redirect: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    iss: Option<String>,
    #[allow(dead_code, reason = "for people who read the file")]
    source: String,
}

impl Entry {
    fn into_issuer(self, name: String) -> Option<Issuer> {
        let url = |text: Option<String>| text.map_or(Some(None), |text| HttpsUrl::parse(&text).map(Some));
        let (client_id, client_secret) = compiled_in(&name);
        Some(Issuer {
            title: self.title,
            authorize: Some(HttpsUrl::parse(&self.authorize)?),
            token: HttpsUrl::parse(&self.token)?,
            device: url(self.device)?,
            revoke: url(self.revoke)?,
            scopes: Scopes::ByProtocol { pop3: self.pop3, smtp: self.smtp, imap: self.imap, always: self.always },
            redirect: if self.redirect == "localhost" { Redirect::Localhost } else { Redirect::Loopback },
            parameters: self.parameters.into_iter().collect(),
            iss: self.iss,
            client_id: client_id.filter(|id| !id.is_empty()).map(str::to_owned),
            client_secret: client_secret.filter(|secret| !secret.is_empty()).map(ClientSecret::BuiltIn),
            trust: Trust::default(),
            name,
        })
    }
}

/// The registration that came with this build: packagers set these variables. A secret that is compiled in is
/// none, and Google calls it so all the same.
fn compiled_in(name: &str) -> (Option<&'static str>, Option<&'static str>) {
    match name {
        "microsoft" => (option_env!("OSTLER_CLIENT_ID_MICROSOFT"), option_env!("OSTLER_CLIENT_SECRET_MICROSOFT")),
        "google" => (option_env!("OSTLER_CLIENT_ID_GOOGLE"), option_env!("OSTLER_CLIENT_SECRET_GOOGLE")),
        "yahoo" => (option_env!("OSTLER_CLIENT_ID_YAHOO"), option_env!("OSTLER_CLIENT_SECRET_YAHOO")),
        "aol" => (option_env!("OSTLER_CLIENT_ID_AOL"), option_env!("OSTLER_CLIENT_SECRET_AOL")),
        "fastmail" => (option_env!("OSTLER_CLIENT_ID_FASTMAIL"), option_env!("OSTLER_CLIENT_SECRET_FASTMAIL")),
        "comcast" => (option_env!("OSTLER_CLIENT_ID_COMCAST"), option_env!("OSTLER_CLIENT_SECRET_COMCAST")),
        "yandex" => (option_env!("OSTLER_CLIENT_ID_YANDEX"), option_env!("OSTLER_CLIENT_SECRET_YANDEX")),
        "mailru" => (option_env!("OSTLER_CLIENT_ID_MAILRU"), option_env!("OSTLER_CLIENT_SECRET_MAILRU")),
        _ => (None, None),
    }
}

/// Those that ostler knows, by name.
fn built_in() -> &'static [Arc<Issuer>] {
    static BUILT_IN: LazyLock<Vec<Arc<Issuer>>> = LazyLock::new(|| {
        let file: Option<File> = toml::from_str(include_str!("../../config/issuers.toml")).ok();
        let entries = file.into_iter().flat_map(|file| file.issuer);
        entries.filter_map(|(name, entry)| entry.into_issuer(name).map(Arc::new)).collect()
    });
    &BUILT_IN
}

/// The names that are known without a table in the settings file.
pub(crate) fn known_names<'n>() -> impl Iterator<Item = &'n str> {
    built_in().iter().map(|issuer| issuer.name.as_str())
}

/// The names that are known with the settings: those without a table first.
#[cfg(feature = "web")]
pub(crate) fn names(settings: &Settings) -> Vec<&str> {
    let own = settings.issuers.iter().map(|issuer| issuer.name.as_str());
    known_names().chain(own.filter(|name| known(name).is_none())).collect()
}

/// The company of this name: from the settings, else from those that ostler knows.
pub(crate) fn find(settings: &Settings, name: &str) -> Option<Arc<Issuer>> {
    find_among(&settings.issuers, name)
}

/// Whether a table `[oauth2.NAME]` may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    !name.is_empty() && name.len() <= MAX_NAME_OCTETS && name.bytes().all(is_plain)
}

/// ostler's name for a company that Thunderbird, its list of providers and its settings name so.
pub(crate) fn name_at_thunderbird(issuer: &str) -> &str {
    match issuer {
        "accounts.google.com" => "google",
        "login.microsoftonline.com" => "microsoft",
        "login.yahoo.com" => "yahoo",
        "login.aol.com" => "aol",
        "www.fastmail.com" => "fastmail",
        "comcast.net" => "comcast",
        "oauth.yandex.com" => "yandex",
        "o2.mail.ru" => "mailru",
        other => other,
    }
}

/// What ostler knows of the company of this name without a table in the settings file.
pub(crate) fn known(name: &str) -> Option<Arc<Issuer>> {
    find_among(&[], name)
}

pub(super) fn find_among(of_file: &[Arc<Issuer>], name: &str) -> Option<Arc<Issuer>> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, name)| name);
    of_file.iter().chain(built_in()).find(|issuer| issuer.name == name).cloned()
}

/// What another program's file says of its registration at a company. None of it is checked yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Described<'a> {
    pub(crate) authorize: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    /// The scopes, with blanks between them.
    pub(crate) scopes: &'a str,
    pub(crate) client_id: Option<&'a str>,
    /// Whether a secret goes with the id.
    pub(crate) has_secret: bool,
    pub(crate) redirect: Redirect,
}

impl Described<'_> {
    /// The company among those that ostler knows.
    pub(crate) fn known(&self) -> Option<Arc<Issuer>> {
        let hosts: Vec<String> = self.urls().into_iter().flatten().map(|url| url.host().to_owned()).collect();
        let is_it = |issuer: &&Arc<Issuer>| {
            let own = issuer.authorize.iter().chain([&issuer.token]).map(HttpsUrl::host);
            own.into_iter().any(|own| hosts.iter().any(|host| host == own))
        };
        built_in().iter().find(is_it).cloned()
    }

    fn urls(&self) -> [Option<HttpsUrl>; 2] {
        [self.authorize, self.token].map(|url| url.and_then(HttpsUrl::parse))
    }

    /// The company with this registration at it; one that ostler does not know is called `name`. `None` if the file has no id, or
    /// if it does not say all that is needed of a company that ostler does not know.
    pub(crate) fn registered(&self, name: &str) -> Option<Issuer> {
        let client_id = self.client_id.filter(|id| !is_placeholder(id)).and_then(|id| value::client_id(id).ok())?;
        let base = match self.known() {
            Some(known) => self.at_tenant(Issuer::clone(&known)),
            None => self.unknown(name)?,
        };
        let client_secret = self.has_secret.then_some(ClientSecret::Kept(SecretSource::Keyring));
        Some(Issuer { client_id: Some(client_id), client_secret, ..base })
    }

    /// A company that ostler does not know, without a registration there.
    pub(crate) fn unknown(&self, name: &str) -> Option<Issuer> {
        let [authorize, token] = self.urls();
        let scopes = self.scopes.split_whitespace().map(value::scope).collect::<Result<Vec<_>, _>>().ok()?;
        let is_complete = is_name(name) && known(name).is_none() && !scopes.is_empty();
        is_complete.then_some(Issuer {
            name: name.to_owned(),
            title: name.to_owned(),
            authorize: Some(authorize?),
            token: token?,
            device: None,
            revoke: None,
            scopes: Scopes::Fixed(scopes),
            redirect: self.redirect,
            parameters: Vec::new(),
            iss: None,
            client_id: None,
            client_secret: None,
            trust: Trust::default(),
        })
    }

    /// A registration for one company's people only works at addresses that name that company: at Microsoft, its tenant in place of
    /// `common`.
    fn at_tenant(&self, known: Issuer) -> Issuer {
        let Some(tenant) = self.urls()[1].as_ref().and_then(|token| tenant_of(token, &known.token)) else {
            return known;
        };
        let at = |url: &HttpsUrl| HttpsUrl::parse(&url.as_str().replacen(ANY_TENANT, &format!("/{tenant}/"), 1));
        let authorize = known.authorize.as_ref().and_then(at);
        let device = known.device.as_ref().and_then(at);
        match at(&known.token) {
            Some(token) => Issuer { authorize, token, device, revoke: None, iss: None, ..known },
            None => known,
        }
    }
}

/// The tenant of all people, in the path of an address at Microsoft.
const ANY_TENANT: &str = "/common/";

/// The tenant that an address has in place of [`ANY_TENANT`].
fn tenant_of(url: &HttpsUrl, known: &HttpsUrl) -> Option<String> {
    let rest = known.path().strip_prefix(ANY_TENANT)?;
    let (tenant, after) = url.path().strip_prefix('/')?.split_once('/')?;
    let is_another = url.host() == known.host() && after == rest && format!("/{tenant}/") != ANY_TENANT;
    is_another.then(|| tenant.to_owned())
}

/// Whether an id only stands for one: sample files have `*** your client id here ***`, and people who write about theirs a word
/// or zeros.
fn is_placeholder(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    ["***", "your client id", "placeholder"].iter().any(|word| id.contains(word))
        || !id.contains(|c| c != '0' && c != '-')
}

/// Reads all tables `[oauth2.NAME]`; `None` if one is wrong.
pub(super) fn read(root: &Table<'_>, file: &Path) -> Option<Vec<Arc<Issuer>>> {
    let Some(item) = root.get("oauth2") else { return Some(Vec::new()) };
    let Some(entries) = item.entries() else {
        return item.reject_kind("a table [oauth2.NAME] for each company");
    };
    // Collected twice, because a mistake in one table must not keep the others from being read.
    let read = |(name, item): (&str, Item<'_>)| read_one(name, &item, file).map(Arc::new);
    entries.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn read_one(name: &str, item: &Item<'_>, file: &Path) -> Option<Issuer> {
    if !is_name(name) {
        return item.reject(&format!("has a name that is not allowed; allowed are {NAME}"));
    }
    let table = item.table(&keys::OAUTH2)?;
    let known = known(name);
    let secrets = SecretReader { file };
    let [authorize, token, device, revoke] = ["authorize", "token", "device", "revoke"]
        .map(|key| table.get(key).map(|item| item.read(value::HTTPS, value::https)));
    let client_id = table.get("client_id").map(|item| item.read(value::CLIENT_ID, value::client_id));
    let client_secret = table.get("client_secret").map(|item| secrets.read_client_secret(&item));
    let scopes = table.get("scopes").map(|item| read_scopes(&item));
    let words = [Redirect::Loopback, Redirect::Localhost].map(|redirect| (redirect.host(), redirect));
    let redirect = table.get("redirect").map(|item| item.word(&words));
    let ca = table.get("ca").map(|item| secrets.path(&item));
    let has_own_endpoint = authorize.is_some() || token.is_some();
    if known.is_none() {
        require(&table, &["token", "client_id", "scopes"]);
        if authorize.is_none() && device.is_none() {
            table.reject_missing::<()>(
                "authorize",
                "is missing; allowed is an address that begins with https://, or device = \"https://..\"",
            );
        }
    }
    // In each of these the outer `None` is a key left out, the inner one a mistake, which has been reported.
    let or = |own: Option<Option<HttpsUrl>>, known: Option<HttpsUrl>| own.map_or(Some(known), |own| own.map(Some));
    let base = known.as_deref();
    let of_known = |get: fn(&Issuer) -> Option<HttpsUrl>| base.and_then(get);
    Some(Issuer {
        name: base.map_or(name, |base| &base.name).to_owned(),
        title: base.map_or(name, |base| &base.title).to_owned(),
        authorize: or(authorize, of_known(|base| base.authorize.clone()))?,
        token: or(token, of_known(|base| Some(base.token.clone())))??,
        // Those of the well-known company do not belong to servers of one's own.
        device: or(device, of_known(|base| base.device.clone()).filter(|_| !has_own_endpoint))?,
        revoke: or(revoke, of_known(|base| base.revoke.clone()).filter(|_| !has_own_endpoint))?,
        scopes: match scopes {
            Some(scopes) => Scopes::Fixed(scopes?),
            None => base.map(|base| base.scopes.clone())?,
        },
        redirect: redirect.map_or(Some(base.map(|base| base.redirect).unwrap_or_default()), |redirect| redirect)?,
        parameters: base.map(|base| base.parameters.clone()).unwrap_or_default(),
        iss: base.and_then(|base| base.iss.clone()).filter(|_| !has_own_endpoint),
        client_secret: match (client_secret, &client_id) {
            (Some(source), _) => Some(ClientSecret::Kept(source?)),
            // The secret that came with ostler belongs to the id that came with it.
            (None, Some(_)) => None,
            (None, None) => base.and_then(|base| base.client_secret.clone()),
        },
        client_id: client_id.map_or(Some(base.and_then(|base| base.client_id.clone())), |id| id.map(Some))?,
        trust: Trust { ca: ca.map_or(Some(None), |ca| ca.map(Some))?, pin: None },
    })
}

fn require(table: &Table<'_>, keys: &[&str]) {
    for key in keys.iter().filter(|key| table.get(key).is_none()) {
        let allowed = match *key {
            "client_id" => value::CLIENT_ID,
            "scopes" => SCOPES,
            _ => value::HTTPS,
        };
        table.reject_missing::<()>(
            key,
            &format!("is missing, and ostler does not know this company; allowed is {allowed}"),
        );
    }
}

fn read_scopes(item: &Item<'_>) -> Option<Vec<String>> {
    let Some(list) = item.as_list().filter(|list| !list.is_empty()) else { return item.reject_kind(SCOPES) };
    let read = |item: Item<'_>| item.read(SCOPES, value::scope);
    list.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_mail::account::Protocol;

    fn settings(text: &str) -> Settings {
        let parsed = crate::config::parse(text, Path::new("/home/ann/ostler.toml"));
        parsed.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings
    }

    fn mistakes(text: &str) -> String {
        crate::config::parse(text, Path::new("x")).unwrap_err().to_string()
    }

    #[test]
    fn every_company_in_the_list_is_whole() {
        let names: Vec<&str> = known_names().collect();
        assert_eq!(names, ["aol", "comcast", "fastmail", "google", "mailru", "microsoft", "yahoo", "yandex"]);
        for issuer in built_in() {
            let has_scopes = |protocol| !issuer.scopes.needed([protocol]).is_empty();
            assert!(Protocol::ALL.into_iter().all(has_scopes), "{}", issuer.name);
        }
        assert_eq!(find_among(&[], "mail.ru").unwrap().name, "mailru");
    }

    #[test]
    fn a_preset_names_only_companies_that_are_known() {
        use ostler_mail::account::endpoint::AuthMethod;
        for preset in crate::config::presets::Presets::built_in().iter() {
            for way in &preset.auth_methods {
                if let AuthMethod::OAuth2(name) = way {
                    assert!(find_among(&[], name).is_some(), "{}: {name}", preset.id);
                }
            }
        }
    }

    #[test]
    fn a_registration_adds_to_what_is_known() {
        let with_id = settings("[oauth2.microsoft]\nclient_id = 'abc'\n");
        let microsoft = find(&with_id, "microsoft").unwrap();
        assert_eq!((microsoft.client_id.as_deref(), microsoft.title.as_str()), (Some("abc"), "Microsoft"));
        assert_eq!(microsoft.redirect, Redirect::Localhost);
        assert_eq!(microsoft.token.host(), "login.microsoftonline.com");
        assert_eq!(
            microsoft.scopes.needed([Protocol::Pop3]),
            ["https://outlook.office.com/POP.AccessAsUser.All", "offline_access"]
        );
        assert!(find(&with_id, "google").is_some() && find(&with_id, "nobody").is_none());
        let moved = settings(
            "[oauth2.google]\nclient_id = 'a'\ntoken = 'https://127.0.0.1:9/t'\nauthorize = 'https://127.0.0.1:9/a'",
        );
        let moved = find(&moved, "google").unwrap();
        assert_eq!(
            (moved.iss.as_deref(), moved.revoke.as_ref(), moved.token.as_str()),
            (None, None, "https://127.0.0.1:9/t")
        );
    }

    #[test]
    fn another_company_is_described_completely() {
        let text = "[oauth2.corp]\nclient_id = 'ostler'\nauthorize = 'https://sso.example/a'\ntoken = 'https://sso.example/t'\n\
                    device = 'https://sso.example/d'\nrevoke = 'https://sso.example/r'\nscopes = ['openid', 'mail']\n\
                    redirect = 'localhost'\nca = 'corp.pem'\nclient_secret = { env = 'CORP' }\n\
                    [[account]]\naddress = 'ann@corp.example'\noauth2 = 'corp'\n[account.pop3]\nhost = 'p'\nauth = 'oauth2'\n";
        let settings = settings(text);
        let corp = settings.accounts[0].oauth2.clone().unwrap();
        assert_eq!(corp.scopes.needed([Protocol::Pop3]), ["openid", "mail"]);
        assert_eq!(corp.trust.ca.as_deref(), Some(Path::new("/home/ann/corp.pem")));
        assert!(corp.client_secret.is_some() && corp.device.is_some() && corp.revoke.is_some());
    }

    #[test]
    fn a_registration_of_another_program_is_one_at_a_company_that_ostler_knows_or_is_complete() {
        let microsoft = Described {
            authorize: Some("https://login.microsoftonline.com/common/oauth2/v2.0/authorize"),
            token: Some("https://login.microsoftonline.com/common/oauth2/v2.0/token"),
            client_id: Some("5f3c"),
            ..Described::default()
        };
        let known = settings("[oauth2.microsoft]\nclient_id = '5f3c'\n").issuers.swap_remove(0);
        assert_eq!(microsoft.registered("x"), Some(Issuer::clone(&known)));
        let school = Described {
            token: Some("https://login.microsoftonline.com/school.example/oauth2/v2.0/token"),
            has_secret: true,
            ..microsoft
        };
        let at = |end: &str| format!("https://login.microsoftonline.com/school.example/oauth2/v2.0/{end}");
        let known = settings(&format!(
            "[oauth2.microsoft]\nclient_id = '5f3c'\nclient_secret = 'keyring'\nauthorize = '{}'\ntoken = '{}'\ndevice = '{}'\n",
            at("authorize"),
            at("token"),
            at("devicecode")
        ));
        assert_eq!(school.registered("x").as_ref(), Some(&*known.issuers[0]));
        for client_id in ["*** your client id here ***", "00000000-0000-0000-0000-000000000000", "my-placeholder", ""] {
            assert_eq!(Described { client_id: Some(client_id), ..microsoft }.registered("x"), None, "{client_id}");
        }
        let corp = Described {
            authorize: Some("https://sso.corp.example/a"),
            token: Some("https://sso.corp.example/t"),
            scopes: "mail  offline_access",
            client_id: Some("5f3c"),
            ..Described::default()
        };
        assert_eq!(
            corp.registered("corp.example").unwrap().scopes.needed([Protocol::Pop3]),
            ["mail", "offline_access"]
        );
        assert_eq!(Described { scopes: "", ..corp }.registered("corp.example"), None);
        assert_eq!(Described { authorize: Some("http://sso.corp.example/a"), ..corp }.registered("corp.example"), None);
        assert_eq!(corp.registered("Corp Example"), None);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let told = mistakes("[oauth2.corp]\nclient_id = 'x'\n");
        assert!(
            told.contains("oauth2.corp.token: is missing") && told.contains("oauth2.corp.scopes: is missing"),
            "{told}"
        );
        assert!(told.contains("oauth2.corp.authorize: is missing"), "{told}");
        let told = mistakes(
            "[oauth2.google]\ntoken = 'http://x/'\nscopes = 'mail'\nredirect = 'here'\nclient_secret = 'hunter2'\n",
        );
        assert!(told.contains("2:9: oauth2.google.token: is not an address over https"), "{told}");
        assert!(told.contains("oauth2.google.scopes: is a text; allowed is"), "{told}");
        assert!(told.contains("oauth2.google.redirect: is not a known word"), "{told}");
        assert!(told.contains("client_secret") && !told.contains("hunter2"), "{told}");
        let told = mistakes(
            "[[account]]\naddress = 'a@b.example'\noauth2 = 'gogle'\npop3 = { host = 'p', auth = 'oauth2' }\n",
        );
        assert!(told.contains("account.oauth2: is no company that ostler knows; did you mean google?"), "{told}");
    }
}
