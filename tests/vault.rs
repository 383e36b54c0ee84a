//! The vault against a real gnome-keyring on a private D-Bus. The bus address and HOME are read from the environment
//! of the process, so each scenario runs in a process of its own: this program again, with `SCENARIO` set.

#![cfg(all(target_os = "linux", feature = "keyring"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ostler::vault::{Vault, VaultError};
use ostler_mail::account::{
    Account, Credentials, DEFAULT_IMAP_CONNECTIONS, Folder, PasswordCharset, Protocol, SecretSource, Security, Server,
    SignIn, Trust,
};
use ostler_mail::secret::{LIMIT, Secret};

const SCENARIO: &str = "OSTLER_TEST_SCENARIO";

/// For anything that takes milliseconds, on a machine that does ten other things.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_secret_is_stored_read_replaced_and_forgotten() {
    in_a_process_of_its_own("keeps");
}

#[test]
fn nothing_is_on_disk_in_plain_text() {
    in_a_process_of_its_own("plain_text");
}

#[test]
fn a_keyring_that_appears_later_is_used() {
    in_a_process_of_its_own("later");
}

#[test]
fn a_locked_keyring_is_named_and_works_once_unlocked() {
    in_a_process_of_its_own("locked");
}

#[test]
fn a_service_without_a_default_keyring_is_named() {
    in_a_process_of_its_own("no_collection");
}

#[test]
fn a_bus_and_a_keyring_that_were_restarted_are_used_again() {
    in_a_process_of_its_own("restarted");
}

#[test]
fn a_keyring_that_dies_while_it_is_asked_is_used_again() {
    in_a_process_of_its_own("dies");
}

/// The other side: what runs in the process of its own. By itself it does nothing.
#[tokio::test]
async fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    match name.as_str() {
        "keeps" => keeps().await,
        "plain_text" => plain_text().await,
        "later" => later().await,
        "locked" => locked().await,
        "no_collection" => no_collection().await,
        "restarted" => restarted().await,
        "dies" => dies().await,
        other => panic!("no scenario {other}"),
    }
    println!("scenario {name} done");
}

async fn keeps() {
    let _desk = Desk::up().await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoEntry { .. })));
    for text in ["hunter2", "replaced", "p\u{e4}ssw\u{f6}rd \u{20ac}", &"x".repeat(LIMIT)] {
        vault.store(&home, pop3, secret(text)).await.unwrap();
        assert_eq!(vault.secret(&home, pop3).await.unwrap().text(), text);
        assert_eq!(Vault::new().secret(&home, pop3).await.unwrap().text(), text, "read, not remembered");
    }
    let other = Server { host: "pop.example.org".into(), ..pop3.clone() };
    assert!(matches!(vault.secret(&home, &other).await, Err(VaultError::NoEntry { .. })));

    let local = vault.local_password(&home).await.unwrap();
    assert_eq!(Vault::new().local_password(&home).await.unwrap().expose(), local.expose());
    let office = account("home office");
    vault.store(&office, pop3, secret("office")).await.unwrap();
    vault.store(&home, &other, secret("former")).await.unwrap();
    assert_eq!(
        users(),
        [
            "home local-password",
            "home pop3 tls ann@pop.example.net:995",
            "home pop3 tls ann@pop.example.org:995",
            "home office pop3 tls ann@pop.example.net:995"
        ]
        .map(str::to_owned)
        .into()
    );

    vault.forget_account(&home).await.unwrap();
    assert_eq!(users(), ["home office pop3 tls ann@pop.example.net:995".to_owned()].into(), "former servers' too");
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoEntry { .. })));
    vault.forget_account(&home).await.unwrap();
}

async fn plain_text() {
    let desk = Desk::up().await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    vault.store(&home, pop3, secret("correct-horse-battery")).await.unwrap();
    let local = vault.local_password(&home).await.unwrap();
    let mut files = 0;
    let secrets = ["correct-horse-battery".into(), local.text()];
    for file in files_under(&desk.folder) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        files += 1;
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{} holds a secret", file.display());
        }
    }
    assert!(files > 0 && desk.folder.join(".local/share/keyrings/login.keyring").exists(), "looked in the wrong place");
}

