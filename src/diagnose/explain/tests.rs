//! Both directions: from each failure to what programs show and back, from each code and wording to its cause.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::client_messages::{ReplyStage, messages_for};
use super::*;
use ostler_mail::account::{Protocol, Security};
use ostler_mail::failure::known_words::KNOWN_WORDS;
use ostler_mail::failure::{
    CaFile, CertificateProblem, NotDeleted, PasswordFrom, SecretTrouble, ServerAddr, Undecided, Waiting,
};
use ostler_mail::machine::{Login, Step};
use ostler_mail::secret::Secret;
use ostler_mail::wire::Line;
use ostler_mail::{pop3, smtp};

fn place(protocol: Protocol) -> ServerAddr {
    ServerAddr {
        host: "mail.example.net".into(),
        port: 995,
        protocol,
        security: Security::Tls,
        password_from: PasswordFrom::Keyring,
    }
}

/// One of each kind, at a server of this protocol.
fn failures(protocol: Protocol) -> Vec<Failure> {
    let at = || place(protocol);
    let said = || String::from("no such luck");
    let timed_out = |waiting| Failure::TimedOut { at: place(protocol), waiting, after: Duration::from_secs(30) };
    let certificate = |problem| Failure::Certificate { at: place(protocol), problem, ca: CaFile::Unset };
    let secret = |trouble| Failure::Secret { account: "home".into(), at: Some(place(protocol)), trouble };
    let ids = |problem| Failure::MessageIds { at: place(protocol), problem, others: 1 };
    let not_deleted = |why| Failure::NotDeleted { at: place(protocol), folder: "INBOX".into(), why };
    let date = || String::from("2020-01-01 00:00 UTC");
    vec![
        Failure::NameNotFound { at: at() },
        Failure::NoNameService { at: at() },
        Failure::NotConnected { at: at() },
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
        certificate(CertificateProblem::NotPinned { shown: [0; 32] }),
        certificate(CertificateProblem::Revoked),
        certificate(CertificateProblem::OldKind),
        certificate(CertificateProblem::ShortKey { bits: 1024, least: 2048 }),
        certificate(CertificateProblem::MarkedAsAuthority),
        certificate(CertificateProblem::IssuerExpired { issuer: "CN=Between".into(), until: date() }),
        certificate(CertificateProblem::Other("odd".into())),
        Failure::TlsTooOld { at: at() },
        Failure::Tls { at: at(), reason: "decode error".into() },
        Failure::NoStartTls { at: at() },
        Failure::Injected { at: at() },
        Failure::WrongProtocol { at: at(), said: "* OK IMAP4rev1 ready".into() },
        Failure::WrongProtocol { at: at(), said: "HTTP/1.1 302 Found".into() },
        Failure::ProtocolViolation { at: at(), what: "it spoke unasked".into() },
        Failure::ServiceRefused { at: at(), said: "closed today".into() },
        Failure::SignInRefused { at: at(), user: "ann".into(), said: said(), beyond_ascii: false },
        Failure::SignInRefused { at: at(), user: "ann".into(), said: said(), beyond_ascii: true },
        Failure::TokenRefused { at: at(), user: "ann".into(), said: said() },
        Failure::NeedsSignIn { account: "home".into(), at: at(), why: "Microsoft has ended the sign-in".into() },
        Failure::NoToken { account: "home".into(), at: at(), why: "login.example answered 503".into() },
        Failure::SignInDisabled { at: at(), offered: String::new() },
        Failure::MechanismRefused { at: at(), tried: "PLAIN, LOGIN".into(), said: said() },
        Failure::InUse { at: at(), said: said() },
        Failure::LoginDelay { at: at(), said: said() },
        Failure::SignInPostponed { at: at(), said: said() },
        Failure::NoConnectionLeft { at: at(), most: 8 },
        Failure::TooBig { at: at(), size: 30_000_000, limit: 20_000_000 },
        ids(IdProblem::Missing { message: 2 }),
        ids(IdProblem::Same { first: 1, second: 2 }),
        ids(IdProblem::TooLong { message: 2, octets: 71 }),
        ids(IdProblem::BadOctet { message: 2 }),
        ids(IdProblem::ListedTwice { message: 2 }),
        ids(IdProblem::Unlisted { message: 2, listed: 1, counted: 2 }),
        ids(IdProblem::TooMany { counted: 2 }),
        ids(IdProblem::NoNumber { line: "a b".into() }),
        ids(IdProblem::Refused { said: said() }),
        Failure::NoFolder { at: at(), folder: "Entwurfe".into(), said: said() },
        not_deleted(NotDeleted::OthersMarked),
        not_deleted(NotDeleted::ReadOnly),
        not_deleted(NotDeleted::FolderReplaced),
        not_deleted(NotDeleted::Refused(said())),
        Failure::Lost { at: at(), waiting: Waiting::Answer }.leaving_open(Some(Undecided::Store)),
        timed_out(Waiting::Answer).leaving_open(Some(Undecided::Copy)),
        at().violation("it spoke unasked").leaving_open(Some(Undecided::Change)),
        secret(SecretTrouble::Missing("the keyring".into())),
        secret(SecretTrouble::Missing("the folder /var/lib/ostler/secrets".into())),
        secret(SecretTrouble::KeyringLocked),
        secret(SecretTrouble::NoKeyring),
        secret(SecretTrouble::NoFolder(
            "the folder for secrets, /var/lib/ostler/secrets, cannot be used: it is a file".into(),
        )),
        secret(SecretTrouble::Source("the command failed".into())),
        secret(SecretTrouble::ClientGaveNone),
        Failure::NotInThisVersion { at: at(), what: "auth = \"oauth2\"" },
        Failure::BadTrust { what: "the file x named by ca cannot be used: gone".into() },
        Failure::UnknownAccount { given: "joe".into(), known: vec!["home".into()] },
        Failure::UnknownSender { given: "joe@x.example".into(), known: vec!["home".into()] },
        Failure::UnknownSender { given: String::new(), known: vec!["home".into()] },
        Failure::NoServer { account: "home".into(), protocol },
        Failure::Paused,
        Failure::Stopping,
        Failure::Internal,
    ]
}

