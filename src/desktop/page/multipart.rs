//! A form that sends a file (RFC 7578), as far as browsers write it: parts between boundaries, each with a name. The whole form
//! is in memory; the guard limits its size.

use axum::http::{HeaderMap, header};

/// One field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'b> {
    pub(super) name: String,
    pub(super) content: &'b [u8],
}

impl Part<'_> {
    /// The content, if it is text.
    pub(super) fn text(&self) -> Option<String> {
        std::str::from_utf8(self.content).ok().map(str::to_owned)
    }
}

/// The boundary between the parts; `None`: this is another kind of form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (name, rest) = kind.split_once(';')?;
    if !name.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameter(rest, "boundary")?;
    // RFC 2046, 5.1.1.
    (1..=70).contains(&value.len()).then_some(value)
}

/// A parameter of a header's value: `name="file"; filename="x"`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let pairs = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// The parts of a form, in its order; none if it is another kind of form.
pub(super) fn parts<'b>(headers: &HeaderMap, body: &'b [u8]) -> Vec<Part<'b>> {
    let Some(boundary) = boundary(headers) else { return Vec::new() };
    let mark = format!("--{boundary}");
    let finder = memchr::memmem::Finder::new(mark.as_bytes());
    let is_boundary = |at: &usize| {
        let behind = &body[at + mark.len()..];
        (*at == 0 || body[..*at].ends_with(b"\r\n")) && (behind.starts_with(b"\r\n") || behind.starts_with(b"--"))
    };
    let starts: Vec<usize> = finder.find_iter(body).filter(is_boundary).collect();
    // What is before the first boundary and behind the last one is no part.
    let between = starts.windows(2).map(|pair| &body[pair[0] + mark.len()..pair[1]]);
    between.filter_map(part).collect()
}

/// A part, from behind its boundary to before the next one.
fn part(octets: &[u8]) -> Option<Part<'_>> {
    let octets = octets.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    let end = memchr::memmem::find(octets, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&octets[..end]).ok()?;
    let disposition = head.lines().filter_map(|line| line.split_once(':'));
    let mut disposition = disposition.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let name = parameter(disposition.next()?.1, "name")?;
    Some(Part { name, content: &octets[end + 4..] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        headers
    }

    const BODY: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\nabc\r\n--x\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a;b.pem\"\r\nContent-Type: application/x-pem\r\n\r\n\
        one\r\n--xy is no boundary of its own: --x\r\n\xff\r\n--x--\r\n";

    #[test]
    fn a_form_has_its_parts_octet_for_octet() {
        let kind = headers("multipart/form-data; boundary=\"x\"");
        let found = parts(&kind, BODY).iter().map(|p| (p.name.clone(), p.content.to_vec())).collect::<Vec<_>>();
        assert_eq!(found[0], ("form".to_owned(), b"abc".to_vec()));
        let file = b"one\r\n--xy is no boundary of its own: --x\r\n\xff".to_vec();
        assert_eq!(found[1..], [("file".to_owned(), file)]);
    }

    #[test]
    fn what_is_no_such_form_has_no_parts() {
        assert!(parts(&headers("application/x-www-form-urlencoded"), BODY).is_empty());
        assert!(parts(&headers("multipart/form-data"), BODY).is_empty());
        assert!(parts(&headers("multipart/form-data; boundary="), BODY).is_empty());
        assert!(parts(&headers("multipart/form-data; boundary=x"), b"--x\r\nno name\r\n\r\n1\r\n--x--").is_empty());
        assert!(parts(&headers("multipart/form-data; boundary=x"), b"--x").is_empty());
    }
}
