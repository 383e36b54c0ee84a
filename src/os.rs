//! What ostler needs of the operating system and the standard library does not offer: who is at the other end of a loopback
//! connection, who holds a port, how to keep memory out of core dumps, how to notify systemd, a clock that counts sleep, the
//! console that ostler was started from.
//! Each has one small interface here; the code for a system is in the file of its name. An interface says so where it is
//! not implemented for a system.
//!
//! Not here: sockets, files and the keyring, which other crates do; policy, which is the caller's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostler_mail::clock::{Moment, UnixTime};

pub(crate) mod console;
pub(crate) mod control;
pub(crate) mod folder_watch;
pub(crate) mod instance;
mod lock;
pub(crate) mod markup;
pub(crate) mod peer;
pub(crate) mod turn;

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod inherited;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
pub(crate) mod service;
#[cfg(any(windows, test))]
mod shared_reading;
#[cfg(target_os = "linux")]
mod sock_diag;
#[cfg(any(target_os = "macos", test))]
mod socket_info;
#[cfg(any(windows, test))]
mod tcp_table;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(windows)]
pub(crate) mod windows;
#[cfg(windows)]
mod windows_owner;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

/// How one process of a user finds another one; for `instance` and `control`.
#[cfg(unix)]
pub(crate) use unix as local;
#[cfg(windows)]
pub(crate) use windows as local;

/// Names the program that listens on `address`, or on all addresses with its port, as in `stunnel4 (process 1234)`. If the
/// system does not let ostler see the program, names its owner (`a program of root`). `None`: there is no listener, or the
/// system cannot say: macOS knows only the programs of the same user, and the BSDs are not implemented. Reads much of
/// `/proc`, so it is meant for error messages, not for every connection.
pub(crate) fn port_holder(address: SocketAddr) -> Option<String> {
    system::port_holder(address)
}

/// The name of this computer in its network, without a domain. `None`: the system does not say, or there is none to speak of.
pub(crate) fn computer_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim().split('.').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (is_name && !name.eq_ignore_ascii_case("localhost")).then(|| name.to_owned())
}

/// Waits at most `limit` for this process of the same user to end; returns whether it has. Only Windows needs this, where an
/// installer cannot replace the file of a running program; elsewhere it returns at once.
pub(crate) fn wait_for_process(process: u32, limit: Duration) -> bool {
    #[cfg(windows)]
    return windows_owner::wait_for(process, limit);
    #[cfg(not(windows))]
    {
        let _ = (process, limit);
        true
    }
}

/// Whether a process of this number runs.
pub(crate) fn is_running(process: u32) -> bool {
    #[cfg(windows)]
    return !windows_owner::wait_for(process, Duration::ZERO);
    #[cfg(not(windows))]
    unix::is_running(process)
}

/// The AppImage that this program runs from (Linux). The user has only that one file; the program itself lies in a folder that
/// is mounted for this one start and has another name at the next.
pub(crate) fn appimage() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    appimage_around(&std::env::current_exe().ok()?, &variable("APPDIR")?, variable("APPIMAGE")?)
}

/// An AppImage hands its variables on to every program it starts: they are ours only if this program lies in its folder.
fn appimage_around(program: &Path, mounted: &Path, image: PathBuf) -> Option<PathBuf> {
    program.starts_with(mounted).then_some(image)
}

/// Listening sockets with their addresses.
pub(crate) type Inherited = Vec<(SocketAddr, std::net::TcpListener)>;

/// The listening sockets that systemd or launchd has opened for this process. They are non-blocking,
/// and programs that ostler starts do not inherit them. Must be called once, before a second thread exists, because it
/// removes environment variables.
pub(crate) fn inherited_listeners() -> Inherited {
    system::inherited_listeners()
}

/// How to let this program open a port that the system reserves for the administrator: a sentence with the commands. `None`
/// on a system without such a command.
pub(crate) fn low_port_advice(port: u16) -> Option<String> {
    system::low_port_advice(port)
}

/// Keeps the memory of this process, which holds passwords, out of core dumps and away from debuggers of the same user.
/// Programs that ostler starts cannot dump core either, but can be debugged.
///
/// Afterwards the files of this process under `/proc` belong to root, so that other programs of the same user cannot read
/// them. What this module itself reads there stays readable.
pub(crate) fn harden() -> Result<(), HardenError> {
    system::harden()
}

/// Why the memory may still end up in a core dump.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HardenError {
    #[cfg(not(target_os = "linux"))]
    #[error("ostler cannot switch off core dumps on this system")]
    Unsupported,
    #[cfg(target_os = "linux")]
    #[error("the system refused to {what}")]
    Refused { what: &'static str, source: std::io::Error },
}

/// Fills the buffer with random octets from the system; returns whether it could. The generator of the TLS library would do
/// as well, but takes 30 ms for its first use, which a start or a greeting would have to wait for.
#[must_use]
pub(crate) fn random(octets: &mut [u8]) -> bool {
    getrandom::fill(octets).is_ok()
}

/// Raises the limit of open files to what `proxy::admit::MAX_SESSIONS` clients and their providers need, as far as the system allows.
/// The usual limit of 1,024 only protects programs that use `select`.
pub(crate) fn allow_connections() {
    #[cfg(unix)]
    unix::allow_descriptors(16_384);
}

/// Tells systemd that every door is open or reported. Does nothing unless ostler runs as a unit with `Type=notify`.
pub(crate) fn notify_ready() -> std::io::Result<()> {
    system::notify("READY=1")
}

/// Tells systemd that ostler is ending on purpose.
pub(crate) fn notify_stopping() -> std::io::Result<()> {
    system::notify("STOPPING=1")
}

/// The time by a clock that never goes back and, on Linux, macOS and Windows, does not stop while the computer sleeps: a
/// POP login of before the sleep must not count as fresh after it.
pub(crate) fn now() -> Moment {
    Moment::at(system::uptime())
}

/// The time of day, which may be set at any moment.
pub(crate) fn unix_now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::at(since.map(|since| since.as_secs()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_another_appimage_do_not_count() {
        let image = || PathBuf::from("/home/ann/ostler.AppImage");
        let around = |program| appimage_around(Path::new(program), Path::new("/tmp/.mount_abc"), image());
        assert_eq!(around("/tmp/.mount_abc/usr/bin/ostler"), Some(image()));
        assert_eq!(around("/usr/bin/ostler"), None);
        assert_eq!(around("/tmp/.mount_abcd/usr/bin/ostler"), None);
    }

    #[test]
    fn moments_are_ordered_and_never_negative() {
        let early = Moment::at(Duration::from_secs(5));
        let late = early.checked_add(Duration::from_secs(2)).unwrap();
        assert!(late > early);
        assert_eq!(late.saturating_duration_since(early), Duration::from_secs(2));
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
        assert_eq!(early.checked_add(Duration::MAX), None);
    }

    #[test]
    fn the_clock_goes_on() {
        let first = now();
        std::thread::sleep(Duration::from_millis(20));
        let passed = now().saturating_duration_since(first);
        assert!(passed >= Duration::from_millis(20) && passed < Duration::from_secs(20), "{passed:?}");
    }
}
