//! The running ostler, from start to clean end: reads the settings, opens the doors, answers other invocations, reloads,
//! stops. With an icon in the panel (`app/desktop.rs`) it works the same. `ostler run` prints `ready` on standard output
//! when every door is open or reported; scripts and service managers wait for that line.

mod desktop;
mod network_doors;
mod signals;
mod watch_settings;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::config::{self, Parsed};
use crate::desktop::Desktop;
use crate::desktop::tray::TrayLink;
use crate::events::Events;
use crate::events::event::Event;
use crate::events::history_file::HistoryStore;
use crate::os::control::{Listener, Request};
use crate::os::instance::{ClaimError, Instance};
use crate::os::{self, Inherited};
use crate::proxy::listeners::Listeners;
use crate::proxy::{Engine, now};
use crate::vault::Vault;
use ostler_mail::account::Account;
use ostler_mail::failure::error_chain;
use watch_settings::SettingsWatch;

/// How long sessions in the middle of a message may go on after SIGTERM.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the doors stay open after SIGTERM where a load balancer looks at `/health`, so that it sees the red answer before the
/// doors close. `docs/scaling.md` has settings of haproxy that fit.
pub(crate) const BALANCER_NOTICE: Duration = Duration::from_secs(5);
/// Wait this long after a change before reading the settings: editors write a file in several steps, and only the last one
/// leaves it whole.
const RELOAD_DEBOUNCE: Duration = Duration::from_millis(150);
/// How long a `since` request waits for the next event. Less than the 5 s that `os/control.rs` gives any handler.
const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs without an icon until it is asked to end. A click on a notice opens the desktop's page, if it has one.
pub(crate) fn run(file: &Path, desktop: Arc<dyn Desktop>) -> ExitCode {
    let already_runs =
        |error: ClaimError| fail(&format!("{error}: {}; `ostler status` shows what it is doing", file.display()), 1);
    match Start::prepare(file, already_runs) {
        Ok(start) => start.serve(None, desktop),
        Err((code, _)) => code,
    }
}

/// Runs with an icon in the panel until it is asked to end. If an ostler runs on this settings file already, opens that
/// one's page and succeeds: starting ostler from a menu again means "show it to me". Must be called on the main thread.
#[cfg(feature = "tray")]
pub(crate) fn on_desktop(file: &Path, desktop: Arc<dyn Desktop>) -> ExitCode {
    let already_runs = |error: ClaimError| {
        if !desktop.open_page_of_running(file) {
            crate::events::log::print_error(&format!(
                "{error}: look for its icon in the panel; `ostler status` shows what it is doing"
            ));
        }
        ExitCode::SUCCESS
    };
    match Start::prepare(file, already_runs) {
        Ok(start) => crate::desktop::tray::run_with_icon(move |link| start.serve(Some(link), desktop)),
        Err((code, why)) => {
            // Started from a menu, the user does not see standard error.
            if let Some(why) = why {
                let notice = crate::events::notice::Notice::answer(
                    "ostler cannot start",
                    &why,
                    crate::events::notice::PageTarget::Start,
                );
                let _ = crate::desktop::show_notice(notice, None).map(std::thread::JoinHandle::join);
            }
            code
        }
    }
}

/// A start that nothing can refuse any more: the settings are read, and this process is the one ostler of its settings file.
struct Start {
    file: PathBuf,
    parsed: Parsed,
    instance: Instance,
    watch: SettingsWatch,
    inherited: Inherited,
}

impl Start {
    /// Calls `already_runs` if an ostler runs on this settings file. An error is the exit code and what was printed.
    fn prepare(
        file: &Path,
        already_runs: impl FnOnce(ClaimError) -> ExitCode,
    ) -> Result<Self, (ExitCode, Option<String>)> {
        // First of all: this removes variables from the environment, which is unsound once there is a second thread.
        let inherited = os::inherited_listeners();
        if let Err(error) = os::harden() {
            tracing::debug!("{error}");
        }
        os::allow_connections();
        let refuse = |error: &dyn std::error::Error, code| {
            let why = error_chain(error);
            Err((fail(&why, code), Some(why)))
        };
        // Before the file is read, so that no change is missed.
        let watch = SettingsWatch::start(file);
        let parsed = match config::load(file) {
            Ok(parsed) => parsed,
            Err(error) => return refuse(&error, 2),
        };
        match Instance::claim(file) {
            Ok(instance) => Ok(Self { file: file.to_owned(), parsed, instance, watch, inherited }),
            Err(error @ ClaimError::AlreadyRuns { .. }) => Err((already_runs(error), None)),
            Err(error) => refuse(&error, 1),
        }
    }

