//! What the old programs show for a failure: their own code or words around ostler's reply. Only what is documented:
//! the codes in Microsoft's published lists and KB 290842, Eudora's and Netscape's words in their published source, Mac OS X
//! Mail's silence as users report it. Every other program shows the reply as it stands, or nobody has told.

use serde::Serialize;

use ostler_mail::account::Protocol;
use ostler_mail::failure::Failure;

const NETSCAPE: &str = "Netscape 6 and 7";

/// What one program shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientMessage {
    /// The program, or several that show the same.
    pub program: &'static str,
    /// Its words.
    pub text: String,
    /// What of them is the program's own, for one line on a terminal.
    #[serde(skip)]
    pub(crate) summary: &'static str,
}

/// Where a client learns of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyStage {
    /// When it signs in to fetch.
    Fetch,
    /// When it names the sender.
    Sender,
    /// When it names a recipient.
    Recipient,
}

impl ReplyStage {
    /// Where a failure at a server of this kind is told: POP3 trouble at PASS, SMTP trouble at MAIL.
    pub fn of(protocol: Protocol) -> Self {
        if protocol.is_outgoing() { Self::Sender } else { Self::Fetch }
    }
}

/// What programs show for a failure.
pub fn messages_for(failure: &Failure, stage: ReplyStage) -> Vec<ClientMessage> {
    let reply = match stage {
        ReplyStage::Fetch => ostler_mail::pop3::words::failure(failure),
        ReplyStage::Sender | ReplyStage::Recipient => ostler_mail::smtp::words::failure(failure),
    };
    messages_around(&reply, stage)
}

/// What programs show around a reply of ostler's.
pub fn messages_around(reply: &str, moment: ReplyStage) -> Vec<ClientMessage> {
    let shown = |program, summary, text| ClientMessage { program, text, summary };
    let code = reply.get(..3).unwrap_or_default();
    match moment {
        ReplyStage::Fetch => vec![
            shown(
                "Outlook Express, Windows Mail",
                "0x800CCC92",
                format!("Server Response: '{reply}', Server Error: 0x800CCC90, Error Number: 0x800CCC92"),
            ),
            shown(
                "Eudora",
                "\"There has been an error transferring your mail\"",
                format!(
                    "There has been an error transferring your mail. I said: PASS ... and then the POP server (127.0.0.1) said: {}",
                    reply.trim_start_matches('-')
                ),
            ),
            shown(NETSCAPE, "\"Mail server responded\"", format!("Mail server 127.0.0.1 responded: {reply}")),
        ],
        ReplyStage::Sender => vec![
            shown(
                "Outlook Express, Windows Mail",
                "0x800CCC78",
                format!("Server Response: '{reply}', Server Error: {code}, Error Number: 0x800CCC78"),
            ),
            shown(NETSCAPE, "\"Mail server responded\"", format!("Mail server responded: {reply}")),
            mac_message(),
        ],
        ReplyStage::Recipient => vec![
            shown(
                "Outlook Express, Windows Mail, Outlook",
                "0x800CCC79",
                format!("Server Response: '{reply}', Server Error: {code}, Error Number: 0x800CCC79"),
            ),
            shown(
                "Eudora",
                "\"Can't send to ...\"",
                format!("Can't send to '...'. The server gives this reason: {reply}"),
            ),
            shown(NETSCAPE, "\"Mail server responded\"", format!("Mail server responded: {reply}")),
            mac_message(),
        ],
    }
}

fn mac_message() -> ClientMessage {
    let text = "Cannot send message using the server 127.0.0.1 (and not why)".to_owned();
    ClientMessage { program: "Mac OS X Mail", text, summary: "\"Cannot send message\" and not why" }
}

/// The short form for a terminal: each program with its code, or the beginning of its words.
pub fn summarize(shown: &[ClientMessage]) -> String {
    shown.iter().map(|one| format!("{} {}", one.program, one.summary)).collect::<Vec<_>>().join("; ")
}
