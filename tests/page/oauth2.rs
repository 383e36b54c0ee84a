//! A provider that takes no password, in a real browser: the sign-in at the company is a step of adding the account, and a
//! button later on.

use crate::chromium::{Chromium, ENTER};
use crate::http::Browser;
use crate::support::ca::TestCa;
use crate::support::dovecot::Dovecot;
use crate::support::issuer::Issuer;
use crate::support::keyring::Keyring;
use crate::support::ostler::Home;
use crate::support::postfix::Postfix;
use crate::support::{client, free_port, mail, require, wait_for};
use crate::{home, link};

const ANN: &str = "ann@example.net";

/// Signs in as ann on the company's pages, and lets ostler in.
fn sign_in(chromium: &Chromium, address: &str) {
    chromium.go(address);
    // ostler has told the company whose account it is, and its page has filled that in.
    chromium.run("document.getElementsByName('login')[0].value = ''");
    chromium.type_into("login", "ann");
    chromium.type_into("password", "x");
    chromium.keys(ENTER);
    chromium.click("button", "Continue");
    chromium.wait_for_text("You can close this page");
    let shown = chromium.run("return location.href").to_string();
    assert!(shown.contains("127.0.0.1"), "{shown}");
}

/// Servers that take the company's tokens only.
fn servers(ca: &TestCa, issuer: &Issuer) -> (Dovecot, Postfix) {
    let cert = ca.localhost();
    let dovecot = issuer.dovecot().user(ANN, "no-password-is-taken").cert(cert.clone()).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
    (dovecot, postfix)
}

/// A list of providers with one that takes this company's tokens only: its server for fetching, and for sending.
fn quiet_mail(pop3: u16, smtp: u16, smtp_security: &str) -> String {
    format!(
        "schema = 1\n[provider.quiet]\nname = \"Quiet Mail\"\ndomains = [\"example.net\"]\nauth = [\"oauth2:test\"]\n\
         pop = \"yes\"\npop3 = [{{ host = \"localhost\", port = {pop3}, security = \"tls\" }}]\n\
         smtp = [{{ host = \"localhost\", port = {smtp}, security = \"{smtp_security}\" }}]\n\
         source = [\"a test\"]\nchecked = 2026-11-29\nconfidence = \"high\"\n"
    )
}

/// A home that knows the issuer, and a provider at these ports that takes its tokens only.
fn home_at(ca: &TestCa, issuer: &Issuer, keyring: &Keyring, pop3: u16, smtp: u16) -> Home {
    let home = home(ca, &[]).with_keyring(keyring);
    home.write_settings(&(home.settings() + &issuer.settings("")));
    home.write_providers(&quiet_mail(pop3, smtp, "starttls"));
    home
}

#[test]
fn a_sign_in_of_someone_who_stops_is_taken_back() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let ca = TestCa::new();
    let issuer = Issuer::builder().start(&ca);
    let dovecot = issuer.dovecot().user(ANN, "no-password-is-taken").cert(ca.localhost()).start();
    let keyring = Keyring::start();
    let ostler = home_at(&ca, &issuer, &keyring, dovecot.pop3s, free_port()).run();
    let before = ostler.home.settings();
    let mut browser = Browser::new(&ostler.home);
    let form = browser.get("/add").form("/add").with("address", ANN);
    browser.send(&form.with("ca", &ostler.home.ca_file().display().to_string()));
    let address = address_on_page(&mut browser);
    assert!(issuer.sign_in(&address, "ann").contains("You can close this page"));
    let failed = browser.stay_until("Stop and save nothing");
    assert_eq!(issuer.count("revocation"), 0, "the user may go on");
    let stop = format!("{}/stop", browser.at.clone());
    browser.send(&failed.form(&stop));
    wait_for("the sign-in to be taken back", || (issuer.count("revocation 200") == 2).then_some(()));
    assert_eq!(ostler.home.settings(), before);
}

/// The company's address, to which the page of a job leads.
fn address_on_page(browser: &mut Browser) -> String {
    let page = browser.stay_until("Sign in (opens a new page)");
    let address = page.links().into_iter().find(|link| link.starts_with("https://localhost")).unwrap();
    // A link on the page has its ampersands written out.
    address.replace("&amp;", "&")
}

