use proptest::prelude::*;

use super::*;
use ostler_mail::account::Security;
use ostler_mail::account::endpoint::{Endpoint, LoginForm};

/// The files are the fuzzer's first ones too.
macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/import/", $name)).as_slice()
    };
}

// Behind the macro, which they use.
mod helpers;
mod provider_files;

fn imported(bytes: &[u8]) -> Imported {
    read(bytes, Presets::built_in(), &Asked::default()).unwrap()
}

/// As the user reads it who has given this address.
fn imported_for(address: &str, bytes: &[u8]) -> Imported {
    read(bytes, Presets::built_in(), &Asked { address: Some(address), ..Asked::default() }).unwrap()
}

fn servers(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(|e| format!("{}://{}:{}", e.security.name(), e.host, e.port)).collect()
}

/// All there is to say, for looking into it.
fn said(imported: &Imported) -> String {
    [taken(imported), left(imported)].join("\n---\n")
}

/// What was taken, for all accounts.
fn taken(imported: &Imported) -> String {
    imported.accounts.iter().map(taken_for).collect::<Vec<_>>().join("\n")
}

fn taken_for(account: &ImportedAccount) -> String {
    account.taken.iter().map(|taken| taken.sentence.as_str()).collect::<Vec<_>>().join("\n")
}

/// What was not taken, of the file and of all accounts.
fn left(imported: &Imported) -> String {
    let of_accounts = imported.accounts.iter().flat_map(|account| &account.not_taken);
    imported.not_taken.iter().chain(of_accounts).cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_of_old_windows_has_the_letters_that_windows_wrote() {
    assert_eq!(decode_text(b"M\xfcllers \x84Post\x93 \x80"), "M\u{fc}llers \u{201e}Post\u{201c} \u{20ac}");
}

#[test]
fn an_stunnel_file_has_the_servers_of_its_clients() {
    let file = imported(sample!("stunnel.conf"));
    assert_eq!(file.kind, Kind::Stunnel);
    let [known, small] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(known.proposal.provider.as_deref(), Some("optimum"), "both hosts are of one provider");
    assert!(known.proposal.incoming.is_empty() && known.proposal.outgoing.is_empty(), "{known:?}");
    assert_eq!(
        servers(&small.proposal.incoming),
        ["tls://mail.small.example:1995"],
        "the certificate's name, not the address"
    );
    assert_eq!(servers(&small.proposal.outgoing), ["tls://mail.small.example:465"]);
    let left = left(&file);
    assert!(left.contains("[pop3s] (line 31): it does not lead to a provider"), "{left}");
    assert!(left.contains("[news] (line 27): neither its port, 563"), "{left}");
    assert!(left.contains("CAfile") && left.contains("--ca FILE"), "{left}");
    let taken = taken(&file);
    assert!(taken.contains("[optonline-smtp] (line 13): stunnel did not check"), "{taken}");
    assert!(!taken.contains("[optonline-pop3] (line 7): stunnel did not check"), "{taken}");
}

#[test]
fn starttls_is_what_a_protocol_of_stunnel_means() {
    let conf = "client=yes\n[a]\naccept=1\nconnect=mail.x.example:110\nprotocol=pop3\nprotocolUsername=u1\n\
                [b]\naccept=2\nconnect=mail.x.example:2587\nprotocol=smtp\n[c]\naccept=3\nconnect=mail.x.example:563\nprotocol=nntp\n";
    let file = imported(conf.as_bytes());
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&account.proposal.incoming), ["starttls://mail.x.example:110"]);
    assert_eq!(servers(&account.proposal.outgoing), ["starttls://mail.x.example:2587"]);
    assert_eq!((account.username.as_deref(), account.smtp_username.as_deref()), (Some("u1"), Some("u1")));
    assert!(said(&file).contains("`protocol = nntp` is not a mail protocol"), "{}", said(&file));
}

