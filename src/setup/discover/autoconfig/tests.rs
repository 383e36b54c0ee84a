use proptest::prelude::*;

use super::*;

fn domain() -> Domain {
    Domain::parse("example.net").unwrap()
}

fn read(file: &str) -> Result<Config, BadConfig> {
    parse(file.as_bytes(), &domain())
}

/// A file with these servers and what else belongs to the provider.
fn file(inside: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="example.net"><domain>example.net</domain>{inside}</emailProvider></clientConfig>"#
    )
}

fn server(kind: &str, inside: &str) -> String {
    let element = if kind == "smtp" { "outgoingServer" } else { "incomingServer" };
    file(&format!("<{element} type=\"{kind}\">{inside}</{element}>"))
}

const POP: &str = "<hostname>pop.example.net</hostname><port>995</port><socketType>SSL</socketType>";

/// Servers as `pop3 host port, security / login / ways`.
fn shown(config: &Config) -> Vec<String> {
    let auth_methods = |e: &Endpoint| e.auth_methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let show = |e: &Endpoint| format!("{} {} / {:?} / {}", e.protocol, e.describe(), e.login, auth_methods(e));
    config.endpoints.iter().map(show).collect()
}

/// As the file of a large provider: several servers, each in two ways, passwords and OAuth2.
const LARGE: &str = r#"<?xml version="1.0"?>
<!-- made for a test after the files of large providers -->
<clientConfig version="1.1">
  <emailProvider id="bigmail.example">
    <domain>bigmail.example</domain>
    <domain>bigmail.co.example</domain>
    <displayName>Big Mail
        &amp; Sons</displayName>
    <displayShortName>Big</displayShortName>
    <incomingServer type="imap">
      <hostname>imap.mail.bigmail.example</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>OAuth2</authentication>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>pop.mail.bigmail.example</hostname>
      <port> 995 </port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>OAuth2</authentication>
      <authentication>password-cleartext</authentication>
      <pop3><leaveMessagesOnServer>true</leaveMessagesOnServer></pop3>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>pop.mail.bigmail.example</hostname>
      <port>110</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILLOCALPART%</username>
      <authentication>password-encrypted</authentication>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>smtp.mail.bigmail.example</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <username>%EMAILLOCALPART%.%EMAILDOMAIN%</username>
      <authentication>password-cleartext</authentication>
      <useGlobalPreferredServer>false</useGlobalPreferredServer>
    </outgoingServer>
    <documentation url="https://help.bigmail.example/pop">
      <descr lang="de">POP einschalten</descr>
      <descr lang="en-US">How to switch on POP</descr>
    </documentation>
  </emailProvider>
  <oAuth2><issuer>login.yahoo.com</issuer><scope>mail-w</scope></oAuth2>
  <enable visiturl="https://bigmail.example/settings"><instruction>Make an app password</instruction></enable>
  <webMail><loginPage url="https://bigmail.example/"/></webMail>
</clientConfig>"#;

#[test]
fn a_large_providers_file_is_read_in_its_order() {
    let config = read(LARGE).unwrap();
    assert_eq!(config.title.as_deref(), Some("Big Mail & Sons"));
    assert_eq!(
        shown(&config),
        [
            "imap imap.mail.bigmail.example port 993, TLS / Address / oauth2:yahoo password",
            "pop3 pop.mail.bigmail.example port 995, TLS / Address / oauth2:yahoo password",
            "pop3 pop.mail.bigmail.example port 110, STARTTLS / LocalPart / password",
            "smtp smtp.mail.bigmail.example port 465, TLS / Template(\"{local}.{domain}\") / password",
        ]
    );
    let hint = |must, text: &str, url: &str| Hint { must, text: text.into(), url: Some(url.into()) };
    assert_eq!(
        config.hints,
        [
            hint(true, "Make an app password", "https://bigmail.example/settings"),
            hint(false, "How to switch on POP", "https://help.bigmail.example/pop"),
        ]
    );
}

