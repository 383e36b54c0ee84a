//! The rest of the desktop as tray and notices see it: a settings page to open, the switch that starts ostler at login.
//! Whatever a desktop does not have is in no menu.
//!
//! Not here: the icon (`tray.rs`), the notices (`notice.rs`), and what a desktop does when it is asked to.

pub(crate) mod autostart;
#[cfg(feature = "web")]
pub(crate) mod page;
#[cfg(feature = "tray")]
mod show_notice;
mod system;
pub(crate) mod tray;

use std::path::Path;

use crate::events::notice::PageTarget;

#[cfg(feature = "tray")]
pub use show_notice::show as show_notice;
pub(crate) use system::SystemDesktop;
#[cfg(feature = "web")]
pub(crate) use system::no_browser;

/// What is there beside tray and notices. Its methods may block for a moment (a browser is started); they are never called
/// on the thread that serves, except those that only look: [`has_page`](Self::has_page) and
/// [`starts_at_login`](Self::starts_at_login).
pub(crate) trait Desktop: Send + Sync {
    /// Told once, before anything else, where the page of this ostler is.
    #[cfg(feature = "web")]
    fn set_page_links(&self, _links: crate::desktop::page::Links) {}

    /// Whether there is a settings page now.
    fn has_page(&self) -> bool {
        false
    }

    /// Whether the page may open by itself, because there is no account yet. Not at login.
    fn may_open_page_unasked(&self) -> bool {
        true
    }

    /// Opens the page at a place. What goes wrong is the desktop's to tell.
    fn open_page(&self, _target: &PageTarget) {}

    /// Opens the page of another ostler, the one that runs on this settings file already. `false`: it could not.
    fn open_page_of_running(&self, _settings_file: &Path) -> bool {
        false
    }

    /// Whether ostler starts at login; `None`: this desktop cannot tell or change it.
    fn starts_at_login(&self) -> Option<bool> {
        None
    }

    /// Makes it start at login, or not. An error is a sentence for the user.
    fn set_start_at_login(&self, _on: bool) -> Result<(), String> {
        Ok(())
    }
}

/// A desktop without a page and without a start at login.
#[cfg(test)]
pub(crate) struct NoDesktop;

#[cfg(test)]
impl Desktop for NoDesktop {}