#[test]
fn the_proxy_for_oauth2_has_addresses_and_no_secret_of_its_is_taken() {
    let file = imported(sample!("emailproxy.config"));
    assert_eq!(file.kind, Kind::EmailProxy);
    let [ann, bob] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!((ann.address.as_deref(), ann.proposal.provider.as_deref()), (Some("ann.lee@gmail.com"), Some("gmail")));
    assert_eq!(bob.address.as_deref(), Some("bob@small.example"));
    assert_eq!(servers(&bob.proposal.outgoing), ["starttls://mail.small.example:587"]);
    assert!(bob.proposal.incoming.is_empty() && bob.proposal.provider.is_none());
    let all = format!("{file:?}");
    assert!(!all.contains("secret-word") && !all.contains("client-id-1234"), "{all}");
    let left = left(&file);
    assert!(left.contains("[ann.lee@gmail.com] (line 18)") && left.contains("app password"), "{left}");
}

#[test]
fn mozilla_has_accounts_with_identities_and_servers() {
    let file = imported(sample!("prefs.js"));
    assert_eq!(file.kind, Kind::Mozilla);
    let [ann, bob] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(ann.address.as_deref(), Some("ann@hawaii.rr.com"));
    assert_eq!(ann.proposal.provider.as_deref(), Some("spectrum-twc"), "the old host is mapped");
    assert_eq!(ann.username, None, "what the provider wants today counts");
    assert_eq!(servers(&bob.proposal.incoming), ["tls://pop.small.example:995", "starttls://pop.small.example:110"]);
    assert_eq!(servers(&bob.proposal.outgoing), ["starttls://smtp.small.example:2525"]);
    assert_eq!(
        (&bob.proposal.incoming[0].login, &bob.proposal.outgoing[0].login),
        (&LoginForm::LocalPart, &LoginForm::Address)
    );
    assert_eq!((&bob.username, &bob.smtp_username), (&None, &None), "one password for both");
    assert!(
        said(&file).contains("server3 (line 18): pop.small.example was used without encryption"),
        "{}",
        said(&file)
    );
    assert!(bob.aliases.is_empty(), "id4 has no address: {bob:?}");
    assert!(said(&file).contains("account4 (line 8): it is for newsgroups, not mail"), "{}", said(&file));
}

#[test]
fn an_account_that_signed_in_at_a_company_does_so_again() {
    let prefs = |issuer: &str, method: &str| {
        format!(
            "user_pref(\"mail.accountmanager.accounts\", \"a1\");\nuser_pref(\"mail.account.a1.server\", \"s1\");\n\
             user_pref(\"mail.account.a1.identities\", \"i1\");\nuser_pref(\"mail.identity.i1.useremail\", \"ann@corp.example\");\n\
             user_pref(\"mail.server.s1.type\", \"pop3\");\nuser_pref(\"mail.server.s1.hostname\", \"pop.corp.example\");\n\
             user_pref(\"mail.server.s1.socketType\", 3);\nuser_pref(\"mail.server.s1.authMethod\", {method});\n\
             user_pref(\"mail.server.s1.oauth2.issuer\", \"{issuer}\");\n"
        )
    };
    for (issuer, method, expected) in [
        ("login.microsoftonline.com", "10", Some("microsoft")),
        ("accounts.google.com", "10", Some("google")),
        ("accounts.google.com", "3", None),
        ("sso.corp.example", "10", None),
    ] {
        let file = imported(prefs(issuer, method).as_bytes());
        let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert_eq!(account.oauth2.as_deref(), expected, "{issuer}");
        assert_eq!(left(&file).contains("sign in anew when ostler asks for it"), method == "10", "{}", left(&file));
    }
}

