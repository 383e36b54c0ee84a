//! The commands as a person or a script gives them: what goes to stdout and what to stderr, exit codes, field
//! names of the JSON documents.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::ca::TestCa;
use support::client::Client;
use support::dovecot::Dovecot;
use support::gate::{Gate, Rules};
use support::keyring::Keyring;
use support::ostler::{Account, Home, Server};
use support::postfix::Postfix;
use support::process::{command, document, err, in_background, out, run, said};
use support::provider::{Part, Provider, Step, expect, say};
use support::running::Run;
use support::{free_port, require, unique, wait_for};

const ANN: &str = "ann@example.org";

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn plain(port: u16) -> Server {
    Server::new("none", port)
}

fn simple() -> Account {
    Account::new("home", ANN, &unique("pw")).pop3(plain(1)).smtp(plain(1))
}

fn home(accounts: &[Account]) -> Home {
    Home::new(&TestCa::new(), accounts)
}

/// The binary with nothing but the environment it needs.
fn bare(home: &Home, args: &[&str]) -> Command {
    let mut bare = command(home.command(&[]).get_program(), args);
    bare.env_clear();
    bare
}

// The command line itself

#[test]
fn a_wrong_command_line_is_2_with_nothing_on_stdout() {
    let home = home(&[simple()]);
    for args in [
        &["frobnicate"][..],
        &["list", "--frobnicate"],
        &["password"],
        &["remove"],
        &["run", "--log", "xml"],
        &["status", "extra"],
        &["--config"],
        &["password", "home", "--server", "nntp"],
    ] {
        let output = run(&mut bare(&home, args), "");
        assert_eq!((code(&output), out(&output).as_str()), (Some(2), ""), "{args:?}: {}", said(&output));
        assert!(!err(&output).is_empty());
    }
}

#[test]
fn help_and_version_are_results() {
    let home = home(&[simple()]);
    let whole = run(&mut bare(&home, &["--help"]), "");
    assert_eq!(code(&whole), Some(0));
    for (name, words) in [
        ("run", "ready"),
        ("demo", "this computer"),
        ("list", "doors"),
        ("password", "keyring"),
        ("remove", "settings"),
        ("check", "step"),
        ("providers", "server"),
        ("guide", "mail program"),
        ("status", "running"),
        ("pause", "turn new mail programs away"),
        ("resume", "again"),
        ("quit", "ended"),
    ] {
        assert!(out(&whole).lines().any(|line| line.trim_start().starts_with(name)), "{name}: {}", out(&whole));
        let output = run(&mut bare(&home, &[name, "--help"]), "");
        assert_eq!((code(&output), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
        assert!(out(&output).contains(words) && out(&output).contains("--config"), "{}", out(&output));
        assert!(!out(&output).contains('\u{1b}'));
    }
    let version = run(&mut bare(&home, &["--version"]), "");
    assert_eq!((code(&version), out(&version)), (Some(0), format!("ostler {}\n", env!("CARGO_PKG_VERSION"))));
}

/// A script that keeps the result must not take an empty file for a list without accounts, or for a token.
/// `/dev/full` is Linux's.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let home = home(&[simple()]);
    let ostler = home.command(&[]).get_program().to_owned();
    let shell = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", script, "bash"]).arg(&ostler).arg(home.settings_file());
        run(&mut shell, "")
    };
    for line in ["--version", "list --config \"$2\"", "providers --config \"$2\""] {
        let full = shell(&format!("\"$1\" {line} > /dev/full"));
        assert_eq!(code(&full), Some(1), "{line}: {}", said(&full));
        assert!(
            err(&full).contains("cannot write the result to standard output: No space left"),
            "{line}: {}",
            said(&full)
        );
        assert_eq!(err(&full).lines().count(), 1, "{line}: said once: {}", said(&full));
        let closed = shell(&format!("\"$1\" {line} | true"));
        assert_eq!((code(&closed), err(&closed)), (Some(0), String::new()), "{line}");
    }
}

