//! Starting at login: whether ostler does, switching it on and off. What each system stores is in a file of its own (`xdg`,
//! `windows`, `macos`): pure text, tested on every system, and the few lines that store it.
//!
//! The stored text is read again each time, because other programs (a desktop's settings, the Task Manager) change it too.
//!
//! Not here: what ostler does once started, which is the same as when the user starts it without a command.

#[cfg(any(test, target_os = "macos"))]
mod macos;
#[cfg(any(test, windows))]
mod windows;
#[cfg(any(test, not(any(windows, target_os = "macos"))))]
mod xdg;

use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;
#[cfg(not(any(windows, target_os = "macos")))]
use xdg as system;

use crate::config;
use crate::os;

/// Whether ostler starts at login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Off,
    /// This program starts with this settings file when its user logs in. `place` is the file or the key of the registry
    /// that says so.
    On {
        place: String,
    },
    /// systemd starts it as a service of the user (Linux), without an icon. `place` is systemd's link.
    #[cfg_attr(any(windows, target_os = "macos"), allow(dead_code))]
    Service {
        place: String,
    },
    /// The entry under ostler's name starts another program, uses other settings, or names a program that no longer exists.
    /// `starts` is its command as written.
    Elsewhere {
        place: String,
        starts: String,
    },
}

impl State {
    /// Whether ostler itself starts, with or without an icon.
    pub(crate) fn is_on(&self) -> bool {
        matches!(self, Self::On { .. } | Self::Service { .. })
    }
}

/// Why the start at login could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AutostartError {
    #[error("ostler cannot find its own program file; start it by its full path and try again")]
    NoProgram(#[source] io::Error),
    #[error("this system names no folder for what starts at login; set the variable HOME and try again")]
    #[cfg_attr(windows, allow(dead_code))]
    NoFolder,
    /// No desktop starts programs at login here (Linux).
    #[cfg_attr(any(windows, target_os = "macos"), allow(dead_code))]
    #[error(
        "this computer has no desktop that starts programs at login. `sudo ostler setup-service` makes ostler a service that \
         starts with the computer. For you alone, {}",
        by_systemd(*has_unit)
    )]
    NoDesktop {
        /// Whether systemd knows a unit of that name for users.
        has_unit: bool,
    },
    /// The path of the program or the settings file cannot be written in the system's format.
    #[error("{} cannot start at login, because its path {why}; move it to another path and try again", path.display())]
    Path { path: PathBuf, why: &'static str },
    /// The administrator has switched it on for everyone, in a way that no file of the user can switch off (Linux).
    #[cfg_attr(any(windows, target_os = "macos"), allow(dead_code))]
    #[error(
        "the administrator has switched this on for everyone ({place}); `systemctl --user mask ostler.service` \
             switches it off for you alone"
    )]
    ForEveryone { place: String },
    #[error("cannot read {place}; check that you are allowed to, and try again")]
    Read { place: String, source: io::Error },
    #[error("cannot change {place}; check that you are allowed to, and try again")]
    Change { place: String, source: io::Error },
}

/// How systemd starts ostler with the computer, whether or not the user logs in.
fn by_systemd(has_unit: bool) -> String {
    let start =
        "`systemctl --user enable --now ostler.service`, and `loginctl enable-linger` to start it before you log in";
    if has_unit {
        return format!("run {start}");
    }
    format!(
        "put the file ostler.service of the archive into ~/.config/systemd/user, with the path of this ostler in it, and run {start}"
    )
}

/// Whether this program starts with this settings file at login.
pub(crate) fn status(settings_file: &Path) -> Result<State, AutostartError> {
    system::status(&Start::of(settings_file)?)
}

/// Makes this program start with this settings file at login, whatever was stored before. Changes nothing if systemd starts
/// it already, because the second start would only find the first one running. Returns the new state.
pub(crate) fn on(settings_file: &Path) -> Result<State, AutostartError> {
    let start = Start::of(settings_file)?;
    system::on(&start)?;
    system::status(&start)
}

/// Removes whatever starts ostler at login. Returns the new state.
pub(crate) fn off(settings_file: &Path) -> Result<State, AutostartError> {
    system::off()?;
    system::status(&Start::of(settings_file)?)
}

/// At login ostler must not open the settings page by itself.
const SILENT: &str = "--silent";

/// The command to start at login. It has no subcommand, so that ostler shows its icon where there is a desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    program: PathBuf,
    /// The settings file, unless it is the default one.
    settings: Option<PathBuf>,
}

impl Start {
    fn of(settings_file: &Path) -> Result<Self, AutostartError> {
        let program = windowless(program().map_err(AutostartError::NoProgram)?);
        let settings = std::path::absolute(settings_file).unwrap_or_else(|_| settings_file.to_owned());
        let is_default = config::default_path().is_some_and(|path| path == settings);
        Ok(Self { program, settings: (!is_default).then_some(settings) })
    }

    /// The program and its arguments. Fails if one is not Unicode: every system stores the command as text.
    fn words(&self) -> Result<Vec<&str>, AutostartError> {
        let text = |path: &'_ Path| AutostartError::Path { path: path.to_owned(), why: "is not Unicode text" };
        let mut words = vec![self.program.to_str().ok_or_else(|| text(&self.program))?];
        if let Some(settings) = &self.settings {
            words.extend(["--config", settings.to_str().ok_or_else(|| text(settings))?]);
        }
        words.push(SILENT);
        Ok(words)
    }