#[test]
fn evolution_has_accounts_in_many_files_and_signs_in_at_companies() {
    let file = imported(sample!("evolution.source"));
    assert_eq!(file.kind, Kind::Evolution);
    let [ann, bob, gmail] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!((ann.address.as_deref(), ann.oauth2.as_deref()), (Some("ann.lee@outlook.com"), Some("microsoft")));
    let aliases: Vec<String> = ann.aliases.iter().map(Alias::to_string).collect();
    assert_eq!(aliases, ["ann@lee.example", "lee@lee.example"]);
    assert_eq!((bob.address.as_deref(), bob.username.as_deref()), (Some("bob@small.example"), None));
    assert_eq!(servers(&bob.proposal.incoming)[0], "tls://pop.small.example:995");
    assert!(bob.proposal.outgoing.is_empty() && bob.oauth2.is_none());
    assert_eq!((gmail.address.as_deref(), gmail.oauth2.as_deref()), (Some("ann@gmail.com"), Some("google")));
    let left = left(&file);
    assert_eq!(left.matches("sign in anew when ostler asks for it").count(), 2, "{left}");
    for words in
        ["Small (ef01.source): it sends by \"sendmail\"", "Old (old.source): it is switched off", "protocol \"ews\""]
    {
        assert!(left.contains(words), "{left}");
    }
    assert!(!left.contains("On This Computer"), "{left}");
}

#[test]
fn a_backslash_in_a_user_name_of_evolution_is_one_and_aliases_end_where_their_lines_do() {
    let file = |more: &str| {
        let text = format!(
            "[ostler file a]\n[Data Source]\nDisplayName=x\n[Mail Account]\nBackendName=pop\nIdentityUid=b\n[Authentication]\n\
             Host=p.small.example\n{more}\n[ostler file b]\n[Mail Identity]\nAddress=a@small.example\n\
             Aliases=Ann\\\\new <b@small.example>\\nc@small.example\n"
        );
        imported(text.as_bytes()).accounts.remove(0)
    };
    for (written, meant) in [
        ("CORP\\\\ann", "CORP\\ann"),
        ("Ann\\sLee", "Ann Lee"),
        ("\\\\server", "\\server"),
        ("CORP\\ann", "CORP\\ann"),
        ("ann\\", "ann\\"),
    ] {
        assert_eq!(file(&format!("User={written}")).username.as_deref(), Some(meant), "{written}");
    }
    let aliases: Vec<String> = file("User=x").aliases.iter().map(Alias::to_string).collect();
    assert_eq!(aliases, ["b@small.example", "c@small.example"]);
    // Other programs' files have no escapes.
    let eudora = imported(b"[Settings]\nPOPAccount=CORP\\\\ann@p.small.example\nReturnAddress=a@small.example\n");
    assert_eq!(eudora.accounts[0].username.as_deref(), Some("CORP\\\\ann"));
}

#[test]
fn a_file_of_evolution_is_read_with_those_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for part in std::str::from_utf8(sample!("evolution.source")).unwrap().split("[ostler file ").skip(1) {
        let (uid, text) = part.split_once("]\n").unwrap();
        std::fs::write(folder.path().join(format!("{uid}.source")), text).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "[Data Source]\nDisplayName=x\n").unwrap();
    let sorted = imported(&read_octets(folder.path()).unwrap());
    let addresses = |file: &Imported| file.accounts.iter().filter_map(|a| a.address.clone()).collect::<Vec<_>>();
    assert_eq!(addresses(&sorted), ["ann.lee@outlook.com", "bob@small.example", "ann@gmail.com"]);
    assert_eq!(imported(&read_octets(&folder.path().join("3c4d.source")).unwrap()), sorted);
    let alone = "[Data Source]\nDisplayName=x\n[Mail Account]\nBackendName=pop\n[Authentication]\nHost=p.small.example\nUser=a@b.example\n";
    assert_eq!(addresses(&imported(alone.as_bytes())), ["a@b.example"]);
}