/// What providers say at the sign-in, and what it means.
const SAID: [(&str, &str); 18] = [
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
    (
        "[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for \
         IMAP access. (Failure)",
        "gmail-imap-off",
    ),
    ("535 5.7.0 (#AUTH005) Too many bad auth attempts.", "yahoo-app-password"),
    ("[AUTH] (#MBR1212) Incorrect username or password.", "yahoo-app-password"),
    ("[AUTH] Invalid credentials or IMAP is disabled", "pop-switched-off"),
    ("[AUTH] Invalid login or password", "password-refused"),
    ("535 5.7.8 Error: authentication failed", "password-refused"),
];

/// Dialogs and codes of old programs, and what they mean.
const PASTED: [(&str, &str); 72] = [
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
    ("0x800CCCD1", "imap-sign-in"),
    ("0x800CCCD2", "program-uses-imap"),
    ("0x800CCCD3", "program-uses-imap"),
    ("0x800CCCD4", "imap-garbled"),
    ("0x800CCCD5", "imap-garbled"),
    ("0x800CCCD6", "imap-garbled"),
    ("0x800CCCD7", "imap-garbled"),
    ("0x800CCCD8", "imap-garbled"),
    ("0x800CCCD9", "imap-door-closed"),
    ("0x800CCCDA", "imap-garbled"),
    ("0x800CCCDB", "imap-folder-changed"),
    ("0x800CCCDC", "imap-garbled"),
    ("0x800CCCDD", "imap-hung-up"),
    ("0x800CCCDE", "imap-folder-changed"),
    ("0x800CCCDF", "imap-spa"),
    ("0x800CCCE0", "imap-spa"),
    ("The IMAP command has failed. Reason: no such folder", "program-uses-imap"),
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
    ("Server Response: '451 4.7.1 odd'", "unknown-for-now"),
    ("The server responded: 554 odd", "unknown-refusal"),
    ("554 odd", "unknown-refusal"),
    ("-ERR odd", "unknown-refusal"),
    ("Error getting network address for 'mail.optonline.net'. Cause: host not found (11001)", "name-in-program"),
    ("A network error occurred: unable to connect to server (TCP Error: Connection refused)", "door-closed"),
    ("Unable to connect to SMTP server", "door-closed"),
    ("Sending of password did not succeed. Mail server mail.example.net responded: sorry", "unknown-refusal"),
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
        let next = known_words::of_cause(&cause.id).and_then(|known| known.advice).unwrap_or_default();
        assert!(next.is_empty() != cause.next.is_empty(), "{} has two next steps, or none", cause.id);
        for text in [&cause.means, &cause.likely, &[next, &cause.next].concat()] {
            assert!(text.len() > 15 && !text.ends_with('.') && text.is_ascii(), "{}: {text}", cause.id);
        }
        for pattern in cause.ostler.iter().chain(&cause.client) {
            assert_eq!(*pattern, pattern.to_ascii_lowercase(), "{}", cause.id);
        }
        for code in &cause.codes {
            assert!(normalize_code(code).is_some(), "{}: {code}", cause.id);
        }
    }
    // The first that fits is told, so both tables have one order.
    let order: Vec<&str> = file.cause.iter().map(|cause| cause.id.as_str()).collect();
    let places: Vec<_> = KNOWN_WORDS.iter().map(|one| order.iter().position(|id| *id == one.cause)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    for protocol in Protocol::ALL {
        for failure in failures(protocol) {
            assert!(known.contains(cause_id(&failure)), "{failure:?}");
        }
    }
}