    fn serve(self, link: Option<TrayLink>, desktop: Arc<dyn Desktop>) -> ExitCode {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let code = runtime.block_on(App::start(self, link, desktop));
                // Does not wait for a name look-up that still runs in a thread.
                runtime.shutdown_background();
                code
            }
            Err(error) => fail(&format!("ostler cannot start: {error}"), 1),
        }
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    crate::events::log::print_error(text);
    ExitCode::from(code)
}

/// Where the settings page is; always `None` in a build without the page.
#[cfg(feature = "web")]
type Links = Option<crate::desktop::page::Links>;
#[cfg(not(feature = "web"))]
type Links = Option<NoPage>;

#[cfg(not(feature = "web"))]
#[derive(Clone)]
enum NoPage {}

struct App {
    file: PathBuf,
    engine: Arc<Engine>,
    listeners: Listeners,
    #[cfg(feature = "web")]
    page: Option<crate::desktop::page::Page>,
}

/// Why the running ostler wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// The settings may have changed.
    Changed,
    Stop,
}

impl App {
    async fn start(start: Start, link: Option<TrayLink>, desktop: Arc<dyn Desktop>) -> ExitCode {
        let Start { file, parsed, instance, watch, inherited } = start;
        let events = Events::default();
        // Before the engine, whose first event gives each account its last fetch and send from the history.
        let history_store = HistoryStore::start(&file, &events);
        publish_warnings(&events, &parsed);
        if parsed.is_missing {
            events.publish(Event::Warning(format!(
                "there is no settings file {} yet; the doors are open and say so",
                file.display()
            )));
        }
        let vault = Vault::new().knowing(parsed.presets.app_passwords());
        let engine = Arc::new(Engine::new(parsed.settings, vault, events));
        report_panics(&engine);
        let serving = Arc::downgrade(&engine);
        engine.vault.make_only_for(move |account| serving.upgrade().is_some_and(|engine| engine.serves(account)));
        let notices = engine.events.take_notices();
        tokio::spawn(desktop::notices(notices, Arc::clone(&engine), Arc::clone(&desktop)));
        let mut app = Self {
            #[cfg(feature = "web")]
            page: make_page(&engine, &file, &watch.wake, &*desktop),
            listeners: Listeners::new(Arc::clone(&engine), inherited),
            file,
            engine,
        };
        let control = match instance.listen() {
            Ok(control) => Some(control),
            Err(error) => {
                app.engine.events.publish(Event::Warning(format!("ostler status will not work: {error}")));
                None
            }
        };
        // With an icon ostler stays: the icon shows the trouble, and a door opens as soon as its port is free.
        if let Err(why) = network_doors::check_sign_ins(&app.engine).await
            && link.is_none()
        {
            return fail(&format!("ostler ends: programs on other computers could not sign in: {why}"), 1);
        }
        if app.listeners.apply().await.is_empty() && link.is_none() {
            return fail("ostler ends: no door could be opened", 1);
        }
        app.open_page().await;
        // Before `ready` is printed: its reader may send a signal at once.
        signals::listen(&watch.wake);
        let mut out = os::console::stdout();
        let _ = writeln!(out, "ready").and_then(|()| out.flush());
        let _ = os::notify_ready();
        let history_saving = tokio::spawn(Arc::clone(&history_store).save_changes());
        app.run(control, watch, link, desktop).await;
        history_saving.abort();
        history_store.finish().await;
        // Last: the command that waits for the end looks at this lock (`control::wait_for_end`).
        drop(instance);
        ExitCode::SUCCESS
    }