async fn later() {
    let mut desk = Desk::new();
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    for _ in 0..2 {
        assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoKeyring { .. })));
    }
    desk.start_bus().await;
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoKeyring { .. })));
    assert!(matches!(vault.local_password(&home).await, Err(VaultError::NoKeyring { .. })));
    desk.start_keyring(Some("testpw")).await;
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoEntry { .. })));
    vault.store(&home, pop3, secret("hunter2")).await.unwrap();
    assert!(Vault::new().secret(&home, pop3).await.unwrap().is(b"hunter2"));
}

async fn locked() {
    let mut desk = Desk::up().await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    vault.store(&home, pop3, secret("hunter2")).await.unwrap();
    desk.lock();
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"), "it was read before");
    vault.drop_cached(&home, pop3);
    let start = Instant::now();
    let told = vault.secret(&home, pop3).await.unwrap_err();
    assert!(matches!(told, VaultError::Locked { .. }), "{told}");
    let told = vault.store(&home, pop3, secret("replaced")).await.unwrap_err();
    assert!(matches!(told, VaultError::Locked { .. }), "{told}");
    let told = vault.local_password(&home).await.unwrap_err();
    assert!(matches!(told, VaultError::Locked { .. }), "{told}");
    assert!(start.elapsed() < Duration::from_secs(20));
    // Only a prompt unlocks a running one, and here is none.
    desk.stop_keyring().await;
    desk.start_keyring(Some("testpw")).await;
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));
}

async fn no_collection() {
    let mut desk = Desk::new();
    desk.start_bus().await;
    desk.start_keyring(None).await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoEntry { .. })));
    let told = vault.store(&home, pop3, secret("hunter2")).await.unwrap_err();
    assert!(matches!(told, VaultError::NoKeyring { .. }), "{told}");
    assert!(told.to_string().contains("no default keyring"), "{told}");
}

async fn restarted() {
    let mut desk = Desk::up().await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    vault.store(&home, pop3, secret("hunter2")).await.unwrap();

    desk.stop_keyring().await;
    vault.drop_cached(&home, pop3);
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoKeyring { .. })));
    desk.start_keyring(Some("testpw")).await;
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));

    desk.stop_keyring().await;
    desk.start_keyring(Some("testpw")).await;
    vault.drop_cached(&home, pop3);
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"), "another session on the same bus");

    desk.stop_keyring().await;
    desk.stop_bus();
    vault.drop_cached(&home, pop3);
    assert!(matches!(vault.secret(&home, pop3).await, Err(VaultError::NoKeyring { .. })));
    desk.start_bus().await;
    desk.start_keyring(Some("testpw")).await;
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));
    vault.store(&home, pop3, secret("replaced")).await.unwrap();
}

async fn dies() {
    let mut desk = Desk::up().await;
    let (vault, home) = (Vault::new(), account("home"));
    let pop3 = home.pop3.as_ref().unwrap();
    vault.store(&home, pop3, secret("hunter2")).await.unwrap();
    vault.drop_cached(&home, pop3);
    let seen = desk.folder.join("seen");
    let listener = Command::new("dbus-monitor").stdout(std::fs::File::create(&seen).unwrap()).spawn().unwrap();
    let _listener = Ended(listener);
    until("the listener listens", || std::fs::metadata(&seen).unwrap().len() > 0).await;
    desk.signal_keyring("STOP");
    let asking = tokio::spawn({
        let (vault, home) = (vault.clone(), home.clone());
        async move { vault.secret(&home, home.pop3.as_ref().unwrap()).await.map(drop) }
    });
    until("the keyring is asked", || std::fs::read_to_string(&seen).unwrap().contains("member=SearchItems")).await;
    assert!(!asking.is_finished());
    desk.stop_keyring().await;
    assert!(asking.await.unwrap().is_err());
    desk.start_keyring(Some("testpw")).await;
    assert!(vault.secret(&home, pop3).await.unwrap().is(b"hunter2"));
}

fn in_a_process_of_its_own(scenario: &str) {
    if let Some(missing) =
        ["dbus-daemon", "dbus-monitor", "dbus-send", "gnome-keyring-daemon", "secret-tool"].iter().find(|p| !on_path(p))
    {
        assert!(std::env::var_os("OSTLER_TEST_REQUIRE").is_none_or(|v| v != "1"), "{missing} is not installed");
        // Past the harness, which hides what a passing test prints.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {scenario}: {missing} is not installed (packages gnome-keyring, dbus, libsecret-tools)"
        );
        return;
    }
    // A short path: the name of a socket holds 107 octets.
    let folder = tempfile::Builder::new().prefix("ov").tempdir_in("/tmp").unwrap();
    let runtime = folder.path().join("run");
    std::fs::create_dir(&runtime).unwrap();
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scenario", "--nocapture"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", runtime.join("bus").display()))
        .env(SCENARIO, scenario)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains(&format!("scenario {scenario} done")), "{text}");
}

