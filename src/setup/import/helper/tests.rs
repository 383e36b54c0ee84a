use proptest::prelude::*;

use super::*;

const ADDRESS: &str = "tern@plover.example";

fn undone_at(at: &str, joined: &str, address: Option<&str>) -> Option<Undone> {
    undo(joined, Used { at, is_protected: false, address }, Presets::built_in())
}

/// `host:port as name`, with the protection if a word or port says it.
fn told(undone: Option<Undone>) -> String {
    let Some(undone) = undone else { return "-".into() };
    let port = undone.port.map_or_else(String::new, |port| format!(":{port}"));
    let protection = match undone.protection {
        Protection::None => "",
        Protection::Either => " either",
        Protection::Tls => " tls",
        Protection::Known(_) => " known",
        Protection::StartTls => " starttls",
    };
    format!("{}{port}{protection} as {}", undone.host, undone.username.as_deref().unwrap_or("-"))
}

fn at_this_computer(joined: &str) -> String {
    told(undone_at("127.0.0.1", joined, Some(ADDRESS)))
}

#[test]
fn f01_every_helpers_form_is_undone() {
    for (joined, right) in [
        // Norton AntiVirus, PC-cillin, AVG, K9.
        ("tern/mail.plover.example", "mail.plover.example as tern"),
        ("tern@plover.example/mail.plover.example", "mail.plover.example as tern@plover.example"),
        ("CORP/tern/mail.plover.example", "mail.plover.example as CORP/tern"),
        ("first.last/mail.plover.example", "mail.plover.example as first.last"),
        ("tern/pop.plover.example:8200", "pop.plover.example:8200 as tern"),
        ("tern/192.0.2.7", "192.0.2.7 as tern"),
        ("pop.plover.example/110/tern", "pop.plover.example:110 as tern"),
        ("pop.plover.example/995/tern/ssl", "pop.plover.example:995 tls as tern"),
        ("pop.plover.example/110/4711", "pop.plover.example:110 as 4711"),
        // avast!
        ("tern#pop.plover.example", "pop.plover.example as tern"),
        ("tern@plover.example#pop.plover.example:995", "pop.plover.example:995 tls as tern@plover.example"),
        ("#smtp.plover.example", "smtp.plover.example as -"),
        ("pop.plover.example#tern", "pop.plover.example as tern"),
        ("tern#pop.plover.example#starttls", "pop.plover.example starttls as tern"),
        // POPFile.
        ("pop.plover.example:tern", "pop.plover.example as tern"),
        ("pop.plover.example:tern@plover.example", "pop.plover.example as tern@plover.example"),
        ("pop.plover.example:995:tern:ssl", "pop.plover.example:995 tls as tern"),
        ("pop.plover.example:tern:ssl,apop", "pop.plover.example tls as tern"),
        ("pop.plover.example:110:tern:apop", "pop.plover.example:110 as tern"),
        ("pop.plover.example:110:tern:ssl", "pop.plover.example:110 either as tern"),
        ("tern:pop.plover.example:110", "pop.plover.example:110 as tern"),
        ("POP.Plover.Example:tern", "pop.plover.example as tern"),
        // SpamPal and SpamBayes' pspam.
        ("tern@plover.example@pop.plover.example", "pop.plover.example as tern@plover.example"),
        ("tern@pop.plover.example", "pop.plover.example as tern"),
        ("tern@pop.plover.example:111", "pop.plover.example:111 as tern"),
        ("tern@plover.example@pop.plover.example:995:ssl", "pop.plover.example:995 tls as tern@plover.example"),
        ("pop.plover.example@tern@plover.example", "pop.plover.example as tern@plover.example"),
        ("pop.plover.example@tern", "pop.plover.example as tern"),
        ("tern@pop.gmail.com", "pop.gmail.com as tern"),
        // Spamihilator.
        ("pop.plover.example&tern", "pop.plover.example as tern"),
        ("pop.plover.example&tern&995&ssl", "pop.plover.example:995 tls as tern"),
        // A separator that the user had chosen.
        ("pop.plover.example|110|tern", "pop.plover.example:110 as tern"),
        ("tern%pop.plover.example", "pop.plover.example as tern"),
        // Words and ports wherever they stand.
        ("ssl://pop.plover.example#tern", "pop.plover.example tls as tern"),
        ("tern#pop.plover.example,995,SSL", "pop.plover.example:995 tls as tern"),
        ("995:pop.plover.example:tern", "pop.plover.example:995 tls as tern"),
        ("pop.plover.example:1995/tern/tls", "pop.plover.example:1995 tls as tern"),
    ] {
        assert_eq!(at_this_computer(joined), right, "{joined}");
    }
}

#[test]
fn f01_a_users_own_name_at_this_computer_stays() {
    for own in [
        "tern",
        ADDRESS,
        "TERN@plover.example",
        "CORP\\tern",
        "CORP/tern",
        "tern.smith@plover.example",
        "tern@gmail.com",
        "tern@mail.com",
        "tern%plover.example",
        "first.last",
        "127.0.0.1",
        "",
    ] {
        assert_eq!(at_this_computer(own), "-", "{own}");
    }
    let bridge = Used { at: "127.0.0.1", is_protected: true, address: Some(ADDRESS) };
    for own in ["tern@mail.plover.example", "tern#plover.example", "CORP/tern.smith"] {
        assert_eq!(undo(own, bridge, Presets::built_in()), None, "{own}");
    }
}

