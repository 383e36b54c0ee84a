//! Expands what a guide's text may have between double braces, except the values, which `render.rs` fills in:
//!
//! ```text
//! {{#if fetch}} .. {{else}} .. {{/if}}     a part for accounts that fetch; `{{#if !fetch}}` for those that do not
//! {{> values}}                             the file `config/guides/parts/values.md`
//! ```
//!
//! Conditions and parts can be nested. A line that contains only such a tag leaves no line behind. The smallest
//! well-maintained crate for this is forty times as long as this file.

/// What is wrong with a guide's text. Only authors of guides ever see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// A tag that means nothing.
    #[error("unknown word {{{{{0}}}}}")]
    Unknown(String),
    /// `{{else}}` or `{{/if}}` without `{{#if}}`, or the other way round.
    #[error("{{{{#if}}}}, {{{{else}}}} and {{{{/if}}}} do not fit together")]
    Unbalanced,
}

/// Decides every condition and inserts every part; values stay as they are. `flag` and `part` return `None` for an
/// unknown name.
pub(super) fn expand<'p>(
    text: &str,
    flag: &dyn Fn(&str) -> Option<bool>,
    part: &dyn Fn(&str) -> Option<&'p str>,
) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut open: Vec<bool> = Vec::new();
    walk(text, flag, part, &mut open, &mut out)?;
    if open.is_empty() { Ok(out) } else { Err(TemplateError::Unbalanced) }
}

fn walk<'p>(
    text: &str,
    flag: &dyn Fn(&str) -> Option<bool>,
    part: &dyn Fn(&str) -> Option<&'p str>,
    open: &mut Vec<bool>,
    out: &mut String,
) -> Result<(), TemplateError> {
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("{{") {
        let (word, after) = tail.split_once("}}").ok_or(TemplateError::Unbalanced)?;
        let shown = open.iter().all(|branch| *branch);
        let word = word.trim();
        let is_value = !word.starts_with(['#', '/', '>']) && word != "else";
        let (before, after, has_own_line) =
            if is_value { (before, after, false) } else { trim_own_line(before, after) };
        if shown {
            out.push_str(before);
        }
        rest = after;
        if let Some(condition) = word.strip_prefix("#if ") {
            let name = condition.trim();
            let value = match name.strip_prefix('!') {
                Some(name) => !flag(name).ok_or_else(|| TemplateError::Unknown(word.into()))?,
                None => flag(name).ok_or_else(|| TemplateError::Unknown(word.into()))?,
            };
            open.push(value);
        } else if word == "else" {
            let branch = open.last_mut().ok_or(TemplateError::Unbalanced)?;
            *branch = !*branch;
        } else if word == "/if" {
            open.pop().ok_or(TemplateError::Unbalanced)?;
        } else if let Some(name) = word.strip_prefix('>') {
            let inner = part(name.trim()).ok_or_else(|| TemplateError::Unknown(word.into()))?;
            // A part within a sentence is inserted without its line end.
            let inner = if has_own_line { inner } else { inner.trim_end() };
            let depth = open.len();
            walk(inner, flag, part, open, out)?;
            if open.len() != depth {
                return Err(TemplateError::Unbalanced);
            }
        } else if is_value && shown {
            out.push_str("{{");
            out.push_str(word);
            out.push_str("}}");
        } else if !is_value {
            return Err(TemplateError::Unknown(word.into()));
        }
    }
    if open.iter().all(|branch| *branch) {
        out.push_str(rest);
    }
    Ok(())
}

/// Removes the blanks and the line end around a tag that has a line to itself; the flag says whether it had.
fn trim_own_line<'t>(before: &'t str, after: &'t str) -> (&'t str, &'t str, bool) {
    let trimmed = before.trim_end_matches(' ');
    let begins = trimmed.is_empty() || trimmed.ends_with('\n');
    let ends = after.trim_start_matches(' ').strip_prefix('\n');
    match ends {
        Some(next) if begins => (trimmed, next, true),
        _ => (before, after, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, TemplateError> {
        let flag = |name: &str| match name {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let part = |name: &str| (name == "part").then_some("{{#if yes}}a part{{/if}}\n");
        expand(text, &flag, &part)
    }

    #[test]
    fn conditions_choose_and_values_stay() {
        assert_eq!(expanded("a {{#if yes}}b{{else}}c{{/if}} {{d}}").unwrap(), "a b {{d}}");
        assert_eq!(expanded("{{#if no}}b{{else}}c{{/if}}").unwrap(), "c");
        assert_eq!(expanded("{{#if !no}}{{#if no}}b{{else}}c{{/if}}{{/if}}").unwrap(), "c");
        assert_eq!(expanded("{{#if no}}{{#if yes}}b{{else}}c{{/if}}{{/if}}").unwrap(), "");
    }

    #[test]
    fn a_word_alone_on_its_line_leaves_no_line() {
        assert_eq!(expanded("1\n{{#if yes}}\n2\n{{/if}}\n3\n").unwrap(), "1\n2\n3\n");
        assert_eq!(expanded("1\n  {{#if no}}\n2\n  {{/if}}\n3\n").unwrap(), "1\n3\n");
    }

    #[test]
    fn parts_are_put_in() {
        assert_eq!(expanded("x {{> part}} y").unwrap(), "x a part y");
        assert_eq!(expanded("{{> part}}\nz\n").unwrap(), "a part\nz\n");
        assert_eq!(expanded("{{#if no}}{{> part}}{{/if}}z").unwrap(), "z");
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(expanded("{{#if maybe}}{{/if}}").unwrap_err(), TemplateError::Unknown("#if maybe".into()));
        assert_eq!(expanded("{{> nothing}}").unwrap_err(), TemplateError::Unknown("> nothing".into()));
        for text in ["{{#if yes}}", "{{/if}}", "{{else}}", "{{#if yes"] {
            assert_eq!(expanded(text).unwrap_err(), TemplateError::Unbalanced, "{text}");
        }
        assert_eq!(TemplateError::Unknown("x".into()).to_string(), "unknown word {{x}}");
    }
}
