//! Notices when the settings file, or the file of presets beside it, changes: from the system where it tells, by looking
//! every few seconds where it does not.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::Wake;
use crate::config::presets::Presets;
use crate::os::folder_watch::FolderWatch;

/// How often the files are looked at where the system does not report changes.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Wakes the running ostler when its settings change.
pub(super) struct SettingsWatch {
    pub(super) wake: mpsc::Sender<Wake>,
    pub(super) wakes: mpsc::Receiver<Wake>,
    /// Dropping it ends the watch. `None`: the system does not report changes, or the folder does not exist yet.
    _watcher: Option<FolderWatch>,
    /// Tells that the watch has ended or never began.
    ended: Option<oneshot::Receiver<Infallible>>,
    /// How the files looked before they were read.
    stamp: Stamp,
}

/// Length and date of the settings file and of the presets beside it; another stamp means that they have changed.
type Stamp = [Option<(u64, Option<SystemTime>)>; 2];

impl SettingsWatch {
    pub(super) fn start(file: &Path) -> Self {
        let (wake, wakes) = mpsc::channel(8);
        let (alive, ended) = oneshot::channel();
        let _watcher = watch(file, wake.clone(), alive);
        Self { wake, wakes, _watcher, ended: Some(ended), stamp: read_stamp(file) }
    }

    /// Polls in a task of its own once the system does not report changes. Needs the runtime, which [`start`](Self::start)
    /// does not.
    pub(super) fn poll_if_needed(&mut self, file: &Path) {
        let Some(ended) = self.ended.take() else { return };
        let polling = poll(file.to_owned(), self.stamp, self.wake.clone());
        tokio::spawn(async move {
            let _ = ended.await;
            polling.await;
        });
    }
}

fn read_stamp(file: &Path) -> Stamp {
    [file, &Presets::own_file(file)].map(|file| std::fs::metadata(file).ok().map(|m| (m.len(), m.modified().ok())))
}

/// Watches the folder rather than the file: editors replace the file instead of writing to it, and a watch on the old file
/// would see nothing more. If the file is a link, the folder it points into is watched too, until it points elsewhere. `alive`
/// is dropped when the watch ends.
fn watch(file: &Path, wake: mpsc::Sender<Wake>, alive: oneshot::Sender<Infallible>) -> Option<FolderWatch> {
    let file = std::path::absolute(file).ok()?;
    let real = file.canonicalize().unwrap_or_else(|_| file.clone());
    let presets = Presets::own_file(&file);
    let names = [file.file_name()?.to_owned(), real.file_name()?.to_owned(), presets.file_name()?.to_owned()];
    let mut folders = vec![file.parent()?, real.parent()?];
    folders.dedup();
    let (link, target) = (file.clone(), real.parent()?.to_owned());
    FolderWatch::start(&folders, move |changed| {
        let _lives_with_the_watch = &alive;
        if !names.iter().any(|name| name == changed) {
            return true;
        }
        // A full channel means that the settings are about to be read anyway.
        let _ = wake.try_send(Wake::Changed);
        link.canonicalize().map_or(true, |real| real.parent() == Some(target.as_path()))
    })
}

async fn poll(file: PathBuf, mut known: Stamp, wake: mpsc::Sender<Wake>) {
    loop {
        let found = read_stamp(&file);
        if found != known && wake.send(Wake::Changed).await.is_err() {
            return;
        }
        known = found;
        sleep(FILE_POLL_INTERVAL).await;
    }
}
