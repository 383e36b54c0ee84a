//! POP3 (RFC 1939, 2449, 3206, 5034): status lines. The machines: `front` hears a client, `login`
//! signs in at a provider, `filter` watches what passes between them. `uidl` looks at a list of ids for `ostler check`.

mod ahead;
pub mod filter;
pub mod front;
pub mod login;
mod text;
pub mod uidl;
pub mod words;

/// The first word of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `+OK`.
    Ok,
    /// `-ERR`.
    Err,
}

/// The status of an answer; `None` if the line is not a status line.
pub fn parse_status(line: &[u8]) -> Option<Status> {
    let word_ends = |at: usize| line.get(at).is_none_or(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    if line.starts_with(b"+OK") && word_ends(3) {
        Some(Status::Ok)
    } else if line.starts_with(b"-ERR") && word_ends(4) {
        Some(Status::Err)
    } else {
        None
    }
}

/// The text of a refusal, without its `-ERR`.
pub(crate) fn without_status(said: &str) -> String {
    said.strip_prefix("-ERR").unwrap_or(said).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_words_are_a_status() {
        assert_eq!(parse_status(b"+OK"), Some(Status::Ok));
        assert_eq!(parse_status(b"-ERR no\r\n"), Some(Status::Err));
        assert_eq!(parse_status(b"+OKAY"), None);
        assert_eq!(parse_status(b"-ERROR"), None);
        assert_eq!(parse_status(b"220 hello"), None);
    }
}