    /// Whether a stored command starts the same program with the same settings; other options do not matter.
    fn is_started_by(&self, words: &[String]) -> bool {
        let Some((program, arguments)) = words.split_first() else { return false };
        // A desktop looks a bare name up in the search path.
        let named = Path::new(program);
        let found = if named.components().count() > 1 { Some(named.to_owned()) } else { in_search_path(program) };
        found.is_some_and(|found| same_file(&windowless(found), &self.program)) && {
            match (settings_in(arguments), &self.settings) {
                (Some(written), Some(wanted)) => same_file(written, wanted),
                (Some(written), None) => config::default_path().is_some_and(|path| same_file(written, &path)),
                (None, wanted) => wanted.is_none(),
            }
        }
    }

    /// The state that a stored command means; `words` is `None` if it could not be parsed.
    fn judge(&self, place: String, words: Option<Vec<String>>, as_written: &str) -> State {
        if words.is_some_and(|words| self.is_started_by(&words)) {
            State::On { place }
        } else {
            State::Elsewhere { place, starts: as_written.to_owned() }
        }
    }
}

fn settings_in(arguments: &[String]) -> Option<&Path> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(Path::new);
        }
        if let Some(file) = argument.strip_prefix("--config=") {
            return Some(Path::new(file));
        }
    }
    None
}

/// Compares files by what their paths lead to, and by name if neither exists: the settings file may still be missing.
fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => one == other,
        _ => false,
    }
}

/// The path of this program. If the search path leads to it, that path: package managers that give each version a folder of
/// its own (Homebrew, Nix) remove the folder at an upgrade and replace the link in the search path. In an AppImage, the image.
fn program() -> io::Result<PathBuf> {
    if let Some(image) = os::appimage() {
        return Ok(image);
    }
    let file = without_deleted(std::env::current_exe()?);
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Ok(file) };
    Ok(in_search_path(name).filter(|found| same_file(found, &file)).unwrap_or(file))
}

/// On Windows, `ostlerw.exe`, which opens no console window, if it is in the same folder.
fn windowless(program: PathBuf) -> PathBuf {
    if cfg!(windows) { beside(program) } else { program }
}

fn beside(program: PathBuf) -> PathBuf {
    let is_ours =
        program.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.eq_ignore_ascii_case("ostler.exe"));
    let other = program.with_file_name("ostlerw.exe");
    if is_ours && other.is_file() { other } else { program }
}

/// After an upgrade, Linux adds " (deleted)" to the path of the old program that is still running. The new one has the path
/// without it.
fn without_deleted(file: PathBuf) -> PathBuf {
    let stripped = file.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    stripped.filter(|new| !file.exists() && new.exists()).unwrap_or(file)
}

fn in_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|f| f.join(program)).find(|f| f.is_file())
}

#[cfg(any(test, not(windows)))]
fn write(file: &Path, text: &str) -> Result<(), AutostartError> {
    config::write_atomically(file, text)
        .map_err(|source| AutostartError::Change { place: file.display().to_string(), source })
}

/// Removes a file; a missing one is fine.
#[cfg(any(test, not(windows)))]
fn remove(file: &Path) -> Result<(), AutostartError> {
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(AutostartError::Change { place: file.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// The text of a file; `None` if there is no file. Octets that are not UTF-8 become replacement characters, which no path
/// that ostler writes can hold.
#[cfg(any(test, not(windows)))]
fn read(file: &Path) -> Result<Option<String>, AutostartError> {
    match std::fs::read(file) {
        Ok(octets) => Ok(Some(String::from_utf8_lossy(&octets).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AutostartError::Read { place: file.display().to_string(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn the_same_start_is_known_in_every_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ostler");
        let settings = folder.path().join("my.toml");
        std::fs::write(&program, "").unwrap();
        let (p, s) = (program.to_str().unwrap(), settings.to_str().unwrap());
        let start = Start { program: program.clone(), settings: Some(settings.clone()) };
        assert_eq!(start.words().unwrap(), [p, "--config", s, "--silent"]);
        assert!(start.is_started_by(&words(&[p, "--config", s])));
        assert!(start.is_started_by(&words(&[p, "-v", &format!("--config={s}"), "run"])));
        assert!(!start.is_started_by(&words(&[p])));
        assert!(!start.is_started_by(&words(&[p, "--config"])));
        assert!(!start.is_started_by(&words(&[])));
        let plain = Start { program: program.clone(), settings: None };
        assert!(plain.is_started_by(&words(&[p])));
        assert!(!plain.is_started_by(&words(&[p, "--config", s])));
        std::fs::remove_file(&program).unwrap();
        std::fs::create_dir(&program).unwrap();
        assert!(!start.is_started_by(&words(&["/no/such/ostler", "--config", s])));
    }

    #[test]
    fn of_the_two_programs_of_windows_the_silent_one_starts_at_login() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("Ostler.exe"), "").unwrap();
        assert_eq!(beside(file("Ostler.exe")), file("Ostler.exe"), "there is only this one");
        std::fs::write(file("ostlerw.exe"), "").unwrap();
        for name in ["ostler.exe", "Ostler.exe", "ostlerw.exe"] {
            assert_eq!(beside(file(name)), file("ostlerw.exe"), "{name}");
        }
        assert_eq!(beside(file("other.exe")), file("other.exe"));
    }

    #[test]
    fn the_program_of_an_upgraded_ostler_is_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ostler");
        let deleted = folder.path().join("ostler (deleted)");
        assert_eq!(without_deleted(deleted.clone()), deleted);
        std::fs::write(&program, "").unwrap();
        assert_eq!(without_deleted(deleted), program);
        assert_eq!(without_deleted(program.clone()), program);
    }
}
