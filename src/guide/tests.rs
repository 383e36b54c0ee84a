//! Every guide, held to what `config/guides/README.md` promises.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::*;
use ostler_mail::account::{Access, Account, Door, Protocol, SecretSource, Settings, SignIn, Timeouts};

pub(crate) fn account() -> Account {
    ostler_mail::account::testing::account("home", "ann@example.net", "ann")
}

pub(crate) fn door(protocol: Protocol, address: &str) -> Door {
    Door { protocol, address: address.parse::<SocketAddr>().unwrap(), is_companion: false, account: None }
}

/// One account, doors on these ports; 0: no door.
pub(crate) fn settings(pop3: u16, smtp: u16) -> Settings {
    let on = |protocol, port: u16| (port != 0).then(|| door(protocol, &format!("127.0.0.1:{port}")));
    Settings {
        doors: on(Protocol::Pop3, pop3).into_iter().chain(on(Protocol::Smtp, smtp)).collect(),
        page: None,
        page_has_companion: false,
        access: Access::SameUser,
        allow: vec![],
        proxies: vec![],
        metrics: false,
        notices: true,
        issuers: Vec::new(),
        accounts: vec![Arc::new(account())],
        timeouts: Timeouts::default(),
    }
}

pub(crate) fn values(settings: &Settings) -> GuideValues {
    of(settings, System::Linux)
}

fn of(settings: &Settings, system: System) -> GuideValues {
    GuideValues::new(settings, &settings.accounts[0], Path::new("/home/ann/ostler.toml"), system)
}

/// Settings that make a difference to a guide.
fn all_kinds() -> Vec<Settings> {
    let mut kinds = vec![settings(12110, 12025), settings(12110, 0), settings(0, 12025), settings(110, 25)];
    let with = |change: fn(&mut Account)| {
        let mut settings = settings(12110, 12025);
        let mut account = account();
        change(&mut account);
        settings.accounts = vec![Arc::new(account)];
        settings
    };
    let reader = |a: &mut Account| {
        a.imap = a.pop3.clone().map(|server| ostler_mail::account::Server { protocol: Protocol::Imap, ..server })
    };
    let mut reading = with(reader);
    reading.doors.push(door(Protocol::Imap, "127.0.0.1:12143"));
    let mut only_reading = reading.clone();
    let mut account = account();
    reader(&mut account);
    (account.pop3, account.smtp) = (None, Vec::new());
    only_reading.accounts = vec![Arc::new(account)];
    kinds.push(with(|a| a.pop3 = None));
    kinds.push(with(|a| a.smtp.clear()));
    kinds.push(with(|a| a.name = "ann@example.net".into()));
    kinds.push(with(|a| (a.pop3, a.smtp) = (None, Vec::new())));
    let mut password = settings(12110, 12025);
    password.access = Access::Password;
    kinds.push(password);
    let mut several = settings(12110, 12025);
    several.accounts.push(Arc::new(ostler_mail::account::testing::account("work", "ann@work.example", "ann")));
    kinds.push(several);
    kinds.extend([reading, only_reading]);
    kinds
}

#[test]
fn every_guide_can_be_shown_to_everybody() {
    for client in clients() {
        for settings in all_kinds() {
            for system in [System::Linux, System::Windows, System::MacOs] {
                let values = of(&settings, system);
                let markdown = client.expanded(&values).unwrap_or_else(|m| panic!("{}: {m}", client.name));
                // Every value is known.
                let mut rest = markdown.as_str();
                while let Some((name, after)) = rest.split_once("{{").and_then(|(_, tail)| tail.split_once("}}")) {
                    assert!(client.value(&values, name).is_some(), "{}: {{{{{name}}}}}", client.name);
                    rest = after;
                }
                let text = client.text(&values, 80);
                assert!(!text.contains("{{") && !text.contains("<!--") && !text.contains("**"), "{text}");
                assert!(
                    !text.contains("``") && !text.contains(" ,") && !text.contains(" . ") && !text.contains(".  "),
                    "{}: {text}",
                    client.name
                );
                let long: Vec<_> = text.lines().filter(|l| l.chars().count() > 80 && l.trim().contains(' ')).collect();
                let commands = long.iter().all(|l| l.contains("sudo") || l.contains("HKEY"));
                assert!(commands, "{}: {long:?}", client.name);
            }
        }
    }
}

