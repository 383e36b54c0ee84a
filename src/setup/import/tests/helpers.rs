//! Files of helpers that stand between the mail program and the provider: stunnel and the proxy for OAuth2.

use super::*;

/// The places and ports of the doors of an account's helper.
fn doors(account: &ImportedAccount) -> Vec<String> {
    account.doors.iter().map(|door| format!("{} {} {}", door.protocol, door.port, door.place)).collect()
}

fn field(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field/files").join(name)).unwrap()
}

fn account<'i>(imported: &'i Imported, title: &str) -> &'i ImportedAccount {
    let found = imported.accounts.iter().find(|account| account.title == title);
    found.unwrap_or_else(|| panic!("{title}: {imported:#?}"))
}

#[test]
fn f02_each_account_says_what_it_takes_itself() {
    let file = imported_for("lark@gmail.com", &field("f02-household-stunnel.conf"));
    let titles: Vec<&str> = file.accounts.iter().map(|account| account.title.as_str()).collect();
    assert_eq!(titles, ["Outlook.com / Hotmail / Live / MSN", "Gmail", "iCloud Mail"]);
    let gmail = account(&file, "Gmail");
    assert_eq!(gmail.proposal.provider.as_deref(), Some("gmail"));
    let taken = taken_for(gmail);
    assert!(taken.contains("[g-pop3] (line 33)") && taken.contains("[g-smtp] (line 41)"), "{taken}");
    assert!(!taken.contains("ms-") && !taken.contains("apple-"), "{taken}");
    assert!(gmail.not_taken.is_empty() && file.not_taken.is_empty(), "{file:#?}");
    assert_eq!(doors(gmail), ["pop3 5110 [g-pop3] (line 33)", "smtp 5025 [g-smtp] (line 41)"]);
}

#[test]
fn f02_a_server_without_pop3_is_not_said_to_be_used() {
    let apple = imported_for("wren@icloud.com", &field("f02-household-stunnel.conf"));
    let apple = account(&apple, "iCloud Mail");
    assert!(taken_for(apple).contains("uses its present IMAP server"), "{apple:#?}");
    // Nothing is taken where the provider wants OAuth2 for everything.
    let outlook = imported_for("wren@hotmail.com", &field("f02-household-stunnel.conf"));
    let outlook = account(&outlook, "Outlook.com / Hotmail / Live / MSN");
    assert!(!taken_for(outlook).contains("uses those"), "{outlook:#?}");
    assert!(outlook.not_taken.join("\n").contains("(OAuth2)"), "{outlook:#?}");
}

#[test]
fn f02_what_two_accounts_share_is_said_of_both() {
    let prefs = "user_pref(\"mail.accountmanager.accounts\", \"account1,account2\");\n\
                 user_pref(\"mail.account.account1.server\", \"server1\");\nuser_pref(\"mail.account.account1.identities\", \"id1\");\n\
                 user_pref(\"mail.account.account2.server\", \"server2\");\nuser_pref(\"mail.account.account2.identities\", \"id2\");\n\
                 user_pref(\"mail.server.server1.type\", \"pop3\");\nuser_pref(\"mail.server.server1.hostname\", \"pop.one.example\");\n\
                 user_pref(\"mail.server.server2.type\", \"pop3\");\nuser_pref(\"mail.server.server2.hostname\", \"pop.one.example\");\n\
                 user_pref(\"mail.identity.id1.useremail\", \"ann@one.example\");\n\
                 user_pref(\"mail.identity.id2.useremail\", \"bob@one.example\");\n\
                 user_pref(\"mail.smtpservers\", \"smtp1\");\nuser_pref(\"mail.smtpserver.smtp1.hostname\", \"smtp.one.example\");\n";
    let file = imported(prefs.as_bytes());
    let [ann, bob] = file.accounts.as_slice() else { panic!("{file:#?}") };
    for (account, own, other) in [(ann, "server1", "server2"), (bob, "server2", "server1")] {
        let taken = taken_for(account);
        assert!(taken.contains(own) && !taken.contains(other) && taken.contains("smtp1"), "{taken}");
    }
}

