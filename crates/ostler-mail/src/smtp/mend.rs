//! Mends a message on its way out: header fields that mail must have and old programs forget, and, on request, a sender without
//! a domain and text whose charset is not named or named wrongly. RFC 6409, section 8, has a submission server do so; a
//! provider's often does not.
//!
//! The header and a bounded beginning of the body are held back; what follows passes as it is. Nothing that is signed changes.

mod charset;
mod message_id;

use std::borrow::Cow;
use std::sync::Arc;

use crate::account::Account;
use crate::account::mend::Repair;
use crate::mime::field::{Field, fields, single};
use crate::mime::structure::{Search, Structure, WINDOW_OCTETS};
use crate::readable::charset::Charset;

/// A header longer than this is not mended.
const MAX_HEADER_OCTETS: usize = 64 * 1024;
/// So much of the body tells messages apart whose headers are the same.
const HASHED_BODY_OCTETS: usize = 16 * 1024;
/// The end of the body on the wire, without the line end before it.
const END: &[u8] = b".\r\n";

/// Mends one message while it passes.
#[derive(Debug)]
pub struct Mender {
    account: Arc<Account>,
    /// The date to add, as RFC 5322 has it.
    date: String,
    held: Vec<u8>,
    structure: Structure,
    /// Where the body begins, once that is known.
    body: Option<usize>,
    is_passing: bool,
    mended: Vec<Repair>,
}

impl Mender {
    /// A message of this account begins now; `date` is the present, as RFC 5322 (3.3) has it. `None`: the account wants nothing
    /// mended.
    pub fn new(account: &Arc<Account>, date: String) -> Option<Self> {
        (!account.mend.is_empty()).then(|| Self {
            account: Arc::clone(account),
            date,
            held: Vec::new(),
            structure: Structure::default(),
            body: None,
            is_passing: false,
            mended: Vec::new(),
        })
    }

    /// Whether everything that follows passes as it is, and nothing is held back.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// What was mended.
    pub(crate) fn mended(&self) -> &[Repair] {
        &self.mended
    }

    /// Takes the next octets of the body, dots and CR LF as on the wire, and appends those for the provider to `out`. `is_end`:
    /// they are the last.
    pub(crate) fn push(&mut self, octets: &[u8], is_end: bool, out: &mut Vec<u8>) {
        if self.is_passing {
            out.extend_from_slice(octets);
            return;
        }
        let looked = self.held.len();
        self.held.extend_from_slice(octets);
        if self.body.is_none() {
            self.body = header_end(&self.held, looked);
        }
        if is_end || self.has_seen_enough() {
            self.release(is_end, out);
        }
    }

    fn wants(&self, repair: Repair) -> bool {
        self.account.mend.contains(&repair)
    }

    /// Whether more of the message would change nothing.
    fn has_seen_enough(&mut self) -> bool {
        let Some(body) = self.body else { return self.held.len() > MAX_HEADER_OCTETS };
        let lacks_id = self.wants(Repair::MessageId) && !has(&self.held[..body], "message-id");
        let is_hashed = !lacks_id || self.held.len() - body >= HASHED_BODY_OCTETS + END.len();
        is_hashed
            && (!self.wants(Repair::Charset)
                || match body {
                    0 => self.held.len() > WINDOW_OCTETS + END.len(),
                    _ => self.structure.look(&self.held) == Search::IsOver,
                })
    }

    fn release(&mut self, is_end: bool, out: &mut Vec<u8>) {
        self.is_passing = true;
        let held = std::mem::take(&mut self.held);
        let message = if is_end { held.strip_suffix(END).unwrap_or(&held) } else { &held };
        let header = self.body.unwrap_or(message.len()).min(message.len());
        // With the mark of a mailbox file in front, what follows is a header that no fields can be put before.
        let is_marked = message.starts_with(b"From ") || message.starts_with(b">From ");
        let begun = out.len();
        if header <= MAX_HEADER_OCTETS && !is_marked {
            self.mend(message, header, is_end, out);
        }
        if self.mended.is_empty() {
            out.truncate(begun);
            out.extend_from_slice(message);
        }
        out.extend_from_slice(&held[message.len()..]);
    }

