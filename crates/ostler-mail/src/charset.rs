//! How old systems write letters beyond ASCII, in names and passwords: each in its own octets. The tables are those of
//! unicode.org (MAPPINGS/VENDORS: MICSFT/WINDOWS/CP1252, APPLE/ROMAN, MICSFT/PC/CP850).

use std::borrow::Cow;

use zeroize::Zeroizing;

/// A character set in which mail programs of the 1990s write names and passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// Windows of Western Europe and America. ISO 8859-1 is a part of it.
    Windows1252,
    /// Mac OS before X.
    MacRoman,
    /// MS-DOS of Western Europe.
    Dos850,
}

/// What stands in a table for an octet that means no letter.
const NONE: char = '\u{fffd}';

impl Charset {
    const ALL: [Self; 3] = [Self::Windows1252, Self::MacRoman, Self::Dos850];

    /// The letters of the octets from 128 to 255.
    fn letters(self) -> &'static str {
        match self {
            Self::Windows1252 => {
                "€\u{fffd}‚ƒ„…†‡ˆ‰Š‹Œ\u{fffd}Ž\u{fffd}\u{fffd}‘’“”•–—˜™š›œ\u{fffd}žŸ\
                 \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
                 ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
                 àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ"
            }
            Self::MacRoman => {
                "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
                 †°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
                 ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
                 ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ"
            }
            Self::Dos850 => {
                "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒ\
                 áíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
                 └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀\
                 ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}"
            }
        }
    }

    /// The text in this character set; `None` if a letter of it is not there.
    pub fn encode(self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let octet = |letter: char| match u8::try_from(letter) {
            Ok(ascii) if ascii.is_ascii() => Some(ascii),
            _ => {
                let found = self.letters().chars().position(|known| known == letter && letter != NONE)?;
                u8::try_from(128 + found).ok()
            }
        };
        let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
        for letter in text.chars() {
            octets.push(octet(letter)?);
        }
        Some(octets)
    }

    /// The text that these octets mean; what means no letter becomes U+FFFD.
    pub fn decode(self, octets: &[u8]) -> String {
        let letter = |octet: &u8| match octet.checked_sub(128) {
            None => char::from(*octet),
            Some(n) => self.letters().chars().nth(n.into()).unwrap_or(NONE),
        };
        octets.iter().map(letter).collect()
    }
}

/// What a client or another program wrote: UTF-8, or else Windows-1252, which old Windows programs write.
pub fn text(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(Charset::Windows1252.decode(octets)),
    }
}

/// The octets that clients may send for a secret: the secret as it is, and as old systems spell it. Each is in the list
/// once.
pub(crate) fn spellings(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut all = vec![Zeroizing::new(secret.to_vec())];
    if secret.is_ascii() {
        return all;
    }
    let text = std::str::from_utf8(secret).unwrap_or_default();
    for spelling in Charset::ALL.into_iter().filter_map(|charset| charset.encode(text)) {
        if !spelling.is_empty() && !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_a_letter_for_each_octet_and_none_twice() {
        for charset in Charset::ALL {
            let letters: Vec<char> = charset.letters().chars().collect();
            assert_eq!(letters.len(), 128, "{charset:?}");
            for (n, letter) in letters.iter().enumerate().filter(|(_, letter)| **letter != NONE) {
                assert_eq!(letters.iter().position(|other| other == letter), Some(n), "{letter} in {charset:?}");
                let octet = u8::try_from(128 + n).unwrap();
                assert_eq!(charset.encode(&letter.to_string()).unwrap().as_slice(), [octet], "{letter}");
            }
        }
    }

    #[test]
    fn letters_are_the_octets_that_the_systems_write() {
        for (letter, windows, mac, dos) in [
            ("\u{e4}", Some(0xe4), Some(0x8a), Some(0x84)),
            ("\u{c4}", Some(0xc4), Some(0x80), Some(0x8e)),
            ("\u{df}", Some(0xdf), Some(0xa7), Some(0xe1)),
            ("\u{f8}", Some(0xf8), Some(0xbf), Some(0x9b)),
            ("\u{20ac}", Some(0x80), Some(0xdb), None),
            ("\u{a3}", Some(0xa3), Some(0xa3), Some(0x9c)),
            ("\u{2019}", Some(0x92), Some(0xd5), None),
            ("a", Some(0x61), Some(0x61), Some(0x61)),
            ("\u{430}", None, None, None),
            ("\u{fffd}", None, None, None),
            ("\u{81}", None, None, None),
        ] {
            let octet = |charset: Charset| charset.encode(letter).map(|octets| octets[0]);
            let all = (octet(Charset::Windows1252), octet(Charset::MacRoman), octet(Charset::Dos850));
            assert_eq!(all, (windows, mac, dos), "{letter}");
        }
    }

    #[test]
    fn a_secret_has_each_spelling_once() {
        assert_eq!(spellings(b"plain").len(), 1);
        assert_eq!(spellings("p\u{e4}ss".as_bytes()).len(), 4);
        assert_eq!(spellings("\u{a3}5".as_bytes()).len(), 3, "Windows and Mac write this one alike");
        assert_eq!(spellings("p\u{e4}ss\u{20ac}".as_bytes()).len(), 3, "MS-DOS has no euro");
        assert_eq!(spellings("\u{43f}".as_bytes()).len(), 1);
        assert_eq!(spellings(b"p\xe4ss").len(), 1, "octets of a client stay what they are");
    }
}