#[test]
fn the_proxy_for_oauth2_hands_on_its_registration_where_no_password_does() {
    let config = |address: &str, more: &str| {
        let text = format!(
            "[POP-1995]\nserver_address = pop.corp.example\nserver_port = 995\n[SMTP-1587]\nserver_address = smtp.corp.example\n\
             server_port = 587\nserver_starttls = True\n[{address}]\npermission_url = https://sso.corp.example/auth\n\
             token_url = https://sso.corp.example/token\nclient_id = 5f3c\nredirect_uri = http://localhost\n\
             oauth2_scope = mail\n\toffline_access\naccess_token = secret-word\n{more}\n"
        );
        imported(text.as_bytes())
    };
    let file = config("ann@corp.example", "client_secret = secret-word");
    let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
    let issuer = ann.registration.as_deref().unwrap();
    assert_eq!((ann.oauth2.as_deref(), issuer.client_id.as_deref()), (Some("corp.example"), Some("5f3c")));
    assert_eq!(issuer.scopes.needed([Protocol::Pop3]), ["mail", "offline_access"]);
    assert!(issuer.client_secret.is_some() && !format!("{file:?}").contains("secret-word"), "{file:?}");
    assert!(taken(&file).contains("its registration at corp.example (client_id); ostler asks"), "{}", taken(&file));
    assert!(left(&file).contains("its tokens, which are encrypted there: you sign in once"), "{}", left(&file));
    assert_eq!(servers(&ann.proposal.incoming), ["tls://pop.corp.example:995"]);
    for (address, more) in
        [("ann@corp.example", "oauth2_flow = client_credentials"), ("ann@corp.example", "client_id = *** id ***")]
    {
        let file = config(address, more);
        assert!(file.accounts[0].registration.is_none() && file.accounts[0].oauth2.is_none(), "{file:#?}");
        assert!(left(&file).contains("because they are that program's own"), "{}", left(&file));
    }
}

#[test]
fn each_way_to_an_imap_server_without_encryption_that_is_announced_is_tried() {
    let file = imported(
        b"user_pref(\"mail.accountmanager.accounts\", \"account1\");\nuser_pref(\"mail.account.account1.server\", \"server1\");\n\
          user_pref(\"mail.account.account1.identities\", \"id1\");\nuser_pref(\"mail.identity.id1.useremail\", \"ann@small.example\");\n\
          user_pref(\"mail.server.server1.type\", \"imap\");\nuser_pref(\"mail.server.server1.hostname\", \"imap.small.example\");\n\
          user_pref(\"mail.server.server1.userName\", \"ann\");\n",
    );
    let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&ann.proposal.imap), ["tls://imap.small.example:993", "starttls://imap.small.example:143"]);
    assert!(ann.proposal.imap.iter().all(|endpoint| endpoint.login == LoginForm::LocalPart), "{ann:#?}");
    for endpoint in &ann.proposal.imap {
        assert!(taken(&file).contains(&endpoint.describe()), "{}", taken(&file));
    }
}

#[test]
fn netscape_4_has_one_account() {
    let file = imported(sample!("netscape4.js"));
    let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&ann.proposal.incoming), ["tls://mail.small.example:995", "starttls://mail.small.example:110"]);
    assert_eq!(servers(&ann.proposal.outgoing), ["tls://mail.small.example:465", "starttls://mail.small.example:587"]);
    let old_mac: Vec<u8> = sample!("netscape4.js").iter().map(|b| if *b == b'\n' { b'\r' } else { *b }).collect();
    assert_eq!(imported(&old_mac), file);
    assert!(!format!("{file:?}").contains("c2VjcmV0"));
    assert!(said(&file).contains("passwords: type them when ostler asks"), "{}", said(&file));
}

/// As Netscape 4 writes it: what it was set to at an earlier provider stays in the file.
fn netscape_4_file(prefs: &[(&str, &str)]) -> Imported {
    let common = [
        ("mail.identity.useremail", "ann@foo.example"),
        ("network.hosts.pop_server", "pop.oldisp.example"),
        ("mail.pop_name", "oldann"),
        ("network.hosts.smtp_server", "smtp.foo.example"),
    ];
    let line = |(key, value): &(&str, &str)| match value.parse::<u8>().is_ok() || ["true", "false"].contains(value) {
        true => format!("user_pref(\"{key}\", {value});\n"),
        false => format!("user_pref(\"{key}\", \"{value}\");\n"),
    };
    imported(common.iter().chain(prefs).map(line).collect::<String>().as_bytes())
}

