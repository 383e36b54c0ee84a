//! Both directions: from each failure to what programs show and back, from each code and wording to its cause.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::client_messages::{ReplyStage, messages_for};
use super::*;
use ostler_mail::account::{Protocol, Security};
use ostler_mail::failure::{CaFile, CertificateProblem, SecretTrouble, ServerAddr, Waiting};

fn place(protocol: Protocol) -> ServerAddr {
    ServerAddr { host: "mail.example.net".into(), port: 995, protocol, security: Security::Tls }
}

/// One of each kind, at a server of this protocol.
fn failures(protocol: Protocol) -> Vec<Failure> {
    let at = || place(protocol);
    let said = || String::from("no such luck");
    let timed_out = |waiting| Failure::TimedOut { at: place(protocol), waiting, after: Duration::from_secs(30) };
    let certificate = |problem| Failure::Certificate { at: place(protocol), problem, ca: CaFile::Unset };
    let secret = |trouble| Failure::Secret { account: "home".into(), at: Some(place(protocol)), trouble };
    let date = || String::from("2020-01-01 00:00 UTC");
    vec![
        Failure::NameNotFound { at: at() },
        Failure::NoNameService { at: at() },
        Failure::NobodyListens { at: at() },
        Failure::NetworkGone { at: at(), reason: "network is unreachable".into() },
        timed_out(Waiting::Connect),
        timed_out(Waiting::Tls),
        timed_out(Waiting::Greeting),
        timed_out(Waiting::SignIn),
        Failure::Lost { at: at(), waiting: Waiting::Greeting },
        Failure::Lost { at: at(), waiting: Waiting::SignIn },
        Failure::NotTls { at: at() },
        certificate(CertificateProblem::Expired { until: date() }),
        certificate(CertificateProblem::NotYetValid { from: date() }),
        certificate(CertificateProblem::WrongName { names: vec![] }),
        certificate(CertificateProblem::WrongName { names: vec!["other.example".into()] }),
        certificate(CertificateProblem::UnknownIssuer { issuer: "CN=Hotel".into(), self_signed: false }),
        certificate(CertificateProblem::UnknownIssuer { issuer: "CN=me".into(), self_signed: true }),
        certificate(CertificateProblem::MissingLink { issuer: "CN=Between".into() }),
        certificate(CertificateProblem::NotPinned { shown: "00".repeat(32) }),
        certificate(CertificateProblem::Revoked),
        certificate(CertificateProblem::Other("odd".into())),
        Failure::TlsTooOld { at: at() },
        Failure::Tls { at: at(), reason: "decode error".into() },
        Failure::NoStartTls { at: at() },
        Failure::Injected { at: at() },
        Failure::WrongProtocol { at: at(), said: "* OK IMAP4rev1 ready".into() },
        Failure::WrongProtocol { at: at(), said: "HTTP/1.1 302 Found".into() },
        Failure::ProtocolViolation { at: at(), what: "it spoke unasked".into() },
        Failure::ServiceRefused { at: at(), said: "closed today".into() },
        Failure::SignInRefused { at: at(), user: "ann".into(), said: said() },
        Failure::SignInDisabled { at: at(), offered: String::new() },
        Failure::MechanismRefused { at: at(), tried: "PLAIN, LOGIN".into(), said: said() },
        Failure::InUse { at: at(), said: said() },
        Failure::LoginDelay { at: at(), said: said() },
        Failure::SignInPostponed { at: at(), said: said() },
        Failure::TooBig { at: at(), size: 30_000_000, limit: 20_000_000 },
        secret(SecretTrouble::Missing),
        secret(SecretTrouble::KeyringLocked),
        secret(SecretTrouble::NoKeyring),
        secret(SecretTrouble::Source("the command failed".into())),
        secret(SecretTrouble::ClientGaveNone),
        Failure::NotInThisVersion { at: at(), what: "auth = \"oauth2\"" },
        Failure::BadTrust { what: "the file x named by ca cannot be used: gone".into() },
        Failure::UnknownAccount { given: "joe".into(), known: vec!["home".into()] },
        Failure::UnknownSender { given: "joe@x.example".into(), known: vec!["home".into()] },
        Failure::UnknownSender { given: String::new(), known: vec!["home".into()] },
        Failure::NoServer { account: "home".into(), protocol },
        Failure::Stopping,
        Failure::Internal,
    ]
}

