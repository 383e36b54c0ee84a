//! Reading the file in which a provider says how its mail works: Mozilla's config-v1.1 (draft-ietf-mailmaint-autoconfig).
//! It comes from a stranger: whatever is in it, reading ends, stays small, and gives clean values or none.

use roxmltree::{Document, Node, ParsingOptions};

use super::{Domain, Hint};
use ostler_mail::account::endpoint::{Endpoint, LoginForm, Way};
use ostler_mail::account::{Protocol, Security};

/// Elements, texts and attributes read; the longest file of Mozilla's has some hundreds.
const MAX_XML_NODES: u32 = 20_000;
/// Servers taken of one file; the longest list in Mozilla's has seven.
const MAX_SERVERS: usize = 32;
/// Hints taken.
const MAX_HINTS: usize = 16;
/// Letters of a text that is shown.
const MAX_TEXT_CHARS: usize = 500;
/// Letters of a web address, a user name's form.
const MAX_WORD_OCTETS: usize = 300;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The provider's name for itself.
    pub title: Option<String>,
    /// Its servers in its own order, incoming before outgoing; at least one, none in clear.
    pub endpoints: Vec<Endpoint>,
    /// What it wants read or switched on.
    pub hints: Vec<Hint>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// It cannot be read: not XML at all, damaged, or made to be endless.
    #[error("its file of mail settings cannot be read")]
    NotXml,
    /// It is about something else, as the page is that many web servers answer everything with.
    #[error("it answers with a web page instead of mail settings")]
    NotAConfig,
    /// It names only servers without encryption.
    #[error("it names only mail servers without encryption, which ostler does not use unasked")]
    OnlyPlain,
    /// It names no server that ostler could use.
    #[error("it names no mail server that ostler can use")]
    NoServers,
}

/// Reads a file, for an address of `domain`.
pub fn parse(file: &[u8], domain: &Domain) -> Result<Config, BadConfig> {
    let text = String::from_utf8_lossy(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    // Entities are declared in a DTD, and a file with a DTD is refused: nothing can multiply.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_XML_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options).map_err(|_| classify_unreadable(&text))?;
    let root = document.root_element();
    if !is(root, "clientConfig") {
        return Err(BadConfig::NotAConfig);
    }
    let provider = child(root, "emailProvider").ok_or(BadConfig::NoServers)?;
    let issuer = child(root, "oAuth2").and_then(|oauth| child(oauth, "issuer")).map(text_of).unwrap_or_default();
    let (mut endpoints, mut plain) = (Vec::new(), false);
    for name in ["incomingServer", "outgoingServer"] {
        for server in children(provider, name).take(MAX_SERVERS) {
            match endpoint(server, domain, &issuer) {
                Server::Usable(endpoint) if endpoints.contains(&endpoint) => {}
                Server::Usable(endpoint) => endpoints.push(endpoint),
                Server::InClear => plain = true,
                Server::Unusable => {}
            }
        }
    }
    if endpoints.is_empty() {
        return Err(if plain { BadConfig::OnlyPlain } else { BadConfig::NoServers });
    }
    let title = child(provider, "displayName").map(text_of).filter(|title| !title.is_empty());
    Ok(Config { title, endpoints, hints: hints(root, provider) })
}

/// A web page is seldom good XML.
fn classify_unreadable(text: &str) -> BadConfig {
    let begin: String = text.trim_start().chars().take(200).collect::<String>().to_ascii_lowercase();
    let is_page = begin.starts_with("<!doctype html") || begin.contains("<html");
    if is_page { BadConfig::NotAConfig } else { BadConfig::NotXml }
}

enum Server {
    Usable(Endpoint),
    InClear,
    Unusable,
}

fn endpoint(server: Node<'_, '_>, domain: &Domain, issuer: &str) -> Server {
    let word = |name: &str| child(server, name).map(text_of).unwrap_or_default();
    let protocol = match server.attribute("type").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "pop3" if is(server, "incomingServer") => Protocol::Pop3,
        "imap" if is(server, "incomingServer") => Protocol::Imap,
        "smtp" if is(server, "outgoingServer") => Protocol::Smtp,
        _ => return Server::Unusable,
    };
    let security = match word("socketType").to_ascii_lowercase().as_str() {
        "ssl" | "tls" => Security::Tls,
        "starttls" => Security::StartTls,
        "plain" => return Server::InClear,
        _ => return Server::Unusable,
    };
    // Never %EMAILLOCALPART%: a name that is looked up is seen by strangers.
    let host = word("hostname").replace("%EMAILDOMAIN%", domain.as_str());
    let (Ok(host), Ok(port @ 1..)) = (Domain::parse(&host), word("port").parse::<u16>()) else {
        return Server::Unusable;
    };
    let Some(ways) = ways(server, issuer) else { return Server::Unusable };
    let login =
        child(server, "username").map_or(LoginForm::Unknown, |form| login_form(form.text().unwrap_or_default()));
    Server::Usable(Endpoint { protocol, host: host.to_string(), port, security, login, ways })
}

