//! Secrets in files and in variables of the environment.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::first_line;
use ostler_mail::secret::{self, NotASecret, Secret};

/// Local files answer in milliseconds; a file on a network share that went away never does.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A file larger than this is not a password file.
const MAX_FILE_OCTETS: u64 = 64 * 1024;

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
    #[error("was not read within {} s", READ_TIMEOUT.as_secs())]
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
    let (path, is_systemds) = locate(path, folder.as_deref())?;
    let file = path.clone();
    let reading = tokio::task::spawn_blocking(move || read(&file, is_systemds));
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(result)) => result.map_err(|why| (path, why)),
        Ok(Err(stopped)) => Err((path, FileTrouble::Unreadable(stopped.to_string()))),
        Err(_) => Err((path, FileTrouble::TimedOut)),
    }
}

/// Where the file is, and whether systemd put it there.
fn locate(path: PathBuf, folder: Option<&OsStr>) -> Result<(PathBuf, bool), (PathBuf, FileTrouble)> {
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
    require_private(&about, is_systemds)?;
    if about.len() > MAX_FILE_OCTETS {
        return Err(FileTrouble::TooLarge);
    }
    // The longest secret, a byte order mark, CR LF, and one octet more to see that it is too long.
    let max_octets = secret::LIMIT + 3 + 2 + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_octets));
    file.take(max_octets as u64).read_to_end(&mut bytes).map_err(unreadable)?;
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
fn require_private(about: &std::fs::Metadata, is_systemds: bool) -> Result<(), FileTrouble> {
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
fn require_private(_: &std::fs::Metadata, _: bool) -> Result<(), FileTrouble> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        mode(&path, 0o600);
        (folder, path)
    }

    fn mode(path: &Path, mode: u32) {
        #[cfg(unix)]
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        #[cfg(not(unix))]
        let _ = (path, mode);
    }

    async fn trouble(path: &Path) -> FileTrouble {
        secret(path.to_owned()).await.unwrap_err().1
    }

    #[tokio::test]
    async fn the_first_line_is_the_secret() {
        for text in ["hunter2", "hunter2\n", "hunter2\r\nuser: ann\r\n", "\u{feff}hunter2\r\n"] {
            let (_folder, path) = written(text.as_bytes());
            assert_eq!(secret(path).await.unwrap().expose(), "hunter2");
        }
        let (_folder, path) = written("x".repeat(secret::LIMIT).as_bytes());
        assert!(secret(path).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_password_file_is_refused() {
        let (folder, path) = written(b"");
        assert_eq!(trouble(&path).await, FileTrouble::NotASecret(NotASecret::Empty));
        assert_eq!(trouble(folder.path()).await, FileTrouble::NotAFile);
        assert!(matches!(trouble(&folder.path().join("none")).await, FileTrouble::Unreadable(_)));
        let (_folder, path) = written(&[b'x'; secret::LIMIT + 1]);
        assert_eq!(trouble(&path).await, FileTrouble::NotASecret(NotASecret::TooLong));
        let (_folder, path) = written(&[b'\n'; 100_000]);
        assert_eq!(trouble(&path).await, FileTrouble::TooLarge);
        let (_folder, path) =
            written("\u{feff}hunter2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice());
        assert_eq!(trouble(&path).await, FileTrouble::NotASecret(NotASecret::NotText));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_others_can_read_is_refused() {
        let (_folder, path) = written(b"hunter2\n");
        for shared in [0o640, 0o604, 0o620, 0o602, 0o644] {
            mode(&path, shared);
            assert_eq!(trouble(&path).await, FileTrouble::Open { mode: shared });
        }
        mode(&path, 0o400);
        assert!(secret(path).await.is_ok());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_is_refused_without_waiting_for_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(trouble(&path).await, FileTrouble::NotAFile);
    }

    #[test]
    fn a_bare_name_is_one_of_systemds_credentials() {
        let folder = OsStr::new("/run/credentials/ostler.service");
        let inside = PathBuf::from("/run/credentials/ostler.service/home");
        assert_eq!(locate("home".into(), Some(folder)), Ok((inside.clone(), true)));
        assert_eq!(locate(inside.clone(), Some(folder)), Ok((inside.clone(), true)));
        assert_eq!(locate(inside.clone(), None), Ok((inside, false)));
        assert_eq!(locate("/home/ann/pw".into(), Some(folder)), Ok(("/home/ann/pw".into(), false)));
        assert_eq!(locate("home".into(), None), Err(("home".into(), FileTrouble::NoFolder)));
        assert_eq!(locate("home".into(), Some(OsStr::new(""))), Err(("home".into(), FileTrouble::NoFolder)));
    }

    #[cfg(unix)]
    #[test]
    fn systemds_credentials_may_be_readable_for_their_group() {
        let (_folder, path) = written(b"hunter2");
        mode(&path, 0o440);
        assert_eq!(read(&path, true).unwrap().expose(), "hunter2");
        assert_eq!(read(&path, false).err(), Some(FileTrouble::Open { mode: 0o440 }));
        mode(&path, 0o444);
        assert_eq!(read(&path, true).err(), Some(FileTrouble::Open { mode: 0o444 }));
    }

    #[test]
    fn a_variable_that_is_not_there_is_an_error_not_a_panic() {
        for name in ["OSTLER_TEST_NO_SUCH_VARIABLE", "", "A=B", "A\0"] {
            assert_eq!(from_env(name).err(), Some(EnvTrouble::Missing));
        }
        assert!(from_env("PATH").is_ok());
    }
}
