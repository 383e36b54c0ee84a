//! What became of each account's last fetches and sends, and what went wrong: a few dozen items per account, and how many
//! messages came and went on each of the last days. Both survive a restart (`history_file.rs` saves them). A failure that happens again is counted in its first item, so that a program that
//! tries every minute pushes nothing out.
//!
//! Not here: everything since the start, in order (`journal.rs`); the state of things now (`status.rs`). The history holds
//! no secret and nothing from a message, because no event does.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(any(test, feature = "web"))]
use time::Date;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::events::event::Event;
use crate::events::journal::{Entry, MAX_TEXT_CHARS};
use ostler_mail::failure::without_control;

/// How many items of an account are kept: some weeks of a person's mail.
const MAX_ITEMS_PER_ACCOUNT: usize = 50;
/// Save an empty fetch at most this often, so that after a power cut "last fetch" is at most ten minutes out of date.
const EMPTY_FETCH_SAVE_INTERVAL: Duration = Duration::from_secs(600);
/// The length of the day in an RFC 3339 time.
const DAY_OCTETS: usize = "2026-01-31".len();
/// How many days of [`DayCount`]s are kept: what the overview shows.
const MAX_DAYS: usize = 30;
/// The version of the file format. An ostler leaves files of later versions alone.
const FORMAT_VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Fetched,
    Sent,
    /// The provider refused a message or a recipient, or the connection broke before it answered.
    NotSent,
    /// Anything else that went wrong.
    Failed,
    /// Something is set wrongly in the mail program.
    Mistake,
}

impl Kind {
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Fetched | Self::Sent)
    }
}

/// One thing that happened to an account, once or several times in a row. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryItem {
    /// The last time it happened.
    pub(crate) time: String,
    pub(crate) kind: Kind,
    /// What happened, on one line.
    pub(crate) text: String,
    /// What to do about it, unless the text says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// How often it happened.
    #[serde(default = "one_time")]
    pub(crate) times: u32,
    /// The first time, if it happened several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<String>,
}

fn one_time() -> u32 {
    1
}

/// The history of one account. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountHistory {
    /// Also a fetch that brought nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_fetch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_send: Option<String>,
    /// Oldest first. The file calls them `things`.
    #[serde(default, rename = "things")]
    pub(crate) items: VecDeque<HistoryItem>,
    /// The days with mail, as RFC 3339 has them, in UTC: `2026-01-31`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    days: BTreeMap<String, DayCount>,
}

/// How many messages came and went on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DayCount {
    #[serde(default)]
    fetched: u64,
    #[serde(default)]
    sent: u64,
}

/// How many messages came and went on one of the last days.
#[cfg(any(test, feature = "web"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) date: Date,
    pub(crate) fetched: u64,
    pub(crate) sent: u64,
}

impl AccountHistory {
    /// The last [`MAX_DAYS`] days up to `today`, oldest first, those without mail among them.
    #[cfg(any(test, feature = "web"))]
    pub(crate) fn traffic(&self, today: Date) -> Vec<Traffic> {
        let first = today.saturating_sub(time::Duration::days(MAX_DAYS as i64 - 1));
        let dates = std::iter::successors(Some(first), |date| date.next_day()).take(MAX_DAYS);
        dates.map(|date| self.traffic_on(date)).collect()
    }

    #[cfg(any(test, feature = "web"))]
    fn traffic_on(&self, date: Date) -> Traffic {
        let DayCount { fetched, sent } = self.days.get(&date.to_string()).copied().unwrap_or_default();
        Traffic { date, fetched, sent }
    }

    fn drop_old_days(&mut self) {
        while self.days.len() > MAX_DAYS {
            self.days.pop_first();
        }
    }

    fn count(&mut self, time: &str, more: DayCount) {
        let Some(day) = time.get(..DAY_OCTETS).filter(|_| more != DayCount::default()) else { return };
        let known = self.days.entry(day.to_owned()).or_default();
        known.fetched = known.fetched.saturating_add(more.fetched);
        known.sent = known.sent.saturating_add(more.sent);
        self.drop_old_days();
    }

