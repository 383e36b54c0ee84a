//! `ostler setup-service`: makes ostler a service of this computer (Linux with systemd), with a user of its own, for machines
//! without a person at the screen; and takes it back.
//!
//! Every step can be repeated, and what is there already stays: above all the settings.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;

use crate::cli::fail;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// This computer's address in your network, at which old mail programs on other computers connect. Without it, only
    /// programs on this computer can
    #[arg(long, value_name = "ADDRESS", requires = "allow")]
    address: Option<IpAddr>,
    /// Which computers may connect there: an address, or a network such as 192.168.1.0/24
    #[arg(long, value_name = "NETWORK", requires = "address")]
    allow: Vec<String>,
    /// Take the service back: it ends, and no longer starts with the computer. Accounts and passwords stay until you delete
    /// their folder
    #[arg(long, conflicts_with_all = ["address", "allow"])]
    undo: bool,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn main(_: &Options) -> ExitCode {
    fail(1, "ostler can be a service on Linux with systemd only; here, `ostler autostart on` starts it when you log in")
}

#[cfg(target_os = "linux")]
pub(crate) fn main(options: &Options) -> ExitCode {
    let done = require_administrator().and_then(|()| if options.undo { take_back() } else { set_up(options) });
    match done {
        Ok(said) => {
            crate::cli::print_wrapped(&said);
            ExitCode::SUCCESS
        }
        Err(why) => fail(1, &why),
    }
}

