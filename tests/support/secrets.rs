//! No secret of a test may show anywhere: at the end of every test that ran an ostler, everything it said and everything
//! that can be asked about it is searched for every password the test has used, in every form it may take. A test does
//! not ask for this: [`Home`](super::ostler::Home) knows the passwords of its accounts, clients that a test plays tell what
//! they typed, and `Ostler`, `Run` and `process::run` search when they end. What shows a secret on purpose says so with
//! [`Watch::allow`], and why. What proves a password without saying it (CRAM-MD5, APOP) can be tried out against at leisure
//! by whoever sees it: both sides of every dialogue that a test plays tell of those ([`heard`]).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE};

/// Reads what is cut out of the middle of something.
const CARELESS: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The shortest that is searched for: shorter ones are in every text by chance.
const SHORTEST: usize = 6;
/// How many pages of the settings page are looked at.
const PAGES: usize = 40;

thread_local! {
    /// What clients of this test have typed as passwords.
    static TYPED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A digest as it is said: of MD5, in hex.
type Proof = [u8; 32];

/// Every proof of a password that was said in this process. What one test has heard may show in no other either.
static PROOFS: LazyLock<Mutex<HashSet<Proof>>> = LazyLock::new(Mutex::default);

/// The secrets of one home.
#[derive(Default)]
pub struct Watch(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    secrets: Vec<Vec<u8>>,
    /// Secret, place, reason.
    allowed: Vec<(Vec<u8>, String, &'static str)>,
}

/// The homes of this process, by their folders.
static HOMES: LazyLock<Mutex<HashMap<PathBuf, Weak<Watch>>>> = LazyLock::new(Mutex::default);

impl Watch {
    /// For the home in this folder: whatever is started with it as `HOME` is searched for its secrets.
    pub fn over(home: &Path) -> Arc<Self> {
        let watch = Arc::new(Self::default());
        HOMES.lock().unwrap().insert(home.to_owned(), Arc::downgrade(&watch));
        watch
    }

    /// One more word that must not show.
    pub fn add(&self, secret: &str) {
        let mut inner = self.0.lock().unwrap();
        if secret.len() >= SHORTEST && inner.secrets.iter().all(|known| known != secret.as_bytes()) {
            inner.secrets.push(secret.as_bytes().to_vec());
        }
    }

    /// This secret may show at places whose name begins like this: `stdout of list`, `environment`, `settings`.
    pub fn allow(&self, secret: &str, place: &str, why: &'static str) {
        assert!(!why.is_empty(), "no exemption without a reason");
        self.0.lock().unwrap().allowed.push((secret.as_bytes().to_vec(), place.to_owned(), why));
    }

    /// Fails the test if a secret is in these octets.
    pub fn search(&self, place: &str, bytes: &[u8]) {
        if let Some((secret, form)) = self.found(place, bytes) {
            panic!(
                "{place} has the secret {:?} in it, {form}:\n{}",
                String::from_utf8_lossy(&secret),
                String::from_utf8_lossy(bytes)
            );
        }
    }

    /// The first secret that shows at a place where it may not, and in what form.
    pub fn found(&self, place: &str, bytes: &[u8]) -> Option<(Vec<u8>, &'static str)> {
        if let Some(proof) = proof_in(bytes) {
            return Some((proof.to_vec(), "which proves a password"));
        }
        let inner = self.0.lock().unwrap();
        let typed = TYPED.with_borrow(Clone::clone);
        inner.secrets.iter().chain(&typed).find_map(|secret| {
            let allowed = |(one, at, _): &(Vec<u8>, String, &str)| one == secret && place.starts_with(at.as_str());
            if inner.allowed.iter().any(allowed) {
                return None;
            }
            form_of(secret, bytes).map(|form| (secret.clone(), form))
        })
    }

    /// What a program of this home has said. A listing of local passwords shows those, and from then on they are known.
    fn search_output(&self, command: &Command, output: &Output) {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let name = words.iter().find(|word| word.chars().all(|c| c.is_ascii_lowercase())).cloned().unwrap_or_default();
        let shows_local = words.iter().any(|word| word == "--passwords");
        if shows_local {
            for local in local_passwords(&String::from_utf8_lossy(&output.stdout)) {
                self.add(&local);
                self.allow(&local, "stdout of list --passwords", "it is what was asked for");
            }
        }
        // A guide for another computer shows the password to type there, and no other.
        let is_for_another = words.iter().any(|word| word == "--for");
        let name = if shows_local {
            "list --passwords"
        } else if is_for_another {
            "guide --for"
        } else {
            &name
        };
        self.search(&format!("stdout of {name}"), &output.stdout);
        self.search(&format!("stderr of {name}"), &output.stderr);
    }

    /// What everybody can see of a running ostler, and what it answers to those who may ask.
    pub fn search_running(&self, pid: u32, again: &Again) {
        #[cfg(target_os = "linux")]
        for (place, file) in [("command line", "cmdline"), ("environment", "environ")] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) {
                self.search(place, &bytes);
            }
        }
        let _ = pid;
        if let Some(output) = again.output(&["status", "--json"]) {
            self.search("status", &output.stdout);
        }
        if again.has_page() {
            self.search_page(again);
        }
    }

    /// The settings page: every page that a click leads to from the first, the report among them.
    fn search_page(&self, again: &Again) {
        let Some(link) = again.output(&["settings", "--print"]) else { return };
        let link = String::from_utf8_lossy(&link.stdout).trim().to_owned();
        let Some((host, path)) = link.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else { return };
        // The link is the way in: it gives a cookie.
        let Some(entered) = get(host, &format!("/{path}"), "") else { return };
        let given = entered.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: "));
        let cookie = given.map_or("", |line| line["set-cookie: ".len()..].split(';').next().unwrap());
        let (mut next, mut seen) = (vec!["/report".to_owned(), "/".to_owned()], Vec::new());
        while let Some(path) = next.pop().filter(|_| seen.len() < PAGES) {
            if seen.contains(&path) {
                continue;
            }
            let answer = get(host, &path, cookie).unwrap_or_default();
            self.search(&format!("page {path}"), answer.as_bytes());
            let links = answer.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            next.extend(links.filter(|link| link.starts_with('/')).map(str::to_owned));
            seen.push(path);
        }
    }

    /// What it has left on disk: its own folders, and the settings.
    pub fn search_files(&self, root: &Path) {
        let mut folders: Vec<PathBuf> = ["run", "data", "home", "config"].iter().map(|name| root.join(name)).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => {
                        let place = if path.starts_with(root.join("config")) { "settings" } else { "file" };
                        let bytes = std::fs::read(&path).unwrap_or_default();
                        self.search(&format!("{place} {}", path.display()), &bytes);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn local_passwords(text: &str) -> Vec<String> {
    let words = ["local password: ", "\"local_password\": \"", "\"local_password\":\""];
    let after = |line: &str| {
        let rest = words.iter().find_map(|word| line.split_once(word))?.1;
        Some(rest.split('"').next().unwrap_or_default().trim().to_owned())
    };
    text.lines().filter_map(after).collect()
}

/// One request for a page; head and body.
fn get(host: &str, path: &str, cookie: &str) -> Option<String> {
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// The watch over the home a program is started in, if it is one.
pub fn watch_of(command: &Command) -> Option<Arc<Watch>> {
    let home = command.get_envs().find(|(name, _)| *name == "HOME").and_then(|(_, value)| value)?;
    HOMES.lock().unwrap().get(Path::new(home))?.upgrade()
}

/// Looks at what a program said that has run to its end, if it is of a home that is watched.
pub fn search_output(command: &Command, output: &Output) {
    if let Some(watch) = watch_of(command) {
        watch.search_output(command, output);
    }
}

/// A client of a test has sent this line: what it gives as password is a secret, unless it is a word that may be
/// anywhere, such as "x".
pub fn typed(line: &str) {
    let line = line.trim_end_matches("\r\n");
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let secrets = match verb.to_ascii_uppercase().as_str() {
        "PASS" => vec![rest.as_bytes().to_vec()],
        "AUTH" => {
            let response = rest.split_once(' ').map_or("", |(_, response)| response);
            let decoded = STANDARD.decode(response).unwrap_or_default();
            vec![decoded.rsplit(|byte| *byte == 0).next().unwrap_or_default().to_vec()]
        }
        _ => return,
    };
    // Words of the tests that are only a password by their place are too common.
    let is_rare = |secret: &Vec<u8>| secret.len() >= 12 && secret.iter().any(u8::is_ascii_digit);
    TYPED.with_borrow_mut(|typed| typed.extend(secrets.into_iter().filter(is_rare)));
}

/// Somebody in a test has said this, or has been told it by ostler: proofs of a password in it may show nowhere.
pub fn heard(said: &[u8]) {
    let found: Vec<Proof> = said.split(|byte| *byte == b'\n').filter_map(|line| proof_of(line.trim_ascii())).collect();
    if !found.is_empty() {
        PROOFS.lock().unwrap().extend(found);
    }
}

/// The digest in an APOP command (RFC 1939) or in a response of CRAM-MD5 (RFC 2195): behind a name and a blank. Not those
/// of a test that only pretends, of one digit.
fn proof_of(line: &[u8]) -> Option<Proof> {
    let decoded;
    let said = match line.split_at_checked(5) {
        Some((verb, rest)) if verb.eq_ignore_ascii_case(b"APOP ") => rest,
        // A message is no response.
        _ if line.len() > 1000 => return None,
        _ => {
            decoded = STANDARD.decode(line).ok()?;
            &decoded
        }
    };
    let blank = said.iter().rposition(|byte| *byte == b' ')?;
    let proof: Proof = said[blank + 1..].try_into().ok()?;
    let is_one = proof.iter().all(u8::is_ascii_hexdigit) && proof.iter().any(|byte| *byte != proof[0]);
    is_one.then(|| proof.to_ascii_lowercase().try_into().unwrap())
}

/// The first proof that shows, as it stands or in base64, broken into lines or not.
fn proof_in(hay: &[u8]) -> Option<Proof> {
    let proofs = PROOFS.lock().unwrap();
    if proofs.is_empty() {
        return None;
    }
    let joined: Vec<u8> = hay.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    [hay, &joined].into_iter().find_map(|hay| {
        digits_in(hay, &proofs).or_else(|| {
            let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
            let runs = hay.split(|byte| !is_base64(byte)).filter(|run| run.len() >= size_of::<Proof>() * 4 / 3);
            // It may begin at any of the four places of a group, and end inside one.
            runs.flat_map(|run| (0..4).map(move |skip| &run[skip..])).find_map(|run| {
                let whole = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
                let standard = whole.iter().map(|byte| match byte {
                    b'-' => b'+',
                    b'_' => b'/',
                    other => *other,
                });
                digits_in(&CARELESS.decode(standard.collect::<Vec<u8>>()).ok()?, &proofs)
            })
        })
    })
}

/// The first proof among the hexadecimal numbers in these octets.
fn digits_in(hay: &[u8], proofs: &HashSet<Proof>) -> Option<Proof> {
    let numbers = hay.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() >= size_of::<Proof>());
    numbers.flat_map(|run| run.windows(size_of::<Proof>())).find_map(|digits| {
        let digits: Proof = digits.to_ascii_lowercase().try_into().unwrap();
        proofs.contains(&digits).then_some(digits)
    })
}

/// How a running program was started: with other words, the same program asks it something.
pub struct Again {
    program: std::ffi::OsString,
    args: Vec<std::ffi::OsString>,
    envs: Vec<(std::ffi::OsString, Option<std::ffi::OsString>)>,
}

impl Again {
    pub fn of(command: &Command) -> Self {
        let envs = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
        Self {
            program: command.get_program().to_owned(),
            args: command.get_args().map(ToOwned::to_owned).collect(),
            envs: envs.collect(),
        }
    }

    /// What it answers, if this was an `ostler run`, and if it answers.
    fn output(&self, words: &[&str]) -> Option<Output> {
        let run = self.args.iter().position(|word| word == "run")?;
        let config = self.args.iter().position(|word| word == "--config")?;
        let mut command = Command::new(&self.program);
        command.args(&self.args[..run]).args(words).args(self.args.get(config..config + 2)?);
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).output().ok()
    }

    fn has_page(&self) -> bool {
        let config = self.args.iter().position(|word| word == "--config");
        let file = config.and_then(|at| self.args.get(at + 1));
        let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        text.contains("[local]") && !text.contains("page = false")
    }
}

/// In which form a secret is in these octets, if it is.
pub fn form_of(secret: &[u8], hay: &[u8]) -> Option<&'static str> {
    if secret.len() < SHORTEST || hay.is_empty() {
        return None;
    }
    let views =
        [("", hay.to_vec()), ("percent-quoted ", unquoted(hay, b'%')), ("quoted-printable ", unquoted(hay, b'='))];
    // Encoders of mail break their lines.
    let joined: Vec<u8> = hay.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    for (view, hay) in &views {
        for (name, form) in forms(secret) {
            if contains(hay, &form) {
                return Some(if view.is_empty() { name } else { view });
            }
        }
    }
    forms(secret).into_iter().find(|(_, form)| contains(&joined, form)).map(|(name, _)| name)
}

/// A secret as it stands, as JSON, HTML and Rust write it, in hex, and in base64 at each of the three places it can begin
/// in a group.
pub fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("as it stands", secret.to_vec()),
        ("in hex", hex.to_uppercase().into_bytes()),
        ("in hex", hex.into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = serde_json::to_string(text).unwrap();
        forms.push(("as JSON", json.trim_matches('"').as_bytes().to_vec()));
        forms.push(("as Rust", text.escape_debug().to_string().into_bytes()));
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        forms.push(("as HTML", html.into_bytes()));
    }
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret);
        // The first and last characters also carry bits of the neighbours.
        let (from, until) = ([0, 2, 3][before], padded.len() * 8 / 6);
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode(&padded).into_bytes();
            forms.push(("in base64", text[from..until].to_vec()));
        }
    }
    forms
}

/// Octets that are written as `%41` or `=41` become themselves; soft line breaks of quoted-printable go.
fn unquoted(hay: &[u8], mark: u8) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut plain, mut at) = (Vec::with_capacity(hay.len()), 0);
    while let Some(byte) = hay.get(at) {
        if *byte == mark {
            if let (Some(high), Some(low)) = (digit(hay.get(at + 1)), digit(hay.get(at + 2))) {
                plain.push(u8::try_from(high * 16 + low).unwrap());
                at += 3;
                continue;
            }
            if mark == b'=' && hay[at + 1..].starts_with(b"\r\n") {
                at += 3;
                continue;
            }
        }
        plain.push(*byte);
        at += 1;
    }
    plain
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && memchr::memmem::find(hay, needle).is_some()
}
