//! What ostler asks of the operating system and the standard library has no word for: who is at the other end of a
//! loopback connection, who holds a port, keeping memory out of core dumps, telling systemd, a clock that counts
//! sleep. Each has one small interface here; the code for one system is in the file of that name. Where a system's
//! answer is not written yet, the interface says so.
//!
//! Not here: sockets, files and the keyring, which other crates do; policy, which is the caller's.

use std::net::SocketAddr;
use std::time::Duration;

use ostler_mail::clock::Moment;

pub mod control;
pub mod folder_watch;
pub mod peer;

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

/// What one process of a user can find another one by; for `control`.
#[cfg(unix)]
pub(crate) use unix as local;
#[cfg(windows)]
pub(crate) use windows as local;

/// Names the program that listens on `address` or on all addresses with its port, as in `stunnel4 (process 1234)`;
/// for a program that may not be looked into, whose it is (`a program of root`). `None`: nobody does, or this
/// system is not asked (Linux and Windows are, and macOS about programs of the same user). Reads much of `/proc`: for an
/// error message, not for every connection.
pub fn port_holder(address: SocketAddr) -> Option<String> {
    system::port_holder(address)
}

/// Waits until this process of the same user is gone, for as long as `patience`; `false`: it is still there. Only Windows
/// is asked, where the file of a program that runs cannot be removed; elsewhere there is nothing to wait for.
pub fn wait_for_process(process: u32, patience: Duration) -> bool {
    #[cfg(windows)]
    return windows_owner::wait_for(process, patience);
    #[cfg(not(windows))]
    {
        let _ = (process, patience);
        true
    }
}

/// The listening sockets that systemd or launchd has opened for this process, with their addresses; none where it has not. They
/// do not wait, and programs that ostler starts do not get them. To be called once, before there is another thread.
pub fn inherited_listeners() -> Vec<(SocketAddr, std::net::TcpListener)> {
    system::inherited_listeners()
}

/// What allows this program to open a port that the system keeps for the administrator: a sentence with the
/// commands. `None` where no command does.
pub fn low_port_advice(port: u16) -> Option<String> {
    system::low_port_advice(port)
}

/// Keeps this process's memory out of core dumps and away from debuggers of the same user. Programs it starts may
/// not write core dumps either, but can be debugged.
///
/// Afterwards the files of this process under `/proc` belong to root, so that others of the same user cannot
/// read them; what this module reads there goes on working.
pub fn harden() -> Result<(), HardenError> {
    system::harden()
}

/// Why the memory may still end up in a core dump.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// Not written for this system.
    #[error("ostler cannot switch off core dumps on this system")]
    Unsupported,
    /// The system was asked and refused.
    #[error("the system refused to {what}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// What it answered.
        source: std::io::Error,
    },
}

/// Fills the octets with random ones out of the system's own source; `false`: it has none. The TLS library has a generator
/// too, which takes 30 ms to wake up: nobody who starts or greets is to wait for that.
#[must_use]
pub fn random(octets: &mut [u8]) -> bool {
    getrandom::fill(octets).is_ok()
}

/// Lets this process have as many connections open as `serve::SESSIONS` clients and their providers need, where the system
/// lets it. The usual limit of 1,024 is there for programs that use `select`.
pub fn allow_connections() {
    #[cfg(unix)]
    unix::allow_descriptors(4096);
}

/// Tells systemd that every door is open or reported, where ostler runs as a unit with `Type=notify`; anywhere else
/// nothing happens.
pub fn notify_ready() -> std::io::Result<()> {
    system::notify("READY=1")
}

/// Tells systemd that ostler is ending on purpose, where it runs as a unit.
pub fn notify_stopping() -> std::io::Result<()> {
    system::notify("STOPPING=1")
}

/// The time by a clock that never goes back and goes on while the computer sleeps (on Linux, macOS and Windows).
pub fn now() -> Moment {
    Moment::at(system::uptime())
}

#[cfg(test)]
mod tests {
    use super::*;

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
