//! Reads the file in which a provider describes its servers: Mozilla's config-v1.1 (draft-ietf-mailmaint-autoconfig).
//! The file is not trusted: whatever is in it, parsing ends, uses bounded memory, and returns clean values or none.

use std::sync::Arc;

use roxmltree::Node;

use super::{Domain, Hint};
use crate::config::issuers::{self, Described};
use crate::setup::xml;
use ostler_mail::account::endpoint::{AuthMethod, Endpoint, LoginForm};
use ostler_mail::account::issuer::{HttpsUrl, Issuer};
use ostler_mail::account::{Protocol, Security};

/// Elements, texts and attributes; Mozilla's longest file has a few hundred.
pub(crate) const MAX_XML_NODES: u32 = 20_000;
/// Servers taken from one file; Mozilla's longest list has seven.
const MAX_SERVERS: usize = 32;
/// Hints taken from one file.
const MAX_HINTS: usize = 16;
/// The longest text that is shown.
const MAX_TEXT_CHARS: usize = 500;
/// The longest name of a server that cannot be used, in a message.
const MAX_SHOWN_NAME_CHARS: usize = 80;
/// The longest web address, and the longest form of a user name.
const MAX_WORD_OCTETS: usize = 300;

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The provider's name for itself.
    pub title: Option<String>,
    /// The servers in the file's order, incoming before outgoing; at least one, all with encryption.
    pub endpoints: Vec<Endpoint>,
    /// What the provider wants its users to know.
    pub hints: Vec<Hint>,
    /// The company at which its users sign in for tokens (OAuth2), as the file describes it, if ostler does not know it. ostler is not
    /// registered there.
    pub company: Option<Arc<Issuer>>,
    /// The servers that cannot be used, and why, a phrase each; texts have no control characters.
    pub left_out: Vec<String>,
}

/// For whom a file is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The domain of the address, for `%EMAILDOMAIN%`.
    pub domain: &'a Domain,
    /// The part of the address before the `@`, for `%EMAILLOCALPART%` in host names. `None` where the file came over the
    /// network: looking up such a name would tell it to third parties. In user names it is always replaced.
    pub local_part: Option<&'a str>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// It is not XML, or damaged, or too large.
    #[error("its file of mail settings cannot be read")]
    NotXml,
    /// It is another document, such as the web page with which many web servers answer every request.
    #[error("it answers with a web page instead of mail settings")]
    NotAConfig,
    /// All its servers are without encryption.
    #[error("it names only mail servers without encryption, which ostler uses only if you ask for it")]
    OnlyPlain,
    /// ostler cannot use any of its servers.
    #[error("it names no mail server that ostler can use")]
    NoServers,
}

/// Parses a file for an address of `domain`.
pub fn parse(file: &[u8], domain: &Domain) -> Result<Config, BadConfig> {
    parse_for(file, Reader { domain, local_part: None })
}

/// Parses a file for this address.
pub fn parse_for(file: &[u8], reader: Reader<'_>) -> Result<Config, BadConfig> {
    let text = String::from_utf8_lossy(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let document = xml::parse(&text, MAX_XML_NODES).map_err(|_| classify_unreadable(&text))?;
    let root = document.root_element();
    if !is(root, "clientConfig") {
        return Err(BadConfig::NotAConfig);
    }
    let provider = child(root, "emailProvider").ok_or(BadConfig::NoServers)?;
    let (issuer, company) = child(root, "oAuth2").or_else(|| child(provider, "oAuth2")).map(issuer).unwrap_or_default();
    let (mut endpoints, mut plain, mut left_out) = (Vec::new(), false, Vec::new());
    for name in ["incomingServer", "outgoingServer"] {
        for server in children(provider, name).take(MAX_SERVERS) {
            match endpoint(server, reader, &issuer) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {}
                Ok(endpoint) => endpoints.push(endpoint),
                Err(why) => {
                    plain |= why == Unusable::InClear;
                    left_out.push(why.phrase(server));
                }
            }
        }
    }
    if endpoints.is_empty() {
        return Err(if plain { BadConfig::OnlyPlain } else { BadConfig::NoServers });
    }
    let title = child(provider, "displayName").map(text_of).filter(|title| !title.is_empty());
    Ok(Config { title, endpoints, hints: hints(root, provider), company: company.map(Arc::new), left_out })
}

/// Tells a web page, which is seldom well-formed XML, from a damaged file.
fn classify_unreadable(text: &str) -> BadConfig {
    let begin: String = text.trim_start().chars().take(200).collect::<String>().to_ascii_lowercase();
    let is_page = begin.starts_with("<!doctype html") || begin.contains("<html");
    if is_page { BadConfig::NotAConfig } else { BadConfig::NotXml }
}

/// Why a server cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unusable {
    InClear,
    OtherProtocol,
    SignIn,
    Damaged,
}

impl Unusable {
    fn phrase(self, server: Node<'_, '_>) -> String {
        let short = |text: String| text.chars().take(MAX_SHOWN_NAME_CHARS).collect::<String>();
        let host = short(child(server, "hostname").map(text_of).unwrap_or_default());
        let kind = server.attribute("type").unwrap_or_default();
        let kind = short(kind.chars().filter(char::is_ascii_alphanumeric).collect());
        let why = match self {
            Self::InClear => "is without encryption",
            Self::OtherProtocol => "speaks a protocol that ostler does not",
            Self::SignIn => "has no way to sign in that ostler has",
            Self::Damaged => "has no usable host name, port or encryption",
        };
        format!("its {kind} server \"{host}\" {why}")
    }
}

