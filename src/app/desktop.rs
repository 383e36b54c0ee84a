//! The desktop side of the running ostler: keeps the icon up to date, carries out what the user chooses in its menu, shows
//! notices. Without a desktop none of this runs.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Wake;
use crate::config::presets::Presets;
use crate::desktop::Desktop;
use crate::desktop::tray::{self, MenuAction, TrayLink};
use crate::diagnose::{Step, check_account};
use crate::events::event::Event;
use crate::events::notice::Notice;
use crate::events::notice::PageTarget;
use crate::proxy::Engine;
use ostler_mail::account::Account;

/// Serves the icon until dropped. Does not end by itself.
pub(super) async fn panel(
    link: TrayLink,
    desktop: Arc<dyn Desktop>,
    engine: Arc<Engine>,
    file: &Path,
    wake: mpsc::Sender<Wake>,
) {
    let (show, mut actions) = link.split();
    if engine.settings().accounts.is_empty() && desktop.may_open_page_unasked() && desktop.has_page() {
        open(&desktop, PageTarget::Start);
    }
    let checking = watch::Sender::new(false);
    // One check at a time is enough.
    let (check, mut checks) = mpsc::channel(1);
    let following = tray::follow(&*show, engine.events.clone(), Arc::clone(&desktop), checking.subscribe());
    let checks = async {
        while let Some(()) = checks.recv().await {
            checking.send_replace(true);
            let answer = check_all(&engine, file).await;
            checking.send_replace(false);
            show_notice(&engine, &desktop, answer);
        }
    };
    let granting = async {
        while let Some(action) = actions.recv().await {
            match action {
                MenuAction::Open(target) => open(&desktop, target),
                MenuAction::Check => drop(check.try_send(())),
                MenuAction::Pause => engine.events.publish(Event::Paused),
                MenuAction::Resume => engine.events.publish(Event::Resumed),
                MenuAction::StartAtLogin => {
                    switch_start(&engine, &desktop).await;
                    // Redraws the menu, so that the switch shows what has become of it.
                    checking.send_modify(|_| ());
                }
                MenuAction::Quit => drop(wake.send(Wake::Stop).await),
            }
        }
    };
    tokio::join!(following, checks, granting);
}

fn open(desktop: &Arc<dyn Desktop>, target: PageTarget) {
    let desktop = Arc::clone(desktop);
    tokio::task::spawn_blocking(move || desktop.open_page(&target));
}

async fn switch_start(engine: &Engine, desktop: &Arc<dyn Desktop>) {
    let Some(on) = desktop.starts_at_login() else { return };
    let own = Arc::clone(desktop);
    if let Ok(Err(why)) = tokio::task::spawn_blocking(move || own.set_start_at_login(!on)).await {
        engine.events.publish(Event::Warning(why));
    }
}

/// Shows every notice, as long as ostler runs.
pub(super) async fn notices(
    mut notices: mpsc::UnboundedReceiver<Notice>,
    engine: Arc<Engine>,
    desktop: Arc<dyn Desktop>,
) {
    while let Some(notice) = notices.recv().await {
        show_notice(&engine, &desktop, notice);
    }
}

#[cfg(feature = "tray")]
fn show_notice(engine: &Engine, desktop: &Arc<dyn Desktop>, mut notice: Notice) {
    if !notice.is_answer && !engine.settings().notices {
        return;
    }
    notice.body = desktop.word_advice(&notice.body);
    let (desktop, target) = (Arc::clone(desktop), notice.target.clone());
    let has_page = desktop.has_page();
    let clicked: Box<dyn FnOnce() + Send> = Box::new(move || desktop.open_page(&target));
    crate::desktop::show_notice(notice, has_page.then_some(clicked));
}

#[cfg(not(feature = "tray"))]
fn show_notice(_engine: &Engine, _desk: &Arc<dyn Desktop>, _notice: Notice) {}

/// Tries every server of every account; the notice says what works.
async fn check_all(engine: &Arc<Engine>, file: &Path) -> Notice {
    // A wrong file of presets was reported when the settings were read.
    let presets = Presets::load(file).unwrap_or_default();
    let accounts = engine.settings().accounts.clone();
    let mut failing: Vec<(Arc<Account>, Step)> = Vec::new();
    for account in &accounts {
        let steps = check_account(engine, account, presets.closed(account), |_| ()).await;
        let failed = steps.into_iter().find(|step| !step.is_ok());
        let trouble = failed.as_ref().and_then(|step| Some((words(step), step.failure.clone()?)));
        engine.events.publish(Event::AccountChecked { account: account.name.clone(), trouble });
        failing.extend(failed.map(|step| (Arc::clone(account), step)));
    }
    answer(accounts.len(), &failing)
}

fn words(step: &Step) -> String {
    match &step.advice {
        Some(advice) => format!("{}; {advice}", step.detail),
        None => step.detail.clone(),
    }
}

fn answer(all: usize, failing: &[(Arc<Account>, Step)]) -> Notice {
    match failing {
        [] if all == 1 => Notice::answer("Your mail account works", "ostler tried every server.", PageTarget::Start),
        [] => Notice::answer(&format!("All {all} mail accounts work"), "ostler tried every server.", PageTarget::Start),
        [(account, step)] => {
            let advice = step.advice.as_ref().map_or_else(String::new, |advice| format!(" What to do: {advice}."));
            let title = format!("Your mail account {} does not work", account.name);
            Notice::answer(&title, &format!("{}.{advice}", step.detail), PageTarget::Account(account.name.clone()))
        }
        several => {
            let each = several.iter().map(|(account, step)| format!("{}: {}.", account.name, step.detail));
            let title = format!("{} of {all} mail accounts do not work", several.len());
            Notice::answer(&title, &each.collect::<Vec<_>>().join(" "), PageTarget::Start)
        }
    }
}
