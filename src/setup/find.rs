//! Finds the servers for an address: first from ostler's own presets, then by one look-up after the other, each shown
//! while it runs, until there is a server for fetching and one for sending. Only the domain is sent to anyone, and to
//! third parties only if the user agrees.

use std::sync::Arc;

use super::{Proposal, Question, SetupUi, Wanted};
use crate::config::presets::{Confidence, Pop, Preset, Presets};
use crate::proxy::net::online;
use crate::setup::discover::{Domain, Finder, Found, Hint, ISPDB_HOST, Missing, Names, NotADomain, Source};
use ostler_mail::account::endpoint::{AuthMethod, Endpoint};
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Protocol, Trust};

/// What was found for an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Finding {
    /// The provider's name, for people.
    pub(crate) title: Option<String>,
    pub(crate) proposal: Proposal,
    /// What the user has to know or do first, a sentence each.
    pub(crate) hints: Vec<String>,
    /// Where the user makes an app password, if the provider wants one.
    pub(crate) app_password: Option<String>,
    /// The servers take nothing but OAuth2 tokens of the company of this name; empty if that is not known.
    pub(crate) oauth2: Option<String>,
    /// That company, if ostler does not know it and the provider says what it is.
    pub(crate) company: Option<Arc<Issuer>>,
}

impl Finding {
    fn is_enough(&self) -> bool {
        !self.proposal.lacks(Wanted::BOTH)
    }

    /// Takes what is still missing from a later source.
    fn add(&mut self, more: Self) {
        if self.proposal.is_empty() {
            self.title = more.title;
            self.proposal.provider.clone_from(&more.proposal.provider);
            self.app_password = more.app_password;
            self.oauth2 = more.oauth2;
            self.company = more.company;
        }
        self.proposal.fill(&more.proposal, Wanted::BOTH);
        for hint in more.hints {
            if !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
    }
}

/// Why there is no server to try. Each text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFound {
    /// The address is not a mail address.
    #[error(transparent)]
    Address(#[from] NotADomain),
    /// The provider does not let mail programs in.
    #[error("{title} cannot be used by a mail program: {why}")]
    Closed {
        /// The provider.
        title: String,
        /// Why.
        why: String,
    },
    /// The provider accepts OAuth2 only, and nobody says whose.
    #[error(
        "{title} lets mail programs in only with a sign-in in the web browser (OAuth2), and ostler does not know at which company. \
         If you know it, describe it in the settings under [oauth2.NAME], and name it with --oauth2 NAME"
    )]
    OnlyOAuth2 {
        /// The provider.
        title: String,
    },
    /// Nothing can be looked for without a network.
    #[error(
        "this computer is not connected to the internet, so ostler cannot look for the servers of {domain}. Look at the \
         network cable or the wireless network; when a web page opens again, try again"
    )]
    NotConnected {
        /// The domain.
        domain: String,
    },
    /// ostler knows some servers without certainty, and none of them answers.
    #[error(
        "none of the servers that {title} probably has answers. Is this computer online? If it is, ask {title} for its \
         servers and name them with --pop3 and --smtp"
    )]
    NoneAnswers {
        /// The provider.
        title: String,
    },
    /// No source named a server.
    #[error(
        "no mail servers were found for {domain}. Ask your provider for its servers, or look in the settings of your old mail \
         program, and name them: `ostler add ADDRESS --pop3 tls://HOST --smtp starttls://HOST`"
    )]
    Nothing {
        /// The domain.
        domain: String,
    },
}

/// Looks for the servers of one address.
pub(crate) struct Search<'a, T> {
    presets: &'a Presets,
    domain: Domain,
    finder: Finder,
    ui: &'a mut T,
    /// Whether this computer is connected to the internet; `None`: nothing has given reason to ask.
    is_connected: Option<bool>,
    /// The user has named the company whose tokens the servers take.
    takes_any_oauth2: bool,
}

