//! Listening sockets that systemd (sd_listen_fds(3)) or launchd opened before it started ostler, which is how ostler gets a
//! port below 1024 without privileges of its own. How launchd is asked for them is in `macos.rs`.

use std::net::{SocketAddr, TcpListener};

/// More sockets than any settings have doors. The number comes from the environment, so it is checked.
#[cfg(target_os = "linux")]
const MAX_INHERITED_SOCKETS: usize = 64;

/// Takes over systemd's sockets, marks them close-on-exec, and removes the variables that announce them, so that programs
/// ostler starts do not take the numbers for theirs. Must be called once, before a second thread exists. Sockets that are
/// not listening TCP sockets are ignored.
#[cfg(target_os = "linux")]
pub(super) fn listeners() -> Vec<(SocketAddr, TcpListener)> {
    // The crate `listenfd` accepts a missing LISTEN_PID; systemd always sets it.
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let is_ours = number("LISTEN_PID").is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()));
    let is_sane = number("LISTEN_FDS").is_some_and(|count| count <= MAX_INHERITED_SOCKETS);
    if !is_ours || !is_sane {
        return Vec::new();
    }
    let mut sockets = listenfd::ListenFd::from_env();
    (0..sockets.len()).filter_map(|n| sockets.take_tcp_listener(n).ok().flatten()).filter_map(usable).collect()
}

/// The socket with its address, if it listens; non-blocking from then on.
pub(super) fn usable(listener: TcpListener) -> Option<(SocketAddr, TcpListener)> {
    // macOS has no such option (see rustix); the sockets that launchd hands out do listen.
    #[cfg(target_os = "linux")]
    let is_listening = rustix::net::sockopt::socket_acceptconn(&listener).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    let is_listening = true;
    // One blocking socket would stop all other doors.
    let address = is_listening.then(|| listener.set_nonblocking(true).and_then(|()| listener.local_addr()));
    Some((address?.ok()?, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listening_socket_will_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(usable(listener).unwrap().0, address);
        let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        bound.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        assert!(usable(TcpListener::from(bound)).is_none());
    }
}
