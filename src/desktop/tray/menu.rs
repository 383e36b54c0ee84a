//! Makes the icon and the menu of the crate `tray-icon` look like a [`TrayView`]. All of it must stay in one thread.

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

/// A line of the menu that is shown.
enum Line {
    Separator,
    Plain(MenuItem),
    Switch(CheckMenuItem),
}

/// From now on clicks become actions. A left click on the icon opens the page.
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
    pub(super) fn new(view: TrayView) -> tray_icon::Result<Self> {
        let (menu, lines) = build_menu(&view.items);
        // Without an id some panels show the number of the process.
        let builder =
            TrayIconBuilder::new().with_id("ostler").with_tooltip(tooltip_text(&view)).with_menu(Box::new(menu));
        // On macOS a title is text beside the icon; elsewhere it names the program.
        #[cfg(not(target_os = "macos"))]
        let builder = builder.with_title("ostler");
        // A left click opens the settings page; see `forward_clicks`.
        let builder = builder.with_menu_on_left_click(false);
        let builder = match load_icon(view.icon) {
            Some(picture) => builder.with_icon(picture),
            None => builder,
        };
        Ok(Self { icon: builder.build()?, lines, view })
    }

    /// Shows another view. Changes only what is different, because a menu that is replaced while it is open closes.
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

    /// Changes the text of the lines that are there. `false`: the menu has other lines now and must be built again.
    fn retouch(&self, items: &[Item]) -> bool {
        if !items.iter().map(item_key).eq(self.view.items.iter().map(item_key)) {
            return false;
        }
        for ((line, item), before) in self.lines.iter().zip(items).zip(&self.view.items) {
            match (line, item) {
                (Line::Plain(line), Item::Line { text, .. }) if item != before => {
                    line.set_text(escape_ampersands(text))
                }
                // Set even if it has not changed: a click has flipped the switch already, perhaps without success.
                (Line::Switch(line), Item::Switch { on, .. }) => line.set_checked(*on),
                _ => {}
            }
        }
        true
    }
}

/// Two items with the same key differ in their text only.
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

/// A single `&` would underline the next letter.
fn escape_ampersands(text: &str) -> String {
    text.replace('&', "&&")
}

/// Panels on Linux show the title above the tooltip, the others do not. Some panels take it for markup, which a provider's
/// words must not become.
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
