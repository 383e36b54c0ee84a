//! Imports accounts from the settings of other programs, and from the files that providers hand out; the contents of a
//! file tell what it is. The result is the servers and user names, and a sentence for everything that was taken and
//! everything that was not. Passwords, tokens and keys are never taken.
//!
//! Not here: asking the user, trying and saving the accounts (`cli/add`, `setup.rs`).

mod apple_profile;
mod client_config;
mod cms;
mod emailproxy;
mod eudora;
mod evolution;
mod helper;
mod ini;
mod outlook_express;
mod property_list;
mod report;
mod resolve;
mod senders;
mod stunnel;
mod thunderbird;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::presets::Presets;
use crate::setup::Proposal;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Alias, Protocol};
use ostler_mail::charset;
use report::Report;

pub use report::Taken;
use resolve::company;
pub(crate) use resolve::{companies, companies_of};

/// The longest file that is read; a Thunderbird `prefs.js` after many years has some hundred kilobytes.
const MAX_FILE_OCTETS: usize = 1 << 20;
/// Accounts taken from one file.
const MAX_ACCOUNTS: usize = 64;
/// The longest text from the file that is shown.
const MAX_SHOWN_CHARS: usize = 80;

/// Which program a file is from.
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
    /// The files of Evolution, `.source`.
    Evolution,
    /// A profile for iPhones and Macs (`.mobileconfig`), perhaps signed.
    AppleProfile,
    /// The file in which a provider describes its servers for Thunderbird (`config-v1.1.xml`).
    ClientConfig,
}

impl Kind {
    /// The program's name, if it is one that old mail programs are set to in the provider's place.
    pub(crate) fn helper(self) -> Option<&'static str> {
        match self {
            Self::Stunnel => Some("stunnel"),
            Self::EmailProxy => Some("Email OAuth 2.0 Proxy"),
            Self::Mozilla
            | Self::Registry
            | Self::WindowsMail
            | Self::AccountFile
            | Self::Eudora
            | Self::Evolution
            | Self::AppleProfile
            | Self::ClientConfig => None,
        }
    }
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
            Self::Evolution => "accounts of Evolution",
            Self::AppleProfile => "a profile with mail settings for iPhones and Macs",
            Self::ClientConfig => "a provider's mail settings for Thunderbird",
        })
    }
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Which program the file is from.
    pub kind: Kind,
    /// The accounts, in the order of the file; may be empty.
    pub accounts: Vec<ImportedAccount>,
    /// What belongs to no account and was not taken, and why, a sentence each.
    pub not_taken: Vec<String>,
}

impl Imported {
    /// Whether the file has servers, but no mail address for any of them.
    pub(crate) fn needs_address(&self) -> bool {
        !self.accounts.is_empty() && self.accounts.iter().all(|account| account.address.is_none())
    }

    /// Every sentence, those of all accounts included.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        let of_accounts = self
            .accounts
            .iter()
            .flat_map(|account| account.taken.iter().map(|taken| &taken.sentence).chain(&account.not_taken));
        of_accounts.chain(&self.not_taken).map(String::as_str)
    }
}

/// What the user has said before the file is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The address that an account is wanted for. Files that name no address are read for this one.
    pub address: Option<&'a str>,
    /// Whether the user names a certificate of their own. Without it no server on this computer can be trusted, because
    /// no public authority vouches for one.
    pub has_own_certificate: bool,
}

/// A port of this computer on which the helper that the file is from listens for the mail program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldDoor {
    /// The protocol spoken there.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Its place in the file, for a person.
    pub place: String,
}

