//! Files that providers hand out: Apple's profiles, signed and not, and the settings for Thunderbird.

use super::super::cms::tests::{Length, signed};
use super::*;
use ostler_mail::account::endpoint::LoginForm;

const PROFILE: &[u8] = sample!("profile.mobileconfig");
const CONFIG: &[u8] = sample!("config-v1.1.xml");

/// A profile with one mail account, made of these keys and values.
fn profile(entries: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\"><dict><key>PayloadContent</key><array>\
         <dict><key>PayloadType</key><string>com.apple.mail.managed</string>{entries}</dict></array>\
         <key>PayloadType</key><string>Configuration</string></dict></plist>"
    )
}

fn text(key: &str, value: &str) -> String {
    format!("<key>{key}</key><string>{value}</string>")
}

#[test]
fn f07_a_profile_with_pop_is_read() {
    let file = imported(PROFILE);
    assert_eq!(file.kind, Kind::AppleProfile);
    let [finch] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(finch.address.as_deref(), Some("finch@plover.example"));
    assert_eq!(servers(&finch.proposal.incoming)[0], "tls://pop.plover.example:995");
    assert_eq!(servers(&finch.proposal.outgoing)[0], "starttls://smtp.plover.example:587");
    assert_eq!(finch.proposal.incoming[0].login, LoginForm::Address);
    assert_eq!((&finch.username, &finch.smtp_username), (&None, &None));
    assert!(file.not_taken.is_empty() && finch.not_taken.is_empty(), "{file:#?}");
}

#[test]
fn f07_a_signed_profile_is_the_profile_inside() {
    let plain = imported(PROFILE);
    for octets in [
        signed(PROFILE, Length::Definite),
        signed(PROFILE, Length::Indefinite),
        [signed(PROFILE, Length::Indefinite), b"\r\n".to_vec()].concat(),
    ] {
        let file = imported(&octets);
        assert_eq!(file.accounts, plain.accounts);
        assert!(file.not_taken.join("\n").contains("its signature"), "{file:#?}");
    }
    for (octets, what) in
        [(sample!("signed-der.mobileconfig"), "DER"), (sample!("signed-pieces.mobileconfig"), "pieces")]
    {
        let file = imported(octets);
        let addresses: Vec<_> = file.accounts.iter().flat_map(|account| account.address.as_deref()).collect();
        assert_eq!(addresses, ["robin@plover.example", "club@heron.example"], "{what}, as OpenSSL writes it");
    }
    // Only a profile is expected in an envelope.
    let other = signed(b"client=yes\n[a]\naccept=1\nconnect=pop.x.example:995\n", Length::Definite);
    assert!(matches!(read(&other, Presets::built_in(), &Asked::default()), Err(ImportError::Unknown)));
}

#[test]
fn f07_parts_beside_the_mail_are_named_and_no_password_is_taken() {
    let file = imported(sample!("signed-der.mobileconfig"));
    let [robin, club] = file.accounts.as_slice() else { panic!("{file:#?}") };
    let left = left(&file);
    assert!(left.contains("\"Wi-Fi at the office\" (com.apple.wifi.managed)"), "{left}");
    assert!(left.contains("account 1 \"Work & play\": the password: type it"), "{left}");
    assert!(!format!("{file:?}").contains("not-a-real-one"));
    // Without ports: the usual ones.
    assert_eq!(
        servers(&robin.proposal.incoming),
        ["tls://mail.plover.example:995", "starttls://mail.plover.example:110"]
    );
    assert_eq!(
        servers(&robin.proposal.outgoing),
        ["tls://mail.plover.example:465", "starttls://mail.plover.example:587"]
    );
    assert_eq!(robin.proposal.incoming[0].login, LoginForm::LocalPart);
    assert_eq!((&robin.username, &robin.smtp_username), (&None, &None), "one password for both");
    assert_eq!(servers(&club.proposal.imap), ["tls://imap.heron.example:993", "starttls://imap.heron.example:993"]);
    assert!(club.proposal.incoming.is_empty());
    assert_eq!(servers(&club.proposal.outgoing)[0], "tls://smtp.heron.example:465");
    assert!(!club.not_taken.join("\n").contains("IMAP"), "{club:#?}");
}

