//! What the protocol machines share: the shape of a sign-in ([`Login`]) and of a pass-through ([`Filter`]). The machines
//! are in `pop3/` and `smtp/`; what drives them over sockets is in `relay.rs` and `serve/`.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::account::Protocol;
use crate::failure::{Failure, Waiting, spoken};
use crate::sasl::Echo;
use crate::secret::Secret;
use crate::wire::Line;

/// Something to send, and whether the log may see it.
pub enum Outgoing {
    /// A command without secrets, its CR LF included.
    Plain(Vec<u8>),
    /// A line with a secret in it; the log shows the text instead.
    Sensitive(Zeroizing<Vec<u8>>, &'static str),
}

impl Outgoing {
    /// A command line without secrets; CR LF is added.
    pub fn line(text: &str) -> Self {
        Self::Plain(format!("{text}\r\n").into_bytes())
    }

    /// A line with a secret; CR LF is added.
    pub fn secret_line(parts: &[&[u8]], shown: &'static str) -> Self {
        let mut line = Zeroizing::new(Vec::with_capacity(parts.iter().map(|p| p.len()).sum::<usize>() + 2));
        for part in parts {
            line.extend_from_slice(part);
        }
        line.extend_from_slice(b"\r\n");
        Self::Sensitive(line, shown)
    }

    /// The octets for the wire.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Sensitive(bytes, _) => bytes,
        }
    }

    /// What the log may show.
    pub fn shown(&self) -> String {
        match self {
            Self::Plain(bytes) => crate::wire::printable(bytes.trim_ascii_end()),
            Self::Sensitive(_, shown) => (*shown).to_owned(),
        }
    }
}

/// What a [`Login`] wants next.
#[must_use = "a step that is not taken leaves both sides waiting for each other"]
pub enum Step<Ready> {
    /// Send this, then wait for a line.
    Send(Outgoing),
    /// Wait for another line.
    Wait,
    /// Nothing may be waiting unread; start TLS, then call `on_tls`.
    StartTls,
    /// Everything but the secret is said; call `on_secret` when the client has asked for the sign-in.
    WantSecret,
    /// Signed in.
    Done(Ready),
}

/// Signing in at a provider: knows the dialogue, not the socket. The same machine serves a client's session, the
/// gate's login and the check.
pub trait Login {
    /// What is known once it is done.
    type Ready;
    /// What the next line will be, for the time limit and for the words if it does not come.
    fn waiting(&self) -> Waiting;
    /// The server said a line.
    fn on_line(&mut self, line: &Line) -> Result<Step<Self::Ready>, Failure>;
    /// TLS is up.
    fn on_tls(&mut self) -> Step<Self::Ready>;
    /// A line of the server's for the log: a secret that it echoes is starred.
    fn shown(&self, line: &Line) -> String;
    /// What to star in whatever the server says later, if it was given a secret.
    fn echo(&self) -> Option<Echo>;
    /// The secret is here.
    fn on_secret(&mut self, secret: Arc<Secret>) -> Step<Self::Ready>;
}

/// What became of the octets a [`Filter`] was shown; the numbers count from their front.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many go to the other side as they are; at least one.
    AsIs(usize),
    /// So many are dealt with; what follows from them was put into [`Replies`]. At least one.
    Consumed(usize),
    /// Nothing can be said before more arrives.
    NeedMore,
    /// The pass-through ends here; the rest stays for whoever comes next.
    Stop,
}

/// What a [`Filter`] wants said, beside what passes unchanged. It leaves before anything that passes later.
#[derive(Debug, Default)]
pub struct Replies {
    /// For the client.
    pub client: Vec<u8>,
    /// For the server.
    pub server: Vec<u8>,
}

/// Which time limit is running while octets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The client may say something when it likes.
    ClientIdle,
    /// The server owes a whole line.
    Reply,
    /// A message is passing.
    Message,
}

/// One of the two ostler stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The old mail program.
    Client,
    /// The provider.
    Server,
}

/// Watches, and where it must, changes what passes between a client and a server that has signed it in.
pub trait Filter {
    /// The server sent this (what was left over last time first).
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Taken, Breach>;
    /// The client sent this (what was left over last time first).
    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Taken, Breach>;
    /// Whether the client's octets are wanted now; if not they wait in its socket.
    fn wants_client(&self) -> bool;
    /// The client has sent its last octet; `rest` was never finished. Whether the server's answers are still wanted.
    fn client_ended(&mut self, rest: &[u8], say: &mut Replies) -> bool;
    /// The clock that is running, and a number that changes whenever it starts anew.
    fn clock(&self) -> (Clock, u64);
    /// Who sends when a message passes.
    fn message_from(&self) -> Party;
    /// Nothing more will pass.
    fn is_over(&self) -> bool;
}

/// Why a pass-through cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// The server broke the rules; how.
    Server(String),
    /// The client did.
    Client(Misuse),
}

