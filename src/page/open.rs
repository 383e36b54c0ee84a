//! Where the page listens: bound to loopback, tried again while somebody else has the port, a bounded number of
//! connections, each of a bounded length. What is answered is the router's.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::event::Event;
use crate::listeners::bind;
use crate::os;

/// A port that another program has is tried again this often; as with doors.
const TRY_AGAIN: Duration = Duration::from_secs(3);
/// Connections at once. A browser opens six; whoever opens more makes himself wait.
const MOST_CONNECTIONS: usize = 48;
/// For the head of a request. Browsers open connections beforehand and use them seconds later.
const HEAD: Duration = Duration::from_secs(20);
/// For a whole connection, which carries one request: the longest work of one is a question to the keyring.
const CONNECTION: Duration = Duration::from_secs(90);
/// Of a request's head, in octets. Cookies of other programs on this computer come along.
const LARGEST_HEAD: usize = 64 * 1024;

/// Opens the page, if need be again and again, and serves it. `told` hears when the first try is over.
pub(super) async fn keep_open(shared: Arc<Shared>, router: Router, wanted: SocketAddr, told: oneshot::Sender<()>) {
    let mut told = Some(told);
    let mut reported: Option<String> = None;
    loop {
        match bind(wanted) {
            Ok((listener, address)) => {
                shared.set_open_at(Some(address));
                tracing::info!("the settings page is open on http://{address}/; ostler settings leads there");
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
                let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
                let main = accept(&shared, listener, &router, &places);
                match companion(address) {
                    Some(second) => {
                        tokio::join!(main, accept(&shared, second, &router, &places));
                    }
                    None => main.await,
                }
                return;
            }
            Err(error) => {
                let why = format!("the settings page on {wanted} cannot be opened: {}", why_not(wanted, &error));
                if reported.as_ref() != Some(&why) {
                    shared.engine.events.publish(Event::Remark(why.clone()));
                    reported = Some(why);
                }
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
            }
        }
        sleep(TRY_AGAIN).await;
    }
}

/// The same port on `::1`, where there is one free: `localhost` means that to some browsers.
fn companion(address: SocketAddr) -> Option<TcpListener> {
    if !address.is_ipv4() {
        return None;
    }
    bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port())).ok().map(|(listener, _)| listener)
}

fn why_not(address: SocketAddr, error: &io::Error) -> String {
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

async fn accept(shared: &Arc<Shared>, listener: TcpListener, router: &Router, places: &Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, router.clone(), place))),
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
async fn converse(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD).keep_alive(false);
    let work = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = timeout(CONNECTION, work).await;
}
