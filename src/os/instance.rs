//! One ostler for a settings file: a locked file says that it runs. How other invocations talk to it is in
//! [`super::control`].

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::control::Listener;
use super::local;
use super::lock::Lock;
use crate::os;
use ostler_mail::wire::hex;

/// How long another invocation may take to look at the lock, on a busy computer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often to try the lock meanwhile.
const LOOK_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Why this process could not become the ostler of its settings file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Another process is; `pid` is its number, if the lock file says so.
    #[error("ostler is already running on this settings file{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRuns { pid: Option<u32> },
    #[error("found no folder that only this user can open")]
    NoFolder(#[source] io::Error),
    /// The lock file cannot be locked, or the path of the settings file cannot be resolved.
    #[error("cannot lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
}

/// Proof that this process is the one ostler of its settings file, until it is dropped or the process ends, even by a crash.
#[derive(Debug)]
pub(crate) struct Instance {
    /// In every folder where another invocation may look; there is at least one.
    claims: Vec<Claim>,
}

/// One locked file.
#[derive(Debug)]
struct Claim {
    paths: InstancePaths,
    /// Holds the lock. The file is never removed: another process may be waiting to lock it, and would then lock a file that
    /// no third one can find.
    _lock: Lock,
}

impl Instance {
    /// Becomes the ostler of this settings file, which need not exist yet.
    pub(crate) fn claim(settings_file: &Path) -> Result<Self, ClaimError> {
        Self::claim_in(local::private_folders().map_err(ClaimError::NoFolder)?, settings_file)
    }

    /// Takes the lock in every folder: an ostler that was started with another environment, by systemd say, has only some of
    /// them. A folder whose file system knows no locks is left out, unless there is no other.
    pub(super) fn claim_in(folders: Vec<PathBuf>, settings_file: &Path) -> Result<Self, ClaimError> {
        let unresolved = |source| ClaimError::Lock { path: settings_file.into(), source };
        let mut claims = Vec::new();
        let mut failed = None;
        for folder in folders {
            let paths = InstancePaths::new(folder, settings_file).map_err(unresolved)?;
            let path = paths.lock_file();
            match take_lock(&path).and_then(|lock| lock.map(write_pid).transpose()) {
                Ok(Some(lock)) => claims.push(Claim { paths, _lock: lock }),
                Ok(None) => return Err(ClaimError::AlreadyRuns { pid: read_pid(&path) }),
                Err(source) => failed = Some(ClaimError::Lock { path, source }),
            }
        }
        match failed {
            Some(error) if claims.is_empty() => Err(error),
            _ => Ok(Self { claims }),
        }
    }

    /// Opens the socket for other invocations in the first folder where that works, replacing one left over by an earlier
    /// process. Must be called within a tokio runtime.
    pub(crate) fn listen(&self) -> io::Result<Listener> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for Claim { paths, .. } in &self.claims {
            result = local::Acceptor::open(&paths.folder, &paths.name);
            if result.is_ok() {
                break;
            }
        }
        result.map(Listener::new)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // While the lock is held: afterwards the socket may belong to the next ostler.
        for Claim { paths, .. } in &self.claims {
            local::close(&paths.folder, &paths.name);
        }
    }
}

/// Takes the lock of an ostler. It may be taken although none runs: other invocations take it for a moment, to see whether one does
/// ([`InstancePaths::is_held`]).
fn take_lock(path: &Path) -> io::Result<Option<Lock>> {
    let until = Instant::now() + LOOK_TIMEOUT;
    loop {
        match Lock::take(path)? {
            None if !read_pid(path).is_some_and(os::is_running) && Instant::now() < until => sleep(LOOK_POLL_INTERVAL),
            taken => return Ok(taken),
        }
    }
}

fn write_pid(lock: Lock) -> io::Result<Lock> {
    let mut file = lock.file();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(lock)
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    local::read_locked(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Where lock and socket of the ostler of one settings file are.
#[derive(Debug)]
pub(super) struct InstancePaths {
    folder: PathBuf,
    /// A hash of the path of the settings file: the same whichever way the path is spelt.
    name: String,
}

impl InstancePaths {
    /// Wherever the ostler of this settings file may have put its lock and socket, likeliest first.
    pub(super) fn all(settings_file: &Path) -> io::Result<Vec<Self>> {
        local::private_folders()?.into_iter().map(|folder| Self::new(folder, settings_file)).collect()
    }

    pub(super) fn new(folder: PathBuf, settings_file: &Path) -> io::Result<Self> {
        let mut hash = Sha256::new();
        // The folder too: all users of a Windows computer share the names of pipes.
        hash.update(folder.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(local::machine_mark());
        hash.update(resolve_path(settings_file)?.as_os_str().as_encoded_bytes());
        let mut name = hex(&hash.finalize());
        // 64 bits are enough to tell a user's settings files apart, and the path of a Unix socket is at most 108 octets.
        name.truncate(16);
        Ok(Self { folder, name })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.folder.join(format!("{}.lock", self.name))
    }

    /// Whether an ostler holds the lock. To take it for a moment is harmless: that succeeds only where none does. One that cannot be
    /// taken at all is not ostler's either.
    pub(super) fn is_held(&self) -> bool {
        let lock_file = self.lock_file();
        lock_file.exists() && matches!(Lock::take(&lock_file), Ok(None))
    }
}

/// The path without links and dots. Unlike [`Path::canonicalize`], works for a file or folder that does not exist yet.
pub(crate) fn resolve_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(path)
}