fn endpoint(server: Node<'_, '_>, reader: Reader<'_>, issuer: &str) -> Result<Endpoint, Unusable> {
    let word = |name: &str| child(server, name).map(text_of).unwrap_or_default();
    let protocol = match server.attribute("type").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "pop3" if is(server, "incomingServer") => Protocol::Pop3,
        "imap" if is(server, "incomingServer") => Protocol::Imap,
        "smtp" if is(server, "outgoingServer") => Protocol::Smtp,
        _ => return Err(Unusable::OtherProtocol),
    };
    let security = match word("socketType").to_ascii_lowercase().as_str() {
        "ssl" | "tls" => Security::Tls,
        "starttls" => Security::StartTls,
        "plain" => return Err(Unusable::InClear),
        _ => return Err(Unusable::Damaged),
    };
    let mut host = word("hostname").replace("%EMAILDOMAIN%", reader.domain.as_str());
    if let Some(local_part) = reader.local_part {
        host = host.replace("%EMAILLOCALPART%", local_part);
    }
    let (Ok(host), Ok(port @ 1..)) = (Domain::parse(&host), word("port").parse::<u16>()) else {
        return Err(Unusable::Damaged);
    };
    let auth_methods = auth_methods(server, issuer).ok_or(Unusable::SignIn)?;
    let login =
        child(server, "username").map_or(LoginForm::Unknown, |form| login_form(form.text().unwrap_or_default()));
    Ok(Endpoint { protocol, host: host.to_string(), port, security, login, auth_methods })
}

/// ostler's name for the company that gives out tokens, and the company itself if only the file knows it. The name is the file's own
/// where nobody knows more.
fn issuer(oauth: Node<'_, '_>) -> (String, Option<Issuer>) {
    let word = |name: &str| child(oauth, name).map(text_of).unwrap_or_default();
    let (named, authorize, token, scopes) = (word("issuer"), word("authURL"), word("tokenURL"), word("scope"));
    let described =
        Described { authorize: Some(&authorize), token: Some(&token), scopes: &scopes, ..Described::default() };
    let by_name = issuers::name_at_thunderbird(&named).to_owned();
    match (issuers::known(&by_name), described.known()) {
        (None, Some(known)) => (known.name.clone(), None),
        (Some(_), _) => (by_name, None),
        (None, None) => {
            let host = HttpsUrl::parse(&token).map(|url| url.host().to_owned()).unwrap_or_default();
            let name = if by_name.is_empty() { host } else { by_name.to_ascii_lowercase() };
            let company = described.unknown(&name);
            (name, company)
        }
    }
}

/// The ways to sign in, in the file's order: empty if the file names none, `None` if ostler supports none of them.
fn auth_methods(server: Node<'_, '_>, issuer: &str) -> Option<Vec<AuthMethod>> {
    let (mut auth_methods, mut any) = (Vec::new(), false);
    for authentication in children(server, "authentication") {
        any = true;
        let way = match text_of(authentication).to_ascii_lowercase().as_str() {
            // The latter two are CRAM-MD5 and the like. Over TLS the password itself does as well.
            "password-cleartext" | "plain" | "password-encrypted" | "secure" => AuthMethod::Password,
            "oauth2" => AuthMethod::OAuth2(issuer.to_owned()),
            "smtp-after-pop" => AuthMethod::PopBeforeSmtp,
            // The provider recognises its users by their IP addresses.
            "client-ip-address" | "none" => AuthMethod::None,
            // NTLM, GSSAPI, TLS-client-cert, and anything new.
            _ => continue,
        };
        if !auth_methods.contains(&way) {
            auth_methods.push(way);
        }
    }
    (!any || !auth_methods.is_empty()).then_some(auth_methods)
}

/// The form of the user name; unknown if it could not be sent on one line of a mail protocol.
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
    // Any other %VARIABLE% is something that only Thunderbird would ask the user for.
    let unusable =
        own.is_empty() || own.len() > MAX_WORD_OCTETS || own.chars().any(char::is_control) || own.contains('%');
    if unusable { LoginForm::Unknown } else { LoginForm::Template(own) }
}

/// The hints, in the provider's element or beside it: the draft and the files in use differ.
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

/// The text of the first such child in English, or else of the first one.
fn in_english(node: Node<'_, '_>, name: &'static str) -> String {
    let language = |node: &Node<'_, '_>| {
        let own = node.attributes().find(|attribute| attribute.name() == "lang");
        own.is_none_or(|attribute| attribute.value().to_ascii_lowercase().starts_with("en"))
    };
    let text = children(node, name).find(language).or_else(|| child(node, name));
    text.map(text_of).unwrap_or_default()
}

/// A web address that is safe to show to the user.
fn web_address(text: &str) -> Option<String> {
    let text = text.trim();
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_clean =
        text.len() <= MAX_WORD_OCTETS && text.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"\"<>\\^`{|}".contains(&b));
    (is_web && is_clean).then(|| text.to_owned())
}

/// An element's own text on one line, without characters that could control a terminal.
fn text_of(node: Node<'_, '_>) -> String {
    let all: String =
        node.children().filter_map(|child| child.text().filter(|_| child.is_text())).take(MAX_HINTS).collect();
    let words = all.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| is_shown(*c)).take(MAX_TEXT_CHARS).collect()
}

/// Whether it is neither a control character nor one that changes the direction of the text.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// The children with this name, in any namespace, because files differ in that.
fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, name))
}

fn child<'a, 'i: 'a>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| is(*child, name))
}

#[cfg(test)]
mod tests;