    async fn run(
        &mut self,
        control: Option<Listener>,
        mut watch: SettingsWatch,
        link: Option<TrayLink>,
        desktop: Arc<dyn Desktop>,
    ) {
        watch.poll_if_needed();
        let wake = watch.wake.clone();
        let warm = Arc::clone(&self.engine);
        tokio::spawn(async move { warm.dialer.tls.warm_up().await });
        let engine = Arc::clone(&self.engine);
        let (links, quit) = (self.links(), wake.clone());
        let answering = async move {
            if let Some(control) = control {
                control.serve(|request| answer(Arc::clone(&engine), links.clone(), quit.clone(), request)).await;
            }
            // The `select!` below must not end because there is nothing to answer.
            std::future::pending::<()>().await;
        };
        tokio::pin!(answering);
        let (engine, file, quit) = (Arc::clone(&self.engine), self.file.clone(), wake.clone());
        let panel = async move {
            if let Some(link) = link {
                desktop::panel(link, desktop, engine, &file, quit).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(panel);
        tokio::select! {
            () = &mut answering => {}
            () = &mut panel => {}
            () = self.reload_until_stopped(&mut watch) => {}
        }
    }

    async fn reload_until_stopped(&mut self, watch: &mut SettingsWatch) {
        while let Some(Wake::Changed) = watch.wakes.recv().await {
            sleep(RELOAD_DEBOUNCE).await;
            let mut stop = false;
            while let Ok(more) = watch.wakes.try_recv() {
                stop = stop || more == Wake::Stop;
            }
            if stop {
                break;
            }
            watch.follow().await;
            self.reload().await;
        }
        // A second request to end is obeyed at once, without waiting for sessions.
        tokio::select! {
            () = self.stop() => {}
            () = async { while !matches!(watch.wakes.recv().await, Some(Wake::Stop)) {} } => {}
        }
    }

    /// Reads the settings again. If the file is wrong, the last good settings stay in force.
    async fn reload(&mut self) {
        let file = self.file.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        match loaded {
            // Nothing changed here, but the certificate files it names may have, or the user's own providers.
            Ok(Ok(parsed)) if parsed.settings == *self.engine.settings() => {
                self.engine.vault.learn(parsed.presets.app_passwords());
                self.engine.dialer.tls.forget();
            }
            // An editor may be about to put the file back or to fill it, or it was lost by mistake: keep serving either way.
            Ok(Ok(parsed)) if (parsed.is_missing || parsed.is_blank) && !self.engine.settings().accounts.is_empty() => {
                let state = if parsed.is_missing { "gone" } else { "empty" };
                let lost = format!("the settings file {} is {state}", self.file.display());
                self.engine.events.publish(Event::SettingsRejected(vec![lost]));
            }
            Ok(Ok(parsed)) => {
                publish_warnings(&self.engine.events, &parsed);
                self.engine.vault.learn(parsed.presets.app_passwords());
                let old = self.engine.settings();
                self.engine.replace_settings(parsed.settings);
                self.listeners.apply().await;
                self.open_page().await;
                let engine = Arc::clone(&self.engine);
                // Telling is all that can be done: sessions may be under way.
                tokio::spawn(async move {
                    let _ = network_doors::check_sign_ins(&engine).await;
                    engine.tokens.look_at_changes(&old, &engine.settings()).await;
                });
            }
            Ok(Err(error)) => {
                let lines = error_chain(&error).lines().map(str::to_owned).collect();
                self.engine.events.publish(Event::SettingsRejected(lines));
            }
            // The reading panicked, and `report_panics` has told so.
            Err(_) => {}
        }
    }

    /// Opens the settings page, or moves it to the address the settings now name.
    async fn open_page(&mut self) {
        #[cfg(feature = "web")]
        if let Some(page) = &mut self.page {
            page.apply().await;
        }
    }

    fn links(&self) -> Links {
        #[cfg(feature = "web")]
        return self.page.as_ref().map(crate::desktop::page::Page::links);
        #[cfg(not(feature = "web"))]
        None
    }

    /// Lets load balancers send their clients elsewhere while the doors are still open.
    async fn tell_balancers(&self) {
        if self.has_balancer() {
            self.engine.events.publish(Event::Leaving(BALANCER_NOTICE));
            sleep(BALANCER_NOTICE).await;
        }
    }

    /// Whether a load balancer looks at `/health`, which a build without the page does not have.
    fn has_balancer(&self) -> bool {
        #[cfg(feature = "web")]
        return self.page.as_ref().is_some_and(crate::desktop::page::Page::has_balancer);
        #[cfg(not(feature = "web"))]
        false
    }

    /// Takes no new clients and ends the sessions; those in the middle of a message may finish it.
    async fn stop(&mut self) {
        let _ = os::notify_stopping();
        self.tell_balancers().await;
        // The doors first, so that no client comes in behind the ones that are counted.
        self.listeners.close();
        self.engine.stop();
        let mut busy = self.engine.busy();
        let event = Event::Stopping { busy: *busy.borrow(), limit: DRAIN_TIMEOUT };
        self.engine.events.publish(event);
        let _ = timeout(DRAIN_TIMEOUT, busy.wait_for(|n| *n == 0)).await;
    }
}

/// The settings page, which the desktop can open from now on.
#[cfg(feature = "web")]
fn make_page(
    engine: &Arc<Engine>,
    file: &Path,
    wake: &mpsc::Sender<Wake>,
    desktop: &dyn Desktop,
) -> Option<crate::desktop::page::Page> {
    let wake = wake.clone();
    // A full channel means that the settings are about to be read anyway.
    let reload = move || {
        let _ = wake.try_send(Wake::Changed);
    };
    let page = crate::desktop::page::Page::new(Arc::clone(engine), file.to_owned(), reload)?;
    desktop.set_page_links(page.links());
    Some(page)
}

fn publish_warnings(events: &Events, parsed: &Parsed) {
    for warning in &parsed.warnings {
        events.publish(Event::Warning(warning.to_string()));
    }
}

/// Reports a panic as a warning. It ends only the session whose task panicked; the others go on. A panic's message may
/// quote mail or a password, so only the source line is reported.
fn report_panics(engine: &Arc<Engine>) {
    let events = engine.events.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let warning = Event::Warning(format!("a session ended by a defect in ostler{place}; please report it"));
        let events = events.clone();
        // In a thread of its own: the panic may have happened inside `publish`, whose lock this thread then holds.
        let _ = std::thread::Builder::new().spawn(move || events.publish(warning));
    }));
}

