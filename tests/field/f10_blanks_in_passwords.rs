//! F10: a password is what was given, whichever way it comes. Only an app password in four groups loses its blanks.

use std::path::PathBuf;
use std::process::Output;

use crate::answering::{given, pop3};
use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{run, said};
use crate::support::provider::Provider;
use crate::support::terminal::Terminal;
use crate::support::{private_file, require, wait_for};

const SAYS_SO: &str = "blanks were left out of this app password";

/// The ways in which a password can be given to `ostler add` without a keyring.
#[derive(Debug, Clone, Copy)]
enum Way {
    Env,
    File,
    Command,
}

const WAYS: [Way; 3] = [Way::Env, Way::File, Way::Command];

/// `ostler add ADDRESS`, only for fetching from this server.
fn add(home: &Home, address: &str, provider: &Provider, more: &[&str], password: &str, input: &str) -> Output {
    let (server, ca) = (format!("tls://localhost:{}", provider.port), home.ca_file());
    let mut words = vec!["add", address, "--pop3", &server, "--fetch-only", "--ca", ca.to_str().unwrap()];
    words.extend(more);
    run(home.command(&words).env("W", password), input)
}

fn add_by(way: Way, home: &Home, address: &str, provider: &Provider, password: &str) -> Output {
    let file: PathBuf = home.path().join("word");
    private_file(&file, &format!("{password}\n"));
    let file = file.to_str().unwrap();
    let command = format!("cat {file}");
    let more = match way {
        Way::Env => ["--password-env", "W"],
        Way::File => ["--password-file", file],
        Way::Command => ["--password-command", &command],
    };
    add(home, address, provider, &more, password, "")
}

#[test]
fn f10_an_app_password_in_four_groups_loses_its_blanks_whichever_way_it_comes() {
    let ca = TestCa::new();
    for way in WAYS {
        for shown in ["abcd efgh ijkl mnop", "abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop ", " ABCD  efgh ijkl MNOP"] {
            let plain: String = shown.split_whitespace().collect();
            let provider = pop3(&ca, plain.as_bytes());
            let home = Home::new(&ca, &[]);
            let added = add_by(way, &home, "ann@gmail.com", &provider, shown);
            assert!(added.status.success() && said(&added).contains(SAYS_SO), "{way:?} {shown:?}: {}", said(&added));
            assert_eq!(given(&provider, "PASS "), [plain.as_bytes()], "one try, without blanks");
            // What was tried is what is used later.
            let checked = run(home.command(&["check"]).env("W", shown), "");
            assert!(checked.status.success() && said(&checked).contains(SAYS_SO), "{way:?}: {}", said(&checked));
            assert_eq!(given(&provider, "PASS "), [plain.as_bytes(), plain.as_bytes()]);
        }
    }
}

#[test]
fn f10_a_blank_at_an_end_is_a_part_of_a_password_whichever_way_it_comes() {
    let ca = TestCa::new();
    for way in WAYS {
        for password in ["secret ", " secret", "se cret", "correct horse battery staple", "p\u{a0}ss "] {
            let provider = pop3(&ca, password.as_bytes());
            let home = Home::new(&ca, &[]);
            let added = add_by(way, &home, "tern@plover.example", &provider, password);
            assert!(added.status.success() && !said(&added).contains(SAYS_SO), "{way:?}: {}", said(&added));
            assert_eq!(given(&provider, "PASS "), [password.as_bytes()], "{way:?}");
        }
    }
}

#[test]
fn f10_only_four_groups_of_four_letters_and_only_where_there_are_app_passwords() {
    let ca = TestCa::new();
    let cases = [
        ("tern@plover.example", "abcd efgh ijkl mnop"),
        ("lark@gmail.com", "abcd efgh ijkl"),
        ("lark@gmail.com", "abcd efgh ijkl mno1"),
        ("lark@gmail.com", "abcd efgh ijkl mnop qrst"),
        ("lark@gmail.com", "abcdefghijklmnop "),
        ("lark@icloud.com", "abcd-efgh-ijkl-mnop"),
    ];
    for (address, password) in cases {
        let provider = pop3(&ca, password.as_bytes());
        let home = Home::new(&ca, &[]);
        let added = add_by(Way::Env, &home, address, &provider, password);
        assert!(added.status.success() && !said(&added).contains(SAYS_SO), "{address}: {}", said(&added));
        assert_eq!(given(&provider, "PASS "), [password.as_bytes()], "{address}");
    }
}

#[test]
fn f10_every_provider_with_app_passwords_counts_also_one_of_the_users_own() {
    let ca = TestCa::new();
    let shown = "abcd efgh ijkl mnop";
    for address in ["a@yahoo.com", "a@aol.com", "a@icloud.com", "a@fastmail.com", "a@zoho.com", "a@wren.example"] {
        let provider = pop3(&ca, b"abcdefghijklmnop");
        let home = Home::new(&ca, &[]);
        let own = "schema = 1\n[provider.wren]\nname = \"Wren\"\ndomains = [\"wren.example\"]\nauth = [\"app-password\"]\n\
                   pop3 = [{ host = \"pop.wren.example\" }]\n";
        home.write_providers(own);
        let added = add_by(Way::File, &home, address, &provider, shown);
        assert!(added.status.success() && said(&added).contains(SAYS_SO), "{address}: {}", said(&added));
        // A running ostler does the same.
        let ostler = home.run();
        assert!(client::fetch(ostler.pop3, address, "x").is_empty());
        assert_eq!(given(&provider, "PASS "), [b"abcdefghijklmnop", b"abcdefghijklmnop"], "{address}");
    }
}

