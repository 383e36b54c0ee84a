//! What icon, tooltip and menu say, and what a click on a line of the menu does.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::desktop::Desktop;
use crate::events::notice::PageTarget;
use crate::events::{AccountState, AccountStatus, Overview};
use ostler_mail::failure::{spoken, without_control};

/// The longest tooltip. Windows takes 127 characters, and no panel shows more.
const MAX_TOOLTIP_CHARS: usize = 110;
/// Longer account names are cut in the menu.
const MAX_NAME_CHARS: usize = 40;
/// With more accounts the menu would be taller than a small screen.
const MAX_MENU_ACCOUNTS: usize = 15;

/// Which picture the icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IconState {
    /// All is well, and no mail is moving.
    Working,
    /// Mail is moving, or accounts are being checked.
    Busy,
    /// Something waits for the user.
    NeedsYou,
    Paused,
    /// No provider could be reached the last time.
    Offline,
}

/// What the user can choose in the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MenuAction {
    /// Open the settings page.
    Open(PageTarget),
    /// Try all servers of all accounts.
    Check,
    Pause,
    Resume,
    /// Flip the start at login.
    StartAtLogin,
    Quit,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Separator,
    /// Without an action it can be read, but not clicked.
    Line {
        text: String,
        action: Option<MenuAction>,
    },
    Switch {
        text: String,
        action: MenuAction,
        on: bool,
    },
}

/// Everything the icon shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrayView {
    pub(crate) icon: IconState,
    /// One line.
    pub(crate) tooltip: String,
    /// The menu, from the top.
    pub(crate) items: Vec<Item>,
}

#[cfg(any(test, feature = "tray"))]
impl MenuAction {
    /// The id of its line in the menu.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Open(PageTarget::Start) => "settings".into(),
            Self::Open(PageTarget::Guide) => "guide".into(),
            Self::Open(PageTarget::Log) => "log".into(),
            Self::Open(PageTarget::Account(name)) => format!("account {name}"),
            Self::Open(PageTarget::SignIn(name)) => format!("sign-in {name}"),
            Self::Check => "check".into(),
            Self::Pause => "pause".into(),
            Self::Resume => "resume".into(),
            Self::StartAtLogin => "start-at-login".into(),
            Self::Quit => "quit".into(),
        }
    }

    /// The inverse of [`id`](Self::id).
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        Some(match id {
            "settings" => Self::Open(PageTarget::Start),
            "guide" => Self::Open(PageTarget::Guide),
            "log" => Self::Open(PageTarget::Log),
            "check" => Self::Check,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "start-at-login" => Self::StartAtLogin,
            "quit" => Self::Quit,
            _ => Self::Open(match (id.strip_prefix("account "), id.strip_prefix("sign-in ")) {
                (Some(name), _) => PageTarget::Account(name.to_owned()),
                (None, Some(name)) => PageTarget::SignIn(name.to_owned()),
                (None, None) => return None,
            }),
        })
    }
}

impl TrayView {
    /// `is_busy`: mail has been moving for a while. `is_checking`: accounts are being checked.
    pub(crate) fn new(now: &Overview, desktop: &dyn Desktop, is_busy: bool, is_checking: bool) -> Self {
        let icon = choose_icon(now, is_busy);
        let items = build_menu(now, desktop, is_checking);
        Self { icon, tooltip: cut(&write_tooltip(now, icon, is_checking), MAX_TOOLTIP_CHARS), items }
    }
}

fn choose_icon(now: &Overview, is_busy: bool) -> IconState {
    let needs_you = now.settings_mistake.is_some()
        || !now.shut_doors.is_empty()
        || now.accounts.iter().any(|(_, a)| a.state.needs_user());
    if now.paused {
        IconState::Paused
    } else if needs_you {
        IconState::NeedsYou
    } else if is_busy {
        IconState::Busy
    } else if now.out_of_reach {
        IconState::Offline
    } else {
        IconState::Working
    }
}

fn write_tooltip(now: &Overview, icon: IconState, is_checking: bool) -> String {
    let accounts = &now.accounts;
    if now.stopping {
        return "ostler is ending as soon as messages under way are through".into();
    }
    match icon {
        IconState::Paused => "paused: mail programs are asked to try again later".into(),
        IconState::NeedsYou => describe_need(now),
        IconState::Busy if is_checking => "checking every server".into(),
        IconState::Busy => "mail is moving".into(),
        IconState::Offline => "your mail provider cannot be reached just now".into(),
        IconState::Working if accounts.is_empty() => "there is no mail account yet".into(),
        IconState::Working if accounts.iter().any(|(_, a)| a.state == AccountState::Trouble) => {
            "trouble with a mail provider, which may pass".into()
        }
        IconState::Working => {
            match accounts.iter().filter_map(|(_, a)| a.last_fetch.as_ref().max(a.last_send.as_ref())).max() {
                Some(last) => format!("all is well, last mail at {}", format_clock(last)),
                None => "ready; no mail program has connected yet".into(),
            }
        }
    }
}

