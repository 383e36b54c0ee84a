//! A world of its own for a test: a network with nothing but loopback, a name service that knows what the test says, web
//! servers with certificates of the test's authority, and mail servers on the ports real ones have. Programs that are
//! started inside look names up, connect to port 443 or 995, and notice nothing.
//!
//! ```text
//! let world = World::builder()
//!     .host("mail.optonline.net", "127.0.0.2")                      // A
//!     .srv("_pop3s._tcp.example.test", 995, "mail.example.test")    // SRV
//!     .mx("example.test", "mx.example.test")                        // MX
//!     .site(Site::new("autoconfig.example.test").file("/mail/config-v1.1.xml", xml))
//!     .start();
//! let cert = world.ca().named(&["mail.optonline.net"]);
//! let dovecot = Dovecot::builder().user(ANN, "pw").cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
//! let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [25, 587, 465]).start();
//! let output = run(&mut world.wrap(&home.command(&["add", "ann@optonline.net"])), input);
//! let message = fetch(world.reach(ostler.pop3), ANN, "pw");                       // a client of the test's own
//! assert!(world.looked_up().iter().all(|name| name != ISPDB));
//! ```
//!
//! How: `unshare` makes a network and a mount namespace that a sleeping process keeps; `nsenter` starts programs in it.
//! Inside, `/etc/resolv.conf` names dnsmasq on 127.0.0.1, `nsswitch.conf` and `hosts` are the plainest. All of 127.0.0.0/8
//! is there, so that each host can have an address of its own. Files are shared with the world outside. Programs trust
//! the test's authority because `SSL_CERT_FILE` names it. Everything ends with the [`World`].
//!
//! Needs `require!("world")`: Linux, root (dnsmasq, Dovecot and Postfix change their user, which the namespaces of other
//! users do not let them), unshare and nsenter of util-linux, ip of iproute2, dnsmasq, nginx, python3.

use std::ffi::OsString;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use super::ca::{ServerCert, TestCa};
use super::process::{Process, command, run, said};
use super::{find, folder, is_root, wait_for};

/// A name that the internet's name services know, by which ostler tells whether this computer is connected.
const KNOWN_EVERYWHERE: &str = "a.root-servers.net";

/// The files of `/etc` that are others inside.
const REPLACED: [&str; 3] = ["resolv.conf", "nsswitch.conf", "hosts"];

/// Whether worlds can be made here.
pub fn usable() -> Result<(), String> {
    for program in ["unshare", "nsenter", "ip", "mount", "dnsmasq", "nginx", "python3"] {
        find(program).ok_or_else(|| program.to_owned())?;
    }
    if !is_root() {
        return Err("root, to make a network of its own".to_owned());
    }
    for file in REPLACED {
        std::fs::metadata(Path::new("/etc").join(file)).map_err(|_| format!("/etc/{file}"))?;
    }
    propagation().as_ref().map(drop).map_err(|why| format!("a network of its own ({why})"))
}

/// How `unshare` keeps what is mounted inside from being seen outside.
fn propagation() -> &'static Result<&'static str, String> {
    static KNOWN: OnceLock<Result<&str, String>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let private = "--propagation=private";
        let output = run(&mut unshare(private, "true"), "");
        if output.status.success() {
            return Ok(private);
        }
        // In a chroot the root folder is no mount whose ways could be changed. Most of those do not pass mounts on
        // anyway; that is tried with a file mounted on itself.
        let there = || {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            table.lines().filter(|line| line.contains(" /etc/hosts ")).count()
        };
        let (unchanged, before) = ("--propagation=unchanged", there());
        let mut look = unshare(unchanged, "sh");
        look.args([
            "-e",
            "-c",
            "mount --bind /etc/hosts /etc/hosts; grep -c ' /etc/hosts ' /proc/$PPID/mountinfo || true",
        ]);
        let output = run(&mut look, "");
        match said(&output).trim().parse::<usize>() {
            Ok(after) if output.status.success() && after == before => Ok(unchanged),
            Ok(_) => {
                run(&mut command("umount", ["/etc/hosts"]), "");
                Err("what is mounted in it is seen outside".to_owned())
            }
            Err(_) => Err(said(&output).trim().to_owned()),
        }
    })
}

