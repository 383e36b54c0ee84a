//! A desktop of the test's own: a session bus, and on it a real panel (xfce4-panel in Xvfb) that shows icons. What the
//! panel shows is asked for over the bus, as another panel would.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{Array, Dict, OwnedValue, Structure, Value};

use super::keyring::private_folder;
use super::process::Process;
use super::{find, folder, wait_for};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// Whether a panel can be started here.
pub fn usable() -> Result<(), String> {
    for program in ["dbus-daemon", "Xvfb", "xfce4-panel"] {
        find(program).ok_or(program)?;
    }
    Ok(())
}

/// A session bus, and a panel once that is started.
pub struct Desktop {
    panel: Option<Process>,
    screen: Option<(Process, String)>,
    bus: Option<Process>,
    address: String,
    folder: TempDir,
}

impl Desktop {
    /// A bus with nobody on it.
    pub fn bus_only() -> Self {
        let folder = folder();
        for name in ["home", "run"] {
            private_folder(&folder.path().join(name));
        }
        // The panel keeps its settings with a service of its desktop.
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}/bus</listen><standard_session_servicedirs/>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             <allow own=\"*\"/></policy></busconfig>",
            folder.path().join("run").display()
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let mut start = Command::new(find("dbus-daemon").unwrap());
        start.args(["--nofork", "--nopidfile", "--print-address=1"]);
        start.arg(format!("--config-file={}", folder.path().join("bus.conf").display()));
        start.stdout(Stdio::piped());
        let mut desktop = Self { panel: None, screen: None, bus: None, address: String::new(), folder };
        desktop.environment(&mut start);
        let mut bus = Process::start("dbus-daemon", &mut start);
        let mut address = String::new();
        BufReader::new(bus.child().stdout.take().unwrap()).read_line(&mut address).unwrap();
        desktop.address = address.trim().to_owned();
        desktop.bus = Some(bus);
        desktop
    }

    /// For `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where screenshots could be made.
    pub fn display(&self) -> &str {
        self.screen.as_ref().map_or(":no-screen", |(_, display)| display)
    }

    /// A connection of the test.
    pub fn connect(&self) -> Connection {
        Builder::address(self.address.as_str()).unwrap().build().unwrap()
    }

    /// Starts a screen of this size, whose picture is in [`picture_file`](Self::picture_file).
    pub fn start_screen(&mut self, size: &str) {
        let mut start = Command::new(find("Xvfb").unwrap());
        let depth = format!("{size}x24");
        start.args(["-displayfd", "1", "-screen", "0", &depth, "-nolisten", "tcp", "-fbdir"]).arg(self.folder.path());
        self.environment(&mut start);
        let mut screen = Process::start("Xvfb", start.stdout(Stdio::piped()));
        let mut number = String::new();
        BufReader::new(screen.child().stdout.take().unwrap()).read_line(&mut number).unwrap();
        self.screen = Some((screen, format!(":{}", number.trim())));
    }

    /// What the screen shows at this moment, in the form of the program xwd.
    pub fn picture_file(&self) -> PathBuf {
        self.folder.path().join("Xvfb_screen0")
    }

    /// The home of whoever sits here.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A program of this desktop.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
        command.args(args);
        self.environment(&mut command);
        command.env("DISPLAY", self.display()).env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }

    /// Starts the panel, and waits until it takes icons.
    pub fn start_panel(&mut self) {
        self.start_panel_changed(|_| {});
    }

    /// As [`start_panel`](Self::start_panel), with a last change to its command.
    pub fn start_panel_changed(&mut self, change: impl FnOnce(&mut Command)) {
        if self.screen.is_none() {
            self.start_screen("800x300");
        }
        let mut start = self.command("xfce4-panel", &["--disable-wm-check"]);
        change(&mut start);
        self.panel = Some(Process::start("xfce4-panel", &mut start));
        let bus = self.connect();
        wait_for("the panel", || has_owner(&bus, WATCHER).then_some(()));
    }

    /// Ends the panel, and waits until it takes no icons any more.
    pub fn stop_panel(&mut self) {
        self.panel = None;
        let bus = self.connect();
        wait_for("the end of the panel", || (!has_owner(&bus, WATCHER)).then_some(()));
    }

    /// Ends the bus, as the end of a session does.
    pub fn stop_bus(&mut self) {
        self.bus = None;
    }

    /// Waits until the panel has the icon of a process.
    pub fn wait_for_icon(&self, pid: u32) -> Icon {
        let icon = Icon::of(self.connect(), pid);
        wait_for("the icon in the panel", || self.icons().iter().any(|item| item.contains(&icon.name)).then_some(()));
        icon
    }

    /// The icons the panel has, as it names them.
    pub fn icons(&self) -> Vec<String> {
        let bus = self.connect();
        let panel = Proxy::new(&bus, WATCHER, "/StatusNotifierWatcher", WATCHER).unwrap();
        panel.get_property("RegisteredStatusNotifierItems").unwrap_or_default()
    }

    fn environment(&self, command: &mut Command) {
        let at = self.folder.path();
        command.env("HOME", at.join("home")).env("XDG_RUNTIME_DIR", at.join("run")).env("NO_AT_BRIDGE", "1");
        for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stderr(Stdio::null());
        if std::env::var_os("OSTLER_TEST_TALK").is_some() {
            command.stderr(Stdio::inherit());
        }
    }
}

fn has_owner(bus: &Connection, name: &str) -> bool {
    let names = zbus::blocking::fdo::DBusProxy::new(bus).unwrap();
    names.name_has_owner(name.try_into().unwrap()).unwrap()
}

/// Width, height and ARGB.
type Picture = (i32, i32, Vec<u8>);
/// Number, properties and lines below.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// An icon, as a panel sees it.
pub struct Icon {
    bus: Connection,
    name: String,
}