/// What providers say at the sign-in, and what it means.
const SAID: [(&str, &str); 17] = [
    (
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [X.PROD.OUTLOOK.COM]",
        "microsoft-web-sign-in",
    ),
    ("550 5.7.30 Basic authentication is not supported for Client Submission.", "microsoft-web-sign-in"),
    (
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        "microsoft-sending-off",
    ),
    ("535 5.7.3 Authentication unsuccessful [X.PROD.OUTLOOK.COM]", "microsoft-sending-off"),
    ("534-5.7.9 Application-specific password required. For more information, go to", "gmail-app-password"),
    ("534 5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp", "gmail-app-password"),
    (
        "[AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
        "gmail-app-password",
    ),
    (
        "534-5.7.14 <https://accounts.google.com/signin> Please log in via your web browser and then try again.",
        "gmail-web-login",
    ),
    ("[AUTH] Web login required: https://support.google.com/mail/answer/78754", "gmail-web-login"),
    ("[AUTH] Username and password not accepted.", "gmail-password"),
    ("535 5.7.8 https://support.google.com/mail/?p=BadCredentials x - gsmtp", "gmail-password"),
    ("[SYS/PERM] Your account is not enabled for POP access.", "gmail-pop-off"),
    ("535 5.7.0 (#AUTH005) Too many bad auth attempts.", "yahoo-app-password"),
    ("[AUTH] (#MBR1212) Incorrect username or password.", "yahoo-app-password"),
    ("[AUTH] Invalid credentials or IMAP is disabled", "pop-switched-off"),
    ("[AUTH] Invalid login or password", "password-refused"),
    ("535 5.7.8 Error: authentication failed", "password-refused"),
];

