//! Follows the journal for `ostler guide --watch`: which entries concern the reader of a guide, how each is worded, and
//! when everything has worked.

use serde_json::Value;

use crate::events::journal::EntryKind;
use crate::guide::{Client, GuideValues};
use ostler_mail::account::Account;

/// One line for the user who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A step that worked.
    Good(String),
    /// Something that the user has to correct.
    Bad(String),
}

/// What an account's mail program has done so far.
#[derive(Debug)]
pub(crate) struct Watch {
    account: String,
    awaits_fetch: bool,
    awaits_send: bool,
    last: Option<Seen>,
}

impl Watch {
    /// Waits for a fetch and a send, as far as the account can do them.
    pub(crate) fn new(account: &Account, values: &GuideValues) -> Self {
        Self {
            account: account.name.clone(),
            awaits_fetch: values.can_fetch(),
            awaits_send: values.can_send(),
            last: None,
        }
    }

    /// The line for an entry of the journal; `None` if it does not concern the reader, or repeats the line before.
    pub(crate) fn see(&mut self, entry: &Value) -> Option<Seen> {
        if entry["account"].as_str().is_some_and(|account| account != self.account) {
            return None;
        }
        let text = entry["text"].as_str()?.to_owned();
        let kind = EntryKind::of(entry);
        match kind {
            EntryKind::Fetched => self.awaits_fetch = false,
            EntryKind::Sent => self.awaits_send = false,
            _ => {}
        }
        let seen = match kind {
            EntryKind::SignedIn => Seen::Good(format!("{text} as {}", self.account)),
            EntryKind::Connected | EntryKind::Fetched | EntryKind::Sent | EntryKind::Gate | EntryKind::Resumed => {
                Seen::Good(text)
            }
            // The reader changed the settings, as the guide asked, and they are in force.
            EntryKind::Settings | EntryKind::Door => Seen::Good(text),
            EntryKind::Paused | EntryKind::Stopping | EntryKind::Remark => Seen::Bad(text),
            trouble if trouble.is_trouble() => Seen::Bad(text),
            _ => return None,
        };
        // A program that retries every few seconds would fill the screen with one line.
        if self.last.as_ref() == Some(&seen) && !matches!(kind, EntryKind::Fetched | EntryKind::Sent) {
            return None;
        }
        self.last = Some(seen.clone());
        Some(seen)
    }

    /// The line for a minute in which nothing has happened.
    pub(crate) fn reminder(&self, client: &Client, values: &GuideValues) -> String {
        let value = |name| client.value(values, name).unwrap_or_default();
        let mut auth_methods = Vec::new();
        if self.awaits_fetch {
            auth_methods.push(format!("{} and port {} for incoming mail", value("pop3_host"), value("pop3_port")));
        }
        if self.awaits_send {
            auth_methods.push(format!("{} and port {} for outgoing mail", value("smtp_host"), value("smtp_port")));
        }
        format!(
            "nothing has happened for a minute: {}; your program needs {}",
            self.wanted(),
            auth_methods.join(", and ")
        )
    }

    /// Whether mail has been fetched and sent, as far as the account can.
    pub(crate) fn is_done(&self) -> bool {
        !self.awaits_fetch && !self.awaits_send
    }

    /// What the reader has to do next.
    pub(crate) fn wanted(&self) -> &'static str {
        match (self.awaits_fetch, self.awaits_send) {
            (true, true) => "fetch your mail, and send a message to yourself",
            (true, false) => "fetch your mail",
            (false, true) => "send a message to yourself",
            (false, false) => "nothing more",
        }
    }
}

/// What keeps the mail program from connecting, by the status of the running ostler: one sentence each.
/// `resume` says how to end a pause.
pub(crate) fn obstacles(status: &Value, values: &GuideValues, resume: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if status["paused"] == true {
        lines.push(format!("ostler is paused and refuses every program: {resume}"));
    }
    for (protocol, listens_on) in values.listening() {
        let address = listens_on.to_string();
        let doors = status["doors"].as_array().into_iter().flatten();
        let mut same = doors.filter(|d| d["protocol"] == protocol.name() && d["address"] == address.as_str());
        match same.next().and_then(|d| d["state"].as_str()) {
            Some("open") => {}
            Some(state) => lines.push(format!("no program can connect to {address}: {state}")),
            // The door has a port that the system chose, so its address differs.
            None if listens_on.port() == 0 => {}
            None => {
                lines.push(format!("the running ostler has no door on {address} yet: wait a moment, or restart it"))
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide::tests::{account, settings, values};
    use serde_json::json;

    fn watch() -> Watch {
        let settings = settings(12110, 12025);
        Watch::new(&account(), &values(&settings))
    }

    fn entry(kind: &str, account: Option<&str>, text: &str) -> Value {
        json!({"seq": 1, "kind": kind, "account": account, "text": text})
    }

    #[test]
    fn it_is_done_when_mail_went_both_ways() {
        let mut watch = watch();
        assert_eq!(watch.wanted(), "fetch your mail, and send a message to yourself");
        assert_eq!(watch.see(&entry("connected", None, "it came")), Some(Seen::Good("it came".into())));
        assert_eq!(watch.see(&entry("signed-in", Some("home"), "in")), Some(Seen::Good("in as home".into())));
        watch.see(&entry("fetched", Some("home"), "2 messages fetched"));
        assert!(!watch.is_done());
        assert_eq!(watch.wanted(), "send a message to yourself");
        watch.see(&entry("sent", Some("home"), "sent"));
        assert!(watch.is_done());
    }

    #[test]
    fn who_waits_is_told_what_for() {
        let settings = settings(12110, 12025);
        let mut watch = watch();
        watch.see(&entry("fetched", Some("home"), "0 messages fetched"));
        assert_eq!(
            watch.reminder(crate::guide::find("oe").unwrap(), &values(&settings)),
            "nothing has happened for a minute: send a message to yourself; your program needs 127.0.0.1 and port 12025 for \
             outgoing mail"
        );
    }

    #[test]
    fn settings_that_are_refused_are_not_as_the_guide_asked() {
        assert_eq!(watch().see(&entry("settings", None, "in force")), Some(Seen::Good("in force".into())));
        assert_eq!(watch().see(&entry("settings-wrong", None, "no key")), Some(Seen::Bad("no key".into())));
    }

    #[test]
    fn another_accounts_mail_is_not_told_and_nothing_is_told_twice_running() {
        let mut watch = watch();
        assert_eq!(watch.see(&entry("fetched", Some("work"), "2 messages fetched")), None);
        assert_eq!(watch.wanted(), "fetch your mail, and send a message to yourself");
        let wrong = entry("mistake", None, "the wrong port");
        assert_eq!(watch.see(&wrong), Some(Seen::Bad("the wrong port".into())));
        assert_eq!(watch.see(&wrong), None);
        assert_eq!(watch.see(&entry("whatever a later version has", None, "x")), None);
    }
}