#[test]
fn f03_the_first_connect_comes_first_and_no_other_is_lost() {
    let file = imported_for("tern@plover.example", &field("f03-odd-forms-stunnel.conf"));
    let plover = account(&file, "plover.example");
    assert_eq!(servers(&plover.proposal.incoming), ["tls://pop.plover.example:995"]);
    assert_eq!(servers(&plover.proposal.outgoing), ["tls://smtp.plover.example:465"]);
    assert_eq!(servers(&plover.proposal.standby), ["starttls://relay.plover.example:587"]);
    assert_eq!((&plover.username, &plover.smtp_username), (&None, &None), "the name is the address");
    let left = plover.not_taken.join("\n");
    assert!(left.contains("[pop3s] (line 4): pop2.plover.example port 995, TLS"), "{left}");
    assert!(left.contains("--pop3 tls://pop2.plover.example:995"), "{left}");
    assert_eq!(servers(&account(&file, "heron.example").proposal.incoming), ["tls://pop.heron.example:995"]);
    let left = file.not_taken.join("\n");
    assert!(left.contains("[smtp-tls-wrapper] (line 14): `connect = 465` leads to this computer"), "{left}");
    assert!(left.contains("[redis]"), "{left}");
    assert!(!said(&file).contains("localhost"), "{}", said(&file));
    assert!(!format!("{file:?}").contains("not-a-real-one"));
}

/// One service with these lines, as the only account of `ann@plover.example`.
fn service(lines: &str) -> Imported {
    imported_for("ann@plover.example", format!("client = yes\n[a]\naccept = 1\n{lines}\n").as_bytes())
}

#[test]
fn f03_services_have_names_in_place_of_ports() {
    for (connect, expected) in [
        ("mail.plover.example:pop3s", "tls://mail.plover.example:995"),
        ("mail.plover.example:POP3S", "tls://mail.plover.example:995"),
        ("mail.plover.example:smtps", "tls://mail.plover.example:465"),
        ("mail.plover.example:ssmtp", "tls://mail.plover.example:465"),
        ("mail.plover.example:submissions", "tls://mail.plover.example:465"),
        ("mail.plover.example:submission\nprotocol = smtp", "starttls://mail.plover.example:587"),
        ("mail.plover.example:smtp\nprotocol = SMTP", "starttls://mail.plover.example:25"),
        ("mail.plover.example:pop3\nPROTOCOL=pop3", "starttls://mail.plover.example:110"),
        ("mail.plover.example : 995", "tls://mail.plover.example:995"),
        ("203.0.113.7:pop3s\nsni = pop.plover.example", "tls://pop.plover.example:995"),
        ("2001:db8::7:995\ncheckIP = 2001:db8::7\ncheckHost = pop.plover.example", "tls://pop.plover.example:995"),
        ("[2001:db8::7]:995", "tls://2001:db8::7:995"),
    ] {
        let file = service(&format!("connect = {connect}"));
        let [account] = file.accounts.as_slice() else { panic!("{connect}: {file:#?}") };
        let all: Vec<Endpoint> = account.proposal.endpoints().cloned().collect();
        assert_eq!(servers(&all), [expected], "{connect}");
    }
    let imap = service("connect = mail.plover.example:imaps\n[b]\nconnect = mail.plover.example:imap\nprotocol = imap");
    let imap: Vec<Endpoint> = imap.accounts.iter().flat_map(|account| account.proposal.imap.clone()).collect();
    assert_eq!(servers(&imap), ["tls://mail.plover.example:993"], "the user is asked for its address");
    for (connect, why) in [
        ("mail.plover.example:gopher", "has no port that ostler knows"),
        ("mail.plover.example:0", "has no port that ostler knows"),
        ("mail.plover.example:", "has no port that ostler knows"),
        ("mail.plover.example:70000", "has no port that ostler knows"),
        ("/var/run/mail.sock", "leads to a socket file of this computer"),
    ] {
        let file = service(&format!("connect = {connect}"));
        assert!(file.accounts.is_empty() && said(&file).contains(why), "{connect}: {}", said(&file));
    }
}

#[test]
fn f03_this_computer_is_no_provider_however_it_is_written() {
    for connect in [
        "465",
        "pop3s",
        ":995",
        "localhost:995",
        "LocalHost.:995",
        "localhost.localdomain:995",
        "ip6-localhost:995",
        "127.0.0.1:995",
        "127.0.0.53:465",
        "127.1:995",
        "[::1]:995",
        "::1:995",
        "[::ffff:127.0.0.1]:995",
        "0.0.0.0:995",
    ] {
        for protocol in ["", "\nprotocol = pop3", "\nprotocol = smtp"] {
            let file = service(&format!("connect = {connect}{protocol}\ncheckHost = mail.plover.example"));
            assert!(file.accounts.is_empty(), "{connect}: {file:#?}");
            let said = said(&file);
            assert!(said.contains(&format!("`connect = {connect}` leads to this computer")), "{said}");
            assert!(taken(&file).is_empty(), "{said}");
        }
    }
    let both = service("connect = localhost:995\nconnect = mail.plover.example:995");
    assert_eq!(servers(&both.accounts[0].proposal.incoming), ["tls://mail.plover.example:995"]);
    assert!(said(&both).contains("`connect = localhost:995` leads to this computer"), "{}", said(&both));
    // A certificate of the user's own can make it trustworthy.
    let asked = Asked { address: Some("ann@plover.example"), has_own_certificate: true };
    let own = read(b"client=yes\n[a]\naccept=1\nconnect=localhost:995\n", Presets::built_in(), &asked).unwrap();
    assert_eq!(servers(&own.accounts[0].proposal.incoming), ["tls://localhost:995"]);
}

