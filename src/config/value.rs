//! Parses single values: durations, hosts, addresses, networks, pins. Every reason for a refusal is a constant, so that
//! no value can get into a message.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;

use ostler_mail::account::issuer::HttpsUrl;
use ostler_mail::account::{Alias, MAX_FOLDER_CHARS, Network};
use ostler_mail::idn::{self, NoAsciiForm};

/// Why a value is refused; "allowed is .." follows it.
pub(super) type Why = &'static str;

/// The longest duration that a key may have.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest mail address (RFC 5321, 4.5.3.1.3, without the angle brackets); also for account and user names, which
/// then fit into a command line.
const MAX_NAME_OCTETS: usize = 254;

/// What to do about a path of Windows in a text in double quotes, where TOML reads `\t` as a tab and `\U` as the beginning of a
/// character's number.
pub(super) const BACKSLASH_ADVICE: &str = "write the text in '..', as in 'C:\\mail\\ca.pem', or each \\ as /";

pub(super) const HOST: &str = "a host name or an IP address, without port and brackets";
pub(super) const ADDRESS: &str = "a mail address such as \"ann@example.net\"";
pub(super) const ALIAS: &str = "a mail address such as \"ann@example.net\", or \"*@example.net\" for a whole domain";
pub(super) const NETWORK: &str = "a network such as \"192.168.56.0/24\" or an IP address";
pub(super) const HTTPS: &str = "an address that begins with https://";
pub(super) const CLIENT_ID: &str =
    "the id that the company has given to your registration: 1 to 254 characters without blanks";
pub(super) const PIN: &str = "\"sha256:\" and the 64 hexadecimal digits of the certificate's SHA-256 fingerprint";
pub(super) const NAME: &str = "1 to 254 printable ASCII characters without blanks at the ends";
pub(super) const FOLDER: &str = "the name of a folder, such as \"INBOX\" or \"Entw\u{fc}rfe\"";
pub(super) const USERNAME: &str = "1 to 254 octets without control characters";

/// Parses an address over https.
pub(super) fn https(text: &str) -> Result<HttpsUrl, Why> {
    HttpsUrl::parse(text).ok_or("is not an address over https")
}

/// Parses the id of a registration.
pub(super) fn client_id(text: &str) -> Result<String, Why> {
    word(text).ok_or("is empty, too long, or has a blank")
}

/// Parses a scope (RFC 6749, section 3.3).
pub(super) fn scope(text: &str) -> Result<String, Why> {
    word(text).ok_or("is not one scope")
}

fn word(text: &str) -> Option<String> {
    let is_plain = !text.is_empty() && text.len() <= MAX_NAME_OCTETS && text.bytes().all(|b| b.is_ascii_graphic());
    is_plain.then(|| text.to_owned())
}

/// Parses a duration from 0 to a day.
pub(super) fn duration(text: &str) -> Result<Duration, Why> {
    const NOT_ONE: Why = "is not a duration";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(NOT_ONE)?;
    // More digits than any unit allows. They count as too long, not as wrong.
    let number: u64 = if digits <= 12 { number.parse().map_err(|_| NOT_ONE)? } else { u64::MAX };
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err("has no unit"),
        _ => return Err(NOT_ONE),
    };
    let duration = Duration::from_millis(number.saturating_mul(milliseconds));
    if duration > MAX_DURATION { Err("is longer than 24h") } else { Ok(duration) }
}

/// Parses a duration that can be a time limit.
pub(super) fn limit(text: &str) -> Result<Duration, Why> {
    let duration = duration(text)?;
    if duration < Duration::from_millis(10) { Err("is shorter than 10ms") } else { Ok(duration) }
}

/// Parses a host, to lower case and ASCII, without brackets and trailing dot.
pub fn host(text: &str) -> Result<String, Why> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).filter(|t| t.contains(':')).unwrap_or(text);
    let bare = idn::domain(bare).ok_or("contains letters that no host name has")?;
    // A final dot is good DNS, but no certificate has it in its names.
    let bare = bare.strip_suffix('.').unwrap_or(&bare).to_ascii_lowercase();
    if !bare.ends_with('.') && ServerName::try_from(bare.as_str()).is_ok() {
        return Ok(bare);
    }
    Err(if text.is_empty() {
        "is empty"
    } else if text.contains("://") {
        "is a web address"
    } else if text.contains(':') {
        "contains a colon; a port goes into the key port"
    } else {
        "is not a host name"
    })
}

/// Parses a mail address, with its domain in ASCII; it has no quoted part.
pub fn address(text: &str) -> Result<String, Why> {
    let text = &*idn::address(text).map_err(why)?;
    let (local, domain) = text.rsplit_once('@').ok_or("has no @")?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if local.is_empty() || !local.bytes().all(is_plain) || text.len() > MAX_NAME_OCTETS {
        return Err("is not a mail address");
    }
    mail_domain(domain)?;
    Ok(text.to_owned())
}