fn on_path(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

/// A desktop's bus and keyring, in the HOME of this process.
struct Desk {
    folder: PathBuf,
    bus: Option<Ended>,
    keyring: Option<Ended>,
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Desk {
    fn new() -> Self {
        Self { folder: std::env::var_os("HOME").unwrap().into(), bus: None, keyring: None }
    }

    async fn up() -> Self {
        let mut desk = Self::new();
        desk.start_bus().await;
        desk.start_keyring(Some("testpw")).await;
        desk
    }

    /// A bus that starts nothing by itself: what is on it is what the scenario puts there.
    async fn start_bus(&mut self) {
        let file = self.folder.join("bus.conf");
        let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
        let policy = "<allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/>";
        let settings = format!(
            "<busconfig><type>session</type><listen>{address}</listen><policy context='default'>{policy}</policy></busconfig>"
        );
        std::fs::write(&file, settings).unwrap();
        let _ = std::fs::remove_file(self.folder.join("run/bus"));
        let daemon = Command::new("dbus-daemon").arg("--config-file").arg(&file).arg("--nofork").spawn().unwrap();
        self.bus = Some(Ended(daemon));
        until("the bus answers", || bus_says("org.freedesktop.DBus.GetId", &[]).is_some()).await;
    }

    fn stop_bus(&mut self) {
        self.bus = None;
    }

    /// Without a password: a keyring service in which nothing was ever made.
    async fn start_keyring(&mut self, password: Option<&str>) {
        let mut daemon = Command::new("gnome-keyring-daemon");
        daemon.args(["--foreground", "--components=secrets"]).stdout(Stdio::null());
        if password.is_some() {
            daemon.arg("--unlock").stdin(Stdio::piped());
        }
        let mut daemon = daemon.spawn().unwrap();
        if let Some(password) = password {
            daemon.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        }
        self.keyring = Some(Ended(daemon));
        until("the keyring is on the bus", keyring_is_there).await;
    }

    async fn stop_keyring(&mut self) {
        self.keyring = None;
        until("the keyring is off the bus", || !keyring_is_there()).await;
    }

    fn signal_keyring(&self, signal: &str) {
        let id = self.keyring.as_ref().unwrap().0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }

    fn lock(&self) {
        let arguments = ["array:objpath:/org/freedesktop/secrets/collection/login"];
        let said = send(
            "org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            &arguments,
        );
        assert!(said.is_some_and(|said| said.contains("collection/login")), "not locked");
    }
}

fn keyring_is_there() -> bool {
    bus_says("org.freedesktop.DBus.NameHasOwner", &["string:org.freedesktop.secrets"])
        .is_some_and(|said| said.contains("true"))
}

fn bus_says(method: &str, arguments: &[&str]) -> Option<String> {
    send("org.freedesktop.DBus", "/org/freedesktop/DBus", method, arguments)
}

fn send(to: &str, path: &str, method: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("dbus-send")
        .args(["--session", "--print-reply", "--reply-timeout=2000", &format!("--dest={to}"), path, method])
        .args(arguments)
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The users of all entries of ostler's, as another program sees them.
fn users() -> std::collections::BTreeSet<String> {
    let output = Command::new("secret-tool").args(["search", "--all", "service", "ostler"]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().filter_map(|line| line.strip_prefix("attribute.username = ")).map(str::to_owned).collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_under(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

fn account(name: &str) -> Account {
    let credentials =
        Credentials { username: "ann".into(), secret: SecretSource::Keyring, charset: PasswordCharset::Utf8 };
    Account {
        name: name.into(),
        address: "ann@example.net".into(),
        aliases: vec![],
        provider: None,
        is_default: false,
        offer_auth: true,
        read_ahead: true,
        oauth2: None,
        local_password: None,
        readable: None,
        mend: vec![],
        folder: Folder::default(),
        pop3: Some(Server {
            protocol: Protocol::Pop3,
            host: "pop.example.net".into(),
            port: 995,
            security: Security::Tls,
            trust: Trust::default(),
            sign_in: SignIn::Password(credentials),
            chunking: true,
        }),
        smtp: vec![],
        imap: None,
        imap_connections: DEFAULT_IMAP_CONNECTIONS,
    }
}
