//! What is compared, and what `/proc` says about it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::listening;
use crate::upstream::Doors;

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

/// One door for each protocol: POP3, SMTP, IMAP.
pub type Ports = [SocketAddr; 3];

/// A running proxy.
pub struct Proxy {
    pub kind: Kind,
    pub doors: Ports,
    /// From its birth to the first connection it took.
    pub started_in: Duration,
    process: Option<Child>,
}

impl Proxy {
    pub fn start(kind: Kind, folder: &Path, upstream: &Doors) -> Result<Self, String> {
        Self::start_with(kind, folder, upstream, false)
    }

    /// ostler with more accounts, for what is changed on its way.
    pub fn start_filters(folder: &Path, upstream: &Doors) -> Result<Self, String> {
        Self::start_with(Kind::Ostler, folder, upstream, true)
    }

    fn start_with(kind: Kind, folder: &Path, upstream: &Doors, has_filters: bool) -> Result<Self, String> {
        let doors = [free(), free(), free()];
        let pairs = || doors.iter().zip(upstream.tls);
        let mut command = match kind {
            Kind::Direct => {
                return Ok(Self { kind, doors: upstream.plain, started_in: Duration::ZERO, process: None });
            }
            Kind::Copy => {
                let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
                command.arg("copy").arg(folder);
                command.args(pairs().flat_map(|(door, to)| [door.to_string(), to.to_string()]));
                command
            }
            Kind::Stunnel => {
                let file = folder.join(format!("stunnel-{}.conf", doors[0].port()));
                let service = |(door, to): (&SocketAddr, SocketAddr)| {
                    let ca = folder.join("ca.pem");
                    format!(
                        "[{door}]\nclient = yes\naccept = {door}\nconnect = {to}\nCAfile = {}\nverifyChain = yes\ncheckIP = 127.0.0.1\nTIMEOUTclose = 0\n",
                        ca.display()
                    )
                };
                let settings = format!(
                    "foreground = yes\npid =\ndebug = 3\nsyslog = no\n{}",
                    pairs().map(service).collect::<String>()
                );
                fs::write(&file, settings).map_err(|e| e.to_string())?;
                let mut command = Command::new("stunnel4");
                command.arg(file);
                command
            }
            Kind::Ostler => {
                let file = folder.join(format!("ostler-{}.toml", doors[0].port()));
                let text = settings(&doors, &upstream.tls, &folder.join("ca.pem"), has_filters);
                fs::write(&file, text).map_err(|e| e.to_string())?;
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
        for door in &doors[1..] {
            listening(*door, Duration::from_secs(10)).ok_or("it does not listen")?;
        }
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

/// The names of the tables, in the order of `Ports`.
const PROTOCOLS: [&str; 3] = ["pop3", "smtp", "imap"];

/// The accounts whose mail is changed on its way, or could be, and those beside which they are measured; the provider has the
/// mailboxes of those whose names begin in the same way.
const FILTERED: [(&str, &str); 5] = [
    ("small-readable", "readable = \"windows-1252\"\n"),
    ("big-readable", "readable = \"windows-1252\"\n"),
    ("letters", ""),
    ("letters-readable", "readable = \"windows-1252\"\n"),
    ("small-unmended", "mend = []\n"),
];

/// What a user would write; two accounts, as somebody has who needs more than a wrapper.
fn settings(doors: &Ports, upstream: &Ports, ca: &Path, has_filters: bool) -> String {
    let local: String =
        PROTOCOLS.iter().zip(doors).map(|(protocol, door)| format!("{protocol} = {}\n", door.port())).collect();
    let server = |(protocol, to): (&&str, &SocketAddr)| {
        let (port, ca) = (to.port(), ca.display());
        format!("[account.{protocol}]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"tls\"\nca = '{ca}'\n")
    };
    let account = |name: &str, more: &str| {
        let servers: String = PROTOCOLS.iter().zip(upstream).map(server).collect();
        format!(
            "[[account]]\nname = \"{name}\"\naddress = \"{name}@example.test\"\npassword = {{ env = \"OSTLER_BENCH_SECRET\" }}\n{more}{servers}"
        )
    };
    let two = account("small", "") + &account("big", "");
    let filters: String = FILTERED.iter().map(|(name, line)| account(name, line)).collect();
    format!("[local]\n{local}{two}{}", if has_filters { filters } else { String::new() })
}
