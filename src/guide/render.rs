//! Renders a guide's Markdown as plain text for the terminal, and as HTML for paper and the settings page. Values are
//! filled in after the Markdown has been parsed, so that the name of a person or a file is never read as Markdown. HTML in a
//! guide is left out; guides have it in comments only.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, TextMergeStream, html};
use textwrap::WordSplitter;

use crate::os::markup::escaped;

/// The style of the printed page; no more than a printer needs.
const STYLE: &str = "body{font:16px/1.5 Georgia,serif;max-width:42em;margin:2em auto;padding:0 1em;color:#000;background:#fff}\
h1,h2{font-family:Verdana,sans-serif;line-height:1.2}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}\
code{font-family:Consolas,Menlo,monospace;background:#eee;padding:0 .25em}pre{background:#eee;padding:.6em;white-space:pre-wrap}\
pre code{padding:0}li{margin:.4em 0}@media print{body{margin:0;max-width:none}h2{page-break-after:avoid}\
li{page-break-inside:avoid}code,pre{background:none;border:1px solid #999}}";

/// Stands before a value that the reader types, until the HTML around it is known. No value has a control character.
const VALUE_MARK: char = '\u{1}';

/// Stands for a blank at which no line may be broken, so that commands and values stay in one piece.
const NO_BREAK_SPACE: char = '\u{a0}';

/// The Markdown's events, with values filled in and comments left out.
fn events<'m>(markdown: &'m str, value: &'m dyn Fn(&str) -> Option<String>) -> impl Iterator<Item = Event<'m>> {
    // Merged, because the parser may cut a text in the middle of a `{{name}}`.
    TextMergeStream::new(Parser::new_ext(markdown, Options::empty())).filter_map(move |event| match event {
        Event::Text(text) => Some(Event::Text(fill(text, value))),
        Event::Code(text) => Some(Event::Code(fill(text, value))),
        Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => None,
        other => Some(other),
    })
}

fn fill<'m>(text: CowStr<'m>, value: &dyn Fn(&str) -> Option<String>) -> CowStr<'m> {
    if !text.contains("{{") {
        return text;
    }
    let mut out = String::new();
    let mut rest: &str = &text;
    while let Some((before, (name, after))) = rest.split_once("{{").and_then(|(b, t)| Some((b, t.split_once("}}")?))) {
        out.push_str(before);
        out.push_str(&value(name).unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out.into()
}

/// Markdown with the values filled in and the comments left out. Only for values that cannot be read as Markdown.
pub(super) fn markdown(markdown: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, (_, after))) = rest.split_once("<!--").and_then(|(b, t)| Some((b, t.split_once("-->")?))) {
        // Of the blanks around a comment one is left in a line, and none at its end.
        out.push_str(if after.starts_with(['\n', ' ']) { before.trim_end_matches(' ') } else { before });
        rest = after;
    }
    out.push_str(rest);
    fill(out.into(), value).into_string()
}

/// Renders HTML without a page around it. What the reader types has the class `value`, behind which the settings page puts
/// a button to copy it.
pub(super) fn html_body(markdown: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut body = String::new();
    let mark = |name: &str| value(name).map(|value| format!("{VALUE_MARK}{value}")).filter(|_| is_typed(name));
    let marked = |name: &str| mark(name).or_else(|| value(name));
    let shown = events(markdown, &marked).map(|event| match event {
        Event::Code(text) if text.contains(VALUE_MARK) => {
            let code = escaped(&text.replace(VALUE_MARK, ""));
            Event::InlineHtml(format!("<code class=\"value\">{code}</code>").into())
        }
        Event::Text(text) => Event::Text(text.replace(VALUE_MARK, "").into()),
        event => event,
    });
    html::push_html(&mut body, shown);
    body
}

/// Whether the value of this name is something to type, alone or as a part of it. The others name a file or a guide.
fn is_typed(name: &str) -> bool {
    !matches!(name, "settings_file" | "client" | "option")
}

