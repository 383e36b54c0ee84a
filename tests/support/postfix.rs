//! A Postfix of the test's own. Whatever it accepts ends as a file in the test's folder: nothing leaves the machine.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::ca::ServerCert;
use super::dovecot::Dovecot;
use super::mail::{self, Delivery};
use super::process::{Process, command, run, said};
use super::world::{Inside, World};
use super::{find, folder, free_port, give_away, id_of, is_root, mail_ids, on_free_ports, set_mode, wait_for, written};

/// Whether a Postfix can be started here.
pub fn usable() -> Result<(), String> {
    find("postconf").ok_or("postfix")?;
    if is_root() { Ok(()) } else { Err("root, to start postfix".to_owned()) }
}

fn default(name: &'static str) -> PathBuf {
    static KNOWN: OnceLock<Vec<(&str, PathBuf)>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        ["daemon_directory", "shlib_directory", "command_directory"]
            .map(|name| {
                let asked = run(&mut command(find("postconf").unwrap(), ["-dh", name]), "");
                (name, PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim()))
            })
            .to_vec()
    });
    known.iter().find(|(known, _)| *known == name).unwrap().1.clone()
}

/// How the server is to be.
pub struct Builder {
    cert: Option<ServerCert>,
    sasl: Option<PathBuf>,
    main: Vec<String>,
    plain: Vec<String>,
    refused: Vec<String>,
    host: &'static str,
    inside: Option<(Inside, [u16; 3])>,
}

impl Builder {
    /// Shows this certificate; without one there is no TLS on any port.
    pub fn cert(mut self, cert: ServerCert) -> Self {
        self.cert = Some(cert);
        self
    }

    /// Takes senders that a Dovecot knows, on the submission ports (AUTH with that Dovecot's mechanisms).
    pub fn sasl(mut self, dovecot: &Dovecot) -> Self {
        self.sasl = Some(dovecot.sasl_socket());
        self
    }

    /// One more line of `main.cf`.
    pub fn line(mut self, line: &str) -> Self {
        self.main.push(line.to_owned());
        self
    }

    /// A setting of the plain port alone.
    pub fn plain_option(mut self, setting: &str) -> Self {
        self.plain.push(setting.to_owned());
        self
    }

    /// Refuses a recipient with this code and text.
    pub fn refuse(mut self, recipient: &str, answer: &str) -> Self {
        self.refused.push(format!("{recipient} {answer}"));
        self
    }

    /// Inside a world, at an address of it, with the plain port, submission and submission over TLS on these ports
    /// (25, 587 and 465 in the real one).
    pub fn inside(mut self, world: &World, host: &'static str, ports: [u16; 3]) -> Self {
        self.host = host;
        self.inside = Some((world.inside(), ports));
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Postfix {
        on_free_ports("postfix", || self.try_start())
    }

    fn try_start(&self) -> Option<Postfix> {
        let folder = folder();
        let home = folder.path();
        let free = || [free_port(), free_port(), free_port()];
        let [plain, submission, smtps] = self.inside.as_ref().map_or_else(free, |(_, ports)| *ports);
        make_queue(home);
        self.write_configuration(home, [plain, submission, smtps]);
        let output = std::fs::File::create(home.join("output")).unwrap();
        let mut start = command(default("daemon_directory").join("master"), ["-d", "-c"]);
        start.arg(home.join("conf"));
        if let Some((inside, _)) = &self.inside {
            start = inside.wrap(&start);
        }
        start.stdin(Stdio::null());
        start.stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::start("postfix", &mut start);
        let answers = process.comes_up(|| [plain, submission, smtps].iter().all(|port| self.listens(*port)));
        let server = Postfix { folder, process, plain, submission, smtps };
        if answers {
            return Some(server);
        }
        let log = server.log();
        assert!(log.contains("Address already in use"), "postfix does not start: {log}");
        None
    }

    fn listens(&self, port: u16) -> bool {
        self.inside.as_ref().map_or_else(|| listens(port), |(inside, _)| inside.listens_at(self.host, port))
    }

    fn write_configuration(&self, home: &Path, ports: [u16; 3]) {
        let (at, host) = (home.display(), self.host);
        let (uid, gid) = mail_ids();
        write_long_ago(&home.join("refused"), &(self.refused.join("\n") + "\n"));
        let directories = ["daemon_directory", "shlib_directory", "command_directory"]
            .map(|name| format!("{name} = {}\n", default(name).display()))
            .concat();
        let tls = match &self.cert {
            None => "smtpd_tls_security_level = none".to_owned(),
            Some(cert) => {
                std::fs::write(home.join("cert.pem"), cert.key_pem.clone() + &cert.chain_pem).unwrap();
                format!("smtpd_tls_chain_files = {at}/cert.pem\nsmtpd_tls_security_level = may")
            }
        };
        let sasl = self.sasl.as_ref().map_or(String::new(), |socket| {
            format!("smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n", socket.display())
        });
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\n{directories}\
             mail_owner = postfix\nsetgid_group = postdrop\nmaillog_file = {at}/log\nmaillog_file_prefixes = {at}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example.net\nmydestination =\n\
             mynetworks = 127.0.0.0/8\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             default_transport = virtual:\nvirtual_mailbox_domains =\nvirtual_mailbox_maps = static:all/\nvirtual_mailbox_base = {at}/sink\n\
             virtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\nvirtual_minimum_uid = 1\n\
             virtual_mailbox_limit = 0\nmessage_size_limit = 0\nlocal_header_rewrite_clients =\n\
             smtpd_peername_lookup = no\nsmtpd_client_port_logging = yes\nsmtpd_error_sleep_time = 0\nin_flow_delay = 0\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
             smtpd_recipient_restrictions = check_recipient_access texthash:{at}/refused\n\
             smtp_dns_support_level = disabled\nsmtputf8_enable = no\n{tls}\n{sasl}{}\n",
            self.main.join("\n")
        );
        let signed_in = if self.sasl.is_some() { "yes" } else { "no" };
        let (encrypt, wrapper) = if self.cert.is_some() { ("encrypt", "yes") } else { ("none", "no") };
        let only_signed_in = format!(
            "  -o smtpd_sasl_auth_enable={signed_in}\n\
             \x20 -o {{ smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination }}\n"
        );
        let plain: String = self.plain.iter().map(|setting| format!("  -o {{ {setting} }}\n")).collect();
        let [first, second, third] = ports;
        let master = format!(
            "{host}:{first} inet n - n - - smtpd\n{plain}\
             {host}:{second} inet n - n - - smtpd\n  -o smtpd_tls_security_level={encrypt}\n{only_signed_in}\
             {host}:{third} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode={wrapper}\n{only_signed_in}{SERVICES}"
        );
        write_long_ago(&home.join("conf/main.cf"), &main);
        write_long_ago(&home.join("conf/master.cf"), &master);
    }
}

