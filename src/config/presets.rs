//! Presets: what ostler knows about providers. The data is in `config/providers.toml`, compiled in; a file
//! `providers.toml` beside the settings file adds to it and overrides it. A preset is found by its name, by the domain
//! of an address, by a host that an old program is set to, or by the domain's mail exchanger.
//!
//! Not here: how the file is read (`presets/parse.rs`), what an account takes from a preset (`apply_preset.rs`), and
//! asking the network (`setup/discover.rs`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;

use super::LoadError;
use super::file::read_text;
use ostler_mail::account::endpoint::{AuthMethod, Endpoint, LoginForm};
use ostler_mail::account::{Account, Protocol, Server};

pub(super) mod parse;

const BUILT_IN: &str = include_str!("../../config/providers.toml");

/// Stands for the domain of the address in a host name.
const DOMAIN: &str = "{domain}";

/// How certain a preset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Confidence {
    /// A guess, or one weak source. ostler tries the servers of such a preset before it offers them.
    Low,
    /// One source, perhaps an old one.
    Medium,
    /// A recent source, or several that agree.
    High,
}

impl Confidence {
    /// The word in the file and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Whether the provider's users can fetch mail by POP3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pop {
    /// They can.
    Yes,
    /// They cannot.
    No,
    /// Only with a paid plan.
    Paid,
    /// No source says.
    Unclear,
}

impl Pop {
    /// The word in the file and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Paid => "paid",
            Self::Unclear => "unclear",
        }
    }
}

/// Which file a preset is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The compiled-in file.
    BuiltIn,
    /// The user's own file.
    Own,
}

/// One provider, or one kind of provider. All host and domain names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preset {
    /// What the user writes in `provider = ".."`: small letters, digits and hyphens.
    pub(crate) id: String,
    /// The name shown to people.
    pub(crate) title: String,
    /// Domains of addresses that belong to it.
    pub(crate) domains: Vec<String>,
    /// Suffixes of such domains; each begins with a dot.
    pub(crate) domain_suffixes: Vec<String>,
    /// Suffixes of the mail exchangers that receive mail for the domains it hosts.
    pub(crate) mx: Vec<String>,
    /// Former hosts that old programs may still be set to; a label `*` stands for any one label.
    pub(crate) legacy_hosts: Vec<String>,
    /// Domains of addresses whose mailboxes may be here although no look-up by domain finds this preset; `*` stands for
    /// every domain that no preset lists.
    pub(crate) hosted: Vec<String>,
    /// The id of the preset of the company that runs these servers for this one.
    pub(crate) run_by: Option<String>,
    /// Its servers in the order in which to try them; a host may contain `{domain}`.
    pub(crate) servers: Vec<Endpoint>,
    /// The form of the user name, unless an endpoint has its own.
    pub(crate) login: LoginForm,
    /// How its users sign in, best first, unless an endpoint has its own.
    pub(crate) auth_methods: Vec<AuthMethod>,
    /// What the user has to switch on first, as one sentence.
    pub(crate) enable: Option<String>,
    /// Where an app password is made: an address or a place in a menu.
    pub(crate) app_password: Option<String>,
    /// How long a POP login keeps the gate open for sending (`pop-before-smtp`).
    pub(crate) window: Option<Duration>,
    /// Whether there is POP3.
    pub(crate) pop: Pop,
    /// Fetching a message by POP3 changes what the provider does with it, even without a deletion.
    pub(crate) fetching_counts: bool,
    /// It has no outgoing server by design: its users send through another company.
    pub(crate) sends_elsewhere: bool,
    /// Why no mail program can use it; such a preset has no servers.
    pub(crate) closed: Option<String>,
    /// What else a user should know.
    pub(crate) note: Option<String>,
    /// The sources of these facts.
    pub(crate) source: Vec<String>,
    /// When the facts were last checked, `YYYY-MM-DD`.
    pub(crate) checked: Option<String>,
    /// How certain the facts are.
    pub(crate) confidence: Confidence,
    /// Which file it is from.
    pub(crate) origin: Origin,
}

impl Preset {
    /// Whether a password is no use at any of its servers: the user signs in at a company in the web browser.
    #[cfg(feature = "web")]
    pub(crate) fn takes_only_oauth2(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(Endpoint::takes_only_oauth2)
    }

    /// The servers for a protocol, in the order in which to try them. `domain`, the domain of the address, replaces
    /// `{domain}`; a server whose host is then not a valid name is left out.
    pub(crate) fn endpoints(&self, protocol: Protocol, domain: &str) -> Vec<Endpoint> {
        let domain = plain(domain);
        let is_name = matches!(ServerName::try_from(domain.as_str()), Ok(ServerName::DnsName(_)));
        let filled = |endpoint: &Endpoint| {
            let host = endpoint.host.replace(DOMAIN, &domain);
            let is_filled = is_name || !endpoint.host.contains(DOMAIN);
            // Two valid names can be too long when joined.
            let is_host = is_filled && ServerName::try_from(host.as_str()).is_ok();
            is_host.then(|| Endpoint { host, ..endpoint.clone() })
        };
        self.templates(protocol).filter_map(filled).collect()
    }

