//! What happened lately, in order, in words for the person whose mail it is: the last few hundred things, folded from
//! events. `ostler guide CLIENT --watch` follows it; the settings page can show it as history and live.
//!
//! Not here: the state of things now (`event.rs`), protocol lines (`log.rs`). No secret and nothing out of a message gets
//! here, because no event holds any.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value, json};

use crate::events::event::{Event, SessionId, not_sent, timestamp};
use ostler_mail::account::Protocol;
use ostler_mail::failure::{spoken, without_control};

/// How many things are kept: some hours of an old program that looks for mail every few minutes.
const KEPT: usize = 500;
/// The longest text of one, in characters; providers can be talkative.
pub(crate) const LONGEST: usize = 600;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number; each one is one more than the one before, from 1 at the start of the program.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// The client's connection it belongs to, if it belongs to one.
    pub session: Option<SessionId>,
    /// The account's name, as soon as it is known.
    pub account: Option<String>,
    /// `pop3` or `smtp`.
    pub protocol: Option<&'static str>,
    /// `connected`, `signed-in`, `fetched`, `sent`, `not-sent`, `failed`, `mistake` (something is set wrongly in the mail
    /// program), `misuse` (as much, and the connection was ended), `turned-away`, `checked`, `gate`, `door`, `settings`,
    /// `remark`, `paused`, `resumed` or `stopping`.
    pub kind: &'static str,
    /// What happened and, if it was not good, what to do; one line.
    pub text: String,
}

/// The last things that happened.
#[derive(Debug, Default)]
pub struct Journal {
    last: u64,
    entries: VecDeque<Entry>,
}

/// What a session is known by.
pub type About = (Protocol, Option<String>);

impl Journal {
    /// Takes note of an event; `about` tells what is known of a session. The entry it became, if it is worth one.
    pub fn note(&mut self, event: &Event, about: impl Fn(SessionId) -> Option<About>) -> Option<&Entry> {
        let draft = draft(event)?;
        let (protocol, account) = draft.session.and_then(about).map_or((None, None), |(p, a)| (Some(p), a));
        self.last += 1;
        self.entries.push_back(Entry {
            seq: self.last,
            time: timestamp(),
            session: draft.session,
            account: draft.account.or(account),
            protocol: draft.protocol.or(protocol).map(Protocol::name),
            kind: draft.kind,
            text: without_control(&draft.text).chars().take(LONGEST).collect(),
        });
        if self.entries.len() > KEPT {
            self.entries.pop_front();
        }
        self.entries.back()
    }

    /// The number of the last thing that happened; 0: nothing yet.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Everything after `seq` that is still kept, as the control socket answers it: `{"seq": N, "entries": [..]}`, N being
    /// the number to ask after next time. `None` asks for the number alone. A number there has not been yet is from
    /// before a new start, so everything is after it.
    pub fn since(&self, seq: Option<u64>) -> Value {
        let entries: Vec<&Entry> = match seq {
            None => Vec::new(),
            Some(seq) if seq > self.last => self.entries.iter().collect(),
            Some(seq) => self.entries.iter().filter(|e| e.seq > seq).collect(),
        };
        json!({"seq": self.last, "entries": entries})
    }
}

struct Draft {
    kind: &'static str,
    text: String,
    session: Option<SessionId>,
    account: Option<String>,
    protocol: Option<Protocol>,
}

