//! F01: a helper of old had hidden the provider's server in the user name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::adding::{Added, file};
use crate::importing::{Fields, import, import_in, prefs_js, registry};
use crate::sign_in::takes_mail_of_anyone;
use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::ostler::Home;
use crate::support::provider::{Part, Provider, expect, say};
use crate::support::{private_file, unique};

const TERN: &str = "tern@plover.example";

#[test]
fn f01_the_accounts_of_the_case_are_fetched_and_sent_at_their_providers() {
    let import = import(file("f01-rewritten.reg"), &[]);
    assert_eq!(
        import.all_servers(),
        [
            "gwren@kestrel-isp.example pop3 mail.kestrel-isp.example:995 gwren",
            "gwren@kestrel-isp.example smtp smtp.kestrel-isp.example:465 gwren",
            "tern@plover.example pop3 pop.plover.example:995 tern@plover.example",
            "tern@plover.example smtp smtp.plover.example:465 tern@plover.example",
        ]
    );
    for told in [
        "\"gwren/mail.kestrel-isp.example\"",
        "\"pop.plover.example:tern@plover.example\"",
        "a helper on this computer",
    ] {
        assert!(import.screen.contains(told), "{told}: {}", import.screen);
    }
}

/// One account, with the server for fetching, its user name, and the server and user name for sending, as each program's
/// file has it.
fn files(host: &str, name: &str, smtp: &str, smtp_name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fields: &Fields<'_> = &[
        ("Account Name", "Home"),
        ("POP3 Server", host),
        ("POP3 User Name", name),
        ("SMTP Server", smtp),
        ("SMTP Use Sicily", "3"),
        ("SMTP User Name", smtp_name),
        ("SMTP Email Address", TERN),
    ];
    let wide = |text: &str| {
        let octets: Vec<String> =
            text.encode_utf16().flat_map(u16::to_le_bytes).map(|octet| format!("{octet:02x}")).collect();
        format!("hex:{},00,00", octets.join(","))
    };
    let outlook = format!(
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows \
         Messaging Subsystem\\Profiles\\Outlook\\9375CFF0413111d3B88A00104B2A6676\\00000002]\r\n\"Email\"={}\r\n\
         \"POP3 Server\"={}\r\n\"POP3 User\"={}\r\n\"SMTP Server\"={}\r\n\"SMTP Use Auth\"=dword:00000001\r\n\
         \"SMTP Auth Method\"=dword:00000001\r\n\"SMTP User\"={}\r\n",
        wide(TERN),
        wide(host),
        wide(name),
        wide(smtp),
        wide(smtp_name)
    );
    let mut oeaccount = "<?xml version=\"1.0\"?><MessageAccount>".to_owned();
    for (name, value) in fields {
        let tag = name.replace(' ', "_");
        let value = value.replace('&', "&amp;");
        oeaccount += &match value.parse::<u32>() {
            Ok(number) => format!("<{tag} type=\"DWORD\">{number:08x}</{tag}>"),
            Err(_) => format!("<{tag} type=\"SZ\">{value}</{tag}>"),
        };
    }
    oeaccount += "</MessageAccount>";
    let mut iaf = b"fMAI\0\0\x05\0\x01\0\0\0".to_vec();
    for (property, value) in [(4661, "Home"), (5060, host), (5061, name), (5160, smtp), (5161, smtp_name), (5170, TERN)]
    {
        let octets = [value.as_bytes(), b"\0"].concat();
        iaf.extend((property << 16 | 0x03f0_u32).to_le_bytes());
        iaf.extend((octets.len() as u32).to_le_bytes());
        iaf.extend(octets);
    }
    iaf.extend((5164_u32 << 16 | 0x03e9).to_le_bytes());
    iaf.extend([4, 0, 0, 0, 3, 0, 0, 0]);
    let prefs = prefs_js(&[
        ("mail.accountmanager.accounts", "account1"),
        ("mail.account.account1.server", "server1"),
        ("mail.account.account1.identities", "id1"),
        ("mail.server.server1.type", "pop3"),
        ("mail.server.server1.hostname", host),
        ("mail.server.server1.userName", name),
        ("mail.identity.id1.useremail", TERN),
        ("mail.identity.id1.smtpServer", "smtp1"),
        ("mail.smtpserver.smtp1.hostname", smtp),
        ("mail.smtpserver.smtp1.username", smtp_name),
    ]);
    // Eudora has one user name for both.
    let eudora = format!(
        "[Settings]\r\nPOPAccount={name}@{host}\r\nReturnAddress={TERN}\r\nSMTPServer={smtp}\r\nSmtpAuthAllowed=1\r\n"
    );
    vec![
        ("Outlook Express", registry(&[fields]).into_bytes()),
        ("Outlook", outlook.into_bytes()),
        ("Windows Mail", oeaccount.into_bytes()),
        (".iaf", iaf),
        ("prefs.js", prefs.into_bytes()),
        ("eudora.ini", eudora.into_bytes()),
    ]
}

