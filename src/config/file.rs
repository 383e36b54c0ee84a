//! The settings file as a file: where it is, whether others could have changed it, reading it whole and writing it
//! whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{EditError, Mistakes, Parsed, Remark, parse, parse_with};
use crate::config::presets::Presets;
use crate::os::instance::resolve_path;
use crate::os::turn;

/// How long an edit waits for another one. An edit takes milliseconds.
const EDIT_TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// What an edit leaves that takes everything away. The running ostler takes a file with nothing in it for an unfinished one.
const NOTHING_SET: &str = "# The settings of ostler. `ostler add` adds an account.\n";

/// The longest settings file that is read. A thousand accounts take about a tenth of it.
const MAX_FILE_OCTETS: u64 = 1024 * 1024;

/// Why the settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The system refused to read it.
    #[error("cannot read the settings file {}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// It is a folder, a device or a pipe.
    #[error("the settings file {} is not a regular file", .file.display())]
    NotAFile { file: PathBuf },
    /// Longer than 1 MiB.
    #[error("the settings file {} is longer than {} KiB; is it the right file?", .file.display(), MAX_FILE_OCTETS / 1024)]
    TooLong { file: PathBuf },
    /// It is not UTF-8.
    #[error("{}:{line}:{column}: file: is not UTF-8 text; save it as UTF-8", .file.display())]
    NotText {
        file: PathBuf,
        /// Where it begins to be something else, both counted from 1.
        line: usize,
        column: usize,
    },
    /// Other users can write to it. They could add commands, which ostler would run as this user.
    #[error("other users can change the settings file {}; `{remedy}` prevents that", .file.display())]
    #[cfg_attr(windows, allow(dead_code))]
    OthersCanWrite {
        file: PathBuf,
        /// The shell command that prevents it.
        remedy: String,
    },
    /// It has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// Where the settings file is unless the user names another one; `None` if the system has no folder for it.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(user_folder("APPDATA", "XDG_CONFIG_HOME", ".config")?.join("ostler").join("ostler.toml"))
}

/// The folder for what ostler remembers by itself and can do without, such as the history; `None` if the system has
/// none.
pub(crate) fn state_folder() -> Option<PathBuf> {
    Some(user_folder("LOCALAPPDATA", "XDG_STATE_HOME", ".local/state")?.join("ostler"))
}

/// A folder of the user's own: by the variable `windows` on Windows, `Application Support` on macOS, and elsewhere by
/// the variable `xdg`, or else `below_home` (XDG Base Directory Specification, which says to ignore relative paths).
fn user_folder(windows: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|path| path.is_absolute());
    if cfg!(windows) {
        variable(windows)
    } else if cfg!(target_os = "macos") {
        Some(home()?.join("Library/Application Support"))
    } else {
        variable(xdg).or_else(|| Some(home()?.join(below_home)))
    }
}

/// Reads a settings file, and the user's own presets beside it. A file that does not exist counts as empty.
pub(crate) fn load(path: &Path) -> Result<Parsed, LoadError> {
    let Some((text, warning)) = read(path)? else {
        return Ok(Parsed { is_missing: true, ..parse("", path)? });
    };
    let mut parsed = parse_with(&text, path, &Presets::load(path)?)?;
    parsed.warnings.splice(0..0, warning);
    Ok(parsed)
}

/// Reads a file that belongs to the settings, under the same rules for its length and who may write it; `None` if there
/// is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, LoadError> {
    Ok(read(path)?.map(|(text, _)| text))
}

