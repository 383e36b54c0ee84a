use super::*;

fn at(protocol: Protocol) -> ServerAddr {
    ServerAddr {
        host: "mail.example.net".into(),
        port: 995,
        protocol,
        security: Security::Tls,
        password_from: PasswordFrom::Keyring,
    }
}

/// The advice was to fetch first, whatever the server. That helps where a login opens the way for sending, and nowhere else.
#[test]
fn to_fetch_first_is_advised_where_it_helps() {
    let advice = |protocol| {
        let (account, trouble) = ("home".into(), SecretTrouble::ClientGaveNone);
        Failure::Secret { account, at: Some(at(protocol)), trouble }.advice()
    };
    assert_eq!(advice(Protocol::Smtp), "tick \"my server requires authentication\" there");
    assert_eq!(advice(Protocol::Pop3), "fetch mail first, or tick \"my server requires authentication\" there");
}

#[test]
fn each_failure_has_its_own_words() {
    let pop = || at(Protocol::Pop3);
    let said = || String::from("-ERR no");
    let certificate = |problem| Failure::Certificate { at: pop(), problem, ca: CaFile::Unset };
    let secret = |trouble| Failure::Secret { account: "home".into(), at: Some(pop()), trouble };
    for (failure, words) in [
        (Failure::NameNotFound { at: pop() }, "there is no server named mail.example.net"),
        (Failure::NoNameService { at: pop() }, "the name mail.example.net could not be looked up just now"),
        (
            Failure::NotConnected { at: pop() },
            "this computer is not connected to the internet, so mail.example.net cannot be reached",
        ),
        (Failure::NobodyListens { at: pop() }, "mail.example.net is there but nobody listens on port 995"),
        (
            Failure::TimedOut { at: pop(), waiting: Waiting::Greeting, after: Duration::from_secs(30) },
            "mail.example.net port 995 did not answer in time: 30 s passed while waiting for its greeting",
        ),
        (
            Failure::NetworkGone { at: pop(), reason: "network is unreachable".into() },
            "mail.example.net port 995 cannot be reached (network is unreachable)",
        ),
        (
            Failure::Lost { at: pop(), waiting: Waiting::SignIn },
            "mail.example.net port 995 closed the connection instead of answering the sign-in",
        ),
        (
            Failure::Lost { at: pop(), waiting: Waiting::Greeting },
            "mail.example.net port 995 closed the connection while ostler was waiting for its greeting",
        ),
        (Failure::NotTls { at: pop() }, "mail.example.net port 995 does not speak TLS"),
        (
            certificate(CertificateProblem::Expired { until: "2024-01-31 12:00 UTC".into() }),
            "the certificate of mail.example.net expired on 2024-01-31 12:00 UTC",
        ),
        (
            certificate(CertificateProblem::WrongName { names: vec!["a.example".into(), "b.example".into()] }),
            "the certificate shown for mail.example.net is for another name: a.example, b.example",
        ),
        (
            certificate(CertificateProblem::UnknownIssuer { issuer: "CN=Hotel".into(), self_signed: false }),
            "the certificate of mail.example.net comes from an issuer this computer does not know: CN=Hotel",
        ),
        (
            certificate(CertificateProblem::MissingLink { issuer: "CN=Between".into() }),
            "mail.example.net did not send the certificate of its issuer, which this computer does not know: CN=Between",
        ),
        (
            certificate(CertificateProblem::OldKind),
            "the certificate of mail.example.net is not acceptable: it is of an old kind (X.509 version 1), which cannot name a host",
        ),
        (
            certificate(CertificateProblem::ShortKey { bits: 1024, least: 2048 }),
            "the certificate of mail.example.net is not acceptable: its key of 1024 bits is too short; 2048 are needed",
        ),
        (
            certificate(CertificateProblem::MarkedAsAuthority),
            "the certificate of mail.example.net is not acceptable: it is marked as an authority's, not a server's",
        ),
        (
            certificate(CertificateProblem::IssuerExpired {
                issuer: "CN=Between".into(),
                until: "2024-01-31 12:00 UTC".into(),
            }),
            "the certificate of mail.example.net is not acceptable: its issuer's, of CN=Between, expired on 2024-01-31 12:00 UTC",
        ),
        (
            Failure::TlsTooOld { at: pop() },
            "mail.example.net port 995 has no modern TLS: neither 1.2 nor 1.3 with a safe cipher",
        ),
        (Failure::NoStartTls { at: pop() }, "mail.example.net port 995 does not offer STLS"),
        (Failure::NoStartTls { at: at(Protocol::Smtp) }, "mail.example.net port 995 does not offer STARTTLS"),
        (
            Failure::SignInRefused { at: pop(), user: "ann".into(), said: said(), beyond_ascii: false },
            "mail.example.net refused the sign-in of ann: -ERR no",
        ),
        (
            Failure::SignInDisabled { at: pop(), offered: String::new() },
            "mail.example.net port 995 offers no way to sign in",
        ),
        (
            Failure::MechanismRefused { at: pop(), tried: "PLAIN, LOGIN".into(), said: said() },
            "mail.example.net port 995 refuses every way of signing in that it offers and ostler has (PLAIN, LOGIN): -ERR no",
        ),
        (
            Failure::InUse { at: pop(), said: said() },
            "the mailbox at mail.example.net is in use by another session: -ERR no",
        ),
        (
            Failure::TooBig { at: pop(), size: 30_500_000, limit: 25_000_000 },
            "this message of 30.5 MB is too big: mail.example.net takes 25.0 MB at most",
        ),
        (
            secret(SecretTrouble::KeyringLocked),
            "the keyring is locked, so there is nothing to sign in with for account home at mail.example.net",
        ),
        (secret(SecretTrouble::NoKeyring), "there is no keyring to ask for account home at mail.example.net"),
        (
            secret(SecretTrouble::Missing("the keyring".into())),
            "the keyring holds nothing to sign in with for account home at mail.example.net",
        ),
        (
            secret(SecretTrouble::Missing("the folder /secrets".into())),
            "the folder /secrets holds nothing to sign in with for account home at mail.example.net",
        ),
        (
            Failure::UnknownAccount { given: "joe".into(), known: vec!["home".into(), "work".into()] },
            "ostler has no account \"joe\"; it has: home, work",
        ),
        (
            Failure::UnknownSender { given: "joe@x.example".into(), known: vec!["home".into()] },
            "ostler has no account that sends as joe@x.example; it has: home",
        ),
        (Failure::UnknownSender { given: "joe@x.example".into(), known: vec![] }, "ostler has no account yet"),
        (
            Failure::Lost { at: pop(), waiting: Waiting::Answer }.leaving_open(Some(Undecided::Store)),
            "the outcome is unknown: mail.example.net port 995 closed the connection while ostler was waiting for its answer",
        ),
        (Failure::Paused.leaving_open(Some(Undecided::Store)), "ostler is paused"),
    ] {
        assert_eq!(failure.sentence(), words);
        assert!(!failure.advice().is_empty());
    }
}

