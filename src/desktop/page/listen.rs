//! Where the page listens: bound to loopback, tried again while somebody else has the port, a bounded number of
//! connections, each of a bounded length. What is answered is the router's.

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

/// A port that another program has is tried again this often; as with doors.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Connections at once. A browser opens six; if there are more, the oldest that has asked nothing yet makes way.
const MAX_CONNECTIONS: usize = 48;
/// For the head of a request. Browsers open connections beforehand and use them seconds later.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// For a whole connection, which carries one request: the longest work of one is a question to the keyring.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// Of a request's head, in octets. Cookies of other programs on this computer come along.
const MAX_HEADER_OCTETS: usize = 64 * 1024;

/// Opens the page, if need be again and again, and serves it. `first_try` hears when the first try is over.
pub(super) async fn keep_open(shared: Arc<Shared>, router: Router, wanted: SocketAddr, first_try: oneshot::Sender<()>) {
    let mut first_try = Some(first_try);
    let mut last_error: Option<String> = None;
    loop {
        match bind(wanted) {
            Ok((listener, address)) => {
                shared.set_open_at(Some(address));
                tracing::info!("the settings page is open on http://{address}/; ostler settings leads there");
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

/// The same port on `::1`, where there is one free: `localhost` means that to some browsers.
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
                "{holder} has the port; ostler tries again every few seconds, or choose another for page in the settings"
            )
        }
        io::ErrorKind::PermissionDenied => {
            "this system lets only the administrator open ports below 1024; choose another for page in the settings"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this computer does not have this address; choose another for page in the settings".into()
        }
        _ => format!("{error}; ostler tries again every few seconds"),
    }
}

/// The connections there are. Any program of the computer can open one, and must not keep the page from its user by opening
/// many and asking nothing.
struct ConnectionSlots {
    permits: Arc<Semaphore>,
    /// Those that may have asked nothing yet, the oldest first.
    idle: Mutex<VecDeque<(Arc<AtomicBool>, AbortHandle)>>,
}

impl ConnectionSlots {
    fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)), idle: Mutex::default() }
    }

    /// A place, if need be that of the oldest one that has asked nothing; where all have asked, the first to come free.
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
                // Out of descriptors, mostly, and that passes.
                sleep(Duration::from_millis(200)).await;
                if *shared.engine.stopping().borrow() {
                    return;
                }
            }
        }
    }
}

/// One request, one answer. Whoever asks in the wrong way only harms himself.
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
