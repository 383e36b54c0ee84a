//! Linux: netlink and `/proc` for the owners of sockets, `prctl`, systemd's datagram, the boot clock.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::HardenError;
pub(super) use super::inherited::listeners as inherited_listeners;
use super::peer::PeerOwner;
pub(super) use super::proc_net::port_holder;
use super::{proc_net, sock_diag};

/// One end of a connection as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// The kernel's number for the state: `TCP_ESTABLISHED` is 1.
    pub(super) state: u8,
    /// The socket's owner. Meaningless if `inode` is 0.
    pub(super) uid: u32,
    /// Non-zero as long as a program holds the socket.
    pub(super) inode: u64,
}

/// The answer that netlink gives at once; `None` where it is forbidden.
pub(super) fn quick_owner_of(client: SocketAddr, door: SocketAddr) -> Option<PeerOwner> {
    sock_diag::look_up(client, door).ok().map(|row| judge(row, rustix::process::geteuid().as_raw()))
}

/// Reads the whole list of connections, which takes as long as it is.
pub(super) fn owner_of(client: SocketAddr, door: SocketAddr) -> PeerOwner {
    match proc_net::look_up(client, door) {
        Ok(row) => judge(row, rustix::process::geteuid().as_raw()),
        Err(proc_net::Unreadable) => {
            PeerOwner::Unknown("the system lists no connections: no netlink, no /proc/net/tcp")
        }
    }
}

/// Who owns the client's end. A socket that outlives its program (FIN_WAIT, TIME_WAIT) may be listed with user 0, so one
/// without an inode has no owner: it must not count as root's. In the other states there is no program at the other end, or
/// the row is that of a listener, which the kernel shows if the connection itself is gone.
fn judge(row: Option<Row>, me: u32) -> PeerOwner {
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    const CLOSE_WAIT: u8 = 8;
    match row {
        Some(Row { state: ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT, uid, inode }) if inode != 0 => {
            if uid == me { PeerOwner::Me } else { PeerOwner::Other(uid) }
        }
        _ => PeerOwner::Gone,
    }
}

/// The same commands as in the guides' `low-ports.md`, which explains them. A right that the file of an AppImage has does not
/// reach the program in it.
pub(super) fn low_port_advice(port: u16) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let program = program.display().to_string().replace('\'', r"'\''");
    let for_good = super::appimage().map_or_else(
        || format!("; `sudo setcap cap_net_bind_service=+ep '{program}'` lets ostler open it from its next start on"),
        |_| String::new(),
    );
    Some(format!(
        "Linux reserves ports below 1024 for the administrator. `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` lets \
         every program open port {port} until the computer is switched off{for_good} (`ostler guide netscape-4` says more)"
    ))
}

pub(super) fn harden() -> Result<(), HardenError> {
    let refused = |what| move |e: rustix::io::Errno| HardenError::Refused { what, source: e.into() };
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(refused("limit core dumps"))?;
    // The limit does not stop dumps that the kernel pipes to a program (systemd-coredump, apport); this does.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused("make ostler undumpable"))
}

/// Sends `state` to the service manager, if there is one: the protocol of sd_notify(3).
pub(super) fn notify(state: &str) -> io::Result<()> {
    std::env::var_os("NOTIFY_SOCKET").map_or(Ok(()), |socket| notify_at(&socket, state))
}

/// A leading `@` means an abstract socket, whose name begins with a zero octet.
fn notify_at(socket: &OsStr, state: &str) -> io::Result<()> {
    use std::os::unix::net::SocketAddr;
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "NOTIFY_SOCKET is neither a path nor abstract")),
    };
    let datagram = UnixDatagram::unbound()?;
    // A service manager that does not read must not keep ostler from serving.
    datagram.set_write_timeout(Some(Duration::from_secs(1)))?;
    datagram.send_to_addr(state.as_bytes(), &address).map(drop)
}

