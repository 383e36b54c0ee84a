//! Apple's property lists in XML: dictionaries, lists, texts, numbers, yes and no. A document type declaration, which every
//! such file has, is passed over: nothing that it names is loaded, and no entity that it declares is expanded.

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};

/// Elements and texts of one file; a profile with many parts has some hundreds.
const MAX_XML_NODES: u32 = 50_000;

/// How a property list in binary form begins.
pub(super) const BINARY_MAGIC: &[u8] = b"bplist";

/// Why a text is not a property list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAList {
    /// It uses entities that only its own declarations could explain.
    Entities,
    Damaged,
}

/// Parses a text without its document type declaration.
pub(super) fn parse(text: &str) -> Result<Document<'_>, NotAList> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_XML_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::UnknownEntityReference(..) => NotAList::Entities,
        _ => NotAList::Damaged,
    })
}

/// The dictionary that a document is.
pub(super) fn root<'d>(document: &'d Document<'_>) -> Option<Dictionary<'d>> {
    let root = document.root_element();
    root.has_tag_name("plist").then(|| root.first_element_child())?.and_then(Dictionary::of)
}

/// A dictionary: an element `key` before each value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dictionary<'d>(Node<'d, 'd>);

impl<'d> Dictionary<'d> {
    fn of(node: Node<'d, '_>) -> Option<Self> {
        node.has_tag_name("dict").then_some(Self(node))
    }

    fn get(self, key: &str) -> Option<Node<'d, 'd>> {
        let mut elements = self.0.children().filter(Node::is_element);
        elements.find(|element| element.has_tag_name("key") && text(*element) == key)?;
        elements.next().filter(|value| !value.has_tag_name("key"))
    }

    pub(super) fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A text or number as text; `None` if it is empty.
    pub(super) fn text(self, key: &str) -> Option<&'d str> {
        let value = self.get(key).filter(|value| value.has_tag_name("string") || value.has_tag_name("integer"))?;
        Some(text(value)).filter(|text| !text.is_empty())
    }

    /// Whether the value is yes; `None` if there is none.
    pub(super) fn flag(self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        Some(value.has_tag_name("true") || ["1", "true", "yes"].iter().any(|yes| text(value).eq_ignore_ascii_case(yes)))
    }

    /// The dictionaries in a list.
    pub(super) fn dictionaries(self, key: &str) -> impl Iterator<Item = Dictionary<'d>> {
        let list = self.get(key).filter(|value| value.has_tag_name("array"));
        list.into_iter().flat_map(|list| list.children().filter_map(Dictionary::of))
    }
}

fn text<'d>(node: Node<'d, '_>) -> &'d str {
    node.text().unwrap_or_default().trim()
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
    fn f07_values_are_found_by_their_keys() {
        let text = "<plist version='1.0'><dict><key>a</key><string> x &amp; y </string><key>b</key><integer>995</integer>\
                    <key>yes</key><true/><key>no</key><false/><key>empty</key><string/><key>nothing</key>\
                    <key>list</key><array><dict><key>a</key><string>1</string></dict><string>b</string><dict/></array>\
                    <!-- a --><key><!-- b -->c</key><string><![CDATA[<d>]]></string></dict></plist>";
        let document = parse(text).unwrap();
        let root = root(&document).unwrap();
        assert_eq!((root.text("a"), root.text("b"), root.text("empty")), (Some("x & y"), Some("995"), None));
        assert_eq!((root.flag("yes"), root.flag("no"), root.flag("none")), (Some(true), Some(false), None));
        assert_eq!((root.text("nothing"), root.has("nothing"), root.text("list")), (None, false, None));
        let inner: Vec<_> = root.dictionaries("list").map(|inner| inner.text("a")).collect();
        assert_eq!(inner, [Some("1"), None]);
        assert_eq!(root.dictionaries("a").count(), 0);
        for other in ["<plist/>", "<plist><array/></plist>", "<dict/>"] {
            assert!(super::root(&parse(other).unwrap()).is_none(), "{other}");
        }
    }

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
        let declared =
            "<!DOCTYPE plist [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
        for used in ["&b;", "&f;", "&a;"] {
            let text = format!("{declared}<plist><dict><key>k</key><string>{used}</string></dict></plist>");
            assert_eq!(parse(&without_doctype(&text)).map(|_| ()), Err(NotAList::Entities), "{used}");
        }
        assert_eq!(parse(DOCTYPE).map(|_| ()), Err(NotAList::Damaged));
        let unused = format!("{declared}<plist><dict><key>k</key><string>&lt;</string></dict></plist>");
        let unused = without_doctype(&unused);
        assert_eq!(root(&parse(&unused).unwrap()).unwrap().text("k"), Some("<"));
    }

    proptest! {
        #[test]
        fn f07_whatever_is_cut_out_was_a_declaration(text in "(<!DOCTYPE|<!--|-->|<\\?|\\?>|[<>'\"\\[\\] x])*") {
            let rest = without_doctype(&text);
            prop_assert!(rest.len() <= text.len() && (rest == text || text.contains("<!DOCTYPE")));
        }
    }
}
