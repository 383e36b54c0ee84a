//! Dot-terminated texts (RFC 1939 section 3, RFC 5321 section 4.5.2) as whole values, for the demo's provider and mail
//! programs. The proxy itself never has a whole message in memory.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::proxy::net::conn::Conn;
use ostler_mail::wire::DotScanner;

/// A text that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The whole text, unstuffed, without the final dot.
    Whole(Vec<u8>),
    /// It was longer than the limit. It has been read to its end and dropped.
    TooBig,
    /// The other side closed before the end.
    BrokenOff,
}

/// Reads a text to its end. What follows stays in the connection.
pub(super) async fn read_text<S>(conn: &mut Conn<S>, limit: usize) -> io::Result<Text>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut scanner, mut text, mut is_too_big) = (DotScanner::default(), Vec::new(), false);
    loop {
        let end = scanner.scan(conn.unused());
        let mine = conn.take_front(end.unwrap_or(conn.unused().len()));
        is_too_big = is_too_big || text.len() + mine.len() > limit + END.len();
        if is_too_big {
            text = Vec::new();
        } else {
            text.extend_from_slice(&mine);
        }
        if end.is_some() {
            return Ok(if is_too_big { Text::TooBig } else { Text::Whole(unstuffed(&text)) });
        }
        if !conn.fill().await? {
            return Ok(Text::BrokenOff);
        }
    }
}

const END: &[u8] = b".\r\n";

/// The text for the wire, with its final dot. A missing CR LF at the end is added.
pub(super) fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for line in lines(text) {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(END);
    out
}

/// The text before stuffing, without its final dot.
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let text = wire.strip_suffix(END).unwrap_or(wire);
    lines(text).flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

/// The lines of a text, each with its CR LF. A lone CR or LF does not end a line.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memmem::find(rest, b"\r\n").map_or(rest.len(), |at| at + 2);
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(wire: &[u8], limit: usize) -> (Text, Vec<u8>) {
        let (mut far, near) = tokio::io::duplex(1 << 16);
        far.write_all(wire).await.unwrap();
        drop(far);
        let mut conn = Conn::new(near);
        (read_text(&mut conn, limit).await.unwrap(), conn.take_unused())
    }

    #[test]
    fn dots_are_doubled_at_the_front_of_lines_only() {
        assert_eq!(stuffed(b".\r\na.\r\n..b\r\nc\n.\r\n"), b"..\r\na.\r\n...b\r\nc\n.\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
        assert_eq!(stuffed(b"x"), b"x\r\n.\r\n");
    }

    #[tokio::test]
    async fn a_text_that_is_too_big_is_read_to_its_end() {
        assert_eq!(read(b"12345\r\n.\r\nQUIT", 7).await, (Text::Whole(b"12345\r\n".to_vec()), b"QUIT".to_vec()));
        assert_eq!(read(b"123456\r\n.\r\nQUIT", 7).await, (Text::TooBig, b"QUIT".to_vec()));
        assert_eq!(read(b"12345\r\n.\r", 7).await.0, Text::BrokenOff);
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_back(mut text in prop::collection::vec(prop::sample::select(b"\r\n.a\0\xff".to_vec()), 0..60)) {
            text.extend_from_slice(b"\r\n");
            let wire = [stuffed(&text).as_slice(), b"NOOP\r\n"].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(read(&wire, 1000)), (Text::Whole(text), b"NOOP\r\n".to_vec()));
        }
    }
}
