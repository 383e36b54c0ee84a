//! The ostler service: set up, used, upgraded into, and taken back under a real systemd, which `systemd-nspawn` boots on a copy of
//! this system that is thrown away.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::dovecot::Dovecot;
use support::process::{command, install_program, run, run_well, said};
use support::world::World;
use support::{folder, require, unique};

const ANN: &str = "ann@example.org";
/// The computer's address in its network.
const OSTLER: &str = "10.9.0.1";

fn packaged(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/system").join(file).display().to_string()
}

/// What a script said, step by step: `step NAME` begins a step.
struct Steps(BTreeMap<String, String>);

impl Steps {
    fn said(&self, step: &str) -> &str {
        self.0.get(step).map_or_else(|| panic!("there is no step {step}: {:?}", self.0.keys()), String::as_str)
    }

    fn says(&self, step: &str, words: &[&str]) {
        for word in words {
            assert!(self.said(step).contains(word), "{step}: not \"{word}\" in: {}", self.said(step));
        }
    }
}

/// Boots this system's own files under systemd, in the world's network, and runs the script in it as root. What it changes is
/// in memory only. `ostler` is at `/usr/local/bin`; `files` are more files, from where and to where.
fn boot(world: &World, script: &str, files: &[(&str, &str)]) -> Steps {
    // One unit runs the script, once systemd is up far enough, and switches off.
    const UNIT: &str = "[Unit]\nDefaultDependencies=no\nRequires=basic.target\nAfter=basic.target\n\
        [Service]\nType=oneshot\nExecStart=/bin/bash /try/script\nStandardOutput=append:/try/said\nStandardError=inherit\n\
        TimeoutStartSec=50\nExecStopPost=/bin/systemctl poweroff --no-block\n";
    const BOOT: &str = "set -e; mount -t tmpfs none \"$1\"; cd \"$1\"; mkdir upper work root; \
        mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root; \
        cp \"$2\" root/etc/systemd/system/try.service; shift 2; \
        exec systemd-nspawn --quiet --directory=root --boot --register=no --keep-unit --console=pipe \"$@\" \
            systemd.unit=try.service systemd.show_status=no </dev/null";
    let (space, shared) = (folder(), folder());
    let text = format!("step() {{ echo \"== $1\"; }}\n{script}\n");
    std::fs::write(shared.path().join("script"), text).unwrap();
    let unit = space.path().with_extension("unit");
    std::fs::write(&unit, UNIT).unwrap();
    let mut start = world.command("unshare", &["--mount", "bash", "-c", BOOT, "boot"]);
    start.arg(space.path()).arg(&unit).arg(format!("--bind={}:/try", shared.path().display()));
    let program = env!("CARGO_BIN_EXE_ostler");
    for (from, to) in files.iter().chain(&[(program, "/usr/local/bin/ostler")]) {
        start.arg(format!("--bind-ro={from}:{to}"));
    }
    let booted = said(&run(&mut start, ""));
    std::fs::remove_file(&unit).unwrap();
    let text = std::fs::read_to_string(shared.path().join("said")).unwrap_or_else(|_| panic!("no boot: {booted}"));
    let mut steps = BTreeMap::new();
    for step in text.split("== ").skip(1) {
        let (name, said) = step.split_once('\n').unwrap_or((step, ""));
        steps.insert(name.to_owned(), said.to_owned());
    }
    Steps(steps)
}

