//! Tells when a file of a folder has been written, replaced, renamed or removed. It watches the folder because editors
//! replace a file rather than write into it.

use std::ffi::OsStr;
use std::path::Path;

/// Runs until it is dropped.
pub(crate) struct FolderWatch(#[allow(dead_code, reason = "dropping it ends the watch")] system::Watch);

impl FolderWatch {
    /// Calls `changed` with the name of each changed file, on a thread of its own; without a name if any of them may have
    /// changed, or a folder itself was replaced, of which nothing is told from then on. `None` where the system does not tell, or
    /// a folder is missing.
    pub(crate) fn start(folders: &[&Path], changed: impl Fn(Option<&OsStr>) + Send + 'static) -> Option<Self> {
        system::Watch::start(folders, changed).map(Self)
    }
}

/// inotify without the crate `notify`, which asks for every write to every file of the folder. A log in the folder of the
/// settings would then wake a second thread for each of its lines, which costs a short session or send more than ostler's
/// own work for it.
#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::Arc;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
    use rustix::io::Errno;

    /// Not `MODIFY`: a file counts as written when its writer closes it, which is also when it is whole.
    const CHANGES: WatchFlags = WatchFlags::ATTRIB
        .union(WatchFlags::CLOSE_WRITE)
        .union(WatchFlags::CREATE)
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVED_FROM)
        .union(WatchFlags::MOVED_TO)
        .union(WatchFlags::DELETE_SELF)
        .union(WatchFlags::MOVE_SELF)
        .union(WatchFlags::ONLYDIR);

    /// Room for several events; one takes 16 octets and a name of at most 256.
    const EVENT_OCTETS: usize = 4096;

    pub(super) struct Watch {
        inotify: Arc<OwnedFd>,
        folders: BTreeSet<i32>,
    }

    impl Watch {
        pub(super) fn start(folders: &[&Path], changed: impl Fn(Option<&OsStr>) + Send + 'static) -> Option<Self> {
            let inotify = Arc::new(init(CreateFlags::CLOEXEC).ok()?);
            let mut watch = Self { inotify: Arc::clone(&inotify), folders: BTreeSet::new() };
            for folder in folders {
                watch.folders.insert(add_watch(&*inotify, *folder, CHANGES).ok()?);
            }
            let watched = watch.folders.len();
            let told = move || tell(&inotify, watched, &changed);
            std::thread::Builder::new().name("folder-watch".into()).spawn(told).ok()?;
            Some(watch)
        }
    }

    /// The kernel reports each folder that is no longer watched; without one left, the thread ends.
    impl Drop for Watch {
        fn drop(&mut self) {
            for &folder in &self.folders {
                let _ = remove_watch(&*self.inotify, folder);
            }
        }
    }

    fn tell(inotify: &OwnedFd, mut watched: usize, changed: &impl Fn(Option<&OsStr>)) {
        let mut buffer = [MaybeUninit::uninit(); EVENT_OCTETS];
        let mut events = Reader::new(inotify, &mut buffer);
        while watched > 0 {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => watched -= 1,
                // Without a name: of the folder itself, or the kernel has dropped what it had no room for.
                Ok(event) => changed(event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()))),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::OsStr;
    use std::path::Path;

    use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

    pub(super) struct Watch(#[allow(dead_code, reason = "dropping it ends the watch")] RecommendedWatcher);

    impl Watch {
        pub(super) fn start(folders: &[&Path], changed: impl Fn(Option<&OsStr>) + Send + 'static) -> Option<Self> {
            let tell = move |event: notify::Result<Event>| {
                let Ok(event) = event else { return };
                if event.need_rescan() {
                    changed(None);
                }
                // ostler itself reads the files after each change.
                if !event.kind.is_access() {
                    event.paths.iter().for_each(|path| changed(path.file_name()));
                }
            };
            let mut watcher = notify::recommended_watcher(tell).ok()?;
            for folder in folders {
                watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
            }
            Some(Self(watcher))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Passes on what is told, a missing name as an empty one.
    fn teller(tell: Sender<OsString>) -> impl Fn(Option<&OsStr>) + Send + 'static {
        move |name| drop(tell.send(name.unwrap_or_default().to_owned()))
    }

    #[test]
    fn a_file_that_is_written_or_replaced_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, told) = channel();
        let watch = FolderWatch::start(&[folder.path()], teller(tell));
        let _watch = watch.unwrap();
        fs::write(folder.path().join("written"), "x").unwrap();
        assert!(told.iter().any(|name| name == "written"));
        fs::rename(folder.path().join("written"), folder.path().join("replaced")).unwrap();
        assert!(told.iter().any(|name| name == "replaced"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_log_in_the_folder_wakes_nothing() {
        use std::io::Write;

        let folder = tempfile::tempdir().unwrap();
        let mut log = fs::File::create(folder.path().join("log")).unwrap();
        let (tell, told) = channel();
        let watch = FolderWatch::start(&[folder.path()], teller(tell));
        log.write_all(b"a line\n").unwrap();
        fs::write(folder.path().join("settings"), "x").unwrap();
        assert_eq!(told.recv().unwrap(), "settings");
        drop(watch);
        // The thread has ended, and with it the sender.
        assert!(told.iter().all(|name| name == "settings"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_is_moved_or_removed_is_told() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, moved) = (outer.path().join("folder"), outer.path().join("moved"));
        fs::create_dir(&folder).unwrap();
        let (tell, told) = channel();
        let _watch = FolderWatch::start(&[&folder], teller(tell)).unwrap();
        fs::rename(&folder, &moved).unwrap();
        assert_eq!(told.recv().unwrap(), "");
        fs::remove_dir(&moved).unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [""], "the last word");
    }

    #[test]
    fn a_missing_folder_cannot_be_watched() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FolderWatch::start(&[&folder.path().join("missing")], |_| {}).is_none());
    }
}
