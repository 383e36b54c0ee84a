//! The doors: bind, accept, one task per client. A door that cannot be opened is retried; changed settings move only the
//! doors that changed. The only place that starts a client's task.
//!
//! Not here: who may come in (`admit`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::events::event::Event;
use crate::os;
use crate::proxy::Engine;
use crate::proxy::net::conn::ClientConn;
use crate::proxy::session;
use ostler_mail::account::{Door, Protocol};

/// How often a door that another program holds is tried again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(3);
/// The backlog of a listening socket: clients that may wait to be accepted.
const MAX_UNACCEPTED_CLIENTS: u32 = 1024;
/// The first and the longest wait after accept has failed, which mostly means that the process is out of descriptors.
const ACCEPT_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// All doors, whether open or not yet.
pub struct Listeners {
    engine: Arc<Engine>,
    inherited: Arc<Inherited>,
    /// Inherited sockets that match no door; the user has been warned about each.
    unused: Vec<SocketAddr>,
    doors: Vec<Listening>,
}

/// Listening sockets that systemd handed over (`os::inherited_listeners`). They are kept while the process runs: a door
/// that the settings remove may come back, and ostler may lack the right to open its port.
pub type Inherited = Vec<(SocketAddr, std::net::TcpListener)>;

struct Listening {
    door: Door,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listeners {
    /// Starts without a door. A door whose address is that of an inherited socket will use that socket.
    pub fn new(engine: Arc<Engine>, inherited: Inherited) -> Self {
        Self { engine, inherited: Arc::new(inherited), unused: Vec::new(), doors: Vec::new() }
    }

    /// Opens the doors of the current settings and closes all others; a door in both stays as it is. Returns once each new
    /// door is open or reported, with the addresses of those that are open.
    pub async fn apply(&mut self) -> Vec<SocketAddr> {
        let settings = self.engine.settings();
        let wanted: Vec<&Door> = settings.doors.iter().filter(|door| is_served(door.protocol)).collect();
        let engine = Arc::clone(&self.engine);
        self.doors.retain(|listening| {
            let stays = wanted.contains(&&listening.door);
            if !stays {
                engine.events.publish(Event::DoorRemoved(listening.door.clone()));
            }
            stays
        });
        let unused: Vec<_> = self.inherited.iter().map(|(address, _)| *address).collect();
        let unused: Vec<_> = unused.into_iter().filter(|a| wanted.iter().all(|door| door.address != *a)).collect();
        for address in unused.iter().filter(|address| !self.unused.contains(address)) {
            let text = format!(
                "systemd has opened {address} for ostler, and no door has this address: mail programs that connect there wait \
                 in vain; add it to `pop3` or `smtp` in [local] of the settings, or stop the socket unit"
            );
            engine.events.publish(Event::Warning(text));
        }
        self.unused = unused;
        let mut first_binds = Vec::new();
        for door in wanted {
            if self.doors.iter().all(|listening| listening.door != *door) {
                let (first_bind_tx, first_bind) = oneshot::channel();
                let task = tokio::spawn(keep_open(
                    Arc::clone(&self.engine),
                    Arc::clone(&self.inherited),
                    door.clone(),
                    first_bind_tx,
                ));
                self.doors.push(Listening { door: door.clone(), task });
                first_binds.push(first_bind);
            }
        }
        let mut opened = Vec::new();
        for first_bind in first_binds {
            opened.extend(first_bind.await.ok().flatten());
        }
        opened
    }

    /// Closes all doors. Sessions under way continue.
    pub fn close(&mut self) {
        self.doors.clear();
    }
}

/// Whether doors of this protocol are opened. The settings for the others are kept.
pub(crate) fn is_served(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Pop3 | Protocol::Smtp => true,
        Protocol::Imap => false,
    }
}

/// Opens a door, retrying as long as it takes, and accepts its clients. `first_bind_tx` gets the outcome of the first
/// attempt.
async fn keep_open(
    engine: Arc<Engine>,
    inherited: Arc<Inherited>,
    door: Door,
    first_bind_tx: oneshot::Sender<Option<SocketAddr>>,
) {
    let mut first_bind_tx = Some(first_bind_tx);
    let mut reported: Option<String> = None;
    loop {
        match take_inherited(&inherited, door.address).unwrap_or_else(|| bind(door.address)) {
            Ok((listener, address)) => {
                engine.events.publish(Event::DoorOpen(door.clone(), address));
                if let Some(first_bind_tx) = first_bind_tx.take() {
                    let _ = first_bind_tx.send(Some(address));
                }
                accept(&engine, listener, &Arc::new(door)).await;
                return;
            }
            Err(error) => {
                // The user did not ask for ::1; a computer without IPv6 does not have it.
                let silent = door.is_companion && error.kind() != io::ErrorKind::AddrInUse;
                let why = explain_bind_error(&door, &error);
                if !silent && reported.as_ref() != Some(&why) {
                    engine.events.publish(Event::DoorShut(door.clone(), why.clone()));
                    reported = Some(why);
                }
                if let Some(first_bind_tx) = first_bind_tx.take() {
                    let _ = first_bind_tx.send(None);
                }
            }
        }
        sleep(REOPEN_INTERVAL).await;
    }
}

/// A duplicate of the inherited socket with this address, if there is one.
fn take_inherited(inherited: &Inherited, address: SocketAddr) -> Option<io::Result<(TcpListener, SocketAddr)>> {
    let (_, listener) = inherited.iter().find(|(own, _)| *own == address)?;
    Some(listener.try_clone().and_then(TcpListener::from_std).map(|listener| (listener, address)))
}

/// Listens on `address`. The returned address has the port that the system chose for port 0.
pub(crate) fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Unix this lets a restarted ostler have its port back at once; on Windows it would let others take it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(MAX_UNACCEPTED_CLIENTS)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn explain_bind_error(door: &Door, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match os::port_holder(door.address) {
            Some(holder) => format!("{holder} has it; ostler tries again every few seconds"),
            None => "another program has it; ostler tries again every few seconds".into(),
        },
        io::ErrorKind::PermissionDenied => {
            os::low_port_advice(door.address.port()).filter(|_| door.address.port() < 1024).unwrap_or_else(|| {
                format!(
                    "this system lets only the administrator open ports below 1024; choose another for {} in the settings",
                    door.protocol
                )
            })
        }
        io::ErrorKind::AddrNotAvailable => "this computer does not have this address".into(),
        _ => error.to_string(),
    }
}

async fn accept(engine: &Arc<Engine>, listener: TcpListener, door: &Arc<Door>) {
    let mut wait = ACCEPT_WAIT.0;
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                wait = ACCEPT_WAIT.0;
                let client = ClientConn::accepted(tcp);
                // The handle is dropped: a panic ends this client alone, and a session outlives the door it came
                // through.
                tokio::spawn(session::serve(Arc::clone(engine), client, address, Arc::clone(door)));
            }
            Err(error) if is_client_gone(&error) => {}
            Err(error) => {
                if wait == ACCEPT_WAIT.0 {
                    engine.events.publish(Event::Warning(format!("no client can be taken in just now: {error}")));
                }
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT.1);
            }
        }
    }
}

/// Whether accept failed because the client hung up first.
fn is_client_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}
