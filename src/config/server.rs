//! Reads one server of an account: where it is, which certificates it may have, and how ostler signs in there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::apply_preset::{self, AccountPreset};
use super::keys;
use super::toml_tree::{Item, Table};
use super::value;
use ostler_mail::account::endpoint::{AuthMethod, Endpoint};
use ostler_mail::account::{
    AfterPop, CommandLine, Credentials, PasswordCharset, Protocol, SecretSource, Security, Server, SignIn, Trust,
};

const SECRET: &str = "\"keyring\", { command = \"..\" }, { file = \"..\" }, { env = \"..\" } or \"client\"";
const LOCAL_SECRET: &str = "\"keyring\", { command = \"..\" }, { file = \"..\" } or { env = \"..\" }";
const COMMAND: &str = "a line for the shell, or a list of a program and its arguments";
const PATH: &str = "the path of a file";
const FRESH: &str =
    "\"0s\" (a login before every send) to \"24h\": a number and its unit (ms, s, m or h), such as \"60s\" or \"3m\"";

/// How old a POP login may be before a send. Half of the shortest window known (2 minutes), and long enough not to log
/// in for every message of a batch.
pub(crate) const DEFAULT_FRESH: Duration = Duration::from_secs(60);

/// The most connections that a person may allow at an IMAP server. No provider takes more of one user.
const MAX_IMAP_CONNECTIONS: u16 = 100;

/// How the account signs in at servers that have no user name or password of their own.
pub(super) struct SignInDefaults<'f> {
    /// The account's `username`.
    pub(super) username: Option<String>,
    /// The default user name; empty if the address is wrong.
    pub(super) address: &'f str,
    pub(super) secret: SecretSource,
    pub(super) charset: PasswordCharset,
    pub(super) secrets: SecretReader<'f>,
    pub(super) preset: &'f AccountPreset<'f>,
}

impl SignInDefaults<'_> {
    /// `gap_filler` is the preset's server that fills in what the table leaves out.
    fn credentials(&self, table: &Table<'_>, gap_filler: Option<&Endpoint>) -> Credentials {
        let username = table.get("username").and_then(|item| item.read(value::USERNAME, value::username));
        let secret = table.get("password").and_then(|item| self.secrets.read(&item));
        let of_account = self.account_credentials(gap_filler);
        Credentials {
            username: username.unwrap_or(of_account.username),
            secret: secret.unwrap_or(of_account.secret),
            charset: read_password_charset(table).unwrap_or(of_account.charset),
        }
    }

    fn account_credentials(&self, gap_filler: Option<&Endpoint>) -> Credentials {
        let formed = || gap_filler?.login.candidates(self.address).into_iter().next();
        let username = self.username.clone().or_else(|| formed().and_then(|name| value::username(&name).ok()));
        let username = username.unwrap_or_else(|| self.address.to_owned());
        Credentials { username, secret: self.secret.clone(), charset: self.charset }
    }
}

/// `password_charset` of an account or a server.
pub(super) fn read_password_charset(table: &Table<'_>) -> Option<PasswordCharset> {
    let words = PasswordCharset::ALL.map(|charset| (charset.name(), charset));
    table.get("password_charset").and_then(|item| item.word(&words))
}

#[derive(Clone, Copy)]
enum Auth {
    Password,
    OAuth2,
    AfterPop,
    None,
}

impl Auth {
    fn of(server: &Endpoint) -> Self {
        match server.best_auth_method() {
            AuthMethod::Password | AuthMethod::AppPassword | AuthMethod::Bridge => Self::Password,
            AuthMethod::OAuth2(_) => Self::OAuth2,
            AuthMethod::PopBeforeSmtp => Self::AfterPop,
            AuthMethod::None => Self::None,
        }
    }
}

/// Reads a POP3 or IMAP server.
pub(super) fn read_server(table: &Table<'_>, protocol: Protocol, defaults: &SignInDefaults<'_>) -> Option<Server> {
    let gap_filler = defaults.preset.gap_filler(table, protocol);
    let credentials = defaults.credentials(table, gap_filler.as_ref());
    let words = [("password", Auth::Password), ("oauth2", Auth::OAuth2), ("none", Auth::None)];
    let default = gap_filler.as_ref().map_or(Auth::Password, Auth::of);
    let sign_in = match table.get("auth").map_or(Some(default), |item| item.word(&words)) {
        Some(Auth::Password) => Some(SignIn::Password(credentials)),
        Some(Auth::OAuth2) => Some(SignIn::OAuth2(credentials)),
        // `AfterPop` is for sending: neither the words above nor a preset has it here.
        Some(Auth::None | Auth::AfterPop) => {
            warn_of_unused_credentials(table);
            Some(SignIn::None)
        }
        None => None,
    };
    read_common(table, protocol, defaults, sign_in, gap_filler.as_ref())
}

