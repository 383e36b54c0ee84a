//! A company that gives out OAuth2 access tokens, as the settings and the built-in list describe it: where to ask, for what,
//! and as whom. Every value here is complete and consistent.
//!
//! Not here: what is said to it (`oauth2`), and where tokens are kept (the program's `proxy/tokens.rs`).

use std::fmt;
use std::net::IpAddr;

use crate::account::{Protocol, SecretSource, Security, Server, SignIn, Trust};

/// An address that begins with `https://`, without user name and fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    text: String,
    host: String,
    port: u16,
    /// Where the path begins in `text`.
    path: usize,
}

/// The longest address.
const MAX_URL_OCTETS: usize = 2048;
const HTTPS_PORT: u16 = 443;

impl HttpsUrl {
    /// Parses an address; `None` if it is not one over https, or not in ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let start = text.get(..8).filter(|start| start.eq_ignore_ascii_case("https://"))?.len();
        let rest = text.get(start..)?;
        if text.len() > MAX_URL_OCTETS
            || !rest.bytes().all(|b| b.is_ascii_graphic())
            || rest.contains(['#', '\\', '"', '<'])
        {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, port) = split_port(rest.get(..end)?)?;
        let path = start + end;
        // A query without a path needs one in a request (RFC 9112, section 3.2.1).
        let text = if rest.get(end..)?.starts_with('/') {
            text.to_owned()
        } else {
            format!("{}/{}", text.get(..path)?, rest.get(end..)?)
        };
        Some(Self { text, host, port, path })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, lower case, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port as a request names them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == HTTPS_PORT { host } else { format!("{host}:{}", self.port) }
    }

    /// The path and what is behind it.
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or("/")
    }

    /// The web server, as the dialer takes servers; the protocol makes no difference to it.
    pub fn server(&self, trust: &Trust) -> Server {
        Server {
            protocol: Protocol::Smtp,
            host: self.host.clone(),
            port: self.port,
            security: Security::Tls,
            trust: trust.clone(),
            sign_in: SignIn::None,
            chunking: false,
        }
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Host and port of an address; `None` if there is a user name, or the host is none.
fn split_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, after)) => {
            (inside.parse::<IpAddr>().ok()?.to_string(), after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            (is_host.then(|| host.to_ascii_lowercase())?, port)
        }
    };
    let port = if port.is_empty() { HTTPS_PORT } else { port.parse().ok().filter(|port| *port != 0)? };
    Some((host, port))
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scopes {
    /// These, whatever the servers are.
    Fixed(Vec<String>),
    /// What goes with the protocols of the servers.
    ByProtocol {
        /// For fetching by POP3.
        pop3: Vec<String>,
        /// For sending.
        smtp: Vec<String>,
        /// For IMAP.
        imap: Vec<String>,
        /// With any of them.
        always: Vec<String>,
    },
}

impl Scopes {
    /// What servers of these protocols need, each once.
    pub fn needed(&self, protocols: impl IntoIterator<Item = Protocol>) -> Vec<String> {
        let mut needed: Vec<String> = Vec::new();
        let mut add = |scopes: &[String]| {
            for scope in scopes {
                if !needed.contains(scope) {
                    needed.push(scope.clone());
                }
            }
        };
        match self {
            Self::Fixed(scopes) => add(scopes),
            Self::ByProtocol { pop3, smtp, imap, always } => {
                for protocol in protocols {
                    add(match protocol {
                        Protocol::Pop3 => pop3,
                        Protocol::Smtp => smtp,
                        Protocol::Imap => imap,
                    });
                }
                add(always);
            }
        }
        needed
    }
}

/// The name of this computer in the address to which the browser returns. It has to be the one in the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Redirect {
    /// `http://127.0.0.1:PORT/` (RFC 8252, section 7.3).
    #[default]
    Loopback,
    /// `http://localhost:PORT/`.
    Localhost,
}

impl Redirect {
    /// The name in the address.
    pub fn host(self) -> &'static str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Localhost => "localhost",
        }
    }
}

/// A company that gives out access tokens, and ostler's registration there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// The name in the settings file.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// Where the user signs in with a browser; `None`: only with a code.
    pub authorize: Option<HttpsUrl>,
    /// Where tokens are given out.
    pub token: HttpsUrl,
    /// Where a code for another device is given out.
    pub device: Option<HttpsUrl>,
    /// Where a sign-in is taken back.
    pub revoke: Option<HttpsUrl>,
    /// What is asked for.
    pub scopes: Scopes,
    /// The form of the address to which the browser returns.
    pub redirect: Redirect,
    /// More parameters of the address where the user signs in.
    pub parameters: Vec<(String, String)>,
    /// How the issuer calls itself in its answers (RFC 9207), where it is known to.
    pub iss: Option<String>,
    /// Who ostler is there; `None`: it is not registered.
    pub client_id: Option<String>,
    /// What proves it, where the company wants that of programs.
    pub client_secret: Option<ClientSecret>,
    /// What the certificates of its servers are verified against.
    pub trust: Trust,
}

/// What proves who ostler is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientSecret {
    /// It came with this build of ostler. Everyone can read it there, so it is none.
    BuiltIn(&'static str),
    /// Where it is kept.
    Kept(SecretSource),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_anything_else_is_refused() {
        let parts = |text: &str| HttpsUrl::parse(text).map(|url| (url.authority(), url.path().to_owned()));
        let some = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(parts("https://Login.example/token?a=b"), some("login.example", "/token?a=b"));
        assert_eq!(parts("HTTPS://login.example:8443"), some("login.example:8443", "/"));
        assert_eq!(parts("https://login.example:443/"), some("login.example", "/"));
        assert_eq!(parts("https://login.example?x=1"), some("login.example", "/?x=1"));
        assert_eq!(parts("https://127.0.0.1:9/t"), some("127.0.0.1:9", "/t"));
        assert_eq!(parts("https://[::1]:9/t"), some("[::1]:9", "/t"));
        for bad in [
            "http://login.example/",
            "https://",
            "https:///x",
            "https://ann@login.example/",
            "https://ann:pw@login.example/",
            "https://login.example:0/",
            "https://login.example:x/",
            "https://login.example:99999/",
            "https://login.example/#x",
            "https://login.example/a b",
            "https://login.example\\@evil.example/",
            "https://[::1/",
            "https://[::1]x/",
            "https://l\u{f6}gin.example/",
            "ftp://x/",
            "",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_the_servers_need_is_asked_for() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let scopes = Scopes::ByProtocol {
            pop3: words("pop"),
            smtp: words("send"),
            imap: words("imap"),
            always: words("offline_access"),
        };
        assert_eq!(scopes.needed([Protocol::Pop3, Protocol::Smtp, Protocol::Smtp]), words("pop send offline_access"));
        assert_eq!(scopes.needed([Protocol::Imap]), words("imap offline_access"));
        assert_eq!(Scopes::Fixed(words("a b a")).needed([Protocol::Imap]), words("a b"));
    }
}