    fn add(&mut self, item: HistoryItem) {
        let same = |known: &&mut HistoryItem| known.kind == item.kind && known.text == item.text;
        // Only back to the last success: the same failure after it is a new one.
        let since_good = self.items.iter_mut().rev().take_while(|known| !known.kind.is_good());
        let again = if item.kind.is_good() { None } else { since_good.into_iter().find(same) };
        match again {
            Some(known) => {
                known.first.get_or_insert_with(|| known.time.clone());
                known.times = known.times.saturating_add(1);
                known.time = item.time;
                // Keep the order of `time`: the repeated item moves to the end.
                self.items.make_contiguous().sort_by(|a, b| a.time.cmp(&b.time));
            }
            None => self.items.push_back(item),
        }
        if self.items.len() > MAX_ITEMS_PER_ACCOUNT {
            // Drop from the larger half, so that neither a bad day nor a good month pushes out all items of the other kind.
            let bad = self.items.iter().filter(|item| !item.kind.is_good()).count();
            let good_goes = bad * 2 <= self.items.len();
            if let Some(oldest) = self.items.iter().position(|item| item.kind.is_good() == good_goes) {
                self.items.remove(oldest);
            }
        }
    }

    /// Drops what ostler would not have written: the file may have been edited, and its text reaches the settings page.
    fn sanitize(mut self) -> Self {
        self.last_fetch = self.last_fetch.filter(|time| is_time(time));
        self.last_send = self.last_send.filter(|time| is_time(time));
        self.items.retain(|item| is_time(&item.time) && item.first.as_deref().is_none_or(is_time));
        for item in &mut self.items {
            item.text = to_line(&item.text);
            item.advice = item.advice.as_deref().map(to_line);
        }
        self.items.drain(..self.items.len().saturating_sub(MAX_ITEMS_PER_ACCOUNT));
        self.days.retain(|day, _| is_day(day));
        self.drop_old_days();
        self
    }
}

fn is_time(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

fn is_day(text: &str) -> bool {
    is_time(&format!("{text}T00:00:00Z"))
}

fn to_line(text: &str) -> String {
    without_control(text).chars().take(MAX_TEXT_CHARS).collect()
}

/// The history of all accounts, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    accounts: BTreeMap<String, AccountHistory>,
    /// Of accounts that the settings no longer have. Not in the file: it names nobody who is gone. They may come back, if a
    /// program was only in the middle of writing the settings.
    gone: BTreeMap<String, AccountHistory>,
    /// Grows whenever there is something to save.
    changes: u64,
    /// When `changes` grew last.
    changed_at: Option<OffsetDateTime>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    accounts: BTreeMap<String, AccountHistory>,
}

