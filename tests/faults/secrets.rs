//! That the search for secrets (`support/secrets.rs`) finds what it looks for, and that the built program keeps its memory
//! and files to itself.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::played_provider::{ANN, Rig};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{Process, anybodys_python, install_program, run, said};
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::running::Run;
use crate::support::secrets::{Watch, form_of, heard, typed};
use crate::support::{find, folder, free_port, is_root, require, unique, wait_for};

/// With everything that any of the forms writes in another way.
const SECRET: &str = "gl\u{fc}ck <&\"4711\"> 100%=x";

#[test]
fn every_form_of_a_secret_is_found() {
    let bytes = SECRET.as_bytes();
    let each = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
    let mut wanted = vec![
        SECRET.to_owned(),
        each(&|byte| format!("{byte:02x}")),
        each(&|byte| format!("{byte:02X}")),
        each(&|byte| format!("%{byte:02X}")),
        each(&|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") }),
        each(&|byte| format!("={byte:02X}")),
        each(&|byte| format!("={byte:02X}=\r\n")),
        each(&|byte| {
            if (33..=126).contains(&byte) && byte != b'=' {
                char::from(byte).to_string()
            } else {
                format!("={byte:02X}")
            }
        }),
        serde_json::to_string(SECRET).unwrap(),
        format!("{SECRET:?}"),
        "gl\u{fc}ck &lt;&amp;&quot;4711&quot;&gt; 100%=x".to_owned(),
    ];
    // Behind any number of other octets, and before any: as in a response of PLAIN.
    for before in 0..4 {
        for after in 0..4 {
            let text = [&b"abcd"[..before], bytes, &b"wxyz"[..after]].concat();
            wanted.push(STANDARD.encode(&text));
            wanted.push(URL_SAFE_NO_PAD.encode(&text));
            let wrapped: String =
                STANDARD.encode(&text).chars().enumerate().fold(String::new(), |mut text, (at, c)| {
                    text.push_str(if at > 0 && at % 7 == 0 { "\r\n" } else { "" });
                    text.push(c);
                    text
                });
            wanted.push(wrapped);
        }
    }
    for text in wanted {
        let text = format!("before {text} after");
        assert!(form_of(bytes, text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(form_of(bytes, b"nothing of the kind 676cc3bc636b"), None);
}

/// A home with one account, and what the program is made to say about it.
fn searched(secret: &str, args: &[&str], change: impl FnOnce(&mut Home)) -> std::thread::Result<()> {
    let account = Account::new("home", ANN, secret).pop3(Server::new("none", 1)).smtp(Server::new("none", 1));
    let mut home = Home::new(&TestCa::new(), &[account]);
    change(&mut home);
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    std::thread::spawn(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        home.ostler(&args, "");
    })
    .join()
}

#[test]
fn a_secret_that_a_command_says_fails_the_test_unless_it_may() {
    // The account's name is its secret, which `list` shows.
    assert!(searched("home@example", &["list"], |home| home.keep_secret("ann@example.org")).is_err());
    assert!(searched("something-else", &["list"], |_| {}).is_ok());
    let allowed = |home: &mut Home| {
        home.keep_secret("ann@example.org");
        home.allow_secret("ann@example.org", "stdout of list", "to try exemptions");
    };
    assert!(searched("something-else", &["list"], allowed).is_ok());
}

/// Each place is given a secret on purpose, and the search has to fail.
#[test]
fn a_secret_in_any_place_that_is_searched_is_found() {
    type Change = fn(&Home, &mut Command, &str);
    let places: [(&str, Change); 5] = [
        ("command line", |_, command, secret| {
            // What no option would take: a name of the program itself.
            std::os::unix::process::CommandExt::arg0(command, secret);
        }),
        ("environment", |_, command, secret| {
            command.env("OSTLER_TEST_UNUSED", secret);
        }),
        ("settings", |home, _, secret| home.write_settings(&format!("# {secret}\n{}", home.settings()))),
        ("file", |home, _, secret| std::fs::write(home.path().join("data").join("left"), secret).unwrap()),
        ("the log", |home, _, secret| {
            home.write_settings(&home.settings().replace("name = \"home\"", &format!("name = {secret:?}")));
        }),
    ];
    for (place, change) in places {
        let secret = unique("secret");
        let account = Account::new("home", ANN, &secret).pop3(Server::new("none", 1)).smtp(Server::new("none", 1));
        let home = Home::new(&TestCa::new(), &[account]);
        let outcome = std::thread::spawn(move || {
            let ostler = home.run_changed(&["run"], |home, command| change(home, command, &secret));
            drop(ostler);
        })
        .join();
        let panic = outcome.expect_err(place);
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(text.contains("has the secret"), "{place}: {text}");
    }
}

#[test]
fn what_a_client_types_is_searched_for() {
    let secret = unique("typed");
    typed(&format!("PASS {secret}"));
    let outcome = std::panic::catch_unwind(|| {
        let home =
            Home::new(&TestCa::new(), &[Account::new(&secret, ANN, "unused-password").pop3(Server::new("none", 1))]);
        home.ostler(&["list"], "");
    });
    assert!(outcome.is_err());
    let response = STANDARD.encode(format!("\0{ANN}\0{}", unique("another-typed")));
    typed(&format!("AUTH PLAIN {response}"));
    let outcome = std::panic::catch_unwind(|| {
        let name = String::from_utf8(STANDARD.decode(&response).unwrap()).unwrap();
        let name = name.rsplit('\0').next().unwrap().to_owned();
        let home =
            Home::new(&TestCa::new(), &[Account::new(&name, ANN, "unused-password").pop3(Server::new("none", 1))]);
        home.ostler(&["list"], "");
    });
    assert!(outcome.is_err());
}

/// What an offline guesser needs is searched for wherever it was said: by a client of the test, by ostler to a provider.
#[test]
fn what_proves_a_password_is_searched_for_in_every_form() {
    let digest = || {
        let half = || format!("{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0));
        format!("{}{}", half(), half())
    };
    let watch = Watch::default();
    let hears: [fn(&str) -> String; 4] = [
        |digest| format!("APOP ann@example.org {digest}\r\n"),
        |digest| format!("NOOP\r\napop ann {}\n", digest.to_uppercase()),
        |digest| format!("{}\r\n", STANDARD.encode(format!("ann {digest}"))),
        |digest| STANDARD.encode(format!("ann lee {digest}")),
    ];
    type Write = fn(&str) -> String;
    let plain: [Write; 3] = [str::to_owned, str::to_uppercase, |digest| format!("\"ann {digest}\",")];
    let encoded: [Write; 4] = [
        |text| STANDARD.encode(text),
        |text| URL_SAFE_NO_PAD.encode(text),
        |text| STANDARD.encode(text).chars().flat_map(|c| [c, ' ']).collect(),
        |text| format!("AUTH={}", STANDARD.encode(text)),
    ];
    for said in hears {
        for before in 0..4 {
            for after in 0..4 {
                for write in plain.iter().chain(&encoded) {
                    let digest = digest();
                    let text = format!("{}{digest}{}", &"xyzx"[..before], &"zyxz"[..after]);
                    let place = format!("before {} after", write(&text));
                    assert!(watch.found("the log", place.as_bytes()).is_none(), "nobody has said it yet: {place}");
                    heard(said(&digest).as_bytes());
                    let found = watch.found("the log", place.as_bytes());
                    assert_eq!(found, Some((digest.into_bytes(), "which proves a password")), "{place}");
                }
            }
        }
    }
    for nothing in ["APOP ann 0123", "AUTH CRAM-MD5", "dGVzdA==", &format!("APOP ann {}", "0".repeat(32))] {
        heard(nothing.as_bytes());
    }
    assert!(watch.found("the log", "0".repeat(64).as_bytes()).is_none());
}

#[test]
fn a_proof_that_a_provider_is_given_is_searched_for_and_starred_in_the_log() {
    let challenge = STANDARD.encode(format!("<{}@mx>", unique("challenge")));
    let part = vec![
        say("220 ready"),
        expect("EHLO"),
        say("250-mx\r\n250 AUTH CRAM-MD5"),
        expect("AUTH CRAM-MD5"),
        say(&format!("334 {challenge}")),
        expect(""),
        say("235 2.7.0 in"),
        expect("MAIL"),
        say("250 2.1.0 ok"),
        Step::Stall,
    ];
    let provider = Provider::start(vec![part]);
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", provider.port));
    let home = Home::new(&TestCa::new(), &[account]);
    let mut run = Run::start(&home, &["-v"]).ready();
    let mut client = Client::greeted(home.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    let received = provider.sessions()[0].received.clone();
    let found = Watch::default().found("what the provider has heard", &received);
    assert_eq!(found.map(|(_, form)| form), Some("which proves a password"), "{received:?}");
    run.end_well();
    // That there is nothing else in it is looked for when `run` goes.
    assert!(run.err.text().contains("C: ***"), "{}", run.err.text());
}

/// The page is found, entered, and searched to its last link.
#[cfg(feature = "web")]
#[test]
fn a_secret_on_the_settings_page_is_found() {
    let account = |name: &str| Account::new(name, ANN, "unused-password").pop3(Server::new("none", 1));
    let start = move |name: &str| {
        let home = Home::new(&TestCa::new(), &[account(name)]);
        home.write_settings(&home.settings().replace("page = false", &format!("page = {}", free_port())));
        home
    };
    drop(start("home").run());
    let outcome = std::thread::spawn(move || {
        let mut home = start("home");
        // Of all that is asked, only the page shows the computer's servers in words.
        home.keep_secret("Save a report");
        drop(home.run());
    })
    .join();
    let panic = outcome.expect_err("the page was not searched");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.starts_with("page "), "{text}");
}

#[test]
fn the_built_program_writes_no_core_and_shows_its_memory_to_nobody() {
    require!("python3", "setpriv");
    let place = folder();
    // Somebody who is not root, who owns the process and yet may not look into it.
    let program = place.path().join("ostler");
    install_program(crate::support::ostler::program(), &program);
    let home = place.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let as_user = |words: &[&str]| {
        let mut command = if is_root() {
            std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
            let mut command = Command::new(find("setpriv").unwrap());
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
            command
        } else {
            Command::new("env")
        };
        // Memory may be written out as far as the system allows it, so that it is ostler who forbids it.
        command.args(["sh", "-c", "ulimit -S -c $(ulimit -H -c); exec \"$@\"", "sh"]);
        command.args(words).current_dir(&home).env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    };
    let settings = home.join("ostler.toml");
    std::fs::write(&settings, format!("[local]\npop3 = {}\nsmtp = false\nimap = false\npage = false\n", free_port()))
        .unwrap();
    std::fs::set_permissions(&settings, std::fs::Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&settings, Some(65534), Some(65534)).unwrap();
    }
    let words = [program.to_str().unwrap(), "run", "--config", settings.to_str().unwrap()];
    let mut ostler = Run::of(&mut as_user(&words)).ready();
    let pid = ostler.id();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert_eq!(std::fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0, "it can be dumped");
    // A debugger and a reader of memory, of the same user. The same on a process of no secrets shows what they could do.
    let script = "import ctypes,os,sys\n\
        pid=int(sys.argv[1])\nlibc=ctypes.CDLL(None,use_errno=True)\n\
        print('attached' if libc.ptrace(16,pid,0,0)==0 else 'refused '+os.strerror(ctypes.get_errno()))\n\
        for name in ('mem','environ','maps','fd'):\n\
        \x20try:\n\
        \x20 os.listdir(f'/proc/{pid}/{name}') if name=='fd' else open(f'/proc/{pid}/{name}','rb').read(1)\n\
        \x20 print('read',name)\n\
        \x20except OSError as e: print('refused' if e.errno in (1,13) else 'tried',name,e.strerror)\n";
    let python = anybodys_python();
    let look = |pid: u32| said(&run(&mut as_user(&[python.to_str().unwrap(), "-c", script, &pid.to_string()]), ""));
    let seen = look(pid);
    assert_eq!(seen.lines().filter(|line| line.starts_with("refused")).count(), 5, "{seen}");
    let mut other = as_user(&["sleep", "1000"]);
    let other = Process::start("sleep", other.stdin(Stdio::null()));
    wait_for("another process to be looked into", || look(other.id()).contains("read environ").then_some(()));
    // A crash leaves nothing, neither here nor with whoever collects such things; that of a process of no secrets does.
    for signal in [rustix::process::Signal::ABORT, rustix::process::Signal::SEGV] {
        // The first SIGSEGV that no fault has caused is taken for one of a full stack, and what made it is tried again.
        wait_for("its end", || {
            ostler.signal(signal);
            ostler.has_ended().then_some(())
        });
        let status = ostler.ended();
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false), "{status}");
        let left = files_in(&home);
        assert!(!left.iter().any(|name| name.starts_with("core")), "{left:?}");
        ostler = Run::of(&mut as_user(&words)).ready();
    }
    let status = as_user(&["sh", "-c", "kill -ABRT $$"]).status().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    // Where this system lets anybody leave one.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let is_file = !pattern.trim().is_empty() && !pattern.starts_with(['|', '/', '@']);
    if is_file && rustix::process::getrlimit(rustix::process::Resource::Core).maximum != Some(0) {
        assert!(status.core_dumped() && files_in(&home).iter().any(|name| name.starts_with("core")), "{pattern}");
    }
}

fn files_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// A home without any settings yet; what ostler makes is its user's alone.
#[test]
fn what_it_writes_is_its_users_alone() {
    let home = Home::new(&TestCa::new(), &[]);
    std::fs::remove_file(home.settings_file()).unwrap();
    let folder = home.settings_file().parent().unwrap().join("new");
    let file = folder.join("ostler.toml");
    let (pop3, smtp) = ("none://localhost:1", "none://localhost:1");
    let with_file = |words: &[&str]| {
        let mut command = careless(&home.command(words));
        command.args(words).arg("--config").arg(&file);
        command
    };
    let added = run(
        &mut with_file(&["add", ANN, "--pop3", pop3, "--smtp", smtp, "--no-check", "--password-client", "--yes"]),
        "",
    );
    assert!(added.status.success(), "{}", said(&added));
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &doors()).unwrap();
    let mut ostler = Run::of(&mut with_file(&["run"])).ready();
    let mut looked = 0;
    for root in [&folder, &home.path().join("run").join("ostler"), &home.path().join("data").join("ostler")] {
        look_at(root, &mut looked);
    }
    assert!(looked >= 7, "settings, two locks, socket and three folders: {looked}");
    ostler.end_well();
}

