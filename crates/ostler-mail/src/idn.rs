//! Letters beyond ASCII in mail addresses and host names. People write `ann@bücher.example`; the DNS, certificates and mail
//! commands have `ann@xn--bcher-kva.example` (A-labels, RFC 5890). ostler keeps and compares that form alone. This module is
//! the only place that makes it, and its reverse for people.
//!
//! The rules are UTS 46, nontransitional, as in RFC 5891: `ß` is a letter of its own. The part before the `@` has no such
//! form. It would need SMTPUTF8 (RFC 6531) all along the way, which no old mail program has.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Why an address with letters beyond ASCII has no form in ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAsciiForm {
    /// The letters are before the `@`.
    LocalPart,
    /// What follows the `@` cannot be a domain.
    Domain,
}

/// A domain or host name as the DNS has it, in lower case; `None` if it cannot be one: host names have only letters, digits
/// and hyphens (STD 3), and the DNS limits their length.
pub fn dns_name(text: &str) -> Option<String> {
    let deny = AsciiDenyList::STD3;
    let ascii = Uts46::new().to_ascii(text.as_bytes(), deny, Hyphens::CheckFirstLast, DnsLength::Verify);
    ascii.ok().map(Cow::into_owned)
}

/// A domain or host name in ASCII, with the dot at its end if it has one; `None` if it has no such form. What is ASCII stays
/// as it is, valid or not.
pub fn domain(text: &str) -> Option<Cow<'_, str>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let dot = &text[name.len()..];
    dns_name(name).map(|ascii| Cow::Owned(ascii + dot))
}

/// An address in ASCII. What is ASCII, or is no address, stays as it is.
pub fn address(text: &str) -> Result<Cow<'_, str>, NoAsciiForm> {
    // The last @: a quoted local part may contain one (RFC 5321, section 4.1.2).
    let Some((local, domain)) = text.rsplit_once('@').filter(|_| !text.is_ascii()) else {
        return Ok(Cow::Borrowed(text));
    };
    if !local.is_ascii() {
        return Err(NoAsciiForm::LocalPart);
    }
    let domain = dns_name(domain).ok_or(NoAsciiForm::Domain)?;
    Ok(Cow::Owned(format!("{local}@{domain}")))
}

/// A name by which a person or a client means an account: an address in ASCII, and any other name as it is.
pub fn name(text: &str) -> Cow<'_, str> {
    address(text).unwrap_or(Cow::Borrowed(text))
}

/// The form for people of a domain, a host or an address; `None` if that is the same, or could be taken for another name:
/// a label that mixes Latin letters with those of another script stays as it is.
pub fn readable(ascii: &str) -> Option<String> {
    let (local, domain) = ascii.rsplit_once('@').map_or((None, ascii), |(local, domain)| (Some(local), domain));
    if !domain.split('.').any(|label| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"))) {
        return None;
    }
    let (shown, valid) =
        Uts46::new().to_user_interface(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, is_clear);
    // Also not if the way back leads elsewhere.
    let is_same = valid.is_ok() && dns_name(&shown).is_some_and(|back| back.eq_ignore_ascii_case(domain));
    if !is_same || shown.is_ascii() {
        return None;
    }
    Some(local.map_or_else(|| shown.to_string(), |local| format!("{local}@{shown}")))
}

/// Whether a label is of one script as far as letters like those of ASCII go.
fn is_clear(label: &[char], _top: &[char], _is_right_to_left: bool) -> bool {
    let is_latin = |c: &char| c.is_ascii() || matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}');
    label.iter().all(is_latin) || !label.iter().any(char::is_ascii_alphabetic)
}

/// `xn--bcher-kva.example (bücher.example)`: both forms, for a person. A name with one form stays alone.
pub fn both(ascii: &str) -> String {
    readable(ascii).map_or_else(|| ascii.to_owned(), |readable| format!("{ascii} ({readable})"))
}