#[test]
fn what_each_program_shows_for_a_failure_explains_back_to_it() {
    for (protocol, moments) in [
        (Protocol::Pop3, &[ReplyStage::Fetch][..]),
        (Protocol::Smtp, &[ReplyStage::Sender, ReplyStage::Recipient]),
        (Protocol::Imap, &[ReplyStage::Read]),
    ] {
        for failure in failures(protocol) {
            let wanted = cause_of(&failure).unwrap().id.as_str();
            for shown in moments.iter().flat_map(|moment| messages_for(&failure, *moment)) {
                let wanted = if shown.program == "Mac OS X Mail" { "mac-says-not-why" } else { wanted };
                assert_eq!(ids(&shown.text).first(), Some(&wanted), "{}: {}", shown.program, shown.text);
            }
            for reply in [
                ostler_mail::pop3::words::failure(&failure),
                ostler_mail::smtp::words::failure(&failure),
                ostler_mail::imap::words::answer(&failure),
                ostler_mail::imap::words::alert(&failure),
                failure.sentence(),
            ] {
                assert_eq!(ids(&reply).first(), Some(&wanted), "{reply}");
            }
        }
    }
}

#[test]
fn each_failure_has_its_words_for_imap_and_only_a_refusal_costs_a_password() {
    for failure in failures(Protocol::Imap) {
        let is_refused = matches!(
            failure,
            Failure::SignInRefused { .. }
                | Failure::TokenRefused { .. }
                | Failure::NeedsSignIn { .. }
                | Failure::UnknownAccount { .. }
                | Failure::NoServer { .. }
        );
        let answer = ostler_mail::imap::words::answer(&failure);
        assert_eq!(answer.starts_with("NO [AUTHENTICATIONFAILED] ostler: "), is_refused, "{answer}");
        assert_eq!(answer.starts_with("NO [UNAVAILABLE] ostler: "), !is_refused, "{answer}");
        for line in [
            ostler_mail::imap::words::alert(&failure),
            ostler_mail::imap::words::unavailable(Some(("1", &failure)), &failure),
        ] {
            let is_sound = |line: &str| line.len() <= 510 && line.bytes().all(|b| matches!(b, b' '..=b'~'));
            assert!(line.ends_with("\r\n") && line.split_terminator("\r\n").all(is_sound), "{line}");
            assert!(line.contains(failure.sentence().get(..30).unwrap_or(&failure.sentence())), "{line}");
        }
    }
}

