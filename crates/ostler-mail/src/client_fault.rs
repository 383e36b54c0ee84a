//! What a client does wrong, and the words for it. A [`ClientMisconfiguration`] is a mistake in the settings of a mail
//! program, which ostler reports to the user; a [`Misuse`] ends the connection.

use std::fmt;

use crate::account::{NearbyDoor, Protocol};
use crate::failure::spoken;

/// A mistake in the settings of a mail program that shows in what the program says. Its connection goes on; ostler reports
/// the mistake in the log, in the journal and on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMisconfiguration {
    /// The program speaks the protocol of another door.
    WrongDoor {
        /// The protocol it speaks.
        speaks: Protocol,
        /// The door for that protocol, if the program can reach one.
        door: Option<NearbyDoor>,
    },
    /// The program connected and left without a word, as it does if it waits for another protocol's greeting.
    Silent {
        /// The protocol of the door it came to.
        at: Protocol,
        /// The door of the other protocol, if the program can reach one.
        door: Option<NearbyDoor>,
    },
    /// The program asked for TLS.
    StartTls,
    /// The program wants a mechanism that ostler does not have.
    Secure,
    /// The program gave a wrong local password.
    WrongPassword,
    /// The program began a message without the local password.
    NoPassword,
}

impl fmt::Display for ClientMisconfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |protocol: &Protocol| if protocol.is_outgoing() { "outgoing" } else { "incoming" };
        let other = |protocol: &Protocol| if protocol.is_outgoing() { "incoming" } else { "outgoing" };
        match self {
            Self::WrongDoor { speaks, door: Some(door) } => write!(
                f,
                "the program came to the wrong port: the one for {} mail ({}) is {door}; enter that one in its settings",
                way(speaks),
                spoken(*speaks)
            ),
            Self::WrongDoor { speaks, door: None } => write!(
                f,
                "the program came to the wrong port, and none is open for {} mail ({}); switch it on in ostler's settings",
                way(speaks),
                spoken(*speaks)
            ),
            Self::Silent { at, door: Some(door) } => write!(
                f,
                "a program came to the port for {} mail ({}) and left without a word; if it wanted {} mail, the port for that is {door}",
                way(at),
                spoken(*at),
                other(at)
            ),
            Self::Silent { at, door: None } => write!(
                f,
                "a program came to the port for {} mail ({}) and left without a word; try it once more",
                way(at),
                spoken(*at)
            ),
            Self::StartTls => f.write_str(
                "the program wants SSL or TLS here: switch SSL/TLS off in it; ostler encrypts the connection to the provider",
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
    /// It began TLS, on a door that is plain.
    #[error(
        "it speaks TLS on a door that is plain: switch SSL/TLS off in the mail program, the connection to the provider is encrypted anyway"
    )]
    Tls,
    /// It speaks HTTP: a browser, perhaps made to by a web page.
    #[error("it speaks HTTP, as a browser does; nothing was done for it")]
    Http,
    /// It sent a line longer than this limit, in octets.
    #[error("it sent a line longer than {0} octets")]
    LineTooLong(usize),
    /// It sent a NUL or a lone CR inside a command, which servers read in different ways.
    #[error("it sent a NUL or a lone CR inside a command")]
    Unclean,
    /// It gave too many commands before it signed in, or too many bad ones.
    #[error("it sent too many commands that lead nowhere")]
    TooManyCommands,
    /// It gave too many wrong local passwords.
    #[error("it gave a wrong local password three times; ostler list --passwords shows the right one")]
    TooManyPasswords,
    /// It gave a password that was not looked at, because its computer has given too many wrong ones.
    #[error("programs on its computer have guessed too often; wait a minute, then try again")]
    Guessing,
    /// It spoke before it was greeted.
    #[error("it spoke before it was greeted, as no mail program does")]
    EarlyGreeting,
    /// It sent the header of a load balancer (PROXY protocol), and is none that the settings name.
    #[error("it sent the PROXY header of a load balancer; add its address to `proxies` in the settings if it is yours")]
    ProxyHeader,
    /// It sent more before DATA was answered.
    #[error("it sent more before DATA was answered, as a web page made to send mail would")]
    EarlyData,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_came_to_the_wrong_port_is_told_the_right_one() {
        let door = |port: Option<u16>| port.map(|port| NearbyDoor { port, address: None });
        let wrong = |speaks, port| ClientMisconfiguration::WrongDoor { speaks, door: door(port) }.to_string();
        assert!(wrong(Protocol::Pop3, Some(1100)).contains("the one for incoming mail (POP3) is 1100"));
        assert!(wrong(Protocol::Smtp, Some(2525)).contains("the one for outgoing mail (SMTP) is 2525"));
        assert!(wrong(Protocol::Smtp, None).contains("none is open for outgoing mail (SMTP)"));
        let silent = |at, port| ClientMisconfiguration::Silent { at, door: door(port) }.to_string();
        let at_pop3 = silent(Protocol::Pop3, Some(2525));
        assert!(at_pop3.contains("the port for incoming mail (POP3)"), "{at_pop3}");
        assert!(at_pop3.ends_with("if it wanted outgoing mail, the port for that is 2525"), "{at_pop3}");
        let at_smtp = silent(Protocol::Smtp, Some(1100));
        assert!(at_smtp.contains("the port for outgoing mail (SMTP)"), "{at_smtp}");
        assert!(at_smtp.ends_with("if it wanted incoming mail, the port for that is 1100"), "{at_smtp}");
    }
}
