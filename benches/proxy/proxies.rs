//! What is compared, and what `/proc` says about it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::listening;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The client on the provider's own plain ports: no proxy and no TLS.
    Direct,
    /// The bare loop.
    Copy,
    Stunnel,
    Ostler,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Copy, Self::Stunnel, Self::Ostler];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Copy => "copy loop",
            Self::Stunnel => "stunnel",
            Self::Ostler => "ostler",
        }
    }
}

/// A running proxy.
pub struct Proxy {
    pub kind: Kind,
    /// POP3 and SMTP.
    pub doors: [SocketAddr; 2],
    /// From its birth to the first connection it took.
    pub started_in: Duration,
    process: Option<Child>,
}

impl Proxy {
    /// `upstream`: the provider's doors, plain and TLS.
    pub fn start(kind: Kind, folder: &Path, upstream: &[SocketAddr; 4]) -> Result<Self, String> {
        let [plain_pop, plain_smtp, pop, smtp] = *upstream;
        let doors = [free(), free()];
        let mut command = match kind {
            Kind::Direct => {
                let doors = [plain_pop, plain_smtp];
                return Ok(Self { kind, doors, started_in: Duration::ZERO, process: None });
            }
            Kind::Copy => {
                let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
                command.arg("copy").arg(folder);
                command.args([doors[0], pop, doors[1], smtp].map(|door| door.to_string()));
                command
            }
            Kind::Stunnel => {
                let file = folder.join("stunnel.conf");
                let service = |name: &str, door: SocketAddr, to: SocketAddr| {
                    let ca = folder.join("ca.pem");
                    format!(
                        "[{name}]\nclient = yes\naccept = {door}\nconnect = {to}\nCAfile = {}\nverifyChain = yes\ncheckIP = 127.0.0.1\nTIMEOUTclose = 0\n",
                        ca.display()
                    )
                };
                let settings = format!(
                    "foreground = yes\npid =\ndebug = 3\nsyslog = no\n{}{}",
                    service("pop", doors[0], pop),
                    service("smtp", doors[1], smtp)
                );
                fs::write(&file, settings).map_err(|e| e.to_string())?;
                let mut command = Command::new("stunnel4");
                command.arg(file);
                command
            }
            Kind::Ostler => {
                let file = folder.join(format!("ostler-{}.toml", doors[0].port()));
                fs::write(&file, settings(doors, pop, smtp, &folder.join("ca.pem"))).map_err(|e| e.to_string())?;
                let mut command = Command::new(env!("CARGO_BIN_EXE_ostler"));
                command.args(["run", "--config"]).arg(file).env("OSTLER_BENCH_SECRET", "secret");
                command
            }
        };
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = child.map_err(|e| format!("it cannot be started ({e}); on Debian: apt-get install stunnel4"))?;
        let mut proxy = Self { kind, doors, started_in: Duration::ZERO, process: Some(process) };
        listening(doors[0], Duration::from_secs(10)).ok_or("it does not listen")?;
        proxy.started_in = began.elapsed();
        listening(doors[1], Duration::from_secs(10)).ok_or("it does not listen")?;
        Ok(proxy)
    }

    /// Seconds of processor time so far, in the user's mode and in the kernel.
    pub fn cpu(&self) -> Option<f64> {
        // Debian's kernels count in hundredths of a second.
        const TICKS: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.as_ref()?.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, kernel): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + kernel) / TICKS)
    }

    /// PSS in megabytes. Linux shows ostler's only to root, because it asks not to be looked into.
    pub fn memory(&self) -> Option<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.as_ref()?.id())).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// What a user would write; two accounts, as somebody has who needs more than a wrapper.
fn settings([pop_door, smtp_door]: [SocketAddr; 2], pop: SocketAddr, smtp: SocketAddr, ca: &Path) -> String {
    let local = format!("[local]\npop3 = {}\nsmtp = {}\n", pop_door.port(), smtp_door.port());
    let account = |name: &str| {
        let server = |protocol: &str, to: SocketAddr| {
            let (port, ca) = (to.port(), ca.display());
            format!("[account.{protocol}]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"tls\"\nca = '{ca}'\n")
        };
        format!(
            "[[account]]\nname = \"{name}\"\naddress = \"{name}@example.test\"\npassword = {{ env = \"OSTLER_BENCH_SECRET\" }}\n{}{}",
            server("pop3", pop),
            server("smtp", smtp)
        )
    };
    format!("{local}{}{}", account("small"), account("big"))
}
