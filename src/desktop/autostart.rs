//! Starting at login: whether ostler does, switching it on and off. Each system's way of writing it down is in a file
//! of its own (`xdg`, `windows`, `macos`): pure text there, tested on every system, and the few lines that keep it.
//!
//! What is kept is always looked at afresh: other programs (a desktop's settings, the Task Manager) change it too.
//! Not here: what ostler does once started, which is the same as when a person starts it without a command.

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

/// Whether ostler starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It does not.
    Off,
    /// This program starts with these settings when its user logs in.
    On {
        /// Where that is written down, for people: a file, or a key of the registry.
        place: String,
    },
    /// systemd starts it as a service of the user (Linux), without an icon.
    Service {
        /// The link by which systemd knows.
        place: String,
    },
    /// Something starts at login under ostler's name, but another program, other settings, or nothing that is there.
    Elsewhere {
        /// Where that is written down.
        place: String,
        /// The command, as it stands there.
        starts: String,
    },
}

/// Why the start at login could not be looked up or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AutostartError {
    /// The system does not say which file this program came from.
    #[error("ostler cannot find its own program file; start it by its full path and try again")]
    NoProgram(#[source] io::Error),
    /// There is no folder to write it down in.
    #[error("this system names no folder for what starts at login; set the variable HOME and try again")]
    NoFolder,
    /// A path that the system's form has no spelling for.
    #[error("{} cannot be started at login, because its path {why}; move it to a path without and try again", path.display())]
    Path {
        /// The program or the settings file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The administrator has switched it on for everyone, in a way a user cannot take back by a file of his own.
    #[error(
        "the administrator has switched this on for everyone ({place}); `systemctl --user mask ostler.service` \
             switches it off for you alone"
    )]
    ForEveryone {
        /// Where.
        place: String,
    },
    /// What is there cannot be read.
    #[error("cannot read {place}; look whether you may open it, and try again")]
    Read {
        /// Where.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written or taken away.
    #[error("cannot change {place}; look whether you may write there, and try again")]
    Change {
        /// Where.
        place: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Whether this program starts with this settings file at login.
pub(crate) fn status(settings_file: &Path) -> Result<State, AutostartError> {
    system::status(&Start::of(settings_file)?)
}

/// Makes this program start with this settings file at login, whatever was written down before. Where systemd starts
/// it already nothing is changed: two starts would be in each other's way. Returns how it is now.
pub(crate) fn on(settings_file: &Path) -> Result<State, AutostartError> {
    let start = Start::of(settings_file)?;
    system::on(&start)?;
    system::status(&start)
}

/// Takes away whatever starts ostler at login. Returns how it is now.
pub(crate) fn off(settings_file: &Path) -> Result<State, AutostartError> {
    system::off()?;
    system::status(&Start::of(settings_file)?)
}

/// Nobody has asked for a page at login.
const SILENT: &str = "--silent";

/// What is to be started: no command, so that it is the icon where there is a desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    program: PathBuf,
    /// Only if it is not where ostler looks by itself.
    settings: Option<PathBuf>,
}

impl Start {
    fn of(settings_file: &Path) -> Result<Self, AutostartError> {
        let program = windowless(program().map_err(AutostartError::NoProgram)?);
        let settings = std::path::absolute(settings_file).unwrap_or_else(|_| settings_file.to_owned());
        let is_default = config::default_path().is_some_and(|path| path == settings);
        Ok(Self { program, settings: (!is_default).then_some(settings) })
    }

    /// The command as it is written down: the program, then its arguments, all of them text.
    fn words(&self) -> Result<Vec<&str>, AutostartError> {
        let text = |path: &'_ Path| AutostartError::Path { path: path.to_owned(), why: "has letters no text can have" };
        let mut words = vec![self.program.to_str().ok_or_else(|| text(&self.program))?];
        if let Some(settings) = &self.settings {
            words.extend(["--config", settings.to_str().ok_or_else(|| text(settings))?]);
        }
        words.push(SILENT);
        Ok(words)
    }

    /// Whether a command that was written down starts the same: other options do not matter.
    fn is_started_by(&self, words: &[String]) -> bool {
        let Some((program, arguments)) = words.split_first() else { return false };
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

    /// The state that a command stands for.
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

/// Files that are not there are compared by name. A program has to be there: what is gone starts nothing, and ours is.
fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => one == other,
        _ => false,
    }
}

/// Where this program lies. If the search path leads to it, by that name: a package manager that keeps each version in a
/// folder of its own (Homebrew, Nix) replaces the link there and removes the folder.
fn program() -> io::Result<PathBuf> {
    let file = without_deleted(std::env::current_exe()?);
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Ok(file) };
    Ok(in_search_path(name).filter(|found| same_file(found, &file)).unwrap_or(file))
}

/// On Windows the one of the two programs that opens no window for its output, if it lies beside the other.
fn windowless(program: PathBuf) -> PathBuf {
    if cfg!(windows) { beside(program) } else { program }
}

fn beside(program: PathBuf) -> PathBuf {
    let is_ours =
        program.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.eq_ignore_ascii_case("ostler.exe"));
    let other = program.with_file_name("ostlerw.exe");
    if is_ours && other.is_file() { other } else { program }
}

/// After an upgrade Linux says of the old one that still runs that it is deleted; the new one has its place.
fn without_deleted(file: PathBuf) -> PathBuf {
    let stripped = file.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    stripped.filter(|new| !file.exists() && new.exists()).unwrap_or(file)
}

fn in_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|f| f.join(program)).find(|f| f.is_file())
}

/// Writes a file of what starts at login.
#[cfg(any(test, not(windows)))]
fn write(file: &Path, text: &str) -> Result<(), AutostartError> {
    config::write_atomically(file, text)
        .map_err(|source| AutostartError::Change { place: file.display().to_string(), source })
}

/// Takes one away. One that is not there is as good.
#[cfg(any(test, not(windows)))]
fn remove(file: &Path) -> Result<(), AutostartError> {
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(AutostartError::Change { place: file.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// The text of one; `None` if there is none. Octets that are no text become signs that no path of ours has.
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
