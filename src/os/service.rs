//! The ostler service of this computer (Linux): an ostler that systemd starts with a user of its own,
//! `packaging/systemd/system/ostler.service`. Here is where its things are, and how a command of the administrator becomes one of
//! the service's user, so that it finds the same settings, passwords and socket, and leaves files that the service can use.
//!
//! Not here: how the service is set up, which is `ostler setup-service`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// All that the service keeps: the unit's `StateDirectory=`.
pub(crate) const FOLDER: &str = "/var/lib/ostler";
/// Its settings.
pub(crate) const SETTINGS: &str = "/var/lib/ostler/ostler.toml";
/// The folder that stands in for its keyring.
pub(crate) const SECRETS: &str = "/var/lib/ostler/secrets";
/// Where systemd puts the files of the unit's `LoadCredential=`.
const CREDENTIALS: &str = "/run/credentials/ostler.service";

/// The variables that the unit sets, from which ostler knows where its things are.
pub(crate) const VARIABLES: [(&str, &str); 4] =
    [("HOME", FOLDER), ("XDG_STATE_HOME", "/var/lib"), ("OSTLER_CONFIG", SETTINGS), ("OSTLER_SECRETS", SECRETS)];

/// Variables of the administrator that would lead to the administrator's own folders, keyring and desktop.
const FOREIGN_VARIABLES: [&str; 5] =
    ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

/// The service of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Service {
    /// The user and group that its folder belongs to.
    user: u32,
    group: u32,
}

impl Service {
    /// `None` if none is set up here.
    pub(crate) fn find() -> Option<Self> {
        Self::find_in(Path::new(FOLDER))
    }

    fn find_in(folder: &Path) -> Option<Self> {
        let about = folder.symlink_metadata().ok()?;
        (about.is_dir() && about.uid() != 0).then(|| Self { user: about.uid(), group: about.gid() })
    }

    /// Runs this command again as the user of the service, in place of this process. Returns only if that fails.
    pub(crate) fn run_instead(self) -> io::Error {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return error,
        };
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).envs(VARIABLES).uid(self.user).gid(self.group);
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        if Path::new(CREDENTIALS).is_dir() {
            command.env("CREDENTIALS_DIRECTORY", CREDENTIALS);
        }
        command.exec()
    }
}

/// Whether this process is the administrator's.
pub(crate) fn is_administrator() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_sets_the_variables_that_a_command_of_the_administrator_gets() {
        let unit = include_str!("../../packaging/systemd/system/ostler.service");
        let set: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('=')).collect();
        assert_eq!(set, VARIABLES);
        for line in ["StateDirectory=ostler", "StateDirectoryMode=0700", "User=ostler", "Group=ostler"] {
            assert!(unit.lines().any(|of_unit| of_unit == line), "{line}");
        }
    }

    #[test]
    fn a_folder_of_the_administrator_a_link_and_nothing_are_no_service() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("folder"), at("link")).unwrap();
        assert_eq!(Service::find_in(&at("none")), None);
        if is_administrator() {
            assert_eq!(Service::find_in(&at("folder")), None);
            std::os::unix::fs::chown(at("folder"), Some(65534), Some(65533)).unwrap();
            assert_eq!(Service::find_in(&at("link")), None);
            assert_eq!(Service::find_in(&at("folder")), Some(Service { user: 65534, group: 65533 }));
        }
    }
}
