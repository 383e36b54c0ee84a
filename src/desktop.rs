//! The user's desktop: the icon in the panel, notices, the settings page, the start at login. [`Desktop`] is what the icon
//! and the notices need of the rest; what a desktop does not have is left out of the menu.

pub(crate) mod autostart;
#[cfg(feature = "web")]
pub(crate) mod page;
#[cfg(feature = "tray")]
mod show_notice;
mod system;
pub(crate) mod tray;

#[cfg(feature = "tray")]
use std::path::Path;

use crate::events::notice::PageTarget;

#[cfg(feature = "tray")]
pub use show_notice::show as show_notice;
pub(crate) use system::SystemDesktop;
#[cfg(feature = "web")]
pub(crate) use system::no_browser;

/// Whether this session has a desktop, for an icon and windows.
#[cfg_attr(not(any(feature = "tray", feature = "web")), allow(dead_code))]
pub(crate) fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// What the icon and the notices can lead to. The methods may block for a moment, for instance to start a browser, so they
/// are never called on the thread that serves mail programs. The exceptions are [`has_page`](Self::has_page),
/// [`word_advice`](Self::word_advice) and [`starts_at_login`](Self::starts_at_login), which only look.
pub(crate) trait Desktop: Send + Sync {
    /// Called once, before all other methods, with the place of this ostler's page.
    #[cfg(feature = "web")]
    fn set_page_links(&self, _links: crate::desktop::page::Links) {}

    /// Whether the settings page is open now.
    fn has_page(&self) -> bool {
        false
    }

    /// Advice for a user who has the page: its buttons in place of commands for a terminal. Without a page, as it is.
    #[cfg(feature = "tray")]
    fn word_advice(&self, advice: &str) -> String {
        advice.to_owned()
    }

    /// Whether ostler may open the page by itself when there is no account yet. It may not when it was started at login.
    fn may_open_page_unasked(&self) -> bool {
        true
    }

    /// Opens the page. Reports failures itself.
    fn open_page(&self, _target: &PageTarget) {}

    /// Opens the page of the other ostler that runs on this settings file already; returns whether it could.
    #[cfg(feature = "tray")]
    fn open_page_of_running(&self, _settings_file: &Path) -> bool {
        false
    }

    /// Whether ostler starts at login; `None`: this desktop can neither tell nor change it.
    fn starts_at_login(&self) -> Option<bool> {
        None
    }

    /// Switches the start at login. An error is a sentence for the user.
    fn set_start_at_login(&self, _on: bool) -> Result<(), String> {
        Ok(())
    }
}

/// A desktop without a page and without a start at login.
#[cfg(test)]
pub(crate) struct NoDesktop;

#[cfg(test)]
impl Desktop for NoDesktop {}
