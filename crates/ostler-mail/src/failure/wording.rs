//! A text from a server or a person in the form that is searched, and the patterns it is searched for. All slicing is
//! checked and every search is bounded, so no text can make one panic or last.
//!
//! A pattern is in lower case and matches whole words. In it
//! - `*` stands for up to 200 characters of anything,
//! - `~` for the rest of a word, so that `login~` finds `logins`,
//! - `#` for a number,
//! - `{a|b|}` for one of these, or for nothing.

/// The part of a text that is read. A whole error dialog has a few hundred characters, a returned mail a few thousand.
const MAX_TEXT_CHARS: usize = 16 * 1024;
/// The longest text that a star stands for.
const MAX_GAP_OCTETS: usize = 200;
/// The longest part of a match that is shown.
const MAX_SHOWN_OCTETS: usize = 160;

/// A text to search: one line of printable ASCII with single blanks, with and without its capitals.
pub struct Text {
    plain: String,
    lower: String,
    /// Where a pattern can begin: at each word and at each other character.
    starts: Vec<usize>,
}

impl Text {
    /// Normalizes a text: line breaks and runs of blanks become one blank, curly quotes (which forums make) become
    /// straight ones, anything else beyond ASCII becomes a question mark, and a reply of several lines becomes one line.
    pub fn new(text: &str) -> Self {
        let mut plain = String::new();
        for c in text.chars().take(MAX_TEXT_CHARS) {
            let c = match c {
                '\u{2018}' | '\u{2019}' | '\u{201b}' => '\'',
                '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}' => '"',
                '\u{2010}'..='\u{2014}' => '-',
                // Some web pages turn the x of 0x800CCC0E into a multiplication sign.
                '\u{d7}' => 'x',
                '!'..='~' => c,
                c if c.is_whitespace() || c.is_control() => ' ',
                _ => '?',
            };
            if c != ' ' || !plain.ends_with(' ') {
                plain.push(c);
            }
        }
        let plain = without_repeated_codes(&plain);
        let lower = plain.to_ascii_lowercase();
        let octets = lower.as_bytes();
        let starts = (0..octets.len()).filter(|at| octets[*at] != b' ' && !is_inside_word(octets, *at)).collect();
        Self { plain, lower, starts }
    }

    /// The text with its capitals.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// The text in lower case.
    pub fn lower(&self) -> &str {
        &self.lower
    }

    /// What the first matching pattern matches, as it stands in the text.
    pub fn first_of<P: AsRef<str>>(&self, patterns: &[P]) -> Option<String> {
        patterns.iter().find_map(|pattern| self.find(pattern.as_ref()))
    }

    /// Whether any of the patterns matches.
    pub fn has_any<P: AsRef<str>>(&self, patterns: &[P]) -> bool {
        self.first_of(patterns).is_some()
    }

    fn find(&self, pattern: &str) -> Option<String> {
        self.place_of(pattern).and_then(|(start, end)| self.shown(start, end))
    }

    /// The start and end of what a pattern matches: its parts, divided by stars, have to follow each other.
    pub fn place_of(&self, pattern: &str) -> Option<(usize, usize)> {
        let mut parts = pattern.split('*').map(str::trim).filter(|part| !part.is_empty());
        let first = parts.next()?;
        // Of each further part the next occurrence: the search goes through the text once, whatever the text is.
        let mut rest: Vec<(&str, (usize, usize))> = parts.map(|part| (part, (0, 0))).collect();
        for (start, mut end) in self.occurrences(first, 0) {
            let mut is_near = true;
            for (part, next) in &mut rest {
                if next.0 < end {
                    *next = self.occurrences(part, end).next()?;
                }
                is_near &= next.0 <= end + MAX_GAP_OCTETS;
                end = next.1;
            }
            if is_near {
                return Some((start, end));
            }
        }
        None
    }