#[test]
fn each_code_and_each_wording_explains_back_to_its_cause() {
    for cause in causes() {
        let patterns = cause.ostler.iter().chain(&cause.client).chain(&cause.codes).map(String::as_str);
        for text in patterns.flat_map(spell_out) {
            assert!(ids(&text).contains(&cause.id.as_str()), "{}: {text} gives {:?}", cause.id, ids(&text));
        }
    }
}

/// Every text that a pattern describes, with something for its stars, numbers and ends of words.
fn spell_out(pattern: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut rest = pattern;
    while let Some((fixed, inside)) = rest.split_once('{') {
        let (ways, behind) = inside.split_once('}').unwrap();
        texts = texts.iter().flat_map(|text| ways.split('|').map(move |way| [text, fixed, way].concat())).collect();
        rest = behind;
    }
    let filled = |text: String| (text + rest).replace('*', "x y").replace('~', "s").replace('#', "17");
    texts.into_iter().map(filled).collect()
}

#[test]
fn each_pattern_of_a_server_matches_all_that_it_describes() {
    for known in KNOWN_WORDS {
        for pattern in known.patterns() {
            for text in spell_out(pattern) {
                let stages = [Stage::SignIn, Stage::Fetch, Stage::OwnMailbox, Stage::Send, Stage::Tls];
                assert!(known.find(&Text::new(&text), &stages).is_some(), "{}: {pattern}: {text}", known.cause);
            }
        }
    }
}

#[test]
fn what_providers_say_is_known_as_a_failure_and_as_a_pasted_text() {
    for (said, wanted) in SAID {
        let failure = Failure::SignInRefused {
            at: place(Protocol::Smtp),
            user: "ann".into(),
            said: said.into(),
            beyond_ascii: false,
        };
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
        let failure = Failure::SignInRefused {
            at: at.clone(),
            user: "ann".into(),
            said: "authentication failed".into(),
            beyond_ascii: false,
        };
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
        assert!(began.elapsed() < Duration::from_secs(20), "{word}: {:?}", began.elapsed());
    }
}

/// The wordings of `tests/field/wordings.tsv`: where each is said, its cause, and the text.
fn wordings() -> Vec<(&'static str, &'static str, String)> {
    let lines = include_str!("../../../tests/field/wordings.tsv").lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    fields.map(|fields| (fields[0], fields[1], fields[3].replace("\\n", "\r\n"))).collect()
}

/// What old programs show around a server's answer, and what a returned mail has of it.
fn shown_by_programs(at: &str, said: &str) -> Vec<String> {
    let one_line = said.replace("\r\n", " ");
    let lead = if at == "sign-in-pop3" { "Sending of password did not succeed. " } else { "" };
    let (protocol, errors) = if matches!(at, "sign-in-pop3" | "fetch") {
        ("POP3, Port: 110", "Server Error: 0x800CCC90, Error Number: 0x800CCC92")
    } else {
        ("SMTP, Port: 25", "Server Error: 554, Error Number: 0x800CCC6F")
    };
    let mut shown = vec![
        format!(
            "Your server has rejected your login. Account: 'home', Server: '127.0.0.1', Protocol: {protocol}, Server Response: '{one_line}', Secure(SSL): No, {errors}"
        ),
        format!("{lead}Mail server 127.0.0.1 responded: {}", one_line.trim_start_matches("-ERR ")),
    ];
    if at == "send" {
        shown.push(format!("Can't send to 'bob@example.net'. The server gives this reason: {one_line}"));
        shown.push(format!("Cannot send message using the server 127.0.0.1:ann. The server response was: {one_line}"));
        shown.push(format!(
            "This is the mail system at host mx.example.net.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients. It's attached below.\n\nFor further assistance, please send mail to postmaster.\n\n<bob@example.net>: host mx2.example.net[192.0.2.7] said: {said} (in reply to RCPT TO command)"
        ));
        shown.push(format!("Final-Recipient: rfc822; bob@example.net\nAction: failed\nDiagnostic-Code: smtp; {said}"));
    } else {
        let said = one_line.trim_start_matches('-');
        let server = if protocol.starts_with("POP3") { "POP" } else { "SMTP" };
        shown.push(format!("There has been an error transferring your mail. I said: PASS <shhhh! Don't tell anyone.> and then the {server} server (ann@127.0.0.1) said: {said}"));
    }
    shown
}