#[test]
fn servers_in_clear_are_left_out_and_a_file_of_nothing_else_says_so() {
    let plain = "<incomingServer type=\"pop3\"><hostname>pop.example.net</hostname><port>110</port>\
                 <socketType>plain</socketType></incomingServer>";
    assert_eq!(read(&file(plain)), Err(BadConfig::OnlyPlain));
    let both = format!("{plain}<incomingServer type=\"pop3\">{POP}</incomingServer>");
    assert_eq!(shown(&read(&file(&both)).unwrap()), ["pop3 pop.example.net port 995, TLS / Unknown / "]);
}

#[test]
fn ways_to_sign_in_are_named() {
    let auth_methods = |authentication: &str| {
        let read = read(&server("smtp", &format!("{POP}{authentication}")));
        read.map(|config| config.endpoints[0].auth_methods.clone())
    };
    let one = |name: &str| auth_methods(&format!("<authentication>{name}</authentication>"));
    assert_eq!(one("OAuth2").unwrap(), [AuthMethod::OAuth2(String::new())]);
    assert_eq!(one("client-IP-address").unwrap(), [AuthMethod::None]);
    assert_eq!(one("none").unwrap(), [AuthMethod::None]);
    assert_eq!(one("SMTP-after-POP").unwrap(), [AuthMethod::PopBeforeSmtp]);
    assert_eq!(one("password-encrypted").unwrap(), [AuthMethod::Password]);
    assert_eq!(auth_methods("").unwrap(), []);
    // Only what ostler has not: then the server is of no use, as against nothing being said.
    assert_eq!(one("GSSAPI"), Err(BadConfig::NoServers));
    let several = "<authentication>NTLM</authentication><authentication>plain</authentication><authentication>secure</authentication>";
    assert_eq!(auth_methods(several).unwrap(), [AuthMethod::Password]);
}

#[test]
fn placeholders_make_user_names_and_hosts() {
    let login = |form: &str| {
        let read = read(&server("pop3", &format!("{POP}<username>{form}</username>")));
        read.unwrap().endpoints[0].login.clone()
    };
    assert_eq!(login("%EMAILADDRESS%"), LoginForm::Address);
    assert_eq!(login(" %EMAILLOCALPART%@%EMAILDOMAIN% "), LoginForm::Address);
    assert_eq!(login("%EMAILLOCALPART%"), LoginForm::LocalPart);
    assert_eq!(login("%EMAILDOMAIN%\\%EMAILLOCALPART%"), LoginForm::Template("{domain}\\{local}".into()));
    // Questions to the user of another program, and what would end the line it is said on.
    assert_eq!(login("%MYNUMBER%"), LoginForm::Unknown);
    assert_eq!(login("a&#13;&#10;DELE 1"), LoginForm::Unknown);
    assert_eq!(login(""), LoginForm::Unknown);

    let host = |host: &str| {
        let tail = "<port>995</port><socketType>SSL</socketType>";
        read(&server("pop3", &format!("<hostname>{host}</hostname>{tail}"))).map(|c| c.endpoints[0].host.clone())
    };
    assert_eq!(host("Mail.%EMAILDOMAIN%").unwrap(), "mail.example.net");
    for bad in ["%EMAILLOCALPART%.example.net", "10.0.0.1", "localhost", "a b.example", "", "evil.example\u{0}"] {
        assert!(host(bad).is_err(), "{bad}");
    }
}