#[cfg(target_os = "linux")]
use linux::{require_administrator, set_up, take_back};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::ErrorKind;
    use std::os::unix::fs::{DirBuilderExt, chown, fchown};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::Options;
    use crate::config;
    use crate::os::service::{FOLDER, SECRETS, SETTINGS, is_administrator};
    use ostler_mail::failure::error_chain;

    /// The user of the service, and the name of its unit.
    const USER: &str = "ostler";
    const UNIT: &str = "ostler.service";
    /// As a line of sysusers.d(5).
    const USER_LINE: &str = "u ostler - \"ostler, for old mail programs\" /var/lib/ostler";
    const UNIT_TEXT: &str = include_str!("../../packaging/systemd/system/ostler.service");
    /// Where a package puts the unit.
    const UNIT_OF_PACKAGE: &str = "/usr/lib/systemd/system/ostler.service";
    /// Where it is put for a program that came without a package.
    const UNIT_OF_ADMINISTRATOR: &str = "/etc/systemd/system/ostler.service";
    /// The program that the unit starts.
    const PACKAGED_PROGRAM: &str = "/usr/bin/ostler";
    /// What systemd makes when it has started the computer.
    const BOOTED: &str = "/run/systemd/system";
    /// The ports that mail programs try by themselves.
    const PORTS: [(&str, u16); 3] = [("pop3", 110), ("smtp", 25), ("imap", 143)];

    pub(super) fn require_administrator() -> Result<(), String> {
        if is_administrator() {
            return Ok(());
        }
        Err("only the administrator can do that: sudo ostler setup-service".into())
    }

    pub(super) fn set_up(options: &Options) -> Result<String, String> {
        let program = program()?;
        let settings = settings_text(options)?;
        run("systemctl", &["--version"])?;
        run("systemd-sysusers", &["--inline", USER_LINE])?;
        let owner = user_ids(&read("/etc/passwd")?)
            .ok_or_else(|| format!("there is no user \"{USER}\" in /etc/passwd, though it was just made"))?;
        make_folder(owner)?;
        let is_new = make_settings(&settings, owner)?;
        install_unit(&program)?;
        let is_running = switch_on()?;
        Ok(done_text(options, is_new, is_running))
    }

    /// Ends the service and takes its unit away. Its folder stays: it holds the user's settings and passwords.
    pub(super) fn take_back() -> Result<String, String> {
        if is_booted() {
            run("systemctl", &["stop", UNIT])?;
        }
        run("systemctl", &["disable", UNIT])?;
        if std::fs::read_to_string(UNIT_OF_ADMINISTRATOR).is_ok_and(|text| is_our_unit(&text)) {
            remove_own_unit()?;
        }
        reload()?;
        Ok(format!(
            "The ostler service has ended, and no longer starts with the computer.\n\
             Its accounts and passwords are still in {FOLDER}, and its user \"{USER}\" exists. `sudo rm -r {FOLDER}` and \
             `sudo userdel {USER}` delete them for good; `sudo ostler setup-service` switches the service on again.\n"
        ))
    }

    /// This program, if the service can start it.
    fn program() -> Result<PathBuf, String> {
        if crate::os::appimage().is_some() {
            return Err("an AppImage cannot be a service; use the Debian package or the archive".into());
        }
        let program = std::env::current_exe().map_err(|e| format!("ostler cannot find its own program file: {e}"))?;
        // The unit hides these folders from the service.
        let is_hidden =
            ["/home", "/root", "/run/user", "/tmp", "/var/tmp"].iter().any(|folder| program.starts_with(folder));
        let text =
            program.to_str().filter(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)));
        match text {
            Some(_) if !is_hidden => Ok(program),
            _ => Err(format!(
                "the service cannot start {}, because it may not look into that folder; put ostler where every user can start it, \
                 `sudo cp {} /usr/local/bin/ostler`, then run `sudo /usr/local/bin/ostler setup-service`",
                program.display(),
                program.display()
            )),
        }
    }

    /// The settings to begin with.
    fn settings_text(options: &Options) -> Result<String, String> {
        let mut text = String::from(
            "# The settings of the ostler service, made by `ostler setup-service`. `sudo ostler add ADDRESS` adds an account.\n\n\
             [local]\n\
             # Mail programs give the account's local password: `sudo ostler list --passwords` shows it.\n\
             access = \"password\"\n",
        );
        if let Some(address) = options.address {
            for (protocol, port) in PORTS {
                text += &format!("{protocol} = \"{}\"\n", std::net::SocketAddr::new(address, port));
            }
            text += &format!("allow = {:?}\n", options.allow);
        }
        // What the file may not say, the command line may not either.
        config::parse(&text, Path::new(SETTINGS)).map_err(|mistakes| {
            let said = error_chain(&mistakes);
            format!("--address and --allow do not go together with what the settings file allows:\n{said}")
        })?;
        Ok(text)
    }

    /// The numbers of the service's user and group.
    fn user_ids(passwd: &str) -> Option<(u32, u32)> {
        let fields: Vec<_> = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == USER)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    }

    fn make_folder((user, group): (u32, u32)) -> Result<(), String> {
        let made = std::fs::DirBuilder::new().mode(0o700).create(FOLDER);
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => chown(FOLDER, Some(user), Some(group)),
        }
        .map_err(|e| format!("cannot make {FOLDER}: {e}"))
    }

    /// Whether there were none.
    fn make_settings(text: &str, (user, group): (u32, u32)) -> Result<bool, String> {
        // The service may start, and somebody may add an account, at any moment: they find settings that are the service's, or none.
        config::write_new(Path::new(SETTINGS), text, |file| fchown(file, Some(user), Some(group)))
            .map_err(|e| format!("cannot write {SETTINGS}: {e}"))
    }

    /// The package's unit starts the package's program; another program gets a unit of its own.
    fn install_unit(program: &Path) -> Result<(), String> {
        if std::fs::read_to_string(UNIT_OF_ADMINISTRATOR).is_ok_and(|text| !is_our_unit(&text)) {
            return Err(format!(
                "{UNIT_OF_ADMINISTRATOR} is there already and was not made by ostler; delete it, or set the service up by hand"
            ));
        }
        if program == Path::new(PACKAGED_PROGRAM) && Path::new(UNIT_OF_PACKAGE).exists() {
            return remove_own_unit();
        }
        let text = UNIT_TEXT.replace(PACKAGED_PROGRAM, &program.display().to_string());
        std::fs::write(UNIT_OF_ADMINISTRATOR, text).map_err(|e| format!("cannot write {UNIT_OF_ADMINISTRATOR}: {e}"))
    }

    fn remove_own_unit() -> Result<(), String> {
        match std::fs::remove_file(UNIT_OF_ADMINISTRATOR) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("cannot delete {UNIT_OF_ADMINISTRATOR}: {error}"))
            }
            _ => Ok(()),
        }
    }

    fn is_our_unit(text: &str) -> bool {
        text.lines().next() == UNIT_TEXT.lines().next()
    }

    /// Whether it runs from now on, and not only from the next start of the computer on.
    fn switch_on() -> Result<bool, String> {
        run("systemctl", &["enable", UNIT])?;
        if !is_booted() {
            return Ok(false);
        }
        reload()?;
        run("systemctl", &["restart", UNIT])?;
        Ok(true)
    }

    fn reload() -> Result<(), String> {
        if is_booted() { run("systemctl", &["daemon-reload"]) } else { Ok(()) }
    }

    /// In a container or while a system is being installed there is no systemd to ask.
    fn is_booted() -> bool {
        Path::new(BOOTED).is_dir()
    }

    fn done_text(options: &Options, is_new: bool, is_running: bool) -> String {
        let running = if is_running { "runs, and starts" } else { "will run: it starts" };
        let settings = if is_new { "" } else { " (they were there already, and are as they were)" };
        let doors = match options.address {
            Some(address) if is_new => {
                format!("at {address}, ports 110 (POP3), 25 (SMTP) and 143 (IMAP), for {}", options.allow.join(", "))
            }
            _ => "`sudo ostler list` names them".into(),
        };
        format!(
            "The ostler service {running} with the computer, as a user of its own, \"{USER}\", who cannot log in.\n\n\
             settings   {SETTINGS}{settings}\n\
             passwords  in {SECRETS}, in files that only this user and the administrator can read\n\
             doors      {doors}\n\n\
             Add an account with `sudo ostler add ADDRESS`; mail programs then need its local password, which \
             `sudo ostler list --passwords` shows. `sudo ostler status` tells how it goes, \
             `sudo journalctl -u ostler` what happened. The settings page opens on your own computer after \
             `ssh -L 2080:127.0.0.1:2080 USER@THIS-COMPUTER`, with the address that `sudo ostler settings --print` prints \
             here.\n\
             `sudo ostler setup-service --undo` takes all of this back, except accounts and passwords.\n"
        )
    }

    fn read(path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))
    }

    /// Runs a program of the system to its end.
    fn run(program: &str, args: &[&str]) -> Result<(), String> {
        let line = || format!("{program} {}", args.join(" "));
        match Command::new(program).args(args).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("`{}` failed: {}", line(), String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
                "this computer has no {program}: the service needs systemd. Without it, let your own service manager start `ostler run`"
            )),
            Err(error) => Err(format!("`{}` failed: {error}", line())),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn options(address: &str, allow: &[&str]) -> Options {
            let allow = allow.iter().map(|&network| network.to_owned()).collect();
            Options { address: address.parse().ok(), allow, undo: false }
        }

        #[test]
        fn the_settings_to_begin_with_are_as_strict_as_a_file_has_to_be() {
            let text = settings_text(&options("192.168.1.10", &["192.168.1.0/24"])).unwrap();
            for line in ["pop3 = \"192.168.1.10:110\"", "smtp = \"192.168.1.10:25\"", "allow = [\"192.168.1.0/24\"]"] {
                assert!(text.lines().any(|of_text| of_text == line), "{line}: {text}");
            }
            let text = settings_text(&options("fd00::10", &["fd00::/64"])).unwrap();
            assert!(text.contains("pop3 = \"[fd00::10]:110\""), "{text}");
            let text = settings_text(&options("", &[])).unwrap();
            assert!(text.contains("access = \"password\"") && !text.contains("pop3"), "{text}");
            let refused = settings_text(&options("192.168.1.10", &["everybody"])).unwrap_err();
            assert!(refused.contains("allow"), "{refused}");
        }

        #[test]
        fn the_user_is_found_among_others() {
            let passwd = "root:x:0:0:root:/root:/bin/bash\nostlerina:x:7:8::/:/bin/sh\nostler:x:998:997::/var/lib/ostler:/bin/false\n";
            assert_eq!(user_ids(passwd), Some((998, 997)));
            assert_eq!(user_ids("root:x:0:0:root:/root:/bin/bash\n"), None);
            assert_eq!(user_ids("ostler:x:many\n"), None);
        }

        #[test]
        fn only_a_unit_of_ours_is_replaced() {
            assert!(is_our_unit(&UNIT_TEXT.replace(PACKAGED_PROGRAM, "/usr/local/bin/ostler")));
            assert!(!is_our_unit("[Service]\nExecStart=/usr/bin/ostler run\n") && !is_our_unit(""));
            assert_eq!(UNIT_TEXT.matches(PACKAGED_PROGRAM).count(), 1);
        }
    }
}