    /// The servers for a protocol as the file has them, with `{domain}` not replaced: for showing, not for connecting.
    pub(crate) fn templates(&self, protocol: Protocol) -> impl Iterator<Item = &Endpoint> {
        self.servers.iter().filter(move |server| server.protocol == protocol)
    }

    /// Whether its users make app passwords, whatever else they may sign in with.
    fn makes_app_passwords(&self) -> bool {
        let ways = self.servers.iter().flat_map(|server| &server.auth_methods);
        self.auth_methods.iter().chain(ways).any(|way| *way == AuthMethod::AppPassword)
    }

    /// Whether it is from the user's own file.
    pub(crate) fn is_own(&self) -> bool {
        self.origin == Origin::Own
    }

    /// Whether a mail program can use it at all.
    pub(crate) fn is_usable(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Whether it has a host made from the address's domain. Such a preset fits any address, so it has to be named.
    #[cfg(test)]
    pub(crate) fn is_template(&self) -> bool {
        self.servers.iter().any(|server| server.host.contains(DOMAIN))
    }

    /// Whether both are products of one company: it runs both, or they have a server in common.
    fn is_kin_of(&self, other: &Self) -> bool {
        let is_name = |host: &str| host.parse::<std::net::IpAddr>().is_err() && !host.contains(DOMAIN);
        let has = |host: &str| other.servers.iter().any(|server| server.host == host);
        self.id == other.id
            || self.run_by.as_ref() == Some(&other.id)
            || other.run_by.as_ref() == Some(&self.id)
            || self.servers.iter().any(|server| is_name(&server.host) && has(&server.host))
    }

    /// How closely a host belongs to this preset; `None` if it does not.
    fn host_rank(&self, host: &str) -> Option<Rank> {
        let old = |pattern: &&String| matches_pattern(pattern, host);
        let literal = |pattern: &String| pattern.split('.').filter(|label| *label != "*").count();
        if self.legacy_hosts.iter().any(|pattern| pattern == host) {
            return Some(Rank::OldName);
        }
        // An IP address such as 127.0.0.1 does not identify a provider, and neither does a name with {domain}.
        let is_name = host.parse::<std::net::IpAddr>().is_err() && !host.contains(DOMAIN);
        if is_name && self.servers.iter().any(|server| server.host == host) {
            return Some(Rank::Server);
        }
        self.legacy_hosts.iter().filter(old).map(literal).max().map(Rank::OldPattern)
    }

    fn has_word(&self, word: &str) -> bool {
        let has = |text: &String| text.to_lowercase().contains(word);
        has(&self.id)
            || has(&self.title)
            || self.domains.iter().chain(&self.domain_suffixes).chain(&self.legacy_hosts).any(has)
            || self.servers.iter().any(|server| has(&server.host))
    }
}

/// How a host belongs to a preset, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It fits a pattern of former hosts with this number of plain labels.
    OldPattern(usize),
    /// It is a present server.
    Server,
    /// It is a former host of this provider.
    OldName,
}

/// All presets: the user's own first, then the compiled-in ones, in the order of their files. The compiled-in file is
/// parsed when a preset is first looked up; settings that name no preset never pay for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presets {
    own: Vec<Arc<Preset>>,
    /// Whether the compiled-in ones are there too.
    has_built_in: bool,
}

