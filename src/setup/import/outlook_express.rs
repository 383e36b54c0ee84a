//! Accounts of Outlook Express, Windows Mail and Outlook, in three forms: exported from the registry (`.reg`), in
//! Windows Mail's own files (`.oeaccount`), and exported by Outlook Express itself (`.iaf`). All three have the same
//! fields.
//!
//! The field names are those of Microsoft's account manager; `.iaf` is documented by the Perl module
//! Win32::Outlook::IAF. The names of Outlook 2002 to 2007, and the meaning of "SMTP Auth Method" = 2 there, have not
//! been checked against a document.

use std::collections::BTreeMap;

use super::{Draft, Protection, Report, SendsAs, Server, address, quoted, shown, username};
use crate::setup::xml;
use ostler_mail::account::Protocol;

/// The first octets of an `.iaf` file.
pub(super) const IAF_MAGIC: &[u8] = b"fMAI";

/// The header of an `.iaf` file, with its magic.
const IAF_HEADER_OCTETS: usize = 12;

/// The longest field of an `.iaf` file.
const MAX_IAF_FIELD_OCTETS: usize = 4096;

/// Elements of a `.oeaccount` file; a real one has a few dozen.
const MAX_XML_NODES: u32 = 2_000;

/// The registry keys that contain accounts: of Outlook Express, and in Outlook's profiles.
const ACCOUNT_KEYS: [&str; 2] = ["\\internet account manager\\accounts\\", "\\9375cff0413111d3b88a00104b2a6676\\"];

/// The fields of an `.iaf` file that are used, by property: the upper 16 bits of a field's number. The lower ones say
/// how it is stored.
const IAF_FIELDS: [(u32, &str); 19] = [
    (4661, "account name"),
    (4760, "imap server"),
    (4761, "imap user name"),
    (4762, "imap password2"),
    (4765, "imap port"),
    (4766, "imap secure connection"),
    (5060, "pop3 server"),
    (5061, "pop3 user name"),
    (5062, "pop3 password2"),
    (5065, "pop3 port"),
    (5066, "pop3 secure connection"),
    (5160, "smtp server"),
    (5161, "smtp user name"),
    (5162, "smtp password2"),
    (5164, "smtp use sicily"),
    (5165, "smtp port"),
    (5166, "smtp secure connection"),
    (5168, "smtp display name"),
    (5170, "smtp email address"),
];

/// One account's fields, by name in lower case.
#[derive(Debug, Default)]
struct Fields {
    /// Where the account begins, in a file that has lines.
    line: Option<usize>,
    /// The account's number in the registry.
    number: String,
    values: BTreeMap<String, Value>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(u32),
    /// Anything that is not read, such as a password.
    Other,
}

impl Fields {
    fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| match self.values.get(*name) {
            Some(Value::Text(text)) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        })
    }

    fn number(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| match self.values.get(*name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        })
    }

    /// The account's place for a message, by the name that the program shows.
    fn place(&self) -> String {
        let name = shown(self.text(&["account name"]).unwrap_or(&self.number));
        match self.line {
            Some(line) => format!("account \"{name}\" (line {line})"),
            None => format!("account \"{name}\""),
        }
    }

    /// The account, if it is a mail account.
    fn draft(&self, report: &mut Report) -> Option<Draft> {
        let place = self.place();
        let servers = self.servers(&place);
        let fetches = servers.iter().any(|server| !server.protocol.is_outgoing());
        if servers.is_empty() || !fetches && self.text(&["smtp email address", "email"]).is_none() {
            report.left(&place, self.why_not_mail());
            return None;
        }
        // "POP3 Prompt for Password" is a switch.
        if self.values.keys().any(|key| key.contains("password") && !key.contains("prompt")) {
            report.left(&place, "the saved password: type it when ostler asks for it");
        }
        let outlook_auth = self.number(&["smtp use auth"]).filter(|use_it| *use_it != 0);
        let outlook_auth = outlook_auth.map(|_| self.number(&["smtp auth method"]).unwrap_or(0));
        let own = self.text(&["smtp user name", "smtp user"]).and_then(username);
        // Outlook Express calls its sign-in "Sicily": 2 is the name for fetching, 1 and 3 are a name of its own.
        // Outlook counts differently: 0 is the name for fetching, 1 a name of its own, 2 a fetch before each send.
        let sends_as = match (self.number(&["smtp use sicily"]), outlook_auth) {
            (Some(1 | 3), _) | (_, Some(1)) => own.map_or(SendsAs::Same, SendsAs::Own),
            (Some(2), _) | (_, Some(0)) => SendsAs::Same,
            _ => SendsAs::Unknown,
        };
        let names = ["pop3 user name", "pop3 user", "imap user name", "imap user"];
        Some(Draft {
            address: self.text(&["smtp email address", "email"]).and_then(address),
            servers,
            username: self.text(&names).and_then(username),
            sends_as,
            gate: outlook_auth == Some(2),
            place,
            ..Draft::default()
        })
    }

    fn servers(&self, place: &str) -> Vec<Server> {
        let server = |(protocol, word): (Protocol, &str)| {
            let host = self.text(&[&format!("{word} server")])?;
            let secure = self.number(&[&format!("{word} secure connection"), &format!("{word} use ssl")]);
            let port = self.number(&[&format!("{word} port")]).and_then(|port| u16::try_from(port).ok());
            Some(Server {
                protocol,
                host: host.to_owned(),
                port: port.filter(|port| *port != 0),
                // The checkbox "This server requires a secure connection" stands for TLS and for STARTTLS.
                protection: if secure.unwrap_or(0) == 0 { Protection::None } else { Protection::Either },
                place: place.to_owned(),
            })
        };
        let kinds = [(Protocol::Pop3, "pop3"), (Protocol::Imap, "imap"), (Protocol::Smtp, "smtp")];
        kinds.into_iter().filter_map(server).collect()
    }

    fn why_not_mail(&self) -> &'static str {
        let has = |prefix: &str| self.values.keys().any(|key| key.starts_with(prefix));
        if has("ldap") {
            "it is a directory of addresses (LDAP), not mail"
        } else if has("nntp") {
            "it is for newsgroups, not mail"
        } else if has("http") {
            "Hotmail's own protocol no longer exists; add the account by its address"
        } else {
            "it has no mail server"
        }
    }
}

