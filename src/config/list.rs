//! Edits a list `[..]` that a person wrote, so that each comment stays with its element. A comment behind an element, on its
//! line, is about that element; one on a line of its own is about the element below. toml_edit keeps both in front of the
//! element that follows.

use std::mem;

use toml_edit::{Array, RawString, Value};

use ostler_mail::idn;

/// The indent of a new line in a list that shows none.
const INDENT: &str = "    ";

/// An element with what is about it.
struct Element {
    /// The comments on lines of their own above it, and the blanks in front of it.
    above: String,
    value: Value,
    /// What stands between it and its comma.
    to_comma: String,
    /// The comment behind the comma, to the end of the line. Empty if another element or the bracket is on the same line.
    beside: String,
    /// Whether nothing else is in front of it on its line.
    starts_line: bool,
}

/// A list, taken apart.
struct List {
    /// What stands behind the opening bracket, to the end of the line.
    opening: String,
    elements: Vec<Element>,
    /// What stands in front of the closing bracket: comments on lines of their own, and blanks.
    closing: String,
    /// Whether the closing bracket is on another line than the last element.
    closes_line: bool,
    /// The blanks between the opening bracket and the first element, if they are on one line.
    first_blanks: String,
    /// Whether each element has a line of its own.
    is_one_a_line: bool,
    indent: String,
}

/// Removes an element, and with it the comments about it alone.
pub(super) fn remove(array: &mut Array, index: usize) {
    edit(array, |list| list.remove(index));
}

/// Moves an element, with its comments.
#[cfg(feature = "web")]
pub(super) fn move_to(array: &mut Array, from: usize, to: usize) {
    edit(array, |list| {
        if let Some(element) = list.take(from) {
            list.elements.insert(to.min(list.elements.len()), element);
        }
    });
}

/// Adds an element behind the last one; on a line of its own, if the last one has one.
pub(super) fn push(array: &mut Array, value: Value) {
    edit(array, |list| list.insert(list.elements.len(), value));
}

/// Makes the list one of these values, in their order. What was there already stays as it is written.
pub(super) fn set(array: &mut Array, values: Vec<Value>) {
    edit(array, |list| {
        let mut at = 0;
        while let Some(element) = list.elements.get(at) {
            let wanted = values.iter().filter(|value| is_same(value, &element.value)).count();
            let kept = list.elements[..at].iter().filter(|kept| is_same(&kept.value, &element.value)).count();
            if kept < wanted { at += 1 } else { list.remove(at) }
        }
        for (at, value) in values.into_iter().enumerate() {
            let known = list.elements.iter().skip(at).position(|element| is_same(&element.value, &value));
            match known {
                None => list.insert(at, value),
                Some(0) => {}
                Some(further) => {
                    list.take(at + further).into_iter().for_each(|element| list.elements.insert(at, element))
                }
            }
        }
    });
}

/// Whether there are comments between the brackets.
pub(super) fn has_comments(array: &Array) -> bool {
    let list = List::of(array);
    let about =
        |element: &Element| [&element.above, &element.to_comma, &element.beside].iter().any(|text| text.contains('#'));
    list.opening.contains('#') || list.closing.contains('#') || list.elements.iter().any(about)
}

/// Whether two values mean the same, however they are written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => idn::name(one.value()) == idn::name(other.value()),
        (Value::Integer(one), Value::Integer(other)) => one.value() == other.value(),
        _ => one.to_string().trim() == other.to_string().trim(),
    }
}

fn edit(array: &mut Array, change: impl FnOnce(&mut List)) {
    let mut list = List::of(array);
    change(&mut list);
    list.write(array);
}

/// Splits what stands between two elements: up to the end of the first line, and from there.
fn split(gap: &str) -> (&str, &str) {
    gap.split_at(gap.find('\n').map_or(0, |end| end + 1))
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or(text)
}

fn raw(raw: Option<&RawString>, default: &str) -> String {
    raw.and_then(RawString::as_str).unwrap_or(default).to_owned()
}