impl Presets {
    /// The compiled-in presets alone.
    pub fn built_in() -> &'static Self {
        static PRESETS: Presets = Presets { own: Vec::new(), has_built_in: true };
        &PRESETS
    }

    fn built_in_list(&self) -> &'static [Arc<Preset>] {
        // A test checks that the file has no mistakes.
        static LIST: LazyLock<Vec<Arc<Preset>>> = LazyLock::new(|| {
            let read = parse::read_providers(BUILT_IN, Path::new("config/providers.toml"), Origin::BuiltIn);
            read.unwrap_or_default().into_iter().map(Arc::new).collect()
        });
        if self.has_built_in { &LIST } else { &[] }
    }

    /// The compiled-in presets, overridden by `providers.toml` from the settings file's folder if there is one.
    pub(crate) fn load(settings_file: &Path) -> Result<Self, LoadError> {
        let file = Self::own_file(settings_file);
        match read_text(&file)? {
            Some(text) => Ok(Self::built_in().overlaid(parse::read_providers(&text, &file, Origin::Own)?)),
            None => Ok(Self::built_in().clone()),
        }
    }

    /// The path of the user's own file of presets.
    pub(crate) fn own_file(settings_file: &Path) -> PathBuf {
        settings_file.with_file_name("providers.toml")
    }

    /// These presets with others before them; a preset with the same id is replaced as a whole.
    pub(crate) fn overlaid(&self, over: Vec<Preset>) -> Self {
        let mut own: Vec<_> = over.into_iter().map(Arc::new).collect();
        let kept: Vec<_> = self.own.iter().filter(|old| own.iter().all(|new| new.id != old.id)).cloned().collect();
        own.extend(kept);
        Self { own, has_built_in: self.has_built_in }
    }

    /// All presets, the user's own first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Preset>> {
        let built_in = self.built_in_list().iter().filter(|preset| self.own.iter().all(|own| own.id != preset.id));
        self.own.iter().chain(built_in)
    }

    /// The preset with this id, in any letter case.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Preset>> {
        self.iter().find(|preset| preset.id.eq_ignore_ascii_case(id))
    }

    /// The preset for the domain of an address: the one that lists the domain, or else the one with the longest
    /// matching suffix. Letter case and a trailing dot do not matter.
    pub(crate) fn by_domain(&self, domain: &str) -> Option<&Arc<Preset>> {
        let domain = plain(domain);
        self.iter()
            .find(|preset| preset.domains.contains(&domain))
            .or_else(|| self.best(|preset| longest_suffix(&preset.domain_suffixes, &domain)))
    }

    /// Why the account's provider lets no mail program in, as a sentence without a full stop; `None` if it does.
    pub(crate) fn closed(&self, account: &Account) -> Option<String> {
        let by_id = account.provider.as_deref().and_then(|id| self.by_id(id));
        let preset = by_id.or_else(|| self.by_domain(account.address.rsplit_once('@')?.1))?;
        let why = preset.closed.as_deref()?;
        Some(format!("{}: {}", preset.title, why.trim_end_matches('.')))
    }

    /// Whether a server belongs to a provider that makes app passwords. Its host tells, or else the user name there, if that is
    /// an address at another provider than the account's; or else it is the account's provider.
    pub(crate) fn makes_app_passwords(&self, account: &Account, server: &Server) -> bool {
        let domain = |address: &str| address.rsplit_once('@').map(|(_, domain)| plain(domain));
        let own = domain(&account.address);
        let user = server.credentials().and_then(|credentials| domain(&credentials.username));
        let by_account = || {
            let by_id = account.provider.as_deref().and_then(|id| self.by_id(id));
            by_id.or_else(|| self.by_domain(own.as_deref()?))
        };
        let by_user = || match &user {
            Some(user) if Some(user) != own.as_ref() => self.by_domain(user),
            _ => by_account(),
        };
        self.by_host(&server.host).or_else(by_user).is_some_and(|preset| preset.makes_app_passwords())
    }

    /// [`Self::makes_app_passwords`] as a value, for the vault.
    pub(crate) fn app_passwords(&self) -> impl Fn(&Account, &Server) -> bool + Send + Sync + use<> {
        let presets = self.clone();
        move |account, server| presets.makes_app_passwords(account, server)
    }

    /// The preset that a mail program's host belongs to, whether a present or a former one. Of several presets that
    /// share a server, the one that runs it comes first in the file and is taken.
    pub(crate) fn by_host(&self, host: &str) -> Option<&Arc<Preset>> {
        let host = plain(host);
        self.best(|preset| preset.host_rank(&host))
    }

    /// Whether a message that was only fetched by POP3 from this host counts as fetched there. Every account is asked for it
    /// when the program starts, so that the few compiled-in tables that say so are read without the others.
    pub(crate) fn fetching_counts(&self, host: &str) -> bool {
        static COUNTING: LazyLock<Vec<Preset>> = LazyLock::new(|| {
            let tables =
                BUILT_IN.split("\n[provider.").skip(1).filter(|table| table.contains("\nfetching = \"counts\"\n"));
            let text: String = tables.map(|table| format!("\n[provider.{table}")).collect();
            parse::read_providers(&format!("schema = 1\n{text}"), Path::new("config/providers.toml"), Origin::BuiltIn)
                .unwrap_or_default()
        });
        if !self.own.is_empty() || !self.has_built_in {
            return self.by_host(host).is_some_and(|preset| preset.fetching_counts);
        }
        let host = plain(host);
        COUNTING.iter().any(|preset| preset.host_rank(&host).is_some())
    }

    /// The preset for a mail program's host and the domain of the address, which may be empty. Products of one company
    /// share servers (Gmail and Google Workspace, Outlook.com and Microsoft 365), and the user knows only the product
    /// that their address belongs to: other titles and advice would be taken for a mistake.
    pub(crate) fn product(&self, host: &str, domain: &str) -> Option<&Arc<Preset>> {
        let general = self.by_host(host)?;
        let domain = plain(domain);
        let own = self.by_domain(&domain);
        let hosting = |word: &str| {
            self.iter().find(|preset| preset.hosted.iter().any(|hosted| hosted == word) && preset.is_kin_of(general))
        };
        let is_unlisted = own.is_none() && !domain.is_empty();
        own.filter(|own| own.is_kin_of(general))
            .or_else(|| hosting(&domain))
            .or_else(|| hosting("*").filter(|_| is_unlisted))
            .or(Some(general))
    }

    /// The preset that stands for the company behind this one: of its products the one that runs the servers.
    pub(crate) fn company<'p>(&'p self, preset: &'p Arc<Preset>) -> &'p Arc<Preset> {
        let behind = |preset: &'p Arc<Preset>| {
            let runs_it = preset.run_by.as_ref().and_then(|id| self.by_id(id));
            runs_it.or_else(|| self.iter().find(|other| preset.is_kin_of(other))).unwrap_or(preset)
        };
        // Verizon's mailboxes are at AOL, which Yahoo runs.
        behind(behind(preset))
    }

    /// The preset of the provider that receives mail for a domain, by the name of its mail exchanger. Plain DNS can be
    /// forged, so the user has to confirm the servers before a password goes there.
    pub(crate) fn by_mx(&self, exchanger: &str) -> Option<&Arc<Preset>> {
        let exchanger = format!(".{}", plain(exchanger));
        self.best(|preset| {
            let ends = preset.mx.iter().filter(|mx| exchanger.ends_with(&format!(".{mx}")));
            ends.map(String::len).max()
        })
    }

    /// All presets with the word in their id, title, domains or hosts. An address or a whole domain finds the preset it
    /// belongs to; an empty word finds all.
    pub(crate) fn search(&self, word: &str) -> Vec<&Arc<Preset>> {
        let word = word.trim().to_lowercase();
        if let Some((_, domain)) = word.rsplit_once('@') {
            return self.by_domain(domain).into_iter().collect();
        }
        let mut found: Vec<_> = self.iter().filter(|preset| preset.has_word(&word)).collect();
        if found.is_empty() && word.contains('.') {
            found.extend(self.by_domain(&word).or_else(|| self.by_host(&word)));
        }
        found
    }

    /// The first of the presets with the highest rank.
    fn best<R: Ord>(&self, rank: impl Fn(&Preset) -> Option<R>) -> Option<&Arc<Preset>> {
        let ranked = self.iter().filter_map(|preset| Some((rank(preset)?, preset)));
        // `>` and not `>=`: of equals the first one in the file is meant.
        ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, preset)| preset)
    }
}

