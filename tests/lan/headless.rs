//! A computer without desktop, keyring and browser, reached over ssh.

use std::process::{Command, Output};

use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{err, out, run, said};
use crate::support::running::Run;
use crate::support::{private_file, require, unique};

const ANN: &str = "ann@example.org";

/// Doors on the network and the password, as in the manual. The account's own password is in a file.
fn home_on_the_network(more: &str) -> Home {
    let home = with_local("access = \"password\"\nallow = [\"192.168.1.0/24\"]", more);
    home.write_settings(&home.settings().replace("\"127.0.0.1:", "\"0.0.0.0:"));
    home
}

fn with_local(local: &str, more: &str) -> Home {
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", 1)).smtp(Server::new("none", 1));
    let account = if more.is_empty() { account } else { account.line(more) };
    Home::with_settings(&TestCa::new(), &[account], local, "")
}

/// The command as systemd starts it, or as it is without a login session.
fn without_session(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

fn has_failed(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    words.iter().for_each(|words| assert!(err(output).contains(words), "{words}: {}", said(output)));
}

#[test]
fn a_login_finds_the_ostler_that_a_service_runs_and_starts_no_second_one() {
    let home = with_local("", "");
    for service_is_first in [true, false] {
        let run_as = |is_service| if is_service { without_session(&home, &["run"]) } else { home.command(&["run"]) };
        let mut first = Run::of(&mut run_as(service_is_first)).ready();
        for is_service in [true, false] {
            let mut ask = if is_service { without_session(&home, &["status"]) } else { home.command(&["status"]) };
            let status = run(&mut ask, "");
            assert!(out(&status).contains(&format!("process {}", first.id())), "{}", said(&status));
            has_failed(&run(&mut run_as(is_service), ""), &["already running", &format!("process {}", first.id())]);
        }
        first.end_well();
    }
}

#[test]
fn without_a_keyring_doors_on_the_network_are_not_ready() {
    let home = home_on_the_network("");
    let output = home.ostler(&["run"], "");
    has_failed(&output, &["programs on other computers could not sign in", "`local_password`", "no keyring"]);
    assert!(out(&output).is_empty(), "{}", said(&output));
    // Nor if the provider's password is missing for the same reason.
    let file = home.path().join("local");
    private_file(&file, &unique("local"));
    let settings =
        home.settings().replace("[[account]]", &format!("[[account]]\nlocal_password = {{ file = {file:?} }}"));
    let lines = settings.lines().filter(|line| !line.starts_with("password = "));
    let in_keyring = lines.map(|line| format!("{line}\n")).collect::<String>();
    home.write_settings(&in_keyring);
    let output = home.ostler(&["run"], "");
    has_failed(&output, &["could not sign in", "set `password` to"]);
    assert!(out(&output).is_empty(), "{}", said(&output));
    home.write_settings(&settings);
    let mut good = Run::start(&home, &[]).ready();
    good.end_well();
}

#[test]
fn without_a_keyring_every_word_about_the_local_password_names_its_setting() {
    let home = with_local("access = \"password\"", "");
    let way = "set `local_password` to a command, a file or a variable, as in local_password = { file = \"/path\" }";
    has_failed(&home.ostler(&["list", "--passwords"], ""), &[way]);
    has_failed(&home.ostler(&["password", "home", "--local"], ""), &[way]);
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let refusal = pop.ask("PASS x", "-ERR [SYS/TEMP] ");
    assert!(refusal.contains("no keyring") && refusal.contains("local_password"), "{refusal}");
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO x", "250");
    let refusal = smtp.ask_reply("AUTH PLAIN AGhvbWUAeA==", "454 ");
    assert!(refusal.contains("local_password"), "{refusal}");
}

/// Adds a second account without trying it.
fn add(home: &Home, more: &[&str]) -> Output {
    let fixed = [
        "add",
        "bob@example.net",
        "--pop3",
        "tls://pop.example.net",
        "--smtp",
        "tls://smtp.example.net",
        "--no-check",
        "--yes",
    ];
    home.ostler(&[&fixed[..], more].concat(), "")
}

#[test]
fn add_ends_with_what_to_type_on_the_other_computer() {
    require!("keyring");
    let keyring = Keyring::start();
    let mut home = home_on_the_network("").with_keyring(&keyring);
    let settings = home.settings().replace("0.0.0.0", "192.168.1.10");
    home.write_settings(&settings);
    let file = home.path().join("bob");
    private_file(&file, &unique("pw"));
    let added = add(&home, &["--password-file", file.to_str().unwrap()]);
    assert!(added.status.success(), "{}", said(&added));
    let passwords = home.ostler(&["list", "--passwords", "--json"], "");
    let document: serde_json::Value = serde_json::from_slice(&passwords.stdout).unwrap();
    let local = document["accounts"][1]["local_password"].as_str().unwrap().to_owned();
    let text = out(&added);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "In your mail program, on the other computer:".to_owned(),
        format!("(POP3) 192.168.1.10 port {}", home.pop3),
        format!("(SMTP) 192.168.1.10 port {}", home.smtp),
        format!("password {local}"),
    ] {
        assert!(words.contains(&line), "{line}: {text}");
    }
    assert!(!text.contains("127.0.0.1") && !text.contains("anything"), "{text}");
    // The guide shows it too, to whoever asks for another computer's.
    home.allow_secret(&local, "stdout of guide --for", "it is what was asked for");
    let guide = home.ostler(&["guide", "eudora", "--account", "bob@example.net", "--for", "192.168.1.77"], "");
    let guide = out(&guide);
    assert!(guide.contains(&format!("Password: {local}")) && guide.contains("computer 192.168.1.77"), "{guide}");
    assert!(guide.contains("\"APOP\" as") && guide.contains("192.168.1.10") && !guide.contains("127.0.0.1"), "{guide}");
}