#[test]
fn damaged_servers_are_left_out() {
    for inside in [
        "<hostname>pop.example.net</hostname><port>0</port><socketType>SSL</socketType>",
        "<hostname>pop.example.net</hostname><port>65536</port><socketType>SSL</socketType>",
        "<hostname>pop.example.net</hostname><port>995</port>",
        "<hostname>pop.example.net</hostname><socketType>SSL</socketType>",
        "<port>995</port><socketType>SSL</socketType>",
        "<hostname>pop.example.net</hostname><port>995</port><socketType>whatever</socketType>",
    ] {
        assert_eq!(read(&server("pop3", inside)), Err(BadConfig::NoServers), "{inside}");
    }
    assert_eq!(read(&server("exchange", POP)), Err(BadConfig::NoServers));
    // An outgoing server among the incoming ones.
    let wrong = format!("<incomingServer type=\"smtp\">{POP}</incomingServer>");
    assert_eq!(read(&file(&wrong)), Err(BadConfig::NoServers));
    assert_eq!(read("<clientConfig/>"), Err(BadConfig::NoServers));
}

#[test]
fn what_is_no_such_file_is_said_to_be_none() {
    for page in [
        "<!DOCTYPE html><html><body>Welcome</body></html>",
        "\r\n<html lang=en><head><br></head></html>",
        "<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>",
    ] {
        assert_eq!(read(page), Err(BadConfig::NotAConfig), "{page}");
    }
    for damaged in ["", "{}", "<clientConfig>", "<clientConfig><emailProvider></clientConfig>", "\u{0}\u{1}"] {
        assert_eq!(read(damaged), Err(BadConfig::NotXml), "{damaged}");
    }
}

#[test]
fn a_byte_order_mark_and_wrong_octets_are_tolerated() {
    let good = server("pop3", POP);
    assert!(parse(&[b"\xef\xbb\xbf", good.as_bytes()].concat(), &domain()).is_ok());
    let latin = file(&format!("<displayName>M?ller</displayName><incomingServer type=\"pop3\">{POP}</incomingServer>"));
    let latin: Vec<u8> = latin.bytes().map(|b| if b == b'?' { 0xfc } else { b }).filter(|b| *b != 0).collect();
    // The declaration at the top has question marks too.
    let latin = &latin[latin.windows(8).position(|w| w == b"<clientC").unwrap()..];
    assert_eq!(parse(latin, &domain()).unwrap().title.unwrap(), "M\u{fffd}ller");
}

#[test]
fn bombs_do_not_go_off() {
    let bomb = "<!DOCTYPE lolz [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\
                <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]><clientConfig>&c;</clientConfig>";
    assert_eq!(read(bomb), Err(BadConfig::NotXml));
    assert_eq!(
        read("<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><clientConfig>&f;</clientConfig>"),
        Err(BadConfig::NotXml)
    );
    for count in [1_000, 1_000_000] {
        let deep = "<clientConfig>".repeat(count) + &"</clientConfig>".repeat(count);
        assert!(read(&deep).is_err());
        assert!(read(&"<a>".repeat(count)).is_err());
        assert!(read(&file(&"<incomingServer/>".repeat(count))).is_err());
        assert!(read(&format!("<clientConfig {}/>", "a".repeat(10 * count))).is_err());
    }
    // Many servers are cut, and the rest of the file still read.
    let many = (1..=100)
        .map(|n| format!("<incomingServer type=\"pop3\"><hostname>pop{n}.example.net</hostname><port>995</port><socketType>SSL</socketType></incomingServer>"))
        .collect::<String>();
    assert_eq!(read(&file(&many)).unwrap().endpoints.len(), MAX_SERVERS);
}

#[test]
fn texts_cannot_steer_a_terminal_and_links_are_links() {
    let hints = "<displayName>Ev\u{9b}2Jil\u{202e}\u{200b} &#9; name</displayName>\
                 <enable visiturl=\"javascript:alert(1)\"><instruction>click &#x85;here</instruction></enable>\
                 <enable visiturl=\"https://example.net/a b\"/><documentation url=\"https://example.net/&quot;x\"/>\
                 <documentation url=\" https://example.net/help#a?b=c \"/>";
    let config = read(&file(&format!("{hints}<incomingServer type=\"pop3\">{POP}</incomingServer>"))).unwrap();
    assert_eq!(config.title.as_deref(), Some("Ev2Jil name"));
    assert_eq!(config.hints.len(), 2, "{:?}", config.hints);
    assert_eq!((config.hints[0].text.as_str(), &config.hints[0].url), ("click here", &None));
    assert_eq!(config.hints[1].url.as_deref(), Some("https://example.net/help#a?b=c"));
    let long = file(&format!(
        "<displayName>{}</displayName><incomingServer type=\"pop3\">{POP}</incomingServer>",
        "x".repeat(100_000)
    ));
    assert_eq!(read(&long).unwrap().title.unwrap().len(), MAX_TEXT_CHARS);
}

