//! Evolution (GNOME) has a small file for each part of an account, in `~/.config/evolution/sources`: `UID.source`, in the form of
//! GLib's key files. One has the server for fetching (`[Mail Account]`) and the UID of another, the identity (`[Mail Identity]`),
//! which has the address and the UID of the one for sending (`[Mail Transport]`). Groups and keys are those of
//! evolution-data-server's `ESource` extensions. Passwords and tokens are in the keyring, and not looked for.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ini::{Indented, Section, sections};
use super::{
    Draft, MAX_ACCOUNTS, MAX_FILE_OCTETS, Protection, Report, SendsAs, Server, address, port, shown, username,
};
use crate::config::issuers;
use crate::config::presets::Presets;
use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::AuthMethod;

/// How the name of each file ends.
const ENDING: &str = "source";
/// Files read from the folder; Evolution with twenty accounts has about a hundred.
const MAX_FILES: usize = 1_000;
/// Begins the group that stands in front of each file where several are one text. A UID is behind it.
const FILE: &str = "ostler file ";

/// Evolution's words for the companies at which it signs in itself (`EOAuth2Service`).
const SERVICES: [(&str, &str); 3] = [("google", "google"), ("outlook", "microsoft"), ("yahoo", "yahoo")];
/// Its words for tokens that it gets elsewhere: from GNOME's online accounts, or from a registration that it has made itself.
const OTHER_TOKENS: [&str; 3] = ["oauth2", "xoauth2", "oauth2dynamic"];

/// The folder of files that belong together, if the path is that folder or a file in it.
pub(super) fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let is_one = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING));
    is_one.then(|| path.parent().map(Path::to_owned)).flatten().filter(|folder| folder.is_dir())
}

/// All files of the folder as one text, each behind a group that names it; at most one octet more than an import takes.
pub(super) fn read_folder(folder: &Path) -> io::Result<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING)) && file.is_file());
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().take(MAX_FILES) {
        let uid = file.file_stem().unwrap_or_default().to_string_lossy().replace(['[', ']', '\n', '\r'], "?");
        all.extend_from_slice(format!("[{FILE}{uid}]\n").as_bytes());
        let rest = (MAX_FILE_OCTETS + 1).saturating_sub(all.len()) as u64;
        fs::File::open(file)?.take(rest).read_to_end(&mut all)?;
        all.push(b'\n');
    }
    Ok(all)
}

/// Whether the section is one that only Evolution's files have.
pub(super) fn is_section_of(section: &Section<'_>) -> bool {
    section.name == "Data Source" && section.has("DisplayName")
}

/// One file.
struct Source<'a> {
    /// Empty where the text is one file alone.
    uid: &'a str,
    sections: Vec<Section<'a>>,
}

impl<'a> Source<'a> {
    fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }

    fn get(&self, section: &str, key: &str) -> Option<String> {
        self.section(section)?.get(key).map(unescaped)
    }

    /// The name that the user has given, and the file.
    fn place(&self) -> String {
        let name = shown(&self.get("Data Source", "DisplayName").unwrap_or_default());
        if self.uid.is_empty() { name } else { format!("{name} ({}.{ENDING})", shown(self.uid)) }
    }
}

/// A value as GLib reads it: a key file keeps a backslash and what a line cannot hold as escapes. GLib takes no other escape, so
/// one stays as it is.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('\\') => text.push('\\'),
            Some('s') => text.push(' '),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            other => text.extend(['\\'].into_iter().chain(other)),
        }
    }
    text
}

/// Reads every mail account.
pub(super) fn read(text: &str, presets: &Presets, report: &mut Report) -> Vec<Draft> {
    let mut sources = vec![Source { uid: "", sections: Vec::new() }];
    for section in sections(text, Indented::IsOrdinary) {
        if let Some(uid) = section.name.strip_prefix(FILE) {
            sources.push(Source { uid, sections: Vec::new() });
        } else if let Some(source) = sources.last_mut() {
            source.sections.push(section);
        }
    }
    let all = sources.as_slice();
    all.iter().filter_map(|source| account(source, all, presets, report)).take(MAX_ACCOUNTS + 1).collect()
}

fn find<'s, 'a>(all: &'s [Source<'a>], uid: Option<String>) -> Option<&'s Source<'a>> {
    uid.and_then(|uid| all.iter().find(|source| source.uid == uid))
}