#[test]
fn f07_profiles_in_other_forms_are_read() {
    let one = |entries: &str| imported(profile(entries).as_bytes()).accounts.remove(0);
    let pop = text("EmailAccountType", "EmailTypePOP") + &text("IncomingMailServerHostName", "pop.plover.example");
    // An address that the user is asked for.
    let nameless = one(&pop);
    assert_eq!((nameless.address, nameless.title.as_str()), (None, "plover.example"));
    let own = one(&(pop.clone()
        + &text("EmailAddress", "ann@plover.example")
        + &text("IncomingMailServerUsername", "u17")
        + &text("OutgoingMailServerHostName", "mail.plover.example")
        + &text("OutgoingMailServerUsername", "s17")));
    assert_eq!((own.username.as_deref(), own.smtp_username.as_deref()), (Some("u17"), Some("s17")));
    // Without "UseSSL", as Apple's own default is: encrypted all the same.
    assert!(own.proposal.incoming.iter().all(|endpoint| endpoint.security != Security::None));
    assert!(taken_for(&own).contains("was used without encryption"), "{}", taken_for(&own));
    // In UTF-16, in one part without a profile around it.
    let bare = format!(
        "<plist><dict>{}{pop}{}</dict></plist>",
        text("PayloadType", "com.apple.mail.managed"),
        text("EmailAddress", "ann@plover.example")
    );
    let wide: Vec<u8> = bare.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for octets in [bare.as_bytes(), &[&[0xff, 0xfe], wide.as_slice()].concat()] {
        assert_eq!(imported(octets).accounts[0].address.as_deref(), Some("ann@plover.example"));
    }
    // Of a known provider its present servers count.
    let known = text("EmailAccountType", "EmailTypeIMAP") + &text("IncomingMailServerHostName", "imap.gmail.com");
    assert_eq!(
        one(&(known + &text("EmailAddress", "ann@wren.example"))).proposal.provider.as_deref(),
        Some("google-workspace")
    );
    let exchange = imported(profile(&text("EmailAccountType", "EmailTypeExchange")).as_bytes());
    assert!(exchange.accounts.is_empty() && said(&exchange).contains("EmailTypeExchange"), "{}", said(&exchange));
    let encrypted = "<plist><dict><key>PayloadType</key><string>Configuration</string>\
                     <key>EncryptedPayloadContent</key><data>AAAA</data></dict></plist>";
    assert!(said(&imported(encrypted.as_bytes())).contains("encrypted for one device"));
}

#[test]
fn f07_a_damaged_or_hostile_profile_is_refused() {
    let whole = profile(&text("EmailAccountType", "EmailTypePOP"));
    let error = |text: &str| read(text.as_bytes(), Presets::built_in(), &Asked::default()).unwrap_err();
    assert!(matches!(error(&whole.replace("</dict></plist>", "")), ImportError::Damaged(Kind::AppleProfile)));
    let bomb = "<!DOCTYPE plist [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
    let rest = whole.split_once("dtd\">").unwrap().1;
    for entity in ["&b;", "&f;"] {
        let text = format!("{bomb}{}", rest.replace("EmailTypePOP", entity));
        assert!(matches!(error(&text), ImportError::Entities(Kind::AppleProfile)), "{entity}");
    }
    assert!(matches!(error("bplist00\u{1}PayloadType"), ImportError::BinaryPropertyList));
    for count in [1_000, 60_000] {
        let deep = "<array>".repeat(count) + &"</array>".repeat(count);
        let text = format!("<plist><dict><key>PayloadType</key>{deep}</dict></plist>");
        let _ = read(text.as_bytes(), Presets::built_in(), &Asked::default());
    }
}

#[test]
fn f07_the_settings_for_thunderbird_are_read_for_an_address() {
    let file = imported_for("office@wren-joinery.example", CONFIG);
    assert_eq!(file.kind, Kind::ClientConfig);
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&account.proposal.incoming), ["tls://mail.wren-joinery.example:995"]);
    assert_eq!(servers(&account.proposal.outgoing), ["tls://mail.wren-joinery.example:465"]);
    assert_eq!(servers(&account.proposal.imap), ["tls://mail.wren-joinery.example:993"]);
    assert_eq!(account.proposal.incoming[0].login, LoginForm::LocalPart);
    assert_eq!(account.proposal.outgoing[0].login, LoginForm::Address);
    assert!(account.not_taken.is_empty() && file.not_taken.is_empty(), "{file:#?}");
    let nameless = imported(CONFIG);
    assert!(nameless.needs_address());
    assert_eq!(nameless.accounts[0].title, "Wren Joinery");
    assert!(
        nameless.accounts[0].proposal.endpoints().next().is_none() && said(&nameless).trim() == "---",
        "{nameless:#?}"
    );
}

