//! `.mobileconfig`: a configuration profile for iPhones and Macs, which providers hand out. It is a property list with one
//! part for each thing to set up; the parts for POP and IMAP accounts are read. The keys are those of Apple's "Configuration
//! Profile Reference", payload `com.apple.mail.managed`.

use super::property_list::{self, Dictionary};
use super::{Draft, ImportError, Kind, Protection, Report, SendsAs, Server, address, port, shown, username};
use crate::setup::xml::{NotXml, without_doctype};
use ostler_mail::account::Protocol;

/// The type of a part that is a mail account.
const MAIL: &str = "com.apple.mail.managed";

/// The place of what belongs to no account.
const PROFILE: &str = "the profile";

/// Parts read from one profile.
const MAX_PARTS: usize = 200;

/// Reads every mail account.
pub(super) fn read(text: &str, report: &mut Report) -> Result<Vec<Draft>, ImportError> {
    let text = without_doctype(text);
    let document = property_list::parse(&text).map_err(|why| match why {
        NotXml::Entities => ImportError::Entities(Kind::AppleProfile),
        NotXml::Damaged => ImportError::Damaged(Kind::AppleProfile),
    })?;
    let profile = property_list::root(&document).ok_or(ImportError::Damaged(Kind::AppleProfile))?;
    if profile.has("EncryptedPayloadContent") {
        report.left(PROFILE, "it is encrypted for one device; ask the provider for one that is not");
    }
    let parts: Vec<Dictionary<'_>> = profile.dictionaries("PayloadContent").take(MAX_PARTS).collect();
    // Tools that manage devices also write a part without the profile around it.
    let parts = if profile.text("PayloadType") == Some(MAIL) { vec![profile] } else { parts };
    let mut drafts = Vec::new();
    for part in parts {
        if part.text("PayloadType") == Some(MAIL) {
            drafts.extend(account(part, drafts.len() + 1, report));
        } else {
            report.left(PROFILE, format!("a part that is not a POP or IMAP account: {}", name_of(part)));
        }
    }
    Ok(drafts)
}

/// What a part is, for a person: its own name, and what it is for.
fn name_of(part: Dictionary<'_>) -> String {
    let kind = part.text("PayloadType").unwrap_or("of no type");
    match part.text("PayloadDisplayName") {
        Some(name) => format!("\"{}\" ({})", shown(name), shown(kind)),
        None => shown(kind),
    }
}

fn account(part: Dictionary<'_>, number: usize, report: &mut Report) -> Option<Draft> {
    let name = part.text("EmailAccountDescription").or_else(|| part.text("PayloadDisplayName")).map(shown);
    let place = match name {
        Some(name) => format!("account {number} \"{name}\""),
        None => format!("account {number}"),
    };
    let protocol = match part.text("EmailAccountType") {
        Some("EmailTypePOP") => Protocol::Pop3,
        Some("EmailTypeIMAP") => Protocol::Imap,
        other => {
            let kind = shown(other.unwrap_or_default());
            report.left(&place, format!("its type \"{kind}\" is neither EmailTypePOP nor EmailTypeIMAP"));
            return None;
        }
    };
    if part.has("IncomingPassword") || part.has("OutgoingPassword") {
        report.left(&place, "the password: type it when ostler asks for it");
    }
    let incoming = server(part, "Incoming", protocol, &place);
    let outgoing = server(part, "Outgoing", Protocol::Smtp, &place);
    Some(Draft {
        address: part.text("EmailAddress").and_then(address),
        servers: incoming.into_iter().chain(outgoing).collect(),
        username: part.text("IncomingMailServerUsername").and_then(username),
        sends_as: sends_as(part),
        place,
        ..Draft::default()
    })
}

/// The server of one direction, whose keys begin with this word.
fn server(part: Dictionary<'_>, direction: &str, protocol: Protocol, place: &str) -> Option<Server> {
    let key = |what: &str| format!("{direction}MailServer{what}");
    let is_secure = part.flag(&key("UseSSL")).unwrap_or(false);
    Some(Server {
        protocol,
        host: part.text(&key("HostName"))?.to_owned(),
        port: part.text(&key("PortNumber")).and_then(port),
        // One switch stands for TLS and for STARTTLS; Apple's Mail finds out which.
        protection: if is_secure { Protection::Either } else { Protection::None },
        place: place.to_owned(),
    })
}

fn sends_as(part: Dictionary<'_>) -> SendsAs {
    let own = part.text("OutgoingMailServerUsername");
    if part.text("OutgoingMailServerAuthentication") == Some("EmailAuthNone") {
        SendsAs::Unknown
    } else if own == part.text("IncomingMailServerUsername") {
        SendsAs::Same
    } else {
        own.and_then(username).map_or(SendsAs::Same, SendsAs::Own)
    }
}