#[test]
fn netscape_4_that_reads_by_imap_does_not_lead_to_the_pop_server_of_an_earlier_provider() {
    for (host, is_secure, expected) in [
        ("imap.foo.example", "false", &["tls://imap.foo.example:993", "starttls://imap.foo.example:143"][..]),
        ("imap.foo.example", "true", &["tls://imap.foo.example:993"]),
        ("IMAP.Foo.example:1993", "true", &["tls://imap.foo.example:1993"]),
    ] {
        let (name, secure) = (format!("mail.imap.server.{host}.userName"), format!("mail.imap.server.{host}.isSecure"));
        let listed = format!("{host}, imap.bar.example");
        let file = netscape_4_file(&[
            ("mail.server_type", "1"),
            ("network.hosts.imap_servers", &listed),
            (&name, "ann17"),
            (&secure, is_secure),
            ("mail.imap.server.imap.bar.example.userName", "bar"),
        ]);
        let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert_eq!(servers(&ann.proposal.imap), expected);
        assert_eq!(ann.username.as_deref(), Some("ann17"));
        assert_eq!((&ann.proposal.incoming[..], ann.proposal.outgoing.len()), (&[][..], 2));
        assert!(!format!("{file:?}").contains("old"), "{file:#?}");
        assert!(
            ann.not_taken.join("\n").contains("imap.bar.example: an account has one server for reading"),
            "{ann:#?}"
        );
    }
}

#[test]
fn netscape_4_fetches_by_the_protocol_of_its_type() {
    let imap = ("network.hosts.imap_servers", "imap.foo.example");
    for pop in [netscape_4_file(&[imap]), netscape_4_file(&[imap, ("mail.server_type", "0")])] {
        assert_eq!(servers(&pop.accounts[0].proposal.incoming)[0], "tls://pop.oldisp.example:995");
        assert!(pop.accounts[0].proposal.imap.is_empty(), "{pop:#?}");
    }
    for (kind, why) in [("1", "name it with --imap"), ("2", "(movemail)"), ("7", "does not know the type \"7\"")] {
        let file = netscape_4_file(&[("mail.server_type", kind)]);
        let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert!(ann.proposal.has_no_incoming() && ann.username.is_none(), "{ann:#?}");
        assert_eq!(servers(&ann.proposal.outgoing)[0], "tls://smtp.foo.example:465");
        assert!(ann.not_taken.join("\n").contains(why), "{ann:#?}");
    }
}

#[test]
fn outlook_express_accounts_come_out_of_the_registry() {
    let file = imported(sample!("outlook-express.reg"));
    assert_eq!(file.kind, Kind::Registry);
    let [ann, bob] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(ann.place(), "account \"Home \"mail\"\" (line 5)");
    assert_eq!(servers(&ann.proposal.incoming), ["tls://mail.small.example:995", "starttls://mail.small.example:995"]);
    assert_eq!(
        servers(&ann.proposal.outgoing)[..2],
        ["starttls://mail.small.example:25", "tls://mail.small.example:465"]
    );
    assert_eq!(ann.proposal.incoming[0].login, LoginForm::LocalPart);
    assert_eq!(ann.proposal.outgoing[0].login, LoginForm::LocalPart);
    assert_eq!((bob.proposal.provider.as_deref(), bob.proposal.outgoing.len()), (Some("optonline"), 0));
    let left = left(&file);
    assert!(left.contains("account \"Home \"mail\"\" (line 5): the saved password"), "{left}");
    assert!(
        left.contains("smtp.other.example belongs to another company") && left.contains("--send-through"),
        "{left}"
    );
    assert!(left.contains("account \"Active Directory\" (line 27): it is a directory of addresses"), "{left}");
}

