//! Marks of deletion that ostler has left in IMAP folders, because the QUIT of a POP3 client broke off between marking the
//! messages and removing them. A server without UIDPLUS can only remove every marked message, so the next QUIT has to know
//! which marks are ostler's own.
//!
//! The list is lost when the program ends. Then QUIT takes them for another program's marks and refuses; its words tell the user
//! what to do.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ostler_mail::account::{Folder, Server, ServerId};

/// The marks in one folder.
struct Marks {
    validity: u32,
    uids: Vec<u32>,
}

/// The marks at all servers.
#[derive(Default)]
pub(super) struct LeftMarks(Mutex<HashMap<(ServerId, String), Marks>>);

impl LeftMarks {
    fn lock(&self) -> MutexGuard<'_, HashMap<(ServerId, String), Marks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The UIDs of the marked messages in a folder that has this UIDVALIDITY.
    pub(super) fn of(&self, server: &Server, folder: &Folder, validity: u32) -> Vec<u32> {
        let marks = self.lock();
        let marks = marks.get(&(server.id(), folder.name.clone())).filter(|marks| marks.validity == validity);
        marks.map(|marks| marks.uids.clone()).unwrap_or_default()
    }

    /// A session has found these marked and left those. What other sessions have left meanwhile stays.
    pub(super) fn change(&self, server: &Server, folder: &Folder, validity: u32, found: &[u32], left: &[u32]) {
        let place = (server.id(), folder.name.clone());
        let mut marks = self.lock();
        let mut uids = marks.remove(&place).filter(|marks| marks.validity == validity).map_or(Vec::new(), |m| m.uids);
        uids.retain(|uid| !found.contains(uid));
        uids.extend(left);
        uids.sort_unstable();
        uids.dedup();
        if !uids.is_empty() {
            marks.insert(place, Marks { validity, uids });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two QUITs that broke off at the same time: only the marks of the later one were known to be ostler's, and every QUIT
    /// after that was refused.
    #[test]
    fn sessions_that_break_off_at_the_same_time_leave_the_marks_of_both() {
        let parsed = crate::config::parse(
            "[[account]]\naddress = \"ann@example.org\"\npassword = { env = \"X\" }\n[account.imap]\nhost = \"imap.example.org\"\n",
            std::path::Path::new("ostler.toml"),
        );
        let account = parsed.unwrap().settings.accounts.remove(0);
        let Some(ostler_mail::account::Maildrop::Imap(server, folder)) = account.maildrop() else {
            panic!("{account:?}")
        };
        let marks = LeftMarks::default();
        let found = marks.of(server, folder, 7);
        marks.change(server, folder, 7, &found, &[1]);
        marks.change(server, folder, 7, &found, &[2]);
        assert_eq!(marks.of(server, folder, 7), [1, 2]);
        assert_eq!(marks.of(server, folder, 8), [0; 0], "another folder of that name");
        marks.change(server, folder, 7, &[1], &[]);
        assert_eq!(marks.of(server, folder, 7), [2]);
        marks.change(server, folder, 8, &[], &[3]);
        assert_eq!(marks.of(server, folder, 8), [3]);
        marks.change(server, folder, 8, &[3], &[]);
        assert!(marks.lock().is_empty());
    }
}