#[test]
fn without_a_keyring_add_says_how_the_local_password_is_given() {
    let home = home_on_the_network("");
    let file = home.path().join("bob");
    private_file(&file, &unique("pw"));
    let added = add(&home, &["--password-file", file.to_str().unwrap()]);
    assert!(added.status.success(), "{}", said(&added));
    let words = out(&added).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("There is no local password yet: ") && words.contains("local_password = { file ="),
        "{words}"
    );
    assert!(home.ostler(&["remove", "bob@example.net", "--yes"], "").status.success());
    // Or it is given beforehand.
    let (local_file, local) = (home.path().join("bobs-local"), unique("local"));
    let flags = ["--password-file", file.to_str().unwrap(), "--local-password-file", local_file.to_str().unwrap()];
    assert_eq!(add(&home, &flags).status.code(), Some(2), "the file is missing");
    private_file(&local_file, &format!("{local}\n"));
    let added = add(&home, &flags);
    assert!(out(&added).contains(&local) && added.status.success(), "{}", said(&added));
    assert!(home.settings().contains(&format!("local_password = {{ file = {local_file:?} }}")), "{}", home.settings());
}

#[test]
fn a_password_file_that_is_missing_is_no_source_even_untried() {
    let home = with_local("", "");
    let before = home.settings();
    let added = add(&home, &["--password-file", "/no/such/file"]);
    assert_eq!(added.status.code(), Some(2), "{}", said(&added));
    assert!(err(&added).contains("--password-file: there is no file /no/such/file"), "{}", said(&added));
    assert_eq!(home.settings(), before);
}