fn doors() -> String {
    format!("\n[local]\npop3 = {}\nsmtp = {}\nimap = false\npage = false\n", free_port(), free_port())
}

/// The same program and environment, under a shell that takes no right away from new files.
fn careless(command: &Command) -> Command {
    let mut shell = crate::support::process::command("sh", ["-c", "umask 000; exec \"$@\"", "sh"]);
    shell.arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn look_at(path: &Path, looked: &mut usize) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    assert_eq!(meta.mode() & 0o077, 0, "{}: {:o}", path.display(), meta.mode());
    *looked += 1;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            look_at(&entry.unwrap().path(), looked);
        }
    }
}

#[test]
fn settings_that_others_can_write_are_refused_and_that_others_can_read_are_warned_about() {
    let mut rig = Rig::start();
    rig.run.end_well();
    let file = rig.home.settings_file();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    for bad in [0o602, 0o622, 0o666] {
        mode(bad);
        for args in [&["run"][..], &["list"], &["check"]] {
            let refused = rig.home.ostler(args, "");
            assert_eq!(refused.status.code(), Some(2), "{args:?}: {}", said(&refused));
            assert!(said(&refused).contains("`chmod go-w "), "{}", said(&refused));
        }
    }
    for (readable, warned) in [(0o644, true), (0o604, true), (0o600, false)] {
        mode(readable);
        rig.start_again();
        assert_eq!(rig.run.err.text().contains("other users can read it; `chmod 600 "), warned, "{readable:o}");
        rig.run.end_well();
    }
}
