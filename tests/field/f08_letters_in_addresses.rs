//! F08: letters beyond ASCII in the domain of an address or in a host, wherever one is typed or read. Servers know
//! `bücher.example` as `xn--bcher-kva.example`. Before the @ there is no such form.

use serde_json::Value;

use crate::answering::{given, pop3, pop3_for, smtp_plain, told};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::{document, run, said};

const TYPED: &str = "ann@b\u{fc}cher.example";
const KNOWN: &str = "ann@xn--bcher-kva.example";

/// A home with an account as a person has written it into the settings, for these servers, and another account.
fn written(ca: &TestCa, pop3: u16, smtp: Option<u16>) -> Home {
    let mut account = Account::new("home", TYPED, "word-of-ann").pop3(Server::new("tls", pop3));
    if let Some(smtp) = smtp {
        account = account.smtp(Server::new("tls", smtp));
    }
    let account = account.line("aliases = [\"Lee@B\u{fc}cher.example\", \"*@stra\u{df}e.example\"]");
    let other = Account::new("shop", "shop@plover.example", "word-of-shop").pop3(Server::new("tls", 1));
    Home::new(ca, &[account, other.smtp(Server::new("tls", 1))])
}

#[test]
fn f08_an_address_with_letters_is_told_looked_up_and_used_in_ascii() {
    let ca = TestCa::new();
    for typed in [TYPED, "ann@B\u{dc}CHER.example", "ann@bu\u{308}cher.example", KNOWN] {
        let provider = pop3_for(&ca, KNOWN.as_bytes(), b"word-of-ann");
        let (server, home) = (format!("tls://localhost:{}", provider.port), Home::new(&ca, &[]));
        let authority = home.ca_file();
        let words = ["add", typed, "--pop3", &server, "--fetch-only", "--ca", authority.to_str().unwrap()];
        let words = [&words[..], &["--password-env", "W"]].concat();
        let added = run(home.command(&words).env("W", "word-of-ann"), "");
        assert!(added.status.success(), "{}", said(&added));
        assert!(
            said(&added).contains("mail servers know b\u{fc}cher.example as xn--bcher-kva.example"),
            "{}",
            said(&added)
        );
        assert_eq!(given(&provider, "USER "), [KNOWN.as_bytes()]);
        assert!(home.settings().contains(&format!("address = \"{KNOWN}\"")), "{}", home.settings());
        let listed = home.ostler(&["list"], "");
        assert!(said(&listed).contains(KNOWN) && said(&listed).contains(TYPED), "both forms: {}", said(&listed));
        // It is there already, whichever form is typed next.
        for again in [TYPED, KNOWN] {
            let twice = home.ostler(&["add", again], "");
            assert!(twice.status.code() == Some(1) && said(&twice).contains("exists already"), "{}", said(&twice));
        }
        let checked = run(home.command(&["check", TYPED]).env("W", "word-of-ann"), "");
        assert!(checked.status.success(), "{}", said(&checked));
        assert!(home.ostler(&["remove", typed, "--yes"], "").status.success());
        assert!(!home.settings().contains("xn--"), "{}", home.settings());
    }
}

#[test]
fn f08_hosts_and_user_names_with_letters_are_kept_in_ascii() {
    let home = Home::new(&TestCa::new(), &[]);
    let words = [
        "add",
        "tern@plover.example",
        "--pop3",
        "tls://mail.b\u{fc}cher.example",
        "--smtp",
        "starttls://Post.Stra\u{df}e.example.:2525",
        "--imap",
        "tls://imap.\u{43f}\u{43e}\u{447}\u{442}\u{430}.example",
        "--username",
        "tern@b\u{fc}cher.example",
        "--smtp-username",
        "t@stra\u{df}e.example",
        "--name",
        "tern@b\u{fc}cher.example",
        "--password-env",
        "W",
        "--no-check",
    ];
    let added = home.ostler(&words, "");
    assert!(added.status.success(), "{}", said(&added));
    for form in ["b\u{fc}cher.example as xn--bcher-kva.example", "stra\u{df}e.example as post.xn--strae-oqa.example"] {
        assert!(said(&added).to_lowercase().contains(form), "{form}: {}", said(&added));
    }
    let settings = home.settings();
    for kept in [
        "name = \"tern@xn--bcher-kva.example\"",
        "host = \"mail.xn--bcher-kva.example\"",
        "host = \"post.xn--strae-oqa.example\"",
        "host = \"imap.xn--80a1acny.example\"",
        "username = \"tern@xn--bcher-kva.example\"",
        "username = \"t@xn--strae-oqa.example\"",
    ] {
        assert!(settings.contains(kept), "{kept}:\n{settings}");
    }
    assert!(settings.is_ascii(), "{settings}");
}