fn why(error: NoAsciiForm) -> Why {
    match error {
        NoAsciiForm::LocalPart => {
            "has letters beyond ASCII before the @, which mail servers and old mail programs do not take"
        }
        NoAsciiForm::Domain => "has no valid domain after the @",
    }
}

/// Parses an address or a whole domain, to lower case and ASCII.
pub(crate) fn alias(text: &str) -> Result<Alias, Why> {
    let text = idn::address(text).map_err(why)?.to_ascii_lowercase();
    match text.strip_prefix("*@") {
        Some(domain) => mail_domain(domain).map(|()| Alias::Domain(domain.to_owned())),
        None => address(&text).map(Alias::Address),
    }
}

fn mail_domain(domain: &str) -> Result<(), Why> {
    let literal = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']'));
    let is_literal = literal.is_some_and(|d| d.bytes().all(|b| b.is_ascii_alphanumeric() || b".:".contains(&b)));
    let is_label =
        // `_` is not for host names, yet some mail domains have it.
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_literal || domain.split('.').all(is_label) && domain.len() <= MAX_NAME_OCTETS {
        Ok(())
    } else {
        Err("has no valid domain after the @")
    }
}

/// Parses the name of an account. It may be an address.
pub fn name(text: &str) -> Result<String, Why> {
    let text = &*idn::name(text);
    if text.is_empty() || text.len() > MAX_NAME_OCTETS {
        Err("is empty or too long")
    } else if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        Err("contains control characters or letters beyond ASCII")
    } else if text.trim() != text {
        Err("begins or ends with a blank")
    } else {
        Ok(text.to_owned())
    }
}

/// Parses a user name at a provider. In an address, the domain becomes ASCII.
pub fn username(text: &str) -> Result<String, Why> {
    let text = &*idn::address(text).map_err(why)?;
    if text.is_empty() || text.len() > MAX_NAME_OCTETS {
        Err("is empty or too long")
    } else if text.contains(char::is_control) {
        Err("contains a control character")
    } else {
        Ok(text.to_owned())
    }
}

/// Parses `ADDRESS:PORT` of a door.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Why> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(_) => "has no port",
        Err(_) if text.parse::<u16>().is_ok() => "is a port in quotes",
        Err(_) => "is not an IP address with a port",
    })
}

/// Parses a network, or a single address.
pub(super) fn network(text: &str) -> Result<Network, Why> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| "is not a network")?;
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|prefix| *prefix <= width).ok_or("has more bits than the address")?
        }
        Some(_) => return Err("is not a network"),
    };
    // A client at ::ffff:10.0.0.1 counts as 10.0.0.1, so a network of such addresses has to become an IPv4 network too.
    match address.to_canonical() {
        canonical if canonical.is_ipv4() == address.is_ipv4() => Ok(Network { address, prefix }),
        canonical => match prefix.checked_sub(96) {
            Some(prefix) => Ok(Network { address: canonical, prefix }),
            None => Err("mixes IPv4 and IPv6"),
        },
    }
}

