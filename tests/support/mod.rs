//! What the tests of several crates share: real mail servers and clients on free ports and in folders of their
//! own, and the built `ostler` in front of them. Nothing here sleeps for a guessed time: every wait is for a
//! line, a file or a process, and ends with [`PATIENCE`].

#![allow(dead_code, unused_imports, unused_macros, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

pub mod beginner;
pub mod ca;
pub mod client;
pub mod clock;
pub mod courier;
#[cfg(target_os = "linux")]
pub mod desktop;
pub mod dialogue;
pub mod dovecot;
pub mod exim;
pub mod forward;
pub mod gate;
pub mod issuer;
pub mod keyring;
#[cfg(target_os = "linux")]
pub mod lan;
pub mod mail;
pub mod openssl;
pub mod ostler;
pub mod port;
pub mod postfix;
pub mod process;
pub mod provider;
pub mod reader;
pub mod running;
pub mod secrets;
pub mod sshd;
pub mod tap;
#[cfg(target_os = "linux")]
pub mod terminal;
pub mod world;

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use port::{Listening, free_port, on_free_ports};

/// The longest any wait in a test may take. It is far above what a loaded machine needs, because reaching it
/// means that the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a file that only its owner may read. ostler and the clients refuse to read a secret from any other.
pub fn private_file(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    set_mode(path, 0o600);
}

/// Returns from the test, loudly, when a program it needs is missing; with `OSTLER_TEST_REQUIRE=1` it fails.
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        $(
            if let Err(missing) = $crate::support::has($need) {
                $crate::support::skip(&missing);
                return;
            }
        )+
    };
}
pub(crate) use require;

/// Whether a program (or one of the names below, which stand for several) can be used here.
pub fn has(need: &str) -> Result<(), String> {
    match need {
        "dovecot" => dovecot::usable(),
        "dovecot-submission" => dovecot::submits(),
        "postfix" => postfix::usable(),
        "exim" => exim::usable(),
        "courier" => courier::usable(),
        "issuer" => issuer::usable(),
        "keyring" => keyring::usable(),
        #[cfg(target_os = "linux")]
        "panel" => desktop::usable(),
        "faketime" => preloaded_clock().map(drop).ok_or_else(|| "libfaketime".to_owned()),
        "world" => world::usable(),
        "sshd" => sshd::usable(),
        program => find(program).map(drop).ok_or_else(|| program.to_owned()),
    }
}

/// Says that the running test is left out, or fails it where nothing may be left out.
pub fn skip(missing: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("OSTLER_TEST_REQUIRE").is_none(), "{name} needs {missing}, and nothing may be left out");
    // Past the test harness, which keeps what the tests that pass print to itself.
    let line = format!("SKIPPED {name}: needs {missing} (run tests/run)\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A program in the search path or where systems keep servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The library that gives a program another time of day (of Debian's package faketime).
pub fn preloaded_clock() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file())
}

/// A folder that goes with the test. Servers run as users of their own and must be able to pass through it.
pub fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("ostler-test-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o755));
    }
    builder.tempdir().expect("a temporary folder")
}

/// A word nobody else uses: for passwords and for marking messages.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", RandomState::new().hash_one(std::thread::current().id()))
}

/// Some octets. A read with a time limit ends early when the process is stopped and goes on, as with a whole virtual machine
/// (signal(7)); that is no answer of the other side's.
pub fn read_some(mut from: impl Read, block: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match from.read(block) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The files of this folder that exist, one after the other: what a server has written so far.
pub fn written(folder: &Path, names: &[&str]) -> String {
    names.iter().map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default()).collect()
}

/// Sets who may do what with a file, where there is such a thing.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Makes a few attempts until one says that it took less than this: a wait that is built in is there each time, one of a busy
/// machine is not.
pub fn assert_quick(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(attempt());
        if times.last() < Some(&limit) {
            return;
        }
    }
    panic!("not once within {limit:?}: {times:?}");
}

/// Asks again and again until there is an answer; fails the test after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the tests may act for other users of this machine.
#[cfg(unix)]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the tests may act for other users of this machine.
#[cfg(not(unix))]
pub fn is_root() -> bool {
    false
}

/// Gives a file or folder, and everything in it, to the user the mail servers deliver as, where there is a choice.
pub fn give_away(path: &Path, uid: u32, gid: u32) {
    #[cfg(unix)]
    if is_root() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown");
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                give_away(&entry.unwrap().path(), uid, gid);
            }
        }
    }
    #[cfg(not(unix))]
    let _ = (path, uid, gid);
}

/// The number of a user or group by name, from the system's list (`/etc/passwd` or `/etc/group`).
pub fn id_of(list: &str, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(list).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// The user that owns mailboxes when the tests run as root; itself otherwise.
pub fn mail_ids() -> (u32, u32) {
    if is_root() {
        (id_of("/etc/passwd", "nobody").unwrap_or(65534), id_of("/etc/group", "nogroup").unwrap_or(65534))
    } else {
        #[cfg(unix)]
        {
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        }
        #[cfg(not(unix))]
        {
            (0, 0)
        }
    }
}
