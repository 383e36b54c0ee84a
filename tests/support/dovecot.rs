//! A Dovecot of the test's own: POP3 with STLS, POP3 over TLS, the sign-in service Postfix asks, and submission in front of
//! another server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::ca::ServerCert;
use super::process::{Process, command, install_script, run, said};
use super::world::{Inside, World};
use super::{find, folder, free_port, give_away, id_of, is_root, mail_ids, on_free_ports, set_mode, wait_for, written};

/// Whether a Dovecot is here whose configuration language this file speaks.
pub fn usable() -> Result<(), String> {
    let program = find("dovecot").ok_or("dovecot")?;
    let version = said(&run(&mut command(program, ["--version"]), ""));
    if version.starts_with("2.3.") { Ok(()) } else { Err(format!("dovecot 2.3, this is {}", version.trim())) }
}

/// Whether this Dovecot takes mail to send.
pub fn submits() -> Result<(), String> {
    let here = Path::new("/usr/lib/dovecot/submission-login").is_file();
    if here { Ok(()) } else { Err("dovecot-submissiond".to_owned()) }
}

/// How the server is to be.
pub struct Builder {
    users: Vec<(String, String)>,
    cert: Option<ServerCert>,
    mechanisms: String,
    extra: Vec<String>,
    tell: Vec<PathBuf>,
    relay: Option<u16>,
    host: &'static str,
    inside: Option<(Inside, [u16; 2])>,
}

impl Builder {
    /// A mailbox and its password.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Shows this certificate; without one there is neither STLS nor POP3 over TLS.
    pub fn cert(mut self, cert: ServerCert) -> Self {
        self.cert = Some(cert);
        self
    }

    /// The sign-in mechanisms, for POP3 and for Postfix.
    pub fn mechanisms(mut self, mechanisms: &str) -> Self {
        mechanisms.clone_into(&mut self.mechanisms);
        self
    }

    /// One session at a time for a mailbox; the second waits and then hears `[IN-USE]`.
    pub fn lock_sessions(self) -> Self {
        self.line("pop3_lock_session = yes")
    }

    /// No password before TLS.
    pub fn refuse_plain_text(mut self) -> Self {
        // Dovecot takes a client at its own address for a safe one, so it listens at another.
        self.host = "127.0.0.2";
        self.line("disable_plaintext_auth = yes")
    }

    /// One more line of configuration.
    pub fn line(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }

    /// After each login the address it came from is written to this file as well, before the client is
    /// answered: how hosts kept their relay lists.
    pub fn tell(mut self, file: &Path) -> Self {
        self.tell.push(file.to_owned());
        self
    }

    /// Takes mail to send (package dovecot-submissiond), with STARTTLS if it has a certificate, and gives it to the server at
    /// this port of this computer.
    pub fn submits_to(mut self, relay: u16) -> Self {
        self.relay = Some(relay);
        self
    }

