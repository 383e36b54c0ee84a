//! IMAP (RFC 3501): what its machines share. `front` hears a client until LOGIN or AUTHENTICATE, `login` signs in at a
//! provider, `filter` watches what passes, `command` takes commands apart, `folder` spells names, `words` has what ostler says.
//!
//! Not here: sockets, and how a provider's mailbox is served to a POP3 client.

pub mod command;
pub mod filter;
pub(crate) mod folder;
pub mod front;
pub mod login;
pub mod words;

use memchr::memchr;

use crate::wire::printable;

/// The longest tag that is echoed, in octets. Clients of the time have 5; the limit is Dovecot's, so that no one can make
/// ostler say what they like to a browser.
pub(crate) const MAX_TAG_OCTETS: usize = 126;
/// The longest line of a server that is read whole, in octets. Lines of answers may be longer, and pass in parts.
pub(crate) const MAX_STATUS_LINE_OCTETS: usize = 8192;

/// Whether these octets may be a tag (RFC 3501, section 9: `ASTRING-CHAR` but `+`).
pub(crate) fn is_tag(octets: &[u8]) -> bool {
    let is_special = |b: u8| matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b'+');
    !octets.is_empty()
        && octets.len() <= MAX_TAG_OCTETS
        && octets.iter().all(|&b| b.is_ascii_graphic() && !is_special(b))
}

/// The literal that a line announces at its end (RFC 3501, section 4.3; RFC 7888; `~{` of RFC 3516).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Literal {
    /// Its length in octets.
    pub(crate) octets: u64,
    /// The sender waits for `+` before it sends the octets.
    pub(crate) waits: bool,
    /// How many octets of the line the announcement takes up.
    pub(crate) mark: usize,
}

/// Reads the announcement at the end of a line, whose line end is cut off.
pub(crate) fn literal_at_end(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|b| *b == b'{')?;
    let (digits, waits) = match inner[open + 1..].strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (&inner[open + 1..], true),
    };
    let is_number = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    let octets = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    Some(Literal { octets, waits, mark: line.len() - open })
}

/// The first word of a text and what follows the blank behind it.
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b' ', text) {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        None => (text, &[]),
    }
}

/// The capabilities that a client may see, because ostler or the provider behind it can serve them to a program of the time.
/// An entry with `=` at its end is a prefix. The list has none that would change what the lines mean (COMPRESS, STARTTLS, UTF8=),
/// none that ostler answers itself (AUTH=, LOGINDISABLED), and none that surprises old programs.
const CAPABILITIES: [&[u8]; 11] = [
    b"IMAP4REV1",
    b"NAMESPACE",
    b"UIDPLUS",
    b"CHILDREN",
    b"UNSELECT",
    b"SORT",
    b"ACL",
    b"QUOTA",
    b"LITERAL+",
    b"THREAD=",
    // `filter` renews it at the provider, because programs of the time do not.
    b"IDLE",
];

/// Those of a provider's capabilities that its client may see, in the provider's order.
pub(crate) fn visible_capabilities(offered: &[u8]) -> Vec<u8> {
    let is_visible = |word: &&[u8]| CAPABILITIES.iter().any(|known| is_capability(word, known));
    words_of(offered).filter(is_visible).collect::<Vec<_>>().join(&b' ')
}

/// Whether a list of capabilities has this one.
pub(crate) fn offers(offered: &[u8], capability: &[u8]) -> bool {
    words_of(offered).any(|word| is_capability(word, capability))
}

/// The words of a list of capabilities.
pub(crate) fn words_of(offered: &[u8]) -> impl Iterator<Item = &[u8]> {
    offered.split(|b| *b == b' ')
}

/// Whether a word is this capability, in any letter case; one that ends with `=` is a beginning.
fn is_capability(word: &[u8], capability: &[u8]) -> bool {
    let compared = if capability.ends_with(b"=") { word.get(..capability.len()) } else { Some(word) };
    compared.is_some_and(|word| word.eq_ignore_ascii_case(capability))
}

/// The most texts of a server for people that are kept until they are told.
const MAX_ALERTS: usize = 8;

/// The texts that a server wants people to read (`[ALERT]`, RFC 3501, section 7.1), the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts(Vec<String>);

impl Alerts {
    /// Notes the text of a status line, if it is one of these. `redact` takes a secret out that the server repeats.
    pub(crate) fn note(&mut self, text: &[u8], redact: impl FnOnce(&str) -> String) {
        let Some((code, words)) = split_code(text) else { return };
        if code.eq_ignore_ascii_case(b"ALERT") && self.0.len() < MAX_ALERTS {
            self.0.push(redact(&printable(words)));
        }
    }

    /// The texts, in the server's order.
    pub fn texts(&self) -> &[String] {
        &self.0
    }

    /// The texts. Each is returned once.
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0)
    }
}

/// The code in brackets with which the text of a status line begins, without them, and what follows (RFC 3501, section 7.1).
pub(crate) fn split_code(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let end = memchr(b']', inner)?;
    Some((&inner[..end], inner[end + 1..].trim_ascii_start()))
}

/// The list of capabilities in such a code, and what follows it.
pub(crate) fn split_capabilities(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (code, behind) = split_code(text)?;
    let (word, list) = split_word(code);
    word.eq_ignore_ascii_case(b"CAPABILITY").then_some((list, behind))
}

/// Whether a line of a server begins with a tag as ostler gives them: `o` in a sign-in, `f` in a folder that POP3 clients fetch,
/// and a number.
pub(crate) fn is_tagged_by_ostler(line: &[u8]) -> bool {
    matches!(line, [b'o' | b'f', b'0'..=b'9', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line_and_nowhere_else() {
        let of = |line: &str| literal_at_end(line.as_bytes()).map(|l| (l.octets, l.waits, l.mark));
        assert_eq!(of("1 LOGIN {3}"), Some((3, true, 3)));
        assert_eq!(of("1 LOGIN {310+}"), Some((310, false, 6)));
        assert_eq!(of("* 1 FETCH (BODY[] ~{0}"), Some((0, true, 3)));
        assert_eq!(of("{999999999999999999}"), Some((999_999_999_999_999_999, true, 20)));
        for line in ["{}", "{+}", "{3} ", "{-1}", "{1x}", "{9999999999999999999}", "3}", "", "}", "{3}+"] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_tag_is_what_the_grammar_says_and_not_long() {
        for tag in ["a1", "00001", "xxxx", "A.b-[c]", "1:2"] {
            assert!(is_tag(tag.as_bytes()), "{tag}");
        }
        let long = "a".repeat(MAX_TAG_OCTETS + 1);
        for tag in ["", "+", "*", "a+", "a\"", "a(", "{1}", "a b", "\u{e4}", "a\\", "%", "\x01", &long] {
            assert!(!is_tag(tag.as_bytes()), "{tag}");
        }
    }

    #[test]
    fn only_what_an_old_program_can_use_is_seen_of_a_providers_capabilities() {
        let icloud =
            b"CAPABILITY st11p00im IMAP4rev1 SASL-IR AUTH=PLAIN XSENDER LANGUAGE LITERAL+ CONDSTORE thread=REFS IDLE";
        assert_eq!(visible_capabilities(icloud), b"IMAP4rev1 LITERAL+ thread=REFS IDLE");
        assert_eq!(visible_capabilities(b""), b"");
        assert_eq!(visible_capabilities(b"STARTTLS COMPRESS=DEFLATE IMAP4rev2 UIDPLUSX"), b"");
    }
}
