//! Shows a notice on the desktop. It is no error if the desktop shows none: the log, `ostler status` and the icon say the
//! same.

use std::thread::JoinHandle;

use crate::events::notice::Notice;

/// Shows a notice, and calls `clicked` if the user clicks on it. Works in a thread of its own, which may live as long as the
/// notice; `None` if the system has no room for one.
pub fn show(notice: Notice, clicked: Option<Box<dyn FnOnce() + Send>>) -> Option<JoinHandle<()>> {
    let work = move || {
        if let Err(error) = system::show(&notice, clicked) {
            tracing::debug!("a notice could not be shown: {error}");
        }
    };
    std::thread::Builder::new().name("notice".into()).spawn(work).ok()
}

/// `org.freedesktop.Notifications` (Desktop Notifications Specification 1.2) on the session bus.
#[cfg(not(any(windows, target_os = "macos")))]
mod system {
    use std::collections::HashMap;

    use zbus::blocking::{Connection, Proxy};
    use zbus::zvariant::Value;

    use crate::events::notice::Notice;
    use crate::os::markup::escaped;

    const SERVICE: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";

    pub(super) fn show(notice: &Notice, clicked: Option<Box<dyn FnOnce() + Send>>) -> zbus::Result<()> {
        let bus = Connection::session()?;
        let desktop = Proxy::new(&bus, SERVICE, PATH, SERVICE)?;
        let abilities: Vec<String> = desktop.call("GetCapabilities", &())?;
        let has = |what: &str| abilities.iter().any(|ability| ability == what);
        // A provider's words are text, even if they look like markup.
        let body = if has("body-markup") { escaped(&notice.body) } else { notice.body.clone() };
        let clicked = clicked.filter(|_| has("actions"));
        // The action `default` is a click on the notice itself.
        let actions: &[&str] = if clicked.is_some() { &["default", "Open"] } else { &[] };
        let hints = HashMap::from([("desktop-entry", Value::from("ostler")), ("category", Value::from("email"))]);
        // Subscribe before the notice is there, or its closing could be missed.
        let signals = desktop.receive_all_signals()?;
        // 0: it replaces no other notice. -1: the desktop decides how long it stays.
        let ours: u32 =
            desktop.call("Notify", &("ostler", 0_u32, "ostler", &notice.title, &body, actions, hints, -1_i32))?;
        let Some(clicked) = clicked else { return Ok(()) };
        for signal in signals {
            let signal = signal.header().member().map(|member| member.to_string()).map(|member| (member, signal));
            match signal {
                Some((member, signal)) if member == "ActionInvoked" => {
                    let (id, _): (u32, String) = signal.body().deserialize()?;
                    if id == ours {
                        clicked();
                        return Ok(());
                    }
                }
                Some((member, signal)) if member == "NotificationClosed" => {
                    let (id, _): (u32, u32) = signal.body().deserialize()?;
                    if id == ours {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Windows and macOS. A click has no effect yet.
#[cfg(any(windows, target_os = "macos"))]
mod system {
    use crate::events::notice::Notice;

    pub(super) fn show(
        notice: &Notice,
        _clicked: Option<Box<dyn FnOnce() + Send>>,
    ) -> Result<(), notify_rust::error::Error> {
        notify_rust::Notification::new().appname("ostler").summary(&notice.title).body(&notice.body).show().map(drop)
    }
}
