//! The running ostler: settings, doors, control, signals, from start to clean end. What it prints and returns is the
//! contract of `ostler run`; with an icon in the panel (`app/desktop.rs`) it is the same ostler.

mod desktop;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::config::presets::Presets;
use crate::config::{self, Parsed};
use crate::desktop::Desktop;
use crate::desktop::tray::TrayLink;
use crate::events::Events;
use crate::events::event::Event;
use crate::events::history_file::HistoryStore;
use crate::os;
use crate::os::control::{ClaimError, Instance, Listener, Request};
use crate::os::folder_watch::FolderWatch;
use crate::proxy::listeners::{Inherited, Listeners};
use crate::proxy::{Engine, now};
use crate::vault::Vault;
use ostler_mail::failure::error_chain;

/// How long sessions in the middle of a message may go on after SIGTERM.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Editors write a file in several steps; the last one counts.
const RELOAD_DEBOUNCE: Duration = Duration::from_millis(150);
/// How long a question for news is held open; less than `control.rs` gives any answer.
const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(3);
/// Where the system does not tell of changes, they are looked for this often.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is asked to end, without an icon. Notices lead to the desktop's page, if it has one.
pub fn run(file: &Path, desktop: Arc<dyn Desktop>) -> ExitCode {
    let second = |error: ClaimError| fail(&format!("{error}: {}; ostler status shows what it does", file.display()), 1);
    match Start::prepare(file, second) {
        Ok(start) => start.serve(None, desktop),
        Err((code, _)) => code,
    }
}

