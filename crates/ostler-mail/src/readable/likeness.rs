//! What stands for a letter that a charset does not have: first the table here, which keeps a text readable (quotes, dashes,
//! arrows), then the letter without its marks, then the Latin letters that sound alike, then the name of a picture.

use any_ascii::any_ascii_char;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Signs that people know in ASCII, in the order of their code points. Several signs in a row stand for the same.
const TABLE: &[(&str, &str)] = &[
    ("\u{a0}", " "),
    ("\u{a1}", "!"),
    ("\u{a2}", "c"),
    ("\u{a3}", "GBP"),
    ("\u{a5}", "JPY"),
    ("\u{a6}", "|"),
    ("\u{a9}", "(c)"),
    ("\u{ab}", "<<"),
    ("\u{ae}", "(r)"),
    ("\u{b0}", " deg"),
    ("\u{b1}", "+/-"),
    ("\u{b4}\u{2b9}\u{2bc}\u{2c8}", "'"),
    ("\u{b5}", "u"),
    ("\u{b7}", "-"),
    ("\u{bb}", ">>"),
    ("\u{bc}", " 1/4"),
    ("\u{bd}", " 1/2"),
    ("\u{be}", " 3/4"),
    ("\u{d7}", "x"),
    ("\u{f7}", "/"),
    ("\u{2010}\u{2011}\u{2012}\u{2013}\u{2212}\u{2043}\u{fe63}\u{ff0d}", "-"),
    ("\u{2014}\u{2015}\u{fe58}", "--"),
    ("\u{2018}\u{2019}\u{201a}\u{201b}\u{2032}\u{2035}\u{ff07}", "'"),
    ("\u{2039}\u{2329}\u{27e8}\u{3008}", "<"),
    ("\u{203a}\u{232a}\u{27e9}\u{3009}", ">"),
    ("\u{201c}\u{201d}\u{201e}\u{201f}\u{2033}\u{2036}\u{301d}\u{301e}\u{301f}\u{ff02}", "\""),
    ("\u{2020}", "+"),
    ("\u{2021}", "++"),
    ("\u{2022}\u{2023}\u{25cf}\u{25e6}\u{25aa}\u{25a0}\u{25b8}\u{25ba}\u{2219}\u{22c5}\u{2981}\u{f0b7}", "*"),
    ("\u{2024}", "."),
    ("\u{2025}", ".."),
    ("\u{2026}\u{22ef}", "..."),
    ("\u{2030}", " o/oo"),
    ("\u{203c}", "!!"),
    ("\u{2044}\u{2215}", "/"),
    ("\u{2047}", "??"),
    ("\u{2048}", "?!"),
    ("\u{2049}", "!?"),
    ("\u{20a3}", "FRF"),
    ("\u{20a4}", "GBP"),
    ("\u{20a6}", "NGN"),
    ("\u{20a9}", "KRW"),
    ("\u{20aa}", "ILS"),
    ("\u{20ab}", "VND"),
    ("\u{20ac}", "EUR"),
    ("\u{20b1}", "PHP"),
    ("\u{20b4}", "UAH"),
    ("\u{20b9}", "INR"),
    ("\u{20ba}", "TRY"),
    ("\u{20bd}", "RUB"),
    ("\u{20bf}", "BTC"),
    ("\u{2103}", " deg C"),
    ("\u{2109}", " deg F"),
    ("\u{2116}", "No."),
    ("\u{2120}", "(sm)"),
    ("\u{2122}", "(tm)"),
    ("\u{2190}\u{27f5}\u{1f850}\u{1f808}", "<-"),
    ("\u{2191}\u{2b06}", "^"),
    ("\u{2192}\u{279c}\u{2794}\u{279d}\u{279e}\u{27a1}\u{27f6}\u{1f852}\u{1f80a}", "->"),
    ("\u{2193}\u{2b07}", "v"),
    ("\u{2194}\u{27f7}", "<->"),
    ("\u{21d0}", "<="),
    ("\u{21d2}", "=>"),
    ("\u{21d4}", "<=>"),
    ("\u{2217}\u{2731}\u{2605}\u{2606}\u{2b50}", "*"),
    ("\u{2248}\u{223c}", "~"),
    ("\u{2260}", "!="),
    ("\u{2264}", "<="),
    ("\u{2265}", ">="),
    ("\u{2500}\u{2501}\u{2504}\u{2550}", "-"),
    ("\u{2502}\u{2503}\u{2551}", "|"),
    ("\u{250c}\u{2510}\u{2514}\u{2518}\u{251c}\u{2524}\u{252c}\u{2534}\u{253c}", "+"),
    ("\u{2588}\u{2593}\u{2592}\u{2591}", "#"),
    ("\u{2610}", "[ ]"),
    ("\u{2611}\u{2612}\u{2705}", "[x]"),
    ("\u{2639}\u{1f641}\u{1f61e}\u{1f622}", ":-("),
    ("\u{263a}\u{1f642}\u{1f600}\u{1f603}\u{1f60a}", ":-)"),
    ("\u{1f609}", ";-)"),
    ("\u{2665}\u{2764}", "<3"),
    ("\u{2713}\u{2714}", "v"),
    ("\u{2715}\u{2717}\u{2718}\u{274c}", "x"),
];