/// The account's POP3 server, as the server for a login before a send.
#[derive(Clone, Copy)]
pub(super) enum OwnPop3<'s> {
    /// The account has none.
    None,
    /// There is one, but it has mistakes.
    Wrong,
    Is(&'s Server),
}

/// Reads an SMTP server.
pub(super) fn read_smtp_server(table: &Table<'_>, defaults: &SignInDefaults<'_>, pop3: OwnPop3<'_>) -> Option<Server> {
    let gap_filler = defaults.preset.gap_filler(table, Protocol::Smtp);
    let credentials = defaults.credentials(table, gap_filler.as_ref());
    let default = gap_filler.as_ref().map_or(Auth::Password, Auth::of);
    let words = [
        ("password", Auth::Password),
        ("pop-before-smtp", Auth::AfterPop),
        ("oauth2", Auth::OAuth2),
        ("none", Auth::None),
    ];
    let auth = table.get("auth").map_or(Some(default), |item| item.word(&words));
    // A wrong `auth` has been reported; whether `fresh` and `login` belong to it is then unknown, so they are only
    // read.
    let gate = match auth {
        None | Some(Auth::AfterPop) => read_gate(table, defaults, pop3),
        Some(_) => {
            report_stray_gate_keys(table, defaults);
            None
        }
    };
    let sign_in = match auth {
        Some(Auth::Password) => Some(SignIn::Password(credentials)),
        Some(Auth::OAuth2) => Some(SignIn::OAuth2(credentials)),
        Some(Auth::AfterPop) => {
            warn_of_unused_credentials(table);
            gate.map(|gate| SignIn::AfterPop(Arc::new(gate)))
        }
        Some(Auth::None) => {
            warn_of_unused_credentials(table);
            Some(SignIn::None)
        }
        None => None,
    };
    let chunking = table.get("chunking").map_or(Some(true), |item| item.flag());
    let server = read_common(table, Protocol::Smtp, defaults, sign_in, gap_filler.as_ref())?;
    Some(Server { chunking: chunking?, ..server })
}

/// Makes a server that is entirely from the preset. `pop3` is the account's server for the POP login before a send.
pub(super) fn server_from_preset(
    server: &Endpoint,
    defaults: &SignInDefaults<'_>,
    pop3: Option<&Server>,
) -> Option<Server> {
    let credentials = defaults.account_credentials(Some(server));
    let sign_in = match (Auth::of(server), pop3) {
        (Auth::Password, _) => SignIn::Password(credentials),
        (Auth::OAuth2, _) => SignIn::OAuth2(credentials),
        (Auth::None, _) => SignIn::None,
        (Auth::AfterPop, Some(login @ Server { sign_in: SignIn::Password(_), .. })) => {
            SignIn::AfterPop(Arc::new(AfterPop {
                login: login.clone(),
                fresh: defaults.preset.cap_fresh(DEFAULT_FRESH),
            }))
        }
        (Auth::AfterPop, _) => {
            defaults.preset.place()?.report_absence(
                "needs a POP login before each send, but [account.pop3] has no password; allowed is one with \
                 auth = \"password\", or an [account.smtp] with another auth",
            );
            return None;
        }
    };
    Some(server.to_server(Trust::default(), sign_in))
}

fn warn_of_unused_credentials(table: &Table<'_>) {
    for item in ["username", "password", "password_charset"].into_iter().filter_map(|key| table.get(key)) {
        item.warn("is not used, because auth says that no one signs in here");
    }
}

/// Reads `fresh` and `login`, which belong to pop-before-smtp.
fn read_gate(table: &Table<'_>, defaults: &SignInDefaults<'_>, pop3: OwnPop3<'_>) -> Option<AfterPop> {
    let usual = || Some(defaults.preset.cap_fresh(DEFAULT_FRESH));
    let fresh = table.get("fresh").map_or_else(usual, |item| item.read(FRESH, value::duration));
    let login = match table.get("login") {
        Some(item) => read_login_server(&item.table(&keys::LOGIN)?, defaults),
        None => login_at_own_pop3(table, pop3),
    };
    Some(AfterPop { login: login?, fresh: fresh? })
}

