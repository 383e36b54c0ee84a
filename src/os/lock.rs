//! A file that one process at a time has locked.

use std::fs::File;
use std::io;
use std::path::Path;

use super::local;

/// The lock on a file, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Locks the file, which is created if there is none. `None`: another process holds the lock.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        Ok(local::lock(path)?.map(Self))
    }

    /// What is locked.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file leaves the lock to a child that is just being started: it has a copy until it becomes another
        // program. On Windows a child has none.
        #[cfg(unix)]
        let _ = self.0.unlock();
    }
}
