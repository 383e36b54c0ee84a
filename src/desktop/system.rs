//! The [`Desktop`] of a system: the settings page in the web browser, the start at login.

use std::path::{Path, PathBuf};
#[cfg(feature = "web")]
use std::sync::OnceLock;

use super::Desktop;
use crate::desktop::autostart;
#[cfg(all(feature = "web", feature = "tray"))]
use crate::events::notice::Notice;
#[cfg(feature = "web")]
use crate::events::notice::PageTarget;
use ostler_mail::failure::error_chain;

pub(crate) struct SystemDesktop {
    /// The settings file that ostler is to start with at login.
    file: PathBuf,
    /// Started at login: the page opens only if the user asks for it.
    is_silent: bool,
    #[cfg(feature = "web")]
    page: OnceLock<crate::desktop::page::Links>,
}

impl SystemDesktop {
    pub(crate) fn new(file: &Path, is_silent: bool) -> Self {
        Self {
            file: file.to_owned(),
            is_silent,
            #[cfg(feature = "web")]
            page: OnceLock::new(),
        }
    }
}

#[cfg(feature = "web")]
impl SystemDesktop {
    fn open_link(link: &str) -> bool {
        match webbrowser::open(link) {
            Ok(()) => true,
            Err(error) => {
                // Other people may read the log, so the token goes into the notice only.
                let address = link.split('?').next().unwrap_or(link);
                tracing::warn!("{}", no_browser(&error, address));
                tracing::warn!("ostler settings --print shows the address with the token that lets you in");
                #[cfg(feature = "tray")]
                {
                    let notice =
                        Notice::answer("No web browser could be opened", &put_by_hand(link), PageTarget::Start);
                    let _ = crate::desktop::show_notice(notice, None);
                }
                false
            }
        }
    }
}

/// The message if no web browser can be opened.
#[cfg(feature = "web")]
pub(crate) fn no_browser(error: &std::io::Error, link: &str) -> String {
    format!("no web browser could be opened: {error}. {}", put_by_hand(link))
}

#[cfg(feature = "web")]
fn put_by_hand(link: &str) -> String {
    format!("Open this address in one yourself: {link}")
}

impl Desktop for SystemDesktop {
    fn may_open_page_unasked(&self) -> bool {
        !self.is_silent
    }

    #[cfg(feature = "web")]
    fn set_page_links(&self, links: crate::desktop::page::Links) {
        let _ = self.page.set(links);
    }

    #[cfg(feature = "web")]
    fn has_page(&self) -> bool {
        self.page.get().is_some_and(|links| links.address().is_some())
    }

    #[cfg(all(feature = "web", feature = "tray"))]
    fn word_advice(&self, advice: &str) -> String {
        if self.has_page() { crate::desktop::page::on_page(advice) } else { advice.to_owned() }
    }

    #[cfg(feature = "web")]
    fn open_page(&self, target: &PageTarget) {
        if let Some(link) = self.page.get().and_then(crate::desktop::page::Links::entry) {
            Self::open_link(&format!("{link}&to={}", page_path(target)));
        }
    }

    #[cfg(all(feature = "web", feature = "tray"))]
    fn open_page_of_running(&self, settings_file: &Path) -> bool {
        // Started at login a second time: the first one runs, and there is nothing to show.
        if self.is_silent {
            return true;
        }
        let answer = crate::os::control::ask(settings_file, &crate::os::control::Request::Page);
        let link = answer.ok().flatten().and_then(|answer| answer["link"].as_str().map(str::to_owned));
        link.is_some_and(|link| Self::open_link(&link))
    }

    fn starts_at_login(&self) -> Option<bool> {
        autostart::status(&self.file).ok().map(|state| state.is_on())
    }

    fn set_start_at_login(&self, on: bool) -> Result<(), String> {
        let done = if on { autostart::on(&self.file) } else { autostart::off(&self.file) };
        done.map(drop).map_err(|error| error_chain(&error))
    }
}

/// The path of a target on the page, percent-encoded for the `to` of a link.
#[cfg(feature = "web")]
fn page_path(target: &PageTarget) -> String {
    match target {
        PageTarget::Start => "/".into(),
        PageTarget::Account(name) => format!("/account%3Faccount%3D{}", twice_encoded(name)),
        PageTarget::SignIn(name) => format!("/account%3Faccount%3D{}%23sign-in", twice_encoded(name)),
        PageTarget::Guide => "/program".into(),
        PageTarget::Log => "/log".into(),
    }
}

/// A name inside a query inside a query.
#[cfg(feature = "web")]
fn twice_encoded(name: &str) -> String {
    crate::desktop::page::percent_encode(name).replace('%', "%25")
}

#[cfg(all(test, feature = "web"))]
mod tests {
    use super::*;

    #[test]
    fn without_a_browser_the_address_is_said() {
        let said = no_browser(&std::io::Error::other("none is there"), "http://127.0.0.1:2080/?token=a");
        assert_eq!(
            said,
            "no web browser could be opened: none is there. Open this address in one yourself: http://127.0.0.1:2080/?token=a"
        );
    }

    #[test]
    fn a_place_survives_the_way_through_the_link() {
        assert_eq!(page_path(&PageTarget::Account("ann@x.net".into())), "/account%3Faccount%3Dann%2540x.net");
        assert_eq!(page_path(&PageTarget::SignIn("home".into())), "/account%3Faccount%3Dhome%23sign-in");
        assert_eq!(page_path(&PageTarget::Log), "/log");
    }
}