#[test]
fn a_name_cannot_steer_the_terminal_that_shows_the_log() {
    let failure = Failure::UnknownAccount { given: "\u{1b}[2J\u{9b}m".into(), known: vec!["home".into()] };
    assert_eq!(failure.sentence(), "ostler has no account \"?[2J?m\"; it has: home");
}

/// The advice where the password is refused in these words, or its sign-in is hung up on.
fn advice_for(host: &str, password_from: PasswordFrom, said: &str, beyond_ascii: bool) -> [String; 2] {
    let at = ServerAddr { host: host.into(), password_from, ..at(Protocol::Imap) };
    let refused = Failure::SignInRefused { at: at.clone(), user: "ann".into(), said: said.into(), beyond_ascii };
    [refused.advice(), Failure::Lost { at, waiting: Waiting::SignIn }.advice()]
}

#[test]
fn advice_names_the_place_where_the_password_is_set() {
    for (from, words) in [
        (PasswordFrom::Keyring, "ostler password"),
        (PasswordFrom::MailProgram, "mail program"),
        (PasswordFrom::Command, "the command in the settings"),
        (PasswordFrom::File, "in the file that the settings name"),
        (PasswordFrom::Variable, "in the variable that the settings name"),
    ] {
        for (host, said, beyond_ascii) in [
            ("mail.example.net", "no", false),
            ("mail.example.net", "no", true),
            ("imap.gmail.com", "no", false),
            ("mail.example.net", "[AUTHENTICATIONFAILED] password expired", false),
            ("mail.example.net", "application-specific password required", false),
        ] {
            for advice in advice_for(host, from, said, beyond_ascii) {
                let is_of_charset = beyond_ascii && advice.contains("password_charset");
                assert!(advice.contains(words) || is_of_charset, "{from:?}, {said}: {advice}");
                assert_eq!(advice.contains("ostler password"), from == PasswordFrom::Keyring, "{from:?}: {advice}");
                assert!(!advice.contains("NAME"), "{advice}");
            }
        }
    }
}

#[test]
fn advice_on_a_token_names_the_place_where_it_comes_from() {
    for (password_from, words) in [
        (PasswordFrom::Keyring, "then sign in again: ostler sign-in"),
        (PasswordFrom::Command, "then have the command in the settings print another token"),
        (PasswordFrom::File, "then put another token in the file that the settings name"),
        (PasswordFrom::Variable, "then put another token in the variable that the settings name"),
    ] {
        let at = ServerAddr { password_from, ..at(Protocol::Pop3) };
        let refused = Failure::TokenRefused { at, user: "ann".into(), said: "no".into() };
        assert!(refused.advice().ends_with(words), "{}", refused.advice());
    }
}

#[test]
fn who_has_no_imap_is_not_told_of_pop() {
    let said = "[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page";
    let [advice, _] = advice_for("imap.gmail.com", PasswordFrom::Keyring, said, false);
    assert!(advice.contains("Enable IMAP"), "{advice}");
    let [advice, _] = advice_for("mail.example.net", PasswordFrom::Keyring, "NO IMAP access is disabled", false);
    assert!(advice.contains("POP3 or IMAP"), "{advice}");
}

#[test]
fn a_name_is_one_word_for_a_shell_whatever_is_in_it() {
    for (name, word) in [
        ("ann@example.net", "ann@example.net"),
        ("my account #1", "\"my account #1\""),
        ("Ann's", "\"Ann's\""),
        ("a \"b\" c", "'a \"b\" c'"),
        ("cash$home", "'cash$home'"),
        ("it's $1", "'it'\\''s $1'"),
    ] {
        assert_eq!(as_word(name), word);
    }
}
