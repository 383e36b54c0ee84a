//! The settings file as a file: where it is, whether it can be trusted, reading it whole and writing it whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Mistakes, Parsed, Remark, parse, parse_with};
use crate::config::presets::Presets;

/// The longest settings file that is read, in octets. A thousand accounts are a tenth of it.
const MAX_FILE_OCTETS: u64 = 1024 * 1024;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system does not let us.
    #[error("cannot read the settings file {}", .file.display())]
    Unreadable {
        /// The file as it was named.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("the settings file {} is not a regular file", .file.display())]
    NotAFile {
        /// The file as it was named.
        file: PathBuf,
    },
    /// Longer than 1 MiB.
    #[error("the settings file {} is longer than {} KiB; is it the right file?", .file.display(), MAX_FILE_OCTETS / 1024)]
    TooLong {
        /// The file as it was named.
        file: PathBuf,
    },
    /// Not UTF-8.
    #[error("line {line} of the settings file {} is not UTF-8 text; save it as UTF-8", .file.display())]
    NotText {
        /// The file as it was named.
        file: PathBuf,
        /// The first such line, counted from 1.
        line: usize,
    },
    /// Somebody else could put commands into it that ostler would run.
    #[error("the settings file {} can be changed by others; `{remedy}` puts that right", .file.display())]
    OthersCanWrite {
        /// The file as it was named.
        file: PathBuf,
        /// The command that helps.
        remedy: String,
    },
    /// It was read, and there are mistakes in it.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// Where the settings file is if nobody says otherwise; `None` if the system names no folder for it.
pub fn default_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_CONFIG_HOME").or_else(|| home().map(|home| home.join(".config")))
    };
    folder.map(|folder| folder.join("ostler").join("ostler.toml"))
}

/// The folder for what ostler remembers of its own accord and could do without; `None` if the system names none.
pub fn state_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")))
    };
    folder.map(|folder| folder.join("ostler"))
}

/// Reads a settings file, and the user's own presets beside it. One that is not there is an empty one.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    let Some((text, warning)) = read(path)? else {
        return Ok(Parsed { is_missing: true, ..parse("", path)? });
    };
    let mut parsed = parse_with(&text, path, &Presets::load(path)?)?;
    parsed.warnings.splice(0..0, warning);
    Ok(parsed)
}

/// The text of a file that belongs to the settings; `None` if there is no such file. It has to be as trustworthy as
/// they are, and may be as long.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, LoadError> {
    Ok(read(path)?.map(|(text, _)| text))
}