#[test]
fn a_program_that_cannot_read_todays_mail_offers_what_helps() {
    use ostler_mail::readable::PROFILES;
    let values = values(&all_kinds()[0]);
    for (name, readable) in READERS {
        let client = find(name).unwrap();
        assert!(PROFILES.iter().any(|profile| profile.name == readable), "{readable}");
        let text = client.text(&values, 80);
        assert!(
            text.contains(&format!("readable = \"{readable}\"")) && text.contains("If letters look wrong"),
            "{text}"
        );
        assert!(text.contains("The original"), "{text}");
    }
    assert!(find("eudora").unwrap().text(&values, 80).contains("don\u{e2}\u{20ac}\u{2122}t"));
    let others = clients().iter().filter(|client| client.readable().is_none());
    others.for_each(|client| assert!(!client.text(&values, 80).contains("readable"), "{}", client.name));
}

#[test]
fn where_nothing_can_be_fetched_or_sent_the_guide_says_only_that() {
    let shut = find("oe").unwrap().text(&values(&settings(0, 0)), 200);
    assert!(shut.contains("Fetching mail is switched off") && shut.contains("Sending mail is switched off"), "{shut}");
    assert!(shut.contains("pop3 = 2110") && !shut.contains("The steps"), "{shut}");
    let neither = find("oe").unwrap().text(&values(&all_kinds()[7]), 200);
    assert!(neither.contains("Give the account a server first") && !neither.contains("The steps"), "{neither}");
}

#[test]
fn every_guide_has_its_parts_and_ends_with_what_to_do() {
    for client in clients() {
        let text = client.text(&values(&settings(12110, 12025)), 80);
        assert!(text.starts_with(&format!("{}\n===", client.title())), "{text}");
        for part in [
            "What you will type\n",
            "Before you change anything\n",
            "The steps\n",
            "What to expect\n",
            "How to go back\n",
            "If it does not work\n",
        ] {
            assert!(text.contains(&format!("\n{part}---")), "{}: {part}", client.name);
        }
        assert!(text.contains(&format!("ostler guide {} --watch", client.name)), "{}", client.name);
        assert!(text.contains("old values from your notes"), "{}", client.name);
        assert!(text.contains(" 1. ") && text.contains("probably"), "{}", client.name);
    }
}

/// The items of numbered lists, as they are in the file.
fn steps(source: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut inside = false;
    for line in source.lines() {
        let is_word = line.trim().starts_with("{{") && line.trim().ends_with("}}") && !line.contains("}} ");
        if line.starts_with("1. ") {
            steps.push(line.to_owned());
            inside = true;
        } else if inside && (line.starts_with("   ") || line.is_empty() || is_word) {
            let step = steps.last_mut().unwrap();
            step.push(' ');
            step.push_str(line);
        } else {
            inside = false;
        }
    }
    steps
}

#[test]
fn every_step_says_where_it_is_from_and_unconfirmed_ones_say_probably() {
    let sources = CLIENTS.iter().map(|c| (c.name, c.source)).chain(PARTS.iter().copied());
    for (name, source) in sources {
        for step in steps(source) {
            let comments = step.matches("<!-- source: ").count();
            assert_eq!(comments, 1, "{name}: {step}");
            let from = step.split("<!-- source: ").nth(1).and_then(|c| c.split(" -->").next()).unwrap();
            let marks: Vec<&str> = from.split("; ").filter_map(|m| m.split([',', ' ']).next()).collect();
            assert!(matches!(marks.first(), Some(&("P" | "D" | "O" | "I"))), "{name}: {from}");
            assert!(from.len() > 5, "{name}: {from}");
            let words = step.split("<!--").next().unwrap();
            // A comment at the front would swallow the line behind it.
            assert!(words.len() > 5, "{name}: {step}");
            assert_eq!(marks.contains(&"I"), words.contains("probably"), "{name}: {step}");
        }
    }
}