#[test]
fn f03_further_servers_for_sending_stay_behind_the_first() {
    let file = service(
        "connect = smtp.plover.example:465\nconnect = smtp2.plover.example:465\nconnect = smtp.plover.example:465\n\
         connect = mail.heron.example:465\n[b]\naccept = 2\nconnect = pop.plover.example:995\n",
    );
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&account.proposal.outgoing), ["tls://smtp.plover.example:465"]);
    assert_eq!(servers(&account.proposal.standby), ["tls://smtp2.plover.example:465"]);
    let taken = taken_for(account);
    assert!(taken.contains("sending through smtp2.plover.example port 465, TLS if the server before it"), "{taken}");
    let left = account.not_taken.join("\n");
    assert!(left.contains("mail.heron.example belongs to another company"), "{left}");
}

#[test]
fn f04_a_company_at_microsoft_is_not_called_hotmail() {
    let file = imported(&field("f04-emailproxy.config"));
    let [lark, office] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!((lark.title.as_str(), lark.proposal.provider.as_deref()), ("Gmail", Some("gmail")));
    assert_eq!(office.title, "Microsoft 365 / Exchange Online (own domain)");
    assert_eq!(office.proposal.provider.as_deref(), Some("microsoft365"));
    let said = office.not_taken.join("\n");
    assert!(!said.contains("Hotmail"), "{said}");
    for server in ["IMAP-1993", "POP-1995", "SMTP-1587"] {
        assert!(said.contains(&format!("[{server}]")), "{said}");
    }
    assert!(said.contains("leave this account with Email OAuth 2.0 Proxy"), "{said}");
    assert!(office.taken.is_empty(), "{office:#?}");
    assert!(lark.not_taken.join("\n").contains("for Gmail at https://myaccount.google.com/apppasswords"), "{lark:#?}");
    assert_eq!(doors(lark), ["pop3 995 [POP-995] (line 7)", "smtp 465 [SMTP-465] (line 12)"]);
    let office = doors(office).join("\n");
    assert_eq!(
        office,
        "imap 1993 [IMAP-1993] (line 17)\npop3 1995 [POP-1995] (line 22)\nsmtp 1587 [SMTP-1587] (line 26)"
    );
}

#[test]
fn f04_products_of_one_company_are_one_account_of_stunnel() {
    let conf = "client=yes\n[in]\naccept=110\nconnect=outlook.office365.com:995\n\
                [out]\naccept=127.0.0.1:smtp\nconnect=smtp.office365.com:587\nprotocol=smtp\n";
    let file = imported_for("office@wren-joinery.example", conf.as_bytes());
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(account.title, "Microsoft 365 / Exchange Online (own domain)");
    assert_eq!(doors(account), ["pop3 110 [in] (line 2)", "smtp 25 [out] (line 5)"]);
    let google = "client=yes\n[in]\naccept=::1:5110\nconnect=pop.gmail.com:995\n";
    for (address, title) in
        [("ann@wren-joinery.example", "Google Workspace (own domain)"), ("ann@gmail.com", "Gmail"), ("x", "Gmail")]
    {
        let file = imported_for(address, google.as_bytes());
        assert_eq!(file.accounts[0].title, title, "{address}");
        assert_eq!(doors(&file.accounts[0]), ["pop3 5110 [in] (line 2)"]);
    }
}

#[test]
fn f04_old_programs_at_shared_servers_get_the_product_of_their_address() {
    for (host, smtp, address, provider) in [
        ("outlook.office365.com", "smtp.office365.com", "ann@wren-joinery.example", "microsoft365"),
        ("pop-mail.outlook.com", "smtp-mail.outlook.com", "ann@wren-joinery.example", "microsoft365"),
        ("pop.gmail.com", "smtp.gmail.com", "ann@wren-joinery.example", "google-workspace"),
        ("pop.mail.yahoo.com", "smtp.mail.yahoo.com", "ann@sbcglobal.net", "att"),
        ("pop.aol.com", "smtp.aol.com", "ann@verizon.net", "verizon"),
        ("pop.gmail.com", "smtp.gmail.com", "ann@gmail.com", "gmail"),
    ] {
        let ini = format!("[Settings]\nPOPAccount=ann@{host}\nReturnAddress={address}\nSMTPServer={smtp}\n");
        let file = imported(ini.as_bytes());
        let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert_eq!(account.proposal.provider.as_deref(), Some(provider), "{address}: {}", said(&file));
        assert!(!said(&file).contains("another company"), "{}", said(&file));
    }
}
