//! The settings file as a person writes it: what each mistake says, what the keys come to, and that no secret
//! gets into a message.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use ostler_mail::account::*;

const EXAMPLE: &str = include_str!("../../config/ostler.example.toml");
const SECRET: &str = "hunter2-SECRET";

fn settings(text: &str) -> Settings {
    parse(text, Path::new("/etc/ostler.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings
}

fn warnings(text: &str) -> Vec<String> {
    let parsed = parse(text, Path::new("o.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    parsed.warnings.iter().map(Remark::to_string).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    let error = parse(text, Path::new("o.toml")).err();
    error.map(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// An account with more lines from line 3 on.
fn account(more: &str) -> String {
    format!("[[account]]\naddress = \"ann@example.net\"\n{more}\n[account.imap]\nhost = \"i.example.net\"\n")
}

/// Checks the lines a text gives, `o.toml:` left out.
#[track_caller]
fn gives(text: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|line| format!("o.toml:{line}")).collect();
    assert_eq!(mistakes(text), expected, "{text}");
}

const ACCOUNT_KEYS: &str = "name, address, aliases, provider, username, password, password_charset, oauth2, local_password, default, offer_auth, \
                            read_ahead, readable, mend, doors, pop3, smtp, imap";
/// What a mail program can be called, and a charset: the first and the last.
fn readable_words() -> String {
    let words: Vec<String> = keys::settings::READABLE.iter().map(|choice| format!("\"{}\"", choice.word)).collect();
    words.join(", ")
}

#[test]
fn what_a_program_reads_and_what_is_mended_is_checked() {
    use ostler_mail::account::mend::Repair;
    let of = |lines: &str| settings(&account(lines)).accounts[0].clone();
    assert_eq!((of("").readable, of("").mend.clone()), (None, Repair::USUAL.to_vec()));
    assert_eq!(of("readable = \"off\"").readable, None);
    assert_eq!(of("readable = \"eudora-windows\"").readable.unwrap().name, "eudora-windows");
    assert_eq!(of("readable = \"cp1252\"").readable.unwrap().charset(), "windows-1252");
    assert_eq!(of("mend = []").mend, []);
    assert_eq!(of("mend = [\"charset\", \"from-domain\"]").mend, [Repair::Charset, Repair::FromDomain]);
    let allowed = readable_words();
    assert!(allowed.starts_with("\"off\", \"eudora-windows\", ") && allowed.contains("\"windows-1252\""), "{allowed}");
    let wrong = "is neither a mail program nor a charset that ostler knows";
    gives(&account("readable = \"eudora\""), &[&format!("3:12: account.readable: {wrong}; allowed is {allowed}")]);
    gives(&account("readable = 3"), &[&format!("3:12: account.readable: is a whole number; allowed is {allowed}")]);
    let all = "\"message-id\", \"date\", \"from-domain\", \"charset\"";
    gives(&account("mend = \"date\""), &[&format!("3:8: account.mend: is a text; allowed is a list of {all}")]);
    gives(
        &account("mend = [\"date\", \"x\"]"),
        &[&format!("3:17: account.mend: is not a known word; allowed is {all}")],
    );
}

const PLACES: &str = "\"keyring\", { command = \"..\" }, { file = \"..\" }, { env = \"..\" } or \"client\"";

#[test]
fn mistakes_in_local_say_what_is_allowed() {
    let forms = "allowed is a port from 0 to 65535, \"ADDRESS:PORT\", a list of these, or false";
    let page = "allowed is a port from 0 to 65535, \"ADDRESS:PORT\" on loopback (127.0.0.1 or [::1]), or false";
    let open = "can be reached from other computers; allowed is 127.0.0.1 or [::1], or, if [local] has access = \"password\" \
                and the clients' networks in allow, any address";
    let taken = "is the address and port of another door, perhaps of a default one; allowed is a different port for each door, \
                 or port 0 for any free one";
    let network = "allowed is a network such as \"192.168.56.0/24\" or an IP address";
    let local = |lines: &str, expected: &[String]| {
        gives(&format!("[local]\n{lines}"), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    };
    local("pop3 = 99999", &[format!("2:8: local.pop3: is not a port; {forms}")]);
    local("pop3 = -1", &[format!("2:8: local.pop3: is not a port; {forms}")]);
    local("pop3 = true", &[format!("2:8: local.pop3: is true; {forms}")]);
    local("pop3 = \"127.0.0.1\"", &[format!("2:8: local.pop3: has no port; {forms}")]);
    local("pop3 = \"2110\"", &[format!("2:8: local.pop3: is a port in quotes; {forms}")]);
    local(
        "pop3 = [2110, 1.5,\n \"x:1\"]",
        &[
            format!("2:15: local.pop3: is a fraction; {forms}"),
            format!("3:2: local.pop3: is not an IP address with a port; {forms}"),
        ],
    );
    local("pop3 = 2025", &[format!("2:8: local.pop3: {taken}")]);
    local("imap = [3, \"127.0.0.1:3\"]", &[format!("2:12: local.imap: {taken}")]);
    local(
        "access = \"password\"\nallow = [\"::/1\"]\nimap = [\"1.2.3.4:3\", \"[::]:3\", \"0.0.0.0:3\", \"5.6.7.8:3\"]",
        &[format!("4:32: local.imap: {taken}"), format!("4:45: local.imap: {taken}")],
    );
    local("page = \"127.0.0.1:2025\"", &[format!("2:8: local.page: {taken}")]);
    local("pop3 = \"0.0.0.0:2110\"", &[format!("2:8: local.pop3: {open}")]);
    local("access = \"password\"\nsmtp = \"[::]:25\"", &[format!("3:8: local.smtp: {open}")]);
    local("allow = [\"10.0.0.0/8\"]\nsmtp = \"[::]:25\"", &[format!("3:8: local.smtp: {open}")]);
    local("page = \"10.0.0.1:80\"", &[format!("2:8: local.page: can be reached from other computers; {page}")]);
    local("page = [2080]", &[format!("2:8: local.page: is a list; {page}")]);
    local(
        "access = \"everyone\"",
        &["2:10: local.access: is not a known word; allowed is \"same-user\", \"password\", \"anyone\"".into()],
    );
    local(
        "allow = [\"10.0.0.0/33\", 5]",
        &[
            format!("2:10: local.allow: has more bits than the address; {network}"),
            format!("2:25: local.allow: is a whole number; {network}"),
        ],
    );
}

#[test]
fn unknown_keys_name_the_nearest_and_the_allowed_ones() {
    gives(
        "[lokal]\nx = 1",
        &["1:2: lokal: is not a key of this table; did you mean local?; allowed are local, account, oauth2, timeouts"],
    );
    gives("\u{feff}pop3 = 1", &["1:1: pop3: is not a key of this table; allowed are local, account, oauth2, timeouts"]);
    let line = format!(
        "3:1: account.passwort: is not a key of this table; did you mean password?; a password itself does not belong \
         in this file; allowed are {ACCOUNT_KEYS}"
    );
    gives(&account("passwort = \"hunter2\""), &[&line]);
    let line = format!("3:6: account.***: is not a key of this table; allowed are {ACCOUNT_KEYS}");
    gives(&account("\u{e4} = 1").replace("\u{e4}", "     Hunter2"), &[&line]);
}

const BACKSLASH: &str = "has a \\ between \"..\", where it begins a special character; write the text in '..', as in \
                         'C:\\mail\\ca.pem', or each \\ as /";

#[test]
fn a_backslash_in_double_quotes_is_named_with_both_ways_out() {
    let table = "[[account]]\naddress = \"ann@example.net\"\n[account.pop3]\nhost = \"p.example.net\"\n";
    // Nearly each has another message of the parser.
    let paths = [
        r"C:\Users\ann\ca.pem",
        r"C:\ca.pem",
        r"C:\xampp\ca",
        r"\\server\share\ca",
        r"mail\ca.pem",
        r"C:\mail\",
        r"C:\",
    ];
    for path in paths {
        let told = mistakes(&format!("{table}ca = \"{path}\"\n"));
        let is_told =
            |line: &str, key: &str| told[0].starts_with(line) && told[0].ends_with(&format!(" {key}: {BACKSLASH}"));
        assert!(told.len() == 1 && is_told("o.toml:5:", "account.pop3.ca"), "{path}: {told:?}");
        let login = format!("{table}[account.smtp]\nhost = \"s\"\nlogin = {{ host = \"p\", ca = \"{path}\" }}\n");
        let told = mistakes(&login);
        assert!(told[0].starts_with("o.toml:7:") && told[0].ends_with(BACKSLASH), "{path}: {told:?}");
        for key in ["password", "local_password"] {
            for form in ["file = \"P\"", "command = \"P x\"", "command = [\"P\", \"x\"]"] {
                let told = mistakes(&account(&format!("{key} = {{ {} }}", form.replace('P', path))));
                assert!(
                    told[0].starts_with("o.toml:3:") && told[0].ends_with(BACKSLASH),
                    "{key} {form} {path}: {told:?}"
                );
            }
        }
    }
    // Without quotes the advice is the quotes that will do.
    let told = mistakes(&format!("{table}ca = C:\\mail\\ca.pem\n"));
    assert!(told[0].contains("is a text without quotation marks; write the text in '..'"), "{told:?}");
}

#[test]
fn a_backslash_that_became_a_control_character_is_named_too() {
    // A tab, a line end, a backspace, a form feed, an escape, a carriage return.
    for path in [r"C:\temp", r"C:\new", r"D:\bin", r"D:\files", r"C:\etc", r"C:\rescue", r"\\nas\files"] {
        for setting in ["password = { file = \"P\" }", "password = { command = \"P -x\" }", "username = \"P\""] {
            let told = mistakes(&account(&setting.replace('P', path)));
            assert_eq!(told.len(), 1, "{setting} {path}: {told:?}");
            let words = ["o.toml:3:", "contains a control character", "if it has a \\, write the text in '..'"];
            assert!(words.iter().all(|word| told[0].contains(word)), "{setting} {path}: {told:?}");
        }
    }
}

#[test]
fn every_right_way_of_writing_a_path_of_windows_is_accepted() {
    for path in [r"'C:\Users\ann\ca.pem'", "\"C:/Users/ann/ca.pem\"", r#""C:\\Users\\ann\\ca.pem""#, r"'''C:\x'''"] {
        for setting in [format!("password = {{ file = {path} }}"), format!("password = {{ command = [{path}] }}")] {
            assert_eq!(mistakes(&account(&setting)), Vec::<String>::new());
        }
    }
}

#[test]
fn other_mistakes_in_a_line_with_a_backslash_keep_their_words() {
    for line in [
        r"username = 'EXAMPLE\ann' x",
        r#"username = "EXAMPLE\\ann" x"#,
        r#"aliases = 'C:\' # " \""#,
        r"aliases = 'C:\' ]",
    ] {
        let told = mistakes(&account(line));
        assert!(!told.is_empty() && !told.iter().any(|told| told.contains("special character")), "{line}: {told:?}");
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let refused = format!(
        "does not say where the password is; a password itself does not belong in this file; allowed is {PLACES}"
    );
    gives(&account("password = \"hunter2\""), &[&format!("3:12: account.password: {refused}")]);
    gives(&account("password = 12345"), &[&format!("3:12: account.password: {refused}")]);
    gives(
        &account("pop3 = { host = \"a\", password = \"hunter2\" }"),
        &[&format!("3:33: account.pop3.password: {refused}")],
    );
    gives(
        &account("password = { hunter = \"2\" }"),
        &[
            &format!("3:12: account.password: does not say where the password is; allowed is {PLACES}"),
            "3:14: account.password.***: is not a key of this table; a password itself does not belong in this file; \
         allowed are command, file, env",
        ],
    );
    gives(
        &account("password = { command = \"a\", env = \"b\" }"),
        &["3:12: account.password: names more than one place; allowed is one of command, file and env"],
    );
    gives(
        &account("password = { command = [\"a\\u0000\", 1] }"),
        &[
            "3:25: account.password.command: contains a NUL character; allowed is a program",
            "3:36: account.password.command: is a whole number; allowed is an argument as text",
        ],
    );
    gives(
        &account("local_password = \"client\""),
        &[
            "3:18: account.local_password: cannot come from the mail program; allowed is \"keyring\", { command = \"..\" }, \
         { file = \"..\" } or { env = \"..\" }",
        ],
    );
}

#[test]
fn mistakes_in_the_toml_have_the_same_form() {
    let unquoted = "is a text without quotation marks; allowed are texts in \"..\" or '..', numbers, true, false, lists and tables";
    gives(&account("password = hunter2"), &[&format!("3:12: account.password: {unquoted}")]);
    gives(
        &account("password = \"hunter2"),
        &["3:20: account.password: is not TOML: invalid basic string, expected `\"`"],
    );
    gives(
        &account("hunter2"),
        &["3:8: account: has no =; allowed are lines such as key = \"value\", [table] and # comment"],
    );
    gives(&account("address = \"x@y\""), &["3:1: account.address: is written a second time; allowed is only once"]);
    gives("[local]\n[local]", &["2:2: local: is written a second time; allowed is only once"]);
    gives("[[account]\naddress = 1", &["1:11: account: is not TOML: unclosed array table, expected `]`"]);
    // Everything else is told in the same go, but nothing that may only seem to be missing.
    gives(
        "[local]\npop3 = = 1\nsmtp = x\npage = true\n[[account]]\nname=''",
        &[
            "2:8: local.pop3: is not TOML: extra `=`, expected nothing",
            &format!("3:8: local.smtp: {unquoted}"),
            "4:8: local.page: is true; allowed is a port from 0 to 65535, \"ADDRESS:PORT\" on loopback (127.0.0.1 or [::1]), \
         or false",
            "6:6: account.name: is empty or too long; allowed is 1 to 254 printable ASCII characters without blanks at the ends",
        ],
    );
}

#[test]
fn a_damaged_line_makes_no_other_line_wrong() {
    let text = "[local]\naccess = password\nallow = [\"10.0.0.0/8\"]\nsmtp = \"10.0.0.1:25\"\npop3 = x\nimap = 2110\n";
    assert_eq!(mistakes(text).len(), 2);
    let text = account("doors = smtp\noffer_auth = false\n[account.smtp]\nhost = \"h\"\nauth = x\nfresh = \"1s\"");
    assert_eq!(mistakes(&text).len(), 2);
}

#[test]
fn mistakes_in_accounts_say_what_is_allowed() {
    let no_server = "has no server; allowed is at least one of [account.pop3], [account.smtp] and [account.imap]";
    let mail = "allowed is a mail address such as \"ann@example.net\"";
    gives(
        "[account]\nname = \"x\"",
        &["1:1: account: is not a list; write [[account]] in double brackets for each account"],
    );
    gives(
        "# \n[[account]]",
        &[&format!("2:1: account.address: is missing; {mail}"), &format!("2:1: account: {no_server}")],
    );
    gives(
        "[[account]]\naddress = \"ann\"\nprovider = \"optonline\"",
        &[&format!("2:11: account.address: has no @; {mail}")],
    );
    gives(
        &account("username = \"a\\r\\nb\""),
        &[
            "3:12: account.username: contains a control character; allowed is 1 to 254 octets without control characters; if \
             it has a \\, write the text in '..', as in 'C:\\mail\\ca.pem', or each \\ as /",
        ],
    );
    gives(
        &account("default = \"yes\"\noffer_auth = true\naliases = [\"x\"]"),
        &[
            "3:11: account.default: is a text; allowed is true or false",
            "4:14: account.offer_auth: needs an smtp door of the account's own; allowed together with doors = { smtp = .. }",
            "5:12: account.aliases: has no @; allowed is a mail address such as \"ann@example.net\", or \"*@example.net\" \
         for a whole domain",
        ],
    );
    gives(
        &account("smtp = []\npop3 = [{}]"),
        &[
            "3:8: account.smtp: is an empty list; allowed is one table or more",
            "4:8: account.pop3: is a list; allowed is one table, in single brackets",
        ],
    );
}

#[test]
fn mistakes_in_servers_say_what_is_allowed() {
    let host = "allowed is a host name or an IP address, without port and brackets";
    let fresh = "allowed is \"0s\" (a login before every send) to \"24h\": a number and its unit (ms, s, m or h), such as \
                 \"60s\" or \"3m\"";
    let gate = "allowed is login = { host = \"..\" }, or an [account.pop3] with auth = \"password\"";
    let server = "[account.smtp]\nhost = \"a:25\"\nport = 0\nsecurity = \"ssl\"\nfresh = 60\npin = \"x\"\nauth = \"pop-before-smtp\"";
    gives(
        &account(server),
        &[
            &format!("4:8: account.smtp.host: contains a colon; a port goes into the key port; {host}"),
            "5:8: account.smtp.port: is out of range; allowed is a port from 1 to 65535",
            "6:12: account.smtp.security: is called \"tls\" here; allowed is \"tls\", \"starttls\", \"none\"",
            &format!("7:9: account.smtp.fresh: is a whole number; {fresh}"),
            "8:7: account.smtp.pin: is not a fingerprint; allowed is \"sha256:\" and the 64 hexadecimal digits of the \
         certificate's SHA-256 fingerprint",
            &format!("9:8: account.smtp.auth: has no server for the POP login; {gate}"),
        ],
    );
    let oauth = "pop3 = { host = \"p\", auth = \"oauth2\" }\nsmtp = { host = \"s\", auth = \"pop-before-smtp\" }";
    gives(
        &account(oauth),
        &[&format!(
            "4:29: account.smtp.auth: cannot log in at [account.pop3], because its auth is not \"password\"; {gate}"
        )],
    );
    gives(
        &account("smtp = { host = \"a\", fresh = \"60s\", login = { host = \"b\", auth = \"none\" } }"),
        &[
            "3:30: account.smtp.fresh: belongs to pop-before-smtp; allowed only with auth = \"pop-before-smtp\"",
            "3:45: account.smtp.login: belongs to pop-before-smtp; allowed only with auth = \"pop-before-smtp\"",
            "3:59: account.smtp.login.auth: is not a key of this table; allowed are host, port, security, username, \
         password, password_charset, ca, pin",
        ],
    );
    gives(
        &account("[account.pop3]\nauth = \"pop-before-smtp\""),
        &[
            &format!("3:1: account.pop3.host: is missing; {host}"),
            "4:8: account.pop3.auth: is not a known word; allowed is \"password\", \"oauth2\", \"none\"",
        ],
    );
}

#[test]
fn mistakes_in_timeouts_say_what_is_allowed() {
    let allowed =
        "allowed is 10ms to 24h: a number and its unit (ms, s, m or h), such as \"500ms\", \"10s\", \"3m\" or \"1h\"";
    gives(
        "[timeouts]\nidle = \"1ms\"\nfinal = \"25h\"\nlogin = 10\ndata = \"soon\"",
        &[
            &format!("2:8: timeouts.idle: is shorter than 10ms; {allowed}"),
            &format!("3:9: timeouts.final: is longer than 24h; {allowed}"),
            &format!("4:9: timeouts.login: is a whole number; {allowed}"),
            &format!("5:8: timeouts.data: is not a duration; {allowed}"),
        ],
    );
}

#[test]
fn names_lead_to_one_account() {
    let two = |first: &str, second: &str| {
        let text = |lines: &str| format!("[[account]]\n{lines}\nimap.host = \"i\"\n");
        mistakes(&(text(first) + &text(second)))
    };
    let line = |place: &str, what: &str| vec![format!("o.toml:{place}: {what}")];
    let twice = "is the name of an account above; allowed are names that differ in more than letter case (an account without a \
                 name is called by its address)";
    let is_address = "is an address of an account above; allowed is a name that leads to one account only";
    let is_name = "is the name of an account above; allowed is an address that leads to one account only";
    assert_eq!(two("name='a'\naddress='a@x'", "address='b@x'\nname='A'"), line("7:6: account.name", twice));
    assert_eq!(two("address='a@x'", "address='A@x'"), line("5:9: account.address", twice));
    assert_eq!(two("name='a'\naddress='a@x'", "address='b@x'\nname='a@X'"), line("7:6: account.name", is_address));
    assert_eq!(
        two("name='b@x'\naddress='a@x'", "address='c@x'\naliases=['B@x']"),
        line("7:10: account.aliases", is_name)
    );
    assert_eq!(two("address='a@x'\naliases=['*@x']", "address='b@x'"), Vec::<String>::new());
    let default = "an account above is the default already; allowed is only one";
    assert_eq!(
        two("address='a@x'\ndefault=true", "address='b@x'\ndefault=true"),
        line("7:9: account.default", default)
    );
}

#[test]
fn an_empty_file_has_the_default_doors() {
    let settings = settings("");
    let doors: Vec<_> =
        settings.doors.iter().map(|d| format!("{} {} {}", d.protocol, d.address, d.is_companion)).collect();
    assert_eq!(
        doors,
        [
            "pop3 127.0.0.1:2110 false",
            "pop3 [::1]:2110 true",
            "smtp 127.0.0.1:2025 false",
            "smtp [::1]:2025 true",
            "imap 127.0.0.1:2143 false",
            "imap [::1]:2143 true",
        ]
    );
    assert_eq!(settings.page, Some("127.0.0.1:2080".parse().unwrap()));
    assert!(settings.page_has_companion);
    assert_eq!((settings.access, settings.timeouts), (Access::SameUser, Timeouts::default()));
    assert!(settings.accounts.is_empty() && settings.allow.is_empty() && settings.notices);
}

#[test]
fn doors_have_four_forms() {
    let settings = settings(&format!(
        "[local]\npop3 = [110, \"[::1]:110\"]\nsmtp = 0\nimap = false\npage = false\naccess = \"password\"\n\
         allow = [\"192.168.56.0/24\"]\nnotices = false\n{}",
        account("doors = { pop3 = \"192.168.56.1:110\", imap = 0 }\npop3.host = \"p\"")
    ));
    let doors: Vec<_> = settings
        .doors
        .iter()
        .map(|d| format!("{} {} {} {}", d.protocol, d.address, d.is_companion, d.account.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        doors,
        [
            "pop3 127.0.0.1:110 false -",
            "pop3 [::1]:110 false -",
            "smtp 127.0.0.1:0 false -",
            "pop3 192.168.56.1:110 false ann@example.net",
            "imap 127.0.0.1:0 false ann@example.net",
        ]
    );
    assert_eq!((settings.page, settings.notices), (None, false));
}

#[test]
fn the_page_is_on_both_loopback_addresses_only_where_no_address_is_written() {
    for (page, address, has_companion) in [
        ("2081", "127.0.0.1:2081", true),
        ("0", "127.0.0.1:0", true),
        ("\"127.0.0.1:2081\"", "127.0.0.1:2081", false),
        ("\"[::1]:2081\"", "[::1]:2081", false),
    ] {
        let settings = settings(&format!("[local]\npage = {page}\n"));
        assert_eq!(
            (settings.page, settings.page_has_companion),
            (Some(address.parse().unwrap()), has_companion),
            "{page}"
        );
    }
}

#[test]
fn an_account_is_complete() {
    let settings = settings(&format!(
        "[[account]]\nname = \"home\"\naddress = \"Ann@example.net\"\naliases = [\"*@Example.org\", \"A@b.c\"]\n\
         password = {{ command = [\"pass\", \"x\"] }}\nlocal_password = {{ file = \"local\" }}\ndefault = true\n\
         doors = {{ smtp = 2526 }}\noffer_auth = false\n\
         [account.pop3]\nhost = \"Mail.Example.net\"\nsecurity = \"starttls\"\nusername = \"ann\"\npin = \"sha256:{}\"\n\
         [[account.smtp]]\nhost = \"s.example.net\"\nauth = \"pop-before-smtp\"\n\
         [[account.smtp]]\nhost = \"::1\"\nport = 25\nsecurity = \"none\"\nauth = \"pop-before-smtp\"\nfresh = \"0s\"\n\
         login = {{ host = \"l\", password = {{ env = \"L\" }}, ca = \"/ca.pem\" }}\n\
         [timeouts]\nfinal = \"1h\"\n",
        "0f".repeat(32)
    ));
    assert_eq!(settings.timeouts.last, Duration::from_secs(3600));
    let account = &settings.accounts[0];
    assert_eq!((account.name.as_str(), account.address.as_str()), ("home", "Ann@example.net"));
    assert_eq!(account.aliases, [Alias::Domain("example.org".into()), Alias::Address("a@b.c".into())]);
    assert!(account.is_default && !account.offer_auth);
    let local = std::path::absolute("/etc/local").unwrap();
    assert_eq!(account.local_password, Some(SecretSource::File(local)));
    let secret = SecretSource::Command(CommandLine::Argv(vec!["pass".into(), "x".into()]));
    let pop3 = account.pop3.clone().unwrap();
    assert_eq!((pop3.address(), pop3.trust.pin), ("mail.example.net:110".into(), Some([0x0f; 32])));
    assert_eq!(
        pop3.sign_in,
        SignIn::Password(Credentials { username: "ann".into(), secret, charset: PasswordCharset::Utf8 })
    );
    let gates: Vec<_> = account.smtp.iter().map(|s| (s.address(), s.sign_in.clone())).collect();
    let [(first, SignIn::AfterPop(first_gate)), (second, SignIn::AfterPop(second_gate))] = gates.as_slice() else {
        panic!("{gates:?}")
    };
    assert_eq!((first.as_str(), first_gate.fresh), ("s.example.net:465", Duration::from_secs(60)));
    assert_eq!(first_gate.login, pop3);
    assert_eq!((second.as_str(), second_gate.fresh), ("[::1]:25", Duration::ZERO));
    let login = &second_gate.login;
    let secret = SecretSource::Env("L".into());
    let credentials = Credentials { username: "Ann@example.net".into(), secret, charset: PasswordCharset::Utf8 };
    assert_eq!((login.address(), login.credentials()), ("l:995".into(), Some(&credentials)));
    assert_eq!((login.protocol, login.trust.ca.clone()), (Protocol::Pop3, std::path::absolute("/ca.pem").ok()));
}

#[test]
fn what_deserves_a_thought_is_warned_about() {
    let text = format!(
        "[local]\naccess = \"anyone\"\n{}security = \"none\"\nauth = \"none\"\nusername = \"x\"\n",
        account("doors = { smtp = 1, pop3 = false }")
    );
    assert_eq!(
        warnings(&text),
        [
            "o.toml:2:10: local.access: lets every program of every user on this computer read and send mail",
            "o.toml:5:18: account.doors.smtp: leads nowhere, because the account has no server of this kind",
            "o.toml:8:12: account.imap.security: lets anyone along the way read mail and password",
            "o.toml:10:12: account.imap.username: is not used, because auth says that no one signs in here",
        ]
    );
    assert!(warnings(&account("")).is_empty());
}

#[test]
fn the_example_is_right() {
    let settings = settings(EXAMPLE);
    assert_eq!(settings.accounts.len(), 1);
    assert_eq!(settings.timeouts, Timeouts::default());
    assert_eq!(warnings(EXAMPLE), Vec::<String>::new());
}

#[test]
fn the_example_is_right_with_everything_switched_on() {
    let text: Vec<_> = EXAMPLE.lines().collect();
    // A line that is switched on takes the place of the one it is an alternative to.
    let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
    let mut on: Vec<String> = Vec::new();
    let mut table_start = 0;
    for line in text {
        let line = line.strip_prefix("#: ").unwrap_or(line);
        if line.starts_with('[') {
            table_start = on.len();
        }
        let key_of_line = key(line).filter(|_| !line.starts_with(['#', '[']));
        let same = |other: &String| key_of_line.is_some() && key(other) == key_of_line;
        if let Some(at) = on[table_start..].iter().position(same) {
            on.remove(table_start + at);
        }
        on.push(line.to_owned());
    }
    let settings = settings(&on.join("\n"));
    assert_eq!(settings.accounts.len(), 3);
    assert_eq!(settings.allow.len(), 2);
    assert_eq!(settings.accounts[1].smtp.len(), 2);
    assert!(matches!(settings.accounts[2].maildrop(), Some(Maildrop::Imap(..))));
}

#[test]
fn mail_is_fetched_over_imap_where_there_is_no_server_for_pop3() {
    let of = |text: &str| match settings(text).accounts[0].maildrop() {
        Some(Maildrop::Pop3(server)) => server.host.clone(),
        Some(Maildrop::Imap(server, Folder { name, mark_read })) => format!("{} {name} {mark_read}", server.host),
        None => "nowhere".into(),
    };
    let pop3 = "[account.pop3]\nhost = 'p'";
    for (text, place) in [
        (account(""), "i.example.net INBOX false"),
        (account(pop3), "p"),
        (account("[account.pop3]\nhost = 'p'\nvia = 'pop3'"), "p"),
        (account("[account.pop3]\nvia = 'imap'"), "i.example.net INBOX false"),
        (account("[account.pop3]\nfolder = 'Entw\u{fc}rfe'\nmark_read = true"), "i.example.net Entw\u{fc}rfe true"),
        (format!("[[account]]\naddress = 'ann@x.net'\n{pop3}"), "p"),
        ("[[account]]\naddress = 'ann@x.net'\n[account.smtp]\nhost = 's'".into(), "nowhere"),
        ("[[account]]\naddress = 'ann@icloud.com'\nprovider = 'icloud'".into(), "imap.mail.me.com INBOX false"),
        ("[[account]]\naddress = 'ann@gmail.com'\nprovider = 'gmail'".into(), "pop.gmail.com"),
        (
            "[[account]]\naddress = 'ann@gmail.com'\nprovider = 'gmail'\npop3 = { via = 'imap', folder = 'A' }".into(),
            "imap.gmail.com A false",
        ),
    ] {
        assert_eq!(of(&text), place, "{text}");
    }
}

#[test]
fn what_fetching_does_not_use_is_warned_about() {
    let unused = "is not used, because mail is fetched from a POP3 server; it belongs to via = \"imap\"";
    let told = warnings(&account("[account.pop3]\nhost = 'p'\nfolder = 'x'\nmark_read = false"));
    assert_eq!(
        told,
        [
            format!("o.toml:5:10: account.pop3.folder: {unused}"),
            format!("o.toml:6:13: account.pop3.mark_read: {unused}")
        ]
    );
    let told = warnings(&account("[account.pop3]\nhost = 'p'\nvia = 'imap'"));
    let unused = "is not used, because via = \"imap\" has mail fetched from the server in [account.imap]";
    assert_eq!(told, [format!("o.toml:4:8: account.pop3.host: {unused}")]);
}

#[test]
fn mistakes_in_fetching_over_imap_say_what_is_allowed() {
    let both = "[account.pop3]\nhost = 'p'\nvia = 'imap'\nfolder = ' '\nmark_read = 1";
    gives(
        &account(both),
        &[
            "6:10: account.pop3.folder: is empty; allowed is the name of a folder, such as \"INBOX\" or \"Entw\u{fc}rfe\"",
            "7:13: account.pop3.mark_read: is a whole number; allowed is true or false",
        ],
    );
    gives(
        "[[account]]\naddress = 'ann@x.net'\n[account.pop3]\nvia = 'imap'",
        &["4:7: account.pop3.via: needs a server for IMAP; allowed together with [account.imap]"],
    );
    gives(
        &account("[account.pop3]\nvia = 'imap'\n[account.smtp]\nhost = 's'\nauth = 'pop-before-smtp'"),
        &[
            "7:8: account.smtp.auth: has no server for the POP login; allowed is login = { host = \"..\" }, or an [account.pop3] \
           with auth = \"password\"",
        ],
    );
}

/// A line that may hold the secret, in a right place or a wrong one.
fn planted() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "password",
        "local_password",
        "passwort",
        "Password",
        "pass",
        "token",
        "secret",
        "pwd",
        "pasword",
        "name",
        "password.value",
        "password.command",
        "login.password",
        "pop3.password",
        "smtp.login.passwd",
        "doors.password",
        "username.password",
        "local.password",
        "timeouts.password",
        "account.password",
        "\"pass word\"",
    ]);
    let value = prop::sample::select(vec![
        "\"S\"",
        "'S'",
        "S",
        "\"S",
        "'S",
        "\"\"\"S",
        "\"\"\"\nS\n\"\"\"",
        "[\"S\"]",
        "{ S = 1 }",
        "{ \"S\" = \"S\" }",
        "{ password = \"S\" }",
        "{ value = \"S\" }",
        "{ command = [\"S\", 1] }",
        "{ file = \"S\\u0000\" }",
        "{ env = \"S=\" }",
        "\"S\" S",
        "= \"S\"",
        "\"\\S\"",
        "{ S }",
        "[S",
        "{ keyring = S, }",
        "S-1",
        "",
        "S.S = 1",
        "\"keyring\"\nS = 1",
        "\nS",
        "\"S\" # S",
    ]);
    let line = (key, value).prop_map(|(key, value)| format!("{key} = {value}"));
    let other = prop::sample::select(vec![
        "[local]",
        "[[account]]",
        "[account.pop3]",
        "[account.smtp]",
        "[[account.smtp]]",
        "[account.password]",
        "[account.smtp.login]",
        "[timeouts]",
        "[account.S]",
        "[S]",
        "[\"S\"]",
        "[S",
        "[[S]]",
        "S",
        "S = 1",
        "address = \"a@b\"",
        "host = \"h\"",
        "auth = \"pop-before-smtp\"",
        "password",
        "password S",
        "password: S",
        "account = [{ password = \"S\" }]",
        "# S",
        "pop3 = { host = \"h\", password = \"S\" }",
        "security = \"none\"",
    ]);
    prop_oneof![line, other.prop_map(str::to_owned)]
}

fn shown(text: &str) -> String {
    match parse(text, Path::new("o.toml")) {
        Ok(parsed) => parsed.warnings.iter().map(Remark::to_string).collect::<Vec<_>>().join("\n"),
        Err(mistakes) => mistakes.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_octets_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    #[test]
    fn a_planted_secret_is_never_shown(lines in prop::collection::vec(planted(), 1..9)) {
        let text = lines.join("\n").replace('S', SECRET);
        let shown = shown(&text);
        prop_assert!(!shown.contains("hunter2"), "{shown}");
        prop_assert!(!shown.contains("SECRET"), "{shown}");
        fuzz(text.as_bytes());
    }

    /// The example with a piece taken out and another put in: every line of what is said has the promised form, and
    /// an account that is taken out leaves a file that is as right as before.
    #[test]
    fn an_edit_anywhere_gives_lines_of_the_promised_form(
        at in 0..EXAMPLE.len(), length in 0..40usize, put in "[\\[\\]{}=\"'a-z0-9.,#\n\r ]{0,6}",
    ) {
        let end = (at + length).min(EXAMPLE.len());
        let text = format!("{}{put}{}", EXAMPLE.get(..at).unwrap_or(""), EXAMPLE.get(end..).unwrap_or(""));
        let text = text.replace("\"keyring\"", &format!("\"{SECRET}\""));
        let shown = shown(&text);
        prop_assert!(!shown.contains("hunter2"), "{shown}");
        fuzz(text.as_bytes());
        let form = |line: &str| {
            let mut parts = line.splitn(4, ':');
            let number = |part: Option<&str>| part.and_then(|p| p.parse::<usize>().ok()).is_some_and(|n| n > 0);
            parts.next() == Some("o.toml") && number(parts.next()) && number(parts.next())
                && parts.next().is_some_and(|rest| rest.starts_with(' ') && rest.contains(": "))
        };
        prop_assert!(shown.lines().all(form), "{shown}");
        if let Ok(rest) = remove_account(&text, "home") {
            prop_assert!(rest.len() < text.len());
        }
    }
}