fn describe_need(now: &Overview) -> String {
    if now.settings_mistake.is_some() {
        return "the changed settings file is wrong; the last good settings stay in force".into();
    }
    if let Some((name, account)) = now.accounts.iter().find(|(_, a)| a.state.needs_user()) {
        let why = account.last_failure.as_deref().unwrap_or("the last try failed");
        return format!("{} needs you: {why}", cut(name, MAX_NAME_CHARS));
    }
    now.shut_doors.first().map_or_else(String::new, |(protocol, address, why)| {
        format!("the {} door on {address} cannot be opened: {why}", spoken(*protocol))
    })
}

fn build_menu(now: &Overview, desktop: &dyn Desktop, is_checking: bool) -> Vec<Item> {
    let line = |text: &str, action| Item::Line { text: text.to_owned(), action };
    let has_page = desktop.has_page();
    let on_page = |place| has_page.then_some(MenuAction::Open(place));
    let mut items = Vec::new();
    for (name, account) in now.accounts.iter().take(MAX_MENU_ACCOUNTS) {
        items.push(line(&write_account_line(name, account), on_page(PageTarget::Account(name.clone()))));
        if account.state == AccountState::NeedsSignIn && has_page {
            let text = format!("Sign in for {}...", cut(name, MAX_NAME_CHARS));
            items.push(line(&text, on_page(PageTarget::SignIn(name.clone()))));
        }
    }
    match now.accounts.len() {
        0 => items.push(line("No mail account yet", on_page(PageTarget::Start))),
        all @ MAX_MENU_ACCOUNTS.. if all > MAX_MENU_ACCOUNTS => {
            items.push(line(&format!("and {} more", all - MAX_MENU_ACCOUNTS), on_page(PageTarget::Start)));
        }
        _ => {}
    }
    items.push(Item::Separator);
    if !now.accounts.is_empty() {
        items.push(if is_checking { line("Checking...", None) } else { line("Check now", Some(MenuAction::Check)) });
    }
    if has_page {
        items.push(line("Settings...", on_page(PageTarget::Start)));
        items.push(line("Guide for your mail program...", on_page(PageTarget::Guide)));
    }
    items.push(if now.paused {
        line("Resume", Some(MenuAction::Resume))
    } else {
        line("Pause", Some(MenuAction::Pause))
    });
    if let Some(on) = desktop.starts_at_login() {
        items.push(Item::Switch { text: "Start at login".into(), action: MenuAction::StartAtLogin, on });
    }
    if has_page {
        items.push(line("Show log", on_page(PageTarget::Log)));
    }
    items.push(Item::Separator);
    items.push(line("Quit", Some(MenuAction::Quit)));
    items
}

fn write_account_line(name: &str, account: &AccountStatus) -> String {
    let state = match account.state {
        AccountState::Ok => "works",
        // Used before ostler was started again: the saved history knows the times.
        AccountState::Unused if account.last_fetch.is_some() || account.last_send.is_some() => "ready",
        AccountState::Unused => "not used yet",
        AccountState::Trouble => "trouble, which may pass",
        AccountState::NeedsYou => "needs you",
        AccountState::NeedsSignIn => "sign in again",
    };
    let mut text = format!("{}: {state}", cut(name, MAX_NAME_CHARS));
    if let Some(at) = &account.last_fetch {
        text += &format!(", fetched {}", format_clock(at));
    }
    if let Some(at) = &account.last_send {
        text += &format!(", sent {}", format_clock(at));
    }
    text
}

/// The local time of day, with the date if it is not today's.
fn format_clock(timestamp: &str) -> String {
    let Ok(then) = OffsetDateTime::parse(timestamp, &Rfc3339) else { return timestamp.to_owned() };
    // Some systems do not tell the offset while a program has several threads.
    let here = |time: OffsetDateTime| time.to_offset(UtcOffset::local_offset_at(time).unwrap_or(UtcOffset::UTC));
    let (then, now) = (here(then), here(OffsetDateTime::now_utc()));
    let clock = format!("{:02}:{:02}", then.hour(), then.minute());
    if then.date() == now.date() {
        return clock;
    }
    let month: String = then.month().to_string().chars().take(3).collect();
    format!("{} {month} {clock}", then.day())
}