/// Reports `fresh` and `login` where there is no pop-before-smtp, and the mistakes in them.
fn report_stray_gate_keys(table: &Table<'_>, defaults: &SignInDefaults<'_>) {
    for item in ["fresh", "login"].into_iter().filter_map(|key| table.get(key)) {
        item.report_absence("belongs to pop-before-smtp; allowed only with auth = \"pop-before-smtp\"");
    }
    // Read only for the mistakes in them.
    let _ = table.get("fresh").map(|item| item.read(FRESH, value::duration));
    let _ = table.get("login").and_then(|item| read_login_server(&item.table(&keys::LOGIN)?, defaults));
}

fn read_login_server(table: &Table<'_>, defaults: &SignInDefaults<'_>) -> Option<Server> {
    let sign_in = SignIn::Password(defaults.credentials(table, None));
    read_common(table, Protocol::Pop3, defaults, Some(sign_in), None)
}

/// Takes the account's own POP3 server for the login.
fn login_at_own_pop3(table: &Table<'_>, pop3: OwnPop3<'_>) -> Option<Server> {
    const NEEDED: &str = "allowed is login = { host = \"..\" }, or an [account.pop3] with auth = \"password\"";
    // pop-before-smtp may come from the preset; then there is no `auth` to point at.
    let auth = table.get("auth").unwrap_or_else(|| table.item().clone());
    match pop3 {
        // Its mistakes are reported there.
        OwnPop3::Wrong => None,
        OwnPop3::None => {
            auth.report_absence(&format!("has no server for the POP login; {NEEDED}"));
            None
        }
        OwnPop3::Is(server) if matches!(server.sign_in, SignIn::Password(_)) => Some(server.clone()),
        OwnPop3::Is(_) => {
            let message = format!("cannot log in at [account.pop3], because its auth is not \"password\"; {NEEDED}");
            auth.report_absence(&message);
            None
        }
    }
}

/// Reads the keys that every server has.
fn read_common(
    table: &Table<'_>,
    protocol: Protocol,
    defaults: &SignInDefaults<'_>,
    sign_in: Option<SignIn>,
    gap_filler: Option<&Endpoint>,
) -> Option<Server> {
    let host = match table.get("host") {
        Some(item) => item.read(value::HOST, value::host),
        None if gap_filler.is_some() => gap_filler.map(|server| server.host.clone()),
        // The preset that would name the host is wrong, and that has been reported.
        None if defaults.preset.has_failed() => None,
        None => table.reject_missing("host", &format!("is missing; allowed is {}", value::HOST)),
    };
    let security = table
        .get("security")
        .map_or_else(|| Some(gap_filler.map_or(Security::Tls, |server| server.security)), |item| read_security(&item));
    let port = match table.get("port") {
        Some(item) => read_port(&item),
        None => security.map(|security| apply_preset::default_port(gap_filler, protocol, security)),
    };
    let ca = table.get("ca").map(|item| defaults.secrets.path(&item));
    let pin = table.get("pin").map(|item| item.read(value::PIN, value::pin));
    // In `ca` and `pin` the outer `None` is a key left out, the inner one a mistake.
    let trust = Trust { ca: ca.map_or(Some(None), |ca| ca.map(Some))?, pin: pin.map_or(Some(None), |p| p.map(Some))? };
    Some(Server { protocol, host: host?, port: port?, security: security?, trust, sign_in: sign_in?, chunking: true })
}

fn read_security(item: &Item<'_>) -> Option<Security> {
    let words = Security::ALL.map(|security| (security.name(), security));
    // Outlook Express and its like call it SSL, so people do too.
    if item.as_text().is_some_and(|text| text.to_ascii_lowercase().starts_with("ssl")) {
        return item.reject("is called \"tls\" here; allowed is \"tls\", \"starttls\", \"none\"");
    }
    let security = item.word(&words)?;
    if security == Security::None {
        item.warn("lets anyone along the way read mail and password");
    }
    Some(security)
}

pub(super) fn read_port(item: &Item<'_>) -> Option<u16> {
    read_number(item, "a port from 1 to 65535", u16::MAX)
}

/// `connections` of an IMAP server.
pub(super) fn read_connections(item: &Item<'_>) -> Option<usize> {
    read_number(item, "a number from 1 to 100", MAX_IMAP_CONNECTIONS).map(usize::from)
}

