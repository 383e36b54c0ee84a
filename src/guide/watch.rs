//! What `--watch` makes of the journal: which of the things that happened concern the reader of a guide, how each is
//! said, and when there is nothing left to wait for.

use serde_json::Value;

use crate::guide::{Client, GuideValues};
use ostler_mail::account::{Account, Protocol, Settings};

/// One line for the person who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A step on the way.
    Good(String),
    /// Something to do something about.
    Bad(String),
}

/// What has been seen of an account's mail program.
#[derive(Debug)]
pub struct Watch {
    account: String,
    fetch_missing: bool,
    send_missing: bool,
    last: Option<Seen>,
}

impl Watch {
    /// Nothing seen yet; waits for what this account can do.
    pub fn new(account: &Account, values: &GuideValues) -> Self {
        Self {
            account: account.name.clone(),
            fetch_missing: values.can_fetch(),
            send_missing: values.can_send(),
            last: None,
        }
    }

    /// What an entry of the journal means to the reader; `None`: nothing, or what was said just before.
    pub fn see(&mut self, entry: &Value) -> Option<Seen> {
        if entry["account"].as_str().is_some_and(|account| account != self.account) {
            return None;
        }
        let text = entry["text"].as_str()?.to_owned();
        let kind = entry["kind"].as_str()?;
        match kind {
            "fetched" => self.fetch_missing = false,
            "sent" => self.send_missing = false,
            _ => {}
        }
        let seen = match kind {
            "signed-in" => Seen::Good(format!("{text} as {}", self.account)),
            "connected" | "fetched" | "sent" | "gate" | "resumed" => Seen::Good(text),
            "not-sent" | "failed" | "mistake" | "misuse" | "turned-away" | "paused" | "stopping" | "remark" => {
                Seen::Bad(text)
            }
            // Doors and settings change when they are told to.
            "settings" | "door" => Seen::Good(text),
            _ => return None,
        };
        // A program that tries again and again says the same again and again.
        if self.last.as_ref() == Some(&seen) && !matches!(kind, "fetched" | "sent") {
            return None;
        }
        self.last = Some(seen.clone());
        Some(seen)
    }

    /// What to say when nothing has come for a while.
    pub fn reminder(&self, client: &Client, values: &GuideValues) -> String {
        let value = |name| client.value(values, name).unwrap_or_default();
        let mut ways = Vec::new();
        if self.fetch_missing {
            ways.push(format!("for incoming mail {} and port {}", value("pop3_host"), value("pop3_port")));
        }
        if self.send_missing {
            ways.push(format!("for outgoing mail {} and port {}", value("smtp_host"), value("smtp_port")));
        }
        format!("nothing has come for a minute: {}; the program must have {}", self.wanted(), ways.join(", "))
    }

    /// Whether everything the account can do has been seen.
    pub fn is_done(&self) -> bool {
        !self.fetch_missing && !self.send_missing
    }

    /// What is still to be done, for the reader.
    pub fn wanted(&self) -> &'static str {
        match (self.fetch_missing, self.send_missing) {
            (true, true) => "fetch your mail, and send a message to yourself",
            (true, false) => "fetch your mail",
            (false, true) => "send a message to yourself",
            (false, false) => "nothing more",
        }
    }
}

/// What will keep the mail program from connecting, as far as the running ostler's status tells: one sentence each.
pub fn obstacles(status: &Value, settings: &Settings, account: &Account) -> Vec<String> {
    let mut lines = Vec::new();
    if status["paused"] == true {
        lines.push("ostler is paused and turns programs away: run ostler resume".into());
    }
    for protocol in [Protocol::Pop3, Protocol::Smtp] {
        let Some(door) = settings.door_for(protocol, account) else { continue };
        let address = door.address.to_string();
        let doors = status["doors"].as_array().into_iter().flatten();
        let mut same = doors.filter(|d| d["protocol"] == protocol.name() && d["address"] == address.as_str());
        match same.next().and_then(|d| d["state"].as_str()) {
            Some("open") => {}
            Some(state) => lines.push(format!("nobody can connect to {address}: {state}")),
            // Port 0 has another number by now.
            None if door.address.port() == 0 => {}
            None => lines.push(format!(
                "the running ostler has no door on {address} yet: wait a moment, or end it and start it again"
            )),
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
            "nothing has come for a minute: send a message to yourself; the program must have for outgoing mail 127.0.0.1 and \
             port 12025"
        );
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