#[test]
fn f01_every_form_is_undone_in_every_programs_file() {
    for (host, name, right_host, right_name) in [
        ("127.0.0.1", "tern/mail.plover.example", "mail.plover.example:995", "tern"),
        ("localhost", "tern@plover.example#mail.plover.example:8995", "mail.plover.example:995", TERN),
        ("127.0.0.1", "mail.plover.example:995:tern:ssl", "mail.plover.example:995", "tern"),
        ("127.0.0.1", "tern@plover.example@mail.plover.example", "mail.plover.example:995", TERN),
        ("pop3.norton.antivirus", "tern/mail.plover.example", "mail.plover.example:995", "tern"),
        ("127.0.0.1", "mail.plover.example/1995/tern/ssl", "mail.plover.example:1995", "tern"),
        ("127.0.0.1", "mail.plover.example&tern&110", "mail.plover.example:995", "tern"),
        ("127.0.0.1", "tern\\mail.plover.example", "mail.plover.example:995", "tern"),
        ("localhost", "mail.plover.example^tern", "mail.plover.example:995", "tern"),
    ] {
        // avast! rewrote sending as well; the others left it to the program, or went on to the provider's.
        for (smtp, smtp_name) in
            [("127.0.0.1", name), ("127.0.0.1", "tern#mail.plover.example"), ("mail.plover.example", name)]
        {
            for (program, octets) in files(host, name, smtp, smtp_name) {
                let import = import(octets, &[]);
                let what = format!("{program}, {name} at {host}, {smtp_name} at {smtp}: {}", import.screen);
                let sends_as = if smtp_name == name || program == "eudora.ini" { right_name } else { "tern" };
                assert_eq!(
                    import.all_servers(),
                    [
                        format!("{TERN} pop3 {right_host} {right_name}"),
                        format!("{TERN} smtp mail.plover.example:465 {sends_as}")
                    ],
                    "{what}"
                );
                assert!(import.screen.contains("a helper on this computer"), "{what}");
                assert!(!import.home.settings().contains(name), "{what}");
            }
        }
    }
}

#[test]
fn f01_a_name_at_a_real_server_is_the_users_own() {
    for own in ["CORP/tern", "tern#plover.example", "mail.plover.example:tern"] {
        for (program, octets) in files("pop.plover.example", own, "smtp.plover.example", own) {
            let import = import(octets, &[]);
            assert_eq!(
                import.all_servers(),
                [
                    format!("{TERN} pop3 pop.plover.example:995 {own}"),
                    format!("{TERN} smtp smtp.plover.example:465 {own}")
                ],
                "{program}"
            );
            assert!(!import.screen.contains("helper"), "{program}: {}", import.screen);
        }
    }
}

#[test]
fn f01_a_server_for_sending_that_only_the_helper_knew_is_proposed() {
    let of = |pop3: &str| {
        let fields: &Fields<'_> = &[
            ("POP3 Server", "127.0.0.1"),
            ("POP3 User Name", pop3),
            ("SMTP Server", "127.0.0.1"),
            ("SMTP Email Address", TERN),
        ];
        let Added { screen, home, .. } = import(registry(&[fields]), &[]);
        let told =
            screen.contains("127.0.0.1 is this computer") && screen.contains("ostler proposes smtp.plover.example");
        assert!(told && screen.contains("--smtp"), "{screen}");
        home.settings()
    };
    let settings = of("pop.plover.example:tern");
    assert!(
        settings.contains("host = \"smtp.plover.example\"") && !settings.contains("127.0.0.1\"\nport"),
        "{settings}"
    );
}

