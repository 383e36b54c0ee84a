//! Desktop notices, for what only the user can put right: a refused password, a wrong certificate, a door that
//! another program holds, a wrong settings file. No notice is shown for trouble that may pass by itself, for what the mail
//! program has just shown in a dialog of its own (a message that is too big, a wrong user name), or a second time for the
//! same problem until it has worked again.
//!
//! Not here: how a notice is shown (`desktop/show_notice.rs`). This file only decides and touches nothing.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;

use crate::events::event::Event;
use ostler_mail::account::Protocol;
use ostler_mail::failure::{Blame, Failure, spoken, without_control};

/// Where on the settings page a click on a notice or in the tray menu leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageTarget {
    /// The overview; with no account yet, the form to add one.
    Start,
    /// The account of this name.
    Account(String),
    /// On the page of this account, the button to sign in at the company that gives out its tokens.
    SignIn(String),
    /// The guides for mail programs.
    Guide,
    /// The log of this run.
    Log,
}

/// The longest body; desktops cut off longer ones.
const MAX_BODY_CHARS: usize = 300;

/// A notice of the desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub(crate) title: String,
    pub(crate) body: String,
    /// Where on the settings page the user can act on it.
    pub(crate) target: PageTarget,
    /// Whether it answers something the user has just asked for. Such a notice is shown even if the settings switch notices
    /// off.
    pub(crate) is_answer: bool,
}

impl Notice {
    fn new(title: String, body: &str, target: PageTarget) -> Self {
        let body = without_control(body).chars().take(MAX_BODY_CHARS).collect();
        Self { title: without_control(&title), body, target, is_answer: false }
    }

    /// The answer to something the user has asked for in the tray menu.
    pub fn answer(title: &str, body: &str, target: PageTarget) -> Self {
        Self { is_answer: true, ..Self::new(title.to_owned(), body, target) }
    }
}

/// Decides which events become a notice; remembers the problems that the user has been told of and that still exist.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    open_problems: HashSet<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Problem {
    /// An account's name, the side that has the problem (fetching or sending, if it is one of them), and the kind.
    Account(String, Option<Protocol>, Discriminant<Failure>),
    Door(Protocol, SocketAddr),
    Settings,
}

impl Notices {
    /// The notice for an event. Must be called for every event, because some of them say that a problem is over.
    pub(crate) fn notice_for(&mut self, event: &Event) -> Option<Notice> {
        match event {
            Event::Failed(Some(account), failure) => self.failure_notice(account, failure),
            Event::DoorUnavailable(door, why) if !door.is_companion => {
                let title = format!("ostler cannot open its {} door", spoken(door.protocol));
                let target = door.account.clone().map_or(PageTarget::Start, PageTarget::Account);
                let body = format!("{}: {why}.", door.address);
                self.tell_once(Problem::Door(door.protocol, door.address), || Notice::new(title, &body, target))
            }
            Event::SettingsRejected(mistakes) => self.tell_once(Problem::Settings, || {
                let mistake = mistakes.first().map_or("", String::as_str);
                let body = format!("{mistake}. The last good settings stay in force until it is corrected.");
                Notice::new("The changed settings of ostler are wrong".into(), &body, PageTarget::Start)
            }),
            Event::DoorOpened(door, _) | Event::DoorRemoved(door) => {
                self.open_problems.remove(&Problem::Door(door.protocol, door.address));
                None
            }
            Event::SettingsApplied { accounts, .. } => {
                self.open_problems.retain(|key| match key {
                    Problem::Account(name, ..) => accounts.contains(name),
                    // A door reports for itself once it is open or removed.
                    Problem::Door(..) => true,
                    Problem::Settings => false,
                });
                None
            }
            // Opening the gate takes a POP login, so that side works too.
            Event::Fetched { account, .. } | Event::GateLoginMade { account, .. } => {
                self.clear_side(account, Protocol::Pop3);
                self.clear_side(account, Protocol::Imap)
            }
            Event::Sent { account, .. } => self.clear_side(account, Protocol::Smtp),
            Event::AccountChecked { account, trouble: None } | Event::SignedIn(account) => {
                self.open_problems.retain(|key| !matches!(key, Problem::Account(name, ..) if name == account));
                None
            }
            _ => None,
        }
    }