    /// Inside a world, at an address of it, with POP3 and POP3 over TLS on these ports.
    pub fn inside(mut self, world: &World, host: &'static str, ports: [u16; 2]) -> Self {
        self.host = host;
        self.inside = Some((world.inside(), ports));
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Dovecot {
        on_free_ports("dovecot", || self.try_start())
    }

    fn try_start(&self) -> Option<Dovecot> {
        let folder = folder();
        let home = folder.path();
        let [pop3, pop3s] = self.inside.as_ref().map_or_else(|| [free_port(), free_port()], |(_, ports)| *ports);
        let [imap, imaps] = if self.inside.is_some() { [143, 993] } else { [free_port(), free_port()] };
        let submission = self.relay.map_or(0, |_| free_port());
        for name in ["run", "state", "mail"] {
            std::fs::create_dir(home.join(name)).unwrap();
        }
        self.write_configuration(home, [pop3, pop3s, imap, imaps, submission]);
        let output = std::fs::File::create(home.join("output")).unwrap();
        let mut start = command(find("dovecot").unwrap(), ["-F", "-c"]);
        start.arg(home.join("dovecot.conf"));
        if let Some((inside, _)) = &self.inside {
            start = inside.wrap(&start);
        }
        start.stdin(Stdio::null());
        start.stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::start("dovecot", &mut start);
        let answers = process.comes_up(|| match &self.inside {
            None => {
                let is_up = |port: &u16| std::net::TcpStream::connect((self.host, *port)).is_ok();
                [pop3, imap].iter().all(is_up) && (submission == 0 || is_up(&submission))
            }
            Some((inside, _)) => [pop3, imap].iter().all(|port| inside.listens_at(self.host, *port)),
        });
        let serial = AtomicU32::new(1);
        let server = Dovecot { folder, process, host: self.host, pop3, pop3s, imap, imaps, submission, serial };
        if answers {
            for (user, _) in &self.users {
                for part in ["new", "cur", "tmp"] {
                    std::fs::create_dir_all(server.maildir(user).join(part)).unwrap();
                }
            }
            let (uid, gid) = mail_ids();
            give_away(&server.home().join("mail"), uid, gid);
            return Some(server);
        }
        let log = server.everything_logged();
        assert!(log.contains("Address already in use"), "dovecot does not start: {log}");
        None
    }

    fn write_configuration(&self, home: &Path, [pop3, pop3s, imap, imaps, submission]: [u16; 5]) {
        let (at, host) = (home.display(), self.host);
        let (uid, gid) = mail_ids();
        let mut users = String::new();
        for (name, password) in &self.users {
            users.push_str(&format!("{name}:{{PLAIN}}{password}\n"));
        }
        std::fs::write(home.join("users"), users).unwrap();

        std::fs::write(home.join("logins"), "").unwrap();
        let mut script = format!(
            "#!/bin/sh\nprintf '%s %s %s %s\\n' \"$(date +%s.%N)\" \"$IP\" \"$USER\" \"${{AUTH_MECH:-}}\" >> {at}/logins\n"
        );
        for file in &self.tell {
            script.push_str(&format!("printf '%s\\n' \"$IP\" >> {}\n", file.display()));
        }
        script.push_str("exec \"$@\"\n");
        install_script(&home.join("after-login"), &script);
        set_mode(home.join("logins"), 0o666);

        let ssl = match &self.cert {
            None => "ssl = no".to_owned(),
            Some(cert) => {
                std::fs::write(home.join("cert.pem"), &cert.chain_pem).unwrap();
                std::fs::write(home.join("key.pem"), &cert.key_pem).unwrap();
                format!("ssl = yes\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\nssl_min_protocol = TLSv1.2")
            }
        };
        // Not root: everything runs as the one user there is, and nothing can be locked into a folder.
        let (rootless, login_user) = if is_root() {
            (String::new(), "dovecot".to_owned())
        } else {
            let me = said(&run(&mut command("id", ["-un"]), "")).trim().to_owned();
            let group = said(&run(&mut command("id", ["-gn"]), "")).trim().to_owned();
            let services = ["anvil", "pop3-login", "imap-login"]
                .map(|name| format!("service {name} {{\n  chroot =\n}}\n"))
                .concat();
            let users = format!("default_internal_user = {me}\ndefault_login_user = {me}\n");
            (format!("{users}default_internal_group = {group}\n{services}"), me)
        };
        let mechanisms = &self.mechanisms;
        let extra = self.extra.join("\n");
        let (protocol, submission) =
            self.relay.map_or_else(Default::default, |relay| submission_before(relay, submission));
        let plain = if extra.contains("disable_plaintext_auth") { "" } else { "disable_plaintext_auth = no" };
        let [tls_port, imap_tls_port] = if self.cert.is_some() { [pop3s, imaps] } else { [0, 0] };
        let text = format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/errors\ninfo_log_path = {at}/log\n\
             protocols = pop3 imap{protocol}\nlisten = {host}\n{ssl}\n{plain}\nauth_mechanisms = {mechanisms}\n\
             auth_failure_delay = 0\nmail_location = maildir:~/Maildir\npop3_uidl_format = %f\nfirst_valid_uid = 1\n\
             maildir_very_dirty_syncs = no\nstats_writer_socket_path =\nmail_fsync = never\n\
             passdb {{\n  driver = passwd-file\n  args = username_format=%u {at}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={at}/mail/%u\n}}\n\
             service pop3-login {{\n  service_count = 0\n  process_min_avail = 1\n\
             \x20 inet_listener pop3 {{\n    port = {pop3}\n  }}\n\
             \x20 inet_listener pop3s {{\n    port = {tls_port}\n    ssl = yes\n  }}\n}}\n\
             service imap-login {{\n  service_count = 0\n\
             \x20 inet_listener imap {{\n    port = {imap}\n  }}\n\
             \x20 inet_listener imaps {{\n    port = {imap_tls_port}\n    ssl = yes\n  }}\n}}\n\
             service pop3 {{\n  executable = pop3 pop3-postlogin\n}}\n\
             service pop3-postlogin {{\n  executable = script-login {at}/after-login\n  user = {login_user}\n\
             \x20 unix_listener pop3-postlogin {{\n  }}\n}}\n\
             service auth {{\n  unix_listener sasl {{\n    mode = 0666\n  }}\n}}\n{submission}{rootless}{extra}\n"
        );
        std::fs::write(home.join("dovecot.conf"), text).unwrap();
    }
}