impl<'a, T: SetupUi> Search<'a, T> {
    /// A search for this address; `trust` may add certificates to those of the system.
    pub(crate) fn new(address: &str, presets: &'a Presets, trust: Trust, ui: &'a mut T) -> Result<Self, NotFound> {
        let domain = Domain::of_address(address)?;
        let finder = Finder::new(domain.clone(), Names::system(), trust);
        Ok(Self { presets, domain, finder, ui, is_connected: None, takes_any_oauth2: false })
    }

    /// Takes servers that want OAuth2 tokens, whosever, too: the user has named the company.
    pub(crate) fn take_any_oauth2(&mut self, takes: bool) {
        self.takes_any_oauth2 = takes;
    }

    /// The servers of a preset. If the preset is not certain, only those that answer.
    pub(crate) async fn preset(&mut self, preset: &Arc<Preset>) -> Result<Finding, NotFound> {
        if let Some(why) = &preset.closed {
            return Err(NotFound::Closed { title: preset.title.clone(), why: why.clone() });
        }
        let mut finding = finding_of_preset(preset, self.domain.as_str())?;
        if preset.confidence == Confidence::Low {
            self.ui.say(&format!("ostler is not certain about the servers of {}; trying them:", preset.title));
            let proposal = &mut finding.proposal;
            proposal.incoming = self.keep_answering(std::mem::take(&mut proposal.incoming)).await;
            proposal.outgoing = self.keep_answering(std::mem::take(&mut proposal.outgoing)).await;
            proposal.imap = self.keep_answering(std::mem::take(&mut proposal.imap)).await;
        }
        Ok(finding)
    }

    /// The endpoints that answer as they should, in order.
    async fn keep_answering(&mut self, endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
        let mut good = Vec::new();
        for endpoint in endpoints {
            match self.finder.endpoint(&endpoint).await {
                Ok(_) => {
                    self.ui.say(&format!("  {} answers", endpoint.describe()));
                    good.push(endpoint);
                }
                Err(failure) => self.ui.say(&format!("  {}: {}", endpoint.describe(), failure.sentence())),
            }
        }
        good
    }

    /// Finds what a proposal lacks. If it has servers for one direction, only a preset gives those for the other: a search
    /// may find another company's.
    pub(crate) async fn complete(&mut self, proposal: &Proposal) -> Result<Finding, NotFound> {
        if proposal.is_empty() {
            return self.run().await;
        }
        match self.presets.by_domain(self.domain.as_str()).cloned() {
            Some(preset) => self.preset(&preset).await,
            None => Ok(Finding::default()),
        }
    }

    /// Asks all sources in order, until there are servers for fetching and sending.
    pub(crate) async fn run(&mut self) -> Result<Finding, NotFound> {
        let mut finding = Finding::default();
        let mut only_oauth2 = None;
        let mut has_name_service = true;
        let preset = self.presets.by_domain(self.domain.as_str()).cloned();
        if let Some(preset) = &preset {
            let known = self.preset(preset).await?;
            // One direction is enough here: some providers have no POP3, or no server for sending, and the preset says so.
            if !known.proposal.is_empty() {
                return Ok(known);
            }
            self.ui.say(&format!("None of the servers ostler knows for {} answers.", preset.title));
        }
        for source in Source::ALL {
            // Without a network the directory cannot be reached, so the question would be in vain. Sources in the own
            // house may be there all the same.
            if source == Source::Ispdb && (!self.is_connected().await || !self.may_ask_directory().await) {
                continue;
            }
            // Before the usual names: a domain that a known company hosts often has no servers of its own name.
            if source == Source::Probe
                && has_name_service
                && let Some(known) = self.find_by_exchanger().await?
            {
                finding.add(known);
                if finding.is_enough() {
                    break;
                }
            }
            self.ui.say(&format!("{} ...", capitalised(&source.asking(&self.domain))));
            match self.ask(source, &finding).await {
                Ok(found) => match self.accept(found).await {
                    Some(more) => finding.add(more),
                    None => only_oauth2 = only_oauth2.or_else(|| Some(self.domain.to_string())),
                },
                Err(Missing::OutOfReach(_)) if !self.is_connected().await => return Err(self.not_connected()),
                Err(missing) => {
                    // If the name service did not answer for SRV, asking it for MX would only wait as long again.
                    has_name_service &= !(source == Source::Srv && matches!(missing, Missing::NotAsked(_)));
                    self.ui.say(&format!("  {missing}"));
                }
            }
            if finding.is_enough() {
                break;
            }
        }
        match (finding.proposal.is_empty(), only_oauth2, preset) {
            (false, ..) => Ok(finding),
            (true, None, _) if self.is_connected == Some(false) => Err(self.not_connected()),
            (true, Some(title), _) => Err(NotFound::OnlyOAuth2 { title }),
            (true, None, Some(preset)) => {
                let title = preset.title.clone();
                if self.ui.confirm(&Question::UseUncertain { title: title.clone() }).await {
                    return finding_of_preset(&preset, self.domain.as_str());
                }
                Err(NotFound::NoneAnswers { title })
            }
            (true, None, None) => Err(NotFound::Nothing { domain: self.domain.to_string() }),
        }
    }