/// Makes one line of the text, at most this long.
fn cut(text: &str, longest: usize) -> String {
    let text = without_control(text);
    if text.chars().count() <= longest {
        return text;
    }
    text.chars().take(longest.saturating_sub(3)).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::NoDesktop;
    use crate::events::event::timestamp;
    use ostler_mail::account::Protocol;

    /// A desktop with a page and a start at login.
    struct Full;

    impl Desktop for Full {
        fn has_page(&self) -> bool {
            true
        }

        fn starts_at_login(&self) -> Option<bool> {
            Some(true)
        }
    }

    fn account(name: &str, state: AccountState) -> (String, AccountStatus) {
        (name.to_owned(), AccountStatus { state, ..AccountStatus::default() })
    }

    fn texts(view: &TrayView) -> Vec<&str> {
        let text = |item| match item {
            &Item::Separator => "-",
            Item::Line { text, .. } | Item::Switch { text, .. } => text.as_str(),
        };
        view.items.iter().map(text).collect()
    }

    #[test]
    fn what_has_no_action_is_not_in_the_menu() {
        let now = Overview { accounts: vec![account("home", AccountState::Unused)], ..Overview::default() };
        let bare = TrayView::new(&now, &NoDesktop, false, false);
        assert_eq!(texts(&bare), ["home: not used yet", "-", "Check now", "Pause", "-", "Quit"]);
        assert!(matches!(&bare.items[0], Item::Line { action: None, .. }), "to read only");
        let full = TrayView::new(&now, &Full, false, false);
        assert_eq!(
            texts(&full),
            [
                "home: not used yet",
                "-",
                "Check now",
                "Settings...",
                "Guide for your mail program...",
                "Pause",
                "Start at login",
                "Show log",
                "-",
                "Quit"
            ]
        );
        assert!(matches!(&full.items[6], Item::Switch { on: true, .. }));
        let none = Overview { paused: true, ..Overview::default() };
        assert_eq!(
            texts(&TrayView::new(&none, &NoDesktop, false, false)),
            ["No mail account yet", "-", "Resume", "-", "Quit"]
        );
        let many = Overview { accounts: vec![account("a", AccountState::Ok); 17], ..Overview::default() };
        let view = TrayView::new(&many, &NoDesktop, false, true);
        assert_eq!(texts(&view)[14..18], ["a: works", "and 2 more", "-", "Checking..."]);
    }

    #[test]
    fn a_sign_in_that_is_needed_is_one_click_away() {
        let accounts = vec![account("home", AccountState::NeedsSignIn), account("work", AccountState::NeedsYou)];
        let now = Overview { accounts, ..Overview::default() };
        let view = TrayView::new(&now, &Full, false, false);
        assert_eq!(texts(&view)[..4], ["home: sign in again", "Sign in for home...", "work: needs you", "-"]);
        let Item::Line { action: Some(action), .. } = &view.items[1] else { panic!("{:?}", view.items[1]) };
        assert_eq!(MenuAction::from_id(&action.id()).as_ref(), Some(action));
        assert_eq!(*action, MenuAction::Open(PageTarget::SignIn("home".into())));
        assert_eq!(texts(&TrayView::new(&now, &NoDesktop, false, false))[1], "work: needs you", "without a page");
    }

    #[test]
    fn the_sign_is_the_most_important_thing() {
        let mut now = Overview { accounts: vec![account("home", AccountState::Ok)], ..Overview::default() };
        let seen = |now: &Overview, busy| {
            let view = TrayView::new(now, &NoDesktop, busy, false);
            (view.icon, view.tooltip)
        };
        assert_eq!(seen(&now, false), (IconState::Working, "ready; no mail program has connected yet".into()));
        now.out_of_reach = true;
        now.accounts[0].1.state = AccountState::Trouble;
        assert_eq!(seen(&now, false).0, IconState::Offline);
        assert_eq!(seen(&now, true).0, IconState::Busy);
        now.shut_doors.push((Protocol::Pop3, "127.0.0.1:110".parse().unwrap(), "dovecot has it".into()));
        let why = "the POP3 door on 127.0.0.1:110 cannot be opened: dovecot has it";
        assert_eq!(seen(&now, true), (IconState::NeedsYou, why.into()));
        now.accounts[0].1.state = AccountState::NeedsYou;
        now.accounts[0].1.last_failure = Some("mx refused\r\nthe sign-in; ".repeat(20));
        let (icon, tooltip) = seen(&now, true);
        assert_eq!(icon, IconState::NeedsYou);
        assert!(tooltip.starts_with("home needs you: mx refused??the"), "{tooltip}");
        assert_eq!(tooltip.chars().count(), MAX_TOOLTIP_CHARS);
        now.paused = true;
        assert_eq!(seen(&now, true).0, IconState::Paused);
    }

    #[test]
    fn times_are_the_clock_on_the_wall() {
        let now = format_clock(&timestamp());
        assert!(now.len() == 5 && now.as_bytes()[2] == b':', "{now}");
        let old = format_clock("2021-03-04T05:06:07Z");
        assert!(old.contains("Mar") && !old.contains("2021"), "{old}");
        assert_eq!(format_clock("nonsense"), "nonsense");
        let status =
            AccountStatus { state: AccountState::Ok, last_fetch: Some(timestamp()), ..AccountStatus::default() };
        assert!(write_account_line("home", &status).starts_with("home: works, fetched "));
    }

    #[test]
    fn a_wish_is_found_again_by_its_id() {
        let account = |name: &str| MenuAction::Open(PageTarget::Account(name.into()));
        let places = [PageTarget::Start, PageTarget::Guide, PageTarget::Log].map(MenuAction::Open);
        let others =
            [MenuAction::Check, MenuAction::Pause, MenuAction::Resume, MenuAction::StartAtLogin, MenuAction::Quit];
        for action in places.into_iter().chain(others).chain([account("quit"), account("a b"), account("")]) {
            assert_eq!(MenuAction::from_id(&action.id()), Some(action));
        }
        assert_eq!(MenuAction::from_id("1023"), None);
    }
}
