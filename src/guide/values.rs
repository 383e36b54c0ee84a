//! What differs between the guides of two users: addresses, ports, names, and the flags that decide which sentences a
//! guide has. All of it follows from the settings.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ostler_mail::account::{Access, Account, Protocol, SecretSource, Settings};

/// The system that ostler runs on, as far as guides differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Linux and the other Unixes.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
}

impl System {
    /// The system that this program was built for.
    pub(crate) fn this() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }
}

/// A door's host and port, as a mail program asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DoorAddress {
    host: String,
    port: u16,
}

/// The values and flags for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuideValues {
    account: String,
    address: String,
    settings_file: String,
    fetches: bool,
    sends: bool,
    pop3: Option<DoorAddress>,
    smtp: Option<DoorAddress>,
    imap: Option<DoorAddress>,
    reads: bool,
    imap_connections: usize,
    /// The door on port 25, which some old programs cannot change.
    smtp_25: Option<DoorAddress>,
    password: Password,
    several: bool,
    own_door: bool,
    must_sign_in: bool,
    gate: bool,
    elsewhere: bool,
    /// `None`: for readers on every system.
    system: Option<System>,
    /// What every command in the guide repeats, such as `--config FILE`.
    option: Option<String>,
    /// The guide is on the settings page, which watches and tests by itself: no commands for a terminal.
    on_page: bool,
}

/// Which password the mail program has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Password {
    Any,
    Local,
    Provider,
}

impl GuideValues {
    /// The values of `account` under these settings. `file` is the settings file, for steps that edit it. Without a system
    /// there are the steps for all systems.
    pub(crate) fn new(settings: &Settings, account: &Account, file: &Path, system: impl Into<Option<System>>) -> Self {
        let address_of = |protocol| settings.door_for(protocol, account).map(|door| door_address(door.address));
        let from_client = account.servers().filter_map(|s| s.credentials()).any(|c| c.secret == SecretSource::Client);
        let password = match settings.access {
            Access::Password => Password::Local,
            _ if from_client => Password::Provider,
            _ => Password::Any,
        };
        let leads_here = |name: &Option<String>| name.as_ref().is_none_or(|name| *name == account.name);
        let smtp_25 = settings
            .doors
            .iter()
            .find(|d| d.protocol == Protocol::Smtp && d.address.port() == 25 && leads_here(&d.account));
        let own = |protocol| settings.door_for(protocol, account).is_some_and(|door| door.account.is_some());
        let several = settings.accounts.len() > 1;
        Self {
            account: account.name.clone(),
            address: account.address.clone(),
            settings_file: file.display().to_string(),
            fetches: account.maildrop().is_some(),
            sends: !account.smtp.is_empty(),
            pop3: address_of(Protocol::Pop3),
            smtp: address_of(Protocol::Smtp),
            imap: address_of(Protocol::Imap),
            reads: account.imap.is_some(),
            imap_connections: account.imap_connections,
            smtp_25: smtp_25.map(|door| self::door_address(door.address)),
            password,
            several,
            own_door: own(Protocol::Pop3) && own(Protocol::Smtp),
            // With several accounts at one door, AUTH says which one sends, whatever the sender's address is.
            must_sign_in: password != Password::Any || (several && !own(Protocol::Smtp)),
            gate: account.smtp.iter().any(|s| s.gate().is_some()),
            elsewhere: settings.doors.iter().any(|d| !d.address.ip().to_canonical().is_loopback()),
            system: system.into(),
            option: None,
            on_page: false,
        }
    }

    /// Whether readers may have this system.
    fn is_for(&self, system: System) -> bool {
        self.system.is_none_or(|only| only == system)
    }

    /// Every command in the guide repeats this option of the command line.
    pub(crate) fn repeating_option(mut self, option: Option<&str>) -> Self {
        self.option = option.map(str::to_owned);
        self
    }

    /// The guide is shown on the settings page.
    #[cfg(any(feature = "web", test))]
    pub(crate) fn on_the_page(self) -> Self {
        Self { on_page: true, ..self }
    }

    pub(super) fn has_option(&self) -> bool {
        self.option.is_some()
    }

    /// Whether mail can be fetched through ostler: there is a server and a door for it.
    pub(crate) fn can_fetch(&self) -> bool {
        self.fetches && self.pop3.is_some()
    }

    /// Whether mail can be read by IMAP through ostler.
    pub(crate) fn can_read(&self) -> bool {
        self.reads && self.imap.is_some()
    }