#[test]
fn f13_every_wording_of_the_table_has_its_cause_bare_and_in_dialogs_and_returned_mails() {
    let wordings = wordings();
    assert!(wordings.len() >= 150);
    let mut wrong = Vec::new();
    for (at, wanted, said) in &wordings {
        let mut texts = vec![said.clone()];
        if matches!(*at, "sign-in-pop3" | "sign-in-smtp" | "greeting" | "fetch" | "send") {
            texts.extend(shown_by_programs(at, said));
        }
        for text in texts {
            let found = ids(&text);
            let others: Vec<_> = found.iter().skip(1).filter(|id| **id != "past-ostler").collect();
            let is_server = *at != "program";
            if found.first() != Some(wanted) || is_server && !others.is_empty() {
                wrong.push(format!("{wanted} is {found:?} in {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn f13_no_cause_sends_the_user_back_to_explain() {
    for cause in causes() {
        assert!(!cause.next.contains("--explain") && !cause.likely.contains("--explain"), "{}", cause.id);
    }
}

/// What a sign-in with these answers of the server ends in.
fn failure_of<L: Login>(mut login: L, lines: &[&str]) -> Failure {
    for line in lines {
        match login.on_line(&Line::new(line.as_bytes())) {
            Ok(Step::WantSecret) => drop(login.on_secret(std::sync::Arc::new(Secret::new("x7-Q".to_owned()).unwrap()))),
            Ok(_) => {}
            Err(failure) => return failure,
        }
    }
    panic!("signed in with {lines:?}");
}

/// The table decides what a mail program is told and what the doctor says, so they never disagree.
#[test]
fn f13_the_reply_to_the_mail_program_and_the_doctor_speak_of_the_same_cause() {
    let mut wrong = Vec::new();
    for (at, wanted, said) in wordings() {
        let pop3 = || pop3::login::Pop3Login::new(&ostler_mail::account::testing::server(Protocol::Pop3, "ann"), None);
        let smtp = || {
            smtp::login::SmtpLogin::new(
                &ostler_mail::account::testing::server(Protocol::Smtp, "ann"),
                "[127.0.0.1]".into(),
            )
        };
        let lines: Vec<&str> = said.lines().collect();
        let failure = match at {
            "sign-in-pop3" => failure_of(pop3(), &[&["+OK", "-ERR", "+OK"], &lines[..]].concat()),
            "sign-in-smtp" => failure_of(smtp(), &[&["220 mx", "250-mx", "250 AUTH PLAIN"], &lines[..]].concat()),
            "greeting" => failure_of(smtp(), &lines),
            _ => continue,
        };
        let doctor = cause_of(&failure).unwrap();
        // Where the words say more than the kind of failure, the advice is that of the words; else that of the kind.
        let advice = doctor.known.and_then(|known| known.advice).map(|advice| advice.replace(" NAME", ""));
        let is_same = advice.is_none_or(|advice| failure.advice() == advice);
        for reply in [ostler_mail::pop3::words::failure(&failure), ostler_mail::smtp::words::failure(&failure)] {
            let explained = ids(&reply);
            // Eudora throws its password away when it reads the word, so only a refusal of it has the word in its advice.
            let is_dressed = reply.contains("[AUTH]") || reply.starts_with("550 5.7.8");
            assert!(is_dressed || !failure.advice().contains("password"), "{reply}");
            if doctor.id != wanted || explained.first() != Some(&wanted) || !is_same || reply.len() > 510 {
                wrong.push(format!("{wanted} is {} to the doctor and {explained:?} in {reply}", doctor.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Ordinary texts, which are no errors, and errors of other things.
const ORDINARY: [&str; 57] = [
    "The ports are listed at the end of this page.",
    "Please find the invoice attached; it is due in 30 days.",
    "Your mailbox has 12 new messages.",
    "You have mail.",
    "The meeting was moved: the room is too small for so many people.",
    "I sent too much sugar, sorry.",
    "Line 4 of the poem is longer than I thought.",
    "The sender of the parcel is not known to me.",
    "I logged in this morning and everything was fine.",
    "Version 5.1.1 of the program came out in 550 copies.",
    "The password is written on the yellow paper.",
    "Too many cooks spoil the broth.",
    "She asked me to come back later.",
    "The list of names is full, there is no room left.",
    "Do you want to save the changes you made?",
    "Checking for new messages on 127.0.0.1",
    "Receiving message 3 of 17",
    "Printer error: paper jam in tray 2",
    "HTTP 404 Not Found",
    "The file could not be opened because it is in use.",
    "250 2.1.5 Ok",
    "+OK 2 messages",
    "235 2.7.0 Authentication successful",
    "call me at 555-1234 or 535-9876",
    "Bus 535 is late",
    "Not enough memory to complete this operation.",
    "Out of memory",
    "The file is too large for the destination file system.",
    "The virus was found in bats",
    "Something went wrong. Please try again later.",
    "error -43",
    "call 0800-3170 today",
    "The train leaves every 15 minutes and is allowed only one stop.",
    "You are already logged in.",
    "fatal error: too many errors emitted, stopping now",
    "Permission denied",
    "Your subscription has expired.",
    "The song loops back to the start.",
    "This group is for members only.",
    "Invalid argument",
    "Syntax error near line 3",
    "The certificate of attendance is enclosed.",
    "The bicycle chain is not trusted to hold.",
    "The letter was returned to sender.",
    "Use your own address on the form.",
    "Too many open files",
    "There are too many invalid votes.",
    "Too many unknown users of the library",
    "Your order has been refused.",
    "The user manual is missing",
    "The recipient of the prize is unknown",
    "The speed limit is exceeded often here",
    "Your browser is not supported.",
    "Your card has been blocked.",
    "HELO world",
    "the chain letter goes round in a loop",
    "The clock is wrong",
];

#[test]
fn f13_ordinary_texts_are_not_taken_for_errors() {
    let wrong: Vec<_> = ORDINARY.iter().map(|text| (text, ids(text))).filter(|(_, found)| !found.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Texts of the same kinds, in words that the table has not been made from.
const SIMILAR: [(&str, &str); 77] = [
    ("454 Too many sign-in attempts from your address", "too-many-sign-ins"),
    ("-ERR login rate limit exceeded, slow down", "too-many-sign-ins"),
    ("-ERR maximum login attempts exceeded", "too-many-sign-ins"),
    ("421 4.7.0 You have exceeded the authentication limit", "too-many-sign-ins"),
    ("-ERR too many sessions open for this user", "too-many-connections"),
    ("421 4.7.0 Connection rate limit exceeded", "too-many-connections"),
    ("421 too many simultaneous SMTP connections", "too-many-connections"),
    ("550 5.7.1 You are not allowed to send mail as ann@plover.example", "sender-not-yours"),
    ("550 sender address <ann@plover.example> does not match the account", "sender-not-yours"),
    ("553 5.7.1 Sender is not authorized to use this address", "sender-not-yours"),
    ("550 maximum number of recipients exceeded", "too-many-recipients"),
    ("451 4.5.3 recipient limit reached", "too-many-recipients"),
    ("554 too many addresses in one mail", "too-many-recipients"),
    ("550 header line too long", "line-too-long"),
    ("554 5.6.0 line length exceeded (1200 > 1000)", "line-too-long"),
    ("550 5.7.0 hourly quota exceeded for ann@example.org", "sending-limit"),
    ("452 4.2.1 you may send 200 messages per hour", "sending-limit"),
    ("550 5.4.5 Daily SMTP relay limit exceeded for user", "sending-limit"),
    ("554 5.7.1 sending quota reached", "sending-limit"),
    ("550 blank sender not permitted here", "empty-sender"),
    ("501 MAIL FROM:<> is not accepted from customers", "empty-sender"),
    ("-ERR message 4 was deleted by another session", "message-gone"),
    ("-ERR message 12 not found", "message-gone"),
    ("-ERR no message 7", "message-gone"),
    ("503 5.5.1 authentication not offered", "no-sign-in-here"),
    ("502 5.5.1 AUTH not supported on this port", "no-sign-in-here"),
    ("504 5.5.4 LOGIN mechanism not supported", "mechanism-refused"),
    ("535 5.7.3 unsupported authentication method", "mechanism-refused"),
    ("534 5.7.9 requested authentication mechanism is disabled", "mechanism-refused"),
    ("550 5.6.7 Recipient address requires SMTPUTF8", "address-letters"),
    ("553 non-ASCII recipient address not supported", "address-letters"),
    ("SSL handshake failed: no common cipher suite, handshake failure", "no-common-encryption"),
    ("tls: unsupported protocol version", "no-common-encryption"),
    ("x509: unknown issuer", "certificate-issuer"),
    ("curl: (60) SSL certificate problem: unable to get local issuer certificate", "certificate-issuer"),
    ("552 5.2.2 Mailbox size limit exceeded", "recipient-full"),
    ("422 recipient has exceeded mailbox quota", "recipient-full"),
    ("-ERR mailbox full", "own-mailbox-full"),
    ("-ERR UIDL command is not implemented", "no-message-ids"),
    ("554 5.7.1 .zip attachments are not accepted here", "attachment-refused"),
    ("550 message looks like spam", "looks-like-spam"),
    ("451 4.3.2 system is down for maintenance", "provider-trouble"),
    ("-ERR [SYS/TEMP] mailbox server is not available", "provider-trouble"),
    ("550 5.1.1 unknown recipient", "no-such-recipient"),
    ("451 4.7.1 You are unknown to us, come back in ten minutes (greylisting)", "come-back-later"),
    ("450 4.7.0 this is a temporary policy delay (greylisted)", "come-back-later"),
    ("-ERR [SYS/PERM] no permission to open the mailbox", "mailbox-broken"),
    ("-ERR [SYS/TEMP] Rate limit exceeded, slow down", "too-many-sign-ins"),
    ("501 <ann>: sender address must contain a domain", "sender-domain"),
    ("553 5.1.3 address contains invalid characters", "address-letters"),
    ("501 5.1.7 non-ASCII sender address", "address-letters"),
    ("550 5.1.6 Recipient address has unicode letters", "address-letters"),
    ("-ERR you may only check your mail every 10 minutes", "login-delay"),
    ("-ERR POP3 access is only allowed every 5 minutes", "login-delay"),
    ("-ERR your mailbox is already being read by another process", "in-use"),
    ("-ERR account is in use", "in-use"),
    ("454 4.7.0 Unable to authenticate at this time", "postponed"),
    ("-ERR message number 4 is not valid", "message-gone"),
    ("-ERR unknown message", "message-gone"),
    ("-ERR out of range", "message-gone"),
    ("-ERR I do not know UIDL", "no-message-ids"),
    ("-ERR command not supported: TOP", "no-beginnings"),
    ("421 4.5.1 Too many invalid commands", "too-many-errors"),
    ("421 Too many bad recipients", "too-many-errors"),
    ("550 5.4.6 Routing loop detected", "mail-loop"),
    ("550 5.7.1 sorry, this message has looped", "mail-loop"),
    ("550 5.7.1 You must use your own address as sender", "sender-not-yours"),
    ("553 5.7.1 Mail from ann@plover.example not allowed for this login", "sender-not-yours"),
    ("-ERR user does not exist", "password-refused"),
    ("-ERR pop3 login rate exceeded", "too-many-sign-ins"),
    ("-ERR Your mailbox is blocked. Contact support", "account-blocked"),
    ("550 5.7.1 message is larger than allowed size", "too-big"),
    ("550 sender is in the recipient's block list", "recipient-restricted"),
    ("554 Sending limit for your account is reached", "sending-limit"),
    ("421 4.7.1 Connections from dial-up not accepted", "blocked-address"),
    ("450 4.7.1 too many recipients from mx2 in the last hour", "sending-limit"),
    ("535 5.7.1 the password has expired", "password-expired"),
];

#[test]
fn f13_other_texts_of_the_same_kinds_are_known_too() {
    let first = |text: &str| ids(text).first().copied();
    let wrong: Vec<_> = SIMILAR
        .iter()
        .map(|(text, wanted)| (text, wanted, first(text)))
        .filter(|(_, w, found)| *found != Some(**w))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
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

#[test]
fn what_a_company_says_at_an_oauth2_sign_in_is_known() {
    for (said, id) in [
        (
            "AADSTS700016: Application with identifier '0000' was not found in the directory 'Contoso'.",
            "oauth2-not-registered",
        ),
        ("Error 401: invalid_client The OAuth client was not found.", "oauth2-not-registered"),
        ("AADSTS50011: The redirect URI 'http://127.0.0.1:4711/' does not match", "oauth2-redirect"),
        ("Error 400: redirect_uri_mismatch", "oauth2-redirect"),
        (
            "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            "oauth2-not-public",
        ),
        (
            "AADSTS50020: User account 'bob@hotmail.com' from identity provider 'live.com' does not exist in tenant",
            "oauth2-wrong-kind-of-account",
        ),
        ("AADSTS65001: The user or administrator has not consented to use the application", "oauth2-administrator"),
        ("Access blocked: ostler has not completed the Google verification process", "oauth2-unverified"),
        ("invalid_grant: AADSTS700082: The refresh token has expired due to inactivity.", "oauth2-ended"),
        ("invalid_grant: Token has been expired or revoked.", "oauth2-ended"),
        (
            "invalid_grant: AADSTS50076: Due to a configuration change made by your administrator, you must use multi-factor",
            "oauth2-more-proof",
        ),
        ("Error 403: disallowed_useragent", "oauth2-user-blocked"),
        (
            "-ERR [AUTH] account bob has to sign in again: Microsoft no longer lets ostler in (invalid_grant: AADSTS50173: expired); sign in again: ostler sign-in bob",
            "oauth2-ended",
        ),
    ] {
        let found = explain(said);
        assert_eq!(found.first().map(|one| one.cause.id.as_str()), Some(id), "{said}");
    }
}

#[test]
fn a_token_refused_at_outlook_by_pop_means_that_pop_is_off() {
    let at = |host: &str, protocol| ServerAddr { host: host.into(), ..place(protocol) };
    let refused = |host, protocol| Failure::TokenRefused {
        at: at(host, protocol),
        user: "bob@outlook.com".into(),
        said: "Logon failure: unknown user name or bad password.".into(),
    };
    let cause = |failure: &Failure| cause_of(failure).unwrap().id.clone();
    let pop = refused("outlook.office365.com", Protocol::Pop3);
    assert_eq!(cause(&pop), "outlook-pop-off");
    assert!(pop.advice().contains("Let devices and apps use POP"), "{}", pop.advice());
    assert_eq!(cause(&refused("outlook.office365.com", Protocol::Imap)), "token-refused");
    assert_eq!(cause(&refused("pop.example.net", Protocol::Pop3)), "token-refused");
}