#[test]
fn f08_letters_before_the_at_are_refused_with_that_reason() {
    let home = Home::new(&TestCa::new(), &[]);
    let before = home.settings();
    for words in [
        &["add", "j\u{fc}rgen@plover.example"][..],
        &["add", "j\u{fc}rgen@b\u{fc}cher.example"],
        &["add", "tern@plover.example", "--username", "j\u{fc}rgen@plover.example"],
        &["add", "tern@plover.example", "--send-through", "j\u{fc}rgen@b\u{fc}cher.example"],
    ] {
        let refused = home.ostler(words, "");
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {}", said(&refused));
        assert!(said(&refused).contains("letters beyond ASCII before the @"), "{words:?}: {}", said(&refused));
    }
    let refused = home.ostler(&["add", "ann@b\u{fc}cher..example"], "");
    assert!(said(&refused).contains("no valid domain after the @"), "{}", said(&refused));
    assert_eq!(home.settings(), before);
    home.write_settings(&format!(
        "{before}\n[[account]]\naddress = \"j\u{fc}rgen@x.example\"\npop3 = {{ host = \"p\" }}\n"
    ));
    let wrong = home.ostler(&["list"], "");
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("address: has letters beyond ASCII before the @"));
}

#[test]
fn f08_the_settings_may_have_the_letters() {
    let ca = TestCa::new();
    let provider = pop3_for(&ca, KNOWN.as_bytes(), b"word-of-ann");
    let home = written(&ca, provider.port, None);
    let more = "\n[[account]]\nname = \"work\"\naddress = \"w@x.example\"\n[account.pop3]\nhost = \"Mail.B\u{fc}cher.example\"\n\
                username = \"w@b\u{fc}cher.example\"\n";
    home.write_settings(&(home.settings() + more));
    let listed = document(&home.ostler(&["list", "--json"], ""));
    assert_eq!(listed["accounts"][0]["address"], Value::from(KNOWN));
    assert_eq!(listed["accounts"][2]["pop3"]["host"], Value::from("mail.xn--bcher-kva.example"));
    assert_eq!(listed["accounts"][2]["username"], Value::from("w@xn--bcher-kva.example"));
    // A command means the account by either form, also where the file has the letters.
    let checked = home.ostler(&["check", TYPED], "");
    assert!(checked.status.success(), "{}", said(&checked));
    let stored = home.ostler(&["password", KNOWN, "--stdin"], "x\n");
    assert!(said(&stored).contains("comes from"), "{}", said(&stored));
    let removed = home.ostler(&["remove", KNOWN, "--yes"], "");
    assert!(removed.status.success(), "{}", said(&removed));
    assert!(!home.settings().contains("ann@") && home.settings().contains("work"), "{}", home.settings());
}

#[test]
fn f08_at_the_doors_either_form_will_do_in_utf_8_or_windows_1252() {
    let ca = TestCa::new();
    let provider = pop3_for(&ca, KNOWN.as_bytes(), b"word-of-ann");
    let sending = smtp_plain(&ca, KNOWN, b"word-of-ann");
    let ostler = written(&ca, provider.port, Some(sending.port)).run();
    let names: [&[u8]; 7] = [
        TYPED.as_bytes(),
        b"ann@b\xfccher.example",
        b"ANN@B\xdcCHER.EXAMPLE",
        b"ann%b\xfccher.example",
        b"ann@b\xfccher.example@127.0.0.1",
        KNOWN.as_bytes(),
        b"lee@b\xfccher.example",
    ];
    for name in names {
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.send([b"USER ", name, b"\r\nPASS x\r\n"].concat());
        client.expect("+OK");
        client.expect("+OK");
        client.ask("QUIT", "+OK");
    }
    assert_eq!(given(&provider, "USER "), [KNOWN.as_bytes(); 7]);
    let mut stranger = Client::greeted(ostler.pop3, "+OK");
    stranger.send(b"USER \xe4nn@b\xfccher.example\r\n");
    stranger.expect("-ERR [AUTH] ostler has no account");
    // AUTH, then the sender of a message and its recipient.
    for (sender, as_sent) in [
        (TYPED.as_bytes(), KNOWN),
        (b"ann@b\xfccher.example", KNOWN),
        (b"Lee@B\xdccher.example", "Lee@xn--bcher-kva.example"),
        (b"any@stra\xdfe.example", "any@xn--strae-oqa.example"),
    ] {
        let mut client = Client::greeted(ostler.smtp, "220");
        client.ask("HELO old", "250");
        client.send([b"MAIL FROM:<", sender, b">\r\n"].concat());
        client.expect("250");
        client.send(b"RCPT TO:<bob@b\xfccher.example>\r\n");
        client.expect("250");
        client.ask("QUIT", "221");
        let said = String::from_utf8(told(&sending)).unwrap();
        assert!(said.contains(&format!("MAIL FROM:<{as_sent}>")), "{said}");
        assert!(said.contains("RCPT TO:<bob@xn--bcher-kva.example>"), "{said}");
    }
    let mut client = Client::greeted(ostler.smtp, "220");
    client.ask("HELO old", "250");
    client.send(b"MAIL FROM:<j\xfcrgen@b\xfccher.example>\r\n");
    client.expect("553 5.6.7 an address with letters beyond ASCII before the @");
}

