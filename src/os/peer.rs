//! Who owns the client's end of a loopback connection, asked of the system for that very connection. What follows
//! from the answer is the caller's business.

use std::net::SocketAddr;

/// Whose program is at the client's end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerOwner {
    /// The user who runs ostler.
    Me,
    /// Another user, by number. 0 is root; 65534 also stands for a user of another user namespace. On Windows, where users
    /// have no numbers, it is that of the process.
    Other(u32),
    /// Another user, or the program is gone. macOS cannot tell which: it shows users only their own programs' sockets.
    #[cfg_attr(not(target_os = "macos"), allow(dead_code))]
    NotMe,
    /// Nobody: no program holds the other end any more.
    Gone,
    /// The system did not say; the sentence says why.
    Unknown(&'static str),
}

/// Asks who owns the socket that is bound to `client` and connected to `door`. For an accepted stream these are its
/// `peer_addr()` and its `local_addr()` (the listener's address will not do, it may be `0.0.0.0`). To be asked
/// right after accepting: the answer is about now. Does not wait; about 20 microseconds on Linux, and tens of
/// milliseconds where netlink is forbidden, and on macOS.
pub(crate) fn owner_of(client: SocketAddr, door: SocketAddr) -> PeerOwner {
    super::system::owner_of(client, door)
}
