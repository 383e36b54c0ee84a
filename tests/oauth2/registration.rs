//! A company that gives a secret with a registration.

use crate::renewing::wait_until_due;
use crate::support::client;
use crate::support::issuer::{Issuer, SECRET_OF_REGISTRATION};
use crate::support::process::said;
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
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    let page = site.issuer.sign_in(&sign_in.address, "ann");
    assert!(page.contains("The sign-in did not work"), "{page}");
    let told = sign_in.fails();
    assert!(told.contains("is not in the keyring: run `ostler password --oauth2 test"), "{told}");
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
