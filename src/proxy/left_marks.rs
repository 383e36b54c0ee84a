//! Marks of deletion that ostler has left at IMAP servers for POP3 clients: QUIT broke off between marking and removing. A server
//! without UIDPLUS can only remove all that is marked, so the next QUIT has to know which marks are ostler's own.
//!
//! Lost when the program ends; then a person empties that folder's trash, as the refused QUIT says.

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

    /// These are marked there, and no others.
    pub(super) fn set(&self, server: &Server, folder: &Folder, validity: u32, uids: Vec<u32>) {
        let place = (server.id(), folder.name.clone());
        if uids.is_empty() {
            self.lock().remove(&place);
        } else {
            self.lock().insert(place, Marks { validity, uids });
        }
    }
}