/// Reads a number from 1 to `most`; `allowed` says so.
fn read_number(item: &Item<'_>, allowed: &str, most: u16) -> Option<u16> {
    match item.as_number() {
        None => item.reject_kind(allowed),
        Some(number) => {
            let number = number.and_then(|number| u16::try_from(number).ok());
            match number.filter(|number| (1..=most).contains(number)) {
                Some(number) => Some(number),
                None => item.reject(&format!("is out of range; allowed is {allowed}")),
            }
        }
    }
}

/// Reads where secrets are.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecretReader<'f> {
    /// The settings file, where relative paths start.
    pub(super) file: &'f Path,
}

impl SecretReader<'_> {
    /// The source of a provider's password.
    pub(super) fn read(self, item: &Item<'_>) -> Option<SecretSource> {
        match item.as_text() {
            Some("client") => Some(SecretSource::Client),
            _ => self.stored(item, SECRET),
        }
    }

    /// The source of a local password. It cannot be "client": the password that a mail program gives would be compared
    /// with itself.
    pub(super) fn read_local(self, item: &Item<'_>) -> Option<SecretSource> {
        match item.as_text() {
            Some("client") => item.reject(&format!("cannot come from the mail program; allowed is {LOCAL_SECRET}")),
            _ => self.stored(item, LOCAL_SECRET),
        }
    }

    /// The source of what proves who ostler is at a company that gives out tokens.
    pub(super) fn read_client_secret(self, item: &Item<'_>) -> Option<SecretSource> {
        self.read_local(item)
    }

    fn stored(self, item: &Item<'_>, allowed: &str) -> Option<SecretSource> {
        match item.as_text() {
            Some("keyring") => return Some(SecretSource::Keyring),
            None if item.is_table() => {}
            _ => {
                let message = format!(
                    "does not say where the password is; a password itself does not belong in this file; \
                     allowed is {allowed}"
                );
                return item.reject(&message);
            }
        }
        let table = item.table(&keys::SECRET)?;
        match (table.get("command"), table.get("file"), table.get("env")) {
            (Some(item), None, None) => read_command(&item).map(SecretSource::Command),
            (None, Some(item), None) => self.path(&item).map(|path| SecretSource::File(keep_systemd_name(&item, path))),
            (None, None, Some(item)) => item.read("the name of a variable", parse_variable).map(SecretSource::Env),
            (None, None, None) => item.reject(&format!("does not say where the password is; allowed is {allowed}")),
            _ => item.reject("names more than one place; allowed is one of command, file and env"),
        }
    }

    /// A path: `~/` is the home folder, and a relative path starts at the settings file's folder.
    pub(super) fn path(self, item: &Item<'_>) -> Option<PathBuf> {
        let text = item.read(PATH, |text| match text {
            "" => Err("is empty"),
            _ if text.contains(char::is_control) => Err("contains a control character"),
            _ => Ok(text.to_owned()),
        })?;
        if let Some(rest) = text.strip_prefix("~/") {
            return match std::env::home_dir().filter(|home| home.is_absolute()) {
                Some(home) => Some(home.join(rest)),
                None => item.reject("begins with ~/, but the home folder is not known; allowed is an absolute path"),
            };
        }
        let file = std::path::absolute(self.file).unwrap_or_else(|_| self.file.to_owned());
        Some(file.parent().unwrap_or(Path::new("")).join(text))
    }
}

/// A bare name that is among systemd's credentials stays bare, so that the vault looks for it there.
fn keep_systemd_name(item: &Item<'_>, path: PathBuf) -> PathBuf {
    let Some(name) = path.file_name().map(PathBuf::from) else { return path };
    let is_bare = item.as_text() == name.to_str();
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|_| is_bare);
    if folder.is_some_and(|folder| PathBuf::from(folder).join(&name).is_file()) { name } else { path }
}

fn read_command(item: &Item<'_>) -> Option<CommandLine> {
    let filled = |text: &str| if text.trim().is_empty() { Err("is empty") } else { value::command_word(text) };
    let Some(list) = item.as_list() else {
        return item.read(COMMAND, filled).map(CommandLine::Shell);
    };
    if list.is_empty() {
        return item.reject(&format!("is an empty list; allowed is {COMMAND}"));
    }
    let words = list.iter().enumerate().map(|(n, item)| match n {
        0 => item.read("a program", filled),
        _ => item.read("an argument as text", value::command_word),
    });
    words.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(CommandLine::Argv)
}

fn parse_variable(text: &str) -> Result<String, value::Why> {
    if text.is_empty() || text.contains(['=', '\0']) { Err("is not a name") } else { Ok(text.to_owned()) }
}