#[test]
fn without_a_browser_the_page_is_reached_through_ssh() {
    let home = with_local("", "");
    let page = crate::support::free_port();
    home.write_settings(&home.settings().replace("page = false", &format!("page = {page}")));
    let mut running = Run::start(&home, &[]).ready();
    let mut settings = home.command(&["settings"]);
    settings.env("PATH", home.path()).env_remove("BROWSER").env("USER", "pi");
    settings.env("SSH_CONNECTION", "192.168.1.77 50000 192.168.1.10 22");
    let tunnel = format!("ssh -L {page}:127.0.0.1:{page} pi@192.168.1.10");
    has_failed(&run(&mut settings, ""), &["no web browser", &tunnel, "?token="]);
    let mut print = home.command(&["settings", "--print"]);
    print.env("USER", "pi").env("SSH_CONNECTION", "192.168.1.77 50000 192.168.1.10 22");
    let printed = run(&mut print, "");
    assert!(out(&printed).starts_with("http://127.0.0.1:") && out(&printed).lines().count() == 1, "{}", said(&printed));
    assert!(err(&printed).contains(&tunnel), "{}", said(&printed));
    running.end_well();
}

#[test]
fn without_a_desktop_no_start_at_login_is_promised() {
    let home = with_local("", "");
    let autostart = |what: &str| {
        let mut command = home.command(&["autostart", what]);
        command.env("XDG_DATA_DIRS", home.path()).env_remove("XDG_CURRENT_DESKTOP");
        run(&mut command, "")
    };
    let instead = ["no desktop", "systemctl --user enable --now ostler.service", "loginctl enable-linger"];
    has_failed(&autostart("on"), &instead);
    assert!(!home.path().join("config/autostart").exists());
    assert!(out(&autostart("status")).starts_with("off: "));
    // A desktop that is installed starts programs at the next login there, though this login has none.
    std::fs::create_dir(home.path().join("xsessions")).unwrap();
    std::fs::write(home.path().join("xsessions/openbox.desktop"), "").unwrap();
    assert!(out(&autostart("on")).starts_with("on: "));
}

#[test]
fn a_folder_that_stands_in_for_the_keyring_is_called_so_everywhere() {
    let account = Account::new("home", ANN, "").keyring().pop3(Server::new("none", 1)).smtp(Server::new("none", 1));
    let mut home = Home::with_settings(&TestCa::new(), &[account], "access = \"password\"", "");
    let (folder, secret) = (home.path().join("secrets"), unique("pw"));
    home.keep_secret(&secret);
    let with_folder = |args: &[&str], input: &str| {
        let output = run(home.command(args).env("OSTLER_SECRETS", &folder), input);
        assert!(!said(&output).contains("keyring"), "{}", said(&output));
        output
    };
    let named = format!("the folder {}", folder.display());
    let missing = with_folder(&["check", "home"], "");
    has_told(&missing, &[&format!("{named} holds nothing to sign in with"), "run: ostler password "]);
    let stored = with_folder(&["password", "home", "--stdin"], &format!("{secret}\n"));
    assert!(out(&stored).contains(&format!("stored in {named}, for ")), "{}", said(&stored));
    let local = with_folder(&["list", "--passwords"], "");
    assert!(out(&local).contains("local password: "), "{}", said(&local));
    // One that cannot be used: a file has its name.
    assert!(with_folder(&["remove", "home", "--yes"], "").status.success());
    std::fs::remove_dir_all(&folder).unwrap();
    private_file(&folder, "");
    let home = home.with_account(&Account::new("work", ANN, "").keyring().pop3(Server::new("none", 1)));
    for args in [&["check", "work"][..], &["list", "--passwords"], &["password", "work", "--stdin"]] {
        let output = run(home.command(args).env("OSTLER_SECRETS", &folder), "x\n");
        assert!(!said(&output).contains("keyring"), "{}", said(&output));
        has_told(&output, &[&format!("the folder for secrets, {}, cannot be used", folder.display())]);
    }
}

fn has_told(output: &Output, words: &[&str]) {
    let text = said(output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(1), "{text}");
    words.iter().for_each(|words| assert!(text.contains(words), "{words}: {text}"));
}