/// A mistake in the settings of a mail program that shows in what it says, and does not end its connection. Told where
/// people look, so that nobody has to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// It speaks the protocol of another door.
    WrongDoor {
        /// What it speaks.
        speaks: Protocol,
        /// The port where that is spoken, if there is one.
        port: Option<u16>,
    },
    /// It came and went without a word, as one does that expected the other greeting.
    Silent {
        /// What is spoken at the door it came to.
        at: Protocol,
        /// The port of the other protocol, if there is one.
        port: Option<u16>,
    },
    /// It asked to begin TLS.
    StartTls,
    /// It wants a kind of sign-in that ostler does not have.
    Secure,
    /// It gave a wrong local password.
    WrongPassword,
    /// It began a message and gave no local password.
    NoPassword,
}

impl fmt::Display for Slip {
    /// What happened; what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |protocol: &Protocol| if *protocol == Protocol::Smtp { "outgoing" } else { "incoming" };
        let other = |protocol: &Protocol| if *protocol == Protocol::Smtp { "incoming" } else { "outgoing" };
        match self {
            Self::WrongDoor { speaks, port: Some(port) } => write!(
                f,
                "the program came to the wrong port: the one for {} mail ({}) is {port}; type that one there",
                way(speaks),
                spoken(*speaks)
            ),
            Self::WrongDoor { speaks, port: None } => write!(
                f,
                "the program came to the wrong port, and none is open for {} mail ({}); switch it on in ostler's settings",
                way(speaks),
                spoken(*speaks)
            ),
            Self::Silent { at, port: Some(port) } => write!(
                f,
                "a program came to the port for {} mail ({}) and left without a word; if it wanted {} mail, the port for that is {port}",
                way(at),
                spoken(*at),
                other(at)
            ),
            Self::Silent { at, port: None } => write!(
                f,
                "a program came to the port for {} mail ({}) and left without a word; try it once more",
                way(at),
                spoken(*at)
            ),
            Self::StartTls => f.write_str(
                "the program wants SSL or TLS here: switch SSL/TLS off in it; ostler encrypts the way to the provider",
            ),
            Self::Secure => f.write_str(
                "the program wants a kind of sign-in that ostler does not have: switch off secure password authentication (SPA) or APOP in it",
            ),
            Self::WrongPassword => f.write_str(
                "the program gave a wrong password: type the local one, which ostler list --passwords shows",
            ),
            Self::NoPassword => f.write_str(
                "the program gave no password for sending: switch on authentication for outgoing mail, with the local password that ostler list --passwords shows",
            ),
        }
    }
}

/// What a client did that ends its connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// It began TLS on a plain door.
    #[error(
        "it speaks TLS on a door that is plain: switch SSL/TLS off in the mail program, the way to the provider is encrypted anyway"
    )]
    Tls,
    /// It speaks HTTP: a browser, perhaps made to by a web page.
    #[error("it speaks HTTP, as a browser does; nothing was done for it")]
    Http,
    /// A line was longer than the limit.
    #[error("it sent a line longer than {0} octets")]
    LineTooLong(usize),
    /// NUL or CR inside a command.
    #[error("it sent a NUL or a lone CR inside a command")]
    Unclean,
    /// Too many commands before signing in, or too many bad ones.
    #[error("it sent too many commands that lead nowhere")]
    TooManyCommands,
    /// Too many wrong local passwords.
    #[error("it gave a wrong local password three times; ostler list --passwords shows the right one")]
    TooManyPasswords,
    /// It spoke before it was greeted.
    #[error("it spoke before it was greeted, as no mail program does")]
    EarlyGreeting,
    /// Octets were waiting when DATA was answered.
    #[error("it sent more before DATA was answered, as a web page made to send mail would")]
    EarlyData,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_came_to_the_wrong_port_is_told_the_right_one() {
        let wrong = |speaks, port| Slip::WrongDoor { speaks, port }.to_string();
        assert!(wrong(Protocol::Pop3, Some(1100)).contains("the one for incoming mail (POP3) is 1100"));
        assert!(wrong(Protocol::Smtp, Some(2525)).contains("the one for outgoing mail (SMTP) is 2525"));
        assert!(wrong(Protocol::Smtp, None).contains("none is open for outgoing mail (SMTP)"));
        let silent = |at, port| Slip::Silent { at, port }.to_string();
        let at_pop3 = silent(Protocol::Pop3, Some(2525));
        assert!(at_pop3.contains("the port for incoming mail (POP3)"), "{at_pop3}");
        assert!(at_pop3.ends_with("if it wanted outgoing mail, the port for that is 2525"), "{at_pop3}");
        let at_smtp = silent(Protocol::Smtp, Some(1100));
        assert!(at_smtp.contains("the port for outgoing mail (SMTP)"), "{at_smtp}");
        assert!(at_smtp.ends_with("if it wanted incoming mail, the port for that is 1100"), "{at_smtp}");
    }
}
