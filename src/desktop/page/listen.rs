//! Where the page listens: on loopback, tried again while another program holds the port, with a limited number of
//! connections of limited length. The router answers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::events::event::Event;
use crate::os;
use crate::proxy::listeners::bind;

/// How often a port that another program holds is tried again, as with doors.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Connections at once. A browser opens six. If there are more, the oldest one without a request is closed.
const MAX_CONNECTIONS: usize = 48;
/// For the header of a request. Browsers open connections in advance and use them seconds later.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// For a whole connection, which carries one request. What takes longest is the keyring, which may ask the user to unlock it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest header of a request. It also carries the cookies of other programs on this computer.
const MAX_HEADER_OCTETS: usize = 64 * 1024;

/// Opens the page, trying until it succeeds, and serves it. `first_try` is notified when the first attempt is over.
pub(super) async fn keep_open(shared: Arc<Shared>, router: Router, wanted: SocketAddr, first_try: oneshot::Sender<()>) {
    let mut first_try = Some(first_try);
    let mut last_error: Option<String> = None;
    loop {
        match bind(wanted) {
            Ok((listener, address)) => {
                shared.set_open_at(Some(address));
                tracing::info!("the settings page is open on http://{address}/; `ostler settings` opens it");
                if let Some(first_try) = first_try.take() {
                    let _ = first_try.send(());
                }
                let slots = ConnectionSlots::new();
                let main = accept(&shared, listener, &router, &slots);
                match bind_ipv6_companion(address) {
                    Some(second) => {
                        tokio::join!(main, accept(&shared, second, &router, &slots));
                    }
                    None => main.await,
                }
                return;
            }
            Err(error) => {
                let why =
                    format!("the settings page on {wanted} cannot be opened: {}", explain_bind_error(wanted, &error));
                if last_error.as_ref() != Some(&why) {
                    shared.engine.events.publish(Event::Warning(why.clone()));
                    last_error = Some(why);
                }
                if let Some(first_try) = first_try.take() {
                    let _ = first_try.send(());
                }
            }
        }
        sleep(BIND_RETRY_INTERVAL).await;
    }
}

/// The same port on `::1`, if it is free: some browsers connect there for `localhost`.
fn bind_ipv6_companion(address: SocketAddr) -> Option<TcpListener> {
    if !address.is_ipv4() {
        return None;
    }
    bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port())).ok().map(|(listener, _)| listener)
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

async fn accept(shared: &Arc<Shared>, listener: TcpListener, router: &Router, slots: &ConnectionSlots) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(permit) = slots.acquire().await else { return };
                let has_asked = Arc::new(AtomicBool::new(false));
                let connection = tokio::spawn(serve_connection(stream, router.clone(), Arc::clone(&has_asked), permit));
                slots.add_idle(has_asked, connection.abort_handle());
            }
            Err(error) => {
                tracing::debug!("the settings page cannot take a connection: {error}");
                // Usually because too many files are open, which passes.
                sleep(Duration::from_millis(200)).await;
                if *shared.engine.stopping().borrow() {
                    return;
                }
            }
        }
    }
}

/// Serves one request; a malformed or slow one affects no other.
async fn serve_connection(
    stream: TcpStream,
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
    let answer = service_fn(move |request| {
        has_asked.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let work = builder.serve_connection(TokioIo::new(stream), answer);
    let _ = timeout(CONNECTION_TIMEOUT, work).await;
}
