//! Tells when a file of a folder has been written, replaced, renamed or removed. It watches the folder because editors
//! replace a file rather than write into it.

use std::ffi::OsStr;
use std::path::Path;

/// Runs until it is dropped, or a folder is gone.
pub(crate) struct FolderWatch(#[allow(dead_code, reason = "dropping it ends the watch")] system::Watch);

impl FolderWatch {
    /// Calls `changed` with the name of each changed file, on a thread of its own, for as long as it says so. It is dropped
    /// when the watch ends, also because a folder was removed or renamed: another one of its name is not watched. `None` where
    /// the system does not tell, or a folder is missing.
    pub(crate) fn start(folders: &[&Path], changed: impl Fn(&OsStr) -> bool + Send + 'static) -> Option<Self> {
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
        .union(WatchFlags::MOVE_SELF)
        .union(WatchFlags::MOVED_FROM)
        .union(WatchFlags::MOVED_TO);

    /// Room for several events; one takes 16 octets and a name of at most 256.
    const EVENT_OCTETS: usize = 4096;

    pub(super) struct Watch {
        inotify: Arc<OwnedFd>,
        folders: BTreeSet<i32>,
    }

    impl Watch {
        pub(super) fn start(folders: &[&Path], changed: impl Fn(&OsStr) -> bool + Send + 'static) -> Option<Self> {
            let inotify = Arc::new(init(CreateFlags::CLOEXEC).ok()?);
            let mut watch = Self { inotify: Arc::clone(&inotify), folders: BTreeSet::new() };
            for folder in folders {
                watch.folders.insert(add_watch(&*inotify, *folder, CHANGES).ok()?);
            }
            let told = move || tell(&inotify, &changed);
            std::thread::Builder::new().name("folder-watch".into()).spawn(told).ok()?;
            Some(watch)
        }
    }

    /// The kernel reports a folder that is no longer watched, and the thread ends.
    impl Drop for Watch {
        fn drop(&mut self) {
            for &folder in &self.folders {
                let _ = remove_watch(&*self.inotify, folder);
            }
        }
    }

    fn tell(inotify: &OwnedFd, changed: &impl Fn(&OsStr) -> bool) {
        let mut buffer = [MaybeUninit::uninit(); EVENT_OCTETS];
        let mut events = Reader::new(inotify, &mut buffer);
        loop {
            let goes_on = match events.next() {
                Ok(event) if event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) => false,
                Ok(event) => event.file_name().is_none_or(|name| changed(OsStr::from_bytes(name.to_bytes()))),
                Err(error) => error == Errno::INTR,
            };
            if !goes_on {
                return;
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
        pub(super) fn start(folders: &[&Path], changed: impl Fn(&OsStr) -> bool + Send + 'static) -> Option<Self> {
            let tell = move |event: notify::Result<Event>| {
                let Ok(event) = event else { return };
                // ostler itself reads the files after each change.
                if !event.kind.is_access() {
                    for name in event.paths.iter().filter_map(|path| path.file_name()) {
                        changed(name);
                    }
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
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_file_that_is_written_or_replaced_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, told) = channel();
        let watch = FolderWatch::start(&[folder.path()], move |name| tell.send(name.to_owned()).is_ok());
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
        let watch = FolderWatch::start(&[folder.path()], move |name| tell.send(name.to_owned()).is_ok());
        log.write_all(b"a line\n").unwrap();
        fs::write(folder.path().join("settings"), "x").unwrap();
        assert_eq!(told.recv().unwrap(), "settings");
        drop(watch);
        // The thread has ended, and with it the sender.
        assert!(told.iter().all(|name| name == "settings"));
    }

    #[test]
    fn a_missing_folder_cannot_be_watched() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FolderWatch::start(&[&folder.path().join("missing")], |_| true).is_none());
    }
}