#[test]
fn f10_a_provider_that_is_found_to_make_app_passwords_counts_in_a_running_ostler() {
    let ca = TestCa::new();
    let provider = pop3(&ca, b"abcdefghijklmnop");
    let own = |auth: &str| {
        format!(
            "schema = 1\n[provider.wren]\nname = \"Wren\"\ndomains = [\"wren.example\"]\nauth = [\"{auth}\"]\n\
             pop3 = [{{ host = \"pop.wren.example\" }}]\n"
        )
    };
    let account = Account::new("home", "a@wren.example", "abcd efgh ijkl mnop");
    let home = Home::new(&ca, &[account.pop3(Server::new("tls", provider.port))]);
    home.write_providers(&own("password"));
    let ostler = home.run();
    let signs_in = || {
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.try_ask("PASS x").is_some_and(|answer| answer.starts_with("+OK"))
    };
    assert!(!signs_in());
    // Only the providers change, not the settings.
    ostler.home.write_providers(&own("app-password"));
    wait_for("the changed provider", || signs_in().then_some(()));
    assert_eq!(given(&provider, "PASS ").last().map(Vec::as_slice), Some(&b"abcdefghijklmnop"[..]));
}

#[test]
fn f10_standard_input_and_the_keyring_are_no_different() {
    require!("keyring");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let cases = [
        ("tern@plover.example", "secret \n", "secret ", false),
        ("tern@plover.example", "\u{feff}secret \r\n", "secret ", false),
        ("tern@plover.example", "abcd efgh ijkl mnop", "abcd efgh ijkl mnop", false),
        ("lark@gmail.com", "abcd efgh ijkl mnop\n", "abcdefghijklmnop", true),
        ("lark@gmail.com", "\u{a0}abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop \r\n", "abcdefghijklmnop", true),
    ];
    for (address, input, password, is_joined) in cases {
        let provider = pop3(&ca, password.as_bytes());
        let home = Home::new(&ca, &[]).with_keyring(&keyring);
        let added = add(&home, address, &provider, &["--password-stdin"], "", input);
        assert!(added.status.success(), "{input:?}: {}", said(&added));
        assert_eq!(said(&added).contains(SAYS_SO), is_joined, "{input:?}: {}", said(&added));
        let stored = home.ostler(&["password", address, "--stdin", "--check"], input);
        assert!(stored.status.success(), "{input:?}: {}", said(&stored));
        assert_eq!(said(&stored).contains(SAYS_SO), is_joined, "{input:?}: {}", said(&stored));
        assert_eq!(home.ostler(&["check"], "").status.code(), Some(0));
        assert_eq!(given(&provider, "PASS "), [password.as_bytes(); 3], "{input:?}");
        assert!(home.ostler(&["remove", address, "--yes"], "").status.success());
    }
}

#[test]
fn f10_what_another_program_has_put_into_the_keyring_loses_its_line_end_alone() {
    require!("keyring", "secret-tool");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let provider = pop3(&ca, b"secret ");
    let home = Home::new(&ca, &[]).with_keyring(&keyring);
    let kept = add(&home, "tern@plover.example", &provider, &["--no-check", "--password-stdin"], "", "other\n");
    assert!(kept.status.success(), "{}", said(&kept));
    let user = format!("tern@plover.example pop3 tls tern@plover.example@localhost:{}", provider.port);
    let stored = keyring.secret_tool(&["store", "--label=x", "service", "ostler", "username", &user], "secret \n");
    assert!(stored.status.success(), "{}", said(&stored));
    let checked = home.ostler(&["check"], "");
    assert!(checked.status.success(), "{}", said(&checked));
    assert_eq!(given(&provider, "PASS "), [b"secret "]);
}

#[test]
fn f10_a_password_that_is_typed_is_no_different() {
    require!("keyring", "setsid");
    let (ca, keyring) = (TestCa::new(), Keyring::start());
    let cases = [
        ("lark@gmail.com", "abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop ", "abcdefghijklmnop", SAYS_SO),
        ("tern@plover.example", "secret ", "secret ", "begins or ends with a blank"),
    ];
    for (address, typed, password, says) in cases {
        let provider = pop3(&ca, password.as_bytes());
        let home = Home::new(&ca, &[]).with_keyring(&keyring);
        let (server, authority) = (format!("tls://localhost:{}", provider.port), home.ca_file());
        let words = ["add", address, "--pop3", &server, "--fetch-only", "--ca", authority.to_str().unwrap(), "--yes"];
        let mut terminal = Terminal::start(&home.command(&words));
        terminal.wait_for("(it does not show while you type): ");
        terminal.password(typed);
        terminal.wait_for(says);
        terminal.wait_for("works and is saved");
        assert!(terminal.end().success());
        assert_eq!(given(&provider, "PASS "), [password.as_bytes()], "{address}");
        assert!(home.ostler(&["remove", address, "--yes"], "").status.success());
    }
}
