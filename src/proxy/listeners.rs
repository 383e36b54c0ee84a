//! The doors: bind, accept, one task for each client; doors that cannot be opened are tried again; a change of settings
//! moves only what changed. The only place that spawns a task for a client.

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

/// How often to try a door again that another program holds.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Clients that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// The first and the longest wait after an error of accept: out of descriptors, mostly, and that passes.
const ACCEPT_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// All doors, open or not.
pub struct Listeners {
    engine: Arc<Engine>,
    inherited: Arc<Inherited>,
    /// Inherited sockets without a door that have been told of.
    idle: Vec<SocketAddr>,
    doors: Vec<Listening>,
}

/// Listening sockets that came with the process (`os::inherited_listeners`). They are kept for as long as it runs: a door
/// that the settings take away may come back, and ostler may not be able to open its port by itself.
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
    /// No door yet. A door whose address one of these sockets has is opened on it.
    pub fn new(engine: Arc<Engine>, inherited: Inherited) -> Self {
        Self { engine, inherited: Arc::new(inherited), idle: Vec::new(), doors: Vec::new() }
    }

    /// Opens the doors of the settings in force and closes all others; those in both stay as they are. Returns the
    /// addresses of the newly opened ones when each new door is open or reported.
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
        let idle: Vec<_> = self.inherited.iter().map(|(address, _)| *address).collect();
        let idle: Vec<_> = idle.into_iter().filter(|a| wanted.iter().all(|door| door.address != *a)).collect();
        for address in idle.iter().filter(|address| !self.idle.contains(address)) {
            let text = format!(
                "systemd has opened {address} for ostler, and no door has this address: mail programs that connect there wait \
                 in vain; add it to `pop3` or `smtp` in [local] of the settings, or stop the socket unit"
            );
            engine.events.publish(Event::Remark(text));
        }
        self.idle = idle;
        let mut first_tries = Vec::new();
        for door in wanted {
            if self.doors.iter().all(|listening| listening.door != *door) {
                let (told, first_try) = oneshot::channel();
                let task =
                    tokio::spawn(keep_open(Arc::clone(&self.engine), Arc::clone(&self.inherited), door.clone(), told));
                self.doors.push(Listening { door: door.clone(), task });
                first_tries.push(first_try);
            }
        }
        let mut opened = Vec::new();
        for first_try in first_tries {
            opened.extend(first_try.await.ok().flatten());
        }
        opened
    }

    /// Closes all doors. Sessions go on.
    pub fn close(&mut self) {
        self.doors.clear();
    }
}

/// Whether doors of this protocol are opened. The settings for the others are kept.
fn is_served(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Pop3 | Protocol::Smtp => true,
        Protocol::Imap => false,
    }
}

/// Opens a door, if need be again and again, and serves its clients. `told` hears how the first try went.
async fn keep_open(
    engine: Arc<Engine>,
    inherited: Arc<Inherited>,
    door: Door,
    told: oneshot::Sender<Option<SocketAddr>>,
) {
    let mut told = Some(told);
    let mut reported: Option<String> = None;
    loop {
        match take_over(&inherited, door.address).unwrap_or_else(|| bind(door.address)) {
            Ok((listener, address)) => {
                engine.events.publish(Event::DoorOpen(door.clone(), address));
                if let Some(told) = told.take() {
                    let _ = told.send(Some(address));
                }
                accept(&engine, listener, &Arc::new(door)).await;
                return;
            }
            Err(error) => {
                // A machine without IPv6 has no ::1, and the settings do not name it.
                let silent = door.is_companion && error.kind() != io::ErrorKind::AddrInUse;
                let why = why_not(&door, &error);
                if !silent && reported.as_ref() != Some(&why) {
                    engine.events.publish(Event::DoorShut(door.clone(), why.clone()));
                    reported = Some(why);
                }
                if let Some(told) = told.take() {
                    let _ = told.send(None);
                }
            }
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Another handle of the inherited socket with this address, if there is one.
fn take_over(inherited: &Inherited, address: SocketAddr) -> Option<io::Result<(TcpListener, SocketAddr)>> {
    let (_, listener) = inherited.iter().find(|(own, _)| *own == address)?;
    Some(listener.try_clone().and_then(TcpListener::from_std).map(|listener| (listener, address)))
}

/// A listening socket on the address; the address has the port that port 0 became.
pub(crate) fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // On Unix this lets a restarted ostler have its port back at once; on Windows it would let others take it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn why_not(door: &Door, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match os::port_holder(door.address) {
            Some(holder) => format!("{holder} has it; ostler tries again every few seconds"),
            None => "another program has it; ostler tries again every few seconds".into(),
        },
        io::ErrorKind::PermissionDenied => {
            os::allowing_low_port(door.address.port()).filter(|_| door.address.port() < 1024).unwrap_or_else(|| {
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
                tokio::spawn(session::serve(Arc::clone(engine), client, address, Arc::clone(door)));
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if wait == ACCEPT_WAIT.0 {
                    engine.events.publish(Event::Remark(format!("no client can be taken in just now: {error}")));
                }
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT.1);
            }
        }
    }
}

/// The client broke off before it was taken in.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}