/// What a letter looks like where a charset does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// This reads alike.
    Text(&'static str),
    /// This letter of the charset reads alike.
    Letter(char),
    /// A reader does not see it: a joiner, a mark of direction, the style of a picture.
    Invisible,
    /// Nothing does. A letter of a script that is not written in Latin letters.
    None,
}

/// What stands for a letter. `has` says whether the charset has another one.
pub(super) fn likeness(letter: char, has: impl Fn(char) -> bool) -> Likeness {
    if is_invisible(letter) {
        return Likeness::Invisible;
    }
    let spaces =
        matches!(letter, '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{2028}' | '\u{2029}');
    if spaces {
        return if letter == '\u{202f}' && has('\u{a0}') { Likeness::Letter('\u{a0}') } else { Likeness::Text(" ") };
    }
    if let Some((_, text)) = TABLE.iter().find(|(signs, _)| signs.contains(letter)) {
        return Likeness::Text(text);
    }
    if let Some(simpler) = with_fewer_marks(letter, &has) {
        return Likeness::Letter(simpler);
    }
    if letter.is_alphabetic() && !is_written_in_latin(letter) {
        return Likeness::None;
    }
    match any_ascii_char(letter) {
        "" if is_combining_mark(letter) => Likeness::Text(""),
        "" => Likeness::None,
        text => Likeness::Text(text),
    }
}

/// Whether a person would not miss it.
pub(super) fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The letter with as many of its marks as the charset has.
fn with_fewer_marks(letter: char, has: impl Fn(char) -> bool) -> Option<char> {
    let mut parts: Vec<char> = std::iter::once(letter).nfd().collect();
    while parts.len() > 1 {
        parts.pop();
        let mut composed = parts.iter().copied().nfc();
        match (composed.next(), composed.next()) {
            (Some(simpler), None) if has(simpler) => return Some(simpler),
            _ => {}
        }
    }
    None
}

/// Whether people write the letters of this script in Latin ones: Latin, Greek and Cyrillic, in all their shapes.
fn is_written_in_latin(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{1d00}'..='\u{1dbf}' | '\u{1e00}'..='\u{1fff}' | '\u{2071}'..='\u{209c}'
        | '\u{2100}'..='\u{214f}' | '\u{2160}'..='\u{2188}' | '\u{24b6}'..='\u{24e9}' | '\u{2c60}'..='\u{2c7f}'
        | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}'
        | '\u{fb00}'..='\u{fb06}' | '\u{ff21}'..='\u{ff5a}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f130}'..='\u{1f1ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(letter: char) -> String {
        // As in ISO 8859-1.
        match likeness(letter, |letter| u32::from(letter) < 256) {
            Likeness::Text(text) => text.into(),
            Likeness::Letter(letter) => letter.into(),
            Likeness::Invisible => "<none>".into(),
            Likeness::None => "?".into(),
        }
    }

    #[test]
    fn what_people_write_stays_readable() {
        for (letters, expected) in [
            ("\u{2018}\u{2019}\u{201c}\u{201d}\u{2026}\u{2013}\u{2014}", "''\"\"...---"),
            ("\u{2192}\u{21d2}\u{2022}\u{20ac}\u{2122}", "->=>*EUR(tm)"),
            ("\u{fb01}\u{fb02}\u{fb03}\u{152}\u{153}", "fiflffiOeoe"),
            ("\u{160}\u{17e}\u{11b}\u{142}\u{131}\u{1ea5}\u{1d6}", "Szeli\u{e2}\u{fc}"),
            ("\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}", "Privet"),
            ("\u{391}\u{3b8}\u{3ae}\u{3bd}\u{3b1}", "Athina"),
            ("\u{ff21}\u{1d5d4}\u{2460}\u{3000}\u{202f}", "AA1 \u{a0}"),
            ("\u{200b}\u{feff}\u{ad}", "<none><none><none>"),
            ("\u{4e2d}\u{3042}\u{d55c}\u{5d0}\u{627}\u{e01}", "??????"),
            ("\u{301}", ""),
        ] {
            assert_eq!(letters.chars().map(text).collect::<String>(), expected, "{letters}");
        }
        assert!(text('\u{1f680}').contains("rocket"), "{}", text('\u{1f680}'));
    }

    #[test]
    fn a_sign_is_in_the_table_once_and_its_likeness_is_ascii() {
        let signs: Vec<char> = TABLE.iter().flat_map(|(signs, _)| signs.chars()).collect();
        for (at, sign) in signs.iter().enumerate() {
            assert!(!signs[..at].contains(sign) && !sign.is_ascii(), "{sign}");
        }
        assert!(TABLE.iter().all(|(_, text)| text.is_ascii() && !text.is_empty()));
    }

    #[test]
    fn no_likeness_is_a_letter_that_the_charset_lacks() {
        for letter in (0x80..0x3_0000).filter_map(char::from_u32) {
            match likeness(letter, |letter| letter.is_ascii() || letter == '\u{e9}') {
                Likeness::Text(text) => {
                    assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{letter:?} {text}");
                }
                Likeness::Letter(like) => assert!(like.is_ascii_graphic() || like == '\u{e9}', "{letter:?} {like}"),
                Likeness::Invisible | Likeness::None => {}
            }
        }
    }
}