#[test]
fn every_guide_names_the_doors_as_they_are_and_no_other() {
    for client in clients() {
        let both = client.text(&values(&settings(12110, 12025)), 80);
        assert!(both.contains("12110") && both.contains("12025") && both.contains("127.0.0.1"), "{}", client.name);
        for default in ["2110", "2025", "2143", "2080", "995", "465", "587", "993"] {
            let words = both.replace("12110", "").replace("12025", "");
            assert!(!words.contains(default), "{}: {default}", client.name);
        }
        let only = |settings: &Settings| {
            client.text(&values(settings), 80).replace("12110", "POP").replace("12025", "SMTP-PORT")
        };
        let kinds = all_kinds();
        let no_smtp = only(&kinds[5]);
        assert!(no_smtp.contains("POP") && !no_smtp.contains("SMTP-PORT"), "{}: {no_smtp}", client.name);
        assert!(no_smtp.contains("ostler only fetches mail"), "{}", client.name);
        let no_pop = only(&kinds[4]);
        assert!(no_pop.contains("SMTP-PORT") && !no_pop.contains("12110"), "{}: {no_pop}", client.name);
        let off = client.text(&values(&kinds[1]), 80);
        assert!(off.contains("Sending mail is switched off") && off.contains("smtp = 2025"), "{}: {off}", client.name);
    }
}

#[test]
fn every_guide_says_how_to_read_by_imap_where_that_can_be_done() {
    let kinds = all_kinds();
    let (reading, only_reading) = (&kinds[kinds.len() - 2], &kinds[kinds.len() - 1]);
    for client in clients() {
        for settings in [reading, only_reading] {
            let text = client.text(&values(settings), 80);
            assert!(
                text.contains("\nIf you want to read by IMAP\n---") && text.contains("12143"),
                "{}: {text}",
                client.name
            );
            assert!(text.contains("Show in IMAP") && text.contains("sent mail"), "{}: {text}", client.name);
            // Of two incoming servers at the top, a reader would not know which one to type.
            let top = text.split("Before you change anything").next().unwrap();
            assert_eq!(top.contains("12143"), !top.contains("12110"), "{}: {top}", client.name);
        }
        let without = client.text(&values(&settings(12110, 12025)), 80);
        assert!(!without.contains("read by IMAP"), "{}: {without}", client.name);
    }
}

#[test]
fn the_password_is_the_one_that_counts() {
    let text = |settings: &Settings| find("oe").unwrap().text(&values(settings), 200);
    let mut settings = settings(12110, 12025);
    let any = text(&settings);
    assert!(any.contains("Type into \"Password\": any word, for example x. Tick"), "{any}");
    assert!(any.contains("\"My server requires authentication\" can stay as it is"), "{any}");
    settings.access = Access::Password;
    let local = text(&settings);
    assert!(local.contains("Type into \"Password\": the one that ostler list --passwords shows for home."), "{local}");
    assert!(local.contains("Tick \"My server requires authentication\"") && !local.contains("any word"), "{local}");
    settings.access = Access::SameUser;
    let mut account = account();
    for server in account.pop3.iter_mut().chain(&mut account.smtp) {
        if let SignIn::Password(credentials) = &mut server.sign_in {
            credentials.secret = SecretSource::Client;
        }
    }
    settings.accounts = vec![Arc::new(account)];
    let own = text(&settings);
    assert!(own.contains("the password that your provider gave you") && !own.contains("any word"), "{own}");
    assert!(own.contains("Tick \"My server requires authentication\""), "{own}");
}