/// One account, as far as the file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportedAccount {
    /// Its places in the file, for a person; the first is its own, the others are those of its servers.
    pub places: Vec<String>,
    /// The name of the company that runs its servers, for a person; may be empty.
    pub title: String,
    /// Its address; `None` in files that only have servers.
    pub address: Option<String>,
    /// Further addresses that it sends for.
    pub aliases: Vec<Alias>,
    /// The address that user names are made from, if it is not [`Self::address`].
    pub login_address: Option<String>,
    /// Its servers, all with encryption, and whether the old program was set to fetch mail before it sends. If the
    /// provider's preset is known, the servers that are missing are to be taken from there.
    pub proposal: Proposal,
    /// The user name, if it is not made from the address.
    pub username: Option<String>,
    /// The user name for sending, if it differs.
    pub smtp_username: Option<String>,
    /// The companies that run its servers, as told by [`company`].
    pub companies: Vec<String>,
    /// The company at which the mail program signed in for tokens (OAuth2), by ostler's name for it.
    pub oauth2: Option<String>,
    /// That company with the registration that the file has, if it has one.
    pub registration: Option<Arc<Issuer>>,
    /// Where the mail program reached these servers through a helper.
    pub doors: Vec<OldDoor>,
    /// What was taken, a sentence each.
    pub taken: Vec<Taken>,
    /// What was not, and why, a sentence each.
    pub not_taken: Vec<String>,
}

impl ImportedAccount {
    /// Its own place in the file.
    pub(crate) fn place(&self) -> &str {
        self.places.first().map_or("", String::as_str)
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read; is the name right, and the file on this computer?", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is too long for a settings file.
    #[error(
        "the file is longer than 1 MiB, which no file of mail settings is; `ostler add --help` says which files can be read"
    )]
    TooLong,
    /// The file is not from a known program.
    #[error(
        "ostler cannot read this kind of file. It reads stunnel.conf, emailproxy.config, prefs.js (Thunderbird, Mozilla, \
         Netscape), eudora.ini, .source (Evolution: the folder .config/evolution/sources), .oeaccount (Windows Mail), .iaf (Outlook Express: Tools, Accounts, Export), .reg (Registry \
         Editor: go to HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Account Manager\\Accounts, then File, Export), \
         .mobileconfig (a provider's profile for iPhones and Macs) and config-v1.1.xml (a provider's settings for \
         Thunderbird). If you have none of these, `ostler add ADDRESS` finds the servers of most providers by itself"
    )]
    Unknown,
    /// The file is a property list in Apple's binary form.
    #[error(
        "this is a property list in binary form; write it as XML with `plutil -convert xml1 FILE` on a Mac, or ask the \
         provider for the profile as XML"
    )]
    BinaryPropertyList,
    /// The file uses entities of its own, which could load other files or grow without end.
    #[error(
        "this looks like {0}, but it uses XML entities of its own, which ostler never expands; ask for another file"
    )]
    Entities(Kind),
    /// The file is damaged.
    #[error("this looks like {0}, but it is damaged; export or copy it again")]
    Damaged(Kind),
}