/// The protocol's name in the list of protocols, and its settings.
fn submission_before(relay: u16, port: u16) -> (&'static str, String) {
    let settings = format!(
        "hostname = mx.example.net\nsubmission_relay_host = 127.0.0.1\nsubmission_relay_port = {relay}\n\
         service submission-login {{\n  service_count = 0\n\
         \x20 inet_listener submission {{\n    port = {port}\n  }}\n}}\n"
    );
    (" submission", settings)
}

/// A running server.
pub struct Dovecot {
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
    /// Where it listens.
    pub host: &'static str,
    /// Plain, with STLS if it has a certificate.
    pub pop3: u16,
    /// TLS from the first byte.
    pub pop3s: u16,
    /// Plain, with STARTTLS if it has a certificate.
    pub imap: u16,
    /// TLS from the first byte.
    pub imaps: u16,
    /// Takes mail to send, if it has a relay.
    pub submission: u16,
    serial: AtomicU32,
}

/// One successful login as the server's own after-login script saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// Seconds since 1970.
    pub at: f64,
    pub ip: String,
    pub user: String,
}

impl Dovecot {
    pub fn builder() -> Builder {
        Builder {
            users: Vec::new(),
            cert: None,
            mechanisms: "plain login cram-md5 apop".to_owned(),
            extra: Vec::new(),
            tell: Vec::new(),
            relay: None,
            host: "127.0.0.1",
            inside: None,
        }
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Where a user's mail lies.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.home().join("mail").join(user).join("Maildir")
    }

    /// Where Postfix asks about passwords.
    pub fn sasl_socket(&self) -> PathBuf {
        self.home().join("run").join("sasl")
    }

    /// Puts a message into a mailbox, the way a delivery does: whole, then visible.
    pub fn deliver(&self, user: &str, message: &[u8]) {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.M{serial}.localhost", 1_700_000_000 + serial);
        let (tmp, new) = (self.maildir(user).join("tmp").join(&name), self.maildir(user).join("new").join(&name));
        std::fs::write(&tmp, message).unwrap();
        let (uid, gid) = mail_ids();
        give_away(&tmp, uid, gid);
        std::fs::rename(tmp, new).unwrap();
    }

    /// Takes all messages out of a mailbox.
    pub fn empty(&self, user: &str) {
        for part in ["new", "cur"] {
            for entry in std::fs::read_dir(self.maildir(user).join(part)).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }

    /// The messages left in a mailbox, as stored.
    pub fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for part in ["new", "cur"] {
            for entry in std::fs::read_dir(self.maildir(user).join(part)).unwrap() {
                // The server may move or delete it meanwhile.
                if let Ok(message) = std::fs::read(entry.unwrap().path()) {
                    all.push(message);
                }
            }
        }
        all
    }

    /// Every successful login so far. It is written before the client hears `+OK`, so none is missing.
    pub fn logins(&self) -> Vec<Login> {
        let text = std::fs::read_to_string(self.home().join("logins")).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole
            .lines()
            .map(|line| {
                let mut words = line.split(' ');
                let at = words.next().unwrap().parse().unwrap();
                Login { at, ip: words.next().unwrap().to_owned(), user: words.next().unwrap().to_owned() }
            })
            .collect()
    }

    /// The server's own log. It is written a moment after the event.
    pub fn log(&self) -> String {
        written(self.home(), &["log"])
    }

    /// Waits for a line in the log that contains all of this.
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        wait_for(&format!("{words:?} in dovecot's log"), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Logs and complaints, for a message.
    pub fn everything_logged(&self) -> String {
        written(self.home(), &["output", "errors", "log"])
    }
}
