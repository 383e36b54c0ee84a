//! An Exim of the test's own that relays only for the addresses in a file, which a Dovecot writes at each login.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::ca::ServerCert;
use super::mail::{self, Delivery};
use super::process::{Process, command};
use super::{find, folder, free_port, give_away, id_of, is_root, mail_ids, on_free_ports, set_mode, wait_for, written};

/// Whether an Exim can be started here: from the system, or unpacked by `tests/run` (Exim and Postfix exclude each
/// other as packages).
pub fn usable() -> Result<(), String> {
    program().ok_or("exim")?;
    if is_root() { Ok(()) } else { Err("root, to start exim".to_owned()) }
}

fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers")
}

fn program() -> Option<PathBuf> {
    Some(unpacked().join("usr/sbin/exim4")).filter(|file| file.is_file()).or_else(|| find("exim4"))
}

/// Exim asks for its user by name, and an unpacked one has made no user. This gives it one without touching the
/// machine's list.
fn wrapper() -> Option<PathBuf> {
    let libraries = std::fs::read_dir(unpacked().join("usr/lib")).ok()?;
    let mut found = libraries.filter_map(|entry| Some(entry.ok()?.path().join("libnss_wrapper.so")));
    found.find(|file| file.is_file())
}

/// The words of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// `550 relay not permitted`, as in Exim's own example configuration.
    Exim,
    /// Several lines, wrapped in mid-phrase.
    Cpanel,
    /// `550 Administrative prohibition`: an access list without a message.
    None,
}

/// A running server.
pub struct Exim {
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
    pub port: u16,
}

impl Exim {
    /// A file for the addresses that may send, to be given to a Dovecot's `tell` before either server starts.
    pub fn relay_file() -> (TempDir, PathBuf) {
        let folder = folder();
        let file = folder.path().join("relay-hosts");
        std::fs::write(&file, "").unwrap();
        set_mode(&file, 0o666);
        (folder, file)
    }

    /// Starts it and waits until it answers.
    pub fn start(wording: Wording, cert: &ServerCert, relay_file: &Path) -> Self {
        on_free_ports("exim", || Self::try_start(wording, cert, relay_file))
    }

    fn try_start(wording: Wording, cert: &ServerCert, relay_file: &Path) -> Option<Self> {
        let folder = folder();
        let home = folder.path();
        let port = free_port();
        let (uid, gid) = mail_ids();
        for name in ["spool", "sink", "log"] {
            std::fs::create_dir(home.join(name)).unwrap();
            give_away(&home.join(name), uid, gid);
        }
        std::fs::write(home.join("cert.pem"), &cert.chain_pem).unwrap();
        std::fs::write(home.join("key.pem"), &cert.key_pem).unwrap();
        let message = match wording {
            Wording::Exim => "  deny message = relay not permitted\n",
            Wording::Cpanel => {
                "  deny message = $sender_fullhost is currently not permitted to relay through this server. Perhaps \
                 you have not logged into the pop/imap server in the last 30 minutes or do not have SMTP \
                 Authentication turned on in your email client.\n"
            }
            Wording::None => "  deny\n",
        };
        let at = home.display();
        let file = relay_file.display();
        let text = format!(
            "exim_user = {uid}\nexim_group = {gid}\nnever_users =\nspool_directory = {at}/spool\n\
             log_file_path = {at}/log/%s\npid_file_path = {at}/spool/pid\nprimary_hostname = exim.example.net\n\
             local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\nhost_lookup =\nrfc1413_hosts =\n\
             tls_advertise_hosts = *\ntls_certificate = {at}/cert.pem\ntls_privatekey = {at}/key.pem\n\
             deliver_drop_privilege = true\nkeep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP\n\
             add_environment =\nsmtp_accept_max = 200\nsmtp_accept_queue_per_connection = 0\n\
             acl_smtp_rcpt = recipient\nbegin acl\nrecipient:\n  accept hosts = {file}\n{message}\
             begin routers\nsink:\n  driver = accept\n  transport = sink\n\
             begin transports\nsink:\n  driver = appendfile\n  maildir_format\n  directory = {at}/sink\n\
             \x20 return_path_add\n  envelope_to_add\n  user = {uid}\n  group = {gid}\n  create_directory\n"
        );
        std::fs::write(home.join("exim.conf"), text).unwrap();
        let output = std::fs::File::create(home.join("output")).unwrap();
        let mut start = command(program().unwrap(), ["-bdf", "-C"]);
        start.arg(home.join("exim.conf")).stdin(Stdio::null());
        start.stdout(output.try_clone().unwrap()).stderr(output);
        if let Some(wrapper) = wrapper() {
            for (list, line) in
                [("passwd", "Debian-exim:x:65534:65534::/:/bin/false"), ("group", "Debian-exim:x:65534:")]
            {
                let mut text = std::fs::read_to_string(Path::new("/etc").join(list)).unwrap();
                if !text.contains("Debian-exim:") {
                    text.push_str(line);
                    text.push('\n');
                }
                std::fs::write(home.join(list), text).unwrap();
            }
            start.env("LD_PRELOAD", wrapper);
            start.env("NSS_WRAPPER_PASSWD", home.join("passwd")).env("NSS_WRAPPER_GROUP", home.join("group"));
        }
        let mut process = Process::start("exim", &mut start);
        let answers = process.comes_up(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let server = Self { folder, process, port };
        if answers {
            return Some(server);
        }
        let log = server.log();
        assert!(log.contains("Address already in use"), "exim does not start: {log}");
        None
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Every delivery so far, when nothing is left on the way.
    pub fn deliveries(&self) -> Vec<Delivery> {
        wait_for("exim to deliver", || {
            let input = self.home().join("spool/input");
            let left = std::fs::read_dir(input).map_or(0, Iterator::count);
            (left == 0).then_some(())
        });
        mail::deliveries(&self.home().join("sink"))
    }

    /// The server's own log and complaints.
    pub fn log(&self) -> String {
        written(self.home(), &["output", "log/main", "log/reject", "log/panic"])
    }
}