impl List {
    fn of(array: &Array) -> Self {
        let mut gaps: Vec<String> = Vec::new();
        let mut to_commas: Vec<String> = Vec::new();
        for (at, value) in array.iter().enumerate() {
            gaps.push(raw(value.decor().prefix(), if at == 0 { "" } else { " " }));
            to_commas.push(raw(value.decor().suffix(), ""));
        }
        // Without a comma behind the last element what follows it is about it, or the end of the list.
        let last = to_commas.last_mut().filter(|_| !array.trailing_comma()).map(mem::take).unwrap_or_default();
        gaps.push(last + &raw(Some(array.trailing()), ""));
        let (opening, _) = split(&gaps[0]);
        let ends_line = |at: usize| gaps[at].contains('\n') || at > 0 && to_commas[at - 1].contains('\n');
        let element = |(at, value): (usize, &Value)| Element {
            above: split(&gaps[at]).1.to_owned(),
            value: value.clone(),
            to_comma: to_commas[at].clone(),
            beside: split(&gaps[at + 1]).0.to_owned(),
            starts_line: ends_line(at),
        };
        let mut elements: Vec<Element> = array.iter().enumerate().map(element).collect();
        if let (true, [first, second, ..]) = (opening.is_empty(), elements.as_mut_slice()) {
            // Beside the bracket, but as the others anywhere else.
            first.above = last_line(&second.above).to_owned();
            first.starts_line = second.starts_line;
        }
        let closes_line = ends_line(gaps.len() - 1);
        let like = elements.iter().rev().find(|element| element.starts_line);
        Self {
            opening: opening.to_owned(),
            is_one_a_line: elements.iter().all(|element| element.starts_line) && (closes_line || !elements.is_empty()),
            indent: like.map_or(INDENT, |element| last_line(&element.above)).to_owned(),
            elements,
            closing: gaps.last().map(|gap| split(gap).1.to_owned()).unwrap_or_default(),
            closes_line,
            first_blanks: if opening.is_empty() { gaps[0].clone() } else { String::new() },
        }
    }

    /// Removes an element with its comments. A comment on a line that it shares with another element stays there.
    fn remove(&mut self, at: usize) {
        let gone = self.take(at).filter(|gone| !gone.starts_line && !gone.beside.is_empty());
        if let (Some(gone), Some(before)) = (gone, at.checked_sub(1).and_then(|before| self.elements.get_mut(before))) {
            before.beside = gone.beside;
        }
    }

    /// Takes an element out, to put it elsewhere. What stands above a line stays there if another element is on the line too.
    fn take(&mut self, at: usize) -> Option<Element> {
        let mut gone = (at < self.elements.len()).then(|| self.elements.remove(at))?;
        if let Some(next) = self.elements.get_mut(at).filter(|next| !next.starts_line) {
            mem::swap(&mut next.above, &mut gone.above);
            mem::swap(&mut next.starts_line, &mut gone.starts_line);
        }
        Some(gone)
    }

    fn insert(&mut self, at: usize, value: Value) {
        let before = at.checked_sub(1).and_then(|before| self.elements.get_mut(before));
        let starts_line = self.is_one_a_line || before.as_ref().is_some_and(|before| before.beside.contains('#'));
        let beside = before.filter(|_| !starts_line).map(|before| mem::take(&mut before.beside)).unwrap_or_default();
        let above = if starts_line { self.indent.as_str() } else { " " }.to_owned();
        let new = Element { above, value, to_comma: String::new(), beside, starts_line };
        self.elements.insert(at.min(self.elements.len()), new);
    }