    fn shown(&self, start: usize, end: usize) -> Option<String> {
        self.plain.get(start..end.min(start + MAX_SHOWN_OCTETS)).map(str::to_owned)
    }

    /// Where `part` stands as whole words at or behind `from`: the start and end of each.
    fn occurrences<'t>(&'t self, part: &'t str, from: usize) -> impl Iterator<Item = (usize, usize)> + 't {
        let fixed = part.split(['~', '#', '{']).next().unwrap_or_default();
        // The fixed beginning of a pattern is looked up fast; one that begins with alternatives is tried everywhere.
        let window = self.lower.get(from..).unwrap_or_default();
        let looked_up = (!fixed.is_empty()).then(|| window.match_indices(fixed).map(move |(at, _)| from + at));
        let firsts = first_octets(part.as_bytes());
        let octets = self.lower.as_bytes();
        let later = self.starts.get(self.starts.partition_point(|at| *at < from)..).unwrap_or_default();
        let tried = fixed.is_empty().then(|| later.iter().copied().filter(move |at| firsts[usize::from(octets[*at])]));
        looked_up.into_iter().flatten().chain(tried.into_iter().flatten()).filter_map(move |start| {
            if is_inside_word(octets, start) {
                return None;
            }
            let end = match_end(octets, start, part.as_bytes(), b"")?;
            (end > start).then_some((start, end))
        })
    }
}