fn read(path: &Path) -> Result<Option<(String, Option<Remark>)>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { file: path.to_owned(), source };
    let meta = match fs::metadata(path) {
        // A link to nowhere is not a file that nobody has written yet.
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    // Before it is opened: opening a pipe would wait for a writer.
    if !meta.is_file() {
        return Err(LoadError::NotAFile { file: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let warning = check_mode(path, &file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_OCTETS + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_OCTETS {
        return Err(LoadError::TooLong { file: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        LoadError::NotText { file: path.to_owned(), line }
    })?;
    Ok(Some((text, warning)))
}

/// Refuses a file that others can write or replace, and warns of one that others can read. A group that belongs to the owner
/// alone (same number, as most Linux systems have it) is nobody else.
#[cfg(unix)]
fn check_mode(path: &Path, meta: &fs::Metadata) -> Result<Option<Remark>, LoadError> {
    use std::os::unix::fs::MetadataExt;

    let me = rustix::process::geteuid().as_raw();
    let refuse = |remedy| Err(LoadError::OthersCanWrite { file: path.to_owned(), remedy });
    let name = quoted(path);
    if ![me, 0].contains(&meta.uid()) && me != 0 {
        return refuse(format!("sudo chown {me} {name}"));
    }
    let mode = meta.mode() & others(meta);
    if mode & 0o022 != 0 {
        return refuse(format!("chmod go-w {name}"));
    }
    // Who can write in its folder can put another file in its place, unless only owners may (the sticky bit, as in /tmp).
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = real.parent()
        && let Ok(meta) = fs::metadata(folder)
        && meta.mode() & others(&meta) & 0o022 != 0
        && meta.mode() & 0o1000 == 0
    {
        return refuse(format!("chmod go-w {}", quoted(folder)));
    }
    let readable = (mode & 0o044 != 0).then(|| {
        let message = format!("others can read it; `chmod 600 {name}` puts that right");
        Remark { file: std::sync::Arc::from(path), line: 1, column: 1, key: "file".to_owned(), message }
    });
    Ok(readable)
}

/// The rights of whoever is not the owner.
#[cfg(unix)]
fn others(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;

    if meta.uid() == meta.gid() { 0o007 } else { 0o077 }
}

/// Elsewhere a file in the user's own folder inherits that folder's rights.
#[cfg(not(unix))]
fn check_mode(_path: &Path, _meta: &fs::Metadata) -> Result<Option<Remark>, LoadError> {
    Ok(None)
}

/// A path as it has to be given to a shell.
#[cfg(unix)]
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Replaces a settings file as a whole: whoever reads it, and whatever power fails, there is either the old text or
/// the new one. A link is followed, an existing file's rights are kept, a new file is for its owner only. Makes the
/// folder where there is none.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let path = real_path(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder)?;
    let (temporary, mut file) = new_file_beside(&path, folder)?;
    let written = fill(&mut file, &path, text);
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, &path)) {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(folder)
}

/// Where a chain of links ends, whether or not there is a file.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    // As many as Linux follows.
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&path)?;
                path = path.parent().unwrap_or(Path::new("")).join(target);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("too many links one after the other"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn new_file_beside(path: &Path, folder: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path of the settings file names no file"))?;
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{count}.new", std::process::id()));
        let temporary = folder.join(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (temporary, file)),
        }
    }
}

fn fill(file: &mut File, path: &Path, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    if let Ok(old) = fs::metadata(path) {
        // Its owner can only be kept by root; everybody else is the owner.
        let meta: &dyn std::os::unix::fs::MetadataExt = &old;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            let _ = std::os::unix::fs::fchown(&*file, Some(meta.uid()), Some(meta.gid()));
        }
        file.set_permissions(old.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = path;
    file.sync_all()
}

/// A new name is safe on disk only when the folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot, and do it anyway.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Elsewhere a folder cannot be opened as a file; the file system's journal keeps the name.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_missing_file_is_an_empty_one() {
        let parsed = load(&folder().path().join("none.toml")).unwrap();
        assert!(parsed.is_missing);
        assert!(parsed.settings.accounts.is_empty());
        assert_eq!(parsed.settings.doors.len(), 6);
    }

    #[test]
    fn what_is_no_settings_file_is_refused() {
        let folder = folder();
        assert!(matches!(load(folder.path()), Err(LoadError::NotAFile { .. })));
        let file = folder.path().join("ostler.toml");
        write_atomically(&file, &"# \n".repeat(400_000)).unwrap();
        assert!(matches!(load(&file), Err(LoadError::TooLong { .. })));
        fs::write(&file, b"\n\n# \xff\n").unwrap();
        let error = load(&file).unwrap_err();
        assert!(matches!(error, LoadError::NotText { line: 3, .. }));
        assert!(error.to_string().contains("save it as UTF-8"));
    }

    #[test]
    fn writing_leaves_one_file_with_the_new_text() {
        let folder = folder();
        let file = folder.path().join("new/deep/ostler.toml");
        write_atomically(&file, "one").unwrap();
        write_atomically(&file, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{PermissionsExt, symlink};

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        fn set_mode(path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn a_new_file_is_private_and_an_old_one_keeps_its_rights() {
            let folder = folder();
            let file = folder.path().join("ostler.toml");
            write_atomically(&file, "").unwrap();
            assert_eq!(mode(&file), 0o600);
            set_mode(&file, 0o640);
            write_atomically(&file, "").unwrap();
            assert_eq!(mode(&file), 0o640);
        }

        #[test]
        fn a_link_stays_a_link() {
            let folder = folder();
            let link = folder.path().join("ostler.toml");
            fs::create_dir(folder.path().join("dotfiles")).unwrap();
            symlink("dotfiles/mine.toml", &link).unwrap();
            assert!(matches!(load(&link), Err(LoadError::Unreadable { .. })));
            write_atomically(&link, "[local]\n").unwrap();
            write_atomically(&link, "[local]\nimap = false\n").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(
                fs::read_to_string(folder.path().join("dotfiles/mine.toml")).unwrap(),
                "[local]\nimap = false\n"
            );
            assert_eq!(load(&link).unwrap().settings.doors.len(), 4);
        }

        #[test]
        fn others_may_not_write_and_should_not_read() {
            let folder = folder();
            let file = folder.path().join("it's.toml");
            write_atomically(&file, "").unwrap();
            assert!(load(&file).unwrap().warnings.is_empty());
            set_mode(&file, 0o604);
            let warnings = load(&file).unwrap().warnings;
            assert!(warnings[0].to_string().contains(":1:1: file: others can read it; `chmod 600 '"));
            set_mode(&file, 0o602);
            let error = load(&file).unwrap_err();
            assert!(matches!(error, LoadError::OthersCanWrite { .. }));
            assert!(error.to_string().contains("it'\\''s.toml'"), "{error}");
        }

        #[test]
        fn a_folder_in_which_others_can_write_makes_its_file_theirs() {
            let outer = folder();
            let folder = outer.path().join("config");
            let file = folder.join("ostler.toml");
            write_atomically(&file, "").unwrap();
            for (bits, is_refused) in [(0o777, true), (0o702, true), (0o1777, false), (0o755, false), (0o700, false)] {
                set_mode(&folder, bits);
                assert_eq!(matches!(load(&file), Err(LoadError::OthersCanWrite { .. })), is_refused, "{bits:o}");
            }
            set_mode(&folder, 0o777);
            let error = load(&file).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!(
                    "`chmod go-w {}` puts that right",
                    quoted(&fs::canonicalize(&folder).unwrap())
                ))
            );
            // A link in a safe place to a file in an unsafe one.
            let link = outer.path().join("link.toml");
            symlink(&file, &link).unwrap();
            assert!(matches!(load(&link), Err(LoadError::OthersCanWrite { .. })));
        }

        #[test]
        fn a_pipe_is_not_waited_for() {
            assert!(matches!(load(Path::new("/dev/null")), Err(LoadError::NotAFile { .. })));
        }
    }
}