/// Why a text cannot be read as a history.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HistoryReadError {
    #[error("it is from a later version of ostler")]
    TooNew,
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl History {
    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(crate) fn from_json(text: &str) -> Result<Self, HistoryReadError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let damaged = |error: serde_json::Error| HistoryReadError::Damaged(error.to_string());
        let head: Head = serde_json::from_str(text).map_err(damaged)?;
        // The version is read alone first, because the rest of a later format may not fit.
        if head.version > FORMAT_VERSION {
            return Err(HistoryReadError::TooNew);
        }
        let document: Document = serde_json::from_str(text).map_err(damaged)?;
        let accounts = document.accounts.into_iter().map(|(name, past)| (name, past.sanitize())).collect();
        Ok(Self { accounts, ..Self::default() })
    }

    /// The text of the file; `None` if there is nothing to save.
    pub(crate) fn to_json(&self) -> Option<String> {
        if self.accounts.is_empty() {
            return None;
        }
        let document = Document { version: FORMAT_VERSION, accounts: self.accounts.clone() };
        serde_json::to_string_pretty(&document).ok().map(|text| text + "\n")
    }

    pub(crate) fn account(&self, account: &str) -> Option<&AccountHistory> {
        self.accounts.get(account)
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Adds an event, which became this entry of the journal, if it belongs to an account.
    pub(crate) fn record(&mut self, event: &Event, entry: &Entry, now: OffsetDateTime) {
        // Put the accounts aside that were removed. Not if a start finds no account at all: then the settings file is probably
        // missing by mistake, and the history must be there when it comes back.
        if let Event::SettingsApplied { accounts, is_reload, .. } = event
            && (*is_reload || !accounts.is_empty())
        {
            self.keep_only(accounts, now);
        }
        let Some(account) = &entry.account else { return };
        let Some(kind) = history_kind(event) else { return };
        let (text, advice) = match event {
            Event::Failed(_, failure) => (to_line(&failure.sentence()), Some(to_line(&failure.advice()))),
            _ => (entry.text.clone(), None),
        };
        let past = self.accounts.entry(account.clone()).or_default();
        match kind {
            Kind::Fetched => past.last_fetch = Some(entry.time.clone()),
            Kind::Sent => past.last_send = Some(entry.time.clone()),
            Kind::NotSent | Kind::Failed | Kind::Mistake => {}
        }
        if matches!(event, Event::Fetched { messages: 0, .. }) {
            // A clock that was set back says nothing about how long ago that was.
            let is_old = |last| now < last || now - last >= EMPTY_FETCH_SAVE_INTERVAL;
            if self.changed_at.is_none_or(is_old) {
                self.mark_changed(now);
            }
            return;
        }
        past.count(&entry.time, count_of(event));
        past.add(HistoryItem { time: entry.time.clone(), kind, text, advice, times: 1, first: None });
        self.mark_changed(now);
    }

    /// Forgets these accounts for good; returns whether there was anything to forget.
    pub(crate) fn forget(&mut self, accounts: &[String]) -> bool {
        let before = self.accounts.len();
        self.accounts.retain(|name, _| !accounts.contains(name));
        self.gone.retain(|name, _| !accounts.contains(name));
        self.accounts.len() < before
    }

    /// The settings have these accounts and no others.
    fn keep_only(&mut self, accounts: &[String], now: OffsetDateTime) {
        let is_there = |(name, _): &(String, AccountHistory)| accounts.contains(name);
        let (stay, go): (BTreeMap<_, _>, _) = mem::take(&mut self.accounts).into_iter().partition(is_there);
        let (come, gone): (BTreeMap<_, _>, _) = mem::take(&mut self.gone).into_iter().partition(is_there);
        if !(go.is_empty() && come.is_empty()) {
            self.mark_changed(now);
        }
        (self.accounts, self.gone) = (stay, gone);
        self.accounts.extend(come);
        self.gone.extend::<BTreeMap<_, _>>(go);
    }

    /// Keeps the history of an account under another name.
    #[cfg(feature = "web")]
    pub(crate) fn rename(&mut self, old: &str, new: &str, now: OffsetDateTime) {
        if let Some(past) = self.accounts.remove(old) {
            self.accounts.insert(new.to_owned(), past);
            self.mark_changed(now);
        }
    }

    fn mark_changed(&mut self, now: OffsetDateTime) {
        self.changes += 1;
        self.changed_at = Some(now);
    }
}

/// What an event adds to its day.
fn count_of(event: &Event) -> DayCount {
    match event {
        Event::Fetched { messages, .. } => DayCount { fetched: *messages, sent: 0 },
        Event::Sent { .. } => DayCount { fetched: 0, sent: 1 },
        _ => DayCount::default(),
    }
}