#[test]
fn the_settings_file_is_found_by_option_variable_and_folder() {
    let home = home(&[simple()]);
    let file = home.settings_file();
    let names = |output: &Output| document(output)["accounts"][0]["name"].clone();
    let by_option = run(bare(&home, &["list", "--json", "--config"]).arg(&file), "");
    assert_eq!(names(&by_option), "home", "{}", said(&by_option));
    let before = run(bare(&home, &["--config"]).arg(&file).args(["list", "--json"]), "");
    assert_eq!(names(&before), "home");
    let by_variable = run(bare(&home, &["list", "--json"]).env("OSTLER_CONFIG", &file), "");
    assert_eq!(names(&by_variable), "home");
    // The option wins.
    let both =
        run(bare(&home, &["list", "--json"]).env("OSTLER_CONFIG", "/nowhere/x.toml").arg("--config").arg(&file), "");
    assert_eq!(names(&both), "home");
    let folder = home.path().join("xdg");
    std::fs::create_dir_all(folder.join("ostler")).unwrap();
    std::fs::copy(&file, folder.join("ostler/ostler.toml")).unwrap();
    // A copy has its passwords where the first one has them.
    let by_folder = run(bare(&home, &["list", "--json"]).env("XDG_CONFIG_HOME", &folder), "");
    assert_eq!(names(&by_folder), "home", "{}", said(&by_folder));
    let empty_variable =
        run(bare(&home, &["list", "--json"]).env("OSTLER_CONFIG", "").env("XDG_CONFIG_HOME", &folder), "");
    assert_eq!(names(&empty_variable), "home", "an empty variable is none: {}", said(&empty_variable));
    let dot_config = home.path().join("home/.config/ostler");
    std::fs::create_dir_all(&dot_config).unwrap();
    std::fs::copy(&file, dot_config.join("ostler.toml")).unwrap();
    let by_home = run(bare(&home, &["list", "--json"]).env("HOME", home.path().join("home")), "");
    assert_eq!(names(&by_home), "home", "{}", said(&by_home));
    // A folder is no file, and one that cannot be read is not an empty one.
    let output = run(bare(&home, &["list", "--config"]).arg(home.path()), "");
    assert_eq!((code(&output), out(&output).as_str()), (Some(2), ""), "{}", said(&output));
}

/// The program without --config, where there is no settings file in the usual place.
fn in_usual_place(home: &Home, args: &[&str], input: &str) -> Output {
    let mut command = bare(home, args);
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, home.path().join("home"));
    }
    run(&mut command, input)
}

#[test]
fn with_no_settings_every_command_says_so_in_its_way() {
    let home = home(&[]);
    let list = in_usual_place(&home, &["list", "--json"], "");
    assert_eq!((code(&list), &document(&list)["accounts"]), (Some(0), &json!([])), "{}", said(&list));
    let list = in_usual_place(&home, &["list"], "");
    assert_eq!((code(&list), err(&list).as_str()), (Some(0), ""), "{}", said(&list));
    assert!(out(&list).contains("none yet; add one with `ostler add ADDRESS`\n"), "{}", said(&list));
    let guide = in_usual_place(&home, &["guide", "oe"], "");
    assert!(code(&guide) == Some(1) && err(&guide).contains("there is no account yet"), "{}", said(&guide));
    let status = in_usual_place(&home, &["status"], "");
    assert_eq!((code(&status), out(&status).as_str()), (Some(1), "ostler is not running\n"));
    let check = in_usual_place(&home, &["check"], "");
    assert_eq!(code(&check), Some(1), "{}", said(&check));
    let check = in_usual_place(&home, &["check", "--json"], "");
    assert_eq!((code(&check), document(&check)), (Some(1), json!({"ok": false, "accounts": []})));
    for args in [&["check", "joe"][..], &["password", "joe", "--stdin"], &["remove", "joe", "--yes"]] {
        let output = in_usual_place(&home, args, "pw\n");
        assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{args:?}: {}", said(&output));
        assert!(err(&output).contains("no account yet"), "{}", said(&output));
    }
}

// list