/// What a world is made of.
#[derive(Default)]
pub struct Builder {
    names: Vec<String>,
    sites: Vec<Site>,
    mute: bool,
    apart: bool,
}

impl Builder {
    /// A host and its address, one of 127.0.0.0/8 or `::1`; may be said several times for one host.
    pub fn host(self, name: &str, address: &str) -> Self {
        self.dns(&format!("host-record={name},{address}"))
    }

    /// An SRV record of priority 0; a target of `.` says that the service is not offered.
    pub fn srv(self, service: &str, port: u16, target: &str) -> Self {
        match target {
            "." => self.dns(&format!("srv-host={service}")),
            _ => self.dns(&format!("srv-host={service},{target},{port},0,1")),
        }
    }

    /// An MX record; several are preferred in the order in which they are said.
    pub fn mx(self, domain: &str, host: &str) -> Self {
        let preference = 10 + self.names.len();
        self.dns(&format!("mx-host={domain},{host},{preference}"))
    }

    /// Any other line of dnsmasq's configuration.
    pub fn dns(mut self, line: &str) -> Self {
        self.names.push(line.to_owned());
        self
    }

    /// No name service answers, as on a computer without a network.
    pub fn without_names(mut self) -> Self {
        self.mute = true;
        self
    }

    /// The name service answers, and knows nothing of the internet: a network of its own, or a router that has lost its line.
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// A web server; its name is known to the name service.
    pub fn site(mut self, site: Site) -> Self {
        self.sites.push(site);
        self
    }

    /// Makes the world and waits until everything in it answers.
    pub fn start(self) -> World {
        let (folder, ca) = (folder(), TestCa::new());
        let at = folder.path();
        std::fs::write(at.join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(at.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n").unwrap();
        std::fs::write(at.join("nsswitch.conf"), "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
            .unwrap();
        std::fs::write(at.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n").unwrap();
        let script = format!(
            "cd {}\nip link set lo up || exit 1\n\
             for file in {}; do mount --bind $file /etc/$file || exit 1; done\n\
             : > ready\nexec sleep 1000000",
            at.display(),
            REPLACED.join(" ")
        );
        let mut start = unshare(propagation().as_ref().unwrap(), "sh");
        start.args(["-e", "-c", &script]).stdin(Stdio::null());
        let mut holder = Process::start("a world", &mut start);
        wait_for("the world to be made", || {
            assert!(holder.ended().is_none(), "there is no world");
            at.join("ready").exists().then_some(())
        });
        let inside = Inside { pid: holder.id(), ca_file: at.join("ca.pem") };
        let mut world = World { servers: Mutex::default(), holder, inside, folder, ca };
        if !self.mute {
            world.start_names(&self.names, &self.sites, (!self.apart).then_some(KNOWN_EVERYWHERE));
        }
        if !self.sites.is_empty() {
            world.start_sites(&self.sites);
        }
        world
    }
}

/// A web server for https, at 127.0.0.1.
pub struct Site {
    name: String,
    places: Vec<(String, ServerAddr)>,
    cert: Option<ServerCert>,
}

enum ServerAddr {
    File(Vec<u8>),
    /// A status, and where to.
    Moved(u16, String),
    Status(u16),
}

impl Site {
    /// With a good certificate for its name; 404 for everything that is not named below.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), places: Vec::new(), cert: None }
    }

    /// Another certificate than a good one.
    pub fn cert(mut self, cert: ServerCert) -> Self {
        self.cert = Some(cert);
        self
    }

    /// What it answers to a path.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.places.push((path.to_owned(), ServerAddr::File(content.into())));
        self
    }

    /// Sends those who ask for a path to another place.
    pub fn moved(mut self, path: &str, to: &str) -> Self {
        self.places.push((path.to_owned(), ServerAddr::Moved(301, to.to_owned())));
        self
    }

    /// Answers with this number.
    pub fn status(mut self, path: &str, status: u16) -> Self {
        self.places.push((path.to_owned(), ServerAddr::Status(status)));
        self
    }
}

/// A running world.
pub struct World {
    // They end before what they live in.
    servers: Mutex<Vec<Process>>,
    holder: Process,
    inside: Inside,
    folder: TempDir,
    ca: TestCa,
}

/// The way into a world.
#[derive(Clone)]
pub struct Inside {
    pid: u32,
    ca_file: PathBuf,
}

impl Inside {
    /// The same command (program, arguments, folder, changes to the environment), run inside, with the test's authority
    /// as the one that is trusted. Standard input and output are not taken over.
    pub fn wrap(&self, inner: &Command) -> Command {
        let mut outer = Command::new(find("nsenter").unwrap());
        outer.arg(format!("--target={}", self.pid));
        // Entering leads to the root folder, and out of a chroot unless that is said.
        outer.args(["--net", "--mount", "--root", "env"]);
        let here = inner.get_current_dir().map_or_else(|| std::env::current_dir().unwrap(), Path::to_path_buf);
        let mut to = OsString::from("--chdir=");
        to.push(here);
        outer.arg(to).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.env("SSL_CERT_FILE", &self.ca_file).env_remove("SSL_CERT_DIR");
        outer
    }

    /// Whether somebody listens inside at an address and port. Nobody is connected to.
    pub fn listens_at(&self, host: &str, port: u16) -> bool {
        let octets = host.parse::<std::net::Ipv4Addr>().expect("an IPv4 address").octets();
        let wanted = format!("{:08X}:{port:04X}", u32::from_le_bytes(octets));
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.pid)).unwrap_or_default();
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(&wanted) && words.nth(1) == Some("0A")
        })
    }
}

