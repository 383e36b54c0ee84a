//! Systems other than Linux: who owns a connection (`windows_owner.rs`, `macos.rs`) and the clock. On the BSDs most of it is
//! not implemented.

use std::net::SocketAddr;
use std::time::Duration;

use super::HardenError;
use super::peer::PeerOwner;

#[cfg(target_os = "macos")]
pub(super) use super::macos::{inherited_listeners, low_port_advice, owner_of, port_holder};

#[cfg(windows)]
pub(super) use super::windows_owner::{owner_of, port_holder};

/// Neither macOS nor Windows answers at once.
pub(super) fn quick_owner_of(_client: SocketAddr, _door: SocketAddr) -> Option<PeerOwner> {
    None
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn owner_of(_client: SocketAddr, _door: SocketAddr) -> PeerOwner {
    PeerOwner::Unknown("ostler cannot yet tell on this system which user a connection comes from")
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn port_holder(_address: SocketAddr) -> Option<String> {
    None
}

#[cfg(not(target_os = "macos"))]
pub(super) fn inherited_listeners() -> Vec<(SocketAddr, std::net::TcpListener)> {
    Vec::new()
}

#[cfg(not(target_os = "macos"))]
pub(super) fn low_port_advice(_port: u16) -> Option<String> {
    None
}

pub(super) fn harden() -> Result<(), HardenError> {
    Err(HardenError::Unsupported)
}

/// There is no systemd.
pub(super) fn notify(_state: &str) -> std::io::Result<()> {
    Ok(())
}

/// On macOS `CLOCK_MONOTONIC` counts sleep and `Instant` does not.
#[cfg(target_os = "macos")]
pub(super) fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// On Windows `Instant` is the performance counter, which counts sleep.
#[cfg(not(target_os = "macos"))]
pub(super) fn uptime() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
