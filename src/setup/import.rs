//! Accounts out of the settings of other programs: which program a file is of is seen from what is in it. What comes out is
//! where to find the mail and under which name, and a sentence for everything that was taken and everything that was not.
//!
//! Not here: asking, trying and keeping (`cli/add`, `setup.rs`). Passwords, tokens and keys are never read, whatever the
//! file holds.

mod emailproxy;
mod eudora;
mod ini;
mod outlook_express;
mod resolve;
mod stunnel;
mod thunderbird;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::presets::Presets;
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::Endpoint;

pub use resolve::{companies, company};

/// The longest file that is read; a Thunderbird `prefs.js` of many years has some hundred kilobytes.
pub const MAX_FILE_OCTETS: usize = 1 << 20;
/// The most accounts taken of one file.
const MAX_ACCOUNTS: usize = 64;
/// The most sentences of a kind; what is behind that nobody reads.
const MAX_SENTENCES: usize = 100;
/// The most letters shown of anything in the file.
const MAX_SHOWN_CHARS: usize = 80;

/// What a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `stunnel.conf`.
    Stunnel,
    /// `emailproxy.config` of email-oauth2-proxy.
    EmailProxy,
    /// `prefs.js` of Thunderbird, Mozilla or Netscape.
    Mozilla,
    /// Accounts of Outlook Express or Outlook, exported from the registry (`.reg`).
    Registry,
    /// One account of Windows Mail (`.oeaccount`).
    WindowsMail,
    /// One account that Outlook Express itself has exported (`.iaf`).
    AccountFile,
    /// `eudora.ini`.
    Eudora,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stunnel => "settings of stunnel",
            Self::EmailProxy => "settings of Email OAuth 2.0 Proxy",
            Self::Mozilla => "settings of Thunderbird, Mozilla or Netscape",
            Self::Registry => "accounts of Outlook Express or Outlook out of the Windows registry",
            Self::WindowsMail => "an account of Windows Mail",
            Self::AccountFile => "an account exported from Outlook Express",
            Self::Eudora => "settings of Eudora",
        })
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the file is of.
    pub kind: Kind,
    /// The accounts, in the order of the file; there may be none.
    pub accounts: Vec<ImportedAccount>,
    /// What was taken, a sentence each.
    pub taken: Vec<String>,
    /// What was not, and why, a sentence each.
    pub not_taken: Vec<String>,
}

/// One account, as far as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportedAccount {
    /// Where in the file it is, for a person.
    pub place: String,
    /// Its address; none in files that only know servers.
    pub address: Option<String>,
    /// What the old program calls it.
    pub name: Option<String>,
    /// The preset that has its servers of today; a side that is empty below is that preset's.
    pub provider: Option<String>,
    /// POP3 servers, best first; none without TLS.
    pub incoming: Vec<Endpoint>,
    /// SMTP servers, best first; none without TLS.
    pub outgoing: Vec<Endpoint>,
    /// The IMAP server.
    pub imap: Option<Endpoint>,
    /// The user name, where it is not made from the address.
    pub username: Option<String>,
    /// The user name for sending, if it is that of another mailbox or company.
    pub smtp_username: Option<String>,
    /// The old program was set to fetch mail before it sends.
    pub gate: bool,
    /// The companies its servers are with, as [`company`] tells.
    pub companies: Vec<String>,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be opened or read.
    #[error("{} cannot be read; is the name right, and the file on this computer?", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no settings file.
    #[error(
        "the file is longer than 1 MiB, which no file of mail settings is; `ostler add --help` says which files can be read"
    )]
    TooLong,
    /// Nothing is known of it.
    #[error(
        "this file is none that ostler can read. It reads stunnel.conf, emailproxy.config, prefs.js (Thunderbird, Mozilla, \
         Netscape), eudora.ini, .oeaccount (Windows Mail), .iaf (Outlook Express: Tools, Accounts, Export) and .reg (Registry \
         Editor: go to HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account Manager\\Accounts, then File, Export). If you \
         have none of these, `ostler add ADDRESS` finds the servers of most providers by itself"
    )]
    Unknown,
    /// It is one of these, but damaged.
    #[error("this looks like {0}, but it is damaged and cannot be read; export or copy it once more")]
    Damaged(Kind),
}

/// Reads a file.
///
/// # Errors
///
/// It cannot be read, is too long, or is of no known kind.
pub fn read_file(file: &Path, presets: &Presets) -> Result<Imported, ImportError> {
    let unreadable = |source| ImportError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_FILE_OCTETS as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    read(&bytes, presets)
}

