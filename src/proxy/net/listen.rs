//! Listening sockets, of the doors and of the settings page: how a port is bound, and what follows when accepting fails.
//!
//! Not here: what is done with a connection, and the words for a port that cannot be opened.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often a port that another program holds is tried again.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// The backlog of a listening socket: clients that may wait to be accepted.
const MAX_UNACCEPTED_CLIENTS: u32 = 1024;
/// The first and the longest wait after accept has failed, which mostly means that the process is out of descriptors.
const ACCEPT_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listening socket.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // On Unix this lets a restarted ostler have its port back at once; on Windows it would let others take it.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(MAX_UNACCEPTED_CLIENTS)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// A duplicate of a socket that listens on `address` already.
    pub(crate) fn duplicate(socket: &std::net::TcpListener, address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::from_std(socket.try_clone()?)?, address })
    }

    /// The address it is bound to, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts the next client. If accepting fails, reports the first failure in a row and tries again.
    pub(crate) async fn accept(&self, report: impl FnOnce(io::Error)) -> (TcpStream, SocketAddr) {
        let mut report = Some(report);
        let mut wait = ACCEPT_WAIT.0;
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_client_gone(&error) => {}
                Err(error) => {
                    if let Some(report) = report.take() {
                        report(error);
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(ACCEPT_WAIT.1);
                }
            }
        }
    }
}

/// Whether a door could be opened on `address` at this moment.
pub(crate) fn is_free(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_ok()
}

/// Whether accept failed because the client hung up first.
fn is_client_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// A port that ostler keeps open, by a task of its own. Dropping it closes the port a moment later.
pub(crate) struct Port {
    task: JoinHandle<()>,
    opened_at: Option<SocketAddr>,
}

impl Port {
    /// Calls `open` at once and, as long as that gives no listener, every few seconds. `serve` gets the listener. `open` says
    /// why it failed, or nothing if no one is to hear of it; `report` gets each reason once, because the next attempts mostly
    /// fail for the same one.
    pub(crate) fn keep_open<S>(
        mut open: impl FnMut() -> Result<Listener, Option<String>> + Send + 'static,
        mut report: impl FnMut(&str) + Send + 'static,
        serve: impl FnOnce(Listener) -> S + Send + 'static,
    ) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let mut reported = None;
        let mut open = move || {
            open()
                .inspect_err(|why| {
                    if let Some(text) = why
                        && reported != *why
                    {
                        report(text);
                        reported.clone_from(why);
                    }
                })
                .ok()
        };
        let mut opened = open();
        let opened_at = opened.as_ref().map(Listener::address);
        let task = tokio::spawn(async move {
            let listener = loop {
                if let Some(listener) = opened {
                    break listener;
                }
                sleep(BIND_RETRY_INTERVAL).await;
                opened = open();
            };
            serve(listener).await;
        });
        Self { task, opened_at }
    }

    /// Where the first attempt has opened it; `None`: it failed.
    pub(crate) fn opened_at(&self) -> Option<SocketAddr> {
        self.opened_at
    }

    /// Closes the port. It is free when this returns.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    fn any_port() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_taken_is_opened_once_it_is_free() {
        let holder = Listener::bind(any_port()).unwrap();
        let wanted = holder.address();
        let (tell_trouble, trouble) = oneshot::channel();
        let (tell_served, served) = oneshot::channel();
        let mut tell_trouble = Some(tell_trouble);
        let open = move || Listener::bind(wanted).map_err(|error| Some(error.kind().to_string()));
        let report = move |why: &str| {
            let tell = tell_trouble.take().expect("the same reason is told once");
            tell.send(why.to_owned()).unwrap();
        };
        let port = Port::keep_open(open, report, |listener| async move {
            let _ = tell_served.send(listener.address());
        });
        assert_eq!((port.opened_at(), trouble.await.unwrap()), (None, io::ErrorKind::AddrInUse.to_string()));
        // Some more attempts, which fail for the same reason.
        sleep(BIND_RETRY_INTERVAL * 3).await;
        drop(holder);
        assert_eq!(served.await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn a_closed_port_has_let_go_of_its_socket() {
        let open = || Listener::bind(any_port()).map_err(|error| Some(error.to_string()));
        // Whoever serves the port has this for as long as the socket. To bind the port again would not tell: a child
        // that a test beside this one is starting has a copy of the socket.
        let held = Arc::new(());
        let with_socket = Arc::clone(&held);
        let port = Port::keep_open(
            open,
            |_| (),
            |listener| async move {
                let _with_socket = with_socket;
                listener.accept(drop).await;
            },
        );
        assert!(Listener::bind(port.opened_at().unwrap()).is_err());
        assert_eq!(Arc::strong_count(&held), 2);
        port.close().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