/// The kind of an event that belongs into the history.
fn history_kind(event: &Event) -> Option<Kind> {
    match event {
        Event::Fetched { .. } => Some(Kind::Fetched),
        Event::Sent { .. } => Some(Kind::Sent),
        Event::NotSent { .. } | Event::RecipientRefused { .. } => Some(Kind::NotSent),
        Event::Failed(..) | Event::AccountChecked { trouble: Some(_), .. } => Some(Kind::Failed),
        Event::ClientMisconfigured(..) | Event::ClientMisbehaved(..) => Some(Kind::Mistake),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::journal::Journal;
    use ostler_mail::failure::Failure;
    use ostler_mail::readable::Changes;

    /// A history with its journal, and a clock that moves on by a minute per event.
    #[derive(Default)]
    struct World {
        history: History,
        journal: Journal,
        minutes: i64,
    }

    impl World {
        fn happens(&mut self, event: &Event) {
            self.minutes += 1;
            let now = OffsetDateTime::UNIX_EPOCH + time::Duration::minutes(self.minutes);
            if let Some(entry) = self.journal.record(event, |_| None) {
                let entry = Entry { time: now.format(&Rfc3339).unwrap(), ..entry.clone() };
                self.history.record(event, &entry, now);
            }
        }

        fn items(&self) -> Vec<&HistoryItem> {
            self.history.account("home").map(|past| past.items.iter().collect()).unwrap_or_default()
        }
    }

    fn fetched(messages: u64) -> Event {
        Event::Fetched { account: "home".into(), messages, octets: 9, changes: Changes::default() }
    }

    fn failed(why: &str) -> Event {
        Event::NotSent { account: "home".into(), why: why.into() }
    }

    fn settings(names: &[&str]) -> Event {
        let accounts = names.iter().map(ToString::to_string).collect();
        Event::SettingsApplied { accounts, access: ostler_mail::account::Access::SameUser, is_reload: true }
    }

    #[test]
    fn an_empty_poll_each_minute_pushes_nothing_out_and_is_seldom_written_down() {
        let mut world = World::default();
        world.happens(&fetched(2));
        for _ in 0..600 {
            world.happens(&fetched(0));
        }
        assert_eq!(world.items().len(), 1);
        assert_eq!(world.items()[0].text, "2 messages fetched");
        assert_eq!(world.history.changes(), 1 + 60, "every ten minutes");
        assert_eq!(world.history.account("home").unwrap().last_fetch.as_deref(), Some("1970-01-01T10:01:00Z"));
        assert_eq!(world.history.account("home").unwrap().last_send, None);
    }

    #[test]
    fn an_empty_poll_is_written_down_though_the_clock_was_set_back() {
        let mut world = World { minutes: 60 * 24 * 365, ..World::default() };
        world.happens(&fetched(2));
        world.minutes = 0;
        world.happens(&fetched(0));
        assert_eq!(world.history.changes(), 2);
    }

    /// A file that was read while it was being written had lost accounts, and their history for good.
    #[test]
    fn an_account_that_comes_back_has_its_history_and_one_that_was_removed_has_none() {
        let mut world = World::default();
        world.happens(&settings(&["home", "work"]));
        world.happens(&fetched(2));
        world.happens(&settings(&["work"]));
        assert_eq!(world.history.to_json(), None, "the file names nobody who is gone");
        let changes = world.history.changes();
        world.happens(&settings(&["home", "work"]));
        assert!(world.history.changes() > changes && world.items().len() == 1);
        world.happens(&settings(&["work"]));
        world.history.forget(&["home".into()]);
        world.happens(&settings(&["home", "work"]));
        assert!(world.items().is_empty());
    }

    #[test]
    fn the_same_failure_again_is_one_that_happened_several_times() {
        let mut world = World::default();
        world.happens(&fetched(1));
        for _ in 0..100 {
            world.happens(&failed("x"));
            world.happens(&failed("y"));
        }
        let items = world.items();
        assert_eq!(items.len(), 3);
        assert_eq!((items[1].times, items[2].times), (100, 100));
        assert_eq!(items[2].first.as_deref(), Some("1970-01-01T00:03:00Z"));
        assert_eq!(items[2].time, "1970-01-01T03:21:00Z");
        // It worked in between, so this is a new item.
        world.happens(&fetched(1));
        world.happens(&failed("x"));
        assert_eq!(world.items().len(), 5);
        let failure = Failure::UnknownAccount { given: "x".into(), known: vec![] };
        world.happens(&Event::Failed(Some("home".into()), failure.clone()));
        let last = world.items()[5];
        assert_eq!((&last.text, last.advice.as_ref()), (&failure.sentence(), Some(&failure.advice())));
    }

    #[test]
    fn neither_good_nor_bad_things_push_out_all_others() {
        let mut world = World::default();
        (0..40).for_each(|_| world.happens(&fetched(1)));
        (0..400).for_each(|n| world.happens(&failed(&n.to_string())));
        assert_eq!(world.items().len(), MAX_ITEMS_PER_ACCOUNT);
        assert_eq!(world.items().iter().filter(|item| item.kind.is_good()).count(), MAX_ITEMS_PER_ACCOUNT / 2);
        (0..400).for_each(|_| world.happens(&fetched(1)));
        assert_eq!(world.items().iter().filter(|item| item.kind.is_good()).count(), MAX_ITEMS_PER_ACCOUNT / 2);
        assert_eq!(world.items().last().unwrap().kind, Kind::Fetched);
    }

    #[test]
    fn each_of_the_last_days_has_its_counts() {
        let mut world = World::default();
        for event in [fetched(2), fetched(0), failed("x"), fetched(3)] {
            world.happens(&event);
        }
        world.minutes += 2 * 24 * 60;
        world.happens(&Event::Sent { account: "home".into(), recipients: 9, octets: 1 });
        let date = |day| Date::from_ordinal_date(1970, day).unwrap();
        let past = world.history.account("home").unwrap();
        let seen = past.traffic(date(3));
        assert_eq!((seen.len(), seen[MAX_DAYS - 1].date), (MAX_DAYS, date(3)));
        let last: Vec<_> = seen[MAX_DAYS - 4..].iter().map(|day| (day.fetched, day.sent)).collect();
        assert_eq!(last, [(0, 0), (5, 0), (0, 0), (0, 1)]);
        assert_eq!(past.traffic(date(32))[0], Traffic { date: date(3), fetched: 0, sent: 1 });
        assert!(past.traffic(date(33)).iter().all(|day| day.fetched + day.sent == 0));
        // Only so many are kept, and an account without mail has none.
        for _ in 0..2 * MAX_DAYS {
            world.minutes += 24 * 60;
            world.happens(&fetched(1));
        }
        assert_eq!(world.history.account("home").unwrap().days.len(), MAX_DAYS);
        assert_eq!(AccountHistory::default().traffic(date(3)).len(), MAX_DAYS);
    }

    #[test]
    fn a_file_from_before_the_days_were_counted_is_read_and_strange_days_are_left_out() {
        let old = "{\"version\": 1, \"accounts\": {\"a\": {\"last_fetch\": \"2026-01-02T03:04:05Z\"}}}";
        let past = History::from_json(old).unwrap().account("a").cloned().unwrap();
        assert!(past.days.is_empty() && past.last_fetch.is_some());
        let strange = "{\"version\": 1, \"accounts\": {\"a\": {\"days\": {\"<b>\": {\"sent\": 3}, \"2026-01-02\": {\"sent\": 1}}}}}";
        let past = History::from_json(strange).unwrap().account("a").cloned().unwrap();
        assert_eq!(past.days.keys().collect::<Vec<_>>(), ["2026-01-02"]);
    }

    #[test]
    fn it_comes_back_as_it_was_and_an_account_that_is_gone_is_forgotten() {
        let mut world = World::default();
        for event in [fetched(3), failed("x"), failed("x"), fetched(0)] {
            world.happens(&event);
        }
        world.happens(&Event::Sent { account: "work".into(), recipients: 1, octets: 1 });
        let text = world.history.to_json().unwrap();
        let again = History::from_json(&text).unwrap();
        assert_eq!(again.account("home"), world.history.account("home"));
        assert_eq!(again.to_json(), Some(text));
        world.happens(&settings(&["work", "new"]));
        assert!(world.history.account("home").is_none() && world.history.account("work").is_some());
        let changes = world.history.changes();
        world.happens(&settings(&["work", "new"]));
        assert_eq!(world.history.changes(), changes, "nothing to keep");
        world.happens(&settings(&[]));
        assert_eq!(world.history.to_json(), None);
    }

    #[test]
    fn what_is_no_history_is_refused_and_what_is_strange_in_one_left_out() {
        for text in ["", "{", "[]", "{\"version\": 1}", "{\"version\": 1, \"accounts\": {\"a\": 3}}", "\0\0\0"] {
            assert!(matches!(History::from_json(text), Err(HistoryReadError::Damaged(_))), "{text}");
        }
        let newer = "{\"version\": 2, \"accounts\": [], \"more\": 1}";
        assert!(matches!(History::from_json(newer), Err(HistoryReadError::TooNew)));
        let strange = "{\"version\": 1, \"accounts\": {\"a\": {\"last_fetch\": \"<b>\", \"things\": [
            {\"time\": \"x\", \"kind\": \"sent\", \"text\": \"\"},
            {\"time\": \"2026-01-02T03:04:05Z\", \"kind\": \"sent\", \"text\": \"a\\u001b[2J\"}]}}}";
        let past = History::from_json(strange).unwrap().account("a").cloned().unwrap();
        assert_eq!((past.last_fetch, past.items.len(), past.items[0].text.as_str()), (None, 1, "a?[2J"));
    }
}
