//! The icon in the panel: what it says follows from events, what is clicked becomes a [`Wish`]. This file is what the rest
//! of ostler sees of it. What icon, tooltip and menu say is decided in `tray/face.rs` and touches nothing.
//!
//! On Linux and the BSDs the icon is an object on the session bus and lives in a thread of its own. On Windows and macOS
//! it belongs to the main thread, which has to run the system's message loop; there everything else runs in a second one.
//! Either way nothing wakes up as long as nothing happens.
//!
//! Not here: the page and the start at login (`desk.rs`), notices (`notice.rs`), and what granting a wish means (`app.rs`).

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

pub use view::{Face, Item, Sign, Wish};

use crate::desktop::Desk;
use crate::events::Events;

#[cfg(feature = "tray")]
pub use system::beside;

/// An icon that changes several times a second only flickers.
const CALM: Duration = Duration::from_millis(250);
/// Sessions are shown when they last this long: a look for mail that finds none is over before, and the icon stays still.
const BUSY_AFTER: Duration = Duration::from_secs(1);

/// The icon as the serving side has it.
pub struct Link {
    show: Box<dyn Fn(Face) + Send>,
    /// What the user clicks.
    pub wishes: mpsc::UnboundedReceiver<Wish>,
}

/// Whether there is a desktop to show an icon on.
pub fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(feature = "tray")
        && (cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"))
}

/// Keeps the icon as things are, until dropped. `checking` says whether accounts are being checked; its sender has to
/// stay.
pub async fn follow(
    show: &(dyn Fn(Face) + Send),
    events: Events,
    desk: Arc<dyn Desk>,
    mut checking: watch::Receiver<bool>,
) {
    let mut changes = events.subscribe();
    let mut shown = None;
    let mut sessions_since: Option<Instant> = None;
    loop {
        changes.borrow_and_update();
        let is_checking = *checking.borrow_and_update();
        let now = events.overview();
        sessions_since = if now.sessions == 0 { None } else { sessions_since.or(Some(Instant::now())) };
        let busy_from = sessions_since.map(|since| since + BUSY_AFTER);
        let is_busy = is_checking || busy_from.is_some_and(|from| from <= Instant::now());
        let face = Face::of(&now, &*desk, is_busy, is_checking);
        if shown.as_ref() != Some(&face) {
            show(face.clone());
            shown = Some(face);
        }
        let waits = busy_from.filter(|_| !is_busy);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = checking.changed() => if changed.is_err() { return },
            () = sleep_until(waits.unwrap_or_else(Instant::now)), if waits.is_some() => {}
        }
        sleep(CALM).await;
    }
}

impl Link {
    /// The two directions, for those who run at the same time.
    pub fn split(self) -> (Box<dyn Fn(Face) + Send>, mpsc::UnboundedReceiver<Wish>) {
        (self.show, self.wishes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::Bare;
    use crate::events::event::Event;
    use ostler_mail::account::{Access, Protocol};

    #[tokio::test(start_paused = true)]
    async fn the_icon_moves_for_mail_and_not_for_a_look_at_an_empty_mailbox() {
        let events = Events::default();
        let accounts = vec!["home".to_owned()];
        events.publish(Event::Settings { accounts, access: Access::SameUser, again: false });
        let (shown, faces) = std::sync::mpsc::channel();
        let show = move |face: Face| shown.send(face).unwrap();
        let checking = watch::Sender::new(false);
        let following = follow(&show, events.clone(), Arc::new(Bare), checking.subscribe());
        let signs = || faces.try_iter().map(|face| face.sign).collect::<Vec<_>>();
        let session = async |id, length| {
            events.publish(Event::Began(id, Protocol::Pop3, "127.0.0.1:5".parse().unwrap()));
            sleep(Duration::from_millis(length)).await;
            events.publish(Event::Ended(id));
            sleep(Duration::from_secs(5)).await;
        };
        let life = async {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(signs(), [Sign::Working]);
            session(1, 900).await;
            assert_eq!(signs(), []);
            session(2, 3000).await;
            assert_eq!(signs(), [Sign::Busy, Sign::Working]);
            checking.send_replace(true);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(signs(), [Sign::Busy]);
            // Nothing happens, nothing is shown.
            sleep(Duration::from_secs(1000)).await;
            assert_eq!(signs(), []);
        };
        tokio::select! {
            () = following => panic!("it follows no longer"),
            () = life => {}
        }
    }
}