/// Answers a request of another invocation, such as `ostler status`.
async fn answer(engine: Arc<Engine>, links: Links, wake: mpsc::Sender<Wake>, request: Request) -> serde_json::Value {
    #[cfg(feature = "web")]
    let (address, link) = links.map_or((None, None), |links| (links.address(), links.entry()));
    #[cfg(not(feature = "web"))]
    let (address, link): (Option<String>, Option<String>) = links.map_or((None, None), |never| match never {});
    match request {
        Request::Status => {}
        Request::Page => return json!({"page": address, "link": link}),
        Request::Since { seq } => return engine.events.since(seq, LONG_POLL_TIMEOUT).await,
        Request::Pause => engine.events.publish(Event::Paused),
        Request::Resume => engine.events.publish(Event::Resumed),
        Request::Quit => {
            let _ = wake.send(Wake::Stop).await;
            return json!({"ending": true, "pid": std::process::id()});
        }
        Request::ForgetSecret { account } => {
            // Also if the settings do not have the account yet, or no more.
            engine.vault.drop_cached_account(&account);
            engine.tokens.forget(&account);
            return json!({"done": true});
        }
        Request::Removed { account } => {
            engine.vault.drop_cached_account(&account);
            engine.tokens.forget(&account);
            engine.events.forget_account(&account);
            return json!({"done": true});
        }
        Request::SignedIn { account } => {
            if let Some(account) = find_account(&engine, &account) {
                engine.tokens.forget(&account.name);
                engine.events.publish(Event::SignedIn(account.name.clone()));
            }
            return json!({"done": true});
        }
        Request::SignedOut { account } => {
            if let Some(account) = find_account(&engine, &account) {
                engine.tokens.sign_out(&account);
                engine.events.publish(Event::SignedOut(account.name.clone()));
            }
            return json!({"done": true});
        }
    }
    let mut document = engine.events.document(|name| engine.account_now(name, now()));
    document["page"] = json!(address);
    document
}

fn find_account(engine: &Engine, name: &str) -> Option<Arc<Account>> {
    engine.settings().accounts.iter().find(|account| account.name.eq_ignore_ascii_case(name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "OSTLER_TEST_DEFECT";

    /// In a process of its own, because a panic hook is set for the whole process.
    #[test]
    fn a_defect_ends_the_session_it_is_in_and_tells_nothing_but_its_place() {
        if std::env::var_os(CHILD).is_some() {
            return defect();
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "app::tests::a_defect_ends_the_session_it_is_in_and_tells_nothing_but_its_place"]);
        let output = child.arg("--nocapture").env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("a session ended by a defect in ostler at src") && said.contains("app.rs:"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let manifest = include_str!("../Cargo.toml");
        assert!(!manifest.lines().any(|line| line.trim_start().starts_with("panic")), "a panic would end the program");
    }

    fn defect() {
        crate::events::log::start(crate::events::log::Format::Text, 0);
        let parsed = config::parse("", Path::new("ostler.toml")).unwrap();
        let engine = Arc::new(Engine::new(parsed.settings, Vault::new(), Events::default()));
        report_panics(&engine);
        let mut changes = engine.events.subscribe();
        changes.mark_unchanged();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = |secret: Option<&'static str>| {
                let counted = engine.count_in();
                tokio::spawn(async move {
                    let _counted = counted;
                    tokio::task::yield_now().await;
                    assert!(secret.is_none(), "{secret:?}");
                })
            };
            let (good, bad, next) = (session(None), session(Some("hunter2")), session(None));
            assert!(good.await.is_ok());
            assert!(bad.await.is_err_and(|error| error.is_panic()));
            assert!(next.await.is_ok());
            assert_eq!(*engine.busy().borrow(), 0);
            changes.changed().await.unwrap();
        });
    }
}