/// What is worth a line; `None`: nothing a person would miss.
fn draft(event: &Event) -> Option<Draft> {
    let plain = |kind, text: String| Draft { kind, text, session: None, account: None, protocol: None };
    let of = |session: &SessionId, kind, text| Draft { session: Some(*session), ..plain(kind, text) };
    let whose = |account: &String, protocol, kind, text| Draft {
        account: Some(account.clone()),
        protocol: Some(protocol),
        ..plain(kind, text)
    };
    Some(match event {
        Event::Settings { again: true, .. } => plain("settings", "changed settings are in force".into()),
        Event::Settings { .. } => plain("settings", "ostler has started".into()),
        Event::SettingsWrong(mistakes) => plain(
            "settings",
            format!(
                "the changed settings file is wrong, the last good settings stay in force: {}",
                mistakes.first().map_or("", String::as_str)
            ),
        ),
        Event::Remark(text) => plain("remark", text.clone()),
        Event::DoorOpen(door, address) => {
            let text = format!("the {} door on {address} is open", spoken(door.protocol));
            Draft { protocol: Some(door.protocol), account: door.account.clone(), ..plain("door", text) }
        }
        Event::DoorShut(door, why) => {
            let text = format!("the {} door on {} cannot be opened: {why}", spoken(door.protocol), door.address);
            Draft { protocol: Some(door.protocol), account: door.account.clone(), ..plain("door", text) }
        }
        Event::DoorRemoved(door) => {
            let text = format!("the {} door on {} is gone from the settings", spoken(door.protocol), door.address);
            Draft { protocol: Some(door.protocol), account: door.account.clone(), ..plain("door", text) }
        }
        Event::Began(session, protocol, _) => {
            let what = if protocol.is_outgoing() { "to send" } else { "to fetch" };
            of(session, "connected", format!("a mail program connected {what} ({})", spoken(*protocol)))
        }
        Event::SignedIn(session) => of(session, "signed-in", "it signed in".into()),
        Event::TurnedAway(protocol, _, why) => {
            Draft { protocol: Some(*protocol), ..plain("turned-away", format!("a program was not let in: {why}")) }
        }
        Event::Slipped(session, slip) => of(session, "mistake", slip.to_string()),
        Event::Misused(session, misuse) => {
            of(session, "misuse", format!("the connection of a program was ended: {misuse}"))
        }
        Event::GateOpened { account, server, how } => {
            whose(account, Protocol::Pop3, "gate", format!("login at {server} before sending: {how}"))
        }
        Event::GateHealed { account, tries } => {
            let text = format!("the provider did not let mail through at first; it did after {tries} more tries");
            whose(account, Protocol::Smtp, "gate", text)
        }
        Event::Fetched { account, messages, .. } => {
            let many = if *messages == 1 { "message" } else { "messages" };
            whose(account, Protocol::Pop3, "fetched", format!("{messages} {many} fetched"))
        }
        Event::Sent { account, recipients, .. } => {
            let many = if *recipients == 1 { "recipient" } else { "recipients" };
            whose(account, Protocol::Smtp, "sent", format!("a message sent to {recipients} {many}"))
        }
        Event::NotSent { account, why } => whose(account, Protocol::Smtp, "not-sent", not_sent(why)),
        Event::Failed(account, failure) => Draft { account: account.clone(), ..plain("failed", failure.to_string()) },
        Event::Checked { account, trouble } => {
            let text = match trouble {
                None => "checked: everything works".to_owned(),
                Some((why, _)) => format!("checked: {why}"),
            };
            Draft { account: Some(account.clone()), ..plain("checked", text) }
        }
        Event::Paused => plain("paused", "ostler is paused: new connections are asked to come back later".into()),
        Event::Resumed => plain("resumed", "ostler serves again".into()),
        Event::Stopping(_) => plain("stopping", "ostler ends".into()),
        Event::Named(..) | Event::Doing(..) | Event::Ended(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_mail::failure::Failure;

    fn sent(n: usize) -> Event {
        Event::Sent { account: "home".into(), recipients: n, octets: 1 }
    }

    #[test]
    fn the_last_ones_are_kept_and_told_from_a_number_on() {
        let mut journal = Journal::default();
        assert_eq!(journal.since(Some(0)), json!({"seq": 0, "entries": []}));
        for n in 0..KEPT + 10 {
            journal.note(&sent(n), |_| None);
        }
        assert_eq!(journal.last(), 510);
        assert_eq!(journal.since(None), json!({"seq": 510, "entries": []}));
        let all = journal.since(Some(0));
        assert_eq!(all["entries"].as_array().unwrap().len(), KEPT);
        assert_eq!(all["entries"][0]["seq"], 11);
        let new = journal.since(Some(509));
        assert_eq!(new["entries"].as_array().unwrap().len(), 1);
        assert_eq!(new["entries"][0]["text"], "a message sent to 509 recipients");
        assert_eq!(new["entries"][0]["kind"], "sent");
        assert!(new["entries"][0]["time"].as_str().unwrap().ends_with('Z'));
        // A number from before a new start.
        assert_eq!(journal.since(Some(9999)), all);
    }

    #[test]
    fn a_session_gives_its_things_account_and_protocol() {
        let mut journal = Journal::default();
        let about = |id| (id == 7).then(|| (Protocol::Pop3, Some("home".to_owned())));
        journal.note(&Event::SignedIn(7), about);
        journal.note(&Event::SignedIn(8), about);
        journal.note(&Event::Doing(7, "x"), about);
        let entries = &journal.since(Some(0))["entries"];
        assert_eq!((&entries[0]["account"], &entries[0]["protocol"]), (&json!("home"), &json!("pop3")));
        assert!(entries[1]["account"].is_null() && entries[2].is_null());
    }

    #[test]
    fn texts_are_short_and_cannot_steer_a_terminal() {
        let mut journal = Journal::default();
        let failure = Failure::UnknownAccount { given: "\u{1b}[2J".into(), known: vec!["home".into()] };
        journal.note(&Event::Failed(None, failure), |_| None);
        journal.note(&Event::NotSent { account: "home".into(), why: "\u{1b}x\n".repeat(1000) }, |_| None);
        for entry in journal.since(Some(0))["entries"].as_array().unwrap() {
            let text = entry["text"].as_str().unwrap();
            assert!(text.chars().count() <= LONGEST && !text.contains(char::is_control), "{text:?}");
        }
    }
}
