//! The menu and the icon as the library has them, made to look like a [`Face`]. All of it stays in one thread.

use tokio::sync::mpsc;
use tray_icon::menu::{CheckMenuItem, IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem};
use tray_icon::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};

use super::picture::picture;
use super::{Face, Item, Wish};
use crate::events::notice::PageTarget;

/// The icon in the panel.
pub(super) struct Shown {
    icon: TrayIcon,
    lines: Vec<Line>,
    face: Face,
}

/// A line of the menu that is there.
enum Line {
    Separator,
    Plain(MenuItem),
    Switch(CheckMenuItem),
}

/// From now on clicks become wishes. A left click is the wish to see the page.
pub(super) fn hear(wishes: &mpsc::UnboundedSender<Wish>) {
    let wish = wishes.clone();
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        if let Some(wished) = Wish::of_id(&event.id.0) {
            let _ = wish.send(wished);
        }
    }));
    let wish = wishes.clone();
    TrayIconEvent::set_event_handler(Some(move |event| {
        if let TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. } = event {
            let _ = wish.send(Wish::Open(PageTarget::Start));
        }
    }));
}

impl Shown {
    /// Puts the icon into the panel.
    pub(super) fn new(face: Face) -> tray_icon::Result<Self> {
        let (menu, lines) = menu(&face.items);
        // On a panel without it a program is shown by its number.
        let builder = TrayIconBuilder::new().with_id("ostler").with_tooltip(tooltip(&face)).with_menu(Box::new(menu));
        // A title is text beside the icon on macOS, and the name of the program elsewhere.
        #[cfg(not(target_os = "macos"))]
        let builder = builder.with_title("ostler");
        let builder = builder.with_menu_on_left_click(false);
        let builder = match picture(face.sign) {
            Some(picture) => builder.with_icon(picture),
            None => builder,
        };
        Ok(Self { icon: builder.build()?, lines, face })
    }

    /// Shows this from now on. Only what is different is touched: a menu may be open.
    pub(super) fn change(&mut self, face: Face) {
        if face.sign != self.face.sign {
            log(self.icon.set_icon(picture(face.sign)));
        }
        if face.tooltip != self.face.tooltip {
            log(self.icon.set_tooltip(Some(tooltip(&face))));
        }
        if !self.retouch(&face.items) {
            let (menu, lines) = menu(&face.items);
            self.icon.set_menu(Some(Box::new(menu)));
            self.lines = lines;
        }
        self.face = face;
    }

    /// Changes the words of the lines that are there. `false`: they are other lines now.
    fn retouch(&self, items: &[Item]) -> bool {
        if !items.iter().map(wish).eq(self.face.items.iter().map(wish)) {
            return false;
        }
        for ((line, item), before) in self.lines.iter().zip(items).zip(&self.face.items) {
            match (line, item) {
                (Line::Plain(line), Item::Line { text, .. }) if item != before => line.set_text(label(text)),
                // A click has changed it already, rightly or not.
                (Line::Switch(line), Item::Switch { on, .. }) => line.set_checked(*on),
                _ => {}
            }
        }
        true
    }
}

/// What makes a line another one.
fn wish(item: &Item) -> Option<(Option<&Wish>, bool)> {
    match item {
        Item::Separator => None,
        Item::Line { wish, .. } => Some((wish.as_ref(), false)),
        Item::Switch { wish, .. } => Some((Some(wish), true)),
    }
}

fn menu(items: &[Item]) -> (Menu, Vec<Line>) {
    let menu = Menu::new();
    let mut lines = Vec::new();
    for item in items {
        let line = match item {
            Item::Separator => {
                append(&menu, &PredefinedMenuItem::separator());
                Line::Separator
            }
            Item::Line { text, wish: Some(wish) } => {
                let line = MenuItem::with_id(wish.id(), label(text), true, None);
                append(&menu, &line);
                Line::Plain(line)
            }
            Item::Line { text, wish: None } => {
                let line = MenuItem::new(label(text), false, None);
                append(&menu, &line);
                Line::Plain(line)
            }
            Item::Switch { text, wish, on } => {
                let line = CheckMenuItem::with_id(wish.id(), label(text), true, *on, None);
                append(&menu, &line);
                Line::Switch(line)
            }
        };
        lines.push(line);
    }
    (menu, lines)
}

fn append(menu: &Menu, line: &dyn IsMenuItem) {
    if let Err(error) = menu.append(line) {
        tracing::debug!("a line of the menu is missing: {error}");
    }
}

/// An `&` in a name underlines no letter.
fn label(text: &str) -> String {
    text.replace('&', "&&")
}

/// Panels on Linux show the title above it, others only this; some take it for markup, which a provider's words must not
/// become.
fn tooltip(face: &Face) -> String {
    if cfg!(any(windows, target_os = "macos")) {
        format!("ostler: {}", face.tooltip)
    } else {
        face.tooltip.replace('&', "+").replace('<', "(").replace('>', ")")
    }
}

fn log(outcome: tray_icon::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!("the icon stays as it is: {error}");
    }
}