    /// Writes the list back. Line ends are added where a comment or an element that had a line of its own would lose it.
    fn write(self, array: &mut Array) {
        let mut gap = self.opening;
        let has_opening = !gap.is_empty();
        let mut is_new_line = has_opening;
        array.clear();
        for (at, element) in self.elements.into_iter().enumerate() {
            let above = if at == 0 && !has_opening && element.above.trim().is_empty() {
                self.first_blanks.clone()
            } else if !is_new_line && (element.above.contains('\n') || at > 0 && element.starts_line) {
                format!("\n{}", element.above)
            } else {
                element.above
            };
            let mut value = element.value;
            value.decor_mut().set_prefix(gap + &above);
            value.decor_mut().set_suffix(element.to_comma.as_str());
            array.push_formatted(value);
            is_new_line = element.beside.contains('\n') || element.to_comma.contains('\n');
            gap = element.beside;
        }
        if array.is_empty() && (gap.clone() + &self.closing).trim().is_empty() {
            gap.clear();
        } else if !self.closes_line && gap.trim().is_empty() {
            gap = self.closing;
        } else {
            let end = if self.closes_line && !is_new_line { "\n" } else { "" };
            gap = gap + end + &self.closing;
        }
        array.set_trailing(gap);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml_edit::DocumentMut;

    use super::*;

    fn edited(text: &str, change: impl FnOnce(&mut Array)) -> String {
        let mut document: DocumentMut = text.parse().unwrap();
        change(document["l"].as_array_mut().unwrap());
        document.to_string().trim_start_matches("l = ").trim_end().to_owned()
    }

    fn removed(list: &str, index: usize) -> String {
        edited(&format!("l = {list}"), |array| remove(array, index))
    }

    fn with(list: &str, values: &[&str]) -> String {
        let values = values.iter().map(|value| Value::from(*value)).collect();
        edited(&format!("l = {list}"), |array| set(array, values))
    }

    const LINES: &str =
        "[ # mine\n  # above a\n  'a', # about a\n  'b', # about b\n\n  # above c\n  'c' # about c\n  # end\n]";

    #[test]
    fn a_comment_goes_with_its_element_and_every_other_stays() {
        assert_eq!(removed(LINES, 0), LINES.replace("  # above a\n  'a', # about a\n", ""));
        assert_eq!(removed(LINES, 1), LINES.replace("  'b', # about b\n", ""));
        assert_eq!(removed(LINES, 2), LINES.replace(", # about b\n\n  # above c\n  'c' # about c\n", " # about b\n"));
        let comma = LINES.replace("'c' #", "'c', #");
        assert_eq!(removed(&comma, 0), comma.replace("  # above a\n  'a', # about a\n", ""));
        assert_eq!(removed(&comma, 1), comma.replace("  'b', # about b\n", ""));
        assert_eq!(removed(&comma, 2), comma.replace("\n  # above c\n  'c', # about c\n", ""));
        assert_eq!(removed("[\n  'a', # about a\n]", 0), "[]");
        assert_eq!(removed("[ # mine\n  'a' # about a\n]", 0), "[ # mine\n]");
        assert_eq!(removed("['a' # about a\n # end\n]", 0), "[\n # end\n]");
    }

    #[test]
    fn lists_without_comments_keep_their_form() {
        assert_eq!(removed("[ 'a', 'b','c' ]", 0), "[ 'b','c' ]");
        assert_eq!(removed("[ 'a', 'b','c' ]", 1), "[ 'a', 'c' ]");
        assert_eq!(removed("[ 'a', 'b','c' ]", 2), "[ 'a', 'b' ]");
        assert_eq!(removed("[ 'a' ]", 0), "[]");
        assert_eq!(removed("['a',\n 'b',\n 'c']", 0), "['b',\n 'c']");
        assert_eq!(removed("['a',\n 'b',\n 'c']", 2), "['a',\n 'b']");
        assert_eq!(removed("[\n  'a', 'b',\n  'c',\n]", 0), "[\n  'b',\n  'c',\n]");
        assert_eq!(removed("[\n  'a', 'b',\n  'c',\n]", 1), "[\n  'a',\n  'c',\n]");
    }

    #[test]
    fn a_comment_on_a_line_of_several_stays_until_the_last_of_them_goes() {
        let two = "[\n  # above\n  'a', 'b', # both\n  'c',\n]";
        assert_eq!(removed(two, 0), "[\n  # above\n  'b', # both\n  'c',\n]");
        assert_eq!(removed(two, 1), "[\n  # above\n  'a', # both\n  'c',\n]");
        assert_eq!(removed(&removed(two, 1), 0), "[\n  'c',\n]");
        assert_eq!(removed("['a', 'b', # two\n # above c\n 'c']", 2), "['a', 'b' # two\n]");
        assert_eq!(removed("['a', # one\n # above b\n 'b']", 0), "[\n # above b\n 'b']");
        assert_eq!(removed("['a' # a\n , 'b' # b\n , 'c' # c\n]", 1), "['a' # a\n , 'c' # c\n]");
        assert_eq!(removed("['a' # a\n , 'b' # b\n , 'c' # c\n]", 0), "['b' # b\n , 'c' # c\n]");
    }

    #[test]
    fn a_new_element_is_written_as_the_others_are() {
        let longer = with(LINES, &["a", "b", "c", "d"]);
        assert_eq!(longer, LINES.replace("'c' # about c\n", "'c', # about c\n  \"d\"\n"));
        assert_eq!(with("[\n  'a', # about a\n]", &["a", "d"]), "[\n  'a', # about a\n  \"d\",\n]");
        assert_eq!(with("[\n  'a',\n  'b']", &["n", "a", "b", "d"]), "[\n  \"n\",\n  'a',\n  'b',\n  \"d\"]");
        assert_eq!(with("['a' # about a\n]", &["a", "d"]), "['a', # about a\n    \"d\"\n]");
        assert_eq!(with("[ 'a', 'b' ]", &["a", "m", "b", "d"]), "[ 'a', \"m\", 'b', \"d\" ]");
        assert_eq!(with("[\n  'a', # about a\n]", &["d"]), "[\n  \"d\",\n]");
        assert_eq!(with("[]", &["a", "b"]), "[\"a\", \"b\"]");
        assert_eq!(with("[ # mine\n # none yet\n]", &["a"]), "[ # mine\n    \"a\"\n # none yet\n]");
        assert_eq!(
            with("[\n  'a', 'b',\n  'c', 'd',\n]", &["a", "b", "c", "d", "e"]),
            "[\n  'a', 'b',\n  'c', 'd', \"e\",\n]"
        );
    }

    #[test]
    fn elements_move_with_their_comments() {
        assert_eq!(
            with(LINES, &["c", "a", "b"]),
            "[ # mine\n\n  # above c\n  'c', # about c\n  # above a\n  'a', # about a\n  'b' # about b\n  # end\n]"
        );
        assert_eq!(with("['a', # about a\n 'b']", &["b", "a"]), "['b',\n 'a' # about a\n]");
        assert_eq!(with("[ 'a', 'b' ]", &["b", "a"]), "[ 'b', 'a' ]");
        assert_eq!(with("[ 'a', 'b', 'a' ]", &["a", "b", "b"]), "[ 'a', 'b', \"b\" ]");
    }

    /// A list, with a comment above and beside some elements that names them.
    fn list() -> impl Strategy<Value = (String, Vec<String>)> {
        let element = (0..6_u8, any::<[bool; 5]>());
        (prop::collection::vec(element, 0..6), any::<[bool; 3]>()).prop_map(|(elements, [opening, comma, end])| {
            let mut text = if opening { "[ # opening\n" } else { "[" }.to_owned();
            let count = elements.len();
            let mut names = Vec::new();
            for (at, (name, [above, before_comma, beside, is_last, blank])) in elements.into_iter().enumerate() {
                if above {
                    text += &format!("\n  # above {name}.{at}\n");
                }
                text += &format!("{}'{name}'", if blank { "  " } else { "" });
                if before_comma {
                    text += &format!(" # before {name}.{at}\n");
                }
                if at + 1 < count || comma {
                    text.push(',');
                }
                if beside {
                    text += &format!(" # beside {name}.{at}\n");
                } else if is_last {
                    text.push('\n');
                }
                names.push(name.to_string());
            }
            (text + if end { "\n # end\n]" } else { "]" }, names)
        })
    }

    proptest! {
        #[test]
        fn every_comment_of_an_element_that_stays_is_kept((text, old) in list(), new in prop::collection::vec(0..8_u8, 0..8)) {
            let new: Vec<String> = new.iter().map(u8::to_string).collect();
            let wanted: Vec<&str> = new.iter().map(String::as_str).collect();
            let after = with(&text, &wanted);
            let read: toml::Table = format!("l = {after}").parse().unwrap();
            let read: Vec<&str> = read["l"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
            prop_assert_eq!(&read, &wanted, "{}", after);
            for comment in text.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment) {
                let name = comment.split([' ', '.']).nth(2);
                let count = |names: &[String]| names.iter().filter(|other| Some(other.as_str()) == name).count();
                if name.is_none() || count(&new) >= count(&old) {
                    let line_in = |list: &str| list.lines().find(|line| line.contains(comment)).map(str::to_owned);
                    let line = line_in(&after);
                    prop_assert!(line.is_some(), "{comment} of {text} is not in {after}");
                    let element = format!("'{}'", name.unwrap_or_default());
                    let was_beside = line_in(&text).is_some_and(|line| line.contains(&element));
                    prop_assert!(!was_beside || line.is_some_and(|line| line.contains(&element)), "{text} became {after}");
                }
            }
            let same: Vec<&str> = old.iter().map(String::as_str).collect();
            prop_assert_eq!(with(&text, &same), text);
        }
    }
}
