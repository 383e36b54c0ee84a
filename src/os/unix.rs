//! Unix: how one process of a user finds another one: by a lock on a file and a socket, both in a folder that only this user
//! can open.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tokio::net::{UnixListener, UnixStream};

/// The accepted end of a connection.
pub(crate) type Stream = UnixStream;

/// The folders for lock and socket, which only this user can open, the one to use first. A login session has a folder that a
/// service lacks, and that goes when the user logs out; the folder below the home is the same for both and stays.
pub(crate) fn private_folders() -> io::Result<Vec<PathBuf>> {
    let me = my_uid();
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(std::env::home_dir()?.join(".local/state")));
    let session = [absolute("XDG_RUNTIME_DIR"), Some(format!("/run/user/{me}").into())];
    // After `su` the variable still names the folder of the previous user.
    let session = session.into_iter().flatten().find(|path| path.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me));
    let candidates = state.into_iter().chain(session).map(|base| base.join("ostler"));
    usable(candidates, std::env::temp_dir().join(format!("ostler-{me}")))
}

/// Those of the folders that are private or can be made so. The last resort is made only if no other will do, but it counts
/// where it exists, because an ostler with another environment may have had no other.
fn usable(candidates: impl Iterator<Item = PathBuf>, last_resort: PathBuf) -> io::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut result = Err(io::ErrorKind::NotFound.into());
    for folder in candidates {
        match make_private(&folder) {
            // The lock of one folder twice would be held by another process: this one.
            Ok(()) if folders.iter().any(|known| is_same(known, &folder)) => {}
            Ok(()) => folders.push(folder),
            Err(error) => result = Err(error),
        }
    }
    if folders.is_empty() || last_resort.is_dir() {
        match make_private(&last_resort) {
            Ok(()) => folders.push(last_resort),
            Err(error) => result = Err(error),
        }
    }
    if folders.is_empty() { result } else { Ok(folders) }
}

/// What tells a file or folder from all others, whatever path leads to it; `None` if there is none.
pub(crate) type FileMark = Option<(u64, u64)>;

/// The mark of what a path leads to.
pub(crate) fn file_mark(path: &Path) -> FileMark {
    path.metadata().map(|about| (about.dev(), about.ino())).ok()
}

/// Whether two paths lead to the same folder.
fn is_same(one: &Path, other: &Path) -> bool {
    file_mark(one).is_some_and(|mark| file_mark(other) == Some(mark))
}

/// What tells this machine from others that share the user's home: one of them may run an ostler of its own on the same
/// settings file. Empty where the system has no such mark.
pub(crate) fn machine_mark() -> Vec<u8> {
    std::fs::read("/etc/machine-id").unwrap_or_default()
}

/// Creates the folder if necessary, and makes sure that it is a folder, belongs to this user and is closed to others.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let opened = open_flags(OFlags::DIRECTORY).read(true).open(folder)?;
    let metadata = opened.metadata()?;
    if metadata.uid() != my_uid() {
        return Err(obstructed(folder, "belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        opened.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens the file and locks it, for [`super::lock`]. `None`: another process holds the lock.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = open_flags(OFlags::empty()).read(true).write(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(obstructed(path, "is not a file"));
    }
    // The system lets go of such a lock when the process ends, however it ends.
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the file to read what the holder of the lock has written.
pub(crate) fn read_locked(path: &Path) -> io::Result<File> {
    open_flags(OFlags::empty()).read(true).open(path)
}

fn open_flags(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    // No link, which could lead to another file; no wait for the writer of a pipe.
    options.custom_flags((flags | OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Accepts connections of this user's processes.
#[derive(Debug)]
pub(crate) struct Acceptor(UnixListener);

impl Acceptor {
    /// Opens the socket and replaces one that an earlier process left. Only the holder of the lock may call this.
    pub(crate) fn open(folder: &Path, name: &str) -> io::Result<Self> {
        let path = socket_path(folder, name);
        remove_socket(&path)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// The next connection of this user; others are closed. Nothing is lost when the future is dropped.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.0.accept().await?;
            // Root could open the socket in spite of its mode.
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == my_uid()) {
                return Ok(stream);
            }
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // Closing the socket leaves it to a child that is just being started: whoever connects would wait for an answer.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// Connects to the socket. `None`: no process listens.
pub(crate) fn connect(folder: &Path, name: &str) -> io::Result<Option<BlockingStream>> {
    match BlockingStream::connect(socket_path(folder, name)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the socket. Only the holder of the lock may call this.
pub(crate) fn close(folder: &Path, name: &str) {
    // If this fails, the next start replaces the socket.
    let _ = remove_socket(&socket_path(folder, name));
}

fn remove_socket(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(obstructed(path, "is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn socket_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sock"))
}

/// Raises the limit of open files to this many, or as far as the system allows.
pub(crate) fn allow_descriptors(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!("the limit of open files stays as it is: {error}");
        }
    }
}

fn obstructed(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is in the way: it {why}", path.display()))
}

/// Whether a process of this number runs, perhaps another user's.
pub(crate) fn is_running(process: u32) -> bool {
    let Some(process) = process.try_into().ok().and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::test_kill_process(process) != Err(Errno::SRCH)
}

fn my_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn the_folder_is_made_or_closed_to_others() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/ostler");
        make_private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        make_private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn every_folder_that_will_do_counts_and_the_last_resort_is_made_only_in_need() {
        let base = tempfile::tempdir().unwrap();
        let (state, session, last) = (base.path().join("state"), base.path().join("session"), base.path().join("last"));
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        let of = |folders: &[&PathBuf]| usable(folders.iter().map(|f| (*f).clone()), last.clone());
        assert_eq!(of(&[&state, &session]).unwrap(), [state.clone(), session.clone()]);
        assert_eq!(of(&[&state, &state]).unwrap(), std::slice::from_ref(&state));
        assert!(!last.exists());
        assert_eq!(of(&[&file]).unwrap(), std::slice::from_ref(&last));
        assert_eq!(of(&[&state]).unwrap(), [state, last.clone()], "an ostler may have had to take it");
        std::fs::remove_dir(&last).unwrap();
        std::fs::write(&last, "").unwrap();
        assert!(of(&[&file]).unwrap_err().to_string().contains("File exists"));
    }

    #[test]
    fn a_link_a_file_and_the_folder_of_another_user_will_not_do() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        assert!(make_private(&link).is_err());
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(make_private(&file).is_err());
        if my_uid() == 0 {
            let theirs = base.path().join("theirs");
            std::fs::create_dir(&theirs).unwrap();
            std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
            let error = make_private(&theirs).unwrap_err();
            assert!(error.to_string().ends_with("belongs to another user"), "{error}");
        } else {
            assert!(make_private(Path::new("/")).is_err());
        }
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let precious = base.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        let path = base.path().join("x.lock");
        symlink(&precious, &path).unwrap();
        assert!(lock(&path).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
    }

    #[tokio::test]
    async fn the_socket_is_for_its_user_only() {
        let base = tempfile::tempdir().unwrap();
        let _acceptor = Acceptor::open(base.path(), "x").unwrap();
        assert_eq!(mode(&base.path().join("x.sock")), 0o600);
    }
}
