//! The settings page: a small web server on loopback for the user, with everything from the command line that matters at
//! home. What machines may ask is in `page/probes.rs`; beyond loopback nothing else is answered. The pages are rendered on the server and work without scripts. Who may see them is in `page/guard.rs`, where they
//! are served in `page/listen.rs`, what all of them share in `page/layout.rs`; each kind of page has a file of its own.
//!
//! Not here: what the pages show and change. That comes from the engine, the events, and the code behind `ostler add`.

mod about;
mod account;
mod add;
mod doors;
mod guard;
mod guide;
mod history;
mod jobs;
mod layout;
mod listen;
mod manual;
mod multipart;
mod overview;
mod probes;
mod progress;
mod settings;
mod setup_job;
mod traffic;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tokio::time::sleep;

use crate::config::{self, EditError, NotEdited};
use crate::events::event::Event;
use crate::os::control::SETTINGS_RELOAD_TIMEOUT;
use crate::proxy::Engine;
use crate::proxy::net::listen::Port;
use guard::Keys;
use jobs::Jobs;
use ostler_mail::account::Settings;
#[cfg(feature = "tray")]
pub(crate) use words::on_page;

/// How often the page looks whether changed settings are in force.
const RELOAD_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A load balancer that has not asked for this long is not there. They ask every few seconds.
const BALANCER_MEMORY: Duration = Duration::from_secs(60);

/// What all handlers share.
struct Shared {
    engine: Arc<Engine>,
    /// The settings file.
    file: PathBuf,
    keys: Keys,
    /// Where the page is open at this moment.
    open_at: Mutex<Option<SocketAddr>>,
    /// Asks the running ostler to read its settings again.
    reload: Box<dyn Fn() + Send + Sync>,
    jobs: Jobs,
    /// When a load balancer asked last how ostler is.
    balancer_asked: Mutex<Option<Instant>>,
}

impl Shared {
    fn open_at(&self) -> Option<SocketAddr> {
        *self.open_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_open_at(&self, address: Option<SocketAddr>) {
        *self.open_at.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Edits the settings file. The error is a text for the user: `refused` words it if the file cannot be edited like this;
    /// if the file cannot be read or written, it begins with `start`.
    async fn edit_settings(
        &self,
        start: &str,
        edit: impl FnOnce(&str) -> Result<String, EditError>,
        refused: impl FnOnce(EditError) -> String,
    ) -> Result<(), String> {
        let file = self.file.display();
        let trouble = |what: &str, error: std::io::Error| {
            format!("{start}{file} cannot be {what}: {error}. Correct that, then try again.")
        };
        config::edit_file_in_task(&self.file, edit).await.map_err(|error| match error {
            NotEdited::Unreadable(error) => trouble("read", error),
            NotEdited::Unwritable(error) => trouble("written", error),
            NotEdited::Refused(error) => refused(error),
        })
    }

    /// Waits until the page is open at another address; returns a link that lets the browser in there. `None`: it does not
    /// become so in time.
    async fn wait_for_move(&self, wanted: SocketAddr) -> Option<String> {
        let is_there =
            |open: SocketAddr| open.ip() == wanted.ip() && (wanted.port() == 0 || open.port() == wanted.port());
        let until = Instant::now() + SETTINGS_RELOAD_TIMEOUT;
        while !self.open_at().is_some_and(is_there) {
            if Instant::now() > until {
                return None;
            }
            sleep(RELOAD_POLL_INTERVAL).await;
        }
        self.entry()
    }

    /// The page's address with a new token.
    fn entry(&self) -> Option<String> {
        Some(format!("http://{}/?token={}", self.open_at()?, self.keys.new_token()?))
    }

    /// Makes ostler read its settings again and waits until those that it serves are as expected. Returns `false` if they do
    /// not become so in time.
    async fn reload_until(&self, are_expected: impl Fn(&Settings) -> bool) -> bool {
        (self.reload)();
        let until = Instant::now() + SETTINGS_RELOAD_TIMEOUT;
        while !are_expected(&self.engine.settings()) {
            if Instant::now() > until {
                return false;
            }
            sleep(RELOAD_POLL_INTERVAL).await;
        }
        true
    }
}

type App = axum::extract::State<Arc<Shared>>;

/// The page of the running ostler. Dropping it closes the page.
pub(crate) struct Page {
    shared: Arc<Shared>,
    /// The port, with the address that the settings want it on.
    listening: Option<((SocketAddr, bool), Port)>,
}

impl Page {
    /// A page that is not open yet. `reload` makes ostler read its settings again after the page has changed them. `None`:
    /// the system provides no random numbers, without which the page cannot tell its user from others.
    pub(crate) fn new(engine: Arc<Engine>, file: PathBuf, reload: impl Fn() + Send + Sync + 'static) -> Option<Self> {
        let shared = Shared {
            engine,
            file,
            keys: Keys::new()?,
            open_at: Mutex::new(None),
            reload: Box::new(reload),
            jobs: Jobs::default(),
            balancer_asked: Mutex::default(),
        };
        Some(Self { shared: Arc::new(shared), listening: None })
    }

    /// Opens, moves or closes the page as the settings in force say. Returns after the first attempt; if it failed, the reason
    /// is reported and ostler goes on trying.
    pub(crate) async fn apply(&mut self) {
        let settings = self.shared.engine.settings();
        let wanted = settings.page.map(|address| (address, settings.page_has_companion));
        if self.listening.as_ref().map(|(known, _)| *known) == wanted {
            return;
        }
        // First, because the new address may have the same port.
        if let Some((_, port)) = self.listening.take() {
            port.close().await;
        }
        self.shared.set_open_at(None);
        let Some(wanted) = wanted else { return };
        let (address, has_companion) = wanted;
        let port = listen::keep_open(&self.shared, router(&self.shared), address, has_companion);
        self.listening = Some((wanted, port));
    }

    pub(crate) fn links(&self) -> Links {
        Links(Arc::clone(&self.shared))
    }

    /// Whether a load balancer looks at `/health` to see where to send its clients.
    pub(crate) fn has_balancer(&self) -> bool {
        let asked = *self.shared.balancer_asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| asked.elapsed() < BALANCER_MEMORY)
    }
}

/// Tells where the page is.
#[derive(Clone)]
pub(crate) struct Links(Arc<Shared>);

impl Links {
    /// The page's address without a token: `http://127.0.0.1:2080/`. `None`: the page is not open.
    pub(crate) fn address(&self) -> Option<String> {
        Some(format!("http://{}/", self.0.open_at()?))
    }