    fn failure_notice(&mut self, account: &str, failure: &Failure) -> Option<Notice> {
        let shown_by_the_program = matches!(
            failure,
            Failure::TooBig { .. }
                | Failure::UnknownAccount { .. }
                | Failure::UnknownSender { .. }
                | Failure::NoServer { .. }
        );
        if failure.blame() == Blame::Passing || shown_by_the_program {
            return None;
        }
        // One sign-in mends fetching and sending.
        let is_of_both = matches!(failure, Failure::NeedsSignIn { .. });
        let protocol = failure.at().map(|at| at.protocol).filter(|_| !is_of_both);
        // By its kind, because a provider may word the same refusal differently each time.
        self.tell_once(Problem::Account(account.to_owned(), protocol, discriminant(failure)), || {
            // Cut what the provider says rather than what to do.
            let advice = failure.advice();
            let room = MAX_BODY_CHARS.saturating_sub(advice.chars().count() + ". What to do: .".len());
            let sentence: String = failure.sentence().chars().take(room).collect();
            // Providers often end their words with a full stop of their own.
            let body = format!("{}. What to do: {advice}.", sentence.trim_end_matches('.'));
            let place = if is_of_both { PageTarget::SignIn } else { PageTarget::Account };
            Notice::new(format!("Your mail account {account} needs you"), &body, place(account.to_owned()))
        })
    }

    /// Mail went through on one side of an account, so its problems are over, and so are those that belong to no side, such
    /// as a wrong local password.
    fn clear_side(&mut self, account: &str, side: Protocol) -> Option<Notice> {
        self.open_problems.retain(|key| match key {
            Problem::Account(name, protocol, _) => name != account || protocol.is_some_and(|protocol| protocol != side),
            Problem::Door(..) | Problem::Settings => true,
        });
        None
    }

