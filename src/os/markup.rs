//! Text inside HTML and XML, as browsers, desktops and property lists read it. Pages that are written with `maud` or
//! `pulldown-cmark` leave this to them.

/// The text, with everything in it that would be read as markup written out. For what stands between tags, not inside them.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As [`escaped`], for a text that may end up inside a tag: quotes are written out too. Notices do without, because GNOME would show
/// `&#39;` as it stands.
pub(crate) fn escaped_with_quotes(text: &str) -> String {
    escaped(text).replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escaped("<a href=\"x\">R&D</a>"), "&lt;a href=\"x\"&gt;R&amp;D&lt;/a&gt;");
        assert_eq!(escaped_with_quotes("<'\">"), "&lt;&#39;&quot;&gt;");
    }
}
