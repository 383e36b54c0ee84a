//! Secrets in files and in variables of the environment.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::first_line;
use crate::secret::{self, NotASecret, Secret};

/// Local files answer in milliseconds; a file on a network share that went away never does.
const LIMIT: Duration = Duration::from_secs(10);

/// A file larger than this is not a password file.
const LARGEST: u64 = 64 * 1024;

/// Where systemd puts what `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What is wrong with a password file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileTrouble {
    /// A name without a folder, and systemd gave none.
    #[error("has no folder, and there is no {CREDENTIALS} to find it in")]
    NoFolder,
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A folder, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Beside its owner, others may read or change it.
    #[error("can be read or changed by other users (mode {mode:04o}): run `chmod 600` on it")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who can read and change it.
    #[error("belongs to another user")]
    NotOurs,
    /// More than a password file has.
    #[error("is too large for a password file")]
    TooLarge,
    /// The file system did not answer.
    #[error("was not read within {} s", LIMIT.as_secs())]
    TimedOut,
    /// Its first line will not do.
    #[error("has a first line that is no password: {0}")]
    NotASecret(NotASecret),
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvTrouble {
    /// It does not exist.
    #[error("is not set")]
    Missing,
    /// Its value will not do.
    #[error("holds no password: {0}")]
    NotASecret(NotASecret),
}

/// The first line of a file; with an error comes the file that was meant.
pub(super) async fn secret(path: PathBuf) -> Result<Secret, (PathBuf, FileTrouble)> {
    let folder = std::env::var_os(CREDENTIALS);
    let (path, is_systemds) = place(path, folder.as_deref())?;
    let file = path.clone();
    let reading = tokio::task::spawn_blocking(move || read(&file, is_systemds));
    match tokio::time::timeout(LIMIT, reading).await {
        Ok(Ok(result)) => result.map_err(|why| (path, why)),
        Ok(Err(stopped)) => Err((path, FileTrouble::Unreadable(stopped.to_string()))),
        Err(_) => Err((path, FileTrouble::TimedOut)),
    }
}

/// Where the file is, and whether systemd put it there.
fn place(path: PathBuf, folder: Option<&OsStr>) -> Result<(PathBuf, bool), (PathBuf, FileTrouble)> {
    let folder = folder.filter(|f| !f.is_empty()).map(Path::new);
    let is_bare = path.parent() == Some(Path::new(""));
    match folder {
        Some(folder) if is_bare => Ok((folder.join(path), true)),
        None if is_bare => Err((path, FileTrouble::NoFolder)),
        _ => {
            let is_systemds = folder.is_some() && path.parent() == folder;
            Ok((path, is_systemds))
        }
    }
}

fn read(path: &Path, is_systemds: bool) -> Result<Secret, FileTrouble> {
    let unreadable = |e: io::Error| FileTrouble::Unreadable(e.to_string());
    let file = open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(FileTrouble::NotAFile);
    }
    must_be_private(&about, is_systemds)?;
    if about.len() > LARGEST {
        return Err(FileTrouble::TooLarge);
    }
    // The longest secret, a byte order mark, CR LF, and one octet more to see that it is too long.
    let most = secret::LIMIT + 3 + 2 + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    file.take(most as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    Secret::from_bytes(first_line(&bytes)).map_err(FileTrouble::NotASecret)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Opening a pipe would otherwise wait for its writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0),
    );
    options.open(path)
}

/// systemd's own are made readable for a group that it chose; anybody else's group may have more members than the
/// user thinks.
#[cfg(unix)]
fn must_be_private(about: &std::fs::Metadata, is_systemds: bool) -> Result<(), FileTrouble> {
    use std::os::unix::fs::MetadataExt;
    let mode = about.mode() & 0o7777;
    let shared = if is_systemds { 0o026 } else { 0o066 };
    if mode & shared != 0 {
        return Err(FileTrouble::Open { mode });
    }
    if about.uid() != 0 && about.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileTrouble::NotOurs);
    }
    Ok(())
}

/// Windows decides by access lists, which a user's own folders inherit well.
#[cfg(not(unix))]
fn must_be_private(_: &std::fs::Metadata, _: bool) -> Result<(), FileTrouble> {
    Ok(())
}

/// The value of a variable.
pub(super) fn from_env(variable: &str) -> Result<Secret, EnvTrouble> {
    // Asking for these would panic or find nothing on some systems.
    if variable.is_empty() || variable.contains(['=', '\0']) {
        return Err(EnvTrouble::Missing);
    }
    let value = std::env::var_os(variable).ok_or(EnvTrouble::Missing)?;
    Secret::from_bytes(Zeroizing::new(value.into_encoded_bytes())).map_err(EnvTrouble::NotASecret)
}