impl World {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The authority that programs inside trust.
    pub fn ca(&self) -> &TestCa {
        &self.ca
    }

    /// Its certificate as a file, for `--ca`, curl and the like.
    pub fn ca_file(&self) -> &Path {
        &self.inside.ca_file
    }

    /// The way in, for what outlives a borrow.
    pub fn inside(&self) -> Inside {
        self.inside.clone()
    }

    /// Does something in the world's network, on a thread of its own: a socket that is made there stays there.
    #[cfg(target_os = "linux")]
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        use std::os::fd::AsFd;
        let network = std::fs::File::open(format!("/proc/{}/ns/net", self.inside.pid)).unwrap();
        let thread = || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(network.as_fd(), kind).expect("the way into the network");
            work()
        };
        std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
    }

    /// The process that keeps it: what stands for its network in `ip link add ... netns PROCESS`.
    pub fn id(&self) -> u32 {
        self.inside.pid
    }

    /// See [`Inside::wrap`].
    pub fn wrap(&self, inner: &Command) -> Command {
        self.inside.wrap(inner)
    }

    /// A program of the system, inside.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        self.wrap(&command(find(program).unwrap_or_else(|| program.into()), args))
    }

    /// A port out here that leads to a port of 127.0.0.1 in there, for clients that the test plays itself. Each connection
    /// is one in there, made by a program of this user.
    pub fn reach(&self, port: u16) -> u16 {
        let bridge = self.folder.path().join(format!("bridge-{port}"));
        if !bridge.exists() {
            let mut start = self.command("python3", &["-c", BRIDGE]);
            start.arg(&bridge).arg(port.to_string()).stdin(Stdio::null());
            self.servers.lock().unwrap().push(Process::start("a bridge", &mut start));
            // Only when it listens does it take this name.
            wait_for("the bridge", || bridge.exists().then_some(()));
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let outer = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(inner)) = (client, UnixStream::connect(&bridge)) else { return };
                let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
                let (mut from_inner, mut to_inner) = (inner.try_clone().unwrap(), inner);
                let _ = to_client.set_nodelay(true);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_inner);
                    let _ = to_inner.shutdown(Shutdown::Write);
                });
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_inner, &mut to_client);
                    let _ = TcpStream::shutdown(&to_client, Shutdown::Write);
                });
            }
        });
        outer
    }

    /// Every name that was asked of the name service so far, with the kind of record: `A mail.example.test`.
    pub fn looked_up(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("names.log")).unwrap_or_default();
        let asked = log.lines().filter_map(|line| line.split_once(" query[").map(|(_, asked)| asked));
        asked
            .filter_map(|asked| {
                let (kind, rest) = asked.split_once("] ")?;
                Some(format!("{kind} {}", rest.split(' ').next()?))
            })
            .collect()
    }

    /// Every request to the web servers so far: host, request line, who asks: `autoconfig.example.test GET /x HTTP/1.1 |
    /// ostler`. The line is written when the answer has been sent, so wait for it.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("requests.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn start_names(&mut self, names: &[String], sites: &[Site], everywhere: Option<&str>) {
        let at = self.folder.path();
        // A name that is not known does not exist; nobody else is asked.
        let mut conf = format!(
            "port=53\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/#/\nuser=root\ngroup=root\n\
             pid-file={0}/names.pid\nlog-queries\nlog-facility={0}/names.log\n",
            at.display()
        );
        if let Some(name) = everywhere {
            conf += &format!("host-record={name},127.0.0.1\n");
        }
        for site in sites {
            conf += &format!("host-record={},127.0.0.1\n", site.name);
        }
        for line in names {
            conf += &format!("{line}\n");
        }
        std::fs::write(at.join("names.conf"), conf).unwrap();
        let mut start = self.command("dnsmasq", &["--keep-in-foreground"]);
        start.arg(format!("--conf-file={}/names.conf", at.display()));
        self.start_server("dnsmasq", &mut start, 53);
    }

    fn start_sites(&mut self, sites: &[Site]) {
        let at = self.folder.path();
        let mut servers = String::new();
        for (n, site) in sites.iter().enumerate() {
            let cert = site.cert.clone().unwrap_or_else(|| self.ca.named(&[&site.name]));
            let (chain, key) = (at.join(format!("site{n}.pem")), at.join(format!("site{n}.key")));
            std::fs::write(&chain, &cert.chain_pem).unwrap();
            std::fs::write(&key, &cert.key_pem).unwrap();
            let mut places = String::new();
            for (m, (path, place)) in site.places.iter().enumerate() {
                let answer = match place {
                    ServerAddr::File(content) => {
                        let file = at.join(format!("site{n}-{m}"));
                        std::fs::write(&file, content).unwrap();
                        format!("default_type text/xml; alias {};", file.display())
                    }
                    ServerAddr::Moved(status, to) => format!("return {status} \"{to}\";"),
                    ServerAddr::Status(status) => format!("return {status};"),
                };
                places += &format!("    location = {path} {{ {answer} }}\n");
            }
            servers += &format!(
                "  server {{\n    listen 127.0.0.1:443 ssl;\n    server_name {};\n    ssl_certificate {};\n\
                 \x20   ssl_certificate_key {};\n{places}    location / {{ return 404; }}\n  }}\n",
                site.name,
                chain.display(),
                key.display()
            );
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {}/{name};\n", at.display()))
            .concat();
        let conf = format!(
            "daemon off;\nuser root root;\nworker_processes 1;\npid {0}/sites.pid;\nerror_log {0}/sites.log;\nevents {{ }}\n\
             http {{\n  log_format whole '$host $request | $http_user_agent';\n  access_log {0}/requests.log whole;\n\
             {temporary}{servers}}}\n",
            at.display()
        );
        std::fs::write(at.join("sites.conf"), conf).unwrap();
        let mut start = self.command("nginx", &["-e"]);
        start.arg(at.join("sites.log")).arg("-c").arg(at.join("sites.conf")).arg("-p").arg(at);
        self.start_server("nginx", &mut start, 443);
    }

    fn start_server(&mut self, name: &str, start: &mut Command, port: u16) {
        let output = std::fs::File::create(self.folder.path().join(format!("{name}.output"))).unwrap();
        start.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::start(name, start);
        wait_for(&format!("{name} to answer"), || {
            if process.ended().is_some() {
                let said = ["names.log", "sites.log", &format!("{name}.output")]
                    .map(|file| std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default());
                panic!("{name} does not start: {}", said.concat());
            }
            self.inside.listens_at("127.0.0.1", port).then_some(())
        });
        self.servers.lock().unwrap().push(process);
    }
}

fn unshare(propagation: &str, program: &str) -> Command {
    let mut command = Command::new(find("unshare").unwrap_or_else(|| "unshare".into()));
    command.args(["--net", "--mount", propagation, program]);
    command
}

/// From a socket file to a port of 127.0.0.1, both ways, each end's closing passed on.
const BRIDGE: &str = r#"
import os, socket, sys, threading
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen(64)
os.rename(sys.argv[1] + ".new", sys.argv[1])
def copy(a, b):
    try:
        while block := a.recv(65536):
            b.sendall(block)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    near, _ = listener.accept()
    try:
        far = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    except OSError:
        near.close()
        continue
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for pair in ((near, far), (far, near)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"#;