/// Postfix reads a file again and again, with pauses, while it is so new that somebody may still be writing it.
fn write_long_ago(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(std::time::SystemTime::now() - hour).unwrap();
}

/// Who listens is asked of the system: to connect would start a session that a test counts.
fn listens(port: u16) -> bool {
    match std::fs::read_to_string("/proc/net/tcp") {
        Ok(table) => table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(&format!("0100007F:{port:04X}")) && words.nth(1) == Some("0A")
        }),
        Err(_) => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
    }
}

const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
";

const QUEUES: [&str; 6] = ["incoming", "active", "deferred", "maildrop", "hold", "corrupt"];

fn make_queue(home: &Path) {
    let owner = id_of("/etc/passwd", "postfix").expect("the user postfix");
    let group = id_of("/etc/group", "postdrop").expect("the group postdrop");
    let (uid, gid) = mail_ids();
    for name in ["conf", "queue", "data", "sink", "queue/pid"] {
        std::fs::create_dir(home.join(name)).unwrap();
    }
    give_away(&home.join("data"), owner, 0);
    give_away(&home.join("sink"), uid, gid);
    let more = ["bounce", "defer", "flush", "private", "public", "saved", "trace"];
    for name in QUEUES.iter().chain(&more) {
        let path = home.join("queue").join(name);
        std::fs::create_dir(&path).unwrap();
        let shared = ["maildrop", "public"].contains(name);
        give_away(&path, owner, if shared { group } else { 0 });
        let mode = if shared { 0o730 } else { 0o700 };
        set_mode(&path, mode);
    }
}

/// A running server.
pub struct Postfix {
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
    /// Relays for this computer without a sign-in; STARTTLS if it has a certificate.
    pub plain: u16,
    /// STARTTLS first, then AUTH.
    pub submission: u16,
    /// TLS from the first byte, then AUTH.
    pub smtps: u16,
}

impl Postfix {
    pub fn builder() -> Builder {
        Builder {
            cert: None,
            sasl: None,
            main: Vec::new(),
            plain: Vec::new(),
            refused: Vec::new(),
            host: "127.0.0.1",
            inside: None,
        }
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Every delivery so far, one for each recipient, when the queue is empty: what was accepted has then
    /// arrived, and what is not in the list was never accepted.
    pub fn deliveries(&self) -> Vec<Delivery> {
        wait_for("postfix to deliver", || QUEUES.iter().all(|name| self.queue_is_empty(name)).then_some(()));
        mail::deliveries(&self.home().join("sink/all"))
    }

    fn queue_is_empty(&self, name: &str) -> bool {
        // A file that may not be executed is a message a client is still sending; that bit is set before the
        // client hears that it was accepted.
        fn nothing(folder: &Path) -> bool {
            let Ok(mut entries) = std::fs::read_dir(folder) else { return true };
            entries.all(|entry| {
                let Ok(entry) = entry else { return false };
                let Ok(about) = entry.metadata() else { return true };
                if about.is_dir() { nothing(&entry.path()) } else { about.permissions().mode() & 0o100 == 0 }
            })
        }
        nothing(&self.home().join("queue").join(name))
    }

    /// The server's own log and complaints.
    pub fn log(&self) -> String {
        written(self.home(), &["output", "log"])
    }
}
