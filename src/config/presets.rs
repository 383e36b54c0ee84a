//! Presets: what ostler knows about providers. The knowledge itself is data, `config/providers.toml`, compiled in; a
//! file `providers.toml` beside the settings file is laid over it. Here are the checked values and the ways to find
//! one: by name, by the domain of an address, by a host an old program still holds, by the domain's mail exchanger.
//!
//! Not here: how the file is read (`config/providers.rs`), what an account takes from a preset (`config/accounts.rs`),
//! and asking anybody outside (`discover.rs`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;

use super::LoadError;
use super::file::read_text;
use ostler_mail::account::endpoint::{Endpoint, LoginForm, Way};
use ostler_mail::account::{Account, Protocol};

pub(super) mod parse;

/// The compiled-in file.
const BUILT_IN: &str = include_str!("../../config/providers.toml");

/// What in a host stands for the domain of the address.
const DOMAIN: &str = "{domain}";

/// How sure we are of what a preset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// A guess, or one weak source. Such a preset is probed, never applied unasked.
    Low,
    /// One source, perhaps an old one.
    Medium,
    /// A recent source, or several that agree.
    High,
}

impl Confidence {
    /// The word in the file and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Whether a provider lets mail be fetched by POP3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pop {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Only for those who pay.
    Paid,
    /// Nobody could tell.
    Unclear,
}

impl Pop {
    /// The word in the file and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Paid => "paid",
            Self::Unclear => "unclear",
        }
    }
}

/// One provider, or one kind of provider. All names of hosts and domains are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// What the user writes in `provider = ".."`: small letters, digits and hyphens.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// Domains of addresses that belong to it.
    pub domains: Vec<String>,
    /// Ends of such domains; each begins with a dot.
    pub domain_suffixes: Vec<String>,
    /// Ends of the names of mail exchangers that receive mail for domains it hosts.
    pub mx: Vec<String>,
    /// Hosts that old programs are still set to; a label `*` stands for any one label.
    pub legacy_hosts: Vec<String>,
    /// Every server in order, protocol by protocol; a host may hold `{domain}`.
    pub(crate) servers: Vec<Endpoint>,
    /// How the user name looks, where an endpoint says nothing else.
    pub login: LoginForm,
    /// How it lets its users in, best first, where an endpoint says nothing else.
    pub ways: Vec<Way>,
    /// What the user has to switch on first, in one sentence.
    pub enable: Option<String>,
    /// Where an app password is made: an address or a place in a menu.
    pub app_password: Option<String>,
    /// How long a POP login opens the way for sends (`pop-before-smtp`).
    pub window: Option<Duration>,
    /// Whether there is POP3.
    pub pop: Pop,
    /// There is no outgoing server on purpose: mail is sent through another company.
    pub sends_elsewhere: bool,
    /// Why no mail program can use it; then there are no servers.
    pub closed: Option<String>,
    /// What else a user should know.
    pub note: Option<String>,
    /// Where the knowledge comes from.
    pub source: Vec<String>,
    /// When it was last looked at, `YYYY-MM-DD`.
    pub checked: Option<String>,
    /// How sure it is. A low one is probed, never applied unasked.
    pub confidence: Confidence,
    /// It is from the user's own file.
    pub is_own: bool,
}

impl Preset {
    /// The servers for a protocol, in the order in which to try them. `domain` is that of the address and takes the
    /// place of `{domain}`; a server whose host is no host then is left out.
    pub fn endpoints(&self, protocol: Protocol, domain: &str) -> Vec<Endpoint> {
        let domain = plain(domain);
        let is_name = matches!(ServerName::try_from(domain.as_str()), Ok(ServerName::DnsName(_)));
        let filled = |endpoint: &Endpoint| {
            let host = endpoint.host.replace(DOMAIN, &domain);
            let is_filled = is_name || !endpoint.host.contains(DOMAIN);
            // Both can be names and be too long together.
            let is_host = is_filled && ServerName::try_from(host.as_str()).is_ok();
            is_host.then(|| Endpoint { host, ..endpoint.clone() })
        };
        self.templates(protocol).filter_map(filled).collect()
    }

    /// The servers for a protocol as the file has them, with `{domain}` where the address's domain belongs: to be
    /// shown, not to be connected to.
    pub fn templates(&self, protocol: Protocol) -> impl Iterator<Item = &Endpoint> {
        self.servers.iter().filter(move |server| server.protocol == protocol)
    }

    /// Whether a mail program can use it at all.
    pub fn is_usable(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Whether a host is made from the address's domain, so that no address picks this preset by itself.
    pub fn is_template(&self) -> bool {
        self.servers.iter().any(|server| server.host.contains(DOMAIN))
    }

    /// How well an old host is known here: a longer answer is a better one.
    fn host_rank(&self, host: &str) -> Option<Rank> {
        let old = |pattern: &&String| matches_pattern(pattern, host);
        let literal = |pattern: &String| pattern.split('.').filter(|label| *label != "*").count();
        if self.legacy_hosts.iter().any(|pattern| pattern == host) {
            return Some(Rank::OldName);
        }
        // 127.0.0.1 says nothing about a provider, and neither does a form.
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

/// In which way a host belongs to a preset, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It fits a pattern with so many plain labels.
    OldPattern(usize),
    /// It is a server of today.
    Server,
    /// It is an old name of this provider.
    OldName,
}

/// All presets: the user's own first, then the compiled-in ones, in the order of their files. The compiled-in file is read
/// when a preset is first looked for, which settings that name none never do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presets {
    over: Vec<Arc<Preset>>,
    /// The compiled-in ones are there too, below the others.
    on_built_in: bool,
}

impl Presets {
    /// The compiled-in ones.
    pub fn built_in() -> &'static Self {
        static PRESETS: Presets = Presets { over: Vec::new(), on_built_in: true };
        &PRESETS
    }

