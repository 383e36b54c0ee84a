//! Notices when the settings file, or the file of presets beside it, changes: from the system where it tells, by looking
//! every few seconds where it does not.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Wake;
use crate::config::MAX_LINKS;
use crate::config::presets::Presets;
use crate::os::folder_watch::FolderWatch;
use crate::os::local::{FileMark, file_mark};

/// How often the files are looked at where the system does not report changes.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Wakes the running ostler when its settings change.
pub(super) struct SettingsWatch {
    file: PathBuf,
    pub(super) wake: mpsc::Sender<Wake>,
    pub(super) wakes: mpsc::Receiver<Wake>,
    /// What is watched.
    steps: Vec<Step>,
    /// `None`: the system does not report changes, or the folder does not exist yet.
    watcher: Option<Watcher>,
    /// How the files looked before they were read.
    stamp: Stamp,
    /// Looks at the files while there is no watcher.
    polling: Option<JoinHandle<()>>,
}

/// Dropping it ends the watch.
struct Watcher {
    _watch: FolderWatch,
    /// A folder may have been replaced, even by one with the same mark: file systems give the number of a removed folder to the
    /// next one.
    has_lost: Arc<AtomicBool>,
}

/// How the settings file and the presets beside it look; another stamp means that they have changed.
type Stamp = [Option<(u64, Option<SystemTime>, FileMark)>; 2];

/// A name on the way to a file. Another file can be put there, and on the way through a link also another folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    folder: PathBuf,
    /// The folder itself, whatever has its path by now.
    mark: FileMark,
    name: OsString,
}

impl SettingsWatch {
    pub(super) fn start(file: &Path) -> Self {
        let (wake, wakes) = mpsc::channel(8);
        let steps = steps_to_files(file);
        let watcher = watch(&steps, wake.clone());
        Self { file: file.to_owned(), wake, wakes, steps, watcher, stamp: read_stamp(file), polling: None }
    }

    /// Polls in a task of its own if the system does not report changes. Needs the runtime, which [`start`](Self::start)
    /// does not.
    pub(super) fn poll_if_needed(&mut self) {
        if self.watcher.is_none() && self.polling.is_none() {
            self.polling = Some(tokio::spawn(poll(self.file.clone(), self.stamp, self.wake.clone())));
        }
    }

    /// Watches where the files are now: the folder may have been replaced, or a link on the way may lead elsewhere. To be called
    /// before the files are read, so that no change is missed.
    pub(super) async fn follow(&mut self) {
        let (file, wake) = (self.file.clone(), self.wake.clone());
        let is_whole = self.watcher.as_ref().is_some_and(|watcher| !watcher.has_lost.load(Ordering::Acquire));
        let known = is_whole.then(|| self.steps.clone());
        // In a thread: mail must not wait for a slow disk.
        let looking = tokio::task::spawn_blocking(move || {
            let steps = steps_to_files(&file);
            (known.as_ref() != Some(&steps)).then(|| (watch(&steps, wake), steps, read_stamp(&file)))
        });
        let Ok(Some((watcher, steps, stamp))) = looking.await else { return };
        (self.watcher, self.steps, self.stamp) = (watcher, steps, stamp);
        if let Some(polling) = self.polling.take_if(|_| self.watcher.is_some()) {
            polling.abort();
        }
        self.poll_if_needed();
    }
}

fn read_stamp(file: &Path) -> Stamp {
    let stamp = |file: &Path| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.len(), about.modified().ok(), file_mark(file)))
    };
    [stamp(file), stamp(&Presets::own_file(file))]
}

/// The steps to the settings file and to the presets beside it.
fn steps_to_files(file: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    for file in [file, &Presets::own_file(file)] {
        add_steps(file, &mut steps);
    }
    steps
}

/// Adds the last name on the way to a file, and those of the links that lead elsewhere.
fn add_steps(file: &Path, steps: &mut Vec<Step>) {
    let Ok(file) = std::path::absolute(file) else { return };
    let (mut folder, mut names, mut links) = (root_of(&file), VecDeque::from(names_in(&file)), 0);
    while let Some(name) = names.pop_front() {
        let path = folder.join(&name);
        let target = std::fs::read_link(&path).ok();
        if target.is_some() || names.is_empty() {
            let step = Step { mark: file_mark(&folder), folder: folder.clone(), name };
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        match target {
            None => folder = path,
            Some(target) if links < MAX_LINKS => {
                links += 1;
                names_in(&target).into_iter().rev().for_each(|name| names.push_front(name));
                if target.has_root() {
                    folder = root_of(&target);
                }
            }
            Some(_) => return,
        }
    }
}

fn root_of(path: &Path) -> PathBuf {
    path.ancestors().last().unwrap_or(path).to_owned()
}

/// The names in a path, `..` among them, which leads out of wherever a link has led.
fn names_in(path: &Path) -> Vec<OsString> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| part.as_os_str().to_owned()).collect()
}

/// Watches folders rather than files: editors replace a file instead of writing to it, and a watch on the old file would see nothing
/// more.
fn watch(steps: &[Step], wake: mpsc::Sender<Wake>) -> Option<Watcher> {
    let folders: BTreeSet<&Path> = steps.iter().map(|step| step.folder.as_path()).collect();
    let folders: Vec<&Path> = folders.into_iter().collect();
    let names: Vec<OsString> = steps.iter().map(|step| step.name.clone()).collect();
    let has_lost = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&has_lost);
    let watch = FolderWatch::start(&folders, move |changed: Option<&OsStr>| {
        if changed.is_none() {
            lost.store(true, Ordering::Release);
        }
        // A full channel means that the settings are about to be read anyway.
        if changed.is_none_or(|changed| names.iter().any(|name| name == changed)) {
            let _ = wake.try_send(Wake::Changed);
        }
    });
    Some(Watcher { _watch: watch?, has_lost })
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_a_step() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        for folder in ["1", "config", "config/..1"] {
            std::fs::create_dir(base.join(folder)).unwrap();
        }
        std::fs::write(base.join("config/..1/ostler.toml"), "").unwrap();
        symlink("config", base.join("link")).unwrap();
        symlink("..1", base.join("config/..data")).unwrap();
        symlink(base.join("config/../1/../config/..data/ostler.toml"), base.join("config/ostler.toml")).unwrap();
        let steps = steps_to_files(&base.join("link/ostler.toml"));
        let below = |step: &Step| step.folder.canonicalize().unwrap().strip_prefix(&base).unwrap().join(&step.name);
        let steps: Vec<_> = steps.iter().map(below).collect();
        let wanted = ["link", "config/ostler.toml", "config/..data", "config/..1/ostler.toml", "config/providers.toml"];
        assert_eq!(steps, wanted.map(PathBuf::from));
    }

    #[test]
    fn links_in_a_circle_have_an_end() {
        let base = tempfile::tempdir().unwrap();
        symlink("two", base.path().join("one")).unwrap();
        symlink("one", base.path().join("two")).unwrap();
        assert!(steps_to_files(&base.path().join("one")).len() <= 3);
    }
}
