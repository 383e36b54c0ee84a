//! What each fuzz target does with its octets. `fuzz_targets/` runs these functions under libFuzzer, `tests/corpus.rs`
//! runs them on stable Rust with every file of `fuzz/corpus/`. What is fuzzed here is in the crate `ostler-mail`; `program.rs`
//! has the targets that need the whole program.
//!
//! Inputs with several parts are cut at octets 0xFF, so that a corpus file can be read and written by hand.

mod doors;
mod filter;
mod logins;
mod maildrop;
mod oauth2;
mod pieces;
mod reading;
mod sending;
mod session;
mod texts;

pub use doors::{client_line_imap, client_line_pop3, client_line_smtp};
pub use filter::{imap_filter, pop3_ahead, pop3_filter};
pub use logins::{imap_login, pop3_login, smtp_login};
pub use maildrop::pop3_from_imap;
pub use oauth2::{loopback_request, token_answer, token_challenge};
pub use pieces::body_in_pieces;
pub use reading::{mend, readable};
pub use sending::smtp_session;
pub use session::session;
pub use texts::{body, dot_scanner, paths, proxy_header, sasl, smtp_reply};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with the name of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 24] = [
    ("body", body),
    ("body_in_pieces", body_in_pieces),
    ("client_line_imap", client_line_imap),
    ("client_line_pop3", client_line_pop3),
    ("client_line_smtp", client_line_smtp),
    ("dot_scanner", dot_scanner),
    ("imap_filter", imap_filter),
    ("imap_login", imap_login),
    ("loopback_request", loopback_request),
    ("mend", mend),
    ("paths", paths),
    ("pop3_ahead", pop3_ahead),
    ("pop3_filter", pop3_filter),
    ("pop3_from_imap", pop3_from_imap),
    ("pop3_login", pop3_login),
    ("proxy_header", proxy_header),
    ("readable", readable),
    ("sasl", sasl),
    ("session", session),
    ("smtp_login", smtp_login),
    ("smtp_reply", smtp_reply),
    ("smtp_session", smtp_session),
    ("token_answer", token_answer),
    ("token_challenge", token_challenge),
];

/// The parts of an input; those that are missing are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data.splitn(N, |b| *b == 0xff);
    std::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// The first octets of a part; those that are missing are nought.
fn octets<const N: usize>(part: &[u8]) -> [u8; N] {
    std::array::from_fn(|n| part.get(n).copied().unwrap_or_default())
}

/// Cuts octets into chunks whose lengths the fuzzer chooses; what is left is one more.
fn cut<'a>(bytes: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for length in lengths {
        let (chunk, after) = rest.split_at(usize::from(*length).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks.push(rest);
    chunks
}

/// The lines of a text, as `take_line` cuts them off, up to the first that is too long.
fn lines(bytes: &[u8]) -> Vec<ostler_mail::wire::Line> {
    let mut buffer = bytes.to_vec();
    let mut found = Vec::new();
    while let Ok(Some(line)) = ostler_mail::wire::take_line(&mut buffer, ostler_mail::wire::MAX_REPLY_LINE_OCTETS) {
        found.push(line);
    }
    found
}

/// One line of a reply, as any old client takes it.
fn assert_reply_line(line: &str) {
    assert!(line.len() <= ostler_mail::wire::MAX_CLIENT_REPLY_OCTETS - 2, "too long: {line:?}");
    assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')), "not printable: {line:?}");
}