#[test]
fn key_lines_of_some_guides() {
    let settings = settings(12110, 12025);
    let text = |name: &str, system| find(name).unwrap().text(&of(&settings, system), 500);
    let eudora = text("eudora", System::Windows);
    assert!(eudora.contains("        POPPort=12110\n        SMTPPort=12025\n"), "{eudora}");
    assert!(eudora.contains("Type there: home@127.0.0.1") && eudora.contains("1. Close Eudora."), "{eudora}");
    let netscape = text("netscape 4", System::Linux);
    assert!(netscape.contains("so that it reads smtp = [12025, 25]."), "{netscape}");
    assert!(netscape.contains("        sudo sysctl net.ipv4.ip_unprivileged_port_start=25\n"), "{netscape}");
    assert!(netscape.contains("Linux reserves ports below 1024 for the administrator,"), "{netscape}");
    assert!(netscape.contains("sudo setcap cap_net_bind_service=+ep"), "{netscape}");
    assert!(netscape.contains("always on port 25") && netscape.contains("smtp = \"192.168.1.10:25\""), "{netscape}");
    let mac = text("netscape 4", System::MacOs);
    assert!(mac.contains("port 25 -> 127.0.0.1 port 12025\" | sudo pfctl -ef -"), "{mac}");
    let netscape = text("netscape 4", System::Windows);
    assert!(!netscape.contains("sudo") && netscape.contains("Windows lets every program open port 25"), "{netscape}");
    let oe = text("Outlook Express", System::Windows);
    assert!(oe.contains("Type into \"Incoming mail (POP3)\": 127.0.0.1\n"), "{oe}");
    assert!(oe.contains("Type into \"Incoming mail (POP3)\": 12110\n"), "{oe}");
    let entourage = text("entourage", System::MacOs);
    assert!(entourage.contains("tick \"Override default POP port\", and type: 12110"), "{entourage}");
}