    fn below(&self) -> &'static [Arc<Preset>] {
        // A test sees to it that the file is right.
        static LIST: LazyLock<Vec<Arc<Preset>>> = LazyLock::new(|| {
            let read = parse::read_providers(BUILT_IN, Path::new("config/providers.toml"), false);
            read.unwrap_or_default().into_iter().map(Arc::new).collect()
        });
        if self.on_built_in { &LIST } else { &[] }
    }

    /// The compiled-in ones with `providers.toml` from the settings file's folder laid over them, if there is one.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read or trusted, or there are mistakes in it.
    pub fn load(settings_file: &Path) -> Result<Self, LoadError> {
        let file = Self::own_file(settings_file);
        match read_text(&file)? {
            Some(text) => Ok(Self::built_in().overlaid(parse::read_providers(&text, &file, true)?)),
            None => Ok(Self::built_in().clone()),
        }
    }

    /// Where the user's own file is.
    pub fn own_file(settings_file: &Path) -> PathBuf {
        settings_file.with_file_name("providers.toml")
    }

    /// These with others laid over them: one of the same id is replaced whole, the others come first.
    pub fn overlaid(&self, over: Vec<Preset>) -> Self {
        let mut all: Vec<_> = over.into_iter().map(Arc::new).collect();
        let below = self.over.iter().filter(|below| all.iter().all(|own| own.id != below.id));
        let below: Vec<_> = below.cloned().collect();
        all.extend(below);
        Self { over: all, on_built_in: self.on_built_in }
    }

    /// Every preset.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Preset>> {
        let below = self.below().iter().filter(|below| self.over.iter().all(|own| own.id != below.id));
        self.over.iter().chain(below)
    }

    /// The preset of that id (any letter case).
    pub fn by_id(&self, id: &str) -> Option<&Arc<Preset>> {
        self.iter().find(|preset| preset.id.eq_ignore_ascii_case(id))
    }

    /// The preset for the domain of an address: one that has it as it is, else the one with the longest suffix.
    /// Letter case and a dot at the end do not matter.
    pub fn by_domain(&self, domain: &str) -> Option<&Arc<Preset>> {
        let domain = plain(domain);
        self.iter()
            .find(|preset| preset.domains.contains(&domain))
            .or_else(|| self.longest(|preset| longest_end(&preset.domain_suffixes, &domain)))
    }

    /// Why the provider of an account lets no mail program in, if it does not: a sentence without a full stop.
    pub fn closed(&self, account: &Account) -> Option<String> {
        let by_id = account.provider.as_deref().and_then(|id| self.by_id(id));
        let preset = by_id.or_else(|| self.by_domain(account.address.rsplit_once('@')?.1))?;
        let why = preset.closed.as_deref()?;
        Some(format!("{}: {}", preset.title, why.trim_end_matches('.')))
    }

    /// The preset a host belongs to that a mail program is set to, today's or an old one. Of several that share a
    /// server it is the first in the file, which is the one that runs it.
    pub fn by_host(&self, host: &str) -> Option<&Arc<Preset>> {
        let host = plain(host);
        self.longest(|preset| preset.host_rank(&host))
    }

    /// The preset of the provider that receives mail for a domain, by the name of its mail exchanger. Plain DNS can be
    /// forged: what is found this way is shown to the user before a password goes there.
    pub fn by_mx(&self, exchanger: &str) -> Option<&Arc<Preset>> {
        let exchanger = format!(".{}", plain(exchanger));
        self.longest(|preset| {
            let ends = preset.mx.iter().filter(|mx| exchanger.ends_with(&format!(".{mx}")));
            ends.map(String::len).max()
        })
    }

    /// All presets with a word in their id, title, domains or hosts; for an address or a whole domain the one it
    /// belongs to. An empty word finds all.
    pub fn search(&self, word: &str) -> Vec<&Arc<Preset>> {
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

    /// The first of those with the highest rank.
    fn longest<R: Ord>(&self, rank: impl Fn(&Preset) -> Option<R>) -> Option<&Arc<Preset>> {
        let ranked = self.iter().filter_map(|preset| Some((rank(preset)?, preset)));
        ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, preset)| preset)
    }
}

/// A domain or host as the file has it.
fn plain(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn longest_end(suffixes: &[String], domain: &str) -> Option<usize> {
    suffixes.iter().filter(|suffix| domain.len() > suffix.len() && domain.ends_with(*suffix)).map(String::len).max()
}

/// Whether a host is meant by a pattern: label by label, `*` for any one.
fn matches_pattern(pattern: &str, host: &str) -> bool {
    let mut labels = host.split('.');
    let fits = pattern.split('.').all(|wanted| labels.next().is_some_and(|label| wanted == "*" || wanted == label));
    fits && labels.next().is_none()
}

/// What a fuzzer calls with any octets, as a file of the user's own.
///
/// # Panics
///
/// If a message is not of the promised form or shows a planted `hunter2-SECRET`, or a server comes out of the file that
/// is in clear text or has no valid host.
pub fn fuzz(bytes: &[u8]) {
    use ostler_mail::account::Security;

    let text = String::from_utf8_lossy(bytes);
    let own = match parse::read_providers(&text, Path::new("p.toml"), true) {
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
        for protocol in [Protocol::Pop3, Protocol::Smtp, Protocol::Imap] {
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
