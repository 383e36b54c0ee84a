//! A POP3 maildrop (RFC 1939) that is a folder of an IMAP mailbox (RFC 3501), for providers without POP3. `login` signs in and
//! takes the list of messages, `filter` is the session: `serve` answers POP3 commands out of IMAP, `fetch` brings a message,
//! `commit` is QUIT, `list` keeps the messages, `answer` reads what a server says.
//!
//! Messages are named by UID and never by number at the provider, so that a command reaches the message that the client has
//! seen or none, whatever other programs do in the folder meanwhile.

mod answer;
mod commit;
mod fetch;
pub mod filter;
mod list;
pub mod login;
mod serve;

pub use list::Messages;

/// The longest line of a server that is read, in octets. A folder with many keywords has long FLAGS; a list of search results
/// is read in parts.
pub(crate) const MAX_LINE_OCTETS: usize = 64 * 1024;
