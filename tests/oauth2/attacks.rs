//! What can go wrong while a browser is away: another user of this computer, a page that is opened twice, an answer that comes
//! too late, a company that does not answer.

use crate::support::client::Client;
use crate::support::process::as_nobody;
use crate::support::{is_root, mail, require};
use crate::{ANN, SignIn, Site};

/// The port to which the browser comes back.
pub(crate) fn port_of(sign_in: &SignIn) -> u16 {
    let redirect = sign_in.address.split("redirect_uri=").nth(1).unwrap().split('&').next().unwrap();
    redirect.split("%3A").nth(2).unwrap().trim_end_matches("%2F").parse().unwrap()
}

fn state_of(sign_in: &SignIn) -> &str {
    sign_in.address.split("&state=").nth(1).unwrap().split('&').next().unwrap()
}

#[test]
fn another_user_of_this_computer_is_not_heard() {
    require!("dovecot", "postfix", "keyring", "issuer", "setpriv", "python3");
    if !is_root() {
        return crate::support::skip("root");
    }
    let site = Site::start();
    let mut home = site.home();
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    // Even with the right state: it would be another person's mailbox.
    let request = format!("GET /?code=of-another-user&state={} HTTP/1.1\r\nHost: x\r\n\r\n", state_of(&sign_in));
    let heard = as_nobody(port_of(&sign_in), &request);
    assert!(!heard.contains("HTTP/1.1") && !heard.contains("timed out"), "{heard}");
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("You can close this page"), "{page}");
    sign_in.succeeds();
    site.keep_secret(&mut home);
    assert_eq!(site.issuer.count("authorization_code"), 1, "{:?}", site.issuer.requests());
}

#[test]
fn a_browser_that_comes_back_too_late_or_twice_changes_nothing_that_was_stored() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, mut home) = Site::signed_in();
    let before = site.tokens();
    // By now the company has thrown the code away.
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.fault(400, "{\"error\":\"invalid_grant\",\"error_description\":\"authorization code has expired\"}");
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("The sign-in did not work"), "{page}");
    let told = sign_in.fails();
    assert!(told.contains("refuses the sign-in") && told.contains("has expired"), "{told}");
    assert_eq!(site.tokens(), before);
    // The page is opened twice: one of them wins, and the port is closed for the other.
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    let (port, state) = (port_of(&sign_in), state_of(&sign_in).to_owned());
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("You can close this page"), "{page}");
    sign_in.succeeds();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    site.keep_secret(&mut home);
    let after = site.tokens();
    assert_ne!(after, before);
    // The next sign-in does not take the answer to the last one.
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    let mut browser = Client::connect(port_of(&sign_in));
    browser.send(format!("GET /?code=x&state={state} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    assert!(String::from_utf8(browser.rest()).unwrap().starts_with("HTTP/1.1 400"));
    site.issuer.refuse(&sign_in.address);
    sign_in.fails();
    assert_eq!(site.tokens(), after);
    let ostler = home.run();
    site.dovecot.deliver(ANN, &mail::tricky("still"));
    assert_eq!(crate::support::client::fetch(ostler.pop3, "home", "x").len(), 1);
}

#[test]
fn a_company_that_never_answers_is_trouble_for_now() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, home) = Site::signed_in();
    let before = site.tokens();
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.fault(0, "");
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("The sign-in did not work") && page.contains("did not answer within 30 s"), "{page}");
    let told = sign_in.fails();
    assert!(told.contains("localhost did not answer within 30 s"), "{told}");
    assert_eq!(site.tokens(), before);
}