/// Reads a `.reg` file, in the form of Windows 95 or of later versions.
pub(super) fn registry(text: &str, report: &mut Report) -> Vec<Draft> {
    let mut accounts: Vec<Fields> = Vec::new();
    let mut inside = false;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if let Some(key) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let lower = key.to_ascii_lowercase();
            let child = ACCOUNT_KEYS.iter().find_map(|folder| lower.split_once(folder)).map(|(_, child)| child);
            // Keys below an account are not accounts, and a key with a minus is one to delete.
            inside = child.is_some_and(|child| !child.contains('\\')) && !key.starts_with('-');
            if inside {
                let number = key.rsplit('\\').next().unwrap_or_default().to_owned();
                accounts.push(Fields { line: Some(index + 1), number, ..Fields::default() });
            }
            continue;
        }
        let mut whole = line.to_owned();
        // A long `hex:` value goes on in the next line.
        while whole.ends_with('\\') {
            let Some((_, more)) = lines.next() else { break };
            whole.pop();
            whole.push_str(more.trim());
        }
        if let (true, Some(fields), Some((name, value))) = (inside, accounts.last_mut(), entry(&whole)) {
            fields.values.insert(name, value);
        }
    }
    accounts.iter().filter_map(|fields| fields.draft(report)).collect()
}

/// Parses a line `"Name"=value`.
fn entry(line: &str) -> Option<(String, Value)> {
    let (name, rest) = quoted(line, &['"'])?;
    let name = name.to_ascii_lowercase();
    let rest = rest.trim_start().strip_prefix('=')?.trim();
    let value = if let Some((text, _)) = quoted(rest, &['"']) {
        Value::Text(text)
    } else if let Some(number) = rest.strip_prefix("dword:") {
        Value::Number(u32::from_str_radix(number.trim(), 16).ok()?)
    } else if name.contains("password") {
        Value::Other
    } else {
        wide_text(rest).map_or(Value::Other, Value::Text)
    };
    Some((name, value))
}

/// Decodes `hex:61,00,6e,00,..`, Outlook's form for texts in UTF-16.
fn wide_text(value: &str) -> Option<String> {
    let octets = value.strip_prefix("hex")?.split_once(':')?.1;
    let octets: Option<Vec<u8>> =
        octets.split(',').map(str::trim).filter(|o| !o.is_empty()).map(|o| u8::from_str_radix(o, 16).ok()).collect();
    let units = octets?
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(u16::from_le_bytes)
        .collect::<Vec<_>>();
    let text = String::from_utf16(&units).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// Reads a `.oeaccount` file.
pub(super) fn windows_mail(text: &str, report: &mut Report) -> Option<Vec<Draft>> {
    let document = xml::parse(text, MAX_XML_NODES).ok()?;
    let root = document.root_element();
    if !root.has_tag_name("MessageAccount") {
        return None;
    }
    let mut fields = Fields::default();
    for node in root.children().filter(|node| node.is_element()) {
        // `POP3_Server` here is "POP3 Server" in the registry.
        let name = node.tag_name().name().to_ascii_lowercase().replace('_', " ");
        let inner = node.text().unwrap_or_default().trim();
        let value = match node.attribute("type").unwrap_or_default().to_ascii_uppercase().as_str() {
            "SZ" => Value::Text(inner.to_owned()),
            "DWORD" => u32::from_str_radix(inner, 16).map_or(Value::Other, Value::Number),
            _ => Value::Other,
        };
        fields.values.insert(name, value);
    }
    Some(fields.draft(report).into_iter().collect())
}

/// Reads an `.iaf` file: after the header, each field is its number, its length (both 32 bits, little-endian) and its
/// octets.
pub(super) fn account_file(bytes: &[u8], report: &mut Report) -> Option<Vec<Draft>> {
    let mut rest = bytes.get(IAF_HEADER_OCTETS..)?;
    let mut fields = Fields::default();
    while !rest.is_empty() {
        let (number, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length =
            usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_IAF_FIELD_OCTETS)?;
        let (octets, after) = after.split_at_checked(length)?;
        rest = after;
        let property = u32::from_le_bytes(*number) >> 16;
        let Some((_, name)) = IAF_FIELDS.iter().find(|(known, _)| *known == property) else { continue };
        let value = if name.contains("password") {
            Value::Other
        } else if ["port", "connection", "sicily"].iter().any(|word| name.ends_with(word)) {
            <[u8; 4]>::try_from(octets).map_or(Value::Other, |octets| Value::Number(u32::from_le_bytes(octets)))
        } else {
            let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
            Value::Text(super::unix_text(text))
        };
        fields.values.insert((*name).to_owned(), value);
    }
    Some(fields.draft(report).into_iter().collect())
}
