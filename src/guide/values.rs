//! What differs between the guides of two users: addresses, ports, names, and the flags that decide which sentences a
//! guide has. All of it follows from the settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::doors::{DoorAddress, Doors, Reader};
use ostler_mail::account::{Access, Account, Door, Protocol, SecretSource, Settings};
use ostler_mail::secret::Secret;

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

/// The values and flags for one account.
#[derive(Debug, Clone)]
pub(crate) struct GuideValues {
    account: String,
    address: String,
    settings_file: String,
    fetches: bool,
    sends: bool,
    doors: Doors,
    /// The values of `pop3` and `smtp` in `[local]` with one more port, for programs that cannot change theirs.
    with_usual_ports: [String; 2],
    reads: bool,
    imap_connections: usize,
    password: Password,
    local_password: Option<Arc<Secret>>,
    several: bool,
    must_sign_in: bool,
    gate: bool,
    /// The computer that the program runs on, if the user named it.
    computer: Option<String>,
    /// The address of that computer, if the settings do not let it in.
    shut_out: Option<IpAddr>,
    /// Whether other computers can reach a door.
    serves_others: bool,
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

impl Password {
    fn of(settings: &Settings, account: &Account) -> Self {
        let mut credentials = account.servers().filter_map(|server| server.credentials());
        match settings.access {
            Access::Password => Self::Local,
            _ if credentials.any(|c| c.secret == SecretSource::Client) => Self::Provider,
            _ => Self::Any,
        }
    }
}

impl GuideValues {
    /// The values of `account` under these settings, for whichever computer the doors are for. `file` is the settings file, for
    /// steps that edit it. Without a system there are the steps for all systems.
    pub(crate) fn new(settings: &Settings, account: &Account, file: &Path, system: impl Into<Option<System>>) -> Self {
        Self::for_reader(settings, account, file, system, &Reader::default())
    }

    /// As [`Self::new`], for this reader.
    pub(crate) fn for_reader(
        settings: &Settings,
        account: &Account,
        file: &Path,
        system: impl Into<Option<System>>,
        reader: &Reader,
    ) -> Self {
        let doors = Doors::new(settings, account, reader);
        let password = Password::of(settings, account);
        let several = settings.accounts.len() > 1;
        let with_usual_ports = [(Protocol::Pop3, &doors.pop3, 110), (Protocol::Smtp, &doors.smtp, 25)]
            .map(|(protocol, door, port)| with_port(settings, protocol, door.as_ref(), port));
        Self {
            account: account.name.clone(),
            address: account.address.clone(),
            settings_file: file.display().to_string(),
            fetches: account.maildrop().is_some(),
            sends: !account.smtp.is_empty(),
            with_usual_ports,
            reads: account.imap.is_some(),
            imap_connections: account.imap_connections,
            password,
            local_password: reader.local_password.clone(),
            several,
            // With several accounts at one door, AUTH says which one sends, whatever the sender's address is.
            must_sign_in: password != Password::Any || (several && !doors.is_smtp_own),
            doors,
            gate: account.smtp.iter().any(|s| s.gate().is_some()),
            computer: reader.computer.clone(),
            shut_out: reader.address.filter(|address| !settings.allow.iter().any(|n| n.contains(*address))),
            serves_others: settings.serves_other_computers(),
            system: system.into(),
            option: None,
            on_page: false,
        }
    }

    /// The addresses of the doors that the guide names for fetching and sending, as the settings have them.
    pub(super) fn listening(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        let doors = [(Protocol::Pop3, &self.doors.pop3), (Protocol::Smtp, &self.doors.smtp)];
        doors.into_iter().filter_map(|(protocol, door)| Some((protocol, door.as_ref()?.listens_on)))
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

    /// Whether the values are for a program on another computer.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.doors.is_elsewhere
    }

    /// Whether mail can be fetched through ostler: there is a server and a door for it.
    pub(crate) fn can_fetch(&self) -> bool {
        self.fetches && self.doors.pop3.is_some()
    }

    /// Whether mail can be read by IMAP through ostler.
    pub(crate) fn can_read(&self) -> bool {
        self.reads && self.doors.imap.is_some()
    }

    /// Whether mail can be sent through ostler.
    pub(crate) fn can_send(&self) -> bool {
        self.sends && self.doors.smtp.is_some()
    }