#[test]
fn list_shows_accounts_and_doors() {
    let ca = TestCa::new();
    let login = Server::at("mail.example.org", "tls", 995);
    let fetch = Account::new("home", ANN, &unique("pw"))
        .line("username = \"ann99\"")
        .line("doors = { pop3 = \"127.0.0.2:11110\" }")
        .pop3(login)
        .smtp(Server::at("smtp.example.org", "starttls", 587).auth("pop-before-smtp"))
        .smtp(Server::at("second.example.org", "tls", 465));
    let send = Account::new("work", "ann@example.com", &unique("pw")).smtp(Server::at("smtp.example.com", "tls", 465));
    let home = Home::new(&ca, &[fetch, send]);
    let output = home.ostler(&["list", "--json"], "");
    assert_eq!((code(&output), err(&output).as_str()), (Some(0), ""));
    let all = document(&output);
    let first = &all["accounts"][0];
    assert_eq!([&first["name"], &first["address"], &first["username"]], ["home", ANN, "ann99"], "{all:#}");
    let server = |value: &Value| {
        let fields = ["host", "port", "security", "auth"].map(|field| value[field].clone());
        serde_json::to_string(&fields).unwrap()
    };
    assert_eq!(server(&first["pop3"]), r#"["mail.example.org",995,"tls","password"]"#);
    assert_eq!(server(&first["smtp"][0]), r#"["smtp.example.org",587,"starttls","pop-before-smtp"]"#);
    assert_eq!(server(&first["smtp"][1]), r#"["second.example.org",465,"tls","password"]"#);
    assert_eq!(first.get("imap"), Some(&Value::Null));
    let second = &all["accounts"][1];
    assert_eq!(second.get("pop3"), Some(&Value::Null), "{all:#}");
    assert_eq!(second["smtp"].as_array().unwrap().len(), 1);
    let doors = all["doors"].as_array().unwrap();
    let has = |protocol: &str, address: String, account: Value| {
        doors.iter().any(|d| d["protocol"] == protocol && d["address"] == address && d.get("account") == Some(&account))
    };
    assert!(has("pop3", format!("127.0.0.1:{}", home.pop3), Value::Null), "{all:#}");
    assert!(has("smtp", format!("127.0.0.1:{}", home.smtp), Value::Null), "{all:#}");
    assert!(has("pop3", "127.0.0.2:11110".into(), json!("home")), "{all:#}");
    let text = out(&home.ostler(&["list"], ""));
    for words in ["home", ANN, "mail.example.org", "995", "smtp.example.org", "work", "127.0.0.2:11110"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'));
}

// password

#[test]
fn a_password_from_elsewhere_cannot_be_set_and_it_says_from_where() {
    let from = |name: &str, line: &str| {
        Account::new(name, &format!("{name}@example.org"), "").keyring().line(line).pop3(plain(1))
    };
    let home = home(&[
        from("file", "password = { file = \"/some/where/secret.txt\" }"),
        from("env", "password = { env = \"ANN_PASSWORD\" }"),
        from("command", "password = { command = \"pass show mail/ann\" }"),
        from("client", "password = \"client\""),
        Account::new("none", "none@example.org", "").keyring().pop3(plain(1).auth("none")),
    ]);
    for (name, words) in [
        ("file", "/some/where/secret.txt"),
        ("env", "ANN_PASSWORD"),
        ("command", "command"),
        ("client", "mail program"),
        ("none", "needs a password"),
    ] {
        let output = home.ostler(&["password", name, "--stdin"], "new secret\n");
        assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{name}: {}", said(&output));
        assert!(err(&output).contains(words) && err(&output).contains(name), "{}", said(&output));
        assert!(!err(&output).contains("new secret"));
    }
    let unknown = home.ostler(&["password", "joe", "--stdin"], "x\n");
    assert_eq!(code(&unknown), Some(1));
    assert!(err(&unknown).contains("joe") && err(&unknown).contains("file, env, command"), "{}", said(&unknown));
}

#[test]
fn without_a_terminal_or_a_keyring_no_password_is_kept() {
    let home = home(&[Account::new("home", ANN, "").keyring().pop3(plain(1))]);
    let output = home.ostler(&["password", "home"], "typed\n");
    assert_eq!(code(&output), Some(1), "{}", said(&output));
    assert!(err(&output).contains("--stdin"), "{}", said(&output));
    let output = home.ostler(&["password", "home", "--stdin"], "typed\n");
    assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{}", said(&output));
    assert!(err(&output).contains("keyring") && !err(&output).contains("typed"), "{}", said(&output));
    for nothing in ["", "\n", "  \n"] {
        let output = home.ostler(&["password", "home", "--stdin"], nothing);
        assert_eq!(code(&output), Some(1), "{nothing:?}: {}", said(&output));
    }
}

#[test]
fn a_password_is_set_replaced_used_and_removed_with_its_account() {
    require!("keyring", "dovecot");
    let (ca, keyring, secret) = (TestCa::new(), Keyring::start(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, "").keyring().pop3(Server::new("tls", dovecot.pop3s));
    let mut home = Home::new(&ca, &[account]).with_keyring(&keyring);
    home.keep_secret(&secret);
    // A wrong one is tried and not kept.
    let output = home.ostler(&["password", "home", "--stdin", "--check"], "wrong-password\n");
    assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{}", said(&output));
    assert!(
        err(&output).contains("refused the sign-in") && !err(&output).contains("wrong-password"),
        "{}",
        said(&output)
    );
    assert!(err(&home.ostler(&["check", "home", "--json"], "")).is_empty());
    let check = document(&home.ostler(&["check", "home", "--json"], ""));
    let step = check["accounts"][0]["steps"].as_array().unwrap().iter().find(|s| s["ok"] == false).unwrap().clone();
    assert!(step["advice"].as_str().unwrap().contains("ostler password home"), "{check:#}");
    // The running ostler has the new one at once, without a restart.
    let mut running = Run::start(&home, &[]).ready();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [SYS/TEMP] ");
    let output = home.ostler(&["password", "HOME", "--stdin", "--check"], &format!("{secret}\r\n"));
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK");
    pop.ask("QUIT", "+OK");
    let wrong = home.ostler(&["password", "home", "--stdin"], "another\n");
    assert_eq!(code(&wrong), Some(0), "{}", said(&wrong));
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [AUTH] ");
    drop(pop);
    running.end_well();
    let entries = || said(&keyring.secret_tool(&["search", "--all", "service", "ostler"], ""));
    assert!(entries().contains("home"), "{}", entries());
    let output = home.ostler(&["remove", "home", "--yes"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(!entries().contains("home"), "{}", entries());
}

#[test]
fn a_new_local_password_is_made_shown_and_counts_at_once() {
    require!("keyring");
    let keyring = Keyring::start();
    let account = Account::new("home", ANN, &unique("pw")).pop3(plain(1));
    let home = Home::with_settings(&TestCa::new(), &[account], "access = \"password\"", "").with_keyring(&keyring);
    let shown = || -> String {
        let list = document(&home.ostler(&["list", "--passwords", "--json"], ""));
        list["accounts"][0]["local_password"].as_str().unwrap().to_owned()
    };
    let old = shown();
    let mut running = Run::start(&home, &[]).ready();
    let try_it = |password: &str, answer: &str| {
        let mut pop = Client::greeted(home.pop3, "+OK");
        pop.ask("USER home", "+OK");
        pop.ask(&format!("PASS {password}"), answer);
    };
    // Nobody is at that port, and that is as far as the right one leads.
    try_it(&old, "-ERR [SYS/TEMP] ");
    let output = home.ostler(&["password", "home", "--local"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let new = shown();
    assert!(new != old && out(&output).trim_end().ends_with(&format!(": {new}")), "{}", said(&output));
    try_it(&old, "-ERR [AUTH] ");
    try_it(&new, "-ERR [SYS/TEMP] ");
    running.end_well();
    // One that comes from elsewhere is not ostler's to change.
    home.write_settings(&home.settings().replacen("address =", "local_password = { env = \"X\" }\naddress =", 1));
    let output = home.ostler(&["password", "home", "--local"], "");
    assert_eq!(code(&output), Some(1), "{}", said(&output));
    assert!(err(&output).contains("from the environment variable X"), "{}", said(&output));
    assert_eq!(code(&home.ostler(&["password", "home", "--local", "--stdin"], "x\n")), Some(2));
}

// remove

#[test]
fn remove_leaves_everything_else_byte_for_byte() {
    let home = home(&[]);
    let head = "# mine\n\n[local]   # doors\npop3 = 2110\r\nimap = false\n\n# the first\n[[account]]\nname = \"one\"   # keep\naddress = \"one@example.org\"\npassword = \"client\"\n[account.pop3]\nhost = \"h\"  # host\n\n";
    let middle = "[[account]]\nname = \"two\"\naddress = \"two@example.org\"\n[account.pop3]\nhost = \"h\"\n[account.smtp]\nhost = \"h\"\n\n";
    let tail = "# the third\n[[account]]\naddress = 'three@example.org'\n  [account.smtp]\n  host = \"h\"\n\n# the end\n[timeouts]\nconnect = \"10s\" # seconds\n";
    home.write_settings(&format!("{head}{middle}{tail}"));
    let kept = home.settings();
    let refused = home.ostler(&["remove", "two"], "y\n");
    assert_eq!((code(&refused), out(&refused).as_str()), (Some(1), ""), "{}", said(&refused));
    assert!(err(&refused).contains("--yes"), "{}", said(&refused));
    let unknown = home.ostler(&["remove", "four", "--yes"], "");
    assert_eq!(code(&unknown), Some(1));
    assert!(err(&unknown).contains("one, two, three@example.org"), "{}", said(&unknown));
    assert_eq!(home.settings(), kept);
    let output = home.ostler(&["remove", "Two", "--yes"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert_eq!(home.settings(), format!("{head}{tail}"));
    let output = home.ostler(&["remove", "three@example.org", "--yes"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(home.settings().starts_with(head.trim_end()), "{}", home.settings());
    assert!(home.settings().ends_with("# the end\n[timeouts]\nconnect = \"10s\" # seconds\n"), "{}", home.settings());
    assert_eq!(code(&home.ostler(&["list"], "")), Some(0));
}

#[test]
fn remove_all_leaves_no_account_and_no_password() {
    require!("keyring");
    let keyring = Keyring::start();
    let home = home(&[simple().keyring(), Account::new("work", "work@example.org", "x").keyring().pop3(plain(1))]);
    let home = home.with_keyring(&keyring);
    for name in ["home", "work"] {
        assert_eq!(code(&home.ostler(&["password", name, "--stdin"], &format!("{}\n", unique("pw")))), Some(0));
    }
    let entries = || said(&keyring.secret_tool(&["search", "--all", "service", "ostler"], ""));
    assert!(entries().contains("home") && entries().contains("work"), "{}", entries());
    assert_eq!(code(&home.ostler(&["remove", "--all", "home"], "")), Some(2));
    assert_eq!(code(&home.ostler(&["remove", "--all"], "y\n")), Some(1), "there is no terminal to ask on");
    let output = home.ostler(&["remove", "--all", "--yes"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(!home.settings().contains("[[account]]") && home.settings().contains("[local]"), "{}", home.settings());
    assert!(!entries().contains("home") && !entries().contains("work"), "{}", entries());
    let again = home.ostler(&["remove", "--all", "--yes"], "");
    assert_eq!((code(&again), out(&again).as_str()), (Some(0), "there is no account to remove\n"));
}

#[test]
fn remove_keeps_a_link_a_link_and_the_files_mode() {
    use std::os::unix::fs::PermissionsExt;
    let home = home(&[simple()]);
    let real = home.path().join("dotfiles.toml");
    std::fs::rename(home.settings_file(), &real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, home.settings_file()).unwrap();
    let output = home.ostler(&["remove", "home", "--yes"], "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(home.settings_file().symlink_metadata().unwrap().is_symlink(), "the link was replaced by a file");
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!std::fs::read_to_string(&real).unwrap().contains("[[account]]"));
    // Nothing is left beside it.
    let names: Vec<_> =
        std::fs::read_dir(home.path().join("config")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["ostler.toml"]);
}

#[test]
fn the_running_ostler_lets_a_removed_account_go() {
    let home = home(&[simple(), Account::new("work", "work@example.org", &unique("pw")).pop3(plain(1))]);
    let mut running = Run::start(&home, &[]).ready();
    assert_eq!(code(&home.ostler(&["remove", "work", "--yes"], "")), Some(0));
    wait_for("the account to go", || {
        let status = document(&home.ostler(&["status", "--json"], ""));
        (status["accounts"].as_array()?.len() == 1).then_some(())
    });
    let line = Client::greeted(home.pop3, "+OK").ask("USER work", "-ERR [AUTH] ");
    assert!(line.contains("it has: home"), "{line}");
    running.end_well();
}

// check

/// Server, step and whether it was good, in order.
fn steps(check: &Value) -> Vec<(String, String, bool)> {
    let account = &check["accounts"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for step in account["steps"].as_array().unwrap() {
        assert!(step["ms"].is_u64() && step["detail"].is_string(), "{step:#}");
        let ok = step["ok"].as_bool().unwrap();
        assert_eq!(step["advice"].is_null(), ok, "advice where it fails, and only there: {step:#}");
        let protocol = text(&step["server"]).split(' ').next().unwrap().to_owned();
        all.push((protocol, text(&step["step"]), ok));
    }
    all
}

fn is_order(steps: &[(String, String, bool)], protocol: &str, wanted: &[&str]) {
    let names: Vec<&str> = steps.iter().filter(|s| s.0 == protocol).map(|s| s.1.as_str()).collect();
    let mut places = names.iter();
    for step in wanted {
        assert!(places.any(|name| name == step), "{step} is not where it should be in {names:?}");
    }
}

#[test]
fn check_walks_every_step_of_a_good_account() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
    let postfix = Postfix::builder().cert(ca.localhost()).sasl(&dovecot).start();
    let account = Account::new("home", ANN, &secret)
        .pop3(Server::new("tls", dovecot.pop3s))
        .smtp(Server::new("starttls", postfix.submission));
    let home = Home::new(&ca, &[account]);
    let output = home.ostler(&["check", "--json"], "");
    let check = document(&output);
    assert_eq!((code(&output), err(&output).as_str()), (Some(0), ""), "{check:#}");
    assert_eq!([&check["ok"], &check["accounts"][0]["ok"]], [true, true]);
    assert_eq!(check["accounts"][0]["name"], "home");
    let steps = steps(&check);
    is_order(&steps, "pop3", &["secret", "name", "tcp", "tls", "sign-in"]);
    is_order(&steps, "smtp", &["secret", "name", "tcp", "sign-in", "send"]);
    let text = check.to_string();
    for words in ["TLS 1.3", "ostler test authority", "127.0.0.1"] {
        assert!(text.contains(words), "{words} is not in {check:#}");
    }
    // Nothing was sent.
    assert!(postfix.deliveries().is_empty());
    // Named twice, it is checked once: a wrong password would be tried twice.
    let twice = document(&home.ostler(&["check", "home", ANN, "--json"], ""));
    assert_eq!(twice["accounts"].as_array().unwrap().len(), 1, "{twice:#}");
    let output = home.ostler(&["check", "home"], "");
    assert_eq!((code(&output), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
    assert!(out(&output).lines().last().unwrap().contains("everything works"), "{}", out(&output));
    assert!(!out(&output).contains('\u{1b}'));
}

#[test]
fn there_is_no_token_of_an_account_that_has_a_password() {
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", 1));
    let home = Home::new(&TestCa::new(), &[account]);
    for command in ["token", "sign-in"] {
        let output = home.ostler(&[command, "home"], "");
        assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{}", said(&output));
        assert!(err(&output).contains("account home does not sign in by OAuth2"), "{}", said(&output));
    }
}

#[test]
fn to_sign_out_an_account_that_has_a_password_needs_no_keyring() {
    let home = home(&[simple()]);
    let output = home.ostler(&["sign-out", "home"], "");
    assert_eq!(
        (code(&output), out(&output).as_str()),
        (Some(0), "account home was not signed in\n"),
        "{}",
        err(&output)
    );
}

#[test]
fn check_opens_a_gate_and_sends_nothing() {
    require!("dovecot", "postfix");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &secret)]);
    let account = Account::new("home", ANN, &secret)
        .pop3(Server::new("tls", gate.dovecot.pop3s))
        .smtp(Server::new("starttls", gate.smtp()).auth("pop-before-smtp"));
    let home = Home::new(&ca, &[account]);
    let output = home.ostler(&["check", "--json"], "");
    let check = document(&output);
    assert_eq!((code(&output), &check["ok"]), (Some(0), &json!(true)), "{check:#}");
    is_order(&steps(&check), "smtp", &["name", "tcp", "gate"]);
    assert!(gate.deliveries().is_empty());
}

#[test]
fn check_tells_the_first_thing_that_fails_and_what_to_do() {
    let ca = TestCa::new();
    let parts = |part: &[Step]| -> Vec<Part> { vec![part.to_vec(); 4] };
    let expired = Provider::start_tls(&ca.expired(), parts(&[Step::Stall]));
    let refuses = Provider::start_tls(
        &ca.localhost(),
        parts(&[say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say("-ERR [AUTH] no luck")]),
    );
    let closed = free_port();
    for (server, step, words) in [
        (Server::at("nowhere.invalid", "tls", 1), "name", "nowhere.invalid"),
        (Server::new("tls", closed), "tcp", "nobody listens"),
        (Server::new("tls", expired.port), "tls", "expired"),
        (Server::new("tls", refuses.port), "sign-in", "no luck"),
    ] {
        let home = Home::new(&ca, &[Account::new("home", ANN, &unique("pw")).pop3(server)]);
        let output = home.ostler(&["check", "--json"], "");
        let check = document(&output);
        assert_eq!((code(&output), &check["ok"], &check["accounts"][0]["ok"]), (Some(1), &json!(false), &json!(false)));
        let all = steps(&check);
        let last = all.last().unwrap();
        assert_eq!((last.1.as_str(), last.2), (step, false), "{check:#}");
        let failed = check["accounts"][0]["steps"].as_array().unwrap().last().unwrap();
        assert!(failed["detail"].as_str().unwrap().contains(words), "{check:#}");
        let text = out(&home.ostler(&["check"], ""));
        let advice = failed["advice"].as_str().unwrap();
        let advice = advice.replace("ostler password", &format!("ostler password {}", home.option()));
        assert!(text.contains(&advice) && text.contains(words), "{text}");
    }
}

#[test]
fn check_takes_names_and_knows_which_there_are() {
    let home = home(&[simple(), Account::new("work", "work@example.org", &unique("pw")).pop3(plain(1))]);
    let output = home.ostler(&["check", "--json", "work"], "");
    let check = document(&output);
    assert_eq!(check["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(check["accounts"][0]["name"], "work");
    let output = home.ostler(&["check", "joe"], "");
    assert_eq!((code(&output), out(&output).as_str()), (Some(1), ""), "{}", said(&output));
    assert!(err(&output).contains("home, work"), "{}", said(&output));
}

// demo

fn is_identical(line: &str) -> bool {
    let count = line.strip_prefix("demo: the message came back identical (").and_then(|l| l.strip_suffix(" bytes)"));
    count.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0))
}

/// Everything below a folder.
fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        }
        all.push(path);
    }
    all
}

#[test]
fn the_demo_shows_it_and_leaves_nothing_behind() {
    let home = home(&[]);
    let base = support::folder();
    for name in ["home", "tmp", "run"] {
        std::fs::create_dir(base.path().join(name)).unwrap();
    }
    let at = |name: &str| base.path().join(name);
    let mut with_home = bare(&home, &["demo"]);
    with_home
        .env("HOME", at("home"))
        .env("TMPDIR", at("tmp"))
        .env("XDG_RUNTIME_DIR", at("run"))
        .current_dir(at("home"));
    let mut without = bare(&home, &["demo"]);
    without.env("TMPDIR", at("tmp")).current_dir(at("home"));
    let mut with_wrong_settings = bare(&home, &["demo"]);
    with_wrong_settings.env("OSTLER_CONFIG", "/nowhere/at/all").current_dir(at("home"));
    for demo in [&mut with_home, &mut without, &mut with_wrong_settings] {
        let output = run(demo, "");
        assert_eq!((code(&output), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
        let text = out(&output);
        assert!(is_identical(text.lines().last().unwrap()), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        for words in ["Eudora", "Outlook Express", "***"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
    assert!(files(&at("home")).is_empty() && files(&at("tmp")).is_empty() && files(&at("run")).is_empty());
}

#[test]
fn the_demo_needs_no_network() {
    require!("unshare");
    let home = home(&[]);
    let program = home.command(&[]).get_program().to_owned();
    let script = "ip link set lo up 2>/dev/null || python3 -c 'import fcntl,socket,struct; \
        s=socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack(\"16sh14x\", b\"lo\", 0x49))'; exec \"$0\" demo";
    // Root needs no user namespace for it, and may not have one, in a chroot for instance.
    let namespaces = if support::is_root() { "-n" } else { "-rn" };
    let mut alone = command("unshare", [namespaces, "sh", "-c", script]);
    let output = run(alone.arg(program), "");
    if err(&output).contains("unshare") {
        return support::skip("a network of its own");
    }
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(is_identical(out(&output).lines().last().unwrap()), "{}", said(&output));
}

#[test]
fn the_demo_is_as_good_on_a_terminal() {
    require!("script");
    let home = home(&[]);
    let program = home.command(&[]).get_program().to_owned();
    let line = format!("'{}' demo", program.to_str().unwrap());
    let mut terminal = command("script", ["-qec", &line, "/dev/null"]);
    terminal.env("TERM", "xterm");
    let output = run(&mut terminal, "");
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let text = out(&output);
    let last = text.trim_end().lines().last().unwrap();
    let bare: String = strip(last.trim_end());
    assert!(is_identical(&bare), "{last:?}");
}

/// Without colours.
fn strip(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

#[test]
fn the_demo_stays_for_a_real_mail_program_until_ctrl_c() {
    let home = home(&[]);
    let mut demo = Run::of(&mut bare(&home, &["demo", "--stay"]));
    let line = wait_for("what to type", || {
        let text = demo.out.text();
        let after = text.split_once("came back identical")?.1.to_owned();
        after.lines().any(|line| line.contains("trl-C")).then_some(after)
    });
    let port = |word: &str| -> Option<u16> {
        let line = line.lines().find(|line| line.contains(word))?;
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).find(|n| *n > 1024)
    };
    let pop3 = port("POP3").unwrap_or_else(|| panic!("no POP3 port in {line}"));
    let smtp = port("SMTP").unwrap_or_else(|| panic!("no SMTP port in {line}"));
    Client::greeted(pop3, "+OK").ask("QUIT", "+OK");
    Client::greeted(smtp, "220 ").ask("QUIT", "221 ");
    demo.signal(rustix::process::Signal::INT);
    assert_eq!(demo.ended().code(), Some(0), "{}", demo.err.text());
}

#[test]
fn ctrl_c_ends_a_demo_in_the_background_of_a_script_too() {
    let home = home(&[]);
    let mut demo = Run::of(&mut in_background(&home.command(&["demo", "--stay"])));
    demo.out.wait("trl-C");
    demo.signal(rustix::process::Signal::INT);
    assert_eq!(demo.ended().code(), Some(0), "{}", demo.err.text());
}

// The settings file that --config names

/// Every command that reads the settings or asks the running ostler, with what it needs to get so far.
const COMMANDS: [&[&str]; 15] = [
    &["list"],
    &["list", "--json"],
    &["password", "home", "--stdin"],
    &["remove", "home", "--yes"],
    &["check"],
    &["check", "home", "--json"],
    &["providers"],
    &["guide"],
    &["guide", "oe"],
    &["status"],
    &["status", "--json"],
    &["settings", "--print"],
    &["pause"],
    &["resume"],
    &["quit"],
];

#[test]
fn a_mistyped_config_is_named_with_its_path_by_every_command() {
    let home = home(&[simple()]);
    let missing = home.path().join("config").join("ostlr.toml");
    let named = format!("there is no settings file {}; correct the path in ", missing.display());
    for args in COMMANDS {
        // Absolute, as a variable, and relative to the folder of the user, before and behind the command.
        let mut by_option = bare(&home, args);
        by_option.arg("--config").arg(&missing);
        let mut by_variable = bare(&home, args);
        by_variable.env("OSTLER_CONFIG", &missing);
        let mut relative = bare(&home, &[&["--config", "ostlr.toml"], args].concat());
        relative.current_dir(home.path().join("config"));
        for (command, by) in
            [(&mut by_option, "--config"), (&mut by_variable, "OSTLER_CONFIG"), (&mut relative, "--config")]
        {
            for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
                command.env(name, home.path().join("home"));
            }
            let output = run(command, "x\n");
            assert_eq!((code(&output), out(&output).as_str()), (Some(2), ""), "{args:?} {by}: {}", said(&output));
            assert!(err(&output).starts_with(&named) && err(&output).contains(by), "{args:?} {by}: {}", said(&output));
        }
    }
    assert!(!missing.exists());
}

#[test]
fn what_works_without_settings_names_a_mistyped_config_and_goes_on() {
    let home = home(&[simple()]);
    let output = run(&mut bare(&home, &["check", "--explain", "0x800ccc0e", "--config", "/nowhere/o.toml"]), "");
    assert!(code(&output) == Some(0) && out(&output).contains("what it means:"), "{}", said(&output));
    assert!(err(&output).contains("there is no settings file /nowhere/o.toml"), "{}", said(&output));
    for (change, state) in [("status", "off: "), ("on", "on: "), ("off", "off: ")] {
        let mut autostart = bare(&home, &["autostart", change, "--config", "/nowhere/o.toml"]);
        let output =
            run(autostart.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path()).env("DISPLAY", ":0"), "");
        assert!(code(&output) == Some(0) && out(&output).starts_with(state), "{}", said(&output));
        assert!(err(&output).contains("there is no settings file /nowhere/o.toml"), "{}", said(&output));
    }
}

#[test]
fn an_ostler_that_waits_for_its_settings_file_is_reached_by_it() {
    let home = home(&[]);
    std::fs::remove_file(home.settings_file()).unwrap();
    let listed = home.ostler(&["list"], "");
    assert_eq!(code(&listed), Some(2), "{}", said(&listed));
    // `run` says which file it waits for, and `add` would make it.
    let running = Run::of(&mut home.command(&["run"]));
    running.err.wait(&format!("there is no settings file {} yet", home.settings_file().display()));
}

#[test]
fn hints_repeat_the_config_that_was_given() {
    let empty = home(&[]);
    let option = empty.option();
    for (args, hint) in [
        (&["list"][..], format!("add one with `ostler add ADDRESS {option}`")),
        (&["check"], format!("add one with `ostler add ADDRESS {option}`")),
        (&["guide", "oe"], format!("run `ostler add ADDRESS {option}` first")),
        (&["settings"], format!("start it with `ostler run {option}`")),
        (&["add"], format!("use `ostler add ADDRESS {option}`")),
        (&["providers", "nobody knows it"], format!("`ostler providers {option}` lists all")),
        (&["autostart", "status"], format!("`ostler autostart on {option}` makes it start")),
        (&["check", "--explain", "my horse is lame"], format!("`ostler status {option}` has the last failure")),
    ] {
        let output = empty.ostler(args, "");
        assert!(said(&output).contains(&hint), "{args:?}: {}", said(&output));
    }
    let full = home(&[simple()]);
    let again = full.ostler(&["add", ANN, "--pop3", "none://localhost", "--no-check", "--password-client"], "");
    let hint = format!("`ostler remove home {0}` removes it, `ostler password home {0}` changes", full.option());
    assert!(err(&again).contains(&hint), "{}", said(&again));
    // As it was typed: quoted where a shell would take it apart, and relative as it was.
    let odd = empty.path().join("config").join("my mail.toml");
    std::fs::copy(empty.settings_file(), &odd).unwrap();
    let typed = run(bare(&empty, &["list", "--config", "my mail.toml"]).current_dir(empty.path().join("config")), "");
    assert!(out(&typed).contains("`ostler add ADDRESS --config 'my mail.toml'`"), "{}", said(&typed));
    // A variable still holds for the next command.
    let variable = run(bare(&empty, &["list"]).env("OSTLER_CONFIG", &odd), "");
    assert!(out(&variable).contains("`ostler add ADDRESS`"), "{}", said(&variable));
    // Documents for programs stay as they are.
    let checked = full.ostler(&["check", "--json"], "");
    assert!(!out(&checked).contains("--config"), "{}", said(&checked));
}

#[test]
fn list_shows_the_doors_that_run_opens_and_no_others() {
    let home = home(&[simple().line("doors = { imap = \"127.0.0.2:11143\" }")]);
    home.write_settings(&home.settings().replace("imap = false", "imap = 11144"));
    let text = out(&home.ostler(&["list"], ""));
    assert!(text.contains(&home.pop3.to_string()) && text.contains(&home.smtp.to_string()), "{text}");
    assert!(text.contains("11144") && text.contains("127.0.0.2:11143"), "{text}");
    let all = document(&home.ostler(&["list", "--json"], ""));
    let listed: Vec<&str> = all["doors"].as_array().unwrap().iter().map(|d| d["address"].as_str().unwrap()).collect();
    let running = Run::start(&home, &[]).ready();
    let status = document(&home.ostler(&["status", "--json"], ""));
    let opened: Vec<&str> =
        status["doors"].as_array().unwrap().iter().map(|d| d["address"].as_str().unwrap()).collect();
    assert_eq!(listed, opened);
    drop(running);
}

#[test]
fn a_reader_that_goes_away_early_is_no_panic() {
    let home = home(&[simple()]);
    let program = home.command(&[]).get_program().to_str().unwrap().to_owned();
    let file = home.settings_file();
    for args in [format!("list --config '{}'", file.display()), "demo".into(), "--help".into()] {
        let output = run(&mut command("sh", ["-c", &format!("'{program}' {args} | true")]), "");
        assert!(!err(&output).contains("panicked") && !err(&output).contains("defect"), "{args}: {}", said(&output));
    }
}