/// Renders a whole HTML page.
pub(super) fn html_page(title: &str, markdown: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let escaped = escaped(title);
    let body = html_body(markdown, value);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{escaped}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// Renders plain text; only a single word or value can be longer than `width`.
pub(super) fn text(markdown: &str, value: &dyn Fn(&str) -> Option<String>, width: usize) -> String {
    let mut page =
        Page { out: String::new(), width: width.max(20), lists: Vec::new(), line: String::new(), mark: None };
    let mut in_code = false;
    for event in events(markdown, value) {
        match event {
            Event::Start(Tag::List(start)) => {
                page.end_block();
                page.lists.push(start);
            }
            Event::End(TagEnd::List(_)) => {
                page.end_block();
                page.lists.pop();
                if page.lists.is_empty() {
                    page.blank();
                }
            }
            Event::Start(Tag::Item) => page.begin_item(),
            Event::Start(Tag::Heading { .. } | Tag::Paragraph) => page.begin_paragraph(),
            Event::End(TagEnd::Heading(level)) => page.end_heading(level),
            Event::End(TagEnd::Paragraph) => {
                page.end_block();
                if page.lists.is_empty() {
                    page.blank();
                }
            }
            Event::End(TagEnd::Item) => page.end_block(),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented | CodeBlockKind::Fenced(_))) => {
                page.end_block();
                in_code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                in_code = false;
                if page.lists.is_empty() {
                    page.blank();
                }
            }
            Event::Text(text) if in_code => page.verbatim(&text),
            Event::Text(text) => page.line.push_str(&text),
            Event::Code(text) => page.line.extend(text.chars().map(|c| if c == ' ' { NO_BREAK_SPACE } else { c })),
            Event::SoftBreak | Event::HardBreak => page.line.push(' '),
            _ => {}
        }
    }
    page.end_block();
    page.out.trim_end().to_owned() + "\n"
}

struct Page {
    out: String,
    width: usize,
    /// The open lists; a numbered one has the number of its next item.
    lists: Vec<Option<u64>>,
    /// The paragraph so far.
    line: String,
    /// The number or dash of an item whose first line has not been written yet.
    mark: Option<String>,
}

impl Page {
    fn indent(&self) -> usize {
        self.lists.len() * 4
    }

    fn begin_item(&mut self) {
        self.end_block();
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{:>2}. ", *number - 1)
            }
            _ => "  - ".to_owned(),
        };
        self.mark = Some(mark);
    }

    fn begin_paragraph(&mut self) {
        self.end_block();
    }

    fn end_block(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A comment that was left out leaves two blanks behind.
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let line = words.join(" ");
        if line.is_empty() {
            return;
        }
        let indent = self.indent();
        let rest = " ".repeat(indent);
        let first = match self.mark.take() {
            Some(mark) => format!("{}{mark}", " ".repeat(indent.saturating_sub(4))),
            None => rest.clone(),
        };
        let options = textwrap::Options::new(self.width)
            .initial_indent(&first)
            .subsequent_indent(&rest)
            .break_words(false)
            .word_splitter(WordSplitter::NoHyphenation);
        for line in textwrap::wrap(&line, options) {
            self.out.push_str(&line.replace(NO_BREAK_SPACE, " "));
            self.out.push('\n');
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let heading = std::mem::take(&mut self.line);
        let heading = heading.trim();
        let rule = if level == HeadingLevel::H1 { "=" } else { "-" };
        self.blank();
        self.out.push_str(&format!("{heading}\n{}\n", rule.repeat(heading.chars().count())));
    }

    fn verbatim(&mut self, text: &str) {
        let indent = " ".repeat(self.indent() + 4);
        for line in text.lines() {
            self.out.push_str(&format!("{indent}{line}\n"));
        }
    }

    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        (name == "a_b").then(|| "<b>*x*_y_".to_owned())
    }

    #[test]
    fn values_are_never_markdown_or_html() {
        let markdown = "# T {{a_b}}\n\nType `{{a_b}}` and {{a_b}}. <!-- source: x --><script>\n\n<!-- block -->\n";
        let page = html_page("T <i>", markdown, &value);
        assert!(
            page.contains("<p>Type <code class=\"value\">&lt;b&gt;*x*_y_</code> and &lt;b&gt;*x*_y_. </p>"),
            "{page}"
        );
        assert!(page.contains("<title>T &lt;i&gt;</title>"), "{page}");
        assert!(!page.contains("<!--") && !page.contains("<script") && !page.contains("<b>"), "{page}");
        let text = text(markdown, &value, 80);
        assert_eq!(text, "T <b>*x*_y_\n===========\nType <b>*x*_y_ and <b>*x*_y_.\n");
    }

    #[test]
    fn text_is_wrapped_and_hangs_below_its_number() {
        let markdown = "Words.\n\n1. One two three four five six `a b c` seven.\n\n   ```\n   x = 1\n   ```\n1. Two\n   - deep\n\nEnd.\n";
        let text = text(markdown, &value, 24);
        let wanted = "Words.\n\n 1. One two three four\n    five six a b c\n    seven.\n        x = 1\n 2. Two\n      - deep\n\nEnd.\n";
        assert_eq!(text, wanted);
        assert!(text.lines().all(|line| line.chars().count() <= 24));
    }
}