#[test]
fn f08_the_authenticated_name_may_have_letters() {
    use base64::Engine;
    let encode = |octets: &[u8]| base64::engine::general_purpose::STANDARD.encode(octets);
    let ca = TestCa::new();
    let sending = smtp_plain(&ca, KNOWN, b"word-of-ann");
    let provider = pop3(&ca, b"word-of-ann");
    let ostler = written(&ca, provider.port, Some(sending.port)).run();
    for name in [TYPED.as_bytes(), b"ann@b\xfccher.example", KNOWN.as_bytes()] {
        let mut client = Client::greeted(ostler.smtp, "220");
        client.ask("HELO old", "250");
        client.ask("AUTH LOGIN", "334");
        client.ask(&encode(name), "334");
        client.ask(&encode(b"x"), "235");
        // Only the name tells the account: no account has this sender, and none is the default.
        client.ask("MAIL FROM:<nobody@elsewhere.example>", "250");
        client.ask("QUIT", "221");
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask(&format!("AUTH PLAIN {}", encode(&[b"\0", name, b"\0x"].concat())), "+OK");
        client.ask("QUIT", "+OK");
    }
}

#[test]
fn f08_imported_files_may_have_letters_in_any_encoding_of_their_time() {
    let text = "# Mozilla User Preferences\n\
        user_pref(\"mail.accountmanager.accounts\", \"account1\");\n\
        user_pref(\"mail.account.account1.server\", \"server1\");\n\
        user_pref(\"mail.account.account1.identities\", \"id1\");\n\
        user_pref(\"mail.server.server1.type\", \"pop3\");\n\
        user_pref(\"mail.server.server1.hostname\", \"pop.b\u{fc}cher.example\");\n\
        user_pref(\"mail.server.server1.socketType\", 3);\n\
        user_pref(\"mail.server.server1.userName\", \"ann@b\u{fc}cher.example\");\n\
        user_pref(\"mail.identity.id1.useremail\", \"ann@b\u{fc}cher.example\");\n";
    let latin_1: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
    for octets in [text.as_bytes(), &latin_1] {
        for address in [None, Some(TYPED), Some(KNOWN)] {
            let home = Home::new(&TestCa::new(), &[]);
            let file = home.path().join("prefs.js");
            std::fs::write(&file, octets).unwrap();
            let mut words =
                vec!["add", "--import", file.to_str().unwrap(), "--no-check", "--password-env", "W", "--yes"];
            words.extend(address);
            let added = home.ostler(&words, "");
            assert!(added.status.success(), "{address:?}: {}", said(&added));
            let settings = home.settings();
            assert!(settings.contains(&format!("address = \"{KNOWN}\"")), "{settings}");
            assert!(settings.contains("host = \"pop.xn--bcher-kva.example\""), "{settings}");
        }
    }
}

#[test]
fn f08_a_pasted_error_is_explained_for_the_account_whose_host_has_letters() {
    let ca = TestCa::new();
    let account = Account::new("home", TYPED, "word-of-ann").pop3(Server::at("pop.b\u{fc}cher.example", "tls", 995));
    let other = Account::new("work", "w@x.example", "word-of-w").pop3(Server::at("pop.x.example", "tls", 995));
    let home = Home::new(&ca, &[account, other]);
    let text = "there is no server named pop.b\u{fc}cher.example";
    let latin_1: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
    for explained in [
        home.ostler(&["check", "--explain", text], ""),
        run(&mut home.command(&["check", "--explain", "-"]), &latin_1),
        run(&mut home.command(&["check", "--explain", "-"]), text),
        home.ostler(&["check", "--explain", "there is no server named pop.xn--bcher-kva.example"], ""),
    ] {
        assert!(
            said(&explained).contains("account home, server pop3 pop.xn--bcher-kva.example:995"),
            "{}",
            said(&explained)
        );
    }
}