/// A text of any kind, with the host names in it in ASCII, so that it can be searched for those of servers.
pub fn with_dns_names(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_') || !c.is_ascii() && !c.is_whitespace();
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| is_part(c) != is_part(first)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        // A full stop after a name ends the sentence.
        let name = word.trim_matches('.');
        match dns_name(name).filter(|_| !name.is_ascii() && name.contains('.')) {
            Some(ascii) => done += &word.replacen(name, &ascii, 1),
            None => done += word,
        }
        rest = behind;
    }
    done
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::charset::text;

    #[test]
    fn f08_an_address_has_one_form_however_it_is_written() {
        for written in [
            "ann@b\u{fc}cher.example",
            "ann@B\u{dc}CHER.Example",
            "ann@bu\u{308}cher.example",
            "ann@b\u{fc}cher\u{3002}example",
            "ann@xn--bcher-kva.example",
        ] {
            assert_eq!(address(written).unwrap(), "ann@xn--bcher-kva.example", "{written}");
        }
        // Nontransitional: not `strasse`.
        assert_eq!(domain("mail.stra\u{df}e.example").unwrap(), "mail.xn--strae-oqa.example");
        assert_eq!(domain("b\u{fc}cher.example.").unwrap(), "xn--bcher-kva.example.");
        assert_eq!(domain("\u{43f}\u{43e}\u{447}\u{442}\u{430}.\u{440}\u{444}").unwrap(), "xn--80a1acny.xn--p1ai");
        assert_eq!(address("Ann.Lee+x@Example.net").unwrap(), "Ann.Lee+x@Example.net", "ASCII stays as it is");
        assert_eq!(address("j\u{fc}rgen").unwrap(), "j\u{fc}rgen", "no address");
    }

    #[test]
    fn f08_letters_before_the_at_have_no_form_and_neither_have_signs() {
        assert_eq!(address("j\u{fc}rgen@example.net"), Err(NoAsciiForm::LocalPart));
        assert_eq!(address("j\u{fc}rgen@b\u{fc}cher.example"), Err(NoAsciiForm::LocalPart));
        // Signs that UTS 46 maps to those of mail commands.
        for wrong in [
            "b\u{fc}cher\u{ff1e}.example",
            "b\u{fc}\u{ff20}x",
            "\u{fc}\u{3000}x",
            "\u{fc} x",
            "\u{fc}\r\nx",
            "\u{fc}..x",
        ] {
            assert_eq!(domain(wrong), None, "{wrong:?}");
            assert_eq!(address(&format!("ann@{wrong}")), Err(NoAsciiForm::Domain), "{wrong:?}");
        }
        let long = format!("\u{fc}{}.example", "x".repeat(63));
        assert_eq!(domain(&long), None);
    }

    #[test]
    fn f08_people_see_the_letters_where_they_cannot_be_taken_for_others() {
        assert_eq!(readable("ann@xn--bcher-kva.example").as_deref(), Some("ann@b\u{fc}cher.example"));
        assert_eq!(readable("mail.XN--bcher-KVA.example").as_deref(), Some("mail.b\u{fc}cher.example"));
        assert_eq!(
            both("xn--80a1acny.xn--p1ai"),
            "xn--80a1acny.xn--p1ai (\u{43f}\u{43e}\u{447}\u{442}\u{430}.\u{440}\u{444})"
        );
        let mixed = dns_name("p\u{430}ypal.example").unwrap();
        for one_form in
            ["example.net", "ann@example.net", "", "@", "xn--", "xn--a.example", "xn--zzzzzz99999.x", &mixed]
        {
            assert_eq!(readable(one_form), None, "{one_form}");
            assert_eq!(both(one_form), one_form);
        }
    }

    #[test]
    fn f08_old_windows_programs_write_windows_1252() {
        assert_eq!(text(b"ann@b\xfccher.example"), "ann@b\u{fc}cher.example");
        assert_eq!(text("ann@b\u{fc}cher.example".as_bytes()), "ann@b\u{fc}cher.example");
        assert_eq!(name(&text(b"ann@b\xdcCHER.example")), "ann@xn--bcher-kva.example");
        assert_eq!(text(b"\x80\x81"), "\u{20ac}\u{fffd}");
    }

    #[test]
    fn f08_a_pasted_text_names_hosts_in_the_form_of_the_settings() {
        let pasted = "Der Server \"mail.b\u{fc}cher.example\" antwortet nicht f\u{fc}r Sie (pop.B\u{dc}CHER.example.).";
        assert_eq!(
            with_dns_names(pasted),
            "Der Server \"mail.xn--bcher-kva.example\" antwortet nicht f\u{fc}r Sie (pop.xn--bcher-kva.example.)."
        );
        assert_eq!(with_dns_names("plain.example text"), "plain.example text");
    }

    proptest! {
        #[test]
        fn f08_the_form_is_ascii_and_stays_what_it_is(text in "\\PC{0,20}(@)?[a-z\u{fc}\u{df}\u{430}\u{3b1}\u{4e2d}\u{301}\u{ff0e}.-]{0,20}") {
            if let Ok(once) = address(&text) {
                prop_assert!(once.is_ascii() || !text.contains('@'));
                prop_assert_eq!(address(&once).unwrap(), once.as_ref());
            }
            if let Some(once) = domain(&text) {
                prop_assert!(once.is_ascii());
                let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
                prop_assert!(text.is_ascii() || once.bytes().all(is_host), "{}", once);
                prop_assert_eq!(domain(&once).unwrap(), once.as_ref());
                if let Some(shown) = readable(&once) {
                    prop_assert_eq!(domain(&shown).unwrap(), once.to_ascii_lowercase());
                }
            }
            prop_assert!(with_dns_names(&text).len() < 1000);
        }

        #[test]
        fn f08_no_octets_are_too_much(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = text(&octets);
            let _ = (name(&text), domain(&text), readable(&text), both(&text), with_dns_names(&text));
        }
    }
}
