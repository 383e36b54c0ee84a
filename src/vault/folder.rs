//! Secrets in a folder of files, in place of the system's keyring: for a service or a container, where no user logs in to unlock
//! a keyring. The user chooses it with a variable of ostler's environment; nothing else makes ostler write a secret to
//! a file.
//!
//! Folder and files are for their owner only. A file has a hash as its name, because the user part of an entry may hold any
//! character; its first line is the entry, the rest the secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::is_entry_of;
use super::worker::{Request, Trouble};
use crate::os::local::make_private;
use ostler_mail::wire::hex;

/// A larger file was not written by ostler. Tokens of OAuth2 are the longest secrets, at most a few ten thousand octets.
const MAX_FILE_OCTETS: u64 = 1024 * 1024;

/// The ending of a file that is being written.
const UNFINISHED: &str = "new";

/// Carries out one request.
pub(super) fn serve(folder: &Path, request: &Request) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    prepare(folder)?;
    let done = match request {
        Request::Read { entry } => return read(folder, entry),
        Request::Write { entry, secret } => write(folder, entry, secret),
        Request::Forget { account, entries } => forget(folder, account.as_deref(), entries),
    };
    done.map(|()| Zeroizing::default()).map_err(|error| Trouble::Other(format!("{}: {error}", folder.display())))
}

fn prepare(folder: &Path) -> Result<(), Trouble> {
    let unusable = |why: String| Trouble::NoKeyring(format!("the folder for secrets, {}, {why}", folder.display()));
    if !folder.is_absolute() {
        return Err(unusable("is not an absolute path".to_owned()));
    }
    make_private(folder).map_err(|error| unusable(format!("cannot be used: {error}")))
}

fn read(folder: &Path, entry: &str) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let path = path_of(folder, entry);
    let octets = match read_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::NoEntry),
        other => other.map_err(|error| Trouble::Other(format!("{}: {error}", path.display())))?,
    };
    match split(&octets) {
        Some((of, secret)) if of == entry.as_bytes() => Ok(Zeroizing::new(secret.to_vec())),
        _ => Err(Trouble::Other(format!("{} was not written by ostler", path.display()))),
    }
}

fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::new());
    File::open(path)?.take(MAX_FILE_OCTETS).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The entry and the secret.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = octets.iter().position(|octet| *octet == b'\n')?;
    Some((&octets[..end], &octets[end + 1..]))
}

/// Replaces the file as a whole, so that a reader, even after a power cut, finds the old secret or the new one.
fn write(folder: &Path, entry: &str, secret: &[u8]) -> io::Result<()> {
    let path = path_of(folder, entry);
    // Another process may write the same entry, in another container too, where it has the same number.
    let mut mark = [0; 8];
    let _ = crate::os::random(&mut mark);
    let unfinished = path.with_extension(format!("{}-{}-{UNFINISHED}", std::process::id(), hex(&mark)));
    let written = fill(&unfinished, entry, secret).and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn fill(path: &Path, entry: &str, secret: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(entry.as_bytes())?;
    file.write_all(b"\n")?;
    file.write_all(secret)?;
    file.sync_all()
}

fn forget(folder: &Path, account: Option<&str>, entries: &[String]) -> io::Result<()> {
    for entry in entries {
        remove(&path_of(folder, entry))?;
    }
    let Some(account) = account else { return Ok(()) };
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let Ok(octets) = read_file(&path) else { continue };
        let of = split(&octets).and_then(|(of, _)| std::str::from_utf8(of).ok());
        if of.is_some_and(|of| is_entry_of(of, account)) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn path_of(folder: &Path, entry: &str) -> PathBuf {
    let mut name = hex(&Sha256::digest(entry.as_bytes()));
    // 128 bits: two entries never share a file, and the first line would tell.
    name.truncate(32);
    folder.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const HOME: &str = "home pop3 tls mail.example.net:995 ann";

    fn ask(folder: &Path, request: Request) -> Result<Vec<u8>, Trouble> {
        serve(folder, &request).map(|answer| answer.to_vec())
    }

    fn read_entry(folder: &Path, entry: &str) -> Result<Vec<u8>, Trouble> {
        ask(folder, Request::Read { entry: entry.to_owned() })
    }

    fn write_entry(folder: &Path, entry: &str, secret: &[u8]) {
        let secret = Zeroizing::new(secret.to_vec());
        ask(folder, Request::Write { entry: entry.to_owned(), secret }).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_read_and_is_for_its_owner_only() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("secrets");
        assert_eq!(read_entry(&folder, HOME), Err(Trouble::NoEntry));
        for secret in [&b"hunter2"[..], b"p\xe4ssword with blanks ", b"{\n \"tokens\": 1\n}\n"] {
            write_entry(&folder, HOME, secret);
            assert_eq!(read_entry(&folder, HOME).unwrap(), secret);
        }
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!((mode(&folder), mode(&files[0])), (0o700, 0o600));
    }

    #[test]
    fn an_account_is_forgotten_with_its_former_servers_and_no_other_is() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("secrets");
        let [old, local, other] =
            ["home smtp tls old.example.net:465 ann", "home local-password", "home office local-password"];
        for entry in [HOME, old, local, other] {
            write_entry(&folder, entry, entry.as_bytes());
        }
        ask(&folder, Request::Forget { account: None, entries: vec![HOME.into(), "none".into()] }).unwrap();
        assert_eq!(read_entry(&folder, HOME), Err(Trouble::NoEntry));
        assert!(read_entry(&folder, old).is_ok());
        ask(&folder, Request::Forget { account: Some("home".into()), entries: Vec::new() }).unwrap();
        for entry in [old, local] {
            assert_eq!(read_entry(&folder, entry), Err(Trouble::NoEntry), "{entry}");
        }
        assert_eq!(read_entry(&folder, other).unwrap(), other.as_bytes());
    }

    #[test]
    fn a_folder_that_will_not_do_is_named() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        for folder in [file.as_path(), Path::new("secrets")] {
            let Err(Trouble::NoKeyring(why)) = read_entry(folder, HOME) else { panic!("{folder:?}") };
            assert!(why.contains(&folder.display().to_string()), "{why}");
        }
        let folder = base.path().join("secrets");
        write_entry(&folder, HOME, b"hunter2");
        fs::write(path_of(&folder, HOME), "something else").unwrap();
        let Err(Trouble::Other(why)) = read_entry(&folder, HOME) else { panic!() };
        assert!(why.ends_with("was not written by ostler"), "{why}");
    }
}