/// The same settings with one line for each element, in the older version, and with the line ends of Windows.
#[test]
fn f07_the_lines_and_the_version_do_not_matter() {
    let text = std::str::from_utf8(CONFIG).unwrap();
    let lines = text.replace("><", ">\r\n  <");
    let old = lines.replace(" version=\"1.1\"", "").replace("password-encrypted", "secure");
    let known = imported_for("office@wren-joinery.example", CONFIG).accounts;
    let typed = old.replacen("<clientConfig", "<!DOCTYPE clientConfig>\r\n<clientConfig", 1);
    for text in [&lines, &old, &typed, &old.replace("secure", "plain"), &old.replace("\r\n", "\r")] {
        assert_eq!(imported_for("office@wren-joinery.example", text.as_bytes()).accounts, known, "{text}");
    }
    let wide: Vec<u8> = old.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide = [&[0xfe, 0xff], wide.as_slice()].concat();
    assert_eq!(imported_for("office@wren-joinery.example", &wide).accounts, known);
}

fn config(servers: &str) -> String {
    format!(
        "<clientConfig version=\"1.1\"><emailProvider id=\"x\"><displayName>Wren</displayName>{servers}</emailProvider></clientConfig>"
    )
}

fn incoming(kind: &str, host: &str, port: u16, security: &str, more: &str) -> String {
    format!(
        "<incomingServer type=\"{kind}\"><hostname>{host}</hostname><port>{port}</port><socketType>{security}</socketType>\
         <username>%EMAILLOCALPART%.%EMAILDOMAIN%</username>{more}</incomingServer>"
    )
}

#[test]
fn f07_placeholders_are_filled_also_within_host_names() {
    let text = config(&incoming("pop3", "%EMAILLOCALPART%.pop.%EMAILDOMAIN%", 995, "SSL", ""));
    let file = imported_for("ann@wren.example", text.as_bytes());
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&account.proposal.incoming), ["tls://ann.pop.wren.example:995"]);
    assert_eq!(account.proposal.incoming[0].login.candidates("ann@wren.example"), ["ann.wren.example"]);
}

#[test]
fn f07_of_several_servers_of_a_kind_the_first_is_taken() {
    let text = config(
        &[
            incoming("exchange", "mail.wren.example", 443, "SSL", ""),
            incoming("pop3", "pop.wren.example", 110, "plain", ""),
            incoming("pop3", "new.wren.example", 995, "SSL", "<authentication>OAuth2</authentication>"),
            incoming("pop3", "pop.wren.example", 995, "SSL", ""),
            incoming(
                "pop3",
                "pop.wren.example",
                110,
                "STARTTLS",
                "<authentication>password-encrypted</authentication>",
            ),
            incoming("pop3", "krb.wren.example", 995, "SSL", "<authentication>GSSAPI</authentication>"),
        ]
        .concat(),
    );
    let file = imported_for("ann@wren.example", text.as_bytes());
    let [account] = file.accounts.as_slice() else { panic!("{file:#?}") };
    assert_eq!(servers(&account.proposal.incoming), ["tls://pop.wren.example:995", "starttls://pop.wren.example:110"]);
    assert_eq!(taken_for(account), "Wren: fetching from pop.wren.example port 995, TLS");
    let left = account.not_taken.join("\n");
    for part in [
        "its exchange server \"mail.wren.example\" speaks a protocol that ostler does not",
        "its pop3 server \"pop.wren.example\" is without encryption",
        "new.wren.example port 995, TLS lets mail programs in only with a sign-in in the web browser",
        "its pop3 server \"krb.wren.example\" has no way to sign in that ostler has",
        "pop.wren.example port 110, STARTTLS is tried only if pop.wren.example port 995, TLS cannot be used",
    ] {
        assert!(left.contains(part), "{part}: {left}");
    }
}

#[test]
fn f07_settings_that_are_no_use_say_why() {
    let plain = config(&incoming("pop3", "pop.wren.example", 110, "plain", ""));
    let file = imported_for("ann@wren.example", plain.as_bytes());
    assert!(file.accounts.is_empty() && said(&file).contains("without encryption"), "{}", said(&file));
    let error = |text: &str| read(text.as_bytes(), Presets::built_in(), &Asked::default()).unwrap_err();
    assert!(matches!(error("<clientConfig><emailProvider></clientConfig>"), ImportError::Damaged(Kind::ClientConfig)));
    let entity = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><clientConfig>&f;</clientConfig>";
    assert!(matches!(error(entity), ImportError::Entities(Kind::ClientConfig)));
}