#[test]
fn outlook_keeps_its_texts_as_octets_and_the_file_may_be_utf_16() {
    for bytes in [sample!("outlook-2003.reg"), sample!("outlook-2003-utf16.reg")] {
        let file = imported(bytes);
        let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert_eq!((ann.address.as_deref(), ann.place()), (Some("a@x.example"), "account \"Home\" (line 3)"));
        assert_eq!(servers(&ann.proposal.incoming)[0], "tls://p.x.example:995");
        assert_eq!(servers(&ann.proposal.outgoing)[0], "tls://s.x.example:465");
        assert!(ann.proposal.gate, "it logs on before it sends");
    }
}

#[test]
fn windows_mail_and_account_files_hold_one_account() {
    for (bytes, kind) in
        [(sample!("windows-mail.oeaccount"), Kind::WindowsMail), (sample!("account.iaf"), Kind::AccountFile)]
    {
        let file = imported(bytes);
        assert_eq!(file.kind, kind);
        let [ann] = file.accounts.as_slice() else { panic!("{file:#?}") };
        assert_eq!((ann.address.as_deref(), ann.place()), (Some("ann@small.example"), "account \"Home\""));
        assert_eq!(servers(&ann.proposal.incoming)[0], "tls://pop.small.example:995");
        assert_eq!(servers(&ann.proposal.outgoing)[0], "tls://smtp.small.example:465");
        assert!(said(&file).contains("the saved password"), "{}", said(&file));
    }
    let wide: Vec<u8> = std::str::from_utf8(sample!("windows-mail.oeaccount"))
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(imported(&[&[0xff, 0xfe], wide.as_slice()].concat()).accounts.len(), 1);
    assert_eq!(imported(&wide).accounts.len(), 1, "without a mark");
    let cut = read(&sample!("account.iaf")[..40], Presets::built_in(), &Asked::default());
    assert!(matches!(cut, Err(ImportError::Damaged(Kind::AccountFile))), "{cut:?}");
}

#[test]
fn eudora_has_personalities() {
    let file = imported(sample!("eudora.ini"));
    assert_eq!(file.kind, Kind::Eudora);
    let [ann, club] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(
        (ann.address.as_deref(), ann.proposal.provider.as_deref()),
        (Some("ann@nyc.rr.com"), Some("spectrum-twc"))
    );
    assert_eq!(club.address.as_deref(), Some("ann.lee@mail.club.example"), "the POP account, as Eudora does");
    assert_eq!(servers(&club.proposal.incoming), ["tls://mail.club.example:995"]);
    assert_eq!(servers(&club.proposal.outgoing), ["starttls://mail.club.example:587"]);
    assert!(!format!("{file:?}").contains("c2VjcmV0"));
}

#[test]
fn a_helper_on_this_computer_is_no_provider() {
    for host in ["127.0.0.1", "localhost", "127.1.2.3"] {
        let ini = format!("[Settings]\nPOPAccount=ann@{host}\nReturnAddress=ann@x.example\nSMTPServer={host}\n");
        let file = imported(ini.as_bytes());
        assert!(
            file.accounts[0].proposal.incoming.is_empty() && file.accounts[0].proposal.outgoing.is_empty(),
            "{file:#?}"
        );
        assert!(said(&file).contains("is this computer"), "{}", said(&file));
    }
}

#[test]
fn a_password_goes_to_no_other_company_by_itself() {
    let reg = |more: &str| {
        let text = format!(
            "REGEDIT4\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account Manager\\Accounts\\00000001]\n\
             \"POP3 Server\"=\"pop.one.example\"\n\"POP3 User Name\"=\"ann\"\n\"SMTP Server\"=\"smtp.two.net\"\n\
             \"SMTP Email Address\"=\"ann@one.example\"\n{more}"
        );
        imported(text.as_bytes()).accounts.remove(0)
    };
    assert!(reg("").proposal.outgoing.is_empty());
    let own = reg("\"SMTP Use Sicily\"=dword:3\n\"SMTP User Name\"=\"ann@one.example\"\n");
    assert_eq!(own.smtp_username.as_deref(), Some("ann@one.example"), "a password of its own is asked for");
    let same = reg("\"SMTP Use Sicily\"=dword:2\n");
    assert_eq!((same.proposal.outgoing.len(), same.smtp_username), (2, None), "as it was set");
}

