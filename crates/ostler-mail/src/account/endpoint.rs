//! A mail server that somebody says exists, before it is anybody's account: what presets hold, what discovery finds,
//! what an imported file names. It becomes an [`crate::account::Server`] when a person has agreed to it.
//!
//! Not here: where such knowledge comes from (`presets.rs`, `discover.rs`, `import.rs`), and trying it (`setup.rs`).

use std::fmt;

use crate::account::{Protocol, Security};

/// How the name a provider signs in looks, made from the mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LoginForm {
    /// The whole address.
    Address,
    /// What is before the `@`.
    LocalPart,
    /// Any other form, with `{address}`, `{local}` and `{domain}` in it.
    Template(String),
    /// Not known: the address is tried first, then what is before the `@`.
    Unknown,
}

impl LoginForm {
    /// The user names to try for an address, the likeliest first; one unless the form is unknown.
    pub fn candidates(&self, address: &str) -> Vec<String> {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        match self {
            Self::Address => vec![address.to_owned()],
            Self::LocalPart => vec![local.to_owned()],
            Self::Template(form) => {
                vec![form.replace("{address}", address).replace("{local}", local).replace("{domain}", domain)]
            }
            Self::Unknown if local == address => vec![address.to_owned()],
            Self::Unknown => vec![address.to_owned(), local.to_owned()],
        }
    }
}

/// A way in which a server lets its users in; a preset names them best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Way {
    /// The password of the mailbox.
    Password,
    /// A password made for one program on the provider's web pages.
    AppPassword,
    /// OAuth2, with the issuer's name where one is known (`google`, `microsoft`, ..).
    OAuth2(String),
    /// A POP login from the same address first (SMTP only).
    PopBeforeSmtp,
    /// A program of the provider's that has to run on this computer.
    Bridge,
    /// No sign-in.
    None,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password => f.write_str("password"),
            Self::AppPassword => f.write_str("app-password"),
            Self::OAuth2(issuer) if issuer.is_empty() => f.write_str("oauth2"),
            Self::OAuth2(issuer) => write!(f, "oauth2:{issuer}"),
            Self::PopBeforeSmtp => f.write_str("pop-before-smtp"),
            Self::Bridge => f.write_str("bridge"),
            Self::None => f.write_str("none"),
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What it speaks.
    pub protocol: Protocol,
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// How the connection is protected; nothing here offers [`Security::None`].
    pub security: Security,
    /// How the user name looks there.
    pub login: LoginForm,
    /// How it lets its users in, best first; empty: not known.
    pub ways: Vec<Way>,
}

impl Endpoint {
    /// The way to use: the best one that needs nothing but ostler, OAuth2 only where there is nothing else. A server
    /// of which nothing is known is taken to want a password.
    pub fn best_way(&self) -> &Way {
        let without_oauth2 = self.ways.iter().find(|way| !matches!(way, Way::OAuth2(_)));
        without_oauth2.or(self.ways.first()).unwrap_or(&Way::Password)
    }

    /// The word for `auth` in the settings file that goes with the best way.
    pub fn auth_name(&self) -> &'static str {
        match self.best_way() {
            Way::Password | Way::AppPassword | Way::Bridge => "password",
            Way::OAuth2(_) => "oauth2",
            Way::PopBeforeSmtp => "pop-before-smtp",
            Way::None => "none",
        }
    }

    /// `host port 995, TLS`, for a person.
    pub fn describe(&self) -> String {
        let security = match self.security {
            Security::Tls => "TLS",
            Security::StartTls => "STARTTLS",
            Security::None => "no encryption",
        };
        format!("{} port {}, {security}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_makes_the_names_to_try() {
        let names = |form: LoginForm| form.candidates("ann@example.net");
        assert_eq!(names(LoginForm::Address), ["ann@example.net"]);
        assert_eq!(names(LoginForm::LocalPart), ["ann"]);
        assert_eq!(names(LoginForm::Template("{local}.{domain}".into())), ["ann.example.net"]);
        assert_eq!(names(LoginForm::Unknown), ["ann@example.net", "ann"]);
        assert_eq!(LoginForm::Unknown.candidates("ann"), ["ann"]);
    }
}