    /// Looks once.
    async fn is_connected(&mut self) -> bool {
        match self.is_connected {
            Some(known) => known,
            None => *self.is_connected.insert(online::is_connected().await),
        }
    }

    fn not_connected(&self) -> NotFound {
        NotFound::NotConnected { domain: self.domain.to_string() }
    }

    async fn may_ask_directory(&mut self) -> bool {
        let question = Question::AskDirectory { domain: self.domain.to_string(), directory: ISPDB_HOST.to_owned() };
        self.ui.confirm(&question).await
    }

    async fn ask(&self, source: Source, finding: &Finding) -> Result<Found, Missing> {
        let mut wanted = Vec::new();
        if finding.proposal.has_no_incoming() {
            wanted.extend([Protocol::Pop3, Protocol::Imap]);
        }
        wanted.extend(finding.proposal.outgoing.is_empty().then_some(Protocol::Smtp));
        self.finder.ask(source, &wanted).await
    }

    /// What can be used of a source's answer; `None` if it has only servers where this version cannot sign in. Hosts
    /// that only the name service vouches for need the user's consent.
    async fn accept(&mut self, found: Found) -> Option<Finding> {
        let mut hosts: Vec<String> = Vec::new();
        for offer in found.offers.iter().filter(|offer| offer.vouched.needs_yes()) {
            if !hosts.contains(&offer.endpoint.host) {
                hosts.push(offer.endpoint.host.clone());
            }
        }
        let agreed =
            hosts.is_empty() || self.ui.confirm(&Question::TrustDns { domain: self.domain.to_string(), hosts }).await;
        let offers: Vec<&Endpoint> = found
            .offers
            .iter()
            .filter(|offer| agreed || !offer.vouched.needs_yes())
            .map(|offer| &offer.endpoint)
            .collect();
        let (usable, oauth2) = usable_of(&offers);
        if oauth2.as_ref().is_some_and(String::is_empty) && !self.takes_any_oauth2 {
            return None;
        }
        for endpoint in &usable {
            self.ui.say(&format!("  {}: {}", endpoint.protocol.name().to_uppercase(), endpoint.describe()));
        }
        // Documentation is left out, so that what the user has to do first stands out.
        let hints = found.hints.iter().filter(|hint| hint.must).map(hint_text).collect();
        let company = found.company.filter(|company| oauth2.as_ref() == Some(&company.name));
        Some(Finding { oauth2, company, ..finding_of_endpoints(found.title, usable, hints) })
    }

