//! The rest of the desktop as tray and notices see it: a settings page to open, the switch that starts ostler at login.
//! Whatever a desk does not have is in no menu.
//!
//! Not here: the icon (`tray.rs`), the notices (`notice.rs`), and what a desk does when it is asked to.

pub mod autostart;
#[cfg(feature = "web")]
pub mod page;
#[cfg(feature = "tray")]
mod show_notice;
mod system;
pub mod tray;

use std::path::Path;

use crate::events::notice::PageTarget;

#[cfg(feature = "tray")]
pub use show_notice::show as show_notice;
pub use system::Whole;
#[cfg(feature = "web")]
pub(crate) use system::no_browser;

/// What is there beside tray and notices. Its methods may block for a moment (a browser is started); they are never called
/// on the thread that serves, except those that only look: [`has_page`](Self::has_page) and
/// [`start_at_login`](Self::start_at_login).
pub trait Desk: Send + Sync {
    /// Told once, before anything else, where the page of this ostler is.
    #[cfg(feature = "web")]
    fn page_is_here(&self, _links: crate::desktop::page::Links) {}

    /// Whether there is a settings page now.
    fn has_page(&self) -> bool {
        false
    }

    /// Whether the page may open by itself, because there is no account yet. Not at login.
    fn opens_by_itself(&self) -> bool {
        true
    }

    /// Opens the page at a place. What goes wrong is the desk's to tell.
    fn open(&self, _place: &PageTarget) {}

    /// Opens the page of another ostler, the one that runs on this settings file already. `false`: it could not.
    fn open_of_running(&self, _settings_file: &Path) -> bool {
        false
    }

    /// Whether ostler starts at login; `None`: this desk cannot tell or change it.
    fn start_at_login(&self) -> Option<bool> {
        None
    }

    /// Makes it start at login, or not. An error is a sentence for the user.
    fn set_start_at_login(&self, _on: bool) -> Result<(), String> {
        Ok(())
    }
}

/// A desk with nothing on it.
#[derive(Debug)]
pub struct Bare;

impl Desk for Bare {}
