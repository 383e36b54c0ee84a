//! The conversation behind adding an account, which is the one of `ostler add`: servers are last_viewed for, tried for real,
//! changed, tried again; what works, or what the person wants all the same, is kept.
//!
//! Not nav: how any of these steps works (`setup.rs`), the form (`add.rs`), and the page that shows it all (`progress.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Shared;
use super::add::{AccountRequest, Fields};
use super::jobs::{JobCommand, Phase, Screen, Trouble};
use crate::config::presets::Presets;
use crate::os::control::SETTINGS_RELOAD_TIMEOUT;
use crate::setup::find::{Finding, NotFound, Search};
use crate::setup::keep::{KeepError, keep};
use crate::setup::trial::{Outcome, Trial};
use crate::setup::{Plan, ServerChoice, SetupUi};
use ostler_mail::account::{Account, Trust};
use ostler_mail::failure::Failure;
use ostler_mail::failure::error_chain;

/// What one go at it came to.
enum Attempt {
    Works(Account),
    Fails { account: Option<Account>, why: Option<String>, refused: bool },
}

pub(super) struct SetupJob {
    shared: Arc<Shared>,
    screen: Screen,
    request: AccountRequest,
    plan: Option<Plan>,
    finding: Finding,
}

impl SetupJob {
    pub(super) fn new(shared: Arc<Shared>, screen: Screen, request: AccountRequest) -> Self {
        Self { shared, screen, request, plan: None, finding: Finding::default() }
    }