impl Icon {
    /// The icon of a process, whether a panel has it or not.
    pub fn of(bus: Connection, pid: u32) -> Self {
        let name = format!("{ITEM}-{pid}-1");
        wait_for("the icon on the bus", || has_owner(&bus, &name).then_some(()));
        Self { bus, name }
    }

    /// Whether it is on the bus.
    pub fn is_there(&self) -> bool {
        has_owner(&self.bus, &self.name)
    }

    /// Its picture: width, height and ARGB.
    pub fn picture(&self) -> Picture {
        let pictures: Vec<Picture> = self.item().get_property("IconPixmap").unwrap();
        pictures.into_iter().next().expect("a picture")
    }

    /// Title and text of the tooltip.
    pub fn tooltip(&self) -> (String, String) {
        let (_, _, title, text): (String, Vec<Picture>, String, String) = self.item().get_property("ToolTip").unwrap();
        (title, text)
    }

    /// Waits until the tooltip has these words.
    pub fn wait_for_tooltip(&self, words: &str) -> String {
        let mut last = String::new();
        wait_for(&format!("a tooltip with {words:?}"), || {
            let (_, text) = self.tooltip();
            if text != last {
                eprintln!("tooltip: {text}");
                last.clone_from(&text);
            }
            text.contains(words).then_some(text)
        })
    }

    /// A click on the icon itself.
    pub fn activate(&self) {
        let _: () = self.item().call("Activate", &(0_i32, 0_i32)).unwrap();
    }

    /// The lines of the menu from the top: number, text (empty for a separator), whether it can be clicked.
    pub fn menu(&self) -> Vec<(i32, String, bool)> {
        let (_, layout): (u32, Layout) =
            self.menu_proxy().call("GetLayout", &(0_i32, -1_i32, Vec::<String>::new())).unwrap();
        layout.2.iter().map(line).collect()
    }

    /// The texts of the menu, a separator being `-`.
    pub fn texts(&self) -> Vec<String> {
        self.menu().into_iter().map(|(_, text, _)| if text.is_empty() { "-".to_owned() } else { text }).collect()
    }

    /// Clicks the line of the menu that says this, as soon as there is one.
    pub fn click(&self, text: &str) {
        let id = wait_for(&format!("a line {text:?} in the menu"), || {
            self.menu().into_iter().find(|(_, line, is_enabled)| line == text && *is_enabled).map(|(id, ..)| id)
        });
        // After some clicks there is nobody left to answer.
        self.menu_proxy().call_noreply("Event", &(id, "clicked", Value::from(0_i32), 0_u32)).unwrap();
    }

    fn item(&self) -> Proxy<'_> {
        // What was read before is no answer.
        zbus::blocking::proxy::Builder::new(&self.bus)
            .destination(self.name.as_str())
            .unwrap()
            .path("/StatusNotifierItem")
            .unwrap()
            .interface(ITEM)
            .unwrap()
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .unwrap()
    }

    fn menu_proxy(&self) -> Proxy<'_> {
        Proxy::new(&self.bus, self.name.as_str(), "/MenuBar", MENU).unwrap()
    }
}

fn line(item: &OwnedValue) -> (i32, String, bool) {
    let fields = Structure::try_from(item.clone()).unwrap().into_fields();
    let id = i32::try_from(&fields[0]).unwrap();
    let about = Dict::try_from(fields[1].try_clone().unwrap()).unwrap();
    let text: Option<String> = about.get(&"label").unwrap();
    let enabled: Option<bool> = about.get(&"enabled").unwrap();
    assert!(Array::try_from(fields[2].try_clone().unwrap()).unwrap().is_empty(), "no menus in the menu");
    (id, text.unwrap_or_default(), enabled.unwrap_or(true))
}

/// A notice as the desktop was asked to show it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub title: String,
    pub body: String,
    pub actions: Vec<String>,
}

/// The part of a desktop that shows notices.
pub struct Notices {
    shown: Arc<Mutex<Vec<Shown>>>,
    bus: Connection,
}

struct Receiver {
    shown: Arc<Mutex<Vec<Shown>>>,
    abilities: Vec<String>,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Receiver {
    fn get_capabilities(&self) -> Vec<String> {
        self.abilities.clone()
    }

    #[allow(clippy::too_many_arguments)]
    fn notify(
        &mut self,
        _app_name: String,
        _replaces: u32,
        _icon: String,
        title: String,
        body: String,
        actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut shown = self.shown.lock().unwrap();
        shown.push(Shown { title, body, actions });
        shown.len() as u32
    }
}

impl Notices {
    /// Begins to show notices on this bus.
    pub fn on(address: &str, abilities: &[&str]) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let abilities = abilities.iter().map(|&ability| ability.to_owned()).collect();
        let receiver = Receiver { shown: Arc::clone(&shown), abilities };
        let bus = Builder::address(address)
            .and_then(|bus| bus.serve_at("/org/freedesktop/Notifications", receiver))
            .and_then(|bus| bus.name("org.freedesktop.Notifications"))
            .and_then(Builder::build)
            .unwrap();
        Self { shown, bus }
    }

    /// All there have been.
    pub fn all(&self) -> Vec<Shown> {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for the notice of this number, from 0.
    pub fn wait(&self, number: usize) -> Shown {
        wait_for("a notice", || self.all().get(number).cloned())
    }

    /// The user clicks a notice.
    pub fn click(&self, number: u32) {
        let at = "/org/freedesktop/Notifications";
        let body = (number, "default");
        self.bus.emit_signal(None::<&str>, at, "org.freedesktop.Notifications", "ActionInvoked", &body).unwrap();
    }
}
