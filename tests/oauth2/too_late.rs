//! A person who takes too long: how long a sign-in is waited for. The program's clock goes faster, so no test waits.

use crate::attacks::port_of;
use crate::support::clock::Clock;
use crate::support::issuer::Issuer;
use crate::support::ostler::Home;
use crate::support::require;
use crate::{SignIn, Site};

/// A sign-in for which ten minutes are two seconds.
fn sign_in_by_a_fast_clock(home: &Home, words: &[&str]) -> SignIn {
    let clock = Clock::new();
    clock.jump("+0 x300");
    let mut command = home.command(words);
    clock.hand_with_waits(&mut command);
    SignIn::of(command).keeping(clock)
}

#[test]
fn a_browser_is_waited_for_ten_minutes() {
    require!("dovecot", "postfix", "keyring", "issuer", "faketime");
    let site = Site::start();
    let home = site.home();
    let before = home.settings();
    let ca = home.ca_file().display().to_string();
    let mut add = vec!["add", "new@example.net", "--oauth2", "test", "--no-browser", "--yes", "--ca", &ca];
    let servers = crate::adding::servers(&site);
    add.extend(servers.iter().map(String::as_str));
    for words in [["sign-in", "--no-browser"].as_slice(), &add] {
        let sign_in = sign_in_by_a_fast_clock(&home, words);
        let port = port_of(&sign_in);
        let told = sign_in.fails();
        assert!(told.contains("nobody signed in within 10 minutes; start again when you are ready"), "{told}");
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is closed");
    }
    assert!(site.tokens().is_null());
    assert_eq!(home.settings(), before);
    assert!(site.issuer.requests().is_empty(), "{:?}", site.issuer.requests());
}

#[test]
fn a_code_is_waited_for_as_long_as_the_company_keeps_it() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::with(Issuer::builder().device_ttl(1));
    let home = site.home();
    let mut sign_in = SignIn::start(&home, &["sign-in", "--device"]);
    let code = sign_in.next_line();
    assert!(!code.is_empty());
    let told = sign_in.fails();
    assert!(told.contains("nobody signed in within") && told.contains("start again"), "{told}");
    assert!(site.tokens().is_null());
}
