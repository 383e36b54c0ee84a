//! The stream of events: whatever happens is published once, here. Each [`Event`] becomes a line in the log, an entry of
//! the journal and the history, a notice perhaps, and is folded into the [`Status`] that `ostler status`, the tray and
//! the settings page read. Readers are never called; they ask, or wait until something changes.
//!
//! Not here: what an event is ([`crate::events::event`]), and what each reader makes of it.

pub mod event;
pub mod history;
pub mod history_file;
pub mod journal;
pub mod log;
pub mod notice;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::events::event::{Event, SessionId};
use crate::events::history::{AccountHistory, History};
use crate::events::notice::Notice;
use ostler_mail::progress::Progress;

pub use status::{AccountState, AccountStatus, Overview, Status};

/// Takes events from everywhere; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Events {
    status: Arc<Mutex<Status>>,
    /// The number of the journal's last entry, for those who wait for the next.
    journal_seq: watch::Sender<u64>,
    /// How many events there were, for those who show the state of things.
    event_count: watch::Sender<u64>,
    /// How often the history has got something to keep.
    history_version: watch::Sender<u64>,
    /// Who shows notices, if anybody does.
    notice_sender: Arc<Mutex<Option<mpsc::UnboundedSender<Notice>>>>,
}

impl Events {
    /// Tells everybody.
    pub fn publish(&self, event: Event) {
        crate::events::log::write(&event);
        let (last, version, notice) = {
            let mut status = self.lock();
            status.record(&event);
            let notice = status.notices.notice_for(&event);
            status.apply(event);
            (status.journal.last_seq(), status.history.changes(), notice)
        };
        self.history_version.send_if_modified(|known| std::mem::replace(known, version.max(*known)) < version);
        self.journal_seq.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
        self.event_count.send_modify(|count| *count = count.wrapping_add(1));
        if let Some(notice) = notice
            && let Some(sender) = &*self.notice_sender.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = sender.send(notice);
        }
    }

    /// Where a session that has begun says how far it is; read when the status is asked for.
    pub fn follow(&self, session: SessionId, progress: Arc<Progress>) {
        self.lock().follow(session, progress);
    }

    /// Wakes whoever shows the state of things at every event.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.event_count.subscribe()
    }

    /// The notices from now on; whoever took them before gets no more.
    pub fn take_notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, notices) = mpsc::unbounded_channel();
        *self.notice_sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        notices
    }

    /// What the tray shows.
    pub fn overview(&self) -> Overview {
        self.lock().overview()
    }

    /// What happened after `seq` (see [`Journal::since`]). Waits up to `patience` for the first thing, unless there is
    /// one already or `seq` is `None`.
    pub async fn since(&self, seq: Option<u64>, patience: Duration) -> Value {
        let mut seqs = self.journal_seq.subscribe();
        if let Some(seq) = seq {
            let _ = timeout(patience, seqs.wait_for(|last| *last != seq)).await;
        }
        self.lock().journal.since(seq)
    }

    /// The document of `ostler status`; `gate_age` tells how many seconds old an account's POP login is.
    pub fn document(&self, gate_age: impl Fn(&str) -> Option<u64>) -> Value {
        self.lock().document(gate_age)
    }

    /// Whether new clients are sent away.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// What was kept of earlier runs; before the first settings are told.
    pub fn load_history(&self, history: History) {
        self.lock().history = history;
    }

    /// Wakes whoever keeps the history.
    pub fn subscribe_history(&self) -> watch::Receiver<u64> {
        self.history_version.subscribe()
    }

    /// The history to be kept (see [`History::to_json`]).
    pub fn history_json(&self) -> Option<String> {
        self.lock().history.to_json()
    }

    /// What is known of an account's fetches and sends.
    pub fn account_history(&self, account: &str) -> Option<AccountHistory> {
        self.lock().history.account(account).cloned()
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.lock().session_count()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use ostler_mail::account::Protocol;

    #[tokio::test(start_paused = true)]
    async fn news_come_at_once_or_when_patience_ends() {
        let events = Events::default();
        let patience = Duration::from_secs(3);
        let start = tokio::time::Instant::now();
        assert_eq!(events.since(None, patience).await, json!({"seq": 0, "entries": []}));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(events.since(Some(0), patience).await["seq"], 0);
        assert_eq!(start.elapsed(), patience);
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            events.publish(Event::Began(1, Protocol::Pop3, "127.0.0.1:5".parse().unwrap()));
            // Nothing a person would miss wakes nobody.
            events.publish(Event::Doing(1, "x"));
        };
        let (news, ()) = tokio::join!(events.since(Some(0), patience), later);
        assert_eq!(start.elapsed(), Duration::from_secs(4));
        assert_eq!(news["seq"], 1);
        assert_eq!(
            (&news["entries"][0]["protocol"], &news["entries"][0]["kind"]),
            (&json!("pop3"), &json!("connected"))
        );
        events.publish(Event::Named(1, "home".into()));
        events.publish(Event::SignedIn(1));
        assert_eq!(events.since(Some(1), patience).await["entries"][0]["account"], "home");
        // From before a new start: at once, and everything.
        assert_eq!(events.since(Some(99), patience).await["entries"].as_array().map(Vec::len), Some(2));
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }
}
