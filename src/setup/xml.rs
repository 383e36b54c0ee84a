//! Reads XML that others wrote: what providers publish or hand out, and files of other programs. No document type declaration
//! is obeyed: nothing that it names is loaded, and no entity that it declares is expanded.

use std::borrow::Cow;

use roxmltree::{Document, ParsingOptions};

/// Why a text cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotXml {
    /// It uses entities that only its own declarations could explain.
    Entities,
    /// It is damaged, is no XML at all, has more nodes than allowed, or begins with a document type declaration.
    Damaged,
}

/// Parses a text that has at most this many elements, texts and attributes.
pub(super) fn parse(text: &str, max_nodes: u32) -> Result<Document<'_>, NotXml> {
    // Entities, which could multiply, are declared in a document type declaration.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: max_nodes, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::UnknownEntityReference(..) => NotXml::Entities,
        _ => NotXml::Damaged,
    })
}

/// The text without a document type declaration at its beginning, whatever that declares. Only a declaration that ends is
/// cut out.
pub(super) fn without_doctype(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "<!DOCTYPE";
    let Some(at) = prolog_octets(text) else { return Cow::Borrowed(text) };
    let (before, declaration) = text.split_at(at);
    match declaration.strip_prefix(BEGIN).and_then(behind_declaration) {
        Some(rest) => Cow::Owned([before, rest].concat()),
        None => Cow::Borrowed(text),
    }
}

/// How many octets there are before the first thing that is neither a blank, a comment nor `<?xml ..?>` and its like.
fn prolog_octets(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        rest = if let Some(inside) = rest.strip_prefix("<?") {
            inside.split_once("?>")?.1
        } else if let Some(inside) = rest.strip_prefix("<!--") {
            inside.split_once("-->")?.1
        } else {
            return Some(text.len() - rest.len());
        };
    }
}

/// What follows a declaration. Its end is the `>` that is neither quoted nor in a comment nor between square brackets, where
/// entities are declared.
fn behind_declaration(text: &str) -> Option<&str> {
    let (mut rest, mut is_inside) = (text, false);
    loop {
        let at = rest.find(['"', '\'', '[', ']', '<', '>'])?;
        let (found, behind) = (rest.get(at..)?, rest.get(at + 1..)?);
        rest = match found.as_bytes().first()? {
            b'"' => behind.split_once('"')?.1,
            b'\'' => behind.split_once('\'')?.1,
            b'<' if behind.starts_with("!--") => behind.split_once("-->")?.1,
            b'<' if behind.starts_with('?') => behind.split_once("?>")?.1,
            b'>' if !is_inside => return Some(behind),
            octet => {
                is_inside = *octet == b'[' || is_inside && *octet != b']';
                behind
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCTYPE: &str =
        r#"<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">"#;

    #[test]
    fn f07_a_document_type_is_passed_over_and_nothing_else() {
        let cut = |text: &str| without_doctype(text).into_owned();
        let rest = "<plist>a > \"b\" [c]</plist>";
        for declaration in [
            DOCTYPE,
            "<!DOCTYPE plist>",
            "<!DOCTYPE plist SYSTEM \"file://localhost/System/Library/DTDs/PropertyList.dtd\">",
            "<!DOCTYPE plist SYSTEM 'a>b\"c' [ <!ENTITY x \"]>\"> <!-- ]> ' --> <?x ]> ?> %y; ] >",
        ] {
            for before in ["", "<?xml version=\"1.0\"?>\r\n", " <!-- <!DOCTYPE x> --> "] {
                assert_eq!(cut(&format!("{before}{declaration}{rest}")), format!("{before}{rest}"), "{declaration}");
            }
        }
        for whole in [
            rest,
            "",
            "<!DOCTYPE",
            "<!DOCTYPE x [ ] ",
            "<!DOCTYPE x 'y>",
            "<?xml",
            "<!-- <!DOCTYPE x>",
            "<a><!DOCTYPE x></a>",
        ] {
            assert_eq!(cut(whole), whole);
        }
    }

    #[test]
    fn f07_no_entity_is_expanded() {
        let texts = |text: &str| {
            let document = parse(text, 100)?;
            let texts = document.descendants().filter(|node| node.is_text()).filter_map(|node| node.text());
            Ok(texts.map(str::to_owned).collect::<Vec<_>>())
        };
        let declared =
            "<!DOCTYPE plist [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
        for used in ["&b;", "&f;", "&a;"] {
            let text = format!("{declared}<plist><dict><key>k</key><string>{used}</string></dict></plist>");
            assert_eq!(texts(&without_doctype(&text)), Err(NotXml::Entities), "{used}");
        }
        assert_eq!(texts(DOCTYPE), Err(NotXml::Damaged));
        let unused = format!("{declared}<plist><dict><key>k</key><string>&lt;</string></dict></plist>");
        assert_eq!(texts(&without_doctype(&unused)).unwrap(), ["k", "<"]);
    }

    proptest! {
        #[test]
        fn f07_whatever_is_cut_out_was_a_declaration(text in "(<!DOCTYPE|<!--|-->|<\\?|\\?>|[<>'\"\\[\\] x])*") {
            let rest = without_doctype(&text);
            prop_assert!(rest.len() <= text.len() && (rest == text || text.contains("<!DOCTYPE")));
        }
    }
}
