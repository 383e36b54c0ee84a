//! The container image: built from nothing, and run as its Containerfile says, without a right of its own, on a file system that
//! cannot be written to.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use support::dovecot::Dovecot;
use support::process::{command, run, run_well, said};
use support::world::World;
use support::{folder, give_away, private_file, require, set_mode, unique};

const ANN: &str = "ann@example.org";
/// The address of the computer that the container runs on.
const OSTLER: &str = "10.9.0.1";
/// The user of the image.
const USER: u32 = 65532;

/// As a container engine without a systemd, in a container of its own: it makes no groups of processes (hybrid ones, of two
/// versions, it refuses to see) and raises no limit.
const PODMAN: &str = "
    mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified
    export DISABLE_HC_SYSTEMD=true
    podman() { command podman --root $STORAGE/images --runroot $STORAGE/run --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend file --log-level error \"$@\"; }
    step() { echo \"== $1\"; }
    exec 2>&1
";

#[test]
fn a_container_without_rights_serves_mail_and_tells_its_health() {
    require!("world", "dovecot", "curl", "podman", "crun", "strip");
    let world = World::builder().start();
    run_well(&mut world.command("ip", &["addr", "add", &format!("{OSTLER}/32"), "dev", "lo"]), "");
    let secret = unique("the-providers");
    let cert = world.ca().localhost();
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(cert).inside(&world, "127.0.0.1", [110, 995]).start();
    dovecot.deliver(ANN, b"Subject: kept\r\n\r\nthe mail\r\n");
    let (storage, data) = (folder(), folder());
    let program = storage.path().join("ostler");
    run_well(command("strip", ["-o"]).arg(&program).arg(env!("CARGO_BIN_EXE_ostler")), "");
    let mut build = command(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/container/build"), [""; 0]);
    run_well(build.env("OSTLER_BINARY", &program).env("OSTLER_STORAGE", storage.path()), "");
    let settings = data.path().join("ostler.toml");
    private_file(
        &settings,
        &format!(
            "[local]\npop3 = \"{OSTLER}:2110\"\nsmtp = \"{OSTLER}:2025\"\nimap = false\npage = false\naccess = \"password\"\n\
             allow = [\"{OSTLER}\"]\n"
        ),
    );
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, world.ca().pem()).unwrap();
    set_mode(data.path(), 0o700);
    give_away(data.path(), USER, USER);
    let script = format!(
        "{PODMAN}
         step run; podman run --detach --name o --read-only --read-only-tmpfs=false --cap-drop all \
             --security-opt no-new-privileges --network host --cgroups disabled --ulimit nofile=4096:4096 \
             --ulimit nproc=1000:1000 --volume $DATA:/data localhost/ostler
         for try in $(seq 300); do podman healthcheck run o >/dev/null 2>&1 && break; sleep 0.1; done
         step health; podman healthcheck run o; echo $?
         step add; echo {secret} | podman exec --interactive o /usr/bin/ostler add {ANN} --name home --fetch-only \
             --pop3 tls://localhost:995 --ca /data/ca.pem --password-stdin --yes
         local=$(podman exec o /usr/bin/ostler list --passwords --json | sed -n 's/.*\"local_password\": \"\\(.*\\)\".*/\\1/p')
         step fetch; curl -sS --user \"home:$local\" pop3://{OSTLER}:2110/1
         step who; grep -h ^Uid: /proc/$(podman inspect --format '{{{{.State.Pid}}}}' o)/status
         grep -h ^Cap /proc/$(podman inspect --format '{{{{.State.Pid}}}}' o)/status
         step paused; podman exec o /usr/bin/ostler pause; podman healthcheck run o; echo $?
         step stop; podman stop --time 30 o; podman inspect --format 'ended with {{{{.State.ExitCode}}}}' o
         step log; podman logs o
         podman rm --force o >/dev/null"
    );
    let mut start = world.command("unshare", &["--mount", "bash", "-c", &script]);
    let output = said(&run(start.env("STORAGE", storage.path()).env("DATA", data.path()), ""));
    let step = |name: &str| {
        let found = output.split("== ").find_map(|step| step.strip_prefix(name)?.strip_prefix('\n'));
        found.unwrap_or_else(|| panic!("there is no step {name}: {output}"))
    };
    assert!(step("health").ends_with("\n0\n") || step("health") == "0\n", "{output}");
    assert!(step("fetch").contains("the mail"), "{output}");
    assert!(step("who").contains(&format!("Uid:\t{USER}\t{USER}")), "{output}");
    assert!(
        step("who").lines().filter(|line| line.starts_with("Cap")).all(|line| line.ends_with("\t0000000000000000")),
        "{output}"
    );
    assert!(step("paused").trim_end().ends_with('1'), "{output}");
    assert!(step("stop").contains("ended with 0"), "{output}");
    assert!(!step("log").contains(&secret), "{output}");
}
