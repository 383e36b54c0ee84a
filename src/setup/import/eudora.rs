//! `eudora.ini`: the main personality is in `[Settings]`, others are in `[Persona-NAME]`. The keys are from the
//! published source of Eudora 7 for Windows.

use super::helper::is_helper;
use super::ini::{Indented, Section, sections};
use super::senders::{incoming, sends_alike};
use super::{Draft, Protection, Report, SendsAs, Server, address, port, username};
use ostler_mail::account::Protocol;

/// Whether the section is a personality of Eudora's.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    is_persona(section) && ["POPAccount", "SMTPServer", "ReturnAddress"].iter().any(|key| section.has(key))
}

fn is_persona(section: &Section<'_>) -> bool {
    let begins = section.name.get(.."Persona-".len()).is_some_and(|begin| begin.eq_ignore_ascii_case("Persona-"));
    begins || section.name.eq_ignore_ascii_case("Settings")
}

/// Reads every personality.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<Draft> {
    let sections = sections(text, Indented::IsOrdinary);
    let main = sections.iter().find(|section| section.name.eq_ignore_ascii_case("Settings"));
    sections.iter().filter(|section| is_section_of(section)).map(|section| persona(section, main, report)).collect()
}

/// Gives each personality its address, and each mailbox the personalities that only have another address for it. Helpers
/// have to be undone before, because an address can be made of the user name and the server that they changed.
pub(super) fn join_personalities(mut drafts: Vec<Draft>) -> Vec<Draft> {
    for draft in &mut drafts {
        draft.address = draft.address.take().or_else(|| mailbox_address(draft));
    }
    let (mut mailboxes, others): (Vec<Draft>, _) = drafts.into_iter().partition(|draft| incoming(draft).is_some());
    for other in others {
        match mailboxes.iter_mut().find(|mailbox| lends_address(&other, mailbox)) {
            Some(mailbox) => mailbox.join(other),
            None => mailboxes.push(other),
        }
    }
    mailboxes
}

/// Without a return address, Eudora sends as the user name at the server.
fn mailbox_address(draft: &Draft) -> Option<String> {
    let name = draft.username.as_deref()?;
    let host = &incoming(draft)?.host;
    address(name).or_else(|| address(&format!("{name}@{host}")).filter(|_| !is_helper(host)))
}

/// Whether a personality without a mailbox is only there to send under another address, as the mailbox's does.
fn lends_address(other: &Draft, mailbox: &Draft) -> bool {
    incoming(mailbox).is_some() && other.address.is_some() && sends_alike(mailbox, other)
}

fn persona(section: &Section<'_>, main: Option<&Section<'_>>, report: &mut Report) -> Draft {
    let place = section.place();
    // Eudora has some keys, such as the ports, once for all personalities.
    let common = |key: &str| section.get(key).or_else(|| main.and_then(|main| main.get(key)));
    let account = section.get("POPAccount").unwrap_or_default();
    // The server follows the last @, because the user name may be an address itself.
    let (login, host) = account.rsplit_once('@').unwrap_or((account, ""));
    let host = section.get("POPServer").unwrap_or(host);
    let login = section.get("LoginName").unwrap_or(login);
    let mut servers = Vec::new();
    let uses_imap = section.get("ServerProtocol").is_some_and(|kind| kind.eq_ignore_ascii_case("IMAP"))
        || section.is_on("UsesIMAP");
    if !host.is_empty() {
        let protection = protection(section.get("SSLReceiveUse"));
        let (protocol, key, alternate) = if uses_imap {
            (Protocol::Imap, "IMAPPort", "SSLIMAPAlternatePort")
        } else {
            (Protocol::Pop3, "POPPort", "SSLPOPAlternatePort")
        };
        let number = common(if protection == Protection::Tls { alternate } else { key }).and_then(port);
        servers.push(Server { protocol, host: host.to_owned(), port: number, protection, place: place.clone() });
    }
    if let Some(host) = section.get("SMTPServer") {
        let protection = protection(section.get("SSLSendUse"));
        let key = match protection {
            Protection::Tls => "SSLSMTPAlternatePort",
            _ if section.is_on("UseSubmissionPort") => "SubmissionPort",
            _ => "SMTPPort",
        };
        let number = common(key).and_then(port);
        servers.push(Server {
            protocol: Protocol::Smtp,
            host: host.to_owned(),
            port: number,
            protection,
            place: place.clone(),
        });
    }
    if section.has("SavePasswordText") || section.has("SavePassword") {
        report.left(&place, "the saved password: type it when ostler asks for it");
    }
    // To send, Eudora signs in with the user name for fetching.
    let sends_as = if common("SmtpAuthAllowed").is_some_and(|v| v != "0") { SendsAs::Same } else { SendsAs::Unknown };
    Draft {
        address: section.get("ReturnAddress").and_then(address),
        username: username(login),
        sends_as,
        servers,
        place,
        ..Draft::default()
    }
}

/// Eudora's setting: 0 is never, 1 is STARTTLS if available, 2 is TLS on a port of its own, 3 is STARTTLS required.
fn protection(setting: Option<&str>) -> Protection {
    match setting {
        Some("1" | "3") => Protection::StartTls,
        Some("2") => Protection::Tls,
        _ => Protection::None,
    }
}
