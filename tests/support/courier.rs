//! A Courier IMAP server of the test's own, from packages that `tests/run` has unpacked. It looks for its files in fixed places,
//! so it runs in a mount namespace where these are its own; nothing of the system is changed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::ca::ServerCert;
use super::process::{Process, command};
use super::{folder, free_port, give_away, is_root, mail_ids, on_free_ports, set_mode, written};

/// Whether it can be started here.
pub fn usable() -> Result<(), String> {
    if !unpacked().join("usr/bin/imapd").is_file() {
        return Err("courier-imap".to_owned());
    }
    if !is_root() {
        return Err("root, to start courier".to_owned());
    }
    let try_it = "mount -t overlay overlay -o lowerdir=/etc:/usr /usr";
    let may = std::process::Command::new("unshare").args(["-m", "sh", "-c", try_it]).output();
    if may.is_ok_and(|output| output.status.success()) { Ok(()) } else { Err("a mount namespace".to_owned()) }
}

fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-courier")
}

/// What runs in the namespace. `$1` is the unpacked packages, `$2` the server's folder, `$3` the port.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs "$2/layers"
mkdir "$2/layers/etc" "$2/layers/work"
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$2/etc:$1/etc:/etc,upperdir=$2/layers/etc,workdir=$2/layers/work" /etc
mount --bind "$2/run" /run
mkdir -p /run/courier/authdaemon
grep -q '^courier:' /etc/passwd || echo "courier:x:$4:$5::/:/bin/false" >> /etc/passwd
grep -q '^courier:' /etc/group || echo "courier:x:$5:" >> /etc/group
export LD_LIBRARY_PATH="$1/lib/$(uname -m)-linux-gnu:$1/usr/lib/$(uname -m)-linux-gnu:/usr/lib/courier-authlib"
makeuserdb
/usr/lib/courier/courier-authlib/authdaemond &
set -a
. /etc/courier/imapd
IMAP_STARTTLS=YES
COURIERTLS=/usr/bin/couriertls
TLS_CERTFILE="$2/cert.pem"
set +a
exec couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup "$3" \
    /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir
"#;

/// A running server.
pub struct Courier {
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
    /// Plain, with STARTTLS.
    pub imap: u16,
}

impl Courier {
    /// Starts it for one user and waits until it answers.
    pub fn start(user: &str, password: &str, cert: &ServerCert) -> Self {
        on_free_ports("courier", || Self::try_start(user, password, cert))
    }

    fn try_start(user: &str, password: &str, cert: &ServerCert) -> Option<Self> {
        let folder = folder();
        let home = folder.path();
        let (uid, gid) = mail_ids();
        for part in ["etc/courier", "run", "layers", "Maildir/cur", "Maildir/new", "Maildir/tmp"] {
            std::fs::create_dir_all(home.join(part)).unwrap();
        }
        for part in ["", "cur", "new", "tmp"] {
            give_away(&home.join("Maildir").join(part), uid, gid);
        }
        std::fs::write(home.join("cert.pem"), format!("{}{}", cert.key_pem, cert.chain_pem)).unwrap();
        let hash = command("openssl", ["passwd", "-1", password]).output().unwrap();
        let at = home.display();
        let userdb = format!(
            "{user}\tuid={uid}|gid={gid}|home={at}|mail={at}/Maildir|systempw={}",
            String::from_utf8_lossy(&hash.stdout)
        );
        std::fs::write(home.join("etc/courier/userdb"), userdb).unwrap();
        set_mode(home.join("etc/courier/userdb"), 0o600);
        let settings = "authmodulelist=\"authuserdb\"\ndaemons=2\nauthdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=0\n\
                        DEFAULTOPTIONS=\"\"\nLOGGEROPTS=\"\"\n";
        std::fs::write(home.join("etc/courier/authdaemonrc"), settings).unwrap();
        let port = free_port();
        let output = std::fs::File::create(home.join("output")).unwrap();
        let mut start =
            command("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "courier"]);
        start.arg(unpacked()).arg(home).args([port.to_string(), uid.to_string(), gid.to_string()]);
        start.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = Process::start("courier", &mut start);
        let is_up = process.comes_up(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        is_up.then_some(Self { process, folder, imap: port })
    }

    /// Puts a message into the mailbox, as it is stored.
    pub fn deliver(&self, message: &[u8]) {
        let (tmp, new) = (self.maildir().join("tmp/1.one.localhost"), self.maildir().join("new/1.one.localhost"));
        std::fs::write(&tmp, message).unwrap();
        let (uid, gid) = mail_ids();
        give_away(&tmp, uid, gid);
        std::fs::rename(tmp, new).unwrap();
    }

    pub fn maildir(&self) -> PathBuf {
        self.folder.path().join("Maildir")
    }

    /// The server's own words, for a message.
    pub fn log(&self) -> String {
        let _ = &self.process;
        written(self.folder.path(), &["output"])
    }
}