/// Whatever is read is clean: this is what everything behind it relies on, and what the fuzz target asks too.
fn assert_clean(config: &Config) {
    assert!(!config.endpoints.is_empty());
    for endpoint in &config.endpoints {
        assert_ne!(endpoint.security, Security::None);
        assert_ne!(endpoint.port, 0);
        assert!(Domain::parse(&endpoint.host).is_ok());
        for name in endpoint.login.candidates("ann@example.net") {
            assert!(!name.is_empty() && !name.chars().any(char::is_control));
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(config) = parse(&octets, &domain()) {
            assert_clean(&config);
        }
    }

    #[test]
    fn a_good_file_with_damage_is_read_to_an_end(at in 0..LARGE.len(), octets in prop::collection::vec(any::<u8>(), 0..20), gone in 0..30usize) {
        let mut damaged = LARGE.as_bytes().to_vec();
        let end = (at + gone).min(damaged.len());
        damaged.splice(at..end, octets);
        if let Ok(config) = parse(&damaged, &domain()) {
            assert_clean(&config);
        }
    }
}

#[test]
fn a_company_that_only_the_file_knows_is_described_by_it() {
    let file = |oauth: &str| {
        let xml = format!(
            "<clientConfig version=\"1.1\"><emailProvider id=\"corp.example\"><domain>corp.example</domain>\
             <incomingServer type=\"pop3\"><hostname>pop.corp.example</hostname><port>995</port><socketType>SSL</socketType>\
             <username>%EMAILADDRESS%</username><authentication>OAuth2</authentication></incomingServer></emailProvider>{oauth}</clientConfig>"
        );
        let config = parse(xml.as_bytes(), &Domain::parse("corp.example").unwrap()).unwrap();
        let AuthMethod::OAuth2(name) = config.endpoints[0].auth_methods[0].clone() else { panic!("{config:?}") };
        (name, config.company)
    };
    let urls = "<authURL>https://sso.corp.example/a</authURL><tokenURL>https://sso.corp.example/t</tokenURL>";
    let (name, company) =
        file(&format!("<oAuth2><issuer>SSO.corp.example</issuer><scope>mail offline_access</scope>{urls}</oAuth2>"));
    let company = company.unwrap();
    assert_eq!((name.as_str(), company.name.as_str()), ("sso.corp.example", "sso.corp.example"));
    assert_eq!((company.token.as_str(), company.client_id.as_deref()), ("https://sso.corp.example/t", None));
    let (name, company) = file(&format!("<oAuth2><scope>mail</scope>{urls}</oAuth2>"));
    assert_eq!((name.as_str(), company.unwrap().name.as_str()), ("sso.corp.example", "sso.corp.example"));
    for (issuer, expected) in [("login.microsoftonline.com", "microsoft"), ("", "google")] {
        let google = "<authURL>https://accounts.google.com/o/oauth2/auth</authURL>";
        let (name, company) = file(&format!("<oAuth2><issuer>{issuer}</issuer><scope>x</scope>{google}</oAuth2>"));
        assert_eq!((name.as_str(), company), (expected, None));
    }
    for bad in [urls.replace("https", "http"), String::new()] {
        assert_eq!(
            file(&format!("<oAuth2><issuer>sso.corp.example</issuer><scope>mail</scope>{bad}</oAuth2>")).1,
            None
        );
    }
    assert_eq!(file("").0, "");
}