/// Dialogs and codes of old programs, and what they mean.
const PASTED: [(&str, &str); 56] = [
    ("0x800CCC0E", "door-closed"),
    ("800ccc0e", "door-closed"),
    ("0x800CC0E", "door-closed"),
    ("0x8OOCCC0E", "door-closed"),
    ("0\u{d7}800CCC0E", "door-closed"),
    ("0x800CCC0F", "program-wants-tls"),
    ("0x800CCC0B", "in-use"),
    ("0x800CCC0D", "name-in-program"),
    ("0x800CCC18", "spa"),
    ("0x800CCC19", "program-gave-up"),
    ("0x800CCC1A", "program-wants-tls"),
    ("0x800CCC69", "no-such-recipient"),
    ("0x800CCC6F", "send-refused"),
    ("0x800CCC78", "sender-refused"),
    ("0x800CCC79", "relay-refused"),
    ("0x800CCC7A", "no-sender"),
    ("0x800CCC7B", "no-sender"),
    ("0x800CCC7D", "program-wants-tls"),
    ("0x800CCC80", "spa"),
    ("0x800CCC90", "fetch-refused"),
    ("0x800CCC91", "unknown-account"),
    ("0x800CCC92", "fetch-refused"),
    ("0x800CCC93", "garbled-answer"),
    ("0x800CCCD2", "program-uses-imap"),
    ("0x80042108", "door-closed"),
    ("0x80042109", "door-closed"),
    ("0x8004210A", "program-gave-up"),
    ("0x8004210B", "program-gave-up"),
    ("0x80040600", "program-store"),
    ("Socket Error: 10061", "door-closed"),
    ("error 10060", "program-gave-up"),
    ("11001", "name-in-program"),
    ("WSAHOST_NOT_FOUND (11004)", "name-in-program"),
    (
        "The connection to the server has failed. Account: 'home', Server: '127.0.0.1', Protocol: POP3, Port: 110,\r\n Secure(SSL): No, Socket Error: 10061, Error Number: 0x800CCC0E",
        "door-closed",
    ),
    (
        "The connection to the server has failed. Account: 'mail', Server: 'mail.optonline.net', Protocol: POP3, Port: 110, Secure(SSL): No, Socket Error: 10061, Error Number: 0x800CCC0E",
        "past-ostler",
    ),
    (
        "The message could not be sent because one of the recipients was rejected by the server. The rejected e-mail address was 'bob@example.com'. Subject 'hello', Account: '127.0.0.1', Server: '127.0.0.1', Protocol: SMTP, Server Response: '554 5.7.1 <bob@example.com>: Relay access denied', Port: 25, Secure(SSL): No, Server Error: 554, Error Number: 0x800CCC79",
        "relay-refused",
    ),
    ("The server responded: 550 relay not permitted", "relay-refused"),
    ("Server Response: '550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown'", "no-such-recipient"),
    (
        "There has been an error transferring your mail. I said: PASS <shhhh! Don't tell anyone.> and then the POP server (ann@127.0.0.1) said: ERR [AUTH] Authentication failed.",
        "password-refused",
    ),
    ("550 5.7.1 Message rejected as spam", "looks-like-spam"),
    ("Server Response: '451 4.7.1 odd'", "come-back-later"),
    ("The server responded: 554 odd", "send-refused"),
    ("554 odd", "send-refused"),
    ("-ERR odd", "fetch-refused"),
    ("Error getting network address for 'mail.optonline.net'. Cause: host not found (11001)", "name-in-program"),
    ("A network error occurred: unable to connect to server (TCP Error: Connection refused)", "door-closed"),
    ("Unable to connect to SMTP server", "door-closed"),
    ("Sending of password did not succeed. Mail server mail.example.net responded: sorry", "fetch-refused"),
    ("Cannot send message using the server 127.0.0.1:ann", "mac-says-not-why"),
    ("A secure connection could not be established with the server", "program-wants-tls"),
    ("Authentication failed", "fetch-refused"),
    ("None of the authentication methods supported by this client are supported by your server.", "no-common-sign-in"),
    (
        "Your server has unexpectedly terminated the connection. Possible causes for this include server problems, network problems, or a long period of inactivity.",
        "program-wants-tls",
    ),
    ("You could not be logged on to the mail server using Secure Password Authentication.", "spa"),
    (
        "ERR [SYS/PERM] ostler does not let this program in: it belongs to another user (number 1001) than ostler",
        "stranger",
    ),
    (
        "554 5.7.1 <a@b>: Relay access denied; ostler logged in to the POP server mail.example.net as ann 3 s ago and tried 5 times in 21 s: still refused",
        "gate-stays-shut",
    ),
];

fn ids(text: &str) -> Vec<&'static str> {
    explain(text).iter().map(|one| one.cause.id.as_str()).collect()
}

#[test]
fn the_data_file_is_whole() {
    let file: File = toml::from_str(include_str!("../../../config/explanations.toml")).unwrap();
    let mut known = HashSet::new();
    for cause in &file.cause {
        assert!(known.insert(cause.id.clone()), "{} is there twice", cause.id);
        for text in [&cause.means, &cause.likely, &cause.next] {
            assert!(text.len() > 15 && !text.ends_with('.') && text.is_ascii(), "{}: {text}", cause.id);
        }
        for pattern in cause.ostler.iter().chain(&cause.provider).chain(&cause.client).chain(&cause.hosts) {
            assert_eq!(*pattern, pattern.to_ascii_lowercase(), "{}", cause.id);
        }
        for code in &cause.codes {
            assert!(normalize_code(code).is_some(), "{}: {code}", cause.id);
        }
    }
    for protocol in [Protocol::Pop3, Protocol::Smtp] {
        for failure in failures(protocol) {
            assert!(known.contains(cause_id(&failure)), "{failure:?}");
        }
    }
}

#[test]
fn what_each_program_shows_for_a_failure_explains_back_to_it() {
    for (protocol, moments) in
        [(Protocol::Pop3, &[ReplyStage::Fetch][..]), (Protocol::Smtp, &[ReplyStage::Sender, ReplyStage::Recipient])]
    {
        for failure in failures(protocol) {
            let wanted = cause_of(&failure).unwrap().id.as_str();
            for shown in moments.iter().flat_map(|moment| messages_for(&failure, *moment)) {
                let wanted = if shown.program == "Mac OS X Mail" { "mac-says-not-why" } else { wanted };
                assert_eq!(ids(&shown.text).first(), Some(&wanted), "{}: {}", shown.program, shown.text);
            }
            for reply in [
                ostler_mail::pop3::words::failure(&failure),
                ostler_mail::smtp::words::failure(&failure),
                failure.sentence(),
            ] {
                assert_eq!(ids(&reply).first(), Some(&wanted), "{reply}");
            }
        }
    }
}

