//! A mail server before it belongs to an account: what a preset holds, what discovery finds, what an imported file names.
//! It becomes a [`crate::account::Server`] once the user has agreed to it.
//!
//! Not here: the sources of such knowledge and the trial of a server, which are the program's `config` and `setup`.

use std::fmt;

use crate::account::{Protocol, Security, Server, SignIn, Trust};

/// How a provider makes user names from mail addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LoginForm {
    /// The whole address.
    Address,
    /// The part before the `@`.
    LocalPart,
    /// Another form, with `{address}`, `{local}` and `{domain}` in it.
    Template(String),
    /// Unknown: the address is tried first, then the part before the `@`.
    Unknown,
}

impl LoginForm {
    /// The user names to try for an address, likeliest first. Only an unknown form gives more than one.
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

/// A way to sign in at a server. A preset lists the best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// The password of the mailbox.
    Password,
    /// A password that the user makes for one program on the provider's web pages.
    AppPassword,
    /// OAuth2, with the issuer's name (`google`, `microsoft`, ..) where it is known, else empty.
    OAuth2(String),
    /// A POP login from the same address first (SMTP only).
    PopBeforeSmtp,
    /// The provider's own program has to run on this computer (Proton Mail Bridge).
    Bridge,
    /// No sign-in.
    None,
}

impl fmt::Display for AuthMethod {
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

/// A server that may serve an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The protocol spoken there.
    pub protocol: Protocol,
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// How the connection is protected; never [`Security::None`].
    pub security: Security,
    /// How the server makes user names.
    pub login: LoginForm,
    /// The ways to sign in, best first; empty if unknown.
    pub auth_methods: Vec<AuthMethod>,
}

impl Endpoint {
    /// A server of which no more is known than where it is.
    pub fn new(protocol: Protocol, host: String, port: u16, security: Security) -> Self {
        Self { protocol, host, port, security, login: LoginForm::Unknown, auth_methods: Vec::new() }
    }

    /// The server with this trust and sign-in.
    pub fn to_server(&self, trust: Trust, sign_in: SignIn) -> Server {
        let Self { protocol, port, security, .. } = *self;
        Server { protocol, host: self.host.clone(), port, security, trust, sign_in, chunking: true }
    }

    /// The way to use: the first that is not OAuth2, and OAuth2 only where nothing else is offered. A server about which
    /// nothing is known is assumed to take a password.
    pub fn best_auth_method(&self) -> &AuthMethod {
        let without_oauth2 = self.auth_methods.iter().find(|way| !matches!(way, AuthMethod::OAuth2(_)));
        without_oauth2.or(self.auth_methods.first()).unwrap_or(&AuthMethod::Password)
    }

    /// Whether a password is no use there; a server about which nothing is known is assumed to take one.
    pub fn takes_only_oauth2(&self) -> bool {
        !self.auth_methods.is_empty() && self.auth_methods.iter().all(|way| matches!(way, AuthMethod::OAuth2(_)))
    }

    /// Whether the way to use is a POP login before each send.
    pub fn is_gated(&self) -> bool {
        *self.best_auth_method() == AuthMethod::PopBeforeSmtp
    }

    /// The value of `auth` in the settings file for the best way.
    pub fn auth_name(&self) -> &'static str {
        match self.best_auth_method() {
            AuthMethod::Password | AuthMethod::AppPassword | AuthMethod::Bridge => "password",
            AuthMethod::OAuth2(_) => "oauth2",
            AuthMethod::PopBeforeSmtp => "pop-before-smtp",
            AuthMethod::None => "none",
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
    fn a_server_is_gated_if_the_way_to_use_is_a_pop_login() {
        use AuthMethod::{OAuth2, Password, PopBeforeSmtp};
        let is_gated = |auth_methods: &[AuthMethod]| {
            let endpoint = Endpoint::new(Protocol::Smtp, "smtp.example.net".into(), 465, Security::Tls);
            Endpoint { auth_methods: auth_methods.to_vec(), ..endpoint }.is_gated()
        };
        assert!(is_gated(&[PopBeforeSmtp, Password]));
        assert!(is_gated(&[OAuth2(String::new()), PopBeforeSmtp]), "OAuth2 is not the way to use");
        assert!(!is_gated(&[Password, PopBeforeSmtp]));
        assert!(!is_gated(&[]));
    }

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
