//! Passwords in a real keyring.

use crate::support::client::{self, Client};
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home};
use crate::support::process::said;
use crate::support::{mail, require, wait_for};
use crate::{ANN, BOB, Site};

/// A home whose account keeps its password in this keyring.
fn home(site: &Site, keyring: &Keyring) -> Home {
    let account: Account = site.account().keyring();
    let mut home = Home::new(&site.ca, &[account]).with_keyring(keyring);
    home.keep_secret(&site.password);
    home
}

#[test]
fn a_password_given_once_is_kept_and_used() {
    require!("dovecot", "postfix", "keyring");
    let (site, keyring) = (Site::start(), Keyring::start());
    let home = home(&site, &keyring);
    let before = home.settings();
    let stored = home.ostler(&["password", "home", "--stdin"], &format!("{}\n", site.password));
    assert!(stored.status.success(), "{}", said(&stored));
    assert_eq!(home.settings(), before, "the settings file is the user's");
    let message = mail::tricky("keyring");
    site.dovecot.deliver(ANN, &message);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(site.postfix.deliveries().len(), 1);
    for file in keyring.files() {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(memchr::memmem::find(&bytes, site.password.as_bytes()).is_none(), "{}", file.display());
    }
}

#[test]
fn without_a_password_the_client_is_told_how_to_give_one() {
    require!("dovecot", "postfix", "keyring");
    let (site, keyring) = (Site::start(), Keyring::start());
    let ostler = home(&site, &keyring).run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let refusal = pop.ask("PASS x", "-ERR");
    assert!(refusal.contains("ostler password home"), "{refusal}");
    assert!(site.dovecot.logins().is_empty());
}

#[test]
fn a_password_changed_while_running_is_used_by_the_next_session() {
    require!("dovecot", "postfix", "keyring");
    let (site, keyring) = (Site::start(), Keyring::start());
    let home = home(&site, &keyring);
    let wrong = home.ostler(&["password", "home", "--stdin"], "not-the-password\n");
    assert!(wrong.status.success(), "{}", said(&wrong));
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [AUTH]");
    let right = ostler.home.ostler(&["password", "home", "--stdin"], &format!("{}\n", site.password));
    assert!(right.status.success(), "{}", said(&right));
    wait_for("the new password to be used", || {
        let mut pop = Client::greeted(ostler.pop3, "+OK");
        pop.ask("USER home", "+OK");
        pop.say("PASS x");
        pop.line().filter(|line| line.starts_with("+OK"))
    });
}

#[test]
fn a_keyring_that_comes_later_is_found_without_a_restart() {
    require!("dovecot", "postfix", "keyring");
    let site = Site::start();
    let mut keyring = Keyring::start();
    let home = home(&site, &keyring);
    let stored = home.ostler(&["password", "home", "--stdin"], &format!("{}\n", site.password));
    assert!(stored.status.success(), "{}", said(&stored));
    keyring.close();
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [SYS/TEMP]");
    keyring.open(Keyring::PASSWORD);
    wait_for("the keyring to be found", || {
        let mut pop = Client::greeted(ostler.pop3, "+OK");
        pop.ask("USER home", "+OK");
        pop.say("PASS x");
        pop.line().filter(|line| line.starts_with("+OK"))
    });
}

#[test]
fn a_password_that_is_tried_first_and_is_wrong_is_not_kept() {
    require!("dovecot", "postfix", "keyring");
    let (site, keyring) = (Site::start(), Keyring::start());
    let home = home(&site, &keyring);
    let wrong = home.ostler(&["password", "home", "--stdin", "--check"], "not-the-password\n");
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    let right = home.ostler(&["password", "home", "--stdin", "--check"], &format!("{}\n", site.password));
    assert!(right.status.success(), "{}", said(&right));
}

#[test]
fn a_password_that_comes_from_a_file_is_not_the_keyrings_to_set() {
    require!("dovecot", "postfix", "keyring");
    let (site, keyring) = (Site::start(), Keyring::start());
    let home = Home::new(&site.ca, &[site.account()]).with_keyring(&keyring);
    let refused = home.ostler(&["password", "home", "--stdin"], "another\n");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("password-0"), "says from where: {}", said(&refused));
}
