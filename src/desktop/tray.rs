//! The icon in the panel. Events change what it shows, and a click becomes a [`MenuAction`]. What icon, tooltip and menu say
//! is decided in `tray/view.rs`, which touches nothing.
//!
//! On Linux and the BSDs the icon is an object on the session bus and lives in a thread of its own. On Windows and macOS it
//! belongs to the main thread, which has to run the system's message loop, and ostler serves in a second thread. Either way
//! nothing wakes up as long as nothing happens.
//!
//! Not here: the page and the start at login (`desktop.rs`), notices (`notice.rs`), and what choosing one of them does (`app.rs`).

#[cfg(feature = "tray")]
mod menu;
#[cfg(feature = "tray")]
mod picture;
mod view;

#[cfg(all(feature = "tray", any(windows, target_os = "macos")))]
#[path = "tray/message_loop.rs"]
mod system;
#[cfg(all(feature = "tray", not(any(windows, target_os = "macos"))))]
#[path = "tray/bus.rs"]
mod system;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

#[cfg(any(test, feature = "tray"))]
pub(crate) use view::IconState;
#[cfg(feature = "tray")]
pub(crate) use view::Item;
pub(crate) use view::{MenuAction, TrayView};

use crate::desktop::Desktop;
use crate::events::Events;

#[cfg(feature = "tray")]
pub(crate) use system::run_with_icon;

/// The icon changes at most this often; otherwise it would flicker.
const MIN_UPDATE_INTERVAL: Duration = Duration::from_millis(250);
/// Sessions show after this long. A fetch that finds no mail is over before, so the icon does not move for it.
const BUSY_AFTER: Duration = Duration::from_secs(1);

/// The serving side's end of the connection to the icon.
pub(crate) struct TrayLink {
    show: Box<dyn Fn(TrayView) + Send>,
    pub(crate) actions: mpsc::UnboundedReceiver<MenuAction>,
}

/// Keeps the icon up to date until dropped. `checking` says whether accounts are being checked; its sender must outlive this
/// call.
pub(crate) async fn follow(
    show: &(dyn Fn(TrayView) + Send),
    events: Events,
    desktop: Arc<dyn Desktop>,
    mut checking: watch::Receiver<bool>,
) {
    let mut changes = events.subscribe();
    let mut shown = None;
    let mut sessions_since: Option<Instant> = None;
    loop {
        // Marked as seen before the look, so that what happens meanwhile wakes the loop again.
        changes.borrow_and_update();
        let is_checking = *checking.borrow_and_update();
        let now = events.overview();
        sessions_since = if now.sessions == 0 { None } else { sessions_since.or(Some(Instant::now())) };
        let busy_from = sessions_since.map(|since| since + BUSY_AFTER);
        let is_busy = is_checking || busy_from.is_some_and(|from| from <= Instant::now());
        let view = TrayView::new(&now, &*desktop, is_busy, is_checking);
        if shown.as_ref() != Some(&view) {
            show(view.clone());
            shown = Some(view);
        }
        let waits = busy_from.filter(|_| !is_busy);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = checking.changed() => if changed.is_err() { return },
            () = sleep_until(waits.unwrap_or_else(Instant::now)), if waits.is_some() => {}
        }
        sleep(MIN_UPDATE_INTERVAL).await;
    }
}

impl TrayLink {
    pub(crate) fn split(self) -> (Box<dyn Fn(TrayView) + Send>, mpsc::UnboundedReceiver<MenuAction>) {
        (self.show, self.actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::NoDesktop;
    use crate::events::event::Event;
    use ostler_mail::account::{Access, Protocol};

    #[tokio::test(start_paused = true)]
    async fn the_icon_moves_for_mail_and_not_for_a_look_at_an_empty_mailbox() {
        let events = Events::default();
        let accounts = vec!["home".to_owned()];
        events.publish(Event::SettingsApplied { accounts, access: Access::SameUser, is_reload: false });
        let (shown, views) = std::sync::mpsc::channel();
        let show = move |view: TrayView| shown.send(view).unwrap();
        let checking = watch::Sender::new(false);
        let following = follow(&show, events.clone(), Arc::new(NoDesktop), checking.subscribe());
        let icons = || views.try_iter().map(|view| view.icon).collect::<Vec<_>>();
        let session = async |id, length| {
            events.publish(Event::SessionStarted(id, Protocol::Pop3, "127.0.0.1:5".parse().unwrap()));
            sleep(Duration::from_millis(length)).await;
            events.publish(Event::SessionEnded(id));
            sleep(Duration::from_secs(5)).await;
        };
        let life = async {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(icons(), [IconState::Working]);
            session(1, 900).await;
            assert_eq!(icons(), []);
            session(2, 3000).await;
            assert_eq!(icons(), [IconState::Busy, IconState::Working]);
            checking.send_replace(true);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(icons(), [IconState::Busy]);
            // As long as nothing happens, nothing is redrawn.
            sleep(Duration::from_secs(1000)).await;
            assert_eq!(icons(), []);
        };
        tokio::select! {
            () = following => panic!("it follows no longer"),
            () = life => {}
        }
    }
}