/// Runs until it is asked to end, with an icon in the panel. Where one runs already, its page is opened, if it has one;
/// that is a success. Has to be called on the main thread.
#[cfg(feature = "tray")]
pub fn on_desktop(file: &Path, desktop: Arc<dyn Desktop>) -> ExitCode {
    let second = |error: ClaimError| {
        if !desktop.open_page_of_running(file) {
            crate::events::log::print_error(&format!(
                "{error}: look for its icon in the panel; ostler status shows what it does"
            ));
        }
        ExitCode::SUCCESS
    };
    match Start::prepare(file, second) {
        Ok(start) => crate::desktop::tray::run_with_icon(move |link| start.serve(Some(link), desktop)),
        Err((code, why)) => {
            // Who starts a program from a menu does not see what it says.
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

/// All that can be refused is done.
struct Start {
    file: PathBuf,
    parsed: Parsed,
    instance: Instance,
    changes: Changes,
    inherited: Inherited,
}

impl Start {
    /// `second` is told where an ostler runs already. An error comes with what was said about it.
    fn prepare(file: &Path, second: impl FnOnce(ClaimError) -> ExitCode) -> Result<Self, (ExitCode, Option<String>)> {
        // First of all: it takes variables out of the environment, which no other thread may look at meanwhile.
        let inherited = os::inherited_listeners();
        if let Err(error) = os::harden() {
            tracing::debug!("{error}");
        }
        os::allow_connections();
        let refuse = |error: &dyn std::error::Error, code| {
            let why = error_chain(error);
            Err((fail(&why, code), Some(why)))
        };
        // Before the file is read, so that no change of it is missed.
        let changes = Changes::watch(file);
        let parsed = match config::load(file) {
            Ok(parsed) => parsed,
            Err(error) => return refuse(&error, 2),
        };
        match Instance::claim(file) {
            Ok(instance) => Ok(Self { file: file.to_owned(), parsed, instance, changes, inherited }),
            Err(error @ ClaimError::AlreadyRuns { .. }) => Err((second(error), None)),
            Err(error) => refuse(&error, 1),
        }
    }

    fn serve(self, link: Option<TrayLink>, desktop: Arc<dyn Desktop>) -> ExitCode {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let code = runtime.block_on(App::start(self, link, desktop));
                // A name that is still being looked up keeps nobody waiting.
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

/// Where the settings page is; none without the page.
#[cfg(feature = "web")]
type Links = Option<crate::desktop::page::Links>;
#[cfg(not(feature = "web"))]
type Links = Option<NoPage>;

/// There is none in this build.
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

/// What wakes the running ostler.
enum Wake {
    Changed,
    Stop,
}

impl App {
    async fn start(start: Start, link: Option<TrayLink>, desktop: Arc<dyn Desktop>) -> ExitCode {
        let Start { file, parsed, instance, changes, inherited } = start;
        let events = Events::default();
        let history_store = HistoryStore::start(&file, &events);
        tell_warnings(&events, &parsed);
        if parsed.is_missing {
            events.publish(Event::Warning(format!(
                "there is no settings file {} yet; the doors are open and say so",
                file.display()
            )));
        }
        let engine = Arc::new(Engine::new(parsed.settings, Vault::new(), events));
        end_sessions_not_the_program(&engine);
        let notices = engine.events.take_notices();
        tokio::spawn(desktop::notices(notices, Arc::clone(&engine), Arc::clone(&desktop)));
        #[cfg(feature = "web")]
        let page = {
            let wake = changes.wake.clone();
            // A full channel means that the settings are about to be read anyway.
            let reload = move || drop(wake.try_send(Wake::Changed));
            crate::desktop::page::Page::new(Arc::clone(&engine), file.clone(), reload)
        };
        #[cfg(feature = "web")]
        if let Some(page) = &page {
            desktop.set_page_links(page.links());
        }
        let mut app = Self {
            file,
            listeners: Listeners::new(Arc::clone(&engine), inherited),
            engine,
            #[cfg(feature = "web")]
            page,
        };
        let control = match instance.listen() {
            Ok(control) => Some(control),
            Err(error) => {
                app.engine.events.publish(Event::Warning(format!("ostler status will not work: {error}")));
                None
            }
        };
        // Somebody who looks at an icon finds out there, and a door that becomes free is opened.
        if app.listeners.apply().await.is_empty() && link.is_none() {
            return fail("ostler ends: no door could be opened", 1);
        }
        app.open_page().await;
        // Whoever waits for `ready` may send a signal the moment he reads it.
        hear_signals(&changes.wake);
        let mut out = std::io::stdout();
        let _ = writeln!(out, "ready").and_then(|()| out.flush());
        let _ = os::notify_ready();
        let history_saving = tokio::spawn(Arc::clone(&history_store).save_changes());
        app.run(control, changes, link, desktop).await;
        history_saving.abort();
        history_store.finish().await;
        drop(instance);
        ExitCode::SUCCESS
    }

    async fn run(
        &mut self,
        control: Option<Listener>,
        changes: Changes,
        link: Option<TrayLink>,
        desktop: Arc<dyn Desktop>,
    ) {
        let Changes { wake, mut woken, watcher, stamp } = changes;
        if watcher.is_none() {
            tokio::spawn(look(self.file.clone(), stamp, wake.clone()));
        }
        let warm = Arc::clone(&self.engine);
        tokio::spawn(async move { warm.dialer.tls.warm_up().await });
        let engine = Arc::clone(&self.engine);
        let (links, quit) = (self.links(), wake.clone());
        let answering = async move {
            if let Some(control) = control {
                control.serve(|request| answer(Arc::clone(&engine), links.clone(), quit.clone(), request)).await;
            }
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
        let working = async {
            while let Some(Wake::Changed) = woken.recv().await {
                sleep(RELOAD_DEBOUNCE).await;
                let mut stop = false;
                while let Ok(more) = woken.try_recv() {
                    stop = stop || matches!(more, Wake::Stop);
                }
                if stop {
                    break;
                }
                self.reload().await;
            }
            // Asked twice, it ends at once.
            tokio::select! {
                () = self.stop() => {}
                () = async { while !matches!(woken.recv().await, Some(Wake::Stop)) {} } => {}
            }
        };
        tokio::select! {
            () = &mut answering => {}
            () = &mut panel => {}
            () = working => {}
        }
    }

    /// Reads the settings again. A wrong file changes nothing.
    async fn reload(&mut self) {
        let file = self.file.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        match loaded {
            // The files it names may have changed.
            Ok(Ok(parsed)) if parsed.settings == *self.engine.settings() => self.engine.dialer.tls.forget(),
            Ok(Ok(parsed)) if parsed.is_missing && !self.engine.settings().accounts.is_empty() => {
                // Somebody is about to put it back, or made a mistake; either way the last good settings are better.
                let gone = format!("the settings file {} is gone", self.file.display());
                self.engine.events.publish(Event::SettingsWrong(vec![gone]));
            }
            Ok(Ok(parsed)) => {
                tell_warnings(&self.engine.events, &parsed);
                self.engine.replace_settings(parsed.settings);
                self.listeners.apply().await;
                self.open_page().await;
            }
            Ok(Err(error)) => {
                let lines = error_chain(&error).lines().map(str::to_owned).collect();
                self.engine.events.publish(Event::SettingsWrong(lines));
            }
            Err(_) => {}
        }
    }

    /// Opens the settings page, or moves it to where the settings now want it.
    async fn open_page(&mut self) {
        #[cfg(feature = "web")]
        if let Some(page) = &mut self.page {
            page.apply().await;
        }
    }

    /// For those who ask where the settings page is.
    fn links(&self) -> Links {
        #[cfg(feature = "web")]
        return self.page.as_ref().map(crate::desktop::page::Page::links);
        #[cfg(not(feature = "web"))]
        None
    }

    /// No new clients; sessions end, those in the middle of a message when it is through.
    async fn stop(&mut self) {
        let _ = os::notify_stopping();
        self.listeners.close();
        self.engine.stop();
        let mut busy = self.engine.busy();
        self.engine.events.publish(Event::Stopping(*busy.borrow()));
        let _ = timeout(DRAIN_TIMEOUT, busy.wait_for(|n| *n == 0)).await;
    }
}

fn tell_warnings(events: &Events, parsed: &Parsed) {
    for warning in &parsed.warnings {
        events.publish(Event::Warning(warning.to_string()));
    }
}

/// A defect ends the session it is in; the others go on. What a panic says may hold anything, so only its place is told.
fn end_sessions_not_the_program(engine: &Arc<Engine>) {
    let events = engine.events.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let warning = Event::Warning(format!("a session ended by a defect in ostler{place}; please report it"));
        let events = events.clone();
        // The defect may have been in the middle of telling something: to tell of it here would wait for itself.
        let _ = std::thread::Builder::new().spawn(move || events.publish(warning));
    }));
}

/// Answers `ostler status` and its like.
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
            if let Some(account) = engine.settings().accounts.iter().find(|a| a.name.eq_ignore_ascii_case(&account)) {
                engine.vault.drop_cached_account(account);
            }
            return json!({"done": true});
        }
    }
    let mut document = engine.events.document(|name| engine.gate_age(name, now()));
    document["page"] = json!(address);
    document
}