/// Reads what a file holds.
///
/// # Errors
///
/// As [`read_file`].
pub fn read(bytes: &[u8], presets: &Presets) -> Result<Imported, ImportError> {
    if bytes.len() > MAX_FILE_OCTETS {
        return Err(ImportError::TooLong);
    }
    let mut report = Report::default();
    let (kind, drafts) = if bytes.starts_with(outlook_express::IAF_MAGIC) {
        (Kind::AccountFile, outlook_express::account_file(bytes, &mut report).ok_or(Kind::AccountFile))
    } else {
        let text = unix_text(bytes);
        let kind = recognise(&text).ok_or(ImportError::Unknown)?;
        let drafts = match kind {
            Kind::Stunnel => Ok(stunnel::read(&text, &mut report)),
            Kind::EmailProxy => Ok(emailproxy::read(&text, presets, &mut report)),
            Kind::Mozilla => Ok(thunderbird::read(&text, &mut report)),
            Kind::Registry => Ok(outlook_express::registry(&text, &mut report)),
            Kind::Eudora => Ok(eudora::read(&text, &mut report)),
            Kind::WindowsMail | Kind::AccountFile => outlook_express::windows_mail(&text, &mut report).ok_or(kind),
        };
        (kind, drafts)
    };
    let drafts = drafts.map_err(ImportError::Damaged)?;
    let drafts = if kind == Kind::Stunnel { resolve::by_company(drafts, presets) } else { drafts };
    let accounts =
        drafts.into_iter().filter_map(|draft| resolve::resolve(draft, presets, &mut report)).take(MAX_ACCOUNTS);
    let accounts = accounts.collect();
    Ok(Imported { kind, accounts, taken: report.taken.all(), not_taken: report.not_taken.all() })
}

/// The text of a file, its lines ended by LF: those of the old Mac OS end with CR alone.
fn unix_text(bytes: &[u8]) -> String {
    let text = decode_text(bytes);
    if text.contains('\n') { text } else { text.replace('\r', "\n") }
}

/// Old programs wrote what their system wrote: UTF-16 with a mark, UTF-8, or one octet a letter.
fn decode_text(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).map(of).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        // Copied by something that dropped the mark.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => wide(bytes, u16::from_le_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
        },
    }
}

fn recognise(text: &str) -> Option<Kind> {
    let begin = text.trim_start();
    if begin.starts_with("REGEDIT4") || begin.starts_with("Windows Registry Editor") {
        return Some(Kind::Registry);
    }
    if begin.starts_with('<') {
        return text.contains("<MessageAccount").then_some(Kind::WindowsMail);
    }
    if text.lines().any(|line| line.trim_start().starts_with("user_pref(")) {
        return Some(Kind::Mozilla);
    }
    let sections = ini::sections(text, ini::Indented::IsMoreOfIt);
    if sections.iter().any(emailproxy::is_section_of) {
        return Some(Kind::EmailProxy);
    }
    let sections = ini::sections(text, ini::Indented::IsALine);
    if sections.iter().any(eudora::is_section_of) {
        return Some(Kind::Eudora);
    }
    sections.iter().any(stunnel::is_section_of).then_some(Kind::Stunnel)
}

/// What a file says about one account, before it is compared with what is known today.
#[derive(Debug, Clone, Default)]
struct Draft {
    place: String,
    address: Option<String>,
    name: Option<String>,
    servers: Vec<Server>,
    username: Option<String>,
    sends_as: SendsAs,
    gate: bool,
}

/// A server as the old program uses it.
#[derive(Debug, Clone)]
struct Server {
    protocol: Protocol,
    host: String,
    /// None: the usual one.
    port: Option<u16>,
    protection: Protection,
    /// Where in the file it is.
    place: String,
}

/// How the old program protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    None,
    /// It does, by one of the two; the port tells which is the likelier.
    Either,
    Tls,
    StartTls,
}

/// How the old program signs in to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum SendsAs {
    /// Not at all, or the file does not say.
    #[default]
    Unknown,
    /// With what it fetches with.
    Same,
    /// Under this name.
    Own(String),
}

/// The sentences, no more than anybody reads.
#[derive(Debug, Default)]
struct Report {
    taken: Sentences,
    not_taken: Sentences,
}

#[derive(Debug, Default)]
struct Sentences {
    said: Vec<String>,
    more: usize,
}

impl Sentences {
    fn say(&mut self, sentence: String) {
        if self.said.contains(&sentence) {
            return;
        }
        if self.said.len() < MAX_SENTENCES {
            self.said.push(sentence);
        } else {
            self.more += 1;
        }
    }

    fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.said.push(format!("and {} more of the same kind", self.more));
        }
        self.said
    }
}

impl Report {
    fn took(&mut self, place: &str, what: impl fmt::Display) {
        self.taken.say(format!("{place}: {what}"));
    }

    fn left(&mut self, place: &str, what: impl fmt::Display) {
        self.not_taken.say(format!("{place}: {what}"));
    }
}

/// Something of the file, on one line of a terminal and not too long.
fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() || is_invisible(c) { '?' } else { c };
    let mut shown: String = text.trim().chars().take(MAX_SHOWN_CHARS).map(clean).collect();
    if text.trim().chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Marks that turn the direction of a line round, or that nobody sees.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A mail address, if it is one.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.rsplit_once('<').map_or(text, |(_, inner)| inner.trim_end_matches('>'));
    crate::config::value::address(text).ok()
}

/// A user name, if it can be one.
fn username(text: &str) -> Option<String> {
    crate::config::value::username(text.trim()).ok()
}

/// A port, if it can be one.
fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests;
