//! A company that gives a secret with a registration.

use crate::renewing::wait_until_due;
use crate::support::client;
use crate::support::issuer::{Issuer, SECRET_OF_REGISTRATION};
use crate::support::ostler::Home;
use crate::support::process::{out, said};
use crate::support::terminal::Terminal;
use crate::support::{mail, require};
use crate::{ANN, SignIn, Site};

#[test]
fn the_secret_of_a_registration_is_kept_in_the_keyring_and_proves_who_ostler_is() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::with(Issuer::builder().access_ttl(2));
    let mut home = site.home_with("client_secret = \"keyring\"");
    let settings = home.settings().replace("client_id = \"ostler\"", "client_id = \"ostler-with-a-secret\"");
    home.write_settings(&settings);
    home.keep_secret(SECRET_OF_REGISTRATION);
    // Nobody is sent to the company's page in vain.
    let servers = crate::adding::servers(&site);
    let ca = home.ca_file().display().to_string();
    let mut add = vec!["add", "new@example.net", "--oauth2", "test", "--no-browser", "--yes", "--ca", &ca];
    add.extend(servers.iter().map(String::as_str));
    for words in [["sign-in", "--no-browser"].as_slice(), &add] {
        let told = home.ostler(words, "");
        assert_eq!((told.status.code(), out(&told).contains("https://")), (Some(1), false), "{}", said(&told));
        let command = "is not in the keyring: run `ostler password --oauth2 test";
        assert!(said(&told).contains(command), "{}", said(&told));
    }
    for (name, input, code, words) in [
        ("nobody", "x-y-z-x-y-z\n", 1, "ostler knows no company \"nobody\""),
        ("google", "x-y-z-x-y-z\n", 1, "put client_secret = \"keyring\" below [oauth2.google]"),
        ("test", "", 1, "empty"),
        ("test", "not-the-secret\n", 0, "stored in the keyring, for localhost"),
    ] {
        let done = home.ostler(&["password", "--oauth2", name, "--stdin"], input);
        assert_eq!(done.status.code(), Some(code), "{}", said(&done));
        assert!(said(&done).contains(words), "{}", said(&done));
    }
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.sign_in(&sign_in.address, "ann");
    let told = sign_in.fails();
    assert!(told.contains("refuses the sign-in: invalid_client"), "{told}");
    let done = home.ostler(&["password", "--oauth2", "test", "--stdin"], &format!("{SECRET_OF_REGISTRATION}\n"));
    assert!(done.status.success(), "{}", said(&done));
    site.sign_in(&mut home);
    let message = mail::tricky("confidential");
    site.dovecot.deliver(ANN, &message);
    wait_until_due(&site);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    assert!(site.issuer.count("refresh_token 200") > 0, "{:?}", site.issuer.requests());
    assert_eq!(ostler.home.settings(), settings);
}

#[test]
fn the_secret_of_a_registration_is_asked_for_before_the_browser_opens() {
    require!("dovecot", "postfix", "keyring", "issuer", "setsid");
    let site = Site::start();
    let tables = site.issuer.settings("client_secret = \"keyring\"").replace("\"ostler\"", "\"ostler-with-a-secret\"");
    let mut home = Home::with_settings(&site.ca, &[], "", &tables).with_keyring(&site.keyring);
    home.keep_secret(SECRET_OF_REGISTRATION);
    let ca = home.ca_file().display().to_string();
    let servers = crate::adding::servers(&site);
    let mut words = vec!["add", ANN, "--name", "home", "--oauth2", "test", "--no-browser", "--yes", "--ca", &ca];
    words.extend(servers.iter().map(String::as_str));
    let mut terminal = Terminal::start(&home.command(&words));
    let before = terminal.wait_for("Secret of the registration at test (it does not show while you type): ");
    assert!(!before.contains("https://"), "{before}");
    terminal.password(SECRET_OF_REGISTRATION);
    terminal.wait_for("sign in there:");
    terminal.wait_for("https://");
    let address = format!("https://{}", terminal.wait_for("\r\n").trim_end());
    let page = site.issuer.sign_in(&address, "ann");
    assert!(page.contains("You can close this page"), "{page}");
    terminal.wait_for("works and is saved");
    assert!(terminal.end().success(), "{}", terminal.all());
    assert!(!terminal.all().contains(SECRET_OF_REGISTRATION), "{}", terminal.all());
    site.keep_secret(&mut home);
    let message = mail::tricky("with a secret");
    site.dovecot.deliver(ANN, &message);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
}
