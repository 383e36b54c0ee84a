//! HTML as far as its charset goes, and what is left of it as plain text.

use memchr::{memchr, memchr2, memmem};

/// The beginning of a document in which it says its charset. Browsers look at 1024 octets; newsletters have long comments.
const HEAD_OCTETS: usize = 16 * 1024;

/// The document with the right charset in its own words, if it names one: in a `meta`, or in the first line of XHTML.
pub(super) fn relabel(html: Vec<u8>, label: &str) -> Vec<u8> {
    let head = html[..html.len().min(HEAD_OCTETS)].to_ascii_lowercase();
    let mut places = Vec::new();
    if head.trim_ascii_start().starts_with(b"<?xml") {
        places.extend(value_behind(&head, 0, b"encoding"));
    }
    for tag in memmem::find_iter(&head, b"<meta") {
        places.extend(value_behind(&head, tag, b"charset"));
    }
    let mut out = Vec::with_capacity(html.len() + label.len());
    let mut at = 0;
    for (start, end) in places {
        // Two tags may not be closed and lead to the same value.
        if start >= at {
            out.extend_from_slice(&html[at..start]);
            out.extend_from_slice(label.as_bytes());
            at = end;
        }
    }
    out.extend_from_slice(&html[at..]);
    out
}

/// The place of the value of `name=` in the tag that begins at `tag`.
fn value_behind(head: &[u8], tag: usize, name: &[u8]) -> Option<(usize, usize)> {
    let end = tag + memchr(b'>', &head[tag..])?;
    let found = tag + memmem::find(&head[tag..end], name)? + name.len();
    let skip = |mut at: usize, skipped: &[u8]| {
        while at < end && skipped.contains(&head[at]) {
            at += 1;
        }
        at
    };
    let equals = skip(found, b" \t\r\n");
    if head.get(equals) != Some(&b'=') {
        return None;
    }
    let start = skip(equals + 1, b" \t\r\n\"'");
    let length =
        head[start..end].iter().take_while(|octet| octet.is_ascii_alphanumeric() || b"-_.:".contains(octet)).count();
    (length > 0).then_some((start, start + length))
}

/// Tags that begin a line.
const BLOCKS: [&str; 21] = [
    "address",
    "article",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "p",
    "pre",
    "table",
    "tr",
    "ul",
];

/// Elements whose content is not for people.
const HIDDEN: [&str; 4] = ["head", "script", "style", "title"];

/// References that people write by name.
const NAMED: [(&str, char); 24] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("copy", '\u{a9}'),
    ("reg", '\u{ae}'),
    ("euro", '\u{20ac}'),
    ("pound", '\u{a3}'),
    ("rsquo", '\u{2019}'),
    ("lsquo", '\u{2018}'),
    ("rdquo", '\u{201d}'),
    ("ldquo", '\u{201c}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("hellip", '\u{2026}'),
    ("bull", '\u{2022}'),
    ("auml", '\u{e4}'),
    ("ouml", '\u{f6}'),
    ("uuml", '\u{fc}'),
    ("szlig", '\u{df}'),
    ("eacute", '\u{e9}'),
    ("egrave", '\u{e8}'),
];

/// The words of a document, for programs that would show its source.
pub(super) fn to_plain(html: &str) -> String {
    let mut plain = Plain::default();
    let mut rest = html;
    while !rest.is_empty() {
        let end = memchr2(b'<', b'&', rest.as_bytes()).unwrap_or(rest.len());
        let (words, markup) = rest.split_at(end);
        plain.words(words);
        rest = match markup.bytes().next() {
            Some(b'<') => plain.tag(markup),
            Some(_) => plain.reference(markup),
            None => "",
        };
    }
    plain.finish()
}

#[derive(Default)]
struct Plain {
    out: String,
    /// The element whose content is left out.
    hidden: Option<String>,
}

impl Plain {
    /// Words with one blank between them, whatever stood there.
    fn words(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        for letter in text.chars() {
            if !letter.is_ascii_whitespace() {
                self.out.push(letter);
            } else if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
                self.out.push(' ');
            }
        }
    }

    fn new_line(&mut self) {
        let length = self.out.trim_end_matches(' ').len();
        self.out.truncate(length);
        if !self.out.is_empty() && !self.out.ends_with("\r\n\r\n") {
            self.out.push_str("\r\n");
        }
    }

    /// Takes a tag or a comment off the front. Returns what follows.
    fn tag<'a>(&mut self, markup: &'a str) -> &'a str {
        if let Some(comment) = markup.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let Some(end) = markup.find('>') else { return "" };
        let (tag, rest) = (&markup[1..end], &markup[end + 1..]);
        let (is_end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name =
            tag.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
        if self.hidden.as_deref() == Some(name.as_str()) && is_end {
            self.hidden = None;
        } else if self.hidden.is_none() && !is_end && HIDDEN.contains(&name.as_str()) {
            self.hidden = Some(name);
        } else if self.hidden.is_none() && BLOCKS.contains(&name.as_str()) {
            self.new_line();
            if name == "li" && !is_end {
                self.out.push_str("* ");
            }
        }
        rest
    }

    /// Takes a reference off the front. Returns what follows.
    fn reference<'a>(&mut self, markup: &'a str) -> &'a str {
        let name_end =
            markup.bytes().skip(1).take(10).take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'#').count();
        let name = &markup[1..=name_end];
        let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
        match number.and_then(char::from_u32).or(named).filter(|letter| !letter.is_control()) {
            Some(letter) => {
                if self.hidden.is_none() {
                    self.out.push(letter);
                }
                let rest = &markup[1 + name_end..];
                rest.strip_prefix(';').unwrap_or(rest)
            }
            None => {
                self.words("&");
                &markup[1..]
            }
        }
    }

    fn finish(mut self) -> String {
        let length = self.out.trim_end().len();
        self.out.truncate(length);
        self.out.push_str("\r\n");
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_its_charset_in_its_own_words() {
        for (html, expected) in [
            ("<META charset=\"UTF-8\">", "<META charset=\"x\">"),
            (
                "<meta http-equiv=Content-Type content='text/html; charset = utf-8'>",
                "<meta http-equiv=Content-Type content='text/html; charset = x'>",
            ),
            ("<?xml version='1.0' encoding='utf-8'?><p>", "<?xml version='1.0' encoding='x'?><p>"),
            ("<meta name=a><p>charset=utf-8", "<meta name=a><p>charset=utf-8"),
            ("<meta charset", "<meta charset"),
            ("<meta <meta charset=a>", "<meta <meta charset=x>"),
            ("<meta charset=>", "<meta charset=>"),
        ] {
            assert_eq!(String::from_utf8(relabel(html.into(), "x")).unwrap(), expected);
        }
    }

    #[test]
    fn the_words_of_a_document_are_left() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><!-- c --><h1>A &amp; B</h1>\r\n<p>one\r\n two<br>\
                    <ul><li>&#8217;&#x41;</li></ul>&nbsp;&nonsense; &<script>x<y</script></body>";
        assert_eq!(to_plain(html), "A & B\r\n\r\none two\r\n\r\n* \u{2019}A\r\n\r\n &nonsense; &\r\n");
        for odd in ["", "<", "&", "<!--", "<p", "&#;", "&#x110000;", "\u{e9}&\u{e9}", "&#0;"] {
            assert!(to_plain(odd).ends_with("\r\n"), "{odd}");
        }
    }
}
