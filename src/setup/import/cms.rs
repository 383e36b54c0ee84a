//! Finds the content of a signed file: the envelope of CMS (RFC 5652, once PKCS #7), in DER or BER. A signed profile of
//! Apple's is one. The signature is not checked: a profile is as trustworthy as the place it is from, signed or not.
//!
//! Only the way to the content is read: no more than a tag and a length at each step. DER alone would not do, because
//! OpenSSL and Java write the content in pieces of indefinite length.

use base64::Engine as _;

/// How deep elements of indefinite length may lie in each other; envelopes have about six.
const MAX_DEPTH: usize = 16;

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]`, explicit: what follows the type in `ContentInfo` and `EncapsulatedContentInfo`.
const CONTENT: u8 = 0xa0;
const OCTET_STRING: u8 = 0x04;
/// An OCTET STRING in pieces, each an OCTET STRING.
const OCTET_STRING_IN_PIECES: u8 = 0x24;
/// The octets of the identifier 1.2.840.113549.1.7.2, id-signedData.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// The lines around an envelope in base64.
const ARMOURS: [(&str, &str); 2] =
    [("-----BEGIN PKCS7-----", "-----END PKCS7-----"), ("-----BEGIN CMS-----", "-----END CMS-----")];

/// The signed content; `None` if the octets are not a signed envelope, or it holds no content.
pub(super) fn signed_content(octets: &[u8]) -> Option<Vec<u8>> {
    if octets.first() == Some(&SEQUENCE) {
        return content(octets);
    }
    content(&without_armour(octets)?)
}

fn without_armour(octets: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(octets).ok()?;
    let (begin, end) = ARMOURS.iter().find(|(begin, _)| text.trim_start().starts_with(begin))?;
    let inside = text.split_once(begin)?.1.split_once(end)?.0;
    let inside: String = inside.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(inside).ok()
}

/// The way to the content: ContentInfo, SignedData, EncapsulatedContentInfo, eContent (RFC 5652, sections 3 and 5).
fn content(octets: &[u8]) -> Option<Vec<u8>> {
    let mut info = Elements(Element::first(octets, SEQUENCE)?.content);
    let kind = info.next()?;
    if kind.tag != OBJECT_IDENTIFIER || kind.content != SIGNED_DATA {
        return None;
    }
    let explicit = info.next().filter(|element| element.tag == CONTENT)?;
    let signed = Element::first(explicit.content, SEQUENCE)?;
    // Before it are the version, an INTEGER, and the digest algorithms, a SET.
    let encapsulated = Elements(signed.content).find(|element| element.tag == SEQUENCE)?;
    let explicit = Elements(encapsulated.content).find(|element| element.tag == CONTENT)?;
    let string = Elements(explicit.content).next()?;
    let mut joined = Vec::new();
    join(&string, MAX_DEPTH, &mut joined)?;
    Some(joined)
}

/// Joins the pieces of an OCTET STRING.
fn join(string: &Element<'_>, depth: usize, joined: &mut Vec<u8>) -> Option<()> {
    match string.tag {
        OCTET_STRING => joined.extend_from_slice(string.content),
        OCTET_STRING_IN_PIECES => {
            let depth = depth.checked_sub(1)?;
            for piece in Elements(string.content) {
                join(&piece, depth, joined)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// One element of BER.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The element at the beginning, if it has this tag.
    fn first(octets: &'a [u8], tag: u8) -> Option<Self> {
        Elements(octets).next().filter(|element| element.tag == tag)
    }

    /// Splits off the element at the beginning.
    fn split(octets: &'a [u8], depth: usize) -> Option<(Self, &'a [u8])> {
        let (&tag, rest) = octets.split_first()?;
        // 0x1f: the tag goes on in the next octet, which no tag of CMS does.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&length, rest) = rest.split_first()?;
        match length {
            0..=0x7f => Self::take(tag, rest, usize::from(length)),
            0x80 => Self::split_indefinite(tag, rest, depth),
            // Four octets of length are more than a file has.
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = octets.iter().fold(0u64, |all, octet| all << 8 | u64::from(*octet));
                Self::take(tag, rest, usize::try_from(length).ok()?)
            }
            _ => None,
        }
    }

    fn take(tag: u8, rest: &'a [u8], length: usize) -> Option<(Self, &'a [u8])> {
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self { tag, content }, rest))
    }

    /// An element that ends with two zero octets behind its last child.
    fn split_indefinite(tag: u8, octets: &'a [u8], depth: usize) -> Option<(Self, &'a [u8])> {
        let depth = depth.checked_sub(1)?;
        let mut rest = octets;
        while !rest.starts_with(&[0, 0]) {
            (_, rest) = Self::split(rest, depth)?;
        }
        let content = octets.get(..octets.len() - rest.len())?;
        Some((Self { tag, content }, rest.get(2..)?))
    }
}

/// The elements one after the other; they end with the first that is damaged.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = Element::split(self.0, MAX_DEPTH)?;
        self.0 = rest;
        Some(element)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];

    /// How an element's length is written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in super::super) enum Length {
        Definite,
        Indefinite,
    }

    fn element(tag: u8, content: &[u8], length: Length) -> Vec<u8> {
        let mut octets = vec![tag];
        match (length, content.len()) {
            (Length::Indefinite, _) => {
                octets.push(0x80);
                return [&octets, content, &[0, 0]].concat();
            }
            (Length::Definite, short @ 0..=0x7f) => octets.push(u8::try_from(short).unwrap()),
            (Length::Definite, long) => {
                octets.push(0x83);
                octets.extend(&u32::try_from(long).unwrap().to_be_bytes()[1..]);
            }
        }
        [octets.as_slice(), content].concat()
    }

    fn envelope(kind: &[u8], string: &[u8], length: Length) -> Vec<u8> {
        let of = |tag, parts: &[&[u8]]| element(tag, &parts.concat(), length);
        let primitive = |tag, content: &[u8]| element(tag, content, Length::Definite);
        let inside = of(SEQUENCE, &[&primitive(OBJECT_IDENTIFIER, DATA), &of(CONTENT, &[string])]);
        let certificates = of(CONTENT, &[&of(SEQUENCE, &[&primitive(0x02, &[7])])]);
        let signed = of(SEQUENCE, &[&primitive(0x02, &[1]), &of(0x31, &[]), &inside, &certificates, &of(0x31, &[])]);
        of(SEQUENCE, &[&primitive(OBJECT_IDENTIFIER, kind), &of(CONTENT, &[&signed])])
    }

    /// A signed file, whose content is in pieces if lengths are indefinite.
    pub(in super::super) fn signed(content: &[u8], length: Length) -> Vec<u8> {
        let string = match length {
            Length::Definite => element(OCTET_STRING, content, length),
            Length::Indefinite => {
                let pieces = content.chunks(100).flat_map(|piece| element(OCTET_STRING, piece, Length::Definite));
                element(OCTET_STRING_IN_PIECES, &pieces.collect::<Vec<u8>>(), length)
            }
        };
        envelope(SIGNED_DATA, &string, length)
    }

    #[test]
    fn f07_the_content_of_a_signed_file_is_found_in_every_form() {
        for content in [b"".as_slice(), b"<plist/>", &[b'x'; 300], &[0; 70_000]] {
            for length in [Length::Definite, Length::Indefinite] {
                let mut octets = signed(content, length);
                assert_eq!(signed_content(&octets).as_deref(), Some(content), "{length:?} {}", content.len());
                let armoured = base64::engine::general_purpose::STANDARD.encode(&octets);
                let lines: Vec<&str> =
                    armoured.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
                let armoured = format!("-----BEGIN PKCS7-----\r\n{}\r\n-----END PKCS7-----\r\n", lines.join("\r\n"));
                assert_eq!(signed_content(armoured.as_bytes()).as_deref(), Some(content));
                octets.extend(b"\r\n");
                assert_eq!(signed_content(&octets).as_deref(), Some(content), "an upload has added a line end");
            }
        }
    }

    #[test]
    fn f07_what_is_not_signed_or_holds_nothing_is_not_taken_for_signed() {
        let string = element(OCTET_STRING, b"x", Length::Definite);
        assert_eq!(signed_content(&envelope(ENVELOPED_DATA, &string, Length::Definite)), None);
        assert_eq!(signed_content(&envelope(SIGNED_DATA, b"", Length::Definite)), None, "a detached signature");
        assert_eq!(
            signed_content(&envelope(SIGNED_DATA, &element(0x02, b"x", Length::Definite), Length::Definite)),
            None
        );
        for octets in [
            b"".as_slice(),
            b"0",
            b"0\x80",
            b"0 is a number",
            b"-----BEGIN PKCS7-----",
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(signed_content(octets), None, "{octets:?}");
        }
    }

    #[test]
    fn f07_deep_envelopes_come_to_an_end() {
        let deep = [[SEQUENCE, 0x80]; 100_000].concat();
        assert_eq!(signed_content(&deep), None);
        let pieces = (0..100).fold(element(OCTET_STRING, b"x", Length::Definite), |inside, _| {
            element(OCTET_STRING_IN_PIECES, &inside, Length::Definite)
        });
        assert_eq!(signed_content(&envelope(SIGNED_DATA, &pieces, Length::Definite)), None);
    }

    proptest! {
        #[test]
        fn f07_a_damaged_envelope_is_read_to_an_end(
            at in any::<prop::sample::Index>(), put in proptest::collection::vec(any::<u8>(), 0..12), cut in 0..12usize,
            is_definite in any::<bool>(),
        ) {
            let length = if is_definite { Length::Definite } else { Length::Indefinite };
            let mut octets = signed(&[b'<'; 500], length);
            let at = at.index(octets.len());
            let end = (at + cut).min(octets.len());
            octets.splice(at..end, put);
            if let Some(content) = signed_content(&octets) {
                prop_assert!(content.len() <= octets.len());
            }
        }
    }
}