/// Wakes the running ostler when its settings file changes.
struct Changes {
    wake: mpsc::Sender<Wake>,
    woken: mpsc::Receiver<Wake>,
    /// Dropping it ends the watch.
    watcher: Option<FolderWatch>,
    /// How the file looked before it was read.
    stamp: Stamp,
}

/// By which a changed settings file, or file of presets beside it, is known where the system does not tell.
type Stamp = [Option<(u64, Option<std::time::SystemTime>)>; 2];

impl Changes {
    fn watch(file: &Path) -> Self {
        let (wake, woken) = mpsc::channel(8);
        let watcher = watch(file, wake.clone());
        Self { wake, woken, watcher, stamp: stamp(file) }
    }
}

fn stamp(file: &Path) -> Stamp {
    [file, &Presets::own_file(file)].map(|file| std::fs::metadata(file).ok().map(|m| (m.len(), m.modified().ok())))
}

/// Tells of changes of the settings file and of the presets beside it, or of the folder it is in: editors replace the file rather than write it.
fn watch(file: &Path, wake: mpsc::Sender<Wake>) -> Option<FolderWatch> {
    let file = std::path::absolute(file).ok()?;
    let real = file.canonicalize().unwrap_or_else(|_| file.clone());
    let presets = Presets::own_file(&file);
    let names = [file.file_name()?.to_owned(), real.file_name()?.to_owned(), presets.file_name()?.to_owned()];
    let mut folders = vec![file.parent()?, real.parent()?];
    folders.dedup();
    FolderWatch::start(&folders, move |changed| {
        // A full channel means that a change is about to be looked at anyway.
        if names.iter().any(|name| name == changed) {
            let _ = wake.try_send(Wake::Changed);
        }
    })
}

/// Looks for changes where the system does not tell of them, or the folder is not there yet.
async fn look(file: PathBuf, mut known: Stamp, wake: mpsc::Sender<Wake>) {
    loop {
        let seen = stamp(&file);
        if seen != known && wake.send(Wake::Changed).await.is_err() {
            return;
        }
        known = seen;
        sleep(FILE_POLL_INTERVAL).await;
    }
}

/// From now on SIGTERM and ctrl-C end, SIGHUP reads the settings again.
#[cfg(unix)]
fn hear_signals(wake: &mpsc::Sender<Wake>) {
    use tokio::signal::unix::{SignalKind, signal};
    for (kind, stops) in
        [(SignalKind::terminate(), true), (SignalKind::interrupt(), true), (SignalKind::hangup(), false)]
    {
        let Ok(mut signal) = signal(kind) else { continue };
        let wake = wake.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if wake.send(if stops { Wake::Stop } else { Wake::Changed }).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// From now on ctrl-C ends.
#[cfg(windows)]
fn hear_signals(wake: &mpsc::Sender<Wake>) {
    let Ok(mut signal) = tokio::signal::windows::ctrl_c() else { return };
    let wake = wake.clone();
    tokio::spawn(async move { while signal.recv().await.is_some() && wake.send(Wake::Stop).await.is_ok() {} });
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "OSTLER_TEST_DEFECT";

    /// In a process of its own, for what is told of a panic is told for the whole process.
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
        end_sessions_not_the_program(&engine);
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