pub(super) fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    const NOBODY: u32 = 65534;

    #[test]
    fn the_commands_for_low_ports_are_those_of_the_guides() {
        let guide = include_str!("../../config/guides/parts/low-ports.md");
        let said = low_port_advice(25).unwrap();
        for command in ["sudo sysctl net.ipv4.ip_unprivileged_port_start=25", "sudo setcap cap_net_bind_service=+ep "] {
            assert!(said.contains(command) && guide.contains(command), "{command}: {said}");
        }
        assert!(crate::guide::find("netscape-4").is_ok());
    }

    /// As `peer::owner_of` asks.
    fn owner_of(client: SocketAddr, door: SocketAddr) -> PeerOwner {
        quick_owner_of(client, door).unwrap_or_else(|| super::owner_of(client, door))
    }

    fn ends(accepted: &TcpStream) -> (SocketAddr, SocketAddr) {
        (accepted.peer_addr().unwrap(), accepted.local_addr().unwrap())
    }

    /// The owner, after making sure that netlink and `/proc` say the same.
    fn owner(accepted: &TcpStream) -> PeerOwner {
        let (client, door) = ends(accepted);
        let me = rustix::process::geteuid().as_raw();
        let answer = owner_of(client, door);
        assert_eq!(judge(proc_net::look_up(client, door).unwrap(), me), answer, "/proc differs from netlink");
        answer
    }

    /// Tries again for a while: a child process that another test starts holds a copy of every socket until it becomes its
    /// own program.
    fn soon(is_so: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if is_so() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn is_gone(accepted: &TcpStream) -> bool {
        let (client, door) = ends(accepted);
        let by_proc = || judge(proc_net::look_up(client, door).unwrap(), rustix::process::geteuid().as_raw());
        soon(|| owner_of(client, door) == PeerOwner::Gone) && soon(|| by_proc() == PeerOwner::Gone)
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Starts this test program again, to run one of the two tests below, which do nothing otherwise.
    fn child(test: &str, uid: u32, door: SocketAddr) -> Child {
        let me = std::env::current_exe().unwrap();
        let start = |program: &std::path::Path| {
            let mut command = Command::new(program);
            command.args(["--exact", &format!("os::linux::tests::{test}"), "--nocapture"]);
            command.env("OSTLER_TEST_DOOR", door.to_string()).current_dir("/").stdin(Stdio::piped());
            if is_root() {
                command.uid(uid).gid(uid);
            }
            command.spawn()
        };
        match start(&me) {
            // The checkout is in a folder of root's: the other user runs a copy of the program.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let folder = tempfile::tempdir().unwrap();
                let copy = folder.path().join("tests");
                std::fs::copy(&me, &copy).unwrap();
                std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
                start(&copy).unwrap()
            }
            started => started.unwrap(),
        }
    }

    /// `None` in a test that was not started as a child.
    fn connection_to_parent() -> Option<TcpStream> {
        let door = std::env::var("OSTLER_TEST_DOOR").ok()?;
        Some(TcpStream::connect(door).unwrap())
    }

    /// Connects to the door of the test and lives until its standard input ends.
    #[test]
    fn a_client_in_a_process_of_its_own() {
        let Some(_connection) = connection_to_parent() else { return };
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn a_hardened_process_can_still_ask() {
        let Some(_connection) = connection_to_parent() else { return };
        harden().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(owner(&accepted), PeerOwner::Me);
        let pid = std::process::id();
        let holder = port_holder(listener.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&format!("(process {pid})")), "{holder}");
        let limit = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limit.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn a_connection_of_this_process_is_mine_in_every_family() {
        for (listen, connect) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("::1", "::1"),
            ("::", "127.0.0.1"),
            ("::", "::ffff:127.0.0.1"),
            ("0.0.0.0", "127.0.0.2"),
        ] {
            let Ok(listener) = TcpListener::bind((listen, 0)) else {
                assert!(listen.contains(':'), "no IPv4?");
                continue;
            };
            let connect: std::net::IpAddr = connect.parse().unwrap();
            let client = TcpStream::connect((connect, listener.local_addr().unwrap().port())).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(owner(&accepted), PeerOwner::Me, "{listen} {connect}");
            drop(client);
            assert!(is_gone(&accepted), "{listen} {connect}");
        }
    }

    #[test]
    fn a_half_closed_client_that_lives_is_mine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(owner(&accepted), PeerOwner::Me);

        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.shutdown(Shutdown::Write).unwrap();
        assert_eq!(owner(&accepted), PeerOwner::Me);
        drop(other);
    }

    #[test]
    fn a_client_of_another_user_is_other_and_gone_when_it_exits() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = child("a_client_in_a_process_of_its_own", NOBODY, listener.local_addr().unwrap());
            let (accepted, _) = listener.accept().unwrap();
            let expected = if is_root() { PeerOwner::Other(NOBODY) } else { PeerOwner::Me };
            assert_eq!(owner(&accepted), expected);
            drop(client.stdin.take());
            assert!(client.wait().unwrap().success());
            assert!(is_gone(&accepted));
        }
    }

    #[test]
    fn a_client_that_was_killed_with_mail_unread_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = child("a_client_in_a_process_of_its_own", NOBODY, listener.local_addr().unwrap());
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.write_all(b"+OK ready\r\n").unwrap();
        let (peer, door) = ends(&accepted);
        client.kill().unwrap();
        client.wait().unwrap();
        assert_eq!(owner_of(peer, door), PeerOwner::Gone);
    }

    #[test]
    fn addresses_without_a_connection_are_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        assert_eq!(owner_of("127.0.0.1:1".parse().unwrap(), door), PeerOwner::Gone);
        assert_eq!(owner_of("[::1]:1".parse().unwrap(), door), PeerOwner::Gone);
        assert_eq!(owner_of(door, "127.0.0.1:1".parse().unwrap()), PeerOwner::Gone);
    }

    #[test]
    fn a_row_without_an_inode_or_in_another_state_is_nobodys() {
        let row = |state, uid, inode| judge(Some(Row { state, uid, inode }), 0);
        assert_eq!(row(1, 0, 42), PeerOwner::Me);
        assert_eq!(row(1, 7, 42), PeerOwner::Other(7));
        for state in [1, 4, 5, 8] {
            assert_eq!(row(state, 0, 0), PeerOwner::Gone);
        }
        for state in [0, 2, 3, 6, 7, 9, 10, 11, 12] {
            assert_eq!(row(state, 0, 42), PeerOwner::Gone);
        }
    }

    #[test]
    fn asking_is_quick_with_many_sockets_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pairs: Vec<_> = (0..200)
            .map(|_| (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0))
            .collect();
        let start = Instant::now();
        for (_, accepted) in &pairs {
            let (client, door) = ends(accepted);
            assert_eq!(owner_of(client, door), PeerOwner::Me);
        }
        let each = start.elapsed() / 200;
        // The target is 100 us (6 to 8 measured, unoptimized); room for a busy machine.
        assert!(each < Duration::from_millis(2), "{each:?}");
    }

    #[test]
    fn hardening_takes_nothing_from_the_other_functions() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut process = child("a_hardened_process_can_still_ask", NOBODY, listener.local_addr().unwrap());
        assert!(process.wait().unwrap().success());
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = port_holder(([127, 0, 0, 1], port).into()).unwrap();
        assert!(holder.ends_with(&format!(" (process {})", std::process::id())), "{holder}");
        drop(listener);
        assert!(soon(|| port_holder(([127, 0, 0, 1], port).into()).is_none()));
    }

    #[test]
    fn systemd_hears_from_a_path_and_from_an_abstract_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("ostler-test-{}", std::process::id());
        use std::os::unix::net::SocketAddr;
        for (address, value) in [
            (SocketAddr::from_pathname(&path).unwrap(), path.clone().into_os_string()),
            (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}").into()),
        ] {
            let manager = UnixDatagram::bind_addr(&address).unwrap();
            notify_at(&value, "READY=1").unwrap();
            let mut heard = [0; 64];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        assert!(notify_at(OsStr::new("vsock:2:1"), "READY=1").is_err());
        assert!(notify_at(OsStr::new("/nowhere/at/all"), "READY=1").is_err());
    }
}
