//! A real sshd with one key that it lets in, and the ssh that has this key.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::{Process, command, run_well};
use super::world::World;
use super::{find, folder, free_port, is_root, private_file};

/// Whether it can be started here.
pub fn usable() -> Result<(), String> {
    for program in ["sshd", "ssh", "ssh-keygen", "unshare"] {
        find(program).ok_or_else(|| program.to_owned())?;
    }
    if is_root() { Ok(()) } else { Err("root, to start sshd".to_owned()) }
}

/// A running sshd.
pub struct Sshd {
    _process: Process,
    folder: TempDir,
    address: String,
    port: u16,
}

impl Sshd {
    /// On this computer. `options` stand in front of the key in `authorized_keys`.
    pub fn here(options: &str) -> Self {
        let port = free_port();
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        Self::start("127.0.0.1", port, options, |command| command, answers)
    }

    /// On the computer that a world is, at the usual port. `options` as for [`here`](Self::here).
    pub fn inside(world: &World, address: &str, options: &str) -> Self {
        let inside = world.inside();
        Self::start(address, 22, options, |command| inside.wrap(&command), || inside.listens_at(address, 22))
    }

    fn start(
        address: &str,
        port: u16,
        options: &str,
        wrap: impl Fn(Command) -> Command,
        answers: impl Fn() -> bool,
    ) -> Self {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        for name in ["host", "person"] {
            run_well(command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(name)), "");
        }
        let key = std::fs::read_to_string(at("person.pub")).unwrap();
        private_file(&at("authorized_keys"), &format!("{options} {key}"));
        let settings = format!(
            "ListenAddress {address}\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nPidFile none\n\
             PasswordAuthentication no\nUsePAM no\nStrictModes no\n",
            at("host").display(),
            at("authorized_keys").display()
        );
        private_file(&at("sshd_config"), &settings);
        // It wants an empty folder, which systemd makes where it starts sshd.
        let script = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$@\"";
        let mut start = command("unshare", ["--mount", "sh", "-c", script, "sh"]);
        start.arg(find("sshd").unwrap()).args(["-D", "-e", "-f"]).arg(at("sshd_config"));
        let mut start = wrap(start);
        let mut process = Process::start("sshd", start.stdin(Stdio::null()).stderr(Stdio::null()));
        assert!(process.comes_up(answers), "sshd does not start");
        Self { _process: process, folder, address: address.to_owned(), port }
    }

    /// The folder with its keys.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The words of an `ssh` that logs in there, up to what it is to do.
    pub fn ssh(&self) -> Vec<String> {
        let known = format!("UserKnownHostsFile={}", self.path().join("known").display());
        let (key, port) = (self.path().join("person").display().to_string(), self.port.to_string());
        let words =
            ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o", &known];
        let place = format!("root@{}", self.address);
        words.into_iter().chain(["-i", &key, "-p", &port, &place]).map(str::to_owned).collect()
    }
}