    /// The page's address with a new token, which lets in one browser, once, within ten minutes. A caller may append
    /// `&to=PATH` to open another page.
    pub(crate) fn entry(&self) -> Option<String> {
        self.0.entry()
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route("/add", get(add::show).post(add::submit))
        .route("/job/{id}", get(progress::show))
        .route("/job/{id}/answer", post(progress::answer))
        .route("/job/{id}/again", post(progress::again))
        .route("/job/{id}/keep", post(progress::keep))
        .route("/job/{id}/stop", post(progress::stop))
        .route("/door", post(doors::change))
        .route("/program", get(guide::choose))
        .route("/guide/{client}", get(guide::show))
        .route("/account", get(account::show))
        .route("/account/settings", get(settings::show_account).post(settings::submit_account))
        .route("/account/server", get(settings::show_server).post(settings::submit_server))
        .route("/account/servers", post(settings::arrange))
        .route("/account/certificate", get(settings::show_certificate))
        .route("/account/certificate/look", post(settings::look))
        .route("/account/certificate/take", post(settings::take))
        .route("/account/certificate/upload", post(settings::upload))
        .route("/account/test", post(account::test))
        .route("/account/password", post(account::password))
        .route("/account/sign-in", post(account::sign_in))
        .route("/account/sign-out", post(account::sign_out))
        .route("/account/local", post(account::local_password))
        .route("/account/remove", post(account::remove))
        .route("/history", get(history::show))
        .route("/log", get(history::log))
        .route("/report", get(history::report))
        .route("/manual", get(manual::contents))
        .route("/manual/{chapter}", get(manual::show))
        .route("/manual/pictures/{file}", get(manual::picture))
        .route("/settings", get(settings::show).post(settings::submit))
        .route("/settings/registration", get(settings::show_registration).post(settings::submit_registration))
        .route("/settings/registration/remove", post(settings::remove_registration))
        .route("/settings/registration/secret", post(settings::store_registration_secret))
        .route("/about", get(about::show))
        .route("/autostart", post(about::start_at_login))
        .route("/style.css", get(layout::style))
        .route("/script.js", get(layout::script))
        .fallback(layout::nothing_here)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(shared), guard::guard))
        .with_state(Arc::clone(shared))
}

/// The link to a page about an account.
fn link_to(path: &str, account: &str) -> String {
    format!("{path}?account={}", percent_encode(account))
}

/// A text for the query of a URL.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    ostler_mail::wire::percent_encode(text.as_bytes(), &mut encoded);
    encoded
}

async fn pause(shared: App) -> Response {
    shared.engine.events.publish(Event::Paused);
    Redirect::to("/").into_response()
}

async fn resume(shared: App) -> Response {
    shared.engine.events.publish(Event::Resumed);
    Redirect::to("/").into_response()
}
