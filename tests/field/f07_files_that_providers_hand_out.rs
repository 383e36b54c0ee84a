//! Apple's profiles and the settings for Thunderbird.

use crate::adding::{Added, add, file};

const CONFIG: &str = "f07-config-v1.1.xml";

#[test]
fn f07_a_profile_makes_an_account() {
    let added = add(file("f07-pop.mobileconfig"), &[]);
    assert_eq!(
        added.servers(),
        [
            "pop3 tls://pop.plover.example:995 finch@plover.example",
            "smtp starttls://smtp.plover.example:587 finch@plover.example",
        ]
    );
    assert!(added.not_taken().is_empty(), "{}", added.screen);
}

#[test]
fn f07_a_profile_with_other_parts_is_read_signed_or_not() {
    for name in ["f07-two-accounts.mobileconfig", "f07-signed-der.mobileconfig", "f07-signed-pieces.mobileconfig"] {
        let added = add(file(name), &["robin@plover.example"]);
        assert_eq!(
            added.servers(),
            ["pop3 tls://mail.plover.example:995 robin", "smtp tls://mail.plover.example:465 robin"],
            "{name}"
        );
        let left = added.not_taken();
        assert!(left.contains("\"Wi-Fi at the office\" (com.apple.wifi.managed)"), "{name}: {left}");
        assert!(left.contains("club@heron.example is another account"), "{name}: {left}");
        assert!(left.contains("the password: type it when ostler asks for it"), "{name}: {left}");
        assert_eq!(left.contains("signature"), name.contains("signed"), "{name}: {left}");
        assert!(!added.screen.contains("not-a-real-one") && !added.home.settings().contains("not-a-real-one"));
    }
}

#[test]
fn f07_the_settings_for_thunderbird_make_an_account_of_an_address() {
    let added = add(file(CONFIG), &["office@wren-joinery.example"]);
    assert_eq!(
        added.servers(),
        [
            "pop3 tls://mail.wren-joinery.example:995 office",
            "smtp tls://mail.wren-joinery.example:465 office@wren-joinery.example",
            "imap tls://mail.wren-joinery.example:993 office@wren-joinery.example",
        ]
    );
    assert!(added.not_taken().is_empty(), "{}", added.screen);
    // Another address makes another host for sending.
    let other = add(file(CONFIG), &["ann.lee@penguins.example"]);
    assert_eq!(other.servers()[1], "smtp tls://mail.penguins.example:465 ann.lee@penguins.example");
}

#[test]
fn f07_the_settings_for_thunderbird_ask_for_the_address() {
    let asked = add(file(CONFIG), &[]);
    assert_eq!(asked.code, Some(1), "{}", asked.screen);
    assert!(
        asked.screen.contains("does not say which mail address it is for. It has servers of Wren Joinery."),
        "{}",
        asked.screen
    );
    assert!(asked.screen.contains("ostler add ADDRESS --import FILE"), "{}", asked.screen);
}

#[test]
fn f07_lines_and_version_do_not_matter() {
    let text = String::from_utf8(file(CONFIG)).unwrap();
    let known = add(&text, &["office@wren-joinery.example"]).servers();
    let lines = text.replace("><", ">\r\n<");
    let old = lines.replace(" version=\"1.1\"", " version=\"1.0\"").replace("password-encrypted", "secure");
    for text in [lines, old] {
        assert_eq!(add(&text, &["office@wren-joinery.example"]).servers(), known, "{text}");
    }
}

fn refused(octets: &[u8], why: &str) -> Added {
    let refused = add(octets, &["finch@plover.example"]);
    assert_eq!(refused.code, Some(2), "{}", refused.screen);
    assert!(refused.screen.contains(why), "{}", refused.screen);
    refused
}

#[test]
fn f07_no_entity_is_expanded_and_nothing_is_loaded() {
    let profile = String::from_utf8(file("f07-pop.mobileconfig")).unwrap();
    let declared = "<!DOCTYPE plist [<!ENTITY host SYSTEM \"file:///etc/hostname\"><!ENTITY a \"lol\">]>";
    let (begin, rest) = profile.split_once("<!DOCTYPE").unwrap();
    let rest = rest.split_once('>').unwrap().1;
    for entity in ["&host;", "&a;"] {
        let text = format!("{begin}{declared}{}", rest.replace("pop.plover.example", entity));
        let refused = refused(text.as_bytes(), "uses XML entities of its own, which ostler never expands");
        assert!(!refused.screen.contains("lol"), "{}", refused.screen);
    }
    let config = String::from_utf8(file(CONFIG)).unwrap();
    let text =
        config.replacen("<clientConfig", &format!("{declared}<clientConfig"), 1).replace("Wren Joinery", "&host;");
    refused(text.as_bytes(), "uses XML entities of its own");
    refused(&profile.as_bytes()[..600], "it is damaged");
    refused(b"bplist00", "plutil -convert xml1");
}
