//! A pasted text in the form that is searched: one line of printable ASCII with single blanks, with and without its
//! capitals, cut to a length that is searched at once. All slicing is checked, so no text can make a search panic.

/// The part of a text that is read. A whole error dialog has a few hundred characters.
const MAX_TEXT_CHARS: usize = 16 * 1024;
/// The longest text that a star in a pattern stands for.
const MAX_GAP_OCTETS: usize = 200;
/// The longest part of a match that is shown.
const MAX_SHOWN_OCTETS: usize = 160;

/// A text to search.
pub(super) struct Text {
    plain: String,
    lower: String,
}

impl Text {
    /// Normalizes a text: line breaks and runs of blanks become one blank, curly quotes (which forums make) become
    /// straight ones, and anything else beyond ASCII becomes a question mark.
    pub(super) fn new(text: &str) -> Self {
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
        let lower = plain.to_ascii_lowercase();
        Self { plain, lower }
    }

    /// What the first matching pattern matches, as it stands in the text.
    pub(super) fn first_of(&self, patterns: &[String]) -> Option<String> {
        patterns.iter().find_map(|pattern| self.find(pattern))
    }

    /// Finds a pattern: its parts, divided by stars, have to follow each other, each as whole words.
    fn find(&self, pattern: &str) -> Option<String> {
        let mut parts = pattern.split('*').map(str::trim).filter(|part| !part.is_empty());
        let first = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        self.find_words(first, 0).find_map(|start| {
            let mut end = start + first.len();
            for part in &rest {
                end = self.find_words_within(part, end, end + MAX_GAP_OCTETS + part.len()).next()? + part.len();
            }
            self.shown(start, end)
        })
    }

    fn shown(&self, start: usize, end: usize) -> Option<String> {
        self.plain.get(start..end.min(start + MAX_SHOWN_OCTETS)).map(str::to_owned)
    }

    /// The offsets at or after `from` where `words` stand as whole words.
    fn find_words<'t>(&'t self, words: &'t str, from: usize) -> impl Iterator<Item = usize> + 't {
        self.find_words_within(words, from, self.lower.len())
    }

    fn find_words_within<'t>(&'t self, words: &'t str, from: usize, to: usize) -> impl Iterator<Item = usize> + 't {
        let is_whole = move |at: &usize| {
            let word = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
            let octets = self.lower.as_bytes();
            let before = at.checked_sub(1).and_then(|at| octets.get(at).copied());
            let after = octets.get(at + words.len()).copied();
            let joined = |inner: Option<u8>, outer: Option<u8>| word(inner) && word(outer);
            !joined(words.bytes().next(), before) && !joined(words.bytes().last(), after)
        };
        self.lower
            .get(from..to.min(self.lower.len()))
            .unwrap_or_default()
            .match_indices(words)
            .map(move |(at, _)| at + from)
            .filter(is_whole)
    }

    /// Every code in the text: as [`normalize_code`] writes it, and as it stands in the text.
    pub(super) fn codes(&self) -> Vec<(String, String)> {
        self.plain
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter_map(|word| normalize_code(word).map(|code| (code, word.to_owned())))
            .collect()
    }

    /// Every number that may be a server's reply: its code, the words after it, and whether it stands where programs
    /// quote a reply, which makes it more than any number.
    pub(super) fn replies(&self) -> impl Iterator<Item = (u16, &str, bool)> {
        let octets = self.plain.as_bytes();
        let digit = move |at: usize| octets.get(at).is_some_and(u8::is_ascii_digit);
        (0..octets.len()).filter_map(move |at| {
            let begins =
                at.checked_sub(1).is_none_or(|before| octets.get(before).is_some_and(|b| b" '\"(:".contains(b)));
            let ends = octets.get(at + 3).is_none_or(|b| b" -".contains(b));
            if !(begins && ends && digit(at) && digit(at + 1) && digit(at + 2)) {
                return None;
            }
            let code: u16 = self.plain.get(at..at + 3)?.parse().ok().filter(|code| (400..600).contains(code))?;
            let rest = self.plain.get(at + 3..).unwrap_or_default();
            // Outlook Express goes on behind the reply: `Server Response: '550 ..', Port: 25`.
            let end = rest.find("', ").unwrap_or(rest.len()).min(512);
            let before = self.plain.get(..at).unwrap_or_default().trim_end();
            let is_quoted = before.is_empty() || before.ends_with(['\'', '"', ':', '(']);
            Some((code, rest.get(..end)?.trim_start_matches([' ', '-']), is_quoted))
        })
    }

    /// The server that a Microsoft program names in its dialog, if it is not this computer: then the mail program does
    /// not use ostler.
    pub(super) fn server_elsewhere(&self) -> Option<String> {
        const HERE: [&str; 3] = ["localhost", "::1", "0.0.0.0"];
        self.lower.match_indices("server:").find_map(|(at, word)| {
            let rest = self.plain.get(at + word.len()..)?.trim_start();
            let name: String =
                rest.trim_start_matches(['\'', '"']).chars().take_while(|c| !"'\", ".contains(*c)).collect();
            let lower = name.to_ascii_lowercase();
            // A name without a dot, or an address, is in the local network, and may be the computer that ostler runs
            // on.
            let far = lower.contains('.') && lower.chars().any(|c| c.is_ascii_alphabetic());
            (far && !HERE.contains(&lower.as_str())).then(|| format!("Server: '{name}'"))
        })
    }
}

/// A code in the form that is compared: `800ccc0e`, `10061`. People write it with or without `0x`, with the letter O
/// for zero, and with one of the three Cs missing.
pub(super) fn normalize_code(word: &str) -> Option<String> {
    if word.len() > 10 || !word.is_ascii() {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    if lower.len() == 5 && lower.starts_with('1') && lower.bytes().all(|b| b.is_ascii_digit()) {
        return Some(lower);
    }
    let zeros = lower.replace('o', "0");
    let hex = zeros.strip_prefix("0x").unwrap_or(&zeros);
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match hex.len() {
        8 if hex.starts_with("800") => Some(hex.to_owned()),
        7 => hex.strip_prefix("800cc").map(|end| format!("800ccc{end}")),
        _ => None,
    }
}