/// Parses the SHA-256 fingerprint of a certificate, with or without colons.
pub(crate) fn pin(text: &str) -> Result<[u8; 32], Why> {
    const NOT_ONE: Why = "is not a fingerprint";
    let (kind, digits) = text.split_once(':').ok_or(NOT_ONE)?;
    if !kind.eq_ignore_ascii_case("sha256") {
        return Err("is not a SHA-256 fingerprint");
    }
    let bytes: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        (0..digits.len()).step_by(2).filter_map(|at| digits.get(at..at + 2)).collect()
    };
    if !digits.contains(':') && digits.len() != 64 {
        return Err(NOT_ONE);
    }
    let byte = |pair: &str| match pair.as_bytes() {
        [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = bytes.into_iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(NOT_ONE)
}

/// Whether a text in double quotes may have been written with backslashes: `\t`, `\n` and a few more are read as control
/// characters, without complaint.
pub(super) fn may_have_lost_backslash(text: &str) -> bool {
    text.contains(['\u{8}', '\t', '\n', '\u{c}', '\r', '\u{1b}'])
}

/// The name of a folder of an IMAP server.
pub(super) fn folder(text: &str) -> Result<String, Why> {
    match text {
        _ if text.trim().is_empty() => Err("is empty"),
        _ if text.contains(char::is_control) => Err("contains a control character"),
        _ if text.chars().count() > MAX_FOLDER_CHARS => Err("is too long"),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a part of a command. A script over several lines may have line ends and tabs, but none in a path: `"C:\tools"` is
/// `C:`, a tab and `ools`.
pub(super) fn command_word(text: &str) -> Result<String, Why> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains('\0') {
        Err("contains a NUL character")
    } else if text.contains(is_odd) || text.match_indices(':').any(|(at, _)| is_drive_before_control(text, at)) {
        Err("contains a control character")
    } else {
        Ok(text.to_owned())
    }
}

/// Whether the colon at this offset ends the single letter of a drive, and a control character and the rest of a name follow.
fn is_drive_before_control(text: &str, colon: usize) -> bool {
    let mut before = text[..colon].chars().rev();
    let is_drive =
        before.next().is_some_and(|c| c.is_ascii_alphabetic()) && !before.next().is_some_and(char::is_alphanumeric);
    let mut after = text[colon + 1..].chars();
    is_drive && after.next().is_some_and(char::is_control) && after.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_lines_and_loses_no_backslash() {
        for right in [
            "pass show mail",
            "if true; then\n\techo x\nfi\n",
            "for x in y:\n  print(x)",
            "else:\nx",
            "case $x in\n  a) echo: b;;\nesac",
            "C:/bin/x",
            r"C:\new\tool",
        ] {
            assert_eq!(command_word(right), Ok(right.to_owned()));
        }
        for wrong in ["C:\tools\\pass.exe", "C:\newtools", "type D:\neu", "C:/x\u{8}in", "C:\u{c}oo", "\u{1b}"] {
            assert!(command_word(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3m"), Ok(Duration::from_secs(180)));
        assert_eq!(duration("24h"), Ok(MAX_DURATION));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(limit("0s"), Err("is shorter than 10ms"));
        for wrong in ["", "10", "s", "1.5s", "-1s", "10 s", "25h", "99999999999999999999h", "1d", "\u{661}s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_names_a_certificate_can_have() {
        assert_eq!(host("Mail.Example.NET."), Ok("mail.example.net".into()));
        assert!(host("mail.example.net..").is_err());
        assert_eq!(host("[::1]"), Ok("::1".into()));
        assert_eq!(host("192.0.2.1"), Ok("192.0.2.1".into()));
        for wrong in
            ["", ".", "mail example", "mail:995", "pop3s://mail", "m\u{fc} ller.de", "a\r\nb", "[mail]", "a..b"]
        {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn f08_letters_of_a_domain_become_ascii_wherever_one_is_read() {
        assert_eq!(host("Mail.B\u{dc}CHER.example."), Ok("mail.xn--bcher-kva.example".into()));
        assert_eq!(address("Ann@b\u{fc}cher.example"), Ok("Ann@xn--bcher-kva.example".into()));
        assert_eq!(name("ann@b\u{fc}cher.example"), Ok("ann@xn--bcher-kva.example".into()));
        assert_eq!(username("ann@b\u{fc}cher.example"), Ok("ann@xn--bcher-kva.example".into()));
        // A user name need not be an address.
        assert_eq!(username("j\u{fc}rgen"), Ok("j\u{fc}rgen".into()));
        assert_eq!(alias("*@B\u{fc}cher.example"), Ok(Alias::Domain("xn--bcher-kva.example".into())));
        assert_eq!(alias("Lee@b\u{fc}cher.example"), Ok(Alias::Address("lee@xn--bcher-kva.example".into())));
        for wrong in [address("j\u{fc}rgen@x.net"), username("j\u{fc}rgen@b\u{fc}cher.example")] {
            assert!(wrong.is_err_and(|why| why.contains("before the @")));
        }
        assert!(alias("j\u{fc}rgen@x.net").is_err_and(|why| why.contains("before the @")));
    }

    #[test]
    fn networks_have_their_bits() {
        assert_eq!(network("10.0.0.1"), Ok(Network { address: "10.0.0.1".parse().unwrap(), prefix: 32 }));
        assert_eq!(network("fe80::/10"), Ok(Network { address: "fe80::".parse().unwrap(), prefix: 10 }));
        let mapped = network("::ffff:10.0.0.0/104").unwrap();
        assert_eq!(mapped, Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 });
        assert!(mapped.contains("10.9.9.9".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::/129", "lan", "::ffff:10.0.0.0/8"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pins_may_have_colons_and_either_case() {
        let plain = format!("sha256:{}", "ab".repeat(32));
        let colons = format!("SHA256:{}", ["AB"; 32].join(":"));
        assert_eq!(pin(&plain), Ok([0xab; 32]));
        assert_eq!(pin(&colons), Ok([0xab; 32]));
        let wrong = ["sha256:", "sha1:00", "", "sha256:zz", &plain[..70], &format!("{plain}0"), "sha256:\u{e4}\u{e4}"];
        assert!(wrong.iter().all(|w| pin(w).is_err()));
    }

    #[test]
    fn addresses_cannot_carry_a_command() {
        assert!(address("ann.lee+x@example.net").is_ok());
        assert!(address("ann@[192.0.2.1]").is_ok());
        for wrong in ["ann", "@x", "ann@", "a b@x", "ann@x\r\nRCPT", "<ann@x>", "ann@x y", "ann@.x", "ann@[x y]"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(alias("*@Example.NET"), Ok(Alias::Domain("example.net".into())));
        assert!(alias("*@").is_err());
    }
}