#[test]
fn f01_a_host_that_only_a_helper_knew_is_one() {
    for at in
        ["pop3.norton.antivirus", "POP3.SPA.Norton.AntiVirus.", "spampal", "localhost", "127.1.2.3", "[::1]", "::1"]
    {
        assert_eq!(told(undone_at(at, "tern/mail.plover.example", None)), "mail.plover.example as tern", "{at}");
    }
    // A company's server may have no dot, and at this name nothing else can be meant.
    assert_eq!(told(undone_at("pop3.norton.antivirus", "tern/mailhub", None)), "mailhub as tern");
    for at in ["antivirus.example.com", "norton.com", "pop.plover.example", "10.0.0.7", "mailhub", ""] {
        assert!(!is_helper(at), "{at}");
    }
}

#[test]
fn f01_two_helpers_in_a_row_are_undone() {
    let told = |joined| told(undone_at("pop3.norton.antivirus", joined, Some(ADDRESS)));
    assert_eq!(told("pop.plover.example:tern/127.0.0.1"), "pop.plover.example as tern");
    assert_eq!(told("tern#pop.plover.example/localhost"), "pop.plover.example as tern");
    assert_eq!(told("tern/127.0.0.1"), "127.0.0.1 as tern", "what was behind the second one, no name says");
}

#[test]
fn f01_a_server_for_sending_is_proposed_of_the_same_company() {
    let of = |host: &str| hosts_for_sending(host, Presets::built_in());
    assert_eq!(of("pop.plover.example"), ["smtp.plover.example", "mail.plover.example", "pop.plover.example"]);
    assert_eq!(of("mail.plover.example"), ["mail.plover.example", "smtp.plover.example"]);
    assert_eq!(of("plover.example"), ["smtp.plover.example", "mail.plover.example", "plover.example"]);
    assert_eq!(of("pop.co.uk"), ["pop.co.uk"], "smtp.co.uk is another company");
    assert_eq!(of("192.0.2.7"), ["192.0.2.7"]);
    assert_eq!(of("mailhub"), ["mailhub"]);
}

#[test]
fn f01_a_name_with_two_dots_at_its_end_is_no_server() {
    assert_eq!(undone_at("pop3.norton.antivirus", "/a..", None), None);
    assert_eq!(
        told(undone_at("pop3.norton.antivirus", "tern/pop.plover.example.", None)),
        "pop.plover.example as tern"
    );
}

/// A host that no helper is at.
fn provider() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}\\.[a-z]{1,8}\\.(example|net|co\\.uk)", "192\\.0\\.2\\.[0-9]{1,2}"]
}

/// Whether some part of what was joined is this name, which has the domain of an address in ASCII.
fn holds(joined: &str, name: &str) -> bool {
    let places: Vec<_> = joined.char_indices().map(|(at, _)| at).chain([joined.len()]).collect();
    let parts = places.iter().flat_map(|start| places.iter().filter_map(|end| joined.get(*start..*end)));
    joined.contains(name) || parts.into_iter().any(|part| value::username(part).is_ok_and(|as_kept| as_kept == name))
}

#[test]
fn f01_a_name_is_kept_as_an_address_with_letters_beyond_ascii_is() {
    let undone = undone_at("pop3.norton.antivirus", "A.a/@\u{e4}", None).unwrap();
    assert_eq!((undone.host.as_str(), undone.username.as_deref()), ("a.a", Some("@xn--4ca")));
    assert!(holds("A.a/@\u{e4}", "@xn--4ca") && !holds("A.a/@\u{e4}", "@xn--5ca"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn f01_any_name_is_taken_apart_or_left(
        joined in "[ -~\u{e4}\u{20ac}]{0,40}", at in "(127\\.0\\.0\\.1|pop3\\.norton\\.antivirus|.{0,20})", address in proptest::option::of("[a-z]{1,5}@[a-z.]{1,9}"),
    ) {
        if let Some(undone) = undone_at(&at, &joined, address.as_deref()) {
            prop_assert!(is_helper(&at));
            prop_assert_eq!(value::host(&undone.host), Ok(undone.host.clone()));
            if let Some(name) = &undone.username {
                prop_assert!(holds(&joined, name) && value::username(name).is_ok(), "{:?}", undone);
            }
        }
    }

    #[test]
    fn f01_at_a_provider_every_name_is_the_users_own(
        at in provider(), name in "[a-zA-Z.]{1,9}", separator in "[/#:@&|;%]", more in "[a-z]{1,5}(\\.[a-z]{2,7}){0,2}(:[0-9]{1,4})?",
    ) {
        let joined = format!("{name}{separator}{more}");
        prop_assert_eq!(undone_at(&at, &joined, Some(ADDRESS)), None);
    }

    #[test]
    fn f01_what_was_joined_comes_apart(
        name in "[a-z][a-z0-9]{0,7}(@plover\\.example)?", first in "(pop|pop3|mail|imap2|incoming)", port in proptest::option::of(1026..65535u16),
        separator in "[/#:&]", is_server_first in any::<bool>(), is_tls in any::<bool>(),
    ) {
        prop_assume!(word(&name).is_none());
        let host = format!("{first}.plover.example");
        let server = port.map_or_else(|| host.clone(), |port| format!("{host}{separator}{port}"));
        let mut joined =
            if is_server_first { format!("{server}{separator}{name}") } else { format!("{name}{separator}{server}") };
        if is_tls {
            joined += &format!("{separator}ssl");
        }
        let protection = if is_tls { Protection::Tls } else { Protection::None };
        let undone = undone_at("localhost", &joined, Some(ADDRESS)).ok_or_else(|| TestCaseError::fail(joined.clone()))?;
        prop_assert_eq!((undone.host, undone.port, undone.protection, undone.username), (host, port, protection, Some(name)), "{}", joined);
    }
}
