//! OAuth2 (RFC 6749) without sockets: how a person lets ostler in at the company that gives out access tokens, in the browser
//! (`authorize`: RFC 7636, RFC 8252) or with a code typed on any device (`device`: RFC 8628); what the company's answers mean
//! (`answer`); and a set of tokens with everything that decides whether it may be used (`tokens`).
//!
//! Not here: HTTP, the keyring, and who renews when, which are the program's (`proxy/tokens.rs`, `setup/authorize`); how a token
//! is given to a mail server (`sasl`).

pub mod answer;
pub mod authorize;
pub mod device;
mod form;
pub mod tokens;

pub use form::{Form, MAX_FORM_OCTETS};