/// The ways to sign in, in the file's order; empty where it says nothing, `None` where it wants what ostler has not.
fn ways(server: Node<'_, '_>, issuer: &str) -> Option<Vec<Way>> {
    let (mut ways, mut any) = (Vec::new(), false);
    for authentication in children(server, "authentication") {
        any = true;
        let way = match text_of(authentication).to_ascii_lowercase().as_str() {
            "password-cleartext" | "plain" | "password-encrypted" | "secure" => Way::Password,
            "oauth2" => Way::OAuth2(issuer_name(issuer).to_owned()),
            "smtp-after-pop" => Way::PopBeforeSmtp,
            // The provider knows its users by where they come from.
            "client-ip-address" | "none" => Way::None,
            // NTLM, GSSAPI, TLS-client-cert and whatever comes.
            _ => continue,
        };
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    (!any || !ways.is_empty()).then_some(ways)
}

/// The short name of an issuer of OAuth2 tokens that ostler may know.
fn issuer_name(issuer: &str) -> &str {
    match issuer {
        "accounts.google.com" => "google",
        "login.microsoftonline.com" => "microsoft",
        "login.yahoo.com" => "yahoo",
        "login.aol.com" => "aol",
        other => other,
    }
}

/// How the user name looks. A form that could not be a name on one line of a mail protocol is none.
fn login_form(form: &str) -> LoginForm {
    let form = form.trim();
    match form {
        "%EMAILADDRESS%" | "%EMAILLOCALPART%@%EMAILDOMAIN%" => return LoginForm::Address,
        "%EMAILLOCALPART%" => return LoginForm::LocalPart,
        _ => {}
    }
    let own = form
        .replace("%EMAILADDRESS%", "{address}")
        .replace("%EMAILLOCALPART%", "{local}")
        .replace("%EMAILDOMAIN%", "{domain}");
    // What is left in percent signs is a question to the user of another program.
    let unusable =
        own.is_empty() || own.len() > MAX_WORD_OCTETS || own.chars().any(char::is_control) || own.contains('%');
    if unusable { LoginForm::Unknown } else { LoginForm::Template(own) }
}

/// They are in the provider's element or beside it: the text of the standard and the files differ.
fn hints(root: Node<'_, '_>, provider: Node<'_, '_>) -> Vec<Hint> {
    let mut hints = Vec::new();
    for enable in children(provider, "enable").chain(children(root, "enable")).take(MAX_HINTS) {
        let text = in_english(enable, "instruction");
        hints.push(Hint { must: true, text, url: enable.attribute("visiturl").and_then(web_address) });
    }
    for documentation in children(provider, "documentation").chain(children(root, "documentation")).take(MAX_HINTS) {
        let text = in_english(documentation, "descr");
        hints.push(Hint { must: false, text, url: documentation.attribute("url").and_then(web_address) });
    }
    hints.retain(|hint| !hint.text.is_empty() || hint.url.is_some());
    hints.truncate(MAX_HINTS);
    hints
}

/// The text of the first such child in English, else of the first.
fn in_english(node: Node<'_, '_>, name: &'static str) -> String {
    let language = |node: &Node<'_, '_>| {
        let own = node.attributes().find(|attribute| attribute.name() == "lang");
        own.is_none_or(|attribute| attribute.value().to_ascii_lowercase().starts_with("en"))
    };
    let text = children(node, name).find(language).or_else(|| child(node, name));
    text.map(text_of).unwrap_or_default()
}

/// An address a person may be told to open.
fn web_address(text: &str) -> Option<String> {
    let text = text.trim();
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_clean =
        text.len() <= MAX_WORD_OCTETS && text.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"\"<>\\^`{|}".contains(&b));
    (is_web && is_clean).then(|| text.to_owned())
}

/// An element's own text on one line, without what could steer a terminal.
fn text_of(node: Node<'_, '_>) -> String {
    let all: String =
        node.children().filter_map(|child| child.text().filter(|_| child.is_text())).take(MAX_HINTS).collect();
    let words = all.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| is_shown(*c)).take(MAX_TEXT_CHARS).collect()
}

/// Neither a control character nor one that turns the direction of what follows.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// The children of a name, whatever their namespace: files differ in it.
fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, name))
}

fn child<'a, 'i: 'a>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| is(*child, name))
}

#[cfg(test)]
mod tests;
