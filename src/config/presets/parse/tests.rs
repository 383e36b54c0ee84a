//! A file of presets as a person writes it, and what each mistake in it says.

use proptest::prelude::*;

use super::*;

fn mistakes(text: &str) -> Vec<String> {
    let error = read_providers(text, Path::new("p.toml"), Origin::Own).err();
    error.map(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// Checks the lines that a table `[provider.x]` with these lines from line 3 on gives.
#[track_caller]
fn gives(lines: &str, expected: &[&str]) {
    let text = format!("schema = 1\n[provider.x]\n{lines}\n");
    let expected: Vec<_> = expected.iter().map(|line| format!("p.toml:{line}")).collect();
    assert_eq!(mistakes(&text), expected, "{text}");
}

const POP3: &str = "pop3 = [{ host = \"h\" }]";

#[test]
fn the_shortest_entry_is_one_server() {
    let text = format!("schema = 1\n[provider.x]\n{POP3}\n");
    let presets = read_providers(&text, Path::new("p.toml"), Origin::Own).unwrap();
    let [preset] = presets.as_slice() else { panic!("{presets:?}") };
    assert_eq!((preset.id.as_str(), preset.title.as_str(), preset.confidence), ("x", "x", Confidence::High));
    let server = Endpoint {
        protocol: Protocol::Pop3,
        host: "h".into(),
        port: 995,
        security: Security::Tls,
        login: LoginForm::Address,
        auth_methods: vec![AuthMethod::Password],
    };
    assert_eq!(preset.servers, [server]);
    assert!(read_providers("schema = 1", Path::new("p.toml"), Origin::Own).unwrap().is_empty());
}

#[test]
fn a_server_has_what_the_provider_has_unless_it_says_so_itself() {
    let text = "schema = 1\n[provider.x]\nlogin = \"local-part\"\nauth = [\"pop-before-smtp\", \"oauth2:mail.ru\"]\nwindow = 30\n\
                pop3 = [{ host = \"Pop.{domain}\", security = \"starttls\" }]\n\
                smtp = [{ host = \"s\" }, { host = \"t\", port = 2525, login = \"{local}.{domain}\", auth = [\"none\"] }]\n";
    let preset = read_providers(text, Path::new("p.toml"), Origin::Own).unwrap().remove(0);
    let told: Vec<_> = preset
        .servers
        .iter()
        .map(|s| {
            (
                s.host.as_str(),
                s.port,
                s.login.candidates("ann@x.y"),
                s.auth_methods.iter().map(AuthMethod::to_string).collect(),
            )
        })
        .collect();
    let auth_methods =
        |auth_methods: &[&str]| auth_methods.iter().map(|way| (*way).to_owned()).collect::<Vec<String>>();
    assert_eq!(
        told,
        [
            ("pop.{domain}", 110, vec!["ann".to_owned()], auth_methods(&["oauth2:mail.ru"])),
            ("s", 465, vec!["ann".to_owned()], auth_methods(&["pop-before-smtp", "oauth2:mail.ru"])),
            ("t", 2525, vec!["ann.x.y".to_owned()], auth_methods(&["none"])),
        ]
    );
    assert_eq!(preset.window, Some(Duration::from_secs(1800)));
}

#[test]
fn mistakes_are_told_with_line_key_and_what_is_allowed() {
    gives(
        "pop3 = [{ host = \"h\", security = \"none\" }]",
        &[
            "3:34: provider.x.pop3.security: lets anyone along the way read mail and password; allowed is \"tls\", \"starttls\"",
        ],
    );
    gives(
        "pop3 = [{ host = \"h:1\", port = 0 }]",
        &[
            &format!("3:18: provider.x.pop3.host: contains a colon; a port goes into the key port; allowed is {HOST}"),
            "3:32: provider.x.pop3.port: is out of range; allowed is a port from 1 to 65535",
        ],
    );
    gives(
        &format!("{POP3}\nlogin = \"{{name}}\"\nauth = [\"password\", \"magic\"]\nwindow = 0\nchecked = \"2026\""),
        &[
            &format!("4:9: provider.x.login: is not a form of user names; allowed is {LOGIN}"),
            &format!("5:21: provider.x.auth: is not a known way to sign in; allowed is {WAY_FORMS}"),
            &format!("6:10: provider.x.window: is out of range; allowed is {WINDOW}"),
            "7:11: provider.x.checked: is a text; allowed is a date: 2026-11-20",
        ],
    );
    gives(
        &format!("{POP3}\ndomains = [\"a.b\", \"A.b\"]\ndomain_suffixes = [\"b\"]\nlegacy_hosts = [\"p*p.b\"]"),
        &[
            "4:19: provider.x.domains: is in this file already; allowed is each domain only once",
            &format!("5:20: provider.x.domain_suffixes: does not begin with a dot; allowed is {SUFFIX}"),
            &format!(
                "6:17: provider.x.legacy_hosts: has a * that is not a whole part between dots, or consists of nothing else; \
                 allowed is {LEGACY}"
            ),
        ],
    );
    gives(
        &format!("{POP3}\nsecurty = 1\nconfidence = \"sure\""),
        &[
            &format!("4:1: provider.x.securty: is not a key of this table; allowed are {}", keys::PROVIDER.list()),
            "5:14: provider.x.confidence: is not a known word; allowed is \"low\", \"medium\", \"high\"",
        ],
    );
}

#[test]
fn what_does_not_fit_together_is_told() {
    gives(
        "note = \"\"",
        &["2:1: provider.x: has no server; allowed is at least one of pop3, smtp and imap, or closed = \"why no mail \
         program can use it\""],
    );
    gives(
        &format!("{POP3}\nclosed = \"gone\""),
        &["4:10: provider.x.closed: cannot be together with servers; allowed is either closed, or pop3, smtp and imap"],
    );
    gives(
        "smtp = [{ host = \"h\", auth = [\"pop-before-smtp\"] }]\nsending = \"elsewhere\"",
        &[
            "2:1: provider.x: has pop-before-smtp but no server for the POP login; allowed together with pop3",
            "4:11: provider.x.sending: cannot be together with smtp; allowed is either of them",
        ],
    );
    gives(
        "pop3 = [{ host = \"h\", auth = [\"pop-before-smtp\"] }]",
        &["3:30: provider.x.pop3.auth: has pop-before-smtp, which is for outgoing servers; allowed only in smtp"],
    );
}

#[test]
fn the_file_as_a_whole_has_a_form() {
    assert_eq!(mistakes(""), ["p.toml:1:1: schema: is missing; allowed is schema = 1 at the top"]);
    assert_eq!(
        mistakes("schema = 2\nprovider = 1"),
        [
            "p.toml:1:10: schema: is a file format that this version does not read; allowed is 1",
            "p.toml:2:12: provider: is a whole number; allowed is a table [provider.ID] for each provider",
        ]
    );
    assert_eq!(
        mistakes("schema = 1\n[provider.\"hunter2-SECRET\"]\n[provider.x"),
        ["p.toml:3:12: toml: is not TOML: unclosed table, expected `]`"]
    );
    assert_eq!(
        mistakes("schema = 1\n[provider.\"hunter2-SECRET\"]\n"),
        [format!("p.toml:2:1: provider.***: has a name that is not allowed; allowed is {ID}")]
    );
}

/// One entry with every key.
const WHOLE: &str = "schema = 1
[provider.x]
name = \"X\"
domains = [\"x.net\"]
domain_suffixes = [\".x.net\"]
mx = [\"mx.x.net\"]
legacy_hosts = [\"pop.*.x.net\"]
hosted = [\"*\", \"y.net\"]
run_by = \"y\"
pop3 = [{ host = \"pop.{domain}\", port = 995, security = \"tls\" }]
smtp = [{ host = \"smtp.x.net\", security = \"starttls\", login = \"{local}\", auth = [\"pop-before-smtp\"] }]
imap = [{ host = \"imap.x.net\" }]
login = \"ask\"
auth = [\"oauth2:x\", \"password\"]
window = 15
enable = \"Hunter2.\"
app_password = \"hunter2-SECRET\"
pop = \"paid\"
fetching = \"counts\"
note = \"\"
source = [\"somebody\"]
checked = 2026-11-20
confidence = \"low\"
";

#[test]
fn every_key_can_be_there() {
    let preset = read_providers(WHOLE, Path::new("p.toml"), Origin::Own).unwrap().remove(0);
    assert!(keys::PROVIDER.0.iter().filter(|key| !["sending", "closed"].contains(key)).all(|key| WHOLE.contains(key)));
    assert_eq!((preset.note, preset.pop, preset.checked.as_deref()), (None, Pop::Paid, Some("2026-11-20")));
    assert_eq!(preset.app_password.as_deref(), Some("hunter2-SECRET"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_edit_anywhere_breaks_a_promise(
        at in 0..WHOLE.len(), length in 0..30usize, put in "[\\[\\]{}=\"'a-z0-9.,*@#\n ]{0,6}",
    ) {
        let end = (at + length).min(WHOLE.len());
        crate::config::presets::fuzz(format!("{}{put}{}", &WHOLE[..at], &WHOLE[end..]).as_bytes());
    }

    #[test]
    fn no_octets_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::config::presets::fuzz(&bytes);
    }
}