#[test]
fn a_company_of_the_users_own_is_chosen_in_the_form() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let ca = TestCa::new();
    let issuer = Issuer::builder().start(&ca);
    let (dovecot, postfix) = servers(&ca, &issuer);
    let keyring = Keyring::start();
    let home = home(&ca, &[]).with_keyring(&keyring);
    let mut ostler = home.run();
    let mut browser = Browser::new(&ostler.home);
    let (pop3, smtp) =
        (format!("tls://localhost:{}", dovecot.pop3s), format!("starttls://localhost:{}", postfix.submission));
    let form = |browser: &mut Browser| {
        let form = browser.get("/add").form("/add").with("address", ANN).with("pop3", &pop3).with("smtp", &smtp);
        form.with("ca", &ostler.home.ca_file().display().to_string())
    };
    // A provider of which only the name of its company is known.
    ostler.home.write_providers(&quiet_mail(995, 465, "tls"));
    let unknown = form(&mut browser).with("pop3", "").with("smtp", "");
    browser.send(&unknown);
    let failed = browser.stay_until("which ostler does not know");
    assert!(
        failed.body.contains("Describe that company under Settings") && !failed.body.contains("--oauth2"),
        "{}",
        failed.body
    );
    let job = browser.at.clone();
    browser.send(&failed.form(&format!("{job}/stop")));
    std::fs::remove_file(ostler.home.providers_file()).unwrap();
    // It is described under Settings, by hand or by form.
    ostler.home.write_settings(&(ostler.home.settings() + &issuer.settings("")));
    let is_known = |browser: &mut Browser| browser.get("/add").body.contains("<option value=\"test\">");
    wait_for("the company to be known", || is_known(&mut browser).then_some(()));
    let wrong = form(&mut browser).with("company", "nobody");
    let wrong = browser.send(&wrong);
    assert!(wrong.body.contains("ostler does not know this company"), "{}", wrong.body);
    let chosen = form(&mut browser).with("company", "test");
    browser.send(&chosen);
    let job = browser.at.clone();
    let address = address_on_page(&mut browser);
    assert!(issuer.sign_in(&address, "ann").contains("You can close this page"));
    browser.at.clone_from(&job);
    browser.stay_until("works and is saved");
    issuer.secrets().iter().for_each(|secret| ostler.home.keep_secret(secret));
    let message = mail::tricky("at a company of one's own");
    dovecot.deliver(ANN, &message);
    assert_eq!(client::fetch(ostler.pop3, ANN, "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &["bob@example.net"], &message);
}

/// The address on the button that the page shows.
fn address_on_button(chromium: &Chromium) -> String {
    chromium.wait_for_text("Sign in (opens a new page)");
    chromium.run("return document.querySelector('#steps a.button').href").as_str().unwrap().to_owned()
}

#[test]
fn an_account_at_a_company_that_takes_no_password_is_added_and_signed_in_again() {
    require!("dovecot", "postfix", "keyring", "issuer", "chromium", "chromedriver");
    let ca = TestCa::new();
    let issuer = Issuer::builder().start(&ca);
    let (dovecot, postfix) = servers(&ca, &issuer);
    let keyring = Keyring::start();
    let ostler = home_at(&ca, &issuer, &keyring, dovecot.pop3s, postfix.submission).run();
    let chromium = Chromium::trusting_anybody();
    chromium.go(&link(&ostler.home));
    chromium.type_into("address", ANN);
    chromium.click("summary", "I know my servers");
    chromium.type_into("ca", &ostler.home.ca_file().display().to_string());
    chromium.keys(ENTER);
    let address = address_on_button(&chromium);
    chromium.wait_for_text("Once you have signed in, this page goes on by itself.");
    chromium.look("39-sign-in");
    let job = chromium.run("return location.href").as_str().unwrap().to_owned();
    sign_in(&chromium, &address);
    chromium.go(&job);
    chromium.wait_for_text("works and is saved");
    let message = mail::tricky("by-the-page");
    dovecot.deliver(ANN, &message);
    assert_eq!(client::fetch(ostler.pop3, ANN, "x"), std::slice::from_ref(&message));
    // Again, by the button of the account's page.
    let page = chromium.run("return location.origin").as_str().unwrap().to_owned();
    chromium.go(&format!("{page}/account?account={ANN}"));
    chromium.click("button", "Sign out");
    let signed_out = chromium.wait_for_text("You are signed out");
    assert!(!signed_out.contains("Sign out"), "{signed_out}");
    chromium.look("39-signed-out");
    chromium.click("button", "Sign in at test");
    let address = address_on_button(&chromium);
    let job = chromium.run("return location.href").as_str().unwrap().to_owned();
    // The company knows the browser by now, and asks only whether ostler may.
    chromium.go(&address);
    chromium.click("button", "Continue");
    chromium.wait_for_text("You can close this page");
    chromium.go(&job);
    chromium.wait_for_text("Everything works");
    chromium.look("39-test-passed");
    assert_eq!(issuer.count("authorization_code 200"), 2);
    assert_eq!(client::fetch(ostler.pop3, ANN, "x").len(), 1, "nothing was deleted");
}