fn read(path: &Path) -> Result<Option<(String, Option<Remark>)>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { file: path.to_owned(), source };
    let meta = match fs::metadata(path) {
        // A dangling link is an error: the user meant a file that exists.
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    // Checked before opening, because opening a pipe would wait for a writer.
    if !meta.is_file() {
        return Err(LoadError::NotAFile { file: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file: the path may lead to another one by now.
    let warning = check_mode(path, &file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_OCTETS + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_OCTETS {
        return Err(LoadError::TooLong { file: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let (line, last) = valid.split('\n').enumerate().last().unwrap_or_default();
        LoadError::NotText { file: path.to_owned(), line: line + 1, column: last.chars().count() + 1 }
    })?;
    Ok(Some((text, warning)))
}

/// Refuses a file that other users can change or replace, and warns of one that they can read. Access for the group is
/// fine if it is the owner's private group (gid equals uid, the default on most Linux systems).
#[cfg(unix)]
fn check_mode(path: &Path, meta: &fs::Metadata) -> Result<Option<Remark>, LoadError> {
    use std::os::unix::fs::MetadataExt;

    let me = rustix::process::geteuid().as_raw();
    let refuse = |remedy| Err(LoadError::OthersCanWrite { file: path.to_owned(), remedy });
    let name = quoted(path);
    // Root can change every file anyway. When ostler runs as root, the file may be a user's, and `fill` leaves it to
    // them.
    if ![me, 0].contains(&meta.uid()) && me != 0 {
        return refuse(format!("sudo chown {me} {name}"));
    }
    let mode = meta.mode() & others(meta);
    if mode & 0o022 != 0 {
        return refuse(format!("chmod go-w {name}"));
    }
    // Write access to the folder is enough to replace the file, unless the sticky bit (as on /tmp) reserves that to
    // owners.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = real.parent()
        && let Ok(meta) = fs::metadata(folder)
        && meta.mode() & others(&meta) & 0o022 != 0
        && meta.mode() & 0o1000 == 0
    {
        return refuse(format!("chmod go-w {}", quoted(folder)));
    }
    let readable = (mode & 0o044 != 0).then(|| {
        let message = format!("other users can read it; `chmod 600 {name}` prevents that");
        Remark { file: std::sync::Arc::from(path), line: 1, column: 1, key: "file".to_owned(), message }
    });
    Ok(readable)
}

/// The permission bits that concern other users.
#[cfg(unix)]
fn others(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;

    if meta.uid() == meta.gid() { 0o007 } else { 0o077 }
}

/// On Windows a file in the user's own folder inherits that folder's access rights.
#[cfg(not(unix))]
fn check_mode(_path: &Path, _meta: &fs::Metadata) -> Result<Option<Remark>, LoadError> {
    Ok(None)
}

/// The path, quoted for a shell where it has to be.
#[cfg(unix)]
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Why a settings file was not edited.
#[derive(Debug)]
pub(crate) enum NotEdited {
    Unreadable(io::Error),
    Refused(EditError),
    Unwritable(io::Error),
}

/// Edits a settings file, one process and one thread at a time: otherwise two edits at the same moment would undo each other. A
/// file that does not exist counts as empty, as it does for [`load`].
pub(crate) fn edit_file(path: &Path, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<(), NotEdited> {
    let _turn = turn::wait_blocking(&edit_turn(path), EDIT_TURN_TIMEOUT);
    edit_now(path, edit)
}

/// As [`edit_file`], for what may run in the running ostler, in which mail goes on while it waits for another process.
pub(crate) async fn edit_file_in_task(
    path: &Path,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<(), NotEdited> {
    let _turn = turn::wait_for(&edit_turn(path), EDIT_TURN_TIMEOUT).await;
    edit_now(path, edit)
}

fn edit_turn(path: &Path) -> String {
    format!("edit {}", turn_name(path))
}

fn edit_now(path: &Path, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<(), NotEdited> {
    let text = text_to_edit(path).map_err(NotEdited::Unreadable)?;
    let mut text = edit(&text).map_err(NotEdited::Refused)?;
    if text.trim().is_empty() {
        NOTHING_SET.clone_into(&mut text);
    }
    write_atomically(path, &text).map_err(NotEdited::Unwritable)
}

/// The text of a settings file to be edited; a file that does not exist counts as empty.
pub(crate) fn text_to_edit(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// The settings file in the name of a turn: the same whichever way the path is spelt.
pub(crate) fn turn_name(path: &Path) -> String {
    resolve_path(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Replaces a settings file as a whole: every reader, even after a power cut, finds either the old text or the new one.
/// A link is followed; an existing file keeps its permissions; a new file is for its owner only. Creates the folder if
/// need be.
pub(crate) fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let path = real_path(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder)?;
    let (temporary, mut file) = new_file_beside(&path, folder)?;
    let written = fill(&mut file, &path, text);
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, &path)) {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(folder)
}

/// As [`write_atomically`] for a file that is not there yet, in a folder that is; `prepare` changes it before anybody can find it.
/// Returns `false` if there is one after all: that one stays.
#[cfg(target_os = "linux")]
pub(crate) fn write_new(path: &Path, text: &str, prepare: impl FnOnce(&File) -> io::Result<()>) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let (temporary, mut file) = new_file_beside(path, folder)?;
    let written = fill(&mut file, path, text).and_then(|()| prepare(&file));
    // Unlike a rename, a further name never takes the place of a file.
    let named = written.and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder).map(|()| true),
    }
}

/// The most links in a row that are followed on the way to a file. As many as Linux follows.
pub(crate) const MAX_LINKS: usize = 40;

/// Follows links to where the file is, or would be.
fn real_path(path: &Path) -> io::Result<PathBuf> {
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
    Err(io::Error::other("too many links in a row"))
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
        // In the same folder, because a rename cannot cross file systems.
        let temporary = folder.join(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&temporary) {
            // Left behind by an ostler that was killed. The next number is free.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (temporary, file)),
        }
    }
}

fn fill(file: &mut File, path: &Path, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    if let Ok(old) = fs::metadata(path) {
        // Only root can set another owner, and only root can have read a file of another owner's.
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

/// The rename survives a power cut only once the folder is on disk too.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems refuse to sync a folder; they keep names without being asked.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Windows cannot open a folder as a file; NTFS keeps names in its journal.
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
        let place = format!("{}:3:3: file: ", file.display());
        assert!(error.to_string().starts_with(&place) && error.to_string().contains("save it as UTF-8"), "{error}");
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

    /// `setup-service` beside an `ostler add` put its settings in the place of those with the account.
    #[cfg(target_os = "linux")]
    #[test]
    fn settings_to_begin_with_never_replace_settings() {
        let folder = folder();
        let file = folder.path().join("ostler.toml");
        let added = write_new(&file, "new", |_| write_atomically(&file, "with an account"));
        assert!(!added.unwrap(), "there were none when it began");
        assert_eq!(fs::read_to_string(&file).unwrap(), "with an account");
        fs::remove_file(&file).unwrap();
        assert!(write_new(&file, "new", |_| Ok(())).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// The running ostler would take it for a file that somebody is about to fill.
    #[test]
    fn an_edit_that_takes_everything_away_leaves_a_word() {
        let folder = folder();
        let file = folder.path().join("ostler.toml");
        fs::write(&file, "[[account]]\naddress = \"ann@gmail.com\"\n").unwrap();
        edit_file(&file, |text| crate::config::remove_account(text, "ann@gmail.com")).unwrap();
        let parsed = load(&file).unwrap();
        assert!(parsed.settings.accounts.is_empty() && !parsed.is_blank && !parsed.is_missing);
        fs::write(&file, " \n").unwrap();
        assert!(load(&file).unwrap().is_blank);
    }

    /// Two `ostler add` at the same moment saved one account.
    #[test]
    fn edits_at_the_same_moment_do_not_undo_each_other() {
        let folder = folder();
        let file = folder.path().join("ostler.toml");
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| edit_file(&file, |text| Ok(format!("{text}#\n"))).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap(), "#\n".repeat(20));
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
            assert!(warnings[0].to_string().contains(":1:1: file: other users can read it; `chmod 600 '"));
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
                error.ends_with(&format!("`chmod go-w {}` prevents that", quoted(&fs::canonicalize(&folder).unwrap())))
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
