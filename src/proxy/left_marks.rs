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

    /// Replaces the UIDs of the marked messages in a folder.
    pub(super) fn set(&self, server: &Server, folder: &Folder, validity: u32, uids: Vec<u32>) {
        let place = (server.id(), folder.name.clone());
        if uids.is_empty() {
            self.lock().remove(&place);
        } else {
            self.lock().insert(place, Marks { validity, uids });
        }
    }
}