#[test]
fn doors_of_an_accounts_own_come_first_and_names_fit_the_program() {
    let mut settings = settings(12110, 12025);
    let mut account = account();
    account.name = "ann@example.net".into();
    settings.accounts = vec![Arc::new(account)];
    let mut own = door(Protocol::Pop3, "127.0.0.2:110");
    own.account = Some("ann@example.net".into());
    settings.doors.push(own);
    let mut another = door(Protocol::Smtp, "127.0.0.3:25");
    another.account = Some("work".into());
    settings.doors.push(another);
    let text = find("eudora").unwrap().text(&values(&settings), 200);
    assert!(text.contains("POPPort=110\n        SMTPPort=12025\n"), "{text}");
    assert!(text.contains("Type there: ann@example.net@127.0.0.2"), "{text}");
    assert!(text.contains("type ann%example.net instead"), "{text}");
    let text = find("netscape-4").unwrap().text(&values(&settings), 200);
    assert!(text.contains("there: ann%example.net\n") && text.contains("account name: ann%example.net\n"), "{text}");
    assert!(!text.contains("127.0.0.3"), "{text}");
    settings.doors = vec![door(Protocol::Pop3, "192.168.1.10:2110"), door(Protocol::Smtp, "0.0.0.0:2025")];
    let text = find("eudora-mac").unwrap().text(&values(&settings), 500);
    assert!(
        text.contains(r#"pop3 = ["192.168.1.10:2110", "192.168.1.10:110"] and smtp = ["0.0.0.0:2025", "0.0.0.0:25"]"#),
        "{text}"
    );
    assert!(text.contains("SMTP Server\": 192.168.1.10\n") && !text.contains("127.0.0.1"), "{text}");
    assert!(text.contains("ostler is set up to serve other computers too"), "{text}");
}

#[test]
fn html_is_a_whole_page_in_which_nobodys_name_is_markup() {
    let mut settings = settings(12110, 12025);
    let mut account = account();
    account.name = "<b>&\"*x*".into();
    settings.accounts = vec![Arc::new(account)];
    for client in clients() {
        let page = client.html_page(&values(&settings));
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>") && !page.contains("<em>"), "{}", client.name);
        assert!(!page.contains("<!--") && page.contains("<style>"), "{}", client.name);
        assert_eq!(page.matches("<h1>").count(), 1);
        let body = client.html_body(&values(&settings));
        assert!(page.contains(&body) && !body.contains("<html"));
    }
}

#[test]
fn on_the_page_no_guide_asks_for_a_terminal_and_only_what_is_typed_can_be_copied() {
    let mut settings = settings(12110, 12025);
    for access in [Access::SameUser, Access::Password] {
        settings.access = access;
        for client in clients() {
            // Windows: to open port 25, Linux and macOS want an administrator at a terminal.
            let shown = client.html_body(&of(&settings, System::Windows).on_the_page());
            for command in ["ostler guide", "ostler check", "ostler status", "ostler list", "ostler.toml"] {
                assert!(!shown.contains(command), "{}: {command}", client.name);
            }
            let copied: Vec<&str> =
                shown.split("<code class=\"value\">").skip(1).filter_map(|rest| rest.split("</code>").next()).collect();
            assert!(copied.contains(&"12110") && copied.contains(&"home"), "{}: {copied:?}", client.name);
            assert!(copied.iter().all(|value| !value.contains("ostler.toml") && !value.contains("[Settings]")));
            assert!(!shown.contains('\u{1}'), "{}", client.name);
        }
    }
}

#[test]
fn programs_are_found_by_many_names() {
    for (given, name) in [
        ("oe", "outlook-express"),
        ("Outlook Express", "outlook-express"),
        ("OUTLOOK-EXPRESS-6", "outlook-express"),
        ("outlook expr", "outlook-express"),
        ("outlook 2003", "outlook-2002-2003"),
        ("outlook", "outlook-2007"),
        ("eudora", "eudora-windows"),
        ("Eudora Mac", "eudora-mac"),
        ("netscape 4.7", "netscape-4"),
        ("netscape", "netscape-7"),
        ("apple mail", "mac-os-x-mail"),
        ("Mail.app", "mac-os-x-mail"),
        ("the bat!", "the-bat"),
        ("peg", "pegasus"),
        ("vista", "windows-mail"),
        ("claws-mail", "claws"),
        ("other", "other"),
    ] {
        assert_eq!(find(given).map(|c| c.name), Ok(name), "{given}");
    }
    assert_eq!(find("lotus"), Err(NoSuchGuide::Unknown("lotus".into())));
    assert!(find("").is_err() && find("!").is_err());
    let Err(NoSuchGuide::Ambiguous { names, .. }) = find("netsc") else { panic!() };
    assert_eq!(names, ["netscape-4", "netscape-6", "netscape-7"]);
    assert_eq!(find("netsc").unwrap_err().to_string(), "\"netsc\" may be netscape-4 or netscape-6 or netscape-7");
}

#[test]
fn names_are_short_and_no_two_programs_share_one() {
    let mut seen = std::collections::HashSet::new();
    for client in clients() {
        assert!(
            client.name.len() <= 20
                && client.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        );
        let own: std::collections::HashSet<String> = client.names().map(normalize).collect();
        for name in own {
            assert!(seen.insert(name.clone()), "{name}");
        }
    }
}

#[test]
fn every_command_of_a_guide_repeats_the_option() {
    let settings = settings(12110, 12025);
    let values = values(&settings).repeating_option(Some("--config 'a *b* {{c}}.toml'"));
    for client in clients() {
        let text = client.text(&values, 80);
        let watch = format!("ostler guide {} --watch --config 'a *b* {{{{c}}}}.toml'", client.name);
        assert!(text.contains(&watch), "{text}");
        for (at, _) in text.match_indices("ostler check") {
            assert!(text[at..].starts_with("ostler check --config '"), "{text}");
        }
        assert!(client.html_page(&values).contains("--watch --config 'a *b* {{c}}.toml'</code>"));
    }
}

#[test]
fn programs_with_a_challenge_are_told_to_use_it_where_ostler_can_check_it() {
    let mut settings = settings(12110, 12025);
    settings.access = Access::Password;
    for client in clients() {
        let text = client.text(&values(&settings), 500);
        let has_one = PROGRAMS_WITH_CHALLENGES.contains(&client.name);
        assert_eq!(text.contains("is never sent"), has_one, "{}: {text}", client.name);
        assert_eq!(text.contains("APOP") || text.contains("secure authentication"), has_one, "{}: {text}", client.name);
    }
    let eudora = find("eudora").unwrap().text(&values(&settings), 500);
    assert!(eudora.contains("\"APOP\" as authentication style") && eudora.contains("CRAM-MD5"), "{eudora}");
    settings.access = Access::SameUser;
    let eudora = find("eudora").unwrap().text(&values(&settings), 500);
    assert!(eudora.contains("\"Passwords\" as authentication style") && !eudora.contains("APOP"), "{eudora}");
}

#[test]
fn every_guide_for_another_computer_names_the_doors_of_the_network_and_the_password() {
    let mut settings = settings(12110, 12025);
    settings.access = Access::Password;
    settings.doors.push(door(Protocol::Pop3, "192.168.1.10:13110"));
    settings.doors.push(door(Protocol::Smtp, "192.168.1.10:13025"));
    let secret = Arc::new(ostler_mail::secret::Secret::new("abcdefg-hijklmn".to_owned()).unwrap());
    let account = Arc::clone(&settings.accounts[0]);
    let reader =
        Reader { is_elsewhere: true, computer: Some("old-mac".into()), ..Reader::default() }.showing(Some(secret));
    let of = |settings: &Settings, reader: &Reader| {
        GuideValues::for_reader(settings, &account, Path::new("/o.toml"), System::Linux, reader)
    };
    for client in clients() {
        let text = client.text(&of(&settings, &reader), 500);
        assert!(text.contains("a program on the computer old-mac") && text.contains("192.168.1.10"), "{text}");
        assert!(text.contains("Password: abcdefg-hijklmn") && text.contains("13110"), "{text}");
        let port = if PROGRAMS_ON_PORT_25.contains(&client.name) { "192.168.1.10:25" } else { "13025" };
        assert!(text.contains(port), "{}: {text}", client.name);
        for of_this_computer in ["127.0.0.1", "2110\n", "does not leave your computer"] {
            assert!(
                !text.replace("13110", "").contains(of_this_computer),
                "{}: {of_this_computer}: {text}",
                client.name
            );
        }
        let here = client.text(&of(&settings, &Reader::default()), 500);
        assert!(here.contains(&format!("ostler guide {} --for NAME", client.name)), "{here}");
        assert!(here.contains("(POP3): 127.0.0.1") && !here.contains("abcdefg"), "{here}");
        let page = client.html_body(&of(&settings, &reader).on_the_page());
        assert!(page.contains("<code class=\"value\">abcdefg-hijklmn</code>"), "{page}");
    }
    // Only sending is open to others.
    settings.doors.remove(2);
    let text = find("oe").unwrap().text(&of(&settings, &reader), 500);
    assert!(text.contains("Other computers cannot fetch mail through ostler yet") && text.contains("13025"), "{text}");
    assert!(!text.contains("12110") && !text.contains("switched off"), "{text}");
    let stranger = Reader { address: Some("192.168.9.9".parse().unwrap()), ..reader };
    let text = find("oe").unwrap().text(&of(&settings, &stranger), 500);
    assert!(text.contains("ostler does not let 192.168.9.9 in yet"), "{text}");
}