    /// Whether mail can be sent through ostler.
    pub(crate) fn can_send(&self) -> bool {
        self.sends && self.smtp.is_some()
    }

    /// The value of `{{name}}`; `None` if there is no such name. A value that these settings lack is empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let host = |door: &Option<DoorAddress>| door.as_ref().map_or_else(String::new, |w| w.host.clone());
        let port = |door: &Option<DoorAddress>| door.as_ref().map_or_else(String::new, DoorAddress::port);
        Some(match name {
            "account" | "user" => self.account.clone(),
            "user_no_at" => without_at(&self.account),
            "address" => self.address.clone(),
            "settings_file" => self.settings_file.clone(),
            "option" => self.option.clone().unwrap_or_default(),
            "host" => host(if self.can_fetch() || self.smtp.is_none() { &self.pop3 } else { &self.smtp }),
            "pop3_host" => host(&self.pop3),
            "pop3_port" => port(&self.pop3),
            "smtp_host" => host(&self.smtp),
            "imap_host" => host(&self.imap),
            "imap_port" => port(&self.imap),
            "imap_connections" => self.imap_connections.to_string(),
            // `smtp_door_port` is the door's port even in guides that replace `smtp_port` by 25.
            "smtp_port" | "smtp_door_port" => port(&self.smtp),
            // If there is no door on port 25 yet, the guide adds one at the host of the usual door.
            "smtp_25_host" => host(if self.smtp_25.is_some() { &self.smtp_25 } else { &self.smtp }),
            "pop3_and_110" => with_second_port(&self.pop3, 110),
            "smtp_and_25" => with_second_port(&self.smtp, 25),
            _ => return None,
        })
    }

    /// The value of `{{#if name}}`; `None` if there is no such name.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        Some(match name {
            "fetch" => self.can_fetch(),
            "send" => self.can_send(),
            "imap" => self.can_read(),
            "both" => self.can_fetch() && self.can_send(),
            "pop3_door_off" => self.fetches && self.pop3.is_none(),
            "smtp_door_off" => self.sends && self.smtp.is_none(),
            "only_fetch" => (self.fetches || self.reads) && !self.sends,
            "only_send" => self.sends && !self.fetches && !self.reads,
            "only_reads" => self.can_read() && !self.can_fetch() && !self.can_send(),
            "only_imap" => self.reads && !self.fetches,
            "neither" => !self.fetches && !self.sends && !self.reads,
            "same_host" => self.pop3.as_ref().map(|w| &w.host) == self.smtp.as_ref().map(|w| &w.host),
            "smtp_25" => self.smtp_25.is_some(),
            "pop3_110" => self.pop3.as_ref().is_some_and(|w| w.port == 110),
            "any_password" => self.password == Password::Any,
            "local_password" => self.password == Password::Local,
            "provider_password" => self.password == Password::Provider,
            "several" => self.several,
            "own_door" => self.own_door,
            "auth" => self.must_sign_in,
            "gate" => self.gate,
            "page" => self.on_page,
            "at" => self.account.contains('@'),
            "elsewhere" => self.elsewhere,
            "linux" => self.is_for(System::Linux),
            "windows" => self.is_for(System::Windows),
            "macos" => self.is_for(System::MacOs),
            _ => return None,
        })
    }
}

impl DoorAddress {
    fn port(&self) -> String {
        match self.port {
            0 => "(the one that ostler status shows)".into(),
            port => port.to_string(),
        }
    }
}

/// The value of a key in `[local]` that opens one more port at the door's host.
fn with_second_port(door: &Option<DoorAddress>, port: u16) -> String {
    match door {
        Some(door) if door.host == "127.0.0.1" => format!("[{}, {port}]", door.port),
        Some(door) => {
            let host = if door.host.contains(':') { format!("[{}]", door.host) } else { door.host.clone() };
            format!("[\"{host}:{}\", \"{host}:{port}\"]", door.port)
        }
        None => format!("[{port}]"),
    }
}

fn door_address(address: SocketAddr) -> DoorAddress {
    let host = match address.ip().to_canonical() {
        // A door on all addresses is reached on loopback too.
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".into(),
        IpAddr::V6(ip) if ip.is_unspecified() => "::1".into(),
        ip => ip.to_string(),
    };
    DoorAddress { host, port: address.port() }
}

/// The name for programs that cut a user name at the `@`; ostler accepts a percent sign instead.
fn without_at(name: &str) -> String {
    match name.rfind('@') {
        Some(at) => format!("{}%{}", &name[..at], &name[at + 1..]),
        None => name.to_owned(),
    }
}