/// A pattern as people write such a text: the first of alternatives, and two dots for what differs each time.
pub fn example_of(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, inside)) = rest.split_once('{') {
        let (ways, after) = inside.split_once('}').unwrap_or((inside, ""));
        out.push_str(before);
        out.push_str(ways.split('|').next().unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out.replace(['*', '#'], "..").replace('~', "")
}

/// The octets that a pattern with alternatives at its beginning can begin with.
fn first_octets(pattern: &[u8]) -> [bool; 256] {
    let mut firsts = [false; 256];
    let mut rest = pattern;
    while let Some((b'{', inside)) = rest.split_first() {
        let close = inside.iter().position(|b| *b == b'}').unwrap_or(inside.len());
        let ways = inside.get(..close).unwrap_or_default().split(|b| *b == b'|');
        let mut can_be_empty = false;
        for way in ways {
            way.first().map_or_else(|| can_be_empty = true, |first| firsts[usize::from(*first)] = true);
        }
        rest = inside.get(close + 1..).unwrap_or_default();
        if !can_be_empty {
            return firsts;
        }
    }
    match rest.first() {
        Some(b'#') => firsts[usize::from(b'0')..=usize::from(b'9')].fill(true),
        Some(first) => firsts[usize::from(*first)] = true,
        None => {}
    }
    firsts
}

/// Whether letters or digits stand on both sides of this place.
fn is_inside_word(octets: &[u8], at: usize) -> bool {
    let is_word = |at: Option<usize>| at.and_then(|at| octets.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    is_word(at.checked_sub(1)) && is_word(Some(at))
}

/// The end of what a pattern without stars, and what is behind it, match at `at`. It is the end of a word.
fn match_end(text: &[u8], at: usize, pattern: &[u8], behind: &[u8]) -> Option<usize> {
    let Some((&first, rest)) = pattern.split_first() else {
        return match behind {
            [] => (!is_inside_word(text, at)).then_some(at),
            behind => match_end(text, at, behind, b""),
        };
    };
    let run = |is_part: fn(&u8) -> bool| text.get(at..).unwrap_or_default().iter().take_while(|b| is_part(b)).count();
    match first {
        b'~' => match_end(text, at + run(u8::is_ascii_alphanumeric), rest, behind),
        b'#' => match run(u8::is_ascii_digit) {
            0 => None,
            digits => match_end(text, at + digits, rest, behind),
        },
        // Alternatives have none inside them, so nothing is behind.
        b'{' => {
            let close = rest.iter().position(|b| *b == b'}')?;
            let (ways, behind) = (rest.get(..close)?, rest.get(close + 1..)?);
            ways.split(|b| *b == b'|').find_map(|way| match_end(text, at, way, behind))
        }
        _ => match_end(text, text.get(at).filter(|b| **b == first).map(|_| at + 1)?, rest, behind),
    }
}

/// The text with the code of a reply at its first line only. Servers wrap their replies anywhere, and `550-5.7.1` in the
/// middle would part words that belong together.
fn without_repeated_codes(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    // The code of the reply that goes on, as `550` and `5.7.1`.
    let mut open: Option<(&str, &str)> = None;
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_start_matches(['\'', '"', '(']);
        let (code, after) = bare.split_at_checked(3).unwrap_or_default();
        let is_code = code.starts_with(['4', '5']) && code.bytes().all(|b| b.is_ascii_digit());
        match (open, after.strip_prefix('-')) {
            (Some((known, enhanced)), Some(rest)) if is_code && known == code => {
                let rest = if rest == enhanced { "" } else { rest };
                kept.extend((!rest.is_empty()).then_some(rest));
            }
            (Some((known, enhanced)), None) if is_code && known == code && after.is_empty() => {
                words.next_if_eq(&enhanced);
                open = None;
            }
            (_, Some(rest)) if is_code => {
                let is_enhanced = rest.contains('.') && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                open = Some((code, if is_enhanced { rest } else { "" }));
                kept.push(word);
            }
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, pattern: &str) -> Option<String> {
        Text::new(text).first_of(&[pattern])
    }

    #[test]
    fn a_pattern_matches_whole_words_in_order() {
        for (text, pattern, found) in [
            ("550 Relaying denied", "relaying denied", Some("Relaying denied")),
            ("550 relayingdenied", "denied", None),
            ("sender <ann@b> was not owned by ann", "sender * not owned", Some("sender <ann@b> was not owned")),
            ("not owned sender", "sender * not owned", None),
            ("Too many logins", "too many login~", Some("Too many logins")),
            ("Too many login", "too many login~", Some("Too many login")),
            ("Message 31 expunged.", "message # expunged", Some("Message 31 expunged")),
            ("Message x expunged.", "message # expunged", None),
            ("mailbox full", "mailbox {is |}full", Some("mailbox full")),
            ("mailbox is full", "mailbox {is |}full", Some("mailbox is full")),
            ("mailbox was full", "mailbox {is |}full", None),
            ("tls required", "{ssl|tls} {is |}required", Some("tls required")),
            ("atls required", "{ssl|tls} {is |}required", None),
            ("Server response '6' (Account", "server response '#'", Some("Server response '6'")),
            ("login limits", "login limit", None),
            ("", "a", None),
            ("a", "", None),
            ("a", "*", None),
            ("a", "{", None),
        ] {
            assert_eq!(finds(text, pattern).as_deref(), found, "{pattern:?} in {text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_a_limited_gap() {
        let text = |gap: usize| format!("relay {} denied", "-".repeat(gap));
        assert!(finds(&text(MAX_GAP_OCTETS - 2), "relay * denied").is_some());
        assert!(finds(&text(MAX_GAP_OCTETS - 1), "relay * denied").is_none());
    }

    #[test]
    fn a_reply_of_several_lines_is_read_as_one() {
        for (text, plain) in [
            ("550-5.7.1 Relaying\r\n550 5.7.1 denied", "550-5.7.1 Relaying denied"),
            ("550-Verification failed\n550-for you\n550 here", "550-Verification failed for you here"),
            ("'452-4.2.2 is over\n452-4.2.2 quota\n452 4.2.2 gsmtp'", "'452-4.2.2 is over quota gsmtp'"),
            ("call 555-1234 or 200", "call 555-1234 or 200"),
            ("550 no 550 no", "550 no 550 no"),
            ("550-a 550-", "550-a"),
        ] {
            assert_eq!(Text::new(text).plain(), plain);
        }
    }
}