#[test]
fn companies_are_told_by_preset_or_registered_domain() {
    let of = |host: &str| company(host, Presets::built_in());
    assert_eq!(of("pop.mail.x.example"), "x.example");
    assert_eq!(of("pop.x.co.uk"), "x.co.uk");
    assert_eq!(of("192.0.2.1"), "192.0.2.1");
    assert_eq!(of("pop.gmail.com"), of("gmail.com"));
    assert_eq!(of(""), "");
}

#[test]
fn what_is_no_settings_file_is_said_to_be_none() {
    for bytes in
        [b"".as_slice(), b"hello", b"[a]\nb=c\n", b"<html></html>", b"\xff\xfe", b"\x00\x01\x02", b"PK\x03\x04"]
    {
        assert!(matches!(read(bytes, Presets::built_in(), &Asked::default()), Err(ImportError::Unknown)), "{bytes:?}");
    }
    assert!(matches!(
        read(&vec![b' '; MAX_FILE_OCTETS + 1], Presets::built_in(), &Asked::default()),
        Err(ImportError::TooLong)
    ));
    let damaged = read(b"<MessageAccount><a></MessageAccount>", Presets::built_in(), &Asked::default());
    assert!(matches!(damaged, Err(ImportError::Damaged(Kind::WindowsMail))), "{damaged:?}");
}

/// The accounts of an `.reg` file, each with these lines.
fn registry(accounts: &[&str]) -> Imported {
    let mut text = "REGEDIT4\n".to_owned();
    for (number, lines) in accounts.iter().enumerate() {
        text += &format!(
            "\n[HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account Manager\\Accounts\\0000000{number}]\n{lines}\n"
        );
    }
    imported(text.as_bytes())
}

#[test]
fn f01_a_name_at_a_real_server_stays() {
    for own in ["CORP/ann", "ann#example.net", "pop.small.example:ann", "ann@small.example@small.example", "x&y"] {
        let file = registry(&[&format!(
            "\"POP3 Server\"=\"pop.small.example\"\n\"POP3 User Name\"=\"{own}\"\n\"SMTP Server\"=\"smtp.small.example\"\n\
             \"SMTP Use Sicily\"=dword:2\n\"SMTP Email Address\"=\"ann@small.example\""
        )]);
        let ann = &file.accounts[0];
        assert_eq!((ann.username.as_deref(), ann.smtp_username.as_deref()), (Some(own), Some(own)), "{file:#?}");
        assert_eq!(ann.proposal.incoming[0].host, "pop.small.example");
    }
}

#[test]
fn f01_a_name_that_no_helpers_server_is_found_in_is_dropped() {
    let file = registry(&["\"POP3 Server\"=\"127.0.0.1\"\n\"POP3 User Name\"=\"mailhub:ann\"\n\
                           \"SMTP Server\"=\"127.0.0.1\"\n\"SMTP Email Address\"=\"ann@small.example\""]);
    let ann = &file.accounts[0];
    assert_eq!((&ann.username, &ann.smtp_username, ann.proposal.is_empty()), (&None, &None, true), "{file:#?}");
    assert!(said(&file).contains("\"mailhub:ann\"") && said(&file).contains("--username"), "{}", said(&file));
}

