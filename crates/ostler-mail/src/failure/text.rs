//! Words for people, made fit for where they are read: one line, in ASCII, no longer than a client takes.

use crate::account::Protocol;
use crate::wire::MAX_CLIENT_REPLY_OCTETS;

/// Prefix, sentence, advice and suffix in one line of ASCII that any client takes. The sentence, which quotes the provider,
/// is cut where space is short: the advice is what helps.
pub(crate) fn fit(prefix: &str, sentence: &str, advice: &str, suffix: &str) -> String {
    let space = (MAX_CLIENT_REPLY_OCTETS - 2).saturating_sub(prefix.len() + suffix.len() + advice.len() + 2);
    // The advice follows, so the full stop of a server's words is none.
    let sentence: String = ascii(sentence.trim_end_matches('.')).chars().take(space).collect();
    format!("{prefix}{sentence}; {}{suffix}", ascii(advice))
}

/// A reply in ostler's own words, cut to what a client takes in one line.
pub fn one_line(text: &str) -> String {
    ascii(text).chars().take(MAX_CLIENT_REPLY_OCTETS - 2).collect()
}

/// A text for people on one line, with question marks for what could steer a terminal.
pub fn without_control(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Printable ASCII, with question marks for everything else.
pub(super) fn ascii(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// The protocol's name in running text.
pub fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "POP3",
        Protocol::Smtp => "SMTP",
        Protocol::Imap => "IMAP",
    }
}

/// The name as one word of a command line. Double quotes are those that both Windows and Unix know; in single quotes, which
/// only a shell of Unix knows, nothing means anything but itself.
pub fn as_word(name: &str) -> String {
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._-+".contains(&b));
    if is_word {
        name.to_owned()
    } else if name.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", name.replace('\'', "'\\''"))
    } else {
        format!("\"{name}\"")
    }
}