#[test]
fn each_code_and_each_wording_explains_back_to_its_cause() {
    for cause in causes() {
        let patterns = cause.ostler.iter().chain(&cause.provider).chain(&cause.client).chain(&cause.codes);
        for pattern in patterns {
            let text = pattern.replace('*', "x y");
            assert!(ids(&text).contains(&cause.id.as_str()), "{}: {text} gives {:?}", cause.id, ids(&text));
        }
    }
}

#[test]
fn what_providers_say_is_known_as_a_failure_and_as_a_pasted_text() {
    for (said, wanted) in SAID {
        let failure = Failure::SignInRefused { at: place(Protocol::Smtp), user: "ann".into(), said: said.into() };
        assert_eq!(cause_of(&failure).unwrap().id, wanted, "{said}");
        for text in
            [said.to_owned(), ostler_mail::smtp::words::failure(&failure), ostler_mail::pop3::words::failure(&failure)]
        {
            assert_eq!(ids(&text).first(), Some(&wanted), "{text}");
        }
    }
}

#[test]
fn some_servers_are_known_by_their_names() {
    for (host, wanted) in [
        ("outlook.office365.com", "microsoft-web-sign-in"),
        ("POP.GMX.NET", "pop-switched-off"),
        ("pop.mail.yahoo.com", "yahoo-app-password"),
        ("mail.example.net", "password-refused"),
    ] {
        let at = ServerAddr { host: host.into(), ..place(Protocol::Pop3) };
        let failure =
            Failure::SignInRefused { at: at.clone(), user: "ann".into(), said: "authentication failed".into() };
        assert_eq!(cause_of(&failure).unwrap().id, wanted);
        assert_eq!(ids(&ostler_mail::pop3::words::failure(&failure).to_ascii_lowercase()).first(), Some(&wanted));
        // The name says nothing about other failures there.
        assert_eq!(cause_of(&Failure::NobodyListens { at }).unwrap().id, "nobody-listens");
    }
}

#[test]
fn what_old_programs_show_is_explained() {
    for (text, wanted) in PASTED {
        let found = explain(text);
        assert_eq!(found.first().map(|one| one.cause.id.as_str()), Some(wanted), "{text}: {:?}", ids(text));
        assert!(found.len() <= MAX_EXPLANATIONS);
        assert!(found.iter().all(|one| !one.found.is_empty()));
    }
}

#[test]
fn what_is_not_known_is_not_guessed() {
    for text in [
        "",
        " ",
        "hello",
        "0x12345678",
        "99999",
        "the weather is fine",
        "800CCCXX",
        "verbose",
        "1995",
        "I have 550 letters",
    ] {
        assert_eq!(ids(text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn the_longest_text_takes_no_time() {
    for word in
        ["account ", "server: '", "550 relay ", "tls with ", "i said x and then the y server ", "0x800CCC0E,", "\u{e4}"]
    {
        let text = word.repeat(100_000);
        let began = Instant::now();
        explain(&text);
        assert!(began.elapsed() < Duration::from_secs(2), "{word}: {:?}", began.elapsed());
    }
}

proptest! {
    #[test]
    fn any_text_is_explained_or_not_and_nothing_breaks(text in any::<String>(), which in 0..PASTED.len(), cut in 0usize..400) {
        for one in explain(&text) {
            prop_assert!(!one.found.is_empty());
        }
        // A known text with a strange one inside it.
        let known = PASTED[which].0;
        let at = known.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(known.len());
        let (start, end) = known.split_at(at);
        let pasted = [start, &text, end].concat();
        prop_assert!(explain(&pasted).len() <= MAX_EXPLANATIONS);
    }
}