#[test]
fn f05_accounts_with_one_mailbox_are_one() {
    let account = |address: &str, user: &str, smtp: &str| {
        format!(
            "\"POP3 Server\"=\"pop.small.example\"\n\"POP3 User Name\"=\"{user}\"\n\"SMTP Server\"=\"{smtp}\"\n\
             \"SMTP Use Sicily\"=dword:2\n\"SMTP Email Address\"=\"{address}\""
        )
    };
    let of = |second: String| {
        let file = registry(&[&account("ann@small.example", "ann", "smtp.small.example"), &second]);
        file.accounts.iter().map(|a| a.aliases.iter().map(Alias::to_string).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(of(account("Shop@small.example", "ANN", "smtp.small.example")), [["shop@small.example"]]);
    let none: [&str; 0] = [];
    assert_eq!(of(account("bob@small.example", "bob", "smtp.small.example")), [none, none], "another mailbox");
    assert_eq!(of(account("shop@small.example", "ann", "smtp.shop.example")), [none, none], "it sends elsewhere");
}

#[test]
fn f05_an_address_belongs_to_one_account() {
    let prefs = |more: &str| {
        let mut text = "user_pref(\"mail.accountmanager.accounts\", \"a1,a2\");\n".to_owned();
        for (number, ids) in [(1, "i1,i2,i3"), (2, "i2,i3")] {
            text += &format!(
                "user_pref(\"mail.account.a{number}.server\", \"s{number}\");\n\
                 user_pref(\"mail.account.a{number}.identities\", \"{ids}\");\n\
                 user_pref(\"mail.server.s{number}.type\", \"pop3\");\n\
                 user_pref(\"mail.server.s{number}.hostname\", \"pop.small.example\");\n\
                 user_pref(\"mail.server.s{number}.userName\", \"user{number}\");\n\
                 user_pref(\"mail.identity.i{number}.useremail\", \"i{number}@small.example\");\n"
            );
        }
        imported((text + "user_pref(\"mail.identity.i3.useremail\", \"i3@small.example\");\n" + more).as_bytes())
    };
    let aliases = |file: &Imported| {
        file.accounts
            .iter()
            .map(|a| a.aliases.iter().map(Alias::to_string).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    let file = prefs("");
    assert_eq!(aliases(&file), ["i3@small.example", ""], "{}", said(&file));
    assert!(said(&file).contains("i2@small.example: another account of the file has it"), "{}", said(&file));
    let all = "user_pref(\"mail.identity.i1.catchAll\", true);\n\
               user_pref(\"mail.identity.i1.catchAllHint\", \"*@Ann.example, *@\");\n";
    assert_eq!(aliases(&prefs(all)), ["i3@small.example *@ann.example", ""]);
}

/// What must hold for whatever is read.
fn hold(bytes: &[u8]) {
    for address in [None, Some("office@wren-joinery.example")] {
        let asked = Asked { address, has_own_certificate: address.is_none() };
        if let Ok(file) = read(bytes, Presets::built_in(), &asked) {
            hold_for(&file);
        }
    }
}

fn hold_for(file: &Imported) {
    assert!(file.accounts.len() <= MAX_ACCOUNTS);
    for sentence in file.sentences() {
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
    for account in &file.accounts {
        assert!(account.aliases.len() <= 64, "{}", account.aliases.len());
        for endpoint in account.proposal.endpoints() {
            assert!(endpoint.security != Security::None && endpoint.port != 0, "{endpoint:?}");
            assert_eq!(crate::config::value::host(&endpoint.host).as_ref(), Ok(&endpoint.host));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_octets_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        hold(&bytes);
    }

    #[test]
    fn a_sample_with_anything_changed_is_read_or_refused(
        which in 0..14usize, at in any::<prop::sample::Index>(), cut in 0..40usize,
        put in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let samples = [
            sample!("stunnel.conf"), sample!("emailproxy.config"), sample!("prefs.js"), sample!("outlook-express.reg"),
            sample!("outlook-2003-utf16.reg"), sample!("windows-mail.oeaccount"), sample!("account.iaf"),
            sample!("eudora.ini"), sample!("netscape4.js"), sample!("profile.mobileconfig"),
            sample!("signed-der.mobileconfig"), sample!("signed-pieces.mobileconfig"), sample!("config-v1.1.xml"),
            sample!("evolution.source"),
        ];
        let mut bytes = samples[which].to_vec();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        hold(&bytes);
    }
}
