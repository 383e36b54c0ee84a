//! Listening sockets that systemd (sd_listen_fds(3)) or launchd opened before it started ostler: the way to a port below
//! 1024 without rights of ostler's own. How launchd is asked for them is in `macos.rs`.

use std::net::{SocketAddr, TcpListener};

/// More than any settings have doors; the number comes from outside.
#[cfg(target_os = "linux")]
const MAX_INHERITED_SOCKETS: usize = 64;

/// Takes them over, closed to programs that ostler starts; the variables that announce them are gone afterwards. To be
/// called once, before there is another thread. What is not a listening TCP socket is left alone.
#[cfg(target_os = "linux")]
pub(super) fn listeners() -> Vec<(SocketAddr, TcpListener)> {
    // The crate takes a missing LISTEN_PID for ours; systemd always says whom it means.
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let is_ours = number("LISTEN_PID").is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()));
    let is_sane = number("LISTEN_FDS").is_some_and(|count| count <= MAX_INHERITED_SOCKETS);
    if !is_ours || !is_sane {
        return Vec::new();
    }
    let mut sockets = listenfd::ListenFd::from_env();
    (0..sockets.len()).filter_map(|n| sockets.take_tcp_listener(n).ok().flatten()).filter_map(usable).collect()
}

/// The socket with its address, if it listens; it does not wait from then on.
pub(super) fn usable(listener: TcpListener) -> Option<(SocketAddr, TcpListener)> {
    // macOS does not say (rustix has why); what launchd hands out under the name of sockets to accept on does listen.
    #[cfg(target_os = "linux")]
    let is_listening = rustix::net::sockopt::socket_acceptconn(&listener).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    let is_listening = true;
    // A socket that waits would stop all other doors.
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