/// One account; `None` if the source is none for mail.
fn account(source: &Source<'_>, all: &[Source<'_>], presets: &Presets, report: &mut Report) -> Option<Draft> {
    let place = source.place();
    let backend = source.get("Mail Account", "BackendName")?.to_ascii_lowercase();
    let protocol = protocol(&backend, &place, report)?;
    if source.get("Data Source", "Enabled").is_some_and(|word| word.eq_ignore_ascii_case("false")) {
        report.left(&place, "it is switched off there");
        return None;
    }
    let identity = find(all, source.get("Mail Account", "IdentityUid"));
    let transport = identity.and_then(|identity| find(all, identity.get("Mail Submission", "TransportUid")));
    let incoming = server(source, protocol)?;
    let name = source.get("Authentication", "User");
    let own_address = identity.and_then(|identity| identity.get("Mail Identity", "Address"));
    let outgoing = transport.and_then(|transport| outgoing(transport, report));
    let oauth2 = sign_in(source, &incoming, presets, &place, report);
    let sends_as = transport.and_then(|transport| transport.get("Authentication", "User"));
    let aliases = identity.and_then(|identity| identity.get("Mail Identity", "Aliases")).unwrap_or_default();
    Some(Draft {
        address: own_address.as_ref().or(name.as_ref()).and_then(|text| address(text)),
        further: aliases.split(['\n', ',', ';']).filter_map(address).collect(),
        servers: [Some(incoming), outgoing].into_iter().flatten().collect(),
        username: name.as_deref().and_then(username),
        sends_as: sends_as.as_deref().and_then(username).map_or(SendsAs::Unknown, SendsAs::Own),
        oauth2,
        place,
        ..Draft::default()
    })
}

/// The protocol of a backend; `None` if ostler does not have it.
fn protocol(backend: &str, place: &str, report: &mut Report) -> Option<Protocol> {
    match backend {
        "pop" | "pop3" => return Some(Protocol::Pop3),
        "imapx" | "imap" => return Some(Protocol::Imap),
        // "On This Computer" and the search folders, which everyone has; and files of this computer.
        "" | "none" | "vfolder" | "maildir" | "mbox" | "mh" | "mbdir" | "spooldir" | "spool" | "rss" => {}
        other => report.left(place, format!("ostler does not have the protocol \"{}\"", shown(other))),
    }
    None
}

/// The server of a source, as `[Authentication]` and `[Security]` have it.
fn server(source: &Source<'_>, protocol: Protocol) -> Option<Server> {
    let protection = match source.get("Security", "Method").as_deref().unwrap_or_default() {
        "ssl-on-alternate-port" => Protection::Tls,
        "starttls-on-standard-port" => Protection::StartTls,
        _ => Protection::None,
    };
    Some(Server {
        protocol,
        host: source.get("Authentication", "Host")?,
        port: source.get("Authentication", "Port").as_deref().and_then(port),
        protection,
        place: source.place(),
    })
}

/// The server for sending, if there is one.
fn outgoing(transport: &Source<'_>, report: &mut Report) -> Option<Server> {
    let backend = transport.get("Mail Transport", "BackendName").unwrap_or_default();
    if backend.eq_ignore_ascii_case("smtp") {
        return server(transport, Protocol::Smtp);
    }
    report.left(&transport.place(), format!("it sends by \"{}\", not through a server", shown(&backend)));
    None
}

/// The company at which Evolution signs in for tokens, if it does.
fn sign_in(
    source: &Source<'_>,
    server: &Server,
    presets: &Presets,
    place: &str,
    report: &mut Report,
) -> Option<String> {
    let method = source.get("Authentication", "Method")?.to_ascii_lowercase();
    let service = SERVICES.iter().find(|(word, _)| *word == method).map(|(_, name)| (*name).to_owned());
    if service.is_none() && !OTHER_TOKENS.contains(&method.as_str()) {
        return None;
    }
    report.left(
        place,
        "the sign-in in the web browser (OAuth2), because it is Evolution's own: sign in anew when ostler asks for it; if ostler is not \
         registered at the company, and the provider makes app passwords (for one program), make one and give it to ostler",
    );
    // GNOME's online accounts have the company's name, and Evolution only the server.
    let of_server = || {
        let preset = presets.by_host(&server.host)?;
        preset.auth_methods.iter().find_map(|way| match way {
            AuthMethod::OAuth2(name) if issuers::known(name).is_some() => Some(name.clone()),
            _ => None,
        })
    };
    service.or_else(of_server)
}
