//! Accounts, servers and settings for tests: of this crate, and of the program through the feature `testing`.

use std::sync::Arc;

use super::{
    Access, Account, Credentials, DEFAULT_IMAP_CONNECTIONS, Door, Folder, PasswordCharset, Protocol, SecretSource,
    Security, Server, Settings, SignIn, Timeouts, Trust,
};

/// A server for tests.
pub fn server(protocol: Protocol, username: &str) -> Server {
    Server {
        protocol,
        host: "mail.example.net".into(),
        port: protocol.default_port(Security::Tls),
        security: Security::Tls,
        trust: Trust::default(),
        sign_in: SignIn::Password(Credentials {
            username: username.into(),
            secret: SecretSource::Keyring,
            charset: PasswordCharset::Utf8,
        }),
        chunking: true,
    }
}

/// Settings for tests: these accounts, and a door for all at each of these ports.
pub fn settings(access: Access, accounts: Vec<Arc<Account>>, doors: &[(Protocol, u16)]) -> Arc<Settings> {
    let door = |&(protocol, port): &(Protocol, u16)| Door {
        protocol,
        address: ([127, 0, 0, 1], port).into(),
        is_companion: false,
        account: None,
    };
    Arc::new(Settings {
        doors: doors.iter().map(door).collect(),
        page: None,
        page_has_companion: false,
        access,
        allow: vec![],
        proxies: vec![],
        metrics: false,
        notices: true,
        accounts,
        issuers: vec![],
        timeouts: Timeouts::default(),
    })
}

/// An account for tests.
pub fn account(name: &str, address: &str, username: &str) -> Account {
    Account {
        name: name.into(),
        address: address.into(),
        aliases: vec![],
        provider: None,
        is_default: false,
        offer_auth: true,
        read_ahead: true,
        local_password: None,
        readable: None,
        mend: vec![],
        oauth2: None,
        folder: Folder::default(),
        pop3: Some(server(Protocol::Pop3, username)),
        smtp: vec![server(Protocol::Smtp, username)],
        imap: None,
        imap_connections: DEFAULT_IMAP_CONNECTIONS,
    }
}
