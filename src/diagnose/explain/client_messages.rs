//! What the old programs show for a failure: their own code or words around ostler's reply. Only documented messages
//! are here: Microsoft's codes from its published lists and KB 290842, Eudora's and Netscape's words from their
//! published source, and Mac OS X Mail's from users' reports. Other programs show the reply as it is, or are not
//! documented.

use serde::Serialize;

use ostler_mail::account::Protocol;
use ostler_mail::failure::Failure;

const NETSCAPE: &str = "Netscape 6 and 7";

/// What one program shows for a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClientMessage {
    /// The program, or several programs that show the same.
    pub(crate) program: &'static str,
    /// The whole message.
    pub(crate) text: String,
    /// The program's own part of it, for one line on a terminal.
    #[serde(skip)]
    pub(crate) summary: &'static str,
}

/// At which command a mail program is told of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyStage {
    /// When it signs in to fetch.
    Fetch,
    /// When it reads by IMAP.
    Read,
    /// When it names the sender.
    Sender,
    /// When it names a recipient.
    Recipient,
}

impl ReplyStage {
    /// The command at which a failure of such a server is told: PASS for POP3, MAIL for SMTP, LOGIN or the next command for IMAP.
    pub(crate) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Pop3 => Self::Fetch,
            Protocol::Smtp => Self::Sender,
            Protocol::Imap => Self::Read,
        }
    }
}

/// What programs show for a failure.
pub(crate) fn messages_for(failure: &Failure, stage: ReplyStage) -> Vec<ClientMessage> {
    let reply = match stage {
        ReplyStage::Fetch => ostler_mail::pop3::words::failure(failure),
        ReplyStage::Read => ostler_mail::imap::words::answer(failure),
        ReplyStage::Sender | ReplyStage::Recipient => ostler_mail::smtp::words::failure(failure),
    };
    messages_around(&reply, stage)
}

/// What programs show for a reply of ostler's.
pub(crate) fn messages_around(reply: &str, moment: ReplyStage) -> Vec<ClientMessage> {
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
        ReplyStage::Read => {
            let number = if reply.starts_with("NO [AUTH") { "0x800CCCD1" } else { "0x800CCCD2" };
            let shown_by_oe = format!("Server Response: '{reply}', Protocol: IMAP, Error Number: {number}");
            vec![
                shown("Outlook Express, Windows Mail", number, shown_by_oe),
                shown(
                    "Eudora",
                    "\"The IMAP command has failed\"",
                    format!("The IMAP command has failed. Reason: {reply}"),
                ),
                shown(
                    NETSCAPE,
                    "\"The current command did not succeed\"",
                    format!("The current command did not succeed. The mail server responded: {reply}"),
                ),
            ]
        }
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

/// One line for a terminal: each program with its code, or the beginning of its message.
pub(crate) fn summarize(shown: &[ClientMessage]) -> String {
    shown.iter().map(|one| format!("{} {}", one.program, one.summary)).collect::<Vec<_>>().join("; ")
}
