//! Runs many cases at one ostler, each at an account and a provider of its own, many at a time: most cases wait for a
//! time limit. What fails is reported by name, all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::ostler::{Home, Ostler};
use crate::support::secrets;

/// Cases that run at once. They wait more than they work.
const AT_ONCE: usize = 64;

/// As many descriptors as this process may have: every case has a listener, and the usual 1024 are soon used up.
pub fn room_for_many() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Does this for every number below `count`, many at a time; the test fails with the names of all that failed.
pub fn each(count: usize, name: impl Fn(usize) -> String + Sync, case: impl Fn(usize) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(number))) {
                        let why = panic.downcast_ref::<String>().map(String::as_str);
                        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                        failed.lock().unwrap().push(format!("FAILED CASE {}: {why}", name(number)));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} cases failed\n{}", failed.len(), failed.join("\n"));
}

/// Lets the doors of a home be open on both address families.
pub fn on_both_families(home: &Home) {
    let mut text = home.settings();
    for port in [home.pop3, home.smtp, home.imap] {
        text = text.replace(&format!("\"127.0.0.1:{port}\""), &port.to_string());
    }
    home.write_settings(&text);
}

/// The addresses the doors can be reached at here: `::1` may not exist.
pub fn families(ostler: &Ostler) -> Vec<&'static str> {
    let open = |host: &&str| std::net::TcpStream::connect((*host, ostler.smtp)).is_ok();
    ["127.0.0.1", "::1"].into_iter().filter(open).collect()
}

/// One line of printable ASCII that every client takes.
pub fn assert_clean(line: &[u8]) {
    let text = String::from_utf8_lossy(line);
    assert!(line.ends_with(b"\r\n"), "no line end: {text:?}");
    assert!(line.len() <= 512, "{} octets: {text:?}", line.len());
    let inside = &line[..line.len() - 2];
    assert!(inside.iter().all(|byte| matches!(byte, b' '..=b'~')), "not clean: {text:?}");
}

/// Nothing of a secret, in no form.
pub fn assert_no_secret(bytes: &[u8], secret: &str) {
    let found = secrets::forms(secret.as_bytes()).into_iter().find(|(_, form)| super::honest::contains(bytes, form));
    assert!(found.is_none(), "a secret in {:?}: {found:?}", String::from_utf8_lossy(bytes));
}

/// The resident memory of a process in KiB: now, and the most it ever was.
#[cfg(target_os = "linux")]
pub fn memory(ostler: &Ostler) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ostler.id())).unwrap();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}"));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("VmRSS:"), if status.contains("VmHWM:") { of("VmHWM:") } else { of("VmRSS:") })
}
