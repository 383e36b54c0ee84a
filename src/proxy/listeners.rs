//! The doors: one task per client. A door that cannot be opened is retried; changed settings move only the doors that
//! changed. The only place that starts a client's task.
//!
//! Not here: binding and accepting (`net/listen`), and who may come in (`admit`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::events::event::Event;
use crate::os::{self, Inherited};
use crate::proxy::Engine;
use crate::proxy::net::conn::ClientConn;
use crate::proxy::net::listen::{Listener, Port};
use crate::proxy::session;
use ostler_mail::account::Door;

/// All doors, whether open or not yet.
pub struct Listeners {
    engine: Arc<Engine>,
    /// Kept while the process runs: a door that the settings remove may come back, and ostler may lack the right to open its
    /// port.
    inherited: Arc<Inherited>,
    /// Inherited sockets that match no door; the user has been warned about each.
    unused: Vec<SocketAddr>,
    doors: Vec<(Door, Port)>,
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
        let wanted: Vec<&Door> = settings.doors.iter().collect();
        self.close_all_but(&wanted).await;
        self.warn_of_unused(&wanted);
        let mut opened = Vec::new();
        for door in wanted {
            if self.doors.iter().all(|(known, _)| known != door) {
                let port = self.open(door);
                opened.extend(port.opened_at());
                self.doors.push((door.clone(), port));
            }
        }
        opened
    }

    /// Waits until the closed doors' ports are free: another door may want one of them.
    async fn close_all_but(&mut self, wanted: &[&Door]) {
        for (door, port) in std::mem::take(&mut self.doors) {
            if wanted.contains(&&door) {
                self.doors.push((door, port));
            } else {
                port.close().await;
                self.engine.events.publish(Event::DoorRemoved(door));
            }
        }
    }

    fn warn_of_unused(&mut self, wanted: &[&Door]) {
        let inherited = self.inherited.iter().map(|(address, _)| *address);
        let unused: Vec<_> = inherited.filter(|a| wanted.iter().all(|door| door.address != *a)).collect();
        for address in unused.iter().filter(|address| !self.unused.contains(address)) {
            let text = format!(
                "systemd has opened {address} for ostler, and no door has this address: mail programs that connect there wait \
                 in vain; add it to `pop3`, `imap` or `smtp` in [local] of the settings, or stop the socket unit"
            );
            self.engine.events.publish(Event::Warning(text));
        }
        self.unused = unused;
    }

    fn open(&self, door: &Door) -> Port {
        let (engine, inherited, door) = (Arc::clone(&self.engine), Arc::clone(&self.inherited), Arc::new(door.clone()));
        let (events, wanted) = (Arc::clone(&engine), Arc::clone(&door));
        let open = move || match inherited_or_bound(&inherited, wanted.address) {
            Ok(listener) => {
                events.events.publish(Event::DoorOpened((*wanted).clone(), listener.address()));
                Ok(listener)
            }
            // The user did not ask for ::1; a computer without IPv6 does not have it.
            Err(error) if wanted.is_companion && error.kind() != io::ErrorKind::AddrInUse => Err(None),
            Err(error) => Err(Some(explain_bind_error(&wanted, &error))),
        };
        let (events, wanted) = (Arc::clone(&engine), Arc::clone(&door));
        let report = move |why: &str| {
            events.events.publish(Event::DoorUnavailable((*wanted).clone(), why.to_owned()));
        };
        Port::keep_open(open, report, |listener| accept(engine, listener, door))
    }

    /// Closes all doors. Sessions under way continue.
    pub fn close(&mut self) {
        self.doors.clear();
    }
}

/// The inherited socket with this address, if there is one; else a new one.
fn inherited_or_bound(inherited: &Inherited, address: SocketAddr) -> io::Result<Listener> {
    match inherited.iter().find(|(own, _)| *own == address) {
        Some((_, socket)) => Listener::duplicate(socket, address),
        None => Listener::bind(address),
    }
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

async fn accept(engine: Arc<Engine>, listener: Listener, door: Arc<Door>) {
    let report = |error: io::Error| {
        engine.events.publish(Event::Warning(format!("no client can be taken in just now: {error}")))
    };
    loop {
        let (tcp, address) = listener.accept(report).await;
        let client = ClientConn::accepted(tcp);
        // The handle is dropped: a panic ends this client alone, and a session outlives the door it came
        // through.
        tokio::spawn(session::serve(Arc::clone(&engine), client, address, Arc::clone(&door)));
    }
}
