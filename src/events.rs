//! The stream of events. Whatever happens is published here, once: each [`Event`] becomes a line of the log, an entry of
//! the journal and the history, perhaps a notice, and changes the [`Status`] that `ostler status`, the tray and the
//! settings page read. Readers are never called; they ask, or wait until something changes.
//!
//! Not here: what an event is ([`event`]), and what each reader makes of it.

pub(crate) mod event;
pub(crate) mod history;
pub(crate) mod history_file;
pub(crate) mod journal;
pub(crate) mod log;
mod log_lines;
pub mod notice;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::events::event::{Event, SessionId};
#[cfg(any(test, feature = "web"))]
use crate::events::history::AccountHistory;
use crate::events::history::History;
use crate::events::notice::Notice;
use ostler_mail::progress::Progress;

pub(crate) use status::{AccountNow, AccountState, AccountStatus, Overview, Status};
#[cfg(feature = "web")]
pub(crate) use status::{Figures, Refusals};

/// Takes events from every part of the program; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    status: Arc<Mutex<Status>>,
    /// The number of the journal's last entry. Wakes [`since`](Self::since).
    journal_seq: watch::Sender<u64>,
    /// How many events there were. Wakes the tray.
    event_count: watch::Sender<u64>,
    /// Grows when the history has something to save. Wakes the task that saves it.
    history_version: watch::Sender<u64>,
    /// Where notices go; `None`: nothing shows them.
    notice_sender: Arc<Mutex<Option<mpsc::UnboundedSender<Notice>>>>,
}

impl Events {
    pub(crate) fn publish(&self, event: Event) {
        // Outside the lock: standard error may be a pipe that is full.
        log_lines::write(&event);
        let (last, version, notice) = {
            let mut status = self.lock();
            status.record(&event);
            let notice = status.notices.notice_for(&event);
            status.apply(event);
            (status.journal.last_seq(), status.history.changes(), notice)
        };
        // Two events may come here in another order than they were recorded, so the numbers only grow.
        self.history_version.send_if_modified(|known| std::mem::replace(known, version.max(*known)) < version);
        self.journal_seq.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
        self.event_count.send_modify(|count| *count = count.wrapping_add(1));
        if let Some(notice) = notice
            && let Some(sender) = &*self.notice_sender.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = sender.send(notice);
        }
    }

    /// Connects a session with the counters that say how far its message is. They are read only when the status is
    /// asked for, so that counting octets costs no event.
    pub(crate) fn follow(&self, session: SessionId, progress: Arc<Progress>) {
        self.lock().follow(session, progress);
    }

    /// Changes at every event.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.event_count.subscribe()
    }

    /// The notices from now on. There is one receiver: an earlier one gets no more.
    pub(crate) fn take_notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, notices) = mpsc::unbounded_channel();
        *self.notice_sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        notices
    }

    pub(crate) fn overview(&self) -> Overview {
        self.lock().overview()
    }

    /// What monitoring wants to know.
    #[cfg(feature = "web")]
    pub(crate) fn figures(&self) -> Figures {
        self.lock().figures()
    }

    /// What happened after `seq` (see [`Journal::since`](journal::Journal::since)). Waits at most `limit` for the first
    /// entry, unless there is one already or `seq` is `None`.
    pub(crate) async fn since(&self, seq: Option<u64>, limit: Duration) -> Value {
        let mut seqs = self.journal_seq.subscribe();
        if let Some(seq) = seq {
            // Not `>`: after a restart the numbers begin at 1 again.
            let _ = timeout(limit, seqs.wait_for(|last| *last != seq)).await;
        }
        self.lock().journal.since(seq)
    }

    /// The document of `ostler status`; `account_now` tells what no event has told of an account.
    pub(crate) fn document(&self, account_now: impl Fn(&str) -> AccountNow) -> Value {
        self.lock().document(account_now)
    }

    /// Whether new clients are turned away.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// Puts the saved history of earlier runs in place. To be called before the first [`Event::SettingsApplied`], which gives each
    /// account its last fetch and send from there.
    pub(crate) fn load_history(&self, history: History) {
        self.lock().history = history;
    }

    /// Changes when the history has something to save.
    pub(crate) fn subscribe_history(&self) -> watch::Receiver<u64> {
        self.history_version.subscribe()
    }

    pub(crate) fn history_json(&self) -> Option<String> {
        self.lock().history.to_json()
    }

    #[cfg(any(test, feature = "web"))]
    pub(crate) fn account_history(&self, account: &str) -> Option<AccountHistory> {
        self.lock().history.account(account).cloned()
    }

    /// Keeps what is known of an account under another name. To be called before the settings with that name are applied.
    #[cfg(feature = "web")]
    pub(crate) fn rename_account(&self, old: &str, new: &str) {
        self.lock().rename_account(old, new);
    }

    /// Forgets an account that its user has removed.
    pub(crate) fn forget_account(&self, name: &str) {
        self.lock().history.forget(&[name.to_owned()]);
    }

    pub(crate) fn session_count(&self) -> usize {
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
            events.publish(Event::SessionStarted(1, Protocol::Pop3, "127.0.0.1:5".parse().unwrap()));
            // An event without an entry in the journal wakes no reader of it.
            events.publish(Event::SessionStateChanged(1, "x"));
        };
        let (news, ()) = tokio::join!(events.since(Some(0), patience), later);
        assert_eq!(start.elapsed(), Duration::from_secs(4));
        assert_eq!(news["seq"], 1);
        assert_eq!(
            (&news["entries"][0]["protocol"], &news["entries"][0]["kind"]),
            (&json!("pop3"), &json!("connected"))
        );
        events.publish(Event::AccountChosen(1, "home".into()));
        events.publish(Event::ClientSignedIn(1));
        assert_eq!(events.since(Some(1), patience).await["entries"][0]["account"], "home");
        // A number from before a restart: everything, at once.
        assert_eq!(events.since(Some(99), patience).await["entries"].as_array().map(Vec::len), Some(2));
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }
}