    /// Appends the beginning of the message as it is to be. `header` is the length of its header.
    fn mend(&mut self, message: &[u8], header: usize, is_end: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.missing_fields(message, header));
        // A message without a header is all body, which an empty line says.
        let is_all_body = header == 0 && !message.is_empty();
        let message = if is_all_body { Cow::Owned([b"\r\n", message].concat()) } else { Cow::Borrowed(message) };
        let is_looked_at = !is_all_body || message.len() <= WINDOW_OCTETS;
        let charset = (self.wants(Repair::Charset) && is_looked_at)
            .then(|| charset::mended(&message, is_end, self.charset()))
            .flatten();
        self.mended.extend(charset.as_ref().map(|_| Repair::Charset));
        let message = charset.unwrap_or_else(|| message.into_owned());
        // The header may have grown.
        let header = header_end(&message, 0).unwrap_or(message.len());
        let (header, body) = message.split_at(header);
        let from = self.wants(Repair::FromDomain).then(|| self.with_domain(header)).flatten();
        self.mended.extend(from.as_ref().map(|_| Repair::FromDomain));
        out.extend_from_slice(from.as_deref().unwrap_or(header));
        out.extend_from_slice(body);
    }

    /// The account's charset: what its program reads, it writes too.
    fn charset(&self) -> Option<Charset> {
        self.account.readable.map(|readable| readable.charset).or_else(|| Charset::from_label("windows-1252"))
    }

    /// The account's domain.
    fn domain(&self) -> &str {
        self.account.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    fn missing_fields(&mut self, message: &[u8], end: usize) -> Vec<u8> {
        let (header, body) = message.split_at(end);
        let mut added = Vec::new();
        if self.wants(Repair::MessageId) && !has(header, "message-id") {
            let body = &body[..body.len().min(HASHED_BODY_OCTETS)];
            added.extend_from_slice(
                format!("Message-ID: {}\r\n", message_id::make(header, body, self.domain())).as_bytes(),
            );
            self.mended.push(Repair::MessageId);
        }
        if self.wants(Repair::Date) && !has(header, "date") {
            added.extend_from_slice(format!("Date: {}\r\n", self.date).as_bytes());
            self.mended.push(Repair::Date);
        }
        added
    }

    /// The header with the account's domain in a From that has none. `None`: it has one, or cannot be understood.
    fn with_domain(&self, header: &[u8]) -> Option<Vec<u8>> {
        let domain = Some(self.domain()).filter(|domain| !domain.is_empty())?;
        let lines =
            header.strip_suffix(b"\r\n").filter(|lines| lines.is_empty() || lines.ends_with(b"\n")).unwrap_or(header);
        let fields = fields(lines)?;
        let value = with_domain(single(&fields, "from").ok()??.value, domain)?;
        let mut out = Vec::with_capacity(header.len() + domain.len() + 1);
        for field in &fields {
            let field = if field.is("from") { field.with_value(&value) } else { field.raw.to_vec() };
            out.extend_from_slice(&field);
        }
        out.extend_from_slice(&header[lines.len()..]);
        Some(out)
    }
}

/// Whether a header has a field of this name. A header that is not clean is searched all the same: nothing must be there twice.
fn has(header: &[u8], name: &str) -> bool {
    header.split(|octet| *octet == b'\n').any(|line| {
        let field = line.splitn(2, |octet| *octet == b':').next().unwrap_or_default();
        field.len() < line.len() && field.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    })
}

/// Where the body begins: behind the empty line, or at the first line that is no field. `looked`: so much was looked at before.
fn header_end(octets: &[u8], looked: usize) -> Option<usize> {
    let from = memchr::memrchr(b'\n', &octets[..looked]).map_or(0, |end| end + 1);
    let mut at = from;
    while let Some(end) = memchr::memchr(b'\n', &octets[at..]) {
        let line = octets[at..=at + end].trim_ascii_end();
        if line.is_empty() && octets[at..=at + end].len() <= 2 {
            return Some(at + end + 1);
        }
        // The first line continues nothing.
        let continues = at > 0 && matches!(octets[at], b' ' | b'\t');
        if !continues && !is_field(line) {
            return Some(at);
        }
        at += end + 1;
    }
    None
}

fn is_field(line: &[u8]) -> bool {
    let name = line.splitn(2, |octet| *octet == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.trim_ascii_end().is_empty()
        && name.trim_ascii_end().iter().all(|octet| matches!(octet, b'!'..=b'~'))
}

/// The value of a From with a domain. `None`: it has one, or several senders, or no name that an address could be made of.
fn with_domain(original: &[u8], domain: &str) -> Option<Vec<u8>> {
    let masked = masked(original);
    let value = masked.as_slice();
    if original.contains(&b'@') || memchr::memchr2(b',', b':', value).is_some() {
        return None;
    }
    let is_local = |name: &[u8]| {
        !name.is_empty()
            && name.iter().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(octet))
    };
    let end = match (memchr::memchr(b'<', value), memchr::memchr(b'>', value)) {
        (Some(open), Some(close)) if is_local(value.get(open + 1..close)?) => close,
        (None, None) => {
            let text = value.trim_ascii_end();
            let start = text.len() - text.trim_ascii_start().len();
            let name = text[start..].split(|octet| octet.is_ascii_whitespace()).next()?;
            let comment = text[start + name.len()..].trim_ascii();
            let is_alone = comment.is_empty() || comment.starts_with(b"(") && comment.ends_with(b")");
            (is_local(name) && is_alone).then_some(start + name.len())?
        }
        _ => return None,
    };
    Some([&original[..end], b"@", domain.as_bytes(), &original[end..]].concat())
}

/// The value with every octet of quoted names and of comments made an `x`, as in `"xxxxxxxx" <ann> (xxxx)`: signs in there say nothing
/// of the address.
fn masked(value: &[u8]) -> Vec<u8> {
    let (mut is_quoted, mut depth, mut is_escaped) = (false, 0_usize, false);
    let mask = |octet: &u8| {
        let is_inside = is_quoted || depth > 0;
        let shown = match octet {
            _ if is_escaped => None,
            b'"' if depth == 0 => {
                is_quoted = !is_quoted;
                Some(b'"')
            }
            b'(' if !is_quoted => {
                depth += 1;
                (depth == 1).then_some(b'(')
            }
            b')' if !is_quoted && depth > 0 => {
                depth -= 1;
                (depth == 0).then_some(b')')
            }
            octet => (!is_inside).then_some(*octet),
        };
        is_escaped = is_inside && *octet == b'\\' && !is_escaped;
        shown.unwrap_or(b'x')
    };
    value.iter().map(mask).collect()
}

/// What a field has as its value, in a header that may not be clean.
fn value_of<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.is(name)).map(|field| field.value)
}

#[cfg(test)]
mod tests;
