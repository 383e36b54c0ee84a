//! Ports of 127.0.0.1 for the tests, and sockets that listen there. Tests run at the same time, on several threads of
//! a process that starts children all the time; a child has a copy of every socket until it becomes another program.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// A listening socket that nobody can connect to any more once it is dropped. Closing alone does not see to that: a
/// child that another thread is just starting has a copy.
pub struct Listening(TcpListener);

impl Listening {
    /// At this port of 127.0.0.1.
    pub fn at(port: u16) -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        Self(bound.unwrap_or_else(|error| panic!("port {port} was free a moment ago: {error}")))
    }

    /// At a port that no other test uses, and that is free again afterwards.
    pub fn new() -> Self {
        Self::at(free_port())
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Deref for Listening {
    type Target = TcpListener;

    fn deref(&self) -> &TcpListener {
        &self.0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Ends the listening for every copy. Where a system knows no such thing, there is only the closing.
        let _ = socket2::SockRef::from(&self.0).shutdown(std::net::Shutdown::Both);
    }
}

/// A port for a server that cannot be told to take any: free now, below those that the system gives out by
/// itself, and no other test (of this process or another) gets it as long as this process lives.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    #[cfg(unix)]
    let user = rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    let user = 0;
    let locks = std::env::temp_dir().join(format!("ostler-test-ports-{user}"));
    std::fs::create_dir_all(&locks).expect("the folder of the port locks");
    let first = RandomState::new().hash_one(std::process::id());
    let count = u64::from(end_of_ports() - FIRST_PORT);
    for step in 0..count {
        let port = FIRST_PORT + (first.wrapping_add(step) % count) as u16;
        let Ok(lock) = File::create(locks.join(port.to_string())) else { continue };
        #[cfg(unix)]
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        if is_taken(port) {
            continue;
        }
        HELD.lock().unwrap().push(lock);
        return port;
    }
    panic!("no free port");
}

/// The lowest port that a test gets.
const FIRST_PORT: u16 = 10_000;

/// The end of the ports for tests. From there on the system gives them to whoever connects somewhere, at any time.
fn end_of_ports() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given_out = range.split_whitespace().next().and_then(|first| first.parse().ok());
    given_out.unwrap_or(30_000).clamp(FIRST_PORT + 1_000, 30_000)
}

/// Whether somebody listens at this port of this computer. The socket that finds out does not listen itself: a copy
/// of it in a child would keep the port from the test that is about to use it.
pub fn is_taken(port: u16) -> bool {
    let hosts: [IpAddr; 3] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()];
    hosts.into_iter().map(|host| SocketAddr::new(host, port)).any(|address| {
        let bound = Socket::new(Domain::for_address(address), Type::STREAM, None).and_then(|socket| {
            #[cfg(unix)]
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())
        });
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    })
}

/// Starts a server. A port that another process took meanwhile is given up for another.
pub fn on_free_ports<Server>(name: &str, try_start: impl FnMut() -> Option<Server>) -> Server {
    std::iter::repeat_with(try_start).take(5).flatten().next().unwrap_or_else(|| panic!("{name} finds no free port"))
}