/// A domain or host in the form of the file: lower case, no trailing dot.
fn plain(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn longest_suffix(suffixes: &[String], domain: &str) -> Option<usize> {
    suffixes.iter().filter(|suffix| domain.len() > suffix.len() && domain.ends_with(*suffix)).map(String::len).max()
}

/// Whether a host fits a pattern, label by label; `*` is any one label.
fn matches_pattern(pattern: &str, host: &str) -> bool {
    let mut labels = host.split('.');
    let fits = pattern.split('.').all(|wanted| labels.next().is_some_and(|label| wanted == "*" || wanted == label));
    fits && labels.next().is_none()
}

/// The fuzzer's entry: reads any octets as the user's own file of presets.
///
/// # Panics
///
/// If a message is not of the promised form or shows a planted `hunter2-SECRET`, or a server comes out of the file that
/// is in clear text or has no valid host.
pub fn fuzz(bytes: &[u8]) {
    use ostler_mail::account::Security;

    let text = String::from_utf8_lossy(bytes);
    let own = match parse::read_providers(&text, Path::new("p.toml"), Origin::Own) {
        Ok(own) => own,
        Err(mistakes) => {
            assert!(mistakes.iter().next().is_some(), "a file was refused without a reason");
            for remark in mistakes.iter() {
                let said = remark.to_string();
                assert!(!said.contains(char::is_control) && said.starts_with("p.toml:"), "{said:?}");
                assert!(!said.contains("hunter2-SECRET"), "a planted secret was shown");
            }
            return;
        }
    };
    for preset in &own {
        for protocol in Protocol::ALL {
            for server in preset.endpoints(protocol, "example.net") {
                assert!(ServerName::try_from(server.host.as_str()).is_ok() && server.port != 0, "{server:?}");
                assert_ne!(server.security, Security::None, "{server:?}");
            }
        }
    }
    let presets = Presets::built_in().overlaid(own);
    for word in ["rr.com", "pop.example.net", &text] {
        let _ = (presets.by_domain(word), presets.by_host(word), presets.by_mx(word), presets.search(word));
    }
}

#[cfg(test)]
mod tests;
