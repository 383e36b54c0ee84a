//! The line ends of a settings file that is edited: every line that was there keeps its own, whatever it is, because within a
//! text of several lines it is part of the value. toml_edit knows only LF between the lines of a file.

/// Stands at the end of each line whose end is not the usual one, while toml_edit has the text: blanks in an order that nobody
/// writes, because blanks may end any line of TOML, are kept there, and go along with a line that moves.
const MARK: &str = "\t \t \t \t ";

/// Whether CRLF is the usual end of the text's lines: more than half of them have it. So a single line that came from elsewhere
/// does not decide about new ones. Where neither has the majority it is LF, which every program can read.
fn is_crlf(text: &str) -> bool {
    text.matches("\r\n").count() * 2 > text.matches('\n').count()
}

/// The usual end of the text's lines.
fn usual(text: &str) -> &'static str {
    if is_crlf(text) { "\r\n" } else { "\n" }
}

/// The text for toml_edit: each line end is LF, with a mark in front of it where it was not the usual one.
pub(super) fn marked(text: &str) -> String {
    let usual_is_crlf = is_crlf(text);
    let mut marked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some(content) = line.strip_suffix('\n') else {
            marked.push_str(line);
            continue;
        };
        let (content, line_is_crlf) = content.strip_suffix('\r').map_or((content, false), |content| (content, true));
        let mark = if line_is_crlf == usual_is_crlf { "" } else { MARK };
        marked.extend([content, mark, "\n"]);
    }
    marked
}

/// Gives what toml_edit made of a [`marked`] text the line ends that the lines had in `before`, and new lines the usual end.
pub(super) fn with_line_ends_of(before: &str, after: &str) -> String {
    let (usual, other) = if is_crlf(before) { ("\r\n", "\n") } else { ("\n", "\r\n") };
    let mut text = String::with_capacity(after.len());
    for line in after.split_inclusive('\n') {
        let Some(content) = line.strip_suffix('\n') else {
            text.push_str(line);
            continue;
        };
        match content.strip_suffix(MARK) {
            Some(content) => text.extend([content, other]),
            None => text.extend([content, usual]),
        }
    }
    text
}

/// The text, octet for octet, and after it the new lines, with the usual end. `lines` begins on a line of its own.
pub(super) fn appended(text: &str, lines: &str) -> String {
    let usual = usual(text);
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { usual };
    format!("{text}{end}{}", lines.replace('\n', usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::edit::parse_document;

    #[test]
    fn a_text_that_toml_edit_only_reads_and_writes_keeps_every_line_end() {
        let text = "# a\n\n[local] # b\r\npop3 = [ # c\r\n  110, # d\n\r\n  # e\r\n  111 \t\n]\r\n  \t\nx = '''\r\na\n\r\nb'''\n\
            y = \"\"\"a \\\r\n  b\\\n  c\n\"\"\"\r\n[[z]]\t\r\n[t.u] \nv = { w = 1 }  \r\n\r\n# end\r\n";
        let swapped = text.replace("\r\n", "\0").replace('\n', "\r\n").replace('\0', "\n");
        for text in [text, &swapped, &text.replace("\r\n", "\n"), &text.replace("\r\n", "\n").replace('\n', "\r\n")] {
            for end in [text.len(), text.trim_end().len()] {
                let text = &text[..end];
                assert_eq!(with_line_ends_of(text, &parse_document(text).unwrap().to_string()), text);
            }
        }
    }

    #[test]
    fn new_lines_have_the_end_that_most_lines_have() {
        assert_eq!(appended("a\r\nb\nc\r\n", "d\ne\n"), "a\r\nb\nc\r\nd\r\ne\r\n");
        assert_eq!(appended("a\r\nb\n", "d\n"), "a\r\nb\nd\n");
        assert_eq!(appended("a\r\nb\r\nc", "d\n"), "a\r\nb\r\nc\r\nd\r\n");
        assert_eq!(appended("", "d\n"), "d\n");
    }
}
