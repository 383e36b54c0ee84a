//! The icon on Linux and the BSDs: a StatusNotifierItem on the session bus, which needs no toolkit and no message loop. It
//! comes back by itself when the panel is started again.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::blocking::{Connection, MessageIterator, fdo::DBusProxy};
use zbus::names::BusName;

use super::menu::{Shown, hear};
use super::{Face, Link, Wish};

/// The panel, as the bus knows it.
const PANEL: &str = "org.kde.StatusNotifierWatcher";
/// A panel that starts at the same login as ostler may take this long.
const PANEL_PATIENCE: Duration = Duration::from_secs(10);

/// Serves with an icon beside it.
pub fn beside(serve: impl FnOnce(Link) -> ExitCode + Send + 'static) -> ExitCode {
    let (show, faces) = channel();
    let (wish, wishes) = mpsc::unbounded_channel();
    let spawned = std::thread::Builder::new().name("tray".into()).spawn(move || live(&faces, &wish));
    if let Err(error) = spawned {
        tracing::warn!("there is no icon: {error}");
    }
    serve(Link { show: Box::new(move |face| drop(show.send(face))), wishes })
}

/// Shows what comes until nothing more comes.
fn live(faces: &Receiver<Face>, wish: &mpsc::UnboundedSender<Wish>) {
    let Ok(first) = faces.recv() else { return };
    hear(wish);
    let mut shown = match Shown::new(first) {
        Ok(shown) => shown,
        Err(error) => {
            tracing::debug!("no icon: {error}");
            tracing::warn!(
                "there is no icon, because this session has no message bus (D-Bus); ostler works all the same, and \
                 ostler status shows what it does"
            );
            return;
        }
    };
    let wish = wish.clone();
    let spawned = std::thread::Builder::new().name("session".into()).spawn(move || stay_with_session(&wish));
    if let Err(error) = spawned {
        tracing::debug!("the end of the session will not be noticed: {error}");
    }
    while let Ok(mut face) = faces.recv() {
        while let Ok(newer) = faces.try_recv() {
            face = newer;
        }
        shown.change(face);
    }
}

/// Says how to get an icon where the desktop shows none, and ends ostler with the session: without this the ostler of a
/// session that is over would go on without an icon, and the next one find it running.
fn stay_with_session(wish: &mpsc::UnboundedSender<Wish>) {
    let Ok(bus) = Connection::session() else { return };
    std::thread::sleep(PANEL_PATIENCE);
    let has_panel = BusName::try_from(PANEL)
        .map_err(zbus::Error::from)
        .and_then(|name| Ok(DBusProxy::new(&bus)?.name_has_owner(name)?));
    if matches!(has_panel, Ok(false)) {
        let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        tracing::warn!("{}", how_to_get_an_icon(&desktop));
    }
    for message in MessageIterator::from(&bus) {
        if message.is_err() {
            break;
        }
    }
    tracing::info!("the session is over");
    let _ = wish.send(Wish::Quit);
}

fn how_to_get_an_icon(desktop: &str) -> String {
    let how = if desktop.split(':').any(|name| name.eq_ignore_ascii_case("gnome")) {
        "GNOME shows icons of programs once its extension AppIndicator Support is installed (Debian and Ubuntu: \
         gnome-shell-extension-appindicator) and you have signed in again"
    } else {
        "put a status tray (it may be called system tray or StatusNotifier) into your panel"
    };
    format!(
        "this desktop shows no icon of ostler: {how}; ostler works all the same, and ostler status shows what it does"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnome_is_told_of_its_extension() {
        assert!(how_to_get_an_icon("ubuntu:GNOME").contains("gnome-shell-extension-appindicator"));
        assert!(how_to_get_an_icon("XFCE").contains("into your panel"));
        assert!(how_to_get_an_icon("").contains("into your panel"));
    }
}
