//! The icon on Linux and the BSDs: a StatusNotifierItem on the session bus, which needs no toolkit and no message loop. It
//! comes back by itself when the panel restarts.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::blocking::{Connection, MessageIterator, fdo::DBusProxy};
use zbus::names::BusName;

use super::menu::{ShownIcon, forward_clicks};
use super::{MenuAction, TrayLink, TrayView};

/// The name on the bus by which a panel that shows such icons is known.
const WATCHER_NAME: &str = "org.kde.StatusNotifierWatcher";
/// How long a panel that starts at the same login as ostler may take.
const PANEL_START_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `serve` on this thread, with the icon in a second one.
pub(crate) fn run_with_icon(serve: impl FnOnce(TrayLink) -> ExitCode + Send + 'static) -> ExitCode {
    let (show, views) = channel();
    let (sender, actions) = mpsc::unbounded_channel();
    let spawned = std::thread::Builder::new().name("tray".into()).spawn(move || run_icon(&views, &sender));
    if let Err(error) = spawned {
        tracing::warn!("there is no icon: {error}");
    }
    serve(TrayLink { show: Box::new(move |view| drop(show.send(view))), actions })
}

/// Shows each view until the sender is gone.
fn run_icon(views: &Receiver<TrayView>, sender: &mpsc::UnboundedSender<MenuAction>) {
    let Ok(first) = views.recv() else { return };
    forward_clicks(sender);
    let mut shown = match ShownIcon::new(first) {
        Ok(shown) => shown,
        Err(error) => {
            tracing::debug!("no icon: {error}");
            tracing::warn!(
                "there is no icon, because this session has no message bus (D-Bus); ostler works without it, and \
                 ostler status shows what it is doing"
            );
            return;
        }
    };
    let sender = sender.clone();
    let spawned = std::thread::Builder::new().name("session".into()).spawn(move || quit_with_session(&sender));
    if let Err(error) = spawned {
        tracing::debug!("the end of the session will not be noticed: {error}");
    }
    while let Ok(mut view) = views.recv() {
        // Only the newest view matters.
        while let Ok(newer) = views.try_recv() {
            view = newer;
        }
        shown.change(view);
    }
}

/// Logs how to get an icon if the desktop shows none, and ends ostler when the session does. Otherwise ostler would go on
/// without an icon after the session, and the ostler of the next session would find it running.
fn quit_with_session(sender: &mpsc::UnboundedSender<MenuAction>) {
    let Ok(bus) = Connection::session() else { return };
    std::thread::sleep(PANEL_START_TIMEOUT);
    let has_panel = BusName::try_from(WATCHER_NAME)
        .map_err(zbus::Error::from)
        .and_then(|name| Ok(DBusProxy::new(&bus)?.name_has_owner(name)?));
    if matches!(has_panel, Ok(false)) {
        let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        tracing::warn!("{}", how_to_get_an_icon(&desktop));
    }
    // No message is of interest. The stream ends with the bus, and the bus with the session.
    for message in MessageIterator::from(&bus) {
        if message.is_err() {
            break;
        }
    }
    tracing::info!("the session is over");
    let _ = sender.send(MenuAction::Quit);
}

fn how_to_get_an_icon(desktop: &str) -> String {
    let how = if desktop.split(':').any(|name| name.eq_ignore_ascii_case("gnome")) {
        "GNOME shows icons of programs once its extension AppIndicator Support is installed (Debian and Ubuntu: \
         gnome-shell-extension-appindicator) and you have signed in again"
    } else {
        "put a status tray (it may be called system tray or StatusNotifier) into your panel"
    };
    format!(
        "this desktop does not show ostler's icon: {how}; ostler works without it, and ostler status shows what it is doing"
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