    /// The value of `{{name}}`; `None` if there is no such name. A value that these settings lack is empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let host = |door: &Option<DoorAddress>| door.as_ref().map_or_else(String::new, |w| w.host.clone());
        let port = |door: &Option<DoorAddress>| door.as_ref().map_or_else(String::new, DoorAddress::port);
        let doors = &self.doors;
        Some(match name {
            "account" | "user" => self.account.clone(),
            "user_no_at" => without_at(&self.account),
            "address" => self.address.clone(),
            "settings_file" => self.settings_file.clone(),
            "option" => self.option.clone().unwrap_or_default(),
            "host" => host(if self.can_fetch() || doors.smtp.is_none() { &doors.pop3 } else { &doors.smtp }),
            "pop3_host" => host(&doors.pop3),
            "pop3_port" => port(&doors.pop3),
            "smtp_host" => host(&doors.smtp),
            "imap_host" => host(&doors.imap),
            "imap_port" => port(&doors.imap),
            "imap_connections" => self.imap_connections.to_string(),
            // `smtp_door_port` is the door's port even in guides that replace `smtp_port` by 25.
            "smtp_port" | "smtp_door_port" => port(&doors.smtp),
            // If there is no door on port 25 yet, the guide adds one at the host of the usual door.
            "smtp_25_host" => host(if doors.smtp_25.is_some() { &doors.smtp_25 } else { &doors.smtp }),
            "pop3_and_110" => self.with_usual_ports[0].clone(),
            "smtp_and_25" => self.with_usual_ports[1].clone(),
            "pop3_door_110" => door_on_port(doors.pop3.as_ref(), 110),
            "smtp_door_25" => door_on_port(doors.smtp.as_ref(), 25),
            "local_password" => {
                self.local_password.as_ref().map_or_else(String::new, |secret| secret.text().into_owned())
            }
            "computer" => self.computer.clone().unwrap_or_default(),
            "computer_address" => self.shut_out.map_or_else(String::new, |address| address.to_string()),
            _ => return None,
        })
    }

    /// The value of `{{#if name}}`; `None` if there is no such name.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let doors = &self.doors;
        Some(match name {
            "fetch" => self.can_fetch(),
            "send" => self.can_send(),
            "imap" => self.can_read(),
            "both" => self.can_fetch() && self.can_send(),
            "pop3_door_off" => self.fetches && doors.pop3.is_none(),
            "smtp_door_off" => self.sends && doors.smtp.is_none(),
            "only_fetch" => (self.fetches || self.reads) && !self.sends,
            "only_send" => self.sends && !self.fetches && !self.reads,
            "only_reads" => self.can_read() && !self.can_fetch() && !self.can_send(),
            "only_imap" => self.reads && !self.fetches,
            "neither" => !self.fetches && !self.sends && !self.reads,
            "same_host" => doors.pop3.as_ref().map(|w| &w.host) == doors.smtp.as_ref().map(|w| &w.host),
            "smtp_25" => doors.smtp_25.is_some(),
            "pop3_110" => doors.pop3.as_ref().is_some_and(|w| w.port == 110),
            "any_password" => self.password == Password::Any,
            "local_password" => self.password == Password::Local,
            "provider_password" => self.password == Password::Provider,
            "several" => self.several,
            "own_door" => doors.are_own,
            "auth" => self.must_sign_in,
            "gate" => self.gate,
            "page" => self.on_page,
            "at" => self.account.contains('@'),
            "elsewhere" => doors.is_elsewhere,
            "serves_others" => self.serves_others,
            "knows_computer" => self.computer.is_some(),
            "shut_out" => self.shut_out.is_some(),
            "knows_password" => self.local_password.is_some(),
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

/// The value of a protocol's key in `[local]` that opens one more port where this door is.
fn with_port(settings: &Settings, protocol: Protocol, door: Option<&DoorAddress>, port: u16) -> String {
    let is_written = |door: &&Door| door.protocol == protocol && !door.is_companion && door.account.is_none();
    let mut written: Vec<String> =
        settings.doors.iter().filter(is_written).map(|door| as_written(door.address)).collect();
    if written.is_empty() {
        written.extend(door.map(|door| as_written(door.listens_on)));
    }
    let more = as_written(door.map_or((Ipv4Addr::LOCALHOST, port).into(), |d| (d.listens_on.ip(), port).into()));
    if !written.contains(&more) {
        written.push(more);
    }
    format!("[{}]", written.join(", "))
}

/// A door in the settings: a port alone for loopback.
fn as_written(address: SocketAddr) -> String {
    if address.ip() == Ipv4Addr::LOCALHOST { address.port().to_string() } else { format!("\"{address}\"") }
}

/// What to add on the settings page for a door on this port where the other one is.
fn door_on_port(door: Option<&DoorAddress>, port: u16) -> String {
    let address = door.map_or((Ipv4Addr::LOCALHOST, port).into(), |door| SocketAddr::new(door.listens_on.ip(), port));
    as_written(address).replace('"', "")
}

/// The name for programs that cut a user name at the `@`; ostler accepts a percent sign instead.
fn without_at(name: &str) -> String {
    match name.rfind('@') {
        Some(at) => format!("{}%{}", &name[..at], &name[at + 1..]),
        None => name.to_owned(),
    }
}