    /// The whole of it; how it ends. Only a person ends it without an account.
    pub(super) async fn run(mut self) -> Phase {
        loop {
            let attempt = self.attempt().await;
            let (account, mut trouble) = match attempt {
                Attempt::Works(account) => match self.keep(&account, true).await {
                    Ok(phase) => return phase,
                    Err(why) => (Some(account), Trouble { why: Some(why), ..Trouble::default() }),
                },
                Attempt::Fails { account, why, refused } => {
                    let hints = if refused || account.is_none() { self.hints() } else { Vec::new() };
                    (account, Trouble { why, hints, refused, ..Trouble::default() })
                }
            };
            trouble.can_keep = account.is_some();
            trouble.form = self.fields();
            loop {
                self.screen.job.set_phase(Phase::Failed(Box::new(trouble.clone())));
                match (self.screen.next_command().await, &account) {
                    (JobCommand::Keep, Some(account)) => match self.keep(account, false).await {
                        Ok(phase) => return phase,
                        Err(why) => trouble.why = Some(why),
                    },
                    (JobCommand::Again(request), _) => {
                        self.change(*request);
                        break;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes a changed form over; passwords that were left out stay what they were.
    fn change(&mut self, mut request: AccountRequest) {
        let old = &self.request.secrets;
        request.secrets.incoming = request.secrets.incoming.or(old.incoming.clone());
        if !request.fields.other.is_empty() {
            request.secrets.outgoing = request.secrets.outgoing.or(old.outgoing.clone());
        }
        let same = |old: &Fields, new: &Fields| {
            (&old.address, &old.other, &old.pop3, &old.smtp) == (&new.address, &new.other, &new.pop3, &new.smtp)
        };
        // The same servers are not last_viewed for twice.
        if !same(&self.request.fields, &request.fields) {
            self.plan = None;
        }
        self.request = request;
    }

    fn hints(&self) -> Vec<String> {
        let place = self.finding.app_password.as_ref().map(|place| {
            format!(
                "This provider needs an app password: a password made for one program, not the one you type on the web page. \
                 You make it at {place}."
            )
        });
        place.into_iter().chain(self.finding.hints.iter().cloned()).collect()
    }

    /// The form for another go.
    fn fields(&self) -> Fields {
        self.request.fields.clone()
    }

    async fn attempt(&mut self) -> Attempt {
        let fails = |why: String| Attempt::Fails { account: None, why: Some(why), refused: false };
        if self.plan.is_none() {
            let presets = match Presets::load(&self.shared.file) {
                Ok(presets) => presets,
                Err(error) => {
                    return fails(format!(
                        "Your own file of providers has to be put right first: {}",
                        error_chain(&error)
                    ));
                }
            };
            match self.find(&presets).await {
                Ok(plan) => self.plan = Some(plan),
                Err(why) => return fails(why),
            }
        }
        let Some(plan) = &mut self.plan else { return fails("There are no servers to try.".into()) };
        plan.name.clone_from(&self.request.name);
        plan.incoming.username.clone_from(&self.request.username);
        if self.request.fields.other.is_empty() {
            plan.outgoing.username.clone_from(&self.request.username);
        }
        plan.trust = Trust { ca: self.request.ca.clone(), pin: None };
        plan.gate = (self.request.fields.gate || self.finding.gate) && self.request.fields.other.is_empty();
        if plan.gate && plan.incoming.endpoints.is_empty() {
            return fails(
                "Mail can be checked before sending only where there is a server for fetching. Name one below.".into(),
            );
        }
        let plan = plan.clone();
        let settings = self.shared.engine.settings();
        match Trial::new(&plan, &self.request.secrets, &settings, &mut self.screen).run().await {
            Outcome::Works(account) => Attempt::Works(account),
            Outcome::Fails { account, failure } => {
                let refused = matches!(failure, Some(Failure::SignInRefused { .. }));
                Attempt::Fails { account: Some(account), why: None, refused }
            }
        }
    }

    /// Where the servers come from: the form, a preset, the network; as in `ostler add`.
    async fn find(&mut self, presets: &Presets) -> Result<Plan, String> {
        let (address, other) = (self.request.fields.address.clone(), self.request.fields.other.clone());
        let trust = Trust { ca: self.request.ca.clone(), pin: None };
        let (mut incoming, mut outgoing) = (self.request.pop3.clone(), self.request.smtp.clone());
        let given = !incoming.is_empty() || !outgoing.is_empty();
        self.finding = Finding::default();
        if incoming.is_empty() || outgoing.is_empty() && other.is_empty() {
            let mut search = Search::new(&address, presets, trust.clone(), &mut self.screen)
                .map_err(|error| not_found_text(&error))?;
            // With one side given, only what ostler knows itself fills the other.
            self.finding = if given {
                let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
                match presets.by_domain(domain).cloned() {
                    Some(preset) => search.preset(&preset).await.map_err(|error| not_found_text(&error))?,
                    None => Finding::default(),
                }
            } else {
                search.run().await.map_err(|error| not_found_text(&error))?
            };
            self.finding.gate &= outgoing.is_empty() && other.is_empty();
            if incoming.is_empty() {
                incoming.clone_from(&self.finding.incoming);
            }
            if outgoing.is_empty() && other.is_empty() {
                outgoing.clone_from(&self.finding.outgoing);
            }
        }
        if !other.is_empty() && outgoing.is_empty() {
            self.screen.say(&format!("Looking for the servers of {other}"));
            let mut search = Search::new(&other, presets, trust.clone(), &mut self.screen)
                .map_err(|error| not_found_text(&error))?;
            let found = search.run().await.map_err(|error| not_found_text(&error))?;
            if found.outgoing.is_empty() {
                return Err(format!(
                    "No server for sending was found for {other}. Ask that company for it, and name it below."
                ));
            }
            outgoing = found.outgoing;
            self.finding.hints.extend(found.hints);
        }
        if incoming.is_empty() && outgoing.is_empty() {
            return Err("There is no server to fetch from and none to send through. Name them below.".into());
        }
        if let Some(title) = &self.finding.title {
            self.screen.say(&format!("{address} is with {title}."));
        }
        if outgoing.is_empty() {
            self.screen.say("There is no server for sending here. Another company can be used for that.");
        }
        let side = |endpoints, address: &String| ServerChoice {
            endpoints,
            username: None,
            address: address.clone(),
            source: None,
        };
        Ok(Plan {
            name: None,
            provider: self.finding.provider.clone(),
            incoming: side(incoming, &address),
            outgoing: side(outgoing, if other.is_empty() { &address } else { &other }),
            imap: self.finding.imap.clone(),
            gate: false,
            trust,
            address,
        })
    }

    /// Keeps it, and waits until the running ostler serves it. The second part of the result: why it could not be kept.
    async fn keep(&mut self, account: &Account, works: bool) -> Result<Phase, String> {
        let job = Arc::clone(&self.screen.job);
        let _keeping = job.keeping.lock().await;
        keep(&self.shared.file, account, &self.request.secrets).await.map_err(|error| keep_error_text(&error))?;
        self.shared.engine.vault.drop_cached_account(account);
        (self.shared.reload)();
        let until = Instant::now() + SETTINGS_RELOAD_TIMEOUT;
        let served = loop {
            if self.shared.engine.settings().accounts.iter().any(|known| known.name == account.name) {
                break true;
            }
            if Instant::now() > until {
                break false;
            }
            sleep(Duration::from_millis(50)).await;
        };
        Ok(Phase::Kept { account: account.name.clone(), works, served })
    }
}

/// Without the words of the command line.
fn not_found_text(error: &NotFound) -> String {
    match error {
        NotFound::NoneAnswers { title } => format!(
            "None of the servers that {title} probably has answers. Is this computer online? If it is, ask {title} for its \
             servers and name them below."
        ),
        NotFound::Nothing { domain } => format!(
            "No mail servers were found for {domain}. Is this computer online? If it is, ask your provider for its servers, or \
             look into the settings of your mail program, and name them below."
        ),
        error => format!("{error}."),
    }
}

fn keep_error_text(error: &KeepError) -> String {
    let text = error_chain(error);
    match error {
        KeepError::Keyring(_) => format!(
            "{text}. Open your keyring (it usually opens when you log in to your computer), then try again. Where there is none, \
             ostler add in a terminal can take the password from elsewhere."
        ),
        KeepError::Write { .. } => format!("{text}. Put that right, then try again."),
        _ => format!("{text}."),
    }
}
