//! F06: what an import says of a helper on this computer that stays in use.

use crate::adding::file;
use crate::importing::{Fields, import, prefs_js, registry};

#[test]
fn f06_a_helper_with_tls_is_kept_and_told() {
    let import = import(file("f05-prefs.js"), &["finch@proton.example"]);
    assert_eq!(
        import.all_servers(),
        [
            "finch@proton.example smtp 127.0.0.1:1025 finch@proton.example",
            "finch@proton.example imap 127.0.0.1:1143 finch@proton.example"
        ]
    );
    for told in ["127.0.0.1 is this computer", "Proton Mail Bridge", "a certificate of its own", "--ca FILE", "--pin"] {
        assert!(import.screen.contains(told), "{told}: {}", import.screen);
    }
}

#[test]
fn f06_other_programs_files_and_protocols_say_the_same() {
    let davmail: &Fields<'_> = &[
        ("POP3 Server", "localhost"),
        ("POP3 User Name", "finch"),
        ("POP3 Port", "1110"),
        ("POP3 Secure Connection", "1"),
        ("SMTP Server", "localhost"),
        ("SMTP Port", "1025"),
        ("SMTP Secure Connection", "1"),
        ("SMTP Use Sicily", "2"),
        ("SMTP Email Address", "finch@heron.example"),
    ];
    let eudora = "[Settings]\r\nPOPAccount=finch@127.0.0.1\r\nPOPPort=1110\r\nSSLReceiveUse=3\r\nReturnAddress=finch@heron.example\r\n\
                  SMTPServer=127.0.0.1\r\nSMTPPort=1025\r\nSSLSendUse=3\r\nSmtpAuthAllowed=1\r\n";
    let prefs = prefs_js(&[
        ("mail.accountmanager.accounts", "a"),
        ("mail.account.a.server", "s"),
        ("mail.account.a.identities", "i"),
        ("mail.server.s.type", "pop3"),
        ("mail.server.s.hostname", "::1"),
        ("mail.server.s.port", "1110"),
        ("mail.server.s.socketType", "2"),
        ("mail.server.s.userName", "finch"),
        ("mail.identity.i.useremail", "finch@heron.example"),
        ("mail.smtpservers", "m"),
        ("mail.smtpserver.m.hostname", "::1"),
        ("mail.smtpserver.m.port", "1025"),
        ("mail.smtpserver.m.try_ssl", "3"),
        ("mail.smtpserver.m.username", "finch"),
    ]);
    for (host, text) in [("localhost", registry(&[davmail])), ("127.0.0.1", eudora.to_owned()), ("::1", prefs)] {
        let import = import(text, &[]);
        assert_eq!(
            import.all_servers(),
            [
                format!("finch@heron.example pop3 {host}:1110 finch"),
                format!("finch@heron.example smtp {host}:1025 finch")
            ]
        );
        assert!(import.screen.contains(&format!("{host} is this computer")), "{}", import.screen);
        assert!(import.screen.contains("--ca FILE or --pin"), "{}", import.screen);
    }
}

#[test]
fn f06_a_helper_without_tls_is_told_with_the_way_to_keep_it() {
    let davmail: &Fields<'_> = &[
        ("POP3 Server", "127.0.0.1"),
        ("POP3 User Name", "finch"),
        ("POP3 Port", "1110"),
        ("SMTP Server", "127.0.0.1"),
        ("SMTP Port", "1025"),
        ("SMTP Email Address", "finch@heron.example"),
    ];
    let more = ["--pop3", "none://127.0.0.1:1110", "--smtp", "none://127.0.0.1:1025"];
    let import = import(registry(&[davmail]), &more);
    for flag in ["--pop3 none://127.0.0.1:1110", "--smtp none://127.0.0.1:1025"] {
        assert!(import.screen.contains(flag), "{flag}: {}", import.screen);
    }
    let servers = import.all_servers();
    assert!(servers[0].starts_with("finch@heron.example pop3 127.0.0.1:1110 "), "{servers:?}");
    assert!(servers[1].starts_with("finch@heron.example smtp 127.0.0.1:1025 "), "{servers:?}");
}
