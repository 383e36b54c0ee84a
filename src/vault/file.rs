//! Reads secrets from files and from environment variables.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::first_line;
use ostler_mail::secret::{self, NotASecret, Secret};

/// A local file is read in milliseconds; one on a network share that has gone away never is.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A larger file is not a password file.
const MAX_FILE_OCTETS: u64 = 64 * 1024;

/// The variable with the folder in which systemd puts the files of `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What is wrong with a password file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileTrouble {
    /// It is a bare name, and systemd gave no credentials folder to find it in.
    #[error("has no folder, and there is no {CREDENTIALS} to find it in")]
    NoFolder,
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It is a folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Other users may read or change it.
    #[error("can be read or changed by other users (mode {mode:04o}): run `chmod 600` on it")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who can read and change it.
    #[error("belongs to another user")]
    NotOurs,
    /// It is larger than a password file would be.
    #[error("is too large for a password file")]
    TooLarge,
    /// The file system did not answer.
    #[error("was not read within {} s", READ_TIMEOUT.as_secs())]
    TimedOut,
    /// Its first line cannot be a secret.
    #[error("has a first line that cannot be a password: {0}")]
    NotASecret(NotASecret),
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvTrouble {
    /// It does not exist.
    #[error("is not set")]
    Missing,
    /// Its value cannot be a secret.
    #[error("holds no password: {0}")]
    NotASecret(NotASecret),
}

/// The first line of the file. An error comes with the path that was tried, which may be in systemd's folder.
pub(super) async fn secret(path: PathBuf) -> Result<Secret, (PathBuf, FileTrouble)> {
    let folder = std::env::var_os(CREDENTIALS);
    let (path, placed_by) = locate(path, folder.as_deref())?;
    let file = path.clone();
    let reading = tokio::task::spawn_blocking(move || read(&file, placed_by));
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(result)) => result.map_err(|why| (path, why)),
        Ok(Err(stopped)) => Err((path, FileTrouble::Unreadable(stopped.to_string()))),
        // The thread stays with the file system that does not answer; nothing else waits for it.
        Err(_) => Err((path, FileTrouble::TimedOut)),
    }
}

/// Who put a password file where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlacedBy {
    User,
    /// systemd, by `LoadCredential=`.
    Systemd,
}

/// Finds the file; `folder` is systemd's folder of credentials.
fn locate(path: PathBuf, folder: Option<&OsStr>) -> Result<(PathBuf, PlacedBy), (PathBuf, FileTrouble)> {
    let folder = folder.filter(|f| !f.is_empty()).map(Path::new);
    let is_bare = path.parent() == Some(Path::new(""));
    match folder {
        Some(folder) if is_bare => Ok((folder.join(path), PlacedBy::Systemd)),
        None if is_bare => Err((path, FileTrouble::NoFolder)),
        _ => {
            let is_in_folder = folder.is_some() && path.parent() == folder;
            Ok((path, if is_in_folder { PlacedBy::Systemd } else { PlacedBy::User }))
        }
    }
}

fn read(path: &Path, placed_by: PlacedBy) -> Result<Secret, FileTrouble> {
    let unreadable = |e: io::Error| FileTrouble::Unreadable(e.to_string());
    let file = open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(FileTrouble::NotAFile);
    }
    require_private(&about, placed_by)?;
    if about.len() > MAX_FILE_OCTETS {
        return Err(FileTrouble::TooLarge);
    }
    // The longest secret, a byte order mark, CR LF, and one octet more to notice that it is too long.
    let max_octets = secret::LIMIT + 3 + 2 + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_octets));
    file.take(max_octets as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    Secret::from_bytes(first_line(&bytes)).map_err(FileTrouble::NotASecret)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Without this, opening a pipe would wait for a writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0),
    );
    options.open(path)
}

/// Refuses a file that other users can read or change. A group may read systemd's own files, because systemd chose the
/// group; any other group may have more members than the user knows.
#[cfg(unix)]
fn require_private(about: &std::fs::Metadata, placed_by: PlacedBy) -> Result<(), FileTrouble> {
    use std::os::unix::fs::MetadataExt;
    let mode = about.mode() & 0o7777;
    let forbidden = match placed_by {
        PlacedBy::User => 0o066,
        PlacedBy::Systemd => 0o026,
    };
    if mode & forbidden != 0 {
        return Err(FileTrouble::Open { mode });
    }
    // Root can read every file anyway, and may have put this one there for the user.
    if about.uid() != 0 && about.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileTrouble::NotOurs);
    }
    Ok(())
}

/// On Windows, files inherit the access list of the user's own folder.
#[cfg(not(unix))]
fn require_private(_: &std::fs::Metadata, _: PlacedBy) -> Result<(), FileTrouble> {
    Ok(())
}

/// The value of an environment variable.
pub(super) fn from_env(variable: &str) -> Result<Secret, EnvTrouble> {
    // `var_os` may panic for such names on some systems.
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
            assert_eq!(secret(path).await.unwrap().text(), "hunter2");
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
        assert_eq!(locate("home".into(), Some(folder)), Ok((inside.clone(), PlacedBy::Systemd)));
        assert_eq!(locate(inside.clone(), Some(folder)), Ok((inside.clone(), PlacedBy::Systemd)));
        assert_eq!(locate(inside.clone(), None), Ok((inside, PlacedBy::User)));
        assert_eq!(locate("/home/ann/pw".into(), Some(folder)), Ok(("/home/ann/pw".into(), PlacedBy::User)));
        assert_eq!(locate("home".into(), None), Err(("home".into(), FileTrouble::NoFolder)));
        assert_eq!(locate("home".into(), Some(OsStr::new(""))), Err(("home".into(), FileTrouble::NoFolder)));
    }

    #[cfg(unix)]
    #[test]
    fn systemds_credentials_may_be_readable_for_their_group() {
        let (_folder, path) = written(b"hunter2");
        mode(&path, 0o440);
        assert_eq!(read(&path, PlacedBy::Systemd).unwrap().text(), "hunter2");
        assert_eq!(read(&path, PlacedBy::User).err(), Some(FileTrouble::Open { mode: 0o440 }));
        mode(&path, 0o444);
        assert_eq!(read(&path, PlacedBy::Systemd).err(), Some(FileTrouble::Open { mode: 0o444 }));
    }

    #[test]
    fn a_variable_that_is_not_there_is_an_error_not_a_panic() {
        for name in ["OSTLER_TEST_NO_SUCH_VARIABLE", "", "A=B", "A\0"] {
            assert_eq!(from_env(name).err(), Some(EnvTrouble::Missing));
        }
        assert!(from_env("PATH").is_ok());
    }
}