#[test]
fn f01_without_a_return_address_eudora_sends_as_the_name_at_the_real_server() {
    let of = |account: &str| {
        import(format!("[Settings]\r\nPOPAccount={account}\r\nSMTPServer=smtp.plover.example\r\n"), &[]).all_servers()
    };
    assert_eq!(
        of("tern/mail.plover.example@pop3.norton.antivirus"),
        [
            "tern@mail.plover.example pop3 mail.plover.example:995 tern",
            "tern@mail.plover.example smtp smtp.plover.example:465 tern"
        ]
    );
    assert_eq!(
        of("tern@plover.example@mail.plover.example@127.0.0.1")[0],
        "tern@plover.example pop3 mail.plover.example:995 tern@plover.example"
    );
}

/// A provider that takes every password and every message.
fn provider(ca: &TestCa) -> (Provider, Provider) {
    let pop3: Part = vec![
        say("+OK ready"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK in"),
        expect("STAT"),
        say("+OK 0 0"),
        expect("QUIT"),
        say("+OK bye"),
    ];
    let smtp = takes_mail_of_anyone();
    let cert = ca.localhost();
    (Provider::always_tls(&cert, true, pop3), Provider::always_tls(&cert, true, smtp))
}

/// Every user name that the provider was told.
fn names(pop3: &Provider, smtp: &Provider) -> Vec<String> {
    let mut names = Vec::new();
    for session in pop3.sessions().into_iter().chain(smtp.sessions()) {
        let text = String::from_utf8_lossy(&session.received).into_owned();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("USER ") {
                names.push(name.to_owned());
            } else if let Some(answer) = line.strip_prefix("AUTH PLAIN ") {
                let answer = String::from_utf8(BASE64.decode(answer).unwrap()).unwrap();
                names.push(answer.split('\0').nth(1).unwrap().to_owned());
            }
        }
    }
    names
}

#[test]
fn f01_the_joined_name_reaches_no_provider() {
    for (host, name) in [
        ("pop3.norton.antivirus", "gwren/mail.kestrel-isp.example"),
        ("127.0.0.1", "mail.kestrel-isp.example:110:gwren"),
        ("localhost", "gwren#mail.kestrel-isp.example"),
    ] {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let (pop3, smtp) = provider(&ca);
        let mut home = Home::new(&ca, &[]);
        home.keep_secret(&password);
        let preset = format!(
            "schema = 1\n[provider.kestrel]\nname = \"Kestrel\"\ndomains = [\"kestrel-isp.example\"]\n\
             legacy_hosts = [\"mail.kestrel-isp.example\", \"smtp.kestrel-isp.example\"]\nlogin = \"local-part\"\n\
             pop3 = [{{ host = \"localhost\", port = {} }}]\nsmtp = [{{ host = \"localhost\", port = {} }}]\n",
            pop3.port, smtp.port
        );
        home.write_providers(&preset);
        let secret = home.path().join("secret");
        private_file(&secret, &password);
        let fields: &Fields<'_> = &[
            ("POP3 Server", host),
            ("POP3 User Name", name),
            ("SMTP Server", "smtp.kestrel-isp.example"),
            ("SMTP Use Sicily", "2"),
            ("SMTP Email Address", "gwren@kestrel-isp.example"),
        ];
        let ca_file = home.ca_file();
        let more = ["--ca", ca_file.to_str().unwrap(), "--password-file", secret.to_str().unwrap()];
        let ostler = import_in(home, registry(&[fields]), &more).home.run();
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER gwren@kestrel-isp.example", "+OK");
        client.ask("PASS x", "+OK");
        client.ask("STAT", "+OK 0 0");
        client.ask("QUIT", "+OK");
        client::send(
            ostler.smtp,
            "gwren@kestrel-isp.example",
            &["bob@heron.example"],
            b"Subject: hello\r\n\r\nHello.\r\n",
        );
        assert_eq!(names(&pop3, &smtp), ["gwren", "gwren"], "{name} at {host}");
    }
}