/// Reads the octets of a file, at most one more than [`read`] takes. Files that are of no use alone are read with their neighbours.
pub(crate) fn read_octets(file: &Path) -> Result<Vec<u8>, ImportError> {
    let unreadable = |source| ImportError::Unreadable { file: file.to_owned(), source };
    if let Some(folder) = evolution::folder_of(file) {
        return evolution::read_folder(&folder).map_err(unreadable);
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    // One octet more than allowed, so that `read` can tell a file that is too long.
    opened.take(MAX_FILE_OCTETS as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Reads the contents of a file of any known kind.
pub fn read(bytes: &[u8], presets: &Presets, asked: &Asked<'_>) -> Result<Imported, ImportError> {
    if bytes.len() > MAX_FILE_OCTETS {
        return Err(ImportError::TooLong);
    }
    let mut report = Report::default();
    let (kind, mut drafts) = read_drafts(bytes, presets, asked, &mut report)?;
    for draft in &mut drafts {
        helper::undo_in(draft, presets, &mut report);
    }
    if kind == Kind::Eudora {
        drafts = eudora::join_personalities(drafts);
    }
    drafts = senders::join_by_mailbox(drafts);
    if kind == Kind::Stunnel {
        // stunnel.conf lists tunnels, not accounts: those to one company are taken for one account.
        drafts = resolve::group_by_company(drafts, presets);
    }
    let mut accounts: Vec<ImportedAccount> = Vec::new();
    for draft in drafts {
        if accounts.len() == MAX_ACCOUNTS {
            report.left("the file", format!("it has more than {MAX_ACCOUNTS} accounts; the others are not read"));
            break;
        }
        report.begin_account(accounts.len());
        match resolve::resolve(draft, asked, presets, &mut report) {
            Some(account) => accounts.push(account),
            None => report.drop_account(accounts.len()),
        }
    }
    senders::keep_apart(&mut accounts, &mut report);
    let not_taken = report.hand_out(&mut accounts);
    Ok(Imported { kind, accounts, not_taken })
}

/// Tells what the file is, and reads the accounts as it has them.
fn read_drafts(
    bytes: &[u8],
    presets: &Presets,
    asked: &Asked<'_>,
    report: &mut Report,
) -> Result<(Kind, Vec<Draft>), ImportError> {
    if bytes.starts_with(outlook_express::IAF_MAGIC) {
        let drafts = outlook_express::account_file(bytes, report).ok_or(ImportError::Damaged(Kind::AccountFile))?;
        return Ok((Kind::AccountFile, drafts));
    }
    if bytes.starts_with(property_list::BINARY_MAGIC) {
        return Err(ImportError::BinaryPropertyList);
    }
    let signed = cms::signed_content(bytes);
    let text = unix_text(signed.as_deref().unwrap_or(bytes));
    let kind = recognise(&text).filter(|kind| signed.is_none() || *kind == Kind::AppleProfile);
    let kind = kind.ok_or(ImportError::Unknown)?;
    if signed.is_some() {
        report.left("the profile", "its signature: ostler does not check who has signed it");
    }
    let drafts = match kind {
        Kind::Stunnel => Some(stunnel::read(&text, asked, report)),
        Kind::EmailProxy => Some(emailproxy::read(&text, presets, report)),
        Kind::Mozilla => Some(thunderbird::read(&text, report)),
        Kind::Registry => Some(outlook_express::registry(&text, report)),
        Kind::Eudora => Some(eudora::read(&text, report)),
        Kind::Evolution => Some(evolution::read(&text, presets, report)),
        Kind::WindowsMail | Kind::AccountFile => outlook_express::windows_mail(&text, report),
        Kind::AppleProfile => Some(apple_profile::read(&text, report)?),
        Kind::ClientConfig => Some(client_config::read(&text, asked, report)?),
    };
    drafts.map(|drafts| (kind, drafts)).ok_or(ImportError::Damaged(kind))
}

/// Decodes a text, with LF as line end: on the old Mac OS lines end with CR alone.
fn unix_text(bytes: &[u8]) -> String {
    let text = decode_text(bytes);
    if text.contains('\n') { text } else { text.replace('\r', "\n") }
}

/// Decodes a text in an encoding of its time: UTF-16 with a byte order mark, UTF-8, or Windows-1252.
fn decode_text(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).map(of).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        // UTF-16 that has lost its byte order mark.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => wide(bytes, u16::from_le_bytes),
        _ => charset::text(bytes).into_owned(),
    }
}

fn recognise(text: &str) -> Option<Kind> {
    let begin = text.trim_start();
    if begin.starts_with("REGEDIT4") || begin.starts_with("Windows Registry Editor") {
        return Some(Kind::Registry);
    }
    if begin.starts_with('<') {
        return recognise_xml(text);
    }
    if text.lines().any(|line| line.trim_start().starts_with("user_pref(")) {
        return Some(Kind::Mozilla);
    }
    let sections = ini::sections(text, ini::Indented::ContinuesValue);
    if sections.iter().any(emailproxy::is_section_of) {
        return Some(Kind::EmailProxy);
    }
    // stunnel comes last, because the words it is recognised by are the least special.
    let sections = ini::sections(text, ini::Indented::IsOrdinary);
    if sections.iter().any(eudora::is_section_of) {
        return Some(Kind::Eudora);
    }
    if sections.iter().any(evolution::is_section_of) {
        return Some(Kind::Evolution);
    }
    sections.iter().any(stunnel::is_section_of).then_some(Kind::Stunnel)
}

fn recognise_xml(text: &str) -> Option<Kind> {
    let has = |element: &str| text.contains(element);
    if has("<MessageAccount") {
        Some(Kind::WindowsMail)
    } else if has("<clientConfig") {
        Some(Kind::ClientConfig)
    } else if has("<plist") && (has("PayloadType") || has("PayloadContent")) {
        Some(Kind::AppleProfile)
    } else {
        None
    }
}

/// One account as the file has it, before the present servers are looked up.
#[derive(Debug, Clone, Default)]
struct Draft {
    place: String,
    address: Option<String>,
    /// Further From addresses; `*@example.net` for all of a domain.
    further: Vec<String>,
    /// The places of accounts that only have further addresses of this one.
    joined: Vec<String>,
    servers: Vec<Server>,
    username: Option<String>,
    sends_as: SendsAs,
    gate: bool,
    /// The company's name for itself.
    title: Option<String>,
    /// Whether several servers of a protocol are ways to one mailbox, of which the account needs one.
    is_choice: bool,
    /// The company at which the program signed in for tokens, by ostler's name for it.
    oauth2: Option<String>,
    /// That company with the registration of the file.
    registration: Option<Arc<Issuer>>,
    doors: Vec<OldDoor>,
}

impl Draft {
    /// Its own place and those of its servers.
    fn places(&self) -> Vec<String> {
        let mut places = vec![self.place.clone()];
        for place in self.servers.iter().map(|server| &server.place).chain(&self.joined) {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        places
    }
}

/// A server as the old program is set to use it.
#[derive(Debug, Clone)]
struct Server {
    protocol: Protocol,
    host: String,
    /// `None` for the usual port.
    port: Option<u16>,
    protection: Protection,
    /// Its place in the file, for a person.
    place: String,
}

/// How the old program protects the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Protection {
    None,
    /// By TLS or STARTTLS; the port tells which is likelier.
    Either,
    Tls,
    StartTls,
    /// As this endpoint says, with its ways to sign in.
    Known(Endpoint),
}

/// How the old program signs in to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum SendsAs {
    /// It does not sign in, or the file does not say.
    #[default]
    Unknown,
    /// With the user name and password for fetching.
    Same,
    /// With this user name.
    Own(String),
}

/// A text from the file, shortened and made safe for one line of a terminal.
fn shown(text: &str) -> String {
    // A character that turns the direction of writing could make a line of the report read as something else.
    let clean = |c: char| if c.is_control() || is_invisible(c) { '?' } else { c };
    let mut shown: String = text.trim().chars().take(MAX_SHOWN_CHARS).map(clean).collect();
    if text.trim().chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Whether the character is invisible or changes the direction of the text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Parses a text in one of these quotes, with backslashes as escapes; returns what follows it too.
fn quoted<'t>(text: &'t str, quotes: &[char]) -> Option<(String, &'t str)> {
    let quote = text.chars().next().filter(|c| quotes.contains(c))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if c == quote => return Some((value, text.get(at + 1..)?)),
            c => value.push(c),
        }
    }
    None
}

/// Parses a mail address, with or without a display name.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.rsplit_once('<').map_or(text, |(_, inner)| inner.trim_end_matches('>'));
    crate::config::value::address(text).ok()
}

/// Parses a user name.
fn username(text: &str) -> Option<String> {
    crate::config::value::username(text.trim()).ok()
}

/// Parses a port.
fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests;
