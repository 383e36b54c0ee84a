//! What the old programs show for a failure: their own code or words around ostler's reply. Only what is documented:
//! the codes in Microsoft's published lists and KB 290842, Eudora's and Netscape's words in their published source, Mac OS X
//! Mail's silence as users report it. Every other program shows the reply as it stands, or nobody has told.

use serde::Serialize;

use crate::account::Protocol;
use crate::failure::Failure;

/// What one program shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The program, or several that show the same.
    pub program: &'static str,
    /// Its words.
    pub text: String,
}

/// Where a client learns of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When it signs in to fetch.
    Fetch,
    /// When it names the sender.
    Sender,
    /// When it names a recipient.
    Recipient,
}

impl Moment {
    /// Where a failure at a server of this kind is told: POP3 trouble at PASS, SMTP trouble at MAIL.
    pub fn of(protocol: Protocol) -> Self {
        if protocol == Protocol::Smtp { Self::Sender } else { Self::Fetch }
    }
}

/// What programs show for a failure.
pub fn shows(failure: &Failure, moment: Moment) -> Vec<Shown> {
    let reply = if moment == Moment::Fetch { failure.pop3_reply() } else { failure.smtp_reply() };
    around(&reply, moment)
}

/// What programs show around a reply of ostler's.
pub fn around(reply: &str, moment: Moment) -> Vec<Shown> {
    let shown = |program, text| Shown { program, text };
    let code = reply.get(..3).unwrap_or_default();
    match moment {
        Moment::Fetch => vec![
            shown(
                "Outlook Express, Windows Mail",
                format!("Server Response: '{reply}', Server Error: 0x800CCC90, Error Number: 0x800CCC92"),
            ),
            shown(
                "Eudora",
                format!(
                    "There has been an error transferring your mail. I said: PASS ... and then the POP server (127.0.0.1) said: {}",
                    reply.trim_start_matches('-')
                ),
            ),
            shown("Netscape 6 and 7", format!("Mail server 127.0.0.1 responded: {reply}")),
        ],
        Moment::Sender => vec![
            shown(
                "Outlook Express, Windows Mail",
                format!("Server Response: '{reply}', Server Error: {code}, Error Number: 0x800CCC78"),
            ),
            shown("Netscape 6 and 7", format!("Mail server responded: {reply}")),
            mac(),
        ],
        Moment::Recipient => vec![
            shown(
                "Outlook Express, Windows Mail, Outlook",
                format!("Server Response: '{reply}', Server Error: {code}, Error Number: 0x800CCC79"),
            ),
            shown("Eudora", format!("Can't send to '...'. The server gives this reason: {reply}")),
            shown("Netscape 6 and 7", format!("Mail server responded: {reply}")),
            mac(),
        ],
    }
}

fn mac() -> Shown {
    let text = "Cannot send message using the server 127.0.0.1 (and not why)".to_owned();
    Shown { program: "Mac OS X Mail", text }
}

/// The short form for a terminal: each program with its code, or the beginning of its words.
pub fn in_brief(shown: &[Shown]) -> String {
    let brief = |one: &Shown| {
        let code = one.text.rsplit_once("Error Number: ").map(|(_, code)| code.to_owned());
        let words = one.text.split(" said: ").next().unwrap_or_default();
        let words = words.split(" responded: ").next().unwrap_or_default();
        let words = words.split(" reason: ").next().unwrap_or_default();
        format!("{} {}", one.program, code.unwrap_or_else(|| format!("\"{words}\"")))
    };
    shown.iter().map(brief).collect::<Vec<_>>().join("; ")
}
