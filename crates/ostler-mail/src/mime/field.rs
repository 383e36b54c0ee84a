//! The header of a message or a part, field by field.

use std::ops::Range;

use memchr::{memchr, memchr2};

/// One field of a header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// As it is written, without the colon; printable ASCII.
    pub(crate) name: &'a str,
    /// All its octets: name, colon, value, and its line end.
    pub(crate) raw: &'a [u8],
    /// What follows the colon, folded as it is, without the last line end.
    pub(crate) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads one field with its continuation lines.
    fn parse(raw: &'a [u8]) -> Option<Self> {
        let colon = memchr(b':', raw)?;
        let name = raw[..colon].trim_ascii_end();
        let is_name = !name.is_empty() && name.iter().all(|octet| matches!(octet, b'!'..=b'~'));
        let end = raw.strip_suffix(b"\n").map_or(raw, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
        Some(Self { name, raw, value: end.get(colon + 1..)? })
    }

    /// Whether it has this name, in any letter case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The place of the value in the field's octets.
    pub(crate) fn value_range(&self) -> Range<usize> {
        let start = memchr(b':', self.raw).map_or(0, |colon| colon + 1);
        start..start + self.value.len()
    }

    /// The value with other octets in it, as a whole field.
    pub(crate) fn with_value(&self, value: &[u8]) -> Vec<u8> {
        let Range { start, end } = self.value_range();
        [&self.raw[..start], value, &self.raw[end..]].concat()
    }
}

/// The fields of a header, without the empty line behind it. `None`: it has a line that belongs to no field, or an octet that
/// no header may hold.
pub(crate) fn fields(header: &[u8]) -> Option<Vec<Field<'_>>> {
    if has_stray_octet(header) {
        return None;
    }
    let mut fields = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let (field, behind) = rest.split_at(field_octets(rest));
        fields.push(Field::parse(field)?);
        rest = behind;
    }
    Some(fields)
}

/// The length of the first field: up to the first line that does not continue it.
fn field_octets(header: &[u8]) -> usize {
    let mut at = 0;
    while let Some(end) = memchr(b'\n', &header[at..]) {
        at += end + 1;
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    header.len()
}

/// Whether there is a NUL, or a CR that ends no line.
fn has_stray_octet(header: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr2(0, b'\r', &header[at..]) {
        at += found;
        if !header[at..].starts_with(b"\r\n") {
            return true;
        }
        at += 2;
    }
    false
}

/// The only field of this name. `Err`: there are several, and it is unclear which counts.
pub(crate) fn single<'f, 'a>(fields: &'f [Field<'a>], name: &str) -> Result<Option<&'f Field<'a>>, Twice> {
    let mut all = fields.iter().filter(|field| field.is(name));
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(Twice),
    }
}

/// A field that a header may have once is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Twice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_apart_into_its_fields_and_no_octet_is_lost() {
        let header = b"From: a\r\nSubject : b\r\n\tc\r\n d\r\nX:\r\n";
        let fields = fields(header).unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["From", "Subject", "X"]);
        assert_eq!(fields[1].value, b" b\r\n\tc\r\n d");
        assert_eq!(fields.iter().map(|field| field.raw).collect::<Vec<_>>().concat(), header);
        assert_eq!(fields[1].with_value(b" x"), b"Subject : x\r\n");
        assert!(fields[0].is("FROM"));
    }

    #[test]
    fn what_is_no_field_makes_it_no_header() {
        for odd in [
            &b"From ann\r\n"[..],
            b" a: b\r\n",
            b": b\r\n",
            b"a\0: b\r\n",
            b"a: \r b\r\n",
            b"a b: c\r\n",
            b"\xe4: c\r\n",
        ] {
            assert!(fields(odd).is_none(), "{odd:?}");
        }
        assert_eq!(fields(b"").unwrap().len(), 0);
        assert_eq!(fields(b"a: b").unwrap()[0].value, b" b");
        assert_eq!(fields(b"a: b\nc: d\n").unwrap()[0].value, b" b");
    }

    #[test]
    fn a_field_that_is_there_twice_counts_for_nothing() {
        let twice = fields(b"a: 1\r\nB: 2\r\nA: 3\r\n").unwrap();
        assert_eq!(single(&twice, "a").err(), Some(Twice));
        assert_eq!(single(&twice, "b").unwrap().unwrap().value, b" 2");
        assert!(single(&twice, "c").unwrap().is_none());
    }
}
