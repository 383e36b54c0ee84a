//! Where the page listens: on loopback, tried again while another program holds the port, with a limited number of
//! connections of limited length. The router answers.
//!
//! Not here: binding and accepting (`proxy/net/listen`).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Shared;
use super::probes::Peer;
use crate::events::event::Event;
use crate::os;
use crate::proxy::net::listen::{Listener, Port};

/// Connections at once. A browser opens six. If there are more, the oldest one without a request is closed.
const MAX_CONNECTIONS: usize = 48;
/// For the header of a request. Browsers open connections in advance and use them seconds later.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// For a whole connection, which carries one request. What takes longest is the keyring, which may ask the user to unlock it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest header of a request. It also carries the cookies of other programs on this computer.
const MAX_HEADER_OCTETS: usize = 64 * 1024;

/// Opens the page, trying until it succeeds, and serves it. Returns after the first attempt.
pub(super) fn keep_open(shared: &Arc<Shared>, router: Router, wanted: SocketAddr, has_companion: bool) -> Port {
    let own = Arc::clone(shared);
    let open = move || {
        let listener = Listener::bind(wanted).map_err(|error| Some(explain_bind_error(wanted, &error)))?;
        let address = listener.address();
        if address.ip().to_canonical().is_loopback() {
            own.set_open_at(Some(address));
            tracing::info!("the settings page is open on http://{address}/; `ostler settings` opens it");
        } else {
            tracing::info!("load balancers can ask http://{address}/health; there is no settings page");
        }
        Ok(listener)
    };
    let own = Arc::clone(shared);
    let report = move |why: &str| {
        let text = format!("the settings page on {wanted} cannot be opened: {why}");
        own.engine.events.publish(Event::Warning(text));
    };
    Port::keep_open(open, report, move |listener| serve(listener, router, has_companion))
}

/// Serves the page on its port and, as the companion, on the same port of `::1`, if that is free: some browsers connect there
/// for `localhost`.
async fn serve(listener: Listener, router: Router, has_companion: bool) {
    let slots = ConnectionSlots::new();
    let address = listener.address();
    let companion = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port());
    let main = accept(listener, &router, &slots);
    match has_companion.then(|| Listener::bind(companion)) {
        Some(Ok(second)) => {
            tokio::join!(main, accept(second, &router, &slots));
        }
        _ => main.await,
    }
}

fn explain_bind_error(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = os::port_holder(address).unwrap_or_else(|| "another program".into());
            format!(
                "{holder} holds the port; ostler tries again every few seconds, or choose another `page` in the settings"
            )
        }
        io::ErrorKind::PermissionDenied => {
            "this system lets only the administrator open ports below 1024; choose another `page` in the settings"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this computer does not have this address; choose another `page` in the settings".into()
        }
        _ => format!("{error}; ostler tries again every few seconds"),
    }
}

/// The open connections. Any program on the computer can open some, and must not keep the user from the page by opening many
/// without sending a request.
struct ConnectionSlots {
    permits: Arc<Semaphore>,
    /// Connections that may not have sent a request yet, oldest first.
    idle: Mutex<VecDeque<(Arc<AtomicBool>, AbortHandle)>>,
}

impl ConnectionSlots {
    fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)), idle: Mutex::default() }
    }

    /// Waits for a free slot. If there is none, closes the oldest connection without a request.
    async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            Self::drop_busy(&mut idle);
            if let Some((_, oldest)) = idle.pop_front() {
                oldest.abort();
            }
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn add_idle(&self, has_asked: Arc<AtomicBool>, connection: AbortHandle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Self::drop_busy(&mut idle);
        idle.push_back((has_asked, connection));
    }

    fn drop_busy(idle: &mut VecDeque<(Arc<AtomicBool>, AbortHandle)>) {
        idle.retain(|(has_asked, connection)| !has_asked.load(Ordering::Relaxed) && !connection.is_finished());
    }
}

async fn accept(listener: Listener, router: &Router, slots: &ConnectionSlots) {
    let report = |error: io::Error| tracing::debug!("the settings page cannot take a connection: {error}");
    loop {
        let (stream, peer) = listener.accept(report).await;
        let Some(permit) = slots.acquire().await else { return };
        let has_asked = Arc::new(AtomicBool::new(false));
        let connection =
            tokio::spawn(serve_connection(stream, Peer(peer), router.clone(), Arc::clone(&has_asked), permit));
        slots.add_idle(has_asked, connection.abort_handle());
    }
}

/// Serves one request; a malformed or slow one affects no other.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    router: Router,
    has_asked: Arc<AtomicBool>,
    _permit: OwnedSemaphorePermit,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_OCTETS)
        .keep_alive(false);
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let work = builder.serve_connection(TokioIo::new(stream), answer);
    let _ = timeout(CONNECTION_TIMEOUT, work).await;
}