#[test]
fn the_unit_is_as_tight_as_it_claims() {
    require!("systemd-analyze");
    let unit = packaged("ostler.service");
    let output =
        run(&mut command("systemd-analyze", ["security", "--offline=yes", "--threshold=20", "--no-pager", &unit]), "");
    // The threshold is ten times the figure: an exposure of 2.0.
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_pi_without_a_desktop_becomes_a_server_for_old_computers_and_is_one_again_after_a_restart() {
    require!("world", "dovecot", "curl", "systemd-nspawn");
    let world = World::builder().start();
    run_well(&mut world.command("ip", &["addr", "add", &format!("{OSTLER}/32"), "dev", "lo"]), "");
    let secret = unique("the-providers");
    let cert = world.ca().localhost();
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(cert).inside(&world, "127.0.0.1", [110, 995]).start();
    dovecot.deliver(ANN, b"From: bob@example.com\r\nSubject: kept\r\n\r\nthe mail\r\n");
    let home = folder();
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, world.ca().pem()).unwrap();
    support::set_mode(&ca, 0o644);
    let script = format!(
        "step before; ostler status
         step set-up; ostler setup-service --address {OSTLER} --allow 10.9.0.0/24
         step unit; systemctl show -p ActiveState,User,MainPID,FragmentPath ostler; systemctl is-enabled ostler
         stat -c '%U %a' /var/lib/ostler /var/lib/ostler/ostler.toml
         step add; echo {secret} | ostler add {ANN} --name home --pop3 tls://localhost:995 --fetch-only --ca /ca.pem \
             --password-stdin --yes
         step list; ostler list --passwords
         local=$(ostler list --passwords --json | sed -n 's/.*\"local_password\": \"\\(.*\\)\".*/\\1/p')
         step fetch; curl -sS --user \"home:$local\" pop3://{OSTLER}/1
         step wrong; curl -sS --user home:guessed pop3://{OSTLER}/1
         step status; ostler status
         step somebody; setpriv --reuid=65534 --regid=65534 --clear-groups ostler status
         step files; find /var/lib/ostler/secrets -printf '%u %m %y\\n' | sort | uniq -c
         step restarted; systemctl restart ostler; curl -sS --user \"home:$local\" pop3://{OSTLER}/1
         step again; cp /var/lib/ostler/ostler.toml /try/kept; ostler setup-service
         cmp /try/kept /var/lib/ostler/ostler.toml && echo the settings are as they were
         step page; link=$(ostler settings --print); echo \"$link\"
         setpriv --reuid=65534 --regid=65534 --clear-groups curl -sSL --cookie /dev/null \"$link\"
         step leaks; grep -rlF -e {secret} /etc/systemd /var/lib/ostler/ostler.toml; journalctl -u ostler | grep -F -e {secret} -e \"$local\"
         step undo; ostler setup-service --undo; systemctl is-active ostler; systemctl is-enabled ostler
         ls /etc/systemd/system/ostler.service /var/lib/ostler/ostler.toml"
    );
    let steps = boot(&world, &script, &[(ca.to_str().unwrap(), "/ca.pem")]);
    steps.says("before", &["ostler is not running"]);
    steps.says("set-up", &["runs, and starts with the computer", "user of its own", "10.9.0.1, ports 110", "--undo"]);
    steps.says(
        "unit",
        &["ActiveState=active", "User=ostler", "FragmentPath=/etc/systemd/system/ostler.service", "\nenabled"],
    );
    steps.says("unit", &["ostler 700\nostler 600"]);
    assert!(!steps.said("unit").contains("MainPID=0"), "{}", steps.said("unit"));
    steps.says("list", &["local password: ", "10.9.0.1:110"]);
    steps.says("fetch", &["Subject: kept", "the mail"]);
    assert!(!steps.said("wrong").contains("the mail"), "{}", steps.said("wrong"));
    steps.says("status", &["is running", "home", "10.9.0.1:25"]);
    steps.says("somebody", &["ostler is not running", "sudo ostler status"]);
    for line in steps.said("files").lines() {
        assert!(line.ends_with("ostler 700 d") || line.ends_with("ostler 600 f"), "{}", steps.said("files"));
    }
    steps.says("restarted", &["the mail"]);
    steps.says("again", &["they were there already", "the settings are as they were"]);
    // As through a tunnel of ssh: the connection is some user's of this computer.
    steps.says("page", &["http://127.0.0.1:2080/?token=", "<title>", "home"]);
    assert_eq!(steps.said("leaks"), "");
    steps.says(
        "undo",
        &["has ended", "inactive", "/var/lib/ostler/ostler.toml", "cannot access '/etc/systemd/system/ostler.service'"],
    );
}

#[test]
fn passwords_may_come_from_systemd() {
    require!("world", "dovecot", "curl", "systemd-nspawn");
    let world = World::builder().start();
    let secret = unique("the-providers");
    let dovecot = Dovecot::builder()
        .user(ANN, &secret)
        .cert(world.ca().localhost())
        .inside(&world, "127.0.0.1", [110, 995])
        .start();
    dovecot.deliver(ANN, b"Subject: kept\r\n\r\nthe mail\r\n");
    let home = folder();
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, world.ca().pem()).unwrap();
    support::set_mode(&ca, 0o644);
    // The package's program and unit.
    let script = format!(
        "step set-up; ostler setup-service; systemctl show -p FragmentPath ostler
         install -m 600 /dev/null /etc/secret; echo {secret} > /etc/secret; mkdir /etc/systemd/system/ostler.service.d
         printf '[Service]\\nLoadCredential=home:/etc/secret\\nLoadCredential=door:/etc/local\\n' \
             > /etc/systemd/system/ostler.service.d/passwords.conf
         echo typed-in-eudora > /etc/local
         cat >> /var/lib/ostler/ostler.toml <<END
[[account]]
name = \"home\"
address = \"{ANN}\"
password = {{ file = \"home\" }}
local_password = {{ file = \"door\" }}
pop3 = {{ host = \"localhost\", security = \"tls\", ca = \"/ca.pem\" }}
END
         systemctl daemon-reload; systemctl restart ostler
         step fetch; curl -sS --user home:typed-in-eudora pop3://127.0.0.1:2110/1
         step check; ostler check home; echo $?
         step journal; journalctl -u ostler"
    );
    let program = env!("CARGO_BIN_EXE_ostler");
    let unit = packaged("ostler.service");
    let files = [
        (ca.to_str().unwrap(), "/ca.pem"),
        (program, "/usr/bin/ostler"),
        (&unit, "/usr/lib/systemd/system/ostler.service"),
    ];
    let steps = boot(&world, &script.replace("ostler setup-service", "/usr/bin/ostler setup-service"), &files);
    steps.says("set-up", &["/lib/systemd/system/ostler.service"]);
    assert!(steps.said("fetch").contains("the mail"), "{}{}", steps.said("fetch"), steps.said("journal"));
    assert!(steps.said("check").ends_with("\n0\n"), "{}", steps.said("check"));
}

#[test]
fn only_the_administrator_sets_it_up_and_only_where_the_service_may_look() {
    let folder = folder();
    let program = folder.path().join("ostler");
    install_program(env!("CARGO_BIN_EXE_ostler"), &program);
    let output = run(&mut command(&program, ["setup-service"]), "");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let wanted = if support::is_root() { "/usr/local/bin/ostler" } else { "sudo ostler setup-service" };
    assert!(said(&output).contains(wanted), "{}", said(&output));
    let output = run(&mut command(&program, ["setup-service", "--address", "192.168.1.10"]), "");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
