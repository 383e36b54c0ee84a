//! Fuzz targets for what the program itself parses: settings and preset files, other programs' settings, a provider's
//! autoconfig file, error texts that a user pastes. They need the whole program to be built; all other targets need the
//! crate `ostler-mail` only. `fuzz_targets/` and `tests/corpus.rs` take this file in by its path.

use std::path::Path;

use ostler::diagnose::explain;
use ostler::setup::discover::{Domain, autoconfig};
use ostler::setup::import::{Asked, Imported};
use ostler_mail::account::Security;

/// A fuzz target.
type Target = fn(&[u8]);

/// Every target of this file with the name of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("autoconfig", autoconfig_file),
    ("import", import),
    ("pasted", pasted),
    ("providers", providers),
    ("settings", settings),
];

/// A settings file: no octets break reading or changing it, no message shows a planted secret, every message is one
/// line of the promised form, and an account that is taken out leaves all others as they were.
pub fn settings(data: &[u8]) {
    ostler::config::fuzz(data);
    let text = String::from_utf8_lossy(data);
    let file = Path::new("o.toml");
    match ostler::config::parse(&text, file) {
        Err(mistakes) => {
            for remark in mistakes.iter() {
                let said = remark.to_string();
                assert!(!said.contains(char::is_control) && said.starts_with("o.toml:"), "{said:?}");
                assert!(remark.line > 0 && remark.line <= text.lines().count().max(1) + 1, "{said}");
            }
        }
        Ok(parsed) => {
            for account in &parsed.settings.accounts {
                let Ok(rest) = ostler::config::remove_account(&text, &account.name) else { continue };
                let rest = ostler::config::parse(&rest, file).expect("what is left is as right as before");
                let others = parsed.settings.accounts.iter().filter(|other| other.name != account.name);
                assert!(rest.settings.accounts.iter().eq(others), "another account changed");
                assert_eq!(
                    (rest.settings.access, rest.settings.timeouts),
                    (parsed.settings.access, parsed.settings.timeouts.clone())
                );
            }
        }
    }
}

/// A file of presets: no octets break reading it, no message shows a planted secret, every message is one line of the
/// promised form, and whatever is read gives servers that can be connected to.
pub fn providers(data: &[u8]) {
    ostler::config::presets::fuzz(data);
}

/// Another program's settings: reading ends, what is said is one line each, no server is without encryption, and every
/// host and name is one that the settings file can hold.
pub fn import(data: &[u8]) {
    for address in [None, Some("office@wren-joinery.example")] {
        let asked = Asked { address, has_own_certificate: address.is_some() };
        if let Ok(file) = ostler::setup::import::read(data, ostler::config::presets::Presets::built_in(), &asked) {
            check_import(&file);
        }
    }
}

fn check_import(file: &Imported) {
    for sentence in file.sentences() {
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
    for account in &file.accounts {
        for endpoint in account.proposal.endpoints() {
            assert!(endpoint.security != Security::None && endpoint.port != 0, "{endpoint:?}");
            assert_eq!(ostler::config::value::host(&endpoint.host).as_ref(), Ok(&endpoint.host));
        }
        if let Some(address) = &account.address {
            assert_eq!(ostler::config::value::address(address).as_ref(), Ok(address));
        }
        for name in account.username.iter().chain(&account.smtp_username) {
            assert_eq!(ostler::config::value::username(name).as_ref(), Ok(name));
        }
    }
}

/// A provider's file of mail settings, from a stranger: what is read of it is clean and small, and no server is in clear.
pub fn autoconfig_file(data: &[u8]) {
    let domain = Domain::parse("example.net").unwrap();
    let Ok(config) = autoconfig::parse(data, &domain) else { return };
    assert!((1..=64).contains(&config.endpoints.len()), "{} servers", config.endpoints.len());
    for endpoint in &config.endpoints {
        assert_ne!(endpoint.security, Security::None, "in clear");
        assert_ne!(endpoint.port, 0);
        let host = Domain::parse(&endpoint.host).unwrap();
        assert_eq!(host.as_str(), endpoint.host, "a host that is written otherwise");
        for name in endpoint.login.candidates("ann@example.net") {
            assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
        }
    }
    let texts = config.title.iter().chain(config.hints.iter().map(|hint| &hint.text));
    for text in texts {
        assert!(text.chars().count() <= 500 && !text.chars().any(char::is_control), "{text:?}");
    }
    for url in config.hints.iter().filter_map(|hint| hint.url.as_ref()) {
        assert!(url.starts_with("http") && url.bytes().all(|b| matches!(b, b'!'..=b'~')), "{url:?}");
    }
}

/// An error pasted from a mail program: explained or not, in known words.
pub fn pasted(data: &[u8]) {
    let found = explain::explain(&String::from_utf8_lossy(data));
    assert!(found.len() <= explain::MAX_EXPLANATIONS, "too many");
    for one in found {
        assert!(!one.found.is_empty() && one.found.bytes().all(|b| matches!(b, b' '..=b'~')), "{:?}", one.found);
        assert!(explain::cause(&one.cause.id).is_some());
    }
}
