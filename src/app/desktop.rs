//! What tray and notices want of the running ostler: the icon is kept as things are, wishes are granted, notices are
//! shown. Without a desktop nothing of this runs.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Wake;
use crate::config::presets::Presets;
use crate::desktop::Desk;
use crate::desktop::tray::{self, Link, Wish};
use crate::diagnose::{Doctor, Step};
use crate::events::event::Event;
use crate::events::notice::Notice;
use crate::events::notice::PageTarget;
use crate::proxy::Engine;
use ostler_mail::account::Account;

/// Serves the icon until dropped. Never ends by itself.
pub(super) async fn panel(link: Link, desk: Arc<dyn Desk>, engine: Arc<Engine>, file: &Path, wake: mpsc::Sender<Wake>) {
    let (show, mut wishes) = link.split();
    if engine.settings().accounts.is_empty() && desk.opens_by_itself() && desk.has_page() {
        open(&desk, PageTarget::Start);
    }
    let checking = watch::Sender::new(false);
    // One check at a time is enough.
    let (check, mut checks) = mpsc::channel(1);
    let following = tray::follow(&*show, engine.events.clone(), Arc::clone(&desk), checking.subscribe());
    let checks = async {
        while let Some(()) = checks.recv().await {
            checking.send_replace(true);
            let answer = check_all(&engine, file).await;
            checking.send_replace(false);
            show_notice(&engine, &desk, answer);
        }
    };
    let granting = async {
        while let Some(wish) = wishes.recv().await {
            match wish {
                Wish::Open(place) => open(&desk, place),
                Wish::Check => drop(check.try_send(())),
                Wish::Pause => engine.events.publish(Event::Paused),
                Wish::Resume => engine.events.publish(Event::Resumed),
                Wish::StartAtLogin => {
                    switch_start(&engine, &desk).await;
                    // The switch shows what has become of it.
                    checking.send_modify(|_| ());
                }
                Wish::Quit => drop(wake.send(Wake::Stop).await),
            }
        }
    };
    tokio::join!(following, checks, granting);
}

fn open(desk: &Arc<dyn Desk>, place: PageTarget) {
    let desk = Arc::clone(desk);
    tokio::task::spawn_blocking(move || desk.open(&place));
}

async fn switch_start(engine: &Engine, desk: &Arc<dyn Desk>) {
    let Some(on) = desk.start_at_login() else { return };
    let own = Arc::clone(desk);
    if let Ok(Err(why)) = tokio::task::spawn_blocking(move || own.set_start_at_login(!on)).await {
        engine.events.publish(Event::Remark(why));
    }
}

/// Shows what the user has to know, as long as ostler runs.
pub(super) async fn notices(mut notices: mpsc::UnboundedReceiver<Notice>, engine: Arc<Engine>, desk: Arc<dyn Desk>) {
    while let Some(notice) = notices.recv().await {
        show_notice(&engine, &desk, notice);
    }
}

#[cfg(feature = "tray")]
fn show_notice(engine: &Engine, desk: &Arc<dyn Desk>, notice: Notice) {
    if !notice.is_answer && !engine.settings().notices {
        return;
    }
    let (desk, place) = (Arc::clone(desk), notice.place.clone());
    let has_page = desk.has_page();
    let clicked: Box<dyn FnOnce() + Send> = Box::new(move || desk.open(&place));
    crate::desktop::show_notice(notice, has_page.then_some(clicked));
}

#[cfg(not(feature = "tray"))]
fn show_notice(_engine: &Engine, _desk: &Arc<dyn Desk>, _notice: Notice) {}

/// Tries every server of every account, and says what came of it.
async fn check_all(engine: &Arc<Engine>, file: &Path) -> Notice {
    // A wrong file of presets was told when the settings were read.
    let presets = Presets::load(file).unwrap_or_default();
    let accounts = engine.settings().accounts.clone();
    let mut failing: Vec<(Arc<Account>, Step)> = Vec::new();
    for account in &accounts {
        let mut doctor = Doctor::new(Arc::clone(engine), Arc::clone(account), |_| ());
        doctor.set_closed_reason(presets.closed(account));
        doctor.check().await;
        let failed = doctor.into_steps().into_iter().find(|step| !step.is_ok());
        let trouble = failed.as_ref().and_then(|step| Some((words(step), step.failure.clone()?)));
        engine.events.publish(Event::Checked { account: account.name.clone(), trouble });
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
        [] if all == 1 => Notice::answer("Your mail account works", "Every server was tried.", PageTarget::Start),
        [] => Notice::answer(&format!("All {all} mail accounts work"), "Every server was tried.", PageTarget::Start),
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
