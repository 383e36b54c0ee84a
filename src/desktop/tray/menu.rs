//! The menu and the icon as the library has them, made to look like a [`TrayView`]. All of it stays in one thread.

use tokio::sync::mpsc;
use tray_icon::menu::{CheckMenuItem, IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem};
use tray_icon::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};

use super::picture::load_icon;
use super::{Item, MenuAction, TrayView};
use crate::events::notice::PageTarget;

/// The icon in the panel.
pub(super) struct ShownIcon {
    icon: TrayIcon,
    lines: Vec<Line>,
    view: TrayView,
}

/// A line of the menu that is there.
enum Line {
    Separator,
    Plain(MenuItem),
    Switch(CheckMenuItem),
}

/// From now on clicks become actions. A left click is the action to see the page.
pub(super) fn forward_clicks(actions: &mpsc::UnboundedSender<MenuAction>) {
    let sender = actions.clone();
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        if let Some(chosen) = MenuAction::from_id(&event.id.0) {
            let _ = sender.send(chosen);
        }
    }));
    let sender = actions.clone();
    TrayIconEvent::set_event_handler(Some(move |event| {
        if let TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. } = event {
            let _ = sender.send(MenuAction::Open(PageTarget::Start));
        }
    }));
}

impl ShownIcon {
    /// Puts the icon into the panel.
    pub(super) fn new(view: TrayView) -> tray_icon::Result<Self> {
        let (menu, lines) = build_menu(&view.items);
        // On a panel without it a program is shown by its number.
        let builder =
            TrayIconBuilder::new().with_id("ostler").with_tooltip(tooltip_text(&view)).with_menu(Box::new(menu));
        // A title is text beside the icon on macOS, and the name of the program elsewhere.
        #[cfg(not(target_os = "macos"))]
        let builder = builder.with_title("ostler");
        let builder = builder.with_menu_on_left_click(false);
        let builder = match load_icon(view.icon) {
            Some(picture) => builder.with_icon(picture),
            None => builder,
        };
        Ok(Self { icon: builder.build()?, lines, view })
    }

    /// Shows this from now on. Only what is different is touched: a menu may be open.
    pub(super) fn change(&mut self, view: TrayView) {
        if view.icon != self.view.icon {
            log_error(self.icon.set_icon(load_icon(view.icon)));
        }
        if view.tooltip != self.view.tooltip {
            log_error(self.icon.set_tooltip(Some(tooltip_text(&view))));
        }
        if !self.retouch(&view.items) {
            let (menu, lines) = build_menu(&view.items);
            self.icon.set_menu(Some(Box::new(menu)));
            self.lines = lines;
        }
        self.view = view;
    }

    /// Changes the words of the lines that are there. `false`: they are other lines now.
    fn retouch(&self, items: &[Item]) -> bool {
        if !items.iter().map(item_key).eq(self.view.items.iter().map(item_key)) {
            return false;
        }
        for ((line, item), before) in self.lines.iter().zip(items).zip(&self.view.items) {
            match (line, item) {
                (Line::Plain(line), Item::Line { text, .. }) if item != before => {
                    line.set_text(escape_ampersands(text))
                }
                // A click has changed it already, rightly or not.
                (Line::Switch(line), Item::Switch { on, .. }) => line.set_checked(*on),
                _ => {}
            }
        }
        true
    }
}

/// What makes a line another one.
fn item_key(item: &Item) -> Option<(Option<&MenuAction>, bool)> {
    match item {
        Item::Separator => None,
        Item::Line { action, .. } => Some((action.as_ref(), false)),
        Item::Switch { action, .. } => Some((Some(action), true)),
    }
}

fn build_menu(items: &[Item]) -> (Menu, Vec<Line>) {
    let menu = Menu::new();
    let mut lines = Vec::new();
    for item in items {
        let line = match item {
            Item::Separator => {
                append(&menu, &PredefinedMenuItem::separator());
                Line::Separator
            }
            Item::Line { text, action: Some(action) } => {
                let line = MenuItem::with_id(action.id(), escape_ampersands(text), true, None);
                append(&menu, &line);
                Line::Plain(line)
            }
            Item::Line { text, action: None } => {
                let line = MenuItem::new(escape_ampersands(text), false, None);
                append(&menu, &line);
                Line::Plain(line)
            }
            Item::Switch { text, action, on } => {
                let line = CheckMenuItem::with_id(action.id(), escape_ampersands(text), true, *on, None);
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
fn escape_ampersands(text: &str) -> String {
    text.replace('&', "&&")
}

/// Panels on Linux show the title above it, others only this; some take it for markup, which a provider's words must not
/// become.
fn tooltip_text(view: &TrayView) -> String {
    if cfg!(any(windows, target_os = "macos")) {
        format!("ostler: {}", view.tooltip)
    } else {
        view.tooltip.replace('&', "+").replace('<', "(").replace('>', ")")
    }
}

fn log_error(outcome: tray_icon::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!("the icon stays as it is: {error}");
    }
}