    /// The servers of the company whose mail exchangers receive the domain's mail.
    async fn find_by_exchanger(&mut self) -> Result<Option<Finding>, NotFound> {
        self.ui.say(&format!("Looking up which company receives mail for {} ...", self.domain));
        let hosts = match self.finder.mx().await {
            Ok(hosts) => hosts,
            Err(missing) => {
                self.ui.say(&format!("  {missing}"));
                return Ok(None);
            }
        };
        let Some(preset) = hosts.iter().find_map(|host| self.presets.by_mx(host)).cloned() else {
            self.ui.say("  no company that ostler knows");
            return Ok(None);
        };
        self.ui.say(&format!("  {}", preset.title));
        let known = self.preset(&preset).await?;
        let mut hosts: Vec<String> = known.proposal.endpoints().map(|e| e.host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        // The certificate proves the company's name, but only the name service says that the domain is with that
        // company.
        let question = Question::TrustDns { domain: self.domain.to_string(), hosts };
        Ok(self.ui.confirm(&question).await.then_some(known))
    }
}

/// The servers and hints of a preset for this domain.
fn finding_of_preset(preset: &Preset, domain: &str) -> Result<Finding, NotFound> {
    let all: Vec<Endpoint> =
        Protocol::ALL.into_iter().flat_map(|protocol| preset.endpoints(protocol, domain)).collect();
    let (usable, oauth2) = usable_of(&all.iter().collect::<Vec<_>>());
    if oauth2.as_ref().is_some_and(String::is_empty) {
        return Err(NotFound::OnlyOAuth2 { title: preset.title.clone() });
    }
    let mut hints = Vec::new();
    hints.extend(preset.enable.clone());
    hints.extend(preset.note.clone());
    // A note says it in better words.
    if preset.pop == Pop::No && preset.note.is_none() {
        hints
            .push(format!("{} has no POP3; ostler fetches its mail by IMAP for programs that use POP3.", preset.title));
    }
    let wants_app_password = preset.auth_methods.first() == Some(&AuthMethod::AppPassword);
    let where_to = || preset.app_password.clone().unwrap_or_else(|| "on its web pages, under security".into());
    let mut finding = finding_of_endpoints(Some(preset.title.clone()), usable, hints);
    finding.proposal.provider = Some(preset.id.clone());
    finding.app_password = wants_app_password.then(where_to);
    finding.oauth2 = oauth2;
    Ok(finding)
}

fn finding_of_endpoints(title: Option<String>, endpoints: Vec<Endpoint>, hints: Vec<String>) -> Finding {
    let of = |protocol: Protocol| endpoints.iter().filter(move |e| e.protocol == protocol).cloned();
    let outgoing: Vec<Endpoint> = of(Protocol::Smtp).collect();
    let gate = outgoing.first().is_some_and(Endpoint::is_gated);
    let (incoming, imap) = (of(Protocol::Pop3).collect(), of(Protocol::Imap).collect());
    let proposal = Proposal { incoming, outgoing, imap, gate, ..Proposal::default() };
    Finding { title, proposal, hints, app_password: None, oauth2: None, company: None }
}

/// The servers to use: those that take a password, or, if there is none, all of them, and whose OAuth2 tokens they take.
fn usable_of(all: &[&Endpoint]) -> (Vec<Endpoint>, Option<String>) {
    let usable: Vec<Endpoint> = all.iter().filter(|endpoint| !endpoint.takes_only_oauth2()).copied().cloned().collect();
    if !usable.is_empty() || all.is_empty() {
        return (usable, None);
    }
    let mut issuers = all.iter().flat_map(|endpoint| &endpoint.auth_methods).filter_map(|way| match way {
        AuthMethod::OAuth2(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
    });
    let issuer = issuers.next().unwrap_or_default();
    (all.iter().copied().cloned().collect(), Some(issuer))
}

/// What to do where a provider's users sign in at a company that ostler does not know. Its table of the settings file follows.
pub(crate) fn unknown_company_text(company: &Issuer) -> String {
    format!(
        "the provider takes no password from mail programs: its users sign in at {}, which lets in only programs that are registered \
         there, and ostler is not. If you have a registration (a client id), put it into the settings, and try again",
        company.title
    )
}

/// A hint as one sentence.
pub(crate) fn hint_text(hint: &Hint) -> String {
    match &hint.url {
        Some(url) if hint.text.is_empty() => format!("Something has to be switched on first: {url}"),
        Some(url) => format!("{} ({url})", hint.text),
        None => hint.text.clone(),
    }
}

pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
