//! Apple's property lists in XML: dictionaries, lists, texts, numbers, yes and no.

use roxmltree::{Document, Node};

use crate::setup::xml::{self, NotXml};

/// Elements and texts of one file; a profile with many parts has some hundreds.
const MAX_XML_NODES: u32 = 50_000;

/// How a property list in binary form begins.
pub(super) const BINARY_MAGIC: &[u8] = b"bplist";

/// Parses a text without its document type declaration, which every such file has.
pub(super) fn parse(text: &str) -> Result<Document<'_>, NotXml> {
    xml::parse(text, MAX_XML_NODES)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