    fn tell_once(&mut self, key: Problem, notice: impl FnOnce() -> Notice) -> Option<Notice> {
        self.open_problems.insert(key).then(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_mail::account::{Access, Door, Security};
    use ostler_mail::failure;
    use ostler_mail::readable::Changes;

    fn at(protocol: Protocol) -> failure::ServerAddr {
        failure::ServerAddr {
            host: "mx.example.net".into(),
            port: 1,
            protocol,
            security: Security::Tls,
            password_from: Default::default(),
        }
    }

    fn refused(protocol: Protocol) -> Event {
        let said = "no".to_owned();
        Event::Failed(
            Some("home".into()),
            Failure::SignInRefused { at: at(protocol), user: "ann".into(), said, beyond_ascii: false },
        )
    }

    fn door(is_companion: bool) -> Door {
        Door { protocol: Protocol::Pop3, address: "127.0.0.1:110".parse().unwrap(), is_companion, account: None }
    }

    #[test]
    fn a_refusal_is_told_once_until_that_side_works_again() {
        let mut notices = Notices::default();
        let notice = notices.notice_for(&refused(Protocol::Pop3)).unwrap();
        assert_eq!(notice.title, "Your mail account home needs you");
        assert!(notice.body.starts_with("mx.example.net refused the sign-in of ann: no. What to do: "), "{notice:?}");
        assert_eq!((notice.target, notice.is_answer), (PageTarget::Account("home".into()), false));
        assert_eq!(notices.notice_for(&refused(Protocol::Pop3)), None);
        assert!(notices.notice_for(&refused(Protocol::Smtp)).is_some(), "the other side has a password of its own");
        notices.notice_for(&Event::Sent { account: "home".into(), recipients: 1, octets: 1 });
        assert_eq!(notices.notice_for(&refused(Protocol::Pop3)), None, "sending says nothing about fetching");
        notices.notice_for(&Event::Fetched {
            account: "work".into(),
            messages: 0,
            octets: 0,
            changes: Changes::default(),
        });
        assert_eq!(notices.notice_for(&refused(Protocol::Pop3)), None, "another account");
        notices.notice_for(&Event::Fetched {
            account: "home".into(),
            messages: 0,
            octets: 0,
            changes: Changes::default(),
        });
        assert!(notices.notice_for(&refused(Protocol::Pop3)).is_some());
        notices.notice_for(&Event::AccountChecked { account: "home".into(), trouble: None });
        assert!(notices.notice_for(&refused(Protocol::Pop3)).is_some());
    }

    #[test]
    fn passing_trouble_and_what_the_program_shows_make_none() {
        let mut notices = Notices::default();
        let lost = Failure::NoNameService { at: at(Protocol::Pop3) };
        assert_eq!(notices.notice_for(&Event::Failed(Some("home".into()), lost)), None);
        let big = Failure::TooBig { at: at(Protocol::Smtp), size: 2, limit: 1 };
        assert_eq!(notices.notice_for(&Event::Failed(Some("home".into()), big)), None);
        let unknown = Failure::UnknownAccount { given: "x".into(), known: vec![] };
        assert_eq!(notices.notice_for(&Event::Failed(None, unknown)), None);
        assert_eq!(
            notices.notice_for(&Event::NotSent { account: "home".into(), why: "550 no such user".into() }),
            None
        );
        let failure = Failure::SignInDisabled { at: at(Protocol::Pop3), offered: String::new() };
        let trouble = Some((failure.to_string(), failure));
        let checked = Event::AccountChecked { account: "home".into(), trouble };
        assert_eq!(notices.notice_for(&checked), None, "the notice that answers the check tells it");
    }

    #[test]
    fn a_door_is_told_once_until_it_was_open() {
        let mut notices = Notices::default();
        let shut = |companion| Event::DoorUnavailable(door(companion), "dovecot has it".into());
        assert_eq!(notices.notice_for(&shut(true)), None);
        let notice = notices.notice_for(&shut(false)).unwrap();
        assert_eq!(notice.title, "ostler cannot open its POP3 door");
        assert_eq!(notice.body, "127.0.0.1:110: dovecot has it.");
        assert_eq!(notices.notice_for(&shut(false)), None);
        notices.notice_for(&Event::DoorOpened(door(false), "127.0.0.1:110".parse().unwrap()));
        assert!(notices.notice_for(&shut(false)).is_some());
    }

    #[test]
    fn wrong_settings_are_told_once_and_gone_accounts_forgotten() {
        let mut notices = Notices::default();
        let wrong = || Event::SettingsRejected(vec!["3:1: pop4: is no key".into()]);
        assert!(notices.notice_for(&wrong()).unwrap().body.starts_with("3:1: pop4: is no key. "));
        assert_eq!(notices.notice_for(&wrong()), None);
        notices.notice_for(&refused(Protocol::Pop3));
        let read = |names: &[&str]| Event::SettingsApplied {
            accounts: names.iter().map(|&n| n.to_owned()).collect(),
            access: Access::SameUser,
            is_reload: true,
        };
        notices.notice_for(&read(&["home"]));
        assert!(notices.notice_for(&wrong()).is_some());
        assert_eq!(notices.notice_for(&refused(Protocol::Pop3)), None, "another setting was changed");
        notices.notice_for(&read(&["work"]));
        notices.notice_for(&read(&["work", "home"]));
        assert!(notices.notice_for(&refused(Protocol::Pop3)).is_some());
    }

    #[test]
    fn what_a_provider_says_stays_on_one_line_and_short() {
        let mut notices = Notices::default();
        let failure = Failure::SignInRefused {
            at: at(Protocol::Pop3),
            user: "\u{7}ann".into(),
            said: "a\r\nb".repeat(500),
            beyond_ascii: false,
        };
        let notice = notices.notice_for(&Event::Failed(Some("ho\nme".into()), failure)).unwrap();
        assert!(!notice.title.contains(char::is_control) && !notice.body.contains(char::is_control), "{notice:?}");
        assert!(notice.body.chars().count() <= MAX_BODY_CHARS);
    }
}
